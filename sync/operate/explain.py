"""Why an event is followed or left alone: the same rules as a run, and nothing is changed.

`explain` reads the event, the provider's conference and what is stored, and names the rule that
decides. The answer shows no title, guest or join link.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from sync.context import Run, Services
from sync.errors import (
    CredentialsRefused,
    Gone,
    Malformed,
    NotAllowed,
    SyncError,
    TryLater,
)
from sync.event import creation, failures, ownership, plan, series, sharing
from sync.event.carry_out import ids_to_know, read_entry
from sync.event.content import content_of, untitled
from sync.event.recognise import Shown, links_in, shown_by
from sync.model.calendar import CalendarState, CalendarStatus
from sync.model.conference import (
    Carried,
    ConferenceRef,
    Failure,
    FailureState,
    Link,
    Sight,
)
from sync.model.event import CalendarId, ConferenceId, Entry, Event, EventId
from sync.model.provider import Rules
from sync.operate import calendars
from sync.store import Known

# Fields in the order in which an answer names them. The duration is told by start and end.
_FIELDS = (
    "title",
    "description",
    "start",
    "end",
    "time_zone",
    "recurrence",
    "organizer",
    "attendees",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Which rule decides about an event, why, and what a run would do now."""

    rule: str
    reason: str
    would: tuple[str, ...] = ()
    follows: bool = False
    leads: bool = False
    shown: Shown | None = None
    conference: ConferenceRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The event that is asked about, and everything that a verdict is made from."""

    run: Run
    state: CalendarState
    entry: Entry
    event: Event
    known: Known

    @property
    def rules(self) -> Rules:
        return self.run.rules

    @property
    def link(self) -> Link | None:
        found = self.known.links.get(self.event.id)
        return found.value if found else None

    @property
    def carried(self) -> Carried | None:
        return self.link.carried if self.link else None

    @property
    def series(self) -> Link | None:
        series_id = self.event.series_id
        found = self.known.links.get(series_id) if series_id else None
        return found.value if found else None

    @property
    def failure(self) -> Failure | None:
        found = self.known.failures.get(self.event.id)
        return found.value if found else None

    def actions(self, shared: Carried | None = None) -> list[plan.Action]:
        return plan.plan(
            plan.Facts(
                event=self.event,
                ref=self.run.ref(self.event.id),
                link=self.link,
                rules=self.rules,
                now=self.run.clock(),
                shared=shared,
            )
        )


def explain(services: Services, calendar_id: CalendarId, event_id: EventId) -> dict[str, Any]:
    """Return why an event of a started calendar is followed or left alone. Raises NotFound.

    Reads only. A provider or a calendar that cannot be read is part of the answer. A guest's copy
    gives `{"rule": "E6", "follows": false, "reason": "this is an attendee's copy; …"}`.
    """
    state = calendars.get(services, calendar_id)
    run = _reading(services, state)
    try:
        entry = read_entry(run, event_id)
    except SyncError as error:
        known = services.store.get_known(calendar_id, [event_id])
        entry = Entry(id=event_id, version="", event=None)
        link = known.links.get(event_id)
        return _answer(run, entry, known, _unread(error, link.value if link else None))
    known = services.store.get_known(calendar_id, ids_to_know([entry]))
    if entry.event is None:
        verdict = Verdict(rule="E8", reason=f"the event cannot be read: {entry.malformed}")
        return _answer(run, entry, known, verdict)
    asked = _Asked(run=run, state=state, entry=entry, event=entry.event, known=known)
    return _answer(run, entry, known, _with_calendar(state, _verdict(asked)))


def _reading(services: Services, state: CalendarState) -> Run:
    return services.run(
        state.calendar_id,
        services.calendars.bind(state.calendar_id, state.access, state.time_zone),
        still_ours=lambda: None,
        stop_at=services.clock(),
    )


def _condition(entry: Entry) -> str:
    if entry.event is None or entry == Entry.deleted(entry.id):
        return "unknown"  # Calendar does not know the event, or what it shows is none
    if entry.event.cancelled:
        return "deleted"
    return "hidden" if entry.event.hidden else "live"


def _unread(error: SyncError, link: Link | None) -> Verdict:
    """W3: what is remembered, of an event that Calendar does not show now."""
    said = (
        "does not show us the event" if isinstance(error, NotAllowed | Gone) else "did not answer"
    )
    return replace(_of_link(link), rule="W3", reason=f"Calendar {said}: {error}")


def _with_calendar(state: CalendarState, verdict: Verdict) -> Verdict:
    """S7: what would be done waits as long as the calendar's runs fail."""
    if state.failing is None or not verdict.would:
        return verdict
    reason = f"{verdict.reason}; the calendar's last run failed: {state.failing.reason}"
    return replace(verdict, reason=reason)


