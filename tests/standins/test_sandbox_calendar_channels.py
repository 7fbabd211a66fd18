"""The Calendar stand-in's notification channels, heard by a real receiver."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import httpx
import pytest

from sandbox.google_calendar import GoogleCalendar
from tests.support.calendar_api import reason

ANNA = "anna@example.com"
WATCH = f"/calendars/{ANNA}/events/watch"
LUNCH = {"start": {"date": "2030-05-02"}, "end": {"date": "2030-05-03"}}


class Receiver:
    """Writes down the notifications it gets, and answers them with the statuses it is given,
    else 204."""

    def __init__(self) -> None:
        self.messages: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        receiver = self

        class Requests(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.messages.append((dict(self.headers), body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Requests)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/notifications"

    def states(self, channel_id: str = "c-1") -> list[str]:
        return [
            headers["X-Goog-Resource-State"]
            for headers, _ in list(self.messages)
            if headers["X-Goog-Channel-ID"] == channel_id
        ]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()
    thread.join()


@pytest.fixture
def skew() -> list[timedelta]:
    """How far the stand-in's clock is turned, in its one entry."""
    return [timedelta(0)]


@pytest.fixture
def calendar(receiver: Receiver, skew: list[timedelta]) -> Iterator[GoogleCalendar]:
    # `receiver` is named so that it outlives the notifications sent to it.
    assert receiver.url
    with GoogleCalendar(now=lambda: datetime.now(UTC) + skew[0]) as running:
        running.add_calendar(ANNA)
        running.settings.push_retry_seconds = 0.01
        yield running


def channel(receiver: Receiver, **members: Any) -> dict[str, Any]:
    return {"id": "c-1", "type": "web_hook", "address": receiver.url} | members


def soon(condition: Callable[[], bool]) -> bool:
    """Wait for what other threads bring about."""
    deadline = time.monotonic() + 5
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def heard(receiver: Receiver, channel_id: str, count: int) -> bool:
    return len(receiver.states(channel_id)) == count


def test_watch_answers_with_the_channel(
    receiver: Receiver, calendar: GoogleCalendar, http: httpx.Client
) -> None:
    """The answer names the resource and when the channel ends, in milliseconds as text."""
    before = time.time()
    answer = http.post(WATCH, json=channel(receiver, token="secret", params={"ttl": "3600"})).json()
    assert answer.keys() == {"kind", "id", "resourceId", "resourceUri", "token", "expiration"}
    assert answer["kind"] == "api#channel"
    assert isinstance(answer["expiration"], str)
    assert 3599 < int(answer["expiration"]) / 1000 - before < 3605
    assert [open_channel["id"] for open_channel in calendar.channels(ANNA)] == ["c-1"]


@pytest.mark.parametrize("greeting", ["before", "after"])
def test_greeting_is_number_one_and_empty(
    receiver: Receiver, calendar: GoogleCalendar, http: httpx.Client, greeting: Any
) -> None:
    """The first message has state sync, number 1, every header and no body, before or after
    watch answers."""
    calendar.settings.greeting = greeting
    answer = http.post(WATCH, json=channel(receiver, token="secret")).json()
    assert greeting == "after" or receiver.states() == ["sync"]
    assert soon(lambda: receiver.states() == ["sync"])
    headers, body = receiver.messages[0]
    assert body == b""
    assert headers["Content-Length"] == "0"
    assert headers["User-Agent"].startswith("APIs-Google")
    assert headers["X-Goog-Message-Number"] == "1"
    assert headers["X-Goog-Resource-ID"] == answer["resourceId"]
    assert headers["X-Goog-Resource-URI"] == answer["resourceUri"]
    assert headers["X-Goog-Channel-Token"] == "secret"
    expires = parsedate_to_datetime(headers["X-Goog-Channel-Expiration"])
    assert abs(expires.timestamp() - int(answer["expiration"]) / 1000) < 1


