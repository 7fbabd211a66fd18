"""What each thing that can happen costs, counted where it leaves us: at the wire, or at the store.

It is what one notification, one hour or one deletion sets going. The real intake, engine and
maintenance run against the stand-ins, with a clock that is turned, so the counts are the same on
every machine.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sync import config
from sync.intake import receive as intake
from sync.intake.notifications import sign
from sync.model.event import CalendarId
from sync.operate import maintenance
from sync.store import DropConference, DropLink
from tests.benchmarks.parts import KEY, Parts, plain, stand_ins
from tests.support.bench import Bench


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """How many operations of each kind something takes.

    `receive` and `sync` are requests of these functions, `creates` calls of CreateTask (refused
    ones too, for they are billed), `deliveries` attempts of the queue. `reads`, `writes` and
    `deletes` are documents, as Firestore bills them: an empty query is one read.
    """

    receive: float = 0
    creates: float = 0
    deliveries: float = 0
    sync: float = 0
    calendar: float = 0
    reads: float = 0
    writes: float = 0
    deletes: float = 0
    provider: float = 0
    secrets: float = 0

    def __add__(self, other: Operations) -> Operations:
        mine, its = asdict(self), asdict(other)
        return Operations(**{name: mine[name] + its[name] for name in mine})

    def __mul__(self, times: float) -> Operations:
        return Operations(**{name: count * times for name, count in asdict(self).items()})

    def __sub__(self, other: Operations) -> Operations:
        return self + other * -1


class Documents:
    """Passes every call on to a store, and counts the documents that Firestore would bill.

    `operations` grows while it is used.
    """

    def __init__(self, real: Any) -> None:
        self._real = real
        self.operations = Operations()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._real, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = value(*args, **kwargs)
            self.operations += _billed(name, args, result)
            return result

        def walked(*args: Any, **kwargs: Any) -> Iterator[Any]:
            found = 0
            for each in value(*args, **kwargs):
                found += 1
                yield each
            self.operations += Operations(reads=max(1, found))

        return walked if name == "links_of_calendar" else call


def _billed(name: str, args: tuple[Any, ...], result: Any) -> Operations:
    """The documents of one call.

    https://cloud.google.com/firestore/pricing: a document that is not there is a read, a query
    that finds nothing is one, and a count is one for each thousand entries of an index.
    """
    match name:
        case "get_calendar" | "get_conference" | "get_failure":
            return Operations(reads=1)
        case "get_known":
            return Operations(reads=2 * len(args[1]))  # a link and a failure
        case "links_of_conference":
            return Operations(reads=max(1, len(result)))
        case "list_calendars" | "list_failures" | "failures_due":
            return Operations(reads=max(1, len(result.items)))
        case "links_due":
            # Three more queries look for what the previous version wrote, and find nothing.
            return Operations(reads=max(1, len(result.items)) + 3)
        case "count_failures" | "count_calendars" | "count_failing_calendars":
            return Operations(reads=1)
        case "create_calendar" | "update_calendar" | "put_failure":
            return Operations(writes=1)
        case "mark_seen":
            return Operations(writes=len(args[1]))
        case "delete_failure" | "delete_calendar":
            return Operations(deletes=1)
        case "commit":
            drops = sum(isinstance(write, DropLink | DropConference) for write in args[0])
            return Operations(writes=len(args[0]) - drops, deletes=drops)
    raise AssertionError(f"{name} is counted nowhere")


class Way:
    """A worker whose operations are counted: `count` tells those of whatever is done meanwhile."""

    def __init__(self, parts: Parts, bench: Bench) -> None:
        self.parts, self.bench = parts, bench
        # Ten seconds, the default: `parts` has the bursts of others in mind.
        self.intake = replace(
            intake.Intake.from_settings(bench.settings), coalesce=timedelta(seconds=10)
        )
        self._received = self._delivered = 0

    def ring(self, calendar_id: CalendarId) -> None:
        """One notification of a calendar, through the real intake."""
        self._received += 1
        headers = {
            "X-Goog-Channel-ID": "channel",
            "X-Goog-Channel-Token": sign([KEY], "channel", calendar_id),
            "X-Goog-Resource-State": "exists",
        }
        intake.receive(self.intake, headers, self.bench.clock())

    def work(self, seconds: float = 0) -> None:
        """Let time pass, and deliver every task that is due."""
        self.bench.clock.advance(seconds)
        self._delivered += self.bench.run_tasks()

    def maintain(self) -> maintenance.Maintained:
        return maintenance.maintain(self.bench.services)

    def count(self, act: Callable[[], Any]) -> Operations:
        """Return the operations of what `act` does."""
        services = self.bench.services
        documents: Any = Documents(services.store)
        self.bench.services = replace(services, store=documents)
        before = self._at_the_wire()
        try:
            act()
        finally:
            self.bench.services = services
        counted: Operations = self._at_the_wire() - before + documents.operations
        return counted

    def _at_the_wire(self) -> Operations:
        return Operations(
            receive=self._received,
            creates=len(self.parts.tasks.creations),
            deliveries=self._delivered,
            sync=self._delivered,
            calendar=len(self.parts.calendar.requests),
            provider=len(self.parts.system.requests),
            secrets=self.parts.secrets.accesses.total(),
        )


@contextmanager
def way(**settings: str) -> Iterator[Way]:
    """A worker with stand-ins of its own. `settings` are variables of the environment."""
    with tempfile.TemporaryDirectory() as text, stand_ins() as parts:
        environment = {**parts.environment(Path(text)), **settings}
        bench = Bench(
            config.Settings.from_environ(environment),
            parts.calendar,
            parts.tasks,
            parts.secrets,
            parts.system,
            "example.com",
        )
        try:
            yield Way(parts, bench)
        finally:
            bench.services.close()


NOBODY = "a notification that concerns nobody"
FURTHER = "a further one in the same window"
CHANGE = "a change of a conference, on top"
FIRST = "a conference seen for the first time, on top"
ANEW = "a lost conference created anew, on top of a change"
FULL = "a full listing of 1,000 events with 20 conferences, on top"
DELETION = "a deletion after its grace, on top"
QUIET = "a calendar not synced for 6 hours"
HOUR = "maintain, each hour"
HOUR_OF_ONE = "maintain, each hour and calendar"
RENEWAL = "a channel renewed, once a week"


def counted() -> dict[str, Operations]:
    """Count each way. On top means on top of a notification that concerns nobody."""
    with way() as one:
        found = _of_an_event(one)
    with way() as one:
        found |= _of_a_listing(one)
    with way() as one:
        found |= _of_the_clock(one)
    return found


def _of_an_event(way: Way) -> dict[str, Operations]:
    bench = way.bench
    found: dict[str, Operations] = {}

    def notified(*pauses: float) -> Operations:
        """One notification in a window of its own, and what becomes due after each pause."""
        bench.clock.advance(60)

        def act() -> None:
            way.ring(anna)
            for pause in (0.0, *pauses):
                way.work(pause)

        return way.count(act)

    anna = bench.watch("anna")
    bench.event(anna, bench.conference()[0])
    notified()  # the secrets are read, as an instance does every few minutes
    bench.event(anna)
    found[NOBODY] = notified()
    way.ring(anna)
    way.ring(anna)  # the second task of this window stands from here on
    found[FURTHER] = way.count(lambda: way.ring(anna))
    way.work(30)
    conference, conference_id = bench.conference()
    event_id = bench.event(anna, conference)
    found[FIRST] = notified() - found[NOBODY]
    bench.calendar.edit(anna, event_id, {"summary": "Changed"})
    change = notified()
    found[CHANGE] = change - found[NOBODY]
    bench.calendar.edit(anna, event_id, {"summary": "Lost"})
    bench.conferencing.forget(conference_id)
    found[ANEW] = notified(bench.settings.retry.total_seconds() + 1) - change
    way.work(60)
    bench.calendar.cancel(anna, event_id)
    grace = bench.settings.delete_grace.total_seconds() + 1
    found[DELETION] = notified(grace) - found[NOBODY]
    return found


def _of_a_listing(way: Way) -> dict[str, Operations]:
    bench = way.bench
    anna = bench.watch("anna")
    for number in range(20):
        bench.event(anna, bench.conference()[0], summary=f"Conference {number}")
    bench.calendar.seed_many(anna, (plain(number) for number in range(980)))
    bench.sync(anna)
    nothing = way.count(lambda: bench.sync(anna))
    document = bench.store.get_calendar(anna)
    assert document is not None
    bench.store.update_calendar(replace(document.value, sync_token=None), document.version)
    return {FULL: way.count(lambda: bench.sync(anna)) - nothing}


def _of_the_clock(way: Way) -> dict[str, Operations]:
    bench = way.bench
    found: dict[str, Operations] = {}
    anna = bench.watch("anna")
    # However many calendars there are, each is read once. maintain begins anywhere and goes round,
    # so it reads one page twice: here the page of this one calendar.
    found[HOUR_OF_ONE] = Operations(reads=1)
    hour = way.count(way.maintain)
    found[HOUR] = hour - found[HOUR_OF_ONE]
    bench.clock.advance(bench.settings.reconcile.total_seconds() + 1)

    def caught_up() -> None:
        way.maintain()
        way.work(600)  # the task is spread over five minutes

    found[QUIET] = way.count(caught_up) - hour
    bench.clock.advance(bench.settings.channel_ttl.total_seconds())
    bench.sync(anna)
    found[RENEWAL] = way.count(way.maintain) - hour
    return found
