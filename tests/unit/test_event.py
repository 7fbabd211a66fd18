"""The nouns: events parsed once where they enter, and keys that no two things share."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sync import model
from sync.errors import Malformed
from sync.model.calendar import Counts
from sync.model.conference import (
    Approximation,
    Carried,
    ConferenceRef,
    Creation,
    EventRef,
    LettingGo,
    Link,
    Told,
)
from sync.model.event import (
    CalendarId,
    ConferenceData,
    ConferenceId,
    Entry,
    Event,
    EventId,
    EventTime,
    address_of,
    clean,
    digest,
    zone_of,
)
from tests.support.events import (
    Json,
    carried,
    data,
    item,
    marked,
    occurrence,
    parsed,
    past,
    requested,
    web,
    zoom,
)
from tests.support.processor import processor_time_below

NOW = datetime(2030, 5, 2, 8, 0, tzinfo=UTC)
WEB = ConferenceRef(provider="web", conference_id=ConferenceId("c-1"))
LINK = Link(event=EventRef(calendar_id=CalendarId("anna@example.com"), event_id=EventId("e1")))


@given(
    one=st.lists(st.text(max_size=4), max_size=4), other=st.lists(st.text(max_size=4), max_size=4)
)
def test_no_two_lists_of_parts_share_a_digest(one: list[str], other: list[str]) -> None:
    """Where one part ends and the next begins counts too."""
    assume(one != other)
    assert digest(*one) != digest(*other)
    assert len(digest(*one)) == 32
    assert set(digest(*one)) <= set("0123456789abcdef")


def test_keys_are_of_both_halves() -> None:
    """The same id at another provider, or in another calendar, is another thing; keys stay what
    they were."""
    assert WEB.key != ConferenceRef(provider="zoom", conference_id=WEB.conference_id).key
    assert (
        WEB.key
        == ConferenceRef(provider="web", conference_id=ConferenceId("c-1")).key
        == digest("web", "c-1")
    )
    assert LINK.event.key == digest("anna@example.com", "e1")


@pytest.mark.parametrize(
    ("value", "utc", "local"),
    [
        pytest.param({"date": "2030-05-02"}, "2030-05-02", "2030-05-02", id="E8-day"),
        pytest.param(
            {"dateTime": "2030-05-02T10:00:00+02:00"},
            "2030-05-02T08:00:00Z",
            "2030-05-02T10:00:00+02:00",
            id="E8-moment",
        ),
        pytest.param(
            {"dateTime": "2030-05-02T10:00:00Z"},
            "2030-05-02T10:00:00Z",
            "2030-05-02T10:00:00+00:00",
            id="E8-utc",
        ),
        pytest.param(
            {"dateTime": "2030-05-02T10:00:00", "timeZone": "America/St_Johns"},
            "2030-05-02T12:30:00Z",
            "2030-05-02T10:00:00-02:30",
            id="E8-zone-without-offset",
        ),
        pytest.param(
            {"dateTime": "2030-05-02T10:00:00"},
            "2030-05-02T01:00:00Z",
            "2030-05-02T10:00:00+09:00",
            id="E8-the-calendar-s-zone",
        ),
        pytest.param(
            {"dateTime": "2030-12-31T23:30:00-05:00"},
            "2031-01-01T04:30:00Z",
            "2030-12-31T23:30:00-05:00",
            id="E8-over-the-year",
        ),
    ],
)
def test_e8_times_are_read_as_calendar_writes_them(value: Any, utc: str, local: str) -> None:
    """The moment in UTC, and the same with the offset that was sent."""
    time = EventTime.from_api(value, calendar_zone="Asia/Tokyo")
    assert (time.utc(), time.isoformat(), time.all_day) == (utc, local, "date" in value)


def test_e8_a_day_has_no_zone() -> None:
    """The time zone of an all-day event is meaningless, and dropped."""
    assert EventTime.from_api({"date": "2030-05-02", "timeZone": "UTC"}) == EventTime(
        day=date(2030, 5, 2)
    )


@pytest.mark.parametrize(
    "value", [None, "2030-05-02", 5, {}, {"date": 5}, {"dateTime": "soon"}, {"date": "2030-13-01"}]
)
def test_e8_a_time_that_is_none_is_malformed(value: Any) -> None:
    """Neither a date nor a moment."""
    with pytest.raises(Malformed):
        EventTime.from_api(value)


@given(
    value=st.dictionaries(
        st.text(max_size=8), st.none() | st.integers() | st.text() | st.lists(st.integers())
    )
)
def test_conference_data_takes_anything(value: dict[str, Any]) -> None:
    """What is of another kind than promised is as good as missing."""
    ConferenceData.from_api(value)


def test_e2_a_deleted_event_is_nothing_but_cancelled() -> None:
    """An event that Calendar does not know is a tombstone that decides, looked up already."""
    event = Event.deleted(EventId("e1"))
    assert event == replace(Event.from_api({"id": "e1", "status": "cancelled"}), bare=False)
    assert event.cancelled
    assert event.decides
    entry = Entry.deleted(EventId("e1"))
    assert (entry.id, entry.event, entry.malformed) == ("e1", event, "")


def test_a_link_is_empty_when_nothing_is_worth_remembering() -> None:
    """A conference, one that is being let go, or one that was made, is worth it."""
    assert LINK.empty
    letting_go = LettingGo(conference=WEB, since=NOW, due=NOW)
    leaving = replace(LINK, letting_go=(letting_go,))
    made = Creation(key="k", provider="web", since=NOW, due=NOW)
    assert not leaving.empty
    assert not replace(LINK, carried=carried(item(data()))).empty
    assert not replace(LINK, creations=(made,)).empty
    assert leaving.lets_go_of(WEB) == letting_go
    assert LINK.lets_go_of(WEB) is None


def test_counts_add_up() -> None:
    """Each count by itself."""
    whole = Counts(changes=1, created=2, updated=3, deleted=4, failed=5)
    assert whole + Counts() == whole
    assert whole + whole == Counts(changes=2, created=4, updated=6, deleted=8, failed=10)


NOUNS = [
    each
    for module in pkgutil.iter_modules(model.__path__)
    for each in vars(importlib.import_module(f"sync.model.{module.name}")).values()
    if isinstance(each, type) and is_dataclass(each) and each.__module__.endswith(module.name)
]


def test_there_are_nouns() -> None:
    """The table below is not empty."""
    assert {Event, Entry, Link, Carried, Told, Counts} <= set(NOUNS)


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: str(noun.__name__))
def test_nouns_are_frozen(noun: Any) -> None:
    """A value that was read is not changed under anybody's hands, and has no members but its
    own."""
    value = object.__new__(noun)
    with pytest.raises(FrozenInstanceError):
        setattr(value, fields(noun)[0].name, 1)
    assert not hasattr(value, "__dict__")


def test_counts_keep_the_longest_delay() -> None:
    """How late a run was is the delay of its oldest change, not the sum."""
    assert (Counts(lag_seconds=3) + Counts(lag_seconds=5)).lag_seconds == 5
    assert (Counts(lag_seconds=5) + Counts()).lag_seconds == 5


# Events as Calendar lists them.


def test_an_event_is_parsed_into_the_fields_that_are_used() -> None:
    """Every field of the event comes from one member of the item."""
    body = item(
        data("c-1", "My Web Conference", "https://meet.example.com/c-1"),
        etag='"7"',
        updated="2030-05-01T10:00:00.123+02:00",
        location="Room 5",
        recurrence=["RRULE:FREQ=WEEKLY"],
        creator={"email": " Ben@Example.com "},
        organizer={"email": "ANNA@example.com", "self": True},
        extendedProperties=marked(),
    )
    zone = "Europe/Berlin"
    assert Event.from_api(body) == Event(
        id=EventId("e1"),
        etag=parsed(body).etag,
        updated=datetime(2030, 5, 1, 8, 0, 0, 123000, tzinfo=UTC),
        title="Planning",
        description="Bring cake",
        location="Room 5",
        start=EventTime(moment=datetime(2030, 5, 2, 12, tzinfo=ZoneInfo(zone)), time_zone=zone),
        end=EventTime(moment=datetime(2030, 5, 2, 13, tzinfo=ZoneInfo(zone)), time_zone=zone),
        recurrence=("RRULE:FREQ=WEEKLY",),
        organizer="anna@example.com",
        creator="ben@example.com",
        decides=True,
        attendees=("ben@example.com", "cleo@example.com"),
        ical_uid="e1@google.com",
        conference_data=ConferenceData(
            solution="My Web Conference",
            conference_id="c-1",
            uris=("https://meet.example.com/c-1",),
            solution_shown=body["conferenceData"]["conferenceSolution"],
        ),
        private=marked()["private"],
    )
    assert parsed(body).etag == '"7"'


@pytest.mark.parametrize(
    ("body", "decides", "hidden", "bare"),
    [
        pytest.param(item(), True, False, False, id="E6-the-organizer-s-copy"),
        pytest.param(
            item(organizer={"email": "x@y.z"}), False, False, False, id="E6-an-attendee-s-copy"
        ),
        pytest.param(
            item(organizer={"email": "x@y.z", "self": "true"}),
            False,
            False,
            False,
            id="E6-self-that-is-no-truth-value",
        ),
        pytest.param(item(organizer={"self": True}), True, False, False, id="E6-no-address"),
        pytest.param(item(organizer=None), True, True, False, id="E6-hidden"),
        pytest.param(item(organizer={}), True, True, False, id="E6-hidden-with-an-empty-organizer"),
        pytest.param(
            {"id": "e1", "status": "cancelled"}, True, False, True, id="E2-nothing-but-an-id"
        ),
        pytest.param(item(status="cancelled"), True, False, False, id="E2-whole"),
        pytest.param(
            item(status="cancelled", organizer=None), True, False, False, id="E2-with-its-times"
        ),
        pytest.param(
            {
                "id": "e1",
                "status": "cancelled",
                "recurringEventId": "s1",
                "originalStartTime": {"date": "2030-05-02"},
            },
            True,
            False,
            False,
            id="E5-an-occurrence-that-says-so",
        ),
        pytest.param(
            {"id": "e1", "status": "cancelled", "organizer": {"email": "x@y.z"}},
            False,
            False,
            False,
            id="E6-an-attendee-s-copy-was-removed",
        ),
    ],
)
def test_e6_an_event_says_whether_it_decides_and_whether_it_can_be_seen(
    body: Json, decides: bool, hidden: bool, bare: bool
) -> None:
    """Three questions: is it the organizer's copy, does Calendar show it, is there but an id."""
    event = parsed(body)
    assert (event.decides, event.hidden, event.bare) == (decides, hidden, bare)


