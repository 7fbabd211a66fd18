"""The store in production: Firestore in Native mode.

Every document carries `nonce`, which no two writes share: a write that changed nothing would keep
the document's version, and two workers could both believe that they won the same compare-and-set.
It also tells a write that was carried out and then repeated by the client's own retry from one that
somebody else won.

Queries need no composite index. They ask for equality, in the order of the documents' names, or for
one range, in the order of that field. `sync.store.QUERIED_FIELDS` names the fields.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

import google.api_core.exceptions
from google.api_core.retry import Retry, if_exception_type
from google.cloud import firestore
from google.cloud.firestore_v1.base_document import DocumentSnapshot
from google.cloud.firestore_v1.base_query import FieldFilter
from google.cloud.firestore_v1.query import Query

from sync.errors import Conflict, Invalid, TryLater
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
    previous,
)
from sync.store.cursors import Place, after_key, is_key, sortable
from sync.store.documents import (
    calendar_key,
    clean,
    conference_key,
    due_at,
    event_key,
    from_document,
    is_queryable,
    to_document,
)

_CHUNK = 300
# Firestore's own client repeats reads for five minutes and writes for one, whatever the time-out
# of a call is. A run that cannot reach its database is better brought again by the queue.
_TIMEOUT_SECONDS = 20.0


def _bounded(*again: type[Exception]) -> dict[str, Any]:
    """Return how calls are sent: repeated after these errors, for so many seconds in all.

    The waits are those of Firestore's own client.
    """
    repeated = Retry(
        predicate=if_exception_type(*again),
        initial=0.1,
        multiplier=1.3,
        timeout=_TIMEOUT_SECONDS,
    )
    return {"retry": repeated, "timeout": _TIMEOUT_SECONDS}


_BOUNDED_WRITE = _bounded(
    google.api_core.exceptions.ResourceExhausted, google.api_core.exceptions.ServiceUnavailable
)
_BOUNDED = _bounded(
    google.api_core.exceptions.ResourceExhausted,
    google.api_core.exceptions.ServiceUnavailable,
    google.api_core.exceptions.DeadlineExceeded,
    google.api_core.exceptions.InternalServerError,
)

_Kind = TypeVar("_Kind", CalendarState, ConferenceRecord, Failure, Link)
_Snapshot = DocumentSnapshot[Any]


class _Change(NamedTuple):
    """One write: which document, its content or None to delete it, the version it must have.

    No version: the document must not exist yet.
    """

    reference: firestore.DocumentReference
    document: dict[str, Any] | None
    version: Version | None


class _Due(NamedTuple):
    """A query for documents that are due, by a field that says when.

    Each is due `wait` after the field's moment. `text`: the field is no moment, and every document
    that has it is due.
    """

    field: str
    wait: timedelta = timedelta()
    text: bool = False

    def query(self, collection: firestore.CollectionReference, before: datetime) -> Query:
        """What is due before a moment, in the order of the field, then of the documents' names."""
        wanted = FieldFilter(self.field, "<", before - self.wait)
        if self.text:
            wanted = FieldFilter(self.field, ">", "")
        return collection.where(filter=wanted).order_by(self.field).order_by("__name__")

    def cursor(
        self, collection: firestore.CollectionReference, place: Place
    ) -> dict[str, datetime | str | firestore.DocumentReference]:
        """Where the query goes on."""
        value = place.value if self.text else place.moment
        return {self.field: value, "__name__": collection.document(place.key)}

    def place(self, stage: int, snapshot: _Snapshot) -> Place:
        """Where the query has come to with this document."""
        value = snapshot.get(self.field)
        return Place(stage, value if self.text else sortable(value), snapshot.id)


