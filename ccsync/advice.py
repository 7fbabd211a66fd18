"""What a person can do next about an explained event, by what the server says of it."""

from __future__ import annotations

import shlex
from typing import Any

Json = dict[str, Any]

# By the rule that decided (docs/rules.md). Where a rule is missing, nobody has to act.
_BY_RULE = {
    "E1": "add a conference of a configured provider to the event, or the name of its solution "
    "(or its links' pattern) to SYNC_PROVIDERS",
    "E5": "explain the series itself; its conference is the one that counts",
    "E6": "explain the event in its organizer's calendar, and start that one if it is not",
    "E8": "correct the event in Calendar; it is tried again when it changes",
    "O1": "let the organizer add a conference of their own to the event",
    "O2": "if you know the host, name them in hosts of SYNC_PROVIDERS; otherwise nothing",
    "O3": "if it is yours, name its host in hosts of SYNC_PROVIDERS, then change the event",
    "C3": "see ccsync doctor, and repeat this once the provider can be read",
    "W3": "see ccsync calendars show {calendar}, and start the calendar again once access is back",
}
_NOTHING = "nothing"


def next_step(explained: Json) -> str:
    """Return what to do next, `nothing` where all is as it should be."""
    calendar = shlex.quote(explained["calendar_id"])
    failure = explained.get("failure")
    if failure and failure["state"] == "parked":
        return (
            f"mend what the reason says, then ccsync failures retry {failure['id']}; a change of "
            "the event does the same"
        )
    if failure and failure["state"] == "retrying":
        return (
            f"nothing: it is tried again at {failure['next_try']}; at once by ccsync failures "
            f"retry {failure['id']}"
        )
    if explained["event"] == "hidden":
        return "share the calendar so that we may see and change its events"
    if explained["event"] == "unknown" and explained["rule"] != "W3":
        return "look for the event's id again; Calendar knows no such event"
    if explained["would"]:
        return f"nothing: the next sync does it; at once by ccsync sync {calendar} --wait"
    return _BY_RULE.get(explained["rule"], _NOTHING).format(calendar=calendar)


def in_step(explained: Json) -> bool:
    """Whether nothing waits to be done for the event."""
    failure = explained.get("failure")
    return not explained["would"] and not (failure and failure["state"] in ("parked", "retrying"))
