"""One bench for all: stand-ins behind the real clients, a clock that the test turns, the real
engine in between."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sandbox.cloud_tasks import CloudTasks
from sandbox.google_calendar import GoogleCalendar
from sandbox.rest import Rest
from sandbox.secret_manager import SecretManager
from sandbox.world import JOIN_LINK, PROVIDER_SECRET, SOLUTION
from sync import config, services
from sync.context import Services
from sync.errors import NotFound, SyncError
from sync.model.calendar import Access, CalendarState
from sync.model.conference import (
    LISTED,
    ConferenceRef,
    EventRef,
    Failure,
    FailureState,
    Link,
)
from sync.model.event import CalendarId, ConferenceId, EventId
from sync.operate import calendars, stopping
from sync.run import engine
from sync.store import Store

Json = dict[str, Any]


numbers = itertools.count(1)

NOWHERE = "http://127.0.0.1:9/"
"""Nobody listens at port 9. A bench has no notification or task delivered."""

MOST_TASKS = 2_000
"""No story has more to do before its clock is turned."""

TODAY = datetime.now(UTC).date()
"""The day on which this process began. Tests count days from it, so that midnight may pass between
two questions, and between two tests that share what they made."""


def real_time() -> datetime:
    return datetime.now(UTC)


@dataclass
class TurnedClock:
    """Stands still until it is turned."""

    now: datetime = field(default_factory=real_time)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Bench:
    """The engine with everything it talks to. Each has calendars, a queue, secrets and a store
    of its own."""

    def __init__(
        self,
        settings: config.Settings,
        calendar: GoogleCalendar,
        tasks: CloudTasks,
        secrets: SecretManager,
        conferencing: Rest,
        domain: str,
    ) -> None:
        self.clock = TurnedClock()
        # What is enqueued is due by the bench's clock, however slow the machine is.
        tasks.clock = self.clock
        self.settings = settings
        self.services = services.build(settings, self.clock)
        self.calendar = calendar
        self.tasks = tasks
        self.secrets = secrets
        self.conferencing = conferencing
        self.environment: Json = {}
        self._domain = domain

    def watch(self, name: str = "anna", time_zone: str = "Europe/Berlin") -> CalendarId:
        """Add a calendar, start it, and run its first sync."""
        calendar_id = CalendarId(f"{name}@{self._domain}")
        self.calendar.add_calendar(calendar_id, time_zone=time_zone)
        calendars.start(self.services, calendar_id, Access())
        self.run_tasks()
        return calendar_id

    def conference(self, **fields: Any) -> tuple[Json, str]:
        """Make a conference as an add-on would; return what Calendar shows of it, and its id."""
        made = self.conferencing.add(**fields)
        return shown(made["id"]), made["id"]

    def hosted(self, calendar_id: CalendarId, start: str = "10:00") -> tuple[Json, str]:
        """The same for a conference that says whose it is, and begins when an event would."""
        begins = datetime.fromisoformat(timed(start, start)["start"]["dateTime"])
        zone = ZoneInfo("Europe/Berlin")
        return self.conference(organizer=calendar_id, start=begins.replace(tzinfo=zone).isoformat())

    def look_twice(self, calendar_id: CalendarId) -> engine.Report:
        """Sync, and let the time pass after which a lost conference is looked at again (C4)."""
        report = self.sync(calendar_id)
        self.clock.advance(self.settings.retry.total_seconds() + 1)
        self.run_tasks()
        return report

    def event(
        self, calendar_id: CalendarId, conference: Json | None = None, **fields: Any
    ) -> EventId:
        """Add an event of an hour, tomorrow at ten, as its owner would."""
        body = {**timed("10:00", "11:00"), "summary": "Planning", **fields}
        if conference is not None:
            body["conferenceData"] = conference
        return EventId(self.calendar.seed_event(calendar_id, body)["id"])

    def followed(self, calendar_id: CalendarId) -> tuple[EventId, str]:
        """Add an event with a conference, and sync. Returns the ids of both."""
        conference, conference_id = self.conference()
        event_id = self.event(calendar_id, conference)
        self.sync(calendar_id)
        return event_id, conference_id

    def sync(self, calendar_id: CalendarId) -> engine.Report:
        """Run one sync, as the task of a notification would."""
        return engine.sync_calendar(self.services, calendar_id)

    def look(self, calendar_id: CalendarId, event_id: EventId) -> engine.Report:
        """Look at one event, as its task would."""
        return engine.sync_event(self.services, calendar_id, event_id)

    def waiting(self) -> list[Any]:
        """The tasks that were not carried out yet."""
        return self.tasks.pending(self.settings.queue)

    def due(self) -> list[Any]:
        """Those of them that are due by the bench's clock."""
        return [
            task
            for task in self.waiting()
            if task.schedule_time <= self.clock() + timedelta(seconds=1)
        ]

    def run_tasks(self, *, errors: Callable[[SyncError], Any] | None = None) -> int:
        """Carry out what is due until nothing is; a task that fails stays for the next call.
        Returns how many ran."""
        ran = 0
        failed: set[str] = set()
        while tasks := [task for task in self.due() if task.name not in failed]:
            task = min(tasks, key=lambda one: (one.schedule_time, one.name))
            try:
                self.deliver(task)
            except SyncError as error:
                if errors is None:
                    raise
                errors(error)
                failed.add(task.name)
                continue
            ran += 1
            assert ran < MOST_TASKS, "tasks make tasks, and there is no end"
        return ran

    def deliver(self, task: Any) -> None:
        """Carry out one task as the worker would; once done, it waits no more. Raises SyncError."""
        try:
            self._carry_out(task.body)
        except NotFound:
            # The worker answers 200: nobody brings the task again.
            body = task.body
            event_id = EventId(body["event_id"]) if "event_id" in body else None
            stopping.clean_up(self.services, body["calendar_id"], event_id, None)
        self.tasks.drop(task.name)

    def lose(self, task: Any) -> None:
        """Lose one task, as a queue that gave it up."""
        self.tasks.drop(task.name)

    def _carry_out(self, body: Json) -> None:
        if "event_id" in body:
            self.look(body["calendar_id"], body["event_id"])
        else:
            self.sync(body["calendar_id"])

    def lose_tasks(self) -> None:
        """Lose every task that waits, as a queue that was purged."""
        for task in self.waiting():
            self.lose(task)

    def pass_grace(self) -> None:
        """Let the grace of deletions pass, and carry out what is due then."""
        self.clock.advance(self.settings.delete_grace.total_seconds() + 1)
        self.run_tasks()

    def link(self, calendar_id: CalendarId, event_id: EventId) -> Link | None:
        found = self.services.store.get_known(calendar_id, [event_id]).links.get(event_id)
        return found.value if found else None

    def failures(
        self, calendar_id: CalendarId | None = None, *states: FailureState
    ) -> list[Failure]:
        """What an operator sees in these states, in all of them if none is named."""
        listed = self.services.store.list_failures(
            states=states or LISTED, calendar_id=calendar_id, limit=1000
        )
        return [failure.value for failure in listed.items]

    def calls(self, method: str | None = None) -> list[str]:
        """What the provider received since the last `forget_calls`: method and path."""
        return [
            f"{request.method} {request.path.removeprefix('/api')}"
            for request in self.conferencing.requests
            if method in (None, request.method)
        ]

    def forget_calls(self) -> None:
        self.conferencing.requests.clear()

    def with_services(self, **changes: Any) -> Services:
        """The same services with other parts, for a second worker or a store that fails."""
        return replace(self.services, **changes)

    def deploy(self, *entries: Json) -> None:
        """Go on with other entries of SYNC_PROVIDERS, and the same store, as after a deploy."""
        environment = {**self.environment, "SYNC_PROVIDERS": json.dumps(entries)}
        self.settings = config.Settings.from_environ(environment)
        self.services.close()
        self.services = services.build(self.settings, self.clock)

    @property
    def entries(self) -> list[Json]:
        """The entries of SYNC_PROVIDERS as they are written."""
        entries: list[Json] = json.loads(self.environment["SYNC_PROVIDERS"])
        return entries

    @property
    def store(self) -> Store:
        return self.services.store


