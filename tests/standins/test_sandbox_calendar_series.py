"""The Calendar stand-in's series, guests' copies and conferences."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from sandbox.google_calendar import GoogleCalendar
from tests.support.calendar_api import reason

ANNA, BOB = "anna@example.com", "bob@example.com"
EVENTS = f"/calendars/{ANNA}/events"
BOBS = f"/calendars/{BOB}/events"
LUNCH = {
    "summary": "Lunch",
    "start": {"dateTime": "2030-03-29T12:00:00", "timeZone": "Europe/Berlin"},
    "end": {"dateTime": "2030-03-29T13:00:00", "timeZone": "Europe/Berlin"},
}
# Over the change to summer time, on 2030-03-31.
DAILY = LUNCH | {"recurrence": ["RRULE:FREQ=DAILY;COUNT=5"]}
INVITED = LUNCH | {"attendees": [{"email": BOB}, {"email": "far@example.org"}]}
ZOOM = {
    "conferenceSolution": {"key": {"type": "addOn"}, "name": "Zoom Meeting"},
    "conferenceId": "123",
    "entryPoints": [{"entryPointType": "video", "uri": "https://example.zoom.us/j/123"}],
}
MEET = {"createRequest": {"requestId": "r-1", "conferenceSolutionKey": {"type": "hangoutsMeet"}}}
WITH_CONFERENCE = {"conferenceDataVersion": 1}


@pytest.fixture
def calendar() -> Iterator[GoogleCalendar]:
    with GoogleCalendar(now=lambda: datetime(2030, 3, 1, tzinfo=UTC)) as running:
        running.add_calendar(ANNA, time_zone="Europe/Berlin")
        running.add_calendar(BOB, time_zone="UTC")
        yield running


def test_occurrences_keep_wall_time_and_are_named_by_their_utc_start(http: httpx.Client) -> None:
    """Noon stays noon when the clocks change. The id tells the start in UTC, or the day."""
    series = http.post(EVENTS, json=DAILY).json()["id"]
    items = http.get(f"{EVENTS}/{series}/instances").json()["items"]
    assert [item["start"]["dateTime"] for item in items][1:3] == [
        "2030-03-30T12:00:00+01:00",
        "2030-03-31T12:00:00+02:00",
    ]
    assert [item["id"] for item in items][1:3] == [
        f"{series}_20300330T110000Z",
        f"{series}_20300331T100000Z",
    ]
    assert all(item["recurringEventId"] == series and "recurrence" not in item for item in items)
    days = LUNCH | {
        "start": {"date": "2030-04-01"},
        "end": {"date": "2030-04-02"},
        "recurrence": ["RRULE:FREQ=WEEKLY"],
    }
    weekly = http.post(EVENTS, json=days).json()["id"]
    assert http.get(f"{EVENTS}/{weekly}_20300408").json()["end"] == {"date": "2030-04-09"}
    assert http.get(f"{EVENTS}/{weekly}_20300409").status_code == 404


def test_rules_add_and_leave_out_dates(calendar: GoogleCalendar) -> None:
    """RRULE and RDATE together, less EXDATE, with UNTIL inclusive."""
    rules = [
        "RRULE:FREQ=DAILY;UNTIL=20300331T100000Z",
        "EXDATE;TZID=Europe/Berlin:20300330T120000",
        "RDATE:20300405T080000Z",
    ]
    series = calendar.seed_event(ANNA, LUNCH | {"recurrence": rules})
    assert calendar.count_instances(ANNA, series["id"]) == 3


def test_moved_occurrence_keeps_its_identity(http: httpx.Client) -> None:
    """An occurrence that is moved becomes an exception with the same id and originalStartTime."""
    series = http.post(EVENTS, json=DAILY).json()["id"]
    token = http.get(EVENTS).json()["nextSyncToken"]
    url = f"{EVENTS}/{series}_20300330T110000Z"
    before = http.get(url).json()
    times = {
        "start": {"dateTime": "2030-04-20T09:00:00Z"},
        "end": {"dateTime": "2030-04-20T10:00:00Z"},
    }
    after = http.patch(url, json=times).json()
    assert after["id"] == before["id"]
    assert after["originalStartTime"] == before["originalStartTime"] == before["start"]
    assert http.get(EVENTS, params={"syncToken": token}).json()["items"] == [after]
    expanded = http.get(EVENTS, params={"singleEvents": "true", "orderBy": "startTime"}).json()[
        "items"
    ]
    assert [item["id"] for item in expanded][-1] == after["id"]
    assert len(expanded) == 5
    window = {
        "singleEvents": "true",
        "timeMin": "2030-04-20T00:00:00Z",
        "timeMax": "2030-04-21T00:00:00Z",
    }
    assert [item["id"] for item in http.get(EVENTS, params=window).json()["items"]] == [after["id"]]


def test_exceptions_follow_what_they_have_not_changed(
    calendar: GoogleCalendar, http: httpx.Client
) -> None:
    """A change of the series reaches its exceptions, except in what they have of their own."""
    series = calendar.seed_event(ANNA, DAILY)["id"]
    exception = calendar.edit(ANNA, f"{series}_20300330T110000Z", {"summary": "Brunch"})["id"]
    http.patch(f"{EVENTS}/{series}", json={"summary": "Dinner", "location": "Canteen"})
    after = calendar.get(ANNA, exception) or {}
    assert (after["summary"], after["location"]) == ("Brunch", "Canteen")


def test_split_makes_a_second_series_with_the_same_conference(
    calendar: GoogleCalendar, http: httpx.Client
) -> None:
    """This and following: the old series ends, the new one takes conference, properties and
    later exceptions along."""
    properties = {"private": {"key": "value"}}
    series = calendar.seed_event(
        ANNA, DAILY | {"conferenceData": ZOOM, "extendedProperties": properties}
    )
    late = calendar.edit(ANNA, f"{series['id']}_20300401T100000Z", {"summary": "Late"})
    token = http.get(EVENTS).json()["nextSyncToken"]
    new = calendar.split(ANNA, series["id"], "2030-03-31T12:00:00+02:00", {"summary": "Picnic"})
    assert new["id"] == f"{series['id']}_R20300331T120000"
    assert new["conferenceData"] == series["conferenceData"]
    assert new["extendedProperties"] == properties
    assert new["recurrence"] == ["RRULE:FREQ=DAILY;COUNT=3"]
    old = calendar.get(ANNA, series["id"]) or {}
    assert old["recurrence"] == ["RRULE:FREQ=DAILY;UNTIL=20300331T095959Z"]
    assert (calendar.get(ANNA, late["id"]) or {})["recurringEventId"] == new["id"]
    changed = http.get(EVENTS, params={"syncToken": token}).json()["items"]
    assert {item["id"] for item in changed} == {series["id"], new["id"], late["id"]}
    assert [calendar.count_instances(ANNA, event["id"]) for event in (old, new)] == [2, 3]


def test_occurrence_is_deleted_once_and_can_come_back(http: httpx.Client) -> None:
    """Deleting an occurrence twice is 410, and status=confirmed brings it back."""
    url = f"{EVENTS}/{http.post(EVENTS, json=DAILY).json()['id']}_20300330T110000Z"
    assert http.delete(url).status_code == 204
    assert reason(http.delete(url)) == (410, "deleted")
    assert http.patch(url, json={"status": "confirmed"}).json()["status"] == "confirmed"


def test_guests_calendars_show_a_copy(calendar: GoogleCalendar, http: httpx.Client) -> None:
    """A copy has the same id and iCalUID, and `self` marks whose it is. Private properties and
    reminders are not copied."""
    body = INVITED | {"extendedProperties": {"private": {"a": "1"}, "shared": {"b": "2"}}}
    main = http.post(EVENTS, json=body).json()
    copy = http.get(f"{BOBS}/{main['id']}").json()
    assert copy["iCalUID"] == main["iCalUID"]
    assert copy["organizer"] == {"email": ANNA}
    assert [guest.get("self") for guest in copy["attendees"]] == [True, None]
    assert copy["extendedProperties"] == {"shared": {"b": "2"}}
    http.patch(f"{EVENTS}/{main['id']}", json={"summary": "Dinner"})
    assert http.get(f"{BOBS}/{main['id']}").json()["summary"] == "Dinner"
    http.patch(f"{EVENTS}/{main['id']}", json={"attendees": [{"email": "far@example.org"}]})
    assert (calendar.get(BOB, main["id"]) or {})["status"] == "cancelled"


def test_a_guests_edit_stays_on_the_guests_copy(
    calendar: GoogleCalendar, http: httpx.Client
) -> None:
    """What a guest changes is local, except the answer, which everyone sees."""
    main = http.post(EVENTS, json=INVITED).json()
    declined = [{"email": BOB, "responseStatus": "declined"}]
    patch = {
        "summary": "Mine",
        "attendees": declined,
        "extendedProperties": {"private": {"k": "v"}},
    }
    copy = http.patch(f"{BOBS}/{main['id']}", json=patch).json()
    assert copy["summary"] == "Mine"
    after = calendar.get(ANNA, main["id"]) or {}
    assert after["summary"] == "Lunch"
    assert "extendedProperties" not in after
    assert [guest["responseStatus"] for guest in after["attendees"]] == ["declined", "needsAction"]
    http.patch(f"{EVENTS}/{main['id']}", json={"location": "Canteen"})
    kept = calendar.get(BOB, main["id"]) or {}
    assert (kept["summary"], kept["location"]) == ("Mine", "Canteen")
    assert kept["extendedProperties"] == {"private": {"k": "v"}}


def test_a_guest_may_modify_when_the_organizer_says_so(
    calendar: GoogleCalendar, http: httpx.Client
) -> None:
    """With guestsCanModify a guest's change reaches the organizer."""
    main = http.post(EVENTS, json=INVITED | {"guestsCanModify": True}).json()
    http.patch(f"{BOBS}/{main['id']}", json={"summary": "Ours"})
    assert (calendar.get(ANNA, main["id"]) or {})["summary"] == "Ours"


