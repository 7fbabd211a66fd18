"""Processor time and memory of other processes, as Linux tells them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sandbox.processes import LocalProcess

_TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(process: LocalProcess) -> float:
    """Return the processor time that a process and the workers it forked have had so far."""
    return sum(_seconds(pid) for pid in _family(process))


def resident_megabytes(process: LocalProcess) -> float:
    """Return the memory that the largest process of the family has now."""
    return max(megabytes("VmRSS", pid) for pid in _family(process))


def megabytes(name: str, pid: int | str = "self") -> float:
    """Return a figure of `/proc/PID/status`: `VmRSS` is now, `VmHWM` the most there was.

    `getrusage` would tell the most that the process which started this one has had.
    """
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None, "Linux tells this"
    return int(found[1]) / 1024


def _family(process: LocalProcess) -> list[int]:
    """The process, and those of its group: its server's workers."""
    assert process.pid is not None, f"{process.name} is not running"
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if int(fields[2]) == process.pid:
            found.append(int(path.parent.name))
    return found


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
