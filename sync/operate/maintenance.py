"""What the clock asks for: channels renewed, calendars caught up, failures and deletions that
were left behind."""

from __future__ import annotations

import logging
import random
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from sync.context import Services
from sync.errors import Conflict, Gone, NotAllowed, NotFound, SyncError
from sync.event.failures import PARKED_PAUSE
from sync.event.sharing import forget, hand_on
from sync.logs import short
from sync.model.calendar import EXPIRATIONS_TOLERATED, CalendarState, CalendarStatus
from sync.model.conference import DROPPED_AFTER, Failure, FailureState, Link
from sync.model.event import digest
from sync.operate import channels
from sync.run.failing import failed
from sync.store import DropLink, Listing, Versioned, all_pages
from sync.store.compare_and_set import change_calendar

_logger = logging.getLogger(__name__)

# A task that is so late is lost: its queue was purged, or Cloud Tasks gave it up.
_LOST = timedelta(minutes=10)
# A thousand calendars start within this time, not at once.
_SPREAD = timedelta(minutes=5)
# A start that is under way ends within this time, or was killed.
_START = timedelta(minutes=2)
# Calendars have so much of a call's time. Very many would take all of it at each call, and what a
# lost task left behind would never be found.
_FOR_CALENDARS = 0.75
# A calendar that has been broken for so long hands its leads on (E7).
_BROKEN_FOR_GOOD = timedelta(days=1)


@dataclass(slots=True)
class Maintained:
    """What one call did.

    Calendars looked at. Channels opened or renewed, failed to, and old ones stopped. Syncs and
    events enqueued. Calendars that are polled or broken, not synced for twice the time they should
    be (`stale`), or whose channel will not live until the next call (`expiring`). Failures parked,
    and series that a provider cannot hold whole. Not `finished`: time ran out. The next call begins
    elsewhere.
    """

    calendars: int = 0
    renewed: int = 0
    not_renewed: int = 0
    retired: int = 0
    enqueued: int = 0
    failures_retried: int = 0
    deletions_resumed: int = 0
    creations_resumed: int = 0
    series_extended: int = 0
    leaders_looked_at: int = 0
    handed_on: int = 0
    dropped: int = 0
    polled: int = 0
    broken: int = 0
    stale: int = 0
    expiring: int = 0
    parked: int = 0
    approximate: int = 0
    left: int = 0
    finished: bool = True


def maintain(services: Services) -> Maintained:
    """Do what is due, and report it. Safe to call at any time, twice at once, or late. Raises
    TryLater of the store."""
    report = Maintained()
    began, limit = services.clock(), services.settings.run_limit
    for state in _calendars(services):
        if services.clock() >= began + limit * _FOR_CALENDARS:
            report.finished = False
            break
        report.calendars += 1
        report.polled += state.status is CalendarStatus.POLLED
        report.broken += state.status is CalendarStatus.BROKEN
        _maintain_calendar(services, state, report)
    _resume(services, report, began + limit)
    report.parked = services.store.count_failures(FailureState.PARKED)
    report.approximate = services.store.count_failures(FailureState.APPROXIMATE)
    report.left = services.store.count_failures(FailureState.LEFT)
    _logger.info("maintained", extra=asdict(report))
    return report


def _calendars(services: Services) -> Iterator[CalendarState]:
    """Yield every calendar once, beginning anywhere: where time runs out, it does so for others
    each time."""

    def page(token: str | None) -> Listing[CalendarState]:
        return services.store.list_calendars(page_token=token)

    begin = uuid.uuid4().hex  # the documents' ids are hashes, and so is this
    yield from all_pages(page, begin)
    for state in all_pages(page):
        if digest(state.calendar_id) > begin:
            return
        yield state


