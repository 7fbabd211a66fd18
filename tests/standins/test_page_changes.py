"""The page's pure parts: which record belongs to which change, and what the page draws of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.page.calls import Call
from sandbox.page.changes import MOST_CHANGES, MOST_STEPS, EventKey, Timeline, what_changed
from sandbox.page.view import Directory, conferences_of, events_of
from sandbox.systems import SYSTEMS, ConferencingSystem

T = datetime(2026, 5, 4, 10, tzinfo=UTC)
EVENT = EventKey(calendar_id="anna@example.com", event_id="e1")
OTHER = EventKey(calendar_id="team@example.com", event_id="e2")


def after(seconds: float) -> datetime:
    return T + timedelta(seconds=seconds)


def task(event: EventKey, *, alone: bool = False) -> dict[str, str]:
    body = {"calendar_id": event.calendar_id}
    return {**body, "event_id": event.event_id} if alone else body


def steps(timeline: Timeline, place: int = -1) -> list[str]:
    return [step.kind for step in timeline.changes[place].steps]


def test_a_change_gathers_what_follows_it() -> None:
    """Push, queue, run, listing, provider and write-back, in seconds since the edit."""
    timeline = Timeline()
    timeline.edited(T, EVENT, "Planning", "moved", "c-1")
    timeline.pushed(after(0.1), EVENT.calendar_id, 204)
    timeline.queued(after(0.2), task(EVENT), "created", None)
    timeline.listed(after(0.3), after(0.4), EVENT.calendar_id, full=False)
    timeline.called(after(0.5), after(0.7), "c-1", "PUT /conferences/c-1", good=True)
    timeline.wrote(after(0.8), after(0.9), EVENT, 200)
    assert timeline.open() == 1
    [settled] = timeline.ran(after(0.25), after(1), task(EVENT), "200")
    assert steps(timeline) == ["push", "queue", "listing", "provider", "write", "run"]
    assert settled.lag == timeline.lag() == pytest.approx(0.7)
    assert [round(step.begin, 2) for step in settled.steps] == [0, 0.2, 0.3, 0.5, 0.8, 0.25]
    assert timeline.open() == 0


def test_other_calendars_and_conferences_are_not_mixed_in() -> None:
    """Each change has the records of its own calendar and conference alone."""
    timeline = Timeline()
    timeline.edited(T, EVENT, "Planning", "moved", "c-1")
    timeline.edited(T, OTHER, "Lunch", "moved", "c-2")
    timeline.pushed(after(0.1), OTHER.calendar_id, 204)
    timeline.called(after(0.2), after(0.3), "c-1", "PUT", good=True)
    timeline.called(after(0.2), after(0.3), "c-9", "PUT", good=True)
    assert (steps(timeline, 0), steps(timeline, 1)) == (["provider"], ["push"])


def test_a_read_reaches_no_conference() -> None:
    """Only a call that changes something counts as having reached it."""
    timeline = Timeline()
    timeline.edited(T, EVENT, "Planning", "moved", "c-1")
    timeline.called(after(0.2), after(0.3), "c-1", "GET /conferences/c-1", good=True)
    timeline.called(after(0.3), after(0.4), "c-1", "PUT /conferences/c-1", good=False)
    assert timeline.lag() is None


def test_edits_before_a_run_are_one_change_and_later_ones_another() -> None:
    """A burst is one line; an edit after its run begins a new one."""
    timeline = Timeline()
    for number in range(3):
        timeline.edited(after(number / 10), EVENT, f"Draft {number}", "renamed", None)
    timeline.edited(after(0.4), EVENT, "Draft 3", "moved", "c-1")
    [change] = timeline.changes
    assert (change.count, change.title, change.what) == (4, "Draft 3", "renamed, moved")
    timeline.ran(after(1), after(2), task(EVENT), "200")
    timeline.edited(after(3), EVENT, "Draft 4", "renamed", "c-1")
    assert len(timeline.changes) == 2


def test_a_run_that_fails_or_began_before_settles_nothing() -> None:
    """A change is on its way until a run that began after it answers 200."""
    timeline = Timeline()
    timeline.edited(T, EVENT, "Planning", "moved", "c-1")
    assert timeline.ran(after(1), after(2), task(EVENT), "500") == []
    assert timeline.ran(after(-1), after(2), task(EVENT), "200") == []
    assert timeline.open() == 1
    assert timeline.changes[0].steps[0].good is False


def test_a_task_of_one_event_belongs_to_its_latest_change() -> None:
    """A deletion after the grace is shown where the event was deleted, though it was settled."""
    timeline = Timeline()
    timeline.edited(T, EVENT, "Planning", "deleted", "c-1")
    timeline.ran(after(0.1), after(0.2), task(EVENT), "200")
    timeline.queued(after(0.2), task(EVENT, alone=True), "created", after(3))
    timeline.ran(after(3), after(3.1), task(EVENT, alone=True), "200")
    timeline.called(after(3), after(3.1), "c-1", "DELETE", good=True)
    assert steps(timeline) == ["run", "queue", "run", "provider"]
    assert timeline.changes[0].steps[1].text == "task created, to run later"


def test_a_burst_of_pushes_is_one_step() -> None:
    """What reads the same is counted; a lost notification stands apart."""
    timeline = Timeline()
    timeline.edited(T, EVENT, "Planning", "moved", None)
    for number in range(30):
        timeline.pushed(after(number / 100), EVENT.calendar_id, 204)
    timeline.pushed(after(0.4), EVENT.calendar_id, None, "lost on purpose")
    told = [(step.count, step.good) for step in timeline.changes[0].steps]
    assert told == [(30, True), (1, False)]


def test_a_run_may_be_over_before_its_notification_is_answered() -> None:
    """The notification is the first step all the same. A later one belongs to what comes later."""
    timeline = Timeline()
    timeline.edited(T, EVENT, "Planning", "moved", "c-1")
    timeline.ran(after(0.2), after(0.3), task(EVENT), "200")
    timeline.pushed(after(0.4), EVENT.calendar_id, 204)
    timeline.pushed(after(0.5), EVENT.calendar_id, 204)
    assert steps(timeline) == ["run", "push"]
    assert timeline.changes[0].steps[1].count == 1


def test_a_notification_long_after_a_run_is_not_what_brought_it() -> None:
    """A task that was made by hand brought the run; the notification tells of something else."""
    timeline = Timeline()
    timeline.edited(T, EVENT, "Planning", "moved", "c-1")
    timeline.ran(after(0.2), after(0.3), task(EVENT), "200")
    timeline.pushed(after(60), EVENT.calendar_id, 204)
    assert steps(timeline) == ["run"]


def test_what_is_remembered_is_bounded() -> None:
    """A page that stays open for days holds neither all changes nor all their steps."""
    timeline = Timeline()
    for number in range(MOST_CHANGES + 20):
        event = EventKey(calendar_id="a", event_id=str(number))
        timeline.edited(T, event, "x", "created", None)
    for number in range(MOST_STEPS + 20):
        timeline.listed(after(number), after(number), "a", full=False)
    assert len(timeline.changes) == MOST_CHANGES
    assert {len(change.steps) for change in timeline.changes} == {MOST_STEPS}


@pytest.mark.parametrize("body", [None, "text", [], {}, {"event_id": "e1"}])
def test_a_task_that_names_no_calendar_serves_nothing(body: Any) -> None:
    """A malformed task is no reason to stop."""
    timeline = Timeline()
    timeline.edited(T, EVENT, "Planning", "moved", None)
    timeline.queued(T, body, "created", None)
    assert timeline.ran(T, T, body, "200") == []
    assert timeline.changes[0].steps == []


@pytest.mark.parametrize(
    ("before", "after_it", "words"),
    [
        (None, {}, "created"),
        ({}, {"status": "cancelled"}, "deleted"),
        ({"status": "cancelled"}, {"status": "confirmed"}, "restored"),
        ({"summary": "A"}, {"summary": "B"}, "renamed"),
        ({"start": 1, "summary": "A"}, {"start": 2, "summary": "B"}, "moved, renamed"),
        ({"end": 1}, {"end": 2}, "moved"),
        ({"colorId": "1"}, {}, "coloured"),
        ({"etag": 1}, {"etag": 2}, "edited"),
    ],
    ids=str,
)
def test_an_edit_has_a_word(before: Any, after_it: Any, words: str) -> None:
    """A line says what a person did."""
    assert what_changed(before, after_it) == words


def test_a_curl_line_is_one_that_a_shell_takes() -> None:
    """Quotes, blanks and question marks survive a shell, zsh included."""
    body = {"summary": 'Anna\'s "plan" $HOME'}
    line = Call(method="PATCH", url="http://127.0.0.1:1/a?b=c", body=body).curl()
    words = shlex.split(line)
    assert words[:4] == ["curl", "-s", "-X", "PATCH"]
    assert words[-1] == "http://127.0.0.1:1/a?b=c"
    assert "'http://127.0.0.1:1/a?b=c'" in line
    assert Call(method="GET", url="http://127.0.0.1:1/").curl() == "curl -s http://127.0.0.1:1/"


# What is drawn.

MakeSystem = Callable[[str], ConferencingSystem[Any]]


@pytest.fixture
def make_system() -> Iterator[MakeSystem]:
    """Makes conferencing systems, and ends their servers after the test."""
    made: list[ConferencingSystem[Any]] = []

    def make(name: str) -> ConferencingSystem[Any]:
        made.append(SYSTEMS[name]())
        return made[-1]

    yield make
    for system in made:
        system.stop()


def event(name: str, **members: Any) -> dict[str, Any]:
    moments = {
        "start": {"dateTime": "2026-05-04T10:00:00+02:00", "timeZone": "Europe/Berlin"},
        "end": {"dateTime": "2026-05-04T11:00:00+02:00", "timeZone": "Europe/Berlin"},
    }
    return {"id": name, "status": "confirmed", "summary": name, **moments, **members}


def test_a_series_is_drawn_with_its_exceptions(make_system: MakeSystem) -> None:
    """Each occurrence once: moved where it is now, cancelled not at all."""
    moved = event(
        "s_20260505T080000Z",
        recurringEventId="s",
        originalStartTime={"dateTime": "2026-05-05T10:00:00+02:00"},
        start={"dateTime": "2026-05-05T15:00:00+02:00"},
        end={"dateTime": "2026-05-05T16:00:00+02:00"},
    )
    cancelled = {
        "id": "s_20260506T080000Z",
        "status": "cancelled",
        "recurringEventId": "s",
        "originalStartTime": {"dateTime": "2026-05-06T10:00:00+02:00"},
    }
    stored = [event("s", recurrence=["RRULE:FREQ=DAILY;COUNT=4"]), moved, cancelled]
    drawn = list(events_of("anna@example.com", stored, Directory(make_system("rest")), T))
    assert sorted((each["event_id"], each["start"][:16]) for each in drawn) == [
        ("s_20260504T080000Z", "2026-05-04T10:00"),
        ("s_20260505T080000Z", "2026-05-05T15:00"),
        ("s_20260507T080000Z", "2026-05-07T10:00"),
    ]
    assert {each["series_id"] for each in drawn} == {"s"}


def test_a_broken_event_is_left_out_and_the_others_are_drawn(make_system: MakeSystem) -> None:
    """Nothing that an event holds keeps the page from showing the rest."""
    stored = [
        {"id": "no times"},
        event("bad rule", recurrence=["RRULE:FREQ=NEVER"]),
        event("bad start", start={"dateTime": None}),
        event("deleted", status="cancelled", updated="2026-05-04T09:59:30Z"),
        event("long gone", status="cancelled", updated="2026-05-04T09:30:00Z"),
        event("good"),
    ]
    drawn = {
        each["title"]: each["ghost"]
        for each in events_of("a", stored, Directory(make_system("rest")), T)
    }
    assert drawn["good"] is False
    assert drawn["deleted"] is True
    assert drawn.keys().isdisjoint({"no times", "long gone"})


@pytest.mark.parametrize("name", SYSTEMS)
def test_an_event_is_known_by_id_and_by_link(make_system: MakeSystem, name: str) -> None:
    """The conference is found in conference data and in a location with words around the link."""
    system = make_system(name)
    shown = system.add("Planning")
    [conference_id] = system.conferences
    directory = Directory(system)
    directory.refresh()
    link = system.join_link(conference_id)
    for carrier in ({"conferenceData": shown}, {"location": f"Room 7, {link} (12)"}):
        assert directory.find(event("e", **carrier)) == conference_id
    assert directory.find(event("e", location="Room 7")) is None


def test_a_lost_conference_is_shown_while_an_event_shows_it(make_system: MakeSystem) -> None:
    """Who looks at the page sees that the conference is missing, and of which event."""
    system = make_system("rest")
    shown = system.add("Planning")
    directory = Directory(system)
    directory.refresh()
    system.forget(shown["conferenceId"])
    stored = [event("e", conferenceData=shown)]
    drawn = list(events_of("anna@example.com", stored, directory, T))
    [conference] = conferences_of(directory, drawn)
    assert (conference["gone"], conference["title"]) == (True, "Planning")
    assert conference["carried_by"] == {"anna@example.com/e": "e"}
    assert conferences_of(directory, []) == []
