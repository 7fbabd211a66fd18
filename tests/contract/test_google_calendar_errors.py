"""W3: what each error of Calendar means, in whatever shape it comes."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.google_calendar import GoogleCalendar
from sandbox.google_calendar.errors import classic_body, gateway_body
from sandbox.servers import free_port
from sync.errors import (
    Conflict,
    Gone,
    Invalid,
    NotAllowed,
    NotWatchable,
    QuotaExceeded,
    SyncError,
    SyncTokenExpired,
    TryLater,
)
from sync.google.calendar import Calendar
from sync.google.calendar_errors import classify
from sync.model.calendar import Channel
from sync.model.event import CalendarId, Etag
from tests.support.calendar_client import NOBODY, Json, open_channel, pages, raw, seed

SAME = (classic_body, gateway_body)


def meaning(status: int, content: bytes) -> SyncError:
    """What an answer to a listing means."""
    return classify(status, content, method="list", address="")


REASONS: dict[str, tuple[str, int | None, type[SyncError]]] = {
    "W3-timeRangeEmpty": ("timeRangeEmpty", None, Invalid),
    "W3-invalid": ("invalid", None, Invalid),
    "W3-syncTokenWithRequestRestrictions": ("syncTokenWithRequestRestrictions", None, Invalid),
    "W3-channelIdNotUnique": ("channelIdNotUnique", None, Invalid),
    "W3-pushNotSupported": ("pushNotSupportedForRequestedResource", None, NotWatchable),
    "W3-eventTypeRestriction": ("eventTypeRestriction", None, Invalid),
    "W3-authError": ("authError", None, NotAllowed),
    "W3-userRateLimitExceeded": ("userRateLimitExceeded", None, TryLater),
    "W3-rateLimitExceeded-403": ("rateLimitExceeded", 403, TryLater),
    "W3-rateLimitExceeded-429": ("rateLimitExceeded", 429, TryLater),
    "W3-quotaExceeded": ("quotaExceeded", None, QuotaExceeded),
    "W3-forbiddenForNonOrganizer": ("forbiddenForNonOrganizer", None, NotAllowed),
    "W3-requiredAccessLevel": ("requiredAccessLevel", None, NotAllowed),
    "W3-forbiddenForServiceAccounts": ("forbiddenForServiceAccounts", None, NotAllowed),
    "W3-notACalendarUser": ("notACalendarUser", None, NotAllowed),
    "W3-accessNotConfigured": ("accessNotConfigured", None, NotAllowed),
    "W3-forbidden": ("forbidden", None, NotAllowed),
    "W3-insufficientPermissions": ("insufficientPermissions", None, NotAllowed),
    "W3-notFound": ("notFound", None, Gone),
    "W3-duplicate": ("duplicate", None, Invalid),
    "W3-fullSyncRequired": ("fullSyncRequired", None, SyncTokenExpired),
    "W3-updatedMinTooLongAgo": ("updatedMinTooLongAgo", None, SyncTokenExpired),
    "W3-deleted": ("deleted", None, Gone),
    "W3-conditionNotMet": ("conditionNotMet", None, Conflict),
    "W3-backendError": ("backendError", None, TryLater),
    "W3-502": ("badGateway", None, TryLater),
    "W3-503": ("serviceUnavailable", None, TryLater),
    "W3-504": ("gatewayTimeout", None, TryLater),
}


@pytest.mark.parametrize("shape", SAME, ids=["classic", "gateway"])
@pytest.mark.parametrize(
    ("reason", "status", "expected"), list(REASONS.values()), ids=list(REASONS)
)
def test_w3_errors_go_by_reason_in_both_shapes_of_body(
    reason: str, status: int | None, expected: type[SyncError], shape: Any
) -> None:
    """The same reason means the same, whichever of Google's servers answered."""
    answer = shape(reason, status=status)
    error = meaning(answer["error"]["code"], json.dumps(answer).encode())
    assert type(error) is expected
    assert reason in str(error)
    if isinstance(error, TryLater):
        assert error.after == (timedelta(hours=3) if reason == "quotaExceeded" else None)


