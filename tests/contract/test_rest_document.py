"""The published `rest` contract: whole enough that a system can be mocked from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_core.testing import MockRequest, MockResponse

from tests.support.rest_contract import CONTRACT, SERVER

Json = dict[str, Any]

with (CONTRACT.spec / "paths").open() as _paths:
    PATHS: Json = dict(_paths)
with CONTRACT.spec.open() as _whole:
    WHOLE: Json = dict(_whole)


def resolved(node: Json) -> Json:
    """A node of the document, its reference followed."""
    while "$ref" in node:
        found: Any = WHOLE
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def answers() -> Iterator[tuple[str, str, str, Json]]:
    """Method, path, status and body type of every answer that has a body."""
    for path, operations in PATHS.items():
        for method, operation in operations.items():
            if method == "parameters":
                continue
            for status, answer in operation["responses"].items():
                content = resolved(answer).get("content")
                if content:
                    yield method, path, status, content["application/json"]


ANSWERS = list(answers())


@pytest.mark.parametrize(
    ("method", "path", "status", "media"),
    ANSWERS,
    ids=[f"{method} {path} {status}" for method, path, status, _ in ANSWERS],
)
def test_every_answer_has_an_example_that_fits(
    method: str, path: str, status: str, media: Json
) -> None:
    """One at least, and each is what the document itself allows."""
    shown = [media["example"]] if "example" in media else []
    shown += [resolved(each)["value"] for each in media.get("examples", {}).values()]
    assert shown
    for example in shown:
        url = path.replace("{id}", "abc").replace("{original_start}", "2026-05-04T08:00:00Z")
        request = MockRequest(SERVER, method, f"/api{url}")
        answer = MockResponse(
            json.dumps(example).encode(),
            int(status.replace("XX", "03")),
            content_type="application/json",
        )
        CONTRACT.validate_response(request, answer)


def test_a_request_has_an_example() -> None:
    """Each call with a body shows one."""
    bodies = [
        operation["requestBody"]["content"]["application/json"]
        for operations in PATHS.values()
        for operation in operations.values()
        if isinstance(operation, dict) and "requestBody" in operation
    ]
    assert len(bodies) == 3
    assert all(body["examples"] for body in bodies)
