"""What is said in several places is said the same: variables, shipped files; and what is shipped
starts. What Terraform renders is compared in test_terraform.py."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import grpc
import httpx
import pytest
from google.cloud import firestore, tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from sandbox.processes import FunctionProcess
from sandbox.world import QUEUE, World, calendar_path
from sync import config
from tests.support.bench import timed
from tests.support.locks import asked, brought_by, normal
from tests.support.shipped import ROOT, code, known_variables, shipped

TARGETS = (
    "receive_notification",
    "sync_calendar",
    "manage_calendars",
    "create_conference",
    "maintain",
)


def test_the_settings_page_explains_every_variable_and_no_other() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    named = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`", page))
    assert named == known_variables()


def test_what_the_build_compiles_is_good_for_the_image(tmp_path: Path) -> None:
    """The build compiles the sources as here, and the image dates them 1980. With the variable that
    Terraform gives the build, Python takes the compiled files all the same."""
    functions = (ROOT / "terraform" / "functions.tf").read_text()
    [moment] = re.findall(r'SOURCE_DATE_EPOCH = "(\d+)"', functions)
    source = tmp_path / "module.py"
    source.write_text("import sys\nprint(sys.modules[__name__].__spec__.cached)\n")
    compile_all = [sys.executable, "-m", "compileall", "-f", "-q", "."]
    subprocess.run(compile_all, cwd=tmp_path, env={"SOURCE_DATE_EPOCH": moment}, check=True)
    os.utime(source, (int(moment), int(moment)))
    loud = subprocess.run(
        [sys.executable, "-v", "-B", "-c", "import module"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    compiled = loud.stdout.strip()
    assert f"# code object from '{compiled}'" in loud.stderr


def test_gcloudignore_lets_through_what_terraform_ships(tmp_path: Path) -> None:
    """Its words are git's: git lists what they leave of a copy of this tree, with what lies
    about in real ones."""
    if shutil.which("git") is None:
        pytest.skip("git is not on PATH")
    for name in [
        *shipped(),
        *(f"tests/{path.name}" for path in (ROOT / "tests").glob("*.py")),
        *(
            "sync/__pycache__/engine.cpython-311.pyc",
            "sync/store/__pycache__/x.pyc",
            "__pycache__/main.pyc",
        ),
        *(
            "README.md",
            "requirements-dev.txt",
            "terraform/main.tf",
            "terraform/terraform.tfstate",
            "secret.json",
        ),
        *(".venv/lib/sync/x.py", "docs/main.py", "sandbox/world.py", ".env"),
    ]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    listed = subprocess.run(
        ["git", "ls-files", "--others", f"--exclude-from={ROOT / '.gcloudignore'}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(listed.stdout.split()) == sorted(shipped())


@pytest.mark.slow
def test_what_is_shipped_imports_only_what_requirements_bring() -> None:
    """Nothing is imported that the cloud would not install."""
    brought = brought_by(list(asked("requirements.in").values()))
    packages = {
        package: {normal(name) for name in names}
        for package, names in importlib.metadata.packages_distributions().items()
    }
    imported: set[str] = set()
    for tree in code().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    foreign = imported - set(sys.stdlib_module_names) - {"sync"}
    assert {name for name in foreign if not packages.get(name, set()) & brought} == set()


@pytest.mark.e2e
@pytest.mark.parametrize("target", TARGETS)
def test_a_function_starts_from_what_is_shipped_alone(tmp_path: Path, target: str) -> None:
    """Nothing outside the allow-list is needed, and nothing is reached before the first request
    that needs it."""
    for name in shipped():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    nowhere = "127.0.0.1:9"
    environment = {
        "PYTHONPATH": "",
        "PYTHONSAFEPATH": "1",
        "GOOGLE_CLOUD_PROJECT": "demo-project",
        "SYNC_QUEUE": "projects/demo-project/locations/europe-west1/queues/queue",
        "SYNC_WORKER_URL": "https://worker.example.com",
        "SYNC_NOTIFICATION_URL": "https://receive.example.com",
        "SYNC_CHANNEL_KEY": "projects/demo-project/secrets/channel-key",
        "SYNC_PROVIDERS": json.dumps(
            [
                {
                    "name": "my-web",
                    "type": "rest",
                    "solutions": ["My Web"],
                    "base_url": "https://meet.example.com/api",
                    "secret": "projects/demo-project/secrets/my-web",
                }
            ]
        ),
        "FIRESTORE_EMULATOR_HOST": nowhere,
        "CLOUD_TASKS_EMULATOR_HOST": nowhere,
        "SECRET_MANAGER_EMULATOR_HOST": nowhere,
        "CALENDAR_EMULATOR_HOST": nowhere,
    }
    with FunctionProcess(target, environment=environment, source=tmp_path / "main.py") as function:
        function.wait_ready()
        # The one answer of each that needs none of the services.
        answer = httpx.get(f"{function.url}/nothing", timeout=30)
        unknown = target in (config.MANAGE, config.CREATE)
        assert answer.status_code == (404 if unknown else 405), function.log()
        assert '"ERROR"' not in function.log()


@pytest.mark.e2e
def test_the_kill_switch_keeps_what_arrives_and_replay_brings_what_was_lost(tmp_path: Path) -> None:
    """docs/operate.md: paused, nothing is written and nothing lost; one event, one calendar and
    all can be replayed."""
    with World(tmp_path) as world, grpc.insecure_channel(world.tasks.host) as channel:
        queue = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        events: dict[str, tuple[str, str]] = {}
        for number in range(3):
            calendar_id = f"{number}@example.com"
            world.start_calendar(calendar_id)
            data = world.conference()
            fields = {"summary": "Before", **timed("10:00", "11:00"), "conferenceData": data}
            events[calendar_id] = (
                world.calendar.seed_event(calendar_id, fields)["id"],
                data["conferenceId"],
            )

        def titles() -> list[str | None]:
            return [
                world.conferencing.conferences[conference_id].get("title")
                for _, conference_id in events.values()
            ]

        def rename(title: str) -> None:
            before = len(world.tasks.pending())
            for calendar_id, (event_id, _) in events.items():
                world.calendar.edit(calendar_id, event_id, {"summary": title})
            world.wait(lambda: len(world.tasks.pending()) >= before + len(events), "the tasks")

        world.wait(lambda: titles() == ["Before"] * 3, "the first sync")
        world.quiet(horizon=5)

        # Paused: notifications are taken, tasks wait, maintain goes on.
        queue.pause_queue(name=QUEUE)
        rename("While paused")
        assert world.maintain()["finished"]
        assert titles() == ["Before"] * 3
        queue.resume_queue(name=QUEUE)
        world.wait(lambda: titles() == ["While paused"] * 3, "what waited")
        world.quiet(horizon=5)

        # Lost for once: what the queue held was purged.
        queue.pause_queue(name=QUEUE)
        rename("Lost")
        queue.purge_queue(name=QUEUE)
        queue.resume_queue(name=QUEUE)
        world.quiet(horizon=5)
        assert titles() == ["While paused"] * 3

        # One event, by a task made as gcloud makes it; one calendar; then all.
        calendar_id, (event_id, _) = next(iter(events.items()))
        queue.create_task(
            parent=QUEUE,
            task=tasks_v2.Task(
                http_request=tasks_v2.HttpRequest(
                    url=world.functions["sync_calendar"].url,
                    http_method=tasks_v2.HttpMethod.POST,
                    headers={"Content-Type": "application/json"},
                    body=json.dumps({"calendar_id": calendar_id, "event_id": event_id}).encode(),
                )
            ),
        )
        world.wait(lambda: titles() == ["Lost", "While paused", "While paused"], "one event")
        assert world.manage("POST", f"{calendar_path('1@example.com')}/sync").status_code == 202
        world.wait(lambda: titles() == ["Lost", "Lost", "While paused"], "one calendar")
        for calendar in world.manage("GET", "/calendars").json()["calendars"]:
            assert (
                world.manage("POST", f"{calendar_path(calendar['calendar_id'])}/sync").status_code
                == 202
            )
        world.wait(lambda: titles() == ["Lost"] * 3, "all calendars")


def titles_of(world: World) -> list[str | None]:
    """Return the titles of all conferences, in the order in which they were made."""
    return [conference.get("title") for conference in world.conferencing.conferences.values()]


@pytest.mark.e2e
@pytest.mark.firestore
def test_a_restored_database_takes_over(
    tmp_path: Path, firestore_emulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/operate.md: after the restore, the replay brings what changed since the backup, and no
    second conference is made."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore_emulator)
    project, calendar_id = f"restore-{uuid.uuid4().hex[:8]}", "anna@example.com"
    with World(tmp_path, firestore=firestore_emulator, project=project) as world:
        world.start_calendar(calendar_id)

        def event(title: str) -> str:
            fields = {"summary": title, **timed("10:00", "11:00")}
            fields["conferenceData"] = world.conference()
            return str(world.calendar.seed_event(calendar_id, fields)["id"])

        events = [event("Before"), event("Deleted later")]
        world.wait(lambda: titles_of(world) == ["Before", "Deleted later"], "the first sync")
        world.quiet(horizon=5)

        # The backup, restored under another name.
        damaged = firestore.Client(project=project, database="(default)")
        restored = firestore.Client(project=project, database="restored")
        for name in ("calendars", "conferences", "failures", "links"):
            for document in damaged.collection(name).stream():
                restored.collection(name).document(document.id).set(document.to_dict() or {})

        # What happens between the backup and the restore.
        world.calendar.edit(calendar_id, events[0], {"summary": "After"})
        world.calendar.cancel(calendar_id, events[1])
        event("New")
        world.wait(lambda: titles_of(world) == ["After", "New"], "the changes")
        world.quiet(horizon=5)
        made = len(world.conferencing.conferences)

        # The functions, applied anew with the restored database; then the replay of all calendars.
        for function in world.functions.values():
            function.environment["SYNC_FIRESTORE_DATABASE"] = "restored"
            function.restart()
        for calendar in world.manage("GET", "/calendars").json()["calendars"]:
            path = f"{calendar_path(calendar['calendar_id'])}/sync"
            assert world.manage("POST", path).status_code == 202
        world.wait(lambda: world.tasks.pending() == [], "the replay")
        world.quiet(horizon=5)
        assert titles_of(world) == ["After", "New"]
        assert len(world.conferencing.conferences) == made
        assert world.manage("GET", "/failures?state=all").json()["failures"] == []

        # From here on the restored database is the one that is kept.
        world.calendar.edit(calendar_id, events[0], {"summary": "In step"})
        world.wait(lambda: titles_of(world) == ["In step", "New"], "a change after the restore")
        for client in (damaged, restored):
            client.close()
