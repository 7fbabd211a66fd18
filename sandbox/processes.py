"""Starts what cannot run inside a test's own process: the project's functions, and Google's
Firestore emulator.

    with FunctionProcess("sync_calendar", environment={…}, source=Path("main.py")) as worker:
        worker.wait_ready()
        httpx.post(worker.url, json={…})

A process gets a group of its own, for the functions' server forks workers, and the whole group is
ended: by `stop`, by the end of the `with` block, and on Linux also when this process dies without a
word (SIGKILL, or SIGTERM, which ends Python without clean-up). Elsewhere a program must turn
SIGTERM into SystemExit to leave nothing behind.

Not imitated of Cloud Run: its limits of memory, CPU and time, cold starts, several instances, its
check of identity tokens.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from sandbox.servers import LOOPBACK, free_port, hold_port, is_free

LOG_TAIL_LINES = 30

# Runs first in the new process, binds its life to this one's, and becomes the program. Popen's
# preexec_fn could do it, but is not safe in a process with threads. The check is for a parent that
# died before the first line.
_BOUND_TO_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit("The parent died.")
os.execvp(sys.argv[2], sys.argv[2:])
"""


class ProcessError(RuntimeError):
    """A process did not start, or ended too early. The message ends with its log's last lines."""


class LocalProcess(ABC):
    """One program with a port, in a group of its own, its output in a file."""

    grace_seconds: ClassVar[float] = 5.0
    """How long `stop` waits after SIGTERM before it kills."""

    def __init__(
        self, name: str, *, environment: Mapping[str, str], port: int | None, log_file: Path | None
    ) -> None:
        self.name = name
        self.port = port if port is not None else free_port()
        self.environment = dict(environment)
        self._log_file = log_file
        self._log_path: Path | None = log_file
        self._process: subprocess.Popen[bytes] | None = None
        self._group: int | None = None

    @property
    def host(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    @property
    def pid(self) -> int | None:
        """The first process of the group. None when it is not running."""
        return (
            self._process.pid
            if self._process is not None and self._process.poll() is None
            else None
        )

    def start(self) -> None:
        """Start the program and return at once. `wait_ready` tells how it went. The log goes on
        where it was.

        Raises ProcessError if the port is taken.
        """
        if self.pid is not None:
            return
        _require_free(self.port, self.name)
        if self._log_path is None:
            handle, path = tempfile.mkstemp(prefix=f"{self.name}-", suffix=".log")
            os.close(handle)
            self._log_path = Path(path)
        command = list(self._command())
        # The bond is to the thread that starts the process, so only a thread that lives as long as
        # we do may make it.
        if sys.platform == "linux" and threading.current_thread() is threading.main_thread():
            command = [
                sys.executable,
                "-I",
                "-S",
                "-c",
                _BOUND_TO_PARENT,
                str(os.getpid()),
                *command,
            ]
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._directory(),
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._group = self._process.pid

    def wait_ready(self, timeout: float = 120.0) -> None:
        """Wait until the program answers.

        Raises ProcessError with the end of the log if it died, could not have its port, or took too
        long.
        """
        end = time.monotonic() + timeout
        while True:
            if self._process is None:
                raise ProcessError(f"{self.name} was not started.")
            code = self._process.poll()
            if code is not None:
                self._end_group()
                raise self._error(f"{self.name} ended at its start with {_ending(code)}.")
            if self._lost_port():
                self.kill()
                raise self._error(
                    f"{self.name} could not have port {self.port}: another process took it."
                )
            if self._answers():
                return
            if time.monotonic() > end:
                raise self._error(
                    f"{self.name} did not answer on port {self.port} within {timeout:g} seconds."
                )
            time.sleep(0.02)

    def kill(self) -> None:
        """End the whole group at once, as a crash would. Safe to repeat."""
        self._end_group()

    def stop(self) -> None:
        """End the group gently, and by force after a few seconds. Safe to repeat."""
        if self._process is not None and self._process.poll() is None:
            _signal_group(self._process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self.grace_seconds)
        self._end_group()

    def restart(self) -> None:
        """Stop, start again on the same port and wait until it answers."""
        self.stop()
        self.start()
        self.wait_ready()

    def log(self) -> str:
        """Everything the program wrote, all its starts included."""
        if self._log_path is None or not self._log_path.exists():
            return ""
        return self._log_path.read_text(errors="replace")

    def records(self) -> list[dict[str, Any]]:
        """The lines of the log that are JSON objects."""
        found = []
        for line in self.log().splitlines():
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                if isinstance(record, dict):
                    found.append(record)
        return found

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._log_file is None and self._log_path is not None:
            self._log_path.unlink(missing_ok=True)

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """What is run, and its arguments."""

    def _directory(self) -> Path | None:
        return None

    def _answers(self) -> bool:
        try:
            socket.create_connection((LOOPBACK, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def _lost_port(self) -> bool:
        """Whether the program says that its port was taken since we looked. Who answers there is
        then a stranger."""
        return False

    def _end_group(self) -> None:
        """Kill what is left of the group, reap it, and wait until its port is free."""
        if self._process is None or self._group is None:
            return
        # Forgotten first: once the group is gone its number may be given to strangers.
        group, self._group = self._group, None
        _signal_group(group, signal.SIGKILL)
        self._process.wait()
        # The server's workers are not our children: they are gone when the group is, or when only
        # dead ones are left.
        end = time.monotonic() + self.grace_seconds
        while time.monotonic() < end and _signal_group(group, 0) and not is_free(self.port):
            time.sleep(0.01)
        with contextlib.suppress(OSError):
            # For a start that may follow.
            hold_port(self.port)

    def _error(self, message: str) -> ProcessError:
        tail = "\n".join(self.log().splitlines()[-LOG_TAIL_LINES:])
        return ProcessError(
            f"{message} Its log ends:\n{tail}" if tail else f"{message} Its log is empty."
        )


class FunctionProcess(LocalProcess):
    """One function of `source`, served by functions-framework as in the cloud: gunicorn, one
    worker, many threads."""

    def __init__(
        self,
        target: str,
        *,
        environment: Mapping[str, str],
        source: Path,
        port: int | None = None,
        threads: int = 8,
        log_file: Path | None = None,
    ) -> None:
        """`environment` is added to this process' own. Without `log_file` the log ends with the
        `with` block.

        The port is fixed from here on, so that functions can be told each other's addresses before
        any is started.
        """
        super().__init__(
            target,
            # Logs at once, not when the process ends, for it may be killed.
            environment={"PYTHONUNBUFFERED": "1", **environment, "THREADS": str(threads)},
            port=port,
            log_file=log_file,
        )
        self.target = target
        self.source = source.resolve()

    def _command(self) -> Sequence[str]:
        return [
            *(sys.executable, "-m", "functions_framework"),
            *("--target", self.target, "--source", str(self.source)),
            *("--host", LOOPBACK, "--port", str(self.port)),
        ]

    def _directory(self) -> Path:
        # As in the cloud, where the source's directory is the current one.
        return self.source.parent

    def _lost_port(self) -> bool:
        return "Connection in use" in self.log()[-4096:]


class FirestoreEmulator(LocalProcess):
    """Google's own emulator of Firestore, if it is installed: `gcloud components install
    cloud-firestore-emulator`."""

    def __init__(
        self, *, port: int | None = None, memory_megabytes: int = 512, log_file: Path | None = None
    ) -> None:
        super().__init__("firestore-emulator", environment={}, port=port, log_file=log_file)
        self._memory_megabytes = memory_megabytes

    @staticmethod
    def available() -> str | None:
        """Return why the emulator cannot run here, or None if it can."""
        if shutil.which("java") is None:
            return "Java is not installed."
        if _firestore_jar() is None:
            return "The Firestore emulator of the Google Cloud SDK is not installed."
        return None

    def start(self) -> None:
        reason = self.available()
        if reason is not None:
            raise ProcessError(reason)
        super().start()

    def _command(self) -> Sequence[str]:
        return [
            # It lives for minutes: more of the compiler costs more than it saves here.
            *("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
            *(f"-Xmx{self._memory_megabytes}m", "-cp", str(_firestore_jar())),
            *("com.google.cloud.datastore.emulator.firestore.CloudFirestore", "start"),
            *(f"--host={LOOPBACK}", f"--port={self.port}"),
        ]

    def _answers(self) -> bool:
        # The port opens a little before requests are served.
        try:
            with urllib.request.urlopen(self.url, timeout=2) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _lost_port(self) -> bool:
        return "Address already in use" in self.log()[-4096:]


@functools.cache
def _firestore_jar() -> Path | None:
    """Find the emulator beside gcloud, in the usual places, and last by asking gcloud, which
    takes a second."""
    roots = [Path(os.environ["GCLOUD_SDK_ROOT"])] if os.environ.get("GCLOUD_SDK_ROOT") else []
    gcloud = shutil.which("gcloud")
    if gcloud is not None:
        roots.append(Path(gcloud).resolve().parent.parent)
    roots += [
        Path("/usr/lib/google-cloud-sdk"),
        Path("/usr/share/google-cloud-sdk"),
        Path("/opt/google-cloud-sdk"),
        Path("/opt/homebrew/share/google-cloud-sdk"),
        Path("/snap/google-cloud-sdk/current"),
        Path.home() / "google-cloud-sdk",
    ]
    jar = Path("platform/cloud-firestore-emulator/cloud-firestore-emulator.jar")
    for root in roots:
        if (root / jar).is_file():
            return root / jar
    if gcloud is not None:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            told = subprocess.run(
                [gcloud, "info", "--format=value(installation.sdk_root)"],
                capture_output=True,
                text=True,
                timeout=20,
                check=True,
            ).stdout.strip()
            if told and (Path(told) / jar).is_file():
                return Path(told) / jar
    return None


def _require_free(port: int, name: str) -> None:
    if not is_free(port):
        raise ProcessError(f"{name} cannot start: port {port} is taken by another process.")


def _signal_group(group: int, number: int) -> bool:
    """Send a signal to a group. Return whether there was one."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        # What macOS says of a group of which only a zombie is left.
        return False
    return True


def _ending(code: int) -> str:
    return f"status {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
