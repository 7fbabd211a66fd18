"""`ccsync status`, `failures`, `left`, `doctor` and `log`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ccsync import __version__
from sandbox.world import World
from tests.support.bench import timed
from tests.support.manage_server import NOW, ManageServer
from tests.support.operator import Gcloud, Operator, lines_of

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = ("--project", "acme", "--region", "europe-west1")


def fill(server: ManageServer) -> None:
    """500 calendars of which two are not in step, and three parked events."""
    for number in range(500):
        server.add(f"user{number}@example.com")
    server.calendars["user7@example.com"].update(status="broken", reason="access is lost")
    failing = {"runs": 4, "since": NOW, "reason": "my-web refuses our credentials"}
    server.calendars["user9@example.com"].update(failing=failing)
    for number in range(3):
        server.fail(number, "an all-day event is too long for Webex")
    server.fail(9, "another user hosts it", "left")


@pytest.mark.parametrize("old", [False, True], ids=["with GET /status", "without"])
def test_status_is_one_sentence_and_what_is_not_in_step(
    server: ManageServer, operator: Operator, old: bool
) -> None:
    """The same from the server's own numbers and, where it has none, from its lists."""
    fill(server)
    if old:
        server.checks = None
    ran = operator("status")
    assert ran.code == 3
    lines = lines_of(ran)
    assert lines[0] == "498 of 500 in step; 1 broken; 1 failing; 3 parked; 1 left"
    assert any("user7@example.com" in line and "access is lost" in line for line in lines)
    assert any("user9@example.com" in line and "refuses our credentials" in line for line in lines)
    assert ran.out.count("too long for Webex") == 3
    assert ("no GET /status" in ran.err) == old
    told = operator("status", "--json").json
    assert (told["in_step"], told["calendars"]["total"], told["failures"]["parked"]) == (
        498,
        500,
        3,
    )


def test_status_counts_without_reading_every_calendar(
    server: ManageServer, operator: Operator
) -> None:
    """Where nothing is wrong it is one request, whatever the number of calendars."""
    for number in range(300):
        server.add(f"user{number}@example.com")
    ran = operator("status")
    assert (ran.code, lines_of(ran)) == (0, ["300 of 300 in step"])
    assert server.requests == [("GET", "/status")]


def test_status_tells_the_lag_from_the_log(
    server: ManageServer, operator: Operator, gcloud: Gcloud
) -> None:
    """The 95th percentile of the runs of the last hour."""
    server.add("ann@example.com")
    lines = [
        {"timestamp": NOW, "jsonPayload": {"message": "calendar synced", "lag_seconds": lag}}
        for lag in [1.0] * 19 + [4.2, 60.0]
    ]
    gcloud.answer("logging read", lines)
    ran = operator("status", "--lag", *PROJECT)
    assert lines_of(ran) == ["1 of 1 in step; lag p95 4 s"]
    [call] = gcloud.calls("logging read")
    assert 'jsonPayload.message="calendar synced"' in call["arguments"][2]


