"""The gates pass everything on, or fail as a network, a proxy or a service does."""

from __future__ import annotations

from collections.abc import Iterator

import google.api_core.exceptions
import grpc
import httpx
import pytest
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from sandbox.cloud_tasks import CloudTasks
from sandbox.gates import Gate, GrpcGate
from sandbox.rest import Rest


@pytest.fixture(scope="module")
def rest() -> Iterator[Rest]:
    rest = Rest(token="token")
    rest.start()
    yield rest
    rest.stop()


@pytest.fixture
def gate(rest: Rest) -> Iterator[Gate]:
    rest.reset("token")
    gate = Gate(rest.url.removeprefix("http://"))
    gate.start()
    yield gate
    gate.stop()


@pytest.fixture
def client(gate: Gate) -> Iterator[httpx.Client]:
    headers = {"Authorization": "Bearer token"}
    with httpx.Client(base_url=f"http://{gate.host}/api", headers=headers) as client:
        yield client


def test_a_gate_that_refuses_listens_again_at_the_same_port(
    rest: Rest, gate: Gate, client: httpx.Client
) -> None:
    """An open connection is cut, a new one is refused, and then all is well."""
    made = rest.add()
    assert client.get(f"/conferences/{made['id']}").status_code == 200
    gate.behave("refuse")
    with pytest.raises(httpx.TransportError):
        client.get(f"/conferences/{made['id']}")
    with pytest.raises(httpx.ConnectError):
        client.get(f"/conferences/{made['id']}")
    gate.behave("pass")
    assert client.get(f"/conferences/{made['id']}").status_code == 200


def test_a_gate_s_page_never_reaches_the_service(
    rest: Rest, gate: Gate, client: httpx.Client
) -> None:
    """A page with 200, as a proxy shows while a service is in maintenance."""
    gate.behave("page")
    answer = client.get("/conferences/c-1")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert rest.requests == []


@pytest.mark.parametrize("behaviour", ["half", "late"])
def test_what_is_answered_in_part_was_done(
    rest: Rest, gate: Gate, client: httpx.Client, behaviour: str
) -> None:
    """The caller does not know the outcome, and the service has carried it out."""
    made = rest.add()
    gate.behave("half" if behaviour == "half" else "late")
    with pytest.raises(httpx.TransportError):
        client.delete(f"/conferences/{made['id']}")
    assert rest.deleted == [made["id"]]


@pytest.mark.parametrize(("after", "created"), [(False, 0), (True, 1)])
def test_a_grpc_gate_answers_for_the_service(after: bool, created: int) -> None:
    """With a status of its own, before the call or after it, until it is told to pass."""
    tasks = CloudTasks(deliver=False)
    gate = GrpcGate(tasks.host)
    tasks.start()
    gate.start()
    try:
        with grpc.insecure_channel(gate.host) as channel:
            client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
            queue = "projects/p/locations/here/queues/gate"
            task = tasks_v2.Task(http_request=tasks_v2.HttpRequest(url="http://127.0.0.1:9/"))
            gate.answer(grpc.StatusCode.PERMISSION_DENIED, after=after)
            with pytest.raises(google.api_core.exceptions.PermissionDenied):
                client.create_task(parent=queue, task=task, retry=None)
            assert len(tasks.pending(queue)) == created
            gate.answer(None)
            assert client.create_task(parent=queue, task=task).name.startswith(queue)
    finally:
        gate.stop()
        tasks.stop()


def test_a_fault_strikes_every_so_many_requests(rest: Rest, client: httpx.Client) -> None:
    """Of seven requests the third and the sixth."""
    made = rest.add()
    rest.trouble("unavailable", every=3, times=None)
    statuses = [client.get(f"/conferences/{made['id']}").status_code for _ in range(7)]
    assert statuses == [200, 200, 503, 200, 200, 503, 200]
