"""Of all threads that want the same thing at the same moment, one asks and the others share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

_Answer = TypeVar("_Answer")


class SingleFlight(Generic[_Answer]):
    """Lets one call of a kind be under way. No lock is held while the call is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flight: Future[_Answer] | None = None

    def join(self, call: Callable[[], _Answer]) -> _Answer:
        """Return what `call` returns, or what the call returns that another thread has under way.

        An error is shared as well: those who waited do not ask one after the other.
        """
        flight, ours = self._board()
        if ours:
            self._fly(flight, call)
        return flight.result()

    def alone(self, call: Callable[[], _Answer]) -> _Answer | None:
        """Return what `call` returns. None, at once, if another thread has a call under way."""
        flight, ours = self._board()
        if not ours:
            return None
        self._fly(flight, call)
        return flight.result()

    def _board(self) -> tuple[Future[_Answer], bool]:
        with self._lock:
            if self._flight is not None:
                return self._flight, False
            self._flight = Future()
            return self._flight, True

    def _fly(self, flight: Future[_Answer], call: Callable[[], _Answer]) -> None:
        try:
            answer = call()
        except BaseException as error:
            self._land()
            flight.set_exception(error)
        else:
            self._land()
            flight.set_result(answer)

    def _land(self) -> None:
        with self._lock:
            self._flight = None
