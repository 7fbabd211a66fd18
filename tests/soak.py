"""Takes many random walks, or plays two workers at once in every order of their calls.

    python -m tests.soak --walks 300                    seeds 0 to 299, all providers in turn
    python -m tests.soak --provider zoom --seed 17      one walk
    python -m tests.soak --provider zoom --seed 17 --steps 3,8,21
    python -m tests.soak --interleavings                every pair, every order with two changes
    python -m tests.soak --interleavings run-stop       the pairs whose name begins so
    python -m tests.soak --interleavings run-stop --turns 3,2

A walk that fails is shortened and told; the last line of its story is the command that plays it
again, and so for an order of two workers. The exit status is 1 if any failed.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import Queue
from tempfile import TemporaryDirectory

from sandbox.systems import SYSTEMS
from tests.support import cores
from tests.support.pairs import all_pairs
from tests.support.stand_ins import stand_ins
from tests.support.turns import Pair, every_order, play
from tests.support.walking import Course, Failed, shortened, take

# So many walks share their stand-ins. Firestore's emulator keeps what they wrote: after 700 walks
# it does little but look for memory.
_TOGETHER = 200


def courses(walks: int, store: str, first: int = 0, provider: str | None = None) -> list[Course]:
    """So many walks, every other one with the `rest` system, the others with each of the rest."""
    others = [name for name in SYSTEMS if name != "rest"]
    made = []
    for seed in range(first, first + walks):
        turn = "rest" if seed % 2 else others[seed // 2 % len(others)]
        made.append(Course(provider=provider or turn, seed=seed, store=store))
    return made


def packed(chosen: list[Course], size: int) -> list[list[Course]]:
    """The same walks in packs of so many, the last of which may be smaller."""
    return [chosen[begin : begin + size] for begin in range(0, len(chosen), size)]


def _several(chosen: list[Course]) -> Iterator[Failed | None]:
    for together in packed(chosen, _TOGETHER):
        with stand_ins(firestore=any(one.store == "firestore" for one in together)) as running:
            for course in together:
                failed = take(running, course)
                yield failed and shortened(running, failed)


def _tell(
    number: int,
    processes: int,
    chosen: list[Course],
    results: multiprocessing.Queue[tuple[Course, str]],
) -> None:
    """Take the walks that fall to one of several processes, and tell of each."""
    cores.share(processes, number)
    chosen = chosen[number::processes]
    for course, failed in zip(chosen, _several(chosen), strict=True):
        results.put((course, str(failed) if failed else ""))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--walks", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--store", choices=["sqlite", "firestore"], default="sqlite")
    parser.add_argument("--provider", choices=sorted(SYSTEMS))
    parser.add_argument("--seed", type=int, help="one walk")
    parser.add_argument("--steps", help="only these steps of it, by number")
    parser.add_argument(
        "--interleavings", nargs="?", const="", metavar="PAIR", help="two workers at once"
    )
    parser.add_argument("--turns", help="only this order, by the lengths of its turns")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    # Trouble is what is asked for here: nobody reads of each.
    logging.disable(logging.CRITICAL)
    if asked.interleavings is not None:
        names = [name for name in all_pairs() if name.startswith(asked.interleavings)]
        if asked.turns:
            return _replay(names[0], [int(length) for length in asked.turns.split(",")])
        return _interleave(names, asked.processes)
    if asked.seed is not None:
        course = Course(provider=asked.provider or "rest", seed=asked.seed, store=asked.store)
        only = [int(step) for step in asked.steps.split(",")] if asked.steps else None
        with stand_ins(firestore=asked.store == "firestore") as running:
            failed = take(running, course, only)
        print(failed or "in step")
        return int(failed is not None)
    return _soak(courses(asked.walks, asked.store, asked.first, asked.provider), asked.processes)


def _soak(chosen: list[Course], processes: int) -> int:
    begin, failures = time.monotonic(), 0
    results: multiprocessing.Queue[tuple[Course, str]] = multiprocessing.Queue()
    workers = [
        multiprocessing.Process(target=_tell, args=(number, processes, chosen, results))
        for number in range(processes)
    ]
    for worker in workers:
        worker.start()
    for number in range(1, len(chosen) + 1):
        course, story = results.get()
        if story:
            failures += 1
            print(f"\n{course} failed:\n{story}\n", flush=True)
        elif number % 50 == 0:
            print(f"{number} walks, {time.monotonic() - begin:.0f} s", flush=True)
    for worker in workers:
        worker.join()
    seconds = time.monotonic() - begin
    print(f"{len(chosen)} walks, {failures} failed, {seconds:.0f} s, {processes} processes")
    return int(failures > 0)


def _interleave(names: list[str], processes: int) -> int:
    """Play every order of these pairs with two changes, each pair in a process of its own."""
    begin, orders, failures = time.monotonic(), 0, 0
    with (
        multiprocessing.Manager() as manager,
        multiprocessing.Pool(processes, maxtasksperchild=1) as pool,
    ):
        free = manager.Queue()
        for number in range(processes):
            free.put(number)
        playing = pool.imap_unordered(partial(_orders_of, free, processes), names)
        for name, played, wrong in playing:
            orders, failures = orders + played, failures + len(wrong)
            print(f"{name}: {played} orders, {time.monotonic() - begin:.0f} s", flush=True)
            for story in wrong:
                print(f"\n{story}\n", flush=True)
    seconds = time.monotonic() - begin
    print(
        f"{len(names)} pairs, {orders} orders, {failures} failed, {seconds:.0f} s, "
        f"{processes} processes"
    )
    return int(failures > 0)


def _orders_of(free: Queue[int], processes: int, name: str) -> tuple[str, int, list[str]]:
    """Play a pair. Returns its name, the number of orders, and the stories of those that failed.

    `free` has the numbers, of so many processes, that no other has at the moment.
    """
    number = free.get()
    cores.share(processes, number)
    try:
        return _played(name)
    finally:
        free.put(number)


def _played(name: str) -> tuple[str, int, list[str]]:
    logging.disable(logging.CRITICAL)
    staged = all_pairs()[name]
    with _stage(name) as make:
        played, wrong = 0, []
        for order in every_order(make, changes=2, reduced=staged.reduced):
            played += 1
            if order.wrong:
                turns = ",".join(map(str, order.lengths))
                command = f"python -m tests.soak --interleavings {name!r} --turns {turns}"
                wrong.append(f"{name}: {order}\n{command}")
    return name, played, wrong


def _replay(name: str, lengths: list[int]) -> int:
    with _stage(name) as make:
        order = play(make(), lengths)
    for worker, calls in enumerate(order.calls):
        print(f"worker {worker}: {', '.join(calls)}")
    print(order if order.wrong else "in step")
    return int(order.wrong is not None)


@contextmanager
def _stage(name: str) -> Iterator[Callable[[], Pair]]:
    """Everything that a pair talks to."""
    staged = all_pairs()[name]
    settings = {"SYNC_CONCURRENCY": "1", "SYNC_DELETE_GRACE_SECONDS": staged.grace}
    with stand_ins() as running, TemporaryDirectory() as directory:
        rest = running.systems["rest"]
        with running.bench(rest, "pairs.example", **settings) as bench:
            yield lambda: staged.make(bench, Path(directory))


if __name__ == "__main__":
    sys.exit(main())