def test_w3_the_quota_of_a_day_is_waited_for_and_breaks_nothing() -> None:
    """What Calendar was seen to say when a project's own quota is used up."""
    content = b'{"error": {"errors": [{"domain": "usageLimits", "reason": "dailyLimitExceeded"}]}}'
    error = meaning(403, content)
    assert isinstance(error, TryLater)
    assert error.after == timedelta(hours=3)


def test_w3_a_rate_limit_that_only_the_gateway_s_details_tell() -> None:
    """A body without the classic list is read by its ErrorInfo."""
    answer = gateway_body("rateLimitExceeded", status=403)
    del answer["error"]["errors"]
    assert isinstance(meaning(403, json.dumps(answer).encode()), TryLater)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, Invalid),
        (401, NotAllowed),
        (403, NotAllowed),
        (404, Gone),
        (408, TryLater),
        (409, Invalid),
        (410, SyncTokenExpired),
        (412, Conflict),
        (429, TryLater),
        (500, TryLater),
        (502, TryLater),
        (503, TryLater),
        (504, TryLater),
    ],
)
@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"{}", b"[]", b'{"error": "text"}', b'{"error": {"errors": [5]}}']
)
def test_w3_without_a_reason_the_status_decides(
    status: int, expected: type[SyncError], content: bytes
) -> None:
    """A proxy's page or an empty body is no crash."""
    assert type(meaning(status, content)) is expected


_JSON = st.recursive(
    st.none() | st.text(max_size=5) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "errors", "details", "reason", "code"]), inner, max_size=4
        )
    ),
)


MENDS: dict[str, tuple[str, int, str, type[SyncError], str]] = {
    "W3-the-webhook-is-not-verified": (
        "watch",
        401,
        "push.webhookUrlUnauthorized",
        Invalid,
        r"https://n\.example\.com/.*SYNC_NOTIFICATION_URL.*verify its domain",
    ),
    "W3-the-webhook-is-not-https": (
        "watch",
        400,
        "push.webhookUrlNotHttps",
        Invalid,
        r"SYNC_NOTIFICATION_URL.*https",
    ),
    "W3-no-calendar": ("list", 403, "notACalendarUser", NotAllowed, "no Google Calendar.*subject"),
    "W3-no-scope": ("list", 403, "insufficientPermissions", NotAllowed, "scope calendar.events"),
    "W3-no-scope-the-gateway-s-word": (
        "list",
        403,
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        NotAllowed,
        "scope calendar.events",
    ),
    "W3-api-disabled": ("list", 403, "SERVICE_DISABLED", NotAllowed, "enable the Calendar API"),
    "W3-reader": ("patch", 403, "requiredAccessLevel", NotAllowed, "right to change events"),
    "W3-another-refusal": ("list", 403, "neverSeen", NotAllowed, "share the calendar with us"),
    "W3-no-such-calendar": ("watch", 404, "notFound", Gone, "this calendar id, and share"),
    "W3-no-such-event": ("get", 404, "notFound", Gone, "no such event"),
    "W3-event-is-over": ("patch", 410, "", Gone, "no such event"),
}


@pytest.mark.parametrize(
    ("method", "status", "reason", "expected", "says"), list(MENDS.values()), ids=list(MENDS)
)
def test_w3_a_refusal_names_its_own_mend(
    method: str, status: int, reason: str, expected: type[SyncError], says: str
) -> None:
    """The operator reads what to do about this refusal, not about another one."""
    content = json.dumps({"error": {"errors": [{"reason": reason}]}}).encode()
    error = classify(status, content, method=method, address="https://n.example.com/")
    assert type(error) is expected
    assert re.search(says, str(error))


