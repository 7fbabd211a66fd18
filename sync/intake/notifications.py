"""Push notifications (webhook calls): channel tokens, headers, and which task a burst shares. Pure.

A channel token is signed text that Calendar echoes in each notification, so nobody else can write
one.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import quote, unquote

from sync.errors import Forged, Invalid
from sync.model.event import CalendarId, ChannelToken, digest

# Calendar echoes at most so many characters.
# https://developers.google.com/workspace/calendar/api/v3/reference/events/watch (token)
TOKEN_LIMIT = 256

# The clocks of two instances, and of Cloud Tasks, may differ by so much without losing a burst's
# last change.
CLOCK_SKEW = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What the empty POST of Calendar says: something changed in this calendar."""

    calendar_id: CalendarId
    channel_id: str
    resource_id: str
    greeting: bool


def sign(keys: Sequence[bytes], channel_id: str, calendar_id: CalendarId) -> ChannelToken:
    """Return the token for a new channel, signed with the first key (N1).

    The token is `<signature>.<calendar id>`, the id percent-encoded where a header could not carry
    it. Raises Invalid for a calendar id that is too long for a token.
    """
    token = f"{_signature(keys[0], channel_id, calendar_id)}.{quote(calendar_id, safe=_CLEAR)}"
    if len(token) > TOKEN_LIMIT:
        raise Invalid(
            f"the calendar id is too long to be signed: its channel token would have {len(token)} "
            f"characters, and Calendar carries {TOKEN_LIMIT}; watch a calendar with a shorter id"
        )
    return ChannelToken(token)


class Headers(Protocol):
    """A request's headers. Looking one up ignores case."""

    def get(self, key: str, default: str, /) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the headers of a notification say, before any of it is believed."""

    notification: Notification
    signature: str

    @classmethod
    def from_headers(cls, headers: Headers) -> Claim:
        """Parse the headers. Raises Forged for a channel token that can be none of ours.

        `X-Goog-Channel-Token: <signature>.anna@example.com` claims that anna's calendar changed.
        https://developers.google.com/workspace/calendar/api/guides/push
        """
        channel_id = headers.get("X-Goog-Channel-ID", "")
        token = headers.get("X-Goog-Channel-Token", "")
        signature, dot, quoted = token.partition(".")
        if not channel_id or not dot or not quoted or len(token) > TOKEN_LIMIT:
            raise Forged
        return cls(
            notification=Notification(
                calendar_id=CalendarId(unquote(quoted)),
                channel_id=channel_id,
                resource_id=headers.get("X-Goog-Resource-ID", ""),
                greeting=headers.get("X-Goog-Resource-State", "").lower() == "sync",  # N2
            ),
            signature=signature,
        )

    def signed_by(self, keys: Sequence[bytes]) -> bool:
        """Tell whether one of the keys made the signature.

        The comparison takes the same time wherever the first difference stands, and every key is
        tried, also after a match: the time must not tell which key signed.
        """
        claimed = self.notification
        matches = [
            hmac.compare_digest(
                _signature(key, claimed.channel_id, claimed.calendar_id).encode(),
                self.signature.encode(),
            )
            for key in keys
        ]
        return any(matches)


def verify(keys: Sequence[bytes], headers: Headers) -> Notification:
    """Return what a notification says if one of the keys signed its token, else raise Forged."""
    claim = Claim.from_headers(headers)
    if not claim.signed_by(keys):
        raise Forged
    return claim.notification


def keys_from_secret(payload: bytes) -> list[bytes]:
    """Return the keys of a secret's payload, one a line, without blank lines.

    Raises Invalid when there is none.
    """
    keys = [line.strip() for line in payload.splitlines() if line.strip()]
    if not keys:
        raise Invalid(
            "the secret named by SYNC_CHANNEL_KEY holds no key; add a version with one random key "
            "a line"
        )
    return keys


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedTask:
    """One of the two tasks of a coalescing window.

    `name` is a task id, `at` when to run it. None: at once.
    """

    name: str
    at: datetime | None


def tasks_of_window(
    calendar_id: CalendarId, now: datetime, window: timedelta
) -> tuple[SharedTask, SharedTask]:
    """Return the two tasks of the coalescing window (debouncing) that holds `now` (N3).

    The first notification creates the first task. Whoever finds that one created creates the
    second, and where both exist nothing is left to do: the second runs after every notification of
    its window, even when the clocks differ by `CLOCK_SKEW`. For 12:00:03 and a window of ten
    seconds, the tasks are `…-first`, at once, and `…-rest`, at 12:00:12.

    The names begin with a hash: Cloud Tasks is slower with names that share a prefix, and a
    calendar's id is nobody's business.
    https://docs.cloud.google.com/tasks/docs/reference/rpc/google.cloud.tasks.v2
    """
    seconds = window.total_seconds()
    bucket = int(now.timestamp() // seconds)
    end = datetime.fromtimestamp((bucket + 1) * seconds, tz=now.tzinfo) + CLOCK_SKEW
    name = f"{digest(calendar_id)}-{bucket}"
    return SharedTask(name=f"{name}-first", at=None), SharedTask(name=f"{name}-rest", at=end)


_CLEAR = "@.!#$&'*+-/=?^_`{|}~:;,<>[]()"
"""Characters that stay as they are in a token. `%` itself does not, so that every id comes back
as it was."""


def _signature(key: bytes, channel_id: str, calendar_id: CalendarId) -> str:
    # The length keeps the border between the two ids: no other pair gives the same text.
    message = f"{len(channel_id)}:{channel_id}{calendar_id}".encode()
    return urlsafe_b64encode(hmac.new(key, message, hashlib.sha256).digest()).rstrip(b"=").decode()
