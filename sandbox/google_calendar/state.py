"""What the stand-in remembers: calendars, their events, and the order of changes.

One lock guards all of it.
"""

from __future__ import annotations

import base64
import random
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sandbox.google_calendar import conferences, recurrence, times
from sandbox.google_calendar.errors import ApiError
from sandbox.google_calendar.settings import Settings

Json = dict[str, Any]

ROLES = ("freeBusyReader", "reader", "writerWithoutPrivateAccess", "writer", "owner")
"""What the API's caller may do with a calendar, the least first."""

_WRITING_ROLES = ROLES[2:]
_ID_CHARACTERS = "0123456789abcdefghijklmnopqrstuv"


@dataclass(slots=True, kw_only=True)
class Event:
    """One calendar's copy of an event, a series, or an exception of a series."""

    body: Json
    """As the API tells it. Never changed in place: answers may still be reading it."""
    etag: str
    number: int = 0
    """Its latest change, counted over its calendar."""
    moved_away: bool = False
    raw: bool = False
    """Stored as given. Nothing about its shape is certain."""
    hidden: bool = False
    cancelled_milliseconds: int | None = None
    cancelled_with_series: bool = False
    overrides: frozenset[str] = frozenset()
    """What an exception has of its own and its series no longer changes."""

    @property
    def cancelled(self) -> bool:
        return self.body.get("status") == "cancelled"

    @property
    def series_id(self) -> str | None:
        value = self.body.get("recurringEventId")
        return value if isinstance(value, str) else None

    @property
    def is_series(self) -> bool:
        return not self.raw and bool(self.body.get("recurrence"))


@dataclass(slots=True, kw_only=True)
class Calendar:
    """One calendar and its log of changes."""

    id: str
    time_zone: str
    summary: str
    watchable: bool
    created: int
    allowed_conference_types: list[str]
    role: str = "owner"
    refusal: str | None = None
    """Reason that every call gets: access was withdrawn."""
    events: dict[str, Event] = field(default_factory=dict)
    """In the order of their first appearance, which full listings follow."""
    order: list[str] = field(default_factory=list)
    exceptions: dict[str, set[str]] = field(default_factory=dict)
    """Series id to the ids of its exceptions."""
    number: int = 0
    log: list[tuple[int, str]] = field(default_factory=list)
    """(change, event id), ascending. Only an event's newest entry counts. Older entries
    are skipped."""
    token_generation: int = 0
    """Sync tokens of earlier generations are dead."""
    page_generation: int = 0
    list_number: int = 0
    """Change of the caller's list of calendars that brought this one."""
    version: int = 0
    """How often anything was stored in it, logged or not."""

    def hides(self, body: Json) -> bool:
        """Tell whether the caller's role keeps an event's details from the caller."""
        if self.role in ("writer", "owner"):
            return False
        return self.role == "freeBusyReader" or body.get("visibility") in (
            "private",
            "confidential",
        )

    def changed_after(self, number: int) -> Iterator[tuple[int, Event]]:
        """Yield each event changed since, once, at its newest change, oldest first."""
        log = self.log
        for place in range(bisect_right(log, number, key=lambda entry: entry[0]), len(log)):
            change, event_id = log[place]
            event = self.events[event_id]
            if event.number == change:
                yield change, event

    def record(self, event_id: str, event: Event, *, logged: bool) -> None:
        """Put the event's newest state into the calendar."""
        self.version += 1
        known = self.events.get(event_id)
        if known is None:
            self.order.append(event_id)
        elif known.series_id is not None and known.series_id != event.series_id:
            self.exceptions.get(known.series_id, set()).discard(event_id)
        if event.series_id is not None:
            self.exceptions.setdefault(event.series_id, set()).add(event_id)
        if logged or known is None:
            self.number += 1
            event.number = self.number
            self.log.append((self.number, event_id))
            if len(self.log) > 2 * len(self.order) + 1000:
                self.events[event_id] = event
                self.log = [entry for entry in self.log if self.events[entry[1]].number == entry[0]]
        else:
            event.number = known.number
        self.events[event_id] = event


