"""The worked example of docs/writing-a-provider.md, word for word: loaded, registered from
outside, and working."""

from __future__ import annotations

import importlib
import itertools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest

from sandbox.faults import Faults
from sandbox.servers import HttpServer
from sync import conferencing
from sync.conferencing import Provider
from sync.errors import (
    ConfigurationError,
    CredentialsRefused,
    Gone,
    Invalid,
    NoOccurrences,
    TryLater,
)
from sync.services import utc_now
from tests.support.providers import SECRET, content, settings_of

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "writing-a-provider.md"
Json = dict[str, Any]


class AcmeRooms:
    """The made-up system of that page."""

    def __init__(self) -> None:
        self.rooms: dict[str, Json] = {}
        self.keys: dict[str, str] = {}
        self.faults = Faults()
        self.api_key = "key-1"
        self._numbers = itertools.count(1)
        app = flask.Flask("acme")
        self.faults.install(app)
        app.before_request(self._admit)
        app.add_url_rule("/api/rooms/by-key/<key>", view_func=self._put, methods=["PUT"])
        app.add_url_rule(
            "/api/rooms/<room_id>", view_func=self._room, methods=["GET", "PATCH", "DELETE"]
        )
        self.server = HttpServer(app)

    def _admit(self) -> Any:
        return None if flask.request.headers.get("X-Api-Key") == self.api_key else ("", 401)

    def _put(self, key: str) -> Any:
        room_id = self.keys.setdefault(key, f"room-{next(self._numbers)}")
        door = {"id": room_id, "door": f"https://rooms.acme.example/{room_id}", "code": "1234"}
        self.rooms[room_id] = {**flask.request.get_json(), **door}
        return self.rooms[room_id]

    def _room(self, room_id: str) -> Any:
        if room_id not in self.rooms:
            return "", 404
        if flask.request.method == "DELETE":
            del self.rooms[room_id]
            return "", 204
        if flask.request.method == "PATCH":
            self.rooms[room_id].update(flask.request.get_json())
        return self.rooms[room_id]


@pytest.fixture
def acme() -> Iterator[AcmeRooms]:
    acme = AcmeRooms()
    acme.server.start()
    yield acme
    acme.faults.clear()
    acme.server.stop()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's code as a module that can be imported, published as an entry point too."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    code = blocks[0]
    assert 50 <= len([line for line in code.splitlines() if line.strip()]) <= 85, (
        "about sixty lines, as the page says"
    )
    (tmp_path / "acme_rooms.py").write_text(code)
    published = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)[0]
    group = re.search(r'entry-points."(.+)"', published)
    assert group is not None
    assert group[1] == conferencing.ENTRY_POINTS
    info = tmp_path / "acme_rooms-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-rooms\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        f"[{group[1]}]\nacme = acme_rooms:AcmeRooms\nbroken = acme_rooms:Nothing\n"
    )
    (tmp_path / "half_written.py").write_text(
        "NUMBER = 5\n\n\ndef fail():\n    raise ImportError\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield tmp_path
    sys.modules.pop("acme_rooms", None)
    sys.modules.pop("half_written", None)


def entry(acme_url: str = "https://rooms.acme.example", **changes: Any) -> Json:
    """The entry that the page shows, at another address."""
    shown = re.findall(r"^```json\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)[0]
    return {**json.loads(shown), "base_url": f"{acme_url}/api", "secret": SECRET, **changes}


def provider(acme: AcmeRooms, **changes: Any) -> Provider:
    def read_secret(_name: str, _age: float) -> bytes:
        return b'{"api_key": "key-1"}'

    settings = [settings_of(entry(acme.server.url, **changes))]
    return conferencing.providers(settings, read_secret, utc_now)["rooms"]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("kind", ["acme_rooms:AcmeRooms", "acme"])
def test_the_example_lives_its_life(acme: AcmeRooms, kind: str) -> None:
    """Registered by its class or by its published name: created once, read, changed, deleted."""
    rooms = provider(acme, type=kind)
    made = rooms.create(content(), "key")
    assert rooms.create(content(), "key") == made == rooms.read(made.conference_id)
    assert made.entry_points[0].uri == "https://rooms.acme.example/room-1"
    (room,) = acme.rooms.values()
    assert (room["title"], room["start"], room["end"]) == (
        "Weekly",
        "2026-05-04T08:00:00Z",
        "2026-05-04T09:00:00Z",
    )
    rooms.update(
        made.conference_id,
        content(title="Renamed", end="2026-05-04T12:00:00Z"),
        frozenset({"title"}),
    )
    assert (room["title"], room["end"]) == ("Renamed", "2026-05-04T09:00:00Z")
    rooms.update(made.conference_id, content(), frozenset({"attendees"}))
    with pytest.raises(NoOccurrences):
        rooms.update_occurrence(made.conference_id, "2026-05-11T08:00:00Z", content())
    with pytest.raises(NoOccurrences):
        rooms.cancel_occurrence(made.conference_id, "2026-05-11T08:00:00Z")
    for _ in range(2):
        rooms.delete(made.conference_id)
    with pytest.raises(Gone):
        rooms.read(made.conference_id)
    rooms.close()


@pytest.mark.usefixtures("package")
def test_the_example_says_what_went_wrong(acme: AcmeRooms) -> None:
    """Its errors are those of every provider."""
    rooms = provider(acme)
    made = rooms.create(content(), "key").conference_id
    for fault, expected in [
        ({"status": 429, "headers": {"Retry-After": "5"}}, TryLater),
        ({"status": 503}, TryLater),
        ({"status": 400, "body": {"error": "No such time."}}, Invalid),
        ({"status": 401}, CredentialsRefused),
        ({"truncate": True}, TryLater),
    ]:
        acme.faults.add(path="/api/", **fault)  # type: ignore[arg-type]  # the values differ in type
        with pytest.raises(expected):
            rooms.update(made, content(), frozenset({"title"}))
    rooms.close()


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("rooms", "unknown; use one of .*rest.*zoom"),
        ("no_such_module:Class", "ModuleNotFoundError"),
        ("acme_rooms:Nothing", "AttributeError"),
        ("broken", "AttributeError"),
        ("half_written:NUMBER", "no class"),
        (":AcmeRooms", "cannot be loaded"),
        ("acme_rooms:", "cannot be loaded"),
        ("os:system", "does not make a provider"),
    ],
)
def test_what_cannot_be_loaded_stops_the_function_with_a_sentence(kind: str, reason: str) -> None:
    """The variable, the provider, the type, and what to do."""
    with pytest.raises(
        ConfigurationError, match=rf"^SYNC_PROVIDERS, provider rooms: type .*{reason}"
    ):
        conferencing.check([settings_of(entry(type=kind))])


@pytest.mark.usefixtures("package")
def test_its_own_mistakes_of_configuration_are_found_at_start() -> None:
    """The constructor checks its options."""
    wrong = entry()
    del wrong["base_url"]
    with pytest.raises(ConfigurationError, match="base_url is missing"):
        conferencing.check([settings_of(wrong)])
    conferencing.check([settings_of(entry())])
