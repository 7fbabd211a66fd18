"""`manage_calendars`, the worker and `maintain` as processes: whatever is sent, one sentence comes
back, and nothing of it reaches a log."""

from __future__ import annotations

import base64
import http.client
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from sandbox.world import World
from sync.logs import short
from sync.operate import routes

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ANNA = "anna@example.com"
CALENDAR = f"/calendars/{quote(ANNA, safe='')}"
# What is sent in odd requests, and must not be found in any log.
CANARY = "quokka"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("operators")) as world:
        world.start_calendar(ANNA)
        yield world


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> Any:
        """The one sentence of an error, its code checked."""
        value = json.loads(self.body)
        assert self.headers["Content-Type"] == "application/json"
        assert set(value) == {"error"}
        assert set(value["error"]) == {"code", "message"}
        assert value["error"]["code"] == self.status
        return value["error"]["message"]


def send(
    world: World,
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    function: str = "manage_calendars",
    headers: dict[str, str] | None = None,
) -> Answer:
    """Send a request exactly as it is written: no client tidies the path."""
    port = world.functions[function].port
    assert port is not None
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in {"Content-Length": str(len(body or b"")), **(headers or {})}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


ODD_PATHS = [
    ("/nothing", 404),
    ("/favicon.ico", 404),
    (f"/calendars/{CANARY}/something/else", 404),
    ("/calendars/..%2F..", 404),
    ("/calendars/../failures", 404),
    (f"/calendars/{CANARY}%2F{CANARY}", 404),
    ("/calendars/%ff%fe", 404),
    ("/calendars/%zz", 404),
    (f"/calendars/{quote(quote(ANNA, safe=''), safe='')}", 404),
    ("/calendars/%00", 400),
    (f"/calendars/{CANARY}%00b", 400),
    (f"/calendars/{CANARY}%0a", 404),
    ("/calendars/%20", 400),
    ("/calendars/..", 400),
    (f"/calendars/{CANARY * 2000}", 400),
    (f"/calendars/{'%F0%9F%98%80' * 3000}", 400),
    (f"{CALENDAR}/events/%00", 400),
    (f"{CALENDAR}/events/%20", 400),
    (f"{CALENDAR}/events/a%2Fb", 400),
    (f"{CALENDAR}/events/..", 400),
    (f"{CALENDAR}/events/..%2F..%2Fcalendars", 400),
    (f"{CALENDAR}/events/x%3Falt=media", 400),
    (f"{CALENDAR}/events/{CANARY}%0d%0aSet-Cookie:x", 404),
    (f"{CALENDAR}/events/{CANARY * 2000}", 400),
    (f"{CALENDAR}/events/%F0%9F%98%80", 400),
    (f"/calendars/{CANARY}%40example.com/events/e1", 404),
    (f"/calendars?status={CANARY}", 400),
    (f"/calendars?page_token={CANARY * 2000}", 400),
    ("/calendars?page_token=..%2F..", 400),
    (f"/calendars?page_token={CANARY}", 400),
    (f"/failures?state={CANARY}", 400),
    ("/failures?state=", 400),
    ("/failures?calendar_id=", 400),
    ("/failures?calendar_id=%00", 400),
    (f"/failures?page_token={CANARY}", 400),
    ("/failures?status=left", 400),
    ("/calendars?state=broken", 400),
    (f"/calendars?{CANARY}=1", 400),
    (f"{CALENDAR}/events/e1?{CANARY}", 400),
    ("/doctor?calendar_id=x", 400),
]


@pytest.mark.parametrize(("path", "status"), ODD_PATHS)
def test_an_odd_path_is_answered_with_one_sentence(world: World, path: str, status: int) -> None:
    """Slashes, control characters, halves of UTF-8, ten thousand characters: nobody is asked."""
    world.quiet(horizon=4)  # the sync that another test asked for, and its repetition
    asked = len(world.calendar.requests)
    answer = send(world, "GET", path)
    assert answer.status == status
    assert 10 < len(answer.error) < 300
    assert CANARY not in answer.error
    assert len(world.calendar.requests) == asked


