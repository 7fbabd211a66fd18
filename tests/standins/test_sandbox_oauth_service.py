"""What the stand-ins for Zoom, Webex and Teams have in common: controls over HTTP, and life on
their own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.oauth_service import OAuthService
from sandbox.teams import Teams
from sandbox.webex import Webex
from sandbox.zoom import Zoom


@pytest.fixture(scope="module", params=[Zoom, Webex, Teams])
def service(request: pytest.FixtureRequest) -> Iterator[OAuthService]:
    service: OAuthService = request.param()
    service.start()
    yield service
    service.stop()


def control(service: OAuthService, method: str, path: str, body: Any = None) -> httpx.Response:
    return httpx.request(method, f"{service.url}/_sandbox/{path}", json=body)


def test_meetings_are_added_listed_and_forgotten(service: OAuthService) -> None:
    """As `add`, `meetings` and `forget` do it, without a token."""
    added = control(service, "POST", "add", {})
    assert added.status_code == 201
    assert added.json()["entryPoints"][0]["uri"].startswith("https://")
    [meeting_id] = control(service, "GET", "conferences").json()
    assert meeting_id in service.meetings
    assert control(service, "POST", "forget", {"id": meeting_id}).status_code == 204
    assert control(service, "GET", "conferences").json() == {}
    assert control(service, "POST", "forget", {"id": meeting_id}).status_code == 404


def test_requests_are_shown_with_their_answers(service: OAuthService) -> None:
    """Those to the API, refused ones among them; the controls themselves are not recorded."""
    httpx.get(f"{service.base_url}/meetings/unknown?a=b")
    [request] = control(service, "GET", "requests").json()
    assert (request["method"], request["query"], request["status"]) == ("GET", {"a": "b"}, 401)
    assert json.loads(request["answer"])
    assert control(service, "DELETE", "requests").status_code == 204
    assert control(service, "GET", "requests").json() == []


def test_a_rotation_tells_what_the_secret_must_hold(service: OAuthService) -> None:
    before = service.secret
    told = control(service, "POST", "rotate").json()
    assert told == service.secret
    assert told["client_secret"] != before["client_secret"]


def test_settings_are_shown_and_changed(service: OAuthService) -> None:
    """Each class has some of its own; a name that is none is refused with those there are."""
    shown = control(service, "GET", "settings").json()
    assert shown.keys() == set(service.SETTINGS)
    assert len(shown) > len(OAuthService.SETTINGS)
    changed = control(service, "PATCH", "settings", {"requests_per_second": 3})
    assert changed.json()["requests_per_second"] == service.requests_per_second == 3
    refused = control(service, "PATCH", "settings", {"speed": 3})
    assert refused.status_code == 400
    assert "requests_per_second" in refused.json()["message"]


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
