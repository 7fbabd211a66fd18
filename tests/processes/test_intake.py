"""What a notification sets going (N1-N4), through the real clients against their stand-ins."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import flask
import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sandbox.cloud_tasks import CloudTasks, Creation
from sandbox.processes import FunctionProcess
from sandbox.secret_manager import SecretManager as SecretManagerStandIn
from sandbox.servers import HttpServer
from sync.config import Settings
from sync.errors import ConfigurationError, Forged, TryLater
from sync.google.secret_manager import SecretManager
from sync.google.task_queue import CHANNEL_ID, CHANNEL_RESOURCE_ID
from sync.intake.keys import ChannelKeys
from sync.intake.notifications import sign
from sync.intake.receive import Intake, channel_keys, receive
from sync.model.event import CalendarId
from tests.support.slow_sender import slow_sender

# Three seconds into a window; near today, for Cloud Tasks takes no schedule far ahead.
NOW = (datetime.now(UTC) + timedelta(hours=1)).replace(minute=0, second=3, microsecond=0)
ANNA = CalendarId("anna@example.com")
CHANNEL = "channel-1"

_numbers = itertools.count(1)


class Place:
    """An intake with a queue and a secret of its own, and what is behind them."""

    def __init__(self, tasks: CloudTasks, secrets: SecretManagerStandIn, **settings: str) -> None:
        number = next(_numbers)
        self.tasks, self.secrets = tasks, secrets
        self.queue = f"projects/p/locations/here/queues/intake-{number}"
        self.secret = f"projects/p/secrets/intake-{number}"
        secrets.put(self.secret, "first-key\n")
        self.environment = {
            "FUNCTION_TARGET": "receive_notification",
            "SYNC_QUEUE": self.queue,
            "SYNC_WORKER_URL": "https://worker.example.com/",
            "SYNC_CHANNEL_KEY": self.secret,
            "CLOUD_TASKS_EMULATOR_HOST": tasks.host,
            "SECRET_MANAGER_EMULATOR_HOST": secrets.host,
            **settings,
        }
        self.intake = Intake.from_settings(Settings.from_environ(self.environment))
        self.seconds = 0.0
        self.key_client = SecretManager(emulator=secrets.host)
        self.intake = replace(self.intake, keys=self.keys(self.secret))

    def keys(self, secret: str) -> ChannelKeys:
        """The keys of a secret, on a clock that `seconds` turns."""
        return ChannelKeys(self.key_client, secret, monotonic=lambda: self.seconds)

    def headers(
        self, key: bytes = b"first-key", calendar_id: CalendarId = ANNA, state: str = "exists"
    ) -> dict[str, str]:
        return {
            "X-Goog-Channel-ID": CHANNEL,
            "X-Goog-Channel-Token": sign([key], CHANNEL, calendar_id),
            "X-Goog-Resource-ID": "resource-1",
            "X-Goog-Resource-State": state,
        }

    def created(self) -> list[Creation]:
        return [
            each
            for each in self.tasks.creations
            if each.queue == self.queue and each.outcome == "created"
        ]


@pytest.fixture
def place(cloud_tasks: CloudTasks, secret_manager: SecretManagerStandIn) -> Iterator[Place]:
    place = Place(cloud_tasks, secret_manager)
    yield place
    _close(place)


@pytest.fixture
def one_by_one(cloud_tasks: CloudTasks, secret_manager: SecretManagerStandIn) -> Iterator[Place]:
    place = Place(cloud_tasks, secret_manager, SYNC_COALESCE_SECONDS="0")
    yield place
    _close(place)


def _close(place: Place) -> None:
    place.intake.queue.close()
    place.key_client.close()


def test_n1_a_believed_notification_enqueues_its_calendar(place: Place) -> None:
    """One task for the calendar in the token, with the channel that rang, at once."""
    receive(place.intake, place.headers(), NOW)
    (task,) = place.tasks.pending(place.queue)
    assert task.body == {"calendar_id": ANNA}
    assert (task.method, task.url) == ("POST", "https://worker.example.com/")
    assert (task.headers[CHANNEL_ID], task.headers[CHANNEL_RESOURCE_ID]) == (CHANNEL, "resource-1")
    assert task.schedule_time <= datetime.now(UTC) + timedelta(seconds=1)


@pytest.mark.parametrize(
    "forgery",
    [
        pytest.param({"X-Goog-Channel-Token": ""}, id="N1-missing"),
        pytest.param({"X-Goog-Channel-ID": "channel-2"}, id="N1-another-channel-s"),
        pytest.param(
            {"X-Goog-Channel-Token": sign([b"strange"], CHANNEL, ANNA)}, id="N1-a-stranger-s"
        ),
        pytest.param(
            {"X-Goog-Channel-Token": sign([b"first-key"], CHANNEL, ANNA)[:-1]}, id="N1-truncated"
        ),
    ],
)
def test_n1_a_forged_notification_enqueues_nothing(place: Place, forgery: dict[str, str]) -> None:
    """It is refused, and no task is asked for."""
    with pytest.raises(Forged):
        receive(place.intake, {**place.headers(), **forgery}, NOW)
    assert [each for each in place.tasks.creations if each.queue == place.queue] == []


def test_n1_a_rotated_key_is_noticed_by_a_running_instance(place: Place) -> None:
    """A token signed by a key that came after the secret was read makes it be read again; the
    old key verifies too."""
    receive(place.intake, place.headers(), NOW)
    place.secrets.put(place.secret, "second-key\nfirst-key\n")
    place.seconds += 11
    receive(place.intake, place.headers(b"second-key"), NOW + timedelta(minutes=1))
    receive(place.intake, place.headers(b"first-key"), NOW + timedelta(minutes=2))
    assert len(place.created()) == 3
    place.secrets.put(place.secret, "second-key\n")
    place.seconds += 301
    with pytest.raises(Forged):
        receive(place.intake, place.headers(b"first-key"), NOW)


def test_n1_forgers_do_not_make_us_read_the_secret_each_time(place: Place) -> None:
    """A hundred forged notifications read the secret once."""
    forged = {**place.headers(), "X-Goog-Channel-ID": "channel-2"}
    for _ in range(100):
        with pytest.raises(Forged):
            receive(place.intake, forged, NOW)
    assert place.secrets.accesses[place.secret] == 1


class GatedSecrets(SecretManagerStandIn):
    """A Secret Manager that answers no read while its gate is shut."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Semaphore(0)
        super().__init__()

    def _access_version(self, request: Any) -> Any:
        self.arrived.release()
        self.gate.wait(timeout=60)
        return super()._access_version(request)


