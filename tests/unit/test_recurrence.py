"""Recurrence in the words of Zoom and Webex: exactly, for a while, or not at all; and never
other dates."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.zoom_recurrence import days_of
from sync.conferencing.recurrence import (
    Approximate,
    Exact,
    ForWebex,
    ForZoom,
    Translation,
    for_webex,
    for_zoom,
    served_until,
    webex_dates,
    zoom_dates,
)
from sync.model.series import Impossible, Series, is_over, parse
from tests.support.providers import content

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def series_of(*lines: str, **changes: Any) -> Series:
    parsed = parse(content(recurrence=lines, **changes))
    assert isinstance(parsed, Series), parsed
    return parsed


def to_zoom(*lines: str, now: datetime = NOW, **changes: Any) -> Translation[ForZoom]:
    parsed = parse(content(recurrence=lines, **changes))
    return parsed if isinstance(parsed, Impossible) else for_zoom(parsed, now)


def to_webex(*lines: str, now: datetime = NOW, **changes: Any) -> Translation[ForWebex]:
    parsed = parse(content(recurrence=lines, **changes))
    return parsed if isinstance(parsed, Impossible) else for_webex(parsed, now)


# The event begins on Monday, 4 May 2026, at 10 in Berlin.
EXPRESSIBLE = [
    ("FREQ=DAILY;COUNT=5", {"type": 1, "repeat_interval": 1}, "FREQ=DAILY;INTERVAL=1"),
    ("FREQ=DAILY;INTERVAL=3;COUNT=5", {"type": 1, "repeat_interval": 3}, "FREQ=DAILY;INTERVAL=3"),
    (
        "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR;COUNT=5",
        {"type": 2, "repeat_interval": 1, "weekly_days": "2,3,4,5,6"},
        "FREQ=WEEKLY;INTERVAL=1;BYDAY=MO,TU,WE,TH,FR",
    ),
    (
        "FREQ=WEEKLY;COUNT=5",
        {"type": 2, "repeat_interval": 1, "weekly_days": "2"},
        "FREQ=WEEKLY;INTERVAL=1;BYDAY=MO",
    ),
    (
        "FREQ=WEEKLY;BYDAY=MO,SU;COUNT=5",
        {"type": 2, "repeat_interval": 1, "weekly_days": "1,2"},
        "FREQ=WEEKLY;INTERVAL=1;BYDAY=MO,SU",
    ),
    (
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE;COUNT=5",
        {"type": 2, "repeat_interval": 2, "weekly_days": "2,4"},
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE",
    ),
    (
        "FREQ=MONTHLY;COUNT=5",
        {"type": 3, "repeat_interval": 1, "monthly_day": 4},
        "FREQ=MONTHLY;INTERVAL=1;BYMONTHDAY=4",
    ),
    (
        "FREQ=MONTHLY;BYDAY=1MO;COUNT=5",
        {"type": 3, "repeat_interval": 1, "monthly_week": 1, "monthly_week_day": 2},
        "FREQ=MONTHLY;INTERVAL=1;BYDAY=1MO",
    ),
    (
        "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=1;COUNT=5",
        {"type": 3, "repeat_interval": 1, "monthly_week": 1, "monthly_week_day": 2},
        "FREQ=MONTHLY;INTERVAL=1;BYDAY=1MO",
    ),
    (
        "FREQ=MONTHLY;INTERVAL=2;BYDAY=-1SU;COUNT=5",
        {"type": 3, "repeat_interval": 2, "monthly_week": -1, "monthly_week_day": 1},
        "FREQ=MONTHLY;INTERVAL=2;BYDAY=-1SU",
    ),
]


@pytest.mark.parametrize(
    ("rule", "zoom", "webex"), EXPRESSIBLE, ids=[row[0] for row in EXPRESSIBLE]
)
def test_what_both_know_is_exact(rule: str, zoom: dict[str, Any], webex: str) -> None:
    """Daily, weekly, and one day of a month, in each system's words."""
    told = to_zoom(f"RRULE:{rule}")
    assert isinstance(told, Exact)
    assert told.sent.recurrence == {**zoom, "end_times": 5}
    told_webex = to_webex(f"RRULE:{rule}")
    assert isinstance(told_webex, Exact)
    assert told_webex.sent.recurrence == f"{webex};COUNT=5"


