"""A conferencing system as a company may have it: implements docs/rest-conferencing.openapi.yaml
under `/api`.

    conferencing = Conferencing(token="secret")
    conferencing.start()
    conferencing.url + "/api"                  # the provider's base_url
    conferencing.add(title="made by an add-on")
    conferencing.faults.add(method="PUT", status=503, times=2)

Imitated: the whole contract, occurrences included; idempotency keys, kept for ever; several valid
tokens; refusal of malformed requests; limits that can be switched on (`Settings`); any fault
(`sandbox.faults`).

Not imitated: conferences that run, hosts and licences, permissions within a token, limits on
recurrence, checks beyond types (the end may come before the start; a time zone may be unknown).

The controls are there over HTTP too, without a token:

GET    /_sandbox/conferences       id → conference, with its occurrences POST   /_sandbox/add
a conference's members (`id` may be among them) → the conference POST   /_sandbox/forget
{"id": …} GET    /_sandbox/requests          every request, oldest first; DELETE forgets them GET
/_sandbox/tokens            the accepted tokens; PUT replaces them GET    /_sandbox/settings
PATCH changes some *      /_sandbox/faults            see sandbox.faults
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import math
import re
import secrets
import threading
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal, NoReturn

import flask
from werkzeug.exceptions import HTTPException

from sandbox.faults import Faults
from sandbox.servers import HttpServer

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})")
_ORIGINAL_START = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}Z)?")
_ID = re.compile(r"/api/conferences/([^/]+)")
_RECURRENCE = re.compile(r"(RRULE|EXRULE|RDATE|EXDATE)[:;]")


@dataclass(slots=True, kw_only=True)
class Settings:
    """How the system behaves; may be changed at any time."""

    join_url: str = "https://meet.example.com/{id}"
    occurrences: bool = True
    """Whether single occurrences can be changed; if not, these calls are answered with
    `occurrence_refusal`."""
    occurrence_refusal: Literal[404, 405, 501] = 404
    gone_status: Literal[404, 410] = 404
    """What is said of a conference that existed once."""
    max_title: int | None = None
    """Characters; a longer title is answered with 422."""
    requests_per_second: int | None = None
    retry_after_form: Literal["seconds", "http-date", "iso"] = "seconds"


@dataclass(slots=True, kw_only=True)
class Request:
    """One request to the API; `status` is None while it is under way."""

    method: str
    path: str
    body: Any
    idempotency_key: str | None
    at: datetime
    concurrent: int
    """How many other requests were under way when it began."""
    status: int | None = None


class Conferencing:
    """The system, its state in memory. The attributes without an underscore are for tests to
    read."""

    def __init__(self, port: int = 0, token: str = "sandbox-token", **settings: Any) -> None:
        """`settings` are those of `Settings`. Port 0 takes a free one."""
        self.faults = Faults()
        self._lock = threading.RLock()
        self._under_way: Counter[str | None] = Counter()
        self._recent: deque[float] = deque()
        self.reset(token, **settings)
        self._server = HttpServer(self._application(), port=port)
        self.port = self._server.port

    @property
    def host(self) -> str:
        return self._server.host

    @property
    def url(self) -> str:
        """The server's address; the provider's `base_url` is this and `/api`."""
        return self._server.url

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        """Let hanging requests go and end the server. Safe to repeat."""
        self.faults.clear()
        self._server.stop()

    def reset(self, token: str = "sandbox-token", **settings: Any) -> None:
        """Forget everything, as if it was made anew with these arguments; the server goes on."""
        self.faults.clear()
        with self._lock:
            self.settings = Settings(**settings)
            self.tokens: set[str] = {token}
            """Accepted tokens; change them to rotate."""
            self.conferences: dict[str, dict[str, Any]] = {}
            """Conferences by id, as stored; `occurrences` maps original start to an occurrence,
            None if cancelled."""
            self.requests: list[Request] = []
            self.created = 0
            """Conferences made by POST."""
            self.deleted: list[str] = []
            """Ids deleted by DELETE, in order."""
            self.max_concurrency = 0
            self.max_concurrency_per_conference = 0
            """The most requests ever under way at once for one conference; 1 is what the
            contract promises."""
            self._once: set[str] = set()
            self._keys: dict[str, tuple[str, Any]] = {}
            self._recent.clear()

    def add(self, id: str | None = None, **members: Any) -> dict[str, Any]:
        """Make a conference behind the API's back, as an add-on would; returns it as stored."""
        with self._lock:
            stored = self._new(members, id)
            return copy.deepcopy(stored)

    def forget(self, id: str) -> None:
        """Delete a conference behind everyone's back."""
        with self._lock:
            del self.conferences[id]

    # The application.

    def _application(self) -> flask.Flask:
        app = flask.Flask("conferencing")
        app.json.sort_keys = False  # type: ignore[attr-defined]  # Flask's types name the base class
        # The order matters: a request is recorded before a fault strikes it, and struck before it
        # is looked at.
        app.before_request(self._begin)
        app.after_request(self._record)
        app.teardown_request(self._end)
        self.faults.install(app)
        app.before_request(self._admit)
        app.register_error_handler(HTTPException, _error)

        one, occurrence = (
            "/api/conferences/<id>",
            "/api/conferences/<id>/occurrences/<original_start>",
        )
        app.add_url_rule("/api/conferences", view_func=self._create, methods=["POST"])
        app.add_url_rule(one, endpoint="read", view_func=self._read, methods=["GET"])
        app.add_url_rule(one, endpoint="replace", view_func=self._replace, methods=["PUT"])
        app.add_url_rule(one, endpoint="delete", view_func=self._delete, methods=["DELETE"])
        app.add_url_rule(
            occurrence, endpoint="change", view_func=self._change_occurrence, methods=["PUT"]
        )
        app.add_url_rule(
            occurrence, endpoint="cancel", view_func=self._cancel_occurrence, methods=["DELETE"]
        )

        app.add_url_rule("/_sandbox/conferences", view_func=self._list)
        app.add_url_rule("/_sandbox/add", view_func=self._add, methods=["POST"])
        app.add_url_rule("/_sandbox/forget", view_func=self._forget, methods=["POST"])
        app.add_url_rule(
            "/_sandbox/requests", view_func=self._list_requests, methods=["GET", "DELETE"]
        )
        app.add_url_rule("/_sandbox/tokens", view_func=self._change_tokens, methods=["GET", "PUT"])
        app.add_url_rule(
            "/_sandbox/settings", view_func=self._change_settings, methods=["GET", "PATCH"]
        )
        return app

    def _begin(self) -> None:
        if not flask.request.path.startswith("/api/"):
            return
        match = _ID.match(flask.request.path)
        conference = match[1] if match else None
        with self._lock:
            record = Request(
                method=flask.request.method,
                path=flask.request.path,
                body=flask.request.get_json(force=True, silent=True),
                idempotency_key=flask.request.headers.get("Idempotency-Key"),
                at=datetime.now(UTC),
                concurrent=self._under_way.total(),
            )
            self.requests.append(record)
            self._under_way[conference] += 1
            self.max_concurrency = max(self.max_concurrency, self._under_way.total())
            if conference is not None:
                self.max_concurrency_per_conference = max(
                    self.max_concurrency_per_conference, self._under_way[conference]
                )
        flask.g.record, flask.g.conference = record, conference

    @staticmethod
    def _record(response: flask.Response) -> flask.Response:
        if "record" in flask.g:
            flask.g.record.status = response.status_code
        return response

    def _end(self, _error: BaseException | None) -> None:
        if "record" in flask.g:
            with self._lock:
                self._under_way[flask.g.conference] -= 1

    def _admit(self) -> None:
        """Refuse who brings no valid token, and who comes too often."""
        if not flask.request.path.startswith("/api/"):
            return
        scheme, _, token = flask.request.headers.get("Authorization", "").partition(" ")
        with self._lock:
            if scheme.lower() != "bearer" or token not in self.tokens:
                _refuse(
                    401, "The bearer token is missing or wrong.", {"WWW-Authenticate": "Bearer"}
                )
            limit = self.settings.requests_per_second
            if limit is None:
                return
            now = time.monotonic()
            while self._recent and self._recent[0] <= now - 1:
                self._recent.popleft()
            if len(self._recent) >= limit:
                wait = self._recent[0] + 1 - now
                _refuse(
                    429,
                    f"More than {limit} requests in a second.",
                    {"Retry-After": self._retry_after(wait)},
                )
            self._recent.append(now)

    def _retry_after(self, seconds: float) -> str:
        # Whole seconds are all that two of the forms can say; rounded up, for one too early is
        # refused again.
        moment = datetime.now(UTC) + timedelta(seconds=math.ceil(seconds) + 1)
        match self.settings.retry_after_form:
            case "seconds":
                return str(math.ceil(seconds))
            case "http-date":
                return format_datetime(moment.replace(microsecond=0), usegmt=True)
            case "iso":
                return moment.isoformat(timespec="seconds").replace("+00:00", "Z")

    # The API.

    def _create(self) -> Any:
        key = flask.request.headers.get("Idempotency-Key", "")
        if not 1 <= len(key) <= 255:
            _refuse(400, "The header Idempotency-Key is missing or too long.")
        members = self._checked(_CONFERENCE)
        with self._lock:
            if key in self._keys:
                id, event = self._keys[key]
                if event != members["event"]:
                    _refuse(422, "This Idempotency-Key was used for another event.")
                if id in self.conferences:
                    return _answer(self.conferences[id], 201, {"Idempotent-Replayed": "true"})
            stored = self._new(members, None)
            self.created += 1
            self._keys[key] = (stored["id"], members["event"])
            return _answer(stored, 201)

    def _read(self, id: str) -> Any:
        with self._lock:
            return _answer(self._find(id))

    def _replace(self, id: str) -> Any:
        members = self._checked(_CONFERENCE)
        with self._lock:
            old = self._find(id)
            kept = {name: old[name] for name in (*_OWN, "occurrences")}
            self.conferences[id] = {**copy.deepcopy(_EMPTY), **members, **kept}
            return _answer(self.conferences[id])

    def _delete(self, id: str) -> Any:
        with self._lock:
            self._find(id)
            del self.conferences[id]
            self.deleted.append(id)
        return "", 204

    def _change_occurrence(self, id: str, original_start: str) -> Any:
        stored = self._series(id, original_start)
        members = self._checked(_OCCURRENCE)
        with self._lock:
            stored["occurrences"][original_start] = members
            return _answer(stored)

    def _cancel_occurrence(self, id: str, original_start: str) -> Any:
        stored = self._series(id, original_start)
        with self._lock:
            stored["occurrences"][original_start] = None
        return "", 204

    def _series(self, id: str, original_start: str) -> dict[str, Any]:
        if not self.settings.occurrences:
            _refuse(self.settings.occurrence_refusal, "This system knows no single occurrences.")
        with self._lock:
            stored = self._find(id)
        if not _ORIGINAL_START.fullmatch(original_start):
            _refuse(
                400,
                "original_start must be a time in UTC, such as 2026-05-04T08:00:00Z, or a date.",
            )
        return stored

    def _find(self, id: str) -> dict[str, Any]:
        if id not in self.conferences:
            _refuse(
                self.settings.gone_status if id in self._once else 404,
                f"There is no conference {id}.",
            )
        return self.conferences[id]

    def _new(self, members: dict[str, Any], id: str | None) -> dict[str, Any]:
        if id is None:
            id = next(
                each
                for each in (f"c-{number}" for number in itertools.count(1))
                if each not in self._once
            )
        passcode = f"{secrets.randbelow(10**6):06}"
        stored = {
            **copy.deepcopy(_EMPTY),
            "entry_points": [
                {
                    "type": "video",
                    "uri": self.settings.join_url.format(id=id),
                    "label": self.settings.join_url.format(id=id).removeprefix("https://"),
                    "passcode": passcode,
                },
                {
                    "type": "phone",
                    "uri": "tel:+1-555-0100",
                    "label": "+1 555 0100",
                    "pin": passcode,
                    "region_code": "US",
                },
            ],
            **members,
            "id": id,
        }
        stored.setdefault("occurrences", {})
        self.conferences[id] = stored
        self._once.add(id)
        return stored

    def _checked(self, members: dict[str, _Check]) -> dict[str, Any]:
        """Return the request's body if it keeps to the contract; unknown members pass."""
        body = flask.request.get_json(force=True, silent=True)
        if not isinstance(body, dict):
            _refuse(400, "The body must be a JSON object.")
        all_day = body.get("all_day") is True
        for name, check in members.items():
            if name not in body:
                if name in _REQUIRED & members.keys():
                    _refuse(400, f"The member {name} is missing.")
                continue
            problem = check(body[name], all_day)
            if problem:
                _refuse(400, f"The member {name} must be {problem}.")
        limit = self.settings.max_title
        if limit is not None and len(body["title"]) > limit:
            _refuse(422, f"The title is longer than {limit} characters.")
        return {name: value for name, value in body.items() if name not in (*_OWN, "occurrences")}

    # The controls over HTTP.

    def _list(self) -> Any:
        with self._lock:
            return flask.jsonify(self.conferences)

    def _add(self) -> Any:
        return flask.jsonify(self.add(**(flask.request.get_json(force=True) or {}))), 201

    def _forget(self) -> Any:
        id = flask.request.get_json(force=True)["id"]
        with self._lock:
            if id not in self.conferences:
                _refuse(404, f"There is no conference {id}.")
            self.forget(id)
        return "", 204

    def _list_requests(self) -> Any:
        with self._lock:
            if flask.request.method == "DELETE":
                self.requests.clear()
                return "", 204
            return flask.jsonify(
                [{**asdict(each), "at": each.at.isoformat()} for each in self.requests]
            )

    def _change_tokens(self) -> Any:
        if flask.request.method == "PUT":
            self.tokens = set(flask.request.get_json(force=True))
        return flask.jsonify(sorted(self.tokens))

    def _change_settings(self) -> Any:
        if flask.request.method == "PATCH":
            changes = flask.request.get_json(force=True)
            unknown = changes.keys() - {each.name for each in fields(Settings)}
            if unknown:
                _refuse(400, f"There is no setting {sorted(unknown)[0]}.")
            for name, value in changes.items():
                setattr(self.settings, name, value)
        return flask.jsonify(asdict(self.settings))


