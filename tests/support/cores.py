"""Which of the machine's cores this process runs on."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Set
from pathlib import Path

# macOS lets no process choose.
_ALL: Set[int] = os.sched_getaffinity(0) if sys.platform == "linux" else frozenset()


def share(processes: int, number: int) -> None:
    """Keep this process, one of several that do the same work, on a core: its `number`, from 0.

    A story's client and the servers that it calls are threads of one process, and Python lets one
    of them run at a time. Spread over several cores, each call of a server wakes one core and lets
    another one sleep, which takes longer than to change threads on a core. What this process starts
    afterwards stays on the core too.

    Nothing is done where there are more cores than processes: others may be using one of them.
    Safe to repeat.
    """
    if _ALL and processes >= len(_ALL):
        _run_on({sorted(_ALL)[number % len(_ALL)]})


def use_all() -> None:
    """Let this process run on every core again, and so what it starts afterwards."""
    if _ALL:
        _run_on(_ALL)


def _run_on(cores: Set[int]) -> None:
    if sys.platform != "linux" or os.sched_getaffinity(0) == cores:
        return
    for thread in Path("/proc/self/task").iterdir():
        # A thread may end meanwhile.
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), cores)
