"""Troubles by name: ready-made faults that every conferencing stand-in can be asked for.

    zoom.trouble("false-not-found", method="PATCH")
    curl -X POST -d '{"name": "false-not-found", "method": "PATCH"}' …/_sandbox/troubles

The words of a refusal are the system's own, so that one name does the same at each system. All
members of a fault (`sandbox.faults`) may be added to narrow it or to change it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

Json = dict[str, Any]

ABSURD_RETRY_AFTER = "1764154800000"
"""Seconds: a moment in milliseconds that somebody mistook for a duration."""
LONG_TEXT = "The meeting could not be saved. " * 1280
"""40,960 characters."""
MAINTENANCE = "<!DOCTYPE html><html><body><h1>We will be back soon</h1></body></html>"


class Speaker(Protocol):
    """A system that refuses in its own words."""

    def refusal(self, status: int, message: str) -> Any: ...

    def not_found(self) -> tuple[int, Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One kind of trouble. `fault` makes the fault for a system."""

    says: str
    fault: Callable[[Speaker], Json]


def _refused(status: int, message: str, **headers: str) -> Callable[[Speaker], Json]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda system: {
        "status": status,
        "body": system.refusal(status, message),
        "headers": named,
    }


def _not_found(system: Speaker) -> Json:
    status, body = system.not_found()
    return {"status": status, "body": body}


def _constant(**fault: Any) -> Callable[[Speaker], Json]:
    return lambda _system: fault


TROUBLES: dict[str, Trouble] = {
    "slow": Trouble(says="Answers two seconds late.", fault=_constant(delay_seconds=2.0)),
    "unavailable": Trouble(says="Answers 503.", fault=_refused(503, "The service is unavailable.")),
    "rate-limit": Trouble(
        says="Answers 429, come again in two seconds.",
        fault=_refused(429, "Too many requests.", Retry_After="2"),
    ),
    "absurd-retry-after": Trouble(
        says="Answers 429 with a Retry-After of 56,000 years.",
        fault=_refused(429, "Too many requests.", Retry_After=ABSURD_RETRY_AFTER),
    ),
    "refused": Trouble(
        says="Answers 400: the request is refused.",
        fault=_refused(400, "The request is not valid."),
    ),
    "long-text": Trouble(says="Answers 400 with a text of 40 kB.", fault=_refused(400, LONG_TEXT)),
    "forbidden": Trouble(says="Answers 403.", fault=_refused(403, "The access is not allowed.")),
    "unauthorised": Trouble(
        says="Answers 401: the token is refused.", fault=_refused(401, "Invalid access token.")
    ),
    "false-not-found": Trouble(
        says="Answers in its own words that a meeting does not exist, although it does.",
        fault=_not_found,
    ),
    "proxy": Trouble(
        says="A proxy answers 404 with plain text, for the system behind it is away.",
        fault=_constant(
            status=404,
            body="default backend - 404",
            headers={"Content-Type": "text/plain; charset=utf-8"},
        ),
    ),
    "page": Trouble(
        says="Answers 200 with a page of HTML, as during maintenance.",
        fault=_constant(
            status=200, body=MAINTENANCE, headers={"Content-Type": "text/html; charset=utf-8"}
        ),
    ),
    "lost-answer": Trouble(
        says="Does what is asked and cuts the connection before its answer.",
        fault=_constant(after=True),
    ),
    "half-answer": Trouble(
        says="Does what is asked and sends half of its answer.", fault=_constant(truncate=True)
    ),
    "silence": Trouble(says="Never answers.", fault=_constant(hang=True)),
    "freeze": Trouble(
        says="Holds the request until it is released, and then goes on.",
        fault=_constant(freeze=True),
    ),
    "freeze-answer": Trouble(
        says="Does what is asked and holds the answer until it is released.",
        fault=_constant(freeze=True, after=True),
    ),
}
