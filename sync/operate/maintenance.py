"""What the clock asks for: channels renewed, calendars caught up, failures and deletions that
were left behind."""

from __future__ import annotations

import logging
import random
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from sync.errors import Gone, NotAllowed, NotFound, SyncError
from sync.event.failures import PARKED_PAUSE
from sync.logs import short
from sync.model.calendar import CalendarState, CalendarStatus
from sync.model.conference import EventRef, FailureState
from sync.model.event import digest
from sync.operate import channels
from sync.run.engine import EXPIRATIONS_TOLERATED
from sync.services import Services

_logger = logging.getLogger(__name__)

# A task that is so late is lost: its queue was purged, or Cloud Tasks gave it up.
_LOST = timedelta(minutes=10)
# A thousand calendars start within this time, not at once.
_SPREAD = timedelta(minutes=5)


@dataclass(slots=True)
class Maintained:
    """What one call did.

    Calendars looked at; channels opened or renewed, failed to, and old ones stopped; syncs and
    events enqueued; calendars that are polled or broken, not synced for twice the time they should
    be (`stale`), or whose channel will not live until the next call (`expiring`); failures parked,
    and series that a provider cannot hold whole. Not `finished`: time ran out; the next call begins
    elsewhere.
    """

    calendars: int = 0
    renewed: int = 0
    not_renewed: int = 0
    retired: int = 0
    enqueued: int = 0
    failures_retried: int = 0
    deletions_resumed: int = 0
    series_extended: int = 0
    polled: int = 0
    broken: int = 0
    stale: int = 0
    expiring: int = 0
    parked: int = 0
    approximate: int = 0
    finished: bool = True


def maintain(services: Services) -> Maintained:
    """Do what is due, and report it. Safe to call at any time, twice at once, or late. Raises
    TryLater of the store."""
    report = Maintained()
    stop_at = services.clock() + services.settings.run_limit
    for state in _calendars(services):
        if services.clock() >= stop_at:
            report.finished = False
            break
        report.calendars += 1
        report.polled += state.status is CalendarStatus.POLLED
        report.broken += state.status is CalendarStatus.BROKEN
        try:
            _maintain_calendar(services, state, report)
        except NotFound:
            continue  # stopped at this very moment
    if report.finished:
        _resume(services, report)
    report.parked = services.store.count_failures(FailureState.PARKED)
    report.approximate = services.store.count_failures(FailureState.APPROXIMATE)
    _logger.info("maintained", extra=asdict(report))
    return report


def _calendars(services: Services) -> Iterator[CalendarState]:
    """Yield every calendar once, beginning anywhere: where time runs out, it does so for others
    each time."""
    begin = uuid.uuid4().hex  # the documents' ids are hashes, and so is this
    yield from _calendars_after(services, begin)
    for state in _calendars_after(services, None):
        if digest(state.calendar_id) > begin:
            return
        yield state


def _calendars_after(services: Services, page_token: str | None) -> Iterator[CalendarState]:
    while True:
        listing = services.store.list_calendars(page_token=page_token)
        yield from listing.items
        page_token = listing.next_page_token
        if page_token is None:
            return


def _maintain_calendar(services: Services, state: CalendarState, report: Maintained) -> None:
    now = services.clock()
    if state.retiring is not None:
        state = channels.retire(services, state)
        report.retired += state.retiring is None
    if channels.due(state, now) and _may_try(state, now):
        try:
            state = channels.open_channel(services, state.calendar_id)
            report.renewed += 1
        except NotFound:
            raise
        except SyncError as error:
            report.not_renewed += 1
            _not_renewed(services, state, error)
    report.expiring += channels.due(state, now + channels.SCHEDULE_PERIOD - channels.RENEW_BEFORE)
    late = (
        state.last_sync is not None and now - state.last_sync.at > 2 * services.settings.reconcile
    )
    report.stale += late and state.status is not CalendarStatus.BROKEN
    if _needs_sync(services, state, now):
        report.enqueued += _enqueue(services, state, now)


def _may_try(state: CalendarState, now: datetime) -> bool:
    """A broken calendar is left alone for a while (W3)."""
    return (
        state.status is not CalendarStatus.BROKEN
        or state.try_again_at is None
        or state.try_again_at <= now
    )


def _not_renewed(services: Services, state: CalendarState, error: SyncError) -> None:
    facts = {
        "calendar": short(state.calendar_id),
        "error": type(error).__name__,
        "reason": str(error),
    }
    if not isinstance(error, NotAllowed | Gone):
        _logger.warning("channel not renewed, tried again at the next call", extra=facts)
        return
    _logger.error("channel not renewed: calendar is broken", extra=facts)
    reason = str(error)
    channels.change(
        services,
        state.calendar_id,
        lambda known: replace(known, status=CalendarStatus.BROKEN, reason=reason, opening=None),
    )


def _needs_sync(services: Services, state: CalendarState, now: datetime) -> bool:
    if state.status is CalendarStatus.BROKEN:
        return _may_try(state, now)
    if not state.watchable and state.expirations < EXPIRATIONS_TOLERATED:
        return True  # nothing rings for it: this call is its poll
    if state.last_sync is None:
        return state.started_at is None or now - state.started_at > _LOST
    return now - state.last_sync.at >= services.settings.reconcile


def _enqueue(services: Services, state: CalendarState, now: datetime) -> bool:
    """One task for a calendar and a stretch of time, however often we are called; spread, so
    that few start at once."""
    reconcile = services.settings.reconcile
    stretch = int(now.timestamp() // min(reconcile, channels.SCHEDULE_PERIOD).total_seconds())
    wait = random.random() * min(_SPREAD, reconcile / 10)
    name = f"{digest(state.calendar_id)}-maintain-{stretch}"
    return services.queue.enqueue_calendar(state.calendar_id, name=name, at=now + wait)


def _resume(services: Services, report: Maintained) -> None:
    """Try what is parked again, and what should have been tried long ago; finish deletions whose
    task was lost."""
    now = services.clock()
    for failure in services.store.failures_due(now):
        if (
            failure.state is FailureState.RETRYING
            and failure.next_try
            and now - failure.next_try < _LOST
        ):
            continue  # its task is on its way
        services.queue.enqueue_event(failure.event.calendar_id, failure.event.event_id)
        services.store.put_failure(replace(failure, next_try=now + PARKED_PAUSE))
        report.failures_retried += 1
    for link in services.store.links_letting_go(now - services.rules.delete_grace - _LOST):
        report.deletions_resumed += _enqueue_event(services, link.event, "deletion", now)
    for link in services.store.links_to_extend(now):
        report.series_extended += _enqueue_event(services, link.event, "extension", now)


def _enqueue_event(services: Services, event: EventRef, why: str, now: datetime) -> bool:
    """Look at an event; the hour is in the task's name, so that this is done once, not for each
    of our calls."""
    name = digest(event.key, why, now.strftime("%Y-%m-%dT%H"))
    return services.queue.enqueue_event(event.calendar_id, event.event_id, name=name)
