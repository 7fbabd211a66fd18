"""The add-on's conferences, from the pick in Calendar's form to their end (A2-A8).

Real clients against the stand-ins. A person picks a solution in the event form of the Calendar
stand-in, whose add-on asks our function without HTTP; `tests/processes/test_create_conference.py`
has the rest of the way.
"""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import grpc
import pytest

from sandbox.addon_bridge import conference_data
from sandbox.systems import SYSTEMS
from sandbox.world import PROVIDER_SECRET
from sync.logs import JsonLines
from sync.model.calendar import Access, CalendarStatus
from sync.model.conference import FailureState
from sync.model.event import CalendarId
from sync.operate import addon, calendars, maintenance, stopping
from sync.operate.create import BUSY
from sync.run.lease import LEASE
from tests.support.addon import Person
from tests.support.bench import BenchMaker, timed
from tests.support.fates import Death, Killed, Trouble, touched
from tests.support.worlds import Systems

VIDEO = {"type": "video", "uri": "https://meet.example.com/c1"}

_numbers = itertools.count(1)

NewPerson = Callable[..., Person]


@pytest.fixture
def new_person(make_bench: BenchMaker, systems: Systems) -> NewPerson:
    """Makes the person of a test, with a bench and a conferencing system that holds nothing yet."""

    def make(provider: str = "rest", *, solutions: tuple[str, ...] = (), **settings: str) -> Person:
        system = systems(provider)
        system.server.reset()
        secret = f"{PROVIDER_SECRET}-{next(_numbers)}"
        entry = system.entry(secret)
        entry["solutions"] = list(solutions) or entry["solutions"]
        bench = make_bench(SYNC_PROVIDERS=json.dumps([entry]), **settings)
        bench.secrets.put(secret, system.secret)
        return Person(bench, system, CalendarId(f"anna@people{next(_numbers)}.example.com"))

    return make


@pytest.fixture(params=sorted(SYSTEMS))
def anyone(new_person: NewPerson, request: pytest.FixtureRequest) -> Person:
    """A person with each of the providers."""
    return new_person(request.param)


@pytest.fixture
def anna(new_person: NewPerson) -> Person:
    return new_person()


class Stub:
    """Passes every call on to the real thing, but for the methods given."""

    def __init__(self, real: Any, **methods: Callable[..., Any]) -> None:
        self._real = real
        vars(self).update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def kind(answer: addon.Answer) -> str:
    return str(answer.value["error"]["type"])


def sentence(answer: addon.Answer) -> str:
    return str(answer.value["error"]["message"])


def forbidden() -> NoReturn:
    """In the place of services that must not be made."""
    raise AssertionError("the services were asked for")


def nothing_left(person: Person, event_id: str) -> None:
    """No conference, no memory of one, and the calendar is not started."""
    assert person.conferences == []
    assert person.creations(event_id) == ()
    assert person.bench.store.get_calendar(person.address) is None


def test_a2_a_picked_conference_follows_its_event_and_goes_with_it(anyone: Person) -> None:
    """Pick, save, move, delete: one conference was made, it followed, and it is gone."""
    form = anyone.pick(summary="Planning")
    [conference] = anyone.conferences
    assert form["draft"]["conferenceData"]["conferenceId"] == conference
    event_id = anyone.save(form)
    system, calendar = anyone.system, anyone.bench.calendar
    assert system.title(conference) == "Planning"
    anyone.pass_adoption()
    assert anyone.conferences == [conference]
    calendar.edit(anyone.address, event_id, timed("15:00", "16:00", days=6))
    anyone.settle()
    begins = system.begins(conference)
    assert begins is not None
    assert begins.strftime("%d") == timed("15:00", "16:00", days=6)["start"]["dateTime"][8:10]
    calendar.cancel(anyone.address, event_id)
    anyone.settle()
    anyone.bench.pass_grace()
    assert anyone.conferences == []
    assert system.created == 1
    assert anyone.bench.store.list_failures(calendar_id=anyone.address).items == []


@pytest.mark.firestore
def test_a2_a_picked_conference_follows_its_event_on_firestore(new_person: NewPerson) -> None:
    """The other store: a creation is written, found again by its due date, and ended."""
    anna = new_person(store="firestore")
    saved, closed = anna.pick(summary="Planning"), anna.pick(summary="Never saved")
    anna.save(saved)
    assert len(anna.conferences) == 2
    anna.bench.lose_tasks()
    anna.bench.clock.advance(anna.bench.settings.adopt.total_seconds() + 700)
    maintenance.maintain(anna.bench.services)
    anna.bench.run_tasks()
    [conference] = anna.conferences
    assert anna.system.title(conference) == "Planning"
    assert [made.deleted for made in anna.creations(closed["event_id"])] == [True]


