"""HTTP to a conferencing system: bounded in size, and every way in which no answer comes is
TryLater (C3)."""

from __future__ import annotations

import gzip
import json
import re
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.servers import LOOPBACK, free_port
from sync.conferencing.http import Answer, HttpClient, retry_after
from sync.errors import TryLater

NOW = datetime(2030, 5, 2, 8, 0, tzinfo=UTC)

Speak = Callable[[socket.socket], object]


@contextmanager
def peer(speak: Speak, heard: list[bytes] | None = None) -> Iterator[str]:
    """A server that reads one request's head, and all of it where it is to be heard, and then
    does as told; its URL."""
    with socket.create_server((LOOPBACK, 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    received = b""
                    while b"\r\n\r\n" not in received and (piece := connection.recv(65536)):
                        received += piece
                    if heard is not None:
                        length = re.search(rb"content-length: (\d+)", received.lower())
                        while length and len(received.partition(b"\r\n\r\n")[2]) < int(length[1]):
                            received += connection.recv(65536)
                        heard.append(received)
                    with suppress(OSError):
                        speak(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://{LOOPBACK}:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(timeout=5)


def says(*pieces: bytes) -> Speak:
    def speak(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)

    return speak


def whole(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.fixture
def client() -> Iterator[HttpClient]:
    client = HttpClient()
    yield client
    client.close()


def test_an_answer_is_returned_whatever_its_status(client: HttpClient) -> None:
    """Status, headers without regard to case, body, and its JSON."""
    for status in (200, 204, 302, 404, 429, 503):
        with peer(
            says(whole(f"{status} Some", b'{"a": 1}' if status != 204 else b"", "Retry-After: 5"))
        ) as url:
            answer = client.request("GET", url)
        assert (answer.status, answer.headers["retry-after"]) == (status, "5")
        assert answer.json() == ({"a": 1} if status != 204 else None)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"\xff\xfe", b'{"a":'])
def test_a_body_that_is_no_json_is_none(body: bytes) -> None:
    """HTML, nothing, half of something: no crash."""
    assert Answer(200, {}, body).json() is None


def test_a_request_carries_what_it_was_given(client: HttpClient) -> None:
    """Method, headers, JSON or a form, and who is asking."""
    heard: list[bytes] = []
    with peer(says(whole("200 OK")), heard) as url:
        client.request(
            "PUT", url + "/a%2Fb?c=d", headers={"X-One": "1"}, body={"title": "\N{BIRTHDAY CAKE}"}
        )
        client.request("POST", url, form={"grant_type": "a b"})
    put, post = (each.partition(b"\r\n\r\n") for each in heard)
    assert put[0].startswith(b"PUT /a%2Fb?c=d HTTP/1.1\r\n")
    assert json.loads(put[2]) == {"title": "\N{BIRTHDAY CAKE}"}
    for line in (
        b"x-one: 1",
        b"user-agent: calendar-conference-sync",
        b"content-type: application/json",
    ):
        assert line in put[0].lower()
    assert (post[2], b"x-www-form-urlencoded" in post[0]) == (b"grant_type=a+b", True)


def test_c3_a_redirect_is_not_followed(client: HttpClient) -> None:
    """Following one would carry the credentials elsewhere: it is an answer like another, and
    nobody else is called."""
    called: list[bool] = []

    def elsewhere(connection: socket.socket) -> None:
        called.append(True)
        connection.sendall(whole("200 OK"))

    with (
        peer(elsewhere) as other,
        peer(says(whole("307 Moved", b"", f"Location: {other}/"))) as url,
    ):
        assert (
            client.request("POST", url, headers={"Authorization": "Bearer t"}, body={}).status
            == 307
        )
    assert called == []


UNKNOWN: dict[str, Speak] = {
    "C3-no-answer": says(),
    "C3-half-a-head": says(b"HTTP/1.1 200 OK\r\nContent-"),
    "C3-not-http": says(b"SSH-2.0-OpenSSH\r\n\r\n"),
    "C3-truncated": says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
    "C3-truncated-chunk": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"),
    "C3-damaged-gzip": says(whole("200 OK", b"no gzip at all", "Content-Encoding: gzip")),
    "C3-huge": says(whole("200 OK", b"x" * 3_000_000)),
    "C3-huge-when-unpacked": says(
        whole("200 OK", gzip.compress(b"x" * 30_000_000), "Content-Encoding: gzip")
    ),
    "C3-huge-without-a-length": says(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", *[b"x" * 100_000] * 40
    ),
}


@pytest.mark.parametrize("speak", list(UNKNOWN.values()), ids=list(UNKNOWN))
def test_c3_an_answer_that_cannot_be_read_leaves_the_outcome_unknown(
    client: HttpClient, speak: Speak
) -> None:
    """The request may have been carried out: whoever repeats it must do so safely."""
    with peer(speak) as url, pytest.raises(TryLater) as caught:
        client.request("POST", url, body={})
    assert caught.value.outcome_unknown


EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"


def drips(first: bytes, piece: bytes, last: bytes) -> Speak:
    """Send a piece every twentieth of a second, for three seconds, and then what is missing."""

    def speak(connection: socket.socket) -> None:
        connection.sendall(first)
        for _ in range(60):
            connection.sendall(piece)
            time.sleep(0.05)
        connection.sendall(last)

    return speak


SLOW: dict[str, Speak] = {
    "S6-header": drips(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a", b"\r\nContent-Length: 0\r\n\r\n"),
    "S6-early-hints": drips(b"", EARLY_HINTS, whole("200 OK")),
    "S6-many-early-hints": drips(b"", EARLY_HINTS * 100, whole("200 OK")),
    "S6-body": drips(b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n", b"a", b""),
    "S6-chunks": drips(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n", b"0\r\n\r\n"
    ),
}


@pytest.mark.parametrize("speak", list(SLOW.values()), ids=list(SLOW))
def test_s6_a_request_ends_in_its_time_however_slowly_it_is_answered(speak: Speak) -> None:
    """An answer that trickles, in whatever part of it, holds a run up no longer than silence."""
    client = HttpClient(total_seconds=0.5)
    with peer(speak) as url, pytest.raises(TryLater) as caught:
        client.request("POST", url, body={})
    client.close()
    assert caught.value.outcome_unknown


@pytest.mark.parametrize("times", [1, 2])
def test_s6_what_is_packed_takes_no_more_memory_than_an_answer_may(
    client: HttpClient, times: int
) -> None:
    """A hundred megabytes of zeros, packed once and packed twice."""
    bomb = bytes(100_000_000)
    for _ in range(times):
        bomb = gzip.compress(bomb, compresslevel=1)
    packed = ", ".join(["gzip"] * times)
    with peer(says(whole("200 OK", bomb, f"Content-Encoding: {packed}"))) as url:
        tracemalloc.start()
        with pytest.raises(TryLater):
            client.request("GET", url)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 20_000_000


def test_an_answer_that_is_packed_is_unpacked(client: HttpClient) -> None:
    """Servers pack what they send in the one way that we ask for."""
    body = gzip.compress(b'{"id": "abc"}')
    with peer(says(whole("200 OK", body, "Content-Encoding: gzip"))) as url:
        assert client.request("GET", url).json() == {"id": "abc"}


def test_c3_a_connection_cut_while_waiting_leaves_the_outcome_unknown(client: HttpClient) -> None:
    """A server that takes the request, is silent, and dies."""
    released = threading.Event()
    threading.Timer(0.2, released.set).start()
    with peer(lambda _: released.wait(5)) as url, pytest.raises(TryLater) as caught:
        client.request("POST", url, body={})
    assert caught.value.outcome_unknown


def test_c3_a_server_that_cannot_be_reached_did_nothing(client: HttpClient) -> None:
    """Nobody listens: the request certainly never left."""
    with pytest.raises(TryLater) as caught:
        client.request("POST", f"http://{LOOPBACK}:{free_port()}/", body={})
    assert not caught.value.outcome_unknown


@pytest.mark.parametrize(
    "url", ["http://[broken", "http://", "nonsense", "ftp://example.com/", "http://a b/"]
)
def test_c3_an_address_that_is_none_is_no_crash(client: HttpClient, url: str) -> None:
    """Whatever the library thinks of an address, nobody above sees its exception."""
    with pytest.raises(TryLater):
        client.request("GET", url)


def test_one_client_serves_many_threads(client: HttpClient) -> None:
    """Sixteen at once, each with its own answer."""
    with peer(says(whole("200 OK", b'{"a": 1}'))) as url, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: client.request("GET", url).json(), range(32)))
    assert answers == [{"a": 1}] * 32


RETRY_AFTER: dict[str, tuple[str, float | None]] = {
    "C3-seconds": ("120", 120),
    "C3-no-seconds": ("0", 0),
    "C3-fractions": ("1.5", 1.5),
    "C3-spaces": (" 7 ", 7),
    "C3-negative": ("-5", 0),
    "C3-http-date": (format_datetime(NOW + timedelta(minutes=2), usegmt=True), 120),
    "C3-http-date-past": (format_datetime(NOW - timedelta(minutes=2), usegmt=True), 0),
    "C3-http-date-old-form": ("Thursday, 02-May-30 08:02:00 GMT", 120),
    "C3-http-date-without-zone": ("Thu, 02 May 2030 08:02:00 -0000", 120),
    "C3-iso-date": ("2030-05-02T08:02:00Z", 120),
    "C3-iso-date-with-an-offset": ("2030-05-02T10:02:00+02:00", 120),
    "C3-iso-date-without-zone": ("2030-05-02T08:02:00", 120),
    "C3-iso-day": ("2030-05-03", 16 * 3600),
    "C3-daily-quota": ("86400", 86400),
    "C3-nothing": ("", None),
    "C3-words": ("soon", None),
    "C3-endless": ("inf", 86400),
    "C3-too-long": ("9" * 30, 86400),
    "C3-no-number": ("nan", None),
}


@pytest.mark.parametrize(("text", "seconds"), list(RETRY_AFTER.values()), ids=list(RETRY_AFTER))
def test_c3_retry_after_is_read_in_all_its_forms(text: str, seconds: float | None) -> None:
    """Seconds, HTTP dates, ISO dates; garbage says nothing."""
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert retry_after({"Retry-After": text}, NOW) == expected


def test_c3_without_the_header_nothing_is_asked_for() -> None:
    """No Retry-After, no wait of theirs."""
    assert retry_after({}, NOW) is None


@given(
    text=st.text(max_size=40)
    | st.from_regex(
        r"[A-Z][a-z]{2}, [0-9]{1,5} [A-Z][a-z]{2} [0-9]{1,6} [0-9:]{1,9} [+A-Z0-9-]{0,6}",
        fullmatch=True,
    )
    | st.from_regex(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([+-][0-9]{2}:[0-9]{2})?",
        fullmatch=True,
    )
    | st.floats().map(str)
    | st.integers().map(str)
)
def test_c3_no_retry_after_at_all_is_a_crash(text: str) -> None:
    """Whatever stands there: a wait that is not negative, or none."""
    wait = retry_after({"Retry-After": text}, NOW)
    assert wait is None or wait >= timedelta()
