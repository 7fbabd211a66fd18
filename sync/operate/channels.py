"""Channels: what Calendar rings when a calendar changes. Opened, renewed with overlap, stopped
(H1-H3)."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from sync.errors import Conflict, Invalid, NotFound, NotWatchable, SyncError, TryLater, WatchFailed
from sync.intake.notifications import sign
from sync.intake.receive import channel_keys
from sync.logs import short
from sync.model.calendar import Access, CalendarState, CalendarStatus, Channel
from sync.model.event import CalendarId
from sync.services import Services
from sync.store import Versioned

_logger = logging.getLogger(__name__)

# How often Cloud Scheduler calls `maintain`: terraform/schedule.tf says the same.
SCHEDULE_PERIOD = timedelta(hours=1)
# Less than this left, and the channel might not live until the call after the next (H2).
RENEW_BEFORE = 2 * SCHEDULE_PERIOD


def due(state: CalendarState, now: datetime) -> bool:
    """Tell whether a calendar that can be watched has no channel that lives long enough."""
    channel = state.channel
    return state.watchable and (
        channel is None or channel.expires is None or channel.expires - now < RENEW_BEFORE
    )


def check_id(services: Services, calendar_id: CalendarId) -> None:
    """Raise Invalid for a calendar whose channel token would be longer than Calendar carries
    (N1)."""
    sign(
        channel_keys(services.secrets, services.settings.channel_key),
        str(uuid.uuid4()),
        calendar_id,
    )


def open_channel(services: Services, calendar_id: CalendarId) -> CalendarState:
    """Open a new channel for a calendar, store it, then stop the one it replaces. Returns the
    calendar's new state.

    The new channel's id is written before it is opened: its first notification may come before
    Calendar's answer. Safe to repeat and to run twice at once: what is left over rings once and is
    stopped. A calendar that cannot be watched becomes polled. Raises NotFound, and what
    `events.watch` answers: NotAllowed, Gone, WatchFailed.
    """
    channel_id = str(uuid.uuid4())
    keys = channel_keys(services.secrets, services.settings.channel_key)
    token = sign(keys, channel_id, calendar_id)
    state = change(
        services, calendar_id, lambda state: replace(state, opening=Channel(id=channel_id))
    )
    try:
        opened = services.calendar.watch(
            calendar_id,
            state.access,
            channel_id=channel_id,
            address=services.settings.notification_url,
            token=token,
            ttl=services.settings.channel_ttl,
        )
    except NotWatchable:
        return change(services, calendar_id, _cannot_be_watched)
    except (Invalid, TryLater) as error:
        raise WatchFailed(f"events.watch failed: {error}") from error

    def stored(state: CalendarState) -> CalendarState:
        return replace(state, channel=opened, opening=None, retiring=state.channel, watchable=True)

    return retire(services, change(services, calendar_id, stored))


def retire(services: Services, state: CalendarState) -> CalendarState:
    """Stop the channel that another has replaced; if that fails, `maintain` tries again."""
    if state.retiring is None or not stop(services, state.access, state.retiring):
        return state
    retired = state.retiring

    def forgotten(state: CalendarState) -> CalendarState:
        return replace(state, retiring=None) if state.retiring == retired else state

    return change(services, state.calendar_id, forgotten)


def stop(services: Services, access: Access, channel: Channel) -> bool:
    """Stop a channel; False if that failed. One that Calendar does not know, or never opened, is
    stopped already."""
    if channel.resource_id is None:
        return True
    try:
        services.calendar.stop_channel(access, channel)
    except SyncError as error:
        _logger.warning(
            "channel not stopped", extra={"channel": channel.id, "error": type(error).__name__}
        )
        return False
    return True


def stop_if_orphan(services: Services, state: CalendarState, rang: Channel) -> None:
    """Stop a channel that rang for a calendar but is none of its own: left over from a crash or
    an earlier start."""
    ours = [channel.id for channel in (state.channel, state.opening, state.retiring) if channel]
    if rang.id not in ours:
        _logger.warning(
            "an orphan channel rang",
            extra={"calendar": short(state.calendar_id), "channel": rang.id},
        )
        stop(services, state.access, rang)


def change(
    services: Services, calendar_id: CalendarId, to: Callable[[CalendarState], CalendarState]
) -> CalendarState:
    """Apply `to` to a calendar's state, again if somebody else wrote meanwhile. Raises NotFound."""
    while True:
        document: Versioned[CalendarState] | None = services.store.get_calendar(calendar_id)
        if document is None:
            raise NotFound(
                "this calendar is not started, or was stopped; start it with PUT /calendars/{id}"
            )
        state = to(document.value)
        if state == document.value:
            return state
        try:
            services.store.update_calendar(state, document.version)
            return state
        except Conflict:
            continue


def _cannot_be_watched(state: CalendarState) -> CalendarState:
    return replace(
        state,
        watchable=False,
        opening=None,
        channel=None,
        status=CalendarStatus.POLLED,
        reason=NOT_WATCHABLE,
    )


NOT_WATCHABLE = "Calendar cannot notify us of this calendar's changes; it is synced at intervals"
