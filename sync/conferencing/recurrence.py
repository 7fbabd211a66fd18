"""Calendar's recurrence in the words of systems that know less of it: exactly, for a while, or not
at all.

A translation is checked by expanding both sides, Calendar's rule and the system's own reading of
what it is sent. Dates that would differ are never sent: `Impossible`. Wall times are compared, in
the event's zone, so that a series keeps its hour when clocks change.
https://www.rfc-editor.org/rfc/rfc5545#section-3.3.10
"""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Generic, Literal, TypeAlias, TypeVar
from zoneinfo import ZoneInfo

from dateutil import rrule

from sync.model.conference import Approximation, ConferenceContent
from sync.model.event import EventTime

CHECKED = 60
"""So many dates of both sides must be equal."""

# What Zoom documents: at most so many occurrences, and a longest interval for each kind of
# repetition.
# https://developers.zoom.us/docs/api/references/recurrence-object-definitions/
ZOOM_MOST = 50
_ZOOM_INTERVALS = {"DAILY": 90, "WEEKLY": 12, "MONTHLY": 3}
# What Webex documents for series that end.
# https://developer.webex.com/docs/api/v1/meetings/create-a-meeting
_WEBEX_MOST = {"DAILY": 1826, "WEEKLY": 261, "MONTHLY": 60, "YEARLY": 5}
_WEBEX_FURTHEST = timedelta(days=5 * 365)
# A copy that covers a part of its series is sent anew when so many of its dates are left.
_LEFT_OVER = 10

_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_FREQUENCIES: dict[str, Literal[0, 1, 2, 3]] = {
    "DAILY": rrule.DAILY,
    "WEEKLY": rrule.WEEKLY,
    "MONTHLY": rrule.MONTHLY,
    "YEARLY": rrule.YEARLY,
}
_READ = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS"}
# Rules that match no date at all (the 30th of February) must come to an end, and soon where each
# day is looked at.
_FAR_YEARS = 70
_LONGEST_GAP_YEARS = 12

_Sent = TypeVar("_Sent")


@dataclass(frozen=True, slots=True)
class Exact(Generic[_Sent]):
    """The system lists the very dates of the calendar."""

    sent: _Sent


@dataclass(frozen=True, slots=True)
class Approximate(Generic[_Sent]):
    """The system lists the first of the dates and no wrong one."""

    sent: _Sent
    approximation: Approximation


@dataclass(frozen=True, slots=True)
class Impossible:
    """The system would list other dates, so it is sent none. The reason is for people."""

    reason: str


