"""What `ccsync` does by gcloud: keys, queue, backups, secrets. A stand-in gcloud is on PATH."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ccsync.provider_entries import SECRETS, mistakes
from sync import conferencing, config
from sync.errors import ConfigurationError
from tests.support.operator import Gcloud, Operator, lines_of

OLD = "0123456789abcdef" * 4
TARGET = ("--project", "acme", "--region", "europe-west1")


@pytest.fixture
def ccsync() -> Operator:
    """An operator who names the project. No server is asked."""
    return Operator()


def keys(gcloud: Gcloud, payload: str, days_old: float) -> None:
    created = datetime.now(UTC) - timedelta(days=days_old)
    gcloud.answer("secrets versions describe latest", {"createTime": created.isoformat()})
    gcloud.answer("secrets versions add")
    gcloud.answer("secrets versions access latest", payload)


def stored(gcloud: Gcloud) -> list[str]:
    """The lines of the version that was added last."""
    return str(gcloud.calls("secrets versions add")[-1]["given"]).splitlines()


@pytest.mark.programs
def test_a_key_is_rotated_and_finished(gcloud: Gcloud, ccsync: Operator) -> None:
    """The new key comes first and the old one stays. A week later the new one is alone."""
    keys(gcloud, f"{OLD}\n", days_old=400)
    assert ccsync("keys", "rotate", *TARGET).code == 0
    new, old = stored(gcloud)
    assert (len(new), old) == (64, OLD)
    assert new != OLD
    keys(gcloud, f"{new}\n{OLD}\n", days_old=8)
    assert ccsync("keys", "rotate", "--finish", *TARGET).code == 0
    assert stored(gcloud) == [new]
    in_arguments = json.dumps([call["arguments"] for call in gcloud.calls()])
    assert new not in in_arguments, "a list of processes would show it"


@pytest.mark.programs
@pytest.mark.parametrize(
    ("payload", "fails", "finish", "days", "code", "said"),
    [
        ("", "PERMISSION_DENIED: no access", False, 1.0, 4, "operators"),
        ("", "NOT_FOUND: no such secret", False, 1.0, 1, "nothing was stored"),
        ("", "there is no active account", False, 1.0, 4, "gcloud auth login"),
        ("\n \n", "", False, 1.0, 1, "holds no key"),
        (f"new\n{OLD}\n", "", False, 1.0, 1, "--finish"),
        (f"{OLD}\n", "", True, 30.0, 1, "one key alone"),
        (f"new\n{OLD}\n", "", True, 2.0, 1, "5.0 days"),
    ],
)
def test_nothing_is_stored_where_rotating_is_not_safe(
    gcloud: Gcloud,
    ccsync: Operator,
    payload: str,
    fails: str,
    finish: bool,
    days: float,
    code: int,
    said: str,
) -> None:
    """A secret that cannot be read, is empty, or is being rotated stays as it is."""
    keys(gcloud, payload, days)
    if fails:
        gcloud.answer("secrets versions access latest", fails=fails)
    ran = ccsync("keys", "rotate", *(["--finish"] if finish else []), *TARGET)
    assert ran.code == code
    assert said in ran.err
    assert gcloud.calls("secrets versions add") == []


def test_the_queue_is_paused_and_resumed(gcloud: Gcloud, ccsync: Operator) -> None:
    """The state is read after the order, and said."""
    gcloud.answer("tasks queues pause conference-sync-queue")
    gcloud.answer("tasks queues resume meetings-queue")
    gcloud.answer("tasks queues describe", {"state": "PAUSED"})
    assert lines_of(ccsync("pause", *TARGET)) == ["The queue conference-sync-queue is paused."]
    resumed = ccsync("resume", *TARGET, "--name", "meetings")
    assert resumed.code == 1
    assert "is PAUSED after resume" in resumed.err
    assert gcloud.calls("tasks queues pause")[0]["arguments"][3:] == [
        *("conference-sync-queue", "--location=europe-west1", "--project=acme", "--quiet")
    ]


def test_without_a_project_it_is_said_what_to_give(
    gcloud: Gcloud, ccsync: Operator, tmp_path: Path
) -> None:
    """The names come from Terraform or from options. The sandbox has none."""
    assert Operator("--sandbox")("pause").code == 2
    ran = Operator("--url", "https://manage.example.com")("pause")
    assert (ran.code, gcloud.calls()) == (2, [])
    assert "--project" in ran.err
    assert ccsync("pause", "--terraform", str(tmp_path / "nowhere")).code == 2


def backups(*days: float) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    found = [
        {
            "name": f"projects/acme/locations/eur3/backups/b{number}",
            "database": "projects/acme/databases/(default)",
            "snapshotTime": (now - timedelta(days=each)).isoformat(),
            "state": "READY",
        }
        for number, each in enumerate(days)
    ]
    other = {**found[0], "name": "other", "database": "projects/acme/databases/elsewhere"}
    return [*found, other]


def test_backups_are_listed_and_a_missing_one_is_told(gcloud: Gcloud, ccsync: Operator) -> None:
    """The newest first, of this database alone. 3 when none is younger than two days."""
    gcloud.answer("firestore backups list", backups(3.0, 0.5))
    ran = ccsync("backup", *TARGET, "--json")
    assert (ran.code, ran.json["late"]) == (0, False)
    assert [each["name"][-2:] for each in ran.json["backups"]] == ["b1", "b0"]
    gcloud.answer("firestore backups list", backups(3.0))
    assert ccsync("backup", *TARGET).code == 3
    gcloud.answer("firestore export gs://acme-backups")
    assert ccsync("backup", "--to", "gs://acme-backups", *TARGET).code == 0
    assert ccsync("backup", "--to", "acme-backups", *TARGET).code == 2


def test_a_restore_wants_a_paused_queue_and_another_database(
    gcloud: Gcloud, ccsync: Operator
) -> None:
    """Only then it is ordered, from the newest backup, and what comes next is printed."""
    restore = ("restore", "latest", "--into", "restored", *TARGET)
    gcloud.answer("firestore backups list", backups(3.0, 0.5))
    gcloud.answer("firestore databases restore")
    gcloud.answer("tasks queues describe", {"state": "RUNNING"})
    refused = ccsync(*restore)
    assert refused.code == 1
    assert "ccsync pause" in refused.err
    assert ccsync("restore", "latest", "--into", "(default)", *TARGET).code == 2
    assert gcloud.calls("firestore databases restore") == []
    gcloud.answer("tasks queues describe", {"state": "PAUSED"})
    done = ccsync(*restore)
    assert done.code == 0
    assert "ccsync resume" in done.out
    [call] = gcloud.calls("firestore databases restore")
    assert "--source-backup=projects/acme/locations/eur3/backups/b1" in call["arguments"]
    assert "--destination-database=restored" in call["arguments"]


REST = {
    "name": "my-web",
    "type": "rest",
    "solutions": ["My Web"],
    "base_url": "https://meet.example.com/api",
    "secret": "projects/p/secrets/s",
}
ZOOM = {"name": "zoom", "type": "zoom", "secret": "projects/p/secrets/zoom"}
ENTRIES: list[tuple[bool, list[Any]]] = [
    (True, [REST]),
    (True, [REST, ZOOM]),
    (True, [{**ZOOM, "all_day": True, "time_zone": "Europe/Berlin", "max_occurrences": 50}]),
    (True, [{**ZOOM, "type": "webex", "site_url": "acme.webex.com", "mail": False}]),
    (True, [{**ZOOM, "type": "teams", "host": "someone", "hosts": ["*@example.com"]}]),
    (True, [{**REST, "uris": ["https://*.example.com/{id}"], "calls_per_second": 2.5}]),
    (True, [{**ZOOM, "unsupported_recurrence": "no_fixed_time"}]),
    (False, [REST, REST]),
    (False, ["zoom"]),
    (False, [{**REST, "name": "my web"}]),
    (False, [{**REST, "type": ""}]),
    (False, [{**REST, "secret": "projects/p/secrets/s/versions/1"}]),
    (False, [{**REST, "solutions": []}]),
    (False, [{**REST, "solutions": "My Web"}]),
    (False, [{**REST, "base_url": "meet.example.com"}]),
    (False, [{key: value for key, value in REST.items() if key != "base_url"}]),
    (False, [{**REST, "uris": ["https://meet.example.com/"]}]),
    (False, [{**REST, "hosts": ["example.com"]}]),
    (False, [{**REST, "calls_per_second": 0}]),
    (False, [{**REST, "calls_per_second": True}]),
    (False, [{**REST, "site_url": "acme.webex.com"}]),
    (False, [{**REST, "solutions": [" "]}]),
    (False, [{**REST, "base_url": "https://meet.example.com:99999/"}]),
    (False, [{**REST, "base_url": "https://meet.example.com/?api"}]),
    (False, [{**REST, "base_url": "https://meet .example.com/"}]),
    (False, [{**ZOOM, "site_url": "acme.webex.com"}]),
    (False, [{**ZOOM, "max_occurrences": 1000}]),
    (False, [{**ZOOM, "time_zone": "Atlantis/Capital"}]),
    (False, [{**ZOOM, "mail": "yes"}]),
    (False, [{**ZOOM, "unsupported_recurrence": "guess"}]),
    (False, [{**ZOOM, "host": 7}]),
    (False, [{**ZOOM, "token_url": "zoom.us"}]),
]


@pytest.mark.parametrize(("good", "entries"), ENTRIES)
def test_providers_check_agrees_with_the_functions(
    tmp_path: Path, ccsync: Operator, good: bool, entries: list[Any]
) -> None:
    """What the check takes, the functions start with. What it refuses, they refuse."""
    file = tmp_path / "providers.json"
    file.write_text(json.dumps(entries))
    ran = ccsync("providers", "check", str(file), "--json")
    assert (ran.code == 0, ran.json["mistakes"] == []) == (good, good), ran.out
    environment = {"SYNC_PROVIDERS": json.dumps(entries), "GOOGLE_CLOUD_PROJECT": "p"}
    try:
        conferencing.check(config.Settings.from_environ(environment).providers)
        starts = True
    except ConfigurationError:
        starts = False
    assert starts == good


def test_providers_check_takes_terraforms_variables_and_reads_secrets(
    tmp_path: Path, ccsync: Operator, gcloud: Gcloud
) -> None:
    """A .tfvars.json does as well. With --secrets the form of each payload, without its values."""
    entry = {key: value for key, value in REST.items() if key != "secret"}
    file = tmp_path / "terraform.tfvars.json"
    file.write_text(json.dumps({"project": "p", "conferencing_providers": [entry]}))
    assert ccsync("providers", "check", str(file)).code == 0
    file.write_text(json.dumps([ZOOM]))
    payload = json.dumps({"account_id": "a-very-secret", "client_id": ""})
    gcloud.answer("secrets versions access latest --secret=zoom --project=p", payload)
    ran = ccsync("providers", "check", str(file), "--secrets")
    assert ran.code == 1
    assert "lacks client_id, client_secret" in ran.out
    assert "a-very-secret" not in ran.out
    assert ccsync("providers", "check", str(tmp_path / "none.json")).code == 2


def test_every_shipped_type_has_its_options_and_secret() -> None:
    """A new type is checked as soon as it is shipped."""
    assert SECRETS.keys() == set(conferencing._ADAPTERS)
    assert list(mistakes([ZOOM])) == []
