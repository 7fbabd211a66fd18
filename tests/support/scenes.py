"""Scenes to stop workers in: what is prepared, what is done, and how all of it must end.

Each scene has its calendars, its conferences and a store for itself. `work` is what may be stopped
anywhere, `meanwhile` is what people do while the worker is away, and `recover` is what the queue,
the clock and the people who ask again do afterwards.
"""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sandbox.world import SOLUTION
from sync.context import Services
from sync.errors import NotFound, SyncError
from sync.model.calendar import Access, Channel
from sync.model.conference import EventRef, FailureState
from sync.model.event import CalendarId, EventId
from sync.operate import calendars, create, maintenance, stopping
from sync.run import engine
from sync.run.lease import LEASE
from sync.store.sqlite import SqliteStore
from tests.support.bench import Bench, real_time, shown, timed
from tests.support.fates import ignored

Json = dict[str, Any]

_numbers = itertools.count(1)
WEEKLY = ["RRULE:FREQ=WEEKLY;COUNT=4"]


class Scene:
    """One calendar, Anna's, and whatever a scene adds. `rules` are those that it covers."""

    rules = ""

    def __init__(self, bench: Bench, directory: Path) -> None:
        bench.tasks.purge(bench.settings.queue)
        bench.clock.now = real_time()
        bench.conferencing.reset("bench-token")
        bench.calendar.faults.clear()
        bench.services.store.close()
        store = SqliteStore(str(directory / f"scene{next(_numbers)}.sqlite"))
        bench.services = bench.with_services(store=store)
        self.bench = bench
        self.anna = bench.watch(f"anna{next(_numbers)}")
        self.prepare()

    def prepare(self) -> None:
        raise NotImplementedError

    def work(self, worker: Bench) -> None:
        """The calendar's task, then every task that is due, graces and retries included."""
        self.attempt(lambda: worker.sync(self.anna))
        for seconds in (self.bench.settings.delete_grace.total_seconds() + 1, 31):
            worker.run_tasks(errors=ignored)
            self.bench.clock.advance(seconds)
        worker.run_tasks(errors=ignored)

    def meanwhile(self) -> None:
        """People do nothing."""

    def recover(self) -> None:
        """The queue brings again what was not answered, until there is nothing left to do, and a
        sync after that changes nothing: `outcome` would show it."""
        for again in range(4):
            self.bench.clock.advance(LEASE.total_seconds() + 61)
            self.attempt(lambda: self.bench.sync(self.anna))
            self.bench.run_tasks(errors=ignored)
            if again and not self.bench.waiting():
                break

    def outcome(self) -> Json:
        """What matters in the end: conferences by title, what is remembered, what waits."""
        document = self.bench.store.get_calendar(self.anna)
        state = document.value if document else None
        return {
            "conferences": self.conferences(),
            "created": self.bench.conferencing.created,
            "failures": self.bench.failures(self.anna),
            "state": state and (state.status, state.lease, state.failing, state.checkpoint),
            "waiting": [task.body for task in self.bench.due()],
        }

    def conferences(self) -> Json:
        told = ("start", "end", "recurrence")
        return {
            one["title"]: {name: one[name] for name in told}
            | {"occurrences": _titles(one["occurrences"])}
            for one in self.bench.conferencing.conferences.values()
        }

    @staticmethod
    def attempt(act: Any) -> None:
        """Do what may fail: it is asked for again."""
        try:
            act()
        except SyncError as error:
            ignored(error)

    def edit(self, event_id: EventId, **changes: Any) -> None:
        self.bench.calendar.edit(self.anna, event_id, changes)

    def add(self, title: str, shown: Json | None = None, **fields: Any) -> EventId:
        made = shown or self.bench.conference()[0]
        return self.bench.event(self.anna, made, summary=title, **fields)

    def occurrences(self, series: EventId) -> list[EventId]:
        """The ids of the second and the third occurrence of a weekly series."""
        event = self.bench.calendar.get(self.anna, series)
        assert event is not None
        start = datetime.fromisoformat(event["start"]["dateTime"])
        moments = [(start + timedelta(weeks=week)).astimezone(UTC) for week in (1, 2)]
        return [EventId(f"{series}_{moment:%Y%m%dT%H%M%SZ}") for moment in moments]


def _titles(occurrences: Json) -> Json:
    return {start: told and told.get("title") for start, told in occurrences.items()}


class Changed(Scene):
    """Events are moved, deleted, seen for the first time, and have their conference replaced."""

    rules = "E2, E3, E4, O2, S8"

    def prepare(self) -> None:
        self.events = {title: self.add(title) for title in ("moved", "deleted", "old")}
        self.stranger, _ = self.bench.conference(organizer="mallory@strangers.example")
        self.bench.sync(self.anna)
        self.bench.calendar.edit(self.anna, self.events["moved"], timed("16:00", "17:00"))
        self.bench.calendar.cancel(self.anna, self.events["deleted"])
        self.edit(self.events["old"], conferenceData=self.bench.conference()[0], summary="new")
        self.events["first sight"] = self.add("first sight")

    def meanwhile(self) -> None:
        self.bench.calendar.edit(self.anna, self.events["moved"], timed("17:00", "18:00"))
        self.edit(self.events["first sight"], summary="second sight")
        self.edit(self.events["old"], summary="newer")


