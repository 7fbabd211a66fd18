"""The real terraform on a copy of the repository, with only the stand-in providers in reach."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terraform:
    """The real terraform in one directory."""

    directory: Path
    environment: Mapping[str, str]

    def run(
        self, *arguments: str, accept: tuple[int, ...] = (0,), stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run one command and return what it said; fail the test on any other exit code."""
        result = subprocess.run(
            ["terraform", *arguments],
            cwd=self.directory,
            env=dict(self.environment),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode not in accept:
            pytest.fail(
                f"terraform {shlex.join(arguments)}: {result.returncode}\n"
                f"{result.stdout}\n{result.stderr}"
            )
        return result

    def init(self) -> None:
        """Take the stand-in providers; a remote backend is left out."""
        self.run("init", "-backend=false", "-input=false", "-no-color")

    def show(self, *plan: str) -> Json:
        """Return a plan file, or the state, as JSON."""
        value: Json = json.loads(self.run("show", "-json", *plan).stdout)
        return value

    def at(self, directory: Path) -> Terraform:
        """Return the same terraform in another directory."""
        return Terraform(directory=directory, environment=self.environment)

    def copy(self, repository: Path) -> Terraform:
        """Copy the whole repository, and return terraform in this directory of the copy."""
        name = self.directory.name
        shutil.copytree(self.directory.parent, repository, symlinks=True)
        return self.at(repository / name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """One call of the module, as a plan or a state describes it."""

    module: str
    values: Json

    def resources(self, kind: str) -> dict[str, Json]:
        """Return the values of all resources of one type, by their address without the type.

        For example `{'main["maintain"]': {"name": …}}`. What a plan does not know yet is missing.
        """
        prefix = f"module.{self.module}.{kind}."
        return {
            resource["address"].removeprefix(prefix): resource["values"]
            for resource in self._all(self.values["root_module"])
            if resource["address"].startswith(prefix)
        }

    def addresses(self) -> Iterator[tuple[str, Json]]:
        """Yield every managed resource: its address and its values."""
        for resource in self._all(self.values["root_module"]):
            if resource["mode"] == "managed" and resource["address"].startswith(
                f"module.{self.module}."
            ):
                yield resource["address"].removeprefix(f"module.{self.module}."), resource["values"]

    def functions(self) -> dict[str, Json]:
        """Return each function's service configuration, by the function's key."""
        return {
            address.split('"')[1]: values["service_config"][0]
            for address, values in self.resources("google_cloudfunctions2_function").items()
        }

    def _all(self, module: Json) -> Iterator[Json]:
        yield from module.get("resources", [])
        for child in module.get("child_modules", []):
            yield from self._all(child)
