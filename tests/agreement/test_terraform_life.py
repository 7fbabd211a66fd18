"""An installation from its first apply to its destroy, and what only an apply makes known."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from sync import config
from tests.support.installations import FULL, PROVIDER_VALUE, TARGETS, public, write_root
from tests.support.log_filter import matches
from tests.support.shipped import known_variables
from tests.support.terraform import Installation, Json, Terraform

# Apply, three plans and destroy take a minute and a half.
pytestmark = [pytest.mark.terraform, pytest.mark.timeout(600)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What was seen of `full` from the apply to the destroy."""

    full: Installation
    raw_state: str
    outputs: Json
    second_plan: int
    moved: str
    restoring: list[Json]
    left: list[str]

    def commands(self) -> dict[str, str]:
        """Return the commands of the output, by name: each stands below a line `# name`."""
        parts = re.split(r"^# (\w+)$", self.outputs["commands"], flags=re.MULTILINE)[1:]
        return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}


@pytest.fixture(scope="session")
def life(terraform: Terraform, tmp_path_factory: pytest.TempPathFactory) -> Life:
    """Apply, plan again, plan for another region and for a restored database, destroy."""
    here = terraform.copy(tmp_path_factory.mktemp("life") / "repository")
    write_root(here.directory, full=FULL)
    quiet = ["-input=false", "-no-color"]
    here.run("apply", *quiet, "-auto-approve")
    raw_state = (here.directory / "terraform.tfstate").read_text()
    state = here.show()
    second_plan = here.run("plan", *quiet, "-detailed-exitcode", accept=(0, 1, 2)).returncode
    # Nothing changes behind the stand-ins' back, so the rest need not read all anew.
    quiet.append("-refresh=false")
    write_root(here.directory, full={**FULL, "region": "europe-west4"})
    moved = here.run("plan", *quiet, accept=(0, 1)).stderr
    restored = {"database": "full-restored", "create": False}
    write_root(here.directory, full={**FULL, "firestore": restored})
    here.run("plan", *quiet, "-out=restore.tfplan")
    restoring = here.show("restore.tfplan")["resource_changes"]
    write_root(here.directory, full=FULL)
    here.run("destroy", *quiet, "-auto-approve")
    return Life(
        full=Installation(module="full", values=state["values"]),
        raw_state=raw_state,
        outputs=state["values"]["outputs"]["full"]["value"],
        second_plan=second_plan,
        moved=moved,
        restoring=restoring,
        left=here.run("state", "list").stdout.split(),
    )


def test_a_second_plan_is_empty(life: Life) -> None:
    """What was applied is what was written."""
    assert life.second_plan == 0


def test_another_region_is_refused(life: Life) -> None:
    """Queue and database are never replaced because a variable changed."""
    assert "Resource precondition failed" in life.moved
    assert "Queue and database cannot move" in " ".join(life.moved.split())


def test_destroying_leaves_nothing_in_the_state(life: Life) -> None:
    """Everything goes; the database is only forgotten, while it is guarded."""
    assert life.left == []


def test_a_restored_database_takes_over(life: Life) -> None:
    """docs/operate.md: the old database is left where it is, and nothing else is at stake."""
    going = {
        change["address"].removeprefix("module.full."): change["change"]["before"]
        for change in life.restoring
        if "delete" in change["change"]["actions"]
    }
    assert going["google_firestore_database.main[0]"]["deletion_policy"] == "ABANDON"
    kinds = {address.partition(".")[0] for address in going}
    assert kinds == {
        "google_firestore_backup_schedule",
        "google_firestore_database",
        "google_firestore_field",
        "google_project_iam_member",
    }
    told = {
        pair["change"]["after"]["service_config"][0]["environment_variables"][
            "SYNC_FIRESTORE_DATABASE"
        ]
        for pair in life.restoring
        if pair["type"] == "google_cloudfunctions2_function" and "receive" not in pair["address"]
    }
    assert told == {"full-restored"}


def test_no_secret_value_is_in_the_state_or_the_plan(life: Life, plan: Json) -> None:
    """Values are written and forgotten."""
    assert PROVIDER_VALUE not in life.raw_state
    assert PROVIDER_VALUE not in json.dumps(plan)
    versions = life.full.resources("google_secret_manager_secret_version")
    assert set(versions) == {"channel_key", 'provider["rest"]'}
    for values in versions.values():
        assert values["secret_data"] is None
        assert values.get("secret_data_wo") is None


# Who may do what


