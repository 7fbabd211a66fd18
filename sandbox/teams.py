"""Microsoft Graph's online meetings as an app with application permission sees them: `/v1.0`.

    teams = Teams()
    teams.start()
    shown = teams.add(subject="made by an add-on")   # conferenceData, as Calendar shows it
    teams.entry("teams", "projects/p/secrets/teams") # the entry of SYNC_PROVIDERS
    teams.secret                                     # what that secret must hold

Imitated: tokens that expire or are withdrawn. Create, `createOrGet` by externalId, look-up by join
link or number, read, change, delete, each of a user's own meetings alone. Start and end that go
together. The organizer in every answer. Users of the directory, those who left, and those whom no
application access policy covers. Join links in all their forms: long, short, of channels, of
government clouds, of other tenants. Graph's errors.

Not imitated: lobby, attendees, expiry of meetings, recordings, delegated permission, throttling by
tenant, the API of national clouds, meetings that Outlook made.

Alone: `python -m sandbox.teams`. Its controls over HTTP: sandbox.service, sandbox.oauth_service.
"""

from __future__ import annotations

import base64
import copy
import itertools
import re
import secrets
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NoReturn
from urllib.parse import quote

import flask

from sandbox.oauth_service import Json, OAuthService, main

HOST = "dc17674c-81d9-4adb-bfb2-8f882a442e4c"
HOST_ADDRESS = "host@example.com"
TENANT = "909c6581-5130-43e9-88f3-fcb3582cde37"
ELSEWHERE = "5f0c1f4e-0000-4000-8000-000000000001"
"""Another tenant."""

LinkForm = Literal["long", "short", "channel"]

_WRITABLE = {"subject", "startDateTime", "endDateTime"}
# What the stand-in knows of a meeting and Graph does not tell in these words.
_HIDDEN = {"organizer", "tenant"}


