"""What is left alone: its life from the first look to the day when it may be followed (O3)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sync.errors import NotFound
from sync.model.conference import Failure, FailureState
from sync.model.event import CalendarId, EventId
from sync.operate import maintenance, routes, stopping
from tests.support.bench import Bench
from tests.support.fitting import SIX_WEEKS, fitting, link_of
from tests.support.series import occurrence
from tests.support.worlds import Connected, at_ten

BOB = "bob@elsewhere.example"


def call(bench: Bench, method: str, path: str, **query: str) -> Any:
    """Return what an operator's call answers."""
    return routes.answer(bench.services, routes.Call(method=method, path=path, query=query)).value


def listed(bench: Bench, state: str | None = None) -> list[str]:
    """The ids that `GET /failures` lists."""
    query = {"state": state} if state else {}
    return [each["id"] for each in call(bench, "GET", "/failures", **query)["failures"]]


def left_alone(world: Connected, *, strong: bool = True) -> tuple[CalendarId, EventId, Failure]:
    """An event of Anna's that carries a conference of Bob's, and what is listed of it."""
    anna = world.bench.watch("anna")
    shown = fitting(world, BOB, "Bob's")
    carrier: dict[str, Any] = {} if strong else {"location": link_of(shown)}
    event_id = world.bench.event(anna, shown if strong else None, **carrier, **at_ten())
    world.bench.sync(anna)
    [failure] = world.left(anna)
    return anna, event_id, failure


def becomes_annas(world: Connected, anna: CalendarId) -> None:
    """Bob hands the conference to Anna at the provider; nothing changes in Calendar."""
    [conference] = world.system.conferences.values()
    match world.system.name:
        case "my-web":
            conference["organizer"] = anna
        case "zoom":
            world.system.server.hosts.add(anna)
            conference["host_email"] = anna
        case "webex":
            world.system.server.hosts.add(anna)
            conference["hostEmail"] = anna
        case _:
            # The organizer of a meeting stays; the person has another address now.
            world.system.server.users[conference["organizer"]] = anna
            conference["participants"]["organizer"]["upn"] = anna


def follows(world: Connected, anna: CalendarId, event_id: EventId) -> bool:
    link = world.bench.link(anna, event_id)
    return link is not None and link.carried is not None


def reads(world: Connected) -> int:
    return len(world.system.requests())


