"""What people do to their events in a walk, and strangers to ours."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sandbox.google_calendar import recurrence
from sandbox.google_calendar.errors import ApiError
from tests.support.walk import Json, One, Step, Walk

WEEKLY = ["RRULE:FREQ=WEEKLY;COUNT=4"]
_UNTIL = "%Y%m%dT%H%M%SZ"
# Words around a link, which are no part of it.
_SENTENCES = (
    "Room 7, {}.",
    "see ({}); bring a pen",
    "{}, or by phone",
    "<{}>",
    "Ort: \u201e{}\u201c",
)


def create(walk: Walk) -> None:
    person = walk.person()
    shown, conference_id = walk.conference(person)
    walk.tell(*walk.add(person, shown), "carries", conference_id)


def create_series(walk: Walk) -> None:
    person = walk.person()
    shown, conference_id = walk.conference(person)
    walk.tell(*walk.add(person, shown, recurrence=WEEKLY), "carries", conference_id)


def create_by_link(walk: Walk) -> None:
    """The conference's link alone, among other words, and it begins when the event does."""
    person, times = walk.person(), walk.times()
    begins = datetime.fromisoformat(times["start"]["dateTime"])
    start = begins.replace(tzinfo=ZoneInfo("Europe/Berlin"))
    _, conference_id = walk.conference(person, start)
    location = walk.random.choice(_SENTENCES).format(walk.links[conference_id])
    one = walk.add(person, None, location=location, **times)
    walk.tell(*one, "has the link of", conference_id)


def be_invited_by_a_stranger(walk: Walk) -> None:
    """A stranger's event, whose guest the person is."""
    person = walk.person()
    shown, conference_id = walk.strange()
    one = walk.add(
        person,
        shown,
        organizer={"email": walk.stranger},
        creator={"email": walk.stranger},
        attendees=[{"email": walk.stranger}, {"email": person}],
    )
    walk.tell(*one, "of a stranger carries", conference_id)


def carry_a_strangers_conference(walk: Walk) -> None:
    """A person's own event with somebody else's conference: as data, or as a link."""
    person, times = walk.person(), walk.times()
    begins = datetime.fromisoformat(times["start"]["dateTime"])
    start = begins.replace(tzinfo=ZoneInfo("Europe/Berlin"))
    shown, conference_id = walk.strange(start)
    if walk.random.random() < 0.5:
        one = walk.add(person, shown, **times)
    else:
        location = walk.random.choice(_SENTENCES).format(walk.links[conference_id])
        one = walk.add(person, None, location=location, **times)
    walk.tell(*one, "carries a stranger's", conference_id)


def write_a_link_into_an_event(walk: Walk) -> None:
    """Anybody's link, into anybody's event: a second one in the location means none (E1)."""
    one = walk.living(_ours)
    if one is None or not walk.links:
        return
    conference_id = walk.random.choice(sorted(walk.links))
    text = walk.random.choice(_SENTENCES).format(walk.links[conference_id])
    member = walk.random.choice(["location", "description"])
    before = walk.raw(one).get(member, "")
    walk.bench.calendar.edit(*one, {member: f"{before} {text}".strip()})
    walk.tell(*one, "gets the link of", conference_id, "in its", member)


def take_links_out_of_an_event(walk: Walk) -> None:
    one = walk.living(lambda event: _ours(event) and "conferenceData" in event)
    if one is not None:
        walk.bench.calendar.edit(*one, {"location": None, "description": None})
        walk.tell(*one)


def edit(walk: Walk) -> None:
    if one := walk.living(_ours):
        walk.bench.calendar.edit(*one, {"summary": walk.title()})
        walk.tell(*one)


def move_in_time(walk: Walk) -> None:
    if one := walk.living(lambda event: _ours(event) and "recurringEventId" not in event):
        times = walk.times()
        walk.bench.calendar.edit(*one, {**times, **_moved_end(walk.raw(one), times["start"])})
        walk.tell(*one)


def _moved_end(event: Json, start: Json) -> Json:
    """Calendar moves the end of a series that has one by as much as its start: it has dates."""
    moved = datetime.fromisoformat(start["dateTime"]).replace(tzinfo=ZoneInfo(start["timeZone"]))
    by = moved - datetime.fromisoformat(event["start"]["dateTime"])

    def later(until: re.Match[str]) -> str:
        return f"{until[1]}{datetime.strptime(until[2], _UNTIL) + by:{_UNTIL}}"  # noqa: DTZ007 - in UTC

    lines = event.get("recurrence", [])
    return (
        {"recurrence": [re.sub(r"(;UNTIL=)(\w+)", later, line) for line in lines]} if lines else {}
    )


