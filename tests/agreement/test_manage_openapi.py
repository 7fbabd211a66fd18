"""What docs/manage-calendars.openapi.yaml says is what `manage_calendars` answers."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import grpc
import httpx
import pytest
from openapi_core import Config, OpenAPI
from openapi_core.testing import MockRequest, MockResponse

from sandbox.world import World, calendar_path
from sync.operate import routes
from tests.support.bench import timed
from tests.support.shipped import ROOT

DOCUMENT = ROOT / "docs" / "manage-calendars.openapi.yaml"
SERVER = "https://manage-calendars.example.com"
CONTRACT = OpenAPI.from_file_path(str(DOCUMENT), config=Config(spec_validator_cls=None))
WRITTEN: Any = CONTRACT.spec.read_value()

METHODS = ("get", "put", "post", "delete")
ANNA = "room #1@example.com"
CALENDAR = calendar_path(ANNA)


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each operation."""
    return [
        (method.upper(), path, item[method])
        for path, item in WRITTEN["paths"].items()
        for method in METHODS
        if method in item
    ]


def test_the_document_is_one_of_openapi() -> None:
    """Any tool of OpenAPI reads it."""
    OpenAPI.from_file_path(str(DOCUMENT))


def test_the_document_has_the_routes_and_no_other() -> None:
    """`GET /` lists the same."""
    described = {(method, path) for method, path, _ in operations()}
    assert described == {(route.method, route.path) for route in routes.ROUTES}


def test_the_document_has_the_query_parameters_and_no_other() -> None:
    """Another name is refused, so a missing one would be a lie of the document."""
    shared = WRITTEN["components"]["parameters"]
    described = {
        (method, path): {
            parameter["name"]
            for each in operation.get("parameters", [])
            for parameter in [shared[each["$ref"].rpartition("/")[2]] if "$ref" in each else each]
            if parameter["in"] == "query"
        }
        for method, path, operation in operations()
    }
    assert described == {(route.method, route.path): set(route.query) for route in routes.ROUTES}


