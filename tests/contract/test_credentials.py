"""The three ways to a calendar: the real google-auth against stand-ins of who hands out tokens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import google.auth.credentials
import google.auth.exceptions
import google_auth_httplib2
import googleapiclient.discovery
import httplib2
import pytest
import requests

from sandbox.google_calendar import GoogleCalendar
from sandbox.google_tokens import CLIENT_ID, CLIENT_SECRET, SERVICE_ACCOUNT, GoogleTokens, Grant
from sandbox.secret_manager import SecretManager as SecretManagerStandIn
from sync.errors import NotAllowed, SyncError, TryLater
from sync.google.calendar import Calendar
from sync.google.credentials import SCOPE, CalendarCredentials
from sync.google.secret_manager import SecretManager
from sync.model.calendar import Access
from sync.model.event import CalendarId, EventId

ROOT = Path(__file__).resolve().parent.parent.parent
ANN = "ann@example.com"
SECRET = "projects/p/secrets/calendar-ann"
DELEGATED = Access(subject=ANN)
OF_USER = Access(credentials_secret=SECRET)
SHARED = Access()


@pytest.fixture(scope="module")
def server() -> Iterator[GoogleTokens]:
    server = GoogleTokens()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def tokens(
    server: GoogleTokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GoogleTokens]:
    """The stand-in as an administrator should leave it; whatever credentials this machine has
    are out of sight."""
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_QUOTA_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    server.reset()
    server.authorise(SCOPE)
    server.add_refresh_token("refresh-1", user=ANN)
    yield server
    server.reset()


@pytest.fixture
def secrets() -> Iterator[SecretManagerStandIn]:
    stand_in = SecretManagerStandIn()
    stand_in.start()
    stand_in.put(SECRET, user_secret())
    yield stand_in
    stand_in.stop()


@pytest.fixture
def credentials(
    tokens: GoogleTokens, secrets: SecretManagerStandIn
) -> Iterator[CalendarCredentials]:
    reader = SecretManager(emulator=secrets.host)
    yield CalendarCredentials(reader.read, session=tokens.session)
    reader.close()


@pytest.fixture
def calendar(credentials: CalendarCredentials) -> Iterator[Calendar]:
    """The real client, without a stand-in of Calendar: of use only where no token is to be had."""
    calendar = Calendar(credentials)
    yield calendar
    calendar.close()


def user_secret(**changes: Any) -> dict[str, Any]:
    return {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "refresh_token": "refresh-1",
        **changes,
    }


def token(credentials: CalendarCredentials, access: Access) -> str:
    """The token that a call of Calendar would carry."""
    headers: dict[str, str] = {}
    credentials.of(access).before_request(
        None, "GET", "https://www.googleapis.com/calendar/v3/x", headers
    )
    return headers["authorization"].removeprefix("Bearer ")


def grant(tokens: GoogleTokens, credentials: CalendarCredentials, access: Access) -> Grant:
    granted = tokens.granted(token(credentials, access))
    assert granted is not None
    return granted


def let_pass(credentials: CalendarCredentials, access: Access, time: timedelta) -> None:
    """Make a token as old as it will be then."""
    held = credentials.of(access)
    assert held.expiry is not None
    held.expiry -= time


def refused(calendar: Calendar, access: Access) -> SyncError:
    """What a call of Calendar raises."""
    with pytest.raises(SyncError) as caught:
        calendar.bind(CalendarId("ann@example.com"), access).get_event(EventId("e1"))
    return caught.value


# The three ways.


def test_delegation_signs_for_the_user_with_one_scope_and_no_key_file(
    tokens: GoogleTokens, credentials: CalendarCredentials
) -> None:
    """IAM signs what names the user and calendar.events alone; the service account's own token
    opens no calendar."""
    granted = grant(tokens, credentials, DELEGATED)
    assert (granted.user, granted.scopes, granted.way) == (ANN, frozenset({SCOPE}), "assertion")
    [signed] = tokens.calls(":signJwt")
    [exchanged] = tokens.calls("/token")[-1:]
    assert signed.claims == exchanged.claims
    assert signed.path == f"/v1/projects/-/serviceAccounts/{SERVICE_ACCOUNT}:signJwt"
    claims = signed.claims
    assert (claims["iss"], claims["sub"], claims["scope"]) == (SERVICE_ACCOUNT, ANN, SCOPE)
    assert claims["aud"] == "https://oauth2.googleapis.com/token"
    assert claims["exp"] - claims["iat"] == 3600
    assert tokens.calls(":generateAccessToken") == []
    asked = {call.query.get("scopes", "") for call in tokens.calls("/default/token")}
    assert all(SCOPE not in scopes for scopes in asked)


def test_a_users_own_token_comes_from_the_secret(
    tokens: GoogleTokens, credentials: CalendarCredentials
) -> None:
    """Client and refresh token are those of the secret, the scope is ours; no service account
    takes part."""
    granted = grant(tokens, credentials, OF_USER)
    assert (granted.user, granted.scopes, granted.way) == (ANN, frozenset({SCOPE}), "refresh token")
    [exchanged] = tokens.requests
    assert exchanged.form == {**user_secret(), "grant_type": "refresh_token", "scope": SCOPE}


def test_a_shared_calendar_is_opened_by_the_service_account_itself(
    tokens: GoogleTokens, credentials: CalendarCredentials
) -> None:
    """The metadata server grants one scope; nothing is signed, and nobody is asked where the
    account may be used."""
    granted = grant(tokens, credentials, SHARED)
    assert (granted.user, granted.scopes, granted.way) == (
        SERVICE_ACCOUNT,
        frozenset({SCOPE}),
        "metadata",
    )
    assert all(
        call.path == "/" or call.path.startswith("/computeMetadata/") for call in tokens.requests
    )


@pytest.mark.parametrize(
    "access", [DELEGATED, OF_USER, SHARED], ids=["delegated", "user", "shared"]
)
def test_each_way_authorises_googles_own_client(
    tokens: GoogleTokens,
    credentials: CalendarCredentials,
    google_calendar: GoogleCalendar,
    access: Access,
) -> None:
    """The transport and the client library that production uses take the credentials, and renew
    them after a 401."""
    calendar_id = f"{access.subject}-{access.credentials_secret}@example.com".replace("/", "-")
    google_calendar.add_calendar(calendar_id, time_zone="UTC")
    google_calendar.faults.add(path=calendar_id, status=401)
    service = googleapiclient.discovery.build(
        "calendar",
        "v3",
        http=google_auth_httplib2.AuthorizedHttp(
            credentials.of(access), http=httplib2.Http(timeout=10)
        ),
        static_discovery=True,
        cache_discovery=False,
        client_options={"api_endpoint": f"http://{google_calendar.host}/calendar/v3/"},
    )
    with service:
        assert service.events().list(calendarId=calendar_id).execute()["items"] == []
    assert len(granted_by_now(tokens)) >= 2


def granted_by_now(tokens: GoogleTokens) -> list[Grant]:
    return [grant for grant in tokens.grants() if grant.scopes == {SCOPE}]


@pytest.mark.programs
def test_a_fresh_process_finds_the_metadata_server_by_the_librarys_variables(
    tokens: GoogleTokens,
) -> None:
    """Without any seam of ours: what a function does on Cloud Run."""
    assert in_process(GCE_METADATA_HOST=tokens.host, GCE_METADATA_IP=tokens.host) == "a token"
    assert len(tokens.calls("/default/token")) == 1


@pytest.mark.programs
def test_w3_without_a_service_account_the_error_says_what_to_do(tokens: GoogleTokens) -> None:
    """On a machine of one's own: deploy with a service account, or log in."""
    for access in ("Access()", 'Access(subject="ann@example.com")'):
        said = in_process(
            access, NO_GCE_CHECK="true", CLOUDSDK_CONFIG=os.environ["CLOUDSDK_CONFIG"]
        )
        assert said.startswith("NotAllowed this function runs without a service account")
        assert "gcloud auth application-default login" in said
        assert ANN not in said
    assert tokens.requests == []


