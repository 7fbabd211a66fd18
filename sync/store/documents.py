"""What is remembered, as plain documents and back.

Both stores write the same documents, so that both accept the same (S6): texts are cleaned, reasons
cut, and a document that Firestore would refuse for its size is refused by both. The names in maps
are our own: names of fields, and starts of occurrences. A missing field gets its default when a
document is read, and an unknown one is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import cattrs

from sync.errors import Invalid
from sync.model.calendar import CalendarState
from sync.model.conference import ConferenceRecord, ConferenceRef, EventRef, Failure, Link
from sync.model.event import CalendarId, digest
from sync.store import previous

_Value = TypeVar("_Value", CalendarState, ConferenceRecord, Failure, Link)

# Enough for a sentence with the mend. A provider's error text can have 40 kB.
_LONGEST_REASON = 1_000
# Firestore takes 1 MiB, its name and the fields beside the value included.
# https://firebase.google.com/docs/firestore/quotas
_LARGEST_DOCUMENT = 1_000_000

# Firestore refuses a query for a text of 1,500 bytes. Calendar's own ids have some 100 characters,
# and a start refuses those that leave a channel token no room (N1).
_LONGEST_CALENDAR_ID_BYTES = 1_024

_converter = cattrs.Converter()
# Firestore keeps moments as they are; in JSON they are text.
_converter.register_unstructure_hook(datetime, lambda moment: moment)
_converter.register_structure_hook(
    datetime, lambda value, _: datetime.fromisoformat(value) if isinstance(value, str) else value
)

_UPGRADES: dict[type, Callable[[dict[str, Any]], dict[str, Any]]] = {
    CalendarState: previous.calendar,
    Link: previous.link,
}


def to_document(value: CalendarState | ConferenceRecord | Failure | Link) -> dict[str, Any]:
    """Return a document of maps, lists, texts, numbers and moments, all of which can be stored.

    Raises Invalid for a value that makes too large a document, for example a link whose series has
    some 16,000 occurrences of their own.
    """
    document: dict[str, Any] = _storable(_converter.unstructure(value))
    if isinstance(value, Failure | Link) and not is_queryable(value.event.calendar_id):
        raise Invalid("the calendar's id is too long to be remembered with an event (1,024 bytes)")
    if _size(document) > _LARGEST_DOCUMENT:
        raise Invalid(
            "what is to be remembered of this event is larger than a document of the store may be"
            " (1 MB): the event has too many occurrences that differ, or an id far too long"
        )
    return document


def from_document(document: dict[str, Any], kind: type[_Value]) -> _Value:
    """Return the value of a document, of one that the previous version wrote too."""
    if upgrade := _UPGRADES.get(kind):
        document = upgrade(document)
    return _converter.structure(document, kind)


def to_json(value: CalendarState | ConferenceRecord | Failure | Link) -> str:
    """The same as `to_document`, as text."""
    return json.dumps(to_document(value), default=datetime.isoformat)


def from_json(text: str, kind: type[_Value]) -> _Value:
    return from_document(json.loads(text), kind)


def calendar_key(calendar_id: CalendarId) -> str:
    """The name of a calendar's document."""
    return digest(clean(calendar_id))


def event_key(event: EventRef) -> str:
    """The name of the documents of an event: its link and its failure."""
    return digest(clean(event.calendar_id), clean(event.event_id))


def conference_key(conference: ConferenceRef) -> str:
    """The name of a conference's record."""
    return digest(clean(conference.provider), clean(conference.conference_id))


def due_at(link: Link) -> datetime | None:
    """`Link.due_at`. None where that lies behind the last moment there is."""
    try:
        return link.due_at
    except OverflowError:
        return None


def clean(text: str) -> str:
    """Return a text that can be written as UTF-8: half a character becomes "?"."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def is_queryable(calendar_id: CalendarId) -> bool:
    """Whether a query can name this calendar. No event of another is stored."""
    return len(clean(calendar_id).encode()) <= _LONGEST_CALENDAR_ID_BYTES


def _storable(value: Any) -> Any:
    match value:
        case str():
            return clean(value)
        case dict():
            return {clean(name): _bounded(name, _storable(one)) for name, one in value.items()}
        case list() | tuple():
            return [_storable(one) for one in value]
        case _:
            return value


def _bounded(name: str, value: Any) -> Any:
    return value[:_LONGEST_REASON] if name == "reason" and isinstance(value, str) else value


def _size(value: Any) -> int:
    """Bytes that a value takes in Firestore.

    https://firebase.google.com/docs/firestore/storage-size
    """
    match value:
        case str():
            return len(value.encode()) + 1
        case dict():
            return sum(_size(name) + _size(one) for name, one in value.items())
        case list():
            return sum(_size(one) for one in value)
        case _:
            return 8
