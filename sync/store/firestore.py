"""The store in production: Firestore in Native mode.

Every document carries `nonce`, which no two writes share: a write that changed nothing would keep
the document's version, and two workers could both believe that they won the same compare-and-set.
It also tells a write that was carried out and then repeated by the client's own retry from one that
somebody else won.

Queries need no index beyond the built-in ones: equality, or one range, in the order of the
documents' names.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, TypeVar

import google.api_core.exceptions
from google.cloud import firestore
from google.cloud.firestore_v1.base_document import DocumentSnapshot
from google.cloud.firestore_v1.base_query import FieldFilter

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
from sync.store.documents import from_document, to_document

_CHUNK = 300
# Firestore's own client waits a minute; a run that cannot reach its database is better brought
# again by the queue.
_TIMEOUT_SECONDS = 20.0

_Kind = TypeVar("_Kind", CalendarState, ConferenceRecord, Failure, Link)


class FirestoreStore:
    """`Store` in four collections. A version is the document's update time."""

    def __init__(self, *, project: str, database: str) -> None:
        # The client honours FIRESTORE_EMULATOR_HOST by itself.
        self._client = firestore.Client(project=project, database=database)
        self._calendars = self._client.collection("calendars")
        self._links = self._client.collection("links")
        self._conferences = self._client.collection("conferences")
        self._failures = self._client.collection("failures")

    def get_calendar(self, calendar_id: CalendarId) -> Versioned[CalendarState] | None:
        with _translated():
            return _versioned(
                self._calendar(calendar_id).get(timeout=_TIMEOUT_SECONDS), CalendarState
            )

    def create_calendar(self, state: CalendarState) -> Version:
        return self._write([(self._calendar(state.calendar_id), to_document(state), None)])[0]

    def update_calendar(self, state: CalendarState, version: Version) -> Version:
        return self._write([(self._calendar(state.calendar_id), to_document(state), version)])[0]

    def delete_calendar(self, calendar_id: CalendarId) -> None:
        with _translated():
            self._calendar(calendar_id).delete(timeout=_TIMEOUT_SECONDS)

    def list_calendars(
        self,
        *,
        status: CalendarStatus | None = None,
        page_token: str | None = None,
        limit: int = 100,
    ) -> Listing[CalendarState]:
        equal = {"status": status.value} if status else {}
        return _listing(
            self._page(self._calendars, equal, page_token, limit + 1), limit, CalendarState
        )

    def get_known(self, calendar_id: CalendarId, event_ids: Collection[EventId]) -> Known:
        known = Known({}, {})
        keys = [EventRef(calendar_id=calendar_id, event_id=event_id).key for event_id in event_ids]
        references = [
            collection.document(key) for key in keys for collection in (self._links, self._failures)
        ]
        with _translated():
            for snapshot in self._client.get_all(references, timeout=_TIMEOUT_SECONDS):
                if not snapshot.exists:
                    continue
                if snapshot.reference.parent.id == "links":
                    link = Versioned(_read(snapshot, Link), Version(snapshot.update_time))
                    known.links[link.value.event.event_id] = link
                else:
                    failure = _read(snapshot, Failure)
                    known.failures[failure.event.event_id] = failure
        return known

    def links_of_calendar(self, calendar_id: CalendarId) -> Iterator[Versioned[Link]]:
        after: str | None = None
        while True:
            page = self._page(self._links, {"event.calendar_id": calendar_id}, after, _CHUNK)
            for snapshot in page:
                yield Versioned(_read(snapshot, Link), Version(snapshot.update_time))
            if len(page) < _CHUNK:
                return
            after = page[-1].id

    def links_of_conference(self, ref: ConferenceRef) -> list[Versioned[Link]]:
        query = self._links.where(filter=FieldFilter("conference_key", "==", ref.key))
        with _translated():
            return [
                Versioned(_read(snapshot, Link), Version(snapshot.update_time))
                for snapshot in query.stream(timeout=_TIMEOUT_SECONDS)
            ]

    def links_letting_go(self, before: datetime, limit: int = 100) -> list[Link]:
        query = self._links.where(filter=FieldFilter("letting_go_since", "<", before)).limit(limit)
        with _translated():
            return [_read(snapshot, Link) for snapshot in query.stream(timeout=_TIMEOUT_SECONDS)]

    def links_to_extend(self, before: datetime, limit: int = 100) -> list[Link]:
        query = self._links.where(filter=FieldFilter("approximation.again_at", "<", before)).limit(
            limit
        )
        with _translated():
            return [_read(snapshot, Link) for snapshot in query.stream(timeout=_TIMEOUT_SECONDS)]

    def mark_seen(
        self, calendar_id: CalendarId, event_ids: Collection[EventId], full_sync_id: str
    ) -> None:
        keys = [EventRef(calendar_id=calendar_id, event_id=event_id).key for event_id in event_ids]
        for place in range(0, len(keys), _CHUNK):
            chunk = keys[place : place + _CHUNK]
            try:
                self._mark_seen(chunk, full_sync_id)
            except Conflict:
                # One of the links was dropped meanwhile, and a batch is all or nothing.
                for key in chunk:
                    with suppress(Conflict):
                        self._mark_seen([key], full_sync_id)

    def _mark_seen(self, keys: Sequence[str], full_sync_id: str) -> None:
        batch = self._client.batch()
        for key in keys:
            batch.update(
                self._links.document(key), {"seen": full_sync_id, "nonce": uuid.uuid4().hex}
            )
        with _translated(writing=True):
            batch.commit(timeout=_TIMEOUT_SECONDS)

    def get_conference(self, ref: ConferenceRef) -> Versioned[ConferenceRecord] | None:
        with _translated():
            snapshot = self._conferences.document(ref.key).get(timeout=_TIMEOUT_SECONDS)
        return _versioned(snapshot, ConferenceRecord)

    def commit(self, writes: Sequence[Write]) -> list[Version | None]:
        wanted: list[tuple[firestore.DocumentReference, dict[str, Any] | None, Version | None]] = []
        for write in writes:
            match write:
                case PutLink(link, version):
                    wanted.append(
                        (self._links.document(link.event.key), _link_document(link), version)
                    )
                case DropLink(event, version):
                    wanted.append((self._links.document(event.key), None, version))
                case PutConference(record, version):
                    wanted.append(
                        (self._conferences.document(record.ref.key), to_document(record), version)
                    )
                case DropConference(ref, version):
                    wanted.append((self._conferences.document(ref.key), None, version))
        versions = self._write(wanted)
        return [
            version if document is not None else None
            for version, (_, document, _) in zip(versions, wanted, strict=True)
        ]

    def get_failure(self, failure_id: str) -> Failure | None:
        with _translated():
            snapshot = self._failures.document(failure_id).get(timeout=_TIMEOUT_SECONDS)
        return _read(snapshot, Failure) if snapshot.exists else None

    def put_failure(self, failure: Failure) -> None:
        with _translated():
            self._failures.document(failure.id).set(to_document(failure), timeout=_TIMEOUT_SECONDS)

    def delete_failure(self, failure_id: str) -> None:
        with _translated():
            self._failures.document(failure_id).delete(timeout=_TIMEOUT_SECONDS)

    def list_failures(
        self,
        *,
        state: FailureState | None = None,
        calendar_id: CalendarId | None = None,
        page_token: str | None = None,
        limit: int = 100,
    ) -> Listing[Failure]:
        equal = {"state": state.value} if state else {}
        if calendar_id:
            equal["event.calendar_id"] = calendar_id
        return _listing(self._page(self._failures, equal, page_token, limit + 1), limit, Failure)

    def count_failures(self, state: FailureState) -> int:
        query = self._failures.where(filter=FieldFilter("state", "==", state.value))
        with _translated():
            counted: Any = query.count(
                alias="failures"
            )  # its types do not say that it is a list of lists
            return int(counted.get(timeout=_TIMEOUT_SECONDS)[0][0].value)

    def failures_due(self, before: datetime, limit: int = 100) -> list[Failure]:
        query = self._failures.where(filter=FieldFilter("next_try", "<", before)).limit(limit)
        with _translated():
            return [_read(snapshot, Failure) for snapshot in query.stream(timeout=_TIMEOUT_SECONDS)]

    def close(self) -> None:
        self._client.close()  # type: ignore[no-untyped-call]  # the library leaves it untyped

    def _calendar(self, calendar_id: CalendarId) -> firestore.DocumentReference:
        return self._calendars.document(digest(calendar_id))

    def _page(
        self,
        collection: firestore.CollectionReference,
        equal: dict[str, str],
        after: str | None,
        limit: int,
    ) -> list[DocumentSnapshot[Any]]:
        """Return documents whose fields equal those given, in the order of their ids, after one
        of them."""
        query = collection.order_by("__name__").limit(limit)
        for field, value in equal.items():
            query = query.where(filter=FieldFilter(field, "==", value))
        if after:
            query = query.start_after({"__name__": collection.document(after)})
        with _translated():
            return list(query.stream(timeout=_TIMEOUT_SECONDS))

    def _write(
        self,
        wanted: Sequence[tuple[firestore.DocumentReference, dict[str, Any] | None, Version | None]],
    ) -> list[Version]:
        """Write all documents or none: (which, its new content or None to delete it, the version it
        must have).

        No version: it must not exist yet. Raises Conflict.
        """
        nonce = uuid.uuid4().hex
        batch = self._client.batch()
        for reference, document, version in wanted:
            option = (
                self._client.write_option(last_update_time=version) if version is not None else None
            )
            if document is None:
                batch.delete(reference, option=option)
            elif version is None:
                batch.create(reference, {**document, "nonce": nonce})
            else:
                batch.update(reference, {**document, "nonce": nonce}, option=option)
        try:
            with _translated(writing=True):
                return [
                    Version(result.update_time) for result in batch.commit(timeout=_TIMEOUT_SECONDS)
                ]
        except Conflict:
            # The client repeats a commit whose answer was lost; the repetition then fails on its
            # own first success.
            with _translated():
                found = [
                    reference.get(timeout=_TIMEOUT_SECONDS)
                    for reference, document, _ in wanted
                    if document is not None
                ]
            if found and all(
                snapshot.exists and snapshot.get("nonce") == nonce for snapshot in found
            ):
                times = iter(found)
                return [
                    Version(next(times).update_time if document is not None else None)
                    for _, document, _ in wanted
                ]
            raise


