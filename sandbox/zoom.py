"""Zoom's meetings as an account sees them through a server-to-server OAuth app: `/v2` and
`/oauth/token`.

zoom = Zoom() zoom.start() shown = zoom.add(topic="made by an add-on")       # conferenceData, as
Calendar shows it zoom.entry("zoom", "projects/p/secrets/zoom")     # the entry of SYNC_PROVIDERS;
the secret holds `zoom.secret`

Imitated: tokens that expire or are withdrawn, one secret at a time; meetings of types 2, 3 and 8;
occurrences, moved, deleted, and dropped whenever the series' times are sent; a start in the past,
which becomes now or is ignored; the refusals of too long titles and agendas and of what no
recurrence can be; the limits of writes for each host and day and of requests a second; lists with
their shortened agendas and page tokens; error codes.

Not imitated: registration, webinars, invitees, personal rooms and meetings that run (but see
`refusals`), reports, settings beyond being stored, users beyond `hosts`, scopes, rate limits by
plan.

Alone: `python -m sandbox.zoom`. Its controls over HTTP: sandbox.oauth_service.
"""

from __future__ import annotations

import base64
import calendar
import copy
import itertools
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import flask

from sandbox.oauth_service import Json, OAuthService, main

_START = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z?")
_TIMES = {"type", "start_time", "timezone", "duration", "recurrence"}


