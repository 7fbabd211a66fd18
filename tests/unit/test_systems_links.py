"""The join links of every shipped system, as people put them into events (E1, E3, S6)."""

from __future__ import annotations

import itertools
import string
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync import conferencing
from sync.config import ProviderSettings
from sync.errors import Malformed
from sync.event.recognise import link_in, links_in, shown_by, still_stands, with_link_replaced
from sync.model.conference import ConferenceRef
from sync.model.event import ConferenceId
from sync.model.provider import Rules
from tests.support.events import data, item, parsed
from tests.support.processor import processor_time_below

_ENTRIES: dict[str, dict[str, Any]] = {
    "rest": {"base_url": "https://meet.example.com/api"},
    "zoom": {},
    "webex": {},
    "teams": {"host": "meetings@example.com"},
}


def rules_of(names: Sequence[str], **changes: Any) -> Rules:
    """The rules of these systems, as they are configured by default."""

    def unread(name: str, _age: float) -> bytes:
        raise AssertionError(f"{name} is not read before the first call")

    entries = [
        ProviderSettings(
            name=name,
            type=name,
            secret="projects/p/secrets/s",
            solutions=(f"{name} meeting",),
            options=_ENTRIES[name],
            **({"uris": ("https://meet.example.com/{id}",)} if name == "rest" else {}) | changes,
        )
        for name in names
    ]
    context = conferencing.Context(read_secret=unread, clock=lambda: datetime.now(UTC))
    made = conferencing.providers(entries, context)
    return Rules(
        providers=tuple(each.rules for each in made.values()), delete_grace=timedelta(seconds=60)
    )


RULES = rules_of(list(_ENTRIES))
THREAD = "19:meeting_MTIz@thread.v2"
TEAMS_LINK = (
    "https://teams.microsoft.com/l/meetup-join/19%3ameeting_MTIz%40thread.v2/0"
    "?context=%7b%22Tid%22%3a%2211111111-2222-3333-4444-555555555555%22%2c"
    "%22Oid%22%3a%2266666666-7777-8888-9999-000000000000%22%7d"
)
# Every form of link, and the system that it belongs to.
LINKS: dict[str, tuple[str, str]] = {
    "E1-rest": ("rest", "https://meet.example.com/abc"),
    "E1-zoom-join": ("zoom", "https://us02web.zoom.us/j/85212345678"),
    "E1-zoom-with-a-passcode": ("zoom", "https://acme.zoom.us/j/85212345678?pwd=x.1#success"),
    "E1-zoom-without-a-subdomain": ("zoom", "https://zoom.us/j/85212345678"),
    "E1-zoom-start": ("zoom", "https://acme.zoom.us/s/85212345678"),
    "E1-zoom-webinar-form": ("zoom", "https://acme.zoom.us/w/85212345678"),
    "E1-zoom-web-client-start": ("zoom", "https://acme.zoom.us/wc/85212345678/start"),
    "E1-zoom-web-client-join": ("zoom", "https://acme.zoom.us/wc/85212345678/join?pwd=x"),
    "E1-zoom-web-client-join-before": ("zoom", "https://acme.zoom.us/wc/join/85212345678"),
    "E1-zoom-com": ("zoom", "https://acme.zoom.com/j/85212345678"),
    "E1-zoom-government": ("zoom", "https://acme.zoomgov.com/j/85212345678"),
    "E1-zoom-china": ("zoom", "https://acme.zoom.com.cn/j/85212345678"),
    "E1-zoom-x": ("zoom", "https://acme.zoom-x.de/j/85212345678"),
    "E1-zoom-with-a-port": ("zoom", "https://acme.zoom.us:443/j/85212345678"),
    "E1-zoom-without-encryption": ("zoom", "http://zoom.us/j/85212345678?pwd=x"),
    "E1-webex-mtid": ("webex", "https://acme.webex.com/acme/j.php?MTID=m0123456789abcdef"),
    "E1-webex-mtid-later": ("webex", "https://acme.webex.com/acme/j.php?ED=1&MTID=m0123456789"),
    "E1-webex-short": ("webex", "https://acme.webex.com/m/0123abcd-4567"),
    "E1-teams-long": ("teams", TEAMS_LINK),
    "E1-teams-client": (
        "teams",
        TEAMS_LINK.replace("/l/", "/v2/?meetingjoin=true#/l/") + "&anon=true",
    ),
    "E1-teams-older-client": ("teams", TEAMS_LINK.replace("/l/", "/_#/l/")),
    "E1-teams-launcher": (
        "teams",
        "https://teams.microsoft.com/dl/launcher/launcher.html?url="
        + quote(TEAMS_LINK.replace("https://teams.microsoft.com/", "/_#/"), safe="")
        + "&type=meetup-join",
    ),
    "E1-teams-launcher-of-a-short-link": (
        "teams",
        "https://teams.microsoft.com/dl/launcher/launcher.html"
        "?url=%2F_%23%2Fmeet%2F2345678901234%3Fp%3Dabc&type=meet",
    ),
    "E1-teams-short": ("teams", "https://teams.microsoft.com/meet/2345678901234?p=abc"),
    "E1-teams-government": (
        "teams",
        TEAMS_LINK.replace("teams.microsoft.com", "gov.teams.microsoft.us"),
    ),
}