def test_put_on_a_copy_must_repeat_guest_permissions(http: httpx.Client) -> None:
    """A guest's PUT that leaves them out answers 403 forbiddenForNonOrganizer. PATCH need not
    repeat them."""
    url = f"{BOBS}/{http.post(EVENTS, json=INVITED).json()['id']}"
    assert reason(http.put(url, json=LUNCH)) == (403, "forbiddenForNonOrganizer")
    assert reason(http.patch(url, json={"guestsCanModify": True})) == (
        403,
        "forbiddenForNonOrganizer",
    )
    permissions = {
        "guestsCanInviteOthers": True,
        "guestsCanModify": False,
        "guestsCanSeeOtherGuests": True,
    }
    assert http.put(url, json=LUNCH | permissions).is_success


def test_deletion_reaches_down_but_not_up(calendar: GoogleCalendar, http: httpx.Client) -> None:
    """The organizer's deletion cancels the copies. A guest's removes only the copy, and
    declines."""
    kept, dropped = (http.post(EVENTS, json=INVITED).json()["id"] for _ in range(2))
    http.delete(f"{BOBS}/{kept}")
    main = calendar.get(ANNA, kept) or {}
    assert (main["status"], main["attendees"][0]["responseStatus"]) == ("confirmed", "declined")
    http.delete(f"{EVENTS}/{dropped}")
    assert (calendar.get(BOB, dropped) or {})["status"] == "cancelled"
    calendar.restore(ANNA, dropped)
    assert (calendar.get(BOB, dropped) or {})["status"] == "confirmed"
    assert (calendar.get(BOB, kept) or {})["status"] == "cancelled"


