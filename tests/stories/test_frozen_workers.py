"""S8: a worker stands still in the middle of a call, others go on, and the newest state stands."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from sync.errors import SyncError
from sync.run import engine
from tests.support.bench import settle
from tests.support.fitting import SIX_WEEKS, begins, fitting, fitting_series
from tests.support.second_worker import another_worker, ended
from tests.support.series import occurrence
from tests.support.worlds import Connect, Connected, at_ten, conference_of, tomorrow


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after its effect"])
def test_s8_a_frozen_worker_leaves_no_older_state(world: Connected, after: bool) -> None:
    """Case 4: A's update arrives minutes later, after B's: B's state stands in the end."""
    bench = world.bench
    anna = bench.watch("anna")
    event_id = bench.event(anna, fitting(world, anna), **at_ten())
    bench.sync(anna)
    conference_id = conference_of(world, anna, event_id)
    world.system.faults.add(
        method="PUT" if world.system.name == "my-web" else "PATCH", freeze=True, after=after
    )
    with another_worker(bench) as frozen:
        bench.calendar.edit(anna, event_id, {"summary": "A's, older"})
        a = frozen.begin(lambda services: engine.sync_calendar(services, anna))
        world.system.faults.wait_held()
        bench.clock.advance(120)
        bench.calendar.edit(anna, event_id, {"summary": "B's, newer"})
        bench.sync(anna)
        assert after or world.system.title(conference_id) == "B's, newer"
        frozen.wake(bench)
        world.system.faults.release()
        ended(a)
    settle(bench)
    assert world.system.title(conference_id) == "B's, newer"
    assert bench.failures(anna) == []
    since = len(world.writes())
    bench.calendar.expire_sync_tokens(anna)
    bench.sync(anna)
    assert world.writes()[since:] == []


def test_s8_a_frozen_task_of_one_event_leaves_no_older_state(world: Connected) -> None:
    """Neighbour of 4: a retry task is frozen, and the calendar's run finishes meanwhile."""
    bench = world.bench
    anna = bench.watch("anna")
    event_id = bench.event(anna, fitting(world, anna), **at_ten())
    bench.sync(anna)
    conference_id = conference_of(world, anna, event_id)
    with another_worker(bench) as frozen:
        bench.calendar.edit(anna, event_id, {"summary": "Older"})
        world.system.faults.add(
            method="PUT" if world.system.name == "my-web" else "PATCH", freeze=True
        )
        a = frozen.begin(lambda services: engine.sync_event(services, anna, event_id))
        world.system.faults.wait_held()
        bench.clock.advance(120)
        bench.calendar.edit(anna, event_id, {"summary": "Newer"})
        bench.sync(anna)
        frozen.wake(bench)
        world.system.faults.release()
        ended(a)
    settle(bench)
    assert world.system.title(conference_id) == "Newer"


@pytest.mark.parametrize("system", ["rest", "zoom", "webex"])
def test_s8_a_frozen_occurrence_leaves_no_older_state(connected: Connect, system: str) -> None:
    """Neighbour of 4: one occurrence is moved twice, and the first move arrives last."""
    world = connected(system)
    bench = world.bench
    anna = bench.watch("anna")
    series = bench.event(anna, fitting_series(world, anna), recurrence=[SIX_WEEKS], **at_ten())
    bench.sync(anna)
    conference_id = conference_of(world, anna, series)
    one, _ = occurrence(bench, anna, series, 2)
    with another_worker(bench) as frozen:
        bench.calendar.edit(anna, one, moved_to(14))
        world.system.faults.add(method="PUT" if system == "rest" else "PATCH", freeze=True)
        a = frozen.begin(lambda services: engine.sync_calendar(services, anna))
        world.system.faults.wait_held()
        bench.clock.advance(120)
        bench.calendar.edit(anna, one, moved_to(16))
        bench.sync(anna)
        frozen.wake(bench)
        world.system.faults.release()
        ended(a)
    settle(bench)
    assert tomorrow(16) + timedelta(weeks=2) in begins(world, conference_id)
    assert tomorrow(14) + timedelta(weeks=2) not in begins(world, conference_id)


def moved_to(hour: int) -> dict[str, Any]:
    """The times of the third date of a weekly series, moved to this hour."""
    begin = tomorrow(hour) + timedelta(weeks=2)
    return {
        name: {"dateTime": moment.isoformat(), "timeZone": "UTC"}
        for name, moment in (("start", begin), ("end", begin + timedelta(hours=1)))
    }


def test_s8_a_frozen_deletion_leaves_no_event_without_a_conference(world: Connected) -> None:
    """Neighbour of 4: the event is restored while its DELETE is held, which then arrives."""
    bench = world.bench
    anna = bench.watch("anna")
    event_id = bench.event(anna, fitting(world, anna), **at_ten(), summary="Restored")
    bench.sync(anna)
    bench.calendar.cancel(anna, event_id)
    bench.sync(anna)
    bench.clock.advance(61)
    with another_worker(bench) as frozen:
        world.system.faults.add(method="DELETE", freeze=True)
        a = frozen.begin(lambda services: engine.sync_event(services, anna, event_id))
        world.system.faults.wait_held()
        bench.clock.advance(120)
        bench.calendar.restore(anna, event_id)
        with suppress(SyncError):
            bench.sync(anna)
        frozen.wake(bench)
        world.system.faults.release()
        ended(a)
    settle(bench, 20)
    assert world.system.titled("Restored") == [conference_of(world, anna, event_id)]
    assert bench.failures(anna) == []


@pytest.mark.parametrize("what", ["S8-series", "S8-occurrence"])
def test_s8_a_frozen_call_without_an_answer_leaves_no_older_state(
    connected: Connect, what: str
) -> None:
    """Neighbour of 4: A's call arrives after B's run, and its answer is lost: A cannot know that it
    had an effect, and B's state stands in the end."""
    world = connected("rest")
    bench = world.bench
    anna = bench.watch("anna")
    series = bench.event(anna, fitting_series(world, anna), recurrence=[SIX_WEEKS], **at_ten())
    bench.sync(anna)
    conference_id = conference_of(world, anna, series)
    whole = what == "S8-series"
    edited = series if whole else occurrence(bench, anna, series, 2)[0]
    older, newer = (
        ({"summary": "Older"}, {"summary": "Newer"}) if whole else map(moved_to, (14, 16))
    )
    with another_worker(bench) as frozen:
        bench.calendar.edit(anna, edited, older)
        # Held, then carried out, and half an answer.
        world.system.faults.add(method="PUT", freeze=True, truncate=True)
        a = frozen.begin(lambda services: engine.sync_event(services, anna, edited))
        world.system.faults.wait_held()
        bench.clock.advance(120)
        bench.calendar.edit(anna, edited, newer)
        bench.sync(anna)
        frozen.wake(bench)
        world.system.faults.release()
        ended(a)
    settle(bench)
    if whole:
        assert world.system.title(conference_id) == "Newer"
    else:
        assert tomorrow(16) + timedelta(weeks=2) in begins(world, conference_id)
        assert tomorrow(14) + timedelta(weeks=2) not in begins(world, conference_id)
    assert bench.failures(anna) == []
