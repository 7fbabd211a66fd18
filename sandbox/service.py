"""One web service on loopback: what the stand-ins of all conferencing systems have in common.

`Service` records every request, is struck by faults, limits requests a second and carries the
controls. It knows nothing of tokens, and of conferences only which one a path names.

The controls over HTTP need no token:

    GET    /                        every call the stand-in answers
    GET    /_sandbox/conferences    id → conference, as stored
    POST   /_sandbox/add            what `add` takes → what `add` returns
    POST   /_sandbox/forget         {"id": …} delete a conference behind everyone's back
    GET    /_sandbox/requests       every request, oldest first. ?conference=ID&method=PATCH choose
    DELETE /_sandbox/requests       forget them
    GET    /_sandbox/settings       PATCH changes some
    GET    /_sandbox/troubles       the troubles by name. POST {"name": …} arms one
    *      /_sandbox/faults, held, release     see sandbox.faults
"""

from __future__ import annotations

import json
import re
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, NoReturn
from urllib.parse import parse_qs

import flask
from werkzeug.exceptions import HTTPException

from sandbox.faults import Faults
from sandbox.servers import HttpServer, build_no_addresses, calls_of, in_order
from sandbox.troubles import TROUBLES

Json = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request and, once it is there, its answer."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    at: datetime
    conference: str | None = None
    """The id of the conference that the path names."""
    concurrent: int = 0
    """How many other requests were under way when this one began."""
    status: int | None = None
    """None while the request is under way."""
    ended: datetime | None = None
    answer: bytes = b""
    answer_headers: dict[str, str] = field(default_factory=dict)

    @property
    def idempotency_key(self) -> str | None:
        return self.headers.get("Idempotency-Key")

    def shown(self) -> Json:
        """What `/_sandbox/requests` shows. Headers stay out, for they carry tokens."""
        return {
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "body": self.body,
            "idempotency_key": self.idempotency_key,
            "conference": self.conference,
            "at": self.at.isoformat(),
            "concurrent": self.concurrent,
            "status": self.status,
            "answer": self.answer.decode("utf-8", "replace"),
        }


