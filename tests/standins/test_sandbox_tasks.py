"""The stand-in for Cloud Tasks, through the real client and real HTTP."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import flask
import grpc
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from google.api_core import exceptions
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from google.protobuf import field_mask_pb2

from sandbox.cloud_tasks import CloudTasks, backoff
from sandbox.servers import HttpServer, free_port

LOCATION = "projects/p/locations/europe-west1"
QUEUE = f"{LOCATION}/queues/sync"
QUICK = tasks_v2.RetryConfig(
    min_backoff=timedelta(milliseconds=20),
    max_backoff=timedelta(milliseconds=100),
    max_doublings=2,
    max_attempts=5,
)

Answer = tuple[int, dict[str, str]]


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float


@dataclass
class Worker:
    """What Cloud Tasks delivers to: answers from a list, then 200, and remembers every request."""

    url: str = ""
    answers: list[Answer | Callable[[], Answer]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def handle(self) -> flask.Response:
        request = flask.request
        with self.lock:
            self.requests.append(
                Request(
                    request.method,
                    request.full_path,
                    dict(request.headers),
                    request.get_data(),
                    time.monotonic(),
                )
            )
            answer = self.answers.pop(0) if self.answers else (200, {})
        status, headers = answer if isinstance(answer, tuple) else answer()
        return flask.Response("", status=status, headers=headers)


class Clock:
    """A clock that stands until it is turned."""

    def __init__(self) -> None:
        self.time = datetime(2026, 5, 4, 8, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def turn(self, **by: float) -> None:
        self.time += timedelta(**by)


@pytest.fixture
def worker() -> Iterator[Worker]:
    """A server of this test alone: what an earlier test left under way must not arrive here."""
    worker = Worker()
    app = flask.Flask("worker")
    app.before_request(worker.handle)
    server = HttpServer(app)
    worker.url = server.url
    server.start()
    yield worker
    server.stop()


Start = Callable[..., tuple[CloudTasks, tasks_v2.CloudTasksClient]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the stand-in with the settings a test wants; gives it and the real client."""
    ends: list[Callable[[], Any]] = []

    def start(**settings: Any) -> tuple[CloudTasks, tasks_v2.CloudTasksClient]:
        settings.setdefault("retry_config", QUICK)
        settings.setdefault("first_slow_gap", 0.02)
        tasks = CloudTasks(**settings)
        tasks.start()
        channel = grpc.insecure_channel(tasks.host)
        ends.extend([channel.close, tasks.stop])
        return tasks, tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))

    yield start
    for end in ends:
        end()


def task(url: str, name: str | None = None, body: Any = None, **fields: Any) -> tasks_v2.Task:
    http: dict[str, Any] = {"url": url, "http_method": fields.pop("method", "POST")}
    http["headers"] = fields.pop("headers", {})
    if body is not None:
        http["body"] = body if isinstance(body, bytes) else json.dumps(body).encode()
    for token in ("oidc_token", "oauth_token"):
        if token in fields:
            http[token] = fields.pop(token)
    if name is not None:
        fields["name"] = f"{QUEUE}/tasks/{name}"
    return tasks_v2.Task(http_request=http, **fields)


def create(client: tasks_v2.CloudTasksClient, wanted: tasks_v2.Task) -> tasks_v2.Task:
    return client.create_task(parent=QUEUE, task=wanted)


def header(request: Request, name: str) -> str | None:
    return {key.lower(): value for key, value in request.headers.items()}.get(name.lower())


# Deliveries.


