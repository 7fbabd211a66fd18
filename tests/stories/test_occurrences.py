"""Series and what becomes of single occurrences (E5)."""

from __future__ import annotations

import pytest

from sync.model.conference import FailureState
from tests.support.bench import Bench, shown, timed
from tests.support.series import WEEKLY, occurrence, weekly


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


@pytest.mark.parametrize("owner", ["anna", "mallory@strangers.example"])
def test_o1_e5_an_occurrence_waits_until_its_series_is_proven(any_bench: Bench, owner: str) -> None:
    """The system says once that it does not know the conference, which may be a stranger's. Until
    the second look nothing is sent, of an occurrence that is renamed meanwhile neither."""
    bench = any_bench
    anna = bench.watch()
    conference, conference_id = bench.conference(organizer=anna if owner == "anna" else owner)
    series = bench.event(anna, conference, recurrence=WEEKLY)
    bench.conferencing.trouble("false-not-found", times=1, method="GET")
    bench.sync(anna)
    one, start = occurrence(bench, anna, series, 1)
    bench.calendar.edit(anna, one, {"summary": "Special"})
    bench.sync(anna)
    assert bench.conferencing.writes() == []
    bench.clock.advance(bench.settings.retry.total_seconds() + 1)
    bench.run_tasks()
    if owner == "anna":
        told = bench.conferencing.conferences[conference_id]["occurrences"]
        assert told[start]["title"] == "Special"
    else:
        assert bench.conferencing.writes() == []
        assert [failure.state for failure in bench.failures(anna)] == [FailureState.LEFT]
