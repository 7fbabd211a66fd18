"""Webex meetings of one site as a service app sees them.

The API is `/v1/meetings`, tokens are granted at `/v1/access_token`.

    webex = Webex()
    webex.start()
    shown = webex.add(title="made by an add-on")     # conferenceData, as Calendar shows it
    webex.entry("webex", "projects/p/secrets/webex") # the entry of SYNC_PROVIDERS
    webex.secret                                     # what that secret must hold

Imitated: access tokens that expire or are withdrawn, refresh tokens that are renewed with them. The
site's users (`hosts`), any of whom a request may name in `hostEmail`. Meetings that are shown to
their host and invitees alone and changed by their host alone. Webinars and personal rooms. Meetings
of other sites. Series and their scheduled meetings, exceptions, and their loss when the series
moves. A recurrence taken away by null. Rules of which only the first date of a month counts. Tags.
Look-up by number and link. Limits of length, duration, past and creations a day. Who would have got
mail.

Not imitated: time zones of answers (all in UTC), scopes, site settings, passwords' rules, the
invitees' API, cohosts, meetings that run (but see `refusals`), pages of lists, what a personal room
or a webinar refuses.

Alone: `python -m sandbox.webex`. Its controls over HTTP: sandbox.service, sandbox.oauth_service.
"""

from __future__ import annotations

import copy
import itertools
import re
import secrets
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, NoReturn
from zoneinfo import ZoneInfo

import flask
from dateutil.rrule import rrulestr

from sandbox.oauth_service import Json, OAuthService, main

HOST = "host@example.com"
SITE = "example.webex.com"

Scheduled = Literal["meeting", "webinar", "personalRoomMeeting"]

_SHORTEST, _LONGEST = timedelta(minutes=10), timedelta(hours=23, minutes=59)
_WRITABLE = {
    "title",
    "agenda",
    "start",
    "end",
    "timezone",
    "recurrence",
    "integrationTags",
    "password",
}
# What the stand-in knows of a meeting and Webex does not tell.
_HIDDEN = {"exceptions", "invitees", "elsewhere"}


