"""A stand-in for Secret Manager: the service's own gRPC protocol, without TLS or credentials.

    secrets = SecretManager()
    secrets.start()
    name = secrets.put("projects/p/secrets/my-web", {"token": "…"})   # …/my-web/versions/1
    channel = grpc.insecure_channel(secrets.host)
    transport = SecretManagerServiceGrpcTransport(channel=channel)
    client = SecretManagerServiceClient(transport=transport)

Imitated: create, get, list and delete secrets. Add, get, list, access, enable, disable and destroy
versions. `latest` as the newest version whatever its state. Checksums. The limit of 64 KiB. The
errors of each.

Not imitated: IAM (but see `deny`), replication, regional secrets, expiry, rotation, aliases of
versions, the rules of labels, filters, etags as preconditions, delayed destruction, UpdateSecret,
quotas. Names come back as they were first given, where the service puts the project's number.
"""

from __future__ import annotations

import argparse
import json
import re
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import google_crc32c
import grpc
from google.cloud import secretmanager_v1 as api
from google.protobuf import empty_pb2

from sandbox.grpc_service import GrpcService, Refusal, page

# https://cloud.google.com/secret-manager/quotas
MAX_PAYLOAD_BYTES = 64 * 1024
MAX_PAGE = 25_000

_PROJECT = re.compile(r"projects/([^/]+)")
_SECRET = re.compile(r"projects/([^/]+)/secrets/([A-Za-z0-9_-]{1,255})")
_VERSION = re.compile(r"(projects/[^/]+/secrets/[^/]+)/versions/([1-9][0-9]*|latest)")


@dataclass(slots=True, kw_only=True)
class _Version:
    message: api.SecretVersion
    data: bytes


@dataclass(slots=True, kw_only=True)
class _Secret:
    message: api.Secret
    versions: list[_Version] = field(default_factory=list)


