"""Zoom meetings, through a server-to-server OAuth app of the account.

https://developers.zoom.us/docs/internal-apps/s2s-oauth/ ·
https://developers.zoom.us/docs/api/meetings/
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import islice
from typing import Any, ClassVar

from sync.backoff import retry_after
from sync.conferencing.adapter import Adapter, Context, delete_for_good
from sync.conferencing.api import (
    Api,
    items_in,
    not_its_words,
    object_in,
    object_of,
    parts_of_link,
    segment,
    status_error,
    text_in,
)
from sync.conferencing.http import Answer, HttpClient
from sync.conferencing.options import Options
from sync.conferencing.recurrence import (
    ZOOM_MOST,
    Approximate,
    ForZoom,
    Translation,
    for_zoom,
    moment_in,
    original_moment,
    rfc3339,
    zone_name,
)
from sync.conferencing.text import one_line, plain_text, quoted, shortened
from sync.conferencing.tokens import OAuthTokens
from sync.config import ProviderSettings
from sync.errors import (
    ConfigurationError,
    CredentialsRefused,
    Gone,
    Invalid,
    NotAllowed,
    SyncError,
    TryLater,
)
from sync.model.conference import Approximation, ConferenceContent, Sight, WayIn
from sync.model.event import ConferenceId, EntryPoint, EventTime, address_of, digest, zone_of
from sync.model.series import Impossible, duration_of, is_over, moment_of, parse

WHEN = frozenset({"start", "end", "time_zone", "recurrence", "duration"})

_BASE_URL = "https://api.zoom.us/v2"
_TOKEN_URL = "https://zoom.us/oauth/token"
# Ids have 9 to 11 digits; one more is room for growth.
_NUMBER = r"(\d{9,12})"
# Beside Zoom's own: its domains in China, and of the Zoom X that Deutsche Telekom runs.
_HOST = r"(?i:https?://(?:[^/?#@\s]+\.)?zoom(?:\.us|\.com|gov\.com|\.com\.cn|-x\.de))(?::443)?"

_TITLE_LIMIT = 200
_AGENDA_LIMIT = 2000
# Lists show so much of an agenda: what a repeated creation is known by must stand within.
_LISTED_AGENDA = 250
_PAGES = 20
# A series' dates are compared so far: more than Zoom lists of one.
_COMPARED = 400
# A meeting that runs cannot be changed; nobody says when it will end.
_WHILE_IT_RUNS = timedelta(minutes=15)
# The daily limit ends at midnight by Zoom's clock. A call a second too early would wait for another
# day.
_AFTER_MIDNIGHT = timedelta(minutes=1)

# Of an answer's words, so much is looked through for what they mean.
_LONGEST_SAID = 1_000

_MARK = re.compile(r"\[ref [0-9a-f]{12}\]")

_CANCELLED_THERE = (
    "Zoom does not list this occurrence; it was cancelled there, which brings none back, or the "
    "series has no such date"
)

_SCHEDULED, _NO_FIXED_TIME, _RECURRING = 2, 3, 8
_UNFIT = {
    1: "an instant meeting",
    3: "a meeting without a fixed time",
    4: "a personal room",
    5: "a webinar",
    6: "a webinar",
    9: "a webinar",
    10: "a screen share",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _When:
    """The members of a meeting that say when it takes place, which go together.

    `cancelled`: dates of the series to cancel.
    """

    members: dict[str, Any]
    cancelled: tuple[datetime, ...] = ()


def meeting_number(text: str) -> str:
    """Return a meeting's id as Zoom writes it, from `123 4567 8901`, `123-456-789` or a join
    link."""
    link = re.search(r"/(?:j|w|s|wc/join|wc|join)/(\d{9,12})(?!\d)", text)
    if link:
        return link[1]
    digits = re.sub(r"[\s\u00ad\u2010-\u2015.-]", "", text)
    return digits if digits.isascii() and digits.isdecimal() else text.strip()


class ZoomProvider(Adapter):
    """`Adapter` for Zoom. The secret holds `{"account_id", "client_id", "client_secret"}`.

    Options: `host`, the user (id or e-mail address) for whom meetings are created anew, else the
    event's organizer. `mail`, whether Zoom may mail hosts and registrants of a deletion. `all_day`,
    whether all-day events are meetings from midnight to midnight in `time_zone`. `max_occurrences`,
    for accounts whose limit was raised. `unsupported_recurrence`, either `refuse` or
    `no_fixed_time`: the meeting keeps its link and lists no dates.
    """

    FIELDS: ClassVar = frozenset(
        {"title", "description", "start", "end", "time_zone", "recurrence"}
    )
    URIS: ClassVar = (re.compile(rf"{_HOST}/(?:j|s|w|wc/join|wc)/{_NUMBER}(?:[/?#].*)?"),)
    # https://developers.google.com/workspace/calendar/api/v3/reference/events: an add-on of Zoom
    # notes the meeting here where `conferenceId` is the host's personal number.
    PARAMETERS: ClassVar = ("realMeetingId",)
    OCCURRENCES: ClassVar = True
    DROPS_OCCURRENCES: ClassVar = True
    NOBODYS_ID: ClassVar = ConferenceId("99999999999")
    normalise = staticmethod(meeting_number)

    def __init__(self, settings: ProviderSettings, context: Context) -> None:
        options = Options(
            settings,
            {"host", "mail", "all_day", "time_zone", "max_occurrences", "unsupported_recurrence"},
        )
        super().__init__(settings, context)
        self._host = options.text("host", "host@example.com")
        self._mail = options.flag("mail")
        self._all_day = options.flag("all_day")
        self._most = options.number("max_occurrences", ZOOM_MOST, 1, 365)
        name = options.text("time_zone", "Europe/Berlin") or "UTC"
        zone = zone_of(name)
        fallback = options.text("unsupported_recurrence", "refuse") or "refuse"
        where = f"SYNC_PROVIDERS, provider {settings.name}:"
        if zone is None:
            raise ConfigurationError(
                f"{where} time_zone is unknown; use a name such as Europe/Berlin"
            )
        if fallback not in ("refuse", "no_fixed_time"):
            raise ConfigurationError(
                f"{where} unsupported_recurrence must be refuse or no_fixed_time; correct it"
            )
        self._zone, self._zone_name = zone, name
        self._without_dates = fallback == "no_fixed_time"
        http = HttpClient()
        token_url = options.url("token_url", _TOKEN_URL)

        def ask(secret: Mapping[str, str]) -> Answer:
            basic = base64.b64encode(
                f"{secret['client_id']}:{secret['client_secret']}".encode()
            ).decode()
            form = {"grant_type": "account_credentials", "account_id": secret["account_id"]}
            return http.request(
                "POST", token_url, headers={"Authorization": f"Basic {basic}"}, form=form
            )

        fields = ("account_id", "client_id", "client_secret")
        tokens = OAuthTokens(settings, context, fields=fields, ask=ask)
        base_url = options.url("base_url", _BASE_URL)
        self._api = Api(self.name, base_url, tokens, context.clock, http, classify)

    def create(
        self, content: ConferenceContent, idempotency_key: str, host: str | None = None
    ) -> WayIn:
        """Create a meeting, known again by a mark in its agenda: Zoom has no idempotency key."""
        when = self._when(content)
        if when is None:
            raise Invalid("the event is over; Zoom creates no meeting in the past")
        path, mark = self._meetings_of(content, host), _mark_of(idempotency_key)
        if known := self._marked(path, mark):
            return way_in(self._api.read(_path(known)), self.name)
        type_ = {"type": _RECURRING if content.recurrence else _SCHEDULED}
        # A personal room would be shared with everything else that its owner does there.
        body = {
            **self._words(content, self.FIELDS, mark),
            **type_,
            **when.members,
            "settings": {"use_pmi": False},
        }
        made = way_in(self._api.call("POST", path, body=body), self.name)
        self._cancel(made.conference_id, when.cancelled)
        return made

    def find_made(
        self, content: ConferenceContent, idempotency_key: str, host: str | None = None
    ) -> ConferenceId | None:
        """Return the id of the meeting that carries the mark of this key."""
        return self._marked(self._meetings_of(content, host), _mark_of(idempotency_key))

    def look(
        self, conference_id: ConferenceId, content: ConferenceContent, asked_as: Sequence[str] = ()
    ) -> Sight:
        """Read a meeting: `host_email`, `type` and `pmi` say whose and of what kind it is."""
        answer = self._api.ask("GET", _path(conference_id))
        if unfit := _unfit_by_refusal(answer):
            return Sight(way_in=WayIn(conference_id=conference_id), unfit=unfit)
        self._api.checked(answer)
        meeting = object_in(answer, self.name)
        found = way_in(meeting, self.name)
        host, kind = text_in(meeting, "host_email"), meeting.get("type")
        if self._host is not None and self._host == text_in(meeting, "host_id"):
            host = self._host  # the entry names its host by Zoom's id instead of an address
        return Sight(
            way_in=found,
            hosts=frozenset({address_of(host)} if host else ()),
            # C4: created anew for whoever hosted it, unless the entry names one host for all. The
            # organizer may be a calendar of a group, which hosts nothing.
            seen_as=None if self._host else host,
            unfit=_unfit(meeting),
            recurring=kind == _RECURRING,
            starts=_starts(meeting, self._clock()),
            differs=self._differing(meeting, content),
        )

    def read(self, conference_id: ConferenceId, host: str | None = None) -> WayIn:
        return way_in(self._api.read(_path(conference_id)), self.name)

    def update(
        self,
        conference_id: ConferenceId,
        content: ConferenceContent,
        changed: frozenset[str],
        host: str | None = None,
    ) -> None:
        """Send what differs. Of an event that is over, no times.

        A meeting that expired with its event is no loss. `type` is sent where a single event became
        a series, and where a series became a single event: to a meeting that is single already it
        is not, for it would undo what somebody made of the meeting meanwhile (O5).
        """
        over = is_over(content, self._clock())
        when = self._when(content) if changed & WHEN and not over else None
        if when and "type" in when.members and "recurrence" not in changed:
            when = None  # a meeting without dates has no times to change
        body = {**self._words(content, changed), **(when.members if when else {})}
        if not body:
            return
        try:
            if when and "recurrence" in changed and "type" not in body:
                body |= self._type(conference_id, content)
            self._api.tell("PATCH", _path(conference_id), body=body)
        except Gone:
            if over:
                return
            raise
        if when:
            self._cancel(conference_id, when.cancelled)

    def delete(self, conference_id: ConferenceId, host: str | None = None) -> None:
        path, query = _path(conference_id), self._reminders()
        delete_for_good(lambda: self._api.tell("DELETE", path, query=query), "Zoom")

    def update_occurrence(
        self,
        conference_id: ConferenceId,
        original_start: str,
        content: ConferenceContent,
        host: str | None = None,
    ) -> None:
        """Move one occurrence, or change its agenda. Its title cannot differ from the series' at
        Zoom.

        Nothing is sent of one that Zoom does not list: it is past, or lies beyond the copy of a
        long series and is told when that is extended.
        """
        series = self._api.read(_path(conference_id))
        found = self._occurrence(series, original_start)
        start = moment_of(content.start, self._zone)
        if found is None:
            listed = [
                at
                for each in items_in(series.get("occurrences"))
                if (at := moment_in(each.get("start_time")))
            ]
            original = original_moment(original_start, self._zone)
            if listed and self._clock() < original <= max(listed):
                raise Invalid(_CANCELLED_THERE)
            return
        if content.start.all_day and not self._all_day:
            return
        if found.get("status") == "deleted":
            raise Invalid(_CANCELLED_THERE)
        query = {"occurrence_id": str(found["occurrence_id"])}
        minutes = _minutes(duration_of(content))
        body: dict[str, Any] = {}
        moved = moment_in(found.get("start_time")) != start or found.get("duration") != minutes
        if moved and start > self._clock():
            body = {"start_time": rfc3339(start), "duration": minutes}
        agenda, of_series = _agenda(content), _unmarked(text_in(series, "agenda") or "")
        if agenda and agenda != of_series:
            body["agenda"] = agenda
        else:
            # Back to the series' own words: the list does not show an occurrence's agenda.
            itself = self._api.read(_path(conference_id), query=query)
            if _unmarked(text_in(itself, "agenda") or "") not in (agenda, of_series):
                body["agenda"] = agenda
        if body:
            try:
                self._api.tell("PATCH", _path(conference_id), query=query, body=body)
            except Gone as error:
                raise Invalid(_CANCELLED_THERE) from error

    def cancel_occurrence(
        self, conference_id: ConferenceId, original_start: str, host: str | None = None
    ) -> None:
        found = self._occurrence(self._api.read(_path(conference_id)), original_start)
        if found is not None:
            self._delete_occurrence(conference_id, found)

    def approximation(self, content: ConferenceContent) -> Approximation | None:
        """Return how Zoom's copy of a series falls short of it. None: it does not."""
        if not content.recurrence or is_over(content, self._clock()):
            return None
        translated = self._translated(content)
        match translated:
            case Approximate():
                return translated.approximation
            case Impossible() if self._without_dates:
                return Approximation(
                    reason=f"Zoom lists no dates of this series: {translated.reason}; "
                    "the link serves it"
                )
            case _:
                return None

    def close(self) -> None:
        self._api.close()

    def _words(
        self, content: ConferenceContent, changed: frozenset[str], mark: str = ""
    ) -> dict[str, Any]:
        words = {}
        if "title" in changed:
            words["topic"] = one_line(content.title, _TITLE_LIMIT)
        if "description" in changed:
            words["agenda"] = _agenda(content, mark)
        return words

    def _meetings_of(self, content: ConferenceContent, host: str | None) -> str:
        user = host or self._host or content.organizer
        if not user:
            raise Invalid(
                "the event has no organizer for whom to create a meeting; "
                "name a host in the provider's entry of SYNC_PROVIDERS"
            )
        return f"/users/{segment(user)}/meetings"

    def _type(self, conference_id: ConferenceId, content: ConferenceContent) -> dict[str, Any]:
        """Return the `type` to send where the recurrence changes, `{}` for none."""
        if content.recurrence:
            return {"type": _RECURRING}
        now = self._api.read(_path(conference_id)).get("type")
        return {"type": _SCHEDULED} if now in (_RECURRING, _NO_FIXED_TIME) else {}

    def _reminders(self) -> dict[str, str]:
        wanted = "true" if self._mail else "false"
        return {"schedule_for_reminder": wanted, "cancel_meeting_reminder": wanted}

    def _when(self, content: ConferenceContent) -> _When | None:
        """Return when a meeting takes place. None: it is over. Raises Invalid.

        Start, zone, duration and the whole recurrence go together always, for Zoom takes a part of
        them for something else.
        """
        now = self._clock()
        if is_over(content, now):
            return None
        if content.start.all_day and not self._all_day:
            raise Invalid(
                "an all-day event has no time that Zoom could keep; "
                "give it one, or set all_day in the provider's entry of SYNC_PROVIDERS"
            )
        if content.recurrence:
            return self._series(content)
        start, end = moment_of(content.start, self._zone), moment_of(content.end, self._zone)
        if start <= now:
            # Under way. A start in the past would be ignored, and the duration with it.
            start = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
        name = self._single_zone(content)
        members: dict[str, Any] = {"duration": _minutes(end - start), "timezone": name}
        if name == "UTC":
            return _When(members={**members, "start_time": rfc3339(start)})
        wall = start.astimezone(zone_of(name)).replace(tzinfo=None)
        return _When(members={**members, "start_time": wall.isoformat(timespec="seconds")})

    def _single_zone(self, content: ConferenceContent) -> str:
        """The name of the zone that a single meeting is kept in: UTC for one without a name."""
        if content.start.all_day:
            return zone_name(self._zone)
        return zone_name(zone_of(content.start.time_zone) or UTC)

    def _series(self, content: ConferenceContent) -> _When:
        translated = self._translated(content)
        if isinstance(translated, Impossible):
            if self._without_dates:
                return _When(members={"type": _NO_FIXED_TIME})
            raise Invalid(
                f"Zoom cannot follow this recurrence: {translated.reason}; "
                "the meeting is left as it is"
            )
        sent = translated.sent
        return _When(
            members={
                "start_time": sent.start.isoformat(timespec="seconds"),
                "timezone": sent.zone,
                "duration": _minutes(duration_of(content)),
                "recurrence": sent.recurrence,
            },
            cancelled=sent.cancelled,
        )

    def _translated(self, content: ConferenceContent) -> Translation[ForZoom]:
        series = parse(content, all_day_zone=self._zone_name)
        if isinstance(series, Impossible):
            return series
        return for_zoom(series, self._clock(), self._most)

    def _differing(self, meeting: dict[str, Any], content: ConferenceContent) -> frozenset[str]:
        """Name the fields in which a meeting differs from what `update` would send of an event.

        A description that people keep at Zoom does not differ from none. Fields that Zoom cannot
        hold differ, so that `update` says why.
        """
        differing = set()
        if one_line(content.title, _TITLE_LIMIT) != text_in(meeting, "topic"):
            differing.add("title")
        agenda, there = _agenda(content), _unmarked(text_in(meeting, "agenda") or "")
        if agenda and agenda.split() != there.split():
            differing.add("description")
        try:
            when = self._when(content)
        except Invalid:
            return frozenset({*differing, "recurrence" if content.recurrence else "start"})
        if when is None:
            return frozenset(differing)
        if "type" in when.members:
            if meeting.get("type") != when.members["type"]:
                differing.add("recurrence")
            return frozenset(differing)
        if (meeting.get("type") == _RECURRING) != bool(content.recurrence):
            differing |= {"recurrence", "start"}
        elif content.recurrence:
            if self._other_dates(meeting, content):
                differing |= {"recurrence", "start"}
            if meeting.get("duration") != _minutes(duration_of(content)):
                differing |= {"end", "duration"}
        else:
            differing |= self._other_times(meeting, content)
        if text_in(meeting, "timezone") not in (when.members["timezone"], None):
            differing.add("time_zone")
        return frozenset(differing)

    def _other_times(self, meeting: dict[str, Any], content: ConferenceContent) -> set[str]:
        start, minutes = moment_of(content.start, self._zone), _minutes(duration_of(content))
        there, length = _moment_of(meeting, "start_time"), meeting.get("duration")
        if there and isinstance(length, int) and start <= self._clock():
            # Under way, and so told to begin later: the end is what counts.
            end = there + timedelta(minutes=length)
            return set() if end == start + timedelta(minutes=minutes) else {"end"}
        differing = set() if there == start else {"start"}
        return differing if length == minutes else differing | {"end", "duration"}

    def _other_dates(self, meeting: dict[str, Any], content: ConferenceContent) -> bool:
        """Whether Zoom lists other dates of a series than Calendar has, those ahead of now.

        An occurrence counts by its original start, wherever it was moved. One that is cancelled at
        Zoom is no difference, for that may be an exception of the series.
        """
        series = parse(content, all_day_zone=self._zone_name)
        if isinstance(series, Impossible):
            return True
        now = self._clock()
        listed = {
            original: each.get("status") != "deleted"
            for each in items_in(meeting.get("occurrences"))
            if (original := _original_of(each)) and original > now
        }
        horizon = max(listed, default=now)
        ahead = list(islice((each for each in series.dates(now) if each > now), _COMPARED))
        wanted = {each for each in ahead if each <= horizon}
        shown = {original for original, available in listed.items() if available}
        # Zoom could list more of the series than it does.
        too_few = len(ahead) > len(wanted) and len(listed) < self._most
        return too_few or not shown <= wanted <= listed.keys()

    def _marked(self, path: str, mark: str) -> ConferenceId | None:
        """Return the meeting with this mark: an earlier try of a creation made it."""
        page_token = ""
        for _ in range(_PAGES):
            query = {"type": "scheduled", "page_size": "300"}
            listed = self._api.read(
                path, query={**query, "next_page_token": page_token} if page_token else query
            )
            for meeting in items_in(listed.get("meetings")):
                if mark in (text_in(meeting, "agenda") or "") and meeting.get("id"):
                    return ConferenceId(str(meeting["id"]))
            page_token = text_in(listed, "next_page_token") or ""
            if not page_token:
                return None
        return None

    def _cancel(self, conference_id: ConferenceId, cancelled: tuple[datetime, ...]) -> None:
        """EXDATE: Zoom is sent the rule, and told of each date that does not take place."""
        if not cancelled:
            return
        for occurrence in items_in(self._api.read(_path(conference_id)).get("occurrences")):
            named = occurrence.get("occurrence_id")
            if named and moment_in(occurrence.get("start_time")) in cancelled:
                self._delete_occurrence(conference_id, occurrence)

    def _delete_occurrence(self, conference_id: ConferenceId, occurrence: dict[str, Any]) -> None:
        if occurrence.get("status") == "deleted":
            return
        query = {"occurrence_id": str(occurrence["occurrence_id"]), **self._reminders()}
        try:
            self._api.tell("DELETE", _path(conference_id), query=query)
        except Gone:
            return

    def _occurrence(self, series: dict[str, Any], original_start: str) -> dict[str, Any] | None:
        """Find an occurrence by its original start: its id is made of that, but only its start
        is documented."""
        original = original_moment(original_start, self._zone)
        listed = [each for each in items_in(series.get("occurrences")) if each.get("occurrence_id")]
        by_id = str(int(original.timestamp() * 1000))
        return next(
            (each for each in listed if str(each["occurrence_id"]) == by_id),
            next((each for each in listed if moment_in(each.get("start_time")) == original), None),
        )


