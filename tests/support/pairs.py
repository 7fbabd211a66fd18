"""Pairs of workers at once, for `turns`: on one calendar, and on two that share a conference.

A deed is what one request does: a run, a start, a stop, a renewal, a conference for the add-on.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sandbox.systems import SOLUTION
from sync.errors import Conflict, LeaseHeld, LeaseLost, NotFound, SyncError, TryLater
from sync.model.calendar import Access, Channel
from sync.model.conference import EventRef
from sync.model.event import CalendarId, EventId
from sync.operate import calendars, channels, create, stopping
from sync.run import engine
from sync.run.lease import LEASE
from sync.store.sqlite import SqliteStore
from tests.support.bench import Bench, real_time
from tests.support.fates import Fate, Touched, ignored, touched
from tests.support.turns import Pair

Deed = Callable[[Bench, CalendarId], object]
# What a second deed may be told while a first one is at work: it is asked for again.
_BUSY = (LeaseHeld, LeaseLost, Conflict, NotFound, TryLater)

_numbers = itertools.count(1)


def run(worker: Bench, anna: CalendarId) -> None:
    worker.sync(anna)
    worker.run_tasks(errors=ignored)


def start(worker: Bench, anna: CalendarId) -> None:
    calendars.start(worker.services, anna, Access())


def stop(worker: Bench, anna: CalendarId) -> None:
    stopping.stop(worker.services, anna)


def renew(worker: Bench, anna: CalendarId) -> None:
    channels.open_channel(worker.services, anna, Access())


def pick(worker: Bench, anna: CalendarId) -> None:
    order = create.Order(
        event=EventRef(calendar_id=anna, event_id=EventId("picked")),
        solution=SOLUTION,
        provider="my-web",
        user=anna,
    )
    create.conference_for(worker.services, order, None, give_up=time.monotonic() + 1)


DEEDS: tuple[tuple[Deed, Deed], ...] = (
    (run, run),
    (run, start),
    (run, stop),
    (run, renew),
    (run, pick),
    (start, run),
    (start, start),
    (start, stop),
    (start, renew),
    (start, pick),
    (stop, run),
    (stop, start),
    (stop, stop),
    (stop, renew),
    (stop, pick),
    (renew, run),
    (renew, start),
    (renew, stop),
    (renew, renew),
    (pick, run),
    (pick, stop),
    (pick, pick),
)


def _fresh(bench: Bench, directory: Path) -> int:
    """Give a bench a store of its own, with nothing in it. Returns a number for new names."""
    number = next(_numbers)
    bench.tasks.purge(bench.settings.queue)
    bench.clock.now = real_time()
    bench.conferencing.reset(bench.conferencing.secret["token"])
    bench.services.store.close()
    store = SqliteStore(str(directory / f"pair{number}.sqlite"))
    bench.services = bench.with_services(store=store)
    return number


def _worker(bench: Bench, fate: Fate) -> Bench:
    """The same bench as another process sees it. To look at the queue is one of its calls."""
    worker = copy.copy(bench)
    worker.services = touched(bench.services, fate)
    tasks: Any = Touched(bench.tasks, fate, "tasks")
    worker.tasks = tasks
    return worker


class OneCalendar:
    """Two deeds at once for Anna's calendar, in which something is to do.

    `lapsing`: whenever the turn changes, the leases lapse and people rename an event. So a worker
    stands still until another one has taken over, and goes on with what is out of date (S8).
    """

    def __init__(
        self, bench: Bench, directory: Path, deeds: tuple[Deed, Deed], *, lapsing: bool = False
    ) -> None:
        number = _fresh(bench, directory)
        self.bench, self._deeds, self._lapsing = bench, deeds, lapsing
        self.anna = bench.watch(f"pair{number}")
        self.title, self._changes = "one, changed", 0
        self.events = [self._add(title) for title in ("one", "two")]
        bench.sync(self.anna)
        bench.calendar.edit(self.anna, self.events[0], {"summary": self.title})
        bench.calendar.cancel(self.anna, self.events[1])
        self.events.append(self._add("three"))
        # A start of a calendar that is started opens no channel: there is more to see at a new one.
        self._begins_stopped = deeds[0] is start
        if self._begins_stopped:
            stopping.stop(bench.services, self.anna)
            bench.lose_tasks()

    def _add(self, title: str) -> EventId:
        return self.bench.event(self.anna, self.bench.conference()[0], summary=title)

    def work(self, worker: int, fate: Fate) -> None:
        try:
            self._deeds[worker](_worker(self.bench, fate), self.anna)
        except _BUSY:
            return

    def at_change(self) -> None:
        if self._lapsing:
            self._changes += 1
            self.title = f"one, changed {self._changes} times more"
            self.bench.calendar.edit(self.anna, self.events[0], {"summary": self.title})
            self.bench.clock.advance(LEASE.total_seconds() + 1)

    def check(self) -> None:
        """What holds whatever came first. Then the calendar is started again, and is in step."""
        stopped = self._begins_stopped or stop in self._deeds
        self._go_on()
        document = self.bench.store.get_calendar(self.anna)
        if document is None:
            assert stopped, "nobody stopped the calendar, and it is gone"
            assert not [one for one in self._links() if one.leading], "a forgotten link leads (H4)"
            assert not self._channels(), "a stopped calendar has a channel"
        self.bench.calendar.grant_access(self.anna)
        calendars.start(self.bench.services, self.anna, Access())
        self._go_on()
        document = self.bench.store.get_calendar(self.anna)
        assert document is not None, "the calendar is not started in the end"
        state = document.value
        assert (state.lease, state.opening, state.failing) == (None, None, None), state
        recorded = [state.channel.id if state.channel else None]
        assert self._channels() == recorded, f"{self._channels()} are open, {recorded} is recorded"
        titles = {one["title"] for one in self.bench.conferencing.conferences.values()}
        assert {self.title, "three"} <= titles, f"the conferences are called {titles}"
        # A calendar that was stopped does not look after what it let go (H3).
        allowed = {self.title, "three"} | ({"two"} if stopped else set())
        assert titles <= allowed, f"the conferences are called {titles}"
        assert self.bench.failures(self.anna) == []

    def _go_on(self) -> None:
        """The queue and the clock go on; what is left over rings and is stopped (H3)."""
        for seconds in (61, 121, self.bench.settings.adopt.total_seconds(), 61):
            self.bench.clock.advance(seconds)
            self.bench.run_tasks(errors=ignored)
            try:
                self.bench.sync(self.anna)
            except SyncError as error:
                ignored(error)
        for channel in self.bench.calendar.channels(self.anna):
            rang = Channel(id=channel["id"], resource_id=channel["resourceId"])
            try:
                engine.sync_calendar(self.bench.services, self.anna, rang)
            except NotFound:
                stopping.clean_up(self.bench.services, self.anna, None, rang)

    def _links(self) -> list[Any]:
        return [link.value for link in self.bench.store.links_of_calendar(self.anna)]

    def _channels(self) -> list[str]:
        return [channel["id"] for channel in self.bench.calendar.channels(self.anna)]


class Shared:
    """A run for Anna's calendar and one for the team's, which share a conference.

    `swapped`: the team's worker is the first. `lapsing`: the leases lapse whenever the turn
    changes.
    """

    def __init__(
        self, bench: Bench, directory: Path, *, swapped: bool = False, lapsing: bool = False
    ) -> None:
        number = _fresh(bench, directory)
        self.bench, self._lapsing = bench, lapsing
        self.anna, self.team = bench.watch(f"anna{number}"), bench.watch(f"team{number}")
        self.data, self.conference_id = bench.conference()
        self.prepare()
        bench.forget_calls()
        self._order = (self.team, self.anna) if swapped else (self.anna, self.team)

    def prepare(self) -> None:
        raise NotImplementedError

    def in_step(self) -> None:
        """Raise AssertionError for what is not as it must be."""
        raise NotImplementedError

    def copy(self, calendar_id: CalendarId, **fields: Any) -> EventId:
        """Add an event that Anna made: she is the conference's host in either calendar (O2)."""
        creator = {"email": self.anna}
        return self.bench.event(calendar_id, self.data, creator=creator, **fields)

    def two_copies(self) -> tuple[EventId, EventId]:
        """Anna's event, which leads, and the team's, both in step."""
        one = self.copy(self.anna, summary="One")
        two = self.copy(self.team, summary="Two")
        self.bench.sync(self.anna)
        self.bench.sync(self.team)
        return one, two

    def work(self, worker: int, fate: Fate) -> None:
        self.work_on(self._order[worker], fate)

    def work_on(self, calendar_id: CalendarId, fate: Fate) -> None:
        """One run; what fails is brought again at the end."""
        try:
            engine.sync_calendar(touched(self.bench.services, fate), calendar_id)
        except SyncError as error:
            ignored(error)

    def at_change(self) -> None:
        if self._lapsing:
            self.bench.clock.advance(LEASE.total_seconds() + 1)

    def check(self) -> None:
        """The queue goes on until nothing is left to do. Then all must be in step."""
        for _ in range(6):
            for calendar_id in (self.anna, self.team):
                try:
                    self.bench.sync(calendar_id)
                except SyncError as error:
                    ignored(error)
            self.bench.run_tasks(errors=ignored)
            self.bench.clock.advance(61)
        self.in_step()


