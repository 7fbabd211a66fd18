"""Firestore alone: round trips and their price, lost answers, refusals, and how it is queried."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.cloud.firestore_v1.types import (
    BatchGetDocumentsRequest,
    CommitRequest,
    RunAggregationQueryRequest,
    RunQueryRequest,
    StructuredQuery,
)

from sync.errors import Invalid, TryLater
from sync.model.calendar import CalendarState, CalendarStatus
from sync.model.conference import LISTED, ConferenceRecord, FailureState, Link
from sync.model.event import CalendarId, EventId
from sync.store import (
    QUERIED_FIELDS,
    DropConference,
    DropLink,
    PutConference,
    PutLink,
    Store,
    Versioned,
)
from sync.store.firestore import FirestoreStore
from tests.benchmarks.wire import Documents, Operations
from tests.support.bench import TurnedClock
from tests.support.stores import (
    ANNA,
    FULL_RECORD,
    NOW,
    TICK,
    Gate,
    carrying,
    conference,
    event,
    failure,
    letting_go,
    link_of,
    stored,
)
from tests.support.turned_time import turned_time

_projects = itertools.count(1)


@pytest.fixture
def firestore(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Iterator[FirestoreStore]:
    gate.reset()
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", gate.host)
    store = FirestoreStore(
        project=f"alone-{next(_projects)}-{uuid.uuid4().hex[:8]}", database="(default)"
    )
    yield store
    store.close()


@pytest.mark.firestore
def test_a_page_s_links_and_failures_are_read_in_one_round_trip(
    firestore: FirestoreStore, gate: Gate
) -> None:
    """250 events, one call."""
    stored(firestore, *(Link(event=event(f"e{number}")) for number in range(250)))
    gate.calls.clear()
    known = firestore.get_known(ANNA, [EventId(f"e{number}") for number in range(250)])
    assert len(known.links) == 250
    assert gate.calls == {"BatchGetDocuments": 1}


@pytest.mark.firestore
def test_writes_and_reads_cost_one_round_trip_each(firestore: FirestoreStore, gate: Gate) -> None:
    """A run's own operations: read the calendar, write it, commit a link and its conference."""
    version = firestore.create_calendar(CalendarState(calendar_id=ANNA))
    gate.calls.clear()
    firestore.get_calendar(ANNA)
    firestore.update_calendar(CalendarState(calendar_id=ANNA), version)
    firestore.commit(
        [
            PutLink(Link(event=event()), None),
            PutConference(ConferenceRecord(ref=conference()), None),
        ]
    )
    assert gate.calls.total() == 3
    assert gate.calls["Commit"] == 2


def billed(gate: Gate) -> Operations:
    """The documents that the emulator was asked to read, write and delete. A query counts once."""
    operations = Operations()
    for name, request in gate.asked:
        match name:
            case "BatchGetDocuments":
                documents = BatchGetDocumentsRequest.deserialize(request).documents
                operations += Operations(reads=len(documents))
            case "RunQuery" | "RunAggregationQuery":
                operations += Operations(reads=1)
            case "Commit":
                writes = CommitRequest.deserialize(request).writes
                deletes = sum(bool(write.delete) for write in writes)
                operations += Operations(writes=len(writes) - deletes, deletes=deletes)
    return operations


@pytest.mark.firestore
def test_what_docs_price_is_what_firestore_is_asked_for(
    firestore: FirestoreStore, gate: Gate
) -> None:
    """docs/cost.md counts documents at the store. At the wire they are the same."""
    counting: Any = Documents(firestore)
    gate.asked.clear()
    version = counting.create_calendar(CalendarState(calendar_id=ANNA))
    counting.get_calendar(ANNA)
    counting.update_calendar(CalendarState(calendar_id=ANNA), version)
    counting.get_known(ANNA, [EventId("e1"), EventId("e2"), EventId("e3")])
    record = ConferenceRecord(ref=conference())
    made = counting.commit([PutLink(carrying("e1"), None), PutConference(record, None)])
    counting.get_conference(conference())
    counting.links_of_conference(conference("e1"))
    counting.mark_seen(ANNA, [EventId("e1")], "sync-1")
    assert len(list(counting.links_of_calendar(ANNA))) == 1
    counting.commit([DropConference(conference(), made[1])])
    counting.put_failure(failure(), None)
    counting.get_failure(event().key)
    counting.list_failures()
    counting.failures_due(NOW)
    counting.links_due(NOW)
    counting.count_failures(FailureState.PARKED)
    counting.delete_failure(event().key)
    counting.list_calendars()
    counting.delete_calendar(ANNA)
    assert counting.operations == billed(gate)


