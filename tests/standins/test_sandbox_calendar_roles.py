"""The Calendar stand-in's access roles, bare tombstones, and refusals on request."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from sandbox.google_calendar import GoogleCalendar
from tests.support.calendar_api import reason

ANNA, TEAM = "anna@example.com", "team@example.com"
EVENTS = f"/calendars/{ANNA}/events"
LUNCH = {
    "summary": "Lunch",
    "location": "https://meet.example.com/abc",
    "start": {"dateTime": "2030-05-02T12:00:00+02:00"},
    "end": {"dateTime": "2030-05-02T13:00:00+02:00"},
}
DAILY = LUNCH | {
    "start": {"dateTime": "2030-05-02T12:00:00", "timeZone": "Europe/Berlin"},
    "end": {"dateTime": "2030-05-02T13:00:00", "timeZone": "Europe/Berlin"},
    "recurrence": ["RRULE:FREQ=DAILY;COUNT=5"],
}
SEEN_BY_ALL = {"kind", "etag", "id", "status", "start", "end", "visibility", "iCalUID"}


@pytest.fixture
def calendar() -> Iterator[GoogleCalendar]:
    with GoogleCalendar(now=lambda: datetime(2030, 5, 1, tzinfo=UTC)) as running:
        running.add_calendar(ANNA, time_zone="Europe/Berlin")
        yield running


@pytest.mark.parametrize(
    "role", ["freeBusyReader", "reader", "writerWithoutPrivateAccess", "writer", "owner"]
)
def test_listings_tell_the_role_and_a_new_one_ends_their_tokens(
    http: httpx.Client, door: httpx.Client, role: str
) -> None:
    """Set by the back door, a role is told in every listing, and older sync tokens answer 410."""
    first = http.get(EVENTS).json()
    assert first["accessRole"] == "owner"
    answer = door.post(f"/calendars/{ANNA}/grant", json={"role": role})
    assert answer.is_success
    assert reason(http.get(EVENTS, params={"syncToken": first["nextSyncToken"]})) == (
        410,
        "fullSyncRequired",
    )
    again = http.get(EVENTS).json()
    assert again["accessRole"] == role
    assert http.get(EVENTS, params={"syncToken": again["nextSyncToken"]}).is_success
    assert http.get(f"/users/me/calendarList/{ANNA}").json()["accessRole"] == role


def test_unknown_roles_are_refused(door: httpx.Client) -> None:
    """A mistyped role answers 400, from either way to set it."""
    for path in (f"/calendars/{ANNA}/grant", "/calendars"):
        assert door.post(path, json={"id": ANNA, "role": "editor"}).status_code == 400
    assert door.post(f"/calendars/{ANNA}/grant", json={"role": "editor"}).status_code == 400


def test_free_busy_readers_see_when_and_nothing_else(
    calendar: GoogleCalendar, http: httpx.Client
) -> None:
    """Under freeBusyReader every event is a private one without a title, and series are
    expanded."""
    calendar.seed_event(ANNA, LUNCH)
    calendar.seed_event(ANNA, LUNCH | {"id": "raw00", "status": "confirmed"}, raw=True)
    series = calendar.seed_event(ANNA, DAILY)["id"]
    calendar.grant_access(ANNA, role="freeBusyReader")
    items = http.get(EVENTS).json()["items"]
    assert len(items) == 7
    for item in items:
        assert item["visibility"] == "private"
        of_a_series = {"recurringEventId", "originalStartTime"} if "_" in item["id"] else set()
        assert item.keys() - {"kind", "etag", "iCalUID"} == (
            {"id", "status", "start", "end", "visibility"} | of_a_series
        )
    told = http.get(f"{EVENTS}/{series}").json()
    assert told.keys() == SEEN_BY_ALL | {"recurrence"}
    assert http.get(EVENTS, params={"q": "Lunch"}).json()["items"] == []


@pytest.mark.parametrize("role", ["reader", "writerWithoutPrivateAccess"])
def test_private_events_are_hidden_below_writer(
    calendar: GoogleCalendar, http: httpx.Client, role: str
) -> None:
    """These roles see every event whole but the private ones, in listings and alone."""
    calendar.grant_access(ANNA, role=role)
    open_one = calendar.seed_event(ANNA, LUNCH)
    hidden = calendar.seed_event(ANNA, LUNCH | {"visibility": "private"})
    items = http.get(EVENTS).json()["items"]
    assert items[0] == open_one
    assert items[1].keys() == SEEN_BY_ALL
    assert http.get(f"{EVENTS}/{hidden['id']}").json() == items[1]
    calendar.grant_access(ANNA, role="writer")
    assert http.get(EVENTS).json()["items"] == [open_one, hidden]


def writes(http: httpx.Client, event_id: str) -> list[httpx.Response]:
    one = f"{EVENTS}/{event_id}"
    return [
        http.patch(one, json={"summary": "New"}),
        http.put(one, json=LUNCH),
        http.post(f"{one}/move", params={"destination": TEAM}),
        http.delete(one),
    ]


@pytest.mark.parametrize("role", ["freeBusyReader", "reader"])
def test_readers_cannot_write(calendar: GoogleCalendar, http: httpx.Client, role: str) -> None:
    """Every write answers 403 requiredAccessLevel under a role that only reads."""
    event = calendar.seed_event(ANNA, LUNCH)["id"]
    calendar.add_calendar(TEAM)
    calendar.grant_access(ANNA, role=role)
    answers = [*writes(http, event), http.post(EVENTS, json=LUNCH)]
    assert {reason(answer) for answer in answers} == {(403, "requiredAccessLevel")}


def test_writers_without_private_access_write_the_rest(
    calendar: GoogleCalendar, http: httpx.Client
) -> None:
    """The role writes what it sees. A private event is refused with 403."""
    calendar.add_calendar(TEAM)
    hidden = calendar.seed_event(ANNA, LUNCH | {"visibility": "private"})["id"]
    calendar.grant_access(ANNA, role="writerWithoutPrivateAccess")
    assert {reason(answer) for answer in writes(http, hidden)} == {(403, "requiredAccessLevel")}
    made = http.post(EVENTS, json=LUNCH)
    assert made.is_success
    assert http.patch(f"{EVENTS}/{made.json()['id']}", json={"summary": "New"}).is_success


def test_creator_stays_when_an_event_moves(calendar: GoogleCalendar, http: httpx.Client) -> None:
    """The creator is the calendar of the first hour, and `self` only where that calendar is."""
    calendar.add_calendar(TEAM)
    event = http.post(EVENTS, json=LUNCH).json()
    assert event["creator"] == {"email": ANNA, "self": True}
    there = calendar.move(ANNA, event["id"], TEAM)
    assert there["creator"] == {"email": ANNA}
    assert there["organizer"] == {"email": TEAM, "self": True}


def test_visibility_is_one_of_four(http: httpx.Client) -> None:
    """`default` is left out, the others are told, and anything else answers 400."""
    for value in ("public", "private", "confidential"):
        assert http.post(EVENTS, json=LUNCH | {"visibility": value}).json()["visibility"] == value
    assert "visibility" not in http.post(EVENTS, json=LUNCH | {"visibility": "default"}).json()
    assert http.post(EVENTS, json=LUNCH | {"visibility": "secret"}).status_code == 400


BARE = {"kind", "etag", "id", "status"}


@pytest.mark.parametrize("show_deleted", [{}, {"showDeleted": "true"}])
def test_deleted_occurrences_may_be_listed_bare(
    calendar: GoogleCalendar,
    http: httpx.Client,
    door: httpx.Client,
    show_deleted: dict[str, str],
) -> None:
    """The listing names neither series nor start then, and events.get of the id tells both."""
    door.patch("/settings", json={"bare_tombstones": "occurrences"}).raise_for_status()
    series = calendar.seed_event(ANNA, DAILY)["id"]
    single = calendar.seed_event(ANNA, LUNCH)["id"]
    token = http.get(EVENTS, params=show_deleted).json()["nextSyncToken"]
    occurrence = f"{series}_20300503T100000Z"
    calendar.cancel(ANNA, occurrence)
    calendar.cancel(ANNA, single)
    changed = http.get(EVENTS, params=show_deleted | {"syncToken": token}).json()["items"]
    told = {item["id"]: item for item in changed}
    assert told[occurrence].keys() == BARE
    assert ("summary" in told[single]) == bool(show_deleted)
    assert any(
        item.keys() == BARE for item in http.get(EVENTS, params=show_deleted).json()["items"]
    )
    whole = http.get(f"{EVENTS}/{occurrence}").json()
    assert (whole["status"], whole["recurringEventId"]) == ("cancelled", series)
    assert whole["originalStartTime"]["dateTime"] == "2030-05-03T12:00:00+02:00"


def test_everything_deleted_may_be_listed_bare(
    calendar: GoogleCalendar, http: httpx.Client
) -> None:
    """With `all`, single events and series are bare too, whatever showDeleted says."""
    calendar.settings.bare_tombstones = "all"
    ids = [calendar.seed_event(ANNA, body)["id"] for body in (LUNCH, DAILY)]
    for event_id in ids:
        calendar.cancel(ANNA, event_id)
    items = http.get(EVENTS, params={"showDeleted": "true"}).json()["items"]
    assert [item["id"] for item in items] == ids
    assert all(item.keys() == BARE for item in items)
    assert http.get(f"{EVENTS}/{ids[0]}").json()["summary"] == "Lunch"


def test_this_and_following_deletes_moved_occurrences_too(
    calendar: GoogleCalendar, http: httpx.Client, door: httpx.Client
) -> None:
    """The series ends before the occurrence. A moved one behind it comes as a bare id."""
    calendar.settings.bare_tombstones = "occurrences"
    series = calendar.seed_event(ANNA, DAILY)["id"]
    moved = f"{series}_20300505T100000Z"
    later = {
        name: {"dateTime": f"2030-05-20T1{hour}:00:00Z"}
        for name, hour in (("start", 2), ("end", 3))
    }
    calendar.edit(ANNA, moved, later)
    token = http.get(EVENTS, params={"showDeleted": "true"}).json()["nextSyncToken"]
    answer = door.post(
        f"/calendars/{ANNA}/events/{series}/delete_following",
        json={"original_start": "2030-05-04T12:00:00+02:00"},
    )
    assert answer.json()["recurrence"] == ["RRULE:FREQ=DAILY;UNTIL=20300504T095959Z"]
    items = http.get(EVENTS, params={"showDeleted": "true", "syncToken": token}).json()["items"]
    told = {item["id"]: item for item in items}
    assert told.keys() == {series, moved}
    assert told[moved].keys() == BARE
    whole = http.get(f"{EVENTS}/{moved}").json()
    assert (whole["recurringEventId"], whole["status"]) == (series, "cancelled")


def test_this_and_following_from_the_first_on_deletes_the_series(calendar: GoogleCalendar) -> None:
    """Nothing is left of a series that is deleted from its first occurrence on."""
    series = calendar.seed_event(ANNA, DAILY)["id"]
    gone = calendar.delete_following(ANNA, series, "2030-05-02T12:00:00+02:00")
    assert gone["status"] == "cancelled"


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        ("push.webhookUrlUnauthorized", 401),
        ("notACalendarUser", 403),
        ("insufficientPermissions", 403),
    ],
)
def test_watch_is_refused_on_request(
    http: httpx.Client, door: httpx.Client, refusal: str, status: int
) -> None:
    """Each of Google's refusals to open a channel can be armed over HTTP, until it is cleared."""
    channel = {"id": "c-1", "type": "web_hook", "address": "http://127.0.0.1:9/"}
    armed = {"reason": refusal, "path": "/watch$", "times": None}
    assert door.post("/fail", json=armed).is_success
    for _ in range(2):
        assert reason(http.post(f"{EVENTS}/watch", json=channel)) == (status, refusal)
    assert http.get(EVENTS).is_success
    door.delete("/faults")
    assert http.post(f"{EVENTS}/watch", json=channel).is_success


