"""What `conferenceData` in a request does to an event: most of it nothing, unless
conferenceDataVersion is 1.

Google documents that clients may read, copy, clear and request conferences. Users observed that
clients cannot write the blocks of third-party add-ons: see `Settings.addon_writes`.
"""

from __future__ import annotations

import base64
import hashlib
import random
import string
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.google_calendar.bodies import merge
from sandbox.google_calendar.errors import ApiError
from sandbox.google_calendar.settings import Settings

Json = dict[str, Any]

_LEGACY_TYPES = ("eventHangout", "eventNamedHangout")
_MEET_ICON = (
    "https://fonts.gstatic.com/s/i/productlogos/meet_2020q4/v6/web-512dp/"
    "logo_meet_2020q4_color_2x_web_512dp.png"
)


def solution_type(block: Json | None) -> str | None:
    """Return `conferenceSolution.key.type`, whatever shape the block has."""
    value: Any = block
    for name in ("conferenceSolution", "key", "type"):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a calendar lets clients write."""

    allowed_types: Container[str]
    known: Mapping[str, Json]
    """Every block with a signature that this server has seen, by signature."""
    settings: Settings


def written_by_client(
    stored: Json | None, body: Json, *, version: int, replaces: bool, rules: Rules
) -> Json | None:
    """Return the event's conference after a request with this body.

    `replaces`: the request is a PUT, so leaving the conference out clears it. Raises ApiError (400)
    where Calendar refuses.
    """
    if version == 0:
        return stored
    if "conferenceData" not in body:
        return None if replaces else stored
    wanted = body["conferenceData"]
    if wanted is None:
        return None
    if not isinstance(wanted, dict):
        raise ApiError("invalid", "Invalid conference data")
    request = wanted.get("createRequest")
    if isinstance(request, dict) and request != (stored or {}).get("createRequest"):
        return _requested(stored, request, rules.allowed_types)
    whole = merge(stored or {}, wanted) if not replaces else wanted
    if not whole:
        return None
    return _kept(stored, whole, replaces=replaces, rules=rules)


def _kept(stored: Json | None, whole: Json, *, replaces: bool, rules: Rules) -> Json | None:
    settings, known = rules.settings, rules.known
    kind = solution_type(whole)
    if whole == stored:
        if replaces and kind == "hangoutsMeet" and settings.meet_echo == "refuse":
            raise ApiError("invalid", "Invalid conference data")
        return stored
    match kind:
        case None:
            # Seen: answered 200, and nothing of it was there afterwards.
            return stored
        case "addOn":
            if settings.addon_writes == "accept" or (
                settings.addon_copies and _is_copy(whole, known)
            ):
                return signed(whole)
            if settings.addon_writes == "drop":
                return stored
            raise ApiError("invalid", "Invalid conference data")
        case "hangoutsMeet":
            if _is_copy(whole, known):
                return whole
            raise ApiError("invalid", "Invalid conference data")
        case _:
            raise ApiError("invalid", "Invalid conference type value.")


def _is_copy(block: Json, known: Mapping[str, Json]) -> bool:
    """Tell whether the block is one that Calendar signed, word for word."""
    signature = block.get("signature")
    return isinstance(signature, str) and known.get(signature) == block


def _requested(stored: Json | None, request: Json, allowed_types: Container[str]) -> Json | None:
    old = (stored or {}).get("createRequest") or {}
    request_id = request.get("requestId")
    if not isinstance(request_id, str) or not request_id:
        raise ApiError("invalid", "Invalid conference data")
    if old.get("requestId") == request_id:
        return stored
    key = request.get("conferenceSolutionKey") or {}
    kind = key.get("type", "hangoutsMeet") if isinstance(key, dict) else None
    if kind in _LEGACY_TYPES or kind not in allowed_types:
        raise ApiError("invalid", "Invalid conference type value.")
    return {
        "createRequest": {
            "requestId": request_id,
            "conferenceSolutionKey": {"type": kind},
            "status": {"statusCode": "pending"},
        }
    }


def is_pending(block: Json | None) -> bool:
    status = ((block or {}).get("createRequest") or {}).get("status") or {}
    return bool(status.get("statusCode") == "pending")


def created(pending: Json, *, fails: bool) -> Json:
    """Return what a pending createRequest becomes."""
    request = {
        **pending["createRequest"],
        "status": {"statusCode": "failure" if fails else "success"},
    }
    if fails:
        return {"createRequest": request}
    dice = random.Random(request["requestId"])
    code = "-".join("".join(dice.choices(string.ascii_lowercase, k=length)) for length in (3, 4, 3))
    return signed(
        {
            "createRequest": request,
            "entryPoints": [
                {
                    "entryPointType": "video",
                    "uri": f"https://meet.google.com/{code}",
                    "label": f"meet.google.com/{code}",
                }
            ],
            "conferenceSolution": {
                "key": {"type": request["conferenceSolutionKey"]["type"]},
                "name": "Google Meet",
                "iconUri": _MEET_ICON,
            },
            "conferenceId": code,
        }
    )


def signed(block: Json) -> Json:
    return {**block, "signature": signature_of(block)}


def signature_of(block: Json) -> str:
    """A stand-in for Google's signature: the same for the same content, and for nothing else."""
    content = repr(
        sorted((name, block[name]) for name in block if name not in ("signature", "createRequest"))
    )
    return base64.b64encode(hashlib.sha256(content.encode()).digest()[:21]).decode()


def hangout_link(block: Json | None) -> str | None:
    """Return the read-only `hangoutLink`, which only Google's own conferences have."""
    if solution_type(block) not in ("hangoutsMeet", *_LEGACY_TYPES):
        return None
    points = (block or {}).get("entryPoints")
    for point in points if isinstance(points, list) else []:
        if (
            isinstance(point, dict)
            and point.get("entryPointType") == "video"
            and isinstance(point.get("uri"), str)
        ):
            return str(point["uri"])
    return None
