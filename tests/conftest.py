"""One bench for all: stand-ins behind the real clients, a clock that the test turns, and the
real engine in between."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from sandbox.cloud_tasks import CloudTasks
from sandbox.google_calendar import GoogleCalendar
from sandbox.processes import FirestoreEmulator
from sandbox.rest import Rest
from sandbox.secret_manager import SecretManager
from sandbox.world import CHANNEL_KEY, PROVIDER_SECRET
from sync import config
from tests.support import cores
from tests.support.bench import NOWHERE, Bench, BenchMaker, numbers, providers_of, real_time
from tests.support.combinations import left_out
from tests.support.shipped import ROOT

# jsonschema, which openapi_core needs, makes a grammar for the format `iri` at its import: in each
# process that takes as long as all our modules together. No document here has such a member.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # "not there", to import

# A shell lets what it starts in the background ignore Ctrl-C, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Which process of a run side by side this is, from 0, and how many there are. None: it is alone.
_PROCESS = (
    int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    if "PYTEST_XDIST_WORKER" in os.environ
    else None
)
_PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_PLACE = cores.Place(os.environ.get("PYTEST_XDIST_TESTRUNUID", ""), _PROCESSES)

# How long an example of a property test takes, or is made, depends on the machine.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")
# For `make test-fast`: a fifth of the examples of the others.
settings.register_profile("few examples", settings.get_profile("any machine"), max_examples=20)

# The longest, begun first, so that no process is left alone with one of them in the end. Those of
# Terraform do not begin together: the first makes what the others would wait for.
_LONGEST = [
    f"test_{name}.py"
    for name in (
        "terraform_life",
        "crashes",
        "end_to_end",
        "convergence",
        "page",
        "terraform_module",
        "terraform_documentation",
        "terraform",
        "starts_and_stops",
        "reliability_cases",
        "failing_services",
        "calendar_cases",
        "overlaps",
        "attacker",
        "end_to_end_stories",
        "create",
        "two_at_once",
        "end_to_end_providers",
        "left_alone",
        "demo",
        "splits_and_creations",
        "provider_contract",
        "addon",
        "credentials",
        "explain",
        "hostile_input",
    )
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run take what is left out elsewhere."""
    parser.addoption(
        "--every-combination",
        action="store_true",
        help="tell each story of every system on Firestore too (tests/support/combinations.py)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Let each process of a run side by side begin to collect at another folder.

    So each of them compiles some of the test modules, and finds the others compiled. Their order
    comes from the seed afterwards, and is the same in all.
    """
    if _PROCESS is None or config.args != config.getini("testpaths"):
        return
    if config.getoption("randomly_reorganize", default=False):
        folders = sorted({str(path.parent) for path in (ROOT / "tests").glob("*/test_*.py")})
        begin = _PROCESS * len(folders) // _PROCESSES
        config.args = folders[begin:] + folders[:begin]


def pytest_report_header(config: pytest.Config) -> str:
    systems = "every system" if config.getoption("--every-combination") else "one system"
    return f"on Firestore's emulator, what all systems tell is told of {systems}"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what starts the functions as processes, by its folder or the fixture that does."""
    fixtures: Sequence[str] = getattr(item, "fixturenames", ())
    if item.path.parent.name == "processes" or "running_sandbox" in fixtures:
        item.add_marker("e2e")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what others show, and keep the random order of the files, but for the longest."""
    if not config.getoption("--every-combination"):
        left = set(left_out(items))
        config.hook.pytest_deselected(items=list(left))
        items[:] = [item for item in items if item not in left]
    items.sort(
        key=lambda item: (
            _LONGEST.index(item.path.name) if item.path.name in _LONGEST else len(_LONGEST)
        )
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Let the collector of garbage not look, again and again, through what stays for the run."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Keep each process of a run side by side on a core, but for tests that start many programs."""
    if _PROCESS is None:
        return
    if any(item.get_closest_marker(name) for name in ("e2e", "terraform", "addon")):
        _PLACE.leave()
    else:
        _PLACE.take()


def pytest_unconfigure() -> None:
    _PLACE.leave()


@pytest.fixture(scope="session")
def google_calendar() -> Iterator[GoogleCalendar]:
    """A Calendar whose notifications are lost: the tests sync when they want to."""
    with GoogleCalendar() as calendar:
        calendar.settings.update({"push_loss": 1.0})
        yield calendar


@pytest.fixture(scope="session")
def cloud_tasks() -> Iterator[CloudTasks]:
    """A queue that keeps its tasks: the bench carries them out when the test says so."""
    tasks = CloudTasks(deliver=False)
    tasks.start()
    yield tasks
    tasks.stop()


@pytest.fixture(scope="session")
def secret_manager() -> Iterator[SecretManager]:
    secrets = SecretManager()
    secrets.start()
    yield secrets
    secrets.stop()


@pytest.fixture(scope="session")
def conferencing_system() -> Iterator[Rest]:
    conferencing = Rest()
    conferencing.start()
    yield conferencing
    conferencing.stop()


_EMULATOR = pytest.StashKey[FirestoreEmulator]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Start one emulator for all processes of a run side by side, while they collect.

    Where `-m` names its tests, mostly to leave them out, each process starts one if it needs one.
    """
    config: pytest.Config = node.config
    if "firestore" in config.option.markexpr or FirestoreEmulator.available() is not None:
        return
    if _EMULATOR not in config.stash:
        emulator = FirestoreEmulator(memory_megabytes=1024)
        emulator.start()
        config.add_cleanup(emulator.stop)
        config.stash[_EMULATOR] = emulator
    node.workerinput["firestore_emulator"] = config.stash[_EMULATOR].host


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any) -> None:
    """No test begins before the emulator answers."""
    if _EMULATOR in node.config.stash:
        node.config.stash[_EMULATOR].wait_ready()


@pytest.fixture(scope="session")
def firestore_emulator(request: pytest.FixtureRequest) -> Iterator[str]:
    """Google's own emulator, started once; a machine without it skips, CI must have it."""
    if shared := getattr(request.config, "workerinput", {}).get("firestore_emulator"):
        yield shared
        return
    reason = FirestoreEmulator.available()
    if reason is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs the Firestore emulator: {reason}")
        pytest.skip(reason)
    with FirestoreEmulator() as emulator:
        emulator.wait_ready()
        yield emulator.host


@pytest.fixture
def make_bench(
    tmp_path: Path,
    google_calendar: GoogleCalendar,
    cloud_tasks: CloudTasks,
    secret_manager: SecretManager,
    conferencing_system: Rest,
    request: pytest.FixtureRequest,
) -> Iterator[BenchMaker]:
    """Makes benches; `store="firestore"` takes the emulator, other arguments are settings of the
    environment."""
    made: list[Bench] = []

    def make(*, store: str = "sqlite", **settings: str) -> Bench:
        number = next(numbers)
        domain = f"example{number}.com"
        environment = {
            "GOOGLE_CLOUD_PROJECT": f"bench-{os.getpid()}-{number}",
            "SYNC_STORE": f"sqlite:///{tmp_path / f'{number}.sqlite'}"
            if store == "sqlite"
            else "firestore",
            "SYNC_QUEUE": f"projects/sandbox/locations/here/queues/bench-{number}",
            "SYNC_WORKER_URL": NOWHERE,
            "SYNC_NOTIFICATION_URL": NOWHERE,
            "SYNC_CHANNEL_KEY": CHANNEL_KEY,
            "SYNC_PROVIDERS": providers_of(conferencing_system, domain),
            "CALENDAR_EMULATOR_HOST": google_calendar.host,
            "CLOUD_TASKS_EMULATOR_HOST": cloud_tasks.host,
            "SECRET_MANAGER_EMULATOR_HOST": secret_manager.host,
            **settings,
        }
        if store == "firestore":
            assert request.node.get_closest_marker("firestore"), "mark the test, to leave it out"
            # The library's own switch, read when a client is made.
            os.environ["FIRESTORE_EMULATOR_HOST"] = request.getfixturevalue("firestore_emulator")
        bench = Bench(
            config.Settings.from_environ(environment),
            google_calendar,
            cloud_tasks,
            secret_manager,
            conferencing_system,
            domain,
        )
        bench.environment = environment
        made.append(bench)
        return bench

    secret_manager.put(CHANNEL_KEY, "key-of-the-bench\n")
    secret_manager.put(PROVIDER_SECRET, {"token": "bench-token"})
    conferencing_system.reset("bench-token")
    google_calendar.faults.clear()
    yield make
    cloud_tasks.clock = real_time
    for bench in made:
        bench.services.close()
    os.environ.pop("FIRESTORE_EMULATOR_HOST", None)


@pytest.fixture
def bench(make_bench: BenchMaker) -> Bench:
    return make_bench()


@pytest.fixture(params=["sqlite", pytest.param("firestore", marks=pytest.mark.firestore)])
def any_bench(make_bench: BenchMaker, request: pytest.FixtureRequest) -> Bench:
    """The same on both stores."""
    return make_bench(store=request.param)
