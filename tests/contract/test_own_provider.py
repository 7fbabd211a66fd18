"""The worked example of docs/writing-a-provider.md, word for word: loaded, registered from
outside, and working. It passes the suite of all providers, too (conftest, `EXAMPLE`)."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sync import conferencing
from sync.conferencing import Adapter, Context
from sync.errors import ConfigurationError, CredentialsRefused, Gone, Invalid, SyncError, TryLater
from tests.support.acme import Acme, blocks
from tests.support.providers import SECRET, content, settings_of

Json = dict[str, Any]


@pytest.fixture
def acme() -> Iterator[Acme]:
    acme = Acme()
    acme.start()
    yield acme
    acme.stop()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's code as a module that can be imported, published as an entry point too."""
    (code,) = blocks("python")
    assert 50 <= len([line for line in code.splitlines() if line.strip()]) <= 95, (
        "about seventy lines, as the page says"
    )
    (tmp_path / "acme_meetings.py").write_text(code)
    published = blocks("toml")[0]
    group = re.search(r'entry-points."(.+)"', published)
    assert group is not None
    assert group[1] == conferencing.ENTRY_POINTS
    info = tmp_path / "acme_meetings-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-meetings\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        f"[{group[1]}]\nacme = acme_meetings:AcmeMeetings\nbroken = acme_meetings:Nothing\n"
    )
    (tmp_path / "half_written.py").write_text(
        "NUMBER = 5\n\n\ndef anything(settings, context):\n    return NUMBER\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "acme_meetings", raising=False)
    importlib.invalidate_caches()
    yield tmp_path
    sys.modules.pop("acme_meetings", None)
    sys.modules.pop("half_written", None)


def entry(base_url: str = "https://acme.example/api", **changes: Any) -> Json:
    """The entry that the page shows, at another address."""
    shown = json.loads(blocks("json")[0])
    # Read where all of an entry's settings are, not by the adapter.
    del shown["hosts"]
    return {**shown, "base_url": base_url, "secret": SECRET, **changes}


def provider(acme: Acme, **changes: Any) -> Adapter:
    context = Context(
        read_secret=lambda _name, _age: b'{"token": "first"}', clock=lambda: datetime.now(UTC)
    )
    settings = [settings_of(entry(acme.base_url, **changes))]
    return conferencing.providers(settings, context)["acme"]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("kind", ["acme_meetings:AcmeMeetings", "acme"])
def test_the_example_lives_its_life(acme: Acme, kind: str) -> None:
    """Registered by its class or by its published name: created once, looked at, changed,
    deleted."""
    meetings = provider(acme, type=kind)
    made = meetings.create(content(), "key")
    assert meetings.create(content(), "key") == made == meetings.read(made.conference_id)
    assert made.entry_points[0].uri == "https://meet.acme.example/m-1"
    renamed = content(title="Renamed")
    sight = meetings.look(made.conference_id, renamed)
    assert (sight.hosts, sight.differs) == (frozenset({"host@example.com"}), frozenset({"title"}))
    meetings.update(made.conference_id, renamed, sight.differs)
    assert acme.conferences["m-1"]["title"] == "Renamed"
    for _ in range(2):
        meetings.delete(made.conference_id)
    with pytest.raises(Gone):
        meetings.read(made.conference_id)
    meetings.close()


@pytest.mark.usefixtures("package")
def test_the_example_says_what_went_wrong(acme: Acme) -> None:
    """Its errors are those of every provider."""
    meetings = provider(acme)
    made = meetings.create(content(), "key").conference_id
    faults: list[tuple[dict[str, Any], type[SyncError]]] = [
        ({"status": 429, "headers": {"Retry-After": "5"}}, TryLater),
        ({"status": 503}, TryLater),
        ({"status": 400, "body": {"error": "No such time."}}, Invalid),
        ({"status": 404, "body": "default backend - 404"}, TryLater),
        ({"truncate": True}, TryLater),
        ({"status": 401}, CredentialsRefused),
    ]
    for fault, expected in faults:
        acme.faults.add(path="/api/", **fault)
        with pytest.raises(expected):
            meetings.update(made, content(), frozenset({"title"}))
    meetings.close()


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("meetings", "unknown; use one of .*rest.*zoom"),
        ("no_such_module:Class", "ModuleNotFoundError"),
        ("acme_meetings:Nothing", "AttributeError"),
        ("broken", "AttributeError"),
        ("half_written:NUMBER", "no class"),
        (":AcmeMeetings", "cannot be loaded"),
        ("acme_meetings:", "cannot be loaded"),
        ("os:system", "does not make a provider"),
        ("half_written:anything", "does not make a provider"),
    ],
)
def test_what_cannot_be_loaded_stops_the_function_with_a_sentence(kind: str, reason: str) -> None:
    """The variable, the provider, the type, and what to do."""
    with pytest.raises(
        ConfigurationError, match=rf"^SYNC_PROVIDERS, provider acme: type .*{reason}"
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
