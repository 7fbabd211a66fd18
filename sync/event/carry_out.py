"""Carries out what was planned for one event: provider, link, write-back. What goes wrong,
`failures` takes over."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, assert_never

from sync.errors import (
    Conflict,
    CredentialsRefused,
    Gone,
    LeaseLost,
    NoOccurrences,
    NotAllowed,
    TryLater,
)
from sync.event import failures, plan, write_back
from sync.event import sharing as claims
from sync.event.failures import Attempt
from sync.model.calendar import Access, Counts
from sync.model.conference import ConferenceRef, EventRef, Fingerprint, Link, WayIn
from sync.model.event import CalendarId, Event, EventId, digest
from sync.services import Services
from sync.store import Known, PutLink, Versioned

# How often an event is read and decided again because somebody wrote it, or its link, meanwhile
# (W1).
_DECISIONS = 5
# Where a listing is asked for just to see whether it is answered: few events, if any, are so far
# ahead.
_FAR_AHEAD = timedelta(days=3650)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The calendar that a run works on. `still_ours` raises LeaseLost once its lease may have
    lapsed.

    `full_sync_id` is that of the full sync under way, if it is one.
    """

    calendar_id: CalendarId
    access: Access
    time_zone: str | None
    full_sync_id: str | None
    still_ours: Callable[[], None]

    def at(self, event_id: EventId) -> EventRef:
        return EventRef(calendar_id=self.calendar_id, event_id=event_id)


def apply_item(
    services: Services, watched: Watched, item: object, known: Known, *, listed: bool
) -> Counts:
    """Bring everything into step with one event, given as Calendar's JSON and with what is known of
    it.

    `listed`: it comes from a listing, not from a task of its own; a version that was handed to a
    retry task or parked is then passed over. Whatever goes wrong with the event ends in a retry
    task or a parked failure (C5), and so do errors of our own making. Raises what concerns the
    whole run: CredentialsRefused, LeaseLost, and TryLater from the store or the queue.
    """
    event_id = id_of(item)
    at = watched.at(event_id)
    failure = known.failures.get(event_id)
    attempt = Attempt()
    version = _version_of(item)
    if (
        listed
        and failure
        and failure.version == version
        and failures.waits(failure, services.clock())
    ):
        return Counts()
    try:
        event = Event.from_api(item, calendar_zone=watched.time_zone)
        _converge(services, watched, event, item, known, attempt)
    except (CredentialsRefused, LeaseLost):
        raise
    except Exception as error:
        failures.hand_over(services, at, attempt, error, failure, version)
        return attempt.counts + Counts(failed=1)
    failures.applied(services, at, attempt, failure)
    return attempt.counts


def id_of(item: object) -> EventId:
    """The event's id; what has none is known by its content, so that it is parked once."""
    if isinstance(item, Mapping) and isinstance(item.get("id"), str) and item["id"]:
        return EventId(item["id"])
    return EventId(f"without-id-{digest(repr(item))[:12]}")


def _version_of(item: object) -> str:
    """What changes whenever the event does: its etag, or its content where it has none."""
    etag = item.get("etag") if isinstance(item, Mapping) else None
    return etag if isinstance(etag, str) else digest(repr(item))


def _converge(
    services: Services, watched: Watched, event: Event, item: Any, known: Known, attempt: Attempt
) -> None:
    """Plan and carry out, again from the start when somebody wrote in between."""
    for _ in range(_DECISIONS):
        try:
            if event.series_id is not None:
                _apply_occurrence(services, watched, event, item, known, attempt)
            else:
                _apply_event(services, watched, event, item, known.links.get(event.id), attempt)
            return
        except Conflict:
            item = read_event(services, watched, event.id)
            event = Event.from_api(item, calendar_zone=watched.time_zone)
            known = services.store.get_known(watched.calendar_id, ids_to_know([item]))
    raise TryLater("the event, or what is known of it, was changed again and again meanwhile")


def read_event(services: Services, watched: Watched, event_id: EventId) -> Any:
    """Return an event as Calendar's JSON; one that Calendar does not know is a deleted one.

    Raises NotAllowed where it is the calendar that Calendar does not show us: it answers 404 for
    that as well, and no conference may be deleted for it.
    """
    calendar_id, access = watched.calendar_id, watched.access
    try:
        return services.calendar.get_event(calendar_id, access, event_id)
    except Gone:
        pass
    try:
        # Calendar goes on showing deleted events for long, so this is rare.
        later = services.clock() + _FAR_AHEAD
        services.calendar.list_changes(
            calendar_id, access, sync_token=None, time_min=later, page_token=None
        )
    except Gone as error:
        raise hidden(error) from error
    return {"id": event_id, "status": "cancelled"}


