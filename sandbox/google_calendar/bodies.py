"""Event bodies: what a client may write, how PATCH merges and PUT replaces, what is cut in
silence."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from sandbox.google_calendar import recurrence, times
from sandbox.google_calendar.errors import ApiError

Json = dict[str, Any]

# Members of an event that belong to one calendar's copy; everything else is shared with the guests.
OWN_FIELDS = frozenset(
    {"colorId", "reminders", "transparency", "visibility", "attendeesOmitted", "eventLabelId"}
)

# Made by the server: a body may hold them, and they are ignored.
_READ_ONLY = frozenset(
    {
        "kind", "etag", "htmlLink", "created", "updated", "creator", "organizer", "hangoutLink",
        "recurringEventId", "originalStartTime", "privateCopy", "locked", "id", "iCalUID",
        "eventType",
    }
)  # fmt: skip
_WRITABLE = frozenset(
    {
        "anyoneCanAddSelf", "attachments", "attendees", "attendeesOmitted", "birthdayProperties",
        "colorId", "description", "end", "endTimeUnspecified", "eventLabelId",
        "extendedProperties", "focusTimeProperties", "gadget", "guestsCanInviteOthers",
        "guestsCanModify", "guestsCanSeeOtherGuests", "location", "outOfOfficeProperties",
        "recurrence", "reminders", "sequence", "source", "start", "status", "summary",
        "transparency", "visibility", "workingLocationProperties",
    }
)  # fmt: skip
# Left out of answers when they have this value, as Google does.
_DEFAULTS: Json = {
    "guestsCanInviteOthers": True,
    "guestsCanModify": False,
    "guestsCanSeeOtherGuests": True,
    "anyoneCanAddSelf": False,
    "attendeesOmitted": False,
    "endTimeUnspecified": False,
    "transparency": "opaque",
    "visibility": "default",
    "summary": "",
    "description": "",
    "location": "",
    "attendees": [],
    "recurrence": [],
    "extendedProperties": {},
}
_TEXTS = (
    "summary",
    "description",
    "location",
    "colorId",
    "transparency",
    "visibility",
    "status",
    "iCalUID",
    "eventType",
)
_FLAGS = ("guestsCanInviteOthers", "guestsCanModify", "guestsCanSeeOtherGuests", "anyoneCanAddSelf")
_OBJECTS = ("reminders", "source", "extendedProperties", "gadget")
GUEST_PERMISSIONS = ("guestsCanInviteOthers", "guestsCanModify", "guestsCanSeeOtherGuests")
# Members with few values, the one first that the absence of the member means.
_WORDS = {
    "status": ("confirmed", "tentative", "cancelled"),
    "visibility": ("default", "public", "private", "confidential"),
}
EVENT_TYPES = frozenset(
    {"birthday", "default", "focusTime", "fromGmail", "outOfOffice", "workingLocation"}
)

_MOST_KEY_CHARACTERS = 44
_MOST_VALUE_CHARACTERS = 1024
_MOST_ATTACHMENTS = 25


def merge(stored: Json, patch: Json) -> Json:
    """Apply PATCH: objects merge, null removes, anything else, lists too, replaces. Neither
    argument changes."""
    merged = dict(stored)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            old = merged.get(name)
            merged[name] = merge(old if isinstance(old, dict) else {}, value)
        else:
            merged[name] = deepcopy(value)
    return merged


def patched(stored: Json, patch: Json) -> Json:
    """Return the event's body after a PATCH, before it is checked."""
    return merge(stored, {name: value for name, value in patch.items() if name in _WRITABLE})


def replaced(stored: Json, body: Json) -> Json:
    """Return the event's body after a PUT: what the client may write comes from the request
    alone."""
    kept = {
        name: value
        for name, value in stored.items()
        if name in _READ_ONLY or name == "conferenceData"
    }
    kept["status"] = "confirmed"
    kept["sequence"] = stored.get("sequence", 0)
    return kept | {
        name: deepcopy(value)
        for name, value in body.items()
        if name in _WRITABLE and value is not None
    }


