"""The dates of a series: the same as dateutil's, in bounded time, and never a guess."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.model.event import EventTime
from sync.model.series import Impossible, Series, begins_on, is_over, last_end, parse
from tests.support.processor import processor_time_below
from tests.support.providers import content

BERLIN = ZoneInfo("Europe/Berlin")
DAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]


def series_of(*lines: str, **changes: Any) -> Series:
    parsed = parse(content(recurrence=lines, **changes))
    assert isinstance(parsed, Series), parsed
    return parsed


def some(values: list[Any], most: int) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True).map(
        lambda chosen: ",".join(map(str, chosen))
    )


PLAIN = some(DAYS, 4).map(lambda days: f";BYDAY={days}")
NUMBERED = some([f"{n}{day}" for n in (1, 2, -1, 5) for day in DAYS], 3).map(
    lambda days: f";BYDAY={days}"
)
MONTH_DAYS = some([1, 5, 29, 30, 31, -1, -3], 3).map(lambda days: f";BYMONTHDAY={days}")
RULES = st.builds(
    lambda frequency, *parts: f"FREQ={frequency}" + "".join(parts),
    st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]),
    st.integers(1, 5).map(lambda interval: f";INTERVAL={interval}"),
    st.one_of(st.just(""), PLAIN),
    st.one_of(st.just(""), MONTH_DAYS),
    st.one_of(st.just(""), some(list(range(1, 13)), 4).map(lambda each: f";BYMONTH={each}")),
    st.sampled_from(["", ";WKST=SU", ";WKST=WE"]),
)
POSITIONED = st.builds(
    lambda frequency, days, positions: f"FREQ={frequency}{days};BYSETPOS={positions}",
    st.sampled_from(["MONTHLY", "YEARLY"]),
    st.one_of(PLAIN, MONTH_DAYS, NUMBERED),
    st.sampled_from(["1", "-1", "2,-2"]),
)
ORDINAL = st.builds(
    lambda frequency, days: f"FREQ={frequency}{days}",
    st.sampled_from(["MONTHLY", "YEARLY", "YEARLY;BYMONTH=3,11"]),
    NUMBERED,
)


@pytest.mark.slow
@settings(max_examples=150)
@given(rule=st.one_of(RULES, POSITIONED, ORDINAL), day=st.integers(1, 31))
def test_dates_are_those_of_dateutil(rule: str, day: int) -> None:
    """Whatever a rule combines: from the beginning, and from a moment in its middle."""
    first = datetime(2026, 5, day, 10)  # noqa: DTZ001 - wall time
    last = datetime(2040, 1, 1)  # noqa: DTZ001 - wall time
    wanted = list(rrulestr(f"{rule};UNTIL=20400101T000000", dtstart=first))
    found = parse(
        content(
            start=f"{first.isoformat()}+02:00",
            end=f"{first.isoformat()}+02:00",
            recurrence=(f"RRULE:{rule}",),
        )
    )
    if isinstance(found, Impossible):
        assert not wanted
        return
    dates = list(itertools.takewhile(lambda wall: wall < last, found.rule_dates()))
    assert dates == wanted
    since = datetime(2031, 3, 5, 12, tzinfo=UTC)
    later = itertools.takewhile(lambda wall: wall < last, found.rule_dates(since))
    assert [wall for wall in later if found.moment(wall) > since] == [
        wall for wall in wanted if found.moment(wall) > since
    ]


NO_DATE = [
    "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=DAILY;INTERVAL=7;BYDAY=TU",
    "FREQ=WEEKLY;BYMONTH=2;BYMONTHDAY=31",
    "FREQ=MONTHLY;BYMONTHDAY=31;BYMONTH=2,4,6",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=YEARLY;INTERVAL=1000;BYMONTH=2;BYMONTHDAY=29",
    "FREQ=YEARLY;BYMONTH=1;BYDAY=53MO",
]
LONG = [
    "FREQ=DAILY",
    "FREQ=DAILY;COUNT=999999",
    "FREQ=DAILY;UNTIL=99991231T235959Z",
    "FREQ=DAILY;UNTIL=99991231",
    "FREQ=YEARLY;INTERVAL=1000",
    "FREQ=MONTHLY;BYDAY=" + ",".join(DAYS * 50),
    "FREQ=DAILY;BYMONTHDAY=" + ",".join(["1"] * 100_000),
    "FREQ=DAILY;INTERVAL=" + "9" * 5_000,
    "FREQ=" + "DAILY" * 20_000,
]


@pytest.mark.slow
def test_s6_no_rule_takes_long() -> None:
    """Rules that match no date and rules without end: verdict, end and next date of all of them
    take less than one of them took of a processor."""
    with processor_time_below(4):
        now = datetime(2036, 1, 1, tzinfo=UTC)
        for rule in (*NO_DATE, *LONG):
            for start in ("2026-05-04T10:00:00+02:00", "0002-05-04T10:00:00+00:00"):
                event = content(start=start, end=start, recurrence=(f"RRULE:{rule}",))
                told = parse(event)
                last_end(event)
                is_over(event, now)
                begins_on(event, EventTime(moment=now))
                if isinstance(told, Series):
                    told.upcoming(now, 60)
    for rule in NO_DATE:
        assert isinstance(parse(content(recurrence=(f"RRULE:{rule}",))), Impossible)


@pytest.mark.parametrize(
    "line",
    [
        "EXDATE;TZID=Pacific Standard Time:20260511T100000",
        'RDATE;TZID="Mars/Olympus Mons":20260511T100000',
        "EXDATE:2026-05-11",
        "EXDATE:20260511T100000+02:00",
        "EXDATE:" + ",".join(["20260511T080000Z"] * 6_000),
    ],
    ids=lambda line: line[:40],
)
def test_e5_an_exception_that_cannot_be_read_is_no_date_at_all(line: str) -> None:
    """Read in another zone it would exclude a date that takes place."""
    assert isinstance(parse(content(recurrence=("RRULE:FREQ=WEEKLY", line))), Impossible)


def test_e5_offsets_are_zones() -> None:
    """`GMT+05:30` keeps its hour, in the event's own zone and in a line's."""
    told = series_of(
        "RRULE:FREQ=DAILY;COUNT=3",
        "EXDATE;TZID=GMT+05:30:20260505T133000",
        start="2026-05-04T13:30:00+05:30",
        end="2026-05-04T14:30:00+05:30",
        zone="GMT+05:30",
    )
    assert [f"{moment:%d %H:%M}" for moment in told.dates()] == ["04 08:00", "06 08:00"]


@pytest.mark.parametrize(
    "rule",
    [
        "RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=6;",
        "RRULE:FREQ=WEEKLY;BYDAY=MO,;COUNT=6",
        "RRULE: FREQ=WEEKLY; BYDAY = MO , ;COUNT=6 ; ",
    ],
)
def test_a_separator_at_an_end_or_a_blank_is_no_mistake(rule: str) -> None:
    """As some clients write it. The days are as without, and so is what a system is sent."""
    found, plain = series_of(rule), series_of("RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=6")
    assert found == plain
    assert len(list(found.dates())) == 6


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=WEEKLY;;COUNT=6",
        ";FREQ=WEEKLY",
        "FREQ=WEEKLY;COUNT=,",
        "FREQ=WEEKLY;BYDAY=MO,,TU",
        "FREQ=WEEKLY;BYDAY=MO TU",
        "FREQ=WEEKLY;COUNT=1 0",
        "FREQ=MONTHLY;BYMONTHDAY=1 5",
    ],
)
def test_a_separator_or_a_blank_in_the_middle_is_a_mistake(rule: str) -> None:
    """Something may be missing there, and no date is guessed."""
    assert isinstance(parse(content(recurrence=(f"RRULE:{rule}",))), Impossible)


@pytest.mark.parametrize(
    ("lines", "end"),
    [
        ((), "2026-05-04T09:00:00+00:00"),
        (("RRULE:FREQ=WEEKLY;COUNT=3",), "2026-05-18T09:00:00+00:00"),
        (("RRULE:FREQ=WEEKLY;UNTIL=20260518T080000Z",), "2026-05-18T09:00:00+00:00"),
        (
            ("RRULE:FREQ=WEEKLY;COUNT=3", "EXDATE:20260518T080000Z"),
            "2026-05-11T09:00:00+00:00",
        ),
        (("RRULE:FREQ=WEEKLY;COUNT=1", "EXDATE:20260504T080000Z"), "2026-05-04T09:00:00+00:00"),
        (("RDATE:20260601T080000Z",), "2026-06-01T09:00:00+00:00"),
        (("RRULE:FREQ=YEARLY;UNTIL=20280101",), "2027-05-04T09:00:00+00:00"),
        (("RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;UNTIL=2035",), None),
        (
            ("RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;UNTIL=20310101",),
            "2028-02-29T10:00:00+00:00",
        ),
        (("RRULE:FREQ=WEEKLY",), None),
        (("RRULE:FREQ=HOURLY",), None),
        (("RRULE:FREQ=WEEKLY;COUNT=2", "EXDATE;TZID=Nowhere:20260504T100000"), None),
    ],
)
def test_e7_when_the_last_date_is_over(lines: tuple[str, ...], end: str | None) -> None:
    """None for a series without end, and for one that cannot be read: neither is ever over."""
    found = last_end(content(recurrence=lines))
    assert found == (datetime.fromisoformat(end) if end else None)
    for now in (datetime(2026, 5, 1, tzinfo=UTC), datetime(2040, 5, 1, tzinfo=UTC)):
        assert is_over(content(recurrence=lines), now) is (found is not None and found <= now)


def test_e7_an_all_day_event_is_over_when_its_day_is_everywhere() -> None:
    """Fourteen hours after midnight in UTC."""
    day = content(start="2026-05-04", end="2026-05-05")
    assert last_end(day) == datetime(2026, 5, 5, 14, tzinfo=UTC)
    assert not is_over(day, datetime(2026, 5, 5, 13, tzinfo=UTC))


@pytest.mark.parametrize(
    ("moment", "single", "series"),
    [
        ("2026-05-04T08:00:00Z", True, True),
        ("2026-05-04T08:00:59Z", True, True),
        ("2026-05-04T08:01:00Z", False, False),
        ("2026-05-11T10:00:00+02:00", False, True),
        ("2026-05-18T08:00:00Z", False, False),
        ("2026-10-26T09:00:00Z", False, True),
        ("2026-10-26T08:00:00Z", False, False),
        ("2026-04-27T08:00:00Z", False, False),
        ("9999-12-31T23:59:00Z", False, False),
        ("0001-01-01T00:00:00Z", False, False),
    ],
)
def test_o2_a_conference_begins_on_one_of_the_dates(
    moment: str, single: bool, series: bool
) -> None:
    """To the minute; an excluded date is none, and wall time counts when clocks change."""
    at = EventTime(moment=datetime.fromisoformat(moment))
    weekly = content(recurrence=("RRULE:FREQ=WEEKLY", "EXDATE:20260518T080000Z"))
    assert (begins_on(content(), at), begins_on(weekly, at)) == (single, series)


def test_o2_dates_begin_on_dates() -> None:
    """An all-day event is compared by its day, in the zone that the system names."""
    daily = content(start="2026-05-04", end="2026-05-05", recurrence=("RRULE:FREQ=DAILY",))
    assert begins_on(daily, EventTime(day=date(2026, 5, 6)))
    assert not begins_on(daily, EventTime(day=date(2026, 5, 3)))
    midnight = datetime(2026, 5, 5, 22, tzinfo=UTC)
    assert begins_on(daily, EventTime(moment=midnight, time_zone="Europe/Berlin"))
    assert not begins_on(content(), EventTime(day=date(2026, 5, 4)))


def test_edges_of_the_calendar_are_no_crash() -> None:
    """The first and the last day there is have no neighbours."""
    for start in ("0001-01-02T00:00:00+00:00", "9999-12-31T10:00:00+00:00"):
        for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
            event = content(start=start, end=start, zone=zone, recurrence=("RRULE:FREQ=DAILY",))
            assert isinstance(parse(event), Impossible)
            assert last_end(event) is None
    for day in ("0001-01-01", "9999-12-31"):
        assert last_end(content(start=day, end=day)) is not None or day


FAR = [
    "COUNT=99999999999999999999",
    "COUNT=9223372036854775808",
    "UNTIL=00010101",
    "UNTIL=00700101T000000Z",
    "UNTIL=99991231T235959Z",
]


@pytest.mark.parametrize("ends", FAR)
@pytest.mark.parametrize("start", ["2026-05-04", "2026-05-04T10:00:00+02:00", "9000-12-31"])
def test_s6_no_end_of_a_rule_is_a_crash(ends: str, start: str) -> None:
    """Ends that no machine can count to, or that lie before everything, are ends as others."""
    event = content(start=start, end=start, recurrence=(f"RRULE:FREQ=DAILY;{ends}",))
    found = parse(event)
    assert isinstance(found, Series)
    found.last()
    last_end(event)
    for moment in ("0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59+00:00"):
        for zone in ("GMT+23:59", "GMT-23:59", None):
            at = EventTime(moment=datetime.fromisoformat(moment), time_zone=zone)
            assert not begins_on(event, at)


def test_a_series_is_read_once_for_each_line() -> None:
    """Duration and zone come from the event, the rest from its lines."""
    told = series_of("RRULE:FREQ=WEEKLY;COUNT=2")
    assert (told.duration, told.zone, told.count) == (timedelta(hours=1), BERLIN, 2)
