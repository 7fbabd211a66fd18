"""S7, W3, C3, C5, E7: Calendar or a provider refuses, is away, or answers outside its contract."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sync.errors import TryLater
from sync.model.calendar import CalendarStatus
from sync.model.conference import FailureState
from sync.operate import calendars, maintenance
from tests.support.bench import Bench, BenchMaker, settle, state_of, timed
from tests.support.fitting import fitting
from tests.support.worlds import HOST, NAMES, Connect, Connected, at_ten, conference_of, shared


@pytest.mark.slow
def test_s7_ninety_edits_under_refused_credentials_leave_one_retry(world: Connected) -> None:
    """Case 5: however often it rings, one retry waits, later each time, and `failing` says why."""
    bench = world.bench
    anna, healthy = bench.watch("anna"), bench.watch("ben")
    event_id = bench.event(anna, fitting(world, anna), **at_ten())
    bench.sync(anna)
    refused = world.system.server.refusal(401, "Invalid access token.")
    world.system.faults.add(times=None, status=401, body=refused)
    began = bench.clock()
    for number in range(90):
        bench.calendar.edit(anna, event_id, {"summary": f"Edit {number}"})
        assert bench.sync(anna).reason is not None
        waiting = [task for task in bench.waiting() if task.body["calendar_id"] == anna]
        assert len(waiting) == 1
        assert waiting[0].schedule_time - bench.clock() <= timedelta(minutes=5, seconds=1)
        bench.clock.advance(10)
        bench.run_tasks()
    failing = state_of(bench, anna).failing
    assert failing is not None
    assert failing.runs >= 90
    assert failing.since == began
    assert world.system.name in failing.reason
    assert failing.retries < 20
    assert bench.failures(anna) == []
    assert bench.sync(healthy).reason is None
    world.system.faults.clear()
    bench.clock.advance(301)
    bench.run_tasks()
    assert state_of(bench, anna).failing is None
    assert world.system.title(conference_of(world, anna, event_id)) == "Edit 89"
    assert bench.waiting() == []


def test_w3_a_used_up_quota_waits_for_hours_and_a_ring_does_not(any_bench: Bench) -> None:
    """The calendar's one retry comes after three hours; what rings meanwhile is synced at once."""
    bench = any_bench
    anna = bench.watch()
    bench.calendar.fail_next("quotaExceeded", times=None, path="/events")
    assert bench.sync(anna).reason is not None
    [retry] = bench.waiting()
    assert retry.schedule_time - bench.clock() == timedelta(hours=3)
    assert bench.sync(anna).reason is not None
    assert len(bench.waiting()) == 1
    bench.calendar.faults.clear()
    assert bench.sync(anna).reason is None
    assert state_of(bench, anna).failing is None


@pytest.mark.parametrize("reason", ["backendError", "serviceUnavailable", "rateLimitExceeded"])
def test_s7_an_outage_of_calendar_leaves_one_retry(any_bench: Bench, reason: str) -> None:
    """Neighbour of 5: delays grow from 30 seconds to five minutes, and the state clears."""
    bench = any_bench
    anna = bench.watch()
    # The client tries again by itself within seconds, but not where it is told when to come.
    bench.calendar.fail_next(reason, times=None, path="/events", retry_after=1)
    delays = []
    for _ in range(7):
        assert bench.sync(anna).reason is not None
        assert bench.sync(anna).reason is not None
        [task] = bench.waiting()
        delays.append(round((task.schedule_time - bench.clock()).total_seconds()))
        bench.clock.advance(delays[-1] + 1)
        # The retry fails, and the ring after it leaves no other.
        bench.run_tasks()
    assert delays == [30, 60, 120, 240, 300, 300, 300]
    failing = state_of(bench, anna).failing
    assert failing is not None
    assert failing.runs == 21
    shown = calendars.calendar_json(state_of(bench, anna))["failing"]
    assert shown == {
        "runs": 21,
        "since": calendars.rfc3339(failing.since),
        "reason": failing.reason,
    }
    bench.calendar.faults.clear()
    assert bench.sync(anna).reason is None
    assert state_of(bench, anna).failing is None


