"""The stand-in for Secret Manager, through the real client."""

from __future__ import annotations

import time
from collections.abc import Iterator

import google_crc32c
import grpc
import pytest
from google.api_core import exceptions
from google.cloud import secretmanager_v1
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
    SecretManagerServiceGrpcTransport,
)

from sandbox.secret_manager import SecretManager

NAME = "projects/p/secrets/my-web"
LATEST = f"{NAME}/versions/latest"
State = secretmanager_v1.SecretVersion.State
Payload = secretmanager_v1.SecretPayload


@pytest.fixture
def secrets() -> Iterator[SecretManager]:
    secrets = SecretManager()
    secrets.start()
    yield secrets
    secrets.stop()


@pytest.fixture
def client(secrets: SecretManager) -> Iterator[secretmanager_v1.SecretManagerServiceClient]:
    channel = grpc.insecure_channel(secrets.host)
    yield secretmanager_v1.SecretManagerServiceClient(
        transport=SecretManagerServiceGrpcTransport(channel=channel)
    )
    channel.close()


Client = secretmanager_v1.SecretManagerServiceClient


def access(client: Client, name: str = LATEST) -> bytes:
    """Access once, without the client's own retries, which wait for seconds."""
    data: bytes = client.access_secret_version(name=name, retry=None).payload.data
    return data


def test_what_is_put_is_accessed(secrets: SecretManager, client: Client) -> None:
    """Bytes, text and a mapping as JSON come back through the service, with their checksum and
    number."""
    assert secrets.put(NAME, b"one") == f"{NAME}/versions/1"
    assert secrets.put(NAME, "zwei") == f"{NAME}/versions/2"
    assert secrets.put(NAME, {"token": "t"}) == f"{NAME}/versions/3"
    answer = client.access_secret_version(name=LATEST)
    assert answer.name == f"{NAME}/versions/3"
    assert answer.payload.data == b'{"token": "t"}'
    assert answer.payload.data_crc32c == google_crc32c.value(answer.payload.data)
    assert access(client, f"{NAME}/versions/1") == b"one"
    assert secrets.accesses == {NAME: 2}


def test_secrets_and_versions_through_the_client(client: Client) -> None:
    """Create, get, list and delete a secret; add, get and list its versions, newest first, in
    pages."""
    secret = secretmanager_v1.Secret(replication={"automatic": {}}, labels={"a": "b"})
    created = client.create_secret(parent="projects/p", secret_id="my-web", secret=secret)
    assert (created.name, dict(created.labels)) == (NAME, {"a": "b"})
    with pytest.raises(exceptions.AlreadyExists):
        client.create_secret(parent="projects/p", secret_id="my-web", secret=secret)
    with pytest.raises(exceptions.InvalidArgument):
        client.create_secret(parent="projects/p", secret_id="my web", secret=secret)
    for data in (b"1", b"2", b"3"):
        client.add_secret_version(parent=NAME, payload=Payload(data=data))
    listed = list(client.list_secret_versions(request={"parent": NAME, "page_size": 2}))
    assert [version.name[-1] for version in listed] == ["3", "2", "1"]
    assert client.get_secret_version(name=LATEST).name == f"{NAME}/versions/3"
    assert client.get_secret(name=NAME).name == NAME
    assert [secret.name for secret in client.list_secrets(parent="projects/p")] == [NAME]
    assert list(client.list_secrets(parent="projects/other")) == []
    client.delete_secret(name=NAME)
    for call in (client.get_secret, client.delete_secret):
        with pytest.raises(exceptions.NotFound):
            call(name=NAME)
    with pytest.raises(exceptions.NotFound):
        access(client)


def test_latest_is_the_newest_whatever_its_state(secrets: SecretManager, client: Client) -> None:
    """A disabled newest version is not passed over for an older one: access fails until it is
    enabled again."""
    first, second = secrets.put(NAME, "old"), secrets.put(NAME, "new")
    client.disable_secret_version(name=second)
    with pytest.raises(exceptions.FailedPrecondition, match="DISABLED"):
        access(client)
    assert access(client, first) == b"old"
    client.enable_secret_version(name=second)
    assert access(client) == b"new"


