"""`ccsync` against the real functions in the sandbox, and against a small server of the
interface's words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.page import Page
from sandbox.world import World, calendar_path
from tests.support.manage_server import ManageServer
from tests.support.operator import Gcloud, Operator


@pytest.fixture(scope="session")
def running_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Page]]:
    """The sandbox, with the page at which `--sandbox` finds it."""
    settings = {"SYNC_DELETE_GRACE_SECONDS": "60", "SYNC_COALESCE_SECONDS": "0"}
    world = World(tmp_path_factory.mktemp("world"), settings=settings)
    with Page(world) as page, world:
        yield world, page
        # Nobody reads their state again, and a gentle end takes seconds.
        for function in world.functions.values():
            function.kill()


@pytest.fixture
def world(running_sandbox: tuple[World, Page]) -> World:
    return running_sandbox[0]


@pytest.fixture
def in_sandbox(
    running_sandbox: tuple[World, Page], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Operator]:
    """An operator of the sandbox, in which no calendar is started yet."""
    world, page = running_sandbox
    monkeypatch.setenv("CCSYNC_SANDBOX", page.url)
    yield Operator("--sandbox")
    for each in world.manage("GET", "/calendars").json()["calendars"]:
        world.manage("DELETE", calendar_path(each["calendar_id"])).raise_for_status()


@pytest.fixture(scope="session")
def running_server() -> Iterator[ManageServer]:
    with ManageServer() as server:
        yield server


@pytest.fixture
def server(running_server: ManageServer) -> ManageServer:
    """The small server, as if it had just been started."""
    running_server.reset()
    return running_server


@pytest.fixture
def operator(server: ManageServer) -> Operator:
    """An operator of the small server."""
    return Operator("--url", server.url)


@pytest.fixture
def gcloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gcloud:
    """A gcloud that is first on PATH."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    return Gcloud(directory)
