"""HTTP to a conferencing system: bounded in time and size, and every way in which no answer
comes is one error."""

from __future__ import annotations

import functools
import json
import ssl
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpx

from sync.backoff import retry_after as retry_after
from sync.errors import TryLater

# A run's lease lasts a minute and is extended between calls: no call may come near that.
TOTAL_SECONDS = 25.0
_CONNECT_SECONDS = 5.0
_READ_SECONDS = 20.0
# A conference's description is some kilobytes; nobody may fill our memory.
_MOST_BYTES = 2_000_000
# What zlib takes for "gzip, with its head and its checksum".
_GZIP = 31


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, read to its end. `headers` ignores case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON, or None when it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def members(self) -> dict[str, Any]:
        """Return the members of a body that is a JSON object, and none of any other body."""
        value = self.json()
        return value if isinstance(value, dict) else {}


class HttpClient:
    """A pool of connections to one provider. Safe for threads.

    `total_seconds` is what one request has until the last byte of its answer is received.
    """

    def __init__(self, *, total_seconds: float = TOTAL_SECONDS) -> None:
        self._total_seconds = total_seconds
        self._lock = threading.Lock()
        self._made: httpx.Client | None = None

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        form: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and return its answer, whatever its status.

        Raises TryLater when none came in time, none could be read to its end, or it was too large.
        `outcome_unknown` unless the request certainly never left.
        """
        # ASCII: half a character in a title, which is no UTF-8, goes through escaped (E8).
        content = json.dumps(body).encode() if body is not None else None
        sent = {"Content-Type": "application/json"} if body is not None else {}
        try:
            with (
                _within(self._total_seconds),
                self._client().stream(
                    method,
                    url,
                    headers={**sent, **(headers or {})},
                    content=content,
                    data=dict(form) if form else None,
                ) as response,
            ):
                received = bytearray()
                for piece in _unpacked(response):
                    received += piece
                    if len(received) > _MOST_BYTES:
                        raise TryLater("the provider's answer was too long", outcome_unknown=True)
                return Answer(response.status_code, response.headers, bytes(received))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise TryLater(f"the provider cannot be reached ({type(error).__name__})") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, zlib.error) as error:
            raise TryLater(
                f"the provider did not answer in full ({type(error).__name__})",
                outcome_unknown=True,
            ) from error

    def close(self) -> None:
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            made.close()

    def _client(self) -> httpx.Client:
        """Return the pool, made at the first request."""
        with self._lock:
            if self._made is None:
                self._made = httpx.Client(
                    verify=_trusted(),
                    timeout=httpx.Timeout(
                        _READ_SECONDS, connect=_CONNECT_SECONDS, pool=TOTAL_SECONDS
                    ),
                    limits=httpx.Limits(max_connections=64, max_keepalive_connections=64),
                    # A redirect is a mistake of configuration; following one would carry the
                    # credentials elsewhere.
                    follow_redirects=False,
                    headers={
                        "User-Agent": "calendar-conference-sync",
                        "Accept": "application/json",
                        "Accept-Encoding": "gzip",
                    },
                )
                _bound(self._made)
            return self._made


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Return the certificates that are trusted, which all pools share.

    Reading them takes 25 milliseconds of processor time. A function that calls no provider never
    reads them.
    """
    return httpx.create_ssl_context()


def _unpacked(response: httpx.Response) -> Iterator[bytes]:
    """Yield the body of an answer, no piece of it longer than an answer may be.

    httpx unpacks each piece as a whole, and as often as the answer says. A few kilobytes then
    become as many gigabytes as somebody likes.
    """
    match response.headers.get("Content-Encoding", "").strip().lower():
        case "" | "identity":
            yield from response.iter_raw()
        case "gzip" | "x-gzip":
            unpack = zlib.decompressobj(_GZIP)
            for piece in response.iter_raw():
                yield unpack.decompress(piece, _MOST_BYTES + 1)
        case _:
            raise TryLater(
                "the provider's answer is packed in a way that nobody asked for",
                outcome_unknown=True,
            )


_give_up: ContextVar[float] = ContextVar("give_up", default=float("inf"))


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Let what this thread receives in the block end after so many seconds."""
    token = _give_up.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _give_up.reset(token)


def _bound(client: httpx.Client) -> None:
    """Let every connection of a client look at the time that a whole request has.

    httpx bounds each wait, not their sum: somebody may send a byte of a header every second, or
    one `103 Early Hints` after the other, for ever. It takes no network backend as an argument.
    https://www.encode.io/httpcore/network-backends/
    """
    for transport in (client._transport, *client._mounts.values()):
        if isinstance(transport, httpx.HTTPTransport):
            pool: Any = transport._pool
            pool._network_backend = _Backend(pool._network_backend)


class _Backend:
    """A network backend of httpcore whose connections look at the time."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def connect_tcp(self, *args: Any, **kwargs: Any) -> _Stream:
        return _Stream(self._backend.connect_tcp(*args, **kwargs))

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)


class _Stream:
    """A connection of httpcore from which nothing is read once the time is over."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = _give_up.get() - time.monotonic()
        if left <= 0:
            raise TryLater("the provider's answer took too long", outcome_unknown=True)
        received: bytes = self._stream.read(max_bytes, min(left, timeout or left))
        return received

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def start_tls(self, *args: Any, **kwargs: Any) -> _Stream:
        return _Stream(self._stream.start_tls(*args, **kwargs))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()
