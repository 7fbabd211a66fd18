"""Series and their occurrences: all of rule E5.

The series owns the conference. A cancelled or moved occurrence therefore never deletes or moves the
meeting of its series: `plan_occurrence` knows no action that could. A provider that has occurrences
gets the one occurrence changed or cancelled. Any other provider is left alone.

Example: of a weekly series, Monday's occurrence is moved to Tuesday. Calendar lists an entry with
`recurringEventId` (the series) and `originalStartTime` (Monday). The provider is told to move the
occurrence of Monday, and the series stays as it is. An occurrence that carries a conference of its
own is an event by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from sync.context import Run
from sync.errors import (
    Conflict,
    CredentialsRefused,
    Gone,
    Invalid,
    LeftAlone,
    Malformed,
    NoOccurrences,
    NotAllowed,
)
from sync.event import sharing
from sync.event.case import Case
from sync.event.content import content_of, fingerprint_of
from sync.event.marks import still_marked
from sync.event.recognise import Shown, readable, shown_by
from sync.model.calendar import Counts
from sync.model.conference import (
    UNKNOWN,
    UNSURE,
    Carried,
    ConferenceContent,
    ConferenceRef,
    EventRef,
    Fingerprint,
    Link,
    OwnOccurrence,
    Told,
)
from sync.model.event import Event, EventId, digest
from sync.model.provider import Rules
from sync.store import Known, PutLink, Versioned

_CANCELLED = "cancelled"
# So many occurrences with a conference of their own are remembered with their series. Its document
# has to stay small.
_MOST_OWN = 1_000

ApplyEvent = Callable[[Run, Case], None]
"""`carry_out.apply_event`: brings everything into step with one event that is no occurrence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOccurrence:
    """Tell the provider of one occurrence that differs. No content: the occurrence is cancelled."""

    original_start: str
    content: ConferenceContent | None
    fingerprint: str


def plan_occurrence(event: Event, series: Link, rules: Rules) -> SendOccurrence | None:
    """Return what to tell of an occurrence that shares the conference of its series, or None. Pure.

    `series` is the link of the series. A cancelled occurrence gives a SendOccurrence without
    content, whatever else changed. Raises Malformed for one whose original start cannot be read.
    """
    carried = series.carried
    provider = rules.of(carried.conference.provider) if carried else None
    if carried is None or provider is None or not carried.leading:
        return None
    if not provider.occurrences or carried.without_occurrences:
        return None
    if event.hidden or not event.decides:
        return None  # E6
    if event.original_start is None:
        raise Malformed(event.unreadable or "the occurrence does not say where it was")
    original_start = event.original_start.utc()
    told = carried.told or UNKNOWN
    known = told.occurrences.get(original_start)
    if event.cancelled:
        content, fingerprint = None, _CANCELLED
    else:
        content = content_of(
            event, EventRef(calendar_id=series.event.calendar_id, event_id=event.id)
        )
        prints = fingerprint_of(content, provider.fields)
        fingerprint = digest(*(f"{name}={prints[name]}" for name in sorted(prints)))
        if known is None and not told.occurrences_unsure and _like_series(event, prints, told):
            return None  # only a guest's answer or a colour makes it an exception
    if known == fingerprint:
        return None
    return SendOccurrence(original_start=original_start, content=content, fingerprint=fingerprint)


def _like_series(event: Event, prints: Fingerprint, told: Told) -> bool:
    """The occurrence is where its series puts it, and says what its series says."""
    if event.start is None or event.original_start is None:
        return False
    if event.start.utc() != event.original_start.utc():
        return False
    compared = prints.keys() - {"start", "end", "recurrence"}
    return all(prints[name] == told.fingerprint.get(name) for name in compared)


def own_conference(event: Event, series: Link | None, rules: Rules) -> Shown | None:
    """Return the conference of an occurrence that carries another one than its series. Pure."""
    if event.cancelled or event.hidden or not event.decides:
        return None
    # A second link beside the series' own is none of its own either (E1).
    shown = shown_by(event, rules, series)
    if shown is None:
        return None
    carried = series.carried if series else None
    if carried is None:
        return shown
    # E3: shown by the very words of its series, whatever the configuration makes of them now.
    same = carried.is_shown_by(shown.conference) or still_marked(event, carried.mark, shown)
    return None if same else shown


