"""Brings everything into step with one event: plan, carry out, plan again. The net around it too.

`apply_entry` is the only door: whatever goes wrong with the event ends there, in a retry task, a
parked failure or the list of what is left alone (C5, O3, S6). A step takes `(run, case, action)`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from sync.backoff import asked_twice
from sync.context import WRITERS, Page, Run
from sync.errors import (
    Conflict,
    CredentialsRefused,
    Gone,
    Invalid,
    LeaseLost,
    LeftAlone,
    Malformed,
    NotAllowed,
    RoleTooLow,
    SyncError,
    TryLater,
)
from sync.event import creation, failures, ownership, plan, send, series, sharing, write_back
from sync.event.case import Case
from sync.event.content import content_of, fingerprint_of, without
from sync.event.marks import mark_of
from sync.event.recognise import Shown, linked_as, still_stands
from sync.logs import about, short
from sync.model.calendar import Counts
from sync.model.conference import UNKNOWN, Carried, ConferenceRef, LettingGo, Sight, Told
from sync.model.event import ConferenceId, Entry, Event, EventId, address_of
from sync.model.series import last_end
from sync.store import Known

_logger = logging.getLogger(__name__)

# An event is read and decided again so often because somebody wrote it meanwhile (W1).
_DECISIONS = 5
# Plans that follow each other in one decision: follow, then send, and one to spare.
_PLANS = 4
# Where a listing is asked for just to see whether it is answered: few events are so far ahead.
_FAR_AHEAD = timedelta(days=3650)


def apply_entry(run: Run, entry: Entry, known: Known, *, listed: bool) -> Counts:
    """Bring everything into step with one event, given what is remembered of it.

    `listed`: the entry comes from a listing, not from a task of its own. A version that waits for
    its failure's next try is then passed over. Safe to repeat. Raises what concerns the whole run:
    CredentialsRefused, LeaseLost, and TryLater of the store or the queue.
    """
    failure = known.failures.get(entry.id)
    now = run.clock()
    if listed and failures.waits(failure.value if failure else None, entry.version, now):
        return Counts()
    case = Case(
        ref=run.ref(entry.id),
        entry=entry,
        event=entry.event or Event.deleted(entry.id),
        link=known.links.get(entry.id),
        failure=failure,
    )
    try:
        if entry.event is None:
            raise Malformed(entry.malformed)
        with about(entry.id):
            _converge(run, case, known)
    except (CredentialsRefused, LeaseLost):
        raise
    except LeftAlone as left:
        failures.leave(run, case, left)
        return case.counts
    except Exception as error:
        failures.hand_over(run, case, error)
        return case.counts + Counts(failed=1)
    failures.applied(run, case)
    if case.done:
        _logger.info(
            "event applied",
            extra={
                "calendar": short(case.ref.calendar_id),
                "event": short(case.ref.event_id),
                "actions": ", ".join(case.done),
            },
        )
    return case.counts


def _converge(run: Run, case: Case, known: Known) -> None:
    """Plan and carry out, again from the start when somebody wrote in between (W1)."""
    for _ in range(_DECISIONS):
        try:
            _apply(run, case, known)
            return
        except Conflict:
            known = _read_again(run, case)
    raise TryLater("the event, or what is known of it, was changed again and again meanwhile")


def _apply(run: Run, case: Case, known: Known) -> None:
    if case.event.bare and case.link is None:
        # E2: a bare id may be an occurrence of a series that we follow; only a look at it tells.
        known = _read_again(run, case)
    if case.event.series_id is None:
        apply_event(run, case)
    else:
        series.apply_occurrence(run, case, known, apply_event)


def _read_again(run: Run, case: Case) -> Known:
    case.entry = read_entry(run, case.ref.event_id)
    if case.entry.event is None:
        raise Malformed(case.entry.malformed)
    case.event = replace(case.entry.event, bare=False)
    known = run.store.get_known(run.calendar_id, ids_to_know([case.entry]))
    case.link = known.links.get(case.ref.event_id)
    return known


def read_entry(run: Run, event_id: EventId) -> Entry:
    """Return an event as it stands. One that Calendar does not know is a deleted one.

    Raises NotAllowed where Calendar does not show us the calendar, RoleTooLow where it hides what
    events say: it may answer 404 for both, and no conference may be deleted for that.
    """
    try:
        return run.calendar.get_event(event_id)
    except Gone:
        pass
    try:
        # Calendar goes on showing deleted events for long, so this is rare.
        later = run.clock() + _FAR_AHEAD
        listed = run.calendar.list_changes(sync_token=None, time_min=later, page_token=None)
    except Gone as error:
        raise hidden(error) from error
    check_role(listed)
    return Entry.deleted(event_id)


def check_role(listed: Page) -> None:
    """E6: raise RoleTooLow if sharing hides events from us. What is not shown is not gone."""
    if listed.access_role is not None and listed.access_role not in WRITERS:
        raise RoleTooLow(
            f"the calendar's sharing gives us the role {listed.access_role[:40]}, which hides what "
            "events say; share the calendar with the right to change events"
        )


def hidden(error: Gone) -> NotAllowed:
    """Return what it means that Calendar does not know a calendar."""
    return NotAllowed(
        f"{error}: the calendar was deleted, or is not shared with us any more; share it again "
        "with the right to change events, or stop it"
    )


def ids_to_know(entries: Sequence[Entry]) -> set[EventId]:
    """Return the ids of events whose links planning these entries needs: theirs, their series'."""
    ids = {entry.id for entry in entries}
    ids |= {entry.event.series_id for entry in entries if entry.event and entry.event.series_id}
    return ids


