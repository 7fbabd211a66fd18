"""Series and their occurrences (E5): what is told of one occurrence, and what never is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.errors import Malformed
from sync.event.content import content_of
from sync.event.plan import Follow, Send
from sync.event.recognise import Shown
from sync.event.series import SendOccurrence, own_conference, plan_occurrence
from sync.model.conference import ConferenceRef, Evidence, Fingerprint, Link, Told
from sync.model.event import ConferenceId
from tests.support.events import (
    ANNA,
    MEET,
    MOVED,
    ORIGINAL,
    RULES,
    SERIES,
    WEB,
    Json,
    at,
    by_data,
    by_location,
    carried_out,
    data,
    decide,
    kinds,
    linked,
    marked,
    occurrence,
    parsed,
    past,
    requested,
    told,
    web,
    zoom,
)

CANCELLED = SendOccurrence(original_start=ORIGINAL, content=None, fingerprint="cancelled")
MINIMAL: Json = {
    "id": "s1_20300509T100000Z",
    "status": "cancelled",
    "recurringEventId": "s1",
    "originalStartTime": {"dateTime": ORIGINAL},
}
GUEST: Json = {"organizer": {"email": "dora@example.com"}}


def knowing(**occurrences: str) -> Link:
    """The link of the series, whose provider was told of its second occurrence."""
    return linked(SERIES, told=told(SERIES, occurrences={ORIGINAL: occurrences["second"]}))


OCCURRENCE_DIFFERS: dict[str, Json] = {
    "E5-moved": MOVED,
    "E5-longer": {"end": {"dateTime": "2030-05-09T14:00:00+02:00", "timeZone": "Europe/Berlin"}},
    "E5-renamed": {"summary": "Another title"},
    "E5-described": {"description": "Another text"},
    "E5-other-guests": {"attendees": [{"email": "dora@example.com"}]},
    "E5-other-zone": {
        "start": {"dateTime": "2030-05-09T12:00:00+02:00", "timeZone": "Europe/Paris"}
    },
    "E5-moved-to-a-whole-day": {"start": {"date": "2030-05-09"}, "end": {"date": "2030-05-10"}},
}


@pytest.mark.parametrize("changes", list(OCCURRENCE_DIFFERS.values()), ids=list(OCCURRENCE_DIFFERS))
def test_e5_a_changed_occurrence_is_told_to_a_provider_with_occurrences(changes: Json) -> None:
    """That occurrence alone, by its original start, and never the series' conference."""
    event, link = parsed(occurrence(**changes)), linked(SERIES)
    assert own_conference(event, link, RULES) is None
    step = plan_occurrence(event, link, RULES)
    assert step is not None
    assert step.original_start == ORIGINAL
    assert step.content == content_of(event, at("s1_20300509T100000Z"))
    assert plan_occurrence(event, knowing(second=step.fingerprint), RULES) is None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(occurrence(status="cancelled"), id="E5-cancelled-whole"),
        pytest.param(occurrence(status="cancelled", **MOVED), id="E5-cancelled-after-it-was-moved"),
        pytest.param(MINIMAL, id="E5-cancelled-minimal"),
        pytest.param(
            MINIMAL | {"originalStartTime": {"dateTime": "2030-05-09T19:00:00+09:00"}},
            id="E5-cancelled-in-another-offset",
        ),
    ],
)
def test_e5_a_cancelled_occurrence_is_cancelled_alone(body: Json) -> None:
    """The occurrence is cancelled at the provider, once, and the series keeps its conference."""
    event, link = parsed(body), linked(SERIES)
    assert own_conference(event, link, RULES) is None
    assert plan_occurrence(event, link, RULES) == CANCELLED
    assert plan_occurrence(event, knowing(second="cancelled"), RULES) is None
    assert decide(body) == []


def test_e5_a_cancelled_occurrence_that_is_back_is_told_again() -> None:
    """An occurrence restored to its place is no longer cancelled at the provider."""
    step = plan_occurrence(parsed(occurrence()), knowing(second="cancelled"), RULES)
    assert step is not None
    assert step.content is not None


