"""Builds everything from settings: the only place where the parts meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sync import conferencing, config
from sync.conferencing.gate import GatedProvider
from sync.errors import Invalid
from sync.event.plan import Rules
from sync.google.calendar import Calendar
from sync.google.credentials import CalendarCredentials
from sync.google.secret_manager import SecretManager
from sync.google.task_queue import TaskQueue
from sync.intake.receive import task_queue
from sync.store import Store
from sync.store.firestore import FirestoreStore
from sync.store.sqlite import SqliteStore


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What a run needs. Made once per instance, on the first request: connections do not survive
    a fork."""

    settings: config.Settings
    store: Store
    queue: TaskQueue
    secrets: SecretManager
    calendar: Calendar
    providers: Mapping[str, GatedProvider]
    rules: Rules
    clock: Callable[[], datetime]

    def provider(self, name: str) -> GatedProvider:
        """Return a configured provider. Raises Invalid for one whose entry was taken out."""
        if name not in self.providers:
            raise Invalid(
                f"no provider is called {name}; put its entry back into SYNC_PROVIDERS, or dismiss this"
            )
        return self.providers[name]

    def close(self) -> None:
        """End all connections. For whoever makes services again and again; an instance keeps its
        own to the end."""
        self.store.close()
        self.queue.close()
        self.secrets.close()
        self.calendar.close()
        for provider in self.providers.values():
            provider.close()


def build(settings: config.Settings, clock: Callable[[], datetime] = utc_now) -> Services:
    """Connect to everything that `settings` name. Raises ConfigurationError."""
    secrets = SecretManager(emulator=settings.secrets_emulator)

    def read_secret(name: str, max_age_seconds: float) -> bytes:
        return secrets.read(name, max_age_seconds=max_age_seconds)

    built = conferencing.providers(settings.providers, read_secret, clock, secrets.replace)
    providers = {
        entry.name: GatedProvider(built[entry.name], calls_per_second=entry.calls_per_second)
        for entry in settings.providers
    }
    credentials = None if settings.calendar_emulator else CalendarCredentials(secrets.read)
    return Services(
        settings=settings,
        store=_store(settings),
        queue=task_queue(settings),
        secrets=secrets,
        calendar=Calendar(credentials, emulator=settings.calendar_emulator),
        providers=providers,
        rules=Rules(
            providers=tuple(provider.rules for provider in providers.values()),
            delete_grace=settings.delete_grace,
        ),
        clock=clock,
    )


def _store(settings: config.Settings) -> Store:
    if settings.store == "firestore":
        return FirestoreStore(project=settings.project, database=settings.firestore_database)
    return SqliteStore(settings.store.removeprefix("sqlite:///"))
