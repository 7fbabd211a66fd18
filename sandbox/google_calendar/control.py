"""The back door over HTTP, under /_sandbox/: what `BackDoor` offers in Python, in JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import flask

from sandbox.google_calendar.backdoor import BackDoor
from sandbox.google_calendar.errors import ApiError
from sandbox.servers import calls_of

Json = dict[str, Any]


def install(app: flask.Flask, calendar: BackDoor) -> None:
    """Add the endpoints that the package's docstring lists.

    Refusals have the API's shape, and a wrong word answers 400.
    """
    control = flask.Blueprint("sandbox", __name__, url_prefix="/_sandbox")
    _install_calendars(control, calendar)
    _install_events(control, calendar)
    _install_actions(control, calendar)
    _install_solutions(control, calendar)
    _install_forms(control, calendar)
    _install_records(control, calendar)
    _install_troubles(control, calendar)

    @control.errorhandler(TypeError)
    @control.errorhandler(ValueError)
    @control.errorhandler(KeyError)
    def refused(error: Exception) -> tuple[Json, int]:
        wrong = ApiError("badRequest", f"{type(error).__name__}: {error}")
        return wrong.body, wrong.status

    app.register_blueprint(control)
    about = "The Google Calendar API v3; /_sandbox/ is its back door."

    @app.get("/")
    def index() -> Json:
        return {"stand_in": "GoogleCalendar", "about": about, "calls": calls_of(app)}


def _install_calendars(control: flask.Blueprint, calendar: BackDoor) -> None:
    @control.get("/calendars")
    def list_calendars() -> Any:
        return calendar.calendars()

    @control.post("/calendars")
    def add_calendar() -> Any:
        body = _body()
        calendar.add_calendar(body.pop("id"), **body)
        return "", 204

    @control.delete("/calendars/<calendar_id>")
    def remove_calendar(calendar_id: str) -> Any:
        calendar.remove_calendar(calendar_id)
        return "", 204

    @control.post("/calendars/<calendar_id>/withdraw")
    def withdraw(calendar_id: str) -> Any:
        calendar.withdraw_access(calendar_id, **_body())
        return "", 204

    @control.post("/calendars/<calendar_id>/grant")
    def grant(calendar_id: str) -> Any:
        calendar.grant_access(calendar_id, **_body())
        return "", 204

    @control.post("/calendars/<calendar_id>/ring")
    def ring(calendar_id: str) -> Any:
        calendar.ring(calendar_id)
        return "", 204


def _install_events(control: flask.Blueprint, calendar: BackDoor) -> None:
    events = "/calendars/<calendar_id>/events"

    @control.get(events)
    def list_all(calendar_id: str) -> Any:
        return {"items": calendar.events(calendar_id)}

    @control.post(events)
    def seed(calendar_id: str) -> Any:
        return calendar.seed_event(calendar_id, _body(), raw=_flag("raw")), 201

    @control.post(f"{events}/bulk")
    def seed_many(calendar_id: str) -> Any:
        return {"count": calendar.seed_many(calendar_id, flask.request.get_json(force=True))}, 201

    @control.get(f"{events}/<event_id>")
    def get(calendar_id: str, event_id: str) -> Any:
        body = calendar.get(calendar_id, event_id)
        if body is None:
            raise ApiError("notFound")
        return body

    @control.patch(f"{events}/<event_id>")
    def edit(calendar_id: str, event_id: str) -> Any:
        return calendar.edit(calendar_id, event_id, _body(), raw=_flag("raw"))

    @control.delete(f"{events}/<event_id>")
    def cancel(calendar_id: str, event_id: str) -> Any:
        calendar.cancel(calendar_id, event_id)
        return "", 204


def _install_actions(control: flask.Blueprint, calendar: BackDoor) -> None:
    events = "/calendars/<calendar_id>/events"

    @control.post(f"{events}/<event_id>/restore")
    def restore(calendar_id: str, event_id: str) -> Any:
        return calendar.restore(calendar_id, event_id)

    @control.post(f"{events}/<event_id>/move")
    def move(calendar_id: str, event_id: str) -> Any:
        return calendar.move(calendar_id, event_id, _body()["destination"])

    @control.post(f"{events}/<event_id>/split")
    def split(calendar_id: str, event_id: str) -> Any:
        body = _body()
        return calendar.split(calendar_id, event_id, body["original_start"], body.get("patch")), 201

    @control.post(f"{events}/<event_id>/delete_following")
    def delete_following(calendar_id: str, event_id: str) -> Any:
        return calendar.delete_following(calendar_id, event_id, _body()["original_start"])


def _install_solutions(control: flask.Blueprint, calendar: BackDoor) -> None:
    @control.route("/solutions", methods=["GET", "POST"])
    def solutions() -> Any:
        if flask.request.method == "GET":
            return calendar.solutions()
        body = _body()
        calendar.offer_solution(body.pop("name"), str(body.pop("callback")), **body)
        return "", 204

    @control.delete("/solutions/<path:name>")
    def withdraw_solution(name: str) -> Any:
        calendar.withdraw_solution(name)
        return "", 204


def _install_forms(control: flask.Blueprint, calendar: BackDoor) -> None:
    @control.post("/calendars/<calendar_id>/forms")
    def open_form(calendar_id: str) -> Any:
        body = _body()
        return calendar.open_form(
            calendar_id, body.get("draft"), event_id=body.get("event_id")
        ), 201

    @control.get("/forms")
    def forms() -> Any:
        return calendar.forms()

    @control.patch("/forms/<form_id>")
    def fill_in(form_id: str) -> Any:
        return calendar.fill_in_form(form_id, _body())

    @control.post("/forms/<form_id>/pick")
    def pick(form_id: str) -> Any:
        body = _body()
        return calendar.pick_solution(form_id, body["solution"], user=body.get("user"))

    @control.delete("/forms/<form_id>/conference")
    def take_away(form_id: str) -> Any:
        return calendar.take_conference_away(form_id)

    @control.post("/forms/<form_id>/save")
    def save(form_id: str) -> Any:
        return calendar.save_form(form_id)

    @control.delete("/forms/<form_id>")
    def close(form_id: str) -> Any:
        calendar.close_form(form_id)
        return "", 204


def _install_troubles(control: flask.Blueprint, calendar: BackDoor) -> None:
    @control.post("/expire")
    def expire() -> Any:
        """Body: `calendar_id` (all calendars without), `tokens`: "sync" (default), "page" or
        "all"."""
        body = _body()
        which = body.get("tokens", "sync")
        if which not in ("sync", "page", "all"):
            raise ValueError(f"tokens: {which!r} is none of sync, page, all")
        if which in ("sync", "all"):
            calendar.expire_sync_tokens(body.get("calendar_id"))
        if which in ("page", "all"):
            calendar.expire_page_tokens(body.get("calendar_id"))
        return "", 204

    @control.post("/fail")
    def fail() -> Any:
        calendar.fail_next(**_body())
        return "", 204

    @control.route("/settings", methods=["GET", "PATCH"])
    def settings() -> Any:
        if flask.request.method == "PATCH":
            calendar.settings.update(_body())
        return calendar.settings.to_json()


def _install_records(control: flask.Blueprint, calendar: BackDoor) -> None:
    @control.route("/requests", methods=["GET", "DELETE"])
    def requests() -> Any:
        if flask.request.method == "DELETE":
            calendar.requests.clear()
            return "", 204
        return {"requests": [asdict(record) for record in calendar.requests]}

    @control.route("/pushes", methods=["GET", "DELETE"])
    def pushes() -> Any:
        if flask.request.method == "DELETE":
            calendar.pushes.clear()
            return "", 204
        return {"pushes": [asdict(record) for record in calendar.pushes]}

    @control.get("/channels")
    def channels() -> Any:
        return {"channels": calendar.channels(flask.request.args.get("calendar_id"))}

    @control.delete("/channels/<path:channel_id>")
    def close_channel(channel_id: str) -> Any:
        calendar.close_channel_silently(channel_id)
        return "", 204


def _body() -> Json:
    body = flask.request.get_json(force=True) if flask.request.get_data() else {}
    if not isinstance(body, dict):
        raise TypeError("the body must be a JSON object")
    return body


def _flag(name: str) -> bool:
    return flask.request.args.get(name) == "true"
