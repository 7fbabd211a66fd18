"""`ccsync explain`: right for each rule that keeps the system from acting, however reached."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sandbox.world import World
from tests.support.bench import TODAY, timed
from tests.support.manage_server import ManageServer
from tests.support.operator import Operator
from tests.support.series import WEEKLY

Json = dict[str, Any]

STRANGER = "numbat@elsewhere.example"
DAY = TODAY + timedelta(days=1)


class Stage:
    """One started calendar of the sandbox, and events in it that have the row's title."""

    def __init__(self, world: World, calendar_id: str) -> None:
        self.world, self.calendar_id = world, calendar_id
        self.link: str | None = None
        world.start_calendar(calendar_id)

    def conference(self, **members: Any) -> Json:
        data = self.world.conference("Made by an add-on")
        self.world.conferencing.conferences[data["conferenceId"]].update(members)
        self.link = data["entryPoints"][0]["uri"]
        return data

    def add(self, data: Json | None = None, *, raw: bool = False, **fields: Any) -> str:
        body = {"summary": self.title, **timed("10:00", "11:00"), **fields}
        if data:
            body["conferenceData"] = data
        event: Json = self.world.calendar.seed_event(self.calendar_id, body, raw=raw)
        self.settle()
        return str(event["id"])

    @property
    def title(self) -> str:
        return f"Planning of {self.calendar_id}"

    def settle(self) -> None:
        """Bring the calendar up to date, whether its notification has come or not."""
        task = {"calendar_id": self.calendar_id}
        self.world.wait(lambda: self.world.deliver(task).status_code == 200, "a run")

    def raw(self, event_id: str, **fields: Any) -> str:
        organizer = {"email": self.calendar_id, "self": True}
        body = {"id": event_id, "status": "confirmed", "organizer": organizer, "creator": organizer}
        return self.add(raw=True, **{**body, **fields})


def nothing(stage: Stage) -> str:
    return stage.add()


def another_solution(stage: Stage) -> str:
    stage.link = "https://meet.google.com/abc-defg-hij"
    return stage.add(
        {
            "conferenceId": "abc-defg-hij",
            "conferenceSolution": {"key": {"type": "hangoutsMeet"}, "name": "Google Meet"},
            "entryPoints": [{"entryPointType": "video", "uri": stage.link}],
        }
    )


def deleted(stage: Stage) -> str:
    event_id = stage.add(stage.conference())
    stage.link = None
    stage.world.calendar.cancel(stage.calendar_id, event_id)
    stage.settle()
    return event_id


def in_step(stage: Stage) -> str:
    return stage.add(stage.conference())


def series_occurrence(stage: Stage) -> str:
    series = stage.add(stage.conference(), recurrence=WEEKLY)
    stage.link = None
    return first_occurrence(series)


def occurrence_of_nothing(stage: Stage) -> str:
    return first_occurrence(stage.add(recurrence=WEEKLY))


def first_occurrence(series: str) -> str:
    """Return the id of the occurrence that `timed` puts on the day of these tests."""
    begin = datetime(DAY.year, DAY.month, DAY.day, 10, tzinfo=ZoneInfo("Europe/Berlin"))
    return f"{series}_{begin.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def attendees_copy(stage: Stage) -> str:
    boss = {"email": "boss@elsewhere.example"}
    data = stage.conference()
    return stage.raw(
        f"copy{abs(hash(stage.calendar_id))}", organizer=boss, creator=boss, conferenceData=data
    )


def follower(stage: Stage) -> str:
    data = stage.conference()
    stage.link = None
    event = {"summary": "The first", **timed("12:00", "13:00"), "conferenceData": data}
    stage.world.calendar.seed_event(stage.calendar_id, event)
    stage.settle()
    return stage.add(data)


def unknown_zone(stage: Stage) -> str:
    start = {"dateTime": f"{DAY}T10:00:00", "timeZone": "Atlantis/Capital"}
    return stage.raw("atlantis", conferenceData=stage.conference(), start=start, end=start)


def strangers_conference(stage: Stage) -> str:
    return stage.add(stage.conference(organizer=STRANGER))


