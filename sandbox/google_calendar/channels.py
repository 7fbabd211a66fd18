"""Notification channels: opened by watch, rung at each change, silent once stopped or expired."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

from sandbox.google_calendar.errors import ApiError
from sandbox.google_calendar.pushes import Message, Pushes
from sandbox.google_calendar.state import Calendar, Store

Json = dict[str, Any]

_CHANNEL_ID = re.compile(r"[A-Za-z0-9\-_+/=]{1,64}")
_MOST_TOKEN_CHARACTERS = 256
_DEFAULT_SECONDS = 604_800
# Numbers grow with gaps of any size; the size is invented.
_WIDEST_GAP = 100_000


@dataclass(slots=True, kw_only=True)
class Channel:
    """One way by which a watched calendar says that something changed."""

    id: str
    calendar_id: str
    address: str
    token: str | None
    expiration: int
    """Unix milliseconds."""
    resource_id: str
    resource_uri: str
    event_types: frozenset[str]
    number: int = 1
    messages_left: int | None = None
    """None: open. A number: stopped, and so many messages will still come."""

    def to_json(self) -> Json:
        """Return the channel for the back door, with its address and calendar."""
        own = {"address": self.address, "calendar_id": self.calendar_id}
        return self.to_api() | {"token": self.token} | own

    def to_api(self, *, as_number: bool = False) -> Json:
        """Return the answer of watch. `as_number` tells the end as a JSON number."""
        told: Json = {
            "kind": "api#channel",
            "id": self.id,
            "resourceId": self.resource_id,
            "resourceUri": self.resource_uri,
            "expiration": self.expiration if as_number else str(self.expiration),
        }
        return told if self.token is None else told | {"token": self.token}

    def message(self, state: str, number: int) -> Message:
        expires = datetime.fromtimestamp(self.expiration / 1000, UTC).replace(microsecond=0)
        headers = {
            "X-Goog-Channel-ID": self.id,
            "X-Goog-Channel-Expiration": format_datetime(expires, usegmt=True),
            "X-Goog-Message-Number": str(number),
            "X-Goog-Resource-ID": self.resource_id,
            "X-Goog-Resource-State": state,
            "X-Goog-Resource-URI": self.resource_uri,
        }
        if self.token is not None:
            headers["X-Goog-Channel-Token"] = self.token
        return Message(
            channel_id=self.id, address=self.address, state=state, number=number, headers=headers
        )


class Channels:
    """Every channel of one stand-in. All calls are made under the store's lock."""

    def __init__(self, store: Store, pushes: Pushes) -> None:
        self._store = store
        self._pushes = pushes
        self._channels: dict[str, Channel] = {}
        # Of thousands of calendars a change rings those of one.
        self._of_calendar: dict[str, dict[str, Channel]] = {}

    def watch(self, calendar: Calendar, body: Json, event_types: tuple[str, ...]) -> Channel:
        """Open a channel. The greeting is the caller's to send. Raises ApiError (400) as Google
        does."""
        settings = self._store.settings
        channel_id, address, token = body.get("id"), body.get("address"), body.get("token")
        if not isinstance(channel_id, str) or not channel_id:
            raise ApiError("required", "Required: id")
        if not _CHANNEL_ID.fullmatch(channel_id):
            raise ApiError(
                "invalid", "Invalid channel id: at most 64 characters of [A-Za-z0-9-_+/=]."
            )
        if body.get("type") not in ("web_hook", "webhook"):
            raise ApiError("invalid", f"Unknown channel type: {body.get('type')}")
        if not isinstance(address, str) or not re.match(r"https?://[^/\s]+", address):
            raise ApiError(
                "required" if not address else "invalid", "A channel needs a web address."
            )
        if settings.https_only and not address.startswith("https://"):
            raise ApiError("push.webhookUrlNotHttps", f"WebHook callback must be HTTPS: {address}")
        if token is not None and (
            not isinstance(token, str) or len(token) > _MOST_TOKEN_CHARACTERS
        ):
            raise ApiError(
                "invalid", f"Invalid channel token: at most {_MOST_TOKEN_CHARACTERS} characters."
            )
        if not calendar.watchable:
            raise ApiError("pushNotSupportedForRequestedResource")
        if (known := self._channels.get(channel_id)) is not None and self._is_open(known):
            raise ApiError("channelIdNotUnique", f"Channel id {channel_id} not unique")
        resource = f"calendars/{quote(calendar.id)}/events"
        channel = Channel(
            id=channel_id,
            calendar_id=calendar.id,
            address=address,
            token=token,
            expiration=self._expiration(body),
            resource_id=base64.urlsafe_b64encode(hashlib.sha256(resource.encode()).digest()[:20])
            .decode()
            .rstrip("="),
            resource_uri=f"https://www.googleapis.com/calendar/v3/{resource}?alt=json",
            event_types=frozenset(event_types),
        )
        self.close_silently(channel_id)
        self._channels[channel_id] = channel
        self._of_calendar.setdefault(calendar.id, {})[channel_id] = channel
        return channel

    def stop(self, body: Json) -> None:
        """Close a channel by id and resourceId. Raises ApiError (404) when there is no such
        channel."""
        channel = self._channels.get(str(body.get("id")))
        settings = self._store.settings
        known = channel is not None and channel.resource_id == body.get("resourceId")
        if (
            channel is None
            or not known
            or not (self._is_open(channel) or settings.repeated_stop_succeeds)
        ):
            raise ApiError(
                "notFound",
                f"Channel '{body.get('id')}' not found for project '{settings.project_number}'",
            )
        if channel.messages_left is None:
            channel.messages_left = settings.pushes_after_stop

    def ring(self, calendar_id: str, event_types: set[str]) -> None:
        """Send every channel of the calendar one `exists` message."""
        settings, dice = self._store.settings, self._store.dice
        now = self._store.milliseconds()
        for channel in self._of(calendar_id):
            if channel.expiration <= now:
                continue
            if channel.event_types and not channel.event_types & event_types:
                continue
            if channel.messages_left is not None:
                if channel.messages_left <= 0:
                    continue
                channel.messages_left -= 1
            channel.number += dice.randint(1, _WIDEST_GAP)
            message = channel.message("exists", channel.number)
            if self._loses(message):
                continue
            for _ in range(2 if dice.random() < settings.push_duplication else 1):
                self._pushes.send(
                    message, delay_seconds=dice.uniform(0, settings.push_delay_seconds)
                )

    def greet(self, channel: Channel, *, delay_seconds: float = 0.0) -> Callable[[float], bool]:
        """Send the `sync` message. The returned function waits until the message has been tried."""
        message = channel.message("sync", 1)
        if self._loses(message):
            return lambda _seconds: True
        return self._pushes.send(message, delay_seconds=delay_seconds).wait

    def open(self, calendar_id: str | None = None) -> list[Channel]:
        found = self._channels.values() if calendar_id is None else self._of(calendar_id)
        return [channel for channel in found if self._is_open(channel)]

    def close_silently(self, channel_id: str) -> None:
        """Forget the channel, as if it had expired. Safe to repeat."""
        closed = self._channels.pop(channel_id, None)
        if closed is not None:
            del self._of_calendar[closed.calendar_id][channel_id]

    def forget_calendar(self, calendar_id: str) -> None:
        for channel_id in self._of_calendar.pop(calendar_id, {}):
            del self._channels[channel_id]

    def _loses(self, message: Message) -> bool:
        """Lose the message or not, as the settings want it."""
        is_lost = self._store.dice.random() < self._store.settings.push_loss
        if is_lost:
            self._pushes.lose(message)
        return is_lost

    def _of(self, calendar_id: str) -> Collection[Channel]:
        """Return the calendar's channels, closed ones too, in the order in which they were
        opened."""
        return self._of_calendar.get(calendar_id, {}).values()

    def _is_open(self, channel: Channel) -> bool:
        return channel.messages_left is None and channel.expiration > self._store.milliseconds()

    def _expiration(self, body: Json) -> int:
        """Return when the channel ends, in Unix milliseconds: the smallest of what is asked for
        and the limit."""
        now = self._store.milliseconds()
        longest = now + self._store.settings.max_channel_seconds * 1000
        try:
            if body.get("expiration") is not None:
                wanted = int(body["expiration"])
            else:
                wanted = now + int((body.get("params") or {}).get("ttl") or _DEFAULT_SECONDS) * 1000
        except (TypeError, ValueError, AttributeError) as error:
            raise ApiError("invalid", "Invalid expiration or ttl.") from error
        if wanted <= now:
            raise ApiError("invalid", "The channel would have expired already.")
        return min(wanted, longest)
