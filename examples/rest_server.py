"""A skeleton of a conferencing system whose conferences follow Google Calendar.

It answers the whole contract of docs/rest-conferencing.openapi.yaml. Copy the file, and put your
own system in the place of `Rooms`.

    pip install flask
    MEET_TOKENS=secret flask --app rest_server run --port 8090

Whether it keeps the contract, before and after you change it, says in the clone

    make contract BASE_URL=http://127.0.0.1:8090/api TOKEN=secret

and the entry in SYNC_PROVIDERS is

    {"name": "my-web", "type": "rest", "solutions": ["My Web Conference"],
     "uris": ["https://meet.example.com/{id}"], "base_url": "https://meet.example.com/api",
     "secret": "projects/P/secrets/my-web"}
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import threading
from datetime import date, datetime
from typing import Any, NoReturn

import flask
from werkzeug.exceptions import HTTPException

Json = dict[str, Any]

JOIN_URL = "https://meet.example.com/{id}"
"""The id must be the last part of the join link: by that an event's conference is found."""

# What a request may set, and what is taken where a request leaves a member out.
MEMBERS: Json = {
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
}
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_ORIGINAL_START = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}Z)?")


class Rooms:
    """The conferences, in memory. Put your own system here. Safe for threads.

    A deleted conference is forgotten, and its id is never given again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rooms: dict[str, Json] = {}
        self._keys: dict[str, str] = {}

    def create(self, key: str, members: Json) -> Json:
        """Make a conference, once for each idempotency key.

        A repetition returns the conference that the key made, as it is now. If that was deleted,
        a new one is made. Raises ValueError for a key that came with another event.
        """
        with self._lock:
            known = self._rooms.get(self._keys.get(key, ""))
            if known is not None:
                if known["made_for"] != _event_of(members):
                    raise ValueError("This Idempotency-Key was used for another event.")
                return known
            id = secrets.token_urlsafe(9)
            self._keys[key] = id
            self._rooms[id] = {
                **members,
                "id": id,
                "entry_points": [{"type": "video", "uri": JOIN_URL.format(id=id)}],
                "notes": None,
                "made_for": _event_of(members),
                "occurrences": {},
            }
            return self._rooms[id]

    def get(self, id: str) -> Json:
        """Raises KeyError for a conference that is not there."""
        with self._lock:
            return self._rooms[id]

    def replace(self, id: str, members: Json) -> Json:
        """Bring a conference into a state. Its id and its ways in stay. Raises KeyError."""
        with self._lock:
            self._rooms[id] = {**self._rooms[id], **members}
            return self._rooms[id]

    def delete(self, id: str) -> None:
        """Delete a conference with all its occurrences. Raises KeyError."""
        with self._lock:
            del self._rooms[id]

    def set_occurrence(self, id: str, original_start: str, members: Json | None) -> Json:
        """Change one occurrence of a series, or cancel it with None. Raises KeyError."""
        with self._lock:
            self._rooms[id]["occurrences"][original_start] = members
            return self._rooms[id]


def create_app(tokens: frozenset[str] | None = None) -> flask.Flask:
    """Return the WSGI application.

    `tokens`: those that are let in, by default the words of MEET_TOKENS. Have two while you rotate.
    """
    known = tokens or frozenset(os.environ.get("MEET_TOKENS", "").split())
    if not known:
        raise SystemExit("name the token that is let in: MEET_TOKENS=secret")
    app = flask.Flask("rest_server")
    rooms = Rooms()

    @app.before_request
    def authorise() -> None:
        scheme, _, token = flask.request.headers.get("Authorization", "").partition(" ")
        good = [hmac.compare_digest(token.encode(), each.encode()) for each in known]
        if scheme.lower() != "bearer" or not any(good):
            _refuse(401, "The bearer token is missing or wrong.")

    @app.errorhandler(HTTPException)
    def error(problem: HTTPException) -> Any:
        return {"error": {"message": problem.description or problem.name}}, problem.code or 500

    @app.errorhandler(KeyError)
    def missing(_problem: KeyError) -> Any:
        # The body is needed: without it, a 404 is taken for a proxy's.
        return {"error": {"message": "There is no such conference."}}, 404

    @app.post("/api/conferences")
    def create() -> Any:
        key = flask.request.headers.get("Idempotency-Key", "")
        if not 1 <= len(key) <= 255:
            _refuse(400, "The header Idempotency-Key is missing or too long.")
        try:
            return _shown(rooms.create(key, _members())), 201
        except ValueError as problem:
            _refuse(422, str(problem))

    @app.get("/api/conferences/<id>")
    def read(id: str) -> Any:
        return _shown(rooms.get(id))

    @app.put("/api/conferences/<id>")
    def replace(id: str) -> Any:
        return _shown(rooms.replace(id, _members()))

    @app.delete("/api/conferences/<id>")
    def delete(id: str) -> Any:
        rooms.delete(id)
        return "", 204

    # A system without single occurrences leaves these two out, and Flask answers 404.

    @app.put("/api/conferences/<id>/occurrences/<original_start>")
    def change_occurrence(id: str, original_start: str) -> Any:
        rooms.get(id)
        _check_original_start(original_start)
        return _shown(rooms.set_occurrence(id, original_start, _members(occurrence=True)))

    @app.delete("/api/conferences/<id>/occurrences/<original_start>")
    def cancel_occurrence(id: str, original_start: str) -> Any:
        rooms.get(id)
        _check_original_start(original_start)
        rooms.set_occurrence(id, original_start, None)
        return "", 204

    return app


def _shown(room: Json) -> Json:
    """What an answer says of a conference."""
    return {name: room[name] for name in ("id", *MEMBERS, "entry_points", "notes")}


def _members(*, occurrence: bool = False) -> Json:
    """Return the request's members, those that are missing as empty. Unknown ones are ignored."""
    body = flask.request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        _refuse(400, "The body must be a JSON object.")
    if not isinstance(body.get("title"), str):
        _refuse(400, "The member title must be a text.")
    for name in ("start", "end"):
        if not _is_moment(body.get(name), all_day=body.get("all_day") is True):
            _refuse(400, f"The member {name} must be a time by RFC 3339, or a date if all_day.")
    if not occurrence and not _is_event(body.get("event")):
        _refuse(400, "The member event must have calendar_id and event_id.")
    return {name: body.get(name, empty) for name, empty in MEMBERS.items()}


def _event_of(members: Json) -> Any:
    """Which event a conference is made for. Its `ical_uid` comes when the event is saved."""
    event = members["event"]
    return event and (event["calendar_id"], event["event_id"])


def _is_moment(value: Any, *, all_day: bool) -> bool:
    pattern, parse = (_DAY, date.fromisoformat) if all_day else (_TIME, datetime.fromisoformat)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        return False
    try:
        parse(value)
    except ValueError:
        return False
    return True


def _is_event(value: Any) -> bool:
    return isinstance(value, dict) and all(value.get(name) for name in ("calendar_id", "event_id"))


def _check_original_start(text: str) -> None:
    if not _ORIGINAL_START.fullmatch(text):
        _refuse(400, "original_start must be a time in UTC, or a date.")


def _refuse(status: int, message: str) -> NoReturn:
    flask.abort(status, description=message)
