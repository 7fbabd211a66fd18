"""Secrets through the real client against the stand-in: remembered, read again on demand, errors
with their mend."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.cloud import secretmanager_v1

from sandbox.secret_manager import SecretManager as StandIn
from sandbox.servers import free_port
from sync.errors import Invalid, NotAllowed, SyncError, TryLater
from sync.google.secret_manager import REMEMBERED_SECONDS, SecretManager

_numbers = itertools.count(1)


@pytest.fixture
def secrets(secret_manager: StandIn) -> Iterator[SecretManager]:
    secrets = SecretManager(emulator=secret_manager.host)
    yield secrets
    secrets.close()


@pytest.fixture
def name(secret_manager: StandIn) -> str:
    """A secret of the test's own."""
    name = f"projects/p/secrets/own-{next(_numbers)}"
    secret_manager.put(name, b"one")
    return name


def test_c2_a_secret_is_remembered(
    secrets: SecretManager, secret_manager: StandIn, name: str
) -> None:
    """Minutes go by before it is read again: a thousand events ask once."""
    assert REMEMBERED_SECONDS >= 60
    assert [secrets.read(name) for _ in range(1000)] == [b"one"] * 1000
    assert secret_manager.accesses[name] == 1


def test_c2_whoever_was_refused_gets_the_newest(
    secrets: SecretManager, secret_manager: StandIn, name: str
) -> None:
    """A lower age reads again, and everybody has the new one then; a higher one does not."""
    secrets.read(name)
    secret_manager.put(name, b"two")
    assert secrets.read(name) == b"one"
    assert secrets.read(name, max_age_seconds=60) == b"one"
    time.sleep(0.02)
    assert secrets.read(name, max_age_seconds=0.01) == b"two"
    assert secrets.read(name) == b"two"
    assert secret_manager.accesses[name] == 2


def test_the_newest_version_counts_even_when_it_is_disabled(
    secrets: SecretManager, secret_manager: StandIn, name: str
) -> None:
    """A version that was switched off is not silently replaced by an older one."""
    newest = secret_manager.put(name, b"two")
    states: Any = secretmanager_v1.SecretVersion.State
    secret_manager._change_state(newest, states.DISABLED)
    with pytest.raises(
        Invalid, match=f"newest version of {name} is disabled or destroyed; enable it or add one"
    ):
        secrets.read(name)


def test_c2_threads_that_ask_at_once_share_one_call(
    secrets: SecretManager, secret_manager: StandIn, name: str
) -> None:
    """Sixteen workers that start together read the secret once."""
    secret_manager.delay(0.1)
    try:
        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(lambda _: secrets.read(name), range(16))) == [b"one"] * 16
    finally:
        secret_manager.delay(0)
    assert secret_manager.accesses[name] == 1


def test_c2_an_error_is_shared_as_well(secrets: SecretManager, secret_manager: StandIn) -> None:
    """Those who waited for the one call do not ask one after the other."""
    secret_manager.delay(0.2)
    secret_manager.refuse_all()
    try:
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(secrets.read, "projects/p/secrets/down") for _ in range(8)]
            errors = [each.exception(timeout=30) for each in asked]
    finally:
        secret_manager.delay(0)
        secret_manager.refuse_all(False)
    assert {type(error) for error in errors} == {TryLater}


@pytest.mark.slow
def test_c2_a_remembered_secret_waits_for_no_other_s_call(
    secrets: SecretManager, secret_manager: StandIn, name: str
) -> None:
    """One secret that is slow to read holds up nobody who has theirs."""
    secrets.read(name)
    secret_manager.delay(4)
    try:
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(secrets.read, f"{name}-slow")
            for _ in range(100):
                assert secrets.read(name) == b"one"
            assert not slow.done()
            secret_manager.put(f"{name}-slow", b"late")
            assert slow.result(timeout=20) == b"late"
    finally:
        secret_manager.delay(0)


def test_secrets_are_kept_apart(secrets: SecretManager, secret_manager: StandIn, name: str) -> None:
    """One name, one payload; bytes come back as they are."""
    other = f"{name}-b"
    secret_manager.put(other, b"\x00\xff\n")
    assert (secrets.read(name), secrets.read(other), secrets.read(name)) == (
        b"one",
        b"\x00\xff\n",
        b"one",
    )


def test_a_secret_that_is_not_there_is_invalid_with_the_mend(secrets: SecretManager) -> None:
    """The operator reads which, and what to type."""
    with pytest.raises(
        Invalid, match=r"there is no projects/p/secrets/nowhere.*gcloud secrets versions add"
    ):
        secrets.read("projects/p/secrets/nowhere")


def test_a_secret_that_is_closed_to_us_is_not_allowed_with_the_mend(
    secrets: SecretManager, secret_manager: StandIn, name: str
) -> None:
    """The operator reads which role on which secret."""
    secret_manager.deny(name)
    with pytest.raises(
        NotAllowed, match=rf"may not read {name}.*roles/secretmanager\.secretAccessor"
    ):
        secrets.read(name)
    secret_manager.allow(name)
    assert secrets.read(name) == b"one"


CODES = [
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.UNKNOWN,
]


@pytest.mark.parametrize("code", CODES, ids=lambda code: str(code.name))
def test_a_service_out_of_reach_is_tried_later(
    secrets: SecretManager, secret_manager: StandIn, name: str, code: grpc.StatusCode
) -> None:
    """It is neither the secret's fault nor ours, and an error is not remembered."""
    secret_manager.fail_next(code)
    with pytest.raises(TryLater, match=name):
        secrets.read(name)
    assert secrets.read(name) == b"one"


def test_a_payload_damaged_on_its_way_is_not_used(
    secrets: SecretManager, secret_manager: StandIn, name: str
) -> None:
    """The checksum is looked at; the next try has the right one."""
    secret_manager.corrupt_next()
    with pytest.raises(TryLater, match="damaged"):
        secrets.read(name)
    assert secrets.read(name) == b"one"


def test_nobody_there_is_told_within_seconds() -> None:
    """A notification cannot wait for a minute of the library's own retries."""
    secrets = SecretManager(emulator=f"127.0.0.1:{free_port()}")
    began = time.monotonic()
    with pytest.raises(TryLater):
        secrets.read("projects/p/secrets/s")
    assert time.monotonic() - began < 6
    secrets.close()


def test_no_error_names_the_payload(
    secrets: SecretManager, secret_manager: StandIn, name: str
) -> None:
    """What an error says may be logged: the secret's name, never what is in it."""
    secret_manager.put(name, b"hush-hush")
    secret_manager.corrupt_next()
    said = ""
    try:
        secrets.read(name)
    except SyncError as error:
        said = str(error)
    assert said
    assert "hush" not in said