def apply_event(run: Run, case: Case) -> None:
    """Plan one event that is no occurrence, carry that out, and plan again after a `Follow`.

    C5: a deletion that fails keeps nothing else of the event waiting. It is raised at the end.
    """
    failed: list[tuple[plan.Action, SyncError, ConferenceRef | None]] = []
    for _ in range(_PLANS):
        actions = plan.plan(
            plan.Facts(
                event=case.event,
                ref=case.ref,
                link=case.link.value if case.link else None,
                rules=run.rules,
                now=run.clock(),
                shared=case.shared,
            )
        )
        for action in actions:
            if any(action == tried for tried, *_ in failed):
                continue
            run.still_ours()
            try:
                carry_out(run, case, action)
            except (Conflict, CredentialsRefused, LeaseLost):
                raise
            except SyncError as error:
                if not isinstance(action, plan.Delete | plan.EndCreation):
                    raise
                failed.append((action, error, case.conference))
                continue
            case.done.append(type(action).__name__)
        if not actions or not isinstance(actions[-1], plan.Follow | plan.Prove):
            _raise_one(case, failed)
            return
    raise Conflict


def _raise_one(
    case: Case, failed: list[tuple[plan.Action, SyncError, ConferenceRef | None]]
) -> None:
    """Raise why a deletion failed, if one did: first what a retry may mend."""
    if not failed:
        return
    _, error, conference = min(failed, key=lambda each: not isinstance(each[1], TryLater))
    case.trying("delete", conference)
    raise error


def carry_out(run: Run, case: Case, action: plan.Action) -> None:
    """Carry one action out. Raises Conflict where somebody wrote since the plan was made."""
    match action:
        case plan.Follow():
            _follow(run, case, action)
        case plan.Prove():
            _prove(run, case, action)
        case plan.HandOn() | plan.NoteEnd():
            _end_seen(run, case, leads=isinstance(action, plan.HandOn))
        case plan.Send():
            send.send(run, case, action)
        case plan.SendOccurrences():
            series.send_occurrences(run, case, action.ical_uid)
        case plan.ShowConference():
            send.show(run, case, None)
        case plan.HideConference():
            write_back.hide(run, case)
        case plan.LetGo() | plan.LetGoUnseen() | plan.Settle() | plan.Postpone() | plan.Delete():
            _part(run, case, action)
        case plan.LookAtOwn():
            sharing.look_at_own(run, case)
        case plan.Forget():
            _forget(run, case, action.carried)
        case plan.EndCreation():
            case.trying("delete", None)
            creation.end(run, case, action.creation)
        case _:
            assert_never(action)