def apply_occurrence(run: Run, case: Case, known: Known, apply_event: ApplyEvent) -> None:
    """Bring everything into step with an occurrence: of its series, or with its own conference."""
    series_id = case.event.series_id
    if series_id is None:
        raise Conflict
    series, deleted = known.links.get(series_id), False
    if _comes_first(run, case, series):
        # Listed before its series, or the series was never met: the series owns the conference, so
        # the series comes first.
        applied = _apply_series(run, case, series_id, apply_event)
        series, deleted = applied.link, applied.event.cancelled
    is_shared = shares(run, case.event, series.value if series else None)
    if case.link is not None or not is_shared:
        # It may share the conference of its series again, and let one of its own go.
        case.shared = series.value.carried if is_shared and series else None
        apply_event(run, case)
        if not is_shared:
            # An occurrence may be restored without its series. Noted with a deleted series it would
            # be looked at, noted and looked at again, without end.
            if not deleted:
                _remember_own(run, case, series_id)
            return
        series = run.store.get_known(run.calendar_id, [series_id]).links.get(series_id)
    if series is None:
        return
    step = plan_occurrence(case.event, series.value, run.rules)
    if step is None:
        return
    case.link = series
    if series.value.carried is not None and series.value.proves(series.value.carried):
        _send_occurrence(run, case, step)
    else:
        _leave_to_series(run, case)


def _leave_to_series(run: Run, case: Case) -> None:
    """Have the series looked at, which is proven first, and tells of its occurrences then (O1).

    A series of which that is pending already has a task that looks at it. `case.link` is the
    series' link. Raises Conflict.
    """
    series, carried = case.remembered.event, case.carried
    if carried is not None and (carried.told or UNKNOWN).occurrences_pending:
        return
    run.queue.enqueue_event(series.calendar_id, series.event_id)
    _tell(run, case, lambda told: replace(told, occurrences_pending=True))


def _remember_own(run: Run, case: Case, series_id: EventId) -> None:
    """Note with the series that an occurrence carries a conference of its own. Raises Conflict."""
    if case.carried is None:
        return
    found = run.store.get_known(run.calendar_id, [series_id]).links.get(series_id)
    link = found.value if found else Link(event=run.ref(series_id))
    own = OwnOccurrence(event_id=case.ref.event_id, over_at=case.carried.over_at)
    if own in link.own:
        return
    others = tuple(each for each in link.own if each.event_id != own.event_id)
    noted = replace(link, own=(*others[-_MOST_OWN + 1 :], own))
    run.store.commit([PutLink(noted, found.version if found else None)])


def _comes_first(run: Run, case: Case, series: Versioned[Link] | None) -> bool:
    carried = series.value.carried if series else None
    if carried is not None and run.rules.of(carried.conference.provider) is not None:
        return False
    return own_conference(case.event, None, run.rules) is not None


def _apply_series(run: Run, case: Case, series_id: EventId, apply_event: ApplyEvent) -> Case:
    """Apply the series of an occurrence. Return the series' case.

    What fails there, fails here (C5). What no repetition can mend does not fail an occurrence that
    shows another conference than its series, or the same by better evidence (a link in the
    location there, conference data here): that is an event by itself (S6, E1).
    """
    entry = run.calendar.get_event(series_id)
    if entry.event is None:
        raise Malformed(entry.malformed)
    known = run.store.get_known(run.calendar_id, [series_id])
    failure = known.failures.get(series_id)
    inner = Case(
        ref=run.ref(series_id),
        entry=entry,
        event=entry.event,
        link=known.links.get(series_id),
        failure=failure,
    )
    try:
        apply_event(run, inner)
    except (LeftAlone, Invalid):
        if not _is_by_itself(case.event, entry.event, run.rules):
            raise
    finally:
        case.counts += inner.counts
        case.trying(inner.action, inner.conference)
    return inner


def _is_by_itself(occurrence: Event, series: Event, rules: Rules) -> bool:
    mine, theirs = readable(occurrence, rules), readable(series, rules)
    if mine is None or theirs is None:
        return mine is not theirs
    return mine.conference != theirs.conference or (mine.strong and not theirs.strong)


def shares(run: Run, event: Event, series: Link | None) -> bool:
    """Tell whether an occurrence has no conference of its own. It may show its series' by a number.

    Asks the provider what such a number stands for.
    """
    own = own_conference(event, series, run.rules)
    if own is None:
        return True
    if series is None or series.carried is None:
        return False
    carried = series.carried
    if own.conference.provider != carried.conference.provider:
        return False
    return _canonical(run, own.conference, carried) == carried.conference


def _canonical(run: Run, shown: ConferenceRef, carried: Carried) -> ConferenceRef:
    """Name a conference by its id, whatever of it an event shows, else by what is shown."""
    owners = tuple(filter(None, (carried.host, carried.proven_for)))
    try:
        known = run.provider(shown.provider).canonical(shown.conference_id, owners)
    except Gone:
        return shown
    return replace(shown, conference_id=known)