def test_without_the_invoker_check_allusers_has_no_right(life: Life) -> None:
    """Where a policy forbids allUsers, each public function runs as a service of its own without
    the check, and the function itself is reached by nobody."""
    services = {"receive-notification", "create-conference"}
    assert public(life.full) == {f'google_cloud_run_v2_service.open["{name}"]' for name in services}
    functions = life.full.functions()
    assert {functions[name]["ingress_settings"] for name in services} == {"ALLOW_INTERNAL_ONLY"}
    for name in services:
        service = life.full.resources("google_cloud_run_v2_service")[f'open["{name}"]']
        template = service["template"][0]
        told = {pair["name"]: pair["value"] for pair in template["containers"][0]["env"]}
        assert told.pop("FUNCTION_TARGET") == name.replace("-", "_")
        assert told == functions[name]["environment_variables"]
        assert template["service_account"] == functions[name]["service_account_email"]
        assert template["timeout"] == f"{functions[name]['timeout_seconds']}s"
        assert template["containers"][0]["image"]
        assert life.outputs["urls"][name].startswith(f"https://{service['name']}-")


def test_every_right_on_the_project_is_narrowed_or_cannot_be(life: Life) -> None:
    """Logs and metrics belong to the project: there is nothing smaller to bind these roles to."""
    broad = {
        (values["role"], values["member"].split(":")[1].split("@")[0])
        for values in life.full.resources("google_project_iam_member").values()
        if not values["condition"]
    }
    assert broad == {
        ("roles/logging.logWriter", "full-build"),
        ("roles/logging.viewer", "ops"),
        ("roles/monitoring.viewer", "ops"),
        *(
            ("roles/telemetry.tracesWriter", f"full-{identity}")
            for identity in ("receive", "sync", "manage", "maintain", "create")
        ),
    }


def test_the_addons_function_has_the_rights_that_it_needs_and_no_other(life: Life) -> None:
    """The whole list of create_conference's rights."""
    identity = "serviceAccount:full-create@demo-project.iam.gserviceaccount.com"
    rights = {
        (values["role"].removeprefix("roles/"), address.partition(".")[2])
        for address, values in life.full.addresses()
        if values.get("member") == identity and "role" in values
    }
    on_a_secret = 'main["{}/create-conference"]'
    providers = [entry["name"] for entry in FULL["conferencing_providers"]]
    assert rights == {
        ("datastore.user", 'database["create-conference"]'),
        ("telemetry.tracesWriter", 'traces["create-conference"]'),
        ("cloudtasks.enqueuer", 'enqueuer["create-conference"]'),
        ("iam.serviceAccountUser", 'tasks["create-conference"]'),
        ("iam.serviceAccountTokenCreator", 'delegation["create-conference"]'),
        ("secretmanager.secretAccessor", on_a_secret.format("channel-key")),
        *(
            ("secretmanager.secretAccessor", on_a_secret.format(f"provider/{name}"))
            for name in providers
        ),
        ("secretmanager.secretVersionManager", 'main["provider/webex/create-conference/replace"]'),
    }
    [own] = [
        values["service_account_id"]
        for address, values in life.full.resources("google_service_account_iam_member").items()
        if address == 'delegation["create-conference"]'
    ]
    assert own.endswith("full-create@demo-project.iam.gserviceaccount.com")
    assert set(life.outputs["calendar_identities"]) == {
        "create-conference",
        "maintain",
        "manage-calendars",
        "sync-calendar",
    }


# What the functions are told


@pytest.mark.parametrize("function", [*TARGETS, "create-conference"])
def test_a_function_is_told_what_it_reads(life: Life, function: str) -> None:
    """Every name is one that sync/config.py reads, nothing that the function needs is missing, and
    every value is understood."""
    service = life.full.functions()[function]
    environment: dict[str, str] = dict(service["environment_variables"])
    assert environment.pop("THREADS") == str(service["max_instance_request_concurrency"])
    assert set(environment) <= known_variables()
    settings = config.Settings.from_environ(
        {
            **environment,
            "FUNCTION_TARGET": function.replace("-", "_"),
            "CLOUD_RUN_TIMEOUT_SECONDS": str(service["timeout_seconds"]),
        }
    )
    urls = life.outputs["urls"]
    assert settings.queue == life.outputs["queue"]
    assert settings.worker_url == urls["sync-calendar"]
    assert settings.tasks_service_account.startswith("full-tasks@")
    if function in ("manage-calendars", "maintain", "create-conference"):
        assert settings.notification_url == urls["receive-notification"]
        assert settings.channel_ttl == timedelta(seconds=86400)
    if function == "create-conference":
        assert settings.addon_audiences == set(FULL["addon_audiences"])
        assert settings.addon_domains == set(FULL["addon_domains"])
    if function != "receive-notification":
        assert settings.subject_domains == set(FULL["allowed_subject_domains"])
    if function in ("create-conference", "sync-calendar", "maintain"):
        assert settings.adopt == timedelta(seconds=FULL["adopt_seconds"])
    if function == "sync-calendar":
        assert settings.max_attempts == FULL["settings"]["max_attempts"]
        assert settings.firestore_database == "full-data"