def test_occurrences_are_copied_too(calendar: GoogleCalendar, http: httpx.Client) -> None:
    """A changed or cancelled occurrence shows in the guest's calendar under the same id."""
    series = calendar.seed_event(ANNA, DAILY | {"attendees": [{"email": BOB}]})["id"]
    moved, cancelled = f"{series}_20300330T110000Z", f"{series}_20300331T100000Z"
    http.patch(f"{EVENTS}/{moved}", json={"summary": "Brunch"})
    http.delete(f"{EVENTS}/{cancelled}")
    assert (calendar.get(BOB, moved) or {})["summary"] == "Brunch"
    assert (calendar.get(BOB, cancelled) or {})["status"] == "cancelled"
    assert calendar.count_instances(BOB, series) == 4


def test_conference_in_a_body_needs_version_one(
    calendar: GoogleCalendar, http: httpx.Client
) -> None:
    """With version 0 the conference in the body is ignored and the one there stays. Null with 1
    removes it."""
    assert "conferenceData" not in http.post(EVENTS, json=LUNCH | {"conferenceData": MEET}).json()
    event = calendar.seed_event(ANNA, LUNCH | {"conferenceData": ZOOM})
    url = f"{EVENTS}/{event['id']}"
    assert event["conferenceData"]["signature"]
    assert (
        http.patch(url, json={"conferenceData": None}).json()["conferenceData"]
        == event["conferenceData"]
    )
    assert "conferenceData" in http.patch(url, json={"summary": "x"}, params=WITH_CONFERENCE).json()
    assert "conferenceData" in http.put(url, json=LUNCH).json()
    assert (
        "conferenceData"
        not in http.patch(url, json={"conferenceData": None}, params=WITH_CONFERENCE).json()
    )
    again = calendar.edit(ANNA, event["id"], {"conferenceData": ZOOM})
    assert again["conferenceData"] == event["conferenceData"]
    assert "conferenceData" not in http.put(url, json=LUNCH, params=WITH_CONFERENCE).json()
    calendar.edit(ANNA, event["id"], {"conferenceData": ZOOM})
    assert "conferenceData" not in calendar.edit(ANNA, event["id"], {"conferenceData": None})


