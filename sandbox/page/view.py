"""Events and conferences as the page shows them: plain JSON, made anew from the stand-ins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.google_calendar import recurrence
from sandbox.page.changes import EventKey
from sandbox.systems import ConferencingSystem

Json = dict[str, Any]

BEFORE, AHEAD = timedelta(days=30), timedelta(days=90)
"""The occurrences that are shown lie so far around today."""
MOST_OCCURRENCES = 200
"""Of one series."""
GHOST = timedelta(minutes=1)
"""A deleted event is drawn so long after its deletion."""


class Directory:
    """The conferences that were there once, so that an event which shows a lost one is known."""

    def __init__(self, system: ConferencingSystem[Any]) -> None:
        self.system = system
        self.titles: dict[str, str] = {}
        self._links: dict[str, str] = {}

    def refresh(self) -> None:
        """Remember the conferences that are there now."""
        for conference_id in list(self.system.conferences):
            self.titles[conference_id] = self.system.title(conference_id) or "(no title yet)"
            if link := self.system.join_link(conference_id):
                self._links[link] = conference_id

    def find(self, event: Json) -> str | None:
        """Return the id of the conference that an event shows, in whatever place.

        A conferenceId may be written otherwise than the system stores the id, and the link may
        stand in the location alone, so the join links are compared, too.
        """
        block = event.get("conferenceData") or {}
        shown = str(block.get("conferenceId", ""))
        if shown in self.titles:
            return shown
        points = [str(point.get("uri", "")) for point in block.get("entryPoints", [])]
        places = " ".join([*points, str(event.get("location") or "")])
        # The longest first: one link may be the beginning of another.
        for link in sorted(self._links, key=len, reverse=True):
            if link in places:
                return self._links[link]
        return None


def events_of(
    calendar_id: str, stored: Iterable[Json], directory: Directory, now: datetime
) -> Iterator[Json]:
    """Yield what to draw: single events, the occurrences of series, exceptions, deleted events."""
    events = list(stored)
    by_id = {str(event["id"]): event for event in events if "id" in event}
    for event in events:
        try:
            yield from _drawn(calendar_id, event, by_id, directory, now)
        except (KeyError, TypeError, ValueError):
            # A broken event cannot be drawn, and concerns no other one.
            continue


def _drawn(
    calendar_id: str,
    event: Json,
    by_id: Mapping[str, Json],
    directory: Directory,
    now: datetime,
) -> Iterator[Json]:
    cancelled = event.get("status") == "cancelled"
    if "start" not in event or (cancelled and "recurringEventId" in event):
        return
    if cancelled and now - datetime.fromisoformat(event["updated"]) > GHOST:
        return
    series = by_id.get(str(event.get("recurringEventId")))
    if series is not None and series.get("status") == "cancelled":
        return
    shared = {
        "key": str(EventKey(calendar_id=calendar_id, event_id=event["id"])),
        "calendar_id": calendar_id,
        "event_id": event["id"],
        "series_id": event.get("recurringEventId")
        or (event["id"] if event.get("recurrence") else None),
        "title": event.get("summary") or "(no title)",
        "ghost": cancelled,
        "conference_id": directory.find(event),
        "location": event.get("location"),
        "colour": event.get("colorId"),
        "mine": bool(event.get("organizer", {}).get("self", True)),
        "declined": _declined(event),
        "zone": event["start"].get("timeZone"),
    }
    if not event.get("recurrence") or cancelled:
        yield {**shared, "original_start": None, **_span(event["start"], event["end"])}
        return
    exceptions = {
        recurrence.stamp(each["originalStartTime"])
        for each in by_id.values()
        if each.get("recurringEventId") == event["id"] and each.get("originalStartTime")
    }
    starts = recurrence.occurrences(event, begin=now - BEFORE, end=now + AHEAD)
    for number, start in enumerate(starts):
        if number >= MOST_OCCURRENCES:
            return
        if recurrence.stamp(start) in exceptions:
            continue
        times = recurrence.times_of(event, start)
        yield {
            **shared,
            "event_id": recurrence.instance_id(event["id"], start),
            "original_start": start.get("dateTime") or start.get("date"),
            **_span(times["start"], times["end"]),
        }


def _span(start: Json, end: Json) -> Json:
    return {
        "start": start.get("dateTime") or start["date"],
        "end": end.get("dateTime") or end["date"],
        "all_day": "date" in start,
    }


def _declined(event: Json) -> bool:
    return any(
        guest.get("self") and guest.get("responseStatus") == "declined"
        for guest in event.get("attendees", [])
    )


def conferences_of(directory: Directory, events: Iterable[Json]) -> list[Json]:
    """Return the system's conferences, and those that are lost and still shown by an event."""
    system = directory.system
    carried: dict[str, dict[str, str]] = {}
    for event in events:
        if event["conference_id"] and not event["ghost"]:
            key = f"{event['calendar_id']}/{event['series_id'] or event['event_id']}"
            carried.setdefault(event["conference_id"], {})[key] = event["title"]
    there = list(system.conferences)
    lost = [each for each in carried if each not in there]
    return [
        *(_conference(system, each, carried.get(each, {})) for each in there),
        *(
            {"id": each, "title": directory.titles[each], "gone": True, "carried_by": carried[each]}
            for each in lost
        ),
    ]


def _conference(
    system: ConferencingSystem[Any], conference_id: str, carried_by: dict[str, str]
) -> Json:
    begin, end = system.begins(conference_id), system.ends(conference_id)
    return {
        "id": conference_id,
        "title": system.title(conference_id) or "(no title yet)",
        "start": begin.astimezone(UTC).isoformat() if begin else None,
        "end": end.astimezone(UTC).isoformat() if end else None,
        "link": system.join_link(conference_id),
        "recurring": system.recurring(conference_id),
        "gone": False,
        "carried_by": carried_by,
    }
