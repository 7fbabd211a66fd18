"""What a person can do on the page: each action is some HTTP calls to stand-ins and functions.

    ACTIONS["edit"](desk, {"calendar_id": …, "event_id": …, "patch": {"summary": "New"}})

An action takes a `Desk` and the JSON that the page sent, and returns JSON for the page or None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sandbox.page.calls import Caller, CallFailed
from sandbox.page.observe import Observer
from sandbox.world import World

Json = dict[str, Any]

GUEST = "ben@example.com"
"""Whose calendar has copies of events that others organise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What an action works with."""

    world: World
    observer: Observer
    caller: Caller

    def calendar(self, method: str, path: str, body: Any = None) -> Any:
        """Call the back door of the Calendar stand-in."""
        return self.caller.send(method, f"http://{self.world.calendar.host}/_sandbox{path}", body)

    def provider(self, method: str, path: str, body: Any = None) -> Any:
        """Call the controls of the conferencing stand-in."""
        return self.caller.send(method, f"{self.world.system.url}/_sandbox{path}", body)

    def manage(self, method: str, path: str, body: Any = None) -> Any:
        """Call `manage_calendars`."""
        return self.caller.send(method, self.world.functions["manage_calendars"].url + path, body)

    def event(self, wanted: Json) -> Json:
        """The event that the page names, as stored.

        Raises CallFailed.
        """
        found = self.world.calendar.get(wanted["calendar_id"], wanted["event_id"])
        if found is None:
            raise CallFailed("there is no such event any more")
        return found


Action = Callable[[Desk, Json], Any]


def events_path(calendar_id: str, event_id: str | None = None) -> str:
    path = f"/calendars/{quote(calendar_id, safe='')}/events"
    return path if event_id is None else f"{path}/{quote(event_id, safe='')}"


def create(desk: Desk, wanted: Json) -> Any:
    """Make an event, with a conference where `with_conference` asks for one."""
    calendar_id, event = wanted["calendar_id"], dict(wanted["event"])
    if not wanted.get("with_conference"):
        return desk.calendar("POST", events_path(calendar_id), event)
    if desk.world.addon:
        return _create_by_form(desk, calendar_id, event)
    system = desk.world.system
    made = desk.provider("POST", "/add", system.add_body("", calendar_id))
    event["conferenceData"] = system.event_data(made)
    return desk.calendar("POST", events_path(calendar_id), event)


def _create_by_form(desk: Desk, calendar_id: str, event: Json) -> Any:
    """As a person does: open the form, pick the conference solution, save.

    The add-on asks `create_conference` while the event does not exist yet.
    """
    path = f"{events_path(calendar_id).removesuffix('/events')}/forms"
    form = desk.calendar("POST", path, {"draft": event})
    one = f"/forms/{quote(form['form_id'], safe='')}"
    picked = desk.calendar(
        "POST", f"{one}/pick", {"solution": desk.world.solution, "user": calendar_id}
    )
    if picked.get("error"):
        desk.calendar("DELETE", one)
        raise CallFailed(f"the add-on could not create a conference: {picked['error']}")
    return desk.calendar("POST", f"{one}/save")


def edit(desk: Desk, wanted: Json) -> Any:
    """Change members of an event or of one occurrence; null removes one."""
    path = events_path(wanted["calendar_id"], wanted["event_id"])
    return desk.calendar("PATCH", path, wanted["patch"])


def copy(desk: Desk, wanted: Json) -> Any:
    """Make a second event with the same times and the same conference."""
    event = desk.event(wanted)
    names = ("start", "end", "location", "description", "recurrence", "conferenceData")
    kept = {name: event[name] for name in names if name in event}
    title = f"{event.get('summary', '')} (copy)"
    return desk.calendar("POST", events_path(wanted["calendar_id"]), {**kept, "summary": title})


def move(desk: Desk, wanted: Json) -> Any:
    """Give an event to another calendar."""
    path = f"{events_path(wanted['calendar_id'], wanted['event_id'])}/move"
    return desk.calendar("POST", path, {"destination": wanted["destination"]})


def split(desk: Desk, wanted: Json) -> Any:
    """Edit "this and following": a second series begins at this occurrence, under a new title."""
    series = desk.event({**wanted, "event_id": wanted["series_id"]})
    body = {
        "original_start": wanted["original_start"],
        "patch": {"summary": f"{series.get('summary', '')} (from here on)"},
    }
    path = f"{events_path(wanted['calendar_id'], wanted['series_id'])}/split"
    return desk.calendar("POST", path, body)


def decline(desk: Desk, wanted: Json) -> Any:
    """Let the guest decline the copy of an event; the guest is invited first where needed."""
    event = desk.event(wanted)
    guests = event.get("attendees", [])
    if not any(guest.get("email") == GUEST for guest in guests):
        invited = {"attendees": [*guests, {"email": GUEST}]}
        desk.calendar("PATCH", events_path(wanted["calendar_id"], wanted["event_id"]), invited)
    copied = desk.world.calendar.get(GUEST, wanted["event_id"])
    if copied is None:
        raise CallFailed(f"{GUEST} has no copy of this event")
    answers = [
        {**guest, "responseStatus": "declined"} if guest.get("email") == GUEST else guest
        for guest in copied.get("attendees", [])
    ]
    return desk.calendar("PATCH", events_path(GUEST, wanted["event_id"]), {"attendees": answers})


def delete(desk: Desk, wanted: Json) -> Any:
    """Delete an event, a series, or one occurrence."""
    return desk.calendar("DELETE", events_path(wanted["calendar_id"], wanted["event_id"]))


def restore(desk: Desk, wanted: Json) -> Any:
    """Take a deleted event out of the bin."""
    path = f"{events_path(wanted['calendar_id'], wanted['event_id'])}/restore"
    return desk.calendar("POST", path)


def forget(desk: Desk, wanted: Json) -> Any:
    """Delete a conference at the provider, behind everyone's back."""
    return desk.provider("POST", "/forget", {"id": wanted["conference_id"]})


def retry(desk: Desk, wanted: Json) -> Any:
    """Try a failure again at once."""
    answer = desk.manage("POST", f"/failures/{quote(wanted['id'], safe='')}/retry")
    desk.observer.ask_soon()
    return answer


def dismiss(desk: Desk, wanted: Json) -> Any:
    """Forget a failure."""
    answer = desk.manage("DELETE", f"/failures/{quote(wanted['id'], safe='')}")
    desk.observer.ask_soon()
    return answer


def sync(desk: Desk, wanted: Json) -> Any:
    """Bring a calendar up to date, as an operator does."""
    return desk.manage("POST", f"/calendars/{quote(wanted['calendar_id'], safe='')}/sync")


ACTIONS: dict[str, Action] = {
    each.__name__: each
    for each in (
        create,
        edit,
        copy,
        move,
        split,
        decline,
        delete,
        restore,
        forget,
        retry,
        dismiss,
        sync,
    )
}