# One after the other. The last three find links that the previous version wrote, and find nothing
# once those are rewritten.
_LINKS_DUE = (
    _Due("due_at"),
    _Due("letting_go_since", previous.GRACE),
    _Due("approximation.again_at"),
    _Due("creating", text=True),
)
_FAILURES_DUE = (_Due("next_try"),)


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
            return _versioned(self._calendar(calendar_id).get(**_BOUNDED), CalendarState)

    def create_calendar(self, state: CalendarState) -> Version:
        change = _Change(self._calendar(state.calendar_id), to_document(state), None)
        return self._write([change])[0]

    def update_calendar(self, state: CalendarState, version: Version) -> Version:
        change = _Change(self._calendar(state.calendar_id), to_document(state), version)
        return self._write([change])[0]

    def delete_calendar(self, calendar_id: CalendarId, version: Version | None = None) -> None:
        self._delete(self._calendar(calendar_id), version)

    def list_calendars(
        self,
        *,
        status: CalendarStatus | None = None,
        page_token: str | None = None,
        limit: int = 100,
    ) -> Listing[CalendarState]:
        equal = {"status": status.value} if status else {}
        page = self._page(self._calendars, equal, after_key(page_token), limit + 1)
        return Listing(
            [_read(snapshot, CalendarState) for snapshot in page[:limit]],
            page[limit - 1].id if len(page) > limit else None,
        )

    def count_calendars(self, status: CalendarStatus) -> int:
        return self._count(self._calendars, FieldFilter("status", "==", status.value))

    def count_failing_calendars(self) -> int:
        return self._count(self._calendars, FieldFilter("failing.runs", ">", 0))

    def get_known(self, calendar_id: CalendarId, event_ids: Collection[EventId]) -> Known:
        known = Known({}, {})
        asked = {_event_key(calendar_id, event_id): event_id for event_id in event_ids}
        references = [
            collection.document(key)
            for key in asked
            for collection in (self._links, self._failures)
        ]
        with _translated():
            for snapshot in self._client.get_all(references, **_BOUNDED):
                if not snapshot.exists:
                    continue
                event_id = asked[snapshot.id]
                if snapshot.reference.parent.id == "links":
                    known.links[event_id] = _present(snapshot, Link)
                else:
                    known.failures[event_id] = _present(snapshot, Failure)
        return known

    def links_of_calendar(self, calendar_id: CalendarId) -> Iterator[Versioned[Link]]:
        after = ""
        while is_queryable(calendar_id):
            equal = {"event.calendar_id": clean(calendar_id)}
            page = self._page(self._links, equal, after, _CHUNK)
            for snapshot in page:
                yield _present(snapshot, Link)
            if len(page) < _CHUNK:
                return
            after = page[-1].id

    def links_of_conference(self, ref: ConferenceRef) -> list[Versioned[Link]]:
        query = self._links.where(filter=FieldFilter("conference_key", "==", conference_key(ref)))
        with _translated():
            return [_present(snapshot, Link) for snapshot in query.stream(**_BOUNDED)]

    def links_due(
        self, before: datetime, *, page_token: str | None = None, limit: int = 100
    ) -> Listing[Link]:
        place = Place.from_token(page_token)
        page, token = self._due(self._links, _LINKS_DUE, before, place, limit)
        return Listing([_read(snapshot, Link) for snapshot in page], token)

    def mark_seen(
        self, calendar_id: CalendarId, event_ids: Collection[EventId], full_sync_id: str
    ) -> None:
        keys = [_event_key(calendar_id, event_id) for event_id in event_ids]
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
                self._links.document(key), {"seen": clean(full_sync_id), "nonce": uuid.uuid4().hex}
            )
        with _translated(writing=True):
            batch.commit(**_BOUNDED_WRITE)

    def get_conference(self, ref: ConferenceRef) -> Versioned[ConferenceRecord] | None:
        with _translated():
            snapshot = self._conferences.document(conference_key(ref)).get(**_BOUNDED)
        return _versioned(snapshot, ConferenceRecord)

    def commit(self, writes: Sequence[Write]) -> list[Version | None]:
        changes = [self._change(write) for write in writes]
        versions = self._write(changes)
        return [
            None if change.document is None else version
            for version, change in zip(versions, changes, strict=True)
        ]

    def _change(self, write: Write) -> _Change:
        match write:
            case PutLink(link, version):
                reference = self._links.document(event_key(link.event))
                return _Change(reference, _link_document(link), version)
            case DropLink(event, version):
                return _Change(self._links.document(event_key(event)), None, version)
            case PutConference(record, version):
                reference = self._conferences.document(conference_key(record.ref))
                return _Change(reference, to_document(record), version)
            case DropConference(ref, version):
                return _Change(self._conferences.document(conference_key(ref)), None, version)

    def get_failure(self, failure_id: str) -> Versioned[Failure] | None:
        if not is_key(failure_id):
            return None
        with _translated():
            snapshot = self._failures.document(failure_id).get(**_BOUNDED)
        return _versioned(snapshot, Failure)

    def put_failure(self, failure: Failure, version: Version | None) -> Version:
        reference = self._failures.document(event_key(failure.event))
        return self._write([_Change(reference, to_document(failure), version)])[0]

    def delete_failure(self, failure_id: str, version: Version | None = None) -> None:
        if not is_key(failure_id):
            return
        reference = self._failures.document(failure_id)
        try:
            self._delete(reference, version)
        except Conflict:
            with _translated():
                if reference.get(**_BOUNDED).exists:
                    raise

    def list_failures(
        self,
        states: Collection[FailureState] | None = None,
        calendar_id: CalendarId | None = None,
        page_token: str | None = None,
        limit: int = 100,
    ) -> Listing[Versioned[Failure]]:
        after = after_key(page_token)
        none_wanted = states is not None and not states
        if none_wanted or (calendar_id is not None and not is_queryable(calendar_id)):
            return Listing([], None)
        equal: dict[str, str | list[str]] = {}
        if states is not None:
            equal["state"] = [state.value for state in states]
        if calendar_id is not None:
            equal["event.calendar_id"] = clean(calendar_id)
        page = self._page(self._failures, equal, after, limit + 1)
        return Listing(
            [_present(snapshot, Failure) for snapshot in page[:limit]],
            page[limit - 1].id if len(page) > limit else None,
        )

    def count_failures(self, state: FailureState) -> int:
        return self._count(self._failures, FieldFilter("state", "==", state.value))

    def failures_due(
        self, before: datetime, *, page_token: str | None = None, limit: int = 100
    ) -> Listing[Versioned[Failure]]:
        place = Place.from_token(page_token)
        page, token = self._due(self._failures, _FAILURES_DUE, before, place, limit)
        return Listing([_present(snapshot, Failure) for snapshot in page], token)

    def close(self) -> None:
        self._client.close()

    def _calendar(self, calendar_id: CalendarId) -> firestore.DocumentReference:
        return self._calendars.document(calendar_key(calendar_id))

    def _count(self, collection: firestore.CollectionReference, wanted: FieldFilter) -> int:
        # Its types do not say that the answer is a list of lists.
        counted: Any = collection.where(filter=wanted).count(alias="found")
        with _translated():
            return int(counted.get(**_BOUNDED)[0][0].value)

    def _page(
        self,
        collection: firestore.CollectionReference,
        equal: Mapping[str, str | list[str]],
        after: str,
        limit: int,
    ) -> list[_Snapshot]:
        """Return documents in the order of their names, from behind the name `after`.

        A field of theirs equals the text in `equal`, or is one of a list of texts.
        """
        query = collection.order_by("__name__").limit(limit)
        for field, value in equal.items():
            operator = "in" if isinstance(value, list) else "=="
            query = query.where(filter=FieldFilter(field, operator, value))
        if after:
            query = query.start_after({"__name__": collection.document(after)})
        with _translated():
            return list(query.stream(**_BOUNDED))

    def _due(
        self,
        collection: firestore.CollectionReference,
        stages: Sequence[_Due],
        before: datetime,
        place: Place | None,
        limit: int,
    ) -> tuple[list[_Snapshot], str | None]:
        """Return what is due, one query after the other, and the next page's token."""
        found: list[tuple[int, _Snapshot]] = []
        for number, due in enumerate(stages):
            if place is not None and number < place.stage:
                continue
            query = due.query(collection, before).limit(limit + 1 - len(found))
            if place is not None and number == place.stage:
                query = query.start_after(due.cursor(collection, place))
            with _translated():
                found += [(number, each) for each in query.stream(**_BOUNDED)]
            if len(found) > limit:
                stage, last = found[limit - 1]
                token = stages[stage].place(stage, last).token
                return [each for _, each in found[:limit]], token
        return [each for _, each in found], None

    def _delete(self, reference: firestore.DocumentReference, version: Version | None) -> None:
        """Delete a document, at `version` or whatever it is at."""
        if version is not None:
            self._write([_Change(reference, None, version)])
            return
        with _translated():
            reference.delete(**_BOUNDED_WRITE)

    def _write(self, changes: Sequence[_Change]) -> list[Version]:
        """Write all documents or none, and return their versions. Raises Conflict."""
        nonce = uuid.uuid4().hex
        try:
            with _translated(writing=True):
                results = self._batch(changes, nonce).commit(**_BOUNDED_WRITE)
            return [Version(result.update_time) for result in results]
        except Conflict:
            # The client repeats a commit whose answer was lost, and the repetition then fails on
            # its own first success.
            written = [change.reference for change in changes if change.document is not None]
            with _translated():
                found = [reference.get(**_BOUNDED) for reference in written]
            if not found or not all(_was_written(snapshot, nonce) for snapshot in found):
                raise
            times = iter(found)
            return [
                Version(None if change.document is None else next(times).update_time)
                for change in changes
            ]

    def _batch(self, changes: Sequence[_Change], nonce: str) -> firestore.WriteBatch:
        batch = self._client.batch()
        for reference, document, version in changes:
            if document is not None and version is None:
                batch.create(reference, {**document, "nonce": nonce})
                continue
            option = self._client.write_option(last_update_time=version)
            if document is None:
                batch.delete(reference, option=option)
                continue
            if reference.parent.id == "links":
                # An update leaves alone what it does not name.
                flat = dict.fromkeys(previous.FLAT_FIELDS, firestore.DELETE_FIELD)
                document = {**flat, **document}
            batch.update(reference, {**document, "nonce": nonce}, option=option)
        return batch


