"""What operators ask for: start, stop, status, replay, failures. Values in, JSON out; `main`
knows the HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sync.errors import Conflict, Gone, Invalid, NotAllowed, NotFound, SyncError
from sync.event import sharing as claims
from sync.model.calendar import Access, CalendarState, CalendarStatus, Counts
from sync.model.conference import Failure, FailureState
from sync.model.event import CalendarId
from sync.operate import channels
from sync.services import Services
from sync.store import DropLink, Listing, Versioned

_SECRET = re.compile(r"projects/[^/]+/secrets/[A-Za-z0-9_-]{1,255}")
# Calendar ids look like mail addresses; this is far more than one has.
_LONGEST_ID = 1000


def parse_id(text: str) -> CalendarId:
    """Return the calendar id of a path, decoded. Raises Invalid for what can be none."""
    if not text.strip() or len(text) > _LONGEST_ID or not text.isprintable():
        raise Invalid(
            "this is no calendar id; give the id from the calendar's settings, percent-encoded"
        )
    return CalendarId(text)


def parse_access(body: object) -> Access:
    """Return the access that the body of a start describes. Raises Invalid."""
    mend = 'the body must be {}, {"subject": "user@example.com"} or {"credentials_secret": "projects/P/secrets/S"}'
    if body is None:
        return Access()
    if (
        not isinstance(body, Mapping)
        or not set(body) <= {"subject", "credentials_secret"}
        or len(body) > 1
    ):
        raise Invalid(mend)
    subject, secret = body.get("subject"), body.get("credentials_secret")
    if subject is not None and (not isinstance(subject, str) or not subject.strip()):
        raise Invalid(mend)
    if secret is not None and (not isinstance(secret, str) or not _SECRET.fullmatch(secret)):
        raise Invalid(mend)
    return Access(subject=subject, credentials_secret=secret)


def start(
    services: Services, calendar_id: CalendarId, access: Access
) -> tuple[CalendarState, bool]:
    """Watch a calendar and sync it; returns its state, and whether it is new. Safe to repeat (H1).

    The record is written before the channel is opened, and the first sync enqueued after: nothing
    falls between. A new calendar that cannot be started leaves nothing behind; a known one keeps
    its state, and says why.
    """
    channels.check_id(services, calendar_id)
    now = services.clock()
    state = CalendarState(calendar_id=calendar_id, access=access, started_at=now)
    try:
        services.store.create_calendar(state)
        created = True
    except Conflict:
        created = False
        state = channels.change(services, calendar_id, lambda known: replace(known, access=access))
    try:
        if created or channels.due(state, now) or state.status is CalendarStatus.BROKEN:
            state = channels.open_channel(services, calendar_id)
    except SyncError as error:
        if created:
            services.store.delete_calendar(calendar_id)
        elif isinstance(error, NotAllowed | Gone):
            reason = str(error)
            channels.change(
                services,
                calendar_id,
                lambda known: replace(known, status=CalendarStatus.BROKEN, reason=reason),
            )
        raise
    services.queue.enqueue_calendar(calendar_id)
    return state, created


def stop(services: Services, calendar_id: CalendarId) -> None:
    """Stop a calendar's channel and forget everything about it; its conferences stay (H3). Safe to
    repeat.

    Where events of other calendars carry the same conferences, one of them leads from now on (E7).
    """
    document = services.store.get_calendar(calendar_id)
    if document is not None:
        state = document.value
        for channel in (state.channel, state.opening, state.retiring):
            if channel is not None:
                # One that cannot be stopped now is stopped when it rings.
                channels.stop(services, state.access, channel)
    # First the calendar, so that a run under way loses its lease; what it still writes goes with a
    # repetition.
    services.store.delete_calendar(calendar_id)
    for link in services.store.links_of_calendar(calendar_id):
        _forget_link(services, link)
    while failures := services.store.list_failures(calendar_id=calendar_id).items:
        for failure in failures:
            services.store.delete_failure(failure.id)


def _forget_link(services: Services, link: Versioned[Any]) -> None:
    at = link.value.event
    current: Versioned[Any] | None = link
    while current is not None:
        try:
            current = claims.forget(services.store, services.queue, at, current, services.clock())
            if current is not None:
                # What it had let go stays as well: nobody is left to look after the grace.
                services.store.commit([DropLink(at, current.version)])
            return
        except Conflict:
            current = services.store.get_known(at.calendar_id, [at.event_id]).links.get(at.event_id)


def get(services: Services, calendar_id: CalendarId) -> CalendarState:
    """Return what is known of a calendar. Raises NotFound."""
    document = services.store.get_calendar(calendar_id)
    if document is None:
        raise NotFound("this calendar is not started; start it with PUT /calendars/{id}")
    return document.value


def replay(services: Services, calendar_id: CalendarId) -> None:
    """Enqueue a sync of a calendar. Raises NotFound."""
    get(services, calendar_id)
    services.queue.enqueue_calendar(calendar_id)


def parse_status(text: str | None) -> CalendarStatus | None:
    """Return the status that `?status=` names. Raises Invalid."""
    if text is None:
        return None
    try:
        return CalendarStatus(text)
    except ValueError:
        raise Invalid(f"status must be one of {', '.join(CalendarStatus)}") from None


def parse_failure_state(text: str | None) -> FailureState | None:
    """Return the state that `?state=` names; parked if none does, None for all. Raises Invalid."""
    if text is None:
        return FailureState.PARKED
    if text == "all":
        return None
    try:
        return FailureState(text)
    except ValueError:
        raise Invalid(f"state must be one of {', '.join(FailureState)}, all") from None


def retry_failure(services: Services, failure_id: str) -> Failure:
    """Try a failure again at once, whatever its number of tries. Raises NotFound. Safe to repeat."""
    failure = _failure(services, failure_id)
    event = failure.event
    retrying = replace(failure, state=FailureState.RETRYING, next_try=services.clock())
    services.queue.enqueue_event(event.calendar_id, event.event_id)
    services.store.put_failure(retrying)
    return retrying


def dismiss_failure(services: Services, failure_id: str) -> None:
    """Forget a failure; its event is tried again when it changes. Raises NotFound."""
    services.store.delete_failure(_failure(services, failure_id).id)


def _failure(services: Services, failure_id: str) -> Failure:
    failure = (
        services.store.get_failure(failure_id)
        if re.fullmatch(r"[0-9a-f]{32}", failure_id)
        else None
    )
    if failure is None:
        raise NotFound(
            "there is no such failure; it may have been dismissed, or succeeded meanwhile"
        )
    return failure


def calendar_json(state: CalendarState) -> dict[str, Any]:
    """Return a calendar as `manage_calendars` answers it."""
    access = {
        "subject": state.access.subject,
        "credentials_secret": state.access.credentials_secret,
    }
    channel, last = state.channel, state.last_sync
    return {
        "calendar_id": state.calendar_id,
        "access": {key: value for key, value in access.items() if value is not None},
        "status": state.status.value,
        "reason": state.reason,
        "channel": {
            "id": channel.id,
            "resource_id": channel.resource_id,
            "expires": _rfc3339(channel.expires),
        }
        if channel
        else None,
        "last_sync": {
            "at": _rfc3339(last.at),
            "kind": last.kind.value,
            **counts_json(last.counts),
        }
        if last
        else None,
    }


def counts_json(counts: Counts) -> dict[str, int]:
    return {
        "changes": counts.changes,
        "created": counts.created,
        "updated": counts.updated,
        "deleted": counts.deleted,
        "failed": counts.failed,
    }


def failure_json(failure: Failure) -> dict[str, Any]:
    """Return a failure as `manage_calendars` answers it."""
    return {
        "id": failure.id,
        "calendar_id": failure.event.calendar_id,
        "event_id": failure.event.event_id,
        "provider": failure.provider,
        "conference_id": failure.conference_id,
        "action": failure.action,
        "reason": failure.reason,
        "attempts": failure.attempts,
        "state": failure.state.value,
        "first": _rfc3339(failure.first),
        "next_try": _rfc3339(failure.next_try),
    }


def calendars_json(listing: Listing[CalendarState]) -> dict[str, Any]:
    return {
        "calendars": [calendar_json(state) for state in listing.items],
        "next_page_token": listing.next_page_token,
    }


def failures_json(listing: Listing[Failure]) -> dict[str, Any]:
    return {
        "failures": [failure_json(failure) for failure in listing.items],
        "next_page_token": listing.next_page_token,
    }


def _rfc3339(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None
