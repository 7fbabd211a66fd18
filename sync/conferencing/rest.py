"""A company's own conferencing system, reached through the `rest` contract:
docs/rest-conferencing.openapi.yaml."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from sync.conferencing.api import Authorized
from sync.conferencing.http import Answer, HttpClient, retry_after
from sync.config import ProviderSettings
from sync.errors import (
    ConfigurationError,
    CredentialsRefused,
    Gone,
    Invalid,
    NoOccurrences,
    NotAllowed,
    SyncError,
    TryLater,
)
from sync.model.provider import ProviderRules, uri_pattern
from sync.model.conference import ConferenceContent, WayIn
from sync.model.event import ConferenceId, EntryPoint

FIELDS = frozenset(
    {"title", "description", "start", "end", "time_zone", "recurrence", "organizer", "attendees"}
)

# After a 401 the secret is read again, so that a rotated one needs no deploy; not more often than
# this.
_SECRET_AGE_SECONDS = 1.0


class RestProvider:
    """`Provider` for the `rest` contract. `base_url` names the system, the secret holds
    `{"token"}`."""

    def __init__(
        self,
        settings: ProviderSettings,
        read_secret: Callable[[str, float], bytes],
        clock: Callable[[], datetime],
    ) -> None:
        base_url = settings.options.get("base_url")
        if not isinstance(base_url, str):
            raise ConfigurationError(
                f"SYNC_PROVIDERS, provider {settings.name}: base_url is missing; set it to the address of your system"
            )
        self.name = settings.name
        self._base_url = base_url.rstrip("/")
        self._secret = settings.secret
        self._read_secret = read_secret
        self._clock = clock
        self._http = HttpClient()
        self._refuses_occurrences = False
        self._authorized = Authorized(self, clock)
        self._rules = ProviderRules(
            name=settings.name,
            solutions=frozenset(settings.solutions),
            uris=tuple(uri_pattern(uri) for uri in settings.uris),
            fields=FIELDS,
            occurrences=True,
        )

    @property
    def rules(self) -> ProviderRules:
        return self._rules

    def create(self, content: ConferenceContent, idempotency_key: str) -> WayIn:
        answer = self._call(
            "POST", "/conferences", body_of(content), {"Idempotency-Key": idempotency_key}
        )
        return way_in(_conference(answer))

    def read(self, conference_id: ConferenceId) -> WayIn:
        return way_in(_conference(self._call("GET", _path(conference_id))))

    def update(
        self, conference_id: ConferenceId, content: ConferenceContent, changed: frozenset[str]
    ) -> None:
        answer = self._call("PUT", _path(conference_id), {"id": conference_id, **body_of(content)})
        if answer.status != 204:
            _conference(answer)

    def delete(self, conference_id: ConferenceId) -> None:
        try:
            self._call("DELETE", _path(conference_id))
        except Gone:
            return

    def update_occurrence(
        self, conference_id: ConferenceId, original_start: str, content: ConferenceContent
    ) -> None:
        self._call_occurrence(
            "PUT", conference_id, original_start, {"id": conference_id, **body_of(content)}
        )

    def cancel_occurrence(self, conference_id: ConferenceId, original_start: str) -> None:
        self._call_occurrence("DELETE", conference_id, original_start, None)

    def close(self) -> None:
        self._http.close()

    def _call_occurrence(
        self,
        method: str,
        conference_id: ConferenceId,
        original_start: str,
        body: dict[str, Any] | None,
    ) -> None:
        if self._refuses_occurrences:
            raise NoOccurrences(f"{self.name} has no occurrences")
        path = f"{_path(conference_id)}/occurrences/{quote(original_start, safe=':')}"
        answer = self._ask(method, path, body, {})
        if answer.status in (404, 405, 501):
            if answer.status == 404:
                # About this series alone; or the whole conference is gone, and then this says so.
                self.read(conference_id)
            self._refuses_occurrences = answer.status != 404
            raise NoOccurrences(f"{self.name} has no occurrences (it answered {answer.status})")
        self._raise_for(answer)

    def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        answer = self._ask(method, path, body, headers or {})
        self._raise_for(answer)
        return answer

    def _raise_for(self, answer: Answer) -> None:
        error = classify(answer, self.name, retry_after(answer.headers, self._clock()))
        if error is not None:
            raise error

    def _ask(
        self, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str]
    ) -> Answer:
        """Send one request; after a 401 once more if the secret holds another token now (C2)."""
        return self._authorized.send(lambda token: self._send(method, path, body, headers, token))

    def current(self) -> str:
        """The token that the secret holds, as far as is remembered. Raises CredentialsRefused,
        TryLater."""
        return self._token()

    def renewed(self, refused: str, *, only_if_rotated: bool) -> str:  # noqa: ARG002 - the secret alone decides
        """The token that the secret holds now."""
        return self._token(_SECRET_AGE_SECONDS)

    def _send(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        headers: dict[str, str],
        token: str,
    ) -> Answer:
        authorized = {**headers, "Authorization": f"Bearer {token}"}
        return self._http.request(method, self._base_url + path, headers=authorized, body=body)

    def _token(self, max_age_seconds: float | None = None) -> str:
        try:
            payload = self._read_secret(
                self._secret, 300.0 if max_age_seconds is None else max_age_seconds
            )
        except (Invalid, NotAllowed) as error:
            raise CredentialsRefused(str(error), provider=self.name) from error
        try:
            token = json.loads(payload)["token"]
        except (ValueError, KeyError, TypeError):
            token = None
        if not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token.strip()):
            raise CredentialsRefused(
                f'{self._secret} must hold JSON of the form {{"token": "…"}}', provider=self.name
            )
        return token.strip()


def classify(answer: Answer, provider: str, after: timedelta | None) -> SyncError | None:
    """Return what an answer means for whoever called (C3), None for success. Pure."""
    status = answer.status
    said = f"{provider} answered {status}"
    if 200 <= status < 300:
        return None
    if status == 401:
        return CredentialsRefused(
            f"{said}: it refuses our token; put a valid one into the secret", provider=provider
        )
    if status == 403:
        # The token is good: it is this conference that we may not touch, and the others must not
        # wait for it.
        return NotAllowed(f"{said}: our token may not do this{_message(answer)}")
    if status in (404, 410):
        return Gone(said)
    if status in (408, 409, 423, 425, 429) or status >= 500:
        # Whoever answers 408 or 5xx may have carried the request out; 429 is about all that we
        # send.
        unknown = status == 408 or status >= 500
        return TryLater(said, after=after, everybody=status == 429, outcome_unknown=unknown)
    if 300 <= status < 400:
        return Invalid(f"{said}, a redirect; check base_url")
    return Invalid(f"{said}{_message(answer)}")


def body_of(content: ConferenceContent) -> dict[str, Any]:
    """Return a conference as the contract writes it."""
    return {
        "title": content.title,
        "description": content.description,
        "start": content.start.isoformat(),
        "end": content.end.isoformat(),
        "time_zone": content.start.time_zone,
        "all_day": content.start.all_day,
        "recurrence": list(content.recurrence),
        "organizer": content.organizer,
        "attendees": list(content.attendees),
        "event": {
            "calendar_id": content.event.calendar_id,
            "event_id": content.event.event_id,
            "ical_uid": content.ical_uid,
        },
    }


def way_in(conference: dict[str, Any]) -> WayIn:
    """Parse a conference as the contract writes it; entry points without an address are passed
    over."""
    points = conference.get("entry_points")
    notes = conference.get("notes")
    return WayIn(
        conference_id=ConferenceId(str(conference["id"])),
        entry_points=tuple(
            EntryPoint(
                kind=str(point.get("type", "")),
                uri=point["uri"],
                **{name: point[name] for name in _DETAILS if isinstance(point.get(name), str)},
            )
            for point in (points if isinstance(points, list) else [])
            if isinstance(point, dict) and isinstance(point.get("uri"), str)
        ),
        notes=notes if isinstance(notes, str) else None,
    )


_DETAILS = ("label", "passcode", "pin", "access_code", "meeting_code", "password", "region_code")


def _conference(answer: Answer) -> dict[str, Any]:
    """Return the conference in a successful answer. An answer cut short, or a page of HTML,
    tells nothing."""
    value = answer.json()
    if (
        not isinstance(value, dict)
        or not isinstance(value.get("id"), str | int)
        or value["id"] == ""
    ):
        raise TryLater("the provider answered success without a conference", outcome_unknown=True)
    return value


def _path(conference_id: ConferenceId) -> str:
    if conference_id in (".", ".."):
        # No quoting keeps these from being taken for steps in the path.
        raise Invalid("the conference id is no id")
    return f"/conferences/{quote(conference_id, safe='')}"


def _message(answer: Answer) -> str:
    """The provider's own words, `{"error": {"message"}}`, cut short; they are for the list of
    failures."""
    value = answer.json()
    error = value.get("error") if isinstance(value, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return f": {message[:200]}" if isinstance(message, str) else ""