@pytest.mark.parametrize("reason", ["forbidden", "notFound", "requiredAccessLevel", "authError"])
def test_w3_a_blip_breaks_nothing(any_bench: Bench, reason: str) -> None:
    """Case 13: refused for eight seconds, however often it rings; broken when met again later."""
    bench = any_bench
    anna = bench.watch()
    for seconds in (0, 4, 4):
        bench.clock.advance(seconds)
        bench.calendar.fail_next(reason, path="/events")
        assert bench.sync(anna).reason is not None
        assert state_of(bench, anna).status is CalendarStatus.OK
        assert state_of(bench, anna).failing is not None
    bench.clock.advance(1)
    assert bench.sync(anna).reason is None
    assert state_of(bench, anna).failing is None
    bench.calendar.fail_next(reason, path="/events", times=None)
    bench.clock.advance(3600)
    assert bench.sync(anna).reason is not None
    assert state_of(bench, anna).status is CalendarStatus.OK
    bench.clock.advance(31)
    bench.run_tasks()
    assert state_of(bench, anna).status is CalendarStatus.BROKEN
    assert state_of(bench, anna).reason is not None
    bench.calendar.faults.clear()
    bench.sync(anna)
    assert state_of(bench, anna).status is CalendarStatus.OK


@pytest.mark.parametrize("system", NAMES)
def test_e7_a_copy_leads_when_the_leaders_calendar_is_broken_for_a_day(
    connected: Connect, system: str
) -> None:
    """Case 14: nobody edits the leader any more; the copy in the healthy calendar takes over."""
    world = shared(connected, system)
    bench = world.bench
    anna, team = bench.watch("anna"), bench.watch("team")
    shown = fitting(world, HOST)
    ahead = timed("10:00", "11:00", days=5)
    leader = bench.event(anna, shown, **ahead, summary="Leader")
    bench.sync(anna)
    copy = bench.event(team, shown, **ahead, summary="Copy")
    bench.sync(team)
    conference_id = conference_of(world, anna, leader)
    assert world.system.title(conference_id) == "Leader"
    bench.calendar.withdraw_access(anna)
    bench.sync(anna)
    bench.clock.advance(31)
    bench.run_tasks()
    assert state_of(bench, anna).status is CalendarStatus.BROKEN
    bench.calendar.edit(team, copy, {"summary": "Copy, renamed"})
    for _ in range(22):
        bench.sync(team)
        bench.clock.advance(3600)
        maintenance.maintain(bench.services)
        bench.run_tasks(errors=lambda _: None)
    assert world.system.title(conference_id) == "Leader"
    for _ in range(3):
        bench.clock.advance(3600)
        maintenance.maintain(bench.services)
        bench.run_tasks(errors=lambda _: None)
        bench.clock.advance(11)
        bench.run_tasks(errors=lambda _: None)
    assert world.system.title(conference_id) == "Copy, renamed"
    # It goes on leading when the other calendar heals, and nothing is deleted.
    bench.calendar.grant_access(anna)
    bench.sync(anna)
    settle(bench, 3)
    bench.calendar.cancel(anna, leader)
    bench.sync(anna)
    bench.pass_grace()
    assert world.system.title(conference_id) == "Copy, renamed"


@pytest.mark.parametrize("trouble", ["page", "half-answer", "lost-answer", "unavailable", "proxy"])
@pytest.mark.parametrize("call", ["update", "delete"])
def test_c3_only_an_answer_of_the_contract_is_an_answer(
    world: Connected, call: str, trouble: str
) -> None:
    """Case 15: a page of HTML under 200 is neither an update nor a deletion; it is tried again."""
    bench = world.bench
    anna = bench.watch("anna")
    event_id = bench.event(anna, fitting(world, anna), **at_ten())
    bench.sync(anna)
    conference_id = conference_of(world, anna, event_id)
    update = "PUT" if world.system.name == "my-web" else "PATCH"
    method = "DELETE" if call == "delete" else update
    world.system.server.trouble(trouble, method=method)
    if call == "delete":
        bench.calendar.cancel(anna, event_id)
    else:
        bench.calendar.edit(anna, event_id, {"summary": "Renamed"})
    bench.sync(anna)
    bench.pass_grace()
    settle(bench, 4)
    if call == "delete":
        assert not world.system.exists(conference_id)
    else:
        assert world.system.title(conference_id) == "Renamed"
    assert world.system.created == 0
    assert bench.failures(anna) == []


