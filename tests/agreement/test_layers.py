"""Who may import whom. Imports point one way:

`model`, `errors` < `intake.notifications`, `event.{recognise,content,marks,ownership,plan}`
(pure) <
`google`, `conferencing`, `store` (adapters, never each other) < `context` < `event`, `run`,
`operate` < `services` < `main`. `config`, `logs`, `backoff`, `single_flight` and
`tracing` are leaves.
"""

from __future__ import annotations

import ast
import functools
import graphlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def modules(folder: str) -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


SYNC = modules("sync") | {"main": ROOT / "main.py"}
SANDBOX = modules("sandbox")

NOUNS = ("sync.errors", "sync.model")
LEAVES = ("sync.config", "sync.logs", "sync.backoff", "sync.single_flight", "sync.tracing")
PURE = (
    "sync.intake.notifications",
    "sync.event.recognise",
    "sync.event.content",
    "sync.event.marks",
    "sync.event.ownership",
    "sync.event.plan",
)
ADAPTERS = ("sync.google", "sync.conferencing", "sync.store")
# What the steps of a run need of the store: its protocol, and the loop around a write.
STORE = ("sync.store", "sync.store.compare_and_set")
STEPS = ("sync.event", "sync.run", "sync.operate")

# Modules, or a package with all that is in it, and whom they may import, in the order of the
# layers. A package means its modules too, but `sync.store` means the protocol alone.
# The longest name decides: `sync.event.plan` is not bound by what `sync.event` may.
LAYERS: dict[str, tuple[str, ...]] = {
    "sync": (),
    "sync.errors": (),
    "sync.model": NOUNS,
    "sync.config": NOUNS,
    "sync.tracing": (),
    "sync.logs": (*NOUNS, "sync.tracing"),
    "sync.spans": ("sync.tracing",),
    "sync.backoff": NOUNS,
    "sync.single_flight": NOUNS,
    **dict.fromkeys(PURE, (*NOUNS, *PURE)),
    # The Calendar client returns pages as the protocol in `context` describes them.
    "sync.google": (*NOUNS, *LEAVES[1:], "sync.google"),
    "sync.google.calendar": (*NOUNS, *LEAVES[1:], "sync.google", "sync.context"),
    # Adapters are built from their entries of SYNC_PROVIDERS.
    "sync.conferencing": (*NOUNS, *LEAVES, "sync.conferencing"),
    "sync.store": (*NOUNS, "sync.store.*"),
    "sync.context": (*NOUNS, "sync.config", "sync.store"),
    "sync.event": (*NOUNS, *LEAVES[1:], *STORE, "sync.context", "sync.event"),
    "sync.run": (*NOUNS, *LEAVES[1:], *STORE, "sync.context", *STEPS),
    "sync.operate": (*NOUNS, *LEAVES[1:], *STORE, "sync.context", *STEPS),
    # The public function composes itself: it must load neither Firestore nor Calendar.
    "sync.intake": (
        *NOUNS,
        *LEAVES,
        "sync.intake",
        "sync.google.secret_manager",
        "sync.google.task_queue",
    ),
    "sync.services": (*NOUNS, *LEAVES, *ADAPTERS, "sync.store.*", "sync.context", "sync.intake"),
    "main": (
        *NOUNS,
        *LEAVES,
        "sync.context",
        "sync.intake",
        "sync.operate",
        "sync.run",
        "sync.spans",
        "sync.services",
        "sync.google.id_tokens",
        "sync.google.task_queue",
    ),
}


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """Every module that a file imports, with names imported from a package as modules where they
    are some."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
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
    found = {name for name in imports(SYNC[module]) if name.split(".")[0] in ("sync", "main")}
    assert found <= SYNC.keys(), found - SYNC.keys()
    return found


def row_of(module: str) -> str:
    """The row of the table that binds a module: its own, or that of the nearest package."""
    while module not in LAYERS:
        assert "." in module, f"{module} has no row"
        module = module.rpartition(".")[0]
        assert module != "sync", "a new part of the house needs a row"
    return module


def allows(allowed: str, module: str) -> bool:
    if allowed == "sync.store":
        return module == "sync.store"
    package = allowed.removesuffix(".*")
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("module", sorted(SYNC))
def test_imports_point_one_way(module: str) -> None:
    """Nobody imports above themselves, and adapters never each other."""
    allowed = LAYERS[row_of(module)]
    above = {name for name in ours(module) if not any(allows(each, name) for each in allowed)}
    assert above - {"sync"} == set()


def test_the_table_is_of_modules_that_exist() -> None:
    """A row, or a name in a row, that binds nobody is out of date."""
    assert LAYERS.keys() <= SYNC.keys()
    named = {each.removesuffix(".*") for row in LAYERS.values() for each in row}
    assert named <= SYNC.keys()


def test_the_rows_stand_in_order() -> None:
    """Every row of the table names rows above itself, or itself: the layers have one direction.

    `event`, `run` and `operate` are one layer.
    """
    order = list(LAYERS)
    for place, (row, allowed) in enumerate(LAYERS.items()):
        below = {row_of(each.removesuffix(".*")) for each in allowed}
        known = {*order[: place + 1], *(STEPS if row in STEPS else ())}
        if row == "sync.google.calendar":
            known.add("sync.context")
        if row in PURE:
            known |= set(PURE)
        assert below <= known, row


def test_no_two_modules_import_each_other() -> None:
    """Every module can be read after those that it imports."""
    graph = {name: ours(name) - {name} for name in SYNC}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"import each other: {error.args[1]}")


@pytest.mark.parametrize(
    "module", sorted({*PURE, *(n for n in SYNC if n.startswith("sync.model"))})
)
def test_rules_and_nouns_import_nothing_that_looks_outside(module: str) -> None:
    """No network, no store, no clock, no log, and no library but Python's own."""
    names = set(imports(SYNC[module]))
    assert all(name.split(".")[0] in {"sync", *sys.stdlib_module_names} for name in names)
    outside = {"socket", "http", "urllib.request", "sqlite3", "subprocess", "os", "threading"}
    outside |= {"time", "logging", "asyncio", "random", "uuid", "secrets"}
    assert names.isdisjoint(outside)
    text = SYNC[module].read_text()
    assert "datetime.now(" not in text
    assert "date.today(" not in text


