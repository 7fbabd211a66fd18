"""ID tokens of the add-on's users against the stand-in of Google's identity (A1)."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import flask
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from hypothesis import given
from hypothesis import strategies as st

from sandbox.google_identity import AUDIENCE, GoogleIdentity
from sandbox.servers import HttpServer, free_port
from sync.errors import Forged, TryLater
from sync.google.id_tokens import IdTokens, User

ROOT = Path(__file__).resolve().parent.parent.parent
ANNA = "anna@example.com"
BELIEVED = User(email=ANNA, domain="example.com")


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="module")
def shared_clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def shared_identity(shared_clock: Clock) -> Iterator[GoogleIdentity]:
    """One for the module: keys take long to make."""
    with GoogleIdentity(now=shared_clock) as identity:
        yield identity


@pytest.fixture(scope="module")
def bad_tokens(shared_identity: GoogleIdentity) -> dict[str, str]:
    return shared_identity.bad_tokens(ANNA)


@pytest.fixture
def clock(shared_clock: Clock) -> Iterator[Clock]:
    """What a module shares is made by the clock too: it tells the real time between tests."""
    shared_clock.now = datetime.now(UTC)
    yield shared_clock
    shared_clock.now = datetime.now(UTC)


@pytest.fixture
def identity(shared_identity: GoogleIdentity) -> Iterator[GoogleIdentity]:
    """The stand-in with nothing armed and nothing counted."""
    shared_identity.faults.clear()
    shared_identity.key_requests = 0
    yield shared_identity
    shared_identity.faults.clear()


@pytest.fixture
def tokens(identity: GoogleIdentity, clock: Clock) -> IdTokens:
    return of(identity.certs_url, clock)


def of(certs_url: str, clock: Callable[[], datetime]) -> IdTokens:
    return IdTokens(
        certs_url,
        frozenset({AUDIENCE, "another"}),
        frozenset({"example.com", "example.org"}),
        clock,
    )


def refusal(tokens: IdTokens, header: str) -> str:
    """The word for the log with which a header is refused."""
    with pytest.raises(Forged) as caught:
        tokens.verify(header)
    return str(caught.value)


def test_a1_a_users_token_is_believed(identity: GoogleIdentity, tokens: IdTokens) -> None:
    """Address and domain come from the token, in small letters; keys are read once."""
    for token in (
        identity.token(ANNA),
        identity.token("Anna@Example.com", issuer="accounts.google.com", domain="Example.com"),
        identity.token(ANNA, audience="another"),
    ):
        assert tokens.verify(f"Bearer {token}") == BELIEVED
        assert tokens.verify(f"bearer {token}") == BELIEVED
    assert identity.key_requests == 1


REASONS = {
    "expired": "expired",
    "issued in the future": "issued-in-the-future",
    "other audience": "audience",
    "other issuer": "issuer",
    "other domain": "domain",
    "no domain": "domain",
    "no address": "address",
    "unverified address": "address-not-verified",
    "forged": "signature",
    "unknown key": "unknown-key",
    "unsigned": "algorithm",
    "signed with the certificate": "algorithm",
    "altered": "signature",
    "cut off": "signature",
    "no token": "malformed",
}


def test_a1_no_bad_token_is_believed(identity: GoogleIdentity, tokens: IdTokens) -> None:
    """Each way to be wrong is refused, and the log is told which."""
    bad = identity.bad_tokens(ANNA)
    assert {name: refusal(tokens, f"Bearer {token}") for name, token in bad.items()} == REASONS


WITHOUT_A_KEY = sorted(
    set(REASONS) - {"forged", "unknown key", "altered", "cut off"},
)


@pytest.mark.parametrize("name", WITHOUT_A_KEY)
def test_a1_what_can_be_refused_without_a_key_costs_no_call(
    identity: GoogleIdentity, tokens: IdTokens, bad_tokens: dict[str, str], name: str
) -> None:
    """An expired or stray token has nothing read for it."""
    header = f"Bearer {bad_tokens[name]}"
    for _ in range(20):
        refusal(tokens, header)
    assert identity.key_requests == 0


CLAIMS: dict[str, tuple[dict[str, Any], str]] = {
    "exp-absent": ({"exp": None}, "malformed"),
    "exp-is-text": ({"exp": "9999999999"}, "malformed"),
    "exp-is-endless": ({"exp": float("inf")}, "malformed"),
    "exp-is-no-number": ({"exp": float("nan")}, "malformed"),
    "exp-is-huge": ({"exp": 10**400}, "malformed"),
    "exp-is-true": ({"exp": True}, "malformed"),
    "iat-absent": ({"iat": None}, "malformed"),
    "nbf-is-text": ({"nbf": "1000000000"}, "malformed"),
    "nbf-is-endless": ({"nbf": float("inf")}, "malformed"),
    "nbf-is-to-come": ({"nbf": 9_999_999_999}, "not-yet-valid"),
    "aud-is-a-list": ({"aud": [AUDIENCE]}, "audience"),
    "iss-is-a-list": ({"iss": ["https://accounts.google.com"]}, "issuer"),
    "iss-with-a-slash": ({"iss": "https://accounts.google.com/"}, "issuer"),
    "verified-as-text": ({"email_verified": "true"}, "address-not-verified"),
    "verified-absent": ({"email_verified": None}, "address-not-verified"),
    "email-is-a-list": ({"email": [ANNA]}, "address"),
    "email-without-domain": ({"email": "anna"}, "address"),
    "email-with-two-ats": ({"email": "a@b@example.com"}, "address"),
    "email-with-a-line": ({"email": "anna@example.com\nx"}, "address"),
    "email-is-endless": ({"email": "a" * 100 + "@example.com"}, "address"),
    "hd-is-a-list": ({"hd": ["example.com"]}, "domain"),
    "hd-is-a-part": ({"hd": "ample.com"}, "domain"),
    "hd-is-below": ({"hd": "evil.example.com"}, "domain"),
}


@pytest.mark.parametrize(("claims", "reason"), list(CLAIMS.values()), ids=list(CLAIMS))
def test_a1_a_claim_of_another_form_is_refused(
    identity: GoogleIdentity, tokens: IdTokens, claims: dict[str, Any], reason: str
) -> None:
    """Also when Google's own key signed it: only what is expected is believed."""
    assert refusal(tokens, f"Bearer {identity.token(ANNA, **claims)}") == reason


