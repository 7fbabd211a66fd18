"""Webex meetings, through a service app that a site's administrator authorised.

https://developer.webex.com/admin/docs/api/v1/service-apps ·
https://developer.webex.com/docs/api/v1/meetings
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from sync.conferencing.adapter import (
    Adapter,
    Context,
    delete_for_good,
    first_to_see,
    in_turn,
    whole_addresses,
)
from sync.conferencing.api import (
    Api,
    items_in,
    not_its_words,
    object_of,
    parts_of_link,
    segment,
    status_error,
    text_in,
)
from sync.conferencing.http import Answer, HttpClient
from sync.conferencing.options import Options
from sync.conferencing.recurrence import (
    CHECKED,
    Approximate,
    ForWebex,
    Translation,
    for_webex,
    moment_in,
    original_moment,
    rfc3339,
    zone_name,
)
from sync.conferencing.text import one_line, plain_text, quoted, shortened
from sync.conferencing.tokens import OAuthTokens
from sync.config import ProviderSettings
from sync.errors import CredentialsRefused, Gone, Invalid, NotAllowed, SyncError, TryLater
from sync.model.conference import Approximation, ConferenceContent, Sight, WayIn
from sync.model.event import ConferenceId, EntryPoint, EventTime, address_of, zone_of
from sync.model.series import Impossible, Series, duration_of, is_over, moment_of, parse

WHEN = frozenset({"start", "end", "time_zone", "recurrence", "duration"})

_BASE_URL = "https://webexapis.com/v1"
_HOST = r"(?i:https?://[^/?#@\s]+\.webex\.com)(?::443)?"
_URIS = (
    # The number of a link's meeting stands in its query.
    re.compile(rf"({_HOST}/[^?#]*j\.php\?(?:[^#]*&)?MTID=[0-9A-Za-z]+)(?:[&#].*)?"),
    re.compile(rf"({_HOST}/(?:[^/?#]+/)?m/[\w-]+)/?(?:[?#].*)?"),
    # A personal room: recognised, so that the reason can be told why it is left alone.
    re.compile(rf"({_HOST}/(?:[^/?#]+/)?(?:meet|join)/[^/?#]+)/?(?:[?#].*)?"),
)
_PERSONAL_ROOM = re.compile(r"https://[^/?#]+/(?:[^/?#]+/)?(?:meet|join)/[^/?#]+")
# What the published description asks for, although what is sent is an object like any other.
_PATCH = {"Content-Type": "application/json-patch+json"}

_TITLE_LIMIT = 128
_AGENDA_LIMIT = 1300
_SHORTEST, _LONGEST = timedelta(minutes=10), timedelta(hours=23, minutes=59)
# A meeting that runs cannot be changed; nobody says when it will end.
_WHILE_IT_RUNS = timedelta(minutes=15)
# How far ahead a creation whose answer was lost is looked for, at least.
_AHEAD = timedelta(days=366)
_REMEMBERED = 10_000


def meeting_id(text: str) -> str:
    """Return how a meeting is known here, from what Calendar shows: an id, a number with blanks,
    a link."""
    text = text.strip()
    if "://" in text:
        try:
            parts = urlsplit(text)
            number = parse_qs(parts.query).get("MTID")
        except ValueError:
            # Such as `https://[x.webex.com/`, which is no address.
            return text
        host = parts.netloc.lower().removesuffix(":443")
        if number:
            return f"https://{host}{parts.path}?MTID={number[0]}"
        if host.endswith(".webex.com"):
            return f"https://{host}{parts.path.rstrip('/')}"
        return text
    digits = re.sub(r"[\s\u2010-\u2015.-]", "", text)
    return digits if digits.isascii() and digits.isdecimal() else text


class WebexProvider(Adapter):
    """`Adapter` for Webex. The secret holds `{"client_id", "client_secret", "refresh_token"}`.

    A refresh token that Webex renews becomes the secret's next version, through `replace_secret`.
    Options: `host`, the address of the user for whom meetings are created, else the event's
    organizer. `site_url`, where meetings are created. `mail`, whether Webex may mail hosts and
    invitees. Webex shows a meeting to its host, so the calls name one.
    """

    FIELDS: ClassVar = frozenset(
        {"title", "description", "start", "end", "time_zone", "recurrence"}
    )
    URIS: ClassVar = _URIS
    OCCURRENCES: ClassVar = True
    DROPS_OCCURRENCES: ClassVar = True
    NOBODYS_ID: ClassVar = ConferenceId("f" * 32)
    normalise = staticmethod(meeting_id)

    def __init__(self, settings: ProviderSettings, context: Context) -> None:
        options = Options(settings, {"host", "site_url", "mail"})
        super().__init__(settings, context)
        self._host = options.text("host", "host@example.com")
        self._site = options.text("site_url", "example.webex.com")
        self._mail = options.flag("mail")
        http = HttpClient()
        base_url = options.url("base_url", _BASE_URL)
        token_url = options.url("token_url", f"{base_url}/access_token")

        def ask(secret: Mapping[str, str]) -> Answer:
            return http.request("POST", token_url, form={"grant_type": "refresh_token", **secret})

        fields = ("client_id", "client_secret", "refresh_token")
        tokens = OAuthTokens(settings, context, fields=fields, ask=ask)
        self._api = Api(self.name, base_url, tokens, context.clock, http, classify)
        self._ids: dict[str, str] = {}
        self._lock = threading.Lock()

    def create(
        self, content: ConferenceContent, idempotency_key: str, host: str | None = None
    ) -> WayIn:
        """Create a meeting, known again by a tag that only our app sees."""
        if is_over(content, self._clock()):
            raise Invalid("the event is over; Webex creates no meeting in the past")
        body, cancelled = self._told(content, self.FIELDS)
        host = host or self._host or content.organizer
        if known := self._tagged(idempotency_key, content, host):
            return way_in(self._api.read(_path(known), query=_hosted(host)), self.name)
        site = {"siteUrl": self._site} if self._site else {}
        new = {**body, **_hosted(host), **site, "integrationTags": [idempotency_key]}
        meeting = self._api.call("POST", "/meetings", body=_without_nothing(new))
        made = way_in(meeting, self.name)
        self._cancel(str(meeting["id"]), cancelled, host)
        return made

    def find_made(
        self, content: ConferenceContent, idempotency_key: str, host: str | None = None
    ) -> ConferenceId | None:
        """Return the id of the meeting that carries this key as a tag."""
        host = host or self._host or content.organizer
        known = self._tagged(idempotency_key, content, host)
        return ConferenceId(known) if known else None

    def look(
        self, conference_id: ConferenceId, content: ConferenceContent, asked_as: Sequence[str] = ()
    ) -> Sight:
        """Read a meeting as each user who may be its host: Webex shows it to others less well.

        An id of one occurrence shows its series: followed is the series alone. Raises NotAllowed if
        it is shown to none of them, which does not say that there is none.
        """
        if _PERSONAL_ROOM.fullmatch(conference_id):
            return Sight(way_in=WayIn(conference_id=conference_id), unfit="a personal room")
        meeting, asked = self._seen(conference_id, asked_as)
        if text_in(meeting, "meetingType") == "scheduledMeeting":
            # Of an occurrence Webex does not say that its series recurs.
            meeting = self._api.read(_path(_series_id(meeting)), query=_hosted(asked))
        host = text_in(meeting, "hostEmail")
        return Sight(
            way_in=way_in({**meeting, "id": _series_id(meeting)}, self.name),
            hosts=frozenset({address_of(host)} if host else ()),
            seen_as=host or asked,
            unfit=_unfit(meeting),
            recurring=text_in(meeting, "recurrence") is not None,
            starts=_starts(meeting),
            differs=self._differing(meeting, content, host or asked),
        )

    def read(self, conference_id: ConferenceId, host: str | None = None) -> WayIn:
        host = host or self._host
        known = self._id_of(conference_id, host)
        return way_in(self._api.read(_path(known), query=_hosted(host)), self.name)

    def update(
        self,
        conference_id: ConferenceId,
        content: ConferenceContent,
        changed: frozenset[str],
        host: str | None = None,
    ) -> None:
        """Send what differs. Of an event that is over, no times.

        A meeting that expired with its event is no loss.
        """
        over = is_over(content, self._clock())
        body, cancelled = self._told(content, changed - WHEN if over else changed)
        if body.keys() <= {"sendEmail"}:
            return
        host = host or self._host or content.organizer
        try:
            known = self._id_of(conference_id, host)
            if "start" in body and "recurrence" in changed and not content.recurrence:
                body |= self._without_recurrence(known, host)
            self._api.tell("PATCH", _path(known), body={**body, **_hosted(host)}, headers=_PATCH)
        except Gone:
            if over:
                return
            raise
        self._cancel(known, cancelled, host)

    def delete(self, conference_id: ConferenceId, host: str | None = None) -> None:
        host = host or self._host
        delete_for_good(lambda: self._delete(self._id_of(conference_id, host), host), "Webex")

    def update_occurrence(
        self,
        conference_id: ConferenceId,
        original_start: str,
        content: ConferenceContent,
        host: str | None = None,
    ) -> None:
        """Send what differs of one occurrence. Of one that is past, or is to lie in the past, no
        times."""
        host = host or self._host or content.organizer
        original = original_moment(original_start, UTC)
        series_id = self._id_of(conference_id, host)
        found = self._occurrence(series_id, original, host)
        if found is None:
            if original <= self._clock():
                return
            raise Invalid(
                "Webex does not list this occurrence; it was cancelled there, which brings none "
                "back, or the series has no such date"
            )
        body: dict[str, Any] = {}
        title, agenda = one_line(content.title, _TITLE_LIMIT), _agenda(content)
        if title != found.get("title"):
            body["title"] = title
        if agenda != (text_in(found, "agenda")) and (
            agenda or self._has_own_words(found, series_id, host)
        ):
            body["agenda"] = agenda
        start = moment_of(content.start, UTC)
        end = start + _length(duration_of(content))
        if start > self._clock() and (start, end) != (
            moment_in(found.get("start")),
            moment_in(found.get("end")),
        ):
            zone = zone_of(content.start.time_zone) or UTC
            body |= {"start": _iso(start, zone), "end": _iso(end, zone)}
        if body:
            body |= {"sendEmail": self._mail, **_hosted(host)}
            self._api.tell("PATCH", _path(str(found["id"])), body=body, headers=_PATCH)

    def cancel_occurrence(
        self, conference_id: ConferenceId, original_start: str, host: str | None = None
    ) -> None:
        host = host or self._host
        known = self._id_of(conference_id, host)
        self._cancel(known, (original_moment(original_start, UTC),), host)

    def is_canonical(self, conference_id: ConferenceId) -> bool:
        return not _is_looked_up(conference_id)

    def canonical(self, conference_id: ConferenceId, asked_as: Sequence[str] = ()) -> ConferenceId:
        """Return the id of a meeting that is shown by its number or its link."""
        if not _is_looked_up(conference_id):
            return conference_id
        if known := self._ids.get(conference_id):
            return ConferenceId(known)
        meeting, _ = self._seen(conference_id, asked_as)
        return ConferenceId(self._remember(conference_id, _series_id(meeting)))

    def close(self) -> None:
        self._api.close()

    def approximation(self, content: ConferenceContent) -> Approximation | None:
        """Return how Webex's copy of a series falls short of it. None: it does not."""
        if not content.recurrence or is_over(content, self._clock()):
            return None
        translated = self._translated(content)
        return translated.approximation if isinstance(translated, Approximate) else None

    def _told(
        self, content: ConferenceContent, changed: frozenset[str]
    ) -> tuple[dict[str, Any], tuple[datetime, ...]]:
        """Return what to tell, and which dates of the series to cancel. Raises Invalid.

        Start, end, zone and rule go together.
        """
        body: dict[str, Any] = {"sendEmail": self._mail}
        if "title" in changed:
            body["title"] = one_line(content.title, _TITLE_LIMIT)
        if "description" in changed:
            body["agenda"] = _agenda(content)
        if not changed & WHEN:
            return body, ()
        if content.start.all_day:
            raise Invalid("Webex has no meetings of a whole day; give the event a time")
        if content.recurrence:
            translated = self._translated(content)
            if isinstance(translated, Impossible):
                raise Invalid(
                    f"Webex cannot follow this recurrence: {translated.reason}; "
                    "the meeting is left as it is"
                )
            sent = translated.sent
            zone = zone_of(sent.zone) or UTC
            start = sent.start.replace(tzinfo=zone)
            body |= {"recurrence": sent.recurrence}
            end, cancelled = start + _length(duration_of(content)), sent.cancelled
        else:
            zone = zone_of(zone_name(zone_of(content.start.time_zone) or UTC)) or UTC
            start, now = moment_of(content.start, UTC), self._clock()
            length = duration_of(content)
            if start <= now:
                # Under way; Webex takes no start in the past.
                length -= now - start
                start = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
            end, cancelled = start + _length(length), ()
        times = {"start": _iso(start, zone), "end": _iso(end, zone), "timezone": zone_name(zone)}
        return {**body, **times}, cancelled

    def _without_recurrence(self, known: str, host: str | None) -> dict[str, Any]:
        """Return what makes a series a single meeting. `{}` for one that is single (O5)."""
        meeting = self._api.read(_path(known), query=_hosted(host))
        return {"recurrence": None} if text_in(meeting, "recurrence") else {}

    def _has_own_words(self, occurrence: dict[str, Any], series_id: str, host: str | None) -> bool:
        """Whether an occurrence has another agenda than its series, which people may keep there."""
        series = self._api.read(_path(series_id), query=_hosted(host))
        return text_in(occurrence, "agenda") != text_in(series, "agenda")

    def _translated(self, content: ConferenceContent) -> Translation[ForWebex]:
        series = parse(content)
        return series if isinstance(series, Impossible) else for_webex(series, self._clock())

    def _seen(
        self, conference_id: ConferenceId, asked_as: Sequence[str]
    ) -> tuple[dict[str, Any], str | None]:
        """Return a meeting and as whom it was seen. Raises NotAllowed, or Gone."""
        users: list[str | None] = [
            *in_turn(*asked_as, self._host, *whole_addresses(self.rules.hosts))
        ]

        def ask(user: str | None) -> dict[str, Any]:
            if _is_looked_up(conference_id):
                return self._listed(conference_id, user)
            return self._api.read(_path(conference_id), query=_hosted(user))

        return first_to_see(self.name, users or [None], ask)

    def _listed(self, conference_id: ConferenceId, host: str | None) -> dict[str, Any]:
        """Return the meeting of a number or a link, as one user's list shows it."""
        key = "meetingNumber" if conference_id.isdecimal() else "webLink"
        query = {key: conference_id, "current": "false", **_hosted(host)}
        found = items_in(self._api.read("/meetings", query=query).get("items"))
        if not found:
            raise NotAllowed(f"{self.name} does not show a meeting by that number or link")
        return found[0]

    def _id_of(self, conference_id: ConferenceId, host: str | None) -> str:
        """Return Webex's own id. A number or a link is looked up in the host's list."""
        if not _is_looked_up(conference_id):
            return conference_id
        if _PERSONAL_ROOM.fullmatch(conference_id):
            raise NotAllowed("this is a personal room; it is left as it is")
        known = self._ids.get(conference_id)
        return known or self._remember(conference_id, _series_id(self._listed(conference_id, host)))

    def _remember(self, conference_id: ConferenceId, known: str) -> str:
        with self._lock:
            if len(self._ids) >= _REMEMBERED:
                self._ids.clear()
            self._ids[conference_id] = known
        return known

    def _differing(
        self, meeting: dict[str, Any], content: ConferenceContent, host: str | None
    ) -> frozenset[str]:
        """Name the fields in which a meeting differs from what `update` would send of an event.

        A description that people keep at Webex does not differ from none. Fields that Webex cannot
        hold differ, so that `update` says why.
        """
        differing = set()
        if one_line(content.title, _TITLE_LIMIT) != text_in(meeting, "title"):
            differing.add("title")
        agenda, there = _agenda(content), text_in(meeting, "agenda") or ""
        if agenda and agenda.split() != there.split():
            differing.add("description")
        now = self._clock()
        if is_over(content, now):
            return frozenset(differing)
        try:
            told, _ = self._told(content, WHEN)
        except Invalid:
            return frozenset({*differing, "recurrence" if content.recurrence else "start"})
        recurring = text_in(meeting, "recurrence") is not None
        if recurring != bool(content.recurrence):
            differing |= {"recurrence", "start"}
        elif recurring:
            if self._other_dates(meeting, content, host):
                differing |= {"recurrence", "start"}
            start, end = moment_in(meeting.get("start")), moment_in(meeting.get("end"))
            if start and end and end - start != _length(duration_of(content)):
                differing |= {"end", "duration"}
        else:
            differing |= _other_times(meeting, content, now)
        if text_in(meeting, "timezone") not in (told["timezone"], None):
            differing.add("time_zone")
        return frozenset(differing)

    def _other_dates(
        self, meeting: dict[str, Any], content: ConferenceContent, host: str | None
    ) -> bool:
        """Whether a series has other dates at Webex, those ahead of now.

        A rule of Webex that cannot be read does not differ. Where dates are excluded by EXDATE,
        Webex is asked whether they take place.
        """
        wanted, there = parse(content), _series_of(meeting, content)
        if isinstance(wanted, Impossible) or isinstance(there, Impossible):
            return isinstance(wanted, Impossible)
        now = self._clock()
        ahead = _ahead(wanted, now)
        if ahead != _ahead(there, now):
            return True
        excluded = sorted(wanted.excluded & set(ahead))
        if not excluded:
            return False
        listed = self._scheduled(_series_id(meeting), excluded[0], excluded[-1], host)
        return any(moment_in(each.get("start")) in wanted.excluded for each in listed)

    def _scheduled(
        self, series_id: str, first: datetime, last: datetime, host: str | None
    ) -> list[dict[str, Any]]:
        query = {
            "meetingSeriesId": series_id,
            "meetingType": "scheduledMeeting",
            "from": rfc3339(first),
            "to": rfc3339(last + timedelta(minutes=1)),
            **_hosted(host),
        }
        return items_in(self._api.read("/meetings", query=query).get("items"))

    def _tagged(self, tag: str, content: ConferenceContent, host: str | None) -> str | None:
        """Return the meeting with this tag: an earlier try of a creation made it."""
        now, start = self._clock(), moment_of(content.start, UTC)
        until = max(start + timedelta(days=1), now + _AHEAD)
        query = {
            "integrationTag": tag,
            "meetingType": "meetingSeries",
            # A creation may come to its end long after the start that it was given (A5).
            "from": rfc3339(min(start, now) - timedelta(days=1)),
            "to": rfc3339(until),
            "current": "false",
            **_hosted(host),
        }
        for item in items_in(self._api.read("/meetings", query=query).get("items")):
            tags = item.get("integrationTags")
            if not isinstance(tags, list) or tag in tags:
                return text_in(item, "id")
        return None

    def _occurrence(
        self, series_id: str, original: datetime, host: str | None
    ) -> dict[str, Any] | None:
        """Find an occurrence by its original start: where it was, else by the id that is made of
        it."""
        for each in self._scheduled(series_id, original, original, host):
            if text_in(each, "id") is None:
                continue
            # Another one may have been moved to where this one was.
            stamp = _stamp(each, series_id)
            if moment_in(each.get("start")) == original and stamp in (None, original):
                return each
        made_of_it = f"{series_id}_{original:%Y%m%dT%H%M%SZ}"
        try:
            found = self._api.read(_path(made_of_it), query=_hosted(host))
        except (Gone, Invalid):
            return None
        _id_in(found, self.name)
        return found

    def _cancel(self, series_id: str, cancelled: tuple[datetime, ...], host: str | None) -> None:
        for original in cancelled:
            found = self._occurrence(series_id, original, host)
            if found is not None:
                try:
                    self._delete(str(found["id"]), host)
                except Gone:
                    continue

    def _delete(self, known: str, host: str | None) -> None:
        query = {"sendEmail": "true" if self._mail else "false", **_hosted(host)}
        self._api.tell("DELETE", _path(known), query=query)


