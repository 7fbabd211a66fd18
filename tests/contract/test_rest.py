"""The `rest` adapter against the conferencing stand-in; both are held against the published
contract."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.rest import Rest
from sandbox.secret_manager import SecretManager as SecretManagerStandIn
from sandbox.servers import LOOPBACK, free_port
from sync import conferencing as registry
from sync.conferencing import Context
from sync.conferencing.http import Answer
from sync.conferencing.rest import RestProvider, body_of, classify, way_in
from sync.config import ProviderSettings
from sync.errors import (
    ConfigurationError,
    CredentialsRefused,
    Gone,
    Invalid,
    NoOccurrences,
    NotAllowed,
    SyncError,
    TryLater,
)
from sync.google.secret_manager import SecretManager
from sync.model.conference import ConferenceContent, EventRef
from sync.model.event import CalendarId, ConferenceId, EntryPoint, EventId, EventTime
from tests.support.rest_contract import check_answer, check_request

Json = dict[str, Any]

NOW = datetime(2030, 5, 2, 8, 0, tzinfo=UTC)
SECRET = "projects/p/secrets/my-web"
CONTENT = ConferenceContent(
    event=EventRef(calendar_id=CalendarId("anna@example.com"), event_id=EventId("e1")),
    title="Planning \N{BIRTHDAY CAKE}",
    description="Bring cake",
    start=EventTime(
        moment=datetime.fromisoformat("2030-05-02T10:00:00+02:00"), time_zone="Europe/Berlin"
    ),
    end=EventTime(
        moment=datetime.fromisoformat("2030-05-02T11:00:00+02:00"), time_zone="Europe/Berlin"
    ),
    recurrence=("RRULE:FREQ=WEEKLY",),
    organizer="anna@example.com",
    attendees=("ben@example.com",),
    ical_uid="e1@google.com",
)
BARE = ConferenceContent(
    event=CONTENT.event,
    title="",
    description="",
    start=EventTime(day=date(2030, 5, 2)),
    end=EventTime(day=date(2030, 5, 3)),
)


class Clock:
    """Stands still until it is turned."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class Secrets:
    """What the adapter reads its secret through: remembers for as long as it is allowed to, by
    the test's clock."""

    def __init__(self, clock: Clock) -> None:
        self.payload: bytes | SyncError = b'{"token": "first"}'
        self.reads = 0
        self._clock = clock
        self._known: tuple[bytes, datetime] | None = None

    def __call__(self, _name: str, max_age_seconds: float) -> bytes:
        if self._known and self._clock() - self._known[1] < timedelta(seconds=max_age_seconds):
            return self._known[0]
        self.reads += 1
        if isinstance(self.payload, SyncError):
            raise self.payload
        self._known = (self.payload, self._clock())
        return self.payload


def settings(base_url: str, **options: Any) -> ProviderSettings:
    return ProviderSettings(
        name="my-web",
        type="rest",
        secret=SECRET,
        solutions=("My Web Conference",),
        uris=("https://meet.example.com/{id}",),
        options={"base_url": base_url, **options},
    )


def context(secrets: Callable[[str, float], bytes], clock: Callable[[], datetime]) -> Context:
    return Context(read_secret=secrets, clock=clock)


