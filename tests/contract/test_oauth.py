"""Tokens shared and renewed once for all; a refresh token that is itself renewed, stored so that
no crash loses it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import grpc
import pytest

from sandbox.secret_manager import SecretManager as SecretManagerStandIn
from sandbox.webex import Webex
from sandbox.zoom import Zoom
from sync import conferencing
from sync.conferencing import Context
from sync.conferencing.http import Answer
from sync.conferencing.text import one_line, plain_text, quoted, shortened
from sync.conferencing.tokens import classify_grant
from sync.errors import CredentialsRefused, TryLater
from sync.google.secret_manager import SecretManager
from sync.model.event import ConferenceId
from tests.support.processor import processor_time_below
from tests.support.providers import ALL, NOW, SECRET, Bench, bench_of, checked, content, settings_of


@pytest.fixture(scope="module")
def zoom_system() -> Iterator[Zoom]:
    system = Zoom()
    system.start()
    yield system
    system.stop()


@pytest.fixture(scope="module")
def webex_system() -> Iterator[Webex]:
    system = Webex()
    system.start()
    yield system
    system.stop()


@pytest.fixture
def zoom(zoom_system: Zoom) -> Iterator[Bench]:
    with checked(bench_of("zoom", zoom_system)) as bench:
        yield bench


@pytest.fixture
def webex(webex_system: Webex) -> Iterator[Bench]:
    with checked(bench_of("webex", webex_system)) as bench:
        yield bench


def use(bench: Bench, known: ConferenceId) -> None:
    bench.provider.update(known, content(), ALL)


def test_c2_a_token_is_renewed_before_it_expires(zoom: Bench) -> None:
    """In the last minutes of its life another is asked for; until then there is one request."""
    known = zoom.add()
    for minutes, grants in [(0, 1), (54, 1), (2, 2), (10, 2)]:
        zoom.now += timedelta(minutes=minutes)
        use(zoom, known)
        assert len(zoom.system.grants) == grants


def test_a_token_that_is_good_yet_bridges_an_outage(zoom: Bench) -> None:
    """The token endpoint is down while the token could be renewed: the old one serves until it
    expires."""
    known = zoom.add()
    use(zoom, known)
    zoom.system.faults.add(path="/oauth/token", status=503, times=None)
    zoom.now += timedelta(minutes=57)
    use(zoom, known)
    zoom.now += timedelta(minutes=4)
    with pytest.raises(TryLater):
        use(zoom, known)


def test_a_withdrawn_token_is_renewed_each_time(zoom: Bench) -> None:
    """Another instance's token voids ours (as seen at Zoom): renewed, and the caller notices
    nothing."""
    known = zoom.add()
    for _ in range(3):
        zoom.system.expire_tokens()
        use(zoom, known)
    assert len(zoom.system.grants) == 4 - 1


def test_c2_those_who_wait_share_a_failure(zoom: Bench) -> None:
    """Eight threads want a token from an endpoint that is down: it is not asked eight times."""
    known = zoom.add()
    zoom.system.faults.add(path="/oauth/token", status=503, delay_seconds=0.3, times=None)
    started = threading.Barrier(8)

    def call(_: int) -> bool:
        started.wait()
        try:
            use(zoom, known)
        except TryLater:
            return True
        return False

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(call, range(8)))
    assert len(zoom.system.grants) <= 2


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"access_token": "t", "expires_in": 3600}, None),
        (200, {"access_token": ""}, TryLater),
        (200, "<html>", TryLater),
        (200, {"access_token": "not\u2026ascii"}, TryLater),
        (
            400,
            {"reason": "Invalid client_id or client_secret", "error": "invalid_client"},
            CredentialsRefused,
        ),
        (400, {"errorCode": 4705, "reason": "The grant type is not supported"}, CredentialsRefused),
        (
            401,
            {
                "error": "invalid_client",
                "error_description": "AADSTS7000215: Invalid client secret",
            },
            CredentialsRefused,
        ),
        (400, {"error": "invalid_grant"}, CredentialsRefused),
        (400, {"error": "temporarily_unavailable"}, TryLater),
        (404, "<html>", CredentialsRefused),
        (302, "", CredentialsRefused),
        (429, "", TryLater),
        (500, {"error": "server_error"}, TryLater),
    ],
)
def test_answers_to_a_request_for_a_token(
    status: int, body: Any, expected: type[Exception] | None
) -> None:
    """Recorded shapes of three token endpoints; what cannot be mended by waiting is credentials."""
    data = body if isinstance(body, str) else json.dumps(body)
    found = classify_grant(Answer(status, {}, data.encode()), "zoom", SECRET, NOW)
    assert found is None if expected is None else isinstance(found, expected)
    if isinstance(found, CredentialsRefused):
        assert found.provider == "zoom"
        assert "AADSTS" not in str(found)


# A refresh token that is itself renewed.


def test_c2_a_renewed_refresh_token_is_stored(webex: Bench) -> None:
    """Stored before it is relied on; the next instance begins with it, and an unchanged one is
    not stored."""
    known = webex.add()
    use(webex, known)
    assert webex.replaced == []
    webex.system.renews_refresh_token = webex.system.voids_refresh_token = True
    webex.now += timedelta(hours=2)
    use(webex, known)
    assert json.loads(webex.secret) == webex.system.secret
    webex.make().update(known, content(title="Next instance"), ALL)
    assert len(webex.replaced) == 2


def test_a_refresh_token_that_cannot_be_stored_is_kept(
    webex: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Secret Manager is down: the work goes on, the operator is told, and it is stored a little
    later."""
    known = webex.add()
    webex.system.renews_refresh_token = webex.system.voids_refresh_token = True
    down = True

    def replace(name: str, old: bytes, new: bytes) -> None:
        if down:
            raise TryLater("Secret Manager is down")
        webex.replace_secret(name, old, new)

    settings = conferencing_settings(webex)
    context = Context(
        read_secret=webex.read_secret, clock=lambda: webex.now, replace_secret=replace
    )
    made = webex.keep(conferencing.providers(settings, context)["webex"])
    made.update(known, content(), ALL)
    assert webex.replaced == []
    assert "refresh token could not be stored" in caplog.text
    assert webex.system.refresh_token not in caplog.text
    webex.now += timedelta(hours=2)
    made.update(known, content(), ALL)
    down = False
    webex.now += timedelta(minutes=1)
    made.update(known, content(), ALL)
    assert json.loads(webex.secret) == webex.system.secret


