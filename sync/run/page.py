"""One page of changes: links read in one round trip, events side by side, never two of one
conference at once (C6)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sync.errors import CredentialsRefused, Malformed
from sync.event import plan
from sync.event.carry_out import Watched, apply_item, id_of, ids_to_know, read_event
from sync.model.calendar import Counts
from sync.model.conference import Link
from sync.model.event import Event, EventId
from sync.services import Services
from sync.store import Known

# While calls are under way, the lease is looked at every few seconds.
_LOOK_SECONDS = 2.0


@dataclass(slots=True)
class Outcome:
    """What became of some events. `complete`: none is left. `linked`: those among them that were
    linked before.

    `refused`: a provider refused our credentials; its events are not done, the others are (C5).
    """

    counts: Counts = field(default_factory=Counts)
    complete: bool = True
    linked: set[EventId] = field(default_factory=set)
    refused: CredentialsRefused | None = None


def concerns_nobody(items: Sequence[Any], known: Known, rules: plan.Rules) -> bool:
    """Tell whether planning all of these items certainly gives nothing to do. Pure."""
    if known.links or known.failures:
        return False
    try:
        return not any(plan.conference_of(Event.from_api(item), rules) for item in items)
    except Malformed:
        return False


def apply_page(
    services: Services,
    watched: Watched,
    items: Sequence[Any],
    *,
    known: Known | None = None,
    keep: Callable[[], None],
    stop_at: datetime,
) -> Outcome:
    """Apply the events of one page, given as Calendar's JSON.

    `known` is what is known of them, if it was read already. `keep` is called every few seconds.
    Order is kept among events that share a conference or a series, masters first; the rest runs
    side by side. At `stop_at` no further event is begun. Raises what concerns the run: LeaseLost,
    TryLater of the store or the queue.
    """
    if not items:
        return Outcome()
    known = known or services.store.get_known(watched.calendar_id, ids_to_know(items))
    groups = grouped(items, known, services.rules)
    outcome = _side_by_side(services, watched, groups, known, keep=keep, stop_at=stop_at)
    outcome.linked = {id_of(item) for item in items} & known.links.keys()
    return outcome


def look_up(
    services: Services,
    watched: Watched,
    event_ids: Sequence[EventId],
    *,
    keep: Callable[[], None],
    stop_at: datetime,
) -> Outcome:
    """Read events by id and apply each as it stands now, deleted ones as deleted. As
    `apply_page`."""
    with ThreadPoolExecutor(services.settings.concurrency, thread_name_prefix="look-up") as pool:
        reading = [pool.submit(read_event, services, watched, event_id) for event_id in event_ids]
        items = []
        for one in reading:
            while not one.done():
                wait([one], timeout=_LOOK_SECONDS)
                keep()
            items.append(one.result())
    keep()
    return apply_page(services, watched, items, keep=keep, stop_at=stop_at)


def grouped(items: Sequence[Any], known: Known, rules: plan.Rules) -> list[list[Any]]:
    """Return the items in groups: what shares an event, a series or a conference is in one group,
    in order.

    Within a group, series and single events come before occurrences: the series owns the conference
    (E5).
    """
    leader: dict[str, str] = {}

    def find(key: str) -> str:
        while leader.setdefault(key, key) != key:
            leader[key] = key = leader[leader[key]]
        return key

    keys_of = [_keys(item, known, rules) for item in items]
    for keys in keys_of:
        for key in keys[1:]:
            leader[find(key)] = find(keys[0])
    groups: dict[str, list[Any]] = {}
    for item, keys in zip(items, keys_of, strict=True):
        groups.setdefault(find(keys[0]), []).append(item)
    return [sorted(group, key=_is_occurrence) for group in groups.values()]


def _is_occurrence(item: Any) -> bool:
    return isinstance(item, dict) and "recurringEventId" in item


def _keys(item: Any, known: Known, rules: plan.Rules) -> list[str]:
    """What an item must not be handled beside: its event, its series, and every conference that
    it may touch."""
    try:
        event = Event.from_api(item)
        carried = plan.conference_of(event, rules)
    except Malformed:
        return [f"malformed {id(item)}"]
    ids = [event.id, *([event.series_id] if event.series_id else [])]
    keys = [f"event {event_id}" for event_id in ids]
    if carried:
        keys.append(f"conference {carried.key}")
    for event_id in ids:
        if event_id in known.links:
            keys += _conferences(known.links[event_id].value)
    return keys


def _conferences(link: Link) -> list[str]:
    held = [link.conference] if link.conference else []
    return [
        f"conference {ref.key}" for ref in [*held, *(past.conference for past in link.letting_go)]
    ]


def _side_by_side(
    services: Services,
    watched: Watched,
    groups: Collection[list[Any]],
    known: Known,
    *,
    keep: Callable[[], None],
    stop_at: datetime,
) -> Outcome:
    outcome = Outcome()

    def in_order(group: list[Any]) -> tuple[Counts, bool, CredentialsRefused | None]:
        counts = Counts()
        for item in group:
            if services.clock() >= stop_at:
                return counts, False, None
            try:
                counts += apply_item(
                    services, watched, item, known_now(group, item), listed=True
                ) + Counts(changes=1)
            except CredentialsRefused as error:
                return counts, True, error
        return counts, True, None

    def known_now(group: list[Any], item: Any) -> Known:
        """What was read with the page, unless an earlier event of the group may have changed it:
        the series' link.

        Another event's own link is safe: whoever changed it has made its version stale.
        """
        if item is group[0] or not _is_occurrence(item):
            return known
        return services.store.get_known(watched.calendar_id, ids_to_know([item]))

    with ThreadPoolExecutor(services.settings.concurrency, thread_name_prefix="apply") as pool:
        waiting: set[Future[tuple[Counts, bool, CredentialsRefused | None]]] = {
            pool.submit(in_order, group) for group in groups
        }
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
                for one in done:
                    counts, complete, refused = one.result()
                    outcome.counts += counts
                    outcome.complete = outcome.complete and complete
                    outcome.refused = outcome.refused or refused
                keep()
        except BaseException:
            for one in waiting:
                one.cancel()
            raise
    return outcome