def _verdict(asked: _Asked) -> Verdict:
    """Return the first rule that decides, in the order in which a run meets them."""
    event, remembered = asked.event, _of_link(asked.link)
    if event.hidden:
        reason = "Calendar does not show us who organizes the event, so all stays as it is"
        return replace(remembered, rule="E6", reason=reason)
    if asked.state.status is CalendarStatus.BROKEN:
        reason = f"the calendar is broken, so nothing is done: {asked.state.reason}"
        return replace(remembered, rule="W3", reason=reason)
    if not event.decides:
        reason = "this is an attendee's copy; the organiser's copy decides"
        would = _described(asked.actions())
        return replace(remembered, rule="E6", reason=reason, would=would)
    try:
        if event.series_id is None:
            return _of_event(asked)
        return _of_occurrence(asked)
    except Malformed as error:
        return replace(remembered, rule="E8", reason=f"the event is parked: {error}")


def _of_link(link: Link | None) -> Verdict:
    """A verdict that says no more than what is remembered."""
    carried = link.carried if link else None
    return Verdict(
        rule="E4",
        reason="",
        follows=carried is not None,
        leads=carried is not None and carried.leading,
        conference=carried.conference if carried else None,
    )


def _of_event(asked: _Asked) -> Verdict:
    """An event that is no occurrence, or an occurrence with a conference of its own."""
    actions = asked.actions()
    follow = next((each for each in actions if isinstance(each, plan.Follow)), None)
    if follow is not None:
        return _of_first_sight(asked, follow, actions)
    if asked.carried is not None and not any(isinstance(each, plan.LetGo) for each in actions):
        return _of_followed(asked, asked.carried, actions)
    unseen = next((each for each in actions if isinstance(each, plan.LetGoUnseen)), None)
    if unseen is not None:
        return _was_never_seen(asked, unseen)
    return _of_none(asked, _described(actions))


def _of_none(asked: _Asked, would: tuple[str, ...]) -> Verdict:
    """The event carries no conference of ours (any more)."""
    link, event = asked.link, asked.event
    base = Verdict(rule="E2" if event.cancelled else "E3", reason="", would=would)
    if link is not None and (link.carried or link.letting_go):
        past = link.letting_go[0].conference if link.letting_go else None
        base = replace(base, conference=link.carried.conference if link.carried else past)
        what = "the event was deleted" if event.cancelled else "the event does not carry it now"
        reason = f"{what}; the conference is deleted after the grace unless an event carries it"
    elif event.cancelled:
        gone = "the event is deleted"
        if _condition(asked.entry) == "unknown":
            gone = "Calendar knows no such event"
        reason = f"{gone}, and no conference of it is remembered"
    else:
        base, reason = replace(base, rule="E1"), _why_none(event, asked.rules)
    held = _held_up(asked)
    if held is not None:
        return replace(base, rule=held.rule, reason=held.reason)
    return replace(base, reason=reason)


def _was_never_seen(asked: _Asked, unseen: plan.LetGoUnseen) -> Verdict:
    """E2: an event that was deleted before it was followed. What it showed may be left over."""
    found = sharing.find(asked.run.store, unseen.shown.conference)
    proof = _proof(asked, unseen.shown) if found.record is None else None
    if proof is None or proof.rule != "O2" or proof.against is not None:
        return _of_none(asked, ())
    if sharing.find(asked.run.store, proof.conference or found.ref).record is not None:
        return _of_none(asked, ())  # known by its own id, so other events decide
    reason = "the event was deleted before it was followed; its conference goes after the grace"
    would = _described([unseen])
    return Verdict(rule="E2", reason=reason, would=would, conference=found.ref)


