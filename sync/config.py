"""Settings from the environment: the only place that reads it.

A mistake is one sentence that names the variable and the mend (`ConfigurationError`). `main` stops
the function with it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
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
# Cloud Tasks keeps a task 30 days: what is to be done later than that needs another clock.
_LONGEST_TASK_SECONDS = 29 * 86_400
_MONTH_SECONDS = 31 * 86_400

RECEIVE = "receive_notification"
SYNC = "sync_calendar"
MANAGE = "manage_calendars"
CREATE = "create_conference"
MAINTAIN = "maintain"

_ALL = frozenset({RECEIVE, SYNC, MANAGE, CREATE, MAINTAIN})
_WITH_STORE = _ALL - {RECEIVE}

_QUEUE = re.compile(r"projects/[^/]+/locations/[^/]+/queues/[A-Za-z0-9-]{1,100}")
_SECRET = re.compile(r"projects/[^/]+/secrets/[A-Za-z0-9_-]{1,255}")
_STORE = re.compile(r"firestore|sqlite:///.+")
# Ids, and the numbers that some tools give in their place. `example.com:project` is an old form.
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,99}")
# https://docs.cloud.google.com/firestore/native/docs/manage-databases#database_id
_DATABASE = re.compile(r"\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9]")
_SERVICE_ACCOUNT = re.compile(r"[\w.+-]+@[\w.-]+", re.ASCII)
_HOST_AND_PORT = re.compile(r"[^/\s:]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")
_DOMAIN = re.compile(r"(?=.{1,253}$)([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")
_AUDIENCE = re.compile(r"[!-~]{1,255}")
_PROVIDER_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")

# Where Google shows the keys that it signs ID tokens with, as certificates by key id.
_GOOGLE_CERTS = "https://www.googleapis.com/oauth2/v1/certs"
# Types of provider whose join links are what the entry says, and nothing else.
_WITHOUT_PATTERNS = frozenset({"rest"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """One entry of `SYNC_PROVIDERS`. `options` holds what the adapter itself reads (`base_url`, …).

    `uris`, where there are any, replace the type's own patterns (E1). `hosts` are addresses or
    `*@example.com`, in small letters (O2). `calls_per_second` bounds what one instance sends. None:
    as many as `SYNC_CONCURRENCY` lets through.
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
class _Setting:
    """How one variable becomes a value: `read` takes this and the text, without blanks around it.

    `needed_by` are the functions that do not start without the variable. `mend` says, after a
    semicolon or colon, what to set it to.
    """

    variable: str
    read: Callable[[_Setting, str], Any]
    needed_by: frozenset[str] = frozenset()
    mend: str = ""


def _variable(
    name: str,
    read: Callable[[_Setting, str], Any],
    *,
    needed_by: frozenset[str] = frozenset(),
    mend: str = "",
) -> Mapping[str, _Setting]:
    """Declare, beside a field of `Settings`, the variable that sets it."""
    return {"setting": _Setting(variable=name, read=read, needed_by=needed_by, mend=mend)}


# How texts are read: each of these returns a reader for `_variable`, or is one.


def _text(default: str = "") -> Callable[[_Setting, str], str]:
    def read(_: _Setting, text: str) -> str:
        return text or default

    return read


def _optional(_: _Setting, text: str) -> str | None:
    return text or None


def _matching(pattern: re.Pattern[str], default: str = "") -> Callable[[_Setting, str], str]:
    def read(setting: _Setting, text: str) -> str:
        if text and not pattern.fullmatch(text):
            hint = " without a version" if "/versions/" in text else ""
            raise ConfigurationError(
                f"{setting.variable} has another form than expected{hint}; {setting.mend}"
            )
        return text or default

    return read


def _url(default: str = "") -> Callable[[_Setting, str], str]:
    def read(setting: _Setting, text: str) -> str:
        if text and not _is_url(text):
            raise ConfigurationError(f"{setting.variable} is not an http(s) URL; {setting.mend}")
        return text or default

    return read


def _words(pattern: re.Pattern[str]) -> Callable[[_Setting, str], frozenset[str]]:
    def read(setting: _Setting, text: str) -> frozenset[str]:
        words = frozenset(text.split())
        for word in sorted(words):
            if not pattern.fullmatch(word):
                raise ConfigurationError(f"{setting.variable} holds {word!r:.80}; {setting.mend}")
        return words

    return read


