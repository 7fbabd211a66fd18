"""`GET /calendars/{id}/events/{event_id}`: why an event is followed or left alone (section 2).

One row for each rule that keeps the system from acting. Whatever the row, asking changes nothing,
is repeatable, and shows no title, guest or join link.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from sync import logs, tracing
from sync.errors import NotFound
from sync.model.conference import Failure
from sync.model.event import CalendarId, EventId
from sync.operate import calendars, routes
from tests.support.bench import Bench, BenchMaker, shown, timed
from tests.support.series import WEEKLY, lose, occurrence
from tests.support.worlds import NAMES, Connected, at_ten, connect, running

Json = dict[str, Any]

TITLE = "Codename Quokka"
GUEST = "wombat@elsewhere.example"
CANARIES = ("Quokka", "wombat", "https://", "pwd=", "Secret agenda")
STRANGER = "numbat@elsewhere.example"


@dataclass
class Stage:
    """One calendar on a bench, and how a row of the table acts on it."""

    bench: Bench
    calendar_id: CalendarId

    def add(self, conference: Json | None = None, **fields: Any) -> EventId:
        """Add an event that holds all that an answer must not show."""
        said = {"summary": TITLE, "attendees": [{"email": GUEST}], "description": "Secret agenda"}
        return self.bench.event(self.calendar_id, conference, **{**said, **fields})

    def raw(self, event_id: str, **fields: Any) -> EventId:
        """Add an event of any shape, as Calendar would list it."""
        body = {"id": event_id, "status": "confirmed", "summary": TITLE, **self.own(), **fields}
        self.bench.calendar.seed_event(self.calendar_id, body, raw=True)
        return EventId(event_id)

    def own(self) -> Json:
        """Who organizes the events of this calendar, and when they are."""
        organizer = {"email": self.calendar_id, "self": True}
        return {"organizer": organizer, "creator": organizer, **timed("10:00", "11:00")}

    def followed(self, **fields: Any) -> tuple[EventId, str]:
        """An event that leads its conference, in step."""
        data, conference_id = self.bench.conference()
        event_id = self.add(data, **fields)
        self.sync()
        return event_id, conference_id

    def sync(self) -> None:
        self.bench.sync(self.calendar_id)

    def edit(self, event_id: EventId, **fields: Any) -> None:
        self.bench.calendar.edit(self.calendar_id, event_id, fields)

    def refuse(self, **fault: Any) -> None:
        self.bench.conferencing.faults.add(**{"times": None, **fault})

    def ask(self, event_id: EventId) -> Any:
        """What the route answers."""
        parts = [quote(part, safe="") for part in (self.calendar_id, event_id)]
        path = f"/calendars/{parts[0]}/events/{parts[1]}"
        call = routes.Call(method="GET", path=path, query={})
        found = routes.answer(self.bench.services, call)
        assert found.status == 200
        return found.value


Scene = Callable[[Stage], EventId]


# E1: the event carries no conference of ours.


def plain(stage: Stage) -> EventId:
    return stage.add()


def another_solution(stage: Stage) -> EventId:
    meet = {
        "conferenceId": "abc-defg-hij",
        "conferenceSolution": {"key": {"type": "hangoutsMeet"}, "name": "Google Meet"},
        "entryPoints": [{"entryPointType": "video", "uri": "https://meet.google.com/abc-defg-hij"}],
    }
    return stage.add(meet)


def pending(stage: Stage) -> EventId:
    return stage.raw("pending", conferenceData=_requested("pending"))


def failed_request(stage: Stage) -> EventId:
    return stage.raw("refused", conferenceData=_requested("failure"))


def _requested(code: str) -> Json:
    request = {"requestId": "r1", "status": {"statusCode": code}}
    return {"createRequest": request, "conferenceSolution": {"name": "My Web Conference"}}


def two_links(stage: Stage) -> EventId:
    return stage.add(location="https://meet.example.com/conf-1 https://meet.example.com/conf-2")


def out_of_office(stage: Stage) -> EventId:
    location = "https://meet.example.com/conf-1"
    return stage.raw("away", eventType="outOfOffice", location=location)


# E2, E3: let go.


def in_its_grace(stage: Stage) -> EventId:
    event_id, _ = stage.followed()
    stage.bench.calendar.cancel(stage.calendar_id, event_id)
    stage.sync()
    return event_id


def deleted_and_not_seen_yet(stage: Stage) -> EventId:
    event_id, _ = stage.followed()
    stage.bench.calendar.cancel(stage.calendar_id, event_id)
    return event_id


def deleted_for_good(stage: Stage) -> EventId:
    event_id = in_its_grace(stage)
    stage.bench.pass_grace()
    return event_id


def deleted_before_it_was_seen(stage: Stage) -> EventId:
    event_id = new(stage)
    stage.bench.calendar.cancel(stage.calendar_id, event_id)
    return event_id


def a_strangers_link_deleted(stage: Stage) -> EventId:
    event_id = a_strangers_conference(stage)
    stage.bench.calendar.cancel(stage.calendar_id, event_id)
    return event_id


def never_there(stage: Stage) -> EventId:
    del stage
    return EventId("nosuchevent")


def link_in_description(stage: Stage) -> EventId:
    event_id, conference_id = stage.followed()
    text = f"Secret agenda\nhttps://meet.example.com/{conference_id}"
    stage.edit(event_id, conferenceData=None, description=text)
    stage.sync()
    return event_id


def taken_off(stage: Stage) -> EventId:
    event_id, _ = stage.followed()
    stage.edit(event_id, conferenceData=None)
    stage.sync()
    return event_id


# E4: followed.


def in_step(stage: Stage) -> EventId:
    return stage.followed()[0]


def coloured(stage: Stage) -> EventId:
    event_id, _ = stage.followed()
    stage.edit(event_id, colorId="7")
    return event_id


def moved(stage: Stage) -> EventId:
    event_id, _ = stage.followed()
    stage.edit(event_id, **timed("15:00", "16:00"))
    return event_id


def renamed(stage: Stage) -> EventId:
    event_id, _ = stage.followed()
    stage.edit(event_id, summary=f"{TITLE}, again")
    return event_id


def new(stage: Stage) -> EventId:
    return stage.add(stage.bench.conference(title="Made by an add-on")[0])


def replaced(stage: Stage) -> EventId:
    event_id, _ = stage.followed()
    stage.edit(event_id, conferenceData=stage.bench.conference()[0])
    return event_id


# E5: occurrences.


def an_occurrence_in_step(stage: Stage) -> EventId:
    return _occurrence(stage)


def a_moved_occurrence(stage: Stage) -> EventId:
    event_id = _occurrence(stage)
    stage.edit(event_id, **timed("12:00", "13:00", days=9))
    return event_id


def a_cancelled_occurrence(stage: Stage) -> EventId:
    event_id = _occurrence(stage)
    stage.bench.calendar.cancel(stage.calendar_id, event_id)
    stage.sync()
    return event_id


def an_occurrence_left_alone(stage: Stage) -> EventId:
    stage.bench.conferencing.reset("bench-token", occurrences=False)
    return a_cancelled_occurrence(stage)


def an_occurrence_of_nothing(stage: Stage) -> EventId:
    series = stage.add(recurrence=WEEKLY)
    stage.sync()
    return occurrence(stage.bench, stage.calendar_id, series, 1)[0]


def _occurrence(stage: Stage) -> EventId:
    series, _ = stage.followed(recurrence=WEEKLY)
    return occurrence(stage.bench, stage.calendar_id, series, 1)[0]


# E6: not ours to decide.


def hidden(stage: Stage) -> EventId:
    event_id, _ = stage.followed()
    nothing = ("summary", "conferenceData", "organizer", "creator", "iCalUID")
    body = {**dict.fromkeys(nothing), "visibility": "private"}
    stage.bench.calendar.edit(stage.calendar_id, event_id, body, raw=True)
    return event_id


def an_attendees_copy(stage: Stage) -> EventId:
    data, _ = stage.bench.conference()
    boss = {"email": "boss@elsewhere.example"}
    return stage.raw("copy", organizer=boss, creator=boss, conferenceData=data)


def an_event_handed_to_another(stage: Stage) -> EventId:
    event_id, _ = stage.followed()
    boss = {"organizer": {"email": "boss@elsewhere.example", "self": False}}
    stage.bench.calendar.edit(stage.calendar_id, event_id, boss, raw=True)
    return event_id


def an_event_of_another_organizer(stage: Stage) -> EventId:
    event_id, conference_id = stage.followed()
    stage.bench.conferencing.conferences[conference_id]["organizer"] = STRANGER
    boss = {"email": "boss@elsewhere.example", "self": True}
    body = {"organizer": boss, "creator": boss}
    stage.bench.calendar.edit(stage.calendar_id, event_id, body, raw=True)
    return event_id


# E7: several events, one conference.


def a_follower(stage: Stage) -> EventId:
    data, _ = stage.bench.conference()
    stage.add(data)
    stage.sync()
    copy = stage.add(data)
    stage.sync()
    return copy


def over(stage: Stage) -> EventId:
    event_id, _ = stage.followed()
    stage.bench.clock.advance(3 * 86_400)
    return event_id


# E8: cannot be read.


def an_unknown_zone(stage: Stage) -> EventId:
    data, _ = stage.bench.conference()
    start = {"dateTime": "2031-05-05T10:00:00", "timeZone": "Atlantis/Capital"}
    return stage.raw("atlantis", conferenceData=data, start=start, end=start)


# O2-O4, C3: first sight, at a system that names hosts or none.


def a_strangers_conference(stage: Stage) -> EventId:
    return stage.add(stage.bench.conference(organizer=STRANGER)[0])


def a_bare_link(stage: Stage) -> EventId:
    _, conference_id = stage.bench.conference()
    return stage.add(location=f"https://meet.example.com/{conference_id}")


def a_link_at_another_time(stage: Stage) -> EventId:
    _, conference_id = stage.bench.hosted(stage.calendar_id, "08:00")
    return stage.add(location=f"https://meet.example.com/{conference_id}")


def a_series_with_a_bare_link(stage: Stage) -> EventId:
    _, conference_id = stage.bench.hosted(stage.calendar_id)
    link = f"https://meet.example.com/{conference_id}"
    return stage.add(location=link, recurrence=WEEKLY)


def an_extra_session(stage: Stage) -> EventId:
    data, _ = stage.bench.conference(organizer=stage.calendar_id, recurrence=WEEKLY)
    return stage.add(data)


def dismissed_at_first_sight(stage: Stage) -> EventId:
    event_id = a_strangers_conference(stage)
    stage.sync()
    _dismiss(stage)
    return event_id


def dismissed_and_changed(stage: Stage) -> EventId:
    event_id = dismissed_at_first_sight(stage)
    stage.edit(event_id, colorId="7")
    return event_id


def not_shown_to_us(stage: Stage) -> EventId:
    event_id = new(stage)
    stage.refuse(method="GET", status=403, body=_said(f"{GUEST} may not see {TITLE}"))
    return event_id


def never_reached(stage: Stage) -> EventId:
    return stage.add(location="https://meet.example.com/conf-999")


def unreadable_at_first_sight(stage: Stage) -> EventId:
    event_id = new(stage)
    stage.refuse(status=503)
    return event_id


def changed_and_unreadable(stage: Stage) -> EventId:
    event_id = moved(stage)
    stage.refuse(status=503)
    return event_id


def in_step_and_unreadable(stage: Stage) -> EventId:
    event_id = in_step(stage)
    stage.refuse(status=503)
    return event_id


# C4: gone at the provider.


def to_be_created(stage: Stage) -> EventId:
    return stage.add(shown("conf-999"))


def lost(stage: Stage) -> EventId:
    event_id, conference_id = stage.followed()
    stage.bench.conferencing.forget(conference_id)
    return event_id


def lost_and_looked_at_once(stage: Stage) -> EventId:
    return lose(stage.bench, stage.calendar_id)


def being_created_anew(stage: Stage) -> EventId:
    event_id = lose(stage.bench, stage.calendar_id)
    stage.refuse(method="POST", status=503)
    stage.bench.run_tasks(errors=lambda _: None)
    return event_id


# C5: failed.


def parked(stage: Stage) -> EventId:
    event_id, _ = stage.followed()
    stage.refuse(method="PUT", status=422, body=_said(f"{TITLE} of {GUEST} is too long"))
    stage.edit(event_id, location="Room 7", **timed("15:00", "16:00"))
    stage.sync()
    return event_id


def retrying(stage: Stage) -> EventId:
    event_id, _ = stage.followed()
    stage.refuse(method="PUT", status=503)
    stage.edit(event_id, **timed("15:00", "16:00"))
    stage.sync()
    return event_id


def dismissed(stage: Stage) -> EventId:
    event_id = parked(stage)
    _dismiss(stage)
    return event_id


def a_deletion_that_failed(stage: Stage) -> EventId:
    event_id = in_its_grace(stage)
    stage.refuse(method="DELETE", status=403, body=_said(f"{TITLE} is not yours"))
    stage.bench.pass_grace()
    return event_id


def a_first_sight_that_failed(stage: Stage) -> EventId:
    stage.refuse(method="GET", status=503)
    event_id = new(stage)
    stage.sync()
    stage.bench.conferencing.faults.clear()
    return event_id


# W3, S7: the calendar itself.


def refused_by_calendar(stage: Stage) -> EventId:
    event_id, _ = stage.followed()
    stage.bench.calendar.withdraw_access(stage.calendar_id)
    return event_id


def of_a_broken_calendar(stage: Stage) -> EventId:
    event_id, _ = stage.followed()
    stage.bench.calendar.withdraw_access(stage.calendar_id)
    stage.sync()
    stage.bench.clock.advance(60)
    stage.sync()
    stage.bench.calendar.grant_access(stage.calendar_id)
    return event_id


def of_a_failing_calendar(stage: Stage) -> EventId:
    event_id, _ = stage.followed()
    stage.bench.calendar.fail_next(reason="backendError", times=None, path="/events$")
    stage.edit(event_id, **timed("15:00", "16:00"))
    stage.sync()
    stage.bench.calendar.faults.clear()
    return event_id


def _said(words: str) -> Json:
    return {"error": {"message": words}}


def _dismiss(stage: Stage) -> Failure:
    [failure] = stage.bench.failures(stage.calendar_id)
    calendars.dismiss_failure(stage.bench.services, failure.id)
    return failure


@dataclass(frozen=True)
class Expected:
    """What the answer must say. `words` stand in its reason; `would` None: not looked at."""

    rule: str
    words: str
    would: list[str] | None = None
    follows: bool = False
    leads: bool = False
    evidence: str | None = None
    event: str = "live"
    conference: bool = False
    failure: str | None = None
    last: str | None = None


FOLLOWED: Json = {"follows": True, "leads": True, "conference": True}
DATA: Json = {"evidence": "conference_data", "conference": True}
LINK: Json = {"evidence": "location", "conference": True}
FOLLOWED_DATA: Json = {**FOLLOWED, **DATA}
IN_STEP: Json = {**FOLLOWED_DATA, "last": "update done"}

ROWS: list[tuple[Scene, Expected]] = [
    (plain, Expected("E1", "carries no conference", [])),
    (another_solution, Expected("E1", "no entry of SYNC_PROVIDERS", [])),
    (pending, Expected("E1", "still being created, or its creation failed", [])),
    (failed_request, Expected("E1", "still being created, or its creation failed", [])),
    (two_links, Expected("E1", "two different join links", [])),
    (out_of_office, Expected("E1", "events of the type outOfOffice", [])),
    (
        in_its_grace,
        Expected(
            "E2",
            "the event was deleted",
            ["delete after the grace"],
            event="deleted",
            conference=True,
        ),
    ),
    (
        deleted_and_not_seen_yet,
        Expected(
            "E2",
            "the event was deleted",
            ["delete after the grace"],
            event="deleted",
            conference=True,
            last="update done",
        ),
    ),
    (
        deleted_before_it_was_seen,
        Expected(
            "E2",
            "before it was followed",
            ["delete after the grace"],
            event="deleted",
            conference=True,
        ),
    ),
    (
        a_strangers_link_deleted,
        Expected("E2", "no conference of it is remembered", [], event="deleted"),
    ),
    (deleted_for_good, Expected("E2", "no conference of it is remembered", [], event="deleted")),
    (
        never_there,
        Expected(
            "E2",
            "Calendar knows no such event, and no conference of it is remembered",
            [],
            event="unknown",
        ),
    ),
    (
        link_in_description,
        Expected("E3", "its link still stands", [], **FOLLOWED, last="update done"),
    ),
    (
        taken_off,
        Expected("E3", "does not carry it now", ["delete after the grace"], conference=True),
    ),
    (in_step, Expected("E4", "in step", [], **IN_STEP)),
    (coloured, Expected("E4", "in step", [], **IN_STEP)),
    (moved, Expected("E4", "has changed since", ["update: start, end"], **IN_STEP)),
    (renamed, Expected("E4", "has changed since", ["update: title"], **IN_STEP)),
    (an_occurrence_in_step, Expected("E4", "in step", [], **FOLLOWED)),
    (
        a_moved_occurrence,
        Expected("E5", "shares the conference of its series", ["occurrence: update"], **FOLLOWED),
    ),
    (a_cancelled_occurrence, Expected("E5", "the series stays", [], **FOLLOWED, event="deleted")),
    (
        an_occurrence_left_alone,
        Expected("E5", "no single occurrences", [], **FOLLOWED, event="deleted"),
    ),
    (an_occurrence_of_nothing, Expected("E5", "its series carries no conference", [])),
    (
        hidden,
        Expected(
            "E6",
            "does not show us who organizes",
            [],
            **FOLLOWED,
            event="hidden",
            last="update done",
        ),
    ),
    (an_attendees_copy, Expected("E6", "an attendee's copy", [])),
    (
        an_event_handed_to_another,
        Expected("E6", "an attendee's copy", ["stop following"], **FOLLOWED, last="update done"),
    ),
    (a_follower, Expected("E7", "another event leads", [], follows=True, **DATA)),
    (over, Expected("E7", "its last date is over", ["hand on"], **IN_STEP)),
    (an_unknown_zone, Expected("E8", "unknown zone")),
    (
        a_strangers_conference,
        Expected("O2", "neither the event's organizer nor its creator", [], **DATA),
    ),
    (a_bare_link, Expected("O2", "does not say who hosts it", [], **LINK)),
    (a_link_at_another_time, Expected("O2", "does not begin when the event does", [], **LINK)),
    (
        a_series_with_a_bare_link,
        Expected("O2", "a single meeting and the event a series", [], **LINK),
    ),
    (an_extra_session, Expected("O2", "it would lose its dates", [], **DATA)),
    (
        an_event_of_another_organizer,
        Expected("O2", "neither the event's organizer", ["stop following"], **IN_STEP),
    ),
    (new, Expected("O2", "followed from the next run on", None, **DATA)),
    (replaced, Expected("O2", "followed from the next run on", None, **DATA, last="update done")),
    (dismissed_at_first_sight, Expected("O3", "dismissed", [], **DATA)),
    (dismissed_and_changed, Expected("O2", "neither the event's organizer", [], **DATA)),
    (not_shown_to_us, Expected("O3", "cannot be read", [], **DATA)),
    (never_reached, Expected("O4", "nothing is created", [], **LINK)),
    (unreadable_at_first_sight, Expected("C3", "cannot be read now", [], **DATA)),
    (
        changed_and_unreadable,
        Expected("C3", "cannot be read now", ["update: start, end"], **IN_STEP),
    ),
    (in_step_and_unreadable, Expected("E4", "cannot be read now", [], **IN_STEP)),
    (to_be_created, Expected("C4", "followed from the next run on", ["follow"], **DATA)),
    (lost, Expected("C4", "gone", [], **IN_STEP)),
    (
        lost_and_looked_at_once,
        Expected(
            "C4", "a second time", None, **FOLLOWED_DATA, failure="retrying", last="update retrying"
        ),
    ),
    (
        being_created_anew,
        Expected(
            "C4",
            "being created anew",
            None,
            **FOLLOWED_DATA,
            failure="retrying",
            last="create retrying",
        ),
    ),
    (
        parked,
        Expected(
            "C5",
            "parked",
            ["update: start, end"],
            **FOLLOWED_DATA,
            failure="parked",
            last="update parked",
        ),
    ),
    (
        retrying,
        Expected(
            "C5",
            "tried again at",
            ["update: start, end"],
            **FOLLOWED_DATA,
            failure="retrying",
            last="update retrying",
        ),
    ),
    (dismissed, Expected("C5", "dismissed", ["update: start, end"], **IN_STEP)),
    (
        a_deletion_that_failed,
        Expected(
            "C5",
            "parked",
            ["delete"],
            event="deleted",
            conference=True,
            failure="parked",
            last="delete parked",
        ),
    ),
    (
        a_first_sight_that_failed,
        Expected("C5", "tried again at", None, **DATA, failure="retrying", last="follow retrying"),
    ),
    (
        refused_by_calendar,
        Expected(
            "W3", "does not show us the event", [], **FOLLOWED, event="unknown", last="update done"
        ),
    ),
    (
        of_a_broken_calendar,
        Expected("W3", "the calendar is broken", [], **FOLLOWED, last="update done"),
    ),
    (
        of_a_failing_calendar,
        Expected("E4", "the calendar's last run failed", ["update: start, end"], **IN_STEP),
    ),
]

MEMBERS = {
    "calendar_id", "event_id", "event", "provider", "conference_id", "evidence", "follows", "leads",
    "rule", "reason", "would", "last", "failure",
}  # fmt: skip


def check(stage: Stage, event_id: EventId, expected: Expected) -> Json:
    """Ask, and compare all that the row says. Returns the answer."""
    found = asked_without_a_change(stage, event_id)
    assert set(found) == MEMBERS
    assert (found["calendar_id"], found["event_id"]) == (stage.calendar_id, event_id)
    assert (found["rule"], found["event"]) == (expected.rule, expected.event), found["reason"]
    assert expected.words in found["reason"]
    assert "\n" not in found["reason"]
    assert (found["follows"], found["leads"]) == (expected.follows, expected.leads)
    assert found["evidence"] == expected.evidence
    if expected.would is not None:
        assert found["would"] == expected.would
    assert (found["conference_id"] is not None) == expected.conference
    assert (found["provider"] is not None) == expected.conference
    last = found["last"]
    assert (last and f"{last['action']} {last['outcome']}") == expected.last or (
        expected.last is None and last is not None and last["outcome"] == "left"
    )
    assert (found["failure"] and found["failure"]["state"]) == expected.failure
    told = str({**found, "calendar_id": None})
    assert [canary for canary in CANARIES if canary in told] == []
    return found


_WRITES = frozenset(
    {
        "create_calendar",
        "update_calendar",
        "delete_calendar",
        "mark_seen",
        "commit",
        "put_failure",
        "delete_failure",
    }
)


class ReadOnly:
    """A store that takes no write."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        assert name not in _WRITES, f"explain calls {name}"
        return getattr(self._store, name)