def _why_none(event: Event, rules: Rules) -> str:
    if event.event_type != "default":
        return f"not ours: events of the type {event.event_type[:40]} carry no conference"
    data = event.conference_data
    if data is not None and data.pending:
        return "not ours: its conference is still being created, or its creation failed"
    if len(set(links_in(event.location, rules))) > 1:
        return "two different join links stand in the location, so none is meant"
    if data is not None:
        return (
            "not ours: no entry of SYNC_PROVIDERS has the name of its conference solution, or a "
            "pattern for its links"
        )
    return "the event carries no conference of a configured provider"


def _of_first_sight(asked: _Asked, follow: plan.Follow, actions: Iterable[plan.Action]) -> Verdict:
    """The event is not followed: because of a verdict on ownership, or because it is new."""
    shown = follow.shown
    others = _described(each for each in actions if each is not follow)
    base = Verdict(rule="E1", reason="", would=others, shown=shown, conference=shown.conference)
    if _is_dismissed(asked):
        held = _held_up(asked)
        assert held is not None, "a dismissal holds"
        return replace(base, rule=held.rule, reason=held.reason)
    would = (*others, "follow")
    if not follow.proven:
        proof = _proof(asked, shown)
        base = replace(base, rule=proof.rule)
        if proof.against is not None:
            return replace(base, reason=proof.against)
        if proof.differs:
            would = (*would, f"update: {', '.join(proof.differs)}")
    if held := _held_up(asked):
        return replace(base, rule=held.rule, reason=held.reason, would=would)
    return replace(base, reason="proven; it is followed from the next run on", would=would)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proof:
    """What one look at a provider says: the rule, and why the conference is left alone, if it is.

    `differs` names what the provider would be told. `conference`: by the provider's own id.
    """

    rule: str
    against: str | None = None
    differs: tuple[str, ...] = ()
    conference: ConferenceRef | None = None


def _proof(asked: _Asked, shown: Shown) -> _Proof:
    """O2: the read at first sight, and what a run would make of it."""
    found = sharing.find(asked.run.store, shown.conference)
    ref = found.ref
    rules = asked.rules.of(ref.provider)
    if rules is None:
        return _Proof(rule="E1", against=_not_configured(ref.provider))
    content = content_of(asked.event, asked.run.ref(asked.event.id))
    try:
        sight = _look(asked, ref, ownership.owners_of(asked.event))
    except (TryLater, CredentialsRefused) as error:
        return _Proof(rule="C3", against=f"the provider cannot be read now: {error}")
    except SyncError as error:
        ours = sharing.was_ours(found, asked.run.ref(asked.event.id))
        left = ownership.refusal(error, rules, strong=shown.strong)
        if left is None or (isinstance(error, Gone) and ours):
            return _Proof(rule="C4")
        return _Proof(rule=left.rule, against=str(left))
    this = asked.run.ref(asked.event.id)
    shown = sharing.as_half(asked.run.store, this, asked.event, shown, sight)
    against = ownership.judge(asked.event, content, shown, sight, rules)
    return _Proof(
        rule="O2",
        against=against,
        differs=_ordered(sight.differs & rules.fields),
        conference=replace(ref, conference_id=sight.way_in.conference_id),
    )


def _look(asked: _Asked, ref: ConferenceRef, asked_as: tuple[str, ...]) -> Sight:
    content = content_of(asked.event, asked.run.ref(asked.event.id))
    return asked.run.provider(ref.provider).look(ref.conference_id, content, asked_as)


def _of_followed(asked: _Asked, carried: Carried, actions: list[plan.Action]) -> Verdict:
    shown = shown_by(asked.event, asked.rules, asked.link)
    base = Verdict(
        rule="E4",
        reason="in step: the provider knows what the event says",
        would=_described(actions),
        follows=True,
        leads=carried.leading,
        shown=shown,
        conference=carried.conference,
    )
    if asked.rules.of(carried.conference.provider) is None:
        return replace(base, rule="E1", reason=_not_configured(carried.conference.provider))
    prove = next((each for each in actions if isinstance(each, plan.Prove)), None)
    if prove is not None:
        shown = replace(prove.shown, conference=carried.conference)
        return _of_another_organizer(asked, base, shown)
    if not carried.leading:
        return replace(base, rule="E7", reason="another event leads this conference")
    if lost := _lost(asked, carried):
        return replace(base, rule="C4", reason=lost, would=(*base.would, "create anew"))
    if held := _held_up(asked):
        return replace(base, rule=held.rule, reason=held.reason)
    if any(isinstance(each, plan.HandOn) for each in actions):
        reason = "its last date is over; an event with dates ahead leads from the next run on"
        return replace(base, rule="E7", reason=reason)
    if base.would:
        base = replace(base, reason="the event has changed since the provider was last told")
    elif shown is None or not carried.is_shown_by(shown.conference):
        base = replace(base, rule="E3", reason="followed: its link still stands in the event")
    elif (failure := asked.failure) and failure.state is FailureState.APPROXIMATE:
        reason = f"in step, as far as the provider can hold the series: {failure.reason}"
        base = replace(base, reason=reason)
    return _as_the_provider_says(asked, carried, base)


