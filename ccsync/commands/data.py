"""`ccsync backup` and `ccsync restore`: the database's backups, by gcloud.

https://docs.cloud.google.com/firestore/native/docs/backups
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click

from ccsync import gcloud
from ccsync.commands.queue import state_of
from ccsync.errors import NOT_IN_STEP, WELL, Misused, Refused
from ccsync.options import cloud, common, pass_session
from ccsync.output import ago, parse_time
from ccsync.session import Cloud, Session

Json = dict[str, Any]

_LATE = timedelta(hours=50)
"""A backup is made every day. Later than this, one is missing."""
_EXPORT_SECONDS = 3600.0

database = click.option(
    "--database",
    metavar="ID",
    default="(default)",
    show_default=True,
    help="The Firestore database (firestore.database of Terraform).",
)


@click.command()
@click.option("--to", "bucket", metavar="gs://BUCKET", help="Export now, into this bucket.")
@database
@common
@cloud
@pass_session
def backup(session: Session, bucket: str | None, database: str) -> int:
    """List the daily backups, or export the database now with --to.

    Without --to, ends with 3 if the newest backup is older than two days.
    """
    where = session.cloud
    if bucket is not None:
        return _export(session, where, bucket, database)
    with session.out.progress("Asking gcloud for the backups"):
        found = _backups(where, database)
    late = not found or datetime.now(UTC) - parse_time(found[0]["snapshotTime"]) > _LATE
    if session.out.as_json:
        session.out.json({"backups": found, "late": late})
    elif not found:
        session.out.say("There is no backup; see backup_days in docs/deploy.md.")
    else:
        session.out.table(
            ("backup", "state", "made", "expires"),
            [
                (each["name"], each.get("state"), ago(each["snapshotTime"]), each.get("expireTime"))
                for each in found
            ],
        )
    return NOT_IN_STEP if late else WELL


def _export(session: Session, where: Cloud, bucket: str, database: str) -> int:
    if not bucket.startswith("gs://"):
        raise Misused(f"{bucket} is no bucket; give --to gs://NAME")
    with session.out.progress("Exporting the database"):
        gcloud.run(
            ["firestore", "export", bucket, f"--database={database}", f"--project={where.project}"],
            seconds=_EXPORT_SECONDS,
        )
    if session.out.as_json:
        session.out.json({"exported": database, "to": bucket})
    else:
        session.out.say(f"The database {database} is exported to {bucket}.")
    return WELL


@click.command()
@click.argument("backup_name", metavar="BACKUP|latest")
@click.option(
    "--into", metavar="ID", required=True, help="The new database's id; it must not exist yet."
)
@database
@common
@cloud
@pass_session
def restore(session: Session, backup_name: str, into: str, database: str) -> None:
    """Restore a BACKUP into a new database beside the old one. Nothing is lost by it.

    The queue must be paused first. What to do afterwards is printed.
    """
    where = session.cloud
    if into == database:
        raise Misused("a backup is restored beside the old database; give --into another id")
    with session.out.progress("Asking gcloud for the queue and the backups"):
        if state_of(where) != "PAUSED":
            raise Refused("the queue is running; pause it with ccsync pause, then repeat this")
        source = _source(where, backup_name, database)
    with session.out.progress("Restoring"):
        gcloud.run(
            [
                *("firestore", "databases", "restore", f"--source-backup={source}"),
                *(f"--destination-database={into}", f"--project={where.project}"),
            ],
            seconds=_EXPORT_SECONDS,
        )
    steps = [
        f'set firestore = {{ database = "{into}", create = false }} in Terraform, and apply',
        "ccsync resume",
        "ccsync sync --all --wait",
    ]
    if session.out.as_json:
        session.out.json({"backup": source, "database": into, "next": steps})
        return
    session.out.say(f"{source} is being restored into {into}. When it has finished:")
    for number, step in enumerate(steps, 1):
        session.out.say(f"  {number}. {step}")


def _source(where: Cloud, name: str, database: str) -> str:
    if name != "latest":
        if not name.startswith("projects/"):
            raise Misused(f"{name} is no backup; give a full name of ccsync backup, or latest")
        return name
    ready = [each for each in _backups(where, database) if each.get("state") == "READY"]
    if not ready:
        raise Refused(f"no backup of {database} is ready; see ccsync backup")
    return str(ready[0]["name"])


def _backups(where: Cloud, database: str) -> list[Json]:
    """Return the backups of a database, the newest first."""
    listed = gcloud.run_json(["firestore", "backups", "list", f"--project={where.project}"]) or []
    of = [each for each in listed if each.get("database", "").endswith(f"/databases/{database}")]
    return sorted(of, key=lambda each: str(each["snapshotTime"]), reverse=True)
