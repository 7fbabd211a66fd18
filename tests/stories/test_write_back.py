"""What is written into an event, and how (W1, W2, W4): pure values, and writes against the
Calendar stand-in."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.google_calendar import GoogleCalendar
from sync.errors import Conflict, Invalid, TryLater
from sync.event.plan import (
    BLOCK_BEGIN,
    BLOCK_END,
    ID_PROPERTY,
    PROVIDER_PROPERTY,
    ProviderRules,
    Rules,
    conference_of,
    content_of,
    uri_pattern,
    without_block,
)
from sync.event.write_back import (
    WRITES_PER_HOUR,
    block,
    conference_data,
    fallback,
    hide,
    presentable,
    refuse_loops,
    show,
)
from sync.google.calendar import Calendar
from sync.model.calendar import Access
from sync.model.conference import ConferenceRef, EventRef, Link, WayIn
from sync.model.event import CalendarId, ConferenceId, EntryPoint, Etag, Event, EventId, EventTime

Json = dict[str, Any]

NOW = datetime(2030, 5, 2, 8, 0, tzinfo=UTC)
NOBODY = Access()
RULES = Rules(
    providers=(
        ProviderRules(
            name="web",
            solutions=frozenset({"My Web Conference"}),
            uris=(uri_pattern("https://meet.example.com/{id}"),),
            fields=frozenset({"title", "description"}),
        ),
    ),
    delete_grace=timedelta(),
)
NEW = ConferenceRef(provider="web", conference_id=ConferenceId("c-2"))
VIDEO = EntryPoint(
    kind="video", uri="https://meet.example.com/c-2", label="meet.example.com/c-2", passcode="4711"
)
PHONE = EntryPoint(
    kind="phone", uri="tel:+1-555-0100", label="+1 555 0100", pin="4711", region_code="US"
)
WAY_IN = WayIn(
    conference_id=NEW.conference_id, entry_points=(VIDEO, PHONE), notes="Bring <b>cake</b>"
)
OLD = {
    "conferenceId": "c-1",
    "conferenceSolution": {
        "key": {"type": "addOn"},
        "name": "My Web Conference",
        "iconUri": "https://x/i.png",
    },
    "entryPoints": [{"entryPointType": "video", "uri": "https://meet.example.com/c-1"}],
}

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
    changes = fallback(before, NEW, WAY_IN, RULES)
    after = replace(before, description=changes["description"])
    at = EventRef(calendar_id=CalendarId("anna@example.com"), event_id=before.id)
    assert content_of(after, at).description == content_of(before, at).description


@given(description=_NO_MARK, times=st.integers(1, 3))
def test_w4_writing_again_replaces_the_block(description: str, times: int) -> None:
    """However often it is written, there is one block, and it is at the end."""
    written = description
    for _ in range(times):
        written = fallback(event(description=written), NEW, WAY_IN, RULES)["description"]
    assert written.count(BLOCK_BEGIN) == written.count(BLOCK_END) == 1
    assert written.endswith(BLOCK_END)


@given(
    notes=st.text(max_size=40)
    | st.sampled_from([BLOCK_END, f"a {BLOCK_END} b", BLOCK_BEGIN, f"a\n{BLOCK_END}\nb"])
)
def test_w4_notes_cannot_break_out_of_the_block(notes: str) -> None:
    """Whatever a provider's notes say, taking the block away takes all of it away."""
    assert without_block("Bring cake" + block([VIDEO], notes)) == "Bring cake"


def test_w4_text_of_a_person_around_the_block_stays() -> None:
    """What somebody wrote before and after our block is theirs."""
    text = "Before" + block([VIDEO], None) + "\nafter"
    assert without_block(text) == "Before\nafter"
    assert fallback(event(description=text), NEW, WAY_IN, RULES)["description"].startswith(
        "Before\nafter\n\n"
    )


# W4: pure values.


