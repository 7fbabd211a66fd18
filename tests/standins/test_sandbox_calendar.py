"""The Calendar stand-in's events: reading, conditional writes, parameters and refusals, as
Google documents them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from googleapiclient.errors import HttpError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.google_calendar import GoogleCalendar
from sandbox.google_calendar.seeds import SeedError, plant, read
from tests.support.calendar_api import reason

ANNA = "anna@example.com"
LUNCH: dict[str, Any] = {
    "summary": "Lunch",
    "start": {"dateTime": "2030-05-02T12:00:00+02:00"},
    "end": {"dateTime": "2030-05-02T13:00:00+02:00"},
}


@pytest.fixture
def calendar() -> Iterator[GoogleCalendar]:
    with GoogleCalendar() as running:
        running.add_calendar(ANNA, time_zone="Europe/Berlin")
        yield running


EVENTS = f"/calendars/{ANNA}/events"


def test_the_root_lists_every_call(calendar: GoogleCalendar) -> None:
    """The API's and the back door's. Asking for them is no call of the API."""
    told = httpx.get(f"http://{calendar.host}/").json()
    assert told["stand_in"] == "GoogleCalendar"
    assert "GET /calendar/v3/calendars/<calendar_id>/events" in told["calls"]
    assert "POST /_sandbox/calendars/<calendar_id>/withdraw" in told["calls"]
    assert list(calendar.requests) == []


def test_googles_own_client_inserts_reads_lists_and_deletes(service: Any) -> None:
    """The official client library works against the stand-in unchanged."""
    events = service.events()
    made = events.insert(calendarId=ANNA, body=LUNCH).execute()
    assert events.get(calendarId=ANNA, eventId=made["id"]).execute() == made
    assert events.list(calendarId="primary").execute()["items"] == [made]
    assert events.delete(calendarId=ANNA, eventId=made["id"]).execute() == ""
    assert events.list(calendarId=ANNA).execute()["items"] == []


def test_new_event_has_what_the_server_makes(service: Any) -> None:
    """A new event is told with identity, owner and times in the calendar's zone."""
    made = service.events().insert(calendarId=ANNA, body=LUNCH).execute()
    assert made["organizer"] == {"email": ANNA, "self": True} == made["creator"]
    assert made["iCalUID"] == f"{made['id']}@google.com"
    assert made["start"] == {"dateTime": "2030-05-02T12:00:00+02:00", "timeZone": "Europe/Berlin"}
    assert (made["status"], made["eventType"], made["sequence"]) == ("confirmed", "default", 0)


def test_etag_is_quoted_and_changes_at_each_write(http: httpx.Client) -> None:
    """Every write gives a new etag, in the body and in the header."""
    made = http.post(EVENTS, json=LUNCH)
    etags = {made.json()["etag"]}
    for title in ("a", "b", "c"):
        answer = http.patch(f"{EVENTS}/{made.json()['id']}", json={"summary": title})
        assert answer.headers["ETag"] == answer.json()["etag"]
        etags.add(answer.json()["etag"])
    assert len(etags) == 4
    assert all(etag.startswith('"') and etag.endswith('"') for etag in etags)


@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
def test_if_match_guards_every_write(http: httpx.Client, method: str) -> None:
    """A write with a stale etag answers 412 conditionNotMet and changes nothing. A current one
    does not."""
    made = http.post(EVENTS, json=LUNCH).json()
    url = f"{EVENTS}/{made['id']}"
    current = http.patch(url, json={"location": "Canteen"}).json()
    body = None if method == "DELETE" else LUNCH
    stale = http.request(method, url, json=body, headers={"If-Match": made["etag"]})
    assert reason(stale) == (412, "conditionNotMet")
    assert http.get(url).json() == current
    assert http.request(method, url, json=body, headers={"If-Match": current["etag"]}).is_success


def test_if_none_match_answers_304_without_body(service: Any) -> None:
    """A conditional get of an unchanged event has no body. The official client raises an error
    for it."""
    made = service.events().insert(calendarId=ANNA, body=LUNCH).execute()
    request = service.events().get(calendarId=ANNA, eventId=made["id"])
    request.headers["If-None-Match"] = made["etag"]
    with pytest.raises(HttpError) as caught:
        request.execute()
    assert (caught.value.status_code, caught.value.content) == (304, b"")