def test_a_task_is_delivered_as_it_was_given(start: Start, worker: Worker) -> None:
    """Method, path, headers and body arrive, with the service's own headers beside them."""
    tasks, client = start()
    before = time.time()
    created = create(
        client,
        task(
            worker.url + "/sync?x=1",
            "abc",
            {"a": 1},
            headers={"X-Mine": "1", "X-CloudTasks-TaskName": "forged"},
        ),
    )
    assert tasks.idle()
    [request] = worker.requests
    assert (request.method, request.path, json.loads(request.body)) == (
        "POST",
        "/sync?x=1",
        {"a": 1},
    )
    assert header(request, "X-Mine") == "1"
    assert header(request, "User-Agent") == "Google-Cloud-Tasks"
    assert header(request, "Content-Type") == "application/octet-stream"
    assert header(request, "X-CloudTasks-QueueName") == "sync"
    assert header(request, "X-CloudTasks-TaskName") == "abc"
    assert header(request, "X-CloudTasks-TaskRetryCount") == "0"
    assert header(request, "X-CloudTasks-TaskExecutionCount") == "0"
    assert before - 1 < float(header(request, "X-CloudTasks-TaskETA") or 0) < time.time() + 1
    assert header(request, "X-CloudTasks-TaskPreviousResponse") is None
    assert header(request, "X-CloudTasks-TaskRetryReason") is None
    assert created.name == f"{QUEUE}/tasks/abc"
    assert tasks.pending() == []
    [delivery] = tasks.deliveries
    assert (delivery.name, delivery.body, delivery.status, delivery.retry_count) == (
        created.name,
        {"a": 1},
        200,
        0,
    )


def test_a_content_type_of_the_task_is_kept(start: Start, worker: Worker) -> None:
    """What the task says about its body is what the worker is told."""
    tasks, client = start()
    create(client, task(worker.url, body={}, headers={"content-type": "application/json"}))
    create(client, task(worker.url, method="GET"))
    assert tasks.idle()
    types = {request.method: header(request, "Content-Type") for request in worker.requests}
    assert types == {"POST": "application/json", "GET": None}


def test_an_identity_token_names_its_audience_and_account(start: Start, worker: Worker) -> None:
    """A task with an OIDC token carries a signed one, for the URL unless it names an audience."""
    tasks, client = start()
    account = "tasks@p.iam.gserviceaccount.com"
    create(
        client,
        task(
            worker.url + "/a",
            oidc_token={"service_account_email": account, "audience": "https://worker"},
        ),
    )
    assert tasks.idle()
    create(client, task(worker.url + "/b", oidc_token={"service_account_email": account}))
    assert tasks.idle()
    claims = []
    key = serialization.load_pem_public_key(tasks.public_key)
    assert isinstance(key, rsa.RSAPublicKey)
    for request in worker.requests:
        scheme, token = (header(request, "Authorization") or "").split()
        assert scheme == "Bearer"
        head, payload, signature = (
            base64.urlsafe_b64decode(part + "==") for part in token.split(".")
        )
        key.verify(
            signature, token.rpartition(".")[0].encode(), padding.PKCS1v15(), hashes.SHA256()
        )
        assert json.loads(head)["alg"] == "RS256"
        claims.append(json.loads(payload))
    assert [claim["aud"] for claim in claims] == ["https://worker", worker.url + "/b"]
    assert {claim["email"] for claim in claims} == {account}
    assert all(claim["exp"] > time.time() for claim in claims)


def test_a_failed_task_comes_again_until_it_succeeds(start: Start, worker: Worker) -> None:
    """Any answer but 2xx is retried, and the headers count as the service counts."""
    tasks, client = start()
    worker.answers = [(500, {}), (404, {}), (302, {"Location": "/elsewhere"}), (204, {})]
    create(client, task(worker.url, "again"))
    assert tasks.idle(horizon=1)
    told = [
        tuple(
            header(request, f"X-CloudTasks-Task{name}")
            for name in ("RetryCount", "ExecutionCount", "PreviousResponse", "RetryReason")
        )
        for request in worker.requests
    ]
    assert told == [
        ("0", "0", None, None),
        ("1", "0", "500", ""),
        ("2", "1", "404", ""),
        ("3", "2", "302", ""),
    ]
    assert [delivery.status for delivery in tasks.deliveries] == [500, 404, 302, 204]
    assert tasks.pending() == []