@pytest.mark.parametrize(
    ("points", "kept"),
    [
        pytest.param((VIDEO, PHONE), [VIDEO, PHONE], id="W4-both"),
        pytest.param((VIDEO, replace(VIDEO, uri="https://b.example")), [VIDEO], id="W4-one-video"),
        pytest.param((PHONE, replace(PHONE, uri="tel:+2")), [PHONE, replace(PHONE, uri="tel:+2")], id="W4-many-phones"),
        pytest.param((EntryPoint(kind="more", uri="https://x.example"),), [], id="W4-more-never-alone"),
        pytest.param(
            (EntryPoint(kind="more", uri="https://x.example"), VIDEO),
            [EntryPoint(kind="more", uri="https://x.example"), VIDEO],
            id="W4-more-beside-another",
        ),
        pytest.param((EntryPoint(kind="hologram", uri="holo:7"), VIDEO), [VIDEO], id="W4-unknown-kind"),
        pytest.param((replace(VIDEO, uri="javascript:alert(1)"),), [], id="W4-another-scheme"),
        pytest.param((replace(PHONE, uri="+1-555-0100"),), [], id="W4-phone-without-tel"),
        pytest.param((replace(VIDEO, uri="https://x/" + "a" * 1290),), [replace(VIDEO, uri="https://x/" + "a" * 1290)],
                     id="W4-longest-address"),
        pytest.param((replace(VIDEO, uri="https://x/" + "a" * 1291),), [], id="W4-address-too-long"),
        pytest.param((), [], id="W4-none"),
    ],
)  # fmt: skip
def test_w4_only_what_calendar_shows_is_presented(
    points: tuple[EntryPoint, ...], kept: list[EntryPoint]
) -> None:
    """One of each kind but phones, addresses of their kind's scheme, `more` never alone."""
    assert presentable(points) == kept


def test_w4_conference_data_keeps_the_solution_and_brings_the_new_way_in() -> None:
    """The new id and entry points under the solution that the event showed; no member that
    Calendar sets itself."""
    assert conference_data(OLD, WAY_IN) == {
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
        {}, WayIn(conference_id=NEW.conference_id, entry_points=(long,), notes="n" * 3000)
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
            "Room 5, https://meet.example.com/c-1", None, id="W4-a-person-s-location-with-a-link"
        ),
    ],
)
def test_w4_the_location_is_taken_only_where_nobody_put_something_else(
    location: str, expected: str | None
) -> None:
    """A room stays a room; then the block and the property alone tell."""
    changes = fallback(event(location=location), NEW, WAY_IN, RULES)
    assert changes.get("location") == expected
    assert changes["conferenceData"] is None
    assert changes["extendedProperties"] == {
        "private": {PROVIDER_PROPERTY: "web", ID_PROPERTY: "c-2"}
    }


def test_w4_property_names_are_not_dropped_by_calendar() -> None:
    """Calendar drops keys of more than 44 characters without a word."""
    assert max(len(PROVIDER_PROPERTY), len(ID_PROPERTY)) <= 44


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
def calendar(stand_in: GoogleCalendar) -> Iterator[Calendar]:
    calendar = Calendar(None, emulator=stand_in.host)
    yield calendar
    calendar.close()


@pytest.fixture
def anna(stand_in: GoogleCalendar) -> CalendarId:
    calendar_id = CalendarId(f"anna{next(_numbers)}@example.com")
    stand_in.add_calendar(calendar_id)
    return calendar_id


def seeded(
    stand_in: GoogleCalendar, calendar: Calendar, calendar_id: CalendarId, **fields: Any
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
    raw: Json = calendar.get_event(calendar_id, NOBODY, event_id)
    return Event.from_api(raw), raw


def now_in(stand_in: GoogleCalendar, calendar_id: CalendarId, event_id: EventId) -> Json:
    found = stand_in.get(calendar_id, event_id)
    assert found is not None
    return found


def patches(stand_in: GoogleCalendar) -> list[Json]:
    return [request.body for request in stand_in.requests if request.method == "PATCH"]


@pytest.mark.parametrize("manner", ["accept", "refuse", "drop"])
def test_w4_the_event_shows_the_new_way_in_however_calendar_behaves(
    stand_in: GoogleCalendar,
    calendar: Calendar,
    anna: CalendarId,
    manner: Literal["accept", "refuse", "drop"],
) -> None:
    """Conference data where Calendar takes it; where it refuses or drops it, text and our
    property."""
    stand_in.settings.addon_writes = manner
    event, raw = seeded(stand_in, calendar, anna)
    etag = show(calendar, anna, NOBODY, event, raw, NEW, WAY_IN, RULES)
    after = now_in(stand_in, anna, event.id)
    assert conference_of(Event.from_api(after), RULES) == NEW
    assert etag == after["etag"]
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
    stand_in: GoogleCalendar, calendar: Calendar, anna: CalendarId
) -> None:
    """Cut, it would name another conference from then on: the event stays as it was."""
    event, raw = seeded(stand_in, calendar, anna)
    long = replace(NEW, conference_id=ConferenceId("c" * 1025))
    before = now_in(stand_in, anna, event.id)
    with pytest.raises(Invalid, match="1024"):
        show(
            calendar,
            anna,
            NOBODY,
            event,
            raw,
            long,
            replace(WAY_IN, conference_id=long.conference_id),
            RULES,
        )
    assert now_in(stand_in, anna, event.id) == before


