"""The commands of docs/deploy.md and docs/operate.md, as a person runs them one after the other."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.desk_programs import TOKEN
from tests.support.installations import not_here
from tests.support.manage_server import ManageServer
from tests.support.shell import Desk, commands_of, unknown_to_gcloud
from tests.support.shipped import ROOT
from tests.support.terraform import Terraform

# docs/deploy.md applies: half a minute.
pytestmark = [pytest.mark.terraform, pytest.mark.timeout(600)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A machine on which docs/deploy.md was followed, and `trial`, where it was applied.

    `called`: the calls that the page made, by program, whatever the machine does afterwards.
    """

    desk: Desk
    said: str
    called: dict[str, list[list[str]]]
    trial: Terraform

    def outputs(self, name: str) -> Any:
        return json.loads(self.trial.run("output", "-json", name).stdout)


@pytest.fixture(scope="session")
def deployed(terraform: Terraform, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """The commands of docs/deploy.md, in their order, from a machine where nothing is set up."""
    if shutil.which("jq") is None:
        not_here("jq is not on PATH")
    directory = tmp_path_factory.mktemp("deployed")
    repository = terraform.copy(directory / "repository").directory.parent
    desk = Desk.at(directory / "desk", terraform.environment)
    result = desk.run(commands_of("deploy"), repository, stdin='{"token": "t"}')
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    trial = terraform.at(repository / "terraform" / "examples" / "trial")
    called = {program: desk.calls(program) for program in ("curl", "gcloud")}
    return Deployed(desk=desk, said=result.stdout, called=called, trial=trial)


def test_deploying_works_as_documented(deployed: Deployed) -> None:
    """Every step has its effect, and the number of resources is the one that the page names."""
    [planned] = re.findall(r"Plan: (\d+) to add", (ROOT / "docs" / "deploy.md").read_text())
    assert planned in re.findall(r"(\d+) to add", deployed.said)
    [address] = [words[-1] for words in deployed.called["curl"] if "PUT" in words]
    assert address == f"{deployed.outputs('urls')['manage-calendars']}/calendars/ann%40example.com"
    assert f"Authorization: Bearer {TOKEN}" in deployed.called["curl"][0]
    gcloud = deployed.called["gcloud"]
    filled = {words[3] for words in gcloud if words[:3] == ["secrets", "versions", "add"]}
    assert filled >= set(deployed.outputs("secrets_to_fill"))
    [job] = [words for words in gcloud if words[:2] == ["scheduler", "jobs"]]
    assert job[3] == "conference-sync-maintain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operated:
    """The same machine after docs/operate.md, with `state` as the page left it."""

    desk: Desk
    server: ManageServer
    said: str
    state: dict[str, Any]


@pytest.fixture(scope="session")
def operated(deployed: Deployed) -> Operated:
    """The commands of docs/operate.md, in their order, where docs/deploy.md was followed. What
    terraform does there other tests see, so it only notes its calls, but for its outputs."""
    with ManageServer() as server:
        server.page_size = 2
        for number in range(5):
            server.add(f"user{number}@example.com")
        server.add("ann@example.com")
        server.fail(1, "an all-day event is too long for Webex")
        desk = deployed.desk.told(DESK_MANAGE=server.url, DESK_PLAN="no")
        result = desk.run(commands_of("operate"), deployed.trial.directory)
        assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
        return Operated(desk=desk, server=server, said=result.stdout, state=desk.state())


def test_operating_works_as_documented(operated: Operated) -> None:
    """What the page says that its commands do, they did."""
    desk, server, state = operated.desk, operated.server, operated.state
    assert server.tokens == {f"Bearer {TOKEN}"}
    assert server.count("POST", "/calendars/ann@example.com/sync") == 2
    assert [each["state"] for each in server.failures.values()] == ["retrying"]
    assert server.calendars == {}, "the teardown stops every calendar, page after page"
    assert state["queue"] == "RUNNING"
    assert "PAUSED" in operated.said
    first, rotated, finished = state["secrets"]["conference-sync-channel-key"]
    new, *old = rotated.splitlines()
    assert old == first.splitlines()
    assert (len(new), finished.splitlines()) == (64, [new])
    assert state["tasks"][-1].endswith("tasks/ann@example.com")
    assert state["traffic"] == "conference-sync-1=100"
    assert state["restored"].endswith("backups/new")
    assert ["checkout", "v0.1.0"] in desk.calls("git")
    assert ["destroy"] in desk.calls("terraform")


def test_the_printed_commands_work(deployed: Deployed, operated: object) -> None:
    """Those of `terraform output commands`, each as it is printed."""
    del operated  # which ends before this begins, for both use one machine
    printed = re.split(r"^# \w+$", deployed.outputs("commands"), flags=re.MULTILINE)[1:]
    assert len(printed) >= 11
    with ManageServer() as server:
        server.page_size = 2
        for name in ("ann@example.com", "bob@example.com", "eve@example.com"):
            server.add(name)
        desk = deployed.desk.told(DESK_MANAGE=server.url)
        script = "\n".join(printed).replace("CALENDAR", "ann%40example.com")
        result = desk.run(script, deployed.trial.directory)
        assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
        assert server.count("PUT", "/calendars/ann@example.com") == 1
        assert server.count("POST", "/calendars/.*/sync") == 1 + len(server.calendars)


def test_production_begins_as_documented(deployed: Deployed, operated: object) -> None:
    """The bucket is made before terraform is told to keep its state there."""
    del operated  # which ends before this begins, for both use one machine
    script = f"PROJECT=my-project\n{commands_of('production')}"
    result = deployed.desk.run(script, deployed.trial.directory)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    assert deployed.desk.state()["buckets"] == ["gs://my-project-terraform"]
    assert "successfully initialized" in result.stdout


def test_gcloud_has_every_documented_command(deployed: Deployed, operated: object) -> None:
    """Command by command, option by option, as the real gcloud lists them."""
    del operated  # its calls are looked at
    assert list(unknown_to_gcloud(deployed.desk.calls("gcloud"))) == []
    wrong = [["tasks", "queues", "paws", "q"], ["tasks", "queues", "pause", "q", "--regoin=x"]]
    if shutil.which("gcloud") is None:
        not_here("gcloud is not on PATH")
    assert len(list(unknown_to_gcloud(wrong))) == 2


@pytest.mark.parametrize("left_out", ["auth login", "auth application-default login", "config set"])
def test_a_step_left_out_is_noticed(terraform: Terraform, tmp_path: Path, left_out: str) -> None:
    """The control of the test above: its stand-ins refuse whoever skips a step."""
    repository = terraform.copy(tmp_path / "repository").directory.parent
    desk = Desk.at(tmp_path / "desk", terraform.environment)
    script = commands_of("deploy")
    skipping = re.sub(rf"^gcloud {left_out}.*\n", "", script, flags=re.MULTILINE)
    assert skipping != script
    result = desk.run(skipping, repository, stdin='{"token": "t"}')
    assert result.returncode != 0
    assert "is missing" in result.stderr
