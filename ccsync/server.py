"""The HTTP calls of `manage_calendars`: repetition, pages, and what its answers mean.

All its calls are safe to repeat, so a failed one is tried again for a few seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx

from ccsync.errors import Missing, NoAccess, Problem, Refused, Unreachable

Json = dict[str, Any]

TRIES = 4
_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 20.0
_TIMEOUT = httpx.Timeout(90, connect=10)
"""A start lists no events, but waits for Calendar to open a channel."""
_AGAIN = frozenset({409, 429, 500, 502, 503, 504})
_NO_SUCH_CALL = "there is nothing here"


class Server:
    """Calls one `manage_calendars`. Safe for threads.

    `token` is asked for once, at the first call. None: none is sent.
    """

    def __init__(self, url: str, token: Callable[[], str] | None, connections: int = 64) -> None:
        self._url = url
        self._token = token
        self._headers: dict[str, str] | None = None
        self._client = httpx.Client(
            timeout=_TIMEOUT,
            trust_env=token is not None,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        )

    def close(self) -> None:
        self._client.close()

    def sign_in(self) -> None:
        """Ask for the token, so that threads find it there. Raises NoAccess."""
        if self._headers is None:
            token = self._token() if self._token else None
            self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """Return the answer of one call, an empty object for 204. Raises Problem."""
        return self.counted(method, path, body)[0]

    def counted(self, method: str, path: str, body: Json | None = None) -> tuple[Json, int, int]:
        """Return the answer, its status, and how many tries it took."""
        self.sign_in()
        for attempt in range(1, TRIES + 1):
            response = None
            try:
                response = self._client.request(
                    method, self._url + path, json=body, headers=self._headers
                )
            except (httpx.TransportError, httpx.InvalidURL) as error:
                problem: Problem = self._no_answer(error)
            else:
                if response.is_success:
                    return self._value(response), response.status_code, attempt
                problem = self._problem(response)
            problem.tries = attempt
            again = response is None or response.status_code in _AGAIN
            if not again or attempt == TRIES:
                raise problem
            time.sleep(_delay(attempt, response))
        raise AssertionError("the loop returns or raises")

    def response(self) -> httpx.Response:
        """Return the answer to `GET /` with its headers. Raises Problem."""
        self.sign_in()
        try:
            response = self._client.get(f"{self._url}/", headers=self._headers)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self._no_answer(error) from None
        if not response.is_success:
            raise self._problem(response)
        return response

    def pages(self, path: str, name: str, **query: str | None) -> Iterator[Json]:
        """Yield all items of a list, page after page, as they are asked for."""
        asked = {key: value for key, value in query.items() if value is not None}
        while True:
            page = self.call("GET", f"{path}?{_query(asked)}" if asked else path)
            yield from page.get(name, [])
            if not page.get("next_page_token"):
                return
            asked["page_token"] = page["next_page_token"]

    def optional(self, path: str) -> Json | None:
        """Return the answer of a call that older servers lack. None: this server lacks it."""
        try:
            return self.call("GET", path)
        except Missing as error:
            if _NO_SUCH_CALL in str(error):
                return None
            raise

    def _no_answer(self, error: Exception) -> Unreachable:
        said = str(error) or type(error).__name__
        return Unreachable(
            f"{self._url} does not answer ({said}); look at the address and the network, and repeat"
        )

    def _value(self, response: httpx.Response) -> Json:
        if not response.content.strip():
            return {}
        try:
            value = response.json()
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Unreachable(
                f"{self._url} answers something else than JSON; give the address of "
                "manage-calendars"
            )
        return value

    def _problem(self, response: httpx.Response) -> Problem:
        status = response.status_code
        said = _message(response)
        if said is None or status == 401:
            return self._of_cloud_run(status)
        if status == 405:
            return Refused(
                f"{self._url} is no manage-calendars, or older than this ccsync ({said}); look at "
                "the address"
            )
        if status == 404:
            return Missing(said.replace("PUT /calendars/{id}", "ccsync calendars start"))
        if status in (429, 503):
            return Unreachable(f"{said}; repeat this in a minute")
        return Refused(said)

    def _of_cloud_run(self, status: int) -> Problem:
        """What is not our function's own answer: Cloud Run refuses, or a proxy is between."""
        if status in (401, 403):
            return NoAccess(
                f"{self._url} does not let you in ({status}); look at gcloud auth list, and ask to "
                "be named in operators"
            )
        if status == 404:
            return NoAccess(
                f"{self._url} is not served to you (404); check the address, and where "
                "manage_ingress is internal call from inside"
            )
        return Unreachable(
            f"{self._url} cannot answer now ({status}); repeat this in a minute, then look at the "
            "log of manage-calendars"
        )


def calendar_path(calendar_id: str) -> str:
    """Return the path of a calendar: `/calendars/anna%40example.com`."""
    return f"/calendars/{quote(calendar_id, safe='')}"


def event_path(calendar_id: str, event_id: str) -> str:
    return f"{calendar_path(calendar_id)}/events/{quote(event_id, safe='')}"


def _query(values: Mapping[str, str]) -> str:
    return "&".join(f"{key}={quote(value, safe='')}" for key, value in values.items())


def _message(response: httpx.Response) -> str | None:
    """Return the sentence of our function's own error, None for a stranger's answer."""
    try:
        error = response.json().get("error")
    except (ValueError, AttributeError):
        return None
    message = error.get("message") if isinstance(error, dict) else None
    return message if isinstance(message, str) and message else None


def _delay(attempt: int, response: httpx.Response | None) -> float:
    """Return the seconds to wait: what the server asks for, or longer each time."""
    asked = response.headers.get("Retry-After", "") if response is not None else ""
    if asked.isdecimal():
        return min(float(asked), _LONGEST_DELAY_SECONDS)
    return float(_FIRST_DELAY_SECONDS * 2 ** (attempt - 1))