def _maintain_calendar(services: Services, state: CalendarState, report: Maintained) -> None:
    now = services.clock()
    began = False  # A4: a start that failed when it was asked for succeeds now
    if state.retiring:
        before = len(state.retiring)
        state = channels.retire(services, state)
        report.retired += before - len(state.retiring)
    if channels.due(state, now) and _may_try(state, now) and not _being_opened(state, now):
        try:
            state = channels.open_channel(services, state.calendar_id, state.access)
            report.renewed += 1
            began = state.last_sync is None
        except (NotFound, Conflict):
            return  # stopped, or started anew, at this very moment
        except SyncError as error:
            report.not_renewed += 1
            _not_renewed(services, state, error)
    soon = now + channels.SCHEDULE_PERIOD - channels.RENEW_BEFORE
    report.expiring += channels.due(state, soon)
    late = state.last_sync is not None and (
        now - state.last_sync.at > 2 * services.settings.reconcile
    )
    report.stale += late and state.status is not CalendarStatus.BROKEN
    if began or _needs_sync(services, state, now):
        report.enqueued += _enqueue(services, state, now)
    if _leads_in_vain(state, now):
        report.handed_on += _hand_on(services, state)


def _may_try(state: CalendarState, now: datetime) -> bool:
    """A broken calendar is left alone for a while (W3)."""
    if state.status is not CalendarStatus.BROKEN:
        return True
    return state.try_again_at is None or state.try_again_at <= now


def _being_opened(state: CalendarState, now: datetime) -> bool:
    """A start is under way: it opens a channel itself (H4)."""
    if state.opening is None or state.status is not CalendarStatus.STARTING:
        return False
    return state.started_at is not None and now - state.started_at < _START


def _not_renewed(services: Services, state: CalendarState, error: SyncError) -> None:
    facts = {
        "calendar": short(state.calendar_id),
        "error": type(error).__name__,
        "reason": str(error),
    }
    if not isinstance(error, NotAllowed | Gone):
        _logger.warning("channel not renewed, tried again at the next call", extra=facts)
        return
    # W3: broken only when the refusal is met again, as with any run.
    _logger.error("channel not renewed: Calendar refuses it", extra=facts)
    failed(services, state.calendar_id, error)


def _needs_sync(services: Services, state: CalendarState, now: datetime) -> bool:
    if state.status is CalendarStatus.BROKEN:
        return _may_try(state, now)
    retry_at = state.failing.retry_at if state.failing else None
    if retry_at is not None and now - retry_at > _LOST:
        return True  # S7: the task of the calendar's one retry was lost
    if not state.watchable and state.expirations < EXPIRATIONS_TOLERATED:
        return True  # nothing rings for it: this call is its poll
    if state.last_sync is None:
        return state.started_at is None or now - state.started_at > _LOST
    return now - state.last_sync.at >= services.settings.reconcile


