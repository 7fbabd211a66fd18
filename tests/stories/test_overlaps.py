"""S1, H1-H4, A3: two deeds for one calendar at the same moment, in every order of their calls.

A deed is what one request does: a run, a start, a stop, a renewal, a conference for the add-on. One
is interrupted before each of its calls to the store, the queue, the provider and Calendar, and
another one does all its work there; or, where the two are short, stands still at each of its own
calls until the first has ended. So all orders with one, or two, changes between them are tried.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.systems import SOLUTION
from sync.errors import Conflict, LeaseHeld, LeaseLost, NotFound, SyncError, TryLater
from sync.model.calendar import Access, Channel
from sync.model.conference import EventRef
from sync.model.event import CalendarId, EventId
from sync.operate import calendars, channels, create, stopping
from sync.run import engine
from sync.store.sqlite import SqliteStore
from tests.support.bench import Bench, BenchMaker, real_time
from tests.support.fates import Freeze, Witness, ignored, touched

Deed = Callable[[Bench, CalendarId], object]
# What a second deed may be told while a first one is at work: it is asked for again.
_BUSY = (LeaseHeld, LeaseLost, Conflict, NotFound, TryLater)


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


class Place:
    """Anna's calendar, in which something is to do, on a store of its own."""

    numbers = iter(range(1, 1_000_000))

    def __init__(self, bench: Bench, directory: Path, *, started: bool) -> None:
        bench.lose_tasks()
        bench.clock.now = real_time()
        bench.conferencing.reset("bench-token")
        bench.services.store.close()
        number = next(self.numbers)
        store = SqliteStore(str(directory / f"overlap{number}.sqlite"))
        bench.services = bench.with_services(store=store)
        self.bench = bench
        self.anna = bench.watch(f"overlap{number}")
        self.events = [self._add(title) for title in ("one", "two")]
        bench.sync(self.anna)
        bench.calendar.edit(self.anna, self.events[0], {"summary": "one, changed"})
        bench.calendar.cancel(self.anna, self.events[1])
        self.events.append(self._add("three"))
        if not started:
            stopping.stop(bench.services, self.anna)
            bench.lose_tasks()

    def _add(self, title: str) -> EventId:
        return self.bench.event(self.anna, self.bench.conference()[0], summary=title)

    def do(self, deed: Deed, fate: Any) -> None:
        worker = copy.copy(self.bench)
        worker.services = touched(self.bench.services, fate)
        try:
            deed(worker, self.anna)
        except _BUSY:
            return

    def check(self, *, stopped: bool) -> None:
        """What holds whatever came first. Then the calendar is started again, and is in step."""
        self._go_on()
        document = self.bench.store.get_calendar(self.anna)
        if document is None:
            assert stopped, "nobody stopped the calendar, and it is gone"
            assert not [one for one in self._links() if one.leading], "a forgotten link leads (H4)"
            assert not self._channels()
        self.bench.calendar.grant_access(self.anna)
        calendars.start(self.bench.services, self.anna, Access())
        self._go_on()
        document = self.bench.store.get_calendar(self.anna)
        assert document is not None
        state = document.value
        assert (state.lease, state.opening, state.failing) == (None, None, None)
        assert self._channels() == [state.channel.id if state.channel else None]
        titles = {one["title"] for one in self.bench.conferencing.conferences.values()}
        assert {"one, changed", "three"} <= titles
        # A calendar that was stopped does not look after what it let go (H3).
        assert titles <= {"one, changed", "three"} | ({"two"} if stopped else set())
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


class Interrupted(Witness):
    """Another deed begins before one of the calls. `struck` tells whether it did."""

    def __init__(self, at: int, other: Callable[[], None]) -> None:
        super().__init__()
        self._at, self._other = at, other
        self.struck = False

    def before(self, name: str) -> None:
        super().before(name)
        if len(self.touched) == self._at + 1 and not self.struck:
            self.struck = True
            self._other()


PAIRS: list[tuple[Deed, Deed]] = [
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
]
# Deeds that are short enough for every order with two changes.
SHORT: list[tuple[Deed, Deed]] = [
    (start, start),
    (start, stop),
    (stop, start),
    (renew, renew),
    (renew, start),
    (pick, pick),
]


def _named(pair: Any) -> str:
    return "-".join(deed.__name__ for deed in pair)


def _begins_started(pair: tuple[Deed, Deed]) -> bool:
    """A start of a calendar that is started opens no channel: there is more to see at a new one."""
    return pair[0] is not start


@pytest.mark.timeout(600)
@pytest.mark.parametrize("pair", PAIRS, ids=_named)
def test_h4_one_deed_is_done_between_two_calls_of_another(
    make_bench: BenchMaker, tmp_path: Path, pair: tuple[Deed, Deed]
) -> None:
    """Before whichever call: one channel lives and is recorded, nothing forgotten leads, no
    conference is made twice, and a start that succeeded last wins."""
    bench = make_bench(SYNC_CONCURRENCY="1")
    place, struck = 0, True
    while struck:
        scene = Place(bench, tmp_path, started=_begins_started(pair))
        fate = Interrupted(place, lambda scene=scene: scene.do(pair[1], Witness()))  # type: ignore[misc]
        scene.do(pair[0], fate)
        if not fate.struck:
            scene.do(pair[1], Witness())
        _check(scene, pair, f"before call {place} of {fate.touched}")
        place, struck = place + 1, fate.struck
    assert place > 4
    print(f"{_named(pair)}: {place} orders")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("pair", SHORT, ids=_named)
def test_h4_two_short_deeds_in_every_order_with_two_changes(
    make_bench: BenchMaker, tmp_path: Path, pair: tuple[Deed, Deed]
) -> None:
    """The second stands still at each of its calls until the first has ended."""
    bench = make_bench(SYNC_CONCURRENCY="1")
    place, struck, orders = 0, True, 0
    while struck:
        rest, froze = 0, True
        while froze:
            scene = Place(bench, tmp_path, started=_begins_started(pair))
            other = Paused(scene, pair[1], rest)
            fate = Interrupted(place, other.begin)
            scene.do(pair[0], fate)
            froze = other.end()
            _check(scene, pair, f"before call {place} of {fate.touched}, and {rest} of the other")
            rest, orders, struck = rest + 1, orders + 1, fate.struck
            froze = froze and struck
        place += 1
    assert orders > 16
    print(f"{_named(pair)}: {orders} orders")


class Paused:
    """A deed in a thread of its own, which stands still at one of its calls."""

    def __init__(self, scene: Place, deed: Deed, at: int) -> None:
        self._scene, self._deed = scene, deed
        self._fate = Freeze(at)
        self._ended = threading.Event()
        self._begun = self._froze = False

    def begin(self) -> None:
        self._begun = True
        threading.Thread(target=self._live, daemon=True).start()
        assert self._fate.reached.wait(60), "the other deed neither ended nor stood still"
        self._froze = not self._ended.is_set()

    def _live(self) -> None:
        try:
            self._scene.do(self._deed, self._fate)
        finally:
            self._ended.set()
            self._fate.reached.set()

    def end(self) -> bool:
        """Let it go on to its end. Returns whether it stood still at all."""
        self._fate.thaw()
        assert not self._begun or self._ended.wait(60), "the other deed does not end"
        return self._froze


def _check(scene: Place, pair: tuple[Deed, Deed], when: str) -> None:
    try:
        scene.check(stopped=stop in pair or not _begins_started(pair))
    except AssertionError as error:
        raise AssertionError(f"{_named(pair)}, {when}: {error}") from error
