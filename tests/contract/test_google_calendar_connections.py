"""The connections of our Calendar client: one for each thread, and none that was cut."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from sandbox.google_calendar import GoogleCalendar
from sync.errors import TryLater
from sync.google.calendar import Calendar
from sync.google.connections import FRESH_SECONDS, IDLE_SECONDS, Connections
from sync.model.calendar import Access
from sync.model.event import CalendarId, Etag, EventId
from tests.support.calendar_client import NOBODY, found, of, open_channel, seed


@pytest.mark.slow
def test_threads_never_share_a_connection(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """Sixteen threads side by side, each asking for another event, each get their own."""
    ids = [seed(stand_in, anna, summary=f"Event {number}") for number in range(16)]
    stand_in.faults.add(method="GET", times=16, delay_seconds=0.05)
    with ThreadPoolExecutor(16) as pool:
        for _ in range(5):
            entries = pool.map(lambda event: calendar.bind(anna, NOBODY).get_event(event), ids)
            assert [found(entry).title for entry in entries] == [
                f"Event {number}" for number in range(16)
            ]


def test_a_connection_is_of_use_after_an_error(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """A connection that was cut is thrown away, and the next call has a good one."""
    event = seed(stand_in, anna)
    for _ in range(3):
        stand_in.faults.add(truncate=True, times=3)
        with suppress(TryLater, http.client.HTTPException):  # which of them, another test says
            calendar.bind(anna, NOBODY).patch_event(event, {"location": "x"}, Etag('"1"'))
        stand_in.faults.clear()
        assert calendar.bind(anna, NOBODY).get_event(event).id == event


class Hasty:
    """A server that answers one request of each connection, and then closes it without a word.

    While it is `dumb`, it does not even answer.
    """

    def __init__(self) -> None:
        self.dumb = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.requests: list[str] = []
        self.closed = threading.Semaphore(0)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                with connection, connection.makefile("rb") as lines:
                    self._answer(connection, lines)
                self.closed.release()

    def _answer(self, connection: socket.socket, lines: Any) -> None:
        first = lines.readline().decode()
        length = 0
        while line := lines.readline().strip():
            name, _, value = line.decode().partition(":")
            length = int(value) if name.lower() == "content-length" else length
        lines.read(length)
        self.requests.append(first.split()[0])
        if self.dumb:
            return
        body = b'{"id": "e1", "resourceId": "r"}'
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        connection.sendall(head.encode() + b"\r\n\r\n" + body)

    def stop(self) -> None:
        self._listening.close()


@pytest.fixture
def hasty() -> Iterator[Hasty]:
    server = Hasty()
    yield server
    server.stop()


def test_h1_a_call_after_a_quiet_time_is_not_sent_into_a_closed_connection(hasty: Hasty) -> None:
    """The server closed the idle connection: what is not repeated arrives all the same, once."""
    calendar = Calendar(None, emulator=hasty.host)
    anna = CalendarId("anna@example.com")

    def quiet() -> None:
        assert hasty.closed.acquire(timeout=10)

    calendar.bind(anna, NOBODY).get_event(EventId("e1"))
    quiet()
    channel = open_channel(calendar, anna)
    quiet()
    calendar.bind(anna, NOBODY).patch_event(EventId("e1"), {"location": "x"}, Etag('"1"'))
    quiet()
    calendar.stop_channel(channel)
    quiet()
    calendar.bind(anna, NOBODY).get_event(EventId("e1"))
    assert hasty.requests == ["GET", "POST", "PATCH", "POST", "GET"]
    calendar.close()


def test_w1_a_write_without_an_answer_is_sent_once(hasty: Hasty) -> None:
    """Nor does the library underneath send it again; a read may be."""
    calendar = Calendar(None, emulator=hasty.host)
    anna = calendar.bind(CalendarId("anna@example.com"), NOBODY)
    hasty.dumb = True
    with pytest.raises(TryLater):
        anna.patch_event(EventId("e1"), {"location": "x"}, Etag('"1"'))
    with pytest.raises(TryLater):
        open_channel(calendar, CalendarId("anna@example.com"))
    assert hasty.requests == ["PATCH", "POST"]
    with pytest.raises(TryLater):
        anna.get_event(EventId("e1"))
    assert hasty.requests == ["PATCH", "POST", "GET", "GET", "GET"]
    calendar.close()


def test_a_redirect_is_not_followed(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId, hasty: Hasty
) -> None:
    """Whoever stands between us and Calendar does not get our call, and is no answer."""
    stand_in.faults.add(
        status=302, headers={"Location": f"http://{hasty.host}/"}, body="", times=None
    )
    with pytest.raises(TryLater, match="302"):
        calendar.bind(anna, NOBODY).get_event(EventId("e1"))
    assert hasty.requests == []


def test_h1_only_a_call_that_is_repeated_gets_a_connection_that_was_idle_for_long() -> None:
    """Networks drop idle connections without telling anybody; a new connection costs little."""
    connections = Connections()
    with connections.lend(FRESH_SECONDS) as first:
        pass
    with connections.lend(FRESH_SECONDS) as second:
        assert second is first
    with connections.lend(0.0) as third:
        assert third is not first
    with suppress(TryLater), connections.lend(FRESH_SECONDS) as fourth:
        assert fourth is third
        raise TryLater("cut off")
    with connections.lend(IDLE_SECONDS) as last:
        assert last is first
    connections.close()


def test_idle_connections_are_bounded() -> None:
    """A burst of threads leaves no more of them than one run can use."""
    connections = Connections()
    with ExitStack() as all_at_once:
        lent = [all_at_once.enter_context(connections.lend(IDLE_SECONDS)) for _ in range(100)]
    assert len({id(each) for each in lent}) == 100
    assert len(connections._idle) == 64
    connections.close()


def test_delegated_calls_are_charged_to_the_user(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """With a subject, each call names whom it is for: the same for the same user, never the
    address itself."""
    event = seed(stand_in, anna)
    for subject in ("anna@example.com", "anna@example.com", "ben@example.com", None):
        calendar.bind(anna, Access(subject=subject)).get_event(event)
    names = [request.query.get("quotaUser") for request in of(stand_in, anna)]
    assert names[0] == names[1] != names[2]
    assert names[3] is None
    assert all(name and len(name) <= 40 and "anna" not in name for name in names[:3])