def in_process(access: str = "Access()", **environment: str) -> str:
    program = f"""
from sync.google.credentials import CalendarCredentials
from sync.errors import SyncError
from sync.model.calendar import Access
headers = {{}}
try:
    CalendarCredentials(None).of({access}).before_request(None, "GET", "https://x", headers)
    print("a token" if headers["authorization"].startswith("Bearer ya29.") else "none")
except SyncError as error:
    print(type(error).__name__, error)
"""
    ours = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("GCE_", "GOOGLE_", "NO_GCE"))
    }
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**ours, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


# One token for all, for as long as it is good.


@pytest.mark.parametrize(
    "access", [DELEGATED, OF_USER, SHARED], ids=["delegated", "user", "shared"]
)
def test_threads_share_one_renewal(
    tokens: GoogleTokens, credentials: CalendarCredentials, access: Access
) -> None:
    """Eight that need a token at the same moment make one request for it, and get the same."""
    tokens.faults.add(path="/token$", delay_seconds=0.2)
    gate = threading.Barrier(8)

    def ask(_: int) -> str:
        gate.wait()
        return token(credentials, access)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    assert len(granted_by_now(tokens)) == 1
    assert credentials.of(access) is credentials.of(access)


def test_each_user_has_a_token_of_their_own(
    tokens: GoogleTokens, credentials: CalendarCredentials
) -> None:
    """Nobody's calendar is opened with another's token."""
    ben = Access(subject="ben@example.com")
    assert credentials.of(DELEGATED) is not credentials.of(ben)
    assert grant(tokens, credentials, DELEGATED).user == ANN
    assert grant(tokens, credentials, ben).user == "ben@example.com"
    assert grant(tokens, credentials, DELEGATED).user == ANN


