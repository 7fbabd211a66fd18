"""Google Calendar API v3: list, read and write events, open and close channels; its errors by
reason.

https://developers.google.com/workspace/calendar/api/v3/reference
"""

from __future__ import annotations

import http.client
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import google.auth.exceptions
import google_auth_httplib2
import googleapiclient.discovery
import googleapiclient.errors
import httplib2

from sync.backoff import patiently, retry_after
from sync.errors import (
    Conflict,
    Gone,
    Invalid,
    NotAllowed,
    NotWatchable,
    SyncError,
    SyncTokenExpired,
    TryLater,
)
from sync.google.credentials import CalendarCredentials
from sync.model.calendar import Access, Channel
from sync.model.event import CalendarId, ChannelToken, Etag, EventId, PageToken, SyncToken, digest

# What is read of an event: everything that `Event.from_api` parses, and no more.
_EVENT_FIELDS = (
    "id,status,etag,updated,eventType,summary,description,location,start,end,recurrence,recurringEventId,"
    "originalStartTime,organizer,attendees/email,iCalUID,conferenceData,extendedProperties/private"
)
# The same in every listing of a calendar, with a sync token and without: else the token is not to
# be trusted.
# https://developers.google.com/workspace/calendar/api/guides/sync
# - `singleEvents=false`: series and their exceptions; expanded, a deleted series was seen to be
#   reported in part.
# - no `eventTypes`: whether a filter still lets the tombstone of an event through is documented
#   nowhere.
# - 250 events a page: one with 2,000 guests has 100 kB, and a page has to fit into memory.
_LISTING = {
    "singleEvents": False,
    "maxResults": 250,
    "fields": f"timeZone,nextPageToken,nextSyncToken,items({_EVENT_FIELDS})",
}
LISTING_VERSION = digest(json.dumps(_LISTING, sort_keys=True))[:8]
"""Stored with a sync token: one that was made by another listing is not used (S2)."""

_TIMEOUT_SECONDS = 20
# One for each thread that works side by side, for a handful of users' accesses.
_IDLE_CONNECTIONS = 64
# `quotaExceeded` makes a user's calendar read-only for hours.
_QUOTA_PAUSE = timedelta(hours=3)

