"""One watched calendar: how it is reached, what rings for it, and where its sync stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sync.model.event import CalendarId, ChannelToken, PageToken, SyncToken

EXPIRATIONS_TOLERATED = 3
"""After so many expired tokens in a row a calendar is polled, not listed in full at each ring."""


class CalendarStatus(StrEnum):
    STARTING = "starting"
    OK = "ok"
    POLLED = "polled"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How a calendar is reached: delegation, a user's own token, or shared with us (neither)."""

    subject: str | None = None
    credentials_secret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """What Calendar rings.

    `resource_id` and `expires` are known once `events.watch` has answered. `access`: what opened
    the channel, and so what stops it (H4). None: the calendar's own.
    """

    id: str
    resource_id: str | None = None
    expires: datetime | None = None
    access: Access | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRequest:
    """A channel that is to be opened.

    `id` was never used before. `address` is where Calendar rings, with `token` in each
    notification. `ttl`: how long the channel shall live.
    """

    id: str
    address: str
    token: ChannelToken
    ttl: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to sync one calendar until `expires`.

    `id` is random, and checked again at the write that the lease guards.
    """

    id: str
    expires: datetime


class SyncKind(StrEnum):
    FULL = "full"
    INCREMENTAL = "incremental"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a run did: events it met, conferences created, updated, deleted, events that failed.

    `lag_seconds`: from the oldest of the changes that were sent to the end of sending them. 0: no
    change was sent.
    """

    changes: int = 0
    created: int = 0
    updated: int = 0
    deleted: int = 0
    failed: int = 0
    lag_seconds: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            changes=self.changes + other.changes,
            created=self.created + other.created,
            updated=self.updated + other.updated,
            deleted=self.deleted + other.deleted,
            failed=self.failed + other.failed,
            lag_seconds=max(self.lag_seconds, other.lag_seconds),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LastSync:
    """The last run that ended: when, of which kind, and what it did."""

    at: datetime
    kind: SyncKind
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """Runs that failed since the last success (S7).

    `runs`: how many, since `since`, the last one for `reason`. `retry_at`: when the calendar's one
    retry comes, the `retries`-th. `denied_since`: when Calendar first refused the calendar (W3).
    """

    runs: int
    since: datetime
    reason: str
    retries: int = 0
    retry_at: datetime | None = None
    denied_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Where a long run stopped: the next run goes on from here (S4).

    `full_sync_id` is None in an incremental sync. `time_min` is where a full listing begins, the
    same on every page. `page_token` names the page to go on with, None the first. Once a
    `next_sync_token` is there, the listing is done and what remains is the sweep.
    """

    full_sync_id: str | None = None
    time_min: datetime | None = None
    page_token: PageToken | None = None
    next_sync_token: SyncToken | None = None
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarState:
    """Everything remembered of one watched calendar.

    `token_version` says with which listing parameters `sync_token` was made (S2). `expirations`
    counts expired tokens in a row (S3). `opening` is a channel that is being opened: written before
    it is, so that its first notification finds it (H1). `retiring` are channels that others
    replaced and that are still to be stopped (H2). `time_zone` is the calendar's own, for times
    that name none. `start_id` is random, another for each start (H4). `forgotten` is random,
    another for each time that an operator had the sync token forgotten. `broken_since`: when it
    became broken. `handed_on`: its leads were handed on because of that (E7).
    """

    calendar_id: CalendarId
    access: Access = field(default_factory=Access)
    time_zone: str | None = None
    status: CalendarStatus = CalendarStatus.STARTING
    reason: str | None = None
    channel: Channel | None = None
    opening: Channel | None = None
    retiring: tuple[Channel, ...] = ()
    watchable: bool = True
    sync_token: SyncToken | None = None
    token_version: str | None = None
    expirations: int = 0
    lease: Lease | None = None
    last_sync: LastSync | None = None
    failing: Failing | None = None
    checkpoint: Checkpoint | None = None
    started_at: datetime | None = None
    start_id: str | None = None
    forgotten: str | None = None
    try_again_at: datetime | None = None
    broken_since: datetime | None = None
    handed_on: bool = False

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Every channel that may ring for this calendar."""
        return tuple(
            channel
            for channel in (self.channel, self.opening, *self.retiring)
            if channel is not None
        )
