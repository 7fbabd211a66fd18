"""The tables of docs/cost.md, and of the limits in docs/scale.md: `make cost`.

They are made from counted operations, Google's price lists and quotas. A test compares the pages
with what this prints, so a change that costs another read, write or call has to show it there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.benchmarks import limits, month, wire
from tests.benchmarks.pages import DOCS, filled, markdown
from tests.benchmarks.rows import number
from tests.benchmarks.wire import Operations

COST, SCALE = DOCS / "cost.md", DOCS / "scale.md"

_NONE = "\N{EN DASH}"

_COLUMNS = {
    "receive": "notifications received",
    "creates": "tasks created",
    "deliveries": "tasks delivered",
    "sync": "runs",
    "calendar": "calls to Calendar",
    "reads": "documents read",
    "writes": "written",
    "deletes": "deleted",
    "provider": "calls to the provider",
}


def operations(counts: Mapping[str, Operations]) -> str:
    """The operations of each thing that can happen. A dash is none."""
    return markdown(
        ["", *_COLUMNS.values()],
        ([name, *_counts(counted)] for name, counted in counts.items()),
    )


def of_a_month(counts: Mapping[str, Operations]) -> str:
    """How often each thing happens in a calendar's month, and what all of them take."""
    rows = [
        [name, f"{times:,.4g}", *_counts(counts[name] * times)]
        for name, times in month.TIMES.items()
    ]
    total = month.of_a_calendar(counts)
    rows.append(["**sum**", "", *_counts(total)])
    return markdown(["a month of a calendar", "times", *_COLUMNS.values()], rows)


def prices(counts: Mapping[str, Operations]) -> str:
    """Units and dollars of a month, for each number of calendars."""
    head = ["a month", "free", "price"]
    for calendars in month.SIZES:
        head += [f"{calendars:,}", "$"]
    units = {calendars: month.units(counts, calendars) for calendars in month.SIZES}
    rows = []
    for key, price in month.PRICES.items():
        row = [f"[{price.what}]({price.source})", _amount(price.free), _price(price)]
        for calendars in month.SIZES:
            used = units[calendars][key]
            row += [f"{_amount(used)} {price.unit}".strip(), _dollars(price.of(used))]
        rows.append(row)
    sums = {size: sum(month.dollars(counts, size).values()) for size in month.SIZES}
    rows.append(["**sum**", "", "", *_pairs(f"**{_dollars(sums[size])}**" for size in sums)])
    each = (_dollars(sums[size] / size) for size in sums)
    rows.append(["a calendar", "", "", *_pairs(each)])
    return markdown(head, rows)


def example(counts: Mapping[str, Operations]) -> str:
    """One cell of the table of prices, as arithmetic."""
    calendars = 100_000
    one = month.of_a_calendar(counts).reads
    fixed = counts[wire.HOUR].reads * month.HOURS
    price = month.PRICES["reads"]
    used = one * calendars + fixed
    free, dearness = _amount(price.free), _price(price)
    return (
        f"\nDocuments read by {calendars:,} calendars, for example: each reads {one:,.0f}, and\n"
        f"maintain {fixed:,.0f} more, which makes {_amount(used)}. Less {free} free,\n"
        f"at {dearness}, they cost {_dollars(price.of(used))}.\n\n"
    )


def reached(counts: Mapping[str, Operations]) -> str:
    """Each limit, what so many calendars take of it in their busiest hour, and what to do then."""
    sizes = month.SIZES[1:]
    head = ["limit", "", *(f"{size:,}" for size in sizes), "reached with", "what then"]
    rows = []
    for limit in limits.limits(counts):
        name = f"[{limit.what}]({limit.source})"
        taken = (_taken(limit, size) for size in sizes)
        most = f"{limit.most:,.0f} {limit.unit}"
        rows.append([name, most, *taken, _rounded(limit.calendars), limit.then])
    return markdown(head, rows)


