"""A calendar that cannot be synced leaves one retry that grows, and says why (S7, W3)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.model.calendar import Failing
from sync.run.failing import LONGEST_RETRY, after_failure, denied_again, waits, with_retry
from tests.support.events import NOW

FIRST = timedelta(seconds=30)
FAILING = Failing(runs=1, since=NOW, reason="the queue is down")


def test_s7_the_first_failure_says_since_when_and_why() -> None:
    """One run failed, at this moment, for this reason."""
    noted = after_failure(None, "the queue is down", NOW, denied=False)
    assert noted == FAILING


def test_s7_another_failure_is_counted_and_keeps_the_beginning() -> None:
    """The last reason counts; the time of the first failure and the retries stay."""
    later = NOW + timedelta(minutes=5)
    known = replace(FAILING, retries=3, retry_at=later)
    noted = after_failure(known, "no token came", later, denied=False)
    assert noted == replace(known, runs=2, reason="no token came")


def test_w3_a_refusal_is_remembered_from_the_first_one_on() -> None:
    """Any other failure in between takes the memory away: the two refusals did not follow each
    other."""
    later = NOW + timedelta(minutes=1)
    first = after_failure(None, "403", NOW, denied=True)
    assert first.denied_since == NOW
    second = after_failure(first, "403", later, denied=True)
    assert second.denied_since == NOW
    between = after_failure(first, "503", later, denied=False)
    assert between.denied_since is None
    assert after_failure(between, "403", later, denied=True).denied_since == later


@pytest.mark.parametrize(
    ("seconds", "runs", "denied", "broken"),
    [
        pytest.param(0, 1, True, False, id="W3-met-once"),
        pytest.param(30, 1, True, False, id="W3-met-once-long-ago"),
        pytest.param(29, 2, True, False, id="W3-met-again-too-soon"),
        pytest.param(30, 2, True, True, id="W3-met-again"),
        pytest.param(3600, 9, True, True, id="W3-met-again-and-again"),
        pytest.param(3600, 9, False, False, id="S7-never-a-refusal"),
    ],
)
def test_w3_a_calendar_is_broken_when_a_refusal_is_met_again(
    seconds: int, runs: int, denied: bool, broken: bool
) -> None:
    """A blip breaks nothing: the second refusal comes SYNC_RETRY_SECONDS after the first."""
    known = replace(FAILING, runs=runs, denied_since=NOW if denied else None)
    assert denied_again(known, NOW + timedelta(seconds=seconds), FIRST) is broken


def test_s7_each_retry_is_twice_as_late_up_to_five_minutes() -> None:
    """From SYNC_RETRY_SECONDS on."""
    delays = []
    known = FAILING
    for _ in range(7):
        known = with_retry(known, NOW, FIRST)
        assert known.retry_at is not None
        delays.append((known.retry_at - NOW).total_seconds())
    assert delays == [30, 60, 120, 240, 300, 300, 300]
    assert known.retries == 7


@pytest.mark.parametrize(
    ("seconds", "first"),
    [
        pytest.param(0, 1, id="S7-never-at-once"),
        pytest.param(0.01, 1, id="S7-never-within-the-second"),
        pytest.param(1, 1, id="S7-a-second"),
        pytest.param(7200, 300, id="S7-never-later-than-five-minutes"),
    ],
)
def test_s7_the_first_delay_is_within_bounds(seconds: float, first: float) -> None:
    """Whatever SYNC_RETRY_SECONDS says, retries neither hurry nor sleep."""
    noted = with_retry(FAILING, NOW, timedelta(seconds=seconds))
    assert noted.retry_at == NOW + timedelta(seconds=first)


@given(retries=st.integers(0, 10**9), seconds=st.floats(0, 10**6))
def test_s7_a_retry_is_never_later_than_the_longest_delay(retries: int, seconds: float) -> None:
    """However often it failed: no number grows without bounds."""
    noted = with_retry(replace(FAILING, retries=retries), NOW, timedelta(seconds=seconds))
    assert noted.retry_at is not None
    assert timedelta() < noted.retry_at - NOW <= LONGEST_RETRY == timedelta(minutes=5)
    assert noted.retries == retries + 1


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        pytest.param(timedelta(hours=3), timedelta(hours=3), id="W3-a-quota-is-used-up"),
        pytest.param(timedelta(seconds=10), FIRST, id="S7-no-sooner-than-our-own-delay"),
        pytest.param(timedelta(days=400), timedelta(days=1), id="S6-at-most-a-day"),
        pytest.param(None, FIRST, id="S7-nothing-asked"),
    ],
)
def test_w3_a_retry_waits_for_a_quota(asked: timedelta | None, waited: timedelta) -> None:
    """A quota's hours count where they are longer than our delay, and never stop a calendar."""
    assert with_retry(FAILING, NOW, FIRST, asked=asked).retry_at == NOW + waited


def test_s7_one_retry_waits() -> None:
    """A ring that fails, too, leaves no second one; a retry whose time has come waits no more."""
    assert not waits(FAILING, NOW)
    noted = with_retry(FAILING, NOW, FIRST)
    assert waits(noted, NOW)
    assert waits(noted, NOW + FIRST - timedelta(microseconds=1))
    assert not waits(noted, NOW + FIRST)


@given(rings=st.lists(st.integers(0, 400), max_size=40))
def test_s7_retries_do_not_multiply_however_often_the_calendar_rings(rings: list[int]) -> None:
    """Each ring runs and fails; never are two retries ahead of now, and never none."""
    now, known = NOW, None
    ahead = []
    for seconds in rings:
        now += timedelta(seconds=seconds)
        known = after_failure(known, "down", now, denied=False)
        if not waits(known, now):
            known = with_retry(known, now, FIRST)
            ahead.append(known.retry_at)
        assert len([moment for moment in ahead if moment and moment > now]) == 1
    assert known is None or known.runs == len(rings)
