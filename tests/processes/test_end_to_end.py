"""The four real functions as processes, real HTTP and gRPC, both stores: what an outsider can
see of the rules."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import httpx
import pytest

from sandbox.processes import FunctionProcess, ProcessError
from sandbox.world import CHANNEL_KEY, SOURCE, World, calendar_path
from tests.support.bench import NOWHERE, timed

# Waits end by an observed state, and are long enough for a machine ten times slower.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ANNA = "anna@example.com"


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("firestore", marks=pytest.mark.firestore)]
)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """One world for the module, its calendars apart from each other."""
    firestore = (
        request.getfixturevalue("firestore_emulator") if request.param == "firestore" else None
    )
    directory = tmp_path_factory.mktemp("world")
    with World(directory, firestore=firestore, settings={"SYNC_COALESCE_SECONDS": "1"}) as world:
        yield world


@pytest.fixture
def calendar_id(request: pytest.FixtureRequest, world: World) -> str:
    """A started calendar of the test's own."""
    name = f"{abs(hash(request.node.nodeid)) % 10**9}@example.com"
    world.start_calendar(name)
    return name


def conference_of(world: World, conference_id: str) -> dict[str, Any]:
    return world.conferencing.conferences.get(conference_id, {})


def seed(world: World, calendar_id: str, title: str = "Planning", **fields: Any) -> tuple[str, str]:
    data = world.conference()
    event = world.calendar.seed_event(
        calendar_id, {"summary": title, **timed("10:00", "11:00"), "conferenceData": data, **fields}
    )
    conference_id = data["conferenceId"]
    world.wait(
        lambda: conference_of(world, conference_id).get("title") == title, "the first update"
    )
    return event["id"], conference_id


def test_the_loop_moves_renames_and_deletes(world: World, calendar_id: str) -> None:
    """A change in Calendar is in the conference seconds later, without anybody's help."""
    event_id, conference_id = seed(world, calendar_id)
    world.calendar.edit(
        calendar_id, event_id, {"summary": "Retrospective", **timed("15:00", "16:00")}
    )
    world.wait(
        lambda: conference_of(world, conference_id).get("title") == "Retrospective", "the new title"
    )
    assert "T15:00:00" in conference_of(world, conference_id)["start"]
    world.calendar.cancel(calendar_id, event_id)
    world.wait(lambda: conference_id not in world.conferencing.conferences, "the deletion")
    assert (
        world.manage("GET", f"/failures?state=all&calendar_id={quote(calendar_id)}").json()[
            "failures"
        ]
        == []
    )


def ring(
    world: World, headers: dict[str, str], method: str = "POST", **more: Any
) -> httpx.Response:
    return httpx.request(
        method, world.functions["receive_notification"].url, headers=headers, timeout=30, **more
    )


def bell(world: World, calendar_id: str) -> dict[str, str]:
    """The headers of a notification on the calendar's own channel."""
    [channel] = world.calendar.channels(calendar_id)
    return {
        "X-Goog-Channel-ID": channel["id"],
        "X-Goog-Channel-Token": channel["token"],
        "X-Goog-Resource-ID": channel["resourceId"],
        "X-Goog-Resource-State": "exists",
        "X-Goog-Message-Number": "7",
    }


def test_n1_every_refusal_is_the_same_empty_403(world: World, calendar_id: str) -> None:
    """Missing, wrong, truncated, another channel's, another calendar's token: no task, and
    nothing to learn."""
    good = bell(world, calendar_id)
    token = good["X-Goog-Channel-Token"]
    signature, _, clear = token.partition(".")
    tokens = [
        None,
        "",
        "x",
        token[:-1],
        token[1:],
        f"{signature}.",
        f"{signature}.other@example.com",
        f".{clear}",
        "." * 300,
    ]
    world.quiet(horizon=4)
    before = len(world.tasks.creations)
    answers = []
    for forged in tokens:
        headers = {**good, "X-Goog-Channel-Token": forged or ""}
        if forged is None:
            del headers["X-Goog-Channel-Token"]
        answers.append(ring(world, headers))
    answers.append(ring(world, {**good, "X-Goog-Channel-ID": "another"}))
    answers.append(ring(world, {}))
    assert {(answer.status_code, answer.content) for answer in answers} == {(403, b"")}
    assert len(world.tasks.creations) == before