def test_w4_an_event_that_has_our_text_gets_the_text_at_once(
    stand_in: GoogleCalendar, calendar: Calendar, anna: CalendarId
) -> None:
    """Where conference data was refused before, it is not tried again; other private properties
    stay."""
    private = {PROVIDER_PROPERTY: "web", ID_PROPERTY: "c-1", "theirs": "1"}
    event, raw = seeded(
        stand_in,
        calendar,
        anna,
        conferenceData=None,
        location="https://meet.example.com/c-1",
        extendedProperties={"private": private},
        description="Bring cake"
        + block([replace(VIDEO, uri="https://meet.example.com/c-1")], None),
    )
    show(calendar, anna, NOBODY, event, raw, NEW, WAY_IN, RULES)
    (patch,) = patches(stand_in)
    after = now_in(stand_in, anna, event.id)
    assert patch["conferenceData"] is None
    assert after["extendedProperties"]["private"] == {**private, ID_PROPERTY: "c-2"}
    assert after["location"] == VIDEO.uri
    assert "c-1" not in after["description"]


def test_w4_a_room_stays_a_room(
    stand_in: GoogleCalendar, calendar: Calendar, anna: CalendarId
) -> None:
    """The conference is told by the property although the location is somebody else's."""
    event, raw = seeded(stand_in, calendar, anna, location="Room 5")
    show(calendar, anna, NOBODY, event, raw, NEW, WAY_IN, RULES)
    after = now_in(stand_in, anna, event.id)
    assert after["location"] == "Room 5"
    assert conference_of(Event.from_api(after), RULES) == NEW


@pytest.mark.parametrize("manner", ["accept", "refuse", "drop"])
def test_w1_a_user_s_edit_in_between_wins(
    stand_in: GoogleCalendar,
    calendar: Calendar,
    anna: CalendarId,
    manner: Literal["accept", "refuse", "drop"],
) -> None:
    """Nothing is written over what somebody wrote since the event was read."""
    stand_in.settings.addon_writes = manner
    event, raw = seeded(stand_in, calendar, anna)
    stand_in.edit(anna, event.id, {"location": "Room 5"})
    before = now_in(stand_in, anna, event.id)
    with pytest.raises(Conflict):
        show(calendar, anna, NOBODY, event, raw, NEW, WAY_IN, RULES)
    assert now_in(stand_in, anna, event.id) == before


def test_w1_without_an_etag_nothing_is_written(
    stand_in: GoogleCalendar, calendar: Calendar, anna: CalendarId
) -> None:
    """A write that could overwrite somebody is not made."""
    event, raw = seeded(stand_in, calendar, anna)
    with pytest.raises(Invalid, match="no etag"):
        show(calendar, anna, NOBODY, replace(event, etag=None), raw, NEW, WAY_IN, RULES)
    with pytest.raises(Invalid, match="no etag"):
        hide(calendar, anna, NOBODY, replace(event, etag=None), RULES)
    assert patches(stand_in) == []


def test_w4_what_calendar_keeps_in_neither_form_is_told(
    stand_in: GoogleCalendar, calendar: Calendar, anna: CalendarId
) -> None:
    """A write that was answered with success and did not hold is no success."""
    event, raw = seeded(stand_in, calendar, anna)
    stand_in.faults.add(method="PATCH", skip=1, status=200, body=raw)
    with pytest.raises(Invalid, match="did not keep"):
        show(calendar, anna, NOBODY, event, raw, NEW, WAY_IN, RULES)


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
    stand_in: GoogleCalendar, calendar: Calendar, anna: CalendarId, location: str, left: str
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
    etag = hide(calendar, anna, NOBODY, event, RULES)
    after = now_in(stand_in, anna, event.id)
    assert after["etag"] == etag
    assert after["description"] == "Bring cake"
    assert after.get("location", "") == left
    assert after["extendedProperties"]["private"] == {"theirs": "1"}
    assert after["conferenceData"]["conferenceId"] == "c-9"


def test_w1_hiding_gives_way_to_a_user_s_edit(
    stand_in: GoogleCalendar, calendar: Calendar, anna: CalendarId
) -> None:
    """412 is Conflict here too."""
    event, _ = seeded(
        stand_in, calendar, anna, extendedProperties={"private": {PROVIDER_PROPERTY: "web"}}
    )
    stand_in.edit(anna, event.id, {"summary": "Theirs"})
    with pytest.raises(Conflict):
        hide(calendar, anna, NOBODY, event, RULES)


@given(text=_NO_MARK)
def test_w4_a_description_without_our_block_is_left_as_it_is(text: str) -> None:
    """Nothing of a person's own text is ever taken for ours."""
    assert without_block(text) == text
