"""Secret Manager: payloads of `versions/latest`, remembered for minutes, and new versions."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import google.api_core.exceptions
import google_crc32c
import grpc
from google.cloud import secretmanager
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
    SecretManagerServiceGrpcTransport,
)

from sync.errors import Invalid, NotAllowed, TryLater
from sync.single_flight import SingleFlight

# A rotated secret is noticed after so long at the latest; sooner where the other side answers 401
# (C2).
REMEMBERED_SECONDS = 300.0
# The client's own retry waits 2 s before its second try and a minute in all: too long for a
# notification.
_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Remembered:
    """A payload, and when it was asked for on the monotonic clock."""

    payload: bytes
    asked_at: float


class SecretManager:
    """Reads secrets named `projects/P/secrets/S`. Safe for threads. Connects at the first use."""

    def __init__(self, *, emulator: str | None = None) -> None:
        if emulator is None:
            self._client = secretmanager.SecretManagerServiceClient()
        else:
            channel = grpc.insecure_channel(emulator)
            transport = SecretManagerServiceGrpcTransport(channel=channel)
            self._client = secretmanager.SecretManagerServiceClient(transport=transport)
        self._remembered: dict[str, _Remembered] = {}
        self._flights: dict[str, SingleFlight[_Remembered]] = {}
        self._lock = threading.Lock()

    def read(self, name: str, *, max_age_seconds: float = REMEMBERED_SECONDS) -> bytes:
        """Return the newest version's payload, remembered for some minutes.

        A caller for whom what is remembered did not work asks again with a lower `max_age_seconds`.
        Threads that ask at the same moment share one call, and a payload that is remembered waits
        for no call. Raises TryLater, NotAllowed, Invalid, each with the mend.
        """
        oldest = time.monotonic() - max_age_seconds
        with self._lock:
            known = self._remembered.get(name)
            flight = self._flights.setdefault(name, SingleFlight())
        while known is None or known.asked_at <= oldest:
            # A call that another thread began before `oldest` may answer what was there then.
            known = flight.join(lambda: self._ask(name, oldest))
        return known.payload

    def fetch(self, name: str, *, timeout_seconds: float) -> bytes:
        """Return the newest version's payload, asked for now. As `read`. Nothing is remembered."""
        return self._access(name, timeout_seconds)

    def close(self) -> None:
        """End the connection. It is of no use afterwards."""
        self._client.transport.close()

    def replace(self, name: str, old: bytes, new: bytes) -> None:
        """Make `new` the newest version, then destroy the older ones.

        For a refresh token that was itself renewed. Whoever dies in between leaves the new version,
        and the old one until the next time. Does nothing if the newest version is not `old` any
        more: somebody else's stays. Needs roles/secretmanager.secretVersionManager on the secret.
        Raises TryLater, NotAllowed, Invalid.
        """
        if self.read(name, max_age_seconds=0.0) != old:
            return
        added = self.add_version(name, new)
        with _translated(name):
            for version in self._client.list_secret_versions(parent=name, timeout=_TIMEOUT_SECONDS):
                live = version.state != secretmanager.SecretVersion.State.DESTROYED
                if live and _number(version.name) < _number(added):
                    self.destroy(version.name)

    def add_version(self, name: str, payload: bytes) -> str:
        """Add a version, remember it at once, and return its name: `…/secrets/S/versions/N`."""
        with _translated(name):
            answer = self._client.add_secret_version(
                parent=name,
                payload=secretmanager.SecretPayload(
                    data=payload, data_crc32c=google_crc32c.value(payload)
                ),
                retry=None,
                timeout=_TIMEOUT_SECONDS,
            )
        self._remember(name, payload, time.monotonic())
        return str(answer.name)

    def destroy(self, version: str) -> None:
        """Destroy one version for ever. One that is destroyed already is a success."""
        try:
            with _translated(version):
                self._client.destroy_secret_version(
                    name=version, retry=None, timeout=_TIMEOUT_SECONDS
                )
        except Invalid:
            return

    def _ask(self, name: str, oldest: float) -> _Remembered:
        known = self._remembered.get(name)
        if known is not None and known.asked_at > oldest:
            return known  # Another thread's call ended just before this one began.
        asked_at = time.monotonic()
        return self._remember(name, self._access(name, _TIMEOUT_SECONDS), asked_at)

    def _remember(self, name: str, payload: bytes, asked_at: float) -> _Remembered:
        remembered = _Remembered(payload, asked_at)
        with self._lock:
            known = self._remembered.get(name)
            # A slow answer does not take the place of a later one.
            if known is None or known.asked_at <= asked_at:
                self._remembered[name] = remembered
        return remembered

    def _access(self, name: str, timeout_seconds: float) -> bytes:
        try:
            answer = self._client.access_secret_version(
                name=f"{name}/versions/latest", retry=None, timeout=timeout_seconds
            )
        except google.api_core.exceptions.NotFound as error:
            raise Invalid(
                f"there is no {name} with a version; add one with: gcloud secrets versions add"
            ) from error
        except google.api_core.exceptions.FailedPrecondition as error:
            raise Invalid(
                f"the newest version of {name} is disabled or destroyed; enable it or add one"
            ) from error
        except google.api_core.exceptions.PermissionDenied as error:
            raise NotAllowed(
                f"this function may not read {name}; grant its service account "
                "roles/secretmanager.secretAccessor on it"
            ) from error
        except google.api_core.exceptions.GoogleAPICallError as error:
            raise TryLater(
                f"Secret Manager did not answer for {name} ({type(error).__name__})"
            ) from error
        if "data_crc32c" in answer.payload and answer.payload.data_crc32c != google_crc32c.value(
            answer.payload.data
        ):
            raise TryLater(f"the payload of {name} was damaged on its way (CRC32C differs)")
        return bytes(answer.payload.data)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """What writing may answer, for the operator."""
    try:
        yield
    except (
        google.api_core.exceptions.NotFound,
        google.api_core.exceptions.FailedPrecondition,
    ) as error:
        raise Invalid(f"{name} does not exist, or is destroyed") from error
    except google.api_core.exceptions.PermissionDenied as error:
        raise NotAllowed(
            f"this function may not change {name}; grant its service account "
            "roles/secretmanager.secretVersionManager on the secret"
        ) from error
    except google.api_core.exceptions.GoogleAPICallError as error:
        raise TryLater(
            f"Secret Manager did not answer for {name} ({type(error).__name__})"
        ) from error


def _number(version: str) -> int:
    return int(version.rpartition("/")[2])
