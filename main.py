"""The four functions: parse the request, call one function, answer.

`receive_notification` (public) Calendar rings; one task is enqueued.    -> sync.intake
`sync_calendar` (private) Cloud Tasks brings one calendar or one event.  -> sync.engine
`manage_calendars` (private) operators start, stop, replay.              -> sync.calendars
`maintain` (private) Cloud Scheduler calls every hour.                   -> sync.maintenance
"""

from __future__ import annotations

import functools
import json
import logging
import os
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import flask
import functions_framework

from sync import config, logs
from sync.errors import (
    ConfigurationError,
    CredentialsRefused,
    Forged,
    Gone,
    Invalid,
    LeaseHeld,
    LeaseLost,
    NotAllowed,
    NotFound,
    TryLater,
    WatchFailed,
)
from sync.google.task_queue import CHANNEL_ID, CHANNEL_RESOURCE_ID
from sync.intake import receive as intake
from sync.model.calendar import Access, Channel
from sync.model.event import CalendarId, EventId

_logger = logging.getLogger(__name__)

try:
    SETTINGS = config.Settings.from_environ(os.environ)
    logs.configure(project=SETTINGS.project, service=SETTINGS.service, version=SETTINGS.revision)
    if TYPE_CHECKING or SETTINGS.target != config.RECEIVE:
        # Firestore's and Calendar's clients take half a second to import, and the public function
        # needs neither.
        from sync import conferencing, services
        from sync.operate import calendars, channels, maintenance
        from sync.run import engine

        conferencing.check(SETTINGS.providers)
except ConfigurationError as error:
    # One sentence, and no traceback around it: the function must not start.
    raise SystemExit(f"configuration: {error}") from None

# What Cloud Run lets in at most; a body is read to its end, piece by piece, so that no answer cuts
# a request off.
_MOST_BYTES = 32 * 1024 * 1024
# A task may have 100 kB; ours have two ids in them.
_LARGEST_BODY = 100_000


@functools.cache
def _intake() -> intake.Intake:
    """Connections are made at the first request: gunicorn forks after the import, and gRPC does
    not survive that."""
    return intake.Intake.from_settings(SETTINGS)


@functools.cache
def _services() -> services.Services:
    return services.build(SETTINGS)


@functions_framework.http
def receive_notification(request: flask.Request) -> flask.Response:
    """N1-N4: answer 204 once a task is certain, the same empty 403 to everybody else, 503 to be
    notified again."""
    logs.follow_trace(request.headers)
    _body(request)
    if request.method != "POST":
        return flask.Response(status=405, headers={"Allow": "POST"})
    try:
        intake.receive(_intake(), request.headers, datetime.now(UTC))
    except Forged:
        _logger.info("notification refused")
        return flask.Response(status=403)
    except (TryLater, ConfigurationError) as error:
        _logger.error("notification not enqueued", extra={"reason": str(error)})
        return flask.Response(status=503)
    return flask.Response(status=204)


@functions_framework.http
def sync_calendar(request: flask.Request) -> Any:
    """Bring one calendar, or one event of it, up to date; the status says whether the queue must
    bring it again."""
    logs.follow_trace(request.headers)
    body = _body(request)
    if request.method != "POST":
        return _error(405, "only POST", {"Allow": "POST"})
    try:
        calendar_id, event_id = _parse_task(body)
    except Invalid as error:
        # No repetition can help: taken off the queue, and told to the operator.
        _logger.error("task dropped", extra={"reason": str(error)})
        return {"reason": str(error)}
    rang = _channel(request)
    try:
        if event_id is not None:
            return _report(engine.sync_event(_services(), calendar_id, event_id))
        return _report(engine.sync_calendar(_services(), calendar_id, rang))
    except NotFound as error:
        if rang is not None:
            channels.stop(_services(), Access(), rang)  # H3
        _logger.error(
            "task for an unknown calendar dropped", extra={"calendar": logs.short(calendar_id)}
        )
        return {"reason": str(error)}
    except (LeaseHeld, LeaseLost):
        # S1: not 429 or 503, which would slow the whole queue down.
        return _error(409, "another run has this calendar; the queue brings the task again")
    except (TryLater, CredentialsRefused) as error:
        _logger.warning(
            "run failed", extra={"calendar": logs.short(calendar_id), "reason": str(error)}
        )
        return _error(500, str(error))


@functions_framework.http
def manage_calendars(request: flask.Request) -> Any:
    """Calendars and failures, for operators and add-ons; JSON in and out."""
    logs.follow_trace(request.headers)
    try:
        return _route(request, _body(request))
    except Invalid as error:
        return _error(400, str(error))
    except NotAllowed as error:
        return _error(403, str(error))
    except (NotFound, Gone) as error:
        return _error(404, str(error))
    except WatchFailed as error:
        return _error(502, str(error))
    except TryLater as error:
        return _error(503, str(error))
    except ConfigurationError as error:
        _logger.error("request failed", extra={"reason": str(error)})
        return _error(500, str(error))


