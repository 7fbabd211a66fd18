"""Providers' own API documents, to hold requests and answers against."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from openapi_core import Config, OpenAPI
from openapi_core.testing import MockRequest, MockResponse

from sandbox.oauth_service import Exchange
from tests.support.shipped import ROOT

_named = os.environ.get("PROVIDER_SPECS")
SPECS = Path(_named) if _named else ROOT.parent / "shared" / "specs"

# An empty PROVIDER_SPECS says that they are nowhere.
MISSING = _named == "" or (not SPECS.is_dir() and os.environ.get("CI") != "true")

needs_specs = pytest.mark.skipif(
    MISSING, reason="the API descriptions are not beside this project (../shared/specs)"
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
            self.content,
            config=Config(
                extra_media_type_deserializers={"application/json-patch+json": json.loads}
            ),
        )
        parts = urlsplit(server)
        self.host, self.prefix = f"{parts.scheme}://{parts.netloc}", parts.path

    def check(self, exchange: Exchange, base_path: str) -> None:
        """Raise OpenAPIError where a request leaves the description, or an answer whose status
        it describes."""
        self.check_request(exchange, base_path)
        self.check_answer(exchange, base_path)

    def check_request(self, exchange: Exchange, base_path: str) -> None:
        self.openapi.validate_request(self._request(exchange, base_path))

    def check_answer(self, exchange: Exchange, base_path: str) -> None:
        if exchange.status is None or not self._described(exchange, base_path):
            return
        headers = exchange.answer_headers
        content_type = next(
            (value for name, value in headers.items() if name.lower() == "content-type"), ""
        )
        response = MockResponse(
            exchange.answer, exchange.status, headers=headers, content_type=content_type
        )
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
                name == part or name.startswith("{")
                for name, part in zip(names, parts, strict=True)
            )
            if fits and exchange.method.lower() in operations:
                described = operations[exchange.method.lower()]["responses"].get(
                    str(exchange.status), {}
                )
                return bool(described.get("content") and exchange.answer)
        return False


def as_openapi_3(swagger: dict[str, Any], server: str) -> dict[str, Any]:
    """Rewrite a description in the older format, which the checker does not read: as much of it
    as these use."""
    text = json.dumps(swagger).replace("#/definitions/", "#/components/schemas/")
    old = json.loads(text.replace("#/parameters/", "#/components/parameters/"))

    def parameter(found: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in found:
            return found
        kept: dict[str, Any] = {
            name: found[name] for name in ("name", "in", "required") if name in found
        }
        return {
            **kept,
            "schema": {name: found[name] for name in ("type", "enum", "format") if name in found},
        }

    def operation(found: dict[str, Any]) -> dict[str, Any]:
        parameters = found.get("parameters", [])
        body = next((each["schema"] for each in parameters if each.get("in") == "body"), None)
        return {
            "parameters": [parameter(each) for each in parameters if each.get("in") != "body"],
            "responses": {status: {"description": ""} for status in found["responses"]},
            **(
                {
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": body}},
                    }
                }
                if body
                else {}
            ),
        }

    return {
        "openapi": "3.0.3",
        "info": {"title": "", "version": "1"},
        "servers": [{"url": server}],
        "paths": {
            path: {
                method: [parameter(each) for each in found]
                if method == "parameters"
                else operation(found)
                for method, found in operations.items()
            }
            for path, operations in old["paths"].items()
        },
        "components": {
            "schemas": old.get("definitions", {}),
            "parameters": {
                name: parameter(found) for name, found in old.get("parameters", {}).items()
            },
        },
    }


@cache
def document(name: str) -> Document | None:
    """Return a provider's description, None where it cannot be had."""
    if MISSING:
        return None
    file, server = {
        "zoom": ("zoom-meetings-2021.openapi3.json", "https://api.zoom.us/v2"),
        "webex": ("webex-meetings.openapi3.json", "https://webexapis.com/v1"),
        "teams": ("graph-onlinemeetings.derived.openapi3.json", "https://graph.microsoft.com/v1.0"),
    }[name]
    return Document(file, server)


def check_exchanges(name: str, exchanges: Iterable[Exchange], base_path: str) -> None:
    """Hold all that was sent and answered against a provider's description, if it is at hand.

    What a fault answered instead of the stand-in, or cut off, is no answer of the provider's, and
    is left out.
    """
    described = document(name)
    if described is None:
        return
    for exchange in exchanges:
        described.check_request(exchange, base_path)
        whole = exchange.answer_headers.get("Content-Length", "0") == str(len(exchange.answer))
        if exchange.status and exchange.status < 500 and exchange.status != 408 and whole:
            described.check_answer(exchange, base_path)