def test_n1_a_remembered_key_waits_for_nobody(cloud_tasks: CloudTasks) -> None:
    """While a forged token has Secret Manager asked, which takes long, others are judged."""
    secrets = GatedSecrets()
    secrets.start()
    place = Place(cloud_tasks, secrets)
    receive(place.intake, place.headers(), NOW)
    place.seconds += 11
    forged = {**place.headers(), "X-Goog-Channel-ID": "channel-2"}
    assert secrets.arrived.acquire(timeout=10)
    secrets.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(receive, place.intake, forged, NOW)
        assert secrets.arrived.acquire(timeout=10)
        receive(place.intake, place.headers(), NOW)
        with pytest.raises(Forged):
            receive(place.intake, forged, NOW)
        assert not asking.done()
        secrets.gate.set()
        assert isinstance(asking.exception(timeout=20), Forged)
    assert secrets.accesses[place.secret] == 2
    _close(place)
    secrets.stop()


def test_n1_the_last_good_keys_serve_while_secret_manager_is_out_of_reach(place: Place) -> None:
    """Ten minutes, a week: genuine notifications are believed, forged ones are not."""
    receive(place.intake, place.headers(), NOW)
    forged = {**place.headers(), "X-Goog-Channel-ID": "channel-2"}
    place.secrets.refuse_all()
    try:
        for seconds in (301, 600, 7 * 86_400):
            place.seconds += seconds
            receive(place.intake, place.headers(), NOW)
            with pytest.raises(Forged):
                receive(place.intake, forged, NOW)
    finally:
        place.secrets.refuse_all(False)
    place.secrets.put(place.secret, "second-key\n")
    place.seconds += 11
    with pytest.raises(Forged):
        receive(place.intake, place.headers(), NOW)
    receive(place.intake, place.headers(b"second-key"), NOW)