@pytest.mark.parametrize(
    ("seconds", "believed"), [(3599, True), (3605, True), (3611, False), (-5, True), (-11, False)]
)
def test_a1_a_token_is_good_for_its_hour_and_a_few_seconds(
    identity: GoogleIdentity, tokens: IdTokens, clock: Clock, seconds: int, believed: bool
) -> None:
    """The clocks of two machines differ by seconds, not by more."""
    clock.now = clock.now.replace(microsecond=0)
    token = identity.token(ANNA)
    clock.now += timedelta(seconds=seconds)
    try:
        answer: User | None = tokens.verify(f"Bearer {token}")
    except Forged:
        answer = None
    assert (answer == BELIEVED) is believed


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def odd_headers() -> dict[str, tuple[str, str]]:
    claims = encoded({"iss": "accounts.google.com"})
    rs256 = {"alg": "RS256", "kid": "k"}
    return {
        "nothing": ("", "missing"),
        "no-scheme": ("a.b.c", "malformed"),
        "basic": ("Basic YTpi", "malformed"),
        "two-parts": ("Bearer a.b", "malformed"),
        "four-parts": ("Bearer a.b.c.d", "malformed"),
        "empty-parts": ("Bearer ..", "malformed"),
        "huge": ("Bearer " + "a" * 20_000, "too-long"),
        "no-base64": ("Bearer !.!.!", "malformed"),
        "accents": ("Bearer \xe4.b.c", "malformed"),
        "no-json": ("Bearer YWJj.YWJj.YWJj", "malformed"),
        "list": (f"Bearer {encoded([])}.{claims}.YWJj", "malformed"),
        "deep": (f"Bearer {'W1tb' * 2400}.e30.YWJj", "malformed"),
        "none": (f"Bearer {encoded({'alg': 'none'})}.{claims}.YWJj", "algorithm"),
        "HS256": (f"Bearer {encoded({'alg': 'HS256'})}.{claims}.YWJj", "algorithm"),
        "ES256": (f"Bearer {encoded({'alg': 'ES256'})}.{claims}.YWJj", "algorithm"),
        "alg-is-a-list": (f"Bearer {encoded({'alg': ['RS256']})}.{claims}.YWJj", "algorithm"),
        "an-extension": (f"Bearer {encoded(rs256 | {'crit': ['b64']})}.{claims}.YWJj", "extension"),
        "no-key-id": (f"Bearer {encoded({'alg': 'RS256'})}.{claims}.YWJj", "no-key-id"),
        "key-id-is-a-list": (f"Bearer {encoded(rs256 | {'kid': []})}.{claims}.YWJj", "no-key-id"),
        "endless-key-id": (
            f"Bearer {encoded(rs256 | {'kid': 'k' * 300})}.{claims}.YWJj",
            "no-key-id",
        ),
    }