class Notary(http.server.ThreadingHTTPServer):
    """Stands between the adapter and the system, and holds both against the contract."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        self.client = httpx.Client(base_url=target, verify=False, trust_env=False)
        self.violations: list[str] = []
        self.paths: list[str] = []
        super().__init__((LOOPBACK, 0), _Desk)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.server_address[1]}"


class _Desk(http.server.BaseHTTPRequestHandler):
    server: Notary
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kept = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in ("host", "connection")
        }
        request = self.server.client.build_request(
            self.command, self.path, content=content, headers=kept
        )
        self.server.paths.append(self.path)
        self._noted(check_request, request)
        response = self.server.client.send(request)
        self._noted(check_answer, response)
        self.send_response(response.status_code)
        for name in ("Content-Type", "Retry-After"):
            if name in response.headers:
                self.send_header(name, response.headers[name])
        if response.status_code != 204:
            self.send_header("Content-Length", str(len(response.content)))
        self.end_headers()
        self.wfile.write(response.content)

    do_GET = do_POST = do_PUT = do_DELETE = _pass_on

    def _noted(self, check: Callable[[Any], None], what: Any) -> None:
        try:
            check(what)
        except Exception as error:
            self.server.violations.append(f"{self.command} {self.path}: {error!r}")

    def log_message(self, format: str, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[Rest]:
    conferencing = Rest()
    conferencing.start()
    yield conferencing
    conferencing.stop()


@pytest.fixture
def conferencing(server: Rest) -> Rest:
    server.reset("first")
    return server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def secrets(clock: Clock) -> Secrets:
    return Secrets(clock)


@pytest.fixture
def provider(conferencing: Rest, secrets: Secrets, clock: Clock) -> Iterator[RestProvider]:
    provider = RestProvider(settings(f"{conferencing.url}/api/"), context(secrets, clock))
    yield provider
    provider.close()


@pytest.fixture
def notary(conferencing: Rest) -> Iterator[Notary]:
    notary = Notary(conferencing.url)
    thread = threading.Thread(target=notary.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield notary
    notary.shutdown()
    thread.join()
    notary.server_close()
    notary.client.close()
    assert notary.violations == []


@pytest.fixture
def honest(notary: Notary, secrets: Secrets, clock: Clock) -> Iterator[RestProvider]:
    """The adapter with the notary in between."""
    provider = RestProvider(settings(f"{notary.url}/api"), context(secrets, clock))
    yield provider
    provider.close()


# The contract.


@pytest.mark.parametrize("content", [CONTENT, BARE], ids=["C1-whole", "C1-bare-all-day"])
def test_c1_a_conference_lives_its_life_within_the_contract(
    honest: RestProvider, conferencing: Rest, content: ConferenceContent
) -> None:
    """Created, read, updated, deleted: every request and answer keeps to the published contract."""
    made = honest.create(content, "key-1")
    stored = conferencing.conferences[made.conference_id]
    assert {name: stored[name] for name in body_of(content)} == body_of(content)
    assert [point.kind for point in made.entry_points] == ["video", "phone"]
    assert honest.read(made.conference_id) == made
    honest.update(made.conference_id, replace(content, title="Another"), frozenset({"title"}))
    assert conferencing.conferences[made.conference_id]["title"] == "Another"
    honest.delete(made.conference_id)
    assert conferencing.deleted == [made.conference_id]
    assert [request.method for request in conferencing.requests] == ["POST", "GET", "PUT", "DELETE"]


@pytest.mark.parametrize(
    "original_start", ["2030-05-09T08:00:00Z", "2030-05-09"], ids=["E5-timed", "E5-all-day"]
)
def test_e5_occurrences_are_changed_and_cancelled_within_the_contract(
    honest: RestProvider, conferencing: Rest, original_start: str
) -> None:
    """One occurrence, named by its original start; the series' own content stays."""
    made = honest.create(CONTENT, "key-1")
    honest.update_occurrence(
        made.conference_id, original_start, replace(CONTENT, title="Later", recurrence=())
    )
    stored = conferencing.conferences[made.conference_id]
    assert stored["occurrences"][original_start]["title"] == "Later"
    honest.cancel_occurrence(made.conference_id, original_start)
    assert stored["occurrences"] == {original_start: None}
    assert stored["title"] == CONTENT.title


def test_c4_the_same_key_gives_the_same_conference(
    honest: RestProvider, conferencing: Rest
) -> None:
    """However often a creation is repeated, one conference is made for each key."""
    first = honest.create(CONTENT, "key-1")
    assert honest.create(CONTENT, "key-1") == first
    assert honest.create(CONTENT, "key-2") != first
    assert conferencing.created == 2
    assert [request.idempotency_key for request in conferencing.requests] == [
        "key-1",
        "key-1",
        "key-2",
    ]


@pytest.mark.parametrize("status", [404, 410])
def test_c3_gone_is_gone(honest: RestProvider, conferencing: Rest, status: Any) -> None:
    """An update or a look at what is not there says so; deleting it is done."""
    conferencing.settings.gone_status = status
    made = honest.create(CONTENT, "key-1")
    conferencing.forget(made.conference_id)
    for call in (
        lambda: honest.update(made.conference_id, CONTENT, frozenset({"title"})),
        lambda: honest.read(made.conference_id),
    ):
        with pytest.raises(Gone):
            call()
    honest.delete(made.conference_id)