def _domains(setting: _Setting, text: str) -> frozenset[str]:
    return _words(_DOMAIN)(setting, text.lower())


def _host(setting: _Setting, text: str) -> str | None:
    if text and not (_HOST_AND_PORT.fullmatch(text) and _is_url(f"http://{text}")):
        raise ConfigurationError(
            f"{setting.variable} must be host:port without a scheme, such as 127.0.0.1:8080; "
            "correct it"
        )
    return text or None


def _number(default: int, least: int, most: int) -> Callable[[_Setting, str], int]:
    def read(setting: _Setting, text: str) -> int:
        try:
            value = int(text) if text else default
        except ValueError:
            raise ConfigurationError(
                f"{setting.variable} is not a whole number; set it to one from {least} to {most}, "
                f"or leave it out for {default}"
            ) from None
        if not least <= value <= most:
            raise ConfigurationError(
                f"{setting.variable} is {value}; set it to a number from {least} to {most}"
            )
        return value

    return read


def _seconds(default: int, least: int, most: int) -> Callable[[_Setting, str], timedelta]:
    def read(setting: _Setting, text: str) -> timedelta:
        return timedelta(seconds=_number(default, least, most)(setting, text))

    return read


def _days(default: int, least: int, most: int) -> Callable[[_Setting, str], timedelta]:
    def read(setting: _Setting, text: str) -> timedelta:
        return timedelta(days=_number(default, least, most)(setting, text))

    return read


def _run_limit(setting: _Setting, text: str) -> timedelta:
    """How long one run may take: what its function and its task both allow, less a margin."""
    allowed = int(DISPATCH_DEADLINE.total_seconds())
    seconds = _number(allowed, 0, 3600)(setting, text) or allowed
    limit = timedelta(seconds=min(seconds, allowed))
    return max(limit - _MARGIN, limit / 2)


def _is_url(value: object) -> bool:
    # Checked before it is parsed: the parser drops line ends, and lets blanks stand in a host.
    if not isinstance(value, str) or not value.isprintable() or " " in value:
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False  # such as a port that is none


