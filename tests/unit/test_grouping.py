"""Which events of a page concern somebody, and which must not be applied side by side (C6, E5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.model.conference import Failure, FailureState, Link
from sync.model.event import Entry, EventId
from sync.model.items import Items
from sync.run.page import concerning, grouped
from sync.store import Known, Version, Versioned
from tests.support.events import (
    MEET,
    NOW,
    RULES,
    Json,
    at,
    carried,
    data,
    item,
    marked,
    occurrence,
    past,
    web,
    zoom,
)

LINK = "https://meet.example.com/c-1"
NOTHING = Known(links={}, failures={})
VERSION = Version("1")


def known(links: Sequence[Link] = (), failures: Sequence[str] = ()) -> Known:
    """What is remembered: these links, and a failure of each of these events."""
    return Known(
        links={link.event.event_id: Versioned(link, VERSION) for link in links},
        failures={EventId(name): Versioned(_failure(name), VERSION) for name in failures},
    )


def _failure(event_id: str) -> Failure:
    return Failure(
        event=at(event_id),
        provider="web",
        conference_id=None,
        action="update",
        reason="down",
        attempts=1,
        state=FailureState.PARKED,
        first=NOW,
        next_try=None,
    )


def carrying(event_id: str, conference_id: str = "c-1", **changes: Any) -> Link:
    return Link(event=at(event_id), carried=carried(item(), web(conference_id), **changes))


def entry(event_id: str, conference: Json | None = None, **fields: Any) -> Entry:
    return Entry.from_api(item(conference, id=event_id, **fields))


def named(groups: list[list[Entry]]) -> list[list[str]]:
    return [[one.id for one in group] for group in groups]


CONCERNS: dict[str, tuple[Any, Known, bool]] = {
    "C6-a-plain-event": (item(), NOTHING, False),
    "C6-a-meet-conference": (item(MEET), NOTHING, False),
    "C6-an-event-without-a-start": ({"id": "e1", "summary": "Planning"}, NOTHING, False),
    "C6-a-conference-of-ours": (item(data()), NOTHING, True),
    "C6-a-join-link": (item(location=LINK), NOTHING, True),
    "C6-our-property": (item(extendedProperties=marked()), NOTHING, True),
    "C6-two-links": (item(location=f"{LINK} https://meet.example.com/c-2"), NOTHING, False),
    "C6-a-link-in-the-description": (item(description=LINK), NOTHING, False),
    "C6-a-nameless-conference": (item(data(None)), NOTHING, True),
    "C6-a-remembered-event": (item(), known([carrying("e1")]), True),
    "C6-another-event-is-remembered": (item(), known([carrying("e2")]), False),
    "C6-an-event-that-failed": (item(), known(failures=["e1"]), True),
    "C6-another-event-failed": (item(), known(failures=["e2"]), False),
    "E2-a-bare-id": ({"id": "e1", "status": "cancelled"}, NOTHING, True),
    "E2-a-deleted-event-with-its-details": (item(status="cancelled"), NOTHING, False),
    "E5-an-occurrence-of-a-series-that-is-followed": (
        occurrence(conferenceData=None),
        known([carrying("s1")]),
        True,
    ),
    "E5-an-occurrence-of-another-series": (occurrence(conferenceData=None), NOTHING, False),
    "E8-no-event": (42, NOTHING, True),
    "S6-half-a-bracket": (item(location="https://[x.webex.com/j.php?MTID=1"), NOTHING, False),
}


@pytest.mark.parametrize(
    ("listed", "remembered", "concerns"), list(CONCERNS.values()), ids=list(CONCERNS)
)
def test_c6_what_concerns_nobody_is_passed_over(
    listed: Any, remembered: Known, concerns: bool
) -> None:
    """A plain event costs nothing; whatever may be ours is looked at."""
    one = Entry.from_api(listed)
    page = Items.from_api([listed])
    assert concerning(page, remembered, RULES) == ([one] if concerns else [])


GROUPS: dict[str, tuple[list[Entry], Known, list[list[str]]]] = {
    "C6-nothing": ([], NOTHING, []),
    "C6-different-conferences": (
        [entry("a", data("1")), entry("b", data("2"))],
        NOTHING,
        [["a"], ["b"]],
    ),
    "C6-one-conference": (
        [entry("a", data("1")), entry("b", data("2")), entry("c", data("1"))],
        NOTHING,
        [["a", "c"], ["b"]],
    ),
    "C6-one-conference-by-data-and-by-link": (
        [entry("a", data("c-1")), entry("b", location=LINK)],
        NOTHING,
        [["a", "b"]],
    ),
    "C6-one-id-at-two-providers": (
        [entry("a", data("1")), entry("b", data("1", "Zoom Meeting"))],
        NOTHING,
        [["a"], ["b"]],
    ),
    "C6-one-carries-what-the-other-shows": (
        [entry("a"), entry("b", data("1"))],
        known([carrying("a", "1")]),
        [["a", "b"]],
    ),
    "C6-one-lets-go-what-the-other-shows": (
        [entry("a"), entry("b", data("1"))],
        known([Link(event=at("a"), letting_go=(past(zoom("9")), past(web("1"))))]),
        [["a", "b"]],
    ),
    "C6-both-carry-one-that-they-do-not-show": (
        [entry("a"), entry("b")],
        known([carrying("a", "1"), carrying("b", "1")]),
        [["a", "b"]],
    ),
    "C6-a-chain": (
        [entry("a", data("1")), entry("b", data("3")), entry("c", data("2"))],
        known([carrying("a", "2"), carrying("c", "3")]),
        [["a", "b", "c"]],
    ),
    "C6-one-event-twice": ([entry("a"), entry("b"), entry("a")], NOTHING, [["a", "a"], ["b"]]),
    "E5-an-occurrence-and-its-series": (
        [Entry.from_api(occurrence()), entry("x"), entry("s1", data())],
        NOTHING,
        [["s1", "s1_20300509T100000Z"], ["x"]],
    ),
    "E5-two-occurrences-whose-series-is-not-listed": (
        [
            Entry.from_api(occurrence(conferenceData=None, id="s1_b")),
            Entry.from_api(occurrence(conferenceData=None, id="s1_a")),
        ],
        NOTHING,
        [["s1_b", "s1_a"]],
    ),
    "E5-an-occurrence-and-who-shares-its-series-s-conference": (
        [Entry.from_api(occurrence(conferenceData=None)), entry("b", data("1"))],
        known([carrying("s1", "1")]),
        [["b", "s1_20300509T100000Z"]],
    ),
    "E8-two-malformed": ([Entry.from_api(1), Entry.from_api(2)], NOTHING, [[""], [""]]),
    "E8-two-nameless-conferences": (
        [entry("a", data(None)), entry("b", data(None))],
        NOTHING,
        [["a"], ["b"]],
    ),
}


@pytest.mark.parametrize(
    ("entries", "remembered", "expected"), list(GROUPS.values()), ids=list(GROUPS)
)
def test_c6_what_shares_a_conference_or_a_series_is_applied_in_order(
    entries: list[Entry], remembered: Known, expected: list[list[str]]
) -> None:
    """Never two of one conference side by side; the series comes before its occurrences."""
    found = grouped(entries, remembered, RULES)
    unnamed = [
        ["" if one.startswith("without-id") else one for one in group] for group in named(found)
    ]
    assert unnamed == expected


_IDS = st.sampled_from(["1", "2", "3", "4", "5"])
_EVENTS = st.lists(
    st.tuples(_IDS, st.none() | _IDS, st.booleans()), max_size=8, unique_by=lambda each: each[0]
)
_LINKS = st.lists(
    st.tuples(_IDS, st.none() | _IDS, st.none() | _IDS), max_size=5, unique_by=lambda each: each[0]
)


@given(events=_EVENTS, links=_LINKS)
def test_c6_groups_are_the_events_once_each_and_share_nothing(
    events: list[tuple[str, str | None, bool]], links: list[tuple[str, str | None, str | None]]
) -> None:
    """Whatever is listed and remembered: no event is lost or doubled, no two groups share a
    conference, and within a group each event shares something with another one."""
    entries = [
        entry(
            event_id,
            data(shown) if shown else None,
            **(
                {"recurringEventId": "1", "originalStartTime": {"date": "2030-05-02"}}
                if inner
                else {}
            ),
        )
        for event_id, shown, inner in events
    ]
    remembered = known(
        [
            replace(
                carrying(event_id, kept) if kept else Link(event=at(event_id)),
                letting_go=(past(web(gone)),) if gone else (),
            )
            for event_id, kept, gone in links
        ]
    )
    groups = grouped(entries, remembered, RULES)
    assert sorted(one.id for group in groups for one in group) == sorted(one.id for one in entries)
    touched = [set().union(*(_touched(one, remembered) for one in group)) for group in groups]
    for place, keys in enumerate(touched):
        assert all(keys.isdisjoint(others) for others in touched[place + 1 :])
    for group in groups:
        for one in group:
            others = [_touched(other, remembered) for other in group if other is not one]
            assert not others or not _touched(one, remembered).isdisjoint(set().union(*others))
        order = [one.event is not None and one.event.series_id is not None for one in group]
        assert order == sorted(order)


def _touched(one: Entry, remembered: Known) -> set[str]:
    """The events and conferences that applying an entry may touch."""
    event = one.event
    assert event is not None
    ids = {one.id, event.series_id} - {None}
    conferences = set()
    if event.conference_data is not None:
        conferences.add(event.conference_data.conference_id)
    for event_id in ids:
        link = remembered.links.get(EventId(str(event_id)))
        if link is not None:
            now = link.value.carried
            conferences |= {now.conference.conference_id} if now else set()
            conferences |= {gone.conference.conference_id for gone in link.value.letting_go}
    return {f"event {each}" for each in ids} | {f"conference {each}" for each in conferences}
