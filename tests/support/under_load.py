"""Many changes in bursts, through real processes and a provider that is slow and fails at times.

What is counted: how long each change takes to the provider's receipt, what is not in step in the
end, and what memory and connections the functions need meanwhile.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sandbox.world import World, calendar_path
from tests.benchmarks.processor import connections, peak_megabytes, processor_seconds
from tests.benchmarks.rows import percentile
from tests.support.bench import shown

Json = dict[str, Any]

_FIRST_START = datetime(2099, 1, 1, 10, tzinfo=UTC)
_SAMPLE_SECONDS = 0.25
# How far into the future the queue is looked at before the load counts as done: every wait that a
# task may have here, a retry's included, is shorter.
_HORIZON_SECONDS = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is done. The calendars share the notifications, one change of one event each."""

    calendars: int = 100
    notifications: int = 5_000
    bursts: int = 10
    burst_seconds: float = 10.0
    """From the beginning of one burst to the beginning of the next."""
    events: int = 5
    """The events of a calendar that carry a conference."""
    provider_seconds: float = 0.1
    one_error_in: int = 100
    """Of so many calls the provider answers one with 503."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came of it. Times are seconds from a change to the provider's receipt.

    A change counts as received with the first update that holds it or a later one: a burst is
    coalesced. `not_in_step` names events whose conference differs in the end, `failures` what an
    operator is shown then. Memory is the most that the function's process had. Connections are
    those open at once, at most, and those seen in all, by whom they lead to.
    """

    times: Sequence[float]
    seconds: float
    not_in_step: Sequence[str]
    failures: Sequence[Json]
    errors: int
    calls: int
    runs: int
    held: int
    worker_processor_seconds: float
    worker_megabytes: float
    receiver_megabytes: float
    open_at_once: int
    opened: Counter[str]

    @property
    def changes_a_second(self) -> float:
        return len(self.times) / self.seconds

    def time(self, share: float) -> float:
        return percentile(self.times, share)


def measure(load: Load, firestore: str | None = None) -> Measured:
    """Put the load on a world of its own, with SQLite or a Firestore emulator at this address.

    Raises TimeoutError if the system does not come to rest.
    """
    with tempfile.TemporaryDirectory() as text, World(Path(text), firestore=firestore) as world:
        return put_on(world, load, firestore)


