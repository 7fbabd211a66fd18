"""Makes one conference for each event and solution, however often it is asked for (A2, A3, A5).

A person picks a solution in Calendar's event form. The event may not exist yet. The steps of a
creation, each of which may be the last one before a crash:

1. `decide` from the event's link: give what was made before, wait for the worker that makes it at
   this moment, or make it.
2. write the intent, a `Creation` with its idempotency key, in the same compare-and-set.
3. enqueue the event's task for the moment when the conference is deleted unless an event carries it
   (A5).
4. call the provider with that key.
5. write the conference's id.

A repetition finds the intent and calls the provider with the same key. Not every system knows an
idempotency key: two calls at the same moment would make two conferences there. So whoever calls is
noted (`busy_until`), and the others wait for the result. A worker that was frozen meanwhile finds
another id written in step 5, and gives its own conference away to be deleted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias, assert_never

from sync.backoff import asked_twice
from sync.context import Services
from sync.errors import Conflict, Gone, Malformed, SyncError, TryLater
from sync.event.content import content_of
from sync.event.creation import placeholder
from sync.event.recognise import linked_as
from sync.model.conference import ConferenceContent, Creation, EventRef, Link, WayIn
from sync.model.event import ConferenceId, Event, digest
from sync.store.compare_and_set import change_link
from sync.tracing import carried

# So long after the last sign of life of whoever calls the provider, another worker may call.
BUSY = timedelta(seconds=10)
_SIGN_OF_LIFE_SECONDS = 3.0
# How often a worker that waits for another one looks for the result.
_LOOK_AGAIN_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Which solution a person picked for which event. `user` is the person's address.

    `ical_uid` is the event's, None while the event is a draft.
    """

    event: EventRef
    solution: str
    provider: str
    user: str
    ical_uid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Give:
    """The conference was made before. While no event carries it, it lives on from now (A5)."""

    made: Creation


@dataclass(frozen=True, slots=True, kw_only=True)
class Await:
    """Another worker calls the provider at this moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    """Call the provider. `fresh`: nobody did with this key before."""

    made: Creation
    fresh: bool


Decision: TypeAlias = Give | Await | Make


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a person gets. `created` is false where the conference was there already."""

    way_in: WayIn
    created: bool


def decide(link: Link, order: Order, now: datetime, due: datetime) -> Decision:
    """Return what to do about an order, given what was made for the event so far. Pure.

    `due`: when the conference is deleted if no event carries it by then. A link without creations
    gives `Make` with `count` 1. One whose last conference was deleted gives `Make` with the next
    count, and so another key.
    """
    asked = [made for made in link.creations if made.solution == order.solution]
    last = max(asked, key=lambda made: made.count, default=None)
    if last is None or last.deleted or last.provider != order.provider:
        count = last.count + 1 if last else 1
        return Make(made=_intent(order, count, now, due), fresh=True)
    if last.conference_id is not None:
        return Give(made=replace(last, due=due) if last.open else last)
    if last.busy_until is not None and last.busy_until > now:
        return Await()
    return Make(made=replace(last, due=due, busy_until=now + BUSY), fresh=False)


def _intent(order: Order, count: int, now: datetime, due: datetime) -> Creation:
    event = order.event
    return Creation(
        key=digest(event.calendar_id, event.event_id, order.solution, str(count)),
        provider=order.provider,
        since=now,
        due=due,
        solution=order.solution,
        count=count,
        subject=order.user,
        host=order.user,
        busy_until=now + BUSY,
        ical_uid=order.ical_uid,
    )


def conference_for(
    services: Services, order: Order, event: Event | None, *, give_up: float
) -> Given:
    """Return the conference of an order, and make it if there is none. Safe to repeat, and at once.

    `event` is the event as it stands, None while it is a draft. `give_up`, a moment of
    `time.monotonic`, ends the waiting for another worker. Raises TryLater, and what the provider
    says: NotAllowed, Invalid, Gone.
    """
    while time.monotonic() < give_up:
        decision = _decided(services, order)
        try:
            match decision:
                case Give(made=made):
                    _schedule_end(services, order.event, made)
                    if way_in := _read(services, order, made):
                        return Given(way_in=way_in, created=False)
                case Make():
                    way_in = _make(services, order, decision, event)
                    return Given(way_in=way_in, created=True)
                case Await():
                    time.sleep(_LOOK_AGAIN_SECONDS)
                case _:
                    assert_never(decision)
        except Conflict:
            continue
    raise TryLater("another worker has been making this conference for long")


def _decided(services: Services, order: Order) -> Decision:
    """Decide and note the decision, again from the start if another worker wrote meanwhile."""
    decisions: list[Decision] = []

    def noted(link: Link) -> Link:
        now = services.clock()
        decision = decide(link, order, now, now + services.settings.adopt)
        decisions.append(decision)
        return link if isinstance(decision, Await) else _with(link, decision.made)

    change_link(services.store, order.event, noted, create=True)
    return decisions[-1]


def _schedule_end(services: Services, event: EventRef, made: Creation) -> None:
    """A5: enqueue the look at the event that deletes what it does not carry by then.

    The task's name keeps a repetition from enqueuing another one. A later `due` has its own task.
    """
    if not made.open:
        return
    name = digest(made.key, made.due.isoformat())
    services.queue.enqueue_event(event.calendar_id, event.event_id, name=name, at=made.due)


