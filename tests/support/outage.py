"""One dependency away for a while, in one of many ways, by a clock that is turned.

The real engine and its real clients run against the stand-ins, with a gate in front of each. Tasks
come when the queue would bring them, and `maintain` when the scheduler would call it. A
notification that was not taken is lost here: nobody knows how often Calendar rings again.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import flask
import grpc

from sandbox.gates import Gate, GrpcGate
from sandbox.servers import HttpServer
from sandbox.world import CHANNEL_KEY, JOIN_LINK, SOLUTION
from sync.errors import Forged, SyncError
from sync.google.secret_manager import SecretManager
from sync.intake import receive as intake
from sync.intake.keys import ChannelKeys
from sync.model.calendar import CalendarStatus
from sync.model.conference import FailureState
from sync.model.event import CalendarId, EventId
from sync.operate import maintenance
from tests.support.bench import Bench, real_time, shown
from tests.support.stand_ins import StandIns, stand_ins
from tests.support.turned_time import turned_time

Json = dict[str, Any]

DEPENDENCIES = {
    "calendar": "Google Calendar",
    "provider": "the provider",
    "store": "Firestore",
    "queue": "Cloud Tasks",
    "secrets": "Secret Manager",
}
DURATIONS = {
    "a minute": timedelta(minutes=1),
    "an hour": timedelta(hours=1),
    "a week": timedelta(days=7),
}
WAYS = (
    "refused",
    "slow",
    "401",
    "403",
    "404",
    "404 of a proxy",
    "429",
    "5xx",
    "a page",
    "half an answer",
)

# What gRPC says instead of an HTTP status; a proxy's 404 is UNIMPLEMENTED to its clients.
# https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
_CODES = {
    "401": grpc.StatusCode.UNAUTHENTICATED,
    "403": grpc.StatusCode.PERMISSION_DENIED,
    "404": grpc.StatusCode.NOT_FOUND,
    "404 of a proxy": grpc.StatusCode.UNIMPLEMENTED,
    "429": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "5xx": grpc.StatusCode.INTERNAL,
}
_CALENDAR: Mapping[str, Json] = {
    "401": {"reason": "authError"},
    "403": {"reason": "forbidden"},
    "404": {"reason": "notFound"},
    "429": {"reason": "rateLimitExceeded", "status": 429},
    "5xx": {"reason": "backendError", "status": 503},
}
_PROVIDER = {
    "401": "unauthorised",
    "403": "forbidden",
    "404": "false-not-found",
    "404 of a proxy": "proxy",
    "429": "rate-limit",
    "5xx": "unavailable",
}
_PROXY = {"status": 404, "body": "default backend - 404", "headers": {"Content-Type": "text/plain"}}

# terraform/queue.tf: 2 s, doubled five times, then growing by as much, to 300 s.
_FIRST_AGAIN, _DOUBLINGS, _LONGEST_AGAIN = 2.0, 5, 300.0
# The tries of a week are many, and alike: after so many of them all wait for the next full hour,
# while the end of the outage is far.
_MANY, _FAR = 100, timedelta(hours=3)
# terraform/schedule.tf: five tries more of a call that failed.
_SCHEDULER_TRIES = (30.0, 60.0, 120.0, 240.0, 300.0)
_EACH_HOUR = timedelta(hours=1)
# What is not in step so long after the outage is lost.
_PATIENCE = timedelta(days=3)
_STEP = timedelta(seconds=20)
# Kept from before anybody turns it.
_really_wait = time.sleep


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What is away, how, and for how long: keys of DEPENDENCIES and DURATIONS, one of WAYS."""

    dependency: str
    way: str
    lasts: str

    def __str__(self) -> str:
        return f"{DEPENDENCIES[self.dependency]}, {self.way}, {self.lasts}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is met at the end of an outage, and how long after it all is in step.

    `again`: None when something is not in step after days, which `lost` then names. `denied` are
    conferences that the provider has in the end, after it said in its own words that it has not.
    `crashes` are errors that nobody foresaw.
    """

    met: tuple[str, ...]
    again: timedelta | None
    lost: tuple[str, ...] = ()
    denied: int = 0
    crashes: tuple[str, ...] = ()


def _nobody(_headers: Any) -> int:
    """What a receiver answers that is not there."""
    return 503


@dataclass
class Site:
    """The stand-ins with a gate in front of each.

    Its clock goes on from one outage to the next. Do not let it run ahead by more than 29 days:
    the queue's client cuts schedules by the machine's own clock.
    """

    running: StandIns
    gates: Mapping[str, Gate]
    grpc_gates: Mapping[str, GrpcGate]
    ring: Callable[[Any], int] = _nobody
    """Takes a notification's headers, and returns the receiver's answer."""
    bench: Bench | None = None
    now: datetime = field(default_factory=real_time)
    count: int = 0

    def clock(self) -> datetime:
        return self.bench.clock() if self.bench else self.now


@contextmanager
def site(firestore: str | None = None) -> Iterator[Site]:
    """Start the stand-ins and their gates.

    `firestore` is the address of an emulator. Without one, no outage of the store can be had.
    """
    made: list[Site] = []
    with ExitStack() as stack:
        running = stack.enter_context(
            stand_ins(now=lambda: made[0].clock() if made else real_time())
        )
        # Pessimistic: what is not taken at once is not brought again.
        running.calendar.settings.update({"push_retries": 0})
        hosts = {"queue": running.tasks.host, "secrets": running.secrets.host}
        if firestore is not None:
            hosts["store"] = firestore
        grpc_gates = {name: GrpcGate(host) for name, host in hosts.items()}
        provider = running.systems["rest"].server.url.removeprefix("http://")
        gates = {
            "calendar": Gate(running.calendar.host),
            "provider": Gate(provider),
            **{name: Gate(gate.host) for name, gate in grpc_gates.items()},
        }
        site = Site(running, gates, grpc_gates)
        made.append(site)
        app = flask.Flask("receiver")
        app.add_url_rule(
            "/", view_func=lambda: ("", site.ring(flask.request.headers)), methods=["POST"]
        )
        receiver = HttpServer(app)
        running.doorbell = receiver.url
        running.calendar.settings.update({"push_loss": 0.0})
        each: Any
        for each in (*grpc_gates.values(), *gates.values(), receiver):
            each.start()
            stack.callback(each.stop)
        if firestore is not None:
            # The library's own switch, read when a client is made.
            os.environ["FIRESTORE_EMULATOR_HOST"] = gates["store"].host
            stack.callback(os.environ.pop, "FIRESTORE_EMULATOR_HOST", None)
        yield site


def suffer(site: Site, outage: Outage) -> Outcome:
    """Let one outage happen, and tell what came of it."""
    # Delays have a random part. The same each time, so that the table can be compared.
    random.seed(0)
    site.count += 1
    domain = f"outage{site.count}.com"
    firestore = outage.dependency == "store"
    entry = {
        "name": "my-web",
        "type": "rest",
        "solutions": [SOLUTION],
        "uris": [JOIN_LINK],
        "base_url": f"http://{site.gates['provider'].host}/api",
        "secret": "projects/sandbox/secrets/connected",
        "hosts": [f"*@{domain}"],
    }
    settings = {
        "SYNC_PROVIDERS": json.dumps([entry]),
        "CALENDAR_EMULATOR_HOST": site.gates["calendar"].host,
        "CLOUD_TASKS_EMULATOR_HOST": site.gates["queue"].host,
        "SECRET_MANAGER_EMULATOR_HOST": site.gates["secrets"].host,
    }
    store = "firestore" if firestore else "sqlite"
    rest = site.running.systems["rest"]
    with site.running.bench(rest, domain, store=store, **settings) as bench:
        # From a full hour on, each time: names of tasks go by the clock's hours and seconds.
        latest = max(bench.clock.now, site.now)
        bench.clock.now = latest.replace(minute=0, second=0, microsecond=0) + _EACH_HOUR
        site.bench = bench
        try:
            with closing(_Story(site, bench, outage)) as story:
                return story.tell()
        finally:
            _end(site, outage)
            site.now, site.bench = bench.clock.now, None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Carrier:
    """An event, and the conference that it carries at first."""

    calendar_id: CalendarId
    event_id: EventId
    conference: str


class _Story:
    """What people do before and during the outage, and what runs by the clock meanwhile."""

    def __init__(self, site: Site, bench: Bench, outage: Outage) -> None:
        self._site, self._bench, self._outage = site, bench, outage
        self._timeline = _Timeline(bench)
        self._secrets = SecretManager(emulator=site.gates["secrets"].host)
        self._intake = intake.Intake(
            keys=ChannelKeys(
                self._secrets, CHANNEL_KEY, monotonic=lambda: bench.clock().timestamp()
            ),
            queue=intake.task_queue(bench.settings),
            coalesce=bench.settings.coalesce,
        )
        self._refused = 0
        site.ring = self._ring

    def close(self) -> None:
        """End the receiver's connections. Safe to repeat."""
        self._site.ring = _nobody
        self._intake.queue.close()
        self._secrets.close()

    def tell(self) -> Outcome:
        """Anna changes events before the outage and during it, Ben only during it.

        So tasks of Anna's wait in the queue when the outage begins, and nothing of Ben's does.
        """
        bench, outage, timeline = self._bench, self._outage, self._timeline
        with turned_time(bench.clock):
            anna, ben = bench.watch("anna"), bench.watch("ben")
            moved, deleted = self._event(anna, "Moved"), self._event(anna, "Deleted")
            renamed = self._event(ben, "Renamed")
            timeline.until(bench.clock() + _EACH_HOUR * 1.5)
            self._refused = 0
            self._edit(moved, {"summary": "Before"})
            bench.calendar.cancel(anna, deleted.event_id)
            self._rung()
            _begin(self._site, outage)
            began, lasts = bench.clock(), DURATIONS[outage.lasts]
            timeline.until(began + _STEP)
            added = self._event(anna, "Added")
            self._edit(moved, self._times(hours=3))
            self._edit(renamed, {"summary": "Renamed meanwhile"})
            timeline.until(began + lasts / 2)
            self._edit(moved, {"summary": "Half"})
            timeline.until(began + lasts)
        _end(self._site, outage)
        self._reconnect()
        ended = bench.clock()
        met = self._met([anna, ben])
        with turned_time(bench.clock):
            carriers = [moved, renamed, added]
            while lost := self._lost(carriers, deleted):
                if not timeline.next(ended + _PATIENCE):
                    break
            again = bench.clock() - ended
        return Outcome(
            met=met,
            again=None if lost else again,
            lost=tuple(lost),
            denied=len(self._strays(carriers, deleted)),
            crashes=tuple(timeline.crashes),
        )

    def _event(self, calendar_id: CalendarId, title: str) -> _Carrier:
        """Add an event with a conference of its own."""
        bench, when = self._bench, self._times()
        made = bench.conferencing.add(
            organizer=calendar_id, start=when["start"]["dateTime"], title="By an add-on"
        )
        body = {**when, "summary": title, "conferenceData": shown(made["id"])}
        event = bench.calendar.seed_event(calendar_id, body)
        self._rung()
        return _Carrier(
            calendar_id=calendar_id, event_id=EventId(event["id"]), conference=made["id"]
        )

    def _edit(self, carrier: _Carrier, patch: Json) -> None:
        self._bench.calendar.edit(carrier.calendar_id, carrier.event_id, patch)
        self._rung()

    def _rung(self) -> None:
        """Wait until Calendar has rung for what was changed."""
        # A channel's greeting comes a moment after its opening.
        self._bench.clock.advance(0.1)
        assert self._bench.calendar.pushes_tried(60) is not None, "nobody listens"

    def _times(self, hours: int = 0) -> Json:
        """Start and end of an event after the longest outage."""
        day = (self._bench.clock() + timedelta(days=40)).replace(minute=0, second=0, microsecond=0)
        start = day + timedelta(hours=hours)
        return {
            "start": {"dateTime": start.isoformat()},
            "end": {"dateTime": (start + timedelta(hours=1)).isoformat()},
        }

    def _ring(self, headers: Any) -> int:
        """What the receiver answers."""
        try:
            intake.receive(self._intake, headers, self._bench.clock())
        except Forged:
            return 403
        except SyncError:
            self._refused += 1
            return 503
        return 204

    def _reconnect(self) -> None:
        """Wait until the clients call again: gRPC's pauses between connections are real ones."""
        services = self._bench.services
        asks: dict[str, tuple[Callable[[], object], ...]] = {
            "store": (lambda: services.store.count_calendars(CalendarStatus.OK),),
            "queue": (services.queue.problem, self._intake.queue.problem),
            "secrets": (services.count_keys,),
        }
        name = self._outage.dependency
        # How old a secret is goes by the turned clock. Firestore's client would turn that clock.
        with turned_time(self._bench.clock) if name == "secrets" else nullcontext():
            for ask in asks.get(name, ()):
                while not _answers(ask):
                    _really_wait(0.05)

    def _met(self, calendar_ids: Sequence[CalendarId]) -> tuple[str, ...]:
        """What an operator meets at the end of the outage, in words."""
        met = []
        if self._refused:
            met.append("notifications refused")
        if self._timeline.failing():
            met.append("tasks brought again")
        documents = [self._bench.store.get_calendar(each) for each in calendar_ids]
        states = [document.value for document in documents if document]
        assert len(states) == len(documents), "the outage took a calendar away"
        if any(state.status is CalendarStatus.BROKEN for state in states):
            met.append("calendar broken")
        elif any(state.failing for state in states):
            met.append("calendar retried")
        kept = {failure.state for failure in self._bench.failures()}
        met += [words for state, words in _STATES.items() if state in kept]
        return tuple(met)

    def _lost(self, carriers: Sequence[_Carrier], deleted: _Carrier) -> list[str]:
        """Name what is not in step."""
        lost = []
        for each in carriers:
            event = self._bench.calendar.get(each.calendar_id, each.event_id)
            conference = self._bench.conferencing.conferences.get(self._carried(each))
            assert event is not None
            if conference is None:
                lost.append(f"{event['summary']} has no conference")
            elif not _in_step(event, conference):
                lost.append(f"{event['summary']} is not what its conference says")
        # What a provider says in its own words is believed (C3).
        if (self._outage.dependency, self._outage.way) == ("provider", "404"):
            return lost
        return lost + [f"{each} is left" for each in self._strays(carriers, deleted)]

    def _strays(self, carriers: Sequence[_Carrier], deleted: _Carrier) -> list[str]:
        """The conferences that are there, and that no event carries."""
        there = self._bench.conferencing.conferences
        strays = [each.conference for each in carriers if self._carried(each) != each.conference]
        return [each for each in (*strays, deleted.conference) if each in there]

    def _carried(self, carrier: _Carrier) -> str:
        """The id of an event's conference now: what was created anew has another."""
        link = self._bench.link(carrier.calendar_id, carrier.event_id)
        return (
            link.carried.conference.conference_id if link and link.carried else carrier.conference
        )