def cancel(walk: Walk) -> None:
    if one := walk.living():
        walk.bench.calendar.cancel(*one)
        walk.tell(*one)


def restore(walk: Walk) -> None:
    found = [
        one
        for one in walk.events
        if walk.raw(one).get("status") == "cancelled"
        and "summary" in walk.raw(one)
        and _comes_back(walk, one)
    ]
    if found:
        _try(walk, walk.random.choice(found), "restore")


def _comes_back(walk: Walk, one: One) -> bool:
    """Whether a system can hold an event again that is restored.

    Zoom and Webex bring no cancelled occurrence back, and it would be parked (C5). `rest` does, but
    for a date that its series has no more.
    """
    event, start = walk.raw(one), walk.raw(one).get("originalStartTime")
    if start is None:
        return True
    if walk.system.name in ("zoom", "webex"):
        return False
    series = walk.raw((one[0], event["recurringEventId"]))
    return "recurrence" not in series or recurrence.includes(series, start, "Europe/Berlin")


def copy_event(walk: Walk) -> None:
    one = walk.living(lambda event: _ours(event) and "conferenceData" in event)
    if one is None:
        return
    event = walk.raw(one)
    extra = {"recurrence": event["recurrence"]} if "recurrence" in event else {}
    copied = walk.add(walk.person(), event["conferenceData"], **extra)
    if ";UNTIL=" in str(extra):
        # At another time the old end could be before the first date.
        walk.bench.calendar.edit(*copied, _moved_end(event, walk.raw(copied)["start"]))
    walk.tell(*one, "as", *copied)


def move_to_other_calendar(walk: Walk) -> None:
    one = walk.living(
        lambda event: _ours(event) and not {"recurrence", "recurringEventId"} & set(event)
    )
    if one is None:
        return
    other = walk.people[walk.people.index(one[0]) - 1]
    if walk.bench.calendar.get(other, one[1]) is None:
        _try(walk, one, "move", other)
        # What was once an occurrence of it, and was restored by itself, goes with it.
        children = [each for each in walk.events if each[1].startswith(f"{one[1]}_")]
        walk.events += [(other, event_id) for _, event_id in [one, *children]]


def replace_conference(walk: Walk) -> None:
    if one := walk.living(_ours):
        shown, conference_id = walk.conference(one[0])
        walk.bench.calendar.edit(*one, {"conferenceData": shown})
        walk.tell(*one, "by", conference_id)


def remove_conference(walk: Walk) -> None:
    if one := walk.living(lambda event: _ours(event) and "conferenceData" in event):
        walk.bench.calendar.edit(*one, {"conferenceData": None})
        walk.tell(*one)


def edit_occurrence(walk: Walk) -> None:
    if found := walk.occurrence():
        walk.bench.calendar.edit(*found[0], {"summary": walk.title()})
        walk.tell(*found[0])


def move_occurrence(walk: Walk) -> None:
    if found := walk.occurrence():
        one, event = found
        changed = {}
        for member in ("start", "end"):
            moment = datetime.fromisoformat(event[member]["dateTime"])
            moved = moment.replace(hour=(moment.hour + 2) % 24)
            changed[member] = {**event[member], "dateTime": moved.isoformat()}
        walk.bench.calendar.edit(*one, changed)
        walk.tell(*one)


def cancel_occurrence(walk: Walk) -> None:
    if found := walk.occurrence():
        walk.bench.calendar.cancel(*found[0])
        walk.tell(*found[0])


def give_occurrence_a_conference(walk: Walk) -> None:
    """An occurrence with a conference of its own is an event by itself (E5)."""
    if found := walk.occurrence():
        one = found[0]
        shown, conference_id = walk.conference(one[0])
        walk.bench.calendar.edit(*one, {"conferenceData": shown})
        if one not in walk.events:
            walk.events.append(one)
        walk.tell(*one, "carries", conference_id)


def split_series(walk: Walk) -> None:
    """This and following: a second series with the same conference (E7)."""
    found = walk.occurrence()
    if found is None:
        return
    (calendar_id, _), event = found
    series = event["recurringEventId"]
    try:
        made = walk.bench.calendar.split(
            calendar_id, series, event["originalStartTime"], {"summary": walk.title()}
        )
    except ApiError:
        return
    walk.events.append((calendar_id, made["id"]))
    walk.tell(calendar_id, series, "as", made["id"])