@pytest.mark.parametrize(
    "module", sorted(name for name in SYNC if name.startswith((*STEPS, "sync.context")))
)
def test_above_the_adapters_nobody_sees_a_library(module: str) -> None:
    """The standard library and ourselves."""
    names = {name.split(".")[0] for name in imports(SYNC[module])}
    assert names <= {"sync", *sys.stdlib_module_names}


def test_the_concrete_classes_meet_in_services_alone() -> None:
    """Everybody else knows protocols; the public function makes its own queue and secrets.

    The adapters of our own are named in `sync.conferencing` by a text, and loaded when they are
    configured.
    """
    concrete: dict[str, set[str]] = {
        "sync.store.firestore": {"sync.services"},
        "sync.store.sqlite": {"sync.services"},
        "sync.google.calendar": {"sync.services"},
        "sync.google.credentials": {"sync.services", "sync.google.calendar"},
        "sync.conferencing.gate": {"sync.services"},
        "sync.conferencing.rest": set(),
        "sync.conferencing.zoom": set(),
        "sync.conferencing.webex": set(),
        "sync.conferencing.teams": set(),
        "sync.conferencing": {"sync.services"},
        "sync.services": {"main"},
    }
    for name, known_by in concrete.items():
        assert {module for module in SYNC if name in ours(module)} == known_by, name


def test_the_sandbox_and_the_project_do_not_know_each_other() -> None:
    """Stand-ins imitate the services, not our idea of them; and what is deployed needs no
    stand-in."""
    for name, path in SANDBOX.items():
        assert not any(each.split(".")[0] in ("sync", "main") for each in imports(path)), name
    for name, path in SYNC.items():
        assert not any(each.split(".")[0] in ("sandbox", "tests") for each in imports(path)), name


