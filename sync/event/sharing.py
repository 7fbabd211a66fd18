"""Who carries a conference and who leads it, when several events do (E7), and how it ends (E2, E3).

All of it is compare-and-set (optimistic locking) on the conference's one record, in a commit with
the links that it concerns:
- whoever links an event writes the record, so a deletion that was decided before does not go
  through.
- a deletion is announced in the record first, so whoever links an event meanwhile waits for the end
  of the deletion.
- the leader's own worker alone takes the lead away from the leader, in the commit that lets the
  conference go. Exceptions: a leader that is over, shows only a link, or is not watched any more.

Every function may be stopped anywhere and run again. `Conflict` means: read the link again and plan
again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sync.context import Run, TaskQueue
from sync.errors import Conflict, Gone, SyncError, TryLater
from sync.event.case import Case
from sync.event.ownership import proof_for
from sync.event.recognise import Shown
from sync.model.calendar import CalendarStatus
from sync.model.conference import (
    Carried,
    ConferenceRecord,
    ConferenceRef,
    ConferenceState,
    Creation,
    EventRef,
    LettingGo,
    Link,
    Sight,
    Told,
)
from sync.model.event import ConferenceId, Event, digest, first_half
from sync.store import DropConference, DropLink, PutConference, PutLink, Store, Versioned, Write

# A dead conference is remembered for so long, so that its event, listed again, does not delete it
# again.
REMEMBERED = timedelta(days=30)
# A deletion takes seconds; one that was announced so long ago belongs to a worker that is dead.
_ABANDONED = timedelta(minutes=10)
_ASK_AGAIN = timedelta(seconds=10)
_LOOK_AGAIN = timedelta(days=1)
_CLOCK_SKEW = timedelta(seconds=2)
_ENDED = (ConferenceState.DELETED, ConferenceState.REPLACED)


@dataclass(frozen=True, slots=True)
class Found:
    """A conference under the id that it has now, and its record, if there is one.

    `replaced`: it was created anew since the id that was asked for (C4).
    """

    ref: ConferenceRef
    record: Versioned[ConferenceRecord] | None
    replaced: bool


def find(store: Store, ref: ConferenceRef, *, replaced: bool = False) -> Found:
    """Return a conference under the id that it has now."""
    record = store.get_conference(ref)
    for _ in range(10):  # a chain of replacements; a loop in it would be a mistake of ours
        if record is None or record.value.replaced_by is None:
            break
        ref, replaced = replace(ref, conference_id=record.value.replaced_by), True
        record = store.get_conference(ref)
    return Found(ref, record, replaced)


def was_ours(found: Found, event: EventRef) -> bool:
    """Tell whether this very event carried the conference until the conference was deleted."""
    if found.record is None:
        return False
    known = found.record.value
    return known.state is ConferenceState.DELETED and known.changed_by == event


def as_half(store: Store, ref: EventRef, event: Event, shown: Shown, sight: Sight) -> Shown:
    """Return what an event shows, as strong where its series is the following half of one (E5, E7).

    The proof of the half before is this half's, whose dates are others. `sight` is what the
    provider answered of the conference that is shown.
    """
    seen = replace(shown.conference, conference_id=sight.way_in.conference_id)
    return replace(shown, strong=True) if _continues(store, ref, event, seen) else shown


def _continues(store: Store, ref: EventRef, event: Event, conference: ConferenceRef) -> bool:
    """Tell whether an event is the following half of a series that carries a conference.

    "This and following" makes a second series, `s1_R20300516T100000` of `s1`, which begins when the
    conference does not. Nobody else can give an event such an id: Calendar takes no `_` from
    clients. The half before has to be proven, for the same organizer.
    https://developers.google.com/workspace/calendar/api/v3/reference/events/insert (id)
    """
    first = first_half(ref.event_id)
    if first == ref.event_id or not event.recurrence:
        return False
    return any(
        other.value.event.calendar_id == ref.calendar_id
        and first_half(other.value.event.event_id) == first
        and other.value.carried is not None
        and other.value.carried.proven_for == proof_for(event)
        for other in store.links_of_conference(conference)
        if other.value.event != ref
    )


def follow(run: Run, case: Case, wanted: Carried, found: Found) -> None:
    """Link the event to a conference. The event leads unless another one does.

    `wanted` is what shall be remembered. Whether it leads, and what the provider was told, depends
    on the conference's record in `found`. That was read before the provider was asked, so nobody
    has changed or deleted the conference since if the record is written now. Raises TryLater while
    another event's worker deletes it, Conflict.
    """
    ref, record, now = found.ref, found.record, run.clock()
    known = record.value if record else ConferenceRecord(ref=ref)
    if _deleted_by_another(known, case.ref, now):
        raise TryLater("the conference is being deleted at this moment", after=_ASK_AGAIN)
    live = known.state is ConferenceState.LIVE
    writes: list[Write] = []
    leads = not live or known.leader in (None, case.ref)
    if not leads and known.leader is not None:
        leads, writes = _takes_over(run, wanted, known.leader)
    told = wanted.told if leads else None
    if told is not None and record is not None and live and not still_told(case, found):
        told = _after_others(run, told, known)
    old = case.remembered
    link = replace(
        old,
        carried=replace(wanted, leading=leads, told=told),
        letting_go=tuple(past for past in old.letting_go if past.conference != ref),
        creations=_carried(old.creations, ref),
        seen=run.full_sync_id or old.seen,
    )
    led = ConferenceRecord(ref=ref, leader=case.ref) if leads else known
    _commit(
        run.store,
        case,
        link,
        [PutConference(led, record.version if record else None), *writes],
    )


def still_told(case: Case, found: Found) -> bool:
    """Tell whether the provider still knows what this event said before it let go."""
    if found.record is None or found.replaced:
        return False
    known = found.record.value
    return known.state is ConferenceState.LIVE and known.last_leader == case.ref


def _after_others(run: Run, told: Told, known: ConferenceRecord) -> Told:
    """Return what was told, where another event led: of its occurrences nobody is sure (E5)."""
    last = known.leader or known.last_leader
    former: Told | None = None
    if last is not None:
        links = run.store.get_known(last.calendar_id, [last.event_id]).links
        former = _told_last(links[last.event_id].value, known.ref) if links else None
    occurrences = former.unsure.occurrences if former else {}
    return replace(told, occurrences=occurrences, occurrences_unsure=True)


def _told_last(link: Link, ref: ConferenceRef) -> Told | None:
    if link.carried is not None and link.carried.conference == ref:
        return link.carried.told
    past = link.lets_go_of(ref)
    return past.told if past else None


def _carried(creations: tuple[Creation, ...], ref: ConferenceRef) -> tuple[Creation, ...]:
    """The creations of an event that carries one of them from now on."""
    return tuple(
        replace(made, carried=True)
        if (made.provider, made.conference_id) == (ref.provider, ref.conference_id)
        else made
        for made in creations
    )


def _takes_over(run: Run, wanted: Carried, leader: EventRef) -> tuple[bool, list[Write]]:
    """Tell whether a newcomer leads instead of the leader, and what to write of that one (E7)."""
    found = run.store.get_known(leader.calendar_id, [leader.event_id]).links
    link = found.get(leader.event_id)
    if link is None or link.value.carried is None:
        return True, []  # H4: left over from a calendar that was stopped
    carried, now = link.value.carried, run.clock()
    if carried.conference != wanted.conference or not carried.leading:
        return True, []
    over = _over(carried, now) and not _over(wanted, now)
    weaker = wanted.strong and not carried.strong
    watched = (
        leader.calendar_id == run.calendar_id
        or run.store.get_calendar(leader.calendar_id) is not None
    )
    if not over and not weaker and watched:
        return False, []
    follower = replace(link.value, carried=replace(carried, leading=False, told=None))
    return True, [PutLink(follower, link.version)]


def let_go(run: Run, case: Case) -> LettingGo:
    """Note that the event does not carry its conference any more: it leads no more from now on.

    The grace begins. `settle` or `delete` comes next. Returns what was noted. Raises Conflict.
    """
    old, now = case.remembered, run.clock()
    carried = old.carried
    if carried is None:
        raise Conflict
    told = carried.told
    past = LettingGo(
        conference=carried.conference,
        since=now,
        due=now + run.rules.delete_grace,
        proven_for=carried.proven_for,
        host=carried.host,
        told=told.unsure if told and told.occurrences_pending else told,
        shown_as=carried.shown_as,
        linked_as=carried.linked_as,
    )
    record = run.store.get_conference(carried.conference)
    known = record.value if record else ConferenceRecord(ref=carried.conference)
    unled = known
    if known.leader == case.ref:
        unled = replace(known, leader=None, last_leader=case.ref)
    link = replace(
        old,
        carried=None,
        letting_go=(*old.letting_go, past),
        creations=_ending(old.creations, past),
    )
    _commit(run.store, case, link, [PutConference(unled, record.version if record else None)])
    return past


def _ending(creations: tuple[Creation, ...], past: LettingGo) -> tuple[Creation, ...]:
    """C4: what was being created anew for the event ends with what the event carried."""
    return tuple(
        replace(made, due=past.due)
        if made.open and made.conference_id is None and made.provider == past.conference.provider
        else made
        for made in creations
    )


def let_go_unseen(run: Run, case: Case, past: LettingGo) -> bool:
    """Note a conference whose event was deleted before it was ever seen alive (E2).

    False: the conference is known already, so other events decide. Raises Conflict.
    """
    if run.store.get_conference(past.conference) is not None:
        return False
    fresh = ConferenceRecord(ref=past.conference)
    old = case.remembered
    link = replace(old, letting_go=(*old.letting_go, past))
    _commit(run.store, case, link, [PutConference(fresh, None)])
    return True


def note_moved(store: Store, ref: EventRef, conference: ConferenceRef) -> None:
    """E2: note that an event which is left alone is one that led the conference elsewhere.

    An event that is moved to another calendar keeps its id. Its former calendar shows no more of it
    than that id, as if it was deleted.
    """
    found = find(store, conference)
    if found.record is None or found.record.value.moved_to == ref:
        return
    known = found.record.value
    last = known.leader or known.last_leader
    if last is None or last.event_id != ref.event_id or last.calendar_id == ref.calendar_id:
        return
    with suppress(Conflict):
        # Whoever wrote meanwhile may lead. The event is looked at again once a day.
        store.commit([PutConference(replace(known, moved_to=ref), found.record.version)])


def lives_elsewhere(store: Store, case: Case, conference: ConferenceRef) -> bool:
    """Tell whether an event was moved to another watched calendar, and is left alone there (E2).

    Only of an event of which nothing but its id is left: a deletion leaves more.
    """
    record = store.get_conference(conference) if case.event.bare else None
    moved_to = record.value.moved_to if record else None
    if moved_to is None or moved_to.event_id != case.ref.event_id:
        return False
    left = store.get_failure(moved_to.key)
    return left is not None and left.value.rule is not None


def look_at_own(run: Run, case: Case) -> None:
    """E2, E5: enqueue a look at each occurrence that carries a conference of its own.

    Calendar may tell of a deleted series alone, and not of its occurrences. Raises Conflict.
    """
    old = case.remembered
    for each in old.own:
        run.queue.enqueue_event(case.ref.calendar_id, each.event_id)
    _commit(run.store, case, replace(old, own=()), [])


def settle(run: Run, case: Case, past: LettingGo) -> None:
    """See that a conference which was let go is led by another event, or its deletion scheduled."""
    if case.link is None:
        return
    record = run.store.get_conference(past.conference)
    if record is None or record.value.state in _ENDED or _succeed(run, case, record, past):
        _drop_past(run, case, past, [])
        return
    due, now = past.due, run.clock()
    # The name keeps a repetition from scheduling it twice; a later deletion of the same event has
    # another moment.
    name = digest(case.ref.key, past.conference.key, due.isoformat())
    calendar_id, event_id = case.ref.calendar_id, case.ref.event_id
    created = run.queue.enqueue_event(calendar_id, event_id, name=name, at=due)
    if not created and due - now < _CLOCK_SKEW:
        # That task may be the one that brought us here, a moment early by our clock; its name is
        # used up.
        run.queue.enqueue_event(calendar_id, event_id, at=due + _CLOCK_SKEW)


def postpone(run: Run, case: Case, past: LettingGo) -> None:
    """E3: look again in a day at a conference whose link stands in the event. Raises Conflict."""
    old = case.remembered
    later = replace(past, due=run.clock() + _LOOK_AGAIN)
    entries = tuple(later if entry == past else entry for entry in old.letting_go)
    _commit(run.store, case, replace(old, letting_go=entries), [])


def delete(run: Run, case: Case, past: LettingGo) -> bool:
    """Delete a conference whose grace is over, unless another event carries it: that one leads.

    Returns whether this call deleted the conference. Raises Conflict, and what the provider says.
    """
    if case.link is None:
        return False
    ref, now = past.conference, run.clock()
    record = run.store.get_conference(ref)
    if record and (
        record.value.state in _ENDED
        or _deleted_by_another(record.value, case.ref, now)
        or _succeed(run, case, record, past)
    ):
        _drop_past(run, case, past, [])
        return False
    announced = ConferenceRecord(
        ref=ref, state=ConferenceState.DELETING, changed_by=case.ref, changed_at=now
    )
    [version] = run.store.commit([PutConference(announced, record.version if record else None)])
    run.still_ours()
    run.provider(ref.provider).delete(ref.conference_id, past.host)
    dead = replace(announced, state=ConferenceState.DELETED, expires_at=now + REMEMBERED)
    try:
        # An event that is restored, and shows a number or a link, is led to this record.
        names = _other_names(run.store, replace(dead, replaced_by=ref.conference_id), past.names)
        _drop_past(run, case, past, [PutConference(dead, version), *names])
    except Conflict:
        # S8: an event may carry it again meanwhile. Whoever leads finds out that it is gone.
        mark_unsure(run, ref)
        raise
    return True


def forget_lost(run: Run, case: Case, past: LettingGo) -> None:
    """Forget a conference that its system does not know. Raises Conflict.

    Another event that carries it leads it, and finds out for itself (C4).
    """
    record = run.store.get_conference(past.conference)
    writes: list[Write] = []
    if record and record.value.state not in _ENDED and not _succeed(run, case, record, past):
        writes = [DropConference(past.conference, record.version)]
    _drop_past(run, case, past, writes)


def forget(
    store: Store, queue: TaskQueue, link: Versioned[Link], now: datetime
) -> Versioned[Link] | None:
    """Note that an event does not decide any more (E6), or is not watched any more (H3).

    The conference stays. Another event that carries it leads from now on. Returns the link, None
    if nothing is left of it. Raises Conflict.
    """
    carried, ref = link.value.carried, link.value.event
    if carried is None:
        return link
    record = store.get_conference(carried.conference)
    writes: list[Write] = []
    if record and record.value.leader == ref:
        others = _others(store, carried.conference, ref, now)
        if others:
            _remind(queue, others[0].value.event, now)
            writes = _inheritance(record, others[0], carried.told)
        else:
            writes = [DropConference(carried.conference, record.version)]
    elif record:
        writes = [PutConference(record.value, record.version)]
    new = replace(link.value, carried=None)
    if new.empty:
        store.commit([DropLink(ref, link.version), *writes])
        return None
    version = store.commit([PutLink(new, link.version), *writes])[0]
    if version is None:
        raise Conflict
    return Versioned(new, version)


def hand_on(store: Store, queue: TaskQueue, link: Versioned[Link], now: datetime) -> bool:
    """Let an event with dates ahead lead instead of this one, if there is one (E7).

    For a leader whose last date is over, or whose calendar has been broken for a day. Returns
    whether another one leads. If not, it is noted that this was looked at. Raises Conflict.
    """
    carried, ref = link.value.carried, link.value.event
    if carried is None or not carried.leading:
        return False
    record = store.get_conference(carried.conference)
    heirs = [
        other
        for other in _others(store, carried.conference, ref, now)
        if other.value.carried is not None
        and not _over(other.value.carried, now)
        and _is_healthy(store, other.value.event)
    ]
    looked = replace(carried, over_seen=_over(carried, now))
    if record is None or not heirs:
        store.commit([PutLink(replace(link.value, carried=looked), link.version)])
        return False
    follower = replace(looked, leading=False, told=None)
    _remind(queue, heirs[0].value.event, now)
    store.commit(
        [
            PutLink(replace(link.value, carried=follower), link.version),
            *_inheritance(record, heirs[0], carried.told),
        ]
    )
    return True


def replace_conference(run: Run, case: Case, new_id: ConferenceId, carried: Carried) -> None:
    """Note that a conference was created anew, for every event that carries it (C4).

    `carried` is the leader's, as it shall be but for the conference. Events still show the old id.
    """
    old = case.remembered
    if old.carried is None:
        raise Conflict
    old_ref, store = old.carried.conference, run.store
    ref = replace(old_ref, conference_id=new_id)
    gone = ConferenceRecord(
        ref=old_ref,
        state=ConferenceState.REPLACED,
        replaced_by=new_id,
        expires_at=run.clock() + REMEMBERED,
    )
    writes = [
        _replacing_record(store, gone),
        _replacing_record(store, ConferenceRecord(ref=ref, leader=case.ref)),
    ]
    others = _others(store, old_ref, case.ref, run.clock())
    names = {old.carried.shown_as, *old.carried.linked_as}
    for other in others:
        theirs = other.value.carried
        if theirs is None:
            continue
        names |= {theirs.shown_as, *theirs.linked_as}
        moved = replace(
            _replacing(theirs, old_ref),
            conference=ref,
            leading=False,
            told=None,
            linked_as=carried.linked_as,
        )
        writes.append(PutLink(replace(other.value, carried=moved), other.version))
    # Whoever shows the old one by another name, a copy made later say, is led to the new one.
    writes += _other_names(store, gone, frozenset(filter(None, names)))
    new = replace(_replacing(carried, old_ref), conference=ref)
    link = replace(old, carried=new, creations=_carried(old.creations, ref))
    _commit(store, case, link, writes)


@contextmanager
def overtaken(run: Run, case: Case, mark: Callable[[], None]) -> Iterator[None]:
    """S8: `mark` what a call sent as unsure if the call fails and another run has acted meanwhile.

    Whatever a worker that was frozen is answered, and also without an answer, its call may have
    taken effect, or may do so yet: after what the other run has sent and noted. A conference that
    the system does not have has no older state.
    """
    try:
        yield
    except Gone:
        raise
    except SyncError as error:
        unsent = isinstance(error, TryLater) and error.unsent
        if not unsent and not case.is_latest(run):
            mark()
        raise


def mark_unsure(run: Run, ref: ConferenceRef) -> None:
    """S8: what the provider knows of a conference is not known any more. Send the present state.

    For a run that finds, after a call was sent, that its write is lost: another run sent something
    newer before or after. Safe to repeat.
    """
    record = run.store.get_conference(ref)
    leader = record.value.leader if record else None
    if leader is None:
        return
    for _ in range(5):
        found = run.store.get_known(leader.calendar_id, [leader.event_id]).links
        link = found.get(leader.event_id)
        if link is None or link.value.carried is None or link.value.carried.conference != ref:
            return
        # The task first: an unsure link has one that looks at it.
        run.queue.enqueue_event(leader.calendar_id, leader.event_id)
        told = link.value.carried.told
        unsure = replace(link.value.carried, told=told.unsure if told else None)
        try:
            run.store.commit([PutLink(replace(link.value, carried=unsure), link.version)])
            return
        except Conflict:
            continue


def _remind(queue: TaskQueue, heir: EventRef, now: datetime) -> None:
    """See that an heir is looked at: before the commit, for nothing reminds us once that is done.

    Late enough to run after the commit.
    """
    queue.enqueue_event(heir.calendar_id, heir.event_id, at=now + _ASK_AGAIN)


def _other_names(
    store: Store, record: ConferenceRecord, names: frozenset[ConferenceId]
) -> list[Write]:
    """Return what leads from other names of a conference to where its record leads.

    A name under which another conference is known stays that one's.
    """
    writes: list[Write] = []
    for name in sorted(names - {record.ref.conference_id, record.replaced_by}):
        ref = replace(record.ref, conference_id=name)
        known = store.get_conference(ref)
        if known is None or known.value.state in _ENDED:
            named = replace(record, ref=ref, state=ConferenceState.REPLACED)
            writes.append(PutConference(named, known.version if known else None))
    return writes


def _replacing_record(store: Store, record: ConferenceRecord) -> Write:
    known = store.get_conference(record.ref)
    return PutConference(record, known.version if known else None)


def _replacing(carried: Carried, old: ConferenceRef) -> Carried:
    """The event still shows the old conference, by whatever name it did."""
    shown = carried.replaces or carried.shown_as or old.conference_id
    return replace(carried, replaces=shown, shown_as=None)


def _over(carried: Carried, now: datetime) -> bool:
    return carried.over_at is not None and carried.over_at <= now


def _is_healthy(store: Store, event: EventRef) -> bool:
    calendar = store.get_calendar(event.calendar_id)
    return calendar is not None and calendar.value.status is not CalendarStatus.BROKEN


def _deleted_by_another(record: ConferenceRecord, ref: EventRef, now: datetime) -> bool:
    """Another event's worker has announced its deletion, and is alive or will be run again."""
    announced = record.state is ConferenceState.DELETING and record.changed_by != ref
    return announced and record.changed_at is not None and now - record.changed_at < _ABANDONED


