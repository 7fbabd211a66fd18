"""The end of a walk: trouble ends, everything is made good, and conferences equal the calendar."""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import unquote

from sync.errors import SyncError
from sync.event.recognise import ID_PROPERTY
from sync.model.calendar import Access, CalendarStatus
from sync.model.conference import Failure, FailureState
from sync.model.event import CalendarId, ConferenceId, Event, EventId
from sync.operate import calendars, maintenance
from sync.run.lease import LEASE
from tests.support.walk import Json, One, Walk, named_in

_ROUNDS = 14
_ROUND_SECONDS = 3700
_LEFT = (FailureState.LEFT, FailureState.APPROXIMATE)


def settle(walk: Walk) -> None:
    """No more trouble. The queue and the clock go on, and operators retry what is parked."""
    walk.story.append("the end:")
    while walk.frozen:
        walk.frozen.pop().go_on()
    walk.system.faults.clear()
    walk.bench.calendar.faults.clear()
    for person in walk.people:
        walk.bench.calendar.grant_access(person)
    walk.bench.clock.advance(LEASE.total_seconds() + 1)
    for person in walk.people:
        walk.attempt(partial(calendars.start, walk.bench.services, person, Access()))
    _go_on(walk)
    _touch_all(walk)
    _go_on(walk)
    # What the add-on made and no event carries is due now (A5).
    walk.bench.clock.advance(walk.bench.settings.adopt.total_seconds())
    _go_on(walk)


def _go_on(walk: Walk) -> None:
    bench = walk.bench
    for number in range(_ROUNDS):
        for person in walk.people:
            walk.attempt(partial(bench.sync, person))
        bench.run_tasks(errors=lambda error: walk.tell(f"({type(error).__name__})"))
        waiting = [failure for failure in bench.failures() if failure.state not in _LEFT]
        if number > 1 and not waiting and not bench.waiting():
            break
        for failure in bench.failures():
            if failure.state is not FailureState.APPROXIMATE:
                calendars.retry_failure(bench.services, failure.id)
        bench.clock.advance(_ROUND_SECONDS)
        walk.attempt(lambda: maintenance.maintain(bench.services))
    bench.run_tasks()


def _touch_all(walk: Walk) -> None:
    """What the provider has lost, or an operator dismissed, is noticed when its event changes."""
    for number, one in enumerate(walk.events):
        if walk.raw(one).get("status") == "confirmed":
            walk.bench.calendar.edit(*one, {"summary": f"In the end {number}"})


def check(walk: Walk) -> None:
    """Raise AssertionError for whatever is not as it must be."""
    failures = {_ref(failure): failure for failure in walk.bench.failures()}
    failing = [failure for failure in failures.values() if failure.state not in _LEFT]
    assert not failing, f"failures are left: {failing}"
    _calendars_are_well(walk)
    _strangers_are_untouched(walk)
    carried = _carried(walk, failures)
    for conference_id, events in carried.items():
        assert conference_id in walk.system.conferences, (
            f"{events} lead to {conference_id}, which is not there"
        )
        _in_step(walk, conference_id, events)
    _nothing_is_left_over(walk, set(carried))
    _is_quiet(walk)


def _calendars_are_well(walk: Walk) -> None:
    for person in walk.people:
        document = walk.bench.store.get_calendar(person)
        assert document is not None, f"{person} is not started"
        state = document.value
        assert state.status in (CalendarStatus.OK, CalendarStatus.POLLED), state
        assert (state.lease, state.failing, state.checkpoint) == (None, None, None), state
        channels = [channel["id"] for channel in walk.bench.calendar.channels(person)]
        assert state.channel is not None, state
        assert channels == [state.channel.id], f"{channels} are open, {state.channel} is recorded"


def _strangers_are_untouched(walk: Walk) -> None:
    for conference_id, made in walk.strangers.items():
        now = walk.system.conferences.get(conference_id)
        changed = {name: (made[name], (now or {}).get(name)) for name in made}
        changed = {name: pair for name, pair in changed.items() if pair[0] != pair[1]}
        assert not changed, f"a stranger's {conference_id} was changed: {changed}"
        written = [path for path in _written(walk) if named_in(conference_id, path)]
        assert not written, f"a stranger's conference was written: {written}"


