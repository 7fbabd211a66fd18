"""The event form of Calendar's pages, and the add-ons that offer conference solutions in it.

    forms.offer("My Web Conference", callback)
    form = forms.open(calendar, {"summary": "Planning", "start": {...}, "end": {...}})
    forms.pick(form.id, "My Web Conference", user="anna@example.com")    # the add-on is asked
    forms.save(form.id)                                                  # now the event exists

A person picks a solution while the event is still a draft. Calendar then calls the add-on with
`{"eventData": {"calendarId", "eventId"}}`. The id is the one that the event will have, and
events.get of it answers 404 until the form is saved. The conference lives in the draft: saving
shows it on the event, closing the form drops it, and nobody tells the add-on of either.

A callback is a function of that argument and the person's address, or a URL that is sent the
argument as JSON, with the address in the header X-Sandbox-User. Its answer is conferenceData as in
the Calendar API (`conferenceId`, `entryPoints`, `notes`, `parameters`), or `{"error":
{"conferenceErrorType", "authenticationUrl"}}`. The form shows an error, and the draft keeps what it
had. The same holds for an answer that Calendar would not take: one that is too late or too long.

https://developers.google.com/workspace/add-ons/calendar/conferencing/create-conference
"""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import httpx

from sandbox.google_calendar import bodies, client, conferences, person
from sandbox.google_calendar.errors import ApiError
from sandbox.google_calendar.state import Calendar, Event, Store
from sandbox.servers import certificates

Json = dict[str, Any]
Callback = Callable[[Json, str], Json]

USER_HEADER = "X-Sandbox-User"

