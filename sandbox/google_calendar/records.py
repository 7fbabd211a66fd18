"""What happened, for assertions: the requests that came in and the notifications that went out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class RequestRecord:
    """One call of the API. `method` is what X-HTTP-Method-Override says, where it was sent."""

    method: str
    path: str
    """Decoded, with `/calendar/v3`."""
    query: dict[str, str]
    """A repeated parameter's values are joined by commas."""
    body: Any = None
    """JSON. None: there was none, or none that could be read."""
    headers: dict[str, str] = field(default_factory=dict)
    """If-Match and the like, those that change what a call does."""
    status: int | None = None
    """None while it is being answered."""


@dataclass(slots=True)
class PushRecord:
    """One try to deliver one notification."""

    channel_id: str
    state: str
    number: int
    status: int | None = None
    error: str | None = None


class Log(Generic[T]):
    """A list that many threads may write. Readers walk over a copy."""

    def __init__(self) -> None:
        self._entries: list[T] = []
        self._lock = threading.Lock()

    def append(self, entry: T) -> None:
        with self._lock:
            self._entries.append(entry)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    def __iter__(self) -> Iterator[T]:
        with self._lock:
            return iter(list(self._entries))

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)

    def __getitem__(self, place: int) -> T:
        with self._lock:
            return self._entries[place]
