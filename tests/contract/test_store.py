"""One contract for both stores: SQLite in a file, and Firestore on Google's own emulator."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.gates import GrpcGate
from sync.errors import Conflict, Invalid, TryLater
from sync.model.calendar import (
    Access,
    CalendarState,
    CalendarStatus,
    Channel,
    Checkpoint,
    Counts,
    Failing,
    LastSync,
    Lease,
    SyncKind,
)
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
    Failure,
    FailureState,
    Fingerprint,
    LettingGo,
    Link,
    Told,
)
from sync.model.event import CalendarId, ConferenceId, Etag, EventId, PageToken, SyncToken, digest
from sync.store import (
    QUERIED_FIELDS,
    DropConference,
    DropLink,
    PutConference,
    PutLink,
    Store,
    Version,
    Versioned,
    Write,
)
from sync.store.compare_and_set import change_calendar, change_failure, change_link
from sync.store.documents import from_document, from_json, to_document, to_json
from sync.store.firestore import FirestoreStore
from sync.store.previous import FLAT_FIELDS
from sync.store.sqlite import SqliteStore, _prepare
from tests.benchmarks.wire import Documents, Operations
from tests.support.bench import TurnedClock
from tests.support.turned_time import turned_time

NOW = datetime(2030, 5, 2, 8, 30, 15, 123456, tzinfo=UTC)
ANNA, BEN = CalendarId("anna@example.com"), CalendarId("ben/../b%20e#n@example.com")
ROOT = Path(__file__).resolve().parent.parent.parent


def event(event_id: str = "e1", calendar_id: CalendarId = ANNA) -> EventRef:
    return EventRef(calendar_id=calendar_id, event_id=EventId(event_id))


def conference(conference_id: str = "c-1", provider: str = "web") -> ConferenceRef:
    return ConferenceRef(provider=provider, conference_id=ConferenceId(conference_id))


FULL_LINK = Link(
    event=event("e1/äß#%2F\N{BIRTHDAY CAKE}"),
    carried=Carried(
        conference=conference("c 1/\N{BIRTHDAY CAKE}"),
        leading=True,
        linked_at=NOW,
        strong=False,
        proven_for="anna@example.com",
        host="ben@example.com",
        told=Told(
            fingerprint=Fingerprint({"title": "0f", "time_zone": "e1"}),
            occurrences={"2030-05-09T10:00:00Z": "cancelled", "2030-05-16": "ab"},
            occurrences_pending=True,
            approximation=Approximation(reason="50 of 200 dates", again_at=NOW),
            missing_since=NOW,
        ),
        replaces=ConferenceId("c-old"),
        shown_as=ConferenceId("https://example.com/c"),
        without_occurrences=True,
        over_at=NOW,
        over_seen=True,
    ),
    letting_go=(
        LettingGo(
            conference=conference("c-0"),
            since=NOW - timedelta(microseconds=1),
            due=NOW + timedelta(seconds=60),
        ),
        LettingGo(
            conference=conference("c-9", "zoom"),
            since=NOW - timedelta(hours=1),
            due=NOW,
            proven_for="anna@example.com",
            host="ben@example.com",
            told=Told(fingerprint=Fingerprint({"title": "aa"}), occurrences={"2030-05-09": "ff"}),
            shown_as=ConferenceId("99"),
        ),
    ),
    creations=(
        Creation(
            key="key",
            provider="web",
            since=NOW,
            due=NOW + timedelta(days=1),
            conference_id=ConferenceId("c-7"),
            carried=True,
            deleted=True,
            solution="Web Conference",
            count=2,
            subject="anna@example.com",
            host="anna@example.com",
        ),
    ),
    written=ConferenceId("c-8"),
    etag=Etag('"3790000000000000"'),
    writes=(NOW, NOW + timedelta(microseconds=1)),
    seen="sync-1",
)
FULL_STATE = CalendarState(
    calendar_id=BEN,
    access=Access(subject="ben@example.com", credentials_secret="projects/p/secrets/s"),
    time_zone="Europe/Berlin",
    status=CalendarStatus.BROKEN,
    reason="Zugriff verweigert \N{BIRTHDAY CAKE}",
    channel=Channel(id="ch-1", resource_id="r-1", expires=NOW),
    opening=Channel(id="ch-2"),
    retiring=(
        Channel(id="ch-0", resource_id="r-0", expires=NOW + timedelta(days=7)),
        Channel(id="ch-00", access=Access(subject="before@example.com")),
    ),
    watchable=False,
    sync_token=SyncToken("CPDAlvWDx70CEPDAlvWDx70CGAU="),
    token_version="0a1b",
    expirations=3,
    lease=Lease(id="lease-1", expires=NOW + timedelta(microseconds=999_999)),
    last_sync=LastSync(
        at=NOW,
        kind=SyncKind.FULL,
        counts=Counts(changes=5, created=1, updated=2, deleted=3, failed=4),
    ),
    failing=Failing(runs=3, since=NOW, reason="403", retries=2, retry_at=NOW, denied_since=NOW),
    checkpoint=Checkpoint(
        full_sync_id="sync-1",
        time_min=NOW,
        page_token=PageToken("page=2"),
        next_sync_token=SyncToken("next="),
        counts=Counts(changes=1),
    ),
    started_at=NOW,
    start_id="start-1",
    try_again_at=NOW,
    broken_since=NOW,
    handed_on=True,
)
FULL_RECORD = ConferenceRecord(
    ref=conference("c/1"),
    state=ConferenceState.REPLACED,
    leader=event(),
    last_leader=event("e3"),
    changed_by=event("e2", BEN),
    changed_at=NOW,
    replaced_by=ConferenceId("c-2"),
    expires_at=NOW,
)
FULL_FAILURE = Failure(
    event=event("e1", BEN),
    provider="web",
    conference_id=ConferenceId("c-1"),
    action="update",
    reason="web answered 422: zu lang \N{BIRTHDAY CAKE}",
    attempts=3,
    state=FailureState.RETRYING,
    first=NOW,
    next_try=NOW + timedelta(microseconds=1),
    version='"1"',
    rule="O2",
)


def failure(event_id: str = "e1", calendar_id: CalendarId = ANNA, **changes: Any) -> Failure:
    parked = Failure(
        event=event(event_id, calendar_id),
        provider=None,
        conference_id=None,
        action="plan",
        reason="no reason",
        attempts=1,
        state=FailureState.PARKED,
        first=NOW,
        next_try=NOW,
    )
    return replace(parked, **changes)


def carrying(event_id: str, **changes: Any) -> Link:
    """A link that leads a conference of the event's own name."""
    carried = Carried(conference=conference(event_id), leading=True, linked_at=NOW)
    return Link(event=event(event_id), carried=replace(carried, **changes))


