"""One client for the APIs of all conferencing stand-ins, for tests of the stand-ins themselves."""

from __future__ import annotations

from typing import Any

import httpx

from sandbox import teams
from sandbox.oauth_service import OAuthService
from sandbox.service import Service
from sandbox.webex import Webex

Json = dict[str, Any]


def ask(method: str, url: str, **options: Any) -> httpx.Response:
    """Send one request to a server on loopback."""
    # No TLS here: without `verify` the certificates of all authorities are not read.
    return httpx.request(method, url, trust_env=False, verify=False, **options)


class Api(httpx.Client):
    """Calls a stand-in's API with good credentials.

    Paths of meetings begin at the API's own: `/meetings/1` of Zoom and Webex, `/conferences/1` of
    `rest`, `/onlineMeetings/1` of Teams, there as the user `host`.
    """

    def __init__(self, service: Service) -> None:
        token = service.grant() if isinstance(service, OAuthService) else service.secret["token"]
        # No TLS here: without `verify` the certificates of all authorities are not read.
        super().__init__(headers={"Authorization": f"Bearer {token}"}, timeout=30, verify=False)
        self.service = service
        self.host = teams.HOST

    def call(
        self, method: str, path: str, body: Any = None, *, host: str | None = None, **query: Any
    ) -> httpx.Response:
        """Send one request; `host` is an object id of Teams."""
        root = self.service.base_url
        if isinstance(self.service, Webex):
            root = root.removesuffix("/meetings")
        if isinstance(self.service, teams.Teams):
            root = f"{root}/users/{host or self.host}"
        headers = {"Idempotency-Key": "key"} if method == "POST" else {}
        return self.request(
            method, f"{root}{path}", json=body, params=query or None, headers=headers
        )

    def read(self, conference_id: str, **query: Any) -> httpx.Response:
        return self.call("GET", self._one(conference_id), **query)

    def remove(self, conference_id: str, **query: Any) -> httpx.Response:
        return self.call("DELETE", self._one(conference_id), **query)

    def change(self, conference_id: str, body: Json, **query: Any) -> httpx.Response:
        return self.call("PATCH", self._one(conference_id), body, **query)

    def _one(self, conference_id: str) -> str:
        folder = {"Rest": "conferences", "Teams": "onlineMeetings"}.get(
            type(self.service).__name__, "meetings"
        )
        return f"/{folder}/{conference_id}"
