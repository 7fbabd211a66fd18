"""One run for one calendar, in order: list, take the lease, plan, apply, save the token, release.

A listing that turns out to concern nobody needs no lease: its token is saved by compare-and-set,
and that is all.

Invariants:
- one run at a time per calendar, by a lease in the calendar's document (S1);
- the sync token is written after every change of every page was applied, handed to a retry task or
  parked, and only if this very lease is still held (S2);
- a run that stops anywhere is run again from the last token or checkpoint, and changes nothing
  twice (S5).
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sync.errors import (
    Conflict,
    CredentialsRefused,
    Gone,
    Invalid,
    LeaseHeld,
    LeaseLost,
    NotAllowed,
    SyncError,
    SyncTokenExpired,
    TryLater,
)
from sync.event.carry_out import Watched, apply_item, hidden, ids_to_know, read_event
from sync.google.calendar import LISTING_VERSION, Page
from sync.logs import short
from sync.model.calendar import (
    CalendarState,
    CalendarStatus,
    Channel,
    Checkpoint,
    Counts,
    LastSync,
    SyncKind,
)
from sync.model.event import CalendarId, EventId
from sync.operate import channels
from sync.run import page
from sync.run.lease import Held, unheld
from sync.services import Services
from sync.store import Known, Versioned

_logger = logging.getLogger(__name__)

# After so many expired tokens in a row a calendar is polled instead of listed in full at each
# notification (S3).
EXPIRATIONS_TOLERATED = 3
# A broken calendar is looked at again after so long; sooner if it rings or an operator asks (W3).
BROKEN_PAUSE = timedelta(hours=1)

FORGETFUL = "Calendar forgets this calendar's sync tokens; it is synced in full at intervals"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run did. `reason` says why it did less than asked for although no repetition can
    help."""

    calendar_id: CalendarId
    kind: str
    counts: Counts
    reason: str | None = None
    finished: bool = True


def sync_calendar(
    services: Services, calendar_id: CalendarId, rang: Channel | None = None
) -> Report:
    """Bring everything into step with one calendar, and return what was done.

    `rang` is the channel whose notification asks for it. Safe to repeat and to stop anywhere.
    Raises LeaseHeld when another run has the calendar (S1), Unknown for one that is not watched,
    and what should be tried again: TryLater, LeaseLost, CredentialsRefused.
    """
    document = unheld(services, calendar_id)
    state = document.value
    if rang:
        channels.stop_if_orphan(services, state, rang)
    if rang and _polled_instead(state, services):
        return Report(calendar_id=calendar_id, kind="none", counts=Counts(), reason=state.reason)
    first = _peek(services, state)
    if isinstance(first, _First) and first.concerns_nobody(services):
        return _saved(services, document, first)
    held = Held.acquire(services, document)
    try:
        report = _Run(services, held, first).run()
    except (NotAllowed, Gone) as error:
        if isinstance(error, CredentialsRefused):
            _note(held, str(error))
            raise
        return _broken(services, held, error)
    except SyncTokenExpired as error:
        return _forgetful(services, held, error)
    except LeaseLost:
        raise
    except BaseException:
        held.release()
        raise
    _logger.info("calendar synced", extra=_facts(report))
    return report


def sync_event(services: Services, calendar_id: CalendarId, event_id: EventId) -> Report:
    """Look at one event: a retry, a deferred deletion, a lead that was passed on. As
    `sync_calendar`."""
    held = Held.acquire(services, unheld(services, calendar_id))
    try:
        watched = _watched(held, held.state.time_zone, None)
        item = read_event(services, watched, event_id)
        known = services.store.get_known(calendar_id, ids_to_know([item]))
        counts = apply_item(services, watched, item, known, listed=False) + Counts(changes=1)
    except NotAllowed as error:
        if isinstance(error, CredentialsRefused):
            _note(held, str(error))
            raise
        return _broken(services, held, error)
    except LeaseLost:
        raise
    except BaseException:
        held.release()
        raise
    held.release()
    report = Report(calendar_id=calendar_id, kind="event", counts=counts)
    _logger.info("event synced", extra=_facts(report))
    return report