def test_a_worker_that_is_not_there_is_tried_again(start: Start, worker: Worker) -> None:
    """No answer at all is a failed attempt with an error and without a status."""
    tasks, client = start()
    create(client, task(f"http://127.0.0.1:{free_port()}/", "lost"))
    assert tasks.idle(horizon=1)
    assert len(tasks.deliveries) == 5
    assert {delivery.status for delivery in tasks.deliveries} == {None}
    assert all((delivery.error or "").startswith("UNAVAILABLE") for delivery in tasks.deliveries)
    assert worker.requests == []


def test_a_task_whose_retries_run_out_is_deleted(start: Start, worker: Worker) -> None:
    """After max_attempts the task is gone without a trace, and its name stays taken."""
    tasks, client = start()
    worker.answers = [(500, {})] * 9
    create(client, task(worker.url, "doomed"))
    assert tasks.idle(horizon=1)
    assert len(worker.requests) == 5
    assert tasks.pending() == []
    with pytest.raises(exceptions.NotFound):
        client.get_task(name=f"{QUEUE}/tasks/doomed")
    with pytest.raises(exceptions.AlreadyExists):
        create(client, task(worker.url, "doomed"))


def test_both_limits_of_retrying_must_be_reached(start: Start, worker: Worker) -> None:
    """max_attempts alone does not end a task whose max_retry_duration has not passed."""
    clock = Clock()
    tasks, client = start(
        clock=clock,
        deliver=False,
        retry_config=tasks_v2.RetryConfig(
            max_attempts=2,
            max_retry_duration=timedelta(seconds=60),
            min_backoff=timedelta(seconds=10),
            max_backoff=timedelta(seconds=10),
        ),
    )
    worker.answers = [(500, {})] * 50
    create(client, task(worker.url))
    while tasks.pending():
        assert len(tasks.run_all()) == 1
        clock.turn(seconds=10)
    assert len(worker.requests) == 7


def test_a_task_may_bring_its_own_retries(start: Start, worker: Worker) -> None:
    """A task's retry_config goes before the queue's, which fills in what it leaves open."""
    tasks, client = start()
    worker.answers = [(500, {})] * 9
    create(client, task(worker.url, retry_config=tasks_v2.RetryConfig(max_attempts=2)))
    assert tasks.idle(horizon=1)
    assert len(worker.requests) == 2


def test_backoff_doubles_then_grows_evenly_then_stays() -> None:
    """The service's own example: 10 s, at most 300 s, three doublings."""
    config = tasks_v2.RetryConfig(
        min_backoff=timedelta(seconds=10), max_backoff=timedelta(seconds=300), max_doublings=3
    )
    pauses = [backoff(attempts, config).total_seconds() for attempts in range(1, 9)]
    assert pauses == [10, 20, 40, 80, 160, 240, 300, 300]
    assert backoff(10**6, config) == timedelta(seconds=300)


def test_a_missed_deadline_is_a_failure_while_the_request_goes_on(
    start: Start, worker: Worker
) -> None:
    """An attempt that takes too long is tried again beside the first, whose late answer changes
    nothing."""
    tasks, client = start()
    tasks.give_up_after = 0.1
    release = threading.Event()

    def slow() -> Answer:
        release.wait(10)
        return 200, {}

    worker.answers = [slow]
    created = create(client, task(worker.url, "slow", dispatch_deadline=timedelta(seconds=15)))
    assert tasks.idle(horizon=1)
    release.set()
    assert [(delivery.status, delivery.error) for delivery in tasks.deliveries] == [
        (None, "DEADLINE_EXCEEDED"),
        (200, None),
    ]
    assert created.dispatch_deadline == timedelta(seconds=15)
    assert header(worker.requests[1], "X-CloudTasks-TaskPreviousResponse") is None


# Names.


