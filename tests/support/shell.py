"""Runs the commands of a documentation page in a shell, with stand-ins for what needs a cloud.

`gcloud` answers as somebody who has just installed it: whoever is not signed in, or has chosen no
project, gets an error. `curl` notes its calls. `terraform` is the real one, which wants Google's
default credentials for whatever reaches the cloud. `sleep` does not wait.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TOKEN = "identity-token-of-the-person"

_STAND_IN = r"""
import json, os, pathlib, sys

desk = pathlib.Path(os.environ["DESK"])
program, words = sys.argv[1], sys.argv[2:]
with (desk / "calls").open("a") as calls:
    calls.write(json.dumps([program, *words]) + "\n")
names = [word for word in words if not word.startswith("-")]
flags = dict(word.lstrip("-").partition("=")[::2] for word in words if word.startswith("-"))


def stop(reason):
    sys.exit(f"{program}: {reason}")


def need(what, mend):
    if not (desk / what).exists():
        stop(f"{what} is missing; {mend}")


if program == "curl":
    print(json.dumps({"status": "starting"}))
elif program == "terraform":
    if names[0] in ("plan", "apply", "destroy", "import"):
        need("credentials", "gcloud auth application-default login")
    os.execv(os.environ["TERRAFORM"], ["terraform", *words])
elif "version" in flags:
    print("Google Cloud SDK 528.0.0")
elif names[:2] == ["auth", "login"]:
    (desk / "account").touch()
elif names[:2] == ["auth", "application-default"]:
    (desk / "credentials").touch()
else:
    need("account", "gcloud auth login")
    if names[:2] == ["auth", "print-identity-token"]:
        print("TOKEN")
    elif names[:3] == ["config", "set", "project"]:
        (desk / "project").write_text(names[3])
    else:
        if "project" not in flags:
            need("project", "gcloud config set project")
        if names[:3] == ["secrets", "versions", "add"]:
            if flags.get("data-file") != "-" or not sys.stdin.read().strip():
                stop("the value is read from standard input, and there is none")
        elif names[:2] not in (["services", "enable"], ["scheduler", "jobs"]):
            stop(f"{' '.join(names)} is not imitated here")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A person's machine with nothing set up. `directory` takes the stand-ins and their notes."""

    directory: Path
    environment: Mapping[str, str]

    @classmethod
    def at(cls, directory: Path, environment: Mapping[str, str]) -> Desk:
        """Put the stand-ins in front of everything else on PATH."""
        programs = directory / "programs"
        programs.mkdir(parents=True)
        (directory / "stand_in.py").write_text(_STAND_IN.replace("TOKEN", TOKEN))
        for name in ("gcloud", "curl", "terraform"):
            path = programs / name
            path.write_text(
                f'#!/bin/sh\nexec {sys.executable} {directory / "stand_in.py"} {name} "$@"\n'
            )
            path.chmod(0o755)
        (programs / "sleep").write_text("#!/bin/sh\n")
        (programs / "sleep").chmod(0o755)
        return cls(
            directory=directory,
            environment={
                **environment,
                "DESK": str(directory),
                "TERRAFORM": shutil.which("terraform") or "",
                "PATH": f"{programs}:{os.environ['PATH']}",
            },
        )

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


def commands_of(page: Path) -> list[str]:
    """Return what a page tells people to run: its blocks that are marked `sh`, in order."""
    return re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
