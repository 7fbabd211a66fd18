"""Our Calendar client against the stand-in: listings, conditional writes, channels, errors."""

from __future__ import annotations

import http.client
import itertools
import json
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.google_calendar import GoogleCalendar
from sandbox.google_calendar.errors import classic_body, gateway_body
from sandbox.google_calendar.records import RequestRecord
from sandbox.servers import free_port
from sync.context import Page
from sync.errors import (
    Conflict,
    Gone,
    Invalid,
    NotAllowed,
    NotWatchable,
    SyncError,
    SyncTokenExpired,
    TryLater,
)
from sync.google.calendar import LISTING_VERSION, Calendar
from sync.google.calendar_errors import classify
from sync.google.connections import FRESH_SECONDS, IDLE_SECONDS, Connections
from sync.model.calendar import Access, Channel, ChannelRequest
from sync.model.event import (
    CalendarId,
    ChannelToken,
    Entry,
    Etag,
    Event,
    EventId,
    PageToken,
    SyncToken,
)

Json = dict[str, Any]

NOW = datetime.now(UTC).replace(microsecond=0)
NOBODY = Access()
START = (NOW + timedelta(days=1)).replace(minute=0, second=0)

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[GoogleCalendar]:
    with GoogleCalendar() as server:
        yield server


@pytest.fixture
def stand_in(server: GoogleCalendar) -> Iterator[GoogleCalendar]:
    """The stand-in with nothing armed; each test has a calendar of its own."""
    before = server.settings.to_json()
    server.faults.clear()
    server.requests.clear()
    yield server
    server.faults.clear()
    server.settings.update(before)


@pytest.fixture
def anna(stand_in: GoogleCalendar) -> CalendarId:
    calendar_id = CalendarId(f"anna+{next(_numbers)}#x@example.com")
    stand_in.add_calendar(calendar_id, time_zone="Europe/Berlin")
    return calendar_id


@pytest.fixture
def calendar(stand_in: GoogleCalendar) -> Iterator[Calendar]:
    calendar = Calendar(None, emulator=stand_in.host)
    yield calendar
    calendar.close()


def body(**fields: Any) -> Json:
    return {
        "summary": "Planning",
        "start": {"dateTime": START.isoformat()},
        "end": {"dateTime": (START + timedelta(hours=1)).isoformat()},
        **fields,
    }


def found(entry: Entry) -> Event:
    """The event of an entry that is one."""
    assert entry.event is not None, entry.malformed
    return entry.event


def raw(stand_in: GoogleCalendar, calendar_id: str, event_id: str) -> Json:
    """An event as the stand-in has it."""
    whole = stand_in.get(calendar_id, event_id)
    assert whole is not None
    return whole


def seed(stand_in: GoogleCalendar, calendar_id: str, **fields: Any) -> EventId:
    return EventId(stand_in.seed_event(calendar_id, body(**fields))["id"])


def pages(
    calendar: Calendar,
    calendar_id: CalendarId,
    sync_token: SyncToken | None = None,
    time_min: datetime | None = None,
) -> list[Page]:
    read: list[Page] = []
    token: PageToken | None = None
    while True:
        page = calendar.bind(calendar_id, NOBODY).list_changes(
            sync_token=sync_token, time_min=time_min, page_token=token
        )
        read.append(page)
        token = page.next_page_token
        if token is None:
            return read


def synced(calendar: Calendar, calendar_id: CalendarId) -> SyncToken:
    token = pages(calendar, calendar_id)[-1].next_sync_token
    assert token is not None
    return token


def of(stand_in: GoogleCalendar, calendar_id: str) -> list[RequestRecord]:
    return [request for request in stand_in.requests if calendar_id in request.path]


# Listings.


