"""The stand-ins of all conferencing systems, started once a module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.rest import Rest
from tests.support.providers import _SYSTEMS


@pytest.fixture(scope="module")
def systems() -> Iterator[dict[str, Any]]:
    """One server of each kind for all tests; every test has it anew by `reset`."""
    made: dict[str, Any] = {
        "rest": Rest(),
        **{name: kind() for name, kind in _SYSTEMS.items()},
    }
    for system in made.values():
        system.start()
    yield made
    for system in made.values():
        system.stop()
