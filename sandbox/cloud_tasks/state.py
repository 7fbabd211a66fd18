"""What the stand-in remembers: queues, their tasks, and the names that stay taken. One lock
guards all of it."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import grpc
from google.cloud import tasks_v2 as api

from sandbox.cloud_tasks import checks
from sandbox.cloud_tasks.pace import Pace
from sandbox.grpc_service import Refusal

ALREADY_EXISTS = grpc.StatusCode.ALREADY_EXISTS
NOT_FOUND = grpc.StatusCode.NOT_FOUND

# The longest that DeleteQueue may block the name, as the reference says; never shorter here.
DELETED_QUEUE_BLOCKED = timedelta(days=3)

# Members of this are plain numbers to the type checker.
_QueueState: Any = api.Queue.State


@dataclass(slots=True, kw_only=True, eq=False)
class Task:
    """One task: its message, and what became of it so far."""

    message: api.Task
    queue: Queue
    created: datetime
    due: datetime
    entry: int = -1
    """Only the entry of `Queue.waiting` with this number is valid. A rescheduled task leaves its
    old one behind."""
    running: int = 0
    """Attempts under way: RunTask starts one beside another."""
    attempts: int = 0
    answers_below_500: int = 0
    first_attempt: datetime | None = None
    previous_status: int | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Queue:
    """One queue and its tasks by name."""

    message: api.Queue
    pace: Pace
    tasks: dict[str, Task] = field(default_factory=dict)
    waiting: list[tuple[datetime, int, Task]] = field(default_factory=list)
    """A heap of (due, entry, task), old entries included. See `Task.entry`."""
    running: int = 0

    @property
    def paused(self) -> bool:
        return bool(self.message.state != _QueueState.RUNNING)


@dataclass(slots=True, kw_only=True, eq=False)
class Store:
    """Every queue and task, the clock, and the lock.

    `changed` is that lock: whoever calls a method, or looks inside, holds it. It may be taken again
    by its holder, and is notified whenever there may be more, or less, to do.
    """

    clock: Callable[[], datetime]
    create_queues: bool
    """Whether a queue comes to be when it is first named."""
    tombstone_seconds: float
    retry_config: api.RetryConfig
    rate_limits: api.RateLimits
    first_slow_gap: float
    changed: threading.Condition = field(
        default_factory=lambda: threading.Condition(threading.RLock())
    )
    queues: dict[str, Queue] = field(default_factory=dict)
    pause_new_queues: bool = False
    _deleted_queues: dict[str, datetime] = field(default_factory=dict)
    """When each was deleted."""
    _tombstones: dict[str, datetime] = field(default_factory=dict)
    """When each name of a task that is gone becomes free."""
    _entries: Iterator[int] = field(default_factory=itertools.count)

    def find_queue(self, name: str) -> Queue:
        """Return the queue, made now if need be. Raises Refusal where it is missing and is not
        made by itself."""
        queue = self.queues.get(name)
        if queue is not None:
            return queue
        if self.create_queues and name not in self._deleted_queues:
            return self.add_queue(api.Queue(name=name))
        raise Refusal(
            NOT_FOUND, "Queue does not exist. If you just created it, wait at least a minute."
        )

    def claim_queue(self, name: str) -> None:
        """Refuse a queue's name that is in use, or was too recently."""
        if name in self.queues:
            raise Refusal(ALREADY_EXISTS, "Queue already exists")
        deleted = self._deleted_queues.get(name)
        if deleted is not None and self.clock() < deleted + DELETED_QUEUE_BLOCKED:
            raise Refusal(
                grpc.StatusCode.FAILED_PRECONDITION, "A queue with this name existed too recently."
            )

    def add_queue(self, wanted: api.Queue) -> Queue:
        checks.check_queue_name(wanted.name)
        message = self._completed(wanted)
        message.state = _QueueState.PAUSED if self.pause_new_queues else _QueueState.RUNNING
        pace = Pace(
            first_gap=self.first_slow_gap,
            tokens=message.rate_limits.max_burst_size,
            refilled=time.monotonic(),
        )
        queue = self.queues[message.name] = Queue(message=message, pace=pace)
        return queue

    def change_queue(self, queue: Queue, wanted: api.Queue) -> None:
        """Give the queue new settings. Its state and the time of its last purge stay: they are
        output only."""
        message = self._completed(wanted)
        message.name, message.state = queue.message.name, queue.message.state
        message.purge_time = queue.message.purge_time
        queue.message = message
        self.changed.notify_all()

    def set_paused(self, name: str, paused: bool) -> Queue:
        queue = self.find_queue(name)
        queue.message.state = _QueueState.PAUSED if paused else _QueueState.RUNNING
        self.changed.notify_all()
        return queue

    def delete_queue(self, name: str) -> None:
        queue = self.queues.pop(name, None)
        if queue is None:
            raise Refusal(NOT_FOUND, "Requested entity was not found.")
        self._deleted_queues[name] = self.clock()
        self.remove_all(queue)

    def tasks(self, name: str | None = None) -> Iterator[Task]:
        """Yield every task that waits or runs, of one queue or of all."""
        for queue in self.queues.values() if name is None else [self.queues.get(name)]:
            if queue is not None:
                yield from queue.tasks.values()

    def find_task(self, name: str) -> Task:
        queue = self.queues.get(name.partition("/tasks/")[0])
        task = queue.tasks.get(name) if queue is not None else None
        if task is None:
            raise Refusal(NOT_FOUND, "Requested entity was not found.")
        return task

    def claim_task(self, name: str, queue: Queue, now: datetime) -> None:
        """Refuse a task's name that is in use, or was too recently."""
        if name in queue.tasks:
            raise Refusal(ALREADY_EXISTS, "Requested entity already exists")
        released = self._tombstones.get(name)
        if released is not None and now < released:
            raise Refusal(
                ALREADY_EXISTS,
                "The task cannot be created because a task with this name existed too recently.",
            )

    def add_task(self, message: api.Task, queue: Queue, now: datetime) -> Task:
        """Keep the task, complete and with a name that was claimed, until its schedule."""
        task = Task(message=message, queue=queue, created=now, due=message.schedule_time)
        queue.tasks[message.name] = task
        self.schedule(task, task.due)
        return task

    def schedule(self, task: Task, due: datetime) -> None:
        """Let the task wait for its turn, until then or, in a queue that is busy or paused,
        longer."""
        task.due = due
        task.entry = next(self._entries)
        task.message.schedule_time = due
        heapq.heappush(task.queue.waiting, (due, task.entry, task))
        self.changed.notify_all()

    def next_waiting(self, queue: Queue) -> Task | None:
        """Return the queue's next task, due or not. Entries that are no longer valid are dropped
        on the way."""
        while queue.waiting:
            _, entry, task = queue.waiting[0]
            if (
                task.entry == entry
                and not task.running
                and queue.tasks.get(task.message.name) is task
            ):
                return task
            heapq.heappop(queue.waiting)
        return None

    def remove(self, task: Task) -> None:
        """Forget the task and keep its name, from now on, for a while."""
        if (
            task.queue.tasks.get(task.message.name) is task
        ):  # a short-lived name may be another's by now
            del task.queue.tasks[task.message.name]
        self._tombstones[task.message.name] = self.clock() + timedelta(
            seconds=self.tombstone_seconds
        )
        self.changed.notify_all()

    def remove_all(self, queue: Queue) -> None:
        for task in list(queue.tasks.values()):
            self.remove(task)

    def _completed(self, wanted: api.Queue) -> api.Queue:
        return checks.completed_queue(wanted, self.rate_limits, self.retry_config)
