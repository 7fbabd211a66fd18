"""What one changed event means (E1-E8): tables of rows named after the rules, and properties
over any event."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.errors import Malformed
from sync.event.plan import (
    BLOCK_BEGIN,
    BLOCK_END,
    CANCELLED,
    ID_PROPERTY,
    PROVIDER_PROPERTY,
    Action,
    Delete,
    Follow,
    Forget,
    HideConference,
    LetGo,
    ProviderRules,
    Rules,
    Send,
    SendOccurrence,
    SendOccurrences,
    Settle,
    ShowConference,
    conference_of,
    content_of,
    fingerprint_of,
    has_own_conference,
    plan,
    plan_occurrence,
    uri_pattern,
)
from sync.model.conference import ConferenceRef, EventRef, Fingerprint, LettingGo, Link
from sync.model.event import CalendarId, ConferenceId, Event, EventId

Json = dict[str, Any]

NOW = datetime(2030, 5, 2, 8, 0, tzinfo=UTC)
GRACE = timedelta(seconds=60)
ANNA = CalendarId("anna@example.com")
ALL_FIELDS = frozenset(
    {"title", "description", "start", "end", "time_zone", "recurrence", "organizer", "attendees"},
)


def without_spaces(text: str) -> str:
    return "".join(text.split())


WEB = ProviderRules(
    name="web",
    solutions=frozenset({"My Web Conference", "My Recorded Web Conference"}),
    uris=(uri_pattern("https://meet.example.com/{id}"),),
    fields=ALL_FIELDS,
    occurrences=True,
)
ZOOM = ProviderRules(
    name="zoom",
    solutions=frozenset({"Zoom Meeting"}),
    uris=(uri_pattern("https://*.zoom.us/j/{id}"), uri_pattern("https://zoom.example.org/j/{id}")),
    fields=frozenset({"title", "start", "end", "time_zone", "recurrence"}),
    normalise=without_spaces,
)
RULES = Rules(providers=(WEB, ZOOM), delete_grace=GRACE)
AT_ONCE = replace(RULES, delete_grace=timedelta())


def web(conference_id: str = "c-1") -> ConferenceRef:
    return ConferenceRef(provider="web", conference_id=ConferenceId(conference_id))


def zoom(conference_id: str) -> ConferenceRef:
    return ConferenceRef(provider="zoom", conference_id=ConferenceId(conference_id))


def data(
    conference_id: str | None = "c-1",
    solution: str | None = "My Web Conference",
    *uris: str,
    kind: str = "addOn",
) -> Json:
    """Conference data as Calendar shows it; a link of the conference's id if no other is given."""
    shown: Json = {"conferenceSolution": {"key": {"type": kind}}}
    if solution is not None:
        shown["conferenceSolution"]["name"] = solution
    if conference_id is not None:
        shown["conferenceId"] = conference_id
    if uris:
        shown["entryPoints"] = [{"entryPointType": "video", "uri": uri} for uri in uris]
    return shown


def item(conference: Json | None = None, **fields: Any) -> Json:
    """An event of an hour as Calendar lists it, its organizer's copy; None takes a member out."""
    body: Json = {
        "id": "e1",
        "status": "confirmed",
        "etag": '"1"',
        "summary": "Planning",
        "description": "Bring cake",
        "start": {"dateTime": "2030-05-02T12:00:00+02:00", "timeZone": "Europe/Berlin"},
        "end": {"dateTime": "2030-05-02T13:00:00+02:00", "timeZone": "Europe/Berlin"},
        "organizer": {"email": ANNA, "self": True},
        "attendees": [{"email": "ben@example.com"}, {"email": "cleo@example.com"}],
        "iCalUID": "e1@google.com",
    }
    if conference is not None:
        body["conferenceData"] = conference
    body |= fields
    return {name: value for name, value in body.items() if value is not None}


def parsed(body: Json, calendar_zone: str | None = "Europe/Berlin") -> Event:
    return Event.from_api(body, calendar_zone=calendar_zone)


def at(event_id: str = "e1") -> EventRef:
    return EventRef(calendar_id=ANNA, event_id=EventId(event_id))


def sent(body: Json, fields: frozenset[str] = ALL_FIELDS) -> Fingerprint:
    return fingerprint_of(content_of(parsed(body), at(body["id"])), fields)


def linked(body: Json, conference: ConferenceRef | None = None, **changes: Any) -> Link:
    """The link of an event whose present state was sent."""
    conference = conference or web()
    rules = RULES.of(conference.provider)
    link = Link(
        event=at(body["id"]),
        conference=conference,
        leading=True,
        linked_at=NOW,
        fingerprint=sent(body, rules.fields if rules else ALL_FIELDS),
    )
    return replace(link, **changes)


def decide(
    body: Json, link: Link | None = None, rules: Rules = RULES, now: datetime = NOW
) -> list[Action]:
    return plan(parsed(body), at(body["id"]), link, rules, now)


def kinds(actions: Sequence[Action]) -> list[type[Action]]:
    return [type(action) for action in actions]


MEET = {
    "conferenceId": "abc-defg-hij",
    "conferenceSolution": {"key": {"type": "hangoutsMeet"}, "name": "Google Meet"},
    "entryPoints": [{"entryPointType": "video", "uri": "https://meet.google.com/abc-defg-hij"}],
}