def test_a_name_is_taken_while_its_task_lives_and_for_a_while_after(
    start: Start, worker: Worker
) -> None:
    """The same name again is ALREADY_EXISTS until the tombstone is gone; without names nothing
    is compared."""
    clock = Clock()
    tasks, client = start(clock=clock, tombstone_seconds=600)
    later = task(worker.url, "once", schedule_time=clock() + timedelta(seconds=30))
    create(client, later)
    with pytest.raises(exceptions.AlreadyExists):
        create(client, later)
    clock.turn(seconds=31)
    assert tasks.idle()
    assert len(worker.requests) == 1
    clock.turn(seconds=590)
    with pytest.raises(exceptions.AlreadyExists):
        create(client, task(worker.url, "once"))
    clock.turn(seconds=11)
    create(client, task(worker.url, "once"))
    assert create(client, task(worker.url)).name != create(client, task(worker.url)).name
    assert tasks.idle()
    assert len(worker.requests) == 4
    outcomes = [creation.outcome for creation in tasks.creations]
    assert outcomes == ["created", "exists", "exists", "created", "created", "created"]


def test_a_name_stays_taken_after_its_task_was_deleted(start: Start, worker: Worker) -> None:
    """Deleting a task, or purging its queue, frees the name no sooner than running it."""
    _, client = start()
    ahead = datetime.now(UTC) + timedelta(hours=1)
    for name in ("deleted", "purged"):
        create(client, task(worker.url, name, schedule_time=ahead))
    client.delete_task(name=f"{QUEUE}/tasks/deleted")
    client.purge_queue(name=QUEUE)
    for name in ("deleted", "purged"):
        with pytest.raises(exceptions.AlreadyExists, match="too recently"):
            create(client, task(worker.url, name))
    with pytest.raises(exceptions.NotFound):
        client.delete_task(name=f"{QUEUE}/tasks/deleted")
    assert worker.requests == []


def test_a_crowd_that_creates_one_name_makes_one_task(start: Start, worker: Worker) -> None:
    """However many ask at the same instant, one is told that it created the task."""
    tasks, client = start()
    told: list[str] = []
    gate = threading.Barrier(12)

    def one() -> None:
        gate.wait()
        try:
            create(client, task(worker.url, "crowd"))
            told.append("created")
        except exceptions.AlreadyExists:
            told.append("exists")

    threads = [threading.Thread(target=one) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["created"] + ["exists"] * 11
    assert tasks.idle()
    assert len(worker.requests) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "a b"}, "letters, digits"),
        ({"name": "a" * 501}, "letters, digits"),
        ({"name": "user@example.com"}, "letters, digits"),
        ({"url": ""}, "url is required"),
        ({"url": "ftp://example.com"}, "must start with"),
        ({"url": "https://example.com/" + "a" * 2064}, "2083"),
        ({"method": "GET", "body": b"x"}, "POST, PUT and PATCH"),
        ({"body": b"x" * 102_400}, "larger than"),
        ({"headers": {"X-Long": "x" * 81_920}}, "80 KB"),
        ({"schedule_time": datetime.now(UTC) + timedelta(days=30, hours=5)}, "30 days"),
        ({"dispatch_deadline": timedelta(seconds=14)}, "15 seconds"),
        ({"dispatch_deadline": timedelta(minutes=31)}, "15 seconds"),
        ({"oidc_token": {"audience": "https://worker"}}, "service_account_email"),
        ({"retry_config": tasks_v2.RetryConfig(max_attempts=-2)}, "-1"),
    ],
)
def test_what_the_service_refuses_is_refused(
    start: Start, change: dict[str, Any], said: str
) -> None:
    """A task outside the service's limits is INVALID_ARGUMENT, and nothing of it stays."""
    tasks, client = start()
    with pytest.raises(exceptions.InvalidArgument, match=said):
        create(client, task(**{"url": "https://example.com/", **change}))
    assert tasks.pending() == []
    assert [creation.outcome for creation in tasks.creations] == ["INVALID_ARGUMENT"]


