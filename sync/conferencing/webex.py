"""Webex meetings, through a service app that a site's administrator authorised.

https://developer.webex.com/admin/docs/api/v1/service-apps ·
https://developer.webex.com/docs/api/v1/meetings
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

from sync.conferencing.api import (
    Api,
    Clock,
    OAuthTokens,
    Options,
    ReadSecret,
    ReplaceSecret,
    items_in,
    object_in,
    one_line,
    plain_text,
    quoted,
    segment,
    shortened,
    status_error,
    text_in,
)
from sync.conferencing.http import Answer, HttpClient
from sync.conferencing.recurrence import (
    Approximate,
    ForWebex,
    Impossible,
    Translation,
    duration_of,
    for_webex,
    is_over,
    moment_in,
    moment_of,
    original_moment,
    parse,
    rfc3339,
    zone_of,
)
from sync.config import ProviderSettings
from sync.errors import CredentialsRefused, Gone, Invalid, NotAllowed, SyncError, TryLater
from sync.model.provider import ProviderRules, uri_pattern
from sync.model.conference import Approximation, ConferenceContent, WayIn
from sync.model.event import ConferenceId, EntryPoint

FIELDS = frozenset({"title", "description", "start", "end", "time_zone", "recurrence"})
WHEN = frozenset({"start", "end", "time_zone", "recurrence", "duration"})

_BASE_URL = "https://webexapis.com/v1"
# The number of a link's meeting stands in its query.
_URIS = (
    re.compile(r"((?i:https://[^/?#@]+\.webex\.com)/[^?#]*j\.php\?(?:[^#]*&)?MTID=[^#]+)(?:#.*)?"),
)
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

_UTC = ZoneInfo("UTC")


class WebexProvider:
    """`Provider` for Webex. The secret holds `{"client_id", "client_secret", "refresh_token"}`.

    A refresh token that Webex renews becomes the secret's next version, through `replace_secret`.
    Options: `host`, the address of the user whose meetings these are, else the event's organizer;
    `site_url`, where meetings are created; `mail`, whether Webex may mail hosts and invitees.
    """

    def __init__(
        self,
        settings: ProviderSettings,
        read_secret: ReadSecret,
        clock: Clock,
        *,
        replace_secret: ReplaceSecret | None = None,
    ) -> None:
        options = Options(settings, {"host", "site_url", "mail"})
        self.name = settings.name
        self._clock = clock
        self._host = options.text("host", "host@example.com")
        self._site = options.text("site_url", "example.webex.com")
        self._mail = options.flag("mail")
        http = HttpClient()
        base_url = options.url("base_url", _BASE_URL)
        token_url = options.url("token_url", f"{base_url}/access_token")

        def ask(secret: Mapping[str, str]) -> Answer:
            return http.request("POST", token_url, form={"grant_type": "refresh_token", **secret})

        fields = ("client_id", "client_secret", "refresh_token")
        tokens = OAuthTokens(
            settings, read_secret, clock, fields=fields, ask=ask, replace_secret=replace_secret
        )
        self._api = Api(self.name, base_url, tokens, clock, http, classify)
        self._ids: dict[str, str] = {}
        self._lock = threading.Lock()
        self._rules = ProviderRules(
            name=settings.name,
            solutions=frozenset(settings.solutions),
            uris=(*_URIS, *(uri_pattern(uri) for uri in settings.uris)),
            fields=FIELDS,
            occurrences=True,
            drops_occurrences=True,
            normalise=meeting_id,
        )

    @property
    def rules(self) -> ProviderRules:
        return self._rules

    def create(self, content: ConferenceContent, idempotency_key: str) -> WayIn:
        """Create a meeting, known again by a tag that only our app sees."""
        if is_over(content, self._clock()):
            raise Invalid("the event is over; Webex creates no meeting in the past")
        body, cancelled = self._told(content, FIELDS)
        host = self._host or content.organizer
        if host:
            body["hostEmail"] = host
        if known := self._created_before(idempotency_key, content, host):
            return way_in(self._api.read(_path(known), query=self._hosted(host)), self.name)
        site = {"siteUrl": self._site} if self._site else {}
        new = {**body, **site, "integrationTags": [idempotency_key]}
        meeting = object_in(
            self._api.call("POST", "/meetings", body=_without_nothing(new)), self.name
        )
        made = way_in(meeting, self.name)
        self._cancel(str(meeting["id"]), cancelled, host)
        return made

    def read(self, conference_id: ConferenceId) -> WayIn:
        return way_in(
            self._api.read(_path(self._id_of(conference_id)), query=self._hosted()), self.name
        )

    def update(
        self, conference_id: ConferenceId, content: ConferenceContent, changed: frozenset[str]
    ) -> None:
        """Send what differs; of an event that is over, no times. A meeting that expired with its
        event is no loss."""
        over = is_over(content, self._clock())
        body, cancelled = self._told(content, changed - WHEN if over else changed)
        if body.keys() <= {"sendEmail"}:
            return
        host = self._host or content.organizer
        if host:
            body["hostEmail"] = host
        try:
            known = self._id_of(conference_id, host)
            self._api.call("PATCH", _path(known), body=body, headers=_PATCH)
        except Gone:
            if over:
                return
            raise
        self._cancel(known, cancelled, host)

    def delete(self, conference_id: ConferenceId) -> None:
        try:
            self._delete(self._id_of(conference_id), self._host)
        except Gone:
            return

    def update_occurrence(
        self, conference_id: ConferenceId, original_start: str, content: ConferenceContent
    ) -> None:
        """Send what differs of one occurrence. Of one that is past, or is to lie in the past, no
        times."""
        host = self._host or content.organizer
        original = original_moment(original_start, _UTC)
        found = self._occurrence(self._id_of(conference_id, host), original, host)
        if found is None:
            if original <= self._clock():
                return
            raise Invalid(
                "Webex does not list this occurrence; it was cancelled there, which brings none back"
            )
        body: dict[str, Any] = {}
        title, agenda = one_line(content.title, _TITLE_LIMIT), _agenda(content)
        if title != found.get("title"):
            body["title"] = title
        if agenda != (found.get("agenda") or None):
            body["agenda"] = agenda
        start = moment_of(content.start, _UTC)
        end = start + _length(duration_of(content))
        if start > self._clock() and (start, end) != (
            moment_in(found.get("start")),
            moment_in(found.get("end")),
        ):
            zone = zone_of(content.start.time_zone) or _UTC
            body |= {"start": _iso(start, zone), "end": _iso(end, zone)}
        if body:
            body |= {"sendEmail": self._mail, **({"hostEmail": host} if host else {})}
            self._api.call("PATCH", _path(str(found["id"])), body=body, headers=_PATCH)

    def cancel_occurrence(self, conference_id: ConferenceId, original_start: str) -> None:
        self._cancel(
            self._id_of(conference_id), (original_moment(original_start, _UTC),), self._host
        )

    def canonical(self, conference_id: ConferenceId) -> ConferenceId:
        """Return the id of a meeting that is shown by its number or its link."""
        return ConferenceId(self._id_of(conference_id))

    def close(self) -> None:
        self._api.close()

    def approximation(self, content: ConferenceContent) -> Approximation | None:
        """Return how Webex's copy of a series falls short of it; None: it does not."""
        if not content.recurrence or is_over(content, self._clock()):
            return None
        translated = self._translated(content)
        return translated.approximation if isinstance(translated, Approximate) else None

    def _told(
        self, content: ConferenceContent, changed: frozenset[str]
    ) -> tuple[dict[str, Any], tuple[datetime, ...]]:
        """Return what to tell, and which dates of the series to cancel. Whatever says when goes
        together.

        Raises Invalid for what Webex cannot hold.
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
        zone = zone_of(content.start.time_zone) or _UTC
        if content.recurrence:
            translated = self._translated(content)
            if isinstance(translated, Impossible):
                raise Invalid(
                    f"Webex cannot follow this recurrence: {translated.reason}; the meeting is left as it is"
                )
            sent = translated.sent
            start = sent.start.replace(tzinfo=zone)
            body |= {"recurrence": sent.recurrence}
            end, cancelled = start + _length(duration_of(content)), sent.cancelled
        else:
            start, now = moment_of(content.start, _UTC), self._clock()
            length = duration_of(content)
            if start <= now:
                # Under way; Webex takes no start in the past.
                length -= now - start
                start = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
            end, cancelled = start + _length(length), ()
            if "recurrence" in changed:
                body["recurrence"] = None
        return {
            **body,
            "start": _iso(start, zone),
            "end": _iso(end, zone),
            "timezone": zone.key,
        }, cancelled

    def _translated(self, content: ConferenceContent) -> Translation[ForWebex]:
        series = parse(content)
        return series if isinstance(series, Impossible) else for_webex(series, self._clock())

    def _hosted(self, host: str | None = None) -> dict[str, str]:
        host = host or self._host
        return {"hostEmail": host} if host else {}

    def _id_of(self, conference_id: ConferenceId, host: str | None = None) -> str:
        """Return Webex's own id; a number or a link is looked up. Raises Gone if there is no
        such meeting."""
        if not (conference_id.isdecimal() or "://" in conference_id):
            return conference_id
        if known := self._ids.get(conference_id):
            return known
        key = "meetingNumber" if conference_id.isdecimal() else "webLink"
        query = {key: conference_id, "current": "false", **self._hosted(host)}
        found = self._api.read("/meetings", query=query)
        series = next(iter(items_in(found.get("items"))), {})
        known = text_in(series, "meetingSeriesId") or text_in(series, "id")
        if known is None:
            raise Gone(f"{self.name} knows no meeting by that number or link")
        with self._lock:
            if len(self._ids) >= _REMEMBERED:
                self._ids.clear()
            self._ids[conference_id] = known
        return known

    def _created_before(self, tag: str, content: ConferenceContent, host: str | None) -> str | None:
        """Return the meeting that an earlier try of the same creation made, if its answer was
        lost."""
        now = self._clock()
        until = max(moment_of(content.start, _UTC) + timedelta(days=1), now + _AHEAD)
        query = {
            "integrationTag": tag,
            "meetingType": "meetingSeries",
            "from": rfc3339(now - timedelta(days=1)),
            "to": rfc3339(until),
            "current": "false",
            **self._hosted(host),
        }
        for item in items_in(self._api.read("/meetings", query=query).get("items")):
            if tag in (item.get("integrationTags") or [tag]):
                return text_in(item, "id")
        return None

    def _occurrence(
        self, series_id: str, original: datetime, host: str | None
    ) -> dict[str, Any] | None:
        """Find an occurrence by its original start: where it was, else by the id that is made of
        it."""
        query = {
            "meetingSeriesId": series_id,
            "meetingType": "scheduledMeeting",
            "from": rfc3339(original),
            "to": rfc3339(original + timedelta(minutes=1)),
            **self._hosted(host),
        }
        made_of_it = f"{series_id}_{original:%Y%m%dT%H%M%SZ}"
        listed = items_in(self._api.read("/meetings", query=query).get("items"))
        for each in listed:
            # Another one may have been moved to where this one was.
            if moment_in(each.get("start")) == original and _stamp(each, series_id) in (
                None,
                original,
            ):
                return each
        try:
            return self._api.read(_path(made_of_it), query=self._hosted(host))
        except (Gone, Invalid):
            return None

    def _cancel(self, series_id: str, cancelled: tuple[datetime, ...], host: str | None) -> None:
        for original in cancelled:
            found = self._occurrence(series_id, original, host)
            if found is not None:
                try:
                    self._delete(str(found["id"]), host)
                except Gone:
                    continue

    def _delete(self, known: str, host: str | None) -> None:
        query = {"sendEmail": "true" if self._mail else "false", **self._hosted(host)}
        self._api.call("DELETE", _path(known), query=query)


def classify(answer: Answer, provider: str, now: datetime) -> SyncError | None:
    """Return what an answer of Webex means (C3), None for success. Pure.

    A meeting that runs, or is locked (409, 423), is TryLater. 403 is about one meeting or one host,
    unless a scope is missing, which is about all.
    https://developer.webex.com/docs/basics#api-errors
    """
    status = answer.status
    if 200 <= status < 300:
        return None
    general = status_error(answer, provider, now)
    if general is not None:
        return general
    value = answer.json()
    body = value if isinstance(value, dict) else {}
    errors = "; ".join(
        text for error in items_in(body.get("errors")) if (text := text_in(error, "description"))
    )
    text = errors or text_in(body, "message") or ""
    tracking = text_in(body, "trackingId") or answer.headers.get("trackingId", "")
    tracked = f" (tracking id {tracking[:100]})" if re.fullmatch(r"[\w.-]+", tracking) else ""
    said = f"{provider} answered {status}"
    reason = f"{said}{quoted(text)}{tracked}"
    if status in (404, 410):
        if status == 404 and not body and answer.body.lstrip().startswith(b"<"):
            return Invalid(f"{said} with a page; check base_url in SYNC_PROVIDERS")
        return Gone(said)
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


def meeting_id(text: str) -> str:
    """Return how a meeting is known here, from what Calendar shows: an id, a number with blanks,
    a link."""
    text = text.strip()
    if "://" in text:
        parts = urlsplit(text)
        number = parse_qs(parts.query).get("MTID")
        return f"https://{parts.netloc.lower()}{parts.path}?MTID={number[0]}" if number else text
    digits = re.sub(r"[\s\u2010-\u2015.-]+", "", text)
    return digits if digits.isascii() and digits.isdecimal() else text


def way_in(meeting: dict[str, Any], provider: str) -> WayIn:
    """Return how people enter a meeting. Its `hostKey` makes whoever knows it the host: it is
    not looked at."""
    known = text_in(meeting, "id")
    if known is None:
        raise TryLater(f"{provider} answered success without a meeting", outcome_unknown=True)
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
                label=urlsplit(link).netloc,
                meeting_code=number,
                password=text_in(meeting, "password"),
            )
        )
    if sip := text_in(meeting, "sipAddress"):
        points.append(
            EntryPoint(kind="sip", uri=f"sip:{sip.removeprefix('sip:')}", label=sip, pin=numeric)
        )
    telephony = meeting.get("telephony")
    telephony = telephony if isinstance(telephony, dict) else {}
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
    """A meeting is at least ten minutes long; one too long is refused rather than cut."""
    if length > _LONGEST:
        raise Invalid("Webex has no meetings of 24 hours or more; shorten the event")
    return max(length, _SHORTEST)


def _iso(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).replace(second=0, microsecond=0).isoformat()


def _stamp(occurrence: Mapping[str, Any], series_id: str) -> datetime | None:
    """The original start that an occurrence's id is made of; None for an id of another form."""
    text = str(occurrence.get("id", "")).removeprefix(f"{series_id}_")
    return moment_in(text) if re.fullmatch(r"\d{8}T\d{6}Z", text) else None


def _without_nothing(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _path(known: str) -> str:
    return f"/meetings/{segment(known)}"
