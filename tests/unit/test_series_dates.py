"""When a series begins and ends: told in bounded time, and never with an exception (E7, E8, S6)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.event.content import content_of
from sync.model.conference import ConferenceContent
from sync.model.event import EventTime
from sync.model.series import begins_on, is_over, last_end
from tests.support.events import NOW, Json, at, item, parsed
from tests.support.processor import processor_time_below


def content(*recurrence: str, **fields: Any) -> ConferenceContent:
    """An hour on Thursday, 2 May 2030, at 12 in Berlin, and what is repeated of it."""
    return content_of(parsed(item(recurrence=list(recurrence), **fields)), at())


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


ENDS: dict[str, tuple[ConferenceContent, datetime | None]] = {
    "E7-single": (content(), utc("2030-05-02T11:00")),
    "E7-single-without-an-end": (content(end=None), utc("2030-05-02T10:00")),
    "E7-single-that-ends-before-it-begins": (
        content(end={"dateTime": "2030-05-01T00:00:00Z"}),
        utc("2030-05-02T10:00"),
    ),
    "E7-all-day-ends-in-the-last-zone": (
        content(start={"date": "2030-05-02"}, end={"date": "2030-05-03"}),
        utc("2030-05-03T14:00"),
    ),
    "E7-six-weeks": (content("RRULE:FREQ=WEEKLY;COUNT=6"), utc("2030-06-06T11:00")),
    "E7-until-a-date": (content("RRULE:FREQ=WEEKLY;UNTIL=20300520"), utc("2030-05-16T11:00")),
    "E7-over-a-change-of-clocks": (
        content("RRULE:FREQ=MONTHLY;COUNT=7"),
        utc("2030-11-02T12:00"),
    ),
    "E7-the-last-date-is-excluded": (
        content("RRULE:FREQ=WEEKLY;COUNT=2", "EXDATE:20300509T100000Z"),
        utc("2030-05-02T11:00"),
    ),
    "E7-a-date-is-added": (
        content("RRULE:FREQ=WEEKLY;COUNT=2", "RDATE:20301224T100000Z"),
        utc("2030-12-24T11:00"),
    ),
    "E7-endless": (content("RRULE:FREQ=WEEKLY"), None),
    "E7-that-cannot-be-read": (content("RRULE:FREQ=SOMETIMES;COUNT=2"), None),
    "E8-a-date-on-the-last-day-there-is": (content("RDATE:99991231T235959Z"), None),
    "E8-so-long-that-its-dates-never-end": (
        content("RRULE:FREQ=DAILY;COUNT=9", end={"dateTime": "9999-12-31T23:59:59Z"}),
        None,
    ),
    "E8-all-day-to-the-last-day-there-is": (
        content(start={"date": "9999-12-30"}, end={"date": "9999-12-31"}),
        utc("9999-12-31T14:00"),
    ),
}


@pytest.mark.parametrize(("told", "expected"), list(ENDS.values()), ids=list(ENDS))
def test_e7_a_conference_is_over_when_its_last_date_is(
    told: ConferenceContent, expected: datetime | None
) -> None:
    """None: it never ends, or nobody can tell when."""
    assert last_end(told) == expected
    if expected is None:
        assert not is_over(told, utc("9999-12-31T23:59"))
        return
    assert is_over(told, expected)
    assert not is_over(told, expected - timedelta(seconds=1))


HOSTILE: dict[str, tuple[str, ...]] = {
    "S6-a-rule-without-a-date": ("RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",),
    "S6-a-weekday-named-400-times": (
        "RRULE:FREQ=YEARLY;COUNT=5000;BYDAY=" + "53MO," * 399 + "53MO",
    ),
    "S6-400-numbered-weekdays": (
        "RRULE:FREQ=YEARLY;COUNT=5000;BYDAY="
        + ",".join(
            f"{n}{day}" for n in range(-33, 0) for day in ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
        ),
    ),
    "S6-a-day-named-400-times": ("RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=" + "30," * 399 + "30",),
    "S6-more-than-400-parts": ("RRULE:FREQ=YEARLY;BYDAY=" + "MO," * 30_000,),
    "S6-every-position": ("RRULE:FREQ=YEARLY;BYSETPOS=" + ",".join(map(str, range(1, 367))),),
    "S6-a-thousand-million-dates": ("RRULE:FREQ=DAILY;COUNT=1000000000",),
    "S6-a-number-of-90,000-digits": ("RRULE:FREQ=DAILY;COUNT=" + "9" * 90_000,),
    "S6-thousands-of-exceptions": ("RRULE:FREQ=DAILY", *["EXDATE:20300503T100000Z"] * 20_000),
    "S6-exceptions-in-one-line": ("RRULE:FREQ=DAILY", "EXDATE:" + "20300503T100000Z," * 5_000),
    "S6-added-dates-in-one-line": ("RDATE:" + "20300503T100000Z," * 5_000,),
    "S6-a-long-zone": ("EXDATE;TZID=" + "x" * 90_000 + ":20300503T100000",),
    "S6-quotes-without-an-end": ('EXDATE;TZID="' * 10_000 + ":20300503T100000",),
    "S6-separators": ("RRULE:" + ";" * 90_000,),
    "S6-colons": (":" * 90_000,),
    "S6-equals": ("RRULE:FREQ=DAILY;" + "=" * 90_000,),
    "S6-far-away": ("RRULE:FREQ=DAILY;UNTIL=99991231T235959Z",),
    "S6-every-thousandth-year": ("RRULE:FREQ=YEARLY;INTERVAL=1000;COUNT=1000",),
}


@pytest.mark.parametrize("lines", list(HOSTILE.values()), ids=list(HOSTILE))
def test_s6_every_question_about_dates_is_answered_in_bounded_time(lines: tuple[str, ...]) -> None:
    """A rule written to be slow costs one event a moment, and no other event anything."""
    told = content(*lines)
    with processor_time_below(10):
        last_end(told)
        is_over(told, NOW + timedelta(days=20_000))
        for year in (2030, 2090, 9999):
            begins_on(told, EventTime(moment=NOW.replace(year=year)))


_WORDS = st.sampled_from(
    [
        "RRULE:",
        "EXDATE:",
        "RDATE:",
        "EXRULE:",
        "EXDATE;TZID=Europe/Berlin:",
        "FREQ=DAILY",
        "FREQ=WEEKLY",
        "FREQ=MONTHLY",
        "FREQ=YEARLY",
        "FREQ=HOURLY",
        "COUNT=3",
        "COUNT=0",
        "INTERVAL=2",
        "INTERVAL=0",
        "UNTIL=20300601",
        "UNTIL=99991231T235959Z",
        "BYDAY=MO,-1FR",
        "BYDAY=XX",
        "BYMONTHDAY=31,-1",
        "BYMONTH=2",
        "BYSETPOS=-1",
        "WKST=SU",
        "20300509T100000Z",
        "20300509T120000",
        "20300509",
        "00010101T000000Z",
        "99991231T235959Z",
        ";",
        ",",
        "=",
    ]
)
_LINES = st.lists(
    st.lists(_WORDS | st.text(max_size=5), max_size=7).map(";".join) | _WORDS, max_size=4
)
_TIMES = st.sampled_from(
    [
        {"dateTime": "2030-05-02T12:00:00+02:00", "timeZone": "Europe/Berlin"},
        {"dateTime": "2030-05-02T12:00:00+02:00", "timeZone": "Mars/Olympus"},
        {"dateTime": "9999-12-31T23:59:59Z"},
        {"dateTime": "0001-01-01T00:00:00Z"},
        {"date": "2030-05-02"},
        {"date": "0001-01-01"},
        {"date": "9999-12-31"},
    ]
)


@given(lines=_LINES, start=_TIMES, end=_TIMES, other=_TIMES)
def test_s6_whatever_a_series_says_no_question_about_it_raises(
    lines: list[str], start: Json, end: Json, other: Json
) -> None:
    """And the answers agree: over is over, and nothing begins on a date behind the end."""
    told = content(*lines, start=start, end=end)
    over = last_end(told)
    assert isinstance(begins_on(told, EventTime.from_api(other)), bool)
    if over is not None:
        assert is_over(told, over)
