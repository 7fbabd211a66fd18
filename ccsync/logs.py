"""What the functions logged: lines of Cloud Logging by gcloud, or the sandbox's own files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from ccsync import gcloud
from ccsync.errors import Misused
from ccsync.output import parse_time
from ccsync.session import Session

Json = dict[str, Any]


class Logs(Protocol):
    """Where lines are read."""

    def read(self, facts: Mapping[str, str], begin: datetime, limit: int) -> list[Json]:
        """Return the newest `limit` lines since `begin` that have these facts, oldest first.

        Each has `time`, `severity`, `insert_id`, and what was logged.
        """


def logs_of(session: Session) -> Logs:
    """Return the logs of the session's target. Raises Problem where the project is not known."""
    return _Files(session) if session.sandbox else _CloudLogging(session)


def span(text: str) -> timedelta:
    """Return the time that `30m`, `6h` or `7d` means. Raises Misused."""
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    if text[:-1].isdecimal() and text[-1:] in units:
        return timedelta(**{units[text[-1]]: int(text[:-1])})
    raise Misused(f"{text} is no time; give one such as 30m, 6h or 7d")


def digest(name: str) -> str:
    """Return what stands for a calendar's or an event's id in the logs.

    `ann@example.com` gives the first 12 hexadecimal digits of SHA-256 of `15:ann@example.com`.
    """
    text = f"{len(name)}:{name}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def time_of(line: Json) -> datetime:
    return parse_time(line["time"])


class _CloudLogging:
    def __init__(self, session: Session) -> None:
        self._cloud = session.cloud

    def read(self, facts: Mapping[str, str], begin: datetime, limit: int) -> list[Json]:
        conditions = [
            'resource.type="cloud_run_revision"',
            f'resource.labels.service_name=~"^{self._cloud.name}-"',
            *(f'jsonPayload.{name}="{value}"' for name, value in facts.items()),
            f'timestamp>="{begin.isoformat()}"',
        ]
        # The newest first: `limit` must leave out the oldest ones.
        entries = gcloud.run_json(
            [
                *("logging", "read", " AND ".join(conditions)),
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
        return sorted(found, key=time_of)


class _Files:
    def __init__(self, session: Session) -> None:
        self._directory = session.target.logs or Path()

    def read(self, facts: Mapping[str, str], begin: datetime, limit: int) -> list[Json]:
        found = [
            record
            for path in sorted(self._directory.glob("*.log"))
            for record in _records(path)
            if facts.items() <= record.items() and time_of(record) >= begin
        ]
        return sorted(found, key=time_of)[-limit:]


def _records(path: Path) -> Iterator[Json]:
    for number, line in enumerate(path.read_text(errors="replace").splitlines()):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and "time" in record:
            yield {**record, "insert_id": f"{path.name}:{number}"}
