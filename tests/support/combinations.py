"""Which combinations of a store and a conferencing system a run leaves out.

Many stories are told of each system on each store. No adapter knows the store, and no store knows
the systems (tests/agreement/test_layers.py), so a story goes through every system on SQLite, and
through one of them on Firestore's emulator, where it costs four times as much. Which one depends on
the test's name, so each system has its share of them. `make test-all` runs every combination.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from zlib import crc32

import pytest

from sandbox.systems import SYSTEMS


def left_out(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Return the tests on Firestore that differ from a chosen one in nothing but the system.

    `test_moved[zoom-firestore]` and `test_moved[teams-firestore]` are one story, of which one test
    stays; `test_moved[zoom-sqlite]` stays in any case. The order of `items` makes no difference.
    """
    stories: defaultdict[tuple[str, ...], dict[str, pytest.Item]] = defaultdict(dict)
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("firestore"):
            system = _system_of(item)
            if system is not None:
                stories[_without(item, system)][system] = item
    left: list[pytest.Item] = []
    for story, by_system in stories.items():
        names = sorted(by_system)
        chosen = names[crc32("-".join(story).encode()) % len(names)]
        left += [item for system, item in by_system.items() if system != chosen]
    return left


def _system_of(item: pytest.Function) -> str | None:
    """Return the name of the system that is a parameter of the test."""
    values = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return next((value for value in values if isinstance(value, str) and value in SYSTEMS), None)


def _without(item: pytest.Function, system: str) -> tuple[str, ...]:
    parts = item.callspec.id.split("-")
    parts.remove(system)
    return (item.nodeid.partition("[")[0], *parts)
