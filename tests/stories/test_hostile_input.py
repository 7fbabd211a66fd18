"""S4, S6: whatever strangers, Calendar or a provider write, it stops nothing and costs no time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sync.model.calendar import CalendarStatus
from sync.model.conference import FailureState
from sync.operate import calendars, routes
from sync.run import engine
from tests.support.bench import Bench, state_of
from tests.support.fitting import fitting, link_of
from tests.support.processor import processor_time_below
from tests.support.worlds import Connected, at_ten, conference_of

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


@pytest.mark.parametrize("when", ["S6-before-the-operator-is-answered", "S6-during-a-try"])
def test_s6_a_retry_on_demand_passes_the_back_off_whenever_it_comes(
    bench: Bench, when: str
) -> None:
    """Neighbour of 2: the queue delivers before the operator's call has ended, or the demand comes
    while a try that nobody asked for is under way."""
    anna = bench.watch()
    shown, _ = bench.conference()
    event_id = bench.event(anna, shown)
    bench.sync(anna)
    headers = {"Retry-After": "3600"}
    bench.conferencing.faults.add(path="conferences", method="PUT", status=429, headers=headers)
    bench.calendar.edit(anna, event_id, {"summary": "Renamed"})
    bench.sync(anna)
    [failure] = bench.failures(anna, FailureState.RETRYING)
    if when == "S6-before-the-operator-is-answered":
        eager = bench.with_services(queue=Eager(bench))
        calendars.retry_failure(eager, failure.id)
    else:
        assert failure.next_try is not None
        # The queue brings the task a little early by our clock.
        bench.clock.now = failure.next_try - timedelta(seconds=1)
        asking = Asking(bench, lambda: calendars.retry_failure(bench.services, failure.id))
        engine.sync_event(bench.with_services(store=asking), anna, event_id)
        assert bench.failures(anna) != []
        bench.run_tasks()
    assert bench.failures(anna) == []
    assert [each["title"] for each in bench.conferencing.conferences.values()] == ["Renamed"]


class Eager:
    """A queue that delivers a task before whoever made it goes on."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def enqueue_event(self, *event: Any) -> None:
        self._bench.services.queue.enqueue_event(*event)
        self._bench.run_tasks()


class Asking:
    """A store at whose first write of a failure an operator comes in between."""

    def __init__(self, bench: Bench, ask: Callable[[], object]) -> None:
        self._store = bench.store
        self._ask: Callable[[], object] | None = ask

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put_failure(self, *failure: Any) -> Any:
        ask, self._ask = self._ask, None
        if ask is not None:
            ask()
        return self._store.put_failure(*failure)


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


@pytest.mark.parametrize("circle", [1, 2, 3, 5])
def test_s4_a_listing_that_names_the_same_pages_again_is_given_up(
    bench: Bench, circle: int
) -> None:
    """The run does not list until its time is over, says why, and the retry brings the change."""
    anna = bench.watch()
    shown, _ = bench.conference()
    bench.event(anna, shown, summary="Planned")
    for number in range(20):
        page = {"items": [], "nextPageToken": f"page {number % circle}"}
        bench.calendar.faults.add(path="events$", status=200, body=page, times=1)
    since = len(bench.calendar.requests)
    assert "same page again" in (bench.sync(anna).reason or "")
    assert len(bench.calendar.requests) - since <= 3 * circle + 2
    bench.calendar.faults.clear()
    bench.clock.advance(61)
    bench.run_tasks()
    assert state_of(bench, anna).failing is None
    assert [each["title"] for each in bench.conferencing.conferences.values()] == ["Planned"]


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


@pytest.mark.slow
def test_s6_long_texts_cost_no_time(world: Connected) -> None:
    """Case 17: blanks, thread ids and brackets by the thousand, and a provider's 40 kB of words.

    The bound is on the work done by all threads of this process, far above what is needed; it was
    ten seconds for one of these events.
    """
    bench = world.bench
    anna = bench.watch("anna")
    texts = [
        " " * 8_192,
        "19:" * 30_000,
        "<" * 8_192,
        "&" * 8_192,
        "https://" * 1_000,
        "https://meet.example.com/" + "=https://x" * 800,
        "<a href=" * 1_000,
        "\u200d" * 8_000,
    ]
    texts = [text.replace("\\u200d", "\u200d") for text in texts]
    owner = {"email": anna, "self": True}
    for number, text in enumerate(texts):
        for place in ("description", "summary", "location", "id", "property"):
            strange = hostile(world, place, text)
            shown = {"conferenceData": fitting(world, anna), **strange}
            body = {"id": f"long-{number}-{place}", "status": "confirmed", **at_ten(), **shown}
            bench.calendar.seed_event(
                anna, {**body, "organizer": owner, "creator": owner}, raw=True
            )
    with processor_time_below(15, of_all_threads=True):
        bench.sync(anna)
    event_id = bench.event(anna, fitting(world, anna), **at_ten())
    bench.sync(anna)
    world.system.server.trouble("long-text")
    bench.calendar.edit(anna, event_id, {"summary": "Renamed"})
    with processor_time_below(2, of_all_threads=True):
        bench.sync(anna)
    failures = bench.failures(anna)
    assert max(len(failure.reason) for failure in failures) <= 1_000