def _written(walk: Walk) -> list[str]:
    return [
        unquote(one.path)
        for one in walk.system.requests()
        if one.method not in ("GET", "POST") and "token" not in one.path
    ]


def _carried(walk: Walk, failures: dict[One, Failure]) -> dict[str, list[One]]:
    """Which living events lead to which conference, as the calendar and we have it, alike."""
    carried: dict[str, list[One]] = {}
    for one in dict.fromkeys(walk.events):
        event = walk.raw(one)
        link = walk.bench.link(*one)
        followed = link.carried.conference.conference_id if link and link.carried else None
        if event.get("status") != "confirmed" or not event.get("organizer", {}).get("self"):
            assert followed is None, f"{one} follows {followed} and is deleted, or not ours"
            continue
        shown = shows(event)
        left = failures.get(one)
        if followed is not None:
            assert _stands_in(walk, followed, event), f"{one} follows {followed}, and shows {shown}"
            carried.setdefault(followed, []).append(one)
        elif shown is not None and shown not in walk.strangers:
            assert left is not None, f"{one} shows {shown}, and nothing follows it"
            assert _may_be_left(walk, one, shown), f"{one} shows {shown}: {left.reason}"
    return carried


def shows(event: Json) -> str | None:
    """The conference that an event leads people to, by strong evidence."""
    if "conferenceData" in event:
        return str(event["conferenceData"]["conferenceId"])
    private: dict[str, str] = event.get("extendedProperties", {}).get("private", {})
    return private.get(ID_PROPERTY)


def _stands_in(walk: Walk, conference_id: str, event: Json) -> bool:
    """Something in the event names the conference, or the one that it replaces."""
    text = json.dumps(event, ensure_ascii=False)
    names = {conference_id, walk.links.get(conference_id, conference_id)}
    return any(named_in(name, text) for name in names)


def _may_be_left(walk: Walk, one: One, shown: str) -> bool:
    """O2, O4: a single event follows no recurring conference, and nothing that was lost.

    Nor does an event that was moved to another calendar at another time than the conference's: no
    record says there that we wrote the property, so the property is weak evidence (E1).
    """
    event, system = walk.raw(one), walk.system
    if not system.exists(shown):
        return True
    if system.recurring(shown) and "recurrence" not in event:
        return True
    was_moved = any(other[1] == one[1] and other[0] != one[0] for other in walk.events)
    start = datetime.fromisoformat(event["start"]["dateTime"])
    return was_moved and "conferenceData" not in event and system.begins(shown) != start


def _in_step(walk: Walk, conference_id: str, events: list[One]) -> None:
    links = {one: walk.bench.link(*one) for one in events}
    leaders = [one for one, link in links.items() if link and link.leading]
    assert len(leaders) == 1, f"{conference_id} is led by {leaders} of {links}"
    [leader] = leaders
    event, system = walk.raw(leader), walk.system
    title = system.title(conference_id)
    assert title == event["summary"], (
        f"{conference_id} is called {title}, {leader} {event['summary']}"
    )
    series = "recurrence" in event and system.name != "teams"
    assert system.recurring(conference_id) is series, f"{conference_id}: {leader} is {series}"
    start = datetime.fromisoformat(event["start"]["dateTime"])
    if start > walk.bench.clock():  # of a series under way, some systems are sent what is left
        begins = system.begins(conference_id)
        assert begins == start, f"{conference_id} begins at {begins}, {leader} at {start}"
    if system.name == "my-web" and series:
        _occurrences_in_step(walk, conference_id, leader)