def _part(
    run: Run,
    case: Case,
    action: plan.LetGo | plan.LetGoUnseen | plan.Settle | plan.Postpone | plan.Delete,
) -> None:
    """E2, E3: one step on the way of what an event carries no more, from the grace to its end."""
    match action:
        case plan.LetGo():
            _let_go(run, case, action)
        case plan.LetGoUnseen():
            _let_go_unseen(run, case, action)
        case plan.Settle():
            case.trying("let go", action.past.conference)
            sharing.settle(run, case, action.past)
        case plan.Postpone():
            sharing.postpone(run, case, action.past)
        case plan.Delete():
            _delete(run, case, action.past)
        case _:
            assert_never(action)


def _follow(run: Run, case: Case, action: plan.Follow) -> None:
    """E1, O1, E7: prove that the conference is the event's, then follow it by its own id."""
    named = action.shown.conference
    case.trying("follow", named)
    past = case.remembered.lets_go_of(named)
    known = sharing.find(run.store, past.conference if past else named)
    if known.record is None:
        known = _by_a_twin(run, known)
    host: str | None = None
    told: Told | None = None
    links: tuple[ConferenceId, ...] = ()
    unseen = False
    if not action.proven:
        sight = _look(run, case, replace(action.shown, conference=known.ref))
        unseen = sight is None and not sharing.was_ours(known, case.ref)
        host, told, links = _first_sight(run, case, sight, known.ref.provider)
        if sight is not None and sight.way_in.conference_id != known.ref.conference_id:
            # It was shown by a number or a link: events that share it meet under its own id.
            # Whoever is noted there may have told the provider something since it was read.
            ref = replace(known.ref, conference_id=sight.way_in.conference_id)
            known = sharing.find(run.store, ref, replaced=known.replaced)
            told = told if known.record is None else None
    elif past is not None:
        host, links = past.host, past.linked_as
        told = past.told if sharing.still_told(case, known) else None
    elif made := case.remembered.made(known.ref):
        host, links = made.host, made.linked_as
    name = named.conference_id
    shown_as = name if name != known.ref.conference_id and not known.replaced else None
    wanted = Carried(
        conference=known.ref,
        leading=False,
        linked_at=run.clock(),
        strong=action.shown.strong,
        proven_for=None if unseen else ownership.proof_for(case.event),
        host=host,
        told=None if known.replaced else told,
        replaces=name if known.replaced else None,
        shown_as=shown_as,
        linked_as=links,
        mark=mark_of(case.event, action.shown, run.rules),
        over_at=_over_at(case),
    )
    sharing.follow(run, case, wanted, known)
    if told is not None and told.missing_since is not None:
        raise TryLater(
            "the conference was not found; it is looked at a second time before it is created anew",
            after=run.limits.retry,
        )


def _by_a_twin(run: Run, unknown: sharing.Found) -> sharing.Found:
    """E7: a conference that other events carry by the name of another entry of its system.

    By one name they meet in one record, so that it is deleted with the last of them.
    """
    for twin in run.rules.twins(unknown.ref.provider):
        found = sharing.find(run.store, replace(unknown.ref, provider=twin))
        if found.record is not None and found.record.value.leader is not None:
            return found
    return unknown


def _first_sight(
    run: Run, case: Case, sight: Sight | None, provider: str
) -> tuple[str | None, Told, tuple[ConferenceId, ...]]:
    """Return as whom a conference was seen, what counts as told (E4), and its links' ids (E3).

    Not found, and may be created: then a second look comes first (C4).
    """
    if sight is None:
        return None, replace(UNKNOWN, missing_since=run.clock()), ()
    return sight.seen_as, _told_by(run, case, sight, provider), _links_of(run, sight, provider)


def _links_of(run: Run, sight: Sight, provider: str) -> tuple[ConferenceId, ...]:
    rules = run.rules.of(provider)
    return linked_as(sight.way_in, rules) if rules else ()


