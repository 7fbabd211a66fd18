"""Stories of one calendar, through the real engine and clients, on both stores; each is named
after its rule."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

import grpc
import pytest

from sync.errors import LeaseHeld, LeaseLost, NotFound
from sync.model.calendar import CalendarStatus, SyncKind
from sync.model.conference import FailureState
from sync.model.event import CalendarId, EventId
from sync.run import engine
from sync.run.lease import LEASE, Held, unheld
from tests.support.bench import Bench, BenchMaker, at, shown, timed


def test_e4_a_moved_and_renamed_event_takes_its_conference_along(any_bench: Bench) -> None:
    """The first sight sends the present state once, each change that matters sends the new one."""
    bench = any_bench
    calendar_id = bench.watch()
    conference, conference_id = bench.conference()
    event_id = bench.event(calendar_id, conference)
    assert bench.sync(calendar_id).counts.updated == 1
    bench.calendar.edit(
        calendar_id, event_id, {"summary": "Retrospective", **timed("15:00", "16:30")}
    )
    assert bench.sync(calendar_id).counts.updated == 1
    stored = bench.conferencing.conferences[conference_id]
    assert stored["title"] == "Retrospective"
    assert "T15:00:00" in stored["start"]
    assert "T16:30:00" in stored["end"]
    assert stored["time_zone"] == "Europe/Berlin"
    assert stored["event"]["event_id"] == event_id


def test_e4_what_does_not_matter_makes_no_call(any_bench: Bench) -> None:
    """A colour, a reminder or a guest's answer is nothing to the provider."""
    bench = any_bench
    calendar_id = bench.watch()
    conference, _ = bench.conference()
    event_id = bench.event(calendar_id, conference, attendees=[{"email": "bob@elsewhere.example"}])
    bench.sync(calendar_id)
    bench.forget_calls()
    bench.calendar.edit(calendar_id, event_id, {"colorId": "5", "reminders": {"useDefault": False}})
    answer = {"attendees": [{"email": "bob@elsewhere.example", "responseStatus": "accepted"}]}
    bench.calendar.edit(calendar_id, event_id, answer)
    report = bench.sync(calendar_id)
    assert report.counts.changes == 1
    assert bench.calls() == []


def test_e2_a_deleted_event_deletes_its_conference_after_the_grace(any_bench: Bench) -> None:
    """From an id-only tombstone: the link is what remembers which conference that was."""
    bench = any_bench
    calendar_id = bench.watch()
    event_id, conference_id = bench.followed(calendar_id)
    bench.calendar.cancel(calendar_id, event_id)
    bench.sync(calendar_id)
    bench.run_tasks()
    assert conference_id in bench.conferencing.conferences
    bench.pass_grace()
    assert conference_id not in bench.conferencing.conferences
    assert bench.link(calendar_id, event_id) is None


def test_e2_an_event_restored_within_the_grace_keeps_its_conference(any_bench: Bench) -> None:
    """Restored in time, nothing happens at the provider."""
    bench = any_bench
    calendar_id = bench.watch()
    event_id, conference_id = bench.followed(calendar_id)
    bench.forget_calls()
    bench.calendar.cancel(calendar_id, event_id)
    bench.sync(calendar_id)
    bench.calendar.restore(calendar_id, event_id)
    bench.sync(calendar_id)
    bench.pass_grace()
    assert bench.calls() == []
    assert conference_id in bench.conferencing.conferences


def test_e2_deleted_restored_and_deleted_again_is_right_at_each_moment(bench: Bench) -> None:
    """The grace of the second deletion counts, not that of the first."""
    calendar_id = bench.watch()
    event_id, conference_id = bench.followed(calendar_id)
    bench.calendar.cancel(calendar_id, event_id)
    bench.sync(calendar_id)
    bench.clock.advance(30)
    bench.calendar.restore(calendar_id, event_id)
    bench.sync(calendar_id)
    bench.calendar.cancel(calendar_id, event_id)
    bench.sync(calendar_id)
    bench.clock.advance(31)
    bench.run_tasks()
    assert conference_id in bench.conferencing.conferences
    bench.clock.advance(30)
    bench.run_tasks()
    assert conference_id not in bench.conferencing.conferences