ODD_BODIES = [
    b"{",
    b"[]",
    b"7",
    b'"x"',
    b"NaN",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"subject": 7}',
    b'{"subject": ""}',
    b'{"subject": "a\\u0000b"}',
    b"null",
    b'{"subject": null}',
    b'{"credentials_secret": null}',
    b'{"subject": "quokka"}',
    b'{"subject": " quokka@example.com"}',
    b'{"subject": "a@quokka@example.com"}',
    b'{"subject": "quokka@' + b"e" * 400 + b'"}',
    b'{"subject": "quokka", "credentials_secret": "b"}',
    b'{"password": "quokka"}',
    b'{"credentials_secret": "projects/quokka/secrets/s/versions/1"}',
    b"quokka" * 500_000,
]


@pytest.mark.parametrize("body", ODD_BODIES, ids=range(len(ODD_BODIES)))
def test_an_odd_body_is_answered_with_one_sentence(world: World, body: bytes) -> None:
    """Broken, of another shape, nested without end, three megabytes: 400, and nothing started."""
    answer = send(world, "PUT", "/calendars/new%40example.com", body)
    assert answer.status == 400
    assert CANARY not in answer.error
    assert send(world, "GET", "/calendars/new%40example.com").status == 404


def broken_off(world: World, function: str, method: str, path: str, rest: bytes) -> int:
    """Send a request that ends within its body, and return the status of the answer."""
    port = world.functions[function].port
    assert port is not None
    head = f"{method} {path} HTTP/1.1\r\nHost: functions.example.com\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        connection.sendall(head + rest)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(1000)
    return int(answer.split()[1])


BROKEN_OFF = {
    "nothing-arrived": b"Content-Length: 31\r\n\r\n",
    "an-empty-object-arrived": b"Content-Length: 31\r\n\r\n{}",
    "no-chunk": b"Transfer-Encoding: chunked\r\n\r\nnone\r\n",
    "half-a-chunk": b"Transfer-Encoding: chunked\r\n\r\n1f\r\n{}",
}


@pytest.mark.parametrize("rest", BROKEN_OFF.values(), ids=list(BROKEN_OFF))
def test_h4_a_start_whose_body_breaks_off_changes_no_access(world: World, rest: bytes) -> None:
    """The client died: what had arrived means another access, `{}`, and is not taken for it."""
    path = "/calendars/broken-off%40example.com"
    world.calendar.add_calendar("broken-off@example.com")
    assert send(world, "PUT", path, b'{"subject": "broken-off@example.com"}').status in (200, 201)
    assert broken_off(world, "manage_calendars", "PUT", path, rest) == 400
    access = json.loads(send(world, "GET", path).body)["access"]
    assert access == {"subject": "broken-off@example.com"}


def test_a_task_whose_body_breaks_off_comes_again(world: World) -> None:
    """Unlike one that is malformed, and stays so."""
    for rest in BROKEN_OFF.values():
        assert broken_off(world, "sync_calendar", "POST", "/", rest) == 500


@pytest.mark.parametrize("method", ["POST", "PATCH", "TRACE", "PROPFIND", "BREW"])
def test_a_wrong_method_is_told_the_right_ones(world: World, method: str) -> None:
    """405 with `Allow`, as HTTP has it."""
    answer = send(world, method, CALENDAR)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD, PUT, DELETE, OPTIONS"
    assert answer.error == "only GET, HEAD, PUT, DELETE here"