Translation: TypeAlias = Exact[_Sent] | Approximate[_Sent] | Impossible


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A series as Calendar keeps it. `first` is naive wall time in `zone`; `excluded` and `added`
    are moments.

    `rule` holds the parts of its RRULE, None where there are only single dates; `count` and `until`
    are taken out.
    """

    first: datetime
    zone: ZoneInfo
    duration: timedelta
    rule: Mapping[str, str] | None
    count: int | None = None
    until: datetime | None = None
    excluded: frozenset[datetime] = frozenset()
    added: tuple[datetime, ...] = ()

    def moment(self, wall: datetime) -> datetime:
        return wall.replace(tzinfo=self.zone).astimezone(UTC)

    def rule_dates(self) -> Iterator[datetime]:
        """Yield the wall times of the rule in order, those excluded by EXDATE among them."""
        if self.rule is None:
            return
        words = ";".join(f"{key}={value}" for key, value in self.rule.items())
        far = min(self.first.year + _FAR_YEARS, 9998)
        rule = rrule.rrulestr(f"{words};UNTIL={far:04}1231T000000", dtstart=self.first)
        for wall in itertools.islice(rule, self.count):
            if self.until is not None and self.moment(wall) > self.until:
                return
            yield wall

    def dates(self) -> Iterator[datetime]:
        """Yield the moments at which an occurrence begins, in order: rule, additions, without
        what is excluded."""
        added = sorted({*self.added, *(() if self.rule else (self.moment(self.first),))})
        last: datetime | None = None
        for moment in heapq.merge((self.moment(wall) for wall in self.rule_dates()), added):
            if moment not in self.excluded and moment != last:
                yield moment
            last = moment

    def upcoming(self, now: datetime, most: int) -> tuple[list[datetime], bool]:
        """Return the rule's next wall times, at most so many, from one that takes place; and
        whether more follow."""
        ahead = (wall for wall in self.rule_dates() if self.moment(wall) > now)
        from_first = itertools.dropwhile(lambda wall: self.moment(wall) in self.excluded, ahead)
        found = list(itertools.islice(from_first, most + 1))
        return found[:most], len(found) > most


def parse(content: ConferenceContent, *, all_day_zone: str = "UTC") -> Series | Impossible:
    """Return the series that a conference's recurrence describes; all-day dates begin at
    midnight in `all_day_zone`."""
    name = content.start.time_zone or "UTC" if content.start.moment else all_day_zone
    zone = zone_of(name)
    if zone is None:
        return Impossible("its time zone is unknown, so its dates cannot be told")
    first = wall_time(content.start, zone)
    if first.year > 9000:
        return Impossible("it begins too far in the future")
    rule: dict[str, str] | None = None
    excluded: set[datetime] = set()
    added: list[datetime] = []
    for line in content.recurrence:
        head, _, value = line.partition(":")
        word = head.partition(";")[0].upper()
        try:
            if word == "RRULE" and rule is None:
                rule = _parts(value)
            elif word == "EXDATE":
                excluded.update(_moments(head, value, first, zone))
            elif word == "RDATE":
                added += _moments(head, value, first, zone)
            else:
                return Impossible(
                    f"it has {'several rules' if word == 'RRULE' else word or 'an empty rule'}"
                )
        except (ValueError, OverflowError):
            return Impossible(f"its {word} cannot be read")
    count = until = None
    if rule is not None:
        if rule.get("FREQ") not in _FREQUENCIES:
            return Impossible(f"it repeats {rule.get('FREQ', '').lower() or 'in no known way'}")
        if unknown := rule.keys() - _READ:
            return Impossible(f"its rule uses {sorted(unknown)[0]}")
        try:
            interval = int(rule.get("INTERVAL", "1"))
            count = int(rule.pop("COUNT")) if "COUNT" in rule else None
            until = _until(rule.pop("UNTIL"), zone) if "UNTIL" in rule else None
            if not 1 <= interval <= 1000 or (count is not None and count < 1):
                raise ValueError
            words = ";".join(f"{key}={part}" for key, part in rule.items())
            far = _FAR_YEARS if rule["FREQ"] == "YEARLY" else _LONGEST_GAP_YEARS
            until_far = f"{min(first.year + far, 9998):04}1231T000000"
            if (
                next(iter(rrule.rrulestr(f"{words};UNTIL={until_far}", dtstart=first)), None)
                is None
            ):
                return Impossible("its rule matches no date at all")
        except (ValueError, OverflowError, KeyError, TypeError, AttributeError, IndexError):
            return Impossible("its rule cannot be read")
    return Series(
        first=first,
        zone=zone,
        duration=max(duration_of(content), timedelta()),
        rule=rule,
        count=count,
        until=until,
        excluded=frozenset(excluded),
        added=tuple(added),
    )


def zone_of(name: str | None) -> ZoneInfo | None:
    """Return a time zone by its IANA name, None if this machine knows none of that name."""
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, OSError, KeyError):
        return None


def wall_time(at: EventTime, zone: ZoneInfo) -> datetime:
    """Return the naive wall time in `zone`; an all-day date begins at midnight."""
    if at.moment is not None:
        return at.moment.astimezone(zone).replace(tzinfo=None)
    assert at.day is not None, "a time is a moment or a date"
    return datetime.combine(at.day, time())


def moment_of(at: EventTime, all_day_zone: ZoneInfo) -> datetime:
    """Return the moment in UTC; an all-day date begins at midnight in `all_day_zone`."""
    if at.moment is not None:
        return at.moment.astimezone(UTC)
    return wall_time(at, all_day_zone).replace(tzinfo=all_day_zone).astimezone(UTC)


def rfc3339(moment: datetime) -> str:
    """Return a moment in UTC to the second, `2026-05-04T08:00:00Z`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def moment_in(text: object) -> datetime | None:
    """Return the moment that a system wrote, None for what is none. Without an offset it is UTC."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def original_moment(original_start: str, all_day_zone: ZoneInfo) -> datetime:
    """Return the moment of an occurrence's original start, which is in UTC, or a date."""
    moment = datetime.fromisoformat(original_start)
    return (moment if moment.tzinfo else moment.replace(tzinfo=all_day_zone)).astimezone(UTC)


