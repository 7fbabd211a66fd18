"""A week of events to play with: some with conferences, a series, one with a guest."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sandbox.page.actions import GUEST
from sandbox.story import ANNA, TEAM
from sandbox.world import World

Json = dict[str, Any]
ZONE = "Europe/Berlin"


def fill(world: World) -> None:
    """Start three calendars and put events into this week and the next."""
    for calendar_id in (ANNA, TEAM, GUEST):
        world.start_calendar(calendar_id, time_zone=ZONE)
    today = datetime.now(ZoneInfo(ZONE)).date()
    # From Thursday on most of this week is over: the events move to the next.
    monday = today - timedelta(days=today.weekday())
    first = today if today.weekday() < 3 else monday + timedelta(days=7)
    days = [first + timedelta(days=number) for number in range(5)]
    for calendar_id, event in (
        (ANNA, _event("Planning", days[0], "10:00", 60)),
        (ANNA, _event("Interview", days[1], "14:00", 45)),
        (ANNA, {**_event("Review with Ben", days[2], "11:00", 60), **_guest()}),
        (ANNA, {**_event("Weekly", days[3], "09:30", 30), **_weekly()}),
        (TEAM, _event("Team lunch talk", days[1], "12:00", 60)),
    ):
        data = world.conference(host=calendar_id)
        world.calendar.seed_event(calendar_id, {**event, "conferenceData": data})
    world.calendar.seed_event(ANNA, _event("Dentist", days[4], "08:00", 60))
    world.quiet()


def _event(title: str, day: date, clock: str, minutes: int) -> Json:
    begin = datetime.combine(day, time.fromisoformat(clock))
    return {
        "summary": title,
        "start": {"dateTime": begin.isoformat(), "timeZone": ZONE},
        "end": {"dateTime": (begin + timedelta(minutes=minutes)).isoformat(), "timeZone": ZONE},
    }


def _guest() -> Json:
    return {"attendees": [{"email": GUEST}]}


def _weekly() -> Json:
    return {"recurrence": ["RRULE:FREQ=WEEKLY;COUNT=6"]}
