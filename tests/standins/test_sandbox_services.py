"""What the stand-ins of all conferencing systems have in common: records, faults, controls."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.oauth_service import OAuthService
from sandbox.rest import Rest
from sandbox.service import Service
from sandbox.teams import Teams
from sandbox.troubles import ABSURD_RETRY_AFTER, LONG_TEXT, TROUBLES
from sandbox.webex import Webex
from sandbox.zoom import Zoom
from tests.support.sandbox_api import Api, ask

KINDS: list[Callable[[], Any]] = [Rest, Zoom, Webex, Teams]


@pytest.fixture(scope="module", params=KINDS)
def started(request: pytest.FixtureRequest) -> Iterator[Service]:
    service: Service = request.param()
    service.start()
    yield service
    service.stop()


@pytest.fixture
def service(started: Service) -> Service:
    started.reset()
    return started


@pytest.fixture
def api(service: Service) -> Iterator[Api]:
    """Reads and deletes one meeting of `api.host`."""
    with Api(service) as api:
        yield api


def control(service: Service, method: str, path: str, body: Any = None) -> httpx.Response:
    return ask(method, f"{service.url}/_sandbox/{path}", json=body)


def added(service: Service) -> str:
    """Make one conference and return its id at the API."""
    service.add()
    [conference_id] = service.conferences
    return conference_id


def test_conferences_are_added_listed_and_forgotten(service: Service) -> None:
    """What `add`, `conferences` and `forget` do in Python, the controls do without a token."""
    assert control(service, "POST", "add", {}).status_code == 201
    [conference_id] = control(service, "GET", "conferences").json()
    assert conference_id in service.conferences
    assert control(service, "POST", "forget", {"id": conference_id}).status_code == 204
    assert control(service, "GET", "conferences").json() == {}
    assert control(service, "POST", "forget", {"id": conference_id}).status_code == 404


def test_the_root_lists_every_call(service: Service) -> None:
    """Whoever opens the address learns what can be asked there."""
    told = ask("GET", f"{service.url}/").json()
    assert told["stand_in"] == type(service).__name__
    assert "POST /_sandbox/faults" in told["calls"]
    assert any(call.startswith(f"GET {service.API}") for call in told["calls"])
    assert service.requests == []


def test_requests_are_shown_with_their_answers(service: Service) -> None:
    """Requests to the API are recorded, refused ones among them; the controls are not."""
    ask("GET", f"{service.base_url}/meetings/unknown?a=b")
    [request] = control(service, "GET", "requests").json()
    assert (request["method"], request["query"], request["status"]) == ("GET", {"a": "b"}, 401)
    assert json.loads(request["answer"])
    assert control(service, "DELETE", "requests").status_code == 204
    assert control(service, "GET", "requests").json() == []


def test_what_reached_one_conference_can_be_told(service: Service, api: Api) -> None:
    """ "Only reads ever reached this meeting" is one question, in Python and over HTTP."""
    conference_id = added(service)
    api.read(conference_id)
    assert service.writes(conference_id) == []
    api.remove(conference_id)
    assert [each.method for each in service.writes(conference_id)] == ["DELETE"]
    assert service.writes("another") == []
    path = "requests?method={}&conference={}"
    told = [
        len(control(service, "GET", path.format(method, name)).json())
        for method, name in (("GET", conference_id), ("DELETE", conference_id), ("DELETE", "x"))
    ]
    assert told == [1, 1, 0]


def test_settings_are_shown_and_changed(service: Service) -> None:
    """Each system has settings of its own; an unknown name is refused with those there are."""
    shown = control(service, "GET", "settings").json()
    assert shown.keys() == set(service.SETTINGS)
    changed = control(service, "PATCH", "settings", {"requests_per_second": 3})
    assert changed.json()["requests_per_second"] == service.rate_limit() == 3
    refused = control(service, "PATCH", "settings", {"speed": 3})
    assert refused.status_code == 400
    assert "requests_per_second" in refused.json()["message"]


def test_the_settings_can_be_written_back_as_shown(service: Service) -> None:
    """Sets travel as lists, and come back as sets."""
    shown = control(service, "GET", "settings").json()
    kinds = [type(getattr(service.adjustable(), name)) for name in service.SETTINGS]
    assert control(service, "PATCH", "settings", shown).json() == shown
    assert [type(getattr(service.adjustable(), name)) for name in service.SETTINGS] == kinds


# Troubles by name.


def test_troubles_are_listed_and_unknown_ones_refused(service: Service) -> None:
    """A mistyped name or member is answered with what there is."""
    assert control(service, "GET", "troubles").json().keys() == TROUBLES.keys()
    assert "slow" in control(service, "POST", "troubles", {"name": "slo"}).json()["message"]
    wrong = control(service, "POST", "troubles", {"name": "slow", "tims": 2})
    assert (wrong.status_code, "tims" in wrong.json()["message"]) == (400, True)
    wrong = control(service, "POST", "faults", {"stats": 500})
    assert (wrong.status_code, "stats" in wrong.json()["message"]) == (400, True)


@pytest.mark.parametrize(
    ("name", "status"),
    [("unavailable", 503), ("rate-limit", 429), ("refused", 400), ("forbidden", 403)],
)
def test_a_refusal_comes_in_the_systems_own_words(
    service: Service, api: Api, name: str, status: int
) -> None:
    """A trouble strikes once, with a JSON body like the system's other refusals."""
    conference_id = added(service)
    control(service, "POST", "troubles", {"name": name})
    refused, fine = api.read(conference_id), api.read(conference_id)
    assert (refused.status_code, fine.status_code) == (status, 200)
    assert refused.json().keys() == service.refusal(status, "…").keys()


