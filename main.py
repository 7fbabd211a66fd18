"""The five functions: parse the request, call one function, answer.

`receive_notification` (public) Calendar rings. One task is enqueued.      -> sync.intake.receive
`sync_calendar` (private) Cloud Tasks brings one calendar or one event.    -> sync.run.engine
`manage_calendars` (private) operators start, stop, replay, explain.       -> sync.operate
`create_conference` (public) the add-on asks for a conference.             -> sync.operate.addon
`maintain` (private) Cloud Scheduler calls every hour.               -> sync.operate.maintenance

What goes wrong is raised, and answered in one place: `answer_error`.
"""

from __future__ import annotations

import base64
import functools
import gc
import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

import flask
import functions_framework
from werkzeug.exceptions import HTTPException

from sync import config, logs, tracing
from sync.errors import (
    ConfigurationError,
    Conflict,
    Forged,
    Gone,
    Invalid,
    LeaseHeld,
    LeaseLost,
    NotAllowed,
    NotFound,
    SyncError,
    TryLater,
    WatchFailed,
)
from sync.intake.body import has_body, pass_over
from sync.model.calendar import Channel
from sync.model.event import CalendarId, EventId, clean

if TYPE_CHECKING:
    from sync.context import Services

_logger = logging.getLogger(__name__)

_Handler = TypeVar("_Handler", bound=Callable[..., Any])
# The framework's decorator has no types of its own.
_errorhandler: Callable[[type[Exception]], Callable[[_Handler], _Handler]] = (
    functions_framework.errorhandler
)

# The clients make some hundred thousand objects that stay. The collector of garbage would look
# through them several times while they are made, a sixth of a start's processor time, and again in
# the midst of requests. https://docs.python.org/3/library/gc.html#gc.freeze
gc.disable()
try:
    SETTINGS = config.Settings.from_environ(os.environ)
    logs.configure(project=SETTINGS.project, service=SETTINGS.service, version=SETTINGS.revision)
    from sync.google.task_queue import CHANNEL_ID, CHANNEL_RESOURCE_ID
    from sync.intake import receive as intake

    if TYPE_CHECKING or SETTINGS.target != config.RECEIVE:
        # Firestore's and Calendar's clients take half a second to import, and the public function
        # needs neither.
        from sync import services

        services.load(SETTINGS)
    # Each function loads what it runs, for an event, an operator or a person waits for its start.
    if TYPE_CHECKING or SETTINGS.target in (None, config.SYNC):
        from sync.operate import calendars, stopping
        from sync.run import engine
    if TYPE_CHECKING or SETTINGS.target in (None, config.MANAGE):
        from sync.operate import routes
    if TYPE_CHECKING or SETTINGS.target in (None, config.MAINTAIN):
        from sync.operate import maintenance
    if TYPE_CHECKING or SETTINGS.target in (None, config.CREATE):
        from sync.google.id_tokens import IdTokens
        from sync.operate import addon
    if TYPE_CHECKING or SETTINGS.trace_url:
        from sync import spans
except ConfigurationError as error:
    # One sentence, and no traceback around it: the function must not start.
    raise SystemExit(f"configuration: {error}") from None
finally:
    gc.freeze()
    gc.enable()

# What Cloud Run lets in at most; a body is read to its end, piece by piece, so that no answer cuts
# a request off.
_MOST_BYTES = 32 * 1024 * 1024
# A task may have 100 kB; ours have two ids in them.
_LARGEST_BODY = 100_000
_CUT_OFF = "the body did not arrive whole; send it again"
# Google's ID tokens have about a thousand characters.
_LARGEST_TOKEN = 10_000

_STATUS: list[tuple[type[SyncError], int]] = [
    (LeaseHeld, 409),  # S1: not 429 or 503, which would slow the whole queue down
    (LeaseLost, 409),
    (Conflict, 409),
    (NotAllowed, 403),
    (NotFound, 404),
    (Gone, 404),
    (WatchFailed, 502),
    (TryLater, 503),
    (Invalid, 400),
]


@functools.cache
def _intake() -> intake.Intake:
    """Made at the first request: gunicorn forks after the import, and gRPC does not survive."""
    return intake.Intake.from_settings(SETTINGS)


@functools.cache
def _services() -> Services:
    return services.build(SETTINGS)


@functools.cache
def _id_tokens() -> IdTokens:
    return IdTokens(
        SETTINGS.addon_certs_url,
        SETTINGS.addon_audiences,
        SETTINGS.addon_domains,
        lambda: datetime.now(UTC),
    )


