"""What an error of Google Calendar means, by its reason, and what a person can do about it.

https://developers.google.com/workspace/calendar/api/guides/errors
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import google.auth.exceptions
import googleapiclient.errors
import httplib2

from sync.backoff import retry_after
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

# `quotaExceeded` makes a user's calendar read-only for hours.
_QUOTA_PAUSE = timedelta(hours=3)


@contextmanager
def translated(method: str, address: str) -> Iterator[None]:
    """Turn whatever a call of Calendar raises into an error of `sync.errors`.

    `method` and `address`: as for `classify`.
    """
    try:
        yield
    except googleapiclient.errors.HttpError as error:
        after = retry_after({"Retry-After": error.resp.get("retry-after", "")}, datetime.now(UTC))
        raise classify(
            int(error.resp.status), error.content, after, method=method, address=address
        ) from error
    except google.auth.exceptions.TransportError as error:
        raise TryLater("Google's token service did not answer") from error
    except google.auth.exceptions.GoogleAuthError as error:
        raise NotAllowed(_explain(str(error))) from error
    except (
        OSError,
        http.client.HTTPException,
        httplib2.HttpLib2Error,
        ValueError,
        RecursionError,
    ) as error:
        # Time-outs and broken connections, answers cut short, success without the JSON that it
        # promised.
        raise TryLater(f"Calendar did not answer ({type(error).__name__})") from error


_OF_ONE_EVENT = frozenset({"get", "patch"})
_RATE_LIMITS = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"})
# `dailyLimitExceeded`, of a project's quota for a day, is undocumented and was seen:
# https://github.com/chimbori/google-calendar-crx/issues/539
_QUOTAS = frozenset({"quotaExceeded", "dailyLimitExceeded"})

# What to do about a refusal, by Calendar's reason. Each continues "Calendar answered 403 …; ".
_MENDS = {
    "accessNotConfigured": "enable the Calendar API (calendar-json.googleapis.com) in the project",
    "SERVICE_DISABLED": "enable the Calendar API (calendar-json.googleapis.com) in the project",
    "forbiddenForNonOrganizer": "only the organiser's copy can be changed in this way",
    "forbiddenForServiceAccounts": "start the calendar with a subject, so that we act as its user",
    "insufficientPermissions": "the access lacks the scope calendar.events; authorise that scope "
    "under domain-wide delegation, or store a refresh token that was granted it",
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": "the access lacks the scope calendar.events; authorise that "
    "scope under domain-wide delegation, or store a refresh token that was granted it",
    "notACalendarUser": "the user we act as has no Google Calendar; switch Calendar on for that "
    "user in the admin console, or start the calendar with another subject",
}
_SHARE = "share the calendar with us again, with the right to change events"
_WEBHOOK_UNAUTHORIZED = "webhookUrlUnauthorized"
_WEBHOOK_NOT_HTTPS = "webhookUrlNotHttps"


def classify(
    status: int,
    content: bytes,
    after: timedelta | None = None,
    *,
    method: str,
    address: str,
) -> SyncError:
    """Return what an error of Calendar means, by its reason rather than its status. Pure.

    `after` is what `Retry-After` asks for. Calendar was seen without it, but who sends it means it.
    `method` is what was asked: a 404 of an event is no 404 of the calendar. `address` is the
    notification address that was named to Calendar, for the mend.
    A 403 with `{"error": {"errors": [{"reason": "quotaExceeded"}]}}` is QuotaExceeded.

    https://developers.google.com/workspace/calendar/api/guides/errors
    """
    reason = _reason(content)
    said = f"Calendar answered {status} {reason}".rstrip()
    if status in (400, 401, 403) and reason.startswith("push"):
        return _refused_watch(said, reason, address)
    match status:
        case 401:
            return NotAllowed(f"{said}; check the calendar's access, then start the calendar again")
        case 403 | 429 if reason in _RATE_LIMITS or status == 429:
            return TryLater(said, after=after)
        case 403 if reason in _QUOTAS:
            return QuotaExceeded(said, after=max(_QUOTA_PAUSE, after or _QUOTA_PAUSE))
        case 403:
            return NotAllowed(f"{said}; {_MENDS.get(reason, _SHARE)}")
        case 404 | 410 if method in _OF_ONE_EVENT:
            if not _is_calendars(content):
                # A page of something on the way. No event is gone for that.
                return TryLater(f"{said} without words of its own", after=after)
            return Gone(f"{said}; this calendar has no such event, or is not shared with us")
        case 404:
            return Gone(
                f"{said}; check this calendar id, and share the calendar with us, with the right "
                "to change events, or start it with a subject who has that right"
            )
        case 410 if reason == "deleted" or method == "stop":
            return Gone(said)
        case 410:
            return SyncTokenExpired(said)
        case 412:
            return Conflict(said)
        case _ if status == 408 or status >= 500 or status < 400:
            # A redirect is no answer of Calendar's, but of something on the way.
            return TryLater(said, after=after)
        case _:
            return Invalid(said)


def _refused_watch(said: str, reason: str, address: str) -> SyncError:
    """Return why Calendar opens no channel, where it says so itself. The mend names our side."""
    if reason == "pushNotSupportedForRequestedResource":
        return NotWatchable(said)
    if reason.endswith(_WEBHOOK_UNAUTHORIZED):
        return Invalid(
            f"{said}; Calendar does not accept the notification address {address} "
            "(SYNC_NOTIFICATION_URL): verify its domain in Search Console, add it to the project's "
            "verified domains, then start the calendar again"
        )
    if reason.endswith(_WEBHOOK_NOT_HTTPS):
        return Invalid(
            f"{said}; the notification address {address} (SYNC_NOTIFICATION_URL) must begin with "
            "https"
        )
    return Invalid(said)


def _is_calendars(content: bytes) -> bool:
    """Tell whether an error's body is Calendar's own: a JSON object that has `error`."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "error" in value


_REASON = re.compile(r"[A-Za-z0-9._-]{1,60}")


def _reason(content: bytes) -> str:
    """Return the reason in an error's body: the classic list's, else the gateway's `ErrorInfo`'s.

    Anything else than a word is none: it may be shown to operators.
    """
    try:
        error = json.loads(content)["error"]
        listed = error.get("errors") or []
        details = [detail for detail in error.get("details") or [] if "reason" in detail]
        reason = (listed or details)[0]["reason"]
        return reason if _REASON.fullmatch(reason) else ""
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return ""


_EXPLANATIONS = {
    "unauthorized_client": "the Workspace administrator has not authorised this service account's "
    "numeric client id for the scope calendar.events; add it under domain-wide delegation in the "
    "admin console",
    "access_denied": "the scope calendar.events is not authorised for delegation; add it in the "
    "admin console",
    "admin_policy_enforced": "a policy of the Workspace administrator blocks the scope "
    "calendar.events",
    "invalid_grant": "the user does not exist, or has withdrawn the access; check the subject or "
    "store a new refresh token in the secret",
    "invalid_client": "the client id or the client secret is wrong; compare the secret with the "
    "OAuth client",
    "invalid_scope": "the scope calendar.events was refused; check the OAuth client",
    "disabled_client": "the OAuth client is disabled; enable it or store another in the secret",
    "deleted_client": "the OAuth client was deleted; store another in the secret",
}


def _explain(text: str) -> str:
    """Return what the operator must do about an error of Google's token service.

    The service's own text may name the user, and is left out.
    https://developers.google.com/identity/protocols/oauth2/service-account#error-codes
    """
    for code, mend in _EXPLANATIONS.items():
        if code in text:
            return f"Google refused a token ({code}): {mend}"
    return "Google refused a token; check the calendar's access"
