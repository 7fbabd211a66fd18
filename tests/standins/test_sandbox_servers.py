"""Servers of the sandbox that are started side by side."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import flask
import pytest

from sandbox.servers import LOOPBACK, HttpServer, free_port


def test_servers_that_start_at_once_each_get_a_port_of_their_own() -> None:
    """Each sees the same free port first. One gets it, and the others go on to the next."""
    first = free_port()
    # Made once: CPython 3.11 cannot parse in several threads, which Flask does for each.
    app = flask.Flask(__name__)

    def started(_: int) -> HttpServer:
        return HttpServer(app, port=range(first, first + 40), threads=1)

    with ThreadPoolExecutor(8) as side_by_side:
        for _ in range(10):
            servers = list(side_by_side.map(started, range(8)))
            assert len({server.port for server in servers}) == 8
            for server in servers:
                server.stop()


def test_a_free_port_is_given_to_nobody_else() -> None:
    """Else what is started a second later would now and then find a stranger at its port."""
    ports = {free_port() for _ in range(200)}
    given = set()
    for number in range(20_000):
        with socket.socket() as other:
            # Some servers say that they would share, some do not.
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, number % 2)
            other.bind((LOOPBACK, 0))
            given.add(other.getsockname()[1])
    assert not ports & given
    for port in ports:
        server = HttpServer(flask.Flask(__name__), port=port, threads=1)
        assert server.port == port
        server.stop()


def test_a_port_that_is_taken_is_said() -> None:
    taken = HttpServer(flask.Flask(__name__))
    with pytest.raises(OSError, match="in use"):
        HttpServer(flask.Flask(__name__), port=taken.port)
    with pytest.raises(OSError, match="in use"):
        HttpServer(flask.Flask(__name__), port=[taken.port])
    with pytest.raises(OSError, match="every port"):
        HttpServer(flask.Flask(__name__), port=[])
    taken.stop()
