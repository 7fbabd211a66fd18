"""One contract for both stores: SQLite in a file, and Firestore on Google's own emulator."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable
from concurrent import futures
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.errors import Conflict, Invalid
from sync.model.calendar import CalendarState, CalendarStatus, Failing
from sync.model.conference import (
    DROPPED_AFTER,
    LISTED,
    Approximation,
    Carried,
    ConferenceRecord,
    ConferenceRef,
    ConferenceState,
    Creation,
    EventRef,
    FailureState,
    Fingerprint,
    LettingGo,
    Link,
    Told,
)
from sync.model.event import CalendarId, ConferenceId, Etag, EventId, SyncToken, digest
from sync.store import (
    DropConference,
    DropLink,
    PutConference,
    PutLink,
    Store,
    Version,
    Versioned,
    Write,
)
from sync.store.compare_and_set import change_calendar, change_link
from sync.store.documents import from_document, from_json, to_document, to_json
from tests.support.stores import (
    ANNA,
    BEN,
    FULL_FAILURE,
    FULL_LINK,
    FULL_RECORD,
    FULL_STATE,
    NOW,
    TICK,
    Made,
    carrying,
    conference,
    counted_once,
    due_failures,
    due_links,
    event,
    failure,
    letting_go,
    link_of,
    stored,
)

# Calendars.


def test_a_calendar_is_created_read_changed_and_forgotten(store: Store) -> None:
    """A calendar's life, with a new version at each step."""
    assert store.get_calendar(ANNA) is None
    state = CalendarState(calendar_id=ANNA)
    first = store.create_calendar(state)
    assert store.get_calendar(ANNA) == Versioned(state, first)
    changed = replace(state, status=CalendarStatus.OK, sync_token=SyncToken("a="))
    second = store.update_calendar(changed, first)
    assert store.get_calendar(ANNA) == Versioned(changed, second)
    assert first != second
    store.delete_calendar(ANNA)
    store.delete_calendar(ANNA)
    assert store.get_calendar(ANNA) is None


def test_h4_a_calendar_is_deleted_at_the_version_that_was_read(store: Store) -> None:
    """A start that failed late takes back only what no other start has changed."""
    state = CalendarState(calendar_id=ANNA)
    stale = store.create_calendar(state)
    current = store.update_calendar(replace(state, start_id="second"), stale)
    with pytest.raises(Conflict):
        store.delete_calendar(ANNA, stale)
    assert store.get_calendar(ANNA) == Versioned(replace(state, start_id="second"), current)
    store.delete_calendar(ANNA, current)
    assert store.get_calendar(ANNA) is None
    with pytest.raises(Conflict):
        store.delete_calendar(ANNA, current)


def test_a_known_calendar_is_not_created_again(store: Store) -> None:
    """Creating says that it is there, and leaves it as it was."""
    state = CalendarState(calendar_id=ANNA, sync_token=SyncToken("a="))
    version = store.create_calendar(state)
    with pytest.raises(Conflict):
        store.create_calendar(CalendarState(calendar_id=ANNA))
    assert store.get_calendar(ANNA) == Versioned(state, version)


def test_a_stale_version_writes_nothing(store: Store) -> None:
    """Whoever read before another wrote gets Conflict; so does who writes what is gone."""
    state = CalendarState(calendar_id=ANNA)
    stale = store.create_calendar(state)
    current = store.update_calendar(replace(state, time_zone="UTC"), stale)
    with pytest.raises(Conflict):
        store.update_calendar(replace(state, time_zone="Asia/Tokyo"), stale)
    found = store.get_calendar(ANNA)
    assert found == Versioned(replace(state, time_zone="UTC"), current)
    store.delete_calendar(ANNA)
    with pytest.raises(Conflict):
        store.update_calendar(state, current)
    assert store.get_calendar(ANNA) is None


def test_the_same_content_written_twice_changes_the_version(store: Store) -> None:
    """Two workers that write the same cannot both believe that they won."""
    state = CalendarState(calendar_id=ANNA)
    first = store.create_calendar(state)
    second = store.update_calendar(state, first)
    assert first != second
    with pytest.raises(Conflict):
        store.update_calendar(state, first)
    link, record = Link(event=event()), ConferenceRecord(ref=conference())
    versions = store.commit([PutLink(link, None), PutConference(record, None)])
    again = store.commit([PutLink(link, versions[0]), PutConference(record, versions[1])])
    assert set(versions).isdisjoint(again)
    for write in (PutLink(link, versions[0]), PutConference(record, versions[1])):
        with pytest.raises(Conflict):
            store.commit([write])


def test_a_calendar_made_anew_is_not_at_the_old_version(store: Store) -> None:
    """A run that outlived its calendar's end and new beginning overwrites nothing."""
    state = CalendarState(calendar_id=ANNA)
    before = store.create_calendar(state)
    store.delete_calendar(ANNA)
    store.create_calendar(replace(state, sync_token=SyncToken("new=")))
    with pytest.raises(Conflict):
        store.update_calendar(replace(state, sync_token=SyncToken("old=")), before)