class Moved(Shared):
    """An event leaves Anna's calendar for the team's."""

    def prepare(self) -> None:
        self.event = self.copy(self.anna, summary="Wandering")
        self.bench.sync(self.anna)
        self.bench.calendar.move(self.anna, self.event, self.team)

    def in_step(self) -> None:
        bench, link = self.bench, self.bench.link(self.team, self.event)
        assert link is not None, "the moved event has no link"
        assert link.carried is not None, "the moved event carries nothing"
        carried = link.carried.conference.conference_id
        assert link.leading, "the moved event does not lead"
        assert bench.link(self.anna, self.event) is None, "its old place is remembered"
        found = list(bench.conferencing.conferences)
        assert found == [carried], f"{found} are there, {carried} is carried"
        if bench.settings.delete_grace:
            # Without a grace, the tombstone alone may be seen first, and its conference goes at
            # once.
            assert carried == self.conference_id, "the moved event has another conference"
            assert bench.calls("DELETE") == []
            assert bench.calls("POST") == []


class BothGone(Shared):
    """An event and its copy in the other calendar are deleted at the same moment."""

    def prepare(self) -> None:
        self.one, self.two = self.two_copies()
        self.bench.calendar.cancel(self.anna, self.one)
        self.bench.calendar.cancel(self.team, self.two)

    def in_step(self) -> None:
        assert self.bench.conferencing.conferences == {}
        assert self.bench.link(self.anna, self.one) is None
        assert self.bench.link(self.team, self.two) is None


