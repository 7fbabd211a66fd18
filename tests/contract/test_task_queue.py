"""Cloud Tasks through the real client against the stand-in: tasks, and what errors mean (N4)."""

from __future__ import annotations

import base64
import inspect
import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import flask
import grpc
import pytest
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from sandbox.cloud_tasks import CloudTasks, PendingTask
from sandbox.servers import HttpServer, free_port
from sync import context
from sync.errors import TryLater
from sync.google.task_queue import CHANNEL_ID, CHANNEL_RESOURCE_ID, TaskQueue
from sync.model.calendar import Channel
from sync.model.event import CalendarId, EventId
from sync.tracing import carried, follow_trace

ANNA = CalendarId("anna@example.com")
WORKER = "https://worker.example.com/sync"

_numbers = itertools.count(1)


@pytest.fixture
def name() -> str:
    return f"projects/p/locations/here/queues/own-{next(_numbers)}"


def queue_of(
    cloud_tasks: CloudTasks, name: str, account: str = "", worker: str = WORKER
) -> TaskQueue:
    return TaskQueue(
        queue=name,
        worker_url=worker,
        service_account=account,
        dispatch_deadline=timedelta(minutes=9),
        emulator=cloud_tasks.host,
    )


@pytest.fixture
def queue(cloud_tasks: CloudTasks, name: str) -> Iterator[TaskQueue]:
    queue = queue_of(cloud_tasks, name)
    yield queue
    queue.close()


def only(cloud_tasks: CloudTasks, name: str) -> PendingTask:
    (task,) = cloud_tasks.pending(name)
    return task


def test_a_calendar_s_task_says_which(queue: TaskQueue, cloud_tasks: CloudTasks, name: str) -> None:
    """A POST of JSON to the worker, due at once, without the headers of a notification."""
    assert queue.enqueue_calendar(ANNA)
    task = only(cloud_tasks, name)
    assert (task.method, task.url, task.body) == ("POST", WORKER, {"calendar_id": ANNA})
    assert task.headers["Content-Type"] == "application/json"
    assert CHANNEL_ID not in task.headers
    assert task.schedule_time <= datetime.now(UTC)


def test_an_event_s_task_says_which(queue: TaskQueue, cloud_tasks: CloudTasks, name: str) -> None:
    """Every character of the ids comes through."""
    assert queue.enqueue_event(CalendarId("ä#%/@\N{BIRTHDAY CAKE}"), EventId("e 1\n"))
    assert only(cloud_tasks, name).body == {
        "calendar_id": "ä#%/@\N{BIRTHDAY CAKE}",
        "event_id": "e 1\n",
    }


def test_h3_a_notification_s_task_carries_the_channel(
    queue: TaskQueue, cloud_tasks: CloudTasks, name: str
) -> None:
    """The worker can stop a channel that rings for nobody."""
    queue.enqueue_calendar(ANNA, channel=Channel(id="channel-1", resource_id="resource-1"))
    headers = only(cloud_tasks, name).headers
    assert (headers[CHANNEL_ID], headers[CHANNEL_RESOURCE_ID]) == ("channel-1", "resource-1")


def test_a_task_carries_the_trace_also_from_another_thread(
    queue: TaskQueue, cloud_tasks: CloudTasks, name: str
) -> None:
    """A notification, its tasks, and what the threads of a run enqueue, are one trace."""
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    follow_trace({"traceparent": traceparent})
    with ThreadPoolExecutor(1) as pool:
        pool.submit(carried(queue.enqueue_event), ANNA, EventId("e1")).result()
    follow_trace({})
    assert only(cloud_tasks, name).headers["traceparent"] == traceparent


def test_the_queue_is_what_a_run_needs(queue: TaskQueue) -> None:
    """It has every method of the protocol, with the same parameters."""
    needed: context.TaskQueue = queue
    for method in ("enqueue_calendar", "enqueue_event"):
        assert inspect.signature(getattr(needed, method)) == inspect.signature(
            getattr(context.TaskQueue, method).__get__(queue)
        )


def test_a_task_waits_for_its_time(queue: TaskQueue, cloud_tasks: CloudTasks, name: str) -> None:
    """To the microsecond, also from another zone."""
    at = datetime.now(UTC) + timedelta(hours=1, microseconds=7)
    queue.enqueue_event(ANNA, EventId("e1"), at=at)
    assert only(cloud_tasks, name).schedule_time == at


