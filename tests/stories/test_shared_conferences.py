"""One conference in several events: halves of a series, copies, moves, who leads (E7, E2)."""

from __future__ import annotations

import itertools
from contextlib import suppress

import pytest

from sync.model.event import EventId
from sync.operate import stopping
from sync.run import engine
from tests.support.bench import Bench, BenchMaker, shown
from tests.support.fates import Death, Killed, touched
from tests.support.series import WEEKLY, occurrence, only_conference, weekly


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
    copy = EventId("")
    if how != "moved":
        copy = bench.event(team, shown(conference_id), **copied)
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
        copy = bench.event(team, shown(conference_id), **copied)
        bench.sync(team)
    bench.clock.advance(11)
    bench.run_tasks()
    stored = bench.conferencing.conferences[conference_id]
    told = stored["occurrences"]
    assert (stored["title"], told[gone]["title"], told[start]["title"]) == ("Copy",) * 3
    # They have words of their own at the system now, and change with their series all the same.
    bench.calendar.edit(team, copy, {"summary": "Copied"})
    bench.sync(team)
    stored = bench.conferencing.conferences[conference_id]
    told = stored["occurrences"]
    assert (stored["title"], told[gone]["title"], told[start]["title"]) == ("Copied",) * 3


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


@pytest.mark.slow
def test_h3_s5_stopping_hands_on_what_a_stopped_run_let_go(make_bench: BenchMaker) -> None:
    """The leader was deleted, and the run that saw it died: wherever that was, the copy leads once
    the leader's calendar is stopped, for nobody goes on with that run."""
    for place in itertools.count():
        bench = make_bench()
        anna, team = bench.watch("anna"), bench.watch("team")
        conference, conference_id = bench.conference()
        event_id = bench.event(anna, conference, summary="Anna's")
        copy = bench.event(team, conference, summary="The team's")
        bench.sync(anna)
        bench.sync(team)
        bench.calendar.cancel(anna, event_id)
        death = Death(place)
        with suppress(Killed):
            engine.sync_calendar(touched(bench.services, death), anna)
        stopping.stop(bench.services, anna)
        bench.clock.advance(11)
        bench.run_tasks()
        link = bench.link(team, copy)
        assert link is not None, death.touched
        assert link.leading, death.touched
        title = bench.conferencing.conferences[conference_id]["title"]
        assert title == "The team's", (place, death.touched, bench.waiting())
        if not death.struck:
            break
    assert place > 8


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
