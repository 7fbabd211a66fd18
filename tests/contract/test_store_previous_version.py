"""Both stores read, find and change what the previous version left (fixtures/README.md)."""

from __future__ import annotations

import itertools
import json
import shutil
import threading
import uuid
from concurrent import futures
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

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
    Carried,
    ConferenceRecord,
    ConferenceState,
    Creation,
    Failure,
    FailureState,
    Fingerprint,
    LettingGo,
    Link,
    Told,
)
from sync.model.event import CalendarId, ConferenceId, Etag, EventId, PageToken, SyncToken
from sync.store import Versioned
from sync.store.compare_and_set import change_calendar, change_failure, change_link
from sync.store.previous import FLAT_FIELDS
from sync.store.sqlite import SqliteStore, _prepare
from tests.support.stores import (
    ANNA,
    Keep,
    Made,
    conference,
    counted_once,
    due_failures,
    due_links,
    event,
    failure,
    link_of,
    on_firestore,
    on_sqlite,
    through,
)

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
        return on_sqlite(str(path), keep)
    through(request.getfixturevalue("gate"), monkeypatch)
    made = on_firestore(f"previous-{uuid.uuid4().hex[:12]}", keep)
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