@pytest.mark.firestore
def test_a_page_is_marked_as_seen_in_few_round_trips(firestore: FirestoreStore, gate: Gate) -> None:
    """250 links that are all there, one call."""
    stored(firestore, *(Link(event=event(f"e{number}")) for number in range(250)))
    gate.calls.clear()
    firestore.mark_seen(ANNA, [EventId(f"e{number}") for number in range(250)], "sync-1")
    assert gate.calls == {"Commit": 1}


@pytest.mark.firestore
def test_links_are_walked_over_in_pages(firestore: FirestoreStore, gate: Gate) -> None:
    """700 links are three queries: never all of them in memory."""
    for place in range(0, 700, 350):
        stored(
            firestore, *(Link(event=event(f"e{number}")) for number in range(place, place + 350))
        )
    gate.calls.clear()
    links = firestore.links_of_calendar(ANNA)
    next(links)
    assert gate.calls == {"RunQuery": 1}
    assert len(list(links)) == 699
    assert gate.calls == {"RunQuery": 3}


@pytest.mark.firestore
def test_a_commit_whose_answer_was_lost_is_a_success(firestore: FirestoreStore, gate: Gate) -> None:
    """The client repeats it, and the repetition's failure on its own first success is not taken
    for another's."""
    gate.lose = 1
    version = firestore.create_calendar(CalendarState(calendar_id=ANNA))
    gate.lose = 1
    version = firestore.update_calendar(CalendarState(calendar_id=ANNA, reason="a"), version)
    assert firestore.get_calendar(ANNA) == Versioned(
        CalendarState(calendar_id=ANNA, reason="a"), version
    )
    gate.lose = 1
    versions = firestore.commit(
        [PutLink(Link(event=event()), None), PutConference(FULL_RECORD, None)]
    )
    assert link_of(firestore, event()).version == versions[0]
    assert versions[0] is not None
    gate.lose = 1
    dropped = firestore.commit(
        [DropLink(event(), versions[0]), PutConference(FULL_RECORD, versions[1])]
    )
    assert dropped[0] is None
    found = firestore.get_conference(FULL_RECORD.ref)
    assert found is not None
    assert found.version == dropped[1]
    gate.lose = 1
    parked = firestore.put_failure(failure(), None)
    gate.lose = 1
    firestore.delete_failure(failure().id, parked)
    assert firestore.get_failure(failure().id) is None


def reads(store: Store) -> tuple[Callable[[], object], ...]:
    """Every way to read."""
    return (
        lambda: store.get_calendar(ANNA),
        lambda: store.get_known(ANNA, [EventId("e1")]),
        lambda: list(store.links_of_calendar(ANNA)),
        lambda: store.links_of_conference(conference()),
        lambda: store.get_conference(conference()),
        lambda: store.get_failure(failure().id),
        lambda: store.list_calendars(),
        lambda: store.list_failures(),
        lambda: store.count_failing_calendars(),
        lambda: store.failures_due(NOW),
        lambda: store.links_due(NOW),
    )


@pytest.mark.firestore
@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.INVALID_ARGUMENT,
    ],
    ids=lambda code: str(code.name),
)
def test_a_firestore_that_refuses_reads_is_tried_later(
    firestore: FirestoreStore, gate: Gate, code: grpc.StatusCode
) -> None:
    """An error of a read is never taken for a lost race; the text names the setting and the
    role."""
    gate.answer(code)
    for read in reads(firestore):
        with pytest.raises(TryLater, match=r"SYNC_FIRESTORE_DATABASE.*roles/datastore\.user"):
            read()


@pytest.mark.firestore
def test_a_firestore_out_of_reach_is_given_up_within_its_time_out(
    firestore: FirestoreStore, gate: Gate
) -> None:
    """Each call is repeated for a while, and then the queue has to bring the task again."""
    version = firestore.create_calendar(CalendarState(calendar_id=ANNA))
    gate.answer(grpc.StatusCode.UNAVAILABLE)
    clock = TurnedClock()
    writes: tuple[Callable[[], object], ...] = (
        lambda: firestore.update_calendar(CalendarState(calendar_id=ANNA), version),
        lambda: firestore.delete_calendar(ANNA),
        lambda: firestore.mark_seen(ANNA, [EventId("e1")], "sync"),
    )
    for call in (*reads(firestore), *writes):
        began = clock()
        gate.calls.clear()
        with turned_time(clock), pytest.raises(TryLater):
            call()
        assert gate.calls.total() > 1
        assert clock() - began <= timedelta(seconds=20)


