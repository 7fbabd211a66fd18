"""Events that could not be applied, or not wholly: retried, parked (a dead letter), left (C5, O3).

A failure has a task of its own in the queue, with growing delay. After `SYNC_MAX_ATTEMPTS`, or at
once where trying again cannot help, it is parked: listed with its reason until somebody acts or the
event changes. A conference that is not proven to be the event's is left alone: listed as well, but
no failure.
"""

from __future__ import annotations

import logging
import random
from dataclasses import replace
from datetime import datetime, timedelta

from sync.backoff import delay
from sync.context import Run
from sync.errors import Conflict, LeftAlone, SyncError, TryLater
from sync.event.case import Case
from sync.event.content import untitled
from sync.logs import short
from sync.model.conference import Failure, FailureState
from sync.model.event import clean
from sync.store import Versioned

_logger = logging.getLogger(__name__)

# A parked failure gets its next try so much later, and what is left alone its next look.
PARKED_PAUSE = timedelta(days=1)
# Others may ask us to wait for at most so long (S6).
LONGEST_WAIT = timedelta(days=1)
_LONGEST_REASON = 1_000
# A task may come so much before its time by our clock.
_EARLY = timedelta(seconds=5)


def waits(failure: Failure | None, version: str, now: datetime) -> bool:
    """Tell whether an event that is listed has its failure's next try still to come.

    True for the same version of the event while the failure is parked, left or dismissed, or has a
    task of its own that is still to come. Another version of the event is tried afresh.
    """
    if failure is None or failure.version != version:
        return False
    match failure.state:
        case FailureState.RETRYING:
            return failure.next_try is not None and failure.next_try > now
        case FailureState.APPROXIMATE:
            return False
        case FailureState.PARKED | FailureState.LEFT | FailureState.DISMISSED:
            return True


def applied(run: Run, case: Case) -> None:
    """Forget an event's failure, or list that the provider cannot hold the whole of its series."""
    approximate = _approximate(run, case)
    known = case.failure
    if approximate is not None:
        if known is None or approximate != known.value:
            _put(run, case, approximate)
        return
    if known is not None:
        try:
            run.store.delete_failure(known.value.id, known.version)
        except Conflict:
            return  # somebody asked for another try meanwhile: that one will end it


def leave(run: Run, case: Case, left: LeftAlone) -> None:
    """O3: note a conference that is not proven to be the event's, to be looked at once a day."""
    now = run.clock()
    known = case.failure.value if case.failure else None
    # A retry on demand says "retrying" meanwhile; only what is left has a rule.
    same = known is not None and known.rule is not None
    _put(
        run,
        case,
        Failure(
            event=case.ref,
            provider=case.conference.provider if case.conference else None,
            conference_id=case.conference.conference_id if case.conference else None,
            action="follow",
            reason=_told(case, str(left)),
            attempts=0,
            state=FailureState.LEFT,
            first=known.first if known and same else now,
            next_try=now + PARKED_PAUSE,
            version=case.entry.version,
            rule=left.rule,
        ),
    )
    _logger.info(
        "event left alone",
        extra={
            "calendar": short(case.ref.calendar_id),
            "event": short(case.ref.event_id),
            "rule": left.rule,
        },
    )