def test_a_link_or_a_conference_made_anew_is_not_at_the_old_version(store: Store) -> None:
    """The same for what is dropped and written again meanwhile."""
    link, record = Link(event=event()), ConferenceRecord(ref=conference())
    old = store.commit([PutLink(link, None), PutConference(record, None)])
    assert old[0] is not None
    assert old[1] is not None
    store.commit([DropLink(link.event, old[0]), DropConference(record.ref, old[1])])
    store.commit([PutLink(link, None), PutConference(record, None)])
    for write in (
        PutLink(link, old[0]),
        PutConference(record, old[1]),
        DropLink(link.event, old[0]),
        DropConference(record.ref, old[1]),
    ):
        with pytest.raises(Conflict):
            store.commit([write])


def test_calendars_are_listed_page_by_page(store: Store) -> None:
    """Every calendar comes once, in pages of the wanted size, filtered by status; a token ends
    with the last page."""
    ids = [CalendarId(f"{number}@example.com") for number in range(7)]
    for number, calendar_id in enumerate(ids):
        status = CalendarStatus.BROKEN if number % 3 == 0 else CalendarStatus.OK
        store.create_calendar(CalendarState(calendar_id=calendar_id, status=status))

    def pages(limit: int, status: CalendarStatus | None = None) -> list[list[CalendarId]]:
        found, token = [], None
        while True:
            listing = store.list_calendars(status=status, page_token=token, limit=limit)
            found.append([state.calendar_id for state in listing.items])
            token = listing.next_page_token
            if token is None:
                return found

    assert [len(page) for page in pages(3)] == [3, 3, 1]
    assert sorted(itertools.chain(*pages(3))) == ids
    assert [len(page) for page in pages(7)] == [7]
    assert pages(100) == [list(itertools.chain(*pages(2)))]
    assert {len(page) for page in pages(2, CalendarStatus.BROKEN)} == {2, 1}
    assert sorted(itertools.chain(*pages(2, CalendarStatus.BROKEN))) == [ids[0], ids[3], ids[6]]
    assert pages(2, CalendarStatus.POLLED) == [[]]


def test_a_page_token_is_what_the_front_door_takes(store: Store) -> None:
    """Tokens are 32 hexadecimal digits, and outlive what they name."""
    for number in range(3):
        store.create_calendar(CalendarState(calendar_id=CalendarId(f"{number}@example.com")))
    first = store.list_calendars(limit=1)
    assert first.next_page_token is not None
    assert len(first.next_page_token) == 32
    assert set(first.next_page_token) <= set("0123456789abcdef")
    store.delete_calendar(first.items[0].calendar_id)
    assert len(store.list_calendars(page_token=first.next_page_token).items) == 2


# Links and conferences.


def test_what_is_known_of_events_comes_with_links_and_failures(store: Store) -> None:
    """Only the events asked for, of that calendar alone; what is not known is left out."""
    versions = stored(
        store, Link(event=event("e1")), Link(event=event("e2")), Link(event=event("e1", BEN))
    )
    version = store.put_failure(failure("e2"), None)
    store.put_failure(failure("e3"), None)
    known = store.get_known(ANNA, [EventId("e1"), EventId("e2"), EventId("e4")])
    assert known.links == {
        "e1": Versioned(Link(event=event("e1")), versions[0]),
        "e2": Versioned(Link(event=event("e2")), versions[1]),
    }
    assert known.failures == {"e2": Versioned(failure("e2"), version)}
    nothing = store.get_known(ANNA, [])
    assert (nothing.links, nothing.failures) == ({}, {})


def test_what_is_known_of_a_thousand_events_comes_at_once(store: Store) -> None:
    """A page larger than any statement's limit is read like another, ids given twice included."""
    stored(store, *(Link(event=event(f"e{number}")) for number in range(0, 1000, 10)))
    ids = [EventId(f"e{number}") for number in range(1000)]
    assert len(store.get_known(ANNA, [*ids, *ids]).links) == 100


def test_links_of_a_calendar_are_all_of_them(store: Store) -> None:
    """Every link once, with its version, of this calendar alone."""
    links = [Link(event=event(f"e{number}")) for number in range(1203)]
    for place in range(0, len(links), 300):
        stored(store, *links[place : place + 300])
    stored(store, Link(event=event("e1", BEN)))
    found = list(store.links_of_calendar(ANNA))
    assert sorted(one.value.event.event_id for one in found) == sorted(
        link.event.event_id for link in links
    )
    one = found[0]
    assert store.commit([DropLink(one.value.event, one.version)]) == [None]
    assert list(store.links_of_calendar(CalendarId("nobody@example.com"))) == []


def test_links_may_be_dropped_while_they_are_walked_over(store: Store) -> None:
    """A sweep deletes as it goes, and still meets every link once."""
    stored(store, *(Link(event=event(f"e{number}")) for number in range(400)))
    met = []
    for one in store.links_of_calendar(ANNA):
        met.append(one.value.event.event_id)
        store.commit([DropLink(one.value.event, one.version)])
    assert len(met) == len(set(met)) == 400
    assert list(store.links_of_calendar(ANNA)) == []