def test_n1_an_outage_is_asked_about_once_in_ten_seconds(place: Place) -> None:
    """A hundred genuine notifications with old keys wait for one failing call, not for each."""
    receive(place.intake, place.headers(), NOW)
    place.seconds += 301
    place.secrets.fail_next(grpc.StatusCode.UNAVAILABLE)
    for _ in range(100):
        receive(place.intake, place.headers(), NOW)
    # The second call of those hundred would have been answered, and counted.
    assert place.secrets.accesses[place.secret] == 1
    place.seconds += 11
    receive(place.intake, place.headers(), NOW)
    assert place.secrets.accesses[place.secret] == 2


def test_n1_a_secret_that_was_closed_meanwhile_leaves_the_last_good_keys(place: Place) -> None:
    """A person must act, and no change is lost until then; forged tokens are refused as ever."""
    receive(place.intake, place.headers(), NOW)
    place.secrets.deny(place.secret)
    place.seconds += 301
    receive(place.intake, place.headers(), NOW)
    place.seconds += 11
    with pytest.raises(Forged):
        receive(place.intake, {**place.headers(), "X-Goog-Channel-ID": "channel-2"}, NOW)


def test_n1_the_first_notifications_of_an_instance_share_one_call(place: Place) -> None:
    """Nothing is known yet: all wait for the one that asks, and all are believed."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: receive(place.intake, place.headers(), NOW), range(8)))
    assert place.secrets.accesses[place.secret] == 1


@pytest.mark.parametrize("token", ["", "no-dot", ".", "x" * 300 + ".a"])
def test_n1_a_token_that_can_be_none_of_ours_costs_no_call(place: Place, token: str) -> None:
    """It is refused before any key is needed."""
    with pytest.raises(Forged):
        receive(place.intake, {**place.headers(), "X-Goog-Channel-Token": token}, NOW)
    assert place.secrets.accesses[place.secret] == 0


def test_n1_the_first_key_signs(place: Place) -> None:
    """The keys come in the secret's order."""
    place.secrets.put(place.secret, "second-key\nfirst-key\n")
    assert channel_keys(place.key_client, place.secret) == [b"second-key", b"first-key"]


@pytest.mark.parametrize("trouble", ["N1-missing", "N1-empty", "N1-closed"])
def test_n1_a_secret_that_cannot_be_used_is_a_mistake_of_configuration(
    place: Place, trouble: str
) -> None:
    """No key, no belief: the operator is told the variable and the mend, and nothing is
    enqueued."""
    intake = place.intake
    if trouble == "N1-missing":
        intake = replace(intake, keys=place.keys("projects/p/secrets/nobody-made-this"))
    elif trouble == "N1-empty":
        place.secrets.put(place.secret, "\n \n")
    else:
        place.secrets.deny(place.secret)
    with pytest.raises(ConfigurationError, match=r"^SYNC_CHANNEL_KEY: "):
        receive(intake, place.headers(), NOW)
    assert place.created() == []


