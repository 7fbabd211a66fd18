"""One contract for both stores: SQLite in a file, and Firestore on Google's own emulator."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.errors import Conflict, TryLater
from sync.model.calendar import (
    Access,
    CalendarState,
    CalendarStatus,
    Channel,
    Checkpoint,
    Counts,
    LastSync,
    Lease,
    SyncKind,
)
from sync.model.conference import (
    Approximation,
    ConferenceRecord,
    ConferenceRef,
    ConferenceState,
    EventRef,
    Failure,
    FailureState,
    Fingerprint,
    LettingGo,
    Link,
)
from sync.model.event import CalendarId, ConferenceId, Etag, EventId, PageToken, SyncToken, digest
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
from sync.store.documents import from_document, from_json, to_document, to_json
from sync.store.firestore import FirestoreStore
from sync.store.sqlite import SqliteStore

NOW = datetime(2030, 5, 2, 8, 30, 15, 123456, tzinfo=UTC)
ANNA, BEN = CalendarId("anna@example.com"), CalendarId("ben/../b%20e#n@example.com")
ROOT = Path(__file__).resolve().parent.parent.parent


def event(event_id: str = "e1", calendar_id: CalendarId = ANNA) -> EventRef:
    return EventRef(calendar_id=calendar_id, event_id=EventId(event_id))


def conference(conference_id: str = "c-1", provider: str = "web") -> ConferenceRef:
    return ConferenceRef(provider=provider, conference_id=ConferenceId(conference_id))


FULL_LINK = Link(
    event=event("e1/äß#%2F\N{BIRTHDAY CAKE}"),
    conference=conference("c 1/\N{BIRTHDAY CAKE}"),
    leading=True,
    linked_at=NOW,
    fingerprint=Fingerprint({"title": "0f", "time_zone": "e1"}),
    occurrences={"2030-05-09T10:00:00Z": "cancelled", "2030-05-16": "ab"},
    without_occurrences=True,
    letting_go=(
        LettingGo(conference=conference("c-0"), since=NOW - timedelta(microseconds=1)),
        LettingGo(
            conference=conference("c-9", "zoom"),
            since=NOW - timedelta(hours=1),
            fingerprint=Fingerprint({"title": "aa"}),
            occurrences={"2030-05-09": "ff"},
        ),
    ),
    replaces=ConferenceId("c-old"),
    creating="key",
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
    retiring=Channel(id="ch-0", resource_id="r-0", expires=NOW + timedelta(days=7)),
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
    checkpoint=Checkpoint(
        full_sync_id="sync-1",
        time_min=NOW,
        page_token=PageToken("page=2"),
        next_sync_token=SyncToken("next="),
        counts=Counts(changes=1),
    ),
    started_at=NOW,
    try_again_at=NOW,
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


# Both stores, and what stands before Firestore to count its calls and to lose its answers.


class Gate(grpc.GenericRpcHandler):
    """Passes gRPC calls on to the emulator; counts them, and loses the answer of some when told
    to."""

    def __init__(self, target: str) -> None:
        self.calls: Counter[str] = Counter()
        self.lose = 0
        """How many Commits are carried out and then answered with UNAVAILABLE."""
        self.refuse: grpc.StatusCode | None = None
        """What everything is answered with instead."""
        self._channel = grpc.insecure_channel(target)
        self._threads = futures.ThreadPoolExecutor(16)
        self._server = grpc.server(self._threads, options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((self,))
        self.host = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def service(self, handler_call_details: Any) -> Any:
        method: str = handler_call_details.method
        name = method.rpartition("/")[2]
        metadata = [
            pair
            for pair in handler_call_details.invocation_metadata
            if not pair[0].startswith(("grpc-", "user-agent"))
        ]

        def passed(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            self.calls[name] += 1
            if self.refuse is not None:
                context.abort(self.refuse, "The gate is shut.")
            try:
                # Unary answers are streams of one message.
                call: Any = self._channel.unary_stream(method)
                answers = list(call(request, metadata=metadata))
            except grpc.RpcError as error:
                context.abort(error.code(), error.details() or "")
            if name == "Commit" and self.lose:
                self.lose -= 1
                context.abort(grpc.StatusCode.UNAVAILABLE, "The answer got lost.")
            yield from answers

        return grpc.unary_stream_rpc_method_handler(passed)

    def reset(self) -> None:
        self.calls.clear()
        self.lose, self.refuse = 0, None

    def stop(self) -> None:
        self._server.stop(grace=None).wait(timeout=5)
        self._threads.shutdown(wait=True)
        self._channel.close()


@pytest.fixture(scope="session")
def gate(firestore_emulator: str) -> Iterator[Gate]:
    gate = Gate(firestore_emulator)
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


@pytest.fixture(params=["sqlite", pytest.param("firestore", marks=pytest.mark.firestore)])
def made(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Made]:
    opened: list[Store] = []

    def keep(store: Store) -> Store:
        opened.append(store)
        return store

    if request.param == "sqlite":
        path = str(tmp_path / "deep" / "state.sqlite")
        yield _sqlite(path, keep)
    else:
        gate: Gate = request.getfixturevalue("gate")
        gate.reset()
        # The library's own switch, read when a client is made.
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", gate.host)
        yield _firestore(f"test-{uuid.uuid4().hex[:12]}", keep)
    for store in opened:
        store.close()


def _sqlite(path: str, keep: Callable[[Store], Store]) -> Made:
    import json

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


def _firestore(project: str, keep: Callable[[Store], Store]) -> Made:
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
    store.put_failure(failure("e2"))
    store.put_failure(failure("e3"))
    known = store.get_known(ANNA, [EventId("e1"), EventId("e2"), EventId("e4")])
    assert known.links == {
        "e1": Versioned(Link(event=event("e1")), versions[0]),
        "e2": Versioned(Link(event=event("e2")), versions[1]),
    }
    assert known.failures == {"e2": failure("e2")}
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
    gone = (LettingGo(conference=conference(), since=NOW),)
    versions = stored(
        store,
        Link(event=event("e1"), conference=conference(), leading=True),
        Link(event=event("e2", BEN), conference=conference()),
        Link(event=event("e3"), letting_go=gone),
        Link(event=event("e4"), conference=conference("c-1", "zoom")),
        Link(event=event("e5"), conference=conference("c-2"), letting_go=gone),
    )
    found = store.links_of_conference(conference())
    assert sorted((one.value.event.event_id, one.version) for one in found) == sorted(
        zip(("e1", "e2"), versions[:2], strict=True)
    )
    store.commit([PutLink(Link(event=event("e1"), letting_go=gone), versions[0])])
    assert [one.value.event.event_id for one in store.links_of_conference(conference())] == ["e2"]
    assert store.links_of_conference(conference("c-3")) == []


def test_count_failures_counts_one_state(store: Store) -> None:
    """What the clock's report says without reading them."""
    failures = [failure(str(number)) for number in range(3)]
    for one in failures:
        store.put_failure(replace(one, state=FailureState.PARKED))
    store.put_failure(replace(failures[0], state=FailureState.RETRYING))
    assert store.count_failures(FailureState.PARKED) == 2
    assert store.count_failures(FailureState.RETRYING) == 1