class Teams(OAuthService):
    """Microsoft Graph's online meetings: one tenant with its users, known by object ids."""

    API = "/v1.0/"
    CONFERENCE = re.compile(r"/v1\.0/users/[^/]+/onlineMeetings/(?!createOrGet$)([^/]+)")
    SETTINGS = (
        *OAuthService.SETTINGS,
        "users",
        "policy",
        "without_policy",
        "opaque_ids",
        "looks_up_empty",
        "unknown_user",
    )

    def reset(self) -> None:
        super().reset()
        self.tenant_id, self.host = TENANT, HOST
        self.users: dict[str, str] = {HOST: HOST_ADDRESS}
        """Object id → address of the directory's users."""
        self.policy = True
        """Whether an application access policy lets the app act for its users."""
        self.without_policy: set[str] = set()
        """Object ids of single users whom the policy does not cover."""
        self.looks_up_empty = False
        """Whether a look-up that finds nothing answers an empty list, not 404."""
        self.unknown_user: Literal["resource", "user"] = "resource"
        """In which words an unknown user is refused: `Request_ResourceNotFound`, or `NotFound`
        as a missing meeting is, with another text."""
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
        return {
            "tenant_id": self.tenant_id,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }

    def entry(self, name: str, secret: str) -> Json:
        return {
            "name": name,
            "type": "teams",
            "solutions": ["Microsoft Teams Meeting"],
            "base_url": self.base_url,
            "token_url": self.token_url,
            "host": self.host,
            "secret": secret,
        }

    def add(
        self,
        *,
        host: str = HOST_ADDRESS,
        form: LinkForm = "long",
        site: str = "teams.microsoft.com",
        tenant: str = TENANT,
        shown_as: Literal["id", "link", "number", "nothing"] = "id",
        **members: Any,
    ) -> Json:
        """Make a meeting as the add-on would, and return the conference data that Calendar shows.

        `host`, an address, becomes a user of the directory. `form` and `site` are those of the
        join link. Government clouds have sites such as `gov.teams.microsoft.us`. Our app cannot
        see a meeting of another `tenant`. `shown_as`: whether its conferenceId is Graph's `id`,
        the `link`, the `number` with blanks, or `nothing`. `members` are the API's.
        """
        with self.lock:
            user_id = _object_id(host)
            if tenant == TENANT:
                user_id = self.add_user(host)
            meeting = self._make(
                {"subject": "A meeting", **members}, user_id, form=form, site=site, tenant=tenant
            )
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
                {"entryPointType": "video", "uri": meeting["joinWebUrl"], "label": site}
            ],
        }

    def add_user(self, address: str) -> str:
        """Take a user into the directory, if there is none with this address. Return the id."""
        with self.lock:
            for user_id, known in self.users.items():
                if known == address:
                    return user_id
            user_id = _object_id(address)
            self.users[user_id] = address
            return user_id

    def leave(self, user: str) -> None:
        """Take a user, by id or address, out of the directory. The user's meetings live on."""
        with self.lock:
            self.users = {
                user_id: address
                for user_id, address in self.users.items()
                if user not in (user_id, address)
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

    def not_found(self) -> tuple[int, Any]:
        return 404, self._error("NotFound", "3004: Meeting not found.")

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
            return flask.jsonify(_shown(self._make(self._checked({}), host))), 201

    def _create_or_get(self, host: str) -> Any:
        with self.lock:
            self._host(host)
            key = self.json_body().get("externalId")
            if not isinstance(key, str) or not key:
                self._no(400, "BadRequest", "ExternalId is required.")
            for meeting in self.meetings.values():
                if (meeting["externalId"], meeting["organizer"]) == (key, host):
                    return flask.jsonify(_shown(meeting)), 200
            made = self._make({**self._checked({}), "externalId": key}, host)
            return flask.jsonify(_shown(made)), 201

    def _look_up(self, host: str) -> Any:
        with self.lock:
            self._host(host)
            condition = flask.request.args.get("$filter", "")
            link = re.fullmatch(r"JoinWebUrl eq '([^']+)'", condition)
            number = re.fullmatch(r"joinMeetingIdSettings/joinMeetingId eq '(\d+)'", condition)
            if not link and not number:
                self._no(400, "BadRequest", "Filter expression expected.")
            mine = [each for each in self.meetings.values() if _is_of(each, host)]
            if link:
                found = [each for each in mine if each["joinWebUrl"] == link[1]]
            else:
                assert number is not None
                found = [
                    each
                    for each in mine
                    if each["joinMeetingIdSettings"]["joinMeetingId"] == number[1]
                ]
            if not found and not self.looks_up_empty:
                self.refuse(*self.not_found())
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
        if host not in self.users:
            if self.unknown_user == "user":
                self._no(404, "NotFound", "User not found.")
            self._no(
                404,
                "Request_ResourceNotFound",
                f"Resource '{host}' does not exist or one of its queried reference-property "
                "objects are not present.",
            )
        if not self.policy or host in self.without_policy:
            self._no(
                403,
                "Forbidden",
                f"No application access policy found for this app: {self.client_id} on the user: "
                f"{host}.",
            )

    def _find(self, host: str, meeting_id: str, *, changing: bool = False) -> Json:
        self._host(host)
        meeting = self.meetings.get(meeting_id)
        if meeting is None or not _is_of(meeting, host):
            self.refuse(*self.not_found())
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

    def _make(
        self,
        members: Json,
        host: str,
        *,
        form: LinkForm = "long",
        site: str = "teams.microsoft.com",
        tenant: str = TENANT,
    ) -> Json:
        """Store a meeting of this user, who is named by id, and return it as stored."""
        name = secrets.token_hex(12)
        kind = "thread.tacv2" if form == "channel" else "thread.v2"
        thread = f"19:{name}@{kind}" if form == "channel" else f"19:meeting_{name}@{kind}"
        message = "1746000000000" if form == "channel" else "0"
        known = base64.b64encode(f"1*{host}*{message}**{thread}".encode()).decode()
        number = str(next(self._numbers))
        passcode = "aBc123"
        link = f"https://{site}/l/meetup-join/{_join_path(thread, message, tenant, host)}"
        if form == "short":
            link = f"https://{site}/meet/{number}?p={passcode}"
        now = self.clock().astimezone(UTC)
        meeting: Json = {
            "id": secrets.token_urlsafe(24) if self.opaque_ids else known,
            "organizer": host,
            "tenant": tenant,
            "externalId": None,
            "subject": None,
            "creationDateTime": f"{now:%Y-%m-%dT%H:%M:%SZ}",
            "startDateTime": f"{now:%Y-%m-%dT%H:%M:%SZ}",
            "endDateTime": f"{now + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
            "joinWebUrl": link,
            "meetingOptionsWebUrl": (
                f"https://{site}/meetingOptions/?organizerId={host}&host-secret=1"
            ),
            "participants": {
                "organizer": {
                    "upn": self.users.get(host),
                    "role": "presenter",
                    "identity": {"user": {"id": host, "displayName": None}},
                },
                "attendees": [],
            },
            "joinMeetingIdSettings": {
                "isPasscodeRequired": True,
                "joinMeetingId": number,
                "passcode": passcode,
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
        return meeting


def _object_id(address: str) -> str:
    """The object id that the directory gives to a user with this address."""
    return HOST if address == HOST_ADDRESS else str(uuid.uuid5(uuid.NAMESPACE_URL, address))


def _is_of(meeting: Json, host: str) -> bool:
    """Whether a meeting of our tenant is this user's, who is named by id."""
    return (meeting["tenant"], meeting["organizer"]) == (TENANT, host)


def _join_path(thread: str, message: str, tenant: str, host: str) -> str:
    """The end of a long join link, with its escapes in small letters, as Teams writes them."""
    context = f'{{"Tid":"{tenant}","Oid":"{host}"}}'
    path = f"{quote(thread)}/{message}?context={quote(context)}"
    return re.sub(r"%[0-9A-F]{2}", lambda code: code[0].lower(), path)


def _shown(meeting: Json) -> Json:
    return {name: copy.deepcopy(value) for name, value in meeting.items() if name not in _HIDDEN}


if __name__ == "__main__":
    main(Teams, "teams")