@pytest.mark.parametrize(("provider", "link"), list(LINKS.values()), ids=list(LINKS))
def test_e1_every_form_of_link_is_recognised_wherever_it_stands(provider: str, link: str) -> None:
    """In the location, with words around it, as HTML, as an entry point: one conference."""
    alone = link_in(link, RULES)
    assert alone is not None
    assert alone.provider == provider
    for text in (
        f"{link}, Room 7",
        f"Room 7 ({link})",
        f"<{link}>",
        f'"{link}"',
        f"{link}.",
        f"{link}\nSecond floor",
        f"\u94fe\u63a5\uff1a{link}\u3002",
        f'<a href="{link.replace("&", "&amp;")}">join</a>',
        f"{link} {link}",
    ):
        assert link_in(text, RULES) == alone, text
        names = frozenset({alone.conference_id})
        assert still_stands(parsed(item(description=text)), provider, names, RULES), text
    by_data = shown_by(parsed(item(data("rec8xyz", "Club Calls", link))), RULES)
    assert by_data is not None
    assert by_data.conference == alone
    assert with_link_replaced(f"{link}, Room 7", alone, "NEW", RULES) == "NEW, Room 7"


@pytest.mark.parametrize("behind", ["\u4f1a\u8bae\u5ba4", "_", "~", "-"])
@pytest.mark.parametrize(
    "name", ["E1-zoom-join", "E1-webex-mtid", "E1-teams-short", "E1-teams-long"]
)
def test_e1_what_follows_without_a_blank_is_no_part_of_a_built_in_form(
    name: str, behind: str
) -> None:
    """Words of a script that sets no blanks, or a mark that makes the link slanted."""
    provider, link = LINKS[name]
    alone = link_in(link, RULES)
    assert alone is not None
    assert link_in(f"{link}{behind}", RULES) == alone
    if name == "E1-zoom-join":
        assert with_link_replaced(f"{link}{behind}", alone, "NEW", RULES) == f"NEW{behind}"
    assert alone.provider == provider


@pytest.mark.parametrize("name", list(LINKS))
def test_e3_a_link_with_the_port_of_https_is_the_same_link(name: str) -> None:
    """For every form of every system."""
    link = LINKS[name][1]
    host = link.split("/")[2]
    with_port = link.replace(host, f"{host.removesuffix(':443')}:443", 1)
    assert link_in(with_port, RULES) == link_in(link, RULES)


def test_e1_teams_forms_of_one_link_are_one_meeting() -> None:
    """What the browser shows after a click names the same meeting as the link that was clicked."""
    names = ("long", "client", "older-client", "launcher", "government")
    assert len({link_in(LINKS[f"E1-teams-{name}"][1], RULES) for name in names}) == 1
    short = {link_in(LINKS[f"E1-teams-{name}"][1], RULES) for name in SHORT}
    assert len(short) == 1


SHORT = ("short", "launcher-of-a-short-link")


def _meant(text: str) -> ConferenceRef | None:
    return link_in(text, RULES)


def test_e1_the_links_of_two_systems_mean_none() -> None:
    """Whichever two they are."""
    links = [link for provider, link in LINKS.values() if provider in ("zoom", "webex")]
    several = [pair for pair in itertools.pairwise(links) if len(set(map(_meant, pair))) == 2]
    assert len(several) > 2
    for one, other in several:
        assert link_in(f"{one} {other}", RULES) is None


@pytest.mark.parametrize("name", ["zoom", "webex", "teams"])
def test_e1_uris_of_the_entry_replace_the_built_in_forms(name: str) -> None:
    """Whoever names the forms says all of them."""
    own = rules_of([name], uris=("https://calls.example.org/j/{id}",))
    for provider, link in LINKS.values():
        if provider == name:
            assert links_in(link, own) == []


def test_e1_a_zoom_meeting_has_one_number_in_every_form() -> None:
    """A link changed from one form to another is the same meeting (E4)."""
    found = {link_in(link, RULES) for provider, link in LINKS.values() if provider == "zoom"}
    assert found == {ConferenceRef(provider="zoom", conference_id=ConferenceId("85212345678"))}