def duration_of(content: ConferenceContent) -> timedelta:
    """Return how long one occurrence lasts."""
    start, end = content.start, content.end
    if start.moment and end.moment:
        return end.moment - start.moment
    if start.day and end.day:
        return end.day - start.day
    return timedelta()


def last_end(
    content: ConferenceContent, now: datetime, furthest: timedelta
) -> tuple[datetime, datetime | None]:
    """Return when a conference, series or not, is over for good; for one system that keeps no rule.

    An endless series, or one whose rule cannot be read, ends `furthest` from now; the second value
    says when that is to be told again, None for an end that stays.
    """
    begins = moment_of(content.start, ZoneInfo("UTC"))
    end = max(moment_of(content.end, ZoneInfo("UTC")), begins)
    if not content.recurrence:
        return end, None
    series = parse(content)
    limit = max(now, begins) + furthest
    if isinstance(series, Series):
        last = end
        for begin in series.dates():
            if begin + series.duration > limit:
                break
            last = max(last, begin + series.duration)
        else:
            return last, None
    return max(limit, end), max(now, begins) + furthest / 2


def is_over(content: ConferenceContent, now: datetime) -> bool:
    """Tell whether nothing of the conference lies ahead any more; all-day dates count in the
    zone that is last."""
    if now < moment_of(content.end, ZoneInfo("UTC")) + (
        timedelta(hours=14) if content.end.all_day else timedelta()
    ):
        return False
    if not content.recurrence:
        return True
    end, again = last_end(content, now, timedelta(days=1))
    return again is None and end <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class ForZoom:
    """What Zoom is sent of a series: the next date's wall time, its `recurrence`, and which of
    its dates to cancel."""

    start: datetime
    recurrence: dict[str, Any]
    cancelled: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ForWebex:
    """What Webex is sent of a series: the next date's wall time, its `recurrence`, and which of
    its dates to cancel."""

    start: datetime
    recurrence: str
    cancelled: tuple[datetime, ...] = ()


def for_zoom(series: Series, now: datetime, most: int = ZOOM_MOST) -> Translation[ForZoom]:
    """Translate what is left of a series. Endless and long ones become a copy of the next `most`
    dates."""
    pattern = _pattern(series)
    if isinstance(pattern, Impossible):
        return pattern
    if pattern.every == "YEARLY":
        return Impossible("Zoom knows no yearly series")
    longest = _ZOOM_INTERVALS[pattern.every]
    if pattern.interval > longest:
        return Impossible(
            f"Zoom repeats {pattern.every.lower()} meetings at most every {longest}, not {pattern.interval}"
        )
    dates, more = series.upcoming(now, most)
    if not dates:
        return Impossible("none of its dates lies ahead")
    recurrence: dict[str, Any] = {"repeat_interval": pattern.interval}
    match pattern.every:
        case "DAILY":
            recurrence |= {"type": 1}
        case "WEEKLY":
            numbers = sorted((_DAYS.index(day) + 1) % 7 + 1 for day in pattern.days)
            recurrence |= {"type": 2, "weekly_days": ",".join(map(str, numbers))}
        case "MONTHLY" if pattern.month_day is not None:
            recurrence |= {"type": 3, "monthly_day": pattern.month_day}
        case _:
            week_day = (_DAYS.index(pattern.days[0]) + 1) % 7 + 1
            recurrence |= {"type": 3, "monthly_week": pattern.week, "monthly_week_day": week_day}
    wanted, _ = series.upcoming(now, CHECKED)
    if list(itertools.islice(zoom_dates(dates[0], recurrence), len(wanted))) != wanted:
        return Impossible("Zoom would list other dates")
    sent = ForZoom(
        start=dates[0],
        recurrence={**recurrence, "end_times": len(dates)},
        cancelled=_cancelled(series, dates),
    )
    if not more:
        return Exact(sent)
    return Approximate(sent, _first_of("Zoom", series, dates))


def zoom_dates(start: datetime, recurrence: Mapping[str, Any]) -> Iterator[datetime]:
    """Yield the dates that Zoom makes of a recurrence object, without end: weeks begin on Sunday,
    days count from 1.

    https://developers.zoom.us/docs/api/references/recurrence-object-definitions/
    """
    options: dict[str, Any] = {"interval": recurrence.get("repeat_interval", 1), "wkst": rrule.SU}
    if recurrence["type"] == 2:
        options["byweekday"] = [
            (int(number) - 2) % 7 for number in recurrence["weekly_days"].split(",")
        ]
    elif "monthly_day" in recurrence:
        options["bymonthday"] = recurrence["monthly_day"]
    elif recurrence["type"] == 3:
        day = rrule.weekday((recurrence["monthly_week_day"] - 2) % 7)
        options["byweekday"] = day(recurrence["monthly_week"])
    frequency = {1: "DAILY", 2: "WEEKLY", 3: "MONTHLY"}[recurrence["type"]]
    yield from rrule.rrule(_FREQUENCIES[frequency], dtstart=start, until=_far(start), **options)


