"""One JSON line per record, in Cloud Logging's words. Nothing of an event's content, and no id in
clear, gets in.

https://docs.cloud.google.com/logging/docs/structured-logging
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from sync.model.event import digest

# What every record has of its own; whatever else it carries came in `extra`.
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def short(name: str) -> str:
    """Return what stands for a calendar's or an event's id in the logs: the same for the same id.

    A calendar's id is usually somebody's address. From a shell, for an id of n characters:
    printf '%s' 'n:ID' | sha256sum | cut -c1-12
    """
    return digest(name)[:12]


class _Headers(Protocol):
    def get(self, key: str, default: str, /) -> str: ...


@dataclass(frozen=True, slots=True)
class Trace:
    """What joins a push, its task and its run: W3C's trace context.
    https://www.w3.org/TR/trace-context/"""

    trace_id: str
    span_id: str
    sampled: bool

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_CLOUD_TRACE = re.compile(r"([0-9a-f]{32})/(\d{1,20})(?:;o=([01]))?")

_trace: ContextVar[Trace | None] = ContextVar("trace", default=None)


def follow_trace(headers: _Headers) -> None:
    """Let everything logged from now on, in this request, belong to the request's trace, if it
    has one."""
    if found := _TRACEPARENT.fullmatch(headers.get("traceparent", "").strip()):
        _trace.set(Trace(found[1], found[2], int(found[3], 16) % 2 == 1))
    elif found := _CLOUD_TRACE.fullmatch(headers.get("X-Cloud-Trace-Context", "").strip()):
        _trace.set(Trace(found[1], f"{int(found[2]) % 2**64:016x}", found[3] == "1"))
    else:
        _trace.set(None)


def current_trace() -> Trace | None:
    """The trace of the request under way; threads that it starts have none of their own."""
    return _trace.get()


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object with severity, message, time and the facts given in
    `extra`.

    `service` and `version` name the function in Error Reporting; `project` completes the name of a
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
        return json.dumps(entry, default=str, ensure_ascii=False)


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
    """Send everything from INFO up to standard output as JSON lines; replaces what was set up
    before."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(project=project, service=service, version=version))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # Their records at INFO name URLs, and with them calendar ids.
    for library in ("httpx", "httpcore", "googleapiclient", "google", "urllib3"):
        logging.getLogger(library).setLevel(logging.WARNING)
