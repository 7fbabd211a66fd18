"""Which processes run, as Linux tells it below /proc."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet reaped by its parent does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return not Path("/proc").exists()


def started_by(pid: int) -> set[int]:
    """The processes that this one started and that are there, and what those started in turn."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        # One may end meanwhile.
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return family - {pid}
