"""The three ways to a calendar: delegation without a key file, a user's own token, or sharing.

Delegation signs through IAM Credentials. A user's own refresh token stands in a secret. A calendar
that is shared with us is opened by the function's service account itself.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Protocol

import google.auth
import google.auth.compute_engine
import google.auth.credentials
import google.auth.exceptions
import google.auth.impersonated_credentials
import google.auth.transport.requests
import google.oauth2.credentials
import requests

from sync.errors import Invalid, NotAllowed, SyncError, TryLater
from sync.model.calendar import Access

SCOPE = "https://www.googleapis.com/auth/calendar.events"
# What signing for a subject needs; the scope of the delegated token itself stays at SCOPE.
_CLOUD = "https://www.googleapis.com/auth/cloud-platform"
_TOKEN_URI = "https://oauth2.googleapis.com/token"  # an address, no password
# A user's token lives an hour; so many users' are kept in one instance.
_KEPT = 1000
# The library's own limit is two minutes, longer than a notification can wait.
_TIMEOUT_SECONDS = 20.0
# After a refusal a secret that was read longer ago than this is read again: it may have been
# rotated.
_READ_AGAIN_SECONDS = 5.0


class ReadSecret(Protocol):
    """Returns a secret's payload, not older than `max_age_seconds`. `SecretManager.read` is one."""

    def __call__(self, name: str, /, *, max_age_seconds: float = ...) -> bytes: ...


class CalendarCredentials:
    """Credentials for each kind of access, kept while they are in use. Safe for threads.

    `session` makes the HTTP session of one renewal. Google's addresses are fixed in google-auth, so
    whoever wants to reach others mounts them there.
    """

    def __init__(
        self, read_secret: ReadSecret, *, session: Callable[[], requests.Session] = requests.Session
    ) -> None:
        self._read_secret = read_secret
        self._session = session
        self._kept: OrderedDict[Access, _Credentials] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, access: Access) -> google.auth.credentials.Credentials:
        """Return credentials that renew themselves, the same for the same access. Asks nobody yet.

        Using them raises NotAllowed or TryLater with the mend, or google-auth's RefreshError with
        the token service's own code.
        """
        with self._lock:
            credentials = self._kept.pop(access, None) or _Credentials(
                access, self._read_secret, self._session
            )
            self._kept[access] = credentials
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return credentials