# Both stores, and what stands before Firestore to count its calls and to lose its answers.


class Gate(GrpcGate):
    """Counts the calls of the emulator, and loses the answer of some when told to."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.calls: Counter[str] = Counter()
        self.asked: list[tuple[str, bytes]] = []
        """Every request, by the method's name."""
        self.lose = 0
        """How many Commits are carried out and then answered with UNAVAILABLE."""

    def call(self, method: str, request: bytes, context: grpc.ServicerContext) -> list[bytes]:
        name = method.rpartition("/")[2]
        self.calls[name] += 1
        self.asked.append((name, request))
        answers = super().call(method, request, context)
        if name == "Commit" and self.lose:
            self.lose -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "The answer got lost.")
        return answers

    def reset(self) -> None:
        self.calls.clear()
        self.asked.clear()
        self.lose = 0
        self.answer(None)


@pytest.fixture(scope="session")
def gate(firestore_emulator: str) -> Iterator[Gate]:
    gate = Gate(firestore_emulator)
    gate.start()
    yield gate
    gate.stop()


@dataclass
class Made:
    """A store, and another one on the same documents, as a second worker has it."""

    store: Store
    again: Callable[[], Store]
    documents: Callable[[], list[tuple[str, dict[str, Any]]]]
    """Everything stored, by collection, to be looked at and put back by `put`."""
    put: Callable[[str, str, dict[str, Any]], None]


Keep = Callable[[Store], Store]


@pytest.fixture
def keep() -> Iterator[Keep]:
    """Closes at the end what it is given."""
    opened: list[Store] = []

    def keep(store: Store) -> Store:
        opened.append(store)
        return store

    yield keep
    for store in opened:
        store.close()


@pytest.fixture(params=["sqlite", pytest.param("firestore", marks=pytest.mark.firestore)])
def made(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: Keep
) -> Made:
    if request.param == "sqlite":
        return _sqlite(str(tmp_path / "deep" / "state.sqlite"), keep)
    _through(request.getfixturevalue("gate"), monkeypatch)
    return _firestore(f"test-{uuid.uuid4().hex[:12]}", keep)