@pytest.mark.parametrize(("form", "is_text"), [("text", True), ("number", False)])
def test_expiration_is_a_text_or_a_number(
    http: httpx.Client, door: httpx.Client, form: str, is_text: bool
) -> None:
    """The answer of watch tells the channel's end in either form."""
    door.patch("/settings", json={"expiration_form": form})
    channel = {"id": "c-1", "type": "web_hook", "address": "http://127.0.0.1:9/"}
    expiration = http.post(f"{EVENTS}/watch", json=channel).json()["expiration"]
    assert isinstance(expiration, str) is is_text
    assert int(expiration) > datetime(2030, 5, 1, tzinfo=UTC).timestamp() * 1000


def test_listings_may_never_bring_a_token(
    calendar: GoogleCalendar, http: httpx.Client, door: httpx.Client
) -> None:
    """No last page has a nextSyncToken while the setting says so, an incremental one neither."""
    calendar.seed_event(ANNA, LUNCH)
    token = http.get(EVENTS).json()["nextSyncToken"]
    door.patch("/settings", json={"withhold_sync_tokens": True})
    for query in ({}, {"syncToken": token}):
        answer = http.get(EVENTS, params=query).json()
        assert not answer.keys() & {"nextSyncToken", "nextPageToken"}


def test_tokens_expire_so_many_times_or_always(http: httpx.Client, door: httpx.Client) -> None:
    """Armed over HTTP, listings with a token answer 410 twice, or until the fault is cleared."""
    token = {"syncToken": http.get(EVENTS).json()["nextSyncToken"]}
    fault: dict[str, Any] = {"reason": "fullSyncRequired", "query": "syncToken=", "method": "GET"}
    door.post("/fail", json=fault | {"times": 2})
    answers = [http.get(EVENTS, params=token).status_code for _ in range(3)]
    assert answers == [410, 410, 200]
    door.post("/fail", json=fault | {"times": None})
    assert {http.get(EVENTS, params=token).status_code for _ in range(4)} == {410}
    assert http.get(EVENTS).is_success
    door.delete("/faults")
    assert http.get(EVENTS, params=token).is_success


def test_a_refusal_may_last_some_seconds(http: httpx.Client, door: httpx.Client) -> None:
    """A fault with `lasts_seconds` strikes every call until the time is over."""
    door.post("/fail", json={"reason": "forbidden", "times": None, "lasts_seconds": 3600})
    assert reason(http.get(EVENTS)) == (403, "forbidden")
    assert reason(http.get(EVENTS)) == (403, "forbidden")
    door.delete("/faults")
    door.post("/fail", json={"reason": "forbidden", "times": None, "lasts_seconds": 0.2})
    give_up = time.monotonic() + 30
    while http.get(EVENTS).status_code == 403:
        assert time.monotonic() < give_up
        time.sleep(0.02)
