"""What is installed by `pipx install .`, and whether its reference page is up to date."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import ccsync
import sync
from ccsync.reference import page
from tests.support.locks import asked
from tests.support.operator import Operator

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_reference_page_is_what_the_commands_say() -> None:
    """docs/ccsync.md is made by `make reference`."""
    assert (ROOT / "docs" / "ccsync.md").read_text() == page(), "run: make reference"


def test_every_command_of_other_pages_exists() -> None:
    """A command line in the docs names a command and options that the reference has."""
    reference = page()
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for line in re.findall(r"(?m)(?:^ {4}|^|`)ccsync ([a-z][^`\n#]*)", path.read_text()):
            words = line.split()
            assert f"ccsync {words[0]}" in reference, (path.name, line)
            for option in re.findall(r"(?<!\S)--[a-z-]+", line):
                assert option in reference, (path.name, line)


def test_the_version_is_said_the_same_everywhere() -> None:
    """By the package, by ccsync, by the functions, and as the newest release of the changelog."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    released = re.search(r"^## \[(\d\S*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released is not None
    assert {ccsync.__version__, sync.__version__, released[1]} == {project["version"]}
    assert Operator()("--version").out == f"ccsync {project['version']}\n"


def test_it_imports_neither_the_functions_nor_the_sandbox() -> None:
    """It knows the functions by HTTP alone, and only packages that it asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    allowed = {"click", "rich", "httpx", "google", "requests"}
    for path in sorted((ROOT / "ccsync").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            roots = {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names)
            assert roots <= {"ccsync", *allowed}, path
    wanted = {re.split(r"[<>=]", each)[0] for each in project["dependencies"]}
    assert wanted == set(asked("requirements-cli.in"))


@pytest.mark.programs
def test_the_wheel_holds_the_command_line_alone(tmp_path: Path) -> None:
    """`pip wheel .` makes a wheel of `ccsync` with its command, and nothing of the functions."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*command, "--no-index", "--wheel-dir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [entry_points] = [name for name in names if name.endswith("entry_points.txt")]
        assert "ccsync=ccsync.cli:main" in archive.read(entry_points).decode().replace(" ", "")
    shipped = {str(path.relative_to(ROOT)) for path in (ROOT / "ccsync").rglob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} == shipped
