"""Why an event is followed or left alone: the same rules as a run, and nothing is changed.

`explain` reads the event, the provider's conference and what is stored, and names the rule that
decides. The answer shows no title, guest or join link.
"""

from __future__ import annotations

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
from sync.event import ownership, plan
from sync.event.carry_out import ids_to_know, read_entry
from sync.event.content import content_of
from sync.event.recognise import Shown, links_in, shown_by
from sync.event.series import own_conference, plan_occurrence
from sync.model.calendar import CalendarState
from sync.model.conference import Carried, ConferenceRef, Failure, FailureState, Link
from sync.model.event import CalendarId, Entry, Event, EventId
from sync.model.provider import Rules
from sync.operate import calendars
from sync.store import Known


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
    def series(self) -> Link | None:
        series_id = self.event.series_id
        found = self.known.links.get(series_id) if series_id else None
        return found.value if found else None

    @property
    def failure(self) -> Failure | None:
        found = self.known.failures.get(self.event.id)
        return found.value if found else None


def explain(services: Services, calendar_id: CalendarId, event_id: EventId) -> dict[str, Any]:
    """Return why an event of a started calendar is followed or left alone. Raises NotFound.

    Reads only. A provider or a calendar that cannot be read is part of the answer.
    """
    state = calendars.get(services, calendar_id)
    run = _reading(services, state)
    try:
        entry = read_entry(run, event_id)
    except SyncError as error:
        known = services.store.get_known(calendar_id, [event_id])
        entry = Entry(id=event_id, version="", event=None, malformed="")
        return _answer(run, entry, known, _unread(error), "unknown")
    known = services.store.get_known(calendar_id, ids_to_know([entry]))
    if entry.event is None:
        verdict = Verdict(rule="E8", reason=f"the event cannot be read: {entry.malformed}")
        return _answer(run, entry, known, verdict, "unknown")
    asked = _Asked(run=run, event=entry.event, known=known)
    return _answer(run, entry, known, _verdict(asked), _condition(entry))


def _reading(services: Services, state: CalendarState) -> Run:
    return services.run(
        state.calendar_id,
        services.calendars.bind(state.calendar_id, state.access, state.time_zone),
        still_ours=lambda: None,
        stop_at=services.clock(),
    )


def _condition(entry: Entry) -> str:
    if entry.version == "deleted" and entry.event and entry.event.cancelled:
        return "unknown"  # Calendar knows no such event
    if entry.event is None:
        return "unknown"
    if entry.event.cancelled:
        return "deleted"
    return "hidden" if entry.event.hidden else "live"


def _unread(error: SyncError) -> Verdict:
    if isinstance(error, NotAllowed | Gone):
        return Verdict(rule="W3", reason=f"Calendar does not show us the event: {error}")
    return Verdict(rule="W3", reason=f"Calendar cannot be asked now: {error}")


def _verdict(asked: _Asked) -> Verdict:
    """Return the first rule that decides, in the order in which a run meets them."""
    event, link = asked.event, asked.link
    if event.hidden:
        reason = "Calendar does not show us who organizes the event, so all stays as it is"
        return replace(_of_link(link), rule="E6", reason=reason)
    if not event.decides and not event.cancelled:
        reason = "this is an attendee's copy; the organiser's copy decides"
        return replace(_of_link(link), rule="E6", reason=reason)
    try:
        if event.series_id is not None:
            own = own_conference(event, asked.series, asked.rules)
            if own is None and link is None:
                return _of_occurrence(asked)
        shown = None if event.cancelled else shown_by(event, asked.rules, link)
        return _of_event(asked, shown)
    except Malformed as error:
        return replace(_of_link(link), rule="E8", reason=f"the event is parked: {error}")


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


def _of_event(asked: _Asked, shown: Shown | None) -> Verdict:
    link, event = asked.link, asked.event
    actions = plan.plan(
        plan.Facts(
            event=event,
            ref=asked.run.ref(event.id),
            link=link,
            rules=asked.rules,
            now=asked.run.clock(),
        )
    )
    would = tuple(described(action) for action in actions)
    carried = link.carried if link else None
    if carried is not None and not any(isinstance(each, plan.LetGo) for each in actions):
        return _of_followed(asked, carried, shown, would)
    follow = next((each for each in actions if isinstance(each, plan.Follow)), None)
    if follow is not None:
        return _of_first_sight(asked, follow, would)
    return _of_none(asked, would)


def _of_none(asked: _Asked, would: tuple[str, ...]) -> Verdict:
    """The event carries no conference of ours (any more)."""
    event, link = asked.event, asked.link
    if link is not None and (link.carried or link.letting_go):
        past = link.letting_go[0].conference if link.letting_go else None
        ref = link.carried.conference if link.carried else past
        rule = "E2" if event.cancelled else "E3"
        what = "the event was deleted" if event.cancelled else "the event does not carry it now"
        reason = f"{what}; the conference is deleted after the grace unless an event carries it"
        return Verdict(rule=rule, reason=reason, would=would, conference=ref)
    if event.cancelled:
        reason = "the event is deleted, and no conference of it is remembered"
        return Verdict(rule="E2", reason=reason, would=would)
    return Verdict(rule="E1", reason=_why_none(event, asked.rules), would=would)


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