def _through(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    gate.reset()
    # The library's own switch, read when a client is made.
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", gate.host)


def _sqlite(path: str, keep: Keep) -> Made:
    store = SqliteStore(path)
    keep(store)

    def put(collection: str, document_id: str, document: dict[str, Any]) -> None:
        store._connection.execute(
            f"update {collection} set body = ? where id = ?",
            (json.dumps(document, default=str), document_id),
        )

    def documents() -> list[tuple[str, dict[str, Any]]]:
        return [
            (table, json.loads(body))
            for table in ("calendars", "links", "conferences", "failures")
            for (body,) in store._connection.execute(f"select body from {table}")
        ]

    return Made(store, lambda: keep(SqliteStore(path)), documents, put)


def _firestore(project: str, keep: Keep) -> Made:
    store = FirestoreStore(project=project, database="(default)")
    keep(store)

    def put(collection: str, document_id: str, document: dict[str, Any]) -> None:
        store._client.collection(collection).document(document_id).set(document)

    def documents() -> list[tuple[str, dict[str, Any]]]:
        return [
            (name, snapshot.to_dict() or {})
            for name in ("calendars", "links", "conferences", "failures")
            for snapshot in store._client.collection(name).stream()
        ]

    return Made(
        store, lambda: keep(FirestoreStore(project=project, database="(default)")), documents, put
    )


@pytest.fixture
def store(made: Made) -> Store:
    return made.store


def link_of(store: Store, ref: EventRef) -> Versioned[Link]:
    return store.get_known(ref.calendar_id, [ref.event_id]).links[ref.event_id]


def stored(store: Store, *links: Link) -> list[Version]:
    return [
        version
        for version in store.commit([PutLink(link, None) for link in links])
        if version is not None
    ]


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


TICK = timedelta(microseconds=1)


def due_links(store: Store, before: datetime, limit: int = 100) -> list[list[str]]:
    """The ids of the events of all pages of what is due."""
    pages, token = [], None
    while True:
        listing = store.links_due(before, page_token=token, limit=limit)
        pages.append([str(link.event.event_id) for link in listing.items])
        token = listing.next_page_token
        if token is None:
            return pages


def letting_go(event_id: str, *due: datetime) -> Link:
    entries = (LettingGo(conference=conference(), since=NOW, due=moment) for moment in due)
    return Link(event=event(event_id), letting_go=tuple(entries))


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


def due_failures(store: Store, before: datetime, limit: int = 100) -> list[list[str]]:
    pages, token = [], None
    while True:
        listing = store.failures_due(before, page_token=token, limit=limit)
        pages.append([str(one.value.event.event_id) for one in listing.items])
        token = listing.next_page_token
        if token is None:
            return pages


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


# The loop around a compare-and-set.


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
    "link",
    [
        with_occurrences(40_000),
        carrying("e1", shown_as=ConferenceId("1" * 2_000_000)),
        Link(event=event("1" * 2_000_000)),
    ],
    ids=["occurrences", "conference-id", "event-id"],
)
def test_s6_a_link_too_large_for_a_document_is_refused_and_nothing_is_written(
    store: Store, link: Link
) -> None:
    """The same clear error on both stores, for which the event is parked; no other is affected."""
    with pytest.raises(Invalid, match="larger than a document"):
        store.commit([PUT_LINK, PutLink(link, None)])
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
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
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


def counted_once(state: CalendarState) -> CalendarState:
    return replace(state, expirations=state.expirations + 1)


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


# What the previous version has left (fixtures/README.md).

FIXTURES = Path(__file__).with_name("fixtures")
THEN = datetime(2026, 11, 2, 8, 30, 15, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)
BEN_PLAIN = CalendarId("ben@example.com")
CAROL, DAVE = CalendarId("carol@example.com"), CalendarId("dave@example.com")
_SENT = Fingerprint({"title": "0f" * 16, "start": "a1" * 16})


def led(event_id: str, name: str, **changes: Any) -> Link:
    """A link of the fixture that leads a conference of `my-web`, as today's version reads it."""
    carried = Carried(
        conference=conference(name, "my-web"),
        leading=True,
        linked_at=THEN,
        told=Told(fingerprint=_SENT),
    )
    calendar_id = changes.pop("calendar_id", ANNA)
    return Link(event=event(event_id, calendar_id), carried=replace(carried, **changes))


