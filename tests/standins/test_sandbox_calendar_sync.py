"""The Calendar stand-in's incremental sync: tokens, pages, tombstones, and a client that ends
with what is there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.google_calendar import ApiError, GoogleCalendar
from tests.support.calendar_api import reason

ANNA, BOB = "anna@example.com", "bob@example.com"
EVENTS = f"/calendars/{ANNA}/events"
LUNCH = {
    "summary": "Lunch",
    "start": {"dateTime": "2030-05-02T12:00:00Z"},
    "end": {"dateTime": "2030-05-02T13:00:00Z"},
}
DAILY = LUNCH | {"recurrence": ["RRULE:FREQ=DAILY;COUNT=5"]}


class Clock:
    """A clock that stands still until it is turned."""

    def __init__(self) -> None:
        self.time = datetime(2030, 5, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def turn(self, **span: float) -> None:
        self.time += timedelta(**span)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def calendar(clock: Clock) -> Iterator[GoogleCalendar]:
    with GoogleCalendar(now=clock) as running:
        running.add_calendar(ANNA)
        yield running


def listing(
    http: httpx.Client, calendar_id: str = ANNA, **query: Any
) -> tuple[list[dict[str, Any]], str]:
    """Follow a listing to its end. Return its items and the next sync token."""
    items, token = [], None
    while True:
        params = query | ({"pageToken": token} if token else {})
        answer = (
            http.get(f"/calendars/{calendar_id}/events", params=params).raise_for_status().json()
        )
        items += answer["items"]
        token = answer.get("nextPageToken")
        assert ("nextSyncToken" in answer) == (token is None)
        if token is None:
            return items, answer["nextSyncToken"]


def test_each_changed_event_is_listed_once_in_its_newest_state(
    calendar: GoogleCalendar, http: httpx.Client
) -> None:
    """However often an event changed, a sync lists it once, as it is now."""
    one, two = (calendar.seed_event(ANNA, LUNCH)["id"] for _ in range(2))
    _, token = listing(http)
    for title in ("a", "b", "c"):
        calendar.edit(ANNA, one, {"summary": title})
    items, _ = listing(http, syncToken=token)
    assert [(item["id"], item["summary"]) for item in items] == [(one, "c")]
    assert two not in {item["id"] for item in items}


def test_a_quiet_sync_returns_nothing_and_the_same_token(http: httpx.Client) -> None:
    """Without changes the token stays the same text."""
    _, token = listing(http)
    assert listing(http, syncToken=token) == ([], token)


def test_older_tokens_still_work(calendar: GoogleCalendar, http: httpx.Client) -> None:
    """After a crash a client may sync again from the token before."""
    _, old = listing(http)
    event = calendar.seed_event(ANNA, LUNCH)
    first, new = listing(http, syncToken=old)
    assert new != old
    assert listing(http, syncToken=old) == (first, new)
    assert first == [event]


def test_tokens_must_be_encoded(calendar: GoogleCalendar, http: httpx.Client) -> None:
    """Every token holds `=`, as Google's do."""
    calendar.settings.page_sizes = [1]
    for _ in range(2):
        calendar.seed_event(ANNA, LUNCH)
    page = http.get(EVENTS).json()["nextPageToken"]
    _, token = listing(http)
    assert "=" in page
    assert "=" in token
    assert quote(token) != token


@pytest.mark.parametrize(
    "query",
    [
        {"timeMin": "2030-01-01T00:00:00Z"},
        {"timeMax": "2030-01-01T00:00:00Z"},
        {"updatedMin": "2030-01-01T00:00:00Z"},
        {"q": "x"},
        {"orderBy": "updated"},
        {"iCalUID": "x"},
        {"privateExtendedProperty": "a=b"},
        {"sharedExtendedProperty": "a=b"},
        {"showDeleted": "false"},
    ],
)
def test_filters_are_refused_beside_a_sync_token(http: httpx.Client, query: dict[str, str]) -> None:
    """Each forbidden parameter answers 400 syncTokenWithRequestRestrictions."""
    _, token = listing(http)
    answer = http.get(EVENTS, params={"syncToken": token} | query)
    assert reason(answer) == (400, "syncTokenWithRequestRestrictions")


@pytest.mark.parametrize(
    "change", [{"singleEvents": "true"}, {"maxResults": "7"}, {"eventTypes": "default"}]
)
def test_changed_parameters_are_refused_while_strict(
    calendar: GoogleCalendar, http: httpx.Client, change: dict[str, str]
) -> None:
    """A sync must repeat the parameters of the listing it goes on from, unless the sandbox is
    told to be lenient."""
    _, token = listing(http)
    answer = http.get(EVENTS, params={"syncToken": token} | change)
    assert answer.status_code == 400
    assert next(iter(change)) in answer.json()["error"]["message"]
    calendar.settings.strict = False
    assert http.get(EVENTS, params={"syncToken": token} | change).is_success


