"""The dates of a series, as Calendar keeps them: when an occurrence begins, and when all is over.

Every question about dates is answered in bounded time (S6), whatever the rule says. Wall times are
kept in the event's zone, so that a series keeps its hour when clocks change. A rule, an exception
or a zone that cannot be read makes the series `Impossible`. No date is guessed.

`RRULE:FREQ=WEEKLY;COUNT=2` of an event that begins on Monday, 4 May 2026, at 10 in Berlin has the
dates `2026-05-04T08:00:00Z` and `2026-05-11T08:00:00Z`.
https://www.rfc-editor.org/rfc/rfc5545#section-3.3.10
"""

from __future__ import annotations

import heapq
import itertools
import re
from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from sync.model.conference import ConferenceContent
from sync.model.event import EventTime, zone_of

WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")

_READ = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS"}
# A rule is followed so far. A rule that matches no date, such as the 30th of February, has to come
# to an end, and soon. Dateutil ends only once it finds a date, which is why days are counted here.
_FAR_YEARS = 70
_LAST_YEAR = 9998
_LAST_DAY = date(_LAST_YEAR, 12, 1).toordinal()
# More dates than that a rule has not, so far. A larger COUNT means the same.
_MOST_DATES = (_FAR_YEARS + 1) * 366
# Calendar itself refuses series of so many single dates.
_MOST_SINGLE_DATES = 5_000
# An all-day event is over when its last day has ended in the zone that is last.
_LAST_ZONE = timedelta(hours=14)


