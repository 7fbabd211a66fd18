"""The lease of a calendar: one run at a time, also when a process dies or stalls (S1).

A lease is a lock with an owner and an expiry. The calendar's document is written only on condition
that this very lease, known by its random id, is still in the document (fencing).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta

from sync.errors import Conflict, LeaseHeld, LeaseLost, NotFound
from sync.model.calendar import CalendarState, Lease
from sync.model.event import CalendarId
from sync.store import Store, Versioned
from sync.store.compare_and_set import change_calendar

LEASE = timedelta(seconds=60)
# Extended when so much of it has passed: two more chances before it lapses.
_EXTEND_AFTER = LEASE / 3
# No call to a provider lasts longer than half a lease; nothing is begun so shortly before its end.
_LEASE_MARGIN = timedelta(seconds=5)

Clock = Callable[[], datetime]


def unheld(store: Store, calendar_id: CalendarId, now: datetime) -> Versioned[CalendarState]:
    """Read a calendar whose lease is free, or has lapsed. Raises LeaseHeld, NotFound."""
    document = store.get_calendar(calendar_id)
    if document is None:
        raise NotFound(
            "this calendar is not started, or was stopped; start it with PUT /calendars/{id}"
        )
    lease = document.value.lease
    if lease is not None and lease.expires > now:
        raise LeaseHeld
    return document


@contextmanager
def held(store: Store, document: Versioned[CalendarState], clock: Clock) -> Iterator[Held]:
    """Hold the lease of a calendar that `unheld` has read, and give it back at the end.

    A run that came to its end gives the lease back in the write that saves its token. The end of
    the `with` block is for errors. Raises LeaseHeld if anybody wrote the calendar since.
    """
    holder = Held(store, document, clock)
    try:
        yield holder
    except LeaseLost:
        raise
    except BaseException:
        holder.release()
        raise
    holder.release()


class Held:
    """A calendar's document while this run holds its lease.

    Used by one thread, but for `still_ours`.
    """

    def __init__(self, store: Store, document: Versioned[CalendarState], clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._lease = Lease(id=uuid.uuid4().hex, expires=clock() + LEASE)
        state = replace(document.value, lease=self._lease)
        try:
            version = store.update_calendar(state, document.version)
        except Conflict:
            raise LeaseHeld from None
        self._document = Versioned(state, version)

    @property
    def state(self) -> CalendarState:
        return self._document.value

    def still_ours(self) -> None:
        """Raise LeaseLost once the lease may have lapsed.

        This process was stalled then, and another may be at work.
        """
        if self._clock() >= self._lease.expires - _LEASE_MARGIN:
            raise LeaseLost

    def keep(self, note: Callable[[CalendarState], CalendarState]) -> None:
        """Extend the lease if it is time, and `note` in the same write where the run is."""
        now = self._clock()
        if self._lease.expires - now <= LEASE - _EXTEND_AFTER:
            lease = replace(self._lease, expires=now + LEASE)
            self.write(lambda state: note(replace(state, lease=lease)))
            self._lease = lease

    def write(self, change: Callable[[CalendarState], CalendarState]) -> None:
        """Change the calendar's document while this very lease is still held. Raises LeaseLost.

        Others may write the document meanwhile (an operator, a renewed channel). `change` is then
        applied to theirs.
        """
        written = change_calendar(
            self._store,
            self.state.calendar_id,
            change,
            holds=self._is_ours,
            document=self._document,
        )
        if written is None:
            raise LeaseLost
        self._document = written

    def release(self) -> None:
        """Give the lease back, if this run still has it. Whoever took it meanwhile keeps it."""
        if self.state.lease is not None:
            with suppress(LeaseLost):
                self.write(lambda state: replace(state, lease=None))

    def _is_ours(self, state: CalendarState) -> bool:
        return state.lease is not None and state.lease.id == self._lease.id
