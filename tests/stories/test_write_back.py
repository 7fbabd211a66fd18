"""Writes into an event against the Calendar stand-in (W1, W4)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.google_calendar import GoogleCalendar
from sync.context import BoundCalendar
from sync.errors import Conflict, Invalid
from sync.event.content import BLOCK_BEGIN, BLOCK_END, without_block
from sync.event.recognise import ID_PROPERTY, PROVIDER_PROPERTY, shown_by
from sync.event.write_back import (
    block,
    put,
    take_out,
)
from sync.google.calendar import Calendar
from sync.model.calendar import Access
from sync.model.conference import ConferenceRef
from sync.model.event import CalendarId, ConferenceId, Event, EventId
from tests.support.way_in import ENTRANCE, NEW, OLD, RULES, VIDEO

Json = dict[str, Any]

NOW = datetime(2030, 5, 2, 8, 0, tzinfo=UTC)
_numbers = itertools.count(1)


# Against the stand-in.


@pytest.fixture(scope="module")
def server() -> Iterator[GoogleCalendar]:
    with GoogleCalendar() as server:
        yield server


@pytest.fixture
def stand_in(server: GoogleCalendar) -> Iterator[GoogleCalendar]:
    server.faults.clear()
    server.requests.clear()
    yield server
    server.faults.clear()
    server.settings.addon_writes = "refuse"


@pytest.fixture
def calendar(stand_in: GoogleCalendar, anna: CalendarId) -> Iterator[BoundCalendar]:
    calendar = Calendar(None, emulator=stand_in.host)
    yield calendar.bind(anna, Access())
    calendar.close()


@pytest.fixture
def anna(stand_in: GoogleCalendar) -> CalendarId:
    calendar_id = CalendarId(f"anna{next(_numbers)}@example.com")
    stand_in.add_calendar(calendar_id)
    return calendar_id


_NO_MARK = st.text(max_size=60).filter(
    lambda text: BLOCK_BEGIN not in text and BLOCK_END not in text
)


def seeded(
    stand_in: GoogleCalendar, calendar: BoundCalendar, calendar_id: CalendarId, **fields: Any
) -> tuple[Event, Json]:
    body = {
        "summary": "Planning",
        "description": "Bring cake",
        "start": {"dateTime": "2030-05-02T10:00:00Z"},
        "end": {"dateTime": "2030-05-02T11:00:00Z"},
        "conferenceData": OLD,
        **fields,
    }
    event_id = stand_in.seed_event(
        calendar_id, {name: each for name, each in body.items() if each is not None}
    )["id"]
    event = calendar.get_event(event_id).event
    assert event is not None
    return event, now_in(stand_in, calendar_id, event_id)


def carried(raw: Json) -> ConferenceRef | None:
    shown = shown_by(Event.from_api(raw), RULES)
    return shown.conference if shown else None


def now_in(stand_in: GoogleCalendar, calendar_id: CalendarId, event_id: EventId) -> Json:
    found = stand_in.get(calendar_id, event_id)
    assert found is not None
    return found


def patches(stand_in: GoogleCalendar) -> list[Json]:
    return [request.body for request in stand_in.requests if request.method == "PATCH"]


@pytest.mark.parametrize("manner", ["accept", "refuse", "drop"])
def test_w4_the_event_shows_the_new_way_in_however_calendar_behaves(
    stand_in: GoogleCalendar,
    calendar: BoundCalendar,
    anna: CalendarId,
    manner: Literal["accept", "refuse", "drop"],
) -> None:
    """Conference data where Calendar takes it; where it refuses or drops it, text and our
    property."""
    stand_in.settings.addon_writes = manner
    event, _ = seeded(stand_in, calendar, anna)
    written = put(calendar, event, ENTRANCE, RULES)
    after = now_in(stand_in, anna, event.id)
    assert carried(after) == NEW
    assert written.etag == after["etag"]
    if manner == "accept":
        assert after["conferenceData"]["conferenceId"] == "c-2"
        assert after["description"] == "Bring cake"
        assert PROVIDER_PROPERTY not in after.get("extendedProperties", {}).get("private", {})
        assert len(patches(stand_in)) == 1
    else:
        assert "conferenceData" not in after
        assert after["location"] == VIDEO.uri
        assert after["extendedProperties"]["private"] == {
            PROVIDER_PROPERTY: "web",
            ID_PROPERTY: "c-2",
        }
        assert without_block(after["description"]) == "Bring cake"
        assert "4711" in after["description"]
        assert len(patches(stand_in)) == 2
    for request in stand_in.requests:
        if request.method == "PATCH":
            assert "If-Match" in request.headers
            assert (request.query["conferenceDataVersion"], request.query["sendUpdates"]) == (
                "1",
                "none",
            )


def test_w4_an_id_that_calendar_would_cut_is_not_written(
    stand_in: GoogleCalendar, calendar: BoundCalendar, anna: CalendarId
) -> None:
    """Cut, it would name another conference from then on: the event stays as it was."""
    event, _ = seeded(stand_in, calendar, anna)
    long = replace(NEW, conference_id=ConferenceId("c" * 1025))
    before = now_in(stand_in, anna, event.id)
    with pytest.raises(Invalid, match="1024"):
        put(calendar, event, replace(ENTRANCE, conference=long), RULES)
    assert now_in(stand_in, anna, event.id) == before


def test_w4_an_event_that_has_our_text_gets_the_text_at_once(
    stand_in: GoogleCalendar, calendar: BoundCalendar, anna: CalendarId
) -> None:
    """Where conference data was refused before, it is not tried again; other private properties
    stay."""
    private = {PROVIDER_PROPERTY: "web", ID_PROPERTY: "c-1", "theirs": "1"}
    event, _ = seeded(
        stand_in,
        calendar,
        anna,
        conferenceData=None,
        location="https://meet.example.com/c-1",
        extendedProperties={"private": private},
        description="Bring cake"
        + block([replace(VIDEO, uri="https://meet.example.com/c-1")], None),
    )
    put(calendar, event, ENTRANCE, RULES)
    (patch,) = patches(stand_in)
    after = now_in(stand_in, anna, event.id)
    assert patch["conferenceData"] is None
    assert after["extendedProperties"]["private"] == {**private, ID_PROPERTY: "c-2"}
    assert after["location"] == VIDEO.uri
    assert "c-1" not in after["description"]


def test_w4_a_room_stays_a_room(
    stand_in: GoogleCalendar, calendar: BoundCalendar, anna: CalendarId
) -> None:
    """The conference is told by the property although the location is somebody else's."""
    event, _ = seeded(stand_in, calendar, anna, location="Room 5")
    put(calendar, event, ENTRANCE, RULES)
    after = now_in(stand_in, anna, event.id)
    assert after["location"] == "Room 5"
    assert carried(after) == NEW


