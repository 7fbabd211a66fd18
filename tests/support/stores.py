"""Both stores, each with a second worker on the same documents, and values to put in.

A gate before Firestore counts its calls, and loses answers when told to.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from sandbox.gates import GrpcGate
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
from sync.model.event import CalendarId, ConferenceId, Etag, EventId, PageToken, SyncToken
from sync.store import PutLink, Store, Version, Versioned
from sync.store.firestore import FirestoreStore
from sync.store.sqlite import SqliteStore

NOW = datetime(2030, 5, 2, 8, 30, 15, 123456, tzinfo=UTC)
ANNA, BEN = CalendarId("anna@example.com"), CalendarId("ben/../b%20e#n@example.com")


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


@dataclass
class Made:
    """A store, and another one on the same documents, as a second worker has it."""

    store: Store
    again: Callable[[], Store]
    documents: Callable[[], list[tuple[str, dict[str, Any]]]]
    """Everything stored, by collection, to be looked at and put back by `put`."""
    put: Callable[[str, str, dict[str, Any]], None]


Keep = Callable[[Store], Store]


def through(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send what Firestore clients made from now on say through the gate, which begins anew."""
    gate.reset()
    # The library's own switch, read when a client is made.
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", gate.host)


def on_sqlite(path: str, keep: Keep) -> Made:
    """Open a store on the SQLite file of this path, which is made if it is missing."""
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


def on_firestore(project: str, keep: Keep) -> Made:
    """Open a store on the documents of one project of the emulator. Call `through` before."""
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


def link_of(store: Store, ref: EventRef) -> Versioned[Link]:
    return store.get_known(ref.calendar_id, [ref.event_id]).links[ref.event_id]


def stored(store: Store, *links: Link) -> list[Version]:
    return [
        version
        for version in store.commit([PutLink(link, None) for link in links])
        if version is not None
    ]


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


def due_failures(store: Store, before: datetime, limit: int = 100) -> list[list[str]]:
    pages, token = [], None
    while True:
        listing = store.failures_due(before, page_token=token, limit=limit)
        pages.append([str(one.value.event.event_id) for one in listing.items])
        token = listing.next_page_token
        if token is None:
            return pages


def counted_once(state: CalendarState) -> CalendarState:
    return replace(state, expirations=state.expirations + 1)
