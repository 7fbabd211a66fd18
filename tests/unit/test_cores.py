"""Processes side by side keep to their cores, with all their threads."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.support import cores

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process choose")


@pytest.fixture
def thread() -> Iterator[int]:
    """The number of a thread that was there before."""
    begun, ended = threading.Event(), threading.Event()

    def live() -> None:
        begun.set()
        ended.wait()

    alive = threading.Thread(target=live)
    alive.start()
    assert begun.wait(10)
    assert alive.native_id is not None
    yield alive.native_id
    ended.set()
    alive.join()
    cores.use_all()


def used(thread: int) -> set[int]:
    """The cores of a thread and of this one, which are to be the same."""
    assert os.sched_getaffinity(thread) == os.sched_getaffinity(0)
    return os.sched_getaffinity(0)


def test_processes_are_spread_over_the_cores(thread: int) -> None:
    cores.use_all()
    everywhere = used(thread)
    seen: list[int] = []
    for number in range(2 * len(everywhere)):
        cores.share(2 * len(everywhere), number)
        seen += used(thread)
    assert seen == sorted(everywhere) * 2


def test_a_process_of_few_is_let_alone(thread: int) -> None:
    """With a core too many, others may be using the one that we would choose."""
    cores.use_all()
    everywhere = used(thread)
    cores.share(len(everywhere) - 1, 0)
    assert used(thread) == everywhere


def test_every_core_can_be_used_again(thread: int) -> None:
    cores.use_all()
    everywhere = used(thread)
    cores.share(len(everywhere), 0)
    cores.use_all()
    assert used(thread) == everywhere