# What a member must be: each check returns the words for a refusal, or None. Written by hand and
# not taken from the OpenAPI document, so that the two can be held against each other.


class _Check:
    def __init__(self, words: str, *types: type) -> None:
        self.words, self.types = words, types

    def __call__(self, value: Any, _all_day: bool) -> str | None:
        return None if isinstance(value, self.types) else self.words


class _Moment(_Check):
    def __call__(self, value: Any, all_day: bool) -> str | None:
        try:
            if all_day:
                date.fromisoformat(value)
                good = len(value) == len("2026-05-04")
            else:
                datetime.fromisoformat(value)
                good = _TIME.fullmatch(value) is not None
        except (TypeError, ValueError):
            good = False
        return (
            None
            if good
            else "a date, as all_day is true"
            if all_day
            else "a time by RFC 3339, with an offset"
        )


class _Lines(_Check):
    def __init__(self, words: str, pattern: re.Pattern[str] | None = None) -> None:
        super().__init__(words, list)
        self.pattern = pattern

    def __call__(self, value: Any, _all_day: bool) -> str | None:
        good = isinstance(value, list) and all(
            isinstance(line, str) and (self.pattern is None or self.pattern.match(line))
            for line in value
        )
        return None if good else self.words


class _Event(_Check):
    def __call__(self, value: Any, _all_day: bool) -> str | None:
        good = (
            isinstance(value, dict)
            and all(
                isinstance(value.get(name), str) and value[name]
                for name in ("calendar_id", "event_id")
            )
            and isinstance(value.get("ical_uid"), str | None)
        )
        return None if good else self.words