def test_e2_without_a_grace_the_conference_goes_at_once(make_bench: BenchMaker) -> None:
    """SYNC_DELETE_GRACE_SECONDS=0."""
    bench = make_bench(SYNC_DELETE_GRACE_SECONDS="0")
    calendar_id = bench.watch()
    event_id, conference_id = bench.followed(calendar_id)
    bench.calendar.cancel(calendar_id, event_id)
    assert bench.sync(calendar_id).counts.deleted == 1
    assert conference_id not in bench.conferencing.conferences


def test_e2_an_event_made_and_deleted_unseen_leaves_no_conference(bench: Bench) -> None:
    """Both happened before we looked: the tombstone, where it still has its details, tells."""
    calendar_id = bench.watch()
    conference, conference_id = bench.conference()
    event_id = bench.event(calendar_id, conference)
    bench.calendar.cancel(calendar_id, event_id)
    bench.calendar.settings.tombstones = "full"
    try:
        bench.sync(calendar_id)
    finally:
        bench.calendar.settings.tombstones = "id_only"
    bench.pass_grace()
    assert conference_id not in bench.conferencing.conferences


def test_e3_a_conference_taken_off_its_event_is_deleted(any_bench: Bench) -> None:
    """The event lives on without it."""
    bench = any_bench
    calendar_id = bench.watch()
    event_id, conference_id = bench.followed(calendar_id)
    bench.calendar.edit(calendar_id, event_id, {"conferenceData": None})
    bench.sync(calendar_id)
    bench.pass_grace()
    assert conference_id not in bench.conferencing.conferences


def test_e3_a_replaced_conference_is_deleted_and_the_new_one_followed(any_bench: Bench) -> None:
    """The old one goes after the grace, the new one is sent at once."""
    bench = any_bench
    calendar_id = bench.watch()
    old, old_id = bench.conference()
    new, new_id = bench.conference()
    event_id = bench.event(calendar_id, old)
    bench.sync(calendar_id)
    bench.calendar.edit(calendar_id, event_id, {"conferenceData": new})
    bench.sync(calendar_id)
    assert bench.conferencing.conferences[new_id]["title"] == "Planning"
    bench.pass_grace()
    assert old_id not in bench.conferencing.conferences
    assert new_id in bench.conferencing.conferences


def test_e6_an_attendees_copy_changes_nothing(bench: Bench) -> None:
    """Both calendars are watched; only the organiser's copy decides."""
    anna, bob = bench.watch("anna"), bench.watch("bob")
    conference, conference_id = bench.conference()
    event_id = bench.event(anna, conference, attendees=[{"email": bob}])
    bench.sync(anna)
    bench.forget_calls()
    bench.sync(bob)
    bench.calendar.edit(bob, event_id, {"summary": "Bob's own words"})
    bench.sync(bob)
    bench.calendar.cancel(bob, event_id)
    bench.sync(bob)
    bench.pass_grace()
    assert bench.calls() == []
    assert conference_id in bench.conferencing.conferences


def test_e6_an_attendees_copy_is_not_followed_though_nobody_else_is_watched(bench: Bench) -> None:
    """The organiser's calendar is not ours: the copy's words, and its removal, are nothing to
    the conference."""
    stranger = CalendarId(f"stranger{id(bench)}@example.com")
    bench.calendar.add_calendar(stranger)
    bob = bench.watch("bob")
    conference, conference_id = bench.conference()
    event_id = bench.event(stranger, conference, attendees=[{"email": bob}])
    bench.sync(bob)
    assert bench.link(bob, event_id) is None
    bench.calendar.cancel(bob, event_id)
    bench.sync(bob)
    bench.pass_grace()
    assert bench.calls() == []
    assert conference_id in bench.conferencing.conferences


def test_e8_one_malformed_event_is_parked_and_the_page_goes_on(any_bench: Bench) -> None:
    """Its neighbours are applied, it is listed with its reason."""
    bench = any_bench
    calendar_id = bench.watch()
    conference, conference_id = bench.conference()
    raw = {
        "id": "broken",
        "status": "confirmed",
        "start": {"dateTime": "yesterday-ish"},
        "organizer": {"email": calendar_id, "self": True},
        "conferenceData": bench.conference()[0],
    }
    bench.calendar.seed_event(calendar_id, raw, raw=True)
    bench.event(calendar_id, conference)
    report = bench.sync(calendar_id)
    assert (report.counts.updated, report.counts.failed) == (1, 1)
    assert bench.conferencing.conferences[conference_id]["title"] == "Planning"
    [failure] = bench.failures(calendar_id, FailureState.PARKED)
    assert failure.event == at(calendar_id, EventId("broken"))
    assert "cannot be read" in failure.reason
    bench.calendar.edit(calendar_id, "broken", {**timed("09:00", "10:00")}, raw=True)
    bench.sync(calendar_id)
    assert bench.failures(calendar_id) == []