class Zoom(OAuthService):
    """One account with its users `hosts`."""

    API = "/v2/"
    SETTINGS = (*OAuthService.SETTINGS, "writes_per_day")

    def reset(self) -> None:
        super().reset()
        self.account_id = "account-1"
        self.hosts = {"host@example.com"}
        self.writes_per_day: int | None = None
        """Creations and updates for each host and day in UTC."""
        self.refusals: dict[str, tuple[int, int, str]] = {}
        """Meeting id → (status, code, message): how PATCH and DELETE of it are refused, say of
        one that runs."""
        self.page_size = 300
        self._written: Counter[tuple[str, date]] = Counter()
        self._numbers = itertools.count(81234567890)

    @property
    def token_url(self) -> str:
        return f"{self.url}/oauth/token"

    @property
    def secret(self) -> Json:
        """What the secret must hold."""
        return {
            "account_id": self.account_id,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }

    def entry(self, name: str, secret: str) -> Json:
        """The entry of SYNC_PROVIDERS that leads here."""
        return {
            "name": name,
            "type": "zoom",
            "solutions": ["Zoom Meeting"],
            "uris": ["https://*.zoom.us/j/{id}"],
            "base_url": self.base_url,
            "token_url": self.token_url,
            "host": "host@example.com",
            "secret": secret,
        }

    def add(self, **members: Any) -> Json:
        """Make a meeting as the add-on would, and return the conference data that Calendar shows
        of it."""
        start = f"{self.clock() + timedelta(days=1):%Y-%m-%dT10:00:00Z}"
        wanted = {
            "topic": "A meeting",
            "type": 2,
            "start_time": start,
            "timezone": "UTC",
            "duration": 60,
            **members,
        }
        with self.lock:
            meeting = self._make(wanted, "host@example.com")
        number = str(meeting["id"])
        return {
            "conferenceId": number,
            "conferenceSolution": {"key": {"type": "addOn"}, "name": "Zoom Meeting"},
            "entryPoints": [
                {
                    "entryPointType": "video",
                    "uri": meeting["join_url"],
                    "label": f"us02web.zoom.us/j/{number}",
                    "meetingCode": number,
                    "passcode": meeting["password"],
                }
            ],
        }

    def routes(self, app: flask.Flask) -> None:
        app.add_url_rule("/oauth/token", view_func=self._token, methods=["POST"])
        users, one = "/v2/users/<host>/meetings", "/v2/meetings/<meeting_id>"
        app.add_url_rule(users, endpoint="create", view_func=self._create, methods=["POST"])
        app.add_url_rule(users, endpoint="list", view_func=self._list, methods=["GET"])
        app.add_url_rule(one, endpoint="read", view_func=self._read, methods=["GET"])
        app.add_url_rule(one, endpoint="update", view_func=self._update, methods=["PATCH"])
        app.add_url_rule(one, endpoint="delete", view_func=self._delete, methods=["DELETE"])

    def refusal(self, status: int, message: str) -> Any:
        return {"code": {401: 124, 429: 429, 404: 2300}.get(status, 300), "message": message}

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

    def _create(self, host: str) -> Any:
        with self.lock:
            self._host(host)
            self._count(host)
            wanted = self._checked()
            return flask.jsonify(self._shown(self._make(wanted, host))), 201

    def _list(self, host: str) -> Any:
        with self.lock:
            self._host(host)
            mine = [each for each in self.meetings.values() if each["host_email"] == host]
            size = min(int(flask.request.args.get("page_size", 30)), self.page_size)
            begin = int(flask.request.args.get("next_page_token") or 0)
            names = (
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
            shown = [
                {name: each[name] for name in names if each.get(name) is not None} for each in mine
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
                return flask.jsonify(
                    {**self._shown(meeting), **occurrence, "occurrences": [occurrence]}
                )
            return flask.jsonify(self._shown(meeting))

    def _update(self, meeting_id: str) -> Any:
        with self.lock:
            meeting = self._changeable(meeting_id)
            self._count(meeting["host_email"])
            wanted = self._checked()
            if occurrence_id := flask.request.args.get("occurrence_id"):
                occurrence = self._occurrence(meeting, occurrence_id)
                if occurrence["status"] == "deleted":
                    self._no(400, 3000, "Invalid occurrence_id.")
                taken: Json = {
                    name: wanted[name]
                    for name in ("start_time", "duration", "agenda")
                    if name in wanted
                }
                if "start_time" in taken:
                    taken["start_time"] = _zulu(_moment(taken["start_time"], meeting["timezone"]))
                occurrence.update(taken)
                return "", 204
            self._take(meeting, wanted)
            return "", 204

    def _delete(self, meeting_id: str) -> Any:
        with self.lock:
            meeting = self._changeable(meeting_id)
            if occurrence_id := flask.request.args.get("occurrence_id"):
                self._occurrence(meeting, occurrence_id)["status"] = "deleted"
            else:
                del self.meetings[meeting_id]
            return "", 204

    def _host(self, host: str) -> None:
        if host not in self.hosts:
            self._no(404, 1001, f"User does not exist: {host}.")

    def _count(self, host: str) -> None:
        day = (host, self.clock().astimezone(UTC).date())
        if self.writes_per_day is not None and self._written[day] >= self.writes_per_day:
            # As seen: the text tells the limit, the headers are those of another one.
            message = (
                f"You have exceeded the daily rate limit ({self.writes_per_day}) of Meeting Create/Update API requests "
                "permitted for this particular user. You may resume after GMT 00:00:00."
            )
            self._no(
                429, 429, message, {"X-RateLimit-Category": "Light", "X-RateLimit-Remaining": "79"}
            )
        self._written[day] += 1

    def _find(self, meeting_id: str) -> Json:
        if not meeting_id.isdecimal():
            self._no(400, 300, "Invalid meeting id.")
        if meeting_id not in self.meetings:
            self._no(404, 3001, f"Meeting does not exist: {meeting_id}.")
        return self.meetings[meeting_id]

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
            "host_id": "host-id",
            "host_email": host,
            "topic": "Zoom Meeting",
            "type": 2,
            "agenda": "",
            "duration": 60,
            "timezone": "UTC",
            "created_at": _zulu(self.clock()),
            "password": f"{secrets.randbelow(10**6):06}",
            "pstn_password": f"{secrets.randbelow(10**6):06}",
            "start_url": f"https://us02web.zoom.us/s/{number}?zak=host-secret-{secrets.token_hex(4)}",
            "join_url": f"https://us02web.zoom.us/j/{number}?pwd={secrets.token_urlsafe(8)}.1",
            "settings": {
                "global_dial_in_numbers": [
                    {
                        "country": "US",
                        "city": "New York",
                        "country_name": "US",
                        "number": "+1 6465550100",
                        "type": "toll",
                    }
                ]
            },
        }
        self.meetings[str(number)] = meeting
        if (
            "start_time" in wanted
            and _moment(wanted["start_time"], str(wanted.get("timezone", "UTC"))) < self.clock()
        ):
            wanted = {**wanted, "start_time": _zulu(self.clock())}
        self._take(meeting, wanted)
        return meeting

    def _take(self, meeting: Json, wanted: Json) -> None:
        wanted = copy.deepcopy(wanted)
        settings = {**meeting["settings"], **wanted.pop("settings", {})}
        times = {name: wanted.pop(name) for name in _TIMES & wanted.keys()}
        meeting.update(wanted, settings=settings)
        zone = str(times.get("timezone", meeting["timezone"]))
        past = "start_time" in times and _moment(
            times["start_time"], zone
        ) < self.clock() - timedelta(minutes=1)
        if past or not times:
            return
        if (
            times.get("type", meeting["type"]) == 8
            and "recurrence" in times
            and "start_time" not in times
        ):
            # As seen: an end without a start counts from the last occurrence.
            last = (meeting.get("occurrences") or [{"start_time": meeting.get("start_time")}])[-1][
                "start_time"
            ]
            times["start_time"] = last
        meeting.update(times)
        if "start_time" in times:
            meeting["start_time"] = _zulu(_moment(times["start_time"], zone))
        meeting.pop("occurrences", None)
        if meeting["type"] == 8:
            meeting["occurrences"] = _occurrences(meeting)
        else:
            meeting.pop("recurrence", None)
        if meeting["type"] == 3:
            meeting.pop("start_time", None)

    @staticmethod
    def _shown(meeting: Json) -> Json:
        return {name: value for name, value in meeting.items() if value is not None}


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
    if "type" in body and body["type"] not in (1, 2, 3, 8):
        return about("type", "Invalid field.")
    if body.get("type") == 8 and "recurrence" not in body:
        return about("recurrence", "This field is required.")
    if "recurrence" in body:
        return _recurrence_problem(body["recurrence"])
    return None


def _recurrence_problem(recurrence: Json) -> Json | None:
    most = {1: 90, 2: 12, 3: 3}
    kind, interval = recurrence.get("type"), recurrence.get("repeat_interval", 1)
    good = kind in most and isinstance(interval, int) and 1 <= interval <= most[kind]
    good = good and 1 <= recurrence.get("end_times", 1) <= 50
    if good and kind == 2:
        good = re.fullmatch(r"[1-7](,[1-7])*", str(recurrence.get("weekly_days", ""))) is not None
    if good and kind == 3:
        by_week = recurrence.get("monthly_week") in (-1, 1, 2, 3, 4) and recurrence.get(
            "monthly_week_day"
        ) in range(1, 8)
        good = recurrence.get("monthly_day") in range(1, 32) or by_week
    return None if good else {"field": "recurrence", "message": "Invalid field."}


def _moment(text: str, zone: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def _zulu(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _occurrences(meeting: Json) -> list[Json]:
    zone = ZoneInfo(meeting["timezone"])
    first = _moment(meeting["start_time"], "UTC").astimezone(zone)
    recurrence = meeting["recurrence"]
    end = recurrence.get("end_date_time")
    last = _moment(end, "UTC") if end else None
    occurrences: list[Json] = []
    for day in itertools.islice(_days(first.date(), recurrence), 50):
        start = datetime.combine(day, first.time(), tzinfo=zone).astimezone(UTC)
        if len(occurrences) >= recurrence.get("end_times", 50) or (last and start > last):
            break
        occurrences.append(
            {
                "occurrence_id": str(int(start.timestamp() * 1000)),
                "start_time": _zulu(start),
                "duration": meeting["duration"],
                "status": "available",
            }
        )
    return occurrences


def _days(first: date, recurrence: Json) -> Iterator[date]:
    """The dates of a recurrence, without end. Written without the library that the code under
    test uses."""
    interval = recurrence.get("repeat_interval", 1)
    if recurrence["type"] == 1:
        for number in itertools.count():
            yield first + timedelta(days=number * interval)
    elif recurrence["type"] == 2:
        sunday = first - timedelta(days=first.isoweekday() % 7)
        numbers = sorted(int(number) for number in recurrence["weekly_days"].split(","))
        for week in itertools.count(step=interval):
            days = (sunday + timedelta(days=7 * week + number - 1) for number in numbers)
            yield from (day for day in days if day >= first)
    else:
        for month in itertools.count(first.year * 12 + first.month - 1, interval):
            day = _day_of(month // 12, month % 12 + 1, recurrence)
            if day is not None and day >= first:
                yield day


def _day_of(year: int, month: int, recurrence: Json) -> date | None:
    length = calendar.monthrange(year, month)[1]
    if "monthly_day" in recurrence:
        return (
            date(year, month, recurrence["monthly_day"])
            if recurrence["monthly_day"] <= length
            else None
        )
    days = (date(year, month, number) for number in range(1, length + 1))
    fitting = [day for day in days if day.isoweekday() % 7 + 1 == recurrence["monthly_week_day"]]
    week = int(recurrence["monthly_week"])
    return fitting[week - 1 if week > 0 else week]


if __name__ == "__main__":
    main(Zoom, "zoom")