class Lost(Scene):
    """The provider has lost a conference: it is created anew, and the event shows the new one."""

    rules = "C4, W1, W2, W4"

    def prepare(self) -> None:
        shown, conference_id = self.bench.conference()
        self.event = self.add("lost", shown)
        self.bench.sync(self.anna)
        self.bench.conferencing.forget(conference_id)
        self.edit(self.event, summary="found again")

    def meanwhile(self) -> None:
        changes = {"summary": "found again, later", **timed("18:00", "18:30")}
        self.bench.calendar.edit(self.anna, self.event, changes)

    def outcome(self) -> Json:
        event = str(self.bench.calendar.get(self.anna, self.event))
        shown = [one for one in self.bench.conferencing.conferences if one in event]
        return super().outcome() | {"shown": len(shown)}


class LostAndDeleted(Lost):
    """While it is created anew, its event is deleted: nothing is left."""

    rules = "C4, E2"

    def meanwhile(self) -> None:
        self.bench.calendar.cancel(self.anna, self.event)

    def recover(self) -> None:
        super().recover()
        self.bench.clock.advance(601)
        # A frozen worker may note its failure when the failure's task has run already.
        maintenance.maintain(self.bench.services)
        super().recover()

    def outcome(self) -> Json:
        # How many were made and deleted again depends on where the worker stopped.
        return super().outcome() | {"created": 0, "shown": 0}


class Series(Scene):
    """Of a series, one occurrence is renamed and one cancelled, before it was ever seen."""

    rules = "E5"

    def prepare(self) -> None:
        self.series = self.add("series", recurrence=WEEKLY)
        self.bench.sync(self.anna)
        first, second = self.occurrences(self.series)
        self.edit(first, summary="another name")
        self.bench.calendar.cancel(self.anna, second)

    def meanwhile(self) -> None:
        self.edit(self.occurrences(self.series)[0], summary="a third name")


class Shared(Scene):
    """Three events carry one conference. The leader is deleted, the next one given away (E6)."""

    rules = "E6, E7"

    def prepare(self) -> None:
        shown, _ = self.bench.conference()
        self.events = [self.add(title, shown) for title in ("one", "two", "three")]
        self.bench.sync(self.anna)
        self.bench.calendar.cancel(self.anna, self.events[0])
        self.edit(self.events[1], organizer={"email": "mallory@strangers.example"})

    def meanwhile(self) -> None:
        self.edit(self.events[2], summary="three, changed")


class Restored(Scene):
    """A deleted event is restored within the grace: it keeps its conference."""

    rules = "E2"

    def prepare(self) -> None:
        self.event = self.add("restored")
        self.bench.sync(self.anna)
        self.bench.calendar.cancel(self.anna, self.event)

    def meanwhile(self) -> None:
        self.bench.calendar.restore(self.anna, self.event)

    def outcome(self) -> Json:
        # Restored after the grace, its conference is created anew.
        return super().outcome() | {"created": 0}


class InFull(Scene):
    """The sync token is dead; an event was deleted meanwhile; two events fit on a page."""

    rules = "S3, S4"

    def prepare(self) -> None:
        self.events = [self.add(title) for title in ("a", "b", "c")]
        self.bench.sync(self.anna)
        self.edit(self.events[0], summary="a, changed")
        self.bench.calendar.cancel(self.anna, self.events[2])
        self.bench.calendar.expire_sync_tokens(self.anna)
        self.bench.calendar.settings.page_sizes = [2]

    def meanwhile(self) -> None:
        self.edit(self.events[1], summary="b, changed")

    def outcome(self) -> Json:
        self.bench.calendar.settings.page_sizes = None
        return super().outcome()


class Troubled(Scene):
    """One event is refused, another one fails for a while, and the third goes on."""

    rules = "C5"

    def prepare(self) -> None:
        events = [self.bench.conference() for _ in range(3)]
        for title, (data, _) in zip("abc", events, strict=True):
            self.add(title, data)
        faults = self.bench.conferencing.faults
        faults.add(method="PUT", path=events[0][1], status=422)
        faults.add(method="PUT", path=events[1][1], status=503)

    def recover(self) -> None:
        super().recover()
        for failure in self.bench.failures(self.anna, FailureState.PARKED):
            calendars.retry_failure(self.bench.services, failure.id)
        self.bench.clock.advance(601)
        # A frozen worker may note its failure when the failure's task has run already.
        maintenance.maintain(self.bench.services)
        super().recover()


