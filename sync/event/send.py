"""Tells the provider what an event says, and creates anew what is gone there (E4, C4, S8).

What is about to change counts as unsure before the call is sent. Whoever comes after a crash, a
lost answer or a worker that was frozen then sends the present state, and never relies on what the
provider knew before.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from itertools import islice

from sync.context import Run
from sync.errors import Conflict, Gone, TryLater
from sync.event import creation, plan, series, sharing, write_back
from sync.event.case import Case
from sync.event.content import without
from sync.event.marks import marked
from sync.event.recognise import linked_as, links_in
from sync.model.calendar import Counts
from sync.model.conference import UNKNOWN, Carried, ConferenceRef, Creation, Told, WayIn
from sync.model.series import last_end

# A creation whose outcome is not known is looked at again so much later at the latest.
_OUTCOME = timedelta(minutes=10)
# Of so many links in a location it is looked up what became of them. People write one or two.
_LINKS_LOOKED_UP = 10


def send(run: Run, case: Case, action: plan.Send) -> None:
    """Send what differs, if the event leads. What is gone there is created anew (C4)."""
    carried = case.carried
    if carried is None or not carried.leading:
        return  # E7: another event leads
    case.trying("update", carried.conference)
    if creation.pending(case.remembered, carried.conference) is not None:
        create(run, case, action)
        return
    _unsure(run, case, action.changed)
    carried = case.carried
    if carried is None:
        raise Conflict
    provider = run.provider(carried.conference.provider)
    conference_id = carried.conference.conference_id
    run.still_ours()
    try:
        with sharing.overtaken(run, case, lambda: sharing.mark_unsure(run, carried.conference)):
            provider.update(conference_id, action.content, action.changed, carried.host)
    except Gone as error:
        _make_sure_it_is_gone(run, case, error)
        create(run, case, action)
        return
    before = carried.told or UNKNOWN
    told = Told(
        fingerprint=action.fingerprint,
        occurrences={} if action.dropped else before.occurrences,
        occurrences_pending=action.occurrences,
        occurrences_unsure=before.occurrences_unsure and not action.dropped,
        approximation=provider.approximation(action.content),
        sent_at=run.clock(),
    )
    _sent(run, case, action, told)
    case.counts += Counts(updated=1, lag_seconds=_lag(run, case))


def _unsure(run: Run, case: Case, changed: frozenset[str]) -> None:
    """S8: nobody may rely any more on what was sent before of the fields that change now."""
    carried = case.carried
    if carried is None or carried.told is None:
        return
    if changed.isdisjoint(carried.told.fingerprint):
        return
    sure = replace(carried.told, fingerprint=without(carried.told.fingerprint, changed))
    case.change_carried(run, lambda now: replace(now, told=sure))


def _sent(run: Run, case: Case, action: plan.Send, told: Told) -> None:
    """Note what was sent. If another run wrote meanwhile, what the provider knows is unsure."""
    over = last_end(action.content)
    ref = case.carried.conference if case.carried else None

    def noted(carried: Carried) -> Carried:
        seen = carried.over_seen and carried.over_at == over
        # Something on the way may have refused the occurrences: a change of the series asks anew.
        without = carried.without_occurrences and not told.occurrences_pending
        return replace(
            marked(carried, case.event, run.rules),
            told=told,
            over_at=over,
            over_seen=seen,
            without_occurrences=without,
        )

    try:
        case.change_carried(run, noted)
    except Conflict:
        if ref is not None:
            sharing.mark_unsure(run, ref)
        raise


def _make_sure_it_is_gone(run: Run, case: Case, error: Gone) -> None:
    """C4: a conference counts as gone once it is gone at a second look, some time after the first.

    Raises TryLater for the second look, and if the system has the conference after all.
    """
    await_second_look(run, case)
    carried = case.carried
    if carried is None:
        raise Conflict
    provider = run.provider(carried.conference.provider)
    try:
        provider.read(carried.conference.conference_id, carried.host)
    except Gone:
        return
    raise TryLater(f"{error}, and then shows it", after=run.limits.retry) from error


def await_second_look(run: Run, case: Case) -> None:
    """Note that the conference was not found. Raises TryLater unless this is the second look."""
    carried, now = case.carried, run.clock()
    if carried is None:
        raise Conflict
    told = carried.told or UNKNOWN
    if told.missing_since is None:
        missing = replace(told, missing_since=now)
        case.change_carried(run, lambda known: replace(known, told=missing))
    elif now - told.missing_since >= run.limits.retry:
        return
    raise TryLater(
        "the conference was not found; it is looked at a second time before it is created anew",
        after=run.limits.retry,
    )


def create(run: Run, case: Case, action: plan.Send) -> None:
    """C4: create a conference anew, once, for the event and all others that carry it.

    The intent is written first, under the key that makes a repetition return the same conference.
    """
    carried = case.carried
    if carried is None:
        raise Conflict
    case.trying("create", carried.conference)
    name = carried.conference.provider
    begun = creation.pending(case.remembered, carried.conference)
    intent = begun or intend(run, case, carried.proven_for)
    provider = run.provider(name)
    run.still_ours()
    content = replace(action.content, ical_uid=intent.ical_uid)
    way_in = provider.create(content, intent.key, intent.host)
    pending = bool(action.content.recurrence) and provider.rules.occurrences
    told = Told(
        # What an earlier try made may hold what the event said then.
        fingerprint=action.fingerprint if begun is None else Told().fingerprint,
        occurrences_pending=pending,
        approximation=provider.approximation(action.content),
        sent_at=run.clock(),
    )
    _created(run, case, intent, way_in, told)
    case.counts += Counts(created=1, lag_seconds=_lag(run, case))
    if begun is not None:
        whole = frozenset(action.fingerprint) - {"organizer"}
        send(run, case, replace(action, changed=whole, occurrences=pending))
    show(run, case, way_in)
    if pending:
        series.send_occurrences(run, case, case.event.ical_uid)


def intend(run: Run, case: Case, proven_for: str | None) -> Creation:
    """Write that the event's conference is about to be created anew (C4). Raises Conflict."""
    carried, now = case.carried, run.clock()
    if carried is None:
        raise Conflict
    intent = Creation(
        key=uuid.uuid4().hex,
        provider=carried.conference.provider,
        since=now,
        due=now + _OUTCOME,
        host=carried.host,
        ical_uid=case.event.ical_uid,
        replaces=carried.conference.conference_id,
    )
    link = case.remembered
    unknown = replace(carried, told=None, proven_for=proven_for)
    case.put(run, replace(link, carried=unknown, creations=(*link.creations, intent)))
    return intent