def test_a5_what_a_closed_form_leaves_is_deleted(anyone: Person) -> None:
    """Pick and close the form: the conference is gone after SYNC_ADOPT_SECONDS, by the queue."""
    form = anyone.pick()
    anyone.bench.calendar.close_form(form["form_id"])
    anyone.bench.run_tasks()
    anyone.bench.clock.advance(anyone.bench.settings.adopt.total_seconds() - 60)
    anyone.bench.run_tasks()
    assert len(anyone.conferences) == 1
    anyone.pass_adoption()
    assert anyone.conferences == []
    [made] = anyone.creations(form["event_id"])
    assert made.deleted
    assert anyone.bench.store.list_failures(calendar_id=anyone.address).items == []


def test_a3_a_repetition_returns_what_was_made(anyone: Person) -> None:
    """A second pick for the same event gives the same conference, saved or not."""
    form = anyone.pick()
    [first] = anyone.answers
    assert anyone.ask(form["event_id"]) == first
    anyone.save(form)
    assert anyone.ask(form["event_id"]) == first
    assert anyone.system.created == 1


def test_a3_a_lost_answer_makes_no_second_conference(anyone: Person) -> None:
    """The system made the conference and its answer was lost: the repetition finds it."""
    anyone.system.faults.add(method="POST", path="(onferences|eetings)", after=True)
    answer = anyone.ask("draft1")
    assert (answer.status, kind(answer)) == (503, "TEMPORARY")
    [conference] = anyone.conferences
    again = anyone.ask("draft1")
    assert (again.status, anyone.conferences) == (200, [conference])


def test_a5_a_lost_answer_that_nobody_repeats_leaves_nothing(anyone: Person) -> None:
    """Days later the system is searched by the key, and what is found there is deleted."""
    anyone.system.faults.add(method="POST", path="(onferences|eetings)", after=True)
    assert anyone.ask("draft1").status == 503
    assert len(anyone.conferences) == 1
    anyone.bench.clock.advance(timedelta(days=3).total_seconds())
    anyone.pass_adoption()
    assert anyone.conferences == []
    assert anyone.creations("draft1") == ()


def test_a3_a_double_click_makes_one_conference(anyone: Person) -> None:
    """Two requests at the same moment: the second waits for the first one's result."""
    anyone.system.faults.add(method="POST", path="(onferences|eetings)", freeze=True)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(anyone.ask, "draft1")
        anyone.system.faults.wait_held()
        second = pool.submit(anyone.ask, "draft1")
        wait([second], timeout=1)
        assert not second.done()
        anyone.system.faults.release()
        assert first.result().status == 200
        assert second.result() == first.result()
    assert anyone.system.created == 1


def test_a3_a_deleted_conference_is_followed_by_another(anyone: Person) -> None:
    """The key has a count, which grows when the former conference was deleted."""
    form = anyone.pick()
    event_id = anyone.save(form)
    [first] = anyone.conferences
    anyone.bench.calendar.edit(anyone.address, event_id, {"conferenceData": None})
    anyone.settle()
    anyone.bench.pass_grace()
    assert anyone.conferences == []
    assert anyone.ask(event_id).status == 200
    [second] = anyone.conferences
    assert second != first
    assert [made.count for made in anyone.creations(event_id) if made.solution] == [1, 2]
    assert len({made.key for made in anyone.creations(event_id)}) == 2


def test_a3_a_conference_that_the_system_lost_is_made_anew(anyone: Person) -> None:
    """The repetition reads what was made; where the system knows no such thing, it makes it."""
    form = anyone.pick()
    [first] = anyone.conferences
    anyone.system.forget(first)
    answer = anyone.ask(form["event_id"])
    assert answer.status == 200
    assert anyone.conferences == [answer.value["conference_id"]]
    assert anyone.conferences != [first]


def test_a3_c4_one_not_found_is_no_evidence_that_a_conference_is_lost(anyone: Person) -> None:
    """The system says once that it knows no such conference: the repetition answers the same."""
    form = anyone.pick()
    [first] = anyone.conferences
    anyone.system.server.trouble("false-not-found", times=1)
    answer = anyone.ask(form["event_id"])
    assert answer.value["conference_id"] == first
    assert anyone.conferences == [first]


def test_a3_each_solution_has_its_own_conference(new_person: NewPerson) -> None:
    """Two solutions of one provider: two conferences, and the one not kept is deleted."""
    anna = new_person(solutions=("My Web Conference", "My Recorded Conference"))
    form = anna.pick()
    [first] = anna.conferences
    answer = anna.ask(form["event_id"], solution="My Recorded Conference")
    assert (answer.status, answer.value["solution"]) == (200, "My Recorded Conference")
    assert anna.system.created == 2
    anna.save(form)
    anna.pass_adoption()
    assert anna.conferences == [first]


