"""Measures how the code reads, as the table of docs/architecture.md: `make measure`.

`python -m tests.support.measure` measures this tree, prints the table and writes it between the
markers of the page. `--tree PATH` prints the values of another checkout of this project instead,
`--package PATH` those of any Python package, as the lines of a dictionary for `BEFORE` and
`MODELS`. The numbers are to see by: nothing passes or fails by them.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import functions_framework

from sandbox import google_calendar, rest, secret_manager, world
from sandbox.cloud_tasks import CloudTasks
from tests.support import blocks

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "architecture.md"

Values = dict[str, str]
Function = ast.FunctionDef | ast.AsyncFunctionDef

# The tree of commit 769c3b2, before the rooms: `--tree` on a git worktree of it.
BEFORE: Values = {
    "calls across files for one moved event": "78",
    "times its item is parsed": "2",
    "modules": "37",
    "floors of the import graph": "11",
    "arrows of the import graph": "151",
    "modules loaded by importing one rule, at most": "990 (`apply`)",
    "Google clients among them": (
        "google.cloud.firestore, googleapiclient, google.auth, grpc, httplib2"
    ),
    "lines of code": "6,520",
    "characters per line of code": "45",
    "lines over 100 characters": "783",
    "conditional expressions in 1,000 lines": "32",
    "functions with more than five parameters": "17",
    "length of a function, mean": "9",
    "length of a function, longest": "54",
    "complexity of a function, mean": "2.4",
    "complexity of a function, highest": "14",
    "semicolons in 1,000 words of docstrings": "18",
    "words of the README": "3,114",
}

# The lowest and the highest of seven model projects: `--package` on vdirsyncer 0.21.0,
# gidgethub 6.0.0, tuf 7.0.1, stamina 26.1.0, pip_audit 2.10.1, gcal_sync 8.0.0 and httpx 0.28.1.
MODELS: Values = {
    "characters per line of code": "34 to 41",
    "lines over 100 characters": "0 to 20",
    "conditional expressions in 1,000 lines": "1 to 14",
    "functions with more than five parameters": "0 to 40",
    "length of a function, mean": "8 to 17",
    "length of a function, longest": "64 to 209",
    "complexity of a function, mean": "2.2 to 2.8",
    "complexity of a function, highest": "9 to 39",
    "semicolons in 1,000 words of docstrings": "0 to 1",
}

# Where the rules about one event stood before they had a room: no client may come with them.
OLD_RULES = ("plan", "claims", "apply", "write_back", "failures")
CLIENTS = ("google.cloud.firestore", "googleapiclient", "google.auth", "grpc", "httplib2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One Python file: its text, and what the text means."""

    path: Path
    text: str
    tree: ast.Module

    @classmethod
    def read(cls, path: Path) -> Source:
        text = path.read_text()
        return cls(path=path, text=text, tree=ast.parse(text))

    def functions(self) -> Iterator[Function]:
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                yield node

    def docstrings(self) -> Iterator[ast.Constant]:
        for node in ast.walk(self.tree):
            if isinstance(node, Function | ast.ClassDef | ast.Module):
                docstring = _docstring(node)
                if docstring is not None:
                    yield docstring

    def code_lines(self) -> list[str]:
        """The lines that are neither empty, nor a comment, nor part of a docstring."""
        prose = {
            number
            for docstring in self.docstrings()
            for number in range(docstring.lineno, (docstring.end_lineno or 0) + 1)
        }
        return [
            line
            for number, line in enumerate(self.text.splitlines(), 1)
            if number not in prose and line.strip() and not line.lstrip().startswith("#")
        ]


def _docstring(node: Function | ast.ClassDef | ast.Module) -> ast.Constant | None:
    match node.body:
        case [ast.Expr(value=ast.Constant(value=str()) as docstring), *_]:
            return docstring
    return None


def readable(sources: list[Source]) -> Values:
    """Measure lines, functions and docstrings of any package."""
    lines = [line for source in sources for line in source.code_lines()]
    lengths = [_length(function) for source in sources for function in source.functions()]
    conditional = sum(
        isinstance(node, ast.IfExp) for source in sources for node in ast.walk(source.tree)
    )
    docstrings = [str(each.value) for source in sources for each in source.docstrings()]
    words = sum(len(text.split()) for text in docstrings)
    complexity = [
        int(match[1])
        for message in _ruff(sources, "C901", "lint.mccabe.max-complexity=0")
        if (match := re.search(r"\((\d+) > 0\)", message))
    ]
    long = sum(len(line) > 100 for source in sources for line in source.text.splitlines())
    many = _ruff(sources, "PLR0913", "lint.pylint.max-args=5")
    return {
        "lines of code": f"{len(lines):,}",
        "characters per line of code": f"{statistics.mean(map(len, lines)):.0f}",
        "lines over 100 characters": f"{long:,}",
        "conditional expressions in 1,000 lines": f"{1000 * conditional / len(lines):.0f}",
        "functions with more than five parameters": str(len(many)),
        "length of a function, mean": f"{statistics.mean(lengths):.0f}",
        "length of a function, longest": str(max(lengths)),
        "complexity of a function, mean": f"{statistics.mean(complexity):.1f}",
        "complexity of a function, highest": str(max(complexity)),
        "semicolons in 1,000 words of docstrings": (
            f"{1000 * sum(text.count(';') for text in docstrings) / words:.0f}"
        ),
    }


