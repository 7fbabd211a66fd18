"""A run with the previous version's documents goes on where that version stopped."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from typing import Any

import pytest
from google.cloud import firestore

from sync.model.conference import FailureState, Link
from sync.model.event import CalendarId, EventId
from sync.store.documents import to_document
from tests.support.bench import Bench, BenchMaker, at, ref, timed

Json = dict[str, Any]


def as_before(link: Link) -> Json:
    """The document that the previous version wrote for a link: everything flat."""
    document = to_document(link)
    carried = document.pop("carried")
    document.pop("creations")
    document.pop("written")
    told = carried["told"] or {"fingerprint": None, "occurrences": {}, "approximation": None}
    names = ("conference", "leading", "linked_at", "replaces", "shown_as", "without_occurrences")
    return {
        **document,
        **{name: carried[name] for name in names},
        "fingerprint": told["fingerprint"],
        "occurrences": told["occurrences"],
        "occurrences_pending": False,
        "approximation": None,
        "creating": None,
    }


def put_back(bench: Bench, link: Link) -> None:
    """Replace a link's document by the previous version's form of it, behind the store's back."""
    key, document = link.event.key, as_before(link)
    if bench.settings.store == "firestore":
        client = firestore.Client(project=bench.settings.project, database="(default)")
        client.collection("links").document(key).set(
            {**document, "conference_key": link.carried.conference.key if link.carried else None}
        )
        client.close()
        return
    with sqlite3.connect(bench.settings.store.removeprefix("sqlite:///")) as connection:
        body = json.dumps(document, default=datetime.isoformat)
        connection.execute("update links set body = ?, version = 1 where id = ?", (body, key))
    connection.close()


@pytest.fixture
def followed(any_bench: Bench) -> tuple[Bench, CalendarId, EventId, str]:
    """An event that the previous version followed."""
    bench = any_bench
    calendar_id = bench.watch()
    event_id, conference_id = bench.followed(calendar_id)
    link = bench.link(calendar_id, event_id)
    assert link is not None
    put_back(bench, link)
    bench.forget_calls()
    return bench, calendar_id, event_id, conference_id


def test_a_link_of_the_previous_version_makes_no_call_while_nothing_changes(
    followed: tuple[Bench, CalendarId, EventId, str],
) -> None:
    """What the provider was told is still known: a colour is nothing to it."""
    bench, calendar_id, event_id, _ = followed
    bench.calendar.edit(calendar_id, event_id, {"colorId": "5"})
    bench.sync(calendar_id)
    assert bench.calls() == []


def test_o1_a_link_of_the_previous_version_is_proven_at_its_first_change(
    followed: tuple[Bench, CalendarId, EventId, str],
) -> None:
    """The previous version took a link for proof: one read comes before the first change."""
    bench, calendar_id, event_id, conference_id = followed
    bench.calendar.edit(calendar_id, event_id, timed("15:00", "16:00"))
    bench.sync(calendar_id)
    path = f"/conferences/{conference_id}"
    assert bench.calls() == [f"GET {path}", f"PUT {path}"]
    bench.calendar.edit(calendar_id, event_id, timed("17:00", "18:00"))
    bench.sync(calendar_id)
    assert bench.calls()[2:] == [f"PUT {path}"]


def test_o1_what_the_previous_version_took_from_others_is_let_go_of(
    followed: tuple[Bench, CalendarId, EventId, str],
) -> None:
    """The conference is somebody else's: the first change ends it, and only reads were made."""
    bench, calendar_id, event_id, conference_id = followed
    bench.conferencing.conferences[conference_id]["organizer"] = "somebody@elsewhere.example"
    bench.calendar.edit(calendar_id, event_id, timed("15:00", "16:00"))
    bench.sync(calendar_id)
    bench.calendar.cancel(calendar_id, event_id)
    bench.sync(calendar_id)
    bench.pass_grace()
    assert {call.split()[0] for call in bench.calls()} == {"GET"}
    assert conference_id in bench.conferencing.conferences