@dataclass(frozen=True, slots=True)
class _First:
    """The first page of an incremental listing, and what is known of its events; read before the
    lease is taken.

    Taking the lease fails if another run has written the calendar since, so neither can be out of
    date then.
    """

    listed: Page
    known: Known

    def concerns_nobody(self, services: Services) -> bool:
        """Nothing on the page is, or was, of any interest, and there is no other page."""
        return self.listed.next_sync_token is not None and page.concerns_nobody(
            self.listed.items, self.known, services.rules
        )


def _peek(services: Services, state: CalendarState) -> _First | SyncTokenExpired | None:
    """Read the first page since the token; None where the run has to begin in another way, or with
    an error.

    Errors are dealt with under the lease; that of an expired token is handed on, the others are met
    again there.
    """
    if (
        state.checkpoint is not None
        or state.sync_token is None
        or state.token_version != LISTING_VERSION
    ):
        return None
    try:
        listed = services.calendar.list_changes(
            state.calendar_id,
            state.access,
            sync_token=state.sync_token,
            time_min=None,
            page_token=None,
        )
    except (SyncTokenExpired, Invalid) as error:
        return SyncTokenExpired(str(error))
    except (NotAllowed, Gone):
        return None
    known = (
        services.store.get_known(state.calendar_id, ids_to_know(listed.items))
        if listed.items
        else Known({}, {})
    )
    return _First(listed, known)


def _saved(services: Services, document: Versioned[CalendarState], first: _First) -> Report:
    """Save the token of a listing that concerned nobody, if nobody wrote the calendar meanwhile.
    Raises LeaseHeld."""
    state = document.value
    counts = Counts(changes=len(first.listed.items))
    place = Checkpoint(next_sync_token=first.listed.next_sync_token, counts=counts)
    time_zone = first.listed.time_zone or state.time_zone
    try:
        services.store.update_calendar(
            _finished(state, place, time_zone, services.clock()), document.version
        )
    except Conflict:
        raise LeaseHeld from None
    report = Report(calendar_id=state.calendar_id, kind=SyncKind.INCREMENTAL, counts=counts)
    _logger.info("calendar synced", extra=_facts(report))
    return report


