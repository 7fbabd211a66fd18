"""Events that could not be applied, or not wholly: handed to a retry task, parked, or listed as
approximate (C5)."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sync.backoff import delay
from sync.errors import SyncError, TryLater
from sync.logs import short
from sync.model.calendar import Counts
from sync.model.conference import ConferenceRef, EventRef, Failure, FailureState, Link
from sync.services import Services

_logger = logging.getLogger(__name__)

# A parked failure gets another try so much later (the clock's, by `maintain`).
PARKED_PAUSE = timedelta(days=1)


@dataclass(slots=True)
class Attempt:
    """What is being tried for one event, for the failure's record if it fails, and its link in
    the end."""

    counts: Counts = field(default_factory=Counts)
    action: str = "plan"
    conference: ConferenceRef | None = None
    link: Link | None = None


def applied(services: Services, at: EventRef, attempt: Attempt, failure: Failure | None) -> None:
    """Forget an event's failure, or list it as approximate: the provider cannot hold the whole
    of its series."""
    link = attempt.link
    if link is None or link.event != at or link.conference is None or link.approximation is None:
        if failure is not None:
            services.store.delete_failure(failure.id)
        return
    approximate = Failure(
        event=at,
        provider=link.conference.provider,
        conference_id=link.conference.conference_id,
        action="update",
        reason=link.approximation.reason,
        attempts=0,
        state=FailureState.APPROXIMATE,
        first=failure.first if failure else services.clock(),
        next_try=None,
    )
    if approximate != failure:
        services.store.put_failure(approximate)


def waits(failure: Failure, now: datetime) -> bool:
    """It is parked, or has a task of its own that is still to come."""
    if failure.state is FailureState.PARKED:
        return True
    return failure.next_try is not None and failure.next_try > now


def hand_over(
    services: Services,
    at: EventRef,
    attempt: Attempt,
    error: Exception,
    failure: Failure | None,
    version: str,
) -> None:
    """C5: a retry task of its own with growing delay; parked after so many tries, or where
    trying cannot help."""
    now = services.clock()
    tries = failure.attempts if failure and failure.version == version else 0
    if isinstance(error, TryLater) and error.unsent:
        # Held back by ourselves: no try. Those that wait for the same moment come back one after
        # the other.
        again = True
        next_try = (
            now + (error.after or timedelta()) * (1 + random.random()) + services.settings.retry
        )
    else:
        tries += 1
        again = isinstance(error, TryLater) and tries < services.settings.max_attempts
        asked = error.after if isinstance(error, TryLater) else None
        next_try = now + (
            delay(services.settings.retry, tries, asked=asked) if again else PARKED_PAUSE
        )
    if again:
        # The task first: a failure that says "retrying" has one.
        services.queue.enqueue_event(at.calendar_id, at.event_id, at=next_try)
    services.store.put_failure(
        Failure(
            event=at,
            provider=attempt.conference.provider if attempt.conference else None,
            conference_id=attempt.conference.conference_id if attempt.conference else None,
            action=attempt.action,
            reason=_reason(error),
            attempts=tries,
            state=FailureState.RETRYING if again else FailureState.PARKED,
            first=failure.first if failure and failure.version == version else now,
            next_try=next_try,
            version=version,
        )
    )
    facts = {
        "calendar": short(at.calendar_id),
        "event": short(at.event_id),
        "failure": at.key,
        "provider": attempt.conference.provider if attempt.conference else None,
        "action": attempt.action,
        "error": type(error).__name__,
        "attempts": tries,
    }
    if again:
        _logger.warning("event failed, a retry task has it", extra=facts)
    else:
        _logger.error("event failed and is parked", extra=facts, exc_info=_bug(error))


def _reason(error: Exception) -> str:
    if isinstance(error, SyncError):
        return str(error) or type(error).__name__
    return f"our own mistake ({type(error).__name__}); the log of this moment tells where, please report it"


def _bug(error: Exception) -> Exception | None:
    return None if isinstance(error, SyncError) else error