def test_c3_a_page_at_first_sight_proves_nothing(world: Connected) -> None:
    """Neighbour of 15: the read of the proof is answered by a page; nothing is sent or left."""
    bench = world.bench
    anna = bench.watch("anna")
    event_id = bench.event(anna, fitting(world, anna), **at_ten(), summary="Renamed")
    world.system.server.trouble("page", method="GET")
    bench.sync(anna)
    assert world.writes() == []
    assert bench.failures(anna, FailureState.LEFT) == []
    settle(bench, 2)
    assert world.system.title(conference_of(world, anna, event_id)) == "Renamed"
    assert world.system.created == 0


def test_c5_edits_during_an_outage_leave_one_retry_with_growing_delay(bench: Bench) -> None:
    """Six edits while the system is down: half an hour later their event is retried as slowly as
    after one edit, and the tasks that earlier edits left have not parked it."""
    anna = bench.watch("anna")
    event_id, conference_id = bench.followed(anna)
    bench.conferencing.faults.add(method="PUT", status=503, times=None)
    for number in range(6):
        bench.calendar.edit(anna, event_id, {"summary": f"Edit {number}"})
        bench.sync(anna)
        bench.clock.advance(5)
    settle(bench, rounds=30)
    [failure] = bench.failures(anna)
    assert failure.state is FailureState.RETRYING
    assert failure.attempts <= 7
    assert len(bench.waiting()) == 1
    bench.conferencing.faults.clear()
    bench.clock.advance(timedelta(hours=1).total_seconds())
    bench.run_tasks()
    assert bench.conferencing.conferences[conference_id]["title"] == "Edit 5"
    assert bench.failures(anna) == []


def test_c5_a_lost_retry_is_followed_by_others(bench: Bench) -> None:
    """The queue lost a retry while the system was down: `maintain` tries again, and from then on
    the event is retried with its usual delay."""
    anna = bench.watch("anna")
    event_id, conference_id = bench.followed(anna)
    bench.conferencing.faults.add(method="PUT", status=503, times=None)
    bench.calendar.edit(anna, event_id, {"summary": "Later"})
    bench.sync(anna)
    bench.lose_tasks()
    bench.clock.advance(timedelta(hours=1).total_seconds())
    assert maintenance.maintain(bench.services).failures_retried == 1
    bench.run_tasks()
    bench.conferencing.faults.clear()
    settle(bench)
    assert bench.conferencing.conferences[conference_id]["title"] == "Later"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, "<html>Not Found</html>"),
        (410, ""),
        (404, "[]"),
        (404, '"an error"'),
        (200, {}),
        (200, {"id": ""}),
    ],
)
def test_w3_no_event_is_gone_for_an_answer_that_is_not_calendars(
    make_bench: BenchMaker, status: int, body: Any
) -> None:
    """Neighbour of 15: a gateway answers for one event while Calendar lists: nothing is deleted,
    nothing is parked, and the task comes again."""
    bench = make_bench(SYNC_DELETE_GRACE_SECONDS="0")
    anna = bench.watch("anna")
    event_id, conference_id = bench.followed(anna)
    bench.calendar.faults.add(
        method="GET", path=f"/events/{event_id}$", status=status, body=body, times=None
    )
    with pytest.raises(TryLater):
        bench.look(anna, event_id)
    bench.calendar.faults.clear()
    bench.calendar.edit(anna, event_id, {"summary": "Alive"})
    bench.look(anna, event_id)
    assert bench.failures(anna) == []
    assert bench.conferencing.conferences[conference_id]["title"] == "Alive"
