"""Answers the add-on: a conference for an event, or how the user's calendar is (A2-A8).

The user's ID token was checked before (A1, `google.id_tokens`). Here the request is parsed, the
calendar and the event are read as the user, and the outcome becomes the JSON that the add-on turns
into `ConferenceData`. The conference itself is made by `create`.

Apps Script waits 30 seconds for a callback. So the work is done in a thread, and the answer goes
out in time whatever the thread waits for. The thread works on, and a repetition returns what was
made.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeVar

from sync.context import WRITERS, BoundCalendar, Services
from sync.errors import (
    ConfigurationError,
    CredentialsRefused,
    Gone,
    Invalid,
    NotAllowed,
    SyncError,
    TryLater,
)
from sync.event.content import untitled
from sync.event.write_back import presentable
from sync.logs import short
from sync.model.calendar import Access, CalendarState, CalendarStatus
from sync.model.conference import EventRef, WayIn
from sync.model.event import CalendarId, EntryPoint, Event, EventId, address_of
from sync.operate import calendars, create
from sync.tracing import carried

_logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")

# A6: an answer within 25 seconds. The start of a calendar may take what is left of the last ones.
PATIENCE = timedelta(seconds=20)
_FOR_THE_START = timedelta(seconds=4)

_LARGEST_BODY = 100_000
_LONGEST_SOLUTION = 1_000
# Calendar's event ids are ASCII, without a blank. `/`, `.` and `..` lead elsewhere in its API.
_EVENT_ID = re.compile(r"(?!\.+\Z)[!-.0-~]{1,1024}")
# How the ids of calendars end that are not a person's main one, whose id is the person's address.
# https://developers.google.com/workspace/calendar/api/concepts/events-calendars
_FURTHER_CALENDAR = ".calendar.google.com"

# What Calendar takes of an add-on's conference data, in characters, or in number.
# https://developers.google.com/apps-script/reference/conference-data
_LONGEST_CONFERENCE_ID = 512
_LONGEST_LABEL = 512
_LONGEST_CODE = 128
_LONGEST_NOTES = 2_048
_MOST_ENTRY_POINTS = 300
_CODES = ("meeting_code", "access_code", "passcode", "password", "pin", "region_code")
# What a cut may leave open at the end of notes, which may be HTML.
_CUT_OPEN = re.compile(r"(?:<[^>]*|&[^;\s]{0,10})\Z")


class ErrorType(StrEnum):
    """Words of Apps Script's ConferenceErrorType. A refused token is the fifth, and a bare 401.

    https://developers.google.com/apps-script/reference/conference-data/conference-error-type
    """

    PERMISSION_DENIED = "PERMISSION_DENIED"
    CONFERENCE_SOLUTION_FORBIDDEN = "CONFERENCE_SOLUTION_FORBIDDEN"
    PERMANENT = "PERMANENT"
    TEMPORARY = "TEMPORARY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP status and the JSON object of the body."""

    status: int
    value: dict[str, Any]


