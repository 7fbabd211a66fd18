"""The published descriptions of the providers' APIs, held against what our adapters send and our stand-ins answer.

The descriptions are not part of this project: they lie beside it, in `../shared/specs`, where they can be had.
Elsewhere these checks are skipped; where CI runs they are required.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from openapi_core import Config, OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse

from sandbox.oauth_service import Exchange

SPECS = Path(__file__).resolve().parent.parent.parent / "shared" / "specs"
REQUIRED = os.environ.get("CI") == "true"

needs_specs = pytest.mark.skipif(
    not SPECS.is_dir() and not REQUIRED, reason="the API descriptions are not beside this project (../shared/specs)"
)


class Document:
    """One API description."""

    def __init__(self, file: str, server: str) -> None:
        self.content: dict[str, Any] = json.loads((SPECS / file).read_text())
        if "swagger" in self.content:
            self.content = as_openapi_3(self.content, server)
        for scheme in self.content["components"].get("securitySchemes", {}).values():
            if scheme["type"] == "oauth2":
                # The checker knows no OAuth; what it makes of a request is a bearer token.
                scheme.clear()
                scheme.update(type="http", scheme="bearer")
        # What Webex takes of a PATCH has a content type of its own; it is read like any other JSON.
        self.openapi = OpenAPI.from_dict(
            self.content, config=Config(extra_media_type_deserializers={"application/json-patch+json": json.loads})
        )
        parts = urlsplit(server)
        self.host, self.prefix = f"{parts.scheme}://{parts.netloc}", parts.path

    def check(self, exchange: Exchange, base_path: str) -> None:
        """Raise OpenAPIError where a request leaves the description, or an answer whose status it describes."""
        self.check_request(exchange, base_path)
        self.check_answer(exchange, base_path)

    def check_request(self, exchange: Exchange, base_path: str) -> None:
        self.openapi.validate_request(self._request(exchange, base_path))

    def check_answer(self, exchange: Exchange, base_path: str) -> None:
        if exchange.status is None or not self._described(exchange, base_path):
            return
        headers = exchange.answer_headers
        content_type = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
        response = MockResponse(exchange.answer, exchange.status, headers=headers, content_type=content_type)
        self.openapi.validate_response(self._request(exchange, base_path), response)

    def _request(self, exchange: Exchange, base_path: str) -> MockRequest:
        body = None if exchange.body is None else json.dumps(exchange.body).encode()
        return MockRequest(
            self.host,
            exchange.method.lower(),
            self.prefix + exchange.path.removeprefix(base_path),
            headers=exchange.headers,
            args=exchange.query,
            data=body,
            content_type=exchange.headers.get("Content-Type", "").partition(";")[0],
        )

    def _described(self, exchange: Exchange, base_path: str) -> bool:
        """Errors of Zoom are told in prose, and no description knows a gateway's pages."""
        parts = exchange.path.removeprefix(base_path).strip("/").split("/")
        for template, operations in self.content["paths"].items():
            names = template.strip("/").split("/")
            fits = len(names) == len(parts) and all(
                name == part or name.startswith("{") for name, part in zip(names, parts, strict=True)
            )
            if fits and exchange.method.lower() in operations:
                described = operations[exchange.method.lower()]["responses"].get(str(exchange.status), {})
                return bool(described.get("content") and exchange.answer)
        return False