PREVIOUS_LINKS = [
    replace(
        led("leads", "c-1", linked_at=THEN - HOUR),
        etag=Etag('"3700"'),
        writes=(THEN - HOUR, THEN),
        seen="full-0",
    ),
    led("follows", "c-1", calendar_id=BEN_PLAIN, leading=False, told=None),
    Link(
        event=event("lets-go"),
        letting_go=(
            LettingGo(
                conference=conference("c-2", "my-web"),
                since=THEN - HOUR,
                due=THEN - HOUR + timedelta(seconds=60),
                told=Told(fingerprint=_SENT, occurrences={"2026-11-09T10:00:00Z": "cancelled"}),
                shown_as=ConferenceId("123"),
            ),
            LettingGo(
                conference=conference("c-3", "my-web"),
                since=THEN,
                due=THEN + timedelta(seconds=60),
            ),
        ),
    ),
    replace(
        led("being-created", "c-4", linked_at=THEN - 2 * HOUR, told=None),
        creations=(
            Creation(key="5e" * 16, provider="my-web", since=THEN - 2 * HOUR, due=THEN - 2 * HOUR),
        ),
    ),
    replace(
        led("replaced", "c-6", replaces=ConferenceId("c-5")),
        # Created anew by us for this event, so no proof is needed (O2).
        creations=(
            Creation(
                key="previous-c-6",
                provider="my-web",
                since=THEN,
                due=THEN,
                conference_id=ConferenceId("c-6"),
                carried=True,
            ),
        ),
    ),
    led(
        "approximate",
        "",
        conference=conference("77", "zoom"),
        shown_as=ConferenceId("https://zoom.us/j/77"),
        told=Told(
            fingerprint=_SENT,
            approximation=Approximation(reason="50 of 200 dates", again_at=THEN + 24 * HOUR),
        ),
    ),
    led(
        "series",
        "c-8",
        calendar_id=CAROL,
        told=Told(
            fingerprint=_SENT,
            occurrences={"2026-11-09T10:00:00Z": "cancelled", "2026-11-16T10:00:00Z": "ab" * 16},
            occurrences_pending=True,
        ),
    ),
    led("without-occurrences", "c-9", calendar_id=CAROL, without_occurrences=True),
]
PREVIOUS_CALENDARS = [
    CalendarState(
        calendar_id=ANNA,
        access=Access(subject="anna@example.com"),
        time_zone="Europe/Berlin",
        status=CalendarStatus.OK,
        channel=Channel(id="ch-2", resource_id="r-2", expires=THEN + 144 * HOUR),
        retiring=(Channel(id="ch-1", resource_id="r-1", expires=THEN + HOUR),),
        sync_token=SyncToken("token-anna="),
        token_version="v1",
        lease=Lease(id="lease-1", expires=THEN + HOUR / 60),
        last_sync=LastSync(at=THEN, kind=SyncKind.INCREMENTAL, counts=Counts(changes=3, updated=1)),
        started_at=THEN - 24 * HOUR,
    ),
    CalendarState(
        calendar_id=BEN_PLAIN,
        access=Access(credentials_secret="projects/p/secrets/ben"),
        opening=Channel(id="ch-3"),
        started_at=THEN,
        checkpoint=Checkpoint(
            full_sync_id="full-1",
            time_min=THEN - 24 * HOUR,
            page_token=PageToken("page-2"),
            counts=Counts(changes=250),
        ),
    ),
    CalendarState(
        calendar_id=CAROL,
        status=CalendarStatus.POLLED,
        reason="this calendar cannot be watched",
        watchable=False,
        sync_token=SyncToken("token-carol="),
        token_version="v1",
        expirations=1,
        started_at=THEN,
    ),
    CalendarState(
        calendar_id=DAVE,
        status=CalendarStatus.BROKEN,
        reason="share the calendar again",
        started_at=THEN,
        try_again_at=THEN + HOUR,
    ),
]


def previous_record(name: str, **changes: Any) -> ConferenceRecord:
    return ConferenceRecord(ref=conference(name, "my-web"), **changes)


