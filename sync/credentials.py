"""The three ways to a calendar: delegation without a key file, a user's own token, or a calendar shared with us."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import google.auth
import google.auth.credentials
import google.auth.exceptions
import google.auth.impersonated_credentials
import google.auth.transport.requests
import google.oauth2.credentials

from sync.errors import NotAllowed, TryLater
from sync.model import Access

SCOPE = "https://www.googleapis.com/auth/calendar.events"
# What signing for a subject needs; the scope of the delegated token itself stays at SCOPE.
_CLOUD = "https://www.googleapis.com/auth/cloud-platform"
_TOKEN_URI = "https://oauth2.googleapis.com/token"  # an address, no password
# A user's token lives an hour; so many users' are kept in one instance.
_KEPT = 1000


class CalendarCredentials:
    """Credentials for each kind of access, made once and kept while they are in use. Safe for threads."""

    def __init__(self, read_secret: Callable[[str], bytes]) -> None:
        self._read_secret = read_secret
        self._kept: OrderedDict[Access, google.auth.credentials.Credentials] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, access: Access) -> google.auth.credentials.Credentials:
        """Return credentials that renew themselves. Raises NotAllowed or TryLater with the mend."""
        with self._lock:
            credentials = self._kept.pop(access, None) or self._make(access)
            self._kept[access] = credentials
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return credentials

    def forget(self, access: Access) -> None:
        """Drop what was made, so that a changed secret is read again."""
        with self._lock:
            self._kept.pop(access, None)

    def _make(self, access: Access) -> google.auth.credentials.Credentials:
        try:
            if access.subject:
                return self._delegated(access.subject)
            if access.credentials_secret:
                return _of_user(access.credentials_secret, self._read_secret(access.credentials_secret))
            shared, _ = google.auth.default(scopes=[SCOPE])
            return shared
        except google.auth.exceptions.DefaultCredentialsError as error:
            raise NotAllowed(
                "this function runs without a service account; deploy it with one, or run: "
                "gcloud auth application-default login"
            ) from error
        except google.auth.exceptions.TransportError as error:
            raise TryLater("Google's token service did not answer") from error

    def _delegated(self, subject: str) -> google.auth.credentials.Credentials:
        source, _ = google.auth.default(scopes=[_CLOUD])
        # On Cloud Run the address reads "default" until the first refresh.
        if getattr(source, "service_account_email", None) in (None, "default"):
            source.refresh(google.auth.transport.requests.Request())  # type: ignore[no-untyped-call]  # untyped there
        principal = getattr(source, "service_account_email", None)
        if not principal:
            raise NotAllowed("delegation needs a service account; deploy the function with one")
        credentials: google.auth.credentials.Credentials = google.auth.impersonated_credentials.Credentials(  # type: ignore[no-untyped-call]  # untyped there
            source_credentials=source, target_principal=principal, target_scopes=[SCOPE], subject=subject
        )
        return credentials


def _of_user(secret: str, payload: bytes) -> google.auth.credentials.Credentials:
    mend = f'{secret} must hold JSON of the form {{"client_id", "client_secret", "refresh_token"}}'
    try:
        value: Any = json.loads(payload)
        fields = {name: value[name] for name in ("client_id", "client_secret", "refresh_token")}
    except (ValueError, KeyError, TypeError):
        raise NotAllowed(mend) from None
    if not all(isinstance(text, str) and text for text in fields.values()):
        raise NotAllowed(mend)
    credentials: google.auth.credentials.Credentials = google.oauth2.credentials.Credentials(  # type: ignore[no-untyped-call]  # untyped there
        token=None, token_uri=value.get("token_uri") or _TOKEN_URI, scopes=[SCOPE], **fields
    )
    return credentials
