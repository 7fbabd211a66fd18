"""Documents of the version before 0.1.0, read for one release.

Until then a link kept everything flat beside its event, and a calendar had at most one channel to
retire. `maintain` and the next change of an event rewrite what they touch. This module, the stages
behind `due_at` in `firestore`, and `sqlite._migrate` go together.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

# The grace that was the default (`SYNC_DELETE_GRACE_SECONDS`): the moment of deletion was not kept.
GRACE = timedelta(seconds=60)

FLAT_FIELDS = (
    "approximation",
    "conference",
    "creating",
    "fingerprint",
    "leading",
    "letting_go_since",
    "linked_at",
    "occurrences",
    "occurrences_pending",
    "replaces",
    "shown_as",
    "without_occurrences",
)
"""The fields of a link's document that no longer exist."""


def calendar(document: dict[str, Any]) -> dict[str, Any]:
    """Return a calendar's document in today's form: `retiring` is a list of channels."""
    retiring = document.get("retiring", [])
    if isinstance(retiring, list):
        return document
    return {**document, "retiring": [] if retiring is None else [retiring]}


def link(document: dict[str, Any]) -> dict[str, Any]:
    """Return a link's document in today's form.

    No proof of ownership is carried over, since none was made: `proven_for` is None (O1).
    """
    if "carried" in document or "leading" not in document:
        return document
    kept = {name: value for name, value in document.items() if name not in FLAT_FIELDS}
    return {
        **kept,
        "carried": _carried(document),
        "letting_go": [_letting_go(past) for past in document.get("letting_go") or ()],
        "creations": [*_creating(document), *_made(document)],
    }


def _carried(document: dict[str, Any]) -> dict[str, Any] | None:
    if document.get("conference") is None:
        return None
    names = (
        "conference",
        "leading",
        "linked_at",
        "replaces",
        "shown_as",
        "without_occurrences",
    )
    return {
        **{name: document[name] for name in names if name in document},
        "told": _told(document),
    }


def _told(document: dict[str, Any]) -> dict[str, Any] | None:
    """What the provider knew. A missing fingerprint meant that all fields were unsure."""
    names = ("fingerprint", "occurrences", "occurrences_pending", "approximation")
    told = {name: document[name] for name in names if document.get(name)}
    # A fingerprint without fields is worth keeping too: something had been sent.
    return told if told or document.get("fingerprint") is not None else None


def _letting_go(past: dict[str, Any]) -> dict[str, Any]:
    flat = ("fingerprint", "occurrences")
    return {
        **{name: value for name, value in past.items() if name not in flat},
        "due": _moment(past["since"]) + GRACE,
        "told": _told(past),
    }


def _creating(document: dict[str, Any]) -> list[dict[str, Any]]:
    """A creation whose answer was still to come: due at once."""
    key = document.get("creating")
    return [_creation(document, key)] if key else []


def _made(document: dict[str, Any]) -> list[dict[str, Any]]:
    """What was created anew for an event that still shows the old id: made by us, so ours (O2)."""
    if not document.get("replaces") or not document.get("leading") or document.get("creating"):
        return []
    made = _creation(document, f"previous-{document['conference']['conference_id']}")
    return [{**made, "conference_id": document["conference"]["conference_id"], "carried": True}]


def _creation(document: dict[str, Any], key: str) -> dict[str, Any]:
    return {
        "key": key,
        "provider": document["conference"]["provider"],
        "since": document["linked_at"],
        "due": document["linked_at"],
    }


def _moment(value: Any) -> datetime:
    """A moment as Firestore gives it, or as text out of JSON."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value
