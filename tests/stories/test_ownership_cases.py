"""Whose meeting is it: histories in which a link was taken for a proof (O1-O5, C3, C4, E1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.systems import ConferencingSystem
from sync.model.conference import FailureState
from tests.support.bench import Bench, BenchMaker
from tests.support.fitting import fitting
from tests.support.worlds import Connected, at_ten, connect, running, tomorrow

BOB = "bob@example.com"
SERIES: dict[str, Any] = {
    "recurrence": {"type": 1, "repeat_interval": 1, "end_times": 5},
    "type": 8,
}


@pytest.fixture(scope="module")
def zoom() -> Iterator[ConferencingSystem[Any]]:
    with running("zoom") as system:
        yield system


@pytest.fixture(scope="module")
def webex() -> Iterator[ConferencingSystem[Any]]:
    with running("webex") as system:
        yield system


@pytest.fixture(scope="module")
def teams() -> Iterator[ConferencingSystem[Any]]:
    with running("teams") as system:
        yield system


@pytest.fixture(params=["sqlite", pytest.param("firestore", marks=pytest.mark.firestore)])
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def live_through(world: Connected, calendar_id: Any, event_id: Any) -> None:
    """Sync, move, rename and delete an event, syncing and letting the grace pass after each."""
    bench = world.bench
    bench.sync(calendar_id)
    bench.pass_grace()
    for change in (
        {"summary": "Renamed"},
        {"start": at_ten()["end"], "end": {"dateTime": tomorrow(12).isoformat()}},
    ):
        bench.calendar.edit(calendar_id, event_id, change)
        bench.sync(calendar_id)
        bench.pass_grace()
    bench.calendar.cancel(calendar_id, event_id)
    bench.sync(calendar_id)
    bench.pass_grace()


def test_o4_a_clients_link_is_left_alone_and_nothing_created(
    make_bench: BenchMaker, zoom: ConferencingSystem[Any], store: str
) -> None:
    """A link that our account cannot see: only reads, the event untouched, listed with a reason."""
    world = connect(make_bench, zoom, store)
    anna = world.bench.watch("anna")
    link = "https://bigclient.zoom.us/j/85212345678?pwd=x"
    event_id = world.bench.event(anna, location=link)
    before = world.raw(anna, event_id)
    world.bench.sync(anna)
    assert world.writes() == []
    assert world.raw(anna, event_id) == before
    [left] = world.left(anna)
    assert (left.rule, left.conference_id) == ("O4", "85212345678")
    assert world.bench.failures(anna, FailureState.PARKED) == []


def test_o2_an_evergreen_meeting_is_not_made_a_one_off(
    make_bench: BenchMaker, zoom: ConferencingSystem[Any], store: str
) -> None:
    """No fixed time (type 3) is no meeting that an event can schedule."""
    world = connect(make_bench, zoom, store)
    anna = world.bench.watch("anna")
    shown = world.add(anna, type=3)
    event_id = world.bench.event(anna, shown)
    live_through(world, anna, event_id)
    assert world.writes() == []
    assert world.system.exists(shown["conferenceId"])


@pytest.mark.parametrize("strong", [True, False], ids=["conference data", "location"])
def test_o2_an_extra_session_does_not_flatten_the_series(
    make_bench: BenchMaker, zoom: ConferencingSystem[Any], store: str, strong: bool
) -> None:
    """A single event shows the link of the same person's weekly series."""
    world = connect(make_bench, zoom, store)
    anna = world.bench.watch("anna")
    shown = world.add(anna, **SERIES)
    link = shown["entryPoints"][0]["uri"]
    carrier: Any = (shown, {}) if strong else (None, {"location": link})
    event_id = world.bench.event(anna, carrier[0], summary="Extra session", **carrier[1])
    live_through(world, anna, event_id)
    assert world.writes() == []
    assert world.system.recurring(shown["conferenceId"])


def test_o1_a_note_with_a_colleagues_link_changes_nothing(
    make_bench: BenchMaker, zoom: ConferencingSystem[Any], store: str
) -> None:
    """Bob's series in the location of Anna's private note, which is renamed and deleted."""
    world = connect(make_bench, zoom, store)
    anna = world.bench.watch("anna")
    shown = world.add(BOB, **SERIES)
    event_id = world.bench.event(
        anna, location=shown["entryPoints"][0]["uri"], visibility="private", **at_ten()
    )
    live_through(world, anna, event_id)
    assert world.writes() == []
    assert world.system.exists(shown["conferenceId"])


