"""The words by which an event showed its conference, while the configuration changes (E3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sync.event.marks import mark_of, marked, still_marked
from sync.event.plan import Follow, Forget, LetGo
from sync.event.recognise import shown_by
from sync.model.provider import Rules
from tests.support.events import (
    MEET,
    RULES,
    WEB,
    ZOOM,
    Json,
    by_data,
    by_location,
    carried,
    data,
    decide,
    item,
    kinds,
    linked,
    parsed,
    web,
)
from tests.support.events import marked as property_of

LINK = "https://meet.example.com/c-1"
OTHER = "https://meet.example.com/c-2"

SHOWN: dict[str, Json] = {
    "E3-data": item(data("c-1", "My Web Conference", LINK)),
    "E3-property": item(extendedProperties=property_of()),
    "E3-location": item(location=f"Room 7, {LINK}."),
}
"""An event by each kind of evidence."""


def mark(body: Json, rules: Rules = RULES) -> str:
    event = parsed(body)
    shown = shown_by(event, rules)
    assert shown is not None
    found = mark_of(event, shown, rules)
    assert found is not None
    return found


@pytest.mark.parametrize("body", list(SHOWN.values()), ids=list(SHOWN))
def test_e3_a_mark_stands_while_its_words_do(body: Json) -> None:
    """What is changed beside them is another matter. In a deleted event nothing stands."""
    known = mark(body)
    assert still_marked(parsed(body), known)
    assert still_marked(parsed({**body, "summary": "Other", "description": "Bring cake"}), known)
    assert not still_marked(parsed({**body, "status": "cancelled"}), known)
    without = {"conferenceData": None, "location": "Room 7", "extendedProperties": None}
    assert not still_marked(parsed({**body, **without}), known)
    assert not still_marked(parsed(body), None)


def test_e3_a_link_is_the_same_wherever_it_stands() -> None:
    """In the location among words, or in the description as HTML."""
    known = mark(SHOWN["E3-location"])
    described = item(location="Room 7", description=f'<a href="{LINK}">here</a>')
    assert still_marked(parsed(described), known)
    assert not still_marked(parsed(item(location=OTHER)), known)


# What shows the conference, what shows another one now, and whether the first still counts.
BESIDE: dict[str, tuple[str, Json, bool]] = {
    "E3-a-link-beside-another-link": ("E3-location", {"location": f"{LINK} {OTHER}"}, True),
    "E3-a-link-beside-data": ("E3-location", data("c-2"), False),
    "E3-a-property-beside-data": ("E3-property", data("c-2"), False),
    "E3-a-property-beside-a-link": ("E3-property", {"location": OTHER}, True),
    "E3-data-beside-a-link": ("E3-data", {"location": OTHER}, True),
}


@pytest.mark.parametrize(("first", "now", "counts"), list(BESIDE.values()), ids=list(BESIDE))
def test_e3_better_evidence_takes_the_place_of_marked_words(
    first: str, now: Json, counts: bool
) -> None:
    """A person who adds conference data to an event means that one, whatever link is left."""
    more = now if "location" in now else {"conferenceData": now}
    beside = by_location(web("c-2")) if "location" in now else by_data(web("c-2"))
    event = parsed({**SHOWN[first], **more})
    assert still_marked(event, mark(SHOWN[first]), beside) is counts


def test_e3_the_mark_follows_what_shows_the_conference() -> None:
    """Conference data came beside the link: from then on the data count. What shows another
    conference, or none, leaves the mark as it was."""
    body = SHOWN["E3-location"]
    known = replace(carried(body, web()), mark=mark(body))
    with_data = {**body, "conferenceData": data("c-1", "My Web Conference", LINK)}
    assert marked(known, parsed(with_data), RULES).mark == mark(SHOWN["E3-data"])
    assert marked(known, parsed(item(data("c-2"))), RULES) == known
    assert marked(known, parsed(item(MEET)), RULES) == known


def test_e3_only_the_name_of_the_entry_is_forgotten() -> None:
    """The entry is called `web2` now: it is followed by that name. Without its words, the former
    conference is let go."""
    body = SHOWN["E3-data"]
    rules = replace(RULES, providers=(replace(WEB, name="web2"), ZOOM))
    link = linked(body, web())
    assert link.carried is not None
    known = replace(link, carried=replace(link.carried, mark=mark(body)))
    assert kinds(decide(body, known, rules=rules)) == [Forget, Follow]
    other = item(data("c-2", "My Web Conference", OTHER))
    assert kinds(decide(other, known, rules=rules)) == [LetGo, Follow]
    assert kinds(decide(item(), known, rules=rules)) == [LetGo]
    nobodys = replace(RULES, providers=(ZOOM,))
    assert decide(body, known, rules=nobodys) == []
