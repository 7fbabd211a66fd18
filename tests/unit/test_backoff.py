"""The one retry policy: delays that grow and end, and a little patience for reads."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.backoff import LONGEST, delay, patiently, retry_after
from sync.errors import Invalid, TryLater

FIRST = timedelta(seconds=30)
DELAYS = {
    0: 30,
    1: 30,
    2: 60,
    3: 120,
    4: 240,
    5: 480,
    6: 960,
    7: 1920,
    8: 3600,
    9: 3600,
    10: 3600,
    10**9: 3600,
}


@pytest.mark.parametrize(
    ("attempts", "seconds"), list(DELAYS.items()), ids=[f"C5-{tries}-tries" for tries in DELAYS]
)
def test_c5_the_delay_doubles_up_to_an_hour(attempts: int, seconds: float) -> None:
    """30 s, a minute, two … an hour, and never more."""
    assert delay(FIRST, attempts) == timedelta(seconds=seconds)


@given(
    first=st.integers(0, 3600).map(lambda seconds: timedelta(seconds=seconds)),
    attempts=st.integers(0, 10_000),
    asked=st.none() | st.integers(0, 10**6).map(lambda seconds: timedelta(seconds=seconds)),
)
def test_c5_the_delay_never_shrinks_and_obeys_what_was_asked_for(
    first: timedelta, attempts: int, asked: timedelta | None
) -> None:
    """Growing with the tries, at most an hour of our own, at least what the other side asked
    for."""
    wait = delay(first, attempts, asked=asked)
    assert first <= wait <= max(LONGEST, asked or timedelta())
    assert delay(first, attempts) <= delay(first, attempts + 1)
    assert asked is None or wait >= asked


def test_c3_a_daily_quota_is_waited_for() -> None:
    """What the other side asked for counts although it is longer than our longest."""
    assert delay(FIRST, 1, asked=timedelta(days=1)) == timedelta(days=1)
    assert delay(FIRST, 5, asked=timedelta(seconds=1)) == timedelta(seconds=480)


class Flaky:
    """Raises these, one at each call, and then answers; counts its calls."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def test_patience_repeats_what_may_succeed_later() -> None:
    """One failure, a short wait, the answer."""
    flaky = Flaky(TryLater("a"))
    began = time.monotonic()
    assert patiently(flaky, tries=2) == "answer"
    assert flaky.calls == 2
    assert 0.1 < time.monotonic() - began < 5


def test_patience_ends_with_the_last_error() -> None:
    """So many tries and no more; the error is the call's own."""
    flaky = Flaky(TryLater("first"), TryLater("second"), TryLater("third"))
    with pytest.raises(TryLater, match="second"):
        patiently(flaky, tries=2)
    assert flaky.calls == 2


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Invalid("no"), id="not-to-be-helped"),
        pytest.param(ValueError("no"), id="somebody-else-s"),
        pytest.param(TryLater("no", after=timedelta(hours=3)), id="asked-to-wait"),
        pytest.param(TryLater("no", after=timedelta()), id="asked-to-wait-for-nothing"),
    ],
)
def test_patience_is_only_for_what_a_moment_may_heal(error: Exception) -> None:
    """Anything else is told at once: a wait that was asked for is the queue's."""
    flaky = Flaky(error)
    with pytest.raises(type(error)):
        patiently(flaky)
    assert flaky.calls == 1


def test_patience_does_not_wait_after_a_success() -> None:
    """An answer is returned at once."""
    began = time.monotonic()
    assert patiently(Flaky()) == "answer"
    assert time.monotonic() - began < 0.1


NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
DAY = 86_400
ASKED: dict[str, float | None] = {
    "": None,
    "soon": None,
    "nan": None,
    "0": 0,
    "-0": 0,
    "-1": 0,
    "-1e400": 0,
    "2.5": 2.5,
    " 120 ": 120,
    "86400": DAY,
    "86401": DAY,
    "1764154800000": DAY,
    "1e400": DAY,
    "inf": DAY,
    "9" * 500: DAY,
    "Thu, 26 Nov 2026 12:00:30 GMT": 30,
    "Thu, 26 Nov 2026 11:00:00 GMT": 0,
    "Fri, 31 Dec 9999 23:59:59 GMT": DAY,
    "Mon, 01 Jan 0001 00:00:00 +1400": 0,
    "26 Nov 2026 99:99:99": None,
    "2026-11-26T12:01:00Z": 60,
    "2026-11-26T12:01:00": 60,
    "2026-11-26T13:01:00+01:00": 60,
    "9999-12-31T23:59:59-23:59": DAY,
    "0001-01-01T00:00:00+23:59": 0,
}


@pytest.mark.parametrize(
    ("text", "seconds"), list(ASKED.items()), ids=[f"S6-{text[:40].strip()}" for text in ASKED]
)
def test_s6_what_is_asked_for_is_read_and_bounded(text: str, seconds: float | None) -> None:
    """`Retry-After` in every form, absurd ones among them: a day at most, and no crash."""
    asked = retry_after({"Retry-After": text}, NOW)
    assert asked == (None if seconds is None else timedelta(seconds=seconds))


@given(
    text=st.text(max_size=40)
    | st.floats().map(str)
    | st.integers().map(str)
    | st.from_regex(r"[A-Z][a-z]{2}, \d{1,9} [A-Z][a-z]{2} \d{1,6} \d\d:\d\d:\d\d ([+-]\d{4}|GMT)")
)
def test_s6_whatever_is_asked_for_is_between_nothing_and_a_day(text: str) -> None:
    """Nothing that a stranger writes into the header raises, or stops an event for ever."""
    asked = retry_after({"Retry-After": text}, NOW)
    assert asked is None or timedelta() <= asked <= timedelta(days=1)


def test_c3_no_header_asks_for_nothing() -> None:
    """Most answers say nothing."""
    assert retry_after({}, NOW) is None
