"""The caller's list of calendars: its entries, its pages, and what changed in it."""

from __future__ import annotations

import base64
from typing import Any

from sandbox.google_calendar.errors import ApiError
from sandbox.google_calendar.parameters import Parameters
from sandbox.google_calendar.state import ROLES, Calendar, Store

Json = dict[str, Any]

# Parameters that go with no sync token, and those that must not be false beside one.
_RESTRICTING = ("minAccessRole", "showOwnOrganizationOnly")
_SHOWING = ("showDeleted", "showHidden")


def page(store: Store, parameters: Parameters) -> Json:
    """Answer calendarList.list.

    With a sync token: the calendars added since, and as `deleted` those removed since. A change of
    the caller's role brings no entry, as Google documents.
    """
    since = _since(store, parameters)
    deleted = since is not None or bool(parameters.flag("showDeleted"))
    least = parameters.text("minAccessRole")
    if least is not None and least not in ROLES:
        raise ApiError(
            "invalidParameter", "Invalid value for minAccessRole.", location="minAccessRole"
        )
    entries = [
        entry(store, calendar)
        for calendar in store.calendars.values()
        if calendar.refusal is None
        and calendar.list_number > (since or 0)
        and (least is None or ROLES.index(calendar.role) >= ROLES.index(least))
    ]
    entries += [
        _deleted(calendar_id, number)
        for calendar_id, number in store.delisted.items()
        if deleted and number > (since or 0)
    ]
    size = parameters.number("maxResults", 100, most=250)
    start = parameters.number("pageToken", 0, least=0)
    answer: Json = {
        "kind": "calendar#calendarList",
        "etag": f'"p{store.list_number:x}"',
        "items": entries[start : start + size],
    }
    if start + size < len(entries):
        return answer | {"nextPageToken": str(start + size)}
    return answer | {"nextSyncToken": _token(store.list_number)}


def calendar_resource(store: Store, calendar: Calendar) -> Json:
    """Return the calendar as calendars.get tells it."""
    return {
        "kind": "calendar#calendar",
        "etag": f'"{calendar.created}"',
        "id": calendar.id,
        "summary": calendar.summary,
        "timeZone": calendar.time_zone,
        "conferenceProperties": {
            "allowedConferenceSolutionTypes": list(calendar.allowed_conference_types)
        },
    } | ({} if calendar.id == store.primary else {"dataOwner": store.primary})


def entry(store: Store, calendar: Calendar) -> Json:
    """Return the calendar as the caller's list tells it, with the caller's role."""
    listed = calendar_resource(store, calendar) | {
        "kind": "calendar#calendarListEntry",
        "accessRole": calendar.role,
        "defaultReminders": [],
        "selected": True,
    }
    return listed | ({"primary": True} if calendar.id == store.primary else {})


def _deleted(calendar_id: str, number: int) -> Json:
    return {
        "kind": "calendar#calendarListEntry",
        "etag": f'"{number}"',
        "id": calendar_id,
        "deleted": True,
    }


def _since(store: Store, parameters: Parameters) -> int | None:
    """Return the change that the sync token stands for. Raises ApiError: 410 for an unknown one."""
    text = parameters.text("syncToken")
    if text is None:
        return None
    restricted = any(parameters.text(name) is not None for name in _RESTRICTING)
    if restricted or any(parameters.flag(name) is False for name in _SHOWING):
        raise ApiError("syncTokenWithRequestRestrictions")
    known = (number for number in range(store.list_number + 1) if _token(number) == text)
    number = next(known, None)
    if number is None:
        raise ApiError("fullSyncRequired")
    return number


def _token(number: int) -> str:
    return base64.b64encode(b"\x08\x01\x10" + number.to_bytes(4)).decode()