def test_taken_id_is_a_duplicate_even_after_deletion(http: httpx.Client) -> None:
    """The id of an event stays taken for good."""
    mine = LUNCH | {"id": "abcde"}
    assert http.post(EVENTS, json=mine).is_success
    assert reason(http.post(EVENTS, json=mine)) == (409, "duplicate")
    http.delete(f"{EVENTS}/abcde")
    assert reason(http.post(EVENTS, json=mine)) == (409, "duplicate")


@pytest.mark.parametrize("bad", ["abc", "UPPER", "wxyz9", "with-dash"])
def test_client_ids_are_base32hex(http: httpx.Client, bad: str) -> None:
    """Ids of less than five characters or outside a-v and 0-9 are refused."""
    assert reason(http.post(EVENTS, json=LUNCH | {"id": bad})) == (400, "invalid")


def test_deleted_event_can_be_read_but_not_deleted_again(http: httpx.Client) -> None:
    """Get of a deleted event is 200 with status cancelled. Delete is 410. Update is 403."""
    url = f"{EVENTS}/{http.post(EVENTS, json=LUNCH).json()['id']}"
    assert http.delete(url).status_code == 204
    assert http.get(url).json()["status"] == "cancelled"
    assert http.get(url).json()["summary"] == "Lunch"
    assert reason(http.delete(url)) == (410, "deleted")
    assert http.patch(url, json={"summary": "x"}).status_code == 403


def test_patch_merges_objects_replaces_lists_and_removes_nulls(http: httpx.Client) -> None:
    """PATCH follows its three rules."""
    body = LUNCH | {
        "attendees": [{"email": "x@example.org"}, {"email": "y@example.org"}],
        "extendedProperties": {"private": {"a": "1", "b": "2"}},
        "location": "here",
    }
    url = f"{EVENTS}/{http.post(EVENTS, json=body).json()['id']}"
    patch = {
        "attendees": [{"email": "z@example.org"}],
        "extendedProperties": {"private": {"a": None, "c": "3"}},
    }
    after = http.patch(url, json=patch | {"location": None}).json()
    assert [guest["email"] for guest in after["attendees"]] == ["z@example.org"]
    assert after["extendedProperties"] == {"private": {"b": "2", "c": "3"}}
    assert "location" not in after
    assert after["summary"] == "Lunch"


def test_status_is_never_missing(http: httpx.Client) -> None:
    """A patch that takes the status away leaves a confirmed event."""
    url = f"{EVENTS}/{http.post(EVENTS, json=LUNCH | {'status': 'tentative'}).json()['id']}"
    assert http.patch(url, json={"status": None}).json()["status"] == "confirmed"
    assert http.patch(url, json={"status": "maybe"}).status_code == 400


def test_put_replaces_everything(http: httpx.Client) -> None:
    """PUT drops what it does not repeat, extended properties too, and keeps what only the server
    sets."""
    body = LUNCH | {"description": "d", "extendedProperties": {"private": {"a": "1"}}}
    made = http.post(EVENTS, json=body).json()
    after = http.put(f"{EVENTS}/{made['id']}", json=LUNCH | {"summary": "Dinner"}).json()
    assert after["summary"] == "Dinner"
    assert not after.keys() & {"description", "extendedProperties"}
    assert (after["iCalUID"], after["created"]) == (made["iCalUID"], made["created"])


def test_extended_properties_are_cut_in_silence(http: httpx.Client) -> None:
    """Keys over 44 characters vanish and values over 1,024 lose their end, with a 200."""
    properties = {"k" * 44: "v" * 1025, "k" * 45: "lost"}
    made = http.post(EVENTS, json=LUNCH | {"extendedProperties": {"private": properties}})
    assert made.status_code == 200
    assert made.json()["extendedProperties"]["private"] == {"k" * 44: "v" * 1024}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"start": None}, "required"),
        ({"end": {"dateTime": "2030-05-02T11:00:00+02:00"}}, "timeRangeEmpty"),
        ({"end": {"date": "2030-05-03"}}, "invalid"),
        ({"start": {"dateTime": "2030-05-02T12:00:00"}}, "required"),
        ({"recurrence": ["RRULE:FREQ=SOMETIMES"]}, "invalid"),
        ({"attendees": [{"email": "nobody"}]}, "invalid"),
    ],
)
def test_senseless_bodies_are_refused(
    http: httpx.Client, change: dict[str, Any], expected: str
) -> None:
    """Times and rules that make no sense answer 400 with a reason."""
    assert reason(http.post(EVENTS, json=LUNCH | change)) == (400, expected)


