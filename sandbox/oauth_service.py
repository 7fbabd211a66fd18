"""A web service behind OAuth: what the stand-ins for Zoom, Webex and Teams have in common.

`OAuthService` knows tokens, a limit of requests a second, faults and a record of what came, and
nothing of meetings. The controls are there over HTTP too, without a token:

GET    /_sandbox/conferences       id → meeting, as stored POST   /_sandbox/add               a
meeting's members → the conference data that Calendar shows of it POST   /_sandbox/forget
{"id": …} GET    /_sandbox/requests          every request, oldest first; DELETE forgets them POST
/_sandbox/rotate            → what the provider's secret must hold from now on GET
/_sandbox/settings          PATCH changes some *      /_sandbox/faults            see sandbox.faults
"""

from __future__ import annotations

import argparse
import json
import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, NoReturn
from urllib.parse import parse_qs

import flask
from werkzeug.exceptions import HTTPException

from sandbox.faults import Faults
from sandbox.servers import HttpServer

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
    status: int | None = None
    answer: bytes = b""
    answer_headers: dict[str, str] = field(default_factory=dict)


class OAuthService(ABC):
    """Its state is in memory. Attributes without an underscore are for tests."""

    API: ClassVar[str]
    """The path under which requests need a token."""

    JSON: ClassVar[str] = "application/json"
    """The content type of its answers."""

    SETTINGS: ClassVar[tuple[str, ...]] = ("lifetime_seconds", "requests_per_second", "retry_after")
    """The attributes that `/_sandbox/settings` shows and changes."""

    def __init__(
        self, port: int = 0, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.faults = Faults()
        self.clock = clock
        self.lock = threading.RLock()
        self.reset()
        app = flask.Flask(type(self).__name__)
        # The order matters: a request is recorded before a fault strikes it, and struck before it
        # is looked at.
        app.before_request(self._begin)
        app.after_request(self._record)
        self.faults.install(app)
        app.before_request(self._admit)
        app.register_error_handler(HTTPException, self._failed)
        app.add_url_rule("/_sandbox/conferences", view_func=self._list_all)
        app.add_url_rule("/_sandbox/add", view_func=self._add, methods=["POST"])
        app.add_url_rule("/_sandbox/forget", view_func=self._forget, methods=["POST"])
        app.add_url_rule(
            "/_sandbox/requests", view_func=self._list_requests, methods=["GET", "DELETE"]
        )
        app.add_url_rule(
            "/_sandbox/rotate", view_func=lambda: flask.jsonify(self.rotate()), methods=["POST"]
        )
        app.add_url_rule(
            "/_sandbox/settings", view_func=self._change_settings, methods=["GET", "PATCH"]
        )
        self.routes(app)
        self._server = HttpServer(app, port=port)
        self.port = self._server.port

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def base_url(self) -> str:
        return self.url + self.API.rstrip("/")

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        """Let hanging requests go and end the server. Safe to repeat."""
        self.faults.clear()
        self._server.stop()

    def reset(self) -> None:
        """Forget everything, as if it was made anew; the server goes on."""
        self.faults.clear()
        self.meetings: dict[str, Json] = {}
        """By id, as stored."""
        self.requests: list[Exchange] = []
        self.grants: list[Exchange] = []
        """Requests for tokens; `requests` has all others."""
        self.lifetime_seconds = 3600
        """Of the tokens granted from now on."""
        self.requests_per_second: int | None = None
        self.retry_after: str | None = "1"
        """What the refusal of too many requests says; None: nothing."""
        self.client_id, self.client_secret = "client-1", "secret-1"
        self._tokens: dict[str, datetime] = {}
        self._recent: deque[float] = deque()

    def expire_tokens(self) -> None:
        """Let no token be good any more; new ones are granted."""
        with self.lock:
            self._tokens.clear()

    def writes(self) -> list[Exchange]:
        """The requests that were meant to change something, oldest first."""
        return [each for each in self.requests if each.method != "GET"]

    def rotate(self) -> Json:
        """Take the app another client secret; tokens of the former are void. Returns what the
        secret must hold now."""
        with self.lock:
            self.client_secret = f"secret-{secrets.token_hex(4)}"
            self.expire_tokens()
            return self.secret

    def forget(self, meeting_id: str) -> None:
        """Delete a meeting behind everyone's back."""
        with self.lock:
            del self.meetings[meeting_id]

    @property
    @abstractmethod
    def secret(self) -> Json:
        """What the provider's secret must hold."""

    @abstractmethod
    def entry(self, name: str, secret: str) -> Json:
        """The entry of SYNC_PROVIDERS that leads here."""

    @abstractmethod
    def add(self, **members: Any) -> Json:
        """Make a meeting as the add-on would, and return the conference data that Calendar shows
        of it."""

    @abstractmethod
    def routes(self, app: flask.Flask) -> None:
        """Add the service's own paths."""

    @abstractmethod
    def refusal(self, status: int, message: str) -> Any:
        """Return the body of an error that this class itself answers with."""

    def grant(self) -> str:
        token = secrets.token_urlsafe(16)
        with self.lock:
            self._tokens[token] = self.clock() + timedelta(seconds=self.lifetime_seconds)
        return token

    def refuse(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> NoReturn:
        text, mimetype = (
            (body, "text/html") if isinstance(body, str) else (json.dumps(body), "application/json")
        )
        flask.abort(flask.Response(text, status, dict(headers or {}), mimetype=mimetype))

    def _begin(self) -> None:
        request = flask.request
        if request.path.startswith("/_sandbox/"):
            return
        form = {
            name: values[0] for name, values in parse_qs(request.get_data(as_text=True)).items()
        }
        exchange = Exchange(
            method=request.method,
            path=request.path,
            query=dict(request.args),
            headers=dict(request.headers),
            body=request.get_json(force=True, silent=True) if not form or request.is_json else form,
            at=self.clock(),
        )
        with self.lock:
            (self.requests if request.path.startswith(self.API) else self.grants).append(exchange)
        flask.g.exchange, flask.g.system = exchange, self

    @staticmethod
    def _record(response: flask.Response) -> flask.Response:
        if "exchange" in flask.g:
            exchange: Exchange = flask.g.exchange
            if response.mimetype == "application/json":
                response.content_type = type(flask.g.system).JSON
            exchange.status, exchange.answer_headers = response.status_code, dict(response.headers)
            exchange.answer = response.get_data()
        return response

    def _admit(self) -> None:
        if not flask.request.path.startswith(self.API):
            return
        token = flask.request.headers.get("Authorization", "").removeprefix("Bearer ")
        with self.lock:
            if self._tokens.get(token, datetime.min.replace(tzinfo=UTC)) <= self.clock():
                self.refuse(401, self.refusal(401, "Invalid access token."))
            if self.requests_per_second is None:
                return
            now = time.monotonic()
            while self._recent and self._recent[0] <= now - 1:
                self._recent.popleft()
            if len(self._recent) >= self.requests_per_second:
                headers = {"Retry-After": self.retry_after} if self.retry_after else {}
                self.refuse(429, self.refusal(429, "Too many requests."), headers)
            self._recent.append(now)

    def _list_all(self) -> Any:
        with self.lock:
            return flask.jsonify(self.meetings)

    def _add(self) -> Any:
        return flask.jsonify(self.add(**self.json_body())), 201

    def _forget(self) -> Any:
        meeting_id = str(self.json_body().get("id"))
        with self.lock:
            if meeting_id not in self.meetings:
                self.refuse(404, {"message": f"There is no meeting {meeting_id}."})
            self.forget(meeting_id)
        return "", 204

    def _list_requests(self) -> Any:
        with self.lock:
            if flask.request.method == "DELETE":
                self.requests.clear()
                return "", 204
            return flask.jsonify(
                [
                    {
                        "method": each.method,
                        "path": each.path,
                        "query": each.query,
                        "body": each.body,
                        "at": each.at.isoformat(),
                        "status": each.status,
                        "answer": each.answer.decode("utf-8", "replace"),
                    }
                    for each in self.requests
                ]
            )

    def _change_settings(self) -> Any:
        changes = self.json_body() if flask.request.method == "PATCH" else {}
        with self.lock:
            for name, value in changes.items():
                if name not in self.SETTINGS:
                    self.refuse(
                        400,
                        {
                            "message": f"There is no setting {name}; there are {', '.join(self.SETTINGS)}."
                        },
                    )
                setattr(self, name, value)
            return flask.jsonify({name: getattr(self, name) for name in self.SETTINGS})

    def _failed(self, error: HTTPException) -> Any:
        if error.response is not None:
            return error.response
        status = error.code or 500
        return self.refusal(status, error.description or ""), status

    @staticmethod
    def json_body() -> Json:
        body = flask.request.get_json(force=True, silent=True)
        return body if isinstance(body, dict) else {}


def main(kind: type[OAuthService], name: str) -> None:
    """Serve one on its own until Ctrl-C; `name` is the module's and the provider's."""
    parser = argparse.ArgumentParser(
        prog=f"python -m sandbox.{name}", description=f"A stand-in for {kind.__name__}."
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    service = kind(port=parser.parse_args().port)
    service.start()
    print(
        f"In SYNC_PROVIDERS: {json.dumps(service.entry(name, f'projects/PROJECT/secrets/{name}'))}"
    )
    print(f"In that secret:    {json.dumps(service.secret)}")
    print(
        f"Controls:          {service.url}/_sandbox/conferences (all of them: sandbox/oauth_service.py)",
        flush=True,
    )
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        service.stop()