def for_webex(series: Series, now: datetime) -> Translation[ForWebex]:
    """Translate what is left of a series. One that ends later than Webex can hold is cut there."""
    pattern = _pattern(series)
    if isinstance(pattern, Impossible):
        return pattern
    endless = series.count is None and series.until is None
    most = _WEBEX_MOST[pattern.every]
    dates, more = series.upcoming(now, most)
    if not dates:
        return Impossible("none of its dates lies ahead")
    parts = [f"FREQ={pattern.every}", f"INTERVAL={pattern.interval}"]
    if pattern.every == "YEARLY":
        parts.append(f"BYMONTH={pattern.month}")
    if pattern.month_day is not None:
        parts.append(f"BYMONTHDAY={pattern.month_day}")
    elif pattern.days:
        week = "" if pattern.week is None else str(pattern.week)
        parts.append("BYDAY=" + ",".join(f"{week}{day}" for day in pattern.days))
    rule = ";".join(parts)
    wanted, _ = series.upcoming(now, CHECKED)
    if list(itertools.islice(webex_dates(dates[0], rule), len(wanted))) != wanted:
        return Impossible("Webex would list other dates")
    if endless:
        return Exact(
            ForWebex(start=dates[0], recurrence=rule, cancelled=_cancelled(series, wanted))
        )
    within = [wall for wall in dates if series.moment(wall) <= now + _WEBEX_FURTHEST]
    if not within:
        return Impossible("its next date is more than five years away, further than Webex plans")
    sent = ForWebex(
        start=within[0],
        recurrence=f"{rule};COUNT={len(within)}",
        cancelled=_cancelled(series, within),
    )
    if more or len(within) < len(dates):
        return Approximate(sent, _first_of("Webex", series, within))
    return Exact(sent)