def requested(status: str) -> Json:
    return {
        "createRequest": {
            "requestId": "r1",
            "conferenceSolutionKey": {"type": "hangoutsMeet"},
            "status": {"statusCode": status},
        }
    }


def marked(provider: str = "web", conference_id: str = "c-9") -> Json:
    return {"private": {PROVIDER_PROPERTY: provider, ID_PROPERTY: conference_id}}


E1: dict[str, tuple[Json, ConferenceRef | None]] = {
    "E1-solution-name": (item(data()), web()),
    "E1-second-solution-name": (item(data(solution="My Recorded Web Conference")), web()),
    "E1-unknown-solution-name": (item(data(solution="Their Web Conference")), None),
    "E1-solution-name-is-compared-with-case": (item(data(solution="my web conference")), None),
    "E1-solution-of-unknown-type": (item(data(kind="somethingNew")), web()),
    "E1-entry-point": (item(data(None, None, "https://meet.example.com/c-2")), web("c-2")),
    "E1-entry-point-beside-a-foreign-solution-name": (
        item(data(None, "Their Web Conference", "https://meet.example.com/c-2")),
        web("c-2"),
    ),
    "E1-second-entry-point": (
        item(data(None, None, "tel:+1-555-0100", "https://meet.example.com/c-2?pwd=x")),
        web("c-2"),
    ),
    "E1-entry-point-of-a-star-host": (
        item(data(None, None, "https://us02web.zoom.us/j/123")),
        zoom("123"),
    ),
    "E1-entry-point-of-a-star-host-deeper": (
        item(data(None, None, "https://a.b.zoom.us/j/123")),
        zoom("123"),
    ),
    "E1-entry-point-of-a-leading-star-without-anything": (
        item(data(None, None, "https://zoom.us/j/123")),
        zoom("123"),
    ),
    "E1-second-uri-pattern": (
        item(data(None, None, "https://zoom.example.org/j/123")),
        zoom("123"),
    ),
    "E1-entry-point-scheme-and-host-without-case": (
        item(data(None, None, "HTTPS://MEET.example.COM/AbC")),
        web("AbC"),
    ),
    "E1-entry-point-with-query-fragment-slash": (
        item(data(None, None, "https://meet.example.com/c-2/?a=b#c")),
        web("c-2"),
    ),
    "E1-entry-point-of-a-longer-path": (
        item(data(None, None, "https://meet.example.com/c-2/dial-in")),
        None,
    ),
    "E1-entry-point-of-another-host-with-ours-in-its-path": (
        item(data(None, None, "https://evil.example/.zoom.us/j/123")),
        None,
    ),
    "E1-entry-point-of-another-host-with-ours-at-its-end": (
        item(data(None, None, "https://evilzoom.us/j/123")),
        None,
    ),
    "E1-entry-point-with-another-host-behind-a-name": (
        item(data(None, None, "https://x.zoom.us@evil.example/j/123")),
        None,
    ),
    "E1-entry-point-id-is-decoded": (
        item(data(None, None, "https://meet.example.com/a%2Fb%20c")),
        web("a/b c"),
    ),
    "E1-conference-id-before-the-link-s": (
        item(data("c-1", None, "https://meet.example.com/c-2")),
        web("c-1"),
    ),
    "E1-empty-conference-id-is-none": (
        item(data("", "My Web Conference", "https://meet.example.com/c-2")),
        web("c-2"),
    ),
    "E1-id-in-the-provider-s-own-form": (
        item(data("123 456 789", "Zoom Meeting")),
        zoom("123456789"),
    ),
    "E1-id-of-an-entry-point-in-the-provider-s-own-form": (
        item(data(None, None, "https://x.zoom.us/j/123%20456")),
        zoom("123456"),
    ),
    "E1-property": (item(extendedProperties=marked()), web("c-9")),
    "E1-property-beside-meet": (item(MEET, extendedProperties=marked()), web("c-9")),
    "E1-property-of-a-provider-not-configured": (item(extendedProperties=marked("teams")), None),
    "E1-property-without-an-id": (
        item(extendedProperties={"private": {PROVIDER_PROPERTY: "web"}}),
        None,
    ),
    "E1-property-with-an-empty-id": (item(extendedProperties=marked("web", "")), None),
    "E1-shared-property-is-nothing": (
        item(extendedProperties={"shared": marked()["private"]}),
        None,
    ),
    "E1-location": (item(location="https://meet.example.com/c-7"), web("c-7")),
    "E1-location-with-spaces-around": (
        item(location="  https://meet.example.com/c-7\n"),
        web("c-7"),
    ),
    "E1-location-with-other-words": (item(location="Room 5, https://meet.example.com/c-7"), None),
    "E1-location-elsewhere": (item(location="Room 5"), None),
    "E1-location-without-a-scheme": (item(location="meet.example.com/c-7"), None),
    "E1-description-is-nothing": (item(description="https://meet.example.com/c-7"), None),
    "E1-order-data-before-property": (item(data("c-1"), extendedProperties=marked()), web("c-1")),
    "E1-order-data-before-location": (
        item(data("c-1"), location="https://meet.example.com/c-7"),
        web("c-1"),
    ),
    "E1-order-property-before-location": (
        item(location="https://meet.example.com/c-7", extendedProperties=marked()),
        web("c-9"),
    ),
    "E1-order-solution-name-before-another-provider-s-link": (
        item(data("123", "Zoom Meeting", "https://meet.example.com/c-2")),
        zoom("123"),
    ),
    "E1-no-conference-data": (item(), None),
    "E1-empty-conference-data": (item({}), None),
    "E1-meet": (item(MEET), None),
    "E1-pending": (item(requested("pending")), None),
    "E1-failed-request": (item(requested("failure")), None),
    "E1-pending-with-a-name-of-ours": (item(data() | requested("pending")), None),
    "E1-failed-with-a-name-of-ours": (item(data() | requested("failure")), None),
    "E1-pending-with-a-location": (
        item(requested("pending"), location="https://meet.example.com/c-7"),
        web("c-7"),
    ),
    "E1-successful-request": (item(data() | requested("success")), web()),
    "E1-event-type-default": (item(data(), eventType="default"), web()),
    **{
        f"E1-event-type-{kind}": (
            item(data(), eventType=kind, location="https://meet.example.com/c-7"),
            None,
        )
        for kind in (
            "birthday",
            "focusTime",
            "fromGmail",
            "outOfOffice",
            "workingLocation",
            "somethingNew",
        )
    },
}


