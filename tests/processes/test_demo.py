"""The demo, run as a user runs it: it plays to its end, stays when asked to, and leaves nothing
behind."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.processes import alive, started_by

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parent.parent.parent


@contextmanager
def demo(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "sandbox", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def read_until(process: subprocess.Popen[str], end: str) -> str:
    """What is printed until there is a line with `end`; everything if there is none."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if end in line:
            break
    return "".join(lines)


def listens(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def test_it_plays_to_its_end_stays_and_stops_without_a_rest() -> None:
    """`--keep` prints addresses that answer; Ctrl-C ends all of them."""
    with demo("--keep") as process:
        story = read_until(process, "Everything is in step")
        assert "✗" not in story, story
        assert story.count("✓") >= 13
        printed = read_until(process, "/_sandbox/faults")
        urls = re.findall(r"http://[\d.]+:\d+[^\s'\"]*", printed)
        addresses = {urlsplit(url).netloc for url in urls}
        assert len(addresses) >= 4
        assert all(listens(address) for address in addresses)
        started = started_by(process.pid)
        if sys.platform == "linux":
            assert len(started) >= 4, "four functions at least"
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
    # Not by their addresses, which another process may have been given at once.
    assert not any(alive(pid) for pid in {process.pid, *started})


def test_ctrl_c_on_the_way_stops_it_at_once() -> None:
    """While it starts, too; the exit status says that it was interrupted."""
    with demo() as process:
        assert "Starting" in read_until(process, "Starting")
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
        assert process.stdout is not None
        assert "Traceback" not in process.stdout.read()
