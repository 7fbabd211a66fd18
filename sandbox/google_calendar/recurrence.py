"""Occurrences of a series: when they start, and what they are called.

A series repeats in its own zone's wall time, so that 9:00 stays 9:00 across a change of the clocks.
"""

from __future__ import annotations

import heapq
import re
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import takewhile
from typing import Any

from sandbox.google_calendar import times
from sandbox.google_calendar.errors import ApiError
from sandbox.google_calendar.rules import Rule

Json = dict[str, Any]

# No calendar needs more, and a rule without an end would otherwise be followed to the year 9999.
_MOST_OCCURRENCES = 20_000
_INSTANCE_ID = re.compile(r"(.+)_(\d{8}(?:T\d{6}Z)?)", re.DOTALL)


def is_all_day(series: Json) -> bool:
    return "date" in series["start"]


def check(series: Json, *, dateless: bool = False) -> None:
    """Refuse (400) a series whose rules cannot be read, or whose times name no zone.

    A rule that never finds a date (`FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30`) is refused too, unless
    `dateless` says otherwise. Takes milliseconds for every rule.
    """
    rules = series["recurrence"]
    if not isinstance(rules, list) or not all(isinstance(rule, str) for rule in rules):
        raise ApiError("invalid", "Invalid recurrence rule.")
    if not is_all_day(series) and "timeZone" not in series["start"]:
        raise ApiError("required", "Missing time zone definition for start time.")
    try:
        found = dateless or all(_finds_a_date(rule, series) for rule in rules)
        if found:
            next(iter(_rules(series)), None)
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError) as error:
        raise ApiError("invalid", "Invalid recurrence rule.") from error
    if not found:
        raise ApiError("invalid", "Invalid recurrence rule.")


def occurrences(
    series: Json, *, begin: datetime | None = None, end: datetime | None = None
) -> Iterator[Json]:
    """Yield the original starts (`dateTime` or `date` objects) from `begin`, inclusive, to
    `end`, exclusive."""
    last = None if end is None else _wall(series, end)
    first = None if begin is None else _wall(series, begin)
    for count, moment in enumerate(_rules(series)):
        if (last is not None and moment >= last) or count >= _MOST_OCCURRENCES:
            return
        if first is None or moment >= first:
            yield _start(series, moment)


def includes(series: Json, start: Json, default_zone: str) -> bool:
    """Tell whether the series has an occurrence that starts originally at `start`."""
    moment = times.instant(start, default_zone)
    if moment is None or ("date" in start) != is_all_day(series):
        return False
    wall = (
        datetime.combine(date.fromisoformat(start["date"]), time())
        if "date" in start
        else _wall(series, moment)
    )
    for count, candidate in enumerate(_rules(series)):
        if candidate >= wall or count >= _MOST_OCCURRENCES:
            return candidate == wall
    return False


def duration(series: Json) -> timedelta:
    if is_all_day(series):
        return date.fromisoformat(series["end"]["date"]) - date.fromisoformat(
            series["start"]["date"]
        )
    begin, end = times.instant(series["start"], "UTC"), times.instant(series["end"], "UTC")
    return timedelta(0) if begin is None or end is None else end - begin


def instance_id(series_id: str, original_start: Json) -> str:
    return f"{series_id}_{stamp(original_start)}"


def stamp(original_start: Json) -> str:
    """The last part of an occurrence's id: its original start in UTC, or its day."""
    if "date" in original_start:
        return str(original_start["date"]).replace("-", "")
    return _instant(original_start).strftime("%Y%m%dT%H%M%SZ")


def split_id(event_id: str) -> tuple[str, str] | None:
    """Return the series' id and the stamp when the id has an occurrence's form."""
    found = _INSTANCE_ID.fullmatch(event_id)
    return None if found is None else (found[1], found[2])


