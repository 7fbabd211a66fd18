"""Acme Meetings: the made-up system of docs/writing-a-provider.md, and the adapter of that page."""

from __future__ import annotations

import itertools
import re
import sys
import types
from pathlib import Path
from typing import Any

import flask

from sandbox.service import Json, Service
from tests.support.providers import SECRET, Bench

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "writing-a-provider.md"
MODULE = "acme_meetings"


class Acme(Service):
    """Meetings with a title, a time and a host; a creation names a key of the caller's."""

    API = "/api/"
    CONFERENCE = re.compile(r"/api/meetings/([^/]+)")

    def reset(self) -> None:
        super().reset()
        self.tokens = {"first"}
        self._keys: dict[str, str] = {}
        self._numbers = itertools.count(1)

    @property
    def secret(self) -> Json:
        return {"token": min(self.tokens)}

    def rotate(self) -> Json:
        self.tokens = {"rotated"}
        return self.secret

    def add(self, **members: Any) -> Json:
        """Make a meeting as an add-on would; return the conference data that Calendar shows."""
        with self.lock:
            meeting = self._make({"title": "A meeting", "host": "host@example.com", **members})
        return {"conferenceId": meeting["id"], "conferenceSolution": {"name": "Acme Meeting"}}

    def routes(self, app: flask.Flask) -> None:
        one = "/api/meetings/<meeting_id>"
        app.add_url_rule("/api/meetings", view_func=self._create, methods=["POST"])
        app.add_url_rule(one, view_func=self._one, methods=["GET", "PATCH", "DELETE"])

    def authorise(self) -> None:
        if flask.request.headers.get("Authorization", "").removeprefix("Bearer ") not in (
            self.tokens
        ):
            self.refuse(401, self.refusal(401, "The token is wrong."))

    def rate_limit(self) -> int | None:
        return None

    def retry_after_text(self, seconds: float) -> str:
        return str(int(seconds) + 1)

    def refusal(self, status: int, message: str) -> Any:  # noqa: ARG002 - one form for all
        return {"error": message}

    def not_found(self) -> tuple[int, Any]:
        return 404, self.refusal(404, "There is no such meeting.")

    def _create(self) -> Any:
        body = self.json_body()
        with self.lock:
            known = self._keys.get(body["key"])
            if known not in self.conferences:
                known = self._make({name: body[name] for name in body if name != "key"})["id"]
                self._keys[body["key"]] = known
            return flask.jsonify(self.conferences[known]), 201

    def _one(self, meeting_id: str) -> Any:
        with self.lock:
            if meeting_id not in self.conferences:
                self.refuse(*self.not_found())
            if flask.request.method == "DELETE":
                del self.conferences[meeting_id]
                return "", 204
            if flask.request.method == "PATCH":
                self.conferences[meeting_id].update(self.json_body())
            return flask.jsonify(self.conferences[meeting_id])

    def _make(self, members: Json) -> Json:
        known = f"m-{next(self._numbers)}"
        door = {"id": known, "door": f"https://meet.acme.example/{known}", "code": "1234"}
        self.conferences[known] = {**members, **door}
        return self.conferences[known]


def blocks(language: str) -> list[str]:
    """The blocks of code in one language that the page shows."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [str(each) for each in found]


def bench() -> Bench:
    """The page's adapter beside its system, for the suite of all providers.

    The stand-in is not started yet: `system.start()`.
    """
    module = types.ModuleType(MODULE)
    exec(compile(blocks("python")[0], str(PAGE), "exec"), vars(module))
    sys.modules[MODULE] = module
    system = Acme()
    entry = {
        "name": "acme",
        "type": f"{MODULE}:AcmeMeetings",
        "solutions": ["Acme Meeting"],
        "base_url": system.base_url,
        "secret": SECRET,
    }
    return Bench("acme", system, entry, b'{"token": "first"}')