IMPOSSIBLE_FOR_BOTH = [
    "RRULE:FREQ=MONTHLY;BYMONTHDAY=4,18",
    "RRULE:FREQ=MONTHLY;BYMONTHDAY=-1",
    "RRULE:FREQ=MONTHLY;BYDAY=5MO",
    "RRULE:FREQ=MONTHLY;BYDAY=MO,TU",
    "RRULE:FREQ=MONTHLY;BYDAY=-2FR",
    "RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE;BYSETPOS=-1",
    "RRULE:FREQ=MONTHLY;BYMONTH=1,5",
    "RRULE:FREQ=WEEKLY;BYMONTH=5",
    "RRULE:FREQ=DAILY;INTERVAL=2;BYDAY=MO",
    "RRULE:FREQ=YEARLY;BYDAY=MO",
    "RRULE:FREQ=YEARLY;BYMONTH=5,6;BYMONTHDAY=4",
    "RRULE:FREQ=YEARLY;BYWEEKNO=20",
    "RRULE:FREQ=HOURLY",
    "RRULE:FREQ=DAILY;BYHOUR=9,17",
    "RRULE:FREQ=DAILY;INTERVAL=0",
    "RRULE:FREQ=DAILY;COUNT=0",
    "RRULE:FREQ=DAILY;COUNT=many",
    "RRULE:FREQ=DAILY;UNTIL=tomorrow",
    "RRULE:FREQ=WEEKLY;BYDAY=XX",
    "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
    "RRULE:",
    "EXRULE:FREQ=WEEKLY",
    "RDATE;TZID=Europe/Berlin:20260506T100000",
    "nonsense",
]


@pytest.mark.parametrize("line", IMPOSSIBLE_FOR_BOTH)
def test_what_neither_knows_is_refused_with_a_reason(line: str) -> None:
    """No rule that would silently yield other dates."""
    for told in (to_zoom(line), to_webex(line)):
        assert isinstance(told, Impossible)
        assert told.reason


@pytest.mark.parametrize(
    "lines",
    [
        ("RRULE:FREQ=DAILY", "RRULE:FREQ=WEEKLY"),
        ("RRULE:FREQ=DAILY", "RDATE:20260506T080000Z"),
        ("RRULE:FREQ=DAILY", "EXDATE:someday"),
    ],
)
def test_several_lines_that_do_not_go_together(lines: tuple[str, ...]) -> None:
    """Two rules, single dates beside a rule, an exception that cannot be read."""
    assert isinstance(to_zoom(*lines), Impossible)
    assert isinstance(to_webex(*lines), Impossible)


@pytest.mark.parametrize(
    "rule",
    ["FREQ=YEARLY", "FREQ=DAILY;INTERVAL=91", "FREQ=WEEKLY;INTERVAL=13", "FREQ=MONTHLY;INTERVAL=4"],
)
def test_what_webex_alone_knows(rule: str) -> None:
    """Zoom has no years, and its intervals are short."""
    assert isinstance(to_zoom(f"RRULE:{rule}"), Impossible)
    assert isinstance(to_webex(f"RRULE:{rule}"), Exact)


def test_a_yearly_date_is_named_in_full() -> None:
    """Month and day, or weekday: nothing is left for Webex to guess."""
    for rule, told in [
        ("FREQ=YEARLY", "FREQ=YEARLY;INTERVAL=1;BYMONTH=5;BYMONTHDAY=4"),
        ("FREQ=YEARLY;BYMONTH=5;BYDAY=1MO", "FREQ=YEARLY;INTERVAL=1;BYMONTH=5;BYDAY=1MO"),
    ]:
        translated = to_webex(f"RRULE:{rule}")
        assert isinstance(translated, Exact)
        assert translated.sent.recurrence == told


def test_weeks_that_begin_on_another_day() -> None:
    """Every second week on Sunday and Monday: which belong together depends on the week's first
    day.

    Zoom's begins on Sunday. With Calendar's on Monday the dates would differ, and are not sent.
    """
    assert isinstance(to_zoom("RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO;WKST=MO"), Impossible)
    assert isinstance(to_zoom("RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO;WKST=SU"), Approximate)
    assert isinstance(to_webex("RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO;WKST=MO"), Exact)
    assert isinstance(to_webex("RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO;WKST=SU"), Impossible)


def test_a_long_series_is_a_copy_for_a_while() -> None:
    """Endless, or 500 times: Zoom gets the next 50 dates, and again before they run out."""
    for rule in ("FREQ=DAILY", "FREQ=DAILY;COUNT=500", "FREQ=DAILY;UNTIL=20301231T000000Z"):
        told = to_zoom(f"RRULE:{rule}")
        assert isinstance(told, Approximate)
        assert told.sent.recurrence["end_times"] == 50
        assert told.approximation.again_at == datetime(2026, 5, 4, 8, tzinfo=UTC) + timedelta(
            days=40
        )
        assert "50 dates of this series, until 2026-06-22" in told.approximation.reason


