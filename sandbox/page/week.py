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


def next_monday() -> date:
    """The Monday of next week."""
    today = _today()
    return today + timedelta(days=7 - today.weekday())


def fill(world: World, first: date | None = None) -> None:
    """Start three calendars and put events on five days, from `first` on.

    Without it they begin today, and from Thursday on, when most of this week is over, next Monday.
    """
    for calendar_id in (ANNA, TEAM, GUEST):
        world.start_calendar(calendar_id, time_zone=ZONE)
    if first is None:
        first = _today() if _today().weekday() < 3 else next_monday()
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


def _today() -> date:
    return datetime.now(ZoneInfo(ZONE)).date()


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
