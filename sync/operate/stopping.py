"""Stopping a calendar: its channel and its state go, its conferences stay (H3, H4).

What we made and no event carries is not forgotten with the calendar: the creation stays until it
has come to its end (C4).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sync.context import Run, Services
from sync.errors import Conflict, CredentialsRefused, LeftAlone, SyncError, TryLater
from sync.event import creation, failures, sharing
from sync.event.carry_out import read_entry
from sync.event.case import Case
from sync.event.recognise import shown_by, still_stands
from sync.model.calendar import Access, Channel
from sync.model.conference import ConferenceRef, Creation, Link
from sync.model.event import CalendarId, Entry, Event, EventId
from sync.operate import channels
from sync.store import DropLink, PutLink, Versioned, all_pages

# A run that goes on while its calendar is stopped ends by then, and what it wrote is forgotten.
_CLEAN_UP_AFTER = timedelta(minutes=2)
# So often it is checked that nobody starts the calendar again while its links are forgotten.
_CHECKED_EVERY = 50
_LOOK_AGAIN = timedelta(days=1)


def stop(services: Services, calendar_id: CalendarId) -> None:
    """Stop a calendar's channels and forget everything about it (H3). Safe to repeat.

    Where events of other calendars carry the same conferences, one of them leads from now on (E7).
    """
    document = services.store.get_calendar(calendar_id)
    while document is not None:
        try:
            # First the calendar, so that a run under way loses its lease.
            services.store.delete_calendar(calendar_id, document.version)
            break
        except Conflict:
            document = services.store.get_calendar(calendar_id)
    if document is not None:
        services.queue.enqueue_calendar(calendar_id, at=services.clock() + _CLEAN_UP_AFTER)
        for channel in document.value.channels:
            # One that cannot be stopped now is stopped when it rings.
            channels.stop(services, document.value.access, channel)
    forget_if_stopped(services, calendar_id)


def forget_if_stopped(services: Services, calendar_id: CalendarId) -> None:
    """Forget the links and failures of a calendar that is not started. Safe to repeat (H4)."""
    if services.store.get_calendar(calendar_id) is not None:
        return
    for place, link in enumerate(services.store.links_of_calendar(calendar_id), start=1):
        _forget_link(services, link)
        if place % _CHECKED_EVERY == 0 and services.store.get_calendar(calendar_id) is not None:
            return
    # What is left has something of ours that is not ended, and keeps the failure that says why.
    kept = {link.value.event.key for link in services.store.links_of_calendar(calendar_id)}
    for failure in all_pages(
        lambda token: services.store.list_failures(calendar_id=calendar_id, page_token=token)
    ):
        if failure.value.id not in kept:
            services.store.delete_failure(failure.value.id)


def clean_up(
    services: Services, calendar_id: CalendarId, event_id: EventId | None, rang: Channel | None
) -> None:
    """Do what is left to do for a calendar that is not started and was asked for all the same.

    A channel that rang is stopped, links that a late run wrote are forgotten, and a creation for
    the event comes to its end.
    """
    if rang is not None:
        channels.stop(services, Access(), rang)
    if event_id is not None:
        end_creations(services, calendar_id, event_id)
    forget_if_stopped(services, calendar_id)


def _forget_link(services: Services, link: Versioned[Link]) -> None:
    current: Versioned[Link] | None = link
    event = link.value.event
    while current is not None:
        try:
            kept = tuple(made for made in current.value.creations if made.open)
            if current.value.carried is None and current.value == Link(event=event, creations=kept):
                if not kept:
                    services.store.commit([DropLink(event, current.version)])
                return
            sharing.hand_on_past(services.store, services.queue, current, services.clock())
            current = sharing.forget(services.store, services.queue, current, services.clock())
            if current is None:
                return
            # What it had let go, and no other event carries, stays as well: nobody is left to look
            # after the grace.
            left = Link(event=event, creations=kept)
            if left.empty:
                services.store.commit([DropLink(event, current.version)])
            else:
                services.store.commit([PutLink(left, current.version)])
            return
        except Conflict:
            found = services.store.get_known(event.calendar_id, [event.event_id]).links
            current = found.get(event.event_id)


def end_creations(services: Services, calendar_id: CalendarId, event_id: EventId) -> None:
    """Bring what was made for an event of a calendar that is not started to its end (C4, A5).

    A conference whose event we cannot read stays, is listed as left alone, and looked at again.
    """
    link = services.store.get_known(calendar_id, [event_id]).links.get(event_id)
    if link is None:
        return
    now = services.clock()
    for made in link.value.creations:
        if not made.open or made.due > now:
            continue
        known = services.store.get_known(calendar_id, [event_id])
        run = services.run(
            calendar_id,
            services.calendars.bind(calendar_id, Access(subject=made.subject)),
            still_ours=lambda: None,
            stop_at=now + services.settings.run_limit,
        )
        case = Case(
            ref=run.ref(event_id),
            entry=Entry.deleted(event_id),
            event=Event.deleted(event_id),
            link=known.links.get(event_id),
            failure=known.failures.get(event_id),
        )
        _end(run, case, made)


def _end(run: Run, case: Case, made: Creation) -> None:
    """Delete what was made, unless the event carries it. What fails is retried, or parked (C5)."""
    ref = None
    if made.conference_id is not None:
        ref = ConferenceRef(provider=made.provider, conference_id=made.conference_id)
    case.trying("delete", ref)
    try:
        known = made if made.conference_id else creation.learn(run, case, made)
        if known is not None:
            made = known  # with its id, which is kept where nobody can tell who carries it
            if _is_carried(run, case, made):
                creation.note(run, case, replace(made, carried=True))
            else:
                creation.end(run, case, made)
    except LeftAlone as left:
        failures.leave(run, case, left)
        creation.note(run, case, replace(made, due=run.clock() + _LOOK_AGAIN))
    except (Conflict, CredentialsRefused):
        raise
    except Exception as error:
        failures.hand_over(run, case, error)
    else:
        failures.applied(run, case)


def _is_carried(run: Run, case: Case, made: Creation) -> bool:
    """A5: a conference that an event carries is never deleted. Raises LeftAlone if that is open."""
    try:
        entry = read_entry(run, case.ref.event_id)
        shown = shown_by(entry.event, run.rules) if entry.event else None
    except TryLater:
        raise
    except SyncError as error:
        raise LeftAlone(
            "it was made for this event and the calendar is not started, so nobody can tell "
            f"whether the event carries it; start the calendar ({error})",
            rule="A5",
        ) from error
    if entry.event is None or entry.event.hidden:
        raise LeftAlone("it was made for this event, and the event cannot be read", rule="A5")
    if entry.event.cancelled or made.conference_id is None:
        return False
    if shown is not None and shown.conference.conference_id == made.conference_id:
        return True
    return still_stands(entry.event, made.provider, frozenset({made.conference_id}), run.rules)
