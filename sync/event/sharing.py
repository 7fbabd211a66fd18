"""Who carries a conference and who leads it, when several events do (E7); how it is let go and
deleted (E2, E3).

All of it is compare-and-set on the conference's one record, in a commit with the links that it
concerns:
- whoever links an event writes the record, so a deletion that was decided before does not go
  through;
- a deletion is announced in the record first, so whoever links an event meanwhile waits for its
  end;
- the leader's own worker alone takes the lead away from it, in the commit that lets the conference
  go.

Every function may be stopped anywhere and run again. `Conflict` means: read the link again and plan
again.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sync.conferencing import Provider
from sync.errors import Conflict, TryLater
from sync.event.plan import Follow
from sync.google.task_queue import TaskQueue
from sync.model.conference import (
    ConferenceRecord,
    ConferenceRef,
    ConferenceState,
    EventRef,
    LettingGo,
    Link,
)
from sync.model.event import ConferenceId, digest
from sync.store import DropConference, DropLink, PutConference, PutLink, Store, Versioned, Write

# How long a deleted conference is remembered, so that its event, listed once more, does not delete
# it once more.
REMEMBERED = timedelta(days=30)
# A deletion takes seconds; one that was announced so long ago belongs to a worker that is dead.
_ABANDONED = timedelta(minutes=10)
_ASK_AGAIN = timedelta(seconds=10)
_CLOCK_SKEW = timedelta(seconds=2)


def follow(
    store: Store,
    at: EventRef,
    link: Versioned[Link] | None,
    wanted: Follow,
    now: datetime,
    *,
    shown_as: ConferenceId | None,
    seen: str | None,
) -> Versioned[Link]:
    """Link an event to a conference; it leads unless another event does. Returns the new link.

    A conference that was replaced is followed under its new id (C4). `shown_as` is what the event
    shows of it, if that is not its id; `seen` names the full sync that met the event, if one is
    under way. Raises TryLater while another event's worker deletes it, Conflict.
    """
    ref, fingerprint, replaces = wanted.conference, wanted.fingerprint, None
    record = store.get_conference(ref)
    while record and record.value.state is ConferenceState.REPLACED and record.value.replaced_by:
        replaces = shown_as or wanted.conference.conference_id
        ref, fingerprint = replace(ref, conference_id=record.value.replaced_by), None
        record = store.get_conference(ref)
    known = record.value if record else ConferenceRecord(ref=ref)
    if _deleted_by_another(known, at, now):
        raise TryLater("the conference is being deleted at this moment", after=_ASK_AGAIN)
    if known.state is not ConferenceState.LIVE or known.last_leader != at:
        fingerprint = None  # the provider tells whether it still exists, or was told of another event meanwhile
    leads = known.state is not ConferenceState.LIVE or known.leader in (None, at)
    past = link.value.lets_go_of(ref) if link else None
    old = link.value if link else Link(event=at)
    new = replace(
        old,
        conference=ref,
        leading=leads,
        linked_at=now,
        fingerprint=fingerprint if leads else None,
        occurrences=past.occurrences if past and fingerprint is not None else {},
        occurrences_pending=False,
        letting_go=tuple(entry for entry in old.letting_go if entry.conference != ref),
        replaces=replaces,
        shown_as=None if replaces else shown_as,
        creating=None,
        approximation=None,
        seen=seen or old.seen,
    )
    live = ConferenceRecord(ref=ref, leader=at) if leads else known
    return _commit(store, new, link, [PutConference(live, record.version if record else None)])


def let_go(
    store: Store,
    at: EventRef,
    link: Versioned[Link] | None,
    conference: ConferenceRef,
    now: datetime,
    *,
    shown_as: ConferenceId | None = None,
) -> Versioned[Link] | None:
    """Note that an event does not carry a conference any more: it does not lead it from now on, and
    the grace begins.

    Without a link, the event was deleted before it was ever seen alive; only a conference that
    nobody knows is then let go, and `shown_as` is what the event showed of it. Returns the link,
    None if there is none. `settle` comes next.
    """
    record = store.get_conference(conference)
    if link is None:
        if record is not None:
            return None
        fresh = Link(
            event=at, letting_go=(LettingGo(conference=conference, since=now, shown_as=shown_as),)
        )
        return _commit(store, fresh, None, [PutConference(ConferenceRecord(ref=conference), None)])
    old = link.value
    fingerprint = None if old.occurrences_pending else old.fingerprint
    entry = LettingGo(
        conference=conference,
        since=now,
        fingerprint=fingerprint,
        occurrences=old.occurrences,
        shown_as=old.shown_as,
    )
    new = replace(_freed(old), letting_go=(*old.letting_go, entry))
    known = record.value if record else ConferenceRecord(ref=conference)
    unled = replace(known, leader=None, last_leader=at) if known.leader == at else known
    return _commit(store, new, link, [PutConference(unled, record.version if record else None)])


def settle(
    store: Store,
    queue: TaskQueue,
    at: EventRef,
    link: Versioned[Link],
    conference: ConferenceRef,
    due: datetime,
    now: datetime,
) -> Versioned[Link] | None:
    """See that a conference which was let go is in good hands: led by another event, or its
    deletion scheduled.

    The new leader is the event that was linked first; a task brings the conference to its state.
    Returns the link, None if nothing of it is left.
    """
    record = store.get_conference(conference)
    if record is None or record.value.state in (ConferenceState.DELETED, ConferenceState.REPLACED):
        return _drop_entry(store, link, conference)
    if _succeed(store, queue, at, record):
        return _drop_entry(store, link, conference)
    # The name keeps a repetition from scheduling it twice; a later deletion of the same event has
    # another moment.
    name = digest(at.key, conference.key, due.isoformat())
    created = queue.enqueue_event(at.calendar_id, at.event_id, name=name, at=due)
    if not created and due - now < _CLOCK_SKEW:
        # That task may be the one that brought us here, a moment early by our clock; its name is
        # used up.
        queue.enqueue_event(at.calendar_id, at.event_id, at=due + _CLOCK_SKEW)
    return link


def delete(
    store: Store,
    queue: TaskQueue,
    at: EventRef,
    link: Versioned[Link],
    conference: ConferenceRef,
    provider: Provider,
    now: datetime,
) -> tuple[Versioned[Link] | None, bool]:
    """Delete a conference whose grace is over, unless another event carries it: then that one
    leads.

    Returns the link, None if nothing of it is left, and whether the conference was deleted by this
    call.
    """
    record = store.get_conference(conference)
    if record and record.value.state in (ConferenceState.DELETED, ConferenceState.REPLACED):
        return _drop_entry(store, link, conference), False
    if record and (
        _deleted_by_another(record.value, at, now) or _succeed(store, queue, at, record)
    ):
        return _drop_entry(store, link, conference), False
    announced = ConferenceRecord(
        ref=conference, state=ConferenceState.DELETING, changed_by=at, changed_at=now
    )
    [version] = store.commit([PutConference(announced, record.version if record else None)])
    provider.delete(conference.conference_id)
    dead = replace(announced, state=ConferenceState.DELETED, expires_at=now + REMEMBERED)
    return _commit_entry(store, link, conference, [PutConference(dead, version)]), True


def forget(
    store: Store, queue: TaskQueue, at: EventRef, link: Versioned[Link], now: datetime
) -> Versioned[Link] | None:
    """Note that an event does not decide any more (E6), or its calendar is not watched any more
    (H3).

    The conference stays; another event that carries it leads from now on. Returns the link, None if
    nothing is left.
    """
    conference = link.value.conference
    if conference is None:
        return link
    record = store.get_conference(conference)
    writes: list[Write] = []
    if record and record.value.leader == at:
        others = _others(store, conference, at)
        if others:
            heir = others[0].value
            # Before the commit, and late enough to run after it: nothing reminds us of it once the
            # link is gone.
            queue.enqueue_event(heir.event.calendar_id, heir.event.event_id, at=now + _ASK_AGAIN)
            writes = _inheritance(record, others[0])
        else:
            writes = [DropConference(conference, record.version)]
    elif record:
        writes = [PutConference(record.value, record.version)]
    new = _freed(link.value)
    if new.empty:
        store.commit([DropLink(at, link.version), *writes])
        return None
    return _commit(store, new, link, writes)


def replace_conference(
    store: Store,
    at: EventRef,
    link: Versioned[Link],
    new_id: ConferenceId,
    new: Link,
    now: datetime,
) -> Versioned[Link]:
    """Note that the conference of `link` was created anew under another id, for every event that
    carries it (C4).

    `new` is the leader's link as it shall be, but for the conference it carries. The events still
    show the old id.
    """
    old_ref = link.value.conference
    assert old_ref is not None, "only a conference that is followed is created anew"
    ref = replace(old_ref, conference_id=new_id)
    record, existing = store.get_conference(old_ref), store.get_conference(ref)
    gone = ConferenceRecord(
        ref=old_ref, state=ConferenceState.REPLACED, replaced_by=new_id, expires_at=now + REMEMBERED
    )
    writes: list[Write] = [
        PutConference(gone, record.version if record else None),
        PutConference(ConferenceRecord(ref=ref, leader=at), existing.version if existing else None),
    ]
    others = _others(store, old_ref, at)
    for other in others:
        moved = replace(other.value, conference=ref, leading=False, approximation=None)
        writes.append(PutLink(_replacing(moved, old_ref), other.version))
    for name in {entry.value.shown_as for entry in (link, *others)} - {
        None,
        old_ref.conference_id,
        new_id,
    }:
        # Whoever shows the old one by another name, a copy made later say, is led to the new one,
        # too.
        named = replace(old_ref, conference_id=ConferenceId(str(name)))
        known = store.get_conference(named)
        writes.append(PutConference(replace(gone, ref=named), known.version if known else None))
    return _commit(store, _replacing(replace(new, conference=ref), old_ref), link, writes)


def _replacing(link: Link, old: ConferenceRef) -> Link:
    """The event still shows the old conference, by whatever name it did."""
    return replace(
        link, replaces=link.replaces or link.shown_as or old.conference_id, shown_as=None
    )


def _deleted_by_another(record: ConferenceRecord, at: EventRef, now: datetime) -> bool:
    """Another event's worker has announced its deletion, and is alive or will be run again."""
    announced = record.state is ConferenceState.DELETING and record.changed_by != at
    return announced and record.changed_at is not None and now - record.changed_at < _ABANDONED


