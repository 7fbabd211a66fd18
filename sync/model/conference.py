"""What a provider has of a conference, and what we remember of events and their conferences.

`Link`, `ConferenceRecord` and `Failure` are documents: `store` writes and reads them, so a new
field needs a default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

from sync.model.event import CalendarId, ConferenceId, EntryPoint, Etag, EventId, EventTime, digest

Fingerprint = NewType("Fingerprint", dict[str, str])
"""One digest for each field that was last sent to the provider, by the field's name."""


def print_of(*parts: str) -> str:
    """Return the digest of one field in a fingerprint: `print_of("Planning")` for a title."""
    return digest(*parts)[:16]


NO_DESCRIPTION = print_of("")
"""The digest of a description that is empty."""
UNSURE = "unsure"
"""Stands for the digest of an occurrence of which nobody knows what the provider has."""

# A link whose event has been over for so long is dropped: a later change is a first sight.
DROPPED_AFTER = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceRef:
    """Names one conference of one provider: the provider's configured name, and the id it knows."""

    provider: str
    conference_id: ConferenceId

    @property
    def key(self) -> str:
        return digest(self.provider, self.conference_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRef:
    """Names one event of one watched calendar."""

    calendar_id: CalendarId
    event_id: EventId

    @property
    def key(self) -> str:
        return digest(self.calendar_id, self.event_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceContent:
    """What a provider is told of a conference. For an occurrence: of that one alone."""

    event: EventRef
    title: str
    description: str
    start: EventTime
    end: EventTime
    recurrence: tuple[str, ...] = ()
    organizer: str | None = None
    attendees: tuple[str, ...] = ()
    ical_uid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WayIn:
    """What a provider tells of one of its conferences: its id, how people enter it, and notes."""

    conference_id: ConferenceId
    entry_points: tuple[EntryPoint, ...] = ()
    notes: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a provider's own answer shows of a conference, read before anything is changed (O2).

    `way_in` names the conference by the provider's own id. `hosts`: addresses, in lower case, of
    whoever hosts the conference. Empty: the system names nobody. `seen_as`: the user as whom the
    system was asked, where it shows a conference to its host alone. `unfit` says what the
    conference is if it cannot be scheduled, for example "a personal room". `starts`: when it
    begins, a series its first or next date. None: the system does not say. `differs` names the
    fields of the event's content in which the conference differs.
    """

    way_in: WayIn
    hosts: frozenset[str] = frozenset()
    seen_as: str | None = None
    unfit: str | None = None
    recurring: bool = False
    starts: EventTime | None = None
    differs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Approximation:
    """How a provider's copy of a series falls short of it: the reason, and when more is sent.

    No wrong date is part of the copy. `again_at` None: there is nothing more to send.
    """

    reason: str
    again_at: datetime | None = None


class Evidence(StrEnum):
    """How an event shows that it carries a conference (E1)."""

    CONFERENCE_DATA = "conference_data"
    PROPERTY = "property"
    LOCATION = "location"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the provider was last told of a conference.

    `fingerprint`: a digest for each field that is certainly there as sent. A field that is missing
    is unsure. `occurrences`: the same for each occurrence that differs, by original start, one
    digest each. `occurrences_pending`: they are still to be told, all of them.
    `occurrences_unsure`: the provider may hold others that differ, told by whoever led before.
    `approximation`: what the provider cannot hold of the series. `missing_since`: when the provider
    first said that the conference is gone (C4). `sent_at`: when something was last sent.
    """

    fingerprint: Fingerprint = field(default_factory=lambda: Fingerprint({}))
    occurrences: Mapping[str, str] = field(default_factory=dict)
    occurrences_pending: bool = False
    occurrences_unsure: bool = False
    approximation: Approximation | None = None
    missing_since: datetime | None = None
    sent_at: datetime | None = None

    @property
    def unsure(self) -> Told:
        """The same where nobody knows what was told last: only of which occurrences it was."""
        return replace(UNKNOWN, occurrences=dict.fromkeys(self.occurrences, UNSURE))

    @property
    def inherited(self) -> Told:
        """The same for the event that leads from now on (E7).

        E4, O5: where the former leader had no description, people may keep one at the provider. An
        heir without a description does not empty it.
        """
        kept = self.fingerprint.get("description") == NO_DESCRIPTION
        known = {"description": NO_DESCRIPTION} if kept else {}
        return replace(self.unsure, fingerprint=Fingerprint(known))


UNKNOWN = Told(occurrences_pending=True, occurrences_unsure=True)
"""What is to be assumed where nothing is known: anything may have been told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """The conference that an event carries, proven to be the event's own (O1).

    `leading`: the conference follows this event. Of several that carry it, one leads (E7).
    `strong`: whether conference data, or our own property, shows the conference. `proven_for`: the
    event's organizer when the proof was made. None: an earlier version linked it without a proof.
    `host`: as whom the provider shows the conference. `told`: what the provider knows. None: not
    known. `replaces`: the id that the event still shows although the conference was created anew
    (C4). `shown_as`: what the event shows of it instead of its id, a number or a link. `linked_as`:
    the ids that its own links name where these differ from its id.
    `mark`: a digest of the words in the event by which the conference was recognised (E3).
    `without_occurrences`: the provider has none for it. `over_at`: when the last date is over.
    None: never, or not known. `over_seen`: that was looked at.
    """

    conference: ConferenceRef
    leading: bool
    linked_at: datetime
    strong: bool = True
    proven_for: str | None = None
    host: str | None = None
    told: Told | None = None
    replaces: ConferenceId | None = None
    shown_as: ConferenceId | None = None
    linked_as: tuple[ConferenceId, ...] = ()
    mark: str | None = None
    without_occurrences: bool = False
    over_at: datetime | None = None
    over_seen: bool = False

    @property
    def names(self) -> frozenset[ConferenceId]:
        """Every id by which the event may show this conference."""
        known = (self.conference.conference_id, self.replaces, self.shown_as, *self.linked_as)
        return frozenset(name for name in known if name is not None)

    def is_shown_by(self, conference: ConferenceRef) -> bool:
        """An event that shows `conference` shows this one."""
        return (
            self.conference.provider == conference.provider
            and conference.conference_id in self.names
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LettingGo:
    """A conference that the event carried until `since`.

    It is deleted at `due` unless an event carries it then (E2, E3). The other fields are those of
    `Carried`, for the case that it comes back.
    """

    conference: ConferenceRef
    since: datetime
    due: datetime
    proven_for: str | None = None
    host: str | None = None
    told: Told | None = None
    shown_as: ConferenceId | None = None
    linked_as: tuple[ConferenceId, ...] = ()

    @property
    def names(self) -> frozenset[ConferenceId]:
        """Every id by which the event may show this conference."""
        known = (self.conference.conference_id, self.shown_as, *self.linked_as)
        return frozenset(name for name in known if name is not None)

    def is_shown_by(self, conference: ConferenceRef) -> bool:
        """An event that shows `conference` shows this one."""
        return (
            self.conference.provider == conference.provider
            and conference.conference_id in self.names
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """A conference that we made, or may have made, for this very event (C4, A3, O2).

    `key`: the idempotency key. `conference_id` None: the answer is still to come. `carried`: the
    event carries it, or did. `deleted`: it was deleted again. `due`: when it is looked at if the
    event does not carry it by then. `solution` and `count`: asked for through the add-on, for the
    n-th time. `subject`: as whom the event is read, where the calendar is not started. `host`: for
    whom it was made. `busy_until`: a worker calls the provider, and others wait until then.
    `ical_uid`: the event's, as the creation named it: a repetition with the same key has to name
    the same event. `replaces`: the conference that was gone. None: asked for through the add-on, or
    written by an earlier version. `linked_as`: as in `Carried`.
    """

    key: str
    provider: str
    since: datetime
    due: datetime
    conference_id: ConferenceId | None = None
    carried: bool = False
    deleted: bool = False
    solution: str | None = None
    count: int = 1
    subject: str | None = None
    host: str | None = None
    busy_until: datetime | None = None
    ical_uid: str | None = None
    replaces: ConferenceId | None = None
    linked_as: tuple[ConferenceId, ...] = ()

    @property
    def open(self) -> bool:
        """Whether it may exist without an event that carries it."""
        return not self.carried and not self.deleted

    def is_for(self, conference: ConferenceRef) -> bool:
        """Whether it is made in place of this conference, which was gone (C4)."""
        if self.solution is not None or self.provider != conference.provider:
            return False
        return self.replaces in (None, conference.conference_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnOccurrence:
    """An occurrence that carries a conference of its own (E5), and when it is over, if ever."""

    event_id: EventId
    over_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What is remembered of one event: what it carries, what it let go, what was made for it.

    `own`: the occurrences of this series that carry a conference of their own. Calendar may not
    list them when their series is deleted. `written`: the conference id that we wrote into the
    event as text (W4). `etag`: of our last write to the event, `writes`: when the last ones were
    (W2). `seen`: the full sync that met the event last (S3).
    """

    event: EventRef
    carried: Carried | None = None
    letting_go: tuple[LettingGo, ...] = ()
    creations: tuple[Creation, ...] = ()
    own: tuple[OwnOccurrence, ...] = ()
    written: ConferenceId | None = None
    etag: Etag | None = None
    writes: tuple[datetime, ...] = ()
    seen: str | None = None

    @property
    def empty(self) -> bool:
        """Nothing is worth remembering any more."""
        kept = self.letting_go or self.creations or self.own
        return self.carried is None and not kept

    @property
    def leading(self) -> bool:
        return self.carried is not None and self.carried.leading

    @property
    def due_at(self) -> datetime | None:
        """When `maintain` has to see that this event is looked at. None: never.

        A deletion whose task was lost, a series whose copy runs out, a leader whose last date is
        over, a creation without an event, and at last the link itself, which is dropped.
        """
        moments = [past.due for past in self.letting_go]
        moments += [made.due if made.open else _dropped(made.due) for made in self.creations]
        if carried := self.carried:
            told = carried.told
            if carried.leading and told and told.approximation and told.approximation.again_at:
                moments.append(told.approximation.again_at)
            if carried.over_at is not None:
                waits = carried.leading and not carried.over_seen
                moments.append(carried.over_at if waits else _dropped(carried.over_at))
        elif self.own and (over := self._own_over()):
            moments.append(_dropped(over))
        return min(moments, default=None)

    def _own_over(self) -> datetime | None:
        """When the last occurrence with a conference of its own is over. None: not known."""
        ends = [each.over_at for each in self.own]
        known = [end for end in ends if end is not None]
        return max(known) if known and len(known) == len(ends) else None

    def lets_go_of(self, conference: ConferenceRef) -> LettingGo | None:
        return next((past for past in self.letting_go if past.is_shown_by(conference)), None)

    def made(self, conference: ConferenceRef) -> Creation | None:
        """The creation of a conference that we made for this very event, if we did (O2)."""
        return next(
            (
                made
                for made in self.creations
                if made.provider == conference.provider
                and made.conference_id == conference.conference_id
                and not made.deleted
            ),
            None,
        )

    def proves(self, held: Carried | LettingGo) -> bool:
        """O1: a conference was shown to be this event's own, or we made it for this event."""
        return held.proven_for is not None or self.made(held.conference) is not None


def _dropped(moment: datetime) -> datetime:
    """When what was over at a moment is dropped. The last days of the calendar have no later."""
    try:
        return moment + DROPPED_AFTER
    except OverflowError:
        return moment


class ConferenceState(StrEnum):
    LIVE = "live"
    DELETING = "deleting"
    DELETED = "deleted"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceRecord:
    """Who leads a conference, and whether it still is: the document that its events meet in (E7).

    `last_leader` let it go: nobody leads it since, and the provider knows what that event said.
    `changed_by` and `changed_at` say whose deletion is under way. `replaced_by`: created anew under
    this id (C4). `expires_at`: when a dead one may be forgotten. `moved_to`: the leading event in
    another calendar, which it was moved to, and where the conference is not proven its own (E2).
    """

    ref: ConferenceRef
    state: ConferenceState = ConferenceState.LIVE
    leader: EventRef | None = None
    last_leader: EventRef | None = None
    changed_by: EventRef | None = None
    changed_at: datetime | None = None
    replaced_by: ConferenceId | None = None
    expires_at: datetime | None = None
    moved_to: EventRef | None = None


class FailureState(StrEnum):
    """What becomes of a failure.

    An approximate one is not mended by trying again: the provider cannot hold the whole series. A
    left one is no failure at all: the conference was not proven to be the event's, and is left
    alone (O3). A dismissed one is not listed, and keeps its event from being tried until the event
    changes.
    """

    PARKED = "parked"
    RETRYING = "retrying"
    APPROXIMATE = "approximate"
    LEFT = "left"
    DISMISSED = "dismissed"


LISTED = tuple(state for state in FailureState if state is not FailureState.DISMISSED)
"""The states that an operator sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An event that could not be applied, or not wholly, kept with its reason (C5, O3).

    `version` tells which state of the event failed. Another is tried afresh. `next_try` is None
    where none would help. `rule` is the rule that kept us from acting, for example `O2`.
    `demanded`: an operator asked for this try, which waits for nobody (S6).
    """

    event: EventRef
    provider: str | None
    conference_id: ConferenceId | None
    action: str
    reason: str
    attempts: int
    state: FailureState
    first: datetime
    next_try: datetime | None
    version: str | None = None
    rule: str | None = None
    demanded: bool = False

    @property
    def id(self) -> str:
        return self.event.key
