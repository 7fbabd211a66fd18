"""Calendars to begin with, from a JSON file.

    {"settings": {"page_sizes": [2]},
     "calendars": [{"id": "anna@example.com", "time_zone": "Europe/Berlin", "role": "owner",
                    "events": [{"summary": "Planning", "start": {...}, "end": {...}}]}],
     "solutions": [{"name": "My Web Conference", "callback": "http://127.0.0.1:8090/"}]}

`settings` are those of `Settings`. A calendar's members are the arguments of
`GoogleCalendar.add_calendar`, and its `events` may hold whatever `seed_event` takes. All three may
be left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandbox.google_calendar.backdoor import BackDoor
from sandbox.google_calendar.errors import ApiError

Json = dict[str, Any]


class SeedError(Exception):
    """The file holds something that cannot be planted. The text says what and where."""


def read(path: str | Path) -> Json:
    """Return the file's contents. Raises OSError when it cannot be read, SeedError for no JSON."""
    try:
        seed = json.loads(Path(path).read_text("utf-8"))
    except ValueError as error:
        raise SeedError(f"{path} is no JSON: {error}") from error
    if not isinstance(seed, dict):
        raise SeedError(f"{path} must hold a JSON object.")
    return seed


def plant(calendar: BackDoor, seed: Json) -> None:
    """Add all that the seed holds. Raises SeedError at the first thing that cannot be added."""
    unknown = seed.keys() - {"settings", "calendars", "solutions"}
    if unknown:
        raise SeedError(f"Unknown in the seed: {', '.join(sorted(unknown))}.")
    with _told("settings"):
        calendar.settings.update(dict(seed.get("settings") or {}))
    for number, entry in enumerate(seed.get("calendars") or []):
        with _told(f"calendars[{number}]"):
            members = dict(entry)
            events = members.pop("events", [])
            calendar_id = members.pop("id")
            calendar.add_calendar(calendar_id, **members)
        for place, event in enumerate(events):
            with _told(f"calendars[{number}].events[{place}]"):
                calendar.seed_event(calendar_id, event)
    for number, solution in enumerate(seed.get("solutions") or []):
        with _told(f"solutions[{number}]"):
            calendar.offer_solution(**solution)


@contextmanager
def _told(where: str) -> Iterator[None]:
    try:
        yield
    except (ApiError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise SeedError(f"{where}: {type(error).__name__}: {error}") from error