def test_e5_what_is_noted_of_an_occurrence_is_the_same_on_every_machine() -> None:
    """What one release stored is compared by the next: this digest may never change."""
    step = plan_occurrence(parsed(occurrence(**MOVED)), linked(SERIES), RULES)
    assert step is not None
    assert step.fingerprint == "f9505d2ab64c516f0a19d8f2ae044228"


def test_e5_an_occurrence_that_is_changed_back_is_told_again() -> None:
    """Told of another text before, the provider hears when the series' own text is back."""
    changed = plan_occurrence(parsed(occurrence(description="B")), linked(SERIES), RULES)
    assert changed is not None
    back = plan_occurrence(parsed(occurrence()), knowing(second=changed.fingerprint), RULES)
    assert back is not None
    assert back.content is not None
    assert back.content.description == "Bring cake"
    assert plan_occurrence(parsed(occurrence()), knowing(second=back.fingerprint), RULES) is None


@pytest.mark.parametrize("second", ["unsure", "anything else"])
def test_e5_s8_an_occurrence_of_which_nothing_is_sure_is_told(second: str) -> None:
    """A call that was sent, and whose answer nobody noted, is repeated with the present state."""
    link = knowing(second=second)
    assert plan_occurrence(parsed(occurrence()), link, RULES) is not None
    assert plan_occurrence(parsed(MINIMAL), link, RULES) == CANCELLED


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="E5-like-its-series"),
        pytest.param(
            {
                "attendees": [
                    {"email": "cleo@example.com"},
                    {"email": "ben@example.com", "comment": "late"},
                ]
            },
            id="E5-an-answer",
        ),
        pytest.param({"colorId": "4"}, id="E5-a-colour"),
        pytest.param({"conferenceData": None}, id="E5-without-conference-data"),
        pytest.param({"conferenceData": MEET}, id="E5-with-a-meet-conference"),
        pytest.param({"conferenceData": requested("pending")}, id="E5-with-a-pending-request"),
        pytest.param({"location": "Room 7"}, id="E5-a-room"),
        pytest.param(
            {
                "start": {"dateTime": "2030-05-09T10:00:00Z", "timeZone": "Europe/Berlin"},
                "end": {"dateTime": "2030-05-09T11:00:00Z", "timeZone": "Europe/Berlin"},
            },
            id="E5-the-same-moments-with-another-offset",
        ),
    ],
)
def test_e5_an_occurrence_that_says_what_its_series_says_makes_no_call(changes: Json) -> None:
    """Only what differs from the series is told."""
    assert plan_occurrence(parsed(occurrence(**changes)), linked(SERIES), RULES) is None


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(None, id="S8-nothing-is-sure-of-the-series"),
        pytest.param(Told(), id="S8-no-field-is-sure"),
        pytest.param(
            Told(fingerprint=Fingerprint({"title": told(SERIES).fingerprint["title"]})),
            id="S8-one-field-is-sure",
        ),
    ],
)
def test_e5_s8_an_occurrence_is_compared_with_what_is_sure_of_its_series(
    known: Told | None,
) -> None:
    """Where the series is unsure, the occurrence is told too much rather than too little."""
    assert plan_occurrence(parsed(occurrence()), linked(SERIES, told=known), RULES) is not None


