"""One page's calls side by side, and who waits when all must (C6)."""

from __future__ import annotations

import time

from tests.support.bench import Bench, BenchMaker
from tests.support.series import occurrence, weekly


def test_c6_an_answer_that_asks_everybody_to_wait_is_shared(make_bench: BenchMaker) -> None:
    """429: nothing more is sent until then, and what was held back is no failed try."""
    bench = make_bench(SYNC_CONCURRENCY="1")
    calendar_id = bench.watch()
    made = [bench.conference() for _ in range(5)]
    for conference, _ in made:
        bench.event(calendar_id, conference)
    bench.conferencing.faults.add(status=429, headers={"Retry-After": "2"})
    bench.forget_calls()
    assert bench.sync(calendar_id).counts.failed == 5
    assert len(bench.calls()) == 1
    attempts = sorted(one.attempts for one in bench.failures(calendar_id))
    assert attempts == [0, 0, 0, 0, 1]
    time.sleep(2.1)
    bench.clock.advance(60)
    bench.run_tasks()
    assert {bench.conferencing.conferences[one]["title"] for _, one in made} == {"Planning"}
    assert bench.failures(calendar_id) == []


def test_c6_one_page_runs_side_by_side_and_never_twice_for_one_conference(bench: Bench) -> None:
    """Eight at a time; events that share a conference one after the other."""
    calendar_id = bench.watch()
    shared, shared_id = bench.conference()
    for number in range(6):
        bench.event(calendar_id, shared, summary=f"Shared {number}")
    for _ in range(12):
        conference, _ = bench.conference()
        bench.event(calendar_id, conference)
    bench.conferencing.faults.add(delay_seconds=0.1, times=None)
    bench.sync(calendar_id)
    assert 4 <= bench.conferencing.max_concurrency <= bench.settings.concurrency
    assert bench.conferencing.max_concurrency_per_conference == 1
    assert shared_id in bench.conferencing.conferences


def test_c6_a_series_and_its_occurrences_go_one_after_the_other(bench: Bench) -> None:
    """All of them are calls about one conference: the series first, then each occurrence."""
    calendar_id = bench.watch()
    series, conference_id = weekly(bench, calendar_id)
    for weeks in (1, 2, 3, 4):
        one, _ = occurrence(bench, calendar_id, series, weeks)
        bench.calendar.edit(calendar_id, one, {"summary": f"Week {weeks}"})
    bench.calendar.edit(calendar_id, series, {"description": "For all of them"})
    bench.conferencing.faults.add(delay_seconds=0.1, times=None)
    bench.forget_calls()
    bench.sync(calendar_id)
    assert len(bench.calls()) == 5
    assert bench.calls()[0] == f"PUT /conferences/{conference_id}"
    assert bench.conferencing.max_concurrency_per_conference == 1
