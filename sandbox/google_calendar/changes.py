"""One event's new state, and everything that follows from it: its exceptions, its guests' copies,
its organizer's.

The organizer's calendar holds the main copy. Each guest whose calendar is here has a copy under the
same id and iCalUID. What the organizer changes reaches the copies. What a guest changes stays on
the guest's copy. The guest's answer and shared extended properties reach the organizer, and so does
everything shared when the organizer lets guests modify the event.
"""

from __future__ import annotations

from typing import Any

from sandbox.google_calendar import conferences, recurrence
from sandbox.google_calendar.bodies import OWN_FIELDS
from sandbox.google_calendar.state import Calendar, Event, Store, html_link, is_person

Json = dict[str, Any]

# Members that describe one copy and are set anew on each.
_PER_COPY = OWN_FIELDS | {"kind", "etag", "created", "updated", "htmlLink", "hangoutLink", "status"}
# Members an exception never takes from its series.
_PER_OCCURRENCE = frozenset(
    {
        "id",
        "kind",
        "etag",
        "created",
        "updated",
        "htmlLink",
        "start",
        "end",
        "originalStartTime",
        "recurringEventId",
    }
) | {"recurrence", "status", "sequence", "hangoutLink"}
_RESCHEDULED = ("start", "end", "recurrence")


def write(store: Store, calendar: Calendar, body: Json) -> Event:
    """Store an event's or occurrence's new body and carry the change to where it must be seen."""
    known = store.find(calendar, body["id"])
    before = known.body if known is not None and not known.raw else None
    if before is not None and any(before.get(name) != body.get(name) for name in _RESCHEDULED):
        body = body | {
            "sequence": max(int(body.get("sequence", 0)), int(before.get("sequence", 0)) + 1)
        }
    if before is not None and not organizes(calendar, body):
        return _write_as_guest(store, calendar, before, body)
    event = store.save(calendar, body, overrides=_overrides(calendar, known, body))
    _reach_exceptions(store, calendar, before, event.body)
    reach_guests(store, calendar, before, event.body)
    return event


def cancel(store: Store, calendar: Calendar, event_id: str, event: Event) -> None:
    """Delete an event, a series or an occurrence, as `Store.find` gave it for this id."""
    body = event.body
    if event.raw:
        store.save(calendar, body | {"status": "cancelled"}, event_id=event_id, raw=True)
        return
    if organizes(calendar, body):
        _cancel_here(store, calendar, event)
        reach_guests(store, calendar, body, body | {"status": "cancelled"})
        return
    _cancel_here(store, calendar, event)
    _answer(store, calendar, body, {"responseStatus": "declined"})


def restore(store: Store, calendar: Calendar, event: Event) -> Event:
    """Take a deleted event out of the bin, with everything it had, and the exceptions deleted
    along with it."""
    restored = store.save(calendar, event.body | {"status": "confirmed"}, overrides=event.overrides)
    for child_id in sorted(calendar.exceptions.get(str(event.body.get("id")), ())):
        child = calendar.events[child_id]
        if child.cancelled_with_series:
            store.save(calendar, child.body | {"status": "confirmed"}, overrides=child.overrides)
        elif child.hidden:
            store.save(calendar, child.body, overrides=child.overrides)
    if organizes(calendar, restored.body):
        reach_guests(store, calendar, event.body, restored.body)
    return restored


def organizes(calendar: Calendar, body: Json) -> bool:
    """Tell whether this calendar holds the main copy.

    An event without organizer is its calendar's own.
    """
    organizer = body.get("organizer")
    return not isinstance(organizer, dict) or is_person(organizer, calendar.id)


def main_copy(store: Store, body: Json) -> tuple[Calendar, Event] | None:
    """Return the organizer's copy of a guest's event, when the organizer's calendar is here."""
    if body.get("privateCopy"):
        return None
    calendar = store.find_calendar((body.get("organizer") or {}).get("email"))
    event = store.find(calendar, body["id"]) if calendar is not None else None
    return None if calendar is None or event is None or event.raw else (calendar, event)


