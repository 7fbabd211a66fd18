"""What stopped it, doubled it or took it back: hostile input, stalls, overlaps, outages (S6-S8)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest

from sync import services as composition
from sync.context import Services
from sync.errors import SyncError
from sync.model.calendar import CalendarState, CalendarStatus
from sync.model.conference import FailureState
from sync.model.event import CalendarId, EventId
from sync.operate import calendars, routes
from sync.run import engine
from tests.support.bench import Bench, TurnedClock
from tests.support.fitting import SIX_WEEKS, begins, fitting, fitting_series, link_of
from tests.support.series import occurrence
from tests.support.worlds import Connect, Connected, at_ten, tomorrow

DAY = timedelta(days=1).total_seconds()


def state_of(bench: Bench, calendar_id: CalendarId) -> CalendarState:
    return calendars.get(bench.services, calendar_id)


def conference_of(world: Connected, calendar_id: CalendarId, event_id: EventId) -> str:
    """Return the id of the conference that an event carries."""
    link = world.bench.link(calendar_id, event_id)
    assert link is not None
    assert link.carried is not None
    return link.carried.conference.conference_id


def settle(bench: Bench, rounds: int = 8, seconds: float = 61) -> None:
    """Let the queue go on, round after round, whatever fails on the way."""
    for _ in range(rounds):
        bench.run_tasks(errors=lambda _: None)
        bench.clock.advance(seconds)
    bench.run_tasks(errors=lambda _: None)


HOSTILE_LINKS = [
    "https://[x.webex.com/j.php?MTID=1",
    "https://x].webex.com/j.php?MTID=1",
    "https://acme.webex.com:99999999/j.php?MTID=1",
    "https://acme.webex.com/j.php?MTID=%ff%fe",
    "https://[us02web.zoom.us/j/81999999999",
    "https://us02web.zoom.us/j/" + "9" * 3000,
    "https://us02web.zoom.us/j/\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669",
    "https://teams.microsoft.com/l/meetup-join/%zz%/0?context=%7b",
    "https://teams.microsoft.com/l/meetup-join/19%3ameeting_x%40thread.v2/0?context={",
    "https://meet.example.com/%00",
    "https://meet.example.com/..%2f..%2fadmin",
    "https://meet.example.com/%E0%A4%A",
    "https://[::1/abc https://meet.example.com/\ud800",
]


@pytest.mark.parametrize("place", ["location", "description", "entry point", "id", "property"])
def test_s6_a_strangers_link_stops_nothing(world: Connected, place: str) -> None:
    """Case 1: invitations and own events with links that no library can read; all else goes on."""
    bench = world.bench
    anna = bench.watch("anna")
    for number, link in enumerate(HOSTILE_LINKS):
        for organizer in (anna, "stranger@elsewhere.example"):
            person = {"email": organizer, **({"self": True} if organizer == anna else {})}
            body: dict[str, Any] = {
                "id": f"hostile-{number}-{organizer == anna}",
                "status": "confirmed",
                "summary": "Hello",
                "organizer": person,
                "creator": person,
                **at_ten(),
            }
            body.update(hostile(world, place, link))
            bench.calendar.seed_event(anna, body, raw=True)
    event_id = bench.event(anna, fitting(world, anna), **at_ten(), summary="Ordinary")
    before = state_of(bench, anna).sync_token
    report = bench.sync(anna)
    assert report.reason is None
    assert state_of(bench, anna).sync_token != before
    assert state_of(bench, anna).status is CalendarStatus.OK
    assert world.system.title(conference_of(world, anna, event_id)) == "Ordinary"
    since = len(world.writes())
    bench.calendar.expire_sync_tokens(anna)
    assert bench.sync(anna).reason is None
    assert world.writes()[since:] == []
    assert world.system.created == 0
    ours = (FailureState.PARKED, FailureState.RETRYING)
    if place in ("location", "description"):
        assert bench.failures(anna, *ours) == []


def hostile(world: Connected, place: str, link: str) -> dict[str, Any]:
    """What an event looks like that has a hostile link in this place."""
    solution = {"key": {"type": "addOn"}, "name": world.system.entry("")["solutions"][0]}
    match place:
        case "entry point":
            point = {"entryPointType": "video", "uri": link}
            return {"conferenceData": {"conferenceSolution": solution, "entryPoints": [point]}}
        case "id":
            return {"conferenceData": {"conferenceSolution": solution, "conferenceId": link}}
        case "property":
            named = {"conferenceSyncProvider": world.system.name, "conferenceSyncId": link}
            return {"extendedProperties": {"private": named}}
        case _:
            return {place: link}


@pytest.mark.parametrize(
    "said",
    ["1764154800000", "9" * 400, "-5", "1e400", "NaN", "Fri, 31 Dec 9999 23:59:59 GMT", "soon"],
)
def test_s6_what_others_ask_for_is_capped_at_a_day(world: Connected, said: str) -> None:
    """Case 2: an absurd Retry-After: tried again within a day, listed, at once on demand."""
    bench = world.bench
    anna = bench.watch("anna")
    event_id = bench.event(anna, fitting(world, anna), **at_ten())
    bench.sync(anna)
    body = world.system.server.refusal(429, "Too many requests.")
    headers = {"Retry-After": said}
    world.system.faults.add(
        path=r"meetings|onlineMeetings|conferences", status=429, body=body, headers=headers
    )
    bench.calendar.edit(anna, event_id, {"summary": "Renamed"})
    report = bench.sync(anna)
    assert (report.reason, report.counts.failed) == (None, 1)
    [failure] = bench.failures(anna, FailureState.RETRYING)
    assert failure.next_try is not None
    assert failure.next_try <= bench.clock() + timedelta(days=1)
    calendars.retry_failure(bench.services, failure.id)
    bench.run_tasks()
    assert world.system.title(conference_of(world, anna, event_id)) == "Renamed"
    assert bench.failures(anna) == []


@pytest.mark.parametrize("said", [1764154800000, "Fri, 31 Dec 9999 23:59:59 GMT", "-1"])
def test_s6_calendar_is_capped_as_well(any_bench: Bench, said: int | str) -> None:
    """Neighbour of 2: the same from Calendar: the calendar's one retry comes within minutes."""
    bench = any_bench
    anna = bench.watch()
    bench.calendar.fail_next("rateLimitExceeded", status=429, retry_after=said, path="events")
    assert bench.sync(anna).reason is not None
    [task] = bench.waiting()
    assert task.schedule_time <= bench.clock() + timedelta(minutes=5)
    bench.clock.advance(301)
    bench.run_tasks()
    assert state_of(bench, anna).failing is None


