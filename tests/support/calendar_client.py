"""What the tests of our Calendar client share: events, listings and channels of the stand-in."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.google_calendar import GoogleCalendar
from sandbox.google_calendar.records import RequestRecord
from sync.context import Page
from sync.google.calendar import Calendar
from sync.model.calendar import Access, Channel, ChannelRequest
from sync.model.event import CalendarId, ChannelToken, Entry, Event, EventId, PageToken, SyncToken

Json = dict[str, Any]

NOW = datetime.now(UTC).replace(microsecond=0)
NOBODY = Access()
START = (NOW + timedelta(days=1)).replace(minute=0, second=0)

_numbers = itertools.count(1)


def body(**fields: Any) -> Json:
    return {
        "summary": "Planning",
        "start": {"dateTime": START.isoformat()},
        "end": {"dateTime": (START + timedelta(hours=1)).isoformat()},
        **fields,
    }


def found(entry: Entry) -> Event:
    """The event of an entry that is one."""
    assert entry.event is not None, entry.malformed
    return entry.event


def raw(stand_in: GoogleCalendar, calendar_id: str, event_id: str) -> Json:
    """An event as the stand-in has it."""
    whole = stand_in.get(calendar_id, event_id)
    assert whole is not None
    return whole


def seed(stand_in: GoogleCalendar, calendar_id: str, **fields: Any) -> EventId:
    return EventId(stand_in.seed_event(calendar_id, body(**fields))["id"])


def pages(
    calendar: Calendar,
    calendar_id: CalendarId,
    sync_token: SyncToken | None = None,
    time_min: datetime | None = None,
) -> list[Page]:
    read: list[Page] = []
    token: PageToken | None = None
    while True:
        page = calendar.bind(calendar_id, NOBODY).list_changes(
            sync_token=sync_token, time_min=time_min, page_token=token
        )
        read.append(page)
        token = page.next_page_token
        if token is None:
            return read


def synced(calendar: Calendar, calendar_id: CalendarId) -> SyncToken:
    token = pages(calendar, calendar_id)[-1].next_sync_token
    assert token is not None
    return token


def of(stand_in: GoogleCalendar, calendar_id: str) -> list[RequestRecord]:
    return [request for request in stand_in.requests if calendar_id in request.path]


def open_channel(
    calendar: Calendar, calendar_id: CalendarId, access: Access = NOBODY, **changes: Any
) -> Channel:
    wanted = ChannelRequest(
        id=f"channel-{next(_numbers)}",
        address="http://127.0.0.1:9/",
        token=ChannelToken("signed"),
        ttl=timedelta(hours=1),
    )
    return calendar.watch(calendar_id, access, replace(wanted, **changes))