def classify(answer: Answer, provider: str, now: datetime) -> SyncError | None:
    """Return what an answer of Zoom means (C3), None for success. Pure.

    By status first: numbers such as 200, 300 and 429 are also codes in the body. What stands in the
    way of a meeting: running (3002) is TryLater. Ended (3007) is Gone, so that deleting it is done
    and an event moved on gets another. Another's (3003) is NotAllowed. A personal room or audio
    conference (3018, 3037) is Invalid. What is wrong with a host (1001, 1010, 3161, a missing
    licence) concerns that host's meetings alone, a missing scope (4711) all of them. A 404 without
    Zoom's own words is a proxy's.
    https://developers.zoom.us/docs/api/meetings/
    """
    status = answer.status
    if 200 <= status < 300:
        return None
    body = answer.members()
    code, message = body.get("code"), body.get("message")
    # Cut: looking through megabytes of "meeting meeting" takes hours.
    text = message[:_LONGEST_SAID].lower() if isinstance(message, str) else ""
    said = f"{provider} answered {status}" + (f" with code {code}" if isinstance(code, int) else "")
    if status == 429:
        after = retry_after(answer.headers, now)
        # Without that header it is one host's limit, or so many calls in this second.
        return TryLater(
            said,
            after=_limit(answer.headers, text, now) if after is None else after,
            everybody=after is not None,
        )
    general = status_error(answer, provider, now)
    if general is not None:
        return general
    if code == 4711 or "does not contain scopes" in text:
        return CredentialsRefused(
            f"{said}: a scope is missing; add it to the app{quoted(message)}", provider=provider
        )
    fields = ", ".join(
        name for error in items_in(body.get("errors")) if (name := text_in(error, "field"))
    )
    reason = f"{said}{quoted(message)}" + (f" ({quoted(fields)[2:]})" if fields else "")
    missing = re.search(r"meeting.*(not found|not exist|expired)", text) is not None
    if status == 404 and (code == 3001 or (code == 300 and missing)):
        return Gone(said)
    if status == 400 and (
        (code == 300 and missing) or code == 3007 or (code == 3000 and "occurrence" in text)
    ):
        return Gone(said)
    if status == 400 and code == 3002:
        return TryLater(f"{said}: the meeting is running", after=_WHILE_IT_RUNS)
    if status == 403 or code in (200, 1010, 3003, 3161):
        return NotAllowed(f"{reason}; check the host and its licence")
    if code == 1001:
        return NotAllowed(
            f"{said}: Zoom does not know the host; "
            "name another in the provider's entry of SYNC_PROVIDERS"
        )
    if status in (404, 410) and not isinstance(code, int):
        return not_its_words(answer, provider)
    return Invalid(reason)