def test_every_change_rings_each_channel_once(
    receiver: Receiver, calendar: GoogleCalendar, http: httpx.Client
) -> None:
    """A change gives one exists message for each channel, however much it changed. Numbers grow
    with gaps."""
    for name in ("c-1", "c-2"):
        http.post(WATCH, json=channel(receiver, id=name))
    series = calendar.seed_event(ANNA, LUNCH | {"recurrence": ["RRULE:FREQ=DAILY"]})
    calendar.cancel(ANNA, f"{series['id']}_20300504")
    calendar.cancel(ANNA, series["id"])
    for name in ("c-1", "c-2"):
        assert soon(partial(heard, receiver, name, 4))
        assert sorted(receiver.states(name)) == ["exists"] * 3 + ["sync"]
    numbers = {int(headers["X-Goog-Message-Number"]) for headers, _ in receiver.messages}
    assert len(numbers) > 4
    assert {record.status for record in calendar.pushes} == {204}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"id": None}, "required"),
        ({"id": "x" * 65}, "invalid"),
        ({"id": "with space"}, "invalid"),
        ({"type": "carrier pigeon"}, "invalid"),
        ({"address": None}, "required"),
        ({"token": "t" * 257}, "invalid"),
        ({"params": {"ttl": "soon"}}, "invalid"),
    ],
)
def test_senseless_channels_are_refused(
    receiver: Receiver, http: httpx.Client, members: dict[str, Any], expected: str
) -> None:
    """Ids, tokens and addresses outside their limits answer 400."""
    assert reason(http.post(WATCH, json=channel(receiver, **members))) == (400, expected)


def test_channel_ids_are_unique(receiver: Receiver, http: httpx.Client) -> None:
    """An id in use answers 400 channelIdNotUnique."""
    assert http.post(WATCH, json=channel(receiver)).is_success
    assert reason(http.post(WATCH, json=channel(receiver))) == (400, "channelIdNotUnique")


def test_some_calendars_cannot_be_watched(
    receiver: Receiver, calendar: GoogleCalendar, http: httpx.Client
) -> None:
    """An unwatchable calendar answers 400, a missing one 404, a plain address 400 while https is
    required."""
    calendar.add_calendar("holidays@example.com", watchable=False)
    refused = http.post("/calendars/holidays@example.com/events/watch", json=channel(receiver))
    assert reason(refused) == (400, "pushNotSupportedForRequestedResource")
    missing = http.post("/calendars/nobody@example.com/events/watch", json=channel(receiver))
    assert reason(missing) == (404, "notFound")
    calendar.settings.https_only = True
    assert reason(http.post(WATCH, json=channel(receiver))) == (400, "push.webhookUrlNotHttps")


def test_expiration_is_capped_and_then_there_is_silence(
    receiver: Receiver, calendar: GoogleCalendar, http: httpx.Client, skew: list[timedelta]
) -> None:
    """No channel outlives the limit, and an expired one says nothing."""
    calendar.settings.max_channel_seconds = 60
    answer = http.post(WATCH, json=channel(receiver, params={"ttl": "999999"})).json()
    assert int(answer["expiration"]) / 1000 - time.time() < 61
    assert soon(lambda: receiver.states() == ["sync"])
    skew[0] = timedelta(seconds=61)
    calendar.seed_event(ANNA, LUNCH)
    assert calendar.channels() == []
    assert http.post(WATCH, json=channel(receiver, id="c-2")).is_success
    assert soon(lambda: receiver.states("c-2") == ["sync"])
    assert receiver.states() == ["sync"]


