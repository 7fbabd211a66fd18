"""Series that Zoom cannot hold: copied for a while and extended, or refused; and the operator
sees which (C1, C5)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sandbox.zoom import Zoom
from sync.model.conference import Failure, FailureState
from sync.model.event import CalendarId
from sync.operate import calendars, maintenance
from tests.support.bench import Bench, BenchMaker, timed

SECRET = "projects/sandbox/secrets/zoom"
ENDLESS = ["RRULE:FREQ=DAILY"]
TEN = ["RRULE:FREQ=DAILY;COUNT=10"]


@pytest.fixture(scope="module")
def zoom_server() -> Iterator[Zoom]:
    zoom = Zoom()
    zoom.start()
    yield zoom
    zoom.stop()


@pytest.fixture
def zoom(zoom_server: Zoom) -> Zoom:
    zoom_server.reset()
    return zoom_server


@pytest.fixture(params=["sqlite", pytest.param("firestore", marks=pytest.mark.firestore)])
def bench(request: pytest.FixtureRequest, make_bench: BenchMaker, zoom: Zoom) -> Bench:
    """The engine with Zoom, which lives by the bench's clock, on both stores."""
    bench = make_bench(store=request.param, SYNC_PROVIDERS=json.dumps([zoom.entry("zoom", SECRET)]))
    bench.secrets.put(SECRET, zoom.secret)
    zoom.clock = bench.clock
    return bench


def failures(bench: Bench, calendar_id: CalendarId, *states: FailureState) -> list[Failure]:
    return bench.failures(calendar_id, *states)


def starts(zoom: Zoom) -> list[str]:
    """When the occurrences of the only meeting begin."""
    [meeting] = zoom.meetings.values()
    return sorted(
        each["start_time"] for each in meeting["occurrences"] if each["status"] == "available"
    )


def test_an_endless_series_is_listed_as_approximate_and_extended_before_its_copy_runs_out(
    bench: Bench, zoom: Zoom
) -> None:
    """Fifty dates now, and the next fifty forty days later, sent once; the entry stays, and says
    until when."""
    calendar_id = bench.watch()
    event_id = bench.event(calendar_id, zoom.add(), recurrence=ENDLESS)
    bench.sync(calendar_id)
    [approximate] = failures(bench, calendar_id)
    last = starts(zoom)[-1]
    assert len(starts(zoom)) == 50
    assert approximate.state is FailureState.APPROXIMATE
    assert (approximate.event.event_id, approximate.provider, approximate.attempts) == (
        event_id,
        "zoom",
        0,
    )
    assert last[:10] in approximate.reason
    assert approximate.next_try is None

    bench.clock.advance(timedelta(days=39).total_seconds())
    assert maintenance.maintain(bench.services).series_extended == 0
    bench.run_tasks()
    bench.clock.advance(timedelta(days=3).total_seconds())
    report = maintenance.maintain(bench.services)
    assert (report.series_extended, report.failures_retried, report.parked, report.approximate) == (
        1,
        0,
        0,
        1,
    )
    bench.run_tasks()
    assert len(starts(zoom)) == 50
    assert starts(zoom)[0] > bench.clock().isoformat()
    assert maintenance.maintain(bench.services).series_extended == 0
    [again] = failures(bench, calendar_id)
    assert starts(zoom)[-1][:10] in again.reason
    assert again.first == approximate.first


def test_an_exception_beyond_the_copy_is_told_when_the_copy_reaches_it(
    bench: Bench, zoom: Zoom
) -> None:
    """The sixtieth day is moved at once in Calendar, and at Zoom as soon as Zoom lists that day."""
    calendar_id = bench.watch()
    event_id = bench.event(calendar_id, zoom.add(), recurrence=ENDLESS)
    bench.sync(calendar_id)
    sixtieth = timed("10:00", "11:00", days=60)["start"]["dateTime"]
    original = (
        datetime.fromisoformat(sixtieth).replace(tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)
    )
    bench.calendar.edit(
        calendar_id, f"{event_id}_{original:%Y%m%dT%H%M%SZ}", timed("18:00", "19:00", days=60)
    )
    day = sixtieth[:10]
    bench.sync(calendar_id)
    assert not any(each.startswith(day) for each in starts(zoom))
    bench.clock.advance(timedelta(days=42).total_seconds())
    maintenance.maintain(bench.services)
    bench.run_tasks()
    [there] = [each for each in starts(zoom) if each.startswith(day)]
    assert there[11:] in ("16:00:00Z", "17:00:00Z")  # 18 o'clock in Berlin, in summer or winter
    assert all(
        failure.state is FailureState.APPROXIMATE for failure in failures(bench, calendar_id)
    )