def test_n2_a_greeting_is_acknowledged_and_enqueues_nothing(world: World, calendar_id: str) -> None:
    """204, and no task."""
    world.quiet(horizon=4)
    before = len(world.tasks.creations)
    answer = ring(world, {**bell(world, calendar_id), "X-Goog-Resource-State": "sync"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert len(world.tasks.creations) == before


def test_n3_a_thousand_notifications_in_a_window_make_two_tasks(tmp_path: Path) -> None:
    """And the last edit is in the conference."""
    hour = 3600
    with World(tmp_path, settings={"SYNC_COALESCE_SECONDS": str(hour)}) as world:
        world.start_calendar(ANNA)
        first = len(world.tasks.creations)
        began = time.time() // hour
        event_id, conference_id = seed(world, ANNA)
        headers = bell(world, ANNA)
        url = world.functions["receive_notification"].url
        with (
            httpx.Client(limits=httpx.Limits(max_connections=16), timeout=120) as client,
            ThreadPoolExecutor(16) as pool,
        ):
            statuses = set(
                pool.map(lambda _: client.post(url, headers=headers).status_code, range(1000))
            )
        assert statuses == {204}
        rung = len(world.calendar.pushes)
        world.calendar.edit(ANNA, event_id, {"summary": "The last edit"})
        world.wait(
            lambda: [push.status for push in list(world.calendar.pushes)[rung:]] == [204],
            "the push of the last edit",
        )
        # The whole takes seconds, so it meets one window, or two at the turn of the hour.
        windows = int(time.time() // hour - began) + 1
        created = [one for one in list(world.tasks.creations)[first:] if one.outcome == "created"]
        assert len(created) <= 2 * windows
        last = max(world.tasks.pending(), key=lambda task: task.schedule_time)
        behind = last.schedule_time.timestamp() - (began + windows) * hour
        assert 0 <= behind <= 10
        world.tasks.run_all(last.schedule_time)
        world.wait(
            lambda: conference_of(world, conference_id).get("title") == "The last edit",
            "the last edit",
        )


def test_n4_a_queue_out_of_reach_is_503_and_calendar_rings_again(
    world: World, calendar_id: str
) -> None:
    """Nothing is lost: Calendar repeats the notification."""
    event_id, conference_id = seed(world, calendar_id)
    world.quiet(horizon=4)
    world.tasks.fail_next(grpc.StatusCode.UNAVAILABLE, times=2)
    assert ring(world, bell(world, calendar_id)).status_code == 503
    world.calendar.edit(calendar_id, event_id, {"summary": "Rung twice"})
    world.wait(
        lambda: conference_of(world, conference_id).get("title") == "Rung twice",
        "the repeated notification",
    )


def test_n4_a_task_that_was_created_but_not_acknowledged_is_success_the_next_time(
    world: World, calendar_id: str
) -> None:
    """The answer of Cloud Tasks was lost: 503 first, then the name is taken, which is as good."""
    world.quiet(horizon=4)
    world.tasks.fail_next(grpc.StatusCode.DEADLINE_EXCEEDED, after=True)
    headers = bell(world, calendar_id)
    assert ring(world, headers).status_code == 503
    assert ring(world, headers).status_code == 204


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_n4_other_methods_are_405(world: World, method: str) -> None:
    """For the notification function, the worker and maintain alike."""
    for name in ("receive_notification", "sync_calendar", "maintain"):
        assert httpx.request(method, world.functions[name].url).status_code == 405


def test_n4_the_body_of_a_notification_is_ignored_and_bounded(
    world: World, calendar_id: str
) -> None:
    """Ten megabytes change nothing."""
    answer = ring(world, bell(world, calendar_id), content=b"x" * 10_000_000)
    assert answer.status_code == 204


def test_n1_a_rotated_key_verifies_old_and_new_channels(world: World, calendar_id: str) -> None:
    """The new key signs, both verify, and no function is deployed for it."""
    old = bell(world, calendar_id)
    keys = world.secrets.put(CHANNEL_KEY, "a-newer-key\nsandbox-key-that-signs-channel-tokens\n")
    assert keys.endswith(tuple("23456789"))
    time.sleep(10.5)  # forged tokens make us look at the secret once in ten seconds
    import hashlib
    import hmac
    from base64 import urlsafe_b64encode

    signed = f"{len('fresh')}:fresh{calendar_id}".encode()
    signature = (
        urlsafe_b64encode(hmac.new(b"a-newer-key", signed, hashlib.sha256).digest())
        .rstrip(b"=")
        .decode()
    )
    new = {
        **old,
        "X-Goog-Channel-ID": "fresh",
        "X-Goog-Channel-Token": f"{signature}.{calendar_id}",
    }
    assert ring(world, new).status_code == 204
    assert ring(world, old).status_code == 204


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="no JSON"),
        pytest.param(b"[1, 2]", id="a list"),
        pytest.param(b'{"calendar_id": 7}', id="a number"),
        pytest.param(b'{"event_id": "e"}', id="no calendar"),
        pytest.param(b'{"calendar_id": "a@b.c", "event_id": ["e"]}', id="a list as event"),
        pytest.param(b'{"calendar_id": "a@b.c\\u0000"}', id="a control character"),
        pytest.param(b'{"calendar_id": "' + b"x" * 200_000 + b'"}', id="huge"),
        pytest.param(b'{"calendar_id": "nobody@example.com"}', id="an unknown calendar"),
        pytest.param(
            b'{"calendar_id": "nobody@example.com", "event_id": "e"}',
            id="an event of an unknown calendar",
        ),
        pytest.param(b"\xff\xfe", id="no text"),
    ],
)
def test_a_task_that_no_repetition_helps_is_taken_off_the_queue(world: World, body: bytes) -> None:
    """200 with the reason, and an error in the log."""
    worker = world.functions["sync_calendar"]
    before = len([record for record in worker.records() if record["severity"] == "ERROR"])
    answer = httpx.post(worker.url, content=body, timeout=60)
    assert answer.status_code == 200
    assert answer.json()["reason"]
    world.wait(
        lambda: len([one for one in worker.records() if one["severity"] == "ERROR"]) > before,
        "the error in the log",
    )