@functools.cache
def _record_spans() -> None:
    """Connected at the first request: the thread that sends spans does not survive a fork."""
    tracing.record(
        spans.sent_to(
            SETTINGS.trace_url,
            project=SETTINGS.project,
            service=SETTINGS.service,
            version=SETTINGS.revision,
        )
    )


def _traced(name: str) -> Callable[[_Handler], _Handler]:
    """Let a function's requests be spans of this name, in the trace that their headers name."""

    def wrap(function: _Handler) -> _Handler:
        @functools.wraps(function)
        def traced(request: flask.Request) -> Any:
            if SETTINGS.trace_url:
                _record_spans()
            with tracing.request(name, request.headers):
                return function(request)

        return cast(_Handler, traced)

    return wrap


@functions_framework.http
@_traced("push")
def receive_notification(request: flask.Request) -> flask.Response:
    """Answer 204 once a task is certain, an empty 403 to a forged call, 503 to be rung again.

    The body is never waited for (N4).
    """
    return _unread(request, *_receive(request))


def _receive(request: flask.Request) -> tuple[int, dict[str, str]]:
    if request.method != "POST":
        return 405, {"Allow": "POST"}
    try:
        intake.receive(_intake(), request.headers, datetime.now(UTC))
    except Forged:
        _logger.info("notification refused")
        return 403, {}
    except (TryLater, ConfigurationError) as error:
        _logger.error("notification not enqueued", extra={"reason": str(error)})
        return 503, {}
    return 204, {}


@functions_framework.http
@_traced("task")
def sync_calendar(request: flask.Request) -> Any:
    """Bring one calendar, or one event of it, up to date.

    The status says whether the queue must bring the task again: 200 not, 409 and 500 yes.
    """
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
        stopping.clean_up(_services(), calendar_id, event_id, rang)  # H3, H4
        _logger.error(
            "task for an unknown calendar dropped", extra={"calendar": logs.short(calendar_id)}
        )
        return {"reason": str(error)}


@functions_framework.http
@_traced("manage")
def manage_calendars(request: flask.Request) -> Any:
    """Calendars, events and failures, for operators. JSON in and out. The routes: GET /."""
    call = routes.Call(
        method=request.method,
        path=_raw_path(request),
        query=request.args,
        body=_body(request),
        caller=_caller(request),
    )
    answer = routes.answer(_services(), call)
    return answer.value, answer.status, answer.headers


@functions_framework.http
@_traced("create conference")
def create_conference(request: flask.Request) -> flask.Response:
    """Answer the add-on, once the user's token is good (A1).

    Every refused token is the same empty 401, and nothing but Google's keys was read for it: no
    body, no secret, no store.
    """
    if not SETTINGS.addon_audiences:
        return _unread(request, 404, {})
    if request.method != "POST":
        return _unread(request, 405, {"Allow": "POST"})
    try:
        user = _id_tokens().verify(request.headers.get("Authorization", ""))
    except Forged as error:
        _logger.info("add-on token refused", extra={"reason": str(error)})
        return _unread(request, 401, {"WWW-Authenticate": "Bearer"})
    except TryLater as error:
        answer = addon.unavailable(error)
    else:
        try:
            answer = addon.answer(_services, user.email, _body(request))
        except Invalid as error:
            answer = addon.malformed(error)
    response = flask.jsonify(answer.value)
    response.status_code = answer.status
    return response


@functions_framework.http
@_traced("maintain")
def maintain(request: flask.Request) -> Any:
    """Renew, catch up, retry. The answer is a report of what was done."""
    _body(request)
    if request.method != "POST":
        return _error(405, "only POST", {"Allow": "POST"})
    return asdict(maintenance.maintain(_services()))