def test_links_to_extend_are_those_that_were_due_before(store: Store) -> None:
    """Series whose provider holds only their next dates; the others have no such moment."""
    tick = timedelta(microseconds=1)
    due, later, never, whole = (
        Link(event=event(name), conference=conference(name), approximation=approximation)
        for name, approximation in (
            ("due", Approximation(reason="50 dates", again_at=NOW - tick)),
            ("later", Approximation(reason="50 dates", again_at=NOW)),
            ("never", Approximation(reason="no dates")),
            ("whole", None),
        )
    )
    stored(store, due, later, never, whole)
    assert store.links_to_extend(NOW) == [due]


def test_links_letting_go_are_those_that_began_before(store: Store) -> None:
    """By the longest wait of each, to the microsecond, and no more than asked for."""

    def letting_go(event_id: str, *moments: datetime) -> Link:
        return Link(
            event=event(event_id),
            letting_go=tuple(
                LettingGo(conference=conference(str(place)), since=moment)
                for place, moment in enumerate(moments)
            ),
        )

    tick = timedelta(microseconds=1)
    links = (
        letting_go("before", NOW - tick),
        letting_go("at", NOW),
        letting_go("after", NOW + tick),
        letting_go("both", NOW + timedelta(days=1), NOW - timedelta(days=1)),
        letting_go("none"),
    )
    versions = stored(store, *links)
    assert sorted(link.event.event_id for link in store.links_letting_go(NOW)) == ["before", "both"]
    assert [link.event.event_id for link in store.links_letting_go(NOW + tick, limit=1)] == ["both"]
    store.commit([PutLink(letting_go("both"), versions[3])])
    assert store.links_letting_go(NOW) == [links[0]]


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
            PutLink(Link(event=event("e2"), leading=True), old[1]),
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
    """A failure is known by its event; putting it again replaces it."""
    assert store.get_failure(failure().id) is None
    store.put_failure(failure())
    store.put_failure(failure(attempts=2))
    assert store.get_failure(failure().id) == failure(attempts=2)
    store.delete_failure(failure().id)
    store.delete_failure(failure().id)
    assert store.get_failure(failure().id) is None