def test_s1_two_tasks_of_one_calendar_never_run_at_once(world: World, calendar_id: str) -> None:
    """The second is sent back with 409 while the first waits for the provider."""
    data = world.conference()
    world.conferencing.faults.add(path=data["conferenceId"], freeze=True)
    try:
        world.calendar.seed_event(
            calendar_id, {"summary": "Slow", **timed("10:00", "11:00"), "conferenceData": data}
        )
        world.conferencing.faults.wait_held()
        assert world.deliver({"calendar_id": calendar_id}).status_code == 409
    finally:
        world.conferencing.faults.clear()
    world.wait(
        lambda: conference_of(world, data["conferenceId"]).get("title") == "Slow", "the slow answer"
    )


def test_s5_a_worker_killed_in_the_middle_loses_nothing_and_creates_nothing_twice(
    tmp_path: Path,
) -> None:
    """SIGKILL at five moments of a run; the queue brings the task again, and the end is the
    same."""
    with World(tmp_path) as world:
        world.start_calendar(ANNA)
        worker = world.functions["sync_calendar"]
        made = [seed(world, ANNA, f"Event {number}") for number in range(6)]
        lost_event, lost = made[0]
        world.conferencing.forget(lost)
        world.conferencing.faults.add(delay_seconds=0.15, times=None)
        created = world.conferencing.created
        for round_ in range(5):
            for number, (event_id, _) in enumerate(made):
                world.calendar.edit(ANNA, event_id, {"summary": f"Event {number}, round {round_}"})
            time.sleep(0.1 + 0.13 * round_)
            worker.kill()
            _lapse(tmp_path)
            worker.restart()
        world.conferencing.faults.clear()
        _lapse(tmp_path)
        # 409 while a task that the queue brought again is at work.
        world.wait(
            lambda: world.deliver({"calendar_id": ANNA}).status_code == 200, "a run to its end"
        )
        world.quiet(horizon=4)
        world.wait(
            lambda: (
                {one.get("title") for one in world.conferencing.conferences.values()}
                >= {f"Event {number}, round 4" for number in range(6)}
            ),
            "everything to be in step",
        )
        assert world.conferencing.created == created + 1
        location = (world.calendar.get(ANNA, lost_event) or {}).get("location", "")
        assert location.rpartition("/")[2] in world.conferencing.conferences


def _lapse(directory: Path) -> None:
    """Let the dead worker's lease lapse at once; waiting a minute would show the same."""
    import sqlite3

    with sqlite3.connect(directory / "state.sqlite", timeout=10) as connection:
        connection.execute(
            "update calendars set version = version + 1, body = json_set(body, '$.lease', null) "
            "where json_extract(body, '$.lease') is not null"
        )
    connection.close()


