"""S5, S8: whatever befalls a worker at any of its calls, all ends as if nothing had.

At each call to the store, the queue, the provider and Calendar, and each time before the call has
its effect and after it: the worker dies; the call fails; the worker stands still until another one,
which took over its lapsed lease, has done all the work, and then goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import crashes
from tests.support.bench import BenchMaker
from tests.support.crashes import Play
from tests.support.scenes import SCENES, Scene

FATES: dict[str, Callable[..., Play]] = {
    "killed": crashes.killed,
    "troubled": crashes.troubled,
    "frozen": crashes.frozen,
}
# Calls that each scene makes at least: fewer would mean that fewer places are tried.
PLACES = {
    "Changed": 1,
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("edited", [False, True], ids=["", "edited"])
@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_s5_s8_whatever_befalls_a_worker_the_end_is_the_same(
    make_bench: BenchMaker,
    tmp_path: Path,
    scene: type[Scene],
    fate: str,
    edited: bool,
    record_property: Callable[[str, object], None],
) -> None:
    """For every call, before and after its effect. `edited`: meanwhile people have changed what
    the work was about."""
    if edited and scene.meanwhile is Scene.meanwhile:
        pytest.skip("people do nothing in this scene")
    bench = make_bench(SYNC_CONCURRENCY="1")
    undisturbed = scene(bench, tmp_path)
    calls = crashes.whole(undisturbed, edited=edited)
    expected = undisturbed.outcome()
    assert len(calls) >= PLACES.get(scene.__name__, 1)
    wrong = []
    for late in (False, True):
        play = FATES[fate](late, edited=edited)
        for place in range(len(calls)):
            played = scene(bench, tmp_path)
            called = play(played, place)
            outcome = played.outcome()
            if outcome != expected:
                when = "after" if late else "before"
                wrong.append(
                    f"{fate} {when} call {place}, {called}: {difference(expected, outcome)}"
                )
    print(f"{scene.__name__}: {2 * len(calls)} places")
    record_property("places", 2 * len(calls))
    assert not wrong, "\n".join(wrong)


def difference(expected: dict[str, object], outcome: dict[str, object]) -> str:
    return ", ".join(
        f"{name}: {outcome[name]} instead of {expected[name]}"
        for name in expected
        if outcome[name] != expected[name]
    )
