"""Dates of a recurrence rule (RFC 5545, section 3.3.10), found in bounded time.

    rule = Rule.parse("FREQ=WEEKLY;BYDAY=MO,WE;COUNT=3", first=datetime(2030, 5, 1, 9))
    list(rule)   # Wednesday 1 May, Monday 6 May, Wednesday 8 May, each at 9:00

All times are naive wall times of the series. A rule that finds no date among `MOST_DAYS` days ends
there, so a rule without any date (`FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30`) costs milliseconds.

Not imitated: frequencies below a day, BYHOUR, BYMINUTE, BYSECOND. Calendar's own form offers none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, date, datetime, timedelta
from typing import Self

# How many days without a date are looked at before a rule counts as over: a leap day that has to
# fall on one weekday comes every 40 years, so a hundred years are looked at.
MOST_DAYS = 36_525

_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY")
_BY_DAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
# Parts that hold numbers: the name, and the largest number in it. Zero is never one of them, and a
# negative number counts from the end, except in BYMONTH.
_LISTS = {"BYMONTH": 12, "BYMONTHDAY": 31, "BYYEARDAY": 366, "BYWEEKNO": 53, "BYSETPOS": 366}
_MOST = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One RRULE or EXRULE of a series whose first wall time is `first`."""

    first: datetime
    frequency: str
    interval: int = 1
    count: int | None = None
    until: datetime | None = None
    week_start: int = 0
    months: frozenset[int] = frozenset()
    month_days: frozenset[int] = frozenset()
    year_days: frozenset[int] = frozenset()
    weeks: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    numbered_weekdays: frozenset[tuple[int, int]] = frozenset()
    """(which, weekday): the second Monday is (2, 0), the last Friday is (-1, 4)."""
    positions: frozenset[int] = frozenset()

    @classmethod
    def parse(cls, text: str, *, first: datetime, until: datetime | None = None) -> Self:
        """Read the parts behind `RRULE:`. `until` replaces UNTIL, in the series' wall time.

        Raises ValueError for a rule that cannot be read, an INTERVAL below 1 among others.
        """
        parts = _parts(text)
        frequency = parts.pop("FREQ", "")
        if frequency not in _FREQUENCIES:
            raise ValueError(f"FREQ={frequency}")
        if "UNTIL" in parts and "COUNT" in parts:
            raise ValueError("UNTIL beside COUNT")
        parts.pop("UNTIL", None)
        count = parts.pop("COUNT", None)
        interval = _number(parts.pop("INTERVAL", "1"), _MOST)
        week_start = _WEEKDAYS.index(parts.pop("WKST", "MO"))
        plain, numbered = _by_day(parts.pop("BYDAY", ""), frequency)
        numbers = {name: _numbers(name, parts.pop(name, "")) for name in _LISTS}
        if parts:
            raise ValueError(f"unknown parts: {', '.join(parts)}")
        months, month_days = numbers["BYMONTH"], numbers["BYMONTHDAY"]
        chosen = plain or numbered or month_days or numbers["BYYEARDAY"] or numbers["BYWEEKNO"]
        if not chosen and frequency == "WEEKLY":
            plain = frozenset({first.weekday()})
        elif not chosen and frequency in ("MONTHLY", "YEARLY"):
            month_days = frozenset({first.day})
            if frequency == "YEARLY":
                months = months or frozenset({first.month})
        return cls(
            first=first,
            frequency=frequency,
            interval=interval,
            count=None if count is None else _number(count, _MOST),
            until=until,
            week_start=week_start,
            months=months,
            month_days=month_days,
            year_days=numbers["BYYEARDAY"],
            weeks=numbers["BYWEEKNO"],
            weekdays=plain,
            numbered_weekdays=numbered,
            positions=numbers["BYSETPOS"],
        )

    def __iter__(self) -> Iterator[datetime]:
        """Yield the rule's wall times in order, none before `first`."""
        found = looked_at = 0
        for period in self._periods():
            looked_at += len(period)
            for day in self._chosen(period):
                moment = datetime.combine(day, self.first.time())
                if moment < self.first:
                    continue
                if self.until is not None and moment > self.until:
                    return
                yield moment
                looked_at = 0
                found += 1
                if found == self.count:
                    return
            if looked_at > MOST_DAYS:
                return
            if self.until is not None and period[0] > self.until.date():
                return

    def _periods(self) -> Iterator[list[date]]:
        """Yield the days of each day, week, month or year that the interval meets."""
        first = self.first.date()
        match self.frequency:
            case "DAILY":
                yield from (_days(at, 1) for at in _steps(first.toordinal(), self.interval))
            case "WEEKLY":
                monday = first.toordinal() - (first.weekday() - self.week_start) % 7
                yield from (_days(at, 7) for at in _steps(monday, 7 * self.interval))
            case "MONTHLY":
                month = first.year * 12 + first.month - 1
                while month // 12 <= MAXYEAR - 1:
                    begin = date(month // 12, month % 12 + 1, 1).toordinal()
                    end = date((month + 1) // 12, (month + 1) % 12 + 1, 1).toordinal()
                    yield _days(begin, end - begin)
                    month += self.interval
            case _:
                for year in range(first.year, MAXYEAR, self.interval):
                    begin = date(year, 1, 1).toordinal()
                    yield _days(begin, date(year + 1, 1, 1).toordinal() - begin)

    def _chosen(self, period: list[date]) -> list[date]:
        days = [day for day in period if self._matches(day)]
        if not self.positions:
            return days
        places = {place - 1 if place > 0 else len(days) + place for place in self.positions}
        return [day for place, day in enumerate(days) if place in places]

    def _matches(self, day: date) -> bool:
        if self.months and day.month not in self.months:
            return False
        if (self.weekdays or self.numbered_weekdays) and not self._is_chosen_weekday(day):
            return False
        if self.month_days:
            before = day.day - 1 - _month_length(day)
            if day.day not in self.month_days and before not in self.month_days:
                return False
        if self.year_days:
            number, length = _year_day(day), _year_length(day.year)
            if number not in self.year_days and number - length - 1 not in self.year_days:
                return False
        return not self.weeks or self._is_chosen_week(day)

    def _is_chosen_weekday(self, day: date) -> bool:
        weekday = day.weekday()
        if weekday in self.weekdays:
            return True
        if self.frequency == "MONTHLY" or self.months:
            number, length = day.day, _month_length(day)
        else:
            number, length = _year_day(day), _year_length(day.year)
        from_start, from_end = (number - 1) // 7 + 1, -((length - number) // 7 + 1)
        return not self.numbered_weekdays.isdisjoint({(from_start, weekday), (from_end, weekday)})

    def _is_chosen_week(self, day: date) -> bool:
        """Tell whether the day lies in a chosen week of its own year.

        Days around New Year that belong to a week of the neighbouring year count for that year, as
        ISO 8601 has it, with weeks that begin on `week_start`.
        """
        middle = day + timedelta(days=3 - (day.weekday() - self.week_start) % 7)
        number = (_year_day(middle) - 1) // 7 + 1
        weeks = (_year_day(_last_middle(middle.year, self.week_start)) - 1) // 7 + 1
        return number in self.weeks or number - weeks - 1 in self.weeks


def _parts(text: str) -> dict[str, str]:
    """Return the rule's parts by name. A `;` at the end is no mistake."""
    parts: dict[str, str] = {}
    for part in text.upper().rstrip(";").split(";"):
        name, sign, value = part.strip().partition("=")
        if not sign or name in parts:
            raise ValueError(f"part {part!r}")
        parts[name] = value
    return parts


def _by_day(text: str, frequency: str) -> tuple[frozenset[int], frozenset[tuple[int, int]]]:
    plain, numbered = set(), set()
    for word in text.split(",") if text else ():
        found = _BY_DAY.fullmatch(word.strip())
        if found is None:
            raise ValueError(f"BYDAY={text}")
        weekday = _WEEKDAYS.index(found[2])
        which = int(found[1] or 0)
        if found[1] and not 1 <= abs(which) <= 53:
            raise ValueError(f"BYDAY={text}")
        if which and frequency in ("MONTHLY", "YEARLY"):
            numbered.add((which, weekday))
        else:
            plain.add(weekday)
    return frozenset(plain), frozenset(numbered)


def _numbers(name: str, text: str) -> frozenset[int]:
    least = 1 if name == "BYMONTH" else -_LISTS[name]
    numbers = frozenset(_signed(word, _LISTS[name]) for word in text.split(",")) if text else ()
    if any(number < least or number == 0 for number in numbers):
        raise ValueError(f"{name}={text}")
    return frozenset(numbers)


def _signed(text: str, most: int) -> int:
    if not re.fullmatch(r"[+-]?\d{1,9}", text.strip(), re.ASCII) or abs(int(text)) > most:
        raise ValueError(text)
    return int(text)


def _number(text: str, most: int) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not 1 <= int(text) <= most:
        raise ValueError(text)
    return int(text)


def _steps(begin: int, step: int) -> Iterator[int]:
    """Yield ordinals of days. The last year is left out, since days behind it have no date."""
    yield from range(begin, date(MAXYEAR - 1, 12, 25).toordinal(), step)


def _days(begin: int, number: int) -> list[date]:
    return [date.fromordinal(begin + place) for place in range(number)]


def _month_length(day: date) -> int:
    following = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return (following - day.replace(day=1)).days


def _year_day(day: date) -> int:
    return day.toordinal() - date(day.year, 1, 1).toordinal() + 1


def _year_length(year: int) -> int:
    return date(year + 1, 1, 1).toordinal() - date(year, 1, 1).toordinal()


def _last_middle(year: int, week_start: int) -> date:
    """Return the fourth day of the year's last week, which always lies in that year."""
    last = date(year, 12, 31)
    middle = (week_start + 3) % 7
    return last - timedelta(days=(last.weekday() - middle) % 7)