def test_links_of_a_conference_are_those_that_carry_it_now(store: Store) -> None:
    """Of any calendar; not who let it go, nor who carries another provider's conference of that
    id."""
    gone = (LettingGo(conference=conference(), since=NOW, due=NOW),)
    carried = Carried(conference=conference(), leading=True, linked_at=NOW)
    zoom, another = conference("c-1", "zoom"), conference("c-2")
    versions = stored(
        store,
        Link(event=event("e1"), carried=carried),
        Link(event=event("e2", BEN), carried=replace(carried, leading=False)),
        Link(event=event("e3"), letting_go=gone),
        Link(event=event("e4"), carried=replace(carried, conference=zoom)),
        Link(event=event("e5"), carried=replace(carried, conference=another), letting_go=gone),
    )
    found = store.links_of_conference(conference())
    assert sorted((one.value.event.event_id, one.version) for one in found) == sorted(
        zip(("e1", "e2"), versions[:2], strict=True)
    )
    store.commit([PutLink(Link(event=event("e1"), letting_go=gone), versions[0])])
    assert [one.value.event.event_id for one in store.links_of_conference(conference())] == ["e2"]
    assert store.links_of_conference(conference("c-3")) == []


DUE = {
    "deletion": letting_go("deletion", NOW + timedelta(days=9), NOW - 5 * TICK),
    "copy": carrying(
        "copy", told=Told(approximation=Approximation(reason="50 dates", again_at=NOW - 4 * TICK))
    ),
    "over": carrying("over", over_at=NOW - 3 * TICK),
    "creation": Link(
        event=event("creation"),
        creations=(Creation(key="k", provider="web", since=NOW, due=NOW - 2 * TICK),),
    ),
    "old": carrying("old", over_seen=True, over_at=NOW - DROPPED_AFTER - TICK),
}
NOT_DUE = [
    letting_go("at", NOW),
    letting_go("later", NOW + TICK),
    carrying("whole"),
    carrying("ends-with-time", over_at=datetime.max.replace(tzinfo=UTC), over_seen=True),
]


def test_links_due_come_in_the_order_of_their_moment(store: Store) -> None:
    """Whatever makes a link due; to the microsecond, and no link that is never due."""
    stored(store, *NOT_DUE, *reversed(DUE.values()))
    assert due_links(store, NOW) == [list(DUE)]
    assert store.links_due(NOW, limit=1).items == [DUE["deletion"]]
    assert due_links(store, NOW + 2 * TICK) == [[*DUE, "at", "later"]]


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_every_due_link_has_its_turn(store: Store, limit: int) -> None:
    """Pages of any size show each link once, also many of one moment; the last has no token."""
    names = [f"e{number}" for number in range(5)]
    stored(store, *(letting_go(name, NOW) for name in names), letting_go("first", NOW - TICK))
    pages = due_links(store, NOW + TICK, limit)
    assert pages[0][0] == "first"
    assert sorted(itertools.chain(*pages)) == sorted(["first", *names])
    assert all(len(page) == limit for page in pages[:-1])
    assert pages[-1]


def test_a_page_of_due_links_goes_on_where_the_last_ended_whatever_became_of_it(
    store: Store,
) -> None:
    """Links that stay due hold up nobody, and what was mended meanwhile opens no gap."""
    links = [letting_go(f"e{number}", NOW + number * TICK) for number in range(6)]
    versions = stored(store, *links)
    first = store.links_due(NOW + timedelta(days=1), limit=2)
    store.commit(
        [
            DropLink(links[0].event, versions[0]),
            PutLink(letting_go("e1", NOW + timedelta(hours=1)), versions[1]),
            DropLink(links[2].event, versions[2]),
        ]
    )
    token = first.next_page_token
    rest = store.links_due(NOW + timedelta(days=1), page_token=token)
    assert [link.event.event_id for link in rest.items] == ["e3", "e4", "e5", "e1"]


def test_a_link_is_due_as_it_was_written_last(store: Store) -> None:
    """A change of the link moves its turn."""
    (version,) = stored(store, letting_go("e1", NOW))
    store.commit([PutLink(letting_go("e1", NOW + timedelta(days=1)), version)])
    assert due_links(store, NOW + TICK) == [[]]
    assert due_links(store, NOW + timedelta(days=2)) == [["e1"]]


@pytest.mark.parametrize("token", ["", "e1", "a/b", "0//", "0/yesterday/" + "0" * 32, "\ud83d"])
def test_a_page_token_of_another_kind_is_refused(store: Store, token: str) -> None:
    """What an operator types as a token is one clear error, never a crash."""
    stored(store, letting_go("e1", NOW))
    for listing in (store.links_due, store.failures_due):
        with pytest.raises(Invalid, match="page token"):
            listing(NOW + TICK, page_token=token)
    if token:
        with pytest.raises(Invalid, match="page token"):
            store.list_calendars(page_token=token)
        with pytest.raises(Invalid, match="page token"):
            store.list_failures(page_token=token)