def test_failures_are_listed_by_state_and_calendar_page_by_page(store: Store) -> None:
    """Both filters work alone and together, and each failure comes once."""
    for number in range(6):
        state = FailureState.PARKED if number % 2 else FailureState.RETRYING
        store.put_failure(failure(f"e{number}", ANNA if number < 4 else BEN, state=state))

    def ids(**filters: Any) -> list[str]:
        found, token = [], None
        while True:
            listing = store.list_failures(page_token=token, limit=1, **filters)
            assert len(listing.items) <= 1
            found += [one.event.event_id for one in listing.items]
            token = listing.next_page_token
            if token is None:
                return sorted(found)

    assert ids() == ["e0", "e1", "e2", "e3", "e4", "e5"]
    assert ids(state=FailureState.PARKED) == ["e1", "e3", "e5"]
    assert ids(state=FailureState.RETRYING) == ["e0", "e2", "e4"]
    assert ids(calendar_id=ANNA) == ["e0", "e1", "e2", "e3"]
    assert ids(calendar_id=BEN, state=FailureState.PARKED) == ["e5"]
    assert ids(calendar_id=CalendarId("nobody@example.com")) == []
    assert len(store.list_failures().items) == 6


def test_failures_due_are_those_whose_next_try_was_before(store: Store) -> None:
    """To the microsecond, of every state, and no more than asked for."""
    tick = timedelta(microseconds=1)
    store.put_failure(failure("before", next_try=NOW - tick))
    store.put_failure(failure("at", next_try=NOW))
    store.put_failure(
        failure("long-before", next_try=NOW - timedelta(days=1), state=FailureState.RETRYING)
    )
    assert sorted(one.event.event_id for one in store.failures_due(NOW)) == [
        "before",
        "long-before",
    ]
    assert [one.event.event_id for one in store.failures_due(NOW + tick, limit=1)] == [
        "long-before"
    ]


# Whatever is stored comes back.


def test_every_value_comes_back_as_it_was(store: Store) -> None:
    """Times to the microsecond, every character, every member."""
    store.create_calendar(FULL_STATE)
    stored(store, FULL_LINK)
    store.commit([PutConference(FULL_RECORD, None)])
    store.put_failure(FULL_FAILURE)
    calendar, record = store.get_calendar(BEN), store.get_conference(FULL_RECORD.ref)
    assert calendar is not None
    assert record is not None
    assert calendar.value == FULL_STATE
    assert record.value == FULL_RECORD
    assert link_of(store, FULL_LINK.event).value == FULL_LINK
    assert store.get_failure(FULL_FAILURE.id) == FULL_FAILURE
    assert calendar.value.lease is not None
    assert calendar.value.lease.expires.utcoffset() == timedelta()


_TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
_MOMENT = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
_REF = st.builds(ConferenceRef, provider=_TEXT, conference_id=_TEXT.map(ConferenceId))
_LINK = st.builds(
    Link,
    event=st.builds(EventRef, calendar_id=_TEXT.map(CalendarId), event_id=_TEXT.map(EventId)),
    conference=st.none() | _REF,
    leading=st.booleans(),
    linked_at=st.none() | _MOMENT,
    fingerprint=st.none()
    | st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), _TEXT, max_size=2).map(
        Fingerprint
    ),
    occurrences=st.dictionaries(
        st.from_regex(r"[0-9TZ:.-]{1,20}", fullmatch=True), _TEXT, max_size=2
    ),
    letting_go=st.lists(st.builds(LettingGo, conference=_REF, since=_MOMENT), max_size=2).map(
        tuple
    ),
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
    store.put_failure(FULL_FAILURE)
    ids = {
        "calendars": digest(BEN),
        "links": FULL_LINK.event.key,
        "conferences": FULL_RECORD.ref.key,
        "failures": FULL_FAILURE.id,
    }
    gone = {
        "calendars": ("time_zone", "watchable", "lease", "expirations"),
        "links": ("occurrences", "writes", "letting_go", "seen"),
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
        FULL_LINK, occurrences={}, writes=(), letting_go=(), seen=None
    )
    assert record.value == replace(
        FULL_RECORD, leader=None, state=ConferenceState.LIVE, replaced_by=None
    )
    assert store.get_failure(FULL_FAILURE.id) == replace(FULL_FAILURE, version=None)


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


@pytest.mark.parametrize("target", ["calendar", "link", "conference"])
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

    def write(store: Store, number: int) -> object:
        if target == "calendar":
            return store.update_calendar(replace(state, reason=str(number)), version)
        if target == "link":
            return store.commit([PutLink(replace(link, seen=str(number)), versions[0])])
        return store.commit(
            [PutConference(replace(record, replaced_by=ConferenceId(str(number))), versions[1])]
        )

    outcomes = side_by_side(made, 8, write)
    assert outcomes.count("changed") == 7
    winner = str(next(number for number, outcome in enumerate(outcomes) if outcome != "changed"))
    calendar, shared = store.get_calendar(ANNA), store.get_conference(conference())
    assert calendar is not None
    assert shared is not None
    assert winner in (
        calendar.value.reason,
        link_of(store, event()).value.seen,
        shared.value.replaced_by,
    )


def test_nothing_is_lost_when_many_count_by_compare_and_set(made: Made) -> None:
    """Four workers that read, add one and write until they win end at the sum."""
    made.store.create_calendar(CalendarState(calendar_id=ANNA))

    def count(store: Store, _: int) -> None:
        for _ in range(10):
            while True:
                found = store.get_calendar(ANNA)
                assert found is not None
                with suppress(Conflict):
                    store.update_calendar(
                        replace(found.value, expirations=found.value.expirations + 1), found.version
                    )
                    break

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


# SQLite alone.

_COUNT = """
import sys
from dataclasses import replace
from sync.errors import Conflict
from sync.model.event import CalendarId
from sync.store.sqlite import SqliteStore

store = SqliteStore(sys.argv[1])
for _ in range(100):
    while True:
        found = store.get_calendar(CalendarId("anna@example.com"))
        try:
            store.update_calendar(replace(found.value, expirations=found.value.expirations + 1), found.version)
            break
        except Conflict:
            pass
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
    gate.refuse = code
    for read in (
        lambda: firestore.get_calendar(ANNA),
        lambda: firestore.get_known(ANNA, [EventId("e1")]),
        lambda: list(firestore.links_of_calendar(ANNA)),
        lambda: firestore.links_of_conference(conference()),
        lambda: firestore.list_calendars(),
        lambda: firestore.failures_due(NOW),
    ):
        with pytest.raises(TryLater, match=r"SYNC_FIRESTORE_DATABASE.*roles/datastore\.user"):
            read()


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
