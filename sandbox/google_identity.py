"""A stand-in for Google's ID tokens: it signs them, and serves the certificates that prove them.

    identity = GoogleIdentity(audience="123.apps.googleusercontent.com")
    identity.start()
    token = identity.token("anna@example.com")      # what ScriptApp.getIdentityToken() returns
    identity.certs_url                              # the value of SYNC_ADDON_CERTS_URL

Tokens are JWTs signed with RS256 by a key made at start. Claims: `iss`, `aud`, `azp`, `sub`, `hd`,
`email`, `email_verified`, `iat`, `exp`. The certificates are JSON, key id to PEM text, with
`Cache-Control: max-age`, as https://www.googleapis.com/oauth2/v1/certs answers.

`bad_tokens` makes one token for each way to be wrong. `rotate` signs with a new key from then on,
`forget_old_keys` serves that key's certificate alone. `key_requests` counts the reads of the
certificates. `faults`, also at `/_sandbox/faults`, make the reads fail, or slow.

Over HTTP: `POST /_sandbox/token {"user", ...}` answers `{"token"}`, the other members being those
of `token`. `POST /_sandbox/bad_tokens {"user"}` answers every bad token by its name. `GET
/_sandbox/key_requests` answers `{"key_requests"}`, and `POST /_sandbox/rotate` makes a new key.

Not imitated: consent and sign-in of users, the newer forms of the certificates (JWK), TLS.
https://developers.google.com/identity/openid-connect/openid-connect#an-id-tokens-payload
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import flask
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from sandbox.faults import Faults
from sandbox.servers import HttpServer, calls_of

Json = dict[str, Any]

AUDIENCE = "100000000001-addon.apps.googleusercontent.com"
ISSUER = "https://accounts.google.com"
CERTS_PATH = "/oauth2/v1/certs"
# Google's ID tokens live for an hour, and its certificates are cached for some hours.
_LIFETIME = timedelta(hours=1)
_MAX_AGE_SECONDS = 6 * 3600
_CERTIFICATE_LIFETIME = timedelta(days=16)


class _Key:
    """A key with its certificate, in the form that the certificates' address serves."""

    def __init__(self, now: datetime) -> None:
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "federated-signon.sandbox")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + _CERTIFICATE_LIFETIME)
            .sign(self.private, hashes.SHA256())
        )
        self.pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        self.id = hashlib.sha1(self.pem.encode(), usedforsecurity=False).hexdigest()

    def sign(self, text: bytes) -> bytes:
        return self.private.sign(text, padding.PKCS1v15(), hashes.SHA256())


