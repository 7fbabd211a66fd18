"""Settings: every variable, its default, and one sentence with the mend for every mistake."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.config import CREATE, MAINTAIN, MANAGE, RECEIVE, SYNC, ProviderSettings, Settings
from sync.errors import ConfigurationError

PROVIDER: dict[str, Any] = {
    "name": "my-web",
    "type": "rest",
    "solutions": ["My Web Conference"],
    "uris": ["https://meet.example.com/{id}"],
    "base_url": "https://meet.example.com/api",
    "secret": "projects/p/secrets/my-web",
}
WHOLE = {
    "GOOGLE_CLOUD_PROJECT": "p",
    "SYNC_QUEUE": "projects/p/locations/europe-west1/queues/sync",
    "SYNC_WORKER_URL": "https://worker.example.com/",
    "SYNC_NOTIFICATION_URL": "https://receive.example.com/",
    "SYNC_CHANNEL_KEY": "projects/p/secrets/channel-key",
    "SYNC_PROVIDERS": json.dumps([PROVIDER]),
}
TARGETS = (RECEIVE, SYNC, MANAGE, CREATE, MAINTAIN)
WITH_STORE = TARGETS[1:]


def read(**environ: str) -> Settings:
    return Settings.from_environ({**WHOLE, **environ})


def mistake(**environ: str) -> str:
    """The one sentence that a mistake gives."""
    with pytest.raises(ConfigurationError) as caught:
        read(**environ)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


def test_defaults_are_those_of_the_documented_table() -> None:
    """Nothing but what is needed was set: everything else is as documented."""
    settings = read()
    assert {field.name: getattr(settings, field.name) for field in fields(settings)} == {
        "target": None,
        "service": "",
        "revision": "",
        "project": "p",
        "store": "firestore",
        "firestore_database": "(default)",
        "queue": WHOLE["SYNC_QUEUE"],
        "worker_url": WHOLE["SYNC_WORKER_URL"],
        "tasks_service_account": "",
        "notification_url": WHOLE["SYNC_NOTIFICATION_URL"],
        "channel_key": WHOLE["SYNC_CHANNEL_KEY"],
        "providers": (
            ProviderSettings(
                name="my-web",
                type="rest",
                secret="projects/p/secrets/my-web",
                solutions=("My Web Conference",),
                uris=("https://meet.example.com/{id}",),
                options={"base_url": "https://meet.example.com/api"},
            ),
        ),
        "coalesce": timedelta(seconds=10),
        "delete_grace": timedelta(seconds=60),
        "window": timedelta(days=1),
        "channel_ttl": timedelta(seconds=604800),
        "reconcile": timedelta(seconds=21600),
        "retry": timedelta(seconds=30),
        "max_attempts": 10,
        "concurrency": 8,
        "adopt": timedelta(days=1),
        "addon_audiences": frozenset(),
        "addon_domains": frozenset(),
        "addon_certs_url": "https://www.googleapis.com/oauth2/v1/certs",
        "subject_domains": frozenset(),
        "trace_url": "",
        "run_limit": timedelta(minutes=9, seconds=30),
        "firestore_emulator": None,
        "tasks_emulator": None,
        "secrets_emulator": None,
        "calendar_emulator": None,
    }


SET: dict[str, tuple[str, str, Any]] = {
    "GOOGLE_CLOUD_PROJECT": ("project", " other ", "other"),
    "SYNC_STORE": ("store", "sqlite:///var/state.sqlite", "sqlite:///var/state.sqlite"),
    "SYNC_FIRESTORE_DATABASE": ("firestore_database", "sync", "sync"),
    "SYNC_QUEUE": (
        "queue",
        "projects/q/locations/l/queues/Q-1",
        "projects/q/locations/l/queues/Q-1",
    ),
    "SYNC_WORKER_URL": ("worker_url", "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    "SYNC_TASKS_SERVICE_ACCOUNT": ("tasks_service_account", "tasks@p.iam", "tasks@p.iam"),
    "SYNC_NOTIFICATION_URL": (
        "notification_url",
        "https://n.example.com/x?y=z",
        "https://n.example.com/x?y=z",
    ),
    "SYNC_CHANNEL_KEY": ("channel_key", "projects/q/secrets/k_1", "projects/q/secrets/k_1"),
    "SYNC_COALESCE_SECONDS": ("coalesce", "0", timedelta()),
    "SYNC_DELETE_GRACE_SECONDS": ("delete_grace", "0", timedelta()),
    "SYNC_WINDOW_DAYS": ("window", "7", timedelta(days=7)),
    "SYNC_CHANNEL_TTL_SECONDS": ("channel_ttl", "3600", timedelta(hours=1)),
    "SYNC_RECONCILE_SECONDS": ("reconcile", "60", timedelta(minutes=1)),
    "SYNC_RETRY_SECONDS": ("retry", " 5 ", timedelta(seconds=5)),
    "SYNC_MAX_ATTEMPTS": ("max_attempts", "1", 1),
    "SYNC_CONCURRENCY": ("concurrency", "64", 64),
    "SYNC_ADOPT_SECONDS": ("adopt", "0", timedelta()),
    "SYNC_ADDON_AUDIENCES": (
        "addon_audiences",
        " 1-a.apps.googleusercontent.com  2-b.apps.googleusercontent.com",
        frozenset({"1-a.apps.googleusercontent.com", "2-b.apps.googleusercontent.com"}),
    ),
    "SYNC_ADDON_DOMAINS": (
        "addon_domains",
        "example.com Example.ORG\texample.com",
        frozenset({"example.com", "example.org"}),
    ),
    "SYNC_ADDON_CERTS_URL": (
        "addon_certs_url",
        "http://127.0.0.1:8080/certs",
        "http://127.0.0.1:8080/certs",
    ),
    "SYNC_SUBJECT_DOMAINS": ("subject_domains", "example.com", frozenset({"example.com"})),
    "FIRESTORE_EMULATOR_HOST": ("firestore_emulator", "localhost:8123", "localhost:8123"),
    "CLOUD_TASKS_EMULATOR_HOST": ("tasks_emulator", "127.0.0.1:8123", "127.0.0.1:8123"),
    "SECRET_MANAGER_EMULATOR_HOST": ("secrets_emulator", "[::1]:8123", "[::1]:8123"),
    "CALENDAR_EMULATOR_HOST": ("calendar_emulator", "calendar:80", "calendar:80"),
    "FUNCTION_TARGET": ("target", "maintain", "maintain"),
    "CLOUD_RUN_TIMEOUT_SECONDS": ("run_limit", "120", timedelta(seconds=90)),
}


@pytest.mark.parametrize(("variable", "setting"), list(SET.items()), ids=list(SET))
def test_each_variable_sets_what_it_says(variable: str, setting: tuple[str, str, Any]) -> None:
    """One variable, one setting, the others as they were."""
    name, text, value = setting
    settings, before = read(**{variable: text}), read()
    assert getattr(settings, name) == value
    assert {
        f.name for f in fields(settings) if getattr(settings, f.name) != getattr(before, f.name)
    } == {name}


@pytest.mark.parametrize("variable", sorted(SET))
def test_an_empty_variable_is_as_good_as_none(variable: str) -> None:
    """Deployment tools set variables to nothing: that means the default."""
    without = {name: text for name, text in WHOLE.items() if name != variable}
    assert Settings.from_environ({**without, variable: " "[: variable != "FUNCTION_TARGET"]}) == (
        Settings.from_environ(without)
    )


@pytest.mark.parametrize(
    ("seconds", "limit"),
    [("540", 510), ("3600", 570), ("600", 570), ("60", 30), ("40", 20), ("1", 0.5), ("0", 570)],
)
def test_a_run_ends_before_its_function_and_its_task_do(seconds: str, limit: float) -> None:
    """Half a minute is kept of the shorter of both limits, or half of a very short one."""
    assert read(CLOUD_RUN_TIMEOUT_SECONDS=seconds).run_limit == timedelta(seconds=limit)


NEEDED = {
    "SYNC_QUEUE": TARGETS,
    "SYNC_WORKER_URL": TARGETS,
    "SYNC_CHANNEL_KEY": (RECEIVE, MANAGE, CREATE, MAINTAIN),
    "SYNC_NOTIFICATION_URL": (MANAGE, CREATE, MAINTAIN),
    "SYNC_PROVIDERS": WITH_STORE,
    "GOOGLE_CLOUD_PROJECT": WITH_STORE,
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("variable", sorted(NEEDED))
def test_a_function_does_not_start_without_what_it_needs(variable: str, target: str) -> None:
    """What a function needs must be set, and what only another one needs need not be."""
    if target in NEEDED[variable]:
        text = mistake(FUNCTION_TARGET=target, **{variable: ""})
        assert text.startswith(f"{variable} is not set; ")
        assert "set it to" in text
    else:
        read(FUNCTION_TARGET=target, **{variable: ""})


def test_the_project_is_not_needed_without_firestore() -> None:
    """A local run knows no project."""
    assert (
        read(FUNCTION_TARGET=SYNC, GOOGLE_CLOUD_PROJECT="", SYNC_STORE="sqlite:///x.sqlite").project
        == ""
    )


def test_a1_the_add_on_s_function_starts_without_add_ons() -> None:
    """Without audiences it answers 404, and is no mistake; audiences without domains are one."""
    assert read(FUNCTION_TARGET=CREATE).addon_audiences == frozenset()
    said = mistake(FUNCTION_TARGET=CREATE, SYNC_ADDON_AUDIENCES="1-a")
    assert said.startswith("SYNC_ADDON_DOMAINS is not set")
    for target in (RECEIVE, SYNC, MANAGE, MAINTAIN):
        read(FUNCTION_TARGET=target, SYNC_ADDON_AUDIENCES="1-a")


WRONG: dict[str, list[str]] = {
    "GOOGLE_CLOUD_PROJECT": ["projects/p", "My Project"],
    "SYNC_FIRESTORE_DATABASE": ["My DB", "projects/p/databases/d", "(Default)"],
    "SYNC_TASKS_SERVICE_ACCOUNT": ["tasks", "serviceAccount:tasks@p.iam", "a/serviceAccounts/t@p"],
    "SYNC_STORE": ["sqlite", "sqlite:///", "postgres://x", "Firestore"],
    "SYNC_QUEUE": [
        "sync",
        "projects/p/queues/q",
        "projects/p/locations/l/queues/q/",
        "projects/p/locations/l/queues/a_b",
    ],
    "SYNC_WORKER_URL": [
        "worker.example.com",
        "ftp://worker.example.com",
        "https://",
        "https://[x",
        "https://x:99999",
        "https://x:port/",
        "https://wor ker.example.com",
    ],
    "SYNC_NOTIFICATION_URL": ["receive.example.com", "mailto:a@b"],
    "SYNC_CHANNEL_KEY": [
        "channel-key",
        "projects/p/secrets/s/versions/1",
        "projects/p/secrets/a b",
    ],
    "SYNC_COALESCE_SECONDS": ["-1", "3601", "ten", "1.5", "10s"],
    "SYNC_DELETE_GRACE_SECONDS": ["-1", "2592000", "x"],
    "SYNC_WINDOW_DAYS": ["-1", "3651", "x"],
    "SYNC_CHANNEL_TTL_SECONDS": ["0", "59", "9999999", "x"],
    "SYNC_RECONCILE_SECONDS": ["0", "9999999", "x"],
    "SYNC_RETRY_SECONDS": ["-1", "3601", "x"],
    "SYNC_MAX_ATTEMPTS": ["0", "1001", "x"],
    "SYNC_CONCURRENCY": ["0", "65", "x"],
    "SYNC_ADOPT_SECONDS": ["-1", "2592000", "x"],
    "SYNC_ADDON_AUDIENCES": ["x" * 256, "1-a \N{BIRTHDAY CAKE}"],
    "SYNC_ADDON_DOMAINS": ["example.com, example.org", "anna@example.com", "*.example.com"],
    "SYNC_ADDON_CERTS_URL": ["www.googleapis.com", "ftp://x.example.com"],
    "SYNC_SUBJECT_DOMAINS": ["@example.com", "x" * 300],
    "CLOUD_RUN_TIMEOUT_SECONDS": ["-1", "3601", "x"],
    "FIRESTORE_EMULATOR_HOST": ["http://127.0.0.1:8123", "localhost", "localhost:x"],
    "CLOUD_TASKS_EMULATOR_HOST": [
        "127.0.0.1:99999",
        "http://127.0.0.1:8123",
        "127.0.0.1",
        "127.0.0.1:8123/",
        ":80",
        "a b:80",
    ],
    "SECRET_MANAGER_EMULATOR_HOST": ["localhost"],
    "CALENDAR_EMULATOR_HOST": ["http://localhost:80"],
}


@pytest.mark.parametrize(
    ("variable", "text"),
    [(name, text) for name, texts in WRONG.items() for text in texts],
    ids=lambda part: str(part),
)
def test_a_mistake_is_one_sentence_that_names_the_variable_and_the_mend(
    variable: str, text: str
) -> None:
    """The operator reads which variable, and what to do about it."""
    said = mistake(**{variable: text})
    assert said.startswith(variable)
    assert re.search(r"; (set|correct)|correct it|such as", said)


def test_a_secret_with_a_version_is_told_to_go_without() -> None:
    """Secrets are read at `versions/latest`, so that rotation needs no deploy; the sentence says
    that."""
    assert "without a version" in mistake(SYNC_CHANNEL_KEY="projects/p/secrets/s/versions/latest")


def changed(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (PROVIDER | changes).items() if value is not ...}


WRONG_PROVIDERS: dict[str, tuple[Any, str]] = {
    "not-json": ("[{", "is not JSON"),
    "no-list": ({}, "must be a JSON list"),
    "empty-list": ([], "must be a JSON list"),
    "no-object": (["x"], "entry 1 is not a JSON object"),
    "second-is-no-object": ([PROVIDER, 5], "entry 2 is not a JSON object"),
    "no-name": ([changed(name=...)], "entry 1 needs a name"),
    "empty-name": ([changed(name="")], "entry 1 needs a name"),
    "odd-name": ([changed(name="my web")], "entry 1 needs a name"),
    "long-name": ([changed(name="x" * 41)], "entry 1 needs a name"),
    "name-is-no-text": ([changed(name=5)], "entry 1 needs a name"),
    "no-type": ([changed(type=...)], "my-web: type is missing"),
    "type-is-no-text": ([changed(type=5)], "my-web: type is missing"),
    "no-secret": ([changed(secret=...)], "my-web: secret must be named"),
    "secret-with-version": (
        [changed(secret="projects/p/secrets/s/versions/1")],
        "without a version",
    ),
    "nothing-to-match": ([changed(solutions=..., uris=...)], "neither solutions nor uris"),
    "solutions-is-no-list": ([changed(solutions="My Web")], "solutions must be a list"),
    "solutions-of-numbers": ([changed(solutions=[5])], "solutions must be a list"),
    "empty-solution": ([changed(solutions=[""])], "solutions must be a list"),
    "uri-without-id": ([changed(uris=["https://meet.example.com/"])], "holds {id} once"),
    "uri-with-two-ids": ([changed(uris=["https://{id}.example.com/{id}"])], "holds {id} once"),
    "uri-without-scheme": ([changed(uris=["meet.example.com/{id}"])], "http(s) URL"),
    "hosts-is-no-list": ([changed(hosts="*@example.com")], "hosts must be a list"),
    "hosts-of-numbers": ([changed(hosts=[5])], "hosts must be a list"),
    "host-is-a-domain": ([changed(hosts=["example.com"])], "an address, or *@ and a domain"),
    "host-is-a-pattern": ([changed(hosts=["a*@example.com"])], "an address, or *@ and a domain"),
    "host-of-any-domain": ([changed(hosts=["anna@*"])], "an address, or *@ and a domain"),
    "host-is-everybody": ([changed(hosts=["*"])], "an address, or *@ and a domain"),
    "host-without-a-domain": ([changed(hosts=["anna@"])], "an address, or *@ and a domain"),
    "rate-is-no-number": ([changed(calls_per_second="5")], "calls_per_second must be a number"),
    "rate-is-nothing": ([changed(calls_per_second=0)], "calls_per_second must be a number"),
    "rate-is-endless": (
        json.dumps([changed(calls_per_second=float("inf"))]),
        "calls_per_second must be a number",
    ),
    "deep": ("[" * 100_000, "is not JSON"),
    "base-url-is-none": ([changed(base_url="meet.example.com")], "base_url is not an http(s) URL"),
    "token-url-is-none": ([changed(token_url=5)], "token_url is not an http(s) URL"),
    "two-of-one-name": ([PROVIDER, PROVIDER], "names my-web twice"),
    "a-member-twice": ('[{"name": "a", "name": "b"}]', "'name' twice"),
    "blank-solution": ([changed(solutions=["  "])], "solutions must be a list"),
    "uri-after-a-blank": ([changed(uris=[" https://meet.example.com/{id}"])], "http(s) URL"),
    "base-url-with-a-query": ([changed(base_url="https://x.example.com/?v=1")], "has a query"),
    "base-url-with-a-fragment": ([changed(base_url="https://x.example.com/#v1")], "a fragment"),
    "base-url-with-a-user": ([changed(base_url="https://me:pw@x.example.com/")], "names a user"),
    "token-url-with-a-user": ([changed(token_url="https://me@x.example.com/")], "names a user"),
    "base-url-with-a-blank": ([changed(base_url="https://x.example .com/")], "http(s) URL"),
}


@pytest.mark.parametrize(
    ("value", "says"), list(WRONG_PROVIDERS.values()), ids=list(WRONG_PROVIDERS)
)
def test_a_mistake_among_the_providers_names_which_and_what(value: Any, says: str) -> None:
    """SYNC_PROVIDERS is long: the sentence tells the entry and the member."""
    said = mistake(SYNC_PROVIDERS=value if isinstance(value, str) else json.dumps(value))
    assert said.startswith("SYNC_PROVIDERS")
    assert says in said


@pytest.mark.parametrize(
    "uri", ["https://*.zoom.us/j/{id}", "https://us*.zoom.us/j/{id}", "http://{id}.example.com/"]
)
def test_stars_and_ids_may_stand_in_a_host(uri: str) -> None:
    """The documented forms of a join link are taken."""
    assert read(SYNC_PROVIDERS=json.dumps([changed(uris=[uri])])).providers[0].uris == (uri,)


def test_o2_hosts_are_addresses_and_domains_in_small_letters() -> None:
    """Whose conferences may be followed: people, or everybody of a domain; nobody by default."""
    entries = [changed(hosts=["Rooms@Example.com", "*@EXAMPLE.org"]), changed(name="other")]
    first, second = read(SYNC_PROVIDERS=json.dumps(entries)).providers
    assert (first.hosts, second.hosts) == (("rooms@example.com", "*@example.org"), ())
    assert "hosts" not in first.options


@pytest.mark.parametrize("kind", ["zoom", "webex", "teams"])
def test_e1_a_type_with_patterns_of_its_own_needs_neither_solutions_nor_uris(kind: str) -> None:
    """Its join links are known without a word of configuration."""
    entry = changed(type=kind, solutions=..., uris=...)
    (provider,) = read(SYNC_PROVIDERS=json.dumps([entry])).providers
    assert (provider.solutions, provider.uris) == ((), ())


@given(
    environ=st.dictionaries(st.sampled_from(sorted({*SET, "SYNC_PROVIDERS"})), st.text(max_size=20))
)
def test_whatever_the_environment_nothing_but_a_configuration_error_is_raised(
    environ: dict[str, str],
) -> None:
    """Any text in any variable is read, or is a mistake in one sentence."""
    said = None
    try:
        read(**environ)
    except ConfigurationError as error:
        said = str(error)
    assert said is None or any(variable in said for variable in environ)


_JSON = st.recursive(
    st.none() | st.text(max_size=5) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*PROVIDER, "token_url", "hosts"]), inner, max_size=6)
    ),
)


@given(value=_JSON)
def test_whatever_the_providers_are_nothing_but_a_configuration_error_is_raised(value: Any) -> None:
    """Any JSON as SYNC_PROVIDERS is read, or is a mistake in one sentence."""
    said = "SYNC_PROVIDERS"
    try:
        read(SYNC_PROVIDERS=json.dumps(value))
    except ConfigurationError as error:
        said = str(error)
    assert said.startswith("SYNC_PROVIDERS")