@pytest.mark.parametrize(
    ("way", "status", "kept"), [("refuse", 400, False), ("drop", 200, False), ("accept", 200, True)]
)
def test_plain_clients_writing_an_add_ons_conference(
    calendar: GoogleCalendar, http: httpx.Client, way: Any, status: int, kept: bool
) -> None:
    """A third party's block from a plain client is refused, dropped in silence or kept, as
    chosen."""
    calendar.settings.addon_writes = way
    answer = http.post(EVENTS, json=LUNCH | {"conferenceData": ZOOM}, params=WITH_CONFERENCE)
    assert answer.status_code == status
    assert ("conferenceData" in answer.json()) == kept
    if status == 400:
        assert answer.json()["error"]["message"] == "Invalid conference data"


def test_block_without_type_is_stripped_and_an_echo_is_kept(
    calendar: GoogleCalendar, http: httpx.Client
) -> None:
    """Without key.type the data vanish with a 200. What is there already may be sent back
    unchanged."""
    untyped = {"entryPoints": ZOOM["entryPoints"], "conferenceSolution": {"name": "Zoom Meeting"}}
    answer = http.post(EVENTS, json=LUNCH | {"conferenceData": untyped}, params=WITH_CONFERENCE)
    assert answer.status_code == 200
    assert "conferenceData" not in answer.json()
    event = calendar.seed_event(ANNA, LUNCH | {"conferenceData": ZOOM})
    url = f"{EVENTS}/{event['id']}"
    echo = {"conferenceData": event["conferenceData"], "summary": "Echo"}
    assert (
        http.patch(url, json=echo, params=WITH_CONFERENCE).json()["conferenceData"]
        == event["conferenceData"]
    )
    changed = {"conferenceData": event["conferenceData"] | {"conferenceId": "999"}}
    assert reason(http.patch(url, json=changed, params=WITH_CONFERENCE)) == (400, "invalid")


@pytest.mark.parametrize("fails", [False, True])
def test_requested_conference_is_pending_first(fails: bool) -> None:
    """A createRequest is pending, then succeeds with entry points or fails without. Repeating it
    changes nothing."""
    moments = [datetime(2030, 3, 1, tzinfo=UTC)]
    with (
        GoogleCalendar(now=lambda: moments[-1]) as calendar,
        httpx.Client(
            base_url=f"http://{calendar.host}/calendar/v3", trust_env=False, verify=False
        ) as http,
    ):
        calendar.add_calendar(ANNA)
        calendar.settings.create_request_seconds, calendar.settings.create_request_fails = 10, fails
        made = http.post(
            EVENTS, json=LUNCH | {"conferenceData": MEET}, params=WITH_CONFERENCE
        ).json()
        assert made["conferenceData"]["createRequest"]["status"] == {"statusCode": "pending"}
        token = http.get(EVENTS).json()["nextSyncToken"]
        moments.append(moments[-1].replace(minute=1))
        (after,) = http.get(EVENTS, params={"syncToken": token}).json()["items"]
        status = after["conferenceData"]["createRequest"]["status"]["statusCode"]
        assert status == ("failure" if fails else "success")
        assert ("entryPoints" in after["conferenceData"]) == ("hangoutLink" in after) == (not fails)
        repeated = http.patch(
            f"{EVENTS}/{made['id']}", json={"conferenceData": MEET}, params=WITH_CONFERENCE
        )
        assert repeated.json()["conferenceData"] == after["conferenceData"]


def test_conference_types_not_allowed_are_refused(http: httpx.Client) -> None:
    """Only the calendar's allowed types can be requested, and a Meet block cannot be invented."""
    wanted = {"createRequest": {"requestId": "r", "conferenceSolutionKey": {"type": "addOn"}}}
    answer = http.post(EVENTS, json=LUNCH | {"conferenceData": wanted}, params=WITH_CONFERENCE)
    assert reason(answer) == (400, "invalid")
    assert answer.json()["error"]["message"] == "Invalid conference type value."
    meet = ZOOM | {"conferenceSolution": {"key": {"type": "hangoutsMeet"}}}
    assert (
        http.post(EVENTS, json=LUNCH | {"conferenceData": meet}, params=WITH_CONFERENCE).status_code
        == 400
    )
