"""What speed and memory cost, in one table: `make benchmark`. Everything compared runs side by
side, in turn.

Nothing here passes or fails by time; the design's section 8 names what the ratios should reach.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from sandbox.cloud_tasks import CloudTasks
from sandbox.google_calendar import GoogleCalendar
from sandbox.processes import FunctionProcess
from sandbox.rest import Rest
from sandbox.secret_manager import SecretManager
from sandbox.world import CHANNEL_KEY, JOIN_LINK, PROVIDER_SECRET, QUEUE, SOLUTION, SOURCE
from sync import config, services
from sync.context import Services
from sync.intake.notifications import sign
from sync.model.calendar import Access
from sync.model.event import CalendarId
from sync.operate import calendars
from sync.run import engine

ANNA = CalendarId("anna@example.com")
KEY = b"benchmark-key"

# The same task, and nothing else: what the receiver's own share is measured against.
BARE = """
import json, os
import functions_framework, grpc
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

client = None

@functions_framework.http
def bare(request):
    global client
    if client is None:
        channel = grpc.insecure_channel(os.environ["CLOUD_TASKS_EMULATOR_HOST"])
        client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
    http = tasks_v2.HttpRequest(
        url=os.environ["SYNC_WORKER_URL"], http_method=tasks_v2.HttpMethod.POST,
        headers={"Content-Type": "application/json"},
        body=json.dumps({"calendar_id": "anna@example.com"}).encode(),
    )
    task = tasks_v2.Task(http_request=http)
    client.create_task(parent=os.environ["SYNC_QUEUE"], task=task, timeout=10)
    return "", 204
