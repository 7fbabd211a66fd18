"""Takes each dependency away in each way, and writes what came of it: `make outages`.

    python -m tests.outages                                   all, into docs/promises.md
    python -m tests.outages --dependency store --way 5xx      some, into the table that is there

The exit status is 1 if anything is lost, or if anything happened that nobody foresaw.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta

from sandbox.processes import FirestoreEmulator
from tests.support import blocks
from tests.support.outage import DEPENDENCIES, DURATIONS, WAYS, Outage, Outcome, site, suffer

PAGE = blocks.DOCS / "promises.md"
COMMAND = "make outages"
_HEAD = (
    f"| away | answers | {' | '.join(f'for {lasts}' for lasts in DURATIONS)} |\n"
    "|---|---|---|---|---|"
)
# Rounded up to these, so that the random part of a delay does not show.
_STEPS = {
    timedelta(minutes=5): "5 minutes",
    timedelta(minutes=20): "20 minutes",
    timedelta(hours=1): "an hour",
    timedelta(hours=2): "2 hours",
    timedelta(hours=6): "6 hours",
    timedelta(days=1): "a day",
    timedelta(days=2): "2 days",
}


def all_outages() -> list[Outage]:
    return [
        Outage(dependency=dependency, way=way, lasts=lasts)
        for dependency in DEPENDENCIES
        for way in WAYS
        for lasts in DURATIONS
    ]


def cell(outcome: Outcome) -> str:
    """What the table says: what is met at the end of the outage, and when all is in step."""
    met = ", ".join(outcome.met) or "nothing waits"
    if outcome.again is None:
        return f"{met}: **lost**"
    within = next((name for most, name in _STEPS.items() if outcome.again <= most), "later")
    denied = f", {outcome.denied} left that it had denied" if outcome.denied else ""
    return f"{met}: {within if outcome.again else 'in step meanwhile'}{denied}"


def table(cells: Mapping[Outage, str]) -> str:
    lines = [_HEAD]
    for dependency, name in DEPENDENCIES.items():
        for way in WAYS:
            row = [cells[Outage(dependency=dependency, way=way, lasts=each)] for each in DURATIONS]
            lines.append(f"| {name} | {way} | {' | '.join(row)} |")
    return "\n".join(lines)


def said() -> dict[Outage, str]:
    """Return what the page says of each outage, in its order."""
    cells = {}
    names = {name: dependency for dependency, name in DEPENDENCIES.items()}
    for line in blocks.read(PAGE, COMMAND).removeprefix(_HEAD).strip().splitlines():
        name, way, *row = (each.strip() for each in line.strip("|").split("|"))
        for lasts, text in zip(DURATIONS, row, strict=True):
            cells[Outage(dependency=names[name], way=way, lasts=lasts)] = text
    return cells


def _suffer_all(
    outages: Sequence[Outage], results: multiprocessing.Queue[tuple[Outage, Outcome, float]]
) -> None:
    with ExitStack() as stack:
        host = None
        if any(each.dependency == "store" for each in outages):
            emulator = stack.enter_context(FirestoreEmulator())
            emulator.wait_ready()
            host = emulator.host
        for each in outages:
            began = time.monotonic()
            # Each from today on: a clock that is weeks ahead is more than Cloud Tasks takes.
            try:
                with site(host) as stand:
                    outcome = suffer(stand, each)
            except Exception as error:  # the others are still told
                outcome = Outcome(met=(), again=None, crashes=(repr(error),))
            results.put((each, outcome, time.monotonic() - began))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.outages", description=__doc__)
    parser.add_argument("--dependency", choices=list(DEPENDENCIES))
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--lasts", choices=list(DURATIONS))
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    # Trouble is what is asked for here: nobody reads of each.
    logging.disable(logging.CRITICAL)
    everything = all_outages()
    chosen = [
        each
        for each in everything
        if asked.dependency in (None, each.dependency)
        and asked.way in (None, each.way)
        and asked.lasts in (None, each.lasts)
    ]
    outcomes = _side_by_side(chosen, asked.processes)
    cells = {**said(), **{outage: cell(outcome) for outage, outcome in outcomes.items()}}
    if cells.keys() == set(everything):
        blocks.write(PAGE, COMMAND, table(cells))
    return int(any(each.again is None or each.crashes for each in outcomes.values()))


def _side_by_side(chosen: Sequence[Outage], processes: int) -> dict[Outage, Outcome]:
    results: multiprocessing.Queue[tuple[Outage, Outcome, float]] = multiprocessing.Queue()
    # The longest are shared out first.
    shared = sorted(chosen, key=lambda each: DURATIONS[each.lasts], reverse=True)
    workers = [
        multiprocessing.Process(target=_suffer_all, args=(shared[number::processes], results))
        for number in range(min(processes, len(chosen)))
    ]
    for worker in workers:
        worker.start()
    outcomes = {}
    for _ in chosen:
        outage, outcome, seconds = results.get()
        outcomes[outage] = outcome
        print(f"{outage}: {cell(outcome)} ({outcome.again}, {seconds:.1f} s)", flush=True)
        for word in (*outcome.lost, *outcome.crashes):
            print(f"    {word}", flush=True)
    for worker in workers:
        worker.join()
    return outcomes


if __name__ == "__main__":
    sys.exit(main())
