"""S1, H1-H4, A3: two deeds for one calendar at the same moment, in every order of their calls.

A deed is what one request does: a run, a start, a stop, a renewal, a conference for the add-on. One
is interrupted before each of its calls to the store, the queue, the provider and Calendar, and
another one does all its work there; or stands still at each of its own calls until the first has
ended. `python -m tests.soak --interleavings` plays all orders with two changes for every pair.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bench import BenchMaker
from tests.support.pairs import DEEDS, Deed, OneCalendar, named, pick, renew, start, stop
from tests.support.turns import every_order, some_orders

pytestmark = pytest.mark.slow

# Deeds that are short enough for every order with two changes.
SHORT: list[tuple[Deed, Deed]] = [
    (start, start),
    (start, stop),
    (stop, start),
    (renew, renew),
    (renew, start),
    (pick, pick),
]


def _all_right(
    make_bench: BenchMaker, directory: Path, deeds: tuple[Deed, Deed], *, changes: int
) -> int:
    """Play all orders of two deeds. Returns how many there are, once none has gone wrong."""
    bench = make_bench(SYNC_CONCURRENCY="1")
    orders = list(every_order(lambda: OneCalendar(bench, directory, deeds), changes=changes))
    assert [str(order) for order in orders if order.wrong] == []
    print(f"{named(deeds)}: {len(orders)} orders")
    return len(orders)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("deeds", DEEDS, ids=named)
def test_h4_one_deed_is_done_between_two_calls_of_another(
    make_bench: BenchMaker, tmp_path: Path, deeds: tuple[Deed, Deed]
) -> None:
    """Before whichever call: one channel lives and is recorded, nothing forgotten leads, no
    conference is made twice, and a start that succeeded last wins."""
    assert _all_right(make_bench, tmp_path, deeds, changes=1) > 1


@pytest.mark.timeout(600)
@pytest.mark.parametrize("deeds", SHORT, ids=named)
def test_h4_two_short_deeds_in_every_order_with_two_changes(
    make_bench: BenchMaker, tmp_path: Path, deeds: tuple[Deed, Deed]
) -> None:
    """The second stands still at each of its calls until the first has ended."""
    assert _all_right(make_bench, tmp_path, deeds, changes=2) > 10


@pytest.mark.timeout(600)
@pytest.mark.parametrize("deeds", DEEDS, ids=named)
def test_h4_s8_two_deeds_whose_leases_lapse_at_each_change(
    make_bench: BenchMaker, tmp_path: Path, deeds: tuple[Deed, Deed]
) -> None:
    """Each stands still until the other has taken over, an event is renamed meanwhile, and the
    last name is told. Orders are drawn by chance, with any number of changes."""
    bench = make_bench(SYNC_CONCURRENCY="1")
    orders = some_orders(
        lambda: OneCalendar(bench, tmp_path, deeds, lapsing=True), number=1, seed=named(deeds)
    )
    assert [str(order) for order in orders if order.wrong] == []
