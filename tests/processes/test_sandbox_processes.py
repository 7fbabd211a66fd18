"""The functions as processes, and the Firestore emulator: started, watched, and ended without a
rest."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import pytest

from sandbox.processes import FirestoreEmulator, FunctionProcess, LocalProcess, ProcessError
from sandbox.servers import free_port
from tests.support.processes import alive

MAIN = """
    import json, os, sys, time

    if os.environ.get("MISTAKE"):
        sys.exit("SYNC_QUEUE is missing: set it to projects/P/locations/L/queues/Q.")

    def greet(request):
        print(json.dumps({"severity": "INFO", "message": "greeted", "path": request.path}))
        print("plain text")
        return {"pid": os.getpid(), "name": os.environ.get("NAME"), "directory": os.getcwd(),
                "threads": os.environ["THREADS"]}

    def stubborn(request):
        time.sleep(60)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "main.py"
    path.write_text(textwrap.dedent(MAIN))
    return path


def eventually(what: Callable[[], bool], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_a_function_answers_over_http(source: Path) -> None:
    """It runs under functions-framework beside its source, with the environment and threads it
    was given."""
    with FunctionProcess(
        "greet", environment={"NAME": "Ada"}, source=source, threads=3
    ) as function:
        function.wait_ready()
        answer = httpx.get(f"{function.url}/some/path").json()
        assert answer["name"] == "Ada"
        assert answer["threads"] == "3"
        assert Path(answer["directory"]).samefile(source.parent)
        assert function.records() == [
            {"severity": "INFO", "message": "greeted", "path": "/some/path"}
        ]
        assert "plain text" in function.log()
        log_path = function._log_path
    assert log_path is not None
    assert not log_path.exists()
    assert not alive(answer["pid"])


def test_a_kill_takes_the_whole_group_and_a_restart_works(source: Path, tmp_path: Path) -> None:
    """SIGKILL leaves no worker and no zombie; the port is free again at once, and a given log
    goes on."""
    log = tmp_path / "greet.log"
    function = FunctionProcess("greet", environment={}, source=source, log_file=log)
    with function:
        function.wait_ready()
        first, master = httpx.get(function.url).json()["pid"], function.pid
        assert master is not None
        assert master != first
        function.kill()
        function.kill()
        assert function.pid is None
        assert not alive(first)
        with pytest.raises(ChildProcessError):
            os.waitpid(master, os.WNOHANG)
        with pytest.raises(httpx.ConnectError):
            httpx.get(function.url)
        function.restart()
        assert httpx.get(function.url).json()["pid"] != first
    function.stop()
    assert len([record for record in function.records() if record["message"] == "greeted"]) == 2
    assert log.exists()


def test_a_mistake_at_the_start_is_shown(source: Path) -> None:
    """A function that stops itself at the start gives its own words, at once and not after the
    timeout."""
    with FunctionProcess("greet", environment={"MISTAKE": "1"}, source=source) as function:
        # The timeout would say "did not answer" instead.
        with pytest.raises(ProcessError, match="ended at its start with status 1") as stopped:
            function.wait_ready()
        assert "SYNC_QUEUE is missing: set it to" in str(stopped.value)
        assert function.pid is None


def test_a_port_that_is_taken_is_named(source: Path) -> None:
    """If another process has the port, the start fails and says which."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        function = FunctionProcess("greet", environment={}, source=source, port=port)
        with pytest.raises(ProcessError, match=f"port {port} is taken"):
            function.start()
        function.stop()


def test_a_port_lost_between_look_and_start_is_no_success(
    source: Path,
) -> None:
    """When a stranger takes the port in the last moment, its answers are not mistaken for the
    function's."""
    # It never listens, so that nothing but the log tells.
    stranger = socket.socket()

    class Overtaken(FunctionProcess):
        def _command(self) -> Sequence[str]:
            # The port was looked at; the process is not started yet. It is held, so only who would
            # share it gets it; then the stranger shares it no more.
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stranger.bind(("127.0.0.1", self.port))
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            return super()._command()

    with stranger:
        function = Overtaken("greet", environment={}, source=source)
        with function, pytest.raises(ProcessError, match=f"could not have port {function.port}"):
            function.wait_ready()


def test_a_process_that_does_not_listen_is_given_up(tmp_path: Path) -> None:
    """`wait_ready` ends with its timeout, and `stop` kills what ignores SIGTERM."""

    class Deaf(LocalProcess):
        grace_seconds = 0.2

        def _command(self) -> list[str]:
            return [
                sys.executable,
                "-c",
                "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
                "print('deaf', flush=True); time.sleep(60)",
            ]

    deaf = Deaf("deaf", environment={}, port=None, log_file=tmp_path / "deaf.log")
    with deaf:
        assert eventually(lambda: "deaf" in deaf.log())
        with pytest.raises(ProcessError, match="did not answer"):
            deaf.wait_ready(timeout=0.1)
        pid = deaf.pid
        assert pid is not None
    assert not alive(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="binding a process to its parent is Linux' own")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_parent(source: Path, tmp_path: Path, number: signal.Signals) -> None:
    """However the parent ends, by clean-up or in mid-breath, the function and its worker end
    with it."""
    port = free_port()
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(f"""
            import time
            from pathlib import Path
            from sandbox.processes import FunctionProcess

            source = Path({str(source)!r})
            with FunctionProcess("greet", environment={{}}, source=source, port={port}) as function:
                function.wait_ready()
                print(function.pid, flush=True)
                time.sleep(60)
        """)
    )
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        master = int(parent.stdout.readline())
        worker = httpx.get(f"http://127.0.0.1:{port}").json()["pid"]
        parent.send_signal(number)
        parent.wait(60)
        assert eventually(lambda: not alive(master) and not alive(worker))


def test_the_firestore_emulator_says_why_it_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Java the reason is told, and a start fails with it."""
    monkeypatch.setenv("PATH", "")
    assert "Java" in (FirestoreEmulator.available() or "")
    with pytest.raises(ProcessError, match="Java"):
        FirestoreEmulator().start()


@pytest.mark.firestore
@pytest.mark.skipif(
    FirestoreEmulator.available() is not None, reason=str(FirestoreEmulator.available())
)
def test_the_firestore_emulator_runs() -> None:
    """It answers when it is ready, and is gone after."""
    with FirestoreEmulator() as emulator:
        emulator.wait_ready()
        assert httpx.get(f"http://{emulator.host}").text.strip() == "Ok"
        pid = emulator.pid
        assert pid is not None
    assert not alive(pid)