def test_e8_an_event_without_an_end_ends_where_it_starts() -> None:
    """No end is no error: the conference is told of a moment."""
    event = parsed(item(data(), end=None))
    assert event.end == event.start


def test_e8_times_that_name_no_zone_are_in_the_calendar_s() -> None:
    """The calendar's own zone stands in, for the moment and for the zone."""
    event = parsed(item(start={"dateTime": "2030-05-02T12:00:00"}), calendar_zone="Asia/Tokyo")
    assert event.start is not None
    assert (event.start.utc(), event.start.time_zone) == ("2030-05-02T03:00:00Z", "Asia/Tokyo")


NO_EVENT: dict[str, Any] = {
    "E8-null": None,
    "E8-text": "event",
    "E8-number": 42,
    "E8-list": [],
    "E8-no-id": item(id=None),
    "E8-empty-id": item(id=""),
    "E8-id-that-is-no-text": item(id=5),
    "E8-id-longer-than-calendar-s": item(id="x" * 1025),
}


@pytest.mark.parametrize("value", list(NO_EVENT.values()), ids=list(NO_EVENT))
def test_e8_what_is_no_event_says_so(value: Any) -> None:
    """It is Malformed, and its entry carries the reason and a name, so that it alone is parked."""
    with pytest.raises(Malformed) as caught:
        Event.from_api(value, calendar_zone="Europe/Berlin")
    entry = Entry.from_api(value)
    assert entry.event is None
    assert entry.malformed == str(caught.value) != ""
    assert entry.id.startswith("without-id-")
    assert entry == Entry.from_api(value)