def _succeed(
    store: Store, queue: TaskQueue, at: EventRef, record: Versioned[ConferenceRecord]
) -> bool:
    """Let another event that carries the conference lead it, and be looked at; False: nobody
    else carries it."""
    others = _others(store, record.value.ref, at)
    if not others:
        return False
    leader = next(
        (other.value for other in others if other.value.event == record.value.leader), None
    )
    if leader is None:
        store.commit(_inheritance(record, others[0]))
        leader = replace(others[0].value, fingerprint=None)
    if leader.fingerprint is None:
        queue.enqueue_event(leader.event.calendar_id, leader.event.event_id)
    return True


def _inheritance(record: Versioned[ConferenceRecord], heir: Versioned[Link]) -> list[Write]:
    led = replace(record.value, state=ConferenceState.LIVE, leader=heir.value.event)
    return [
        PutConference(led, record.version),
        PutLink(replace(heir.value, leading=True, fingerprint=None), heir.version),
    ]


def _others(store: Store, conference: ConferenceRef, at: EventRef) -> list[Versioned[Link]]:
    """The links of the other events that carry a conference, the one that was linked first in
    front."""
    others = [other for other in store.links_of_conference(conference) if other.value.event != at]
    return sorted(others, key=lambda other: (str(other.value.linked_at), other.value.event.key))


def _freed(link: Link) -> Link:
    return replace(
        link,
        conference=None,
        leading=False,
        linked_at=None,
        fingerprint=None,
        occurrences={},
        occurrences_pending=False,
        replaces=None,
        shown_as=None,
        creating=None,
        approximation=None,
    )


def _drop_entry(
    store: Store, link: Versioned[Link], conference: ConferenceRef
) -> Versioned[Link] | None:
    return _commit_entry(store, link, conference, [])


def _commit_entry(
    store: Store, link: Versioned[Link], conference: ConferenceRef, writes: list[Write]
) -> Versioned[Link] | None:
    """Forget that the event ever carried the conference, and the link itself if that was all of
    it."""
    left = tuple(entry for entry in link.value.letting_go if entry.conference != conference)
    new = replace(link.value, letting_go=left)
    if new.empty:
        store.commit([DropLink(link.value.event, link.version), *writes])
        return None
    return _commit(store, new, link, writes)


def _commit(
    store: Store, new: Link, old: Versioned[Link] | None, writes: list[Write]
) -> Versioned[Link]:
    version = store.commit([PutLink(new, old.version if old else None), *writes])[0]
    if version is None:
        raise Conflict
    return Versioned(new, version)