def test_only_config_knows_the_environment() -> None:
    """No other module of `sync` looks at os.environ; `config` is handed it by `main`."""
    for name, path in SYNC.items():
        text = ast.unparse(ast.parse(path.read_text()))
        if name not in ("sync.config", "main"):
            assert "environ[" not in text, name
            assert "os.environ" not in text, name
            assert "getenv" not in text, name


def test_only_main_knows_the_framework() -> None:
    """Requests and answers end at `main`."""
    framework = {"functions_framework", "flask", "werkzeug"}
    knowing = {
        name
        for name, path in SYNC.items()
        if framework & {each.split(".")[0] for each in imports(path)}
    }
    assert knowing == {"main"}


def test_no_client_is_made_at_import() -> None:
    """Nothing at the top of a module of ours opens anything: connections do not survive
    gunicorn's fork."""
    for name, path in SYNC.items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign | ast.Expr | ast.AnnAssign):
                text = ast.unparse(node)
                assert "Client(" not in text, name
                assert "connect(" not in text, name


# What is loaded, seen in a Python of its own.

_ENVIRONMENT = {
    "PATH": "",
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


def loaded(*names: str, **environment: str) -> set[str]:
    """Return the modules that importing these brings, beside those that Python starts with."""
    script = (
        "import json, sys; before = set(sys.modules); "
        f"import {', '.join(names)}; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=_ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def libraries(names: set[str]) -> set[str]:
    """What is no part of Python itself, by the first part of the name."""
    found = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)
    return {name for name in found if not name.startswith("_sysconfigdata")}


@pytest.mark.programs
@pytest.mark.parametrize("module", PURE)
def test_importing_a_rule_brings_rules_and_nouns_alone(module: str) -> None:
    """No client of Google's, no provider, no store: whoever reads or tests a rule needs none."""
    names = loaded(module)
    assert libraries(names) == {"sync"}
    brought = {name for name in names if name.startswith("sync.")}
    rooms = {"sync.event", "sync.intake"}
    assert all(any(allows(each, name) for each in (*NOUNS, *PURE)) for name in brought - rooms)


@pytest.mark.programs
@pytest.mark.parametrize(
    "module", ["sync.event.carry_out", "sync.run.engine", "sync.operate.routes"]
)
def test_importing_what_runs_an_event_brings_no_client(module: str) -> None:
    """A run is handed what it needs; `services` alone makes it."""
    names = loaded(module)
    assert libraries(names) == {"sync", "tenacity"}  # `backoff` waits with it
    assert not any(name.startswith(("sync.google", "sync.conferencing")) for name in names)
    assert {name for name in names if name.startswith("sync.store")} <= {*STORE, "sync.store"}


@pytest.mark.programs
def test_the_public_function_loads_neither_firestore_nor_calendar() -> None:
    """It starts in a fraction of the time, and can reach neither."""
    names = loaded("main", FUNCTION_TARGET="receive_notification")
    heavy = ("google.cloud.firestore", "googleapiclient", "httpx", "sqlite3", "cattrs")
    assert not any(name == each or name.startswith(f"{each}.") for name in names for each in heavy)
    ours_alone = {name for name in names if name.split(".")[0] == "sync"}
    allowed = ("sync.intake", "sync.google.secret_manager", "sync.google.task_queue")
    rooms = {"sync", "sync.google"}
    assert all(
        any(allows(each, name) for each in (*NOUNS, *LEAVES, *allowed))
        for name in ours_alone - rooms
    )
    assert "sync.intake.receive" in names


@pytest.mark.programs
def test_the_worker_loads_everything_at_its_start() -> None:
    """No import waits for the first task."""
    names = loaded("main", FUNCTION_TARGET="sync_calendar")
    for each in ("sync.run.engine", "sync.services", "google.cloud.firestore", "googleapiclient"):
        assert each in names


def test_unit_tests_import_no_client_of_google_s() -> None:
    """What is pure is tested without anything that could reach out."""
    for path in sorted((ROOT / "tests" / "unit").glob("*.py")):
        names = {name for name in imports(path) if not name.startswith("google.api_core.ex")}
        assert not any(
            name.split(".")[0] in ("google", "googleapiclient", "grpc")
            or name.startswith(("sync.google.calendar", "sync.store.firestore", "sync.services"))
            for name in names
        ), path