@pytest.mark.parametrize("coalesce", ["N2-coalesced", "N2-one-by-one"])
def test_n2_a_greeting_enqueues_nothing(place: Place, coalesce: str) -> None:
    """The first message of a new channel says nothing about the calendar."""
    intake = (
        place.intake if coalesce == "N2-coalesced" else replace(place.intake, coalesce=timedelta())
    )
    receive(intake, place.headers(state="sync"), NOW)
    assert [each for each in place.tasks.creations if each.queue == place.queue] == []


def test_n3_a_thousand_notifications_of_a_window_make_two_tasks(place: Place) -> None:
    """The first at once, all others one just after the window's end, however many come side by
    side."""
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: receive(place.intake, place.headers(), NOW), range(1000)))
    first, rest = sorted(place.created(), key=lambda each: each.name)
    assert first.schedule_time is None
    assert rest.schedule_time == NOW.replace(second=12)
    assert {tuple(each.body.items()) for each in (first, rest)} == {(("calendar_id", ANNA),)}
    assert "anna" not in first.name + rest.name


def test_n3_a_change_after_the_first_task_ran_still_has_one_to_come(
    cloud_tasks: CloudTasks, secret_manager: SecretManagerStandIn
) -> None:
    """The name of a task that ran is still taken; the second task is what sees the later change."""
    place = Place(cloud_tasks, secret_manager, SYNC_COALESCE_SECONDS="3600")
    receive(place.intake, place.headers(), NOW)
    (first,) = place.tasks.pending(place.queue)
    place.intake.queue._client.delete_task(
        name=first.name
    )  # as if it had run: its name stays taken
    for _ in range(3):
        receive(place.intake, place.headers(), NOW + timedelta(seconds=1))
    assert [task.name.rpartition("-")[2] for task in place.tasks.pending(place.queue)] == ["rest"]
    _close(place)


def test_n3_isolated_changes_and_other_calendars_wait_for_nothing(place: Place) -> None:
    """One notification in each of three windows, and another calendar's, are four tasks at once."""
    for minutes in range(3):
        receive(place.intake, place.headers(), NOW + timedelta(minutes=minutes))
    receive(place.intake, place.headers(calendar_id=CalendarId("ben@example.com")), NOW)
    assert [each.schedule_time for each in place.created()] == [None] * 4


def test_n3_without_a_window_every_notification_has_a_task_of_its_own(one_by_one: Place) -> None:
    """SYNC_COALESCE_SECONDS=0: one each, at once."""
    for _ in range(5):
        receive(one_by_one.intake, one_by_one.headers(), NOW)
    assert len(one_by_one.tasks.pending(one_by_one.queue)) == 5
    assert [each.schedule_time for each in one_by_one.created()] == [None] * 5


def test_n4_a_task_of_that_name_that_exists_already_is_success(place: Place) -> None:
    """Both tasks of the window are there: nothing is left to do, and nobody hears of an error."""
    for _ in range(3):
        receive(place.intake, place.headers(), NOW)
    outcomes = [each.outcome for each in place.tasks.creations if each.queue == place.queue]
    assert outcomes == ["created", "exists", "created", "exists", "exists"]


CODES = [
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.UNKNOWN,
]


@pytest.mark.parametrize("code", CODES, ids=[f"N4-{code.name}" for code in CODES])
def test_n4_a_task_that_cannot_be_created_is_tried_later(
    place: Place, code: grpc.StatusCode
) -> None:
    """Calendar must hear 503 and notify again: whatever is not a task of that name is no
    success."""
    place.tasks.fail_next(code)
    with pytest.raises(TryLater):
        receive(place.intake, place.headers(), NOW)
    assert place.created() == []


def test_n4_a_notification_repeated_after_a_lost_answer_is_not_lost(place: Place) -> None:
    """The task was created and we were told otherwise: the repetition finds it, and nothing
    breaks."""
    place.tasks.fail_next(grpc.StatusCode.UNAVAILABLE, after=True)
    with pytest.raises(TryLater):
        receive(place.intake, place.headers(), NOW)
    receive(place.intake, place.headers(), NOW)
    assert len(place.created()) == 2


