"""Whatever an attacker writes into her own calendar, somebody else's meeting is only read (O1, O2).

Mallory's calendar is started, and the app's rights at the conferencing system are account-wide. Her
events carry the victim's conference by every kind of evidence, in every position, in any sequence
of edits, while the system answers well, badly or wrongly.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.errors import SyncError
from sync.model.conference import FailureState
from sync.model.event import CalendarId, EventId
from sync.operate import calendars, maintenance, stopping
from tests.support.bench import BenchMaker, real_time
from tests.support.fitting import SIX_WEEKS, fitting, fitting_series, link_of
from tests.support.worlds import NAMES, Connected, Systems, at_ten, connect, tomorrow

Json = dict[str, Any]

numbers = itertools.count(1)


@dataclass
class Attack:
    """Mallory's calendar, the victim's conference, and the events that she has written so far."""

    world: Connected
    mallory: CalendarId
    victim: str
    shown: Json
    conference_id: str
    events: list[EventId] = field(default_factory=list)

    @property
    def link(self) -> str:
        return link_of(self.shown)

    def edit(self, changes: Json) -> None:
        for event_id in self.events:
            with suppress(Exception):
                self.world.bench.calendar.edit(self.mallory, event_id, changes)

    def write(self, fields: Json) -> None:
        body = {"summary": "Mallory's", **at_ten(), **fields}
        self.events.append(self.world.bench.event(self.mallory, **body))


Step = Callable[[Attack], None]

# How an event can carry a conference, as `Attack` → members of the event.
CARRIERS: dict[str, Callable[[Attack], Json]] = {
    "conference data": lambda a: {"conferenceData": a.shown},
    "a link in foreign conference data": lambda a: {
        "conferenceData": {
            **a.shown,
            "conferenceId": "rec8xyz",
            "conferenceSolution": {"key": {"type": "addOn"}, "name": "Club Calls"},
        }
    },
    "an id without links": lambda a: {
        "conferenceData": {**a.shown, "conferenceId": a.conference_id, "entryPoints": []}
    },
    "our property": lambda a: {
        "extendedProperties": {
            "private": {
                "conferenceSyncProvider": a.world.system.name,
                "conferenceSyncId": a.conference_id,
            }
        }
    },
    "location": lambda a: {"location": a.link},
    "a location among words": lambda a: {"location": f"Room 7; <{a.link}>, second floor"},
    "description": lambda a: {"description": f'<a href="{a.link}">join</a>'},
    "everything": lambda a: {
        "conferenceData": a.shown,
        "location": a.link,
        "description": a.link,
    },
}
NOTHING: Json = {
    "conferenceData": None,
    "location": None,
    "description": None,
    "extendedProperties": None,
}


def writes(carrier: str) -> Step:
    return lambda a: a.write(CARRIERS[carrier](a))


def edits(carrier: str) -> Step:
    return lambda a: a.edit({**NOTHING, **CARRIERS[carrier](a)})


def changes(fields: Json) -> Step:
    return lambda a: a.edit(fields)


def invited(a: Attack) -> None:
    """The victim's invitation in Mallory's calendar, which she edits and declines as she likes."""
    body = {
        "id": f"invited{next(numbers)}",
        "status": "confirmed",
        "summary": "Invitation",
        "organizer": {"email": a.victim},
        "creator": {"email": a.victim},
        "attendees": [{"email": a.mallory, "self": True}],
        "conferenceData": a.shown,
        **at_ten(),
    }
    a.world.bench.calendar.seed_event(a.mallory, body, raw=True)
    a.events.append(EventId(str(body["id"])))


def deleted(a: Attack) -> None:
    for event_id in a.events:
        with suppress(Exception):
            a.world.bench.calendar.cancel(a.mallory, event_id)


def restored(a: Attack) -> None:
    for event_id in a.events:
        with suppress(Exception):
            a.world.bench.calendar.restore(a.mallory, event_id)


def synced(a: Attack) -> None:
    with suppress(SyncError):
        a.world.bench.sync(a.mallory)


def synced_in_full(a: Attack) -> None:
    a.world.bench.calendar.expire_sync_tokens(a.mallory)
    synced(a)


def looked_at(a: Attack) -> None:
    for event_id in a.events:
        with suppress(SyncError):
            a.world.bench.look(a.mallory, event_id)


def time_passes(seconds: float) -> Step:
    def passes(a: Attack) -> None:
        a.world.bench.clock.advance(seconds)
        with suppress(SyncError):
            maintenance.maintain(a.world.bench.services)
        a.world.bench.run_tasks(errors=lambda _: None)

    return passes


def retried(a: Attack) -> None:
    for failure in a.world.bench.failures(a.mallory):
        calendars.retry_failure(a.world.bench.services, failure.id)
    a.world.bench.run_tasks(errors=lambda _: None)


def dismissed(a: Attack) -> None:
    for failure in a.world.bench.failures(a.mallory, FailureState.LEFT, FailureState.PARKED):
        calendars.dismiss_failure(a.world.bench.services, failure.id)


def restarted(a: Attack) -> None:
    stopping.stop(a.world.bench.services, a.mallory)
    a.world.bench.watch(a.mallory.partition("@")[0])


def trouble(name: str, **fault: Any) -> Step:
    return lambda a: a.world.system.server.trouble(name, **fault)


STEPS: dict[str, Step] = {
    **{f"write {name}": writes(name) for name in CARRIERS},
    **{f"edit to {name}": edits(name) for name in CARRIERS},
    "be invited": invited,
    "take it off": changes(NOTHING),
    "rename": changes({"summary": "Renamed by Mallory"}),
    "move": changes(
        {
            "start": {"dateTime": tomorrow(15).isoformat(), "timeZone": "UTC"},
            "end": {"dateTime": tomorrow(16).isoformat(), "timeZone": "UTC"},
        }
    ),
    "recur": changes({"recurrence": [SIX_WEEKS]}),
    "recur no more": changes({"recurrence": None}),
    "make private": changes({"visibility": "private"}),
    "delete": deleted,
    "restore": restored,
    "sync": synced,
    "sync in full": synced_in_full,
    "look": looked_at,
    "the grace passes": time_passes(61),
    "a day passes": time_passes(86_500),
    "retry": retried,
    "dismiss": dismissed,
    "restart": restarted,
    "false not found": trouble("false-not-found"),
    "false not found, twice": trouble("false-not-found", times=2),
    "a page": trouble("page"),
    "forbidden": trouble("forbidden"),
    "unavailable": trouble("unavailable"),
    "a cut answer": trouble("half-answer"),
    "refused": trouble("refused"),
}
OFTEN = ["sync", "sync", "the grace passes", "delete", "rename", "false not found"]

steps = st.lists(st.sampled_from(sorted(STEPS) + OFTEN), min_size=1, max_size=9)


def survives(world: Connected, carrier: str, recurring: bool, plan: list[str]) -> None:
    """Carry an attack out, let everything that it left behind happen, and compare."""
    bench = world.bench
    # The victim's conference begins when Mallory's event does, in each history.
    bench.clock.now = real_time()
    world.system.faults.clear()
    mallory = bench.watch(f"mallory{next(numbers)}")
    victim = f"victim@{mallory.partition('@')[2]}"
    make = fitting_series if recurring else fitting
    # Webex shows a meeting to those invited as well; the other systems show it to our app anyway.
    seen: Json = {"invitees": [mallory]} if world.system.name == "webex" else {}
    shown = make(world, victim, "The victim's", **seen)
    if seen:
        world.system.server.hosts.add(mallory)
    conference_id = list(world.system.conferences)[-1]
    before = copy.deepcopy(world.system.conferences[conference_id])
    since = len(world.writes())
    attack = Attack(world, mallory, victim, shown, conference_id)
    attack.write(CARRIERS[carrier](attack))
    for name in plan:
        STEPS[name](attack)
    synced(attack)
    world.system.faults.clear()
    for seconds in (61, 61, 3600, 86_500):
        time_passes(seconds)(attack)
    deleted(attack)
    synced(attack)
    for seconds in (61, 61, 3600):
        time_passes(seconds)(attack)
    assert world.system.conferences.get(conference_id) == before
    named = [one for one in world.writes()[since:] if conference_id in one.path]
    assert named == []
    bench.calendar.remove_calendar(mallory)
    stopping.stop(bench.services, mallory)
    bench.lose_tasks()


@pytest.mark.slow
@pytest.mark.parametrize("system", NAMES)
@pytest.mark.parametrize("carrier", CARRIERS)
def test_o1_an_attackers_event_changes_nothing(
    make_bench: BenchMaker, systems: Systems, system: str, carrier: str
) -> None:
    """Any history of one to ten steps, by each kind of evidence: the victim's meeting is as before,
    and nothing but reads named it."""
    world = connect(make_bench, systems(system))

    @settings(
        max_examples=12,
        derandomize=True,
        database=None,
    )
    @given(recurring=st.booleans(), plan=steps)
    def histories(recurring: bool, plan: list[str]) -> None:
        survives(world, carrier, recurring, plan)

    histories()


@pytest.mark.slow
@pytest.mark.parametrize("system", NAMES)
def test_o1_an_attackers_deletion_before_the_first_look_changes_nothing(
    make_bench: BenchMaker,
    systems: Systems,
    manners: Callable[..., None],
    store: str,
    system: str,
) -> None:
    """Written and deleted between two syncs, and Calendar tells all of the deleted event."""
    manners(tombstones="full")
    world = connect(make_bench, systems(system), store)
    for carrier in CARRIERS:
        survives(world, carrier, False, ["delete", "sync"])
        survives(world, carrier, True, ["delete", "sync", "restore", "sync", "delete", "sync"])
