"""Real servers on loopback for the stand-ins: one for HTTP, and a way to a free port for
everything else."""

from __future__ import annotations

import contextlib
import errno
import functools
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from typing import Any

import flask
import httpx
import waitress.server
import waitress.wasyncore
from flask.json.provider import DefaultJSONProvider
from werkzeug.routing import Rule

LOOPBACK = "127.0.0.1"


UNKEPT = httpx.Limits(max_connections=None, max_keepalive_connections=0)
"""For calls of the functions, one connection each: gunicorn closes a kept one after two idle
seconds, or with its process, and the next call on it could find that out too late."""


@functools.cache
def certificates() -> ssl.SSLContext:
    """What clients check the other side of https with: loaded once, for it takes some 20 ms."""
    return httpx.create_ssl_context(trust_env=False)


def free_port() -> int:
    """Return a loopback port at which nobody listens, for a process that is started now."""
    return hold_port(0)


def hold_port(port: int) -> int:
    """Let the system give a port to nobody who asks for any; 0 means any. Return its number.

    A connection is made and ended at the port. The system remembers it for a while (TIME_WAIT, a
    minute on Linux), and gives such a port only to a server that names it and sets SO_REUSEADDR, as
    ours do. https://www.rfc-editor.org/rfc/rfc9293#section-3.6.1

    Raises OSError if somebody listens there.
    """
    with (
        socket.create_server((LOOPBACK, port)) as server,
        socket.create_connection(server.getsockname()),
    ):
        # Whoever closes first is the one that remembers.
        server.accept()[0].close()
        held: int = server.getsockname()[1]
        return held


def is_free(port: int) -> bool:
    """Whether nobody listens at a loopback port; somebody may a moment later."""
    with socket.socket() as probe:
        # As servers do: connections that are only just closed are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def calls_of(app: flask.Flask) -> list[str]:
    """Return every call of an application, such as `GET /calendars/<calendar_id>`, for `GET /`."""
    return sorted(
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        if rule.endpoint != "static"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    )


def in_order(app: flask.Flask) -> None:
    """Let the app answer the members of an object in the order in which they were written."""
    if isinstance(app.json, DefaultJSONProvider):
        app.json.sort_keys = False


class _MatchedRule(Rule):
    """A path that is matched, and that no address is built from."""

    def _compile_builder(self, *_: Any, **__: Any) -> Callable[..., tuple[str, str]]:
        return _no_address


def _no_address(_rule: Rule, **_values: Any) -> tuple[str, str]:
    raise RuntimeError("this application was made without url_for (build_no_addresses)")


def build_no_addresses(app: flask.Flask) -> None:
    """Make an app that needs no `url_for` faster to make. Called before the app gets its routes.

    For `url_for` werkzeug compiles two functions for each route, nine tenths of its work on the
    route. Calendar's stand-in has fifty routes, and the tests make hundreds of it.
    """
    app.url_rule_class = _MatchedRule


def _listening(bind: str, ports: Iterable[int]) -> socket.socket:
    """Return a socket at the first free port. Only a bound one is ours: others may look as well."""
    taken = OSError(errno.EADDRINUSE, f"every port at {bind} that was to be tried is taken")
    for port in ports:
        try:
            return socket.create_server((bind, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            taken = error
    raise taken


class HttpServer:
    """Serves one WSGI application in threads of this process until `stop`.

    `threads` bounds the requests served side by side. A request that hangs on purpose holds one of
    them.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        *,
        port: int | Iterable[int] = 0,
        threads: int = 64,
        bind: str = LOOPBACK,
    ) -> None:
        """Listen at `port`, where 0 means any; of several ports, at the first that is free.

        `bind` is the address to listen at; 0.0.0.0 means every one that the machine has. Raises
        OSError if every port is taken.
        """
        self._bind = bind
        self._server = waitress.server.create_server(
            app,
            sockets=[_listening(bind, [port] if isinstance(port, int) else port)],
            threads=threads,
            # The stand-ins send error bodies of their own and never want waitress' name in the way.
            ident="",
            clear_untrusted_proxy_headers=True,
        )
        self.port: int = int(self._server.effective_port)
        self._thread = threading.Thread(target=self._run, name=f"http-{self.port}", daemon=True)

    @property
    def host(self) -> str:
        """`host:port`, the form of the `…_EMULATOR_HOST` variables."""
        return f"{self._bind}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End in order: first the requests, then the connections, then the threads. Safe to
        repeat."""
        server = self._server
        # Workers may still need the loop to send what they have answered.
        server.task_dispatcher.shutdown(timeout=2)
        if self._thread.is_alive():
            # In the loop's own thread: sockets closed under its select would break it. A worker's
            # own wake-up may run it before ours is sent: then the pipe is closed already.
            with contextlib.suppress(OSError):
                server.trigger.pull_trigger(lambda: waitress.wasyncore.close_all(server._map))
            self._thread.join(timeout=5)
        else:
            waitress.wasyncore.close_all(server._map)

    def _run(self) -> None:
        self._server.run()
