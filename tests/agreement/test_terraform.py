"""The Terraform module, run by the real terraform against stand-in providers: no credentials, and
nothing is made anywhere. What a plan renders is compared with the code that reads it.

The stand-ins carry hashicorp/google's own schema. They are looked for in the directory that
TERRAFORM_GOOGLE names, then beside this repository in shared/terraform-google. An empty
TERRAFORM_GOOGLE says that there are none, and what needs them is skipped. What they do not imitate:
the cloud. Whether a role, a metric or an image exists, and whether an API takes a value, only a
real apply tells.
"""

from __future__ import annotations

import json
import re
import zipfile
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from sandbox.processes import FunctionProcess
from sandbox.world import World
from sync import conferencing, config
from sync.errors import ConfigurationError
from sync.model.conference import ConferenceRecord
from sync.operate import channels
from tests.support.bench import timed
from tests.support.installations import COMMON_OPTIONS, FULL, OPTIONS, TARGETS, public
from tests.support.log_filter import fields_of, matches, messages_of
from tests.support.shipped import (
    PLATFORM,
    ROOT,
    known_variables,
    logged_messages,
    shipped,
    targets_of_main,
)
from tests.support.terraform import Installation, Json, Terraform

# Installing the stand-ins takes ten seconds of a processor, the plan as long.
pytestmark = [pytest.mark.terraform, pytest.mark.timeout(600)]

# What only a run outside the cloud sets.
LOCAL_ONLY = {"SYNC_STORE", "SYNC_ADDON_CERTS_URL"}


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


# Who may do what


def test_no_key_file_is_made(plan: Json) -> None:
    """No account has a key that could be lost."""
    kinds = {change["type"] for change in plan["resource_changes"] if change["mode"] == "managed"}
    assert not {kind for kind in kinds if "key" in kind and "secret" not in kind}


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


def test_terraform_offers_the_options_that_the_adapters_know(
    terraform: Terraform, tmp_path: Path
) -> None:
    """No option is missing, and none is offered that would stop the function."""
    here = terraform.copy(tmp_path / "repository")
    module = here.at(here.directory.parent / "terraform")
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