class Webex(OAuthService):
    """Webex meetings: one site with its users."""

    API = "/v1/meetings"
    CONFERENCE = re.compile(r"/v1/meetings/([^/]+?)(?:_\d{8}T\d{6}Z)?(?:/|$)")
    JSON = "application/json;charset=UTF-8"
    SETTINGS = (
        *OAuthService.SETTINGS,
        "hosts",
        "unknown_host_status",
        "creations_per_day",
        "renews_refresh_token",
        "voids_refresh_token",
    )

    def reset(self) -> None:
        super().reset()
        self.refresh_tokens = {"refresh-1"}
        """Those that are good. The newest is what `secret` says."""
        self.refresh_token = "refresh-1"
        self.renews_refresh_token = False
        """Whether every grant brings another refresh token. The former stays good unless
        `voids_refresh_token`."""
        self.voids_refresh_token = False
        self.hosts = {HOST}
        """The addresses of the site's users. A request without `hostEmail` is `HOST`'s."""
        self.unknown_host_status = 403
        """How a `hostEmail` of nobody on the site is refused. 404 is another possibility."""
        self.creations_per_day: int | None = None
        self.refusals: dict[str, tuple[int, str]] = {}
        """Meeting id → (status, description): how PATCH and DELETE of it are refused, say of one
        that runs."""
        self.mails: list[str] = []
        """Ids of meetings of whose change Webex would have written to people."""
        self._created: Counter[tuple[str, date]] = Counter()
        self._numbers = itertools.count(25512345678)

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def token_url(self) -> str:
        return f"{self.url}/v1/access_token"

    @property
    def secret(self) -> Json:
        return {
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "refresh_token": self.refresh_token,
        }

    def rotate(self) -> Json:
        """Take another client secret and refresh token. Return what the secret must hold."""
        with self.lock:
            self.refresh_token = f"refresh-{secrets.token_hex(4)}"
            self.refresh_tokens = {self.refresh_token}
            return super().rotate()

    def entry(self, name: str, secret: str) -> Json:
        return {
            "name": name,
            "type": "webex",
            "solutions": ["Webex Meeting"],
            "base_url": self.base_url,
            "token_url": self.token_url,
            "host": HOST,
            "secret": secret,
        }

    def add(
        self,
        *,
        host: str = HOST,
        invitees: tuple[str, ...] | list[str] = (),
        scheduled_type: Scheduled = "meeting",
        site: str = SITE,
        shown_as: Literal["id", "number", "nothing"] = "id",
        **members: Any,
    ) -> Json:
        """Make a meeting as the add-on would, and return the conference data that Calendar shows.

        `host` becomes a user of the site. `invitees` see the meeting, too, and cannot change it.
        On another `site` nobody of ours sees it. `shown_as`: whether its conferenceId is Webex's
        `id`, the meeting's `number` with blanks, or `nothing`. `members` are the API's.
        """
        start = (self.clock() + timedelta(days=1)).replace(
            hour=10, minute=0, second=0, microsecond=0
        )
        wanted = {
            "title": "A meeting",
            "start": _zulu(start),
            "end": _zulu(start + timedelta(hours=1)),
            **members,
        }
        with self.lock:
            meeting = self._make(wanted, host)
            meeting.update(scheduledType=scheduled_type, invitees=list(invitees))
            if scheduled_type == "personalRoomMeeting":
                meeting["webLink"] = f"https://{SITE}/meet/{host.partition('@')[0]}"
            if site == SITE:
                self.hosts.add(host)
            else:
                name = site.partition(".")[0]
                link = meeting["webLink"].replace("example/j.php", f"{name}/j.php")
                meeting.update(
                    elsewhere=True, siteUrl=site, webLink=link.replace(f"//{SITE}", f"//{site}")
                )
        number = meeting["meetingNumber"]
        shown = {
            "id": meeting["id"],
            "number": f"{number[:4]} {number[4:7]} {number[7:]}",
            "nothing": None,
        }[shown_as]
        return {
            **({"conferenceId": shown} if shown else {}),
            "conferenceSolution": {"key": {"type": "addOn"}, "name": "Webex Meeting"},
            "entryPoints": [
                {
                    "entryPointType": "video",
                    "uri": meeting["webLink"],
                    "label": site,
                    "meetingCode": number,
                    "password": meeting["password"],
                }
            ],
        }

    def occurrences(self, meeting_id: str, most: int = 100) -> list[Json]:
        """The scheduled meetings of a series, moved ones where they are now, cancelled ones left
        out."""
        return list(itertools.islice(self._scheduled(self.meetings[meeting_id]), most))

    def routes(self, app: flask.Flask) -> None:
        app.add_url_rule("/v1/access_token", view_func=self._token, methods=["POST"])
        app.add_url_rule(
            "/v1/meetings", endpoint="create", view_func=self._create, methods=["POST"]
        )
        app.add_url_rule("/v1/meetings", endpoint="list", view_func=self._list, methods=["GET"])
        one = "/v1/meetings/<meeting_id>"
        app.add_url_rule(one, endpoint="read", view_func=self._read, methods=["GET"])
        app.add_url_rule(one, endpoint="update", view_func=self._update, methods=["PATCH"])
        app.add_url_rule(one, endpoint="delete", view_func=self._delete, methods=["DELETE"])

    def refusal(self, status: int, message: str) -> Any:  # noqa: ARG002 - the same form for all
        return {
            "message": message,
            "errors": [{"description": message}],
            "trackingId": f"SANDBOX_{secrets.token_hex(8)}",
        }

    def not_found(self) -> tuple[int, Any]:
        return 404, self.refusal(404, "The requested resource could not be found.")

    def _no(self, status: int, message: str) -> NoReturn:
        self.refuse(status, self.refusal(status, message))

    def _token(self) -> Any:
        form = flask.request.form
        with self.lock:
            if (form.get("client_id"), form.get("client_secret")) != (
                self.client_id,
                self.client_secret,
            ):
                self.refuse(
                    401, {"error": "invalid_client", "message": "Client authentication failed."}
                )
            if (
                form.get("grant_type") != "refresh_token"
                or form.get("refresh_token") not in self.refresh_tokens
            ):
                self.refuse(
                    400,
                    {"error": "invalid_grant", "message": "The refresh token provided is invalid."},
                )
            if self.renews_refresh_token:
                if self.voids_refresh_token:
                    self.refresh_tokens.discard(form["refresh_token"])
                self.refresh_token = f"refresh-{secrets.token_hex(4)}"
                self.refresh_tokens.add(self.refresh_token)
            return {
                "access_token": self.grant(),
                "expires_in": self.lifetime_seconds,
                "refresh_token": self.refresh_token
                if self.renews_refresh_token
                else form["refresh_token"],
                "refresh_token_expires_in": 7776000,
            }

    def _create(self) -> Any:
        with self.lock:
            body = self.json_body()
            host = self._host(body.get("hostEmail"))
            day = (host, self.clock().astimezone(UTC).date())
            self._created[day] += 1  # failed ones count
            if self.creations_per_day is not None and self._created[day] > self.creations_per_day:
                self.refuse(
                    429,
                    self.refusal(429, "Too many meetings in 24 hours."),
                    {"Retry-After": "3600"},
                )
            for name in ("title", "start", "end"):
                if not body.get(name):
                    self._no(400, f"The {name} is missing.")
            meeting = self._make(self._checked(body, {}), host)
            self._mail(meeting["id"], body.get("sendEmail", True))
            return flask.jsonify(_shown(meeting))

    def _list(self) -> Any:
        with self.lock:
            query = flask.request.args
            user = self._host(query.get("hostEmail"))
            mine = [each for each in self.meetings.values() if _visible(each, user)]
            if series_id := query.get("meetingSeriesId"):
                begin, end = self._range()
                items = list(self._scheduled(self._find(series_id, user), until=end))
                found = [each for each in items if begin <= _moment(each["start"]) < end]
            elif number := query.get("meetingNumber"):
                found = [each for each in mine if each["meetingNumber"] == number]
            elif link := query.get("webLink"):
                found = [each for each in mine if each["webLink"] == link]
            else:
                begin, end = self._range()
                tag = query.get("integrationTag")
                found = [
                    each
                    for each in mine
                    if (tag is None or tag in each.get("integrationTags", []))
                    and self._within(each, begin, end)
                ]
            return {"items": [_shown({"meetingSeriesId": each["id"], **each}) for each in found]}

    def _range(self) -> tuple[datetime, datetime]:
        query = flask.request.args
        begin = _moment(query["from"]) if "from" in query else self.clock()
        return begin, _moment(query["to"]) if "to" in query else begin + timedelta(days=7)

    def _within(self, meeting: Json, begin: datetime, end: datetime) -> bool:
        return any(
            begin <= _moment(each["start"]) < end for each in self._scheduled(meeting, until=end)
        )

    def _read(self, meeting_id: str) -> Any:
        with self.lock:
            user = self._host(flask.request.args.get("hostEmail"))
            return flask.jsonify(_shown(self._find(meeting_id, user)))

    def _update(self, meeting_id: str) -> Any:
        with self.lock:
            body = self.json_body()
            meeting = self._changeable(meeting_id, self._host(body.get("hostEmail")))
            taken = self._checked(body, meeting)
            self._mail(meeting_id, body.get("sendEmail", True))
            if "meetingSeriesId" in meeting:
                self._exception(meeting, {**meeting, **taken})
                return flask.jsonify(_shown({**meeting, **taken}))
            before = [meeting.get(name) for name in ("start", "end", "recurrence")]
            meeting.update(taken)
            if before != [meeting.get(name) for name in ("start", "end", "recurrence")]:
                meeting["exceptions"] = {}
            return flask.jsonify(_shown({**meeting, "meetingSeriesId": meeting_id}))

    def _delete(self, meeting_id: str) -> Any:
        with self.lock:
            user = self._host(flask.request.args.get("hostEmail"))
            meeting = self._changeable(meeting_id, user)
            self._mail(meeting_id, flask.request.args.get("sendEmail", "true") != "false")
            if "meetingSeriesId" in meeting:
                self._exception(meeting, None)
            else:
                del self.meetings[meeting_id]
            return "", 204

    def _exception(self, scheduled: Json, changed: Json | None) -> None:
        stamp = scheduled["id"].rpartition("_")[2]
        self.meetings[scheduled["meetingSeriesId"]]["exceptions"][stamp] = changed

    def _mail(self, meeting_id: str, wanted: bool) -> None:
        if wanted:
            self.mails.append(meeting_id)

    def _host(self, host: str | None) -> str:
        if host is not None and host not in self.hosts:
            self._no(
                self.unknown_host_status,
                "The requested host is not on a site that the app may manage.",
            )
        return host or HOST

    def _find(self, meeting_id: str, user: str) -> Json:
        """Return a series or a scheduled meeting that this user may see."""
        meeting = self.meetings.get(meeting_id)
        if meeting is not None and _visible(meeting, user):
            return meeting
        series_id, _, stamp = meeting_id.rpartition("_")
        series = self.meetings.get(series_id)
        scheduled_id = re.fullmatch(r"\d{8}T\d{6}Z", stamp) is not None
        if scheduled_id and series is not None and _visible(series, user):
            until = datetime.fromisoformat(stamp) + timedelta(seconds=1)
            for scheduled in self._scheduled(series, until=until, originals=True):
                if scheduled["id"] == meeting_id:
                    return scheduled
        self._no(404, "The requested resource could not be found.")

    def _changeable(self, meeting_id: str, user: str) -> Json:
        meeting = self._find(meeting_id, user)
        if meeting["hostEmail"] != user:
            self._no(403, "Only the host may change the meeting.")
        if meeting_id in self.refusals:
            self._no(*self.refusals[meeting_id])
        return meeting

    def _checked(self, body: Json, old: Json) -> Json:
        """Return what is taken of a request, times in UTC, or refuse it."""
        taken = {name: value for name, value in body.items() if name in _WRITABLE}
        if len(taken.get("title") or "x") > 128:
            self._no(400, "The title is longer than 128 characters.")
        if len(taken.get("agenda") or "") > 1300:
            self._no(400, "The agenda is longer than 1300 characters.")
        tags = taken.get("integrationTags") or []
        if len(tags) > 3 or any(len(tag) > 64 for tag in tags):
            self._no(400, "There are too many integrationTags, or one is too long.")
        try:
            ZoneInfo(taken.get("timezone", "UTC"))
            times = {
                name: _moment(taken[name]).replace(second=0)
                for name in ("start", "end")
                if name in taken
            }
            if taken.get("recurrence"):
                next(
                    _dates(
                        taken["recurrence"],
                        times.get("start") or _moment(old["start"]),
                        ZoneInfo("UTC"),
                    ),
                    None,
                )
        except (KeyError, ValueError, TypeError, OSError):
            self._no(400, "The start, end, timezone or recurrence cannot be read.")
        if times:
            start = times.get("start") or _moment(old["start"])
            end = times.get("end") or _moment(old["end"])
            if "start" in times and start < self.clock().replace(second=0, microsecond=0):
                self._no(400, "The start is in the past.")
            if not _SHORTEST <= end - start <= _LONGEST:
                self._no(
                    400,
                    "The meeting is shorter than 10 minutes or longer than 23 hours 59 minutes.",
                )
        return {**taken, **{name: _zulu(moment) for name, moment in times.items()}}

    def _make(self, taken: Json, host: str) -> Json:
        meeting_id = secrets.token_hex(16)
        number = str(next(self._numbers))
        meeting: Json = {
            "id": meeting_id,
            "meetingNumber": number,
            "password": secrets.token_urlsafe(6),
            "phoneAndVideoSystemPassword": f"{secrets.randbelow(10**8):08}",
            "meetingType": "meetingSeries",
            "scheduledType": "meeting",
            "state": "active",
            "timezone": "UTC",
            "hostUserId": f"id-of-{host}",
            "hostDisplayName": host.partition("@")[0].title(),
            "hostEmail": host,
            "hostKey": "host-secret-123456",
            "siteUrl": SITE,
            "webLink": f"https://{SITE}/example/j.php?MTID=m{secrets.token_hex(16)}",
            "sipAddress": f"{number}@{SITE}",
            "telephony": {
                "accessCode": number,
                "callInNumbers": [
                    {"label": "US Toll", "callInNumber": "+1-415-555-0100", "tollType": "toll"}
                ],
            },
            "enabledBreakoutSessions": False,
            "exceptions": {},
            "invitees": [],
            **taken,
        }
        self.meetings[meeting_id] = meeting
        return meeting

    def _scheduled(
        self, series: Json, until: datetime | None = None, originals: bool = False
    ) -> Iterator[Json]:
        """Yield a series' scheduled meetings. `until` bounds their original starts, or with
        exceptions their own."""
        first = _moment(series["start"])
        length = _moment(series["end"]) - first
        late = until and (until if originals else until + timedelta(days=366))
        rule = series.get("recurrence")
        dates = _dates(rule, first, ZoneInfo(series["timezone"])) if rule else iter([first])
        for start in dates:
            if late and start >= late:
                return
            stamp = f"{start:%Y%m%dT%H%M%SZ}"
            changed = series["exceptions"].get(stamp, {})
            if changed is None:
                continue
            yield {
                **series,
                "id": f"{series['id']}_{stamp}",
                "meetingSeriesId": series["id"],
                "meetingType": "scheduledMeeting",
                "state": "scheduled",
                "recurrence": None,
                "start": _zulu(start),
                "end": _zulu(start + length),
                **changed,
            }


def _dates(rule: str, first: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """The starts of a series in UTC. Of several days of a month, or of a year, the first alone
    is taken."""
    parts = dict(part.split("=", 1) for part in rule.removeprefix("RRULE:").split(";"))
    if parts["FREQ"] in ("MONTHLY", "YEARLY"):
        parts = {key: value.partition(",")[0] for key, value in parts.items()}
    text = ";".join(f"{key}={value}" for key, value in parts.items())
    for wall in rrulestr(text, dtstart=first.astimezone(zone).replace(tzinfo=None)):
        yield wall.replace(tzinfo=zone).astimezone(UTC)


def _visible(meeting: Json, user: str) -> bool:
    """Whether Webex shows a meeting to this user: the host or an invitee."""
    if "elsewhere" in meeting:
        return False
    return user == meeting["hostEmail"] or user in meeting["invitees"]


def _shown(meeting: Json) -> Json:
    return {
        name: copy.deepcopy(value)
        for name, value in meeting.items()
        if name not in _HIDDEN and value is not None
    }


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _zulu(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


if __name__ == "__main__":
    main(Webex, "webex")