@contextmanager
def _translated(*, writing: bool = False) -> Iterator[None]:
    """Translate Firestore's errors; those of a precondition only where a write named one."""
    try:
        yield
    except (
        google.api_core.exceptions.GoogleAPICallError,
        google.api_core.exceptions.RetryError,
    ) as error:
        if writing and isinstance(error, _LOST):
            raise Conflict from error
        raise TryLater(
            f"Firestore did not answer ({type(error).__name__}); check the database of SYNC_FIRESTORE_DATABASE and "
            "that this function may use it (roles/datastore.user)"
        ) from error


# A stale version, a document that is there already (or Aborted: another writer was faster), one
# that is gone.
_LOST = (
    google.api_core.exceptions.FailedPrecondition,
    google.api_core.exceptions.Conflict,
    google.api_core.exceptions.NotFound,
)


def _link_document(link: Link) -> dict[str, Any]:
    """A link, and beside it the fields that queries look for."""
    document = to_document(link)
    document["conference_key"] = link.conference.key if link.conference else None
    document["letting_go_since"] = min((past.since for past in link.letting_go), default=None)
    return document


def _read(snapshot: DocumentSnapshot[Any], kind: type[_Kind]) -> _Kind:
    return from_document(snapshot.to_dict() or {}, kind)


def _versioned(snapshot: DocumentSnapshot[Any], kind: type[_Kind]) -> Versioned[_Kind] | None:
    if not snapshot.exists:
        return None
    return Versioned(_read(snapshot, kind), Version(snapshot.update_time))


def _listing(
    snapshots: list[DocumentSnapshot[Any]], limit: int, kind: type[_Kind]
) -> Listing[_Kind]:
    items = [_read(snapshot, kind) for snapshot in snapshots[:limit]]
    return Listing(items, snapshots[limit - 1].id if len(snapshots) > limit else None)