def classify(answer: Answer, provider: str, now: datetime) -> SyncError | None:
    """Return what an answer of Webex means (C3), None for success. Pure.

    A meeting that runs, or is locked (409, 423), is TryLater. 403 is about one meeting or one host,
    unless a scope is missing, which is about all. 404 and 410 are Gone in Webex's own words alone.
    https://developer.webex.com/docs/basics#api-errors
    """
    status = answer.status
    if 200 <= status < 300:
        return None
    general = status_error(answer, provider, now)
    if general is not None:
        return general
    body = answer.members()
    errors = "; ".join(
        text for error in items_in(body.get("errors")) if (text := text_in(error, "description"))
    )
    text = errors or text_in(body, "message") or ""
    tracking = text_in(body, "trackingId") or answer.headers.get("trackingId", "")
    tracked = f" (tracking id {tracking[:100]})" if re.fullmatch(r"[\w.-]+", tracking) else ""
    said = f"{provider} answered {status}"
    reason = f"{said}{quoted(text)}{tracked}"
    if status in (404, 410):
        return _missing(answer, provider, text, tracked=bool(tracking))
    if status == 403:
        if re.search(r"missing required scopes", text, re.IGNORECASE):
            return CredentialsRefused(
                f"{said}: a scope is missing; authorise the service app again", provider=provider
            )
        return NotAllowed(f"{reason}; check the host, and that the service app may act for it")
    if status == 409 or (
        status == 400 and re.search(r"in.?progress|being held", text, re.IGNORECASE)
    ):
        return TryLater(reason, after=_WHILE_IT_RUNS)
    return Invalid(reason)