def test_a3_a_worker_that_was_frozen_leaves_nothing(anna: Person) -> None:
    """Frozen before its call until another worker has made the conference, for a system that knows
    no key: its own conference is deleted, and both answers name the other one."""
    bench, answers = anna.bench, []
    [real] = bench.services.providers.values()

    def create(content: Any, _key: str, host: str | None) -> Any:
        bench.clock.advance(BUSY.total_seconds() + 1)
        answers.append(anna.ask("draft1"))
        return real.create(content, "another key", host)

    frozen = bench.with_services(providers={"my-web": Stub(real, create=create)})
    answers.append(anna.ask("draft1", frozen))
    assert anna.system.created == 2
    assert answers[0] == answers[1]
    bench.run_tasks()
    assert anna.conferences == [answers[0].value["conference_id"]]


def test_a3_an_event_that_exists_is_told_at_once(anyone: Person) -> None:
    """The event is read as the user, and its title and times go into the creation."""
    event_id = anyone.bench.event(
        anyone.address, summary="Known", **timed("09:00", "09:30", days=5)
    )
    assert anyone.ask(event_id).status == 200
    [conference] = anyone.conferences
    assert anyone.system.title(conference) == "Known"


def test_a3_an_occurrence_has_a_conference_of_its_own(anna: Person) -> None:
    """Picked for one date of a series: that date's event carries the conference, alone."""
    weekly = timed("10:00", "11:00", days=5) | {"recurrence": ["RRULE:FREQ=WEEKLY;COUNT=3"]}
    series = anna.bench.event(anna.address, **weekly)
    event = anna.bench.calendar.get(anna.address, series)
    assert event is not None
    start = datetime.fromisoformat(event["start"]["dateTime"]).astimezone(UTC)
    second = f"{series}_{start + timedelta(weeks=1):%Y%m%dT%H%M%SZ}"
    form = anna.bench.calendar.open_form(anna.address, event_id=second)
    anna.bench.calendar.pick_solution(form["form_id"], anna.solution, user=anna.address)
    anna.save(form)
    [conference] = anna.conferences
    begins = anna.system.begins(conference)
    assert begins == start + timedelta(weeks=1)
    anna.pass_adoption()
    assert anna.conferences == [conference]


def test_a4_the_calendar_is_started_as_the_user(anna: Person) -> None:
    """The first pick starts the calendar with the user as subject; a later one changes nothing."""
    anna.pick()
    state = calendars.get(anna.bench.services, anna.address)
    assert state.access == Access(subject=anna.address)
    assert state.channel is not None
    anna.pick()
    assert calendars.get(anna.bench.services, anna.address).channel == state.channel


def test_a4_a_calendar_that_is_started_stays_as_it_is(anna: Person) -> None:
    """Whatever access an operator gave it."""
    calendars.start(anna.bench.services, anna.address, Access())
    before = calendars.get(anna.bench.services, anna.address)
    anna.pick()
    assert calendars.get(anna.bench.services, anna.address) == before


def broken(person: Person, access: Access) -> None:
    """Start the person's calendar, break it, and let the person open it again."""
    calendars.start(person.bench.services, person.address, access)
    person.settle()
    person.bench.calendar.withdraw_access(person.address)
    for _ in range(2):
        person.bench.sync(person.address)
        person.bench.clock.advance(300)
        person.bench.run_tasks()
    status = calendars.get(person.bench.services, person.address).status
    assert status is CalendarStatus.BROKEN
    person.bench.calendar.grant_access(person.address)


@pytest.mark.parametrize("by", ["pick", "status"])
def test_a4_a_broken_calendar_of_the_users_own_is_started_again(anna: Person, by: str) -> None:
    """The user was away and came back: what they do in Calendar mends it, and nobody waits for the
    hour."""
    broken(anna, Access(subject=anna.address))
    if by == "pick":
        anna.pick()
    else:
        anna.ask_status()
    anna.bench.run_tasks()
    assert calendars.get(anna.bench.services, anna.address).status is CalendarStatus.OK


def test_a4_a_broken_calendar_with_an_operators_access_stays_as_it_is(anna: Person) -> None:
    """The user's rights say nothing about that access."""
    broken(anna, Access())
    before = calendars.get(anna.bench.services, anna.address)
    anna.pick()
    assert calendars.get(anna.bench.services, anna.address) == before


