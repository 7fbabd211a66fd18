"""Calendar's recurrence in the words of systems that know less of it: exactly, for a while, or not
at all.

A translation is checked by expanding both sides, Calendar's rule and the system's own reading of
what it is sent. Dates that would differ are never sent: `Impossible`. Wall times are compared, in
the event's zone, so that a series keeps its hour when clocks change.

`RRULE:FREQ=WEEKLY;BYDAY=MO` becomes `{"type": 2, "weekly_days": "2", "repeat_interval": 1,
"end_times": 50}` for Zoom, an `Approximate`, and `FREQ=WEEKLY;INTERVAL=1;BYDAY=MO` for Webex.
https://www.rfc-editor.org/rfc/rfc5545#section-3.3.10
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Generic, Literal, TypeAlias, TypeVar
from zoneinfo import ZoneInfo

from dateutil import rrule

from sync.model.conference import Approximation, ConferenceContent
from sync.model.series import WEEKDAYS, Impossible, Rule, Series, moment_of, parse

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

_FREQUENCIES: dict[str, Literal[0, 1, 2, 3]] = {
    "DAILY": rrule.DAILY,
    "WEEKLY": rrule.WEEKLY,
    "MONTHLY": rrule.MONTHLY,
    "YEARLY": rrule.YEARLY,
}
_FAR_YEARS = 70

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


Translation: TypeAlias = Exact[_Sent] | Approximate[_Sent] | Impossible


def rfc3339(moment: datetime) -> str:
    """Return a moment in UTC to the second, `2026-05-04T08:00:00Z`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def moment_in(text: object) -> datetime | None:
    """Return the moment that a system wrote, None for what is none. Without an offset it is UTC."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
        if moment is None:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def original_moment(original_start: str, all_day_zone: tzinfo) -> datetime:
    """Return the moment of an occurrence's original start, which is in UTC, or a date."""
    moment = datetime.fromisoformat(original_start)
    return (moment if moment.tzinfo else moment.replace(tzinfo=all_day_zone)).astimezone(UTC)


def served_until(
    content: ConferenceContent, now: datetime, furthest: timedelta
) -> tuple[datetime, datetime | None]:
    """Return when a conference, series or not, is over, for a system that keeps no rule.

    An endless series, or one whose rule cannot be read, ends `furthest` from now. The second value
    says when that is to be told again, None for an end that stays.
    """
    begins = moment_of(content.start, UTC)
    end = max(moment_of(content.end, UTC), begins)
    if not content.recurrence:
        return end, None
    series = parse(content)
    limit = _later(max(now, begins), furthest)
    if isinstance(series, Series) and not series.endless:
        last = series.last()
        if last is None:
            return end, None
        if (over := _later(last, series.duration)) <= limit:
            return over, None
    return max(limit, end), _later(max(now, begins), furthest / 2)


def _later(moment: datetime, by: timedelta) -> datetime:
    """Return a moment so much later, at most the last one of the calendar."""
    try:
        return moment + by
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def in_named_zone(series: Series) -> Series | Impossible:
    """Return a series whose zone has a name that systems know, `Europe/Berlin` for itself.

    A series of an offset, `GMT+02:00`, is told in UTC if it has the same dates there, else in the
    zone of that offset, `Etc/GMT-2`, if there is one.
    """
    if isinstance(series.zone, ZoneInfo):
        return series
    offset = series.zone.utcoffset(None) or timedelta()
    hours = int(offset / timedelta(hours=1))
    names = ["UTC"]
    if offset == timedelta(hours=hours) and -14 <= -hours <= 12:
        names.append(f"Etc/GMT{-hours:+d}")
    wanted = list(itertools.islice(series.dates(), CHECKED))
    for name in names:
        zone = ZoneInfo(name)
        first = series.moment(series.first).astimezone(zone).replace(tzinfo=None)
        rule = series.rule and Rule.of(series.rule.words, first.date())
        told = replace(series, zone=zone, first=first, rule=rule)
        if list(itertools.islice(told.dates(), CHECKED)) == wanted:
            return told
    return Impossible("its time zone is an offset that has no name")


def zone_name(zone: tzinfo) -> str:
    """Return the name of a zone that has one, else UTC."""
    return zone.key if isinstance(zone, ZoneInfo) else "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForZoom:
    """What Zoom is sent of a series.

    `start`: the next date's wall time in `zone`. `cancelled`: which of its dates to cancel.
    """

    start: datetime
    zone: str
    recurrence: dict[str, Any]
    cancelled: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ForWebex:
    """What Webex is sent of a series.

    `start`: the next date's wall time in `zone`. `cancelled`: which of its dates to cancel.
    """

    start: datetime
    zone: str
    recurrence: str
    cancelled: tuple[datetime, ...] = ()


