"""HTTP to a conferencing system: bounded in time and size, and every way in which no answer
comes is one error."""

from __future__ import annotations

import functools
import json
import ssl
import threading
import time
from collections.abc import Mapping
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


class HttpClient:
    """A pool of connections to one provider. Safe for threads."""

    def __init__(self) -> None:
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
        give_up = time.monotonic() + TOTAL_SECONDS
        # ASCII: half a character in a title, which is no UTF-8, goes through escaped (E8).
        content = json.dumps(body).encode() if body is not None else None
        sent = {"Content-Type": "application/json"} if body is not None else {}
        try:
            with self._client().stream(
                method,
                url,
                headers={**sent, **(headers or {})},
                content=content,
                data=dict(form) if form else None,
            ) as response:
                received = bytearray()
                for piece in response.iter_bytes():
                    received += piece
                    # httpx bounds each wait, not their sum: somebody may send a byte every second
                    # for ever.
                    if len(received) > _MOST_BYTES or time.monotonic() > give_up:
                        raise TryLater("the provider's answer was too long", outcome_unknown=True)
                return Answer(response.status_code, response.headers, bytes(received))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise TryLater(f"the provider cannot be reached ({type(error).__name__})") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
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
                    },
                )
            return self._made


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Return the certificates that are trusted, which all pools share.

    Reading them takes 25 milliseconds of processor time. A function that calls no provider never
    reads them.
    """
    return httpx.create_ssl_context()