def send_occurrences(run: Run, case: Case, ical_uid: str | None) -> None:
    """Tell the provider of the series' occurrences that differ, one by one.

    `case` is the series. Safe to stop and repeat: they stay pending until all were told. C5: one
    that the system refuses keeps no other waiting. It is tried, and parked, by itself.
    """
    carried = case.carried
    if carried is None or not carried.leading or ical_uid is None:
        return
    if carried.told is None or not carried.told.occurrences_pending:
        return  # told already: a creation tells them itself
    for event in _differing(run, case, ical_uid):
        if case.link is None:
            continue
        if not shares(run, event, case.link.value):
            continue
        try:
            step = plan_occurrence(event, case.link.value, run.rules)
        except Malformed:
            continue  # that occurrence fails by itself when it is listed
        if step is None:
            continue
        run.still_ours()
        try:
            _send_occurrence(run, case, step)
        except CredentialsRefused:
            raise
        except (Invalid, NotAllowed):
            run.queue.enqueue_event(run.calendar_id, event.id)
    _tell(
        run,
        case,
        lambda told: replace(told, occurrences_pending=False, occurrences_unsure=False),
    )


def _differing(run: Run, case: Case, ical_uid: str) -> Iterator[Event]:
    """Yield the occurrences that may differ at the provider, or have to.

    These are Calendar's exceptions, and all others that were told, each as it stands now. What was
    told for the leader before is undone, and from then on has words of its own at the provider,
    which change no more with those of the series. What is no date of this series any more is none
    of its occurrences.
    """
    series_id, told = case.ref.event_id, case.carried.told if case.carried else None
    others = set(told.occurrences) if told else set()
    for entry in run.calendar.list_exceptions(series_id, ical_uid):
        if entry.event is not None:
            if entry.event.original_start is not None:
                others.discard(entry.event.original_start.utc())
            yield entry.event
    for start in sorted(others):
        try:
            entry = run.calendar.get_event(_instance_id(series_id, start))
        except Gone:
            continue
        if entry.event is not None:
            yield entry.event


def _instance_id(series_id: EventId, original_start: str) -> EventId:
    """Return Calendar's id of an occurrence: `weekly` and `2027-01-12T09:00:00Z` give
    `weekly_20270112T090000Z`."""
    return EventId(f"{series_id}_{re.sub('[-:]', '', original_start)}")


def _send_occurrence(run: Run, case: Case, step: SendOccurrence) -> None:
    """Tell of one occurrence. A system without occurrences is left alone from now on.

    As with a series (S8): before the call is sent, nobody may rely on what was sent before.
    """
    carried = case.carried
    if carried is None:
        raise Conflict
    ref = carried.conference
    case.trying("occurrence", ref)
    provider = run.provider(ref.provider)
    if carried.told is None or carried.told.occurrences.get(step.original_start) != UNSURE:
        _note(run, case, step.original_start, UNSURE)
    run.still_ours()
    try:
        with sharing.overtaken(
            run, case, lambda: _mark_unsure(run, case, ref, step.original_start)
        ):
            if step.content is None:
                provider.cancel_occurrence(ref.conference_id, step.original_start, carried.host)
            else:
                provider.update_occurrence(
                    ref.conference_id, step.original_start, step.content, carried.host
                )
    except NoOccurrences:
        case.change_carried(run, lambda now: replace(now, without_occurrences=True))
        return
    except Gone:
        # The occurrence, or the series with it: the series is sent again, and tells which.
        _tell(run, case, lambda told: replace(told, fingerprint=Fingerprint({})))
        event = case.remembered.event
        run.queue.enqueue_event(event.calendar_id, event.event_id)
        return
    case.counts += Counts(updated=1)
    case.done.append("SendOccurrence")
    try:
        _note(run, case, step.original_start, step.fingerprint)
    except Conflict:
        _mark_unsure(run, case, ref, step.original_start)
        raise


def _mark_unsure(run: Run, case: Case, ref: ConferenceRef, original_start: str) -> None:
    """S8: another run wrote meanwhile, so nobody knows whose call about an occurrence came last.

    A task sends the present state. As `sharing.mark_unsure`, for one occurrence. Safe to repeat.
    """
    series, asked = case.remembered.event, case.ref
    for _ in range(5):
        found = run.store.get_known(series.calendar_id, [series.event_id]).links
        link = found.get(series.event_id)
        carried = link.value.carried if link else None
        if link is None or carried is None or carried.conference != ref or carried.told is None:
            return
        # The task first: an unsure occurrence has one that looks at it.
        run.queue.enqueue_event(asked.calendar_id, asked.event_id)
        told = replace(
            carried.told,
            occurrences={**carried.told.occurrences, original_start: UNSURE},
            # A series looks at its occurrences only while they are pending.
            occurrences_pending=carried.told.occurrences_pending or asked == series,
        )
        unsure = replace(link.value, carried=replace(carried, told=told))
        try:
            run.store.commit([PutLink(unsure, link.version)])
            return
        except Conflict:
            continue


def _note(run: Run, case: Case, original_start: str, fingerprint: str) -> None:
    _tell(
        run,
        case,
        lambda told: replace(told, occurrences={**told.occurrences, original_start: fingerprint}),
    )


def _tell(run: Run, case: Case, change: Callable[[Told], Told]) -> None:
    """Change what is noted of what the provider was told. Raises Conflict."""
    case.change_carried(run, lambda now: replace(now, told=change(now.told or UNKNOWN)))