def test_a_copy_goes_on_where_time_stands() -> None:
    """The next date is the first that is sent; what is past counts no more."""
    later = datetime(2026, 6, 1, 12, tzinfo=UTC)
    told = to_zoom("RRULE:FREQ=WEEKLY;COUNT=10", now=later)
    assert isinstance(told, Exact)
    assert (told.sent.start, told.sent.recurrence["end_times"]) == (datetime(2026, 6, 8, 10), 5)  # noqa: DTZ001 - wall time
    told_webex = to_webex("RRULE:FREQ=WEEKLY;COUNT=10", now=later)
    assert isinstance(told_webex, Exact)
    assert told_webex.sent.start == datetime(2026, 6, 8, 10)  # noqa: DTZ001 - wall time
    assert told_webex.sent.recurrence.endswith(";COUNT=5")
    assert isinstance(
        to_zoom("RRULE:FREQ=WEEKLY;COUNT=10", now=datetime(2027, 1, 1, tzinfo=UTC)), Impossible
    )


def test_webex_holds_no_more_than_it_says() -> None:
    """A series that ends is cut after so many occurrences, or five years; one without end is
    not."""
    for rule, count in [
        ("FREQ=WEEKLY;COUNT=500", 261),
        ("FREQ=DAILY;COUNT=5000", 1823),
        ("FREQ=YEARLY;COUNT=9", 5),
    ]:
        told = to_webex(f"RRULE:{rule}")
        assert isinstance(told, Approximate)
        assert told.sent.recurrence.endswith(f";COUNT={count}")
    assert isinstance(to_webex("RRULE:FREQ=WEEKLY"), Exact)


@pytest.mark.parametrize(
    "line",
    [
        "EXDATE;TZID=Europe/Berlin:20260511T100000",
        "EXDATE:20260511T080000Z",
        "EXDATE;VALUE=DATE:20260511",
        "exdate;tzid=America/New_York:20260511T040000",
    ],
)
def test_excluded_dates_are_cancelled(line: str) -> None:
    """EXDATE in each of its forms: the rule as it is, and the date to cancel."""
    excluded = datetime(2026, 5, 11, 8, tzinfo=UTC)
    told = to_zoom("RRULE:FREQ=WEEKLY;COUNT=3", line)
    assert isinstance(told, Exact)
    assert (told.sent.recurrence["end_times"], told.sent.cancelled) == (3, (excluded,))
    told_webex = to_webex("RRULE:FREQ=WEEKLY;COUNT=3", line)
    assert isinstance(told_webex, Exact)
    assert told_webex.sent.cancelled == (excluded,)


def test_an_excluded_first_date_is_not_the_start() -> None:
    """The series begins with the first date that takes place."""
    told = to_zoom("RRULE:FREQ=WEEKLY;COUNT=3", "EXDATE:20260504T080000Z")
    assert isinstance(told, Exact)
    assert told.sent.start == datetime(2026, 5, 11, 10)  # noqa: DTZ001 - wall time
    assert (told.sent.recurrence["end_times"], told.sent.cancelled) == (2, ())


def test_until_includes_its_moment_and_its_day() -> None:
    """As RFC 5545 has it: a moment in UTC, or a date with all of its hours."""
    for until in ("20260518T080000Z", "20260518", "20260518T100000"):
        assert len(list(series_of(f"RRULE:FREQ=WEEKLY;UNTIL={until}").dates())) == 3
    assert len(list(series_of("RRULE:FREQ=WEEKLY;UNTIL=20260518T075959Z").dates())) == 2


def test_wall_time_is_kept_when_clocks_change() -> None:
    """Ten o'clock stays ten o'clock in Berlin, and moves in UTC."""
    dates = list(itertools.islice(series_of("RRULE:FREQ=MONTHLY").dates(), 8))
    assert {moment.astimezone(BERLIN).hour for moment in dates} == {10}
    assert {moment.hour for moment in dates} == {8, 9}


def test_a_zone_nobody_knows_tells_no_dates() -> None:
    """A series cannot be reduced to UTC."""
    assert isinstance(to_zoom("RRULE:FREQ=WEEKLY", zone="Mars/Olympus_Mons"), Impossible)


def test_added_dates_come_in_their_order() -> None:
    """RDATE and RRULE together, each moment once; a period counts by its start."""
    series = series_of(
        "RRULE:FREQ=WEEKLY;COUNT=2",
        "RDATE:20260511T080000Z,20260506T080000Z",
        "RDATE;VALUE=PERIOD:20260507T080000Z/PT1H",
    )
    assert [moment.day for moment in series.dates()] == [4, 6, 7, 11]


