"""The one retry policy: how long to wait before the next try, here and in the queue, and what
the other side asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TypeVar

import tenacity

from sync.errors import TryLater

LONGEST = timedelta(hours=1)

_Answer = TypeVar("_Answer")


def delay(first: timedelta, attempts: int, *, asked: timedelta | None = None) -> timedelta:
    """Return how long a failing event waits after so many tries: doubled each time, to at most an
    hour.

    `asked` is what the other side asked for (`Retry-After`); it is obeyed even where it is longer.
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
    """Return how long `Retry-After` asks to wait: seconds, an HTTP date or an ISO date; None: it
    does not say.

    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after; ISO dates are what Zoom sends.
    """
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    try:
        return timedelta(seconds=max(0.0, float(text)))
    except (ValueError, OverflowError):
        pass
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(text)
        except (ValueError, TypeError):
            continue
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(timedelta(), moment - now)
    return None