def test_c3_a_refused_content_is_invalid_with_the_system_s_own_words(
    honest: RestProvider, conferencing: Rest
) -> None:
    """422 is not repeated; the operator reads why."""
    conferencing.settings.max_title = 3
    with pytest.raises(Invalid, match="my-web answered 422: The title is longer than 3 characters"):
        honest.create(CONTENT, "key-1")


@pytest.mark.parametrize("form", ["seconds", "http-date", "iso"])
def test_c3_a_rate_limit_is_obeyed_in_every_form(
    provider: RestProvider, conferencing: Rest, clock: Clock, form: Any
) -> None:
    """429 is tried later, after as long as the system asked for."""
    conferencing.settings.requests_per_second = 1
    conferencing.settings.retry_after_form = form
    clock.now = datetime.now(UTC)
    made = conferencing.add()
    provider.read(made["id"])
    with pytest.raises(TryLater) as caught:
        provider.read(made["id"])
    assert caught.value.after is not None
    assert timedelta() < caught.value.after <= timedelta(seconds=4)
    assert not caught.value.outcome_unknown


@pytest.mark.parametrize(
    "conference_id",
    ["a/b", "a b", "a?b#c", "%2F", "ä\N{BIRTHDAY CAKE}", "a+b=c&d", "1:2;3,4", "\\", "'\""],
)
def test_ids_are_quoted(
    notary: Notary, secrets: Secrets, clock: Clock, conferencing: Rest, conference_id: str
) -> None:
    """Whatever stands in an id, it is one part of the path, and no other conference is meant."""
    provider = RestProvider(settings(f"{notary.url}/api"), context(secrets, clock))
    conferencing.add(id=conference_id)
    safe = "/" not in conference_id  # the stand-in's own server joins %2F to the path
    try:
        provider.delete(ConferenceId(conference_id))
        # Where the server joins %2F to the path, it finds nothing and is asked again (C4).
        [path] = set(notary.paths)
        assert path.startswith("/api/conferences/")
        assert set(path.removeprefix("/api/conferences/")) <= set(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789%-._~"
        )
        if safe:
            assert conferencing.deleted == [conference_id]
    finally:
        provider.close()
        notary.violations.clear()


@pytest.mark.parametrize("conference_id", [".", ".."])
def test_an_id_that_would_be_a_step_in_the_path_is_refused(
    provider: RestProvider, conferencing: Rest, conference_id: str
) -> None:
    """No quoting keeps a client or a proxy from resolving it; nothing is sent."""
    with pytest.raises(Invalid):
        provider.delete(ConferenceId(conference_id))
    assert len(conferencing.requests) == 0


@pytest.mark.parametrize("status", [404, 405, 501])
def test_e5_a_system_without_occurrences_says_so_once(
    provider: RestProvider, conferencing: Rest, status: Any
) -> None:
    """405 and 501 are about the whole system, and it is not asked again; 404 may be about this
    series alone, or tell that the whole conference is gone."""
    conferencing.settings.occurrences = False
    conferencing.settings.occurrence_refusal = status
    made = conferencing.add()
    for _ in range(3):
        with pytest.raises(NoOccurrences):
            provider.cancel_occurrence(made["id"], "2030-05-09")
        with pytest.raises(NoOccurrences):
            provider.update_occurrence(made["id"], "2030-05-09", CONTENT)
    asked = [request for request in conferencing.requests if "/occurrences/" in request.path]
    assert len(asked) == (12 if status == 404 else 1)
    conferencing.forget(made["id"])
    with pytest.raises(Gone if status == 404 else NoOccurrences):
        provider.cancel_occurrence(made["id"], "2030-05-09")


def test_e5_other_errors_of_an_occurrence_are_what_they_are(
    provider: RestProvider, conferencing: Rest
) -> None:
    """A rate limit or a refusal is not taken for a system without occurrences."""
    made = conferencing.add()
    for status, expected in (
        (429, TryLater),
        (503, TryLater),
        (400, Invalid),
        (403, NotAllowed),
        (410, Gone),
    ):
        conferencing.faults.add(status=status, body={"error": {"message": "No."}})
        with pytest.raises(expected):
            provider.cancel_occurrence(made["id"], "2030-05-09")