Scene = Callable[[Stage], str]
ROWS: list[tuple[Scene, str, bool, int, str]] = [
    # scene, rule, followed, exit code, a part of what to do next
    (nothing, "E1", False, 0, "add a conference"),
    (another_solution, "E1", False, 0, "SYNC_PROVIDERS"),
    (deleted, "E2", False, 3, "the next sync does it"),
    (in_step, "E4", True, 0, "nothing"),
    (series_occurrence, "E4", True, 0, "nothing"),
    (occurrence_of_nothing, "E5", False, 0, "the series itself"),
    (attendees_copy, "E6", False, 0, "organizer's calendar"),
    (follower, "E7", True, 0, "nothing"),
    (unknown_zone, "E8", False, 3, "failures retry"),
    (strangers_conference, "O2", False, 0, "hosts"),
]


@pytest.mark.parametrize(
    ("scene", "rule", "follows", "code", "advice"), ROWS, ids=[row[0].__name__ for row in ROWS]
)
def test_each_rule_is_named_by_id_link_title_and_day(
    world: World,
    in_sandbox: Operator,
    scene: Scene,
    rule: str,
    follows: bool,
    code: int,
    advice: str,
) -> None:
    """The same answer by the event's id, Calendar's link, the link to join, and title with day."""
    stage = Stage(world, f"{scene.__name__.replace('_', '-')}@example.com")
    event_id = scene(stage)
    calendar_id = stage.calendar_id
    eid = base64.urlsafe_b64encode(f"{event_id} {calendar_id}".encode()).decode().rstrip("=")
    ways = [(calendar_id, event_id), (f"https://www.google.com/calendar/event?eid={eid}",)]
    if scene not in (deleted, unknown_zone):
        ways.append((calendar_id, stage.title, "--on", DAY.isoformat()))
    if stage.link:
        ways.append((calendar_id, stage.link))
    for way in ways:
        ran = in_sandbox("explain", *way, "--json")
        told = ran.json
        assert told["event_id"] == event_id, way
        assert (told["rule"], told["follows"], ran.code) == (rule, follows, code), told
        assert advice in told["next"]
    said = in_sandbox("explain", calendar_id, event_id).out
    assert f"({rule})" in said
    assert told["reason"] in said


def test_a_withdrawn_calendar_is_told(world: World, in_sandbox: Operator) -> None:
    """W3: Calendar does not show us the event, and where to look is said."""
    world.start_calendar("withdrawn@example.com")
    event_id = world.calendar.seed_event("withdrawn@example.com", timed("10:00", "11:00"))["id"]
    world.calendar.withdraw_access("withdrawn@example.com")
    ran = in_sandbox("explain", "withdrawn@example.com", event_id)
    assert "(W3)" in ran.out
    assert "ccsync calendars show withdrawn@example.com" in ran.out
    by_title = in_sandbox("explain", "withdrawn@example.com", "Planning", "--on", "2026-11-26")
    assert by_title.code == 4
    assert "gcloud auth application-default login" in by_title.err


def test_several_events_of_a_title_are_named_by_their_ids(
    world: World, in_sandbox: Operator
) -> None:
    """None is guessed. An exact title goes before a longer one, a live event before a deleted."""
    world.start_calendar("titles@example.com")
    add = world.calendar.seed_event
    ids = [
        add(
            "titles@example.com", {"summary": "Planning, team", **timed(f"{hour}:00", f"{hour}:30")}
        )["id"]
        for hour in (10, 11)
    ]
    on = ("--on", DAY.isoformat())
    several = in_sandbox("explain", "titles@example.com", "planning", *on)
    assert (several.code, several.out) == (1, "")
    assert all(event_id in several.err for event_id in ids)
    exact = add("titles@example.com", {"summary": "Planning", **timed("15:00", "16:00")})["id"]
    gone = add("titles@example.com", {"summary": "Planning", **timed("17:00", "18:00")})["id"]
    world.calendar.cancel("titles@example.com", gone)
    one = in_sandbox("explain", "titles@example.com", "planning", *on, "--json")
    assert (one.json["event_id"], one.json["title"]) == (exact, "Planning")
    other_day = in_sandbox("explain", "titles@example.com", "Planning", "--on", "2020-01-01")
    assert other_day.code == 1
    assert "2020-01-01" in other_day.err


def test_an_event_that_is_not_named_is_a_usage_error(
    server: ManageServer, operator: Operator
) -> None:
    """A title without a day, and a calendar alone, say what is missing before anything is asked."""
    title = operator("explain", "ann@example.com", "Weekly planning")
    assert (title.code, server.requests) == (2, [])
    assert "--on" in title.err
    assert operator("explain", "ann@example.com").code == 2
    assert operator("explain", "ann@example.com", "x", "--on", "tomorrow").code == 2
