"""Changed conferences: one after real processes, many side by side, and how else it is done."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import httpx

from sandbox.processes import FirestoreEmulator
from sandbox.world import SOURCE, World
from sync import config, services
from sync.run import engine
from tests.benchmarks import month, wire
from tests.benchmarks.others import PERIOD_SECONDS, Procedure
from tests.benchmarks.parts import ANNA, Parts, carrying, plain, stand_ins
from tests.benchmarks.rows import Row, percentile, row

_PROVIDER_SECONDS = 0.1


def one(changes: int) -> list[Row]:
    """From Calendar's change to the provider's receipt, through all real processes, no delays."""
    rows = _one("SQLite", None, changes, aim=20)
    if FirestoreEmulator.available() is not None:
        return rows
    with FirestoreEmulator() as emulator:
        emulator.wait_ready(60)
        return rows + _one("Firestore's emulator", emulator.host, changes, aim=80)


def _one(store: str, firestore: str | None, changes: int, aim: float) -> list[Row]:
    times = []
    with (
        tempfile.TemporaryDirectory() as text,
        World(Path(text), firestore=firestore, settings={"SYNC_COALESCE_SECONDS": "0"}) as world,
    ):
        world.start_calendar(ANNA)
        made = world.conferencing.add()
        event = world.calendar.seed_event(ANNA, carrying(0, made["id"]))["id"]
        world.quiet()
        for number in range(changes + 3):
            world.conferencing.requests.clear()
            began = time.perf_counter()
            world.calendar.edit(ANNA, event, {"summary": f"Change {number}"})
            while not any(each.method == "PUT" for each in list(world.conferencing.requests)):
                assert time.perf_counter() - began < 60, "no update came"
                time.sleep(0.001)
            if number >= 3:  # the first ones warm up
                times.append((time.perf_counter() - began) * 1000)
            world.quiet()
    slow = percentile(times, 0.99)
    name = f"one change to the provider's receipt, {store}"
    return [
        row("one change", name, times, unit="ms", at_most=aim),
        row(
            "one change",
            f"p99 of that, beside its median, {store}",
            [slow / percentile(times, 0.5)],
            at_most=3,
        ),
    ]


def steady(changes: int) -> list[Row]:
    """What one change costs a processor, run for run: no run does much more than another.

    Waiting is left out, so that a busy machine changes little.
    """
    with _followed(1, 0) as (parts, worker, [event]):
        used = []
        for number in range(changes + 3):
            parts.calendar.edit(ANNA, event, {"summary": f"Change {number}"})
            used.append(worker.run(8).processor_seconds * 1000)
    used = used[3:]  # the first ones warm up
    beside = percentile(used, 0.99) / percentile(used, 0.5)
    name = "processor time of a run with one change"
    return [
        row("one change", f"{name}, SQLite", used, unit="ms"),
        row("one change", f"{name}: p99 beside the median", [beside], at_most=3),
    ]


def many(changes: int, carriers: list[int], pairs: int) -> list[Row]:
    """One run over many changes, of which some have conferences; eight at a time, and one by one.

    The provider takes 100 ms for each call. The run has a process of its own, so that it shares no
    interpreter with the stand-ins.
    """
    rows = []
    for conferences in carriers:
        faster: list[float] = []
        beside: list[float] = []
        chain = -(-conferences // 8)
        with _followed(conferences, changes - conferences) as (parts, worker, events):
            for number in range(pairs):
                one, eight = (
                    _seconds(parts, worker, events, f"{number}, {limit} at a time", limit)
                    for limit in (1, 8)
                )
                faster.append(one / eight)
                beside.append(eight / (chain * _PROVIDER_SECONDS))
        what = f"{changes} changes, {conferences} conferences"
        rows += [
            row(
                "many changes",
                f"{what}: eight side by side, times as fast",
                faster,
                at_least=min(7.5, conferences / chain * 0.94),
            ),
            row("many changes", f"{what}: time, beside the longest chain of calls", beside),
        ]
    return rows


class _Ran(NamedTuple):
    seconds: float
    processor_seconds: float
    changes: int


class _Worker:
    """A process that runs the engine when it is told to."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.changes"],
            env={**os.environ, **environment},
            cwd=SOURCE.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, concurrency: int) -> _Ran:
        """Run once, so many calls side by side."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(concurrency, file=self._process.stdin, flush=True)
        seconds, processor_seconds, changes = self._process.stdout.readline().split()
        return _Ran(float(seconds), float(processor_seconds), int(changes))

    def stop(self) -> None:
        self._process.communicate()  # it ends with its input


def _work() -> None:
    """What that process does: one run for each line of its input."""
    built = services.build(config.Settings.from_environ(os.environ))
    for line in sys.stdin:
        limited = replace(built, settings=replace(built.settings, concurrency=int(line)))
        began, used = time.perf_counter(), time.process_time()
        report = engine.sync_calendar(limited, ANNA)
        took, used = time.perf_counter() - began, time.process_time() - used
        print(took, used, report.counts.changes, flush=True)
    built.close()


@contextmanager
def _followed(conferences: int, others: int) -> Iterator[tuple[Parts, _Worker, list[str]]]:
    """A calendar with followed conferences and other events, and a provider that is slow."""
    with tempfile.TemporaryDirectory() as text, stand_ins() as parts:
        built = parts.services(Path(text))
        events = [parts.seed(number) for number in range(conferences)]
        events += [parts.calendar.seed_event(ANNA, plain(each))["id"] for each in range(others)]
        engine.sync_calendar(built, ANNA)
        built.close()
        worker = _Worker(parts.environment(Path(text)))
        # It loads and connects, and learns what people wrote at the provider, which `rest` repeats.
        _seconds(parts, worker, events, "Warm", 8)
        parts.system.faults.add(delay_seconds=_PROVIDER_SECONDS, times=None, path="/api/")
        try:
            yield parts, worker, events
        finally:
            parts.system.faults.clear()
            worker.stop()


def _seconds(
    parts: Parts, worker: _Worker, events: list[str], title: str, concurrency: int
) -> float:
    for event in events:
        parts.calendar.edit(ANNA, event, {"summary": title})
    ran = worker.run(concurrency)
    assert ran.changes == len(events), ran
    return ran.seconds


def beside_others(changes: int) -> list[Row]:
    """A hundred changes at once: ours, Google's documented procedure, and polling.

    The provider takes 100 ms for each call. Prices are list prices of a calendar's month, without
    free amounts, so that they can be compared.
    """
    with _followed(changes, 0) as (parts, worker, events), httpx.Client(timeout=30) as http:
        procedure = Procedure(parts=parts, http=http)
        parts.forget_calls()
        ours = _seconds(parts, worker, events, "Ours", 8)
        our_calls = parts.calls()
        procedure.begin()
        parts.forget_calls()
        for event in events:
            parts.calendar.edit(ANNA, event, {"summary": "By Google's procedure"})
        began = time.perf_counter()
        procedure.run()
        theirs = time.perf_counter() - began
        their_calls = parts.calls()
    polls = month.HOURS * 3600 / PERIOD_SECONDS
    topic, in_step = f"{changes} changes", "until all are in step"
    return [
        row(topic, f"ours: {in_step}", [ours], unit="s"),
        row(topic, "ours: calls to Calendar and the provider", [our_calls]),
        row(topic, "ours: price of a calendar's month", [100 * _our_price()], unit="cents"),
        row(topic, f"Google's procedure: {in_step}", [theirs], unit="s"),
        row(topic, "Google's procedure: calls to Calendar and the provider", [their_calls]),
        row(
            topic,
            f"polling every five minutes: {in_step}, on average",
            [PERIOD_SECONDS / 2 + theirs],
            unit="s",
            note="half a period, and then Google's procedure",
        ),
        row(
            topic,
            f"polling every five minutes: {in_step}, at most",
            [PERIOD_SECONDS + theirs],
            unit="s",
        ),
        row(topic, "polling: calls to Calendar in a month", [polls]),
        row(
            topic,
            "polling: price of a calendar's month",
            [100 * _price_of_polling(polls)],
            unit="cents",
        ),
    ]


def _our_price() -> float:
    one = month.of_a_calendar(wire.counted())
    seconds = one.receive * month.RECEIVE_SECONDS + one.sync * month.RUN_SECONDS
    seconds += one.provider * month.PROVIDER_SECONDS
    return _listed(
        cpu=seconds,
        memory=seconds * month.WORKER_GIB,
        requests=one.receive + one.sync,
        tasks=one.creates + one.deliveries,
        reads=one.reads,
        writes=one.writes,
        deletes=one.deletes,
    )


def _price_of_polling(polls: float) -> float:
    """A function that Cloud Scheduler calls: a listing, and its token read and written, each time.

    The calls to the provider are those that we have as well.
    """
    calls = sum(month.TIMES[way] for way in (wire.CHANGE, wire.FIRST, wire.DELETION))
    seconds = polls * month.RUN_SECONDS + calls * month.PROVIDER_SECONDS
    return _listed(
        cpu=seconds,
        memory=seconds * month.WORKER_GIB,
        requests=polls,
        reads=polls,
        writes=polls,
    )


def _listed(**units: float) -> float:
    """What so many units cost by the list, none free."""
    return sum(
        number * month.PRICES[key].dollars / month.PRICES[key].per for key, number in units.items()
    )


if __name__ == "__main__":
    _work()
