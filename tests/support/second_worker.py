"""A second worker, which stands still in the middle of a call until the test lets it go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from sync import services as composition
from sync.context import Services
from sync.errors import SyncError
from tests.support.bench import Bench, TurnedClock


class Worker:
    """A second process: services of its own, and a clock that stands while it is frozen."""

    def __init__(self, bench: Bench) -> None:
        self.clock = TurnedClock(bench.clock.now)
        self.services: Services = composition.build(bench.settings, self.clock)
        self._pool = ThreadPoolExecutor(1)

    def begin(self, work: Callable[[Services], Any]) -> Future[Any]:
        """Let this worker do the work in a thread of its own."""
        return self._pool.submit(work, self.services)

    def wake(self, bench: Bench) -> None:
        """Let its clock show the bench's time again."""
        self.clock.now = bench.clock.now


@contextmanager
def another_worker(bench: Bench) -> Iterator[Worker]:
    """Make a second worker on what the bench has; what it began has ended when this returns."""
    worker = Worker(bench)
    try:
        yield worker
    finally:
        worker._pool.shutdown()
        worker.services.close()


def ended(future: Future[Any]) -> None:
    """Wait for a worker's end; a task that failed is brought again by the queue."""
    with suppress(SyncError):
        future.result(60)