def test_mark_seen_notes_the_sync_on_links_that_exist(store: Store) -> None:
    """What exists is marked and gets a new version; what does not is not made; others stay as
    they are."""
    versions = stored(
        store,
        replace(FULL_LINK, event=event("e1")),
        Link(event=event("e2")),
        Link(event=event("e3")),
    )
    store.mark_seen(ANNA, [EventId("e1"), EventId("missing"), EventId("e2")], "sync-2")
    store.mark_seen(ANNA, [EventId("e1"), EventId("missing"), EventId("e2")], "sync-2")
    assert link_of(store, event("e1")).value == replace(FULL_LINK, event=event("e1"), seen="sync-2")
    assert link_of(store, event("e2")).value.seen == "sync-2"
    assert link_of(store, event("e3")) == Versioned(Link(event=event("e3")), versions[2])
    assert store.get_known(ANNA, [EventId("missing")]).links == {}
    with pytest.raises(Conflict):
        store.commit([PutLink(Link(event=event("e2")), versions[1])])
    store.mark_seen(ANNA, [], "sync-3")


def test_mark_seen_takes_a_whole_page_with_gaps(store: Store) -> None:
    """A page of many links of which one was dropped meanwhile marks all the others."""
    stored(store, *(Link(event=event(f"e{number}")) for number in range(20)))
    store.mark_seen(ANNA, [EventId(f"e{number}") for number in range(-1, 20)], "sync-1")
    assert {one.value.seen for one in store.links_of_calendar(ANNA)} == {"sync-1"}


def test_a_conference_is_written_read_and_dropped(store: Store) -> None:
    """A record's life; two providers may use one id."""
    assert store.get_conference(conference()) is None
    record = ConferenceRecord(ref=conference(), leader=event())
    (version,) = store.commit([PutConference(record, None)])
    assert version is not None
    assert store.get_conference(conference()) == Versioned(record, version)
    assert store.get_conference(conference("c-1", "zoom")) is None
    assert store.commit([DropConference(record.ref, version)]) == [None]
    assert store.get_conference(conference()) is None


PUT_LINK, PUT_CONFERENCE = (
    PutLink(Link(event=event("new")), None),
    PutConference(ConferenceRecord(ref=conference("n")), None),
)


@pytest.mark.parametrize("first", [True, False], ids=["commit-fails-last", "commit-fails-first"])
@pytest.mark.parametrize(
    "kind",
    [
        "link-exists",
        "link-is-stale",
        "link-is-gone",
        "drop-is-stale",
        "conference-exists",
        "conference-is-stale",
    ],
)
def test_a_commit_is_all_or_nothing(store: Store, kind: str, first: bool) -> None:
    """One document that is not as named undoes the whole commit, wherever it stands."""
    link, record = Link(event=event()), ConferenceRecord(ref=conference())
    stale = store.commit([PutLink(link, None), PutConference(record, None)])
    current = store.commit([PutLink(link, stale[0]), PutConference(record, stale[1])])
    assert stale[0] is not None
    assert stale[1] is not None
    failing: dict[str, Write] = {
        "link-exists": PutLink(link, None),
        "link-is-stale": PutLink(link, stale[0]),
        "link-is-gone": PutLink(Link(event=event("gone")), stale[0]),
        "drop-is-stale": DropLink(link.event, stale[0]),
        "conference-exists": PutConference(record, None),
        "conference-is-stale": DropConference(record.ref, stale[1]),
    }
    writes: list[Write] = [PUT_LINK, PUT_CONFERENCE, failing[kind]]
    with pytest.raises(Conflict):
        store.commit(writes if first else writes[::-1])
    assert store.get_known(ANNA, [EventId("new"), EventId("gone")]).links == {}
    assert store.get_conference(conference("n")) is None
    assert (link_of(store, link.event).version, store.get_conference(record.ref)) == (
        current[0],
        Versioned(record, current[1]) if current[1] is not None else None,
    )


def test_a_commit_returns_the_versions_in_order(store: Store) -> None:
    """Each write's own version, None for what was dropped; they are good for the next write."""
    old = stored(store, Link(event=event("e1")), Link(event=event("e2")))
    record = ConferenceRecord(ref=conference())
    versions = store.commit(
        [
            PutLink(Link(event=event("e3")), None),
            DropLink(event("e1"), old[0]),
            PutConference(record, None),
            PutLink(carrying("e2"), old[1]),
        ]
    )
    assert versions[1] is None
    assert link_of(store, event("e3")).version == versions[0]
    assert store.get_conference(conference()) == Versioned(record, Version(versions[2]))
    assert link_of(store, event("e2")).version == versions[3]
    assert store.commit(
        [PutLink(Link(event=event("e2")), versions[3]), PutConference(record, versions[2])]
    )


def test_a_commit_of_nothing_is_nothing(store: Store) -> None:
    """No write, no version, no error."""
    assert store.commit([]) == []


# Failures.


