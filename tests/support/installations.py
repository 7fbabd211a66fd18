"""The two installations of the Terraform module that tests plan and apply: `plain` has nothing but
what must be said, `full` has every variable set."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.shipped import ROOT
from tests.support.terraform import Installation, Json

SOURCE = ROOT / "terraform"
PROVIDER_VALUE = "value-that-must-not-be-in-the-state"

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


def not_here(reason: str) -> None:
    """Skip, and say why; where everything must be tested, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; CI must run this")
    pytest.skip(reason)


def write_root(directory: Path, **calls: Json) -> None:
    """Write a root that calls the module, once for each keyword."""
    root = {
        "variable": {"secret_values": {"type": "map(string)", "ephemeral": True}},
        "module": calls,
        "output": {name: {"value": f"${{module.{name}}}"} for name in calls},
    }
    (directory / "main.tf.json").write_text(json.dumps(root))


def public(installation: Installation) -> set[str]:
    return {
        address
        for address, values in installation.addresses()
        if {"allUsers", "allAuthenticatedUsers"} & {str(value) for value in values.values()}
        or values.get("invoker_iam_disabled")
    }
