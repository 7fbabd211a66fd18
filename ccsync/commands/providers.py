"""`ccsync providers check`: is SYNC_PROVIDERS right, before it is deployed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ccsync import gcloud, provider_entries
from ccsync.errors import REFUSED, WELL, Refused
from ccsync.options import common, pass_session
from ccsync.session import Session


@click.group()
@common
def providers() -> None:
    """Check the configuration of conferencing systems."""


@providers.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--secrets", is_flag=True, help="Read each secret as well (gcloud), and check its form."
)
@common
@pass_session
def check(session: Session, file: Path, secrets: bool) -> int:
    """Check a FILE with the value of SYNC_PROVIDERS, as JSON.

    A .tfvars.json file with conferencing_providers is taken too. No secret is ever shown.
    """
    entries = provider_entries.read(file)
    mistakes = list(provider_entries.mistakes(entries))
    remarks = list(provider_entries.remarks(entries))
    if secrets and not mistakes:
        with session.out.progress("Reading the secrets"):
            mistakes += [said for entry in entries if (said := _secret(entry))]
    if session.out.as_json:
        session.out.json({"providers": len(entries), "mistakes": mistakes, "remarks": remarks})
    else:
        for text in remarks:
            session.out.say(f"remark: {text}")
        for text in mistakes:
            session.out.say(f"mistake: {text}")
        if not mistakes:
            session.out.say(f"{len(entries)} providers, no mistake.")
    return REFUSED if mistakes else WELL


def _secret(entry: dict[str, Any]) -> str | None:
    _, project, _, secret = entry["secret"].split("/")
    try:
        payload = gcloud.run(
            [
                "secrets",
                "versions",
                "access",
                "latest",
                f"--secret={secret}",
                f"--project={project}",
            ]
        )
    except Refused as error:
        return f"the secret {secret} of provider {entry['name']} cannot be read: {error}"
    wrong = provider_entries.secret_mistake(entry["type"], payload)
    return f"the secret {secret} of provider {entry['name']} is wrong: {wrong}" if wrong else None