def delete_following(walk: Walk) -> None:
    if found := walk.occurrence():
        (calendar_id, _), event = found
        try:
            walk.bench.calendar.delete_following(
                calendar_id, event["recurringEventId"], event["originalStartTime"]
            )
        except ApiError:
            return
        walk.tell(calendar_id, event["recurringEventId"])


def make_single(walk: Walk) -> None:
    if one := walk.living(lambda event: _ours(event) and "recurrence" in event):
        for other in walk.bench.calendar.events(one[0]):
            if other.get("recurringEventId") == one[1] and other.get("status") == "confirmed":
                walk.bench.calendar.cancel(one[0], other["id"])
        walk.bench.calendar.edit(*one, {"recurrence": None})
        walk.tell(*one)


def make_recurring(walk: Walk) -> None:
    one = walk.living(
        lambda event: _ours(event) and not {"recurrence", "recurringEventId"} & set(event)
    )
    if one is not None:
        walk.bench.calendar.edit(*one, {"recurrence": WEEKLY})
        walk.tell(*one)


def give_away(walk: Walk) -> None:
    """Another person organizes the event from now on: our copy decides no more (E6)."""
    if one := walk.living(lambda event: _ours(event) and "recurringEventId" not in event):
        walk.release_event(one)
        _organize(walk, one, walk.stranger)
        walk.tell(*one)


def take_back(walk: Walk) -> None:
    one = walk.living(
        lambda event: (
            not _ours(event) and _created_by(walk, event) and "recurringEventId" not in event
        )
    )
    if one is not None:
        _organize(walk, one, one[0])
        walk.tell(*one)


def _organize(walk: Walk, one: One, organizer: str) -> None:
    """Give an event another organizer, and its exceptions with it.

    Calendar refuses to give an occurrence another one (`cannotChangeOrganizerOfInstance`).
    https://developers.google.com/workspace/calendar/api/v3/reference/events/move
    """
    calendar_id, event_id = one
    for event in walk.bench.calendar.events(calendar_id):
        if event_id in (event["id"], event.get("recurringEventId")):
            walk.bench.calendar.edit(calendar_id, event["id"], {"organizer": {"email": organizer}})


def hide_event(walk: Walk) -> None:
    if one := walk.living(_ours):
        hidden = walk.random.choice(["private", "default"])
        walk.bench.calendar.edit(*one, {"visibility": hidden})
        walk.tell(*one, hidden)


def recolour(walk: Walk) -> None:
    """What matters to no provider (E4)."""
    if one := walk.living(_ours):
        walk.bench.calendar.edit(*one, {"colorId": str(walk.random.randint(1, 9))})
        walk.tell(*one)


def _ours(event: Json) -> bool:
    return bool(event.get("organizer", {}).get("self"))


def _created_by(walk: Walk, event: Json) -> bool:
    return event.get("creator", {}).get("email") in walk.people


def _try(walk: Walk, one: One, what: str, *more: object) -> None:
    """Do what Calendar may refuse: then the person leaves it."""
    act: Any = getattr(walk.bench.calendar, what)
    try:
        act(*one, *more)
    except ApiError:
        return
    walk.tell(*one)


STEPS = (
    Step(weight=4, act=create),
    Step(weight=2, act=create_series),
    Step(weight=2, act=create_by_link),
    Step(weight=1, act=be_invited_by_a_stranger),
    Step(weight=2, act=carry_a_strangers_conference),
    Step(weight=2, act=write_a_link_into_an_event),
    Step(weight=1, act=take_links_out_of_an_event),
    Step(weight=5, act=edit),
    Step(weight=2, act=move_in_time),
    Step(weight=3, act=cancel),
    Step(weight=2, act=restore),
    Step(weight=2, act=copy_event),
    Step(weight=2, act=move_to_other_calendar),
    Step(weight=1, act=replace_conference),
    Step(weight=1, act=remove_conference),
    Step(weight=2, act=edit_occurrence),
    Step(weight=1, act=move_occurrence),
    Step(weight=1, act=cancel_occurrence),
    Step(weight=1, act=give_occurrence_a_conference),
    Step(weight=1, act=split_series),
    Step(weight=1, act=delete_following),
    Step(weight=1, act=make_single),
    Step(weight=1, act=make_recurring),
    Step(weight=1, act=give_away),
    Step(weight=1, act=take_back),
    Step(weight=1, act=hide_event),
    Step(weight=1, act=recolour),
)