def _of_another_organizer(asked: _Asked, base: Verdict, shown: Shown) -> Verdict:
    """O2: another organizer than the proof was made for."""
    proof = _proof(asked, shown)
    if proof.against is None:
        reason = "the event has another organizer, for whom it is proven again with the next run"
        return replace(base, rule=proof.rule, reason=reason)
    would = base.would if proof.rule == "C3" else ("stop following",)
    return replace(base, rule=proof.rule, reason=proof.against, would=would)


def _lost(asked: _Asked, carried: Carried) -> str | None:
    """C4: say how far it is with a conference that is created anew."""
    link = asked.link
    if link is not None and creation.pending(link, carried.conference):
        return "it is being created anew, and the outcome of the creation is not known yet"
    if carried.told is not None and carried.told.missing_since is not None:
        return (
            "the provider said that the conference is gone; it is looked at a second time before "
            "it is created anew"
        )
    return None


def _as_the_provider_says(asked: _Asked, carried: Carried, base: Verdict) -> Verdict:
    """Add what the provider's own answer says of a conference that we follow."""
    owners = tuple(filter(None, (carried.host, *ownership.owners_of(asked.event))))
    try:
        _look(asked, carried.conference, owners)
    except Gone:
        reason = (
            "the provider says that the conference is gone; with the event's next change it is "
            "looked at a second time and then created anew"
        )
        return replace(base, rule="C4", reason=reason)
    except SyncError as error:
        reason = f"{base.reason}; the provider cannot be read now: {error}"
        # What would be sent cannot be, for now.
        return replace(base, rule="C3" if base.would else base.rule, reason=reason)
    return base


def _held_up(asked: _Asked) -> Verdict | None:
    """C5, O3: what keeps a run from acting because an earlier one failed, or left it alone."""
    failure = asked.failure
    if failure is None:
        return None
    if _is_dismissed(asked):
        rule = "O3" if failure.rule else "C5"
        return Verdict(rule=rule, reason="an operator dismissed it until the event changes")
    match failure.state:
        case FailureState.RETRYING:
            at = calendars.rfc3339(failure.next_try)
            reason = f"it failed and is tried again at {at}: {failure.reason}"
            return Verdict(rule="C5", reason=reason)
        case FailureState.PARKED:
            reason = f"it failed and is parked; retry it once that is mended: {failure.reason}"
            return Verdict(rule="C5", reason=reason)
        case FailureState.LEFT if failure.rule == "O1":
            return Verdict(rule="O1", reason=failure.reason)
        case _:
            return None


def _is_dismissed(asked: _Asked) -> bool:
    """An operator dismissed this very version of the event."""
    failure = asked.failure
    if failure is None or failure.state is not FailureState.DISMISSED:
        return False
    return failures.waits(failure, asked.entry.version, asked.run.clock())


def _not_configured(provider: str) -> str:
    return (
        f"no entry of SYNC_PROVIDERS is called {provider} any more, so its conferences are left as "
        "they are"
    )


