"""The Terraform module, run by the real terraform against stand-in providers: no credentials, and
nothing is made anywhere. What Terraform renders is compared with the code that reads it.

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

import httpx
import pytest

from sandbox.processes import FunctionProcess
from sandbox.world import World
from sync import conferencing, config
from sync.errors import ConfigurationError
from sync.model.conference import ConferenceRecord
from sync.operate import channels
from tests.support.bench import timed
from tests.support.desk_programs import TOKEN
from tests.support.log_filter import fields_of, matches, messages_of
from tests.support.manage_server import ManageServer
from tests.support.shell import Desk, commands_of, unknown_to_gcloud
from tests.support.shipped import (
    PLATFORM,
    ROOT,
    known_variables,
    logged_messages,
    shipped,
    targets_of_main,
)
from tests.support.terraform import Installation, Json, Terraform

SOURCE = ROOT / "terraform"

# Making the stand-ins takes ten seconds, an apply and a destroy half a minute.
pytestmark = [pytest.mark.terraform, pytest.mark.timeout(600)]

CHECKOV = "checkov==3.3.30"
PROVIDER_VALUE = "value-that-must-not-be-in-the-state"

# What only a run outside the cloud sets.
LOCAL_ONLY = {"SYNC_STORE", "SYNC_ADDON_CERTS_URL"}

# Every option of every type that the project brings, with a value that its adapter takes.
COMMON_OPTIONS: Json = {
    "solutions": ["My Web"],
    "uris": ["https://meet.example.com/{id}"],
    "hosts": ["boss@example.com", "*@example.org"],
    "calls_per_second": 2.5,
}
OPTIONS: dict[str, Json] = {
    "rest": {"base_url": "https://meet.example.com/api"},
    "teams": {
        "base_url": "https://graph.microsoft.us/v1.0",
        "token_url": "https://login.microsoftonline.us/{tenant_id}/oauth2/v2.0/token",
        "host": "dc17674c-81d9-4adb-bfb2-8f882a442e4c",
    },
    "webex": {
        "base_url": "https://webexapis.example.com/v1",
        "token_url": "https://webexapis.example.com/v1/access_token",
        "host": "host@example.com",
        "mail": True,
        "site_url": "example.webex.com",
    },
    "zoom": {
        "base_url": "https://api.zoomgov.com/v2",
        "token_url": "https://zoomgov.com/oauth/token",
        "all_day": True,
        "host": "host@example.com",
        "mail": True,
        "max_occurrences": 60,
        "time_zone": "Europe/Berlin",
        "unsupported_recurrence": "no_fixed_time",
    },
}
OWN_ADAPTER = '''\
"""An adapter of one's own, which another repository ships."""

from sync.conferencing import Adapter


class AcmeRooms(Adapter):
    FIELDS = frozenset({"title", "start", "end"})

    def __init__(self, settings, context):
        super().__init__(settings, context)
        if settings.options != {"building": 7, "lights": True}:
            raise ValueError(f"options are {settings.options}")

    def _call(self, *_arguments):
        raise NotImplementedError("this test starts functions and calls nobody")

    create = look = read = update = delete = _call
