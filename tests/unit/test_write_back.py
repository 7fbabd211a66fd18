"""What is written into an event (W2, W4), as pure values."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.errors import TryLater
from sync.event.content import BLOCK_BEGIN, BLOCK_END, content_of, without_block
from sync.event.recognise import ID_PROPERTY, PROVIDER_PROPERTY
from sync.event.write_back import (
    WRITES_PER_HOUR,
    block,
    conference_data,
    fallback,
    presentable,
    refuse_loops,
)
from sync.model.calendar import Access
from sync.model.conference import EventRef, Link, WayIn
from sync.model.event import (
    CalendarId,
    ConferenceData,
    EntryPoint,
    Etag,
    Event,
    EventId,
    EventTime,
)
from tests.support.processor import processor_time_below
from tests.support.way_in import ENTRANCE, NEW, OLD, PHONE, RULES, VIDEO, WAY_IN

Json = dict[str, Any]

NOW = datetime(2030, 5, 2, 8, 0, tzinfo=UTC)
NOBODY = Access()
_numbers = itertools.count(1)


def event(**changes: Any) -> Event:
    return replace(Event(id=EventId("e1"), etag=Etag('"1"')), **changes)


# W2: the cap on writes.

LINK = Link(event=EventRef(calendar_id=CalendarId("anna@example.com"), event_id=EventId("e1")))


def test_w2_writes_are_counted_and_the_old_ones_forgotten() -> None:
    """What is older than an hour counts no more; this write counts already."""
    old, recent = NOW - timedelta(hours=1), NOW - timedelta(minutes=59)
    assert refuse_loops(LINK, NOW) == (NOW,)
    assert refuse_loops(replace(LINK, writes=(old, recent)), NOW) == (recent, NOW)


def test_w2_a_loop_ends_at_the_cap_and_says_when_it_may_go_on() -> None:
    """Two writers that answer each other stop; the next write is due when the oldest is an hour
    old."""
    link, moment = LINK, NOW
    for _ in range(WRITES_PER_HOUR):
        link = replace(link, writes=refuse_loops(link, moment))
        moment += timedelta(seconds=10)
    with pytest.raises(TryLater, match="too often within an hour") as caught:
        refuse_loops(link, moment)
    assert caught.value.after == NOW + timedelta(hours=1) - moment
    later = moment + caught.value.after
    assert len(refuse_loops(link, later)) == WRITES_PER_HOUR


_NO_MARK = st.text(max_size=60).filter(
    lambda text: BLOCK_BEGIN not in text and BLOCK_END not in text
)


@given(
    description=st.builds(
        lambda text, end: text + end, _NO_MARK, st.sampled_from(["", "x", "<br>", "\n", "  "])
    )
)
def test_w2_our_block_never_changes_the_description_that_providers_are_told(
    description: str,
) -> None:
    """Written and read back, the provider is told the same as before: our own write makes no
    update."""
    day = EventTime(day=date(2027, 1, 1))
    before = event(description=description, start=day, end=day)
    changes = fallback(before, ENTRANCE, RULES)
    after = replace(before, description=changes["description"])
    at = EventRef(calendar_id=CalendarId("anna@example.com"), event_id=before.id)
    assert content_of(after, at).description == content_of(before, at).description


@given(description=_NO_MARK, times=st.integers(1, 3))
def test_w4_writing_again_replaces_the_block(description: str, times: int) -> None:
    """However often it is written, there is one block, and it is at the end."""
    written = description
    for _ in range(times):
        written = fallback(event(description=written), ENTRANCE, RULES)["description"]
    assert written.count(BLOCK_BEGIN) == written.count(BLOCK_END) == 1
    assert written.endswith(BLOCK_END)


@given(
    notes=st.text(max_size=40)
    | st.sampled_from([BLOCK_END, f"a {BLOCK_END} b", BLOCK_BEGIN, f"a\n{BLOCK_END}\nb"])
)
def test_w4_notes_cannot_break_out_of_the_block(notes: str) -> None:
    """Whatever a provider's notes say, taking the block away takes all of it away."""
    assert without_block("Bring cake" + block([VIDEO], notes)) == "Bring cake"


def test_s6_notes_take_time_in_proportion_to_their_length() -> None:
    """A hundred thousand brackets that nobody closes, as a provider's notes."""
    with processor_time_below(0.5):
        block([VIDEO], "<" * 100_000)


def test_w4_text_of_a_person_around_the_block_stays() -> None:
    """What somebody wrote before and after our block is theirs."""
    text = "Before" + block([VIDEO], None) + "\nafter"
    assert without_block(text) == "Before\nafter"
    assert fallback(event(description=text), ENTRANCE, RULES)["description"].startswith(
        "Before\nafter\n\n"
    )


# W4: pure values.