def test_a_failure_is_put_read_replaced_and_deleted(store: Store) -> None:
    """A failure's life, known by its event, with a new version at each step."""
    assert store.get_failure(failure().id) is None
    first = store.put_failure(failure(), None)
    assert store.get_failure(failure().id) == Versioned(failure(), first)
    second = store.put_failure(failure(attempts=2), first)
    assert store.get_failure(failure().id) == Versioned(failure(attempts=2), second)
    assert first != second
    store.delete_failure(failure().id)
    store.delete_failure(failure().id)
    assert store.get_failure(failure().id) is None


def test_a_failure_is_changed_only_as_it_was_read(store: Store) -> None:
    """Of an operator who dismisses, the clock that retries and a run that parks, one writes."""
    stale = store.put_failure(failure(), None)
    current = store.put_failure(failure(state=FailureState.DISMISSED), stale)
    for version in (None, stale):
        with pytest.raises(Conflict):
            store.put_failure(failure(attempts=9), version)
    with pytest.raises(Conflict):
        store.delete_failure(failure().id, stale)
    dismissed = failure(state=FailureState.DISMISSED)
    assert store.get_failure(failure().id) == Versioned(dismissed, current)
    store.delete_failure(failure().id, current)
    assert store.get_failure(failure().id) is None
    with pytest.raises(Conflict):
        store.put_failure(failure(), current)


def test_a_failure_that_is_gone_is_deleted_at_any_version(store: Store) -> None:
    """Deleting is safe to repeat; one that was parked anew meanwhile is another failure."""
    old = store.put_failure(failure(), None)
    store.delete_failure(failure().id, old)
    store.delete_failure(failure().id, old)
    store.put_failure(failure(), None)
    with pytest.raises(Conflict):
        store.delete_failure(failure().id, old)


@pytest.mark.parametrize("name", ["", "e1", "a/b", "a/b/c", ".", "__all__", "\0", "\ud83d"])
def test_a_name_that_no_failure_can_have_is_not_there(store: Store, name: str) -> None:
    """What an operator types as a failure's id is not found, never a crash."""
    store.put_failure(failure(), None)
    assert store.get_failure(name) is None
    store.delete_failure(name)
    assert len(store.list_failures().items) == 1


def test_calendars_are_counted_by_status_and_by_failed_runs(store: Store) -> None:
    """`GET /status` needs numbers alone; a calendar that failed counts whatever its status is."""
    failing = Failing(runs=2, since=NOW, reason="no access")
    states = [
        CalendarState(calendar_id=CalendarId(f"{number}@example.com"), status=status)
        for number, status in enumerate([CalendarStatus.OK, *CalendarStatus])
    ]
    for state in states:
        store.create_calendar(state)
    for state in (states[0], states[-1]):
        store.create_calendar(
            replace(state, calendar_id=CalendarId(f"f-{state.calendar_id}"), failing=failing)
        )
    assert {status: store.count_calendars(status) for status in CalendarStatus} == {
        CalendarStatus.STARTING: 1,
        CalendarStatus.OK: 3,
        CalendarStatus.POLLED: 1,
        CalendarStatus.BROKEN: 2,
    }
    assert store.count_failing_calendars() == 2


def test_count_failures_counts_one_state(store: Store) -> None:
    """The clock's report needs numbers alone."""
    for number, state in enumerate([FailureState.PARKED, *FailureState]):
        store.put_failure(failure(str(number), state=state), None)
    assert {state: store.count_failures(state) for state in FailureState} == {
        state: 2 if state is FailureState.PARKED else 1 for state in FailureState
    }


def test_failures_are_listed_by_states_and_calendar_page_by_page(store: Store) -> None:
    """Both filters work alone and together, and each failure comes once, with its version."""
    states = {
        "e0": FailureState.RETRYING,
        "e1": FailureState.PARKED,
        "e2": FailureState.DISMISSED,
        "e3": FailureState.LEFT,
        "e4": FailureState.APPROXIMATE,
        "e5": FailureState.PARKED,
    }
    versions = {
        name: store.put_failure(failure(name, ANNA if name < "e4" else BEN, state=state), None)
        for name, state in states.items()
    }

    def ids(**filters: Any) -> list[str]:
        found, token = {}, None
        while True:
            listing = store.list_failures(page_token=token, limit=1, **filters)
            assert len(listing.items) <= 1
            found.update({one.value.event.event_id: one.version for one in listing.items})
            token = listing.next_page_token
            if token is None:
                assert found.items() <= versions.items()
                return sorted(found)

    parked, left = FailureState.PARKED, FailureState.LEFT
    assert ids() == ids(states=tuple(FailureState)) == list(states)
    assert ids(states=LISTED) == ["e0", "e1", "e3", "e4", "e5"]
    assert ids(states={parked}) == ["e1", "e5"]
    assert ids(states=[parked, left]) == ["e1", "e3", "e5"]
    assert ids(states=()) == []
    assert ids(calendar_id=ANNA) == ["e0", "e1", "e2", "e3"]
    assert ids(calendar_id=BEN, states={parked}) == ["e5"]
    assert ids(calendar_id=ANNA, states=[parked, left]) == ["e1", "e3"]
    assert ids(calendar_id=CalendarId("nobody@example.com")) == []
    assert len(store.list_failures().items) == 6


