"""The Calendar stand-in's recurrence rules: the dates that dateutil finds, in bounded time."""

# ruff: noqa: DTZ001 - rules count in wall time

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from types import FrameType
from typing import Any, Self

import httpx
import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.google_calendar import ApiError, GoogleCalendar
from sandbox.google_calendar import rules as rules_module
from sandbox.google_calendar.rules import MOST_DAYS, Rule

ANNA = "anna@example.com"
EVENTS = f"/calendars/{ANNA}/events"
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
DAILY = {
    "summary": "Stand-up",
    "start": {"dateTime": "2030-05-02T09:00:00", "timeZone": "Europe/Berlin"},
    "end": {"dateTime": "2030-05-02T09:15:00", "timeZone": "Europe/Berlin"},
}
FIRST = datetime(2024, 1, 1, 9)
DATELESS = [
    "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=WEEKLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=YEARLY;BYMONTH=4;BYMONTHDAY=31;COUNT=5",
    "FREQ=DAILY;INTERVAL=7;BYDAY=FR",
    "FREQ=MONTHLY;INTERVAL=12;BYMONTH=6",
    "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=6",
]
# A series that repeats and never takes place costs no time either.
TAKEN_AWAY = ["RRULE:FREQ=DAILY", "EXRULE:FREQ=DAILY"]


@pytest.fixture
def calendar() -> Iterator[GoogleCalendar]:
    with GoogleCalendar(now=lambda: datetime(2030, 1, 1, tzinfo=UTC)) as running:
        running.add_calendar(ANNA, time_zone="Europe/Berlin")
        yield running


class Looks:
    """Counts the calls of functions in the module of rules, in this thread and in new ones."""

    def __init__(self) -> None:
        self.calls = 0

    def _count(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename == rules_module.__file__:
            self.calls += 1

    def __enter__(self) -> Self:
        threading.setprofile(self._count)
        sys.setprofile(self._count)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)


@pytest.fixture(scope="module")
def calls_of_eight_centuries() -> int:
    """What walking over the days of eight centuries takes."""
    with Looks() as looks:
        days = sum(1 for _ in islice(Rule.parse("FREQ=DAILY", first=FIRST), 8 * MOST_DAYS))
    assert days == 8 * MOST_DAYS
    return looks.calls


@pytest.fixture
def at_once(calls_of_eight_centuries: int) -> Iterator[None]:
    """Fail a test that looks further than eight centuries for dates. The server's thread begins
    with the test's first request, so it is counted too.

    A search to the year 9999 takes twice as much or more, for each rule.
    """
    with Looks() as looks:
        yield
    assert 0 < looks.calls < calls_of_eight_centuries


@st.composite
def rules(draw: st.DrawFn) -> tuple[str, datetime]:
    """A rule of whole days that matches its own first day, and that day."""
    first = draw(st.datetimes(datetime(2024, 1, 1), datetime(2033, 1, 1))).replace(microsecond=0)
    frequency = draw(st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]))
    parts = [f"FREQ={frequency}", f"INTERVAL={draw(st.integers(1, 4))}"]
    others = {
        "BYMONTH": (first.month, st.integers(1, 12)),
        "BYMONTHDAY": (first.day, st.integers(-31, 31).filter(bool)),
        "BYYEARDAY": (first.timetuple().tm_yday, st.integers(-366, 366).filter(bool)),
        "BYWEEKNO": (first.isocalendar().week, st.integers(2, 51)),
        "BYDAY": (WEEKDAYS[first.weekday()], st.sampled_from(WEEKDAYS)),
    }
    if frequency != "YEARLY":
        del others["BYYEARDAY"]
    # Around New Year dateutil counts a week 53 where ISO 8601 has none; the test below has those.
    if frequency != "YEARLY" or not 2 <= first.isocalendar().week <= 51:
        del others["BYWEEKNO"]
    for name, (own, values) in others.items():
        if draw(st.integers(0, 2)) == 0:
            chosen = {own, *draw(st.lists(values, max_size=2))}
            parts.append(f"{name}={','.join(map(str, sorted(chosen, key=str)))}")
    if frequency in ("MONTHLY", "YEARLY") and not any("BYDAY" in part for part in parts):
        which = (first.day - 1) // 7 + 1
        months = any("BYMONTH=" in part for part in parts)
        if frequency == "MONTHLY" or months:
            parts.append(f"BYDAY={which}{WEEKDAYS[first.weekday()]},-1SU")
        if draw(st.booleans()):
            parts.append(f"BYSETPOS={draw(st.sampled_from(['1', '-1', '1,-1', '1,2']))}")
    if draw(st.booleans()):
        parts.append(f"COUNT={draw(st.integers(1, 12))}")
    return ";".join(parts), first