_RATE_LIMITS = {"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a listing. `items` are events as JSON, unparsed: one malformed item must not hold
    up the others.

    The last page, and only that, carries `next_sync_token`; any page may be empty.
    """

    items: list[Any]
    time_zone: str | None
    next_page_token: PageToken | None
    next_sync_token: SyncToken | None


class Calendar:
    """The calendars that each kind of access opens. Safe for threads: no connection is ever
    shared by two at once."""

    def __init__(
        self, credentials: CalendarCredentials | None, *, emulator: str | None = None
    ) -> None:
        self._credentials = credentials
        self._emulator = emulator
        self._lock = threading.Lock()
        # Service objects that no thread uses at the moment, by access, the least used access in
        # front.
        self._idle: OrderedDict[Access, list[Any]] = OrderedDict()

    def list_changes(
        self,
        calendar_id: CalendarId,
        access: Access,
        *,
        sync_token: SyncToken | None,
        time_min: datetime | None,
        page_token: PageToken | None,
    ) -> Page:
        """Return one page of what changed since `sync_token`, deleted events among it; without one,
        of everything.

        `time_min` bounds a listing without a sync token: events that ended before are left out.
        Every page is asked for with the same two. Safe to repeat. Raises SyncTokenExpired when
        Google no longer knows the token (410, on any page), Invalid for a page token that is no
        longer good, NotAllowed, TryLater.
        https://developers.google.com/workspace/calendar/api/guides/sync
        """
        parameters: dict[str, Any] = {"calendarId": calendar_id, **_LISTING}
        if sync_token is not None:
            parameters["syncToken"] = sync_token
        elif time_min is not None:
            parameters["timeMin"] = time_min.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if page_token is not None:
            parameters["pageToken"] = page_token
        answer = self._read(access, "list", parameters)
        items = answer.get("items", [])
        return Page(
            items=items if isinstance(items, list) else [],
            time_zone=answer.get("timeZone"),
            next_page_token=answer.get("nextPageToken"),
            next_sync_token=answer.get("nextSyncToken"),
        )

    def get_event(self, calendar_id: CalendarId, access: Access, event_id: EventId) -> Any:
        """Return one event as JSON, a deleted one with what is left of it. Raises Gone if
        Calendar knows none."""
        return self._read(
            access, "get", {"calendarId": calendar_id, "eventId": event_id, "fields": _EVENT_FIELDS}
        )

    def list_exceptions(
        self, calendar_id: CalendarId, access: Access, series_id: EventId, ical_uid: str
    ) -> Iterator[Any]:
        """Yield the occurrences of a series that differ from it, cancelled ones among them, as
        JSON.

        Occurrences share their series' iCalUID; so may other series (a copy that was imported),
        hence the check.
        """
        page_token: str | None = None
        while True:
            parameters = {
                "calendarId": calendar_id,
                "iCalUID": ical_uid,
                "showDeleted": True,
                **_LISTING,
            }
            if page_token:
                parameters["pageToken"] = page_token
            answer = self._read(access, "list", parameters)
            for item in answer.get("items", []):
                if isinstance(item, Mapping) and item.get("recurringEventId") == series_id:
                    yield item
            page_token = answer.get("nextPageToken")
            if page_token is None:
                return

    def patch_event(
        self,
        calendar_id: CalendarId,
        access: Access,
        event_id: EventId,
        changes: dict[str, Any],
        etag: Etag,
    ) -> Any:
        """Change the fields given, and only them, if the event is still at `etag`; return the event
        as it is then (W1).

        Nobody gets mail. Raises Conflict when somebody wrote meanwhile (412), Invalid for what
        Calendar refuses.
        """
        parameters = {
            "calendarId": calendar_id,
            "eventId": event_id,
            "body": changes,
            "conferenceDataVersion": 1,
            "sendUpdates": "none",
            "fields": _EVENT_FIELDS,
        }
        # The quotes are part of an etag.
        return self._call(access, "patch", parameters, {"If-Match": etag})

    def watch(
        self,
        calendar_id: CalendarId,
        access: Access,
        *,
        channel_id: str,
        address: str,
        token: ChannelToken,
        ttl: timedelta,
    ) -> Channel:
        """Open a channel; the greeting may come before the answer. Only the answer's expiry counts,
        not `ttl`.

        Repeating needs a new `channel_id`.
        https://developers.google.com/workspace/calendar/api/guides/push
        """
        body = {
            "id": channel_id,
            "type": "web_hook",
            "address": address,
            "token": token,
            "params": {"ttl": str(int(ttl.total_seconds()))},
        }
        answer = self._call(access, "watch", {"calendarId": calendar_id, "body": body})
        expiration = answer.get("expiration")
        return Channel(
            id=channel_id,
            resource_id=answer.get("resourceId"),
            # Documented as a number, sent as a text.
            expires=datetime.fromtimestamp(int(expiration) / 1000, tz=UTC)
            if expiration
            else datetime.now(UTC) + ttl,
        )

    def stop_channel(self, access: Access, channel: Channel) -> None:
        """Close a channel; one that Google does not know is closed. A notification may still
        come afterwards."""
        body = {"id": channel.id, "resourceId": channel.resource_id}
        try:
            self._call(access, "stop", {"body": body})
        except Gone:
            return

    def _read(self, access: Access, method: str, parameters: Mapping[str, Any]) -> Any:
        return patiently(lambda: self._call(access, method, parameters))

    def _call(
        self,
        access: Access,
        method: str,
        parameters: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        # Delegated calls are charged to the service account unless they name whom they are for.
        # https://developers.google.com/workspace/calendar/api/guides/quota
        quota = {"quotaUser": digest(access.subject)} if access.subject else {}
        with _translated(), self._service(access) as service:
            resource = service.channels() if method == "stop" else service.events()
            request = getattr(resource, method)(**parameters, **quota)
            # There is no argument for headers.
            request.headers.update(headers or {})
            answer = request.execute()
        if method != "stop" and not isinstance(answer, dict):
            raise TryLater("Calendar answered something else than a JSON object")
        return answer

    @contextmanager
    def _service(self, access: Access) -> Iterator[Any]:
        """Lend a service object to this thread alone: httplib2, underneath, is not safe for
        threads.

        It keeps its connection, for the next thread that needs one; after an error it is thrown
        away.
        """
        with self._lock:
            idle = self._idle.pop(access, [])
            service = idle.pop() if idle else None
            self._keep(access, idle)
        if service is None:
            service = self._build(access)
        try:
            yield service
        except BaseException:
            service.close()
            raise
        with self._lock:
            self._keep(access, [*self._idle.get(access, []), service])

    def _keep(self, access: Access, services: list[Any]) -> None:
        """Remember idle services, and close those of the access that was used least lately once
        there are many."""
        if services:
            self._idle[access] = services
            self._idle.move_to_end(access)
        while sum(map(len, self._idle.values())) > _IDLE_CONNECTIONS:
            for service in self._idle.popitem(last=False)[1]:
                service.close()

    def _build(self, access: Access) -> Any:
        http: Any = httplib2.Http(timeout=_TIMEOUT_SECONDS)
        options = None
        if self._emulator is not None:
            options = {"api_endpoint": f"http://{self._emulator}/calendar/v3/"}
        if self._credentials is not None:
            http = google_auth_httplib2.AuthorizedHttp(self._credentials.of(access), http=http)
        return googleapiclient.discovery.build(
            "calendar",
            "v3",
            http=http,
            static_discovery=True,
            cache_discovery=False,
            client_options=options,
        )

    def close(self) -> None:
        """End all idle connections."""
        with self._lock:
            for services in self._idle.values():
                for service in services:
                    service.close()
            self._idle.clear()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except googleapiclient.errors.HttpError as error:
        after = retry_after({"Retry-After": error.resp.get("retry-after", "")}, datetime.now(UTC))
        raise classify(int(error.resp.status), error.content, after) from error
    except google.auth.exceptions.TransportError as error:
        raise TryLater("Google's token service did not answer") from error
    except google.auth.exceptions.GoogleAuthError as error:
        raise NotAllowed(_explain(str(error))) from error
    except (OSError, http.client.HTTPException, httplib2.HttpLib2Error, ValueError) as error:
        # Time-outs and broken connections, answers cut short, success without the JSON that it
        # promised.
        raise TryLater(f"Calendar did not answer ({type(error).__name__})") from error


def classify(status: int, content: bytes, after: timedelta | None = None) -> SyncError:
    """Return what an error of Calendar means, by its reason rather than its status. Pure.

    `after` is what `Retry-After` asks for; Calendar was seen without it, but who sends it means it.

    https://developers.google.com/workspace/calendar/api/guides/errors
    """
    reason = _reason(content)
    said = f"Calendar answered {status} {reason}".rstrip()
    match status:
        case 401:
            return NotAllowed(f"{said}; check the calendar's access, then start the calendar again")
        case 403 | 429 if reason in _RATE_LIMITS or status == 429:
            return TryLater(said, after=after)
        case 403 if reason == "quotaExceeded":
            return TryLater(said, after=max(_QUOTA_PAUSE, after or _QUOTA_PAUSE))
        case 403 if reason == "accessNotConfigured":
            return NotAllowed(
                f"{said}; enable the Calendar API (calendar-json.googleapis.com) in the project"
            )
        case 403 if reason == "forbiddenForNonOrganizer":
            return NotAllowed(f"{said}; only the organiser's copy can be changed in this way")
        case 403:
            return NotAllowed(
                f"{said}; share the calendar with us again, with the right to change events"
            )
        case 404:
            return Gone(said)
        case 410 if reason == "deleted":
            return Gone(said)
        case 410:
            return SyncTokenExpired(said)
        case 412:
            return Conflict(said)
        case 400 if reason == "pushNotSupportedForRequestedResource":
            return NotWatchable(said)
        case _ if status == 408 or status >= 500:
            return TryLater(said, after=after)
        case _:
            return Invalid(said)


def _reason(content: bytes) -> str:
    """Return the reason in an error's body: the classic list's, else that of the gateway's
    `ErrorInfo`."""
    try:
        error = json.loads(content)["error"]
        listed = error.get("errors") or []
        details = [detail for detail in error.get("details") or [] if "reason" in detail]
        return str((listed or details)[0]["reason"])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return ""


_EXPLANATIONS = {
    "unauthorized_client": "the Workspace administrator has not authorised this service account's numeric client id "
    "for the scope calendar.events; add it under domain-wide delegation in the admin console",
    "access_denied": "the scope calendar.events is not authorised for delegation; add it in the admin console",
    "admin_policy_enforced": "a policy of the Workspace administrator blocks the scope calendar.events",
    "invalid_grant": "the user does not exist, or has withdrawn the access; check the subject or store a new "
    "refresh token in the secret",
    "invalid_client": "the client id or the client secret is wrong; compare the secret with the OAuth client",
    "invalid_scope": "the scope calendar.events was refused; check the OAuth client",
    "disabled_client": "the OAuth client is disabled; enable it or store another in the secret",
    "deleted_client": "the OAuth client was deleted; store another in the secret",
}


def _explain(text: str) -> str:
    """Return what the operator must do about an error of Google's token service; its own text may
    name the user.

    https://developers.google.com/identity/protocols/oauth2/service-account#error-codes
    """
    for code, mend in _EXPLANATIONS.items():
        if code in text:
            return f"Google refused a token ({code}): {mend}"
    return "Google refused a token; check the calendar's access"
