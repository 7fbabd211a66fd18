"""The store of a local run: one SQLite file in WAL mode, safe for threads and for several
processes."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sync.errors import Conflict, TryLater
from sync.model.calendar import CalendarState, CalendarStatus
from sync.model.conference import (
    ConferenceRecord,
    ConferenceRef,
    EventRef,
    Failure,
    FailureState,
    Link,
)
from sync.model.event import CalendarId, EventId
from sync.store import (
    DropConference,
    DropLink,
    Known,
    Listing,
    PutConference,
    PutLink,
    Version,
    Versioned,
    Write,
)
from sync.store.cursors import Place, after_key, is_key, sortable
from sync.store.documents import (
    calendar_key,
    clean,
    conference_key,
    due_at,
    event_key,
    from_json,
    to_json,
)

# How long one process waits for another's write; a write takes milliseconds.
_BUSY_SECONDS = 10.0
# SQLite takes at most 32,766 variables in one statement; far fewer keep a statement small.
_CHUNK = 500

_Value = TypeVar("_Value")

# Noted in the file (`user_version`). The previous version noted none.
_SCHEMA_VERSION = 1
_SCHEMA = """
create table if not exists calendars (
    id text primary key, version integer not null, status text not null, body text not null);
create table if not exists links (
    id text primary key, version integer not null, calendar_id text not null,
    conference text, due_at text, body text not null);
create index if not exists links_calendar on links (calendar_id, id);
create index if not exists links_conference on links (conference) where conference is not null;
create index if not exists links_due on links (due_at, id) where due_at is not null;
create table if not exists conferences (
    id text primary key, version integer not null, body text not null);
create table if not exists failures (
    id text primary key, version integer not null, calendar_id text not null,
    state text not null, next_try text, body text not null);
