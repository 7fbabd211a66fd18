"""E5, E7, C4, W1-W4: series, shared conferences, and conferences created anew, through the real
engine and clients."""

from __future__ import annotations

import time
from typing import Any

import pytest

from sync.event.content import BLOCK_BEGIN
from sync.event.recognise import ID_PROPERTY, PROVIDER_PROPERTY
from sync.event.write_back import WRITES_PER_HOUR
from sync.model.conference import FailureState
from sync.model.event import EventId
from sync.operate import stopping
from tests.support.bench import Bench, BenchMaker, shown, timed
from tests.support.series import WEEKLY, lose, occurrence, only_conference, weekly


def test_e5_an_occurrence_moved_renamed_or_cancelled_never_moves_the_series(
    any_bench: Bench,
) -> None:
    """The provider gets that occurrence, named by its original start; the conference itself
    stays as it was."""
    bench = any_bench
    calendar_id = bench.watch()
    series, conference_id = weekly(bench, calendar_id)
    before = dict(bench.conferencing.conferences[conference_id], occurrences=None)
    bench.forget_calls()
    (moved, moved_start), (renamed, renamed_start), (cancelled, cancelled_start) = (
        occurrence(bench, calendar_id, series, weeks) for weeks in (1, 2, 3)
    )
    bench.calendar.edit(calendar_id, moved, timed("12:00", "13:00", days=9))
    bench.calendar.edit(calendar_id, renamed, {"summary": "Renamed"})
    bench.calendar.cancel(calendar_id, cancelled)
    bench.sync(calendar_id)
    path = f"/conferences/{conference_id}/occurrences/"
    assert sorted(bench.calls()) == sorted(
        [
            f"PUT {path}{moved_start}",
            f"PUT {path}{renamed_start}",
            f"DELETE {path}{cancelled_start}",
        ]
    )
    stored = bench.conferencing.conferences[conference_id]
    assert dict(stored, occurrences=None) == before
    assert stored["occurrences"][renamed_start]["title"] == "Renamed"
    bench.pass_grace()
    bench.forget_calls()
    bench.calendar.expire_sync_tokens(calendar_id)
    bench.sync(calendar_id)
    assert bench.calls() == []


def test_e5_a_guests_answer_to_one_occurrence_makes_no_call(bench: Bench) -> None:
    """It makes an exception in Calendar, but tells the provider nothing new."""
    calendar_id = bench.watch()
    guests = [{"email": "bob@elsewhere.example"}]
    series, _ = weekly(bench, calendar_id, attendees=guests)
    bench.forget_calls()
    one, _ = occurrence(bench, calendar_id, series, 1)
    answer = [{"email": "bob@elsewhere.example", "responseStatus": "declined"}]
    bench.calendar.edit(calendar_id, one, {"attendees": answer})
    report = bench.sync(calendar_id)
    assert report.counts.changes >= 1
    assert bench.calls() == []


def test_e5_a_conference_added_to_a_series_with_exceptions_learns_of_them(any_bench: Bench) -> None:
    """The exceptions did not change, so no listing brings them: they are looked up once."""
    bench = any_bench
    calendar_id = bench.watch()
    series = bench.event(calendar_id, summary="Weekly", recurrence=WEEKLY)
    cancelled, start = occurrence(bench, calendar_id, series, 2)
    bench.calendar.cancel(calendar_id, cancelled)
    bench.sync(calendar_id)
    conference, conference_id = bench.conference()
    bench.calendar.edit(calendar_id, series, {"conferenceData": conference})
    bench.sync(calendar_id)
    assert list(bench.conferencing.conferences[conference_id]["occurrences"]) == [start]


def test_e5_deleting_the_series_deletes_its_conference_once(any_bench: Bench) -> None:
    """Cancelled children that come with it make no calls of their own."""
    bench = any_bench
    calendar_id = bench.watch()
    series, conference_id = weekly(bench, calendar_id)
    cancelled, _ = occurrence(bench, calendar_id, series, 2)
    bench.calendar.cancel(calendar_id, cancelled)
    bench.sync(calendar_id)
    bench.forget_calls()
    bench.calendar.cancel(calendar_id, series)
    bench.sync(calendar_id)
    bench.pass_grace()
    assert bench.calls() == [f"DELETE /conferences/{conference_id}"]