def test_a_task_belongs_to_the_queue_it_is_created_in(start: Start, worker: Worker) -> None:
    """A name under another queue is refused."""
    _, client = start()
    with pytest.raises(exceptions.InvalidArgument):
        client.create_task(parent=f"{LOCATION}/queues/other", task=task(worker.url, "x"))


# Schedules, queues, rates.


def test_a_task_of_the_future_waits_for_its_time(start: Start, worker: Worker) -> None:
    """Nothing comes before its schedule; `idle` does not wait for it, and a time in the past
    means now."""
    clock = Clock()
    tasks, client = start(clock=clock)
    create(
        client,
        task(
            worker.url + "/later", "later", {"n": 1}, schedule_time=clock() + timedelta(minutes=5)
        ),
    )
    past = create(client, task(worker.url + "/past", schedule_time=clock() - timedelta(days=1)))
    assert past.schedule_time == clock()
    assert tasks.idle()
    assert [request.path for request in worker.requests] == ["/past?"]
    [waiting] = tasks.pending(QUEUE)
    assert (waiting.body, waiting.schedule_time, waiting.attempts) == (
        {"n": 1},
        clock() + timedelta(minutes=5),
        0,
    )
    assert waiting.url == worker.url + "/later"
    clock.turn(minutes=5)
    assert tasks.idle()
    assert len(worker.requests) == 2


def test_run_all_delivers_what_is_due_in_order_and_once(start: Start, worker: Worker) -> None:
    """For tests that turn the clock: all that is due up to a moment, though the queue is paused;
    a retry next time."""
    clock = Clock()
    tasks, client = start(clock=clock, deliver=False)
    tasks.pause()
    for name, seconds in (("c", 90), ("b", 20), ("a", 10)):
        create(client, task(worker.url, name, schedule_time=clock() + timedelta(seconds=seconds)))
    assert tasks.run_all() == []
    worker.answers = [(500, {})]
    done = tasks.run_all(now=clock() + timedelta(seconds=60))
    assert [(delivery.name[-1], delivery.status) for delivery in done] == [("a", 500), ("b", 200)]
    clock.turn(seconds=61)
    assert [delivery.name[-1] for delivery in tasks.run_all()] == ["a"]
    assert [waiting.name[-1] for waiting in tasks.pending()] == ["c"]


def test_a_paused_queue_takes_tasks_and_keeps_them(start: Start, worker: Worker) -> None:
    """Paused, nothing is delivered but what RunTask forces; resumed, everything is."""
    tasks, client = start()
    client.pause_queue(name=QUEUE)
    for name in ("a", "b"):
        create(client, task(worker.url, name))
    assert tasks.idle()
    assert worker.requests == []
    assert client.get_queue(name=QUEUE).state == tasks_v2.Queue.State.PAUSED
    client.run_task(name=f"{QUEUE}/tasks/b")
    assert tasks.idle()
    assert [header(request, "X-CloudTasks-TaskName") for request in worker.requests] == ["b"]
    with pytest.raises(exceptions.NotFound):
        client.run_task(name=f"{QUEUE}/tasks/b")
    tasks.resume(QUEUE)
    assert tasks.idle()
    assert len(worker.requests) == 2


def test_all_queues_can_be_paused_before_they_exist(start: Start, worker: Worker) -> None:
    """`pause()` without a name holds for queues to come."""
    tasks, client = start()
    tasks.pause()
    create(client, task(worker.url))
    assert tasks.idle()
    assert worker.requests == []
    tasks.resume()
    assert tasks.idle()
    assert len(worker.requests) == 1


def test_a_forced_run_starts_beside_one_under_way(start: Start, worker: Worker) -> None:
    """RunTask on a running task delivers it a second time: at least once is not once."""
    tasks, client = start()
    release = threading.Event()

    def wait() -> Answer:
        release.wait(10)
        return 200, {}

    worker.answers = [wait, wait]
    create(client, task(worker.url, "twice"))
    deadline = time.monotonic() + 5
    while not worker.requests and time.monotonic() < deadline:
        time.sleep(0.01)
    client.run_task(name=f"{QUEUE}/tasks/twice")
    while len(worker.requests) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    release.set()
    assert tasks.idle()
    assert len(worker.requests) == 2