def hidden(error: Gone) -> NotAllowed:
    """What it means that Calendar does not know a calendar."""
    return NotAllowed(
        f"{error}: the calendar was deleted, or is not shared with us any more; share it again or stop it"
    )


def ids_to_know(items: Sequence[Any]) -> set[EventId]:
    """Return the ids of events whose links planning these items needs: their own and their
    series'."""
    ids = {id_of(item) for item in items}
    for item in items:
        if isinstance(item, Mapping) and isinstance(item.get("recurringEventId"), str):
            ids.add(EventId(item["recurringEventId"]))
    return ids


def _apply_event(
    services: Services,
    watched: Watched,
    event: Event,
    item: Any,
    link: Versioned[Link] | None,
    attempt: Attempt,
) -> None:
    at = watched.at(event.id)
    actions = plan.plan(event, at, link.value if link else None, services.rules, services.clock())
    runner = _Runner(services, watched, event, item, at, link, attempt)
    for action in actions:
        runner.carry_out(action)
    attempt.link = runner.link


def _apply_occurrence(
    services: Services, watched: Watched, event: Event, item: Any, known: Known, attempt: Attempt
) -> None:
    """E5: an occurrence belongs to its series, unless it carries a conference of its own."""
    assert event.series_id is not None, "only occurrences come here"
    series = known.links.get(event.series_id)
    carries_one = (
        event.decides
        and not event.cancelled
        and plan.conference_of(event, services.rules) is not None
    )
    if carries_one and (series is None or series.value.conference is None):
        # Listed before its series, or its series was never met: the series owns the conference, so
        # it comes first.
        master = read_event(services, watched, event.series_id)
        parsed = Event.from_api(master, calendar_zone=watched.time_zone)
        _apply_event(services, watched, parsed, master, series, attempt)
        known = services.store.get_known(watched.calendar_id, ids_to_know([item]))
        series = known.links.get(event.series_id)
    own = known.links.get(event.id)
    shared = _shares(services, event, series.value if series else None)
    if own or not shared:
        # Sharing its series' conference again, it has none of its own.
        alone = replace(event, conference_data=None, location="", private={}) if shared else event
        _apply_event(services, watched, alone, item, own, attempt)
        if not shared:
            return
        series = services.store.get_known(watched.calendar_id, [event.series_id]).links.get(
            event.series_id
        )
    if series is None:
        return
    runner = _Runner(services, watched, event, item, series.value.event, series, attempt)
    for action in plan.plan_occurrence(event, series.value, services.rules):
        runner.carry_out(action)


def _shares(services: Services, event: Event, series: Link | None) -> bool:
    """E5: the occurrence has no conference of its own, though it may show its series' by another
    name."""
    if not plan.has_own_conference(event, series, services.rules):
        return True
    carried = plan.conference_of(event, services.rules)
    return (
        carried is not None
        and series is not None
        and _canonical(services, carried) == series.conference
    )


def _canonical(services: Services, shown: ConferenceRef) -> ConferenceRef:
    """Name a conference by its id, whatever of it an event shows; one that is gone keeps the name
    it was shown by.

    Events that show one conference by its id, its number or its link must meet in one record (E7).
    """
    try:
        conference_id = services.provider(shown.provider).canonical(shown.conference_id)
    except Gone:
        return shown
    return replace(shown, conference_id=conference_id)


