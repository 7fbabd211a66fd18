"""The real functions as processes with Zoom's, Webex's and Teams' stand-ins: a life of events
with each of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest

from sandbox.world import World
from tests.support.bench import timed

# Waits end by an observed state, and are long enough for a machine ten times slower.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_numbers = itertools.count(1)


@pytest.fixture(scope="module", params=["zoom", "webex", "teams"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """One world for each provider, its calendars apart from each other. Bursts are no subject
    here: none is merged."""
    settings = {"SYNC_DELETE_GRACE_SECONDS": "2", "SYNC_COALESCE_SECONDS": "0"}
    with World(
        tmp_path_factory.mktemp("world"), provider=request.param, settings=settings
    ) as world:
        yield world


CalendarMaker = Callable[[], str]


@pytest.fixture
def make_calendar(world: World) -> Iterator[CalendarMaker]:
    """Starts calendars of the test's own; none of them may have a failure in the end."""
    made = []

    def make() -> str:
        made.append(f"calendar{next(_numbers)}@example.com")
        world.start_calendar(made[-1])
        return made[-1]

    def failures() -> list[Any]:
        paths = [f"/failures?state=all&calendar_id={quote(each)}" for each in made]
        return [found for path in paths for found in world.manage("GET", path).json()["failures"]]

    yield make
    # A failure is taken back a moment after its change was made.
    world.wait(lambda: failures() == [], "an end of all failures")


@pytest.fixture
def calendar_id(make_calendar: CalendarMaker) -> str:
    return make_calendar()


def seed(world: World, calendar_id: str, title: str = "Planning", **fields: Any) -> tuple[str, str]:
    """Add an event of tomorrow at ten with a conference that follows it already; returns their
    ids."""
    data = world.conference()
    body = {"summary": title, **timed("10:00", "11:00"), "conferenceData": data, **fields}
    event_id = world.calendar.seed_event(calendar_id, body)["id"]
    conference_id = data["conferenceId"]
    world.wait(lambda: world.system.title(conference_id) == title, "the first update")
    return event_id, conference_id


def notified(world: World, *acts: Callable[[], Any], rings: int | None = None) -> None:
    """Do something in Calendar, and wait until every notification and all work that follows are
    done.

    Each act rings once, unless `rings` says how often all of them do.
    """
    rung = len(world.calendar.pushes)
    for act in acts:
        act()
    wanted = rings or len(acts)
    world.wait(
        lambda: [push.status for push in list(world.calendar.pushes)[rung:]].count(204) >= wanted,
        "the bells",
    )
    world.quiet(horizon=4)


def moment(event: dict[str, Any], end: str = "start") -> datetime:
    """The start, or the end, of what `timed` made."""
    return datetime.fromisoformat(event[end]["dateTime"]).replace(
        tzinfo=ZoneInfo(event[end]["timeZone"])
    )


def occurrence(world: World, calendar_id: str, series_id: str, weeks: int) -> str:
    """The id of an occurrence, which is made of its original start."""
    series = world.calendar.get(calendar_id, series_id)
    assert series is not None
    begin = datetime.fromisoformat(series["start"]["dateTime"]).astimezone(
        ZoneInfo("Europe/Berlin")
    )
    original = (begin.replace(tzinfo=None) + timedelta(weeks=weeks)).replace(
        tzinfo=ZoneInfo("Europe/Berlin")
    )
    return f"{series_id}_{original.astimezone(ZoneInfo('UTC')):%Y%m%dT%H%M%SZ}"


def test_e1_a_conference_is_followed_from_the_first_sight_of_its_event(
    world: World, calendar_id: str
) -> None:
    """It takes title, start and end of the event, and keeps its join link."""
    data = world.conference()
    conference_id = data["conferenceId"]
    link = world.system.join_link(conference_id)
    times = timed("13:00", "14:30")
    world.calendar.seed_event(calendar_id, {"summary": "Kick-off", **times, "conferenceData": data})
    world.wait(lambda: world.system.title(conference_id) == "Kick-off", "the title")
    assert (world.system.begins(conference_id), world.system.ends(conference_id)) == (
        moment(times),
        moment(times, "end"),
    )
    assert world.system.join_link(conference_id) == link