def test_a4_a_start_that_fails_does_not_fail_the_creation(anna: Person) -> None:
    """The conference is made, the state says why it is not watched, and `maintain` tries again."""
    anna.bench.calendar.faults.add(path="/watch$", status=503, times=None)
    form = anna.pick()
    state = calendars.get(anna.bench.services, anna.address)
    assert (state.status, state.channel) == (CalendarStatus.STARTING, None)
    assert state.reason is not None
    assert "events.watch failed" in state.reason
    anna.bench.calendar.faults.clear()
    maintenance.maintain(anna.bench.services)
    anna.bench.clock.advance(300)
    anna.bench.run_tasks()
    state = calendars.get(anna.bench.services, anna.address)
    assert (state.status, state.reason) == (CalendarStatus.OK, None)
    assert state.channel is not None
    anna.save(form)
    assert anna.system.title(anna.conferences[0]) == "Planning"


def test_a4_the_next_pick_repeats_a_start_that_failed(anna: Person) -> None:
    """Nobody has to wait for the hour."""
    anna.bench.calendar.faults.add(path="/watch$", status=503, times=None)
    anna.pick()
    anna.bench.calendar.faults.clear()
    anna.pick()
    assert calendars.get(anna.bench.services, anna.address).channel is not None


@pytest.mark.parametrize("calendar", ["started", "stopped", "start failed"])
def test_a5_maintain_ends_what_a_lost_task_left(anna: Person, calendar: str) -> None:
    """The queue was purged: `maintain` finds the creation that is due, whatever the calendar is."""
    if calendar == "start failed":
        anna.bench.calendar.faults.add(path="/watch$", status=503, times=None)
    form = anna.pick()
    anna.bench.calendar.close_form(form["form_id"])
    if calendar == "stopped":
        stopping.stop(anna.bench.services, anna.address)
    anna.bench.lose_tasks()
    anna.bench.clock.advance(anna.bench.settings.adopt.total_seconds() + 700)
    anna.bench.run_tasks()
    assert len(anna.conferences) == 1
    report = maintenance.maintain(anna.bench.services)
    assert report.creations_resumed == 1
    anna.bench.run_tasks()
    assert anna.conferences == []


def test_a5_a_stopped_calendars_creation_is_ended_by_the_queue(anyone: Person) -> None:
    """The calendar was stopped after the pick; nobody follows it, and still nothing is left."""
    form = anyone.pick()
    anyone.bench.calendar.close_form(form["form_id"])
    anyone.bench.run_tasks()
    stopping.stop(anyone.bench.services, anyone.address)
    anyone.pass_adoption()
    assert anyone.conferences == []


def test_a5_a_stopped_calendars_event_keeps_its_conference(anyone: Person) -> None:
    """Saved after the calendar was stopped: the event is read as the user, and carries it."""
    form = anyone.pick()
    anyone.bench.run_tasks()
    stopping.stop(anyone.bench.services, anyone.address)
    anyone.bench.calendar.save_form(form["form_id"])
    anyone.pass_adoption()
    assert len(anyone.conferences) == 1
    assert anyone.creations(form["event_id"]) == ()


@pytest.mark.parametrize("stopped", [False, True], ids=["started again", "stopped"])
def test_a5_what_a_repeated_creation_finds_is_kept_while_the_event_carries_it(
    anyone: Person, stopped: bool
) -> None:
    """The calendar was stopped, and forgotten what it followed. Picked again, the key of the lost
    creation is that of the first: it finds the conference that the event has carried all along."""
    event_id = anyone.save(anyone.pick())
    [made] = anyone.conferences
    stopping.stop(anyone.bench.services, anyone.address)
    anyone.system.faults.add(method="POST", path="(onferences|eetings)", status=502, after=True)
    # Webex finds the meeting by its tag, and makes none.
    assert anyone.ask(event_id).status == (200 if anyone.system.name == "webex" else 503)
    if stopped:
        stopping.stop(anyone.bench.services, anyone.address)
    anyone.bench.run_tasks()
    anyone.pass_adoption()
    assert anyone.conferences == [made]
    assert anyone.bench.failures() == []
    assert not any(creation.open for creation in anyone.creations(event_id))


def test_a5_an_unreadable_calendar_keeps_what_may_be_carried(anna: Person) -> None:
    """The calendar is stopped and its user may not be read any more: left alone, and listed."""
    form = anna.pick()
    anna.bench.run_tasks()
    stopping.stop(anna.bench.services, anna.address)
    anna.bench.calendar.save_form(form["form_id"])
    anna.bench.calendar.withdraw_access(anna.address)
    anna.pass_adoption()
    assert len(anna.conferences) == 1
    [left] = anna.bench.store.list_failures(calendar_id=anna.address).items
    assert (left.value.state, left.value.rule) == (FailureState.LEFT, "A5")