def test_first_listing_may_be_bounded_in_time(calendar: GoogleCalendar, http: httpx.Client) -> None:
    """timeMin and timeMax on the first request do not keep a token away. Both bounds are
    exclusive."""
    inside = calendar.seed_event(ANNA, LUNCH)
    calendar.seed_event(
        ANNA, LUNCH | {"start": {"dateTime": "2030-05-02T10:00:00Z"}, "end": inside["start"]}
    )
    query = {"timeMin": "2030-05-02T12:00:00Z", "timeMax": "2030-05-02T13:00:00Z"}
    items, token = listing(http, **query)
    assert items == [inside]
    assert listing(http, syncToken=token)[0] == []
    assert "nextSyncToken" not in http.get(EVENTS, params={"q": "Lunch"}).json()


def test_pages_may_be_short_and_empty(calendar: GoogleCalendar, http: httpx.Client) -> None:
    """Only a missing nextPageToken ends a listing."""
    made = [calendar.seed_event(ANNA, LUNCH)["id"] for _ in range(5)]
    calendar.settings.page_sizes = [2, 0, 1]
    calendar.settings.empty_last_page = True
    calendar.requests.clear()
    items, _ = listing(http)
    assert [item["id"] for item in items] == made
    assert len(calendar.requests) == 5


def test_page_tokens_belong_to_their_query(calendar: GoogleCalendar, http: httpx.Client) -> None:
    """A page token with another query or sync token, or one that expired, answers 400."""
    _, sync_token = listing(http)
    for _ in range(3):
        calendar.seed_event(ANNA, LUNCH)
    calendar.settings.page_sizes = [1]
    page = http.get(EVENTS, params={"syncToken": sync_token}).json()["nextPageToken"]
    assert reason(http.get(EVENTS, params={"pageToken": page})) == (400, "invalid")
    assert http.get(EVENTS, params={"pageToken": page, "syncToken": sync_token}).is_success
    calendar.expire_page_tokens(ANNA)
    assert reason(http.get(EVENTS, params={"pageToken": page, "syncToken": sync_token})) == (
        400,
        "invalid",
    )


def test_sync_tokens_die_on_demand_on_any_page_with_access_and_with_age(
    calendar: GoogleCalendar, http: httpx.Client, clock: Clock
) -> None:
    """A dead token answers 410 fullSyncRequired and names the parameter."""
    _, token = listing(http)
    for _ in range(2):
        calendar.seed_event(ANNA, LUNCH)
    calendar.settings.page_sizes = [1]
    page = http.get(EVENTS, params={"syncToken": token}).json()["nextPageToken"]
    calendar.expire_sync_tokens()
    gone = http.get(EVENTS, params={"syncToken": token, "pageToken": page})
    assert reason(gone) == (410, "fullSyncRequired")
    assert gone.json()["error"]["errors"][0]["location"] == "syncToken"
    _, token = listing(http)
    calendar.withdraw_access(ANNA)
    calendar.grant_access(ANNA)
    assert reason(http.get(EVENTS, params={"syncToken": token})) == (410, "fullSyncRequired")
    _, token = listing(http)
    calendar.settings.sync_token_seconds = 3600
    clock.turn(hours=1)
    assert http.get(EVENTS, params={"syncToken": token}).is_success
    clock.turn(hours=1, seconds=1)
    assert reason(http.get(EVENTS, params={"syncToken": token})) == (410, "fullSyncRequired")


@pytest.mark.parametrize(
    ("style", "members"),
    [("id_only", {"id", "status"}), ("minimal", {"kind", "etag", "id", "status"}), ("full", None)],
)
def test_deleted_events_come_back_as_tombstones(
    calendar: GoogleCalendar, http: httpx.Client, style: Any, members: set[str] | None
) -> None:
    """Incremental syncs show deleted events with as little as the setting says. Full listings
    leave them out."""
    calendar.settings.tombstones = style
    event = calendar.seed_event(ANNA, LUNCH)
    _, token = listing(http)
    calendar.cancel(ANNA, event["id"])
    ((item,), _) = listing(http, syncToken=token)
    assert item["id"] == event["id"]
    assert item["status"] == "cancelled"
    assert item.keys() == members or (members is None and item["summary"] == "Lunch")
    assert listing(http)[0] == []


