"""What one changed event means (E2-E4, E6-E8, C4, W4): rows named after the rules, and properties
over any event."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.errors import Malformed
from sync.event import plan
from sync.event.content import BLOCK_BEGIN, BLOCK_END, content_of
from sync.event.plan import (
    Action,
    Delete,
    EndCreation,
    Follow,
    Forget,
    HandOn,
    HideConference,
    LetGo,
    LetGoUnseen,
    NoteEnd,
    Postpone,
    Prove,
    Send,
    SendOccurrences,
    Settle,
    ShowConference,
)
from sync.event.recognise import Shown
from sync.event.series import own_conference, plan_occurrence
from sync.model.conference import Approximation, Creation, Evidence, Fingerprint, Link, Told
from sync.model.event import ConferenceId, Event
from sync.model.provider import Rules
from tests.support.events import (
    ANNA,
    AT_ONCE,
    BEN,
    GRACE,
    MEET,
    MOVED,
    NOW,
    RULES,
    SERIES,
    TOMBSTONE,
    WEB,
    Json,
    at,
    by_data,
    by_location,
    carried,
    carried_out,
    data,
    decide,
    item,
    kinds,
    linked,
    marked,
    occurrence,
    parsed,
    past,
    requested,
    sent,
    told,
    web,
    zoom,
)

LINK = "https://meet.example.com/c-1"


def creation(conference_id: str | None = "c-1", **changes: Any) -> Creation:
    """A conference that we made for the event, whose time to be looked at has come."""
    named = ConferenceId(conference_id) if conference_id else None
    made = Creation(key="k", provider="web", since=NOW - GRACE, due=NOW, conference_id=named)
    return replace(made, **changes)


# E2: deletions.


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(TOMBSTONE, id="E2-nothing-but-an-id"),
        pytest.param({**TOMBSTONE, "kind": "calendar#event", "etag": '"2"'}, id="E2-minimal"),
        pytest.param(item(data(), status="cancelled"), id="E2-whole"),
        pytest.param(item(data("c-2"), status="cancelled"), id="E2-whole-with-another-conference"),
        pytest.param(
            item(data(None), status="cancelled"), id="E2-whole-with-a-nameless-conference"
        ),
        pytest.param(item(status="cancelled", start=None, end=None), id="E2-without-times"),
        pytest.param(
            item(status="cancelled", description="https://meet.example.com/c-1"),
            id="E3-whole-with-its-link-in-the-text",
        ),
    ],
)
def test_e2_a_cancelled_event_lets_its_conference_go(body: Json) -> None:
    """The link is what we remember: it lets go of its conference, and nothing is deleted before
    the grace is over."""
    link = linked(item(data()))
    assert decide(body, link) == [LetGo(carried=carried(item(data())))]
    assert kinds(carried_out(body, link).actions) == [LetGo]


def test_e2_without_a_grace_the_conference_is_deleted_at_once() -> None:
    """SYNC_DELETE_GRACE_SECONDS=0 lets go and deletes in one run."""
    outcome = carried_out(TOMBSTONE, linked(item(data())), AT_ONCE)
    assert kinds(outcome.actions) == [LetGo]
    assert outcome.link is None


def test_e2_an_unknown_tombstone_means_nothing() -> None:
    """A deleted event that was never linked and shows nothing makes no action."""
    assert decide(TOMBSTONE) == []
    assert decide(item(status="cancelled")) == []


def test_e2_made_and_deleted_before_it_was_seen_alive() -> None:
    """A tombstone that still shows its conference, never met before, leaves nothing behind at
    the provider."""
    body = item(data(), status="cancelled")
    assert decide(body) == [LetGoUnseen(shown=by_data(web()))]
    outcome = carried_out(body)
    assert [gone.conference for gone in outcome.remembered.letting_go] == [web()]
    assert kinds(decide(body, outcome.link, RULES, NOW + GRACE)) == [Delete]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(occurrence(status="cancelled"), id="E5-a-deleted-occurrence"),
        pytest.param(item(data(None), status="cancelled"), id="E2-a-nameless-conference"),
        pytest.param(
            item(data(), status="cancelled", eventType="outOfOffice"), id="E1-another-type"
        ),
    ],
)
def test_e2_what_was_deleted_unseen_and_names_nothing_of_ours_means_nothing(body: Json) -> None:
    """An occurrence shows the conference of its series; what names no conference has none."""
    assert decide(body) == []


@pytest.mark.parametrize(
    ("seconds_ago", "expected"),
    [
        pytest.param(0, Settle(past=past(web(), 0)), id="E2-grace-began"),
        pytest.param(59, Settle(past=past(web(), 59)), id="E2-grace-not-over"),
        pytest.param(60, Delete(past=past(web(), 60)), id="E2-grace-over"),
        pytest.param(86400, Delete(past=past(web(), 86400)), id="E2-grace-long-over"),
    ],
)
def test_e2_after_the_grace_the_conference_is_deleted(seconds_ago: float, expected: Action) -> None:
    """The second look deletes what did not come back, and not a moment earlier."""
    link = Link(event=at(), letting_go=(past(web(), seconds_ago),))
    assert decide(TOMBSTONE, link) == [expected]
    assert decide(item(), link) == [expected]


@pytest.mark.parametrize(
    "seconds_ago", [pytest.param(10, id="E2-in-time"), pytest.param(600, id="E2-late")]
)
def test_e2_a_restored_event_keeps_its_conference(seconds_ago: float) -> None:
    """An event that is back before its conference was deleted follows it again, and is told
    nothing it knows."""
    body = item(data())
    link = Link(event=at(), letting_go=(past(web(), seconds_ago, told=told(body)),))
    follow = Follow(shown=by_data(web()), proven=True)
    assert decide(body, link) == [follow]
    outcome = carried_out(body, link)
    assert outcome.actions == [follow]
    assert outcome.remembered.letting_go == ()


def test_e2_a_restored_event_that_moved_is_sent() -> None:
    """What changed while the event was in the bin is told to the provider when it comes back."""
    before, after = item(data()), item(data(), summary="Another title")
    link = Link(event=at(), letting_go=(past(web(), 10, told=told(before)),))
    actions = carried_out(after, link).actions
    assert kinds(actions) == [Follow, Send]
    assert isinstance(actions[1], Send)
    assert actions[1].changed == {"title"}


# E3: conferences removed and replaced.


@pytest.mark.parametrize(
    "conference",
    [
        pytest.param(None, id="E3-removed"),
        pytest.param(MEET, id="E3-meet-instead"),
        pytest.param(requested("pending"), id="E3-another-one-pending"),
        pytest.param(data("1", "Their Web Conference"), id="E3-somebody-else-s-instead"),
    ],
)
def test_e3_a_removed_conference_is_let_go(conference: Json | None) -> None:
    """An event that carries no conference of ours any more lets it go, with the same grace."""
    link = linked(item(data()))
    assert link.carried is not None
    assert decide(item(conference), link) == [LetGo(carried=link.carried)]
    assert kinds(carried_out(item(conference), link).actions) == [LetGo]
    assert carried_out(item(conference), link, AT_ONCE).link is None


def test_e3_an_event_that_becomes_another_type_lets_go() -> None:
    """An event type that is not ours carries no conference of ours."""
    link = linked(item(data()))
    assert kinds(decide(item(data(), eventType="outOfOffice"), link)) == [LetGo]


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        pytest.param(item(data("c-2")), by_data(web("c-2")), id="E3-same-provider"),
        pytest.param(
            item(location="https://meet.example.com/c-2"),
            by_location(web("c-2")),
            id="E3-by-its-location",
        ),
        pytest.param(
            item(data("c-2"), location="https://meet.example.com/c-1"),
            by_data(web("c-2")),
            id="E3-its-old-link-left-in-the-location",
        ),
    ],
)
def test_e3_a_replaced_conference_is_let_go_and_the_new_one_followed(
    body: Json, shown: Shown
) -> None:
    """First the old one goes, then the new one is followed and told everything."""
    link = linked(item(data("c-1")))
    assert link.carried is not None
    assert decide(body, link) == [LetGo(carried=link.carried), Follow(shown=shown, proven=False)]
    outcome = carried_out(body, link)
    assert kinds(outcome.done) == [LetGo, Follow, Send]
    send = outcome.done[2]
    assert isinstance(send, Send)
    assert send.changed == frozenset(sent(body))
    assert outcome.remembered.carried is not None
    assert outcome.remembered.carried.conference == web("c-2")


def test_e3_a_replaced_conference_of_another_provider_is_let_go() -> None:
    """The provider may change with the conference."""
    link = linked(item(data()))
    assert link.carried is not None
    assert decide(item(data("123", "Zoom Meeting")), link) == [
        LetGo(carried=link.carried),
        Follow(shown=by_data(zoom("123")), proven=False),
    ]


def test_e3_there_and_back_again() -> None:
    """Going back to the conference that was let go keeps it, and lets go of the one in between."""
    body = item(data("c-1"))
    link = replace(linked(body, web("c-2")), letting_go=(past(web("c-1"), 10, told=told(body)),))
    assert link.carried is not None
    actions = [LetGo(carried=link.carried), Follow(shown=by_data(web("c-1")), proven=True)]
    assert decide(body, link) == actions
    outcome = carried_out(body, link)
    assert outcome.done == actions
    assert [gone.conference for gone in outcome.remembered.letting_go] == [web("c-2")]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"location": LINK}, id="E3-in-the-location"),
        pytest.param({"description": f"Bring cake {LINK}"}, id="E3-in-the-description"),
        pytest.param({"description": f'<a href="{LINK}">here</a>'}, id="E3-in-html"),
        pytest.param(
            {"location": f"{LINK} https://meet.example.com/c-2"}, id="E3-beside-another-link"
        ),
        pytest.param(
            {"location": "https://meet.example.com/c-2", "description": LINK},
            id="E3-in-the-description-while-the-location-shows-another",
        ),
        pytest.param(
            {"description": LINK, "extendedProperties": marked("web", "c-2")},
            id="E3-while-anybody-s-property-names-another",
        ),
        pytest.param({"location": LINK, "conferenceData": MEET}, id="E3-while-meet-was-added"),
        pytest.param(
            {"location": LINK, "conferenceData": requested("pending")}, id="E3-while-one-is-made"
        ),
    ],
)
def test_e3_a_conference_whose_link_stands_in_the_event_is_not_removed(changes: Json) -> None:
    """Its conference data is gone, its link is not: the event goes on to be followed."""
    body = item(**changes)
    actions = decide(body, linked(item(data())))
    assert [action for action in actions if not isinstance(action, Send | HideConference)] == []
    assert decide(body, linked(body, strong=False)) in ([], [HideConference()])


def test_e3_a_property_that_we_wrote_replaces_a_conference_whose_link_stands() -> None:
    """What a record says that we wrote is strong evidence, and no old link outweighs it."""
    body = item(description=LINK, extendedProperties=marked("web", "c-2"))
    link = replace(linked(item(data())), written=ConferenceId("c-2"))
    assert link.carried is not None
    shown = Shown(conference=web("c-2"), evidence=Evidence.PROPERTY, strong=True)
    assert decide(body, link) == [LetGo(carried=link.carried), Follow(shown=shown, proven=False)]


def test_e3_what_was_let_go_is_not_deleted_while_its_link_stands() -> None:
    """At the end of the grace the event is looked at: a link in its text keeps the conference, and
    later the event is looked at again."""
    body = item(description=f"See {LINK}")
    early = Link(event=at(), letting_go=(past(web(), 59),))
    assert decide(body, early) == []
    link = Link(event=at(), letting_go=(past(web(), 60),))
    assert decide(body, link) == [Postpone(past=past(web(), 60))]
    outcome = carried_out(body, link)
    assert decide(body, outcome.link) == []
    shown_by_number = Link(
        event=at(), letting_go=(past(web("c-0"), 61, shown_as=ConferenceId("c-1")),)
    )
    assert kinds(decide(body, shown_by_number)) == [Postpone]
    assert kinds(decide(item(description="See the wiki"), link)) == [Delete]
    assert kinds(decide(TOMBSTONE | {"description": f"See {LINK}"}, link)) == [Delete]


def test_e3_each_conference_that_was_let_go_is_looked_at_by_itself() -> None:
    """One comes back, one is kept by a text, one is due, one is not: none hides another."""
    due, early = past(web("c-2"), 61), past(web("c-3"), 1)
    link = Link(event=at(), letting_go=(past(web("c-1"), 61), due, early))
    back = [Delete(past=due), Settle(past=early), Follow(shown=by_data(web("c-1")), proven=True)]
    assert decide(item(data("c-1")), link) == back
    kept = [Postpone(past=past(web("c-1"), 61)), Delete(past=due), Settle(past=early)]
    assert decide(item(description=LINK), link) == kept
    other = replace(link, letting_go=link.letting_go[::-1])
    assert decide(item(description=LINK), other) == kept[::-1]
    another = decide(item(data("c-4")), link)
    assert kinds(another) == [Delete, Delete, Settle, Follow]


# E4: what matters, and what does not.

MATTERS: dict[str, tuple[Json, set[str]]] = {
    "E4-title": ({"summary": "Retrospective"}, {"title"}),
    "E4-title-removed": ({"summary": None}, {"title"}),
    "E4-description": ({"description": "Bring tea"}, {"description"}),
    "E4-description-removed": ({"description": None}, {"description"}),
    "E4-start": (
        {"start": {"dateTime": "2030-05-02T12:30:00+02:00", "timeZone": "Europe/Berlin"}},
        {"start"},
    ),
    "E4-end": (
        {"end": {"dateTime": "2030-05-02T14:00:00+02:00", "timeZone": "Europe/Berlin"}},
        {"end"},
    ),
    "E4-moved": (
        {
            "start": {"dateTime": "2030-05-03T12:00:00+02:00", "timeZone": "Europe/Berlin"},
            "end": {"dateTime": "2030-05-03T13:00:00+02:00", "timeZone": "Europe/Berlin"},
        },
        {"start", "end"},
    ),
    "E4-time-zone": (
        {"start": {"dateTime": "2030-05-02T12:00:00+02:00", "timeZone": "Europe/Paris"}},
        {"time_zone"},
    ),
    "E4-recurrence": ({"recurrence": ["RRULE:FREQ=WEEKLY"]}, {"recurrence"}),
    "E4-all-day": (
        {"start": {"date": "2030-05-02"}, "end": {"date": "2030-05-03"}},
        {"start", "end", "time_zone"},
    ),
    "E4-attendee-added": (
        {"attendees": [{"email": f"{name}@example.com"} for name in ("ben", "cleo", "dora")]},
        {"attendees"},
    ),
    "E4-attendees-removed": ({"attendees": None}, {"attendees"}),
}
ORGANIZER: Json = {"organizer": {"email": "dora@example.com", "self": True}}


@pytest.mark.parametrize(("changes", "expected"), list(MATTERS.values()), ids=list(MATTERS))
def test_e4_a_change_that_matters_updates_the_conference(changes: Json, expected: set[str]) -> None:
    """Each field that the provider takes makes one call, which names what differs and carries
    the whole."""
    body = item(data(), **changes)
    actions = decide(body, linked(item(data())))
    assert kinds(actions) == [Send]
    assert isinstance(actions[0], Send)
    assert actions[0].changed - {"duration"} == expected
    assert actions[0].fingerprint == sent(body)
    assert actions[0].content == content_of(parsed(body), at())


def test_e4_another_organizer_updates_the_conference_once_it_is_proven() -> None:
    """The organizer matters too, but another one needs another proof first (O2)."""
    body = item(data(), **ORGANIZER)
    actions = carried_out(body, linked(item(data()))).actions
    assert kinds(actions) == [Prove, Send]
    assert isinstance(actions[1], Send)
    assert actions[1].changed == {"organizer"}


def our_block(text: str = "Join: https://meet.example.com/c-1") -> str:
    return f"\n\n{BLOCK_BEGIN}\n{text}\n{BLOCK_END}"


IDLE: dict[str, Json] = {
    "E4-nothing": {},
    "E4-etag": {"etag": '"2"'},
    "E4-colour": {"colorId": "7"},
    "E4-reminders": {"reminders": {"useDefault": False, "overrides": []}},
    "E4-answer": {
        "attendees": [
            {"email": "ben@example.com", "responseStatus": "declined"},
            {"email": "cleo@example.com"},
        ]
    },
    "E4-order-of-attendees": {
        "attendees": [{"email": "cleo@example.com"}, {"email": "ben@example.com"}]
    },
    "E4-location": {"location": "Room 5"},
    "E4-transparency": {"transparency": "transparent"},
    "E4-visibility": {"visibility": "private"},
    "E4-updated": {"updated": "2030-05-01T00:00:00Z", "sequence": 4},
    "E4-status": {"status": "tentative"},
    "E4-other-properties": {
        "extendedProperties": {"private": {"theirs": "1"}, "shared": {"theirs": "2"}}
    },
    "E4-our-properties": {"extendedProperties": marked("web", "c-1")},
    "E4-our-block": {"description": "Bring cake" + our_block()},
    "E4-our-block-as-html": {
        "description": "Bring cake<br><br>" + our_block().strip().replace("\n", "<br>")
    },
    "E4-unknown-fields": {"somethingNew": {"deep": [1, 2]}},
    "E4-same-moments-with-another-offset": {
        "start": {"dateTime": "2030-05-02T10:00:00Z", "timeZone": "Europe/Berlin"},
        "end": {"dateTime": "2030-05-02T06:00:00-05:00", "timeZone": "Europe/Berlin"},
    },
    "E4-same-moments-with-fractions": {
        "start": {"dateTime": "2030-05-02T12:00:00.000+02:00", "timeZone": "Europe/Berlin"}
    },
    "E4-zone-from-the-calendar": {"start": {"dateTime": "2030-05-02T12:00:00+02:00"}},
    "E4-moment-without-an-offset": {
        "start": {"dateTime": "2030-05-02T12:00:00", "timeZone": "Europe/Berlin"}
    },
    "E4-entry-points": {"conferenceData": data("c-1", "My Web Conference", "tel:+1-555-0100")},
    "E4-recognised-otherwise": {"conferenceData": None, "extendedProperties": marked("web", "c-1")},
    "E4-recognised-by-its-location-now": {"conferenceData": None, "location": LINK},
}


@pytest.mark.parametrize("changes", list(IDLE.values()), ids=list(IDLE))
def test_e4_a_change_that_does_not_matter_makes_no_call(changes: Json) -> None:
    """Colours, answers, reminders, other spellings of the same moment and our own writes end
    here."""
    assert decide(item(**{"conferenceData": data(), **changes}), linked(item(data()))) == []


@pytest.mark.parametrize("name", [name for name in MATTERS if re.search("descr|attend", name)])
def test_e4_a_field_that_the_provider_does_not_take_makes_no_call(name: str) -> None:
    """What the provider has no use for does not exist for it."""
    conference = data("123", "Zoom Meeting")
    assert decide(item(conference, **MATTERS[name][0]), linked(item(conference), zoom("123"))) == []


def test_e4_an_organizer_that_the_provider_does_not_take_makes_no_call() -> None:
    """Only the proof is made again (O2)."""
    conference = data("123", "Zoom Meeting")
    link = linked(item(conference), zoom("123"))
    assert kinds(carried_out(item(conference, **ORGANIZER), link).actions) == [Prove]


def test_e4_first_sight_sends_the_present_state_once() -> None:
    """An event met for the first time is told whole; once that is noted, it is told no more."""
    body = item(data())
    assert decide(body) == [Follow(shown=by_data(web()), proven=False)]
    outcome = carried_out(body)
    assert outcome.actions == [
        Follow(shown=by_data(web()), proven=False),
        Send(
            content=content_of(parsed(body), at()),
            fingerprint=sent(body),
            changed=frozenset(sent(body)),
        ),
    ]
    assert decide(body, outcome.link) == []


@pytest.mark.parametrize(
    ("known", "changed"),
    [
        pytest.param(None, frozenset(sent(item())), id="S8-nothing-is-sure"),
        pytest.param(Told(), frozenset(sent(item())), id="S8-no-field-is-sure"),
        pytest.param(
            Told(
                fingerprint=Fingerprint(
                    {name: each for name, each in sent(item()).items() if name != "title"}
                )
            ),
            {"title"},
            id="S8-one-field-is-unsure",
        ),
    ],
)
def test_e4_s8_what_is_unsure_is_sent(known: Told | None, changed: frozenset[str]) -> None:
    """A field of which nobody knows whether it arrived counts as one that differs."""
    (action,) = decide(item(data()), linked(item(data()), told=known))
    assert isinstance(action, Send)
    assert action.changed == changed


def test_e4_a_conference_whose_provider_is_not_configured_any_more_is_left_alone() -> None:
    """A provider taken out of the settings gets no calls, and its conference is let go only by
    name."""
    without_zoom = replace(RULES, providers=(WEB,))
    conference = data("123", "Zoom Meeting")
    assert decide(item(conference), None, without_zoom) == []
    link = linked(item(conference), zoom("123"))
    assert kinds(decide(item(conference), link, without_zoom)) == [LetGo]


# O1, O2: what needs a proof.


@pytest.mark.parametrize(
    ("link", "proven"),
    [
        pytest.param(None, False, id="O2-never-seen"),
        pytest.param(Link(event=at()), False, id="O2-nothing-remembered"),
        pytest.param(Link(event=at(), letting_go=(past(web()),)), True, id="O2-let-go-and-back"),
        pytest.param(
            Link(event=at(), letting_go=(past(web(), proven_for=BEN),)),
            False,
            id="O2-let-go-by-another-organizer",
        ),
        pytest.param(
            Link(event=at(), letting_go=(past(web(), proven_for=None),)),
            False,
            id="O2-let-go-by-an-earlier-version",
        ),
        pytest.param(
            Link(event=at(), letting_go=(past(web("c-2")),)), False, id="O2-another-was-let-go"
        ),
        pytest.param(
            Link(
                event=at(),
                creations=(creation(),),
            ),
            True,
            id="O2-made-by-us-for-this-event",
        ),
        pytest.param(
            Link(
                event=at(),
                creations=(creation(provider="zoom", due=NOW + GRACE),),
            ),
            False,
            id="O2-made-by-us-at-another-provider",
        ),
        pytest.param(
            Link(
                event=at(),
                creations=(creation(deleted=True),),
            ),
            False,
            id="O2-made-by-us-and-deleted",
        ),
    ],
)
def test_o2_what_was_made_by_us_or_proven_before_needs_no_proof(
    link: Link | None, proven: bool
) -> None:
    """Everything else is proven by one read, whatever the evidence."""
    assert Follow(shown=by_data(web()), proven=proven) in decide(item(data()), link)


@pytest.mark.parametrize(
    ("body", "changes", "expected"),
    [
        pytest.param(item(data()), {}, [], id="O2-as-it-was-proven"),
        pytest.param(item(data(), **MOVED), {}, [Send], id="O2-another-time"),
        pytest.param(
            item(data(), recurrence=["RRULE:FREQ=DAILY"]), {}, [Send], id="O2-made-a-series"
        ),
        pytest.param(
            item(data()), {"proven_for": BEN}, [Prove], id="O2-another-organizer-proves-again"
        ),
        pytest.param(
            item(data()),
            {"proven_for": BEN, "leading": False, "told": None},
            [Prove],
            id="O2-a-follower-of-another-organizer-too",
        ),
        pytest.param(
            item(data()), {"proven_for": None}, [], id="O1-earlier-version-and-nothing-to-do"
        ),
        pytest.param(
            item(data(), summary="Another title"),
            {"proven_for": None},
            [Prove],
            id="O1-earlier-version-and-something-to-do",
        ),
        pytest.param(
            item(data(), organizer={"self": True}),
            {"proven_for": ""},
            [Send],
            id="O2-an-organizer-without-an-address",
        ),
    ],
)
def test_o2_a_followed_event_is_proven_again_for_another_organizer_alone(
    body: Json, changes: dict[str, Any], expected: list[type[Action]]
) -> None:
    """Another time, or a series made of it, needs no second proof; nothing is sent before one."""
    assert kinds(decide(body, linked(item(data()), **changes))) == expected


def test_o2_what_we_made_for_this_event_is_never_proven() -> None:
    """Neither for another organizer, nor when an earlier version linked it."""
    made = creation(carried=True)
    for proven_for in (BEN, None):
        link = replace(linked(item(data()), proven_for=proven_for), creations=(made,))
        assert kinds(decide(item(data(), summary="Another"), link)) == [Send]


@pytest.mark.parametrize(
    ("body", "strong", "expected"),
    [
        pytest.param(item(data()), False, by_data(web()), id="O2-by-what-the-event-shows"),
        pytest.param(item(location=LINK), True, by_location(web()), id="O2-by-its-location-now"),
        pytest.param(
            item(description=LINK),
            True,
            Shown(conference=web(), evidence=Evidence.LOCATION, strong=True),
            id="O2-by-what-is-remembered",
        ),
        pytest.param(
            item(description=LINK, location="https://meet.example.com/c-2"),
            False,
            by_location(web()),
            id="O2-not-by-another-conference-that-it-shows",
        ),
    ],
)
def test_o2_the_second_proof_is_of_the_conference_that_is_followed(
    body: Json, strong: bool, expected: Shown
) -> None:
    """It rests on the evidence that the event shows now, or showed when it was linked."""
    link = linked(body, proven_for=BEN, strong=strong)
    assert decide(body, link) == [Prove(shown=expected)]


# E5, as far as the series itself is concerned; its occurrences: test_series_rules.


def test_e5_deleting_the_series_deletes_its_conference() -> None:
    """The series owns the conference, and takes it along."""
    link = linked(SERIES)
    assert link.carried is not None
    assert decide({"id": "s1", "status": "cancelled"}, link) == [LetGo(carried=link.carried)]


SHARED = carried(SERIES)


@pytest.mark.parametrize("own", ["c-1", "c-2"])
def test_e5_an_occurrence_that_shares_again_lets_its_own_conference_go(own: str) -> None:
    """Also one that it led and that is its series' now. It follows nothing instead."""
    body = occurrence()
    link = linked(body, web(own))
    assert link.carried is not None
    assert decide(body, link, shared=SHARED) == [LetGo(carried=link.carried)]


