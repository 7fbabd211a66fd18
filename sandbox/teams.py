"""Microsoft Graph's online meetings as an app with application permission sees them: `/v1.0` and a
token endpoint.

teams = Teams() teams.start() shown = teams.add(subject="made by an add-on")    # conferenceData, as
Calendar shows it teams.entry("teams", "projects/p/secrets/teams")  # the entry of SYNC_PROVIDERS;
the secret holds `teams.secret`

Imitated: tokens that expire or are withdrawn; create, `createOrGet` by externalId, look-up by join
link or number, read, change, delete; start and end that go together; the application access policy;
unknown users; Graph's errors.

Not imitated: lobby, participants, expiry of meetings, recordings, delegated permission, throttling
by tenant, national clouds, meetings that Outlook made.

Alone: `python -m sandbox.teams`. Its controls over HTTP: sandbox.oauth_service.
"""

from __future__ import annotations

import base64
import copy
import itertools
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn
from urllib.parse import quote

import flask

from sandbox.oauth_service import Json, OAuthService, main

_WRITABLE = {"subject", "startDateTime", "endDateTime"}


class Teams(OAuthService):
    """One tenant with its users `hosts`, known by their object ids."""

    API = "/v1.0/"
    SETTINGS = (*OAuthService.SETTINGS, "policy", "opaque_ids")

    def reset(self) -> None:
        super().reset()
        self.tenant_id = "909c6581-5130-43e9-88f3-fcb3582cde37"
        self.host = "dc17674c-81d9-4adb-bfb2-8f882a442e4c"
        self.hosts = {self.host}
        self.policy = True
        """Whether an application access policy lets the app act for its users."""
        self.opaque_ids = False
        """Whether new meetings have ids that say nothing of their organizer and thread."""
        self.refusals: dict[str, tuple[int, str, str]] = {}
        """Meeting id → (status, code, message): how PATCH and DELETE of it are refused."""
        self._numbers = itertools.count(230000000001)

    @property
    def token_url(self) -> str:
        return f"{self.url}/{{tenant_id}}/oauth2/v2.0/token"

    @property
    def secret(self) -> Json:
        """What the secret must hold."""
        return {
            "tenant_id": self.tenant_id,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }

    def entry(self, name: str, secret: str) -> Json:
        """The entry of SYNC_PROVIDERS that leads here."""
        return {
            "name": name,
            "type": "teams",
            "solutions": ["Microsoft Teams Meeting"],
            "base_url": self.base_url,
            "token_url": self.token_url,
            "host": self.host,
            "secret": secret,
        }

    def add(self, *, shown_as: str = "id", **members: Any) -> Json:
        """Make a meeting as the add-on would, and return the conference data that Calendar shows of
        it.

        `shown_as`: whether its conferenceId is Graph's `id`, the `link`, the `number` with blanks,
        or `nothing`.
        """
        with self.lock:
            meeting = self._make({"subject": "A meeting", **members}, self.host)
        number = meeting["joinMeetingIdSettings"]["joinMeetingId"]
        shown = {
            "id": meeting["id"],
            "link": meeting["joinWebUrl"],
            "number": " ".join(re.findall(r"\d{1,3}", number)),
            "nothing": None,
        }[shown_as]
        return {
            **({"conferenceId": shown} if shown else {}),
            "conferenceSolution": {"key": {"type": "addOn"}, "name": "Microsoft Teams Meeting"},
            "entryPoints": [
                {
                    "entryPointType": "video",
                    "uri": meeting["joinWebUrl"],
                    "label": "teams.microsoft.com",
                },
            ],
        }

    def routes(self, app: flask.Flask) -> None:
        app.add_url_rule("/<tenant>/oauth2/v2.0/token", view_func=self._token, methods=["POST"])
        every = "/v1.0/users/<host>/onlineMeetings"
        app.add_url_rule(every, endpoint="create", view_func=self._create, methods=["POST"])
        app.add_url_rule(every, endpoint="look up", view_func=self._look_up, methods=["GET"])
        app.add_url_rule(f"{every}/createOrGet", view_func=self._create_or_get, methods=["POST"])
        app.add_url_rule(
            f"{every}/<meeting_id>", endpoint="read", view_func=self._read, methods=["GET"]
        )
        app.add_url_rule(
            f"{every}/<meeting_id>", endpoint="update", view_func=self._update, methods=["PATCH"]
        )
        app.add_url_rule(
            f"{every}/<meeting_id>", endpoint="delete", view_func=self._delete, methods=["DELETE"]
        )

    def refusal(self, status: int, message: str) -> Any:
        codes = {401: "InvalidAuthenticationToken", 429: "TooManyRequests", 404: "ResourceNotFound"}
        return self._error(codes.get(status, "BadRequest"), message)

    def _error(self, code: str, message: str) -> Json:
        inner = {"date": f"{self.clock():%Y-%m-%dT%H:%M:%S}", "request-id": secrets.token_hex(8)}
        return {"error": {"code": code, "message": message, "innerError": inner}}

    def _no(self, status: int, code: str, message: str) -> NoReturn:
        self.refuse(status, self._error(code, message))

    def _token(self, tenant: str) -> Any:
        form = flask.request.form
        if tenant != self.tenant_id:
            self.refuse(
                400,
                {"error": "invalid_request", "error_description": "AADSTS90002: Tenant not found."},
            )
        if form.get("client_id") != self.client_id:
            self.refuse(
                400,
                {"error": "unauthorized_client", "error_description": "AADSTS700016: no such app."},
            )
        if form.get("client_secret") != self.client_secret:
            self.refuse(
                401,
                {
                    "error": "invalid_client",
                    "error_description": "AADSTS7000215: Invalid client secret.",
                },
            )
        if form.get("scope") != "https://graph.microsoft.com/.default":
            self.refuse(
                400,
                {
                    "error": "invalid_scope",
                    "error_description": "AADSTS70011: The scope is not valid.",
                },
            )
        return {
            "token_type": "Bearer",
            "expires_in": self.lifetime_seconds,
            "access_token": self.grant(),
        }

    def _create(self, host: str) -> Any:
        with self.lock:
            self._host(host)
            return flask.jsonify(self._make(self._checked({}), host)), 201

    def _create_or_get(self, host: str) -> Any:
        with self.lock:
            self._host(host)
            key = self.json_body().get("externalId")
            if not isinstance(key, str) or not key:
                self._no(400, "BadRequest", "ExternalId is required.")
            for meeting in self.meetings.values():
                if (meeting["externalId"], meeting["organizer"]) == (key, host):
                    return flask.jsonify(_shown(meeting)), 200
            return flask.jsonify(self._make({**self._checked({}), "externalId": key}, host)), 201

    def _look_up(self, host: str) -> Any:
        with self.lock:
            self._host(host)
            condition = flask.request.args.get("$filter", "")
            link = re.fullmatch(r"JoinWebUrl eq '([^']+)'", condition)
            number = re.fullmatch(r"joinMeetingIdSettings/joinMeetingId eq '(\d+)'", condition)
            if not link and not number:
                self._no(400, "BadRequest", "Filter expression expected.")
            mine = [each for each in self.meetings.values() if each["organizer"] == host]
            if link:
                found = [each for each in mine if each["joinWebUrl"] == link[1]]
            else:
                assert number is not None
                found = [
                    each
                    for each in mine
                    if each["joinMeetingIdSettings"]["joinMeetingId"] == number[1]
                ]
            if not found:
                self._no(404, "NotFound", "3004: Meeting not found.")
            return {"value": [_shown(each) for each in found]}

    def _read(self, host: str, meeting_id: str) -> Any:
        with self.lock:
            return flask.jsonify(_shown(self._find(host, meeting_id)))

    def _update(self, host: str, meeting_id: str) -> Any:
        with self.lock:
            meeting = self._find(host, meeting_id, changing=True)
            meeting.update(self._checked(meeting))
            return flask.jsonify(_shown(meeting))

    def _delete(self, host: str, meeting_id: str) -> Any:
        with self.lock:
            self._find(host, meeting_id, changing=True)
            del self.meetings[meeting_id]
            return "", 204

    def _host(self, host: str) -> None:
        if not self.policy:
            self._no(403, "Forbidden", "No application access policy found for this app.")
        if host not in self.hosts:
            self._no(404, "Request_ResourceNotFound", f"Resource '{host}' does not exist.")

    def _find(self, host: str, meeting_id: str, *, changing: bool = False) -> Json:
        self._host(host)
        meeting = self.meetings.get(meeting_id)
        if meeting is None or meeting["organizer"] != host:
            self._no(404, "NotFound", "3004: Meeting not found.")
        if changing and meeting_id in self.refusals:
            self._no(*self.refusals[meeting_id])
        return meeting

    def _checked(self, old: Json) -> Json:
        body = self.json_body()
        if old and ("startDateTime" in body) != ("endDateTime" in body):
            self._no(400, "BadRequest", "StartDateTime and EndDateTime must be given together.")
        taken = {name: value for name, value in body.items() if name in _WRITABLE}
        try:
            times = [
                datetime.fromisoformat(taken[name])
                for name in ("startDateTime", "endDateTime")
                if name in taken
            ]
        except (TypeError, ValueError):
            self._no(400, "BadRequest", "A time cannot be read.")
        if len(times) == 2 and times[1] <= times[0]:
            self._no(400, "BadRequest", "The end is not after the start.")
        return taken

    def _make(self, members: Json, host: str) -> Json:
        name = secrets.token_hex(12)
        thread = f"19:meeting_{name}@thread.v2"
        known = base64.b64encode(f"1*{host}*0**{thread}".encode()).decode()
        number = str(next(self._numbers))
        context = f'{{"Tid":"{self.tenant_id}","Oid":"{host}"}}'
        link = f"{quote(thread)}/0?context={quote(context)}"
        link = re.sub(r"%[0-9A-F]{2}", lambda code: code[0].lower(), link)
        now = self.clock().astimezone(UTC)
        meeting: Json = {
            "id": secrets.token_urlsafe(24) if self.opaque_ids else known,
            "organizer": host,
            "externalId": None,
            "subject": None,
            "creationDateTime": f"{now:%Y-%m-%dT%H:%M:%SZ}",
            "startDateTime": f"{now:%Y-%m-%dT%H:%M:%SZ}",
            "endDateTime": f"{now + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
            "joinWebUrl": f"https://teams.microsoft.com/l/meetup-join/{link}",
            "meetingOptionsWebUrl": f"https://teams.microsoft.com/meetingOptions/?organizerId={host}&host-secret=1",
            "joinMeetingIdSettings": {
                "isPasscodeRequired": True,
                "joinMeetingId": number,
                "passcode": "aBc123",
            },
            "audioConferencing": {
                "conferenceId": number[-9:],
                "tollNumber": "+1 323-555-0166",
                "tollNumbers": ["+1 323-555-0166", "+49 69 5555 0100"],
                "tollFreeNumber": None,
                "tollFreeNumbers": [],
                "dialinUrl": f"https://dialin.teams.microsoft.com/{number}",
            },
            **members,
        }
        self.meetings[meeting["id"]] = meeting
        return _shown(meeting)


def _shown(meeting: Json) -> Json:
    return {name: copy.deepcopy(value) for name, value in meeting.items() if name != "organizer"}


if __name__ == "__main__":
    main(Teams, "teams")