create index if not exists failures_due on failures (next_try, id) where next_try is not null;
"""
# Makes room for the tables of version 1, in a file of the previous version.
_TO_VERSION_1 = """
drop index if exists links_calendar;
drop index if exists links_conference;
drop index if exists links_letting_go;
drop index if exists links_again_at;
drop index if exists failures_next_try;
alter table links rename to previous_links;
alter table failures rename to previous_failures;
"""


class SqliteStore:
    """`Store` in one file. A version is a number drawn by chance at each write."""

    def __init__(self, path: str) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        # One connection for all threads, one statement at a time: a local run has no use for more.
        self._connection = sqlite3.connect(
            path, timeout=_BUSY_SECONDS, check_same_thread=False, isolation_level=None
        )
        self._lock = threading.RLock()
        with self._reading() as connection:
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = normal")
            prepared = _is_prepared(connection)
        if not prepared:
            with self._writing() as connection:
                _prepare(connection)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._connection
            except sqlite3.OperationalError as error:
                raise TryLater(f"the SQLite store did not answer ({error})") from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as connection:
            connection.execute("begin immediate")
            try:
                yield connection
            except BaseException:
                connection.execute("rollback")
                raise
            connection.execute("commit")

    def get_calendar(self, calendar_id: CalendarId) -> Versioned[CalendarState] | None:
        rows = self._read(
            "select body, version from calendars where id = ?", (calendar_key(calendar_id),)
        )
        return _only([Versioned(from_json(body, CalendarState), version) for body, version in rows])

    def create_calendar(self, state: CalendarState) -> Version:
        row = (calendar_key(state.calendar_id), _fresh(), state.status, to_json(state))
        with self._writing() as connection:
            done = connection.execute("insert or ignore into calendars values (?, ?, ?, ?)", row)
            if not done.rowcount:
                raise Conflict
        return row[1]

    def update_calendar(self, state: CalendarState, version: Version) -> Version:
        row = (_fresh(), state.status, to_json(state), calendar_key(state.calendar_id), version)
        with self._writing() as connection:
            done = connection.execute(
                "update calendars set version = ?, status = ?, body = ? "
                "where id = ? and version = ?",
                row,
            )
            if not done.rowcount:
                raise Conflict
        return row[0]

    def delete_calendar(self, calendar_id: CalendarId, version: Version | None = None) -> None:
        with self._writing() as connection:
            done = connection.execute(
                "delete from calendars where id = :id and (:version is null or version = :version)",
                {"id": calendar_key(calendar_id), "version": version},
            )
            if version is not None and not done.rowcount:
                raise Conflict

    def list_calendars(
        self,
        *,
        status: CalendarStatus | None = None,
        page_token: str | None = None,
        limit: int = 100,
    ) -> Listing[CalendarState]:
        rows = self._read(
            "select id, body from calendars "
            "where id > :after and (:status is null or status = :status) order by id limit :limit",
            {"after": after_key(page_token), "status": status, "limit": limit + 1},
        )
        return Listing(
            [from_json(body, CalendarState) for _, body in rows[:limit]],
            rows[limit - 1][0] if len(rows) > limit else None,
        )

    def count_calendars(self, status: CalendarStatus) -> int:
        return int(self._read("select count(*) from calendars where status = ?", (status,))[0][0])

    def count_failing_calendars(self) -> int:
        counted = "select count(*) from calendars where json_extract(body, '$.failing.runs') > 0"
        return int(self._read(counted, ())[0][0])

    def get_known(self, calendar_id: CalendarId, event_ids: Collection[EventId]) -> Known:
        known = Known({}, {})
        asked = {_event_key(calendar_id, event_id): event_id for event_id in event_ids}
        for chunk in _chunks(list(asked)):
            marks = ",".join("?" * len(chunk))
            links = f"select id, body, version from links where id in ({marks})"
            for key, body, version in self._read(links, chunk):
                known.links[asked[key]] = Versioned(from_json(body, Link), version)
            failures = f"select id, body, version from failures where id in ({marks})"
            for key, body, version in self._read(failures, chunk):
                known.failures[asked[key]] = Versioned(from_json(body, Failure), version)
        return known

    def links_of_calendar(self, calendar_id: CalendarId) -> Iterator[Versioned[Link]]:
        after = ""
        while True:
            rows = self._read(
                "select id, body, version from links "
                "where calendar_id = ? and id > ? order by id limit ?",
                (clean(calendar_id), after, _CHUNK),
            )
            for _, body, version in rows:
                yield Versioned(from_json(body, Link), version)
            if len(rows) < _CHUNK:
                return
            after = rows[-1][0]

    def links_of_conference(self, ref: ConferenceRef) -> list[Versioned[Link]]:
        rows = self._read(
            "select body, version from links where conference = ?", (conference_key(ref),)
        )
        return [Versioned(from_json(body, Link), version) for body, version in rows]

    def links_due(
        self, before: datetime, *, page_token: str | None = None, limit: int = 100
    ) -> Listing[Link]:
        rows, token = self._due("links", "due_at", before, page_token, limit)
        return Listing([from_json(body, Link) for body, _ in rows], token)

    def mark_seen(
        self, calendar_id: CalendarId, event_ids: Collection[EventId], full_sync_id: str
    ) -> None:
        keys = [_event_key(calendar_id, event_id) for event_id in event_ids]
        with self._writing() as connection:
            for chunk in _chunks(keys):
                marks = ",".join("?" * len(chunk))
                connection.execute(
                    "update links set version = ?, body = json_set(body, '$.seen', ?) "
                    f"where id in ({marks})",
                    (_fresh(), clean(full_sync_id), *chunk),
                )

    def get_conference(self, ref: ConferenceRef) -> Versioned[ConferenceRecord] | None:
        rows = self._read(
            "select body, version from conferences where id = ?", (conference_key(ref),)
        )
        return _only([Versioned(from_json(body, ConferenceRecord), at) for body, at in rows])

    def commit(self, writes: Sequence[Write]) -> list[Version | None]:
        statements = [_statement(write) for write in writes]
        with self._writing() as connection:
            for statement in statements:
                if not connection.execute(statement.sql, statement.values).rowcount:
                    raise Conflict
        return [statement.version for statement in statements]

    def get_failure(self, failure_id: str) -> Versioned[Failure] | None:
        if not is_key(failure_id):
            return None
        rows = self._read("select body, version from failures where id = ?", (failure_id,))
        return _only([Versioned(from_json(body, Failure), version) for body, version in rows])

    def put_failure(self, failure: Failure, version: Version | None) -> Version:
        newer = _fresh()
        row = {
            "id": event_key(failure.event),
            "newer": newer,
            "version": version,
            "calendar_id": clean(failure.event.calendar_id),
            "state": failure.state,
            "next_try": sortable(failure.next_try) if failure.next_try else None,
            "body": to_json(failure),
        }
        with self._writing() as connection:
            done = connection.execute(
                "insert or ignore into failures "
                "values (:id, :newer, :calendar_id, :state, :next_try, :body)"
                if version is None
                else "update failures set version = :newer, calendar_id = :calendar_id, "
                "state = :state, next_try = :next_try, body = :body "
                "where id = :id and version = :version",
                row,
            )
            if not done.rowcount:
                raise Conflict
        return newer

    def delete_failure(self, failure_id: str, version: Version | None = None) -> None:
        if not is_key(failure_id):
            return
        with self._writing() as connection:
            connection.execute(
                "delete from failures where id = :id and (:version is null or version = :version)",
                {"id": failure_id, "version": version},
            )
            if connection.execute("select 1 from failures where id = ?", (failure_id,)).fetchone():
                raise Conflict

    def list_failures(
        self,
        states: Collection[FailureState] | None = None,
        calendar_id: CalendarId | None = None,
        page_token: str | None = None,
        limit: int = 100,
    ) -> Listing[Versioned[Failure]]:
        wanted = list(FailureState if states is None else states)
        rows = self._read(
            "select id, body, version from failures "
            f"where id > ? and state in ({','.join('?' * len(wanted))}) "
            "and (? or calendar_id = ?) order by id limit ?",
            (
                after_key(page_token),
                *wanted,
                calendar_id is None,
                clean(calendar_id or ""),
                limit + 1,
            ),
        )
        return Listing(
            [Versioned(from_json(body, Failure), version) for _, body, version in rows[:limit]],
            rows[limit - 1][0] if len(rows) > limit else None,
        )

    def count_failures(self, state: FailureState) -> int:
        return int(self._read("select count(*) from failures where state = ?", (state,))[0][0])

    def failures_due(
        self, before: datetime, *, page_token: str | None = None, limit: int = 100
    ) -> Listing[Versioned[Failure]]:
        rows, token = self._due("failures", "next_try", before, page_token, limit)
        return Listing(
            [Versioned(from_json(body, Failure), version) for body, version in rows], token
        )

    def _read(self, sql: str, values: Sequence[object] | dict[str, object]) -> list[Any]:
        with self._reading() as connection:
            return connection.execute(sql, values).fetchall()

    def _due(
        self, table: str, column: str, before: datetime, page_token: str | None, limit: int
    ) -> tuple[list[tuple[str, Version]], str | None]:
        """Return (body, version) of what is due before a moment, and the next page's token."""
        place = Place.from_token(page_token)
        behind = ("", "") if place is None else (sortable(place.moment), place.key)
        rows = self._read(
            f"select {column}, id, body, version from {table} "
            f"where {column} < ? and ({column}, id) > (?, ?) order by {column}, id limit ?",
            (sortable(before), *behind, limit + 1),
        )
        last = rows[limit - 1] if len(rows) > limit else None
        token = Place(0, last[0], last[1]).token if last else None
        return [(body, version) for _, _, body, version in rows[:limit]], token

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def _fresh() -> Version:
    """A version that no document has had: one that was dropped and made anew must not be at an
    old one again."""
    return Version(secrets.randbits(62))