def shown(conference_id: str, solution: str = SOLUTION) -> Json:
    """What Calendar shows of a conference of the stand-in."""
    return {
        "conferenceId": conference_id,
        "conferenceSolution": {"key": {"type": "addOn"}, "name": solution},
        "entryPoints": [
            {"entryPointType": "video", "uri": JOIN_LINK.replace("{id}", conference_id)}
        ],
    }


def timed(start: str, end: str, *, days: int = 1, zone: str = "Europe/Berlin") -> Json:
    """Start and end of an event so many days from today, at these wall times."""
    day = TODAY + timedelta(days=days)
    return {
        "start": {"dateTime": f"{day}T{start}:00", "timeZone": zone},
        "end": {"dateTime": f"{day}T{end}:00", "timeZone": zone},
    }


def ref(conference_id: str, provider: str = "my-web") -> ConferenceRef:
    return ConferenceRef(provider=provider, conference_id=ConferenceId(conference_id))


def at(calendar_id: CalendarId, event_id: EventId) -> EventRef:
    return EventRef(calendar_id=calendar_id, event_id=event_id)


def state_of(bench: Bench, calendar_id: CalendarId) -> CalendarState:
    """Return what is stored of a calendar that is watched."""
    return calendars.get(bench.services, calendar_id)


def settle(bench: Bench, rounds: int = 8, seconds: float = 61) -> None:
    """Let the queue go on, round after round, whatever fails on the way."""
    for _ in range(rounds):
        bench.run_tasks(errors=lambda _: None)
        bench.clock.advance(seconds)
    bench.run_tasks(errors=lambda _: None)


BenchMaker = Callable[..., Bench]


def providers_of(conferencing: Rest, domain: str) -> str:
    """One entry of type rest; whoever is of the domain may host what its events carry (O2)."""

    return json.dumps(
        [
            {
                "name": "my-web",
                "type": "rest",
                "solutions": [SOLUTION],
                "uris": [JOIN_LINK],
                "base_url": f"{conferencing.url}/api",
                "secret": PROVIDER_SECRET,
                "hosts": [f"*@{domain}"],
            }
        ]
    )
