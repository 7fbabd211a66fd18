"""The start of each function beside the framework with the clients that the function must have."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx

from sandbox.processes import FunctionProcess
from sandbox.world import SOURCE
from tests.benchmarks.processor import resident_megabytes
from tests.benchmarks.rows import Row, row

_INTAKE = """
import functions_framework, flask, grpc, google_crc32c
from google.cloud import tasks_v2, secretmanager_v1
"""
# httpx: the providers. google.auth: who signs for whom (design, section 6).
_WORKER = f"""{_INTAKE}
from google.cloud import firestore
import googleapiclient.discovery, google_auth_httplib2, httpx
import google.auth.impersonated_credentials, google.oauth2.credentials, google.auth.compute_engine
"""
NECESSARY = {
    "receive_notification": _INTAKE,
    "sync_calendar": _WORKER,
    "manage_calendars": _WORKER,
    "maintain": _WORKER,
    "create_conference": f"{_WORKER}\nimport google.auth.crypt, cryptography.x509",
}
"""What each function must import, whoever writes it."""


def measure(pairs: int) -> list[Row]:
    """Import `main` for each function, and what is necessary, in processes of their own in turn."""
    rows = []
    for target, necessary in NECESSARY.items():
        ratios = []
        for number in range(pairs + 1):
            bare, ours = (_seconds(code, target) for code in (necessary, "import main"))
            if number:  # the first pair fills the caches of bytecode and files
                ratios.append(ours / bare)
        name = f"processor time of the imports of `{target}`, beside its necessary clients"
        rows.append(row("cold start", name, ratios, at_most=1.10))
    return rows


def first_answers(pairs: int) -> list[Row]:
    """Start each function under the framework, until it answers once; beside a bare function."""
    rows = []
    with tempfile.TemporaryDirectory() as text:
        for target, necessary in NECESSARY.items():
            bare = Path(text) / f"{target}.py"
            bare.write_text(f"{necessary}\n@functions_framework.http\ndef bare(_): return ''\n")
            times, sizes, own = [], [], []
            for number in range(pairs + 1):
                theirs, ours = _started("bare", bare), _started(target, SOURCE)
                if number:
                    times.append(ours[0] / theirs[0])
                    sizes.append(ours[1] / theirs[1])
                    own.append(ours[1])
            name = f"`{target}`: first answer, beside a bare function with these clients"
            rows += [
                row("cold start", name, times, at_most=1.10),
                row("cold start", f"`{target}`: memory at rest", own, unit="MB"),
                row("cold start", f"`{target}`: memory at rest, beside it", sizes),
            ]
    return rows


def _started(target: str, source: Path) -> tuple[float, float]:
    """Start a function: seconds until it has answered, and megabytes then."""
    nowhere = "127.0.0.1:9"
    emulators = ("CALENDAR", "CLOUD_TASKS", "FIRESTORE", "SECRET_MANAGER")
    environment = {
        **_environment(),
        **{f"{name}_EMULATOR_HOST": nowhere for name in emulators},  # no credentials are looked for
    }
    began = time.perf_counter()
    with FunctionProcess(target, environment=environment, source=source) as process:
        process.wait_ready()
        httpx.get(process.url, timeout=60)
        return time.perf_counter() - began, resident_megabytes(process)


def costs(target: str) -> list[tuple[str, float]]:
    """Return what each imported package costs `target`, in milliseconds, the dearest first."""
    done = _run("import main", target, "-X", "importtime")
    found: Counter[str] = Counter()
    for microseconds, module in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", done):
        parts = module.split(".")
        depth = {"google": 3, "sync": 2}.get(parts[0], 1)
        found[".".join(parts[:depth])] += int(microseconds)
    return [(name, microseconds / 1000) for name, microseconds in found.most_common()]


def modules(code: str, target: str) -> set[str]:
    """Return the names of all modules that a start loads."""
    shown = _run(f"{code}\nimport sys; print(chr(10).join(sys.modules), file=sys.stderr)", target)
    return set(shown.split())


def collections(target: str) -> int:
    """Return how often a start looks through all objects for garbage, once the framework is there.

    Raises AssertionError if garbage is not collected afterwards.
    """
    shown = _run(
        "import flask, functions_framework, gc, sys\n"
        "before = gc.get_stats()[-1]['collections']\n"
        "import main\n"
        "assert gc.isenabled()\n"
        "print(gc.get_stats()[-1]['collections'] - before, file=sys.stderr)",
        target,
    )
    return int(shown)


def _seconds(code: str, target: str) -> float:
    """The processor time of a start. What the end of the process costs is left out."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _run(f"{code}\nimport os; os._exit(0)", target)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _run(code: str, target: str, *options: str) -> str:
    """Run Python code as that function would find it, and return what it says on stderr."""
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        cwd=SOURCE.parent,
        env={**os.environ, **_environment(), "FUNCTION_TARGET": target},
        capture_output=True,
        text=True,
        check=True,
    ).stderr


def _environment() -> dict[str, str]:
    nowhere = "127.0.0.1:9"
    provider = {
        "name": "my-web",
        "type": "rest",
        "solutions": ["My Web Conference"],
        "uris": ["https://meet.example.com/{id}"],
        "base_url": f"http://{nowhere}/api",
        "secret": "projects/benchmark/secrets/my-web",
    }
    return {
        "GOOGLE_CLOUD_PROJECT": "benchmark",
        "SYNC_STORE": "firestore",
        "SYNC_QUEUE": "projects/benchmark/locations/here/queues/sync",
        "SYNC_WORKER_URL": f"http://{nowhere}/",
        "SYNC_NOTIFICATION_URL": f"http://{nowhere}/",
        "SYNC_CHANNEL_KEY": "projects/benchmark/secrets/key",
        "SYNC_PROVIDERS": json.dumps([provider]),
        "SYNC_ADDON_AUDIENCES": "an-addon",
        "SYNC_ADDON_DOMAINS": "example.com",
    }
