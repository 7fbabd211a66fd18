"""The nouns: frozen values, parsed once at the edge.

Foreign JSON enters through `from_api` and keeps only the fields that are used; an unknown word is
no error, a missing promise is `Malformed`. What is remembered between runs (`CalendarState`,
`Link`, `ConferenceRecord`, `Failure`) is written and read by `store`, so a new field needs a
default.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, NewType
from zoneinfo import ZoneInfo

from sync.errors import Malformed

CalendarId = NewType("CalendarId", str)
EventId = NewType("EventId", str)
ConferenceId = NewType("ConferenceId", str)
SyncToken = NewType("SyncToken", str)
PageToken = NewType("PageToken", str)
ChannelToken = NewType("ChannelToken", str)
Etag = NewType("Etag", str)
Fingerprint = NewType("Fingerprint", dict[str, str])
"""One digest for each field that was last sent to the provider, by the field's name."""


def digest(*parts: str) -> str:
    """Return 32 hexadecimal digits that stand for the parts in this order; no two lists of parts
    share one."""
    text = "\0".join(f"{len(part)}:{part}" for part in parts)
    # A text may have been cut in the middle of a character (E8).
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTime:
    """A start or an end: a moment with the zone it is kept in, or the date of an all-day event.

    `moment` is aware and keeps the offset that Calendar sent. `time_zone` is an IANA name, or what
    the user's client wrote instead; it may be unknown to this machine.
    https://developers.google.com/workspace/calendar/api/concepts/events-calendars
    """

    moment: datetime | None = None
    day: date | None = None
    time_zone: str | None = None

    @classmethod
    def from_api(cls, value: object, *, calendar_zone: str | None = None) -> EventTime:
        if not isinstance(value, Mapping):
            raise Malformed("the event has no start")
        zone = value.get("timeZone") if isinstance(value.get("timeZone"), str) else None
        try:
            if isinstance(day := value.get("date"), str):
                return cls(day=date.fromisoformat(day))
            if isinstance(text := value.get("dateTime"), str):
                moment = datetime.fromisoformat(text)
                zone = zone or calendar_zone
                if moment.tzinfo is None:
                    moment = moment.replace(tzinfo=ZoneInfo(zone) if zone else UTC)
                moment.astimezone(
                    UTC
                )  # the first and the last day there is have no neighbour to shift to
                return cls(moment=moment, time_zone=zone)
        except (
            ValueError,
            OverflowError,
            KeyError,
            OSError,
        ) as error:  # ZoneInfo raises the last two for odd names
            raise Malformed("a time of the event cannot be read") from error
        raise Malformed("a time of the event is neither a date nor a moment")

    @property
    def all_day(self) -> bool:
        return self.day is not None

    def utc(self) -> str:
        """RFC 3339 in UTC, or the date: the form in which an occurrence's original start is
        named."""
        if self.moment is not None:
            return self.moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return self.day.isoformat() if self.day else ""

    def isoformat(self) -> str:
        """RFC 3339 with the offset that Calendar sent, or the date."""
        if self.moment is not None:
            return self.moment.isoformat()
        return self.day.isoformat() if self.day else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPoint:
    """A way into a conference. `kind` is video, phone, sip or more; unknown kinds are kept.

    https://developers.google.com/workspace/calendar/api/v3/reference/events
    (conferenceData.entryPoints)
    """

    kind: str
    uri: str
    label: str | None = None
    passcode: str | None = None
    pin: str | None = None
    access_code: str | None = None
    meeting_code: str | None = None
    password: str | None = None
    region_code: str | None = None

    @classmethod
    def from_api(cls, value: Mapping[str, Any]) -> EntryPoint:
        def text(name: str) -> str | None:
            found = value.get(name)
            return found if isinstance(found, str) else None

        return cls(
            kind=text("entryPointType") or "",
            uri=text("uri") or "",
            label=text("label"),
            passcode=text("passcode"),
            pin=text("pin"),
            access_code=text("accessCode"),
            meeting_code=text("meetingCode"),
            password=text("password"),
            region_code=text("regionCode"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceData:
    """What Calendar shows of an event's conference. `pending` also stands for a create request
    that failed."""

    solution: str | None = None
    solution_type: str | None = None
    conference_id: str | None = None
    entry_points: tuple[EntryPoint, ...] = ()
    pending: bool = False

    @classmethod
    def from_api(cls, value: Mapping[str, Any]) -> ConferenceData:
        solution = _mapping(value.get("conferenceSolution"))
        request = _mapping(value.get("createRequest"))
        points = value.get("entryPoints")
        conference_id = value.get("conferenceId")
        return cls(
            solution=_text(solution.get("name")),
            solution_type=_text(_mapping(solution.get("key")).get("type")),
            conference_id=conference_id
            if isinstance(conference_id, str) and conference_id
            else None,
            entry_points=tuple(
                EntryPoint.from_api(point)
                for point in (points if isinstance(points, list) else [])
                if isinstance(point, Mapping)
            ),
            pending=_mapping(request.get("status")).get("statusCode") in ("pending", "failure"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A calendar entry as it stands, or what is left of a deleted one (`cancelled`, perhaps nothing
    but its id).

    `decides` is true on the organiser's copy (E6), and where nobody is named. `series_id` and
    `original_start` are set on an occurrence that differs from its series; nothing but these two
    names it, its id does not.
    """

    id: EventId
    cancelled: bool = False
    etag: Etag | None = None
    updated: datetime | None = None
    event_type: str = "default"
    title: str = ""
    description: str = ""
    location: str = ""
    start: EventTime | None = None
    end: EventTime | None = None
    recurrence: tuple[str, ...] = ()
    series_id: EventId | None = None
    original_start: EventTime | None = None
    organizer: str | None = None
    decides: bool = True
    attendees: tuple[str, ...] = ()
    ical_uid: str | None = None
    conference_data: ConferenceData | None = None
    private: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_api(cls, item: object, *, calendar_zone: str | None = None) -> Event:
        """Parse one item of a listing, or one event. Raises Malformed; a deleted event needs no
        more than its id.

        `calendar_zone` is the calendar's own time zone, for times that name none.
        https://developers.google.com/workspace/calendar/api/v3/reference/events
        """
        if not isinstance(item, Mapping):
            raise Malformed("an entry of the listing is not an event")
        event_id = item.get("id")
        if not isinstance(event_id, str) or not event_id:
            raise Malformed("an event has no id")
        cancelled = item.get("status") == "cancelled"
        start = _time(item.get("start"), calendar_zone, required=not cancelled)
        end = _time(item.get("end"), calendar_zone, required=False)
        series_id = _text(item.get("recurringEventId"))
        organizer = _mapping(item.get("organizer"))
        attendees = item.get("attendees")
        data = item.get("conferenceData")
        return cls(
            id=EventId(event_id),
            cancelled=cancelled,
            etag=Etag(etag) if (etag := _text(item.get("etag"))) else None,
            updated=_moment(item.get("updated")),
            event_type=_text(item.get("eventType")) or "default",
            title=_text(item.get("summary")) or "",
            description=_text(item.get("description")) or "",
            location=_text(item.get("location")) or "",
            start=start,
            # An event may have no end (E8): it ends where it starts.
            end=end or start,
            recurrence=_texts(item.get("recurrence")),
            series_id=EventId(series_id) if series_id else None,
            original_start=_time(
                item.get("originalStartTime"), calendar_zone, required=series_id is not None
            ),
            organizer=_text(organizer.get("email")),
            decides=organizer.get("self") is True or not organizer,
            attendees=tuple(
                email
                for guest in (attendees if isinstance(attendees, list) else [])
                if isinstance(guest, Mapping) and (email := _text(guest.get("email")))
            ),
            ical_uid=_text(item.get("iCalUID")),
            conference_data=ConferenceData.from_api(data) if isinstance(data, Mapping) else None,
            private={
                key: value
                for key, value in _mapping(
                    _mapping(item.get("extendedProperties")).get("private")
                ).items()
                if isinstance(value, str)
            },
        )

    @classmethod
    def deleted(cls, event_id: EventId) -> Event:
        """What is left of an event that Calendar does not know any more."""
        return cls(id=event_id, cancelled=True)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: object) -> tuple[str, ...]:
    return tuple(line for line in value if isinstance(line, str)) if isinstance(value, list) else ()


def _moment(value: object) -> datetime | None:
    """When an event was changed last; nothing depends on it but a figure, so an odd one is none."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        return moment.astimezone(UTC) if moment and moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _time(value: object, calendar_zone: str | None, *, required: bool) -> EventTime | None:
    if value is None and not required:
        return None
    return EventTime.from_api(value, calendar_zone=calendar_zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceRef:
    """Names one conference of one provider: the provider's configured name and the id that it
    knows."""

    provider: str
    conference_id: ConferenceId

    @property
    def key(self) -> str:
        return digest(self.provider, self.conference_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRef:
    """Names one event of one watched calendar."""

    calendar_id: CalendarId
    event_id: EventId

    @property
    def key(self) -> str:
        return digest(self.calendar_id, self.event_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceContent:
    """What a provider is told of a conference; for an occurrence, of that one alone, then
    `recurrence` is empty."""

    event: EventRef
    title: str
    description: str
    start: EventTime
    end: EventTime
    recurrence: tuple[str, ...] = ()
    organizer: str | None = None
    attendees: tuple[str, ...] = ()
    ical_uid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WayIn:
    """What a provider tells of one of its conferences: its id, how people enter it, and notes
    for them."""

    conference_id: ConferenceId
    entry_points: tuple[EntryPoint, ...] = ()
    notes: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approximation:
    """How a provider's copy of a series falls short of it: the reason, for people, and when more is
    to be sent.

    No wrong date is part of it. `again_at` None: there is nothing more to send.
    """

    reason: str
    again_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LettingGo:
    """A conference that the event carried until `since`; it is deleted after the grace unless
    somebody carries it."""

    conference: ConferenceRef
    since: datetime
    fingerprint: Fingerprint | None = None
    occurrences: Mapping[str, str] = field(default_factory=dict)
    shown_as: ConferenceId | None = None

    def names(self, conference: ConferenceRef) -> bool:
        """It is this one, by its id or by what the event showed of it."""
        known = (self.conference.conference_id, self.shown_as)
        return self.conference.provider == conference.provider and conference.conference_id in known


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Which conference an event carries, and what of it the provider was last told.

    `leading`: the conference follows this event; of several that carry it, one leads (E7).
    `fingerprint`: what was last sent; None: nothing yet. `occurrences`: the same for each
    occurrence that differs, one digest by original start; `without_occurrences`: the provider has
    none; `occurrences_pending`: they are still to be told, all of them. `letting_go`: what the
    event carried before, within the grace. `replaces`: the conference id that the event still shows
    although ours was created anew (C4). `shown_as`: what the event shows of it instead of its id, a
    number or a link. `creating`: idempotency key of a creation whose outcome is not known yet.
    `etag`: of our last write to the event, `writes`: when the last ones were (W2). `approximation`:
    what the provider cannot hold of the series. `seen`: the full sync that met the event last (S3).
    """

    event: EventRef
    conference: ConferenceRef | None = None
    leading: bool = False
    linked_at: datetime | None = None
    fingerprint: Fingerprint | None = None
    occurrences: Mapping[str, str] = field(default_factory=dict)
    without_occurrences: bool = False
    occurrences_pending: bool = False
    letting_go: tuple[LettingGo, ...] = ()
    replaces: ConferenceId | None = None
    shown_as: ConferenceId | None = None
    creating: str | None = None
    etag: Etag | None = None
    writes: tuple[datetime, ...] = ()
    approximation: Approximation | None = None
    seen: str | None = None

    @property
    def empty(self) -> bool:
        """Nothing is worth remembering any more."""
        return self.conference is None and not self.letting_go

    def lets_go_of(self, conference: ConferenceRef) -> LettingGo | None:
        return next((past for past in self.letting_go if past.names(conference)), None)


class ConferenceState(StrEnum):
    LIVE = "live"
    DELETING = "deleting"
    DELETED = "deleted"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceRecord:
    """Who leads a conference, and whether it still is: the one document that events sharing it meet
    in (E7).

    `last_leader` let it go: nobody leads it since, and the provider knows what that event said.
    `changed_by` and `changed_at` say whose deletion is under way. `replaced_by`: created anew under
    this id (C4). `expires_at`: when a dead one may be forgotten.
    """

    ref: ConferenceRef
    state: ConferenceState = ConferenceState.LIVE
    leader: EventRef | None = None
    last_leader: EventRef | None = None
    changed_by: EventRef | None = None
    changed_at: datetime | None = None
    replaced_by: ConferenceId | None = None
    expires_at: datetime | None = None


class FailureState(StrEnum):
    """What becomes of a failure. An approximate one is none that trying again would mend: its
    conference is followed, and the provider cannot hold the whole of its series."""

    PARKED = "parked"
    RETRYING = "retrying"
    APPROXIMATE = "approximate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An event that could not be applied, or not wholly, kept with its reason until it could (C5).

    `version` tells which state of the event failed; another is tried afresh. `next_try` is None
    where none would help.
    """

    event: EventRef
    provider: str | None
    conference_id: ConferenceId | None
    action: str
    reason: str
    attempts: int
    state: FailureState
    first: datetime
    next_try: datetime | None
    version: str | None = None

    @property
    def id(self) -> str:
        return self.event.key


class CalendarStatus(StrEnum):
    STARTING = "starting"
    OK = "ok"
    POLLED = "polled"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How a calendar is reached (design, section 6): delegation, a user's own token, or neither:
    shared with us."""

    subject: str | None = None
    credentials_secret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """What Calendar rings. `resource_id` and `expires` are known once `events.watch` has
    answered."""

    id: str
    resource_id: str | None = None
    expires: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to sync one calendar until `expires`; `id` is random, and checked again at the
    write it guards."""

    id: str
    expires: datetime


class SyncKind(StrEnum):
    FULL = "full"
    INCREMENTAL = "incremental"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a run did: events it met, conferences created, updated and deleted, events that failed.

    `lag_seconds`: from the oldest of the changes that were sent to the end of sending them; 0: none
    was.
    """

    changes: int = 0
    created: int = 0
    updated: int = 0
    deleted: int = 0
    failed: int = 0
    lag_seconds: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            changes=self.changes + other.changes,
            created=self.created + other.created,
            updated=self.updated + other.updated,
            deleted=self.deleted + other.deleted,
            failed=self.failed + other.failed,
            lag_seconds=max(self.lag_seconds, other.lag_seconds),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LastSync:
    """The last run that ended: when, of which kind, and what it did."""

    at: datetime
    kind: SyncKind
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Where a long run stopped: the next run goes on from here (S4).

    `full_sync_id` is None in an incremental sync; `time_min` is where a full listing begins, the
    same on every page. `page_token` names the page to go on with, None the first. Once a
    `next_sync_token` is there, the listing is done and what remains is the sweep.
    """

    full_sync_id: str | None = None
    time_min: datetime | None = None
    page_token: PageToken | None = None
    next_sync_token: SyncToken | None = None
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarState:
    """Everything remembered of one watched calendar.

    `token_version` says with which listing parameters `sync_token` was made (S2). `expirations`
    counts expired tokens in a row (S3). `opening` is a channel that is being opened: written before
    it is, so that its first notification finds it (H1). `retiring` is the one that renewal replaced
    and that is still to be stopped (H2). `time_zone` is the calendar's own, for times that name
    none.
    """

    calendar_id: CalendarId
    access: Access = field(default_factory=Access)
    time_zone: str | None = None
    status: CalendarStatus = CalendarStatus.STARTING
    reason: str | None = None
    channel: Channel | None = None
    opening: Channel | None = None
    retiring: Channel | None = None
    watchable: bool = True
    sync_token: SyncToken | None = None
    token_version: str | None = None
    expirations: int = 0
    lease: Lease | None = None
    last_sync: LastSync | None = None
    checkpoint: Checkpoint | None = None
    started_at: datetime | None = None
    try_again_at: datetime | None = None
