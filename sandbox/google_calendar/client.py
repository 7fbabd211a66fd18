"""The writes that API clients may make, with the API's own refusals."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from sandbox.google_calendar import bodies, changes, conferences, times
from sandbox.google_calendar.errors import ApiError
from sandbox.google_calendar.state import Calendar, Event, Store, html_link, is_person

Json = dict[str, Any]

_CLIENT_ID = re.compile(r"[a-v0-9]{5,1024}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """Query parameters and headers that change what a write does."""

    if_match: str | None = None
    conference_data_version: int = 0
    supports_attachments: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One request to write an event. `replaces`: a PUT, or a new event, rather than a PATCH."""

    body: Json
    options: WriteOptions
    replaces: bool


def insert(store: Store, calendar: Calendar, body: Json, options: WriteOptions) -> Event:
    bodies.check_types(body)
    event_id = body.get("id")
    if event_id is None:
        event_id = store.new_id()
    elif not isinstance(event_id, str) or not _CLIENT_ID.fullmatch(event_id):
        raise ApiError("invalid", "Invalid resource id value.")
    elif event_id in calendar.events:
        # Deleted events keep their id too.
        raise ApiError("duplicate")
    started = new_body(store, calendar, event_id)
    for name in ("iCalUID", "eventType"):
        if body.get(name) is not None:
            started[name] = body[name]
    if started["eventType"] not in bodies.EVENT_TYPES - {"fromGmail"}:
        raise ApiError("eventTypeRestriction")
    write = Write(body=body, options=options, replaces=True)
    whole = _finished(store, calendar, None, bodies.patched(started, body), write)
    return changes.write(store, calendar, whole)


def import_copy(store: Store, calendar: Calendar, body: Json, options: WriteOptions) -> Event:
    """Add a private copy of an event that lives elsewhere.

    A known iCalUID means the copy that is here already.
    """
    bodies.check_types(body)
    uid, organizer = body.get("iCalUID"), body.get("organizer")
    if not isinstance(uid, str) or not uid:
        raise ApiError("required", "Missing iCalUID.")
    if body.get("eventType", "default") != "default":
        raise ApiError("eventTypeRestriction")
    known = next(
        (
            event
            for event in calendar.events.values()
            if event.body.get("iCalUID") == uid and not event.series_id
        ),
        None,
    )
    event_id = store.new_id() if known is None else str(known.body["id"])
    started = new_body(store, calendar, event_id) | {"iCalUID": uid, "privateCopy": True}
    if isinstance(organizer, dict) and organizer.get("email"):
        started["organizer"] = {
            name: organizer[name] for name in ("email", "displayName") if name in organizer
        }
    write = Write(body=body, options=options, replaces=True)
    whole = _finished(store, calendar, None, bodies.patched(started, body), write)
    return store.save(calendar, whole)


def patch(
    store: Store, calendar: Calendar, event_id: str, body: Json, options: WriteOptions
) -> Event:
    write = Write(body=body, options=options, replaces=False)
    return _rewrite(store, calendar, event_id, write)


def update(
    store: Store, calendar: Calendar, event_id: str, body: Json, options: WriteOptions
) -> Event:
    write = Write(body=body, options=options, replaces=True)
    return _rewrite(store, calendar, event_id, write)


def delete(store: Store, calendar: Calendar, event_id: str, options: WriteOptions) -> None:
    event = existing(store, calendar, event_id)
    if event.cancelled:
        raise ApiError("deleted")
    check_access(calendar, event)
    check_etag(event, options.if_match)
    changes.cancel(store, calendar, event_id, event)


def move(store: Store, calendar: Calendar, event_id: str, destination: Calendar) -> Event:
    """Give an event another organizer.

    The id and the creator stay, and the old calendar keeps an id-only tombstone of the event.
    """
    event = existing(store, calendar, event_id)
    if event.cancelled:
        raise ApiError("deleted")
    check_access(calendar, event)
    if event.series_id is not None:
        raise ApiError("cannotChangeOrganizerOfInstance")
    if event.body.get("eventType", "default") != "default":
        raise ApiError("eventTypeRestriction")
    if not changes.organizes(calendar, event.body):
        raise ApiError("forbidden", "Only the organizer can move an event.")
    if destination is calendar:
        return event
    children = [
        calendar.events[child_id] for child_id in sorted(calendar.exceptions.get(event_id, ()))
    ]
    moved = _moved(store, calendar, event, destination)
    for child in children:
        _moved(store, calendar, child, destination, hidden=True)
    return moved


def existing(store: Store, calendar: Calendar, event_id: str) -> Event:
    event = store.find(calendar, event_id)
    if event is None:
        raise ApiError("notFound")
    return event


def check_access(calendar: Calendar, event: Event) -> None:
    """Refuse (403) a write to an event that the caller's role hides from the caller."""
    if calendar.hides(event.body):
        raise ApiError("requiredAccessLevel")


def check_etag(event: Event, if_match: str | None) -> None:
    if if_match is not None and if_match not in ("*", event.etag):
        raise ApiError("conditionNotMet")


def new_body(store: Store, calendar: Calendar, event_id: str) -> Json:
    """Return what the server itself puts into every new event."""
    owner = calendar.id
    if owner.endswith("@group.calendar.google.com") and store.primary:
        owner = store.primary
    return {
        "kind": "calendar#event",
        "id": event_id,
        "status": "confirmed",
        "htmlLink": html_link(event_id, calendar.id),
        "created": times.from_milliseconds(store.milliseconds()),
        "creator": {"email": owner},
        "organizer": {"email": calendar.id},
        "iCalUID": f"{event_id}@google.com",
        "sequence": 0,
        "eventType": "default",
    }