def _limit(headers: Mapping[str, str], text: str, now: datetime) -> timedelta | None:
    """How long a limit lasts whose answer has no Retry-After. The headers may speak of another
    limit than the text."""
    if (
        re.search(r"daily|per.day|00:00", text)
        or "daily" in headers.get("X-RateLimit-Type", "").lower()
    ):
        tomorrow = datetime.combine(
            now.astimezone(UTC).date() + timedelta(days=1), time(tzinfo=UTC)
        )
        return tomorrow - now + _AFTER_MIDNIGHT
    return timedelta(seconds=1)


def _unfit_by_refusal(answer: Answer) -> str | None:
    """Return what a conference is that Zoom refuses to show as a meeting."""
    body = answer.members()
    message = str(body.get("message", ""))[:_LONGEST_SAID].lower()
    match answer.status, body.get("code"):
        case 400, 3000 if "webinar" in message:
            return "a webinar"
        case 400, 3018:
            return "a personal room"
        case 400, 3037:
            return "a personal audio conference"
        case _:
            return None


def _unfit(meeting: Mapping[str, Any]) -> str | None:
    """Return what a meeting is if it cannot be scheduled. None: it can.

    https://developers.zoom.us/docs/api/meetings/ (`type`, and `pmi` where it was used)
    """
    if meeting.get("pmi") or object_of(meeting, "settings").get("use_pmi") is True:
        return "a personal room"
    kind = meeting.get("type")
    if kind in (_SCHEDULED, _RECURRING):
        return None
    unknown = "a meeting of an unknown kind"
    return _UNFIT.get(kind, unknown) if isinstance(kind, int) else unknown