def test_an_approximate_series_is_no_failure_of_the_default_list(bench: Bench, zoom: Zoom) -> None:
    """Nobody has to act: it is listed where it is asked for; dismissed or tried again, it is
    listed again."""
    calendar_id = bench.watch()
    event_id = bench.event(calendar_id, zoom.add(), recurrence=ENDLESS)
    bench.sync(calendar_id)
    assert failures(bench, calendar_id, *calendars.parse_failure_states(None)) == []
    [approximate] = failures(bench, calendar_id, *calendars.parse_failure_states("approximate"))
    told = calendars.failure_json(approximate)
    assert (told["state"], told["next_try"]) == ("approximate", None)
    zoom.requests.clear()
    calendars.retry_failure(bench.services, approximate.id)
    bench.run_tasks()
    assert failures(bench, calendar_id) == [approximate]
    calendars.dismiss_failure(bench.services, approximate.id)
    assert failures(bench, calendar_id) == []
    bench.calendar.edit(calendar_id, event_id, {"colorId": "7"})
    bench.sync(calendar_id)
    [again] = failures(bench, calendar_id)
    assert again.reason == approximate.reason
    assert zoom.requests == []


@pytest.mark.parametrize("change", ["shortened", "conference removed", "deleted"])
def test_the_entry_goes_when_the_reason_does(bench: Bench, zoom: Zoom, change: str) -> None:
    """The series becomes short enough, or the conference is not its own any more."""
    calendar_id = bench.watch()
    event_id = bench.event(calendar_id, zoom.add(), recurrence=ENDLESS)
    bench.sync(calendar_id)
    assert len(failures(bench, calendar_id)) == 1
    match change:
        case "shortened":
            bench.calendar.edit(calendar_id, event_id, {"recurrence": TEN})
        case "conference removed":
            bench.calendar.edit(calendar_id, event_id, {"conferenceData": None})
        case _:
            bench.calendar.cancel(calendar_id, event_id)
    bench.sync(calendar_id)
    assert failures(bench, calendar_id) == []
    link = bench.link(calendar_id, event_id)
    told = link.carried.told if link and link.carried else None
    assert told is None or told.approximation is None
    bench.pass_grace()
    assert maintenance.maintain(bench.services).series_extended == 0
    assert failures(bench, calendar_id) == []


def test_what_a_failure_hides_is_listed_again_after_it(bench: Bench, zoom: Zoom) -> None:
    """A change that fails is a failure; once it is done, the series is approximate as before."""
    calendar_id = bench.watch()
    event_id = bench.event(calendar_id, zoom.add(), recurrence=ENDLESS)
    bench.sync(calendar_id)
    zoom.faults.add(method="PATCH", status=500, body={})
    bench.calendar.edit(calendar_id, event_id, {"summary": "Renamed"})
    bench.sync(calendar_id)
    assert [failure.state for failure in failures(bench, calendar_id)] == [FailureState.RETRYING]
    bench.clock.advance(120)
    bench.run_tasks()
    assert [failure.state for failure in failures(bench, calendar_id)] == [FailureState.APPROXIMATE]


def test_the_copy_that_takes_over_has_the_entry_then(bench: Bench, zoom: Zoom) -> None:
    """E7: of two endless series with one meeting, the one that leads is listed."""
    calendar_id = bench.watch()
    conference = zoom.add()
    first, second = (
        bench.event(calendar_id, conference, recurrence=ENDLESS, **timed(*times)) for times in HOURS
    )
    bench.sync(calendar_id)
    [listed] = failures(bench, calendar_id)
    leader = listed.event.event_id
    bench.calendar.cancel(calendar_id, leader)
    bench.sync(calendar_id)
    bench.pass_grace()
    [listed] = failures(bench, calendar_id)
    assert {leader, listed.event.event_id} == {first, second}


HOURS: list[Any] = [("10:00", "11:00"), ("14:00", "15:00")]


def test_a_series_that_zoom_cannot_follow_is_parked_with_its_reason(
    bench: Bench, zoom: Zoom
) -> None:
    """Nothing is sent that would make other dates; the meeting stays as it was until the rule
    changes."""
    calendar_id = bench.watch()
    event_id = bench.event(calendar_id, zoom.add(), recurrence=["RRULE:FREQ=YEARLY"])
    before = dict(next(iter(zoom.meetings.values())))
    bench.sync(calendar_id)
    [parked] = failures(bench, calendar_id)
    assert (parked.state, parked.attempts) == (FailureState.PARKED, 1)
    assert "yearly" in parked.reason
    assert next(iter(zoom.meetings.values())) == before
    bench.calendar.edit(calendar_id, event_id, {"recurrence": TEN})
    bench.sync(calendar_id)
    assert failures(bench, calendar_id) == []
    assert len(starts(zoom)) == 10
