"""The add-on's conferences, from the pick in Calendar's form to their end (A2-A8).

Real clients against the stand-ins. A person picks a solution in the event form of the Calendar
stand-in, whose add-on asks our function without HTTP; `tests/processes/test_create_conference.py`
has the rest of the way.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox.systems import SYSTEMS, ConferencingSystem
from sandbox.world import PROVIDER_SECRET
from sync.model.event import CalendarId
from tests.support.addon import Person
from tests.support.bench import BenchMaker, timed

_numbers = itertools.count(1)

NewPerson = Callable[..., Person]


@pytest.fixture
def new_person(make_bench: BenchMaker) -> Iterator[NewPerson]:
    """Makes people, each with a bench and a conferencing system of their own."""
    started: list[ConferencingSystem[Any]] = []

    def make(provider: str = "rest", **settings: str) -> Person:
        system: ConferencingSystem[Any] = SYSTEMS[provider]()
        system.start()
        started.append(system)
        secret = f"{PROVIDER_SECRET}-{next(_numbers)}"
        entry = system.entry(secret)
        bench = make_bench(SYNC_PROVIDERS=json.dumps([entry]), **settings)
        bench.secrets.put(secret, system.secret)
        return Person(bench, system, CalendarId(f"anna@people{next(_numbers)}.example.com"))

    yield make
    for system in started:
        system.stop()


@pytest.fixture(params=sorted(SYSTEMS))
def anyone(new_person: NewPerson, request: pytest.FixtureRequest) -> Person:
    """A person with each of the providers."""
    return new_person(request.param)


@pytest.fixture
def anna(new_person: NewPerson) -> Person:
    return new_person()


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
