"""The published `rest` contract: whole enough that a system can be mocked from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse

from examples.rest_server import create_app
from sandbox.servers import HttpServer
from tests.support.rest_contract import CONTRACT, DOCUMENT, SERVER

ROOT = Path(__file__).resolve().parent.parent.parent
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


def test_the_document_is_one_of_openapi() -> None:
    """Any tool of OpenAPI reads it."""
    OpenAPI.from_file_path(str(DOCUMENT))


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


@pytest.mark.slow
@pytest.mark.parametrize("reason", ["does not answer", "refuses the token"])
def test_a_server_that_cannot_be_tested_is_one_sentence(reason: str) -> None:
    """`make contract` against an address where nobody is, or without a good token, ends at once and
    says so, instead of failing test by test."""
    server = HttpServer(create_app(frozenset({"the-token"})))
    if reason == "refuses the token":
        server.start()
    arguments = ("-q", "-p", "no:cacheprovider", "--rest-server", f"{server.url}/api")
    try:
        if reason == "does not answer":
            server.stop()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "tests/contract/test_rest_server.py", *arguments],
            cwd=ROOT,
            env={**os.environ, "TOKEN": "another-token"},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    finally:
        server.stop()
    assert done.returncode == 1
    assert f"Exit: {server.url}/api {reason}" in done.stdout
    assert "FAILED" not in done.stdout
