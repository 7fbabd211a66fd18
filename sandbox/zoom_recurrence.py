"""Zoom's own form of a recurrence: what it takes, and which dates it makes of it.

Written without the library that the code under test uses, so that the two can be compared.
"""

from __future__ import annotations

import calendar
import itertools
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Json = dict[str, Any]


def recurrence_problem(recurrence: Any) -> Json | None:
    """Return Zoom's words for a recurrence that it does not take. None: it is taken."""
    if not isinstance(recurrence, dict):
        return {"field": "recurrence", "message": "Invalid field."}
    most = {1: 90, 2: 12, 3: 3}
    kind, interval = recurrence.get("type"), recurrence.get("repeat_interval", 1)
    good = kind in most and isinstance(interval, int) and 1 <= interval <= most[kind]
    good = good and 1 <= recurrence.get("end_times", 1) <= 50
    if good and kind == 2:
        good = re.fullmatch(r"[1-7](,[1-7])*", str(recurrence.get("weekly_days", ""))) is not None
    if good and kind == 3:
        by_week = recurrence.get("monthly_week") in (-1, 1, 2, 3, 4) and recurrence.get(
            "monthly_week_day"
        ) in range(1, 8)
        good = recurrence.get("monthly_day") in range(1, 32) or by_week
    return None if good else {"field": "recurrence", "message": "Invalid field."}


def moment_in(text: str, zone: str) -> datetime:
    """Read a time of Zoom's. One without Z is a wall time of `zone`."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def zulu(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def occurrences_of(meeting: Json) -> list[Json]:
    """Return the occurrences that Zoom lists of a recurring meeting, at most 50."""
    zone = ZoneInfo(meeting["timezone"])
    first = moment_in(meeting["start_time"], "UTC").astimezone(zone)
    recurrence = meeting["recurrence"]
    end = recurrence.get("end_date_time")
    last = moment_in(end, "UTC") if end else None
    occurrences: list[Json] = []
    for day in itertools.islice(days_of(first.date(), recurrence), 50):
        start = datetime.combine(day, first.time(), tzinfo=zone).astimezone(UTC)
        if len(occurrences) >= recurrence.get("end_times", 50) or (last and start > last):
            break
        occurrences.append(
            {
                "occurrence_id": str(int(start.timestamp() * 1000)),
                "start_time": zulu(start),
                "duration": meeting["duration"],
                "status": "available",
            }
        )
    return occurrences


def days_of(first: date, recurrence: Json) -> Iterator[date]:
    """Yield the dates of a recurrence, without end."""
    interval = recurrence.get("repeat_interval", 1)
    if recurrence["type"] == 1:
        for number in itertools.count():
            yield first + timedelta(days=number * interval)
    elif recurrence["type"] == 2:
        sunday = first - timedelta(days=first.isoweekday() % 7)
        numbers = sorted(int(number) for number in recurrence["weekly_days"].split(","))
        for week in itertools.count(step=interval):
            days = (sunday + timedelta(days=7 * week + number - 1) for number in numbers)
            yield from (day for day in days if day >= first)
    else:
        for month in itertools.count(first.year * 12 + first.month - 1, interval):
            day = _day_of(month // 12, month % 12 + 1, recurrence)
            if day is not None and day >= first:
                yield day


def _day_of(year: int, month: int, recurrence: Json) -> date | None:
    length = calendar.monthrange(year, month)[1]
    if "monthly_day" in recurrence:
        return (
            date(year, month, recurrence["monthly_day"])
            if recurrence["monthly_day"] <= length
            else None
        )
    days = (date(year, month, number) for number in range(1, length + 1))
    fitting = [day for day in days if day.isoweekday() % 7 + 1 == recurrence["monthly_week_day"]]
    week = int(recurrence["monthly_week"])
    return fitting[week - 1 if week > 0 else week]