@contextmanager
def nothing_changed(bench: Bench, received: Callable[[], list[Any]]) -> Iterator[None]:
    """Neither Calendar nor the provider receives more than reads, and no task is made."""
    asked, told, made = len(bench.calendar.requests), len(received()), len(bench.tasks.creations)
    yield
    assert {call.method for call in list(bench.calendar.requests)[asked:]} <= {"GET"}
    assert {call.method for call in received()[told:]} <= {"GET"}
    assert len(bench.tasks.creations) == made


def asked_without_a_change(
    stage: Stage, event_id: EventId, received: Callable[[], list[Any]] | None = None
) -> Json:
    """Ask twice, which gives the same, with a store that takes no write."""
    bench = stage.bench
    services = bench.services
    bench.services = bench.with_services(store=ReadOnly(bench.store))
    try:
        with nothing_changed(bench, received or (lambda: list(bench.conferencing.requests))):
            found = stage.ask(event_id)
            assert stage.ask(event_id) == found
    finally:
        bench.services = services
    answer: Json = found
    return answer


@pytest.mark.parametrize(
    ("scene", "expected"),
    [pytest.param(*row, id=f"{row[1].rule}-{row[0].__name__}") for row in ROWS],
)
def test_the_rule_that_decides_is_named(bench: Bench, scene: Scene, expected: Expected) -> None:
    """Each rule that keeps the system from acting, with one sentence."""
    stage = Stage(bench, bench.watch())
    stage.bench.conferencing.faults.clear()
    event_id = scene(stage)
    check(stage, event_id, expected)