def test_n4_a_secret_that_cannot_be_read_now_is_tried_later(place: Place) -> None:
    """Secret Manager out of reach is no forgery: Calendar is asked to notify again."""
    place.secrets.fail_next(grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(TryLater):
        receive(place.intake, place.headers(), NOW)


def test_the_intake_is_built_from_the_settings(place: Place) -> None:
    """What the environment says is what is used: its secret, its queue, its window."""
    intake = Intake.from_settings(Settings.from_environ(place.environment))
    receive(intake, place.headers(), NOW)
    assert len(place.created()) == 1
    assert intake.coalesce == timedelta(seconds=10)
    intake.queue.close()


@pytest.fixture
def function(place: Place) -> Iterator[FunctionProcess]:
    """The real function as a process, with as many threads as a small instance has."""
    source = Path(__file__).resolve().parent.parent.parent / "main.py"
    with FunctionProcess(
        "receive_notification", environment=place.environment, source=source, threads=8
    ) as function:
        function.wait_ready()
        yield function


@pytest.mark.e2e
def test_n4_slow_bodies_do_not_keep_a_genuine_notification_waiting(
    place: Place, function: FunctionProcess
) -> None:
    """Eight threads, sixteen senders of a byte now and then: each is answered, and so is the
    genuine notification, long before any body has ended."""
    with ExitStack() as senders:
        slow = [senders.enter_context(slow_sender(function, {})) for _ in range(16)]
        answer = httpx.post(function.url, headers=place.headers(), timeout=15)
        assert answer.status_code == 204
        for connection in slow:
            assert connection.recv(100).startswith(b"HTTP/1.1 403 ")
    assert len(place.created()) == 1


@pytest.mark.e2e
def test_n4_a_body_changes_nothing_about_the_answer(
    place: Place, function: FunctionProcess
) -> None:
    """Small or large, genuine or forged, any method: the same answer, and the task is created."""
    for size in (1, 10_000, 3_000_000):
        answer = httpx.post(function.url, headers=place.headers(), content=b"x" * size)
        assert (answer.status_code, answer.content) == (204, b"")
        answer = httpx.post(function.url, content=b"x" * size)
        assert (answer.status_code, answer.content) == (403, b"")
        answer = httpx.put(function.url, content=b"x" * size)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    chunks = iter([b"x" * 1000] * 10)
    assert httpx.post(function.url, headers=place.headers(), content=chunks).status_code == 204
    with slow_sender(function, place.headers()) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 204 ")


@pytest.mark.e2e
def test_a_push_is_a_span_where_an_endpoint_is_named(place: Place) -> None:
    """SYNC_TRACE_URL: the notification's trace goes on in its task, and the span is sent."""
    received: list[bytes] = []
    arrived = threading.Event()
    app = flask.Flask("collector")

    @app.post("/v1/traces")
    def collect() -> tuple[str, int]:
        received.append(flask.request.get_data())
        arrived.set()
        return "", 200

    collector = HttpServer(app)
    collector.start()
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    named = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
    environment = {**place.environment, "SYNC_TRACE_URL": f"{collector.url}/v1/traces"}
    source = Path(__file__).resolve().parent.parent.parent / "main.py"
    with FunctionProcess(
        "receive_notification", environment=environment, source=source
    ) as function:
        function.wait_ready()
        answer = httpx.post(function.url, headers={**place.headers(), **named}, timeout=15)
        assert answer.status_code == 204, function.log()
        assert arrived.wait(60), function.log()
    collector.stop()
    [resource] = ExportTraceServiceRequest.FromString(received[0]).resource_spans
    [push] = resource.scope_spans[0].spans
    assert (push.name, push.trace_id.hex()) == ("push", trace_id)
    [task] = place.tasks.pending(place.queue)
    assert task.headers["traceparent"] == f"00-{trace_id}-{push.span_id.hex()}-01"
