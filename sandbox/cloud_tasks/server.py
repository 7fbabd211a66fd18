"""`CloudTasks`: the stand-in as a whole, with its server, its clock and the controls of tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from google.cloud import tasks_v2 as api

from sandbox.cloud_tasks.dispatch import Dispatcher
from sandbox.cloud_tasks.methods import Methods
from sandbox.cloud_tasks.pace import FIRST_SLOW_GAP
from sandbox.cloud_tasks.records import Creation, Delivery, PendingTask, parsed, plain
from sandbox.cloud_tasks.state import Store, Task
from sandbox.grpc_service import GrpcService

# How often a clock that is not the machine's is looked at, in seconds of real time.
CLOCK_POLL = 0.02


class CloudTasks(GrpcService):
    """Queues and tasks in memory, and the threads that deliver them."""

    def __init__(
        self,
        port: int = 0,
        clock: Callable[[], datetime] | None = None,
        *,
        create_queues: bool = True,
        deliver: bool = True,
        tombstone_seconds: float = 3600.0,
        retry_config: api.RetryConfig | None = None,
        rate_limits: api.RateLimits | None = None,
        first_slow_gap: float = FIRST_SLOW_GAP,
    ) -> None:
        """Without `create_queues` a queue must be made by CreateQueue before it is used.

        Without `deliver` nothing is dispatched by itself: `run_all` and RunTask do it. A task's
        name stays taken for `tombstone_seconds` after it ran or was deleted. What `retry_config`
        and `rate_limits` leave open takes the service's default.
        """
        self._store = Store(
            clock=clock or (lambda: datetime.now(UTC)),
            create_queues=create_queues,
            tombstone_seconds=tombstone_seconds,
            retry_config=retry_config if retry_config is not None else api.RetryConfig(),
            rate_limits=rate_limits if rate_limits is not None else api.RateLimits(),
            first_slow_gap=first_slow_gap,
        )
        self._dispatcher = Dispatcher(
            self._store, deliver=deliver, poll_seconds=CLOCK_POLL if clock is not None else None
        )
        self._methods = Methods(self._store, self._dispatcher)
        self.creations: list[Creation] = self._methods.creations
        self.deliveries: list[Delivery] = self._dispatcher.deliveries
        super().__init__("google.cloud.tasks.v2.CloudTasks", self._methods.by_name(), port)

    def start(self) -> None:
        super().start()
        self._dispatcher.start()

    def stop(self) -> None:
        """End everything. Requests to workers that are under way are left to end by themselves.
        Safe to repeat."""
        self._dispatcher.stop()
        super().stop()
        self._dispatcher.close()

    def refused(self, method: str, request: Any, code: grpc.StatusCode) -> None:
        if method == "CreateTask":
            self._methods.refused(request, code)

    # Controls of the tests.

    @property
    def clock(self) -> Callable[[], datetime]:
        """What schedules, backoff and names go by. Another may be put in its place at any time."""
        return self._store.clock

    @clock.setter
    def clock(self, clock: Callable[[], datetime]) -> None:
        self._store.clock = clock

    @property
    def give_up_after(self) -> float | None:
        """Seconds after which an attempt is given up, for tests that cannot wait for the
        shortest dispatch_deadline."""
        return self._dispatcher.give_up_after

    @give_up_after.setter
    def give_up_after(self, seconds: float | None) -> None:
        self._dispatcher.give_up_after = seconds

    @property
    def public_key(self) -> bytes:
        """The key that verifies the OIDC tokens of deliveries, in PEM."""
        return self._dispatcher.id_tokens.public_key

    def fail_next(
        self,
        code: grpc.StatusCode,
        times: int = 1,
        after: bool = False,
        method: str | None = "CreateTask",
    ) -> None:
        """As `GrpcService.fail_next`, for CreateTask unless told otherwise. `method=None` means
        any."""
        super().fail_next(code, times, after, method)

    def pause(self, queue: str | None = None) -> None:
        """Pause one queue, or all, those to come included."""
        self._set_paused(queue, True)

    def resume(self, queue: str | None = None) -> None:
        self._set_paused(queue, False)

    def purge(self, queue: str) -> None:
        """Remove every task of a queue, as `PurgeQueue` does."""
        with self._store.changed:
            self._store.remove_all(self._store.find_queue(queue))

    def pending(self, queue: str | None = None) -> list[PendingTask]:
        """Return the tasks that wait or run, of one queue or of all, by their schedule."""
        with self._store.changed:
            return [_pending(task) for task in sorted(self._store.tasks(queue), key=_by_schedule)]

    def drop(self, name: str) -> None:
        """Take a task away as its success would: its name stays taken. Safe to repeat."""
        with self._store.changed:
            queue = self._store.queues.get(name.partition("/tasks/")[0])
            if queue is not None and name in queue.tasks:
                self._store.remove(queue.tasks[name])

    def idle(self, timeout: float = 10.0, horizon: float = 0.0) -> bool:
        """Wait until nothing runs and nothing is due. Return whether that came true within
        `timeout` seconds.

        Not waited for: tasks scheduled more than `horizon` seconds ahead, retries included, and
        those of paused queues.
        """
        end = time.monotonic() + timeout
        with self._store.changed:
            while self._dispatcher.busy(timedelta(seconds=horizon)):
                left = end - time.monotonic()
                if left <= 0:
                    return False
                # With a horizon, time alone makes a difference, and nobody would tell.
                self._store.changed.wait(min(left, CLOCK_POLL))
            return True

    def run_all(self, now: datetime | None = None) -> list[Delivery]:
        """Deliver everything due by `now` (default: the clock's), one after the other, and return
        how it went.

        For tests that turn the clock. Pauses, rates and slowing down are passed over. Tasks that
        come up meanwhile are delivered too, but none of them twice. A task whose retry falls due by
        `now` waits for the next call.
        """
        moment = now or self.clock()
        done: list[Delivery] = []
        tried: set[Task] = set()
        while True:
            with self._store.changed:
                due = [
                    task
                    for task in self._store.tasks()
                    if task.due <= moment and not task.running and task not in tried
                ]
                if not due:
                    return done
                task = min(due, key=_by_schedule)
                attempt = self._dispatcher.start_attempt(task, max(moment, self.clock()))
            tried.add(task)
            delivery = self._dispatcher.wait_for(attempt)
            if delivery is not None:
                done.append(delivery)

    def wake(self) -> None:
        """Look at the clock at once, after a test turned it. It is looked at every few
        hundredths of a second too."""
        with self._store.changed:
            self._store.changed.notify_all()

    def _set_paused(self, queue: str | None, paused: bool) -> None:
        with self._store.changed:
            if queue is not None:
                self._store.set_paused(queue, paused)
                return
            self._store.pause_new_queues = paused
            for name in self._store.queues:
                self._store.set_paused(name, paused)


def _by_schedule(task: Task) -> tuple[datetime, int]:
    return task.due, task.entry


def _pending(task: Task) -> PendingTask:
    http = task.message.http_request
    return PendingTask(
        name=task.message.name,
        queue=task.queue.message.name,
        method=api.HttpMethod(http.http_method).name,
        url=http.url,
        headers=dict(http.headers),
        body=parsed(http.body),
        schedule_time=plain(task.due),
        attempts=task.attempts,
        running=task.running > 0,
    )