def test_an_absurd_retry_after(service: Service, api: Api) -> None:
    """A Retry-After in milliseconds since 1970 reaches the caller unchanged."""
    conference_id = added(service)
    service.trouble("absurd-retry-after")
    answer = api.read(conference_id)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, ABSURD_RETRY_AFTER)


def test_a_very_long_text(service: Service, api: Api) -> None:
    """The refusal's text has 40 kB."""
    conference_id = added(service)
    service.trouble("long-text")
    answer = api.read(conference_id)
    assert answer.status_code == 400
    assert len(LONG_TEXT) == 40960
    assert LONG_TEXT in json.dumps(answer.json())


def test_a_false_not_found_says_what_a_true_one_does(service: Service, api: Api) -> None:
    """One wrong "not found" differs from a true one in no member; then the meeting is there."""
    conference_id = added(service)
    service.trouble("false-not-found")
    false, there = api.read(conference_id), api.read(conference_id)
    service.forget(conference_id)
    true = api.read(conference_id)
    assert (false.status_code, there.status_code) == (true.status_code, 200)
    assert shape(false.json()) == shape(true.json())


def shape(value: Any) -> Any:
    """A JSON value without its texts and with all numbers."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    return value if isinstance(value, int) else type(value)


def test_a_proxy_and_a_page_are_not_the_system(service: Service, api: Api) -> None:
    """What stands before the system answers with plain text or HTML."""
    conference_id = added(service)
    service.trouble("proxy")
    service.trouble("page", method="DELETE")
    told = [api.read(conference_id), api.remove(conference_id)]
    assert [each.status_code for each in told] == [404, 200]
    kinds = [each.headers["Content-Type"].partition(";")[0] for each in told]
    assert kinds == ["text/plain", "text/html"]
    assert conference_id in service.conferences


def test_a_lost_answer_has_had_its_effect(service: Service, api: Api) -> None:
    """The meeting is deleted, and the caller sees a connection that was cut."""
    conference_id = added(service)
    service.trouble("lost-answer", method="DELETE")
    with pytest.raises(httpx.RemoteProtocolError):
        api.remove(conference_id)
    assert service.conferences == {}


@pytest.mark.parametrize("over_http", [False, True], ids=["python", "http"])
def test_a_frozen_request_goes_on_when_it_is_released(
    service: Service, api: Api, over_http: bool
) -> None:
    """A worker's call can be held while another finishes, and then takes effect after it."""
    conference_id = added(service)
    service.trouble("freeze", method="DELETE")
    with ThreadPoolExecutor(1) as threads:
        frozen = threads.submit(api.remove, conference_id)
        [held] = service.faults.wait_held()
        assert held.method == "DELETE"
        assert api.read(conference_id).status_code == 200
        if over_http:
            assert [each["method"] for each in control(service, "GET", "held").json()] == ["DELETE"]
            assert control(service, "POST", "release", {"path": "nowhere"}).json() == {
                "released": 0
            }
            assert control(service, "POST", "release").json() == {"released": 1}
        else:
            assert service.faults.release() == 1
        assert frozen.result(timeout=20).status_code == 204
    assert service.faults.held() == []
    assert service.conferences == {}