_ON_BOTH_STORES = (
    in_its_grace,
    moved,
    a_cancelled_occurrence,
    a_follower,
    dismissed_at_first_sight,
    parked,
    of_a_broken_calendar,
)


@pytest.mark.firestore
@pytest.mark.parametrize(
    ("scene", "expected"),
    [pytest.param(*row, id=row[0].__name__) for row in ROWS if row[0] in _ON_BOTH_STORES],
)
def test_firestore_remembers_the_same(
    make_bench: BenchMaker, scene: Scene, expected: Expected
) -> None:
    """The rows that depend most on what is stored."""
    bench = make_bench(store="firestore")
    stage = Stage(bench, bench.watch())
    check(stage, scene(stage), expected)


@pytest.fixture(params=NAMES)
def world(make_bench: BenchMaker, request: pytest.FixtureRequest) -> Iterator[Connected]:
    with running(request.param) as system:
        yield connect(make_bench, system)


def asked_of(world: Connected, stage: Stage, event_id: EventId) -> Json:
    """The answer: nothing changed for it, and it shows nothing that it must not."""

    def received() -> list[Any]:
        return [one for one in world.system.requests() if "token" not in one.path]

    found = asked_without_a_change(stage, event_id, received)
    told = str({**found, "calendar_id": None, "failure": None})
    assert [canary for canary in CANARIES if canary in told] == []
    return found