@pytest.mark.parametrize("strong", [True, False], ids=["conference data", "location"])
def test_o3_it_is_listed_explained_and_no_failure(
    world: Connected, strong: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Listed with `state=left` and `all`, never among failures; no count, no error in the log."""
    bench = world.bench
    with caplog.at_level(logging.INFO):
        anna, event_id, failure = left_alone(world, strong=strong)
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]
    last = call(bench, "GET", f"/calendars/{anna}")["last_sync"]
    assert (last["failed"], last["created"], last["updated"]) == (0, 0, 0)
    assert (listed(bench), listed(bench, "retrying")) == ([], [])
    assert failure.id in listed(bench, "left")
    assert failure.id in listed(bench, "all")
    [shown] = [
        each
        for each in call(bench, "GET", "/failures", state="left")["failures"]
        if each["id"] == failure.id
    ]
    assert (shown["state"], shown["event_id"], shown["attempts"]) == ("left", event_id, 0)
    assert shown["next_try"] is not None
    explained = call(bench, "GET", f"/calendars/{anna}/events/{event_id}")
    assert (explained["follows"], explained["leads"]) == (False, False)
    assert explained["rule"] == failure.rule
    assert explained["would"] == []
    assert explained["failure"]["state"] == "left"
    # Where a link is all that names a conference, no id is shown: it would let whoever reads join.
    assert "://" not in str(explained)
    report = maintenance.maintain(bench.services)
    assert report.parked == 0
    assert world.writes() == []


@pytest.mark.slow
def test_o3_it_is_looked_at_once_a_day(world: Connected) -> None:
    """Neither a full sync nor `maintain` asks the provider again before; then one look does."""
    bench = world.bench
    anna, event_id, _ = left_alone(world)
    for _ in range(3):
        before = reads(world)
        for _ in range(11):
            bench.clock.advance(2 * 3600)
            maintenance.maintain(bench.services)
            bench.calendar.expire_sync_tokens(anna)
            bench.sync(anna)
            bench.run_tasks()
        assert reads(world) == before
        bench.clock.advance(3 * 3600)
        maintenance.maintain(bench.services)
        bench.run_tasks()
        assert reads(world) > before
    assert world.writes() == []
    becomes_annas(world, anna)
    bench.clock.advance(timedelta(days=1, minutes=1).total_seconds())
    maintenance.maintain(bench.services)
    bench.run_tasks()
    assert follows(world, anna, event_id)
    assert world.left(anna) == []


Look = Callable[[Connected, CalendarId, EventId, Failure], None]


def by_retry(world: Connected, anna: CalendarId, event_id: EventId, failure: Failure) -> None:
    del anna, event_id
    call(world.bench, "POST", f"/failures/{failure.id}/retry")
    world.bench.run_tasks()


def by_change(world: Connected, anna: CalendarId, event_id: EventId, failure: Failure) -> None:
    del failure
    world.bench.calendar.edit(anna, event_id, {"summary": "Renamed"})
    world.bench.sync(anna)


@pytest.mark.parametrize("look", [by_retry, by_change])
def test_o3_a_retry_or_a_change_looks_at_once(world: Connected, look: Look) -> None:
    """Still Bob's: left with the reason of that look; Anna's meanwhile: followed from then on."""
    bench = world.bench
    anna, event_id, failure = left_alone(world)
    before = reads(world)
    bench.clock.advance(600)
    look(world, anna, event_id, failure)
    assert reads(world) > before
    [again] = world.left(anna)
    assert (again.state, again.first) == (FailureState.LEFT, failure.first)
    assert world.writes() == []
    becomes_annas(world, anna)
    bench.calendar.edit(anna, event_id, {"colorId": "3"})
    look(world, anna, event_id, failure)
    assert follows(world, anna, event_id)
    assert bench.failures(anna) == []
    bench.calendar.edit(anna, event_id, {"summary": "Followed now"})
    bench.sync(anna)
    assert world.system.titled("Followed now")


def test_o3_dismissed_it_is_forgotten_until_the_event_changes(world: Connected) -> None:
    """Not listed, not looked at, whatever the clock says; a change looks again."""
    bench = world.bench
    anna, event_id, failure = left_alone(world)
    call(bench, "DELETE", f"/failures/{failure.id}")
    assert listed(bench, "all") == []
    with pytest.raises(NotFound):
        call(bench, "POST", f"/failures/{failure.id}/retry")
    before = reads(world)
    for _ in range(4):
        bench.clock.advance(20 * 3600)
        maintenance.maintain(bench.services)
        bench.run_tasks()
        bench.calendar.expire_sync_tokens(anna)
        bench.sync(anna)
    assert reads(world) == before
    assert call(bench, "GET", f"/calendars/{anna}/events/{event_id}")["follows"] is False
    bench.calendar.edit(anna, event_id, {"summary": "Renamed"})
    bench.sync(anna)
    assert len(world.left(anna)) == 1


def deleted(world: Connected, anna: CalendarId, event_id: EventId) -> None:
    world.bench.calendar.cancel(anna, event_id)
    world.bench.sync(anna)


def without_link(world: Connected, anna: CalendarId, event_id: EventId) -> None:
    world.bench.calendar.edit(anna, event_id, {"conferenceData": None, "location": "Room 7"})
    world.bench.sync(anna)


def stopped(world: Connected, anna: CalendarId, event_id: EventId) -> None:
    del event_id
    stopping.stop(world.bench.services, anna)


@pytest.mark.parametrize("end", [deleted, without_link, stopped])
@pytest.mark.parametrize("strong", [True, False], ids=["conference data", "location"])
def test_o3_the_entry_goes_with_its_event_its_link_and_its_calendar(
    world: Connected, strong: bool, end: Callable[[Connected, CalendarId, EventId], None]
) -> None:
    """Nothing is listed any more, nothing was sent, and Bob's conference is untouched."""
    anna, event_id, _ = left_alone(world, strong=strong)
    end(world, anna, event_id)
    world.bench.pass_grace()
    assert world.bench.failures(anna) == []
    assert listed(world.bench, "all") == []
    assert world.writes() == []
    assert world.system.titled("Bob's")


def test_o3_another_conference_of_annas_own_is_followed(world: Connected) -> None:
    """The event gets a conference of hers instead: followed, and Bob's is left as it is."""
    bench = world.bench
    anna, event_id, _ = left_alone(world)
    own = fitting(world, anna, "Anna's")
    bench.calendar.edit(anna, event_id, {"conferenceData": own, "summary": "Hers"})
    bench.sync(anna)
    bench.pass_grace()
    assert follows(world, anna, event_id)
    assert sorted(filter(None, map(world.system.title, world.system.conferences))) == [
        "Bob's",
        "Hers",
    ]
    assert bench.failures(anna) == []


def test_o1_s6_what_was_let_go_unproven_holds_up_nothing_else_of_its_event(
    any_bench: Bench,
) -> None:
    """A stranger's conference was denied at its first sight, so it was linked without a proof. The
    event carries its own one now, which follows each change. The stranger's is left alone."""
    bench = any_bench
    anna = bench.watch()
    strangers, strangers_id = bench.conference(organizer="mallory@strangers.example")
    bench.conferencing.trouble("false-not-found", times=1, method="GET")
    event_id = bench.event(anna, strangers)
    bench.sync(anna)
    own, own_id = bench.hosted(anna)
    bench.calendar.edit(anna, event_id, {"conferenceData": own})
    bench.sync(anna)
    bench.pass_grace()
    bench.calendar.edit(anna, event_id, {"summary": "Renamed"})
    bench.sync(anna)
    assert bench.conferencing.conferences[own_id]["title"] == "Renamed"
    assert {call.split()[0] for call in bench.calls() if strangers_id in call} == {"GET"}
    [left] = bench.failures(anna, FailureState.LEFT)
    assert (left.rule, left.conference_id) == ("O1", strangers_id)


def test_o1_e6_an_event_given_to_the_host_does_not_delete_the_hosts_conference(
    any_bench: Bench,
) -> None:
    """A stranger's conference was denied at its first sight, so it was linked without a proof, and
    let go. Then the stranger organizes the event, and hosts what would be deleted."""
    bench = any_bench
    anna, mallory = bench.watch(), "mallory@strangers.example"
    strangers, strangers_id = bench.conference(organizer=mallory)
    bench.conferencing.trouble("false-not-found", times=1, method="GET")
    event_id = bench.event(anna, strangers)
    bench.sync(anna)
    bench.calendar.edit(anna, event_id, {"conferenceData": None})
    bench.sync(anna)
    bench.calendar.edit(anna, event_id, {"organizer": {"email": mallory}})
    bench.pass_grace()
    bench.sync(anna)
    assert {call.split()[0] for call in bench.calls()} == {"GET"}
    assert strangers_id in bench.conferencing.conferences


def test_e1_an_occurrence_with_conference_data_is_not_left_with_its_series(
    world: Connected,
) -> None:
    """The series shows no more than the link of a single meeting, and is left alone (O2). One
    occurrence has the meeting's conference data: the meeting follows it, by its own proof."""
    bench = world.bench
    anna = bench.watch("anna")
    shown = fitting(world, anna)
    series = bench.event(anna, None, location=link_of(shown), recurrence=[SIX_WEEKS], **at_ten())
    one, _ = occurrence(bench, anna, series, 1)
    bench.calendar.edit(anna, one, {"conferenceData": shown, "summary": "Kick-off"})
    bench.sync(anna)
    assert [failure.event.event_id for failure in world.left(anna)] == [series]
    link = bench.link(anna, one)
    assert link is not None
    assert link.leading
    [conference_id] = world.system.conferences
    assert world.system.title(conference_id) == "Kick-off"
    assert bench.failures(anna, FailureState.PARKED) == []