def hold(bench: Bench, calendar_id: CalendarId) -> Held:
    """Take the lease as a worker does that then dies or stalls."""
    document = unheld(bench.store, calendar_id, bench.clock())
    return Held(bench.store, document, bench.clock)


def test_s1_a_second_run_of_a_calendar_is_sent_back(any_bench: Bench) -> None:
    """The lease is held: the queue brings the task again, and gets through when it has lapsed."""
    bench = any_bench
    calendar_id = bench.watch()
    hold(bench, calendar_id)  # by a worker that then dies
    with pytest.raises(LeaseHeld):
        bench.sync(calendar_id)
    bench.clock.advance(LEASE.total_seconds() + 1)
    assert bench.sync(calendar_id).finished


def test_s1_a_run_that_outlived_its_lease_writes_no_token(any_bench: Bench) -> None:
    """Another run took the calendar over meanwhile: the older one's write is refused."""
    bench = any_bench
    calendar_id = bench.watch()
    stalled = hold(bench, calendar_id)
    bench.clock.advance(LEASE.total_seconds() + 1)
    bench.sync(calendar_id)
    before = bench.store.get_calendar(calendar_id)
    with pytest.raises(LeaseLost):
        stalled.still_ours()
    with pytest.raises(LeaseLost):
        stalled.write(lambda state: replace(state, sync_token=None))
    after = bench.store.get_calendar(calendar_id)
    assert before is not None
    assert after is not None
    assert after.value == before.value


def test_s1_a_run_that_outlived_its_lease_does_not_take_it_back(bench: Bench) -> None:
    """The other run is still at work: the older one's writes are refused, its release among
    them."""
    calendar_id = bench.watch()
    stalled = hold(bench, calendar_id)
    bench.clock.advance(LEASE.total_seconds() + 1)
    hold(bench, calendar_id)
    before = bench.store.get_calendar(calendar_id)
    with pytest.raises(LeaseLost):
        stalled.write(lambda state: replace(state, sync_token=None, lease=None))
    stalled.release()
    assert bench.store.get_calendar(calendar_id) == before


def test_s2_the_token_is_kept_until_the_provider_answers(bench: Bench) -> None:
    """A store or queue that fails leaves the old token: the next run lists the same changes."""
    calendar_id = bench.watch()
    conference, conference_id = bench.conference()
    bench.event(calendar_id, conference)
    bench.conferencing.faults.add(method="PUT", status=503, times=1)
    bench.tasks.fail_next(grpc.StatusCode.UNAVAILABLE)
    assert bench.sync(calendar_id).reason is not None
    bench.sync(calendar_id)
    assert bench.conferencing.conferences[conference_id]["title"] == "Planning"


def test_s2_another_version_of_the_listing_means_a_full_sync(bench: Bench) -> None:
    """A token made with other parameters is not used."""
    calendar_id = bench.watch()
    document = bench.store.get_calendar(calendar_id)
    assert document is not None
    bench.store.update_calendar(replace(document.value, token_version="older"), document.version)
    bench.calendar.requests.clear()
    assert bench.sync(calendar_id).kind is SyncKind.FULL
    assert bench.sync(calendar_id).kind is SyncKind.INCREMENTAL


def test_s3_an_expired_token_leads_to_a_full_sync_that_sweeps(any_bench: Bench) -> None:
    """What was deleted while the token was dead is found by its link."""
    bench = any_bench
    calendar_id = bench.watch()
    gone, gone_id = bench.conference()
    kept, kept_id = bench.conference()
    deleted = bench.event(calendar_id, gone)
    moved = bench.event(calendar_id, kept)
    bench.sync(calendar_id)
    bench.calendar.cancel(calendar_id, deleted)
    bench.calendar.edit(calendar_id, moved, {"summary": "Moved on"})
    bench.calendar.expire_sync_tokens(calendar_id)
    report = bench.sync(calendar_id)
    assert report.kind is SyncKind.FULL
    assert bench.conferencing.conferences[kept_id]["title"] == "Moved on"
    bench.pass_grace()
    assert gone_id not in bench.conferencing.conferences
    assert bench.sync(calendar_id).kind is SyncKind.INCREMENTAL