def test_every_provider_is_only_read(world: Connected) -> None:
    """A conference in step, a changed one, a stranger's and a lost one, at each system."""
    stage = Stage(world.bench, world.bench.watch())
    host = stage.calendar_id
    followed = stage.add(world.add(host), **at_ten())
    stage.sync()
    found = asked_of(world, stage, followed)
    assert (found["rule"], found["follows"], found["leads"]) == ("E4", True, True)
    assert found["provider"] == world.system.name
    stage.edit(followed, summary=f"{TITLE}, again")
    assert asked_of(world, stage, followed)["would"] == ["update: title"]
    strangers = stage.add(world.add(STRANGER), **at_ten())
    found = asked_of(world, stage, strangers)
    # Webex and Teams do not show a stranger's meeting to us at all.
    assert found["rule"] in ("O2", "O3", "O4")
    assert (found["follows"], found["would"]) == (False, [])
    stage.sync()
    for known in list(world.system.conferences):
        world.system.forget(known)
    found = asked_of(world, stage, followed)
    assert (found["rule"], found["follows"]) == ("E4" if found["would"] else "C4", True)
    world.system.faults.add(status=503, times=None)
    found = asked_of(world, stage, followed)
    world.system.faults.clear()
    assert "cannot be read now" in found["reason"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [(1, "instant meeting"), (3, "without a fixed time"), (4, "personal")],
)
def test_o2_what_cannot_be_scheduled_says_what_it_is(
    make_bench: BenchMaker, kind: int, words: str
) -> None:
    """Zoom's types of meetings that no event schedules."""
    with running("zoom") as system:
        world = connect(make_bench, system)
        stage = Stage(world.bench, world.bench.watch())
        event_id = stage.add(world.add(stage.calendar_id, type=kind))
        found = asked_of(world, stage, event_id)
    assert found["rule"] == "O2"
    assert words in found["reason"]


