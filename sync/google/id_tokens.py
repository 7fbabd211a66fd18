"""ID tokens of the add-on's users, checked against Google's keys (A1).

Everything that can be told without a key is looked at first, so that a flood of forged tokens costs
no call elsewhere. Google's keys are cached as long as their answer allows.

https://developers.google.com/identity/openid-connect/openid-connect#validatinganidtoken
"""

from __future__ import annotations

import base64
import json
import logging
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import requests
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.x509 import load_pem_x509_certificate
from google.auth.crypt import RSAVerifier

from sync.backoff import patiently
from sync.errors import Forged, TryLater
from sync.single_flight import SingleFlight

_logger = logging.getLogger(__name__)

_ISSUERS = frozenset({"https://accounts.google.com", "accounts.google.com"})
# Google's tokens have about a kilobyte.
_LONGEST_TOKEN = 10_000
_LONGEST_KEY_ID = 200
# Clocks of two machines differ by a few seconds.
_CLOCK_SKEW_SECONDS = 10.0

# Whatever the answer's Cache-Control says, keys are kept for so long at least, and at most.
_LEAST_CACHED = timedelta(minutes=5)
_MOST_CACHED = timedelta(days=1)
# A token signed with an unknown key, or an address that does not answer, is reason to ask again
# at most once in so many seconds.
_ASK_AGAIN = timedelta(seconds=10)
# One read of the keys: how long it may take in all, and how large the answer may be.
_TIMEOUT_SECONDS = 5.0
# How long a token whose key is known waits for newer keys.
_PATIENCE_SECONDS = 1.0
_MOST_BYTES = 200_000
_MOST_KEYS = 50
# The time that a check takes grows with the key, of which Google's have 2,048 bits.
_LARGEST_KEY = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Whose token it is: the address, in small letters, and the Workspace domain it belongs to."""

    email: str
    domain: str


class IdTokens:
    """Checks ID tokens for some audiences and domains. Safe for threads. Reads keys when it must.

    `certs_url` answers Google's keys: certificates by key id, or a JWK set. `audiences` are OAuth
    client ids, `domains` values of the claim `hd`.
    """

    def __init__(
        self,
        certs_url: str,
        audiences: frozenset[str],
        domains: frozenset[str],
        clock: Callable[[], datetime],
    ) -> None:
        self._audiences = audiences
        self._domains = domains
        self._clock = clock
        self._keys = _Keys(certs_url, clock)

    def verify(self, header: str) -> User:
        """Return whose token an `Authorization` header carries.

        `"Bearer eyJhbGci…"` gives `User(email="anna@example.com", domain="example.com")`. Raises
        Forged for every reason not to believe the token. Its text is one word for the log, such as
        `expired`, and never for the caller. Raises TryLater if no key was ever read and none can be
        read now. Safe to repeat.
        """
        token = _Token.from_header(header)
        user = self._claimed(token.claims)
        key = self._keys.get(token.key_id)
        if key is None:
            raise Forged("unknown-key")
        if not key.verify(token.signed, token.signature):
            raise Forged("signature")
        return user

    def _claimed(self, claims: Mapping[str, Any]) -> User:
        now = self._clock().timestamp()
        issuer, audience = claims.get("iss"), claims.get("aud")
        email, domain = claims.get("email"), claims.get("hd")
        if not isinstance(issuer, str) or issuer not in _ISSUERS:
            raise Forged("issuer")
        if not isinstance(audience, str) or audience not in self._audiences:
            raise Forged("audience")
        if not now < _seconds(claims.get("exp")) + _CLOCK_SKEW_SECONDS:
            raise Forged("expired")
        if not _seconds(claims.get("iat")) - _CLOCK_SKEW_SECONDS <= now:
            raise Forged("issued-in-the-future")
        # Tokens of Google's sign-in button have it, those of Apps Script do not.
        if "nbf" in claims and not _seconds(claims["nbf"]) - _CLOCK_SKEW_SECONDS <= now:
            raise Forged("not-yet-valid")
        if not isinstance(email, str) or not _ADDRESS.fullmatch(email):
            raise Forged("address")
        if claims.get("email_verified") is not True:
            raise Forged("address-not-verified")
        if not isinstance(domain, str) or domain.lower() not in self._domains:
            raise Forged("domain")
        return User(email=email.lower(), domain=domain.lower())


_ADDRESS = re.compile(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,253}")
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    """The parts of a token, none of which is believed yet."""

    key_id: str
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes

    @classmethod
    def from_header(cls, header: str) -> _Token:
        """Parse `Bearer <token>`. Raises Forged for what can be no token of Google's."""
        if not header:
            raise Forged("missing")
        if len(header) > _LONGEST_TOKEN:
            raise Forged("too-long")
        scheme, _, text = header.partition(" ")
        segments = text.strip(" ").split(".")
        if scheme.lower() != "bearer" or len(segments) != 3:
            raise Forged("malformed")
        head, claims = _json(segments[0]), _json(segments[1])
        # The header's word for the algorithm is not taken: it may be "none", or make a secret of
        # Google's public certificate.
        if head.get("alg") != "RS256":
            raise Forged("algorithm")
        # What is named there changes what the token means, and we know none of it (RFC 7515).
        if "crit" in head:
            raise Forged("extension")
        key_id = head.get("kid")
        if not isinstance(key_id, str) or not 0 < len(key_id) <= _LONGEST_KEY_ID:
            raise Forged("no-key-id")
        return cls(
            key_id=key_id,
            claims=claims,
            signed=f"{segments[0]}.{segments[1]}".encode(),
            signature=_decoded(segments[2]),
        )


