"""What one changed event means: (event, what is remembered of it, rules) -> actions. Pure.

Nothing here looks at the network, the store or the clock. `carry_out` carries the actions out in
the order given, and plans again after a `Follow` or `Prove`, which end the list. Planning again
after everything was carried out gives no action.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from sync.event.content import WHEN, content_of, differing, fingerprint_of
from sync.event.marks import still_marked
from sync.event.ownership import proof_for
from sync.event.recognise import Shown, in_property, readable, shown_by, still_stands
from sync.model.conference import (
    Carried,
    ConferenceContent,
    Creation,
    EventRef,
    Evidence,
    Fingerprint,
    LettingGo,
    Link,
)
from sync.model.event import ConferenceId, Event
from sync.model.provider import Rules
from sync.model.series import last_end


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow:
    """Link the event to the conference that it shows, once that is proven its own (O1, O2).

    The event leads the conference if nobody else does (E7). `proven`: no second proof is needed.
    """

    shown: Shown
    proven: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Prove:
    """The event has another organizer than the proof was made for: prove it again (O2)."""

    shown: Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOn:
    """The last date of the leading event is over: let one with dates ahead lead, if any (E7)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteEnd:
    """The last date of an event that does not lead has changed: remember when it is over (E7)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Tell the provider what the event says now. `changed` names the fields that differ (E4).

    `occurrences`: SendOccurrences follows. `dropped`: the provider knows no occurrence that differs
    afterwards.
    """

    content: ConferenceContent
    fingerprint: Fingerprint
    changed: frozenset[str]
    occurrences: bool = False
    dropped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOccurrences:
    """Look up the series' occurrences that differ, and tell the provider of each (E5)."""

    ical_uid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowConference:
    """Give the event the way into its conference, which was created anew (C4, W1, W4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HideConference:
    """Take out what we wrote into the event as text: it carries another conference now (W4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetGo:
    """The event does not carry its conference any more. The grace begins (E2, E3)."""

    carried: Carried


@dataclass(frozen=True, slots=True, kw_only=True)
class LetGoUnseen:
    """The event was deleted before it was ever seen alive. Its conference is left over (E2).

    A proof comes first, as with `Follow`.
    """

    shown: Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """A conference let go earlier: somebody else leads it now, or its deletion is scheduled."""

    past: LettingGo


@dataclass(frozen=True, slots=True, kw_only=True)
class Postpone:
    """The grace is over, and the conference's link stands in the event: look again later (E3)."""

    past: LettingGo


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """The grace is over: delete the conference unless another event carries it (E2, E7)."""

    past: LettingGo


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """Forget that the event led, and leave the conference alone.

    The copy does not decide any more (E6), or its provider's entry has another name now (E3).
    """

    carried: Carried


@dataclass(frozen=True, slots=True, kw_only=True)
class EndCreation:
    """What was made for this event, or may have been, and is carried by nobody: delete it (C4)."""

    creation: Creation


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAtOwn:
    """The series was deleted: look at its occurrences with a conference of their own (E2, E5)."""


Action: TypeAlias = (
    Follow
    | Prove
    | HandOn
    | NoteEnd
    | Send
    | SendOccurrences
    | ShowConference
    | HideConference
    | LetGo
    | LetGoUnseen
    | Settle
    | Postpone
    | Delete
    | Forget
    | EndCreation
    | LookAtOwn
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything a plan is made from: the event, its place, what is remembered, rules, time.

    `shared`: the conference that the event, an occurrence, shares with its series (E5).
    """

    event: Event
    ref: EventRef
    link: Link | None
    rules: Rules
    now: datetime
    shared: Carried | None = None

    @property
    def carried(self) -> Carried | None:
        return self.link.carried if self.link else None


def plan(facts: Facts) -> list[Action]:
    """Return what to do about one event that is no occurrence, or has a conference of its own.

    Or had one, and shares that of its series again (`Facts.shared`).

    Example: a followed event whose start moved by an hour gives `[Send(changed={"start", "end"})]`.
    Raises Malformed for an event whose conference cannot be told.
    """
    event, carried = facts.event, facts.carried
    if event.hidden:
        # E6: Calendar does not show us the event, so it says nothing, not even that it is gone.
        return []
    if not event.decides:
        # E6: an attendee's copy. What it led before, it leads no more.
        forgotten: list[Action] = [Forget(carried=carried)] if carried else []
        return [*forgotten, *_past(facts, None)]
    shown = None if event.cancelled else shown_by(event, facts.rules, facts.link)
    if event.cancelled:
        # E2: what it carried is let go, and what it let go earlier comes to its end.
        own: list[Action] = [LookAtOwn()] if facts.link and facts.link.own else []
        return [*own, *_of_a_deleted_event(facts), *_past(facts, None)]
    if carried is not None and _kept(facts, carried, shown):
        # E4: the same conference; tell what changed.
        return [*_past(facts, None), *_of_a_kept(facts, carried, shown)]
    gone = _gone(facts, carried, shown)
    if shown is None or facts.shared is not None:
        # E3: the conference was taken off the event, or there was none of its own.
        return [*gone, *_past(facts, None)]
    # E1, E3: another conference than before, or the first. Past conferences first: what is left
    # alone (O3) ends the list.
    return [*gone, *_past(facts, shown), Follow(shown=shown, proven=_proven(facts, shown))]


def _kept(facts: Facts, carried: Carried, shown: Shown | None) -> bool:
    """E3: the event shows its conference, or at least the conference's link stands somewhere."""
    if facts.shared is not None and facts.shared.conference == carried.conference:
        return False  # E5: the series owns the conference
    if shown is not None and carried.is_shown_by(shown.conference):
        return True
    if still_marked(facts.event, carried.mark, shown):
        # Nobody touched what shows it: only the configuration reads the event differently.
        return shown is None or _is_configured(facts, carried)
    replaced = shown is not None and shown.strong
    return not replaced and _stands(facts, carried.conference.provider, carried.names)


def _is_configured(facts: Facts, carried: Carried) -> bool:
    return facts.rules.of(carried.conference.provider) is not None


def _gone(facts: Facts, carried: Carried | None, shown: Shown | None) -> list[Action]:
    """E3: the grace begins, unless the same words show the conference under another name now."""
    if carried is None:
        return []
    renamed = shown is not None and not _is_configured(facts, carried)
    if renamed and still_marked(facts.event, carried.mark, shown):
        return [Forget(carried=carried)]
    return [LetGo(carried=carried)]


def _proven(facts: Facts, shown: Shown) -> bool:
    """O2: made by us for this very event, or proven before for the same organizer."""
    if facts.link is None:
        return False
    if facts.link.made(shown.conference) is not None:
        return True
    past = facts.link.lets_go_of(shown.conference)
    return past is not None and past.proven_for == proof_for(facts.event)


def _of_a_deleted_event(facts: Facts) -> list[Action]:
    if facts.carried is not None:
        return [LetGo(carried=facts.carried)]
    event = facts.event
    never_seen = facts.link is None and event.series_id is None and not event.bare
    # What cannot be read names nothing that could be left over.
    if never_seen and (shown := readable(event, facts.rules)):
        return [LetGoUnseen(shown=shown)]
    return []


def _of_a_kept(facts: Facts, carried: Carried, shown: Shown | None) -> list[Action]:
    """E4, E7, C4: what to do about an event that goes on carrying its conference."""
    event, link = facts.event, facts.link
    assert link is not None, "what is carried is remembered"
    if not _is_configured(facts, carried):
        return []  # its conferences are left as they are until its entry is back
    actions: list[Action] = []
    if carried.leading:
        actions = _send(facts, carried)
        if _is_over(facts, carried):
            actions.insert(0, HandOn())
    if carried.replaces and not (shown and shown.conference == carried.conference):
        # Also where the old link stands in the description alone, or beside another one.
        actions.append(ShowConference())
    if shown and shown.conference != (in_property(event, facts.rules) or shown.conference):
        actions.append(HideConference())
    changed_owner = carried.proven_for is not None and carried.proven_for != proof_for(event)
    unproven = carried.proven_for is None and bool(actions)
    if (changed_owner or unproven) and link.made(carried.conference) is None:
        evidence = shown if shown and carried.is_shown_by(shown.conference) else None
        return [Prove(shown=evidence or _as_remembered(carried))]
    if not carried.leading and carried.over_at != _over_at(facts):
        actions.append(NoteEnd())
    return actions


def _as_remembered(carried: Carried) -> Shown:
    return Shown(
        conference=carried.conference,
        evidence=Evidence.LOCATION,
        strong=carried.strong,
    )


def _is_over(facts: Facts, carried: Carried) -> bool:
    """E7: the last date is over, by what the event says now, and that was not looked at yet.

    A series that was split in its middle may end in the past from this very change on.
    """
    over_at = _over_at(facts)
    if over_at is None or over_at > facts.now:
        return False
    return not (carried.over_seen and carried.over_at == over_at)


def _over_at(facts: Facts) -> datetime | None:
    return last_end(content_of(facts.event, facts.ref))


def _send(facts: Facts, carried: Carried) -> list[Action]:
    """E4: only what matters to this provider, and only if it differs from what was last sent."""
    provider = facts.rules.of(carried.conference.provider)
    if provider is None:
        return []
    told = carried.told
    content = content_of(facts.event, facts.ref)
    fingerprint = fingerprint_of(content, provider.fields)
    changed = differing(told.fingerprint if told else None, fingerprint)
    if carried.host is not None and not (told and told.fingerprint.keys() & WHEN):
        # O5: nobody knows what was told, so whoever hosts it there goes on doing so.
        changed -= {"organizer"}
    if told and told.approximation and _has_come(told.approximation.again_at, facts.now):
        # The provider holds only the next dates of the series, and it is time for more.
        changed |= {"recurrence"}
    dropped = provider.drops_occurrences and not changed.isdisjoint(WHEN)
    unknown = bool(changed) and (told is None or dropped)
    pending = told is not None and told.occurrences_pending
    # An exception that was like its series is not listed when its series gets other words.
    reworded = not changed <= {*WHEN, "duration"}
    looks = unknown or pending or reworded
    occurrences = bool(content.recurrence) and provider.occurrences and looks
    actions: list[Action] = []
    if changed:
        actions.append(
            Send(
                content=content,
                fingerprint=fingerprint,
                changed=changed,
                occurrences=occurrences,
                dropped=dropped,
            )
        )
    if occurrences:
        actions.append(SendOccurrences(ical_uid=facts.event.ical_uid))
    return actions


def _past(facts: Facts, comes_back: Shown | None) -> list[Action]:
    """E2, E3: what was let go earlier and did not come back is deleted once its grace is over."""
    link, now = facts.link, facts.now
    if link is None:
        return []
    actions: list[Action] = []
    for past in link.letting_go:
        if comes_back is not None and past.is_shown_by(comes_back.conference):
            continue
        if _stands(facts, past.conference.provider, past.names):
            # E3: its link stands in the event, so it was not removed.
            actions += [Postpone(past=past)] if past.due <= now else []
            continue
        actions.append(Delete(past=past) if past.due <= now else Settle(past=past))
    actions += [
        EndCreation(creation=made)
        for made in link.creations
        if made.open and made.due <= now and not _needed(facts, made)
    ]
    return actions


def _needed(facts: Facts, made: Creation) -> bool:
    """The event carries what was made, or waits for it: a conference that is created anew (C4).

    An attendee's copy that shows the conference carries it as well: nothing is deleted (A5).
    """
    if made.conference_id is not None:
        event = facts.event
        shown = None if event.cancelled else shown_by(event, facts.rules, facts.link)
        names = frozenset({made.conference_id})
        if shown is not None and shown.conference.conference_id in names:
            return True
        return _stands(facts, made.provider, names)
    carried = facts.carried
    awaited = carried is not None and made.is_for(carried.conference)
    return awaited and not facts.event.cancelled


def _stands(facts: Facts, provider: str, names: frozenset[ConferenceId]) -> bool:
    """E3: a link that stands anywhere in a living event was not removed.

    E5: of an occurrence, not the links of what it shares with its series.
    """
    event = facts.event
    if facts.shared is not None:
        names -= facts.shared.names
    return not event.cancelled and still_stands(event, provider, names, facts.rules)


def _has_come(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment <= now