@pytest.mark.slow
@given(case=rules())
@settings(max_examples=300)
def test_dates_are_those_of_dateutil(case: tuple[str, datetime]) -> None:
    """Whatever the rule, its first dates are those that dateutil finds."""
    rule, first = case
    assert list(islice(Rule.parse(rule, first=first), 15)) == list(
        islice(rrulestr(rule, dtstart=first), 15)
    )


@pytest.mark.parametrize("week", [1, 52, 53, -1])
def test_weeks_are_those_of_iso_8601(week: int) -> None:
    """BYWEEKNO means ISO weeks at the turn of the year too, and -1 is the last week of a year."""
    days = islice(Rule.parse(f"FREQ=YEARLY;BYWEEKNO={week};BYDAY=MO,SU", first=FIRST), 40)
    for day in days:
        last = datetime(day.isocalendar().year, 12, 28).isocalendar().week
        assert day.isocalendar().week == (week if week > 0 else last)


@pytest.mark.slow
@pytest.mark.parametrize("rule", DATELESS)
@pytest.mark.usefixtures("at_once")
def test_rule_without_a_date_is_refused_at_once(http: httpx.Client, rule: str) -> None:
    """A rule that never finds a date costs no time and answers 400, and the server goes on."""
    answer = http.post(EVENTS, json=DAILY | {"recurrence": [f"RRULE:{rule}"]})
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        400,
        "Invalid recurrence rule.",
    )
    assert http.get(EVENTS).json()["items"] == []


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;INTERVAL=-1",
        "FREQ=DAILY;INTERVAL=99999999999999999999",
        "FREQ=DAILY;COUNT=0",
        "FREQ=DAILY;COUNT=3;UNTIL=20300601T000000Z",
        "FREQ=DAILY;BYMONTH=13",
        "FREQ=DAILY;BYDAY=0MO",
        "FREQ=DAILY;BYMONTH=٣",
        "FREQ=HOURLY",
        "FREQ=DAILY;FREQ=WEEKLY",
        "INTERVAL=2",
        "",
    ],
)
def test_senseless_rules_are_refused(http: httpx.Client, rule: str) -> None:
    """A rule that cannot be read answers 400, an interval of nothing among them."""
    answer = http.post(EVENTS, json=DAILY | {"recurrence": [f"RRULE:{rule}"]})
    assert answer.status_code == 400


@pytest.mark.slow
@pytest.mark.parametrize("rule", DATELESS)
@pytest.mark.usefixtures("at_once")
def test_people_may_have_a_series_without_a_date(
    calendar: GoogleCalendar, http: httpx.Client, rule: str
) -> None:
    """Seeded by the back door, such a series is listed, and expanding it costs no time."""
    series = calendar.seed_event(ANNA, DAILY | {"recurrence": [f"RRULE:{rule}"]})
    assert http.get(EVENTS).json()["items"] == [series]
    assert http.get(EVENTS, params={"singleEvents": "true"}).json()["items"] == []
    window = {"timeMin": "2031-01-01T00:00:00Z", "timeMax": "2032-01-01T00:00:00Z"}
    assert http.get(EVENTS, params=window).json()["items"] == []


@pytest.mark.slow
@pytest.mark.usefixtures("at_once")
def test_rule_taken_away_by_another_costs_no_time(http: httpx.Client) -> None:
    """A series whose EXRULE removes every date is taken, and has no occurrence."""
    series = http.post(EVENTS, json=DAILY | {"recurrence": TAKEN_AWAY}).raise_for_status().json()
    assert http.get(f"{EVENTS}/{series['id']}/instances").json()["items"] == []


