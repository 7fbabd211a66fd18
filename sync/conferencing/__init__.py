"""Conferencing systems: which adapter serves which entry of `SYNC_PROVIDERS`.

A new provider is one file here and one line in `_ADAPTERS`, or a class of another package, named in
its entry as `"type": "package.module:Class"`, or by the name under which that package publishes it
(docs/writing-a-provider.md).
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import cast

from sync.conferencing.adapter import Adapter, Context
from sync.config import ProviderSettings
from sync.errors import ConfigurationError

__all__ = ["ENTRY_POINTS", "Adapter", "Context", "check", "providers"]

Make = Callable[[ProviderSettings, Context], Adapter]
"""What makes an adapter from its entry: its class. Raises ConfigurationError."""

ENTRY_POINTS = "calendar_conference_sync.providers"
"""The group of entry points under which other packages publish adapters."""

# By module and class: a function loads the adapters of the types that it is configured with.
_ADAPTERS = {
    "rest": "sync.conferencing.rest:RestProvider",
    "teams": "sync.conferencing.teams:TeamsProvider",
    "webex": "sync.conferencing.webex:WebexProvider",
    "zoom": "sync.conferencing.zoom:ZoomProvider",
}


def providers(settings: Sequence[ProviderSettings], context: Context) -> dict[str, Adapter]:
    """Build every configured provider, by name. Raises ConfigurationError. Connects to nothing."""
    return {entry.name: _built(entry, context) for entry in settings}


def check(settings: Sequence[ProviderSettings]) -> None:
    """Raise ConfigurationError if a provider could not be built."""

    def unread(name: str, _max_age_seconds: float) -> bytes:
        raise AssertionError(f"{name} is not read before the first call")

    context = Context(read_secret=unread, clock=lambda: datetime.now(UTC))
    for provider in providers(settings, context).values():
        provider.close()


def _built(entry: ProviderSettings, context: Context) -> Adapter:
    where = f"SYNC_PROVIDERS, provider {entry.name}: type {entry.type}"
    mend = "name a class that derives from sync.conferencing.Adapter"
    make = _maker_of(entry, where)
    try:
        built = make(entry, context)
    except TypeError as error:
        raise ConfigurationError(f"{where} does not make a provider ({error}); {mend}") from error
    if not isinstance(built, Adapter):
        raise ConfigurationError(f"{where} does not make a provider; {mend}")
    return built


def _maker_of(entry: ProviderSettings, where: str) -> Make:
    if entry.type in _ADAPTERS:
        return _callable(_named(_ADAPTERS[entry.type]), where)
    published = importlib.metadata.entry_points(group=ENTRY_POINTS)
    try:
        if entry.type in published.names:
            return _callable(published[entry.type].load(), where)
        if ":" in entry.type:
            return _callable(_named(entry.type), where)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"{where} cannot be loaded ({type(error).__name__}: {error}); "
            "ship its package with the function, or correct it"
        ) from error
    known = ", ".join(sorted({*_ADAPTERS, *published.names}))
    raise ConfigurationError(f"{where} is unknown; use one of {known}, or package.module:Class")


def _named(path: str) -> object:
    """Load what `package.module:Class` names."""
    module, _, name = path.partition(":")
    found: object = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _callable(found: object, where: str) -> Make:
    if not callable(found):
        raise ConfigurationError(f"{where} is no class; name the class that makes the provider")
    return cast(Make, found)