def _of_occurrence(asked: _Asked) -> Verdict:
    """E5: an occurrence shares the conference of its series, or has one of its own."""
    if not series.shares(asked.run, asked.event, asked.series):
        return _of_event(asked)
    if asked.link is not None and not asked.link.empty:
        actions = asked.actions(shared=asked.series.carried if asked.series else None)
        if asked.carried and not any(isinstance(action, plan.LetGo) for action in actions):
            return _of_event(asked)  # E3: the link of its own one stands in it
        if actions:
            # It had one of its own, which it lets go.
            return _of_none(asked, _described(actions))
    link, event = asked.series, asked.event
    if link is None or link.carried is None:
        return Verdict(rule="E5", reason="its series carries no conference that we follow")
    carried = link.carried
    base = Verdict(
        rule="E5",
        reason="it shares the conference of its series, and is told to the provider with it",
        follows=True,
        leads=carried.leading,
        conference=carried.conference,
    )
    provider = asked.rules.of(carried.conference.provider)
    if provider is None:
        return replace(base, rule="E1", reason=_not_configured(carried.conference.provider))
    if not carried.leading:
        return replace(base, rule="E7", reason="another event leads the conference of its series")
    if not provider.occurrences or carried.without_occurrences:
        reason = "the provider knows no single occurrences, so this one is left alone"
        return replace(base, reason=reason)
    if held := _held_up(asked):
        return replace(base, rule=held.rule, reason=held.reason)
    if step := series.plan_occurrence(event, link, asked.rules):
        what = "update" if step.content else "cancel"
        return replace(base, would=(f"occurrence: {what}",))
    if event.cancelled:
        return replace(base, reason="it is cancelled, the provider knows that, the series stays")
    return replace(base, rule="E4", reason="in step: the provider knows what this occurrence says")


_DESCRIBED: dict[type[plan.Action], str] = {
    plan.Delete: "delete",
    plan.EndCreation: "delete",
    plan.LetGo: "delete after the grace",
    plan.LetGoUnseen: "delete after the grace",
    plan.Settle: "delete after the grace",
    plan.Postpone: "look again in a day",
    plan.Follow: "follow",
    plan.Prove: "prove again",
    plan.HandOn: "hand on",
    plan.NoteEnd: "note when its last date is over",
    plan.SendOccurrences: "update: occurrences",
    plan.ShowConference: "write the new way in into the event",
    plan.HideConference: "take our text out of the event",
    plan.Forget: "stop following",
    plan.LookAtOwn: "look at its occurrences that carry conferences of their own",
}


def _described(actions: Iterable[plan.Action]) -> tuple[str, ...]:
    return tuple(described(action) for action in actions)


def described(action: plan.Action) -> str:
    """Return what an action would do, for people: `update: start, end`."""
    if isinstance(action, plan.Send):
        return f"update: {', '.join(_ordered(action.changed))}"
    return _DESCRIBED[type(action)]


def _ordered(fields: frozenset[str]) -> tuple[str, ...]:
    return tuple(field for field in _FIELDS if field in fields)


def _answer(run: Run, entry: Entry, known: Known, verdict: Verdict) -> dict[str, Any]:
    failure = known.failures.get(entry.id)
    listed = failure.value if failure and failure.value.state != FailureState.DISMISSED else None
    link = known.links.get(entry.id)
    ref = verdict.conference
    title = entry.event.title if entry.event else ""
    return {
        "calendar_id": run.calendar_id,
        "event_id": entry.id,
        "event": _condition(entry),
        "provider": ref.provider if ref else None,
        "conference_id": _without_link(ref.conference_id) if ref else None,
        "evidence": verdict.shown.evidence.value if verdict.shown else None,
        "follows": verdict.follows,
        "leads": verdict.leads,
        "rule": verdict.rule,
        # A provider that was asked just now may have repeated what the event says.
        "reason": untitled(verdict.reason, title),
        "would": list(verdict.would),
        "last": _last(link.value if link else None, listed),
        "failure": _failure(listed) if listed else None,
    }


def _failure(listed: Failure) -> dict[str, Any]:
    known = listed.conference_id
    return {
        **calendars.failure_json(listed),
        "conference_id": _without_link(known) if known else None,
    }


def _without_link(conference_id: ConferenceId) -> str | None:
    """Return an id to show. None for a join link, by which a conference is known at first."""
    return None if "://" in conference_id else conference_id


def _last(link: Link | None, failure: Failure | None) -> dict[str, Any] | None:
    """What was last done with the conference, as far as that is remembered."""
    told = link.carried.told if link and link.carried else None
    if failure is not None and failure.state is not FailureState.APPROXIMATE:
        return {
            "at": calendars.rfc3339(failure.first),
            "action": failure.action,
            "outcome": failure.state.value,
        }
    if told is None or told.sent_at is None:
        return None
    return {"at": calendars.rfc3339(told.sent_at), "action": "update", "outcome": "done"}
