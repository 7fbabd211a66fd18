"""Google's error answers: one table of reasons, two shapes of body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One documented or observed refusal. `location` is the parameter or header it blames."""

    status: int
    message: str
    domain: str = "global"
    location_type: str | None = None
    location: str | None = None


# Sources: Google's page "Handle API errors", and what users of the API reported where that page is
# silent.
REASONS: dict[str, Reason] = {
    "badRequest": Reason(status=400, message="Bad Request"),
    "invalid": Reason(status=400, message="Invalid Value"),
    "invalidParameter": Reason(status=400, message="Invalid parameter value."),
    "required": Reason(status=400, message="Required"),
    "parseError": Reason(status=400, message="Parse Error"),
    "timeRangeEmpty": Reason(
        status=400,
        domain="calendar",
        message="The specified time range is empty.",
        location_type="parameter",
        location="timeMax",
    ),
    "syncTokenWithRequestRestrictions": Reason(
        status=400,
        domain="calendar",
        message="Sync token cannot be used with other request restrictions.",
        location_type="parameter",
        location="syncToken",
    ),
    "channelIdNotUnique": Reason(status=400, message="Channel id not unique"),
    "push.webhookUrlNotHttps": Reason(status=400, message="WebHook callback must be HTTPS."),
    "push.webhookUrlUnauthorized": Reason(
        status=401, message="Unauthorized WebHook callback channel."
    ),
    "pushNotSupportedForRequestedResource": Reason(
        status=400,
        domain="calendar",
        message="Push notifications are not supported by this resource.",
    ),
    "eventTypeRestriction": Reason(
        status=400,
        domain="calendar",
        message="This operation is not possible for events of this type.",
    ),
    "cannotChangeOrganizerOfInstance": Reason(
        status=400, domain="calendar", message="Cannot change the organizer of an instance."
    ),
    "authError": Reason(
        status=401, message="Invalid Credentials", location_type="header", location="Authorization"
    ),
    "userRateLimitExceeded": Reason(
        status=403, domain="usageLimits", message="User Rate Limit Exceeded"
    ),
    "rateLimitExceeded": Reason(status=403, domain="usageLimits", message="Rate Limit Exceeded"),
    "quotaExceeded": Reason(
        status=403, domain="usageLimits", message="Calendar usage limits exceeded."
    ),
    "accessNotConfigured": Reason(
        status=403,
        domain="usageLimits",
        message="Access Not Configured. The API is not enabled for your project.",
    ),
    "forbiddenForNonOrganizer": Reason(
        status=403,
        domain="calendar",
        message="Shared properties can only be changed by the organizer of the event.",
    ),
    "requiredAccessLevel": Reason(
        status=403, domain="calendar", message="You need to have writer access to this calendar."
    ),
    "forbiddenForServiceAccounts": Reason(
        status=403,
        domain="calendar",
        message="Service accounts cannot invite attendees without Domain-Wide Delegation of "
        "Authority.",
    ),
    "notACalendarUser": Reason(
        status=403, domain="calendar", message="The user must be signed up for Google Calendar."
    ),
    "forbidden": Reason(status=403, message="Forbidden"),
    "insufficientPermissions": Reason(
        status=403,
        message="Insufficient Permission: Request had insufficient authentication scopes.",
    ),
    "notFound": Reason(status=404, message="Not Found"),
    "duplicate": Reason(status=409, message="The requested identifier already exists."),
    "conflict": Reason(status=409, message="Conflict"),
    "fullSyncRequired": Reason(
        status=410,
        domain="calendar",
        message="Sync token is no longer valid, a full sync is required.",
        location_type="parameter",
        location="syncToken",
    ),
    "updatedMinTooLongAgo": Reason(
        status=410,
        domain="calendar",
        message="The requested minimum modification time lies too far in the past.",
        location_type="parameter",
        location="updatedMin",
    ),
    "deleted": Reason(status=410, message="Resource has been deleted"),
    "conditionNotMet": Reason(
        status=412, message="Precondition Failed", location_type="header", location="If-Match"
    ),
    "backendError": Reason(status=500, message="Backend Error"),
    # The reason text of these three is not documented; only the status is to be relied on.
    "badGateway": Reason(status=502, message="Bad Gateway"),
    "serviceUnavailable": Reason(status=503, message="Service Unavailable"),
    "gatewayTimeout": Reason(status=504, message="Gateway Timeout"),
    "notImplemented": Reason(status=501, message="The sandbox does not imitate this method."),
}

# google.rpc names of the statuses that the shared gateway answers.
_RPC_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    429: "RESOURCE_EXHAUSTED",
}


class ApiError(Exception):
    """A refusal that the API answers with `reason`'s status and body."""

    def __init__(
        self, reason: str, message: str | None = None, *, location: str | None = None
    ) -> None:
        super().__init__(message or reason)
        self.reason = reason
        self.message = message
        self.location = location

    @property
    def status(self) -> int:
        return REASONS[self.reason].status

    @property
    def body(self) -> Json:
        return classic_body(self.reason, message=self.message, location=self.location)


def classic_body(
    reason: str,
    *,
    status: int | None = None,
    message: str | None = None,
    location: str | None = None,
) -> Json:
    """The shape of the Calendar API's own errors. `location` names a query parameter."""
    known = REASONS[reason]
    text = message or known.message
    item: Json = {"domain": known.domain, "reason": reason, "message": text}
    if location is not None:
        item |= {"locationType": "parameter", "location": location}
    elif known.location is not None:
        item |= {"locationType": known.location_type, "location": known.location}
    return {"error": {"errors": [item], "code": status or known.status, "message": text}}


def gateway_body(
    reason: str, *, status: int | None = None, message: str | None = None, project: str = ""
) -> Json:
    """The shape of quota refusals from the gateway in front of all Google APIs."""
    known = REASONS[reason]
    code = status or known.status
    text = message or (
        "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user' of "
        f"service 'calendar-json.googleapis.com' for consumer 'project_number:{project}'."
    )
    return {
        "error": {
            "code": code,
            "message": text,
            "errors": [{"message": text, "domain": known.domain, "reason": reason}],
            "status": _RPC_STATUS.get(code, "UNKNOWN"),
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "RATE_LIMIT_EXCEEDED",
                    "domain": "googleapis.com",
                    "metadata": {
                        "consumer": f"projects/{project}",
                        "service": "calendar-json.googleapis.com",
                        "quota_metric": "calendar-json.googleapis.com/default",
                        "quota_limit": "defaultPerMinutePerUser",
                        "quota_limit_value": "600",
                        "quota_location": "global",
                    },
                },
                {
                    "@type": "type.googleapis.com/google.rpc.Help",
                    "links": [
                        {
                            "description": "Request a higher quota limit.",
                            "url": "https://cloud.google.com/docs/quotas/help/request_increase",
                        }
                    ],
                },
            ],
        }
    }
