"""Spans of a task, from the queue to the provider and back to Calendar. What they never say."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import flask
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sandbox.servers import HttpServer
from sync import spans, tracing
from sync.logs import short
from sync.spans import Spans
from tests.support.bench import Bench, shown

TRACE = "0af7651916cd43dd8448eb211c80319c"
PUSH = "b7ad6b7169203331"
# What is in the event, the conference and the ids, and must not be in a span.
CANARY = "quokka"


@pytest.fixture
def made() -> Iterator[InMemorySpanExporter]:
    """Every span that ended."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.record(Spans(provider))
    yield exporter
    tracing.record(None)
    tracing.follow_trace({})
    provider.shutdown()


def headers(*, ready_for: float = 5.0) -> dict[str, str]:
    """Those of a task, which was ready for so many seconds before it was delivered."""
    due = f"{time.time() - ready_for:.6f}"
    return {"traceparent": f"00-{TRACE}-{PUSH}-01", "X-CloudTasks-TaskETA": due}


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [each for each in exporter.get_finished_spans() if each.name == name]


def parent_of(exporter: InMemorySpanExporter, span: ReadableSpan) -> str:
    """The name of a span's parent, or the id of one that was made elsewhere."""
    assert span.parent is not None
    names = {
        each.context.span_id: each.name
        for each in exporter.get_finished_spans()
        if each.context is not None
    }
    return names.get(span.parent.span_id, f"{span.parent.span_id:016x}")


def test_a_task_is_one_trace_from_the_queue_to_the_way_back(
    bench: Bench, made: InMemorySpanExporter
) -> None:
    """A conference that the provider lacks, asked twice, is created, and the event gets its way in.
    The calls run in a pool's threads, and belong to the run all the same."""
    calendar_id = bench.watch()
    event_id = bench.event(calendar_id, shown("never-made"))
    bench.sync(calendar_id)
    bench.clock.advance(bench.settings.retry.total_seconds() + 1)
    bench.calendar.edit(calendar_id, event_id, {"summary": "Again"})
    made.clear()
    with tracing.request("task", headers()):
        bench.sync(calendar_id)
    finished = made.get_finished_spans()
    assert {f"{each.context.trace_id:032x}" for each in finished if each.context} == {TRACE}
    tree = {(parent_of(made, each), each.name) for each in finished}
    assert tree == {
        (PUSH, "queue wait"),
        (PUSH, "task"),
        ("task", "run"),
        ("run", "listing"),
        ("run", "provider call"),
        ("run", "write back"),
    }
    [wait] = named(made, "queue wait")
    assert wait.start_time is not None
    assert wait.end_time is not None
    assert (wait.end_time - wait.start_time) / 1e9 >= 5
    calls = [dict(each.attributes or {}) for each in named(made, "provider call")]
    assert [each["action"] for each in calls][:2] == ["look", "create"]
    assert {each["event"] for each in calls} == {short(event_id)}
    [run] = named(made, "run")
    told = dict(run.attributes or {})
    assert (told["calendar"], told["conferences_created"]) == (short(calendar_id), 1)


def test_a_task_that_is_enqueued_belongs_to_the_trace(
    bench: Bench, made: InMemorySpanExporter
) -> None:
    """A retry, from a thread of the pool."""
    calendar_id = bench.watch()
    data, conference_id = bench.conference()
    bench.event(calendar_id, data)
    bench.lose_tasks()
    made.clear()
    bench.conferencing.faults.add(path=conference_id, status=503, times=None)
    with tracing.request("task", headers()):
        bench.sync(calendar_id)
    bench.conferencing.faults.clear()
    [task] = bench.waiting()
    assert task.headers["traceparent"].split("-")[1] == TRACE
    [call] = named(made, "provider call")
    assert call.status.status_code.name == "ERROR"
    assert dict(call.attributes or {})["error.type"] == "TryLater"


def test_a_span_says_nothing_of_what_an_event_holds(
    bench: Bench, made: InMemorySpanExporter
) -> None:
    """Titles, guests, links and ids, when all goes well and when the provider's answer quotes
    them."""
    calendar_id = bench.watch(CANARY)
    data, conference_id = bench.conference(title=CANARY)
    fields = {"summary": CANARY, "attendees": [{"email": f"{CANARY}@example.com"}]}
    bench.event(calendar_id, data, description=CANARY, **fields)
    refused, refused_id = bench.conference()
    bench.event(calendar_id, refused, **fields)
    body = {"error": {"message": f"{CANARY} is refused"}}
    bench.conferencing.faults.add(path=refused_id, method="PUT", status=422, body=body)
    made.clear()
    with tracing.request("task", headers()):
        bench.sync(calendar_id)
    assert len(named(made, "provider call")) == 4
    for span in made.get_finished_spans():
        said = span.to_json()
        for secret in (CANARY, conference_id, refused_id, "meet.example.com", "@example"):
            assert secret not in said
        assert span.events == ()


