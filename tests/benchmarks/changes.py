"""Changed conferences: one after real processes, many side by side, and how else it is done."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sandbox.processes import FirestoreEmulator
from sandbox.world import World
from sync.context import Services
from sync.event.content import content_of
from sync.event.recognise import shown_by
from sync.model.conference import EventRef
from sync.run import engine
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


def many(changes: int, carriers: list[int], pairs: int) -> list[Row]:
    """One run over many changes, of which some have conferences; eight at a time, and one by one.

    The provider takes 100 ms for each call.
    """
    rows = []
    for conferences in carriers:
        faster: list[float] = []
        with _followed(conferences, changes - conferences) as (parts, built, events):
            for number in range(pairs):
                one, eight = (
                    _seconds(parts, built, events, f"{number}, {limit} at a time", limit)
                    for limit in (1, 8)
                )
                faster.append(one / eight)
        chain = -(-conferences // 8)
        rows.append(
            row(
                "many changes",
                f"{changes} changes, {conferences} conferences: eight side by side, times as fast",
                faster,
                at_least=min(7.5, conferences / chain * 0.94),
            )
        )
    return rows


@contextmanager
def _followed(conferences: int, others: int) -> Iterator[tuple[Parts, Services, list[str]]]:
    """A calendar with followed conferences and other events, and a provider that is slow."""
    with tempfile.TemporaryDirectory() as text, stand_ins() as parts:
        built = parts.services(Path(text))
        events = [parts.seed(number) for number in range(conferences)]
        events += [parts.calendar.seed_event(ANNA, plain(each))["id"] for each in range(others)]
        engine.sync_calendar(built, ANNA)
        parts.system.faults.add(delay_seconds=_PROVIDER_SECONDS, times=None, path="/api/")
        try:
            yield parts, built, events
        finally:
            parts.system.faults.clear()
            built.close()


def _seconds(
    parts: Parts, built: Services, events: list[str], title: str, concurrency: int
) -> float:
    for event in events:
        parts.calendar.edit(ANNA, event, {"summary": title})
    limited = replace(built, settings=replace(built.settings, concurrency=concurrency))
    began = time.perf_counter()
    report = engine.sync_calendar(limited, ANNA)
    assert report.counts.changes == len(events), report
    return time.perf_counter() - began


def beside_others(changes: int) -> list[Row]:
    """A hundred changes at once: ours, Google's documented procedure, and polling.

    Google's procedure is a trigger that lists all pages since the sync token and tells the
    conferencing system of each changed event, one after the other, as the sample of its guide does.
    Polling runs the same procedure every five minutes instead.
    https://developers.google.com/workspace/add-ons/calendar/conferencing/sync-calendar-changes
    """
    with _followed(changes, 0) as (parts, built, events):
        parts.system.requests.clear()
        ours = _seconds(parts, built, events, "Ours", 8)
        calls = float(len(parts.system.requests))
        for event in events:
            parts.calendar.edit(ANNA, event, {"summary": "By Google's procedure"})
        theirs = _googles_procedure(built)
    half_a_period = 150.0
    topic = f"{changes} changes"
    return [
        row(topic, "ours: until all are in step", [ours], unit="s"),
        row(topic, "ours: calls to the provider", [calls]),
        row(topic, "Google's procedure: until all are in step", [theirs], unit="s"),
        row(
            topic,
            "polling every five minutes: until all are in step, on average",
            [half_a_period + theirs],
            unit="s",
            note="half a period, and then Google's procedure",
        ),
        row(topic, "polling: listings of a calendar in 30 days", [30 * 24 * 12.0]),
    ]


def _googles_procedure(built: Services) -> float:
    document = built.store.get_calendar(ANNA)
    assert document is not None
    state = document.value
    bound = built.calendars.bind(ANNA, state.access)
    began = time.perf_counter()
    page_token = None
    while True:
        page = bound.list_changes(sync_token=state.sync_token, time_min=None, page_token=page_token)
        for entry in page.entries:
            if entry.event is not None and (shown := shown_by(entry.event, built.rules)):
                content = content_of(entry.event, EventRef(calendar_id=ANNA, event_id=entry.id))
                provider = built.providers[shown.conference.provider]
                provider.update(shown.conference.conference_id, content, frozenset({"title"}))
        page_token = page.next_page_token
        if page_token is None:
            return time.perf_counter() - began
