"""Faults on request for the HTTP stand-ins: errors, delays, silence, half an answer, an answer lost
after the effect.

A fault is a JSON object, given to `Faults.add` or to `POST /_sandbox/faults`; every member is
optional:

"method": "PUT"                 which requests; all methods if it is left out "path":
"/conferences/c-1"      … a regular expression that is searched for in the path "query":
"syncToken="           … and one for the query string "times": 2                      how many
requests, 1 if left out; null: until cleared "skip": 3                       let so many matching
requests pass first "delay_seconds": 0.5            wait first "status": 429
answer this instead, with "headers": {…} and a "body" (a text, or JSON); without a status nothing
but the delay happens "after": true                   carry the request out, then answer that: the
outcome is unknown to the caller "hang": true                    never answer, until the server
stops or the faults are cleared "truncate": true                announce the whole body, send half
of it, and cut the connection

`GET /_sandbox/faults` lists what is still armed; `DELETE /_sandbox/faults` clears it and lets
hanging requests go.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import flask


@dataclass(slots=True, kw_only=True)
class Fault:
    """One armed fault; `times` counts down as it strikes."""

    method: str | None = None
    path: str = ""
    query: str = ""
    times: int | None = 1
    lasts_seconds: float | None = None
    """The fault ends so long after it was armed, however often it struck. None: it does not age."""
    armed_at: float = field(default_factory=time.monotonic)
    skip: int = 0
    delay_seconds: float = 0.0
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = ""
    after: bool = False
    hang: bool = False
    truncate: bool = False

    def matches(self, method: str, path: str, query: str) -> bool:
        return (
            not self.is_over()
            and (self.method is None or self.method.upper() == method)
            and re.search(self.path, path) is not None
            and re.search(self.query, query) is not None
        )

    def is_over(self) -> bool:
        age = time.monotonic() - self.armed_at
        return self.lasts_seconds is not None and age > self.lasts_seconds

    def response(self) -> flask.Response:
        if isinstance(self.body, str):
            response = flask.Response(self.body, status=self.status)
        else:
            response = flask.Response(
                flask.json.dumps(self.body), status=self.status, mimetype="application/json"
            )
        response.headers.update(self.headers)
        return response


class Faults:
    """The faults armed on one stand-in; `install` puts them, and their endpoints, in front of a
    Flask application."""

    def __init__(self) -> None:
        self._armed: list[Fault] = []
        self._lock = threading.Lock()
        self._released = threading.Event()

    def add(self, **fault: Any) -> None:
        """Arm one fault; the words are those of the module's docstring. Earlier faults strike
        first."""
        with self._lock:
            self._armed.append(Fault(**fault))

    def clear(self) -> None:
        """Disarm everything and let the requests that hang end (their connections are cut)."""
        with self._lock:
            self._armed.clear()
            self._released.set()
            self._released = threading.Event()

    def take(self, method: str, path: str, query: str = "") -> Fault | None:
        """Return the first fault that strikes this request, and count it."""
        with self._lock:
            for fault in self._armed:
                if not fault.matches(method, path, query):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._armed.remove(fault)
                return fault
        return None

    def install(self, app: flask.Flask) -> None:
        app.before_request(self._before)
        app.after_request(self._after)
        app.add_url_rule(
            "/_sandbox/faults", view_func=self._endpoint, methods=["GET", "POST", "DELETE"]
        )

    def _endpoint(self) -> Any:
        match flask.request.method:
            case "POST":
                wanted = flask.request.get_json(force=True)
                for fault in wanted if isinstance(wanted, list) else [wanted]:
                    self.add(**fault)
                return "", 204
            case "DELETE":
                self.clear()
                return "", 204
            case _:
                with self._lock:
                    return [
                        {name: getattr(fault, name) for name in Fault.__slots__}
                        for fault in self._armed
                    ]

    def _before(self) -> flask.Response | None:
        if flask.request.path.startswith("/_sandbox/"):
            return None
        fault = self.take(
            flask.request.method, flask.request.path, flask.request.query_string.decode()
        )
        if fault is None:
            return None
        released = self._released
        if fault.delay_seconds:
            released.wait(fault.delay_seconds)
        if fault.hang:
            released.wait()
            return _cut_off(b"")
        if fault.after or fault.truncate:
            flask.g.fault = fault
            return None
        return fault.response() if fault.status is not None else None

    @staticmethod
    def _after(response: flask.Response) -> flask.Response:
        fault: Fault | None = flask.g.pop("fault", None)
        if fault is None:
            return response
        if fault.truncate:
            return _cut_off(
                response.get_data(), status=response.status_code, mimetype=response.mimetype
            )
        return fault.response() if fault.status is not None else _cut_off(b"")


def _cut_off(
    body: bytes, *, status: int = 200, mimetype: str | None = "application/json"
) -> flask.Response:
    """An answer that ends too early: the server closes the connection because fewer bytes came
    than were announced."""
    half = body[: len(body) // 2]
    response = flask.Response(iter([half]), status=status, mimetype=mimetype)
    response.headers["Content-Length"] = str(len(body) + 1)
    return response