@pytest.mark.parametrize("status", [404, 405, 501])
def test_e5_a_system_without_occurrences_is_left_alone_from_then_on(
    bench: Bench, status: int
) -> None:
    """One call finds out, or two: a single not-found is no evidence (C4). Nothing fails."""
    bench.conferencing.reset("bench-token", occurrences=False, occurrence_refusal=status)
    calendar_id = bench.watch()
    series, _ = weekly(bench, calendar_id)
    bench.forget_calls()
    for weeks in (1, 2, 3):
        one, _ = occurrence(bench, calendar_id, series, weeks)
        bench.calendar.cancel(calendar_id, one)
        bench.sync(calendar_id)
    asked = [call for call in bench.calls() if "/occurrences/" in call]
    assert len(asked) == (2 if status == 404 else 1)
    assert bench.failures(calendar_id) == []


def test_e5_c4_a_single_not_found_does_not_end_the_occurrences_of_a_series(bench: Bench) -> None:
    """The system says once that an occurrence is not there: this one is told, and later ones."""
    calendar_id = bench.watch()
    series, conference_id = weekly(bench, calendar_id)
    bench.conferencing.trouble("false-not-found", times=1, method="DELETE")
    for weeks in (1, 2):
        one, _ = occurrence(bench, calendar_id, series, weeks)
        bench.calendar.cancel(calendar_id, one)
        bench.sync(calendar_id)
    told = bench.conferencing.conferences[conference_id]["occurrences"]
    assert list(told.values()) == [None, None]
    assert bench.failures(calendar_id) == []


def test_e5_c3_what_a_proxy_refused_of_an_occurrence_is_told_when_its_series_changes(
    bench: Bench,
) -> None:
    """A plain 404, met twice, may be the system's own: then the occurrence is left alone, until the
    series gets another title."""
    calendar_id = bench.watch()
    series, conference_id = weekly(bench, calendar_id)
    bench.conferencing.trouble("proxy", times=2, method="DELETE")
    one, _ = occurrence(bench, calendar_id, series, 1)
    bench.calendar.cancel(calendar_id, one)
    bench.sync(calendar_id)
    told = bench.conferencing.conferences[conference_id]["occurrences"]
    assert (told, bench.failures(calendar_id)) == ({}, [])
    bench.calendar.edit(calendar_id, series, {"summary": "Renamed"})
    bench.sync(calendar_id)
    assert list(bench.conferencing.conferences[conference_id]["occurrences"].values()) == [None]


def test_e5_c4_an_occurrence_of_a_lost_conference_brings_it_back_with_all_of_them(
    bench: Bench,
) -> None:
    """404 for the occurrence means 404 for the conference: it is created anew, and told of every
    occurrence."""
    calendar_id = bench.watch()
    series, conference_id = weekly(bench, calendar_id)
    (first, first_start), (second, second_start) = (
        occurrence(bench, calendar_id, series, weeks) for weeks in (1, 2)
    )
    bench.calendar.edit(calendar_id, first, {"summary": "First"})
    bench.sync(calendar_id)
    bench.conferencing.forget(conference_id)
    bench.calendar.edit(calendar_id, second, {"summary": "Second"})
    bench.sync(calendar_id)
    bench.run_tasks()
    bench.clock.advance(31)
    bench.run_tasks()
    [anew] = bench.conferencing.conferences.values()
    assert {start: one["title"] for start, one in anew["occurrences"].items()} == {
        first_start: "First",
        second_start: "Second",
    }


def test_e4_what_is_changed_back_after_a_lost_answer_is_sent(any_bench: Bench) -> None:
    """The provider took the change, and we never heard: what it was told before counts no more."""
    bench = any_bench
    calendar_id = bench.watch()
    conference, conference_id = bench.conference()
    event_id = bench.event(calendar_id, conference, summary="Planning")
    bench.sync(calendar_id)
    bench.conferencing.faults.add(method="PUT", path=conference_id, after=True, truncate=True)
    bench.calendar.edit(calendar_id, event_id, {"summary": "Retrospective"})
    assert bench.sync(calendar_id).counts.failed == 1
    assert bench.conferencing.conferences[conference_id]["title"] == "Retrospective"
    bench.calendar.edit(calendar_id, event_id, {"summary": "Planning"})
    bench.sync(calendar_id)
    assert bench.conferencing.conferences[conference_id]["title"] == "Planning"


