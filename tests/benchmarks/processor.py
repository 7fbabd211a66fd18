"""Processor time and memory of other processes, as Linux tells them."""

from __future__ import annotations

import os
import re
from itertools import chain
from pathlib import Path

from sandbox.processes import LocalProcess

_TICKS = os.sysconf("SC_CLK_TCK")
# As /proc/net/tcp writes the state of a connection.
_ESTABLISHED = "01"


def processor_seconds(process: LocalProcess) -> float:
    """Return the processor time that a process and the workers it forked have had so far."""
    return sum(_seconds(pid) for pid in _family(process))


def resident_megabytes(process: LocalProcess) -> float:
    """Return the memory that the largest process of the family has now."""
    return max(megabytes("VmRSS", pid) for pid in _family(process))


def peak_megabytes(process: LocalProcess) -> float:
    """Return the most memory that the largest process of the family has had."""
    return max(megabytes("VmHWM", pid) for pid in _family(process))


def connections(process: LocalProcess) -> set[tuple[int, int]]:
    """Return local and remote port of each TCP connection that the family made and has open now.

    Those that others made to the port at which the process listens are left out.
    """
    owned = {link for pid in _family(process) for link in _sockets(pid)}
    found = set()
    # gRPC opens sockets that can do both, and Linux lists them with IPv6.
    listed = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    for line in chain(*listed):
        fields = line.split()
        local, remote = (int(each.rpartition(":")[2], 16) for each in fields[1:3])
        if fields[3] == _ESTABLISHED and f"socket:[{fields[9]}]" in owned and local != process.port:
            found.add((local, remote))
    return found


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


def _sockets(pid: int) -> list[str]:
    found = []
    for path in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            found.append(os.readlink(path))
        except OSError:
            continue  # closed meanwhile
    return found