@pytest.mark.programs
def test_watch_says_it_again_when_it_changes(server: ManageServer) -> None:
    """One line for each change, until Ctrl-C."""
    server.add("ann@example.com", status="starting")
    command = [sys.executable, "-m", "ccsync", "--url", server.url, "status", "--watch"]
    with subprocess.Popen(
        [*command, "--every", "0.1", "--json"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["in_step"] == 0
        server.calendars["ann@example.com"]["status"] = "ok"
        assert json.loads(process.stdout.readline())["in_step"] == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


def test_failures_are_listed_shown_retried_and_dismissed(
    server: ManageServer, operator: Operator
) -> None:
    """By id, all together, or by a text of their reason. What is left alone is never among them."""
    fill(server)
    other = server.fail(5, "the host is unknown to Zoom")["id"]
    ids = [each["id"] for each in operator("failures", "list", "--json").json["failures"]]
    assert len(ids) == 4
    shown = operator("failures", "show", other)
    assert "the host is unknown to Zoom" in shown.out
    assert "ccsync failures retry" in shown.out
    by_reason = operator("failures", "retry", "--reason", "too long", "--json").json["failures"]
    assert [each["outcome"] for each in by_reason] == ["retried"] * 3
    assert server.failures[other]["state"] == "parked"
    assert operator("failures", "retry", other, "f" * 32).code == 1
    refused = operator("failures", "dismiss", "--all")
    assert (refused.code, len(server.failures)) == (2, 5)
    assert "--yes" in refused.err
    assert operator("failures", "dismiss", "--all", "--yes").code == 0
    assert [each["state"] for each in server.failures.values()] == ["left"]
    assert operator("failures", "retry").code == 2
    assert "No failures." in operator("failures", "list").out


def test_left_lists_what_is_not_ours(server: ManageServer, operator: Operator) -> None:
    """Only the state `left`, of one calendar if asked."""
    fill(server)
    [found] = operator("left", "--json").json["failures"]
    assert found["reason"] == "another user hosts it"
    assert operator("left", "--calendar", "bob@example.com", "--json").json == {"failures": []}


def test_a_parked_event_of_the_sandbox_is_retried(world: World, in_sandbox: Operator) -> None:
    """The real functions park what the system refuses. After `retry` it is in step."""
    anna = "parked@example.com"
    world.start_calendar(anna)
    fault = {"path": "/api/conferences", "method": "PUT", "times": None}
    world.conferencing.faults.add(status=400, body={"error": "no"}, **fault)
    try:
        data = world.conference()
        event = {"summary": "Planning", **timed("10:00", "11:00"), "conferenceData": data}
        event_id = world.calendar.seed_event(anna, event)["id"]
        listing = ("failures", "list", "--calendar", anna, "--json")
        [failure] = world.wait(lambda: in_sandbox(*listing).json["failures"], "the failure")
        assert (failure["event_id"], failure["state"]) == (event_id, "parked")
        assert in_sandbox("status").code == 3
        explained = in_sandbox("explain", anna, event_id)
        assert explained.code == 3
        assert f"ccsync failures retry {failure['id']}" in explained.out
    finally:
        world.conferencing.faults.clear()
    assert in_sandbox("failures", "retry", failure["id"]).code == 0
    world.wait(lambda: in_sandbox("explain", anna, event_id).code == 0, "the failure's end")
    assert in_sandbox("failures", "list", "--state", "all", "--json").json == {"failures": []}
    assert "in step" in in_sandbox("explain", anna, event_id).out


def test_the_doctor_of_the_sandbox_finds_nothing_wrong(in_sandbox: Operator) -> None:
    """Each part has a line. Without a project, what gcloud would tell is not looked at."""
    ran = in_sandbox("doctor", "--json")
    assert (ran.code, ran.json["ok"]) == (0, True)
    names = [each["name"] for each in ran.json["checks"]]
    assert {"signed in", "server", "clock", "access to Calendar", "maintain"} <= set(names)


def test_the_doctor_names_what_is_wrong(
    server: ManageServer, operator: Operator, gcloud: Gcloud
) -> None:
    """The server's own checks, lost access, a paused queue. 3, and each with its mend."""
    server.add("ann@example.com", status="broken", reason="invalid_grant: start it again")
    server.calendars["ann@example.com"]["last_sync"]["at"] = "2020-11-26T09:15:02Z"
    server.checks = [
        {"name": "store", "ok": True, "detail": "it answers"},
        {"name": "provider zoom", "ok": False, "detail": "Zoom refuses our app; add a version"},
    ]
    gcloud.answer("tasks queues describe", {"state": "PAUSED"})
    gcloud.answer("secrets versions", fails="NOT_FOUND: no such secret")
    ran = operator("doctor", *PROJECT)
    assert ran.code == 3
    wrong = [line for line in lines_of(ran) if line.startswith("WRONG")]
    assert [line.split(":")[0].split(maxsplit=1)[1] for line in wrong] == [
        "provider zoom",
        "access to Calendar",
        "maintain",
        "queue state",
    ]
    assert "invalid_grant" in ran.out
    assert "ccsync resume" in ran.out
    assert lines_of(ran)[-1] == f"4 of {len(lines_of(ran)) - 1} need somebody."


def test_the_doctor_of_an_older_server_says_what_it_lacks(
    server: ManageServer, operator: Operator
) -> None:
    """One line, and no fault: the rest is looked at."""
    server.checks = None
    ran = operator("doctor")
    assert ran.code == 0
    assert "this server has no GET /doctor" in ran.out


@pytest.mark.parametrize(
    ("version", "mark", "said"),
    [
        (__version__, "ok", "both are"),
        ("9.0.0", "WRONG", "git checkout v9.0.0"),
        (None, "-", "does not say its version"),
    ],
)
def test_the_doctor_compares_its_version_with_the_servers(
    server: ManageServer, operator: Operator, version: str | None, mark: str, said: str
) -> None:
    """Another release of one of the two is named, with the way to the same."""
    server.version = version
    ran = operator("doctor")
    assert ran.code == (3 if mark == "WRONG" else 0)
    [line] = [line for line in lines_of(ran) if "versions agree" in line]
    assert line.split()[0] == mark
    assert said in line


@pytest.mark.parametrize("runs", [1, 0])
def test_the_doctor_reads_in_the_log_whether_maintain_ran(
    server: ManageServer, operator: Operator, gcloud: Gcloud, runs: int
) -> None:
    """Its line of the last two hours. None: the clock does not call it."""
    del server
    now = datetime.now(UTC).isoformat()
    line = {"timestamp": now, "jsonPayload": {"message": "maintained"}}
    gcloud.answer("logging read", [line] * runs)
    found = operator("doctor", *PROJECT, "--json").json["checks"]
    [ran] = [each for each in found if each["name"] == "maintain ran"]
    assert ran["ok"] is bool(runs)
    [call] = gcloud.calls("logging read")
    assert 'jsonPayload.message="maintained"' in call["arguments"][2]


@pytest.fixture
def logged(gcloud: Gcloud) -> list[dict[str, Any]]:
    lines = [
        {
            "timestamp": f"2026-11-26T09:15:0{second}Z",
            "insertId": f"i{second}",
            "severity": "INFO",
            "jsonPayload": {"message": "calendar synced", "calendar": "x", "changes": second},
        }
        for second in (2, 1)
    ]
    gcloud.answer("logging read", lines)
    return lines


@pytest.mark.usefixtures("server", "logged")
def test_log_asks_for_the_digest_of_the_id(operator: Operator, gcloud: Gcloud) -> None:
    """The id itself is in no query. The lines come oldest first."""
    shell = "printf '%s' '15:ann@example.com' | sha256sum | cut -c1-12"
    digest = subprocess.check_output(["sh", "-c", shell], text=True).strip()
    ran = operator("log", "ann@example.com", "--event", "e1", *PROJECT)
    assert ran.code == 0
    assert lines_of(ran) == [
        f"2026-11-26 09:15:0{second} INFO calendar synced changes={second}" for second in (1, 2)
    ]
    [call] = gcloud.calls("logging read")
    query = call["arguments"][2]
    assert f'jsonPayload.calendar="{digest}"' in query
    assert 'service_name=~"^conference-sync-"' in query
    assert "jsonPayload.event=" in query
    assert "ann@example.com" not in " ".join(call["arguments"])
    assert "--project=acme" in call["arguments"]


def test_log_of_the_sandbox_reads_its_files(world: World, in_sandbox: Operator) -> None:
    """The lines that the real functions wrote about this calendar, and no other's."""
    world.start_calendar("logged@example.com")
    world.start_calendar("silent@example.com")
    lines = [
        json.loads(line)
        for line in in_sandbox("log", "logged@example.com", "--json").out.splitlines()
    ]
    assert "calendar synced" in {line["message"] for line in lines}
    assert len({line["calendar"] for line in lines}) == 1
    nobody = in_sandbox("log", "nobody@example.com")
    assert (nobody.code, nobody.out) == (0, "")
    assert "Nothing was logged" in nobody.err


@pytest.mark.programs
def test_log_follows_and_repeats_no_line(
    server: ManageServer, gcloud: Gcloud, logged: list[dict[str, Any]]
) -> None:
    """With -f new lines are shown as they come, each once."""
    command = [sys.executable, "-m", "ccsync", "--url", server.url, "log", "ann@example.com", "-f"]
    with subprocess.Popen(
        [*command, *PROJECT, "--every", "0.1", "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        seen = [json.loads(process.stdout.readline())["changes"] for _ in range(2)]
        newer = {**logged[0], "timestamp": "2026-11-26T09:15:09Z", "insertId": "i9"}
        gcloud.answer("logging read", [{**newer, "jsonPayload": {"changes": 9}}, *logged])
        seen.append(json.loads(process.stdout.readline())["changes"])
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    assert seen == [1, 2, 9]