def _overrides(calendar: Calendar, known: Event | None, body: Json) -> frozenset[str]:
    series = calendar.events.get(str(body.get("recurringEventId")))
    if series is None:
        return frozenset()
    differing = {
        name
        for name in body.keys() | series.body.keys()
        if name not in _PER_OCCURRENCE and body.get(name) != series.body.get(name)
    }
    return frozenset(differing) | (known.overrides if known is not None else frozenset())


def _cancel_here(store: Store, calendar: Calendar, event: Event) -> None:
    store.save(
        calendar,
        event.body | {"status": "cancelled"},
        overrides=event.overrides,
        event_id=event.body["id"],
    )
    beside = store.settings.children_beside_deleted_series
    for child_id in sorted(calendar.exceptions.get(event.body["id"], ())):
        child = calendar.events[child_id]
        if child.raw:
            continue
        store.save(
            calendar,
            child.body | {"status": "cancelled"},
            overrides=child.overrides,
            cancelled_with_series=not child.cancelled,
            hidden=not beside,
            logged=beside,
        )


def _reach_exceptions(store: Store, calendar: Calendar, before: Json | None, series: Json) -> None:
    """Let the exceptions follow their series, and cancel those whose occurrence is no more."""
    children = calendar.exceptions.get(series["id"], set())
    if before is None or not children or not series.get("recurrence"):
        return
    rescheduled = any(before.get(name) != series.get(name) for name in _RESCHEDULED)
    changed = _changed(before, series) - _PER_OCCURRENCE
    for child_id in sorted(children):
        child = calendar.events[child_id]
        if child.cancelled or child.raw:
            continue
        start = child.body.get("originalStartTime")
        orphaned = (
            rescheduled
            and start is not None
            and not recurrence.includes(series, start, calendar.time_zone)
        )
        follows = (
            changed - child.overrides if store.settings.series_changes_reach_exceptions else set()
        )
        if orphaned:
            cancel(store, calendar, child_id, child)
        elif follows:
            body = _with(child.body, series, follows)
            event = store.save(calendar, body, overrides=child.overrides)
            reach_guests(store, calendar, child.body, event.body)


def reach_guests(store: Store, organizer: Calendar, before: Json | None, after: Json) -> None:
    """Bring the guests' copies in line with what the organizer changed."""
    if after.get("privateCopy") or not organizes(organizer, after):
        return
    for address in sorted(_guests(before) | _guests(after)):
        calendar = store.find_calendar(address)
        if calendar is None or calendar is organizer:
            continue
        copy = calendar.events.get(after["id"])
        if copy is None or not copy.raw:
            _reach_guest(store, calendar, copy, before or {}, after)


def _reach_guest(
    store: Store, calendar: Calendar, copy: Event | None, before: Json, after: Json
) -> None:
    """Bring one guest's copy in line, make it, or cancel it."""
    address = calendar.id.lower()
    series = calendar.events.get(str(after.get("recurringEventId")))
    if address not in _guests(after) or after.get("status") == "cancelled":
        if copy is not None and not copy.cancelled:
            _cancel_here(store, calendar, copy)
        elif copy is None and series is not None and not series.cancelled:
            store.save(calendar, _fresh_copy(calendar, after) | {"status": "cancelled"})
    elif copy is None:
        if series is None or not series.cancelled:
            body = _fresh_copy(calendar, after)
            store.save(calendar, body, overrides=_overrides(calendar, None, body))
    elif not copy.cancelled:
        changed = _changed(before, after) - _PER_COPY
        if changed:
            body = _with(copy.body, after, changed)
            store.save(calendar, body, overrides=copy.overrides)
    elif copy.moved_away or address not in _guests(before) or before.get("status") == "cancelled":
        whole = _with_own(copy, _fresh_copy(calendar, after))
        restore(store, calendar, Event(body=whole, etag=copy.etag))