class Refused(SyncError):  # noqa: N818 - says what happened, as those in sync.errors
    """What the person asked for cannot be had. The text is a sentence for that person."""

    def __init__(self, status: int, kind: ErrorType, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a request asks for. Without an event: how the user's calendar is (A8)."""

    calendar_id: CalendarId
    event_id: EventId | None = None
    solution: str = ""

    @classmethod
    def from_body(cls, body: bytes) -> Wish:
        """Parse a request's body. Raises Refused (400).

        `{"calendar_id": "anna@example.com"}` is a wish without an event.
        """
        if len(body) > _LARGEST_BODY:
            raise _malformed(f"the body has more than {_LARGEST_BODY} bytes")
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise _malformed("the body is not a JSON object")
        calendar_id = _calendar_id(value.get("calendar_id"))
        if "event_id" not in value and "solution" not in value:
            return cls(calendar_id=calendar_id)
        event_id, solution = value.get("event_id"), value.get("solution")
        if not isinstance(event_id, str) or not _EVENT_ID.fullmatch(event_id):
            raise _malformed("event_id is missing or malformed")
        if not isinstance(solution, str) or not 0 < len(solution) <= _LONGEST_SOLUTION:
            raise _malformed("solution is missing or malformed")
        return cls(calendar_id=calendar_id, event_id=EventId(event_id), solution=solution)


def _calendar_id(value: object) -> CalendarId:
    if not isinstance(value, str) or re.search(r"\s", value) or value.lower() == "primary":
        raise _malformed("calendar_id is missing or malformed")
    try:
        return calendars.parse_id(value)
    except Invalid:
        raise _malformed("calendar_id is missing or malformed") from None


def _malformed(why: str) -> Refused:
    return Refused(
        400,
        ErrorType.PERMANENT,
        f"The add-on sent a request that cannot be understood: {why}.",
    )


def answer(
    services_of: Callable[[], Services], user: str, body: bytes, patience: timedelta = PATIENCE
) -> Answer:
    """Answer one request of a user whose token is good. Raises nothing. Safe to repeat.

    `services_of` makes the services, which may fail. `user` is the address in the token, in small
    letters.
    """
    began = time.monotonic()
    facts: dict[str, Any] = {"provider": None}
    try:
        wish = Wish.from_body(body)
        if address_of(wish.calendar_id) == user:
            # One calendar has one state, however its address is written.
            wish = replace(wish, calendar_id=CalendarId(user))
        services = services_of()
        _check_domain(services, user)
        desk = _Desk(services=services, user=user, wish=wish, began=began, patience=patience)
        facts = desk.facts
        return Answer(status=200, value=desk.serve())
    except Exception as error:
        _log_failure(error, facts)
        return _refusal(error)


def unavailable(error: TryLater) -> Answer:
    """Return the answer to a request whose token cannot be checked at this moment."""
    _log_failure(error, {"provider": None})
    return _refusal(error)


def malformed(error: Invalid) -> Answer:
    """Return the answer to a request that could not be read."""
    return _refusal(_malformed(str(error)))


def _check_domain(services: Services, user: str) -> None:
    """`SYNC_SUBJECT_DOMAINS` holds here as well: without it we may act as nobody's user."""
    try:
        calendars.check_subject(user, services.settings.subject_domains)
    except NotAllowed:
        raise Refused(
            403,
            ErrorType.PERMISSION_DENIED,
            "Conferences are not set up for your domain; ask your administrator.",
        ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    """One request under way. `began` is a moment of `time.monotonic`."""

    services: Services
    user: str
    wish: Wish
    began: float
    patience: timedelta

    def serve(self) -> dict[str, Any]:
        """Return the answer's JSON, in time. Raises SyncError."""
        pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="addon")
        try:
            if self.wish.event_id is None:
                return self._in_time(pool, self._status)
            order = self._order(self.wish.event_id)
            given = self._in_time(pool, lambda: self._given(order))
            self._start(pool)
        finally:
            # What does not end in time is not waited for.
            pool.shutdown(wait=False)
        shown = _shown(order.solution, given.way_in)
        self._log_success(given)
        return shown

    def _in_time(self, pool: ThreadPoolExecutor, work: Callable[[], _Result]) -> _Result:
        try:
            return pool.submit(carried(work)).result(self._seconds_left())
        except TookTooLong:
            raise TryLater("the work was not done in time; it goes on") from None

    def _seconds_left(self) -> float:
        return max(0.0, self.began + self.patience.total_seconds() - time.monotonic())

    def _order(self, event_id: EventId) -> create.Order:
        """A7: the provider whose entry has this solution, word for word."""
        solution = self.wish.solution
        for rules in self.services.rules.providers:
            if solution in rules.solutions:
                return create.Order(
                    event=EventRef(calendar_id=self.wish.calendar_id, event_id=event_id),
                    solution=solution,
                    provider=rules.name,
                    user=self.user,
                )
        raise Refused(
            403,
            ErrorType.CONFERENCE_SOLUTION_FORBIDDEN,
            "This kind of conference is not offered here; choose another, or ask your "
            "administrator.",
        )

    def _given(self, order: create.Order) -> create.Given:
        """A1: see the calendar and the event as the user, side by side. Then the conference."""
        calendar = self._as_user()
        with ThreadPoolExecutor(max_workers=2) as pool:
            role = pool.submit(carried(self._role), calendar)
            event = pool.submit(carried(_event_of), calendar, order.event.event_id)
            if role.result() not in (*WRITERS, None):
                raise _no_right()
        known = event.result()
        order = replace(order, ical_uid=known.ical_uid if known else None)
        give_up = time.monotonic() + self._seconds_left()
        try:
            return create.conference_for(self.services, order, known, give_up=give_up)
        except SyncError as error:
            # It is logged, and the system's own words in it may repeat what the event is called.
            error.args = (untitled(str(error), known.title if known else ""),)
            raise

    def _as_user(self) -> BoundCalendar:
        return self.services.calendars.bind(self.wish.calendar_id, self._access)

    @property
    def _access(self) -> Access:
        return Access(subject=self.user)

    def _role(self, calendar: BoundCalendar) -> str | None:
        """Return what the user may do in the calendar, None where Calendar does not say."""
        try:
            return calendar.access_role()
        except Gone:
            raise _no_right() from None
        except NotAllowed as error:
            raise _not_as_user() from error
        except Invalid:
            raise _malformed("calendar_id is missing or malformed") from None

    def _start(self, pool: ThreadPoolExecutor) -> None:
        """A4: start the calendar if it is not. The conference is there whatever comes of that."""
        seconds = self._seconds_left() + _FOR_THE_START.total_seconds()
        try:
            pool.submit(carried(self._started)).result(seconds)
        except (SyncError, TookTooLong) as error:
            self._log_no_start(error)

    def _started(self) -> CalendarState:
        """Return the calendar's state, started by now unless that failed.

        A calendar that is started already stays as it is, whatever its access. One that is broken
        is started anew if its access is this very user's, who can open the calendar again. Of a
        start that fails the reason is kept, and `maintain` tries again.
        """
        services, calendar_id = self.services, self.wish.calendar_id
        document = services.store.get_calendar(calendar_id)
        if document is not None and not _to_be_started(document.value, self._access):
            return document.value
        try:
            return calendars.start(services, calendar_id, self._access, keep=True)[0]
        except SyncError as error:
            document = services.store.get_calendar(calendar_id)
            if document is None:
                raise
            self._log_no_start(error)
            return document.value

    def _status(self) -> dict[str, Any]:
        """A8: start the user's own calendar if it is not started, and say how it is."""
        calendar_id = self.wish.calendar_id
        if not self._is_own():
            raise Refused(
                403, ErrorType.PERMISSION_DENIED, "This calendar is not yours; name your own."
            )
        state = self._started()
        return {
            "calendar_id": calendar_id,
            "status": state.status.value,
            "reason": state.reason,
        }

    def _is_own(self) -> bool:
        """Tell whether the calendar is the user's main one, or a further one that they own.

        An address is its holder's main calendar. Somebody else may be one of its owners, as an
        assistant is, and yet it is not theirs.
        """
        calendar_id = self.wish.calendar_id
        if calendar_id == self.user:
            return True
        return calendar_id.endswith(_FURTHER_CALENDAR) and self._role(self._as_user()) == "owner"

    def _log_success(self, given: create.Given) -> None:
        _logger.info(
            "conference created for the add-on",
            extra={
                **self.facts,
                "outcome": "created" if given.created else "returned",
                "seconds": round(time.monotonic() - self.began, 3),
            },
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What the log is told of this request."""
        wish = self.wish
        offers = (each for each in self.services.rules.providers if wish.solution in each.solutions)
        return {
            "provider": next((each.name for each in offers), None),
            "calendar": short(wish.calendar_id),
            "event": short(wish.event_id) if wish.event_id else None,
        }

    def _log_no_start(self, error: Exception) -> None:
        _logger.warning(
            "calendar not started for the add-on, tried again by maintain",
            extra={**self.facts, "error": type(error).__name__, "reason": str(error)},
        )


def _event_of(calendar: BoundCalendar, event_id: EventId) -> Event | None:
    """Return the event as it stands. None while it is a draft (A2). Raises Refused."""
    try:
        event = calendar.get_event(event_id).event
    except Gone:
        return None
    except NotAllowed as error:
        raise _not_as_user() from error
    except Invalid:
        raise _malformed("event_id is missing or malformed") from None
    if event is not None and event.cancelled:
        raise Refused(
            422,
            ErrorType.PERMANENT,
            "This event was deleted; add the conference to another event.",
        )
    return event


def _no_right() -> Refused:
    return Refused(
        403,
        ErrorType.PERMISSION_DENIED,
        "You may not change events in this calendar; choose another calendar, or ask its owner.",
    )


def _not_as_user() -> Refused:
    """Calendar does not let us act as this user, who may be outside our delegation."""
    return Refused(
        403,
        ErrorType.PERMISSION_DENIED,
        "This calendar cannot be opened on your behalf; choose another calendar, or ask your "
        "administrator.",
    )


def _to_be_started(state: CalendarState, access: Access) -> bool:
    """A start that failed, or was killed, or a calendar that broke, and is ours to begin again."""
    unfinished = state.status is CalendarStatus.STARTING and state.channel is None
    broken = state.status is CalendarStatus.BROKEN
    return (unfinished or broken) and state.opening is None and state.access == access


def _log_failure(error: Exception, facts: dict[str, Any]) -> None:
    """What the person can mend is logged as information, all else as a failure of ours."""
    cause = error.__cause__ if isinstance(error, Refused) else error
    if cause is None:
        _logger.info("add-on request refused", extra={**facts, "reason": str(error)})
        return
    expected = isinstance(cause, SyncError)
    reason = str(cause) if expected else "our own mistake, please report it"
    extra = {**facts, "error": type(cause).__name__, "reason": reason}
    if isinstance(cause, TryLater):
        _logger.warning("add-on creation failed", extra=extra)
    else:
        bug = None if expected else cause
        _logger.error("add-on creation failed", extra=extra, exc_info=bug)


def _refusal(error: Exception) -> Answer:
    """Return what the person is told. No provider's own words, no id, and no link are in that."""
    match error:
        case Refused():
            return _told(error.status, error.kind, str(error))
        case CredentialsRefused() | ConfigurationError():
            sentence = "The conferencing system cannot be reached; try again later."
            return _told(503, ErrorType.TEMPORARY, sentence)
        case NotAllowed() | Invalid() | Gone():
            sentence = (
                "The conferencing system did not make a conference for this event; ask your "
                "administrator whether your account may have one."
            )
            return _told(422, ErrorType.PERMANENT, sentence)
        case _:
            sentence = "The conference could not be made at this moment; try again."
            return _told(503, ErrorType.TEMPORARY, sentence)


def _told(status: int, kind: ErrorType, sentence: str) -> Answer:
    return Answer(status=status, value={"error": {"type": kind.value, "message": sentence}})


def _shown(solution: str, way_in: WayIn) -> dict[str, Any]:
    """Return a conference as the add-on is told of it, within what Calendar takes (A6).

    An id, a link or a code that is too long is never cut: it would lead nowhere. Raises Invalid
    for a conference that Calendar could not show at all.
    """
    points = presentable(way_in.entry_points)[:_MOST_ENTRY_POINTS]
    if len(way_in.conference_id) > _LONGEST_CONFERENCE_ID:
        raise Invalid(f"Calendar takes an id of at most {_LONGEST_CONFERENCE_ID} characters")
    if not points:
        raise Invalid("the provider named no way into its conference that Calendar can show")
    return {
        "conference_id": way_in.conference_id,
        "solution": solution,
        "entry_points": [_entry_point(point) for point in points],
        "notes": _cut(way_in.notes or "", _LONGEST_NOTES),
        "parameters": {},
    }


def _entry_point(point: EntryPoint) -> dict[str, str]:
    shown = {"type": point.kind, "uri": point.uri}
    if point.label:
        shown["label"] = point.label[:_LONGEST_LABEL]
    codes = {name: getattr(point, name) for name in _CODES}
    shown.update(
        {name: code for name, code in codes.items() if code and len(code) <= _LONGEST_CODE}
    )
    return shown


def _cut(text: str, length: int) -> str:
    """Return the beginning of a text that may be HTML, without half a tag at its end."""
    return text if len(text) <= length else _CUT_OPEN.sub("", text[:length])
