"""A stand-in for the three services that hand out Google's access tokens.

They are the metadata server, IAM Credentials and OAuth.

    tokens = GoogleTokens()
    tokens.start()
    tokens.authorise(CALENDAR_EVENTS)       # domain-wide delegation of the service account
    tokens.add_refresh_token("refresh-1", user="ann@example.com")
    session = tokens.session()              # a requests.Session that finds Google here …
    tokens.granted("ya29.…")                # who it is for, with which scopes, until when

Processes reach the metadata server by google-auth's own variables: GCE_METADATA_HOST and
GCE_METADATA_IP. The other two services have fixed addresses in google-auth. `session` maps them.

Imitated:

- `/computeMetadata/v1/`: project id, the service account with its aliases and scopes, its tokens.
  The header that is asked for and sent
- `:signJwt`: RS256 with a key made at start, for a caller with a good token of the right scope. The
  claims it demands
- `:generateAccessToken`, without delegates
- `/token`: the grants jwt-bearer (signature and claims are verified, and what the administrator
  authorised) and refresh_token (client, secret, token, scopes). Errors in OAuth's form

Not imitated: TLS. The sign-in and consent of users. Rotation of keys, `signBlob`. Identity tokens.
IAM beyond `may_sign`. Quotas. The revocation of single access tokens. Whether users exist, unless
`refuse` says otherwise. The texts that go with errors are those of Google's documentation. The
status is 401 for unauthorized_client and invalid_client, and 400 for the others, which is
documented for some of them only.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import urlsplit, urlunsplit

import flask
import requests
import requests.adapters
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from sandbox.faults import Faults
from sandbox.servers import HttpServer

Json = dict[str, Any]

PROJECT = "sandbox-project"
SERVICE_ACCOUNT = "conference-sync@sandbox-project.iam.gserviceaccount.com"
CLIENT_ID, CLIENT_SECRET = "123.apps.googleusercontent.com", "client-secret-1"
_TOKEN_URI = "https://oauth2.googleapis.com/token"
_PREFIX = "https://www.googleapis.com/auth/"
_SIGNING_SCOPES = {f"{_PREFIX}iam", f"{_PREFIX}cloud-platform"}
_HOSTS = (
    "oauth2.googleapis.com",
    "iamcredentials.googleapis.com",
    "metadata.google.internal",
    "169.254.169.254",
)
# https://developers.google.com/identity/protocols/oauth2/service-account: an hour, with some leeway
# for clocks.
_LONGEST_ASSERTION_SECONDS = 65 * 60
_DESCRIPTIONS = {
    "unauthorized_client": "Client is unauthorized to retrieve access tokens using this method, "
    "or client not authorized for any of the scopes requested.",
    "access_denied": "Requested client not authorized.",
    "admin_policy_enforced": "Access to your account data is restricted by policies within your "
    "organization.",
    "invalid_client": "The OAuth client was not found.",
    "invalid_grant": "Invalid email or User ID",
    "invalid_scope": "Invalid OAuth scope or ID token audience provided.",
    "disabled_client": "The OAuth client was disabled.",
    "deleted_client": "The OAuth client was deleted.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What an access token is good for. `expires` in seconds of the epoch."""

    user: str
    scopes: frozenset[str]
    expires: float
    way: str


@dataclass(slots=True, kw_only=True)
class TokenRequest:
    """One call. `form` is what was posted, form or JSON. `claims` those of the assertion signed
    or presented."""

    method: str
    path: str
    query: dict[str, str]
    form: Json = field(default_factory=dict)
    claims: Json = field(default_factory=dict)


