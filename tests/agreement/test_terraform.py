"""The Terraform root, run by the real terraform against stand-in providers: no credentials, nothing
is made anywhere.

The stand-ins carry hashicorp/google's own schema. They are looked for in the directory that
TERRAFORM_GOOGLE names, then beside this repository in shared/terraform-google. What they do not
imitate: the cloud. Whether a role, a metric or an image exists, and whether an API takes a value,
only a real apply tells.
"""

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
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sync import config

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "terraform"

# Making the stand-ins takes half a minute, a whole life of the system another.
pytestmark = [pytest.mark.terraform, pytest.mark.timeout(600)]

CHECKOV = "checkov==3.3.30"
PROVIDER_VALUE = "value-that-must-not-be-in-the-state"

VARIABLES: dict[str, Any] = {
    "project": "demo-project",
    "region": "europe-west1",
    "operators": ["group:ops@example.com"],
    "alert_email": "ops@example.com",
    "conferencing_providers": [
        {
            "name": "my-web",
            "type": "rest",
            "solutions": ["My Web"],
            "base_url": "https://meet.example.com/api",
        },
        {
            "name": "second",
            "type": "rest",
            "uris": ["https://b.example.com/{id}"],
            "base_url": "https://b.example.com",
        },
    ],
    "secret_versions": {"my-web": 1},
    "iam_settle_seconds": 0,
}


def in_ci() -> bool:
    return os.environ.get("CI") == "true"


def not_here(reason: str) -> None:
    """Skip, and say why; where everything must be tested, fail."""
    if in_ci():
        pytest.fail(f"{reason}; CI must run this")
    pytest.skip(reason)


@dataclass(frozen=True)
class Terraform:
    """The real terraform in one directory, with only the stand-in providers in reach."""

    directory: Path
    environment: dict[str, str]

    def run(
        self, *arguments: str, accept: tuple[int, ...] = (0,)
    ) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            ["terraform", *arguments],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode not in accept:
            pytest.fail(
                f"terraform {shlex.join(arguments)}: {result.returncode}\n{result.stdout}\n{result.stderr}"
            )
        return result

    def show(self, *plan: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.run("show", "-json", *plan).stdout)
        return value

    def copy(self, directory: Path) -> Terraform:
        shutil.copytree(self.directory.parent, directory, symlinks=True)
        return Terraform(directory / "terraform", dict(self.environment))