def test_c4_one_wrong_not_found_creates_nothing(
    make_bench: BenchMaker, zoom: ConferencingSystem[Any], store: str
) -> None:
    """A PATCH answers 3001 once: the meeting is looked at again, and is there."""
    world = connect(make_bench, zoom, store)
    anna = world.bench.watch("anna")
    shown = world.add(anna)
    event_id = world.bench.event(anna, shown)
    world.bench.sync(anna)
    body = {"code": 3001, "message": "Meeting does not exist."}
    world.system.faults.add(method="PATCH", status=404, body=body)
    world.bench.calendar.edit(anna, event_id, {"summary": "Renamed"})
    world.bench.look_twice(anna)
    assert world.system.created == 0
    assert world.system.title(shown["conferenceId"]) == "Renamed"
    assert world.bench.failures(anna) == []


def test_e1_the_meeting_of_the_parameters_is_followed_and_not_the_personal_room(
    make_bench: BenchMaker, zoom: ConferencingSystem[Any], store: str
) -> None:
    """The block's conferenceId is Anna's personal number, `realMeetingId` names the meeting."""
    world = connect(make_bench, zoom, store)
    anna = world.bench.watch("anna")
    shown = world.add(anna, shown_as="personal")
    real = shown["parameters"]["addOnParameters"]["parameters"]["realMeetingId"]
    world.bench.event(anna, shown, summary="Real")
    world.bench.sync(anna)
    assert world.system.title(real) == "Real"
    assert all(real in one.path for one in world.writes())


def test_o5_a_renamed_event_sends_its_title_alone(
    make_bench: BenchMaker, zoom: ConferencingSystem[Any], store: str
) -> None:
    """Mail settings, alternative hosts and registration are people's and survive."""
    world = connect(make_bench, zoom, store)
    anna = world.bench.watch("anna")
    settings = {
        "email_notification": True,
        "alternative_hosts": BOB,
        "registration_type": 1,
        "waiting_room": True,
    }
    shown = world.add(anna, settings=settings, agenda="Kept by people")
    event_id = world.bench.event(anna, shown, **at_ten(), summary="Made by an add-on")
    world.bench.sync(anna)
    assert world.writes() == []
    world.bench.calendar.edit(anna, event_id, {"summary": "Renamed"})
    world.bench.sync(anna)
    [patch] = world.writes()
    assert set(patch.body) == {"topic"}
    stored = world.system.conferences[shown["conferenceId"]]
    assert {key: stored["settings"][key] for key in settings} == settings
    assert stored["agenda"] == "Kept by people"


def test_c3_an_empty_list_of_one_users_meetings_is_not_gone(
    make_bench: BenchMaker, webex: ConferencingSystem[Any], store: str
) -> None:
    """Another site's link: nobody of ours sees the meeting, so it is left alone."""
    world = connect(make_bench, webex, store)
    anna = world.bench.watch("anna")
    shown = world.add("someone@bigclient.example", site="bigclient.webex.com")
    event_id = world.bench.event(anna, location=shown["entryPoints"][0]["uri"], **at_ten())
    before = world.raw(anna, event_id)
    live_through(world, anna, event_id)
    assert world.writes() == []
    assert before["location"] == shown["entryPoints"][0]["uri"]


def test_o2_webex_is_asked_as_organizer_too(
    make_bench: BenchMaker, webex: ConferencingSystem[Any], store: str
) -> None:
    """The entry's host sees nothing of Bob's meeting; Bob's own event is followed as Bob."""
    world = connect(make_bench, webex, store, entry={"host": "meetings@example.com"})
    webex.server.hosts.add("meetings@example.com")
    bob, anna = world.bench.watch("bob"), world.bench.watch("anna")
    shown = world.add(bob)
    event_id = world.bench.event(bob, shown, summary="Bob's")
    world.bench.event(anna, shown, summary="Anna's copy")
    world.bench.sync(bob)
    world.bench.sync(anna)
    assert world.system.title(shown["conferenceId"]) == "Bob's"
    assert len(world.left(anna)) == 1
    world.bench.calendar.cancel(bob, event_id)
    world.bench.sync(bob)
    world.bench.pass_grace()
    assert not world.system.exists(shown["conferenceId"])
    assert world.system.created == 0


def test_o2_an_invitation_makes_no_host(
    make_bench: BenchMaker, webex: ConferencingSystem[Any], store: str
) -> None:
    """Bob hosts, Anna is invited and sees the meeting: her event changes nothing."""
    world = connect(make_bench, webex, store, entry={"host": None})
    anna = world.bench.watch("anna")
    shown = world.add(BOB, invitees=[anna])
    webex.server.hosts.add(anna)
    event_id = world.bench.event(anna, shown, **at_ten())
    live_through(world, anna, event_id)
    assert world.writes() == []


