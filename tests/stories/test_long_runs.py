"""S4, C6: runs that do not fit into the function's time, and what happens to the lease
meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sync.errors import LeaseLost
from sync.model.calendar import SyncKind
from sync.model.event import CalendarId
from sync.run import engine
from sync.run.lease import LEASE
from tests.support.bench import Bench, BenchMaker, timed


@pytest.fixture
def small_pages(bench: Bench) -> Iterator[None]:
    bench.calendar.settings.page_sizes = [3]
    yield
    bench.calendar.settings.page_sizes = None


class Slow:
    """The same Calendar, whose every page takes so long by the bench's clock."""

    def __init__(self, real: Any, bench: Bench, seconds: float) -> None:
        self._real, self._bench, self._seconds = real, bench, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def bind(self, *arguments: Any) -> Any:
        return Slow(self._real.bind(*arguments), self._bench, self._seconds)

    def list_changes(self, **arguments: Any) -> Any:
        self._bench.clock.advance(self._seconds)
        return self._real.list_changes(**arguments)


class SlowProvider:
    """The same provider, whose every update takes so long by the bench's clock."""

    def __init__(self, bench: Bench, seconds: float) -> None:
        self._real, self._bench, self._seconds = bench.services.providers["my-web"], bench, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def update(self, *arguments: Any) -> None:
        self._real.update(*arguments)
        self._bench.clock.advance(self._seconds)


def fill(bench: Bench, calendar_id: CalendarId, number: int) -> list[str]:
    ids = []
    for _ in range(number):
        conference, conference_id = bench.conference()
        bench.event(calendar_id, conference)
        ids.append(conference_id)
    return ids


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("kind", ["full", "incremental"])
def test_s4_a_run_out_of_time_saves_its_place_and_the_queue_brings_the_rest(
    bench: Bench, kind: str
) -> None:
    """Every event is applied once, over as many runs as it takes; the token comes after the last
    page only."""
    calendar_id = bench.watch()
    before = bench.store.get_calendar(calendar_id)
    assert before is not None
    ids = fill(bench, calendar_id, 10)
    if kind == "full":
        bench.calendar.expire_sync_tokens(calendar_id)
    runs = 0
    reports: list[engine.Report] = []
    while not reports or not reports[-1].finished:
        report = _run_with_time_for(bench, calendar_id, pages=2)
        reports.append(report)
        runs += 1
        document = bench.store.get_calendar(calendar_id)
        assert document is not None
        assert document.value.lease is None
        if not report.finished:
            assert document.value.sync_token == before.value.sync_token
            assert document.value.checkpoint is not None
            assert [task.body for task in bench.waiting()].count({"calendar_id": calendar_id}) >= 1
        assert runs < 20
    assert runs > 1
    assert reports[-1].kind == kind
    assert reports[-1].counts.changes == 10
    assert sorted(bench.calls("PUT")) == sorted(f"PUT /conferences/{one}" for one in ids)
    document = bench.store.get_calendar(calendar_id)
    assert document is not None
    assert document.value.checkpoint is None
    assert bench.sync(calendar_id).kind is SyncKind.INCREMENTAL


def _run_with_time_for(bench: Bench, calendar_id: CalendarId, *, pages: int) -> engine.Report:
    """One run whose limit is reached after so many pages."""
    short = replace(bench.settings, run_limit=timedelta(seconds=10 * pages - 5))
    slow = Slow(bench.services.calendars, bench, 10)
    services = bench.with_services(settings=short, calendars=slow)
    return engine.sync_calendar(services, calendar_id)


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("kind", ["full", "incremental"])
def test_s4_a_page_token_that_died_meanwhile_costs_nothing_but_time(
    bench: Bench, kind: str
) -> None:
    """The listing begins anew, nothing is sent twice."""
    calendar_id = bench.watch()
    ids = fill(bench, calendar_id, 7)
    if kind == "full":
        bench.calendar.expire_sync_tokens(calendar_id)
    assert not _run_with_time_for(bench, calendar_id, pages=1).finished
    bench.calendar.expire_page_tokens(calendar_id)
    report = bench.sync(calendar_id)
    assert report.finished
    assert sorted(bench.calls("PUT")) == sorted(f"PUT /conferences/{one}" for one in ids)


@pytest.mark.usefixtures("small_pages")
def test_s3_s4_a_sweep_survives_an_interruption(bench: Bench) -> None:
    """What the first part of a full sync has met is not looked up by the second; what nobody met
    is."""
    calendar_id = bench.watch()
    conference, gone = bench.conference()
    event_id = bench.event(calendar_id, conference)
    fill(bench, calendar_id, 6)
    bench.sync(calendar_id)
    bench.calendar.cancel(calendar_id, event_id)
    bench.calendar.expire_sync_tokens(calendar_id)
    assert not _run_with_time_for(bench, calendar_id, pages=1).finished
    bench.calendar.requests.clear()
    assert bench.sync(calendar_id).finished
    looked_up = [
        call.path
        for call in bench.calendar.requests
        if call.method == "GET" and "/events/" in call.path
    ]
    assert [path.rpartition("/")[2] for path in looked_up] == [event_id]
    bench.pass_grace()
    assert gone not in bench.conferencing.conferences