def test_manage_starts_lists_replays_and_stops(world: World) -> None:
    """The answers of `manage_calendars` are those of the contract."""
    name = f"room {time.time_ns()} #1@example.com"
    world.calendar.add_calendar(name)
    path = calendar_path(name)
    assert world.manage("GET", path).status_code == 404
    first = world.manage("PUT", path, {})
    assert first.status_code == 201
    body = first.json()
    assert set(body) == {
        "calendar_id", "access", "status", "reason", "channel", "last_sync", "failing"
    }  # fmt: skip
    assert (body["calendar_id"], body["access"], body["status"]) == (name, {}, "starting")
    assert set(body["channel"]) == {"id", "resource_id", "expires"}
    assert datetime.fromisoformat(body["channel"]["expires"]).tzinfo is not None
    assert world.manage("PUT", path, {}).status_code == 200
    assert len(world.calendar.channels(name)) == 1
    world.wait(lambda: world.status(name)["last_sync"], "the first sync")
    assert set(world.status(name)["last_sync"]) == {
        "at",
        "kind",
        "changes",
        "created",
        "updated",
        "deleted",
        "failed",
    }
    listed = world.manage("GET", "/calendars?status=ok").json()
    assert name in [one["calendar_id"] for one in listed["calendars"]]
    assert set(listed) == {"calendars", "next_page_token"}
    replayed = world.manage("POST", f"{path}/sync")
    assert replayed.status_code == 202
    assert world.manage("DELETE", path).status_code == 204
    assert world.manage("DELETE", path).status_code == 204
    assert world.manage("GET", path).status_code == 404
    assert world.manage("POST", f"{path}/sync").status_code == 404
    assert world.calendar.channels(name) == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/calendars/nobody%40example.com", None, 404),
        ("POST", "/calendars/nobody%40example.com/sync", None, 404),
        ("PUT", "/calendars/nobody%40example.com", {}, 404),
        ("PUT", f"/calendars/{'x' * 240}", {}, 400),
        ("PUT", "/calendars/%20", {}, 400),
        ("PUT", "/calendars/a%00b", {}, 400),
        ("PUT", "/calendars/a%40b.c", {"subject": 7}, 400),
        ("PUT", "/calendars/a%40b.c", {"subject": "a", "credentials_secret": "b"}, 400),
        ("PUT", "/calendars/a%40b.c", {"password": "x"}, 400),
        ("PATCH", "/calendars/a%40b.c", {}, 405),
        ("POST", "/calendars", {}, 405),
        ("GET", "/calendars?status=sleepy", None, 400),
        ("GET", "/calendars?page_token=..%2F..", None, 400),
        ("GET", "/failures?state=lost", None, 400),
        ("POST", "/failures/none/retry", None, 404),
        ("DELETE", "/failures/none", None, 404),
        ("GET", "/something/else", None, 404),
    ],
)
def test_manage_answers_mistakes_with_a_json_error(
    world: World, method: str, path: str, body: dict[str, Any] | None, status: int
) -> None:
    """`{"error": {"code", "message"}}`, with a sentence that tells the mend."""
    answer = world.manage(method, path, body)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["code"] == status
    assert len(error["message"]) > 5


def test_a_get_of_the_root_lists_the_calls(world: World) -> None:
    """Every call that is listed there is one: it is answered, and not with 405."""
    listed = world.manage("GET", "/").raise_for_status().json()["calls"]
    assert {"call", "does"} == set(listed[0])
    for call in listed:
        method, _, path = call["call"].partition(" ")
        answer = world.manage(method, re.sub(r"\{\w+\}", "none%40example.com", path))
        assert answer.status_code in (200, 204, 404), call
        assert "GET / lists the calls" not in answer.text


def test_a_start_that_fails_leaves_nothing_behind_and_can_be_repeated(world: World) -> None:
    """403 without access, 404 for a calendar that is not there, 502 when Calendar does not open
    a channel."""
    name = f"closed{time.time_ns()}@example.com"
    world.calendar.add_calendar(name)
    world.calendar.withdraw_access(name, status=403)
    assert world.manage("PUT", calendar_path(name), {}).status_code == 403
    assert world.manage("GET", calendar_path(name)).status_code == 404
    world.calendar.grant_access(name)
    world.calendar.fail_next(reason="backendError", times=1, path="/watch$")
    assert world.manage("PUT", calendar_path(name), {}).status_code == 502
    assert world.manage("PUT", calendar_path(name), {}).status_code == 201


