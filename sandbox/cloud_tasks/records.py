"""What tests look at: tasks that wait, attempts that ended, and calls of CreateTask."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingTask:
    """A task that waits or runs. `body` is parsed where it is JSON, and bytes elsewhere."""

    name: str
    queue: str
    method: str
    url: str
    headers: dict[str, str]
    body: Any
    schedule_time: datetime
    attempts: int
    running: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One attempt and how it ended: with a `status`, or with an `error` (no answer, or none in
    time)."""

    name: str
    queue: str
    url: str
    headers: dict[str, str]
    body: Any
    status: int | None
    error: str | None
    retry_count: int
    at: datetime
    seconds: float

    @property
    def succeeded(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """One CreateTask. `outcome` is "created", "exists", or the name of the error's gRPC status."""

    name: str
    queue: str
    body: Any
    schedule_time: datetime | None
    outcome: str
    at: datetime


def parsed(body: bytes) -> Any:
    """Return what the body says in JSON, or the body itself."""
    try:
        return json.loads(body)
    except ValueError:
        return body


def plain(moment: datetime) -> datetime:
    """A plain datetime for the protocol buffers' own kind, which compares alike and prints
    differently."""
    return datetime.fromtimestamp(moment.timestamp(), UTC)
