"""The loop around a compare-and-set, on both stores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sync.errors import TryLater
from sync.model.calendar import CalendarState, Lease
from sync.model.event import SyncToken
from sync.store import Store, Versioned
from sync.store.compare_and_set import change_calendar, change_failure, change_link
from tests.support.stores import (
    ANNA,
    NOW,
    Made,
    carrying,
    counted_once,
    event,
    failure,
    link_of,
    stored,
)


def test_a_change_is_applied_to_what_is_stored_by_then(made: Made) -> None:
    """A write that lost is repeated on the winner's state, and nothing of that is undone."""
    store, other = made.store, made.again()
    store.create_calendar(CalendarState(calendar_id=ANNA))
    met = []

    def change(state: CalendarState) -> CalendarState:
        met.append(state.time_zone)
        if len(met) == 1:
            other_writes(other)
        return replace(state, reason="ours")

    def other_writes(other: Store) -> None:
        found = other.get_calendar(ANNA)
        assert found is not None
        other.update_calendar(replace(found.value, time_zone="Asia/Tokyo"), found.version)

    changed = change_calendar(store, ANNA, change)
    assert met == [None, "Asia/Tokyo"]
    assert changed == store.get_calendar(ANNA)
    assert changed is not None
    assert changed.value == CalendarState(calendar_id=ANNA, time_zone="Asia/Tokyo", reason="ours")


def test_a_change_that_changes_nothing_writes_nothing(store: Store) -> None:
    """The version stays, so that nobody else has to repeat a write."""
    state = CalendarState(calendar_id=ANNA)
    version = store.create_calendar(state)
    assert change_calendar(store, ANNA, lambda same: same) == Versioned(state, version)
    assert change_calendar(store, ANNA, lambda _: None) == Versioned(state, version)
    assert store.get_calendar(ANNA) == Versioned(state, version)


def test_a_change_is_not_made_where_its_condition_does_not_hold(made: Made) -> None:
    """A run that lost its lease writes nothing, also when it loses the lease between two tries."""
    store, other = made.store, made.again()
    ours, theirs = (Lease(id=name, expires=NOW) for name in ("ours", "theirs"))
    state = CalendarState(calendar_id=ANNA, lease=ours)
    document = Versioned(state, store.create_calendar(state))

    def holds(state: CalendarState) -> bool:
        return state.lease is not None and state.lease.id == "ours"

    def change(state: CalendarState) -> CalendarState:
        change_calendar(other, ANNA, lambda taken: replace(taken, lease=theirs))
        return replace(state, sync_token=SyncToken("old="))

    assert change_calendar(store, ANNA, change, holds=holds, document=document) is None
    found = store.get_calendar(ANNA)
    assert found is not None
    assert found.value == CalendarState(calendar_id=ANNA, lease=theirs)


def test_what_is_gone_is_not_changed(made: Made) -> None:
    """Nothing is made anew, whether it was gone before or goes between two tries."""
    store, other = made.store, made.again()
    assert change_calendar(store, ANNA, counted_once) is None
    assert change_link(store, event(), lambda link: replace(link, seen="s")) is None
    assert change_failure(store, failure().id, lambda one: replace(one, attempts=2)) is None
    state = CalendarState(calendar_id=ANNA)
    document = Versioned(state, store.create_calendar(state))
    other.delete_calendar(ANNA)
    assert change_calendar(store, ANNA, counted_once, document=document) is None
    assert store.get_calendar(ANNA) is None


def test_a_document_that_others_change_without_end_is_tried_later(made: Made) -> None:
    """The loop ends, and the task comes again."""
    store, other = made.store, made.again()
    store.create_calendar(CalendarState(calendar_id=ANNA))
    tries = []

    def change(state: CalendarState) -> CalendarState:
        tries.append(state.expirations)
        change_calendar(other, ANNA, counted_once)
        return replace(state, reason="never")

    with pytest.raises(TryLater, match="again and again"):
        change_calendar(store, ANNA, change)
    assert tries == list(range(100))


def test_a_link_is_changed_and_dropped_when_nothing_is_left_of_it(store: Store) -> None:
    """An empty link is no document any more."""
    stored(store, carrying("e1"), carrying("e2"))
    changed = change_link(store, event("e1"), lambda link: replace(link, seen="sync-1"))
    assert changed == link_of(store, event("e1"))
    assert changed is not None
    assert changed.value.seen == "sync-1"
    assert change_link(store, event("e1"), lambda link: replace(link, carried=None)) is None
    assert [one.value.event.event_id for one in store.links_of_calendar(ANNA)] == ["e2"]
    with_lead = change_link(store, event("e2"), lambda _: None, holds=lambda link: not link.leading)
    assert with_lead is None
    assert link_of(store, event("e2")).value == carrying("e2")


def test_a_link_that_is_not_there_is_created_on_request(store: Store) -> None:
    """The change starts from an empty link; one that leaves it empty writes nothing."""
    ref = event("e1")
    assert change_link(store, ref, lambda link: link, create=True) is not None
    assert not store.get_known(ANNA, [ref.event_id]).links
    carried = carrying("e1")
    created = change_link(store, ref, lambda _: carried, create=True)
    assert created == link_of(store, ref)
    again = change_link(store, ref, lambda link: replace(link, seen="sync-1"), create=True)
    assert again is not None
    assert again.value == replace(carried, seen="sync-1")


def test_a_failure_is_changed_in_one_step(store: Store) -> None:
    """Dismissing and giving a next try are changes of one document."""
    store.put_failure(failure(), None)
    changed = change_failure(store, failure().id, lambda one: replace(one, attempts=2))
    assert changed == store.get_failure(failure().id)
    assert changed is not None
    assert changed.value == failure(attempts=2)