def test_time_without_offset_takes_the_zone_beside_it(http: httpx.Client) -> None:
    """A dateTime may do without an offset when a timeZone is given. Answers tell it in the zone
    asked for."""
    start = {"dateTime": "2030-07-01T09:00:00", "timeZone": "America/New_York"}
    end = {"dateTime": "2030-07-01T10:00:00", "timeZone": "America/New_York"}
    made = http.post(EVENTS, json=LUNCH | {"start": start, "end": end}).json()
    assert made["start"] == {
        "dateTime": "2030-07-01T15:00:00+02:00",
        "timeZone": "America/New_York",
    }
    told = http.get(f"{EVENTS}/{made['id']}", params={"timeZone": "Asia/Tokyo"}).json()
    assert told["start"]["dateTime"] == "2030-07-01T22:00:00+09:00"


def test_fields_select_parts_of_an_answer(http: httpx.Client) -> None:
    """Partial responses follow the grammar of commas, slashes, parentheses and the star."""
    http.post(
        EVENTS, json=LUNCH | {"extendedProperties": {"private": {"a": "1"}, "shared": {"b": "2"}}}
    )
    wanted = "summary,items(id,start/dateTime,extendedProperties/private),nextSyncToken"
    answer = http.get(EVENTS, params={"fields": wanted}).json()
    assert answer.keys() == {"summary", "items", "nextSyncToken"}
    assert answer["items"][0].keys() == {"id", "start", "extendedProperties"}
    assert answer["items"][0]["start"].keys() == {"dateTime"}
    assert answer["items"][0]["extendedProperties"] == {"private": {"a": "1"}}
    starred = http.get(EVENTS, params={"fields": "items/extendedProperties/*"}).json()
    assert starred == {
        "items": [{"extendedProperties": {"private": {"a": "1"}, "shared": {"b": "2"}}}]
    }
    assert reason(http.get(EVENTS, params={"fields": "items(id"})) == (400, "invalidParameter")


@pytest.mark.parametrize(
    "query",
    [
        {"nosuch": "1"},
        {"maxResults": "many"},
        {"maxResults": "0"},
        {"singleEvents": "yes"},
        {"eventTypes": "party"},
        {"timeMin": "2030-01-01"},
        {"timeMin": "2030-01-02T00:00:00Z", "timeMax": "2030-01-01T00:00:00Z"},
        {"orderBy": "startTime"},
        {"quotaUser": "q" * 41},
        {"pageToken": "invented"},
        {"alt": "media"},
    ],
)
def test_unknown_and_wrong_parameters_are_refused(
    http: httpx.Client, query: dict[str, str]
) -> None:
    """What the method does not know, or cannot read, answers 400."""
    assert http.get(EVENTS, params=query).status_code == 400


def test_long_queries_arrive_as_overridden_posts(calendar: GoogleCalendar, service: Any) -> None:
    """The official client turns a long GET into a POST with a form body, also while paging. Both
    are understood."""
    calendar.settings.page_sizes = [1]
    for number in range(3):
        calendar.seed_event(ANNA, LUNCH | {"summary": f"{number} {'x' * 2100}"})
    calendar.requests.clear()
    request = service.events().list(calendarId=ANNA, q="x" * 2100)
    seen = []
    while request is not None:
        page = request.execute()
        seen += page["items"]
        request = service.events().list_next(request, page)
    assert len(seen) == 3
    assert {record.method for record in calendar.requests} == {"GET"}
    assert all(record.query["q"] == "x" * 2100 for record in calendar.requests)


def test_calendar_ids_are_decoded(calendar: GoogleCalendar, service: Any) -> None:
    """Ids with characters that URLs reserve work percent-encoded."""
    odd = "en.german#holiday@group.v.calendar.google.com"
    calendar.add_calendar(odd, watchable=False)
    assert service.calendars().get(calendarId=odd).execute()["id"] == odd
    assert service.events().list(calendarId=odd).execute()["items"] == []
    entries = service.calendarList().list().execute()["items"]
    assert [(entry["id"], entry.get("primary", False)) for entry in entries] == [
        (ANNA, True),
        (odd, False),
    ]


