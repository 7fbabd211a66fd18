"""Zoom meetings, through a server-to-server OAuth app of the account.

https://developers.zoom.us/docs/internal-apps/s2s-oauth/ ·
https://developers.zoom.us/docs/api/meetings/
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import urlsplit

from sync.conferencing.api import (
    Api,
    Clock,
    OAuthTokens,
    Options,
    ReadSecret,
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
from sync.conferencing.http import Answer, HttpClient, retry_after
from sync.conferencing.recurrence import (
    ZOOM_MOST,
    Approximate,
    ForZoom,
    Impossible,
    Translation,
    duration_of,
    for_zoom,
    is_over,
    moment_in,
    moment_of,
    original_moment,
    parse,
    rfc3339,
    zone_of,
)
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
from sync.model.provider import ProviderRules, uri_pattern
from sync.model.conference import Approximation, ConferenceContent, WayIn
from sync.model.event import ConferenceId, EntryPoint, digest

FIELDS = frozenset({"title", "description", "start", "end", "time_zone", "recurrence"})
WHEN = frozenset({"start", "end", "time_zone", "recurrence", "duration"})

_BASE_URL = "https://api.zoom.us/v2"
_TOKEN_URL = "https://zoom.us/oauth/token"
_URIS = ("https://*.zoom.us/j/{id}", "https://*.zoom.us/w/{id}", "https://*.zoomgov.com/j/{id}")

_TITLE_LIMIT = 200
_AGENDA_LIMIT = 2000
# Lists show so much of an agenda: what a repeated creation is known by must stand within.
_LISTED_AGENDA = 250
_PAGES = 20
# A meeting that runs cannot be changed; nobody says when it will end.
_WHILE_IT_RUNS = timedelta(minutes=15)
# The daily limit ends at midnight by Zoom's clock. A call a second too early would wait for another
# day.
_AFTER_MIDNIGHT = timedelta(minutes=1)

_MARK = re.compile(r"\s*\[ref [0-9a-f]{12}\]\s*")

_CANCELLED_THERE = (
    "Zoom does not list this occurrence; it was cancelled there, which brings none back"
)

_SCHEDULED, _NO_FIXED_TIME, _RECURRING = 2, 3, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _When:
    """The members of a meeting that say when it takes place, which go together; and dates of it
    to cancel."""

    members: dict[str, Any]
    cancelled: tuple[datetime, ...] = ()


class ZoomProvider:
    """`Provider` for Zoom. The secret holds `{"account_id", "client_id", "client_secret"}`.

    Options: `host`, the user (id or e-mail address) for whom meetings are created anew, else the
    event's organizer; `mail`, whether Zoom may mail hosts and registrants; `all_day`, whether
    all-day events are meetings from midnight to midnight in `time_zone`; `max_occurrences`, for
    accounts whose limit was raised; `unsupported_recurrence`, either `refuse` or `no_fixed_time`:
    the meeting keeps its link and lists no dates.
    """

    def __init__(self, settings: ProviderSettings, read_secret: ReadSecret, clock: Clock) -> None:
        options = Options(
            settings,
            {"host", "mail", "all_day", "time_zone", "max_occurrences", "unsupported_recurrence"},
        )
        self.name = settings.name
        self._clock = clock
        self._host = options.text("host", "host@example.com")
        self._mail = options.flag("mail")
        self._all_day = options.flag("all_day")
        self._most = options.number("max_occurrences", ZOOM_MOST, 1, 365)
        zone = zone_of(options.text("time_zone", "Europe/Berlin") or "UTC")
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
        self._zone = zone
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
        tokens = OAuthTokens(settings, read_secret, clock, fields=fields, ask=ask)
        self._api = Api(
            self.name, options.url("base_url", _BASE_URL), tokens, clock, http, classify
        )
        self._rules = ProviderRules(
            name=settings.name,
            solutions=frozenset(settings.solutions),
            uris=tuple(uri_pattern(uri) for uri in (*settings.uris, *_URIS)),
            fields=FIELDS,
            occurrences=True,
            drops_occurrences=True,
            normalise=meeting_number,
        )

    @property
    def rules(self) -> ProviderRules:
        return self._rules

    def create(self, content: ConferenceContent, idempotency_key: str) -> WayIn:
        """Create a meeting, known again by a mark in its agenda: Zoom has no idempotency key of
        its own."""
        when = self._when(content)
        if when is None:
            raise Invalid("the event is over; Zoom creates no meeting in the past")
        host = self._host or content.organizer
        if not host:
            raise Invalid(
                "the event has no organizer for whom to create a meeting; name a host in the provider's entry of "
                "SYNC_PROVIDERS"
            )
        mark = f"[ref {digest(idempotency_key)[:12]}]"
        path = f"/users/{segment(host)}/meetings"
        if known := self._created_before(path, mark):
            return way_in(self._api.read(_path(known)), self.name)
        body = {
            **self._words(content, FIELDS, mark),
            **when.members,
            **self._settings(use_pmi=False),
        }
        made = way_in(object_in(self._api.call("POST", path, body=body), self.name), self.name)
        self._cancel(made.conference_id, when.cancelled)
        return made

    def read(self, conference_id: ConferenceId) -> WayIn:
        return way_in(self._api.read(_path(conference_id)), self.name)

    def update(
        self, conference_id: ConferenceId, content: ConferenceContent, changed: frozenset[str]
    ) -> None:
        """Send what differs; of an event that is over, no times. A meeting that expired with its
        event is no loss."""
        over = is_over(content, self._clock())
        when = self._when(content) if changed & WHEN and not over else None
        body = {**self._words(content, changed), **(when.members if when else {})}
        if not body:
            return
        try:
            self._api.call("PATCH", _path(conference_id), body={**body, **self._settings()})
        except Gone:
            if over:
                return
            raise
        if when:
            self._cancel(conference_id, when.cancelled)

    def delete(self, conference_id: ConferenceId) -> None:
        try:
            self._api.call("DELETE", _path(conference_id), query=self._reminders())
        except Gone:
            return

    def update_occurrence(
        self, conference_id: ConferenceId, original_start: str, content: ConferenceContent
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
            if listed and self._clock() < original_moment(original_start, self._zone) <= max(
                listed
            ):
                raise Invalid(_CANCELLED_THERE)
            return
        if content.start.all_day and not self._all_day:
            return
        if found.get("status") == "deleted":
            raise Invalid(_CANCELLED_THERE)
        agenda = _agenda(content)
        minutes = _minutes(duration_of(content))
        body: dict[str, Any] = {}
        moved = moment_in(found.get("start_time")) != start or found.get("duration") != minutes
        if moved and start > self._clock():
            body = {"start_time": rfc3339(start), "duration": minutes}
        if agenda != _MARK.sub("", series.get("agenda") or ""):
            body["agenda"] = agenda
        if body:
            query = {"occurrence_id": str(found["occurrence_id"])}
            self._api.call("PATCH", _path(conference_id), query=query, body=body)

    def cancel_occurrence(self, conference_id: ConferenceId, original_start: str) -> None:
        found = self._occurrence(self._api.read(_path(conference_id)), original_start)
        if found is not None:
            self._delete_occurrence(conference_id, found)

    def close(self) -> None:
        self._api.close()

    def approximation(self, content: ConferenceContent) -> Approximation | None:
        """Return how Zoom's copy of a series falls short of it; None: it does not."""
        if not content.recurrence or is_over(content, self._clock()):
            return None
        translated = self._translated(content)
        match translated:
            case Approximate():
                return translated.approximation
            case Impossible() if self._without_dates:
                return Approximation(
                    reason=f"Zoom lists no dates of this series: {translated.reason}; the link serves it"
                )
            case _:
                return None

    def _words(
        self, content: ConferenceContent, changed: frozenset[str], mark: str = ""
    ) -> dict[str, Any]:
        words = {}
        if "title" in changed:
            words["topic"] = one_line(content.title, _TITLE_LIMIT)
        if "description" in changed:
            words["agenda"] = _agenda(content, mark)
        return words

    def _settings(self, **more: Any) -> dict[str, Any]:
        settings = {**more, **({} if self._mail else {"email_notification": False})}
        return {"settings": settings} if settings else {}

    def _reminders(self) -> dict[str, str]:
        wanted = "true" if self._mail else "false"
        return {"schedule_for_reminder": wanted, "cancel_meeting_reminder": wanted}

    def _when(self, content: ConferenceContent) -> _When | None:
        """Return when a meeting takes place: always start, zone, duration and the whole
        recurrence together, for Zoom takes a part of them for something else. None: it is over.
        Raises Invalid."""
        now = self._clock()
        if is_over(content, now):
            return None
        if content.start.all_day and not self._all_day:
            raise Invalid(
                "an all-day event has no time that Zoom could keep; give it one, or set all_day in the provider's "
                "entry of SYNC_PROVIDERS"
            )
        if content.recurrence:
            return self._series(content)
        start, end = moment_of(content.start, self._zone), moment_of(content.end, self._zone)
        if start <= now:
            # Under way. A start in the past would be ignored, and the duration with it.
            start = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
        members: dict[str, Any] = {"type": _SCHEDULED, "duration": _minutes(end - start)}
        zone = self._zone if content.start.all_day else zone_of(content.start.time_zone)
        if zone is None:
            return _When(members={**members, "start_time": rfc3339(start), "timezone": "UTC"})
        wall = start.astimezone(zone)
        return _When(
            members={
                **members,
                "start_time": wall.replace(tzinfo=None).isoformat(timespec="seconds"),
                "timezone": zone.key,
            }
        )

    def _series(self, content: ConferenceContent) -> _When:
        translated = self._translated(content)
        if isinstance(translated, Impossible):
            if self._without_dates:
                return _When(members={"type": _NO_FIXED_TIME})
            raise Invalid(
                f"Zoom cannot follow this recurrence: {translated.reason}; the meeting is left as it is"
            )
        sent = translated.sent
        zone = self._zone.key if content.start.all_day else content.start.time_zone or "UTC"
        return _When(
            members={
                "type": _RECURRING,
                "start_time": sent.start.isoformat(timespec="seconds"),
                "timezone": zone,
                "duration": _minutes(duration_of(content)),
                "recurrence": sent.recurrence,
            },
            cancelled=sent.cancelled,
        )

    def _translated(self, content: ConferenceContent) -> Translation[ForZoom]:
        series = parse(content, all_day_zone=self._zone.key)
        return (
            series
            if isinstance(series, Impossible)
            else for_zoom(series, self._clock(), self._most)
        )

    def _created_before(self, path: str, mark: str) -> ConferenceId | None:
        """Return the meeting that an earlier try of the same creation made, if its answer was
        lost."""
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
            if moment_in(occurrence.get("start_time")) in cancelled:
                self._delete_occurrence(conference_id, occurrence)

    def _delete_occurrence(self, conference_id: ConferenceId, occurrence: dict[str, Any]) -> None:
        if occurrence.get("status") == "deleted":
            return
        query = {"occurrence_id": str(occurrence["occurrence_id"]), **self._reminders()}
        try:
            self._api.call("DELETE", _path(conference_id), query=query)
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
    way of a meeting: running (3002) is TryLater; ended (3007) is Gone, so that deleting it is done
    and an event moved on gets another; another's (3003) is NotAllowed; a personal room or audio
    conference (3018, 3037) is Invalid. What is wrong with a host (1001, 1010, 3161, a missing
    licence) concerns that host's meetings alone, a missing scope (4711) all of them.
    https://developers.zoom.us/docs/api/meetings/
    """
    status = answer.status
    if 200 <= status < 300:
        return None
    value = answer.json()
    body = value if isinstance(value, dict) else {}
    code, message = body.get("code"), body.get("message")
    text = message.lower() if isinstance(message, str) else ""
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
        return Invalid(
            f"{said}: Zoom does not know the host; name another in the provider's entry of SYNC_PROVIDERS"
        )
    if status == 404 and not isinstance(code, int):
        return Invalid(f"{said} without Zoom's own words; check base_url in SYNC_PROVIDERS")
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


def meeting_number(text: str) -> str:
    """Return a meeting's id as Zoom writes it, from `123 4567 8901`, `123-456-789` or a join
    link."""
    link = re.search(r"/(?:j|w|s|wc|join)/(\d{9,12})(?!\d)", text)
    if link:
        return link[1]
    digits = re.sub(r"[\s\u00ad\u2010-\u2015.-]+", "", text)
    return digits if digits.isascii() and digits.isdecimal() else text.strip()


def way_in(meeting: dict[str, Any], provider: str) -> WayIn:
    """Return how people enter a meeting. Its `start_url` makes whoever opens it the host: it is
    not looked at."""
    number, join_url = meeting.get("id"), text_in(meeting, "join_url")
    if not isinstance(number, int | str) or not str(number):
        raise TryLater(f"{provider} answered success without a meeting", outcome_unknown=True)
    points = []
    if join_url:
        parts = urlsplit(join_url)
        points.append(
            EntryPoint(
                kind="video",
                uri=join_url,
                label=f"{parts.netloc}{parts.path}",
                meeting_code=str(number),
                passcode=text_in(meeting, "password"),
            )
        )
    settings = meeting.get("settings")
    numbers = items_in(settings.get("global_dial_in_numbers")) if isinstance(settings, dict) else []
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


def _minutes(length: timedelta) -> int:
    return max(1, -(-int(length.total_seconds()) // 60))


def _path(conference_id: ConferenceId) -> str:
    return f"/meetings/{segment(conference_id)}"