"""


@contextmanager
def stand_ins() -> Iterator[tuple[GoogleCalendar, CloudTasks, SecretManager, Rest]]:
    parts = (
        GoogleCalendar(),
        CloudTasks(deliver=False),
        SecretManager(),
        Rest(token="token"),
    )
    for part in parts:
        part.start()
    parts[2].put(CHANNEL_KEY, KEY)
    parts[2].put(PROVIDER_SECRET, {"token": "token"})
    try:
        yield parts
    finally:
        for part in parts:
            part.stop()


def environment(
    parts: tuple[GoogleCalendar, CloudTasks, SecretManager, Rest], directory: Path
) -> dict[str, str]:
    calendar, tasks, secrets, conferencing = parts
    provider = {
        "name": "my-web",
        "type": "rest",
        "solutions": [SOLUTION],
        "uris": [JOIN_LINK],
        "base_url": f"{conferencing.url}/api",
        "secret": PROVIDER_SECRET,
    }
    return {
        "GOOGLE_CLOUD_PROJECT": "benchmark",
        "SYNC_STORE": f"sqlite:///{directory / 'state.sqlite'}",
        "SYNC_QUEUE": QUEUE,
        "SYNC_WORKER_URL": "http://127.0.0.1:9/",
        "SYNC_NOTIFICATION_URL": "http://127.0.0.1:9/",
        "SYNC_CHANNEL_KEY": CHANNEL_KEY,
        "SYNC_PROVIDERS": json.dumps([provider]),
        "SYNC_COALESCE_SECONDS": "0",
        "CALENDAR_EMULATOR_HOST": calendar.host,
        "CLOUD_TASKS_EMULATOR_HOST": tasks.host,
        "SECRET_MANAGER_EMULATOR_HOST": secrets.host,
    }


def receiver(requests: int, rounds: int) -> list[tuple[str, str]]:
    """Requests per second of the receiver and of a function that only creates the same task, in
    turn."""
    with tempfile.TemporaryDirectory() as text, stand_ins() as parts:
        directory = Path(text)
        (directory / "bare.py").write_text(BARE)
        settings = environment(parts, directory)
        headers = {
            "X-Goog-Channel-ID": "channel",
            "X-Goog-Channel-Token": sign([KEY], "channel", ANNA),
            "X-Goog-Resource-State": "exists",
        }
        ours = FunctionProcess("receive_notification", environment=settings, source=SOURCE)
        bare = FunctionProcess("bare", environment=settings, source=directory / "bare.py")
        with (
            ours,
            bare,
            httpx.Client(headers=headers, limits=httpx.Limits(max_connections=8)) as client,
        ):
            for process in (ours, bare):
                process.wait_ready()
            speeds: dict[str, list[float]] = {"ours": [], "bare": []}
            for number in range(rounds + 1):
                for name, process in (("ours", ours), ("bare", bare)):
                    speed = _speed(client, process.url, requests)
                    if number:  # the first round warms up
                        speeds[name].append(speed)
    ratios = [mine / other for mine, other in zip(speeds["ours"], speeds["bare"], strict=True)]
    return [
        ("receive_notification, requests/s", f"{statistics.median(speeds['ours']):.0f}"),
        (
            "bare function creating the same task, requests/s",
            f"{statistics.median(speeds['bare']):.0f}",
        ),
        ("ratio, median of pairs (aim: at least 0.7)", f"{statistics.median(ratios):.2f}"),
    ]


def _speed(client: httpx.Client, url: str, requests: int) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(8) as pool:
        statuses = Counter(pool.map(lambda _: client.post(url).status_code, range(requests)))
    assert set(statuses) == {204}, statuses
    return requests / (time.perf_counter() - began)


def side_by_side(conferences: int, rounds: int) -> list[tuple[str, str]]:
    """One sync with many changed conferences and a provider that takes 100 ms, eight at a time
    and one by one."""
    with tempfile.TemporaryDirectory() as text, stand_ins() as parts:
        calendar, _, _, conferencing = parts
        built = services.build(config.Settings.from_environ(environment(parts, Path(text))))
        calendar.add_calendar(ANNA)
        calendars.start(built, ANNA, Access())
        events = [_seed(calendar, conferencing, number) for number in range(conferences)]
        engine.sync_calendar(built, ANNA)
        conferencing.faults.add(delay_seconds=0.1, times=None, path="/api/")
        times: dict[int, list[float]] = {1: [], 8: []}
        for number in range(rounds):
            for concurrency in (1, 8):
                for event in events:
                    calendar.edit(
                        ANNA, event, {"summary": f"Round {number}, {concurrency} at a time"}
                    )
                limited = replace(built, settings=replace(built.settings, concurrency=concurrency))
                began = time.perf_counter()
                report = engine.sync_calendar(limited, ANNA)
                times[concurrency].append(time.perf_counter() - began)
                assert report.counts.updated == conferences
        conferencing.faults.clear()
        built.close()
    ratios = [one / eight for one, eight in zip(times[1], times[8], strict=True)]
    return [
        (
            f"{conferences} changed conferences, one after the other, s",
            f"{statistics.median(times[1]):.2f}",
        ),
        (
            f"{conferences} changed conferences, SYNC_CONCURRENCY=8, s",
            f"{statistics.median(times[8]):.2f}",
        ),
        ("times faster, median of pairs (aim: at least 6)", f"{statistics.median(ratios):.1f}"),
    ]


def _seed(calendar: GoogleCalendar, conferencing: Rest, number: int) -> str:
    conference_id = conferencing.add()["id"]
    event = calendar.seed_event(
        ANNA,
        {
            "summary": f"Event {number}",
            "start": {"dateTime": "2099-01-01T10:00:00Z"},
            "end": {"dateTime": "2099-01-01T11:00:00Z"},
            "conferenceData": {
                "conferenceId": conference_id,
                "conferenceSolution": {"key": {"type": "addOn"}, "name": SOLUTION},
                "entryPoints": [
                    {"entryPointType": "video", "uri": JOIN_LINK.replace("{id}", conference_id)}
                ],
            },
        },
    )
    return str(event["id"])


class Counting:
    """Passes every call on, and counts it by name."""

    def __init__(self, real: Any, counts: Counter[str]) -> None:
        self._real, self._counts = real, counts

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._real, name)

        def call(*arguments: Any, **more: Any) -> Any:
            self._counts[name] += 1
            return value(*arguments, **more)

        return call if callable(value) else value


class CountingCalendars:
    """Binds calendars whose calls are counted. Binding asks nobody, so it does not count."""

    def __init__(self, real: Any, counts: Counter[str]) -> None:
        self._real, self._counts = real, counts
        self.listing_version = real.listing_version

    def bind(self, *arguments: Any) -> Any:
        return Counting(self._real.bind(*arguments), self._counts)


def operations() -> list[tuple[str, str]]:
    """Calls to the store and to Calendar: for a notification that concerns nobody, and for one
    changed event."""
    rows = []
    with tempfile.TemporaryDirectory() as text, stand_ins() as parts:
        calendar, _, _, conferencing = parts
        built = services.build(config.Settings.from_environ(environment(parts, Path(text))))
        calendar.add_calendar(ANNA)
        calendars.start(built, ANNA, Access())
        event = _seed(calendar, conferencing, 1)
        engine.sync_calendar(built, ANNA)
        rows.append(("nothing changed: store, Calendar", _counted(built)))
        calendar.seed_event(ANNA, {"summary": "Lunch", **_noon()})
        rows.append(("an event that concerns nobody: store, Calendar", _counted(built)))
        calendar.edit(ANNA, event, {"summary": "Changed"})
        rows.append(("one changed conference: store, Calendar", _counted(built)))
        built.close()
    return rows


def _noon() -> dict[str, Any]:
    return {
        "start": {"dateTime": "2099-01-02T12:00:00Z"},
        "end": {"dateTime": "2099-01-02T13:00:00Z"},
    }


def _counted(built: Services) -> str:
    store: Counter[str] = Counter()
    calendar: Counter[str] = Counter()
    calendars_counted: Any = CountingCalendars(built.calendars, calendar)
    store_counted: Any = Counting(built.store, store)
    counted = replace(built, store=store_counted, calendars=calendars_counted)
    engine.sync_calendar(counted, ANNA)
    named = ", ".join(f"{name} {number}" for name, number in store.items())
    return f"{store.total()} ({named}), {calendar.total()}"


def listing(sizes: list[int]) -> list[tuple[str, str]]:
    """Time and peak memory of a worker that lists a calendar of so many events in full, each in
    a fresh process."""
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as text, stand_ins() as parts:
            parts[0].add_calendar(ANNA)
            parts[0].seed_many(
                ANNA, ({"summary": f"Event {number}", **_noon()} for number in range(size))
            )
            settings = environment(parts, Path(text))
            done = subprocess.run(
                [sys.executable, "-m", "tests.benchmark", "--worker"],
                env={**settings, "PATH": ""},
                cwd=SOURCE.parent,
                capture_output=True,
                text=True,
                check=True,
            )
            seconds, grown, changes = json.loads(done.stdout.splitlines()[-1])
            assert changes == size
        rows.append((f"listing of {size:,} events, s", f"{seconds:.1f}"))
        rows.append(
            (
                f"listing of {size:,} events, peak memory above start, MB (aim: under 150)",
                f"{grown:.0f}",
            )
        )
    return rows


def worker() -> None:
    """The measured half of `listing`: start, remember the memory, sync in full, print what it
    took."""
    settings = replace(config.Settings.from_environ(os.environ), run_limit=timedelta(hours=1))
    built = services.build(settings)
    calendars.start(built, ANNA, Access())
    before = _peak_megabytes()
    began = time.perf_counter()
    report = engine.sync_calendar(built, ANNA)
    seconds = time.perf_counter() - began
    print(json.dumps([seconds, _peak_megabytes() - before, report.counts.changes]))


def _peak_megabytes() -> float:
    """The most memory that this process has had. getrusage would tell that of the process which
    started it."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None, "Linux tells this"
    return int(found[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes: shows that it runs, not how fast"
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker()
        return
    quick = arguments.quick
    rows = [
        *receiver(200 if quick else 1500, 2 if quick else 7),
        *side_by_side(24 if quick else 80, 1 if quick else 3),
        *operations(),
        *listing([2_000] if quick else [25_000, 50_000, 100_000]),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")


if __name__ == "__main__":
    main()