HALF = "\ud83d"


@pytest.mark.parametrize("place", ["location", "id", "title", "description", "recurrence", "zone"])
def test_s6_half_of_a_surrogate_pair_is_the_same_to_both_stores(
    world: Connected, place: str
) -> None:
    """Case 3: cleaned, or that one event parked; the token moves and the next event is followed."""
    bench = world.bench
    anna = bench.watch("anna")
    shown = fitting(world, anna, "Made")
    match place:
        case "location":
            members: dict[str, Any] = {"location": f"{link_of(shown)}{HALF}"}
        case "id":
            members = {"conferenceData": {**shown, "conferenceId": f"a{HALF}b", "entryPoints": []}}
        case "title":
            members = {"conferenceData": shown, "summary": f"half {HALF} a pair"}
        case "description":
            members = {"conferenceData": shown, "description": f"half {HALF} a pair"}
        case "recurrence":
            members = {"conferenceData": shown, "recurrence": [f"RRULE:FREQ={HALF}"]}
        case _:
            members = {"conferenceData": shown, "start": {**at_ten()["start"], "timeZone": HALF}}
    owner = {"email": anna, "self": True}
    body = {"id": "half", "status": "confirmed", "summary": "Half", **at_ten()}
    body |= {"organizer": owner, "creator": owner, **members}
    bench.calendar.seed_event(anna, body, raw=True)
    event_id = bench.event(anna, fitting(world, anna), **at_ten(), summary="Whole")
    report = bench.sync(anna)
    assert report.reason is None
    assert world.system.title(conference_of(world, anna, event_id)) == "Whole"
    for failure in bench.failures(anna):
        failure.reason.encode()
        routes.answer(
            bench.services, routes.Call(method="GET", path="/failures", query={"state": "all"})
        )
    bench.calendar.expire_sync_tokens(anna)
    assert bench.sync(anna).reason is None
    bench.calendar.cancel(anna, event_id)
    assert bench.sync(anna).reason is None


def test_s6_half_of_a_pair_in_a_providers_words_is_cleaned(world: Connected) -> None:
    """Neighbour of 3: the reason of a failure is text of others, too."""
    bench = world.bench
    anna = bench.watch("anna")
    event_id = bench.event(anna, fitting(world, anna), **at_ten())
    bench.sync(anna)
    body = world.system.server.refusal(400, f"No {HALF} \x00 \u202e way.")
    world.system.faults.add(path="meetings|onlineMeetings|conferences", status=400, body=body)
    bench.calendar.edit(anna, event_id, {"summary": "Renamed"})
    report = bench.sync(anna)
    assert (report.reason, report.counts.failed) == (None, 1)
    [failure] = bench.failures(anna)
    failure.reason.encode()
    calendars.retry_failure(bench.services, failure.id)
    bench.run_tasks()
    assert world.system.title(conference_of(world, anna, event_id)) == "Renamed"


