"""The scheduler that plays two workers at once: it finds a lost update, and leaves out nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from tests.support.fates import Fate
from tests.support.turns import every_order, play, some_orders

READ, WRITE = "store.get_calendar", "store.update_calendar"
# Calls on two things, of which one is read and written by both workers.
CALLS = (READ, WRITE, "store.get_failure", "store.put_failure", "my-web.look", "my-web.update")


class Counted:
    """Two workers without compare-and-set: each reads a number and writes the next."""

    def __init__(self) -> None:
        self.number = self.changes = 0

    def work(self, worker: int, fate: Fate) -> None:
        del worker  # both do the same
        fate.before(READ)
        number = self.number
        fate.before(WRITE)
        self.number = number + 1

    def at_change(self) -> None:
        self.changes += 1

    def check(self) -> None:
        if self.number != 2:
            raise AssertionError(f"the number is {self.number}")


class Noted:
    """Two workers that write what they have read so far. `end` is all that anybody can see."""

    def __init__(self, first: Sequence[str], second: Sequence[str]) -> None:
        self._calls = (first, second)
        self._things: dict[str, tuple[object, ...]] = {}
        self._seen: tuple[list[object], list[object]] = ([], [])

    def work(self, worker: int, fate: Fate) -> None:
        seen = self._seen[worker]
        for call in self._calls[worker]:
            fate.before(call)
            thing = CALLS.index(call) // 2
            known = self._things.get(str(thing), ())
            if CALLS.index(call) % 2:
                self._things[str(thing)] = (*known, (worker, len(seen), hash(tuple(seen))))
            else:
                seen.append(known)

    def at_change(self) -> None:
        """The world stays as it is."""

    def check(self) -> None:
        raise AssertionError(repr((sorted(self._things.items()), self._seen)))


def test_a_lost_update_is_found_and_played_again() -> None:
    """The second one does all its work between the read and the write of the first."""
    wrong = [order for order in every_order(Counted, changes=2) if order.wrong]
    assert wrong
    for order in wrong:
        assert order.wrong == "the number is 1"
        assert play(Counted(), order.lengths) == order


def test_the_world_changes_with_each_turn() -> None:
    """As often as a turn ended, and not with the end of a worker."""
    pair = Counted()
    assert play(pair, (1, 1)).stopped == (WRITE, WRITE)
    assert pair.changes == 2
    assert play(pair, (2,)).stopped == ()
    assert pair.changes == 2


def test_orders_drawn_by_chance_are_the_same_for_a_seed() -> None:
    """And can be played again by their turns."""
    drawn = [list(some_orders(Counted, number=4, seed="a seed")) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert [play(Counted(), order.lengths) for order in drawn[0]] == drawn[0]


@pytest.mark.parametrize("changes", [1, 2])
@pytest.mark.parametrize("seed", range(12))
def test_what_the_reduction_leaves_out_ends_like_something_that_is_played(
    seed: int, changes: int
) -> None:
    """Programs drawn by chance: the same ends are seen with and without the reduction."""
    drawn = random.Random(seed)
    programs = [drawn.choices(CALLS, k=drawn.randint(2, 5)) for _ in range(2)]
    ends = [
        {
            order.wrong
            for order in every_order(lambda: Noted(*programs), changes=changes, reduced=reduced)
        }
        for reduced in (True, False)
    ]
    assert ends[0] == ends[1]
