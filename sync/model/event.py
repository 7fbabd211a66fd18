"""What Calendar shows: events as they are listed, parsed once and cleaned where they enter.

`Entry.from_api` is the door: one item of a listing becomes an `Entry`, and whatever is wrong with
that item stays inside its entry (S6). An unknown word is no error. A text is cut to a bounded
length, and half characters are replaced, so that every store and provider takes what comes out.
https://developers.google.com/workspace/calendar/api/v3/reference/events
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
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

# Calendar itself keeps 8,192 characters of a description and 1,024 of a title.
_LONGEST_TEXT = 100_000
# Calendar's ids have at most 1,024 characters. Firestore keeps ids of documents to 1,500 bytes.
LONGEST_ID = 1_024
_SMALL = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def digest(*parts: str) -> str:
    """Return 32 hexadecimal digits that stand for the parts in this order.

    No two lists of parts share one: `digest("a", "b")` differs from `digest("ab")`.
    """
    text = "\0".join(f"{len(part)}:{part}" for part in parts)
    # A text may have been cut in the middle of a character (E8).
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def zone_of(name: str | None) -> tzinfo | None:
    """Return a time zone by its IANA name or as an offset, None if this machine knows neither.

    `Europe/Berlin` gives that zone, `GMT+05:30` the offset of five and a half hours.
    """
    if not name or len(name) > 100:
        return None
    if found := re.fullmatch(r"(?:GMT|UTC)([+-])(\d{1,2})(?::?(\d{2}))?", name):
        offset = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
        if offset < timedelta(hours=24):
            return timezone(offset if found[1] == "+" else -offset)
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTime:
    """A start or an end: a moment with the zone it is kept in, or the date of an all-day event.

    `moment` is aware and keeps the offset that Calendar sent. `time_zone` is an IANA name, or what
    the user's client wrote instead. This machine may not know the zone.
    https://developers.google.com/workspace/calendar/api/concepts/events-calendars
    """

    moment: datetime | None = None
    day: date | None = None
    time_zone: str | None = None

    @classmethod
    def from_api(cls, value: object, *, calendar_zone: str | None = None) -> EventTime:
        """Parse a time as Calendar writes it. Raises Malformed for one that cannot be read."""
        if not isinstance(value, Mapping):
            raise Malformed("the event has no start")
        zone = _text(value.get("timeZone"))
        try:
            if isinstance(day := value.get("date"), str):
                return cls(day=date.fromisoformat(day))
            if isinstance(text := value.get("dateTime"), str):
                moment = datetime.fromisoformat(text)
                zone = zone or calendar_zone
                if moment.tzinfo is None:
                    known = zone_of(zone) if zone else UTC
                    if known is None:
                        raise Malformed("a time of the event names an unknown zone and no offset")
                    moment = moment.replace(tzinfo=known)
                # The first and the last day there is have no neighbour to shift to.
                moment.astimezone(UTC)
                return cls(moment=moment, time_zone=zone)
        except (ValueError, OverflowError) as error:
            raise Malformed("a time of the event cannot be read") from error
        raise Malformed("a time of the event is neither a date nor a moment")

    @property
    def all_day(self) -> bool:
        return self.day is not None

    def utc(self) -> str:
        """RFC 3339 in UTC, or the date: the form that names an occurrence's original start."""
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
    """A way into a conference. `kind` is video, phone, sip or more. Unknown kinds are kept.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceData:
    """What Calendar shows of an event's conference.

    `uris` are those of its entry points. `parameters` are what the add-on that made the conference
    noted of it. `pending` also stands for a create request that failed. `solution_shown` is
    Calendar's own object for the solution: whoever writes conference data has to send it back.
    """

    solution: str | None = None
    conference_id: str | None = None
    uris: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    pending: bool = False
    solution_shown: Mapping[str, Any] | None = None

    @classmethod
    def from_api(cls, value: Mapping[str, Any]) -> ConferenceData:
        shown = value.get("conferenceSolution")
        solution = _mapping(shown)
        request = _mapping(value.get("createRequest"))
        points = value.get("entryPoints")
        parameters = _mapping(
            _mapping(_mapping(value.get("parameters")).get("addOnParameters")).get("parameters")
        )
        return cls(
            solution=_text(solution.get("name")),
            conference_id=_text(value.get("conferenceId")) or None,
            # Calendar takes 300 entry points at most.
            uris=tuple(
                uri
                for point in (points[:300] if isinstance(points, list) else [])
                if isinstance(point, Mapping) and (uri := _text(point.get("uri")))
            ),
            parameters={
                key: text for key, given in parameters.items() if (text := _text(given)) is not None
            },
            pending=_mapping(request.get("status")).get("statusCode") in ("pending", "failure"),
            solution_shown=shown if isinstance(shown, Mapping) else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A calendar entry as it stands, or what is left of a deleted one: perhaps just its id.

    `decides`: this is the organiser's copy (E6). `hidden`: Calendar does not show us the details
    (nobody is named as organizer), so the event says nothing about its conference. `bare`: a
    deleted entry of which nothing but the id is left. `series_id` and `original_start` are set on
    an occurrence that differs from its series. The id does not name them. `unreadable` says why
    times of the event cannot be told. An event without a conference may keep that.
    """

    id: EventId
    cancelled: bool = False
    bare: bool = False
    hidden: bool = False
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
    unreadable: str | None = None
    organizer: str | None = None
    creator: str | None = None
    decides: bool = True
    attendees: tuple[str, ...] = ()
    ical_uid: str | None = None
    conference_data: ConferenceData | None = None
    private: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_api(cls, item: object, *, calendar_zone: str | None = None) -> Event:
        """Parse one event. Raises Malformed for what is no event at all.

        `calendar_zone` is the calendar's own time zone, for times that name none.
        """
        if not isinstance(item, Mapping):
            raise Malformed("an entry of the listing is not an event")
        event_id = _text(item.get("id"))
        if not event_id or len(event_id) > LONGEST_ID:
            raise Malformed("an event has no id")
        cancelled = item.get("status") == "cancelled"
        times = _Times(calendar_zone)
        start = times.read(item.get("start"), required=not cancelled)
        end = times.read(item.get("end"))
        series_id = _text(item.get("recurringEventId"))
        original_start = times.read(item.get("originalStartTime"), required=series_id is not None)
        organizer = _mapping(item.get("organizer"))
        attendees = item.get("attendees")
        data = item.get("conferenceData")
        return cls(
            id=EventId(event_id),
            cancelled=cancelled,
            bare=cancelled and series_id is None and start is None and not organizer,
            hidden=not cancelled and not organizer,
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
            original_start=original_start,
            unreadable=times.problem,
            organizer=_address(organizer),
            creator=_address(_mapping(item.get("creator"))),
            decides=organizer.get("self") is True or not organizer,
            attendees=tuple(
                email
                for guest in (attendees if isinstance(attendees, list) else [])
                if isinstance(guest, Mapping) and (email := _text(guest.get("email")))
            ),
            ical_uid=_text(item.get("iCalUID")),
            conference_data=ConferenceData.from_api(data) if isinstance(data, Mapping) else None,
            private={
                key: text
                for key, given in _mapping(
                    _mapping(item.get("extendedProperties")).get("private")
                ).items()
                if (text := _text(given)) is not None
            },
        )

    @classmethod
    def deleted(cls, event_id: EventId) -> Event:
        """What is left of an event that Calendar does not know any more."""
        return cls(id=event_id, cancelled=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One item of a listing, parsed once. Everything further in works on this value.

    `version` changes whenever the event does: the etag, or a digest of the item. `event` is None
    for an item that is no event, and `malformed` then says why.
    """

    id: EventId
    version: str
    event: Event | None
    malformed: str = ""

    @classmethod
    def from_api(cls, item: object, *, calendar_zone: str | None = None) -> Entry:
        """Parse one item of a listing, or one event, as Calendar's JSON. Never raises (S6).

        `{"id": "e1", "status": "cancelled"}` becomes an entry with a cancelled event. `42` becomes
        an entry without an event, known by a digest of its content, so that it is parked once.
        """
        listed = item if isinstance(item, Mapping) else {}
        name = _text(listed.get("id"))
        if not name or len(name) > LONGEST_ID:
            name = f"without-id-{_digest_of(item)[:12]}"
        version = _text(listed.get("etag")) or _digest_of(item)
        try:
            event = Event.from_api(item, calendar_zone=calendar_zone)
        except Malformed as error:
            return cls(id=EventId(name), version=version, event=None, malformed=str(error))
        except Exception as error:
            said = f"the event cannot be read ({type(error).__name__})"
            return cls(id=EventId(name), version=version, event=None, malformed=said)
        return cls(id=event.id, version=version, event=event)

    @classmethod
    def deleted(cls, event_id: EventId) -> Entry:
        """The entry of an event that Calendar does not know any more."""
        return cls(id=event_id, version="deleted", event=Event.deleted(event_id))


class _Times:
    """Reads the times of one event, and remembers the first that cannot be read."""

    def __init__(self, calendar_zone: str | None) -> None:
        self._zone = calendar_zone
        self.problem: str | None = None

    def read(self, value: object, *, required: bool = False) -> EventTime | None:
        if value is None and not required:
            return None
        try:
            return EventTime.from_api(value, calendar_zone=self._zone)
        except Malformed as error:
            self.problem = self.problem or str(error)
            return None


def _digest_of(item: object) -> str:
    try:
        said = repr(item)
    except (RecursionError, ValueError):
        said = "nested too deeply, or a number too long, for Python to print"
    return digest(said[:_LONGEST_TEXT])


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def first_half(series_id: EventId) -> EventId:
    """Return the id of the series that "this and following" split a series off, or its own.

    `weekly` of `weekly_R20300516T100000`, and of `weekly`.
    """
    return EventId(series_id.partition("_R")[0])


def clean(text: str) -> str:
    """Return a text of others that every store takes: bounded, without half characters.

    `"\\ud83d"`, half of an emoji, becomes `"?"`.
    """
    text = text[:_LONGEST_TEXT]
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def address_of(text: str) -> str:
    """Return a mail address as it is compared: no blanks around it, and ASCII in small letters.

    `" Anna@Example.com"` becomes `"anna@example.com"`. Other letters stay as they are: the Kelvin
    sign, say, is no `k`, although `str.lower` makes one of it (O2).
    """
    return text.strip().translate(_SMALL)


def _text(value: object) -> str | None:
    return clean(value) if isinstance(value, str) else None


def _texts(value: object) -> tuple[str, ...]:
    lines = value if isinstance(value, list) else []
    return tuple(text for line in lines if (text := (_text(line) or "").strip()))


def _address(person: Mapping[str, Any]) -> str | None:
    email = _text(person.get("email"))
    return address_of(email) or None if email else None


def _moment(value: object) -> datetime | None:
    """When an event was changed last. Only a figure depends on it, so an odd one is none."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        return moment.astimezone(UTC) if moment and moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
