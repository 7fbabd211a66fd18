"""The one retry policy: how long to wait before the next try, here and in the queue.

The wait grows with each try (exponential back-off), and obeys what the other side asks for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TypeVar

import tenacity

from sync.errors import Gone, TryLater

LONGEST = timedelta(hours=1)
MOST_ASKED = timedelta(days=1)
"""More than a day is not waited for on anybody's word (S6)."""

# The longest HTTP date has 33 characters.
_LONGEST_TEXT = 100

_Answer = TypeVar("_Answer")


def asked_twice(ask: Callable[[], _Answer]) -> _Answer:
    """Return the answer, asked for once more where there is said to be no such conference.

    For what must not be done on the strength of a single "not found" (C4), and cannot wait for a
    second look some time later. Raises Gone if it is said again, and whatever else `ask` raises.
    """
    with suppress(Gone):
        return ask()
    return ask()


_demanded: ContextVar[bool] = ContextVar("demanded", default=False)


@contextmanager
def demanded(demand: bool) -> Iterator[None]:
    """Let the calls of a try that an operator asked for pass a shared back-off (S6)."""
    token = _demanded.set(demand)
    try:
        yield
    finally:
        _demanded.reset(token)


def is_demanded() -> bool:
    """Tell whether an operator asked for the try under way."""
    return _demanded.get()


def delay(first: timedelta, attempts: int, *, asked: timedelta | None = None) -> timedelta:
    """Return how long a failing event waits after so many tries.

    The wait doubles with each try, to at most an hour: 30 s, 1 min, 2 min. `asked` is what the
    other side asked for (`Retry-After`). It is obeyed even where it is longer.
    """
    doubled = min(first * 2 ** min(attempts - 1, 30), LONGEST) if attempts > 0 else first
    return max(doubled, asked or timedelta())


def patiently(call: Callable[[], _Answer], *, tries: int = 3) -> _Answer:
    """Return what `call` returns, repeating it a few times within seconds while it raises TryLater.

    Only for calls that are safe to repeat. A wait that the other side asked for and that is longer
    than ours is not sat out here: the queue brings the task again.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(
            lambda error: isinstance(error, TryLater) and error.after is None
        ),
        # Truncated exponential with jitter, as the Calendar guide asks for.
        # https://developers.google.com/workspace/calendar/api/guides/quota
        wait=tenacity.wait_exponential_jitter(multiplier=0.5, max=8, jitter=0.5),
        stop=tenacity.stop_after_attempt(tries),
        reraise=True,
    )
    return retrying(call)


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Return how long `Retry-After` asks to wait, a day at most. None: it does not say.

    Seconds, an HTTP date or an ISO date, from `now` on. `"120"` is two minutes, `"-1"` no wait,
    `"1764154800000"` a day, `"nan"` and `"soon"` say nothing. Never raises (S6).
    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after (ISO dates are what Zoom sends)
    """
    text = headers.get("Retry-After", "").strip()[:_LONGEST_TEXT]
    seconds = _seconds(text)
    if seconds is None:
        seconds = _seconds_until(text, now)
    if seconds is None:
        return None
    return timedelta(seconds=min(max(seconds, 0.0), MOST_ASKED.total_seconds()))


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return None if math.isnan(seconds) else seconds


def _seconds_until(text: str, now: datetime) -> float | None:
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            return (moment - now).total_seconds()
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None
