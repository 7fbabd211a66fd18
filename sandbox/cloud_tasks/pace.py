"""How soon a queue may deliver again: its rate, and the pauses of one that slows down. By real
time, not the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass

from google.cloud import tasks_v2 as api

# The first pause between two deliveries of a queue that slows down, in seconds of real time, and
# the longest.
FIRST_SLOW_GAP = 1.0
LONGEST_SLOW_GAP = 60.0


@dataclass(slots=True, kw_only=True)
class Pace:
    """One queue's bucket of tokens and its pauses. Moments are monotonic seconds."""

    first_gap: float
    tokens: float
    refilled: float
    gap: float = 0.0
    """The least pause between two deliveries. 0 while the queue is not slowed down."""
    held_until: float = 0.0
    """The moment before which there is no delivery."""

    def take(self, limits: api.RateLimits) -> float:
        """Return the seconds until a delivery may start. 0 when it may start now, and then it
        counts as started."""
        moment = time.monotonic()
        if self.held_until > moment:
            return self.held_until - moment
        rate: float = limits.max_dispatches_per_second
        self.tokens = min(limits.max_burst_size, self.tokens + (moment - self.refilled) * rate)
        self.refilled = moment
        if self.tokens < 1:
            return (1 - self.tokens) / rate
        self.tokens -= 1
        if self.gap:
            self.held_until = moment + self.gap
        return 0.0

    def slow_down(self, hold: float) -> None:
        """Slow the queue down after 429 or 503: each such answer doubles the pause between its
        deliveries.

        The next one waits for `hold` seconds at least, which the answer asked for. The service does
        something of this kind and keeps to itself what exactly.
        """
        self.gap = min(LONGEST_SLOW_GAP, self.gap * 2 or self.first_gap)
        self.held_until = max(self.held_until, time.monotonic() + max(self.gap, hold))

    def speed_up(self) -> None:
        """Halve the pause again after a success. The shortest one ends."""
        self.gap = self.gap / 2 if self.gap > self.first_gap else 0.0