def hand_over(run: Run, case: Case, error: Exception) -> None:
    """C5: a retry task of its own with growing delay, or parked, for a person.

    Where the same version's next try waits already, that one has it. The present task is then left
    over from an earlier edit, or came for another reason. Raises only what the store or the queue
    raise: TryLater.
    """
    now, limits = run.clock(), run.limits
    known = case.failure.value if case.failure else None
    same = known is not None and known.version == case.entry.version
    if known and same and isinstance(error, TryLater) and _has_a_task(known, now):
        return
    tries = known.attempts if known and same else 0
    asked = min(error.after, LONGEST_WAIT) if isinstance(error, TryLater) and error.after else None
    if isinstance(error, TryLater) and error.unsent:
        # Our own rate limiter refused the call, so it does not count as an attempt. The random
        # factor spreads the events that wait for the same moment.
        again = True
        next_try = now + (asked or timedelta()) * (1 + random.random()) + limits.retry
    else:
        tries += 1
        again = isinstance(error, TryLater) and tries < limits.max_attempts
        next_try = now + (delay(limits.retry, tries, asked=asked) if again else PARKED_PAUSE)
    if again:
        # The task first: a failure that says "retrying" has one.
        run.queue.enqueue_event(case.ref.calendar_id, case.ref.event_id, at=next_try)
    failure = Failure(
        event=case.ref,
        provider=case.conference.provider if case.conference else None,
        conference_id=case.conference.conference_id if case.conference else None,
        action=case.action,
        reason=_told(case, _reason(error)),
        attempts=tries,
        state=FailureState.RETRYING if again else FailureState.PARKED,
        first=known.first if known and same else now,
        next_try=next_try,
        version=case.entry.version,
    )
    _put(run, case, failure)
    _log(failure, error)


def _has_a_task(failure: Failure, now: datetime) -> bool:
    """Tell whether a task for a failure's next try is still to come.

    Each edit during an outage leaves a task. If each of those left another one, together they would
    use up the tries in minutes.
    """
    if failure.state is not FailureState.RETRYING or failure.demanded:
        return False
    return failure.next_try is not None and failure.next_try > now + _EARLY


def _put(run: Run, case: Case, failure: Failure) -> None:
    """Write a failure. A dismissal that came in between, for the same version, stands."""
    known = case.failure
    for _ in range(5):
        try:
            version = run.store.put_failure(failure, known.version if known else None)
            case.failure = Versioned(failure, version)
            return
        except Conflict:
            known = run.store.get_failure(failure.id)
            if known is not None and _dismissed(known.value, failure):
                return
            if known is not None and known.value.demanded and not _is_demanded(case):
                # S6: an operator asked while this try was under way, and that task is to come.
                failure = replace(failure, demanded=True)
    raise TryLater("the event's failure was written again and again meanwhile")


def _is_demanded(case: Case) -> bool:
    return case.failure is not None and case.failure.value.demanded


def _dismissed(known: Failure, failure: Failure) -> bool:
    return known.state is FailureState.DISMISSED and known.version == failure.version


def _approximate(run: Run, case: Case) -> Failure | None:
    """C5: what a provider cannot hold of a series is listed, and mended by no repetition."""
    carried = case.carried
    if carried is None or not carried.leading or carried.told is None:
        return None
    if case.link is None or case.link.value.event != case.ref or case.event.series_id is not None:
        return None
    approximation = carried.told.approximation
    if approximation is None:
        return None
    known = case.failure.value if case.failure else None
    return Failure(
        event=case.ref,
        provider=carried.conference.provider,
        conference_id=carried.conference.conference_id,
        action="update",
        reason=_cut(approximation.reason),
        attempts=0,
        state=FailureState.APPROXIMATE,
        first=known.first if known else run.clock(),
        next_try=None,
    )


def dismissed(failure: Failure) -> Failure:
    """What is remembered of a failure that an operator dismissed, until the event changes."""
    return replace(failure, state=FailureState.DISMISSED, next_try=None)


def _log(failure: Failure, error: Exception) -> None:
    facts = {
        "calendar": short(failure.event.calendar_id),
        "event": short(failure.event.event_id),
        "failure": failure.id,
        "provider": failure.provider,
        "action": failure.action,
        "error": type(error).__name__,
        "attempts": failure.attempts,
    }
    if failure.state is FailureState.RETRYING:
        _logger.warning("event failed, a retry task has it", extra=facts)
    else:
        bug = None if isinstance(error, SyncError) else error
        _logger.error("event failed and is parked", extra=facts, exc_info=bug)


def _reason(error: Exception) -> str:
    if isinstance(error, SyncError):
        return str(error) or type(error).__name__
    return (
        f"our own mistake ({type(error).__name__}); the log of this moment tells where, "
        "please report it"
    )


def _told(case: Case, reason: str) -> str:
    return _cut(untitled(reason, case.event.title))


def _cut(reason: str) -> str:
    return clean(reason)[:_LONGEST_REASON]