# The most that Calendar takes, in characters or in number. Reference of ConferenceData, EntryPoint
# and ConferenceParameter in Apps Script.
_MOST_ENTRY_POINTS = 300
_MOST_PARAMETERS = 300
_LONGEST = {
    "uri": 1300, "label": 512, "meetingCode": 128, "accessCode": 128, "passcode": 128,
    "password": 128, "pin": 128,
}  # fmt: skip
_LONGEST_ID = 512
_LONGEST_NOTES = 2048
_LONGEST_KEY = 50
_LONGEST_VALUE = 1024
_SCHEMES = {"video": "https?", "more": "https?", "phone": "tel", "sip": "sips?"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """A conference solution that an add-on offers."""

    name: str
    callback: str | Callback
    icon_uri: str | None = None

    def to_json(self) -> Json:
        callback = self.callback if isinstance(self.callback, str) else None
        return {"name": self.name, "callback": callback, "icon_uri": self.icon_uri}


@dataclass(slots=True, kw_only=True)
class Form:
    """One open form. `event_id` is the id of the event, whether the event exists or not."""

    id: str
    calendar_id: str
    event_id: str
    is_new: bool
    draft: Json
    """The event's members as the form has them. For an event that exists, the changed ones."""
    error: Json | None = None
    """What the form shows since a pick failed."""

    def to_json(self) -> Json:
        return {
            "form_id": self.id,
            "calendar_id": self.calendar_id,
            "event_id": self.event_id,
            "is_new": self.is_new,
            "draft": deepcopy(self.draft),
            "error": self.error,
        }


@dataclass(slots=True)
class Forms:
    """The open forms of one stand-in, and the solutions on offer in them."""

    store: Store
    solutions: dict[str, Solution] = field(default_factory=dict)
    _open: dict[str, Form] = field(default_factory=dict)

    def offer(self, name: str, callback: str | Callback, icon_uri: str | None = None) -> None:
        """Offer a solution in every form. A solution of the same name is replaced."""
        self.solutions[name] = Solution(name=name, callback=callback, icon_uri=icon_uri)

    def withdraw(self, name: str) -> None:
        """Offer the solution no more. Safe to repeat."""
        self.solutions.pop(name, None)

    def open(
        self, calendar: Calendar, draft: Json | None = None, event_id: str | None = None
    ) -> Form:
        """Open the form for a new event, or for the one with this id."""
        with self.store.changing():
            is_new = event_id is None
            if event_id is None:
                event_id = self.store.new_id()
            elif client.existing(self.store, calendar, event_id).cancelled:
                raise ApiError("deleted")
            form = Form(
                id=f"form-{self.store.new_id()[:12]}",
                calendar_id=calendar.id,
                event_id=event_id,
                is_new=is_new,
                draft=deepcopy(draft or {}),
            )
            self._open[form.id] = form
            return form

    def get(self, form_id: str) -> Form:
        """Return an open form. Raises ApiError (404) once it was saved or closed."""
        form = self._open.get(form_id)
        if form is None:
            raise ApiError("notFound", f"No form {form_id} is open.")
        return form

    def all(self) -> list[Form]:
        return list(self._open.values())

    def fill_in(self, form_id: str, patch: Json) -> Form:
        """Change the draft. Null takes a member away again."""
        with self.store.changing():
            form = self.get(form_id)
            form.draft = bodies.merge(form.draft, patch)
            return form

    def pick(self, form_id: str, solution: str, user: str | None = None) -> Form:
        """Ask the solution's add-on for a conference, and keep its answer in the draft.

        `user` is who picks, the calendar's own person unless said otherwise. Must not be called
        under the store's lock: the add-on may call the API before it answers. A form that was
        closed meanwhile keeps nothing and raises ApiError (404).
        """
        form = self.get(form_id)
        chosen = self.solutions.get(solution)
        if chosen is None:
            raise ApiError("invalid", f"No add-on offers {solution!r}.")
        argument = {"eventData": {"calendarId": form.calendar_id, "eventId": form.event_id}}
        answer = self._asked(chosen, argument, user or form.calendar_id)
        with self.store.changing():
            form = self.get(form_id)
            form.error = answer.get("error")
            if form.error is None:
                form.draft = form.draft | {"conferenceData": _shown(chosen, answer)}
            return form

    def take_away(self, form_id: str) -> Form:
        """Remove the conference from the draft."""
        with self.store.changing():
            form = self.get(form_id)
            form.error = None
            form.draft = {name: form.draft[name] for name in form.draft if name != "conferenceData"}
            if not form.is_new:
                form.draft["conferenceData"] = None
            return form

    def save(self, form_id: str) -> Event:
        """Save the event and close the form. A refused draft (ApiError) leaves the form open."""
        with self.store.changing():
            form = self.get(form_id)
            calendar = self.store.known_calendar(form.calendar_id)
            if form.is_new:
                event = person.seed(self.store, calendar, form.draft | {"id": form.event_id})
            else:
                event = person.edit(self.store, calendar, form.event_id, form.draft)
            del self._open[form_id]
            return event

    def close(self, form_id: str) -> None:
        """Close the form without saving: the draft is dropped with its conference."""
        with self.store.changing():
            self.get(form_id)
            del self._open[form_id]

    def _asked(self, solution: Solution, argument: Json, user: str) -> Json:
        """Return the add-on's answer. Whatever goes wrong becomes an error of the form."""
        try:
            if isinstance(solution.callback, str):
                answer = httpx.post(
                    solution.callback,
                    json=argument,
                    headers={USER_HEADER: user},
                    timeout=self.store.settings.addon_timeout_seconds,
                    trust_env=False,
                    verify=certificates(),
                )
                answer.raise_for_status()
                told = answer.json()
            else:
                told = solution.callback(argument, user)
            return told if "error" in told else _checked(told)
        # A stranger's code: whatever it raises is what Calendar calls a failing add-on.
        except Exception as error:
            kind = type(error).__name__
            return {"error": {"conferenceErrorType": "UNKNOWN", "message": f"{kind}: {error}"}}


def _shown(solution: Solution, answer: Json) -> Json:
    """Return the conference as the event will show it, with the name of its solution."""
    shown: Json = {"key": {"type": "addOn"}, "name": solution.name}
    if solution.icon_uri is not None:
        shown["iconUri"] = solution.icon_uri
    return conferences.signed(deepcopy(answer) | {"conferenceSolution": shown})


def _checked(answer: Json) -> Json:
    """Return the known members of an add-on's answer. Raises ValueError for what Calendar would
    not take."""
    known = ("conferenceId", "entryPoints", "notes", "parameters")
    points = answer.get("entryPoints") or []
    if unknown := answer.keys() - set(known):
        raise ValueError(f"unknown members: {', '.join(sorted(unknown))}")
    _bounded("conferenceId", answer.get("conferenceId"), _LONGEST_ID)
    _bounded("notes", answer.get("notes"), _LONGEST_NOTES)
    if not 1 <= len(points) <= _MOST_ENTRY_POINTS:
        raise ValueError(f"{len(points)} entry points")
    for point in points:
        scheme = _SCHEMES.get(point.get("entryPointType"))
        if scheme is None or not re.match(f"{scheme}:.", str(point.get("uri"))):
            raise ValueError(f"no entry point: {point}")
        for name, most in _LONGEST.items():
            _bounded(name, point.get(name), most)
    own = (answer.get("parameters") or {}).get("addOnParameters") or {}
    parameters: Json = own.get("parameters") or {}
    if len(parameters) > _MOST_PARAMETERS:
        raise ValueError(f"{len(parameters)} parameters")
    for key, value in parameters.items():
        _bounded("the name of a parameter", key, _LONGEST_KEY)
        _bounded(f"parameter {key}", value, _LONGEST_VALUE)
    return {name: answer[name] for name in known if answer.get(name) is not None}


def _bounded(name: str, value: Any, most: int) -> None:
    if value is not None and (not isinstance(value, str) or len(value) > most):
        raise ValueError(f"{name} must be a text of at most {most} characters")