def _missing(answer: Answer, provider: str, text: str, *, tracked: bool) -> SyncError:
    """What 404 and 410 mean: they may be about a meeting, a user, or nothing of Webex's at all.

    Each of Webex's own answers has a tracking id. A gateway's `{"message": …}` has none.
    """
    said = f"{provider} answered {answer.status}"
    if not text or not tracked:
        return not_its_words(answer, provider)
    if re.search(r"\b(?:host|user)\b", text, re.IGNORECASE):
        return NotAllowed(f"{said}: it does not know the host, who may have left; check the host")
    return Gone(said)


def _unfit(meeting: Mapping[str, Any]) -> str | None:
    """Return what a meeting is if it cannot be scheduled. None: it can.

    https://developer.webex.com/docs/api/v1/meetings (scheduledType, meetingType, adhoc)
    """
    match text_in(meeting, "scheduledType"):
        case "personalRoomMeeting":
            return "a personal room"
        case "webinar":
            return "a webinar"
    if meeting.get("adhoc") is True:
        return "an instant meeting"
    if text_in(meeting, "meetingType") == "meeting":
        return "a meeting that was held, not one that is scheduled"
    return None


def _series_id(meeting: Mapping[str, Any]) -> str:
    return text_in(meeting, "meetingSeriesId") or text_in(meeting, "id") or ""


