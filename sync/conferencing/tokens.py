"""Where the bearer tokens of providers come from, and what follows when one is refused (C2, C5).

A token is shared by all threads of an instance. One thread renews it, the others wait and share
what comes of that. After a refusal the secret is read again, so a rotated one needs no deploy.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from sync.backoff import retry_after
from sync.conferencing.adapter import Clock, Context
from sync.conferencing.http import Answer
from sync.config import ProviderSettings
from sync.errors import CredentialsRefused, Invalid, NotAllowed, SyncError, TryLater

_logger = logging.getLogger(__name__)

# After a refusal the secret is read again, so that a rotated one needs no deploy; not more often
# than this.
_SECRET_AGE_SECONDS = 1.0
_REMEMBERED_SECONDS = 300.0
# What was refused a moment ago is not tried again for each of a thousand events (C5).
_REFUSED_FOR = timedelta(seconds=5)
# What is shorter may stand in any answer by chance, and is no secret.
_SHORTEST_TOKEN = 8
_BEARER = re.compile(r"[!-~]+")
# A token is renewed so long before it expires, a short-lived one in the last tenth of its life.
_RENEW_BEFORE = timedelta(minutes=5)
# For a grant that does not say how long it lasts.
_LIFETIME_SECONDS = 600.0
# A new refresh token that could not be stored is stored again so much later.
_STORE_AGAIN = timedelta(seconds=30)


class Tokens(Protocol):
    """Where a bearer token comes from. Safe for threads."""

    def current(self) -> str:
        """Return a token that should be good. Raises CredentialsRefused, TryLater."""
        ...

    def renewed(self, refused: str, *, only_if_rotated: bool) -> str:
        """Return what to use instead of a refused token, having read the secret again. The same one
        if that is all.

        `only_if_rotated`: do not ask for another token unless the secret has changed.
        """
        ...


def refuses_token(answer: Answer) -> bool:
    """Whether an answer is about the token, not about a user or a meeting."""
    return answer.status == 401


class Authorized:
    """Sends requests with a bearer token. After a 401 once more with another one (C2).

    Safe for threads. `refuses` tells an answer that refuses the token from other ones.
    """

    def __init__(
        self, tokens: Tokens, clock: Clock, refuses: Callable[[Answer], bool] = refuses_token
    ) -> None:
        self._tokens = tokens
        self._clock = clock
        self._refuses = refuses
        self._refused: tuple[str, datetime] | None = None

    def send(self, send: Callable[[str], Answer]) -> Answer:
        """Return the answer of `send(token)`.

        A token that was refused a moment ago, and that none replaces, is not sent again: the
        answer is an empty 401 (C5).
        """
        token = self._tokens.current()
        if self._is_refused(token):
            token = self._tokens.renewed(token, only_if_rotated=True)
        if self._is_refused(token):
            return Answer(401, {}, b"")
        answer = send(token)
        if self._refuses(answer):
            newer = self._tokens.renewed(token, only_if_rotated=False)
            if newer != token:
                token = newer
                answer = send(token)
        if self._refuses(answer):
            self._refused = (token, self._clock())
        return _without(token, answer)

    def _is_refused(self, token: str) -> bool:
        refused, at = self._refused or ("", self._clock())
        return token == refused and self._clock() - at < _REFUSED_FOR


def _without(token: str, answer: Answer) -> Answer:
    """Return an answer whose error does not repeat our token: operators are shown its words."""
    if answer.status < 400 or len(token) < _SHORTEST_TOKEN:
        return answer
    return replace(answer, body=answer.body.replace(token.encode(), b"***"))


class Secret:
    """One secret whose payload is a JSON object of texts. Errors name its fields, no value."""

    def __init__(
        self,
        settings: ProviderSettings,
        context: Context,
        fields: tuple[str, ...],
        *,
        bearer: bool = False,
    ) -> None:
        """`bearer`: its fields are sent as they are, in a header."""
        self.name = settings.secret
        self._bearer = bearer
        self._provider = settings.name
        self._read_secret = context.read_secret
        self._fields = fields

    def payload(self, max_age_seconds: float = _REMEMBERED_SECONDS) -> bytes:
        """Return what the secret holds. Raises CredentialsRefused, TryLater.

        What is remembered in another form is read again: no 401 would tell that it was put right.
        """
        payload = self._read(max_age_seconds)
        try:
            self.fields_of(payload)
        except CredentialsRefused:
            return self._read(min(max_age_seconds, _SECRET_AGE_SECONDS))
        return payload

    def _read(self, max_age_seconds: float) -> bytes:
        try:
            return self._read_secret(self.name, max_age_seconds)
        except (Invalid, NotAllowed) as error:
            raise self.refused(str(error)) from error

    def fields_of(self, payload: bytes) -> dict[str, str]:
        """Return the fields that a payload holds. Raises CredentialsRefused."""
        try:
            fields = json.loads(payload)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            raise self.misshapen()
        found = {
            field: value.strip()
            for field in self._fields
            if isinstance(value := fields.get(field), str) and value.strip()
        }
        missing = [field for field in self._fields if field not in found]
        if missing:
            raise self.misshapen(f"; it lacks {' and '.join(missing)}")
        if self._bearer and not all(_BEARER.fullmatch(value) for value in found.values()):
            raise self.misshapen("; a token is one line of ASCII without blanks")
        return found

    def misshapen(self, why: str = "") -> CredentialsRefused:
        form = ", ".join(f'"{field}": "…"' for field in self._fields)
        return self.refused(f"{self.name} must hold JSON of the form {{{form}}}{why}")

    def refused(self, text: str) -> CredentialsRefused:
        return CredentialsRefused(text, provider=self._provider)


class SecretToken:
    """`Tokens` of a system whose secret holds the bearer token itself, as `{"token"}`."""

    def __init__(self, settings: ProviderSettings, context: Context) -> None:
        self._secret = Secret(settings, context, ("token",), bearer=True)

    def current(self) -> str:
        return self._token(_REMEMBERED_SECONDS)

    def renewed(self, refused: str, *, only_if_rotated: bool) -> str:
        return self._token(_SECRET_AGE_SECONDS)

    def _token(self, max_age_seconds: float) -> str:
        return self._secret.fields_of(self._secret.payload(max_age_seconds))["token"]


@dataclass(frozen=True, slots=True)
class _Grant:
    token: str
    payload: bytes
    renew_at: datetime
    expires_at: datetime


class OAuthTokens:
    """`Tokens` that are granted in exchange for what a secret holds, shared by all threads of an
    instance.

    One thread renews, the others wait for it and share what comes of it. `ask` sends the request
    for a token, given the secret's fields. Where the answer brings another refresh token, the
    secret gets a new version: stored before the old one is destroyed, and before anything relies on
    it, so that whoever dies in between leaves a secret that works.
    """

    def __init__(
        self,
        settings: ProviderSettings,
        context: Context,
        *,
        fields: tuple[str, ...],
        ask: Callable[[Mapping[str, str]], Answer],
    ) -> None:
        self._name = settings.name
        self._secret = Secret(settings, context, fields)
        self._clock = context.clock
        self._ask = ask
        self._replace_secret = context.replace_secret
        self._lock = threading.Lock()
        self._grant: _Grant | None = None
        self._attempts = 0
        self._failure: SyncError | None = None
        self._refused: tuple[bytes, datetime, CredentialsRefused] | None = None
        self._unsaved: tuple[bytes, bytes] | None = None
        self._save_at: datetime | None = None

    def secret(self) -> dict[str, str]:
        """Return the fields of the secret. Raises CredentialsRefused, TryLater."""
        return self._secret.fields_of(self._secret.payload())

    def current(self) -> str:
        grant, now = self._grant, self._clock()
        if self._unsaved is not None and self._save_at is not None and now >= self._save_at:
            with self._lock:
                self._save()
        if grant is not None and now < grant.renew_at:
            return grant.token
        try:
            return self._once(
                lambda held: held is not None and held is not grant, _REMEMBERED_SECONDS
            )
        except TryLater:
            if grant is not None and now < grant.expires_at:
                return grant.token  # good for some minutes yet
            raise

    def renewed(self, refused: str, *, only_if_rotated: bool) -> str:
        if (
            only_if_rotated
            and self._grant
            and self._payload(_SECRET_AGE_SECONDS) == self._grant.payload
        ):
            return self._grant.token
        return self._once(
            lambda held: held is not None and held.token != refused, _SECRET_AGE_SECONDS
        )

    def _once(self, done: Callable[[_Grant | None], bool], max_age_seconds: float) -> str:
        """Renew unless another thread has done so meanwhile. Whoever waited shares its success
        or its failure."""
        seen = self._attempts
        with self._lock:
            if self._grant is not None and done(self._grant):
                return self._grant.token
            if self._attempts != seen and self._failure is not None:
                raise self._failure
            try:
                self._grant = self._renew(max_age_seconds)
                self._failure = None
            except SyncError as error:
                self._failure = error
                raise
            finally:
                self._attempts += 1
            return self._grant.token

    def _renew(self, max_age_seconds: float) -> _Grant:
        self._save()
        payload = self._payload(max_age_seconds)
        error = self._refused_lately(payload)
        if error is not None:
            payload = self._payload(_SECRET_AGE_SECONDS)
            error = self._refused_lately(payload)
        if error is not None:
            raise error
        answer = self._ask(self._secret.fields_of(payload))
        failed = classify_grant(answer, self._name, self._secret.name, self._clock())
        if isinstance(failed, CredentialsRefused):
            newer = self._payload(_SECRET_AGE_SECONDS)
            if (
                newer != payload
            ):  # rotated meanwhile, perhaps by another instance that renewed the refresh token
                payload, answer = newer, self._ask(self._secret.fields_of(newer))
                failed = classify_grant(answer, self._name, self._secret.name, self._clock())
        if isinstance(failed, CredentialsRefused):
            self._refused = (payload, self._clock(), failed)
        if failed is not None:
            raise failed
        return self._granted(answer.members(), payload)

    def _granted(self, granted: dict[str, Any], payload: bytes) -> _Grant:
        now = self._clock()
        lifetime = timedelta(seconds=_seconds(granted.get("expires_in")))
        new = granted.get("refresh_token")
        known = self._secret.fields_of(payload).get("refresh_token")
        if (
            self._replace_secret is not None
            and isinstance(new, str)
            and new
            and known
            and new != known
        ):
            replacement = json.dumps({**json.loads(payload), "refresh_token": new}).encode()
            stored = self._unsaved[0] if self._unsaved and self._unsaved[1] == payload else payload
            self._unsaved = (stored, replacement)
            self._save()
            payload = replacement
        margin = min(_RENEW_BEFORE, lifetime / 10)
        return _Grant(granted["access_token"], payload, now + lifetime - margin, now + lifetime)

    def _payload(self, max_age_seconds: float) -> bytes:
        """The secret's payload, or what shall take its place but could not be stored yet."""
        payload = self._secret.payload(max_age_seconds)
        if self._unsaved is not None and payload == self._unsaved[0]:
            return self._unsaved[1]
        return payload

    def _save(self) -> None:
        """Store a new refresh token. If that fails it stays with us, is used, and is stored a
        little later."""
        if self._unsaved is None or self._replace_secret is None:
            return
        old, new = self._unsaved
        try:
            # Else somebody stored another since we read it: an operator, or another instance.
            # Theirs stays.
            if self._secret.payload(_SECRET_AGE_SECONDS) == old:
                self._replace_secret(self._secret.name, old, new)
        except SyncError as error:
            self._save_at = self._clock() + _STORE_AGAIN
            _logger.error(
                "a new refresh token could not be stored; until it is, it dies with this instance",
                extra={"provider": self._name, "reason": str(error)},
            )
            return
        self._unsaved = self._save_at = None

    def _refused_lately(self, payload: bytes) -> CredentialsRefused | None:
        if self._refused is None:
            return None
        refused, at, error = self._refused
        return error if payload == refused and self._clock() - at < _REFUSED_FOR else None


