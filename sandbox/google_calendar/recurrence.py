"""Occurrences of a series: when they start, and what they are called.

A series repeats in its own zone's wall time, so that 9:00 stays 9:00 across a change of the clocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

from dateutil.rrule import rrule, rruleset, rrulestr

from sandbox.google_calendar import times
from sandbox.google_calendar.errors import ApiError

Json = dict[str, Any]

# No calendar needs more, and a rule that never matches would otherwise be searched to the year
# 9999.
_MOST_OCCURRENCES = 20_000
_INSTANCE_ID = re.compile(r"(.+)_(\d{8}(?:T\d{6}Z)?)", re.DOTALL)


def is_all_day(series: Json) -> bool:
    return "date" in series["start"]


def check(series: Json) -> None:
    """Refuse (400) a series whose rules cannot be read, or whose times name no zone."""
    rules = series["recurrence"]
    if not isinstance(rules, list) or not all(isinstance(rule, str) for rule in rules):
        raise ApiError("invalid", "Invalid recurrence rule.")
    if not is_all_day(series) and "timeZone" not in series["start"]:
        raise ApiError("required", "Missing time zone definition for start time.")
    try:
        next(iter(_rules(series)), None)
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError) as error:
        raise ApiError("invalid", "Invalid recurrence rule.") from error


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
    moment = times.instant(original_start, "UTC")
    assert moment is not None
    return moment.strftime("%Y%m%dT%H%M%SZ")


def split_id(event_id: str) -> tuple[str, str] | None:
    """Return the series' id and the stamp when the id has an occurrence's form."""
    found = _INSTANCE_ID.fullmatch(event_id)
    return None if found is None else (found[1], found[2])


def from_stamp(series: Json, stamp_text: str) -> Json | None:
    """Return the original start that a stamp names; None when it does not fit the kind of
    series."""
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
    begin = times.instant(original_start, "UTC")
    assert begin is not None
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
        moment = times.instant(original_start, "UTC")
        assert moment is not None
        until = (moment - timedelta(seconds=1)).strftime("%Y%m%dT%H%M%SZ")
    return [
        _without_end(rule) + f";UNTIL={until}" if rule.startswith("RRULE") else rule
        for rule in rules
    ]


def from_occurrence(series: Json, original_start: Json) -> list[str]:
    """Return the rules of the series that begins at one of its occurrences; a COUNT is lessened
    by those before."""
    wall = _wall(series, times.instant(original_start, "UTC") or datetime.now(UTC))
    if "date" in original_start:
        wall = datetime.combine(date.fromisoformat(original_start["date"]), time())
    rules = []
    for rule in series["recurrence"]:
        if (count := re.search(r"COUNT=(\d+)", rule)) and rule.startswith("RRULE"):
            whole = _rule(rule, _first(series), series)
            before = sum(1 for moment in whole if moment < wall)
            rules.append(rule.replace(count[0], f"COUNT={max(1, int(count[1]) - before)}"))
        else:
            rules.append(rule)
    return rules


def _without_end(rule: str) -> str:
    name, _, parts = rule.partition(":")
    return f"{name}:" + ";".join(
        part for part in parts.split(";") if not part.startswith(("UNTIL=", "COUNT="))
    )


def _rules(series: Json) -> rruleset:
    return _cached_rules(
        _first(series),
        None if is_all_day(series) else _zone_name(series),
        tuple(series["recurrence"]),
    )


@lru_cache(maxsize=2048)
def _cached_rules(first: datetime, zone_name: str | None, lines: tuple[str, ...]) -> rruleset:
    rules = rruleset(cache=True)
    series: Json = {
        "start": {"date": ""} if zone_name is None else {"dateTime": "", "timeZone": zone_name}
    }
    repeats = False
    for line in lines:
        name = re.split("[;:]", line, maxsplit=1)[0].upper()
        match name:
            case "RRULE":
                rules.rrule(_rule(line, first, series))
                repeats = True
            case "EXRULE":
                rules.exrule(_rule(line, first, series))
            case "RDATE" | "EXDATE":
                for moment in _dates(line, series):
                    (rules.rdate if name == "RDATE" else rules.exdate)(moment)
            case _:
                raise ValueError(line)
    if not repeats:
        rules.rdate(first)
    return rules


def _rule(line: str, first: datetime, series: Json) -> rrule:
    _, _, parts = line.partition(":")
    words = []
    for part in parts.split(";"):
        key, _, value = part.partition("=")
        # dateutil compares UNTIL with naive wall times here, so it is told in the series' zone.
        words.append(
            f"UNTIL={_until(value, series):%Y%m%dT%H%M%S}" if key.upper() == "UNTIL" else part
        )
    rule = rrulestr(";".join(words), dtstart=first)
    assert isinstance(rule, rrule)
    return rule


def _until(value: str, series: Json) -> datetime:
    if len(value) == 8:
        return datetime.strptime(value + "235959", "%Y%m%d%H%M%S")  # noqa: DTZ007 - wall time of the series
    return _basic(value, None, series)


def _dates(line: str, series: Json) -> Iterator[datetime]:
    head, _, values = line.partition(":")
    named = re.search(r"TZID=([^;:]+)", head)
    for value in values.split(","):
        yield _basic(value.partition("/")[0], named[1] if named else None, series)


def _basic(value: str, zone_name: str | None, series: Json) -> datetime:
    """Return a moment in iCalendar's basic form as the series' wall time."""
    if is_all_day(series):
        return datetime.strptime(value[:8], "%Y%m%d")  # noqa: DTZ007 - wall time of the series
    if len(value) == 8:
        raise ValueError(value)
    moment = datetime.strptime(value.rstrip("Z"), "%Y%m%dT%H%M%S")  # noqa: DTZ007 - made aware just below
    if value.endswith("Z"):
        return _wall(series, moment.replace(tzinfo=UTC))
    return (
        moment if zone_name is None else _wall(series, moment.replace(tzinfo=times.zone(zone_name)))
    )


def _first(series: Json) -> datetime:
    if is_all_day(series):
        return datetime.combine(date.fromisoformat(series["start"]["date"]), time())
    moment = times.instant(series["start"], "UTC")
    if moment is None:
        raise ValueError(series["start"])
    return _wall(series, moment)


def _zone_name(series: Json) -> str:
    return str(series["start"].get("timeZone") or "UTC")


def _wall(series: Json, moment: datetime) -> datetime:
    """Return a moment as naive wall time of the series; a whole day's series lives in UTC."""
    here = UTC if is_all_day(series) else times.zone(_zone_name(series))
    return moment.astimezone(here).replace(tzinfo=None)


def _start(series: Json, wall: datetime) -> Json:
    if is_all_day(series):
        return {"date": wall.date().isoformat()}
    name = _zone_name(series)
    return {"dateTime": times.rfc3339(wall.replace(tzinfo=times.zone(name))), "timeZone": name}