class Store:
    """Every calendar, the clock, and who is told of changes.

    `changing` surrounds each operation: it holds the lock, and when the outermost one ends, the
    calendars touched in it are announced once each, however many events changed.
    """

    def __init__(self, settings: Settings, now: Callable[[], datetime]) -> None:
        self.settings = settings
        self.calendars: dict[str, Calendar] = {}
        self.list_number = 0
        self.delisted: dict[str, int] = {}
        """Removed calendars: id to the change of the list that removed it."""
        self.blocks: dict[str, Json] = {}
        """Signed conference blocks by signature: what a client may copy."""
        self.on_change: Callable[[str, set[str]], None] = lambda _calendar_id, _event_types: None
        self.on_pending: Callable[[float], None] = lambda _seconds: None
        self.dice = random.Random(20240229)
        self._now = now
        self._lock = threading.RLock()
        self._depth = 0
        self._touched: dict[str, set[str]] = {}
        self._pending: list[tuple[int, str, str]] = []

    @contextmanager
    def changing(self) -> Iterator[None]:
        with self._lock:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    touched, self._touched = self._touched, {}
                    for calendar_id, event_types in touched.items():
                        self.on_change(calendar_id, event_types)

    def now(self) -> datetime:
        return self._now()

    def milliseconds(self) -> int:
        return times.milliseconds(self._now())

    def new_id(self) -> str:
        number = self.dice.getrandbits(130)
        return "".join([_ID_CHARACTERS[number >> shift & 31] for shift in range(0, 130, 5)])

    def calendar(self, calendar_id: str) -> Calendar:
        """Return the calendar for an API call. Raises ApiError when it is unknown or access was
        withdrawn."""
        found = self.find_calendar(self.primary if calendar_id == "primary" else calendar_id)
        if found is None:
            raise ApiError("notFound")
        if found.refusal is not None:
            raise ApiError(found.refusal)
        return found

    def writable(self, calendar_id: str) -> Calendar:
        found = self.calendar(calendar_id)
        if found.role not in _WRITING_ROLES:
            raise ApiError("requiredAccessLevel")
        return found

    def enlist(self, calendar: Calendar) -> None:
        """Put a new calendar into the caller's list of calendars."""
        self.list_number += 1
        calendar.list_number = self.list_number
        self.calendars[calendar.id.lower()] = calendar
        self.delisted.pop(calendar.id, None)

    def delist(self, calendar_id: str) -> Calendar | None:
        """Take a calendar away, and remember that the list had it. None: there was none."""
        known = self.calendars.pop(calendar_id.lower(), None)
        if known is not None:
            self.list_number += 1
            self.delisted[known.id] = self.list_number
        return known

    def known_calendar(self, calendar_id: str) -> Calendar:
        """Return the calendar for the back door, whatever access the API has to it."""
        found = self.find_calendar(self.primary if calendar_id == "primary" else calendar_id)
        if found is None:
            raise ApiError("notFound", f"No calendar {calendar_id} here.")
        return found

    def find_calendar(self, calendar_id: Any) -> Calendar | None:
        """Return the calendar with this address, which is the same in capitals."""
        return self.calendars.get(calendar_id.lower()) if isinstance(calendar_id, str) else None

    @property
    def primary(self) -> str:
        return self.settings.user or next(iter(self.calendars), "")

    def forgotten(self, calendar: Calendar, event: Event) -> bool:
        """Tell whether a tombstone has vanished. Cancelled occurrences stay as long as their
        series."""
        limit, since = self.settings.tombstone_seconds, event.cancelled_milliseconds
        if limit is None or since is None or self.milliseconds() - since <= limit * 1000:
            return False
        series = calendar.events.get(event.series_id) if event.series_id is not None else None
        return series is None or series.cancelled

    def find(self, calendar: Calendar, event_id: str) -> Event | None:
        """Return the stored event, or the occurrence with this id as its series has it. None
        when there is neither."""
        event = calendar.events.get(event_id)
        if event is not None:
            return None if self.forgotten(calendar, event) else event
        parts = recurrence.split_id(event_id)
        series = calendar.events.get(parts[0]) if parts else None
        if (
            parts is None
            or series is None
            or not series.is_series
            or self.forgotten(calendar, series)
        ):
            return None
        start = recurrence.from_stamp(series.body, parts[1])
        if start is None or not recurrence.includes(series.body, start, calendar.time_zone):
            return None
        if parts[1] in self.exceptions_at(calendar, parts[0]):
            return None  # an exception that came from another series, and has kept its id
        return Event(body=instance_body(calendar, series.body, start), etag=series.etag)

    def exceptions_at(self, calendar: Calendar, series_id: str) -> dict[str, Event]:
        """Stamp → the exception of a series there. A raw one may say anything, and counts not."""
        children = (calendar.events[each] for each in calendar.exceptions.get(series_id, ()))
        return {
            recurrence.stamp(child.body["originalStartTime"]): child
            for child in children
            if not child.raw and "originalStartTime" in child.body
        }

    def save(
        self, calendar: Calendar, body: Json, *, event_id: str | None = None, **flags: Any
    ) -> Event:
        """Store an event's new body under a new etag, log it, and remember to announce it.

        `flags` are members of Event. `logged=False` keeps the change out of the log and
        unannounced.
        """
        logged = flags.pop("logged", True)
        key = event_id if event_id is not None else str(body["id"])
        known = calendar.events.get(key)
        now = self.milliseconds()
        # A clock that a test holds still must not give two states one etag.
        version = now if known is None else max(now, int(known.etag.strip('"')) // 2000 + 1)
        etag = f'"{version * 2000}"'
        event = Event(body=body, etag=etag, **flags)
        if not event.raw:
            only_reminders = known is not None and _without(known.body) == _without(body)
            told = dict(body) | {"kind": "calendar#event", "etag": etag}
            if event.moved_away:
                event.body = told
            else:
                told.setdefault("created", times.from_milliseconds(now))
                if not only_reminders or "updated" not in told:
                    told["updated"] = times.from_milliseconds(version)
                event.body = _as_seen_from(calendar.id, told)
        if event.cancelled:
            earlier = known.cancelled_milliseconds if known is not None else None
            event.cancelled_milliseconds = earlier if earlier is not None else now
        calendar.record(key, event, logged=logged)
        self._remember_block(calendar, key, event)
        if logged:
            kind = event.body.get("eventType", "default")
            self._touched.setdefault(calendar.id, set()).add(
                kind if isinstance(kind, str) else "default"
            )
        return event

    def announce(self, calendar: Calendar) -> None:
        """Have the calendar's channels rung without a change."""
        self._touched.setdefault(calendar.id, set()).add("default")

    def hush(self, calendar: Calendar) -> None:
        """Leave this operation's changes of the calendar unannounced."""
        self._touched.pop(calendar.id, None)

    def due_conferences(self) -> Iterator[tuple[Calendar, Event]]:
        """Take the events whose requested conference is due, by the clock."""
        now = self.milliseconds()
        due = [entry for entry in self._pending if entry[0] <= now]
        self._pending = [entry for entry in self._pending if entry[0] > now]
        for _, calendar_id, event_id in due:
            calendar = self.find_calendar(calendar_id)
            event = calendar.events.get(event_id) if calendar is not None else None
            if (
                calendar is not None
                and event is not None
                and conferences.is_pending(event.body.get("conferenceData"))
            ):
                yield calendar, event

    def _remember_block(self, calendar: Calendar, event_id: str, event: Event) -> None:
        block = event.body.get("conferenceData")
        if not isinstance(block, dict) or event.raw:
            return
        if isinstance(block.get("signature"), str):
            self.blocks[block["signature"]] = block
        organizer = event.body.get("organizer") or {}
        if conferences.is_pending(block) and organizer.get("self"):
            seconds = self.settings.create_request_seconds
            self._pending.append(
                (self.milliseconds() + round(seconds * 1000), calendar.id, event_id)
            )
            self.on_pending(seconds)


def instance_body(calendar: Calendar, series: Json, original_start: Json) -> Json:
    """Return an occurrence as its series has it, before it became an exception."""
    body = {
        name: value for name, value in series.items() if name not in ("recurrence", "hangoutLink")
    }
    event_id = recurrence.instance_id(series["id"], original_start)
    body |= recurrence.times_of(series, original_start)
    body |= {
        "id": event_id,
        "recurringEventId": series["id"],
        "htmlLink": html_link(event_id, calendar.id),
    }
    for name in ("start", "end", "originalStartTime"):
        body[name] = times.in_zone(body[name], calendar.time_zone)
    return body


def html_link(event_id: str, calendar_id: str) -> str:
    eid = base64.urlsafe_b64encode(f"{event_id} {calendar_id}".encode()).decode().rstrip("=")
    return f"https://www.google.com/calendar/event?eid={eid}"


def _without(body: Json) -> Json:
    return {
        name: value for name, value in body.items() if name not in ("reminders", "etag", "updated")
    }


def _as_seen_from(calendar_id: str, body: Json) -> Json:
    """Mark organizer, creator and guest as `self` where they are this calendar, and only there."""
    for name in ("organizer", "creator"):
        if isinstance(body.get(name), dict):
            body[name] = _marked(body[name], is_person(body[name], calendar_id))
    organizer = body.get("organizer")
    if isinstance(body.get("attendees"), list):
        body["attendees"] = [
            _marked(guest, is_person(guest, calendar_id))
            | (
                {"organizer": True}
                if organizer and is_person(guest, organizer.get("email"))
                else {}
            )
            for guest in body["attendees"]
            if isinstance(guest, dict)
        ]
    link = conferences.hangout_link(body.get("conferenceData"))
    body.pop("hangoutLink", None)
    return body if link is None else body | {"hangoutLink": link}


def is_person(person: Json, address: Any) -> bool:
    email = person.get("email")
    return isinstance(email, str) and isinstance(address, str) and email.lower() == address.lower()


def _marked(person: Json, is_self: bool) -> Json:
    unmarked = {name: value for name, value in person.items() if name not in ("self", "organizer")}
    return unmarked | {"self": True} if is_self else unmarked