def whole_body(store: Store, calendar: Calendar, event_id: str, event: Event) -> Json:
    """Return the event's body, for one stored as given with what every event has."""
    return (
        event.body
        if not event.raw
        else new_body(store, calendar, event_id) | event.body | {"id": event_id}
    )


def _rewrite(store: Store, calendar: Calendar, event_id: str, write: Write) -> Event:
    body = write.body
    bodies.check_types(body)
    event = existing(store, calendar, event_id)
    stored = whole_body(store, calendar, event_id, event)
    if event.moved_away or (event.cancelled and not _may_restore(store, calendar, event, body)):
        raise ApiError("forbidden")
    check_access(calendar, event)
    check_etag(event, write.options.if_match)
    body = _own_answer_only(calendar, stored, body)
    if not changes.organizes(calendar, stored):
        _check_guest_permissions(stored, body, replaces=write.replaces)
    if stored.get("locked") and any(
        name in body and body[name] != stored.get(name)
        for name in ("summary", "description", "location", "start", "end", "recurrence")
    ):
        raise ApiError("forbidden", "The event is locked.")
    if body.get("status") == "cancelled":
        changes.cancel(store, calendar, event_id, event)
        return existing(store, calendar, event_id)
    merge = bodies.replaced if write.replaces else bodies.patched
    whole = _finished(
        store, calendar, stored, merge(stored, body), dataclasses.replace(write, body=body)
    )
    if event.series_id is not None:
        whole.pop("recurrence", None)
    if event.cancelled and event.series_id is None:
        changes.restore(store, calendar, event)
    return changes.write(store, calendar, whole)


def _may_restore(store: Store, calendar: Calendar, event: Event, body: Json) -> bool:
    """Tell whether a cancelled event may come back.

    An occurrence may while its series lives, other events only if the setting says so.
    """
    series = calendar.events.get(event.series_id) if event.series_id is not None else None
    if series is not None and not series.cancelled:
        return True
    return store.settings.api_restores and body.get("status") == "confirmed"


def _finished(
    store: Store, calendar: Calendar, stored: Json | None, merged: Json, write: Write
) -> Json:
    """Return the body ready to be stored: conference rules applied, checked, tidied."""
    settings = store.settings
    whole = dict(merged)
    block = conferences.written_by_client(
        (stored or {}).get("conferenceData"),
        write.body,
        version=write.options.conference_data_version,
        replaces=write.replaces,
        rules=conferences.Rules(
            allowed_types=calendar.allowed_conference_types,
            known=store.blocks,
            settings=settings,
        ),
    )
    whole.pop("conferenceData", None)
    if block is not None:
        if conferences.is_pending(block) and settings.create_request_seconds <= 0:
            block = conferences.created(block, fails=settings.create_request_fails)
        whole["conferenceData"] = block
    if "attachments" in write.body and not write.options.supports_attachments:
        whole.pop("attachments", None)
        if stored is not None and "attachments" in stored:
            whole["attachments"] = stored["attachments"]
    return bodies.tidy(whole, calendar.time_zone)


def _own_answer_only(calendar: Calendar, stored: Json, body: Json) -> Json:
    """With attendeesOmitted, the list holds one's own entry alone and the others stay as they
    are."""
    sent = body.get("attendees")
    if not body.get("attendeesOmitted") or not isinstance(sent, list):
        return body
    mine = [guest for guest in sent if isinstance(guest, dict) and is_person(guest, calendar.id)]
    guests = [
        (guest | mine[0]) if mine and is_person(guest, calendar.id) else guest
        for guest in stored.get("attendees", [])
    ]
    return {name: value for name, value in body.items() if name != "attendeesOmitted"} | {
        "attendees": guests
    }


def _check_guest_permissions(stored: Json, body: Json, *, replaces: bool) -> None:
    """Refuse (403) a guest's change of what guests may do.

    PUT must even repeat these members, since their absence means the default.
    """
    defaults = {
        "guestsCanInviteOthers": True,
        "guestsCanModify": False,
        "guestsCanSeeOtherGuests": True,
    }
    for name in bodies.GUEST_PERMISSIONS:
        if replaces and name not in body:
            raise ApiError("forbiddenForNonOrganizer")
        if name in body and body[name] != stored.get(name, defaults[name]):
            raise ApiError("forbiddenForNonOrganizer")


def _moved(
    store: Store, calendar: Calendar, event: Event, destination: Calendar, *, hidden: bool = False
) -> Event:
    before = event.body
    body = before | {
        "organizer": {"email": destination.id},
        "htmlLink": html_link(before["id"], destination.id),
        "sequence": int(before.get("sequence", 0)) + 1,
    }
    for name in ("start", "end", "originalStartTime"):
        if name in body:
            body[name] = times.in_zone(body[name], destination.time_zone)
    still_invited = any(is_person(guest, calendar.id) for guest in before.get("attendees") or [])
    if not still_invited:
        tombstone = {"id": before["id"], "status": "cancelled"}
        store.save(calendar, tombstone, moved_away=True, hidden=hidden, logged=not hidden)
        calendar.exceptions.pop(before["id"], None)
    if (there := destination.events.get(before["id"])) is not None and not there.cancelled:
        # A guest who becomes the organizer keeps the own copy's own members.
        body |= {name: there.body[name] for name in bodies.OWN_FIELDS if name in there.body}
    moved = store.save(destination, body, overrides=event.overrides)
    changes.reach_guests(store, destination, before, moved.body)
    return moved