def test_e5_an_occurrence_changed_back_after_a_lost_answer_is_sent(any_bench: Bench) -> None:
    """The same for one occurrence that nothing was known of."""
    bench = any_bench
    calendar_id = bench.watch()
    series, conference_id = weekly(bench, calendar_id)
    event_id, start = occurrence(bench, calendar_id, series, 1)
    bench.conferencing.faults.add(method="PUT", path="/occurrences/", after=True, truncate=True)
    bench.calendar.edit(calendar_id, event_id, {"summary": "Another"})
    assert bench.sync(calendar_id).counts.failed == 1
    bench.calendar.edit(calendar_id, event_id, {"summary": "Weekly"})
    bench.sync(calendar_id)
    assert bench.conferencing.conferences[conference_id]["occurrences"][start]["title"] == "Weekly"


def test_c4_a_copy_of_an_event_that_shows_the_old_conference_is_given_the_new_one(
    any_bench: Bench,
) -> None:
    """Somebody copies an event, or pastes an old link, after its conference was created anew."""
    bench = any_bench
    calendar_id = bench.watch()
    conference, conference_id = bench.conference()
    event_id = bench.event(calendar_id, conference)
    bench.sync(calendar_id)
    bench.conferencing.forget(conference_id)
    bench.calendar.edit(calendar_id, event_id, {"summary": "Edited"})
    bench.look_twice(calendar_id)
    copy = bench.event(calendar_id, conference, summary="Copy")
    bench.sync(calendar_id)
    shown = bench.calendar.get(calendar_id, copy)
    assert shown is not None
    assert only_conference(bench) in shown["location"]


@pytest.mark.parametrize("pages", [None, [1]], ids=["one page", "a page each"])
def test_e7_this_and_following_keeps_the_conference_for_both_halves(
    bench: Bench, pages: list[int] | None
) -> None:
    """It follows the first half; when that is deleted the second takes over, and only then it
    may go."""
    calendar_id = bench.watch()
    series, conference_id = weekly(bench, calendar_id)
    _, start = occurrence(bench, calendar_id, series, 3)
    bench.calendar.settings.page_sizes = pages
    try:
        second = EventId(
            bench.calendar.split(calendar_id, series, start, {"summary": "Second half"})["id"]
        )
        bench.sync(calendar_id)
    finally:
        bench.calendar.settings.page_sizes = None
    assert "UNTIL" in bench.conferencing.conferences[conference_id]["recurrence"][0]
    assert bench.conferencing.conferences[conference_id]["title"] == "Weekly"
    bench.calendar.cancel(calendar_id, series)
    bench.sync(calendar_id)
    bench.run_tasks()
    assert bench.conferencing.conferences[conference_id]["title"] == "Second half"
    bench.pass_grace()
    assert conference_id in bench.conferencing.conferences
    bench.calendar.cancel(calendar_id, second)
    bench.sync(calendar_id)
    bench.pass_grace()
    assert conference_id not in bench.conferencing.conferences


def test_e5_all_day_series_and_a_change_of_offset(bench: Bench) -> None:
    """Original starts are dates for all-day series, and moments of the right offset on both
    sides of the change."""
    calendar_id = bench.watch()
    conference, conference_id = bench.conference()
    days = {"start": {"date": "2027-03-20"}, "end": {"date": "2027-03-21"}}
    series = bench.event(calendar_id, conference, recurrence=["RRULE:FREQ=DAILY;COUNT=5"], **days)
    other, other_id = bench.conference()
    over = {
        "start": {"dateTime": "2027-03-22T09:00:00+01:00", "timeZone": "Europe/Berlin"},
        "end": {"dateTime": "2027-03-22T10:00:00+01:00", "timeZone": "Europe/Berlin"},
    }
    weekly_ = bench.event(calendar_id, other, recurrence=WEEKLY, **over)
    bench.sync(calendar_id)
    bench.calendar.cancel(calendar_id, f"{series}_20270322")
    # The clocks go forward on 28 March: the same wall time is an hour earlier in UTC.
    bench.calendar.cancel(calendar_id, f"{weekly_}_20270329T070000Z")
    bench.sync(calendar_id)
    stored = bench.conferencing.conferences
    assert stored[conference_id]["all_day"] is True
    assert list(stored[conference_id]["occurrences"]) == ["2027-03-22"]
    assert list(stored[other_id]["occurrences"]) == ["2027-03-29T07:00:00Z"]


