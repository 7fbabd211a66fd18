"""Takes a random walk by its seed, and tells one that fails as a short story that replays it."""

from __future__ import annotations

import traceback
from collections.abc import Collection
from dataclasses import dataclass

from tests.support import walk_end, walk_people, walk_work
from tests.support.stand_ins import StandIns
from tests.support.walk import NAMES, Walk

LENGTH = 60
# A story is shortened by so many walks at most.
_TRIALS = 60
STEPS = (*walk_people.STEPS, *walk_work.STEPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One walk: everything follows from it.

    `seed` decides the grace (none for even seeds) and whether conferences are lost, too.
    """

    provider: str
    seed: int
    store: str = "sqlite"

    @property
    def losing(self) -> bool:
        return self.seed % 3 == 0

    @property
    def grace(self) -> str:
        return "30" if self.seed % 2 else "0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A walk that did not end in step: what was wrong, and the story that ends so."""

    course: Course
    wrong: str
    story: tuple[str, ...]
    steps: tuple[int, ...]

    def __str__(self) -> str:
        course, steps = self.course, ",".join(map(str, self.steps))
        command = (
            f"python -m tests.soak --provider {course.provider} --seed {course.seed} "
            f"--store {course.store} --steps {steps}"
        )
        return "\n".join([self.wrong, *self.story, command])


def take(stand_ins: StandIns, course: Course, only: Collection[int] | None = None) -> Failed | None:
    """Take a walk to its end; `only` names the steps of it that are taken. None: all is in step."""
    system = stand_ins.systems[course.provider]
    domain = f"walk{course.seed}-{course.provider}.example"
    settings = {
        "SYNC_DELETE_GRACE_SECONDS": course.grace,
        # One after the other, so that a seed always gives the same walk.
        "SYNC_CONCURRENCY": "1",
    }
    people = [f"{name}@{domain}" for name in NAMES]
    with stand_ins.bench(system, domain, people, store=course.store, **settings) as bench:
        walk = Walk(bench, system, course.seed, losing=course.losing, domain=domain)
        try:
            walk.go(STEPS, LENGTH, only)
            walk_end.settle(walk)
            walk_end.check(walk)
        except AssertionError as error:
            wrong = str(error)
        except Exception:
            wrong = traceback.format_exc()
        else:
            return None
        finally:
            for frozen in walk.frozen:
                frozen.fate.thaw()
            system.faults.clear()
            bench.calendar.faults.clear()
        taken = tuple(int(line.split()[0]) for line in walk.story if line[:3].strip().isdigit())
        return Failed(course=course, wrong=wrong, story=tuple(walk.story), steps=taken)


def shortened(stand_ins: StandIns, failed: Failed, trials: int = _TRIALS) -> Failed:
    """Leave out of a walk that fails whatever can be left out, and it still fails."""
    size = max(1, len(failed.steps) // 2)
    while trials > 0:
        for begin in range(0, len(failed.steps), size):
            steps = failed.steps[:begin] + failed.steps[begin + size :]
            trials -= 1
            again = take(stand_ins, failed.course, steps)
            if again is not None:
                failed = again
                break
            if trials <= 0:
                break
        else:
            if size == 1:
                break
            size = max(1, size // 2)
    return failed
