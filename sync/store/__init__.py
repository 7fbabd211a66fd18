"""What is remembered between runs: one protocol, two implementations that pass one contract suite.

Documents change by compare-and-set: whoever writes names the version that was read, and gets
`Conflict` if another wrote meanwhile. A read-write transaction would lock what it reads, and two
workers would wait for each other. `sync.store.compare_and_set` has the loop around such a write.
https://docs.cloud.google.com/firestore/docs/transaction-data-contention
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
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

QUERIED_FIELDS: dict[str, tuple[str, ...]] = {
    "calendars": ("failing.runs", "status"),
    "conferences": (),
    "failures": ("event.calendar_id", "next_try", "state"),
    "links": (
        "conference_key",
        "due_at",
        "event.calendar_id",
        # Links that the previous version wrote have no `due_at`; these stand in for it.
        "approximation.again_at",
        "creating",
        "letting_go_since",
    ),
}
"""The fields that queries ask for, by collection: the only ones that Firestore has to index."""


@dataclass(frozen=True, slots=True)
class Versioned(Generic[_Value]):
    """A document as it was read, and the version that a write of it must name."""

    value: _Value
    version: Version


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of some events of one calendar."""

    links: dict[EventId, Versioned[Link]]
    failures: dict[EventId, Versioned[Failure]]


@dataclass(frozen=True, slots=True)
class Listing(Generic[_Value]):
    """One page. `next_page_token` is None on the last."""

    items: list[_Value]
    next_page_token: str | None


def all_pages(
    page: Callable[[str | None], Listing[_Value]], page_token: str | None = None
) -> Iterator[_Value]:
    """Yield what is on this page and on those after it, each read when it is reached."""
    while True:
        listing = page(page_token)
        yield from listing.items
        page_token = listing.next_page_token
        if page_token is None:
            return


@dataclass(frozen=True, slots=True)
class PutLink:
    """Write a link. `version` None: it must not exist yet."""

    link: Link
    version: Version | None


@dataclass(frozen=True, slots=True)
class DropLink:
    event: EventRef
    version: Version


@dataclass(frozen=True, slots=True)
class PutConference:
    """Write a conference's record. `version` None: it must not exist yet."""

    record: ConferenceRecord
    version: Version | None


@dataclass(frozen=True, slots=True)
class DropConference:
    ref: ConferenceRef
    version: Version


Write: TypeAlias = PutLink | DropLink | PutConference | DropConference


class Store(Protocol):
    """Calendars, links, conferences and failures. Safe for threads.

    Every method may raise TryLater. Every method that takes a page token raises Invalid for one
    that the method did not give out. Every method that writes a value raises Invalid if the value
    is too large for a document, and stores texts cleaned: characters that UTF-8 cannot hold (half
    an emoji) become "?", a reason is cut to 1,000 characters (S6).
    """

    def get_calendar(self, calendar_id: CalendarId) -> Versioned[CalendarState] | None: ...

    def create_calendar(self, state: CalendarState) -> Version:
        """Remember a calendar. Raises Conflict if it is known already."""
        ...

    def update_calendar(self, state: CalendarState, version: Version) -> Version:
        """Replace a calendar's state. Raises Conflict if it is not at `version`, or gone."""
        ...

    def delete_calendar(self, calendar_id: CalendarId, version: Version | None = None) -> None:
        """Forget a calendar's state, not its links.

        Without a version safe to repeat. With one, raises Conflict if the calendar is not at that
        version, or gone.
        """
        ...

    def list_calendars(
        self,
        *,
        status: CalendarStatus | None = None,
        page_token: str | None = None,
        limit: int = 100,
    ) -> Listing[CalendarState]: ...

    def count_calendars(self, status: CalendarStatus) -> int:
        """Return how many calendars have a status, without reading them."""
        ...

    def count_failing_calendars(self) -> int:
        """Return how many calendars, of any status, failed in their last run (S7)."""
        ...

    def get_known(self, calendar_id: CalendarId, event_ids: Collection[EventId]) -> Known:
        """Return the links and failures of these events, in one round trip."""
        ...

    def links_of_calendar(self, calendar_id: CalendarId) -> Iterator[Versioned[Link]]:
        """Yield every link of a calendar, a bounded number in memory. Links that are dropped while
        the caller iterates may still come."""
        ...

    def links_of_conference(self, ref: ConferenceRef) -> list[Versioned[Link]]:
        """Return the links of all events that carry a conference now, without those that let the
        conference go."""
        ...

    def links_due(
        self, before: datetime, *, page_token: str | None = None, limit: int = 100
    ) -> Listing[Link]:
        """Return links whose `due_at` lies before that moment, the earliest first.

        The page token is a cursor: it stays valid when the links of earlier pages change or go.
        Links that the previous version wrote may come after all others, or twice.
        """
        ...

    def mark_seen(
        self, calendar_id: CalendarId, event_ids: Collection[EventId], full_sync_id: str
    ) -> None:
        """Note on existing links which full sync met their events, in few round trips. Safe to
        repeat."""
        ...

    def get_conference(self, ref: ConferenceRef) -> Versioned[ConferenceRecord] | None: ...

    def commit(self, writes: Sequence[Write]) -> list[Version | None]:
        """Do all writes or none. Return the new versions, in order. Raises Conflict if any
        document is not as named."""
        ...

    def get_failure(self, failure_id: str) -> Versioned[Failure] | None: ...

    def put_failure(self, failure: Failure, version: Version | None) -> Version:
        """Write a failure. Raises Conflict if it is not at `version`. None: it must not exist."""
        ...

    def delete_failure(self, failure_id: str, version: Version | None = None) -> None:
        """Forget a failure. One that is gone already is a success, so this is safe to repeat.

        With a version, raises Conflict if the failure is at another.
        """
        ...

    def list_failures(
        self,
        states: Collection[FailureState] | None = None,
        calendar_id: CalendarId | None = None,
        page_token: str | None = None,
        limit: int = 100,
    ) -> Listing[Versioned[Failure]]:
        """Return failures in any of `states`, None: in all of them, dismissed ones too.

        What an operator sees are those in `sync.model.conference.LISTED`.
        """
        ...

    def count_failures(self, state: FailureState) -> int:
        """Return how many failures are in a state, without reading them."""
        ...

    def failures_due(
        self, before: datetime, *, page_token: str | None = None, limit: int = 100
    ) -> Listing[Versioned[Failure]]:
        """Return failures whose `next_try` lies before that moment, the earliest first.

        The page token is a cursor: it stays valid when the failures of earlier pages change or go.
        """
        ...

    def close(self) -> None:
        """End connections. The store is of no use afterwards."""
        ...
