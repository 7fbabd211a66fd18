"""E7, E2, C4, H4: two workers on two calendars that share a conference, interleaved at every call
to the store, the queue, the provider and Calendar.

`python -m tests.soak --interleavings` plays all orders with two changes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bench import BenchMaker
from tests.support.pairs import SHARED, Shared
from tests.support.turns import every_order, some_orders

pytestmark = pytest.mark.slow


@pytest.mark.timeout(300)
@pytest.mark.parametrize("grace", ["0", "30"])
@pytest.mark.parametrize("scene", SHARED, ids=lambda scene: scene.__name__)
@pytest.mark.parametrize("first", ["anna", "team"])
def test_e7_one_worker_does_all_its_work_between_two_calls_of_the_other(
    make_bench: BenchMaker, tmp_path: Path, scene: type[Shared], first: str, grace: str
) -> None:
    """Whichever call it falls before, nothing is lost, deleted while referred to, or made twice."""
    bench = make_bench(SYNC_CONCURRENCY="1", SYNC_DELETE_GRACE_SECONDS=grace)
    orders = list(every_order(lambda: scene(bench, tmp_path, swapped=first == "team"), changes=1))
    assert [str(order) for order in orders if order.wrong] == []
    assert len(orders) > 2


@pytest.mark.timeout(300)
@pytest.mark.parametrize("grace", ["0", "30"])
@pytest.mark.parametrize("scene", SHARED, ids=lambda scene: scene.__name__)
def test_e7_two_workers_in_any_order_of_their_calls(
    make_bench: BenchMaker, tmp_path: Path, scene: type[Shared], grace: str
) -> None:
    """The turns are drawn by chance; six orders for each scene."""
    bench = make_bench(SYNC_CONCURRENCY="1", SYNC_DELETE_GRACE_SECONDS=grace)
    orders = some_orders(lambda: scene(bench, tmp_path), number=6, seed=f"{scene.__name__} {grace}")
    assert [str(order) for order in orders if order.wrong] == []