def tidy(
    body: Json, default_zone: str, *, times_required: bool = True, dateless_rules: bool = False
) -> Json:
    """Return the body as Calendar stores it: times normalized, defaults left out, extended
    properties cut.

    `dateless_rules` lets a recurrence rule pass that never finds a date. Raises ApiError (400) for
    what Calendar refuses.
    """
    check_types(body)
    tidied = dict(body)
    cancelled_only = not times_required and "start" not in body
    if not cancelled_only:
        tidied |= _checked_times(body, default_zone)
    if tidied.get("recurrence"):
        recurrence.check(tidied, dateless=dateless_rules)
    for name, words in _WORDS.items():
        if tidied.get(name, words[0]) not in words:
            raise ApiError("invalid", f"Invalid value for: {tidied[name]} is not a valid value")
    attendees = tidied.get("attendees")
    if attendees is not None:
        tidied["attendees"] = [_attendee(attendee) for attendee in _objects(attendees, "attendee")]
    if len(tidied.get("attachments") or []) > _MOST_ATTACHMENTS:
        raise ApiError("invalid", "Too many attachments.")
    if "extendedProperties" in tidied:
        tidied["extendedProperties"] = _properties(tidied["extendedProperties"])
    always = {"status": "confirmed", "sequence": 0, "reminders": {"useDefault": True}}
    return always | {
        name: value
        for name, value in tidied.items()
        if name not in _DEFAULTS or value != _DEFAULTS[name]
    }


def check_types(body: Json) -> None:
    """Refuse (400) members of the wrong JSON type. Null means nothing everywhere."""
    kinds: list[tuple[tuple[str, ...], type]] = [
        (_TEXTS, str),
        (_FLAGS, bool),
        (_OBJECTS, dict),
        (("sequence",), int),
    ]
    kinds.append((("attachments", "recurrence", "attendees"), list))
    for names, kind in kinds:
        for name in names:
            if body.get(name) is not None and not isinstance(body[name], kind):
                raise ApiError("invalid", f"Invalid value at '{name}'.")


def _checked_times(body: Json, default_zone: str) -> Json:
    for which in ("start", "end"):
        if body.get(which) is None:
            raise ApiError("required", f"Missing {which} time.")
    start, end = (times.normalize(body[which], default_zone, which) for which in ("start", "end"))
    if ("date" in start) != ("date" in end):
        raise ApiError(
            "invalid", "Start and end times must either both be date or both be dateTime."
        )
    begins, finishes = times.instant(start, default_zone), times.instant(end, default_zone)
    assert begins is not None
    assert finishes is not None
    if finishes < begins or ("date" in start and finishes == begins):
        raise ApiError("timeRangeEmpty", location="timeMax")
    return {"start": start, "end": end}


def _objects(value: Any, what: str) -> list[Json]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ApiError("invalid", f"Invalid {what} list.")
    return value


def _attendee(attendee: Json) -> Json:
    email = attendee.get("email")
    if not isinstance(email, str) or "@" not in email:
        raise ApiError("invalid", "Invalid attendee email.")
    # `self` and `organizer` are told per copy, when it is stored.
    kept = {name: value for name, value in attendee.items() if name not in ("self", "organizer")}
    return {"responseStatus": "needsAction"} | kept


def _properties(value: Any) -> Json:
    """Drop what is too long, as Google does: keys without a word, the ends of values without a
    word."""
    if not isinstance(value, dict):
        raise ApiError("invalid", "Invalid extended properties.")
    kept: Json = {}
    for reach in ("private", "shared"):
        entries = value.get(reach) or {}
        if not isinstance(entries, dict):
            raise ApiError("invalid", "Invalid extended properties.")
        fitting = {
            key: str(text)[:_MOST_VALUE_CHARACTERS]
            for key, text in entries.items()
            if len(key) <= _MOST_KEY_CHARACTERS and text is not None
        }
        if fitting:
            kept[reach] = fitting
    return kept
