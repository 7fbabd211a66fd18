"""JSON lines in Cloud Logging's words, with nothing of an event's content in them."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sync.errors import SyncError
from sync.logs import JsonLines, short
from sync.tracing import carried, current_trace, follow_trace

if TYPE_CHECKING:
    from tests.support.bench import Bench

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Everything that is logged during the test, as the functions write it."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield text
    root.removeHandler(handler)
    root.setLevel(level)


def records(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_a_record_is_one_line_of_json_in_cloud_logging_s_words(written: io.StringIO) -> None:
    """Severity, message, time, and the facts beside them, whatever characters they hold."""
    facts = {
        "calendar": "0a1b",
        "changes": 3,
        "wait": timedelta(seconds=1),
        "text": "two\nlines \N{BIRTHDAY CAKE}",
    }
    logging.getLogger("sync.test").warning("calendar synced", extra=facts)
    (record,) = records(written)
    assert (record["severity"], record["message"], record["logger"]) == (
        "WARNING",
        "calendar synced",
        "sync.test",
    )
    assert (record["calendar"], record["changes"], record["wait"]) == ("0a1b", 3, "0:00:01")
    assert record["text"] == "two\nlines \N{BIRTHDAY CAKE}"
    assert datetime.fromisoformat(record["time"]).utcoffset() == timedelta()
    assert set(record) == {"severity", "message", "logger", "time", *facts}


@pytest.mark.parametrize("level", ["INFO", "WARNING", "ERROR", "CRITICAL"])
def test_severities_are_cloud_logging_s(written: io.StringIO, level: str) -> None:
    """Python's names are the service's."""
    logging.getLogger("sync.test").log(getattr(logging, level), "something")
    assert records(written)[0]["severity"] == level


def test_an_exception_is_logged_with_where_and_without_what_it_says(written: io.StringIO) -> None:
    """A library's message may quote the event: the place and the kind are kept, the text is not,
    nor a cause's."""

    def fail() -> None:
        try:
            raise KeyError("Secret title")
        except KeyError as error:
            raise ValueError("Secret title of anna@example.com") from error

    try:
        fail()
    except ValueError:
        logging.getLogger("sync.test").exception("event failed")
    (record,) = records(written)
    assert "in fail" in record["stack_trace"]
    assert record["stack_trace"].splitlines()[-1] == "ValueError"
    assert "Secret title of" not in json.dumps(record).replace(
        'raise ValueError(\\"Secret title of', ""
    )
    assert record["message"] == "event failed"


def test_no_exception_no_stack(written: io.StringIO) -> None:
    """`exc_info` without an exception adds nothing."""
    logging.getLogger("sync.test").error("event failed", exc_info=None)
    logging.getLogger("sync.test").error("event failed", exc_info=True)  # noqa: LOG014 - that is the test
    assert all("stack_trace" not in record for record in records(written))


def test_half_a_character_costs_no_record(written: io.StringIO) -> None:
    """What others send may be cut in the middle of an emoji; the line is written all the same."""
    logging.getLogger("sync.test").info("something", extra={"reason": "half \ud83d"})
    written.getvalue().encode()
    assert records(written)[0]["reason"] == "half ?"


TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_thread_has_the_trace_of_what_began_it() -> None:
    """Records and tasks of a pool's threads belong to the request; another's do not."""
    follow_trace({"traceparent": TRACEPARENT})
    with ThreadPoolExecutor(2) as pool:
        ours = [pool.submit(carried(current_trace)) for _ in range(8)]
        follow_trace({})
        theirs = [pool.submit(carried(current_trace)) for _ in range(8)]
        bare = [pool.submit(current_trace) for _ in range(8)]
    traces = [each.result() for each in ours]
    assert [trace.traceparent if trace else None for trace in traces] == [TRACEPARENT] * 8
    assert [each.result() for each in theirs + bare] == [None] * 16


def test_a_carried_function_is_the_same_function() -> None:
    """Arguments, answer, name and exception are its own; the trace of the caller's thread stays."""

    def divide(number: int, *, by: int) -> float:
        return number / by

    follow_trace({"traceparent": TRACEPARENT})
    wrapped = carried(divide)
    follow_trace({})
    assert wrapped(6, by=3) == 2
    assert wrapped.__name__ == "divide"
    with pytest.raises(ZeroDivisionError):
        wrapped(1, by=0)
    assert current_trace() is None


def test_a_record_names_the_trace_of_its_request() -> None:
    """In Cloud Logging's words, with the project; without a project there is nothing to name."""
    record = logging.makeLogRecord({"msg": "something", "levelno": logging.INFO})
    follow_trace({"traceparent": TRACEPARENT})
    named = json.loads(JsonLines(project="p").format(record))
    unnamed = json.loads(JsonLines().format(record))
    follow_trace({})
    assert named["logging.googleapis.com/trace"] == (
        "projects/p/traces/0af7651916cd43dd8448eb211c80319c"
    )
    assert named["logging.googleapis.com/spanId"] == "b7ad6b7169203331"
    assert named["logging.googleapis.com/trace_sampled"] is True
    assert not any("trace" in key for key in unnamed)


