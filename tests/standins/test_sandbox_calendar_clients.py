"""The recipes of the Calendar stand-in's page, run word for word."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import google_calendar
from sandbox.google_calendar import GoogleCalendar

ROOT = Path(__file__).resolve().parent.parent.parent
ANNA = "anna@example.com"
PAGE = (Path(google_calendar.__file__).parent / "README.md").read_text("utf-8")
ADDRESS = "127.0.0.1:8085"
# Where the clients are installed that the project does not need itself.
PYTHON = os.environ.get("CALENDAR_CLIENTS_PYTHON", sys.executable)
NODE_MODULES = os.environ.get("CALENDAR_CLIENTS_NODE_MODULES")


@pytest.fixture
def calendar() -> Iterator[GoogleCalendar]:
    with GoogleCalendar() as running:
        running.add_calendar(ANNA, time_zone="Europe/Berlin")
        yield running


def recipe(calendar: GoogleCalendar, heading: str) -> str:
    """Return the program below a heading of the page, pointed at this stand-in."""
    section = PAGE.split(f"\n### {heading}\n")[1].split("\n##")[0]
    found = re.search(r"```\w+\n(.*?)```", section, re.DOTALL)
    assert found is not None
    assert ADDRESS in found[1]
    return found[1].replace(ADDRESS, calendar.host)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("client", "module"),
    [
        ("google-api-python-client", "googleapiclient"),
        ("gcsa", "gcsa"),
        ("gcal_sync", "gcal_sync"),
        ("gcalcli", "gcalcli"),
    ],
)
def test_python_clients(calendar: GoogleCalendar, tmp_path: Path, client: str, module: str) -> None:
    """A client that knows nothing of the stand-in adds an event to it and finds it again."""
    find = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
    if subprocess.run([PYTHON, "-c", find], check=False).returncode:
        pytest.skip(f"{client} is not installed for {PYTHON}")
    script = tmp_path / "recipe.py"
    script.write_text(recipe(calendar, client))
    ran = subprocess.run(
        [PYTHON, str(script)],
        env={**os.environ, "HOME": str(tmp_path)},  # where gcalcli keeps files
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, "Lunch" in ran.stdout) == (0, True), ran.stderr
    assert [event["summary"] for event in calendar.events(ANNA)] == ["Lunch"]


def first_line(directory: Path, *words: str) -> str:
    """Start the stand-in from what is in a directory alone, and return what it prints first."""
    with subprocess.Popen(
        [sys.executable, *words, "--port", "0"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": ""},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        process.terminate()
    return told


@pytest.mark.programs
def test_the_container_has_what_the_stand_in_needs(tmp_path: Path) -> None:
    """What the Dockerfile copies starts by its entry point, with the versions that are tested."""
    dockerfile = (Path(google_calendar.__file__).parent / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (.*)$", dockerfile, re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, tmp_path / target)
            else:
                (tmp_path / target).mkdir(exist_ok=True)
                shutil.copy(ROOT / source, tmp_path / target)
    [entry] = re.findall(r"^ENTRYPOINT (.*)$", dockerfile, re.MULTILINE)
    python, *words = json.loads(entry)
    assert python == "python"
    assert "/calendar/v3/" in first_line(tmp_path, *words)
    pinned = re.findall(r"([\w-]+)==(\S+)", dockerfile)
    lock = (ROOT / "requirements-dev.txt").read_text()
    assert len(pinned) == 4
    assert [each for each in pinned if f"{each[0]}=={each[1]} " not in lock] == []


@pytest.mark.programs
def test_what_is_installed_starts(tmp_path: Path) -> None:
    """`pipx install ./sandbox`: the wheel has the stand-in with its command, and nothing else of
    the sandbox."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*command, "--no-index", "--wheel-dir", str(tmp_path), str(ROOT / "sandbox")], check=True
    )
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
        [entry_points] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        command_line = archive.read(entry_points).decode()
    assert "google-calendar-stand-in = sandbox.google_calendar.__main__:main" in command_line
    assert not (tmp_path / "installed" / "sandbox" / "zoom.py").exists()
    assert "/calendar/v3/" in first_line(tmp_path / "installed", "-m", "sandbox.google_calendar")


def test_node_client(calendar: GoogleCalendar, tmp_path: Path) -> None:
    """The same with Google's client for Node."""
    node = shutil.which("node")
    if node is None or NODE_MODULES is None:
        pytest.skip("needs node, and CALENDAR_CLIENTS_NODE_MODULES with @googleapis/calendar")
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    script = tmp_path / "recipe.mjs"
    script.write_text(recipe(calendar, "googleapis for Node"))
    ran = subprocess.run([node, str(script)], capture_output=True, text=True, check=False)
    assert (ran.returncode, "Lunch" in ran.stdout) == (0, True), ran.stderr
    assert [event["summary"] for event in calendar.events(ANNA)] == ["Lunch"]


def test_trouble_is_made_as_the_page_says(calendar: GoogleCalendar) -> None:
    """Each curl line of the page is taken by the back door."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("needs curl")
    lines = re.findall(rf"^    (curl .*{re.escape(ADDRESS)}.*)$", PAGE, re.MULTILINE)
    assert len(lines) == 4
    for line in lines:
        words = shlex.split(line.replace(ADDRESS, calendar.host), comments=True)
        ran = subprocess.run(
            [curl, "--fail", "--silent", "--noproxy", "*", *words[1:]], check=False
        )
        assert ran.returncode == 0, line
    assert calendar.settings.push_loss == 0.5
    assert calendar.calendars()[0]["accessRole"] == "freeBusyReader"