def test_s2_every_listing_has_the_same_parameters(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """Full or incremental, first page or later: nothing differs but the tokens and where a full
    listing begins."""
    stand_in.settings.page_sizes = [1]
    for _ in range(3):
        seed(stand_in, anna)
    token = pages(calendar, anna, time_min=NOW)[-1].next_sync_token
    for _ in range(2):
        seed(stand_in, anna)
    pages(calendar, anna, token)
    queries = [request.query for request in of(stand_in, anna)]
    assert len(queries) == 5
    own = {"syncToken", "timeMin", "pageToken"}
    shapes = [{name: text for name, text in query.items() if name not in own} for query in queries]
    assert all(shape == shapes[0] for shape in shapes)
    assert (
        shapes[0]["singleEvents"],
        shapes[0].get("showDeleted"),
        shapes[0].get("eventTypes"),
    ) == (
        "false",
        None,
        None,
    )
    assert [own & query.keys() for query in queries] == [
        {"timeMin"},
        {"timeMin", "pageToken"},
        {"timeMin", "pageToken"},
        {"syncToken"},
        {"syncToken", "pageToken"},
    ]
    assert {query["timeMin"] for query in queries[:3]} == {NOW.strftime("%Y-%m-%dT%H:%M:%SZ")}
    assert {query["syncToken"] for query in queries[3:]} == {token}


def test_s2_a_listing_holds_all_that_is_parsed_of_an_event(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """`fields` asks for every member that an event is read from, and for no more."""
    series = seed(
        stand_in,
        anna,
        description="Bring cake",
        location="Room 5",
        recurrence=["RRULE:FREQ=DAILY"],
        attendees=[{"email": "ben@example.com", "responseStatus": "accepted"}],
        extendedProperties={"private": {"a": "b"}, "shared": {"c": "d"}},
        conferenceData={
            "conferenceId": "c-1",
            "conferenceSolution": {"key": {"type": "addOn"}, "name": "My Web Conference"},
            "entryPoints": [
                {"entryPointType": "video", "uri": "https://meet.example.com/c-1", "passcode": "1"}
            ],
            "notes": "n",
        },
        colorId="7",
    )
    stand_in.edit(
        anna, f"{series}_{START + timedelta(days=1):%Y%m%dT%H%M%SZ}", {"summary": "Another"}
    )
    (page,) = pages(calendar, anna)
    whole = stand_in.get(anna, series)
    assert whole is not None
    series_entry, exception = page.entries
    parsed = found(series_entry)
    assert Event.from_api(whole | {"organizer": {"email": anna, "self": True}}) == parsed
    assert (parsed.title, parsed.decides, parsed.private, parsed.attendees) == (
        "Planning",
        True,
        {"a": "b"},
        ("ben@example.com",),
    )
    fields = of(stand_in, anna)[0].query["fields"]
    assert "colorId" not in fields
    assert "attendees/email," in fields
    other = found(exception)
    assert (other.series_id, other.original_start is not None, other.title) == (
        series,
        True,
        "Another",
    )
    assert page.time_zone == "Europe/Berlin"


def test_s2_a_sync_token_lists_what_changed_and_deletions(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """New, edited and deleted events, and nothing else; the next token lists nothing."""
    quiet, edited, deleted = (seed(stand_in, anna) for _ in range(3))
    token = synced(calendar, anna)
    stand_in.edit(anna, edited, {"summary": "Another"})
    stand_in.cancel(anna, deleted)
    new = seed(stand_in, anna)
    (page,) = pages(calendar, anna, token)
    assert {(entry.id, found(entry).cancelled) for entry in page.entries} == {
        (edited, False),
        (deleted, True),
        (new, False),
    }
    assert quiet not in {entry.id for entry in page.entries}
    (nothing,) = pages(calendar, anna, page.next_sync_token)
    assert nothing.entries == []
    assert nothing.next_sync_token is not None


@pytest.mark.parametrize("sizes", [[1], [2, 0, 1], [250]])
def test_s2_only_the_last_page_has_a_sync_token_and_any_may_be_empty(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId, sizes: list[int]
) -> None:
    """Pages of any size are walked to the end."""
    stand_in.settings.page_sizes = sizes
    stand_in.settings.empty_last_page = True
    ids = [seed(stand_in, anna) for _ in range(5)]
    read = pages(calendar, anna)
    assert [entry.id for page in read for entry in page.entries] == ids
    assert [page.next_sync_token is not None for page in read] == [False] * (len(read) - 1) + [True]


def test_s2_a_full_listing_leaves_out_what_ended_before(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """`time_min` bounds a full listing, in UTC, whatever zone it was given in."""
    past = {"dateTime": (NOW - timedelta(days=3)).isoformat()}
    seed(stand_in, anna, start=past, end=past)
    coming = seed(stand_in, anna)
    (page,) = pages(
        calendar, anna, time_min=(NOW - timedelta(days=1)).astimezone(ZoneInfo("Asia/Tokyo"))
    )
    assert [entry.id for entry in page.entries] == [coming]


def test_s3_an_expired_token_says_so_on_whichever_page(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """410 is no ordinary error: the engine lists everything."""
    stand_in.settings.page_sizes = [1]
    token = synced(calendar, anna)
    for _ in range(3):
        seed(stand_in, anna)
    page = calendar.bind(anna, NOBODY).list_changes(
        sync_token=token, time_min=None, page_token=None
    )
    stand_in.expire_sync_tokens(anna)
    for page_token in (None, page.next_page_token):
        with pytest.raises(SyncTokenExpired):
            calendar.bind(anna, NOBODY).list_changes(
                sync_token=token, time_min=None, page_token=page_token
            )


def test_s3_an_expired_page_token_is_invalid(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """The listing has to begin again; nothing was wrong with the sync token."""
    stand_in.settings.page_sizes = [1]
    for _ in range(3):
        seed(stand_in, anna)
    page = calendar.bind(anna, NOBODY).list_changes(sync_token=None, time_min=None, page_token=None)
    stand_in.expire_page_tokens(anna)
    with pytest.raises(Invalid):
        calendar.bind(anna, NOBODY).list_changes(
            sync_token=None, time_min=None, page_token=page.next_page_token
        )


def test_s2_the_listing_s_version_stands_for_its_parameters() -> None:
    """Stored with every token: whoever changes the listing changes it, and a token made by
    another is not used."""
    assert len(LISTING_VERSION) == 8
    assert set(LISTING_VERSION) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    "page",
    [
        pytest.param({"items": 5, "nextSyncToken": "t"}, id="S6-items-are-no-list"),
        pytest.param({"items": {}, "nextSyncToken": "t"}, id="S6-items-are-an-object"),
        pytest.param({"items": [], "nextSyncToken": 5}, id="S6-sync-token-is-a-number"),
        pytest.param({"items": [], "nextPageToken": ["p"]}, id="S6-page-token-is-a-list"),
        pytest.param({"items": [], "nextSyncToken": "\ud83d"}, id="S6-half-a-character"),
        pytest.param({"items": [], "nextPageToken": "p" * 60_000}, id="S6-endless-token"),
    ],
)
def test_s6_a_page_that_says_nothing_certain_is_no_end_of_the_listing(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId, page: Json
) -> None:
    """A page that cannot be read is asked for again, and what it lists is not lost."""
    event = seed(stand_in, anna)
    stand_in.faults.add(status=200, body=page, times=1)
    assert [entry.id for each in pages(calendar, anna) for entry in each.entries] == [event]


def test_s2_a_sync_token_beside_a_next_page_is_not_the_end(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """Every page is listed, and the token of the last one counts."""
    body = {"items": [], "nextPageToken": "p", "nextSyncToken": "too early"}
    stand_in.faults.add(status=200, body=body)
    page = calendar.bind(anna, NOBODY).list_changes(sync_token=None, time_min=None, page_token=None)
    assert (page.next_page_token, page.next_sync_token) == ("p", None)


def test_s6_a_page_that_stays_unreadable_is_tried_later(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """No sync token of it is kept, and the reason can be shown."""
    stand_in.faults.add(status=200, body={"items": 5, "nextSyncToken": "t"}, times=None)
    with pytest.raises(TryLater, match="items are no list"):
        pages(calendar, anna)


def test_s6_a_page_of_nonsense_has_an_entry_for_each_item(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """What is no event is an entry that says so; its neighbours, and the token, are as ever."""
    items = [5, None, {}, {"id": 7}, {"id": "e1", "status": "cancelled"}]
    answer = {"items": items, "timeZone": 5, "accessRole": [], "nextSyncToken": "next"}
    stand_in.faults.add(status=200, body=answer)
    (page,) = pages(calendar, anna)
    assert [entry.event is not None for entry in page.entries] == [False] * 4 + [True]
    assert page.entries[-1].id == "e1"
    assert (page.time_zone, page.access_role, page.next_sync_token) == (None, None, "next")


def test_s6_an_answer_without_items_is_an_empty_page(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """Google leaves out what is empty."""
    stand_in.faults.add(status=200, body={"nextSyncToken": "next"})
    (page,) = pages(calendar, anna)
    assert (page.entries, page.next_sync_token) == ([], "next")


def test_e6_a_page_tells_what_the_calendar_s_sharing_lets_us_do(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """The role comes with every listing, whether anything changed or not."""
    for role in ("owner", "reader"):
        stand_in.grant_access(anna, role=role)
        (page,) = pages(calendar, anna)
        assert page.access_role == role


def test_a1_the_role_is_asked_for_without_a_listing(
    stand_in: GoogleCalendar, calendar: Calendar, anna: CalendarId
) -> None:
    """One small call, however many events there are; a calendar that is not there is Gone."""
    stand_in.grant_access(anna, role="writer")
    assert calendar.bind(anna, Access()).access_role() == "writer"
    [request] = of(stand_in, anna)
    assert (request.query["maxResults"], request.query["fields"]) == ("1", "accessRole")
    with pytest.raises(Gone):
        calendar.bind(CalendarId("nobody@example.com"), Access()).access_role()


@pytest.mark.parametrize(
    ("listed", "bound", "hour"),
    [("Asia/Tokyo", "Europe/Berlin", 0), (None, "Asia/Tokyo", 0), (None, None, 9)],
    ids=["E8-of-the-page", "E8-as-remembered", "E8-none"],
)
def test_e8_a_time_without_a_zone_is_in_the_calendar_s(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId,
    listed: str | None, bound: str | None, hour: int,
) -> None:  # fmt: skip
    """The page's own zone counts, else the one remembered of the calendar, else UTC."""
    item = {"id": "e1", "organizer": {"self": True}, "start": {"dateTime": "2027-01-01T09:00:00"}}
    answer = {"items": [item], "nextSyncToken": "next"} | ({"timeZone": listed} if listed else {})
    stand_in.faults.add(status=200, body=answer)
    (entry,) = (
        calendar.bind(anna, NOBODY, bound)
        .list_changes(sync_token=None, time_min=None, page_token=None)
        .entries
    )
    start = found(entry).start
    assert start is not None
    assert start.utc() == f"2027-01-01T{hour:02}:00:00Z"


def test_e5_a_listing_of_exceptions_that_never_ends_is_given_up(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """The same page token for ever: one event fails, and no run hangs."""
    stand_in.faults.add(status=200, body={"items": [], "nextPageToken": "again"}, times=None)
    with pytest.raises(Invalid, match="too many changed occurrences"):
        list(calendar.bind(anna, NOBODY).list_exceptions(EventId("s"), "s@google.com"))


# Single events.


def test_an_event_is_read_also_when_it_is_deleted(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """A deleted event comes with what is left; one that never was is Gone."""
    event = seed(stand_in, anna)
    assert (
        calendar.bind(anna, NOBODY).get_event(event).version == raw(stand_in, anna, event)["etag"]
    )
    stand_in.cancel(anna, event)
    assert found(calendar.bind(anna, NOBODY).get_event(event)).cancelled
    with pytest.raises(Gone):
        calendar.bind(anna, NOBODY).get_event(EventId("neverthere"))
    assert all("fields" in request.query for request in of(stand_in, anna))


def test_e5_the_exceptions_of_a_series_are_listed_cancelled_ones_too(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """Every occurrence that differs, of this series alone, page by page, without a sync token
    ever being asked for."""
    stand_in.settings.page_sizes = [1, 0]
    stand_in.settings.filters_suppress_sync_token = True
    series = seed(stand_in, anna, recurrence=["RRULE:FREQ=DAILY"])
    seed(stand_in, anna, recurrence=["RRULE:FREQ=DAILY"])
    stamps = [f"{series}_{START + timedelta(days=day):%Y%m%dT%H%M%SZ}" for day in (1, 2, 3)]
    stand_in.edit(anna, stamps[0], {"summary": "Another"})
    stand_in.cancel(anna, stamps[1])
    seed(stand_in, anna, iCalUID=f"{series}@google.com")
    entries = list(calendar.bind(anna, NOBODY).list_exceptions(series, f"{series}@google.com"))
    assert {(entry.id, found(entry).cancelled) for entry in entries} == {
        (stamps[0], False),
        (stamps[1], True),
    }
    assert all(found(entry).original_start for entry in entries)
    # Asked for by name: the documentation promises cancelled occurrences without it, but in one
    # sentence only.
    assert {request.query["showDeleted"] for request in of(stand_in, anna)} == {"true"}


def test_w1_a_patch_changes_the_fields_given_and_nothing_else(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """With the etag it was decided from, conference data allowed, nobody mailed; the new state
    comes back."""
    event = seed(stand_in, anna, description="Bring cake")
    before = raw(stand_in, anna, event)
    after = calendar.bind(anna, NOBODY).patch_event(
        event, {"location": "Room 5"}, Etag(before["etag"])
    )
    (request,) = (request for request in of(stand_in, anna) if request.method == "PATCH")
    assert request.headers["If-Match"] == before["etag"]
    assert request.headers["If-Match"].startswith('"')
    assert request.body == {"location": "Room 5"}
    assert (request.query["conferenceDataVersion"], request.query["sendUpdates"]) == ("1", "none")
    assert (found(after).location, found(after).description) == ("Room 5", "Bring cake")
    assert after.version == raw(stand_in, anna, event)["etag"] != before["etag"]


def test_w1_a_user_s_edit_always_wins(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """412 is Conflict, and nothing was written."""
    event = seed(stand_in, anna)
    before = raw(stand_in, anna, event)
    stand_in.edit(anna, event, {"location": "Theirs"})
    with pytest.raises(Conflict):
        calendar.bind(anna, NOBODY).patch_event(event, {"location": "Ours"}, Etag(before["etag"]))
    assert raw(stand_in, anna, event)["location"] == "Theirs"


def test_w1_a_write_is_never_repeated_by_the_client(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """A lost answer is told to whoever decides; a blind repetition would meet its own etag."""
    event = seed(stand_in, anna)
    before = raw(stand_in, anna, event)
    stand_in.fail_next("backendError", method="PATCH", after=True)
    with pytest.raises(TryLater):
        calendar.bind(anna, NOBODY).patch_event(event, {"location": "Room 5"}, Etag(before["etag"]))
    assert [request.method for request in of(stand_in, anna)] == ["PATCH"]


def test_w4_conference_data_of_an_add_on_is_refused_as_invalid(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """400 "Invalid conference data" cannot be helped by trying again."""
    event = seed(stand_in, anna)
    before = raw(stand_in, anna, event)
    shown = {
        "conferenceSolution": {"key": {"type": "addOn"}, "name": "My Web Conference"},
        "entryPoints": [{"entryPointType": "video", "uri": "https://meet.example.com/c-1"}],
    }
    with pytest.raises(Invalid, match="400 invalid"):
        calendar.bind(anna, NOBODY).patch_event(
            event, {"conferenceData": shown}, Etag(before["etag"])
        )


# Channels.


def open_channel(
    calendar: Calendar, calendar_id: CalendarId, access: Access = NOBODY, **changes: Any
) -> Channel:
    wanted = ChannelRequest(
        id=f"channel-{next(_numbers)}",
        address="http://127.0.0.1:9/",
        token=ChannelToken("signed"),
        ttl=timedelta(hours=1),
    )
    return calendar.watch(calendar_id, access, replace(wanted, **changes))


def test_h1_a_channel_is_opened_and_closed(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """What was asked for is what Calendar opens; what it answers is what is remembered; closing
    twice is harmless."""
    channel = open_channel(calendar, anna, id="channel-one", token=ChannelToken("signed.anna"))
    (opened,) = stand_in.channels(anna)
    assert (opened["id"], opened["token"]) == ("channel-one", "signed.anna")
    assert channel.id == "channel-one"
    assert channel.resource_id == opened["resourceId"]
    assert channel.expires is not None
    assert abs(channel.expires - datetime.now(UTC) - timedelta(hours=1)) < timedelta(seconds=10)
    calendar.stop_channel(channel)
    assert stand_in.channels(anna) == []
    calendar.stop_channel(channel)
    calendar.stop_channel(Channel(id="never-opened", resource_id="r"), NOBODY)


def test_h2_only_the_answer_s_expiry_counts(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """Calendar may open a channel for less than was asked for."""
    stand_in.settings.max_channel_seconds = 600
    expires = open_channel(calendar, anna, ttl=timedelta(days=30)).expires
    assert expires is not None
    assert expires - datetime.now(UTC) <= timedelta(seconds=601)


IN_A_DAY = (NOW + timedelta(days=1)).timestamp() * 1000
EXPIRATIONS: dict[str, tuple[Json, datetime | None]] = {
    "number": ({"expiration": int(IN_A_DAY)}, NOW + timedelta(days=1)),
    "text": ({"expiration": str(int(IN_A_DAY))}, NOW + timedelta(days=1)),
    "fraction": ({"expiration": f"{IN_A_DAY:.1f}"}, NOW + timedelta(days=1)),
    "absent": ({}, None),
    "null": ({"expiration": None}, None),
    "empty": ({"expiration": ""}, None),
    "words": ({"expiration": "in a week"}, None),
    "object": ({"expiration": {"seconds": 5}}, None),
    "true": ({"expiration": True}, None),
    "zero": ({"expiration": 0}, None),
    "negative": ({"expiration": "-1"}, None),
    "seconds": ({"expiration": str(int(IN_A_DAY / 1000))}, None),
    "endless": ({"expiration": "9" * 30}, None),
    "infinite": ({"expiration": "1e400"}, None),
    "no-number": ({"expiration": "nan"}, None),
    "digits-without-end": ({"expiration": "9" * 10_000}, None),
    "in-three-thousand-years": ({"expiration": str(int(IN_A_DAY + 9e13))}, None),
}


@pytest.mark.parametrize(
    ("answer", "expires"), list(EXPIRATIONS.values()), ids=[f"H2-{name}" for name in EXPIRATIONS]
)
def test_h2_an_expiry_in_any_form_is_read_or_is_what_was_asked_for(
    stand_in: GoogleCalendar, anna: CalendarId, answer: Json, expires: datetime | None
) -> None:
    """A channel is never without an end, nor without renewal for years."""
    calendar = Calendar(None, emulator=stand_in.host, clock=lambda: NOW)
    stand_in.faults.add(
        path="/watch", status=200, body={"id": "c", "resourceId": "resource-1", **answer}
    )
    channel = open_channel(calendar, anna, ttl=timedelta(days=7))
    assert channel.expires == (expires or NOW + timedelta(days=7))
    assert channel.resource_id == "resource-1"
    calendar.close()


def test_h4_a_channel_is_stopped_with_the_access_that_opened_it(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """The calendar may be reached in another way by then. A channel that names none: as told."""
    ben = Access(subject="ben@example.com")
    channel = open_channel(calendar, anna, access=ben)
    assert channel.access == ben
    calendar.stop_channel(channel, NOBODY)
    calendar.stop_channel(replace(channel, access=None), NOBODY)
    calendar.stop_channel(replace(channel, access=None), ben)
    charged = [r.query.get("quotaUser") for r in stand_in.requests if r.path.endswith("/stop")]
    assert charged[0] == charged[2] is not None
    assert charged[1] is None


def test_h2_a_calendar_that_cannot_be_watched_says_so(
    calendar: Calendar, stand_in: GoogleCalendar
) -> None:
    """It is polled; that is told from every other refusal."""
    calendar_id = CalendarId(f"holidays{next(_numbers)}@group.v.calendar.google.com")
    stand_in.add_calendar(calendar_id, watchable=False)
    with pytest.raises(NotWatchable):
        open_channel(calendar, calendar_id)


def test_h1_a_channel_id_is_good_for_one_channel(calendar: Calendar, anna: CalendarId) -> None:
    """Repeating a watch needs another id: 400 is no reason to try again."""
    open_channel(calendar, anna, id="channel-twice")
    with pytest.raises(Invalid) as caught:
        open_channel(calendar, anna, id="channel-twice")
    assert not isinstance(caught.value, NotWatchable)


# W3: errors by their reason.

SAME = (classic_body, gateway_body)


def meaning(status: int, content: bytes) -> SyncError:
    """What an answer to a listing means."""
    return classify(status, content, method="list", address="")


REASONS: dict[str, tuple[str, int | None, type[SyncError]]] = {
    "W3-timeRangeEmpty": ("timeRangeEmpty", None, Invalid),
    "W3-invalid": ("invalid", None, Invalid),
    "W3-syncTokenWithRequestRestrictions": ("syncTokenWithRequestRestrictions", None, Invalid),
    "W3-channelIdNotUnique": ("channelIdNotUnique", None, Invalid),
    "W3-pushNotSupported": ("pushNotSupportedForRequestedResource", None, NotWatchable),
    "W3-eventTypeRestriction": ("eventTypeRestriction", None, Invalid),
    "W3-authError": ("authError", None, NotAllowed),
    "W3-userRateLimitExceeded": ("userRateLimitExceeded", None, TryLater),
    "W3-rateLimitExceeded-403": ("rateLimitExceeded", 403, TryLater),
    "W3-rateLimitExceeded-429": ("rateLimitExceeded", 429, TryLater),
    "W3-quotaExceeded": ("quotaExceeded", None, TryLater),
    "W3-forbiddenForNonOrganizer": ("forbiddenForNonOrganizer", None, NotAllowed),
    "W3-requiredAccessLevel": ("requiredAccessLevel", None, NotAllowed),
    "W3-forbiddenForServiceAccounts": ("forbiddenForServiceAccounts", None, NotAllowed),
    "W3-notACalendarUser": ("notACalendarUser", None, NotAllowed),
    "W3-accessNotConfigured": ("accessNotConfigured", None, NotAllowed),
    "W3-forbidden": ("forbidden", None, NotAllowed),
    "W3-insufficientPermissions": ("insufficientPermissions", None, NotAllowed),
    "W3-notFound": ("notFound", None, Gone),
    "W3-duplicate": ("duplicate", None, Invalid),
    "W3-fullSyncRequired": ("fullSyncRequired", None, SyncTokenExpired),
    "W3-updatedMinTooLongAgo": ("updatedMinTooLongAgo", None, SyncTokenExpired),
    "W3-deleted": ("deleted", None, Gone),
    "W3-conditionNotMet": ("conditionNotMet", None, Conflict),
    "W3-backendError": ("backendError", None, TryLater),
    "W3-502": ("badGateway", None, TryLater),
    "W3-503": ("serviceUnavailable", None, TryLater),
    "W3-504": ("gatewayTimeout", None, TryLater),
}


@pytest.mark.parametrize("shape", SAME, ids=["classic", "gateway"])
@pytest.mark.parametrize(
    ("reason", "status", "expected"), list(REASONS.values()), ids=list(REASONS)
)
def test_w3_errors_go_by_reason_in_both_shapes_of_body(
    reason: str, status: int | None, expected: type[SyncError], shape: Any
) -> None:
    """The same reason means the same, whichever of Google's servers answered."""
    answer = shape(reason, status=status)
    error = meaning(answer["error"]["code"], json.dumps(answer).encode())
    assert type(error) is expected
    assert reason in str(error)
    if isinstance(error, TryLater):
        assert error.after == (timedelta(hours=3) if reason == "quotaExceeded" else None)


def test_w3_the_quota_of_a_day_is_waited_for_and_breaks_nothing() -> None:
    """What Calendar was seen to say when a project's own quota is used up."""
    content = b'{"error": {"errors": [{"domain": "usageLimits", "reason": "dailyLimitExceeded"}]}}'
    error = meaning(403, content)
    assert isinstance(error, TryLater)
    assert error.after == timedelta(hours=3)


def test_w3_a_rate_limit_that_only_the_gateway_s_details_tell() -> None:
    """A body without the classic list is read by its ErrorInfo."""
    answer = gateway_body("rateLimitExceeded", status=403)
    del answer["error"]["errors"]
    assert isinstance(meaning(403, json.dumps(answer).encode()), TryLater)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, Invalid),
        (401, NotAllowed),
        (403, NotAllowed),
        (404, Gone),
        (408, TryLater),
        (409, Invalid),
        (410, SyncTokenExpired),
        (412, Conflict),
        (429, TryLater),
        (500, TryLater),
        (502, TryLater),
        (503, TryLater),
        (504, TryLater),
    ],
)
@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"{}", b"[]", b'{"error": "text"}', b'{"error": {"errors": [5]}}']
)
def test_w3_without_a_reason_the_status_decides(
    status: int, expected: type[SyncError], content: bytes
) -> None:
    """A proxy's page or an empty body is no crash."""
    assert type(meaning(status, content)) is expected


_JSON = st.recursive(
    st.none() | st.text(max_size=5) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "errors", "details", "reason", "code"]), inner, max_size=4
        )
    ),
)


MENDS: dict[str, tuple[str, int, str, type[SyncError], str]] = {
    "W3-the-webhook-is-not-verified": (
        "watch",
        401,
        "push.webhookUrlUnauthorized",
        Invalid,
        r"https://n\.example\.com/.*SYNC_NOTIFICATION_URL.*verify its domain",
    ),
    "W3-the-webhook-is-not-https": (
        "watch",
        400,
        "push.webhookUrlNotHttps",
        Invalid,
        r"SYNC_NOTIFICATION_URL.*https",
    ),
    "W3-no-calendar": ("list", 403, "notACalendarUser", NotAllowed, "no Google Calendar.*subject"),
    "W3-no-scope": ("list", 403, "insufficientPermissions", NotAllowed, "scope calendar.events"),
    "W3-no-scope-the-gateway-s-word": (
        "list",
        403,
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        NotAllowed,
        "scope calendar.events",
    ),
    "W3-api-disabled": ("list", 403, "SERVICE_DISABLED", NotAllowed, "enable the Calendar API"),
    "W3-reader": ("patch", 403, "requiredAccessLevel", NotAllowed, "right to change events"),
    "W3-another-refusal": ("list", 403, "neverSeen", NotAllowed, "share the calendar with us"),
    "W3-no-such-calendar": ("watch", 404, "notFound", Gone, "this calendar id, and share"),
    "W3-no-such-event": ("get", 404, "notFound", Gone, "no such event"),
    "W3-event-is-over": ("patch", 410, "", Gone, "no such event"),
}


@pytest.mark.parametrize(
    ("method", "status", "reason", "expected", "says"), list(MENDS.values()), ids=list(MENDS)
)
def test_w3_a_refusal_names_its_own_mend(
    method: str, status: int, reason: str, expected: type[SyncError], says: str
) -> None:
    """The operator reads what to do about this refusal, not about another one."""
    content = json.dumps({"error": {"errors": [{"reason": reason}]}}).encode()
    error = classify(status, content, method=method, address="https://n.example.com/")
    assert type(error) is expected
    assert re.search(says, str(error))


@pytest.mark.parametrize("reason", ["anna@example.com", "Anna's party", "x" * 100, 5, None, {}])
def test_w3_a_reason_that_is_no_word_is_not_shown(reason: object) -> None:
    """Texts of others may name people; an error's text is logged and shown to operators."""
    content = json.dumps({"error": {"errors": [{"reason": reason}]}}).encode()
    said = str(meaning(403, content))
    assert said.startswith("Calendar answered 403; ")


def test_w3_no_error_names_the_calendar(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """A calendar's id is usually somebody's address."""
    for status in (403, 404):
        stand_in.withdraw_access(anna, status=status)
        with pytest.raises((NotAllowed, Gone)) as caught:
            pages(calendar, anna)
        assert "anna" not in str(caught.value)


@pytest.mark.parametrize("asked", ["5", "1764154800000", "1e400", "nan", "-1", "never"])
def test_w3_a_wait_that_is_asked_for_is_bounded(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId, asked: str
) -> None:
    """`Retry-After` is obeyed, a day of it at most, and whatever it says is no crash."""
    stand_in.faults.add(status=503, headers={"Retry-After": asked}, body="", times=4)
    with pytest.raises(TryLater) as caught:
        open_channel(calendar, anna)
    assert (caught.value.after or timedelta()) <= timedelta(days=1)
    stand_in.faults.clear()


@given(status=st.integers(300, 599), value=_JSON)
def test_w3_no_error_is_a_crash(status: int, value: Any) -> None:
    """Any JSON in the body of any error means something."""
    assert isinstance(meaning(status, json.dumps(value).encode()), SyncError)


def test_w3_errors_are_translated_on_the_wire(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """What the library raises is never seen above; a read is repeated a little, and then told."""
    stand_in.fail_next("rateLimitExceeded", shape="gateway")
    assert pages(calendar, anna)
    stand_in.fail_next("quotaExceeded", times=None)
    with pytest.raises(TryLater) as caught:
        pages(calendar, anna)
    assert caught.value.after == timedelta(hours=3)
    stand_in.faults.clear()
    stand_in.withdraw_access(anna, status=403)
    with pytest.raises(NotAllowed, match="share the calendar with us again"):
        pages(calendar, anna)
    stand_in.withdraw_access(anna, status=404)
    with pytest.raises(Gone):
        pages(calendar, anna)


def test_w3_reading_only_is_not_allowed_to_write(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """A calendar shared for reading refuses the write, and says which right is missing."""
    event = seed(stand_in, anna)
    stand_in.grant_access(anna, role="reader")
    etag = calendar.bind(anna, NOBODY).get_event(event).version
    with pytest.raises(NotAllowed, match="requiredAccessLevel"):
        calendar.bind(anna, NOBODY).patch_event(event, {"location": "x"}, Etag(etag))


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"status": 200, "body": "<html>"}, id="html"),
        pytest.param({"status": 200, "body": "[]"}, id="list"),
        pytest.param({"status": 200, "body": ""}, id="empty"),
        pytest.param({"truncate": True}, id="truncated"),
    ],
)
def test_success_without_its_json_is_tried_later(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId, fault: Json
) -> None:
    """An answer that was cut short or came from somebody else tells nothing."""
    event = seed(stand_in, anna)
    before = raw(stand_in, anna, event)
    stand_in.faults.add(method="PATCH", **fault)
    with pytest.raises(TryLater):
        calendar.bind(anna, NOBODY).patch_event(event, {"location": "x"}, Etag(before["etag"]))


def test_a_calendar_out_of_reach_is_tried_later() -> None:
    """Nobody listens there."""
    calendar = Calendar(None, emulator=f"127.0.0.1:{free_port()}")
    with pytest.raises(TryLater):
        calendar.stop_channel(Channel(id="c", resource_id="r"))
    calendar.close()


# Connections.


def test_threads_never_share_a_connection(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """Sixteen threads side by side, each asking for another event, each get their own."""
    ids = [seed(stand_in, anna, summary=f"Event {number}") for number in range(16)]
    stand_in.faults.add(method="GET", times=16, delay_seconds=0.05)
    with ThreadPoolExecutor(16) as pool:
        for _ in range(5):
            entries = pool.map(lambda event: calendar.bind(anna, NOBODY).get_event(event), ids)
            assert [found(entry).title for entry in entries] == [
                f"Event {number}" for number in range(16)
            ]


def test_a_connection_is_of_use_after_an_error(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """A connection that was cut is thrown away, and the next call has a good one."""
    event = seed(stand_in, anna)
    for _ in range(3):
        stand_in.faults.add(truncate=True, times=3)
        with suppress(TryLater, http.client.HTTPException):  # which of them, another test says
            calendar.bind(anna, NOBODY).patch_event(event, {"location": "x"}, Etag('"1"'))
        stand_in.faults.clear()
        assert calendar.bind(anna, NOBODY).get_event(event).id == event


class Hasty:
    """A server that answers one request of each connection, and then closes it without a word.

    While it is `dumb`, it does not even answer.
    """

    def __init__(self) -> None:
        self.dumb = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.requests: list[str] = []
        self.closed = threading.Semaphore(0)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                with connection, connection.makefile("rb") as lines:
                    self._answer(connection, lines)
                self.closed.release()

    def _answer(self, connection: socket.socket, lines: Any) -> None:
        first = lines.readline().decode()
        length = 0
        while line := lines.readline().strip():
            name, _, value = line.decode().partition(":")
            length = int(value) if name.lower() == "content-length" else length
        lines.read(length)
        self.requests.append(first.split()[0])
        if self.dumb:
            return
        body = b'{"id": "e1", "resourceId": "r"}'
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        connection.sendall(head.encode() + b"\r\n\r\n" + body)

    def stop(self) -> None:
        self._listening.close()


@pytest.fixture
def hasty() -> Iterator[Hasty]:
    server = Hasty()
    yield server
    server.stop()


def test_h1_a_call_after_a_quiet_time_is_not_sent_into_a_closed_connection(hasty: Hasty) -> None:
    """The server closed the idle connection: what is not repeated arrives all the same, once."""
    calendar = Calendar(None, emulator=hasty.host)
    anna = CalendarId("anna@example.com")

    def quiet() -> None:
        assert hasty.closed.acquire(timeout=10)

    calendar.bind(anna, NOBODY).get_event(EventId("e1"))
    quiet()
    channel = open_channel(calendar, anna)
    quiet()
    calendar.bind(anna, NOBODY).patch_event(EventId("e1"), {"location": "x"}, Etag('"1"'))
    quiet()
    calendar.stop_channel(channel)
    quiet()
    calendar.bind(anna, NOBODY).get_event(EventId("e1"))
    assert hasty.requests == ["GET", "POST", "PATCH", "POST", "GET"]
    calendar.close()


def test_w1_a_write_without_an_answer_is_sent_once(hasty: Hasty) -> None:
    """Nor does the library underneath send it again; a read may be."""
    calendar = Calendar(None, emulator=hasty.host)
    anna = calendar.bind(CalendarId("anna@example.com"), NOBODY)
    hasty.dumb = True
    with pytest.raises(TryLater):
        anna.patch_event(EventId("e1"), {"location": "x"}, Etag('"1"'))
    with pytest.raises(TryLater):
        open_channel(calendar, CalendarId("anna@example.com"))
    assert hasty.requests == ["PATCH", "POST"]
    with pytest.raises(TryLater):
        anna.get_event(EventId("e1"))
    assert hasty.requests == ["PATCH", "POST", "GET", "GET", "GET"]
    calendar.close()


def test_a_redirect_is_not_followed(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId, hasty: Hasty
) -> None:
    """Whoever stands between us and Calendar does not get our call, and is no answer."""
    stand_in.faults.add(
        status=302, headers={"Location": f"http://{hasty.host}/"}, body="", times=None
    )
    with pytest.raises(TryLater, match="302"):
        calendar.bind(anna, NOBODY).get_event(EventId("e1"))
    assert hasty.requests == []


def test_h1_only_a_call_that_is_repeated_gets_a_connection_that_was_idle_for_long() -> None:
    """Networks drop idle connections without telling anybody; a new connection costs little."""
    connections = Connections()
    with connections.lend(FRESH_SECONDS) as first:
        pass
    with connections.lend(FRESH_SECONDS) as second:
        assert second is first
    with connections.lend(0.0) as third:
        assert third is not first
    with suppress(TryLater), connections.lend(FRESH_SECONDS) as fourth:
        assert fourth is third
        raise TryLater("cut off")
    with connections.lend(IDLE_SECONDS) as last:
        assert last is first
    connections.close()


def test_idle_connections_are_bounded() -> None:
    """A burst of threads leaves no more of them than one run can use."""
    connections = Connections()
    with ExitStack() as all_at_once:
        lent = [all_at_once.enter_context(connections.lend(IDLE_SECONDS)) for _ in range(100)]
    assert len({id(each) for each in lent}) == 100
    assert len(connections._idle) == 64
    connections.close()


def test_delegated_calls_are_charged_to_the_user(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """With a subject, each call names whom it is for: the same for the same user, never the
    address itself."""
    event = seed(stand_in, anna)
    for subject in ("anna@example.com", "anna@example.com", "ben@example.com", None):
        calendar.bind(anna, Access(subject=subject)).get_event(event)
    names = [request.query.get("quotaUser") for request in of(stand_in, anna)]
    assert names[0] == names[1] != names[2]
    assert names[3] is None
    assert all(name and len(name) <= 40 and "anna" not in name for name in names[:3])