@pytest.mark.usefixtures("small_pages")
def test_s3_s4_a_listing_that_begins_anew_misses_no_deletion(bench: Bench) -> None:
    """An event that the first listing met, and that was deleted before the second one began, is
    looked up: the new token is younger than the deletion."""
    calendar_id = bench.watch()
    conference, gone = bench.conference()
    event_id = bench.event(calendar_id, conference)
    fill(bench, calendar_id, 6)
    bench.sync(calendar_id)
    bench.calendar.expire_sync_tokens(calendar_id)
    assert not _run_with_time_for(bench, calendar_id, pages=1).finished
    bench.calendar.cancel(calendar_id, event_id)
    bench.calendar.expire_page_tokens(calendar_id)
    assert bench.sync(calendar_id).finished
    bench.pass_grace()
    assert gone not in bench.conferencing.conferences
    assert bench.link(calendar_id, event_id) is None


def test_s3_s4_a_first_page_that_is_listed_again_misses_no_deletion(
    make_bench: BenchMaker,
) -> None:
    """The same where the run's time ended within the first page, which has no page token."""
    bench = make_bench(SYNC_CONCURRENCY="1")
    calendar_id = bench.watch()
    conference, gone = bench.conference()
    event_id = bench.event(calendar_id, conference)
    fill(bench, calendar_id, 3)
    bench.calendar.expire_sync_tokens(calendar_id)
    slow = SlowProvider(bench, 20)
    services = bench.with_services(
        providers={"my-web": slow},
        settings=replace(bench.settings, run_limit=timedelta(seconds=30)),
    )
    assert not engine.sync_calendar(services, calendar_id).finished
    assert bench.link(calendar_id, event_id) is not None
    bench.calendar.cancel(calendar_id, event_id)
    assert bench.sync(calendar_id).finished
    bench.pass_grace()
    assert gone not in bench.conferencing.conferences
    assert bench.link(calendar_id, event_id) is None


def test_s1_a_long_page_keeps_its_lease(make_bench: BenchMaker) -> None:
    """Extended while the calls are under way; another run is sent back all the time."""
    bench = make_bench(SYNC_CONCURRENCY="1")
    calendar_id = bench.watch()
    fill(bench, calendar_id, 6)
    extended = []
    real = bench.services.providers["my-web"]

    class Slowly:
        """Each call takes fifteen seconds by the bench's clock: six of them are longer than a
        lease."""

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def update(self, *arguments: Any) -> None:
            real.update(*arguments)
            bench.clock.advance(15)
            document = bench.store.get_calendar(calendar_id)
            assert document is not None
            assert document.value.lease is not None
            extended.append(document.value.lease.expires)
            time.sleep(0.05)  # the run's own thread notices that the call has ended

    bench.services = bench.with_services(providers={"my-web": Slowly()})
    assert bench.sync(calendar_id).counts.updated == 6
    assert extended[-1] - extended[0] >= timedelta(seconds=40)


def test_s1_a_process_that_stalled_beyond_its_lease_does_nothing_more(
    make_bench: BenchMaker,
) -> None:
    """No further call to the provider, no token, and the run ends with the news that another has
    the calendar."""
    bench = make_bench(SYNC_CONCURRENCY="1")
    calendar_id = bench.watch()
    fill(bench, calendar_id, 4)
    before = bench.store.get_calendar(calendar_id)
    assert before is not None
    real = bench.services.providers["my-web"]

    class Stalled:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def update(self, *arguments: Any) -> None:
            real.update(*arguments)
            bench.clock.advance(LEASE.total_seconds() + 1)

    services, bench.services = bench.services, bench.with_services(providers={"my-web": Stalled()})
    bench.forget_calls()
    with pytest.raises(LeaseLost):
        bench.sync(calendar_id)
    assert len(bench.calls("PUT")) == 1
    after = bench.store.get_calendar(calendar_id)
    assert after is not None
    assert after.value.sync_token == before.value.sync_token
    bench.services = services
    bench.clock.advance(LEASE.total_seconds() + 1)
    assert bench.sync(calendar_id).counts.updated == 3


def test_memory_does_not_grow_with_the_window(bench: Bench) -> None:
    """A listing of two thousand events is handled page by page: no more than a page of items is
    alive at a time."""
    calendar_id = bench.watch()
    times = timed("10:00", "11:00")
    bench.calendar.seed_many(
        calendar_id, ({"summary": f"Event {number}", **times} for number in range(2000))
    )
    bench.calendar.expire_sync_tokens(calendar_id)
    bench.calendar.requests.clear()
    report = bench.sync(calendar_id)
    listings = [call for call in bench.calendar.requests if call.path.endswith("/events")]
    assert report.counts.changes == 2000
    assert len(listings) == 1 + 8  # the refused one, and 250 events a page