def hand_on_past(store: Store, queue: TaskQueue, link: Versioned[Link], now: datetime) -> None:
    """Let others lead what an event let go, where nobody is left to see to it (H3, E7).

    A repetition is safe. Raises Conflict.
    """
    for past in link.value.letting_go:
        record = store.get_conference(past.conference)
        if record is not None and record.value.state is ConferenceState.LIVE:
            _hand_on(
                store, queue, record, _others(store, past.conference, link.value.event, now), past
            )


def _succeed(run: Run, case: Case, record: Versioned[ConferenceRecord], past: LettingGo) -> bool:
    """Let another event that carries the conference lead it, and be looked at. False: none does."""
    others = _others(run.store, record.value.ref, case.ref, run.clock())
    return _hand_on(run.store, run.queue, record, others, past)


def _hand_on(
    store: Store,
    queue: TaskQueue,
    record: Versioned[ConferenceRecord],
    others: list[Versioned[Link]],
    past: LettingGo,
) -> bool:
    if not others:
        return False
    leader = next((other for other in others if other.value.event == record.value.leader), None)
    if leader is None:
        leader = others[0]
        store.commit(_inheritance(record, leader, past.told))
    event = leader.value.event
    # A repetition comes here again and enqueues again, so a crash before this loses nothing.
    queue.enqueue_event(event.calendar_id, event.event_id)
    return True


