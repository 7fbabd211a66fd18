"""Decides what one changed event means: (event, what we know of it, rules) -> actions. Pure; one
function per rule.

Nothing here looks at the network, the store or the clock. `apply` carries the actions out in the
order given. Planning again after they were carried out gives no action.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias
from urllib.parse import unquote

from sync.errors import Malformed
from sync.model.provider import ProviderRules, Rules, uri_pattern
from sync.model.conference import (
    ConferenceContent,
    ConferenceRef,
    EventRef,
    Fingerprint,
    LettingGo,
    Link,
)
from sync.model.event import ConferenceId, Event, digest

# Where a conference is recorded on an event that cannot carry its conference data (W4). Calendar
# drops keys of more than 44 characters without a word.
# https://developers.google.com/workspace/calendar/api/guides/extended-properties
PROVIDER_PROPERTY = "conferenceSyncProvider"
ID_PROPERTY = "conferenceSyncId"

# The block at the end of a description that we write, and nobody else (W4).
BLOCK_BEGIN = "-- conference --"
BLOCK_END = "-- /conference --"
# Blanks, which Calendar's own editor may have turned into HTML.
_BLANKS = r"(?:\s|<br\s*/?>|&nbsp;)"
_BLOCK = re.compile(rf"{_BLANKS}*{re.escape(BLOCK_BEGIN)}.*?{re.escape(BLOCK_END)}", re.DOTALL)
_BLANK_END = re.compile(rf"{_BLANKS}+\Z")

CANCELLED = "cancelled"
UNSURE = "unsure"

WHEN = frozenset({"start", "end", "time_zone", "recurrence"})
"""Fields that say when a conference takes place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow:
    """Link the event to a conference it carries; it leads if nobody else does (E7)."""

    conference: ConferenceRef
    fingerprint: Fingerprint | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Tell the provider what the event says now, if the event leads. `changed` names the fields
    that differ.

    `occurrences`: the provider knows no occurrence that differs afterwards, and SendOccurrences
    follows.
    """

    conference: ConferenceRef
    content: ConferenceContent
    fingerprint: Fingerprint
    changed: frozenset[str]
    occurrences: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOccurrence:
    """Tell the provider of one occurrence that differs from its series; no content: it is
    cancelled (E5)."""

    series: EventRef
    conference: ConferenceRef
    original_start: str
    content: ConferenceContent | None
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOccurrences:
    """Look up the series' occurrences that differ, and plan each: the provider knows none of
    them yet."""

    series: EventRef
    ical_uid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowConference:
    """Give the event the way into its conference, which was created anew under another id (C4,
    W1, W4)."""

    conference: ConferenceRef


@dataclass(frozen=True, slots=True, kw_only=True)
class HideConference:
    """Take away what was written into an event instead of conference data: it carries another
    conference now (W4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetGo:
    """The event does not carry the conference any more; the grace begins (E2, E3)."""

    conference: ConferenceRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """A conference let go earlier: see that somebody else leads it now, or that its deletion is
    scheduled."""

    conference: ConferenceRef
    due: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """The grace is over: delete the conference unless another event carries it (E2, E7)."""

    conference: ConferenceRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """The copy does not decide any more (E6): forget that it led, and leave the conference
    alone."""

    conference: ConferenceRef


Action: TypeAlias = (
    Follow
    | Send
    | SendOccurrence
    | SendOccurrences
    | ShowConference
    | HideConference
    | LetGo
    | Settle
    | Delete
    | Forget
)


def plan(
    event: Event, at: EventRef, link: Link | None, rules: Rules, now: datetime
) -> list[Action]:
    """Return what to do about one event that is no occurrence, or an occurrence with a conference
    of its own.

    `at` names the event in its calendar, `link` is what is remembered of it. Raises Malformed for
    an event whose conference cannot be told.
    """
    held = link.conference if link else None
    if not event.decides:  # E6
        forgotten: list[Action] = [Forget(conference=held)] if held else []
        return forgotten + _past(link, None, rules, now)
    wanted = None if event.cancelled else conference_of(event, rules)
    kept = held is not None and wanted is not None and _same(wanted, held, link)
    actions: list[Action] = []
    if held and not kept:
        actions += _let_go(held, rules)
    if (
        event.cancelled
        and link is None
        and event.series_id is None
        and (unseen := conference_of(event, rules))
    ):
        # Made and deleted before we saw it alive: its conference is left over all the same (E2).
        actions += _let_go(unseen, rules)
    if wanted and not kept:
        past = link.lets_go_of(wanted) if link else None
        actions.append(Follow(conference=wanted, fingerprint=past.fingerprint if past else None))
        actions += _send(event, at, wanted, past.fingerprint if past else None, rules)
    elif kept and held and link:
        if link.leading:
            again_at = link.approximation.again_at if link.approximation else None
            extend = again_at is not None and again_at <= now
            pending = link.occurrences_pending
            actions += _send(
                event, at, held, link.fingerprint, rules, extend=extend, pending=pending
            )
        if link.replaces and wanted and wanted.conference_id == link.replaces:
            actions.append(ShowConference(conference=held))
    if wanted and wanted != (_from_property(event, rules) or wanted):
        actions.append(HideConference())
    return [*actions, *_past(link, wanted, rules, now)]


def plan_occurrence(event: Event, series: Link, rules: Rules) -> list[Action]:
    """Return what to do about an occurrence that shares the conference of its series, `series`
    being that one's link.

    The series owns the conference: a cancelled or moved occurrence never deletes or moves it (E5).
    Whether the occurrence has a conference of its own instead, `has_own_conference` tells.
    """
    conference = series.conference
    provider = rules.of(conference.provider) if conference else None
    able = provider is not None and provider.occurrences and not series.without_occurrences
    if not conference or not provider or not able or not series.leading or not event.decides:
        return []
    assert event.original_start is not None, "an occurrence is known by its original start"
    original_start = event.original_start.utc()
    known = series.occurrences.get(original_start)
    if event.cancelled:
        content, fingerprint = None, CANCELLED
    else:
        content = content_of(
            event, EventRef(calendar_id=series.event.calendar_id, event_id=event.id)
        )
        told = fingerprint_of(content, provider.fields)
        fingerprint = digest(*(f"{name}={told[name]}" for name in sorted(told)))
        if known is None and _like_series(event, told, series):
            return []  # only a guest's answer or a colour makes it an exception
    if known == fingerprint:
        return []
    return [
        SendOccurrence(
            series=series.event,
            conference=conference,
            original_start=original_start,
            content=content,
            fingerprint=fingerprint,
        )
    ]


def has_own_conference(event: Event, series: Link | None, rules: Rules) -> bool:
    """Tell whether an occurrence carries another conference than its series, and so is an event
    by itself."""
    carried = None if event.cancelled else conference_of(event, rules)
    if carried is None:
        return False
    return (
        series is None or series.conference is None or not _same(carried, series.conference, series)
    )


def conference_of(event: Event, rules: Rules) -> ConferenceRef | None:
    """Return the conference of ours that an event carries, or None (E1). Raises Malformed if it is
    ours but nameless.

    In this order: its conference data (solution name, then the links of its entry points), our
    private property, a location that is a join link. Anything else, Meet and pending requests among
    it, is somebody else's.
    """
    if event.event_type != "default":
        return None
    return (
        _from_data(event, rules)
        or _from_property(event, rules)
        or join_link_of(event.location, rules)
    )


def _from_data(event: Event, rules: Rules) -> ConferenceRef | None:
    data = event.conference_data
    if data is None or data.pending:
        return None
    by_name = [provider for provider in rules.providers if data.solution in provider.solutions]
    for provider in (*by_name, *rules.providers):
        ids = [found for point in data.entry_points if (found := _id_in(point.uri, provider))]
        if provider not in by_name and not ids:
            continue
        named = data.conference_id or next(iter(ids), None)
        if named is None:
            raise Malformed(
                f"its conference of {provider.name} has neither a conference id nor a link that tells it"
            )
        return _ref(provider, named)
    return None


def _from_property(event: Event, rules: Rules) -> ConferenceRef | None:
    provider = rules.of(event.private.get(PROVIDER_PROPERTY, ""))
    conference_id = event.private.get(ID_PROPERTY)
    return _ref(provider, conference_id) if provider and conference_id else None


def join_link_of(location: str, rules: Rules) -> ConferenceRef | None:
    """Return the conference that a location leads to, if it is a join link and nothing else."""
    for provider in rules.providers:
        if found := _id_in(location.strip(), provider):
            return _ref(provider, found)
    return None


def _id_in(uri: str, provider: ProviderRules) -> str | None:
    for pattern in provider.uris:
        if found := pattern.fullmatch(uri):
            return unquote(found[1])
    return None


def _ref(provider: ProviderRules, conference_id: str) -> ConferenceRef:
    return ConferenceRef(
        provider=provider.name, conference_id=ConferenceId(provider.normalise(conference_id))
    )


def _same(carried: ConferenceRef, held: ConferenceRef, link: Link | None) -> bool:
    """The event shows the conference it is linked to, by id or by another name, or the one it
    replaced (C4)."""
    known = (held.conference_id, link.replaces, link.shown_as) if link else (held.conference_id,)
    return carried.provider == held.provider and carried.conference_id in known


def _let_go(conference: ConferenceRef, rules: Rules) -> list[Action]:
    """E2, E3: the grace begins; without one, it is over at once."""
    if rules.delete_grace:
        return [LetGo(conference=conference)]
    return [LetGo(conference=conference), Delete(conference=conference)]


def _past(
    link: Link | None, wanted: ConferenceRef | None, rules: Rules, now: datetime
) -> list[Action]:
    """E2, E3: what was let go earlier and did not come back is deleted once its grace is over."""
    if link is None:
        return []
    gone = [past for past in link.letting_go if wanted is None or not past.names(wanted)]
    return [_after_grace(past, rules, now) for past in gone]


def _after_grace(past: LettingGo, rules: Rules, now: datetime) -> Action:
    due = past.since + rules.delete_grace
    return (
        Delete(conference=past.conference)
        if due <= now
        else Settle(conference=past.conference, due=due)
    )


def _send(
    event: Event,
    at: EventRef,
    conference: ConferenceRef,
    known: Fingerprint | None,
    rules: Rules,
    *,
    extend: bool = False,
    pending: bool = False,
) -> list[Action]:
    """E4: only what matters to this provider, and only if it differs from what was last sent.

    `extend`: the provider holds only the next dates of the series, and it is time for more.
    `pending`: the series' occurrences were to be told after it was sent last, and a crash came in
    between.
    """
    provider = rules.of(conference.provider)
    if provider is None:
        return []  # not configured any more; its conferences are left as they are
    content = content_of(event, at)
    fingerprint = fingerprint_of(content, provider.fields)
    changed = differing(known, fingerprint)
    if extend:
        changed |= {"recurrence"}
    unknown = bool(changed) and (
        known is None or (provider.drops_occurrences and not changed.isdisjoint(WHEN))
    )
    occurrences = bool(event.recurrence) and provider.occurrences and (unknown or pending)
    actions: list[Action] = []
    if changed:
        actions.append(
            Send(
                conference=conference,
                content=content,
                fingerprint=fingerprint,
                changed=changed,
                occurrences=occurrences,
            )
        )
    if occurrences:
        actions.append(SendOccurrences(series=at, ical_uid=event.ical_uid))
    return actions


def content_of(event: Event, at: EventRef) -> ConferenceContent:
    """Return what a provider may be told of an event. Our own block is no part of its
    description (W4)."""
    if event.start is None or event.end is None:
        raise Malformed("the event has no start")
    return ConferenceContent(
        event=at,
        title=event.title,
        # Blanks at the end go with our block when it is taken out; they must not look like a
        # change.
        description=_BLANK_END.sub("", without_block(event.description)),
        start=event.start,
        end=event.end,
        recurrence=event.recurrence,
        organizer=event.organizer,
        attendees=event.attendees,
        ical_uid=event.ical_uid,
    )


def without_block(description: str) -> str:
    """Return a description without our block and the blanks before it."""
    return _BLOCK.sub("", description)


def fingerprint_of(content: ConferenceContent, fields: frozenset[str]) -> Fingerprint:
    """Return a digest of each field that the provider takes. Equal content gives equal digests on
    every machine.

    Moments count, not how they are written: the same start with another offset is the same start.
    The order of the attendees does not matter. `duration` is added for comparing occurrences with
    their series.
    """
    all_of_them = {
        "title": (content.title,),
        "description": (content.description,),
        "start": (content.start.utc(),),
        "end": (content.end.utc(),),
        "time_zone": (content.start.time_zone or "",),
        "recurrence": content.recurrence,
        "organizer": (content.organizer or "",),
        "attendees": tuple(sorted(content.attendees)),
    }
    prints = {name: digest(*parts)[:16] for name, parts in all_of_them.items() if name in fields}
    if "end" in fields:
        prints["duration"] = digest(str(_duration(content)))[:16]
    return Fingerprint(prints)


def differing(known: Fingerprint | None, wanted: Fingerprint) -> frozenset[str]:
    """Return the names of the fields whose digest differs, all of them when nothing was sent
    yet."""
    if known is None:
        return frozenset(wanted)
    return frozenset(
        name for name in wanted.keys() | known.keys() if wanted.get(name) != known.get(name)
    )


def _duration(content: ConferenceContent) -> timedelta:
    if content.start.moment and content.end.moment:
        return content.end.moment - content.start.moment
    if content.start.day and content.end.day:
        return content.end.day - content.start.day
    return timedelta()


def _like_series(event: Event, told: Fingerprint, series: Link) -> bool:
    """The occurrence is where its series puts it, and says what its series says."""
    if (
        event.start is None
        or event.original_start is None
        or event.start.utc() != event.original_start.utc()
    ):
        return False
    known = series.fingerprint or Fingerprint({})
    compared = told.keys() - {"start", "end", "recurrence"}
    return all(told[name] == known.get(name) for name in compared)
