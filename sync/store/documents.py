"""What is remembered, as plain documents and back. A missing field gets its default, an unknown
one is passed over."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, TypeVar

import cattrs

from sync.model.calendar import CalendarState
from sync.model.conference import ConferenceRecord, Failure, Link

_Value = TypeVar("_Value", CalendarState, ConferenceRecord, Failure, Link)

_converter = cattrs.Converter()
# Firestore keeps moments as they are; in JSON they are text.
_converter.register_unstructure_hook(datetime, lambda moment: moment)
_converter.register_structure_hook(
    datetime, lambda value, _: datetime.fromisoformat(value) if isinstance(value, str) else value
)


def to_document(value: CalendarState | ConferenceRecord | Failure | Link) -> dict[str, Any]:
    """Return a document of maps, lists, texts, numbers and moments."""
    document: dict[str, Any] = _converter.unstructure(value)
    return document


def from_document(document: dict[str, Any], kind: type[_Value]) -> _Value:
    return _converter.structure(document, kind)


def to_json(value: CalendarState | ConferenceRecord | Failure | Link) -> str:
    return json.dumps(to_document(value), default=datetime.isoformat)


def from_json(text: str, kind: type[_Value]) -> _Value:
    return from_document(json.loads(text), kind)