def _of_first_sight(asked: _Asked, follow: plan.Follow, would: tuple[str, ...]) -> Verdict:
    """The event is not followed: because of a verdict on ownership, or because it is new."""
    shown, failure = follow.shown, asked.failure
    base = Verdict(rule="E1", reason="", would=would, shown=shown, conference=shown.conference)
    reason = "proven; it is followed from the next run on"
    if not follow.proven:
        rule, said = _proof(asked, shown)
        if said is not None:
            return replace(base, rule=rule, reason=said, would=())
        base = replace(base, rule=rule)
    if failure is not None and failure.state is FailureState.DISMISSED:
        reason = "dismissed by an operator; it is looked at again when the event changes"
        return replace(base, rule="O3", reason=reason, would=())
    if failure is not None:
        return replace(base, rule="C5", reason=f"it failed and waits: {failure.reason}")
    return replace(base, reason=reason)


def _proof(asked: _Asked, shown: Shown) -> tuple[str, str | None]:
    """Return the rule about a conference at first sight, and why it is left alone, if it is."""
    ref = shown.conference
    rules = asked.rules.of(ref.provider)
    if rules is None:
        return "E1", f"no provider is called {ref.provider}"
    content = content_of(asked.event, asked.run.ref(asked.event.id))
    owners = ownership.owners_of(asked.event)
    try:
        sight = asked.run.provider(ref.provider).look(ref.conference_id, content, owners)
    except (TryLater, CredentialsRefused) as error:
        return "C3", f"the provider cannot be read now: {error}"
    except SyncError as error:
        left = ownership.refusal(error, rules, strong=shown.strong)
        return (left.rule, str(left)) if left else ("C4", None)
    return "O2", ownership.judge(asked.event, content, shown, sight, rules)


def _of_followed(
    asked: _Asked, carried: Carried, shown: Shown | None, would: tuple[str, ...]
) -> Verdict:
    base = Verdict(
        rule="E4",
        reason="in step: the provider knows what the event says",
        would=would,
        follows=True,
        leads=carried.leading,
        shown=shown,
        conference=carried.conference,
    )
    failure = asked.failure
    if not carried.leading:
        return replace(base, rule="E7", reason="another event leads this conference")
    if failure is not None and failure.state in (FailureState.PARKED, FailureState.RETRYING):
        return replace(base, rule="C5", reason=f"its last change failed: {failure.reason}")
    if shown is None or not carried.is_shown_by(shown.conference):
        base = replace(base, rule="E3", reason="followed: its link still stands in the event")
    elif would:
        base = replace(base, reason="the event has changed since the provider was last told")
    return _as_the_provider_says(asked, carried, base)


def _as_the_provider_says(asked: _Asked, carried: Carried, base: Verdict) -> Verdict:
    """Add what the provider's own answer says of a conference that we follow."""
    ref = carried.conference
    owners = tuple(filter(None, (carried.host, *ownership.owners_of(asked.event))))
    try:
        content = content_of(asked.event, asked.run.ref(asked.event.id))
        asked.run.provider(ref.provider).look(ref.conference_id, content, owners)
    except Gone:
        reason = (
            "the provider says that the conference is gone; it is looked at a second time before "
            "it is created anew"
        )
        return replace(base, rule="C4", reason=reason)
    except SyncError as error:
        return replace(base, reason=f"{base.reason}; the provider cannot be read: {error}")
    return base


def _of_occurrence(asked: _Asked) -> Verdict:
    """E5: an occurrence shares the conference of its series."""
    series, event = asked.series, asked.event
    if series is None or series.carried is None:
        reason = "its series carries no conference that we follow"
        return Verdict(rule="E5", reason=reason)
    carried = series.carried
    base = Verdict(
        rule="E5",
        reason="it shares the conference of its series and is told to the provider with it",
        follows=True,
        leads=carried.leading,
        conference=carried.conference,
    )
    provider = asked.rules.of(carried.conference.provider)
    if provider is None or not provider.occurrences or carried.without_occurrences:
        reason = "the provider knows no single occurrences, so this one is left alone"
        return replace(base, reason=reason)
    if not carried.leading:
        return replace(base, rule="E7", reason="another event leads the conference of its series")
    step = plan_occurrence(event, series, asked.rules)
    if step is None:
        return replace(base, rule="E4", reason="in step: it says what its series says")
    return replace(base, would=(f"occurrence: {'cancel' if event.cancelled else 'update'}",))


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
    plan.SendOccurrences: "update: occurrences",
    plan.ShowConference: "write the new way in into the event",
    plan.HideConference: "take our text out of the event",
    plan.Forget: "stop following",
}


def described(action: plan.Action) -> str:
    """Return what an action would do, for people: `update: end, start`."""
    if isinstance(action, plan.Send):
        return f"update: {', '.join(sorted(action.changed - {'duration'}))}"
    return _DESCRIBED[type(action)]


def _answer(
    run: Run, entry: Entry, known: Known, verdict: Verdict, condition: str
) -> dict[str, Any]:
    failure = known.failures.get(entry.id)
    listed = failure.value if failure and failure.value.state != FailureState.DISMISSED else None
    link = known.links.get(entry.id)
    ref = verdict.conference
    return {
        "calendar_id": run.calendar_id,
        "event_id": entry.id,
        "event": condition,
        "provider": ref.provider if ref else None,
        "conference_id": ref.conference_id if ref else None,
        "evidence": verdict.shown.evidence.value if verdict.shown else None,
        "follows": verdict.follows,
        "leads": verdict.leads,
        "rule": verdict.rule,
        "reason": verdict.reason,
        "would": list(verdict.would),
        "last": _last(link.value if link else None, listed),
        "failure": calendars.failure_json(listed) if listed else None,
    }


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