@pytest.mark.parametrize("manner", ["accept", "refuse", "drop"])
def test_w1_a_user_s_edit_in_between_wins(
    stand_in: GoogleCalendar,
    calendar: BoundCalendar,
    anna: CalendarId,
    manner: Literal["accept", "refuse", "drop"],
) -> None:
    """Nothing is written over what somebody wrote since the event was read."""
    stand_in.settings.addon_writes = manner
    event, _ = seeded(stand_in, calendar, anna)
    stand_in.edit(anna, event.id, {"location": "Room 5"})
    before = now_in(stand_in, anna, event.id)
    with pytest.raises(Conflict):
        put(calendar, event, ENTRANCE, RULES)
    assert now_in(stand_in, anna, event.id) == before


def test_w1_without_an_etag_nothing_is_written(
    stand_in: GoogleCalendar, calendar: BoundCalendar, anna: CalendarId
) -> None:
    """A write that could overwrite somebody is not made."""
    event, _ = seeded(stand_in, calendar, anna)
    with pytest.raises(Invalid, match="no etag"):
        put(calendar, replace(event, etag=None), ENTRANCE, RULES)
    with pytest.raises(Invalid, match="no etag"):
        take_out(calendar, replace(event, etag=None), RULES)
    assert patches(stand_in) == []


def test_w4_what_calendar_keeps_in_neither_form_is_told(
    stand_in: GoogleCalendar, calendar: BoundCalendar, anna: CalendarId
) -> None:
    """A write that was answered with success and did not hold is no success."""
    event, raw = seeded(stand_in, calendar, anna)
    stand_in.faults.add(method="PATCH", skip=1, status=200, body=raw)
    with pytest.raises(Invalid, match="did not keep"):
        put(calendar, event, ENTRANCE, RULES)


@pytest.mark.parametrize(
    ("location", "left"),
    [
        pytest.param("https://meet.example.com/c-1", "", id="W4-our-link"),
        pytest.param(
            "https://meet.example.com/c-3", "https://meet.example.com/c-3", id="W4-another-link"
        ),
        pytest.param("Room 5", "Room 5", id="W4-a-room"),
    ],
)
def test_w4_our_text_is_taken_out_again(
    stand_in: GoogleCalendar, calendar: BoundCalendar, anna: CalendarId, location: str, left: str
) -> None:
    """Block, property, and the location where it is ours; nothing else of the event changes."""
    event, _ = seeded(
        stand_in,
        calendar,
        anna,
        location=location,
        description="Bring cake" + block([VIDEO], "n"),
        extendedProperties={
            "private": {PROVIDER_PROPERTY: "web", ID_PROPERTY: "c-1", "theirs": "1"}
        },
        conferenceData={**OLD, "conferenceId": "c-9"},
    )
    written = take_out(calendar, event, RULES)
    after = now_in(stand_in, anna, event.id)
    assert written is not None
    assert after["etag"] == written.etag
    assert after["description"] == "Bring cake"
    assert after.get("location", "") == left
    assert after["extendedProperties"]["private"] == {"theirs": "1"}
    assert after["conferenceData"]["conferenceId"] == "c-9"


def test_w1_hiding_gives_way_to_a_user_s_edit(
    stand_in: GoogleCalendar, calendar: BoundCalendar, anna: CalendarId
) -> None:
    """412 is Conflict here too."""
    event, _ = seeded(
        stand_in, calendar, anna, extendedProperties={"private": {PROVIDER_PROPERTY: "web"}}
    )
    stand_in.edit(anna, event.id, {"summary": "Theirs"})
    with pytest.raises(Conflict):
        take_out(calendar, event, RULES)


@given(text=_NO_MARK)
def test_w4_a_description_without_our_block_is_left_as_it_is(text: str) -> None:
    """Nothing of a person's own text is ever taken for ours."""
    assert without_block(text) == text
