"""freebusy.query: when calendars are taken, whatever the caller may see of the events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sandbox.google_calendar import times
from sandbox.google_calendar.errors import ApiError
from sandbox.google_calendar.listing import Listings
from sandbox.google_calendar.state import Calendar, Store

Json = dict[str, Any]

# Google's largest calendarExpansionMax.
_MOST_CALENDARS = 50


def answer(store: Store, listings: Listings, body: Json) -> Json:
    """Answer the query in `body`. Raises ApiError (400) without a time range or with a bad one.

    A calendar that is unknown, or whose access was withdrawn, gets `errors` in its own entry.
    """
    begin, end = (_moment(body, name) for name in ("timeMin", "timeMax"))
    if end <= begin:
        raise ApiError("timeRangeEmpty")
    items = body.get("items") or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ApiError("invalid", "Invalid items.")
    if len(items) > _MOST_CALENDARS:
        raise ApiError("badRequest", "Too many calendars requested.")
    zone = times.zone(str(body.get("timeZone") or "UTC"))
    calendars: Json = {}
    for item in items:
        calendar_id = str(item.get("id"))
        try:
            calendar = store.calendar(calendar_id)
        except ApiError:
            told: Json = {"errors": [{"domain": "global", "reason": "notFound"}], "busy": []}
        else:
            spans = _spans(calendar, listings.within(calendar, begin, end))
            told = {"busy": [_period(span, zone) for span in _merged(spans, begin, end)]}
        calendars[calendar_id] = told
    return {
        "kind": "calendar#freeBusy",
        "timeMin": times.rfc3339(begin.astimezone(zone)),
        "timeMax": times.rfc3339(end.astimezone(zone)),
        "calendars": calendars,
    }


def _moment(body: Json, name: str) -> datetime:
    if body.get(name) is None:
        raise ApiError("required", f"Missing {name} parameter.")
    return times.parse(body[name])


def _spans(calendar: Calendar, bodies: Iterable[Json]) -> list[tuple[datetime, datetime]]:
    """Return when the events take place that keep their calendar's owner busy."""
    spans = []
    for body in bodies:
        free = body.get("transparency") == "transparent" or _declined(body)
        begin = times.instant(body.get("start"), calendar.time_zone)
        end = times.instant(body.get("end"), calendar.time_zone)
        if not free and begin is not None and end is not None:
            spans.append((begin, end))
    return sorted(spans)


def _declined(body: Json) -> bool:
    guests = body.get("attendees") or []
    return any(guest.get("self") and guest.get("responseStatus") == "declined" for guest in guests)


def _merged(
    spans: list[tuple[datetime, datetime]], begin: datetime, end: datetime
) -> list[tuple[datetime, datetime]]:
    """Join the spans that touch, and cut them to the range asked for."""
    merged: list[tuple[datetime, datetime]] = []
    for starts, ends in spans:
        starts, ends = max(starts, begin), min(ends, end)
        if merged and starts <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], ends))
        elif starts < ends:
            merged.append((starts, ends))
    return merged


def _period(span: tuple[datetime, datetime], zone: Any) -> Json:
    return {
        "start": times.rfc3339(span[0].astimezone(zone)),
        "end": times.rfc3339(span[1].astimezone(zone)),
    }
