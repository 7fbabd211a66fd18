"""Events as Calendar lists them, what is remembered of them, and a plan carried out on values.

Shared by the tables of rules in `tests/unit`: nothing here touches a network, a store or a clock.
`carried_out` does to a link what `sync.event.carry_out` does to the stored one, for an event whose
conference nobody else carries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

from sync.event import plan
from sync.event.content import content_of, fingerprint_of, without_block
from sync.event.recognise import ID_PROPERTY, PROVIDER_PROPERTY, Shown
from sync.model.conference import (
    UNKNOWN,
    Carried,
    ConferenceRef,
    EventRef,
    Evidence,
    Fingerprint,
    LettingGo,
    Link,
    Told,
)
from sync.model.event import CalendarId, ConferenceId, Event, EventId
from sync.model.provider import ProviderRules, Rules, uri_pattern
from sync.model.series import last_end

Json = dict[str, Any]


NOW = datetime(2030, 5, 2, 8, 0, tzinfo=UTC)
GRACE = timedelta(seconds=60)
ANNA = CalendarId("anna@example.com")
BEN = "ben@example.com"
ALL_FIELDS = frozenset(
    {"title", "description", "start", "end", "time_zone", "recurrence", "organizer", "attendees"}
)


def meeting_number(text: str) -> str:
    """Return a number without the blanks with which people write it; "" for what is no number."""
    number = "".join(text.split()).replace("-", "")
    return number if number.isascii() and number.isdigit() else ""


WEB = ProviderRules(
    name="web",
    solutions=frozenset({"My Web Conference", "My Recorded Web Conference"}),
    uris=(uri_pattern("https://meet.example.com/{id}"),),
    fields=ALL_FIELDS,
    occurrences=True,
    trusts_conference_data=True,
    creates_unseen=True,
)
ZOOM = ProviderRules(
    name="zoom",
    solutions=frozenset({"Zoom Meeting"}),
    uris=(uri_pattern("https://*.zoom.us/j/{id}"), uri_pattern("https://zoom.example.org/j/{id}")),
    fields=frozenset({"title", "start", "end", "time_zone", "recurrence"}),
    parameters=("realMeetingId",),
    normalise=meeting_number,
)
# The id of a Webex meeting is its link, of a Teams meeting its thread or the link.
WEBEX = ProviderRules(
    name="webex",
    solutions=frozenset({"Webex Meeting"}),
    uris=(re.compile(r"(https://[^/?#@]+\.webex\.com/[^?#]*j\.php\?MTID=[^&#]+).*"),),
    fields=ALL_FIELDS,
)
RULES = Rules(providers=(WEB, ZOOM, WEBEX), delete_grace=GRACE)
AT_ONCE = replace(RULES, delete_grace=timedelta())


def web(conference_id: str = "c-1") -> ConferenceRef:
    return ConferenceRef(provider="web", conference_id=ConferenceId(conference_id))


def zoom(conference_id: str) -> ConferenceRef:
    return ConferenceRef(provider="zoom", conference_id=ConferenceId(conference_id))


def by_data(conference: ConferenceRef) -> Shown:
    return Shown(conference=conference, evidence=Evidence.CONFERENCE_DATA, strong=True)


def by_location(conference: ConferenceRef) -> Shown:
    return Shown(conference=conference, evidence=Evidence.LOCATION, strong=False)


def data(
    conference_id: str | None = "c-1",
    solution: str | None = "My Web Conference",
    *uris: str,
    kind: str = "addOn",
) -> Json:
    """Return conference data as Calendar shows it."""
    shown: Json = {"conferenceSolution": {"key": {"type": kind}}}
    if solution is not None:
        shown["conferenceSolution"]["name"] = solution
    if conference_id is not None:
        shown["conferenceId"] = conference_id
    if uris:
        shown["entryPoints"] = [{"entryPointType": "video", "uri": uri} for uri in uris]
    return shown


MEET: Json = {
    "conferenceId": "abc-defg-hij",
    "conferenceSolution": {"key": {"type": "hangoutsMeet"}, "name": "Google Meet"},
    "entryPoints": [{"entryPointType": "video", "uri": "https://meet.google.com/abc-defg-hij"}],
}


def requested(status: str) -> Json:
    """Return conference data that was asked for, and is not there yet or never will be."""
    return {
        "createRequest": {
            "requestId": "r1",
            "conferenceSolutionKey": {"type": "hangoutsMeet"},
            "status": {"statusCode": status},
        }
    }


def marked(provider: str = "web", conference_id: str = "c-9") -> Json:
    """Return extended properties in which our own property names a conference."""
    return {"private": {PROVIDER_PROPERTY: provider, ID_PROPERTY: conference_id}}


def item(conference: Json | None = None, **fields: Any) -> Json:
    """Return an event of an hour as Calendar lists it, its organizer's copy.

    None takes a member out.
    """
    body: Json = {
        "id": "e1",
        "status": "confirmed",
        "etag": '"1"',
        "summary": "Planning",
        "description": "Bring cake",
        "start": {"dateTime": "2030-05-02T12:00:00+02:00", "timeZone": "Europe/Berlin"},
        "end": {"dateTime": "2030-05-02T13:00:00+02:00", "timeZone": "Europe/Berlin"},
        "organizer": {"email": ANNA, "self": True},
        "attendees": [{"email": "ben@example.com"}, {"email": "cleo@example.com"}],
        "iCalUID": "e1@google.com",
    }
    if conference is not None:
        body["conferenceData"] = conference
    body |= fields
    return {name: value for name, value in body.items() if value is not None}


TOMBSTONE: Json = {"id": "e1", "status": "cancelled"}
MOVED: Json = {
    "start": {"dateTime": "2030-05-09T15:00:00+02:00", "timeZone": "Europe/Berlin"},
    "end": {"dateTime": "2030-05-09T16:00:00+02:00", "timeZone": "Europe/Berlin"},
}
SERIES = item(data(), id="s1", recurrence=["RRULE:FREQ=WEEKLY"], iCalUID="s1@google.com")
ORIGINAL = "2030-05-09T10:00:00Z"


def occurrence(**fields: Any) -> Json:
    """Return the second occurrence of `SERIES`, as an exception that is like its series."""
    body = item(
        data(),
        id="s1_20300509T100000Z",
        recurringEventId="s1",
        originalStartTime={"dateTime": "2030-05-09T12:00:00+02:00", "timeZone": "Europe/Berlin"},
        start={"dateTime": "2030-05-09T12:00:00+02:00", "timeZone": "Europe/Berlin"},
        end={"dateTime": "2030-05-09T13:00:00+02:00", "timeZone": "Europe/Berlin"},
        iCalUID="s1@google.com",
    )
    return {name: value for name, value in (body | fields).items() if value is not None}


def parsed(body: Json, calendar_zone: str | None = "Europe/Berlin") -> Event:
    return Event.from_api(body, calendar_zone=calendar_zone)


def at(event_id: str = "e1") -> EventRef:
    return EventRef(calendar_id=ANNA, event_id=EventId(event_id))


def sent(body: Json, fields: frozenset[str] = ALL_FIELDS) -> Fingerprint:
    """Return the fingerprint of an event whose present state was sent."""
    return fingerprint_of(content_of(parsed(body), at(body["id"])), fields)


def told(body: Json, fields: frozenset[str] = ALL_FIELDS, **changes: Any) -> Told:
    return replace(Told(fingerprint=sent(body, fields)), **changes)


def carried(body: Json, conference: ConferenceRef | None = None, **changes: Any) -> Carried:
    """Return what is remembered of an event whose present state was sent, and that leads."""
    conference = conference or web()
    rules = RULES.of(conference.provider)
    kept = Carried(
        conference=conference,
        leading=True,
        linked_at=NOW,
        proven_for=ANNA,
        told=told(body, rules.fields if rules else ALL_FIELDS),
        over_at=over_at_of(body),
    )
    return replace(kept, **changes)


def linked(body: Json, conference: ConferenceRef | None = None, **changes: Any) -> Link:
    """Return the link of an event whose present state was sent, but for these changes."""
    return Link(event=at(body["id"]), carried=carried(body, conference, **changes))


def past(
    conference: ConferenceRef, seconds_ago: float = 0, grace: timedelta = GRACE, **changes: Any
) -> LettingGo:
    """Return a conference that was let go so many seconds before `NOW`."""
    since = NOW - timedelta(seconds=seconds_ago)
    gone = LettingGo(conference=conference, since=since, due=since + grace, proven_for=ANNA)
    return replace(gone, **changes)


def decide(
    body: Json,
    link: Link | None = None,
    rules: Rules = RULES,
    now: datetime = NOW,
    shared: Carried | None = None,
) -> list[plan.Action]:
    """Plan once. `shared`: what the event, an occurrence, shares with its series."""
    event = parsed(body)
    return plan.plan(
        plan.Facts(event=event, ref=at(event.id), link=link, rules=rules, now=now, shared=shared)
    )


def kinds(actions: Sequence[object]) -> list[type]:
    return [type(action) for action in actions]


@dataclass(slots=True)
class Outcome:
    """An event and its link after a plan was carried out, and everything that was done."""

    body: Json
    link: Link | None
    rules: Rules
    now: datetime
    actions: list[plan.Action] = field(default_factory=list)

    @property
    def done(self) -> list[plan.Action]:
        """What was done, but for seeing that a grace has a task: that is done at each look."""
        return [action for action in self.actions if not isinstance(action, plan.Settle)]

    @property
    def remembered(self) -> Link:
        return self.link or Link(event=at(self.body["id"]))

    def change(self, change: Callable[[Carried], Carried]) -> None:
        link = self.remembered
        assert link.carried is not None
        self.put(replace(link, carried=change(link.carried)))

    def put(self, link: Link) -> None:
        self.link = None if link.empty else link


def carried_out(
    body: Json, link: Link | None = None, rules: Rules = RULES, now: datetime = NOW
) -> Outcome:
    """Plan, do what was planned, and plan again after a Follow or a Prove, as `carry_out` does.

    Every proof succeeds, and the provider has nothing of what the event says: all of it is sent.
    """
    outcome = Outcome(body, link, rules, now)
    for _ in range(4):
        actions = decide(outcome.body, outcome.link, rules, now)
        for action in actions:
            _carry_out(outcome, action)
            outcome.actions.append(action)
        if not actions or not isinstance(actions[-1], plan.Follow | plan.Prove):
            return outcome
    raise AssertionError("plans that follow each other have no end")


def over_at_of(body: Json) -> datetime | None:
    """When the last date of an event is over."""
    return last_end(content_of(parsed(body), at(body["id"])))


def _carry_out(outcome: Outcome, action: plan.Action) -> None:
    match action:
        case plan.Follow():
            _follow(outcome, action)
        case plan.Prove():
            proof = parsed(outcome.body).organizer or ""
            outcome.change(lambda now: replace(now, proven_for=proof))
        case plan.HandOn() | plan.NoteEnd():
            seen, over_at = isinstance(action, plan.HandOn), over_at_of(outcome.body)
            outcome.change(
                lambda now: replace(now, over_seen=now.over_seen or seen, over_at=over_at)
            )
        case plan.Send():
            _send(outcome, action)
        case plan.SendOccurrences():
            outcome.change(
                lambda now: replace(
                    now, told=replace(now.told or UNKNOWN, occurrences_pending=False)
                )
            )
        case plan.ShowConference():
            conference = outcome.remembered.carried
            assert conference is not None
            shown = data(conference.conference.conference_id)
            outcome.body = outcome.body | {"conferenceData": shown}
            outcome.change(lambda now: replace(now, replaces=None))
        case plan.HideConference():
            text = without_block(outcome.body.get("description", ""))
            outcome.body = outcome.body | {"extendedProperties": {}, "description": text}
        case plan.LetGo():
            _let_go(outcome, action)
        case plan.LetGoUnseen():
            gone = LettingGo(
                conference=action.shown.conference,
                since=outcome.now,
                due=outcome.now + outcome.rules.delete_grace,
                proven_for=parsed(outcome.body).organizer or "",
            )
            _keep_past(outcome, gone)
        case plan.Settle():
            pass
        case plan.Postpone():
            later = replace(action.past, due=outcome.now + timedelta(days=1))
            kept = outcome.remembered.letting_go
            past = tuple(later if each == action.past else each for each in kept)
            outcome.put(replace(outcome.remembered, letting_go=past))
        case plan.Delete():
            _drop_past(outcome, action.past)
        case plan.Forget() | plan.LookAtOwn():
            link, forgets = outcome.remembered, isinstance(action, plan.Forget)
            outcome.put(replace(link, carried=None) if forgets else replace(link, own=()))
        case plan.EndCreation():
            link = outcome.remembered
            ended = replace(action.creation, deleted=True)
            creations = tuple(ended if made.key == ended.key else made for made in link.creations)
            outcome.put(replace(link, creations=creations))
        case _:
            assert_never(action)


def _follow(outcome: Outcome, action: plan.Follow) -> None:
    link, event = outcome.remembered, parsed(outcome.body)
    shown = action.shown.conference
    before = link.lets_go_of(shown)
    ref = before.conference if before else shown
    named = shown.conference_id
    kept = Carried(
        conference=ref,
        leading=True,
        linked_at=outcome.now,
        strong=action.shown.strong,
        proven_for=event.organizer or "",
        told=before.told if before and action.proven else None,
        shown_as=None if named == ref.conference_id else named,
        over_at=last_end(content_of(event, link.event)),
    )
    others = tuple(each for each in link.letting_go if each.conference != ref)
    made = tuple(
        replace(each, carried=True) if each.conference_id == ref.conference_id else each
        for each in link.creations
    )
    outcome.put(replace(link, carried=kept, letting_go=others, creations=made))


def _send(outcome: Outcome, action: plan.Send) -> None:
    over = last_end(action.content)

    def noted(now: Carried) -> Carried:
        occurrences = {} if action.occurrences or now.told is None else now.told.occurrences
        known = Told(
            fingerprint=action.fingerprint,
            occurrences=occurrences,
            occurrences_pending=action.occurrences,
        )
        seen = now.over_seen and now.over_at == over
        return replace(now, told=known, over_at=over, over_seen=seen)

    outcome.change(noted)


def _let_go(outcome: Outcome, action: plan.LetGo) -> None:
    known = action.carried.told
    gone = LettingGo(
        conference=action.carried.conference,
        since=outcome.now,
        due=outcome.now + outcome.rules.delete_grace,
        proven_for=action.carried.proven_for,
        told=None if known and known.occurrences_pending else known,
        shown_as=action.carried.shown_as,
    )
    outcome.link = replace(outcome.remembered, carried=None)
    _keep_past(outcome, gone)


def _keep_past(outcome: Outcome, gone: LettingGo) -> None:
    """Without a grace, what is let go is deleted at once."""
    link = outcome.remembered
    outcome.put(replace(link, letting_go=(*link.letting_go, gone)))
    if gone.due <= outcome.now:
        _drop_past(outcome, gone)


def _drop_past(outcome: Outcome, gone: LettingGo) -> None:
    link = outcome.remembered
    left = tuple(each for each in link.letting_go if each.conference != gone.conference)
    outcome.put(replace(link, letting_go=left))