def test_a_frozen_answer_has_had_its_effect(service: Service, api: Api) -> None:
    """The meeting is gone while the caller still waits, and the answer is the true one."""
    conference_id = added(service)
    service.trouble("freeze-answer", method="DELETE")
    with ThreadPoolExecutor(1) as threads:
        frozen = threads.submit(api.remove, conference_id)
        service.faults.wait_held()
        assert service.conferences == {}
        service.faults.release()
        assert frozen.result(timeout=20).status_code == 204


def test_a_reset_lets_go_of_everything(service: Service, api: Api) -> None:
    """No request of one test is held into the next."""
    conference_id = added(service)
    service.faults.add(freeze=True, times=None)
    with ThreadPoolExecutor(2) as threads:
        held = [threads.submit(api.read, conference_id) for _ in range(2)]
        service.faults.wait_held(2)
        service.reset()
        for each in held:
            each.result(timeout=20)
    assert service.faults.held() == []


def test_a_delay_is_waited_out(service: Service, api: Api) -> None:
    """A delayed request is answered as ever; it does not count as held."""
    conference_id = added(service)
    service.trouble("slow", delay_seconds=0.05)
    seen: list[int] = []
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(api.read, conference_id)
        while not slow.done():
            seen.append(len(service.faults.held()))
        assert slow.result().status_code == 200
    assert set(seen) <= {0}


def test_waiting_for_a_held_request_ends(service: Service) -> None:
    """`wait_held` gives up with a sentence, so that no test waits for ever."""
    with pytest.raises(TimeoutError, match="0 of 1 requests are held"):
        service.faults.wait_held(seconds=0.01)


def test_stopping_lets_go_of_held_requests() -> None:
    """A request that hangs on purpose does not keep the server from ending."""
    service = Rest()
    service.start()
    service.faults.add(hang=True)
    failed = threading.Event()

    def call() -> None:
        try:
            httpx.get(f"{service.base_url}/conferences/x", timeout=20)
        except httpx.HTTPError:
            failed.set()

    thread = threading.Thread(target=call)
    thread.start()
    service.faults.wait_held()
    service.stop()
    thread.join(timeout=20)
    assert failed.is_set()


# What the three behind OAuth share.


@pytest.mark.parametrize("kind", [Zoom, Webex, Teams])
def test_a_rotation_tells_what_the_secret_must_hold(kind: Callable[[], OAuthService]) -> None:
    """The new secret is told, and tokens of the former are refused."""
    service = kind()
    service.start()
    try:
        with Api(service) as api:
            before = service.secret
            told = control(service, "POST", "rotate").json()
            assert told == service.secret
            assert told["client_secret"] != before["client_secret"]
            assert api.read("unknown").status_code == 401
    finally:
        service.stop()


@pytest.mark.programs
@pytest.mark.parametrize("name", ["zoom", "webex", "teams"])
def test_each_runs_on_its_own(name: str) -> None:
    """It prints the entry and the secret that lead to it, and answers there."""
    command = [sys.executable, "-m", f"sandbox.{name}"]
    root = Path(__file__).resolve().parent.parent.parent
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            entry, secret, controls = (process.stdout.readline() for _ in range(3))
            assert json.loads(entry.partition(": ")[2])["type"] == name
            assert json.loads(secret.partition(": ")[2])["client_secret"]
            [url] = re.findall(r"http://\S+", controls)
            assert httpx.get(url).json() == {}
        finally:
            process.terminate()
