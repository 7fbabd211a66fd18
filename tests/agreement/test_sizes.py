"""The sizes of `terraform/` are those that docs/scale.md reckons with."""

from __future__ import annotations

import re
from pathlib import Path

from tests.benchmarks import month, scale

TERRAFORM = Path(__file__).resolve().parent.parent.parent / "terraform"


def number(file: str, name: str) -> float:
    """Return what a name is set to in a file, or a variable's default."""
    found = re.search(
        rf'^\s*{name}\s*=\s*(?:optional\(number, )?"?([\d.]+)',
        (TERRAFORM / file).read_text(),
        re.MULTILINE,
    )
    assert found is not None, f"{name} in {file}"
    return float(found[1])


def test_the_default_queue_is_the_one_that_was_simulated() -> None:
    """Its rate, its places and its pauses."""
    default = scale.DEFAULT
    assert number("variables.tf", "max_dispatches_per_second") == default.rate
    places = number("variables.tf", "max_sync") * number("functions.tf", "worker_concurrency")
    assert places == default.concurrent
    assert number("queue.tf", "min_backoff") == default.min_backoff
    assert number("queue.tf", "max_doublings") == default.max_doublings
    assert number("queue.tf", "max_backoff") == default.max_backoff


def test_the_default_sizes_fit_together() -> None:
    """As many instances as the queue's rate needs, with as many runs in each as was assumed."""
    assert number("variables.tf", "max_sync") == month.instances(month.RATES[0])
    assert number("variables.tf", "max_dispatches_per_second") == month.RATES[0]
    assert number("functions.tf", "worker_concurrency") == month.CONCURRENCY
