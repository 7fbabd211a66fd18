"""Takes many random walks: `python -m tests.soak --walks 2000 --store firestore`.

    python -m tests.soak --walks 300                    seeds 0 to 299, all providers in turn
    python -m tests.soak --provider zoom --seed 17      one walk
    python -m tests.soak --provider zoom --seed 17 --steps 3,8,21

A walk that fails is shortened and told; the last line of its story is the command that plays it
again. The exit status is 1 if any failed.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator

from sandbox.systems import SYSTEMS
from tests.support.stand_ins import stand_ins
from tests.support.walking import Course, Failed, shortened, take


def courses(walks: int, store: str, first: int = 0, provider: str | None = None) -> list[Course]:
    """So many walks, every other one with the `rest` system, the others with each of the rest."""
    others = [name for name in SYSTEMS if name != "rest"]
    made = []
    for seed in range(first, first + walks):
        turn = "rest" if seed % 2 else others[seed // 2 % len(others)]
        made.append(Course(provider=provider or turn, seed=seed, store=store))
    return made


def _several(chosen: list[Course]) -> Iterator[Failed | None]:
    with stand_ins(firestore=any(course.store == "firestore" for course in chosen)) as running:
        for course in chosen:
            failed = take(running, course)
            yield failed and shortened(running, failed)


def _tell(chosen: list[Course], results: multiprocessing.Queue[tuple[Course, str]]) -> None:
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
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    # Trouble is what is asked for here: nobody reads of each.
    logging.disable(logging.CRITICAL)
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
        multiprocessing.Process(target=_tell, args=(chosen[number::processes], results))
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


if __name__ == "__main__":
    sys.exit(main())