def test_a5_the_id_that_a_lost_creation_led_to_is_kept(anna: Person) -> None:
    """Nobody can tell whether the event carries what was found; by its id somebody can later."""
    anna.system.faults.add(method="POST", path="(onferences|eetings)", after=True)
    assert anna.ask("draft1").status == 503
    [conference] = anna.conferences
    stopping.stop(anna.bench.services, anna.address)
    anna.bench.calendar.withdraw_access(anna.address)
    anna.pass_adoption()
    [left] = anna.bench.store.list_failures(calendar_id=anna.address).items
    assert (left.value.state, left.value.rule) == (FailureState.LEFT, "A5")
    assert [made.conference_id for made in anna.creations("draft1")] == [conference]
    anna.bench.calendar.grant_access(anna.address)
    anna.bench.clock.advance(timedelta(days=2).total_seconds())
    maintenance.maintain(anna.bench.services)
    anna.bench.run_tasks()
    assert anna.conferences == []


def test_a5_a_guests_copy_carries_its_conference(anna: Person) -> None:
    """A guest's copy decides nothing (E6), and what it shows is not deleted all the same."""
    bob = {"email": "bob@elsewhere.example.com"}
    event_id = anna.bench.event(anna.address, organizer=bob, **timed("10:00", "11:00", days=5))
    answer = anna.ask(event_id)
    assert answer.status == 200
    conference = {
        "conferenceData": conference_data(answer.value)
        | {"conferenceSolution": {"key": {"type": "addOn"}, "name": anna.solution}}
    }
    anna.bench.calendar.edit(anna.address, event_id, conference)
    anna.settle()
    anna.pass_adoption()
    assert len(anna.conferences) == 1


def test_a5_a_link_in_the_text_of_an_event_keeps_its_conference(anna: Person) -> None:
    """The conference was taken off the form, and its link pasted into the description."""
    form = anna.pick()
    uri = anna.answers[0].value["entry_points"][0]["uri"]
    anna.bench.calendar.take_conference_away(form["form_id"])
    anna.bench.calendar.fill_in_form(form["form_id"], {"description": f"Join: {uri}"})
    anna.save(form)
    anna.pass_adoption()
    assert len(anna.conferences) == 1


def test_a5_a_repeated_pick_lets_the_conference_live_on(anna: Person) -> None:
    """The form stays open past the first due date, and keeps what was picked in it again."""
    form = anna.pick()
    adopt = anna.bench.settings.adopt.total_seconds()
    anna.bench.clock.advance(adopt - 60)
    assert anna.ask(form["event_id"]).status == 200
    anna.bench.clock.advance(120)
    anna.bench.run_tasks()
    assert len(anna.conferences) == 1
    anna.pass_adoption()
    assert anna.conferences == []


def test_a5_a_form_that_was_open_too_long_gets_a_conference_all_the_same(anyone: Person) -> None:
    """Saved after the conference was deleted: it was made for this event, so it is made anew."""
    form = anyone.pick(**timed("10:00", "11:00", days=9))
    anyone.bench.run_tasks()
    anyone.pass_adoption()
    assert anyone.conferences == []
    event_id = anyone.save(form)
    anyone.bench.clock.advance(anyone.bench.settings.retry.total_seconds() + 61)
    anyone.bench.run_tasks()
    [conference] = anyone.conferences
    assert anyone.system.title(conference) == "Planning"
    assert anyone.bench.store.list_failures(calendar_id=anyone.address).items == []
    event = anyone.bench.calendar.get(anyone.address, event_id)
    assert conference in json.dumps(event)


def test_a6_a_slow_system_is_answered_in_time(anna: Person) -> None:
    """TEMPORARY while the system keeps silent; the repetition returns what was made meanwhile."""
    anna.system.faults.add(method="POST", path="/conferences", freeze=True)
    answer = anna.ask("draft1", patience=timedelta(seconds=0.5))
    assert (answer.status, kind(answer)) == (503, "TEMPORARY")
    anna.system.faults.release()
    again = anna.ask("draft1")
    while again.status == 503:  # the first one is still at work
        again = anna.ask("draft1")
    assert (again.status, anna.system.created) == (200, 1)


