"""Answers that no description allows: each is one of our own errors, or is read as far as it goes
(C3, S6)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest

from sync.conferencing import rest, teams, webex, zoom
from sync.conferencing.http import Answer
from sync.errors import SyncError
from sync.model.conference import ConferenceContent
from sync.model.event import ConferenceId
from tests.support.processor import processor_time_below
from tests.support.providers import ALL, NAMES, NOW, WEEKLY, Bench, bench_of, checked, content

HOST = "host@example.com"
ODD: list[Any] = [7, "https://[x", [{}]]
EXCLUDED = content(recurrence=(*WEEKLY, "EXDATE:20260511T080000Z"))


@pytest.fixture(params=NAMES)
def bench(request: pytest.FixtureRequest, systems: dict[str, Any]) -> Iterator[Bench]:
    with checked(bench_of(request.param, systems[request.param])) as bench:
        yield bench
        # No description allows what was answered here.
        bench.system.requests.clear()


def calls(
    bench: Bench, known: ConferenceId, told: ConferenceContent
) -> Sequence[Callable[[], Any]]:
    original = "2026-05-11T08:00:00Z"
    provider = bench.provider
    return (
        lambda: provider.look(known, told, (HOST,)),
        lambda: provider.update(known, told, ALL, HOST),
        lambda: provider.create(told, "key", HOST),
        lambda: provider.cancel_occurrence(known, original, HOST),
        lambda: provider.canonical(known, (HOST,)),
    )


def answers(meeting: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a meeting, and lists of it, with each member in turn left out or odd."""
    whole = {**meeting, "start_time": "2026-05-11T08:00:00Z", "start": "2026-05-11T08:00:00Z"}
    lists = ("items", "value", "meetings", "occurrences")
    for name in (*whole, *lists, "timezone", "occurrence_id", "integrationTags"):
        left_out = {member: value for member, value in whole.items() if member != name}
        yield {**left_out, **{each: [left_out] for each in lists}}
        for odd in ODD:
            changed = {**whole, name: odd}
            yield {**changed, **{each: [changed] for each in lists}, name: odd}


@pytest.mark.slow
def test_s6_no_member_of_an_answer_is_a_crash(bench: Bench) -> None:
    """Whatever stands in place of a member, or if it is missing, every call ends as it does for
    other answers: with a result, or with one of our own errors."""
    known = bench.add()
    meeting = dict(bench.only())
    for answer in answers(meeting):
        bench.system.faults.add(path=bench.system.API, status=200, times=None, body=answer)
        for call in calls(bench, known, EXCLUDED):
            with suppress(SyncError):
                call()
        bench.system.faults.clear()


@pytest.mark.parametrize("system", [rest, zoom, webex, teams])
def test_s6_no_words_of_a_system_take_long(system: Any) -> None:
    """A megabyte of a word that the adapter looks for, in every place where words may stand."""
    with processor_time_below(5):
        for word in ("meeting ", "user ", "in progress ", "occurrence ", "not found ", "a@b.c/d "):
            said = word * (1_000_000 // len(word))
            error = {"code": "NotFound", "message": said}
            body = {**error, "error": error, "errors": [{"description": said, "field": said}]}
            for status in (400, 403, 404):
                answer = Answer(status, {"trackingId": "R_1"}, json.dumps(body).encode())
                assert len(str(system.classify(answer, "it", NOW))) < 1_000