def test_removed_and_withdrawn_calendars(calendar: GoogleCalendar, http: httpx.Client) -> None:
    """A calendar that is gone or no longer shared answers 404, a forbidden one 403, a read-only
    one 403 to writes."""
    assert reason(http.get("/calendars/nobody@example.com/events")) == (404, "notFound")
    calendar.withdraw_access(ANNA)
    assert reason(http.get(EVENTS)) == (404, "notFound")
    calendar.withdraw_access(ANNA, status=403)
    assert reason(http.get(EVENTS)) == (403, "forbidden")
    calendar.grant_access(ANNA, role="reader")
    assert http.get(EVENTS).is_success
    assert reason(http.post(EVENTS, json=LUNCH)) == (403, "requiredAccessLevel")
    calendar.remove_calendar(ANNA)
    assert reason(http.get(EVENTS)) == (404, "notFound")


def test_refusals_come_in_both_shapes(
    calendar: GoogleCalendar, service: Any, http: httpx.Client
) -> None:
    """Armed refusals have the API's own shape or the gateway's, with or without Retry-After, as
    403 or 429."""
    calendar.fail_next("rateLimitExceeded", path="/events$", method="GET", retry_after=7)
    classic = http.get(EVENTS)
    assert reason(classic) == (403, "rateLimitExceeded")
    assert classic.headers["Retry-After"] == "7"
    calendar.fail_next("rateLimitExceeded", status=429)
    assert reason(http.get(EVENTS)) == (429, "rateLimitExceeded")
    calendar.fail_next("rateLimitExceeded", shape="gateway")
    with pytest.raises(HttpError) as caught:
        service.events().list(calendarId=ANNA).execute()
    assert caught.value.error_details[0]["reason"] == "RATE_LIMIT_EXCEEDED"
    assert http.get(EVENTS).is_success
    assert [record.status for record in calendar.requests] == [403, 429, 403, 200]


def test_move_keeps_the_id_and_leaves_an_id_only_tombstone(
    calendar: GoogleCalendar, service: Any
) -> None:
    """A moved event changes its organizer. Its old calendar shows nothing but its id and status."""
    calendar.add_calendar("team@example.com")
    made = service.events().insert(calendarId=ANNA, body=LUNCH).execute()
    token = service.events().list(calendarId=ANNA).execute()["nextSyncToken"]
    moved = (
        service.events()
        .move(calendarId=ANNA, eventId=made["id"], destination="team@example.com")
        .execute()
    )
    assert moved["id"] == made["id"]
    assert moved["organizer"] == {"email": "team@example.com", "self": True}
    left = service.events().list(calendarId=ANNA, syncToken=token).execute()["items"]
    assert left == [{"id": made["id"], "status": "cancelled"}]
    assert service.events().list(calendarId="team@example.com").execute()["items"] == [moved]


def test_import_adds_a_private_copy(service: Any, http: httpx.Client) -> None:
    """An imported event keeps its organizer and iCalUID. Importing it again updates the same
    copy."""
    body = LUNCH | {"iCalUID": "uid-1", "organizer": {"email": "far@example.org"}}
    made = service.events().import_(calendarId=ANNA, body=body).execute()
    assert (made["organizer"], made["iCalUID"]) == ({"email": "far@example.org"}, "uid-1")
    again = service.events().import_(calendarId=ANNA, body=body | {"summary": "Later"}).execute()
    assert (again["id"], again["summary"]) == (made["id"], "Later")
    assert reason(http.post(f"{EVENTS}/import", json=LUNCH)) == (400, "required")


def test_raw_events_are_told_exactly_as_given(calendar: GoogleCalendar, http: httpx.Client) -> None:
    """Clients can be shown items that no real server should send."""
    odd = {"id": "odd", "status": None, "start": "soon", "attendees": 5, "recurrence": "never"}
    calendar.seed_event(ANNA, odd, raw=True)
    assert http.get(EVENTS).json()["items"] == [odd]
    assert http.get(
        EVENTS, params={"timeMin": "2030-01-01T00:00:00Z", "singleEvents": "true"}
    ).json()["items"] == [odd]


def test_raw_events_can_be_mended_and_deleted(calendar: GoogleCalendar, http: httpx.Client) -> None:
    """What was malformed becomes an ordinary event once its faults are edited away, and can be
    deleted before."""
    calendar.seed_event(ANNA, {"id": "odd", "start": "soon", "attendees": 5}, raw=True)
    calendar.seed_event(ANNA, {"id": "odder", "attendees": 5, "conferenceData": []}, raw=True)
    mended = calendar.edit(ANNA, "odd", LUNCH | {"attendees": None})
    assert http.get(f"{EVENTS}/odd").json() == mended
    assert http.patch(f"{EVENTS}/odder", json={"summary": "x"}).status_code == 400
    assert http.delete(f"{EVENTS}/odder").status_code == 204
    assert [item["status"] for item in http.get(EVENTS).json()["items"]] == [
        "confirmed",
        "cancelled",
    ]


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["", "x", "2030-01-01", "2030-01-01T00:00:00Z"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["date", "dateTime", "private", "email", "key", "type"]),
            inner,
            max_size=2,
        )
    ),
    max_leaves=4,
)
MEMBERS = st.sampled_from(
    (
        *(
            "summary",
            "start",
            "end",
            "attendees",
            "recurrence",
            "extendedProperties",
            "conferenceData",
            "sequence",
        ),
        *("status", "attachments", "reminders", "eventType", "iCalUID", "attendeesOmitted"),
    )
)


@settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(body=st.dictionaries(MEMBERS, JSON_VALUES, max_size=3))
def test_no_body_breaks_the_server(http: httpx.Client, body: dict[str, Any]) -> None:
    """Whatever a client writes is taken or refused with a 4xx."""
    query = {"conferenceDataVersion": "1", "supportsAttachments": "true"}
    made = http.post(EVENTS, json=LUNCH | body, params=query)
    assert made.status_code in (200, 400)
    target = http.post(EVENTS, json=LUNCH).json()["id"]
    assert http.patch(f"{EVENTS}/{target}", json=body, params=query).status_code in (200, 400)
    assert http.get(EVENTS, params={"singleEvents": "true"}).status_code == 200


def test_back_door_over_http(calendar: GoogleCalendar) -> None:
    """Another process, or a person with curl, can do what the Python methods do."""
    with httpx.Client(
        base_url=f"http://{calendar.host}/_sandbox", trust_env=False, verify=False
    ) as door:
        assert (
            door.post("/calendars", json={"id": "bob@example.com", "time_zone": "UTC"}).status_code
            == 204
        )
        events = "/calendars/bob@example.com/events"
        made = door.post(events, json=LUNCH).json()
        url = f"{events}/{made['id']}"
        assert door.patch(url, json={"summary": "Brunch"}).json()["summary"] == "Brunch"
        assert door.delete(url).status_code == 204
        assert door.get(url).json()["status"] == "cancelled"
        assert door.post(f"{url}/restore").json()["status"] == "confirmed"
        assert (
            door.post(f"{url}/move", json={"destination": ANNA}).json()["organizer"]["email"]
            == ANNA
        )
        assert door.post(f"{events}/bulk", json=[LUNCH, LUNCH]).json() == {"count": 2}
        assert door.patch("/settings", json={"strict": False}).json()["strict"] is False
        assert door.patch("/settings", json={"nosuch": 1}).status_code == 400
        assert door.post("/expire", json={"tokens": "all"}).status_code == 204
        assert door.post("/fail", json={"reason": "backendError"}).status_code == 204
        assert (
            httpx.get(
                f"http://{calendar.host}/calendar/v3{EVENTS}", trust_env=False, verify=False
            ).status_code
            == 500
        )
        assert [record["status"] for record in door.get("/requests").json()["requests"]] == [500]
        assert door.delete("/requests").status_code == 204
        assert door.get("/requests").json() == {"requests": []}
        assert door.get("/channels").json() == {"channels": []}


def test_a_calendars_version_tells_whether_its_events_may_differ(calendar: GoogleCalendar) -> None:
    """Whoever has seen a version need not read the events again while it is the same."""
    seen = {calendar.version(ANNA): calendar.events(ANNA)}

    def differs() -> None:
        version, events = calendar.version(ANNA), calendar.events(ANNA)
        assert version not in seen
        assert events not in seen.values()
        seen[version] = events

    lunch = calendar.seed_event(ANNA, LUNCH)["id"]
    differs()
    calendar.edit(ANNA, lunch, {"summary": "Late lunch"})
    differs()
    calendar.edit(ANNA, lunch, {"start": "soon"}, raw=True)
    differs()
    zone = {"timeZone": "Europe/Berlin"}
    times: Any = {"start": {**LUNCH["start"], **zone}, "end": {**LUNCH["end"], **zone}}
    series = {**LUNCH, **times, "recurrence": ["RRULE:FREQ=WEEKLY;COUNT=4"]}
    weekly = calendar.seed_event(ANNA, series)["id"]
    differs()
    calendar.cancel(ANNA, f"{weekly}_20300509T100000Z")
    differs()
    calendar.cancel(ANNA, weekly)
    differs()
    calendar.restore(ANNA, weekly)
    differs()
    calendar.add_calendar("team@example.com")
    calendar.move(ANNA, weekly, "team@example.com")
    differs()
    calendar.remove_calendar(ANNA)
    calendar.add_calendar(ANNA, time_zone="Europe/Berlin")
    assert calendar.version(ANNA) not in seen
    version = calendar.version(ANNA)
    calendar.get(ANNA, lunch)
    calendar.ring(ANNA)
    assert calendar.version(ANNA) == version


