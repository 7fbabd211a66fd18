"""What speed and memory cost, in one table: `make benchmark`.

What is compared runs in turn in one process or one run, so that the ratios count and not this
machine. Nothing here passes or fails by time: `tests/agreement/test_budgets.py` bounds what can be
counted. `--json PATH` and `--svg PATH` write the same rows, `--page` puts them into the page of
docs, `--imports TARGET` lists what each import costs that function, `--quick` shows that everything
runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks import changes, cold_start, figure, intake, listing, operations
from tests.benchmarks.pages import DOCS, filled
from tests.benchmarks.rows import Row

PAGE, PICTURE = DOCS / "performance.md", DOCS / "images" / "performance.svg"

Measurement = Callable[[], list[Row]]


def measurements(*, quick: bool) -> dict[str, Measurement]:
    """The topics of the table, in order."""
    if quick:
        return {
            "intake": lambda: intake.measure(100, 1),
            "cold": lambda: cold_start.measure(1),
            "first": lambda: cold_start.first_answers(1),
            "one": lambda: changes.one(3),
            "steady": lambda: changes.steady(10),
            "many": lambda: changes.many(24, [8], 1),
            "operations": operations.measure,
            "listing": lambda: listing.measure([1_000], 1),
            "others": lambda: changes.beside_others(16),
        }
    return {
        "intake": lambda: intake.measure(800, 7),
        "cold": lambda: cold_start.measure(7),
        "first": lambda: cold_start.first_answers(5),
        "one": lambda: changes.one(100),
        "steady": lambda: changes.steady(200),
        "many": lambda: changes.many(250, [25, 100, 250], 3),
        "operations": operations.measure,
        "listing": lambda: listing.measure([1_000, 10_000, 100_000], 5),
        "others": lambda: changes.beside_others(100),
    }


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield "| what | value | spread | aim |"
    yield "|---|---|---|---|"
    for row in rows:
        yield f"| {' | '.join(row.cells())} |"


def machine() -> str:
    """Say when and where this runs, with the load of the last fifteen minutes."""
    today, processors, load = datetime.now(UTC), os.cpu_count(), os.getloadavg()[2]
    return (
        f"Measured on {today:%Y-%m-%d}: {processors} processors ({platform.machine()}), load "
        f"average {load:.1f}, Python {platform.python_version()}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--only", action="append", help="a topic; may be given several times")
    parser.add_argument("--json", type=Path, help="write the rows to this file as well")
    parser.add_argument("--svg", type=Path, help="draw the rows with an aim into this file")
    parser.add_argument("--page", action="store_true", help="fill docs/performance.md, too")
    parser.add_argument(
        "--imports", metavar="TARGET", help="list what each import costs a function"
    )
    arguments = parser.parse_args()
    if arguments.imports:
        for name, milliseconds in cold_start.costs(arguments.imports)[:40]:
            print(f"{milliseconds:8.1f} ms  {name}")
        return
    topics = measurements(quick=arguments.quick)
    rows = [row for name in arguments.only or topics for row in topics[name]()]
    lines = "\n".join(table(rows)) + "\n"
    print(lines, end="")
    if arguments.page:
        PAGE.write_text(filled(PAGE.read_text(), {"measured": f"\n{machine()}\n\n{lines}\n"}))
        PICTURE.write_text(figure.svg(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    if arguments.svg:
        arguments.svg.write_text(figure.svg(rows))


if __name__ == "__main__":
    main()