def test_e5_an_occurrence_with_a_conference_of_its_own_is_an_event_by_itself(bench: Bench) -> None:
    """The series' conference is not touched by it, its own follows it and goes with it."""
    calendar_id = bench.watch()
    series, series_conference = weekly(bench, calendar_id)
    own, own_id = bench.conference()
    one, _ = occurrence(bench, calendar_id, series, 1)
    bench.calendar.edit(calendar_id, one, {"conferenceData": own, "summary": "Special"})
    bench.sync(calendar_id)
    assert bench.conferencing.conferences[own_id]["title"] == "Special"
    assert bench.conferencing.conferences[series_conference]["title"] == "Weekly"
    bench.calendar.cancel(calendar_id, one)
    bench.sync(calendar_id)
    bench.pass_grace()
    assert own_id not in bench.conferencing.conferences
    assert series_conference in bench.conferencing.conferences


def test_s6_e5_an_occurrence_with_its_own_conference_does_not_fail_with_its_series(
    bench: Bench,
) -> None:
    """The series shows no more than a single meeting's link, so it is left alone (O2). One
    occurrence of it carries another conference, which follows that occurrence."""
    anna = bench.watch()
    series_shown, series_conference = bench.hosted(anna)
    location = series_shown["entryPoints"][0]["uri"]
    series = bench.event(anna, location=location, recurrence=WEEKLY)
    own, own_id = bench.hosted(anna)
    one, _ = occurrence(bench, anna, series, 1)
    bench.calendar.edit(anna, one, {"conferenceData": own, "summary": "Special"})
    bench.sync(anna)
    assert bench.conferencing.conferences[own_id]["title"] == "Special"
    assert [each.event.event_id for each in bench.failures(anna)] == [series]
    assert not any(series_conference in call for call in bench.calls("PUT"))


def test_e5_s8_an_occurrence_told_before_its_series_is_told_again_with_it(
    any_bench: Bench,
) -> None:
    """The answer to the series' first update is lost. So an occurrence that was only coloured is
    told, and then all of the series is renamed. The system keeps what it was told of that one."""
    bench = any_bench
    anna = bench.watch()
    conference, conference_id = bench.conference()
    series = bench.event(anna, conference, summary="Weekly", recurrence=WEEKLY)
    bench.conferencing.trouble("lost-answer", method="PUT", times=1)
    bench.sync(anna)
    one, start = occurrence(bench, anna, series, 1)
    bench.calendar.edit(anna, one, {"colorId": "5"})
    bench.sync(anna)
    stored = bench.conferencing.conferences[conference_id]
    assert stored["occurrences"][start]["title"] == "Weekly"
    bench.calendar.edit(anna, series, {"summary": "All renamed"})
    bench.sync(anna)
    stored = bench.conferencing.conferences[conference_id]
    assert (stored["title"], stored["occurrences"][start]["title"]) == ("All renamed",) * 2


def test_e5_e7_a_series_that_takes_the_lead_tells_even_occurrences_like_itself(
    bench: Bench,
) -> None:
    """What the former leader told of an occurrence is undone: the new one's is only coloured."""
    anna = bench.watch()
    series, conference_id = weekly(bench, anna)
    copy = bench.event(anna, shown(conference_id), summary="Copy", recurrence=WEEKLY)
    one, start = occurrence(bench, anna, series, 1)
    bench.calendar.edit(anna, one, {"summary": "Renamed"})
    bench.calendar.edit(anna, occurrence(bench, anna, copy, 1)[0], {"colorId": "5"})
    bench.sync(anna)
    stored = bench.conferencing.conferences[conference_id]
    assert stored["occurrences"][start]["title"] == "Renamed"
    bench.calendar.cancel(anna, series)
    bench.sync(anna)
    bench.run_tasks()
    stored = bench.conferencing.conferences[conference_id]
    assert (stored["title"], stored["occurrences"][start]["title"]) == ("Copy", "Copy")