def _inheritance(
    record: Versioned[ConferenceRecord], heir: Versioned[Link], told: Told | None
) -> list[Write]:
    """Return what to write so that `heir` leads. A task has to tell the provider of that event.

    `told` is what the former leader told: of its occurrences nobody is sure (E5).
    """
    event, carried = heir.value.event, heir.value.carried
    if carried is None:
        raise Conflict
    led = replace(record.value, state=ConferenceState.LIVE, leader=event)
    known = told.inherited if told else None
    leads = replace(carried, leading=True, told=known, over_seen=False)
    return [
        PutConference(led, record.version),
        PutLink(replace(heir.value, carried=leads), heir.version),
    ]


def _others(
    store: Store, conference: ConferenceRef, ref: EventRef, now: datetime
) -> list[Versioned[Link]]:
    """The links of the other events that carry a conference, the one that should lead in front.

    Those with dates ahead come first, strong evidence before weak, then whoever was linked first.
    """

    def order(other: Versioned[Link]) -> tuple[bool, bool, str, str]:
        carried = other.value.carried
        if carried is None:
            return True, True, "", other.value.event.key
        return (
            _over(carried, now),
            not carried.strong,
            carried.linked_at.isoformat(),
            other.value.event.key,
        )

    found = store.links_of_conference(conference)
    return sorted((other for other in found if other.value.event != ref), key=order)


def _drop_past(run: Run, case: Case, past: LettingGo, writes: list[Write]) -> None:
    """Forget that the event ever carried a conference, and the link itself if that was all.

    `writes` record the deletion, if this run deleted the conference.
    """
    old = case.remembered
    left = tuple(entry for entry in old.letting_go if entry.conference != past.conference)
    ended = tuple(
        replace(made, deleted=True)
        if (made.provider, made.conference_id)
        == (past.conference.provider, past.conference.conference_id)
        else made
        for made in old.creations
    )
    link = replace(old, letting_go=left, creations=ended if writes else old.creations)
    _commit(run.store, case, link, writes)


def _commit(store: Store, case: Case, link: Link, writes: list[Write]) -> None:
    """Write the event's link, or drop an empty one, together with `writes`. Raises Conflict."""
    if link.empty:
        dropped: list[Write] = [DropLink(case.ref, case.link.version)] if case.link else []
        store.commit([*dropped, *writes])
        case.link = None
        return
    version = store.commit([PutLink(link, case.link.version if case.link else None), *writes])[0]
    if version is None:
        raise Conflict
    case.link = Versioned(link, version)