# C2: credentials.


def test_c2_a_rotated_secret_needs_no_deploy(
    provider: RestProvider, conferencing: Rest, secrets: Secrets, clock: Clock
) -> None:
    """A 401 reads the secret again, tries once more with the new token, and goes on with it."""
    made = conferencing.add()
    provider.read(made["id"])
    conferencing.tokens = {"second"}
    secrets.payload = b'{"token": "second"}'
    clock.now += timedelta(seconds=2)
    provider.read(made["id"])
    provider.read(made["id"])
    assert [request.status for request in conferencing.requests] == [200, 401, 200, 200]
    assert secrets.reads == 2


def test_c2_a_rotated_secret_is_found_in_secret_manager(
    conferencing: Rest, secret_manager: SecretManagerStandIn
) -> None:
    """The same through the real client, whose memory is minutes long."""
    name = "projects/p/secrets/rest-rotation"
    secret_manager.put(name, {"token": "first"})
    manager = SecretManager(emulator=secret_manager.host)
    provider = RestProvider(
        replace(settings(f"{conferencing.url}/api"), secret=name),
        context(
            lambda secret, age: manager.read(secret, max_age_seconds=age),
            lambda: datetime.now(UTC),
        ),
    )
    made = conferencing.add()
    provider.read(made["id"])
    secret_manager.put(name, {"token": "second"})
    conferencing.tokens = {"second"}
    time.sleep(1.05)  # the secret is read again at most once a second
    provider.read(made["id"])
    assert [request.status for request in conferencing.requests] == [200, 401, 200]
    provider.close()
    manager.close()


def test_c2_a_token_that_stays_refused_is_credentials_and_tried_once(
    provider: RestProvider, conferencing: Rest, clock: Clock
) -> None:
    """The secret holds the same token still: one request, and one failure of the provider."""
    conferencing.tokens = {"another"}
    clock.now += timedelta(seconds=2)
    with pytest.raises(CredentialsRefused, match="refuses our token") as caught:
        provider.read(ConferenceId("c-1"))
    assert caught.value.provider == "my-web"
    assert [request.status for request in conferencing.requests] == [401]


def test_c5_a_refused_token_is_not_tried_again_for_each_event(
    provider: RestProvider, conferencing: Rest, clock: Clock
) -> None:
    """A thousand events do not make a thousand refused requests; some seconds later it is tried
    again."""
    made = conferencing.add()
    conferencing.tokens = {"another"}
    for _ in range(1000):
        with pytest.raises(CredentialsRefused):
            provider.update(made["id"], CONTENT, frozenset({"title"}))
    assert len(conferencing.requests) == 1
    conferencing.tokens = {"first"}
    clock.now += timedelta(seconds=6)
    provider.read(made["id"])
    assert len(conferencing.requests) == 2


def test_c2_a_new_token_is_used_at_once_after_a_refusal(
    provider: RestProvider, conferencing: Rest, secrets: Secrets, clock: Clock
) -> None:
    """Only the refused token is not tried again: another one is, without waiting."""
    made = conferencing.add()
    conferencing.tokens = {"second"}
    with pytest.raises(CredentialsRefused):
        provider.read(made["id"])
    secrets.payload = b'{"token": "second"}'
    clock.now += timedelta(seconds=2)
    provider.read(made["id"])
    assert [request.status for request in conferencing.requests] == [401, 200]


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="C2-empty"),
        pytest.param(b"token", id="C2-not-json"),
        pytest.param(b"\xff\xfe\xfd", id="C2-bytes"),
        pytest.param(b"[]", id="C2-list"),
        pytest.param(b"null", id="C2-null"),
        pytest.param(b"{}", id="C2-no-token"),
        pytest.param(b'{"token": 5}', id="C2-number"),
        pytest.param(b'{"token": " "}', id="C2-blank"),
        pytest.param('{"token": "schlüssel"}'.encode(), id="C2-beyond-ascii"),
        pytest.param(b'{"token": "two\\nlines"}', id="C2-two-lines"),
    ],
)
def test_c2_a_secret_of_another_form_is_credentials_with_the_mend(
    provider: RestProvider, conferencing: Rest, secrets: Secrets, payload: bytes
) -> None:
    """The operator reads which secret and what it must hold; nothing was sent."""
    secrets.payload = payload
    with pytest.raises(CredentialsRefused, match=rf'{SECRET} must hold JSON of the form {{"token"'):
        provider.read(ConferenceId("c-1"))
    assert conferencing.requests == []