def _in_step(event: Json, conference: Json) -> bool:
    start = datetime.fromisoformat(event["start"]["dateTime"])
    same = datetime.fromisoformat(conference["start"]) == start
    return same and bool(conference["title"] == event["summary"])


_STATES = {
    FailureState.RETRYING: "events retried",
    FailureState.PARKED: "events parked",
    FailureState.LEFT: "events left alone",
    FailureState.APPROXIMATE: "events listed as approximate",
}


class _Timeline:
    """What runs by the clock: the queue's tasks, each again after a while if it failed, and
    `maintain`."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._again: dict[str, datetime] = {}
        self._tries: Counter[str] = Counter()
        self._maintain_at = bench.clock() + _EACH_HOUR
        self._hour = self._maintain_at
        self._end, self._count = self._maintain_at, 0
        self._scheduler_tries: Iterator[float] = iter(_SCHEDULER_TRIES)
        self.crashes: list[str] = []

    def until(self, moment: datetime) -> None:
        """Run everything that is due before a moment, and turn the clock there."""
        self._end, self._count = moment, 0
        while self.next(moment):
            pass

    def next(self, end: datetime) -> bool:
        """Turn the clock to what is due next, and run it. False: nothing was, and it is `end`."""
        clock = self._bench.clock
        waiting = self._bench.waiting()
        due, task = min(
            ((self._due(each), each) for each in waiting),
            key=lambda pair: (pair[0], pair[1].name),
            default=(end, None),
        )
        if min(due, self._maintain_at) >= end:
            # A call may have taken longer than until then.
            clock.now = max(clock.now, end)
            return False
        if self._maintain_at <= due:
            clock.now = max(clock.now, self._maintain_at)
            self._maintain()
        elif task is not None:
            clock.now = max(clock.now, due)
            self._deliver(task)
        return True

    def failing(self) -> bool:
        """Tell whether a task waits that failed before."""
        return any(self._tries[task.name] for task in self._bench.waiting())

    def _due(self, task: Any) -> datetime:
        due: datetime = self._again.get(task.name, task.schedule_time)
        if self._count < _MANY or self._end - due < _FAR:
            return due
        return due.replace(minute=0, second=0, microsecond=0) + _EACH_HOUR

    def _deliver(self, task: Any) -> None:
        if self._ran(lambda: self._bench.deliver(task)):
            return
        tries = self._tries[task.name]
        self._tries[task.name] += 1
        doubled = _FIRST_AGAIN * 2 ** min(tries, _DOUBLINGS)
        longer = doubled * (1 + max(0, tries - _DOUBLINGS))
        wait = timedelta(seconds=min(longer, _LONGEST_AGAIN))
        self._again[task.name] = self._bench.clock() + wait

    def _maintain(self) -> None:
        now = self._bench.clock()
        if not self._ran(lambda: maintenance.maintain(self._bench.services)):
            again = next(self._scheduler_tries, None)
            if again is not None:
                self._maintain_at = now + timedelta(seconds=again)
                return
        self._scheduler_tries = iter(_SCHEDULER_TRIES)
        while self._hour <= self._bench.clock():
            self._hour += _EACH_HOUR
        self._maintain_at = self._hour

    def _ran(self, call: Callable[[], object]) -> bool:
        """Tell whether a call ended well. The functions answer 500 or 409 to what is raised."""
        self._count += 1
        try:
            call()
        except SyncError:
            return False
        except Exception as error:  # what nobody foresaw is what is looked for here
            self.crashes.append(f"{type(error).__name__}: {error}")
            return False
        return True


def _answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except SyncError:
        return False
    return True


def _begin(site: Site, outage: Outage) -> None:
    name, way = outage.dependency, outage.way
    match way:
        case "refused":
            site.gates[name].behave("refuse")
        case "a page":
            site.gates[name].behave("page")
        case "half an answer":
            site.gates[name].behave("half")
        case "slow" if name in site.grpc_gates:
            site.grpc_gates[name].answer(grpc.StatusCode.DEADLINE_EXCEEDED, after=True)
        case "slow":
            site.gates[name].behave("late")
        case _ if name in site.grpc_gates:
            site.grpc_gates[name].answer(_CODES[way])
        case _ if name == "provider":
            rest: Any = site.running.systems["rest"].server
            rest.trouble(_PROVIDER[way], times=None)
        case "404 of a proxy":
            site.running.calendar.faults.add(times=None, **_PROXY)
        case _:
            site.running.calendar.fail_next(times=None, **_CALENDAR[way])


def _end(site: Site, outage: Outage) -> None:
    """Let all be well again. Safe to repeat."""
    site.gates[outage.dependency].behave("pass")
    if outage.dependency in site.grpc_gates:
        site.grpc_gates[outage.dependency].answer(None)
    site.running.calendar.faults.clear()
    site.running.systems["rest"].server.faults.clear()