class _Run:
    """One run: the pages since the token, or all of them and a sweep; then the token."""

    def __init__(
        self, services: Services, held: Held, first: _First | SyncTokenExpired | None
    ) -> None:
        self._services = services
        self._held = held
        self._first = first
        self._stop_at = services.clock() + services.settings.run_limit
        state = held.state
        fresh = Checkpoint(counts=Counts())
        self._place = state.checkpoint or fresh
        self._time_zone = state.time_zone
        self._restarted = False
        if state.checkpoint is None and (
            state.sync_token is None or state.token_version != LISTING_VERSION
        ):
            self._place = self._from_the_start()

    def run(self) -> Report:
        try:
            done = self._list()
        except SyncTokenExpired:
            if self._place.full_sync_id is not None:
                raise
            # S3: everything is listed in this very run.
            self._held.write(lambda state: replace(state, expirations=state.expirations + 1))
            self._place = self._from_the_start()
            done = self._list()
        if done and self._place.full_sync_id is not None:
            done = self._sweep()
        return self._finish() if done else self._interrupt()

    def _from_the_start(self) -> Checkpoint:
        return Checkpoint(
            full_sync_id=uuid.uuid4().hex,
            time_min=self._services.clock() - self._services.settings.window,
            counts=Counts(),
        )

    def _list(self) -> bool:
        """Apply page after page; False: the time is over, `_place` says where to go on."""
        refused: CredentialsRefused | None = None
        complete = True
        while complete and self._place.next_sync_token is None:
            first, self._first = self._first, None
            if isinstance(first, SyncTokenExpired):
                raise first
            listed = first.listed if first else self._page()
            self._time_zone = listed.time_zone or self._time_zone
            outcome = page.apply_page(
                self._services,
                self._watched(),
                listed.items,
                known=first.known if first else None,
                keep=self._keep,
                stop_at=self._stop_at,
            )
            self._note(outcome)
            refused = refused or outcome.refused
            if not outcome.complete:
                break
            if listed.next_page_token is None and listed.next_sync_token is None:
                raise TryLater("Calendar's listing ended without a sync token")
            self._place = replace(
                self._place,
                page_token=listed.next_page_token,
                next_sync_token=listed.next_sync_token,
            )
            complete = (
                self._place.next_sync_token is not None or self._services.clock() < self._stop_at
            )
        if refused is not None:
            # C5: one failure of the provider; the others' events are done, these come with the
            # calendar's next task.
            raise refused
        return self._place.next_sync_token is not None

    def _page(self) -> Page:
        state, place = self._held.state, self._place
        try:
            return self._services.calendar.list_changes(
                state.calendar_id,
                state.access,
                sync_token=state.sync_token if place.full_sync_id is None else None,
                time_min=place.time_min,
                page_token=place.page_token,
            )
        except (Invalid, SyncTokenExpired) as error:
            expired = isinstance(error, SyncTokenExpired)
            if place.page_token is not None and not (expired and place.full_sync_id is None):
                if self._restarted:
                    raise TryLater(f"{error}; Calendar refuses its own page tokens") from error
                # S4: the page token died while the run was interrupted; the same listing begins
                # anew.
                self._restarted = True
                self._place = replace(place, page_token=None)
                return self._page()
            if expired:
                raise
            if place.full_sync_id is None:
                raise SyncTokenExpired(str(error)) from error
            raise TryLater(f"{error}; Calendar refuses to list this calendar") from error

    def _sweep(self) -> bool:
        """S3: look up every link whose event the full listing did not bring; False: the time is
        over."""
        for batch in _batches(self._unseen()):
            outcome = page.look_up(
                self._services, self._watched(), batch, keep=self._keep, stop_at=self._stop_at
            )
            self._note(outcome)
            if outcome.refused is not None:
                raise outcome.refused
            if not outcome.complete:
                return False
        return True

    def _unseen(self) -> Iterator[EventId]:
        for link in self._services.store.links_of_calendar(self._held.state.calendar_id):
            if link.value.seen != self._place.full_sync_id:
                yield link.value.event.event_id

    def _note(self, outcome: page.Outcome) -> None:
        """Count what was done; S3: what a full sync met, its sweep need not look up."""
        self._place = replace(self._place, counts=self._place.counts + outcome.counts)
        if self._place.full_sync_id is not None and outcome.linked:
            self._services.store.mark_seen(
                self._held.state.calendar_id, outcome.linked, self._place.full_sync_id
            )

    def _watched(self) -> Watched:
        return _watched(self._held, self._time_zone, self._place.full_sync_id)

    def _keep(self) -> None:
        self._held.keep(lambda: self._place)

    def _finish(self) -> Report:
        """S1, S2: the new token, what was done, and the lease given back, in one write."""
        place, now = self._place, self._services.clock()
        self._held.write(lambda state: _finished(state, place, self._time_zone, now))
        return Report(
            calendar_id=self._held.state.calendar_id, kind=_kind(place), counts=place.counts
        )

    def _interrupt(self) -> Report:
        """S4: save the place, give the lease back, and let the queue bring the rest."""
        place = self._place
        self._held.write(lambda state: replace(state, checkpoint=place, lease=None))
        calendar_id = self._held.state.calendar_id
        # A crash before this leaves the present task unanswered: it comes again and finds the
        # checkpoint.
        self._services.queue.enqueue_calendar(calendar_id)
        return Report(
            calendar_id=calendar_id, kind=_kind(place), counts=place.counts, finished=False
        )


def _kind(place: Checkpoint) -> SyncKind:
    return SyncKind.INCREMENTAL if place.full_sync_id is None else SyncKind.FULL


