"""Our Calendar client against the stand-in: listings, conditional writes, channels."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sandbox.google_calendar import GoogleCalendar
from sync.errors import Conflict, Gone, Invalid, NotWatchable, SyncTokenExpired, TryLater
from sync.google.calendar import LISTING_VERSION, Calendar
from sync.model.calendar import Access, Channel
from sync.model.event import CalendarId, ChannelToken, Etag, Event, EventId
from tests.support.calendar_client import (
    NOBODY,
    NOW,
    START,
    Json,
    found,
    of,
    open_channel,
    pages,
    raw,
    seed,
    synced,
)

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


@pytest.mark.slow
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
    calendar_id = CalendarId("holidays@group.v.calendar.google.com")
    stand_in.add_calendar(calendar_id, watchable=False)
    with pytest.raises(NotWatchable):
        open_channel(calendar, calendar_id)


def test_h1_a_channel_id_is_good_for_one_channel(calendar: Calendar, anna: CalendarId) -> None:
    """Repeating a watch needs another id: 400 is no reason to try again."""
    open_channel(calendar, anna, id="channel-twice")
    with pytest.raises(Invalid) as caught:
        open_channel(calendar, anna, id="channel-twice")
    assert not isinstance(caught.value, NotWatchable)