class GoogleIdentity:
    """Signs ID tokens and serves their certificates, on loopback and without TLS.

    `audience` is the OAuth client id of the add-on's script. `now` is the clock of `iat` and `exp`.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        audience: str = AUDIENCE,
        max_age_seconds: int = _MAX_AGE_SECONDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.audience = audience
        self.max_age_seconds = max_age_seconds
        self.key_requests = 0
        self.faults = Faults()
        self._now = now
        self._lock = threading.Lock()
        self._keys = [_Key(now())]
        self._server = HttpServer(self._app(), port=port, threads=8)

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def certs_url(self) -> str:
        """Where the certificates are read."""
        return self._server.url + CERTS_PATH

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        """End the server. Safe to repeat."""
        self.faults.clear()
        self._server.stop()

    def __enter__(self) -> GoogleIdentity:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def token(
        self,
        user: str,
        *,
        audience: str | None = None,
        issuer: str = ISSUER,
        domain: str | None = None,
        verified: bool = True,
        lifetime_seconds: float = _LIFETIME.total_seconds(),
        **claims: Any,
    ) -> str:
        """Return an ID token of the user with this address.

        `domain` is the claim `hd`, the part of the address behind the `@` unless said otherwise,
        and left out when empty. A negative lifetime makes a token that is over. `claims` replace
        others, and None leaves a claim out.
        """
        now = self._now().timestamp()
        client = self.audience if audience is None else audience
        hosted = user.rpartition("@")[2] if domain is None else domain
        told = {
            "iss": issuer,
            "aud": client,
            "azp": client,
            "sub": str(int(hashlib.sha256(user.lower().encode()).hexdigest()[:17], 16)),
            "hd": hosted or None,
            "email": user,
            "email_verified": verified,
            "iat": int(now + min(0.0, lifetime_seconds - 1)),
            "exp": int(now + lifetime_seconds),
        } | claims
        key = self._keys[-1]
        return _signed(
            {"alg": "RS256", "kid": key.id, "typ": "JWT"},
            {name: value for name, value in told.items() if value is not None},
            key.sign,
        )

    def bad_tokens(self, user: str) -> dict[str, str]:
        """Return tokens of the user that nobody may believe, by what is wrong with each."""
        good, key = self.token(user), self._keys[-1]
        head, claims, _ = good.split(".")
        stranger = _Key(self._now())
        header = {"alg": "RS256", "kid": key.id, "typ": "JWT"}
        told = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        public = key.pem.encode()
        day_after = int(self._now().timestamp()) + 86_400
        return {
            "expired": self.token(user, lifetime_seconds=-3600),
            "issued in the future": self.token(user, iat=day_after, exp=day_after + 3600),
            "other audience": self.token(user, audience="other.apps.googleusercontent.com"),
            "other issuer": self.token(user, issuer="https://accounts.example.org"),
            "other domain": self.token(user, domain="elsewhere.example"),
            "no domain": self.token(user, domain=""),
            "no address": self.token(user, email=None),
            "unverified address": self.token(user, verified=False),
            "forged": _signed(header, told, stranger.sign),
            "unknown key": _signed(header | {"kid": stranger.id}, told, stranger.sign),
            "unsigned": _signed({"alg": "none", "typ": "JWT"}, told, lambda _text: b""),
            # Whoever takes the header's word for the algorithm takes the certificate for a secret.
            "signed with the certificate": _signed(
                header | {"alg": "HS256"}, told, lambda text: _hmac(public, text)
            ),
            "altered": f"{head}.{_encoded(told | {'email': f'x{user}'})}.{good.rpartition('.')[2]}",
            "cut off": good[:-40],
            "no token": "anything",
        }

    def rotate(self) -> None:
        """Sign with a new key from now on. Tokens of the old ones stay good."""
        with self._lock:
            self._keys.append(_Key(self._now()))

    def forget_old_keys(self) -> None:
        """Serve the newest certificate alone, so that tokens of older keys are good no more."""
        with self._lock:
            self._keys = self._keys[-1:]

    def _app(self) -> flask.Flask:
        app = flask.Flask(__name__, static_folder=None)
        app.before_request(self._count)
        self.faults.install(app)
        app.add_url_rule(CERTS_PATH, view_func=self._certificates)
        app.add_url_rule("/_sandbox/token", view_func=self._token, methods=["POST"])
        app.add_url_rule("/_sandbox/bad_tokens", view_func=self._bad_tokens, methods=["POST"])
        app.add_url_rule("/_sandbox/rotate", view_func=self._rotate, methods=["POST"])
        app.add_url_rule("/_sandbox/key_requests", view_func=self._key_requests)
        about = "Signs ID tokens of add-ons' users, and serves the certificates."
        told = {"stand_in": "GoogleIdentity", "about": about}
        app.add_url_rule("/", view_func=lambda: {**told, "calls": calls_of(app)})
        return app

    def _count(self) -> None:
        if flask.request.path == CERTS_PATH:
            with self._lock:
                self.key_requests += 1

    def _certificates(self) -> flask.Response:
        response = flask.jsonify({key.id: key.pem for key in self._keys})
        response.headers["Cache-Control"] = (
            f"public, max-age={self.max_age_seconds}, must-revalidate, no-transform"
        )
        return response

    def _token(self) -> Json:
        body = flask.request.get_json(force=True)
        return {"token": self.token(body.pop("user"), **body)}

    def _bad_tokens(self) -> Json:
        return self.bad_tokens(flask.request.get_json(force=True)["user"])

    def _rotate(self) -> tuple[str, int]:
        self.rotate()
        return "", 204

    def _key_requests(self) -> Json:
        return {"key_requests": self.key_requests}


def _signed(header: Json, claims: Json, sign: Callable[[bytes], bytes]) -> str:
    text = f"{_encoded(header)}.{_encoded(claims)}"
    return f"{text}.{_base64(sign(text.encode()))}"


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256")


def _encoded(part: Json) -> str:
    return _base64(json.dumps(part).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