def test_e4_the_conference_is_moved_and_renamed_with_its_event(
    world: World, calendar_id: str
) -> None:
    """Each change is there seconds later; a colour makes no call."""
    event_id, conference_id = seed(world, calendar_id)
    moved = timed("15:00", "16:00", days=3)
    world.calendar.edit(calendar_id, event_id, moved)
    world.wait(lambda: world.system.begins(conference_id) == moment(moved), "the move")
    world.calendar.edit(calendar_id, event_id, {"summary": "Retrospective"})
    world.wait(lambda: world.system.title(conference_id) == "Retrospective", "the new title")
    assert world.system.begins(conference_id) == moment(moved)
    world.quiet(horizon=4)
    before = world.system.received
    notified(world, lambda: world.calendar.edit(calendar_id, event_id, {"colorId": "7"}))
    assert world.system.calls(before) == []


def test_e2_a_deleted_event_takes_its_conference_with_it_after_the_grace(
    world: World, calendar_id: str
) -> None:
    """Not before, and for good."""
    event_id, conference_id = seed(world, calendar_id)
    before = datetime.now(ZoneInfo("UTC"))
    world.calendar.cancel(calendar_id, event_id)
    world.wait(lambda: not world.system.exists(conference_id), "the deletion")
    [deletion] = [
        one
        for one in world.system.requests()
        if one.method == "DELETE" and conference_id in one.path
    ]
    assert deletion.at - before >= timedelta(seconds=2)


def test_e2_an_event_restored_within_the_grace_keeps_its_conference(
    world: World, calendar_id: str
) -> None:
    """The provider hears nothing of it."""
    event_id, conference_id = seed(world, calendar_id)
    world.quiet(horizon=4)
    before = world.system.received
    # The queue keeps the deletion until the event is restored, however slow the machine is.
    world.tasks.pause()
    try:
        world.calendar.cancel(calendar_id, event_id)
        assert world.deliver({"calendar_id": calendar_id}).json()["changes"] == 1
        assert any("event_id" in task.body for task in world.tasks.pending())
        world.calendar.restore(calendar_id, event_id)
    finally:
        world.tasks.resume()
    world.quiet(horizon=4)
    assert world.system.calls(before) == []
    assert world.system.title(conference_id) == "Planning"


def test_e5_a_weekly_series_with_a_moved_and_a_cancelled_occurrence(
    world: World, calendar_id: str
) -> None:
    """Rule and exceptions are where the system has them; Teams' one meeting reaches to the end
    of the last."""
    system, times = world.system, timed("11:00", "12:00")
    event_id, conference_id = seed(
        world, calendar_id, "Weekly", **times, recurrence=["RRULE:FREQ=WEEKLY;COUNT=6"]
    )
    assert system.begins(conference_id) == moment(times)
    world.quiet(horizon=4)
    before = system.received
    second, third = (occurrence(world, calendar_id, event_id, weeks) for weeks in (1, 2))
    notified(
        world,
        lambda: world.calendar.edit(calendar_id, second, timed("12:30", "13:30", days=8)),
        lambda: world.calendar.cancel(calendar_id, third),
    )
    if system.name == "teams":
        assert system.ends(conference_id) == moment(timed("11:00", "12:00", days=1 + 5 * 7), "end")
        assert system.calls(before) == []
        return
    assert system.recurring(conference_id)
    world.wait(lambda: system.occurrences(conference_id) == 2, "both exceptions")
    # When the series' times are sent, the system drops its exceptions: they are told again.
    longer = timed("11:00", "12:15")
    world.calendar.edit(calendar_id, event_id, {"end": longer["end"]})
    world.wait(lambda: system.ends(conference_id) == moment(longer, "end"), "the longer series")
    world.wait(lambda: system.occurrences(conference_id) == 2, "both exceptions again")


def test_c5_what_a_system_cannot_hold_of_a_series_is_listed_and_never_sent_wrong(
    world: World, calendar_id: str
) -> None:
    """An endless series is approximate, but for Webex; a rule with other dates is parked, but
    for Teams."""

    def listed(state: str) -> list[dict[str, Any]]:
        answer = world.manage(
            "GET", f"/failures?state={state}&calendar_id={quote(calendar_id)}"
        ).raise_for_status()
        failures: list[dict[str, Any]] = answer.json()["failures"]
        return failures

    system = world.system
    event_id, conference_id = seed(world, calendar_id, "Standup", recurrence=["RRULE:FREQ=WEEKLY"])
    if system.name == "webex":
        assert listed("all") == []
    else:
        [approximate] = world.wait(lambda: listed("approximate"), "the entry")
        assert (approximate["event_id"], approximate["state"]) == (event_id, "approximate")
        assert {"zoom": "50 dates", "teams": "is moved on"}[system.name] in approximate["reason"]
        assert listed("parked") == []
    begins = system.begins(conference_id)
    # On the first and the fifteenth: neither Zoom nor Webex can say that.
    wrong = {"recurrence": ["RRULE:FREQ=MONTHLY;BYMONTHDAY=1,15"]}
    world.calendar.edit(calendar_id, event_id, wrong)
    if system.name != "teams":
        [parked] = world.wait(lambda: listed("parked"), "the refusal")
        assert parked["reason"]
        assert system.begins(conference_id) == begins
    world.calendar.edit(calendar_id, event_id, {"recurrence": ["RRULE:FREQ=WEEKLY;COUNT=4"]})
    world.wait(lambda: listed("all") == [], "the end of the entry")