@contextmanager
def _translated(*, writing: bool = False) -> Iterator[None]:
    """Translate Firestore's errors. Those of a precondition only where a write named one."""
    try:
        yield
    except (
        google.api_core.exceptions.GoogleAPICallError,
        google.api_core.exceptions.RetryError,
    ) as error:
        if writing and isinstance(error, _LOST):
            raise Conflict from error
        if writing and isinstance(error, google.api_core.exceptions.InvalidArgument):
            raise Invalid(
                "Firestore does not take what is to be remembered of this event"
            ) from error
        raise TryLater(
            f"Firestore did not answer ({type(error).__name__}); check the database of "
            "SYNC_FIRESTORE_DATABASE and that this function may use it (roles/datastore.user)"
        ) from error


# A stale version, a document that is there already (or Aborted: another writer was faster), one
# that is gone.
_LOST = (
    google.api_core.exceptions.FailedPrecondition,
    google.api_core.exceptions.Conflict,
    google.api_core.exceptions.NotFound,
)


def _event_key(calendar_id: CalendarId, event_id: EventId) -> str:
    return event_key(EventRef(calendar_id=calendar_id, event_id=event_id))


def _link_document(link: Link) -> dict[str, Any]:
    """A link, and beside it the fields that queries look for."""
    document = to_document(link)
    document["conference_key"] = conference_key(link.carried.conference) if link.carried else None
    document["due_at"] = due_at(link)
    return document


def _was_written(snapshot: _Snapshot, nonce: str) -> bool:
    return snapshot.exists and (snapshot.to_dict() or {}).get("nonce") == nonce


def _read(snapshot: _Snapshot, kind: type[_Kind]) -> _Kind:
    return from_document(snapshot.to_dict() or {}, kind)


def _present(snapshot: _Snapshot, kind: type[_Kind]) -> Versioned[_Kind]:
    return Versioned(_read(snapshot, kind), Version(snapshot.update_time))


def _versioned(snapshot: _Snapshot, kind: type[_Kind]) -> Versioned[_Kind] | None:
    return _present(snapshot, kind) if snapshot.exists else None
