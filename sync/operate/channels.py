"""Channels: what Calendar rings when a calendar changes. Opened, renewed, stopped (H1-H4).

A channel is called a webhook subscription elsewhere. The id of a new channel is written as
`opening` before the channel is opened, and the channel is stored only while that very id still
stands there: of two channels opened at once, one lives and is the one recorded (H4).
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from sync.context import Services
from sync.errors import (
    Conflict,
    Invalid,
    NotFound,
    NotWatchable,
    SyncError,
    TryLater,
    WatchFailed,
)
from sync.logs import short
from sync.model.calendar import Access, CalendarState, CalendarStatus, Channel, ChannelRequest
from sync.model.event import CalendarId
from sync.store.compare_and_set import change_calendar

_logger = logging.getLogger(__name__)

# How often Cloud Scheduler calls `maintain`: terraform/schedule.tf says the same.
SCHEDULE_PERIOD = timedelta(hours=1)
# Less than this left, and the channel might not live until the call after the next (H2).
RENEW_BEFORE = 2 * SCHEDULE_PERIOD

NOT_WATCHABLE = "Calendar cannot notify us of this calendar's changes; it is synced at intervals"
NOT_STARTED = "this calendar is not started, or was stopped; start it with PUT /calendars/{id}"


def due(state: CalendarState, now: datetime) -> bool:
    """Tell whether a calendar that can be watched has no channel that lives long enough."""
    channel = state.channel
    if not state.watchable:
        return False
    return channel is None or channel.expires is None or channel.expires - now < RENEW_BEFORE


def check_id(services: Services, calendar_id: CalendarId) -> None:
    """Raise Invalid for a calendar whose channel token would be longer than Calendar carries."""
    services.sign(str(uuid.uuid4()), calendar_id)


def open_channel(services: Services, calendar_id: CalendarId, access: Access) -> CalendarState:
    """Open a new channel with `access`, store both, then stop the channel that is replaced.

    Returns the calendar's new state. Safe to repeat and to run twice at once: whoever opens later
    wins, and the other gets Conflict. A calendar that cannot be watched becomes polled. Raises
    NotFound, Conflict, and what `events.watch` answers: NotAllowed, Gone, WatchFailed.
    """
    channel_id = str(uuid.uuid4())
    request = ChannelRequest(
        id=channel_id,
        address=services.settings.notification_url,
        token=services.sign(channel_id, calendar_id),
        ttl=services.settings.channel_ttl,
    )
    opening = Channel(id=channel_id, access=access)
    change_calendar(services.store, calendar_id, lambda state: replace(state, opening=opening))
    try:
        opened = services.calendars.watch(calendar_id, access, request)
    except NotWatchable:
        return _stored(services, calendar_id, channel_id, lambda state: _polled(state, access))
    except (Invalid, TryLater) as error:
        _given_up(services, calendar_id, channel_id)
        raise WatchFailed(f"events.watch failed: {error}") from error
    except SyncError:
        _given_up(services, calendar_id, channel_id)
        raise
    opened = replace(opened, access=access)
    try:
        state = _stored(
            services, calendar_id, channel_id, lambda state: _opened(state, opened, access)
        )
    except (Conflict, NotFound):
        # H4: another start won, or the calendar was stopped: nobody knows this channel. After a
        # lost answer the channel may well be recorded, and an unrecorded one ends when it rings.
        stop(services, access, opened)
        raise
    return retire(services, state)


def _stored(
    services: Services,
    calendar_id: CalendarId,
    channel_id: str,
    change: Callable[[CalendarState], CalendarState],
) -> CalendarState:
    """Store what came of opening a channel while the calendar still waits for that channel."""
    written = change_calendar(
        services.store,
        calendar_id,
        change,
        holds=lambda state: state.opening is not None and state.opening.id == channel_id,
    )
    if written is not None:
        return written.value
    if services.store.get_calendar(calendar_id) is None:
        raise NotFound(NOT_STARTED)
    raise Conflict("another start of this calendar came in between; its result stands")


def _opened(state: CalendarState, opened: Channel, access: Access) -> CalendarState:
    replaced = (state.channel,) if state.channel else ()
    return replace(
        state,
        access=access,
        channel=opened,
        opening=None,
        retiring=(*state.retiring, *replaced),
        watchable=True,
    )


def _polled(state: CalendarState, access: Access) -> CalendarState:
    return replace(
        state,
        access=access,
        watchable=False,
        opening=None,
        channel=None,
        status=CalendarStatus.POLLED,
        reason=NOT_WATCHABLE,
    )


def _given_up(services: Services, calendar_id: CalendarId, channel_id: str) -> None:
    """Take back the note that a channel is being opened, and only that (H4)."""
    change_calendar(
        services.store,
        calendar_id,
        lambda state: replace(state, opening=None),
        holds=lambda state: state.opening is not None and state.opening.id == channel_id,
    )


def retire(services: Services, state: CalendarState) -> CalendarState:
    """Stop the channels that others have replaced. What fails, `maintain` tries again."""
    stopped = [channel.id for channel in state.retiring if stop(services, state.access, channel)]
    if not stopped:
        return state

    def forgotten(state: CalendarState) -> CalendarState:
        left = tuple(channel for channel in state.retiring if channel.id not in stopped)
        return replace(state, retiring=left)

    written = change_calendar(services.store, state.calendar_id, forgotten)
    return written.value if written else state


def stop(services: Services, access: Access, channel: Channel) -> bool:
    """Stop a channel with the access that opened it, else with `access`. False if that failed.

    A channel that Calendar does not know, or never opened, is stopped already.
    """
    if channel.resource_id is None:
        return True
    try:
        services.calendars.stop_channel(channel, access)
    except SyncError as error:
        _logger.warning(
            "channel not stopped", extra={"channel": channel.id, "error": type(error).__name__}
        )
        return False
    return True


def stop_if_orphan(services: Services, state: CalendarState, rang: Channel) -> None:
    """Stop a channel that rang for a calendar but is none of its own: left over from a crash."""
    if rang.id not in [channel.id for channel in state.channels]:
        _logger.warning(
            "an orphan channel rang",
            extra={"calendar": short(state.calendar_id), "channel": rang.id},
        )
        stop(services, state.access, rang)