@dataclass(frozen=True)
class Life:
    """What was seen from the first apply to the destroy."""

    plan: dict[str, Any]
    state: dict[str, Any]
    raw_state: str
    outputs: dict[str, Any]
    second_plan: int
    shipped: list[str]
    left: list[str]

    def resources(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the values of all resources of one type, by their address without the type."""
        return {
            resource["address"].removeprefix(f"{kind}."): resource["values"]
            for resource in self.state["values"]["root_module"]["resources"]
            if resource["type"] == kind and resource["mode"] == "managed"
        }

    def functions(self) -> dict[str, dict[str, Any]]:
        """Return each function's service configuration, by the function's key."""
        return {
            address.split('"')[1]: values["service_config"][0]
            for address, values in self.resources("google_cloudfunctions2_function").items()
        }


def checkov_wanted() -> bool:
    return in_ci() or os.environ.get("CHECKOV") == "1"


@pytest.fixture(scope="session")
def checkov(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Path, subprocess.Popen[bytes]] | None]:
    """Where checkov will be, and its installation: half a minute on the side, while terraform is
    at work."""
    if not checkov_wanted():
        yield None
        return
    directory = tmp_path_factory.mktemp("checkov")
    pip = [
        str(directory / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        CHECKOV,
    ]
    venv = [sys.executable, "-m", "venv", str(directory)]
    with (directory / "install.log").open("w") as log:
        install = subprocess.Popen(
            ["sh", "-c", f"{shlex.join(venv)} && exec {shlex.join(pip)}"],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    yield directory / "bin" / "checkov", install
    install.kill()
    install.wait()


@pytest.fixture(scope="session")
def terraform(tmp_path_factory: pytest.TempPathFactory, checkov: object) -> Terraform:  # noqa: ARG001  # started early
    """A copy of the root and of the sources it ships, initialised."""
    if shutil.which("terraform") is None:
        not_here("terraform is not on PATH")
    named = os.environ.get("TERRAFORM_GOOGLE")
    stand_in = Path(named) if named else ROOT.parent / "shared" / "terraform-google"
    if not (stand_in / "install.sh").is_file():
        not_here("there are no stand-in providers; name their directory in TERRAFORM_GOOGLE")
    installed = tmp_path_factory.mktemp("providers")
    install = subprocess.run(
        [str(stand_in / "install.sh"), str(installed)], capture_output=True, text=True, check=False
    )
    if install.returncode:
        not_here(f"the stand-in providers could not be installed: {install.stderr.strip()[-400:]}")

    repository = tmp_path_factory.mktemp("copy") / "repository"
    directory = repository / "terraform"
    shutil.copytree(
        SOURCE,
        directory,
        ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars*", "*.zip"),
    )
    shutil.copytree(
        ROOT / "sync", repository / "sync", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("main.py", "requirements.txt"):
        shutil.copy(ROOT / name, repository / name)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    environment |= {"TF_CLI_CONFIG_FILE": str(installed / "terraformrc"), "TF_IN_AUTOMATION": "1"}
    terraform = Terraform(directory, environment)
    terraform.run("init", "-backend=false", "-input=false", "-no-color")
    return terraform


@pytest.fixture(scope="session")
def life(terraform: Terraform, tmp_path_factory: pytest.TempPathFactory) -> Life:
    """Plan, apply, plan again, lift the guard, destroy."""
    here = terraform.copy(tmp_path_factory.mktemp("life") / "repository")
    (here.directory / "terraform.tfvars.json").write_text(json.dumps(VARIABLES))
    here.environment["TF_VAR_secret_values"] = json.dumps({"my-web": PROVIDER_VALUE})
    here.run("plan", "-input=false", "-no-color", "-out=first.tfplan")
    plan = here.show("first.tfplan")
    here.run("apply", "-input=false", "-no-color", "first.tfplan")
    raw_state = (here.directory / "terraform.tfstate").read_text()
    state = here.show()
    with zipfile.ZipFile(here.directory / "source.zip") as archive:
        shipped = archive.namelist()
    second_plan = here.run(
        "plan", "-input=false", "-no-color", "-detailed-exitcode", accept=(0, 1, 2)
    ).returncode
    here.run("apply", "-input=false", "-no-color", "-auto-approve", "-var=protect_data=false")
    here.run("destroy", "-input=false", "-no-color", "-auto-approve", "-var=protect_data=false")
    return Life(
        plan=plan,
        state=state,
        raw_state=raw_state,
        outputs={name: output["value"] for name, output in state["values"]["outputs"].items()},
        second_plan=second_plan,
        shipped=shipped,
        left=here.run("state", "list").stdout.split(),
    )


def test_the_root_is_formatted() -> None:
    if shutil.which("terraform") is None:
        not_here("terraform is not on PATH")
    result = subprocess.run(
        ["terraform", "fmt", "-check", "-diff", "-recursive", str(SOURCE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_root_is_valid_without_a_warning(terraform: Terraform) -> None:
    answer = json.loads(terraform.run("validate", "-json").stdout)
    assert answer["valid"]
    assert answer["diagnostics"] == []


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("functions.tf", "timeout_seconds ", "timeout_secnds "),
        ("queue.tf", "max_concurrent_dispatches", "max_concurrent_dispatch"),
        ("secrets.tf", "secret_data_wo ", "secret_data_w "),
    ],
)
def test_a_misspelt_argument_is_refused(
    terraform: Terraform, tmp_path: Path, file: str, right: str, wrong: str
) -> None:
    """The control of the test above: what is valid was really looked at."""
    broken = terraform.copy(tmp_path / "repository")
    text = (broken.directory / file).read_text()
    assert right in text
    (broken.directory / file).write_text(text.replace(right, wrong, 1))
    answer = json.loads(broken.run("validate", "-json", accept=(1,)).stdout)
    assert not answer["valid"]
    assert any(wrong.strip() in problem["detail"] for problem in answer["diagnostics"])


def test_the_roots_own_tests_pass(terraform: Terraform, tmp_path: Path) -> None:
    result = terraform.copy(tmp_path / "repository").run("test", "-no-color")
    assert re.search(r"Success! \d+ passed, 0 failed", result.stdout), result.stdout


def test_a_second_plan_is_empty(life: Life) -> None:
    assert life.second_plan == 0


def test_destroying_leaves_nothing_in_the_state(life: Life) -> None:
    assert life.left == []


def test_no_secret_value_is_in_the_state_or_the_plan(life: Life) -> None:
    assert PROVIDER_VALUE not in life.raw_state
    assert PROVIDER_VALUE not in json.dumps(life.plan)
    versions = life.resources("google_secret_manager_secret_version")
    assert set(versions) == {"channel_key", 'provider["my-web"]'}
    for values in versions.values():
        assert values["secret_data"] is None
        assert values.get("secret_data_wo") is None


def test_no_key_file_is_made_and_nothing_is_public_but_the_notification_function(
    life: Life,
) -> None:
    kinds = {
        change["type"] for change in life.plan["resource_changes"] if change["mode"] == "managed"
    }
    assert not {kind for kind in kinds if "key" in kind and "secret" not in kind}
    public = {
        resource["address"]
        for resource in life.state["values"]["root_module"]["resources"]
        if {"allUsers", "allAuthenticatedUsers"}
        & {str(value) for value in resource["values"].values()}
    }
    assert public == {
        'google_cloud_run_v2_service_iam_member.caller["receive-notification/everyone"]'
    }
    for bucket in life.resources("google_storage_bucket").values():
        assert bucket["public_access_prevention"] == "enforced"


def test_every_right_on_the_project_is_narrowed_or_cannot_be(life: Life) -> None:
    broad = {
        (values["role"], values["member"].split(":")[1].split("@")[0])
        for values in life.resources("google_project_iam_member").values()
        if not values["condition"]
    }
    assert broad == {("roles/logging.logWriter", "conference-sync-build")}


def test_what_is_shipped_is_the_allow_list(life: Life) -> None:
    assert sorted(life.shipped) == sorted(
        [
            "main.py",
            "requirements.txt",
            *(str(path.relative_to(ROOT)) for path in (ROOT / "sync").rglob("*.py")),
        ]
    )


@pytest.mark.parametrize(
    "function", ["receive-notification", "sync-calendar", "manage-calendars", "maintain"]
)
def test_the_code_starts_with_the_environment_that_it_is_given(life: Life, function: str) -> None:
    """Every name is one that sync/config.py reads, nothing that it needs is missing, and every
    value is understood."""
    service = life.functions()[function]
    environment: dict[str, str] = dict(service["environment_variables"])
    known = set(re.findall(r'"([A-Z][A-Z0-9_]+)"', Path(config.__file__).read_text()))
    assert environment.pop("THREADS") == str(service["max_instance_request_concurrency"])
    assert set(environment) <= known
    settings = config.Settings.from_environ(
        {
            **environment,
            "FUNCTION_TARGET": function.replace("-", "_"),
            "CLOUD_RUN_TIMEOUT_SECONDS": str(service["timeout_seconds"]),
        }
    )
    assert settings.queue == life.outputs["queue"]
    assert settings.worker_url == life.outputs["urls"]["sync-calendar"]
    assert settings.tasks_service_account.startswith("conference-sync-tasks@")
    if function in ("manage-calendars", "maintain"):
        assert settings.notification_url == life.outputs["urls"]["receive-notification"]


def test_the_environment_of_the_worker_names_the_providers_in_order(life: Life) -> None:
    environment = life.functions()["sync-calendar"]["environment_variables"]
    settings = config.Settings.from_environ({**environment, "FUNCTION_TARGET": "sync_calendar"})
    assert [provider.name for provider in settings.providers] == ["my-web", "second"]
    assert settings.providers[0].secret == "projects/demo-project/secrets/conference-sync-my-web"
    assert settings.providers[0].options == {"base_url": "https://meet.example.com/api"}


@pytest.mark.parametrize("function", ["sync-calendar", "maintain"])
def test_a_run_ends_before_its_function_and_its_function_before_the_task_is_brought_again(
    life: Life, function: str
) -> None:
    service = life.functions()[function]
    timeout = timedelta(seconds=service["timeout_seconds"])
    assert timeout < config.DISPATCH_DEADLINE
    for told in ({}, {"CLOUD_RUN_TIMEOUT_SECONDS": str(service["timeout_seconds"])}):
        assert config.Settings.from_environ(told).run_limit < timeout


def test_replay_by_hand_makes_a_task_that_the_worker_understands(life: Life) -> None:
    worker = life.outputs["urls"]["sync-calendar"]
    for name, keys in (
        ("replay_task", {"calendar_id"}),
        ("replay_event", {"calendar_id", "event_id"}),
    ):
        words = shlex.split(life.outputs["commands"][name])
        flags = dict(
            word.removeprefix("--").split("=", 1) for word in words if word.startswith("--")
        )
        assert set(json.loads(flags["body-content"])) == keys
        assert flags["url"] == flags["oidc-token-audience"] == worker
        assert f"queues/{flags['queue']}" in life.outputs["queue"]
        assert flags["oidc-service-account-email"].startswith("conference-sync-tasks@")


def test_every_alert_says_what_to_do_and_tells_somebody(life: Life) -> None:
    alerts = life.resources("google_monitoring_alert_policy")
    assert len(alerts) == 9
    for alert in alerts.values():
        assert len(alert["documentation"][0]["content"]) > 100
        assert len(alert["notification_channels"]) == 1
        assert alert["enabled"] is not False


def test_every_metric_on_the_dashboard_exists(life: Life) -> None:
    made = {values["name"] for values in life.resources("google_logging_metric").values()}
    (dashboard,) = life.resources("google_monitoring_dashboard").values()
    alerts = json.dumps(life.resources("google_monitoring_alert_policy"))
    used = set(
        re.findall(r"logging_googleapis_com:user_(\w+)", dashboard["dashboard_json"] + alerts)
    )
    stems = {
        re.sub(r"_(sum|count|bucket)$", "", name) if name not in made else name for name in used
    }
    assert stems <= made
    assert made - stems <= {"conference_sync_not_enqueued", "conference_sync_maintain_failed"}


@pytest.mark.skipif(not checkov_wanted(), reason="checkov takes a minute to install; set CHECKOV=1")
def test_checkov_finds_nothing_but_what_is_skipped_with_its_reason(
    checkov: tuple[Path, subprocess.Popen[bytes]],
) -> None:
    program, install = checkov
    assert install.wait() == 0, (program.parent.parent / "install.log").read_text()
    result = subprocess.run(
        [
            str(program),
            "--directory",
            str(SOURCE),
            "--framework",
            "terraform",
            "--skip-download",
            "-o",
            "json",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(result.stdout)["results"]
    assert found["parsing_errors"] == []
    assert [(check["check_id"], check["resource"]) for check in found["failed_checks"]] == []
    assert found["passed_checks"]
    assert all(
        len(check["check_result"]["suppress_comment"]) > 30 for check in found["skipped_checks"]
    )
