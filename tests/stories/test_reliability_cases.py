"""S2, S3, S6: every deletion has its turn, old links go, and a full replay finds what was lost."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sync.model.conference import FailureState
from sync.operate import maintenance, routes
from tests.support.bench import Bench, state_of
from tests.support.fitting import fitting, fitting_series
from tests.support.worlds import Connect, Connected, at_ten

DAY = timedelta(days=1).total_seconds()


@pytest.mark.slow
@pytest.mark.parametrize("system", ["rest", "zoom"])
def test_s6_every_deletion_has_its_turn(connected: Connect, system: str) -> None:
    """Case 12: a hundred parked deletions before one whose task was lost; each keeps its date."""
    world = connected(system)
    bench = world.bench
    anna = bench.watch("anna")
    shown = [fitting(world, anna) for _ in range(101)]
    events = [bench.event(anna, each, **at_ten()) for each in shown]
    bench.sync(anna)
    lost = events.pop()
    refused = world.system.server.refusal(400, "This cannot be deleted.")
    world.system.faults.add(method="DELETE", times=100, status=400, body=refused)
    for event_id in events:
        bench.calendar.cancel(anna, event_id)
    bench.sync(anna)
    bench.pass_grace()
    assert len(bench.failures(anna, FailureState.PARKED)) == 100
    bench.calendar.cancel(anna, lost)
    bench.sync(anna)
    bench.lose_tasks()
    since = len(world.writes())
    for _ in range(4):
        bench.clock.advance(5 * 3600)
        maintenance.maintain(bench.services)
        bench.run_tasks(errors=lambda _: None)
    assert [one.method for one in world.writes()[since:]] == ["DELETE"]
    assert len(world.system.conferences) == 100
    for _ in range(6):
        bench.clock.advance(3600)
        maintenance.maintain(bench.services)
        bench.run_tasks(errors=lambda _: None)
    assert dict(world.system.conferences) == {}
    assert bench.failures(anna) == []


def reads_by_id(bench: Bench) -> int:
    """How many events were read by id so far."""
    return sum(
        one.method == "GET" and "/events/" in one.path for one in list(bench.calendar.requests)
    )


@pytest.mark.slow
def test_s3_links_of_events_long_over_are_dropped(world: Connected) -> None:
    """Case 16: 60 events of last month; after 30 days a full sync reads none of them by id."""
    bench = world.bench
    anna = bench.watch("anna")
    shown = [fitting(world, anna, f"Number {number}") for number in range(60)]
    for each in shown:
        bench.event(anna, each, **at_ten())
    series = bench.event(anna, fitting_series(world, anna), recurrence=["RRULE:FREQ=WEEKLY"])
    bench.sync(anna)
    bench.clock.advance(3 * DAY)
    bench.calendar.expire_sync_tokens(anna)
    before = reads_by_id(bench)
    bench.sync(anna)
    assert reads_by_id(bench) - before >= 60
    bench.clock.advance(29 * DAY)
    since = len(world.writes())
    report = maintenance.maintain(bench.services)
    assert report.dropped == 60
    bench.run_tasks(errors=lambda _: None)
    bench.calendar.expire_sync_tokens(anna)
    before = reads_by_id(bench)
    bench.sync(anna)
    bench.pass_grace()
    assert reads_by_id(bench) - before <= 1
    assert [one for one in world.writes()[since:] if one.method == "DELETE"] == []
    links = [link.value.event.event_id for link in bench.store.links_of_calendar(anna)]
    assert links == [series]


def test_s2_a_full_replay_forgets_the_sync_token(any_bench: Bench) -> None:
    """`POST /calendars/{id}/sync?full=true`: what was lost behind our back is looked at again."""
    bench = any_bench
    anna = bench.watch()
    event_id, conference_id = bench.followed(anna)
    call = routes.Call(
        method="POST", path=f"/calendars/{anna}/sync", query={"full": "true"}, body=b""
    )
    assert routes.answer(bench.services, call).status == 202
    assert state_of(bench, anna).sync_token is None
    bench.run_tasks()
    last = state_of(bench, anna).last_sync
    assert last is not None
    assert last.kind == "full"
    plain = routes.Call(method="POST", path=f"/calendars/{anna}/sync", query={}, body=b"")
    assert routes.answer(bench.services, plain).status == 202
    bench.run_tasks()
    last = state_of(bench, anna).last_sync
    assert last is not None
    assert last.kind == "incremental"
    assert bench.link(anna, event_id) is not None
    assert conference_id in bench.conferencing.conferences
