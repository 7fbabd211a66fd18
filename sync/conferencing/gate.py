"""What a provider asks of all of us at once: calls spread in time, and silence while it says
"too many" (C6)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from sync.errors import CredentialsRefused, Gone, NoOccurrences, SyncError, TryLater
from sync.model.provider import ProviderRules
from sync.model.conference import Approximation, ConferenceContent, WayIn
from sync.model.event import ConferenceId

if TYPE_CHECKING:
    from sync.conferencing import Provider

_Answer = TypeVar("_Answer")
_logger = logging.getLogger(__name__)

# A longer silence is tested with a call now and then: it may have been about one account, or be
# over early.
LONGEST_SILENCE = timedelta(minutes=5)
# A call waits so long for its turn; beyond that its event is better off in the queue.
_LONGEST_WAIT_SECONDS = 5.0


class GatedProvider:
    """Passes every call on to a provider, when it is time for it. Shared by all threads of an
    instance.

    `calls_per_second` spreads the calls; None: as they come. After an answer that asks everybody to
    wait, calls are not sent at all until then: they raise TryLater with `unsent`, which is nobody's
    failure.
    """

    def __init__(self, provider: Provider, *, calls_per_second: float | None = None) -> None:
        self._provider = provider
        self._interval = 1 / calls_per_second if calls_per_second else 0.0
        self._next_turn = 0.0
        self._silent_until = 0.0
        self._lock = threading.Lock()

    @property
    def rules(self) -> ProviderRules:
        return self._provider.rules

    def create(self, content: ConferenceContent, idempotency_key: str) -> WayIn:
        return self._through("create", lambda: self._provider.create(content, idempotency_key))

    def read(self, conference_id: ConferenceId) -> WayIn:
        return self._through("read", lambda: self._provider.read(conference_id))

    def update(
        self, conference_id: ConferenceId, content: ConferenceContent, changed: frozenset[str]
    ) -> None:
        self._through("update", lambda: self._provider.update(conference_id, content, changed))

    def delete(self, conference_id: ConferenceId) -> None:
        self._through("delete", lambda: self._provider.delete(conference_id))

    def update_occurrence(
        self, conference_id: ConferenceId, original_start: str, content: ConferenceContent
    ) -> None:
        self._through(
            "update_occurrence",
            lambda: self._provider.update_occurrence(conference_id, original_start, content),
        )

    def cancel_occurrence(self, conference_id: ConferenceId, original_start: str) -> None:
        self._through(
            "cancel_occurrence",
            lambda: self._provider.cancel_occurrence(conference_id, original_start),
        )

    def canonical(self, conference_id: ConferenceId) -> ConferenceId:
        """Return the id of a conference, whatever of it an event shows: a number, a link. Raises
        Gone.

        An adapter whose system's ids are all that events show has no such method.
        """
        ask = getattr(self._provider, "canonical", None)
        return (
            self._through("look_up", lambda: ConferenceId(ask(conference_id)))
            if ask
            else conference_id
        )

    def approximation(self, content: ConferenceContent) -> Approximation | None:
        """How the copy of a series that was just sent falls short of it; None: it does not.

        An adapter whose system takes every rule whole has no such method.
        """
        ask = getattr(self._provider, "approximation", None)
        told: Approximation | None = ask(content) if ask else None
        return told

    def close(self) -> None:
        self._provider.close()

    def _through(self, action: str, call: Callable[[], _Answer]) -> _Answer:
        self._await_turn()
        began = time.monotonic()
        outcome = "done"
        try:
            return call()
        except SyncError as error:
            outcome = _outcome(error)
            if isinstance(error, TryLater) and error.everybody and error.after:
                with self._lock:
                    silence = min(error.after, LONGEST_SILENCE).total_seconds()
                    self._silent_until = max(self._silent_until, time.monotonic() + silence)
            raise
        finally:
            facts = {"provider": self.rules.name, "action": action, "outcome": outcome}
            _logger.info(
                "provider called", extra={**facts, "seconds": round(time.monotonic() - began, 3)}
            )

    def _await_turn(self) -> None:
        with self._lock:
            now = time.monotonic()
            silence = self._silent_until - now
            if silence > 0:
                raise TryLater(
                    "the provider asked us to wait, so nothing was sent",
                    after=timedelta(seconds=silence),
                    unsent=True,
                )
            turn = max(now, self._next_turn)
            if turn - now > _LONGEST_WAIT_SECONDS:
                raise TryLater(
                    "too many calls are waiting for their turn",
                    after=timedelta(seconds=turn - now),
                    unsent=True,
                )
            self._next_turn = turn + self._interval
        if turn > now:
            time.sleep(turn - now)


def _outcome(error: SyncError) -> str:
    """The class of an answer, as C3 names them."""
    match error:
        case TryLater():
            return "retry"
        case Gone():
            return "gone"
        case CredentialsRefused():
            return "credentials"
        case NoOccurrences():
            return "no_occurrences"
        case _:
            return "invalid"
