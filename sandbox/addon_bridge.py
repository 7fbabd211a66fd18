"""What the add-on in Apps Script does, in Python: hand a user's wish to `create_conference`.

    bridge = AddonBridge(url, identity_token=lambda user: identity.token(user))
    calendar.offer_solution("My Web Conference", bridge.callback("My Web Conference"))

`url` is the address of the function `create_conference`. `identity_token` returns the ID token of a
user, in the place of ScriptApp.getIdentityToken(). Every outcome is conferenceData or an error in
the sense of Apps Script's ConferenceErrorType, and none is an exception.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from sandbox.servers import certificates

Json = dict[str, Any]

# Apps Script ends a callback after 30 seconds, so waiting longer for an answer has no use.
_TIMEOUT_SECONDS = 29.0
_LOG_IN = "https://accounts.google.com/"
_ERROR_TYPES = frozenset(
    {"CONFERENCE_SOLUTION_FORBIDDEN", "PERMANENT", "PERMISSION_DENIED", "TEMPORARY", "UNKNOWN"}
)
# Members of an entry point: the function's name for each, and the Calendar API's.
_ENTRY_POINT = {
    "type": "entryPointType",
    "uri": "uri",
    "label": "label",
    "meeting_code": "meetingCode",
    "access_code": "accessCode",
    "passcode": "passcode",
    "password": "password",
    "pin": "pin",
    "region_code": "regionCode",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AddonBridge:
    """Calls the function `create_conference` at `url` as the users whose ID tokens it gets."""

    url: str
    identity_token: Callable[[str], str]

    def callback(self, solution: str) -> Callable[[Json, str], Json]:
        """Return what Calendar calls when a person picks this solution in the event form."""

        def create(argument: Json, user: str) -> Json:
            event = argument["eventData"]
            wish = {"calendar_id": event["calendarId"], "event_id": event["eventId"]}
            return self._ask(wish | {"solution": solution}, user)

        return create

    def start_calendar(self, calendar_id: str, user: str) -> httpx.Response:
        """Ask for the user's calendar to be kept in step, without a conference."""
        return self._post({"calendar_id": calendar_id}, user)

    def _ask(self, wish: Json, user: str) -> Json:
        try:
            answer = self._post(wish, user)
            told = answer.json() if answer.content else {}
        except httpx.HTTPError as unreachable:
            return _error("TEMPORARY", type(unreachable).__name__)
        except ValueError:
            return _error("UNKNOWN", "The answer is no JSON.")
        if answer.status_code == 200:
            return conference_data(told)
        if answer.status_code == 401:
            return {
                "error": {"conferenceErrorType": "AUTHENTICATION", "authenticationUrl": _LOG_IN}
            }
        error = told.get("error") if isinstance(told, dict) else None
        kind = error.get("type") if isinstance(error, dict) else None
        if not isinstance(error, dict) or kind not in _ERROR_TYPES:
            return _error("UNKNOWN", f"The function answered {answer.status_code}.")
        return _error(str(kind), error.get("message"))

    def _post(self, body: Json, user: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.identity_token(user)}"}
        return httpx.post(
            self.url,
            json=body,
            headers=headers,
            timeout=_TIMEOUT_SECONDS,
            trust_env=False,
            verify=certificates(),
        )


def conference_data(answer: Json) -> Json:
    """Return conferenceData as the Calendar API tells it, from an answer of `create_conference`."""
    points = [
        {theirs: point[ours] for ours, theirs in _ENTRY_POINT.items() if point.get(ours)}
        for point in answer.get("entry_points") or []
    ]
    told: Json = {"conferenceId": answer.get("conference_id"), "entryPoints": points}
    if answer.get("notes"):
        told["notes"] = answer["notes"]
    if answer.get("parameters"):
        told["parameters"] = {"addOnParameters": {"parameters": answer["parameters"]}}
    return told


def _error(kind: str, message: str | None = None) -> Json:
    told: Json = {"conferenceErrorType": kind}
    return {"error": told if message is None else told | {"message": message}}
