"""`ccsync explain`: why the conference of an event is followed or left alone."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from ccsync import tokens
from ccsync.advice import in_step, next_step
from ccsync.errors import NOT_IN_STEP, WELL, Misused
from ccsync.finding import CalendarReader, Found, of_calendar_link
from ccsync.options import common, pass_session
from ccsync.server import event_path
from ccsync.session import Session

Json = dict[str, Any]

_EVIDENCE = {
    "conference_data": "its conference data",
    "property": "our mark on the event",
    "location": "the link in its location",
    "description": "the link in its description",
}
_CONDITION = {
    "live": "live",
    "deleted": "deleted",
    "unknown": "Calendar knows no such event",
    "hidden": "Calendar does not show us its details",
}


@click.command()
@click.argument("calendar")
@click.argument("event", required=False, metavar="EVENT|LINK|TITLE")
@click.option(
    "--on",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DAY",
    help="The day of the event, 2026-11-26. A title needs it, for a link it narrows.",
)
@common
@pass_session
def explain(session: Session, calendar: str, event: str | None, day: datetime | None) -> int:
    """Explain an event: whose conference it has, and what would be done now.

    EVENT is its id in Calendar's API. LINK is a link to join, or Calendar's own link to the event,
    which may also stand alone in place of CALENDAR. TITLE needs --on. Titles and links to join are
    looked up with your own access to Calendar. Ends with 3 if something waits to be done.
    """
    found = _found(session, calendar, event, day)
    with session.out.progress("Asking the server, which reads the event and its conference"):
        told = session.server.call("GET", event_path(found.calendar_id, found.event_id))
    step = next_step(told)
    if session.out.as_json:
        session.out.json({**told, "title": found.title, "start": found.start, "next": step})
    else:
        _show(session, told, found, step)
    return WELL if in_step(told) else NOT_IN_STEP


def _found(session: Session, calendar: str, event: str | None, day: datetime | None) -> Found:
    if not calendar.strip():
        raise Misused("the calendar is empty; give its id, or Calendar's own link to the event")
    link = of_calendar_link(event or calendar)
    if link is not None:
        # The link names the calendar that it was copied from; a named one decides.
        given = calendar if event else link.calendar_id
        return Found(calendar_id=given, event_id=link.event_id)
    if not event:
        raise Misused(
            "the event is missing; give the calendar and the event's id, a link, or its title with "
            "--on DAY"
        )
    if event.startswith(("http://", "https://")):
        with session.out.progress("Looking for the link in Calendar"):
            return _reader(session).by_link(calendar, event, day.date() if day else None)
    if day is not None:
        with session.out.progress("Looking for the title in Calendar"):
            return _reader(session).by_title(calendar, event, day.date())
    if any(letter.isspace() for letter in event):
        raise Misused(f'"{event}" is no event id; for a title give its day with --on as well')
    return Found(calendar_id=calendar, event_id=event)


def _reader(session: Session) -> CalendarReader:
    where = session.target
    return CalendarReader(
        where.calendar, tokens.calendar_headers if where.calendar_signed else None
    )


def _show(session: Session, told: Json, found: Found, step: str) -> None:
    what = _CONDITION.get(told["event"], told["event"])
    title = f"{found.title} ({found.start}), " if found.title else ""
    lines = {
        "event": f"{title}{told['event_id']} in {told['calendar_id']}: {what}",
        "conference": _conference(told),
        "followed": _followed(told),
        "why": f"{told['reason']} ({told['rule']})",
        "last": _last(told["last"]),
        "now": ", ".join(told["would"]) or "nothing would be done",
        "failure": _failure(told["failure"]),
        "next": step,
    }
    for name, value in lines.items():
        if value:
            session.out.say(f"{name + ':':<13}{value}")


def _conference(told: Json) -> str:
    if told["conference_id"] is None:
        return "none of a configured provider"
    evidence = _EVIDENCE.get(told["evidence"], told["evidence"])
    seen = f", shown by {evidence}" if evidence else ""
    return f"{told['conference_id']} of {told['provider']}{seen}"


def _followed(told: Json) -> str:
    if told["follows"] and told["leads"]:
        return "yes, it follows this event"
    if told["follows"]:
        return "yes, but it does not follow this event"
    return "no, it is left alone" if told["conference_id"] else "no"


def _last(last: Json | None) -> str | None:
    return f"{last['action']} at {last['at']}: {last['outcome']}" if last else None


def _failure(failure: Json | None) -> str | None:
    if failure is None:
        return None
    return f"{failure['state']} after {failure['attempts']} tries: {failure['reason']}"
