"""What Calendar shows: histories in which a text, a role or a bare id was misread (E1-E8, S6)."""

from __future__ import annotations

from typing import Any

import pytest

from sync.model.event import CalendarId, EventId
from tests.support.bench import BenchMaker
from tests.support.fitting import SIX_WEEKS, fitting, fitting_series, link_of
from tests.support.series import occurrence
from tests.support.worlds import Connected, at_ten, connect

from .conftest import Systems

WRAPPINGS = [
    "{link}, Room 7 (12)",
    "{link}\nSecond floor",
    "Room 7 (12), {link}",
    "{link} (Passcode: 471100)",
    "({link})",
    "<{link}>",
    "Join here: {link}.",
    "“{link}”",
    "{link};Room 7",
    "Room 7; {link}; second floor",
    "{link}、会議室",
]
"""What people and other programs put around a join link in a location."""


def followed(world: Connected, calendar_id: CalendarId, event_id: EventId) -> str:
    """Return the id of the conference that an event leads."""
    link = world.bench.link(calendar_id, event_id)
    assert link is not None
    assert link.carried is not None
    assert link.carried.leading
    return link.carried.conference.conference_id


def nothing_more(world: Connected, calendar_id: CalendarId, since: int) -> None:
    """However often everything is looked at again, nothing is written after `since` writes."""
    world.bench.pass_grace()
    world.bench.calendar.expire_sync_tokens(calendar_id)
    world.bench.sync(calendar_id)
    world.bench.pass_grace()
    assert world.writes()[since:] == []
    assert world.system.created == 0
    assert world.bench.failures(calendar_id) == []


def test_e1_words_around_a_followed_link_change_nothing(world: Connected) -> None:
    """Cases 1-3: the id is the link's, whatever stands before and behind it."""
    bench = world.bench
    anna = bench.watch("anna")
    shown = fitting(world, anna)
    link = link_of(shown)
    event_id = bench.event(anna, location=link, **at_ten())
    bench.sync(anna)
    conference_id = followed(world, anna, event_id)
    since = len(world.writes())
    for wrapping in WRAPPINGS:
        location = wrapping.replace("{link}", link)
        bench.calendar.edit(anna, event_id, {"location": location})
        bench.sync(anna)
        assert followed(world, anna, event_id) == conference_id
        assert world.raw(anna, event_id)["location"] == location
    nothing_more(world, anna, since)


def test_e1_a_link_among_words_is_followed_at_first_sight(world: Connected) -> None:
    """Case 4: the system's answer proves it, and the event is not rewritten."""
    bench = world.bench
    anna = bench.watch("anna")
    events = {}
    for wrapping in WRAPPINGS:
        shown = fitting(world, anna, f"Made for {wrapping}")
        location = wrapping.replace("{link}", link_of(shown))
        event_id = bench.event(
            anna, location=location, summary=wrapping.replace("\n", " "), **at_ten()
        )
        events[event_id] = location
    bench.sync(anna)
    assert len({followed(world, anna, event_id) for event_id in events}) == len(WRAPPINGS)
    for event_id, location in events.items():
        assert world.raw(anna, event_id)["location"] == location
    titles = {world.system.title(one) for one in world.system.conferences}
    assert titles == {wrapping.replace("\n", " ") for wrapping in WRAPPINGS}
    nothing_more(world, anna, len(world.writes()))


def test_e3_a_link_that_goes_over_to_the_description_is_still_carried(world: Connected) -> None:
    """Neighbour of 3: the room takes the location, the link stands among words elsewhere."""
    bench = world.bench
    anna = bench.watch("anna")
    shown = fitting(world, anna)
    event_id = bench.event(anna, location=link_of(shown), **at_ten())
    bench.sync(anna)
    conference_id = followed(world, anna, event_id)
    described = f'<p>Join <a href="{link_of(shown)}">here</a>, room 7.</p>'
    bench.calendar.edit(anna, event_id, {"location": "Room 7", "description": described})
    bench.sync(anna)
    bench.pass_grace()
    assert followed(world, anna, event_id) == conference_id
    assert world.system.created == 0
    assert all(one.method != "DELETE" for one in world.writes())


