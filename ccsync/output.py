"""What is printed: JSON or tables on stdout, remarks and errors on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ccsync.progress import Progress

_WIDTH_WITHOUT_TERMINAL = 5000
"""Nothing is folded for a file or a pipe before this."""


class Output:
    """Prints for people, or as one JSON value for programs where `as_json` is set."""

    def __init__(self) -> None:
        self.as_json = False

    def json(self, value: Any) -> None:
        """Print one JSON value."""
        click.echo(json.dumps(value, ensure_ascii=False, indent=2))

    def json_line(self, value: Any) -> None:
        """Print one JSON value on one line, for what has no end."""
        click.echo(json.dumps(value, ensure_ascii=False))
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """Print a sentence for people."""
        click.echo(text)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print a table. Foreign texts are printed as they are, without markup."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for name in columns:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*(Text(shown(value)) for value in row))
        _console(sys.stdout).print(table)

    def remark(self, text: str) -> None:
        """Say something on stderr."""
        click.echo(text, err=True)

    def error(self, code: int, text: str) -> None:
        """Say on stderr why the command ends."""
        if self.as_json:
            error = {"error": {"code": code, "message": text}}
            click.echo(json.dumps(error, ensure_ascii=False), err=True)
        else:
            click.echo(f"Error: {text}", err=True)

    def progress(self, text: str, total: int | None = None) -> Progress:
        """Return a context that shows progress once it lasts longer than a second."""
        return Progress(_console(sys.stderr), text, total)


def shown(value: object) -> str:
    """Return a value as a cell of a table shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def ago(moment: str | None, now: datetime | None = None) -> str:
    """Return how long ago a moment was, such as `3 min ago`. Empty for none."""
    if not moment:
        return ""
    seconds = ((now or datetime.now(UTC)) - parse_time(moment)).total_seconds()
    words = "ago" if seconds >= 0 else "from now"
    seconds = abs(seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit} {words}"
    return f"{seconds:.0f} s {words}"


def parse_time(text: str) -> datetime:
    """Return a moment as the server writes it, `2026-11-26T09:15:02Z`."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _console(stream: Any) -> Console:
    width = None if stream.isatty() else _WIDTH_WITHOUT_TERMINAL
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)
