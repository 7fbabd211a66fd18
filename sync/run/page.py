"""One page of changes: links read in one round trip, events side by side (C6).

What concerns nobody meets no thread. Never are two events that share a conference or a series
handled at once: they form a group, and a group runs in order, series before occurrences.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from sync.context import Run
from sync.errors import CredentialsRefused, Malformed
from sync.event.carry_out import apply_entry, ids_to_know, read_entry
from sync.event.recognise import shown_by
from sync.model.calendar import Counts
from sync.model.conference import ConferenceRef, Link
from sync.model.event import Entry, Event, EventId
from sync.model.items import Items
from sync.model.provider import Rules
from sync.store import Known
from sync.tracing import carried

# While calls are under way, the lease is looked at every few seconds.
_LOOK_SECONDS = 2.0

Keep = Callable[[], None]
"""Called every few seconds while events are applied: extends the lease."""


@dataclass(slots=True)
class Outcome:
    """What became of some events.

    `complete`: none is left. `linked`: those among them that were linked before. `refused` names
    why a provider refused our credentials: its events are not done, the others are (C5).
    """

    counts: Counts = field(default_factory=Counts)
    complete: bool = True
    linked: set[EventId] = field(default_factory=set)
    refused: Refusal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A provider that refuses our credentials, and what an operator can do about that."""

    provider: str
    reason: str


def ids_of(items: Items) -> set[EventId]:
    """Return the ids of events whose links planning a page needs."""
    return ids_to_know(items.entries).union(items.plain)


def concerning(items: Items, known: Known, rules: Rules) -> list[Entry]:
    """Return the entries for which there may be something to do. Pure.

    A plain event without a conference, a link or a failure concerns nobody. A deleted entry of
    which only the id is left may be an occurrence of a series that we follow, so it concerns us.
    """
    remembered = items.opened({**known.links, **known.failures})
    return [entry for entry in items.entries if _concerns(entry, known, rules)] + remembered


def _concerns(entry: Entry, known: Known, rules: Rules) -> bool:
    event = entry.event
    if event is None or event.bare or entry.id in known.links or entry.id in known.failures:
        return True
    if event.series_id is not None and event.series_id in known.links:
        return True
    return _shown_key(event, rules) is not None


def _shown_key(event: Event, rules: Rules) -> str | None:
    """What an event's conference is known by while events are grouped. None: it shows none."""
    try:
        shown = shown_by(event, rules)
    except Malformed:
        return f"malformed {event.id}"
    return f"conference {shown.conference.key}" if shown else None


def apply_page(run: Run, items: Items, keep: Keep, known: Known | None = None) -> Outcome:
    """Apply the events of one page. At the run's `stop_at` no further event is begun.

    `known` is what is remembered of them, if it was read already. Safe to repeat. Raises what
    concerns the run: LeaseLost, TryLater of the store or the queue.
    """
    if not len(items):
        return Outcome()
    if known is None:
        known = run.store.get_known(run.calendar_id, ids_of(items))
    concerned = concerning(items, known, run.rules)
    outcome = _side_by_side(run, grouped(concerned, known, run.rules), known, keep)
    outcome.counts += Counts(changes=len(items) - len(concerned))
    listed = {entry.id for entry in items.entries}.union(items.plain)
    outcome.linked = known.links.keys() & listed
    return outcome


def look_up(run: Run, event_ids: Sequence[EventId], keep: Keep) -> Outcome:
    """Read events by id and apply each as it stands now, deleted ones as deleted."""
    with ThreadPoolExecutor(run.limits.concurrency, thread_name_prefix="look-up") as pool:
        reading = [pool.submit(carried(read_entry), run, event_id) for event_id in event_ids]
        entries = []
        for one in reading:
            while not one.done():
                wait([one], timeout=_LOOK_SECONDS)
                keep()
            entries.append(one.result())
    keep()
    return apply_page(run, Items(entries=entries), keep)


def grouped(entries: Sequence[Entry], known: Known, rules: Rules) -> list[list[Entry]]:
    """Return the entries in groups: what shares an event, a series or a conference, in order.

    Within a group, series and single events come before occurrences: the series owns the
    conference (E5). `[A1, B, A2]` with A1 and A2 showing one conference gives `[[A1, A2], [B]]`.
    """
    leader: dict[str, str] = {}

    def find(key: str) -> str:
        while leader.setdefault(key, key) != key:
            leader[key] = key = leader[leader[key]]
        return key

    keys_of = [_keys(entry, known, rules) for entry in entries]
    for keys in keys_of:
        for key in keys[1:]:
            leader[find(key)] = find(keys[0])
    groups: dict[str, list[Entry]] = {}
    for entry, keys in zip(entries, keys_of, strict=True):
        groups.setdefault(find(keys[0]), []).append(entry)
    return [sorted(group, key=_is_occurrence) for group in groups.values()]


def _is_occurrence(entry: Entry) -> bool:
    return entry.event is not None and entry.event.series_id is not None


def _keys(entry: Entry, known: Known, rules: Rules) -> list[str]:
    """What an entry must not be handled beside: event, series, every conference it may touch."""
    event = entry.event
    ids = [entry.id]
    if event is not None and event.series_id is not None:
        ids.append(event.series_id)
    keys = [f"event {event_id}" for event_id in ids]
    if event is not None and (shown := _shown_key(event, rules)):
        keys.append(shown)
    for event_id in ids:
        if event_id in known.links:
            keys += [f"conference {ref.key}" for ref in _conferences(known.links[event_id].value)]
    return keys


def _conferences(link: Link) -> list[ConferenceRef]:
    carried_now = [link.carried.conference] if link.carried else []
    return [*carried_now, *(past.conference for past in link.letting_go)]


@dataclass(frozen=True, slots=True)
class _Done:
    """What became of one group."""

    counts: Counts
    complete: bool = True
    refused: Refusal | None = None


def _side_by_side(run: Run, groups: Collection[list[Entry]], known: Known, keep: Keep) -> Outcome:
    outcome = Outcome()
    if not groups:
        return outcome
    workers = min(run.limits.concurrency, len(groups))
    with ThreadPoolExecutor(workers, thread_name_prefix="apply") as pool:
        waiting: set[Future[_Done]] = {
            pool.submit(carried(_in_order), run, group, known) for group in groups
        }
        try:
            while waiting:
                finished, waiting = wait(
                    waiting, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED
                )
                for done in (one.result() for one in finished):
                    outcome.counts += done.counts
                    outcome.complete = outcome.complete and done.complete
                    outcome.refused = outcome.refused or done.refused
                keep()
        except BaseException:
            for one in waiting:
                one.cancel()
            raise
    return outcome


def _in_order(run: Run, group: Sequence[Entry], known: Known) -> _Done:
    counts = Counts()
    for place, entry in enumerate(group):
        if run.clock() >= run.stop_at:
            return _Done(counts, complete=False)
        if place and _is_occurrence(entry):
            # An earlier event of the group may have changed its series' link. Another event's own
            # link is safe: whoever changed it has made its version stale.
            known = run.store.get_known(run.calendar_id, ids_to_know([entry]))
        try:
            counts += apply_entry(run, entry, known, listed=True) + Counts(changes=1)
        except CredentialsRefused as error:
            return _Done(counts, refused=Refusal(provider=error.provider, reason=str(error)))
    return _Done(counts)