def webex_dates(start: datetime, rule: str) -> Iterator[datetime]:
    """Yield the dates that Webex makes of a rule: of several days of a month, or of a year, it
    takes the first alone.

    https://developer.webex.com/docs/api/v1/meetings/create-a-meeting (recurrence)
    """
    parts = dict(part.split("=", 1) for part in rule.split(";"))
    if parts["FREQ"] in ("MONTHLY", "YEARLY"):
        parts = {key: value.partition(",")[0] for key, value in parts.items()}
    text = ";".join(
        f"{key}={value}" for key, value in parts.items() if key not in ("COUNT", "UNTIL")
    )
    yield from rrule.rrulestr(f"{text};UNTIL={_far(start):%Y%m%dT%H%M%S}", dtstart=start)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pattern:
    """The kinds of repetition that both systems know: every n days, on days of every n-th week, one
    day of a month.

    `week`: which of the month's `days[0]`, -1 the last.
    """

    every: Literal["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]
    interval: int
    days: tuple[str, ...] = ()
    week: int | None = None
    month_day: int | None = None
    month: int | None = None


def _pattern(series: Series) -> _Pattern | Impossible:
    rule = series.rule
    if rule is None or series.added:
        return Impossible("it has single dates beside its rule (RDATE)")
    interval = int(rule.get("INTERVAL", "1"))
    by = {key for key in rule if key.startswith("BY")}
    days = tuple(rule["BYDAY"].split(",")) if "BYDAY" in rule else ()
    weekdays = (_DAYS[series.first.weekday()],)
    match rule["FREQ"]:
        case "DAILY" if not by:
            return _Pattern(every="DAILY", interval=interval)
        case "DAILY" if by == {"BYDAY"} and interval == 1 and set(days) <= set(_DAYS):
            return _Pattern(every="WEEKLY", interval=1, days=days)
        case "WEEKLY" if not by or (by == {"BYDAY"} and set(days) <= set(_DAYS)):
            return _Pattern(every="WEEKLY", interval=interval, days=days or weekdays)
        case "MONTHLY" if "BYMONTH" not in by:
            return _day_of_month(series, _Pattern(every="MONTHLY", interval=interval), by, days)
        case "YEARLY" if _one_month(rule, by):
            month = int(rule.get("BYMONTH", series.first.month))
            found = _Pattern(every="YEARLY", interval=interval, month=month)
            return _day_of_month(series, found, by - {"BYMONTH"}, days)
    return Impossible(f"its rule combines {rule['FREQ']} with {', '.join(sorted(by))}")


def _one_month(rule: Mapping[str, str], by: set[str]) -> bool:
    """A weekday without a month means every one of the year's; several months are several dates
    a year."""
    return "," not in rule.get("BYMONTH", "") and ("BYMONTH" in by or "BYDAY" not in by)


def _day_of_month(
    series: Series, found: _Pattern, by: set[str], days: tuple[str, ...]
) -> _Pattern | Impossible:
    rule = series.rule or {}
    position = rule.get("BYSETPOS", "")
    if not by:
        return _with(found, month_day=series.first.day)
    if by == {"BYMONTHDAY"} and re.fullmatch(r"\+?\d+", rule["BYMONTHDAY"]):
        return _with(found, month_day=int(rule["BYMONTHDAY"]))
    if (
        len(days) == 1
        and by == {"BYDAY"}
        and (nth := re.fullmatch(r"\+?([1-4]|-1)([A-Z]{2})", days[0]))
    ):
        return _with(found, week=int(nth[1]), days=(nth[2],))
    plain = len(days) == 1 and days[0] in _DAYS
    if plain and by == {"BYDAY", "BYSETPOS"} and re.fullmatch(r"\+?[1-4]|-1", position):
        return _with(found, week=int(position), days=days)
    return Impossible(
        "it falls on several days of a month, or on one counted in a way that the system does not know"
    )


def _with(
    found: _Pattern,
    *,
    days: tuple[str, ...] = (),
    week: int | None = None,
    month_day: int | None = None,
) -> _Pattern:
    return _Pattern(
        every=found.every,
        interval=found.interval,
        month=found.month,
        days=days,
        week=week,
        month_day=month_day,
    )


def _cancelled(series: Series, dates: list[datetime]) -> tuple[datetime, ...]:
    return tuple(moment for wall in dates if (moment := series.moment(wall)) in series.excluded)


def _first_of(system: str, series: Series, dates: list[datetime]) -> Approximation:
    """More is sent before the copy runs out, and not too early, or a short copy would always be
    running out."""
    again = dates[max(len(dates) - _LEFT_OVER, len(dates) // 2)]
    reason = (
        f"{system} lists the next {len(dates)} dates of this series, until {dates[-1]:%Y-%m-%d}; more are sent from "
        f"{again:%Y-%m-%d} on, and the join link serves all of them"
    )
    return Approximation(reason=reason, again_at=series.moment(again))


def _parts(value: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in value.strip().upper().split(";"):
        key, equals, text = part.partition("=")
        if not equals or not text or key in parts:
            raise ValueError(part)
        parts[key] = text
    return parts


def _until(value: str, zone: ZoneInfo) -> datetime:
    """A date includes its whole day; wall time is the event's."""
    if len(value) == 8:
        return (
            datetime.strptime(f"{value}235959", "%Y%m%d%H%M%S").replace(tzinfo=zone).astimezone(UTC)
        )
    return _basic(value, zone)


def _moments(head: str, value: str, first: datetime, zone: ZoneInfo) -> list[datetime]:
    """Read the dates of an EXDATE or RDATE line; of a period, its start; a date stands for the
    hour of the series."""
    named = re.search(r"TZID=([^;:]+)", head, re.IGNORECASE)
    inner = (zone_of(named[1].strip('"')) if named else None) or zone
    moments = []
    for text in (each.strip().partition("/")[0] for each in value.split(",")):
        if len(text) == 8:
            moments.append(_basic(f"{text}T{first:%H%M%S}", zone))
        else:
            moments.append(_basic(text, inner))
    return moments


def _basic(text: str, zone: ZoneInfo) -> datetime:
    wall = datetime.strptime(text.rstrip("Zz"), "%Y%m%dT%H%M%S")  # noqa: DTZ007 - made aware in the next line
    return wall.replace(tzinfo=UTC if text[-1:] in "Zz" else zone).astimezone(UTC)


def _far(start: datetime) -> datetime:
    return start.replace(year=min(start.year + _FAR_YEARS, 9998), month=12, day=28)
