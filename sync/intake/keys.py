"""The keys of channel tokens, as the public function knows them (N1).

A token that a remembered key signed waits for nobody: neither for other calls nor, but for a moment
every few minutes, for Secret Manager. The last good keys serve on while Secret Manager is out of
reach.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from sync.errors import ConfigurationError, Forged, Invalid, NotAllowed, TryLater
from sync.google.secret_manager import REMEMBERED_SECONDS, SecretManager
from sync.intake.notifications import Claim, Headers, Notification, keys_from_secret
from sync.single_flight import SingleFlight

_logger = logging.getLogger(__name__)

# Whoever sends forged tokens makes us ask for the keys at most once in so many seconds.
ASK_AGAIN_SECONDS = 10.0
# How long a call may take of whoever cannot be answered without it.
_TIMEOUT_SECONDS = 5.0
# How long a token that is good by what is known waits for newer keys.
_PATIENCE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Known:
    keys: tuple[bytes, ...]
    asked_at: float


class ChannelKeys:
    """Verifies channel tokens with the keys of one secret. Safe for threads.

    `monotonic` is the clock that the age of keys is told by, in seconds.
    """

    def __init__(
        self,
        secrets: SecretManager,
        name: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._secrets = secrets
        self._name = name
        self._monotonic = monotonic
        self._flight: SingleFlight[_Known] = SingleFlight()
        # Replaced as a whole: reading it needs no lock.
        self._known: _Known | None = None
        self._tried_at = float("-inf")

    def verify(self, headers: Headers) -> Notification:
        """Return what the headers of a notification say if one of the keys signed its token.

        Keys older than some minutes are asked for again, and so are those that do not verify a
        token, at most once in ten seconds. One call asks. All others are judged by what is known.
        While nothing is known yet, all wait for that one call.

        Raises Forged, TryLater when no keys are known and Secret Manager is out of reach.
        ConfigurationError for a secret that is missing, empty or closed to us.
        """
        claim = Claim.from_headers(headers)
        known = self._known or self._flight.join(lambda: self._ask(_TIMEOUT_SECONDS))
        good = claim.signed_by(known.keys)
        if self._is_old(known, REMEMBERED_SECONDS if good else ASK_AGAIN_SECONDS):
            known = self._newer(known, _PATIENCE_SECONDS if good else _TIMEOUT_SECONDS)
            good = claim.signed_by(known.keys)
        if not good:
            raise Forged
        return claim.notification

    def _is_old(self, known: _Known, seconds: float) -> bool:
        now = self._monotonic()
        return now - known.asked_at >= seconds and now - self._tried_at >= ASK_AGAIN_SECONDS

    def _newer(self, known: _Known, timeout_seconds: float) -> _Known:
        """Return newer keys, or those that are known if there are none to be had now."""
        try:
            return self._flight.alone(lambda: self._ask(timeout_seconds)) or known
        except TryLater as error:
            _logger.warning("channel keys not read anew", extra={"reason": str(error)})
        except ConfigurationError as error:
            # A person must act; until then what was signed with the last good keys is served.
            _logger.error("channel keys not read anew", extra={"reason": str(error)})
        return known

    def _ask(self, timeout_seconds: float) -> _Known:
        asked_at = self._tried_at = self._monotonic()
        try:
            payload = self._secrets.fetch(self._name, timeout_seconds=timeout_seconds)
            keys = tuple(keys_from_secret(payload))
        except (Invalid, NotAllowed) as error:
            raise ConfigurationError(f"SYNC_CHANNEL_KEY: {error}") from error
        self._known = _Known(keys, asked_at)
        return self._known
