"""The nouns: parsed once at the edge, and keys that no two things share."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sync import model
from sync.errors import Malformed
from sync.model.calendar import Counts
from sync.model.conference import ConferenceRef, EventRef, LettingGo, Link
from sync.model.event import (
    CalendarId,
    ConferenceData,
    ConferenceId,
    EntryPoint,
    Event,
    EventId,
    EventTime,
    digest,
)

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
        pytest.param({"dateTime": "2030-05-02T10:00:00+02:00"}, "2030-05-02T08:00:00Z", "2030-05-02T10:00:00+02:00",
                     id="E8-moment"),
        pytest.param({"dateTime": "2030-05-02T10:00:00Z"}, "2030-05-02T10:00:00Z", "2030-05-02T10:00:00+00:00",
                     id="E8-utc"),
        pytest.param({"dateTime": "2030-05-02T10:00:00", "timeZone": "America/St_Johns"}, "2030-05-02T12:30:00Z",
                     "2030-05-02T10:00:00-02:30", id="E8-zone-without-offset"),
        pytest.param({"dateTime": "2030-05-02T10:00:00"}, "2030-05-02T01:00:00Z", "2030-05-02T10:00:00+09:00",
                     id="E8-the-calendar-s-zone"),
        pytest.param({"dateTime": "2030-12-31T23:30:00-05:00"}, "2031-01-01T04:30:00Z", "2030-12-31T23:30:00-05:00",
                     id="E8-over-the-year"),
    ],
)  # fmt: skip
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
def test_entry_points_and_conference_data_take_anything(value: dict[str, Any]) -> None:
    """What is of another kind than promised is as good as missing."""
    EntryPoint.from_api(value)
    ConferenceData.from_api(value)


def test_an_entry_point_keeps_every_code() -> None:
    """People cannot get in without them."""
    codes = {
        name: name[:2]
        for name in (
            "label",
            "passcode",
            "pin",
            "accessCode",
            "meetingCode",
            "password",
            "regionCode",
        )
    }
    point = EntryPoint.from_api({"entryPointType": "phone", "uri": "tel:+1", **codes})
    assert (point.kind, point.uri, point.access_code, point.meeting_code) == (
        "phone",
        "tel:+1",
        "ac",
        "me",
    )
    assert (point.label, point.passcode, point.pin, point.password, point.region_code) == (
        "la",
        "pa",
        "pi",
        "pa",
        "re",
    )


def test_e2_a_deleted_event_is_nothing_but_cancelled() -> None:
    """An event that Calendar does not know is a tombstone that decides."""
    event = Event.deleted(EventId("e1"))
    assert event == Event.from_api({"id": "e1", "status": "cancelled"})
    assert event.cancelled
    assert event.decides


def test_a_link_is_empty_when_nothing_is_worth_remembering() -> None:
    """A conference, or one that is being let go, is worth it."""
    assert LINK.empty
    letting_go = LettingGo(conference=WEB, since=NOW)
    leaving = Link(event=LINK.event, letting_go=(letting_go,))
    assert not leaving.empty
    assert not Link(event=LINK.event, conference=WEB).empty
    assert leaving.lets_go_of(WEB) == letting_go
    assert LINK.lets_go_of(WEB) is None


def test_counts_add_up() -> None:
    """Each count by itself."""
    whole = Counts(changes=1, created=2, updated=3, deleted=4, failed=5)
    assert whole + Counts() == whole
    assert whole + whole == Counts(changes=2, created=4, updated=6, deleted=8, failed=10)


NOUNS = [each for each in vars(model).values() if isinstance(each, type) and is_dataclass(each)]


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: str(noun.__name__))
def test_nouns_are_frozen(noun: Any) -> None:
    """A value that was read is not changed under anybody's hands, and has no members but its
    own."""
    value = object.__new__(noun)
    with pytest.raises(FrozenInstanceError):
        setattr(value, fields(noun)[0].name, 1)
    assert not hasattr(value, "__dict__")
