"""A random walk that must end in step: edits, lost and late notifications, failures; once quiet,
all is in step."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from sandbox.systems import SYSTEMS, ConferencingSystem
from sync.errors import SyncError
from sync.event.recognise import ID_PROPERTY
from sync.model.calendar import Access
from sync.model.event import CalendarId, Event, EventId
from sync.operate import calendars
from sync.run.lease import LEASE
from tests.support.bench import Bench, BenchMaker, ref, timed
from tests.support.crashes import Killed, Life, living

SECRET = "projects/sandbox/secrets/walked"


class Walk:
    """Two people's calendars, and everything that may happen to them, drawn by chance.

    `losing`: the provider loses conferences, too. Without it, words and times are few, so that what
    an event says now is often what it said once before.
    """

    def __init__(
        self, bench: Bench, system: ConferencingSystem[Any], seed: int, *, losing: bool
    ) -> None:
        self.bench = bench
        self.system = system
        self.random = random.Random(seed)
        self.losing = losing
        self.calendars = [bench.watch("anna"), bench.watch("team")]
        self.events: list[tuple[CalendarId, EventId]] = []
        self.titles = 0

    def step(self) -> None:
        actions: list[tuple[int, Callable[[], Any]]] = [
            (4, self.create),
            (2, self.create_series),
            (5, self.edit),
            (2, self.move_in_time),
            (3, self.cancel),
            (2, self.restore),
            (2, self.copy),
            (2, self.move_to_other_calendar),
            (1, self.replace_conference),
            (1, self.remove_conference),
            (1, self.edit_occurrence),
            (int(self.losing), self.lose_conference),
            (1, self.expire_tokens),
            (2, self.provider_fails),
            (1, self.provider_refuses),
            (8, self.sync),
            (3, self.sync_killed),
            (4, self.run_tasks),
            (3, self.pass_time),
        ]
        weights, choices = zip(*actions, strict=True)
        self.random.choices(choices, weights)[0]()

    def title(self) -> str:
        self.titles += 1
        return f"Title {self.titles if self.losing else self.random.randint(1, 2)}"

    def at(self) -> dict[str, Any]:
        hour = self.random.randint(8, 18) if self.losing else 10
        return timed(
            f"{hour:02}:00",
            f"{hour + 1:02}:30",
            days=self.random.randint(3, 20 if self.losing else 4),
        )

    def live(self) -> tuple[CalendarId, EventId] | None:
        found = [
            one
            for one in self.events
            if (self.bench.calendar.get(*one) or {}).get("status") == "confirmed"
        ]
        return self.random.choice(found) if found else None

    def create(self, **fields: Any) -> None:
        conference = self.system.add("Made by an add-on")
        calendar_id = self.random.choice(self.calendars)
        event_id = self.bench.event(
            calendar_id, conference, **{"summary": self.title(), **self.at(), **fields}
        )
        self.events.append((calendar_id, event_id))

    def create_series(self) -> None:
        self.create(recurrence=["RRULE:FREQ=WEEKLY;COUNT=4"])

    def edit(self) -> None:
        if one := self.live():
            self.bench.calendar.edit(*one, {"summary": self.title()})

    def move_in_time(self) -> None:
        if one := self.live():
            self.bench.calendar.edit(*one, self.at())

    def cancel(self) -> None:
        if one := self.live():
            self.bench.calendar.cancel(*one)

    def restore(self) -> None:
        cancelled = [
            one
            for one in self.events
            if (self.bench.calendar.get(*one) or {}).get("status") == "cancelled"
        ]
        restorable = [
            one for one in cancelled if "summary" in (self.bench.calendar.get(*one) or {})
        ]
        if restorable:
            self.bench.calendar.restore(*self.random.choice(restorable))

    def copy(self) -> None:
        if one := self.live():
            event = self.bench.calendar.get(*one) or {}
            if "conferenceData" in event:
                calendar_id = self.random.choice(self.calendars)
                event_id = self.bench.event(
                    calendar_id, event["conferenceData"], **{"summary": self.title(), **self.at()}
                )
                self.events.append((calendar_id, event_id))

    def move_to_other_calendar(self) -> None:
        if one := self.live():
            event = self.bench.calendar.get(*one) or {}
            other = self.calendars[self.calendars.index(one[0]) - 1]
            if self.bench.calendar.get(other, one[1]) is None and "recurrence" not in event:
                self.bench.calendar.move(*one, other)
                self.events.append((other, one[1]))

    def replace_conference(self) -> None:
        if one := self.live():
            self.bench.calendar.edit(*one, {"conferenceData": self.system.add("Made by an add-on")})

    def remove_conference(self) -> None:
        if one := self.live():
            event = self.bench.calendar.get(*one) or {}
            if "conferenceData" in event:
                self.bench.calendar.edit(*one, {"conferenceData": None})

    def edit_occurrence(self) -> None:
        series = [
            one for one in self.events if "recurrence" in (self.bench.calendar.get(*one) or {})
        ]
        series = [
            one
            for one in series
            if (self.bench.calendar.get(*one) or {}).get("status") == "confirmed"
        ]
        if series:
            calendar_id, event_id = self.random.choice(series)
            found = self.bench.services.calendar._call(
                Access(), "instances", {"calendarId": calendar_id, "eventId": event_id}
            )["items"]
            if found:
                self.bench.calendar.edit(
                    calendar_id, self.random.choice(found)["id"], {"summary": self.title()}
                )

    def lose_conference(self) -> None:
        if self.system.conferences:
            self.system.forget(self.random.choice(list(self.system.conferences)))

    def expire_tokens(self) -> None:
        self.bench.calendar.expire_sync_tokens(self.random.choice(self.calendars))

    def provider_fails(self) -> None:
        status = self.random.choice([500, 503])
        method = self.random.choice(["PUT" if self.system.name == "my-web" else "PATCH", "DELETE"])
        self.system.faults.add(
            method=method, status=status, after=self.random.random() < 0.3, times=2
        )

    def provider_refuses(self) -> None:
        if self.system.name == "my-web":
            self.system.faults.add(method="PUT", status=422)

    def sync(self) -> None:
        try:
            self.bench.sync(self.random.choice(self.calendars))
        except SyncError:
            return

    def sync_killed(self) -> None:
        """A run that dies somewhere; its lease lapses, and what it did not end comes again."""
        services = self.bench.services
        self.bench.services = living(self.bench, Life(self.random.randint(0, 25)))
        try:
            self.bench.sync(self.random.choice(self.calendars))
            self.bench.run_tasks(errors=ignored)
        except (SyncError, Killed):
            return
        finally:
            self.bench.services = services

    def run_tasks(self) -> None:
        self.bench.run_tasks(errors=ignored)

    def pass_time(self) -> None:
        self.bench.clock.advance(self.random.choice([1, 30, 65, 600]))

    def settle(self) -> None:
        """No more faults; the queue and the clock go on, and what is parked is retried by an
        operator."""
        bench = self.bench
        self.system.faults.clear()
        bench.clock.advance(LEASE.total_seconds() + 1)
        for _ in range(8):
            for calendar_id in self.calendars:
                # Touched once more, so that whatever the provider lost is noticed.
                bench.sync(calendar_id)
            bench.run_tasks(errors=ignored)
            for failure in bench.failures():
                calendars.retry_failure(bench.services, failure.id)
            bench.clock.advance(3700)
        bench.run_tasks()

    def carried(self) -> dict[str, list[tuple[CalendarId, EventId]]]:
        """Which live events lead to which conference."""
        carried: dict[str, list[tuple[CalendarId, EventId]]] = {}
        for one in self.events:
            event = self.bench.calendar.get(*one) or {}
            if event.get("status") == "confirmed" and (conference_id := shows(event)):
                carried.setdefault(conference_id, []).append(one)
        return carried

    def exceptions(self, calendar_id: CalendarId, event_id: EventId) -> dict[str, str]:
        """The title of each occurrence that differs from its series, by original start."""
        event = self.bench.calendar.get(calendar_id, event_id) or {}
        if "recurrence" not in event:
            return {}
        found = self.bench.services.calendar.list_exceptions(
            calendar_id, Access(), event_id, event["iCalUID"]
        )
        parsed = [Event.from_api(one) for one in found]
        return {
            one.original_start.utc(): one.title
            for one in parsed
            if one.original_start and not one.cancelled and one.title != event["summary"]
        }

    def touch_all(self) -> None:
        for one in self.events:
            event = self.bench.calendar.get(*one) or {}
            if event.get("status") == "confirmed":
                self.bench.calendar.edit(*one, {"summary": self.title()})


def ignored(error: SyncError) -> None:
    """The queue brings the task again."""


def shows(event: dict[str, Any]) -> str | None:
    """The conference that an event leads people to."""
    if "conferenceData" in event:
        return str(event["conferenceData"]["conferenceId"])
    private: dict[str, str] = event.get("extendedProperties", {}).get("private", {})
    return private.get(ID_PROPERTY)


@pytest.fixture(scope="module")
def systems() -> Iterator[dict[str, ConferencingSystem[Any]]]:
    systems = {name: make() for name, make in SYSTEMS.items()}
    for system in systems.values():
        system.start()
    yield systems
    for system in systems.values():
        system.stop()


WALKS = [("rest", seed, seed < 6) for seed in range(16)] + [
    (name, seed, seed < 2) for name in ("zoom", "webex", "teams") for seed in range(5)
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("provider", "seed", "losing"), WALKS)
def test_once_quiet_conferences_equal_the_calendar(
    make_bench: BenchMaker,
    systems: dict[str, ConferencingSystem[Any]],
    provider: str,
    seed: int,
    losing: bool,
) -> None:
    """Every event leads to a conference that is there and says what its leading event says; no
    other is left."""
    system = systems[provider]
    system.server.reset()
    # One after the other, so that a seed always gives the same walk.
    settings = {"SYNC_DELETE_GRACE_SECONDS": "30" if seed % 2 else "0", "SYNC_CONCURRENCY": "1"}
    bench = make_bench(SYNC_PROVIDERS=json.dumps([system.entry(SECRET)]), **settings)
    bench.secrets.put(SECRET, system.secret)
    system.server.clock = bench.clock
    walk = Walk(bench, system, seed, losing=losing)
    for _ in range(60):
        walk.step()
    walk.settle()
    if losing:
        # What the provider has lost is noticed when its event changes.
        walk.touch_all()
        walk.settle()
    assert bench.failures() == []
    carried = walk.carried()
    assert set(carried) <= set(system.conferences), (
        "an event leads to a conference that is not there"
    )
    # What came and went between two syncs was never seen: an id-only tombstone does not tell which
    # conference it was.
    left = set(system.conferences) - set(carried)
    known = {one for one in left if bench.store.get_conference(ref(one, system.name)) is not None}
    assert known == set(), "a conference is left that nobody carries"
    for conference_id, events in carried.items():
        links = {one: bench.link(*one) for one in events}
        leaders = [one for one, link in links.items() if link and link.leading]
        assert len(leaders) == 1, (conference_id, links)
        event = bench.calendar.get(*leaders[0]) or {}
        assert system.title(conference_id) == event["summary"]
        assert system.recurring(conference_id) is ("recurrence" in event and provider != "teams")
        start = datetime.fromisoformat(event["start"]["dateTime"])
        if start > bench.clock():  # of a series under way, some systems are sent what is left
            assert system.begins(conference_id) == start
        if provider == "rest":
            told = system.conferences[conference_id]["occurrences"].items()
            titles = {original: one and one["title"] for original, one in told}
            assert titles.items() >= walk.exceptions(*leaders[0]).items()