@pytest.mark.parametrize("payload", [b'{"tokn": "first"}', b'{"token": "fi rst"}'])
def test_c2_a_secret_that_is_put_right_is_read_at_once(
    provider: RestProvider, conferencing: Rest, secrets: Secrets, clock: Clock, payload: bytes
) -> None:
    """Nothing was sent, so no 401 tells; and a hundred events read it once a second at most."""
    secrets.payload = payload
    for _ in range(100):
        with pytest.raises(CredentialsRefused):
            provider.read(ConferenceId("c-1"))
    assert secrets.reads == 1
    secrets.payload = b'{"token": "first"}'
    clock.now += timedelta(seconds=2)
    provider.read(conferencing.add()["id"])
    assert secrets.reads == 2


def test_c2_a_token_with_a_line_end_is_a_good_one(
    provider: RestProvider, conferencing: Rest, secrets: Secrets
) -> None:
    """Who pipes a token into a secret often adds a line end."""
    secrets.payload = b'{"token": "first\\n"}\n'
    assert provider.read(conferencing.add()["id"])


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(Invalid("there is none"), CredentialsRefused, id="C2-missing"),
        pytest.param(NotAllowed("closed"), CredentialsRefused, id="C2-closed"),
        pytest.param(TryLater("not now"), TryLater, id="C2-out-of-reach"),
    ],
)
def test_c2_a_secret_that_cannot_be_read(
    provider: RestProvider, secrets: Secrets, error: SyncError, expected: type[SyncError]
) -> None:
    """Missing or closed is the operator's to mend; out of reach heals itself."""
    secrets.payload = error
    with pytest.raises(expected, match=str(error)):
        provider.read(ConferenceId("c-1"))


# C3: what an answer means.

ERROR = b'{"error": {"message": "Their words."}}'
CLASSES: dict[str, tuple[int, type[SyncError] | None, bool]] = {
    **{f"C3-{status}-done": (status, None, False) for status in (200, 201, 202, 204)},
    **{f"C3-{status}-redirect": (status, Invalid, False) for status in (301, 302, 303, 307, 308)},
    "C3-400": (400, Invalid, False),
    "C3-401": (401, CredentialsRefused, False),
    "C3-402": (402, Invalid, False),
    "C3-403": (403, NotAllowed, False),
    "C3-404": (404, Gone, False),
    "C3-405": (405, Invalid, False),
    "C3-406": (406, Invalid, False),
    "C3-408": (408, TryLater, True),
    "C3-409": (409, TryLater, False),
    "C3-410": (410, Gone, False),
    "C3-412": (412, Invalid, False),
    "C3-413": (413, Invalid, False),
    "C3-415": (415, Invalid, False),
    "C3-418": (418, Invalid, False),
    "C3-422": (422, Invalid, False),
    "C3-423": (423, TryLater, False),
    "C3-425": (425, TryLater, False),
    "C3-429": (429, TryLater, False),
    **{f"C3-{status}": (status, TryLater, True) for status in (500, 501, 502, 503, 504, 520, 599)},
}


@pytest.mark.parametrize(
    ("status", "expected", "unknown"), list(CLASSES.values()), ids=list(CLASSES)
)
@pytest.mark.parametrize("body", [b"", ERROR, b"<html>no</html>"], ids=["empty", "words", "html"])
def test_c3_every_status_has_one_meaning(
    status: int, expected: type[SyncError] | None, unknown: bool, body: bytes
) -> None:
    """Done, gone, later, invalid, not allowed, credentials; the wait asked for goes with later."""
    after = timedelta(seconds=7)
    error = classify(Answer(status, {"Retry-After": "7"}, body), "my-web", NOW)
    if expected is Gone and body != ERROR:
        # A page, or nothing, is no word of the system itself.
        assert type(error) is TryLater
        return
    assert type(error) is (expected or type(None))
    if isinstance(error, TryLater):
        assert (error.after, error.outcome_unknown) == (after, unknown)
    if error is not None:
        assert f"my-web answered {status}" in str(error)
    if isinstance(error, CredentialsRefused):
        assert error.provider == "my-web"


