"""Writes an event's way into its conference to Calendar, without overwriting anybody (W1-W4)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from html import escape
from typing import Any

from sync.context import BoundCalendar, Run
from sync.errors import Conflict, Invalid, NotAllowed, TryLater
from sync.event.case import Case
from sync.event.content import BLOCK_BEGIN, BLOCK_END, without_block
from sync.event.marks import marked
from sync.event.recognise import (
    ID_PROPERTY,
    PROVIDER_PROPERTY,
    in_property,
    shown_by,
    with_link_replaced,
)
from sync.logs import short
from sync.model.conference import ConferenceRef, Link, WayIn
from sync.model.event import ConferenceData, ConferenceId, EntryPoint, Etag, Event
from sync.model.provider import Rules
from sync.tracing import span, tell

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
    """Return the times of writes that still count, this one among them (W2).

    Raises TryLater when there were too many within an hour.
    """
    recent = tuple(moment for moment in link.writes if now - moment < _HOUR)
    if len(recent) >= WRITES_PER_HOUR:
        raise TryLater(
            "this event was written too often within an hour", after=recent[0] + _HOUR - now
        )
    return (*recent, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """What is written into an event: the way into a conference that was created anew.

    `old`: the conferences that this one is in place of. Their links in the location are replaced.
    """

    conference: ConferenceRef
    way_in: WayIn
    old: frozenset[ConferenceRef] = frozenset()


def show(run: Run, case: Case, entrance: Entrance) -> None:
    """Give the event the new way in, as conference data if Calendar takes it, else as text (W4).

    Raises Conflict when somebody wrote since (W1), Invalid when Calendar takes neither.
    """
    _count(run, case, written=entrance.conference.conference_id)
    event = _written(run, case, lambda: put(run.calendar, case.event, entrance, run.rules))
    link = case.remembered
    if link.carried is None:
        raise Conflict
    shown = replace(link.carried, replaces=None)
    shown = marked(shown, event, run.rules) if event else shown
    case.put(run, replace(link, carried=shown, etag=event.etag if event else None))


def hide(run: Run, case: Case) -> None:
    """Take our text and properties out of an event that carries another conference now (W4).

    Raises Conflict when somebody wrote since (W1).
    """
    case.action = "write back"
    _count(run, case, written=None)
    event = _written(run, case, lambda: take_out(run.calendar, case.event, run.rules))
    case.put(run, replace(case.remembered, etag=event.etag if event else None))


def _count(run: Run, case: Case, *, written: ConferenceId | None) -> None:
    """W2: counted before the write is done, so that a loop does not escape by crashing."""
    link = case.remembered
    writes = refuse_loops(link, run.clock())
    case.put(run, replace(link, writes=writes, written=written or link.written))


@span("write back")
def _written(run: Run, case: Case, write: Callable[[], Event | None]) -> Event | None:
    """Return the event after a write. A write that Calendar refused (412) does not count (W2)."""
    tell(event=short(case.ref.event_id))
    run.still_ours()
    try:
        event = write()
    except Conflict:
        link = case.remembered
        case.put(run, replace(link, writes=link.writes[:-1]))
        raise
    except NotAllowed as error:
        # Calendar refuses to change a deleted event: decide again from what it is now.
        now = run.calendar.get_event(case.ref.event_id).event
        if now is not None and now.cancelled:
            raise Conflict from error
        raise
    return event


def put(calendar: BoundCalendar, event: Event, entrance: Entrance, rules: Rules) -> Event:
    """Write the way in into an event, and read it back: 200 is no promise (W4).

    Returns the event as it is then. Raises Conflict, and Invalid if Calendar keeps neither form.
    """
    data = event.conference_data
    if data is not None and PROVIDER_PROPERTY not in event.private:
        try:
            changes = {"conferenceData": conference_data(data, entrance.way_in)}
            calendar.patch_event(event.id, changes, _etag(event))
        except Invalid:
            if event.etag is None:
                raise
            # 400: third-party conference data is taken from add-ons alone.
        else:
            # The data was seen to be dropped without a word.
            written = calendar.get_event(event.id).event
            if written is None:
                raise Invalid("Calendar answered the event that was written in no readable form")
            if _shows(written, entrance.conference, rules):
                return written
            event = written
    changes = fallback(event, entrance, rules)
    kept = calendar.patch_event(event.id, changes, _etag(event)).event
    if kept is None or not _shows(kept, entrance.conference, rules):
        raise Invalid(
            "Calendar did not keep the way into the conference, neither as conference data nor as "
            "text"
        )
    return kept


def take_out(calendar: BoundCalendar, event: Event, rules: Rules) -> Event | None:
    """Take out of an event what `put` wrote as text. What people wrote stays. Raises Conflict."""
    changes: dict[str, Any] = {
        "description": without_block(event.description),
        "extendedProperties": {"private": {PROVIDER_PROPERTY: None, ID_PROPERTY: None}},
    }
    written = in_property(event, rules)
    if written is not None:
        location = with_link_replaced(event.location, written, "", rules)
        if location != event.location:
            changes["location"] = location.strip(" ,;")
    return calendar.patch_event(event.id, changes, _etag(event)).event


def _shows(event: Event, conference: ConferenceRef, rules: Rules) -> bool:
    shown = shown_by(event, rules)
    return shown is not None and shown.conference == conference


def conference_data(shown: ConferenceData, way_in: WayIn) -> dict[str, Any]:
    """Return conference data with another way in: the same solution, new id and entry points."""
    changed: dict[str, Any] = {
        "conferenceId": way_in.conference_id,
        "entryPoints": [_entry_point(point) for point in presentable(way_in.entry_points)],
    }
    if shown.solution_shown is not None:
        changed["conferenceSolution"] = dict(shown.solution_shown)
    if way_in.notes:
        changed["notes"] = way_in.notes[:_NOTES_LIMIT]
    return changed


def presentable(points: tuple[EntryPoint, ...]) -> list[EntryPoint]:
    """Return the entry points that Calendar shows.

    Known kinds with their kind of address, one of each but phones. `more` never stands alone.
    """
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


def fallback(event: Event, entrance: Entrance, rules: Rules) -> dict[str, Any]:
    """Return what to write when Calendar takes no conference data from us (W4).

    The link goes to the location: an empty one, or in place of an old link that stands there. What
    else a person put there stays, the link of another conference too. All of the way in goes into
    the marked block, and our private property says what it is. The stale conference data goes.
    Raises Invalid for an id that Calendar would cut.
    """
    conference, way_in = entrance.conference, entrance.way_in
    if max(len(conference.provider), len(conference.conference_id)) > _PROPERTY_LIMIT:
        # Written, it would be cut without a word, and name another conference from then on.
        raise Invalid(
            f"the conference id has more than the {_PROPERTY_LIMIT} characters that Calendar "
            "keeps of one"
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
    if video:
        location = event.location
        for old in entrance.old:
            location = with_link_replaced(location, old, video, rules)
        if not location.strip():
            location = video
        if location != event.location:
            changes["location"] = location
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
        plain = re.sub(r"<[^<>]*>", "", notes)
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
