"""Conferencing systems: the protocol that an adapter fulfils, and which adapter serves which entry of `SYNC_PROVIDERS`.

A new provider is one file here and one line in `_ADAPTERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from sync.conferencing.rest import RestProvider
from sync.config import ProviderSettings
from sync.errors import ConfigurationError
from sync.model import ConferenceContent, ConferenceId, WayIn
from sync.plan import ProviderRules


class Provider(Protocol):
    """One configured conferencing system. Safe for threads; never called twice at once for one conference (C6).

    Every method raises what the provider's answer means (C3): TryLater, Gone, Invalid, Credentials. Repeating is safe
    for all of them; for `create` because of the idempotency key.
    """

    @property
    def rules(self) -> ProviderRules:
        """How its conferences are recognised, and which fields it takes."""
        ...

    def create(self, content: ConferenceContent, idempotency_key: str) -> WayIn:
        """Create a conference, once for each key: a repetition returns the first one's."""
        ...

    def read(self, conference_id: ConferenceId) -> WayIn: ...

    def update(self, conference_id: ConferenceId, content: ConferenceContent, changed: frozenset[str]) -> None:
        """Bring a conference to `content`; `changed` names the fields that differ from what was last sent."""
        ...

    def delete(self, conference_id: ConferenceId) -> None:
        """Delete a conference; one that is gone already is a success."""
        ...

    def update_occurrence(self, conference_id: ConferenceId, original_start: str, content: ConferenceContent) -> None:
        """Move or rename one occurrence, named by its original start in UTC. Raises NoOccurrences."""
        ...

    def cancel_occurrence(self, conference_id: ConferenceId, original_start: str) -> None:
        """Cancel one occurrence. Raises NoOccurrences."""
        ...

    def close(self) -> None:
        """End connections. The adapter is of no use afterwards."""
        ...


ReadSecret = Callable[[str, float], bytes]
"""(secret, maximal age in seconds) -> payload."""

Clock = Callable[[], datetime]

_ADAPTERS: dict[str, Callable[[ProviderSettings, ReadSecret, Clock], Provider]] = {"rest": RestProvider}


def providers(settings: Sequence[ProviderSettings], read_secret: ReadSecret, clock: Clock) -> dict[str, Provider]:
    """Build every configured provider, by name. Raises ConfigurationError; connects to nothing yet."""
    return {entry.name: _adapter(entry)(entry, read_secret, clock) for entry in settings}


def check(settings: Sequence[ProviderSettings]) -> None:
    """Raise ConfigurationError if a provider could not be built."""
    for entry in settings:
        _adapter(entry)


def _adapter(entry: ProviderSettings) -> Callable[[ProviderSettings, ReadSecret, Clock], Provider]:
    if entry.type not in _ADAPTERS:
        known = ", ".join(sorted(_ADAPTERS))
        raise ConfigurationError(
            f"SYNC_PROVIDERS, provider {entry.name}: type {entry.type} is unknown; use one of {known}"
        )
    return _ADAPTERS[entry.type]