def _created(run: Run, case: Case, intent: Creation, way_in: WayIn, told: Told) -> None:
    """Note what was created. If another run has taken the event over, ours must not be left."""
    carried = case.carried
    if carried is None:
        raise Conflict
    names = linked_as(way_in, run.provider(intent.provider).rules)
    made = replace(intent, conference_id=way_in.conference_id, carried=True, linked_as=names)
    link = case.remembered
    creations = tuple(made if each.key == intent.key else each for each in link.creations)
    new = replace(carried, told=told, linked_as=names)
    try:
        if way_in.conference_id == carried.conference.conference_id:
            case.put(run, replace(link, carried=new, creations=creations))
        else:
            creation.replace_by(run, case, creations, way_in.conference_id, new)
    except Conflict:
        creation.not_needed(run, case.ref, made)
        raise


def show(run: Run, case: Case, way_in: WayIn | None) -> None:
    """C4, W1, W4: the event, and every other that carries the conference, gets the new way in."""
    carried = case.carried
    if carried is None or carried.replaces is None:
        return
    case.trying("write back", carried.conference)
    if carried.leading:
        for other in run.store.links_of_conference(carried.conference):
            theirs = other.value.carried
            if theirs and theirs.replaces and other.value.event != case.ref:
                run.queue.enqueue_event(other.value.event.calendar_id, other.value.event.event_id)
    if way_in is None:
        provider = run.provider(carried.conference.provider)
        way_in = provider.read(carried.conference.conference_id, carried.host)
    old = _old_names(run, carried, case.event.location)
    entrance = write_back.Entrance(conference=carried.conference, way_in=way_in, old=old)
    write_back.show(run, case, entrance)


def _old_names(run: Run, carried: Carried, location: str) -> frozenset[ConferenceRef]:
    """Return the conferences in a location in whose place the carried one was created (C4)."""
    linked = dict.fromkeys(links_in(location, run.rules))
    return frozenset(
        ref
        for ref in islice(linked, _LINKS_LOOKED_UP)
        if ref != carried.conference
        and (carried.is_shown_by(ref) or sharing.find(run.store, ref).ref == carried.conference)
    )


def _lag(run: Run, case: Case) -> float:
    """Seconds since the event was changed."""
    updated = case.event.updated
    return max(0.0, (run.clock() - updated).total_seconds()) if updated else 0.0
