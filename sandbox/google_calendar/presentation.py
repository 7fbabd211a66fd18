"""How a stored event is told in an answer: whole, in another time zone, with fewer guests, or as
a tombstone."""

from __future__ import annotations

from typing import Any

from sandbox.google_calendar import times
from sandbox.google_calendar.queries import ListQuery
from sandbox.google_calendar.settings import Settings
from sandbox.google_calendar.state import Calendar, Event

Json = dict[str, Any]


# What every role sees of an event: when it is, and of which series.
_SEEN_BY_ALL = (
    "kind", "etag", "id", "status", "iCalUID", "start", "end", "recurrence", "recurringEventId",
    "originalStartTime",
)  # fmt: skip


class View:
    """How one request wants its events told."""

    def __init__(
        self,
        settings: Settings,
        calendar: Calendar,
        query: ListQuery,
        *,
        incremental: bool = False,
    ) -> None:
        self._settings = settings
        self._calendar = calendar
        self._zone = query.time_zone if query.time_zone != calendar.time_zone else None
        self._max_attendees = query.max_attendees
        # Whoever asks for deleted events gets their details. An incremental sync that does not ask
        # for them gets tombstones.
        self._details = bool(query.show_deleted)
        self._incremental = incremental

    def event(self, event: Event) -> Json:
        """Return the event as events.get tells it."""
        if event.raw:
            return self._hidden(event.body) if self._calendar.hides(event.body) else event.body
        return self.told(event.body)

    def listed_event(self, event: Event) -> Json:
        """Return the event as a listing tells it. See `Settings.bare_tombstones`."""
        return self.event(event) if event.raw else self.listed(event.body)

    def listed(self, body: Json) -> Json:
        bare = self._settings.bare_tombstones
        cancelled = body.get("status") == "cancelled"
        if cancelled and (bare == "all" or (bare == "occurrences" and "recurringEventId" in body)):
            return _members(body, "kind", "etag", "id", "status")
        return self.told(body)

    def told(self, body: Json) -> Json:
        if body.get("status") == "cancelled" and not self._details:
            if body.get("recurringEventId") and self._settings.tombstones != "full":
                return occurrence_tombstone(body)
            if self._incremental:
                return self._tombstone(body)
        if self._calendar.hides(body):
            return self._hidden(self.whole(body))
        return self.whole(body)

    def _hidden(self, body: Json) -> Json:
        """Return what a caller sees who may know the time of an event and nothing else."""
        return _members(body, *_SEEN_BY_ALL) | {"visibility": "private"}

    def whole(self, body: Json) -> Json:
        if self._zone is not None:
            body = dict(body)
            for name in ("start", "end", "originalStartTime"):
                if name in body:
                    body[name] = times.in_zone(body[name], self._zone)
        guests = body.get("attendees")
        if (
            self._max_attendees is not None
            and isinstance(guests, list)
            and len(guests) > self._max_attendees
        ):
            body = body | {
                "attendees": [guest for guest in guests if guest.get("self")],
                "attendeesOmitted": True,
            }
        return body

    def _tombstone(self, body: Json) -> Json:
        match self._settings.tombstones:
            case "id_only":
                return _members(body, "id", "status")
            case "minimal":
                return _members(body, "kind", "etag", "id", "status")
            case "full":
                return self.whole(body)


def occurrence_tombstone(body: Json) -> Json:
    """A cancelled occurrence as seen on the wire: no start, no end, no title."""
    return _members(body, "kind", "etag", "id", "status", "recurringEventId", "originalStartTime")


def _members(body: Json, *names: str) -> Json:
    return {name: body[name] for name in names if name in body}
