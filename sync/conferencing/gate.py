"""Per-provider rate limiting, and a shared back-off after a 429 (C6)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from sync.backoff import is_demanded
from sync.conferencing.adapter import Adapter
from sync.errors import CredentialsRefused, Gone, NoOccurrences, SyncError, TryLater
from sync.logs import current_event, short
from sync.model.conference import Approximation, ConferenceContent, Sight, WayIn
from sync.model.event import ConferenceId
from sync.model.provider import ProviderRules
from sync.tracing import span, tell

_Answer = TypeVar("_Answer")
_logger = logging.getLogger(__name__)

# A longer silence is tested with a call now and then: it may have been about one account, or be
# over early.
LONGEST_SILENCE = timedelta(minutes=5)
# A call waits so long for its turn; beyond that its event is better off in the queue.
_LONGEST_WAIT_SECONDS = 5.0


class GatedProvider:
    """Passes every call on to an adapter when its turn has come. Shared by all threads.

    `calls_per_second` spreads the calls. None: as they come. After an answer that asks everybody to
    wait, no call is sent until then, but for tries that an operator asked for: each raises TryLater
    with `unsent`, which does not count as a try of its event. Each call writes one log line and is
    one span, in the trace of the thread that made it.
    """

    def __init__(self, provider: Adapter, *, calls_per_second: float | None = None) -> None:
        self._provider = provider
        self._interval = 1 / calls_per_second if calls_per_second else 0.0
        self._next_turn = 0.0
        self._silent_until = 0.0
        self._lock = threading.Lock()

    @property
    def rules(self) -> ProviderRules:
        return self._provider.rules

    def create(
        self, content: ConferenceContent, idempotency_key: str, host: str | None = None
    ) -> WayIn:
        return self._through(
            lambda: self._provider.create(content, idempotency_key, host), "create", content
        )

    def find_made(
        self, content: ConferenceContent, idempotency_key: str, host: str | None = None
    ) -> ConferenceId | None:
        return self._through(
            lambda: self._provider.find_made(content, idempotency_key, host), "find_made", content
        )

    def look(
        self, conference_id: ConferenceId, content: ConferenceContent, asked_as: Sequence[str] = ()
    ) -> Sight:
        return self._through(
            lambda: self._provider.look(conference_id, content, asked_as),
            "look",
            content,
            conference_id,
        )

    def read(self, conference_id: ConferenceId, host: str | None = None) -> WayIn:
        return self._through(
            lambda: self._provider.read(conference_id, host), "read", None, conference_id
        )

    def update(
        self,
        conference_id: ConferenceId,
        content: ConferenceContent,
        changed: frozenset[str],
        host: str | None = None,
    ) -> None:
        self._through(
            lambda: self._provider.update(conference_id, content, changed, host),
            "update",
            content,
            conference_id,
        )

    def delete(self, conference_id: ConferenceId, host: str | None = None) -> None:
        self._through(
            lambda: self._provider.delete(conference_id, host), "delete", None, conference_id
        )

    def update_occurrence(
        self,
        conference_id: ConferenceId,
        original_start: str,
        content: ConferenceContent,
        host: str | None = None,
    ) -> None:
        self._through(
            lambda: self._provider.update_occurrence(conference_id, original_start, content, host),
            "update_occurrence",
            content,
            conference_id,
        )

    def cancel_occurrence(
        self, conference_id: ConferenceId, original_start: str, host: str | None = None
    ) -> None:
        self._through(
            lambda: self._provider.cancel_occurrence(conference_id, original_start, host),
            "cancel_occurrence",
            None,
            conference_id,
        )

    def canonical(self, conference_id: ConferenceId, asked_as: Sequence[str] = ()) -> ConferenceId:
        if self._provider.is_canonical(conference_id):
            return conference_id
        return self._through(
            lambda: self._provider.canonical(conference_id, asked_as),
            "look_up",
            None,
            conference_id,
        )

    def probe(self) -> None:
        self._through(self._provider.probe, "probe", None)

    def approximation(self, content: ConferenceContent) -> Approximation | None:
        return self._provider.approximation(content)

    def close(self) -> None:
        self._provider.close()

    def _through(
        self,
        call: Callable[[], _Answer],
        action: str,
        content: ConferenceContent | None,
        conference_id: ConferenceId | None = None,
    ) -> _Answer:
        self._await_turn()
        began = time.monotonic()
        outcome = "done"
        with span("provider call"):
            try:
                answer = call()
                if isinstance(answer, WayIn):
                    conference_id = answer.conference_id
                return answer
            except SyncError as error:
                outcome = _outcome(error)
                self._hold_back(error)
                raise
            except Exception:
                outcome = "crash"
                raise
            finally:
                facts = {"provider": self.rules.name, "action": action, "outcome": outcome}
                event_id = content.event.event_id if content else current_event()
                if event_id is not None:
                    facts["event"] = short(event_id)
                if conference_id is not None:
                    facts["conference"] = short(conference_id)
                tell(**facts)
                seconds = round(time.monotonic() - began, 3)
                _logger.info("provider called", extra={**facts, "seconds": seconds})

    def _hold_back(self, error: SyncError) -> None:
        """Send nothing for as long as the provider asked everybody to wait."""
        if isinstance(error, TryLater) and error.everybody and error.after:
            silence = min(error.after, LONGEST_SILENCE).total_seconds()
            with self._lock:
                self._silent_until = max(self._silent_until, time.monotonic() + silence)

    def _await_turn(self) -> None:
        with self._lock:
            now = time.monotonic()
            silence = self._silent_until - now
            if silence > 0 and not is_demanded():
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