def test_stop_needs_both_ids_and_ends_the_channel(
    receiver: Receiver, calendar: GoogleCalendar, http: httpx.Client
) -> None:
    """Stop answers 204, then 404 with Google's sentence. A few messages may still arrive if so
    chosen."""
    opened = http.post(WATCH, json=channel(receiver)).json()
    assert soon(lambda: receiver.states() == ["sync"])
    wrong = http.post("/channels/stop", json={"id": "c-1", "resourceId": "wrong"})
    assert reason(wrong) == (404, "notFound")
    assert wrong.json()["error"]["message"].startswith("Channel 'c-1' not found for project '")
    calendar.settings.pushes_after_stop = 1
    stop = {"id": "c-1", "resourceId": opened["resourceId"]}
    assert http.post("/channels/stop", json=stop).status_code == 204
    assert http.post("/channels/stop", json=stop).status_code == 404
    for _ in range(3):
        calendar.ring(ANNA)
    assert soon(lambda: receiver.states() == ["sync", "exists"])
    http.post(WATCH, json=channel(receiver, id="c-2"))
    assert soon(lambda: receiver.states("c-2") == ["sync"])
    assert receiver.states() == ["sync", "exists"]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_server_errors_are_tried_again(
    receiver: Receiver, calendar: GoogleCalendar, http: httpx.Client, status: int
) -> None:
    """A message answered with 500, 502, 503 or 504 comes again under the same number."""
    receiver.statuses = [status, status, 200]
    http.post(WATCH, json=channel(receiver))
    assert soon(lambda: len(calendar.pushes) == 3)
    assert [(record.number, record.status) for record in calendar.pushes] == [
        (1, status),
        (1, status),
        (1, 200),
    ]


def test_other_answers_lose_the_message(
    receiver: Receiver, calendar: GoogleCalendar, http: httpx.Client
) -> None:
    """A message answered with 404, or not at all, is not tried again."""
    receiver.statuses = [404]
    http.post(WATCH, json=channel(receiver))
    assert soon(lambda: len(calendar.pushes) == 1)
    http.post(WATCH, json=channel(receiver, id="c-2", address="http://127.0.0.1:1/"))
    assert soon(lambda: len(calendar.pushes) == 2)
    calendar.ring(ANNA)
    assert soon(lambda: len(calendar.pushes) == 4)
    errors = [record.error for record in calendar.pushes if record.channel_id == "c-2"]
    assert all(error and "ConnectError" in error for error in errors)


def test_messages_are_lost_and_doubled_on_request(
    receiver: Receiver, calendar: GoogleCalendar, http: httpx.Client
) -> None:
    """Loss and duplication can be turned up. What was lost is on record."""
    http.post(WATCH, json=channel(receiver))
    assert soon(lambda: receiver.states() == ["sync"])
    calendar.settings.push_loss = 1.0
    calendar.ring(ANNA)
    assert [record.error for record in calendar.pushes if record.state == "exists"] == [
        "lost on purpose"
    ]
    calendar.settings.push_loss, calendar.settings.push_duplication = 0.0, 1.0
    calendar.ring(ANNA)
    assert soon(lambda: receiver.states() == ["sync", "exists", "exists"])
    assert len({headers["X-Goog-Message-Number"] for headers, _ in receiver.messages}) == 2


@pytest.mark.parametrize("greeting", ["before", "after"])
def test_a_greeting_is_lost_as_any_message(
    receiver: Receiver, calendar: GoogleCalendar, http: httpx.Client, greeting: Any
) -> None:
    """Whoever opens a channel cannot count on it."""
    calendar.settings.greeting, calendar.settings.push_loss = greeting, 1.0
    assert http.post(WATCH, json=channel(receiver)).status_code == 200
    assert soon(lambda: len(calendar.pushes) == 1)
    [lost] = calendar.pushes
    assert (lost.state, lost.error) == ("sync", "lost on purpose")
    assert receiver.messages == []


def test_watching_some_event_types_hears_only_those(
    receiver: Receiver, calendar: GoogleCalendar, http: httpx.Client
) -> None:
    """A channel opened with eventTypes stays silent for the others."""
    http.post(WATCH, params={"eventTypes": "default"}, json=channel(receiver))
    calendar.seed_event(ANNA, LUNCH | {"eventType": "focusTime"})
    calendar.seed_event(ANNA, LUNCH)
    assert soon(lambda: sorted(receiver.states()) == ["exists", "sync"])


def test_closed_silently_a_channel_looks_expired(
    receiver: Receiver, calendar: GoogleCalendar, http: httpx.Client
) -> None:
    """A channel can be made to vanish without a word."""
    http.post(WATCH, json=channel(receiver))
    calendar.close_channel_silently("c-1")
    assert calendar.channels() == []
    assert http.post(WATCH, json=channel(receiver)).is_success