def test_failures_due_come_in_the_order_of_their_next_try(store: Store) -> None:
    """Of every state, to the microsecond; one without a next try never comes."""
    store.put_failure(failure("before", next_try=NOW - TICK), None)
    store.put_failure(failure("at", next_try=NOW), None)
    long_before = failure("long", next_try=NOW - 99 * TICK, state=FailureState.RETRYING)
    version = store.put_failure(long_before, None)
    left = failure("left", next_try=NOW - 2 * TICK, state=FailureState.LEFT)
    store.put_failure(left, None)
    for state in (FailureState.DISMISSED, FailureState.APPROXIMATE, FailureState.PARKED):
        store.put_failure(failure(state.value, state=state, next_try=None), None)
    assert due_failures(store, NOW) == [["long", "left", "before"]]
    assert store.failures_due(NOW, limit=1).items == [Versioned(long_before, version)]
    assert due_failures(store, NOW + TICK, limit=2) == [["long", "left"], ["before", "at"]]


def test_a_hundred_parked_failures_hold_up_nobody(store: Store) -> None:
    """However many keep an old date, the cursor reaches the one behind them."""
    for number in range(20):
        store.put_failure(failure(f"e{number}", next_try=NOW), None)
    store.put_failure(failure("last", next_try=NOW + TICK), None)
    pages = due_failures(store, NOW + 2 * TICK, limit=8)
    assert [len(page) for page in pages] == [8, 8, 5]
    assert pages[-1][-1] == "last"
    assert len(set(itertools.chain(*pages))) == 21


# Whatever others put into a text (S6).

