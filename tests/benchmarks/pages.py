"""Tables in pages of `docs/` that a command makes: between two marks, with prose around them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"

_TABLE = re.compile(
    r"(<!-- made by `make [a-z-]+`: (?P<name>[a-z ]+) -->\n)(?P<body>.*?)(<!-- end -->)", re.S
)


def tables(text: str) -> dict[str, str]:
    """Return what stands between the marks of a page, by the tables' names."""
    return {found["name"]: found["body"] for found in _TABLE.finditer(text)}


def filled(text: str, made: Mapping[str, str]) -> str:
    """Return a page with the tables that were made. Others stay as they are.

    Raises KeyError for a table that has no place in the page.
    """
    if missing := made.keys() - tables(text).keys():
        raise KeyError(f"no place for {', '.join(sorted(missing))}")

    def table(found: re.Match[str]) -> str:
        body = made.get(found["name"], found["body"])
        return f"{found[1]}{body}{found[4]}"

    return _TABLE.sub(table, text)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, with an empty line before and after it."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"
