"""A calendar that cannot be synced: one growing retry, a reason, broken at last (S7, W3).

However often the calendar rings, one retry waits in the queue. A refusal by Calendar (no access,
no such calendar) breaks the calendar only when it is met again after a while: a blip breaks
nothing.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from sync.context import Services
from sync.errors import (
    CredentialsRefused,
    Gone,
    NotAllowed,
    QuotaExceeded,
    RoleTooLow,
    SyncError,
)
from sync.event.carry_out import hidden
from sync.event.failures import LONGEST_WAIT
from sync.logs import short
from sync.model.calendar import CalendarState, CalendarStatus, Failing
from sync.model.event import CalendarId, clean, digest
from sync.store.compare_and_set import change_calendar

_logger = logging.getLogger(__name__)

# A broken calendar is looked at again after so long; sooner if it rings or an operator asks (W3).
BROKEN_PAUSE = timedelta(hours=1)
# The longest delay of a calendar's one retry (S7), unless a quota is used up, for a day at most.
LONGEST_RETRY = timedelta(minutes=5)
_LONGEST_REASON = 1_000


def failed(services: Services, calendar_id: CalendarId, error: SyncError) -> str:
    """Note that a run failed, see that the calendar's one retry waits, and return the reason.

    Raises TryLater when neither can be done: then the queue has to bring the task again. Safe to
    repeat: the retry's name keeps it from being enqueued twice.
    """
    now, reason = services.clock(), _reason(error)
    document = services.store.get_calendar(calendar_id)
    if document is None:
        return reason
    denied = isinstance(error, NotAllowed | Gone) and not isinstance(error, CredentialsRefused)
    retry = services.settings.retry
    noted = after_failure(document.value.failing, reason, now, denied=denied)
    broken = denied and (isinstance(error, RoleTooLow) or denied_again(noted, now, retry))
    if not broken and not waits(noted, now):
        asked = error.after if isinstance(error, QuotaExceeded) else None
        noted = with_retry(noted, now, retry, asked=asked)
        # The task first: a state that names a retry has one.
        name = digest(calendar_id, "retry", noted.since.isoformat(), str(noted.retries))
        services.queue.enqueue_calendar(calendar_id, name=name, at=noted.retry_at)

    def change(state: CalendarState) -> CalendarState:
        failing = replace(noted, runs=(state.failing.runs if state.failing else 0) + 1)
        if not broken:
            return replace(state, failing=failing, reason=reason)
        return replace(
            state,
            failing=replace(failing, retry_at=None),
            status=CalendarStatus.BROKEN,
            reason=reason,
            try_again_at=now + BROKEN_PAUSE,
            broken_since=state.broken_since or now,
        )

    change_calendar(services.store, calendar_id, change)
    facts = {"calendar": short(calendar_id), "reason": reason, "runs": noted.runs}
    if broken:
        _logger.error("calendar is broken", extra=facts)
    elif isinstance(error, CredentialsRefused):
        _logger.error(
            "a provider refuses our credentials", extra={**facts, "provider": error.provider}
        )
    else:
        _logger.warning("run failed", extra={**facts, "error": type(error).__name__})
    return reason


def after_failure(failing: Failing | None, reason: str, now: datetime, *, denied: bool) -> Failing:
    """Return what is noted of a calendar after one more run that failed. Pure."""
    known = failing or Failing(runs=0, since=now, reason=reason)
    return replace(
        known,
        runs=known.runs + 1,
        reason=reason,
        denied_since=(known.denied_since or now) if denied else None,
    )


def with_retry(
    failing: Failing, now: datetime, first: timedelta, *, asked: timedelta | None = None
) -> Failing:
    """Return the same with another retry, each twice as late as the one before. Pure.

    With a first delay of 30 s: after 30, 60, 120, 240, 300, 300 s … `asked` is how long a quota is
    used up (W3): no retry comes sooner. A ring or an operator passes it.
    """
    delay = min(max(first, timedelta(seconds=1)) * 2 ** min(failing.retries, 20), LONGEST_RETRY)
    delay = max(delay, min(asked or timedelta(), LONGEST_WAIT))
    return replace(failing, retries=failing.retries + 1, retry_at=now + delay)


def waits(failing: Failing, now: datetime) -> bool:
    """Tell whether the calendar's one retry is still to come. Pure."""
    return failing.retry_at is not None and failing.retry_at > now


def denied_again(failing: Failing, now: datetime, retry: timedelta) -> bool:
    """Tell whether a refusal was met again, `retry` after the first, with no success between."""
    return (
        failing.denied_since is not None
        and failing.runs > 1
        and now - failing.denied_since >= retry
    )


def _reason(error: SyncError) -> str:
    said = str(hidden(error) if isinstance(error, Gone) else error)
    return clean(said or type(error).__name__)[:_LONGEST_REASON]
