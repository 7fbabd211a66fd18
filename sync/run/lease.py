"""The lease of a calendar: one run at a time, also when a process dies or stalls (S1)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from sync.errors import Conflict, LeaseHeld, LeaseLost, NotFound
from sync.model.calendar import CalendarState, Checkpoint, Lease
from sync.model.event import CalendarId
from sync.services import Services
from sync.store import Versioned

LEASE = timedelta(seconds=60)
# Extended when so much of it has passed: two more chances before it lapses.
_EXTEND_AFTER = LEASE / 3
# No call to a provider lasts longer than half a lease; nothing is begun so shortly before its end.
_LEASE_MARGIN = timedelta(seconds=5)


def unheld(services: Services, calendar_id: CalendarId) -> Versioned[CalendarState]:
    """Read a calendar whose lease is free, or has lapsed. Raises LeaseHeld, NotFound."""
    document = services.store.get_calendar(calendar_id)
    if document is None:
        raise NotFound(
            "this calendar is not started, or was stopped; start it with PUT /calendars/{id}"
        )
    lease = document.value.lease
    if lease is not None and lease.expires > services.clock():
        raise LeaseHeld
    return document


class Held:
    """A calendar's document while this run holds its lease. Used by one thread, but for
    `still_ours`."""

    def __init__(self, services: Services, state: Versioned[CalendarState], lease: Lease) -> None:
        self._services = services
        self._document = state
        self._lease = lease

    @classmethod
    def acquire(cls, services: Services, document: Versioned[CalendarState]) -> Held:
        """Take the lease of a calendar that `unheld` has read. Raises LeaseHeld if anybody wrote
        it since."""
        lease = Lease(id=uuid.uuid4().hex, expires=services.clock() + LEASE)
        state = replace(document.value, lease=lease)
        try:
            version = services.store.update_calendar(state, document.version)
        except Conflict:
            raise LeaseHeld from None
        return cls(services, Versioned(state, version), lease)

    @property
    def state(self) -> CalendarState:
        return self._document.value

    def still_ours(self) -> None:
        """Raise LeaseLost once the lease may have lapsed: this process was stalled, and another
        may be at work."""
        if self._services.clock() >= self._lease.expires - _LEASE_MARGIN:
            raise LeaseLost

    def keep(self, checkpoint: Callable[[], Checkpoint]) -> None:
        """Extend the lease if it is time, and note in the same write where the run is."""
        now = self._services.clock()
        if self._lease.expires - now <= LEASE - _EXTEND_AFTER:
            lease = replace(self._lease, expires=now + LEASE)
            place = checkpoint()
            self.write(lambda state: replace(state, lease=lease, checkpoint=place))
            self._lease = lease

    def write(self, change: Callable[[CalendarState], CalendarState]) -> None:
        """Change the calendar's document on condition that this very lease is still held (S1).
        Raises LeaseLost.

        Others may write the document meanwhile (an operator, a renewed channel); `change` is then
        applied to theirs.
        """
        while True:
            state = change(self._document.value)
            try:
                self._document = Versioned(
                    state, self._services.store.update_calendar(state, self._document.version)
                )
                return
            except Conflict:
                document = self._services.store.get_calendar(state.calendar_id)
                if (
                    document is None
                    or document.value.lease is None
                    or document.value.lease.id != self._lease.id
                ):
                    raise LeaseLost from None
                self._document = document

    def release(self) -> None:
        """Give the lease back after an error; whoever took it meanwhile keeps it."""
        try:
            self.write(lambda state: replace(state, lease=None))
        except LeaseLost:
            return