def test_show_deleted_tells_deleted_events_whole(
    calendar: GoogleCalendar, http: httpx.Client
) -> None:
    """With showDeleted=true in both requests, tombstones keep their details."""
    event = calendar.seed_event(ANNA, LUNCH)
    _, token = listing(http, showDeleted="true")
    calendar.cancel(ANNA, event["id"])
    ((item,), _) = listing(http, syncToken=token, showDeleted="true")
    assert (item["status"], item["summary"]) == ("cancelled", "Lunch")
    assert listing(http, showDeleted="true")[0] == [item]


def test_tombstones_vanish_in_the_end(
    calendar: GoogleCalendar, http: httpx.Client, clock: Clock
) -> None:
    """A deleted event is forgotten after the time chosen, and its id stays taken."""
    calendar.settings.tombstone_seconds = 60
    event = calendar.seed_event(ANNA, LUNCH | {"id": "abcde"})
    _, token = listing(http)
    calendar.cancel(ANNA, event["id"])
    clock.turn(seconds=61)
    assert listing(http, syncToken=token)[0] == []
    assert http.get(f"{EVENTS}/abcde").status_code == 404
    assert http.post(EVENTS, json=LUNCH | {"id": "abcde"}).status_code == 409


def test_restored_events_come_back_with_everything(
    calendar: GoogleCalendar, http: httpx.Client
) -> None:
    """What is taken out of the bin is listed again, whole."""
    event = calendar.seed_event(ANNA, LUNCH | {"location": "Canteen"})
    calendar.cancel(ANNA, event["id"])
    _, token = listing(http)
    calendar.restore(ANNA, event["id"])
    ((item,), _) = listing(http, syncToken=token)
    assert (item["status"], item["location"]) == ("confirmed", "Canteen")


def test_cancelled_occurrence_is_listed_with_its_series(
    calendar: GoogleCalendar, http: httpx.Client
) -> None:
    """A cancelled occurrence names series and original start and nothing more, in full listings
    too."""
    series = calendar.seed_event(ANNA, DAILY)
    _, token = listing(http)
    calendar.cancel(ANNA, f"{series['id']}_20300503T120000Z")
    ((item,), _) = listing(http, syncToken=token)
    assert item.keys() == {"kind", "etag", "id", "status", "recurringEventId", "originalStartTime"}
    assert item["recurringEventId"] == series["id"]
    assert item["originalStartTime"]["dateTime"] == "2030-05-03T12:00:00Z"
    assert item in listing(http)[0]
    assert len(listing(http, singleEvents="true")[0]) == 4
    assert len(listing(http, singleEvents="true", showDeleted="true")[0]) == 5


@pytest.mark.parametrize("beside", [True, False])
def test_deleted_series_may_bring_its_exceptions_along(
    calendar: GoogleCalendar, http: httpx.Client, beside: bool
) -> None:
    """The exceptions of a deleted series are listed as cancelled beside it, or not at all."""
    calendar.settings.children_beside_deleted_series = beside
    series = calendar.seed_event(ANNA, DAILY)
    calendar.cancel(ANNA, f"{series['id']}_20300503T120000Z")
    calendar.edit(ANNA, f"{series['id']}_20300504T120000Z", {"summary": "Late lunch"})
    _, token = listing(http)
    calendar.cancel(ANNA, series["id"])
    items, _ = listing(http, syncToken=token)
    assert {item["status"] for item in items} == {"cancelled"}
    assert len(items) == (3 if beside else 1)
    calendar.restore(ANNA, series["id"])
    assert sorted(item["status"] for item in listing(http)[0]) == [
        "cancelled",
        "confirmed",
        "confirmed",
    ]


def test_event_types_narrow_listing_and_sync(calendar: GoogleCalendar, http: httpx.Client) -> None:
    """eventTypes may be repeated and holds for the syncs that follow."""
    calendar.seed_event(ANNA, LUNCH | {"eventType": "focusTime"})
    items, token = listing(http, eventTypes=["default", "fromGmail"])
    assert items == []
    calendar.seed_event(ANNA, LUNCH | {"eventType": "outOfOffice"})
    event = calendar.seed_event(ANNA, LUNCH)
    assert listing(http, eventTypes=["fromGmail", "default"], syncToken=token)[0] == [event]


def test_a_change_during_paging_is_not_lost(calendar: GoogleCalendar, http: httpx.Client) -> None:
    """What changes between two pages of a sync is listed by the next sync."""
    _, token = listing(http)
    made = [calendar.seed_event(ANNA, LUNCH)["id"] for _ in range(3)]
    calendar.settings.page_sizes = [1]
    first = http.get(EVENTS, params={"syncToken": token}).json()
    calendar.edit(ANNA, made[2], {"summary": "Changed"})
    items, next_token = listing(http, syncToken=token, pageToken=first["nextPageToken"])
    assert [item["id"] for item in items] == [made[1]]
    assert [item["summary"] for item in listing(http, syncToken=next_token)[0]] == ["Changed"]