def test_e5_an_occurrence_keeps_its_own_conference_while_the_link_stands() -> None:
    """Its conference data is gone, and the link of its own conference stands in the text (E3)."""
    body = occurrence(conferenceData=None, description="https://meet.example.com/c-2")
    assert decide(body, linked(body, web("c-2")), shared=SHARED) == []


def test_e5_the_links_of_what_an_occurrence_shares_keep_nothing() -> None:
    """A conference that it let go is not kept by the link that is there for its series."""
    body = occurrence(description=LINK)
    gone = past(web("c-1"), 60)
    link = Link(event=at(body["id"]), letting_go=(gone,))
    assert decide(body | {"conferenceData": {}}, link) == [Postpone(past=gone)]
    assert decide(body, link, shared=SHARED) == [Delete(past=gone)]


def test_e5_a_series_met_for_the_first_time_tells_its_occurrences_too() -> None:
    """What differs already is looked up after the series was sent."""
    outcome = carried_out(SERIES)
    assert kinds(outcome.actions) == [Follow, Send, SendOccurrences]
    assert outcome.actions[2] == SendOccurrences(ical_uid="s1@google.com")
    send = outcome.actions[1]
    assert isinstance(send, Send)
    assert send.occurrences
    zoom_series = item(data("123", "Zoom Meeting"), recurrence=["RRULE:FREQ=WEEKLY"])
    assert kinds(carried_out(zoom_series).actions) == [Follow, Send]