@pytest.mark.parametrize(("body", "expected"), list(E1.values()), ids=list(E1))
def test_e1_a_conference_of_ours_is_recognised(body: Json, expected: ConferenceRef | None) -> None:
    """Exactly what E1 names makes a conference ours, in its order, and anything else is no
    error."""
    assert conference_of(parsed(body), RULES) == expected
    assert kinds(decide(body))[:2] == ([] if expected is None else [Follow, Send])


def test_e1_a_conference_of_ours_without_a_name_is_malformed() -> None:
    """A solution of ours with neither an id nor a link that tells it can be followed by nobody:
    it is parked."""
    with pytest.raises(Malformed, match="web has neither a conference id nor a link"):
        decide(item(data(None, "My Web Conference", "https://elsewhere.example/c-2")))


_HOST = st.from_regex(r"[a-z][a-z0-9]{0,6}(\.[a-z][a-z0-9]{0,6}){1,3}", fullmatch=True)
_PATH = st.lists(st.from_regex(r"[a-z0-9._-]{1,6}", fullmatch=True), max_size=3)
_ID = st.text(min_size=1, max_size=30).filter(lambda text: text not in (".", ".."))


@given(
    host=_HOST,
    star=st.sampled_from(["", "*.", "*"]),
    sub=st.from_regex(r"[a-z0-9]{1,5}(\.[a-z0-9]{1,5})?", fullmatch=True),
    path=_PATH,
    conference_id=_ID,
    rest=st.sampled_from(["", "/", "?a=b", "#c", "/?a=b#c"]),
)
def test_e1_any_join_link_gives_back_the_id_it_was_made_with(
    host: str, star: str, sub: str, path: list[str], conference_id: str, rest: str
) -> None:
    """What a pattern was filled with is what it finds, whatever the host's star stands for and
    whatever follows."""
    pattern = uri_pattern(f"https://{star}{host}/" + "/".join([*path, "{id}"]))
    filled = {"": "", "*.": f"{sub}.", "*": sub}[star] + host
    found = pattern.fullmatch(
        f"https://{filled}/" + "/".join([*path, quote(conference_id, safe="")]) + rest
    )
    assert found
    assert unquote(found[1]) == conference_id


@pytest.mark.parametrize(
    ("pattern", "link", "matches"),
    [
        pytest.param(
            "https://us*.zoom.us/j/{id}", "https://us02.zoom.us/j/1", True, id="E1-star-inside"
        ),
        pytest.param(
            "https://us*.zoom.us/j/{id}",
            "https://uszoom.us/j/1",
            False,
            id="E1-star-inside-keeps-the-dot",
        ),
        pytest.param(
            "https://*.zoom.us/j/{id}",
            "https://a.zoom.us.evil.example/j/1",
            False,
            id="E1-star-host-ends",
        ),
        pytest.param(
            "https://*.zoom.us/j/{id}",
            "https://evil.example?.zoom.us/j/1",
            False,
            id="E1-star-in-no-query",
        ),
        pytest.param(
            "https://*.zoom.us/j/{id}",
            "https://evil.example#.zoom.us/j/1",
            False,
            id="E1-star-in-no-fragment",
        ),
        pytest.param(
            "https://*.zoom.us/j/{id}", "http://a.zoom.us/j/1", False, id="E1-another-scheme"
        ),
        pytest.param("https://*.zoom.us/j/{id}", "https://a.zoom.us/j/", False, id="E1-no-id"),
        pytest.param(
            "https://*.zoom.us/j/{id}", "https://a.zoom.us/J/1", False, id="E1-path-with-case"
        ),
        pytest.param(
            "https://meet.example.com/{id}",
            "https://meetXexample.com/1",
            False,
            id="E1-a-dot-is-a-dot",
        ),
        pytest.param(
            "https://{id}.example.com/room",
            "https://c-1.example.com/room",
            True,
            id="E1-id-in-the-host",
        ),
        pytest.param(
            "https://{id}.example.com/room",
            "https://a/c-1.example.com/room",
            False,
            id="E1-id-in-the-host-only",
        ),
    ],
)
def test_e1_a_pattern_matches_its_own_hosts_alone(pattern: str, link: str, matches: bool) -> None:
    """A stranger's host is never taken for the provider's, however it is spelled."""
    assert (uri_pattern(pattern).fullmatch(link) is not None) is matches