def test_e2_an_event_of_the_previous_version_that_is_deleted_takes_its_conference_along(
    followed: tuple[Bench, CalendarId, EventId, str],
) -> None:
    """Its tombstone holds only its id: the calendar whose own event it was tells the host."""
    bench, calendar_id, event_id, conference_id = followed
    bench.calendar.cancel(calendar_id, event_id)
    bench.sync(calendar_id)
    bench.pass_grace()
    assert conference_id not in bench.conferencing.conferences
    assert bench.link(calendar_id, event_id) is None


@pytest.mark.parametrize("times", [1, 2])
def test_o1_a_conference_of_others_that_is_not_found_is_not_deleted(
    followed: tuple[Bench, CalendarId, EventId, str], times: int
) -> None:
    """Their event is deleted, and the system denies their conference, for a moment: without a
    proof nothing is deleted, and what was denied once is still listed for the operator."""
    bench, calendar_id, event_id, conference_id = followed
    bench.conferencing.conferences[conference_id]["organizer"] = "somebody@elsewhere.example"
    bench.calendar.cancel(calendar_id, event_id)
    bench.sync(calendar_id)
    bench.conferencing.trouble("false-not-found", times=times, method="GET")
    bench.pass_grace()
    assert {call.split()[0] for call in bench.calls()} == {"GET"}
    assert conference_id in bench.conferencing.conferences
    left = [failure.rule for failure in bench.failures(calendar_id, FailureState.LEFT)]
    assert left == (["O1"] if times == 1 else [])


def test_e7_a_copy_leads_when_what_its_leader_let_go_is_not_found(any_bench: Bench) -> None:
    """The leader of the previous version is deleted, and its conference, which nobody has proven,
    is gone: it is forgotten for that event alone. The copy leads, and finds out for itself."""
    bench = any_bench
    anna = bench.watch()
    conference, conference_id = bench.conference()
    leader = bench.event(anna, conference, summary="Leader")
    bench.sync(anna)
    link = bench.link(anna, leader)
    assert link is not None
    put_back(bench, link)
    bench.calendar.cancel(anna, leader)
    bench.sync(anna)
    copy = bench.event(anna, conference, summary="Copy")
    bench.sync(anna)
    bench.conferencing.forget(conference_id)
    bench.forget_calls()
    bench.pass_grace()
    assert bench.link(anna, leader) is None
    record = bench.store.get_conference(ref(conference_id))
    assert record is not None
    assert record.value.leader == at(anna, copy)
    assert {call.split()[0] for call in bench.calls()} == {"GET"}
    bench.calendar.edit(anna, copy, {"summary": "Copy, changed"})
    bench.look_twice(anna)
    [created] = bench.conferencing.conferences.values()
    assert created["title"] == "Copy, changed"


def test_e7_a_copy_inherits_what_its_leader_lets_go_and_nobody_finds(
    make_bench: BenchMaker,
) -> None:
    """The same without a grace, and the system denied the conference for a moment: it follows the
    copy."""
    bench = make_bench(SYNC_DELETE_GRACE_SECONDS="0")
    anna = bench.watch()
    conference, conference_id = bench.conference()
    leader, copy = (bench.event(anna, conference, summary=name) for name in ("Leader", "Copy"))
    bench.sync(anna)
    link = bench.link(anna, leader)
    assert link is not None
    assert link.leading
    put_back(bench, link)
    bench.calendar.cancel(anna, leader)
    bench.conferencing.trouble("false-not-found", times=2, method="GET")
    bench.sync(anna)
    inherited = bench.link(anna, copy)
    assert inherited is not None
    assert inherited.leading
    assert bench.link(anna, leader) is None
    bench.run_tasks()
    assert bench.conferencing.conferences[conference_id]["title"] == "Copy"
    assert bench.calls("DELETE") == []
