"""`create_conference` as a real process, with real tokens: who is let in, and at what cost (A1).

What happens for those who are let in, `tests/stories/test_create.py` has in detail.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.addon_bridge import AddonBridge
from sandbox.cloud_tasks import CloudTasks
from sandbox.google_calendar import GoogleCalendar
from sandbox.google_identity import GoogleIdentity
from sandbox.processes import FunctionProcess
from sandbox.secret_manager import SecretManager
from sandbox.servers import UNKEPT
from sandbox.systems import SOLUTION, RestSystem
from tests.support.programs import tool
from tests.support.slow_sender import slow_sender

ROOT = Path(__file__).resolve().parent.parent.parent
ANNA = "anna@example.com"
CHANNEL_KEY = "projects/p/secrets/addon-channel-key"
PROVIDER_SECRET = "projects/p/secrets/addon-provider"
QUEUE = "projects/p/locations/here/queues/addon"
WISH = {"calendar_id": ANNA, "event_id": "draft1", "solution": SOLUTION}


class Place:
    """Everything around the function, and the function itself."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.calendar = GoogleCalendar()
        self.tasks = CloudTasks(deliver=False)
        self.secrets = SecretManager()
        self.system = RestSystem()
        self.identity = GoogleIdentity()
        self.store = directory / "state.sqlite"
        self.log = directory / "create_conference.log"
        self.stand_ins = (self.calendar, self.tasks, self.secrets, self.system, self.identity)
        for stand_in in self.stand_ins:
            stand_in.start()
        self.secrets.put(CHANNEL_KEY, "key\n")
        self.secrets.put(PROVIDER_SECRET, self.system.secret)
        self.calendar.add_calendar(ANNA, time_zone="Europe/Berlin")
        self.environment = {
            "FUNCTION_TARGET": "create_conference",
            "GOOGLE_CLOUD_PROJECT": "p",
            "SYNC_STORE": f"sqlite:///{self.store}",
            "SYNC_QUEUE": QUEUE,
            "SYNC_WORKER_URL": "https://worker.example.com/",
            "SYNC_NOTIFICATION_URL": "https://receive.example.com/",
            "SYNC_CHANNEL_KEY": CHANNEL_KEY,
            "SYNC_PROVIDERS": json.dumps([self.system.entry(PROVIDER_SECRET)]),
            "SYNC_ADDON_AUDIENCES": f"another {self.identity.audience}",
            "SYNC_ADDON_DOMAINS": "example.com",
            "SYNC_ADDON_CERTS_URL": self.identity.certs_url,
            "CALENDAR_EMULATOR_HOST": self.calendar.host,
            "CLOUD_TASKS_EMULATOR_HOST": self.tasks.host,
            "SECRET_MANAGER_EMULATOR_HOST": self.secrets.host,
            **settings,
        }
        self.function = FunctionProcess(
            "create_conference",
            environment=self.environment,
            source=ROOT / "main.py",
            threads=8,
            log_file=self.log,
        )
        self.client = httpx.Client(timeout=60, limits=UNKEPT, trust_env=False)
        self.function.start()
        self.function.wait_ready()

    def stop(self) -> None:
        self.function.stop()
        self.client.close()
        for stand_in in self.stand_ins:
            stand_in.stop()

    def post(self, token: str | None, body: Any = WISH) -> httpx.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self.client.post(self.function.url, json=body, headers=headers)

    def ask(self, body: Any = WISH) -> httpx.Response:
        """Ask with a good token of Anna's."""
        return self.post(self.identity.token(ANNA), body)

    def untouched(self) -> bool:
        """Nobody was asked anything: no secret, no store, no queue, no Calendar, no provider."""
        return not (
            self.secrets.accesses
            or self.tasks.creations
            or len(self.calendar.requests)
            or self.system.received
            or self.store.exists()
        )

    def logged(self, message: str) -> list[dict[str, Any]]:
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [told for line in lines if (told := json.loads(line))["message"] == message]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.stop()


