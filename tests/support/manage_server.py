"""A small `manage_calendars` of the interface's words alone, for odd answers and many calendars.

Imitated: starting, listing by pages, stopping, replaying, failures, status and doctor, in the
shapes of docs/api.md. Not imitated: anything behind them. A sync ends at once.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from typing import Any, Self

import flask

from ccsync import __version__
from sandbox.servers import HttpServer

Json = dict[str, Any]

PAGE = 100
NOW = "2026-11-26T09:15:02Z"


class ManageServer:
    """Serves until the `with` block ends. Attributes are for tests to look at and to change."""

    def __init__(self) -> None:
        self.reset()
        self._lock = threading.Lock()
        app = flask.Flask("manage_calendars")
        app.before_request(self._begin)
        for method, path, view in (
            ("GET", "/", self._index),
            ("GET", "/status", self._status),
            ("GET", "/doctor", self._doctor),
            ("GET", "/calendars", self._list),
            ("GET", "/calendars/<id>", self._get),
            ("PUT", "/calendars/<id>", self._start),
            ("DELETE", "/calendars/<id>", self._stop),
            ("POST", "/calendars/<id>/sync", self._sync),
            ("GET", "/failures", self._list_failures),
            ("POST", "/failures/<id>/retry", self._retry),
            ("DELETE", "/failures/<id>", self._dismiss),
        ):
            app.add_url_rule(path, endpoint=f"{method} {path}", view_func=view, methods=[method])
        self._server = HttpServer(app)

    def reset(self) -> None:
        """Forget everything. The server goes on."""
        self.calendars: dict[str, Json] = {}
        self.failures: dict[str, Json] = {}
        self.refused: dict[str, str] = {}
        """By calendar id, why it cannot be started."""
        self.fails_once: set[str] = set()
        """Calendar ids whose next start answers 502."""
        self.answers: list[tuple[int, str, str]] = []
        """Status, content type and body of the next answers to anything, in this order."""
        self.checks: list[Json] | None = []
        """What GET /doctor answers. None: there is no such call, nor GET /status."""
        self.version: str | None = __version__
        """The release that GET /doctor names."""
        self.page_size = PAGE
        self.requests: list[tuple[str, str]] = []
        self.tokens: set[str | None] = set()
        """The Authorization headers that were seen."""
        self.syncs = 0

    @property
    def url(self) -> str:
        return self._server.url

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.stop()

    def count(self, method: str, pattern: str = ".*") -> int:
        """How many requests there were."""
        found = [path for each, path in self.requests if each == method]
        return sum(re.fullmatch(pattern, path) is not None for path in found)

    def add(self, calendar_id: str, status: str = "ok", **members: Any) -> Json:
        """Add a calendar as it is after a start."""
        self.calendars[calendar_id] = {
            "calendar_id": calendar_id,
            "access": {},
            "status": status,
            "reason": None,
            "channel": {"id": "c", "resource_id": "r", "expires": "2126-12-03T09:12:44Z"},
            "last_sync": {
                **{"at": NOW, "kind": "full", "changes": 0},
                **{"created": 0, "updated": 0, "deleted": 0, "failed": 0},
            },
            "failing": None,
            **members,
        }
        return self.calendars[calendar_id]

    def fail(self, number: int, reason: str, state: str = "parked") -> Json:
        """Add a failure."""
        failure_id = f"{number:032x}"
        self.failures[failure_id] = {
            **{"id": failure_id, "calendar_id": "ann@example.com", "event_id": f"e{number}"},
            **{"provider": "my-web", "conference_id": f"c-{number}", "action": "update"},
            **{"reason": reason, "attempts": 10, "state": state, "first": NOW, "next_try": None},
        }
        return self.failures[failure_id]

    # What is answered.

    def _begin(self) -> Any:
        with self._lock:
            self.requests.append((flask.request.method, flask.request.path))
            self.tokens.add(flask.request.headers.get("Authorization"))
            if self.answers:
                status, kind, body = self.answers.pop(0)
                return flask.Response(body, status, content_type=kind)
        return None

    @staticmethod
    def _index() -> Any:
        return {"calls": []}

    def _status(self) -> Any:
        if self.checks is None:
            return _nothing_here()
        statuses = Counter(each["status"] for each in self.calendars.values())
        states = Counter(each["state"] for each in self.failures.values())
        failing = sum(each["failing"] is not None for each in self.calendars.values())
        named = {name: statuses[name] for name in ("ok", "polled", "starting", "broken")}
        listed = {name: states[name] for name in ("parked", "retrying", "left", "approximate")}
        return {"calendars": {**named, "failing": failing}, "failures": listed}

    def _doctor(self) -> Any:
        if self.checks is None:
            return _nothing_here()
        told = {} if self.version is None else {"version": self.version}
        return {**told, "checks": self.checks}

    def _list(self) -> Any:
        wanted = flask.request.args.get("status")
        found = [c for c in self.calendars.values() if wanted in (None, c["status"])]
        return self._page("calendars", found)

    def _get(self, id: str) -> Any:
        if id not in self.calendars:
            return _error(404, "this calendar is not started; start it with PUT /calendars/{id}")
        return self.calendars[id]

    def _start(self, id: str) -> Any:
        if id in self.refused:
            return _error(403, self.refused[id])
        with self._lock:
            if id in self.fails_once:
                self.fails_once.remove(id)
                return _error(502, "Calendar does not open a channel")
        created = id not in self.calendars
        return self.add(id, access=flask.request.get_json()), 201 if created else 200

    def _stop(self, id: str) -> Any:
        self.calendars.pop(id, None)
        return "", 204

    def _sync(self, id: str) -> Any:
        if id not in self.calendars:
            return self._get(id)
        with self._lock:
            self.syncs += 1
            at = f"2026-11-26T10:00:00.{self.syncs:06d}Z"
        self.calendars[id]["last_sync"] = {**self.calendars[id]["last_sync"], "at": at}
        return {"calendar_id": id}, 202

    def _page(self, name: str, items: list[Json]) -> Json:
        begin = int(flask.request.args.get("page_token") or "0")
        end = begin + self.page_size
        return {
            name: items[begin:end],
            "next_page_token": str(end) if end < len(items) else None,
        }

    def _list_failures(self) -> Any:
        state = flask.request.args.get("state", "parked")
        calendar_id = flask.request.args.get("calendar_id")
        found = [
            each
            for each in self.failures.values()
            if state in ("all", each["state"]) and calendar_id in (None, each["calendar_id"])
        ]
        return self._page("failures", found)

    def _retry(self, id: str) -> Any:
        if id not in self.failures:
            return _error(404, "there is no such failure")
        self.failures[id]["state"] = "retrying"
        return self.failures[id], 202

    def _dismiss(self, id: str) -> Any:
        if self.failures.pop(id, None) is None:
            return _error(404, "there is no such failure")
        return "", 204


def _error(status: int, message: str) -> Any:
    return {"error": {"code": status, "message": message}}, status


def _nothing_here() -> Any:
    return _error(404, "there is nothing here; GET / lists the calls")
