"""One conference by several names: its id, its number with blanks, its link (E7, C4), at Webex
and at Teams."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.systems import SYSTEMS, ConferencingSystem
from sync.operate import explain
from tests.support.bench import Bench, BenchMaker, timed
from tests.support.series import occurrence

SECRET = "projects/sandbox/secrets/meetings"


@pytest.fixture(scope="module", params=["webex", "teams", "zoom"])
def system(request: pytest.FixtureRequest) -> Iterator[ConferencingSystem[Any]]:
    system = SYSTEMS[request.param]()
    system.start()
    yield system
    system.stop()


@pytest.fixture(params=["sqlite", pytest.param("firestore", marks=pytest.mark.firestore)])
def bench(
    request: pytest.FixtureRequest, make_bench: BenchMaker, system: ConferencingSystem[Any]
) -> Bench:
    """The engine with one of the systems, which lives by the bench's clock, on both stores."""
    system.server.reset()
    bench = make_bench(store=request.param, SYNC_PROVIDERS=json.dumps([system.entry(SECRET)]))
    bench.secrets.put(SECRET, system.secret)
    system.server.clock = bench.clock
    return bench


def number_of(system: ConferencingSystem[Any], conference_id: str) -> str:
    """A meeting's number as people write it."""
    meeting = system.conferences[conference_id]
    digits = str(meeting.get("meetingNumber") or meeting.get("id"))
    if "joinMeetingIdSettings" in meeting:
        digits = meeting["joinMeetingIdSettings"]["joinMeetingId"]
    return f"{digits[:3]} {digits[3:]}"


def by_number(system: ConferencingSystem[Any], shown: dict[str, Any]) -> dict[str, Any]:
    """The same conference data, with the number in place of the id."""
    return {**shown, "conferenceId": number_of(system, shown["conferenceId"])}


def changes(system: ConferencingSystem[Any]) -> list[str]:
    return [request.method for request in system.requests() if request.method != "GET"]


def test_e7_events_that_show_one_conference_by_different_names_share_it(
    bench: Bench, system: ConferencingSystem[Any]
) -> None:
    """By id, by number, and as a pasted link: it follows the first, and is deleted when the last
    lets go."""
    anna, team = bench.watch("anna"), bench.watch("team")
    shown = system.add("Made by an add-on")
    conference_id = shown["conferenceId"]
    link = system.join_link(conference_id)
    first = bench.event(anna, shown, summary="First")
    bench.sync(anna)
    second = bench.event(
        anna, by_number(system, shown), summary="Second", **timed("15:00", "16:00")
    )
    bench.clock.advance(1)
    bench.sync(anna)
    # A link alone has to stand in an event that begins when the conference does (O2).
    third = bench.event(team, None, summary="Third", location=link)
    bench.clock.advance(1)
    bench.sync(team)
    assert system.title(conference_id) == "First"
    bench.calendar.cancel(anna, first)
    bench.sync(anna)
    bench.pass_grace()
    assert system.title(conference_id) == "Second"
    bench.calendar.cancel(anna, second)
    bench.sync(anna)
    bench.pass_grace()
    assert system.title(conference_id) == "Third"
    bench.calendar.cancel(team, third)
    bench.sync(team)
    bench.pass_grace()
    assert not system.exists(conference_id)


@pytest.mark.slow
def test_e2_restored_within_the_grace_nothing_is_sent(
    bench: Bench, system: ConferencingSystem[Any]
) -> None:
    """Also of an event that shows the number: its conference is the one that was let go."""
    calendar_id = bench.watch()
    shown = system.add("Made by an add-on")
    event_id = bench.event(calendar_id, by_number(system, shown))
    bench.sync(calendar_id)
    assert system.title(shown["conferenceId"]) == "Planning"
    before = changes(system)
    bench.calendar.cancel(calendar_id, event_id)
    bench.sync(calendar_id)
    bench.clock.advance(10)
    bench.calendar.restore(calendar_id, event_id)
    bench.sync(calendar_id)
    bench.pass_grace()
    assert changes(system) == before
    bench.calendar.edit(calendar_id, event_id, {"summary": "Still followed"})
    bench.sync(calendar_id)
    assert system.title(shown["conferenceId"]) == "Still followed"