def _write_as_guest(store: Store, calendar: Calendar, before: Json, body: Json) -> Event:
    found = main_copy(store, body)
    mine = next(
        (guest for guest in body.get("attendees") or [] if is_person(guest, calendar.id)), None
    )
    if found is None:
        event = store.save(
            calendar, body, overrides=_overrides(calendar, calendar.events.get(body["id"]), body)
        )
        _reach_exceptions(store, calendar, before, event.body)
        return event
    organizer, main = found
    changed = _changed(before, body)
    if not main.body.get("guestsCanModify"):
        # Everyone else's entries are the organizer's to change.
        others = main.body.get("attendees")
        body = {name: value for name, value in body.items() if name != "attendees"}
        if others is not None:
            body["attendees"] = [
                mine if mine and is_person(guest, calendar.id) else guest for guest in others
            ]
        changed &= {"extendedProperties"}
    known = calendar.events.get(body["id"])
    event = store.save(calendar, body, overrides=_overrides(calendar, known, body))
    shared = _with(main.body, event.body, changed - _PER_COPY)
    if mine is not None:
        shared = _with_answer(shared, calendar, mine)
    if shared != main.body:
        write(store, organizer, shared)
    return event


def _answer(store: Store, calendar: Calendar, body: Json, answer: Json) -> None:
    found = main_copy(store, body)
    if found is not None and not found[1].cancelled:
        shared = _with_answer(found[1].body, calendar, answer)
        if shared != found[1].body:
            write(store, found[0], shared)


def _with_answer(body: Json, calendar: Calendar, answer: Json) -> Json:
    """Return the organizer's body with one guest's answer, if it differs."""
    told = {
        name: answer[name]
        for name in ("responseStatus", "comment", "additionalGuests")
        if name in answer
    }
    guests = body.get("attendees") or []
    return body | (
        {
            "attendees": [
                guest | told if is_person(guest, calendar.id) else guest for guest in guests
            ]
        }
        if guests
        else {}
    )


def _guests(body: Json | None) -> set[str]:
    guests = (body or {}).get("attendees")
    return {guest["email"].lower() for guest in guests or [] if isinstance(guest.get("email"), str)}


def _changed(before: Json, after: Json) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def _with(body: Json, source: Json, names: set[str]) -> Json:
    """Return the body with some members of another, private extended properties left out."""
    result = dict(body)
    for name in names:
        if name == "extendedProperties":
            own, shared = (
                (body.get(name) or {}).get("private"),
                (source.get(name) or {}).get("shared"),
            )
            both = {
                reach: value for reach, value in (("private", own), ("shared", shared)) if value
            }
            result[name] = both
            if not both:
                del result[name]
        elif name in source:
            result[name] = source[name]
        else:
            result.pop(name, None)
    return result


def _fresh_copy(calendar: Calendar, main: Json) -> Json:
    names = main.keys() - OWN_FIELDS - {"extendedProperties", "hangoutLink", "updated"}
    copy = {name: main[name] for name in names}
    shared = (main.get("extendedProperties") or {}).get("shared")
    if shared:
        copy["extendedProperties"] = {"shared": shared}
    return copy | {
        "reminders": {"useDefault": True},
        "htmlLink": html_link(main["id"], calendar.id),
    }


def _with_own(copy: Event, fresh: Json) -> Json:
    """Return a copy made anew with what its owner had added to the old one."""
    if copy.moved_away:
        return fresh
    own = {name: copy.body[name] for name in OWN_FIELDS if name in copy.body}
    private = (copy.body.get("extendedProperties") or {}).get("private")
    properties = (fresh.get("extendedProperties") or {}) | ({"private": private} if private else {})
    return fresh | own | ({"extendedProperties": properties} if properties else {})


def settle(store: Store) -> None:
    """Give the events whose requested conference is due what came of it."""
    for calendar, event in store.due_conferences():
        block = event.body["conferenceData"]
        made = conferences.created(block, fails=store.settings.create_request_fails)
        write(store, calendar, event.body | {"conferenceData": made})
