"""The gate before a provider: rate limit, back-off for all after a 429, and one log line a call."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sync.conferencing.gate import GatedProvider
from sync.context import Provider
from sync.errors import Gone, NoOccurrences, NotAllowed, TryLater
from sync.logs import JsonLines, short
from sync.tracing import follow_trace
from tests.support.providers import Bench, bench_of, checked, content

HOST = "host@example.com"


@pytest.fixture
def teams(systems: dict[str, Any]) -> Iterator[Bench]:
    with checked(bench_of("teams", systems["teams"])) as bench:
        yield bench


@pytest.fixture
def gate(teams: Bench) -> Provider:
    """As the protocol that the steps of a run know."""
    return GatedProvider(teams.provider)


def called(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    names = ("provider", "action", "outcome", "event", "conference")
    return [
        {name: getattr(record, name) for name in names if hasattr(record, name)}
        for record in caplog.records
        if record.getMessage() == "provider called"
    ]


def test_every_call_goes_through_and_is_logged_by_digests(
    teams: Bench, gate: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """Action and outcome; event and conference where they are known, never in clear."""
    caplog.set_level(logging.INFO, logger="sync")
    made = gate.create(content(), "key-1")
    known = made.conference_id
    assert gate.look(known, content(), (HOST,)).way_in == made == gate.read(known)
    gate.update(known, content(title="New"), frozenset({"title"}))
    assert teams.title(teams.only()) == "New"
    with pytest.raises(NoOccurrences):
        gate.update_occurrence(known, "2026-05-11T08:00:00Z", content())
    with pytest.raises(NoOccurrences):
        gate.cancel_occurrence(known, "2026-05-11T08:00:00Z")
    gate.delete(known)
    gate.delete(known)
    assert gate.find_made(content(), "key-2") != known
    with pytest.raises(Gone):
        gate.read(known)
    event, conference = {"event": short("e1")}, {"conference": short(known)}
    assert called(caplog) == [
        {"provider": "teams", "action": action, "outcome": outcome, **more}
        for action, outcome, more in (
            ("create", "done", {**event, **conference}),
            ("look", "done", {**event, **conference}),
            ("read", "done", conference),
            ("update", "done", {**event, **conference}),
            ("update_occurrence", "no_occurrences", {**event, **conference}),
            ("cancel_occurrence", "no_occurrences", conference),
            ("delete", "done", conference),
            ("delete", "done", conference),
            ("find_made", "done", event),
            ("read", "gone", conference),
        )
    ]
    assert known not in caplog.text


def test_an_id_that_is_the_systems_own_makes_no_call(
    teams: Bench, gate: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a request nor a turn of the rate limit; a number is looked up."""
    caplog.set_level(logging.INFO, logger="sync")
    known = teams.add()
    assert gate.canonical(known) == known
    assert called(caplog) == []
    assert teams.system.requests == []
    number = teams.id_in({**teams.system.add(shown_as="number")})
    assert gate.canonical(number, (HOST,)) in teams.meetings
    assert [each["action"] for each in called(caplog)] == ["look_up"]


def test_the_trace_is_that_of_the_calling_thread(
    teams: Bench, gate: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """A call of a pool that was given the context of its run belongs to the run's trace."""
    caplog.set_level(logging.INFO, logger="sync")
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(JsonLines(project="p").format(record))

    handler = Lines()
    logging.getLogger("sync.conferencing.gate").addHandler(handler)
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    follow_trace({"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"})
    known = teams.add()
    try:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(copy_context().run, gate.read, known).result()
    finally:
        follow_trace({})
        logging.getLogger("sync.conferencing.gate").removeHandler(handler)
    (line,) = lines
    assert json.loads(line)["logging.googleapis.com/trace"] == f"projects/p/traces/{trace_id}"


def test_c6_a_429_silences_all_calls(teams: Bench, gate: Provider) -> None:
    """Calls that are not sent say so, and count as nobody's try; one host's refusal silences
    nobody."""
    known = teams.add()
    teams.system.trouble("forbidden")
    with pytest.raises(NotAllowed):
        gate.read(known)
    teams.system.trouble("rate-limit", headers={"Retry-After": "600"})
    with pytest.raises(TryLater) as refused:
        gate.read(known)
    assert not refused.value.unsent
    sent = len(teams.system.requests)
    for _ in range(3):
        with pytest.raises(TryLater) as held:
            gate.read(known)
        assert held.value.unsent
        assert held.value.after is not None
        assert timedelta() < held.value.after <= timedelta(minutes=5)
    assert len(teams.system.requests) == sent
    teams.system.requests.clear()


def test_c6_calls_are_spread_in_time(teams: Bench) -> None:
    """Ten a second: the fourth begins at least three tenths after the first, whatever thread
    sends it; one whose turn is too far away is held back."""
    gate = GatedProvider(teams.provider, calls_per_second=10)
    known = teams.add()
    gate.read(known)
    began = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: gate.read(known), range(3)))
    assert time.monotonic() - began >= 0.2
    slow = GatedProvider(teams.provider, calls_per_second=0.001)
    slow.read(known)
    with pytest.raises(TryLater) as held:
        slow.read(known)
    assert held.value.unsent


def test_a_crash_is_logged_as_one(
    teams: Bench, gate: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """An adapter's mistake is no outcome of the provider's."""
    caplog.set_level(logging.INFO, logger="sync")
    nothing: Any = None
    broken = replace(content(), title=nothing)
    with pytest.raises(AttributeError):
        gate.update(teams.add(), broken, frozenset({"title"}))
    assert [each["outcome"] for each in called(caplog)] == ["crash"]
