"""The store of a local run: one SQLite file in WAL mode, safe for threads and for several
processes."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

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
from sync.model.event import CalendarId, EventId, digest
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
from sync.store.documents import from_json, to_json

# How long one process waits for another's write; a write takes milliseconds.
_BUSY_SECONDS = 10.0
# SQLite takes at most 32,766 variables in one statement; far fewer keep a statement small.
_CHUNK = 500

_SCHEMA = """
create table if not exists calendars (id text primary key, version integer not null, status text not null,
    body text not null);
create table if not exists links (id text primary key, version integer not null, calendar_id text not null,
    event_id text not null, conference text, letting_go_since text, again_at text, seen text, body text not null);
create index if not exists links_calendar on links (calendar_id, id);
create index if not exists links_conference on links (conference) where conference is not null;
create index if not exists links_letting_go on links (letting_go_since) where letting_go_since is not null;
create index if not exists links_again_at on links (again_at) where again_at is not null;
create table if not exists conferences (id text primary key, version integer not null, body text not null);
create table if not exists failures (id text primary key, calendar_id text not null, event_id text not null,
    state text not null, next_try text, body text not null);
create index if not exists failures_next_try on failures (next_try);
"""

_Kind = TypeVar("_Kind", CalendarState, Failure)


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
            connection.executescript(_SCHEMA)

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
        with self._reading() as connection:
            row = connection.execute(
                "select body, version from calendars where id = ?", (digest(calendar_id),)
            ).fetchone()
        return Versioned(from_json(row[0], CalendarState), Version(row[1])) if row else None

    def create_calendar(self, state: CalendarState) -> Version:
        with self._writing() as connection:
            version = _fresh()
            done = connection.execute(
                "insert or ignore into calendars values (?, ?, ?, ?)",
                (digest(state.calendar_id), version, state.status, to_json(state)),
            )
            if not done.rowcount:
                raise Conflict
        return version

    def update_calendar(self, state: CalendarState, version: Version) -> Version:
        with self._writing() as connection:
            newer = _fresh()
            done = connection.execute(
                "update calendars set version = ?, status = ?, body = ? where id = ? and version = ?",
                (newer, state.status, to_json(state), digest(state.calendar_id), version),
            )
            if not done.rowcount:
                raise Conflict
        return newer

    def delete_calendar(self, calendar_id: CalendarId) -> None:
        with self._writing() as connection:
            connection.execute("delete from calendars where id = ?", (digest(calendar_id),))

    def list_calendars(
        self,
        *,
        status: CalendarStatus | None = None,
        page_token: str | None = None,
        limit: int = 100,
    ) -> Listing[CalendarState]:
        with self._reading() as connection:
            rows = connection.execute(
                "select id, body from calendars where id > ? and (? is null or status = ?) order by id limit ?",
                (page_token or "", status, status, limit + 1),
            ).fetchall()
        return _listing(rows, limit, CalendarState)

    def get_known(self, calendar_id: CalendarId, event_ids: Collection[EventId]) -> Known:
        known = Known({}, {})
        keys = [EventRef(calendar_id=calendar_id, event_id=event_id).key for event_id in event_ids]
        with self._reading() as connection:
            for chunk in _chunks(keys):
                marks = ",".join("?" * len(chunk))
                for event_id, body, version in connection.execute(
                    f"select event_id, body, version from links where id in ({marks})", chunk
                ):
                    known.links[EventId(event_id)] = Versioned(from_json(body, Link), version)
                for event_id, body in connection.execute(
                    f"select event_id, body from failures where id in ({marks})", chunk
                ):
                    known.failures[EventId(event_id)] = from_json(body, Failure)
        return known

    def links_of_calendar(self, calendar_id: CalendarId) -> Iterator[Versioned[Link]]:
        after = ""
        while True:
            with self._reading() as connection:
                rows = connection.execute(
                    "select id, body, version from links where calendar_id = ? and id > ? order by id limit ?",
                    (calendar_id, after, _CHUNK),
                ).fetchall()
            for _, body, version in rows:
                yield Versioned(from_json(body, Link), Version(version))
            if len(rows) < _CHUNK:
                return
            after = rows[-1][0]

    def links_of_conference(self, ref: ConferenceRef) -> list[Versioned[Link]]:
        with self._reading() as connection:
            rows = connection.execute(
                "select body, version from links where conference = ?", (ref.key,)
            ).fetchall()
        return [Versioned(from_json(body, Link), Version(version)) for body, version in rows]

    def links_letting_go(self, before: datetime, limit: int = 100) -> list[Link]:
        with self._reading() as connection:
            rows = connection.execute(
                "select body from links where letting_go_since < ? order by letting_go_since limit ?",
                (_moment(before), limit),
            ).fetchall()
        return [from_json(body, Link) for (body,) in rows]

    def links_to_extend(self, before: datetime, limit: int = 100) -> list[Link]:
        with self._reading() as connection:
            rows = connection.execute(
                "select body from links where again_at < ? order by again_at limit ?",
                (_moment(before), limit),
            ).fetchall()
        return [from_json(body, Link) for (body,) in rows]

    def mark_seen(
        self, calendar_id: CalendarId, event_ids: Collection[EventId], full_sync_id: str
    ) -> None:
        keys = [EventRef(calendar_id=calendar_id, event_id=event_id).key for event_id in event_ids]
        with self._writing() as connection:
            for chunk in _chunks(keys):
                marks = ",".join("?" * len(chunk))
                connection.execute(
                    f"update links set version = ?, seen = ?, body = json_set(body, '$.seen', ?) where id in ({marks})",
                    (_fresh(), full_sync_id, full_sync_id, *chunk),
                )

    def get_conference(self, ref: ConferenceRef) -> Versioned[ConferenceRecord] | None:
        with self._reading() as connection:
            row = connection.execute(
                "select body, version from conferences where id = ?", (ref.key,)
            ).fetchone()
        return Versioned(from_json(row[0], ConferenceRecord), Version(row[1])) if row else None

    def commit(self, writes: Sequence[Write]) -> list[Version | None]:
        with self._writing() as connection:
            return [_write(connection, write) for write in writes]

    def get_failure(self, failure_id: str) -> Failure | None:
        with self._reading() as connection:
            row = connection.execute(
                "select body from failures where id = ?", (failure_id,)
            ).fetchone()
        return from_json(row[0], Failure) if row else None

    def put_failure(self, failure: Failure) -> None:
        event = failure.event
        with self._writing() as connection:
            connection.execute(
                "insert or replace into failures values (?, ?, ?, ?, ?, ?)",
                (
                    failure.id,
                    event.calendar_id,
                    event.event_id,
                    failure.state,
                    _moment(failure.next_try) if failure.next_try else None,
                    to_json(failure),
                ),
            )

    def delete_failure(self, failure_id: str) -> None:
        with self._writing() as connection:
            connection.execute("delete from failures where id = ?", (failure_id,))

    def list_failures(
        self,
        *,
        state: FailureState | None = None,
        calendar_id: CalendarId | None = None,
        page_token: str | None = None,
        limit: int = 100,
    ) -> Listing[Failure]:
        with self._reading() as connection:
            rows = connection.execute(
                "select id, body from failures where id > ? and (? is null or state = ?) "
                "and (? is null or calendar_id = ?) order by id limit ?",
                (page_token or "", state, state, calendar_id, calendar_id, limit + 1),
            ).fetchall()
        return _listing(rows, limit, Failure)

    def count_failures(self, state: FailureState) -> int:
        with self._reading() as connection:
            return int(
                connection.execute(
                    "select count(*) from failures where state = ?", (state,)
                ).fetchone()[0]
            )

    def failures_due(self, before: datetime, limit: int = 100) -> list[Failure]:
        with self._reading() as connection:
            rows = connection.execute(
                "select body from failures where next_try < ? order by next_try limit ?",
                (_moment(before), limit),
            ).fetchall()
        return [from_json(body, Failure) for (body,) in rows]

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def _fresh() -> Version:
    """A version that no document has had: one that was dropped and made anew must not be at an
    old one again."""
    return Version(secrets.randbits(62))


def _write(connection: sqlite3.Connection, write: Write) -> Version | None:
    """Do one write of a transaction; Conflict undoes the whole of it."""
    newer = _fresh()
    match write:
        case PutLink(link, version):
            again_at = link.approximation.again_at if link.approximation else None
            since = min((past.since for past in link.letting_go), default=None)
            columns = (
                newer,
                link.event.calendar_id,
                link.event.event_id,
                link.conference.key if link.conference else None,
                _moment(since) if since else None,
                _moment(again_at) if again_at else None,
                link.seen,
                to_json(link),
            )
            if version is None:
                statement = "insert or ignore into links values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
                done = connection.execute(statement, (link.event.key, *columns))
            else:
                statement = (
                    "update links set version = ?, calendar_id = ?, event_id = ?, conference = ?, "
                    "letting_go_since = ?, again_at = ?, seen = ?, body = ? where id = ? and version = ?"
                )
                done = connection.execute(statement, (*columns, link.event.key, version))
        case PutConference(record, None):
            statement = "insert or ignore into conferences values (?, ?, ?)"
            done = connection.execute(statement, (record.ref.key, newer, to_json(record)))
        case PutConference(record, version):
            statement = "update conferences set version = ?, body = ? where id = ? and version = ?"
            done = connection.execute(statement, (newer, to_json(record), record.ref.key, version))
        case DropLink(event, version):
            done = connection.execute(
                "delete from links where id = ? and version = ?", (event.key, version)
            )
        case DropConference(ref, version):
            done = connection.execute(
                "delete from conferences where id = ? and version = ?", (ref.key, version)
            )
    if not done.rowcount:
        raise Conflict
    return None if isinstance(write, DropLink | DropConference) else newer


def _moment(moment: datetime) -> str:
    """A text that sorts as the moment does: RFC 3339 in UTC, always with microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for place in range(0, len(keys), _CHUNK):
        yield keys[place : place + _CHUNK]


def _listing(rows: list[tuple[str, str]], limit: int, kind: type[_Kind]) -> Listing[_Kind]:
    items = [from_json(body, kind) for _, body in rows[:limit]]
    return Listing(items, rows[limit - 1][0] if len(rows) > limit else None)