def test_e8_an_id_may_be_as_long_as_calendar_s() -> None:
    """1,024 characters are Calendar's own limit."""
    assert Entry.from_api(item(id="x" * 1024)).event is not None


UNREADABLE: dict[str, Json] = {
    "E8-no-start": {"start": None},
    "E8-start-that-is-no-time": {"start": {"dateTime": "noon"}},
    "E8-end-that-is-no-time": {"end": {"dateTime": "noon"}},
    "E8-start-that-is-no-object": {"start": 5},
    "E8-original-start-that-is-no-time": {"originalStartTime": {"dateTime": "noon"}},
}


@pytest.mark.parametrize("changes", list(UNREADABLE.values()), ids=list(UNREADABLE))
def test_e8_an_event_whose_times_cannot_be_read_keeps_the_reason(changes: Json) -> None:
    """It is an event all the same: if it carries no conference, it concerns nobody."""
    event = parsed(item(**changes))
    assert event.unreadable
    assert parsed(item()).unreadable is None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(occurrence(originalStartTime=None), id="E8-occurrence-without-a-start"),
        pytest.param(
            {"id": "e1", "status": "cancelled", "recurringEventId": "s1"},
            id="E8-cancelled-occurrence-without-a-start",
        ),
    ],
)
def test_e8_an_occurrence_without_an_original_start_keeps_the_reason(body: Json) -> None:
    """Nobody can tell which occurrence it is."""
    event = parsed(body)
    assert event.original_start is None
    assert event.unreadable


