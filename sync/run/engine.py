"""One run for one calendar, in order: list, take the lease, plan, apply, save the token, release.

The first page is listed before the lease is taken. A listing that concerns nobody needs no lease:
its token is saved by compare-and-set, and that is all.

Invariants:
- one run at a time per calendar, by a lease in the calendar's document (S1).
- the sync token is written after every change of every page was applied, handed to a retry task or
  parked, and only if this very lease is still held (S2).
- a run that stops anywhere is run again from the last token or checkpoint, and changes nothing
  twice (S5).
- a calendar that cannot be synced leaves one retry, however often it rings (S7).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime

from sync.backoff import demanded
from sync.context import Page, Services
from sync.errors import (
    Conflict,
    Gone,
    Invalid,
    LeaseHeld,
    LeaseLost,
    NotAllowed,
    SyncTokenExpired,
    TryLater,
)
from sync.event.carry_out import apply_entry, ids_to_know, read_entry
from sync.logs import short
from sync.model.calendar import (
    EXPIRATIONS_TOLERATED,
    CalendarState,
    CalendarStatus,
    Channel,
    Checkpoint,
    Counts,
    LastSync,
    SyncKind,
)
from sync.model.event import CalendarId, EventId, SyncToken, digest
from sync.operate import channels, stopping
from sync.run import listing, page
from sync.run.failing import BROKEN_PAUSE, failed
from sync.run.lease import Held, held, unheld
from sync.store import Known, Versioned
from sync.tracing import span, tell

_logger = logging.getLogger(__name__)

FORGETFUL = "Calendar forgets this calendar's sync tokens; it is synced in full at intervals"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run did. `reason` says why it did less than asked for."""

    calendar_id: CalendarId
    kind: str
    counts: Counts
    reason: str | None = None
    finished: bool = True


@span("run")
def sync_calendar(
    services: Services, calendar_id: CalendarId, rang: Channel | None = None
) -> Report:
    """Bring everything into step with one calendar, and return what was done.

    `rang` is the channel whose notification asks for it. Safe to repeat and to stop anywhere.
    Raises LeaseHeld when another run has the calendar (S1), NotFound for one that is not watched,
    LeaseLost, and TryLater when not even a retry can be enqueued. What fails otherwise is reported:
    the calendar's one retry has it (S7).
    """
    tell(calendar=short(calendar_id))
    document = unheld(services.store, calendar_id, services.clock())
    state = document.value
    if rang:
        channels.stop_if_orphan(services, state, rang)
    if rang and _polled_instead(services, state):
        return Report(calendar_id=calendar_id, kind="none", counts=Counts(), reason=state.reason)
    try:
        report = _run(services, document)
    except LeaseLost:
        # H4: the calendar may have been stopped, and this run written links since.
        stopping.forget_if_stopped(services, calendar_id)
        raise
    except (TryLater, NotAllowed, Gone) as error:
        reason = failed(services, calendar_id, error)
        return Report(calendar_id=calendar_id, kind="none", counts=Counts(), reason=reason)
    facts = _facts(report)
    tell(**facts)
    _logger.info("calendar synced", extra=facts)
    return report


@span("run")
def sync_event(services: Services, calendar_id: CalendarId, event_id: EventId) -> Report:
    """Look at one event: a retry, a deferred deletion, a lead that was passed on.

    As `sync_calendar`, but TryLater is raised, and the queue brings the task again. Where
    repeating cannot help (no access, credentials refused), `maintain` brings the event again.
    """
    tell(calendar=short(calendar_id), event=short(event_id))
    document = unheld(services.store, calendar_id, services.clock())
    try:
        with held(services.store, document, services.clock) as holder:
            state = holder.state
            run = services.run(
                calendar_id,
                services.calendars.bind(calendar_id, state.access, state.time_zone),
                still_ours=holder.still_ours,
                stop_at=services.clock() + services.settings.run_limit,
            )
            entry = read_entry(run, event_id)
            known = services.store.get_known(calendar_id, ids_to_know([entry]))
            failure = known.failures.get(event_id)
            with demanded(failure is not None and failure.value.demanded):
                counts = apply_entry(run, entry, known, listed=False) + Counts(changes=1)
    except LeaseLost:
        stopping.forget_if_stopped(services, calendar_id)
        raise
    except (NotAllowed, Gone) as error:
        reason = failed(services, calendar_id, error)
        return Report(calendar_id=calendar_id, kind="event", counts=Counts(), reason=reason)
    report = Report(calendar_id=calendar_id, kind="event", counts=counts)
    facts = _facts(report)
    tell(**facts)
    _logger.info("event synced", extra={**facts, "event": short(event_id)})
    return report