def test_a1_every_bad_token_is_the_same_empty_401(place: Place) -> None:
    """Forged, expired, of another audience, issuer or domain, unverified, cut off, or none; and
    nobody is asked anything but Google's keys, once."""
    bad = place.identity.bad_tokens(ANNA)
    answers = {name: place.post(token) for name, token in bad.items()}
    answers["missing"] = place.post(None)
    answers["long"] = place.post("x" * 6_000)
    bare = httpx.post(place.function.url, headers={"Authorization": place.identity.token(ANNA)})
    answers["no scheme"] = bare
    for name, answer in answers.items():
        assert (answer.status_code, answer.content) == (401, b""), name
        kept = {"content-length", "content-type", "www-authenticate"}
        told = {key: text for key, text in answer.headers.items() if key in kept}
        first = next(iter(answers.values())).headers
        assert told == {key: text for key, text in first.items() if key in kept}, name
    assert place.untouched()
    assert place.identity.key_requests <= 2
    reasons = [told["reason"] for told in place.logged("add-on token refused")]
    assert len(reasons) == len(answers)
    assert all(reason.replace("-", "").isalpha() for reason in reasons), reasons
    log = place.log.read_text()
    assert not any(token in log for token in bad.values() if len(token) > 20)
    assert ANNA not in log


def test_a1_a_flood_of_forged_calls_costs_nothing_elsewhere(place: Place) -> None:
    """Three hundred, eight at once, with unknown keys among them, and a user in between."""
    bad = list(place.identity.bad_tokens(ANNA).values())
    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(place.post, (bad * 30)[:300])
        assert {answer.status_code for answer in answers} == {401}
    assert place.untouched()
    # An unknown key is reason to ask again, at most once in ten seconds.
    assert place.identity.key_requests <= 2 + (time.monotonic() - began) / 10
    assert place.ask().status_code == 200


def test_a1_a_forged_call_with_an_endless_body_is_refused_at_once(place: Place) -> None:
    """Eight threads, sixteen senders of a byte now and then: each hears 401, and a user is
    answered."""
    with ThreadPoolExecutor(16) as pool:
        refused = pool.map(lambda _: _trickle(place.function), range(16))
        assert place.ask().status_code == 200
        assert all(answer.startswith(b"HTTP/1.1 401 ") for answer in refused)


def _trickle(function: FunctionProcess) -> bytes:
    """Announce a body, send a byte now and then, and return what was answered before its end."""
    with slow_sender(function, {}) as connection:
        return connection.recv(100)


def test_a7_a_body_that_breaks_off_is_malformed(place: Place) -> None:
    """400 in the add-on's own form, and nothing is made of what had arrived."""
    whole = json.dumps(WISH).encode()
    head = f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {place.identity.token(ANNA)}\r\n"
    for rest in (
        b"Content-Length: 900\r\n\r\n" + whole,
        b"Transfer-Encoding: chunked\r\n\r\nnone\r\n",
    ):
        port = place.function.port
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(head.encode() + rest)
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(partial(connection.recv, 5_000), b""))
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"PERMANENT" in answer
        assert b"did not arrive whole" in answer
    assert place.untouched()
    assert "crash" not in place.log.read_text()


def test_a1_without_googles_keys_nobody_is_let_in_nor_turned_away(place: Place) -> None:
    """The keys cannot be read: TEMPORARY, and the next try is let in. Only POST is known."""
    place.identity.faults.add(path="certs", status=503, times=None)
    answer = place.ask()
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "TEMPORARY")
    assert place.untouched()
    place.identity.faults.clear()
    assert place.ask().status_code == 200
    other = place.client.get(place.function.url)
    assert (other.status_code, other.headers["Allow"], other.content) == (405, "POST", b"")


def test_a1_without_audiences_there_is_no_such_function(tmp_path: Path) -> None:
    """Whoever has no add-on has no door: 404, whatever the token."""
    place = Place(tmp_path, SYNC_ADDON_AUDIENCES="")
    try:
        answer = place.ask()
        assert (answer.status_code, answer.content) == (404, b"")
        assert place.untouched()
    finally:
        place.stop()


