"""H4: starts, stops, renewals and runs overlap. One channel is left open, and none after a stop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from sync.context import Services
from sync.errors import Conflict, SyncError
from sync.model.calendar import Access, CalendarStatus, Channel, SyncKind
from sync.model.event import CalendarId
from sync.operate import calendars, maintenance, stopping
from sync.run import engine
from tests.support.bench import Bench, settle, state_of
from tests.support.fitting import fitting
from tests.support.second_worker import another_worker, ended
from tests.support.worlds import HOST, NAMES, Connect, at_ten, conference_of, shared


@pytest.mark.parametrize("call", ["the proof", "the update"])
@pytest.mark.parametrize("system", NAMES)
def test_h4_a_calendar_that_is_stopped_under_a_run_leaves_no_link(
    connected: Connect, system: str, call: str
) -> None:
    """Case 6: the run is held at the provider while its calendar is stopped; a copy leads."""
    world = shared(connected, system)
    bench = world.bench
    anna, team = bench.watch("anna"), bench.watch("team")
    shown = fitting(world, HOST)
    first = bench.event(anna, shown, **at_ten(), summary="First")
    if call == "the update":
        bench.sync(anna)
        bench.calendar.edit(anna, first, {"summary": "Renamed"})
    method = "GET" if call == "the proof" else "PUT" if system == "rest" else "PATCH"
    world.system.faults.add(method=method, path="meetings|onlineMeetings|conferences", freeze=True)
    with another_worker(bench) as frozen:
        a = frozen.begin(lambda services: engine.sync_calendar(services, anna))
        world.system.faults.wait_held()
        stopping.stop(bench.services, anna)
        world.system.faults.release()
        ended(a)
    settle(bench, 4, 121)
    assert list(bench.store.links_of_calendar(anna)) == []
    assert bench.store.get_calendar(anna) is None
    copy = bench.event(team, shown, **at_ten(), summary="The copy's")
    bench.sync(team)
    assert world.system.title(conference_of(world, team, copy)) == "The copy's"


def open_channels(bench: Bench, calendar_id: CalendarId) -> list[str]:
    return [channel["id"] for channel in bench.calendar.channels(calendar_id)]


def one_lives(bench: Bench, calendar_id: CalendarId) -> None:
    """Of all channels that were opened one is open, and it is the recorded one."""
    maintenance.maintain(bench.services)
    state = state_of(bench, calendar_id)
    assert state.channel is not None
    assert open_channels(bench, calendar_id) == [state.channel.id]
    assert (state.opening, state.retiring) == (None, ())


def ring_all(bench: Bench, calendar_id: CalendarId) -> None:
    """Every channel that is open rings, and each notification becomes a run."""
    for channel in bench.calendar.channels(calendar_id):
        rang = Channel(id=channel["id"], resource_id=channel["resourceId"])
        with suppress(SyncError):
            engine.sync_calendar(bench.services, calendar_id, rang)


def test_h4_a_start_that_fails_late_takes_nothing_away(any_bench: Bench) -> None:
    """Case 7: the first PUT hangs in events.watch; the second succeeds; then the first fails."""
    bench = any_bench
    calendar_id = CalendarId(f"late@{bench.settings.project}.example")
    bench.calendar.add_calendar(calendar_id)
    bench.calendar.faults.add(path="/watch", freeze=True, status=503)
    with another_worker(bench) as frozen:
        first = frozen.begin(lambda services: calendars.start(services, calendar_id, Access()))
        bench.calendar.faults.wait_held()
        with suppress(Conflict):
            calendars.start(bench.services, calendar_id, Access())
        bench.calendar.faults.release()
        with pytest.raises(SyncError):
            first.result(60)
    assert bench.store.get_calendar(calendar_id) is not None
    bench.run_tasks()
    one_lives(bench, calendar_id)
    assert state_of(bench, calendar_id).status is CalendarStatus.OK


Act = Callable[[Services, CalendarId], Any]


def start(services: Services, calendar_id: CalendarId) -> Any:
    return calendars.start(services, calendar_id, Access())


def renew(services: Services, calendar_id: CalendarId) -> Any:
    del calendar_id
    return maintenance.maintain(services)


def start_as_another(services: Services, calendar_id: CalendarId) -> Any:
    return calendars.start(services, calendar_id, Access(subject="anna@example.com"))


MOMENTS = {
    f"{known} calendar, {when} the watch{ring}": (known == "known", when == "after", ring != "")
    for known in ("known", "new")
    for when in ("before", "after")
    for ring in ("", ", a ring")
}
"""Whether the calendar is known, the call is held after its effect, and it rings meanwhile."""


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(
    ("held", "other"),
    [(start, start), (start, renew), (renew, start), (renew, renew), (start, start_as_another)],
    ids=["two starts", "renewal in start", "start in renewal", "two renewals", "two subjects"],
)
def test_h4_of_two_channels_opened_at_once_one_lives(
    any_bench: Bench, held: Act, other: Act, moment: str
) -> None:
    """Case 8: whoever is held in events.watch while the other opens a channel, and it rings."""
    bench, (known, after, ring) = any_bench, MOMENTS[moment]
    calendar_id = CalendarId(f"twice@{bench.settings.project}.example")
    bench.calendar.add_calendar(calendar_id)
    if known:
        start(bench.services, calendar_id)
        bench.run_tasks()
        # Nearly over, so that both open another.
        bench.clock.advance(bench.settings.channel_ttl.total_seconds() - 3600)
    elif held is renew:
        pytest.skip("a renewal finds no calendar")
    bench.calendar.faults.add(path="/watch", freeze=True, after=after)
    with another_worker(bench) as frozen:
        a = frozen.begin(lambda services: held(services, calendar_id))
        bench.calendar.faults.wait_held()
        with suppress(Conflict):
            other(bench.services, calendar_id)
        if ring:
            ring_all(bench, calendar_id)
        bench.calendar.faults.release()
        ended(a)
    if ring:
        ring_all(bench, calendar_id)
    settle(bench, 3, 61)
    one_lives(bench, calendar_id)
    assert bench.sync(calendar_id).reason is None


def test_h4_a_start_whose_calendar_is_stopped_meanwhile_leaves_no_channel(
    any_bench: Bench,
) -> None:
    """A stop in the middle of a start: the channel that opens then is closed again."""
    bench = any_bench
    calendar_id = CalendarId(f"stopped@{bench.settings.project}.example")
    bench.calendar.add_calendar(calendar_id)
    bench.calendar.faults.add(path="/watch", freeze=True, after=True)
    with another_worker(bench) as frozen:
        first = frozen.begin(lambda services: calendars.start(services, calendar_id, Access()))
        bench.calendar.faults.wait_held()
        stopping.stop(bench.services, calendar_id)
        bench.calendar.faults.release()
        with pytest.raises(SyncError):
            first.result(60)
    settle(bench, 3, 61)
    assert bench.store.get_calendar(calendar_id) is None
    assert open_channels(bench, calendar_id) == []


def test_h4_a_start_during_a_stop_stands(any_bench: Bench) -> None:
    """A stop is held while it closes the channel, and the calendar is started again meanwhile."""
    bench = any_bench
    anna = bench.watch()
    event_id, conference_id = bench.followed(anna)
    bench.calendar.faults.add(path="/channels/stop", freeze=True)
    with another_worker(bench) as frozen:
        stop = frozen.begin(lambda services: stopping.stop(services, anna))
        bench.calendar.faults.wait_held()
        calendars.start(bench.services, anna, Access())
        bench.run_tasks(errors=lambda _: None)
        bench.calendar.faults.release()
        ended(stop)
    settle(bench, 4, 61)
    one_lives(bench, anna)
    bench.calendar.edit(anna, event_id, {"summary": "Renamed"})
    bench.sync(anna)
    assert bench.conferencing.conferences[conference_id]["title"] == "Renamed"


@pytest.mark.parametrize("phase", ["listing", "creating"])
def test_h4_a_stop_under_a_full_sync_forgets_everything(any_bench: Bench, phase: str) -> None:
    """Neighbour of 6: the run is held in Calendar's listing, or while it creates anew."""
    bench = any_bench
    anna = bench.watch()
    event_id, conference_id = bench.followed(anna)
    if phase == "listing":
        bench.calendar.expire_sync_tokens(anna)
        faults = bench.calendar.faults
        faults.add(path="/events$", query="timeMin", freeze=True, after=True)
    else:
        bench.conferencing.forget(conference_id)
        bench.calendar.edit(anna, event_id, {"summary": "Renamed"})
        bench.sync(anna)
        bench.clock.advance(31)
        faults = bench.conferencing.faults
        faults.add(method="POST", freeze=True, after=True)
    with another_worker(bench) as frozen:
        a = frozen.begin(lambda services: engine.sync_event(services, anna, event_id))
        if phase == "listing":
            ended(a)
            a = frozen.begin(lambda services: engine.sync_calendar(services, anna))
        faults.wait_held()
        stopping.stop(bench.services, anna)
        faults.release()
        ended(a)
    for _ in range(3):
        settle(bench, 20, 121)
        maintenance.maintain(bench.services)
    settle(bench, 1)
    assert [link.value for link in bench.store.links_of_calendar(anna)] == []
    kept = [conference_id] if phase == "listing" else []
    assert list(bench.conferencing.conferences) == kept


def test_h4_a_full_sync_that_was_asked_for_while_a_run_goes_on_is_not_forgotten(
    bench: Bench,
) -> None:
    """An operator asks while a run waits for the provider: the run's own token does not take the
    place of the one that was forgotten, and the next run lists everything."""
    anna = bench.watch("anna")
    event_id, conference_id = bench.followed(anna)
    bench.calendar.edit(anna, event_id, {"summary": "Edited"})
    bench.conferencing.faults.add(method="PUT", freeze=True)
    with another_worker(bench) as working:
        run = working.begin(lambda services: engine.sync_calendar(services, anna))
        bench.conferencing.faults.wait_held()
        calendars.replay(bench.services, anna, full=True)
        bench.conferencing.faults.release()
        run.result(60)
    assert state_of(bench, anna).sync_token is None
    bench.run_tasks()
    last = state_of(bench, anna).last_sync
    assert last is not None
    assert last.kind is SyncKind.FULL
    assert bench.conferencing.conferences[conference_id]["title"] == "Edited"
