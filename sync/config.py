"""Settings from the environment: the only place that reads it.

A mistake is one sentence that names the variable and the mend (`ConfigurationError`); `main` stops
the function with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sync.errors import ConfigurationError

# Cloud Tasks gives a request 10 minutes before it delivers the task again; a run that ends sooner
# is never doubled.
# https://cloud.google.com/tasks/docs/creating-http-target-tasks
DISPATCH_DEADLINE = timedelta(minutes=10)
# What a run leaves of its function's time to save its place, and of Cloud Tasks' deadline to
# answer.
_MARGIN = timedelta(seconds=30)

RECEIVE = "receive_notification"
SYNC = "sync_calendar"
MANAGE = "manage_calendars"
MAINTAIN = "maintain"

_NEEDED_BY = {
    "SYNC_QUEUE": {RECEIVE, SYNC, MANAGE, MAINTAIN},
    "SYNC_WORKER_URL": {RECEIVE, SYNC, MANAGE, MAINTAIN},
    "SYNC_CHANNEL_KEY": {RECEIVE, MANAGE, MAINTAIN},
    "SYNC_NOTIFICATION_URL": {MANAGE, MAINTAIN},
    "SYNC_PROVIDERS": {SYNC},
}

_QUEUE = re.compile(r"projects/[^/]+/locations/[^/]+/queues/[A-Za-z0-9-]{1,100}")
_SECRET = re.compile(r"projects/[^/]+/secrets/[A-Za-z0-9_-]{1,255}")
_PROVIDER_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """One entry of `SYNC_PROVIDERS`. `options` holds what the adapter itself reads (`base_url`,
    `token_url`, …).

    `calls_per_second` bounds what one instance sends; None: as many as `SYNC_CONCURRENCY` lets
    through.
    """

    name: str
    type: str
    secret: str
    solutions: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    calls_per_second: float | None = None
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set, checked. Which variable sets what: the table in the README."""

    target: str | None
    service: str
    revision: str
    project: str
    store: str
    firestore_database: str
    queue: str
    worker_url: str
    tasks_service_account: str
    notification_url: str
    channel_key: str
    providers: tuple[ProviderSettings, ...]
    coalesce: timedelta
    delete_grace: timedelta
    window: timedelta
    channel_ttl: timedelta
    reconcile: timedelta
    retry: timedelta
    max_attempts: int
    concurrency: int
    run_limit: timedelta
    tasks_emulator: str | None
    secrets_emulator: str | None
    calendar_emulator: str | None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read and check all settings; what is required depends on `FUNCTION_TARGET`. Raises
        ConfigurationError."""
        target = environ.get("FUNCTION_TARGET") or None
        for variable, targets in _NEEDED_BY.items():
            if target in targets and not environ.get(variable, "").strip():
                raise ConfigurationError(
                    f"{variable} is not set; {target} needs it: {_EXAMPLE[variable]}"
                )
        store = environ.get("SYNC_STORE", "").strip() or "firestore"
        if store != "firestore" and not re.fullmatch(r"sqlite:///.+", store):
            raise ConfigurationError(
                "SYNC_STORE must be firestore or sqlite:///path; correct it or leave it out"
            )
        project = environ.get("GOOGLE_CLOUD_PROJECT", "").strip()
        if store == "firestore" and target not in (None, RECEIVE) and not project:
            raise ConfigurationError(
                "GOOGLE_CLOUD_PROJECT is not set; set it to the project that holds the Firestore database"
            )
        return cls(
            target=target,
            # Cloud Run's own variables.
            # https://docs.cloud.google.com/run/docs/container-contract#env-vars
            service=environ.get("K_SERVICE", ""),
            revision=environ.get("K_REVISION", ""),
            project=project,
            store=store,
            firestore_database=environ.get("SYNC_FIRESTORE_DATABASE", "").strip() or "(default)",
            queue=_matching(environ, "SYNC_QUEUE", _QUEUE),
            worker_url=_url(environ, "SYNC_WORKER_URL"),
            tasks_service_account=environ.get("SYNC_TASKS_SERVICE_ACCOUNT", "").strip(),
            notification_url=_url(environ, "SYNC_NOTIFICATION_URL"),
            channel_key=_matching(environ, "SYNC_CHANNEL_KEY", _SECRET),
            providers=_providers(environ),
            coalesce=_seconds(environ, "SYNC_COALESCE_SECONDS", 10, 0, 3600),
            delete_grace=_seconds(environ, "SYNC_DELETE_GRACE_SECONDS", 60, 0, 29 * 86400),
            window=timedelta(days=_number(environ, "SYNC_WINDOW_DAYS", 1, 0, 3650)),
            channel_ttl=_seconds(environ, "SYNC_CHANNEL_TTL_SECONDS", 604800, 60, 31 * 86400),
            reconcile=_seconds(environ, "SYNC_RECONCILE_SECONDS", 21600, 1, 31 * 86400),
            retry=_seconds(environ, "SYNC_RETRY_SECONDS", 30, 0, 3600),
            max_attempts=_number(environ, "SYNC_MAX_ATTEMPTS", 10, 1, 1000),
            concurrency=_number(environ, "SYNC_CONCURRENCY", 8, 1, 64),
            run_limit=_run_limit(environ),
            tasks_emulator=_host(environ, "CLOUD_TASKS_EMULATOR_HOST"),
            secrets_emulator=_host(environ, "SECRET_MANAGER_EMULATOR_HOST"),
            calendar_emulator=_host(environ, "CALENDAR_EMULATOR_HOST"),
        )


_EXAMPLE = {
    "SYNC_QUEUE": "set it to the queue, such as projects/P/locations/L/queues/Q",
    "SYNC_WORKER_URL": "set it to the URL of sync_calendar",
    "SYNC_CHANNEL_KEY": "set it to the secret with the channel keys, such as projects/P/secrets/S",
    "SYNC_NOTIFICATION_URL": "set it to the public URL of receive_notification",
    "SYNC_PROVIDERS": 'set it to a JSON list, such as [{"name": "my-web", "type": "rest", "solutions": ["My Web"], '
    '"base_url": "https://meet.example.com/api", "secret": "projects/P/secrets/S"}]',
}


def _matching(environ: Mapping[str, str], variable: str, pattern: re.Pattern[str]) -> str:
    value = environ.get(variable, "").strip()
    if value and not pattern.fullmatch(value):
        hint = " without a version" if "/versions/" in value else ""
        raise ConfigurationError(
            f"{variable} has another form than expected{hint}; {_EXAMPLE[variable]}"
        )
    return value


def _url(environ: Mapping[str, str], variable: str) -> str:
    value = environ.get(variable, "").strip()
    if value and not _is_url(value):
        raise ConfigurationError(f"{variable} is not an http(s) URL; {_EXAMPLE[variable]}")
    return value


def _is_url(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _host(environ: Mapping[str, str], variable: str) -> str | None:
    value = environ.get(variable, "").strip()
    if not value:
        return None
    if not re.fullmatch(r"[^/\s:]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}", value):
        raise ConfigurationError(
            f"{variable} must be host:port without a scheme, such as 127.0.0.1:8080; correct it"
        )
    return value


def _number(environ: Mapping[str, str], variable: str, default: int, least: int, most: int) -> int:
    text = environ.get(variable, "").strip()
    try:
        value = int(text) if text else default
    except ValueError:
        raise ConfigurationError(
            f"{variable} is not a whole number; set it to one from {least} to {most}, or leave it out for {default}"
        ) from None
    if not least <= value <= most:
        raise ConfigurationError(
            f"{variable} is {value}; set it to a number from {least} to {most}"
        )
    return value


def _seconds(
    environ: Mapping[str, str], variable: str, default: int, least: int, most: int
) -> timedelta:
    return timedelta(seconds=_number(environ, variable, default, least, most))


def _run_limit(environ: Mapping[str, str]) -> timedelta:
    """How long one run may take: what both the function's own limit and Cloud Tasks' deadline
    allow, less a margin.

    `CLOUD_RUN_TIMEOUT_SECONDS` is the function's limit; functions-framework reads the same
    variable.
    """
    allowed = int(DISPATCH_DEADLINE.total_seconds())
    seconds = _number(environ, "CLOUD_RUN_TIMEOUT_SECONDS", allowed, 0, 3600) or allowed
    limit = timedelta(seconds=min(seconds, allowed))
    return max(limit - _MARGIN, limit / 2)


def _providers(environ: Mapping[str, str]) -> tuple[ProviderSettings, ...]:
    text = environ.get("SYNC_PROVIDERS", "").strip()
    if not text:
        return ()
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"SYNC_PROVIDERS is not JSON ({error}); correct it") from None
    if not isinstance(entries, list) or not entries:
        raise ConfigurationError(
            "SYNC_PROVIDERS must be a JSON list with at least one provider; correct it"
        )
    providers = tuple(_provider(entry, place) for place, entry in enumerate(entries, start=1))
    names = [provider.name for provider in providers]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(
                f"SYNC_PROVIDERS names {name} twice; give each provider a name of its own"
            )
    return providers


def _provider(entry: object, place: int) -> ProviderSettings:
    where = f"SYNC_PROVIDERS, entry {place}"
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{where} is not a JSON object; correct it")
    name = entry.get("name")
    if not isinstance(name, str) or not _PROVIDER_NAME.fullmatch(name):
        raise ConfigurationError(
            f"{where} needs a name of 1 to 40 letters, digits, - or _; correct it"
        )
    where = f"SYNC_PROVIDERS, provider {name}:"
    kind = entry.get("type")
    if not isinstance(kind, str) or not kind:
        raise ConfigurationError(f"{where} type is missing; set it, for example to rest")
    secret = entry.get("secret")
    if not isinstance(secret, str) or not _SECRET.fullmatch(secret):
        raise ConfigurationError(
            f"{where} secret must be named as projects/P/secrets/S, without a version; correct it"
        )
    solutions = _strings(entry, "solutions", where)
    uris = _strings(entry, "uris", where)
    if not solutions and not uris:
        raise ConfigurationError(
            f"{where} neither solutions nor uris; name at least one, or no event will ever match"
        )
    for uri in uris:
        if uri.count("{id}") != 1 or not _is_url(
            uri.replace("{id}", "id").replace("*.", "x.").replace("*", "x")
        ):
            raise ConfigurationError(
                f"{where} each of uris must be an http(s) URL that holds {{id}} once; correct {uri}"
            )
    rate = entry.get("calls_per_second")
    if rate is not None and (
        isinstance(rate, bool) or not isinstance(rate, int | float) or rate <= 0
    ):
        raise ConfigurationError(
            f"{where} calls_per_second must be a number above 0; correct it or leave it out"
        )
    known = {"name", "type", "secret", "solutions", "uris", "calls_per_second"}
    options = {key: value for key, value in entry.items() if key not in known}
    for key in ("base_url", "token_url"):
        if key in options and not _is_url(options[key]):
            raise ConfigurationError(f"{where} {key} is not an http(s) URL; correct it")
    return ProviderSettings(
        name=name,
        type=kind,
        secret=secret,
        solutions=solutions,
        uris=uris,
        calls_per_second=rate,
        options=options,
    )


def _strings(entry: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = entry.get(key, [])
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise ConfigurationError(f"{where} {key} must be a list of texts; correct it")
    return tuple(value)