class Worker:
    """A second process: services of its own, and a clock that stands while it is frozen."""

    def __init__(self, bench: Bench) -> None:
        self.clock = TurnedClock(bench.clock.now)
        self.services: Services = composition.build(bench.settings, self.clock)
        self._pool = ThreadPoolExecutor(1)

    def begin(self, work: Callable[[Services], Any]) -> Future[Any]:
        return self._pool.submit(work, self.services)

    def wake(self, bench: Bench) -> None:
        self.clock.now = bench.clock.now


@contextmanager
def another_worker(bench: Bench) -> Iterator[Worker]:
    worker = Worker(bench)
    try:
        yield worker
    finally:
        worker._pool.shutdown()
        worker.services.close()


def ended(future: Future[Any]) -> None:
    """Wait for a worker's end; a task that failed is brought again by the queue."""
    with suppress(SyncError):
        future.result(60)


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after its effect"])
def test_s8_a_frozen_worker_leaves_no_older_state(world: Connected, after: bool) -> None:
    """Case 4: A's update arrives minutes later, after B's: B's state stands in the end."""
    bench = world.bench
    anna = bench.watch("anna")
    event_id = bench.event(anna, fitting(world, anna), **at_ten())
    bench.sync(anna)
    conference_id = conference_of(world, anna, event_id)
    world.system.faults.add(
        method="PUT" if world.system.name == "my-web" else "PATCH", freeze=True, after=after
    )
    with another_worker(bench) as frozen:
        bench.calendar.edit(anna, event_id, {"summary": "A's, older"})
        a = frozen.begin(lambda services: engine.sync_calendar(services, anna))
        world.system.faults.wait_held()
        bench.clock.advance(120)
        bench.calendar.edit(anna, event_id, {"summary": "B's, newer"})
        bench.sync(anna)
        assert after or world.system.title(conference_id) == "B's, newer"
        frozen.wake(bench)
        world.system.faults.release()
        ended(a)
    settle(bench)
    assert world.system.title(conference_id) == "B's, newer"
    assert bench.failures(anna) == []
    since = len(world.writes())
    bench.calendar.expire_sync_tokens(anna)
    bench.sync(anna)
    assert world.writes()[since:] == []


def test_s8_a_frozen_task_of_one_event_leaves_no_older_state(world: Connected) -> None:
    """Neighbour of 4: a retry task is frozen, and the calendar's run finishes meanwhile."""
    bench = world.bench
    anna = bench.watch("anna")
    event_id = bench.event(anna, fitting(world, anna), **at_ten())
    bench.sync(anna)
    conference_id = conference_of(world, anna, event_id)
    with another_worker(bench) as frozen:
        bench.calendar.edit(anna, event_id, {"summary": "Older"})
        world.system.faults.add(
            method="PUT" if world.system.name == "my-web" else "PATCH", freeze=True
        )
        a = frozen.begin(lambda services: engine.sync_event(services, anna, event_id))
        world.system.faults.wait_held()
        bench.clock.advance(120)
        bench.calendar.edit(anna, event_id, {"summary": "Newer"})
        bench.sync(anna)
        frozen.wake(bench)
        world.system.faults.release()
        ended(a)
    settle(bench)
    assert world.system.title(conference_id) == "Newer"


@pytest.mark.parametrize("system", ["rest", "zoom", "webex"])
def test_s8_a_frozen_occurrence_leaves_no_older_state(connected: Connect, system: str) -> None:
    """Neighbour of 4: one occurrence is moved twice, and the first move arrives last."""
    world = connected(system)
    bench = world.bench
    anna = bench.watch("anna")
    series = bench.event(anna, fitting_series(world, anna), recurrence=[SIX_WEEKS], **at_ten())
    bench.sync(anna)
    conference_id = conference_of(world, anna, series)
    one, _ = occurrence(bench, anna, series, 2)
    with another_worker(bench) as frozen:
        bench.calendar.edit(anna, one, moved_to(14))
        world.system.faults.add(method="PUT" if system == "rest" else "PATCH", freeze=True)
        a = frozen.begin(lambda services: engine.sync_calendar(services, anna))
        world.system.faults.wait_held()
        bench.clock.advance(120)
        bench.calendar.edit(anna, one, moved_to(16))
        bench.sync(anna)
        frozen.wake(bench)
        world.system.faults.release()
        ended(a)
    settle(bench)
    assert tomorrow(16) + timedelta(weeks=2) in begins(world, conference_id)
    assert tomorrow(14) + timedelta(weeks=2) not in begins(world, conference_id)