# E2: deletions.

TOMBSTONE = {"id": "e1", "status": "cancelled"}


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
    ],
)
def test_e2_a_cancelled_event_lets_its_conference_go(body: Json) -> None:
    """The link is what we remember: it lets go of its conference, and nothing is deleted before
    the grace is over."""
    assert decide(body, linked(item(data()))) == [LetGo(conference=web())]


def test_e2_without_a_grace_the_conference_is_deleted_at_once() -> None:
    """SYNC_DELETE_GRACE_SECONDS=0 lets go and deletes in one run."""
    actions = decide(TOMBSTONE, linked(item(data())), AT_ONCE)
    assert actions == [LetGo(conference=web()), Delete(conference=web())]


def test_e2_an_unknown_tombstone_means_nothing() -> None:
    """A deleted event that was never linked and shows nothing makes no action."""
    assert decide(TOMBSTONE) == []


def test_e2_made_and_deleted_before_it_was_seen_alive() -> None:
    """A tombstone that still shows its conference, never met before, leaves nothing behind at
    the provider."""
    assert decide(item(data(), status="cancelled")) == [LetGo(conference=web())]


def past(
    conference: ConferenceRef, seconds_ago: float = 0, fingerprint: Fingerprint | None = None
) -> LettingGo:
    return LettingGo(
        conference=conference, since=NOW - timedelta(seconds=seconds_ago), fingerprint=fingerprint
    )


@pytest.mark.parametrize(
    ("seconds_ago", "expected"),
    [
        pytest.param(0, Settle(conference=web(), due=NOW + GRACE), id="E2-grace-began"),
        pytest.param(
            59, Settle(conference=web(), due=NOW + timedelta(seconds=1)), id="E2-grace-not-over"
        ),
        pytest.param(60, Delete(conference=web()), id="E2-grace-over"),
        pytest.param(86400, Delete(conference=web()), id="E2-grace-long-over"),
    ],
)
def test_e2_after_the_grace_the_conference_is_deleted(seconds_ago: float, expected: Action) -> None:
    """The second look deletes what did not come back, and not a moment earlier."""
    link = Link(event=at(), letting_go=(past(web(), seconds_ago),))
    assert decide(TOMBSTONE, link) == [expected]


@pytest.mark.parametrize(
    "seconds_ago", [pytest.param(10, id="E2-in-time"), pytest.param(600, id="E2-late")]
)
def test_e2_a_restored_event_keeps_its_conference(seconds_ago: float) -> None:
    """An event that is back before its conference was deleted follows it again, and is told
    nothing it knows."""
    body = item(data())
    link = Link(event=at(), letting_go=(past(web(), seconds_ago, sent(body)),))
    assert decide(body, link) == [Follow(conference=web(), fingerprint=sent(body))]


def test_e2_a_restored_event_that_moved_is_sent() -> None:
    """What changed while the event was in the bin is told to the provider when it comes back."""
    before, after = item(data()), item(data(), summary="Another title")
    actions = decide(after, Link(event=at(), letting_go=(past(web(), 10, sent(before)),)))
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
    assert decide(item(conference), link) == [LetGo(conference=web())]
    assert decide(item(conference), link, AT_ONCE) == [
        LetGo(conference=web()),
        Delete(conference=web()),
    ]


def test_e3_an_event_that_becomes_another_type_lets_go() -> None:
    """An event type that is not ours carries no conference of ours."""
    assert decide(item(data(), eventType="outOfOffice"), linked(item(data()))) == [
        LetGo(conference=web())
    ]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(item(data("c-2")), id="E3-same-provider"),
        pytest.param(item(location="https://meet.example.com/c-2"), id="E3-by-its-location"),
    ],
)
def test_e3_a_replaced_conference_is_let_go_and_the_new_one_followed(body: Json) -> None:
    """First the old one goes, then the new one is followed and told everything."""
    actions = decide(body, linked(item(data("c-1"))))
    assert actions[:2] == [
        LetGo(conference=web("c-1")),
        Follow(conference=web("c-2"), fingerprint=None),
    ]
    assert kinds(actions[2:]) == [Send]
    assert isinstance(actions[2], Send)
    assert (actions[2].conference, actions[2].changed) == (web("c-2"), frozenset(sent(body)))


def test_e3_a_replaced_conference_of_another_provider_is_let_go() -> None:
    """The provider may change with the conference."""
    actions = decide(item(data("123", "Zoom Meeting")), linked(item(data())))
    assert actions[:2] == [
        LetGo(conference=web()),
        Follow(conference=zoom("123"), fingerprint=None),
    ]