def test_one_users_renewal_does_not_hold_up_another(
    tokens: GoogleTokens, credentials: CalendarCredentials
) -> None:
    """While the token service is silent about one, others go on."""
    tokens.faults.add(path="/token$", method="POST", delay_seconds=5.0)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(token, credentials, OF_USER)
        while not tokens.requests:
            time.sleep(0.01)
        began = time.monotonic()
        token(credentials, SHARED)
        assert time.monotonic() - began < 4
        tokens.faults.clear()
        assert slow.result()


@pytest.mark.parametrize(
    "access", [DELEGATED, OF_USER, SHARED], ids=["delegated", "user", "shared"]
)
def test_a_token_is_renewed_shortly_before_it_expires(
    tokens: GoogleTokens, credentials: CalendarCredentials, access: Access
) -> None:
    """It serves until its last minutes; then there is another, by the same way."""
    first = token(credentials, access)
    before = len(tokens.requests)
    assert token(credentials, access) == first
    assert len(tokens.requests) == before
    let_pass(credentials, access, timedelta(minutes=57))
    second = token(credentials, access)
    assert second != first
    granted = tokens.granted(second)
    assert granted is not None
    assert granted.scopes == {SCOPE}
    assert token(credentials, access) == second


def test_the_least_used_are_given_up(
    tokens: GoogleTokens, credentials: CalendarCredentials
) -> None:
    """An instance that has seen very many users keeps a thousand."""
    used, unused = credentials.of(DELEGATED), credentials.of(Access(subject="unused@example.com"))
    for number in range(999):
        credentials.of(Access(subject=f"user{number}@example.com"))
        credentials.of(DELEGATED)
    assert credentials.of(DELEGATED) is used
    assert credentials.of(Access(subject="unused@example.com")) is not unused
    assert tokens.requests == []  # nobody was asked before there was a need


# Users' secrets.


def test_w3_a_rotated_secret_is_read_again_after_invalid_grant(
    tokens: GoogleTokens, secrets: SecretManagerStandIn
) -> None:
    """The old refresh token is withdrawn and a new one stored: the calls of those who hold
    credentials go on."""
    reader = SecretManager(emulator=secrets.host)

    def read(name: str, /, *, max_age_seconds: float = 300.0) -> bytes:
        return reader.read(
            name, max_age_seconds=max_age_seconds / 20
        )  # a minute passes in three seconds

    credentials = CalendarCredentials(read, session=tokens.session)
    held = credentials.of(OF_USER)
    first = token(credentials, OF_USER)
    tokens.revoke("refresh-1")
    tokens.add_refresh_token("refresh-2", user=ANN)
    secrets.put(SECRET, user_secret(refresh_token="refresh-2"))
    let_pass(credentials, OF_USER, timedelta(hours=1))
    time.sleep(
        6 / 20
    )  # what was read some seconds ago is read again, long before it would be anyway
    second = token(credentials, OF_USER)
    assert second != first
    assert credentials.of(OF_USER) is held
    assert secrets.accesses[SECRET] == 2
    reader.close()