def test_c5_an_approximate_series_says_what_the_copy_lacks(make_bench: BenchMaker) -> None:
    """In step as far as that goes: Zoom holds the first dates of an endless series."""
    with running("zoom") as system:
        world = connect(make_bench, system)
        stage = Stage(world.bench, world.bench.watch())
        data = world.add(stage.calendar_id)
        event_id = stage.add(data, recurrence=["RRULE:FREQ=WEEKLY"], **at_ten())
        stage.sync()
        found = asked_of(world, stage, event_id)
    assert (found["rule"], found["follows"], found["would"]) == ("E4", True, [])
    assert "50 dates" in found["reason"]
    assert found["failure"]["state"] == "approximate"


def test_an_unknown_calendar_is_not_found(bench: Bench) -> None:
    """404: it was never started, so nothing is known of its events."""
    with pytest.raises(NotFound):
        Stage(bench, CalendarId("nobody@example.com")).ask(EventId("e1"))


# What a run logs of an event is what an operator follows from `explain` on.


@pytest.fixture
def written() -> Iterator[Callable[[], list[Json]]]:
    """What our own code logs from INFO up, formatted as the functions format it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonLines(project="demo"))
    logger = logging.getLogger("sync")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)
    logger.setLevel(before)


TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_a_runs_lines_name_the_event_and_what_decided(
    bench: Bench, written: Callable[[], list[Json]]
) -> None:
    """Applied, left alone, failed and parked: the event's digest with actions, or the rule; and
    each call to the provider names event and conference. All carry the trace of the request, also
    those that a pool's thread wrote."""
    stage = Stage(bench, bench.watch())
    applied, conference_id = stage.followed()
    deleted, deleted_id = stage.followed()
    left, failing, refused = (
        a_strangers_conference(stage),
        *(stage.add(bench.conference()[0]) for _ in range(2)),
    )
    stage.sync()
    before = len(written())
    tracing.follow_trace({"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
    try:
        bench.calendar.cancel(stage.calendar_id, deleted)
        for event_id in (applied, left, failing, refused):
            stage.edit(event_id, **timed("15:00", "16:00"))
        ids = {
            event_id: (bench.link(stage.calendar_id, event_id)) for event_id in (failing, refused)
        }
        for event_id, status in ((failing, 503), (refused, 422)):
            link = ids[event_id]
            assert link is not None
            assert link.carried is not None
            path = link.carried.conference.conference_id
            bench.conferencing.faults.add(path=f"/{path}$", method="PUT", status=status)
        stage.sync()
        bench.pass_grace()
    finally:
        tracing.follow_trace({})
    lines = written()[before:]

    def of(message: str, event_id: EventId) -> list[Json]:
        short = logs.short(event_id)
        return [one for one in lines if (one["message"], one.get("event")) == (message, short)]

    assert of("event applied", applied)[0]["actions"] == "Send"
    assert of("event applied", deleted)[0]["actions"] == "LetGo"
    assert of("event left alone", left)[0]["rule"] == "O2"
    assert of("event failed, a retry task has it", failing)[0]["action"] == "update"
    assert of("event failed and is parked", refused)[0]["action"] == "update"
    [update] = of("provider called", applied)
    assert (update["action"], update["outcome"]) == ("update", "done")
    assert update["conference"] == logs.short(conference_id)
    # A deletion is not told of which event: the run says it.
    [deletion] = of("provider called", deleted)
    assert (deletion["action"], deletion["conference"]) == ("delete", logs.short(deleted_id))
    traces = {one.get("logging.googleapis.com/trace") for one in lines}
    assert traces == {f"projects/demo/traces/{TRACE}"}
    assert {one["calendar"] for one in lines if "calendar" in one} == {
        logs.short(stage.calendar_id)
    }


def test_a_creation_names_the_conference_that_came_of_it(
    bench: Bench, written: Callable[[], list[Json]]
) -> None:
    """Before the call nobody knows its id."""
    stage = Stage(bench, bench.watch())
    lose(bench, stage.calendar_id)
    bench.run_tasks()
    [created] = [one for one in written() if one.get("action") == "create"]
    assert created["conference"] in {logs.short(known) for known in bench.conferencing.conferences}
    assert created["event"]
