"""Zoom's meetings as an account sees them through a server-to-server OAuth app.

The API is under `/v2`, tokens are granted at `/oauth/token`.

    zoom = Zoom()
    zoom.start()
    shown = zoom.add(topic="made by an add-on")   # conferenceData, as Calendar shows it
    zoom.entry("zoom", "projects/p/secrets/zoom") # the entry of SYNC_PROVIDERS
    zoom.secret                                   # what that secret must hold

Imitated: tokens that expire or are withdrawn, one secret at a time. The account's users (`hosts`),
by address and by id, and meetings of other accounts, which do not exist for the app. Meetings of
types 1 (instant), 2 (scheduled), 3 (recurring, no fixed time), 4 (a user's personal meeting) and 8
(recurring). Webinars, which are refused. PATCH, which changes what it names and leaves the other
settings. Occurrences, moved, deleted, and dropped whenever the series' times are sent. A recurring
meeting that becomes a single one by `type` 2. A start in the past, which becomes now or is ignored.
The refusals of too long titles and agendas and of what no recurrence can be. The limits of writes
for each host and day and of requests a second. Lists with their shortened agendas and page tokens.
Error codes.

Not imitated: registrants, invitees, meetings that run (but see `refusals`), reports, settings
beyond being stored, scopes, rate limits by plan, mail.

Alone: `python -m sandbox.zoom`. Its controls over HTTP: sandbox.service, sandbox.oauth_service.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import itertools
import re
import secrets
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, timedelta
from typing import Any, Literal, NoReturn
from zoneinfo import ZoneInfo

import flask

from sandbox.oauth_service import Json, OAuthService, main
from sandbox.zoom_recurrence import moment_in, occurrences_of, recurrence_problem, zulu

HOST = "host@example.com"

INSTANT, SCHEDULED, NO_FIXED_TIME, PERSONAL, RECURRING = 1, 2, 3, 4, 8

_START = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z?")
_TIMES = {"type", "start_time", "timezone", "duration", "recurrence"}
_WORDS = {"topic", "agenda", "password", "tracking_fields"}
_LISTED = (
    "uuid",
    "id",
    "host_id",
    "topic",
    "type",
    "start_time",
    "duration",
    "timezone",
    "join_url",
    "agenda",
)
# What the stand-in knows of a meeting and Zoom does not tell.
_HIDDEN = {"account", "webinar"}
_SETTINGS: Json = {
    "host_video": False,
    "participant_video": False,
    "join_before_host": False,
    "waiting_room": True,
    "use_pmi": False,
    "approval_type": 2,
    "alternative_hosts": "",
    "email_notification": True,
    "registrants_email_notification": True,
}
_DIAL_IN: Json = {
    "country": "US",
    "city": "New York",
    "country_name": "US",
    "number": "+1 6465550100",
    "type": "toll",
}


class Zoom(OAuthService):
    """Zoom's meetings: one account with its users."""

    API = "/v2/"
    CONFERENCE = re.compile(r"/v2/meetings/([^/]+)")
    SETTINGS = (*OAuthService.SETTINGS, "hosts", "writes_per_day")

    def reset(self) -> None:
        super().reset()
        self.account_id = "account-1"
        self.hosts = {HOST}
        """The addresses of the account's users. Nothing of a user who left can be seen."""
        self.writes_per_day: int | None = None
        """Creations and updates for each host and day in UTC."""
        self.refusals: dict[str, tuple[int, int, str]] = {}
        """Meeting id → (status, code, message): how PATCH and DELETE of it are refused, say of
        one that runs."""
        self.page_size = 300
        self._written: Counter[tuple[str, date]] = Counter()
        self._numbers = itertools.count(81234567890)
        self._personal: dict[str, int] = {}

    @property
    def token_url(self) -> str:
        return f"{self.url}/oauth/token"

    @property
    def secret(self) -> Json:
        return {
            "account_id": self.account_id,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }

    def entry(self, name: str, secret: str) -> Json:
        return {
            "name": name,
            "type": "zoom",
            "solutions": ["Zoom Meeting"],
            "base_url": self.base_url,
            "token_url": self.token_url,
            "host": HOST,
            "secret": secret,
        }

    def add(
        self,
        *,
        host: str = HOST,
        account: str | None = None,
        webinar: bool = False,
        shown_as: Literal["id", "personal"] = "id",
        **members: Any,
    ) -> Json:
        """Make a meeting as the add-on would, and return the conference data that Calendar shows.

        `host` becomes a user of the account. `account`: the meeting belongs to this other account
        (its name is the host of the join link), and our app cannot see it. `webinar`: it is one.
        `shown_as="personal"`: the conferenceId is the host's personal number, and the meeting's
        own stands in the parameters as `realMeetingId`. `members` are the API's. Type 4 is the
        host's personal meeting.
        """
        start = f"{self.clock() + timedelta(days=1):%Y-%m-%dT10:00:00Z}"
        wanted = {
            "topic": "A meeting",
            "type": SCHEDULED,
            "start_time": start,
            "timezone": "UTC",
            "duration": 60,
            **members,
        }
        with self.lock:
            if account is None:
                self.hosts.add(host)
            meeting = self._make(wanted, host)
            if account is not None:
                meeting["account"] = account
                meeting["join_url"] = meeting["join_url"].replace("us02web", account)
            if webinar:
                meeting["webinar"] = True
                meeting["join_url"] = meeting["join_url"].replace("/j/", "/w/")
        number = str(meeting["id"])
        shown = number
        parameters: Json = {}
        if shown_as == "personal":
            shown = str(self.personal_number(host))
            parameters = {"addOnParameters": {"parameters": {"realMeetingId": number}}}
        return {
            "conferenceId": shown,
            "conferenceSolution": {"key": {"type": "addOn"}, "name": "Zoom Meeting"},
            "entryPoints": [
                {
                    "entryPointType": "video",
                    "uri": meeting["join_url"].replace(number, shown),
                    "label": f"us02web.zoom.us/j/{shown}",
                    "meetingCode": shown,
                    "passcode": meeting["password"],
                }
            ],
            **({"parameters": parameters} if parameters else {}),
        }

    def personal_number(self, host: str) -> int:
        """The number of a user's personal meeting, which is there from now on."""
        with self.lock:
            if host not in self._personal:
                self._make({"type": PERSONAL, "topic": f"{host}'s personal meeting"}, host)
            return self._personal[host]

    def user_id(self, host: str) -> str:
        """Zoom's id of a user."""
        return hashlib.sha256(host.encode()).hexdigest()[:22]

    def routes(self, app: flask.Flask) -> None:
        app.add_url_rule("/oauth/token", view_func=self._token, methods=["POST"])
        users, one = "/v2/users/<user>/meetings", "/v2/meetings/<meeting_id>"
        app.add_url_rule(users, endpoint="create", view_func=self._create, methods=["POST"])
        app.add_url_rule(users, endpoint="list", view_func=self._list, methods=["GET"])
        app.add_url_rule(one, endpoint="read", view_func=self._read, methods=["GET"])
        app.add_url_rule(one, endpoint="update", view_func=self._update, methods=["PATCH"])
        app.add_url_rule(one, endpoint="delete", view_func=self._delete, methods=["DELETE"])

    def refusal(self, status: int, message: str) -> Any:
        return {"code": {401: 124, 429: 429, 404: 2300}.get(status, 300), "message": message}

    def not_found(self) -> tuple[int, Any]:
        return 404, {"code": 3001, "message": "Meeting does not exist."}

    def _no(
        self, status: int, code: int, message: str, headers: Mapping[str, str] | None = None
    ) -> NoReturn:
        self.refuse(status, {"code": code, "message": message}, headers)

    def _token(self) -> Any:
        form = flask.request.form
        wanted = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        if flask.request.headers.get("Authorization") != f"Basic {wanted}":
            self.refuse(
                401, {"reason": "Invalid client_id or client_secret", "error": "invalid_client"}
            )
        if form.get("grant_type") != "account_credentials":
            self.refuse(
                400, {"reason": "unsupported grant type", "error": "unsupported_grant_type"}
            )
        if form.get("account_id") != self.account_id:
            self.refuse(400, {"reason": "Bad Request", "error": "invalid_request"})
        return {
            "access_token": self.grant(),
            "token_type": "bearer",
            "expires_in": self.lifetime_seconds,
            "scope": "meeting:write:meeting:admin meeting:read:meeting:admin",
            "api_url": self.url,
        }

    def _create(self, user: str) -> Any:
        with self.lock:
            host = self._user(user)
            self._count(host)
            wanted = self._checked()
            return flask.jsonify(_shown(self._make(wanted, host))), 201

    def _list(self, user: str) -> Any:
        with self.lock:
            host = self._user(user)
            mine = [
                each
                for each in self.meetings.values()
                if each["host_email"] == host and not _HIDDEN & each.keys()
            ]
            size = min(int(flask.request.args.get("page_size", 30)), self.page_size)
            begin = int(flask.request.args.get("next_page_token") or 0)
            shown = [
                {name: each[name] for name in _LISTED if each.get(name) is not None}
                for each in mine
            ]
            for each in shown:
                each["agenda"] = each.get("agenda", "")[:250]
            more = str(begin + size) if begin + size < len(mine) else ""
            return {
                "page_size": size,
                "total_records": len(mine),
                "next_page_token": more,
                "meetings": shown[begin : begin + size],
            }

    def _read(self, meeting_id: str) -> Any:
        with self.lock:
            meeting = self._find(meeting_id)
            if occurrence_id := flask.request.args.get("occurrence_id"):
                occurrence = self._occurrence(meeting, occurrence_id)
                return flask.jsonify({**_shown(meeting), **occurrence, "occurrences": [occurrence]})
            return flask.jsonify(_shown(meeting))

    def _update(self, meeting_id: str) -> Any:
        with self.lock:
            meeting = self._changeable(meeting_id)
            self._count(meeting["host_email"])
            wanted = self._checked()
            if occurrence_id := flask.request.args.get("occurrence_id"):
                self._update_occurrence(meeting, occurrence_id, wanted)
            else:
                self._take(meeting, wanted)
            return "", 204

    def _update_occurrence(self, meeting: Json, occurrence_id: str, wanted: Json) -> None:
        occurrence = self._occurrence(meeting, occurrence_id)
        if occurrence["status"] == "deleted":
            self._no(400, 3000, "Invalid occurrence_id.")
        names = ("start_time", "duration", "agenda")
        taken: Json = {name: wanted[name] for name in names if name in wanted}
        if "start_time" in taken:
            taken["start_time"] = zulu(moment_in(taken["start_time"], meeting["timezone"]))
        occurrence.update(taken)

    def _delete(self, meeting_id: str) -> Any:
        with self.lock:
            meeting = self._changeable(meeting_id)
            if occurrence_id := flask.request.args.get("occurrence_id"):
                self._occurrence(meeting, occurrence_id)["status"] = "deleted"
            elif meeting["type"] == PERSONAL:
                self._no(400, 3018, "Not allowed to delete PMI.")
            else:
                del self.meetings[meeting_id]
            return "", 204

    def _user(self, user: str) -> str:
        """Return the address of a user, who is named by address or id."""
        for host in self.hosts:
            if user in (host, self.user_id(host)):
                return host
        self._no(404, 1001, f"User does not exist: {user}.")

    def _count(self, host: str) -> None:
        day = (host, self.clock().astimezone(UTC).date())
        if self.writes_per_day is not None and self._written[day] >= self.writes_per_day:
            # As seen: the text tells the limit, the headers are those of another one.
            message = (
                f"You have exceeded the daily rate limit ({self.writes_per_day}) of Meeting "
                "Create/Update API requests permitted for this particular user. You may resume "
                "after GMT 00:00:00."
            )
            self._no(
                429, 429, message, {"X-RateLimit-Category": "Light", "X-RateLimit-Remaining": "79"}
            )
        self._written[day] += 1

    def _find(self, meeting_id: str) -> Json:
        if not meeting_id.isdecimal():
            self._no(400, 300, "Invalid meeting id.")
        meeting = self.meetings.get(meeting_id)
        if meeting is None or "account" in meeting:
            self._no(404, 3001, f"Meeting does not exist: {meeting_id}.")
        if "webinar" in meeting:
            self._no(400, 3000, "Cannot access webinar info.")
        self._user(meeting["host_email"])
        return meeting

    def _changeable(self, meeting_id: str) -> Json:
        meeting = self._find(meeting_id)
        if meeting_id in self.refusals:
            self._no(*self.refusals[meeting_id])
        return meeting

    def _occurrence(self, meeting: Json, occurrence_id: str) -> Json:
        for occurrence in meeting.get("occurrences", []):
            if occurrence["occurrence_id"] == occurrence_id:
                found: Json = occurrence
                return found
        self._no(400, 3000, "Invalid occurrence_id.")

    def _checked(self) -> Json:
        body = self.json_body()
        problem = _problem(body)
        if problem:
            self.refuse(400, {"code": 300, "message": "Validation Failed.", "errors": [problem]})
        return body

    def _make(self, wanted: Json, host: str) -> Json:
        number = next(self._numbers)
        meeting: Json = {
            "uuid": base64.b64encode(secrets.token_bytes(16)).decode(),
            "id": number,
            "host_id": self.user_id(host),
            "host_email": host,
            "topic": "Zoom Meeting",
            "type": SCHEDULED,
            "agenda": "",
            "duration": 60,
            "timezone": "UTC",
            "created_at": zulu(self.clock()),
            "password": f"{secrets.randbelow(10**6):06}",
            "pstn_password": f"{secrets.randbelow(10**6):06}",
            "start_url": f"https://us02web.zoom.us/s/{number}?zak=host-secret-{secrets.token_hex(4)}",
            "join_url": f"https://us02web.zoom.us/j/{number}?pwd={secrets.token_urlsafe(8)}.1",
            "settings": {**_SETTINGS, "global_dial_in_numbers": [dict(_DIAL_IN)]},
        }
        if wanted.get("type") == PERSONAL:
            meeting["pmi"] = number
            self._personal[host] = number
        self.meetings[str(number)] = meeting
        zone = str(wanted.get("timezone", "UTC"))
        if "start_time" in wanted and moment_in(wanted["start_time"], zone) < self.clock():
            wanted = {**wanted, "start_time": zulu(self.clock())}
        self._take(meeting, wanted)
        return meeting

    def _take(self, meeting: Json, wanted: Json) -> None:
        """Change what the request names. The other members and settings stay."""
        wanted = copy.deepcopy(wanted)
        meeting["settings"].update(wanted.get("settings") or {})
        meeting.update({name: wanted[name] for name in _WORDS & wanted.keys()})
        times = {name: wanted[name] for name in _TIMES & wanted.keys()}
        zone = str(times.get("timezone", meeting["timezone"]))
        limit = self.clock() - timedelta(minutes=1)
        past = "start_time" in times and moment_in(times["start_time"], zone) < limit
        if past or not times:
            return
        kind = times.get("type", meeting["type"])
        if kind == RECURRING and "recurrence" in times and "start_time" not in times:
            # As seen: an end without a start counts from the last occurrence.
            listed = meeting.get("occurrences") or [{"start_time": meeting.get("start_time")}]
            times["start_time"] = listed[-1]["start_time"]
        meeting.update(times)
        if "start_time" in times:
            meeting["start_time"] = zulu(moment_in(times["start_time"], zone))
        meeting.pop("occurrences", None)
        if kind == RECURRING:
            meeting["occurrences"] = occurrences_of(meeting)
        else:
            meeting.pop("recurrence", None)
        if kind in (INSTANT, NO_FIXED_TIME, PERSONAL):
            meeting.pop("start_time", None)


