"""Runs the commands of documentation pages in a shell, with stand-ins for what needs a cloud.

A command that people shall run stands between ```sh and ``` on a page. `WALKS` says in which parts
tests run them, each in its order, and `tests/agreement/test_commands.py` that nothing is left out.
"""

from __future__ import annotations

import functools
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from tests.support import desk_programs
from tests.support.shipped import ROOT

_STOOD_FOR = ("gcloud", "curl", "terraform", "git", "pipx", "sleep")


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """A part of a page, from one heading to another."""

    page: str
    begin: str | None = None
    end: str | None = None

    def blocks(self) -> list[str]:
        """Return what the part tells people to run, in order."""
        text = (ROOT / self.page).read_text()
        if self.begin is not None:
            text = text.split(f"\n{self.begin}\n")[1]
        if self.end is not None:
            text = text.split(f"\n{self.end}\n")[0]
        return re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


WALKS = {
    "deploy": Walk(page="docs/deploy.md", end="## Production"),
    "production": Walk(page="docs/deploy.md", begin="## Production"),
    "operate": Walk(page="docs/operate.md"),
    "ccsync": Walk(page="docs/ccsync.md"),
    "sandbox": Walk(page="docs/sandbox.md", end="## Make an event with a conference"),
    "event": Walk(page="docs/sandbox.md", begin="## Make an event with a conference"),
}


def commands_of(walk: str) -> str:
    """Return the script of one of `WALKS`."""
    return "\n".join(WALKS[walk].blocks())


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A person's machine with nothing set up. `directory` takes the stand-ins and their notes."""

    directory: Path
    environment: Mapping[str, str]

    @classmethod
    def at(cls, directory: Path, environment: Mapping[str, str]) -> Self:
        """Put the stand-ins of `desk_programs` in front of everything else on PATH."""
        programs = directory / "programs"
        programs.mkdir(parents=True)
        for name in _STOOD_FOR:
            path = programs / name
            # Isolated: a stand-in starts in a few milliseconds, and there are hundreds of calls.
            python = f"{sys.executable} -I -S {desk_programs.__file__}"
            path.write_text(f'#!/bin/sh\nexec {python} {name} "$@"\n')
            path.chmod(0o755)
        return cls(
            directory=directory,
            environment={
                **environment,
                "DESK": str(directory),
                "TERRAFORM": shutil.which("terraform") or "",
                "CURL": shutil.which("curl") or "",
                "PATH": f"{programs}:{os.environ['PATH']}",
            },
        )

    def told(self, **variables: str) -> Self:
        """Return the same desk with further environment variables."""
        return replace(self, environment={**self.environment, **variables})

    def run(
        self, script: str, directory: Path, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a script that ends at its first error, as one person types it into one shell."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=directory,
            env=dict(self.environment),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self, program: str) -> list[list[str]]:
        """Return the words of every call of a program, oldest first."""
        noted = [json.loads(line) for line in (self.directory / "calls").read_text().splitlines()]
        return [words[1:] for words in noted if words[0] == program]

    def state(self) -> dict[str, Any]:
        """Return what the stand-in gcloud was told to make and to change."""
        found: dict[str, Any] = json.loads((self.directory / "state.json").read_text())
        return found


def unknown_to_gcloud(calls: list[list[str]]) -> Iterator[str]:
    """Yield commands and options that the real gcloud does not have.

    Looked up in the table that the Google Cloud CLI brings for its completion. Yields nothing
    where the CLI is not installed.
    """
    tree = _gcloud_tree()
    for words in calls if tree else []:
        node, known = tree, dict(tree["flags"])
        for word in words:
            if word in node["commands"]:
                node = node["commands"][word]
                known |= node["flags"]
        if node["commands"] and words != ["--version"]:
            yield " ".join(words)
        options = [word.partition("=")[0] for word in words if word.startswith("--")]
        yield from (f"{' '.join(words[:4])} {each}" for each in options if each not in known)


@functools.cache
def _gcloud_tree() -> dict[str, Any]:
    program = shutil.which("gcloud")
    if program is None:
        return {}
    table = Path(program).resolve().parent.parent / "data" / "cli" / "gcloud_completions.py"
    if not table.exists():
        return {}
    tree: dict[str, Any] = runpy.run_path(str(table))["STATIC_COMPLETION_CLI_TREE"]
    return tree
