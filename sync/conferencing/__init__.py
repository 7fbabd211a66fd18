"""Conferencing systems: the protocol that an adapter fulfils, and which adapter serves which entry
of `SYNC_PROVIDERS`.

A new provider is one file here and one line in `_ADAPTERS`; or a class of another package, named in
its entry as `"type": "package.module:Class"`, or by the name under which that package publishes it
(docs/writing-a-provider.md).
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol, cast

from sync.conferencing.api import Clock, ReadSecret, ReplaceSecret
from sync.conferencing.rest import RestProvider
from sync.conferencing.teams import TeamsProvider
from sync.conferencing.webex import WebexProvider
from sync.conferencing.zoom import ZoomProvider
from sync.config import ProviderSettings
from sync.errors import ConfigurationError
from sync.model.provider import ProviderRules
from sync.model.conference import ConferenceContent, WayIn
from sync.model.event import ConferenceId


class Provider(Protocol):
    """One configured conferencing system. Safe for threads; never called twice at once for one
    conference (C6).

    Two more methods are optional (`gate.GatedProvider` says what for): `approximation`,
    `canonical`.

    Every method raises what the provider's answer means (C3): TryLater, Gone, Invalid, Credentials.
    Repeating is safe for all of them; for `create` because of the idempotency key.
    """

    @property
    def rules(self) -> ProviderRules:
        """How its conferences are recognised, and which fields it takes."""
        ...

    def create(self, content: ConferenceContent, idempotency_key: str) -> WayIn:
        """Create a conference, once for each key: a repetition returns the first one's, as it
        is; `update` follows."""
        ...

    def read(self, conference_id: ConferenceId) -> WayIn: ...

    def update(
        self, conference_id: ConferenceId, content: ConferenceContent, changed: frozenset[str]
    ) -> None:
        """Bring a conference to `content`; `changed` names the fields that differ from what was
        last sent."""
        ...

    def delete(self, conference_id: ConferenceId) -> None:
        """Delete a conference; one that is gone already is a success."""
        ...

    def update_occurrence(
        self, conference_id: ConferenceId, original_start: str, content: ConferenceContent
    ) -> None:
        """Move or rename one occurrence, named by its original start in UTC. Raises
        NoOccurrences."""
        ...

    def cancel_occurrence(self, conference_id: ConferenceId, original_start: str) -> None:
        """Cancel one occurrence. Raises NoOccurrences."""
        ...

    def close(self) -> None:
        """End connections. The adapter is of no use afterwards."""
        ...


Adapter = Callable[[ProviderSettings, ReadSecret, Clock], Provider]
"""What makes a provider from its entry of SYNC_PROVIDERS: its class. Raises ConfigurationError,
connects to nothing."""

ENTRY_POINTS = "calendar_conference_sync.providers"
"""The group of entry points under which other packages publish adapters."""

_ADAPTERS: dict[str, Adapter] = {
    "rest": RestProvider,
    "teams": TeamsProvider,
    "webex": WebexProvider,
    "zoom": ZoomProvider,
}


def providers(
    settings: Sequence[ProviderSettings],
    read_secret: ReadSecret,
    clock: Clock,
    replace_secret: ReplaceSecret | None = None,
) -> dict[str, Provider]:
    """Build every configured provider, by name. Raises ConfigurationError; connects to nothing yet.

    `replace_secret` is for systems whose refresh tokens change; without it a new one lives as long
    as this instance.
    """
    built = {}
    for entry in settings:
        adapter = _adapter(entry, replace_secret)
        try:
            built[entry.name] = adapter(entry, read_secret, clock)
        except TypeError as error:
            raise ConfigurationError(
                f"SYNC_PROVIDERS, provider {entry.name}: type {entry.type} does not make a provider ({error}); "
                "name a class that takes its entry, a way to read secrets and a clock"
            ) from error
    return built


def check(settings: Sequence[ProviderSettings]) -> None:
    """Raise ConfigurationError if a provider could not be built."""

    def unread(name: str, _max_age_seconds: float) -> bytes:
        raise AssertionError(f"{name} is not read before the first call")

    for provider in providers(settings, unread, lambda: datetime.now(UTC)).values():
        provider.close()


def _adapter(entry: ProviderSettings, replace_secret: ReplaceSecret | None) -> Adapter:
    if entry.type == "webex":
        return partial(WebexProvider, replace_secret=replace_secret)
    if entry.type in _ADAPTERS:
        return _ADAPTERS[entry.type]
    published = importlib.metadata.entry_points(group=ENTRY_POINTS)
    where = f"SYNC_PROVIDERS, provider {entry.name}: type {entry.type}"
    try:
        if entry.type in published.names:
            return _callable(published[entry.type].load(), where)
        module, colon, name = entry.type.partition(":")
        if colon:
            found: Any = importlib.import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
            return _callable(found, where)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"{where} cannot be loaded ({type(error).__name__}: {error}); "
            "ship its package with the function, or correct it"
        ) from error
    known = ", ".join(sorted({*_ADAPTERS, *published.names}))
    raise ConfigurationError(f"{where} is unknown; use one of {known}, or package.module:Class")


def _callable(found: object, where: str) -> Adapter:
    if not callable(found):
        raise ConfigurationError(f"{where} is no class; name the class that makes the provider")
    return cast(Adapter, found)
