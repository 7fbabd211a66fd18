"""One call under way: others share it, or go on without."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sync.single_flight import SingleFlight


class Slow:
    """A call that answers, or fails, when the test lets it; counts how often it was made."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.calls = 0
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def __call__(self) -> str:
        self.calls += 1
        self.begun.set()
        assert self.go_on.wait(timeout=10)
        if self.error is not None:
            raise self.error
        return "answer"


def test_whoever_joins_shares_the_answer() -> None:
    """Eight threads, one call."""
    flight: SingleFlight[str] = SingleFlight()
    slow = Slow()
    with ThreadPoolExecutor(8) as pool:
        joined = [pool.submit(flight.join, slow) for _ in range(8)]
        assert slow.begun.wait(timeout=10)
        assert flight.alone(slow) is None
        slow.go_on.set()
        assert {each.result(timeout=10) for each in joined} == {"answer"}
    assert flight.alone(lambda: "another") == "another"


def test_whoever_does_not_want_to_wait_goes_on_at_once() -> None:
    """A call that is under way is neither waited for nor made twice."""
    flight: SingleFlight[str] = SingleFlight()
    slow = Slow()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(flight.join, slow)
        assert slow.begun.wait(timeout=10)
        assert [flight.alone(slow) for _ in range(5)] == [None] * 5
        slow.go_on.set()
        assert asking.result(timeout=10) == "answer"
    assert slow.calls == 1


def test_an_error_is_shared_and_not_remembered() -> None:
    """Those who waited hear of the error; whoever comes later asks anew."""
    flight: SingleFlight[str] = SingleFlight()
    slow = Slow(ValueError("no"))
    with ThreadPoolExecutor(2) as pool:
        asking = pool.submit(flight.alone, slow)
        assert slow.begun.wait(timeout=10)
        waiting = pool.submit(flight.join, lambda: "never asked, or asked after the error")
        slow.go_on.set()
        assert isinstance(asking.exception(timeout=10), ValueError)
        waiting.exception(timeout=10)
    assert flight.join(lambda: "answer") == "answer"
    with pytest.raises(ValueError, match="again"):
        flight.join(_failing("again"))


def _failing(text: str) -> Slow:
    slow = Slow(ValueError(text))
    slow.go_on.set()
    return slow