@pytest.mark.firestore
def test_a_write_that_firestore_never_takes_parks_the_event(
    firestore: FirestoreStore, gate: Gate
) -> None:
    """Trying again cannot help, so it is not tried again."""
    gate.answer(grpc.StatusCode.INVALID_ARGUMENT)
    with pytest.raises(Invalid, match="Firestore does not take"):
        stored(firestore, Link(event=event()))


@pytest.mark.firestore
def test_queries_ask_for_the_fields_that_are_indexed_and_need_no_index_of_several(
    firestore: FirestoreStore, gate: Gate
) -> None:
    """Equality in the order of names, or one range in the order of its field, on the listed
    fields."""
    stored(firestore, letting_go("e1", NOW), letting_go("e2", NOW))
    for name in ("e1", "e2"):
        firestore.put_failure(failure(name), None)
        firestore.create_calendar(CalendarState(calendar_id=CalendarId(name)))
    gate.reset()
    token = firestore.list_calendars(status=CalendarStatus.STARTING, limit=1).next_page_token
    firestore.list_calendars(status=CalendarStatus.STARTING, page_token=token)
    list(firestore.links_of_calendar(ANNA))
    firestore.links_of_conference(conference())
    token = firestore.links_due(NOW + TICK, limit=1).next_page_token
    firestore.links_due(NOW + TICK, page_token=token)
    token = firestore.failures_due(NOW + TICK, limit=1).next_page_token
    firestore.failures_due(NOW + TICK, page_token=token)
    token = firestore.list_failures(LISTED, ANNA, limit=1).next_page_token
    firestore.list_failures(LISTED, ANNA, page_token=token)
    firestore.count_failures(FailureState.PARKED)
    firestore.count_calendars(CalendarStatus.OK)
    firestore.count_failing_calendars()
    assert gate.calls.keys() == {"RunQuery", "RunAggregationQuery"}

    asked: dict[str, set[str]] = {name: set() for name in QUERIED_FIELDS}
    for name, request in gate.asked:
        query = structured_query(name, request)
        equal: set[str] = set()
        ranges: set[str] = set()
        for one in filters(query.where):
            fields = equal if one.op in _EQUAL else ranges
            fields.add(one.field.field_path)
        order = [str(one.field.field_path) for one in query.order_by]
        # A count needs no order.
        ordered = [] if name == "RunAggregationQuery" else [*ranges, "__name__"]
        assert order in ([], ["__name__"]) if not ranges else order == ordered
        assert not ranges or not equal
        asked[query.from_[0].collection_id] |= equal | ranges
    assert asked == {name: set(fields) for name, fields in QUERIED_FIELDS.items()}


_EQUAL = (
    StructuredQuery.FieldFilter.Operator.EQUAL,
    StructuredQuery.FieldFilter.Operator.IN,
)


def structured_query(name: str, request: bytes) -> StructuredQuery:
    query: StructuredQuery
    if name == "RunQuery":
        query = RunQueryRequest.deserialize(request).structured_query
    else:
        aggregation = RunAggregationQueryRequest.deserialize(request)
        query = aggregation.structured_aggregation_query.structured_query
    return query


def filters(where: StructuredQuery.Filter) -> Iterator[StructuredQuery.FieldFilter]:
    if "composite_filter" in where:
        for one in where.composite_filter.filters:
            yield from filters(one)
    elif "field_filter" in where:
        yield where.field_filter


@pytest.mark.firestore
@pytest.mark.parametrize("rows", [0, 3])
def test_what_is_due_costs_one_query_for_each_stage(
    firestore: FirestoreStore, gate: Gate, rows: int
) -> None:
    """Four queries for links while those of the previous version may be there, one for failures;
    a page that is full asks no further."""
    stored(firestore, *(letting_go(f"e{number}", NOW) for number in range(rows)))
    gate.calls.clear()
    firestore.links_due(NOW + TICK)
    assert gate.calls == {"RunQuery": 4}
    gate.calls.clear()
    firestore.links_due(NOW + TICK, limit=2)
    assert gate.calls == {"RunQuery": 1 if rows else 4}
    gate.calls.clear()
    firestore.failures_due(NOW)
    assert gate.calls == {"RunQuery": 1}


@pytest.mark.firestore
def test_no_two_projects_share_anything(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """What isolates these tests: a store sees its own project alone."""
    gate.reset()
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", gate.host)
    stores = [
        FirestoreStore(project=f"p-{uuid.uuid4().hex[:8]}", database="(default)") for _ in range(2)
    ]
    stores[0].create_calendar(CalendarState(calendar_id=ANNA))
    assert stores[1].get_calendar(ANNA) is None
    for store in stores:
        store.close()