class _Credentials(google.auth.credentials.Credentials):
    """One access' token. Of all threads that find it old, one renews it and the others wait."""

    def __init__(
        self, access: Access, read_secret: ReadSecret, session: Callable[[], requests.Session]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the library's
        self._access = access
        self._read_secret = read_secret
        self._session = session
        self._made: google.auth.credentials.Credentials | None = None
        self._renewing = threading.Lock()

    def before_request(
        self,
        request: Any,  # noqa: ARG002 - the library's signature; the request may be Calendar's
        method: str,  # noqa: ARG002 - the library's signature
        url: str,  # noqa: ARG002 - the library's signature
        headers: MutableMapping[str, str],
    ) -> None:
        """Put a good token into the headers of a call of Calendar."""
        with self._renewing:
            if self.token_state is not google.auth.credentials.TokenState.FRESH:
                self._renew()
            made = self._made
        assert made is not None
        # Not its `before_request`: that of a service account starts a thread that asks IAM where
        # the account may be used, which matters to regional services only.
        made.apply(headers)

    def refresh(self, request: Any) -> None:  # noqa: ARG002 - the library's signature; the request may be Calendar's
        """Get another token. Called when Calendar answers 401."""
        with self._renewing:
            self._renew()

    def _renew(self) -> None:
        # What failed is not used again: the next try begins with the service account, or the
        # secret.
        made, self._made, self.token = self._made, None, None
        with self._session() as session:
            request = _Request(session)
            try:
                if self._access.credentials_secret and not self._access.subject:
                    made = self._of_user(self._access.credentials_secret, request)
                else:
                    made = made or self._of_service_account(request)
                    made.refresh(request)
            except (
                google.auth.exceptions.GoogleAuthError,
                ValueError,
                LookupError,
                TypeError,
                AttributeError,
            ) as error:
                # The library trips over answers that are not what they should be.
                meaning = _meaning(error, request)
                if meaning is None:
                    raise
                raise meaning from error
        self._made, self.token, self.expiry = made, made.token, made.expiry

    def _of_service_account(self, request: _Request) -> google.auth.credentials.Credentials:
        subject = self._access.subject
        source, _ = google.auth.default(scopes=[_CLOUD if subject else SCOPE], request=request)
        if not subject:
            return source
        if isinstance(source, google.auth.compute_engine.Credentials):
            # Its address reads "default" until the first refresh. Delegation exists in Google's own
            # universe only.
            source = source.with_universe_domain("googleapis.com")
            source.refresh(request)
        principal = getattr(source, "service_account_email", None)
        if not principal:
            raise NotAllowed("delegation needs a service account; deploy the function with one")
        return google.auth.impersonated_credentials.Credentials(
            source_credentials=source,
            target_principal=principal,
            target_scopes=[SCOPE],
            subject=subject,
        )

    def _of_user(self, secret: str, request: _Request) -> google.auth.credentials.Credentials:
        """Return fresh credentials from the secret, read again if what is remembered fails (C2)."""
        payload = self._read(secret)
        try:
            return _fresh(secret, payload, request)
        except (google.auth.exceptions.RefreshError, NotAllowed) as error:
            if getattr(error, "retryable", False):
                raise
            newest = self._read(secret, max_age_seconds=_READ_AGAIN_SECONDS)
            if newest == payload:
                raise
            return _fresh(secret, newest, request)

    def _read(self, secret: str, **how: float) -> bytes:
        try:
            return self._read_secret(secret, **how)
        except Invalid as error:
            # A secret without a version is missing access, not a bad request to Calendar.
            raise NotAllowed(str(error)) from error


class _Request(google.auth.transport.requests.Request):
    """The requests of one renewal.

    Remembers how the last was answered, which google-auth's exceptions do not tell.
    """

    def __init__(self, session: requests.Session) -> None:
        super().__init__(session)
        self.url = ""
        self.status = 0
        self.body = b""

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> Any:
        self.url, self.status, self.body = url, 0, b""
        waits = timeout or _TIMEOUT_SECONDS
        response = super().__call__(url, method, body, headers, waits, **kwargs)  # type: ignore[no-untyped-call]  # the library's
        self.status, self.body = response.status, response.data
        return response


def _fresh(secret: str, payload: bytes, request: _Request) -> google.auth.credentials.Credentials:
    mend = f'{secret} must hold JSON of the form {{"client_id", "client_secret", "refresh_token"}}'
    try:
        value: Any = json.loads(payload)
        fields = {name: value[name] for name in ("client_id", "client_secret", "refresh_token")}
        fields["token_uri"] = value.get("token_uri") or _TOKEN_URI
    except (ValueError, KeyError, TypeError):
        raise NotAllowed(mend) from None
    if not all(isinstance(text, str) and text for text in fields.values()):
        raise NotAllowed(mend)
    credentials = google.oauth2.credentials.Credentials(token=None, scopes=[SCOPE], **fields)
    credentials.refresh(request)
    return credentials


def _meaning(error: Exception, request: _Request) -> SyncError | None:
    """Return what a failed renewal means, or None where the token service's own code says it.

    google-auth calls almost everything a RefreshError, a metadata server out of reach and a 503
    among them.
    """
    if isinstance(error, google.auth.exceptions.DefaultCredentialsError):
        return NotAllowed(
            "this function runs without a service account; deploy it with one, or run: "
            "gcloud auth application-default login"
        )
    said = isinstance(error, google.auth.exceptions.GoogleAuthError) and not error.retryable
    if not said or request.status not in range(400, 500) or request.status in (408, 429):
        return TryLater("Google's token service did not answer")
    if request.url.endswith(":signJwt"):
        if request.status == 401:
            # Our own token was withdrawn; the next try gets another.
            return TryLater("Google's token service did not answer to our own token")
        return NotAllowed(
            f"Google refused to sign for delegation ({request.status}); "
            f"{_signing_mend(request.body)}"
        )
    if "/computeMetadata/" in request.url:
        return NotAllowed(
            "the metadata server knows no service account; deploy the function with one"
        )
    return None


def _signing_mend(body: bytes) -> str:
    if b"SERVICE_DISABLED" in body:
        return "enable the IAM Credentials API (iamcredentials.googleapis.com) in the project"
    return (
        "grant the function's service account roles/iam.serviceAccountTokenCreator on itself, "
        "and see that iamcredentials.googleapis.com is enabled"
    )
