"""A stand-in for Cloud Tasks that speaks the service's own gRPC protocol on loopback, and delivers over real HTTP.

    tasks = CloudTasks()
    tasks.start()
    client = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=grpc.insecure_channel(tasks.host)))

Imitated: queues; named tasks and their de-duplication, also after they ran; schedules; limits of names, sizes, URLs
and deadlines; headers of a delivery, OIDC tokens (RS256, a key of our own); retries with backoff, `max_attempts` and
`max_retry_duration`, per queue or per task; rate and concurrency; pausing, purging, forced runs; a queue that slows
down after 429 and 503 and obeys `Retry-After`.

Not imitated: App Engine tasks, queue-level routing (`http_target`), BatchCreateTasks, IAM, CMEK, filters of lists,
logging to Cloud Logging, redirects (an answer of 3xx is a failed attempt), the slow start of an idle queue, high error
rates as a reason to slow down, deliveries that come twice by themselves (use RunTask). How much a queue slows down is
ours: the service publishes no figures, see `_slow_down`.

Schedules, backoff and names go by the clock that is given; rates, deadlines and slowing down by real time.

Errors and headers follow recordings of the real service in https://github.com/aertje/cloud-tasks-emulator
(conformance/golden).
"""

from __future__ import annotations

import argparse
import base64
import heapq
import json
import math
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

import grpc
import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from google.cloud import tasks_v2 as api
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2, field_mask_pb2
from google.rpc import status_pb2

from sandbox.grpc_service import GrpcService, Refusal, page

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND

# Limits: https://cloud.google.com/tasks/docs/quotas and the types of google-cloud-tasks.
MAX_TASK_BYTES = 100 * 1024
MAX_HEADER_BYTES = 80 * 1024
MAX_URL_CHARACTERS = 2083
MAX_SCHEDULE_AHEAD = timedelta(days=30)
RETENTION = timedelta(days=31)
DELETED_QUEUE_BLOCKED = timedelta(days=3)
DEFAULT_DISPATCH_DEADLINE = timedelta(minutes=10)
MIN_DISPATCH_DEADLINE = timedelta(seconds=15)
MAX_DISPATCH_DEADLINE = timedelta(minutes=30)
MAX_RATE = 500.0
MAX_CONCURRENT = 5000

# The first pause between two deliveries of a queue that slows down, in seconds of real time, and the longest.
FIRST_SLOW_GAP = 1.0
LONGEST_SLOW_GAP = 60.0
# How often a clock that is not the machine's is looked at, in seconds of real time.
CLOCK_POLL = 0.02

# Members of these are plain numbers to the type checker.
_QueueState: Any = api.Queue.State
_View: Any = api.Task.View
_HttpMethod: Any = api.HttpMethod

_LOCATION = re.compile(r"projects/[A-Za-z0-9:.-]+/locations/[a-z0-9-]+")
_QUEUE = re.compile(_LOCATION.pattern + r"/queues/[A-Za-z0-9-]{1,100}")
_TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,500}")
_OWN_HEADERS = ("x-cloudtasks-", "x-google-", "x-appengine-")
_BODY_METHODS = (_HttpMethod.POST, _HttpMethod.PUT, _HttpMethod.PATCH)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingTask:
    """A task that waits or runs; `body` is parsed where it is JSON, and bytes elsewhere."""

    name: str
    queue: str
    method: str
    url: str
    headers: dict[str, str]
    body: Any
    schedule_time: datetime
    attempts: int
    running: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One attempt and how it ended: with a `status`, or with an `error` (no answer, or none in time)."""

    name: str
    queue: str
    url: str
    headers: dict[str, str]
    body: Any
    status: int | None
    error: str | None
    retry_count: int
    at: datetime
    seconds: float

    @property
    def succeeded(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """One CreateTask; `outcome` is "created", "exists", or the name of the error's gRPC status."""

    name: str
    queue: str
    body: Any
    schedule_time: datetime | None
    outcome: str
    at: datetime


@dataclass(slots=True, kw_only=True, eq=False)
class _Task:
    message: api.Task
    queue: _Queue
    created: datetime
    due: datetime
    # Only the heap's entry with this number is valid; a rescheduled task leaves its old one behind.
    entry: int = -1
    running: int = 0
    attempts: int = 0
    answers_below_500: int = 0
    first_attempt: datetime | None = None
    previous_status: int | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class _Queue:
    message: api.Queue
    tasks: dict[str, _Task] = field(default_factory=dict)
    waiting: list[tuple[datetime, int, _Task]] = field(default_factory=list)
    running: int = 0
    # The token bucket, in monotonic seconds.
    tokens: float = 0.0
    refilled: float = 0.0
    # Slowing down: the least pause between two deliveries, and the moment before which there is none.
    slow_gap: float = 0.0
    held_until: float = 0.0