@pytest.mark.parametrize(
    ("drops", "changes", "expected"),
    [
        pytest.param(
            True,
            {"recurrence": ["RRULE:FREQ=DAILY"]},
            [Send, SendOccurrences],
            id="E5-dropped-when-moved",
        ),
        pytest.param(
            True,
            {"summary": "Another title"},
            [Send, SendOccurrences],
            id="E5-looked-up-when-renamed",
        ),
        pytest.param(False, {"recurrence": ["RRULE:FREQ=DAILY"]}, [Send], id="E5-never-dropped"),
    ],
)
def test_e5_occurrences_that_the_provider_drops_are_told_again(
    drops: bool, changes: Json, expected: list[type[Action]]
) -> None:
    """A system that forgets occurrences when the series moves hears of them anew. When the series
    is renamed, one that was like the series may keep its own name."""
    rules = replace(RULES, providers=(replace(WEB, drops_occurrences=drops),))
    actions = decide(SERIES | changes, linked(SERIES), rules)
    assert kinds(actions) == expected
    assert isinstance(actions[0], Send)
    assert actions[0].occurrences is (SendOccurrences in expected)
    assert actions[0].dropped is (drops and "recurrence" in changes)


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        pytest.param(
            {"end": {"dateTime": "2030-05-02T14:00:00+02:00", "timeZone": "Europe/Berlin"}},
            {"end", "duration"},
            id="E5-longer",
        ),
        pytest.param(
            {
                "start": {"dateTime": "2030-05-02T08:00:00+01:00", "timeZone": "Europe/London"},
                "end": {"dateTime": "2030-05-02T10:00:00+01:00", "timeZone": "Europe/London"},
                "recurrence": ["RRULE:FREQ=DAILY"],
            },
            {"start", "end", "time_zone", "recurrence", "duration"},
            id="E5-other-in-all-times",
        ),
    ],
)
def test_e5_new_times_of_a_series_that_keeps_its_occurrences_are_told_alone(
    changes: Json, changed: set[str]
) -> None:
    """Calendar lists an occurrence whose time differs, so none has to be looked up."""
    rules = replace(RULES, providers=(replace(WEB, drops_occurrences=False),))
    (send,) = decide(SERIES | changes, linked(SERIES), rules)
    assert isinstance(send, Send)
    assert send.changed == changed