def test_e7_a_copy_takes_the_conference_over_when_the_original_is_deleted(
    world: World, calendar_id: str
) -> None:
    """Until then the conference is the original's, and afterwards it is still there."""
    event_id, conference_id = seed(world, calendar_id, "Original")
    link = world.system.join_link(conference_id)
    shown = (world.calendar.get(calendar_id, event_id) or {})["conferenceData"]
    before = world.system.received
    copy = {"summary": "Copy", **timed("16:00", "17:00"), "conferenceData": shown}
    notified(world, lambda: world.calendar.seed_event(calendar_id, copy))
    # O2: the one read at first sight.
    assert {one.method for one in world.system.requests(before)} == {"GET"}
    world.calendar.cancel(calendar_id, event_id)
    world.wait(lambda: world.system.title(conference_id) == "Copy", "the copy's title")
    world.quiet(horizon=4)
    assert (world.system.title(conference_id), world.system.join_link(conference_id)) == (
        "Copy",
        link,
    )


def test_e2_an_event_moved_to_another_watched_calendar_keeps_its_join_link(
    world: World, make_calendar: CalendarMaker
) -> None:
    """Nothing is deleted and nothing created: the conference goes on following the event."""
    here, there = make_calendar(), make_calendar()
    event_id, conference_id = seed(world, here)
    link, created = world.system.join_link(conference_id), world.system.created
    notified(
        world,
        lambda: world.calendar.move(here, event_id, there),
        lambda: world.calendar.edit(there, event_id, {"summary": "Elsewhere"}),
        rings=3,
    )
    world.wait(lambda: world.system.title(conference_id) == "Elsewhere", "the title given there")
    world.quiet(horizon=4)
    assert (world.system.join_link(conference_id), world.system.created) == (link, created)


def test_c4_a_conference_lost_at_the_provider_is_created_anew_once(
    world: World, calendar_id: str
) -> None:
    """And the event shows the new join link, which goes on following the event."""
    event_id, conference_id = seed(world, calendar_id)
    old, created = world.system.join_link(conference_id), world.system.created
    world.system.forget(conference_id)
    title = f"Created anew for {calendar_id}"
    world.calendar.edit(calendar_id, event_id, {"summary": title})
    [anew] = world.wait(lambda: world.system.titled(title), "the new conference")
    link = world.system.join_link(anew)
    assert link
    assert link != old
    world.wait(
        lambda: (world.calendar.get(calendar_id, event_id) or {}).get("location") == link,
        "the new link",
    )
    world.calendar.edit(calendar_id, event_id, {"summary": "Followed on"})
    world.wait(lambda: world.system.title(anew) == "Followed on", "the next title")
    world.quiet(horizon=4)
    assert world.system.created == created + 1


def test_c2_a_rotated_secret_needs_no_deploy_at_any_provider(
    world: World, calendar_id: str
) -> None:
    """The former credentials and their token are refused; the worker reads the secret again and
    goes on."""
    event_id, conference_id = seed(world, calendar_id)
    pid = world.functions["sync_calendar"].pid
    world.rotate()
    world.calendar.edit(calendar_id, event_id, {"summary": "Rotated"})
    world.wait(lambda: world.system.title(conference_id) == "Rotated", "the rotated secret")
    assert world.functions["sync_calendar"].pid == pid


def test_c3_too_many_requests_are_answered_by_waiting_as_long_as_asked(
    world: World, calendar_id: str
) -> None:
    """429 with Retry-After: nothing is sent before that, and then the change is made."""
    event_id, conference_id = seed(world, calendar_id)
    before = world.system.received
    world.system.faults.add(
        method="PATCH", path=conference_id, status=429, headers={"Retry-After": "2"}, body={}
    )
    world.calendar.edit(calendar_id, event_id, {"summary": "In due time"})
    world.wait(lambda: world.system.title(conference_id) == "In due time", "the change")
    refused, *later = world.system.requests(before)
    assert refused.status == 429
    assert all(one.at - refused.at >= timedelta(seconds=2) for one in later)