HOSTILE = {
    "half-a-character": "a\ud83db",
    "nul": "a\0b",
    "slashes": "../..//a/b?c#d%2F",
    "dots": ".",
    "reserved": "__name__",
    "backtick": "`'\"\\\n",
    "long": "\N{BIRTHDAY CAKE}" * 10_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_s6_any_text_is_stored_and_found_again(store: Store, text: str) -> None:
    """In every id and every text, by every way that leads to it; half a character becomes "?"."""
    cleaned = text.replace("\ud83d", "?")
    calendar_id = CalendarId(text[:200])
    ref = EventRef(calendar_id=calendar_id, event_id=EventId(text))
    shown = ConferenceRef(provider=text, conference_id=ConferenceId(text))
    told = Told(fingerprint=Fingerprint({"title": text}), occurrences={"2030-05-09": text})
    carried = Carried(conference=shown, leading=True, linked_at=NOW, told=told, over_at=NOW)
    link = Link(event=ref, carried=carried, written=shown.conference_id, etag=Etag(text))
    store.create_calendar(CalendarState(calendar_id=calendar_id, sync_token=SyncToken(text)))
    stored(store, link)
    store.commit([PutConference(ConferenceRecord(ref=shown, leader=ref), None)])
    store.put_failure(failure(text, calendar_id, version=text, action=text), None)

    calendar, record = store.get_calendar(calendar_id), store.get_conference(shown)
    assert calendar is not None
    assert record is not None
    assert (calendar.value.calendar_id, calendar.value.sync_token) == (cleaned[:200], cleaned)
    assert record.value.ref.conference_id == record.value.ref.provider == cleaned
    known = store.get_known(calendar_id, [ref.event_id])
    assert known.links.keys() == known.failures.keys() == {text}
    found = known.links[ref.event_id].value
    assert found.event == EventRef(calendar_id=CalendarId(cleaned[:200]), event_id=EventId(cleaned))
    assert found.carried is not None
    assert found.carried.told is not None
    assert found.carried.told.fingerprint == {"title": cleaned}
    assert (known.failures[ref.event_id].value.version, found.etag) == (cleaned, cleaned)
    assert len(list(store.links_of_calendar(calendar_id))) == 1
    assert len(store.links_of_conference(shown)) == 1
    assert len(store.list_failures(calendar_id=calendar_id).items) == 1
    assert len(store.links_due(NOW + TICK).items) == 1
    store.mark_seen(calendar_id, [ref.event_id], text)
    seen = link_of(store, ref)
    assert seen.value == replace(found, seen=cleaned)
    assert change_link(store, ref, lambda link: replace(link, seen="x")) is not None
    store.delete_failure(
        known.failures[ref.event_id].value.id, known.failures[ref.event_id].version
    )
    store.delete_calendar(calendar_id, calendar.version)
    assert store.get_known(calendar_id, [ref.event_id]).failures == {}


def test_s6_a_calendar_s_id_that_no_query_can_name_is_refused(store: Store) -> None:
    """1,024 bytes are taken, one more is not, and asking for more finds nothing."""
    longest = CalendarId("\N{BIRTHDAY CAKE}" * 256)
    longer = CalendarId(f"{longest}a")
    stored(store, Link(event=event("e1", longest)))
    store.put_failure(failure("e1", longest), None)
    assert len(list(store.links_of_calendar(longest))) == 1
    assert len(store.list_failures(calendar_id=longest).items) == 1
    with pytest.raises(Invalid, match="too long"):
        stored(store, Link(event=event("e1", longer)))
    with pytest.raises(Invalid, match="too long"):
        store.put_failure(failure("e1", longer), None)
    assert list(store.links_of_calendar(longer)) == []
    assert store.list_failures(calendar_id=longer).items == []


@pytest.mark.parametrize("length", [1_000, 1_001, 5_000_000])
def test_s6_a_reason_is_cut(store: Store, length: int) -> None:
    """A provider's words of any length can be parked; 1,000 characters of them are kept."""
    words, kept = "\N{BIRTHDAY CAKE}" * length, "\N{BIRTHDAY CAKE}" * 1_000
    store.put_failure(failure(reason=words), None)
    store.create_calendar(
        CalendarState(
            calendar_id=ANNA, reason=words, failing=Failing(runs=1, since=NOW, reason=words)
        )
    )
    parked, calendar = store.get_failure(failure().id), store.get_calendar(ANNA)
    assert parked is not None
    assert calendar is not None
    assert calendar.value.failing is not None
    assert parked.value.reason == calendar.value.reason == calendar.value.failing.reason == kept


def with_occurrences(number: int) -> Link:
    """A series of which so many occurrences differ, each known by a digest."""
    starts = (NOW + timedelta(days=day) for day in range(number))
    occurrences = {start.strftime("%Y-%m-%dT%H:%M:%SZ"): digest(str(start)) for start in starts}
    return carrying("series", told=Told(occurrences=occurrences))


def test_a_series_of_5000_occurrences_is_remembered(store: Store) -> None:
    """More than any calendar shows of one series: one document holds a digest for each."""
    link = with_occurrences(5_000)
    stored(store, link)
    assert link_of(store, link.event).value == link


@pytest.mark.parametrize(
    "too_large",
    [
        lambda: with_occurrences(40_000),
        lambda: carrying("e1", shown_as=ConferenceId("1" * 2_000_000)),
        lambda: Link(event=event("1" * 2_000_000)),
    ],
    ids=["occurrences", "conference-id", "event-id"],
)
def test_s6_a_link_too_large_for_a_document_is_refused_and_nothing_is_written(
    store: Store, too_large: Callable[[], Link]
) -> None:
    """The same clear error on both stores, for which the event is parked; no other is affected."""
    with pytest.raises(Invalid, match="larger than a document"):
        store.commit([PUT_LINK, PutLink(too_large(), None)])
    assert list(store.links_of_calendar(ANNA)) == []
    stored(store, PUT_LINK.link)


# Whatever is stored comes back.


def test_every_value_comes_back_as_it_was(store: Store) -> None:
    """Times to the microsecond, every character, every member."""
    store.create_calendar(FULL_STATE)
    stored(store, FULL_LINK)
    store.commit([PutConference(FULL_RECORD, None)])
    version = store.put_failure(FULL_FAILURE, None)
    calendar, record = store.get_calendar(BEN), store.get_conference(FULL_RECORD.ref)
    assert calendar is not None
    assert record is not None
    assert calendar.value == FULL_STATE
    assert record.value == FULL_RECORD
    assert link_of(store, FULL_LINK.event).value == FULL_LINK
    assert store.get_failure(FULL_FAILURE.id) == Versioned(FULL_FAILURE, version)
    assert calendar.value.lease is not None
    assert calendar.value.lease.expires.utcoffset() == timedelta()


_TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
_MOMENT = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - naive bounds
_REF = st.builds(ConferenceRef, provider=_TEXT, conference_id=_TEXT.map(ConferenceId))
_NAMED = st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), _TEXT, max_size=2)
_TOLD = st.builds(
    Told,
    fingerprint=_NAMED.map(Fingerprint),
    occurrences=st.dictionaries(
        st.from_regex(r"[0-9TZ:.-]{1,20}", fullmatch=True), _TEXT, max_size=2
    ),
    approximation=st.none() | st.builds(Approximation, reason=_TEXT, again_at=st.none() | _MOMENT),
    missing_since=st.none() | _MOMENT,
)
_LINK = st.builds(
    Link,
    event=st.builds(EventRef, calendar_id=_TEXT.map(CalendarId), event_id=_TEXT.map(EventId)),
    carried=st.none()
    | st.builds(
        Carried,
        conference=_REF,
        leading=st.booleans(),
        linked_at=_MOMENT,
        told=st.none() | _TOLD,
        over_at=st.none() | _MOMENT,
    ),
    letting_go=st.lists(
        st.builds(LettingGo, conference=_REF, since=_MOMENT, due=_MOMENT, told=st.none() | _TOLD),
        max_size=2,
    ).map(tuple),
    creations=st.lists(
        st.builds(Creation, key=_TEXT, provider=_TEXT, since=_MOMENT, due=_MOMENT), max_size=2
    ).map(tuple),
    writes=st.lists(_MOMENT, max_size=2).map(tuple),
    seen=st.none() | _TEXT,
)