PREVIOUS_RECORDS = [
    previous_record("c-1", leader=event("leads")),
    previous_record("c-2", last_leader=event("lets-go")),
    previous_record(
        "c-3", state=ConferenceState.DELETING, changed_by=event("lets-go"), changed_at=THEN
    ),
    previous_record("c-4", leader=event("being-created")),
    previous_record(
        "c-5",
        state=ConferenceState.REPLACED,
        replaced_by=ConferenceId("c-6"),
        expires_at=THEN + 720 * HOUR,
    ),
    previous_record("c-6", leader=event("replaced")),
    previous_record("c-10", state=ConferenceState.DELETED, expires_at=THEN + 720 * HOUR),
]


def previous_failure(name: str, state: FailureState, next_try: datetime | None) -> Failure:
    return Failure(
        event=event(name),
        provider="my-web",
        conference_id=ConferenceId("c-1"),
        action="update",
        reason="my-web answered 500",
        attempts=3,
        state=state,
        first=THEN - HOUR,
        next_try=next_try,
        version='"3700"',
    )


PREVIOUS_FAILURES = [
    previous_failure("leads", FailureState.RETRYING, THEN + HOUR / 60),
    previous_failure("parked", FailureState.PARKED, None),
    previous_failure("approximate", FailureState.APPROXIMATE, None),
]


@pytest.fixture(params=["sqlite", pytest.param("firestore", marks=pytest.mark.firestore)])
def previous(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: Keep
) -> Made:
    """A store on what the previous version left."""
    if request.param == "sqlite":
        path = tmp_path / "state.sqlite"
        shutil.copy(FIXTURES / "previous.sqlite", path)
        return _sqlite(str(path), keep)
    _through(request.getfixturevalue("gate"), monkeypatch)
    made = _firestore(f"previous-{uuid.uuid4().hex[:12]}", keep)
    left = json.loads((FIXTURES / "previous-firestore.json").read_text(), object_hook=_moment)
    for collection, documents in left.items():
        for document_id, document in documents.items():
            made.put(collection, document_id, document)
    return made


def _moment(value: dict[str, Any]) -> Any:
    return datetime.fromisoformat(value["moment"]) if value.keys() == {"moment"} else value


def test_everything_that_the_previous_version_left_is_read(previous: Made) -> None:
    """Calendars of each status, links of each kind, records and failures, under today's names."""
    store = previous.store
    calendars = store.list_calendars().items
    assert sorted(calendars, key=lambda state: state.calendar_id) == PREVIOUS_CALENDARS
    for state in PREVIOUS_CALENDARS:
        found = store.get_calendar(state.calendar_id)
        assert found is not None
        assert found.value == state
    for link in PREVIOUS_LINKS:
        assert link_of(store, link.event).value == link
    for record in PREVIOUS_RECORDS:
        kept = store.get_conference(record.ref)
        assert kept is not None
        assert kept.value == record
    for one in PREVIOUS_FAILURES:
        parked = store.get_failure(one.id)
        assert parked is not None
        assert parked.value == one
    assert len(store.list_failures().items) == len(PREVIOUS_FAILURES)


def test_what_the_previous_version_left_is_found_by_every_query(previous: Made) -> None:
    """By calendar, by conference, by what is due: nothing waits for its next change."""
    store = previous.store
    of_calendar = [one.value.event.event_id for one in store.links_of_calendar(CAROL)]
    assert sorted(of_calendar) == ["series", "without-occurrences"]
    sharing = store.links_of_conference(conference("c-1", "my-web"))
    assert sorted(one.value.event.event_id for one in sharing) == ["follows", "leads"]
    (due,) = due_links(store, THEN)
    assert sorted(due) == ["being-created", "lets-go"]
    pages = due_links(store, THEN + 25 * HOUR, limit=1)
    assert sorted(itertools.chain(*pages)) == ["approximate", "being-created", "lets-go"]
    assert due_failures(store, THEN + HOUR) == [["leads"]]
    assert store.count_failures(FailureState.PARKED) == 1


