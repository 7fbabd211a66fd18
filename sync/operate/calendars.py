"""What operators ask for: start, stop, status, replay, failures. Values in, JSON out. `main`
knows the HTTP."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sync.context import Services
from sync.errors import Conflict, Invalid, NotAllowed, NotFound, SyncError
from sync.event.failures import dismissed
from sync.model.calendar import Access, CalendarState, CalendarStatus, Counts
from sync.model.conference import LISTED, Failure, FailureState
from sync.model.event import CalendarId, address_of
from sync.operate import channels
from sync.store import Listing, Versioned
from sync.store.compare_and_set import change_calendar, change_failure

_SECRET = re.compile(r"projects/[^/]+/secrets/[A-Za-z0-9_-]{1,255}")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
# https://www.rfc-editor.org/errata/eid1690
_LONGEST_ADDRESS = 320
# Calendar ids look like mail addresses; this is far more than one has.
_LONGEST_ID = 1000


def parse_id(text: str) -> CalendarId:
    """Return the calendar id of a path, decoded. Raises Invalid for what can be none."""
    odd = not text.strip() or not text.strip(".") or not text.isprintable()
    if odd or len(text) > _LONGEST_ID:
        raise Invalid(
            "this is no calendar id; give the id from the calendar's settings, percent-encoded"
        )
    return CalendarId(text)


def parse_access(body: object, domains: Collection[str] = ()) -> Access:
    """Return the access that the body of a start describes. Raises Invalid, NotAllowed.

    `domains`: those that a `subject` may have (SYNC_SUBJECT_DOMAINS). None named: any.
    """
    mend = (
        'the body must be {}, {"subject": "user@example.com"} or '
        '{"credentials_secret": "projects/P/secrets/S"}'
    )
    if not isinstance(body, Mapping) or len(body) > 1:
        raise Invalid(mend)
    if not set(body) <= {"subject", "credentials_secret"}:
        raise Invalid(mend)
    subject, secret = body.get("subject"), body.get("credentials_secret")
    # Null is no address: a script's empty variable must not change how a calendar is reached.
    if "subject" in body and not _is_address(subject):
        raise Invalid(mend)
    if "credentials_secret" in body and not (isinstance(secret, str) and _SECRET.fullmatch(secret)):
        raise Invalid(mend)
    if subject:
        check_subject(subject, domains)
    return Access(subject=subject, credentials_secret=secret)


def check_subject(subject: str, domains: Collection[str]) -> None:
    """Raise NotAllowed for a user outside `domains` (SYNC_SUBJECT_DOMAINS). None named: any."""
    if domains and address_of(subject).rpartition("@")[2] not in domains:
        raise NotAllowed(
            "the subject is of a domain that SYNC_SUBJECT_DOMAINS does not name; add the domain "
            "there, or start the calendar with another access"
        )


def _is_address(value: object) -> bool:
    if not isinstance(value, str) or not value.isprintable():
        return False
    return len(value) <= _LONGEST_ADDRESS and _ADDRESS.fullmatch(value) is not None


def start(
    services: Services, calendar_id: CalendarId, access: Access, *, keep: bool = False
) -> tuple[CalendarState, bool]:
    """Watch a calendar and sync it. Returns its state, and whether it is new. Safe to repeat (H1).

    The record is written before the channel is opened, and the first sync enqueued after: nothing
    falls between. A start that fails takes back only what it made itself (H4), unless `keep` asks
    `maintain` to try it again (A4). Raises Invalid, NotAllowed, Gone, WatchFailed, TryLater, and
    Conflict when another start came in between.
    """
    if calendar_id.lower() == "primary":
        raise Invalid(
            "primary means another calendar for each user; give the calendar's id, which is the "
            "user's address"
        )
    if not keep:
        # What is kept says why it failed, this as well.
        channels.check_id(services, calendar_id)
    now, start_id = services.clock(), uuid.uuid4().hex
    fresh = CalendarState(calendar_id=calendar_id, access=access, started_at=now, start_id=start_id)
    try:
        services.store.create_calendar(fresh)
        state, created = fresh, True
    except Conflict:
        state, created = _taken_over(services, calendar_id, start_id), False
    try:
        if _needs_channel(state, access, now):
            state = channels.open_channel(services, calendar_id, access)
    except SyncError as error:
        if not keep:
            _take_back(services, calendar_id, start_id)
        elif not isinstance(error, Conflict):
            _note(services, calendar_id, str(error))
        raise
    services.queue.enqueue_calendar(calendar_id)
    return state, created


def _taken_over(services: Services, calendar_id: CalendarId, start_id: str) -> CalendarState:
    """Return a known calendar's state. One that never got a channel belongs to this start now."""

    def mine(state: CalendarState) -> CalendarState:
        unfinished = state.status is CalendarStatus.STARTING and state.channel is None
        return replace(state, start_id=start_id) if unfinished else state

    written = change_calendar(services.store, calendar_id, mine)
    if written is None:
        raise Conflict("the calendar was stopped at this moment; start it again")
    return written.value


def _needs_channel(state: CalendarState, access: Access, now: datetime) -> bool:
    if state.access != access or state.status is CalendarStatus.BROKEN:
        return True
    return channels.due(state, now)


