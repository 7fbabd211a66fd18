"""Plays scenes with one stroke of fate, and compares how they end."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable

from sync.errors import SyncError
from sync.run.lease import LEASE
from tests.support.bench import Bench
from tests.support.fates import Death, Fate, Freeze, Killed, Trouble, Witness, ignored, touched
from tests.support.scenes import Scene

Play = Callable[[Scene, int], str]
"""Plays a scene with a stroke at the n-th call, and returns what was called there."""


def whole(scene: Scene, *, edited: bool) -> list[str]:
    """Play a scene without any stroke, and return the calls that it made."""
    witness = Witness()
    scene.work(_worker(scene.bench, witness))
    if edited:
        scene.meanwhile()
    scene.recover()
    return witness.touched


def killed(late: bool, *, edited: bool) -> Play:
    def play(scene: Scene, place: int) -> str:
        fate = Death(place, late=late)
        try:
            scene.work(_worker(scene.bench, fate))
        except Killed:
            pass
        if edited:
            scene.meanwhile()
        scene.recover()
        return fate.touched[-1] if fate.touched else "nothing"

    return play


def troubled(late: bool, *, edited: bool) -> Play:
    def play(scene: Scene, place: int) -> str:
        fate = Trouble(place, late=late)
        scene.work(_worker(scene.bench, fate))
        if edited:
            scene.meanwhile()
        scene.recover()
        return fate.touched[place] if fate.struck else "nothing"

    return play


def frozen(late: bool, *, edited: bool) -> Play:
    """The worker stands still, its lease lapses, another one does all its work; then it goes on."""

    def play(scene: Scene, place: int) -> str:
        fate, ended = Freeze(place, late=late), threading.Event()
        wrong: list[BaseException] = []

        def live() -> None:
            try:
                scene.work(_worker(scene.bench, fate))
            except SyncError as error:
                ignored(error)
            except BaseException as error:  # told by the thread that waits
                wrong.append(error)
            finally:
                ended.set()
                fate.reached.set()

        threading.Thread(target=live, daemon=True).start()
        assert fate.reached.wait(60), "the worker neither ended nor froze"
        if edited:
            scene.meanwhile()
        scene.bench.clock.advance(LEASE.total_seconds() + 1)
        scene.work(scene.bench)
        fate.thaw()
        assert ended.wait(60), "the thawed worker does not end"
        if wrong:
            raise wrong[0]
        scene.recover()
        return fate.touched[place] if place < len(fate.touched) else "nothing"

    return play


def _worker(bench: Bench, fate: Fate) -> Bench:
    """The same bench as another process sees it, with this fate."""
    other = copy.copy(bench)
    other.services = touched(bench.services, fate)
    return other