def test_w3_a_secret_that_was_not_rotated_is_not_tried_twice(
    tokens: GoogleTokens, calendar: Calendar
) -> None:
    """A refusal costs one request of the token service."""
    tokens.revoke("refresh-1")
    assert isinstance(refused(calendar, OF_USER), NotAllowed)
    assert len(tokens.calls("/token")) == 1


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "no JSON",
        "[]",
        '"text"',
        "null",
        "{}",
        json.dumps({"client_id": "a", "client_secret": "b"}),
        json.dumps(user_secret(refresh_token="")),
        json.dumps(user_secret(client_secret=7)),
        json.dumps(user_secret(token_uri=["x"])),
        b"\xff\xfe",
    ],
)
def test_w3_a_malformed_user_secret_says_what_it_must_hold(
    secrets: SecretManagerStandIn, tokens: GoogleTokens, calendar: Calendar, payload: str | bytes
) -> None:
    """It names the secret and its form, and shows nothing of what is in it."""
    secrets.put(SECRET, payload)
    error = refused(calendar, OF_USER)
    assert isinstance(error, NotAllowed)
    assert (
        str(error)
        == f'{SECRET} must hold JSON of the form {{"client_id", "client_secret", "refresh_token"}}'
    )
    assert tokens.requests == []


def test_w3_a_secret_that_is_not_there_breaks_the_calendar_and_nothing_else(
    calendar: Calendar,
) -> None:
    """It is access that is missing: not a page token gone bad, which would lead to full syncs."""
    error = refused(calendar, Access(credentials_secret="projects/p/secrets/none"))
    assert isinstance(error, NotAllowed)
    assert "gcloud secrets versions add" in str(error)


# Errors.

_ERRORS = [
    ("unauthorized_client", "Unauthorized client or scope in request.", "numeric client id"),
    (
        "unauthorized_client",
        "Client is unauthorized to retrieve access tokens using this method.",
        "numeric client id",
    ),
    ("access_denied", "Requested client not authorized.", "not authorised for delegation"),
    ("admin_policy_enforced", "", "policy of the Workspace administrator"),
    ("invalid_grant", "Not a valid email or user ID.", "the user does not exist"),
    ("invalid_grant", f"Invalid email or User ID: {ANN}", "the user does not exist"),
    ("invalid_grant", "Invalid JWT Signature.", "check the subject"),
    (
        "invalid_scope",
        "Invalid OAuth scope or ID token audience provided.",
        "check the OAuth client",
    ),
    ("disabled_client", "The OAuth client was disabled.", "enable it"),
    ("deleted_client", "The OAuth client was deleted.", "store another"),
]


@pytest.mark.parametrize(("code", "description", "mend"), _ERRORS)
def test_w3_each_refusal_of_the_token_service_says_what_to_do(
    tokens: GoogleTokens, calendar: Calendar, code: str, description: str, mend: str
) -> None:
    """By its code, for both ways that the token service decides; the user is never named."""
    tokens.refuse(ANN, code, description)
    tokens.refuse("refresh-1", code, description)
    for access in (DELEGATED, OF_USER):
        error = refused(calendar, access)
        assert isinstance(error, NotAllowed)
        assert code in str(error)
        assert mend in str(error)
        assert ANN not in str(error)
        assert "refresh-1" not in str(error)


def test_w3_what_the_administrator_has_not_authorised_is_refused(
    tokens: GoogleTokens, calendar: Calendar
) -> None:
    """Nothing authorised, and another scope authorised, are two errors with two mends;
    authorising heals."""
    tokens.authorise()
    assert "unauthorized_client" in str(refused(calendar, DELEGATED))
    tokens.authorise("https://www.googleapis.com/auth/calendar")
    assert "access_denied" in str(refused(calendar, DELEGATED))


def test_w3_access_that_was_granted_meanwhile_heals(
    tokens: GoogleTokens, credentials: CalendarCredentials
) -> None:
    """The same credentials work as soon as the administrator has done what the error said."""
    tokens.authorise()
    tokens.may_sign = False
    with pytest.raises(NotAllowed, match="serviceAccountTokenCreator"):
        token(credentials, DELEGATED)
    tokens.may_sign = True
    with pytest.raises(google.auth.exceptions.RefreshError, match="unauthorized_client"):
        token(credentials, DELEGATED)
    tokens.authorise(SCOPE)
    assert grant(tokens, credentials, DELEGATED).user == ANN


def test_w3_a_service_account_token_that_was_withdrawn_is_replaced(
    tokens: GoogleTokens, credentials: CalendarCredentials
) -> None:
    """IAM refuses our own token although it is young: that breaks nobody's access, and the next
    try has another."""
    token(credentials, DELEGATED)
    tokens.withdraw()
    let_pass(credentials, DELEGATED, timedelta(hours=1))
    held = credentials.of(DELEGATED)
    with pytest.raises(TryLater):
        held.refresh(None)
    assert grant(tokens, credentials, DELEGATED).user == ANN