def _finished(
    state: CalendarState, place: Checkpoint, time_zone: str | None, now: datetime
) -> CalendarState:
    """A calendar's state after a run that came to its end. Pure."""
    expirations = 0 if _kind(place) is SyncKind.INCREMENTAL else state.expirations
    reason = channels.NOT_WATCHABLE if not state.watchable else None
    if expirations >= EXPIRATIONS_TOLERATED:
        reason = FORGETFUL
    return replace(
        state,
        time_zone=time_zone,
        sync_token=place.next_sync_token,
        token_version=LISTING_VERSION,
        expirations=expirations,
        checkpoint=None,
        lease=None,
        status=CalendarStatus.POLLED if reason else CalendarStatus.OK,
        reason=reason,
        try_again_at=None,
        last_sync=LastSync(at=now, kind=_kind(place), counts=place.counts),
    )


def _watched(held: Held, time_zone: str | None, full_sync_id: str | None) -> Watched:
    state = held.state
    return Watched(
        calendar_id=state.calendar_id,
        access=state.access,
        time_zone=time_zone,
        full_sync_id=full_sync_id,
        still_ours=held.still_ours,
    )


def _batches(event_ids: Iterator[EventId]) -> Iterator[list[EventId]]:
    batch: list[EventId] = []
    for event_id in event_ids:
        batch.append(event_id)
        if len(batch) == 100:
            yield batch
            batch = []
    if batch:
        yield batch


def _polled_instead(state: CalendarState, services: Services) -> bool:
    """S3: a calendar whose tokens always expire is not listed in full at each notification."""
    if (
        state.expirations < EXPIRATIONS_TOLERATED
        or state.last_sync is None
        or state.checkpoint is not None
    ):
        return False
    return services.clock() - state.last_sync.at < services.settings.reconcile


def _broken(services: Services, held: Held, error: SyncError) -> Report:
    """W3: nothing helps but a person; the reason is kept, and the calendar looked at again
    later."""
    reason = str(hidden(error) if isinstance(error, Gone) else error)
    try_again_at = services.clock() + BROKEN_PAUSE
    held.write(
        lambda state: replace(
            state,
            status=CalendarStatus.BROKEN,
            reason=reason,
            try_again_at=try_again_at,
            lease=None,
        )
    )
    calendar_id = held.state.calendar_id
    _logger.error("calendar is broken", extra={"calendar": short(calendar_id), "reason": reason})
    return Report(calendar_id=calendar_id, kind="none", counts=Counts(), reason=reason)


def _forgetful(services: Services, held: Held, error: SyncError) -> Report:
    """S3: even a listing without a token is answered 410: tried again at first, then polled."""
    expirations = held.state.expirations + 1
    now = services.clock()
    polled = expirations >= EXPIRATIONS_TOLERATED

    def counted(state: CalendarState) -> CalendarState:
        counted = replace(
            state, expirations=expirations, sync_token=None, checkpoint=None, lease=None
        )
        if not polled:
            return counted
        return replace(
            counted, status=CalendarStatus.POLLED, reason=FORGETFUL, try_again_at=now + BROKEN_PAUSE
        )

    held.write(counted)
    if not polled:
        raise TryLater(f"{error}; Calendar refuses a full listing as well") from error
    calendar_id = held.state.calendar_id
    _logger.error(
        "calendar is polled: its tokens expire at once", extra={"calendar": short(calendar_id)}
    )
    return Report(calendar_id=calendar_id, kind="none", counts=Counts(), reason=FORGETFUL)


def _note(held: Held, reason: str) -> None:
    """Give the lease back, and say in the calendar's status what holds it up."""
    held.write(lambda state: replace(state, reason=reason, lease=None))
    _logger.error("a provider refuses our credentials", extra={"reason": reason})


def _facts(report: Report) -> dict[str, object]:
    counts = report.counts
    return {
        "calendar": short(report.calendar_id),
        "kind": report.kind,
        "finished": report.finished,
        "changes": counts.changes,
        "conferences_created": counts.created,
        "conferences_updated": counts.updated,
        "conferences_deleted": counts.deleted,
        "events_failed": counts.failed,
        # Of a full sync it would tell the age of the events, not how late we are.
        **(
            {"lag_seconds": counts.lag_seconds}
            if counts.lag_seconds and report.kind != SyncKind.FULL
            else {}
        ),
    }
