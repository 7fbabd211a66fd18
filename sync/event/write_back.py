"""Writes an event's way into its conference to Calendar, without overwriting anybody (W1-W4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from html import escape
from typing import Any

from sync.errors import Invalid, TryLater
from sync.event.plan import (
    BLOCK_BEGIN,
    BLOCK_END,
    ID_PROPERTY,
    PROVIDER_PROPERTY,
    Rules,
    conference_of,
    join_link_of,
    without_block,
)
from sync.google.calendar import Calendar
from sync.model.calendar import Access
from sync.model.conference import ConferenceRef, Link, WayIn
from sync.model.event import CalendarId, EntryPoint, Etag, Event

# Two writers that answer each other's writes stop after so many an hour (W2).
WRITES_PER_HOUR = 6
_HOUR = timedelta(hours=1)

# What Calendar takes of an entry point.
# https://developers.google.com/workspace/calendar/api/v3/reference/events
# (conferenceData.entryPoints)
_URI_LIMIT, _LABEL_LIMIT, _CODE_LIMIT, _NOTES_LIMIT = 1300, 512, 128, 2048
# https://developers.google.com/workspace/calendar/api/guides/extended-properties
_PROPERTY_LIMIT = 1024
_SCHEMES = {
    "video": ("https://", "http://"),
    "more": ("https://", "http://"),
    "phone": ("tel:",),
    "sip": ("sip:",),
}


def refuse_loops(link: Link, now: datetime) -> tuple[datetime, ...]:
    """Return the times of writes that still count, this one among them. Raises TryLater when
    there were too many."""
    recent = tuple(moment for moment in link.writes if now - moment < _HOUR)
    if len(recent) >= WRITES_PER_HOUR:
        raise TryLater(
            "this event was written too often within an hour", after=recent[0] + _HOUR - now
        )
    return (*recent, now)


def show(
    calendar: Calendar,
    calendar_id: CalendarId,
    access: Access,
    event: Event,
    raw: Mapping[str, Any],
    conference: ConferenceRef,
    way_in: WayIn,
    rules: Rules,
) -> Etag | None:
    """Give the event its new way in, as conference data if Calendar takes it from us, else as text
    (W4).

    Returns the event's etag after the write. `event` and `raw` are the same version of the event.
    Raises Changed when somebody wrote since (W1), Invalid when Calendar takes neither.
    """
    etag = _etag(event)
    if isinstance(raw.get("conferenceData"), Mapping) and PROVIDER_PROPERTY not in event.private:
        try:
            changes = {"conferenceData": conference_data(raw["conferenceData"], way_in)}
            calendar.patch_event(calendar_id, access, event.id, changes, etag)
        except Invalid:
            pass  # 400: third-party conference data is taken from add-ons alone
        else:
            # 200 is no promise: the data was seen to be dropped without a word.
            written = Event.from_api(calendar.get_event(calendar_id, access, event.id))
            if conference_of(written, rules) == conference:
                return written.etag
            event, etag = written, _etag(written)
    changes = fallback(event, conference, way_in, rules)
    written = Event.from_api(calendar.patch_event(calendar_id, access, event.id, changes, etag))
    if conference_of(written, rules) != conference:
        raise Invalid(
            "Calendar did not keep the way into the conference, neither as conference data nor as text"
        )
    return written.etag


def hide(
    calendar: Calendar, calendar_id: CalendarId, access: Access, event: Event, rules: Rules
) -> Etag | None:
    """Take our text and properties out of an event that carries another conference now. Raises
    Changed (W1)."""
    changes: dict[str, Any] = {
        "description": without_block(event.description),
        "extendedProperties": {"private": {PROVIDER_PROPERTY: None, ID_PROPERTY: None}},
    }
    ours = event.private.get(PROVIDER_PROPERTY), event.private.get(ID_PROPERTY)
    linked = join_link_of(event.location, rules)
    if linked and (linked.provider, linked.conference_id) == ours:
        changes["location"] = ""
    written = calendar.patch_event(calendar_id, access, event.id, changes, _etag(event))
    return Event.from_api(written).etag


def conference_data(shown: Mapping[str, Any], way_in: WayIn) -> dict[str, Any]:
    """Return the conference data of an event with another way in: the same solution, the new id
    and entry points."""
    solution = shown.get("conferenceSolution")
    changed: dict[str, Any] = {
        "conferenceId": way_in.conference_id,
        "entryPoints": [_entry_point(point) for point in presentable(way_in.entry_points)],
    }
    if isinstance(solution, Mapping):
        changed["conferenceSolution"] = dict(solution)
    if way_in.notes:
        changed["notes"] = way_in.notes[:_NOTES_LIMIT]
    return changed


def presentable(points: tuple[EntryPoint, ...]) -> list[EntryPoint]:
    """Return the entry points that Calendar shows: known kinds with their kind of address, one
    of each but phones."""
    kept: list[EntryPoint] = []
    for point in points:
        single = point.kind != "phone" and any(other.kind == point.kind for other in kept)
        if (
            single
            or not point.uri.startswith(_SCHEMES.get(point.kind, ()))
            or len(point.uri) > _URI_LIMIT
        ):
            continue
        kept.append(point)
    # "more" never stands alone.
    return kept if any(point.kind != "more" for point in kept) else []


def fallback(
    event: Event, conference: ConferenceRef, way_in: WayIn, rules: Rules
) -> dict[str, Any]:
    """Return what to write when Calendar takes no conference data from us (W4).

    The link goes to the location unless a person put something else there, all of it into the
    marked block, and our private property says what it is. The stale conference data goes. Raises
    Invalid for an id that Calendar would cut.
    """
    if max(len(conference.provider), len(conference.conference_id)) > _PROPERTY_LIMIT:
        # Written, it would be cut without a word, and name another conference from then on.
        raise Invalid(
            f"the conference id is longer than the {_PROPERTY_LIMIT} characters that Calendar keeps of it"
        )
    points = presentable(way_in.entry_points)
    video = next((point.uri for point in points if point.kind == "video"), None)
    changes: dict[str, Any] = {
        "conferenceData": None,
        "description": without_block(event.description) + block(points, way_in.notes),
        "extendedProperties": {
            "private": {
                PROVIDER_PROPERTY: conference.provider,
                ID_PROPERTY: conference.conference_id,
            }
        },
    }
    if video and (not event.location.strip() or join_link_of(event.location, rules)):
        changes["location"] = video
    return changes


def block(points: list[EntryPoint], notes: str | None) -> str:
    """Return the marked block for the end of a description, which may be HTML."""
    lines = []
    for point in points:
        codes = [
            f"{name} {value}"
            for name, value in (
                ("passcode", point.passcode or point.password),
                ("PIN", point.pin),
                ("access code", point.access_code),
                ("meeting code", point.meeting_code),
            )
            if value
        ]
        uri = point.uri.removeprefix("tel:").removeprefix("sip:")
        lines.append(escape(", ".join([f"{_KINDS[point.kind]}: {uri}", *codes]), quote=False))
    if notes:
        plain = re.sub(r"<[^>]*>", "", notes)
        # The block ends where we end it, not where a note says so.
        lines.append(plain.replace(BLOCK_END, "").replace(BLOCK_BEGIN, "")[:_NOTES_LIMIT])
    return "\n\n" + "\n".join([BLOCK_BEGIN, *lines, BLOCK_END])


_KINDS = {"video": "Join", "phone": "Phone", "sip": "SIP", "more": "More"}


def _entry_point(point: EntryPoint) -> dict[str, str]:
    codes = {
        "passcode": point.passcode,
        "pin": point.pin,
        "accessCode": point.access_code,
        "meetingCode": point.meeting_code,
        "password": point.password,
    }
    shown = {"entryPointType": point.kind, "uri": point.uri}
    if point.label and point.kind != "more":
        shown["label"] = point.label[:_LABEL_LIMIT]
    # A code cut short would let nobody in: better none.
    shown.update({name: code for name, code in codes.items() if code and len(code) <= _CODE_LIMIT})
    return shown


def _etag(event: Event) -> Etag:
    if event.etag is None:
        raise Invalid(
            "Calendar gave no etag for the event; without one, a write could overwrite somebody"
        )
    return event.etag