def _enqueue(services: Services, state: CalendarState, now: datetime) -> bool:
    """One task for a calendar and a stretch of time, however often we are called.

    Spread, so that a thousand calendars do not start at once.
    """
    reconcile = services.settings.reconcile
    stretch = int(now.timestamp() // min(reconcile, channels.SCHEDULE_PERIOD).total_seconds())
    wait = random.random() * min(_SPREAD, reconcile / 10)
    name = f"{digest(state.calendar_id)}-maintain-{stretch}"
    return services.queue.enqueue_calendar(state.calendar_id, name=name, at=now + wait)


def _leads_in_vain(state: CalendarState, now: datetime) -> bool:
    """E7: broken for a day, and its leads were not handed on yet."""
    if state.status is not CalendarStatus.BROKEN or state.handed_on:
        return False
    return state.broken_since is not None and now - state.broken_since >= _BROKEN_FOR_GOOD


def _hand_on(services: Services, state: CalendarState) -> int:
    """Let events of healthy calendars lead instead of those of a broken one."""
    handed = 0
    for link in services.store.links_of_calendar(state.calendar_id):
        if link.value.leading:
            with suppress(Conflict):
                handed += hand_on(services.store, services.queue, link, services.clock())
    change_calendar(services.store, state.calendar_id, lambda known: replace(known, handed_on=True))
    return handed


def _resume(services: Services, report: Maintained, stop_at: datetime) -> None:
    """Try what is parked again. Finish what a lost task left behind. Drop what is long over."""
    now = services.clock()
    for failure in all_pages(lambda token: services.store.failures_due(now, page_token=token)):
        if services.clock() >= stop_at:
            report.finished = False
            return
        report.failures_retried += _retry(services, failure, now)
    for link in all_pages(lambda token: services.store.links_due(now, page_token=token)):
        if services.clock() >= stop_at:
            report.finished = False
            return
        _look_at(services, link, report, now)


def _retry(services: Services, failure: Versioned[Failure], now: datetime) -> bool:
    """Enqueue the next try of a failure whose time has come. False: its task is on its way."""
    known = failure.value
    if known.next_try is None:
        return False
    if known.state is FailureState.RETRYING and now - known.next_try < _LOST:
        return False
    services.queue.enqueue_event(known.event.calendar_id, known.event.event_id)
    # What is retrying names the time of its task, which is now.
    pause = timedelta() if known.state is FailureState.RETRYING else PARKED_PAUSE
    with suppress(Conflict):
        # An operator or a run that wrote meanwhile knows better.
        services.store.put_failure(replace(known, next_try=now + pause), failure.version)
    return True


def _look_at(services: Services, link: Link, report: Maintained, now: datetime) -> None:
    """See that an event is looked at, for what its link says is due, or drop the link."""
    if _is_long_over(link, now):
        report.dropped += _drop(services, link, now)
        return
    if _waits_for_its_failure(services, link, now):
        return
    for reason, why in _due_for(link, now):
        name = digest(link.event.key, why, now.strftime("%Y-%m-%dT%H"))
        done = services.queue.enqueue_event(link.event.calendar_id, link.event.event_id, name=name)
        setattr(report, reason, getattr(report, reason) + int(done))


def _due_for(link: Link, now: datetime) -> Iterator[tuple[str, str]]:
    """Yield what is due: the report's field, and a word for the task's name.

    Deletions and creations have tasks of their own, which are lost once they are so late.
    """
    if any(past.due + _LOST <= now for past in link.letting_go):
        yield "deletions_resumed", "deletion"
    if any(made.open and made.due + _LOST <= now for made in link.creations):
        yield "creations_resumed", "creation"
    carried = link.carried
    if carried is None or not carried.leading:
        return
    approximation = carried.told.approximation if carried.told else None
    if approximation and approximation.again_at and approximation.again_at <= now:
        yield "series_extended", "extension"
    if carried.over_at and carried.over_at <= now and not carried.over_seen:
        yield "leaders_looked_at", "over"


def _waits_for_its_failure(services: Services, link: Link, now: datetime) -> bool:
    """A parked failure keeps its date, and is not tried each hour."""
    failure = services.store.get_failure(link.event.key)
    if failure is None or failure.value.next_try is None:
        return False
    return failure.value.next_try > now


def _is_long_over(link: Link, now: datetime) -> bool:
    """Nothing is left to do, and the event has been over for thirty days."""
    if link.letting_go or any(made.open for made in link.creations):
        return False
    carried = link.carried
    if carried is None:
        return link.due_at is None or link.due_at <= now
    return carried.over_at is not None and carried.over_at + DROPPED_AFTER <= now


def _drop(services: Services, link: Link, now: datetime) -> bool:
    """Forget an event that is long over: a later change of it is a first sight."""
    found = services.store.get_known(link.event.calendar_id, [link.event.event_id])
    current = found.links.get(link.event.event_id)
    if current is None or not _is_long_over(current.value, now):
        return False
    with suppress(Conflict):
        left = forget(services.store, services.queue, current, now)
        if left is not None:
            services.store.commit([DropLink(link.event, left.version)])
        return True
    return False