def _starts(meeting: Mapping[str, Any], now: datetime) -> EventTime | None:
    """When a meeting begins. A series on its next date, else on its first."""
    moments = sorted(
        moment
        for each in items_in(meeting.get("occurrences"))
        if each.get("status") != "deleted" and (moment := moment_in(each.get("start_time")))
    )
    ahead = [moment for moment in moments if moment > now]
    found = next(iter(ahead or moments), None) or _moment_of(meeting, "start_time")
    return EventTime(moment=found, time_zone=text_in(meeting, "timezone")) if found else None


def _moment_of(meeting: Mapping[str, Any], name: str) -> datetime | None:
    """A time without an offset is wall time in the meeting's zone."""
    text = text_in(meeting, name) or ""
    zone = zone_of(text_in(meeting, "timezone"))
    if zone is None or re.search(r"(?:[zZ]|[+-]\d\d:?\d\d)$", text):
        return moment_in(text)
    naive = moment_in(text)
    return naive and naive.replace(tzinfo=zone).astimezone(UTC)


def _original_of(occurrence: Mapping[str, Any]) -> datetime | None:
    """When an occurrence was to begin: its id is made of that, in milliseconds."""
    known = str(occurrence.get("occurrence_id", ""))
    if re.fullmatch(r"\d{13}", known, re.ASCII):
        return datetime.fromtimestamp(int(known) / 1000, tz=UTC)
    return moment_in(occurrence.get("start_time"))


