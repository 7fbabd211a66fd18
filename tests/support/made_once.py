"""What several processes of one test run share, and one of them makes."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path


def made_once(directory: Path, make: Callable[[Path], None]) -> Path:
    """Fill a directory by `make`, once for all processes of a run, and return it.

    The first process that asks makes it. The others wait until it is whole. Where `make` raises,
    the next process tries again.
    """
    with directory.with_suffix(".lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Asked once the lock is held: another process may have made it meanwhile.
        if lock.seek(0, os.SEEK_END) == 0:
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            make(directory)
            lock.write("made")
    return directory
