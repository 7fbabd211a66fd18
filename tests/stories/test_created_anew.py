"""A conference made again, and what is written into its event (C4, W1, W2, W4)."""

from __future__ import annotations

from typing import Any

import pytest

from sync.event.content import BLOCK_BEGIN
from sync.event.recognise import ID_PROPERTY, PROVIDER_PROPERTY
from sync.event.write_back import WRITES_PER_HOUR
from sync.model.conference import FailureState
from tests.support.bench import Bench, timed
from tests.support.series import lose, only_conference


@pytest.fixture
def addon_writes(bench: Bench, request: pytest.FixtureRequest) -> Any:
    bench.calendar.settings.addon_writes = request.param
    yield request.param
    bench.calendar.settings.addon_writes = "refuse"


@pytest.mark.parametrize("addon_writes", ["accept"], indirect=True)
@pytest.mark.usefixtures("addon_writes")
def test_c4_w1_a_lost_conference_is_created_anew_and_shown_as_conference_data(bench: Bench) -> None:
    """Where Calendar takes it: PATCH with the etag, nothing else changed, nobody mailed, and no
    loop (W2)."""
    calendar_id = bench.watch()
    event_id = lose(bench, calendar_id, description="Agenda", colorId="3")
    bench.calendar.requests.clear()
    report = bench.look(calendar_id, event_id)
    assert report.counts.created == 1
    created = only_conference(bench)
    event = bench.calendar.get(calendar_id, event_id)
    assert event is not None
    assert event["conferenceData"]["conferenceId"] == created
    assert (event["description"], event["colorId"]) == ("Agenda", "3")
    [patch] = [call for call in bench.calendar.requests if call.method == "PATCH"]
    assert patch.headers["If-Match"]
    assert patch.query["sendUpdates"] == "none"
    assert patch.query["conferenceDataVersion"] == "1"
    assert set(patch.body) == {"conferenceData"}
    bench.forget_calls()
    bench.calendar.requests.clear()
    bench.sync(calendar_id)
    assert bench.calls() == []
    assert [call for call in bench.calendar.requests if call.method == "PATCH"] == []


@pytest.mark.parametrize("addon_writes", ["refuse", "drop"], indirect=True)
@pytest.mark.usefixtures("addon_writes")
def test_w4_where_calendar_takes_no_conference_data_the_way_in_is_text(bench: Bench) -> None:
    """The link in the location, all of it in a marked block, our property; and it is followed
    from then on (E1)."""
    calendar_id = bench.watch()
    event_id = lose(bench, calendar_id, description="Agenda")
    bench.run_tasks()
    created = only_conference(bench)
    event = bench.calendar.get(calendar_id, event_id)
    assert event is not None
    assert event["location"] == f"https://meet.example.com/{created}"
    assert event["description"].startswith("Agenda")
    assert BLOCK_BEGIN in event["description"]
    assert event["location"] in event["description"]
    assert "conferenceData" not in event
    private = event["extendedProperties"]["private"]
    assert (private[PROVIDER_PROPERTY], private[ID_PROPERTY]) == ("my-web", created)
    bench.forget_calls()
    bench.sync(calendar_id)
    assert bench.calls() == []
    bench.calendar.edit(calendar_id, event_id, {"summary": "Edited", **timed("18:00", "19:00")})
    bench.sync(calendar_id)
    stored = bench.conferencing.conferences[created]
    assert "T18:00:00" in stored["start"]
    assert stored["description"] == "Agenda"


def test_w4_a_room_in_the_location_is_not_overwritten(bench: Bench) -> None:
    """What a person wrote stays; the block alone tells the way in."""
    calendar_id = bench.watch()
    event_id = lose(bench, calendar_id, location="Room 5")
    bench.run_tasks()
    event = bench.calendar.get(calendar_id, event_id)
    assert event is not None
    assert event["location"] == "Room 5"
    assert only_conference(bench) in event["description"]


def test_w4_the_text_is_kept_up_to_date_and_removed_cleanly(bench: Bench) -> None:
    """Lost a second time, it is replaced; once the event carries another conference, it goes."""
    calendar_id = bench.watch()
    event_id = lose(bench, calendar_id, description="Agenda")
    bench.run_tasks()
    first = only_conference(bench)
    bench.conferencing.forget(first)
    bench.calendar.edit(calendar_id, event_id, {**timed("18:00", "19:00")})
    bench.look_twice(calendar_id)
    second = only_conference(bench)
    event = bench.calendar.get(calendar_id, event_id)
    assert event is not None
    assert second in event["location"]
    assert event["description"].count(BLOCK_BEGIN) == 1
    assert first not in event["description"]
    other, other_id = bench.conference()
    bench.calendar.edit(calendar_id, event_id, {"conferenceData": other})
    bench.sync(calendar_id)
    event = bench.calendar.get(calendar_id, event_id)
    assert event is not None
    assert event["description"] == "Agenda"
    assert not event.get("location")
    assert PROVIDER_PROPERTY not in event.get("extendedProperties", {}).get("private", {})
    assert bench.conferencing.conferences[other_id]["title"] == "Edited"
    bench.pass_grace()
    assert second not in bench.conferencing.conferences