def test_e5_occurrences_that_were_to_be_told_when_a_run_stopped_are_told() -> None:
    """The series was sent, and then came a crash: its occurrences follow."""
    pending = linked(SERIES, told=told(SERIES, occurrences_pending=True))
    assert decide(SERIES, pending) == [SendOccurrences(ical_uid="s1@google.com")]
    assert kinds(decide(SERIES | {"summary": "Another"}, pending)) == [Send, SendOccurrences]
    single = item(data())
    assert decide(single, linked(single, told=told(single, occurrences_pending=True))) == []


@pytest.mark.parametrize(
    ("again_at", "expected"),
    [
        pytest.param(None, [], id="C1-nothing-more-to-send"),
        pytest.param(NOW + timedelta(seconds=1), [], id="C1-not-yet"),
        pytest.param(NOW, [Send], id="C1-it-is-time"),
    ],
)
def test_c1_a_series_that_its_provider_cannot_hold_is_sent_again_in_time(
    again_at: Any, expected: list[type[Action]]
) -> None:
    """A copy with the next dates alone is extended before it runs out."""
    approximation = Approximation(reason="it holds 50 dates", again_at=again_at)
    link = linked(SERIES, told=told(SERIES, approximation=approximation))
    actions = decide(SERIES, link)
    assert kinds(actions) == expected
    assert [action.changed for action in actions if isinstance(action, Send)] == [
        {"recurrence"} for _ in expected
    ]
    renamed = [each for each in decide(SERIES | {"summary": "x"}, link) if isinstance(each, Send)]
    assert [each.changed for each in renamed] == [
        {"title", "recurrence"} if expected else {"title"}
    ]