def _look(run: Run, case: Case, shown: Shown) -> Sight | None:
    """O2: the one read at first sight. None: unknown, and may be created (O4). Raises LeftAlone."""
    ref = shown.conference
    rules = run.rules.of(ref.provider)
    if rules is None:
        raise Invalid(f"no provider is called {ref.provider}")
    content = content_of(case.event, case.ref)
    owners = ownership.owners_of(case.event)
    try:
        sight = run.provider(ref.provider).look(ref.conference_id, content, owners)
    except (TryLater, CredentialsRefused):
        raise
    except SyncError as error:
        if isinstance(error, Gone) and _was_followed(run, case, ref):
            return None
        left = ownership.refusal(error, rules, strong=shown.strong)
        if left is not None:
            sharing.note_moved(run.store, case.ref, ref)
            raise left from error
        return None
    shown = sharing.as_half(run.store, case.ref, case.event, shown, sight)
    reason = ownership.judge(case.event, content, shown, sight, rules)
    if reason is not None:
        seen = replace(ref, conference_id=sight.way_in.conference_id)
        sharing.note_moved(run.store, case.ref, seen)
        raise LeftAlone(reason, rule="O2")
    return sight


def _was_followed(run: Run, case: Case, ref: ConferenceRef) -> bool:
    """C4, E2: the event carries it, proven, or was restored after its conference was deleted."""
    carried = case.carried
    if carried is not None and carried.conference == ref and carried.proven_for is not None:
        return True
    return sharing.was_ours(sharing.find(run.store, ref), case.ref)


def _told_by(run: Run, case: Case, sight: Sight, provider: str) -> Told:
    """E4: what the provider has already, read at first sight, counts as told."""
    rules = run.rules.of(provider)
    content = content_of(case.event, case.ref)
    fingerprint = fingerprint_of(content, rules.fields if rules else frozenset())
    differs = set(sight.differs)
    if not content.description:
        # E4: what people keep there is not replaced by nothing.
        differs.discard("description")
    if differs & {"start", "end"}:
        differs |= {"start", "end", "duration"}
    pending = bool(content.recurrence) and rules is not None and rules.occurrences
    return Told(fingerprint=without(fingerprint, frozenset(differs)), occurrences_pending=pending)


def _prove(run: Run, case: Case, action: plan.Prove) -> None:
    """O2: prove again what the event carries, or stop following it.

    For another organizer, a link of an earlier version, or a conference that was not found at first
    sight: until the system shows it, or says a second time that it is gone (C4), nothing is sent.
    """
    carried = case.carried
    if carried is None:
        raise Conflict
    case.trying("follow", carried.conference)
    try:
        sight = _look(run, case, replace(action.shown, conference=carried.conference))
    except LeftAlone:
        _forget(run, case, carried)
        raise
    proof = ownership.proof_for(case.event)
    if sight is None:
        send.await_second_look(run, case)
        send.intend(run, case, proof)
        return
    links = _links_of(run, sight, carried.conference.provider)
    case.change_carried(
        run, lambda now: replace(now, proven_for=proof, host=sight.seen_as, linked_as=links)
    )


def _end_seen(run: Run, case: Case, *, leads: bool) -> None:
    """E7: note when the event's last date is over. A leader hands on to one with dates ahead."""
    over_at = _over_at(case)
    if not leads:
        case.change_carried(run, lambda now: replace(now, over_at=over_at))
        return
    carried = case.carried
    if case.link is None or carried is None:
        raise Conflict
    case.trying("hand on", carried.conference)
    over = replace(case.link.value, carried=replace(carried, over_at=over_at))
    sharing.hand_on(run.store, run.queue, replace(case.link, value=over), run.clock())
    known = run.store.get_known(run.calendar_id, [case.ref.event_id])
    case.link = known.links.get(case.ref.event_id)


def _over_at(case: Case) -> datetime | None:
    return last_end(content_of(case.event, case.ref))


def _let_go(run: Run, case: Case, action: plan.LetGo) -> None:
    """E2, E3: the grace begins. Without one, it is over at once."""
    case.trying("let go", action.carried.conference)
    past = sharing.let_go(run, case)
    if creation.pending(case.remembered, past.conference) is not None:
        # C4: found by its key and deleted then, unless the event comes back.
        run.queue.enqueue_event(case.ref.calendar_id, case.ref.event_id, at=past.due)
    stands = not case.event.cancelled and still_stands(
        case.event, past.conference.provider, past.names, run.rules
    )
    if past.due <= run.clock() and not stands:
        _delete(run, case, past)
    else:
        sharing.settle(run, case, past)


