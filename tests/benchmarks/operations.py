"""What a run asks of each service, counted at the wire, and how many bytes its listing has."""

from __future__ import annotations

import tempfile
from pathlib import Path

import httpx

from sync.context import Services
from sync.run import engine
from tests.benchmarks import wire
from tests.benchmarks.counting import counted
from tests.benchmarks.parts import ANNA, Parts, plain, stand_ins
from tests.benchmarks.rows import Row, row

_BYTES = "bytes of an event that is listed"


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as text, stand_ins() as parts:
        built = parts.services(Path(text))
        event = parts.seed(1)
        engine.sync_calendar(built, ANNA)
        rows = _counts(built, "nothing changed", at_most=3)
        parts.calendar.seed_event(ANNA, plain(1))
        rows += _counts(built, "an event that concerns nobody", at_most=3)
        parts.calendar.edit(ANNA, event, {"summary": "Changed"})
        rows += _counts(built, "one changed conference", at_most=6)
        built.close()
    return rows + _at_the_wire() + _listed()


def _counts(services: Services, what: str, at_most: float) -> list[Row]:
    counting, store, calendar = counted(services)
    engine.sync_calendar(counting, ANNA)
    names = ", ".join(f"{name} {number}" for name, number in store.items())
    return [
        row(
            "operations",
            f"{what}: calls to the store",
            [float(store.total())],
            at_most=at_most,
            note=names,
        ),
        row("operations", f"{what}: calls to Calendar", [float(calendar.total())], at_most=1),
    ]


def _at_the_wire() -> list[Row]:
    """One changed conference, from its notification to its end. All ways: docs/cost.md."""
    counts = wire.counted()
    one = counts[wire.NOBODY] + counts[wire.CHANGE]
    kinds = {
        "calls to the provider": one.provider,
        "documents read": one.reads,
        "documents written": one.writes,
        "calls to Cloud Tasks": one.creates,
        "calls to Secret Manager": one.secrets,
    }
    return [
        row("operations", f"one changed conference: {kind}", [count])
        for kind, count in kinds.items()
    ]


def _listed() -> list[Row]:
    """The same page once more, with the fields that we ask for, and whole."""
    with tempfile.TemporaryDirectory() as text, stand_ins() as parts:
        built = parts.services(Path(text))
        engine.sync_calendar(built, ANNA)
        parts.calendar.seed_many(ANNA, (plain(number) for number in range(100)))
        engine.sync_calendar(built, ANNA)
        built.close()
        query = dict(parts.calendar.requests[-1].query)
        # A token is good for the fields alone that it was made with.
        del query["syncToken"]
        fields = query.pop("fields")
        ours, whole = (_size(parts, each) / 100 for each in ({**query, "fields": fields}, query))
    return [
        row("operations", _BYTES, [ours]),
        row("operations", f"{_BYTES}, beside a whole one", [ours / whole]),
    ]


def _size(parts: Parts, query: dict[str, str]) -> int:
    url = f"http://{parts.calendar.host}/calendar/v3/calendars/{ANNA}/events"
    answer = httpx.get(url, params=query).raise_for_status()
    assert len(answer.json()["items"]) == 100
    return len(answer.content)