def test_large_calendars_list_in_linear_time(calendar: GoogleCalendar, http: httpx.Client) -> None:
    """A page costs what it holds: the last page of many events is as fast as the first."""
    calendar.settings.strict = False
    calendar.seed_many(ANNA, (LUNCH | {"summary": str(number)} for number in range(5_000)))
    items, token = listing(
        http, maxResults=1000, fields="nextPageToken,nextSyncToken,items(id,summary)"
    )
    assert [item["summary"] for item in items] == [str(number) for number in range(5_000)]
    assert listing(http, syncToken=token)[0] == []


class Mirror:
    """A client that keeps a copy of a calendar by following its sync tokens."""

    def __init__(self, http: httpx.Client, calendar_id: str) -> None:
        self.http = http
        self.calendar_id = calendar_id
        self.events: dict[str, dict[str, Any]] = {}
        self.token: str | None = None

    def sync(self) -> None:
        query = {"syncToken": self.token} if self.token else {}
        items, self.token = listing(self.http, self.calendar_id, **query)
        seen = [item["id"] for item in items]
        assert len(seen) == len(set(seen))
        for item in items:
            self.events[item["id"]] = item


EDITS = st.lists(
    st.one_of(
        st.sampled_from(["insert", "insert series", "sync"]),
        st.tuples(
            st.sampled_from(["edit", "decline", "cancel", "restore", "split"]), st.integers(0, 5)
        ),
        st.tuples(st.sampled_from(["edit occurrence", "cancel occurrence"]), st.integers(0, 5)),
    ),
    max_size=20,
)


def carry_out(calendar: GoogleCalendar, kind: str, event_id: str, number: int) -> None:
    """Do one thing to one event. What makes no sense in its present state is refused and changes
    nothing."""
    occurrence = f"{event_id}_2030050{2 + number % 4}T120000Z"
    with contextlib.suppress(ApiError):
        match kind:
            case "edit":
                calendar.edit(ANNA, event_id, {"summary": f"Title {number}"})
            case "decline":
                calendar.edit(
                    BOB, event_id, {"attendees": [{"email": BOB, "responseStatus": "declined"}]}
                )
            case "cancel":
                calendar.cancel(ANNA, event_id)
            case "restore":
                calendar.restore(ANNA, event_id)
            case "split":
                calendar.split(ANNA, event_id, "2030-05-04T12:00:00Z", {"summary": "Split"})
            case "edit occurrence":
                calendar.edit(ANNA, occurrence, {"location": f"Room {number}"})
            case "cancel occurrence":
                calendar.cancel(ANNA, occurrence)


@pytest.mark.slow
@settings(
    max_examples=35,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(edits=EDITS, sizes=st.lists(st.integers(0, 4), min_size=1, max_size=4), guests=st.booleans())
def test_following_sync_tokens_ends_with_the_calendars_contents(
    calendar: GoogleCalendar, http: httpx.Client, edits: list[Any], sizes: list[int], guests: bool
) -> None:
    """Whatever people do, and however pages are cut, a client that follows the tokens knows what
    is there."""
    for calendar_id in (ANNA, BOB):
        calendar.remove_calendar(calendar_id)
        calendar.add_calendar(calendar_id)
    calendar.settings.page_sizes = sizes
    mirrors, made = [Mirror(http, ANNA), Mirror(http, BOB)], []
    invited = {"attendees": [{"email": BOB}]} if guests else {}
    for edit in [*edits, "sync"]:
        match edit:
            case "sync":
                for mirror in mirrors:
                    mirror.sync()
            case "insert" | "insert series":
                made.append(
                    calendar.seed_event(ANNA, (LUNCH if edit == "insert" else DAILY) | invited)[
                        "id"
                    ]
                )
            case (kind, number) if made:
                carry_out(calendar, kind, made[number % len(made)], number)
    for mirror in mirrors:
        here = {event["id"]: event for event in calendar.events(mirror.calendar_id)}
        living = {key: event for key, event in here.items() if event["status"] != "cancelled"}
        assert {
            key: event for key, event in mirror.events.items() if event["status"] != "cancelled"
        } == living
        assert {
            key for key, event in mirror.events.items() if event["status"] == "cancelled"
        } <= here.keys() - living
        assert listing(http, mirror.calendar_id, syncToken=mirror.token) == ([], mirror.token)
    if guests:
        main, copies = (
            {e["id"]: e for e in calendar.events(name) if e["status"] != "cancelled"}
            for name in (ANNA, BOB)
        )
        assert {key: event["summary"] for key, event in main.items()} == {
            k: e["summary"] for k, e in copies.items()
        }