def _let_go_unseen(run: Run, case: Case, action: plan.LetGoUnseen) -> None:
    """E2, O1: made and deleted before we saw the event alive. Proven first, as any other."""
    shown, now = action.shown, run.clock()
    case.trying("let go", shown.conference)
    if run.store.get_conference(shown.conference) is not None:
        return  # other events decide, or it is deleted already
    try:
        sight = _look(run, case, shown)
    except LeftAlone:
        return  # nobody's event is left to list it with
    if sight is None:
        return
    ref = replace(shown.conference, conference_id=sight.way_in.conference_id)
    named = shown.conference.conference_id
    past = LettingGo(
        conference=ref,
        since=now,
        due=now + run.rules.delete_grace,
        proven_for=ownership.proof_for(case.event),
        host=sight.seen_as,
        shown_as=None if named == ref.conference_id else named,
    )
    if not sharing.let_go_unseen(run, case, past):
        return
    if past.due <= now:
        _delete(run, case, past)
    else:
        sharing.settle(run, case, past)


def _delete(run: Run, case: Case, past: LettingGo) -> None:
    """E2, E3, E7: the grace is over. What an earlier version linked is proven first (O1)."""
    case.trying("delete", past.conference)
    if not case.remembered.proves(past):
        proven = _proven_past(run, case, past)
        if proven is None:
            sharing.forget_lost(run, case, past)
            return
        past = proven
    if sharing.lives_elsewhere(run.store, case, past.conference) and _is_bare(run, case):
        raise LeftAlone(
            "its event was moved to another calendar, where it is not proven to be the event's; "
            "name its host in hosts, or delete it by hand if it is not needed",
            rule="E2",
        )
    deleted = sharing.delete(run, case, past)
    case.counts += Counts(deleted=int(deleted))


def _is_bare(run: Run, case: Case) -> bool:
    """Tell whether nothing but its id is left of an event. A listing may show less than a look."""
    event = read_entry(run, case.ref.event_id).event
    return event is not None and event.bare


def _proven_past(run: Run, case: Case, past: LettingGo) -> LettingGo | None:
    """O1: of a deleted event, perhaps nothing is left but the calendar whose own event it was.

    None: the system does not know the conference. Without a look there is no proof, so it is not
    deleted either.
    """
    event = case.event
    if not event.decides:
        # E6: somebody else organizes the event by now, and may well host this conference.
        event = replace(event, organizer=None, creator=None)
    organizer = event.organizer or address_of(case.ref.calendar_id)
    rules = run.rules.of(past.conference.provider)
    if rules is None:
        raise Invalid(f"no provider is called {past.conference.provider}")
    provider = run.provider(past.conference.provider)
    content = creation.placeholder(case.ref, run.clock())
    owners = (*ownership.owners_of(event), organizer)
    try:
        sight = asked_twice(lambda: provider.look(past.conference.conference_id, content, owners))
    except Gone:
        return None
    known = replace(event, organizer=organizer)
    if not ownership.is_hosted(known, sight, rules):
        raise LeftAlone(
            "its event is gone, or carries another one, and its host is neither that event's "
            "organizer nor its creator; delete it by hand if it is not needed",
            rule="O1",
        )
    return replace(past, proven_for=organizer, host=sight.seen_as)


def _forget(run: Run, case: Case, carried: Carried) -> None:
    """E6, E3: the conference stays, and another event may lead it."""
    if case.link is None:
        raise Conflict
    case.trying("forget", carried.conference)
    made = case.remembered.made(carried.conference)
    case.link = sharing.forget(run.store, run.queue, case.link, run.clock())
    alone = made is not None and not case.event.decides
    if alone and run.store.get_conference(carried.conference) is None:
        raise LeftAlone(
            "we made this conference, and its event is organized by somebody whose calendar is "
            "not started: start that calendar, or delete the conference when it is not needed",
            rule="E6",
        )
