"""One HTTP call, made by the page's server, and the curl line that does the same."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

import httpx


class CallFailed(Exception):
    """A stand-in or function refused a call; the message says what and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request with an optional JSON body."""

    method: str
    url: str
    body: Any = None

    def curl(self) -> str:
        """Return a line that a POSIX shell takes, zsh included."""
        words = ["curl", "-s"]
        if self.method != "GET":
            words += ["-X", self.method]
        if self.body is not None:
            words += ["-H", "Content-Type: application/json", "-d", json.dumps(self.body)]
        return shlex.join([*words, self.url])


class Caller:
    """Makes calls and keeps their curl lines, for one action of the page."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self.lines: list[str] = []

    def send(self, method: str, url: str, body: Any = None) -> Any:
        """Make one call and return its JSON, or None where there is none.

        Raises CallFailed.
        """
        call = Call(method=method, url=url, body=body)
        self.lines.append(call.curl())
        try:
            answer = self._client.request(method, url, json=body)
        except httpx.HTTPError as error:
            raise CallFailed(f"{method} {url}: {error}") from error
        if answer.status_code >= 400:
            raise CallFailed(f"{method} {url} answered {answer.status_code}: {answer.text[:300]}")
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        return answer.json() if answer.content and is_json else None
