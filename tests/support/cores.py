"""Which of the machine's cores this process runs on."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import socket
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


class Place:
    """The core that this process keeps to, of several that do the same work now and then.

    `run` is a name that these processes share, and no others. A place is an abstract socket that
    is bound, for example number 1 of core 0 for the second process on that core. The system frees
    the socket when its process ends, however that happens.
    https://man7.org/linux/man-pages/man7/unix.7.html
    """

    def __init__(self, run: str, processes: int) -> None:
        self._run = run
        self._cores = sorted(_ALL) if processes >= len(_ALL) else []
        self._core = self._number = 0
        self._held: socket.socket | None = None

    def take(self) -> None:
        """Keep this process on the core that the fewest others keep to, for the reason of `share`.

        Taken again, it changes to a core that has become emptier. Nothing is done where there are
        more cores than processes.
        """
        if not self._cores:
            return
        for number in itertools.count():
            if (self._held is not None and number == self._number) or self._get(number):
                break
        _run_on({self._core})

    def leave(self) -> None:
        """Let this process run on every core again. Safe to repeat."""
        self._free()
        use_all()

    def _get(self, number: int) -> bool:
        """Exchange the place that is held for one of this number, if one is free on some core."""
        for core in self._cores:
            place = _bound(f"\0{self._run}/{core}/{number}")
            if place is not None:
                self._free()
                self._held, self._core, self._number = place, core, number
                return True
        return False

    def _free(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None


def _bound(address: str) -> socket.socket | None:
    """Return a socket at an address. None: another one is there."""
    place = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        place.bind(address)
    except OSError as error:
        place.close()
        if error.errno != errno.EADDRINUSE:
            raise
        return None
    return place


def _run_on(cores: Set[int]) -> None:
    if sys.platform != "linux" or os.sched_getaffinity(0) == cores:
        return
    for thread in Path("/proc/self/task").iterdir():
        # A thread may end meanwhile.
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), cores)
