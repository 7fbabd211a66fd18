"""What docs/cost.md prices: operations of each way through the system, counted where they leave us,
documents of the store among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sync.model.event import CalendarId, EventId
from tests.benchmarks import cost as pages
from tests.benchmarks.pages import tables
from tests.benchmarks.wire import Documents
from tests.support.bench import Bench


def cost(bench: Bench, act: Callable[[], Any]) -> tuple[int, int]:
    """Documents read, and documents written or deleted, by what is done meanwhile."""
    store: Any = Documents(bench.store)
    services = bench.services
    bench.services = bench.with_services(store=store)
    try:
        act()
    finally:
        bench.services = services
    counted = store.operations
    return counted.reads, counted.writes + counted.deletes


@pytest.fixture
def calendar_id(bench: Bench) -> CalendarId:
    return bench.watch()


@pytest.fixture
def event(bench: Bench, calendar_id: CalendarId) -> tuple[EventId, str]:
    return bench.followed(calendar_id)


NOBODY = (1 + 2, 1)


def test_a_notification_that_concerns_nobody(bench: Bench, calendar_id: CalendarId) -> None:
    bench.event(calendar_id)
    assert cost(bench, lambda: bench.sync(calendar_id)) == NOBODY


def test_a_calendar_in_which_nothing_changed(bench: Bench, calendar_id: CalendarId) -> None:
    bench.sync(calendar_id)
    assert cost(bench, lambda: bench.sync(calendar_id)) == (1, 1)


def test_a_change(bench: Bench, calendar_id: CalendarId, event: tuple[EventId, str]) -> None:
    """The lease, the link before and after the call."""
    bench.calendar.edit(calendar_id, event[0], {"summary": "Changed"})
    assert cost(bench, lambda: bench.sync(calendar_id)) == (NOBODY[0], NOBODY[1] + 3)


def test_a_conference_seen_for_the_first_time(bench: Bench, calendar_id: CalendarId) -> None:
    """The lease; link and record together; the link after the call."""
    conference, _ = bench.conference()
    bench.event(calendar_id, conference)
    assert cost(bench, lambda: bench.sync(calendar_id)) == (NOBODY[0] + 1, NOBODY[1] + 4)


def test_a_conference_created_anew(
    bench: Bench, calendar_id: CalendarId, event: tuple[EventId, str]
) -> None:
    """With the notification's run, which finds it gone, and the task of the second look (C4)."""
    event_id, conference_id = event
    bench.conferencing.forget(conference_id)
    bench.calendar.edit(calendar_id, event_id, {"summary": "Changed"})
    assert cost(bench, lambda: bench.look_twice(calendar_id)) == (NOBODY[0] + 7, NOBODY[1] + 13)


def test_a_deletion(bench: Bench, calendar_id: CalendarId, event: tuple[EventId, str]) -> None:
    """On top of its notification, and with the task after the grace."""
    bench.calendar.cancel(calendar_id, event[0])
    first = cost(bench, lambda: bench.sync(calendar_id))
    second = cost(bench, bench.pass_grace)
    assert (first[0] + second[0], first[1] + second[1]) == (NOBODY[0] + 8, NOBODY[1] + 8)


@pytest.mark.slow
def test_the_pages_show_what_is_counted() -> None:
    """Operations, prices and limits of docs/cost.md and docs/scale.md are made by `make cost`."""
    for page, made in pages.made().items():
        shown = tables(page.read_text())
        assert {name: shown[name] for name in made} == made, "run: make cost"
