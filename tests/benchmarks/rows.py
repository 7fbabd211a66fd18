"""The lines of the table, and how one line comes from several measured pairs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured value: the median of several, with the least and the most of them.

    `aim` is what the value should reach, `at_most` or `at_least`. Without one, the row explains
    another row, or shows a limit.
    """

    topic: str
    name: str
    value: float
    least: float
    most: float
    unit: str = ""
    aim: float | None = None
    at_most: bool = True
    note: str = ""

    @property
    def reached(self) -> bool | None:
        if self.aim is None:
            return None
        return self.value <= self.aim if self.at_most else self.value >= self.aim

    def cells(self) -> tuple[str, str, str, str]:
        """What a line of the table shows: name, value, spread, aim."""
        spread = "" if self.least == self.most else f"{number(self.least)} to {number(self.most)}"
        aim = ""
        if self.aim is not None:
            aim = f"{'at most' if self.at_most else 'at least'} {number(self.aim)}"
            aim += "" if self.reached else " (missed)"
        return self.name, f"{number(self.value)} {self.unit}".strip(), spread, aim


def row(
    topic: str,
    name: str,
    values: Sequence[float],
    *,
    unit: str = "",
    at_most: float | None = None,
    at_least: float | None = None,
    note: str = "",
) -> Row:
    """Make a row of measured values, at least one."""
    return Row(
        topic=topic,
        name=name,
        value=statistics.median(values),
        least=min(values),
        most=max(values),
        unit=unit,
        aim=at_least if at_most is None else at_most,
        at_most=at_least is None,
        note=note,
    )


def number(value: float) -> str:
    """`1234.5` is `1,234`, `12.34` is `12.3`, `1.234` is `1.23`, `3.0` is `3`."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of them lie; of few values, the nearest one above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
