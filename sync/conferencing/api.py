"""What the adapters of systems behind OAuth share: tokens, calls, options, and texts cut to what a
system takes.

`Authorized` is for every system that wants a bearer token, wherever that token comes from.
"""

from __future__ import annotations

import html
import json
import logging
import re
import threading
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from sync.conferencing.http import Answer, HttpClient, retry_after
from sync.config import ProviderSettings
from sync.errors import (
    ConfigurationError,
    CredentialsRefused,
    Invalid,
    NotAllowed,
    SyncError,
    TryLater,
)

_logger = logging.getLogger(__name__)

ReadSecret = Callable[[str, float], bytes]
"""(secret, maximal age in seconds) -> payload."""

ReplaceSecret = Callable[[str, bytes, bytes], None]
"""(secret, payload that is replaced, new payload): adds a version, then destroys the older ones."""

Clock = Callable[[], datetime]

# After a refusal the secret is read again, so that a rotated one needs no deploy; not more often
# than this.
_SECRET_AGE_SECONDS = 1.0
_REMEMBERED_SECONDS = 300.0
# What was refused a moment ago is not tried again for each of a thousand events (C5).
_REFUSED_FOR = timedelta(seconds=5)
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
        """Return what to use instead of a refused token, having read the secret again; the same one
        if that is all.

        `only_if_rotated`: do not ask for another token unless the secret has changed.
        """
        ...


