"""Puts load on real processes, and tells what came of it: `make load`, `make load STORE=firestore`.

    python -m tests.load                                  100 calendars, 5,000 notifications
    python -m tests.load --calendars 3 --notifications 30 --bursts 2      a small one

The provider answers after 100 ms, and one call of a hundred with 503. What is not in step in the
end is listed, and so is what failed. The exit status is 1 if there is any. A run of the full size
writes its line of the table in docs/promises.md.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

from sandbox.processes import FirestoreEmulator
from tests.support import blocks
from tests.support.under_load import Load, Measured, measure

PAGE = blocks.DOCS / "promises.md"
COMMAND = "make load"
STORES = {"sqlite": "SQLite", "firestore": "Firestore's emulator"}
_HEAD = (
    "| store | changes lost | changes a second | p50 | p99 | worker's processor, a change | "
    "worker | receiver | worker's connections | measured |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def row(store: str, measured: Measured) -> str:
    """The table's line of one store."""
    lost = len(measured.not_in_step) + len(measured.failures)
    cells = [
        STORES[store],
        f"{lost} of {len(measured.times):,}",
        f"{measured.changes_a_second:.0f}",
        f"{measured.time(0.5):.2f} s",
        f"{measured.time(0.99):.2f} s",
        f"{measured.worker_processor_seconds / len(measured.times) * 1000:.1f} ms",
        f"{measured.worker_megabytes:.0f} MB",
        f"{measured.receiver_megabytes:.0f} MB",
        str(measured.open_at_once),
        f"{datetime.now(UTC).date()}, {os.cpu_count()} cores",
    ]
    return f"| {' | '.join(cells)} |"


def told(measured: Measured) -> Iterator[str]:
    """Yield what the table does not say."""
    yield (
        f"{measured.calls} calls to the provider, {measured.errors} answered with 503; "
        f"{measured.runs} tasks delivered, {measured.held} of them while another run held the "
        f"calendar; the worker opened {measured.opened.total()} connections: "
        + ", ".join(f"{name} {number}" for name, number in measured.opened.most_common())
    )
    for name in measured.not_in_step:
        yield f"not in step: {name}"
    for failure in measured.failures:
        yield f"failure: {failure}"


def table(rows: list[str]) -> str:
    return "\n".join([_HEAD, *rows])


def _keep(store: str, line: str) -> None:
    """Put one store's line into the page, beside that of the other."""
    known = {one.split("|")[1].strip(): one for one in blocks.read(PAGE, COMMAND).splitlines()[2:]}
    known[STORES[store]] = line
    blocks.write(PAGE, COMMAND, table([known[name] for name in STORES.values() if name in known]))


def main() -> int:
    usual = Load()
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--store", choices=list(STORES), default="sqlite")
    for name in Load.__dataclass_fields__:
        value = getattr(usual, name)
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=type(value), default=value, help=f"usually {value}")
    asked = vars(parser.parse_args())
    store = asked.pop("store")
    load = Load(**asked)
    with ExitStack() as stack:
        host = None
        if store == "firestore":
            emulator = stack.enter_context(FirestoreEmulator())
            emulator.wait_ready()
            host = emulator.host
        measured = measure(load, host)
    line = row(store, measured)
    print(table([line]), *told(measured), sep="\n")
    if load == usual:
        _keep(store, line)
    return int(bool(measured.not_in_step or measured.failures))


if __name__ == "__main__":
    sys.exit(main())