def test_s3_a_token_that_dies_between_pages_leads_to_a_full_sync(bench: Bench) -> None:
    """410 on the second page of an incremental sync."""
    calendar_id = bench.watch()
    ids = [bench.conference() for _ in range(4)]
    for conference, _ in ids:
        bench.event(calendar_id, conference)
    bench.calendar.settings.page_sizes = [2]
    bench.calendar.fail_next(
        reason="fullSyncRequired",
        times=1,
        path=r"/events$",
        method="GET",
        query="syncToken=.*pageToken=|pageToken=.*syncToken=",
    )
    try:
        assert bench.sync(calendar_id).kind is SyncKind.FULL
    finally:
        bench.calendar.settings.page_sizes = None
        bench.calendar.faults.clear()
    assert {bench.conferencing.conferences[one]["title"] for _, one in ids} == {"Planning"}


def test_s2_short_and_empty_pages_are_followed_to_the_end(any_bench: Bench) -> None:
    """Only a page without a next page token ends the listing."""
    bench = any_bench
    calendar_id = bench.watch()
    ids = [bench.conference() for _ in range(5)]
    for conference, _ in ids:
        bench.event(calendar_id, conference)
    bench.calendar.settings.page_sizes = [2, 0, 1, 0]
    try:
        assert bench.sync(calendar_id).counts.updated == 5
    finally:
        bench.calendar.settings.page_sizes = None


def test_s5_the_same_task_twice_changes_nothing_twice(any_bench: Bench) -> None:
    """A second delivery finds the work done."""
    bench = any_bench
    calendar_id = bench.watch()
    event_id, _ = bench.followed(calendar_id)
    bench.forget_calls()
    bench.sync(calendar_id)
    bench.look(calendar_id, event_id)
    bench.look(calendar_id, event_id)
    assert bench.calls() == []


def test_s5_a_deletion_delivered_twice_deletes_once(bench: Bench) -> None:
    """The conference's record remembers that it is gone."""
    calendar_id = bench.watch()
    event_id, conference_id = bench.followed(calendar_id)
    bench.calendar.cancel(calendar_id, event_id)
    bench.sync(calendar_id)
    bench.pass_grace()
    bench.look(calendar_id, event_id)
    bench.calendar.expire_sync_tokens(calendar_id)
    bench.sync(calendar_id)
    assert bench.calls("DELETE") == [f"DELETE /conferences/{conference_id}"]


def test_c5_a_failing_event_gets_a_task_of_its_own_and_is_parked_at_last(
    make_bench: BenchMaker,
) -> None:
    """With growing delay, while the others go on; then it is listed, and retried when it
    changes."""
    bench = make_bench(SYNC_MAX_ATTEMPTS="3", SYNC_RETRY_SECONDS="10")
    calendar_id = bench.watch()
    bad, bad_id = bench.conference()
    good, good_id = bench.conference()
    event_id = bench.event(calendar_id, bad)
    bench.event(calendar_id, good)
    bench.conferencing.faults.add(method="PUT", path=bad_id, status=503, times=None)
    report = bench.sync(calendar_id)
    assert (report.counts.updated, report.counts.failed) == (1, 1)
    assert bench.conferencing.conferences[good_id]["title"] == "Planning"
    delays = []
    for _ in range(2):
        [task] = bench.waiting()
        delays.append(round((task.schedule_time - bench.clock()).total_seconds()))
        bench.clock.advance(delays[-1])
        bench.run_tasks()
    assert delays == [10, 20]
    [failure] = bench.failures(calendar_id, FailureState.PARKED)
    assert (failure.attempts, failure.action, failure.conference_id) == (3, "update", bad_id)
    assert "503" in failure.reason
    bench.conferencing.faults.clear()
    bench.calendar.edit(calendar_id, event_id, {"summary": "Changed"})
    bench.sync(calendar_id)
    assert bench.conferencing.conferences[bad_id]["title"] == "Changed"
    assert bench.failures(calendar_id) == []


def test_c5_what_trying_again_cannot_help_is_parked_at_once(bench: Bench) -> None:
    """422: the provider will never take it as it is."""
    calendar_id = bench.watch()
    conference, conference_id = bench.conference()
    bench.event(calendar_id, conference)
    bench.conferencing.faults.add(
        method="PUT", path=conference_id, status=422, body={"error": {"message": "no such thing"}}
    )
    bench.sync(calendar_id)
    [failure] = bench.failures(calendar_id, FailureState.PARKED)
    assert failure.attempts == 1
    assert "no such thing" in failure.reason
    # Seen again as it was, it is left alone.
    bench.forget_calls()
    bench.calendar.expire_sync_tokens(calendar_id)
    bench.sync(calendar_id)
    assert bench.calls("PUT") == []