def test_e5_an_occurrence_that_keeps_its_title_when_its_series_is_renamed_is_told(
    bench: Bench,
) -> None:
    """Somebody renamed it and took that back, so there was nothing to tell. Calendar does not list
    it again when the series alone is renamed."""
    anna = bench.watch()
    series, conference_id = weekly(bench, anna)
    one, start = occurrence(bench, anna, series, 1)
    for title in ("Special", "Weekly"):
        bench.calendar.edit(anna, one, {"summary": title})
    bench.sync(anna)
    assert bench.conferencing.conferences[conference_id]["occurrences"] == {}
    bench.calendar.edit(anna, series, {"summary": "Renamed"})
    bench.sync(anna)
    stored = bench.conferencing.conferences[conference_id]
    assert (stored["title"], stored["occurrences"][start]["title"]) == ("Renamed", "Weekly")


@pytest.mark.parametrize("how", ["deleted", "stopped", "moved"])
def test_e5_e7_what_a_former_leader_told_of_occurrences_is_undone(
    any_bench: Bench, how: str
) -> None:
    """A copy in another calendar, without exceptions, leads from now on: by succession, because
    the leader's calendar is stopped, or as the same event, linked when the leader had let go."""
    bench = any_bench
    anna, team = bench.watch("anna"), bench.watch("team")
    series, conference_id = weekly(bench, anna)
    copied = {"creator": {"email": anna}, "summary": "Copy", "recurrence": WEEKLY}
    if how != "moved":
        bench.event(team, shown(conference_id), **copied)
        bench.sync(team)
    cancelled, gone = occurrence(bench, anna, series, 1)
    renamed, start = occurrence(bench, anna, series, 2)
    bench.calendar.cancel(anna, cancelled)
    bench.calendar.edit(anna, renamed, {"summary": "Renamed"})
    bench.sync(anna)
    told = bench.conferencing.conferences[conference_id]["occurrences"]
    assert (told[gone], told[start]["title"]) == (None, "Renamed")
    if how == "stopped":
        stopping.stop(bench.services, anna)
    else:
        bench.calendar.cancel(anna, series)
        bench.sync(anna)
    if how == "moved":
        bench.event(team, shown(conference_id), **copied)
        bench.sync(team)
    bench.clock.advance(11)
    bench.run_tasks()
    stored = bench.conferencing.conferences[conference_id]
    told = stored["occurrences"]
    assert (stored["title"], told[gone]["title"], told[start]["title"]) == ("Copy",) * 3


def test_e7_a_copy_does_not_disturb_and_takes_over_at_last(any_bench: Bench) -> None:
    """The conference follows the event that was linked first, then the next."""
    bench = any_bench
    calendar_id = bench.watch()
    conference, conference_id = bench.conference()
    original = bench.event(calendar_id, conference, summary="Original")
    bench.sync(calendar_id)
    copy = bench.event(calendar_id, conference, summary="Copy")
    bench.sync(calendar_id)
    bench.calendar.edit(calendar_id, copy, {"summary": "Copy, edited"})
    bench.sync(calendar_id)
    assert bench.conferencing.conferences[conference_id]["title"] == "Original"
    bench.calendar.cancel(calendar_id, original)
    bench.sync(calendar_id)
    bench.run_tasks()
    assert bench.conferencing.conferences[conference_id]["title"] == "Copy, edited"
    bench.pass_grace()
    assert bench.calls("DELETE") == []
    bench.calendar.cancel(calendar_id, copy)
    bench.sync(calendar_id)
    bench.pass_grace()
    assert bench.calls("DELETE") == [f"DELETE /conferences/{conference_id}"]


