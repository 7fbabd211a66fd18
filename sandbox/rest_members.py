"""What the members of a conference must be by the `rest` contract.

Written by hand and not taken from docs/rest-conferencing.openapi.yaml, so that the two can be held
against each other.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any

Json = dict[str, Any]

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})")
_RECURRENCE = re.compile(r"(RRULE|EXRULE|RDATE|EXDATE)[:;]")


class Check:
    """A check of one member: called with a value it returns the words for a refusal, or None."""

    def __init__(self, words: str, *types: type) -> None:
        self.words, self.types = words, types

    def __call__(self, value: Any, _all_day: bool) -> str | None:
        return None if isinstance(value, self.types) else self.words


class _Moment(Check):
    def __call__(self, value: Any, all_day: bool) -> str | None:
        if all_day:
            return None if _is_date(value) else "a date, as all_day is true"
        return None if _is_time(value) else "a time by RFC 3339, with an offset"


class _Lines(Check):
    def __init__(self, words: str, pattern: re.Pattern[str] | None = None) -> None:
        super().__init__(words, list)
        self.pattern = pattern

    def __call__(self, value: Any, _all_day: bool) -> str | None:
        good = isinstance(value, list) and all(
            isinstance(line, str) and (self.pattern is None or self.pattern.match(line))
            for line in value
        )
        return None if good else self.words


class _Event(Check):
    def __call__(self, value: Any, _all_day: bool) -> str | None:
        good = (
            isinstance(value, dict)
            and all(
                isinstance(value.get(name), str) and value[name]
                for name in ("calendar_id", "event_id")
            )
            and isinstance(value.get("ical_uid"), str | None)
        )
        return None if good else self.words


OCCURRENCE: dict[str, Check] = {
    "title": Check("a text", str),
    "description": Check("a text or null", str, type(None)),
    "start": _Moment(""),
    "end": _Moment(""),
    "time_zone": Check("a text or null", str, type(None)),
    "all_day": Check("true or false", bool),
    "organizer": Check("a text or null", str, type(None)),
    "attendees": _Lines("a list of texts"),
}
CONFERENCE: dict[str, Check] = {
    **OCCURRENCE,
    "recurrence": _Lines("a list of RRULE, EXRULE, RDATE and EXDATE lines", _RECURRENCE),
    "event": _Event("an object with calendar_id and event_id"),
}
OWN = ("id", "entry_points", "notes")
"""What belongs to the system and cannot be set by a request."""
REQUIRED = {"title", "start", "end", "all_day", "event"}
EMPTY: Json = {
    "title": "",
    "description": None,
    "start": None,
    "end": None,
    "time_zone": None,
    "all_day": False,
    "recurrence": [],
    "organizer": None,
    "attendees": [],
    "event": None,
    "notes": None,
}


def problem_of(body: Any, members: dict[str, Check]) -> str | None:
    """Return one sentence for the first member that breaks the contract. None: the body is good.

    Unknown members pass.
    """
    if not isinstance(body, dict):
        return "The body must be a JSON object."
    all_day = body.get("all_day") is True
    for name, check in members.items():
        if name not in body:
            if name in REQUIRED:
                return f"The member {name} is missing."
            continue
        wanted = check(body[name], all_day)
        if wanted:
            return f"The member {name} must be {wanted}."
    return None


def _is_date(value: Any) -> bool:
    try:
        date.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return len(value) == len("2026-05-04")


def _is_time(value: Any) -> bool:
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return _TIME.fullmatch(value) is not None