def test_a6_what_calendar_would_not_take_is_left_out_or_cut(anna: Person) -> None:
    """Never half an id, a link or a code; labels and notes are cut, notes not within a tag."""
    points = [
        {"type": "video", "uri": "https://meet.example.com/" + "v" * 1300},
        {"type": "video", "uri": "https://meet.example.com/1", "label": "l" * 600},
        {"type": "phone", "uri": "tel:+1", "pin": "1" * 129, "passcode": "2", "region_code": "DE"},
        *({"type": "phone", "uri": f"tel:+{number}"} for number in range(400)),
        {"type": "carrier pigeon", "uri": "https://meet.example.com/2"},
    ]
    notes = "n" * 2040 + '<a href="https://meet.example.com">'
    made = {"id": "i" * 512, "entry_points": points, "notes": notes}
    anna.system.faults.add(method="POST", path="/conferences", status=201, body=made)
    value = anna.ask("draft1").value
    assert value["conference_id"] == "i" * 512
    assert value["entry_points"][:2] == [
        {"type": "video", "uri": "https://meet.example.com/1", "label": "l" * 512},
        {"type": "phone", "uri": "tel:+1", "passcode": "2", "region_code": "DE"},
    ]
    assert len(value["entry_points"]) == 300
    assert value["notes"] == "n" * 2040
    assert value["parameters"] == {}


@pytest.mark.parametrize(
    "made",
    [
        pytest.param({"id": "i" * 513, "entry_points": [VIDEO]}, id="id-too-long"),
        pytest.param({"id": "c1", "entry_points": []}, id="no-way-in"),
    ],
)
def test_a6_a_conference_that_calendar_cannot_show_is_refused(anna: Person, made: Any) -> None:
    """PERMANENT: a repetition would bring the same."""
    anna.system.faults.add(method="POST", path="/conferences", status=201, body=made)
    answer = anna.ask("draft1")
    assert (answer.status, kind(answer)) == (422, "PERMANENT")


@pytest.mark.parametrize(
    "solution", ["Another", "my web conference", "My Web Conference ", "x" * 999]
)
def test_a7_an_unknown_solution_is_forbidden(anna: Person, solution: str) -> None:
    """It must be one of a provider's `solutions`, word for word; nobody is asked."""
    answer = anna.ask("draft1", solution=solution)
    assert (answer.status, kind(answer)) == (403, "CONFERENCE_SOLUTION_FORBIDDEN")
    nothing_left(anna, "draft1")


def test_a8_the_users_own_calendar_is_started_and_shown(anna: Person) -> None:
    """For people who switch from another add-on, and for the settings page."""
    answer = anna.ask_status()
    assert (answer.status, answer.value) == (
        200,
        {"calendar_id": anna.address, "status": "starting", "reason": None},
    )
    anna.settle()
    assert anna.ask_status().value["status"] == "ok"
    assert anna.conferences == []


def test_a8_the_reason_of_a_failed_start_is_shown(anna: Person) -> None:
    """The state is kept, and asking again starts again."""
    anna.bench.calendar.faults.add(path="/watch$", status=503, times=1)
    answer = anna.ask_status()
    assert (answer.status, answer.value["status"]) == (200, "starting")
    assert "events.watch failed" in answer.value["reason"]
    anna.ask_status()
    assert calendars.get(anna.bench.services, anna.address).channel is not None


def test_a8_one_calendar_has_one_state_however_it_is_written(anna: Person) -> None:
    """Its address in capitals is the same calendar."""
    assert anna.ask_status(calendar_id=anna.address.upper()).value["calendar_id"] == anna.address
    assert anna.ask("draft1", calendar_id=anna.address.upper()).status == 200
    assert len(anna.creations("draft1")) == 1


@pytest.mark.parametrize(("role", "status"), [("owner", 200), ("writer", 403), ("reader", 403)])
def test_a8_another_calendar_is_shown_to_its_owner_alone(
    anna: Person, role: str, status: int
) -> None:
    """A person's second calendar is theirs, a team's that is shared with them is not."""
    team = f"c_{anna.address.replace('@', '-')}@group.calendar.google.com"
    anna.bench.calendar.add_calendar(team, role=role)
    answer = anna.ask_status(calendar_id=team)
    assert answer.status == status
    assert (anna.bench.store.get_calendar(CalendarId(team)) is not None) == (status == 200)


def test_a8_a_colleagues_calendar_is_not_started_even_by_one_of_its_owners(anna: Person) -> None:
    """An assistant with every right on the calendar of another person is told that it is not
    theirs, and nothing is read or started."""
    boss = CalendarId(f"boss-{anna.address}")
    anna.bench.calendar.add_calendar(boss, role="owner")
    answer = anna.ask_status(calendar_id=boss)
    assert (answer.status, kind(answer)) == (403, "PERMISSION_DENIED")
    assert sentence(answer) == "This calendar is not yours; name your own."
    assert anna.bench.store.get_calendar(boss) is None