@given(status=st.integers(200, 599), body=st.binary(max_size=50))
def test_c3_no_answer_is_a_crash(status: int, body: bytes) -> None:
    """Any status with any body means something."""
    error = classify(Answer(status, {}, body), "my-web", NOW)
    assert (error is None) == (200 <= status < 300)


def test_c3_the_system_s_words_are_cut_short() -> None:
    """A page-long message does not fill the list of failures."""
    body = json.dumps({"error": {"message": "x" * 10_000}}).encode()
    assert len(str(classify(Answer(400, {}, body), "my-web", NOW))) < 300


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"truncate": True}, id="C3-truncated"),
        pytest.param({"status": 200, "body": "<html>Welcome</html>"}, id="C3-html"),
        pytest.param({"status": 200, "body": ""}, id="C3-empty"),
        pytest.param({"status": 200, "body": []}, id="C3-list"),
        pytest.param({"status": 200, "body": {"title": "no id"}}, id="C3-no-id"),
        pytest.param({"status": 200, "body": {"id": ""}}, id="C3-empty-id"),
        pytest.param({"status": 200, "body": {"id": None}}, id="C3-null-id"),
        pytest.param(
            {"status": 200, "body": {"id": "c-1", "notes": "x" * 3_000_000}}, id="C3-huge"
        ),
        pytest.param({"status": 201, "after": True, "body": ""}, id="C3-empty-after-the-effect"),
    ],
)
def test_c3_success_without_a_conference_is_not_believed(
    provider: RestProvider, conferencing: Rest, fault: Json
) -> None:
    """A proxy's page or half an answer tells nothing: tried later, outcome unknown."""
    made = conferencing.add()
    for call in (
        lambda: provider.create(CONTENT, "key-1"),
        lambda: provider.read(made["id"]),
        lambda: provider.update(made["id"], CONTENT, frozenset({"title"})),
    ):
        conferencing.faults.add(**fault)
        with pytest.raises(TryLater) as caught:
            call()
        assert caught.value.outcome_unknown


def test_c3_an_update_may_be_answered_with_nothing(
    provider: RestProvider, conferencing: Rest
) -> None:
    """204 has no body by its nature, and is a success."""
    made = conferencing.add()
    conferencing.faults.add(status=204)
    provider.update(made["id"], CONTENT, frozenset({"title"}))


def test_c3_a_redirect_names_the_setting(provider: RestProvider, conferencing: Rest) -> None:
    """It is not followed, and the operator is told where to look."""
    conferencing.faults.add(status=302, headers={"Location": f"{conferencing.url}/api/conferences"})
    with pytest.raises(Invalid, match="redirect; check base_url"):
        provider.read(ConferenceId("c-1"))
    assert len(conferencing.requests) == 1


def test_c3_a_request_whose_answer_was_lost_leaves_the_outcome_unknown(
    provider: RestProvider, conferencing: Rest
) -> None:
    """The conference was made; the same key gives it when the call is repeated."""
    conferencing.faults.add(after=True)
    with pytest.raises(TryLater) as caught:
        provider.create(CONTENT, "key-1")
    assert caught.value.outcome_unknown
    assert list(conferencing.conferences) == [provider.create(CONTENT, "key-1").conference_id]
    assert conferencing.created == 1


def test_c3_a_system_that_is_down_did_nothing(
    secrets: Secrets, clock: Clock, conferencing: Rest
) -> None:
    """Nobody listens there: tried later, and certainly nothing happened."""
    provider = RestProvider(
        settings(f"http://{LOOPBACK}:{free_port()}/api"), context(secrets, clock)
    )
    with pytest.raises(TryLater) as caught:
        provider.create(CONTENT, "key-1")
    assert not caught.value.outcome_unknown
    assert conferencing.requests == []
    provider.close()