def test_a_task_beyond_what_cloud_tasks_takes_comes_as_late_as_it_can(
    queue: TaskQueue, cloud_tasks: CloudTasks, name: str
) -> None:
    """A wait of months is cut to what the service accepts, not refused: whoever looks then waits
    on."""
    assert queue.enqueue_event(ANNA, EventId("e1"), at=datetime.now(UTC) + timedelta(days=90))
    wait = only(cloud_tasks, name).schedule_time - datetime.now(UTC)
    assert timedelta(days=28) < wait < timedelta(days=30)


def test_a_time_that_has_passed_is_now(
    queue: TaskQueue, cloud_tasks: CloudTasks, name: str
) -> None:
    """Late is no error."""
    assert queue.enqueue_event(ANNA, EventId("e1"), at=datetime.now(UTC) - timedelta(days=1))
    assert only(cloud_tasks, name).schedule_time <= datetime.now(UTC)


def test_n4_a_named_task_is_created_once(
    queue: TaskQueue, cloud_tasks: CloudTasks, name: str
) -> None:
    """The second creation is no error, and tells that the task was there; also after it ran."""
    assert queue.enqueue_calendar(ANNA, name="n-1")
    assert not queue.enqueue_calendar(ANNA, name="n-1")
    assert only(cloud_tasks, name).name == f"{name}/tasks/n-1"
    queue._client.delete_task(name=f"{name}/tasks/n-1")
    assert not queue.enqueue_calendar(ANNA, name="n-1")
    assert queue.enqueue_calendar(ANNA, name="n-2")


def test_an_unnamed_task_is_one_of_its_own(
    queue: TaskQueue, cloud_tasks: CloudTasks, name: str
) -> None:
    """Each call makes another."""
    assert all(queue.enqueue_calendar(ANNA) for _ in range(3))
    assert len(cloud_tasks.pending(name)) == 3


CODES = [
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
]


@pytest.mark.parametrize("code", CODES, ids=[f"N4-{code.name}" for code in CODES])
def test_n4_whatever_else_goes_wrong_is_tried_later(
    queue: TaskQueue, cloud_tasks: CloudTasks, name: str, code: grpc.StatusCode
) -> None:
    """No task was created: that is never a success, and the text names the setting."""
    cloud_tasks.fail_next(code)
    with pytest.raises(TryLater, match="SYNC_QUEUE"):
        queue.enqueue_calendar(ANNA, name="n-1")
    assert cloud_tasks.pending(name) == []
    assert queue.enqueue_calendar(ANNA, name="n-1")


def test_n4_nobody_there_is_tried_later(name: str) -> None:
    """Cloud Tasks out of reach."""
    queue = TaskQueue(
        queue=name,
        worker_url=WORKER,
        service_account="",
        dispatch_deadline=timedelta(minutes=9),
        emulator=f"127.0.0.1:{free_port()}",
    )
    with pytest.raises(TryLater):
        queue.enqueue_calendar(ANNA)
    queue.close()


@pytest.fixture
def heard() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A worker's address, and the headers of what it was sent."""
    requests: list[dict[str, str]] = []
    app = flask.Flask("worker")

    def listen() -> tuple[str, int]:
        requests.append(dict(flask.request.headers))
        return "", 200

    app.add_url_rule("/", view_func=listen, methods=["POST"])
    server = HttpServer(app)
    server.start()
    yield f"{server.url}/", requests
    server.stop()


def test_a_delivery_carries_the_identity_that_was_configured(
    cloud_tasks: CloudTasks, name: str, heard: tuple[str, list[dict[str, str]]]
) -> None:
    """With a service account an OIDC token for the worker's URL; without one, none."""
    url, requests = heard
    for account in ("tasks@p.iam.gserviceaccount.com", ""):
        queue = queue_of(cloud_tasks, name, account, url)
        queue.enqueue_calendar(ANNA)
        queue.close()
        for task in cloud_tasks.pending(name):
            cloud_tasks_run(cloud_tasks, task.name)
    token = requests[0]["Authorization"].removeprefix("Bearer ").split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    assert (claims["aud"], claims["email"]) == (url, "tasks@p.iam.gserviceaccount.com")
    assert "Authorization" not in requests[1]


def cloud_tasks_run(cloud_tasks: CloudTasks, task: str) -> None:
    """Have one task delivered, through the service's own method, and wait until it was."""
    with grpc.insecure_channel(cloud_tasks.host) as channel:
        client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        client.run_task(name=task)
    assert cloud_tasks.idle(5)