def test_e3_there_and_back_again() -> None:
    """Going back to the conference that was let go keeps it, and lets go of the one in between."""
    body = item(data("c-1"))
    link = linked(body, web("c-2"), letting_go=(past(web("c-1"), 10, sent(body)),))
    assert decide(body, link) == [
        LetGo(conference=web("c-2")),
        Follow(conference=web("c-1"), fingerprint=sent(body)),
    ]


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
    "E4-organizer": ({"organizer": {"email": "dora@example.com", "self": True}}, {"organizer"}),
    "E4-attendee-added": (
        {"attendees": [{"email": f"{name}@example.com"} for name in ("ben", "cleo", "dora")]},
        {"attendees"},
    ),
    "E4-attendees-removed": ({"attendees": None}, {"attendees"}),
}


@pytest.mark.parametrize(("changes", "expected"), list(MATTERS.values()), ids=list(MATTERS))
def test_e4_a_change_that_matters_updates_the_conference(changes: Json, expected: set[str]) -> None:
    """Each field that the provider takes makes one call, which names what differs and carries
    the whole."""
    body = item(data(), **changes)
    actions = decide(body, linked(item(data())))
    assert kinds(actions) == [Send]
    assert isinstance(actions[0], Send)
    assert actions[0].changed - {"duration"} == expected
    assert (actions[0].conference, actions[0].fingerprint) == (web(), sent(body))
    assert actions[0].content == content_of(parsed(body), at())


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
}


@pytest.mark.parametrize("changes", list(IDLE.values()), ids=list(IDLE))
def test_e4_a_change_that_does_not_matter_makes_no_call(changes: Json) -> None:
    """Colours, answers, reminders, other spellings of the same moment and our own writes end
    here."""
    assert decide(item(**{"conferenceData": data(), **changes}), linked(item(data()))) == []


@pytest.mark.parametrize(
    "name", [name for name in MATTERS if re.search("descr|organ|attend", name)]
)
def test_e4_a_field_that_the_provider_does_not_take_makes_no_call(name: str) -> None:
    """What the provider has no use for does not exist for it."""
    conference = data("123", "Zoom Meeting")
    assert decide(item(conference, **MATTERS[name][0]), linked(item(conference), zoom("123"))) == []


def test_e4_first_sight_sends_the_present_state_once() -> None:
    """An event met for the first time is told whole; once that is noted, it is told no more."""
    body = item(data())
    actions = decide(body)
    assert actions == [
        Follow(conference=web(), fingerprint=None),
        Send(
            conference=web(),
            content=content_of(parsed(body), at()),
            fingerprint=sent(body),
            changed=frozenset(sent(body)),
        ),
    ]
    assert decide(body, linked(body)) == []


def test_e4_a_conference_whose_provider_is_not_configured_any_more_is_left_alone() -> None:
    """A provider taken out of the settings gets no calls, and its conference is let go only by
    name."""
    without_zoom = replace(RULES, providers=(WEB,))
    conference = data("123", "Zoom Meeting")
    assert decide(item(conference), None, without_zoom) == []


@given(
    moment=st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)),  # noqa: DTZ001 - the zones follow
    minutes=st.tuples(*[st.integers(-14 * 60, 14 * 60)] * 2),
)
def test_e4_a_fingerprint_is_of_the_moment_and_not_of_its_spelling(
    moment: datetime, minutes: tuple[int, int]
) -> None:
    """The same start and end with any offset have the same fingerprint."""

    def told(offset: int) -> Fingerprint:
        start = moment.replace(tzinfo=UTC).astimezone(timezone(timedelta(minutes=offset)))
        end = start + timedelta(hours=1)
        return sent(
            item(
                start={"dateTime": start.isoformat(), "timeZone": "Europe/Berlin"},
                end={"dateTime": end.isoformat(), "timeZone": "Europe/Berlin"},
            )
        )

    assert told(minutes[0]) == told(minutes[1])


# E5: series and occurrences.

SERIES = item(data(), id="s1", recurrence=["RRULE:FREQ=WEEKLY"], iCalUID="s1@google.com")
ORIGINAL = "2030-05-09T10:00:00Z"


def occurrence(**fields: Any) -> Json:
    """The second occurrence of the series, as an exception that is like its series."""
    body = item(
        data(),
        id="s1_20300509T100000Z",
        recurringEventId="s1",
        originalStartTime={"dateTime": "2030-05-09T12:00:00+02:00", "timeZone": "Europe/Berlin"},
        start={"dateTime": "2030-05-09T12:00:00+02:00", "timeZone": "Europe/Berlin"},
        end={"dateTime": "2030-05-09T13:00:00+02:00", "timeZone": "Europe/Berlin"},
        iCalUID="s1@google.com",
    )
    return {name: value for name, value in (body | fields).items() if value is not None}


MOVED: Json = {
    "start": {"dateTime": "2030-05-09T15:00:00+02:00", "timeZone": "Europe/Berlin"},
    "end": {"dateTime": "2030-05-09T16:00:00+02:00", "timeZone": "Europe/Berlin"},
}
OCCURRENCE_DIFFERS: dict[str, Json] = {
    "E5-moved": MOVED,
    "E5-longer": {"end": {"dateTime": "2030-05-09T14:00:00+02:00", "timeZone": "Europe/Berlin"}},
    "E5-renamed": {"summary": "Another title"},
    "E5-described": {"description": "Another text"},
    "E5-other-guests": {"attendees": [{"email": "dora@example.com"}]},
    "E5-other-zone": {
        "start": {"dateTime": "2030-05-09T12:00:00+02:00", "timeZone": "Europe/Paris"}
    },
}


