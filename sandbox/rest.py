"""The stand-in of a system that implements the `rest` contract, as a company may have one.

The contract is docs/rest-conferencing.openapi.yaml. The system answers it under `/api`.

    rest = Rest(token="secret")
    rest.start()
    rest.base_url                               # of the provider: http://127.0.0.1:…/api
    rest.add(title="made by an add-on")
    rest.trouble("unavailable", method="PUT", times=2)

Imitated: the whole contract, occurrences included. Idempotency keys, kept for ever. Several valid
tokens. Refusal of malformed requests. Limits, and an organizer in the answers, as `Settings` say.
Any fault (`sandbox.faults`).

Not imitated: conferences that run, hosts and licences, permissions within a token, limits on
recurrence, checks beyond types (the end may come before the start, a time zone may be unknown).

Its controls over HTTP are those of `sandbox.service` (`add` takes a conference's members, `id` may
be among them, and returns the conference), and

    GET    /_sandbox/tokens         the accepted tokens. PUT replaces them
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
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal, NoReturn

import flask

from sandbox.rest_members import CONFERENCE, EMPTY, OCCURRENCE, OWN, Check, problem_of
from sandbox.service import Json, Service

_ORIGINAL_START = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}Z)?")


@dataclass(slots=True, kw_only=True)
class Settings:
    """How the system behaves. May be changed at any time."""

    join_url: str = "https://meet.example.com/{id}"
    occurrences: bool = True
    """Whether single occurrences can be changed. If not, these calls are answered with
    `occurrence_refusal`."""
    occurrence_refusal: Literal[404, 405, 501] = 404
    gone_status: Literal[404, 410] = 404
    """What is said of a conference that existed once."""
    names_organizer: bool = True
    """Whether answers have the member `organizer`."""
    max_title: int | None = None
    """Characters. A longer title is answered with 422."""
    requests_per_second: int | None = None
    retry_after_form: Literal["seconds", "http-date", "iso"] = "seconds"


class Rest(Service):
    """A company's own conferencing system."""

    API = "/api/"
    CONFERENCE = re.compile(r"/api/conferences/([^/]+)")
    SETTINGS = tuple(each.name for each in fields(Settings))

    def __init__(self, port: int = 0, token: str = "sandbox-token", **settings: Any) -> None:
        """`settings` are those of `Settings`. Port 0 takes a free one."""
        super().__init__(port)
        self.reset(token, **settings)

    def reset(self, token: str = "sandbox-token", **settings: Any) -> None:
        """Forget everything, as if the system was made anew with these arguments."""
        super().reset()
        with self.lock:
            self.settings = Settings(**settings)
            self.tokens: set[str] = {token}
            """Accepted tokens. Change them to rotate."""
            self.created = 0
            """Conferences made by POST."""
            self.deleted: list[str] = []
            """Ids deleted by DELETE, in order."""
            self._once: set[str] = set()
            self._keys: dict[str, tuple[str, Any]] = {}

    @property
    def secret(self) -> Json:
        return {"token": min(self.tokens)}

    def adjustable(self) -> Any:
        return self.settings

    def add(self, id: str | None = None, **members: Any) -> Json:
        """Make a conference behind the API's back, as an add-on would. Returns it as stored.

        `occurrences` of a stored conference maps an original start to the occurrence, or to None
        if it is cancelled.
        """
        with self.lock:
            return copy.deepcopy(self._new(members, id))

    # The API.

    def routes(self, app: flask.Flask) -> None:
        one = "/api/conferences/<id>"
        occurrence = f"{one}/occurrences/<original_start>"
        for name, path, method, view in (
            ("create", "/api/conferences", "POST", self._create),
            ("read", one, "GET", self._read),
            ("replace", one, "PUT", self._replace),
            ("delete", one, "DELETE", self._delete),
            ("change occurrence", occurrence, "PUT", self._change_occurrence),
            ("cancel occurrence", occurrence, "DELETE", self._cancel_occurrence),
        ):
            app.add_url_rule(path, endpoint=name, view_func=view, methods=[method])

    def authorise(self) -> None:
        scheme, _, token = flask.request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or token not in self.tokens:
            message = "The bearer token is missing or wrong."
            self.refuse(401, self.refusal(401, message), {"WWW-Authenticate": "Bearer"})

    def rate_limit(self) -> int | None:
        return self.settings.requests_per_second

    def retry_after_text(self, seconds: float) -> str:
        # Whole seconds are all that two of the forms can say. They are rounded up, for a caller
        # who comes too early is refused again.
        moment = datetime.now(UTC) + timedelta(seconds=math.ceil(seconds) + 1)
        match self.settings.retry_after_form:
            case "seconds":
                return str(math.ceil(seconds))
            case "http-date":
                return format_datetime(moment.replace(microsecond=0), usegmt=True)
            case "iso":
                return moment.isoformat(timespec="seconds").replace("+00:00", "Z")

    def refusal(self, status: int, message: str) -> Json:  # noqa: ARG002 - one form for all
        return {"error": {"message": message}}

    def not_found(self) -> tuple[int, Any]:
        return self.settings.gone_status, self.refusal(404, "There is no such conference.")

    def _no(self, status: int, message: str) -> NoReturn:
        self.refuse(status, self.refusal(status, message))

    def _create(self) -> Any:
        key = flask.request.headers.get("Idempotency-Key", "")
        if not 1 <= len(key) <= 255:
            self._no(400, "The header Idempotency-Key is missing or too long.")
        members = self._checked(CONFERENCE)
        with self.lock:
            if key in self._keys:
                id, event = self._keys[key]
                if event != _event_of(members):
                    self._no(422, "This Idempotency-Key was used for another event.")
                if id in self.conferences:
                    replayed = {"Idempotent-Replayed": "true"}
                    return self._answer(self.conferences[id], 201, replayed)
            stored = self._new(members, None)
            self.created += 1
            self._keys[key] = (stored["id"], _event_of(members))
            return self._answer(stored, 201)

    def _read(self, id: str) -> Any:
        with self.lock:
            return self._answer(self._find(id))

    def _replace(self, id: str) -> Any:
        members = self._checked(CONFERENCE)
        with self.lock:
            old = self._find(id)
            kept = {name: old[name] for name in (*OWN, "occurrences")}
            self.conferences[id] = {**copy.deepcopy(EMPTY), **members, **kept}
            return self._answer(self.conferences[id])

    def _delete(self, id: str) -> Any:
        with self.lock:
            self._find(id)
            del self.conferences[id]
            self.deleted.append(id)
        return "", 204

    def _change_occurrence(self, id: str, original_start: str) -> Any:
        stored = self._series(id, original_start)
        members = self._checked(OCCURRENCE)
        with self.lock:
            stored["occurrences"][original_start] = members
            return self._answer(stored)

    def _cancel_occurrence(self, id: str, original_start: str) -> Any:
        stored = self._series(id, original_start)
        with self.lock:
            stored["occurrences"][original_start] = None
        return "", 204

    def _series(self, id: str, original_start: str) -> Json:
        if not self.settings.occurrences:
            self._no(self.settings.occurrence_refusal, "This system knows no single occurrences.")
        with self.lock:
            stored = self._find(id)
        if not _ORIGINAL_START.fullmatch(original_start):
            self._no(
                400,
                "original_start must be a time in UTC, such as 2026-05-04T08:00:00Z, or a date.",
            )
        return stored

    def _find(self, id: str) -> Json:
        if id not in self.conferences:
            status = self.settings.gone_status if id in self._once else 404
            self._no(status, f"There is no conference {id}.")
        return self.conferences[id]

    def _new(self, members: Json, id: str | None) -> Json:
        if id is None:
            names = (f"conf-{number}" for number in itertools.count(1))
            id = next(each for each in names if each not in self._once)
        passcode = f"{secrets.randbelow(10**6):06}"
        link = self.settings.join_url.format(id=id)
        video = {
            "type": "video",
            "uri": link,
            "label": link.removeprefix("https://"),
            "passcode": passcode,
        }
        phone = {
            "type": "phone",
            "uri": "tel:+1-555-0100",
            "label": "+1 555 0100",
            "pin": passcode,
            "region_code": "US",
        }
        stored = {**copy.deepcopy(EMPTY), "entry_points": [video, phone], **members, "id": id}
        stored.setdefault("occurrences", {})
        self.conferences[id] = stored
        self._once.add(id)
        return stored

    def _checked(self, members: dict[str, Check]) -> Json:
        """Return the request's body if it keeps to the contract. Unknown members pass."""
        body = flask.request.get_json(force=True, silent=True)
        problem = problem_of(body, members)
        if problem:
            self._no(400, problem)
        assert isinstance(body, dict)
        limit = self.settings.max_title
        if limit is not None and len(body["title"]) > limit:
            self._no(422, f"The title is longer than {limit} characters.")
        return {name: value for name, value in body.items() if name not in (*OWN, "occurrences")}

    def _answer(
        self, stored: Json, status: int = 200, headers: dict[str, str] | None = None
    ) -> flask.Response:
        hidden = {"occurrences"} if self.settings.names_organizer else {"occurrences", "organizer"}
        shown = {name: value for name, value in stored.items() if name not in hidden}
        return flask.Response(json.dumps(shown), status, headers, mimetype="application/json")

    # The controls over HTTP.

    def _add_controls(self, app: flask.Flask) -> None:
        super()._add_controls(app)
        app.add_url_rule("/_sandbox/tokens", view_func=self._change_tokens, methods=["GET", "PUT"])

    def _change_tokens(self) -> Any:
        if flask.request.method == "PUT":
            self.tokens = set(flask.request.get_json(force=True))
        return flask.jsonify(sorted(self.tokens))


def _event_of(members: Json) -> tuple[Any, Any] | None:
    """Which event a conference is made for. Its `ical_uid` comes when the event is saved."""
    event = members["event"]
    return (event["calendar_id"], event["event_id"]) if event else None


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.rest",
        description="A conferencing system that implements the rest contract.",
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--token", default="sandbox-token", help="default: sandbox-token")
    arguments = parser.parse_args()
    rest = Rest(port=arguments.port, token=arguments.token)
    rest.start()
    try:
        print(rest.base_url, flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        rest.stop()


if __name__ == "__main__":
    main()