@dataclass(frozen=True, slots=True)
class Impossible:
    """The dates of a series cannot be told, or not to one system. The reason is for people."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The parts of an RRULE that say on which days it falls. All of them, without `COUNT`, `UNTIL`.

    `weekdays`: number within the month or year, 0 for each, and weekday, Monday 0. `words` holds
    the parts as they were written, in capitals.
    """

    frequency: str
    interval: int
    weekdays: tuple[tuple[int, int], ...]
    month_days: tuple[int, ...]
    months: tuple[int, ...]
    positions: tuple[int, ...]
    week_start: int
    words: Mapping[str, str]

    @classmethod
    def of(cls, words: Mapping[str, str], first: date) -> Rule:
        """Read the parts of a rule whose series begins on `first`. Raises ValueError."""
        frequency, interval = words["FREQ"], int(words.get("INTERVAL", "1"))
        if not 1 <= interval <= 1000:
            raise ValueError(interval)
        weekdays = tuple(dict.fromkeys(_weekday(each) for each in _list(words, "BYDAY")))
        month_days = _numbers(words, "BYMONTHDAY", 31)
        months = tuple(sorted(_numbers(words, "BYMONTH", 12, negative=False)))
        if not weekdays and not month_days:
            # The day of the series itself is meant.
            if frequency == "WEEKLY":
                weekdays = ((0, first.weekday()),)
            elif frequency in ("MONTHLY", "YEARLY"):
                month_days = (first.day,)
                months = months or ((first.month,) if frequency == "YEARLY" else ())
        if frequency in ("DAILY", "WEEKLY"):
            weekdays = tuple((0, day) for _, day in weekdays)
        return cls(
            frequency=frequency,
            interval=interval,
            weekdays=weekdays,
            month_days=month_days,
            months=months,
            positions=_numbers(words, "BYSETPOS", 366),
            week_start=WEEKDAYS.index(words.get("WKST", "MO")),
            words=words,
        )

    def days(self, first: date, since: date | None = None) -> Iterator[date]:
        """Yield the rule's days in order, from `first` on, or from about `since` on."""
        last_year = min(max(first, since or first).year + _FAR_YEARS, _LAST_YEAR)
        for period in self._periods(first, since or first):
            if period[0].year > last_year:
                return
            found = [day for day in period if self._matches(day)]
            if self.positions:
                found = self._at_positions(found)
            yield from (day for day in found if day >= first)

    def _periods(self, first: date, since: date) -> Iterator[list[date]]:
        """Yield the days of each of the periods that the rule counts, never an empty list."""
        match self.frequency:
            case "DAILY":
                skipped = max(0, (since - first).days // self.interval)
                for day in range(first.toordinal(), _LAST_DAY, self.interval)[skipped:]:
                    yield [date.fromordinal(day)]
            case "WEEKLY":
                week = max(1, first.toordinal() - (first.weekday() - self.week_start) % 7)
                weeks = range(week, _LAST_DAY, 7 * self.interval)
                skipped = max(0, (since.toordinal() - week) // weeks.step)
                for begins in weeks[skipped:]:
                    yield [date.fromordinal(begins + day) for day in range(7)]
            case "MONTHLY":
                month = first.year * 12 + first.month - 1
                skipped = max(0, (since.year * 12 + since.month - 1 - month) // self.interval)
                for number in range(month, _LAST_YEAR * 12, self.interval)[skipped:]:
                    yield _month(number // 12, number % 12 + 1)
            case _:
                skipped = max(0, (since.year - first.year) // self.interval)
                for year in range(first.year, _LAST_YEAR, self.interval)[skipped:]:
                    yield [
                        day for month in self.months or range(1, 13) for day in _month(year, month)
                    ]

    def _matches(self, day: date) -> bool:
        if self.months and day.month not in self.months:
            return False
        if self.month_days and day.day not in self.month_days:
            length = monthrange(day.year, day.month)[1]
            if day.day - length - 1 not in self.month_days:
                return False
        if not self.weekdays:
            return True
        weekday = day.weekday()
        numbers = {number for number, wanted in self.weekdays if wanted == weekday}
        return 0 in numbers or (bool(numbers) and not numbers.isdisjoint(self._numbers_of(day)))

    def _numbers_of(self, day: date) -> tuple[int, int]:
        """Return which of its weekdays a day is, from the start of month or year and the end."""
        if self.frequency == "YEARLY" and not self.months:
            position = day.timetuple().tm_yday
            length = date(day.year, 12, 31).timetuple().tm_yday
        else:
            position, length = day.day, monthrange(day.year, day.month)[1]
        return (position - 1) // 7 + 1, -((length - position) // 7 + 1)

    def _at_positions(self, days: list[date]) -> list[date]:
        kept = {
            days[position - 1 if position > 0 else position]
            for position in self.positions
            if -len(days) <= position <= len(days)
        }
        return sorted(kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A series as Calendar keeps it.

    `first` is naive wall time in `zone`. `until`, `excluded` and `added` are moments. `rule` is
    None where there are only single dates.
    """

    first: datetime
    zone: tzinfo
    duration: timedelta
    rule: Rule | None
    count: int | None = None
    until: datetime | None = None
    excluded: frozenset[datetime] = frozenset()
    added: tuple[datetime, ...] = ()

    @property
    def endless(self) -> bool:
        return self.rule is not None and self.count is None and self.until is None

    def moment(self, wall: datetime) -> datetime:
        return wall.replace(tzinfo=self.zone).astimezone(UTC)

    def rule_dates(self, since: datetime | None = None) -> Iterator[datetime]:
        """Yield the wall times of the rule in order, those excluded by EXDATE among them.

        `since`, a moment, leaves out whole days before it, and costs nothing for them unless the
        rule counts its dates.
        """
        if self.rule is None:
            return
        begins = self.first.date()
        day_before = begins if since is None else _day_before(since)
        days = self.rule.days(begins, day_before if self.count is None else None)
        for day in itertools.islice(days, self.count):
            if day < day_before:
                continue
            wall = datetime.combine(day, self.first.time())
            if self.until is not None and self.moment(wall) > self.until:
                return
            yield wall

    def dates(self, since: datetime | None = None) -> Iterator[datetime]:
        """Yield the moments at which an occurrence begins, in order, without those excluded.

        `since`: as in `rule_dates`.
        """
        added = sorted({*self.added, *(() if self.rule else (self.moment(self.first),))})
        last: datetime | None = None
        for moment in heapq.merge((self.moment(wall) for wall in self.rule_dates(since)), added):
            if moment not in self.excluded and moment != last:
                yield moment
            last = moment

    def upcoming(self, now: datetime, most: int) -> tuple[list[datetime], bool]:
        """Return the rule's next wall times, at most so many, and whether more follow.

        The first of them takes place. Later ones may be excluded.
        """
        ahead = (wall for wall in self.rule_dates(now) if self.moment(wall) > now)
        from_first = itertools.dropwhile(lambda wall: self.moment(wall) in self.excluded, ahead)
        found = list(itertools.islice(from_first, most + 1))
        return found[:most], len(found) > most

    def last(self) -> datetime | None:
        """Return the moment at which the last occurrence begins. None: there is none, or no end."""
        if self.endless:
            return None
        if self.rule is None:
            return max(self.dates(), default=None)
        if self.until is None:
            return self._last_counted(self.rule)
        # A rule is followed from near its end: from a year before, else from further back.
        begins = self.moment(self.first)
        for years in (1, 12, _FAR_YEARS):
            # Not by subtraction from `until`: that may be a day of the year 1.
            back = timedelta(days=366 * years)
            since = self.until - back if self.until - begins > back else begins
            if found := max(self.dates(since), default=None):
                return found
        return None

    def _last_counted(self, rule: Rule) -> datetime | None:
        """The same for a rule that ends by its `COUNT`. Only its last days are made moments."""
        days = list(itertools.islice(rule.days(self.first.date()), self.count))
        walls = (datetime.combine(day, self.first.time()) for day in reversed(days))
        latest_first = (self.moment(wall) for wall in walls)
        of_rule = next((one for one in latest_first if one not in self.excluded), None)
        found = [one for one in self.added if one not in self.excluded]
        return max(found if of_rule is None else [*found, of_rule], default=None)


def parse(content: ConferenceContent, *, all_day_zone: str = "UTC") -> Series | Impossible:
    """Return the series that a conference's recurrence describes.

    All-day dates begin at midnight in `all_day_zone`. Of a single event: that one date. Never
    raises.
    """
    name = content.start.time_zone or "UTC" if content.start.moment else all_day_zone
    zone = zone_of(name)
    if zone is None:
        return Impossible("its time zone is unknown, so its dates cannot be told")
    try:
        first = wall_time(content.start, zone)
    except OverflowError:
        return Impossible("it begins outside of the calendar")
    if not 2 <= first.year <= 9000:
        return Impossible("it begins too far away")
    words: dict[str, str] | None = None
    excluded: set[datetime] = set()
    added: list[datetime] = []
    for line in content.recurrence:
        # The name of a zone may hold a colon, a value never does.
        head, _, value = line.rpartition(":")
        word = head.partition(";")[0].upper()
        try:
            if word == "RRULE" and words is None:
                words = _parts(value)
            elif word == "EXDATE":
                excluded.update(_moments(head, value, first, zone))
            elif word == "RDATE":
                added += _moments(head, value, first, zone)
            else:
                said = word if re.fullmatch(r"[A-Z-]{1,20}", word) else "a line"
                return Impossible(
                    "it has several rules" if word == "RRULE" else f"it has {said} of no known kind"
                )
        except (ValueError, OverflowError):
            return Impossible(f"its {word} cannot be read")
        if len(excluded) + len(added) > _MOST_SINGLE_DATES:
            return Impossible("it has too many single dates")
    series = Series(
        first=first,
        zone=zone,
        duration=max(duration_of(content), timedelta()),
        rule=None,
        excluded=frozenset(excluded),
        added=tuple(added),
    )
    return series if words is None else _with_rule(series, words)


def _with_rule(series: Series, words: dict[str, str]) -> Series | Impossible:
    frequency = words.get("FREQ", "")
    if frequency not in FREQUENCIES:
        known = re.fullmatch(r"[A-Z]{1,20}", frequency)
        return Impossible(f"it repeats {frequency.lower() if known else 'in no known way'}")
    if unknown := words.keys() - _READ:
        said = sorted(unknown)[0]
        return Impossible(f"its rule uses {said if len(said) <= 20 else 'an unknown part'}")
    try:
        count = int(words.pop("COUNT")) if "COUNT" in words else None
        until = _until(words.pop("UNTIL"), series.zone) if "UNTIL" in words else None
        if count is not None and count < 1:
            raise ValueError(count)
        count = min(count, _MOST_DATES) if count is not None else None
        rule = Rule.of(words, series.first.date())
    except (ValueError, OverflowError):
        return Impossible("its rule cannot be read")
    if next(rule.days(series.first.date()), None) is None:
        return Impossible("its rule matches no date at all")
    return replace(series, rule=rule, count=count, until=until)


def last_end(content: ConferenceContent) -> datetime | None:
    """Return when the last date of a conference is over. None: never, or it cannot be told.

    All-day dates end where their day ends last. A series all of whose dates are excluded ends with
    its own first date. What ends behind the last day of the calendar never ends.
    """
    try:
        return _last_end(content)
    except OverflowError:
        return None


def _last_end(content: ConferenceContent) -> datetime | None:
    later = _LAST_ZONE if content.end.all_day else timedelta()
    begins = moment_of(content.start, UTC)
    end = max(moment_of(content.end, UTC), begins)
    if content.recurrence:
        series = parse(content)
        if isinstance(series, Impossible) or series.endless:
            return None
        last = series.last()
        end = end if last is None else last + series.duration
    return end + later


def is_over(content: ConferenceContent, now: datetime) -> bool:
    """Tell whether nothing of a conference lies ahead any more. Never so if that is not known."""
    if now < moment_of(content.end, UTC):
        return False
    end = last_end(content)
    return end is not None and end <= now


def begins_on(content: ConferenceContent, moment: EventTime) -> bool:
    """Tell whether a conference that begins at `moment` begins when the event does (O2).

    For a series: on one of its dates, excluded ones left out. Seconds do not count, for some
    systems keep none. All-day dates are compared as dates.
    """
    series = parse(content)
    if isinstance(series, Impossible):
        return False
    if content.start.all_day:
        wanted = datetime.combine(_day_of(moment), time(), tzinfo=UTC)
    elif moment.moment is None:
        return False
    else:
        wanted = moment.moment.astimezone(UTC)
    wanted = wanted.replace(second=0, microsecond=0)
    if not content.recurrence:
        return series.moment(series.first).replace(second=0, microsecond=0) == wanted
    for begins in series.dates(wanted):
        begins = begins.replace(second=0, microsecond=0)
        if begins >= wanted:
            return begins == wanted
    return False


def wall_time(at: EventTime, zone: tzinfo) -> datetime:
    """Return the naive wall time in `zone`. An all-day date begins at midnight."""
    if at.moment is not None:
        return at.moment.astimezone(zone).replace(tzinfo=None)
    assert at.day is not None, "a time is a moment or a date"
    return datetime.combine(at.day, time())


def moment_of(at: EventTime, all_day_zone: tzinfo) -> datetime:
    """Return the moment in UTC. An all-day date begins at midnight in `all_day_zone`."""
    if at.moment is not None:
        return at.moment.astimezone(UTC)
    try:
        return wall_time(at, all_day_zone).replace(tzinfo=all_day_zone).astimezone(UTC)
    except OverflowError:
        # The first and the last day of the calendar have no neighbour to shift to.
        return wall_time(at, UTC).replace(tzinfo=UTC)


def duration_of(content: ConferenceContent) -> timedelta:
    """Return how long one occurrence lasts."""
    start, end = content.start, content.end
    if start.moment and end.moment:
        return end.moment - start.moment
    if start.day and end.day:
        return end.day - start.day
    return timedelta()


def _day_of(moment: EventTime) -> date:
    if moment.moment is None:
        assert moment.day is not None, "a time is a moment or a date"
        return moment.day
    zone = zone_of(moment.time_zone)
    try:
        return (moment.moment.astimezone(zone) if zone else moment.moment).date()
    except OverflowError:
        # The first and the last day of the calendar have no neighbour to shift to.
        return moment.moment.date()


def _day_before(moment: datetime) -> date:
    """A day that is over before `moment` in every zone."""
    return date.fromordinal(max(1, moment.astimezone(UTC).toordinal() - 2))


def _month(year: int, month: int) -> list[date]:
    return [date(year, month, day + 1) for day in range(monthrange(year, month)[1])]


def _parts(value: str) -> dict[str, str]:
    """Read the value of an RRULE line, in capitals. A semicolon at its end is no mistake.

    `"freq=weekly; byday=mo,"` gives `{"FREQ": "WEEKLY", "BYDAY": "MO"}`. Raises ValueError.
    """
    parts: dict[str, str] = {}
    for part in value.strip().upper().removesuffix(";").split(";"):
        name, _, listed = part.partition("=")
        key, text = name.strip(), ",".join(_values(listed))
        if not text or key in parts:
            raise ValueError(part)
        parts[key] = text
    return parts


def _values(listed: str) -> list[str]:
    """Return the values of a list. Blanks around one and a comma at the end are no mistake.

    A blank within a value stays: `1 5` may be the 15th, or the 1st and the 5th.
    """
    return [each.strip() for each in listed.strip().removesuffix(",").split(",")]


def _list(words: Mapping[str, str], key: str) -> list[str]:
    found = words[key].split(",") if key in words else []
    if len(found) > 400:
        raise ValueError(key)
    return found


def _numbers(
    words: Mapping[str, str], key: str, most: int, *, negative: bool = True
) -> tuple[int, ...]:
    numbers = tuple(dict.fromkeys(int(each) for each in _list(words, key)))
    if any(
        number == 0 or abs(number) > most or (number < 0 and not negative) for number in numbers
    ):
        raise ValueError(key)
    return numbers


def _weekday(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([+-]?\d{1,2})?([A-Z]{2})", text)
    if not found or (found[1] and int(found[1]) == 0):
        raise ValueError(text)
    return int(found[1] or 0), WEEKDAYS.index(found[2])


def _until(value: str, zone: tzinfo) -> datetime:
    """A date includes its whole day. Wall time is the event's."""
    text = f"{value}T235959" if len(value) == 8 else value
    try:
        return _basic(text, zone)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _moments(head: str, value: str, first: datetime, zone: tzinfo) -> list[datetime]:
    """Read the dates of an EXDATE or RDATE line. Raises ValueError, also for an unknown zone.

    Of a period its start is read. A date stands for the hour of the series.
    """
    named = re.search(r';TZID=(?:"([^"]*)"|([^;]*))', head, re.IGNORECASE)
    inner = zone_of(named[1] or named[2]) if named else zone
    if inner is None:
        # Read in another zone, the line would exclude a date that takes place.
        raise ValueError("the zone is unknown")
    moments = []
    for text in (each.partition("/")[0] for each in _values(value)):
        if len(text) == 8:
            moments.append(_basic(f"{text}T{first:%H%M%S}", zone))
        else:
            moments.append(_basic(text, inner))
        if len(moments) > _MOST_SINGLE_DATES:
            raise ValueError("there are too many")
    return moments


_BASIC = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(Z?)", re.IGNORECASE | re.ASCII)


def _basic(text: str, zone: tzinfo) -> datetime:
    found = _BASIC.fullmatch(text)
    if not found:
        raise ValueError("this is no time")
    year, month, day, hour, minute, second = (int(each) for each in found.groups()[:6])
    aware = datetime(
        year, month, day, hour, minute, min(second, 59), tzinfo=UTC if found[7] else zone
    )
    return aware.astimezone(UTC)