@pytest.mark.parametrize(
    ("header", "reason"), list(odd_headers().values()), ids=list(odd_headers())
)
def test_a1_what_is_no_token_of_googles_is_refused_before_anything_is_read(
    clock: Clock, header: str, reason: str
) -> None:
    """No key, no call: nobody even listens where the keys would be."""
    assert refusal(of(f"http://127.0.0.1:{free_port()}/", clock), header) == reason


@given(
    header=st.text(max_size=60)
    | st.tuples(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8)).map(
        lambda parts: "Bearer " + ".".join(parts)
    )
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.dictionaries(st.sampled_from(["alg", "kid", "iss", "aud"]), inner),
    ).map(lambda value: f"Bearer {encoded(value)}.{encoded(value)}.YWJj")
)
def test_a1_whatever_the_header_it_is_believed_or_refused(header: str) -> None:
    """Nothing that a stranger sends is a crash, or reads anything."""
    tokens = of("http://127.0.0.1:1/", lambda: datetime(2026, 11, 26, tzinfo=UTC))
    assert refusal(tokens, header)


def test_a1_keys_are_kept_as_long_as_their_answer_allows(
    identity: GoogleIdentity, tokens: IdTokens, clock: Clock
) -> None:
    """Six hours and no second longer."""
    for hours in (0, 3, 2):
        clock.now += timedelta(hours=hours)
        tokens.verify(f"Bearer {identity.token(ANNA)}")
    assert identity.key_requests == 1
    clock.now += timedelta(hours=1)
    tokens.verify(f"Bearer {identity.token(ANNA)}")
    assert identity.key_requests == 2


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        pytest.param({}, 300, id="says-nothing"),
        pytest.param({"Cache-Control": "no-store"}, 300, id="not-at-all"),
        pytest.param({"Cache-Control": "public, max-age=5"}, 300, id="seconds"),
        pytest.param({"Cache-Control": "max-age=3600"}, 3600, id="an-hour"),
        pytest.param({"Cache-Control": "max-age=3600", "Age": "600"}, 3000, id="of-some-age"),
        pytest.param({"Cache-Control": "max-age=3600", "Age": "7200"}, 300, id="over"),
        pytest.param({"Cache-Control": "max-age=3600", "Age": "old"}, 3600, id="of-no-age"),
        pytest.param({"Cache-Control": "max-age=999999999"}, 86_400, id="years"),
        pytest.param({"Cache-Control": "s-maxage=3600"}, 300, id="for-proxies"),
    ],
)
def test_a1_keys_are_kept_for_minutes_at_least_and_a_day_at_most(
    identity: GoogleIdentity, clock: Clock, headers: dict[str, str], kept: int
) -> None:
    """No answer makes us ask for each token, or trust a key for ever."""
    with Answering(shown(identity), headers) as server:
        tokens = of(server.url, clock)
        tokens.verify(f"Bearer {identity.token(ANNA)}")
        clock.now += timedelta(seconds=kept - 1)
        tokens.verify(f"Bearer {identity.token(ANNA)}")
        assert server.requests == 1
        clock.now += timedelta(seconds=1)
        tokens.verify(f"Bearer {identity.token(ANNA)}")
        assert server.requests == 2