# E6: copies that do not decide, and what we cannot see.

GUEST: Json = {"organizer": {"email": "dora@example.com"}}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(item(data(), **GUEST), id="E6-attendee"),
        pytest.param(item(data(), **GUEST, summary="My own title"), id="E6-edited"),
        pytest.param(item(data(), **GUEST, status="cancelled"), id="E6-declined-and-removed"),
        pytest.param(item(**GUEST), id="E6-conference-removed"),
        pytest.param(item(data(), organizer={"email": ANNA, "self": False}), id="E6-self-is-false"),
        pytest.param(
            item(data(), organizer={"displayName": "Somebody"}),
            id="E6-organizer-without-an-address",
        ),
        pytest.param(item(data(None), **GUEST), id="E6-nameless-conference"),
        pytest.param(item(location=LINK, **GUEST), id="E6-a-note-with-a-link"),
    ],
)
def test_e6_an_attendee_s_copy_changes_nothing(body: Json) -> None:
    """Whatever happens to a copy that does not decide, nobody is told."""
    assert decide(body) == []


def test_e6_an_organizer_who_gives_the_event_away_forgets_it() -> None:
    """The copy that no longer decides stops leading; the conference lives on with the new
    organizer."""
    link = linked(item(data()))
    assert link.carried is not None
    assert decide(item(data(), **GUEST), link) == [Forget(carried=link.carried)]
    assert carried_out(item(data(), **GUEST), link).link is None


def test_e6_what_was_let_go_before_is_still_settled() -> None:
    """A grace that began while the copy decided is carried to its end."""
    link = Link(event=at(), letting_go=(past(web(), 61),))
    assert decide(item(data(), **GUEST), link) == [Delete(past=past(web(), 61))]