def test_c4_restored_after_the_grace_it_is_created_anew(
    bench: Bench, system: ConferencingSystem[Any]
) -> None:
    """Also for an event that shows the number: it was followed, and our own deletion ended that."""
    calendar_id = bench.watch()
    system.welcome(calendar_id)
    event_id = bench.event(calendar_id, by_number(system, system.add("Made by an add-on")))
    bench.sync(calendar_id)
    bench.calendar.cancel(calendar_id, event_id)
    bench.sync(calendar_id)
    bench.pass_grace()
    assert not system.conferences
    bench.calendar.restore(calendar_id, event_id)
    bench.sync(calendar_id)
    for _ in range(2):
        bench.clock.advance(180)
        bench.run_tasks()
    assert len(system.titled("Planning")) == len(system.conferences) == 1
    assert bench.failures(calendar_id) == []


@pytest.fixture
def full_tombstones(bench: Bench) -> Iterator[None]:
    """Calendar tells of a deleted event what it was."""
    bench.calendar.settings.tombstones = "full"
    yield
    bench.calendar.settings.tombstones = "id_only"


@pytest.mark.usefixtures("full_tombstones")
def test_e2_deleted_before_it_was_seen_alive_another_event_keeps_it(
    bench: Bench, system: ConferencingSystem[Any]
) -> None:
    """A copy by number that came and went between two syncs deletes nothing that another event
    carries."""
    calendar_id = bench.watch()
    shown = system.add("Made by an add-on")
    bench.event(calendar_id, shown)
    bench.sync(calendar_id)
    copy = bench.event(calendar_id, by_number(system, shown))
    bench.calendar.cancel(calendar_id, copy)
    explained = explain.explain(bench.services, calendar_id, copy)
    assert (explained["rule"], explained["would"]) == ("E2", [])
    bench.sync(calendar_id)
    bench.pass_grace()
    assert system.exists(shown["conferenceId"])


@pytest.mark.usefixtures("full_tombstones")
def test_e2_deleted_before_it_was_seen_alive_its_conference_goes(
    bench: Bench, system: ConferencingSystem[Any]
) -> None:
    """Nobody else carries it: known by its number alone, it is deleted after the grace."""
    calendar_id = bench.watch()
    shown = system.add("Made by an add-on")
    event_id = bench.event(calendar_id, by_number(system, shown))
    bench.calendar.cancel(calendar_id, event_id)
    bench.sync(calendar_id)
    assert system.exists(shown["conferenceId"])
    bench.pass_grace()
    assert not system.exists(shown["conferenceId"])


def test_c4_whoever_shows_the_lost_one_by_another_name_is_given_the_new_one(
    bench: Bench, system: ConferencingSystem[Any]
) -> None:
    """The event by id, the one by number, and a copy of that made later."""
    calendar_id = bench.watch()
    shown = system.add("Made by an add-on")
    numbered = by_number(system, shown)
    first = bench.event(calendar_id, shown, summary="First")
    bench.sync(calendar_id)
    second = bench.event(calendar_id, numbered)
    bench.sync(calendar_id)
    system.forget(shown["conferenceId"])
    bench.calendar.edit(calendar_id, first, {"summary": "Created anew"})
    bench.look_twice(calendar_id)
    third = bench.event(calendar_id, numbered)
    bench.sync(calendar_id)
    bench.run_tasks()
    [anew] = system.conferences
    for event_id in (first, second, third):
        event = bench.calendar.get(calendar_id, event_id)
        assert event is not None
        assert event["location"] == system.join_link(anew)
    assert system.title(anew) == "Created anew"


def test_e5_an_occurrence_that_shows_the_link_of_its_series_is_no_event_by_itself(
    bench: Bench, system: ConferencingSystem[Any]
) -> None:
    """After the series was given a new way in, its occurrences show the link alone."""
    calendar_id = bench.watch()
    shown = system.add("Made by an add-on")
    series = bench.event(
        calendar_id, shown, summary="Weekly", recurrence=["RRULE:FREQ=WEEKLY;COUNT=5"]
    )
    bench.sync(calendar_id)
    system.forget(shown["conferenceId"])
    bench.calendar.edit(calendar_id, series, {"summary": "Every week"})
    bench.look_twice(calendar_id)
    [anew] = system.conferences
    instance, _ = occurrence(bench, calendar_id, series, 2)
    bench.calendar.edit(
        calendar_id,
        instance,
        {"summary": "Not this one", "location": system.join_link(anew), "extendedProperties": None},
    )
    bench.sync(calendar_id)
    bench.run_tasks()
    assert system.title(anew) == "Every week"
    assert system.recurring(anew) is (system.name != "teams")
    assert bench.link(calendar_id, instance) is None
