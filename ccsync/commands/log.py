"""`ccsync log`: what the functions logged about one calendar."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from ccsync import gcloud
from ccsync.errors import Misused
from ccsync.options import cloud, common, pass_session
from ccsync.output import parse_time
from ccsync.session import Session

Json = dict[str, Any]

_POLL_SECONDS = 3.0
_LATE_SECONDS = 30
"""Cloud Logging shows a line some seconds late: a poll looks back over so many."""
_OURS = frozenset(
    {"severity", "message", "logger", "time", "calendar", "event", "serviceContext", "@type"}
)


def digest(name: str) -> str:
    """Return what stands for a calendar's or an event's id in the logs.

    `ann@example.com` gives the first 12 hexadecimal digits of SHA-256 of `15:ann@example.com`.
    """
    text = f"{len(name)}:{name}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


@click.command()
@click.argument("calendar")
@click.option("--event", metavar="ID", help="Only lines about one event.")
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines, until Ctrl-C.")
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
    session: Session, calendar: str, event: str | None, follow: bool, since: str, limit: int
) -> None:
    """Show what was logged about a CALENDAR, oldest first.

    Logs hold digests in place of ids; they are computed here. Of the sandbox its own files are
    read, otherwise Cloud Logging, by gcloud.
    """
    begin = datetime.now(UTC) - _span(since)
    source = _Files if session.sandbox else _CloudLogging
    lines = source(session, digest(calendar), digest(event) if event else None)
    shown: set[str] = set()
    with session.out.progress("Reading the log"):
        found = lines.read(begin, limit)
    while True:
        _print(session, found, shown)
        if not follow:
            break
        time.sleep(_POLL_SECONDS if not session.sandbox else 0.5)
        if found:
            begin = max(begin, parse_time(found[-1]["time"]) - timedelta(seconds=_LATE_SECONDS))
        found = lines.read(begin, limit)
    if not shown and not session.out.as_json:
        session.out.remark(f"Nothing was logged about it in the last {since}.")


def _span(text: str) -> timedelta:
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    if text[:-1].isdecimal() and text[-1:] in units:
        return timedelta(**{units[text[-1]]: int(text[:-1])})
    raise Misused(f"{text} is no time; give --since such as 30m, 6h or 7d")


class _CloudLogging:
    """Reads lines by `gcloud logging read`."""

    def __init__(self, session: Session, calendar: str, event: str | None) -> None:
        self._cloud = session.cloud
        self._filter = (
            'resource.type="cloud_run_revision" AND resource.labels.service_name=~'
            f'"^{self._cloud.name}-" AND jsonPayload.calendar="{calendar}"'
        )
        if event:
            self._filter += f' AND jsonPayload.event="{event}"'

    def read(self, begin: datetime, limit: int) -> list[Json]:
        entries = gcloud.run_json(
            [
                *("logging", "read"),
                f'{self._filter} AND timestamp>="{begin.isoformat()}"',
                *(f"--project={self._cloud.project}", f"--limit={limit}", "--order=desc"),
            ]
        )
        found = [
            {
                **entry.get("jsonPayload", {}),
                "time": entry["timestamp"],
                "severity": entry.get("severity", "DEFAULT"),
                "insert_id": entry.get("insertId", ""),
            }
            for entry in entries or []
        ]
        return sorted(found, key=_time)


class _Files:
    """Reads the lines of the sandbox's functions from their files."""

    def __init__(self, session: Session, calendar: str, event: str | None) -> None:
        self._directory = session.target.logs or Path()
        self._calendar, self._event = calendar, event

    def read(self, begin: datetime, limit: int) -> list[Json]:
        found = [
            record
            for path in sorted(self._directory.glob("*.log"))
            for record in _records(path)
            if record.get("calendar") == self._calendar
            and self._event in (None, record.get("event"))
            and parse_time(record["time"]) >= begin
        ]
        return sorted(found, key=_time)[-limit:]


def _records(path: Path) -> Iterator[Json]:
    for number, line in enumerate(path.read_text(errors="replace").splitlines()):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and "time" in record:
            yield {**record, "insert_id": f"{path.name}:{number}"}


def _time(record: Json) -> datetime:
    return parse_time(record["time"])


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
    moment = _time(record).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    facts = [
        f"{name}={value}"
        for name, value in record.items()
        if name not in _OURS and name != "insert_id" and not name.startswith("logging.") and value
    ]
    event = [f"event={record['event']}"] if record.get("event") else []
    words = [moment, record.get("severity", ""), record.get("message", ""), *event, *facts]
    return " ".join(str(word) for word in words)
