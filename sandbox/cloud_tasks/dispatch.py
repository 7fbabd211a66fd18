"""Attempts: started when their task is due, sent over HTTP, settled by the answer or the
deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx
from google.cloud import tasks_v2 as api

from sandbox.cloud_tasks import retries
from sandbox.cloud_tasks.checks import MAX_DISPATCH_DEADLINE
from sandbox.cloud_tasks.headers import IdTokens, headers_of
from sandbox.cloud_tasks.records import Delivery, parsed
from sandbox.cloud_tasks.state import Queue, Store, Task
from sandbox.servers import UNKEPT, certificates


@dataclass(slots=True, kw_only=True, eq=False)
class Attempt:
    """One attempt. `started` and `overdue` are monotonic seconds. `delivery` is there once it is
    `settled`."""

    task: Task
    headers: dict[str, str]
    retry_count: int
    at: datetime
    started: float
    overdue: float
    settled: threading.Event = field(default_factory=threading.Event)
    delivery: Delivery | None = None


class Dispatcher:
    """Delivers the store's tasks: one thread that watches over all, and one for each request
    under way."""

    def __init__(self, store: Store, *, deliver: bool, poll_seconds: float | None) -> None:
        """Without `deliver` only those attempts are made that are asked for.

        `poll_seconds`: how often to look at a clock that may be turned. None for one that goes by
        itself.
        """
        self.deliveries: list[Delivery] = []
        self.id_tokens = IdTokens()
        self.give_up_after: float | None = None
        self._store = store
        self._deliver = deliver
        self._poll_seconds = poll_seconds
        self._attempts: set[Attempt] = set()
        self._stopping = False
        self._http = httpx.Client(
            limits=UNKEPT,
            timeout=httpx.Timeout(MAX_DISPATCH_DEADLINE.total_seconds()),
            trust_env=False,
            verify=certificates(),
        )
        self._thread = threading.Thread(target=self._watch, name="cloud-tasks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Start nothing more. Requests that are under way are left to end by themselves. Safe to
        repeat."""
        with self._store.changed:
            self._stopping = True
            self._store.changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def close(self) -> None:
        """Close the connections, after `stop` and when no more attempts will be asked for. Safe
        to repeat."""
        self._http.close()

    def busy(self, horizon: timedelta) -> bool:
        """Whether an attempt is under way, or one will be started within the horizon. The caller
        holds the lock."""
        if self._attempts:
            return True
        until = self._store.clock() + horizon
        return self._deliver and any(
            task.due <= until for task in self._store.tasks() if not task.queue.paused
        )

    def start_attempt(self, task: Task, now: datetime) -> Attempt:
        """Send the task's request in a thread of its own. The caller holds the lock."""
        started = time.monotonic()
        patience: float = task.message.dispatch_deadline.total_seconds()
        if self.give_up_after is not None:
            patience = min(patience, self.give_up_after)
        attempt = Attempt(
            task=task,
            headers=headers_of(task, self.id_tokens),
            retry_count=task.attempts,
            at=now,
            started=started,
            overdue=started + patience,
        )
        task.entry = -1
        task.attempts += 1
        task.running += 1
        task.queue.running += 1
        task.message.last_attempt = api.Attempt(schedule_time=task.due, dispatch_time=now)
        if task.first_attempt is None:
            task.first_attempt = now
            task.message.first_attempt = api.Attempt(dispatch_time=now)
        self._attempts.add(attempt)
        threading.Thread(
            target=self._request, args=(attempt,), name=task.message.name[-40:], daemon=True
        ).start()
        self._store.changed.notify_all()
        return attempt

    def wait_for(self, attempt: Attempt) -> Delivery | None:
        """Wait until the attempt has ended, by its deadline at the latest. The caller does not
        hold the lock."""
        if not attempt.settled.wait(attempt.overdue - time.monotonic()):
            self._settle(attempt, error="DEADLINE_EXCEEDED")
        attempt.settled.wait()
        return attempt.delivery

    def _watch(self) -> None:
        """The dispatcher's thread: start what is due, give up what is overdue, sleep until the
        next of either."""
        with self._store.changed:
            while not self._stopping:
                self._store.changed.wait(self._dispatch())

    def _dispatch(self) -> float | None:
        """Start every attempt that may start. Return the seconds until there may be more to do,
        None for unknown."""
        waits: list[float] = [] if self._poll_seconds is None else [self._poll_seconds]
        for attempt in list(self._attempts):
            if attempt.overdue <= time.monotonic():
                self._settle(attempt, error="DEADLINE_EXCEEDED")
        if self._deliver:
            for queue in list(self._store.queues.values()):
                if not queue.paused:
                    waits += self._dispatch_queue(queue)
        waits += [attempt.overdue - time.monotonic() for attempt in self._attempts]
        return max(0.0, min(waits)) if waits else None

    def _dispatch_queue(self, queue: Queue) -> Iterable[float]:
        """Start what may start in one queue. Return how long to wait, if time is what is
        missing."""
        limits = queue.message.rate_limits
        while (task := self._store.next_waiting(queue)) is not None:
            now = self._store.clock()
            if task.due > now:
                return [(task.due - now).total_seconds()]
            if queue.running >= limits.max_concurrent_dispatches:
                return []
            wait = queue.pace.take(limits)
            if wait:
                return [wait]
            self.start_attempt(task, now)
        return []

    def _request(self, attempt: Attempt) -> None:
        http = attempt.task.message.http_request
        try:
            response = self._http.request(
                api.HttpMethod(http.http_method).name,
                http.url,
                headers=attempt.headers,
                content=http.body or None,
            )
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError, ValueError) as error:
            # RuntimeError: the client was closed meanwhile. A URL that cannot be used is found out
            # here, as at Google.
            self._settle(attempt, error=f"UNAVAILABLE: {error}")
        else:
            self._settle(
                attempt,
                status=response.status_code,
                retry_after=response.headers.get("Retry-After"),
            )

    def _settle(
        self,
        attempt: Attempt,
        *,
        status: int | None = None,
        error: str | None = None,
        retry_after: str | None = None,
    ) -> None:
        """Record how an attempt ended and what follows: the task is done, waits for its retry, or
        is given up.

        Only the first end counts. An answer that comes after the deadline changes nothing.
        """
        with self._store.changed:
            if attempt not in self._attempts:
                return
            self._attempts.remove(attempt)
            task, queue = attempt.task, attempt.task.queue
            task.running -= 1
            queue.running -= 1
            delivery = attempt.delivery = _delivery(attempt, status, error)
            self.deliveries.append(delivery)
            now = max(attempt.at, self._store.clock())
            if status is not None:
                task.message.response_count += 1
                task.message.last_attempt.response_time = now
                if status < 500:
                    task.answers_below_500 += 1
            task.previous_status = status
            if delivery.succeeded:
                queue.pace.speed_up()
                self._store.remove(task)
            else:
                hold = 0.0
                if status in (429, 503):
                    hold = retries.retry_after(retry_after, now)
                    queue.pace.slow_down(hold)
                # It may have been deleted meanwhile, and its name be another task's by now.
                if queue.tasks.get(task.message.name) is task:
                    self._retry(task, now, hold)
            self._store.changed.notify_all()
            attempt.settled.set()

    def _retry(self, task: Task, now: datetime, hold: float) -> None:
        """Let the task wait for its next attempt, `hold` seconds at least, or give it up."""
        config = task.queue.message.retry_config
        if "retry_config" in task.message:
            config = retries.merged(task.message.retry_config, config)
        due = now + max(retries.backoff(task.attempts, config), timedelta(seconds=hold))
        exhausted = retries.exhausted(task.attempts, task.first_attempt, config, now)
        if exhausted or due > task.created + retries.RETENTION:
            self._store.remove(task)
        else:
            self._store.schedule(task, due)


def _delivery(attempt: Attempt, status: int | None, error: str | None) -> Delivery:
    message = attempt.task.message
    return Delivery(
        name=message.name,
        queue=attempt.task.queue.message.name,
        url=message.http_request.url,
        headers=attempt.headers,
        body=parsed(message.http_request.body),
        status=status,
        error=error,
        retry_count=attempt.retry_count,
        at=attempt.at,
        seconds=time.monotonic() - attempt.started,
    )