def way_in(meeting: dict[str, Any], provider: str) -> WayIn:
    """Return how people enter a meeting. Its `start_url` makes whoever opens it the host: it is
    not looked at."""
    number, join_url = meeting.get("id"), text_in(meeting, "join_url")
    if not isinstance(number, int | str) or not str(number) or isinstance(number, bool):
        raise TryLater(f"{provider} answered success without a meeting", outcome_unknown=True)
    points = []
    if join_url:
        parts = parts_of_link(join_url)
        points.append(
            EntryPoint(
                kind="video",
                uri=join_url,
                label=f"{parts.netloc}{parts.path}",
                meeting_code=str(number),
                passcode=text_in(meeting, "password"),
            )
        )
    numbers = items_in(object_of(meeting, "settings").get("global_dial_in_numbers"))
    pin = text_in(meeting, "pstn_password")
    for dial_in in numbers:
        if phone := text_in(dial_in, "number"):
            dialled = re.sub(r"[^\d+]", "", phone)
            codes = f",,{number}#" + (f",,,,*{pin}#" if pin else "")
            points.append(
                EntryPoint(
                    kind="phone",
                    uri=f"tel:{dialled}{codes}",
                    label=phone,
                    access_code=str(number),
                    pin=pin,
                    region_code=text_in(dial_in, "country"),
                )
            )
    return WayIn(conference_id=ConferenceId(str(number)), entry_points=tuple(points))


def _agenda(content: ConferenceContent, mark: str = "") -> str:
    text = plain_text(content.description)
    if not mark:
        return shortened(text, _AGENDA_LIMIT)
    room = _LISTED_AGENDA - len(mark) - 2
    if shortened(text, room) == text:
        return f"{text}\n\n{mark}".strip()
    return f"{mark}\n\n{shortened(text, _AGENDA_LIMIT - len(mark) - 2)}"


def _mark_of(idempotency_key: str) -> str:
    return f"[ref {digest(idempotency_key)[:12]}]"


def _unmarked(agenda: str) -> str:
    """An agenda without the mark, and without the blanks beside it."""
    return "\n\n".join(part for each in _MARK.split(agenda) if (part := each.strip()))


def _minutes(length: timedelta) -> int:
    return max(1, -(-int(length.total_seconds()) // 60))


def _path(conference_id: ConferenceId) -> str:
    return f"/meetings/{segment(conference_id)}"