def test_the_shipped_functions_start_as_they_are_told(
    life: Life, archives: dict[str, zipfile.Path], tmp_path: Path
) -> None:
    """From the archive alone, with the environment that Terraform gives: main.py checks every
    setting and every provider when it is imported, also those of an adapter of one's own."""
    archives["full"].root.extractall(tmp_path)
    starting = {}
    for function, service in life.full.functions().items():
        environment = {
            **service["environment_variables"],
            "PATH": os.environ["PATH"],
            "FUNCTION_TARGET": function.replace("-", "_"),
            "CLOUD_RUN_TIMEOUT_SECONDS": str(service["timeout_seconds"]),
        }
        starting[function] = subprocess.Popen(
            [sys.executable, "-c", "import main"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    said = {name: process.communicate(timeout=120)[0] for name, process in starting.items()}
    assert {name: said[name] for name, process in starting.items() if process.returncode} == {}


# Metrics, alerts and the objective


def test_every_filter_looks_at_the_services_that_are_called(life: Life) -> None:
    """Those without the invoker check too."""
    called = {
        re.sub(r"https://|-\d+\.europe-west1\.run\.app", "", url)
        for url in life.outputs["urls"].values()
    }
    for metric in life.full.resources("google_logging_metric").values():
        names = re.search(r"service_name=\(([^)]*)\)", metric["filter"])
        assert names is not None
        assert set(re.findall(r'"([^"]+)"', names[1])) == called


def test_every_alert_says_what_to_do_and_tells_somebody(plain: Installation, life: Life) -> None:
    """Nobody is woken without a next step."""
    full = life.full.resources("google_monitoring_alert_policy")
    assert set(full) - set(plain.resources("google_monitoring_alert_policy")) == {
        'log["add-on creation fails"]',
        "addon_refused[0]",
    }
    for alert in full.values():
        assert len(alert["documentation"][0]["content"]) > 100
        assert len(alert["notification_channels"]) == 1
        assert alert["enabled"] is not False


def test_the_objective_and_its_alert_read_the_lag(life: Life) -> None:
    """The alert's burn rate is that of the objective, and the objective is on the lag's metric."""
    [objective] = life.full.resources("google_monitoring_slo").values()
    cut = objective["request_based_sli"][0]["distribution_cut"][0]
    assert "/user/full_lag" in cut["distribution_filter"]
    buckets = life.full.resources("google_logging_metric")['value["lag"]']["bucket_options"][0]
    [scale] = buckets["exponential_buckets"]
    bounds = {
        scale["scale"] * scale["growth_factor"] ** n for n in range(scale["num_finite_buckets"])
    }
    assert cut["range"][0]["max"] in bounds
    alert = life.full.resources("google_monitoring_alert_policy")["burn"]
    for condition in alert["conditions"]:
        assert objective["name"] in condition["condition_threshold"][0]["filter"]


# The outputs


def flags_of(command: str) -> dict[str, str]:
    words = shlex.split(command)
    return dict(word.removeprefix("--").split("=", 1) for word in words if word.startswith("--"))


def test_replay_by_hand_makes_a_task_that_the_worker_understands(life: Life) -> None:
    """The commands that Terraform prints say what the worker reads."""
    worker = life.outputs["urls"]["sync-calendar"]
    for name, keys in (
        ("replay_task", {"calendar_id"}),
        ("replay_event", {"calendar_id", "event_id"}),
    ):
        flags = flags_of(life.commands()[name])
        assert set(json.loads(flags["body-content"])) == keys
        assert flags["url"] == flags["oidc-token-audience"] == worker
        assert f"queues/{flags['queue']}" in life.outputs["queue"]
        assert flags["oidc-service-account-email"].startswith("full-tasks@")


def test_every_printed_command_is_one_that_a_shell_takes(life: Life) -> None:
    """They can be pasted as they are printed, with every address in quotes."""
    for name, command in life.commands().items():
        subprocess.run(["bash", "-n"], input=command, text=True, check=True)
        for word in re.findall(r"\S*https://\S*/calendars\S*", command):
            assert word[0] in "'\"", f"{name}: {word}"


def test_the_test_alert_is_one_that_an_alert_matches(life: Life) -> None:
    """The record that the command writes is what the alert on broken calendars looks for."""
    words = shlex.split(life.commands()["test_alert"])
    record = {**json.loads(words[4]), "severity": "ERROR"}
    alert = life.full.resources("google_monitoring_alert_policy")['log["calendar broken"]']
    [condition] = alert["conditions"][0]["condition_matched_log"]
    assert matches(condition["filter"], record)
    assert set(condition["label_extractors"]) <= set(record)
    labels = dict(
        pair.split("=")
        for pair in flags_of(shlex.join(words))["monitored-resource-labels"].split(",")
    )
    assert f'"{labels["service_name"]}"' in condition["filter"]