def _seconds(value: Any) -> float:
    try:
        seconds = float(value)  # a text in some answers
    except (TypeError, ValueError):
        return _LIFETIME_SECONDS
    return seconds if 0 < seconds < 10**9 else _LIFETIME_SECONDS


def classify_grant(answer: Answer, provider: str, secret: str, now: datetime) -> SyncError | None:
    """Return what an answer to a request for a token means, None for a token. Pure.

    https://www.rfc-editor.org/rfc/rfc6749#section-5.2
    """
    said = answer.members()
    status = answer.status
    if 200 <= status < 300:
        token = said.get("access_token")
        if isinstance(token, str) and token.isascii() and token.isprintable() and token.strip():
            return None
        return TryLater(f"{provider} granted no token although it answered {status}")
    code = said.get("error")
    code = code if isinstance(code, str) and re.fullmatch(r"[a-z_]{1,40}", code) else ""
    text = f"{provider} refused a token ({status} {code}".rstrip() + ")"
    if (
        status in (408, 425, 429)
        or status >= 500
        or code in ("temporarily_unavailable", "server_error", "slow_down")
    ):
        return TryLater(text, after=retry_after(answer.headers, now))
    if 300 <= status < 400 or status in (404, 405):
        return CredentialsRefused(f"{text}: check token_url in SYNC_PROVIDERS", provider=provider)
    return CredentialsRefused(
        f"{text}: {_GRANT_MENDS.get(code, _GRANT_MENDS[''])} {secret}", provider=provider
    )


_GRANT_MENDS = {
    "invalid_client": "its client id or client secret is wrong or has expired; put valid ones into",
    "invalid_grant": "its refresh token, or the account, is no longer good; "
    "authorise again and put the result into",
    "unauthorized_client": "the app is not active, or may not ask for this; check the app, then",
    "": "check the app, and the credentials in",
}
