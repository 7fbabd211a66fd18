"""E7, E2, C4: two workers on two calendars that share a conference, interleaved at every call of
the store."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from sync.errors import SyncError
from sync.model.event import CalendarId, EventId
from sync.run import engine
from tests.support.bench import Bench, BenchMaker


class Stepped:
    """A store that stops before each call until it is this worker's turn."""

    def __init__(self, store: Any, before: Callable[[], None]) -> None:
        self._store, self._before = store, before

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._store, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._before()
            return value(*args, **kwargs)

        return call if callable(value) else value


class Scene:
    """Two calendars, and a conference that is about to change hands between them."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.anna, self.team = bench.watch("anna"), bench.watch("team")
        self.data, self.conference_id = bench.conference()

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

    def work(self, calendar_id: CalendarId, before: Callable[[], None]) -> None:
        """One worker's run, and its event's task if there is one; what fails is brought again at
        the end."""
        services = self.bench.with_services(store=Stepped(self.bench.store, before))
        try:
            engine.sync_calendar(services, calendar_id)
        except SyncError:
            return

    def settle(self) -> None:
        """The queue goes on until nothing is left to do."""
        bench = self.bench
        for _ in range(6):
            for calendar_id in (self.anna, self.team):
                try:
                    bench.sync(calendar_id)
                except SyncError:
                    continue
            bench.run_tasks(errors=ignored)
            bench.clock.advance(61)


def moved(bench: Bench) -> tuple[Scene, Callable[[], None]]:
    """An event leaves Anna's calendar for the team's."""
    scene = Scene(bench)
    event_id = scene.copy(scene.anna, summary="Wandering")
    bench.sync(scene.anna)
    bench.calendar.move(scene.anna, event_id, scene.team)

    def check() -> None:
        link = bench.link(scene.team, event_id)
        assert link is not None
        assert link.carried is not None
        carried = link.carried.conference.conference_id
        assert link.leading
        assert bench.link(scene.anna, event_id) is None
        assert list(scene_conferences(bench)) == [carried]
        if bench.settings.delete_grace:
            # Without a grace, the tombstone alone may be seen first, and its conference goes at
            # once.
            assert carried == scene.conference_id
            assert bench.calls("DELETE") == []
            assert bench.calls("POST") == []

    return scene, check


def both_gone(bench: Bench) -> tuple[Scene, Callable[[], None]]:
    """An event and its copy in the other calendar are deleted at the same moment."""
    scene = Scene(bench)
    one, two = scene.two_copies()
    bench.calendar.cancel(scene.anna, one)
    bench.calendar.cancel(scene.team, two)

    def check() -> None:
        assert scene_conferences(bench) == {}
        assert bench.link(scene.anna, one) is None
        assert bench.link(scene.team, two) is None

    return scene, check


def leader_gone(bench: Bench) -> tuple[Scene, Callable[[], None]]:
    """The leading event is deleted while its copy in the other calendar is edited."""
    scene = Scene(bench)
    one, two = scene.two_copies()
    bench.calendar.cancel(scene.anna, one)
    bench.calendar.edit(scene.team, two, {"summary": "Two, changed"})

    def check() -> None:
        assert {one["title"] for one in scene_conferences(bench).values()} == {"Two, changed"}
        assert bench.calls("DELETE") == []
        link = bench.link(scene.team, two)
        assert link is not None
        assert link.leading

    return scene, check


def lost(bench: Bench) -> tuple[Scene, Callable[[], None]]:
    """The conference is gone at the provider, and both events that carry it are edited."""
    scene = Scene(bench)
    one, two = scene.two_copies()
    bench.conferencing.forget(scene.conference_id)
    bench.calendar.edit(scene.anna, one, {"summary": "One, changed"})
    bench.calendar.edit(scene.team, two, {"summary": "Two, changed"})

    def check() -> None:
        assert bench.conferencing.created == 1
        [(created, stored)] = scene_conferences(bench).items()
        assert stored["title"] == "One, changed"
        for calendar_id, event_id in ((scene.anna, one), (scene.team, two)):
            event = bench.calendar.get(calendar_id, event_id)
            assert event is not None
            assert created in event["location"]

    return scene, check


def scene_conferences(bench: Bench) -> dict[str, Any]:
    return dict(bench.conferencing.conferences)


def ignored(error: SyncError) -> None:
    """The queue brings the task again."""


SCENES = [moved, both_gone, leader_gone, lost]


def fresh(make_bench: BenchMaker, grace: str) -> Bench:
    bench = make_bench(SYNC_CONCURRENCY="1", SYNC_DELETE_GRACE_SECONDS=grace)
    bench.conferencing.reset("bench-token")
    return bench


@pytest.mark.parametrize("grace", ["0", "30"])
@pytest.mark.parametrize("scene_of", SCENES)
@pytest.mark.parametrize("first", ["anna", "team"])
@pytest.mark.timeout(300)
def test_e7_one_worker_does_all_its_work_between_two_calls_of_the_other(
    make_bench: BenchMaker, scene_of: Callable[[Bench], Any], first: str, grace: str
) -> None:
    """Whichever call of the store it falls before, nothing is lost, deleted while referred to,
    or made twice."""
    for place in range(1, 200):
        bench = fresh(make_bench, grace)
        scene, check = scene_of(bench)
        bench.forget_calls()
        calendars = (scene.anna, scene.team) if first == "anna" else (scene.team, scene.anna)
        interruption = Interruption(scene, calendars[1], place)
        scene.work(calendars[0], interruption.before)
        scene.settle()
        check()
        bench.services.close()
        if interruption.seen < place:
            assert place > 4
            return
    pytest.fail("the run never ends")


class Interruption:
    """The other worker's whole run, before the n-th call of this one."""

    def __init__(self, scene: Scene, calendar_id: CalendarId, place: int) -> None:
        self._scene, self._calendar_id, self._place = scene, calendar_id, place
        self.seen = 0

    def before(self) -> None:
        self.seen += 1
        if self.seen == self._place:
            self._scene.work(self._calendar_id, lambda: None)