@pytest.mark.parametrize(
    ("conference", "pending"),
    [
        pytest.param(requested("pending"), True, id="E1-pending"),
        pytest.param(requested("failure"), True, id="E1-failed"),
        pytest.param(requested("success"), False, id="E1-done"),
        pytest.param(requested("somethingNew"), False, id="E1-unknown-word"),
        pytest.param({"createRequest": {"status": 5}}, False, id="E8-odd"),
        pytest.param({"createRequest": 5}, False, id="E8-odder"),
        pytest.param({}, False, id="E8-empty"),
    ],
)
def test_e1_conference_data_that_is_not_there_yet_is_pending(
    conference: Json, pending: bool
) -> None:
    """So is a request that failed: neither is a conference."""
    assert ConferenceData.from_api(conference).pending is pending


def test_e1_entry_points_are_read_up_to_calendar_s_own_number() -> None:
    """300 at most, whatever a client wrote (S6); what is no entry point is passed over."""
    points = [None, 7, {"uri": 7}, {"uri": "a"}, *({"uri": f"u{n}"} for n in range(400))]
    uris = ConferenceData.from_api({"entryPoints": points}).uris
    assert uris[:2] == ("a", "u0")
    assert len(uris) == 300 - 3


# Entries: one item of a listing.


def test_an_entry_s_version_changes_with_the_event() -> None:
    """The etag, or a digest of the item where there is none."""
    assert Entry.from_api(item(etag='"7"')).version == '"7"'
    without_etag = Entry.from_api(item(etag=None))
    assert without_etag.version == Entry.from_api(item(etag=None)).version
    assert without_etag.version != Entry.from_api(item(etag=None, summary="Another")).version
    assert Entry.from_api(item(etag=5)).version != "5"


def test_two_items_without_an_id_are_two_entries() -> None:
    """Each is parked by itself, once."""
    assert Entry.from_api(42).id != Entry.from_api(43).id
    assert Entry.from_api({"id": "x" * 2000}).id != Entry.from_api({"id": "y" * 2000}).id


def _nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "made",
    [
        # Made in the test: it takes long, and is no matter of those who only look for tests.
        pytest.param(lambda: _nested(100_000), id="S6-nested-deeper-than-python-can-print"),
        pytest.param(lambda: {"id": "e1", "summary": _nested(100_000)}, id="S6-nested-in-a-member"),
        pytest.param(
            lambda: {"id": "e1", "sequence": 10**5000}, id="S6-a-number-that-python-prints-not"
        ),
        pytest.param(lambda: {5: "x", None: "y"}, id="S6-keys-that-are-no-text"),
        pytest.param(lambda: {"id": "\ud83d", "etag": "\ud83d"}, id="S6-half-characters"),
    ],
)
def test_s6_an_entry_is_made_of_anything(made: Callable[[], Any]) -> None:
    """Never an exception: one item cannot stop a listing."""
    entry = Entry.from_api(made())
    assert entry.id.encode()
    assert entry.version.encode()


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(["\ud83d", "2030-05-02", "2030-05-02T12:00:00Z", "cancelled", "s1"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
_MEMBERS = (
    "id",
    "etag",
    "status",
    "updated",
    "summary",
    "description",
    "location",
    "start",
    "end",
    "originalStartTime",
    "recurringEventId",
    "recurrence",
    "organizer",
    "creator",
    "attendees",
    "iCalUID",
    "eventType",
    "conferenceData",
    "extendedProperties",
)


@given(
    value=_JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(_MEMBERS, _JSON)),
    zone=st.none() | st.text(max_size=12),
)
def test_s6_whatever_the_json_an_entry_comes_of_it(value: Any, zone: str | None) -> None:
    """The same item gives the same entry, and every text of it can be stored."""
    entry = Entry.from_api(value, calendar_zone=zone)
    assert entry == Entry.from_api(value, calendar_zone=zone) or value != value
    assert (entry.event is None) is bool(entry.malformed)
    assert entry.id.encode()
    assert entry.version.encode()
    if event := entry.event:
        for text in (event.title, event.description, event.location, *event.attendees):
            assert text.encode() is not None


def test_s6_a_text_is_cut_and_made_storable() -> None:
    """A store refuses half a character, and has a limit."""
    assert clean("\ud83d") == "?"
    assert clean("a\udf82b \N{BIRTHDAY CAKE}") == "a?b \N{BIRTHDAY CAKE}"
    assert clean("x" * 100_000) == "x" * 100_000
    assert clean("x" * 100_001) == "x" * 100_000


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(item(summary="x" * 5_000_000), id="S6-a-title-of-five-million-letters"),
        pytest.param(item(description="\ud83d" * 5_000_000), id="S6-half-characters"),
        pytest.param(
            item(attendees=[{"email": f"g{n}@example.com"} for n in range(50_000)]),
            id="S6-50,000-guests",
        ),
        pytest.param(item(recurrence=["RRULE:FREQ=DAILY"] * 50_000), id="S6-50,000-rules"),
        pytest.param(item(data() | {"entryPoints": [{}] * 500_000}), id="S6-entry-points"),
        pytest.param(
            item(extendedProperties={"private": {str(n): "x" for n in range(50_000)}}),
            id="S6-50,000-properties",
        ),
        pytest.param(item(start={"dateTime": "9" * 1_000_000}), id="S6-a-long-time"),
        pytest.param(
            item(start={"dateTime": "2030-05-02T12:00:00", "timeZone": "A" * 10**6}),
            id="S6-a-long-zone",
        ),
    ],
)
def test_s6_an_event_is_parsed_in_time_that_grows_with_its_length(body: Json) -> None:
    """Far more than Calendar keeps, read in seconds at the most."""
    with processor_time_below(5):
        assert Entry.from_api(body).event is not None