@pytest.mark.parametrize("changes", list(OCCURRENCE_DIFFERS.values()), ids=list(OCCURRENCE_DIFFERS))
def test_e5_a_changed_occurrence_is_told_to_a_provider_with_occurrences(changes: Json) -> None:
    """That occurrence alone, by its original start, and never the series' conference."""
    event = parsed(occurrence(**changes))
    link = linked(SERIES)
    assert not has_own_conference(event, link, RULES)
    (action,) = plan_occurrence(event, link, RULES)
    assert isinstance(action, SendOccurrence)
    assert (action.series, action.conference, action.original_start) == (at("s1"), web(), ORIGINAL)
    assert action.content == content_of(event, at("s1_20300509T100000Z"))
    told = replace(link, occurrences={ORIGINAL: action.fingerprint})
    assert plan_occurrence(event, told, RULES) == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(occurrence(status="cancelled"), id="E5-cancelled-whole"),
        pytest.param(
            {
                "id": "s1_20300509T100000Z",
                "status": "cancelled",
                "recurringEventId": "s1",
                "originalStartTime": {"dateTime": ORIGINAL},
            },
            id="E5-cancelled-minimal",
        ),
    ],
)
def test_e5_a_cancelled_occurrence_is_cancelled_alone(body: Json) -> None:
    """The occurrence is cancelled at the provider, once, and the series keeps its conference."""
    event, link = parsed(body), linked(SERIES)
    assert not has_own_conference(event, link, RULES)
    assert plan_occurrence(event, link, RULES) == [
        SendOccurrence(
            series=at("s1"),
            conference=web(),
            original_start=ORIGINAL,
            content=None,
            fingerprint=CANCELLED,
        )
    ]
    assert plan_occurrence(event, replace(link, occurrences={ORIGINAL: CANCELLED}), RULES) == []
    assert plan(event, at(body["id"]), None, RULES, NOW) == []


def test_e5_a_cancelled_occurrence_that_is_back_is_told_again() -> None:
    """An occurrence restored to its place is no longer cancelled at the provider."""
    (action,) = plan_occurrence(
        parsed(occurrence()), linked(SERIES, occurrences={ORIGINAL: CANCELLED}), RULES
    )
    assert isinstance(action, SendOccurrence)
    assert action.content is not None


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="E5-like-its-series"),
        pytest.param({"attendees": [{"email": "cleo@example.com"}, {"email": "ben@example.com", "comment": "late"}]},
                     id="E5-an-answer"),
        pytest.param({"colorId": "4"}, id="E5-a-colour"),
        pytest.param({"conferenceData": None}, id="E5-without-conference-data"),
    ],
)  # fmt: skip
def test_e5_an_occurrence_that_says_what_its_series_says_makes_no_call(changes: Json) -> None:
    """Only what differs from the series is told."""
    assert plan_occurrence(parsed(occurrence(**changes)), linked(SERIES), RULES) == []


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
    for body in (occurrence(**MOVED), occurrence(status="cancelled")):
        assert plan_occurrence(parsed(body), link, RULES) == []


def test_e5_an_occurrence_with_a_conference_of_its_own_is_an_event_by_itself() -> None:
    """Its own conference is followed, and the series' one is not touched by it."""
    body = occurrence(conferenceData=data("c-2"), **MOVED)
    event, series = parsed(body), linked(SERIES)
    assert has_own_conference(event, series, RULES)
    assert kinds(plan(event, at(body["id"]), None, RULES, NOW)) == [Follow, Send]
    replaced = replace(series, conference=web("c-3"), replaces=ConferenceId("c-1"))
    assert not has_own_conference(parsed(occurrence()), replaced, RULES)
    assert not has_own_conference(
        parsed(occurrence(conferenceData=data("c-2"), status="cancelled")), series, RULES
    )


def test_e5_deleting_the_series_deletes_its_conference() -> None:
    """The series owns the conference, and takes it along."""
    assert decide({"id": "s1", "status": "cancelled"}, linked(SERIES)) == [LetGo(conference=web())]


def test_e5_a_series_met_for_the_first_time_tells_its_occurrences_too() -> None:
    """What differs already is looked up after the series was sent."""
    actions = decide(SERIES)
    assert kinds(actions) == [Follow, Send, SendOccurrences]
    assert actions[2] == SendOccurrences(series=at("s1"), ical_uid="s1@google.com")
    assert kinds(decide(item(data("123", "Zoom Meeting"), recurrence=["RRULE:FREQ=WEEKLY"]))) == [
        Follow,
        Send,
    ]