@pytest.mark.parametrize(
    ("headers", "parent"),
    [
        ({"traceparent": TRACEPARENT}, TRACEPARENT),
        (
            {"X-Cloud-Trace-Context": "0af7651916cd43dd8448eb211c80319c/1;o=1"},
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000001-01",
        ),
        (
            {"X-Cloud-Trace-Context": "0af7651916cd43dd8448eb211c80319c/99999999999999999999"},
            "00-0af7651916cd43dd8448eb211c80319c-6bc75e2d630fffff-00",
        ),
        ({"traceparent": "00-zz"}, None),
        ({"traceparent": TRACEPARENT + "\nx"}, None),
        ({"X-Cloud-Trace-Context": "0af7/1"}, None),
        ({}, None),
    ],
)
def test_a_trace_is_read_in_both_forms(headers: dict[str, str], parent: str | None) -> None:
    """W3C's header and Google's older one; what is neither is none."""
    follow_trace(headers)
    trace = current_trace()
    assert (trace.traceparent if trace else None) == parent
    follow_trace({})


def test_an_id_is_short_the_same_and_not_to_be_read() -> None:
    """Twelve digits stand for an id, as the documented shell command finds them."""
    calendar_id = "anna@example.com"
    assert short(calendar_id) == short(calendar_id) != short("ben@example.com")
    text = f"{len(calendar_id)}:{calendar_id}".encode()
    assert short(calendar_id) == hashlib.sha256(text).hexdigest()[:12]


@pytest.mark.slow
def test_messages_are_constant() -> None:
    """Every logging call of ours has a constant message and its facts in `extra`."""
    levels = {"debug", "info", "warning", "error", "exception", "critical", "log"}
    calls = [
        node
        for path in [ROOT / "main.py", *sorted((ROOT / "sync").rglob("*.py"))]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in levels
        and ast.unparse(node.func.value) in ("_logger", "logging", "logger")
    ]
    assert calls
    for call in calls:
        (message,) = call.args
        assert isinstance(message, ast.Constant)
        assert isinstance(message.value, str)
        assert "%" not in message.value


TITLE, GUEST, TEXT, PLACE, TOKEN = (
    "Merger-with-Umbrella",
    "secret.guest@elsewhere.example",
    "hush-hush-description",
    "Bunker-9",
    "bench-token",
)


def test_nothing_of_an_event_is_ever_logged(bench: Bench, written: io.StringIO) -> None:
    """A story of failures of every kind: no title, guest, text, place, join link, id in clear or
    token in a record."""
    calendar_id = bench.watch("distinctive.owner")
    conference, conference_id = bench.conference(title=TITLE)
    content = {
        "summary": TITLE,
        "description": TEXT,
        "location": PLACE,
        "attendees": [{"email": GUEST, "displayName": "Secret Guest"}],
    }
    event_id = bench.event(calendar_id, conference, id="distinctiveeventid", **content)
    words = f"{TITLE} of {GUEST} is not welcome"
    bench.sync(calendar_id)
    faults: list[dict[str, Any]] = [
        {"status": 422, "body": {"error": {"message": words}}},
        {"status": 403, "body": {"error": {"message": words}}},
        {"status": 503, "body": words},
        {"status": 200, "body": f"<html>{words}</html>"},
        {"status": 302, "headers": {"Location": "https://meet.example.com/secret"}},
        {"truncate": True},
        {"status": 401, "body": {"error": {"message": words}}},
    ]
    for number, fault in enumerate(faults):
        bench.conferencing.faults.add(method="PUT", **fault)
        bench.calendar.edit(calendar_id, event_id, {"summary": f"{TITLE} {number}"})
        with contextlib.suppress(SyncError):
            bench.sync(calendar_id)
        bench.clock.advance(3600)
        bench.run_tasks(errors=lambda _: None)
    bench.conferencing.forget(conference_id)
    bench.calendar.edit(calendar_id, event_id, {"summary": f"{TITLE} again"})
    with contextlib.suppress(SyncError):
        bench.sync(calendar_id)
    bench.calendar.seed_event(
        calendar_id, {"id": "malformed", "summary": TITLE, "start": {"dateTime": TITLE}}, raw=True
    )
    bench.sync(calendar_id)
    bench.calendar.withdraw_access(calendar_id, status=403)
    bench.sync(calendar_id)
    ours = [record for record in records(written) if record["logger"].startswith(("sync", "main"))]
    assert {record["severity"] for record in ours} >= {"INFO", "WARNING", "ERROR"}
    text = "\n".join(json.dumps(record) for record in ours)
    for secret in (
        TITLE,
        GUEST,
        TEXT,
        PLACE,
        TOKEN,
        "distinctive.owner",
        "distinctiveeventid",
        "meet.example.com/",
    ):
        assert secret not in text, secret


def test_the_functions_log_json_lines_from_info_up_and_keep_libraries_quiet() -> None:
    """What `configure` sets up: one JSON line a record, and no URL of a library's request at
    INFO."""
    script = (
        "import logging; from sync import logs; logs.configure();"
        "logging.getLogger('sync.x').info('ours'); logging.getLogger('sync.x').debug('too much');"
        "logging.getLogger('httpx').info('GET https://x/anna@example.com');"
        "logging.getLogger('googleapiclient.discovery').info('URL');"
        "logging.getLogger('google.auth').warning('theirs')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert [json.loads(line)["message"] for line in done.stdout.splitlines()] == ["ours", "theirs"]
    assert done.stderr == ""