@pytest.mark.parametrize("first", ["tombstone", "event"])
def test_e2_a_move_to_another_watched_calendar_keeps_the_join_link(
    any_bench: Bench, first: str
) -> None:
    """Whichever calendar is synced first."""
    bench = any_bench
    anna, team = bench.watch("anna"), bench.watch("team")
    event_id, conference_id = bench.followed(anna)
    bench.calendar.move(anna, event_id, team)
    for calendar_id in (anna, team) if first == "tombstone" else (team, anna):
        bench.sync(calendar_id)
    bench.run_tasks()
    bench.calendar.edit(team, event_id, {"summary": "In the team's hands"})
    bench.sync(team)
    assert bench.conferencing.conferences[conference_id]["title"] == "In the team's hands"
    bench.pass_grace()
    assert bench.calls("DELETE") == []
    link = bench.link(team, event_id)
    assert link is not None
    assert link.leading


def test_h3_stopping_the_leaders_calendar_hands_the_conference_on(any_bench: Bench) -> None:
    """Conferences stay; a copy on another calendar leads from then on."""
    bench = any_bench
    anna, team = bench.watch("anna"), bench.watch("team")
    conference, conference_id = bench.conference()
    bench.event(anna, conference, summary="Anna's")
    copy = bench.event(team, conference, summary="The team's")
    bench.sync(anna)
    bench.sync(team)
    stopping.stop(bench.services, anna)
    bench.clock.advance(11)
    bench.run_tasks()
    assert bench.conferencing.conferences[conference_id]["title"] == "The team's"
    assert list(bench.store.links_of_calendar(anna)) == []
    link = bench.link(team, copy)
    assert link is not None
    assert link.leading
    stopping.stop(bench.services, team)
    assert conference_id in bench.conferencing.conferences


def test_e2_an_event_that_comes_back_after_another_led_is_sent_again(any_bench: Bench) -> None:
    """Moved to another calendar, renamed there, and moved back within the grace: what it last
    said counts no more."""
    bench = any_bench
    anna, team = bench.watch("anna"), bench.watch("team")
    conference, conference_id = bench.conference()
    here = bench.event(anna, conference, summary="Here")
    bench.sync(anna)
    bench.calendar.cancel(anna, here)
    bench.sync(anna)
    there = bench.event(team, conference, summary="There")
    bench.sync(team)
    assert bench.conferencing.conferences[conference_id]["title"] == "There"
    bench.calendar.cancel(team, there)
    bench.sync(team)
    bench.calendar.restore(anna, here)
    bench.sync(anna)
    assert bench.conferencing.conferences[conference_id]["title"] == "Here"
    bench.pass_grace()
    assert conference_id in bench.conferencing.conferences


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


def test_c4_every_event_that_carries_it_gets_the_new_way_in(any_bench: Bench) -> None:
    """The copies too, on other calendars too; created once."""
    bench = any_bench
    anna, team = bench.watch("anna"), bench.watch("team")
    conference, conference_id = bench.conference()
    event_id = bench.event(anna, conference, summary="Lead")
    copies = [(anna, bench.event(anna, conference)), (team, bench.event(team, conference))]
    bench.sync(anna)
    bench.sync(team)
    bench.conferencing.forget(conference_id)
    bench.calendar.edit(anna, event_id, {"summary": "Edited"})
    bench.look_twice(anna)
    created = only_conference(bench)
    assert bench.conferencing.created == 1
    for calendar_id, one in [(anna, event_id), *copies]:
        event = bench.calendar.get(calendar_id, one)
        assert event is not None
        assert created in event["location"]


def test_c6_an_answer_that_asks_everybody_to_wait_is_shared(make_bench: BenchMaker) -> None:
    """429: nothing more is sent until then, and what was held back is no failed try."""
    bench = make_bench(SYNC_CONCURRENCY="1")
    calendar_id = bench.watch()
    made = [bench.conference() for _ in range(5)]
    for conference, _ in made:
        bench.event(calendar_id, conference)
    bench.conferencing.faults.add(status=429, headers={"Retry-After": "2"})
    bench.forget_calls()
    assert bench.sync(calendar_id).counts.failed == 5
    assert len(bench.calls()) == 1
    attempts = sorted(one.attempts for one in bench.failures(calendar_id))
    assert attempts == [0, 0, 0, 0, 1]
    time.sleep(2.1)
    bench.clock.advance(60)
    bench.run_tasks()
    assert {bench.conferencing.conferences[one]["title"] for _, one in made} == {"Planning"}
    assert bench.failures(calendar_id) == []


