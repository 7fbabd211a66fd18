"""What a listing request asks for, and which events that means."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.google_calendar import recurrence, times
from sandbox.google_calendar.errors import ApiError
from sandbox.google_calendar.state import Calendar

Json = dict[str, Any]

# A sync token must not meet any of these.
FORBIDDEN_WITH_SYNC_TOKEN = (
    "iCalUID", "orderBy", "privateExtendedProperty", "q", "sharedExtendedProperty", "timeMax",
    "timeMin", "updatedMin",
)  # fmt: skip
SUPPRESS_SYNC_TOKEN = set(FORBIDDEN_WITH_SYNC_TOKEN) - {"timeMin", "timeMax"}
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """The parameters of one listing, read once. `None` and empty: not given."""

    max_results: int = 250
    page_token: str | None = None
    sync_token: str | None = None
    show_deleted: bool | None = None
    single_events: bool = False
    event_types: tuple[str, ...] = ()
    order_by: str | None = None
    ical_uid: str | None = None
    text: str | None = None
    private: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    time_min: datetime | None = None
    time_max: datetime | None = None
    updated_min: datetime | None = None
    time_zone: str | None = None
    max_attendees: int | None = None
    fields: str | None = None
    show_hidden_invitations: bool = False
    given: frozenset[str] = frozenset()
    """Names of the parameters that the request holds."""

    @property
    def shape(self) -> tuple[Any, ...]:
        """What must stay the same between the listings of one sync."""
        return (
            ("maxResults", self.max_results),
            ("singleEvents", self.single_events),
            ("showDeleted", bool(self.show_deleted)),
            ("eventTypes", tuple(sorted(set(self.event_types)))),
            ("maxAttendees", self.max_attendees),
            ("timeZone", self.time_zone),
            ("showHiddenInvitations", self.show_hidden_invitations),
            ("fields", self.fields),
        )

    @property
    def identity(self) -> tuple[Any, ...]:
        """What must stay the same between the pages of one listing."""
        return (
            *self.shape, self.sync_token, self.order_by, self.ical_uid, self.text, self.private,
            self.shared, self.time_min, self.time_max, self.updated_min,
        )  # fmt: skip

    def check(self) -> None:
        """Refuse (400) parameters that do not go together."""
        restricted = self.show_deleted is False or not self.given.isdisjoint(
            FORBIDDEN_WITH_SYNC_TOKEN
        )
        if self.sync_token is not None and restricted:
            raise ApiError("syncTokenWithRequestRestrictions")
        if (
            self.time_min is not None
            and self.time_max is not None
            and self.time_max <= self.time_min
        ):
            raise ApiError("timeRangeEmpty")
        if self.order_by == "startTime" and not self.single_events:
            raise ApiError(
                "badRequest",
                "The requested ordering is not available for the particular query.",
                location="orderBy",
            )


def matches(calendar: Calendar, body: Json, query: ListQuery) -> bool:
    if query.event_types and event_type(body) not in query.event_types:
        return False
    if query.ical_uid is not None and body.get("iCalUID") != query.ical_uid:
        return False
    if query.text is not None and (
        calendar.hides(body) or query.text.lower() not in _searched(body)
    ):
        return False
    for reach, wanted in (("private", query.private), ("shared", query.shared)):
        held = (body.get("extendedProperties") or {}).get(reach) or {}
        if any(held.get(pair.partition("=")[0]) != pair.partition("=")[2] for pair in wanted):
            return False
    updated = body.get("updated")
    if (
        query.updated_min is not None
        and updated is not None
        and times.parse(updated) < query.updated_min
    ):
        return False
    return in_window(calendar, body, query.time_min, query.time_max)


def in_window(
    calendar: Calendar,
    body: Json,
    begin: datetime | None,
    end: datetime | None,
    *,
    inclusive: bool = False,
) -> bool:
    """Tell whether the event ends after `begin` and starts before `end`.

    For a series: whether any of its occurrences may.
    """
    if begin is None and end is None:
        return True
    first = body.get("start") or body.get("originalStartTime")
    starts = times.instant(first, calendar.time_zone)
    ends = times.instant(body.get("end") or first, calendar.time_zone)
    if starts is None or ends is None:
        return True
    if end is not None and starts >= end:
        return False
    if begin is None or ends > begin or (inclusive and ends == begin):
        return True
    if not body.get("recurrence"):
        return False
    since = begin - recurrence.duration(body)
    for start in recurrence.occurrences(body, begin=since, end=end):
        moment = times.instant(start, calendar.time_zone)
        if moment is None or moment > since:
            return True
    return False


def event_type(body: Json) -> str:
    return str(body.get("eventType", "default"))


def _searched(body: Json) -> str:
    guests = body.get("attendees") or []
    texts = [body.get(name) for name in ("summary", "description", "location", "id", "iCalUID")]
    texts += [
        guest.get(name)
        for guest in guests
        if isinstance(guest, dict)
        for name in ("email", "displayName")
    ]
    return "\n".join(text for text in texts if isinstance(text, str)).lower()