def test_rate_and_concurrency_hold(start: Start, worker: Worker) -> None:
    """A queue starts no more than its rate, and has no more under way than its limit."""
    tasks, client = start(create_queues=False)
    client.create_queue(
        parent=LOCATION,
        queue=tasks_v2.Queue(
            name=QUEUE,
            rate_limits={"max_dispatches_per_second": 20, "max_concurrent_dispatches": 2},
        ),
    )
    running: list[int] = []
    under_way = 0
    lock = threading.Lock()

    def count() -> Answer:
        nonlocal under_way
        with lock:
            under_way += 1
            running.append(under_way)
        time.sleep(0.1)
        with lock:
            under_way -= 1
        return 200, {}

    worker.answers = [count] * 12
    for _ in range(12):
        create(client, task(worker.url))
    assert tasks.idle()
    assert max(running) == 2
    # Twelve, of which the bucket's burst of four may start at once; the rest at twenty a second.
    assert worker.requests[-1].at - worker.requests[0].at >= 0.35


def test_429_and_503_slow_the_whole_queue_down(start: Start, worker: Worker) -> None:
    """After 503 with Retry-After nobody of that queue is served for so long; after 500 only its
    own task waits."""
    tasks, client = start(first_slow_gap=0.2)
    worker.answers = [(500, {})]
    create(client, task(worker.url))
    assert tasks.idle(horizon=1)
    create(client, task(worker.url))
    assert tasks.idle(horizon=1)
    worker.requests.clear()

    worker.answers = [(503, {"Retry-After": "1"})]
    create(client, task(worker.url, "slowed"))
    deadline = time.monotonic() + 5
    while (
        not any(delivery.status == 503 for delivery in tasks.deliveries)
        and time.monotonic() < deadline
    ):
        time.sleep(0.01)
    create(client, task(worker.url, "bystander"))
    other = f"{LOCATION}/queues/other"
    client.create_task(
        parent=other, task=tasks_v2.Task(http_request={"url": worker.url + "/other"})
    )
    assert tasks.idle(horizon=5)
    first, elsewhere, *rest = worker.requests
    assert elsewhere.path == "/other?"
    assert [request.at - first.at > 0.9 for request in rest] == [True, True]