class Started(Scene):
    """A calendar is started; it has an event already."""

    rules = "H1"

    def prepare(self) -> None:
        stopping.stop(self.bench.services, self.anna)
        self.bench.lose_tasks()
        self.add("there already")

    def work(self, worker: Bench) -> None:
        self.attempt(lambda: calendars.start(worker.services, self.anna, Access()))
        worker.run_tasks(errors=ignored)

    def recover(self) -> None:
        # The person asks again, and the clock looks.
        self.attempt(lambda: calendars.start(self.bench.services, self.anna, Access()))
        super().recover()
        self.bench.clock.advance(3600)
        maintenance.maintain(self.bench.services)
        self.bench.clock.advance(600)
        super().recover()
        for channel in self.bench.calendar.channels(self.anna):
            _rings(self.bench.services, self.anna, channel)

    def outcome(self) -> Json:
        document = self.bench.store.get_calendar(self.anna)
        recorded = document and document.value.channel and document.value.channel.id
        channels = [channel["id"] for channel in self.bench.calendar.channels(self.anna)]
        return super().outcome() | {"channels": len(channels), "ours": channels == [recorded]}


def _rings(services: Services, calendar_id: CalendarId, channel: Json) -> None:
    """A channel that is left over is stopped when it rings (H3)."""
    rang = Channel(id=channel["id"], resource_id=channel["resourceId"])
    try:
        engine.sync_calendar(services, calendar_id, rang)
    except NotFound:
        stopping.clean_up(services, calendar_id, None, rang)


class Renewed(Started):
    """The channel is about to expire."""

    rules = "H2"

    def prepare(self) -> None:
        self.add("there already")
        self.bench.sync(self.anna)
        self.bench.clock.advance(86400 * 8)

    def work(self, worker: Bench) -> None:
        self.attempt(lambda: maintenance.maintain(worker.services))


class Stopped(Scene):
    """A calendar is stopped whose event leads a conference that another calendar's carries, too."""

    rules = "H3, H4, E7"

    def prepare(self) -> None:
        self.team = self.bench.watch(f"team{next(_numbers)}")
        shown, _ = self.bench.conference()
        self.events = [self.add("anna's", shown)]
        self.bench.sync(self.anna)
        self.events.append(self.bench.event(self.team, shown, summary="the team's"))
        self.bench.sync(self.team)
        self.edit(self.events[0], summary="anna's, changed")

    def work(self, worker: Bench) -> None:
        self.attempt(lambda: worker.sync(self.anna))
        self.attempt(lambda: stopping.stop(worker.services, self.anna))
        worker.run_tasks(errors=ignored)

    def recover(self) -> None:
        stopping.stop(self.bench.services, self.anna)
        for _ in range(3):
            self.bench.clock.advance(LEASE.total_seconds() + 61)
            self.attempt(lambda: self.bench.sync(self.team))
            self.bench.run_tasks(errors=ignored)
        for channel in self.bench.calendar.channels(self.anna):
            _rings(self.bench.services, self.anna, channel)

    def outcome(self) -> Json:
        link = self.bench.link(self.team, self.events[1])
        return super().outcome() | {
            "channels": self.bench.calendar.channels(self.anna),
            "links": list(self.bench.store.links_of_calendar(self.anna)),
            "leads": link is not None and link.leading,
        }


class Picked(Scene):
    """The add-on asks for a conference, and the person saves the event, or never does."""

    rules = "A2, A3, A5"
    saved = True

    def prepare(self) -> None:
        self.order = create.Order(
            event=EventRef(calendar_id=self.anna, event_id=EventId("picked")),
            solution=SOLUTION,
            provider="my-web",
            user=self.anna,
        )

    def work(self, worker: Bench) -> None:
        self.attempt(lambda: self._ask(worker.services))

    def _ask(self, services: Services) -> str:
        give_up = time.monotonic() + 30
        given = create.conference_for(services, self.order, None, give_up=give_up)
        return str(given.way_in.conference_id)

    def recover(self) -> None:
        self.bench.clock.advance(LEASE.total_seconds())
        if self.saved:
            made = self._ask(self.bench.services)
            self.bench.event(self.anna, shown(made), id="picked", summary="picked")
        super().recover()
        self.bench.clock.advance(self.bench.settings.adopt.total_seconds())
        super().recover()
        self.bench.clock.advance(3600)
        maintenance.maintain(self.bench.services)
        super().recover()

    def outcome(self) -> Json:
        return super().outcome() | ({} if self.saved else {"created": 0})


class PickedInVain(Picked):
    """The form is closed without saving."""

    rules = "A5"
    saved = False


SCENES: tuple[type[Scene], ...] = (
    Changed,
    Lost,
    LostAndDeleted,
    Series,
    Shared,
    Restored,
    InFull,
    Troubled,
    Started,
    Renewed,
    Stopped,
    Picked,
    PickedInVain,
)