@pytest.mark.parametrize(
    ("drops", "changes", "expected"),
    [
        pytest.param(
            True,
            {"recurrence": ["RRULE:FREQ=DAILY"]},
            [Send, SendOccurrences],
            id="E5-dropped-when-moved",
        ),
        pytest.param(True, {"summary": "Another title"}, [Send], id="E5-kept-when-renamed"),
        pytest.param(False, {"recurrence": ["RRULE:FREQ=DAILY"]}, [Send], id="E5-never-dropped"),
    ],
)
def test_e5_occurrences_that_the_provider_drops_are_told_again(
    drops: bool, changes: Json, expected: list[type[Action]]
) -> None:
    """A system that forgets occurrences when the series moves hears of them anew, and only then."""
    rules = replace(RULES, providers=(replace(WEB, drops_occurrences=drops), ZOOM))
    assert kinds(decide(SERIES | changes, linked(SERIES), rules)) == expected


# E6: copies that do not decide.

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
    ],
)
def test_e6_an_attendee_s_copy_changes_nothing(body: Json) -> None:
    """Whatever happens to a copy that does not decide, nobody is told."""
    assert decide(body) == []
    assert plan_occurrence(parsed(occurrence(**MOVED, **GUEST)), linked(SERIES), RULES) == []


def test_e6_an_organizer_who_gives_the_event_away_forgets_it() -> None:
    """The copy that no longer decides stops leading; the conference lives on with the new
    organizer."""
    assert decide(item(data(), **GUEST), linked(item(data()))) == [Forget(conference=web())]


def test_e6_what_was_let_go_before_is_still_settled() -> None:
    """A grace that began while the copy decided is carried to its end."""
    link = Link(event=at(), letting_go=(past(web(), 61),))
    assert decide(item(data(), **GUEST), link) == [Delete(conference=web())]


def test_e6_where_nobody_is_named_the_copy_decides() -> None:
    """An event without an organizer belongs to its calendar."""
    assert kinds(decide(item(data(), organizer=None))) == [Follow, Send]


# E7: several events, one conference.


def test_e7_a_follower_sends_nothing() -> None:
    """An event that does not lead tells nobody of its changes."""
    link = linked(item(data()), leading=False, fingerprint=None)
    assert decide(item(data(), summary="A copy's own title", **MOVED), link) == []


def test_e7_a_follower_lets_go_like_any_other() -> None:
    """Whether the conference is deleted then is decided where all events that carry it are
    known."""
    link = linked(item(data()), leading=False, fingerprint=None)
    assert decide(TOMBSTONE, link) == [LetGo(conference=web())]
    assert decide(item(), link) == [LetGo(conference=web())]


# C4 and W4: a conference that was created anew, and what we wrote instead of conference data.


def test_c4_an_event_that_still_shows_the_old_conference_is_given_the_new_one() -> None:
    """The conference id that was replaced counts as ours until the event shows the new one."""
    link = linked(item(data("c-1")), web("c-2"), replaces=ConferenceId("c-1"))
    assert decide(item(data("c-1")), link) == [ShowConference(conference=web("c-2"))]
    assert decide(item(data("c-2")), link) == []
    assert kinds(decide(item(data("c-3")), link)) == [LetGo, Follow, Send]


def test_w4_our_text_is_taken_away_when_the_event_carries_another_conference() -> None:
    """A conference that a person chose instead is not hidden behind what we wrote."""
    body = item(data("c-2"), extendedProperties=marked("web", "c-1"))
    link = linked(item(data("c-1")), web("c-1"))
    assert kinds(decide(body, link)) == [LetGo, Follow, Send, HideConference]
    assert decide(item(data("c-1"), extendedProperties=marked("web", "c-1")), link) == []


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
    "E8-organizer-that-is-no-object": {"organizer": "anna"},
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
    actions = decide(body)
    assert kinds(actions)[:2] == [Follow, Send]
    assert decide(body, linked(body)) == []


def test_e8_an_event_without_an_end_ends_where_it_starts() -> None:
    """No end is no error: the conference is told of a moment."""
    event = parsed(item(data(), end=None))
    assert event.end == event.start


def test_e8_times_that_name_no_zone_are_in_the_calendar_s() -> None:
    """The calendar's own zone stands in, for the moment and for the zone."""
    event = parsed(item(start={"dateTime": "2030-05-02T12:00:00"}), calendar_zone="Asia/Tokyo")
    assert event.start is not None
    assert (event.start.utc(), event.start.time_zone) == ("2030-05-02T03:00:00Z", "Asia/Tokyo")


MALFORMED: dict[str, Any] = {
    "E8-null": None,
    "E8-text": "event",
    "E8-list": [],
    "E8-no-id": item(id=None),
    "E8-empty-id": item(id=""),
    "E8-id-that-is-no-text": item(id=5),
    "E8-no-start": item(start=None),
    "E8-empty-start": item(start={}),
    "E8-start-that-is-no-object": item(start="2030-05-02T12:00:00Z"),
    "E8-start-that-is-no-time": item(start={"dateTime": "noon"}),
    "E8-start-that-is-no-date": item(start={"date": "2030-02-30"}),
    "E8-start-of-null": item(start={"date": None, "dateTime": None}),
    "E8-start-out-of-range": item(start={"dateTime": "0001-01-01T00:00:00+14:00"}),
    "E8-start-in-a-zone-unknown-and-without-an-offset": item(
        start={"dateTime": "2030-05-02T12:00:00", "timeZone": "Mars/Olympus"}
    ),
    "E8-start-in-a-zone-that-is-a-directory": item(
        start={"dateTime": "2030-05-02T12:00:00", "timeZone": "Europe"}
    ),
    "E8-start-in-a-zone-that-is-a-path": item(
        start={"dateTime": "2030-05-02T12:00:00", "timeZone": "../../etc/passwd"}
    ),
    "E8-start-in-a-zone-too-long": item(
        start={"dateTime": "2030-05-02T12:00:00", "timeZone": "x" * 5000}
    ),
    "E8-end-that-is-no-time": item(end={"dateTime": "noon"}),
    "E8-occurrence-without-an-original-start": occurrence(originalStartTime=None),
    "E8-cancelled-occurrence-without-an-original-start": {**TOMBSTONE, "recurringEventId": "s1"},
}