def test_a1_a_new_key_is_noticed_and_strangers_keys_are_asked_about_seldom(
    identity: GoogleIdentity, tokens: IdTokens, clock: Clock
) -> None:
    """A rotated key is believed at once; a flood of unknown ones costs one call in ten seconds."""
    tokens.verify(f"Bearer {identity.token(ANNA)}")
    old = identity.token(ANNA)
    identity.rotate()
    assert tokens.verify(f"Bearer {identity.token(ANNA)}") == BELIEVED
    assert tokens.verify(f"Bearer {old}") == BELIEVED
    assert identity.key_requests == 2
    stranger = f"Bearer {identity.bad_tokens(ANNA)['unknown key']}"
    for _ in range(3):
        for _ in range(50):
            assert refusal(tokens, stranger)
        clock.now += timedelta(seconds=10)
    assert identity.key_requests == 4
    identity.forget_old_keys()
    refusal(tokens, stranger)
    assert refusal(tokens, f"Bearer {old}") == "unknown-key"


def test_a1_the_last_good_keys_serve_while_the_address_does_not_answer(
    identity: GoogleIdentity, tokens: IdTokens, clock: Clock
) -> None:
    """A week without Google's keys: users are believed, strangers are not."""
    tokens.verify(f"Bearer {identity.token(ANNA)}")
    identity.faults.add(status=503, times=None)
    for days in (1, 7):
        clock.now += timedelta(days=days)
        stranger = f"Bearer {identity.bad_tokens(ANNA)['unknown key']}"
        for _ in range(20):
            assert tokens.verify(f"Bearer {identity.token(ANNA)}") == BELIEVED
            assert refusal(tokens, stranger)
    assert identity.key_requests == 3
    identity.faults.clear()
    identity.rotate()
    clock.now += timedelta(seconds=10)
    assert tokens.verify(f"Bearer {identity.token(ANNA)}") == BELIEVED


def test_a1_without_any_key_nobody_is_judged(identity: GoogleIdentity, tokens: IdTokens) -> None:
    """The user is asked to come again, and is believed once the address answers."""
    identity.faults.add(status=503, times=None)
    with pytest.raises(TryLater, match="SYNC_ADDON_CERTS_URL answered 503"):
        tokens.verify(f"Bearer {identity.token(ANNA)}")
    identity.faults.clear()
    identity.faults.add(status=503)
    assert tokens.verify(f"Bearer {identity.token(ANNA)}") == BELIEVED


def test_a1_an_address_out_of_reach_is_tried_later(identity: GoogleIdentity, clock: Clock) -> None:
    """Nobody listens there."""
    with pytest.raises(TryLater, match="did not answer"):
        of(f"http://127.0.0.1:{free_port()}/", clock).verify(f"Bearer {identity.token(ANNA)}")


def test_a1_many_users_at_once_share_one_call(identity: GoogleIdentity, tokens: IdTokens) -> None:
    """The first tokens of an instance read the keys once."""
    header = f"Bearer {identity.token(ANNA)}"
    identity.faults.add(delay_seconds=0.2, times=None)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(tokens.verify, [header] * 8)) == [BELIEVED] * 8
    assert identity.key_requests == 1


