"""The Calendar stand-in held against Google's discovery document, and what it took from there."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httplib2
import httpx
import pytest
from googleapiclient.http import BatchHttpRequest

from sandbox.google_calendar import GoogleCalendar, discovery
from tests.support.calendar_api import reason

ANNA, BOB = "anna@example.com", "bob@example.com"
EVENTS = f"/calendars/{ANNA}/events"
LUNCH = {
    "summary": "Lunch",
    "start": {"dateTime": "2030-05-02T12:00:00Z"},
    "end": {"dateTime": "2030-05-02T13:00:00Z"},
}
RICH = LUNCH | {
    "location": "Room 7",
    "visibility": "private",
    "colorId": "7",
    "attendees": [{"email": BOB}],
    "extendedProperties": {"private": {"a": "b"}, "shared": {"c": "d"}},
    "reminders": {"useDefault": False, "overrides": [{"method": "popup", "minutes": 10}]},
    "recurrence": ["RRULE:FREQ=DAILY;COUNT=3"],
    "start": {"dateTime": "2030-05-02T12:00:00", "timeZone": "Europe/Berlin"},
    "end": {"dateTime": "2030-05-02T13:00:00", "timeZone": "Europe/Berlin"},
    "conferenceData": {
        "createRequest": {"requestId": "r", "conferenceSolutionKey": {"type": "hangoutsMeet"}}
    },
}
ADDON = {
    "conferenceSolution": {"key": {"type": "addOn"}, "name": "Zoom", "iconUri": "https://z.com/i"},
    "conferenceId": "123",
    "entryPoints": [
        {"entryPointType": "video", "uri": "https://example.zoom.us/j/123", "passcode": "1"},
        {"entryPointType": "phone", "uri": "tel:+1", "regionCode": "US", "pin": "2"},
    ],
    "notes": "Hello",
    "parameters": {"addOnParameters": {"parameters": {"a": "b"}}},
}


@pytest.fixture
def calendar() -> Iterator[GoogleCalendar]:
    with GoogleCalendar(now=lambda: datetime(2030, 5, 1, tzinfo=UTC)) as running:
        running.add_calendar(ANNA, time_zone="Europe/Berlin")
        running.add_calendar(BOB)
        running.settings.create_request_seconds = 0
        yield running


FORMATS = {
    "date": re.compile(r"\d{4}-\d\d-\d\d"),
    "date-time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?(Z|[+-]\d\d:\d\d)"),
    "int64": re.compile(r"-?\d+"),
}
TYPES = {"string": str, "boolean": bool, "integer": int, "object": dict, "array": list}


def wrong(value: Any, schema: dict[str, Any], where: str = "answer") -> Iterator[str]:
    """Tell where a value differs from a schema of the discovery document."""
    if "$ref" in schema:
        schema = discovery.document()["schemas"][schema["$ref"]]
    kind = schema["type"]
    fits = type(value) is TYPES[kind]
    if not fits:
        yield f"{where} is no {kind}: {value!r}"
    elif kind == "array":
        for place, item in enumerate(value):
            yield from wrong(item, schema["items"], f"{where}[{place}]")
    elif kind == "object":
        for name, inner in value.items():
            known = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            if known is None:
                yield f"{where}.{name} is unknown to Google"
            else:
                yield from wrong(inner, known, f"{where}.{name}")
    elif (form := FORMATS.get(schema.get("format", ""))) and not form.fullmatch(str(value)):
        yield f"{where} is not in the form of {schema['format']}: {value!r}"
    elif value not in schema.get("enum", [value]):
        yield f"{where} is none of {schema['enum']}: {value!r}"


def test_every_answer_has_the_form_that_google_describes(
    calendar: GoogleCalendar, http: httpx.Client
) -> None:
    """One session over every method: no unknown member, no wrong type, in any answer."""
    seen: set[str] = set()

    def call(method_id: str, path: str, **request: Any) -> Any:
        method = discovery.method(method_id)
        answer = http.request(method["httpMethod"], path, **request).raise_for_status()
        seen.add(method_id)
        if "response" not in method:
            assert answer.content == b""
            return None
        told = answer.json()
        assert list(wrong(told, method["response"])) == []
        return told

    version = {"conferenceDataVersion": 1}
    plain = call("events.insert", EVENTS, json=LUNCH)["id"]
    series = call("events.insert", EVENTS, json=RICH, params=version)["id"]
    with_addon = calendar.seed_event(ANNA, LUNCH | {"conferenceData": ADDON})["id"]
    call("events.get", f"{EVENTS}/{with_addon}")
    call("events.get", f"/calendars/{BOB}/events/{series}")
    call("events.patch", f"{EVENTS}/{series}_20300503T100000Z", json={"summary": "Moved"})
    call("events.update", f"{EVENTS}/{plain}", json=LUNCH)
    call("events.instances", f"{EVENTS}/{series}/instances")
    call("events.delete", f"{EVENTS}/{series}_20300504T100000Z")
    call("events.import", f"{EVENTS}/import", json=LUNCH | {"iCalUID": "x@y"})
    call("events.move", f"{EVENTS}/{plain}/move", params={"destination": BOB})
    listing = call("events.list", EVENTS, params={"showDeleted": "true"})
    assert len(listing["items"]) == 6
    for name, value in (("singleEvents", "true"), ("maxResults", "1")):
        call("events.list", EVENTS, params={name: value})
    calendar.grant_access(BOB, role="freeBusyReader")
    call("events.list", f"/calendars/{BOB}/events")
    channel = {"id": "c-1", "type": "web_hook", "address": "http://127.0.0.1:9/", "token": "t"}
    opened = call("events.watch", f"{EVENTS}/watch", json=channel)
    call("channels.stop", "/channels/stop", json=opened)
    call("calendars.get", f"/calendars/{ANNA}")
    call("calendarList.list", "/users/me/calendarList", params={"showDeleted": "true"})
    call("calendarList.get", f"/users/me/calendarList/{ANNA}")
    call("colors.get", "/colors")
    call("settings.list", "/users/me/settings")
    call("settings.get", "/users/me/settings/timezone")
    asked = {
        "timeMin": "2030-05-01T00:00:00Z",
        "timeMax": "2030-06-01T00:00:00Z",
        "items": [{"id": ANNA}, {"id": "nobody@example.com"}],
    }
    call("freebusy.query", "/freeBusy", json=asked)
    assert seen == imitated(calendar)


def imitated(calendar: GoogleCalendar) -> set[str]:
    """The methods that the stand-in has, by their names in the document."""
    rules = calendar.app.url_map.iter_rules()
    return {rule.endpoint for rule in rules if rule.rule.startswith("/calendar/v3/")}


@pytest.mark.parametrize(
    "mask",
    [
        "items(id,sumary)",
        "item",
        "items/start/datetime",
        "items(id",
        "items/id/x",
        "nextSyncToken,nextSyncTokens",
        "items/conferenceData/entryPoints/url",
    ],
)
def test_unknown_names_in_fields_are_refused(http: httpx.Client, mask: str) -> None:
    """A mistyped mask answers 400 and says so, even on a calendar without events."""
    assert reason(http.get(EVENTS, params={"fields": mask})) == (400, "invalidParameter")


@pytest.mark.parametrize(
    "mask",
    [
        "*",
        "items/*",
        "items(id,start,extendedProperties/private/anything),nextSyncToken",
        "items/conferenceData(entryPoints/uri,parameters/addOnParameters/parameters/mine)",
        "items/attendees/email,etag",
    ],
)
def test_known_names_in_fields_are_taken(http: httpx.Client, mask: str) -> None:
    """Names of the document, names that an application chooses, and `*` are no mistakes."""
    assert http.get(EVENTS, params={"fields": mask}).is_success


def test_a_mistyped_mask_writes_nothing(http: httpx.Client) -> None:
    """The mask is read before the request is carried out."""
    answer = http.post(EVENTS, json=LUNCH, params={"fields": "id,nmae"})
    assert reason(answer) == (400, "invalidParameter")
    assert http.get(EVENTS).json()["items"] == []


def test_calendar_list_syncs(calendar: GoogleCalendar, http: httpx.Client) -> None:
    """Its token lists what was added and removed since. A change of role brings no entry."""
    listing = "/users/me/calendarList"
    first = http.get(listing).json()
    assert [entry["id"] for entry in first["items"]] == [ANNA, BOB]
    token = first["nextSyncToken"]
    quiet = http.get(listing, params={"syncToken": token}).json()
    assert (quiet["items"], quiet["nextSyncToken"]) == ([], token)
    calendar.grant_access(ANNA, role="reader")
    calendar.add_calendar("new@example.com")
    calendar.remove_calendar(BOB)
    changed = http.get(listing, params={"syncToken": token}).json()
    assert [(entry["id"], entry.get("deleted", False)) for entry in changed["items"]] == [
        ("new@example.com", False),
        (BOB, True),
    ]
    assert changed["nextSyncToken"] != token
    assert BOB not in {entry["id"] for entry in http.get(listing).json()["items"]}


def test_calendar_list_refuses_what_google_refuses(http: httpx.Client) -> None:
    """An unknown token answers 410, filters beside a token 400."""
    listing = "/users/me/calendarList"
    assert reason(http.get(listing, params={"syncToken": "x"})) == (410, "fullSyncRequired")
    token = http.get(listing).json()["nextSyncToken"]
    for query in ({"minAccessRole": "owner"}, {"showDeleted": "false"}, {"showHidden": "false"}):
        answer = http.get(listing, params=query | {"syncToken": token})
        assert reason(answer) == (400, "syncTokenWithRequestRestrictions")


def test_calendar_list_is_narrowed_by_role(calendar: GoogleCalendar, http: httpx.Client) -> None:
    """minAccessRole keeps the calendars of that role and above."""
    calendar.grant_access(BOB, role="reader")
    answer = http.get("/users/me/calendarList", params={"minAccessRole": "writer"})
    assert [entry["id"] for entry in answer.json()["items"]] == [ANNA]
    assert http.get("/users/me/calendarList", params={"minAccessRole": "x"}).status_code == 400


def test_free_busy_joins_what_overlaps(calendar: GoogleCalendar, service: Any) -> None:
    """Busy times are joined and cut. Free, deleted and declined events are left out."""
    calendar.seed_event(ANNA, RICH)
    calendar.seed_event(ANNA, LUNCH | {"start": {"dateTime": "2030-05-02T10:30:00Z"}})
    calendar.seed_event(
        ANNA,
        LUNCH
        | {
            "transparency": "transparent",
            "start": {"dateTime": "2030-05-02T08:00:00Z"},
            "end": {"dateTime": "2030-05-02T09:00:00Z"},
        },
    )
    calendar.cancel(
        ANNA,
        calendar.seed_event(
            ANNA, LUNCH | {"end": {"date": "2030-05-09"}, "start": {"date": "2030-05-01"}}
        )["id"],
    )
    asked = {
        "timeMin": "2030-05-02T10:15:00Z",
        "timeMax": "2030-05-03T10:45:00Z",
        "items": [{"id": ANNA}, {"id": "nobody@example.com"}],
    }
    told = service.freebusy().query(body=asked).execute()["calendars"]
    assert told[ANNA]["busy"] == [
        {"start": "2030-05-02T10:15:00Z", "end": "2030-05-02T13:00:00Z"},
        {"start": "2030-05-03T10:00:00Z", "end": "2030-05-03T10:45:00Z"},
    ]
    assert told["nobody@example.com"]["errors"] == [{"domain": "global", "reason": "notFound"}]


def test_free_busy_needs_a_range(http: httpx.Client) -> None:
    """Without a bound, or with an empty range, the query answers 400."""
    day = {"timeMin": "2030-05-02T00:00:00Z", "timeMax": "2030-05-02T00:00:00Z"}
    assert reason(http.post("/freeBusy", json={})) == (400, "required")
    assert reason(http.post("/freeBusy", json=day)) == (400, "timeRangeEmpty")


def test_settings_and_colours(http: httpx.Client) -> None:
    """The time zone is the primary calendar's. Settings sync to nothing. Colours have numbers."""
    assert http.get("/users/me/settings/timezone").json()["value"] == "Europe/Berlin"
    assert http.get("/users/me/settings/mood").status_code == 404
    token = http.get("/users/me/settings").json()["nextSyncToken"]
    assert http.get("/users/me/settings", params={"syncToken": token}).json()["items"] == []
    assert http.get("/users/me/settings", params={"syncToken": "x"}).status_code == 410
    assert len(http.get("/colors").json()["event"]) == 11


