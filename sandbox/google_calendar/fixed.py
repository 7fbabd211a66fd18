"""Answers that hardly depend on anything: the colours of Calendar, and a user's settings."""

from __future__ import annotations

from typing import Any

from sandbox.google_calendar.errors import ApiError
from sandbox.google_calendar.state import Store

Json = dict[str, Any]

_CALENDAR_COLOURS = (
    "ac725e", "d06b64", "f83a22", "fa573c", "ff7537", "ffad46", "42d692", "16a765", "7bd148",
    "b3dc6c", "fbe983", "fad165", "92e1c0", "9fe1e7", "9fc6e7", "4986e7", "9a9cff", "b99aff",
    "c2c2c2", "cabdbf", "cca6ac", "f691b2", "cd74e6", "a47ae2",
)  # fmt: skip
_EVENT_COLOURS = (
    "a4bdfc", "7ae7bf", "dbadff", "ff887c", "fbd75b", "ffb878", "46d6db", "e1e1e1", "5484ed",
    "51b749", "dc2127",
)  # fmt: skip
_SETTINGS = {
    "autoAddHangouts": "false",
    "dateFieldOrder": "DMY",
    "defaultEventLength": "60",
    "format24HourTime": "true",
    "hideInvitations": "false",
    "hideWeekends": "false",
    "locale": "en",
    "remindOnRespondedEventsOnly": "false",
    "showDeclinedEvents": "true",
    "useKeyboardShortcuts": "true",
    "weekStart": "1",
}
# These settings never change, so one token stands for all states of them.
_SETTINGS_TOKEN = "CAESBHNldHM="


def colours() -> Json:
    """Answer colors.get: what the colorIds of calendars and events look like."""
    return {
        "kind": "calendar#colors",
        "updated": "2012-02-14T00:00:00.000Z",
        "calendar": _palette(_CALENDAR_COLOURS),
        "event": _palette(_EVENT_COLOURS),
    }


def settings(store: Store) -> dict[str, str]:
    """Return the values of the user's settings by name. The time zone is the primary calendar's."""
    primary = store.find_calendar(store.primary)
    return _SETTINGS | {"timezone": primary.time_zone if primary is not None else "UTC"}


def list_settings(store: Store, sync_token: str | None) -> Json:
    """Answer settings.list. With the sync token of an earlier answer, nothing has changed.

    Raises ApiError (410) with another token.
    """
    if sync_token not in (None, _SETTINGS_TOKEN):
        raise ApiError("fullSyncRequired")
    values = {} if sync_token else settings(store)
    return {
        "kind": "calendar#settings",
        "etag": '"p1"',
        "items": [setting(name, value) for name, value in sorted(values.items())],
        "nextSyncToken": _SETTINGS_TOKEN,
    }


def setting(name: str, value: str) -> Json:
    return {"kind": "calendar#setting", "etag": '"1"', "id": name, "value": value}


def _palette(backgrounds: tuple[str, ...]) -> Json:
    return {
        str(number): {"background": f"#{colour}", "foreground": "#1d1d1d"}
        for number, colour in enumerate(backgrounds, start=1)
    }