@pytest.mark.parametrize("body", list(MALFORMED.values()), ids=list(MALFORMED))
def test_e8_a_malformed_event_says_so(body: Any) -> None:
    """What lacks its own description's promises is Malformed, so that it alone is parked."""
    with pytest.raises(Malformed):
        Event.from_api(body, calendar_zone="Europe/Berlin")


def test_e8_a_text_cut_in_the_middle_of_a_character_is_no_crash() -> None:
    """JSON may hold half of a surrogate pair, as a title that was cut short; it is sent or
    Malformed like another."""
    for changes in (
        {"summary": "cake \ud83c"},
        {"description": "\udf82"},
        {"attendees": [{"email": "\ud83c@a.b"}]},
    ):
        body = item(data(), **changes)
        assert kinds(decide(body)) == [Follow, Send]


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
        linked(
            item(data("1 2", "Zoom Meeting")),
            zoom("12"),
            letting_go=(past(web("c-1"), 10), past(web("c-2"), 90)),
        ),
        Link(event=at(), letting_go=(past(web("c-1"), 10),)),
    ]
)


@given(value=_EVENT | _JSON, link=_LINKS, zone=st.none() | st.text(max_size=12))
def test_e8_whatever_the_json_nothing_but_malformed_is_raised(
    value: Any, link: Link | None, zone: str | None
) -> None:
    """Any JSON at all is parsed and planned, or Malformed."""
    try:
        event = Event.from_api(value, calendar_zone=zone)
        plan(event, at(), link, RULES, NOW)
        if event.series_id is not None:
            has_own_conference(event, link, RULES)
            plan_occurrence(event, link or linked(SERIES), RULES)
    except Malformed:
        pass


# Planning after applying gives no action.


def applied(
    event: Json, link: Link | None, actions: Sequence[Action], now: datetime
) -> tuple[Json, Link]:
    """What the event and its link are once the actions were carried out, nobody else carrying
    the conferences."""
    after = link or Link(event=at())
    for action in actions:
        match action:
            case Follow(conference=conference, fingerprint=known):
                kept = tuple(gone for gone in after.letting_go if gone.conference != conference)
                after = replace(
                    after,
                    conference=conference,
                    leading=True,
                    fingerprint=known,
                    letting_go=kept,
                    replaces=None,
                )
            case Send(fingerprint=fingerprint):
                after = replace(after, fingerprint=fingerprint)
            case LetGo(conference=conference):
                gone = LettingGo(conference=conference, since=now, fingerprint=after.fingerprint)
                after = replace(
                    after,
                    conference=None,
                    leading=False,
                    fingerprint=None,
                    replaces=None,
                    letting_go=(*after.letting_go, gone),
                )
            case Delete(conference=conference):
                kept = tuple(gone for gone in after.letting_go if gone.conference != conference)
                after = replace(after, letting_go=kept)
            case Forget():
                after = replace(after, conference=None, leading=False, fingerprint=None)
            case ShowConference(conference=conference):
                event = event | {"conferenceData": data(conference.conference_id)}
                after = replace(after, replaces=None)
            case HideConference():
                event = event | {"extendedProperties": {}}
            case Settle() | SendOccurrences() | SendOccurrence():
                pass
    return event, after


_WELL_FORMED = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["confirmed", "cancelled"]),
        "summary": st.text(max_size=20),
        "description": st.text(max_size=20),
        "conferenceData": st.sampled_from([each for each in _CONFERENCES if each != data(None)]),
        "location": st.sampled_from(["Room 5", "https://meet.example.com/c-1"]),
        "recurrence": st.just(["RRULE:FREQ=WEEKLY"]),
        "extendedProperties": st.sampled_from([marked("web", "c-1"), marked("zoom", "12")]),
        "organizer": st.just({"email": "dora@example.com"}),
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
    link: Link | None = None
    now = NOW
    for changes, seconds in edits:
        now += timedelta(seconds=seconds)
        event, link = applied(item(**changes), link, decide(item(**changes), link, rules, now), now)
        again = decide(event, link, rules, now)
        assert all(isinstance(action, Settle) for action in again)
        assert len(again) == len(link.letting_go)
        later = now + GRACE
        event, settled = applied(event, link, decide(event, link, rules, later), later)
        assert settled.letting_go == ()
        assert decide(event, settled, rules, later) == []