def for_zoom(series: Series, now: datetime, most: int = ZOOM_MOST) -> Translation[ForZoom]:
    """Translate what is left of a series. Endless and long ones become a copy of the next `most`
    dates."""
    named = in_named_zone(series)
    if isinstance(named, Impossible):
        return named
    series = named
    pattern = _pattern(series)
    if isinstance(pattern, Impossible):
        return pattern
    if pattern.every == "YEARLY":
        return Impossible("Zoom knows no yearly series")
    longest = _ZOOM_INTERVALS[pattern.every]
    if pattern.interval > longest:
        return Impossible(
            f"Zoom repeats {pattern.every.lower()} meetings at most every {longest}, "
            f"not {pattern.interval}"
        )
    dates, more = series.upcoming(now, most)
    if not dates:
        return Impossible("none of its dates lies ahead")
    recurrence: dict[str, Any] = {"repeat_interval": pattern.interval}
    match pattern.every:
        case "DAILY":
            recurrence |= {"type": 1}
        case "WEEKLY":
            numbers = sorted((WEEKDAYS.index(day) + 1) % 7 + 1 for day in pattern.days)
            recurrence |= {"type": 2, "weekly_days": ",".join(map(str, numbers))}
        case "MONTHLY" if pattern.month_day is not None:
            recurrence |= {"type": 3, "monthly_day": pattern.month_day}
        case _:
            week_day = (WEEKDAYS.index(pattern.days[0]) + 1) % 7 + 1
            recurrence |= {"type": 3, "monthly_week": pattern.week, "monthly_week_day": week_day}
    wanted, _ = series.upcoming(now, CHECKED)
    if list(itertools.islice(zoom_dates(dates[0], recurrence), len(wanted))) != wanted:
        return Impossible("Zoom would list other dates")
    sent = ForZoom(
        start=dates[0],
        zone=zone_name(series.zone),
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
    named = in_named_zone(series)
    if isinstance(named, Impossible):
        return named
    series = named
    pattern = _pattern(series)
    if isinstance(pattern, Impossible):
        return pattern
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
    if series.endless:
        return Exact(
            ForWebex(
                start=dates[0],
                zone=zone_name(series.zone),
                recurrence=rule,
                cancelled=_cancelled(series, wanted),
            )
        )
    within = [wall for wall in dates if series.moment(wall) <= now + _WEBEX_FURTHEST]
    if not within:
        return Impossible("its next date is more than five years away, further than Webex plans")
    sent = ForWebex(
        start=within[0],
        zone=zone_name(series.zone),
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
    if series.rule is None or series.added:
        return Impossible("it has single dates beside its rule (RDATE)")
    rule = series.rule.words
    interval = series.rule.interval
    by = {key for key in rule if key.startswith("BY")}
    days = tuple(rule["BYDAY"].split(",")) if "BYDAY" in rule else ()
    weekdays = (WEEKDAYS[series.first.weekday()],)
    match rule["FREQ"]:
        case "DAILY" if not by:
            return _Pattern(every="DAILY", interval=interval)
        case "DAILY" if by == {"BYDAY"} and interval == 1 and set(days) <= set(WEEKDAYS):
            return _Pattern(every="WEEKLY", interval=1, days=days)
        case "WEEKLY" if not by or (by == {"BYDAY"} and set(days) <= set(WEEKDAYS)):
            return _Pattern(every="WEEKLY", interval=interval, days=days or weekdays)
        case "MONTHLY" if "BYMONTH" not in by:
            return _day_of_month(series, _Pattern(every="MONTHLY", interval=interval), by, days)
        case "YEARLY" if _one_month(rule, by):
            month = int(rule.get("BYMONTH", series.first.month))
            found = _Pattern(every="YEARLY", interval=interval, month=month)
            return _day_of_month(series, found, by - {"BYMONTH"}, days)
    return Impossible(f"its rule combines {rule['FREQ']} with {', '.join(sorted(by))}")


def _one_month(rule: Mapping[str, str], by: set[str]) -> bool:
    """A weekday without a month means every one of the year's. Several months are several dates
    a year."""
    return "," not in rule.get("BYMONTH", "") and ("BYMONTH" in by or "BYDAY" not in by)


def _day_of_month(
    series: Series, found: _Pattern, by: set[str], days: tuple[str, ...]
) -> _Pattern | Impossible:
    rule = series.rule.words if series.rule else {}
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
    plain = len(days) == 1 and days[0] in WEEKDAYS
    if plain and by == {"BYDAY", "BYSETPOS"} and re.fullmatch(r"\+?[1-4]|-1", position):
        return _with(found, week=int(position), days=days)
    return Impossible(
        "it falls on several days of a month, "
        "or on one counted in a way that the system does not know"
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
        f"{system} lists the next {len(dates)} dates of this series, until {dates[-1]:%Y-%m-%d}; "
        f"more are sent from {again:%Y-%m-%d} on, and the join link serves all of them"
    )
    return Approximation(reason=reason, again_at=series.moment(again))


def _far(start: datetime) -> datetime:
    return start.replace(year=min(start.year + _FAR_YEARS, 9998), month=12, day=28)