_OCCURRENCE: dict[str, _Check] = {
    "title": _Check("a text", str),
    "description": _Check("a text or null", str, type(None)),
    "start": _Moment(""),
    "end": _Moment(""),
    "time_zone": _Check("a text or null", str, type(None)),
    "all_day": _Check("true or false", bool),
    "organizer": _Check("a text or null", str, type(None)),
    "attendees": _Lines("a list of texts"),
}
_CONFERENCE: dict[str, _Check] = {
    **_OCCURRENCE,
    "recurrence": _Lines("a list of RRULE, EXRULE, RDATE and EXDATE lines", _RECURRENCE),
    "event": _Event("an object with calendar_id and event_id"),
}
# What belongs to the system and cannot be set by a request.
_OWN = ("id", "entry_points", "notes")
_REQUIRED = {"title", "start", "end", "all_day", "event"}
_EMPTY: dict[str, Any] = {
    "title": "",
    "description": None,
    "start": None,
    "end": None,
    "time_zone": None,
    "all_day": False,
    "recurrence": [],
    "organizer": None,
    "attendees": [],
    "event": None,
    "notes": None,
}


def _answer(
    stored: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None
) -> flask.Response:
    shown = {name: value for name, value in stored.items() if name != "occurrences"}
    return flask.Response(json.dumps(shown), status, headers, mimetype="application/json")


def _refuse(status: int, message: str, headers: dict[str, str] | None = None) -> NoReturn:
    flask.abort(
        flask.Response(
            json.dumps({"error": {"message": message}}),
            status,
            headers,
            mimetype="application/json",
        )
    )


def _error(error: HTTPException) -> Any:
    """Flask's own refusals, of unknown paths and methods, in the contract's form."""
    if error.response is not None:
        return error.response
    return {"error": {"message": error.description}}, error.code or 500


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.conferencing", description="A conferencing system."
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--token", default="sandbox-token", help="default: sandbox-token")
    arguments = parser.parse_args()
    conferencing = Conferencing(port=arguments.port, token=arguments.token)
    conferencing.start()
    print(f"{conferencing.url}/api", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        conferencing.stop()


if __name__ == "__main__":
    main()