def graph_id(message: int) -> str:
    """How Graph writes the id of the meeting behind `TEAMS_LINK`."""
    text = f"1*66666666-7777-8888-9999-000000000000*{message}**{THREAD}"
    return b64encode(text.encode()).decode()


WEBEX = "https://acme.webex.com/acme/j.php"
# How an id is written in an event, and the form by which the system's meeting is known here.
IDS: dict[str, tuple[str, str, str]] = {
    "E1-zoom-number": ("zoom", "85212345678", "85212345678"),
    "E1-zoom-number-with-blanks": ("zoom", " 852\u00a01234 5678\n", "85212345678"),
    "E1-zoom-number-with-dashes": ("zoom", "852-1234\u20105\u2015678.\u00ad", "85212345678"),
    **{
        f"E1-zoom-link-{form.replace('/', '-')}": (
            "zoom",
            f"https://zoom.us/{form}/85212345678?pwd=1",
            "85212345678",
        )
        for form in ("j", "w", "s", "wc/join", "wc", "join")
    },
    "E1-zoom-shortest-number-in-a-link": ("zoom", "/j/123456789", "123456789"),
    "E1-zoom-longest-number-in-a-link": ("zoom", "/j/123456789012", "123456789012"),
    "E1-zoom-too-few-digits-in-a-link": ("zoom", "/j/12345678", "/j/12345678"),
    "E1-zoom-too-many-digits-in-a-link": ("zoom", "/j/1234567890123", "/j/1234567890123"),
    "E1-zoom-digits-of-another-script": ("zoom", "٨٥٢", "٨٥٢"),
    "E1-zoom-no-number": ("zoom", " my-room ", "my-room"),
    "E1-webex-id": ("webex", " 0b6c-4f ", "0b6c-4f"),
    "E1-webex-number": ("webex", "2551 234\u20115678", "25512345678"),
    "E1-webex-digits-of-another-script": ("webex", "٨٥٢", "٨٥٢"),
    "E1-webex-link": ("webex", f"{WEBEX}?RGID=r&MTID=m1&MTID=m2#top", f"{WEBEX}?MTID=m1"),
    "E1-webex-host-and-port": (
        "webex",
        "http://ACME.webex.com:443/acme/j.php?MTID=M1",
        f"{WEBEX}?MTID=M1",
    ),
    "E1-webex-link-without-a-number": (
        "webex",
        "https://Acme.Webex.com/meet/AdaX//?x=1",
        "https://acme.webex.com/meet/AdaX",
    ),
    "E1-webex-link-elsewhere": (
        "webex",
        "https://Webex.example.org/Ada/?x=1",
        "https://Webex.example.org/Ada/?x=1",
    ),
    "E1-webex-no-address": ("webex", " https://[x.webex.com/ ", "https://[x.webex.com/"),
    "E1-teams-link": ("teams", TEAMS_LINK, graph_id(0)),
    "E1-teams-link-encoded-again": ("teams", quote(TEAMS_LINK), graph_id(0)),
    "E1-teams-link-of-a-channel": (
        "teams",
        TEAMS_LINK.replace("/0?", "/1700000000000?"),
        graph_id(1700000000000),
    ),
    "E1-teams-link-without-organizer": ("teams", TEAMS_LINK.partition("?")[0], THREAD),
    "E1-teams-thread": ("teams", f" {THREAD} ", THREAD),
    "E1-teams-thread-with-a-message": ("teams", f"{THREAD}/17", f"{THREAD}/17"),
    "E1-teams-organizer-in-capitals": (
        "teams",
        f'{THREAD}/0?context={{"Oid": "ABCDEFAB-7777-8888-9999-000000000000"}}',
        b64encode(f"1*abcdefab-7777-8888-9999-000000000000*0**{THREAD}".encode()).decode(),
    ),
    "E1-teams-number": ("teams", "230 000\u2010000-001", "230000000001"),
    "E1-teams-too-few-digits": ("teams", "23 00", "23 00"),
    "E1-teams-too-many-digits": ("teams", "2 " * 20 + "2", "2 " * 20 + "2"),
    "E1-teams-graph-id": ("teams", graph_id(0), graph_id(0)),
    "E1-teams-a-long-text": ("teams", THREAD.rjust(4_096, "x"), THREAD),
    "E1-teams-too-long-a-text": ("teams", THREAD.rjust(4_097, "x"), THREAD.rjust(4_097, "x")),
}


@pytest.mark.parametrize(("name", "written", "known"), list(IDS.values()), ids=list(IDS))
def test_e1_an_id_has_one_form_however_it_is_written(name: str, written: str, known: str) -> None:
    """By this form an event and its conference find each other, and the system is asked."""
    provider = RULES.of(name)
    assert provider is not None
    assert provider.normalise(written) == known