def as_openapi_3(swagger: dict[str, Any], server: str) -> dict[str, Any]:
    """Rewrite a description in the older format, which the checker does not read: as much of it as these use."""
    text = json.dumps(swagger).replace("#/definitions/", "#/components/schemas/")
    old = json.loads(text.replace("#/parameters/", "#/components/parameters/"))

    def parameter(found: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in found:
            return found
        kept: dict[str, Any] = {name: found[name] for name in ("name", "in", "required") if name in found}
        return {**kept, "schema": {name: found[name] for name in ("type", "enum", "format") if name in found}}

    def operation(found: dict[str, Any]) -> dict[str, Any]:
        parameters = found.get("parameters", [])
        body = next((each["schema"] for each in parameters if each.get("in") == "body"), None)
        return {
            "parameters": [parameter(each) for each in parameters if each.get("in") != "body"],
            "responses": {status: {"description": ""} for status in found["responses"]},
            **({"requestBody": {"required": True, "content": {"application/json": {"schema": body}}}} if body else {}),
        }

    return {
        "openapi": "3.0.3",
        "info": {"title": "", "version": "1"},
        "servers": [{"url": server}],
        "paths": {
            path: {
                method: [parameter(each) for each in found] if method == "parameters" else operation(found)
                for method, found in operations.items()
            }
            for path, operations in old["paths"].items()
        },
        "components": {
            "schemas": old.get("definitions", {}),
            "parameters": {name: parameter(found) for name, found in old.get("parameters", {}).items()},
        },
    }


@cache
def document(name: str) -> Document | None:
    """Return a provider's description, None where it cannot be had."""
    if not SPECS.is_dir() and not REQUIRED:
        return None
    file, server = {
        "zoom": ("zoom-meetings-2021.openapi3.json", "https://api.zoom.us/v2"),
        "webex": ("webex-meetings.openapi3.json", "https://webexapis.com/v1"),
        "teams": ("graph-onlinemeetings.derived.openapi3.json", "https://graph.microsoft.com/v1.0"),
    }[name]
    return Document(file, server)


def check_exchanges(name: str, exchanges: Iterable[Exchange], base_path: str) -> None:
    """Hold all that was sent and answered against a provider's description, if it is at hand.

    What a fault answered instead of the stand-in, or cut off, is no answer of the provider's, and is left out.
    """
    described = document(name)
    if described is None:
        return
    for exchange in exchanges:
        described.check_request(exchange, base_path)
        whole = exchange.answer_headers.get("Content-Length", "0") == str(len(exchange.answer))
        if exchange.status and exchange.status < 500 and exchange.status != 408 and whole:
            described.check_answer(exchange, base_path)


# Each description is proved to bite.


def an_exchange(method: str, path: str, body: Any = None, **changes: Any) -> Exchange:
    sent = {"Authorization": "Bearer token", **({"Content-Type": "application/json"} if body is not None else {})}
    exchange = Exchange(method=method, path=path, query={}, headers=sent, body=body, at=datetime.now(UTC))
    return replace(exchange, **changes)


ZOOM_MEETING = {
    "topic": "Weekly",
    "type": 8,
    "start_time": "2026-05-04T10:00:00",
    "timezone": "Europe/Berlin",
    "duration": 60,
    "recurrence": {"type": 2, "repeat_interval": 1, "weekly_days": "2,4", "end_times": 50},
}
WEBEX_MEETING = {"title": "Weekly", "start": "2026-05-04T10:00:00+02:00", "end": "2026-05-04T11:00:00+02:00"}
TEAMS_MEETING = {"subject": "Weekly", "startDateTime": "2026-05-04T08:00:00Z", "endDateTime": "2026-05-04T09:00:00Z"}


@needs_specs
@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("zoom", an_exchange("POST", "/users/a@b/meetings", ZOOM_MEETING), {**ZOOM_MEETING, "type": 7}),
        ("zoom", an_exchange("POST", "/users/a@b/meetings", ZOOM_MEETING), {**ZOOM_MEETING, "recurrence": {}}),
        ("zoom", an_exchange("PATCH", "/meetings/1", ZOOM_MEETING), {**ZOOM_MEETING, "agenda": "x" * 2001}),
        ("zoom", an_exchange("PATCH", "/meetings/1", ZOOM_MEETING), {**ZOOM_MEETING, "start_time": "tomorrow"}),
        ("webex", an_exchange("POST", "/meetings", WEBEX_MEETING), {"title": "without times"}),
        ("webex", an_exchange("POST", "/meetings", WEBEX_MEETING), {**WEBEX_MEETING, "sendEmail": "no"}),
        ("teams", an_exchange("POST", "/users/1/onlineMeetings", TEAMS_MEETING), {"subject": 5}),
        ("teams", an_exchange("PATCH", "/users/1/onlineMeetings/2", TEAMS_MEETING), {"startDateTime": "tomorrow"}),
        (
            "teams",
            an_exchange("POST", "/users/1/onlineMeetings/createOrGet", {**TEAMS_MEETING, "externalId": "k"}),
            TEAMS_MEETING,
        ),
    ],
)
def test_a_description_refuses_a_wrong_request(name: str, good: Exchange, bad: Any) -> None:
    """The same request passes and, spoilt in one place, does not."""
    described = document(name)
    assert described is not None
    described.check_request(good, "")
    with pytest.raises(OpenAPIError):
        described.check_request(replace(good, body=bad), "")


@needs_specs
@pytest.mark.parametrize("name", ["zoom", "webex", "teams"])
def test_a_description_refuses_an_unknown_path(name: str) -> None:
    """What no description names is not sent."""
    described = document(name)
    assert described is not None
    with pytest.raises(OpenAPIError):
        described.check_request(an_exchange("GET", "/somewhere/else"), "")


@needs_specs
@pytest.mark.parametrize(
    ("name", "path", "good", "bad"),
    [
        ("zoom", "/meetings/1", {"id": 81234567890, "topic": "x"}, {"id": "eight", "topic": "x"}),
        ("teams", "/users/1/onlineMeetings/2", {"id": "a"}, {"id": "a", "startDateTime": "tomorrow"}),
        ("webex", "/meetings/1", None, {"id": "a"}),
    ],
)
def test_a_description_refuses_a_wrong_answer(name: str, path: str, good: Any, bad: Any) -> None:
    """A stand-in that answered so would be found out."""
    described = document(name)
    assert described is not None

    def answered(body: Any) -> Exchange:
        mimetype = "application/json;charset=UTF-8" if name == "webex" else "application/json"
        headers = {"Content-Type": mimetype}
        return an_exchange("GET", path, status=200, answer=json.dumps(body).encode(), answer_headers=headers)

    if good is not None:
        described.check_answer(answered(good), "")
    with pytest.raises(OpenAPIError):
        described.check_answer(answered(bad), "")


@needs_specs
@pytest.mark.parametrize(
    "bad", [{"type": 7}, {"start_time": 5}, {"duration": "an hour"}, {"recurrence": {"type": "weekly"}}], ids=str
)
def test_zooms_own_older_description_takes_single_meetings(bad: dict[str, Any]) -> None:
    """The description that Zoom published in 2018 agrees, but for lists of weekdays, which it does not know."""
    document_2018 = Document("zoom-meetings-2018.swagger2.json", "https://api.zoom.us/v2")
    single = {**ZOOM_MEETING, "type": 2, "start_time": "2026-05-04T08:00:00Z"}
    del single["recurrence"]
    document_2018.check_request(an_exchange("PATCH", "/meetings/1", single), "")
    with pytest.raises(OpenAPIError):
        document_2018.check_request(an_exchange("PATCH", "/meetings/1", {**single, **bad}), "")