def test_without_a_recorder_no_span_is_made_and_the_trace_goes_on(bench: Bench) -> None:
    """What is logged and enqueued names the request's own span."""
    calendar_id = bench.watch()
    with tracing.request("task", headers()), tracing.span("run"):
        tracing.tell(calendar="digest")
        bench.sync(calendar_id)
        trace = tracing.current_trace()
    tracing.follow_trace({})
    assert trace == tracing.Trace(trace_id=TRACE, span_id=PUSH, sampled=True)


def test_a_trace_that_is_not_recorded_elsewhere_is_not_recorded_here(
    made: InMemorySpanExporter,
) -> None:
    """Cloud Run decides for the whole trace."""
    with tracing.request("task", {"traceparent": f"00-{TRACE}-{PUSH}-00"}):
        trace = tracing.current_trace()
    assert made.get_finished_spans() == ()
    assert trace is not None
    assert (trace.trace_id, trace.sampled) == (TRACE, False)


@pytest.mark.parametrize("due", ["", "soon", "1e9", "-1", "nan", "9999999999", "1" * 400])
def test_an_odd_time_in_the_queue_is_passed_over(made: InMemorySpanExporter, due: str) -> None:
    """Anybody can send the header to the public functions."""
    with tracing.request("push", {"X-CloudTasks-TaskETA": due}):
        pass
    assert [each.name for each in made.get_finished_spans()] == ["push"]


def test_spans_leave_before_the_request_is_answered() -> None:
    """With the project and the function in them. An endpoint that refuses costs nothing but its
    spans."""
    received: list[bytes] = []
    app = flask.Flask("collector")

    @app.post("/v1/traces")
    def collect() -> tuple[str, int]:
        received.append(flask.request.get_data())
        return "", 200 if len(received) == 1 else 400

    server = HttpServer(app)
    server.start()
    url = f"{server.url}/v1/traces"
    sender = {"project": "acme", "service": "sync-calendar", "version": "r-1"}
    tracing.record(spans.sent_to(url, **sender, patience_seconds=60))
    try:
        with tracing.request("task", headers()), tracing.span("run"):
            tracing.tell(calendar="digest", changes=3)
        assert len(received) == 1
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        with tracing.request("task", {}):
            pass
        assert len(received) == 2
    finally:
        tracing.record(None)
        tracing.follow_trace({})
        server.stop()
        logging.getLogger("opentelemetry").setLevel(logging.NOTSET)
    [group] = ExportTraceServiceRequest.FromString(received[0]).resource_spans
    facts = {each.key: each.value.string_value for each in group.resource.attributes}
    assert (facts["gcp.project_id"], facts["service.name"]) == ("acme", "sync-calendar")
    [scope] = group.scope_spans
    assert {each.name for each in scope.spans} == {"queue wait", "run", "task"}


def test_an_endpoint_that_does_not_answer_holds_up_no_request() -> None:
    """One request waits a moment, those after it not at all. All spans are sent in the end."""
    hold, arrived, exported = threading.Event(), threading.Event(), InMemorySpanExporter()

    class Held(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            arrived.set()
            hold.wait()
            return exported.export(spans)

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Held()))
    recorder = Spans(provider, patience_seconds=0.05)
    tracing.record(recorder)
    try:
        for number in range(3):
            with tracing.request(f"push {number}", {}):
                pass
        assert arrived.wait(30)
        assert exported.get_finished_spans() == ()
    finally:
        hold.set()
        tracing.record(None)
        tracing.follow_trace({})
        provider.shutdown()
    assert {each.name for each in exported.get_finished_spans()} == {"push 0", "push 1", "push 2"}


def test_without_credentials_the_function_serves_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Google's endpoint wants an identity. Where there is none, a warning says so."""
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    url = "https://telemetry.googleapis.com/v1/traces"
    spans.sent_to(url, project="acme", service="maintain", version="r-1")
    assert "spans are sent without credentials" in [each.message for each in caplog.records]