@pytest.mark.parametrize("path", ["/", "/status", "/calendars", CALENDAR, "/failures"])
def test_head_and_options_are_answered_for_what_can_be_read(world: World, path: str) -> None:
    """HEAD as GET without a body; OPTIONS with what is allowed."""
    head, get = send(world, "HEAD", path), send(world, "GET", path)
    assert (head.status, head.body) == (get.status, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    options = send(world, "OPTIONS", path)
    assert (options.status, options.body) == (204, b"")
    assert options.headers["Allow"].startswith("GET, HEAD")
    assert send(world, "HEAD", "/nothing").status == 404
    assert send(world, "OPTIONS", "/nothing").status == 404


def test_a_task_for_half_a_character_is_taken_off_the_queue(world: World) -> None:
    """The calendar is started, and no event has such an id: no repetition helps."""
    body = json.dumps({"calendar_id": ANNA, "event_id": "\ud800"}).encode()
    answer = send(world, "POST", "/", body, function="sync_calendar")
    assert answer.status == 200
    assert json.loads(answer.body) == {"reason": "the task's event_id is malformed"}


@pytest.mark.parametrize("function", ["sync_calendar", "maintain"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PATCH", "BREW"])
def test_the_worker_and_maintain_take_posts_only(world: World, function: str, method: str) -> None:
    """405 with `Allow`; nothing runs."""
    answer = send(world, method, "/", function=function)
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("function", ["sync_calendar", "maintain", "manage_calendars"])
def test_what_the_framework_refuses_is_json_as_well(world: World, function: str) -> None:
    """Paths that no function gets to see."""
    for path in ("/robots.txt", f"/{CANARY}%0a"):
        assert send(world, "GET", path, function=function).error == "there is nothing here"


@pytest.mark.parametrize("body", [b"[" * 100_000, b"\xff", b'{"calendar_id": "a/\\u0000"}'])
def test_a_task_of_any_shape_is_taken_off_the_queue(world: World, body: bytes) -> None:
    """200 with a reason: no repetition can help."""
    answer = send(world, "POST", "/", body, function="sync_calendar")
    assert answer.status == 200
    assert json.loads(answer.body)["reason"]


def test_each_change_is_logged_with_action_calendar_outcome_and_caller(world: World) -> None:
    """One line for a change, none for a read; names as digests. Cloud Run hands the caller's token
    on, without its signature."""
    claims = json.dumps({"email": "operator@example.com"}).encode()
    payload = base64.urlsafe_b64encode(claims).rstrip(b"=").decode()
    caller = {"Authorization": f"Bearer e30.{payload}.SIGNATURE_REMOVED_BY_GOOGLE"}
    manage = world.functions["manage_calendars"]

    def lines() -> list[dict[str, Any]]:
        return [one for one in manage.records() if "operator's call" in one["message"]]

    before = len(lines())
    send(world, "GET", CALENDAR, headers=caller)
    assert send(world, "POST", f"{CALENDAR}/sync", headers=caller).status == 202
    assert send(world, "POST", "/calendars/none%40example.com/sync").status == 404
    for odd in ("Bearer", "Bearer x", "Bearer a.b.c", "Bearer a.W10.c", "Basic " + "x" * 5000):
        assert send(world, "DELETE", "/failures/x", headers={"Authorization": odd}).status == 404
    done, failed, *rest = lines()[before:]
    assert done["action"] == "POST /calendars/{calendar_id}/sync"
    assert (done["target"], done["outcome"]) == (short(ANNA), 202)
    assert done["caller"] == short("operator@example.com")
    assert (failed["target"], failed["error"]) == (short("none@example.com"), "NotFound")
    assert [one["caller"] for one in [failed, *rest]] == [""] * 6


def test_every_route_is_there(world: World) -> None:
    """`GET /` names each, and each is answered by its own code."""
    listed = json.loads(send(world, "GET", "/").body)["calls"]
    assert [call["call"] for call in listed] == [
        f"{route.method} {route.path}" for route in routes.ROUTES
    ]


def test_nothing_that_was_sent_is_in_a_log(world: World) -> None:
    """Ids, bodies, queries and addresses of what was refused, in every function's log."""
    for path, _ in ODD_PATHS:
        send(world, "GET", path)
        send(world, "PUT", path, b'{"subject": "quokka@example.com"}')
    for body in ODD_BODIES:
        send(world, "PUT", "/calendars/new%40example.com", body)
    logs = "".join(function.log() for function in world.functions.values())
    for secret in (CANARY, ANNA, "new@example.com", "new%40example", "operator@", "Traceback"):
        assert secret not in logs
