"""Delivery of notifications over real HTTP, from threads of its own.

A request to the API never waits for a delivery.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from sandbox.google_calendar.records import Log, PushRecord
from sandbox.google_calendar.settings import Settings
from sandbox.servers import UNKEPT

USER_AGENT = "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google)"
_RETRIED_STATUSES = frozenset({500, 502, 503, 504})
_THREADS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One notification: headers and nothing else."""

    channel_id: str
    address: str
    state: str
    number: int
    headers: dict[str, str]


class Pushes:
    """Sends messages when they are due, and again after the failures that Google retries.

    `log` tells of each try.
    """

    def __init__(self, settings: Settings) -> None:
        self.log: Log[PushRecord] = Log()
        self._settings = settings
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._stopped = False
        self._begun = 0
        self._tried = 0
        self._ready: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._clients: dict[bool, httpx.Client] = {}

    def start(self) -> None:
        self._threads = [threading.Thread(target=self._keep_time, name="pushes-clock", daemon=True)]
        self._threads += [
            threading.Thread(target=self._work, name=f"pushes-{n}", daemon=True)
            for n in range(_THREADS)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Drop what is not sent yet and end the threads. Safe to repeat."""
        with self._changed:
            self._stopped = True
            self._due.clear()
            self._changed.notify_all()
        for _ in range(_THREADS):
            self._ready.put(None)
        for thread in self._threads:
            # A receiver that never answers holds its thread; the process does not wait for that.
            thread.join(timeout=1)
        self._threads = []
        for client in self._clients.values():
            client.close()

    def send(self, message: Message, *, delay_seconds: float = 0.0) -> threading.Event:
        """Have the message sent. The event is set after the first try."""
        tried = threading.Event()
        with self._changed:
            self._begun += 1
        self.later(delay_seconds, lambda: self._deliver(message, attempt=0, tried=tried))
        return tried

    def tried(self, timeout_seconds: float) -> int | None:
        """Wait until each message was sent once. Returns how many were, None if the time is over.

        Tries after a failure are not waited for.
        """
        with self._changed:
            if self._changed.wait_for(self._all_tried, timeout_seconds):
                return self._begun
        return None

    def _all_tried(self) -> bool:
        return self._stopped or self._tried == self._begun

    def lose(self, message: Message) -> None:
        self.log.append(
            PushRecord(message.channel_id, message.state, message.number, error="lost on purpose")
        )

    def later(self, delay_seconds: float, action: Callable[[], None]) -> None:
        """Run the action in one of the threads, after this many real seconds."""
        with self._changed:
            if not self._stopped:
                heapq.heappush(
                    self._due, (time.monotonic() + delay_seconds, next(self._order), action)
                )
                self._changed.notify_all()

    def _keep_time(self) -> None:
        with self._changed:
            while not self._stopped:
                if not self._due:
                    self._changed.wait()
                    continue
                wait = self._due[0][0] - time.monotonic()
                if wait > 0:
                    self._changed.wait(wait)
                else:
                    self._ready.put(heapq.heappop(self._due)[2])

    def _work(self) -> None:
        while (action := self._ready.get()) is not None:
            if not self._stopped:
                action()

    def _deliver(self, message: Message, *, attempt: int, tried: threading.Event) -> None:
        settings = self._settings
        headers = {
            "User-Agent": USER_AGENT,
            "Accept": "*/*",
            "Content-Type": "application/json; charset=UTF-8",
        }
        record = PushRecord(message.channel_id, message.state, message.number)
        try:
            client = self._http(secure=message.address.startswith("https:"))
            response = client.post(message.address, headers=headers | message.headers, content=b"")
            record.status = response.status_code
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:
            # RuntimeError: the client was closed by `stop` meanwhile.
            record.error = f"{type(error).__name__}: {error}"
        self.log.append(record)
        if attempt == 0:
            tried.set()
            with self._changed:
                self._tried += 1
                self._changed.notify_all()
        if record.status in _RETRIED_STATUSES and attempt < settings.push_retries:
            delay = settings.push_retry_seconds * 2**attempt
            self.later(delay, lambda: self._deliver(message, attempt=attempt + 1, tried=tried))

    def _http(self, *, secure: bool) -> httpx.Client:
        """Return the client for http or https, made when first used.

        The certificates for https take a while to load.
        """
        with self._changed:
            if secure not in self._clients:
                self._clients[secure] = httpx.Client(
                    limits=UNKEPT,
                    timeout=self._settings.push_timeout_seconds,
                    verify=secure and self._settings.verify_tls,
                    follow_redirects=False,
                    trust_env=False,
                )
            return self._clients[secure]
