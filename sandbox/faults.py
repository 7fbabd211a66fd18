"""Faults on request: the HTTP stand-ins fail, are slow, fall silent or stall when asked to.

A fault is a JSON object, given to `Faults.add` or to `POST /_sandbox/faults`. Every member is
optional:

    "method": "PUT"             which requests are struck, all methods if it is left out
    "path": "/conferences/conf-1"  a regular expression that is searched for in the path
    "query": "syncToken="       a regular expression that is searched for in the query string
    "times": 2                  how many requests, 1 if left out, null: until cleared
    "lasts_seconds": 5          the fault ends so long after it was armed, with "times": null
                                whatever number of requests it struck
    "skip": 3                   how many matching requests pass first
    "every": 100                of the matching requests each hundredth is struck, all others pass
    "delay_seconds": 0.5        the stand-in waits so long before it does anything
    "status": 429               this is answered instead, with "headers": {…} and a "body" (a text
                                or JSON). Without a status the request goes on after the delay
    "after": true               the request is carried out first, then the fault strikes. Without a
                                status the connection is cut: the caller does not know the outcome
    "hang": true                the stand-in never answers. The connection is cut at the release
    "freeze": true              the request is held until it is released and then goes on. With
                                "after" its effect has happened and its answer is held
    "truncate": true            the whole body is announced, half is sent, the connection is cut

Over HTTP:

    GET    /_sandbox/faults     the faults that are still armed
    DELETE /_sandbox/faults     disarm all of them, and let go of the requests that are held
    GET    /_sandbox/held       the requests that hang or are frozen now
    POST   /_sandbox/release    {"path": …} let go of those whose path matches, all without a path
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
    """One armed fault. `times` counts down as it strikes."""

    method: str | None = None
    path: str = ""
    query: str = ""
    times: int | None = 1
    lasts_seconds: float | None = None
    """The fault ends so long after it was armed, however often it struck. None: it does not age."""
    armed_at: float = field(default_factory=time.monotonic)
    skip: int = 0
    every: int = 1
    met: int = 0
    """How many matching requests came after those that were skipped."""
    delay_seconds: float = 0.0
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = ""
    after: bool = False
    hang: bool = False
    freeze: bool = False
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """One request that waits for its release, or for the end of its delay."""

    method: str
    path: str
    seconds: float | None = None
    """How long the delay is. None: until the release."""
    released: threading.Event = field(default_factory=threading.Event)


class Faults:
    """The faults armed on one stand-in.

    `install` puts them, and their endpoints, in front of a Flask application.
    """

    def __init__(self) -> None:
        self._armed: list[Fault] = []
        self._held: list[Held] = []
        self._changed = threading.Condition()
        # How often everything was cleared: a request that was struck before holds no more.
        self._cleared = 0

    def add(self, **fault: Any) -> None:
        """Arm one fault, whose words the module's docstring lists. Earlier faults strike first."""
        with self._changed:
            self._armed.append(Fault(**fault))

    def clear(self) -> None:
        """Disarm all faults and let go of every request that is held. Safe to repeat."""
        with self._changed:
            self._armed.clear()
            self._cleared += 1
        self.release()

    def release(self, path: str = "") -> int:
        """Let go of the held requests whose path the expression matches. Return how many."""
        with self._changed:
            let_go = [each for each in self._held if re.search(path, each.path)]
            for each in let_go:
                each.released.set()
            return len(let_go)

    def held(self) -> list[Held]:
        """The requests that hang or are frozen now, the oldest first, those delayed left out."""
        with self._changed:
            return [each for each in self._held if each.seconds is None]

    def wait_held(self, number: int = 1, seconds: float = 60) -> list[Held]:
        """Wait until so many requests are held, and return them.

        Raises TimeoutError.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.held()) >= number, seconds):
                raise TimeoutError(f"{len(self.held())} of {number} requests are held")
            return self.held()

    def take(self, method: str, path: str, query: str = "") -> Fault | None:
        """Return the first fault that strikes this request, and count it."""
        with self._changed:
            for fault in self._armed:
                if not fault.matches(method, path, query):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.met += 1
                if fault.met % fault.every:
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
        app.add_url_rule("/_sandbox/held", view_func=self._show_held, methods=["GET"])
        app.add_url_rule("/_sandbox/release", view_func=self._release, methods=["POST"])

    def _endpoint(self) -> Any:
        match flask.request.method:
            case "POST":
                wanted = flask.request.get_json(force=True)
                try:
                    faults = [Fault(**each) for each in _listed(wanted)]
                except TypeError as error:
                    return {"message": f"That is no fault: {error}"}, 400
                with self._changed:
                    self._armed += faults
                return "", 204
            case "DELETE":
                self.clear()
                return "", 204
            case _:
                with self._changed:
                    return [
                        {name: getattr(fault, name) for name in Fault.__slots__}
                        for fault in self._armed
                    ]

    def _show_held(self) -> Any:
        return [{"method": each.method, "path": each.path} for each in self.held()]

    def _release(self) -> Any:
        wanted = flask.request.get_json(force=True, silent=True) or {}
        return {"released": self.release(str(wanted.get("path", "")))}

    def _before(self) -> flask.Response | None:
        request = flask.request
        if request.path.startswith("/_sandbox/"):
            return None
        with self._changed:
            cleared = self._cleared
        fault = self.take(request.method, request.path, request.query_string.decode())
        if fault is None:
            return None
        if fault.delay_seconds:
            self._hold(cleared, fault.delay_seconds)
        if fault.hang:
            self._hold(cleared)
            return _cut_off(b"")
        if fault.freeze and not fault.after:
            self._hold(cleared)
        if fault.after or fault.truncate:
            flask.g.fault, flask.g.cleared = fault, cleared
            return None
        return fault.response() if fault.status is not None else None

    def _after(self, response: flask.Response) -> flask.Response:
        fault: Fault | None = flask.g.pop("fault", None)
        if fault is None:
            return response
        if fault.after and fault.freeze:
            self._hold(flask.g.cleared)
            if fault.status is None and not fault.truncate:
                return response
        if fault.truncate:
            return _cut_off(
                response.get_data(), status=response.status_code, mimetype=response.mimetype
            )
        return fault.response() if fault.status is not None else _cut_off(b"")

    def _hold(self, cleared: int, seconds: float | None = None) -> None:
        """Wait for the release, or so many seconds at most."""
        held = Held(method=flask.request.method, path=flask.request.path, seconds=seconds)
        with self._changed:
            if self._cleared != cleared:
                return
            self._held.append(held)
            self._changed.notify_all()
        held.released.wait(seconds)
        with self._changed:
            self._held.remove(held)
            self._changed.notify_all()


def _listed(wanted: Any) -> list[Any]:
    return wanted if isinstance(wanted, list) else [wanted]


def _cut_off(
    body: bytes, *, status: int = 200, mimetype: str | None = "application/json"
) -> flask.Response:
    """An answer that ends too early.

    The server closes the connection because fewer bytes came than were announced.
    """
    half = body[: len(body) // 2]
    response = flask.Response(iter([half]), status=status, mimetype=mimetype)
    response.headers["Content-Length"] = str(len(body) + 1)
    return response
