"""Moments in the API's forms: RFC 3339 texts, and the start and end of events."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sandbox.google_calendar.errors import ApiError

Json = dict[str, Any]

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)?")


_OFFSET = re.compile(r"(?:GMT|UTC)([+-])(\d\d):(\d\d)")


@lru_cache(maxsize=512)
def zone(name: str) -> tzinfo:
    """Return the time zone of an IANA name, or of an offset such as `GMT+05:30`.

    Raises ApiError (400) when there is none of that name.
    """
    if (offset := _OFFSET.fullmatch(name)) and int(offset[2]) < 24 and int(offset[3]) < 60:
        minutes = int(offset[2]) * 60 + int(offset[3])
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ApiError("invalid", f"Invalid time zone definition: {name}") from error


def parse(text: Any, *, location: str | None = None) -> datetime:
    """Return a moment with its offset, fractions of a second left out. Raises ApiError (400)
    without an offset."""
    found = _RFC3339.fullmatch(text) if isinstance(text, str) else None
    if found is None or found[4] is None:
        raise ApiError("badRequest", location=location)
    return _moment(found, location)


def rfc3339(moment: datetime) -> str:
    """Return the moment in whole seconds, with `Z` for UTC."""
    if moment.utcoffset() == timedelta(0):
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return moment.isoformat(timespec="seconds")


def milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


@lru_cache(maxsize=64)
def from_milliseconds(value: int) -> str:
    """The form of `created` and `updated`."""
    moment = datetime.fromtimestamp(value // 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value % 1000:03d}Z"


def normalize(value: Any, default_zone: str, which: str) -> Json:
    """Return an event's start or end as Calendar stores it: `date`, or `dateTime` in the calendar's
    zone.

    Raises ApiError (400) for what is neither, or both.
    """
    if not isinstance(value, dict):
        raise ApiError("invalid", f"Invalid {which} time.")
    day, moment, name = value.get("date"), value.get("dateTime"), value.get("timeZone")
    if (day is None) == (moment is None):
        raise ApiError("invalid" if day is not None else "required", f"Invalid {which} time.")
    if day is not None:
        return {"date": _day(day, which).isoformat()}
    found = _RFC3339.fullmatch(moment) if isinstance(moment, str) else None
    if found is None:
        raise ApiError("invalid", f"Invalid {which} time.")
    if found[4] is None and name is None:
        raise ApiError("required", f"Missing time zone definition for {which} time.")
    aware = _moment(found, None) if found[4] else _moment(found, None, zone(str(name)))
    if name is not None:
        zone(str(name))
    return {
        "dateTime": rfc3339(aware.astimezone(zone(default_zone))),
        "timeZone": str(name) if name is not None else default_zone,
    }


def instant(value: Any, default_zone: str) -> datetime | None:
    """Return the moment of a start or end. A day begins at midnight in the calendar's zone. None
    when malformed."""
    if not isinstance(value, dict):
        return None
    try:
        if "dateTime" in value:
            found = _RFC3339.fullmatch(value["dateTime"])
            if found is None:
                return None
            here = None if found[4] else zone(value.get("timeZone") or default_zone)
            return _moment(found, None, here).astimezone(UTC)
        return datetime.combine(
            date.fromisoformat(value["date"]), time(), zone(default_zone)
        ).astimezone(UTC)
    except (KeyError, TypeError, ValueError, OverflowError, ApiError):
        return None


def in_zone(value: Any, name: str) -> Any:
    """Return a start or end with its moment told in another zone. Days and malformed values stay
    as they are."""
    if not isinstance(value, dict) or "dateTime" not in value:
        return value
    moment = instant(value, name)
    return (
        value if moment is None else {**value, "dateTime": rfc3339(moment.astimezone(zone(name)))}
    )


def _day(text: Any, which: str) -> date:
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise ApiError("invalid", f"Invalid {which} time.") from error


def _moment(found: re.Match[str], location: str | None, here: tzinfo | None = None) -> datetime:
    offset = found[4] or ""
    try:
        moment = datetime.fromisoformat(
            f"{found[1]}T{found[2]}{'+00:00' if offset in 'Zz' and offset else offset}"
        )
    except ValueError as error:
        raise ApiError("badRequest", location=location) from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=here or UTC)
