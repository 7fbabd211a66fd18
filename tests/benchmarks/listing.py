"""A full listing of a calendar whose events concern nobody: time, memory, processor time."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sandbox.world import SOURCE
from sync import config, services
from sync.context import Services
from sync.google.calendar import LISTING, Call
from sync.model.calendar import Access
from sync.operate import calendars
from sync.run import engine
from tests.benchmarks.parts import ANNA, plain, stand_ins
from tests.benchmarks.processor import megabytes
from tests.benchmarks.rows import Row, row


def measure(sizes: list[int], pairs: int) -> list[Row]:
    rows: list[Row] = []
    for size in sizes:
        measured = _in_a_process(size, pairs)
        assert measured["changes"] == size, measured
        ratios = [
            ours / loop for ours, loop in zip(measured["ours"], measured["loop"], strict=True)
        ]
        name = f"{size:,} events: processor time, beside a loop that lists and parses JSON"
        rows.append(row("listing", name, ratios, at_most=1.3))
        grown = [float(measured["megabytes"])]
        rows.append(
            row("listing", f"{size:,} events: memory above start", grown, unit="MB", at_most=150)
        )
        own = [seconds / size * 1e6 for seconds in measured["ours"]]
        name = f"{size:,} events: processor time of an event"
        rows.append(row("listing", name, own, unit="µs"))
    return rows


def _in_a_process(size: int, pairs: int) -> dict[str, Any]:
    """Fill a calendar here, and list it in a process that does nothing else."""
    with tempfile.TemporaryDirectory() as text, stand_ins() as parts:
        parts.calendar.add_calendar(ANNA)
        parts.calendar.seed_many(ANNA, (plain(number) for number in range(size)))
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.listing", str(pairs)],
            env={**os.environ, **parts.environment(Path(text))},
            cwd=SOURCE.parent,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _worker(pairs: int) -> dict[str, Any]:
    """Sync in full, and list with the same client and JSON parser alone, in turn."""
    settings = replace(config.Settings.from_environ(os.environ), run_limit=timedelta(hours=1))
    built = services.build(settings)
    calendars.start(built, ANNA, Access())
    before = megabytes("VmHWM")
    report = engine.sync_calendar(built, ANNA)
    grown = megabytes("VmHWM") - before
    measured: dict[str, list[float]] = {"ours": [], "loop": []}
    for _ in range(pairs):
        for name, run in (("loop", _list_and_parse), ("ours", _sync_in_full)):
            gc.collect()  # so that neither pays for what the other leaves behind
            began = time.process_time()
            run(built)
            measured[name].append(time.process_time() - began)
    return {**measured, "megabytes": grown, "changes": report.counts.changes}


def _sync_in_full(built: Services) -> None:
    document = built.store.get_calendar(ANNA)
    assert document is not None
    built.store.update_calendar(replace(document.value, sync_token=None), document.version)
    engine.sync_calendar(built, ANNA)


def _list_and_parse(built: Services) -> None:
    """The least that a full listing costs: the same calls, their JSON parsed, and no more."""
    client: Any = built.calendars
    parameters: dict[str, Any] = {"calendarId": ANNA, **LISTING}
    while True:
        page = client.read_once(Access(), Call(method="list", parameters=parameters))
        if "nextPageToken" not in page:
            return
        parameters["pageToken"] = page["nextPageToken"]


if __name__ == "__main__":
    print(json.dumps(_worker(int(sys.argv[1]))))
