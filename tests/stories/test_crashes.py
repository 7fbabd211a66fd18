"""S5: a run that is killed between any two touches of the world, and run again, ends as one that
was not killed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sync.run.lease import LEASE
from tests.support.bench import Bench, BenchMaker
from tests.support.crashes import Killed, Life, Scene, living


@pytest.mark.parametrize(("grace", "edited"), [("60", False), ("0", False), ("60", True)])
@pytest.mark.timeout(300)
def test_s5_killed_anywhere_and_run_again_ends_the_same(
    make_bench: BenchMaker, grace: str, edited: bool
) -> None:
    """For every touch of the world: killed just before it, the rest of the process never happens.

    `edited`: before the queue brings the work again, people have changed what it was about.
    """

    def scene() -> Scene:
        bench = make_bench(SYNC_CONCURRENCY="1", SYNC_DELETE_GRACE_SECONDS=grace)
        bench.conferencing.reset("bench-token")
        return Scene(bench)

    whole = scene()
    life = Life()
    whole.run(living(whole.bench, life))
    if edited:
        whole.edit_more()
    whole.recover()
    expected = whole.outcome()
    assert expected["created"] == 1
    assert expected["failures"] == []
    titles = ["copy", "first sight", "found again", "moved", "new", "series"]
    later = {"found again": "found again, later", "first sight": "second sight"} if edited else {}
    assert sorted(expected["conferences"]) == sorted(later.get(title, title) for title in titles)
    assert len(life.touched) > 50
    for touches in range(len(life.touched)):
        killed = scene()
        mortal = Life(touches)
        with pytest.raises(Killed):
            killed.run(living(killed.bench, mortal))
        if edited:
            killed.edit_more()
        killed.recover()
        outcome = killed.outcome()
        assert outcome == expected, f"killed before touch {touches}, {life.touched[touches]}"
        killed.bench.services.close()


def test_s5_a_series_that_takes_over_is_told_with_its_exceptions_wherever_the_run_was_killed(
    bench: Bench,
) -> None:
    """E7: its own task does it, and no listing shows the exceptions again."""
    anna = bench.watch("anna")
    touches, whole = 0, False
    while not whole:
        conference, conference_id = bench.conference()
        leader = bench.event(anna, conference, summary="Leader")
        bench.sync(anna)
        bench.clock.advance(1)
        series = bench.event(
            anna, conference, summary="Weekly", recurrence=["RRULE:FREQ=WEEKLY;COUNT=4"]
        )
        event = bench.calendar.get(anna, series)
        assert event is not None
        second = (
            datetime.fromisoformat(event["start"]["dateTime"]) + timedelta(weeks=1)
        ).astimezone(UTC)
        bench.calendar.edit(anna, f"{series}_{second:%Y%m%dT%H%M%SZ}", {"summary": "Another name"})
        bench.sync(anna)
        bench.calendar.cancel(anna, leader)
        bench.sync(anna)
        services, life = bench.services, Life(touches)
        bench.services = living(bench, life)
        try:
            bench.look(anna, series)
            whole = True
        except Killed:
            touches += 1
        finally:
            bench.services = services
        bench.clock.advance(LEASE.total_seconds() + 1)
        bench.look(anna, series)
        stored = bench.conferencing.conferences[conference_id]
        assert stored["title"] == "Weekly", life.touched
        titles = {start: one["title"] for start, one in stored["occurrences"].items()}
        assert titles == {f"{second:%Y-%m-%dT%H:%M:%SZ}": "Another name"}, life.touched
    assert touches > 5