def put_on(world: World, load: Load, firestore: str | None = None) -> Measured:
    """Put the load on a world that runs, on calendars that it does not know yet. As `measure`."""
    events = _prepare(world, load)
    world.conferencing.requests.clear()
    world.tasks.deliveries.clear()
    worker = world.functions["sync_calendar"]
    processor = processor_seconds(worker)
    _trouble(world, load)
    try:
        with _watched(world) as sockets:
            changes = list(_change(world, load, events))
            world.quiet(seconds=900, horizon=_HORIZON_SECONDS)
    finally:
        world.conferencing.faults.clear()
    received = _received(world)
    times = [_until(received[each.conference], each) for each in changes]
    return Measured(
        times=times,
        seconds=max(
            (each.at - changes[0].at).total_seconds() + seconds
            for each, seconds in zip(changes, times, strict=True)
        ),
        not_in_step=[one.name for one in events if not _in_step(world, one)],
        failures=list(_failures(world, {one.calendar_id for one in events})),
        errors=sum(one.status == 503 for one in world.conferencing.requests),
        calls=len(world.conferencing.requests),
        runs=len(world.tasks.deliveries),
        held=sum(done.status == 409 for done in world.tasks.deliveries),
        worker_processor_seconds=processor_seconds(worker) - processor,
        worker_megabytes=peak_megabytes(worker),
        receiver_megabytes=peak_megabytes(world.functions["receive_notification"]),
        open_at_once=sockets.most,
        opened=sockets.opened(world, firestore),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    calendar_id: str
    event_id: str
    conference: str

    @property
    def name(self) -> str:
        return f"{self.calendar_id}/{self.event_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """The number-th change of an event that carries this conference."""

    conference: str
    number: int
    at: datetime


@dataclass(slots=True)
class _Sockets:
    """The connections of the worker: local and remote port of each that was seen open."""

    seen: set[tuple[int, int]] = field(default_factory=set)
    most: int = 0

    def opened(self, world: World, firestore: str | None) -> Counter[str]:
        """How many connections led to whom."""
        names = {
            int(host.rpartition(":")[2]): name
            for name, host in {
                "Calendar": world.calendar.host,
                "queue": world.tasks.host,
                "secrets": world.secrets.host,
                "provider": world.conferencing.url,
                **({"Firestore": firestore} if firestore else {}),
            }.items()
        }
        return Counter(names[remote] for _, remote in self.seen if remote in names)


def _prepare(world: World, load: Load) -> list[_Event]:
    """Add the calendars and their events, start each, and wait until all are followed."""
    events = []
    new = time.time_ns()
    for number in range(load.calendars):
        calendar_id = f"load-{new}-{number}@example.com"
        world.calendar.add_calendar(calendar_id, time_zone="Europe/Berlin")
        for _ in range(load.events):
            made = world.conferencing.add()
            body = {**_changed(0), "conferenceData": shown(made["id"])}
            event = world.calendar.seed_event(calendar_id, body)
            events.append(
                _Event(calendar_id=calendar_id, event_id=event["id"], conference=made["id"])
            )
        world.manage("PUT", calendar_path(calendar_id), {}).raise_for_status()
    world.quiet(seconds=300, horizon=_HORIZON_SECONDS)
    return events


def _changed(number: int) -> Json:
    """What an event says after so many changes: each moves and renames it."""
    start = _FIRST_START + timedelta(minutes=number)
    return {
        "summary": f"Change {number}",
        "start": {"dateTime": start.isoformat()},
        "end": {"dateTime": (start + timedelta(hours=1)).isoformat()},
    }


def _trouble(world: World, load: Load) -> None:
    delay: Json = {"times": None, "delay_seconds": load.provider_seconds}
    world.conferencing.trouble("unavailable", every=load.one_error_in, **delay)
    world.conferencing.faults.add(path="/api/", **delay)


def _change(world: World, load: Load, events: Sequence[_Event]) -> Iterator[_Change]:
    """Change the events in turn, calendar by calendar, in bursts at fixed times."""
    began = time.monotonic()
    in_a_burst = load.notifications // load.bursts
    for number in range(in_a_burst * load.bursts):
        if number % in_a_burst == 0:
            wait = began + number // in_a_burst * load.burst_seconds - time.monotonic()
            time.sleep(max(0.0, wait))
        event, count = events[number % len(events)], number // len(events) + 1
        now = datetime.now(UTC)
        world.calendar.edit(event.calendar_id, event.event_id, _changed(count))
        yield _Change(conference=event.conference, number=count, at=now)


def _received(world: World) -> dict[str, list[tuple[int, datetime]]]:
    """Which change of each conference the provider took when, later ones later."""
    received: dict[str, list[tuple[int, datetime]]] = defaultdict(list)
    for one in world.conferencing.requests:
        if one.method == "PUT" and one.status == 200 and one.conference:
            number = int(one.body["title"].removeprefix("Change "))
            received[one.conference].append((number, one.at))
    return received


def _until(received: Sequence[tuple[int, datetime]], change: _Change) -> float:
    """Seconds from a change to the first update that holds it or a later one."""
    latest = 0
    for number, at in received:
        latest = max(latest, number)
        if latest >= change.number:
            return (at - change.at).total_seconds()
    return float("inf")


def _in_step(world: World, one: _Event) -> bool:
    event = world.calendar.get(one.calendar_id, one.event_id)
    conference = world.conferencing.conferences.get(one.conference)
    if event is None or conference is None or event["summary"] != conference["title"]:
        return False
    return all(
        datetime.fromisoformat(event[name]["dateTime"]) == datetime.fromisoformat(conference[name])
        for name in ("start", "end")
    )


def _failures(world: World, calendar_ids: Collection[str]) -> Iterator[Json]:
    token = ""
    while token is not None:
        path = f"/failures?state=all&page_token={quote(token)}" if token else "/failures?state=all"
        page = world.manage("GET", path).raise_for_status().json()
        yield from (one for one in page["failures"] if one["calendar_id"] in calendar_ids)
        token = page["next_page_token"]


@contextmanager
def _watched(world: World) -> Iterator[_Sockets]:
    """Look at the worker's connections again and again while the block runs."""
    sockets, ended = _Sockets(), threading.Event()

    def look() -> None:
        while not ended.wait(_SAMPLE_SECONDS):
            now = connections(world.functions["sync_calendar"])
            sockets.seen |= now
            sockets.most = max(sockets.most, len(now))

    thread = threading.Thread(target=look, name="sockets")
    thread.start()
    try:
        yield sockets
    finally:
        ended.set()
        thread.join()