@pytest.mark.parametrize(("method", "path", "operation"), operations())
def test_every_answer_has_an_example_that_fits(
    method: str, path: str, operation: dict[str, Any]
) -> None:
    """So that the function can be mocked from the document alone."""
    for status, answer in operation["responses"].items():
        if "$ref" in answer:
            answer = WRITTEN["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        if status == "204":
            assert "content" not in answer
            continue
        [media] = answer["content"].values()
        shown = [media["example"]] if "example" in media else []
        shown += [each["value"] for each in media.get("examples", {}).values()]
        assert shown, f"{method} {path} {status}"
        for example in shown:
            code = example["error"]["code"] if "error" in example else int(status)
            assert status in ("default", str(code))
            check(method, path, code, json.dumps(example).encode())


def check(method: str, path: str, status: int, body: bytes) -> None:
    """Raise OpenAPIError where an answer leaves the document."""
    parts = urlsplit(path)
    request = MockRequest(SERVER, method.lower(), parts.path)
    CONTRACT.validate_response(request, MockResponse(body, status, content_type="application/json"))


def template_of(path: str) -> str:
    """The path of the document that a request's path belongs to."""
    parts = urlsplit(path).path.strip("/").split("/")
    [found] = {
        template
        for template in WRITTEN["paths"]
        if len(wanted := template.strip("/").split("/")) == len(parts)
        and all(w.startswith("{") or w == part for w, part in zip(wanted, parts, strict=True))
    }
    return str(found)


@dataclass
class Checked:
    """Calls the function, and holds each answer against the document."""

    world: World
    seen: set[tuple[str, str, str]] = field(default_factory=set)

    def call(self, method: str, path: str, status: int, body: Any = None) -> Any:
        answer: httpx.Response = self.world.manage(method, path, body)
        assert answer.status_code == status, answer.text
        template = template_of(path)
        described = method in METHODS_OF[template]
        if described:
            self.seen.add((method, template, str(status)))
        if answer.content:
            assert answer.headers["content-type"] == "application/json"
            # Another method is answered as any other error.
            check(method if described else "GET", template, status, answer.content)
        return answer.json() if answer.content else None


METHODS_OF = {
    path: {method.upper() for method in METHODS if method in item}
    for path, item in WRITTEN["paths"].items()
}


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_the_real_answers_are_those_of_the_document(tmp_path: Any) -> None:
    """Every status that the document names is met, with the real function, and fits."""
    with World(tmp_path) as world:
        checked = Checked(world)
        _installation(checked)
        _starts(checked)
        event_id = _events(checked)
        _failures(checked, event_id)
        _stops(checked)
        named = {
            (method, path, status)
            for method, path, operation in operations()
            for status in operation["responses"]
            if status != "default"
        }
        assert named - checked.seen == set()
        assert checked.seen - named == set()


def _installation(checked: Checked) -> None:
    assert checked.call("GET", "/", 200)["calls"]
    assert checked.call("GET", "/status", 200)["calendars"]["ok"] == 0
    assert all(each["ok"] for each in checked.call("GET", "/doctor", 200)["checks"])


def _starts(checked: Checked) -> None:
    """Each way in which a start goes well, or does not."""
    world, call = checked.world, checked.call
    world.calendar.add_calendar(ANNA)
    call("PUT", CALENDAR, 201, {})
    call("PUT", CALENDAR, 200, {})
    call("PUT", calendar_path("primary"), 400, {})
    call("PUT", calendar_path("nobody@example.com"), 404, {})
    closed = calendar_path("closed@example.com")
    world.calendar.add_calendar("closed@example.com")
    world.calendar.withdraw_access("closed@example.com", status=403)
    call("PUT", closed, 403, {})
    world.calendar.grant_access("closed@example.com")
    world.calendar.fail_next(reason="backendError", times=1, path="/watch$")
    call("PUT", closed, 502, {})
    world.tasks.fail_next(grpc.StatusCode.UNAVAILABLE)
    call("PUT", closed, 503, {})
    _two_starts_at_once(checked)
    world.wait(lambda: world.status(ANNA)["last_sync"], "the first sync")
    call("GET", CALENDAR, 200)
    call("GET", "/calendars/%00", 400)
    call("GET", "/calendars/nobody%40example.com", 404)
    call("GET", "/calendars?status=ok", 200)
    call("GET", "/calendars?status=sleepy", 400)
    call("POST", f"{CALENDAR}/sync?full=true", 202)
    call("POST", f"{CALENDAR}/sync?full=perhaps", 400)
    call("POST", "/calendars/nobody%40example.com/sync", 404)
    world.tasks.fail_next(grpc.StatusCode.UNAVAILABLE)
    call("POST", f"{CALENDAR}/sync", 503)


def _two_starts_at_once(checked: Checked) -> None:
    """The one that opens its channel first is held until the other is done."""
    world = checked.world
    path = calendar_path("twice@example.com")
    world.calendar.add_calendar("twice@example.com")
    world.calendar.faults.add(freeze=True, path="/watch$")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(checked.call, "PUT", path, 409, {})
        world.calendar.faults.wait_held()
        checked.call("PUT", path, 200, {})
        world.calendar.faults.clear()
        first.result()


def _events(checked: Checked) -> str:
    """An event that is parked, one that is left alone, one in step and one of a broken kind."""
    world, call = checked.world, checked.call
    shown = [world.conference(), world.conference(), world.conference(host="x@elsewhere.example")]
    world.conferencing.faults.add(path=shown[1]["conferenceId"], method="PUT", status=422)
    in_step, refused, left = (
        world.calendar.seed_event(
            ANNA, {"summary": "Planning", **timed("10:00", "11:00"), "conferenceData": data}
        )["id"]
        for data in shown
    )
    path = "/failures?state=all"
    world.wait(lambda: len(world.manage("GET", path).json()["failures"]) == 2, "both entries")
    world.quiet(horizon=4)
    for event_id, rule in ((in_step, "E4"), (refused, "C5"), (left, "O2"), ("none", "E2")):
        assert call("GET", f"{CALENDAR}/events/{event_id}", 200)["rule"] == rule
    call("GET", f"{CALENDAR}/events/a%2Fb", 400)
    call("GET", f"/calendars/nobody%40example.com/events/{in_step}", 404)
    return str(refused)


def _failures(checked: Checked, event_id: str) -> None:
    world, call = checked.world, checked.call
    [failure] = call("GET", "/failures", 200)["failures"]
    assert failure["event_id"] == event_id
    call("GET", f"/failures?state=all&calendar_id={quote(ANNA)}", 200)
    call("GET", "/failures?state=lost", 400)
    world.tasks.fail_next(grpc.StatusCode.UNAVAILABLE)
    call("POST", f"/failures/{failure['id']}/retry", 503)
    call("POST", f"/failures/{failure['id']}/retry", 202)
    call("POST", "/failures/none/retry", 404)
    [left] = call("GET", "/failures?state=left", 200)["failures"]
    call("DELETE", f"/failures/{left['id']}", 204)
    call("DELETE", f"/failures/{left['id']}", 404)


def _stops(checked: Checked) -> None:
    """A broken calendar, as it is listed; then stops, and what is no call."""
    world, call = checked.world, checked.call
    world.calendar.withdraw_access(ANNA)

    def broken() -> bool:
        world.deliver({"calendar_id": ANNA})
        return bool(call("GET", CALENDAR, 200)["status"] == "broken")

    world.wait(broken, "the second refusal")
    assert call("GET", "/calendars?status=broken", 200)["calendars"][0]["failing"]["reason"]
    assert call("GET", "/status", 200)["calendars"]["broken"] == 1
    call("DELETE", CALENDAR, 204)
    call("DELETE", CALENDAR, 204)
    call("DELETE", "/calendars/%00", 400)
    call("PATCH", CALENDAR, 405)