def test_e5_a_room_in_one_occurrence_makes_no_conference_of_its_own(world: Connected) -> None:
    """Case 5: the occurrence shows the link of its series among words."""
    bench = world.bench
    anna = bench.watch("anna")
    shown = fitting_series(world, anna)
    link = link_of(shown)
    # Teams has no series, so that a link alone proves nothing of one.
    data = shown if world.system.name == "teams" else None
    series = bench.event(anna, data, location=link, recurrence=[SIX_WEEKS], **at_ten())
    bench.sync(anna)
    conference_id = followed(world, anna, series)
    since = len(world.writes())
    for weeks, wrapping in enumerate(WRAPPINGS[:4], start=1):
        one, _ = occurrence(bench, anna, series, weeks)
        bench.calendar.edit(anna, one, {"location": wrapping.replace("{link}", link)})
        bench.sync(anna)
        assert bench.link(anna, one) is None
    assert followed(world, anna, series) == conference_id
    nothing_more(world, anna, since)


def test_e1_recognised_by_its_link_the_id_is_the_links(world: Connected) -> None:
    """Case 6: an unknown solution with a `conferenceId` of its own and a link that we know."""
    bench = world.bench
    anna = bench.watch("anna")
    shown = fitting(world, anna)
    foreign = {
        **shown,
        "conferenceId": "rec8xyz",
        "conferenceSolution": {"key": {"type": "addOn"}, "name": "Club Calls"},
    }
    event_id = bench.event(anna, foreign, **at_ten())
    bench.sync(anna)
    [conference_id] = world.system.conferences
    assert followed(world, anna, event_id) == conference_id
    bench.calendar.edit(anna, event_id, {"summary": "Renamed"})
    bench.sync(anna)
    assert world.system.title(conference_id) == "Renamed"
    assert not any("rec8xyz" in one.path for one in world.system.requests())
    nothing_more(world, anna, len(world.writes()))


ZOOM_LINKS = [
    "https://acme.zoom.us/s/{id}",
    "https://acme.zoom.us/wc/{id}/start",
    "https://acme.zoom.us/wc/join/{id}",
    "https://acme.zoom.us/wc/{id}/join?prefer=1",
    "https://acme.zoom.us/w/{id}?tk=x",
    "https://zoom.us/j/{id}",
    "https://acme.zoom.com/j/{id}",
    "https://agency.zoomgov.com/j/{id}?pwd=y",
    "HTTPS://ACME.ZOOM.US/j/{id}",
]


def test_e1_every_form_of_a_zoom_link_is_followed(
    make_bench: BenchMaker, systems: Systems, store: str
) -> None:
    """Case 16: the host's link and the browser's name the meeting as the guests' does."""
    world = connect(make_bench, systems("zoom"), store)
    bench = world.bench
    anna = bench.watch("anna")
    events = {}
    for form in ZOOM_LINKS:
        number = fitting(world, anna, form)["conferenceId"]
        location = form.replace("{id}", number)
        events[bench.event(anna, location=location, summary=form, **at_ten())] = number
    bench.sync(anna)
    assert {each: followed(world, anna, each) for each in events} == events
    nothing_more(world, anna, len(world.writes()))


@pytest.mark.parametrize("form", ["long", "short"])
def test_e1_every_form_of_a_teams_link_is_followed(
    make_bench: BenchMaker, systems: Systems, store: str, form: str
) -> None:
    """Neighbour of 16: the long link names its user; the short one is looked up as the host."""
    world = connect(make_bench, systems("teams"), store)
    anna = world.bench.watch("anna")
    shown = fitting(world, anna if form == "long" else None, form=form)
    event_id = world.bench.event(anna, location=link_of(shown), **at_ten(), summary="Renamed")
    world.bench.sync(anna)
    assert world.system.titled("Renamed") == [followed(world, anna, event_id)]
