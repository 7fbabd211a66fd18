"""The headers of one attempt: the task's own, the service's beside them, and the token that says
who calls."""

from __future__ import annotations

import base64
import json
import time
from functools import cached_property

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from google.cloud import tasks_v2 as api

from sandbox.cloud_tasks.state import Task

# What a task cannot set: the service says these itself.
_OWN_HEADERS = ("x-cloudtasks-", "x-google-", "x-appengine-")


class IdTokens:
    """Signs identity tokens with a key of our own."""

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def public_key(self) -> bytes:
        """The key that verifies the tokens, in PEM."""
        return self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, oidc: api.OidcToken, url: str) -> str:
        """Sign a token of the service's form, for the task's URL unless it names another
        audience."""
        issued = int(time.time())
        claims = {
            "iss": "https://accounts.google.com",
            "aud": oidc.audience or url,
            "azp": oidc.service_account_email,
            "sub": oidc.service_account_email,
            "email": oidc.service_account_email,
            "email_verified": True,
            "iat": issued,
            "exp": issued + 3600,
        }
        signed = ".".join(
            _base64url(json.dumps(part).encode())
            for part in ({"alg": "RS256", "typ": "JWT"}, claims)
        )
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64url(signature)}"


def headers_of(task: Task, id_tokens: IdTokens) -> dict[str, str]:
    """Return the headers of the task's next attempt, which is not counted yet."""
    http = task.message.http_request
    queue, _, task_id = task.message.name.partition("/tasks/")
    headers = {
        name: value
        for name, value in http.headers.items()
        if name.lower() not in ("host", "content-length")
        and not name.lower().startswith(_OWN_HEADERS)
    }
    if http.body and "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = "application/octet-stream"
    headers |= {
        "X-CloudTasks-QueueName": queue.rpartition("/")[2],
        "X-CloudTasks-TaskName": task_id,
        "X-CloudTasks-TaskRetryCount": str(task.attempts),
        "X-CloudTasks-TaskExecutionCount": str(task.answers_below_500),
        "X-CloudTasks-TaskETA": f"{task.due.timestamp():.6f}",
    }
    if task.attempts:
        if task.previous_status is not None:
            headers["X-CloudTasks-TaskPreviousResponse"] = str(task.previous_status)
        # The service sends it empty for HTTP tasks.
        headers["X-CloudTasks-TaskRetryReason"] = ""
    if "oidc_token" in http:
        return _with_bearer(headers, id_tokens.sign(http.oidc_token, http.url))
    if "oauth_token" in http:
        return _with_bearer(headers, "sandbox-access-token")
    return headers


def _with_bearer(headers: dict[str, str], token: str) -> dict[str, str]:
    """Put the token in the place of whatever the task says about its authorization."""
    kept = {name: value for name, value in headers.items() if name.lower() != "authorization"}
    return kept | {"Authorization": f"Bearer {token}"}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
