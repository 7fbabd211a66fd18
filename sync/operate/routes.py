"""The HTTP calls of `manage_calendars`, one line each, from the request to the function.

Ids in paths are percent-encoded. https://docs.cloud.google.com/run/docs/authenticating/overview
says who may call: the function is private, so the caller has a role on it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from sync.context import Services
from sync.errors import Invalid, NotFound, SyncError
from sync.logs import short
from sync.model.event import EventId
from sync.operate import calendars, checks, explain, stopping

_logger = logging.getLogger(__name__)

_LARGEST_BODY = 100_000
# Calendar's own are letters, digits and _. What a listing of another form has is still let through,
# but nothing that would lead elsewhere in Calendar's paths.
_EVENT_ID = re.compile(r"[\w.:@=+~-]{1,1024}", re.ASCII)
# Page tokens are made of ids of documents, and of moments.
_PAGE_TOKEN = re.compile(r"[0-9A-Za-z:+.|_=-]{1,200}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. `path` is as it was sent, `query` decoded. `caller` is for the log alone."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes = b""
    caller: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What to answer: a JSON value, or an empty text for 204."""

    value: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Services, Call, tuple[str, ...]], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One call: method, path with `{…}` for what varies, what it does, what the query may name."""

    method: str
    path: str
    does: str
    handler: Handler
    changes: bool = False
    query: tuple[str, ...] = ()

    def check_query(self, names: Iterable[str]) -> None:
        """Raise Invalid for a parameter that this call does not know.

        Google's APIs refuse it as well. A mistyped filter would list everything, as if all were
        broken, or nothing were left alone.
        """
        if set(names) <= set(self.query):
            return
        if not self.query:
            raise Invalid("this call takes no query parameters; leave them out")
        known = " and ".join(self.query)
        raise Invalid(f"this call knows no other query parameters than {known}; correct the name")

    def matches(self, parts: list[str]) -> tuple[str, ...] | None:
        """Return what stands in place of the `{…}`, None for another path."""
        wanted = self.path.strip("/").split("/")
        if len(wanted) != len(parts):
            return None
        if any(w != part for w, part in zip(wanted, parts, strict=True) if not w.startswith("{")):
            return None
        return tuple(part for w, part in zip(wanted, parts, strict=True) if w.startswith("{"))


def answer(services: Services, call: Call) -> Answer:
    """Carry out one call. Raises NotFound for an unknown path, and what the call raises.

    HEAD is answered as GET, and the server leaves the body out. OPTIONS tells what is allowed.
    """
    parts = [unquote(part) for part in call.path.strip("/").split("/")]
    method = "GET" if call.method == "HEAD" else call.method
    allowed = []
    for route in ROUTES:
        values = route.matches(parts)
        if values is None:
            continue
        if route.method == method:
            route.check_query(call.query)
            return _logged(services, call, route, values)
        allowed += ["GET", "HEAD"] if route.method == "GET" else [route.method]
    if not allowed:
        raise NotFound("there is nothing here; GET / lists the calls")
    headers = {"Allow": ", ".join([*allowed, "OPTIONS"])}
    if method == "OPTIONS":
        return Answer(value="", status=204, headers=headers)
    message = f"only {', '.join(allowed)} here"
    return Answer(value={"error": {"code": 405, "message": message}}, status=405, headers=headers)


def _logged(services: Services, call: Call, route: Route, values: tuple[str, ...]) -> Answer:
    """Log one line for each call that changes something: who did what to which calendar."""
    if not route.changes:
        return route.handler(services, call, values)
    facts = {
        "action": f"{route.method} {route.path}",
        "target": short(values[0]) if values else "",
        "caller": short(call.caller) if call.caller else "",
    }
    try:
        done = route.handler(services, call, values)
    except SyncError as error:
        _logger.warning("operator's call failed", extra={**facts, "error": type(error).__name__})
        raise
    _logger.info("operator's call", extra={**facts, "outcome": done.status})
    return done


def _index(services: Services, call: Call, values: tuple[str, ...]) -> Answer:
    del services, call, values
    calls = [{"call": f"{route.method} {route.path}", "does": route.does} for route in ROUTES]
    return Answer(value={"calls": calls})


def _list_calendars(services: Services, call: Call, values: tuple[str, ...]) -> Answer:
    del values
    status = calendars.parse_status(call.query.get("status"))
    listing = services.store.list_calendars(status=status, page_token=_page_token(call))
    return Answer(value=calendars.calendars_json(listing))


def _start(services: Services, call: Call, values: tuple[str, ...]) -> Answer:
    body = _json(call.body) if call.body.strip() else {}
    access = calendars.parse_access(body, services.settings.subject_domains)
    state, created = calendars.start(services, calendars.parse_id(values[0]), access)
    return Answer(value=calendars.calendar_json(state), status=201 if created else 200)


def _get(services: Services, call: Call, values: tuple[str, ...]) -> Answer:
    del call
    return Answer(
        value=calendars.calendar_json(calendars.get(services, calendars.parse_id(values[0])))
    )


def _stop(services: Services, call: Call, values: tuple[str, ...]) -> Answer:
    del call
    stopping.stop(services, calendars.parse_id(values[0]))
    return Answer(value="", status=204)


def _sync(services: Services, call: Call, values: tuple[str, ...]) -> Answer:
    calendar_id = calendars.parse_id(values[0])
    calendars.replay(services, calendar_id, full=_flag(call, "full"))
    return Answer(value={"calendar_id": calendar_id}, status=202)


def _explain(services: Services, call: Call, values: tuple[str, ...]) -> Answer:
    del call
    calendar_id, event_id = calendars.parse_id(values[0]), _event_id(values[1])
    return Answer(value=explain.explain(services, calendar_id, event_id))


def _list_failures(services: Services, call: Call, values: tuple[str, ...]) -> Answer:
    del values
    text = call.query.get("calendar_id")
    listing = services.store.list_failures(
        states=calendars.parse_failure_states(call.query.get("state")),
        calendar_id=calendars.parse_id(text) if text is not None else None,
        page_token=_page_token(call),
    )
    return Answer(value=calendars.failures_json(listing))


def _retry(services: Services, call: Call, values: tuple[str, ...]) -> Answer:
    del call
    failure = calendars.retry_failure(services, values[0])
    return Answer(value=calendars.failure_json(failure), status=202)


def _dismiss(services: Services, call: Call, values: tuple[str, ...]) -> Answer:
    del call
    calendars.dismiss_failure(services, values[0])
    return Answer(value="", status=204)


def _status(services: Services, call: Call, values: tuple[str, ...]) -> Answer:
    del call, values
    return Answer(value=checks.status(services))


def _doctor(services: Services, call: Call, values: tuple[str, ...]) -> Answer:
    del call, values
    return Answer(value=checks.doctor(services))


ROUTES: tuple[Route, ...] = (
    Route(method="GET", path="/", does="lists these calls", handler=_index),
    Route(
        method="GET",
        path="/status",
        does="counts calendars and failures by their state",
        handler=_status,
    ),
    Route(
        method="GET",
        path="/doctor",
        does="checks settings, secrets, database, queue, access and providers; changes nothing",
        handler=_doctor,
    ),
    Route(
        method="GET",
        path="/calendars",
        does="lists calendars; ?status=, ?page_token=",
        query=("status", "page_token"),
        handler=_list_calendars,
    ),
    Route(
        method="GET",
        path="/calendars/{calendar_id}",
        does="shows one calendar",
        handler=_get,
    ),
    Route(
        method="PUT",
        path="/calendars/{calendar_id}",
        does='starts a calendar; body {}, {"subject"} or {"credentials_secret"}',
        handler=_start,
        changes=True,
    ),
    Route(
        method="DELETE",
        path="/calendars/{calendar_id}",
        does="stops a calendar; its conferences stay",
        handler=_stop,
        changes=True,
    ),
    Route(
        method="POST",
        path="/calendars/{calendar_id}/sync",
        does="syncs a calendar again; ?full=true forgets the sync token first",
        query=("full",),
        handler=_sync,
        changes=True,
    ),
    Route(
        method="GET",
        path="/calendars/{calendar_id}/events/{event_id}",
        does="explains why an event is followed or left alone; changes nothing",
        handler=_explain,
    ),
    Route(
        method="GET",
        path="/failures",
        does="lists failures; ?state=parked|retrying|approximate|left|all, ?calendar_id=, "
        "?page_token=",
        query=("state", "calendar_id", "page_token"),
        handler=_list_failures,
    ),
    Route(
        method="POST",
        path="/failures/{failure_id}/retry",
        does="tries a failure again at once",
        handler=_retry,
        changes=True,
    ),
    Route(
        method="DELETE",
        path="/failures/{failure_id}",
        does="dismisses a failure until its event changes",
        handler=_dismiss,
        changes=True,
    ),
)


def _flag(call: Call, name: str) -> bool:
    text = call.query.get(name, "false").lower()
    if text not in ("true", "false"):
        raise Invalid(f"{name} must be true or false")
    return text == "true"


def _event_id(text: str) -> EventId:
    if not _EVENT_ID.fullmatch(text) or set(text) == {"."}:
        raise Invalid("this is no event id; give the id as Calendar's API names it")
    return EventId(text)


def _page_token(call: Call) -> str | None:
    text = call.query.get("page_token") or None
    if text is not None and not _PAGE_TOKEN.fullmatch(text):
        raise Invalid(
            "page_token is none of ours; pass next_page_token of the page before, or leave it out"
        )
    return text


def _json(body: bytes) -> Any:
    if len(body) > _LARGEST_BODY:
        raise Invalid(f"the body has more than {_LARGEST_BODY} bytes")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Invalid("the body is not JSON") from None