class GoogleTokens:
    """Hands out access tokens, on loopback and without TLS."""

    def __init__(self, *, port: int = 0, lifetime_seconds: int = 3600) -> None:
        self.lifetime_seconds = lifetime_seconds
        self.service_account = SERVICE_ACCOUNT
        self.may_sign = True
        self.iam_enabled = True
        self.faults = Faults()
        self.requests: list[TokenRequest] = []
        self._lock = threading.Lock()
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._authorised: set[str] = set()
        self._refresh_tokens: dict[str, tuple[str, frozenset[str]]] = {}
        self._refused: dict[str, tuple[str, str]] = {}
        self._grants: dict[str, Grant] = {}
        self._server = HttpServer(self._app(), port=port)

    # Controls of the tests.

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self.faults.clear()
        self._server.stop()

    @property
    def host(self) -> str:
        return self._server.host

    @property
    def url(self) -> str:
        return self._server.url

    def session(self) -> requests.Session:
        """Return a session to which this is Google. It reaches nobody else."""
        session = requests.Session()
        session.trust_env = False
        session.mount("https://", _Elsewhere(self.url))
        session.mount("http://", _Elsewhere(self.url))
        return session

    def reset(self) -> None:
        """Forget everything but the key."""
        self.faults.clear()
        with self._lock:
            self.service_account, self.may_sign, self.iam_enabled, self.lifetime_seconds = (
                SERVICE_ACCOUNT,
                True,
                True,
                3600,
            )
            for kept in (
                self._authorised,
                self._refresh_tokens,
                self._refused,
                self._grants,
                self.requests,
            ):
                kept.clear()

    def authorise(self, *scopes: str) -> None:
        """What the administrator enters in the admin console: these scopes exactly, for the
        service account."""
        self._authorised = set(scopes)

    def add_refresh_token(
        self, token: str, *, user: str, scopes: tuple[str, ...] = (f"{_PREFIX}calendar.events",)
    ) -> None:
        self._refresh_tokens[token] = (user, frozenset(scopes))

    def revoke(self, token: str) -> None:
        """The user withdraws the access: the refresh token is good no more."""
        del self._refresh_tokens[token]

    def refuse(self, who: str, error: str, description: str | None = None) -> None:
        """Answer this error for a subject or a refresh token from now on."""
        self._refused[who] = (
            error,
            _DESCRIPTIONS.get(error, "") if description is None else description,
        )

    def withdraw(self) -> None:
        """Make every access token that was handed out worthless."""
        with self._lock:
            self._grants.clear()

    def granted(self, access_token: str) -> Grant | None:
        """Return what an access token is good for, None if it is not."""
        grant = self._grants.get(access_token)
        return grant if grant and grant.expires > time.time() else None

    def grants(self) -> list[Grant]:
        """Every access token's grant, oldest first."""
        with self._lock:
            return list(self._grants.values())

    def calls(self, part: str) -> list[TokenRequest]:
        """The calls whose path contains this, oldest first."""
        return [request for request in self.requests if part in request.path]

    # The services.

    def _app(self) -> flask.Flask:
        app = flask.Flask(__name__)
        app.before_request(self._record)
        self.faults.install(app)
        app.add_url_rule("/", view_func=self._root)
        app.add_url_rule("/computeMetadata/v1/<path:path>", view_func=self._metadata)
        app.add_url_rule(
            "/v1/projects/-/serviceAccounts/<email>:signJwt",
            view_func=self._sign_jwt,
            methods=["POST"],
        )
        app.add_url_rule(
            "/v1/projects/-/serviceAccounts/<email>:generateAccessToken",
            view_func=self._generate_access_token,
            methods=["POST"],
        )
        app.add_url_rule("/token", view_func=self._token, methods=["POST"])
        return app

    def _record(self) -> None:
        request = flask.request
        if request.path.startswith("/_sandbox/"):
            return
        form = request.form.to_dict() or request.get_json(silent=True) or {}
        flask.g.recorded = TokenRequest(
            method=request.method, path=request.path, query=request.args.to_dict(), form=form
        )
        with self._lock:
            self.requests.append(flask.g.recorded)

    def _root(self) -> Any:
        return self._flavoured("computeMetadata/\n")

    def _metadata(self, path: str) -> Any:
        if flask.request.headers.get("Metadata-Flavor") != "Google":
            return "Missing Metadata-Flavor:Google header.", 403
        accounts, _, rest = path.partition("instance/service-accounts/")
        name, _, what = rest.partition("/")
        if path == "project/project-id":
            return self._flavoured(PROJECT)
        if path == "universe/universe-domain":
            return self._flavoured("googleapis.com")
        if accounts or name not in ("default", self.service_account) or not self.service_account:
            return self._flavoured("Not Found\n", 404)
        scopes = [f"{_PREFIX}cloud-platform"]
        if what == "":
            return self._flavoured(
                {"aliases": ["default"], "email": self.service_account, "scopes": scopes}
            )
        if what == "email":
            return self._flavoured(self.service_account)
        if what == "scopes":
            return self._flavoured("\n".join(scopes))
        if what == "token":
            # Cloud Run grants what is asked for; a virtual machine would ignore it.
            asked = flask.request.args.get("scopes", "")
            return self._flavoured(
                self._grant(self.service_account, asked.split(",") if asked else scopes, "metadata")
            )
        return self._flavoured("Not Found\n", 404)

    def _flavoured(self, answer: Any, status: int = 200) -> flask.Response:
        if isinstance(answer, str):
            response = flask.Response(answer, status, mimetype="application/text")
        else:
            response = flask.Response(json.dumps(answer), status, mimetype="application/json")
        response.headers["Metadata-Flavor"] = "Google"
        return response

    def _sign_jwt(self, email: str) -> Any:
        self._check_caller(email)
        try:
            claims = json.loads(flask.request.get_json()["payload"])
        except (ValueError, KeyError, TypeError):
            self._refuse_iam(
                400, "INVALID_ARGUMENT", "The payload must be a serialized JSON object."
            )
        flask.g.recorded.claims = claims
        if not isinstance(claims.get("exp"), int) or claims["exp"] > time.time() + 12 * 3600:
            self._refuse_iam(400, "INVALID_ARGUMENT", "exp must be at most 12 hours in the future.")
        signed = f"{_encoded({'alg': 'RS256', 'kid': 'key-1', 'typ': 'JWT'})}.{_encoded(claims)}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return {"keyId": "key-1", "signedJwt": f"{signed}.{_base64(signature)}"}

    def _generate_access_token(self, email: str) -> Any:
        self._check_caller(email)
        body = flask.request.get_json()
        if body.get("delegates"):
            self._refuse_iam(501, "UNIMPLEMENTED", "Chains of delegates are not imitated.")
        granted = self._grant(email, body.get("scope") or [], "generateAccessToken")
        expires = time.gmtime(time.time() + granted["expires_in"])
        return {
            "accessToken": granted["access_token"],
            "expireTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", expires),
        }

    def _check_caller(self, email: str) -> None:
        caller = self.granted(
            flask.request.headers.get("Authorization", "").removeprefix("Bearer ")
        )
        if caller is None:
            self._refuse_iam(
                401, "UNAUTHENTICATED", "Request had invalid authentication credentials."
            )
        if not self.iam_enabled:
            message = (
                "IAM Service Account Credentials API has not been used in this project before or "
                "it is disabled."
            )
            self._refuse_iam(403, "PERMISSION_DENIED", message, reason="SERVICE_DISABLED")
        if not caller.scopes & _SIGNING_SCOPES:
            message = "Request had insufficient authentication scopes."
            self._refuse_iam(
                403, "PERMISSION_DENIED", message, reason="ACCESS_TOKEN_SCOPE_INSUFFICIENT"
            )
        if not self.may_sign or email != self.service_account:
            message = (
                "Permission 'iam.serviceAccounts.signJwt' denied on resource (or it may not exist)."
            )
            self._refuse_iam(403, "PERMISSION_DENIED", message, reason="IAM_PERMISSION_DENIED")

    def _refuse_iam(
        self, code: int, status: str, message: str, *, reason: str | None = None
    ) -> NoReturn:
        error: Json = {"code": code, "message": message, "status": status}
        if reason:
            error["details"] = [
                {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}
            ]
        flask.abort(flask.Response(json.dumps({"error": error}), code, mimetype="application/json"))

    def _token(self) -> Any:
        form = flask.request.form
        match form.get("grant_type"):
            case "urn:ietf:params:oauth:grant-type:jwt-bearer":
                return self._of_assertion(form.get("assertion", ""))
            case "refresh_token":
                return self._of_refresh_token(form)
            case other:
                self._refuse("unsupported_grant_type", f"Invalid grant_type: {other}")

    def _of_assertion(self, assertion: str) -> Json:
        claims = self._verified(assertion)
        flask.g.recorded.claims = claims
        now = time.time()
        issued, expires = claims.get("iat"), claims.get("exp")
        if (
            not isinstance(issued, int)
            or not isinstance(expires, int)
            or not issued - 300 <= now < expires
        ):
            self._refuse(
                "invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes)"
            )
        if expires - issued > _LONGEST_ASSERTION_SECONDS:
            self._refuse(
                "invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes)"
            )
        if claims.get("aud") != _TOKEN_URI:
            self._refuse("invalid_grant", "Invalid JWT: Failed audience check.")
        if claims.get("iss") != self.service_account:
            self._refuse("invalid_client")
        scopes = str(claims.get("scope", "")).split()
        if not scopes or not all(
            scope.startswith(_PREFIX) and "," not in scope for scope in scopes
        ):
            self._refuse("invalid_scope")
        subject = claims.get("sub")
        if subject is not None:
            self._refuse_if_told(subject)
            if not self._authorised:
                self._refuse("unauthorized_client")
            if not set(scopes) <= self._authorised:
                self._refuse("access_denied")
        return self._grant(subject or self.service_account, scopes, "assertion")

    def _verified(self, assertion: str) -> Json:
        try:
            signed, _, signature = assertion.rpartition(".")
            header, claims = (json.loads(_decoded(part)) for part in signed.split("."))
            self._key.public_key().verify(
                _decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except (ValueError, InvalidSignature):
            self._refuse("invalid_grant", "Invalid JWT Signature.")
        if header.get("alg") != "RS256":
            self._refuse("invalid_grant", "Invalid JWT: unknown algorithm.")
        return dict(claims)

    def _of_refresh_token(self, form: Any) -> Json:
        if form.get("client_id") != CLIENT_ID:
            self._refuse("invalid_client")
        if form.get("client_secret") != CLIENT_SECRET:
            self._refuse("invalid_client", "Unauthorized")
        token = form.get("refresh_token", "")
        self._refuse_if_told(token)
        if token not in self._refresh_tokens:
            self._refuse("invalid_grant", "Token has been expired or revoked.")
        user, granted = self._refresh_tokens[token]
        asked = form["scope"].split() if form.get("scope") else sorted(granted)
        if not granted.issuperset(asked):
            self._refuse("invalid_scope", "Some requested scopes were invalid.")
        return self._grant(user, asked, "refresh token") | {"scope": " ".join(asked)}

    def _refuse_if_told(self, who: str) -> None:
        if who in self._refused:
            self._refuse(*self._refused[who])

    def _refuse(self, error: str, description: str | None = None) -> NoReturn:
        said = _DESCRIPTIONS.get(error, "") if description is None else description
        body = json.dumps({"error": error, "error_description": said})
        status = 401 if error in ("unauthorized_client", "invalid_client") else 400
        flask.abort(flask.Response(body, status, mimetype="application/json"))

    def _grant(self, user: str, scopes: list[str], way: str) -> Json:
        token = f"ya29.{secrets.token_urlsafe(24)}"
        expires = time.time() + self.lifetime_seconds
        with self._lock:
            self._grants[token] = Grant(
                user=user, scopes=frozenset(scopes), expires=expires, way=way
            )
        return {"access_token": token, "expires_in": self.lifetime_seconds, "token_type": "Bearer"}


class _Elsewhere(requests.adapters.HTTPAdapter):
    """Sends what is meant for Google to the stand-in, and refuses everything else."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._to = urlsplit(url)

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        asked = urlsplit(request.url or "")
        if asked.hostname not in _HOSTS:
            raise requests.ConnectionError(f"{asked.hostname} is not imitated", request=request)
        request.url = urlunsplit(
            asked._replace(scheme=self._to.scheme, netloc=self._to.netloc, path=asked.path or "/")
        )
        return super().send(request, *args, **kwargs)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _encoded(part: Json) -> str:
    return _base64(json.dumps(part).encode())


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
