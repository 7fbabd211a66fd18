"""A sender whose request never ends, for what must not wait for it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from sandbox.processes import FunctionProcess


@contextmanager
def slow_sender(function: FunctionProcess, headers: Mapping[str, str]) -> Iterator[socket.socket]:
    """A connection that announces a body and sends a byte now and then, until the block ends."""
    port = function.port
    assert port is not None
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join(
        ["POST / HTTP/1.1", "Host: functions.example.com", "Content-Length: 100000", *lines, "", ""]
    )
    ended = threading.Event()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head.encode() + b"x")

        def trickle() -> None:
            with suppress(OSError):
                while not ended.wait(0.2):
                    connection.sendall(b"x")

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            yield connection
        finally:
            ended.set()
            thread.join()
