"""The API's own paths, under /calendar/v3/."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import flask
from werkzeug.exceptions import HTTPException

from sandbox.google_calendar import (
    calendar_list,
    changes,
    client,
    discovery,
    fixed,
    freebusy,
    partial,
)
from sandbox.google_calendar.channels import Channels
from sandbox.google_calendar.client import WriteOptions
from sandbox.google_calendar.errors import ApiError, classic_body
from sandbox.google_calendar.listing import Listings
from sandbox.google_calendar.parameters import Parameters
from sandbox.google_calendar.presentation import View
from sandbox.google_calendar.queries import ListQuery
from sandbox.google_calendar.state import Calendar, Event, Store

Json = dict[str, Any]

BASE = "/calendar/v3"
# How long a greeting that comes "before" the answer of watch may hold it up.
_GREETING_SECONDS = 5.0
# Enough for the answer to have left, for one that comes "after".
_AFTER_SECONDS = 0.02


class Api:
    """Turns requests into operations on the store, one at a time, and their outcome into
    answers."""

    def __init__(self, store: Store, listings: Listings, channels: Channels) -> None:
        self._store = store
        self._listings = listings
        self._channels = channels

    def install(self, app: flask.Flask) -> None:
        for method_id, operation in self._operations().items():
            self._route(app, method_id, operation)
        app.register_error_handler(ApiError, _refused)
        app.register_error_handler(HTTPException, _no_such_method)

    def _operations(self) -> dict[str, Callable[..., Any]]:
        """Return what carries out each method, by its name in the discovery document."""
        return {
            "calendars.get": self.get_calendar,
            "calendarList.list": self.list_calendars,
            "calendarList.get": self.get_list_entry,
            "events.list": self.list_events,
            "events.insert": self.insert_event,
            "events.import": self.import_event,
            "events.watch": self.watch_events,
            "events.get": self.get_event,
            "events.update": self.update_event,
            "events.patch": self.patch_event,
            "events.delete": self.delete_event,
            "events.instances": self.list_instances,
            "events.move": self.move_event,
            "channels.stop": self.stop_channel,
            "colors.get": self.get_colours,
            "settings.list": self.list_settings,
            "settings.get": self.get_setting,
            "freebusy.query": self.query_free_busy,
        }

    def get_calendar(self, _parameters: Parameters, calendar_id: str) -> Json:
        return calendar_list.calendar_resource(self._store, self._store.calendar(calendar_id))

    def list_calendars(self, parameters: Parameters) -> Json:
        return calendar_list.page(self._store, parameters)

    def get_list_entry(self, _parameters: Parameters, calendar_id: str) -> Json:
        return calendar_list.entry(self._store, self._store.calendar(calendar_id))

    def list_events(self, parameters: Parameters, calendar_id: str) -> Json:
        calendar = self._store.calendar(calendar_id)
        page = self._listings.events(calendar, parameters.list_query())
        return _events(calendar, page.items, page.next_page_token, page.next_sync_token)

    def list_instances(self, parameters: Parameters, calendar_id: str, event_id: str) -> Json:
        calendar = self._store.calendar(calendar_id)
        series = client.existing(self._store, calendar, event_id)
        if not series.is_series:
            raise ApiError("invalid", "The event is not a recurring one.")
        page = self._listings.instances(
            calendar, series, parameters.list_query(), parameters.text("originalStart")
        )
        return _events(calendar, page.items, page.next_page_token, page.next_sync_token)

    def get_event(self, parameters: Parameters, calendar_id: str, event_id: str) -> Any:
        calendar = self._store.calendar(calendar_id)
        event = client.existing(self._store, calendar, event_id)
        if flask.request.headers.get("If-None-Match") == event.etag:
            return flask.Response(status=304, headers={"ETag": event.etag})
        return self._event(parameters, calendar, event)

    def insert_event(self, parameters: Parameters, calendar_id: str) -> Any:
        calendar = self._store.writable(calendar_id)
        event = client.insert(self._store, calendar, _body(), _options(parameters))
        return self._event(parameters, calendar, event)

    def import_event(self, parameters: Parameters, calendar_id: str) -> Any:
        calendar = self._store.writable(calendar_id)
        event = client.import_copy(self._store, calendar, _body(), _options(parameters))
        return self._event(parameters, calendar, event)

    def update_event(self, parameters: Parameters, calendar_id: str, event_id: str) -> Any:
        calendar = self._store.writable(calendar_id)
        event = client.update(self._store, calendar, event_id, _body(), _options(parameters))
        return self._event(parameters, calendar, event)

    def patch_event(self, parameters: Parameters, calendar_id: str, event_id: str) -> Any:
        calendar = self._store.writable(calendar_id)
        event = client.patch(self._store, calendar, event_id, _body(), _options(parameters))
        return self._event(parameters, calendar, event)

    def delete_event(self, parameters: Parameters, calendar_id: str, event_id: str) -> Any:
        client.delete(
            self._store, self._store.writable(calendar_id), event_id, _options(parameters)
        )
        return flask.Response(status=204)

    def move_event(self, parameters: Parameters, calendar_id: str, event_id: str) -> Any:
        source = self._store.writable(calendar_id)
        wanted = parameters.text("destination")
        if wanted is None:
            raise ApiError("required", "Required parameter: destination", location="destination")
        destination = self._store.writable(wanted)
        return self._event(
            parameters, destination, client.move(self._store, source, event_id, destination)
        )

    def watch_events(self, parameters: Parameters, calendar_id: str) -> Any:
        calendar = self._store.calendar(calendar_id)
        query = parameters.list_query()
        channel = self._channels.watch(calendar, _body(), query.event_types)
        if self._store.settings.greeting == "before":
            flask.g.wait_for = self._channels.greet(channel)
        else:
            flask.g.after_answer = lambda: self._channels.greet(
                channel, delay_seconds=_AFTER_SECONDS
            )
        return channel.to_api(as_number=self._store.settings.expiration_form == "number")

    def stop_channel(self, _parameters: Parameters) -> Any:
        self._channels.stop(_body())
        return flask.Response(status=204)

    def _event(self, parameters: Parameters, calendar: Calendar, event: Event) -> Json:
        query = ListQuery(
            time_zone=parameters.text("timeZone"),
            max_attendees=parameters.number("maxAttendees", None),
            show_deleted=True,
        )
        flask.g.etag = event.etag
        return View(self._store.settings, calendar, query).event(event)

    def get_colours(self, _parameters: Parameters) -> Json:
        return fixed.colours()

    def list_settings(self, parameters: Parameters) -> Json:
        return fixed.list_settings(self._store, parameters.text("syncToken"))

    def get_setting(self, _parameters: Parameters, setting: str) -> Json:
        values = fixed.settings(self._store)
        if setting not in values:
            raise ApiError("notFound")
        return fixed.setting(setting, values[setting])

    def query_free_busy(self, _parameters: Parameters) -> Json:
        return freebusy.answer(self._store, self._listings, _body())

    def _route(self, app: flask.Flask, method_id: str, operation: Callable[..., Any]) -> None:
        method = discovery.method(method_id)
        # In the document: calendars/{calendarId}/events. In Flask: <calendar_id>.
        path = re.sub(r"\{(\w+?)(Id)?\}", _placeholder, method["path"])

        def view(**ids: str) -> flask.Response:
            parameters = Parameters(flask.request.args, discovery.parameters(method_id))
            mask = _mask(parameters, method_id)
            with self._store.changing():
                changes.settle(self._store)
                outcome = operation(parameters, **ids)
            # Bodies are never changed in place, so turning them into text needs no lock.
            if (wait := flask.g.pop("wait_for", None)) is not None:
                wait(_GREETING_SECONDS)
            response = (
                outcome
                if isinstance(outcome, flask.Response)
                else _answer(outcome, mask, indent=bool(parameters.flag("prettyPrint")))
            )
            if (later := flask.g.pop("after_answer", None)) is not None:
                response.call_on_close(later)
            return response

        app.add_url_rule(
            f"{BASE}/{path}",
            method_id,
            view,
            methods=[method["httpMethod"]],
            provide_automatic_options=False,
        )


def _placeholder(found: re.Match[str]) -> str:
    return f"<{found[1]}_id>" if found[2] else f"<{found[1]}>"


def _mask(parameters: Parameters, method_id: str) -> Json | None:
    """Return the members of the answer that are wanted. None: all of them.

    Raises ApiError (400) for names that the answer never has.
    """
    wanted = parameters.text("fields")
    if wanted is None:
        return None
    mask = partial.parse(wanted)
    discovery.check_fields(mask, method_id)
    return mask


def _events(
    calendar: Calendar, items: list[Json], page_token: str | None, sync_token: str | None
) -> Json:
    answer = {
        "kind": "calendar#events",
        "etag": f'"p{calendar.number:x}"',
        "summary": calendar.summary,
        "updated": _latest(calendar),
        "timeZone": calendar.time_zone,
        "accessRole": calendar.role,
        "defaultReminders": [],
        "items": items,
    }
    if page_token is not None:
        answer["nextPageToken"] = page_token
    elif sync_token is not None:
        answer["nextSyncToken"] = sync_token
    return answer


def _latest(calendar: Calendar) -> str:
    for _, event_id in reversed(calendar.log):
        updated = calendar.events[event_id].body.get("updated")
        if isinstance(updated, str):
            return updated
    return "2024-01-01T00:00:00.000Z"


def _answer(outcome: Json, mask: Json | None, *, indent: bool) -> flask.Response:
    shown = partial.select(outcome, mask)
    # Google indents unless told not to; that is slow in Python and no client can tell, so here it
    # must be asked for.
    text = flask.json.dumps(shown, indent=1 if indent else None, sort_keys=False)
    response = flask.Response(text, content_type="application/json; charset=UTF-8")
    etag = flask.g.pop("etag", None)
    if etag is not None:
        response.headers["ETag"] = etag
    return response


def _body() -> Json:
    body = flask.request.get_json(force=True, silent=True)
    if body is None and not flask.request.get_data():
        return {}
    if not isinstance(body, dict):
        raise ApiError("parseError")
    return body


def _options(parameters: Parameters) -> WriteOptions:
    return WriteOptions(
        if_match=flask.request.headers.get("If-Match"),
        conference_data_version=parameters.number(
            "conferenceDataVersion", 0, least=0, most=1, clamp=False
        ),
        supports_attachments=bool(parameters.flag("supportsAttachments")),
    )


def _refused(error: ApiError) -> tuple[Json, int]:
    return error.body, error.status


def _no_such_method(error: HTTPException) -> Any:
    if not flask.request.path.startswith(BASE):
        return error
    return classic_body(
        "notImplemented", message=f"The sandbox does not imitate this: {error.name}."
    ), 501