def moved_to(hour: int) -> dict[str, Any]:
    """The times of the third date of a weekly series, moved to this hour."""
    begin = tomorrow(hour) + timedelta(weeks=2)
    return {
        name: {"dateTime": moment.isoformat(), "timeZone": "UTC"}
        for name, moment in (("start", begin), ("end", begin + timedelta(hours=1)))
    }


def test_s8_a_frozen_deletion_leaves_no_event_without_a_conference(world: Connected) -> None:
    """Neighbour of 4: the event is restored while its DELETE is held, which then arrives."""
    bench = world.bench
    anna = bench.watch("anna")
    event_id = bench.event(anna, fitting(world, anna), **at_ten(), summary="Restored")
    bench.sync(anna)
    bench.calendar.cancel(anna, event_id)
    bench.sync(anna)
    bench.clock.advance(61)
    with another_worker(bench) as frozen:
        world.system.faults.add(method="DELETE", freeze=True)
        a = frozen.begin(lambda services: engine.sync_event(services, anna, event_id))
        world.system.faults.wait_held()
        bench.clock.advance(120)
        bench.calendar.restore(anna, event_id)
        with suppress(SyncError):
            bench.sync(anna)
        frozen.wake(bench)
        world.system.faults.release()
        ended(a)
    settle(bench, 20)
    assert world.system.titled("Restored") == [conference_of(world, anna, event_id)]
    assert bench.failures(anna) == []


def test_s7_ninety_edits_under_refused_credentials_leave_one_retry(world: Connected) -> None:
    """Case 5: however often it rings, one retry waits, later each time, and `failing` says why."""
    bench = world.bench
    anna, healthy = bench.watch("anna"), bench.watch("ben")
    event_id = bench.event(anna, fitting(world, anna), **at_ten())
    bench.sync(anna)
    refused = world.system.server.refusal(401, "Invalid access token.")
    world.system.faults.add(times=None, status=401, body=refused)
    began = bench.clock()
    for number in range(90):
        bench.calendar.edit(anna, event_id, {"summary": f"Edit {number}"})
        assert bench.sync(anna).reason is not None
        waiting = [task for task in bench.waiting() if task.body["calendar_id"] == anna]
        assert len(waiting) == 1
        assert waiting[0].schedule_time - bench.clock() <= timedelta(minutes=5, seconds=1)
        bench.clock.advance(10)
        bench.run_tasks()
    failing = state_of(bench, anna).failing
    assert failing is not None
    assert failing.runs >= 90
    assert failing.since == began
    assert world.system.name in failing.reason
    assert failing.retries < 20
    assert bench.failures(anna) == []
    assert bench.sync(healthy).reason is None
    world.system.faults.clear()
    bench.clock.advance(301)
    bench.run_tasks()
    assert state_of(bench, anna).failing is None
    assert world.system.title(conference_of(world, anna, event_id)) == "Edit 89"
    assert bench.waiting() == []


@pytest.mark.parametrize("reason", ["backendError", "serviceUnavailable", "rateLimitExceeded"])
def test_s7_an_outage_of_calendar_leaves_one_retry(any_bench: Bench, reason: str) -> None:
    """Neighbour of 5: delays grow from 30 seconds to five minutes, and the state clears."""
    bench = any_bench
    anna = bench.watch()
    # The client tries again by itself within seconds, but not where it is told when to come.
    bench.calendar.fail_next(reason, times=None, path="/events", retry_after=1)
    delays = []
    for _ in range(7):
        assert bench.sync(anna).reason is not None
        assert bench.sync(anna).reason is not None
        [task] = bench.waiting()
        delays.append(round((task.schedule_time - bench.clock()).total_seconds()))
        bench.clock.advance(delays[-1] + 1)
        # The retry fails, and the ring after it leaves no other.
        bench.run_tasks()
    assert delays == [30, 60, 120, 240, 300, 300, 300]
    failing = state_of(bench, anna).failing
    assert failing is not None
    assert failing.runs == 21
    shown = calendars.calendar_json(state_of(bench, anna))["failing"]
    assert shown == {
        "runs": 21,
        "since": calendars.rfc3339(failing.since),
        "reason": failing.reason,
    }
    bench.calendar.faults.clear()
    assert bench.sync(anna).reason is None
    assert state_of(bench, anna).failing is None
