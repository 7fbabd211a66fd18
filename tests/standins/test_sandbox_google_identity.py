"""The stand-in for Google's ID tokens, read by Google's own library."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import requests
from google.auth import exceptions
from google.auth.transport.requests import Request
from google.oauth2 import id_token

from sandbox.google_identity import AUDIENCE, GoogleIdentity

ANNA = "anna@example.com"
# These are signed and current, so the library believes them: whoever asks must look at the claims.
FOR_THE_CALLER = {"other issuer", "other domain", "no domain", "no address", "unverified address"}


@pytest.fixture
def identity() -> Iterator[GoogleIdentity]:
    with GoogleIdentity() as running:
        yield running


@pytest.fixture
def transport() -> Iterator[Request]:
    with requests.Session() as session:
        session.trust_env = False
        yield Request(session)


def verified(identity: GoogleIdentity, transport: Request, token: str) -> dict[str, Any]:
    return dict(
        id_token.verify_token(
            token, transport, audience=[AUDIENCE, "other"], certs_url=identity.certs_url
        )
    )


def test_the_root_lists_every_call(identity: GoogleIdentity) -> None:
    """Whoever opens the address learns what can be asked there."""
    told = httpx.get(f"{identity.url}/").json()
    assert told["stand_in"] == "GoogleIdentity"
    assert "POST /_sandbox/token" in told["calls"]


def test_googles_library_believes_a_good_token(
    identity: GoogleIdentity, transport: Request
) -> None:
    """The claims are those of a Workspace user, and the same person has the same `sub`."""
    claims = verified(identity, transport, identity.token(ANNA))
    assert claims["iss"] == "https://accounts.google.com"
    assert (claims["aud"], claims["azp"]) == (AUDIENCE, AUDIENCE)
    assert (claims["email"], claims["email_verified"], claims["hd"]) == (ANNA, True, "example.com")
    assert claims["exp"] - claims["iat"] == 3600
    again = verified(identity, transport, identity.token(ANNA))
    other = verified(identity, transport, identity.token("ben@example.com"))
    assert again["sub"] == claims["sub"] != other["sub"]


def test_googles_library_refuses_what_is_not_signed_or_not_current(
    identity: GoogleIdentity, transport: Request
) -> None:
    """Of the bad tokens it believes those alone whose claims are for the caller to judge."""
    believed = set()
    for what, token in identity.bad_tokens(ANNA).items():
        try:
            verified(identity, transport, token)
        except (ValueError, exceptions.GoogleAuthError):
            continue
        believed.add(what)
    assert believed == FOR_THE_CALLER


def test_bad_claims_are_what_their_names_say(identity: GoogleIdentity, transport: Request) -> None:
    """Each of these differs from a good token in one claim."""
    bad = identity.bad_tokens(ANNA)
    claims = {what: verified(identity, transport, bad[what]) for what in FOR_THE_CALLER}
    assert claims["other issuer"]["iss"] == "https://accounts.example.org"
    assert claims["other domain"]["hd"] == "elsewhere.example"
    assert "hd" not in claims["no domain"]
    assert "email" not in claims["no address"]
    assert claims["unverified address"]["email_verified"] is False


def test_certificates_may_be_cached(identity: GoogleIdentity) -> None:
    """They are served as PEM by key id, with the age that a cache may reach, and each read
    counts."""
    answer = httpx.get(identity.certs_url, trust_env=False)
    assert "max-age=21600" in answer.headers["Cache-Control"]
    assert all(pem.startswith("-----BEGIN CERTIFICATE-----") for pem in answer.json().values())
    httpx.get(identity.certs_url, trust_env=False)
    assert identity.key_requests == 2


def test_keys_change(identity: GoogleIdentity, transport: Request) -> None:
    """After a rotation old and new tokens are good. Once the old key is forgotten, only new
    ones."""
    old = identity.token(ANNA)
    identity.rotate()
    new = identity.token(ANNA)
    assert verified(identity, transport, old)["email"] == ANNA
    assert verified(identity, transport, new)["email"] == ANNA
    identity.forget_old_keys()
    assert verified(identity, transport, new)["email"] == ANNA
    with pytest.raises((ValueError, exceptions.GoogleAuthError)):
        verified(identity, transport, old)


def test_reads_of_certificates_fail_on_request(
    identity: GoogleIdentity, transport: Request
) -> None:
    """A fault answers in the place of the certificates, and the read counts all the same."""
    identity.faults.add(path="/certs$", status=503)
    with pytest.raises(exceptions.TransportError):
        verified(identity, transport, identity.token(ANNA))
    assert identity.key_requests == 1


def test_tokens_age_by_the_given_clock(transport: Request) -> None:
    """A token made two hours ago is over."""
    with GoogleIdentity(now=lambda: datetime.now(UTC) - timedelta(hours=2)) as late:
        with pytest.raises(ValueError, match="expired"):
            verified(late, transport, late.token(ANNA))
        assert verified(late, transport, late.token(ANNA, lifetime_seconds=9000))["email"] == ANNA


def test_tokens_over_http(identity: GoogleIdentity, transport: Request) -> None:
    """Other processes get tokens, bad ones too, and the count of reads."""
    with httpx.Client(base_url=f"{identity.url}/_sandbox", trust_env=False) as door:
        token = door.post("/token", json={"user": ANNA, "domain": "d.example"}).json()["token"]
        assert verified(identity, transport, token)["hd"] == "d.example"
        bad = door.post("/bad_tokens", json={"user": ANNA}).json()
        assert bad.keys() == identity.bad_tokens(ANNA).keys()
        assert door.get("/key_requests").json() == {"key_requests": 1}
        before = set(httpx.get(identity.certs_url, trust_env=False).json())
        assert door.post("/rotate").status_code == 204
        after = set(httpx.get(identity.certs_url, trust_env=False).json())
        assert before < after