def test_googles_own_client_sends_batches(calendar: GoogleCalendar, service: Any) -> None:
    """Each request of a batch is carried out, and its answer or error finds its callback."""
    answers: dict[str, Any] = {}

    def heard(request_id: str, answer: Any, error: Any) -> None:
        answers[request_id] = answer if error is None else error.status_code

    batch = BatchHttpRequest(callback=heard, batch_uri=f"http://{calendar.host}/batch/calendar/v3")
    batch.add(service.events().insert(calendarId=ANNA, body=LUNCH), request_id="made")
    batch.add(service.events().get(calendarId=ANNA, eventId="nothing"), request_id="missing")
    batch.add(service.events().list(calendarId=BOB, maxResults=3), request_id="listed")
    with contextlib.closing(httplib2.Http()) as client:
        batch.execute(http=client)
    assert answers["made"] == calendar.get(ANNA, answers["made"]["id"])
    assert answers["missing"] == 404
    assert answers["listed"]["items"] == []
    assert [record.method for record in calendar.requests] == ["POST", "GET", "GET"]


@pytest.mark.parametrize(
    "body",
    [b"", b"--b\r\n\r\n--b--", b"--b\r\nContent-Type: application/http\r\n\r\n\xff\r\n--b--"],
)
def test_senseless_batches_break_nothing(calendar: GoogleCalendar, body: bytes) -> None:
    """A batch without requests answers 400, and a part that is none gets an error of its own."""
    kind = {"Content-Type": "multipart/mixed; boundary=b"}
    answer = httpx.post(
        f"http://{calendar.host}/batch/calendar/v3", content=body, headers=kind, trust_env=False
    )
    assert answer.status_code in (200, 400)
    assert b"HTTP/1.1 500" not in answer.content


def test_large_batches_are_refused(calendar: GoogleCalendar) -> None:
    """A batch holds at most 50 requests."""
    part = b"--b\r\nContent-Type: application/http\r\n\r\nGET /calendar/v3/colors\r\n\r\n"
    answer = httpx.post(
        f"http://{calendar.host}/batch/calendar/v3",
        content=part * 51 + b"--b--",
        headers={"Content-Type": "multipart/mixed; boundary=b"},
        trust_env=False,
    )
    assert answer.status_code == 400


def test_answers_are_json_texts_of_one_line(http: httpx.Client) -> None:
    """Unless prettyPrint asks for more, an answer has no line breaks."""
    assert "\n" not in http.get(EVENTS).text.strip()
    assert json.loads(http.get(EVENTS, params={"prettyPrint": "true"}).text)


def test_listens_where_it_is_told() -> None:
    """`bind` names the address, so that other machines or containers can reach it."""
    with GoogleCalendar(bind="0.0.0.0") as everywhere:
        port = int(everywhere.host.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10):
            assert everywhere.host.startswith("0.0.0.0:")