def conferencing_settings(bench: Bench) -> Any:
    return [settings_of(bench.entry)]


def test_somebody_elses_new_secret_stays(webex: Bench) -> None:
    """An operator stores another secret while we renew: ours does not take its place."""
    known = webex.add()
    webex.system.renews_refresh_token = True
    operators = json.dumps({**json.loads(webex.secret), "note": "by hand"}).encode()
    reads = 0

    def read(_name: str, _age: float) -> bytes:
        nonlocal reads
        reads += 1
        if reads > 1:
            webex.secret = operators
        return webex.secret

    context = Context(
        read_secret=read, clock=lambda: webex.now, replace_secret=webex.replace_secret
    )
    made = webex.keep(conferencing.providers(conferencing_settings(webex), context)["webex"])
    made.update(known, content(), ALL)
    assert webex.secret == operators


@pytest.fixture(scope="module")
def secret_manager() -> Iterator[SecretManagerStandIn]:
    stand_in = SecretManagerStandIn()
    stand_in.start()
    yield stand_in
    stand_in.stop()


@pytest.fixture
def secrets(secret_manager: SecretManagerStandIn) -> Iterator[SecretManager]:
    client = SecretManager(emulator=secret_manager.host)
    yield client
    client.close()


def states(stand_in: SecretManagerStandIn, name: str) -> list[str]:
    return [version.state.name for version in stand_in.versions(name)]


def test_a_secrets_next_version_takes_the_place_of_the_older(
    secret_manager: SecretManagerStandIn, secrets: SecretManager
) -> None:
    """Added first, then the older ones are destroyed; another's newest version is left alone."""
    name = "projects/p/secrets/refreshed"
    secret_manager.put(name, "one")
    secrets.replace(name, b"one", b"two")
    assert secrets.read(name) == b"two"
    assert states(secret_manager, name) == ["ENABLED", "DESTROYED"]
    secrets.replace(name, b"one", b"three")
    assert secrets.read(name, max_age_seconds=0) == b"two"