'''

PLAIN: Json = {
    "source": "../terraform",
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
    ],
    "iam_settle_seconds": 0,
}
# Every variable set, in an organisation that forbids allUsers.
FULL: Json = {
    **PLAIN,
    "name": "full",
    "invoker_check": False,
    "addon_audiences": [
        "1234-abc.apps.googleusercontent.com",
        "5678-def.apps.googleusercontent.com",
    ],
    "addon_domains": ["example.com", "example.org"],
    "adopt_seconds": 3600,
    "allowed_subject_domains": ["example.com"],
    "backup_days": 30,
    "budget": {"billing_account": "012345-ABCDEF-678901", "amount": 50},
    "calendar_secrets": ["ann"],
    "conferencing_providers": [
        *(
            {"name": kind, "type": kind, **COMMON_OPTIONS, **options}
            for kind, options in OPTIONS.items()
        ),
        {
            "name": "rooms",
            "type": "acme_rooms:AcmeRooms",
            "solutions": ["Acme Room"],
            "options": '{"building": 7, "lights": true}',
        },
    ],
    "extra_requirements": ["acme-rooms==1.2.0"],
    "extra_sources": {"acme_rooms.py": "acme_rooms.py"},
    "firestore": {"database": "full-data"},
    "instances": {"min_sync": 1, "min_receive": 1, "min_create": 1},
    "labels": {"team": "calendar"},
    "secret_values": "${var.secret_values}",
    "secret_versions": {"rest": 1},
    "settings": {
        "channel_ttl_seconds": 86400,
        "coalesce_seconds": 5,
        "concurrency": 4,
        "delete_grace_seconds": 30,
        "max_attempts": 3,
        "reconcile_seconds": 3600,
        "retry_seconds": 10,
        "window_days": 2,
    },
    "trace_url": "https://telemetry.googleapis.com/v1/traces",
}
TARGETS = ("receive-notification", "sync-calendar", "manage-calendars", "maintain")


def in_ci() -> bool:
    return os.environ.get("CI") == "true"


def not_here(reason: str) -> None:
    """Skip, and say why; where everything must be tested, fail."""
    if in_ci():
        pytest.fail(f"{reason}; CI must run this")
    pytest.skip(reason)


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
        *("-m", "pip", "install", "--quiet", "--disable-pip-version-check", CHECKOV),
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


def write_root(directory: Path, **calls: Json) -> None:
    """Write a root that calls the module, once for each keyword."""
    root = {
        "variable": {"secret_values": {"type": "map(string)", "ephemeral": True}},
        "module": calls,
        "output": {name: {"value": f"${{module.{name}}}"} for name in calls},
    }
    (directory / "main.tf.json").write_text(json.dumps(root))


@pytest.fixture(scope="session")
def terraform(tmp_path_factory: pytest.TempPathFactory, checkov: object) -> Terraform:  # noqa: ARG001  # started early
    """A root that calls the module twice, `plain` and `full`, in a copy of the repository."""
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
    repository.mkdir()
    left_out = (".terraform*", "*.tfstate*", "*.tfvars*", "*.zip", "__pycache__")
    for name in ("terraform", "sync"):
        shutil.copytree(ROOT / name, repository / name, ignore=shutil.ignore_patterns(*left_out))
    for name in ("main.py", "requirements.txt"):
        shutil.copy(ROOT / name, repository / name)
    root = repository / "root"
    root.mkdir()
    (root / "acme_rooms.py").write_text(OWN_ADAPTER)
    write_root(root, plain=PLAIN, full=FULL)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    environment |= {
        "TF_CLI_CONFIG_FILE": str(installed / "terraformrc"),
        "TF_IN_AUTOMATION": "1",
        "TF_VAR_secret_values": json.dumps({"rest": PROVIDER_VALUE}),
    }
    terraform = Terraform(directory=root, environment=environment)
    terraform.init()
    return terraform


@pytest.fixture(scope="session")
def plan(terraform: Terraform) -> Json:
    """The one plan that most tests here read."""
    terraform.run("plan", "-input=false", "-no-color", "-out=first.tfplan")
    return terraform.show("first.tfplan")


@pytest.fixture(scope="session")
def plain(plan: Json) -> Installation:
    """What is planned with nothing but the variables that have no default."""
    return Installation(module="plain", values=plan["planned_values"])


@pytest.fixture(scope="session")
def full(plan: Json) -> Installation:
    """What is planned with every variable set."""
    return Installation(module="full", values=plan["planned_values"])


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


def known_options(kind: str) -> set[str] | None:
    """Return the options that an adapter names when it is given one that it does not know."""
    entry = config.ProviderSettings(
        name="x",
        type=kind,
        secret="projects/p/secrets/s",
        solutions=("X",),
        options={**OPTIONS[kind], "no_such_option": "x"},
    )
    try:
        conferencing.check([entry])
    except ConfigurationError as error:
        named = re.search(r"use one of ([\w, ]+)", str(error))
        return set(named[1].split(", ")) if named else None
    return None


# The module itself


def test_every_file_is_formatted() -> None:
    """`terraform fmt` changes nothing."""
    if shutil.which("terraform") is None:
        not_here("terraform is not on PATH")
    result = subprocess.run(
        ["terraform", "fmt", "-check", "-diff", "-recursive", str(SOURCE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_module_is_valid_without_a_warning(terraform: Terraform) -> None:
    """Every argument is one that the provider's schema has."""
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
    path = broken.directory.parent / "terraform" / file
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong, 1))
    answer = json.loads(broken.run("validate", "-json", accept=(1,)).stdout)
    assert not answer["valid"]
    assert any(wrong.strip() in problem["detail"] for problem in answer["diagnostics"])


def test_the_modules_own_tests_pass(terraform: Terraform, tmp_path: Path) -> None:
    """`terraform test` in the module's directory."""
    module = terraform.copy(tmp_path / "repository").at(tmp_path / "repository" / "terraform")
    module.init()
    result = module.run("test", "-no-color")
    assert re.search(r"Success! \d+ passed, 0 failed", result.stdout), result.stdout


def test_every_example_can_be_planned(terraform: Terraform, tmp_path: Path) -> None:
    """With the values that it asks for an example makes an installation, or one for each entry, and
    everything of an installation is in its project."""
    here = terraform.copy(tmp_path / "repository")
    values = {key: PLAIN[key] for key in ("region", "operators", "alert_email")}
    providers = FULL["conferencing_providers"][:4]
    common = {**values, "project": "demo-project", "conferencing_providers": providers}
    calls: Json = {
        "trial": common,
        "production": {
            **common,
            "domain": "example.com",
            "secret_values": "${var.secret_values}",
            "secret_versions": {"rest": 1},
            "addon_audiences": FULL["addon_audiences"],
            "budget": FULL["budget"],
        },
        "two-environments": {
            "conferencing_providers": providers,
            "environments": {
                "test": {**values, "project": "demo-test", "paused": True, "invoker_check": False},
                "live": {**values, "project": "demo-live", "region": "us-central1"},
            },
        },
    }
    assert {path.name for path in (SOURCE / "examples").iterdir()} == set(calls)
    # All three in one plan, as modules of one root: it saves starting the providers anew for each.
    sources = {name: {"source": f"../terraform/examples/{name}"} for name in calls}
    write_root(here.directory, **{name: {**sources[name], **calls[name]} for name in calls})
    here.init()
    here.run("plan", "-input=false", "-no-color", "-out=examples.tfplan")
    planned = here.show("examples.tfplan")["planned_values"]
    for module, project in {
        "trial.module.conference_sync": "demo-project",
        "production.module.conference_sync": "demo-project",
        'two-environments.module.conference_sync["test"]': "demo-test",
        'two-environments.module.conference_sync["live"]': "demo-live",
    }.items():
        installation = Installation(module=module, values=planned)
        assert set(installation.functions()) >= set(TARGETS)
        named = [values for _, values in installation.addresses() if "project" in values]
        assert {values["project"] for values in named} == {project}


# From the first apply to the destroy


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


def test_no_key_file_is_made(plan: Json) -> None:
    """No account has a key that could be lost."""
    kinds = {change["type"] for change in plan["resource_changes"] if change["mode"] == "managed"}
    assert not {kind for kind in kinds if "key" in kind and "secret" not in kind}


def public(installation: Installation) -> set[str]:
    return {
        address
        for address, values in installation.addresses()
        if {"allUsers", "allAuthenticatedUsers"} & {str(value) for value in values.values()}
        or values.get("invoker_iam_disabled")
    }


def test_nothing_is_public_but_the_notification_function(plain: Installation) -> None:
    """Everything else asks who calls."""
    assert public(plain) == {
        'google_cloud_run_v2_service_iam_member.caller["receive-notification/everyone"]'
    }
    ingress = {name: service["ingress_settings"] for name, service in plain.functions().items()}
    assert ingress == {
        "maintain": "ALLOW_INTERNAL_ONLY",
        "manage-calendars": "ALLOW_ALL",
        "receive-notification": "ALLOW_ALL",
        "sync-calendar": "ALLOW_INTERNAL_ONLY",
    }
    for bucket in plain.resources("google_storage_bucket").values():
        assert bucket["public_access_prevention"] == "enforced"


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


def test_without_an_addon_its_function_is_not_deployed(plain: Installation) -> None:
    """No function, no identity, no metric of it."""
    assert set(plain.functions()) == set(TARGETS)
    assert not [
        address for address, _ in plain.addresses() if "create-" in address or "addon" in address
    ]


# What the functions are told, against the code that reads it


def test_functions_are_the_targets_of_main(full: Installation) -> None:
    """Each function of main.py is deployed under its name, and no other."""
    entries = {
        values["build_config"][0]["entry_point"]
        for values in full.resources("google_cloudfunctions2_function").values()
    }
    assert entries == targets_of_main()


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


def test_every_variable_is_set_for_some_function_and_no_other(full: Installation) -> None:
    """Nothing that can be configured is out of Terraform's reach."""
    told = {
        name
        for service in full.functions().values()
        for name in service["environment_variables"]
        if name != "THREADS"
    }
    local = {name for name in known_variables() if name.endswith("_EMULATOR_HOST")} | LOCAL_ONLY
    # The project's tasks account is known after the apply only, as a plan shows it.
    assert told | {"SYNC_TASKS_SERVICE_ACCOUNT"} | local | PLATFORM == (
        known_variables() | LOCAL_ONLY
    )


def test_what_is_left_out_keeps_the_codes_default(plain: Installation) -> None:
    """Without settings only what has no default is told."""
    told = set(plain.functions()["sync-calendar"]["environment_variables"])
    assert told - {"SYNC_TASKS_SERVICE_ACCOUNT"} == {
        "GOOGLE_CLOUD_PROJECT",
        "SYNC_FIRESTORE_DATABASE",
        "SYNC_PROVIDERS",
        "SYNC_QUEUE",
        "SYNC_WORKER_URL",
        "THREADS",
    }


def rendered_providers(full: Installation) -> dict[str, Json]:
    text = full.functions()["sync-calendar"]["environment_variables"]["SYNC_PROVIDERS"]
    return {entry["name"]: entry for entry in json.loads(text)}


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        (kind, option)
        for kind, options in OPTIONS.items()
        for option in {**COMMON_OPTIONS, **options}
    ],
)
def test_an_option_passes_from_terraform_to_its_adapter(
    full: Installation, kind: str, option: str
) -> None:
    """As it was written, and so that the configuration's own check takes it."""
    entry = rendered_providers(full)[kind]
    assert entry[option] == {**COMMON_OPTIONS, **OPTIONS[kind]}[option]
    needed = {"name", "type", "secret", "solutions", "base_url", option}
    alone = {key: value for key, value in entry.items() if key in needed}
    settings = config.Settings.from_environ({"SYNC_PROVIDERS": json.dumps([alone])})
    conferencing.check(settings.providers)


def test_providers_keep_their_order_and_secrets(full: Installation) -> None:
    """The first that matches an event has it."""
    entries = rendered_providers(full)
    assert list(entries) == [entry["name"] for entry in FULL["conferencing_providers"]]
    assert entries["rest"]["secret"] == "projects/demo-project/secrets/full-rest"
    assert entries["rooms"] == {
        "name": "rooms",
        "type": "acme_rooms:AcmeRooms",
        "solutions": ["Acme Room"],
        "secret": "projects/demo-project/secrets/full-rooms",
        "building": 7,
        "lights": True,
    }


def test_terraform_offers_the_options_that_the_adapters_know(terraform: Terraform) -> None:
    """No option is missing, and none is offered that would stop the function."""
    module = terraform.at(terraform.directory.parent / "terraform")
    module.init()
    asked = "jsonencode(local.provider_options)"
    answer = module.run("console", "-no-color", stdin=asked).stdout
    offered = json.loads(json.loads(answer.strip().splitlines()[-1]))
    assert {kind: set(options) for kind, options in offered.items()} == {
        kind: set(options) for kind, options in OPTIONS.items()
    }
    for kind in OPTIONS:
        known = known_options(kind)
        if known is not None:
            # rest speaks no OAuth: its adapter takes the word, and nothing reads it.
            assert known - set(COMMON_OPTIONS) - {"token_url"} == set(OPTIONS[kind]) - {"token_url"}


# What is shipped


@pytest.fixture(scope="session")
def archives(terraform: Terraform, plan: Json) -> dict[str, zipfile.Path]:  # noqa: ARG001  # planning writes them
    module = terraform.directory.parent / "terraform"
    return {
        name: zipfile.Path(zipfile.ZipFile(module / f"source-demo-project-{name}.zip"))
        for name in ("conference-sync", "full")
    }


def test_what_is_shipped_is_the_allow_list(archives: dict[str, zipfile.Path]) -> None:
    """main.py, requirements.txt and sync/, as they are; and an adapter of one's own beside them."""
    allowed = set(shipped())
    plain, full = (
        {name for name in archives[name].root.namelist() if not name.endswith("/")}
        for name in ("conference-sync", "full")
    )
    assert plain == allowed
    assert full == allowed | {"acme_rooms.py"}
    for name in allowed - {"requirements.txt"}:
        assert (archives["full"] / name).read_text() == (ROOT / name).read_text()
    wanted = (ROOT / "requirements.txt").read_text().split()
    assert (archives["conference-sync"] / "requirements.txt").read_text().split() == wanted
    assert (archives["full"] / "requirements.txt").read_text().split() == [
        *wanted,
        "acme-rooms==1.2.0",
    ]


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


# Times and numbers


@pytest.mark.parametrize("function", ["sync-calendar", "maintain"])
def test_a_run_ends_before_its_function_and_its_function_before_the_task_is_brought_again(
    plain: Installation, function: str
) -> None:
    """One attempt at a time."""
    service = plain.functions()[function]
    timeout = timedelta(seconds=service["timeout_seconds"])
    assert timeout < config.DISPATCH_DEADLINE
    for told in ({}, {"CLOUD_RUN_TIMEOUT_SECONDS": str(service["timeout_seconds"])}):
        assert config.Settings.from_environ(told).run_limit < timeout


def test_the_queue_sends_no_more_than_the_worker_takes(full: Installation) -> None:
    """429 of Cloud Run would slow the whole queue down."""
    [queue] = full.resources("google_cloud_tasks_queue").values()
    worker = full.functions()["sync-calendar"]
    most = worker["max_instance_count"] * worker["max_instance_request_concurrency"]
    assert queue["rate_limits"][0]["max_concurrent_dispatches"] == most


def test_the_schedule_is_the_one_that_renewal_counts_on(plain: Installation) -> None:
    """Every hour, at a minute of this installation's own."""
    [job] = plain.resources("google_cloud_scheduler_job").values()
    assert re.fullmatch(r"[0-5]?\d \* \* \* \*", job["schedule"])
    assert timedelta(hours=1) == channels.SCHEDULE_PERIOD


def test_indexed_fields_are_those_that_queries_ask_for(plain: Installation) -> None:
    """No query lacks its index, and no index is paid for without a query."""
    source = (ROOT / "sync" / "store" / "firestore.py").read_text()
    asked = {
        field
        for query in (
            r'FieldFilter\("([\w.]+)"',
            r'_Due\("([\w.]+)"',
            r'equal = \{"([\w.]+)"',
            r'equal\["([\w.]+)"\]',
            r'_page\([\w.]+, \{"([\w.]+)"',
        )
        for field in re.findall(query, source)
    }
    fields = plain.resources("google_firestore_field")
    indexed = {
        values["field"] for address, values in fields.items() if address.startswith("indexed")
    }
    assert indexed == asked
    collections = {values["collection"] for values in fields.values() if values["field"] == "*"}
    assert collections == set(re.findall(r'\.collection\("(\w+)"\)', source))
    expiring = fields["expiry"]
    assert (expiring["collection"], expiring["field"]) == ("conferences", "expires_at")
    assert ConferenceRecord.__dataclass_fields__["expires_at"]


def test_the_database_is_guarded_and_backed_up(plain: Installation, full: Installation) -> None:
    """Nobody deletes it by mistake, and a copy outlives it."""
    [database] = plain.resources("google_firestore_database").values()
    assert database["delete_protection_state"] == "DELETE_PROTECTION_ENABLED"
    assert database["deletion_policy"] == "ABANDON"
    for installation, days in ((plain, 14), (full, 30)):
        [schedule] = installation.resources("google_firestore_backup_schedule").values()
        assert schedule["retention"] == f"{days * 86400}s"


# Metrics, alerts and queries, against what the functions log


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Json]:
    """What the real functions logged while calendars changed and things went wrong."""
    calendar_id = "ann@example.com"
    # Two attempts: the first failure of a change is tried again.
    settings = {"SYNC_MAX_ATTEMPTS": "2", "SYNC_DELETE_GRACE_SECONDS": "0"}
    with World(tmp_path_factory.mktemp("records"), settings=settings) as world:
        data = world.conference()
        conferences = world.conferencing.conferences
        world.start_calendar(calendar_id)
        event_id = world.calendar.seed_event(
            calendar_id, {"summary": "A", **timed("10:00", "11:00"), "conferenceData": data}
        )["id"]

        def renamed(title: str) -> None:
            world.calendar.edit(calendar_id, event_id, {"summary": title})
            world.wait(
                lambda: conferences[data["conferenceId"]].get("title") == title, f"title {title}"
            )

        renamed("B")
        world.conferencing.faults.add(method="PUT", status=503, times=1)
        renamed("C")
        world.conferencing.faults.add(method="PUT", status=400, times=1)
        world.calendar.edit(calendar_id, event_id, {"summary": "D"})
        world.wait(lambda: world.manage("GET", "/failures").json()["failures"], "a parked failure")
        world.calendar.cancel(calendar_id, event_id)
        world.wait(lambda: data["conferenceId"] not in conferences, "the deletion")
        receive = world.functions["receive_notification"]
        httpx.post(receive.url, headers={"X-Goog-Channel-ID": "forged"}, timeout=30)
        world.deliver({"calendar_id": "unknown@example.com"})
        world.maintain()
        addon = FunctionProcess(
            "create_conference",
            environment={
                **world.environment(),
                "SYNC_ADDON_AUDIENCES": "1234-abc.apps.googleusercontent.com",
                "SYNC_ADDON_DOMAINS": "example.com",
            },
            source=ROOT / "main.py",
            log_file=world.directory / "create_conference.log",
        )
        with addon:
            addon.wait_ready()
            httpx.post(addon.url, headers={"Authorization": "Bearer forged"}, timeout=30)
        world.quiet()
        functions = (*world.functions.values(), addon)
        return [record for function in functions for record in function.records()]


# Metrics that the story of `records` must feed. The others need an outage, or a real token.
FED = {
    "runs",
    "events_retried",
    "events_parked",
    "refused",
    "provider_calls",
    "tasks_dropped",
    "addon_refused",
    "changes",
    "created",
    "updated",
    "deleted",
    "lag",
    "calendars",
    "broken",
    "polled",
    "stale",
    "parked",
    "channels_due",
    "channels_refused",
}


def test_every_metric_finds_what_the_functions_log(full: Installation, records: list[Json]) -> None:
    """Each filter matches a record that a function wrote, and each field is in it."""
    metrics = {
        values["name"].removeprefix("full_"): values
        for values in full.resources("google_logging_metric").values()
    }
    assert set(metrics) >= FED
    for name, metric in metrics.items():
        assert messages_of(metric["filter"]) <= logged_messages(), name
        found = [record for record in records if matches(metric["filter"], record)]
        assert found or name not in FED, f"nothing feeds {name}: {metric['filter']}"
        for record in found:
            read = fields_of(metric["filter"]) | {
                extractor.removeprefix("EXTRACT(jsonPayload.").rstrip(")")
                for extractor in [
                    *(metric.get("label_extractors") or {}).values(),
                    metric.get("value_extractor") or "EXTRACT(jsonPayload.message)",
                ]
            }
            assert read <= set(record), f"{name} reads {read - set(record)}"


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


def test_alerts_on_log_lines_match_what_is_logged(full: Installation, records: list[Json]) -> None:
    """Their messages exist, and an incident carries the fields that it names."""
    alerts = full.resources("google_monitoring_alert_policy")
    conditions = [
        condition
        for alert in alerts.values()
        for part in alert["conditions"]
        for condition in part["condition_matched_log"]
    ]
    assert len(conditions) == 6
    for condition in conditions:
        assert messages_of(condition["filter"]) <= logged_messages()
        for record in records:
            if matches(condition["filter"], record):
                assert set(condition["label_extractors"]) <= set(record)
    parked = next(c for c in conditions if "parked" in c["filter"])
    assert any(matches(parked["filter"], record) for record in records)


def test_the_documented_log_queries_find_what_they_promise(records: list[Json]) -> None:
    """Each query of docs/operate.md, on what the functions logged."""
    page = (ROOT / "docs" / "operate.md").read_text()
    section = page.split("\n## Log queries\n")[1].split("\n## ")[0]
    queries = dict(re.findall(r"^\| ([^|]+) \| `([^`]+)` \|$", section, re.MULTILINE))
    assert len(queries) >= 7
    [digest] = {record["calendar"] for record in records if record["message"] == "calendar synced"}
    # Only an outage of a provider's credentials, or of the add-on, brings these.
    outages = {"runs tried again, and why", "what the add-on asked for and did not get"}
    for question, query in queries.items():
        found = [record for record in records if matches(query.replace("DIGEST", digest), record)]
        assert found or question in outages, f"{question}: {query}"


def test_every_metric_is_shown_or_alerts(full: Installation, plain: Installation) -> None:
    """No chart or alert reads a metric that does not exist, and no metric is collected in vain."""
    for installation in (full, plain):
        made = {
            values["name"] for values in installation.resources("google_logging_metric").values()
        }
        [dashboard] = installation.resources("google_monitoring_dashboard").values()
        alerts = json.dumps(installation.resources("google_monitoring_alert_policy"))
        slo = json.dumps(installation.resources("google_monitoring_slo"))
        used = set(
            re.findall(r"logging_googleapis_com:user_(\w+)", dashboard["dashboard_json"] + alerts)
        ) | set(re.findall(r"logging\.googleapis\.com/user/(\w+)", slo))
        stems = {
            re.sub(r"_(sum|count|bucket)$", "", name) if name not in made else name for name in used
        }
        assert stems == made


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


@pytest.mark.skipif(not checkov_wanted(), reason="checkov takes a minute to install; set CHECKOV=1")
def test_checkov_finds_nothing_but_what_is_skipped_with_its_reason(
    checkov: tuple[Path, subprocess.Popen[bytes]],
) -> None:
    """A second opinion on the module, by the tool that others use."""
    program, install = checkov
    assert install.wait() == 0, (program.parent.parent / "install.log").read_text()
    options = ("--framework", "terraform", "--skip-download", "-o", "json")
    result = subprocess.run(
        [str(program), "--directory", str(SOURCE), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    found: Any = json.loads(result.stdout)["results"]
    assert found["parsing_errors"] == []
    assert [(check["check_id"], check["resource"]) for check in found["failed_checks"]] == []
    assert found["passed_checks"]
    assert all(
        len(check["check_result"]["suppress_comment"]) > 30 for check in found["skipped_checks"]
    )


# The documentation


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A machine on which docs/deploy.md was followed, and `trial`, where it was applied."""

    desk: Desk
    said: str
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
    return Deployed(desk=desk, said=result.stdout, trial=trial)


def test_deploying_works_as_documented(deployed: Deployed) -> None:
    """Every step has its effect, and the number of resources is the one that the page names."""
    [planned] = re.findall(r"Plan: (\d+) to add", (ROOT / "docs" / "deploy.md").read_text())
    assert planned in re.findall(r"(\d+) to add", deployed.said)
    [address] = [words[-1] for words in deployed.desk.calls("curl") if "PUT" in words]
    assert address == f"{deployed.outputs('urls')['manage-calendars']}/calendars/ann%40example.com"
    assert f"Authorization: Bearer {TOKEN}" in deployed.desk.calls("curl")[0]
    gcloud = deployed.desk.calls("gcloud")
    filled = {words[3] for words in gcloud if words[:3] == ["secrets", "versions", "add"]}
    assert filled >= set(deployed.outputs("secrets_to_fill"))
    [job] = [words for words in gcloud if words[:2] == ["scheduler", "jobs"]]
    assert job[3] == "conference-sync-maintain"


@pytest.fixture(scope="session")
def operated(deployed: Deployed) -> tuple[Desk, ManageServer, str]:
    """The commands of docs/operate.md, in their order, where docs/deploy.md was followed. What
    terraform does there is tested above, so it only notes its calls, but for its outputs."""
    with ManageServer() as server:
        server.page_size = 2
        for number in range(5):
            server.add(f"user{number}@example.com")
        server.add("ann@example.com")
        server.fail(1, "an all-day event is too long for Webex")
        desk = deployed.desk.told(DESK_MANAGE=server.url, DESK_PLAN="no")
        result = desk.run(commands_of("operate"), deployed.trial.directory)
        assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
        return desk, server, result.stdout


def test_operating_works_as_documented(operated: tuple[Desk, ManageServer, str]) -> None:
    """What the page says that its commands do, they did."""
    desk, server, said = operated
    assert server.tokens == {f"Bearer {TOKEN}"}
    assert server.count("POST", "/calendars/ann@example.com/sync") == 2
    assert [each["state"] for each in server.failures.values()] == ["retrying"]
    assert server.calendars == {}, "the teardown stops every calendar, page after page"
    state = desk.state()
    assert state["queue"] == "RUNNING"
    assert "PAUSED" in said
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
