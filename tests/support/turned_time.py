"""The clock that a test turns, for libraries that wait and look at the time by themselves."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.bench import TurnedClock


@contextmanager
def turned_time(clock: TurnedClock) -> Iterator[None]:
    """Let `time.monotonic` follow the clock, and `time.sleep` turn it instead of waiting.

    Waits for a thread, a connection or an answer stay as they are: they end with what they wait
    for.
    """
    monotonic, sleep = time.monotonic, time.sleep
    # A microsecond passes with each look: a clock that stands still would let loops run for ever
    # that wait for a later moment.
    looks = itertools.count()
    time.monotonic = lambda: clock().timestamp() + next(looks) / 1e6
    time.sleep = lambda seconds: clock.advance(float(seconds))
    try:
        yield
    finally:
        time.monotonic, time.sleep = monotonic, sleep