HIDDEN: dict[str, Json] = {
    "E6-no-organizer": item(data(), organizer=None),
    "E6-an-organizer-that-is-no-object": item(data(), organizer="anna"),
    "E6-an-empty-organizer": item(data(), organizer={}),
    "E6-free-busy": {
        "id": "e1",
        "status": "confirmed",
        "start": {"dateTime": "2030-05-02T12:00:00Z"},
        "end": {"dateTime": "2030-05-02T13:00:00Z"},
        "visibility": "private",
        "iCalUID": "e1@google.com",
    },
    "E6-private-to-a-reader": {
        "id": "e1",
        "status": "confirmed",
        "start": {"date": "2030-05-02"},
        "end": {"date": "2030-05-03"},
        "visibility": "private",
    },
    "E6-a-confirmed-event-without-anything": {"id": "e1", "summary": "Planning"},
}


@pytest.mark.parametrize("body", list(HIDDEN.values()), ids=list(HIDDEN))
def test_e6_an_event_whose_details_are_hidden_says_nothing(body: Json) -> None:
    """All stays as it is: nothing is let go, and no grace that began earlier is ended."""
    assert decide(body) == []
    assert decide(body, linked(item(data()))) == []
    assert decide(body, linked(item(data()), leading=False, proven_for=BEN)) == []
    assert decide(body, Link(event=at(), letting_go=(past(web(), 61),))) == []


# E7: several events, one conference.


def test_e7_a_follower_sends_nothing() -> None:
    """An event that does not lead tells nobody of its changes."""
    link = linked(item(data()), leading=False, told=None)
    assert decide(item(data(), summary="A copy's own title"), link) == []


def test_e7_a_follower_that_moves_is_remembered_with_its_new_end() -> None:
    """Whether it has dates ahead counts when the leader is over; nobody is told of its times."""
    moved = item(data(), **MOVED)
    outcome = carried_out(moved, linked(item(data()), leading=False, told=None))
    assert kinds(outcome.actions) == [NoteEnd]
    assert decide(moved, outcome.link) == []


def test_e7_a_follower_lets_go_like_any_other() -> None:
    """Whether the conference is deleted then is decided where all events that carry it are
    known."""
    link = linked(item(data()), leading=False, told=None)
    assert link.carried is not None
    assert decide(TOMBSTONE, link) == [LetGo(carried=link.carried)]
    assert decide(item(), link) == [LetGo(carried=link.carried)]


@pytest.mark.parametrize(
    ("ends", "changes", "expected"),
    [
        pytest.param(NOW, {}, [HandOn], id="E7-over-at-this-moment"),
        pytest.param(NOW - timedelta(days=9), {}, [HandOn], id="E7-long-over"),
        pytest.param(NOW + timedelta(seconds=1), {}, [], id="E7-not-over-yet"),
        pytest.param(NOW, {"over_at": None}, [HandOn], id="E7-over-by-this-very-change"),
        pytest.param(NOW, {"over_seen": True}, [], id="E7-looked-at-before"),
        pytest.param(
            NOW,
            {"over_seen": True, "over_at": NOW - timedelta(days=9)},
            [HandOn],
            id="E7-another-end-was-looked-at",
        ),
        pytest.param(NOW, {"leading": False}, [], id="E7-a-follower"),
    ],
)
def test_e7_a_leader_whose_last_date_is_over_hands_on_once(
    ends: datetime, changes: dict[str, Any], expected: list[type[Action]]
) -> None:
    """An event with dates ahead leads from now on, before anything else is sent."""
    times = {
        "start": {"dateTime": (ends - timedelta(hours=1)).isoformat(), "timeZone": "UTC"},
        "end": {"dateTime": ends.isoformat(), "timeZone": "UTC"},
    }
    body = item(data(), **times)
    outcome = carried_out(body, linked(body, **changes))
    assert kinds(outcome.actions) == expected
    assert decide(outcome.body, outcome.link) == []
    if expected:
        renamed = item(data(), summary="Another title", **times)
        assert kinds(decide(renamed, linked(body, **changes))) == [HandOn, Send]


def test_e7_a_series_that_never_ends_never_hands_on() -> None:
    """There is no last date."""
    endless = item(data(), recurrence=["RRULE:FREQ=DAILY"])
    assert decide(endless, linked(endless), now=NOW + timedelta(days=900)) == []


# C4 and W4: a conference that was created anew, and what we wrote instead of conference data.


def test_c4_an_event_that_still_shows_the_old_conference_is_given_the_new_one() -> None:
    """The conference id that was replaced counts as ours until the event shows the new one."""
    link = linked(item(data("c-1")), web("c-2"), replaces=ConferenceId("c-1"))
    assert decide(item(data("c-1")), link) == [ShowConference()]
    assert decide(item(data("c-2")), link) == []
    assert kinds(decide(item(data("c-3")), link)) == [LetGo, Follow]


@pytest.mark.parametrize(
    "beside",
    [
        pytest.param("", id="C4-link-in-the-description-alone"),
        pytest.param("https://meet.example.com/c-9", id="C4-beside-another-link"),
    ],
)
def test_c4_an_event_in_whose_description_the_old_link_stands_is_given_the_new_one(
    beside: str,
) -> None:
    """Its link is not removed (E3), so it carries the new one, and leads nobody there without."""
    in_text = item(description=LINK, location=beside)
    kept = linked(in_text, web("c-2"), replaces=ConferenceId("c-1"))
    assert decide(in_text, kept) == [ShowConference()]


def test_w4_our_text_is_taken_away_when_the_event_carries_another_conference() -> None:
    """A conference that a person chose instead is not hidden behind what we wrote."""
    body = item(data("c-2"), extendedProperties=marked("web", "c-1"))
    link = linked(item(data("c-1")), web("c-1"))
    outcome = carried_out(body, link)
    assert kinds(outcome.done) == [LetGo, Follow, Send, HideConference]
    assert kinds(decide(outcome.body, outcome.link)) == [Settle]
    assert decide(item(data("c-1"), extendedProperties=marked("web", "c-1")), link) == []


@pytest.mark.parametrize(
    ("body", "made", "ends"),
    [
        pytest.param(TOMBSTONE, creation(), True, id="C4-its-event-is-deleted"),
        pytest.param(
            item(data(), status="cancelled"), creation(), True, id="C4-its-event-is-deleted-whole"
        ),
        pytest.param(item(), creation(), True, id="A5-no-event-carries-it"),
        pytest.param(item(data("c-2")), creation(), True, id="A5-the-event-carries-another"),
        pytest.param(item(), creation(due=NOW + GRACE), False, id="A5-not-yet"),
        pytest.param(item(), creation(carried=True), False, id="C4-it-was-carried"),
        pytest.param(item(), creation(deleted=True), False, id="C4-it-was-deleted"),
        pytest.param(item(data()), creation(), False, id="A5-the-event-shows-it"),
        pytest.param(item(description=LINK), creation(), False, id="A5-its-link-stands"),
        pytest.param(
            item(data(), organizer=None), creation(), False, id="E6-we-cannot-see-the-event"
        ),
        pytest.param(TOMBSTONE, creation(None), True, id="C4-lost-answer-and-event-deleted"),
        pytest.param(item(), creation(None), True, id="C4-lost-answer-and-nothing-carried"),
    ],
)
def test_c4_a_creation_that_no_event_carries_comes_to_its_end(
    body: Json, made: Creation, ends: bool
) -> None:
    """What we made, or may have made, is deleted when its time has come, and not before."""
    actions = decide(body, Link(event=at(), creations=(made,)))
    assert (EndCreation(creation=made) in actions) is ends