def test_a8_a_calendar_that_nobody_knows_is_refused(anna: Person) -> None:
    """Calendar answers 404 as the user."""
    answer = anna.ask_status(calendar_id="nobody@group.calendar.google.com")
    assert (answer.status, kind(answer)) == (403, "PERMISSION_DENIED")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"[" * 100_000,
        b"{}",
        b'{"calendar_id": 7}',
        b'{"calendar_id": ""}',
        b'{"calendar_id": "primary"}',
        b'{"calendar_id": "Primary", "event_id": "e1", "solution": "My Web Conference"}',
        b'{"calendar_id": "a b@example.com"}',
        b'{"calendar_id": "a\\u0000@example.com"}',
        b'{"calendar_id": "a@example.com", "event_id": "e1"}',
        b'{"calendar_id": "a@example.com", "solution": "My Web Conference"}',
        b'{"calendar_id": "a@example.com", "event_id": null, "solution": null}',
        b'{"calendar_id": "a@example.com", "event_id": "", "solution": "My Web Conference"}',
        b'{"calendar_id": "a@example.com", "event_id": "e/1", "solution": "My Web Conference"}',
        b'{"calendar_id": "a@example.com", "event_id": ".", "solution": "My Web Conference"}',
        b'{"calendar_id": "a@example.com", "event_id": "..", "solution": "My Web Conference"}',
        b'{"calendar_id": "a@example.com", "event_id": "e 1", "solution": "My Web Conference"}',
        b'{"calendar_id": "a@example.com", "event_id": "\\ud800", "solution": "My Web Conference"}',
        b'{"calendar_id": "a@example.com", "event_id": "e1", "solution": ""}',
        b'{"calendar_id": "a@example.com", "event_id": "e1", "solution": ["My Web Conference"]}',
        b'{"calendar_id": "a@example.com", "event_id": "' + b"e" * 1025 + b'", "solution": "x"}',
        b'{"calendar_id": "' + b"a" * 100_000 + b'"}',
    ],
)
def test_a7_a_malformed_request_is_answered_400(anna: Person, body: bytes) -> None:
    """One sentence, and nothing is asked for it."""
    answer = addon.answer(forbidden, anna.address, body)
    assert (answer.status, kind(answer)) == (400, "PERMANENT")
    assert sentence(answer).endswith(".")


@pytest.mark.parametrize("role", ["reader", "freeBusyReader"])
def test_a1_a_calendar_that_the_user_may_not_write_is_refused(anna: Person, role: str) -> None:
    """The sharing says so, and nothing is made or started."""
    anna.bench.calendar.add_calendar(anna.address, role=role)
    answer = anna.ask("draft1")
    assert (answer.status, kind(answer)) == (403, "PERMISSION_DENIED")
    nothing_left(anna, "draft1")


@pytest.mark.parametrize("status", [403, 404])
def test_a1_a_calendar_that_the_user_cannot_see_is_refused(anna: Person, status: Any) -> None:
    """Another user's calendar, or one that Calendar does not open for the user."""
    anna.bench.calendar.withdraw_access(anna.address, status=status)
    answer = anna.ask("draft1")
    assert (answer.status, kind(answer)) == (403, "PERMISSION_DENIED")
    nothing_left(anna, "draft1")


def test_a1_users_of_other_domains_than_the_settings_name_are_refused(
    new_person: NewPerson,
) -> None:
    """SYNC_SUBJECT_DOMAINS holds for the add-on's users too."""
    anna = new_person(SYNC_SUBJECT_DOMAINS="elsewhere.example.com")
    answer = anna.ask("draft1")
    assert (answer.status, kind(answer)) == (403, "PERMISSION_DENIED")
    nothing_left(anna, "draft1")


def test_a2_a_deleted_event_gets_no_conference(anna: Person) -> None:
    """PERMANENT, and nothing is made."""
    event_id = anna.bench.event(anna.address)
    anna.bench.calendar.cancel(anna.address, event_id)
    answer = anna.ask(event_id)
    assert (answer.status, kind(answer)) == (422, "PERMANENT")
    nothing_left(anna, event_id)


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [
        ({"status": 503}, 503, "TEMPORARY"),
        ({"status": 429, "headers": {"Retry-After": "0"}}, 503, "TEMPORARY"),
        ({"status": 400, "body": {"error": "no"}}, 422, "PERMANENT"),
        ({"status": 403, "body": {"error": "no"}}, 422, "PERMANENT"),
        ({"status": 401, "times": None}, 503, "TEMPORARY"),
        ({"status": 200, "body": "<html>"}, 503, "TEMPORARY"),
    ],
)
def test_a7_what_the_system_refuses_is_one_sentence_for_the_person(
    anna: Person, fault: Any, status: int, error: str
) -> None:
    """By what a repetition can do; and a day later nothing is left, nor is anything parked."""
    anna.system.faults.add(**{"method": "POST", "path": "/conferences", **fault})
    answer = anna.ask("draft1")
    assert (answer.status, kind(answer)) == (status, error)
    assert sentence(answer).endswith(".")
    anna.system.faults.clear()
    anna.pass_adoption()
    assert anna.conferences == []
    assert anna.bench.store.list_failures(calendar_id=anna.address).items == []
    assert anna.ask("draft1").status == 200


