"""What follows a failed attempt: how long a task waits for the next one, and when there is none.
Pure functions.

https://cloud.google.com/tasks/docs/reference/rest/v2/RetryConfig
"""

from __future__ import annotations

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import grpc
from google.cloud import tasks_v2 as api

from sandbox.grpc_service import Refusal

INVALID = grpc.StatusCode.INVALID_ARGUMENT

# How long a task is kept at most, whatever its retries allow.
RETENTION = timedelta(days=31)

SERVICE_DEFAULT = api.RetryConfig(
    max_attempts=100,
    max_retry_duration=timedelta(0),
    min_backoff=timedelta(seconds=0.1),
    max_backoff=timedelta(hours=1),
    max_doublings=16,
)


def merged(*configs: api.RetryConfig) -> api.RetryConfig:
    """Put together one configuration, each of its fields from the first that sets it. The last one
    sets them all.

    Raises Refusal when the outcome is one that the service does not take.
    """

    def first(name: str) -> Any:
        return next(
            (getattr(config, name) for config in configs if name in config),
            getattr(configs[-1], name),
        )

    chosen = api.RetryConfig(
        max_attempts=first("max_attempts"),
        max_retry_duration=first("max_retry_duration"),
        min_backoff=first("min_backoff"),
        max_backoff=first("max_backoff"),
        max_doublings=first("max_doublings"),
    )
    if chosen.max_attempts < -1:
        raise Refusal(INVALID, "RetryConfig.maxAttempts must be greater or equal to -1.")
    if chosen.max_doublings < 0 or chosen.min_backoff < timedelta(0):
        raise Refusal(
            INVALID, "RetryConfig.maxDoublings and RetryConfig.minBackoff cannot be negative."
        )
    if chosen.min_backoff > chosen.max_backoff:
        raise Refusal(
            INVALID, "RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff."
        )
    return chosen


def backoff(attempts: int, config: api.RetryConfig) -> timedelta:
    """Return the pause after the `attempts`-th failed attempt (1 for the first).

    It doubles `max_doublings` times, then grows by equal steps, and stays at `max_backoff`: with 10
    s, 300 s and 3 doublings 10, 20, 40, 80, 160, 240, 300, 300 s.
    """
    shortest: timedelta = config.min_backoff
    longest: timedelta = config.max_backoff
    doublings: int = min(attempts - 1, config.max_doublings)
    steps: int = max(1, attempts - config.max_doublings)
    try:
        return min(longest, shortest * ((1 << doublings) * steps))
    except OverflowError:
        return longest


def exhausted(
    attempts: int, first_attempt: datetime | None, config: api.RetryConfig, now: datetime
) -> bool:
    """Whether no try is left: both limits reached, of those that are set. None set: the task's
    31 days are the end."""
    reached = []
    if config.max_attempts != -1:
        reached.append(attempts >= config.max_attempts)
    if config.max_retry_duration and first_attempt is not None:
        reached.append(now - first_attempt >= config.max_retry_duration)
    return bool(reached) and all(reached)


def retry_after(text: str | None, now: datetime) -> float:
    """Seconds to wait by a `Retry-After` in either of its forms. 0 for none, or one that says
    nothing."""
    if text is None:
        return 0.0
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (TypeError, ValueError):
        return 0.0