@pytest.mark.parametrize(
    ("name", "offset"),
    [
        pytest.param("Europe/Berlin", timedelta(hours=2), id="E8-a-zone"),
        pytest.param("UTC", timedelta(), id="E8-utc"),
        pytest.param("GMT", timedelta(), id="E8-gmt"),
        pytest.param("GMT+02:00", timedelta(hours=2), id="E8-gmt-and-an-offset"),
        pytest.param("UTC-3", timedelta(hours=-3), id="E8-utc-and-an-offset"),
        pytest.param("GMT+0530", timedelta(hours=5, minutes=30), id="E8-an-offset-without-a-colon"),
        pytest.param("GMT-05:30", -timedelta(hours=5, minutes=30), id="E8-a-negative-offset"),
        pytest.param("GMT+25:00", None, id="E8-an-offset-of-more-than-a-day"),
        pytest.param("Pacific Standard Time", None, id="E8-a-name-of-windows"),
        pytest.param("Mars/Olympus", None, id="E8-unknown"),
        pytest.param("Europe", None, id="E8-a-directory"),
        pytest.param("../../etc/passwd", None, id="E8-a-path"),
        pytest.param("/etc/passwd", None, id="E8-an-absolute-path"),
        pytest.param("\ud83d", None, id="E8-half-a-character"),
        pytest.param("a\x00b", None, id="E8-a-null"),
        pytest.param("x" * 101, None, id="E8-too-long"),
        pytest.param("", None, id="E8-empty"),
        pytest.param(None, None, id="E8-none"),
    ],
)
def test_e8_a_zone_is_known_by_its_name_or_as_an_offset(
    name: str | None, offset: timedelta | None
) -> None:
    """Calendar writes offsets as zones too; a zone that this machine does not know is none."""
    zone = zone_of(name)
    found = datetime(2030, 5, 2, 12, tzinfo=zone).utcoffset() if zone else None
    assert found == offset


# What is remembered.


def test_a_conference_is_known_by_any_of_its_names() -> None:
    """Its id, the id that was replaced, and what the event shows instead."""
    kept = carried(
        item(data()), web("c-2"), replaces=ConferenceId("c-1"), shown_as=ConferenceId("7")
    )
    assert kept.names == {"c-2", "c-1", "7"}
    assert all(kept.is_shown_by(web(name)) for name in kept.names)
    assert not kept.is_shown_by(web("c-3"))
    assert not kept.is_shown_by(zoom("c-2"))
    gone = past(web("c-2"), shown_as=ConferenceId("7"))
    assert gone.names == {"c-2", "7"}
    assert all(gone.is_shown_by(web(name)) for name in gone.names)
    assert not gone.is_shown_by(web("c-1"))
    assert not gone.is_shown_by(zoom("7"))


