"""Google Calendar API v3: list, read and write events, open and close channels.

`Calendar.bind` gives the calendar of one run. Items of a listing become `Entry` values here, once.

https://developers.google.com/workspace/calendar/api/v3/reference
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import google_auth_httplib2
import googleapiclient.discovery
import httplib2

from sync.backoff import patiently
from sync.context import BoundCalendar, Page
from sync.errors import Gone, Invalid, TryLater
from sync.google.calendar_errors import translated
from sync.google.connections import FRESH_SECONDS, IDLE_SECONDS, Connections
from sync.google.credentials import CalendarCredentials
from sync.model.calendar import Access, Channel, ChannelRequest
from sync.model.event import (
    CalendarId,
    Entry,
    Etag,
    EventId,
    PageToken,
    SyncToken,
    clean,
    digest,
    first_half,
)
from sync.model.items import Items

# What is read of an event: everything that `Event.from_api` parses, and no more.
_EVENT_FIELDS = (
    "id,status,etag,updated,eventType,visibility,summary,description,location,start,end,"
    "recurrence,recurringEventId,originalStartTime,organizer(email,self),creator/email,"
    "attendees/email,iCalUID,conferenceData,extendedProperties/private"
)
# The same in every listing of a calendar, with a sync token and without. Calendar does not
# promise anything for a sync token that is used with other parameters.
# https://developers.google.com/workspace/calendar/api/guides/sync
# - `singleEvents=false`: series and their exceptions. Expanded, a deleted series was seen to be
#   reported in part.
# - no `eventTypes`: whether a filter still lets the tombstone of an event through is documented
#   nowhere.
# - 250 events a page: one with 2,000 guests has 100 kB, and a page has to fit into memory.
LISTING = {
    "singleEvents": False,
    "maxResults": 250,
    "fields": f"timeZone,accessRole,nextPageToken,nextSyncToken,items({_EVENT_FIELDS})",
}
LISTING_VERSION = digest(json.dumps(LISTING, sort_keys=True))[:8]
"""Stored with a sync token: one that was made by another listing is not used (S2)."""

# 10,000 exceptions of one series. A listing that goes on for ever ends here, too.
_MOST_PAGES_OF_EXCEPTIONS = 40
# Tokens were seen with some hundred characters. A document of the store has room for this one.
_LONGEST_TOKEN = 50_000
# An expiry so much later than what was asked for is no expiry.
_ABSURDLY_LATE = timedelta(days=366)


class Calendar:
    """The calendars that each kind of access opens. Safe for threads. Connects at the first use.

    `emulator` is the `host:port` of a stand-in. `clock` tells when a channel without a stated
    expiry expires.
    """

    def __init__(
        self,
        credentials: CalendarCredentials | None,
        *,
        emulator: str | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._credentials = credentials
        self._emulator = emulator
        self._clock = clock
        self._lock = threading.Lock()
        self._api: _Api | None = None
        self._connections = Connections()

    @property
    def listing_version(self) -> str:
        return LISTING_VERSION

    def bind(
        self, calendar_id: CalendarId, access: Access, time_zone: str | None = None
    ) -> BoundCalendar:
        """Return one calendar with the access that opens it. Asks nobody yet.

        `time_zone` is the calendar's own as far as it is known, for times that name none.
        """
        return _Bound(calendar=self, id=calendar_id, access=access, time_zone=time_zone)

    def watch(self, calendar_id: CalendarId, access: Access, request: ChannelRequest) -> Channel:
        """Open a channel. Its greeting may come before the answer. Returns what Calendar opened.

        The expiry is the answer's, which may be sooner than `request.ttl`. Repeating needs another
        `request.id`. Raises NotWatchable, Invalid, Gone, NotAllowed, TryLater.
        https://developers.google.com/workspace/calendar/api/guides/push
        """
        body = {
            "id": request.id,
            "type": "web_hook",
            "address": request.address,
            "token": request.token,
            "params": {"ttl": str(int(request.ttl.total_seconds()))},
        }
        call = Call(
            method="watch",
            parameters={"calendarId": calendar_id, "body": body},
            address=request.address,
        )
        answer = self.send(access, call)
        resource_id = answer.get("resourceId")
        return Channel(
            id=request.id,
            resource_id=resource_id if isinstance(resource_id, str) else None,
            expires=_expiry(answer.get("expiration"), self._clock() + request.ttl),
            access=access,
        )

    def stop_channel(self, channel: Channel, fallback: Access | None = None) -> None:
        """Close a channel with the access that opened it (H4), else with `fallback`.

        A channel that Google does not know is closed. A notification may still come afterwards.
        """
        body = {"id": channel.id, "resourceId": channel.resource_id}
        access = channel.access or fallback or Access()
        try:
            self.send(access, Call(method="stop", parameters={"body": body}))
        except Gone:
            return

    def read_once(self, access: Access, call: Call) -> Any:
        """Send a call that the caller may repeat. Returns a JSON object."""
        return self.send(access, call, oldest_seconds=IDLE_SECONDS)

    def send(self, access: Access, call: Call, *, oldest_seconds: float = FRESH_SECONDS) -> Any:
        """Send a call once. Returns a JSON object. Of `stop` nothing that counts.

        `oldest_seconds`: a connection that was not used for so long is not used again.
        """
        parameters = dict(call.parameters)
        if access.subject:
            # Delegated calls are charged to the service account unless they name whom they are
            # for. https://developers.google.com/workspace/calendar/api/guides/quota
            parameters["quotaUser"] = digest(access.subject)
        with (
            translated(call.method, call.address),
            self._connections.lend(oldest_seconds) as connection,
        ):
            api = self._described()
            resource = api.channels if call.method == "stop" else api.events
            request = getattr(resource, call.method)(**parameters)
            # There is no argument for headers.
            request.headers.update(call.headers)
            answer = request.execute(http=self._authorised(access, connection))
        if call.method != "stop" and not isinstance(answer, dict):
            raise TryLater("Calendar answered something else than a JSON object")
        return answer

    def _authorised(self, access: Access, connection: httplib2.Http) -> Any:
        if self._credentials is None:
            return connection
        return google_auth_httplib2.AuthorizedHttp(
            self._credentials.of(access),
            http=connection,
            # One renewal after a 401 (C2); the second 401 is the answer.
            max_refresh_attempts=1,
        )

    def _described(self) -> _Api:
        """Return Calendar's methods, made once from the discovery document in the library."""
        with self._lock:
            if self._api is None:
                options = None
                if self._emulator is not None:
                    options = {"api_endpoint": f"http://{self._emulator}/calendar/v3/"}
                service = googleapiclient.discovery.build(
                    "calendar",
                    "v3",
                    # Never used: each call brings its own.
                    http=httplib2.Http(),
                    static_discovery=True,
                    cache_discovery=False,
                    client_options=options,
                )
                self._api = _Api(events=service.events(), channels=service.channels())
            return self._api

    def close(self) -> None:
        """End all idle connections."""
        self._connections.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One method of `events` (for `stop`: of `channels`) with its parameters.

    `address` is the notification address that the call names, for the text of an error.
    """

    method: str
    parameters: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bound:
    """One calendar with its access: `sync.context.BoundCalendar`, over the wire."""

    calendar: Calendar
    id: CalendarId
    access: Access
    time_zone: str | None

    def list_changes(
        self,
        *,
        sync_token: SyncToken | None,
        time_min: datetime | None,
        page_token: PageToken | None,
    ) -> Page:
        """Return one page of what changed since `sync_token`. Without a token, of everything.

        Deleted events are listed, too. `time_min` bounds a listing without a sync token: events
        that ended before are left out. Every page is asked for with the same two. Safe to repeat.

        Raises SyncTokenExpired when Google no longer knows the token (410, on any page), Invalid
        for a page token that is no longer good, NotAllowed, Gone, TryLater.
        https://developers.google.com/workspace/calendar/api/guides/sync
        """
        parameters: dict[str, Any] = {"calendarId": self.id, **LISTING}
        if sync_token is not None:
            parameters["syncToken"] = sync_token
        elif time_min is not None:
            parameters["timeMin"] = time_min.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self._page(parameters, page_token)

    def access_role(self) -> str | None:
        """Return what the calendar's sharing lets us do, such as `writer`, None if that is open.

        Costs one call, which lists next to nothing. Raises NotAllowed, Gone, TryLater.
        """
        parameters = {"calendarId": self.id, "maxResults": 1, "fields": "accessRole"}
        call = Call(method="list", parameters=parameters)
        answer = patiently(lambda: self.calendar.read_once(self.access, call))
        return _word(answer.get("accessRole"))

    def get_event(self, event_id: EventId) -> Entry:
        """Return one event, a deleted one with what is left of it. Raises Gone if there is none."""
        parameters = {"calendarId": self.id, "eventId": event_id, "fields": _EVENT_FIELDS}
        call = Call(method="get", parameters=parameters)
        return self._entry(event_id, patiently(lambda: self._event(call)))

    def list_exceptions(self, series_id: EventId, ical_uid: str) -> Iterator[Entry]:
        """Yield the occurrences of a series that differ from it, cancelled ones among them.

        Occurrences share their series' iCalUID. So may other series (a copy that was imported),
        hence the check. Raises Invalid for a series with more than 10,000 exceptions.
        """
        # `showDeleted`: the documentation promises cancelled occurrences without it, but in one
        # sentence only.
        parameters = {
            "calendarId": self.id,
            "iCalUID": ical_uid,
            "showDeleted": True,
            **LISTING,
        }
        page_token: PageToken | None = None
        for _ in range(_MOST_PAGES_OF_EXCEPTIONS):
            page = self._page(parameters, page_token)
            # An occurrence names its series, or is a bare id, so none of them is plain.
            for listed in page.items.entries:
                entry = self._whole(listed, series_id)
                if entry.event is not None and entry.event.series_id == series_id:
                    yield entry
            page_token = page.next_page_token
            if page_token is None:
                return
        raise Invalid("the series has too many changed occurrences to be read; split it")

    def _whole(self, entry: Entry, series_id: EventId) -> Entry:
        """E2: a deleted occurrence may be listed as a bare id, and only a look tells its series.

        Its id begins with that of its series, or with that of the series which was split (`…_R…`).
        """
        if entry.event is None or not entry.event.bare:
            return entry
        if not entry.id.startswith(f"{first_half(series_id)}_"):
            return entry
        try:
            return self.get_event(entry.id)
        except Gone:
            return entry

    def patch_event(self, event_id: EventId, changes: Mapping[str, Any], etag: Etag) -> Entry:
        """Change the fields given, and only them, if the event is still at `etag` (W1).

        Returns the event as it is then. Nobody gets mail. Raises Conflict when somebody wrote
        meanwhile (412), Invalid for what Calendar refuses.
        """
        parameters = {
            "calendarId": self.id,
            "eventId": event_id,
            "body": dict(changes),
            "conferenceDataVersion": 1,
            "sendUpdates": "none",
            "fields": _EVENT_FIELDS,
        }
        # The quotes are part of an etag.
        call = Call(method="patch", parameters=parameters, headers={"If-Match": etag})
        return self._entry(event_id, self.calendar.send(self.access, call))

    def _page(self, parameters: Mapping[str, Any], page_token: PageToken | None) -> Page:
        if page_token is not None:
            parameters = {**parameters, "pageToken": page_token}
        call = Call(method="list", parameters=parameters)
        # A page that cannot be read is asked for again, as one that did not come.
        return patiently(lambda: self._page_from(self.calendar.read_once(self.access, call)))

    def _page_from(self, answer: Mapping[str, Any]) -> Page:
        items = answer.get("items", [])
        if not isinstance(items, list):
            # Nothing is known of what changed: the sync token must not move on.
            raise TryLater("Calendar answered a page whose items are no list")
        time_zone = _word(answer.get("timeZone"))
        zone = time_zone or self.time_zone
        next_page_token = _token(answer, "nextPageToken")
        next_sync_token = _token(answer, "nextSyncToken")
        if next_page_token is not None:
            # S2: a token beside a next page would skip what that page lists.
            next_sync_token = None
        return Page(
            items=Items.from_api(items, calendar_zone=zone),
            time_zone=time_zone,
            access_role=_word(answer.get("accessRole")),
            next_page_token=PageToken(next_page_token) if next_page_token else None,
            next_sync_token=SyncToken(next_sync_token) if next_sync_token else None,
        )

    def _event(self, call: Call) -> Any:
        answer = self.calendar.read_once(self.access, call)
        if not answer.get("id"):
            # No event of Calendar's. What it says, or leaves out, must not be taken for one's own.
            raise TryLater("Calendar answered an event without an id")
        return answer

    def _entry(self, event_id: EventId, answer: object) -> Entry:
        entry = Entry.from_api(answer, calendar_zone=self.time_zone)
        # What was asked for stays known by its id, however odd the answer is.
        return entry if entry.event is not None else replace(entry, id=event_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Api:
    """Calendar's methods. They hold no connection and no access, so that all threads share them."""

    events: Any
    channels: Any


def _word(value: object) -> str | None:
    """A short text of Calendar's, such as a time zone or a role. Anything else is none."""
    return clean(value) if isinstance(value, str) and 0 < len(value) <= 100 else None


def _token(answer: Mapping[str, Any], name: str) -> str | None:
    """Return a token of a listing, None where there is none. Raises TryLater for an odd one."""
    value = answer.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str) and len(value) <= _LONGEST_TOKEN and clean(value) == value:
        return value
    # Taken for the end of the listing, it would lose what comes after.
    raise TryLater(f"Calendar answered a {name} that is no text")


def _expiry(expiration: object, asked: datetime) -> datetime:
    """Return when a channel ends: milliseconds since 1970, documented as a number, sent as a text.

    Without a usable one, the channel is taken to live as long as was `asked` for.
    """
    if isinstance(expiration, bool) or not isinstance(expiration, int | float | str):
        return asked
    try:
        milliseconds = float(expiration)
        if not math.isfinite(milliseconds):
            return asked
        moment = datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return asked
    plausible = moment.year >= 2000 and moment - asked < _ABSURDLY_LATE
    return moment if plausible else asked
