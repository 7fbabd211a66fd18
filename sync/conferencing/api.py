"""One provider's HTTP API: requests with a token, answers classified, and what is read of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from sync.backoff import retry_after
from sync.conferencing.adapter import Clock
from sync.conferencing.http import Answer, HttpClient
from sync.conferencing.tokens import Authorized, Tokens, refuses_token
from sync.errors import CredentialsRefused, Invalid, SyncError, TryLater
from sync.model.event import clean

Classify = Callable[[Answer, str, datetime], SyncError | None]
"""(answer, provider's name, now) -> what it means, None for success. Pure."""


class Api:
    """One provider's HTTP API. Safe for threads.

    `refuses` tells whether an answer refuses our token. By default each 401 does.
    """

    def __init__(  # noqa: PLR0913 - the parts of one API, put together in one place
        self,
        name: str,
        base_url: str,
        tokens: Tokens,
        clock: Clock,
        http: HttpClient,
        classify: Classify,
        refuses: Callable[[Answer], bool] = refuses_token,
    ) -> None:
        self._name = name
        self._base_url = base_url.rstrip("/")
        self._authorized = Authorized(tokens, clock, refuses)
        self._clock = clock
        self._http = http
        self._classify = classify

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the answer to a request, whatever its status. Raises TryLater if none came."""
        # `%20` and a plain `$`, as OData writes its queries; the others take that too.
        asked = f"?{urlencode(query, quote_via=quote, safe='$')}" if query else ""
        url = self._base_url + path + asked

        def send(token: str) -> Answer:
            authorized = {**(headers or {}), "Authorization": f"Bearer {token}"}
            return self._http.request(method, url, headers=authorized, body=body)

        return self._authorized.send(send)

    def checked(self, answer: Answer) -> Answer:
        """Return a successful answer. Raises what another one means (C3)."""
        error = self._classify(answer, self._name, self._clock())
        if error is not None:
            raise error
        return answer

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Return the object that a request is answered with. Raises what another answer means."""
        answer = self.ask(method, path, query=query, body=body, headers=headers)
        return object_in(self.checked(answer), self._name)

    def read(self, path: str, *, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the object that a GET is answered with."""
        return self.call("GET", path, query=query)

    def tell(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Have something done, and return the object of the answer, empty for a 204.

        A success with a page of HTML is a proxy's, and no answer of the provider's: TryLater.
        """
        answer = self.ask(method, path, query=query, body=body, headers=headers)
        if self.checked(answer).status == 204:
            return {}
        return object_in(answer, self._name)

    def close(self) -> None:
        self._http.close()


def object_in(answer: Answer, provider: str) -> dict[str, Any]:
    """Return the object in a successful answer. Raises TryLater for one cut short, or a page."""
    value = answer.json()
    if not isinstance(value, dict):
        raise TryLater(f"{provider} answered success without a meeting", outcome_unknown=True)
    return value


def object_of(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a member that is an object. `{}` for what is none."""
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def items_in(value: object) -> list[dict[str, Any]]:
    """Return the objects of a list that may be missing, or hold something else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def texts_in(value: object) -> list[str]:
    """Return the texts of a list that may be missing, or hold something else."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def text_in(value: Mapping[str, Any], name: str) -> str | None:
    """Return a text that is there and not empty, without half characters."""
    found = value.get(name)
    return clean(found) if isinstance(found, str) and found else None


def parts_of_link(link: str) -> SplitResult:
    """Return the parts of a link. All of them are empty for what is no address: `https://[x`."""
    try:
        return urlsplit(link)
    except ValueError:
        return SplitResult("", "", "", "", "")


def segment(text: str) -> str:
    """Return a text as one part of a path. Raises Invalid for one that would lead elsewhere."""
    if text in ("", ".", ".."):
        raise Invalid(
            "the id of its conference cannot be one; "
            "take the conference off the event and add it again"
        )
    return quote(text, safe="@", errors="replace")


def status_error(answer: Answer, provider: str, now: datetime) -> SyncError | None:
    """Return what a status means that means the same everywhere.

    None: the provider's own table decides. Pure.
    """
    status, said = answer.status, f"{provider} answered {answer.status}"
    if status == 401:
        return CredentialsRefused(
            f"{said}: it refuses our token; check the app and its secret", provider=provider
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


def not_its_words(answer: Answer, provider: str) -> TryLater:
    """Return the error for an answer that a proxy gave, or nobody: not the provider's own (C3)."""
    return TryLater(
        f"{provider} answered {answer.status} without words of its own, as a proxy does; "
        "if that stays, check base_url in SYNC_PROVIDERS"
    )