@dataclass(slots=True, kw_only=True, eq=False)
class _Attempt:
    task: _Task
    headers: dict[str, str]
    retry_count: int
    at: datetime
    started: float
    overdue: float
    settled: threading.Event = field(default_factory=threading.Event)
    delivery: Delivery | None = None


def backoff(attempts: int, config: api.RetryConfig) -> timedelta:
    """Return the pause after the `attempts`-th failed attempt (1 for the first).

    It doubles `max_doublings` times, then grows by equal steps, and stays at `max_backoff`: with 10 s, 300 s and 3
    doublings 10, 20, 40, 80, 160, 240, 300, 300 s. https://cloud.google.com/tasks/docs/reference/rest/v2/RetryConfig
    """
    shortest: timedelta = config.min_backoff
    longest: timedelta = config.max_backoff
    doublings: int = min(attempts - 1, config.max_doublings)
    steps: int = max(1, attempts - config.max_doublings)
    try:
        return min(longest, shortest * ((1 << doublings) * steps))
    except OverflowError:
        return longest


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

        Without `deliver` nothing is dispatched by itself: `run_all` and RunTask do it. A task's name stays taken for
        `tombstone_seconds` after it ran or was deleted. What `retry_config` and `rate_limits` leave open takes the
        service's default.
        """
        self.clock = clock or (lambda: datetime.now(UTC))
        self._poll = CLOCK_POLL if clock is not None else None
        self._create_queues = create_queues
        self._deliver = deliver
        self.tombstone_seconds = tombstone_seconds
        self.retry_config = retry_config if retry_config is not None else api.RetryConfig()
        self.rate_limits = rate_limits if rate_limits is not None else api.RateLimits()
        self._first_slow_gap = first_slow_gap
        self.give_up_after: float | None = None
        """Seconds after which an attempt is given up, for tests that cannot wait for the shortest dispatch_deadline."""

        self._changed = threading.Condition(threading.RLock())
        self._queues: dict[str, _Queue] = {}
        self._deleted_queues: dict[str, datetime] = {}
        self._tombstones: dict[str, datetime] = {}
        self._attempts: set[_Attempt] = set()
        self._entries = 0
        self._pause_all = False
        self._stopping = False
        self.creations: list[Creation] = []
        self.deliveries: list[Delivery] = []
        # A connection that is kept could turn out dead when a function was restarted: a failure of our own making.
        self._http = httpx.Client(
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            timeout=httpx.Timeout(MAX_DISPATCH_DEADLINE.total_seconds()),
            trust_env=False,
        )
        self._dispatcher = threading.Thread(target=self._dispatch, name="cloud-tasks", daemon=True)
        super().__init__(
            "google.cloud.tasks.v2.CloudTasks",
            {
                "ListQueues": (api.ListQueuesRequest, self._list_queues),
                "GetQueue": (api.GetQueueRequest, lambda request: self._find_queue(request.name).message),
                "CreateQueue": (api.CreateQueueRequest, self._create_queue),
                "UpdateQueue": (api.UpdateQueueRequest, self._update_queue),
                "DeleteQueue": (api.DeleteQueueRequest, self._delete_queue),
                "PurgeQueue": (api.PurgeQueueRequest, self._purge_queue),
                "PauseQueue": (api.PauseQueueRequest, lambda request: self._set_paused(request.name, True)),
                "ResumeQueue": (api.ResumeQueueRequest, lambda request: self._set_paused(request.name, False)),
                "ListTasks": (api.ListTasksRequest, self._list_tasks),
                "GetTask": (api.GetTaskRequest, self._get_task),
                "CreateTask": (api.CreateTaskRequest, self._create_task),
                "DeleteTask": (api.DeleteTaskRequest, self._delete_task),
                "BatchDeleteTasks": (api.BatchDeleteTasksRequest, self._batch_delete_tasks),
                "RunTask": (api.RunTaskRequest, self._run_task),
            },
            port,
        )

    def start(self) -> None:
        super().start()
        self._dispatcher.start()

    def stop(self) -> None:
        """End everything; requests to workers that are under way are left to end by themselves. Safe to repeat."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._dispatcher.is_alive():
            self._dispatcher.join(timeout=5)
        super().stop()
        self._http.close()

    # Controls of the tests.

    def fail_next(
        self, code: grpc.StatusCode, times: int = 1, after: bool = False, method: str | None = "CreateTask"
    ) -> None:
        """As `GrpcService.fail_next`, for CreateTask unless told otherwise; `method=None` means any."""
        super().fail_next(code, times, after, method)

    def pause(self, queue: str | None = None) -> None:
        """Pause one queue, or all, those to come included."""
        if queue is None:
            self._pause_or_resume_all(True)
        else:
            self._set_paused(queue, True)

    def resume(self, queue: str | None = None) -> None:
        if queue is None:
            self._pause_or_resume_all(False)
        else:
            self._set_paused(queue, False)

    def pending(self, queue: str | None = None) -> list[PendingTask]:
        """Return the tasks that wait or run, of one queue or of all, by their schedule."""
        with self._changed:
            found = [
                task
                for name, each in self._queues.items()
                if queue is None or name == queue
                for task in each.tasks.values()
            ]
            found.sort(key=lambda task: (task.due, task.entry))
            return [_pending(task) for task in found]

    def idle(self, timeout: float = 10.0, horizon: float = 0.0) -> bool:
        """Wait until nothing runs and nothing is due; return whether that came true within `timeout` seconds.

        Not waited for: tasks scheduled more than `horizon` seconds ahead, retries included, and those of paused queues.
        """
        end = time.monotonic() + timeout
        with self._changed:
            while self._busy(timedelta(seconds=horizon)):
                left = end - time.monotonic()
                if left <= 0:
                    return False
                # With a horizon, time alone makes a difference, and nobody would tell.
                self._changed.wait(min(left, CLOCK_POLL))
            return True

    def run_all(self, now: datetime | None = None) -> list[Delivery]:
        """Deliver everything due by `now` (default: the clock's), one after the other, and return how it went.

        For tests that turn the clock. Pauses, rates and slowing down are passed over; tasks that come up meanwhile are
        delivered too, but none of them twice. A task whose retry falls due by `now` waits for the next call.
        """
        moment = now or self.clock()
        done: list[Delivery] = []
        tried: set[_Task] = set()
        while True:
            with self._changed:
                due = [
                    task
                    for queue in self._queues.values()
                    for task in queue.tasks.values()
                    if task.due <= moment and not task.running and task not in tried
                ]
                if not due:
                    return done
                task = min(due, key=lambda task: (task.due, task.entry))
                attempt = self._start_attempt(task, max(moment, self.clock()))
            tried.add(task)
            if not attempt.settled.wait(attempt.overdue - time.monotonic()):
                self._settle(attempt, None, "DEADLINE_EXCEEDED", {})
            attempt.settled.wait()
            if attempt.delivery is not None:
                done.append(attempt.delivery)

    def wake(self) -> None:
        """Look at the clock at once, after a test turned it; it is looked at every few hundredths of a second too."""
        with self._changed:
            self._changed.notify_all()

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def public_key(self) -> bytes:
        """The key that verifies the OIDC tokens of deliveries, in PEM."""
        return self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    # The service's methods: queues.

    def _list_queues(self, request: api.ListQueuesRequest) -> api.ListQueuesResponse:
        with self._changed:
            found = [
                queue.message for name, queue in sorted(self._queues.items()) if name.startswith(request.parent + "/")
            ]
        queues, token = page(found, request.page_size, request.page_token, 9800)
        return api.ListQueuesResponse(queues=queues, next_page_token=token)

    def _create_queue(self, request: api.CreateQueueRequest) -> api.Queue:
        name = request.queue.name
        if not _LOCATION.fullmatch(request.parent) or not name.startswith(request.parent + "/"):
            raise Refusal(INVALID, "The queue's name must begin with the parent, projects/P/locations/L.")
        with self._changed:
            if name in self._queues:
                raise Refusal(grpc.StatusCode.ALREADY_EXISTS, "Queue already exists")
            deleted = self._deleted_queues.get(name)
            if deleted is not None and self.clock() < deleted + DELETED_QUEUE_BLOCKED:
                raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, "A queue with this name existed too recently.")
            return self._new_queue(request.queue).message

    def _update_queue(self, request: api.UpdateQueueRequest) -> api.Queue:
        with self._changed:
            known = self._queues.get(request.queue.name)
            if known is None:
                return self._new_queue(request.queue).message
            wanted = api.Queue(known.message)
            if request.update_mask.paths:
                mask = field_mask_pb2.FieldMask(paths=request.update_mask.paths)
                try:
                    mask.MergeMessage(api.Queue.pb(request.queue), api.Queue.pb(wanted), replace_message_field=True)
                except ValueError as error:
                    raise Refusal(INVALID, str(error)) from error
            else:
                wanted = api.Queue(request.queue)
            # Output only, and the name cannot change.
            wanted.name, wanted.state = known.message.name, known.message.state
            wanted.purge_time = known.message.purge_time
            known.message = self._completed(wanted)
            self._changed.notify_all()
            return known.message

    def _delete_queue(self, request: api.DeleteQueueRequest) -> empty_pb2.Empty:
        with self._changed:
            queue = self._queues.pop(request.name, None)
            if queue is None:
                raise Refusal(NOT_FOUND, "Requested entity was not found.")
            self._deleted_queues[request.name] = self.clock()
            for task in list(queue.tasks.values()):
                self._remove(task)
        return empty_pb2.Empty()

    def _purge_queue(self, request: api.PurgeQueueRequest) -> api.Queue:
        with self._changed:
            queue = self._find_queue(request.name)
            for task in list(queue.tasks.values()):
                self._remove(task)
            queue.message.purge_time = self.clock()
            return queue.message

    def _set_paused(self, name: str, paused: bool) -> api.Queue:
        with self._changed:
            queue = self._find_queue(name)
            queue.message.state = _QueueState.PAUSED if paused else _QueueState.RUNNING
            self._changed.notify_all()
            return queue.message

    def _pause_or_resume_all(self, paused: bool) -> None:
        with self._changed:
            self._pause_all = paused
            for name in self._queues:
                self._set_paused(name, paused)

    # The service's methods: tasks.

    def _list_tasks(self, request: api.ListTasksRequest) -> api.ListTasksResponse:
        with self._changed:
            queue = self._find_queue(request.parent)
            found = [self._view(task, request.response_view) for _, task in sorted(queue.tasks.items())]
        tasks, token = page(found, request.page_size, request.page_token, 1000)
        return api.ListTasksResponse(tasks=tasks, next_page_token=token)

    def _get_task(self, request: api.GetTaskRequest) -> api.Task:
        with self._changed:
            return self._view(self._find_task(request.name), request.response_view)

    def _create_task(self, request: api.CreateTaskRequest) -> api.Task:
        with self._changed:
            now = self.clock()
            queue = self._find_queue(request.parent)
            message = self._checked(request.task, queue, now)
            if request.task.name:
                self._claim(message.name, queue, now)
            else:
                message.name = f"{request.parent}/tasks/{uuid.uuid4().int % 10**20:020d}"
            message.create_time = now.replace(microsecond=0)
            task = _Task(message=message, queue=queue, created=now, due=message.schedule_time)
            queue.tasks[message.name] = task
            self._note(request, "created", name=message.name)
            self._wait_for_turn(task)
            return self._view(task, request.response_view)

    def _delete_task(self, request: api.DeleteTaskRequest) -> empty_pb2.Empty:
        with self._changed:
            self._remove(self._find_task(request.name))
        return empty_pb2.Empty()

    def _batch_delete_tasks(self, request: api.BatchDeleteTasksRequest) -> Any:
        started = self.clock()
        failed: dict[int, Any] = {}
        with self._changed:
            for index, name in enumerate(request.names):
                try:
                    self._remove(self._find_task(name))
                except Refusal as refusal:
                    failed[index] = status_pb2.Status(code=refusal.code.value[0], message=str(refusal))
        state = api.BatchDeleteTasksMetadata.State
        metadata = api.BatchDeleteTasksMetadata(
            start_time=started,
            end_time=self.clock(),
            state=state.PARTIALLY_SUCCEEDED if failed else state.SUCCEEDED,
            failed_requests=failed,
        )
        # Here the work is done at once, and the long-running operation comes back finished.
        operation = operations_pb2.Operation(name=f"{request.parent}/operations/{uuid.uuid4()}", done=True)
        operation.metadata.Pack(api.BatchDeleteTasksMetadata.pb(metadata))
        if failed and len(failed) == len(request.names):
            operation.error.code = grpc.StatusCode.ABORTED.value[0]
            operation.error.message = "None of the tasks was deleted; the metadata tells why."
        else:
            operation.response.Pack(empty_pb2.Empty())
        return operation

    def _run_task(self, request: api.RunTaskRequest) -> api.Task:
        with self._changed:
            task = self._find_task(request.name)
            self._start_attempt(task, self.clock())
            return self._view(task, request.response_view)

    def refused(self, method: str, request: Any, code: grpc.StatusCode) -> None:
        if method == "CreateTask":
            with self._changed:
                outcome = "exists" if code is grpc.StatusCode.ALREADY_EXISTS else code.name
                self._note(request, outcome, name=request.task.name)

    # Queues and tasks.

    def _find_queue(self, name: str) -> _Queue:
        with self._changed:
            queue = self._queues.get(name)
            if queue is not None:
                return queue
            if self._create_queues and name not in self._deleted_queues:
                return self._new_queue(api.Queue(name=name))
            raise Refusal(NOT_FOUND, "Queue does not exist. If you just created it, wait at least a minute.")

    def _new_queue(self, wanted: api.Queue) -> _Queue:
        if not _QUEUE.fullmatch(wanted.name):
            raise Refusal(
                INVALID,
                "A queue is named projects/P/locations/L/queues/Q, Q of letters, digits and '-', at most 100.",
            )
        message = self._completed(api.Queue(wanted))
        message.state = _QueueState.PAUSED if self._pause_all else _QueueState.RUNNING
        queue = _Queue(message=message, tokens=message.rate_limits.max_burst_size, refilled=time.monotonic())
        self._queues[message.name] = queue
        return queue

    def _completed(self, queue: api.Queue) -> api.Queue:
        """Check a queue's settings and fill in what is left open: first our own defaults, then the service's."""
        limits, own = queue.rate_limits, self.rate_limits
        rate = limits.max_dispatches_per_second or own.max_dispatches_per_second or MAX_RATE
        concurrent = limits.max_concurrent_dispatches or own.max_concurrent_dispatches or 1000
        if not 0 < rate <= MAX_RATE:
            raise Refusal(INVALID, "RateLimits.maxDispatchesPerSecond must be between 0 and 500.")
        if not 0 < concurrent <= MAX_CONCURRENT:
            raise Refusal(INVALID, "RateLimits.maxConcurrentDispatches must be between 0 and 5000.")
        queue.rate_limits = api.RateLimits(
            max_dispatches_per_second=rate,
            # Output only. 500 a second come with a burst of 100; for other rates the proportion is a guess.
            max_burst_size=max(1, math.ceil(rate / 5)),
            max_concurrent_dispatches=concurrent,
        )
        queue.retry_config = _retry_config(queue.retry_config, self.retry_config, _SERVICE_RETRY_CONFIG)
        return queue

    def _checked(self, wanted: api.Task, queue: _Queue, now: datetime) -> api.Task:
        """Return the task as it will be kept, or refuse it."""
        message, parent = api.Task(wanted), queue.message.name
        if message.name:
            named, _, task_id = message.name.partition("/tasks/")
            if named != parent:
                raise Refusal(INVALID, f"The task's name must begin with the queue's, {parent}/tasks/.")
            if not _TASK_ID.fullmatch(task_id):
                raise Refusal(INVALID, "A task's ID has 1 to 500 letters, digits, hyphens and underscores.")
        if "http_request" not in message:
            raise Refusal(INVALID, "The stand-in delivers tasks with an http_request only.")
        http = message.http_request
        if not http.url:
            raise Refusal(INVALID, "HttpRequest.url is required.")
        if not http.url.startswith(("http://", "https://")):
            raise Refusal(INVALID, "HttpTarget.url must start with 'http://' or 'https://'.")
        if len(http.url) > MAX_URL_CHARACTERS:
            raise Refusal(INVALID, f"HttpRequest.url is longer than {MAX_URL_CHARACTERS} characters.")
        http.http_method = _HttpMethod(http.http_method or _HttpMethod.POST)
        if http.body and http.http_method not in _BODY_METHODS:
            raise Refusal(INVALID, "HttpRequest.body is only allowed with POST, PUT and PATCH.")
        if sum(len(name) + len(value) for name, value in http.headers.items()) >= MAX_HEADER_BYTES:
            raise Refusal(INVALID, "HttpRequest.headers are larger than 80 KB.")
        if "oidc_token" in http and not http.oidc_token.service_account_email:
            raise Refusal(INVALID, "OidcToken.service_account_email is required.")
        http.headers["User-Agent"] = "Google-Cloud-Tasks"
        if "dispatch_deadline" not in message:
            message.dispatch_deadline = DEFAULT_DISPATCH_DEADLINE
        if not MIN_DISPATCH_DEADLINE <= message.dispatch_deadline <= MAX_DISPATCH_DEADLINE:
            raise Refusal(INVALID, "Task.dispatchDeadline must be between 15 seconds and 30 minutes.")
        if "retry_config" in message:
            _retry_config(message.retry_config, queue.message.retry_config)
        if "schedule_time" not in message or message.schedule_time < now:
            message.schedule_time = now
        elif message.schedule_time > now + MAX_SCHEDULE_AHEAD:
            raise Refusal(INVALID, "Task.scheduleTime must not be more than 30 days ahead.")
        if api.Task.pb(message).ByteSize() > MAX_TASK_BYTES:
            raise Refusal(INVALID, f"The task is larger than {MAX_TASK_BYTES} bytes.")
        return message

    def _claim(self, name: str, queue: _Queue, now: datetime) -> None:
        """Refuse a name that is in use, or was too recently."""
        if name in queue.tasks:
            raise Refusal(grpc.StatusCode.ALREADY_EXISTS, "Requested entity already exists")
        released = self._tombstones.get(name)
        if released is not None and now < released:
            raise Refusal(
                grpc.StatusCode.ALREADY_EXISTS,
                "The task cannot be created because a task with this name existed too recently.",
            )

    def _find_task(self, name: str) -> _Task:
        queue = self._queues.get(name.partition("/tasks/")[0])
        task = queue.tasks.get(name) if queue is not None else None
        if task is None:
            raise Refusal(NOT_FOUND, "Requested entity was not found.")
        return task

    def _remove(self, task: _Task) -> None:
        """Forget the task and keep its name, from now on, for a while."""
        task.queue.tasks.pop(task.message.name, None)
        self._tombstones[task.message.name] = self.clock() + timedelta(seconds=self.tombstone_seconds)
        self._changed.notify_all()

    def _wait_for_turn(self, task: _Task) -> None:
        self._entries += 1
        task.entry = self._entries
        task.message.schedule_time = task.due
        heapq.heappush(task.queue.waiting, (task.due, task.entry, task))
        self._changed.notify_all()

    def _view(self, task: _Task, view: int) -> api.Task:
        message = api.Task(task.message)
        message.dispatch_count = task.attempts
        message.view = _View.FULL if view == _View.FULL else _View.BASIC
        if message.view == _View.BASIC:
            message.http_request.body = b""
        return message

    def _note(self, request: api.CreateTaskRequest, outcome: str, *, name: str) -> None:
        task = request.task
        self.creations.append(
            Creation(
                name=name,
                queue=request.parent,
                body=_parsed(task.http_request.body),
                schedule_time=_utc(task.schedule_time) if "schedule_time" in task else None,
                outcome=outcome,
                at=self.clock(),
            )
        )

    # Deliveries.

    def _dispatch(self) -> None:
        """The dispatcher's thread: start what is due, give up what is overdue, sleep until the next of either."""
        with self._changed:
            while not self._stopping:
                self._changed.wait(self._dispatch_due())

    def _dispatch_due(self) -> float | None:
        """Start every attempt that may start; return the seconds until there may be more to do, None for unknown."""
        waits: list[float] = [] if self._poll is None else [self._poll]
        for attempt in list(self._attempts):
            if attempt.overdue <= time.monotonic():
                self._settle(attempt, None, "DEADLINE_EXCEEDED", {})
        if self._deliver:
            for queue in list(self._queues.values()):
                if queue.message.state == _QueueState.RUNNING:
                    waits += self._dispatch_queue(queue)
        waits += [attempt.overdue - time.monotonic() for attempt in self._attempts]
        return max(0.0, min(waits)) if waits else None

    def _dispatch_queue(self, queue: _Queue) -> Iterable[float]:
        """Start what may start in one queue; return how long to wait, if time is what is missing."""
        limits = queue.message.rate_limits
        while queue.waiting:
            due, entry, task = queue.waiting[0]
            if task.entry != entry or task.running or queue.tasks.get(task.message.name) is not task:
                heapq.heappop(queue.waiting)
                continue
            now, clock = self.clock(), time.monotonic()
            if due > now:
                return [(due - now).total_seconds()]
            if queue.running >= limits.max_concurrent_dispatches:
                return []
            if queue.held_until > clock:
                return [queue.held_until - clock]
            rate = limits.max_dispatches_per_second
            queue.tokens = min(limits.max_burst_size, queue.tokens + (clock - queue.refilled) * rate)
            queue.refilled = clock
            if queue.tokens < 1:
                return [(1 - queue.tokens) / rate]
            queue.tokens -= 1
            if queue.slow_gap:
                queue.held_until = clock + queue.slow_gap
            self._start_attempt(task, now)
        return []

    def _start_attempt(self, task: _Task, now: datetime) -> _Attempt:
        """Send the task's request in a thread of its own. The caller holds the lock."""
        started = time.monotonic()
        patience = task.message.dispatch_deadline.total_seconds()
        if self.give_up_after is not None:
            patience = min(patience, self.give_up_after)
        attempt = _Attempt(
            task=task,
            headers=self._headers(task),
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
        threading.Thread(target=self._request, args=(attempt,), name=task.message.name[-40:], daemon=True).start()
        self._changed.notify_all()
        return attempt

    def _request(self, attempt: _Attempt) -> None:
        http = attempt.task.message.http_request
        try:
            response = self._http.request(
                _HttpMethod(http.http_method).name, http.url, headers=attempt.headers, content=http.body or None
            )
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError, ValueError) as error:
            # RuntimeError: the client was closed meanwhile. A URL that cannot be used is found out here, as at Google.
            self._settle(attempt, None, f"UNAVAILABLE: {error}", {})
        else:
            self._settle(attempt, response.status_code, None, response.headers)

    def _headers(self, task: _Task) -> dict[str, str]:
        http = task.message.http_request
        queue, _, task_id = task.message.name.partition("/tasks/")
        headers = {
            name: value
            for name, value in http.headers.items()
            if name.lower() not in ("host", "content-length") and not name.lower().startswith(_OWN_HEADERS)
        }
        if http.body and "content-type" not in {name.lower() for name in headers}:
            headers["Content-Type"] = "application/octet-stream"
        headers |= {
            "X-CloudTasks-QueueName": queue.rpartition("/")[2],
            "X-CloudTasks-TaskName": task_id,
            "X-CloudTasks-TaskRetryCount": str(task.attempts),
            "X-CloudTasks-TaskExecutionCount": str(task.answers_below_500),
            "X-CloudTasks-TaskETA": f"{task.due.timestamp():.6f}",
        }
        if task.attempts:
            if task.previous_status is not None:
                headers["X-CloudTasks-TaskPreviousResponse"] = str(task.previous_status)
            # The service sends it empty for HTTP tasks.
            headers["X-CloudTasks-TaskRetryReason"] = ""
        if "oidc_token" in http:
            headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            headers["Authorization"] = f"Bearer {self._id_token(http.oidc_token, http.url)}"
        elif "oauth_token" in http:
            headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            headers["Authorization"] = "Bearer sandbox-access-token"
        return headers

    def _id_token(self, oidc: api.OidcToken, url: str) -> str:
        """Sign a token of the service's form, for the task's URL unless it names another audience."""
        issued = int(time.time())
        claims = {
            "iss": "https://accounts.google.com",
            "aud": oidc.audience or url,
            "azp": oidc.service_account_email,
            "sub": oidc.service_account_email,
            "email": oidc.service_account_email,
            "email_verified": True,
            "iat": issued,
            "exp": issued + 3600,
        }
        signed = ".".join(_base64url(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64url(signature)}"

    def _settle(
        self, attempt: _Attempt, status: int | None, error: str | None, answer: httpx.Headers | dict[str, str]
    ) -> None:
        """Record how an attempt ended and what follows: the task is done, waits for its retry, or is given up.

        Only the first end counts; an answer that comes after the deadline changes nothing.
        """
        with self._changed:
            if attempt not in self._attempts:
                return
            self._attempts.remove(attempt)
            task, queue = attempt.task, attempt.task.queue
            task.running -= 1
            queue.running -= 1
            http = task.message.http_request
            attempt.delivery = Delivery(
                name=task.message.name,
                queue=queue.message.name,
                url=http.url,
                headers=attempt.headers,
                body=_parsed(http.body),
                status=status,
                error=error,
                retry_count=attempt.retry_count,
                at=attempt.at,
                seconds=time.monotonic() - attempt.started,
            )
            self.deliveries.append(attempt.delivery)
            now = max(attempt.at, self.clock())
            if status is not None:
                task.message.response_count += 1
                task.message.last_attempt.response_time = now
                if status < 500:
                    task.answers_below_500 += 1
            task.previous_status = status
            if attempt.delivery.succeeded:
                queue.slow_gap = queue.slow_gap / 2 if queue.slow_gap > self._first_slow_gap else 0.0
                self._remove(task)
            else:
                hold = self._slow_down(queue, answer, now) if status in (429, 503) else 0.0
                if queue.tasks.get(task.message.name) is task:
                    self._retry(task, now, hold)
            self._changed.notify_all()
            attempt.settled.set()

    def _retry(self, task: _Task, now: datetime, hold: float) -> None:
        config = task.queue.message.retry_config
        if "retry_config" in task.message:
            config = _retry_config(task.message.retry_config, config)
        pause = max(backoff(task.attempts, config), timedelta(seconds=hold))
        if _exhausted(task, config, now) or now + pause > task.created + RETENTION:
            self._remove(task)
            return
        task.due = now + pause
        self._wait_for_turn(task)

    def _slow_down(self, queue: _Queue, answer: httpx.Headers | dict[str, str], now: datetime) -> float:
        """Slow the whole queue down after 429 or 503: each such answer doubles the pause between its deliveries.

        Each success halves it again. `Retry-After` holds the queue back for so long; returns these seconds. The service
        does something of this kind and keeps to itself what exactly.
        """
        queue.slow_gap = min(LONGEST_SLOW_GAP, queue.slow_gap * 2 or self._first_slow_gap)
        hold = _retry_after(answer.get("Retry-After"), now)
        queue.held_until = max(queue.held_until, time.monotonic() + max(queue.slow_gap, hold))
        return hold

    def _busy(self, horizon: timedelta) -> bool:
        if self._attempts:
            return True
        until = self.clock() + horizon
        return any(
            task.due <= until
            for queue in self._queues.values()
            if queue.message.state == _QueueState.RUNNING and self._deliver
            for task in queue.tasks.values()
        )


_SERVICE_RETRY_CONFIG = api.RetryConfig(
    max_attempts=100,
    max_retry_duration=timedelta(0),
    min_backoff=timedelta(seconds=0.1),
    max_backoff=timedelta(hours=1),
    max_doublings=16,
)


def _retry_config(*configs: api.RetryConfig) -> api.RetryConfig:
    """Put together one configuration, each of its fields from the first that sets it; the last one sets them all."""

    def first(name: str) -> Any:
        return next((getattr(config, name) for config in configs if name in config), getattr(configs[-1], name))

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
        raise Refusal(INVALID, "RetryConfig.maxDoublings and RetryConfig.minBackoff cannot be negative.")
    if chosen.min_backoff > chosen.max_backoff:
        raise Refusal(INVALID, "RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff.")
    return chosen


def _exhausted(task: _Task, config: api.RetryConfig, now: datetime) -> bool:
    """Whether no try is left: both limits reached, of those that are set. None set: the task's 31 days are the end."""
    reached = []
    if config.max_attempts != -1:
        reached.append(task.attempts >= config.max_attempts)
    if config.max_retry_duration and task.first_attempt is not None:
        reached.append(now - task.first_attempt >= config.max_retry_duration)
    return bool(reached) and all(reached)


def _retry_after(text: str | None, now: datetime) -> float:
    """Seconds to wait by a `Retry-After` in either of its forms; 0 for none, or one that says nothing."""
    if text is None:
        return 0.0
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def _pending(task: _Task) -> PendingTask:
    http = task.message.http_request
    return PendingTask(
        name=task.message.name,
        queue=task.queue.message.name,
        method=_HttpMethod(http.http_method).name,
        url=http.url,
        headers=dict(http.headers),
        body=_parsed(http.body),
        schedule_time=_utc(task.due),
        attempts=task.attempts,
        running=task.running > 0,
    )


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body


def _utc(moment: datetime) -> datetime:
    """A plain datetime for the protocol buffers' own kind, which compares alike and prints differently."""
    return datetime.fromtimestamp(moment.timestamp(), UTC)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox.cloud_tasks", description="Cloud Tasks, a stand-in.")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    tasks = CloudTasks(port=parser.parse_args().port)
    tasks.start()
    print(f"CLOUD_TASKS_EMULATOR_HOST={tasks.host}", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        tasks.stop()


if __name__ == "__main__":
    main()