class Turns:
    """Lets two threads through one call at a time, in an order drawn by chance."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._condition = threading.Condition()
        self._waiting: set[int] = set()
        self._running = {0, 1}
        self._turn: int | None = None

    def run(self, worker: int, scene: Scene, calendar_id: CalendarId) -> None:
        try:
            scene.work(calendar_id, lambda: self._before(worker))
        finally:
            self._ended(worker)

    def _before(self, worker: int) -> None:
        with self._condition:
            self._waiting.add(worker)
            self._draw()
            self._condition.wait_for(lambda: self._turn == worker, timeout=10)
            self._waiting.discard(worker)
            self._turn = None

    def _ended(self, worker: int) -> None:
        with self._condition:
            self._running.discard(worker)
            self._draw()

    def _draw(self) -> None:
        """Everybody who still runs stands before a call: one of them may go on."""
        if self._turn is None and self._waiting and self._waiting == self._running:
            self._turn = self._random.choice(sorted(self._waiting))
            self._condition.notify_all()


@pytest.mark.parametrize("grace", ["0", "30"])
@pytest.mark.parametrize("scene_of", SCENES)
@pytest.mark.timeout(300)
def test_e7_two_workers_in_any_order_of_their_calls(
    make_bench: BenchMaker, scene_of: Callable[[Bench], Any], grace: str
) -> None:
    """Two threads, every call of the store in an order drawn by chance; six orders for each
    scene."""
    for seed in range(6):
        bench = fresh(make_bench, grace)
        scene, check = scene_of(bench)
        bench.forget_calls()
        turns = Turns(seed)

        threads = [
            threading.Thread(target=turns.run, args=(worker, scene, calendar_id))
            for worker, calendar_id in enumerate((scene.anna, scene.team))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        scene.settle()
        check()
        bench.services.close()
