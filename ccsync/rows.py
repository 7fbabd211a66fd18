"""Filters of lists: `status=broken`, `reason~quota`, `anna`."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ccsync.errors import Misused

Row = dict[str, Any]

_CONDITION = re.compile(r"([a-z_]+(?:\.[a-z_]+)*)(!?[=~])(.*)", re.DOTALL)


def chosen(rows: Iterable[Row], filters: Sequence[str], limit: int | None) -> Iterator[Row]:
    """Yield the rows that pass every filter, `limit` at most.

    `name=value` compares a member's text, `name~text` looks for a text in it, `!=` and `!~` are
    the opposites, and a bare text may stand in any member. Case does not matter. Members of
    members have dotted names: `access.subject=ann@example.com`. Reads no more rows than needed.
    Raises Misused for a name that rows do not have: no row would pass, as if all were well.
    """
    for text in filters:
        if not text.strip():
            raise Misused("--filter is empty; give name=value, name~text, or a text")
    passing = (row for row in rows if all(_passes(row, text) for text in filters))
    return itertools.islice(passing, limit)


def _passes(row: Row, text: str) -> bool:
    found = _CONDITION.fullmatch(text)
    if found is None:
        return text.lower() in _text(row).lower()
    name, operator, wanted = found[1], found[2], found[3].lower()
    value = _text(_member(row, name)).lower()
    passes = value == wanted if operator.endswith("=") else wanted in value
    return passes != operator.startswith("!")


def _member(row: Row, name: str) -> Any:
    value: Any = row
    first = name.partition(".")[0]
    if first not in row:
        raise Misused(f"--filter names {first}, which is none of {', '.join(sorted(row))}")
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
