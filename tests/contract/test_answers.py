"""C3, W3: each answer of another system becomes one error, whose text the operator reads."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta, timezone
from typing import Any

import google.auth.exceptions
import googleapiclient.errors
import httplib2
import pytest

from sync.conferencing import rest, teams, webex, zoom
from sync.conferencing.api import Classify
from sync.conferencing.http import Answer
from sync.conferencing.tokens import classify_grant
from sync.errors import (
    Conflict,
    CredentialsRefused,
    Gone,
    Invalid,
    NotAllowed,
    NotWatchable,
    QuotaExceeded,
    SyncError,
    SyncTokenExpired,
    TryLater,
)
from sync.google import calendar_errors
from tests.support.providers import NOW

SECRET = "projects/p/secrets/s"


def classify_token(answer: Answer, provider: str, now: Any) -> SyncError | None:
    return classify_grant(answer, provider, SECRET, now)


CLASSIFY: dict[str, Classify] = {
    "rest": rest.classify,
    "zoom": zoom.classify,
    "webex": webex.classify,
    "teams": teams.classify,
    "token": classify_token,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer, whose body is a text or what is written as JSON, and the error it means."""

    status: int
    body: Any = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    means: SyncError | None


def same(found: SyncError | None, expected: SyncError | None) -> bool:
    """Whether two errors are of the same kind, text and details."""
    if found is None or expected is None:
        return found is expected
    return (type(found), str(found), vars(found)) == (
        type(expected),
        str(expected),
        vars(expected),
    )