def test_c5_one_user_without_a_policy_holds_up_nobody(
    make_bench: BenchMaker, teams: ConferencingSystem[Any], store: str
) -> None:
    """Nine ordinary events go on, the token moves, and the tenth is left alone."""
    world = connect(make_bench, teams, store)
    anna = world.bench.watch("anna")
    others = [world.add(anna, f"Meeting {number}") for number in range(9)]
    strange = world.add("uncovered@example.com")
    teams.server.without_policy.add(teams.server.add_user("uncovered@example.com"))
    for number, shown in enumerate(others):
        world.bench.event(anna, shown, summary=f"Event {number}")
    event_id = world.bench.event(anna, strange)
    report = world.bench.sync(anna)
    assert (report.reason, report.counts.failed) == (None, 0)
    titles = {world.system.title(shown["conferenceId"]) for shown in others}
    assert titles == {f"Event {number}" for number in range(9)}
    assert [left.event.event_id for left in world.left(anna)] == [event_id]


def test_c3_a_colleagues_short_link_is_left_alone(
    make_bench: BenchMaker, teams: ConferencingSystem[Any], store: str
) -> None:
    """Asked as the entry's host, the list is empty: neither "gone" nor a reason to create."""
    world = connect(make_bench, teams, store)
    anna = world.bench.watch("anna")
    shown = world.add("colleague@example.com", form="short")
    event_id = world.bench.event(anna, location=shown["entryPoints"][0]["uri"], **at_ten())
    live_through(world, anna, event_id)
    assert world.writes() == []


def test_c3_a_proxys_words_are_not_the_systems(any_bench: Bench) -> None:
    """PUT answers 404 text/plain: tried again, nothing created, the link kept."""
    bench = any_bench
    calendar_id = bench.watch()
    event_id, conference_id = bench.followed(calendar_id)
    before = bench.calendar.get(calendar_id, event_id)
    bench.conferencing.faults.add(
        method="PUT",
        path=conference_id,
        status=404,
        body="default backend - 404",
        headers={"Content-Type": "text/plain"},
        times=3,
    )
    bench.calendar.edit(calendar_id, event_id, {"summary": "Renamed"})
    bench.sync(calendar_id)
    for _ in range(4):
        bench.clock.advance(300)
        bench.run_tasks()
    assert bench.conferencing.created == 0
    assert bench.conferencing.conferences[conference_id]["title"] == "Renamed"
    after = bench.calendar.get(calendar_id, event_id)
    assert before is not None
    assert after is not None
    assert after["conferenceData"] == before["conferenceData"]


def test_c4_a_lost_creation_whose_event_is_deleted_leaves_nothing(any_bench: Bench) -> None:
    """The answer to the creation is lost, then the event deleted: found by its key and deleted."""
    calendar_id = any_bench.watch()
    event_id, conference_id = any_bench.followed(calendar_id)
    any_bench.conferencing.forget(conference_id)
    any_bench.calendar.edit(calendar_id, event_id, {"summary": "Edited"})
    any_bench.sync(calendar_id)
    any_bench.clock.advance(31)
    any_bench.conferencing.faults.add(method="POST", after=True, truncate=True)
    any_bench.run_tasks()
    assert any_bench.conferencing.created == 1
    any_bench.calendar.cancel(calendar_id, event_id)
    any_bench.sync(calendar_id)
    for _ in range(10):
        any_bench.clock.advance(120)
        any_bench.run_tasks()
    assert dict(any_bench.conferencing.conferences) == {}


HOMOGRAPHS = {
    "the-kelvin-sign": "\u212aate",
    "a-cyrillic-letter": "k\u0430te",
    "a-wide-letter": "\uff4bate",
    "a-plus-address": "kate+work",
    "a-dot-more": "ka.te",
}


@pytest.mark.parametrize("name", list(HOMOGRAPHS.values()), ids=list(HOMOGRAPHS))
def test_o2_an_address_that_only_looks_like_the_organizers_is_anothers(
    world: Connected, name: str
) -> None:
    """Kate's event carries the conference of somebody whose address differs in one character."""
    bench = world.bench
    kate = bench.watch("kate")
    shown = fitting(world, kate.replace("kate", name))
    event_id = bench.event(kate, shown, summary="Renamed", **at_ten())
    bench.sync(kate)
    bench.calendar.cancel(kate, event_id)
    bench.sync(kate)
    bench.pass_grace()
    assert world.writes() == []
