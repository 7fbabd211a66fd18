"""How many calls a run makes, and how many bytes its listing has."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sync.context import Services
from sync.run import engine
from tests.benchmarks.counting import counted
from tests.benchmarks.parts import ANNA, plain, stand_ins
from tests.benchmarks.rows import Row, row


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as text, stand_ins() as parts:
        built = parts.services(Path(text))
        event = parts.seed(1)
        engine.sync_calendar(built, ANNA)
        rows = _counts(built, "nothing changed", at_most=3)
        parts.calendar.seed_event(ANNA, plain(1))
        rows += _counts(built, "an event that concerns nobody", at_most=3)
        parts.system.requests.clear()
        parts.calendar.edit(ANNA, event, {"summary": "Changed"})
        rows += _counts(built, "one changed conference", at_most=6)
        calls = [float(len(parts.system.requests))]
        rows.append(row("operations", "one changed conference: calls to the provider", calls))
        built.close()
    return rows


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
