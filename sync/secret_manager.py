"""Secret Manager: payloads of `versions/latest`, remembered for minutes, and new versions."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import google.api_core.exceptions
import google_crc32c
import grpc
from google.cloud import secretmanager
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import SecretManagerServiceGrpcTransport

from sync.errors import Invalid, NotAllowed, TryLater

# A rotated secret is noticed after so long at the latest; sooner where the other side answers 401 (C2).
REMEMBERED_SECONDS = 300.0
# The client's own retry waits 2 s before its second try and a minute in all: too long for a notification.
_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Remembered:
    payload: bytes
    read_at: float


class SecretManager:
    """Reads secrets named `projects/P/secrets/S`. Safe for threads; connects at the first use."""

    def __init__(self, *, emulator: str | None = None) -> None:
        if emulator is None:
            self._client = secretmanager.SecretManagerServiceClient()
        else:
            channel = grpc.insecure_channel(emulator)
            transport = SecretManagerServiceGrpcTransport(channel=channel)
            self._client = secretmanager.SecretManagerServiceClient(transport=transport)
        self._remembered: dict[str, _Remembered] = {}
        self._lock = threading.Lock()

    def read(self, name: str, *, max_age_seconds: float = REMEMBERED_SECONDS) -> bytes:
        """Return the newest version's payload, remembered for some minutes.

        A caller for whom what is remembered did not work asks again with a lower `max_age_seconds`. Threads that ask at
        the same moment share one call. Raises TryLater, NotAllowed, Invalid, each with the mend.
        """
        with self._lock:
            known = self._remembered.get(name)
            if known and time.monotonic() - known.read_at < max_age_seconds:
                return known.payload
            payload = self._access(name)
            self._remembered[name] = _Remembered(payload, time.monotonic())
            return payload

    def close(self) -> None:
        """End the connection. It is of no use afterwards."""
        self._client.transport.close()  # type: ignore[no-untyped-call]  # the library leaves it untyped

    def _access(self, name: str) -> bytes:
        try:
            answer = self._client.access_secret_version(
                name=f"{name}/versions/latest", retry=None, timeout=_TIMEOUT_SECONDS
            )
        except google.api_core.exceptions.NotFound as error:
            raise Invalid(f"there is no {name} with a version; add one with: gcloud secrets versions add") from error
        except google.api_core.exceptions.FailedPrecondition as error:
            raise Invalid(f"the newest version of {name} is disabled or destroyed; enable it or add one") from error
        except google.api_core.exceptions.PermissionDenied as error:
            raise NotAllowed(
                f"this function may not read {name}; grant its service account roles/secretmanager.secretAccessor on it"
            ) from error
        except google.api_core.exceptions.GoogleAPICallError as error:
            raise TryLater(f"Secret Manager did not answer for {name} ({type(error).__name__})") from error
        if "data_crc32c" in answer.payload and answer.payload.data_crc32c != google_crc32c.value(answer.payload.data):
            raise TryLater(f"the payload of {name} was damaged on its way (CRC32C differs)")
        return bytes(answer.payload.data)