def test_queues_are_made_listed_changed_and_deleted(start: Start, worker: Worker) -> None:
    """CreateQueue fills in the service's defaults; an update takes a mask; a deleted name is
    blocked."""
    tasks, client = start(create_queues=False, retry_config=None)
    with pytest.raises(exceptions.NotFound):
        create(client, task(worker.url))
    client.create_queue(parent=LOCATION, queue=tasks_v2.Queue(name=QUEUE))
    queue = client.get_queue(name=QUEUE)
    assert queue.rate_limits.max_dispatches_per_second == 500
    assert queue.rate_limits.max_concurrent_dispatches == 1000
    assert (queue.retry_config.max_attempts, queue.retry_config.max_doublings) == (100, 16)
    assert (queue.retry_config.min_backoff, queue.retry_config.max_backoff) == (
        timedelta(seconds=0.1),
        timedelta(hours=1),
    )
    with pytest.raises(exceptions.AlreadyExists):
        client.create_queue(parent=LOCATION, queue=tasks_v2.Queue(name=QUEUE))
    for wrong in ({"max_attempts": -2}, {"min_backoff": timedelta(hours=2)}):
        with pytest.raises(exceptions.InvalidArgument):
            client.create_queue(
                parent=LOCATION,
                queue=tasks_v2.Queue(name=f"{LOCATION}/queues/wrong", retry_config=wrong),
            )
    with pytest.raises(exceptions.InvalidArgument):
        client.create_queue(parent=LOCATION, queue=tasks_v2.Queue(name=f"{LOCATION}/queues/a_b"))
    changed = client.update_queue(
        queue=tasks_v2.Queue(
            name=QUEUE,
            rate_limits={"max_dispatches_per_second": 5},
            retry_config={"max_attempts": 7},
        ),
        update_mask=field_mask_pb2.FieldMask(paths=["rate_limits.max_dispatches_per_second"]),
    )
    assert changed.rate_limits.max_dispatches_per_second == 5
    assert changed.retry_config.max_attempts == 100
    assert [queue.name for queue in client.list_queues(parent=LOCATION)] == [QUEUE]
    ahead = datetime.now(UTC) + timedelta(hours=1)
    for name in ("a", "b", "c"):
        create(client, task(worker.url, name, b"secret", schedule_time=ahead))
    listed = list(client.list_tasks(request={"parent": QUEUE, "page_size": 2}))
    assert [found.name[-1] for found in listed] == ["a", "b", "c"]
    assert {found.http_request.body for found in listed} == {b""}
    full = client.get_task(
        request={"name": f"{QUEUE}/tasks/a", "response_view": tasks_v2.Task.View.FULL}
    )
    assert full.http_request.body == b"secret"
    client.delete_queue(name=QUEUE)
    assert tasks.pending() == []
    with pytest.raises(exceptions.NotFound):
        create(client, task(worker.url))
    with pytest.raises(exceptions.FailedPrecondition):
        client.create_queue(parent=LOCATION, queue=tasks_v2.Queue(name=QUEUE))


def test_a_batch_of_tasks_is_deleted(start: Start, worker: Worker) -> None:
    """BatchDeleteTasks deletes what is there and comes back finished, telling what was not."""
    tasks, client = start()
    ahead = datetime.now(UTC) + timedelta(hours=1)
    for name in ("a", "b", "c"):
        create(client, task(worker.url, name, schedule_time=ahead))
    operation = client.batch_delete_tasks(
        request={
            "parent": QUEUE,
            "names": [f"{QUEUE}/tasks/{name}" for name in ("a", "missing", "b")],
        }
    )
    assert operation.operation.done
    assert list(operation.metadata.failed_requests) == [1]
    assert [waiting.name[-1] for waiting in tasks.pending()] == ["c"]


# Failures on request.


def test_a_creation_can_fail_with_or_without_effect(start: Start, worker: Worker) -> None:
    """`fail_next` answers instead of acting, and with `after` acts first: the caller cannot know
    which."""
    tasks, client = start()
    tasks.fail_next(grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(exceptions.ServiceUnavailable):
        create(client, task(worker.url, "never"))
    tasks.fail_next(grpc.StatusCode.DEADLINE_EXCEEDED, after=True)
    with pytest.raises(exceptions.DeadlineExceeded):
        create(client, task(worker.url, "after-all"))
    with pytest.raises(exceptions.AlreadyExists):
        create(client, task(worker.url, "after-all"))
    client.get_queue(name=QUEUE)
    assert tasks.idle()
    assert [header(request, "X-CloudTasks-TaskName") for request in worker.requests] == [
        "after-all"
    ]
    assert [creation.outcome for creation in tasks.creations] == [
        "UNAVAILABLE",
        "created",
        "exists",
    ]


def test_the_service_can_be_down_or_slow(start: Start, worker: Worker) -> None:
    """`refuse_all` answers UNAVAILABLE until it is over; `delay` holds every call up."""
    tasks, client = start()
    tasks.refuse_all(True)
    with pytest.raises(exceptions.ServiceUnavailable):
        create(client, task(worker.url))
    tasks.refuse_all(False)
    tasks.delay(0.2)
    begun = time.monotonic()
    with pytest.raises(exceptions.DeadlineExceeded):
        client.create_task(parent=QUEUE, task=task(worker.url), timeout=0.05)
    create(client, task(worker.url))
    assert time.monotonic() - begun >= 0.2
    tasks.delay(0)
