"""Many orders side by side, and waiting until the syncs that they caused have ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

from ccsync.errors import NoAccess, Problem
from ccsync.server import Server

Json = dict[str, Any]

PARALLEL = 8
_SHORTEST_POLL_SECONDS = 0.3
_LONGEST_POLL_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """What became of one order: `problem` is empty where it was taken."""

    id: str
    problem: Problem | None = None

    def json(self, done: str) -> Json:
        """Return it as `--json` shows it. `done` is the word for an order that was taken."""
        said = self.problem.message if self.problem else None
        return {"id": self.id, "outcome": "refused" if self.problem else done, "reason": said}


def side_by_side(
    server: Server, ids: Sequence[str], order: Callable[[str], object]
) -> Iterator[Ordered]:
    """Give an order for each id and yield each as it ends. Raises NoAccess, and sends no more."""
    server.sign_in()

    def give(each: str) -> Ordered:
        try:
            order(each)
        except NoAccess:
            raise
        except Problem as problem:
            return Ordered(id=each, problem=problem)
        return Ordered(id=each)

    pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="order")
    try:
        for each in as_completed([pool.submit(give, id_) for id_ in ids]):
            yield each.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def last_runs(calendars: Iterable[Json]) -> dict[str, tuple[Any, ...]]:
    """Return what marks the last run of each calendar: it differs once another has ended."""
    return {
        each["calendar_id"]: (
            (each["last_sync"] or {}).get("at"),
            (each["failing"] or {}).get("runs"),
            each["status"] if each["status"] == "broken" else "",
        )
        for each in calendars
    }


def wait_for_runs(
    read: Callable[[], Iterable[Json]], before: Mapping[str, tuple[Any, ...]], seconds: float
) -> Iterator[list[Json]]:
    """Yield, at each look, the calendars whose next run has ended since the look before.

    `read` lists the calendars, `before` is what `last_runs` said before the order. Ends when all
    have run, or after `seconds`.
    """
    waiting = dict(before)
    give_up = time.monotonic() + seconds
    pause = _SHORTEST_POLL_SECONDS
    while waiting and time.monotonic() < give_up:
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)
        found = [each for each in read() if each["calendar_id"] in waiting]
        runs = last_runs(found)
        ended = [
            each for each in found if runs[each["calendar_id"]] != waiting[each["calendar_id"]]
        ]
        # A calendar that was stopped meanwhile is not waited for.
        gone = waiting.keys() - runs.keys()
        for name in {*gone, *(each["calendar_id"] for each in ended)}:
            del waiting[name]
        yield ended
