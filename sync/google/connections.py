"""HTTP connections to Calendar: kept while they are idle, and each lent to one thread at a time."""

from __future__ import annotations

import http.client
import selectors
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import googleapiclient.errors
import httplib2

_TIMEOUT_SECONDS = 20
# One for each thread that works side by side (SYNC_CONCURRENCY is at most 64).
_MOST_IDLE = 64
# Servers and the networks between close a connection that nobody uses, often without a word.
IDLE_SECONDS = 60.0
# A call that is not repeated gets a connection that was used just now, or a new one.
FRESH_SECONDS = 5.0


class _Plain(httplib2.HTTPConnectionWithTimeout):
    def getresponse(self) -> http.client.HTTPResponse:
        with _no_answer():
            return super().getresponse()


class _Encrypted(httplib2.HTTPSConnectionWithTimeout):
    def getresponse(self) -> http.client.HTTPResponse:
        with _no_answer():
            return super().getresponse()


@contextmanager
def _no_answer() -> Iterator[None]:
    """Let a connection that ended without an answer be an error that httplib2 does not repeat."""
    try:
        yield
    except http.client.BadStatusLine as error:
        raise ConnectionError("the connection ended without an answer") from error


class _Http(httplib2.Http):
    """Sends each request once, and where it was meant to go.

    httplib2 sends any request again, a write as well, when a connection ends without an answer.
    """

    def __init__(self) -> None:
        # `decode_limit_ratio=0`: events that resemble each other are compressed by more than a
        # hundred, and Calendar is no stranger.
        super().__init__(timeout=_TIMEOUT_SECONDS, decode_limit_ratio=0)
        self.follow_redirects = False

    def request(self, uri: str, *args: Any, **kwargs: Any) -> Any:
        kwargs["connection_type"] = _Plain if uri.startswith("http:") else _Encrypted
        return super().request(uri, *args, **kwargs)


class Connections:
    """Connections that no thread uses at the moment. httplib2 is not safe for threads.

    The one used last is lent first: if that is too old, all others are.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[tuple[httplib2.Http, float]] = []

    @contextmanager
    def lend(self, oldest_seconds: float) -> Iterator[httplib2.Http]:
        """Lend a connection to this thread alone. After an error it is thrown away."""
        connection = self._take(oldest_seconds) or _Http()
        try:
            yield connection
        except googleapiclient.errors.HttpError:
            # The answer was read to its end.
            self._keep(connection)
            raise
        except BaseException:
            connection.close()
            raise
        self._keep(connection)

    def close(self) -> None:
        """End all idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def _take(self, oldest_seconds: float) -> httplib2.Http | None:
        while True:
            with self._lock:
                if not self._idle or time.monotonic() - self._idle[-1][1] > oldest_seconds:
                    return None
                connection, _ = self._idle.pop()
            if not _closed_by_peer(connection):
                return connection
            connection.close()

    def _keep(self, connection: httplib2.Http) -> None:
        now = time.monotonic()
        with self._lock:
            self._idle.append((connection, now))
            stale = [old for old, used in self._idle if now - used > IDLE_SECONDS]
            self._idle = self._idle[len(stale) :]
            if len(self._idle) > _MOST_IDLE:
                stale.append(self._idle.pop(0)[0])
        for old in stale:
            old.close()


def _closed_by_peer(connection: httplib2.Http) -> bool:
    """Tell whether something came over an idle connection: then it was its end."""
    sockets = [each.sock for each in connection.connections.values() if each.sock is not None]
    with selectors.DefaultSelector() as selector:
        for each in sockets:
            selector.register(each, selectors.EVENT_READ)
        return bool(sockets and selector.select(timeout=0))
