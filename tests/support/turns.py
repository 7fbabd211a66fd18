"""Plays two workers in the orders of their calls: bounded exhaustive, by the changes between them.

Every call to the store, the queue, the provider and Calendar is a step. An order is named by the
lengths of its turns: in `(3, 2)` the first worker makes three calls and the second one two. Then
the first goes on to its end, and the second one to its own. So `(3, 2)` changes twice before an
end (a context switch, a preemption), and `(3,)` once.

    for order in every_order(lambda: Pair(bench, run, stop), changes=2):
        print(order.wrong or "in step")

Two calls that touch different things, or only read, may change places, and all ends the same. Of
orders that differ in nothing else, one is played (partial-order reduction).
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from tests.support.fates import Fate

# Nobody waits for so long but for a mistake in a test.
_LONGEST_SECONDS = 120.0
# A turn without an end.
_WHOLE = 1_000_000

# What a call touches. A call that is not named touches everything.
_READS = {
    "calendars": {"get_calendar", "list_calendars", "count_calendars", "count_failing_calendars"},
    "links": {
        "get_known",
        "get_conference",
        "links_of_conference",
        "links_of_calendar",
        "links_due",
    },
    "failures": {"get_known", "get_failure", "list_failures", "failures_due", "count_failures"},
    "events": {"list_changes", "get_event", "list_exceptions", "access_role"},
    "provider": {"look", "read", "canonical"},
    "queue": {"pending"},
}
_WRITES = {
    "calendars": {"create_calendar", "update_calendar", "delete_calendar"},
    "links": {"commit", "mark_seen"},
    "failures": {"put_failure", "delete_failure"},
    "events": {"patch_event"},
    "channels": {"watch", "stop_channel"},
    "provider": {
        "create",
        "update",
        "delete",
        "find_made",
        "update_occurrence",
        "cancel_occurrence",
    },
    "queue": {"enqueue_calendar", "enqueue_event", "drop"},
}
_EVERYTHING = frozenset(_READS) | frozenset(_WRITES)


class Pair(Protocol):
    """Two workers in a world of their own. Each is given its fate, which counts its calls."""

    def work(self, worker: int, fate: Fate) -> None:
        """Let the first worker, 0, or the second, 1, do all its work."""

    def at_change(self) -> None:
        """What the world does whenever the turn changes."""

    def check(self) -> None:
        """Let the world come to rest. Raise AssertionError for what is not as it must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order that was played.

    `lengths` of the turns that ended before a worker's end, and `stopped`: before which calls.
    `calls`: each worker's, those of the first in front. `wrong`: None if all was in step at last.
    """

    lengths: tuple[int, ...]
    calls: tuple[tuple[str, ...], tuple[str, ...]]
    stopped: tuple[str, ...]
    wrong: str | None = None

    def __str__(self) -> str:
        turns = ",".join(map(str, self.lengths))
        return f"turns {turns}, which end before {', '.join(self.stopped)}: {self.wrong}"


class Turns:
    """Lets two workers through to their calls, one at a time, in turns of these lengths."""

    def __init__(self, lengths: Sequence[int], at_change: Callable[[], None]) -> None:
        self._lengths, self._at_change = tuple(lengths), at_change
        self._condition = threading.Condition()
        self._turn = self._made = 0
        self._ended: set[int] = set()
        self.calls: tuple[list[str], list[str]] = ([], [])
        self.stopped: list[str] = []

    def begin(self, worker: int) -> None:
        with self._condition:
            self._wait(worker)

    def before(self, worker: int, name: str) -> None:
        with self._condition:
            self._wait(worker)
            if self._is_over():
                self.stopped.append(name)
                self._turn, self._made = self._turn + 1, 0
                self._at_change()
                self._condition.notify_all()
                self._wait(worker)
            self._made += 1
            self.calls[worker].append(name)

    def end(self, worker: int) -> None:
        with self._condition:
            self._ended.add(worker)
            self._condition.notify_all()

    def _is_over(self) -> bool:
        """Once a worker came to its end, the other one goes on without a change."""
        if self._ended or self._turn == len(self._lengths):
            return False
        return self._made == self._lengths[self._turn]

    def _wait(self, worker: int) -> None:
        def may() -> bool:
            return 1 - worker in self._ended or self._turn % 2 == worker

        assert self._condition.wait_for(may, _LONGEST_SECONDS), "the other worker does not end"


@dataclass(frozen=True, slots=True)
class _InTurns:
    """The fate of one of the two workers."""

    turns: Turns
    worker: int

    def before(self, name: str) -> None:
        self.turns.before(self.worker, name)

    def after(self, name: str) -> None:
        """The turn ends before the next call."""


def play(pair: Pair, lengths: Sequence[int]) -> Order:
    """Play one order. Raises what a worker raises that is no mere refusal."""
    turns = Turns(lengths, pair.at_change)
    broken: list[BaseException] = []

    def live(worker: int) -> None:
        try:
            turns.begin(worker)
            pair.work(worker, _InTurns(turns, worker))
        except BaseException as error:  # told by the thread that waits
            broken.append(error)
        finally:
            turns.end(worker)

    threads = [threading.Thread(target=live, args=(worker,), daemon=True) for worker in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * _LONGEST_SECONDS)
        assert not thread.is_alive(), "a worker does not end"
    if broken:
        raise broken[0]
    wrong = None
    try:
        pair.check()
    except AssertionError as error:
        wrong = str(error)
    return Order(
        lengths=tuple(lengths[: len(turns.stopped)]),
        calls=(tuple(turns.calls[0]), tuple(turns.calls[1])),
        stopped=tuple(turns.stopped),
        wrong=wrong,
    )


def every_order(make: Callable[[], Pair], *, changes: int, reduced: bool = True) -> Iterator[Order]:
    """Play every order in which the turn changes up to so many times, once or twice.

    The first worker begins. `reduced`: orders that end alike whatever happens are played once.
    Not for a world that changes whenever the turn does.
    """
    alone = play(make(), (_WHOLE,))
    yield alone
    others, last = alone.calls[1], len(alone.calls[0])
    rest: dict[tuple[int, int], tuple[str, ...]] = {}
    for first in range(last - 1, 0, -1):
        following = alone.calls[0][first]
        if changes < 2 and reduced and _independent(following, others):
            continue  # ends like the order before
        once = play(make(), (first, _WHOLE))
        yield once
        others = once.calls[1]
        rest[first, len(others)] = once.calls[0][first:]
        if changes < 2:
            continue
        for second in range(1, len(others)):
            before = rest.get((first, second - 1), alone.calls[0][first:])
            if reduced and _independent(others[second - 1], before):
                rest[first, second] = before
            elif reduced and _independent(following, others[:second]):
                rest[first, second] = (following, *rest.get((first + 1, second), ()))
            else:
                order = play(make(), (first, second))
                rest[first, second] = order.calls[0][first:]
                yield order


def some_orders(make: Callable[[], Pair], *, number: int, seed: str) -> Iterator[Order]:
    """Play so many orders whose turns are drawn by chance, with as many changes as there may be."""
    drawn = random.Random(seed)
    for _ in range(number):
        longest = drawn.choice([2, 5, 15])
        yield play(make(), [drawn.randint(1, longest) for _ in range(200)])


def _independent(call: str, others: Sequence[str]) -> bool:
    """A call may be made before or after these others, and all ends the same."""
    return all(_commute(call, other) for other in others)


def _commute(one: str, other: str) -> bool:
    reads, writes = _touched(one)
    also_reads, also_writes = _touched(other)
    return writes.isdisjoint(also_reads | also_writes) and reads.isdisjoint(also_writes)


def _touched(name: str) -> tuple[frozenset[str], frozenset[str]]:
    """What a call reads, and what it writes."""
    call = name.rpartition(".")[2]
    reads = frozenset(thing for thing, calls in _READS.items() if call in calls)
    writes = frozenset(thing for thing, calls in _WRITES.items() if call in calls)
    return (reads, writes) if reads or writes else (frozenset(), _EVERYTHING)