def test_h1_a_change_made_while_the_calendar_is_started_is_not_lost(world: World) -> None:
    """Before, during and after `events.watch`: the first sync, or a notification, brings it."""
    name = f"busy{time.time_ns()}@example.com"
    world.calendar.add_calendar(name)
    ids = []
    stop = threading.Event()

    def edit() -> None:
        while not stop.is_set():
            data = world.conference()
            body = {"summary": "Busy", **timed("10:00", "11:00"), "conferenceData": data}
            world.calendar.seed_event(name, body)
            ids.append(data["conferenceId"])
            time.sleep(0.02)

    editing = threading.Thread(target=edit)
    editing.start()
    try:
        assert world.manage("PUT", calendar_path(name), {}).status_code == 201
        time.sleep(0.5)
    finally:
        stop.set()
        editing.join()
    world.wait(
        lambda: all(conference_of(world, one).get("title") == "Busy" for one in ids), "every change"
    )


def test_a_calendar_that_cannot_be_watched_is_polled(world: World) -> None:
    """Started all the same; `maintain` brings it up to date."""
    name = f"holidays{time.time_ns()}@example.com"
    world.calendar.add_calendar(name, watchable=False)
    answer = world.manage("PUT", calendar_path(name), {})
    assert (answer.status_code, answer.json()["status"], answer.json()["channel"]) == (
        201,
        "polled",
        None,
    )
    world.wait(lambda: world.status(name)["last_sync"], "the first sync")
    assert world.status(name)["status"] == "polled"


def test_failures_are_listed_retried_and_dismissed(world: World, calendar_id: str) -> None:
    """A parked failure has its reason; a retry after the cause is gone makes it good."""
    event_id, conference_id = seed(world, calendar_id)
    world.conferencing.faults.add(path=conference_id, status=422, times=None)
    world.calendar.edit(calendar_id, event_id, {"summary": "Refused"})
    path = f"/failures?calendar_id={quote(calendar_id)}"
    [failure] = world.wait(lambda: world.manage("GET", path).json()["failures"], "the failure")
    assert set(failure) == {
        "id",
        "calendar_id",
        "event_id",
        "provider",
        "conference_id",
        "action",
        "reason",
        "attempts",
        "state",
        "first",
        "next_try",
    }
    assert (failure["event_id"], failure["state"], failure["provider"]) == (
        event_id,
        "parked",
        "my-web",
    )
    world.conferencing.faults.clear()
    assert world.manage("POST", f"/failures/{failure['id']}/retry").status_code == 202
    world.wait(lambda: conference_of(world, conference_id).get("title") == "Refused", "the retry")
    world.wait(
        lambda: not world.manage("GET", f"{path}&state=all").json()["failures"], "the failure to go"
    )
    world.conferencing.faults.add(path=conference_id, status=422, times=None)
    world.calendar.edit(calendar_id, event_id, {"summary": "Refused again"})
    [failure] = world.wait(
        lambda: world.manage("GET", path).json()["failures"], "the second failure"
    )
    assert world.manage("DELETE", f"/failures/{failure['id']}").status_code == 204
    assert world.manage("GET", path).json()["failures"] == []
    world.conferencing.faults.clear()


def test_c2_a_rotated_secret_needs_no_deploy(tmp_path: Path) -> None:
    """The provider takes another token from now on; the worker reads the secret again."""
    with World(tmp_path) as world:
        world.start_calendar(ANNA)
        event_id, conference_id = seed(world, ANNA)
        world.conferencing.tokens = {"second-token"}
        world.secrets.put("projects/sandbox/secrets/my-web", {"token": "second-token"})
        world.calendar.edit(ANNA, event_id, {"summary": "Rotated"})
        world.wait(
            lambda: conference_of(world, conference_id).get("title") == "Rotated",
            "the rotated token",
        )
        assert world.manage("GET", "/failures?state=all").json()["failures"] == []