def _occurrences_in_step(walk: Walk, conference_id: str, series: One) -> None:
    """E5: each occurrence that differs from its series is told, cancelled ones too.

    And what was told for another leader, where this series has no exception, is undone.
    """
    told = dict(walk.system.conferences[conference_id]["occurrences"])
    link = walk.bench.link(*series)
    assert link is not None
    assert link.carried is not None
    names = link.carried.names
    for event in exceptions(walk, *series):
        assert event.original_start is not None
        start = event.original_start.utc()
        known: Any = told.pop(start, "nothing")
        if event.cancelled:
            assert known is None, f"{series} at {start} is cancelled, {known} was told"
            continue
        if _has_its_own(walk, event, names):
            continue
        assert event.start is not None
        alike = (event.title, event.start.utc()) == (walk.raw(series)["summary"], start)
        if alike and conference_id in walk.forgotten:
            continue  # H3: as below, and nothing differs that would be told
        if known == "nothing":
            assert event.title == walk.raw(series)["summary"], f"{series} at {start} was not told"
            continue
        _told_alike(known, event, f"{series} at {start}")
    if conference_id in walk.forgotten:
        return  # H3: what was told for a calendar that is stopped is not known any more
    for start, known in told.items():
        calendar_id, event_id = series
        found = walk.raw((calendar_id, EventId(f"{event_id}_{re.sub('[-:]', '', start)}")))
        # The second half of a series that was split names its occurrences alike.
        if found.get("status") == "confirmed" and found.get("recurringEventId") == event_id:
            _told_alike(known, Event.from_api(found), f"{series} at {start}, no exception")


def _told_alike(known: Any, event: Event, where: str) -> None:
    assert known is not None, f"{where} was cancelled"
    assert known["title"] == event.title, f"{where}: {known}, {event.title}"
    assert event.start is not None
    moment = datetime.fromisoformat(known["start"])
    assert moment == event.start.moment, f"{where}: {known}, {event.start}"


def _has_its_own(walk: Walk, event: Event, series: frozenset[ConferenceId]) -> bool:
    """E1, E5: an occurrence with another conference than its series is an event by itself.

    `series` names the conference of the series. Our property shows one where Calendar refuses our
    conference data (W4). A link in the location, beside no other one, shows a conference as well.
    Where it is not proven, it is left alone, and the occurrence with it (O3).
    """
    if event.conference_data is not None:
        return event.conference_data.conference_id not in series
    if ID_PROPERTY in event.private:
        return event.private[ID_PROPERTY] not in series
    in_location = {one for one, link in walk.links.items() if named_in(link, event.location)}
    return len(in_location) == 1 and not in_location & series


def exceptions(walk: Walk, calendar_id: CalendarId, event_id: EventId) -> list[Event]:
    """The occurrences that differ from their series, or may."""
    found = [
        Event.from_api(item)
        for item in walk.bench.calendar.events(calendar_id)
        if item.get("recurringEventId") == event_id and "originalStartTime" in item
    ]
    return found


def _nothing_is_left_over(walk: Walk, carried: set[str]) -> None:
    """C4: what we made, or followed, does not outlive its events, whatever is recorded of it."""
    written = _written(walk)
    for conference_id in set(walk.system.conferences) - carried - set(walk.strangers):
        if conference_id in walk.released or _stands_somewhere(walk, conference_id):
            continue
        made = conference_id not in walk.added
        followed = any(named_in(conference_id, path) for path in written)
        record = [
            link
            for person in walk.people
            for link in walk.bench.store.links_of_calendar(person)
            if named_in(conference_id, str(link.value))
        ]
        assert not made, f"{conference_id} was made by us, and no event carries it: {record}"
        assert not followed, f"{conference_id} was followed, and no event carries it: {record}"


def _stands_somewhere(walk: Walk, conference_id: str) -> bool:
    """E3: what stands in a living event, though it carries another one, was not removed."""
    living = [walk.raw(one) for one in walk.events]
    return any(
        _stands_in(walk, conference_id, event)
        for event in living
        if event.get("status") == "confirmed" and event.get("organizer", {}).get("self")
    )


def _is_quiet(walk: Walk) -> None:
    """E4, W2: once in step, another run changes nothing."""
    before = len(_written(walk))
    for person in walk.people:
        try:
            walk.bench.sync(person)
        except SyncError as error:
            raise AssertionError(f"{person} cannot be synced in the end") from error
    written = _written(walk)[before:]
    assert not written, f"in step, and written all the same: {written}"


def _ref(failure: Failure) -> One:
    return failure.event.calendar_id, failure.event.event_id
