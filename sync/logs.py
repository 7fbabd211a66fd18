"""One JSON line per record, in Cloud Logging's words.

No title, guest, join link or token is logged, and no calendar's or event's id in clear.

https://docs.cloud.google.com/logging/docs/structured-logging
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from sync.model.event import digest
from sync.tracing import current_trace

# What every record has of its own; whatever else it carries came in `extra`.
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def short(name: str) -> str:
    """Return what stands for a calendar's or an event's id in the logs: the same for the same id.

    A calendar's id is usually somebody's address. From a shell, for an id of n characters:
    printf '%s' 'n:ID' | sha256sum | cut -c1-12
    """
    return digest(name)[:12]


_event: ContextVar[str | None] = ContextVar("event", default=None)


@contextmanager
def about(event_id: str) -> Iterator[None]:
    """Let what this thread logs in the block name an event, where nobody else hands its id on."""
    before = _event.set(event_id)
    try:
        yield
    finally:
        _event.reset(before)


def current_event() -> str | None:
    """Return the id of the event that this thread is at work on, as `about` said."""
    return _event.get()


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object with severity, message, time and the facts given in
    `extra`.

    `service` and `version` name the function in Error Reporting. `project` completes the name of a
    trace. https://docs.cloud.google.com/error-reporting/docs/formatting-error-messages
    """

    def __init__(self, *, project: str = "", service: str = "", version: str = "") -> None:
        super().__init__()
        self._project = project
        self._context = {
            key: value for key, value in (("service", service), ("version", version)) if value
        }

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
        elif record.levelno >= logging.ERROR:
            entry["@type"] = _REPORTED_ERROR
        if record.levelno >= logging.ERROR and self._context:
            entry["serviceContext"] = self._context
        if (trace := current_trace()) and self._project:
            entry["logging.googleapis.com/trace"] = (
                f"projects/{self._project}/traces/{trace.trace_id}"
            )
            entry["logging.googleapis.com/spanId"] = trace.span_id
            entry["logging.googleapis.com/trace_sampled"] = trace.sampled
        line = json.dumps(entry, default=str, ensure_ascii=False)
        # Half a character of others must not cost us the record.
        return line.encode("utf-8", "replace").decode()


_REPORTED_ERROR = (
    "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"
)


def _stack(kind: type[BaseException], error: BaseException | None) -> str:
    """Where an exception came from, without its text: a library's message may quote what was in
    the event."""
    lines = ["Traceback (most recent call last):\n"]
    if error is not None:
        lines += traceback.format_tb(error.__traceback__)
    lines.append(kind.__qualname__)
    return "".join(lines)


def configure(*, project: str = "", service: str = "", version: str = "") -> None:
    """Send everything from INFO up to standard output as JSON lines. Replaces what was set up
    before."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(project=project, service=service, version=version))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # Their records at INFO name URLs, and with them calendar ids.
    for library in ("httpx", "httpcore", "googleapiclient", "google", "urllib3"):
        logging.getLogger(library).setLevel(logging.WARNING)