def _run(services: Services, document: Versioned[CalendarState]) -> Report:
    """List, and if that concerns anybody, take the lease and apply."""
    expired: SyncTokenExpired | None = None
    first: tuple[Page, Known] | None = None
    state = document.value
    if state.checkpoint is None and listing.resumes(services, state):
        try:
            first = _first_page(services, state)
        except SyncTokenExpired as error:
            expired = error
        if first is not None and _concerns_nobody(services, *first):
            return _saved(services, document, first[0])
    with held(services.store, document, services.clock) as holder:
        pages = listing.Listing(services, holder, first)
        if expired is not None:
            return _in_full(services, holder, pages)
        try:
            done = pages.apply()
        except SyncTokenExpired:
            if pages.kind is SyncKind.FULL:
                return _forgetful(services, holder)
            return _in_full(services, holder, pages)
        return _ended(services, holder, pages, done=done)


def _first_page(services: Services, state: CalendarState) -> tuple[Page, Known]:
    """Read the first page since the token, and what is remembered of its events.

    Taking the lease fails if another run has written the calendar since, so neither can be out of
    date then.
    """
    try:
        listed = listing.read_page(services, state, Checkpoint(counts=Counts()))
    except Invalid as error:
        raise SyncTokenExpired(str(error)) from error
    if not len(listed.items):
        return listed, Known({}, {})
    return listed, services.store.get_known(state.calendar_id, page.ids_of(listed.items))


def _concerns_nobody(services: Services, listed: Page, known: Known) -> bool:
    """Nothing on the page is, or was, of any interest, and there is no other page."""
    if listed.next_sync_token is None:
        return False
    return not page.concerning(listed.items, known, services.rules)


def _saved(services: Services, document: Versioned[CalendarState], listed: Page) -> Report:
    """Save the token of a listing that concerned nobody, if nobody wrote the calendar meanwhile."""
    state, now = document.value, services.clock()
    counts = Counts(changes=len(listed.items))
    place = Checkpoint(next_sync_token=listed.next_sync_token, counts=counts)
    state = replace(state, time_zone=listed.time_zone or state.time_zone)
    try:
        services.store.update_calendar(_finished(services, state, place, now), document.version)
    except Conflict:
        raise LeaseHeld from None
    return Report(calendar_id=state.calendar_id, kind=SyncKind.INCREMENTAL, counts=counts)


def _in_full(services: Services, holder: Held, pages: listing.Listing) -> Report:
    """S3: the sync token is dead, so everything is listed in this very run."""
    holder.write(lambda state: replace(state, expirations=state.expirations + 1, checkpoint=None))
    pages.start_over()
    try:
        done = pages.apply()
    except SyncTokenExpired:
        return _forgetful(services, holder)
    return _ended(services, holder, pages, done=done)