class LeaderGone(Shared):
    """The leading event is deleted while its copy in the other calendar is edited."""

    def prepare(self) -> None:
        one, self.two = self.two_copies()
        self.bench.calendar.cancel(self.anna, one)
        self.bench.calendar.edit(self.team, self.two, {"summary": "Two, changed"})

    def in_step(self) -> None:
        titles = [one["title"] for one in self.bench.conferencing.conferences.values()]
        assert titles == ["Two, changed"]
        assert self.bench.calls("DELETE") == []
        link = self.bench.link(self.team, self.two)
        assert link is not None, "the copy has no link"
        assert link.leading, "the copy does not lead"


class LeaderStopped(LeaderGone):
    """Anna's calendar, whose event leads, is stopped while the copy is edited."""

    def prepare(self) -> None:
        self.one, self.two = self.two_copies()
        self.bench.calendar.edit(self.anna, self.one, {"summary": "One, changed"})
        self.bench.calendar.edit(self.team, self.two, {"summary": "Two, changed"})

    def work_on(self, calendar_id: CalendarId, fate: Fate) -> None:
        if calendar_id == self.team:
            super().work_on(calendar_id, fate)
        else:
            stopping.stop(touched(self.bench.services, fate), calendar_id)

    def in_step(self) -> None:
        super().in_step()
        assert self.bench.link(self.anna, self.one) is None, "a forgotten link is left (H4)"


class FirstSight(Shared):
    """Two copies are seen for the first time at the same moment."""

    def prepare(self) -> None:
        self.events = {
            (self.anna, self.copy(self.anna, summary="One")),
            (self.team, self.copy(self.team, summary="Two")),
        }

    def in_step(self) -> None:
        leaders = [one for one in self.events if (link := self.bench.link(*one)) and link.leading]
        assert len(leaders) == 1, f"{leaders} lead"
        event = self.bench.calendar.get(*leaders[0])
        assert event is not None
        [stored] = self.bench.conferencing.conferences.values()
        assert stored["title"] == event["summary"], f"{stored['title']}, led by {event['summary']}"


class Lost(Shared):
    """The conference is gone at the provider, and both events that carry it are edited."""

    def prepare(self) -> None:
        one, two = self.two_copies()
        self.events = ((self.anna, one), (self.team, two))
        self.bench.conferencing.forget(self.conference_id)
        self.bench.calendar.edit(self.anna, one, {"summary": "One, changed"})
        self.bench.calendar.edit(self.team, two, {"summary": "Two, changed"})

    def in_step(self) -> None:
        assert self.bench.conferencing.created == 1
        [(created, stored)] = self.bench.conferencing.conferences.items()
        assert stored["title"] == "One, changed"
        for one in self.events:
            event = self.bench.calendar.get(*one)
            assert event is not None
            assert created in event["location"], f"{one} does not show {created}"


SHARED: tuple[type[Shared], ...] = (Moved, BothGone, LeaderGone, LeaderStopped, FirstSight, Lost)


def named(deeds: tuple[Deed, Deed]) -> str:
    return "-".join(deed.__name__ for deed in deeds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A pair with all that it is played with. `reduced`: see `turns.every_order`."""

    name: str
    grace: str
    make: Callable[[Bench, Path], Pair]
    reduced: bool


def all_pairs() -> dict[str, Staged]:
    """Every pair, by its name: `run-stop`, `run-stop lapsing`, `Moved 30 anna` and so on."""
    found = [
        Staged(
            name=named(deeds) + (" lapsing" if lapsing else ""),
            grace="60",
            make=partial(OneCalendar, deeds=deeds, lapsing=lapsing),
            reduced=not lapsing,
        )
        for deeds in DEEDS
        for lapsing in (False, True)
    ]
    found += [
        Staged(
            name=f"{scene.__name__} {grace} {first}" + (" lapsing" if lapsing else ""),
            # A grace that ends while both stand still saves nothing.
            grace="240" if lapsing and grace != "0" else grace,
            make=partial(scene, swapped=first == "team", lapsing=lapsing),
            reduced=not lapsing,
        )
        for scene in SHARED
        for grace in ("0", "30")
        for first in ("anna", "team")
        for lapsing in (False, True)
    ]
    return {staged.name: staged for staged in found}