def _length(function: Function) -> int:
    """Lines of a function without its decorators and its docstring."""
    docstring = _docstring(function)
    prose = (docstring.end_lineno or 0) - docstring.lineno + 1 if docstring else 0
    return (function.end_lineno or 0) - function.lineno + 1 - prose


def _ruff(sources: list[Source], rule: str, option: str) -> list[str]:
    """What ruff says of these files by one of its rules with one option, a message each."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--ignore-noqa"]
    command += ["--exit-zero", "--select", rule, "--config", option, "--output-format", "json"]
    paths = [str(source.path) for source in sources]
    done = subprocess.run([*command, *paths], capture_output=True, text=True, check=True)
    return [found["message"] for found in json.loads(done.stdout) if found["code"] == rule]


def import_graph(tree: Path, sources: list[Source]) -> Values:
    """Count the arrows between our own modules, and the floors: the longest way down them."""
    names = {_module(tree, source.path): source for source in sources}
    arrows = {
        name: {each for each in _imports(source, set(names)) if each != name}
        for name, source in names.items()
    }
    for package, below in arrows.items():
        # A package that takes names from its own modules is one room with them.
        below -= {each for each in below if each.startswith(f"{package}.")}
    heights: dict[str, int] = {}

    def height(name: str) -> int:
        if name not in heights:
            heights[name] = 0  # a circle ends here
            heights[name] = 1 + max((height(each) for each in arrows[name]), default=0)
        return heights[name]

    return {
        "modules": str(len(names)),
        "floors of the import graph": str(max(map(height, names))),
        "arrows of the import graph": str(sum(map(len, arrows.values()))),
    }


def _module(tree: Path, path: Path) -> str:
    parts = path.relative_to(tree).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(source: Source, names: set[str]) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in names:
                    yield inner
                elif node.module in names:
                    yield node.module


def loaded_by_a_rule(tree: Path) -> Values:
    """Import each rule about one event in a process of its own, and count what else came."""
    loaded: dict[str, list[str]] = {}
    rules = [name for name in OLD_RULES if (tree / "sync" / f"{name}.py").exists()]
    rules += [f"event.{path.stem}" for path in (tree / "sync" / "event").glob("[a-z]*.py")]
    for rule in rules:
        command = (
            f"import json, sys; before = set(sys.modules); import sync.{rule}; "
            "print(json.dumps(sorted(set(sys.modules) - before)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", command], cwd=tree, capture_output=True, text=True, check=True
        )
        loaded[rule] = json.loads(done.stdout)
    most = max(loaded, key=lambda rule: len(loaded[rule]))
    clients = [name for name in CLIENTS if any(name in names for names in loaded.values())]
    return {
        "modules loaded by importing one rule, at most": f"{len(loaded[most])} (`{most}`)",
        "Google clients among them": ", ".join(clients) or "none",
    }


class Steps:
    """Counts the calls from one file of `sync` into another, and which function they reach."""

    def __init__(self, folder: Path) -> None:
        self.counting = False
        self.into: Counter[str] = Counter()
        self.functions: Counter[str] = Counter()
        self._folder = f"{folder}{os.sep}"

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """A profile function, see sys.setprofile; each thread calls it by itself."""
        code = frame.f_code
        if not self.counting or event != "call" or not code.co_filename.startswith(self._folder):
            return
        if code.co_name in ("<module>", "utc_now"):  # a look at the clock is no step
            return
        self.functions[code.co_qualname] += 1
        caller = frame.f_back
        if caller is None or caller.f_code.co_filename == code.co_filename:
            return
        if caller.f_code.co_filename.startswith(self._folder):
            self.into[f"{code.co_filename.removeprefix(self._folder)}:{code.co_qualname}"] += 1


def moved_event(tree: Path, *, list_calls: bool = False) -> Values:
    """Move one event whose conference we follow, and count the steps of the run that follows."""
    steps = Steps(tree / "sync")
    threading.setprofile(steps)
    sys.setprofile(steps)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # the functions log there
            _move_an_event(tree, steps)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    if list_calls:
        for name, count in steps.into.most_common():
            print(f"{count:4} {name}", file=sys.stderr)
    return {
        "calls across files for one moved event": str(steps.into.total()),
        "times its item is parsed": str(steps.functions["Event.from_api"]),
    }


def _move_an_event(tree: Path, steps: Steps) -> None:
    calendar, tasks = google_calendar.GoogleCalendar(), CloudTasks(deliver=False)
    secrets, system = secret_manager.SecretManager(), rest.Rest(token="token")
    parts = (calendar, tasks, secrets, system)
    for part in parts:
        part.start()
    try:
        secrets.put(world.CHANNEL_KEY, b"key")
        secrets.put(world.PROVIDER_SECRET, {"token": "token"})
        calendar.add_calendar("anna@example.com")
        conference = system.add(organizer="anna@example.com")
        event = calendar.seed_event(
            "anna@example.com",
            {
                **_timed(10),
                "summary": "Planning",
                "conferenceData": {
                    "conferenceId": conference["id"],
                    "conferenceSolution": {"key": {"type": "addOn"}, "name": world.SOLUTION},
                    "entryPoints": [
                        {
                            "entryPointType": "video",
                            "uri": world.JOIN_LINK.replace("{id}", conference["id"]),
                        }
                    ],
                },
            },
        )
        with tempfile.TemporaryDirectory() as directory:
            _set_environment(calendar, tasks, secrets, system, Path(directory))
            sys.path.insert(0, str(tree))
            start, sync = (_client(tree, "manage_calendars"), _client(tree, "sync_calendar"))
            path = world.calendar_path("anna@example.com")
            assert start.put(path, json={}).status_code == 201
            task = {"calendar_id": "anna@example.com"}
            assert sync.post("/", json=task).status_code == 200
            calendar.edit("anna@example.com", event["id"], _timed(12))
            steps.counting = True
            answer = sync.post("/", json=task)
            steps.counting = False
            assert answer.json is not None, answer
            assert answer.json["updated"] == 1, answer.json
    finally:
        for part in parts:
            part.stop()


def _client(tree: Path, target: str) -> Any:
    """Return a client of one function of this tree, which runs in our process."""
    app = functions_framework.create_app(target, str(tree / "main.py"))
    return app.test_client()


def _timed(hour: int) -> dict[str, dict[str, str]]:
    """Start and end of an event of one hour, tomorrow. Nothing of `sync` is imported for it."""
    day = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    return {
        "start": {"dateTime": f"{day}T{hour}:00:00Z", "timeZone": "UTC"},
        "end": {"dateTime": f"{day}T{hour + 1}:00:00Z", "timeZone": "UTC"},
    }


def _set_environment(
    calendar: google_calendar.GoogleCalendar,
    tasks: CloudTasks,
    secrets: secret_manager.SecretManager,
    system: rest.Rest,
    directory: Path,
) -> None:
    """`main` reads the environment when it is imported."""
    provider = {
        "name": "my-web",
        "type": "rest",
        "solutions": [world.SOLUTION],
        "uris": [world.JOIN_LINK],
        "base_url": f"{system.url}/api",
        "secret": world.PROVIDER_SECRET,
    }
    os.environ.update(
        {
            "GOOGLE_CLOUD_PROJECT": "measure",
            "SYNC_STORE": f"sqlite:///{directory / 'state.sqlite'}",
            "SYNC_QUEUE": world.QUEUE,
            "SYNC_WORKER_URL": "http://127.0.0.1:9/",
            "SYNC_NOTIFICATION_URL": "http://127.0.0.1:9/",
            "SYNC_CHANNEL_KEY": world.CHANNEL_KEY,
            "SYNC_PROVIDERS": json.dumps([provider]),
            "CALENDAR_EMULATOR_HOST": calendar.host,
            "CLOUD_TASKS_EMULATOR_HOST": tasks.host,
            "SECRET_MANAGER_EMULATOR_HOST": secrets.host,
        }
    )


def measure(tree: Path, *, list_calls: bool = False) -> Values:
    """Measure a checkout of this project. `list_calls` shows each call across files, on stderr."""
    sources = [Source.read(path) for path in sorted((tree / "sync").rglob("*.py"))]
    main = Source.read(tree / "main.py")
    readme = (tree / "README.md").read_text()
    return {
        **moved_event(tree, list_calls=list_calls),
        **import_graph(tree, sources),
        **loaded_by_a_rule(tree),
        **readable([*sources, main]),
        "words of the README": f"{len(readme.split()):,}",
    }


def measure_package(folder: Path) -> Values:
    """Measure a package of somebody else; `folder` holds its modules, and no tests."""
    return readable([Source.read(path) for path in sorted(folder.rglob("*.py"))])


def table(now: Values) -> str:
    """Write the rows as Markdown."""
    lines = ["| | before | now | model projects |", "|---|---|---|---|"]
    for name, value in now.items():
        lines.append(f"| {name} | {BEFORE.get(name, '-')} | {value} | {MODELS.get(name, '-')} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tree", type=Path, help="another checkout of this project")
    parser.add_argument("--package", type=Path, help="the folder of any Python package")
    parser.add_argument("--calls", action="store_true", help="list the calls across files, too")
    arguments = parser.parse_args()
    if arguments.package:
        print(json.dumps(measure_package(arguments.package), indent=4, ensure_ascii=False))
        return
    tree = arguments.tree.resolve() if arguments.tree else ROOT
    values = measure(tree, list_calls=arguments.calls)
    if arguments.tree:
        print(json.dumps(values, indent=4, ensure_ascii=False))
        return
    rows = table(values)
    print(rows, end="")
    blocks.write(PAGE, "make measure", rows)


if __name__ == "__main__":
    main()