def asked(counts: Mapping[str, Operations]) -> str:
    """What so many calendars ask of a second, and what runs and instances that takes."""
    loads = [month.load(counts, size) for size in month.SIZES]
    rows = [
        ["notifications a second", *(_count(load.notifications) for load in loads)],
        ["runs a second", *(_count(load.runs) for load in loads)],
        ["runs a second in the busiest hour", *(_count(load.busiest_runs) for load in loads)],
        ["calls to Calendar a minute then", *(_count(load.busiest_calls) for load in loads)],
        ["runs under way then", *(_count(load.busiest_under_way) for load in loads)],
        ["instances of the worker then", *(f"{load.instances:,}" for load in loads)],
    ]
    return markdown(["calendars", *(f"{size:,}" for size in month.SIZES)], rows)


def sizes(counts: Mapping[str, Operations]) -> str:
    """For some rates of the queue: whose busiest hour they are, and what else has to fit."""
    one = month.load(counts, 1)
    rows = []
    for rate in month.RATES:
        calls = rate * 60 * one.calls / one.runs
        rows.append(
            [
                f"{_rounded(rate / one.busiest_runs)}",
                f"{rate}",
                f"{month.instances(rate)}",
                f"{calls:,.0f}",
                "Google's default" if calls <= limits.REQUESTS_OF_A_PROJECT else "ask for more",
            ]
        )
    return markdown(
        [
            "up to",
            "`queue.max_dispatches_per_second`",
            "`instances.max_sync`",
            "calls to Calendar a minute, at most",
            "Calendar's quota",
        ],
        rows,
    )


def made() -> dict[Path, dict[str, str]]:
    """Count everything, and return the tables of each page by name."""
    counts = wire.counted()
    return {
        COST: {
            "operations": operations(counts),
            "a month": of_a_month(counts),
            "prices": prices(counts),
            "an example": example(counts),
        },
        SCALE: {"load": asked(counts), "limits": reached(counts), "sizes": sizes(counts)},
    }


def _counts(counted: Operations) -> list[str]:
    return [_count(getattr(counted, name)) for name in _COLUMNS]


def _taken(limit: limits.Limit, calendars: int) -> str:
    share = calendars / limit.calendars
    if share >= 10:
        return f"{share:.0f} times"
    return f"{share:.0%}" if share >= 0.01 else _NONE


def _rounded(calendars: float) -> str:
    """Two digits that count: the load is assumed, so more would say more than is known."""
    digits = len(f"{calendars:.0f}") - 2
    return f"{round(calendars, -digits):,.0f} calendars"


def _count(value: float) -> str:
    if abs(value) < 0.005:
        return _NONE
    whole = abs(value - round(value)) < 0.005
    return f"{value:,.0f}" if whole or value >= 100 else f"{value:,.2f}"


def _amount(value: float) -> str:
    """`1234` is `1,234`, `1234567` is `1.2 M`."""
    if value >= 1e6:
        return f"{number(round(value / 1e6, 1))} M"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _price(price: month.Price) -> str:
    each = {1.0: "", month.MILLION: " / M"}[price.per]
    unit = f" / {price.unit}" if price.unit else ""
    return f"${price.dollars:g}{each}{unit}"


def _dollars(value: float) -> str:
    """Cents where they count, and what a single calendar costs to a hundredth of a cent."""
    if value < 0.00005:
        return "$0"
    digits = 0 if value >= 100 else 2 if value >= 0.1 else 4
    return f"${value:,.{digits}f}"


def _pairs(cells: Iterable[str]) -> list[str]:
    """Put an empty cell, the units', before each cell of dollars."""
    return [text for cell in cells for text in ("", cell)]


def main() -> None:
    # A lost conference is counted as well, and the engine warns of it.
    logging.getLogger("sync").setLevel(logging.ERROR)
    for page, tables in made().items():
        print("".join(tables.values()), end="")
        page.write_text(filled(page.read_text(), tables))


if __name__ == "__main__":
    main()