def _read(services: Services, order: Order, made: Creation) -> WayIn | None:
    """Return the way into a conference. None if the system has lost it, which is then noted."""
    if made.conference_id is None:
        raise Conflict
    provider, known = services.providers[order.provider], made.conference_id
    try:
        # One that is there after all would be left without an event (C4).
        return asked_twice(lambda: provider.read(known, made.host))
    except Gone:
        change_link(services.store, order.event, lambda link: _without(link, made.key))
        return None


def _make(services: Services, order: Order, decision: Make, event: Event | None) -> WayIn:
    """Call the provider under the key that was written, and write what it made."""
    made = decision.made
    content = _content(order, event, made)
    sent = False
    try:
        _schedule_end(services, order.event, made)
        with _busy(services, order.event, made):
            sent = True
            way_in = services.providers[order.provider].create(content, made.key, made.host)
    except Conflict:
        raise
    except SyncError as error:
        nothing_made = decision.fresh and not (sent and _may_have_made(error, content))
        with suppress(SyncError):
            # Else the intent is free again in some seconds, and ended when it is due.
            _give_back(services, order.event, made, forget=nothing_made)
        raise
    return _recorded(services, order.event, made, way_in)


def _content(order: Order, event: Event | None, made: Creation) -> ConferenceContent:
    """A2: what the event says. While it is a draft, or without times, a placeholder."""
    if event is not None and not event.hidden:
        with suppress(Malformed):
            # A repetition may find an event where the first call found a draft, and has to name
            # the same event under the same key.
            return replace(content_of(event, order.event), ical_uid=made.ical_uid)
    return replace(placeholder(order.event, made.since), organizer=order.user)


def _may_have_made(error: SyncError, content: ConferenceContent) -> bool:
    """Tell whether the system may have a conference of ours although it answered an error.

    A series may take several calls, of which the first one made the conference.
    """
    unknown = isinstance(error, TryLater) and error.outcome_unknown
    return unknown or bool(content.recurrence)


@contextmanager
def _busy(services: Services, event: EventRef, made: Creation) -> Iterator[None]:
    """Keep others waiting for as long as this process lives and calls the provider."""
    if made.busy_until is None or services.clock() >= made.busy_until:
        raise Conflict  # this worker was frozen since it wrote the intent
    over = threading.Event()

    def renewed(known: Creation) -> Creation:
        return replace(known, busy_until=services.clock() + BUSY)

    def renew() -> None:
        while not over.wait(_SIGN_OF_LIFE_SECONDS):
            with suppress(SyncError):
                _change_pending(services, event, made, renewed)

    thread = threading.Thread(target=carried(renew), name="addon-busy", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def _give_back(services: Services, event: EventRef, made: Creation, *, forget: bool) -> None:
    """Let the next try begin at once. `forget`: nothing was made, so nothing is remembered."""
    _change_pending(
        services, event, made, lambda known: None if forget else replace(known, busy_until=None)
    )


def _change_pending(
    services: Services,
    event: EventRef,
    made: Creation,
    change: Callable[[Creation], Creation | None],
) -> None:
    """Change a creation whose answer is still to come. None forgets it.

    Nothing is changed once another worker has taken it over, which moves `due`.
    """

    def changed(link: Link) -> Link:
        known = _by_key(link, made.key)
        if known is None or known.conference_id is not None or known.deleted:
            return link
        if known.due != made.due:
            return link
        new = change(known)
        if new is not None:
            return _with(link, new)
        left = tuple(each for each in link.creations if each.key != made.key)
        return replace(link, creations=left)

    change_link(services.store, event, changed)


def _recorded(services: Services, event: EventRef, made: Creation, way_in: WayIn) -> WayIn:
    """Write the conference's id. Raises Conflict if another worker wrote another one.

    Ours is then made for nobody: it is noted as a creation of its own that is due at once.
    """

    def noted(link: Link) -> Link:
        known = _by_key(link, made.key) or made
        if known.conference_id == way_in.conference_id and not known.deleted:
            return link
        if known.conference_id is None and not known.deleted:
            done = replace(
                known,
                conference_id=way_in.conference_id,
                busy_until=None,
                linked_as=linked_as(way_in, services.providers[made.provider].rules),
            )
            return _with(link, done)
        return _with(link, _surplus(services, made, way_in.conference_id))

    document = change_link(services.store, event, noted, create=True)
    known = _by_key(document.value, made.key) if document else None
    if known is not None and known.conference_id == way_in.conference_id and not known.deleted:
        return way_in
    services.queue.enqueue_event(event.calendar_id, event.event_id)
    raise Conflict


def _surplus(services: Services, made: Creation, conference_id: ConferenceId) -> Creation:
    return Creation(
        key=digest(made.key, conference_id),
        provider=made.provider,
        since=made.since,
        due=services.clock(),
        conference_id=conference_id,
        subject=made.subject,
        host=made.host,
    )


def _by_key(link: Link, key: str) -> Creation | None:
    return next((made for made in link.creations if made.key == key), None)


def _with(link: Link, made: Creation) -> Link:
    """Return a link with this creation, in the place of the one with the same key."""
    if _by_key(link, made.key) is None:
        return replace(link, creations=(*link.creations, made))
    creations = tuple(made if each.key == made.key else each for each in link.creations)
    return replace(link, creations=creations)


def _without(link: Link, key: str) -> Link:
    """Return a link that remembers this creation's conference as deleted."""
    known = _by_key(link, key)
    return link if known is None else _with(link, replace(known, deleted=True))