def test_o2_a_creation_is_found_by_provider_and_id() -> None:
    """A deleted one counts no more, and neither does one whose answer is still to come."""
    made = Creation(key="k", provider="web", since=NOW, due=NOW, conference_id=ConferenceId("c-1"))
    link = replace(LINK, creations=(made,))
    assert link.made(WEB) == made
    assert link.made(zoom("c-1")) is None
    assert link.made(web("c-2")) is None
    assert replace(link, creations=(replace(made, deleted=True),)).made(WEB) is None
    assert replace(link, creations=(replace(made, conference_id=None),)).made(WEB) is None
    assert made.open
    assert not replace(made, carried=True).open
    assert not replace(made, deleted=True).open


AN_HOUR = timedelta(hours=1)
MONTH = timedelta(days=30)
MADE = Creation(key="k", provider="web", since=NOW, due=NOW + AN_HOUR)


def _leading(**changes: Any) -> Link:
    return replace(LINK, carried=carried(item(data()), **changes))


@pytest.mark.parametrize(
    ("link", "due"),
    [
        pytest.param(LINK, None, id="E2-nothing"),
        pytest.param(_leading(over_at=None), None, id="E7-a-leader-without-an-end"),
        pytest.param(
            replace(
                LINK, letting_go=(past(WEB, grace=AN_HOUR), past(zoom("1"), grace=2 * AN_HOUR))
            ),
            NOW + AN_HOUR,
            id="E2-the-earliest-grace",
        ),
        pytest.param(replace(LINK, creations=(MADE,)), NOW + AN_HOUR, id="C4-an-open-creation"),
        pytest.param(
            replace(LINK, creations=(replace(MADE, carried=True),)),
            NOW + AN_HOUR + MONTH,
            id="C4-a-closed-creation",
        ),
        pytest.param(_leading(over_at=NOW), NOW, id="E7-a-leader-is-over"),
        pytest.param(_leading(over_at=NOW, over_seen=True), NOW + MONTH, id="E7-and-was-looked-at"),
        pytest.param(_leading(over_at=NOW, leading=False), NOW + MONTH, id="E7-a-follower-is-over"),
        pytest.param(
            _leading(told=Told(approximation=Approximation(reason="r", again_at=NOW + AN_HOUR))),
            NOW + AN_HOUR,
            id="C1-a-copy-that-runs-out",
        ),
        pytest.param(
            _leading(
                leading=False,
                over_at=None,
                told=Told(approximation=Approximation(reason="r", again_at=NOW + AN_HOUR)),
            ),
            None,
            id="C1-a-follower-s-copy",
        ),
        pytest.param(
            _leading(over_at=datetime(9999, 12, 20, tzinfo=UTC), over_seen=True),
            datetime(9999, 12, 20, tzinfo=UTC),
            id="E8-the-end-of-the-calendar",
        ),
    ],
)
def test_a_link_says_when_it_has_to_be_looked_at(link: Link, due: datetime | None) -> None:
    """The earliest of its graces, creations, copies that run out, and last dates."""
    assert link.due_at == due


@given(minutes=st.integers(-23 * 60, 23 * 60))
def test_e5_an_occurrence_s_name_is_its_original_start_in_utc(minutes: int) -> None:
    """However Calendar writes the offset, the occurrence is known by one name."""
    moment = datetime(2030, 5, 9, 10, tzinfo=UTC).astimezone(timezone(timedelta(minutes=minutes)))
    assert EventTime.from_api({"dateTime": moment.isoformat()}).utc() == "2030-05-09T10:00:00Z"


ADDRESSES = {
    "O2-as-it-is": ("anna@example.com", "anna@example.com"),
    "O2-in-capitals-and-blanks": (" Anna@EXAMPLE.com\n", "anna@example.com"),
    "O2-other-letters-stay": ("\u00c4nna@example.com", "\u00c4nna@example.com"),
    "O2-the-kelvin-sign-is-no-k": ("an\u212aa@example.com", "an\u212aa@example.com"),
    "O2-a-dotted-capital-i-is-no-i": ("ann\u0130@example.com", "ann\u0130@example.com"),
}


@pytest.mark.parametrize(("written", "compared"), list(ADDRESSES.values()), ids=list(ADDRESSES))
def test_o2_addresses_are_compared_without_their_case_and_no_more(
    written: str, compared: str
) -> None:
    """Two people never get one address by a letter that only looks alike in small."""
    assert address_of(written) == compared
