"""A conferencing system behind OAuth: what the stand-ins for Zoom, Webex and Teams have in common.

`OAuthService` knows tokens, and nothing of meetings. Its controls over HTTP are those of
`sandbox.service`, and

    POST   /_sandbox/rotate         → what the provider's secret must hold from now on
"""

from __future__ import annotations

import argparse
import json
import secrets
import threading
from abc import abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import flask

from sandbox.service import Exchange, Json, Service

__all__ = ["Exchange", "Json", "OAuthService", "main"]


class OAuthService(Service):
    """A system whose API takes tokens that it granted itself."""

    SETTINGS: ClassVar[tuple[str, ...]] = ("lifetime_seconds", "requests_per_second", "retry_after")

    def reset(self) -> None:
        super().reset()
        with self.lock:
            self.grants: list[Exchange] = []
            """Requests for tokens. `requests` has those to the API."""
            self.lifetime_seconds = 3600
            """Of the tokens granted from now on."""
            self.requests_per_second: int | None = None
            self.retry_after: str | None = "1"
            """What the refusal of too many requests says. None: nothing."""
            self.client_id, self.client_secret = "client-1", "secret-1"
            self._tokens: dict[str, datetime] = {}

    @property
    def meetings(self) -> dict[str, Json]:
        """The conferences, by the name that these systems give them."""
        return self.conferences

    @meetings.setter
    def meetings(self, meetings: dict[str, Json]) -> None:
        self.conferences = meetings

    def expire_tokens(self) -> None:
        """Let no token be good any more. New ones are granted."""
        with self.lock:
            self._tokens.clear()

    def rotate(self) -> Json:
        """Take another client secret and refuse all tokens. Return what the secret must hold."""
        with self.lock:
            self.client_secret = f"secret-{secrets.token_hex(4)}"
            self.expire_tokens()
            return self.secret

    @abstractmethod
    def entry(self, name: str, secret: str) -> Json:
        """The entry of SYNC_PROVIDERS that leads here."""

    def grant(self) -> str:
        """Return a new token."""
        token = secrets.token_urlsafe(16)
        with self.lock:
            self._tokens[token] = self.clock() + timedelta(seconds=self.lifetime_seconds)
        return token

    def authorise(self) -> None:
        token = flask.request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self._tokens.get(token, datetime.min.replace(tzinfo=UTC)) <= self.clock():
            self.refuse(401, self.refusal(401, "Invalid access token."))

    def rate_limit(self) -> int | None:
        return self.requests_per_second

    def retry_after_text(self, seconds: float) -> str | None:  # noqa: ARG002 - a test chooses it
        return self.retry_after

    def records_for(self, path: str) -> list[Exchange] | None:
        if path == "/" or path.startswith("/_sandbox/"):
            return None
        return super().records_for(path) if path.startswith(self.API) else self.grants

    def _add_controls(self, app: flask.Flask) -> None:
        super()._add_controls(app)
        app.add_url_rule("/_sandbox/rotate", view_func=self._rotate, methods=["POST"])

    def _rotate(self) -> flask.Response:
        return flask.jsonify(self.rotate())


def main(kind: Callable[..., OAuthService], name: str) -> None:
    """Serve one on its own until Ctrl-C. `name` is the module's and the provider's."""
    parser = argparse.ArgumentParser(
        prog=f"python -m sandbox.{name}", description=f"A stand-in for {name.title()}."
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    service = kind(port=parser.parse_args().port)
    service.start()
    entry = service.entry(name, f"projects/PROJECT/secrets/{name}")
    controls = f"{service.url}/_sandbox/conferences"
    try:
        print(f"In SYNC_PROVIDERS: {json.dumps(entry)}")
        print(f"In that secret:    {json.dumps(service.secret)}")
        print(f"Controls:          {controls} (all of them: sandbox/service.py)", flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        service.stop()