@pytest.mark.parametrize(
    ("body", "made", "ends"),
    [
        pytest.param(item(data()), creation(None), False, id="C4-the-event-waits-for-it"),
        pytest.param(TOMBSTONE, creation(None), True, id="C4-the-event-is-deleted-meanwhile"),
        pytest.param(
            item(data()), creation(None, provider="zoom"), True, id="C4-of-another-provider"
        ),
        pytest.param(
            item(data()),
            creation(None, solution="My Web Conference"),
            True,
            id="A5-asked-for-by-the-add-on",
        ),
    ],
)
def test_c4_a_replacement_that_is_being_made_is_waited_for(
    body: Json, made: Creation, ends: bool
) -> None:
    """While the event carries the conference that is created anew, the creation is needed."""
    link = replace(linked(item(data())), creations=(made,))
    actions = decide(body, link)
    assert (EndCreation(creation=made) in actions) is ends


# E8: handled, never a crash.

TAKEN: dict[str, Json] = {
    "E8-all-day": {"start": {"date": "2030-05-02"}, "end": {"date": "2030-05-04"}},
    "E8-all-day-with-a-zone": {
        "start": {"date": "2030-05-02", "timeZone": "UTC"},
        "end": {"date": "2030-05-03"},
    },
    "E8-no-end": {"end": None, "endTimeUnspecified": True},
    "E8-mixed": {"end": {"date": "2030-05-03"}},
    "E8-end-before-start": {"end": {"dateTime": "2030-05-01T12:00:00Z"}},
    "E8-unknown-zone": {
        "start": {"dateTime": "2030-05-02T12:00:00+02:00", "timeZone": "Mars/Olympus"}
    },
    "E8-windows-zone": {
        "start": {"dateTime": "2030-05-02T12:00:00+02:00", "timeZone": "W. Europe Standard Time"}
    },
    "E8-gmt-zone": {"start": {"dateTime": "2030-05-02T12:00:00+02:00", "timeZone": "GMT+02:00"}},
    "E8-zone-that-is-no-text": {"start": {"dateTime": "2030-05-02T12:00:00+02:00", "timeZone": 5}},
    "E8-half-an-hour-s-offset": {
        "start": {"dateTime": "2030-05-02T12:00:00+05:45", "timeZone": "Asia/Kathmandu"}
    },
    "E8-long-past": {
        "start": {"dateTime": "1970-01-01T00:00:00Z"},
        "end": {"dateTime": "1970-01-01T01:00:00Z"},
    },
    "E8-year-one": {"start": {"date": "0001-01-01"}, "end": {"date": "0001-01-02"}},
    "E8-year-9999": {
        "start": {"dateTime": "9999-12-31T23:59:59Z"},
        "end": {"dateTime": "9999-12-31T23:59:59Z"},
    },
    "E8-no-title": {"summary": None},
    "E8-title-of-null": {"summary": None, "description": None},
    "E8-emoji": {"summary": "\N{BIRTHDAY CAKE}\N{ZERO WIDTH JOINER}\N{FAMILY} \u202e\x00"},
    "E8-long-title": {"summary": "x" * 100_000},
    "E8-2000-guests": {
        "attendees": [{"email": f"guest{number}@example.com"} for number in range(2000)]
    },
    "E8-guests-without-addresses": {
        "attendees": [{"displayName": "Somebody"}, None, 5, {"email": None}]
    },
    "E8-guests-that-are-no-list": {"attendees": "everybody"},
    "E8-unknown-fields": {
        "somethingNew": {"deep": [1, {"a": None}]},
        "eventType": "default",
        "kind": 7,
    },
    "E8-title-that-is-no-text": {"summary": 5, "description": ["a"], "location": {"a": 1}},
    "E8-properties-that-are-no-object": {"extendedProperties": [1]},
    "E8-private-properties-that-are-no-texts": {
        "extendedProperties": {"private": {"a": 1, "b": None}}
    },
    "E8-recurrence-that-is-no-list": {"recurrence": "RRULE:FREQ=DAILY"},
    "E8-recurrence-of-odd-things": {"recurrence": ["RRULE:FREQ=DAILY", None, 4]},
    "E8-recurrence-of-nonsense": {"recurrence": ["RRULE:FREQ=SOMETIMES"]},
    "E8-entry-points-of-odd-things": {
        "conferenceData": {**data(), "entryPoints": [None, 5, {}, {"uri": 7}]}
    },
    "E8-entry-points-that-are-no-list": {"conferenceData": {**data(), "entryPoints": {"a": 1}}},
    "E8-no-etag": {"etag": None},
    "E8-etag-that-is-no-text": {"etag": 5},
    "E8-uid-that-is-no-text": {"iCalUID": 5},
}


@pytest.mark.parametrize("changes", list(TAKEN.values()), ids=list(TAKEN))
def test_e8_odd_events_are_handled_as_any_other(changes: Json) -> None:
    """They are followed and sent once, and then there is nothing more to do."""
    body = item(**{"conferenceData": data(), **changes})
    outcome = carried_out(body)
    assert [kind for kind in kinds(outcome.actions) if kind is not HandOn][:2] == [Follow, Send]
    assert decide(body, outcome.link) == []
    assert decide(body, linked(body, over_seen=True)) == []


UNREADABLE: dict[str, Json] = {
    "E8-no-start": {"start": None},
    "E8-empty-start": {"start": {}},
    "E8-start-that-is-no-object": {"start": "2030-05-02T12:00:00Z"},
    "E8-start-that-is-no-time": {"start": {"dateTime": "noon"}},
    "E8-start-that-is-no-date": {"start": {"date": "2030-02-30"}},
    "E8-start-of-null": {"start": {"date": None, "dateTime": None}},
    "E8-start-out-of-range": {"start": {"dateTime": "0001-01-01T00:00:00+14:00"}},
    "E8-start-in-a-zone-unknown-and-without-an-offset": {
        "start": {"dateTime": "2030-05-02T12:00:00", "timeZone": "Mars/Olympus"}
    },
    "E8-start-in-a-zone-that-is-a-directory": {
        "start": {"dateTime": "2030-05-02T12:00:00", "timeZone": "Europe"}
    },
    "E8-start-in-a-zone-that-is-a-path": {
        "start": {"dateTime": "2030-05-02T12:00:00", "timeZone": "../../etc/passwd"}
    },
    "E8-start-in-a-zone-too-long": {
        "start": {"dateTime": "2030-05-02T12:00:00", "timeZone": "x" * 5000}
    },
    "E8-end-that-is-no-time": {"end": {"dateTime": "noon"}},
    "E8-end-that-is-no-object": {"end": 5},
}


