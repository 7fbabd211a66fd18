"""What the stories share: each conferencing system once for a file, and both stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from sandbox.google_calendar import GoogleCalendar
from sandbox.systems import ConferencingSystem
from tests.support.bench import BenchMaker
from tests.support.worlds import NAMES, Connect, Connected, Systems, connect, running


@pytest.fixture(scope="module")
def systems() -> Iterator[Systems]:
    """Starts a conferencing system when a test first asks for it."""
    started: dict[str, ConferencingSystem[Any]] = {}
    with ExitStack() as stack:

        def system(name: str) -> ConferencingSystem[Any]:
            if name not in started:
                started[name] = stack.enter_context(running(name))
            return started[name]

        yield system


@pytest.fixture(params=["sqlite", pytest.param("firestore", marks=pytest.mark.firestore)])
def store(request: pytest.FixtureRequest) -> str:
    """The name of a store, for `make_bench`."""
    return str(request.param)


@pytest.fixture
def connected(make_bench: BenchMaker, systems: Systems, store: str) -> Connect:
    """Makes a bench with the system of that name, on both stores. Else as `worlds.connect`."""
    return lambda name, **settings: connect(make_bench, systems(name), store, **settings)


@pytest.fixture(params=NAMES)
def world(connected: Connect, request: pytest.FixtureRequest) -> Connected:
    """A bench with each conferencing system in turn, on both stores."""
    return connected(request.param)


@pytest.fixture
def manners(google_calendar: GoogleCalendar) -> Iterator[Callable[..., None]]:
    """Changes how the stand-in for Calendar behaves, until the end of the test."""
    before = google_calendar.settings.to_json()
    yield lambda **changes: google_calendar.settings.update(changes)
    google_calendar.settings.update(before)