def test_c6_one_page_runs_side_by_side_and_never_twice_for_one_conference(bench: Bench) -> None:
    """Eight at a time; events that share a conference one after the other."""
    calendar_id = bench.watch()
    shared, shared_id = bench.conference()
    for number in range(6):
        bench.event(calendar_id, shared, summary=f"Shared {number}")
    for _ in range(12):
        conference, _ = bench.conference()
        bench.event(calendar_id, conference)
    bench.conferencing.faults.add(delay_seconds=0.1, times=None)
    bench.sync(calendar_id)
    assert 4 <= bench.conferencing.max_concurrency <= bench.settings.concurrency
    assert bench.conferencing.max_concurrency_per_conference == 1
    assert shared_id in bench.conferencing.conferences


def test_c6_a_series_and_its_occurrences_go_one_after_the_other(bench: Bench) -> None:
    """All of them are calls about one conference: the series first, then each occurrence."""
    calendar_id = bench.watch()
    series, conference_id = weekly(bench, calendar_id)
    for weeks in (1, 2, 3, 4):
        one, _ = occurrence(bench, calendar_id, series, weeks)
        bench.calendar.edit(calendar_id, one, {"summary": f"Week {weeks}"})
    bench.calendar.edit(calendar_id, series, {"description": "For all of them"})
    bench.conferencing.faults.add(delay_seconds=0.1, times=None)
    bench.forget_calls()
    bench.sync(calendar_id)
    assert len(bench.calls()) == 5
    assert bench.calls()[0] == f"PUT /conferences/{conference_id}"
    assert bench.conferencing.max_concurrency_per_conference == 1


def test_e3_e5_an_occurrences_own_conference_is_kept_while_its_link_stands(bench: Bench) -> None:
    """An occurrence with a conference of its own gets that of its series back, and the link of its
    own one stays in its location."""
    calendar_id = bench.watch()
    series, series_conference = weekly(bench, calendar_id)
    own, own_id = bench.conference()
    one, original_start = occurrence(bench, calendar_id, series, 1)
    link = own["entryPoints"][0]["uri"]
    bench.calendar.edit(calendar_id, one, {"conferenceData": own, "location": f"{link}, Room 7"})
    bench.sync(calendar_id)
    assert bench.link(calendar_id, one) is not None
    again = shown(series_conference)
    bench.calendar.edit(calendar_id, one, {"conferenceData": again, "summary": "Special"})
    bench.sync(calendar_id)
    bench.pass_grace()
    assert own_id in bench.conferencing.conferences
    told = bench.conferencing.conferences[series_conference]["occurrences"]
    assert told[original_start]["title"] == "Special"
    bench.calendar.edit(calendar_id, one, {"location": "Room 7"})
    bench.sync(calendar_id)
    # What is let go, and stands in its event, is looked at once a day.
    bench.clock.advance(86_400)
    bench.run_tasks()
    assert own_id not in bench.conferencing.conferences
    assert bench.link(calendar_id, one) is None


def test_e1_e5_an_occurrence_goes_on_with_its_own_link_beside_that_of_its_series(
    bench: Bench,
) -> None:
    """Two links stand in the location, and one of them is of what the occurrence carries."""
    calendar_id = bench.watch()
    series_shown, series_conference = bench.hosted(calendar_id)
    series_link = series_shown["entryPoints"][0]["uri"]
    series = bench.event(calendar_id, series_shown, recurrence=WEEKLY)
    own, own_id = bench.conference()
    one, _ = occurrence(bench, calendar_id, series, 1)
    bench.calendar.edit(calendar_id, one, {"conferenceData": own})
    bench.sync(calendar_id)
    link = own["entryPoints"][0]["uri"]
    both = {"conferenceData": None, "location": f"{series_link} {link}", "summary": "Special"}
    bench.calendar.edit(calendar_id, one, both)
    bench.sync(calendar_id)
    bench.pass_grace()
    assert bench.conferencing.conferences[own_id]["title"] == "Special"
    assert series_conference in bench.conferencing.conferences