def test_nothing_of_an_event_and_no_secret_reaches_a_log(world: World, calendar_id: str) -> None:
    """Title, guest, join link, token and calendar id, on success, on failure, for a conference that
    is left alone and for a malformed event."""
    guests = [{"email": "wombat@elsewhere.example"}]

    def add(data: dict[str, Any]) -> None:
        body = {"summary": "Codename Quokka", **timed("10:00", "11:00"), "attendees": guests}
        world.calendar.seed_event(calendar_id, {**body, "conferenceData": data})

    refused, strangers = world.conference(), world.conference(host="numbat@elsewhere.example")
    words = {"error": {"message": "Codename Quokka of wombat@elsewhere.example"}}
    world.conferencing.faults.add(
        path=refused["conferenceId"], method="PUT", status=422, body=words, times=None
    )
    for data in (world.conference(), refused, strangers):
        add(data)
    malformed = {
        "id": f"quokka{time.time_ns()}",
        "status": "confirmed",
        "summary": "Codename Quokka",
        "start": 7,
        "organizer": {"email": calendar_id, "self": True},
        "conferenceData": world.conference(),
    }
    world.calendar.seed_event(calendar_id, malformed, raw=True)
    path = f"/failures?state=all&calendar_id={quote(calendar_id)}"
    listed = world.wait(
        lambda: len(found := world.manage("GET", path).json()["failures"]) == 3 and found,
        "both failures, and what is left alone",
    )
    world.conferencing.faults.clear()
    assert sorted(each["state"] for each in listed) == ["left", "parked", "parked"]
    assert [each["reason"] for each in listed if "Quokka" in each["reason"]] == []
    logs = "".join(function.log() for function in world.functions.values())
    for secret in (
        "Quokka",
        "wombat",
        "numbat",
        "meet.example.com",
        "first-token",
        "channel-tokens",
        calendar_id,
    ):
        assert secret not in logs


@pytest.mark.parametrize(
    ("target", "changes", "named"),
    [
        ("sync_calendar", {"SYNC_PROVIDERS": "[{]"}, "SYNC_PROVIDERS"),
        ("sync_calendar", {"SYNC_PROVIDERS": ""}, "SYNC_PROVIDERS"),
        ("sync_calendar", {"SYNC_STORE": "mysql://x"}, "SYNC_STORE"),
        ("receive_notification", {"SYNC_QUEUE": "my-queue"}, "SYNC_QUEUE"),
        ("receive_notification", {"SYNC_COALESCE_SECONDS": "ten"}, "SYNC_COALESCE_SECONDS"),
        ("manage_calendars", {"SYNC_NOTIFICATION_URL": ""}, "SYNC_NOTIFICATION_URL"),
        ("maintain", {"SYNC_CHANNEL_KEY": "projects/p/secrets/s/versions/1"}, "SYNC_CHANNEL_KEY"),
    ],
)
def test_a_mistake_in_the_configuration_stops_the_function_at_start(
    tmp_path: Path, target: str, changes: dict[str, str], named: str
) -> None:
    """With one sentence that names the variable, and no traceback."""
    environment = {
        "GOOGLE_CLOUD_PROJECT": "p",
        "SYNC_STORE": f"sqlite:///{tmp_path / 'state.sqlite'}",
        "SYNC_QUEUE": "projects/p/locations/l/queues/q",
        "SYNC_WORKER_URL": NOWHERE,
        "SYNC_NOTIFICATION_URL": NOWHERE,
        "SYNC_CHANNEL_KEY": "projects/p/secrets/s",
        "SYNC_PROVIDERS": json.dumps(
            [
                {
                    "name": "w",
                    "type": "rest",
                    "solutions": ["W"],
                    "base_url": "http://x",
                    "secret": "projects/p/secrets/s",
                }
            ]
        ),
        **changes,
    }
    with FunctionProcess(
        target, environment=environment, source=SOURCE, log_file=tmp_path / "log"
    ) as process:
        with pytest.raises(ProcessError):
            process.wait_ready()
        log = process.log()
    assert named in log
    assert "Traceback" not in log
    assert len([line for line in log.splitlines() if line.strip()]) == 1


def test_the_public_function_starts_without_the_clients_it_does_not_need(tmp_path: Path) -> None:
    """Neither Firestore's client nor Calendar's is imported, and no providers are asked for."""
    environment = {
        **{
            name: value
            for name, value in os.environ.items()
            if name.startswith(("PATH", "HOME", "VIRTUAL"))
        },
        "FUNCTION_TARGET": "receive_notification",
        "SYNC_QUEUE": "projects/p/locations/l/queues/q",
        "SYNC_WORKER_URL": NOWHERE,
        "SYNC_CHANNEL_KEY": "projects/p/secrets/s",
    }
    import subprocess
    import sys

    code = (
        "import main, sys; "
        "print([name for name in sys.modules if 'firestore' in name or 'googleapiclient' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=SOURCE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")
    assert tmp_path.exists()
