"""Processes side by side keep to their cores, with all their threads."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from uuid import uuid4

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


@pytest.fixture
def places() -> Iterator[Callable[[int], list[cores.Place]]]:
    """A maker of places for several processes of one run. This process takes them all."""
    made: list[cores.Place] = []

    def make(processes: int) -> list[cores.Place]:
        run = uuid4().hex
        made.extend(cores.Place(run, processes) for _ in range(processes))
        return made

    yield make
    for place in made:
        place.leave()


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


def test_places_are_spread_over_the_cores(
    thread: int, places: Callable[[int], list[cores.Place]]
) -> None:
    cores.use_all()
    everywhere = used(thread)
    seen: list[int] = []
    for place in places(2 * len(everywhere)):
        place.take()
        seen += used(thread)
    assert seen == sorted(everywhere) * 2


def test_a_core_that_became_empty_is_taken_by_one_of_those_that_share_a_core(
    thread: int, places: Callable[[int], list[cores.Place]]
) -> None:
    """While one process starts programs, which keep to no core, the others are spread again."""
    cores.use_all()
    everywhere = used(thread)
    if len(everywhere) == 1:
        pytest.skip("there is one core")
    first, *others, last = places(len(everywhere) + 1)
    for place in (first, *others, last):
        place.take()
    assert used(thread) == {min(everywhere)}
    others[-1].leave()
    assert used(thread) == everywhere
    first.take()
    assert used(thread) == {min(everywhere)}
    last.take()
    assert used(thread) == {max(everywhere)}


def test_a_place_of_few_is_no_core(thread: int, places: Callable[[int], list[cores.Place]]) -> None:
    cores.use_all()
    everywhere = used(thread)
    for place in places(len(everywhere) - 1):
        place.take()
        assert used(thread) == everywhere