@pytest.mark.parametrize(
    ("lines", "end", "again"),
    [
        ((), datetime(2026, 5, 4, 9, tzinfo=UTC), False),
        (("RRULE:FREQ=WEEKLY;COUNT=3",), datetime(2026, 5, 18, 9, tzinfo=UTC), False),
        (
            ("RRULE:FREQ=WEEKLY;COUNT=3", "EXDATE:20260518T080000Z"),
            datetime(2026, 5, 11, 9, tzinfo=UTC),
            False,
        ),
        (("RDATE:20260601T080000Z",), datetime(2026, 6, 1, 9, tzinfo=UTC), False),
        (("RRULE:FREQ=WEEKLY",), datetime(2027, 5, 4, 8, tzinfo=UTC), True),
        (("RRULE:FREQ=DAILY;COUNT=5000",), datetime(2027, 5, 4, 8, tzinfo=UTC), True),
        (("RRULE:FREQ=HOURLY",), datetime(2027, 5, 4, 8, tzinfo=UTC), True),
    ],
)
def test_the_end_for_good(lines: tuple[str, ...], end: datetime, again: bool) -> None:
    """The last occurrence's end; a year from the start where there is none, or none that can be
    told."""
    found, when = served_until(content(recurrence=lines), NOW, timedelta(days=365))
    assert (found, when is not None) == (end, again)
    assert not is_over(content(recurrence=lines), NOW)
    assert is_over(content(recurrence=lines), datetime(2026, 7, 1, tzinfo=UTC)) is not again


@pytest.mark.parametrize("day", ["9998-12-31", "9999-12-30", "9999-12-31"])
@pytest.mark.parametrize(
    "lines", [(), ("RRULE:FREQ=DAILY",), ("RRULE:FREQ=DAILY;UNTIL=00010101",), ("RDATE:99991231",)]
)
def test_s6_the_last_days_of_the_calendar_end_with_it(day: str, lines: tuple[str, ...]) -> None:
    """A conference on a day that has no later one is served until the last moment there is."""
    for start, end in ((day, "9999-12-31"), ("2026-05-04", day)):
        event = content(start=start, end=end, recurrence=lines)
        until, again = served_until(event, NOW, timedelta(days=3650))
        assert until.isoformat() >= day
        assert again is None or again >= NOW


RULES = st.builds(
    lambda frequency, interval, days, extra: f"FREQ={frequency};INTERVAL={interval}{days}{extra}",
    st.sampled_from(["DAILY", "WEEKLY", "MONTHLY"]),
    st.integers(1, 4),
    st.one_of(
        st.just(""),
        st.lists(
            st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"]),
            min_size=1,
            max_size=7,
            unique=True,
        ).map(lambda days: f";BYDAY={','.join(days)}"),
        st.sampled_from(
            [";BYDAY=2TU", ";BYDAY=-1FR", ";BYMONTHDAY=31", ";BYMONTHDAY=1", ";BYMONTHDAY=1,15"]
        ),
    ),
    st.sampled_from(["", ";WKST=SU", ";WKST=MO", ";COUNT=7", ";COUNT=120"]),
)


@settings(max_examples=50)
@given(rule=RULES, hours=st.integers(0, 24 * 400))
def test_c1_no_date_is_ever_wrong(rule: str, hours: int) -> None:
    """Whatever is sent at whatever time, both systems' dates are the calendar's next ones.

    Calendar's side is told by dateutil alone, Zoom's also by the stand-in, which counts days
    without it.
    """
    now = NOW + timedelta(hours=hours)
    try:
        dates = rrulestr(f"RRULE:{rule}", dtstart=datetime(2026, 5, 4, 10))  # noqa: DTZ001 - wall time
    except ValueError:
        return
    ahead = (wall for wall in dates if wall.replace(tzinfo=BERLIN) > now)
    wanted = list(itertools.islice(ahead, 50))
    told = to_zoom(f"RRULE:{rule}", now=now)
    if not isinstance(told, Impossible):
        sent = told.sent.recurrence
        assert (
            list(itertools.islice(zoom_dates(told.sent.start, sent), sent["end_times"])) == wanted
        )
        days = list(itertools.islice(days_of(told.sent.start.date(), sent), sent["end_times"]))
        assert days == [wall.date() for wall in wanted]
    told_webex = to_webex(f"RRULE:{rule}", now=now)
    if not isinstance(told_webex, Impossible):
        sent_webex = told_webex.sent
        assert (
            list(
                itertools.islice(webex_dates(sent_webex.start, sent_webex.recurrence), len(wanted))
            )
            == wanted
        )