def _starts(meeting: Mapping[str, Any]) -> EventTime | None:
    start = moment_in(meeting.get("start"))
    return EventTime(moment=start, time_zone=text_in(meeting, "timezone")) if start else None


def _series_of(meeting: Mapping[str, Any], content: ConferenceContent) -> Series | Impossible:
    """The series that Webex has, read as an event's would be."""
    starts, end = _starts(meeting), moment_in(meeting.get("end"))
    if starts is None or end is None:
        return Impossible("it has no times")
    rule = (text_in(meeting, "recurrence") or "").removeprefix("RRULE:")
    ends = EventTime(moment=end, time_zone=starts.time_zone)
    return parse(replace(content, start=starts, end=ends, recurrence=(f"RRULE:{rule}",)))


def _other_times(meeting: Mapping[str, Any], content: ConferenceContent, now: datetime) -> set[str]:
    """Name the times in which a single meeting differs, to the minute."""
    there, until = moment_in(meeting.get("start")), moment_in(meeting.get("end"))
    start, length = moment_of(content.start, UTC), _length(duration_of(content))
    if there is None or until is None:
        return {"start", "end"}
    if start <= now:
        # Under way, and so told to begin later: the end is what counts.
        end = (start + duration_of(content)).replace(second=0, microsecond=0)
        return set() if until == end or until - there == _SHORTEST else {"end"}
    differing = set() if there == start.replace(second=0, microsecond=0) else {"start"}
    return differing if until - there == length else differing | {"end", "duration"}