STRANGE: dict[str, str] = {
    "E1-zoom-personal-link": "https://acme.zoom.us/my/anna",
    "E1-zoom-site": "https://acme.zoom.us/meetings",
    "E1-zoom-another-host": "https://zoom.us.evil.example/j/85212345678",
    "E1-zoom-a-host-that-ends-alike": "https://evilzoom.us/j/85212345678",
    "E1-zoom-as-a-user": "https://zoom.us@evil.example/j/85212345678",
    "E1-teams-another-host": "https://teams.microsoft.com.evil.example/meet/2345678901234",
    "E1-webex-half-a-bracket": "https://[x.webex.com/j.php?MTID=1",
    "E1-meet": "https://meet.google.com/abc-defg-hij",
}


@pytest.mark.parametrize("text", list(STRANGE.values()), ids=list(STRANGE))
def test_e1_other_links_of_these_systems_concern_nobody(text: str) -> None:
    """No error, and nothing recognised."""
    assert links_in(text, RULES) == []
    assert shown_by(parsed(item(location=text)), RULES) is None
    if "[" not in text:  # in conference data a link is not cut at a bracket
        assert shown_by(parsed(item(data(None, None, text))), RULES) is None


HOSTILE: dict[str, str] = {
    "S6-blanks": " ",
    "S6-schemes": "https://",
    "S6-threads": "19:",
    "S6-thread-links": "https://teams.microsoft.com/l/meetup-join/19:",
    "S6-zoom-links": "https://x.zoom.us/j/",
    "S6-zoom-hosts": "https://x.zoom.us.",
    "S6-webex-parameters": "https://x.webex.com/j.php?&MTID=",
    "S6-webex-ampersands": "https://x.webex.com/j.php?" + "&" * 4_000 + " ",
    "S6-percent-signs": "https://meet.example.com/%",
    "S6-encoded-percent-signs": "https://teams.microsoft.com/l/meetup-join/" + "%25" * 1_000 + " ",
    "S6-wrappings": "https://w.example/?q=https%3A%2F%2F",
    "S6-wrapping-without-an-end": "https://w.example/?q=https://" * 100 + " ",
    "S6-entities": "&amp;",
    "S6-half-entities": "&amp",
    "S6-dots": "https://a" + "." * 4_000 + " ",
    "S6-at-signs": "https://" + "@" * 4_000 + " ",
    "S6-digits": "https://x.zoom.us/j/" + "1" * 4_000 + " ",
    "S6-letters": string.ascii_letters,
}


@pytest.mark.parametrize("piece", list(HOSTILE.values()), ids=list(HOSTILE))
def test_s6_recognising_takes_time_that_grows_with_the_length_of_a_text(piece: str) -> None:
    """100,000 characters written to be slow, in every place that is looked at, cost one event a
    moment; where time grows with the square of the length, they cost minutes."""
    text = (piece * (100_000 // len(piece) + 1))[:100_000]
    long = f"https://teams.microsoft.com/l/meetup-join/{text}"
    body = item(
        data(text, None, text, long, f"https://x.webex.com/{text}"), location=text, description=text
    )
    known = parsed(body)
    with processor_time_below(10):
        shown_by(known, RULES)
        still_stands(known, "zoom", frozenset({ConferenceId("1")}), RULES)
        with_link_replaced(
            text, ConferenceRef(provider="teams", conference_id=ConferenceId("1")), "NEW", RULES
        )
        for name in _ENTRIES:
            named = parsed(body | {"conferenceData": data(text, f"{name} meeting", text, long)})
            with suppress(Malformed):
                shown_by(named, RULES)


_PIECES = st.sampled_from(
    [link for _, link in LINKS.values()]
    + list(STRANGE.values())
    + [
        "https://",
        "/j/",
        "?",
        "#",
        "@",
        "%",
        "%2f",
        "19:",
        "[",
        "]",
        " ",
        "&amp;",
        "\ud83d",
        "\x00",
    ]
)


@given(
    text=st.lists(_PIECES | st.text(max_size=5), max_size=6).map("".join),
    named=st.text(max_size=20) | _PIECES,
)
def test_s6_no_system_s_patterns_raise_for_any_text(text: str, named: str) -> None:
    """Whatever strangers write, an id that is recognised can be stored and sent."""
    body = item(location=text, description=text)
    event = parsed(body)
    shown_by(event, RULES)
    # Calendar's text is cleaned where it enters, so half an emoji never comes so far.
    for found in links_in(event.location, RULES):
        assert found.conference_id.encode()
    shown_by(parsed(body | {"conferenceData": data(named, None, text)}), RULES)