def test_a5_a_refused_creation_leaves_nothing(anna: Person) -> None:
    """The system said no, so there is nothing to remember, and no calendar is started."""
    anna.system.faults.add(method="POST", path="/conferences", status=400, body={"error": "no"})
    anna.ask("draft1")
    nothing_left(anna, "draft1")


def test_what_a_system_says_of_a_creation_is_logged_without_title_and_token(
    anna: Person, caplog: pytest.LogCaptureFixture
) -> None:
    """Its own words repeat what was sent; the person is told a sentence of ours."""
    event_id = anna.bench.event(anna.address, summary="Quokka budget")
    [token] = anna.system.secret.values()
    words = f"Quokka budget of {anna.address} with {token} is refused"
    anna.system.faults.add(method="POST", path="/conferences", status=403, body={"error": words})
    with caplog.at_level(logging.INFO):
        answer = anna.ask(event_id)
    assert (answer.status, kind(answer)) == (422, "PERMANENT")
    [failed] = [each for each in caplog.records if each.message == "add-on creation failed"]
    said = str(failed.__dict__["reason"])
    assert said.endswith("is refused")
    for canary in ("Quokka", anna.address, token):
        assert canary not in f"{said} {answer.value}"


def test_c4_a_queue_out_of_reach_stops_the_creation(anna: Person) -> None:
    """Without the task that ends what no event carries, nothing is made."""
    anna.bench.tasks.fail_next(grpc.StatusCode.PERMISSION_DENIED)
    answer = anna.ask("draft1")
    assert (answer.status, kind(answer)) == (503, "TEMPORARY")
    assert anna.system.received == 0
    nothing_left(anna, "draft1")


def test_a6_no_log_line_tells_of_people_or_links(
    anna: Person, caplog: pytest.LogCaptureFixture
) -> None:
    """Addresses, titles, links and conference ids stay out of the log, of success and failure."""
    caplog.set_level(logging.INFO)
    form = anna.pick(summary="A secret title")
    anna.save(form)
    anna.system.faults.add(method="GET", path="/conferences", status=403, body={"error": "no"})
    anna.ask(form["event_id"])
    anna.bench.calendar.withdraw_access(anna.address)
    anna.ask("draft2")
    ours = (record for record in caplog.records if record.name.startswith("sync."))
    lines = [JsonLines().format(record) for record in ours]
    created = [line for line in lines if "conference created for the add-on" in line]
    assert len(created) == 1
    facts = json.loads(created[0])
    assert (facts["provider"], facts["outcome"]) == ("my-web", "created")
    assert {"seconds", "calendar", "event"} <= facts.keys()
    assert any("add-on creation failed" in line for line in lines)
    told = "\n".join(lines)
    for secret in (anna.address, "A secret title", *anna.conferences, "meet.example.com"):
        assert secret not in told


@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("fate", [Death, Trouble])
@pytest.mark.parametrize("repeated", [True, False], ids=["repeated", "left"])
@pytest.mark.timeout(300)
def test_s5_whatever_befalls_a_creation_it_ends_as_one_conference(
    anyone: Person, fate: type[Death | Trouble], late: bool, repeated: bool
) -> None:
    """At every touch of the world, before its effect or after it, the process dies or the call
    fails. Repeated, there is one conference, and the system saw one creation. Not repeated, nothing
    is left when an event was to carry it."""
    for place in itertools.count():
        event_id, befallen = f"draft{place}", fate(place, late=late)
        created = anyone.system.created
        with suppress(Killed):
            anyone.ask(event_id, touched(anyone.bench.services, befallen))
        anyone.bench.clock.advance(BUSY.total_seconds() + 1)
        if repeated:
            assert anyone.ask(event_id).status == 200, befallen.touched
            assert len(anyone.conferences) == 1, befallen.touched
            assert anyone.system.created == created + 1, befallen.touched
        anyone.pass_adoption()
        anyone.bench.clock.advance(700)
        maintenance.maintain(anyone.bench.services)
        anyone.bench.clock.advance(LEASE.total_seconds())
        anyone.bench.run_tasks()
        assert anyone.conferences == [], befallen.touched
        if repeated:
            state = calendars.get(anyone.bench.services, anyone.address)
            assert state.channel is not None, befallen.touched
        # Two calls side by side may both be under way when the first of them ends.
        if not befallen.struck and len(befallen.touched) <= place:
            break
        stopping.stop(anyone.bench.services, anyone.address)
    assert place > 8