class Service(ABC):
    """One stand-in with its state in memory. Attributes without an underscore are for tests."""

    API: ClassVar[str]
    """The path under which requests need credentials and are recorded."""

    CONFERENCE: ClassVar[re.Pattern[str]]
    """Finds the id of a conference in a path. The first group."""

    JSON: ClassVar[str] = "application/json"
    """The content type of its answers."""

    SETTINGS: ClassVar[tuple[str, ...]] = ()
    """The attributes that `/_sandbox/settings` shows and changes."""

    def __init__(
        self, port: int = 0, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Port 0 takes a free one."""
        self.faults = Faults()
        self.clock = clock
        self.lock = threading.RLock()
        self._under_way: Counter[str | None] = Counter()
        self.reset()
        app = flask.Flask(type(self).__name__)
        build_no_addresses(app)
        in_order(app)
        # The order matters: a request is recorded before a fault strikes it, and struck before it
        # is looked at.
        app.before_request(self._begin)
        app.after_request(self._record)
        app.teardown_request(self._end)
        self.faults.install(app)
        app.before_request(self._admit)
        app.register_error_handler(HTTPException, self._failed)
        self._add_controls(app)
        self.routes(app)
        self._calls = calls_of(app)
        self._server = HttpServer(app, port=port)
        self.port = self._server.port

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def base_url(self) -> str:
        """The provider's `base_url`."""
        return self.url + self.API.rstrip("/")

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        """Let go of held requests and end the server. Safe to repeat."""
        self.faults.clear()
        self._server.stop()

    def reset(self) -> None:
        """Forget everything, as if the stand-in was made anew. The server goes on."""
        self.faults.clear()
        with self.lock:
            self.conferences: dict[str, Json] = {}
            """By id, as stored."""
            self.requests: list[Exchange] = []
            """Every request to the API, refused ones included."""
            self.max_concurrency = 0
            """The most requests that were ever under way at once."""
            self.max_concurrency_per_conference = 0
            """The most requests that were ever under way at once for one conference."""
            self._recent: deque[float] = deque()

    def writes(self, conference_id: str | None = None) -> list[Exchange]:
        """The requests that were meant to change something, oldest first.

        With an id only those whose path names this conference: an empty list says that nothing
        but reads ever reached the conference.
        """
        with self.lock:
            return [
                each
                for each in self.requests
                if each.method != "GET" and conference_id in (None, each.conference)
            ]

    def forget(self, conference_id: str) -> None:
        """Delete a conference behind everyone's back."""
        with self.lock:
            del self.conferences[conference_id]

    def trouble(self, name: str, **fault: Any) -> None:
        """Arm a fault by the name it has in `sandbox.troubles`. `fault` narrows or changes it."""
        self.faults.add(path=self.API, **{**TROUBLES[name].fault(self), **fault})

    @property
    @abstractmethod
    def secret(self) -> Json:
        """What the provider's secret must hold."""

    @abstractmethod
    def add(self, **members: Any) -> Json:
        """Make a conference behind the API's back, as an add-on would."""

    @abstractmethod
    def routes(self, app: flask.Flask) -> None:
        """Add the service's own paths."""

    @abstractmethod
    def authorise(self) -> None:
        """Refuse a request to the API without good credentials."""

    @abstractmethod
    def rate_limit(self) -> int | None:
        """The requests a second that are let in."""

    @abstractmethod
    def retry_after_text(self, seconds: float) -> str | None:
        """What a refusal of too many requests says in Retry-After. None: nothing."""

    @abstractmethod
    def refusal(self, status: int, message: str) -> Any:
        """Return the body of an error, in the system's own form."""

    @abstractmethod
    def not_found(self) -> tuple[int, Any]:
        """Return status and body by which the system says that a conference does not exist."""

    def adjustable(self) -> Any:
        """The object whose attributes `SETTINGS` names."""
        return self

    def records_for(self, path: str) -> list[Exchange] | None:
        """Where a request is recorded. None: nowhere."""
        return self.requests if path.startswith(self.API) else None

    def refuse(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> NoReturn:
        """End the request with this answer. A text is a page, all else is JSON."""
        text, mimetype = (
            (body, "text/html") if isinstance(body, str) else (json.dumps(body), "application/json")
        )
        flask.abort(flask.Response(text, status, dict(headers or {}), mimetype=mimetype))

    @staticmethod
    def json_body() -> Json:
        """The request's JSON object. An empty one for anything else."""
        body = flask.request.get_json(force=True, silent=True)
        return body if isinstance(body, dict) else {}

    def _begin(self) -> None:
        request = flask.request
        with self.lock:
            records = self.records_for(request.path)
        if records is None:
            return
        form = {
            name: values[0] for name, values in parse_qs(request.get_data(as_text=True)).items()
        }
        named = self.CONFERENCE.match(request.path)
        exchange = Exchange(
            method=request.method,
            path=request.path,
            query=dict(request.args),
            headers=dict(request.headers),
            body=request.get_json(force=True, silent=True) if not form or request.is_json else form,
            at=self.clock(),
            conference=named[1] if named else None,
        )
        with self.lock:
            exchange.concurrent = self._under_way.total()
            records.append(exchange)
            self._under_way[exchange.conference] += 1
            self.max_concurrency = max(self.max_concurrency, self._under_way.total())
            if exchange.conference is not None:
                self.max_concurrency_per_conference = max(
                    self.max_concurrency_per_conference, self._under_way[exchange.conference]
                )
        flask.g.exchange = exchange

    def _record(self, response: flask.Response) -> flask.Response:
        if "exchange" in flask.g:
            exchange: Exchange = flask.g.exchange
            if response.mimetype == "application/json":
                response.content_type = self.JSON
            exchange.status, exchange.answer_headers = response.status_code, dict(response.headers)
            exchange.answer = response.get_data()
            exchange.ended = self.clock()
        return response

    def _end(self, _error: BaseException | None) -> None:
        if "exchange" in flask.g:
            with self.lock:
                self._under_way[flask.g.exchange.conference] -= 1

    def _admit(self) -> None:
        """Refuse who brings no good credentials, and who comes too often."""
        if not flask.request.path.startswith(self.API):
            return
        with self.lock:
            self.authorise()
            limit = self.rate_limit()
            if limit is None:
                return
            now = time.monotonic()
            while self._recent and self._recent[0] <= now - 1:
                self._recent.popleft()
            if len(self._recent) >= limit:
                told = self.retry_after_text(self._recent[0] + 1 - now)
                message = f"Too many requests: more than {limit} in a second."
                self.refuse(429, self.refusal(429, message), {"Retry-After": told} if told else {})
            self._recent.append(now)

    def _failed(self, error: HTTPException) -> Any:
        """The framework's own refusals, of unknown paths and methods, in the system's form."""
        if error.response is not None:
            return error.response
        status = error.code or 500
        return self.refusal(status, error.description or ""), status

    # The controls over HTTP.

    def _add_controls(self, app: flask.Flask) -> None:
        for path, view, methods in (
            ("/", self._list_calls, ["GET"]),
            ("/_sandbox/conferences", self._list_conferences, ["GET"]),
            ("/_sandbox/add", self._add, ["POST"]),
            ("/_sandbox/forget", self._forget, ["POST"]),
            ("/_sandbox/requests", self._list_requests, ["GET", "DELETE"]),
            ("/_sandbox/settings", self._change_settings, ["GET", "PATCH"]),
            ("/_sandbox/troubles", self._make_trouble, ["GET", "POST"]),
        ):
            app.add_url_rule(path, view_func=view, methods=methods)

    def _list_calls(self) -> Any:
        about = (type(self).__doc__ or "").partition("\n")[0]
        return flask.jsonify(
            {"stand_in": type(self).__name__, "about": about, "calls": self._calls}
        )

    def _list_conferences(self) -> Any:
        with self.lock:
            return flask.jsonify(self.conferences)

    def _add(self) -> Any:
        try:
            return flask.jsonify(self.add(**self.json_body())), 201
        except (TypeError, KeyError, ValueError) as error:
            self.refuse(400, {"message": f"That cannot be added: {error}"})

    def _forget(self) -> Any:
        conference_id = str(self.json_body().get("id"))
        with self.lock:
            if conference_id not in self.conferences:
                self.refuse(404, {"message": f"There is no conference {conference_id}."})
            self.forget(conference_id)
        return "", 204

    def _list_requests(self) -> Any:
        wanted = flask.request.args
        with self.lock:
            if flask.request.method == "DELETE":
                self.requests.clear()
                return "", 204
            return flask.jsonify(
                [
                    each.shown()
                    for each in self.requests
                    if wanted.get("method", each.method) == each.method
                    and wanted.get("conference", each.conference) == each.conference
                ]
            )

    def _change_settings(self) -> Any:
        changes = self.json_body() if flask.request.method == "PATCH" else {}
        with self.lock:
            holder = self.adjustable()
            unknown = sorted(changes.keys() - set(self.SETTINGS))
            if unknown:
                known = ", ".join(self.SETTINGS)
                self.refuse(
                    400, {"message": f"There is no setting {unknown[0]}; there are {known}."}
                )
            for name, value in changes.items():
                # Sets are lists in JSON.
                kind = type(getattr(holder, name))
                setattr(holder, name, set(value) if kind is set else value)
            return flask.jsonify(
                {
                    name: sorted(value) if isinstance(value, set) else value
                    for name in self.SETTINGS
                    for value in [getattr(holder, name)]
                }
            )

    def _make_trouble(self) -> Any:
        if flask.request.method == "GET":
            return flask.jsonify({name: each.says for name, each in TROUBLES.items()})
        wanted = self.json_body()
        name = str(wanted.pop("name", ""))
        if name not in TROUBLES:
            known = ", ".join(TROUBLES)
            self.refuse(400, {"message": f"There is no trouble {name}; there are {known}."})
        try:
            self.trouble(name, **wanted)
        except TypeError as error:
            self.refuse(400, {"message": f"That is no fault: {error}"})
        return "", 204
