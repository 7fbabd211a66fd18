"""The rows that have an aim, as a picture: each bar is a value in units of its aim."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tests.benchmarks.rows import Row, number

_LINE, _LEFT, _WIDTH, _SCALE = 24, 560, 960, 150


def svg(rows: Sequence[Row]) -> str:
    """Draw a bar for each row with an aim. The upright line is the aim.

    A bar that ends left of the line is better than its aim.
    """
    shown = [each for each in rows if each.aim]
    height = _LINE * (len(shown) + 2)
    aim_x = _LEFT + _SCALE
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{aim_x}" y="16" text-anchor="middle">aim</text>',
    ]
    for place, each in enumerate(shown):
        top = _LINE * (place + 1)
        bar = min(_share(each), 2.2) * _SCALE
        colour = "#4c8c5c" if each.reached else "#c0603a"
        lines += [
            f'<text x="{_LEFT - 8}" y="{top + 14}" text-anchor="end">{escape(each.name)}</text>',
            f'<rect x="{_LEFT}" y="{top + 3}" width="{bar:.0f}" height="15" fill="{colour}"/>',
            f'<text x="{_LEFT + bar + 5:.0f}" y="{top + 14}">'
            f"{escape(f'{number(each.value)} {each.unit}')}</text>",
        ]
    lines += [
        f'<path d="M{aim_x} {_LINE - 4}V{height - _LINE}" stroke="black" stroke-dasharray="4 3"/>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _share(each: Row) -> float:
    """How much of its aim a value takes: below 1 is better than the aim."""
    assert each.aim
    return each.value / each.aim if each.at_most else each.aim / each.value