def test_what_the_previous_version_left_is_changed_as_usual(previous: Made) -> None:
    """Each document has a version that a write can name, and is rewritten without old fields."""
    store = previous.store
    for link in PREVIOUS_LINKS:
        changed = change_link(store, link.event, lambda link: replace(link, seen="full-2"))
        assert changed == link_of(store, link.event)
        assert changed is not None
        assert changed.value == replace(link, seen="full-2")
    for one in PREVIOUS_FAILURES:
        assert change_failure(store, one.id, lambda one: replace(one, attempts=4)) is not None
    for state in PREVIOUS_CALENDARS:
        changed_state = change_calendar(store, state.calendar_id, counted_once)
        assert changed_state == store.get_calendar(state.calendar_id)
    for name, document in previous.documents():
        if name == "links":
            assert document.keys().isdisjoint(FLAT_FIELDS)
    in_turn = ["being-created", "lets-go", "approximate"]
    assert due_links(store, THEN + 25 * HOUR) == [in_turn]


def test_a_page_of_the_previous_version_s_links_is_marked_as_seen(previous: Made) -> None:
    """A full sync that begins before anything was rewritten."""
    store = previous.store
    store.mark_seen(ANNA, [EventId("leads"), EventId("lets-go")], "full-2")
    expected = {link.event.event_id: replace(link, seen="full-2") for link in PREVIOUS_LINKS}
    for name in ("leads", "lets-go"):
        assert link_of(store, event(name)).value == expected[EventId(name)]


def test_a_sqlite_file_of_the_previous_version_is_opened_by_several_at_once(
    tmp_path: Path,
) -> None:
    """Four functions that start together bring it to today's form once."""
    path = tmp_path / "state.sqlite"
    shutil.copy(FIXTURES / "previous.sqlite", path)
    together = threading.Barrier(4)

    def opened(_: int) -> SqliteStore:
        together.wait()
        return SqliteStore(str(path))

    with futures.ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(opened, range(4)))
    for store in stores:
        assert link_of(store, event("leads")).value == PREVIOUS_LINKS[0]
        assert len(list(store.links_of_calendar(ANNA))) == 5
        store.close()


def test_a_sqlite_file_that_another_has_just_migrated_stays_as_it_is(tmp_path: Path) -> None:
    """Whoever had to wait for the migration does not migrate again."""
    path = tmp_path / "state.sqlite"
    shutil.copy(FIXTURES / "previous.sqlite", path)
    store = SqliteStore(str(path))
    one = failure("since then")
    version = store.put_failure(one, None)
    with store._writing() as connection:
        _prepare(connection)
    assert store.get_failure(one.id) == Versioned(one, version)
    store.close()


# SQLite alone.

_COUNT = """
import sys
from dataclasses import replace
from sync.store.compare_and_set import change_calendar
from sync.store.sqlite import SqliteStore

store = SqliteStore(sys.argv[1])
for _ in range(100):
    change_calendar(
        store, "anna@example.com", lambda state: replace(state, expirations=state.expirations + 1)
    )
store.close()
"""


def test_two_processes_share_one_sqlite_file(tmp_path: Path) -> None:
    """Two processes that count at once, beside this one that reads, lose nothing and wait for
    each other."""
    path = str(tmp_path / "state.sqlite")
    store = SqliteStore(path)
    store.create_calendar(CalendarState(calendar_id=ANNA))
    command = [sys.executable, "-c", _COUNT, path]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    seen = []
    while any(process.poll() is None for process in processes):
        found = store.get_calendar(ANNA)
        seen.append(found.value.expirations if found else -1)
    for process in processes:
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0, errors
    found = store.get_calendar(ANNA)
    store.close()
    assert found is not None
    assert found.value.expirations == 200
    assert seen == sorted(seen)


def test_what_is_written_to_sqlite_is_there_after_a_restart(tmp_path: Path) -> None:
    """A file that exists is opened as it is."""
    path = str(tmp_path / "state.sqlite")
    first = SqliteStore(path)
    version = first.create_calendar(FULL_STATE)
    first.close()
    second = SqliteStore(path)
    assert second.get_calendar(BEN) == Versioned(FULL_STATE, version)
    second.close()


def test_a_sqlite_file_that_another_keeps_busy_is_tried_later(tmp_path: Path) -> None:
    """A lock that does not end is no crash."""
    path = str(tmp_path / "state.sqlite")
    store, other = SqliteStore(path), SqliteStore(path)
    store._connection.execute("pragma busy_timeout = 50")
    other._connection.execute("begin immediate")
    with pytest.raises(TryLater, match="SQLite"):
        store.create_calendar(CalendarState(calendar_id=ANNA))
    other._connection.execute("rollback")
    store.create_calendar(CalendarState(calendar_id=ANNA))
    store.close()
    other.close()


# Firestore alone.

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