def from_stamp(series: Json, stamp_text: str) -> Json | None:
    """Return the original start that a stamp names.

    None: the stamp does not fit the kind of series.
    """
    try:
        if is_all_day(series):
            return {
                "date": datetime.strptime(stamp_text, "%Y%m%d")
                .replace(tzinfo=UTC)
                .date()
                .isoformat()
            }
        moment = datetime.strptime(stamp_text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return _start(series, _wall(series, moment))


def times_of(series: Json, original_start: Json) -> Json:
    """Return `start`, `end` and `originalStartTime` of the occurrence as the series has it."""
    if is_all_day(series):
        end = date.fromisoformat(original_start["date"]) + duration(series)
        return {
            "start": original_start,
            "end": {"date": end.isoformat()},
            "originalStartTime": original_start,
        }
    begin = _instant(original_start)
    here = times.zone(series["start"].get("timeZone", "UTC"))
    end_zone = series["end"].get("timeZone", series["start"].get("timeZone", "UTC"))
    # The length is kept in elapsed time; Calendar does the same across a change of the clocks.
    finish = (begin + duration(series)).astimezone(here)
    return {
        "start": original_start,
        "end": {"dateTime": times.rfc3339(finish), "timeZone": end_zone},
        "originalStartTime": original_start,
    }


def until_before(rules: list[str], original_start: Json) -> list[str]:
    """Return the rules ended just before an occurrence, as the UI writes them in a "this and
    following" split."""
    if "date" in original_start:
        until = (date.fromisoformat(original_start["date"]) - timedelta(days=1)).strftime("%Y%m%d")
    else:
        until = (_instant(original_start) - timedelta(seconds=1)).strftime("%Y%m%dT%H%M%SZ")
    return [
        _without_end(rule) + f";UNTIL={until}" if rule.startswith("RRULE") else rule
        for rule in rules
    ]


def from_occurrence(series: Json, original_start: Json) -> list[str]:
    """Return the rules of the series that begins at one of its occurrences.

    A COUNT is lessened by the occurrences before.
    """
    wall = _wall(series, times.instant(original_start, "UTC") or datetime.now(UTC))
    if "date" in original_start:
        wall = datetime.combine(date.fromisoformat(original_start["date"]), time())
    rules = []
    for rule in series["recurrence"]:
        if (count := re.search(r"COUNT=(\d+)", rule)) and rule.startswith("RRULE"):
            whole = _rule(rule, _first(series), series)
            before = sum(1 for _ in takewhile(lambda moment: moment < wall, whole))
            rules.append(rule.replace(count[0], f"COUNT={max(1, int(count[1]) - before)}"))
        else:
            rules.append(rule)
    return rules


def _without_end(rule: str) -> str:
    name, _, parts = rule.partition(":")
    return f"{name}:" + ";".join(
        part for part in parts.split(";") if not part.startswith(("UNTIL=", "COUNT="))
    )


class Dates:
    """The wall times of one series in order, each once. Those found are kept.

    Any thread may iterate: several stand-ins in one process share the cache.
    """

    def __init__(self, moments: Iterator[datetime]) -> None:
        self._moments = moments
        self._found: list[datetime] = []
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[datetime]:
        place = 0
        while True:
            if place == len(self._found) and not self._find(place):
                return
            yield self._found[place]
            place += 1

    def _find(self, place: int) -> bool:
        """Look for the wall time at this place, and tell whether there is one."""
        with self._lock:
            if place == len(self._found):
                self._found += [moment for moment in [next(self._moments, None)] if moment]
            return place < len(self._found)


def _rules(series: Json) -> Dates:
    return _cached_rules(
        _first(series),
        None if is_all_day(series) else _zone_name(series),
        tuple(series["recurrence"]),
    )


@lru_cache(maxsize=2048)
def _cached_rules(first: datetime, zone_name: str | None, lines: tuple[str, ...]) -> Dates:
    series: Json = {
        "start": {"date": ""} if zone_name is None else {"dateTime": "", "timeZone": zone_name}
    }
    added: list[Iterable[datetime]] = []
    removed: list[Iterable[datetime]] = []
    removed_days: set[date] = set()
    repeats = False
    for line in lines:
        name = _name(line)
        match name:
            case "RRULE":
                added.append(_rule(line, first, series))
                repeats = True
            case "EXRULE":
                removed.append(_rule(line, first, series))
            case "RDATE":
                added.append(sorted(_dates(line, first, series)))
            case "EXDATE" if _names_days(line) and not is_all_day(series):
                removed_days |= {moment.date() for moment in _dates(line, first, series)}
            case "EXDATE":
                removed.append(sorted(_dates(line, first, series)))
            case _:
                raise ValueError(line)
    if not repeats:
        added.append([first])
    return Dates(_merged(added, removed, removed_days))


def _merged(
    added: list[Iterable[datetime]], removed: list[Iterable[datetime]], removed_days: set[date]
) -> Iterator[datetime]:
    """Yield the moments of `added` in order, each once, without those of `removed`.

    Ends where too many moments in a row are removed: an EXRULE may take away all of an RRULE.
    """
    without = heapq.merge(*removed)
    excluded = next(without, None)
    last = None
    in_a_row = 0
    for moment in heapq.merge(*added):
        while excluded is not None and excluded < moment:
            excluded = next(without, None)
        in_a_row += 1
        if moment not in (last, excluded) and moment.date() not in removed_days:
            in_a_row = 0
            yield moment
        last = moment
        if in_a_row > _MOST_OCCURRENCES:
            return


def _finds_a_date(line: str, series: Json) -> bool:
    """Tell whether a rule matches any date, its UNTIL left aside. Lists of dates do."""
    if _name(line) not in ("RRULE", "EXRULE"):
        return True
    endless = _without_end(line).partition(":")[2]
    return next(iter(Rule.parse(endless, first=_first(series))), None) is not None


def _rule(line: str, first: datetime, series: Json) -> Rule:
    _, _, parts = line.partition(":")
    until = re.search(r"(?:^|;)UNTIL=([^;]*)", parts, re.IGNORECASE)
    # Rules count in wall time, so UNTIL is told in the series' zone.
    return Rule.parse(parts, first=first, until=_until(until[1], series) if until else None)


def _until(value: str, series: Json) -> datetime:
    if len(value) == 8:
        return _wall_time(value + "235959", "%Y%m%d%H%M%S")
    return _basic(value, None, series)


def _dates(line: str, first: datetime, series: Json) -> Iterator[datetime]:
    """Yield the wall times of an RDATE or EXDATE. A bare day means the series' time on that day."""
    head, _, values = line.partition(":")
    named = re.search(r"TZID=([^;:]+)", head)
    for value in values.split(","):
        moment = _basic(value.partition("/")[0].strip(), named[1] if named else None, series)
        bare = len(value) == 8 and not is_all_day(series)
        yield datetime.combine(moment.date(), first.time()) if bare else moment


def _name(line: str) -> str:
    return re.split("[;:]", line, maxsplit=1)[0].upper()


def _names_days(line: str) -> bool:
    """Tell whether an EXDATE holds days alone, with or without `VALUE=DATE`."""
    return all(len(value.strip()) == 8 for value in line.partition(":")[2].split(","))


def _basic(value: str, zone_name: str | None, series: Json) -> datetime:
    """Return a moment in iCalendar's basic form as the series' wall time."""
    if is_all_day(series) or len(value) == 8:
        return _wall_time(value[:8], "%Y%m%d")
    moment = _wall_time(value.rstrip("Z"), "%Y%m%dT%H%M%S")
    if value.endswith("Z"):
        return _wall(series, moment.replace(tzinfo=UTC))
    return (
        moment if zone_name is None else _wall(series, moment.replace(tzinfo=times.zone(zone_name)))
    )


def _wall_time(value: str, form: str) -> datetime:
    return datetime.strptime(value, form)  # noqa: DTZ007 - no zone: whoever asks knows which


def _first(series: Json) -> datetime:
    if is_all_day(series):
        return datetime.combine(date.fromisoformat(series["start"]["date"]), time())
    moment = times.instant(series["start"], "UTC")
    if moment is None:
        raise ValueError(series["start"])
    return _wall(series, moment)


def _instant(original_start: Json) -> datetime:
    moment = times.instant(original_start, "UTC")
    if moment is None:
        raise ApiError("invalid", "Invalid original start time.")
    return moment


def _zone_name(series: Json) -> str:
    return str(series["start"].get("timeZone") or "UTC")


def _wall(series: Json, moment: datetime) -> datetime:
    """Return a moment as naive wall time of the series. An all-day series lives in UTC."""
    here = UTC if is_all_day(series) else times.zone(_zone_name(series))
    return moment.astimezone(here).replace(tzinfo=None)


def _start(series: Json, wall: datetime) -> Json:
    if is_all_day(series):
        return {"date": wall.date().isoformat()}
    name = _zone_name(series)
    return {"dateTime": times.rfc3339(wall.replace(tzinfo=times.zone(name))), "timeZone": name}