@given(link=_LINK)
def test_a_link_comes_back_from_its_document(link: Link) -> None:
    """Whatever a link holds survives both forms of a document."""
    assert from_document(to_document(link), Link) == link
    assert from_json(to_json(link), Link) == link


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(link=_LINK)
def test_any_link_comes_back_from_the_store(made: Made, link: Link) -> None:
    """Whatever a link holds survives the database."""
    ref = replace(link.event, event_id=EventId(f"{link.event.event_id}-{uuid.uuid4().hex}"))
    link = replace(link, event=ref)
    stored(made.store, link)
    assert link_of(made.store, ref).value == link


def test_an_unknown_field_of_a_document_is_passed_over_and_a_missing_one_has_its_default(
    made: Made,
) -> None:
    """An instance of the version before, or after, reads what this one wrote."""
    store = made.store
    store.create_calendar(FULL_STATE)
    stored(store, FULL_LINK)
    store.commit([PutConference(FULL_RECORD, None)])
    store.put_failure(FULL_FAILURE, None)
    ids = {
        "calendars": digest(BEN),
        "links": FULL_LINK.event.key,
        "conferences": FULL_RECORD.ref.key,
        "failures": FULL_FAILURE.id,
    }
    gone = {
        "calendars": ("time_zone", "watchable", "lease", "expirations"),
        "links": ("creations", "writes", "letting_go", "seen"),
        "conferences": ("leader", "state", "replaced_by"),
        "failures": ("version",),
    }
    for collection, document in made.documents():
        left = {name: value for name, value in document.items() if name not in gone[collection]}
        made.put(collection, ids[collection], {**left, "something_new": {"deep": [1, 2]}})
    calendar, record = store.get_calendar(BEN), store.get_conference(FULL_RECORD.ref)
    assert calendar is not None
    assert record is not None
    assert calendar.value == replace(
        FULL_STATE, time_zone=None, watchable=True, lease=None, expirations=0
    )
    assert link_of(store, FULL_LINK.event).value == replace(
        FULL_LINK, creations=(), writes=(), letting_go=(), seen=None
    )
    assert record.value == replace(
        FULL_RECORD, leader=None, state=ConferenceState.LIVE, replaced_by=None
    )
    kept = store.get_failure(FULL_FAILURE.id)
    assert kept is not None
    assert kept.value == replace(FULL_FAILURE, version=None)


# Several writers.


def test_of_many_that_create_a_calendar_one_wins(made: Made) -> None:
    """However many come at once: one creates it, the others get Conflict."""
    outcomes = side_by_side(
        made,
        8,
        lambda store, number: store.create_calendar(
            CalendarState(calendar_id=ANNA, reason=str(number))
        ),
    )
    assert outcomes.count("changed") == 7


@pytest.mark.parametrize("target", ["calendar", "link", "conference", "failure"])
def test_of_many_that_write_from_one_version_one_wins(made: Made, target: str) -> None:
    """A compare-and-set has one winner, and what is stored is the winner's."""
    store = made.store
    state, link, record = (
        CalendarState(calendar_id=ANNA),
        Link(event=event()),
        ConferenceRecord(ref=conference()),
    )
    version = store.create_calendar(state)
    versions = store.commit([PutLink(link, None), PutConference(record, None)])
    parked = store.put_failure(failure(), None)

    def write(store: Store, number: int) -> object:
        if target == "calendar":
            return store.update_calendar(replace(state, reason=str(number)), version)
        if target == "link":
            return store.commit([PutLink(replace(link, seen=str(number)), versions[0])])
        if target == "failure":
            return store.put_failure(failure(action=str(number)), parked)
        return store.commit(
            [PutConference(replace(record, replaced_by=ConferenceId(str(number))), versions[1])]
        )

    outcomes = side_by_side(made, 8, write)
    assert outcomes.count("changed") == 7
    winner = str(next(number for number, outcome in enumerate(outcomes) if outcome != "changed"))
    calendar, shared = store.get_calendar(ANNA), store.get_conference(conference())
    left = store.get_failure(failure().id)
    assert calendar is not None
    assert shared is not None
    assert left is not None
    assert winner in (
        left.value.action,
        calendar.value.reason,
        link_of(store, event()).value.seen,
        shared.value.replaced_by,
    )


def test_nothing_is_lost_when_many_count_by_compare_and_set(made: Made) -> None:
    """Four workers that read, add one and write until they win end at the sum."""
    made.store.create_calendar(CalendarState(calendar_id=ANNA))

    def count(store: Store, _: int) -> None:
        for _ in range(10):
            assert change_calendar(store, ANNA, counted_once) is not None

    assert "changed" not in side_by_side(made, 4, count)
    found = made.store.get_calendar(ANNA)
    assert found is not None
    assert found.value.expirations == 40


def side_by_side(made: Made, workers: int, write: Callable[[Store, int], object]) -> list[object]:
    """Let each worker write at the same moment, half of them through one store; "changed" is an
    outcome."""
    other = made.again()
    together = threading.Barrier(workers)

    def work(number: int) -> object:
        together.wait()
        try:
            return write(made.store if number % 2 else other, number)
        except Conflict:
            return "changed"

    with futures.ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, range(workers)))
