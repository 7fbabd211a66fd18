"""Servers of the sandbox that are started side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import flask
import pytest

from sandbox.servers import HttpServer, free_port


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


def test_a_port_that_is_taken_is_said() -> None:
    taken = HttpServer(flask.Flask(__name__))
    with pytest.raises(OSError, match="in use"):
        HttpServer(flask.Flask(__name__), port=taken.port)
    with pytest.raises(OSError, match="in use"):
        HttpServer(flask.Flask(__name__), port=[taken.port])
    with pytest.raises(OSError, match="every port"):
        HttpServer(flask.Flask(__name__), port=[])
    taken.stop()