@functions_framework.http
def maintain(request: flask.Request) -> Any:
    """Renew, catch up, retry; the answer is a report of what was done."""
    logs.follow_trace(request.headers)
    _body(request)
    if request.method != "POST":
        return _error(405, "only POST", {"Allow": "POST"})
    try:
        return asdict(maintenance.maintain(_services()))
    except (TryLater, ConfigurationError) as error:
        _logger.error("maintenance failed", extra={"reason": str(error)})
        return _error(500, str(error))


def _route(request: flask.Request, body: bytes) -> Any:
    match [unquote(part) for part in _raw_path(request).strip("/").split("/")], request.method:
        case ["calendars"], "GET":
            return _list_calendars(request)
        case ["calendars", text], "PUT":
            state, created = calendars.start(
                _services(),
                calendars.parse_id(text),
                calendars.parse_access(_json(body) if body.strip() else None),
            )
            return calendars.calendar_json(state), 201 if created else 200
        case ["calendars", text], "GET":
            return calendars.calendar_json(calendars.get(_services(), calendars.parse_id(text)))
        case ["calendars", text], "DELETE":
            calendars.stop(_services(), calendars.parse_id(text))
            return "", 204
        case ["calendars", text, "sync"], "POST":
            calendar_id = calendars.parse_id(text)
            calendars.replay(_services(), calendar_id)
            return {"calendar_id": calendar_id}, 202
        case ["failures"], "GET":
            return _list_failures(request)
        case ["failures", failure_id, "retry"], "POST":
            return calendars.failure_json(calendars.retry_failure(_services(), failure_id)), 202
        case ["failures", failure_id], "DELETE":
            calendars.dismiss_failure(_services(), failure_id)
            return "", 204
        case path, _ if allowed := _allowed(path):
            return _error(405, f"only {allowed} here", {"Allow": allowed})
    raise NotFound("there is nothing here; the README lists the endpoints of manage_calendars")


def _allowed(path: list[str]) -> str | None:
    match path:
        case ["calendars"] | ["failures"]:
            return "GET"
        case ["calendars", _]:
            return "GET, PUT, DELETE"
        case ["calendars", _, "sync"] | ["failures", _, "retry"]:
            return "POST"
        case ["failures", _]:
            return "DELETE"
    return None


def _list_calendars(request: flask.Request) -> Any:
    status = calendars.parse_status(request.args.get("status"))
    listing = _services().store.list_calendars(status=status, page_token=_page_token(request))
    return calendars.calendars_json(listing)


def _list_failures(request: flask.Request) -> Any:
    text = request.args.get("calendar_id")
    listing = _services().store.list_failures(
        state=calendars.parse_failure_state(request.args.get("state")),
        calendar_id=calendars.parse_id(text) if text is not None else None,
        page_token=_page_token(request),
    )
    return calendars.failures_json(listing)


def _page_token(request: flask.Request) -> str | None:
    text = request.args.get("page_token") or None
    # Page tokens are ids of documents: hexadecimal digits.
    if text is not None and not (len(text) == 32 and set(text) <= set("0123456789abcdef")):
        raise Invalid(
            "page_token is none of ours; pass next_page_token of the page before, or leave it out"
        )
    return text


def _raw_path(request: flask.Request) -> str:
    """The path as it was sent: a decoded one would not tell a slash in a calendar id from one
    between parts."""
    raw = request.environ.get("RAW_URI") or request.path
    return str(raw).partition("?")[0]


def _body(request: flask.Request) -> bytes:
    """Read the whole body, so that the client gets our answer, and keep only as much of it as
    any of ours has."""
    kept = b""
    read = 0
    while read < _MOST_BYTES and (piece := request.stream.read(65536)):
        read += len(piece)
        kept += piece[: _LARGEST_BODY + 1 - len(kept)]
    return kept


def _json(body: bytes) -> Any:
    if len(body) > _LARGEST_BODY:
        raise Invalid(f"the body has more than {_LARGEST_BODY} bytes")
    try:
        return json.loads(body)
    except ValueError:
        raise Invalid("the body is not JSON") from None


def _parse_task(body: bytes) -> tuple[CalendarId, EventId | None]:
    value = _json(body)
    if not isinstance(value, dict):
        raise Invalid("the task's body is no JSON object")
    event_id = value.get("event_id")
    if not isinstance(value.get("calendar_id"), str) or not (
        event_id is None or isinstance(event_id, str)
    ):
        raise Invalid(
            'the task\'s body must be {"calendar_id": "…"}, with an "event_id" for one event'
        )
    if event_id is not None and not 0 < len(event_id) <= 2000:
        raise Invalid("the task's event_id can be none")
    return calendars.parse_id(value["calendar_id"]), EventId(
        event_id
    ) if event_id is not None else None


def _channel(request: flask.Request) -> Channel | None:
    """The channel whose notification made this task, if one did."""
    channel_id = request.headers.get(CHANNEL_ID)
    return (
        Channel(id=channel_id, resource_id=request.headers.get(CHANNEL_RESOURCE_ID))
        if channel_id
        else None
    )


def _report(report: engine.Report) -> dict[str, Any]:
    return {
        "calendar_id": report.calendar_id,
        "kind": report.kind,
        "finished": report.finished,
        **calendars.counts_json(report.counts),
        **({"reason": report.reason} if report.reason else {}),
    }


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Any:
    return {"error": {"code": status, "message": message}}, status, headers or {}