class _Statement(NamedTuple):
    """One write of a commit, and the version that it makes. None: it drops the document.

    It changes no row if the document is not as the write names it.
    """

    sql: str
    values: tuple[object, ...]
    version: Version | None


def _statement(write: Write) -> _Statement:
    newer = _fresh()
    match write:
        case PutLink(link, None):
            row = (event_key(link.event), newer, *_link_row(link))
            return _Statement("insert or ignore into links values (?, ?, ?, ?, ?, ?)", row, newer)
        case PutLink(link, version):
            sql = (
                "update links set version = ?, calendar_id = ?, conference = ?, due_at = ?, "
                "body = ? where id = ? and version = ?"
            )
            return _Statement(sql, (newer, *_link_row(link), event_key(link.event), version), newer)
        case PutConference(record, None):
            row = (conference_key(record.ref), newer, to_json(record))
            return _Statement("insert or ignore into conferences values (?, ?, ?)", row, newer)
        case PutConference(record, version):
            sql = "update conferences set version = ?, body = ? where id = ? and version = ?"
            row = (newer, to_json(record), conference_key(record.ref), version)
            return _Statement(sql, row, newer)
        case DropLink(event, version):
            sql = "delete from links where id = ? and version = ?"
            return _Statement(sql, (event_key(event), version), None)
        case DropConference(ref, version):
            sql = "delete from conferences where id = ? and version = ?"
            return _Statement(sql, (conference_key(ref), version), None)


def _link_row(link: Link) -> tuple[object, ...]:
    """A link's columns, from `calendar_id` on."""
    due = due_at(link)
    return (
        clean(link.event.calendar_id),
        conference_key(link.carried.conference) if link.carried else None,
        sortable(due) if due else None,
        to_json(link),
    )


def _is_prepared(connection: sqlite3.Connection) -> bool:
    (version,) = connection.execute("pragma user_version").fetchone()
    return bool(version >= _SCHEMA_VERSION)


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the tables, or bring those of the previous version to today's form, in place."""
    if _is_prepared(connection):
        return  # by another process, meanwhile
    known = "select 1 from sqlite_master where type = 'table' and name = 'links'"
    old = connection.execute(known).fetchone() is not None
    if old:
        _run(connection, _TO_VERSION_1)
    _run(connection, _SCHEMA)
    if old:
        _copy(connection)
    connection.execute(f"pragma user_version = {_SCHEMA_VERSION}")


def _run(connection: sqlite3.Connection, script: str) -> None:
    """Run statements inside the present transaction, which `executescript` would end."""
    for statement in script.split(";"):
        connection.execute(statement)


def _copy(connection: sqlite3.Connection) -> None:
    """Rewrite the previous version's links, now with `due_at`, and failures, now with versions."""
    for key, version, body in connection.execute("select id, version, body from previous_links"):
        connection.execute(
            "insert into links values (?, ?, ?, ?, ?, ?)",
            (key, version, *_link_row(from_json(body, Link))),
        )
    connection.execute(
        "insert into failures "
        "select id, 0, calendar_id, state, next_try, body from previous_failures"
    )
    _run(connection, "drop table previous_links; drop table previous_failures")


def _event_key(calendar_id: CalendarId, event_id: EventId) -> str:
    return event_key(EventRef(calendar_id=calendar_id, event_id=event_id))


def _only(found: list[Versioned[_Value]]) -> Versioned[_Value] | None:
    return found[0] if found else None


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for place in range(0, len(keys), _CHUNK):
        yield keys[place : place + _CHUNK]