def _ahead(series: Series, now: datetime) -> list[datetime]:
    """The next dates of a rule, those excluded among them, to the minute."""
    moments = (series.moment(wall) for wall in series.rule_dates(now))
    ahead = (moment.replace(second=0, microsecond=0) for moment in moments if moment > now)
    return list(islice(ahead, CHECKED))


def _is_looked_up(conference_id: ConferenceId) -> bool:
    """Whether an id is a meeting's number or link."""
    return conference_id.isdecimal() or "://" in conference_id


def _hosted(host: str | None) -> dict[str, str]:
    return {"hostEmail": host} if host else {}


def _id_in(meeting: Mapping[str, Any], provider: str) -> str:
    """Return the id of a meeting that was answered. Raises TryLater for what is no meeting."""
    known = text_in(meeting, "id")
    if known is None:
        raise TryLater(f"{provider} answered success without a meeting", outcome_unknown=True)
    return known


def way_in(meeting: dict[str, Any], provider: str) -> WayIn:
    """Return how people enter a meeting. Its `hostKey` makes whoever knows it the host: it is
    not looked at."""
    known = _id_in(meeting, provider)
    points = []
    number, numeric = (
        text_in(meeting, "meetingNumber"),
        text_in(meeting, "phoneAndVideoSystemPassword"),
    )
    if link := text_in(meeting, "webLink"):
        points.append(
            EntryPoint(
                kind="video",
                uri=link,
                label=parts_of_link(link).netloc,
                meeting_code=number,
                password=text_in(meeting, "password"),
            )
        )
    if sip := text_in(meeting, "sipAddress"):
        points.append(
            EntryPoint(kind="sip", uri=f"sip:{sip.removeprefix('sip:')}", label=sip, pin=numeric)
        )
    telephony = object_of(meeting, "telephony")
    code = text_in(telephony, "accessCode")
    for dial_in in items_in(telephony.get("callInNumbers")):
        if phone := text_in(dial_in, "callInNumber"):
            dialled = re.sub(r"[^\d+]", "", phone)
            uri = f"tel:{dialled},,{code}#" if code else f"tel:{dialled}"
            points.append(
                EntryPoint(kind="phone", uri=uri, label=phone, access_code=code, pin=numeric)
            )
    return WayIn(conference_id=ConferenceId(known), entry_points=tuple(points))


def _agenda(content: ConferenceContent) -> str | None:
    return shortened(plain_text(content.description), _AGENDA_LIMIT) or None


def _length(length: timedelta) -> timedelta:
    """A meeting is at least ten minutes long. One too long is refused rather than cut."""
    if length > _LONGEST:
        raise Invalid("Webex has no meetings of 24 hours or more; shorten the event")
    return max(length, _SHORTEST)


def _iso(moment: datetime, zone: tzinfo) -> str:
    return moment.astimezone(zone).replace(second=0, microsecond=0).isoformat()


def _stamp(occurrence: Mapping[str, Any], series_id: str) -> datetime | None:
    """The original start that an occurrence's id is made of. None for an id of another form."""
    text = str(occurrence.get("id", "")).removeprefix(f"{series_id}_")
    return moment_in(text) if re.fullmatch(r"\d{8}T\d{6}Z", text) else None


def _without_nothing(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _path(known: str) -> str:
    return f"/meetings/{segment(known)}"
