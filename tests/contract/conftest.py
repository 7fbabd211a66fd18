"""The stand-ins of all conferencing systems, started once a module; the provider under test; and
both stores."""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.rest import Rest
from sync.store import Store
from tests.support.providers import _SYSTEMS, NAMES, Bench, bench_of, checked
from tests.support.stores import Gate, Keep, Made, on_firestore, on_sqlite, through

EXAMPLE = "tests.support.acme:bench"
"""The adapter of docs/writing-a-provider.md, which passes what all providers pass."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the suite of all providers be pointed at another adapter."""
    parser.addoption(
        "--provider",
        metavar="MODULE:FUNCTION",
        help="run the suite over the Bench that this function makes (docs/writing-a-provider.md)",
    )
    parser.addoption(
        "--rest-server",
        metavar="BASE_URL",
        help="test a server of the rest contract; TOKEN in the environment (docs/providers.md)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "provider_name" in metafunc.fixturenames:
        asked = metafunc.config.getoption("--provider", default=None)
        names = [asked] if asked else [*NAMES, EXAMPLE]
        metafunc.parametrize("provider_name", names, ids=[_short(name) for name in names])


def _short(name: str) -> str:
    return "example" if name == EXAMPLE else name


@pytest.fixture
def provider_bench(provider_name: str, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """One provider beside its stand-in: ours, or one that `MODULE:FUNCTION` makes."""
    module, colon, function = provider_name.partition(":")
    if not colon:
        systems = request.getfixturevalue("systems")
        with checked(bench_of(provider_name, systems[provider_name])) as bench:
            yield bench
        return
    made: Bench = getattr(importlib.import_module(module), function)()
    made.system.clock = lambda: made.now
    made.system.start()
    try:
        with checked(made) as bench:
            yield bench
    finally:
        made.system.stop()


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


@pytest.fixture(scope="session")
def gate(firestore_emulator: str) -> Iterator[Gate]:
    gate = Gate(firestore_emulator)
    gate.start()
    yield gate
    gate.stop()


@pytest.fixture
def keep() -> Iterator[Keep]:
    """Closes at the end what it is given."""
    opened: list[Store] = []

    def keep(store: Store) -> Store:
        opened.append(store)
        return store

    yield keep
    for store in opened:
        store.close()


@pytest.fixture(params=["sqlite", pytest.param("firestore", marks=pytest.mark.firestore)])
def made(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: Keep
) -> Made:
    if request.param == "sqlite":
        return on_sqlite(str(tmp_path / "deep" / "state.sqlite"), keep)
    through(request.getfixturevalue("gate"), monkeypatch)
    return on_firestore(f"test-{uuid.uuid4().hex[:12]}", keep)


@pytest.fixture
def store(made: Made) -> Store:
    return made.store