@pytest.mark.parametrize(
    "link",
    [
        pytest.param(linked(SERIES, zoom("123")), id="E5-provider-without-occurrences"),
        pytest.param(linked(SERIES, without_occurrences=True), id="E5-system-that-refused-them"),
        pytest.param(linked(SERIES, leading=False), id="E7-follower"),
        pytest.param(
            Link(event=at("s1"), letting_go=(past(web()),)), id="E5-series-without-a-conference"
        ),
        pytest.param(
            linked(SERIES, ConferenceRef(provider="teams", conference_id=ConferenceId("1"))),
            id="E5-provider-not-configured",
        ),
    ],
)
def test_e5_other_occurrences_are_left_alone(link: Link) -> None:
    """Who knows no occurrences, or follows another event, hears nothing of them."""
    for body in (occurrence(**MOVED), occurrence(status="cancelled"), MINIMAL):
        assert plan_occurrence(parsed(body), link, RULES) is None


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(GUEST, id="E6-an-attendee-s-copy"),
        pytest.param(GUEST | {"status": "cancelled"}, id="E6-an-attendee-s-copy-was-removed"),
        pytest.param({"organizer": {"email": ANNA, "self": False}}, id="E6-self-is-false"),
        pytest.param({"organizer": None}, id="E6-hidden"),
    ],
)
def test_e6_an_occurrence_that_does_not_decide_changes_nothing(changes: Json) -> None:
    """An attendee's copy of an occurrence, or one that we cannot see, says nothing."""
    for moved in (MOVED, {"conferenceData": data("c-2")}):
        event = parsed(occurrence(**{**moved, **changes}))
        assert plan_occurrence(event, linked(SERIES), RULES) is None
        assert own_conference(event, linked(SERIES), RULES) is None


LINK = "https://meet.example.com/c-1"
OWN: dict[str, tuple[Json, Shown | None]] = {
    "E5-its-series-s-conference": ({}, None),
    "E5-another-conference": ({"conferenceData": data("c-2")}, by_data(web("c-2"))),
    "E5-another-conference-of-another-provider": (
        {"conferenceData": data("123", "Zoom Meeting")},
        by_data(zoom("123")),
    ),
    "E5-another-conference-by-its-location": (
        {"conferenceData": None, "location": "https://meet.example.com/c-2"},
        by_location(web("c-2")),
    ),
    "E5-its-series-s-link-and-a-room": (
        {"conferenceData": None, "location": f"{LINK}, Room 7"},
        None,
    ),
    "E5-a-second-link-beside-its-series-s": (
        {"conferenceData": None, "location": f"{LINK} https://meet.example.com/c-2"},
        None,
    ),
    "E5-no-conference": ({"conferenceData": None}, None),
    "E5-meet": ({"conferenceData": MEET}, None),
    "E5-cancelled": ({"conferenceData": data("c-2"), "status": "cancelled"}, None),
    "E5-another-conference-by-our-property": (
        {"conferenceData": None, "extendedProperties": marked("web", "c-2")},
        Shown(conference=web("c-2"), evidence=Evidence.PROPERTY, strong=False),
    ),
}


@pytest.mark.parametrize(("changes", "expected"), list(OWN.values()), ids=list(OWN))
def test_e5_an_occurrence_may_have_a_conference_of_its_own(
    changes: Json, expected: Shown | None
) -> None:
    """Only another conference than its series' is its own."""
    assert own_conference(parsed(occurrence(**changes)), linked(SERIES), RULES) == expected


@pytest.mark.parametrize(
    "series",
    [
        pytest.param(None, id="E5-series-never-met"),
        pytest.param(Link(event=at("s1")), id="E5-series-that-carries-nothing"),
    ],
)
def test_e5_without_a_series_that_carries_it_every_conference_is_its_own(
    series: Link | None,
) -> None:
    """The occurrence may be listed before its series."""
    assert own_conference(parsed(occurrence()), series, RULES) == by_data(web())
    assert own_conference(parsed(occurrence(conferenceData=None)), series, RULES) is None