class _Runner:
    """Carries out one event's actions, one after the other, on its link (for an occurrence: its
    series' link)."""

    def __init__(
        self,
        services: Services,
        watched: Watched,
        event: Event,
        item: Any,
        at: EventRef,
        link: Versioned[Link] | None,
        attempt: Attempt,
    ) -> None:
        self._services = services
        self._watched = watched
        self._event = event
        self._item = item
        self._at = at
        self._link = link
        self._attempt = attempt

    @property
    def link(self) -> Link | None:
        """The link as it is now."""
        return self._link.value if self._link else None

    def carry_out(self, action: plan.Action) -> None:
        store, queue, now = self._services.store, self._services.queue, self._services.clock()
        self._watched.still_ours()
        match action:
            case plan.Follow():
                self._follow(action)
            case plan.Send():
                self._send(action)
            case plan.SendOccurrence():
                self._send_occurrence(action)
            case plan.SendOccurrences():
                self._send_occurrences(action)
            case plan.ShowConference():
                self._show(None)
            case plan.HideConference():
                self._hide()
            case plan.LetGo():
                self._trying("let go", action.conference)
                # Of one that was never seen alive, only what its event showed is known.
                conference = (
                    action.conference
                    if self._link
                    else _canonical(self._services, action.conference)
                )
                shown_as = (
                    None if conference == action.conference else action.conference.conference_id
                )
                self._link = claims.let_go(
                    store, self._at, self._link, conference, now, shown_as=shown_as
                )
                self._settle(conference, now + self._services.rules.delete_grace)
            case plan.Settle():
                self._settle(action.conference, action.due)
            case plan.Delete():
                self._delete(action)
            case plan.Forget():
                self._trying("forget", action.conference)
                if self._link is not None:
                    self._link = claims.forget(store, queue, self._at, self._link, now)
            case _:
                assert_never(action)

    def _trying(self, action: str, conference: ConferenceRef) -> None:
        self._attempt.action, self._attempt.conference = action, conference

    def _put(self, link: Link) -> None:
        assert self._link is not None, "only a linked event's link is changed"
        version = self._services.store.commit([PutLink(link, self._link.version)])[0]
        if version is None:
            raise Conflict
        self._link = Versioned(link, version)

    def _follow(self, action: plan.Follow) -> None:
        """E1, E7: whatever of it the event shows, the conference is followed by its id."""
        shown, services = action.conference, self._services
        self._trying("follow", shown)
        past = self._link.value.lets_go_of(shown) if self._link else None
        conference = past.conference if past else _canonical(services, shown)
        self._link = claims.follow(
            services.store,
            self._at,
            self._link,
            replace(action, conference=conference),
            services.clock(),
            shown_as=None if conference == shown else shown.conference_id,
            seen=self._watched.full_sync_id,
        )
        followed = self._link.value
        if followed.replaces or (
            action.fingerprint and followed.leading and followed.fingerprint is None
        ):
            # It was created anew meanwhile, or told of another event: what was planned is not all
            # there is.
            raise Conflict

    def _send(self, action: plan.Send) -> None:
        """E4, C4: tell the provider; what is gone there is created anew."""
        link = self.link
        if link is None or link.conference is None or not link.leading:
            return  # E7: another event leads
        conference = link.conference
        self._trying("update", conference)
        provider = self._services.provider(conference.provider)
        if link.creating is not None:
            self._create(action)
            return
        if link.fingerprint and not action.changed.isdisjoint(link.fingerprint):
            # Before it is sent: whoever comes after a crash, or an answer that was lost, must not
            # take the provider to know what it knew before, or an event that is changed back would
            # never be sent.
            sure = {
                name: known
                for name, known in link.fingerprint.items()
                if name not in action.changed
            }
            link = replace(link, fingerprint=Fingerprint(sure))
            self._put(link)
        try:
            provider.update(conference.conference_id, action.content, action.changed)
        except Gone:
            self._create(action)
            return
        self._put(
            replace(
                link,
                fingerprint=action.fingerprint,
                approximation=provider.approximation(action.content),
                # Nothing is known of them any more where they are to be told again.
                occurrences={} if action.occurrences else link.occurrences,
                occurrences_pending=action.occurrences,
            )
        )
        self._attempt.counts += Counts(updated=1, lag_seconds=self._lag())

    def _lag(self) -> float:
        """Seconds since the event was changed."""
        updated = self._event.updated
        return max(0.0, (self._services.clock() - updated).total_seconds()) if updated else 0.0

    def _create(self, action: plan.Send) -> None:
        """C4: the intent is written first, under the key that makes a repetition return the same
        conference."""
        assert self._link is not None, "the event is linked"
        link = self._link.value
        assert link.conference is not None, "the event carries a conference"
        self._trying("create", link.conference)
        key = link.creating or uuid.uuid4().hex
        if link.creating is None:
            self._put(replace(link, creating=key, fingerprint=None))
        provider = self._services.provider(link.conference.provider)
        way_in = provider.create(action.content, key)
        # The new conference knows nothing of the series' occurrences.
        occurrences = bool(action.content.recurrence) and provider.rules.occurrences
        created = replace(
            self._link.value,
            creating=None,
            fingerprint=action.fingerprint if link.creating is None else None,
            occurrences={},
            occurrences_pending=occurrences,
            approximation=provider.approximation(action.content),
        )
        if way_in.conference_id == link.conference.conference_id:
            self._put(created)
        else:
            self._link = claims.replace_conference(
                self._services.store,
                self._at,
                self._link,
                way_in.conference_id,
                created,
                self._services.clock(),
            )
        self._attempt.counts += Counts(created=1)
        if link.creating is not None:
            # An earlier try may have made it, for the event as it was then.
            self._send(
                replace(action, changed=frozenset(action.fingerprint), occurrences=occurrences)
            )
        self._show(way_in)
        if occurrences:
            self._send_occurrences(
                plan.SendOccurrences(series=self._at, ical_uid=self._event.ical_uid)
            )

    def _show(self, way_in: WayIn | None) -> None:
        """C4, W1, W4: the event, and every other that carries the conference, gets the new way
        in."""
        assert self._link is not None, "the event is linked"
        link = self._link.value
        if link.conference is None or link.replaces is None:
            return
        self._trying("write back", link.conference)
        services = self._services
        if link.leading:
            for other in services.store.links_of_conference(link.conference):
                if other.value.replaces and other.value.event != self._at:
                    services.queue.enqueue_event(
                        other.value.event.calendar_id, other.value.event.event_id
                    )
        writes = write_back.refuse_loops(link, services.clock())
        if way_in is None:
            way_in = services.provider(link.conference.provider).read(link.conference.conference_id)
        # Counted before it is done: a loop must not escape by crashing.
        self._put(replace(link, writes=writes))
        etag = write_back.show(
            services.calendar,
            self._watched.calendar_id,
            self._watched.access,
            self._event,
            self._item,
            link.conference,
            way_in,
            services.rules,
        )
        self._put(replace(self._link.value, replaces=None, etag=etag))

    def _hide(self) -> None:
        assert self._link is not None, "the event is linked"
        services, link = self._services, self._link.value
        self._attempt.action = "write back"
        self._put(replace(link, writes=write_back.refuse_loops(link, services.clock())))
        etag = write_back.hide(
            services.calendar,
            self._watched.calendar_id,
            self._watched.access,
            self._event,
            services.rules,
        )
        self._put(replace(self._link.value, etag=etag))

    def _settle(self, conference: ConferenceRef, due: datetime) -> None:
        if self._link is None or self._link.value.lets_go_of(conference) is None:
            return
        self._trying("let go", conference)
        self._link = claims.settle(
            self._services.store,
            self._services.queue,
            self._at,
            self._link,
            conference,
            due,
            self._services.clock(),
        )

    def _delete(self, action: plan.Delete) -> None:
        """E2, E3, E7. Where its grace is none, it was let go a moment ago, and perhaps somebody
        else leads already."""
        past = self._link.value.lets_go_of(action.conference) if self._link else None
        if self._link is None or past is None:
            return
        self._trying("delete", past.conference)
        services = self._services
        self._link, deleted = claims.delete(
            services.store,
            services.queue,
            self._at,
            self._link,
            past.conference,
            services.provider(past.conference.provider),
            services.clock(),
        )
        self._attempt.counts += Counts(deleted=int(deleted))

    def _send_occurrence(self, action: plan.SendOccurrence) -> None:
        """E5. A system without occurrences is left alone from now on."""
        assert self._link is not None, "the series is linked"
        link = self._link.value
        self._trying("occurrence", action.conference)
        provider = self._services.provider(action.conference.provider)
        if link.occurrences.get(action.original_start) != plan.UNSURE:
            # As with a series: nobody may rely any more on what was sent before.
            link = replace(
                link, occurrences={**link.occurrences, action.original_start: plan.UNSURE}
            )
            self._put(link)
        try:
            if action.content is None:
                provider.cancel_occurrence(action.conference.conference_id, action.original_start)
            else:
                provider.update_occurrence(
                    action.conference.conference_id, action.original_start, action.content
                )
            self._attempt.counts += Counts(updated=1)
        except NoOccurrences:
            self._put(replace(link, without_occurrences=True))
            return
        except Gone:
            # The occurrence, or the series with it: the series is sent again, and tells which.
            self._put(replace(link, fingerprint=None))
            self._services.queue.enqueue_event(link.event.calendar_id, link.event.event_id)
            return
        self._put(
            replace(
                link, occurrences={**link.occurrences, action.original_start: action.fingerprint}
            )
        )

    def _send_occurrences(self, action: plan.SendOccurrences) -> None:
        """E5: the provider knows none of the series' occurrences that differ; they are told one
        by one."""
        if self._link is None or not self._link.value.leading or action.ical_uid is None:
            return
        if not self._link.value.occurrences_pending:
            return  # told already: a creation tells them itself
        services, watched = self._services, self._watched
        for item in services.calendar.list_exceptions(
            watched.calendar_id, watched.access, action.series.event_id, action.ical_uid
        ):
            event = Event.from_api(item, calendar_zone=watched.time_zone)
            if _shares(services, event, self._link.value):
                for step in plan.plan_occurrence(event, self._link.value, services.rules):
                    self.carry_out(step)
        self._put(replace(self._link.value, occurrences_pending=False))
