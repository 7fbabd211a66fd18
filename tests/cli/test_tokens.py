"""Who asks: tokens by google-auth, from a service account's file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import google.auth.crypt
import google.auth.jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ccsync.tokens import calendar_headers
from sandbox.servers import HttpServer
from tests.support.manage_server import ManageServer
from tests.support.operator import Operator


class TokenServer:
    """Google's token endpoint: gives the tokens that it was made with, and keeps the requests."""

    def __init__(self, id_token: str) -> None:
        self.requests: list[dict[str, Any]] = []
        app = flask.Flask("tokens")

        def give() -> dict[str, Any]:
            assertion = flask.request.form["assertion"]
            claims = google.auth.jwt.decode(assertion, verify=False)
            self.requests.append(claims)
            return {"access_token": "read-only", "id_token": id_token, "expires_in": 3600}

        app.add_url_rule("/token", view_func=give, methods=["POST"])
        self.server = HttpServer(app)


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenServer]:
    """A service account whose file GOOGLE_APPLICATION_CREDENTIALS names."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    signer = google.auth.crypt.RSASigner.from_string(text)
    claims = {"aud": "manage", "iat": 1, "exp": 4_000_000_000}
    token: bytes = google.auth.jwt.encode(signer, claims)
    tokens = TokenServer(token.decode())
    tokens.server.start()
    file = tmp_path / "account.json"
    account = {
        **{"type": "service_account", "client_email": "ops@acme.iam.gserviceaccount.com"},
        **{"private_key": text, "token_uri": f"{tokens.server.url}/token", "project_id": "acme"},
    }
    file.write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    yield tokens
    tokens.server.stop()


def test_a_service_account_asks_once_for_the_servers_audience(
    account: TokenServer, server: ManageServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token is for the address of manage_calendars, and serves the whole run."""
    for number in range(150):
        server.add(f"user{number}@example.com")
    outputs = {"urls": {"value": {"manage-calendars": server.url}}}
    terraform = tmp_path / "terraform"
    terraform.write_text(f"#!/bin/sh\necho '{json.dumps(outputs)}'\n")
    terraform.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert Operator("--terraform", str(tmp_path))("calendars", "list").code == 0
    [asked] = account.requests
    assert asked["target_audience"] == server.url
    [seen] = server.tokens
    assert seen is not None
    assert seen.startswith("Bearer ey")


def test_calendar_is_read_with_the_smallest_scope(account: TokenServer) -> None:
    """Reading events, and nothing else."""
    headers = {name.lower(): value for name, value in calendar_headers().items()}
    assert headers["authorization"] == "Bearer read-only"
    [asked] = account.requests
    assert asked["scope"] == "https://www.googleapis.com/auth/calendar.events.readonly"