def _shown(meeting: Json) -> Json:
    return {
        name: value for name, value in meeting.items() if value is not None and name not in _HIDDEN
    }


def _problem(body: Json) -> Json | None:
    """Return Zoom's words for what it does not take."""

    def about(name: str, message: str) -> Json:
        return {"field": name, "message": message}

    if len(str(body.get("topic", "")).encode("utf-16-le")) // 2 > 200:
        return about("topic", "Cannot exceed 200 characters.")
    if len(str(body.get("agenda", "")).encode("utf-16-le")) // 2 > 2000:
        return about("agenda", "Cannot exceed 2000 characters.")
    if "start_time" in body and not _START.fullmatch(str(body["start_time"])):
        return about("start_time", "Invalid field.")
    if "timezone" in body:
        try:
            ZoneInfo(body["timezone"])
        except (KeyError, ValueError, OSError):
            return about("timezone", "Invalid field.")
    if "duration" in body and (not isinstance(body["duration"], int) or body["duration"] < 1):
        return about("duration", "Invalid field.")
    if "type" in body and body["type"] not in (INSTANT, SCHEDULED, NO_FIXED_TIME, RECURRING):
        return about("type", "Invalid field.")
    if body.get("type") == RECURRING and "recurrence" not in body:
        return about("recurrence", "This field is required.")
    return recurrence_problem(body["recurrence"]) if "recurrence" in body else None


if __name__ == "__main__":
    main(Zoom, "zoom")
