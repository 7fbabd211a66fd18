"""What we made for an event, or may have made, comes to its end (C4, A5): carried, or deleted.

A `Creation` is written into the event's link before the provider is called, with the idempotency
key. Whatever happens then (a lost answer, a crash, the event deleted, the calendar stopped), the
creation is either carried by the event, or found by its key and deleted.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sync.context import Run
from sync.errors import Conflict
from sync.event import sharing
from sync.event.case import Case
from sync.model.calendar import Counts
from sync.model.conference import (
    Carried,
    ConferenceContent,
    ConferenceRef,
    Creation,
    EventRef,
    LettingGo,
    Link,
)
from sync.model.event import ConferenceId, EventTime
from sync.store import PutLink

# A creation that is closed is remembered for so long: a repetition must find that it is.
REMEMBERED = timedelta(days=30)


def pending(link: Link, conference: ConferenceRef) -> Creation | None:
    """Return the creation in place of a conference whose outcome is not known yet (C4), if any."""
    return next(
        (
            made
            for made in link.creations
            if made.open and made.conference_id is None and made.is_for(conference)
        ),
        None,
    )


def end(run: Run, case: Case, made: Creation) -> None:
    """Delete what a creation made, which the event does not carry. Of unknown outcome: see `learn`.

    Raises Conflict, and what the provider says. A repetition is safe.
    """
    if made.conference_id is None:
        if learn(run, case, made) is not None:
            raise Conflict
        return
    ref = ConferenceRef(provider=made.provider, conference_id=made.conference_id)
    unused = LettingGo(
        conference=ref, since=made.since, due=made.due, proven_for="", host=made.host
    )
    # As with a conference that was let go: whoever links an event to it meanwhile is kept out, and
    # it is remembered whose it was.
    if sharing.delete(run, case, unused):
        case.counts += Counts(deleted=1)
    elif _carried_by_another(run, ref):
        # A copy carries it, so the creation has an event.
        note(run, case, replace(made, carried=True))
    else:
        note(run, case, replace(made, deleted=True))


def learn(run: Run, case: Case, made: Creation) -> Creation | None:
    """Find by its key what a creation made, and note the id, or that there is nothing (None).

    Only by its id can anybody tell whether the event carries it (A5). Of one event, a creation that
    is repeated has the key of the first, so it may be the conference that has led for weeks.
    """
    run.still_ours()
    content = replace(placeholder(case.ref, made.since), ical_uid=made.ical_uid)
    found = run.provider(made.provider).find_made(content, made.key, made.host)
    known = replace(made, conference_id=found, deleted=found is None)
    note(run, case, known)
    return None if found is None else known


def _carried_by_another(run: Run, ref: ConferenceRef) -> bool:
    return bool(run.store.links_of_conference(ref))


def note(run: Run, case: Case, made: Creation) -> None:
    """Write what became of a creation into the event's link. Raises Conflict."""
    link = case.remembered
    case.put(run, replace(link, creations=_with(link.creations, made)))


def _with(creations: tuple[Creation, ...], made: Creation) -> tuple[Creation, ...]:
    return tuple(made if each.key == made.key else each for each in creations)


def replace_by(
    run: Run,
    case: Case,
    creations: tuple[Creation, ...],
    new_id: ConferenceId,
    carried: Carried,
) -> None:
    """Note that the event's conference was created anew under another id. Raises Conflict."""
    before = case.link
    if before is None:
        raise Conflict
    case.link = replace(before, value=replace(before.value, creations=creations))
    try:
        sharing.replace_conference(run, case, new_id, carried)
    except Conflict:
        case.link = before
        raise


def not_needed(run: Run, ref: EventRef, made: Creation) -> None:
    """S8: another run took the event over while we created. Ours stays only if it is theirs, too.

    With one key both runs get the same conference from most systems, and then there is nothing to
    do. Else ours is deleted, or noted as open, so that it is deleted later.
    """
    found = run.store.get_known(ref.calendar_id, [ref.event_id]).links.get(ref.event_id)
    link = found.value if found else Link(event=ref)
    carried = link.carried
    if carried is not None and carried.conference.conference_id == made.conference_id:
        return
    left = replace(made, carried=False, due=run.clock())
    known = [each for each in link.creations if each.key == made.key]
    if known and known[0].conference_id is None and known[0].open:
        return  # still under way there: it ends with the same key
    creations = (*(each for each in link.creations if each.key != made.key), left)
    version = found.version if found else None
    run.store.commit([PutLink(replace(link, creations=creations), version)])
    run.queue.enqueue_event(ref.calendar_id, ref.event_id)


def tidy(link: Link, now: datetime) -> Link:
    """Return a link without the creations that were closed long ago."""
    kept = tuple(made for made in link.creations if made.open or made.due + REMEMBERED > now)
    return replace(link, creations=kept)


def placeholder(ref: EventRef, moment: datetime) -> ConferenceContent:
    """Return what a provider is told of an event that does not exist yet, or any more (A2, C4)."""
    start = moment.replace(second=0, microsecond=0)
    return ConferenceContent(
        event=ref,
        title="Conference",
        description="",
        start=EventTime(moment=start, time_zone="UTC"),
        end=EventTime(moment=start + timedelta(hours=1), time_zone="UTC"),
    )