class SecretManager(GrpcService):
    """The secrets of any number of projects, kept in memory."""

    def __init__(self, port: int = 0) -> None:
        self._lock = threading.RLock()
        self._secrets: dict[str, _Secret] = {}
        self._denied: set[str] = set()
        self._corrupt = 0
        self.accesses: Counter[str] = Counter()
        """How often each secret's data was handed out, by the secret's name."""
        state: Any = api.SecretVersion.State
        super().__init__(
            "google.cloud.secretmanager.v1.SecretManagerService",
            {
                "CreateSecret": (api.CreateSecretRequest, self._create_secret),
                "GetSecret": (
                    api.GetSecretRequest,
                    lambda request: self._find(request.name).message,
                ),
                "ListSecrets": (api.ListSecretsRequest, self._list_secrets),
                "DeleteSecret": (api.DeleteSecretRequest, self._delete_secret),
                "AddSecretVersion": (api.AddSecretVersionRequest, self._add_version),
                "GetSecretVersion": (
                    api.GetSecretVersionRequest,
                    lambda request: self._find_version(request.name)[1].message,
                ),
                "AccessSecretVersion": (api.AccessSecretVersionRequest, self._access_version),
                "ListSecretVersions": (api.ListSecretVersionsRequest, self._list_versions),
                "EnableSecretVersion": (
                    api.EnableSecretVersionRequest,
                    lambda request: self._change_state(request.name, state.ENABLED),
                ),
                "DisableSecretVersion": (
                    api.DisableSecretVersionRequest,
                    lambda request: self._change_state(request.name, state.DISABLED),
                ),
                "DestroySecretVersion": (
                    api.DestroySecretVersionRequest,
                    lambda request: self._change_state(request.name, state.DESTROYED),
                ),
            },
            port,
        )

    # Controls of the tests.

    def put(self, name: str, value: bytes | str | Mapping[str, Any]) -> str:
        """Add a version, and the secret if there is none. A mapping is stored as JSON. Return
        the version's name."""
        if isinstance(value, Mapping):
            value = json.dumps(value)
        data = value.encode() if isinstance(value, str) else value
        with self._lock:
            try:
                secret = self._find(name, anyhow=True)
            except Refusal as refusal:
                match = _SECRET.fullmatch(name)
                if refusal.code is not grpc.StatusCode.NOT_FOUND or match is None:
                    raise
                secret = self._new_secret(name, api.Secret())
            return str(self._new_version(secret, data, checked=False).name)

    def versions(self, name: str) -> list[api.SecretVersion]:
        """Return the versions of a secret, newest first, with their states."""
        with self._lock:
            return [version.message for version in reversed(self._find(name, anyhow=True).versions)]

    def corrupt_next(self, times: int = 1) -> None:
        """Hand the next accesses a checksum that does not fit their data."""
        with self._lock:
            self._corrupt += times

    def deny(self, name: str) -> None:
        """Answer PERMISSION_DENIED for this secret, whether or not it exists, until `allow`."""
        self._denied.add(name)

    def allow(self, name: str) -> None:
        self._denied.discard(name)

    # The service's methods.

    def _create_secret(self, request: api.CreateSecretRequest) -> api.Secret:
        name = f"{request.parent}/secrets/{request.secret_id}"
        if not _PROJECT.fullmatch(request.parent) or not _SECRET.fullmatch(name):
            raise Refusal(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"[{name}] is no name of a secret: letters, digits, '-' and '_', "
                "at most 255 characters.",
            )
        with self._lock:
            if self._lookup(name) is not None:
                raise Refusal(grpc.StatusCode.ALREADY_EXISTS, f"Secret [{name}] already exists.")
            return self._new_secret(name, request.secret).message

    def _list_secrets(self, request: api.ListSecretsRequest) -> api.ListSecretsResponse:
        if not _PROJECT.fullmatch(request.parent):
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, f"[{request.parent}] is no project.")
        with self._lock:
            found = [
                secret.message
                for name, secret in self._secrets.items()
                if name.startswith(request.parent + "/")
            ]
        found.reverse()
        secrets, token = page(found, request.page_size, request.page_token, MAX_PAGE)
        return api.ListSecretsResponse(
            secrets=secrets, next_page_token=token, total_size=len(found)
        )

    def _delete_secret(self, request: api.DeleteSecretRequest) -> empty_pb2.Empty:
        with self._lock:
            del self._secrets[self._find(request.name).message.name]
        return empty_pb2.Empty()

    def _add_version(self, request: api.AddSecretVersionRequest) -> api.SecretVersion:
        payload = request.payload
        if len(payload.data) > MAX_PAYLOAD_BYTES:
            raise Refusal(
                grpc.StatusCode.INVALID_ARGUMENT, "The payload is larger than 65536 bytes."
            )
        checked = "data_crc32c" in payload
        if checked and payload.data_crc32c != google_crc32c.value(payload.data):
            raise Refusal(
                grpc.StatusCode.INVALID_ARGUMENT, "The payload does not fit its checksum."
            )
        with self._lock:
            return self._new_version(self._find(request.parent), payload.data, checked=checked)

    def _access_version(
        self, request: api.AccessSecretVersionRequest
    ) -> api.AccessSecretVersionResponse:
        with self._lock:
            secret, version = self._find_version(request.name)
            if version.message.state != api.SecretVersion.State.ENABLED:
                raise Refusal(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"Secret Version [{version.message.name}] is in "
                    f"{version.message.state.name} state.",
                )
            self.accesses[secret.message.name] += 1
            checksum = google_crc32c.value(version.data)
            if self._corrupt:
                self._corrupt -= 1
                checksum ^= 1
            return api.AccessSecretVersionResponse(
                name=version.message.name,
                payload=api.SecretPayload(data=version.data, data_crc32c=checksum),
            )

    def _list_versions(
        self, request: api.ListSecretVersionsRequest
    ) -> api.ListSecretVersionsResponse:
        with self._lock:
            found = [version.message for version in reversed(self._find(request.parent).versions)]
        versions, token = page(found, request.page_size, request.page_token, MAX_PAGE)
        return api.ListSecretVersionsResponse(
            versions=versions, next_page_token=token, total_size=len(found)
        )

    def _change_state(self, name: str, state: api.SecretVersion.State) -> api.SecretVersion:
        destroyed = api.SecretVersion.State.DESTROYED
        with self._lock:
            version = self._find_version(name)[1]
            if version.message.state == destroyed:
                # The one state that a version never leaves.
                raise Refusal(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"Secret Version [{version.message.name}] is in DESTROYED state.",
                )
            version.message.state = state
            if state == destroyed:
                version.message.destroy_time = datetime.now(UTC)
                version.data = b""
            return version.message

    def _new_secret(self, name: str, message: api.Secret) -> _Secret:
        stored = api.Secret(message)
        stored.name = name
        stored.create_time = datetime.now(UTC)
        secret = self._secrets[name] = _Secret(message=stored)
        return secret

    @staticmethod
    def _new_version(secret: _Secret, data: bytes, *, checked: bool) -> api.SecretVersion:
        message = api.SecretVersion(
            name=f"{secret.message.name}/versions/{len(secret.versions) + 1}",
            create_time=datetime.now(UTC),
            state=api.SecretVersion.State.ENABLED,
            client_specified_payload_checksum=checked,
        )
        secret.versions.append(_Version(message=message, data=data))
        return message

    def _lookup(self, name: str) -> _Secret | None:
        """Find a secret by its name. A project's number matches any project's id, for the
        stand-in knows no numbers."""
        if name in self._secrets:
            return self._secrets[name]
        match = _SECRET.fullmatch(name)
        if match is None:
            return None
        for other, secret in self._secrets.items():
            project, _, secret_id = other.removeprefix("projects/").partition("/secrets/")
            if secret_id == match[2] and project.isdecimal() != match[1].isdecimal():
                return secret
        return None

    def _find(self, name: str, *, anyhow: bool = False) -> _Secret:
        """Return the secret or refuse. `anyhow` looks past `deny`, which is meant for the
        clients alone."""
        if not _SECRET.fullmatch(name):
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, f"[{name}] is no name of a secret.")
        with self._lock:
            secret = self._lookup(name)
            if not anyhow and (
                name in self._denied or (secret is not None and secret.message.name in self._denied)
            ):
                raise Refusal(
                    grpc.StatusCode.PERMISSION_DENIED,
                    f"Permission denied on secret [{name}] (or it may not exist).",
                )
            if secret is None:
                raise Refusal(grpc.StatusCode.NOT_FOUND, f"Secret [{name}] not found.")
            return secret

    def _find_version(self, name: str) -> tuple[_Secret, _Version]:
        match = _VERSION.fullmatch(name)
        if match is None:
            raise Refusal(
                grpc.StatusCode.INVALID_ARGUMENT, f"[{name}] is no name of a secret's version."
            )
        secret = self._find(match[1])
        # The newest, also when it is disabled or destroyed: an older one never steps in for it.
        # https://github.com/google-github-actions/get-secretmanager-secrets/issues/268
        number = len(secret.versions) if match[2] == "latest" else int(match[2])
        if not 1 <= number <= len(secret.versions):
            raise Refusal(grpc.StatusCode.NOT_FOUND, f"Secret Version [{name}] not found.")
        return secret, secret.versions[number - 1]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.secret_manager", description="Secret Manager, a stand-in."
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    secrets = SecretManager(port=parser.parse_args().port)
    secrets.start()
    try:
        print(f"SECRET_MANAGER_EMULATOR_HOST={secrets.host}", flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        secrets.stop()


if __name__ == "__main__":
    main()