@pytest.mark.slow
@pytest.mark.usefixtures("at_once")
def test_many_rules_without_a_date_are_refused_at_once(http: httpx.Client) -> None:
    """The first of them is the last that is looked at."""
    lines = [f"{name}:{DATELESS[0]}" for name in ("RRULE", "EXRULE")] * 500
    for rules in (lines, lines[1:]):
        answer = http.post(EVENTS, json=DAILY | {"recurrence": rules})
        assert answer.status_code == 400


@pytest.mark.parametrize("frequency", ["DAILY", "WEEKLY", "MONTHLY", "YEARLY"])
@pytest.mark.parametrize(
    "by", ["BYDAY=-1FR", "BYDAY=FR", "BYMONTHDAY=-1", "BYMONTH=12", "COUNT=99"]
)
def test_rules_end_with_the_last_year(frequency: str, by: str) -> None:
    """A rule that is followed to the end of all dates ends there, and raises nothing."""
    first = datetime(9990, 1, 1, 9)
    dates = list(Rule.parse(f"FREQ={frequency};{by}", first=first))
    assert dates == sorted(dates)
    assert dates[-1].year >= 9997 or by == "COUNT=99"


def test_semicolon_at_the_end_is_no_mistake(calendar: GoogleCalendar) -> None:
    """`RRULE:FREQ=DAILY;COUNT=6;` is the rule without the last character."""
    series = calendar.seed_event(ANNA, DAILY | {"recurrence": ["RRULE:FREQ=DAILY;COUNT=6;"]})
    assert calendar.count_instances(ANNA, series["id"]) == 6


@pytest.mark.parametrize(
    "line", ["EXDATE;VALUE=DATE:20300503,20300505", "EXDATE:20300503,20300505"]
)
def test_excluded_days_of_a_timed_series(http: httpx.Client, line: str) -> None:
    """A bare day in EXDATE takes away the occurrence on that day of the series' own zone."""
    rules = ["RRULE:FREQ=DAILY;COUNT=4", line]
    series = http.post(EVENTS, json=DAILY | {"recurrence": rules}).raise_for_status().json()
    assert series["recurrence"] == rules
    items = http.get(f"{EVENTS}/{series['id']}/instances").json()["items"]
    assert [item["start"]["dateTime"][:10] for item in items] == ["2030-05-02", "2030-05-04"]


def test_added_day_of_a_timed_series(http: httpx.Client) -> None:
    """A bare day in RDATE adds an occurrence at the series' own time."""
    rules = ["RRULE:FREQ=DAILY;COUNT=1", "RDATE;VALUE=DATE:20300601"]
    series = http.post(EVENTS, json=DAILY | {"recurrence": rules}).raise_for_status().json()
    items = http.get(f"{EVENTS}/{series['id']}/instances").json()["items"]
    assert items[1]["start"]["dateTime"] == "2030-06-01T09:00:00+02:00"


def test_zone_may_be_an_offset(http: httpx.Client) -> None:
    """`GMT+02:00` is a zone without a change of the clocks."""
    times = {
        name: {"dateTime": f"2030-01-02T{hour}:00:00", "timeZone": "GMT+02:00"}
        for name, hour in (("start", "09"), ("end", "10"))
    }
    body = {**times, "recurrence": ["RRULE:FREQ=MONTHLY;COUNT=7"]}
    series = http.post(EVENTS, json=body).raise_for_status().json()
    assert series["start"] == {"dateTime": "2030-01-02T08:00:00+01:00", "timeZone": "GMT+02:00"}
    items = http.get(f"{EVENTS}/{series['id']}/instances").json()["items"]
    assert {item["id"].partition("_")[2][-7:] for item in items} == {"070000Z"}


def test_malformed_original_start_is_refused(calendar: GoogleCalendar) -> None:
    """An exception whose original start is no time answers 400, and no assertion fails."""
    body = DAILY | {"recurringEventId": "s" * 5, "originalStartTime": {"dateTime": "soon"}}
    with pytest.raises(ApiError) as refused:
        calendar.seed_event(ANNA, body)
    assert refused.value.status == 400
