"""The published `rest` contract, to hold requests and answers against."""

from __future__ import annotations

import httpx
from openapi_core import Config, OpenAPI
from openapi_core.testing import MockRequest, MockResponse

from tests.support.shipped import ROOT

DOCUMENT = ROOT / "docs" / "rest-conferencing.openapi.yaml"

# Whether the document is one of OpenAPI takes a while to tell, and a test of its own tells it.
CONTRACT = OpenAPI.from_file_path(str(DOCUMENT), config=Config(spec_validator_cls=None))


SERVER = "https://meet.example.com"


def mock_request(request: httpx.Request, path: str | None = None) -> MockRequest:
    """`path` stands in place of the request's own where the system has another base address."""
    return MockRequest(
        SERVER,
        request.method.lower(),
        path or request.url.path,
        headers=dict(request.headers),
        data=request.content or None,
        content_type=request.headers.get("content-type", ""),
    )


def check_request(request: httpx.Request, path: str | None = None) -> None:
    """Raise OpenAPIError where a request leaves the contract."""
    CONTRACT.validate_request(mock_request(request, path))


def check_answer(response: httpx.Response, path: str | None = None) -> None:
    """Raise OpenAPIError where an answer leaves the contract."""
    content, content_type = response.content, response.headers.get("content-type", "")
    if response.is_error and not content:
        # The contract makes an error's body optional, which OpenAPI has no words for.
        content, content_type = b"{}", "application/json"
    CONTRACT.validate_response(
        mock_request(response.request, path),
        MockResponse(
            content, response.status_code, headers=dict(response.headers), content_type=content_type
        ),
    )
