"""Builds everything from settings: the only place where the parts meet."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import UTC, datetime

from sync import conferencing, config
from sync.conferencing import Context
from sync.conferencing.gate import GatedProvider
from sync.context import Services
from sync.google.calendar import Calendar
from sync.google.credentials import CalendarCredentials
from sync.google.secret_manager import SecretManager
from sync.intake.notifications import sign
from sync.intake.receive import channel_keys, task_queue
from sync.model.event import CalendarId, ChannelToken
from sync.model.provider import Rules
from sync.store import Store


def utc_now() -> datetime:
    return datetime.now(UTC)


def load(settings: config.Settings) -> None:
    """Load what `build` will need, so that an instance that waits is ready. Connects to nothing.

    Raises ConfigurationError for a provider that could not be built.
    """
    conferencing.check(settings.providers)
    importlib.import_module(
        "sync.store.firestore" if settings.store == "firestore" else "sync.store.sqlite"
    )


def build(settings: config.Settings, clock: Callable[[], datetime] = utc_now) -> Services:
    """Connect to everything that `settings` name. Raises ConfigurationError.

    Made once per instance, on the first request: connections do not survive a fork.
    """
    secrets = SecretManager(emulator=settings.secrets_emulator)
    store, queue = _store(settings), task_queue(settings)
    credentials = None if settings.calendar_emulator else CalendarCredentials(secrets.read)
    calendars = Calendar(credentials, emulator=settings.calendar_emulator, clock=clock)
    providers = _providers(settings, secrets, clock)

    def signed(channel_id: str, calendar_id: CalendarId) -> ChannelToken:
        return sign(channel_keys(secrets, settings.channel_key), channel_id, calendar_id)

    def count_keys() -> int:
        return len(channel_keys(secrets, settings.channel_key, max_age_seconds=0.0))

    def read_anew(name: str) -> None:
        secrets.read(name, max_age_seconds=0.0)

    def close() -> None:
        """For whoever makes services again and again. An instance keeps its own to the end."""
        for end in (store.close, queue.close, secrets.close, calendars.close):
            end()
        for provider in providers.values():
            provider.close()

    return Services(
        settings=settings,
        store=store,
        queue=queue,
        calendars=calendars,
        providers=providers,
        rules=Rules(
            providers=tuple(provider.rules for provider in providers.values()),
            delete_grace=settings.delete_grace,
        ),
        clock=clock,
        sign=signed,
        count_keys=count_keys,
        read_anew=read_anew,
        close=close,
    )


def _providers(
    settings: config.Settings, secrets: SecretManager, clock: Callable[[], datetime]
) -> dict[str, GatedProvider]:
    def read_secret(name: str, max_age_seconds: float) -> bytes:
        return secrets.read(name, max_age_seconds=max_age_seconds)

    context = Context(read_secret=read_secret, replace_secret=secrets.replace, clock=clock)
    built = conferencing.providers(settings.providers, context)
    return {
        entry.name: GatedProvider(built[entry.name], calls_per_second=entry.calls_per_second)
        for entry in settings.providers
    }


def _store(settings: config.Settings) -> Store:
    """Make the store. Loads the client of that store alone: Firestore's is a fifth of a start."""
    if settings.store == "firestore":
        from sync.store.firestore import FirestoreStore

        return FirestoreStore(project=settings.project, database=settings.firestore_database)
    from sync.store.sqlite import SqliteStore

    return SqliteStore(settings.store.removeprefix("sqlite:///"))