def data_of(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


PROXY = "without words of its own, as a proxy does; if that stays, check base_url in SYNC_PROVIDERS"
TOKEN = "it refuses our token; check the app and its secret"
REDIRECT = "a redirect; check base_url in SYNC_PROVIDERS"


# As HTTP writes a moment: a minute after `NOW`.
IN_A_MINUTE = "Fri, 01 May 2026 12:01:20 GMT"


def for_all(provider: str) -> dict[str, Said]:
    """What a status means that means the same everywhere."""
    return {
        f"C3-{provider}-199": Said(status=199, means=Invalid(f"{provider} answered 199")),
        f"C3-{provider}-200": Said(status=200, means=None),
        f"C3-{provider}-299": Said(status=299, means=None),
        f"C3-{provider}-300": Said(
            status=300, means=Invalid(f"{provider} answered 300, {REDIRECT}")
        ),
        f"C3-{provider}-399": Said(
            status=399, means=Invalid(f"{provider} answered 399, {REDIRECT}")
        ),
        f"C3-{provider}-400": Said(status=400, means=Invalid(f"{provider} answered 400")),
        f"C3-{provider}-401": Said(
            status=401,
            means=CredentialsRefused(f"{provider} answered 401: {TOKEN}", provider=provider),
        ),
        f"C3-{provider}-408": Said(
            status=408, means=TryLater(f"{provider} answered 408", outcome_unknown=True)
        ),
        **{
            f"C3-{provider}-{status}": Said(
                status=status,
                headers={"Retry-After": "30"},
                means=TryLater(f"{provider} answered {status}", after=timedelta(seconds=30)),
            )
            for status in (423, 425)
        },
        f"C3-{provider}-429": Said(
            status=429,
            headers={"Retry-After": "30"},
            means=TryLater(f"{provider} answered 429", after=timedelta(seconds=30), everybody=True),
        ),
        f"C3-{provider}-499": Said(status=499, means=Invalid(f"{provider} answered 499")),
        **{
            f"C3-{provider}-{status}": Said(
                status=status,
                headers={"Retry-After": "30"},
                means=TryLater(
                    f"{provider} answered {status}",
                    after=timedelta(seconds=30),
                    outcome_unknown=True,
                ),
            )
            for status in (500, 599)
        },
        f"C3-{provider}-503-until-a-moment": Said(
            status=503,
            headers={"Retry-After": IN_A_MINUTE},
            means=TryLater(
                f"{provider} answered 503", after=timedelta(minutes=1), outcome_unknown=True
            ),
        ),
        f"C3-{provider}-429-until-a-moment": Said(
            status=429,
            headers={"Retry-After": IN_A_MINUTE},
            means=TryLater(f"{provider} answered 429", after=timedelta(minutes=1), everybody=True),
        ),
        **{
            f"C3-{provider}-{status}-of-a-proxy": Said(
                status=status,
                body="<html>",
                means=TryLater(f"{provider} answered {status} {PROXY}"),
            )
            for status in (404, 410)
        },
    }


MIDNIGHT = timedelta(hours=12, seconds=40)
ZOOM: dict[str, Said] = {
    "C3-zoom-a-scope-is-missing-by-code": Said(
        status=400,
        body={"code": 4711, "message": "Ask a@example.com."},
        means=CredentialsRefused(
            "zoom answered 400 with code 4711: a scope is missing; add it to the app: Ask …",
            provider="zoom",
        ),
    ),
    "C3-zoom-a-scope-is-missing-by-words": Said(
        status=400,
        body={"message": "The token does not contain scopes:[x]"},
        means=CredentialsRefused(
            "zoom answered 400: a scope is missing; add it to the app: "
            "The token does not contain scopes:[x]",
            provider="zoom",
        ),
    ),
    "C3-zoom-the-fields-are-named": Said(
        status=400,
        body={
            "code": 300,
            "message": "Validation failed.",
            "errors": [{"field": "topic"}, {"message": "of no field"}, {"field": "agenda"}],
        },
        means=Invalid("zoom answered 400 with code 300: Validation failed. (topic, agenda)"),
    ),
    "C3-zoom-a-404-of-a-meeting": Said(
        status=404, body={"code": 3001}, means=Gone("zoom answered 404 with code 3001")
    ),
    "C3-zoom-no-404-of-a-meeting": Said(
        status=404, body={"code": 300}, means=Invalid("zoom answered 404 with code 300")
    ),
    "C3-zoom-a-meeting-of-another-code": Said(
        status=404,
        body={"code": 301, "message": "Meeting not found"},
        means=Invalid("zoom answered 404 with code 301: Meeting not found"),
    ),
    "C3-zoom-a-meeting-s-code-and-another-status": Said(
        status=409, body={"code": 3001}, means=Invalid("zoom answered 409 with code 3001")
    ),
    "C3-zoom-a-meeting-that-does-not-exist": Said(
        status=400,
        body={"code": 300, "message": "MEETING DOES NOT EXIST"},
        means=Gone("zoom answered 400 with code 300"),
    ),
    "C3-zoom-a-meeting-that-expired": Said(
        status=400,
        body={"code": 300, "message": "The meeting has expired"},
        means=Gone("zoom answered 400 with code 300"),
    ),
    "C3-zoom-words-far-behind": Said(
        status=400,
        body={"code": 300, "message": " " * 5_000 + "meeting not found"},
        means=Invalid("zoom answered 400 with code 300"),
    ),
    "C3-zoom-something-else-is-missing": Said(
        status=400,
        body={"code": 300, "message": "Template not found"},
        means=Invalid("zoom answered 400 with code 300: Template not found"),
    ),
    "C3-zoom-it-has-ended": Said(
        status=400, body={"code": 3007}, means=Gone("zoom answered 400 with code 3007")
    ),
    "C3-zoom-it-has-ended-another-status": Said(
        status=409, body={"code": 3007}, means=Invalid("zoom answered 409 with code 3007")
    ),
    "C3-zoom-no-such-occurrence": Said(
        status=400,
        body={"code": 3000, "message": "No such Occurrence"},
        means=Gone("zoom answered 400 with code 3000"),
    ),
    "C3-zoom-another-code-of-an-occurrence": Said(
        status=400,
        body={"code": 3008, "message": "No such occurrence"},
        means=Invalid("zoom answered 400 with code 3008: No such occurrence"),
    ),
    "C3-zoom-it-is-running": Said(
        status=400,
        body={"code": 3002},
        means=TryLater(
            "zoom answered 400 with code 3002: the meeting is running",
            after=timedelta(minutes=15),
        ),
    ),
    "C3-zoom-it-is-running-another-status": Said(
        status=409, body={"code": 3002}, means=Invalid("zoom answered 409 with code 3002")
    ),
    **{
        f"C3-zoom-host-{code}": Said(
            status=400,
            body={"code": code, "message": "No."},
            means=NotAllowed(
                f"zoom answered 400 with code {code}: No.; check the host and its licence"
            ),
        )
        for code in (200, 1010, 3003, 3161)
    },
    "C3-zoom-403": Said(
        status=403,
        body={"message": "No."},
        means=NotAllowed("zoom answered 403: No.; check the host and its licence"),
    ),
    "C3-zoom-an-unknown-host": Said(
        status=404,
        body={"code": 1001, "message": "User a@example.com does not exist."},
        means=NotAllowed(
            "zoom answered 404 with code 1001: Zoom does not know the host; "
            "name another in the provider's entry of SYNC_PROVIDERS"
        ),
    ),
    "C3-zoom-a-list-is-no-answer": Said(
        status=404, body=["code"], means=TryLater(f"zoom answered 404 {PROXY}")
    ),
    "C3-zoom-the-limit-of-a-second": Said(
        status=429, means=TryLater("zoom answered 429", after=timedelta(seconds=1))
    ),
    "C3-zoom-the-limit-with-its-code": Said(
        status=429,
        body={"code": 429, "message": "Too many."},
        means=TryLater("zoom answered 429 with code 429", after=timedelta(seconds=1)),
    ),
    "C3-zoom-an-empty-wait-is-none": Said(
        status=429,
        headers={"Retry-After": ""},
        means=TryLater("zoom answered 429", after=timedelta(seconds=1)),
    ),
    **{
        f"C3-zoom-the-limit-of-a-day-{number}": Said(
            status=429,
            body={"message": words},
            means=TryLater("zoom answered 429", after=MIDNIGHT),
        )
        for number, words in enumerate(("The DAILY limit", "100 requests per day", "until 00:00"))
    },
    "C3-zoom-the-limit-of-a-day-by-header": Said(
        status=429,
        headers={"X-RateLimit-Type": "DAILY-limit"},
        means=TryLater("zoom answered 429", after=MIDNIGHT),
    ),
}

BUSY = timedelta(minutes=15)
WEBEX: dict[str, Said] = {
    "C3-webex-all-errors-are-quoted": Said(
        status=400,
        body={
            "message": "The request could not be understood.",
            "errors": [{"description": "One."}, {}, {"description": "Two by a@example.com"}],
            "trackingId": "ROUTER_1.2-3",
        },
        means=Invalid("webex answered 400: One.; Two by … (tracking id ROUTER_1.2-3)"),
    ),
    "C3-webex-the-message-alone": Said(
        status=400,
        body={"message": "Not understood."},
        headers={"trackingId": "ROUTER_1"},
        means=Invalid("webex answered 400: Not understood. (tracking id ROUTER_1)"),
    ),
    "C3-webex-the-body-s-tracking-id-goes-first": Said(
        status=400,
        body={"trackingId": "IN_BODY"},
        headers={"trackingId": "IN_HEADER"},
        means=Invalid("webex answered 400 (tracking id IN_BODY)"),
    ),
    "C3-webex-a-long-tracking-id": Said(
        status=400,
        body={"trackingId": "x" * 101},
        means=Invalid(f"webex answered 400 (tracking id {'x' * 100})"),
    ),
    "C3-webex-a-tracking-id-that-is-none": Said(
        status=400, body={"trackingId": "a@example.com"}, means=Invalid("webex answered 400")
    ),
    "C3-webex-a-scope-is-missing": Said(
        status=403,
        body={"message": "The access token is Missing Required Scopes."},
        means=CredentialsRefused(
            "webex answered 403: a scope is missing; authorise the service app again",
            provider="webex",
        ),
    ),
    "C3-webex-403": Said(
        status=403,
        body={"message": "No.", "trackingId": "R_1"},
        means=NotAllowed(
            "webex answered 403: No. (tracking id R_1); check the host, and that the service app "
            "may act for it"
        ),
    ),
    **{
        f"C3-webex-it-is-running-{number}": Said(
            status=400,
            body={"message": words},
            means=TryLater(f"webex answered 400: {words}", after=BUSY),
        )
        for number, words in enumerate(
            ("It is In Progress", "It is InProgress", "It is Being Held")
        )
    },
    "C3-webex-words-of-another-status": Said(
        status=405,
        body={"message": "It is in progress"},
        means=Invalid("webex answered 405: It is in progress"),
    ),
    "C3-webex-a-conflict": Said(
        status=409,
        body={"message": "Busy."},
        means=TryLater("webex answered 409: Busy.", after=BUSY),
    ),
    **{
        f"C3-webex-{status}-of-a-meeting": Said(
            status=status,
            body={"message": "No such meeting.", "trackingId": "R_1"},
            means=Gone(f"webex answered {status}"),
        )
        for status in (404, 410)
    },
    **{
        f"C3-webex-an-unknown-{person}": Said(
            status=404,
            body={"message": f"No such {person}.", "trackingId": "R_1"},
            means=NotAllowed(
                "webex answered 404: it does not know the host, who may have left; check the host"
            ),
        )
        for person in ("host", "user", "Host")
    },
    "C3-webex-a-404-with-an-id-alone": Said(
        status=404, headers={"trackingId": "R_1"}, means=TryLater(f"webex answered 404 {PROXY}")
    ),
    "C3-webex-a-404-with-words-alone": Said(
        status=404,
        body={"message": "No such meeting."},
        means=TryLater(f"webex answered 404 {PROXY}"),
    ),
    "C3-webex-a-list-is-no-answer": Said(
        status=404,
        body=["message", "errors"],
        headers={"trackingId": "R_1"},
        means=TryLater(f"webex answered 404 {PROXY}"),
    ),
}


def graph(code: str, message: str = "") -> Any:
    return {"error": {"code": code, "message": message}}


NO_POLICY = (
    "no application access policy lets our app act for this user; grant one with "
    "Grant-CsApplicationAccessPolicy, it takes up to 30 minutes to act"
)
NO_USER = (
    "Graph does not know the user whose meeting this is, who may have left or be of another "
    "organization; check host in SYNC_PROVIDERS"
)
TEAMS: dict[str, Said] = {
    **{
        f"C3-teams-a-missing-policy-{status}": Said(
            status=status,
            body=graph("Forbidden", "No Application Access Policy found"),
            means=NotAllowed(f"teams answered {status} Forbidden: {NO_POLICY}"),
        )
        for status in (401, 403)
    },
    "C3-teams-a-policy-of-another-status": Said(
        status=400,
        body=graph("Bad", "application access policy"),
        means=Invalid("teams answered 400 Bad: application access policy"),
    ),
    "C3-teams-words-just-behind": Said(
        status=403,
        body=graph("Forbidden", "application access policy".rjust(2_001)),
        means=NotAllowed(
            "teams answered 403 Forbidden: application access polic; "
            "check the application access policy for this user"
        ),
    ),
    "C3-teams-words-just-within": Said(
        status=403,
        body=graph("Forbidden", "application access policy".rjust(2_000)),
        means=NotAllowed(f"teams answered 403 Forbidden: {NO_POLICY}"),
    ),
    "C3-teams-a-long-code": Said(
        status=400, body=graph("c" * 81), means=Invalid(f"teams answered 400 {'c' * 80}")
    ),
    "C3-teams-a-long-code-of-what-is-missing": Said(
        status=404,
        body=graph("c" * 81),
        means=Invalid(f"teams answered 404 {'c' * 80}; check base_url in SYNC_PROVIDERS"),
    ),
    "C3-teams-a-permission-is-missing": Said(
        status=403,
        body=graph("Denied", "Insufficient privileges"),
        means=CredentialsRefused(
            "teams answered 403 Denied: our app lacks the permission "
            "OnlineMeetings.ReadWrite.All; grant it",
            provider="teams",
        ),
    ),
    "C3-teams-a-permission-s-words-of-another-status": Said(
        status=400,
        body=graph("Denied", "Insufficient privileges"),
        means=Invalid("teams answered 400 Denied: Insufficient privileges"),
    ),
    "C3-teams-403": Said(
        status=403,
        body=graph("Denied", "No."),
        means=NotAllowed(
            "teams answered 403 Denied: No.; check the application access policy for this user"
        ),
    ),
    "C3-teams-a-conflict": Said(
        status=409,
        body=graph("Conflict", "Busy."),
        means=TryLater("teams answered 409 Conflict: Busy."),
    ),
    "C3-teams-an-unknown-resource": Said(
        status=404,
        body=graph("Request_ResourceNotFound", "The meeting is not found"),
        means=NotAllowed(f"teams answered 404 Request_ResourceNotFound: {NO_USER}"),
    ),
    "C3-teams-an-unknown-user": Said(
        status=404,
        body=graph("NotFound", "No USER of this meeting"),
        means=NotAllowed(f"teams answered 404 NotFound: {NO_USER}"),
    ),
    **{
        f"C3-teams-no-such-meeting-{number}": Said(
            status=404, body=graph("NotFound", words), means=Gone("teams answered 404 NotFound")
        )
        for number, words in enumerate(("3004: none", "No such Meeting"))
    },
    "C3-teams-a-meeting-that-is-over": Said(
        status=410, body=graph("Over", "No such meeting"), means=Gone("teams answered 410 Over")
    ),
    "C3-teams-a-meeting-with-another-code": Said(
        status=404,
        body=graph("Odd", "No such meeting"),
        means=Invalid("teams answered 404 Odd: No such meeting; check base_url in SYNC_PROVIDERS"),
    ),
    "C3-teams-something-else-is-missing": Said(
        status=404,
        body=graph("NotFound", "No such thing"),
        means=Invalid(
            "teams answered 404 NotFound: No such thing; check base_url in SYNC_PROVIDERS"
        ),
    ),
    "C3-teams-an-error-without-words": Said(
        status=400, body={"error": {"code": "Odd"}}, means=Invalid("teams answered 400 Odd")
    ),
    "C3-teams-an-error-without-a-code": Said(
        status=404,
        body={"error": {"message": "No such meeting"}},
        means=TryLater(f"teams answered 404 {PROXY}"),
    ),
    "C3-teams-a-list-is-no-answer": Said(
        status=404, body=["error"], means=TryLater(f"teams answered 404 {PROXY}")
    ),
}

REST: dict[str, Said] = {
    "C3-rest-403": Said(
        status=403,
        body={"error": {"message": "Not yours, a@example.com"}},
        means=NotAllowed("rest answered 403: our token may not do this: Not yours, …"),
    ),
    **{
        f"C3-rest-{status}-in-its-own-words": Said(
            status=status, body={"error": ""}, means=Gone(f"rest answered {status}")
        )
        for status in (404, 410)
    },
    "C3-rest-an-error-that-is-nothing": Said(
        status=404, body={"error": None}, means=TryLater(f"rest answered 404 {PROXY}")
    ),
    "C3-rest-a-list-is-no-answer": Said(
        status=404, body=["error"], means=TryLater(f"rest answered 404 {PROXY}")
    ),
    **{
        f"C3-rest-a-conflict-{number}": Said(
            status=409,
            headers={"Retry-After": asked},
            means=TryLater("rest answered 409", after=after),
        )
        for number, (asked, after) in enumerate(
            (("7", timedelta(seconds=7)), (IN_A_MINUTE, timedelta(minutes=1)))
        )
    },
    "C3-rest-words-in-an-object": Said(
        status=422,
        body={"error": {"message": "No title."}},
        means=Invalid("rest answered 422: No title."),
    ),
    "C3-rest-words-alone": Said(
        status=422, body={"error": "No title."}, means=Invalid("rest answered 422: No title.")
    ),
    "C3-rest-an-error-without-words": Said(
        status=422, body={"error": {"code": 5}}, means=Invalid("rest answered 422")
    ),
}


def refused(text: str) -> CredentialsRefused:
    return CredentialsRefused(f"token refused a token ({text}", provider="token")


TOKEN_URL = "check token_url in SYNC_PROVIDERS"
OTHERWISE = f"check the app, and the credentials in {SECRET}"
TOKENS: dict[str, Said] = {
    **{
        f"C2-token-{status}": Said(status=status, body={"access_token": "t"}, means=None)
        for status in (200, 299)
    },
    **{
        f"C2-token-no-token-{number}": Said(
            status=200,
            body=body,
            means=TryLater("token granted no token although it answered 200"),
        )
        for number, body in enumerate(
            (
                "<html>",
                ["access_token"],
                {},
                {"access_token": 5},
                {"access_token": " "},
                {"access_token": "a\nb"},
                {"access_token": "\u00e4"},
            )
        )
    },
    **{
        f"C2-token-{status}-is-no-success": Said(
            status=status, body={"access_token": "t"}, means=refused(f"{status}): {mend}")
        )
        for status, mend in (
            (199, OTHERWISE),
            (300, TOKEN_URL),
            (399, TOKEN_URL),
            (400, OTHERWISE),
            (404, TOKEN_URL),
            (405, TOKEN_URL),
            (499, OTHERWISE),
        )
    },
    **{
        f"C2-token-{status}-later": Said(
            status=status,
            headers={"Retry-After": "9"},
            means=TryLater(f"token refused a token ({status})", after=timedelta(seconds=9)),
        )
        for status in (408, 425, 429, 500, 599)
    },
    "C2-token-until-a-moment": Said(
        status=429,
        headers={"Retry-After": IN_A_MINUTE},
        means=TryLater("token refused a token (429)", after=timedelta(minutes=1)),
    ),
    **{
        f"C2-token-{code}": Said(
            status=400, body={"error": code}, means=TryLater(f"token refused a token (400 {code})")
        )
        for code in ("temporarily_unavailable", "server_error", "slow_down")
    },
    "C2-token-a-wrong-client": Said(
        status=401,
        body={"error": "invalid_client"},
        means=refused(
            "401 invalid_client): its client id or client secret is wrong or has expired; "
            f"put valid ones into {SECRET}"
        ),
    ),
    "C2-token-a-withdrawn-grant": Said(
        status=400,
        body={"error": "invalid_grant"},
        means=refused(
            "400 invalid_grant): its refresh token, or the account, is no longer good; "
            f"authorise again and put the result into {SECRET}"
        ),
    ),
    "C2-token-an-app-that-may-not": Said(
        status=400,
        body={"error": "unauthorized_client"},
        means=refused(
            "400 unauthorized_client): the app is not active, or may not ask for this; "
            f"check the app, then {SECRET}"
        ),
    ),
    "C2-token-another-word": Said(
        status=400, body={"error": "odd_one"}, means=refused(f"400 odd_one): {OTHERWISE}")
    ),
    "C2-token-a-word-that-is-none": Said(
        status=400, body={"error": "See a@example.com"}, means=refused(f"400): {OTHERWISE}")
    ),
    "C2-token-a-word-that-is-no-text": Said(
        status=400, body={"error": 5}, means=refused(f"400): {OTHERWISE}")
    ),
}

ANSWERS = {
    **{
        row: (name, said)
        for name in ("rest", "zoom", "webex", "teams")
        for row, said in for_all(name).items()
    },
    **{row: ("zoom", said) for row, said in ZOOM.items()},
    **{row: ("webex", said) for row, said in WEBEX.items()},
    **{row: ("teams", said) for row, said in TEAMS.items()},
    **{row: ("rest", said) for row, said in REST.items()},
    **{row: ("token", said) for row, said in TOKENS.items()},
}


@pytest.mark.parametrize(("name", "said"), list(ANSWERS.values()), ids=list(ANSWERS))
def test_c3_an_answer_means_one_error_whose_text_names_the_mend(name: str, said: Said) -> None:
    """The kind, the wait, what is unknown, and the sentence that the operator reads."""
    answer = Answer(said.status, said.headers, data_of(said.body))
    found = CLASSIFY[name](answer, name, NOW)
    assert same(found, said.means), repr(found)


def test_c3_the_limit_of_a_day_ends_at_midnight_by_zoom_s_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The zone of the machine, and of the moment that is given, makes no difference."""
    answer = Answer(429, {}, data_of({"message": "The daily limit"}))
    moment = NOW.replace(hour=20).astimezone(timezone(timedelta(hours=9)))
    try:
        with monkeypatch.context() as machine:
            machine.setenv("TZ", "Asia/Tokyo")
            time.tzset()
            found = zoom.classify(answer, "zoom", moment)
    finally:
        time.tzset()
    expected = TryLater("zoom answered 429", after=timedelta(hours=4, seconds=40))
    assert same(found, expected)


@pytest.mark.parametrize(
    ("status", "message", "refuses"),
    [
        (401, "The token is expired.", True),
        (401, "No application access policy found", False),
        (403, "The token is expired.", False),
    ],
)
def test_c5_a_401_about_one_user_does_not_refuse_our_app(
    status: int, message: str, refuses: bool
) -> None:
    """Only a 401 that is not about a policy leads to another token."""
    answer = Answer(status, {}, data_of(graph("Unauthorized", message)))
    assert teams.refuses_app(answer) is refuses


# Calendar: W3.


def classic(reason: object) -> Any:
    return {"error": {"errors": [{"reason": reason}]}}


SHARE = "share the calendar with us again, with the right to change events"
SCOPE = (
    "the access lacks the scope calendar.events; authorise that scope under domain-wide "
    "delegation, or store a refresh token that was granted it"
)
ENABLE = "enable the Calendar API (calendar-json.googleapis.com) in the project"
WAIT = timedelta(seconds=9)
ADDRESS = "https://n.example.com/"
CALENDAR: dict[str, tuple[str, Said]] = {
    "W3-400": ("list", Said(status=400, means=Invalid("Calendar answered 400"))),
    "W3-400-push": (
        "list",
        Said(
            status=400,
            body=classic("pushNotSupportedForRequestedResource"),
            means=NotWatchable("Calendar answered 400 pushNotSupportedForRequestedResource"),
        ),
    ),
    **{
        f"W3-{status}-of-a-watch": (
            "watch",
            Said(
                status=status,
                body=classic("pushOdd"),
                means=Invalid(f"Calendar answered {status} pushOdd"),
            ),
        )
        for status in (400, 401, 403)
    },
    "W3-404-of-a-watch": (
        "watch",
        Said(
            status=404,
            body=classic("pushOdd"),
            means=Gone(
                "Calendar answered 404 pushOdd; check this calendar id, and share the calendar "
                "with us, with the right to change events, or start it with a subject who has "
                "that right"
            ),
        ),
    ),
    "W3-an-address-that-is-not-verified": (
        "watch",
        Said(
            status=401,
            body=classic("push.webhookUrlUnauthorized"),
            means=Invalid(
                "Calendar answered 401 push.webhookUrlUnauthorized; Calendar does not accept the "
                f"notification address {ADDRESS} (SYNC_NOTIFICATION_URL): verify its domain in "
                "Search Console, add it to the project's verified domains, then start the calendar "
                "again"
            ),
        ),
    ),
    "W3-an-address-without-tls": (
        "watch",
        Said(
            status=400,
            body=classic("push.webhookUrlNotHttps"),
            means=Invalid(
                "Calendar answered 400 push.webhookUrlNotHttps; the notification address "
                f"{ADDRESS} (SYNC_NOTIFICATION_URL) must begin with https"
            ),
        ),
    ),
    "W3-401": (
        "list",
        Said(
            status=401,
            means=NotAllowed(
                "Calendar answered 401; check the calendar's access, then start the calendar again"
            ),
        ),
    ),
    **{
        f"W3-{status}-{reason}": (
            "list",
            Said(
                status=status,
                body=classic(reason),
                headers={"Retry-After": "9"},
                means=TryLater(f"Calendar answered {status} {reason}", after=WAIT),
            ),
        )
        for status, reason in (
            (403, "rateLimitExceeded"),
            (403, "userRateLimitExceeded"),
            (403, "RATE_LIMIT_EXCEEDED"),
            (429, "odd"),
        )
    },
    "W3-a-quota": (
        "list",
        Said(
            status=403,
            body=classic("quotaExceeded"),
            headers={"Retry-After": "9"},
            means=QuotaExceeded("Calendar answered 403 quotaExceeded", after=timedelta(hours=3)),
        ),
    ),
    "W3-a-quota-that-asks-for-more": (
        "list",
        Said(
            status=403,
            body=classic("quotaExceeded"),
            headers={"Retry-After": "20000"},
            means=QuotaExceeded(
                "Calendar answered 403 quotaExceeded", after=timedelta(seconds=20_000)
            ),
        ),
    ),
    **{
        f"W3-403-{reason}": (
            "list",
            Said(
                status=403,
                body=classic(reason),
                means=NotAllowed(f"Calendar answered 403 {reason}; {mend}"),
            ),
        )
        for reason, mend in (
            ("odd", SHARE),
            ("accessNotConfigured", ENABLE),
            ("SERVICE_DISABLED", ENABLE),
            ("insufficientPermissions", SCOPE),
            ("ACCESS_TOKEN_SCOPE_INSUFFICIENT", SCOPE),
            ("forbiddenForNonOrganizer", "only the organiser's copy can be changed in this way"),
            (
                "forbiddenForServiceAccounts",
                "start the calendar with a subject, so that we act as its user",
            ),
            (
                "notACalendarUser",
                "the user we act as has no Google Calendar; switch Calendar on for that user in "
                "the admin console, or start the calendar with another subject",
            ),
        )
    },
    **{
        f"W3-{status}-of-a-{method}": (
            method,
            Said(
                status=status,
                body={"error": {}},
                means=Gone(
                    f"Calendar answered {status}; this calendar has no such event, or is not "
                    "shared with us"
                ),
            ),
        )
        for status in (404, 410)
        for method in ("get", "patch")
    },
    **{
        f"W3-{status}-of-a-{method}-by-a-proxy": (
            method,
            Said(
                status=status,
                body="<html>",
                headers={"Retry-After": "9"},
                means=TryLater(f"Calendar answered {status} without words of its own", after=WAIT),
            ),
        )
        for status in (404, 410)
        for method in ("get", "patch")
    },
    "W3-404-of-a-list": (
        "list",
        Said(
            status=404,
            means=Gone(
                "Calendar answered 404; check this calendar id, and share the calendar with us, "
                "with the right to change events, or start it with a subject who has that right"
            ),
        ),
    ),
    "W3-410-of-a-list": (
        "list",
        Said(status=410, means=SyncTokenExpired("Calendar answered 410")),
    ),
    "W3-410-of-a-stop": ("stop", Said(status=410, means=Gone("Calendar answered 410"))),
    "W3-410-deleted": (
        "list",
        Said(status=410, body=classic("deleted"), means=Gone("Calendar answered 410 deleted")),
    ),
    "W3-412": ("patch", Said(status=412, means=Conflict("Calendar answered 412"))),
    **{
        f"W3-{status}": (
            "list",
            Said(
                status=status,
                headers={"Retry-After": "9"},
                means=TryLater(f"Calendar answered {status}", after=WAIT),
            ),
        )
        for status in (302, 399, 408, 500, 599)
    },
    **{
        f"W3-{status}": (
            "list",
            Said(status=status, means=Invalid(f"Calendar answered {status}")),
        )
        for status in (405, 407, 409, 499)
    },
    "W3-the-gateway-s-reason": (
        "list",
        Said(
            status=400,
            body={"error": {"details": [{"@type": "x"}, {"reason": "second"}]}},
            means=Invalid("Calendar answered 400 second"),
        ),
    ),
    "W3-the-classic-reason-goes-first": (
        "list",
        Said(
            status=400,
            body={"error": {"errors": [{"reason": "first"}], "details": [{"reason": "second"}]}},
            means=Invalid("Calendar answered 400 first"),
        ),
    ),
    "W3-a-reason-that-is-no-word": (
        "list",
        Said(
            status=400,
            body=classic("anna@example.com"),
            means=Invalid("Calendar answered 400"),
        ),
    ),
    "W3-a-list-is-no-answer": (
        "list",
        Said(status=400, body=["error"], means=Invalid("Calendar answered 400")),
    ),
}


def fails(error: Exception, *, method: str = "list", address: str = "") -> SyncError:
    """Return what a call of Calendar that raises this error becomes."""
    with (
        pytest.raises(SyncError) as caught,
        calendar_errors.translated(method, address),
    ):
        raise error
    assert caught.value.__cause__ is error
    return caught.value


@pytest.mark.parametrize(("method", "said"), list(CALENDAR.values()), ids=list(CALENDAR))
def test_w3_an_answer_of_calendar_means_one_error_whose_text_names_the_mend(
    method: str, said: Said
) -> None:
    """By the reason before the status, and by what was asked; the wait that was asked for goes
    with what is tried later."""
    headers = {name.lower(): value for name, value in said.headers.items()}
    response = httplib2.Response({**headers, "status": str(said.status)})
    error = googleapiclient.errors.HttpError(response, data_of(said.body))
    assert same(fails(error, method=method, address=ADDRESS), said.means)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        pytest.param(TimeoutError("x"), "TimeoutError", id="W3-a-time-out"),
        pytest.param(http.client.IncompleteRead(b""), "IncompleteRead", id="W3-cut-short"),
        pytest.param(httplib2.ServerNotFoundError("x"), "ServerNotFoundError", id="W3-no-server"),
        pytest.param(ValueError("x"), "ValueError", id="W3-success-without-json"),
        pytest.param(RecursionError("x"), "RecursionError", id="W3-json-without-an-end"),
    ],
)
def test_w3_no_answer_of_calendar_is_tried_later(error: Exception, says: str) -> None:
    """The text has the error's name and none of its words."""
    assert same(fails(error), TryLater(f"Calendar did not answer ({says})"))


def test_w3_a_token_service_that_does_not_answer_is_tried_later() -> None:
    """An outage of the token service breaks no calendar."""
    error = google.auth.exceptions.TransportError("x")
    assert same(fails(error), TryLater("Google's token service did not answer"))


GRANTS = {
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


@pytest.mark.parametrize("code", list(GRANTS))
def test_w3_a_refused_token_names_its_own_mend(code: str) -> None:
    """Google's text may name the user, and is left out."""
    error = google.auth.exceptions.RefreshError(f"{code}: anna@example.com", {"error": code})
    expected = NotAllowed(f"Google refused a token ({code}): {GRANTS[code]}")
    assert same(fails(error), expected)


def test_w3_a_token_refused_for_another_reason_names_the_calendar_s_access() -> None:
    """A word of Google's that is not known is no crash, and is not shown."""
    expected = NotAllowed("Google refused a token; check the calendar's access")
    assert same(fails(google.auth.exceptions.RefreshError("anna@example.com")), expected)
