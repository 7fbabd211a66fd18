"""One JSON line per record, in Cloud Logging's words. Nothing of an event's content, and no id in clear, gets in.

https://docs.cloud.google.com/logging/docs/structured-logging
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

from sync.model import digest

# What every record has of its own; whatever else it carries came in `extra`.
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def short(name: str) -> str:
    """Return what stands for a calendar's or an event's id in the logs: the same for the same id.

    A calendar's id is usually somebody's address. From a shell, for an id of n characters:
    printf '%s' 'n:ID' | sha256sum | cut -c1-12
    """
    return digest(name)[:12]


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object with severity, message, time and the facts given in `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "severity": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(),
        }
        entry.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info and record.exc_info[0] is not None:
            entry["stack_trace"] = _stack(record.exc_info[0], record.exc_info[1])
        return json.dumps(entry, default=str, ensure_ascii=False)


def _stack(kind: type[BaseException], error: BaseException | None) -> str:
    """Where an exception came from, without its text: a library's message may quote what was in the event."""
    lines = ["Traceback (most recent call last):\n"]
    if error is not None:
        lines += traceback.format_tb(error.__traceback__)
    lines.append(kind.__qualname__)
    return "".join(lines)


def configure() -> None:
    """Send everything from INFO up to standard output as JSON lines; replaces what was set up before."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # Their records at INFO name URLs, and with them calendar ids.
    for library in ("httpx", "httpcore", "googleapiclient", "google", "urllib3"):
        logging.getLogger(library).setLevel(logging.WARNING)