def test_c5_bad_credentials_are_one_failure_of_the_provider(any_bench: Bench) -> None:
    """No event is parked for it: the calendar's task fails, its status says why, and a new token
    heals it."""
    bench = any_bench
    calendar_id = bench.watch()
    made = [bench.conference() for _ in range(5)]
    for conference, _ in made:
        bench.event(calendar_id, conference)
    bench.conferencing.tokens = {"another"}
    assert "refuses our token" in str(bench.sync(calendar_id).reason)
    assert bench.failures(calendar_id) == []
    document = bench.store.get_calendar(calendar_id)
    assert document is not None
    assert "refuses our token" in str(document.value.reason)
    bench.secrets.put("projects/sandbox/secrets/my-web", {"token": "another"})
    bench.clock.advance(10)
    time.sleep(1.1)  # a secret read a moment ago is not read again at once
    assert bench.sync(calendar_id).counts.updated == 5


def test_c3_retry_after_is_obeyed(bench: Bench) -> None:
    """The retry task waits as long as the provider asks."""
    calendar_id = bench.watch()
    conference, conference_id = bench.conference()
    bench.event(calendar_id, conference)
    bench.conferencing.faults.add(path=conference_id, status=429, headers={"Retry-After": "7200"})
    bench.sync(calendar_id)
    [failure] = bench.failures(calendar_id, FailureState.RETRYING)
    assert failure.next_try == bench.clock() + timedelta(hours=2)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"status": 200, "body": "<html>Welcome</html>"}, id="html"),
        pytest.param({"status": 200, "body": ""}, id="nothing"),
        pytest.param({"truncate": True}, id="half an answer"),
        pytest.param({"status": 502, "body": "<html>Bad gateway</html>"}, id="a gateway's page"),
    ],
)
def test_c3_an_answer_that_says_nothing_is_tried_again(
    bench: Bench, fault: dict[str, object]
) -> None:
    """Nothing is parked, nothing lost: the next try sends the same."""
    calendar_id = bench.watch()
    conference, conference_id = bench.conference()
    bench.event(calendar_id, conference)
    bench.conferencing.faults.add(path=conference_id, **fault)
    assert bench.sync(calendar_id).counts.failed == 1
    bench.clock.advance(31)
    bench.run_tasks()
    assert bench.conferencing.conferences[conference_id]["title"] == "Planning"
    assert bench.failures(calendar_id) == []


def test_a_calendar_that_is_not_started_is_unknown(bench: Bench) -> None:
    """So is one that was stopped."""
    with pytest.raises(NotFound):
        engine.sync_calendar(bench.services, CalendarId("nobody@example.com"))


def test_w3_a_calendar_without_access_is_broken_and_heals(any_bench: Bench) -> None:
    """Its status says what to do; once access is back, a sync puts it right."""
    bench = any_bench
    calendar_id = bench.watch()
    bench.calendar.withdraw_access(calendar_id)
    assert bench.sync(calendar_id).reason is not None
    bench.clock.advance(31)
    bench.run_tasks()
    document = bench.store.get_calendar(calendar_id)
    assert document is not None
    assert document.value.status is CalendarStatus.BROKEN
    bench.calendar.grant_access(calendar_id)
    conference, conference_id = bench.conference()
    bench.event(calendar_id, conference)
    assert bench.sync(calendar_id).kind is SyncKind.FULL
    document = bench.store.get_calendar(calendar_id)
    assert document is not None
    assert (document.value.status, document.value.reason) == (CalendarStatus.OK, None)
    assert bench.conferencing.conferences[conference_id]["title"] == "Planning"


def test_e1_a_join_link_in_the_location_is_followed(bench: Bench) -> None:
    """Pasted by a person, without any conference data."""
    calendar_id = bench.watch()
    _, conference_id = bench.hosted(calendar_id)
    link = shown(conference_id)["entryPoints"][0]["uri"]
    bench.event(calendar_id, location=link, summary="Pasted")
    bench.sync(calendar_id)
    assert bench.conferencing.conferences[conference_id]["title"] == "Pasted"