@pytest.mark.parametrize(
    ("points", "kept"),
    [
        pytest.param((VIDEO, PHONE), [VIDEO, PHONE], id="W4-both"),
        pytest.param((VIDEO, replace(VIDEO, uri="https://b.example")), [VIDEO], id="W4-one-video"),
        pytest.param(
            (PHONE, replace(PHONE, uri="tel:+2")),
            [PHONE, replace(PHONE, uri="tel:+2")],
            id="W4-many-phones",
        ),
        pytest.param(
            (EntryPoint(kind="more", uri="https://x.example"),), [], id="W4-more-never-alone"
        ),
        pytest.param(
            (EntryPoint(kind="more", uri="https://x.example"), VIDEO),
            [EntryPoint(kind="more", uri="https://x.example"), VIDEO],
            id="W4-more-beside-another",
        ),
        pytest.param(
            (EntryPoint(kind="hologram", uri="holo:7"), VIDEO), [VIDEO], id="W4-unknown-kind"
        ),
        pytest.param((replace(VIDEO, uri="javascript:alert(1)"),), [], id="W4-another-scheme"),
        pytest.param((replace(PHONE, uri="+1-555-0100"),), [], id="W4-phone-without-tel"),
        pytest.param(
            (replace(VIDEO, uri="https://x/" + "a" * 1290),),
            [replace(VIDEO, uri="https://x/" + "a" * 1290)],
            id="W4-longest-address",
        ),
        pytest.param(
            (replace(VIDEO, uri="https://x/" + "a" * 1291),), [], id="W4-address-too-long"
        ),
        pytest.param((), [], id="W4-none"),
    ],
)
def test_w4_only_what_calendar_shows_is_presented(
    points: tuple[EntryPoint, ...], kept: list[EntryPoint]
) -> None:
    """One of each kind but phones, addresses of their kind's scheme, `more` never alone."""
    assert presentable(points) == kept


def test_w4_conference_data_keeps_the_solution_and_brings_the_new_way_in() -> None:
    """The new id and entry points under the solution that the event showed; no member that
    Calendar sets itself."""
    assert conference_data(ConferenceData.from_api(OLD), WAY_IN) == {
        "conferenceId": "c-2",
        "conferenceSolution": OLD["conferenceSolution"],
        "entryPoints": [
            {"entryPointType": "video", "uri": VIDEO.uri, "label": VIDEO.label, "passcode": "4711"},
            {"entryPointType": "phone", "uri": PHONE.uri, "label": PHONE.label, "pin": "4711"},
        ],
        "notes": "Bring <b>cake</b>",
    }


def test_w4_what_is_too_long_for_calendar_is_cut_or_left_out() -> None:
    """Labels and notes are cut; a code cut short would let nobody in, so it is left out."""
    long = replace(VIDEO, label="l" * 600, passcode="p" * 129, meeting_code="m" * 128)
    data = conference_data(
        ConferenceData(),
        WayIn(conference_id=NEW.conference_id, entry_points=(long,), notes="n" * 3000),
    )
    (point,) = data["entryPoints"]
    assert (len(point["label"]), point.get("passcode"), len(point["meetingCode"])) == (
        512,
        None,
        128,
    )
    assert len(data["notes"]) == 2048
    assert "conferenceSolution" not in data


def test_w4_the_block_says_how_to_get_in_and_is_no_html() -> None:
    """Every address with its codes, readable, and nothing that a description would take for
    markup."""
    odd = EntryPoint(
        kind="sip", uri="sip:a<b>&c@example.com", access_code="1", meeting_code="2", password="3"
    )
    text = block([VIDEO, PHONE, odd], "<p>Bring <b>cake</b></p>")
    assert text.splitlines() == [
        "",
        "",
        BLOCK_BEGIN,
        "Join: https://meet.example.com/c-2, passcode 4711",
        "Phone: +1-555-0100, PIN 4711",
        "SIP: a&lt;b&gt;&amp;c@example.com, passcode 3, access code 1, meeting code 2",
        "Bring cake",
        BLOCK_END,
    ]


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        pytest.param("", VIDEO.uri, id="W4-empty-location"),
        pytest.param("  ", VIDEO.uri, id="W4-blank-location"),
        pytest.param("https://meet.example.com/c-1", VIDEO.uri, id="W4-the-old-join-link"),
        pytest.param("Room 5", None, id="W4-a-person-s-location"),
        pytest.param(
            "Room 5, https://meet.example.com/c-1.",
            f"Room 5, {VIDEO.uri}.",
            id="W4-a-person-s-location-with-the-old-link",
        ),
        pytest.param("https://meet.example.com/c-9", None, id="W4-another-conference-s-link"),
        pytest.param(
            "https://meet.example.com/c-9 or https://meet.example.com/c-1",
            f"https://meet.example.com/c-9 or {VIDEO.uri}",
            id="W4-the-old-link-beside-another-one",
        ),
    ],
)
def test_w4_the_location_is_taken_only_where_nobody_put_something_else(
    location: str, expected: str | None
) -> None:
    """A room stays a room; then the block and the property alone tell."""
    changes = fallback(event(location=location), ENTRANCE, RULES)
    assert changes.get("location") == expected
    assert changes["conferenceData"] is None
    assert changes["extendedProperties"] == {
        "private": {PROVIDER_PROPERTY: "web", ID_PROPERTY: "c-2"}
    }


def test_w4_property_names_are_not_dropped_by_calendar() -> None:
    """Calendar drops keys of more than 44 characters without a word."""
    assert max(len(PROVIDER_PROPERTY), len(ID_PROPERTY)) <= 44


def test_w4_an_entry_point_keeps_every_code() -> None:
    """People cannot get in without them."""
    codes = {
        name: name[:2]
        for name in ("label", "passcode", "pin", "access_code", "meeting_code", "password")
    }
    point = EntryPoint(kind="phone", uri="tel:+1", region_code="US", **codes)
    way_in = WayIn(conference_id=NEW.conference_id, entry_points=(point,))
    (shown,) = conference_data(ConferenceData(), way_in)["entryPoints"]
    assert shown == {
        "entryPointType": "phone",
        "uri": "tel:+1",
        "label": "la",
        "passcode": "pa",
        "pin": "pi",
        "accessCode": "ac",
        "meetingCode": "me",
        "password": "pa",
    }
