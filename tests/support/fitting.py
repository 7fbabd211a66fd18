"""Conferences that fit an event at once, whatever system has them: the owner's, at the same time.

An event whose only evidence is a link is followed just then (O2).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.worlds import Connected, tomorrow

Json = dict[str, Any]

SIX_WEEKS = "RRULE:FREQ=WEEKLY;COUNT=6"


def fitting(world: Connected, owner: str | None, title: str = "Planning", **members: Any) -> Json:
    """Make a conference of `owner`, tomorrow from ten to eleven UTC; return its conference data.

    None: of the system's own host, whom the entry names.
    """
    return world.add(owner, title, **{**_times(world), **members})


def fitting_series(world: Connected, owner: str, title: str = "Planning", **members: Any) -> Json:
    """The same for a weekly series of six dates. Teams has none: a single meeting."""
    weekday = tomorrow().isoweekday() % 7 + 1
    rules: dict[str, Json] = {
        "my-web": {"recurrence": [SIX_WEEKS]},
        "zoom": {
            "type": 8,
            "recurrence": {
                "type": 2,
                "repeat_interval": 1,
                "weekly_days": str(weekday),
                "end_times": 6,
            },
        },
        "webex": {"recurrence": "FREQ=WEEKLY;INTERVAL=1;COUNT=6"},
        "teams": {},
    }
    return fitting(world, owner, title, **rules[world.system.name], **members)


def link_of(shown: Json) -> str:
    """The join link in conference data."""
    return str(shown["entryPoints"][0]["uri"])


def begins(world: Connected, conference_id: str) -> set[datetime]:
    """When the occurrences of a series take place, as far as the system knows single ones."""
    stored = world.system.conferences[conference_id]
    match world.system.name:
        case "zoom":
            listed = [one for one in stored["occurrences"] if one["status"] != "deleted"]
            texts = [one["start_time"] for one in listed]
        case "webex":
            texts = [one["start"] for one in world.system.server.occurrences(conference_id)]
        case _:
            texts = [one["start"] for one in stored["occurrences"].values() if one]
    return {datetime.fromisoformat(text).astimezone(UTC) for text in texts}


def _times(world: Connected) -> Json:
    start, end = tomorrow(), tomorrow() + timedelta(hours=1)
    match world.system.name:
        case "my-web":
            return {"start": start.isoformat(), "end": end.isoformat(), "time_zone": "UTC"}
        case "teams":
            return {"startDateTime": start.isoformat(), "endDateTime": end.isoformat()}
        case _:
            # These stand-ins begin tomorrow at ten by themselves.
            return {}