def _decoded(segment: str) -> bytes:
    if not _SEGMENT.fullmatch(segment) or len(segment) % 4 == 1:
        raise Forged("malformed")
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _json(segment: str) -> Mapping[str, Any]:
    try:
        value = json.loads(_decoded(segment))
    except (ValueError, RecursionError):
        raise Forged("malformed") from None
    if not isinstance(value, dict):
        raise Forged("malformed")
    return value


def _seconds(value: object) -> float:
    """Return a time of a token, seconds since 1970. Raises Forged for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Forged("malformed")
    try:
        seconds = float(value)
    except OverflowError:
        raise Forged("malformed") from None
    if not math.isfinite(seconds):
        raise Forged("malformed")
    return seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    keys: Mapping[str, RSAVerifier]
    fresh_until: datetime


class _Keys:
    """Google's keys by their ids. Safe for threads.

    One call at a time asks for them, and all others are answered by the keys that are known. The
    last good keys serve on while the address does not answer.
    """

    def __init__(self, url: str, clock: Callable[[], datetime]) -> None:
        self._url = url
        self._clock = clock
        self._flight: SingleFlight[_Known] = SingleFlight()
        # Replaced as a whole: reading it needs no lock.
        self._known: _Known | None = None
        self._asked_again_at: datetime | None = None

    def get(self, key_id: str) -> RSAVerifier | None:
        """Return a key, None for one that Google does not show. Raises TryLater without any key."""
        known = self._known
        if known is None:
            known = self._flight.join(
                lambda: patiently(lambda: self._ask(_TIMEOUT_SECONDS), tries=2)
            )
            return known.keys.get(key_id)
        now = self._clock()
        if (key_id not in known.keys or now >= known.fresh_until) and self._may_ask(now):
            self._asked_again_at = now
            known = self._newer(
                known, _PATIENCE_SECONDS if key_id in known.keys else _TIMEOUT_SECONDS
            )
        return known.keys.get(key_id)

    def _may_ask(self, now: datetime) -> bool:
        asked = self._asked_again_at
        return asked is None or now - asked >= _ASK_AGAIN

    def _newer(self, known: _Known, timeout_seconds: float) -> _Known:
        try:
            return self._flight.alone(lambda: self._ask(timeout_seconds)) or known
        except TryLater as error:
            _logger.warning("keys of ID tokens not read anew", extra={"reason": str(error)})
            return known

    def _ask(self, timeout_seconds: float) -> _Known:
        body, headers = _fetched(self._url, timeout_seconds)
        keys = _parsed(body)
        if not keys:
            raise TryLater("the address of SYNC_ADDON_CERTS_URL answered no keys")
        self._known = _Known(keys=keys, fresh_until=self._clock() + _cached_for(headers))
        return self._known


def _fetched(url: str, timeout_seconds: float) -> tuple[bytes, Mapping[str, str]]:
    """Read the keys' address. Raises TryLater. The answer is bounded in time and size."""
    deadline = time.monotonic() + timeout_seconds
    try:
        with requests.get(
            url, timeout=timeout_seconds, stream=True, allow_redirects=False
        ) as answer:
            if answer.status_code != 200:
                raise TryLater(f"the address of SYNC_ADDON_CERTS_URL answered {answer.status_code}")
            body = b""
            for piece in answer.iter_content(8192):
                body += piece
                if len(body) > _MOST_BYTES or time.monotonic() > deadline:
                    raise TryLater("the address of SYNC_ADDON_CERTS_URL answers without an end")
            return body, answer.headers
    except requests.RequestException as error:
        raise TryLater(
            f"the address of SYNC_ADDON_CERTS_URL did not answer ({type(error).__name__})"
        ) from error


def _parsed(body: bytes) -> dict[str, RSAVerifier]:
    """Return the keys of an answer in either of Google's two forms. What is no key is left out."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(value, dict):
        return {}
    listed = value.get("keys")
    if isinstance(listed, list):
        found = [(each.get("kid"), each) for each in listed if isinstance(each, dict)]
    else:
        found = list(value.items())
    keys: dict[str, RSAVerifier] = {}
    for key_id, shown in found[:_MOST_KEYS]:
        verifier = _from_jwk(shown) if isinstance(shown, dict) else _from_certificate(shown)
        if isinstance(key_id, str) and verifier is not None:
            keys[key_id] = verifier
    return keys


def _from_certificate(shown: object) -> RSAVerifier | None:
    try:
        key = load_pem_x509_certificate(str(shown).encode()).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return _verifier(key)


def _from_jwk(shown: Mapping[str, Any]) -> RSAVerifier | None:
    if shown.get("kty") != "RSA" or shown.get("use", "sig") != "sig":
        return None
    try:
        numbers = [int.from_bytes(_decoded(shown[name])) for name in ("e", "n")]
        return _verifier(RSAPublicNumbers(*numbers).public_key())
    except (Forged, ValueError, TypeError, KeyError):
        return None


def _verifier(key: object) -> RSAVerifier | None:
    if not isinstance(key, RSAPublicKey) or key.key_size > _LARGEST_KEY:
        return None
    return RSAVerifier(key)


def _cached_for(headers: Mapping[str, str]) -> timedelta:
    """Return how long an answer may be kept: `Cache-Control: max-age` less `Age`, within bounds."""
    found = re.search(r"(?:^|[\s,])max-age=\"?(\d{1,9})", headers.get("Cache-Control", ""), re.I)
    age = headers.get("Age", "").strip()
    seconds = (int(found[1]) if found else 0) - (int(age) if re.fullmatch(r"\d{1,9}", age) else 0)
    return min(max(timedelta(seconds=seconds), _LEAST_CACHED), _MOST_CACHED)