def _ended(services: Services, holder: Held, pages: listing.Listing, *, done: bool) -> Report:
    """S1, S2: the new token, what was done, and the lease given back, in one write.

    S4: of a run that is out of time, its place instead, and the queue brings the rest.
    """
    place, calendar_id = pages.place, holder.state.calendar_id
    if not done:
        holder.write(lambda state: replace(pages.noted(state), lease=None))
        # A crash before this leaves the present task unanswered: it comes again and finds the
        # checkpoint.
        services.queue.enqueue_calendar(calendar_id)
        return Report(calendar_id=calendar_id, kind=pages.kind, counts=place.counts, finished=False)
    now = services.clock()

    def finished(state: CalendarState) -> CalendarState:
        ended = _finished(services, replace(state, time_zone=pages.time_zone), place, now)
        # H4: a full sync that was asked for while this run went on is still to come.
        return ended if pages.is_wanted(state) else replace(ended, sync_token=None)

    holder.write(finished)
    if pages.kind is SyncKind.FULL and holder.state.expirations >= EXPIRATIONS_TOLERATED:
        _check_soon(services, calendar_id, now)
    return Report(calendar_id=calendar_id, kind=pages.kind, counts=place.counts)


def _check_soon(services: Services, calendar_id: CalendarId, now: datetime) -> None:
    """S3: see soon whether Calendar keeps the new token. Once in each reconcile period."""
    period = int(now.timestamp() // services.settings.reconcile.total_seconds())
    name = digest(calendar_id, "check", str(period))
    services.queue.enqueue_calendar(calendar_id, name=name, at=now + services.settings.retry)


def _finished(
    services: Services, state: CalendarState, place: Checkpoint, now: datetime
) -> CalendarState:
    """Return a calendar's state after a run that came to its end. Pure."""
    full = place.full_sync_id is not None
    expirations = state.expirations if full else 0
    reason = channels.NOT_WATCHABLE if not state.watchable else None
    if expirations >= EXPIRATIONS_TOLERATED:
        reason = FORGETFUL
    return replace(
        state,
        sync_token=place.next_sync_token,
        token_version=services.calendars.listing_version,
        expirations=expirations,
        checkpoint=None,
        lease=None,
        status=CalendarStatus.POLLED if reason else CalendarStatus.OK,
        reason=reason,
        failing=None,
        try_again_at=None,
        broken_since=None,
        handed_on=False,
        last_sync=LastSync(
            at=now, kind=SyncKind.FULL if full else SyncKind.INCREMENTAL, counts=place.counts
        ),
    )


def _polled_instead(services: Services, state: CalendarState) -> bool:
    """S3: a calendar whose tokens always expire is not listed in full at each notification."""
    if state.expirations < EXPIRATIONS_TOLERATED or state.last_sync is None:
        return False
    if state.checkpoint is not None:
        return False
    return services.clock() - state.last_sync.at < services.settings.reconcile


def _forgetful(services: Services, holder: Held) -> Report:
    """S3: even a listing without a token is answered 410: tried again at first, then polled."""
    expirations = holder.state.expirations + 1
    now, calendar_id = services.clock(), holder.state.calendar_id
    polled = expirations >= EXPIRATIONS_TOLERATED
    no_token: SyncToken | None = None

    def counted(state: CalendarState) -> CalendarState:
        state = replace(
            state, expirations=expirations, sync_token=no_token, checkpoint=None, lease=None
        )
        if not polled:
            return state
        return replace(
            state,
            status=CalendarStatus.POLLED,
            reason=FORGETFUL,
            try_again_at=now + BROKEN_PAUSE,
        )

    holder.write(counted)
    if not polled:
        raise TryLater("Calendar refuses a full listing as well (410)")
    _logger.error(
        "calendar is polled: its tokens expire at once", extra={"calendar": short(calendar_id)}
    )
    return Report(calendar_id=calendar_id, kind="none", counts=Counts(), reason=FORGETFUL)


def _facts(report: Report) -> dict[str, str | float | bool]:
    counts = report.counts
    facts: dict[str, str | float | bool] = {
        "calendar": short(report.calendar_id),
        "kind": report.kind,
        "finished": report.finished,
        "changes": counts.changes,
        "conferences_created": counts.created,
        "conferences_updated": counts.updated,
        "conferences_deleted": counts.deleted,
        "events_failed": counts.failed,
    }
    if counts.lag_seconds and report.kind != SyncKind.FULL:
        # Omitted for full syncs: there it would measure how old the events are, not our delay.
        facts["lag_seconds"] = counts.lag_seconds
    return facts