def _one_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object. Raises ConfigurationError for a member that stands twice in it."""
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigurationError(
            f"SYNC_PROVIDERS has {twice!r:.80} twice in one object; take one of them out"
        )
    return members


def _providers(_: _Setting, text: str) -> tuple[ProviderSettings, ...]:
    if not text:
        return ()
    try:
        entries = json.loads(text, object_pairs_hook=_one_of_each)
    except (ValueError, RecursionError) as error:
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


_OF_EVERY_ENTRY = frozenset(
    {"name", "type", "secret", "solutions", "uris", "hosts", "calls_per_second"}
)


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
    uris = _uris(entry, where)
    if kind in _WITHOUT_PATTERNS and not solutions and not uris:
        raise ConfigurationError(
            f"{where} neither solutions nor uris; name at least one, or no event will ever match"
        )
    options = {key: value for key, value in entry.items() if key not in _OF_EVERY_ENTRY}
    for key in ("base_url", "token_url"):
        if key in options and not _is_url(options[key]):
            raise ConfigurationError(f"{where} {key} is not an http(s) URL; correct it")
        if "@" in urlsplit(options.get(key, "")).netloc:
            # What stands there would be sent in place of our token.
            raise ConfigurationError(
                f"{where} {key} names a user or a password; take them out, the secret has what "
                "the system asks for"
            )
    if re.search(r"[?#]", options.get("base_url", "")):
        raise ConfigurationError(
            f"{where} base_url has a query or a fragment, and paths are added at its end; "
            "correct it"
        )
    return ProviderSettings(
        name=name,
        type=kind,
        secret=secret,
        solutions=solutions,
        uris=uris,
        hosts=_hosts(entry, where),
        calls_per_second=_rate(entry, where),
        options=options,
    )


def _uris(entry: Mapping[str, Any], where: str) -> tuple[str, ...]:
    uris = _strings(entry, "uris", where)
    for uri in uris:
        example = uri.replace("{id}", "id").replace("*.", "x.").replace("*", "x")
        if uri.count("{id}") != 1 or not _is_url(example):
            raise ConfigurationError(
                f"{where} each of uris must be an http(s) URL that holds {{id}} once; correct {uri}"
            )
    return uris


def _hosts(entry: Mapping[str, Any], where: str) -> tuple[str, ...]:
    hosts = tuple(host.strip().lower() for host in _strings(entry, "hosts", where))
    for host in hosts:
        local, at, domain = host.rpartition("@")
        address = local and not re.search(r"[\s@*]", local)
        if not at or not (local == "*" or address) or not _DOMAIN.fullmatch(domain):
            raise ConfigurationError(
                f"{where} each of hosts must be an address, or *@ and a domain; correct {host}"
            )
    return hosts


def _rate(entry: Mapping[str, Any], where: str) -> float | None:
    rate = entry.get("calls_per_second")
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
        raise ConfigurationError(
            f"{where} calls_per_second must be a number above 0; correct it or leave it out"
        )
    return rate


def _strings(entry: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = entry.get(key, [])
    if not isinstance(value, list) or not all(
        isinstance(text, str) and text.strip() for text in value
    ):
        raise ConfigurationError(f"{where} {key} must be a list of texts; correct it")
    return tuple(value)


_EXAMPLE_PROVIDERS = (
    'set it to a JSON list, such as [{"name": "my-web", "type": "rest", '
    '"solutions": ["My Web"], "base_url": "https://meet.example.com/api", '
    '"secret": "projects/P/secrets/S"}]'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set, checked. Which variable means what: docs/settings.md."""

    target: str | None = field(metadata=_variable("FUNCTION_TARGET", _optional))
    # Cloud Run's own variables.
    # https://docs.cloud.google.com/run/docs/container-contract#env-vars
    service: str = field(metadata=_variable("K_SERVICE", _text()))
    revision: str = field(metadata=_variable("K_REVISION", _text()))
    project: str = field(
        metadata=_variable(
            "GOOGLE_CLOUD_PROJECT",
            _matching(_PROJECT),
            mend="set it to the project's id, such as my-project",
        )
    )
    store: str = field(
        metadata=_variable(
            "SYNC_STORE",
            _matching(_STORE, "firestore"),
            mend="set it to firestore or sqlite:///path, or leave it out",
        )
    )
    firestore_database: str = field(
        metadata=_variable(
            "SYNC_FIRESTORE_DATABASE",
            _matching(_DATABASE, "(default)"),
            mend="set it to the database's id alone, or leave it out for (default)",
        )
    )
    queue: str = field(
        metadata=_variable(
            "SYNC_QUEUE",
            _matching(_QUEUE),
            needed_by=_ALL,
            mend="set it to the queue, such as projects/P/locations/L/queues/Q",
        )
    )
    worker_url: str = field(
        metadata=_variable(
            "SYNC_WORKER_URL", _url(), needed_by=_ALL, mend="set it to the URL of sync_calendar"
        )
    )
    tasks_service_account: str = field(
        metadata=_variable(
            "SYNC_TASKS_SERVICE_ACCOUNT",
            _matching(_SERVICE_ACCOUNT),
            mend="set it to the account's address alone, such as "
            "tasks@my-project.iam.gserviceaccount.com, or leave it out for a local run",
        )
    )
    notification_url: str = field(
        metadata=_variable(
            "SYNC_NOTIFICATION_URL",
            _url(),
            needed_by=frozenset({MANAGE, CREATE, MAINTAIN}),
            mend="set it to the public URL of receive_notification",
        )
    )
    channel_key: str = field(
        metadata=_variable(
            "SYNC_CHANNEL_KEY",
            _matching(_SECRET),
            needed_by=_ALL - {SYNC},
            mend="set it to the secret with the channel keys, such as projects/P/secrets/S",
        )
    )
    providers: tuple[ProviderSettings, ...] = field(
        metadata=_variable(
            "SYNC_PROVIDERS", _providers, needed_by=_WITH_STORE, mend=_EXAMPLE_PROVIDERS
        )
    )
    coalesce: timedelta = field(metadata=_variable("SYNC_COALESCE_SECONDS", _seconds(10, 0, 3600)))
    delete_grace: timedelta = field(
        metadata=_variable("SYNC_DELETE_GRACE_SECONDS", _seconds(60, 0, _LONGEST_TASK_SECONDS))
    )
    window: timedelta = field(metadata=_variable("SYNC_WINDOW_DAYS", _days(1, 0, 3650)))
    channel_ttl: timedelta = field(
        metadata=_variable("SYNC_CHANNEL_TTL_SECONDS", _seconds(604_800, 60, _MONTH_SECONDS))
    )
    reconcile: timedelta = field(
        metadata=_variable("SYNC_RECONCILE_SECONDS", _seconds(21_600, 1, _MONTH_SECONDS))
    )
    retry: timedelta = field(metadata=_variable("SYNC_RETRY_SECONDS", _seconds(30, 0, 3600)))
    max_attempts: int = field(metadata=_variable("SYNC_MAX_ATTEMPTS", _number(10, 1, 1000)))
    concurrency: int = field(metadata=_variable("SYNC_CONCURRENCY", _number(8, 1, 64)))
    adopt: timedelta = field(
        metadata=_variable("SYNC_ADOPT_SECONDS", _seconds(86_400, 0, _LONGEST_TASK_SECONDS))
    )
    addon_audiences: frozenset[str] = field(
        metadata=_variable(
            "SYNC_ADDON_AUDIENCES",
            _words(_AUDIENCE),
            mend="set it to the client ids of the add-ons, separated by blanks",
        )
    )
    addon_domains: frozenset[str] = field(
        metadata=_variable(
            "SYNC_ADDON_DOMAINS",
            _domains,
            mend="set it to the domains of the add-on's users, such as example.com, separated by "
            "blanks",
        )
    )
    addon_certs_url: str = field(
        metadata=_variable(
            "SYNC_ADDON_CERTS_URL",
            _url(_GOOGLE_CERTS),
            mend="correct it, or leave it out for Google's",
        )
    )
    subject_domains: frozenset[str] = field(
        metadata=_variable(
            "SYNC_SUBJECT_DOMAINS",
            _domains,
            mend="set it to the domains whose users we may act as, such as example.com, separated "
            "by blanks, or leave it out for any",
        )
    )
    trace_url: str = field(
        metadata=_variable(
            "SYNC_TRACE_URL",
            _url(),
            mend="set it to an OTLP endpoint, such as https://telemetry.googleapis.com/v1/traces, "
            "or leave it out to make no spans",
        )
    )
    # The function's own limit, which functions-framework reads as well.
    run_limit: timedelta = field(metadata=_variable("CLOUD_RUN_TIMEOUT_SECONDS", _run_limit))
    # Firestore's client reads this variable itself.
    firestore_emulator: str | None = field(metadata=_variable("FIRESTORE_EMULATOR_HOST", _host))
    tasks_emulator: str | None = field(metadata=_variable("CLOUD_TASKS_EMULATOR_HOST", _host))
    secrets_emulator: str | None = field(metadata=_variable("SECRET_MANAGER_EMULATOR_HOST", _host))
    calendar_emulator: str | None = field(metadata=_variable("CALENDAR_EMULATOR_HOST", _host))

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read and check all settings. `FUNCTION_TARGET` decides which of them are needed.

        `{"SYNC_RETRY_SECONDS": "5"}` gives `retry=timedelta(seconds=5)`, all others as they are
        without a variable. Raises ConfigurationError.
        """
        texts = {name: text.strip() for name, text in environ.items()}
        target = texts.get("FUNCTION_TARGET", "")
        declared = {each.name: _declared(each) for each in fields(cls)}
        for setting in declared.values():
            if target in setting.needed_by and not texts.get(setting.variable):
                raise ConfigurationError(
                    f"{setting.variable} is not set; {target} needs it: {setting.mend}"
                )
        settings = cls(
            **{
                name: setting.read(setting, texts.get(setting.variable, ""))
                for name, setting in declared.items()
            }
        )
        settings._check_together()
        return settings

    def _check_together(self) -> None:
        if self.store == "firestore" and self.target in _WITH_STORE and not self.project:
            raise ConfigurationError(
                "GOOGLE_CLOUD_PROJECT is not set; set it to the project that holds the Firestore "
                "database"
            )
        if self.target == CREATE and self.addon_audiences and not self.addon_domains:
            raise ConfigurationError(
                "SYNC_ADDON_DOMAINS is not set, so that no user of the add-on would be let in; "
                "set it to their domains, such as example.com"
            )


def _declared(each: Field[Any]) -> _Setting:
    setting: _Setting = each.metadata["setting"]
    return setting