def test_half_a_character_in_a_title_is_no_crash(
    provider: RestProvider, conferencing: Rest
) -> None:
    """A title cut short inside an emoji is sent as well as can be, or refused as invalid; never
    another exception."""
    made = conferencing.add()
    with suppress(Invalid):
        provider.update(made["id"], replace(CONTENT, title="cake \ud83c"), frozenset({"title"}))


# Values.


def test_a_conference_is_written_as_the_contract_says() -> None:
    """Offsets as Calendar sent them, dates where it is all day, lists for tuples."""
    body = body_of(CONTENT)
    assert (body["start"], body["end"]) == (
        "2030-05-02T10:00:00+02:00",
        "2030-05-02T11:00:00+02:00",
    )
    assert (body["all_day"], body["recurrence"]) == (False, ["RRULE:FREQ=WEEKLY"])
    assert body["event"] == {
        "calendar_id": "anna@example.com",
        "event_id": "e1",
        "ical_uid": "e1@google.com",
    }
    bare = body_of(BARE)
    assert (bare["start"], bare["end"], bare["all_day"]) == ("2030-05-02", "2030-05-03", True)


def test_a_way_in_is_read_with_what_it_has_and_odd_things_are_passed_over() -> None:
    """Entry points without an address are none; unknown kinds are kept; a number is as good an
    id as a text."""
    found = way_in(
        {
            "id": 7,
            "entry_points": [
                {
                    "type": "video",
                    "uri": "https://meet.example.com/7",
                    "label": "Join",
                    "passcode": "123",
                    "pin": 5,
                },
                {"type": "hologram", "uri": "holo:7"},
                {"type": "phone"},
                "nonsense",
                {"uri": 5},
            ],
            "notes": ["a"],
        }
    )
    assert found.conference_id == "7"
    assert found.notes is None
    assert found.entry_points == (
        EntryPoint(kind="video", uri="https://meet.example.com/7", label="Join", passcode="123"),
        EntryPoint(kind="hologram", uri="holo:7"),
    )
    assert way_in({"id": "a", "entry_points": "none", "notes": "bring cake"}).notes == "bring cake"


def test_c1_the_rules_are_those_of_the_settings() -> None:
    """Name, solutions and links come from the settings, fields and occurrences from the
    contract."""
    provider = RestProvider(
        settings("https://meet.example.com/api"), context(lambda *_: b"", Clock())
    )
    rules = provider.rules
    assert (rules.name, rules.solutions, rules.fields) == (
        "my-web",
        frozenset({"My Web Conference"}),
        RestProvider.FIELDS,
    )
    assert rules.occurrences
    assert not rules.drops_occurrences
    assert rules.uris[0].fullmatch("https://meet.example.com/c-1")
    provider.close()


def test_c1_the_registry_builds_what_is_configured_and_refuses_what_is_not_known() -> None:
    """One provider for each entry, by name; an unknown type or a missing address is a mistake of
    configuration."""
    entry = settings("https://meet.example.com/api")
    built = registry.providers(
        [entry, replace(entry, name="other")], context(lambda *_: b"", Clock())
    )
    assert {name: type(one) for name, one in built.items()} == {
        "my-web": RestProvider,
        "other": RestProvider,
    }
    for one in built.values():
        one.close()
    registry.check([entry])
    with pytest.raises(
        ConfigurationError,
        match=r"SYNC_PROVIDERS, provider my-web: type telepathy is unknown; use one of",
    ):
        registry.check([replace(entry, type="telepathy")])
    with pytest.raises(
        ConfigurationError, match=r"SYNC_PROVIDERS, provider my-web: base_url is missing; set it"
    ):
        registry.providers([replace(entry, options={})], context(lambda *_: b"", Clock()))


def test_many_threads_use_one_adapter(provider: RestProvider, conferencing: Rest) -> None:
    """Eight at once, side by side."""
    made = [conferencing.add()["id"] for _ in range(8)]
    conferencing.faults.add(times=8, delay_seconds=0.1)
    with ThreadPoolExecutor(8) as pool:
        assert [way.conference_id for way in pool.map(provider.read, made)] == made
    assert conferencing.max_concurrency > 1
