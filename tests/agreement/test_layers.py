"""Who may import whom: rules are pure, adapters do not know each other, one place reads the
environment."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

PURE = {"sync.errors", "sync.model", "sync.intake.notifications", "sync.event.plan"}
ADAPTERS = {"sync.google", "sync.store", "sync.conferencing"}
# Who runs things is handed them, and names their types only.
ORDER = {
    "sync.run.engine",
    "sync.run.page",
    "sync.run.lease",
    "sync.event.carry_out",
    "sync.event.failures",
    "sync.operate.channels",
    "sync.operate.calendars",
    "sync.operate.maintenance",
}
# The public function has to start without the heavy clients.
INTAKE = PURE | {
    "sync",
    "sync.intake",
    "sync.intake.receive",
    "sync.config",
    "sync.logs",
    "sync.google",
    "sync.event",
    "sync.google.secret_manager",
    "sync.google.task_queue",
}


def modules(folder: str) -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


SYNC = modules("sync")
SANDBOX = modules("sandbox")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, with names imported from a package as modules where they
    are some."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by a relative name"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in SYNC or inner in SANDBOX else node.module


def ours(module: str) -> set[str]:
    return {name for name in imports(SYNC[module]) if name.split(".")[0] == "sync"}


def top(name: str) -> str:
    return ".".join(name.split(".")[:2])


@pytest.mark.parametrize("module", sorted(PURE))
def test_pure_modules_import_the_standard_library_and_each_other(module: str) -> None:
    """Rules look at no network, no store and no clock."""
    foreign = {
        name for name in imports(SYNC[module]) if name.split(".")[0] not in sys.stdlib_module_names
    }
    assert foreign <= PURE
    io = {
        "socket",
        "http",
        "urllib.request",
        "sqlite3",
        "subprocess",
        "os",
        "threading",
        "time",
        "logging",
        "asyncio",
    }
    assert io.isdisjoint(imports(SYNC[module]))


@pytest.mark.parametrize("module", sorted(name for name in SYNC if top(name) in ADAPTERS))
def test_adapters_do_not_import_each_other_or_whom_they_serve(module: str) -> None:
    """An adapter knows the nouns, errors, retries and logging; `services` hands it whatever else it
    needs.

    Two exceptions are by design: providers are built from their settings, and Calendar's client is
    given credentials.
    """
    allowed = PURE | {"sync.backoff", "sync.logs", top(module)}
    allowed |= {"sync.config"} if top(module) == "sync.conferencing" else set()
    allowed |= {"sync.google.credentials"} if module == "sync.google.calendar" else set()
    assert {top(name) for name in ours(module)} <= allowed


@pytest.mark.parametrize("module", sorted(SYNC))
def test_the_parts_meet_in_services_alone(module: str) -> None:
    """Nobody but `services` (and `intake`, for the public function) imports what makes
    connections."""
    makers = {"sync.store.firestore", "sync.store.sqlite"}
    if module not in ("sync.services", *makers):
        assert makers.isdisjoint(ours(module))


@pytest.mark.parametrize("module", sorted(ORDER & SYNC.keys()))
def test_those_who_run_things_import_no_library_of_a_service(module: str) -> None:
    """Above the adapters nobody sees a library: the standard library and ourselves."""
    foreign = {
        name for name in imports(SYNC[module]) if name.split(".")[0] not in sys.stdlib_module_names
    }
    assert all(name.split(".")[0] == "sync" for name in foreign)


def test_nobody_imports_those_who_run_things_but_each_other_and_main() -> None:
    """Imports point one way."""
    for module in SYNC:
        if module not in ORDER:
            assert ORDER.isdisjoint(ours(module)), module


def test_no_two_modules_import_each_other() -> None:
    """Every module can be read after those that it imports."""
    reached: dict[str, set[str]] = {
        name: {each for each in ours(name) if each != name} for name in SYNC
    }
    reached["sync.store"] -= {"sync.store.documents"}
    done: set[str] = set()
    while len(done) < len(reached):
        ready = {
            name
            for name in reached.keys() - done
            # A submodule that imports its own package sees what the package has defined before it.
            if all(
                each in done or name.startswith(f"{each}.") or each not in reached
                for each in reached[name]
            )
        }
        assert ready, f"import each other: {sorted(reached.keys() - done)}"
        done |= ready


def test_the_sandbox_and_the_project_do_not_know_each_other() -> None:
    """Stand-ins imitate the services, not our idea of them; and what is deployed needs no
    stand-in."""
    for name, path in SANDBOX.items():
        assert not any(each.split(".")[0] in ("sync", "main") for each in imports(path)), name
    for path in (*SYNC.values(), ROOT / "main.py"):
        assert not any(each.split(".")[0] in ("sandbox", "tests") for each in imports(path)), path


def test_only_config_knows_the_environment() -> None:
    """No other module of `sync` looks at os.environ; `config` is handed it by `main`."""
    for name, path in SYNC.items():
        text = ast.unparse(ast.parse(path.read_text()))
        if name != "sync.config":
            assert "environ[" not in text, name
            assert "os.environ" not in text, name
            assert "getenv" not in text, name


def test_only_main_knows_the_framework() -> None:
    """Requests and answers end at `main`."""
    for name, path in SYNC.items():
        assert not any(
            each.split(".")[0] in ("functions_framework", "flask", "werkzeug")
            for each in imports(path)
        ), name
    assert "functions_framework" in set(imports(ROOT / "main.py"))


def test_no_client_is_made_at_import() -> None:
    """Nothing at the top of a module of ours opens anything: connections do not survive
    gunicorn's fork."""
    for name, path in SYNC.items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign | ast.Expr | ast.AnnAssign):
                assert "Client(" not in ast.unparse(node), name


_LOADED = "import sys, json, main; print(json.dumps(sorted(sys.modules)))"


def loaded(target: str) -> set[str]:
    environment = {
        "PATH": "",
        "FUNCTION_TARGET": target,
        "GOOGLE_CLOUD_PROJECT": "p",
        "SYNC_QUEUE": "projects/p/locations/l/queues/q",
        "SYNC_WORKER_URL": "https://worker.example.com",
        "SYNC_NOTIFICATION_URL": "https://receive.example.com",
        "SYNC_CHANNEL_KEY": "projects/p/secrets/k",
        "SYNC_PROVIDERS": json.dumps(
            [
                {
                    "name": "my-web",
                    "type": "rest",
                    "solutions": ["My Web"],
                    "base_url": "https://meet.example.com",
                    "secret": "projects/p/secrets/s",
                }
            ]
        ),
    }
    done = subprocess.run(
        [sys.executable, "-c", _LOADED],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_public_function_loads_neither_firestore_nor_calendar() -> None:
    """It starts in a fraction of the time, and can reach neither."""
    names = loaded("receive_notification")
    for heavy in (
        "google.cloud.firestore",
        "google.cloud.firestore_v1",
        "googleapiclient",
        "httpx",
        "sqlite3",
        "cattrs",
    ):
        assert heavy not in names
    assert {name for name in names if name.split(".")[0] == "sync"} <= INTAKE


def test_the_worker_loads_everything_at_its_start() -> None:
    """No import waits for the first task."""
    assert {
        "sync.run.engine",
        "sync.services",
        "google.cloud.firestore",
        "googleapiclient",
    } <= loaded("sync_calendar")
