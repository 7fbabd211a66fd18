"""S5, S8: whatever befalls a worker at any of its calls, all ends as if nothing had.

At each call to the store, the queue, the provider and Calendar, and each time before the call has
its effect and after it: the worker dies; the call fails; the worker stands still until another one,
which took over its lapsed lease, has done all the work, and then goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import crashes
from tests.support.bench import BenchMaker
from tests.support.crashes import Play
from tests.support.scenes import SCENES, Scene

pytestmark = pytest.mark.slow

# Calls that each scene makes at least: fewer would mean that fewer places are tried.
CALLS = {
    "Changed": 51,
    "Lost": 29,
    "LostAndDeleted": 29,
    "Series": 12,
    "Shared": 20,
    "Restored": 20,
    "InFull": 30,
    "Troubled": 25,
    "Started": 18,
    "Renewed": 16,
    "Stopped": 18,
    "Picked": 6,
    "PickedInVain": 6,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stroke:
    """What befalls the worker. `late`: after a call's effect, too. `edited`: meanwhile people have
    changed what the work was about, where a scene says how."""

    play: Callable[..., Play]
    late: bool
    edited: bool


STROKES = {
    # Dead after a call's effect is dead before the next call.
    "killed": Stroke(play=crashes.killed, late=False, edited=True),
    "troubled": Stroke(play=crashes.troubled, late=True, edited=False),
    "frozen": Stroke(play=crashes.frozen, late=True, edited=True),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("stroke", STROKES)
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_s5_s8_whatever_befalls_a_worker_the_end_is_the_same(
    make_bench: BenchMaker, tmp_path: Path, scene: type[Scene], stroke: str
) -> None:
    """Between any two calls: killed, failed, or frozen while another worker does all the work.

    After a call is before the next one. So where both are struck, every other call is enough.
    """
    struck = STROKES[stroke]
    edited = struck.edited and scene.meanwhile is not Scene.meanwhile
    bench = make_bench(SYNC_CONCURRENCY="1")
    undisturbed = scene(bench, tmp_path)
    calls = crashes.whole(undisturbed, edited=edited)
    expected = undisturbed.outcome()
    assert len(calls) >= CALLS[scene.__name__]
    wrong, places = [], 0
    for late in (False, True) if struck.late else (False,):
        play = struck.play(late, edited=edited)
        for place in range(0, len(calls), 2 if struck.late else 1):
            places += 1
            played = scene(bench, tmp_path)
            called = play(played, place)
            outcome = played.outcome()
            if outcome != expected:
                when = "after" if late else "before"
                differs = _difference(expected, outcome)
                wrong.append(f"{stroke} {when} call {place}, {called}: {differs}")
    print(f"{scene.__name__} ({scene.rules}): {stroke} at {places} places of {len(calls)} calls")
    assert not wrong, "\n".join(wrong)


def _difference(expected: dict[str, object], outcome: dict[str, object]) -> str:
    return ", ".join(
        f"{name}: {outcome[name]} instead of {expected[name]}"
        for name in expected
        if outcome[name] != expected[name]
    )