def test_a3_a_users_pick_makes_one_conference_and_starts_the_calendar(place: Place) -> None:
    """From Calendar's form through the add-on's bridge and back, over HTTP."""
    bridge = AddonBridge(url=place.function.url, identity_token=place.identity.token)
    place.calendar.offer_solution(SOLUTION, bridge.callback(SOLUTION))
    times = {
        "start": {"dateTime": "2035-05-02T12:00:00Z"},
        "end": {"dateTime": "2035-05-02T13:00:00Z"},
    }
    form = place.calendar.open_form(ANNA, {"summary": "Planning", **times})
    for _ in range(2):
        picked = place.calendar.pick_solution(form["form_id"], SOLUTION, user=ANNA)
        assert picked["error"] is None
    event = place.calendar.save_form(form["form_id"])
    [conference] = place.system.conferences
    assert event["conferenceData"]["conferenceId"] == conference
    assert place.system.created == 1
    assert len(place.calendar.channels(ANNA)) == 1
    [first, second] = place.logged("conference created for the add-on")
    assert (first["outcome"], second["outcome"]) == ("created", "returned")
    assert bridge.start_calendar(ANNA, ANNA).json() == {
        "calendar_id": ANNA,
        "status": "starting",
        "reason": None,
    }


def test_a3_killed_while_the_provider_is_asked_and_repeated(place: Place) -> None:
    """SIGKILL in the middle of the call; the conference was made. The next instance finds it, and
    waits no longer for the dead one than it must."""
    place.system.faults.add(method="POST", path="/conferences", after=True, freeze=True)
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(place.ask)
        place.system.faults.wait_held()
        place.function.kill()
        assert isinstance(lost.exception(), httpx.HTTPError)
    place.system.faults.release()
    place.function.restart()
    answer = place.ask()
    assert answer.status_code == 200
    assert place.system.created == 1
    assert list(place.system.conferences) == [answer.json()["conference_id"]]


_FIRST_ANSWER = """
import json, sys
from functions_framework import create_app
client = create_app("create_conference", "main.py").test_client()
loaded = set(sys.modules)
headers = {"Authorization": "Bearer " + sys.argv[1]}
answer = client.post("/", json=json.loads(sys.argv[2]), headers=headers)
print(json.dumps([answer.status_code, sorted(loaded), sorted(set(sys.modules) - loaded)]))
"""

# Modules of ours that the function may load: what makes and starts, and no more.
_MOST_OF_OURS = 65
# Modules of libraries that load themselves at the first connection: httpx's transport, gRPC's
# channel. At a cold start the person waits for them here or there.
_MOST_LATER = 50


def test_a6_a_cold_start_loads_what_it_needs_and_at_its_start(place: Place) -> None:
    """A person waits: no run, no rules of events, and no import at the first answer but what
    libraries keep back."""
    token = place.identity.token(ANNA)
    done = subprocess.run(
        [sys.executable, "-c", _FIRST_ANSWER, token, json.dumps(WISH)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **place.environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    status, loaded, later = json.loads(done.stdout.splitlines()[-1])
    assert status == 200, done.stdout
    needless = ("sync.run", "sync.event.carry_out", "sync.event.plan", "sync.operate.maintenance")
    for name in (*needless, "sync.operate.routes", "sync.operate.explain"):
        assert name not in loaded, name
        assert name not in later, name
    ours = [name for name in loaded if name.split(".")[0] == "sync"]
    assert len(ours) <= _MOST_OF_OURS, ours
    assert [name for name in later if name.split(".")[0] in ("sync", "google")] == []
    assert len(later) <= _MOST_LATER, later


def test_a7_the_add_ons_own_source_is_served(place: Place) -> None:
    """The source that Apps Script runs, under Node: a conference picked twice is one, errors are of
    the right kind, and the calendar has a status afterwards."""
    done = subprocess.run(
        [tool("node"), "--test", "--test-reporter=tap", "addon/test/contract.test.js"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "CREATE_CONFERENCE_URL": place.function.url,
            "IDENTITY_TOKEN": place.identity.token(ANNA),
            "CALENDAR_ID": ANNA,
            "EVENT_ID": "draft0000000001",
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# pass 6" in done.stdout
    assert place.system.created == 1
    assert place.calendar.channels(ANNA)