@pytest.mark.parametrize("changes", list(UNREADABLE.values()), ids=list(UNREADABLE))
def test_e8_an_event_with_a_conference_whose_times_cannot_be_read_is_malformed(
    changes: Json,
) -> None:
    """No time is guessed: the event is parked, and so is a followed one. Without a conference it
    concerns nobody."""
    body = item(**{**changes, "conferenceData": data()})
    with pytest.raises(Malformed):
        carried_out(body)
    with pytest.raises(Malformed):
        decide(body, linked(item(data())))
    assert decide(item(**changes)) == []
    assert kinds(decide(item(**changes), linked(item(data())))) == [LetGo]


def test_e8_a_text_cut_in_the_middle_of_a_character_is_no_crash() -> None:
    """JSON may hold half of a surrogate pair, as a title that was cut short; it is sent like
    another."""
    for changes in (
        {"summary": "cake \ud83c"},
        {"description": "\udf82"},
        {"attendees": [{"email": "\ud83c@a.b"}]},
    ):
        body = item(data(), **changes)
        assert kinds(carried_out(body).actions) == [Follow, Send]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)


def _or_anything(*likely: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(likely) | _JSON


_TIME = _or_anything(
    {"dateTime": "2030-05-02T12:00:00+02:00"},
    {"dateTime": "2030-05-02T12:00:00", "timeZone": "Europe/Berlin"},
    {"date": "2030-05-02"},
    {"dateTime": "9999-12-31T23:59:59-12:00"},
) | st.fixed_dictionaries(
    {}, optional={"date": _JSON, "dateTime": _JSON | st.text(), "timeZone": _JSON | st.text()}
)
_CONFERENCES = (
    data(),
    data("c-2"),
    data(None),
    data("1 2", "Zoom Meeting"),
    MEET,
    requested("pending"),
)
_EVENT = st.fixed_dictionaries(
    {"id": st.just("e1") | _JSON},
    optional={
        "status": _or_anything("confirmed", "cancelled"),
        "start": _TIME,
        "end": _TIME,
        "originalStartTime": _TIME,
        "recurringEventId": _or_anything("s1"),
        "summary": _JSON,
        "description": _or_anything("text" + our_block()),
        "location": _or_anything("https://meet.example.com/c-7", "https://meet.example.com/%ff%00"),
        "recurrence": _or_anything(["RRULE:FREQ=WEEKLY"]),
        "organizer": _or_anything({"email": ANNA, "self": True}, {"email": "dora@example.com"}),
        "attendees": _or_anything([{"email": "ben@example.com"}]),
        "eventType": _or_anything("default", "focusTime"),
        "etag": _JSON,
        "extendedProperties": _or_anything(marked(), marked("zoom", "5")),
        "conferenceData": st.sampled_from(_CONFERENCES)
        | st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(
                ("conferenceId", "conferenceSolution", "entryPoints", "createRequest"), _JSON
            ),
        )
        | _JSON,
    },
)
_LINKS = st.sampled_from(
    [
        None,
        linked(item(data())),
        linked(item(data("c-2")), web("c-2"), leading=False),
        linked(item(data()), web("c-2"), replaces=ConferenceId("c-1")),
        linked(item(data()), proven_for=None, over_at=NOW),
        replace(
            linked(item(data("1 2", "Zoom Meeting")), zoom("12")),
            letting_go=(past(web("c-1"), 10), past(web("c-2"), 90)),
        ),
        Link(event=at(), letting_go=(past(web("c-1"), 10),)),
        Link(event=at(), creations=(creation(), creation(None, key="l"))),
    ]
)


@given(value=_EVENT | _JSON, link=_LINKS, zone=st.none() | st.text(max_size=12))
def test_e8_whatever_the_json_nothing_but_malformed_is_raised(
    value: Any, link: Link | None, zone: str | None
) -> None:
    """Any JSON at all is parsed and planned, or Malformed."""
    try:
        event = Event.from_api(value, calendar_zone=zone)
        _plan(event, link)
        if event.series_id is not None:
            own_conference(event, link, RULES)
            plan_occurrence(event, link or linked(SERIES), RULES)
    except Malformed:
        pass


def _plan(event: Event, link: Link | None) -> None:
    plan.plan(plan.Facts(event=event, ref=at(), link=link, rules=RULES, now=NOW))


# Planning after applying gives no action.

_WELL_FORMED = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["confirmed", "cancelled"]),
        "summary": st.text(max_size=20),
        "description": st.text(max_size=20),
        "conferenceData": st.sampled_from([each for each in _CONFERENCES if each != data(None)]),
        "location": st.sampled_from(["Room 5", LINK, f"{LINK} https://meet.example.com/c-2"]),
        "recurrence": st.just(["RRULE:FREQ=WEEKLY"]),
        "extendedProperties": st.sampled_from([marked("web", "c-1"), marked("zoom", "12")]),
        "organizer": st.sampled_from(
            [{"email": "dora@example.com"}, {"email": "dora@example.com", "self": True}, {}]
        ),
        "eventType": st.just("focusTime"),
    },
)


@given(
    edits=st.lists(st.tuples(_WELL_FORMED, st.integers(0, 90)), max_size=4),
    rules=st.sampled_from([RULES, AT_ONCE]),
)
def test_planning_after_applying_gives_no_action(
    edits: list[tuple[Json, int]], rules: Rules
) -> None:
    """However an event was edited, what was carried out leaves nothing but graces, and then not
    even these."""
    # Never None: the record of a dead conference keeps its event from being taken for a new one.
    link = Link(event=at())
    now = NOW
    for changes, seconds in edits:
        now += timedelta(seconds=seconds)
        outcome = carried_out(item(**changes), link, rules, now)
        body, link = outcome.body, outcome.remembered
        again = decide(body, link, rules, now)
        kept = _kept_by_text(body, link)
        assert all(isinstance(action, Settle) for action in again)
        assert len(again) == len(link.letting_go) - kept
        later = carried_out(body, link, rules, now + GRACE)
        assert len(later.remembered.letting_go) == kept
        assert decide(later.body, later.remembered, rules, now + GRACE) == []


def _kept_by_text(body: Json, link: Link) -> int:
    """How many conferences that were let go the event keeps for now, by its text or hidden."""
    event = parsed(body)
    if event.cancelled:
        return 0
    if event.hidden:
        return len(link.letting_go)
    text = f"{event.location}\n{event.description}"
    return sum(f"/{gone.conference.conference_id}" in text for gone in link.letting_go)