def test_w3_a_right_to_sign_that_is_missing_names_the_role(
    tokens: GoogleTokens, calendar: Calendar
) -> None:
    """Delegation without Token Creator on itself, or without the API, is the project's fault,
    not the domain's."""
    tokens.may_sign = False
    error = refused(calendar, DELEGATED)
    assert isinstance(error, NotAllowed)
    assert "roles/iam.serviceAccountTokenCreator on itself" in str(error)
    tokens.iam_enabled = False
    error = refused(calendar, DELEGATED)
    assert isinstance(error, NotAllowed)
    assert "enable the IAM Credentials API" in str(error)
    assert ANN not in str(error)


def test_w3_an_instance_without_a_service_account_says_so(
    tokens: GoogleTokens, calendar: Calendar
) -> None:
    """The metadata server is there, but knows no account."""
    tokens.service_account = ""
    for access in (SHARED, DELEGATED):
        error = refused(calendar, access)
        assert isinstance(error, NotAllowed)
        assert "service account" in str(error)


_TROUBLES: dict[str, dict[str, Any]] = {
    "503": {"status": 503},
    "502": {"status": 502, "body": "<html>Bad Gateway"},
    "429": {"status": 429, "body": {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}},
    "cut": {"truncate": True},
    "nonsense": {"status": 200, "body": "no"},
    "a list": {"status": 200, "body": []},
    "a refusal without a form": {"status": 400, "body": []},
    "internal": {"status": 400, "body": {"error": "internal_failure"}},
}
_PLACES = {
    "sign": (DELEGATED, ":signJwt", _TROUBLES.keys() - {"a refusal without a form", "internal"}),
    # Each that google-auth tries again by itself takes seconds: one for the token endpoint, none
    # for metadata.
    "token": (DELEGATED, "^/token", _TROUBLES.keys() - {"503", "429", "internal"}),
    "user": (OF_USER, "^/token", _TROUBLES.keys() - {"503", "429"}),
    "shared": (SHARED, "/default/token", {"502", "nonsense", "a list"}),
}


@pytest.mark.parametrize(
    ("access", "path", "fault"),
    [
        pytest.param(access, path, _TROUBLES[trouble], id=f"{place}-{trouble}")
        for place, (access, path, troubles) in _PLACES.items()
        for trouble in sorted(troubles)
    ],
)
def test_w3_a_token_service_in_trouble_is_tried_later(
    tokens: GoogleTokens,
    credentials: CalendarCredentials,
    access: Access,
    path: str,
    fault: dict[str, Any],
) -> None:
    """Whatever is no refusal passes: google-auth calls it a RefreshError all the same. Then the
    token comes."""
    tokens.faults.add(path=path, times=None, **fault)
    with pytest.raises(TryLater, match="token service did not answer"):
        token(credentials, access)
    tokens.faults.clear()
    assert grant(tokens, credentials, access).scopes == {SCOPE}


def test_w3_a_token_service_out_of_reach_is_tried_later(
    secrets: SecretManagerStandIn, tokens: GoogleTokens
) -> None:
    """No connection at all, through a call of Calendar."""
    gone = GoogleTokens()
    gone.stop()
    reader = SecretManager(emulator=secrets.host)

    def nowhere() -> requests.Session:
        return gone.session()

    calendar = Calendar(CalendarCredentials(reader.read, session=nowhere))
    error = refused(calendar, OF_USER)
    assert isinstance(error, TryLater)
    calendar.close()
    reader.close()
    assert tokens.requests == []


# Quota.


def test_a_delegated_call_names_whom_it_is_charged_to(google_calendar: GoogleCalendar) -> None:
    """quotaUser has at most 40 characters and is not the address; other ways are charged to
    their own user."""
    name = CalendarId("quota@example.com")
    google_calendar.add_calendar(name, time_zone="UTC")
    event = EventId(
        google_calendar.seed_event(
            name, {"start": {"date": "2030-01-01"}, "end": {"date": "2030-01-02"}}
        )["id"]
    )
    calendar = Calendar(None, emulator=google_calendar.host)
    for access in (DELEGATED, OF_USER, SHARED):
        calendar.bind(name, access).get_event(event)
    calendar.close()
    users = [call.query.get("quotaUser") for call in google_calendar.requests if name in call.path]
    assert users[1:] == [None, None]
    assert users[0] is not None
    assert 0 < len(users[0]) <= 40
    assert "ann" not in users[0]