def test_methods_that_are_not_imitated_say_so(http: httpx.Client) -> None:
    """What the stand-in lacks answers 501, never something that looks like success."""
    assert reason(http.get(f"/calendars/{ANNA}/acl")) == (501, "notImplemented")
    assert reason(http.post(f"{EVENTS}/quickAdd", params={"text": "x"})) == (501, "notImplemented")


@pytest.mark.programs
def test_runs_alone_and_prints_how_to_call_it() -> None:
    """`python -m sandbox.google_calendar` serves by itself and prints its address with two
    examples."""
    command = [sys.executable, "-m", "sandbox.google_calendar", "--port", "0", "--calendar", ANNA]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(5)]
            assert [line.strip().split()[0] for line in lines] == [
                "Google",
                "Add",
                "curl",
                "List",
                "curl",
            ]
            base = next(word for word in lines[0].split() if word.startswith("http"))
            assert (
                httpx.get(f"{base}calendars/{ANNA}", trust_env=False, verify=False).json()["id"]
                == ANNA
            )
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0


def started(*arguments: str) -> subprocess.Popen[str]:
    """Start the stand-in alone, at any free port."""
    command = [sys.executable, "-m", "sandbox.google_calendar", "--port", "0", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.programs
@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("--port", "99999"), 2, "a port is a number from 0 to 65535"),
        (("--host", "no such host"), 1, "The stand-in does not start: "),
        (("--seed", "no-such.json"), 1, "The stand-in does not start: "),
    ],
)
def test_a_place_to_run_that_is_none_is_told_in_a_sentence(
    arguments: tuple[str, ...], status: int, told: str
) -> None:
    """No traceback, and no other port than the one that was asked for."""
    with started(*arguments) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    assert told in err.splitlines()[-1]
    assert "Traceback" not in err


@pytest.mark.programs
def test_runs_with_a_seed_where_it_is_told(tmp_path: Path) -> None:
    """`--seed` brings calendars, events and settings, and `--host` names the address."""
    seed = {
        "settings": {"page_sizes": [1]},
        "calendars": [
            {"id": ANNA, "time_zone": "Europe/Berlin", "events": [LUNCH, LUNCH]},
            {"id": "team@example.com", "role": "reader"},
        ],
    }
    (tmp_path / "seed.json").write_text(json.dumps(seed))
    with started("--host", "0.0.0.0", "--seed", str(tmp_path / "seed.json")) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            base = next(word for word in first.split() if word.startswith("http://127.0.0.1:"))
            with httpx.Client(base_url=base, trust_env=False) as client:
                listing = client.get(f"calendars/{ANNA}/events").json()
                assert len(listing["items"]) == 1
                assert "nextPageToken" in listing
                assert client.get("users/me/calendarList/team@example.com").json()[
                    "accessRole"
                ] == ("reader")
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("no JSON", "no JSON"),
        ("[]", "a JSON object"),
        ('{"calendar": []}', "calendar"),
        ('{"settings": {"page_size": 1}}', "settings"),
        ('{"calendars": [{"id": "a@b", "role": "editor"}]}', "calendars[0]"),
        ('{"calendars": [{"id": "a@b", "events": [{"id": "x"}]}]}', "calendars[0].events[0]"),
        ('{"solutions": [{"name": "x"}]}', "solutions[0]"),
    ],
)
def test_seeds_that_cannot_be_planted_say_where(
    calendar: GoogleCalendar, tmp_path: Path, text: str, place: str
) -> None:
    """A mistake in the seed is one sentence that names the place."""
    (tmp_path / "seed.json").write_text(text)
    with pytest.raises(SeedError) as refused:
        plant(calendar, read(tmp_path / "seed.json"))
    assert place in str(refused.value)


@pytest.mark.programs
def test_stand_in_that_cannot_start_says_why(tmp_path: Path) -> None:
    """Without a readable seed the command ends with one sentence, not with a traceback."""
    with started("--seed", str(tmp_path / "missing.json")) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.startswith("The stand-in does not start:")
    assert "Traceback" not in said