def test_a_destroyed_version_is_gone_for_good(secrets: SecretManager, client: Client) -> None:
    """Its data cannot be had and its state cannot change; its number is not given again."""
    first = secrets.put(NAME, "old")
    destroyed = client.destroy_secret_version(name=first)
    assert destroyed.state == State.DESTROYED
    assert destroyed.destroy_time is not None
    with pytest.raises(exceptions.FailedPrecondition, match="DESTROYED"):
        access(client)
    for call in (
        client.enable_secret_version,
        client.disable_secret_version,
        client.destroy_secret_version,
    ):
        with pytest.raises(exceptions.FailedPrecondition):
            call(name=first)
    assert secrets.put(NAME, "new") == f"{NAME}/versions/2"
    assert [version.state for version in secrets.versions(NAME)] == [State.ENABLED, State.DESTROYED]


def test_checksums_and_sizes_are_checked(secrets: SecretManager, client: Client) -> None:
    """A wrong checksum and more than 64 KiB are refused; the limit itself and a right checksum
    are taken."""
    secrets.put(NAME, "x")
    data = b"x" * 65_536
    version = client.add_secret_version(
        parent=NAME, payload=Payload(data=data, data_crc32c=google_crc32c.value(data))
    )
    assert version.client_specified_payload_checksum
    with pytest.raises(exceptions.InvalidArgument, match="checksum"):
        client.add_secret_version(parent=NAME, payload=Payload(data=data, data_crc32c=1))
    with pytest.raises(exceptions.InvalidArgument, match="65536"):
        client.add_secret_version(parent=NAME, payload=Payload(data=data + b"x"))


def test_names_that_are_none_are_refused(secrets: SecretManager, client: Client) -> None:
    """A malformed name is INVALID_ARGUMENT, an unknown version NOT_FOUND."""
    secrets.put(NAME, "x")
    for wrong in (NAME, f"{NAME}/versions/0", f"{NAME}/versions/newest", "secrets/s/versions/1"):
        with pytest.raises(exceptions.InvalidArgument):
            access(client, wrong)
    for unknown in (f"{NAME}/versions/2", "projects/p/secrets/other/versions/latest"):
        with pytest.raises(exceptions.NotFound):
            access(client, unknown)


def test_a_project_goes_by_id_or_number(secrets: SecretManager, client: Client) -> None:
    """The same secret is reached through the project's id and through its number, but not
    through another id."""
    secrets.put(NAME, "x")
    assert access(client, "projects/123456/secrets/my-web/versions/latest") == b"x"
    with pytest.raises(exceptions.NotFound):
        access(client, "projects/q/secrets/my-web/versions/latest")


def test_failures_on_request(secrets: SecretManager, client: Client) -> None:
    """A call can fail, be denied, come late, or bring a checksum that does not fit."""
    secrets.put(NAME, "x")
    secrets.fail_next(grpc.StatusCode.UNAVAILABLE, times=2)
    for _ in range(2):
        with pytest.raises(exceptions.ServiceUnavailable):
            access(client)
    assert access(client) == b"x"

    secrets.corrupt_next()
    wrong = client.access_secret_version(name=LATEST).payload
    assert wrong.data_crc32c != google_crc32c.value(wrong.data)
    right = client.access_secret_version(name=LATEST).payload
    assert right.data_crc32c == google_crc32c.value(right.data)

    secrets.deny(NAME)
    with pytest.raises(exceptions.PermissionDenied):
        access(client)
    secrets.put(NAME, "y")
    secrets.allow(NAME)
    assert access(client) == b"y"

    secrets.delay(0.2)
    begun = time.monotonic()
    assert access(client) == b"y"
    assert time.monotonic() - begun >= 0.2
    secrets.delay(0)