@pytest.mark.parametrize(
    "method", ["AddSecretVersion", "ListSecretVersions", "DestroySecretVersion"]
)
@pytest.mark.parametrize("after", [False, True])
def test_s5_whoever_dies_while_replacing_leaves_a_secret_that_works(
    secret_manager: SecretManagerStandIn, secrets: SecretManager, method: str, after: bool
) -> None:
    """Stopped at each call, before and after its effect: the newest version is good, and the
    next time tidies up."""
    name = f"projects/p/secrets/{method}-{after}"
    secret_manager.put(name, "one")
    secret_manager.fail_next(grpc.StatusCode.ABORTED, method=method, after=after)
    with pytest.raises(TryLater):
        secrets.replace(name, b"one", b"two")
    left = secrets.read(name, max_age_seconds=0)
    assert left == (b"one" if method == "AddSecretVersion" and not after else b"two")
    secrets.replace(name, left, b"three")
    assert states(secret_manager, name)[0] == "ENABLED"
    assert set(states(secret_manager, name)[1:]) == {"DESTROYED"}


# Texts.


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("short", 10, "short"),
        ("exactly 10", 10, "exactly 10"),
        ("longer than 10", 10, "longer th…"),
        ("👍" * 5, 10, "👍" * 5),
        ("👍" * 6, 10, "👍" * 4 + "…"),
        ("ab👩‍👩‍👧‍👦", 8, "ab…"),
        ("abcde\u0301fgh", 6, "abcd…"),
        ("ab👍🏽 and more", 5, "ab…"),
        ("a <b> & c", 9, "a <b> & c"),
    ],
)
def test_texts_are_cut_to_what_a_system_takes(text: str, most: int, expected: str) -> None:
    """Counted as UTF-16 does, so that an emoji is two; a family, an accent, a skin tone are
    never torn apart."""
    cut = shortened(text, most)
    assert cut == expected
    assert len(cut.encode("utf-16-le")) // 2 <= most


def test_descriptions_lose_their_html() -> None:
    """Tags and styles go; lines, links, bullets and what is no tag stay."""
    assert plain_text("a<br>b<p>c</p><b>d</b>&amp;&nbsp;<a href='x'>e</a>") == "a\nb\nc\nd& e"
    assert plain_text("1 < 2 and 3 > 2") == "1 < 2 and 3 > 2"
    assert plain_text("<!-- x\ny -->z<script>") == "z"
    assert plain_text("<style>p {color: red}</style><p>one</p><p>two</p>") == "one\ntwo"
    assert plain_text("<ul><li>tea</li><li>cake<ul><li>plum</ul></ul>end") == (
        "- tea\n- cake\n- plum\nend"
    )
    assert plain_text(
        '<a href="https://a.example/?x=1&amp;y=2">plan</a>, <a href="https://b/">'
    ) == ("plan (https://a.example/?x=1&y=2), https://b/")
    assert plain_text("join <https://c.example/1> or <ada@example.com>") == (
        "join <https://c.example/1> or <ada@example.com>"
    )


STRANGE = [" " * 8192, "<!--" * 4096, "<a " * 5000, "</" * 8000, "&" * 16000, '<a b="' * 2500]


def test_s6_texts_of_strangers_take_no_time() -> None:
    """Blanks, tags left open, a page of error text: together well below a second of processor,
    where one of them took seconds."""
    with processor_time_below(1.5):
        for strange in (*STRANGE, "[ref " * 3000, "a@" * 20_000, "👍🏽" * 20_000):
            plain_text(strange)
            quoted(strange * 3)
            shortened(strange, 200)
            one_line(strange, 200)


def test_a_title_is_one_line_and_never_empty() -> None:
    assert one_line(" a\n b\t", 10) == "a b"
    assert one_line(" \n", 20) == "(no title)"


def test_what_a_provider_says_is_quoted_without_addresses() -> None:
    """No mail address, no link, one line, not too long."""
    said = quoted("User ada@example.com has no\nmeeting at https://zoom.us/j/1?pwd=x.")
    assert said == ": User … has no meeting at …"
    assert quoted("see us02web.zoom.us/j/1?pwd=x or mailto%3Aa%40b") == ": see … or …"
    assert quoted("\ud83d") == ": ?"
    assert len(quoted("x" * 1000)) < 210
    assert quoted(None) == quoted({"a": 1}) == quoted(" ") == ""