def test_a1_a_known_key_waits_for_no_stranger(identity: GoogleIdentity, tokens: IdTokens) -> None:
    """While a forged token has the keys read anew, which hangs, users are answered."""
    header = f"Bearer {identity.token(ANNA)}"
    stranger = f"Bearer {identity.bad_tokens(ANNA)['unknown key']}"
    tokens.verify(header)
    identity.faults.add(hang=True, times=None)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(tokens.verify, stranger)
        wait_until(lambda: identity.key_requests == 2)
        assert tokens.verify(header) == BELIEVED
        assert refusal(tokens, stranger) == "unknown-key"
        assert not asking.done()
        identity.faults.clear()
        assert isinstance(asking.exception(timeout=30), Forged)


def wait_until(true: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(1000):
        if true():
            return
        waiting.wait(0.01)
    raise AssertionError("it never became true")


class Answering:
    """A server that answers this to everything; counts its requests."""

    def __init__(self, body: bytes | str, headers: dict[str, str] | None = None) -> None:
        self.body = body
        self.requests = 0
        app = flask.Flask("certificates")

        @app.get("/certs")
        def certs() -> flask.Response:
            self.requests += 1
            return flask.Response(self.body, headers=headers, mimetype="application/json")

        self._server = HttpServer(app, threads=2)
        self.url = f"{self._server.url}/certs"

    def __enter__(self) -> Answering:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()


def shown(identity: GoogleIdentity) -> str:
    """The stand-in's keys as Google's first form, certificates by key id."""
    return json.dumps({key.id: key.pem for key in identity._keys})


def test_a1_keys_in_googles_other_form_are_read(identity: GoogleIdentity, clock: Clock) -> None:
    """A JWK set, as https://www.googleapis.com/oauth2/v3/certs answers; odd keys are left out."""
    key = identity._keys[-1]
    public = x509.load_pem_x509_certificate(key.pem.encode()).public_key()
    assert isinstance(public, RSAPublicKey)
    numbers = public.public_numbers()
    jwk = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": key.id}
    jwk |= {name: number(getattr(numbers, name)) for name in ("e", "n")}
    odd = [5, {}, jwk | {"kid": 5}, jwk | {"kid": "a", "kty": "EC"}, jwk | {"kid": "b", "n": "!"}]
    with Answering(json.dumps({"keys": [*odd, jwk]})) as server:
        tokens = of(server.url, clock)
        assert tokens.verify(f"Bearer {identity.token(ANNA)}") == BELIEVED
        assert refusal(tokens, f"Bearer {identity.bad_tokens(ANNA)['forged']}") == "signature"


def number(value: int) -> str:
    data = value.to_bytes((value.bit_length() + 7) // 8)
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    ["", "<html>", "[]", "{}", '{"k": 5}', '{"k": "no certificate"}', '{"keys": []}', "[" * 100_000,
     '{"k": "' + "x" * 300_000 + '"}'],
    ids=["empty", "page", "list", "none", "number", "text", "no-keys", "deep", "endless"],
)  # fmt: skip
def test_a1_an_answer_without_keys_takes_none_away(
    identity: GoogleIdentity, clock: Clock, body: str
) -> None:
    """Whatever is answered instead of keys, the last good ones stay; without any, try later."""
    with Answering(body) as server:
        with pytest.raises(TryLater, match="SYNC_ADDON_CERTS_URL"):
            of(server.url, clock).verify(f"Bearer {identity.token(ANNA)}")
        server.body = shown(identity)
        tokens = of(server.url, clock)
        tokens.verify(f"Bearer {identity.token(ANNA)}")
        server.body = body
        clock.now += timedelta(days=2)
        assert tokens.verify(f"Bearer {identity.token(ANNA)}") == BELIEVED


@pytest.mark.programs
def test_checking_tokens_loads_neither_store_nor_calendar() -> None:
    """A person waits for the first call of an instance: its imports are counted."""
    script = "import sys; import sync.google.id_tokens; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = set(done.stdout.split())
    assert not {"grpc", "google.cloud.firestore", "googleapiclient", "httplib2", "httpx"} & loaded
