"""Series and occurrences, as several stories need them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sync.model.event import CalendarId, EventId
from tests.support.bench import Bench

WEEKLY = ["RRULE:FREQ=WEEKLY;COUNT=6"]


def occurrence(
    bench: Bench, calendar_id: CalendarId, series: EventId, weeks: int
) -> tuple[EventId, str]:
    """The id of a series' occurrence, and its original start in UTC."""
    event = bench.calendar.get(calendar_id, series)
    assert event is not None
    start = datetime.fromisoformat(event["start"]["dateTime"])
    # Wall time stays the same over a change of the zone's offset.
    zone = _zone(event)
    wall = start.astimezone(zone).replace(tzinfo=None) + timedelta(weeks=weeks)
    begin = wall.replace(tzinfo=zone).astimezone(UTC)
    return EventId(f"{series}_{begin:%Y%m%dT%H%M%SZ}"), f"{begin:%Y-%m-%dT%H:%M:%SZ}"


def _zone(event: Any) -> Any:
    return ZoneInfo(event["start"]["timeZone"])


def weekly(bench: Bench, calendar_id: CalendarId, **fields: Any) -> tuple[EventId, str]:
    conference, conference_id = bench.conference()
    series = bench.event(calendar_id, conference, summary="Weekly", recurrence=WEEKLY, **fields)
    bench.sync(calendar_id)
    return series, conference_id


def lose(bench: Bench, calendar_id: CalendarId, **fields: Any) -> EventId:
    """An event whose conference the provider has lost, edited so that somebody notices.

    The next look at the event is the second one, which creates the conference anew (C4).
    """
    conference, conference_id = bench.conference()
    event_id = bench.event(calendar_id, conference, **fields)
    bench.sync(calendar_id)
    bench.conferencing.forget(conference_id)
    bench.calendar.edit(calendar_id, event_id, {"summary": "Edited"})
    missed_once(bench, calendar_id)
    return event_id


def missed_once(bench: Bench, calendar_id: CalendarId) -> None:
    """Sync: the provider says "gone" for the first time; then let the retry's time come (C4)."""
    assert bench.sync(calendar_id).counts.failed == 1
    bench.clock.advance(bench.settings.retry.total_seconds() + 1)


def only_conference(bench: Bench) -> str:
    [conference_id] = [
        key for key, one in bench.conferencing.conferences.items() if one["title"] == "Edited"
    ]
    return conference_id
