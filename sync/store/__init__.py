"""What is remembered between runs: one protocol, two implementations that pass one contract suite.

Documents change by compare-and-set: whoever writes names the version that it read, and gets
`Changed` if another wrote meanwhile. A read-write transaction would lock what it reads, and two
workers would wait for each other.
https://docs.cloud.google.com/firestore/docs/transaction-data-contention
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, NewType, Protocol, TypeAlias, TypeVar

from sync.model.calendar import CalendarState, CalendarStatus
from sync.model.conference import (
    ConferenceRecord,
    ConferenceRef,
    EventRef,
    Failure,
    FailureState,
    Link,
)
from sync.model.event import CalendarId, EventId

Version = NewType("Version", object)
"""Changes with every write of its document, also with one that writes the same again."""

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Versioned(Generic[_Value]):
    """A document as it was read, and the version that a write of it must name."""

    value: _Value
    version: Version


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of some events of one calendar."""

    links: dict[EventId, Versioned[Link]]
    failures: dict[EventId, Failure]


@dataclass(frozen=True, slots=True)
class Listing(Generic[_Value]):
    """One page; `next_page_token` is None on the last."""

    items: list[_Value]
    next_page_token: str | None


@dataclass(frozen=True, slots=True)
class PutLink:
    """Write a link; `version` None: it must not exist yet."""

    link: Link
    version: Version | None


@dataclass(frozen=True, slots=True)
class DropLink:
    event: EventRef
    version: Version


@dataclass(frozen=True, slots=True)
class PutConference:
    """Write a conference's record; `version` None: it must not exist yet."""

    record: ConferenceRecord
    version: Version | None


@dataclass(frozen=True, slots=True)
class DropConference:
    ref: ConferenceRef
    version: Version


Write: TypeAlias = PutLink | DropLink | PutConference | DropConference


class Store(Protocol):
    """Calendars, links, conferences and failures. Safe for threads. Every method may raise
    TryLater."""

    def get_calendar(self, calendar_id: CalendarId) -> Versioned[CalendarState] | None: ...

    def create_calendar(self, state: CalendarState) -> Version:
        """Remember a calendar. Raises Changed if it is known already."""
        ...

    def update_calendar(self, state: CalendarState, version: Version) -> Version:
        """Replace a calendar's state. Raises Changed if it is not at `version`, or gone."""
        ...

    def delete_calendar(self, calendar_id: CalendarId) -> None:
        """Forget a calendar's state, not its links. Safe to repeat."""
        ...

    def list_calendars(
        self,
        *,
        status: CalendarStatus | None = None,
        page_token: str | None = None,
        limit: int = 100,
    ) -> Listing[CalendarState]: ...

    def get_known(self, calendar_id: CalendarId, event_ids: Collection[EventId]) -> Known:
        """Return the links and failures of these events, in one round trip."""
        ...

    def links_of_calendar(self, calendar_id: CalendarId) -> Iterator[Versioned[Link]]:
        """Yield every link of a calendar, a bounded number in memory. What is dropped meanwhile
        may still come."""
        ...

    def links_of_conference(self, ref: ConferenceRef) -> list[Versioned[Link]]:
        """Return the links of all events that carry a conference now; those that let it go are
        not among them."""
        ...

    def links_letting_go(self, before: datetime, limit: int = 100) -> list[Link]:
        """Return links that let a conference go before that moment and still remember it."""
        ...

    def links_to_extend(self, before: datetime, limit: int = 100) -> list[Link]:
        """Return links of series that had to be sent again before that moment."""
        ...

    def mark_seen(
        self, calendar_id: CalendarId, event_ids: Collection[EventId], full_sync_id: str
    ) -> None:
        """Note on existing links which full sync met their events, in few round trips. Safe to
        repeat."""
        ...

    def get_conference(self, ref: ConferenceRef) -> Versioned[ConferenceRecord] | None: ...

    def commit(self, writes: Sequence[Write]) -> list[Version | None]:
        """Do all writes or none; return the new versions, in order. Raises Changed if any
        document is not as named."""
        ...

    def get_failure(self, failure_id: str) -> Failure | None: ...

    def put_failure(self, failure: Failure) -> None: ...

    def delete_failure(self, failure_id: str) -> None:
        """Forget a failure. Safe to repeat."""
        ...

    def list_failures(
        self,
        *,
        state: FailureState | None = None,
        calendar_id: CalendarId | None = None,
        page_token: str | None = None,
        limit: int = 100,
    ) -> Listing[Failure]: ...

    def count_failures(self, state: FailureState) -> int:
        """Return how many failures are in a state, without reading them."""
        ...

    def failures_due(self, before: datetime, limit: int = 100) -> list[Failure]:
        """Return failures whose next try was due before that moment."""
        ...

    def close(self) -> None:
        """End connections. The store is of no use afterwards."""
        ...