class Authorized:
    """Sends requests with a bearer token; after a 401 once more with another one (C2). Safe for
    threads."""

    def __init__(self, tokens: Tokens, clock: Clock) -> None:
        self._tokens = tokens
        self._clock = clock
        self._refused: tuple[str, datetime] | None = None

    def send(self, send: Callable[[str], Answer]) -> Answer:
        """Return the answer of `send(token)`; a 401 if the token was refused a moment ago and
        none replaces it (C5)."""
        token = self._tokens.current()
        if self._is_refused(token):
            token = self._tokens.renewed(token, only_if_rotated=True)
        if self._is_refused(token):
            return Answer(401, {}, b"")
        answer = send(token)
        if (
            answer.status == 401
            and (newer := self._tokens.renewed(token, only_if_rotated=False)) != token
        ):
            token = newer
            answer = send(token)
        if answer.status == 401:
            self._refused = (token, self._clock())
        return answer

    def _is_refused(self, token: str) -> bool:
        refused, at = self._refused or ("", self._clock())
        return token == refused and self._clock() - at < _REFUSED_FOR


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
        read_secret: ReadSecret,
        clock: Clock,
        *,
        fields: tuple[str, ...],
        ask: Callable[[Mapping[str, str]], Answer],
        replace_secret: ReplaceSecret | None = None,
    ) -> None:
        self._name = settings.name
        self._secret_name = settings.secret
        self._read_secret = read_secret
        self._clock = clock
        self._fields = fields
        self._ask = ask
        self._replace_secret = replace_secret
        self._lock = threading.Lock()
        self._grant: _Grant | None = None
        self._attempts = 0
        self._failure: SyncError | None = None
        self._refused: tuple[bytes, datetime, CredentialsRefused] | None = None
        self._unsaved: tuple[bytes, bytes] | None = None
        self._save_at: datetime | None = None

    def secret(self) -> dict[str, str]:
        """Return the fields of the secret. Raises CredentialsRefused, TryLater."""
        return self._parse(self._read(_REMEMBERED_SECONDS))

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
        """Renew unless another thread has done so meanwhile; whoever waited shares its success
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
        answer = self._ask(self._parse(payload))
        failed = classify_grant(answer, self._name, self._secret_name, self._clock())
        if isinstance(failed, CredentialsRefused):
            newer = self._payload(_SECRET_AGE_SECONDS)
            if (
                newer != payload
            ):  # rotated meanwhile, perhaps by another instance that renewed the refresh token
                payload, answer = newer, self._ask(self._parse(newer))
                failed = classify_grant(answer, self._name, self._secret_name, self._clock())
        if isinstance(failed, CredentialsRefused):
            self._refused = (payload, self._clock(), failed)
        if failed is not None:
            raise failed
        return self._granted(answer.json(), payload)

    def _granted(self, granted: dict[str, Any], payload: bytes) -> _Grant:
        now = self._clock()
        lifetime = timedelta(seconds=_seconds(granted.get("expires_in")))
        new = granted.get("refresh_token")
        known = self._parse(payload).get("refresh_token")
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
        payload = self._read(max_age_seconds)
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
            if self._read(_SECRET_AGE_SECONDS) == old:
                self._replace_secret(self._secret_name, old, new)
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

    def _read(self, max_age_seconds: float) -> bytes:
        try:
            return self._read_secret(self._secret_name, max_age_seconds)
        except (Invalid, NotAllowed) as error:
            raise CredentialsRefused(str(error), provider=self._name) from error

    def _parse(self, payload: bytes) -> dict[str, str]:
        """Return the secret's fields. What is wrong with them is said by their names, never by
        their values."""
        try:
            fields = json.loads(payload)
        except ValueError:
            fields = None
        form = "{" + ", ".join(f'"{field}": "…"' for field in self._fields) + "}"
        if not isinstance(fields, dict):
            raise CredentialsRefused(
                f"{self._secret_name} must hold JSON of the form {form}", provider=self._name
            )
        found = {
            field: value.strip()
            for field in self._fields
            if isinstance(value := fields.get(field), str) and value.strip()
        }
        missing = [field for field in self._fields if field not in found]
        if missing:
            raise CredentialsRefused(
                f"{self._secret_name} lacks {' and '.join(missing)}; it must hold JSON of the form {form}",
                provider=self._name,
            )
        return found


def _seconds(value: object) -> float:
    try:
        seconds = float(value)  # type: ignore[arg-type]  # a text in some answers
    except (TypeError, ValueError):
        return _LIFETIME_SECONDS
    return seconds if 0 < seconds < 10**9 else _LIFETIME_SECONDS


def classify_grant(answer: Answer, provider: str, secret: str, now: datetime) -> SyncError | None:
    """Return what an answer to a request for a token means, None for a token. Pure.

    https://www.rfc-editor.org/rfc/rfc6749#section-5.2
    """
    value = answer.json()
    said = value if isinstance(value, dict) else {}
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
    "invalid_grant": "its refresh token, or the account, is no longer good; authorise again and put the result into",
    "unauthorized_client": "the app is not active, or may not ask for this; check the app, then",
    "": "check the app, and the credentials in",
}

Classify = Callable[[Answer, str, datetime], SyncError | None]
"""(answer, provider's name, now) -> what it means, None for success. Pure."""


class Api:
    """One provider's HTTP API: authorised, and its answers classified. Safe for threads."""

    def __init__(
        self,
        name: str,
        base_url: str,
        tokens: Tokens,
        clock: Clock,
        http: HttpClient,
        classify: Classify,
    ):
        self._name = name
        self._base_url = base_url.rstrip("/")
        self._authorized = Authorized(tokens, clock)
        self._clock = clock
        self._http = http
        self._classify = classify

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return a successful answer. Raises what another one means (C3)."""
        # `%20` and a plain `$`, as OData writes its queries; the others take that too.
        url = (
            self._base_url
            + path
            + (f"?{urlencode(query, quote_via=quote, safe='$')}" if query else "")
        )

        def send(token: str) -> Answer:
            authorized = {**(headers or {}), "Authorization": f"Bearer {token}"}
            return self._http.request(method, url, headers=authorized, body=body)

        answer = self._authorized.send(send)
        error = self._classify(answer, self._name, self._clock())
        if error is not None:
            raise error
        return answer

    def close(self) -> None:
        self._http.close()

    def read(self, path: str, *, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the object that a GET answers."""
        return object_in(self.call("GET", path, query=query), self._name)


def object_in(answer: Answer, provider: str) -> dict[str, Any]:
    """Return the object in a successful answer. One that was cut short, or a page of HTML, tells
    nothing."""
    value = answer.json()
    if not isinstance(value, dict):
        raise TryLater(f"{provider} answered success without a meeting", outcome_unknown=True)
    return value


def items_in(value: object) -> list[dict[str, Any]]:
    """Return the objects of a list that may be missing, or hold something else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text_in(value: Mapping[str, Any], name: str) -> str | None:
    """Return a text that is there and not empty."""
    found = value.get(name)
    return found if isinstance(found, str) and found else None


def segment(text: str) -> str:
    """Return a text as one part of a path. Raises Invalid for one that would lead elsewhere."""
    if text in ("", ".", ".."):
        raise Invalid(
            "the id of its conference cannot be one; take the conference off the event and add it again"
        )
    return quote(text, safe="@", errors="replace")


def status_error(answer: Answer, provider: str, now: datetime) -> SyncError | None:
    """Return what a status means that means the same everywhere; None: the provider's own table
    decides. Pure."""
    status, said = answer.status, f"{provider} answered {answer.status}"
    if status == 401:
        return CredentialsRefused(
            f"{said}: it refuses the token of our app; check the app and its secret",
            provider=provider,
        )
    if status in (408, 423, 425, 429) or status >= 500:
        # Whoever answers 408 or 5xx may have carried the request out; 429 is about all that we
        # send.
        unknown = status == 408 or status >= 500
        after = retry_after(answer.headers, now)
        return TryLater(said, after=after, everybody=status == 429, outcome_unknown=unknown)
    if 300 <= status < 400:
        return Invalid(f"{said}, a redirect; check base_url in SYNC_PROVIDERS")
    return None


def quoted(message: object) -> str:
    """Return a provider's own words for the list of failures: short, without addresses of people
    or of anything."""
    if not isinstance(message, str) or not message.strip():
        return ""
    text = re.sub(r"\S+@\S+|\w+://\S+", "…", " ".join(message.split()))
    return f": {text[:200]}"


class Options:
    """Reads what an entry of SYNC_PROVIDERS says beyond what all have. Raises
    ConfigurationError, with the mend."""

    def __init__(self, settings: ProviderSettings, known: Iterable[str]) -> None:
        self._where = f"SYNC_PROVIDERS, provider {settings.name}:"
        self._options = settings.options
        known = {"base_url", "token_url", *known}
        for name in settings.options:
            if name not in known:
                raise ConfigurationError(
                    f"{self._where} {settings.type} has no option {name}; use one of {', '.join(sorted(known))}"
                )

    def text(self, name: str, example: str) -> str | None:
        value = self._options.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            raise ConfigurationError(
                f"{self._where} {name} must be a text such as {example}; correct it or leave it out"
            )
        return value.strip()

    def url(self, name: str, default: str) -> str:
        return (self.text(name, default) or default).rstrip("/")

    def flag(self, name: str) -> bool:
        value = self._options.get(name, False)
        if not isinstance(value, bool):
            raise ConfigurationError(
                f"{self._where} {name} must be true or false; correct it or leave it out"
            )
        return value

    def number(self, name: str, default: int, least: int, most: int) -> int:
        value = self._options.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ConfigurationError(
                f"{self._where} {name} must be a whole number from {least} to {most}; correct it or leave it out"
            )
        return value


def plain_text(description: str) -> str:
    """Return a description without the HTML that Calendar's editor puts in; a lone `<` is no
    HTML and stays."""
    text = re.sub(r"(?i)<br\s*/?>|</(?:p|div|li|ul|ol|h\d)>", "\n", description)
    text = re.sub(r"<!--.*?-->|</?[A-Za-z][^<>]*>", "", text, flags=re.DOTALL)
    text = html.unescape(text).replace("\xa0", " ")
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many characters, counted as the strictest do: an emoji is two or
    more.

    What is cut ends in an ellipsis, and never within a character that is made of several; halves of
    one are replaced.
    """
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if _length(text) <= most:
        return text
    kept, length = [], 0
    for character in text:
        length += _length(character)
        if length > most - 1:
            break
        kept.append(character)
    rest = text[len(kept) :]
    while kept and (_joins(rest[:1]) or _joins_next(kept[-1])):
        rest = kept.pop() + rest
    return "".join(kept).rstrip() + "…"


def one_line(title: str, most: int) -> str:
    """Return a title as systems take it: never empty, one line, not too long."""
    return shortened(" ".join(title.split()) or "(no title)", most)


def _length(text: str) -> int:
    return len(text) + sum(character > "\uffff" for character in text)


def _joins(character: str) -> bool:
    """It belongs to the character before it: a joiner, a variation, an accent, a skin tone."""
    return bool(character) and (
        character in "\u200d\ufe0f\ufe0e"
        or unicodedata.combining(character) > 0
        or "\U0001f3fb" <= character <= "\U0001f3ff"
    )


def _joins_next(character: str) -> bool:
    return character == "\u200d"