@pytest.mark.parametrize("reason", ["anna@example.com", "Anna's party", "x" * 100, 5, None, {}])
def test_w3_a_reason_that_is_no_word_is_not_shown(reason: object) -> None:
    """Texts of others may name people; an error's text is logged and shown to operators."""
    content = json.dumps({"error": {"errors": [{"reason": reason}]}}).encode()
    said = str(meaning(403, content))
    assert said.startswith("Calendar answered 403; ")


def test_w3_no_error_names_the_calendar(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """A calendar's id is usually somebody's address."""
    for status in (403, 404):
        stand_in.withdraw_access(anna, status=status)
        with pytest.raises((NotAllowed, Gone)) as caught:
            pages(calendar, anna)
        assert "anna" not in str(caught.value)


@pytest.mark.parametrize("asked", ["5", "1764154800000", "1e400", "nan", "-1", "never"])
def test_w3_a_wait_that_is_asked_for_is_bounded(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId, asked: str
) -> None:
    """`Retry-After` is obeyed, a day of it at most, and whatever it says is no crash."""
    stand_in.faults.add(status=503, headers={"Retry-After": asked}, body="", times=4)
    with pytest.raises(TryLater) as caught:
        open_channel(calendar, anna)
    assert (caught.value.after or timedelta()) <= timedelta(days=1)
    stand_in.faults.clear()


@given(status=st.integers(300, 599), value=_JSON)
def test_w3_no_error_is_a_crash(status: int, value: Any) -> None:
    """Any JSON in the body of any error means something."""
    assert isinstance(meaning(status, json.dumps(value).encode()), SyncError)


def test_w3_errors_are_translated_on_the_wire(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """What the library raises is never seen above; a read is repeated a little, and then told."""
    stand_in.fail_next("rateLimitExceeded", shape="gateway")
    assert pages(calendar, anna)
    stand_in.fail_next("quotaExceeded", times=None)
    with pytest.raises(TryLater) as caught:
        pages(calendar, anna)
    assert caught.value.after == timedelta(hours=3)
    stand_in.faults.clear()
    stand_in.withdraw_access(anna, status=403)
    with pytest.raises(NotAllowed, match="share the calendar with us again"):
        pages(calendar, anna)
    stand_in.withdraw_access(anna, status=404)
    with pytest.raises(Gone):
        pages(calendar, anna)


def test_w3_reading_only_is_not_allowed_to_write(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId
) -> None:
    """A calendar shared for reading refuses the write, and says which right is missing."""
    event = seed(stand_in, anna)
    stand_in.grant_access(anna, role="reader")
    etag = calendar.bind(anna, NOBODY).get_event(event).version
    with pytest.raises(NotAllowed, match="requiredAccessLevel"):
        calendar.bind(anna, NOBODY).patch_event(event, {"location": "x"}, Etag(etag))


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"status": 200, "body": "<html>"}, id="html"),
        pytest.param({"status": 200, "body": "[]"}, id="list"),
        pytest.param({"status": 200, "body": ""}, id="empty"),
        pytest.param({"truncate": True}, id="truncated"),
    ],
)
def test_success_without_its_json_is_tried_later(
    calendar: Calendar, stand_in: GoogleCalendar, anna: CalendarId, fault: Json
) -> None:
    """An answer that was cut short or came from somebody else tells nothing."""
    event = seed(stand_in, anna)
    before = raw(stand_in, anna, event)
    stand_in.faults.add(method="PATCH", **fault)
    with pytest.raises(TryLater):
        calendar.bind(anna, NOBODY).patch_event(event, {"location": "x"}, Etag(before["etag"]))


def test_a_calendar_out_of_reach_is_tried_later() -> None:
    """Nobody listens there."""
    calendar = Calendar(None, emulator=f"127.0.0.1:{free_port()}")
    with pytest.raises(TryLater):
        calendar.stop_channel(Channel(id="c", resource_id="r"))
    calendar.close()