def _take_back(services: Services, calendar_id: CalendarId, start_id: str) -> None:
    """H4: forget a calendar that this very start made, and that nobody else has started since."""
    document = services.store.get_calendar(calendar_id)
    if document is None or document.value.start_id != start_id:
        return
    state = document.value
    if state.status is not CalendarStatus.STARTING or state.channel or state.opening:
        return
    with suppress(Conflict):
        services.store.delete_calendar(calendar_id, document.version)


def _note(services: Services, calendar_id: CalendarId, reason: str) -> None:
    """A4: say why a start has not succeeded yet. `maintain` tries it again."""
    change_calendar(
        services.store,
        calendar_id,
        lambda state: replace(state, reason=reason) if state.channel is None else state,
    )


def get(services: Services, calendar_id: CalendarId) -> CalendarState:
    """Return what is known of a calendar. Raises NotFound."""
    document = services.store.get_calendar(calendar_id)
    if document is None:
        raise NotFound("this calendar is not started; start it with PUT /calendars/{id}")
    return document.value


def replay(services: Services, calendar_id: CalendarId, *, full: bool = False) -> None:
    """Enqueue a sync of a calendar. A full one forgets the sync token first. Raises NotFound."""
    get(services, calendar_id)
    if full:
        # H4: a run that is under way sees by this that the token it will bring is not wanted.
        forgotten = uuid.uuid4().hex
        change_calendar(
            services.store,
            calendar_id,
            lambda state: replace(state, sync_token=None, checkpoint=None, forgotten=forgotten),
        )
    services.queue.enqueue_calendar(calendar_id)


def parse_status(text: str | None) -> CalendarStatus | None:
    """Return the status that `?status=` names. Raises Invalid."""
    if text is None:
        return None
    try:
        return CalendarStatus(text)
    except ValueError:
        raise Invalid(f"status must be one of {', '.join(CalendarStatus)}") from None


def parse_failure_states(text: str | None) -> tuple[FailureState, ...]:
    """Return the states that `?state=` names. Parked ones if none does. Raises Invalid."""
    if text is None:
        return (FailureState.PARKED,)
    if text == "all":
        return LISTED
    found = tuple(state for state in LISTED if state.value == text)
    if not found:
        raise Invalid(f"state must be one of {', '.join(LISTED)}, all")
    return found


def retry_failure(services: Services, failure_id: str) -> Failure:
    """Try a failure again at once, whatever its number of tries. Raises NotFound. Repeatable."""
    failure = _failure(services, failure_id).value
    event = failure.event
    now = services.clock()
    # S6: written before the task is made, which may run at once and has to know that it was asked
    # for. Without its task a failure that is due is found by `maintain`.
    written = change_failure(
        services.store,
        failure.id,
        lambda known: replace(known, state=FailureState.RETRYING, next_try=now, demanded=True),
        holds=lambda known: known.state is not FailureState.DISMISSED,
    )
    services.queue.enqueue_event(event.calendar_id, event.event_id)
    return written.value if written else replace(failure, next_try=now)


def dismiss_failure(services: Services, failure_id: str) -> None:
    """Forget a failure until its event changes. Raises NotFound."""
    failure = _failure(services, failure_id).value
    change_failure(services.store, failure.id, dismissed)


def _failure(services: Services, failure_id: str) -> Versioned[Failure]:
    found = None
    if re.fullmatch(r"[0-9a-f]{32}", failure_id):
        found = services.store.get_failure(failure_id)
    if found is None or found.value.state is FailureState.DISMISSED:
        raise NotFound("there is no such failure; it may have been dismissed, or have succeeded")
    return found


def calendar_json(state: CalendarState) -> dict[str, Any]:
    """Return a calendar as `manage_calendars` answers it."""
    access = {
        "subject": state.access.subject,
        "credentials_secret": state.access.credentials_secret,
    }
    channel, last, failing = state.channel, state.last_sync, state.failing
    return {
        "calendar_id": state.calendar_id,
        "access": {key: value for key, value in access.items() if value is not None},
        "status": state.status.value,
        "reason": state.reason,
        "channel": {
            "id": channel.id,
            "resource_id": channel.resource_id,
            "expires": rfc3339(channel.expires),
        }
        if channel
        else None,
        "last_sync": {
            "at": rfc3339(last.at),
            "kind": last.kind.value,
            **counts_json(last.counts),
        }
        if last
        else None,
        "failing": {
            "runs": failing.runs,
            "since": rfc3339(failing.since),
            "reason": failing.reason,
        }
        if failing
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
        "first": rfc3339(failure.first),
        "next_try": rfc3339(failure.next_try),
    }


def calendars_json(listing: Listing[CalendarState]) -> dict[str, Any]:
    return {
        "calendars": [calendar_json(state) for state in listing.items],
        "next_page_token": listing.next_page_token,
    }


def failures_json(listing: Listing[Versioned[Failure]]) -> dict[str, Any]:
    return {
        "failures": [failure_json(failure.value) for failure in listing.items],
        "next_page_token": listing.next_page_token,
    }


def rfc3339(moment: datetime | None) -> str | None:
    """Return a moment as the answers write it, in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None