def test_w1_a_users_concurrent_edit_survives(bench: Bench) -> None:
    """412: the event is read again and decided again; both changes are in it."""
    calendar_id = bench.watch()
    event_id = lose(bench, calendar_id, description="Agenda")
    real = bench.services.calendars
    edits = iter(["Agenda, by a quick user", "Agenda, by a quicker user"])

    class Quick:
        """The same Calendar, while somebody edits the event between our read and our write."""

        def __init__(self, bound: Any) -> None:
            self._bound = bound

        def __getattr__(self, name: str) -> Any:
            return getattr(self._bound, name)

        def bind(self, *arguments: Any) -> Any:
            return Quick(real.bind(*arguments))

        def patch_event(self, *arguments: Any, **more: Any) -> Any:
            text = next(edits, None)
            if text is not None:
                bench.calendar.edit(calendar_id, event_id, {"description": text})
            return self._bound.patch_event(*arguments, **more)

    bench.services = bench.with_services(calendars=Quick(real))
    report = bench.look(calendar_id, event_id)
    assert (report.counts.created, report.counts.failed) == (1, 0)
    event = bench.calendar.get(calendar_id, event_id)
    assert event is not None
    assert event["description"].startswith("Agenda, by a quicker user")
    assert only_conference(bench) in event["location"]
    bench.services = bench.with_services(calendars=real)


@pytest.mark.slow
def test_w2_writes_to_one_event_are_capped(bench: Bench) -> None:
    """Somebody who answers each of our writes does not keep us busy: after some an hour passes."""
    calendar_id = bench.watch()
    event_id = lose(bench, calendar_id)
    for _ in range(WRITES_PER_HOUR + 3):
        bench.sync(calendar_id)
        bench.run_tasks()
        for conference_id in list(bench.conferencing.conferences):
            bench.conferencing.forget(conference_id)
        bench.calendar.edit(
            calendar_id, event_id, {"colorId": "1", "summary": f"Edited {bench.clock()}"}
        )
        bench.look_twice(calendar_id)
        bench.clock.advance(60)
    writes = [
        call
        for call in bench.calendar.requests
        if call.method == "PATCH" and call.status == 200 and event_id in call.path
    ]
    assert len(writes) <= WRITES_PER_HOUR
    failures = bench.failures(calendar_id, FailureState.RETRYING)
    assert any("too often" in failure.reason for failure in failures)


def test_c4_an_answer_lost_after_the_creation_makes_no_second_one(bench: Bench) -> None:
    """The outcome is unknown: the same key brings the same conference back."""
    calendar_id = bench.watch()
    event_id = lose(bench, calendar_id)
    bench.conferencing.faults.add(method="POST", after=True, truncate=True)
    assert bench.look(calendar_id, event_id).counts.failed == 1
    bench.clock.advance(31)
    bench.run_tasks()
    assert bench.conferencing.created == 1
    keys = {call.idempotency_key for call in bench.conferencing.requests if call.method == "POST"}
    assert len(keys) == 1
    event = bench.calendar.get(calendar_id, event_id)
    assert event is not None
    assert only_conference(bench) in event["location"]


def test_c4_what_was_created_before_the_event_changed_is_told_of_the_change(
    any_bench: Bench,
) -> None:
    """The first try made it with the old title and was cut off; the repetition finds it and
    sends the new one."""
    bench = any_bench
    calendar_id = bench.watch()
    event_id = lose(bench, calendar_id)
    bench.conferencing.faults.add(method="POST", after=True, truncate=True)
    assert bench.look(calendar_id, event_id).counts.failed == 1
    bench.calendar.edit(calendar_id, event_id, {"summary": "Another title by now"})
    bench.sync(calendar_id)
    assert bench.conferencing.created == 1
    created = next(reversed(bench.conferencing.conferences.values()))
    assert created["title"] == "Another title by now"
    shown = bench.calendar.get(calendar_id, event_id)
    assert shown is not None
    assert created["id"] in shown["location"]
    bench.forget_calls()
    bench.clock.advance(60)
    bench.run_tasks()
    bench.sync(calendar_id)
    assert bench.calls() == []
