"""`ccsync log`: what the functions logged about one calendar."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from ccsync.logs import digest, logs_of, span, time_of
from ccsync.options import cloud, common, pass_session
from ccsync.session import Session

Json = dict[str, Any]

_LATE_SECONDS = 30
"""Cloud Logging shows a line some seconds late: a poll looks back over so many."""
_OURS = frozenset(
    {
        *("severity", "message", "logger", "time", "calendar", "event", "insert_id"),
        *("serviceContext", "@type"),
    }
)


@click.command()
@click.argument("calendar")
@click.option("--event", metavar="ID", help="Only lines about one event.")
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines, until Ctrl-C.")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=3.0,
    show_default=True,
    metavar="SECONDS",
    help="How often -f looks.",
)
@click.option(
    "--since",
    default="1d",
    show_default=True,
    metavar="TIME",
    help="How far back: 30m, 6h, 7d.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    metavar="N",
    help="The newest N lines.",
)
@common
@cloud
@pass_session
def log(
    session: Session,
    calendar: str,
    event: str | None,
    follow: bool,
    every: float,
    since: str,
    limit: int,
) -> None:
    """Show what was logged about a CALENDAR, oldest first.

    Logs hold digests in place of ids. They are computed here. Of the sandbox its own files are
    read, otherwise Cloud Logging, by gcloud.
    """
    begin = datetime.now(UTC) - span(since)
    lines = logs_of(session)
    facts = {"calendar": digest(calendar)} | ({"event": digest(event)} if event else {})
    shown: set[str] = set()
    with session.out.progress("Reading the log"):
        found = lines.read(facts, begin, limit)
    while True:
        _print(session, found, shown)
        if not follow:
            break
        time.sleep(every)
        if found:
            begin = max(begin, time_of(found[-1]) - timedelta(seconds=_LATE_SECONDS))
        found = lines.read(facts, begin, limit)
    if not shown and not session.out.as_json:
        session.out.remark(f"Nothing was logged about it in the last {since}.")


def _print(session: Session, found: list[Json], shown: set[str]) -> None:
    for record in found:
        key = record["insert_id"] or json.dumps(record, sort_keys=True)
        if key in shown:
            continue
        shown.add(key)
        if session.out.as_json:
            session.out.json_line({k: v for k, v in record.items() if k != "insert_id"})
        else:
            session.out.say(_line(record))


def _line(record: Json) -> str:
    """Return `2026-11-26 09:15:02 INFO calendar synced changes=3 …`."""
    moment = time_of(record).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    facts = [
        f"{name}={value}"
        for name, value in record.items()
        if name not in _OURS and not name.startswith("logging.") and value
    ]
    event = [f"event={record['event']}"] if record.get("event") else []
    words = [moment, record.get("severity", ""), record.get("message", ""), *event, *facts]
    return " ".join(str(word) for word in words)