def test_e5_an_occurrence_with_a_conference_of_its_own_is_an_event_by_itself() -> None:
    """Its own conference is followed, and the series' one is not touched by it."""
    body = occurrence(conferenceData=data("c-2"), **MOVED)
    assert own_conference(parsed(body), linked(SERIES), RULES) == by_data(web("c-2"))
    assert kinds(carried_out(body).actions) == [Follow, Send]
    replaced = linked(SERIES, web("c-3"), replaces=ConferenceId("c-1"))
    assert own_conference(parsed(occurrence()), replaced, RULES) is None
    by_number = linked(SERIES, web("c-3"), shown_as=ConferenceId("c-1"))
    assert own_conference(parsed(occurrence()), by_number, RULES) is None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(occurrence(originalStartTime=None, **MOVED), id="E8-none"),
        pytest.param(
            occurrence(originalStartTime={"dateTime": "soon"}, **MOVED), id="E8-that-is-no-time"
        ),
        pytest.param(
            {"id": "x", "status": "cancelled", "recurringEventId": "s1"}, id="E8-none-and-cancelled"
        ),
    ],
)
def test_e8_an_occurrence_without_a_readable_original_start_is_malformed(body: Json) -> None:
    """Nobody can tell which occurrence is meant, so none is changed: the event is parked."""
    with pytest.raises(Malformed):
        plan_occurrence(parsed(body), linked(SERIES), RULES)
    assert plan_occurrence(parsed(body), linked(SERIES, zoom("123")), RULES) is None


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"start": None}, id="E8-no-start"),
        pytest.param({"start": {"dateTime": "noon"}}, id="E8-start-that-is-no-time"),
        pytest.param({"end": {"dateTime": "noon"}}, id="E8-end-that-is-no-time"),
    ],
)
def test_e8_an_occurrence_whose_times_cannot_be_read_is_malformed(changes: Json) -> None:
    """No time is guessed for a live occurrence; a cancelled one needs none."""
    with pytest.raises(Malformed):
        plan_occurrence(parsed(occurrence(**changes)), linked(SERIES), RULES)
    cancelled = parsed(occurrence(status="cancelled", **changes))
    assert plan_occurrence(cancelled, linked(SERIES), RULES) == CANCELLED


def test_e5_what_the_provider_does_not_take_makes_no_occurrence_differ() -> None:
    """An occurrence with other guests is like its series for a system that takes no guests."""
    fields = frozenset({"title", "start", "end"})
    rules = replace(RULES, providers=(replace(WEB, fields=fields),))
    link = linked(SERIES, told=told(SERIES, fields))
    guests: Json = {"attendees": [{"email": "dora@example.com"}], "description": "Another"}
    assert plan_occurrence(parsed(occurrence(**guests)), link, rules) is None
    assert plan_occurrence(parsed(occurrence(**guests, **MOVED)), link, rules) is not None


_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["confirmed", "cancelled", "tentative"]),
        "summary": st.sampled_from(["Planning", "Retrospective"]),
        "start": st.sampled_from([occurrence()["start"], MOVED["start"], {"date": "2030-05-09"}]),
        "end": st.sampled_from([occurrence()["end"], MOVED["end"]]),
        "conferenceData": st.sampled_from([data(), data("c-2"), data(None), MEET, None]),
        "location": st.sampled_from([LINK, "https://meet.example.com/c-2", "Room 7"]),
        "organizer": st.sampled_from([{"email": ANNA, "self": True}, {"email": "x@y.z"}, None]),
        "originalStartTime": st.sampled_from([occurrence()["originalStartTime"], None, 7]),
    },
)


@given(edits=st.lists(_CHANGES, min_size=1, max_size=4))
def test_e5_the_provider_ends_up_with_what_the_occurrence_says(edits: list[dict[str, Any]]) -> None:
    """After any edits, telling what is planned leaves nothing to tell, and the last thing told is
    the occurrence's last state."""
    link = linked(SERIES)
    for changes in edits:
        event = parsed(occurrence(**changes))
        try:
            step = plan_occurrence(event, link, RULES)
        except Malformed:
            continue
        if step is None:
            continue
        assert (step.content is None) is event.cancelled
        assert link.carried is not None
        known = link.carried.told or Told()
        noted = replace(known, occurrences={**known.occurrences, ORIGINAL: step.fingerprint})
        link = replace(link, carried=replace(link.carried, told=noted))
        assert plan_occurrence(event, link, RULES) is None
