"""Read, change, write, and again from the start if another wrote in between.

One loop for calendars, links and failures. `change` is a pure function: it runs again for each
try, so it calls nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sync.errors import Conflict, TryLater
from sync.model.calendar import CalendarState
from sync.model.conference import EventRef, Failure, Link
from sync.model.event import CalendarId
from sync.store import DropLink, PutLink, Store, Version, Versioned

# Each lost try is somebody else's success. Eight that write without a pause lose a hundred tries
# in a row about once in a million.
_TRIES = 100

# Stands for the version of a link that is not there yet.
_MISSING = Version(object())

_Value = TypeVar("_Value")


def always(_: object) -> bool:
    """The condition that holds for every state."""
    return True


def change_calendar(
    store: Store,
    calendar_id: CalendarId,
    change: Callable[[CalendarState], CalendarState | None],
    *,
    holds: Callable[[CalendarState], bool] = always,
    document: Versioned[CalendarState] | None = None,
) -> Versioned[CalendarState] | None:
    """Apply `change` to a calendar's state, as the state is now, and return what is stored then.

    Returns None, and writes nothing, when the calendar is gone or `holds` is false of its state.
    Where `change` returns None, or the same state, nothing is written, and the document comes back
    as it was read. `document` is where the first try starts, to save a read. Safe to repeat if
    `change` is. Raises TryLater.

    A lease is given back only by the run that holds it:

        change_calendar(
            store, calendar_id, lambda state: replace(state, lease=None),
            holds=lambda state: state.lease is not None and state.lease.id == own_id,
        )
    """
    return compare_and_set(
        lambda: store.get_calendar(calendar_id),
        lambda state: change(state) or state,
        store.update_calendar,
        holds=holds,
        document=document,
    )


def change_link(
    store: Store,
    event: EventRef,
    change: Callable[[Link], Link | None],
    *,
    holds: Callable[[Link], bool] = always,
    create: bool = False,
) -> Versioned[Link] | None:
    """The same for a link. One that is `empty` after the change is dropped, and None returned.

    `create`: where there is no link, an empty one is changed and written.
    """

    def read() -> Versioned[Link] | None:
        found = store.get_known(event.calendar_id, [event.event_id]).links.get(event.event_id)
        return found or (Versioned(Link(event=event), _MISSING) if create else None)

    def write(link: Link, version: Version) -> Version | None:
        if version is _MISSING:
            return store.commit([PutLink(link, None)])[0]
        return store.commit([DropLink(event, version) if link.empty else PutLink(link, version)])[0]

    return compare_and_set(read, lambda link: change(link) or link, write, holds=holds)


def change_failure(
    store: Store,
    failure_id: str,
    change: Callable[[Failure], Failure | None],
    *,
    holds: Callable[[Failure], bool] = always,
    document: Versioned[Failure] | None = None,
) -> Versioned[Failure] | None:
    """The same for a failure."""
    return compare_and_set(
        lambda: store.get_failure(failure_id),
        lambda failure: change(failure) or failure,
        store.put_failure,
        holds=holds,
        document=document,
    )


def compare_and_set(
    read: Callable[[], Versioned[_Value] | None],
    change: Callable[[_Value], _Value],
    write: Callable[[_Value, Version], Version | None],
    *,
    holds: Callable[[_Value], bool] = always,
    document: Versioned[_Value] | None = None,
) -> Versioned[_Value] | None:
    """Read a document, change it, and write it on condition that nobody wrote since.

    Starts from `document` if there is one. `write` raises Conflict if the document is not at the
    version it is given, and returns None for a document that it dropped. Returns the document as
    it is stored then, None if there is none, or if `holds` is false of it.
    """
    for _ in range(_TRIES):
        document = document or read()
        if document is None or not holds(document.value):
            return None
        changed = change(document.value)
        if changed == document.value:
            return document
        try:
            version = write(changed, document.version)
        except Conflict:
            document = None
        else:
            return None if version is None else Versioned(changed, version)
    raise TryLater("others change the same document again and again; this will pass")