@_errorhandler(SyncError)
def answer_error(error: SyncError) -> Any:
    """Answer what went wrong, for all private functions: one sentence with the mend."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    worker = SETTINGS.target in (config.SYNC, config.MAINTAIN)
    if worker and status != 409:
        status = 500  # the queue, or the clock, tries again
    if isinstance(error, LeaseHeld | LeaseLost):
        message = "another run has this calendar; the queue brings the task again"
    else:
        message = str(error) or type(error).__name__
    if worker and status == 500:
        _logger.warning("run failed", extra={"reason": message})
    elif isinstance(error, ConfigurationError):
        _logger.error("request failed", extra={"reason": message})
    return _error(status, message)


class _LastResponse(flask.Response):
    """The last answer on its connection, which gunicorn then announces as closed.

    A client or a proxy that sent another request on the connection would get no answer.
    """

    def __call__(self, environ: Any, start_response: Any) -> Any:
        # A bound method of gunicorn's own response. Under another server nothing was closed.
        close = getattr(getattr(start_response, "__self__", None), "force_close", None)
        if close is not None:
            close()
        return super().__call__(environ, start_response)


@_errorhandler(HTTPException)
def answer_http_error(error: HTTPException) -> Any:
    """Answer what the framework refuses before any of our functions sees it, such as a path."""
    status = error.code or 500
    return _error(status, "there is nothing here" if status == 404 else error.name.lower())


@_errorhandler(Exception)
def answer_crash(error: Exception) -> Any:
    """Answer a mistake of our own: the log has its traceback, and the queue tries again."""
    _logger.error("crash", exc_info=error)
    return _error(
        500,
        f"our own mistake ({type(error).__name__}); the log of this moment tells where, please "
        "report it",
    )


def _caller(request: flask.Request) -> str:
    """The address of whoever calls, for the log alone. "" if nothing names it.

    Cloud Run has checked the token, and hands it on without its signature.
    https://docs.cloud.google.com/run/docs/authenticating/service-to-service
    """
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    claims = token[:_LARGEST_TOKEN].split(".")[1:2]
    try:
        known = json.loads(base64.urlsafe_b64decode(claims[0] + "===")) if claims else None
    except (ValueError, RecursionError):
        return ""
    email = known.get("email") if isinstance(known, dict) else None
    return email if isinstance(email, str) else ""


def _unread(request: flask.Request, status: int, headers: dict[str, str]) -> flask.Response:
    """Return an empty answer that does not wait for the request's body (N4, A1)."""
    if not has_body(request.environ):
        return flask.Response(status=status, headers=headers)
    pass_over(request.environ)
    if status != 204:
        headers["Content-Length"] = "0"
    # A stream: before any other answer, functions-framework reads the body to its end.
    return _LastResponse(iter(()), status=status, headers=headers)


def _raw_path(request: flask.Request) -> str:
    """The path as it was sent: decoded, a slash in an id would look like one between parts."""
    raw = request.environ.get("RAW_URI") or request.path
    return str(raw).partition("?")[0]


def _body(request: flask.Request) -> bytes:
    """Read the whole body, so that the client gets our answer. Keep as much as any of ours has.

    Raises Invalid for a body that breaks off: the rest may say the opposite of its beginning, and
    an empty body has a meaning of its own (PUT).
    """
    kept = b""
    read = 0
    try:
        while read < _MOST_BYTES and (piece := request.stream.read(65536)):
            read += len(piece)
            kept += piece[: _LARGEST_BODY + 1 - len(kept)]
    except Exception as error:
        # Each server has errors of its own for that, gunicorn some without a common class.
        raise Invalid(_CUT_OFF) from error
    if read < min(request.content_length or 0, _MOST_BYTES):
        raise Invalid(_CUT_OFF)
    return kept


def _parse_task(body: bytes) -> tuple[CalendarId, EventId | None]:
    try:
        value = json.loads(body) if len(body) <= _LARGEST_BODY else None
    except (ValueError, RecursionError):
        raise Invalid("the task's body is not JSON") from None
    if not isinstance(value, dict):
        raise Invalid("the task's body is no JSON object")
    event_id = value.get("event_id")
    if not isinstance(value.get("calendar_id"), str) or not isinstance(event_id, str | None):
        raise Invalid(
            'the task\'s body must be {"calendar_id": "…"}, with an "event_id" for one event'
        )
    if event_id is not None and not (0 < len(event_id) <= 2000 and clean(event_id) == event_id):
        raise Invalid("the task's event_id is malformed")
    return calendars.parse_id(value["calendar_id"]), EventId(event_id) if event_id else None


def _channel(request: flask.Request) -> Channel | None:
    """The channel whose notification made this task, if one did."""
    channel_id = request.headers.get(CHANNEL_ID)
    if not channel_id:
        return None
    return Channel(id=channel_id, resource_id=request.headers.get(CHANNEL_RESOURCE_ID))


def _report(report: engine.Report) -> dict[str, Any]:
    answer = {
        "calendar_id": report.calendar_id,
        "kind": report.kind,
        "finished": report.finished,
        **calendars.counts_json(report.counts),
    }
    if report.reason:
        answer["reason"] = report.reason
    return answer


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Any:
    return {"error": {"code": status, "message": message}}, status, headers or {}
