"""The engine with one conferencing system, for stories that all systems tell."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from sandbox.service import Exchange
from sandbox.systems import SYSTEMS, ConferencingSystem
from sync.model.conference import Failure, FailureState
from sync.model.event import CalendarId, EventId
from tests.support.bench import TODAY, Bench, BenchMaker

SECRET = "projects/sandbox/secrets/meetings"
NAMES = ("rest", "zoom", "webex", "teams")
HOST = "shared@hosts.example"
"""Whose conferences everybody's events may follow, in a world that is `shared`."""

Json = dict[str, Any]


@dataclass
class Connected:
    """A bench whose only provider is `system`."""

    bench: Bench
    system: ConferencingSystem[Any]

    def add(self, host: str | None, title: str = "Made by an add-on", **members: Any) -> Json:
        """Make a conference of `host`; return the conference data that Calendar shows."""
        body = {**self.system.add_body(title, host), **members}
        return self.system.event_data(self.system.server.add(**body))

    def id_of(self, shown: Json) -> str:
        """The id under which the system stores a conference that was just added."""
        if shown.get("conferenceId") in self.system.conferences:
            return str(shown["conferenceId"])
        return str(list(self.system.conferences)[-1])

    def writes(self) -> list[Exchange]:
        """What the system received that could have changed something; tokens aside."""
        return [
            one for one in self.system.requests() if one.method != "GET" and "token" not in one.path
        ]

    def left(self, calendar_id: CalendarId) -> list[Failure]:
        return self.bench.failures(calendar_id, FailureState.LEFT)

    def raw(self, calendar_id: CalendarId, event_id: EventId) -> Json:
        found = self.bench.calendar.get(calendar_id, event_id)
        assert found is not None
        return found


Systems = Callable[[str], ConferencingSystem[Any]]
"""Starts the conferencing system of that name, or returns the one that runs."""
Connect = Callable[..., Connected]
"""`connect`, with the system named and everything else chosen by the test's parameters."""


@contextmanager
def running(name: str) -> Iterator[ConferencingSystem[Any]]:
    system = SYSTEMS[name]()
    system.start()
    yield system
    system.stop()


def connect(
    make_bench: BenchMaker,
    system: ConferencingSystem[Any],
    store: str = "sqlite",
    entry: Json | None = None,
    **settings: str,
) -> Connected:
    """Connect a bench to a system. `entry` adds to the system's entry; None takes a member out."""
    system.server.reset()
    whole = {**system.entry(SECRET), **(entry or {})}
    whole = {key: value for key, value in whole.items() if value is not None}
    bench = make_bench(store=store, SYNC_PROVIDERS=json.dumps([whole]), **settings)
    bench.secrets.put(SECRET, system.secret)
    system.server.clock = bench.clock
    return Connected(bench, system)


def shared(connected: Connect, system: str, **settings: str) -> Connected:
    """A world in which the conferences of HOST may be followed by everybody's events."""
    return connected(system, entry={"hosts": [HOST]}, **settings)


def conference_of(world: Connected, calendar_id: CalendarId, event_id: EventId) -> str:
    """Return the id of the conference that an event carries."""
    link = world.bench.link(calendar_id, event_id)
    assert link is not None
    assert link.carried is not None
    return link.carried.conference.conference_id


def tomorrow(hour: int = 10) -> datetime:
    """The moment at which the bench's events begin, in UTC where none says otherwise."""
    return datetime.combine(TODAY + timedelta(days=1), time(hour), UTC)


def at_ten(**fields: Any) -> Json:
    """Start and end of an event tomorrow at ten UTC, when the stand-ins' meetings begin."""
    start = tomorrow()
    return {
        "start": {"dateTime": start.isoformat(), "timeZone": "UTC"},
        "end": {"dateTime": (start + timedelta(hours=1)).isoformat(), "timeZone": "UTC"},
        **fields,
    }
