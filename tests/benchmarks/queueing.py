"""A queue of Cloud Tasks with a turned clock: what waits, second by second. Pure.

The model knows the queue's rate and concurrency, its backoff, how long a run takes, that one
calendar has one run at a time (S1), and a worker that is down for a while. It does not know how
much Cloud Tasks itself slows a queue down after errors, for which Google publishes no figures.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """The sizes that Terraform gives the queue and the worker. Seconds, and tasks a second."""

    rate: float = 50
    concurrent: int = 80
    run_seconds: float = 0.8
    min_backoff: float = 2
    max_doublings: int = 5
    max_backoff: float = 300

    @property
    def a_second(self) -> int:
        """How many attempts start in a second: as many as the rate and the worker's places let."""
        return int(min(self.rate, self.concurrent / self.run_seconds))

    def backoff(self, retries: int) -> float:
        """How long a task waits that has failed `retries` times before.

        https://docs.cloud.google.com/tasks/docs/reference/rest/v2/RetryConfig
        """
        wait = self.min_backoff * 2.0 ** min(retries, self.max_doublings)
        if retries > self.max_doublings:
            wait *= retries - self.max_doublings + 1
        return min(wait, self.max_backoff)


class Task(NamedTuple):
    """When a task is to run, in seconds from the start, and whose calendar it brings."""

    at: float
    calendar: int


@dataclass(slots=True, kw_only=True)
class Course:
    """What happened: by second, how many tasks were waiting and due, and how many attempts began.

    `waits` are the seconds from when a task was to run to the end of its run.
    """

    waiting: list[int] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    refused: int = 0
    """Attempts that found another run of their calendar (409)."""
    failed: int = 0
    waits: list[float] = field(default_factory=list)


def deliver(
    arriving: Iterator[Sequence[Task]], queue: Queue, *, down: range = range(0), until: int
) -> Course:
    """Deliver what arrives in each second. In the seconds `down` the worker answers 500.

    Ends when all tasks are done that were to run before the second `until`, and of the later ones
    none is late by a second. Ends also when nothing arrives any more.
    """
    course = Course()
    early = 0
    waiting: list[tuple[float, int, float, int, int]] = []
    number = 0
    for second, tasks in enumerate(arriving):
        for task in tasks:
            number += 1
            early += task.at < until
            heapq.heappush(waiting, (task.at, number, task.at, task.calendar, 0))
        running: set[int] = set()
        attempts = done = 0
        while waiting and waiting[0][0] < second + 1 and attempts < queue.a_second:
            _, order, wanted, calendar, retries = heapq.heappop(waiting)
            attempts += 1
            if second in down:
                course.failed += 1
            elif calendar in running:
                course.refused += 1
            else:
                running.add(calendar)
                done += 1
                early -= wanted < until
                course.waits.append(max(0.0, second - wanted) + queue.run_seconds)
                continue
            again = second + queue.backoff(retries)
            heapq.heappush(waiting, (again, order, wanted, calendar, retries + 1))
        course.attempts.append(attempts)
        course.done.append(done)
        course.waiting.append(len(waiting))
        late = bool(waiting) and waiting[0][0] < second
        if second >= until and not early and not late:
            break
    return course


def busiest(counts: Sequence[int], seconds: int) -> int:
    """The most in so many seconds on end, of what each second had."""
    total = most = sum(counts[:seconds])
    for place in range(seconds, len(counts)):
        total += counts[place] - counts[place - seconds]
        most = max(most, total)
    return most
