"""Which conference an event carries, and by which evidence (E1, E3)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.errors import Malformed
from sync.event.plan import Follow, Send
from sync.event.recognise import (
    ID_PROPERTY,
    PROVIDER_PROPERTY,
    Shown,
    in_property,
    link_in,
    linked_as,
    links_in,
    shown_by,
    still_stands,
    with_link_replaced,
)
from sync.model.conference import ConferenceRef, Evidence, Link, WayIn
from sync.model.event import ConferenceId, EntryPoint, Etag
from sync.model.provider import Rules, uri_pattern
from tests.support.events import (
    GRACE,
    MEET,
    RULES,
    WEB,
    ZOOM,
    Json,
    at,
    by_data,
    by_location,
    carried_out,
    data,
    decide,
    item,
    kinds,
    linked,
    marked,
    parsed,
    requested,
    web,
    zoom,
)
from tests.support.processor import processor_time_below

E1: dict[str, tuple[Json, ConferenceRef | None]] = {
    "E1-solution-name": (item(data()), web()),
    "E1-second-solution-name": (item(data(solution="My Recorded Web Conference")), web()),
    "E1-unknown-solution-name": (item(data(solution="Their Web Conference")), None),
    "E1-solution-name-is-compared-with-case": (item(data(solution="my web conference")), None),
    "E1-solution-of-unknown-type": (item(data(kind="somethingNew")), web()),
    "E1-entry-point": (item(data(None, None, "https://meet.example.com/c-2")), web("c-2")),
    "E1-entry-point-beside-a-foreign-solution-name": (
        item(data(None, "Their Web Conference", "https://meet.example.com/c-2")),
        web("c-2"),
    ),
    "E1-second-entry-point": (
        item(data(None, None, "tel:+1-555-0100", "https://meet.example.com/c-2?pwd=x")),
        web("c-2"),
    ),
    "E1-entry-point-of-a-star-host": (
        item(data(None, None, "https://us02web.zoom.us/j/123")),
        zoom("123"),
    ),
    "E1-entry-point-of-a-star-host-deeper": (
        item(data(None, None, "https://a.b.zoom.us/j/123")),
        zoom("123"),
    ),
    "E1-entry-point-of-a-leading-star-without-anything": (
        item(data(None, None, "https://zoom.us/j/123")),
        zoom("123"),
    ),
    "E1-second-uri-pattern": (
        item(data(None, None, "https://zoom.example.org/j/123")),
        zoom("123"),
    ),
    "E1-entry-point-scheme-and-host-without-case": (
        item(data(None, None, "HTTPS://MEET.example.COM/AbC")),
        web("AbC"),
    ),
    "E1-entry-point-with-query-fragment-slash": (
        item(data(None, None, "https://meet.example.com/c-2/?a=b#c")),
        web("c-2"),
    ),
    "E1-entry-point-of-a-longer-path": (
        item(data(None, None, "https://meet.example.com/c-2/dial-in")),
        None,
    ),
    "E1-entry-point-of-another-host-with-ours-in-its-path": (
        item(data(None, None, "https://evil.example/.zoom.us/j/123")),
        None,
    ),
    "E1-entry-point-of-another-host-with-ours-at-its-end": (
        item(data(None, None, "https://evilzoom.us/j/123")),
        None,
    ),
    "E1-entry-point-with-another-host-behind-a-name": (
        item(data(None, None, "https://x.zoom.us@evil.example/j/123")),
        None,
    ),
    "E1-entry-point-id-is-decoded": (
        item(data(None, None, "https://meet.example.com/a%2Fb%20c")),
        web("a/b c"),
    ),
    "E1-recognised-by-its-link-alone-the-link-tells-the-id": (
        item(data("c-1", None, "https://meet.example.com/c-2")),
        web("c-2"),
    ),
    "E1-unknown-solution-with-an-id-of-its-own": (
        item(data("rec8xyz", "Club Calls", "https://us02web.zoom.us/j/85212345678")),
        zoom("85212345678"),
    ),
    "E1-conference-id-before-the-link-s": (
        item(data("c-1", "My Web Conference", "https://meet.example.com/c-2")),
        web("c-1"),
    ),
    "E1-blank-conference-id-is-none": (
        item(data("  ", "My Web Conference", "https://meet.example.com/c-2")),
        web("c-2"),
    ),
    "E1-second-link-where-the-first-names-no-id": (
        item(data(None, None, "https://x.zoom.us/j/my", "https://x.zoom.us/j/123")),
        zoom("123"),
    ),
    "E1-empty-conference-id-is-none": (
        item(data("", "My Web Conference", "https://meet.example.com/c-2")),
        web("c-2"),
    ),
    "E1-id-in-the-provider-s-own-form": (
        item(data("123 456 789", "Zoom Meeting")),
        zoom("123456789"),
    ),
    "E1-id-of-an-entry-point-in-the-provider-s-own-form": (
        item(data(None, None, "https://x.zoom.us/j/123%20456")),
        zoom("123456"),
    ),
    "E1-property": (item(extendedProperties=marked()), web("c-9")),
    "E1-property-beside-meet": (item(MEET, extendedProperties=marked()), web("c-9")),
    "E1-property-of-a-provider-not-configured": (item(extendedProperties=marked("teams")), None),
    "E1-property-without-an-id": (
        item(extendedProperties={"private": {PROVIDER_PROPERTY: "web"}}),
        None,
    ),
    "E1-property-with-an-empty-id": (item(extendedProperties=marked("web", "")), None),
    "E1-shared-property-is-nothing": (
        item(extendedProperties={"shared": marked()["private"]}),
        None,
    ),
    "E1-location": (item(location="https://meet.example.com/c-7"), web("c-7")),
    "E1-location-with-spaces-around": (
        item(location="  https://meet.example.com/c-7\n"),
        web("c-7"),
    ),
    "E1-location-with-other-words": (
        item(location="Room 5, https://meet.example.com/c-7"),
        web("c-7"),
    ),
    "E1-location-elsewhere": (item(location="Room 5"), None),
    "E1-location-without-a-scheme": (item(location="meet.example.com/c-7"), None),
    "E1-description-is-nothing": (item(description="https://meet.example.com/c-7"), None),
    "E1-order-data-before-property": (item(data("c-1"), extendedProperties=marked()), web("c-1")),
    "E1-order-data-before-location": (
        item(data("c-1"), location="https://meet.example.com/c-7"),
        web("c-1"),
    ),
    "E1-order-property-before-location": (
        item(location="https://meet.example.com/c-7", extendedProperties=marked()),
        web("c-9"),
    ),
    "E1-order-solution-name-before-another-provider-s-link": (
        item(data("123", "Zoom Meeting", "https://meet.example.com/c-2")),
        zoom("123"),
    ),
    "E1-no-conference-data": (item(), None),
    "E1-empty-conference-data": (item({}), None),
    "E1-meet": (item(MEET), None),
    "E1-pending": (item(requested("pending")), None),
    "E1-failed-request": (item(requested("failure")), None),
    "E1-pending-with-a-name-of-ours": (item(data() | requested("pending")), None),
    "E1-failed-with-a-name-of-ours": (item(data() | requested("failure")), None),
    "E1-pending-with-a-location": (
        item(requested("pending"), location="https://meet.example.com/c-7"),
        web("c-7"),
    ),
    "E1-successful-request": (item(data() | requested("success")), web()),
    "E1-event-type-default": (item(data(), eventType="default"), web()),
    **{
        f"E1-event-type-{kind}": (
            item(data(), eventType=kind, location="https://meet.example.com/c-7"),
            None,
        )
        for kind in (
            "birthday",
            "focusTime",
            "fromGmail",
            "outOfOffice",
            "workingLocation",
            "somethingNew",
        )
    },
}


@pytest.mark.parametrize(("body", "expected"), list(E1.values()), ids=list(E1))
def test_e1_a_conference_of_ours_is_recognised(body: Json, expected: ConferenceRef | None) -> None:
    """Exactly what E1 names makes a conference ours, in its order, and anything else is no
    error."""
    shown = shown_by(parsed(body), RULES)
    assert (shown.conference if shown else None) == expected
    assert kinds(carried_out(body).actions)[:2] == ([] if expected is None else [Follow, Send])


def test_e1_a_conference_of_ours_without_a_name_is_malformed() -> None:
    """A solution of ours with neither an id nor a link that tells it can be followed by nobody:
    it is parked."""
    says = "its conference of web has neither a conference id nor a link that tells the id"
    with pytest.raises(Malformed, match=f"^{says}$"):
        decide(item(data(None, "My Web Conference", "https://elsewhere.example/c-2")))


_HOST = st.from_regex(r"[a-z][a-z0-9]{0,6}(\.[a-z][a-z0-9]{0,6}){1,3}", fullmatch=True)
_PATH = st.lists(st.from_regex(r"[a-z0-9._-]{1,6}", fullmatch=True), max_size=3)
_ID = st.text(min_size=1, max_size=30).filter(lambda text: text not in (".", ".."))


@given(
    host=_HOST,
    star=st.sampled_from(["", "*.", "*"]),
    sub=st.from_regex(r"[a-z0-9]{1,5}(\.[a-z0-9]{1,5})?", fullmatch=True),
    path=_PATH,
    conference_id=_ID,
    rest=st.sampled_from(["", "/", "?a=b", "#c", "/?a=b#c"]),
)
def test_e1_any_join_link_gives_back_the_id_it_was_made_with(
    host: str, star: str, sub: str, path: list[str], conference_id: str, rest: str
) -> None:
    """What a pattern was filled with is what it finds, whatever the host's star stands for and
    whatever follows."""
    pattern = uri_pattern(f"https://{star}{host}/" + "/".join([*path, "{id}"]))
    filled = {"": "", "*.": f"{sub}.", "*": sub}[star] + host
    found = pattern.fullmatch(
        f"https://{filled}/" + "/".join([*path, quote(conference_id, safe="")]) + rest
    )
    assert found
    assert unquote(found[1]) == conference_id


@pytest.mark.parametrize(
    ("pattern", "link", "matches"),
    [
        pytest.param(
            "https://us*.zoom.us/j/{id}", "https://us02.zoom.us/j/1", True, id="E1-star-inside"
        ),
        pytest.param(
            "https://us*.zoom.us/j/{id}",
            "https://uszoom.us/j/1",
            False,
            id="E1-star-inside-keeps-the-dot",
        ),
        pytest.param(
            "https://*.zoom.us/j/{id}",
            "https://a.zoom.us.evil.example/j/1",
            False,
            id="E1-star-host-ends",
        ),
        pytest.param(
            "https://*.zoom.us/j/{id}",
            "https://evil.example?.zoom.us/j/1",
            False,
            id="E1-star-in-no-query",
        ),
        pytest.param(
            "https://*.zoom.us/j/{id}",
            "https://evil.example#.zoom.us/j/1",
            False,
            id="E1-star-in-no-fragment",
        ),
        pytest.param(
            "https://*.zoom.us/j/{id}", "http://a.zoom.us/j/1", False, id="E1-another-scheme"
        ),
        pytest.param("https://*.zoom.us/j/{id}", "https://a.zoom.us/j/", False, id="E1-no-id"),
        pytest.param(
            "https://*.zoom.us/j/{id}", "https://a.zoom.us/J/1", False, id="E1-path-with-case"
        ),
        pytest.param(
            "https://meet.example.com/{id}",
            "https://meetXexample.com/1",
            False,
            id="E1-a-dot-is-a-dot",
        ),
        pytest.param(
            "https://{id}.example.com/room",
            "https://c-1.example.com/room",
            True,
            id="E1-id-in-the-host",
        ),
        pytest.param(
            "https://{id}.example.com/room",
            "https://a/c-1.example.com/room",
            False,
            id="E1-id-in-the-host-only",
        ),
        pytest.param(
            "https://*.zoom.us/j/{id}", "https://zoom.us/j/1", True, id="E1-leading-star-for-none"
        ),
        pytest.param(
            "https://zoom.us/j/{id}", "https://a.zoom.us/j/1", False, id="E1-no-star-for-any"
        ),
        pytest.param(
            "https://meet.example.com/to/https://{id}",
            "https://meet.example.com/TO/https://1",
            False,
            id="E1-a-scheme-in-the-path-begins-no-host",
        ),
        pytest.param(
            "HTTPS://meet.example.com/{id}",
            "https://meet.example.com:443/1",
            True,
            id="E1-the-port-of-https",
        ),
        pytest.param(
            "https://meet.example.com/{id}",
            "https://meet.example.com:80/1",
            False,
            id="E1-another-port",
        ),
        pytest.param(
            "http://meet.example.com/{id}",
            "http://meet.example.com/1",
            True,
            id="E1-http",
        ),
        pytest.param(
            "http://meet.example.com/{id}",
            "http://meet.example.com:443/1",
            False,
            id="E1-the-port-of-https-for-http",
        ),
    ],
)
def test_e1_a_pattern_matches_its_own_hosts_alone(pattern: str, link: str, matches: bool) -> None:
    """A stranger's host is never taken for the provider's, however it is spelled."""
    assert (uri_pattern(pattern).fullmatch(link) is not None) is matches


ASKED = {
    "E1-alone": "?room=abc",
    "E1-before-another-parameter": "?room=abc&lang=de",
    "E1-before-a-fragment": "?room=abc#now",
    "E1-with-a-code": "?room=a%62c&pwd=1",
}


@pytest.mark.parametrize("query", list(ASKED.values()), ids=list(ASKED))
def test_e1_a_parameter_of_the_query_is_the_id(query: str) -> None:
    """Whatever parameters follow, they are no part of the id."""
    found = uri_pattern("https://meet.example.com/join?room={id}").fullmatch(
        f"https://meet.example.com/join{query}"
    )
    assert found
    assert unquote(found[1]) == "abc"


@pytest.mark.parametrize("second", [False, True])
def test_e1_of_two_entries_with_one_solution_the_link_tells_which(second: bool) -> None:
    """Two accounts of a system have the same solution's name, and join links of their own."""
    other = replace(WEB, name="other", uris=(uri_pattern("https://other.example.com/{id}"),))
    rules = replace(RULES, providers=(WEB, other))
    host, name = ("other", "other") if second else ("meet", WEB.name)
    event = parsed(item(data("c-1", "My Web Conference", f"https://{host}.example.com/c-1")))
    shown = shown_by(event, rules)
    assert shown is not None
    assert shown.conference == ConferenceRef(provider=name, conference_id=ConferenceId("c-1"))


def test_e1_of_two_entries_with_one_solution_the_first_has_what_no_link_tells() -> None:
    """The links are nobody's."""
    rules = replace(RULES, providers=(WEB, replace(WEB, name="other")))
    shown = shown_by(parsed(item(data("c-1", "My Web Conference", "https://x.example/c-1"))), rules)
    assert shown is not None
    assert shown.conference == web("c-1")


LINK = "https://meet.example.com/abc"
# Where a link of `abc` stands in a text, in everything that people and programs put around links.
WRAPPED: dict[str, str] = {
    "E1-alone": LINK,
    "E1-blanks-around": f"  {LINK}\t\n",
    "E1-no-break-space": f"{LINK}\xa0Room 7",
    "E1-before-words": f"{LINK}, Room 7 (12)",
    "E1-before-a-line-break": f"{LINK}\nSecond floor",
    "E1-before-a-windows-line-break": f"{LINK}\r\nSecond floor",
    "E1-behind-words": f"Room 7 (12), {LINK}",
    "E1-between-words": f"Room 7; {LINK}; floor 2",
    "E1-before-a-passcode": f"{LINK} (Passcode: 471100)",
    "E1-in-round-brackets": f"Room 7 ({LINK})",
    "E1-in-square-brackets": f"[{LINK}]",
    "E1-in-curly-brackets": f"{{{LINK}}}",
    "E1-in-angle-brackets": f"Anna <{LINK}>",
    "E1-in-markdown": f"[join]({LINK})",
    "E1-in-double-quotes": f'"{LINK}"',
    "E1-in-single-quotes": f"'{LINK}'",
    "E1-in-backticks": f"`{LINK}`",
    "E1-in-typographic-quotes": f"\u201c{LINK}\u201d",
    "E1-in-german-quotes": f"\u201e{LINK}\u201c",
    "E1-in-french-quotes": f"\xab{LINK}\xbb",
    "E1-bold": f"*{LINK}*",
    "E1-full-stop-at-its-end": f"We meet at {LINK}.",
    "E1-three-full-stops-at-its-end": f"We meet at {LINK}...",
    "E1-ellipsis-at-its-end": f"We meet at {LINK}\u2026",
    "E1-question-mark-at-its-end": f"Is it {LINK}?",
    "E1-exclamation-mark-at-its-end": f"Join {LINK}!",
    "E1-full-stop-in-brackets": f"(We meet at {LINK}.)",
    "E1-comma-without-a-blank": f"{LINK},Room 7",
    "E1-semicolon-without-a-blank": f"{LINK};Room 7",
    "E1-bar": f"{LINK}|Room 7",
    "E1-query-before-words": f"{LINK}?pwd=x, Room 7",
    "E1-fragment-before-words": f"{LINK}#start, Room 7",
    "E1-slash-before-words": f"{LINK}/ Room 7",
    "E1-capitals": "HTTPS://MEET.EXAMPLE.COM/abc, Room 7",
    "E1-chinese-words-and-marks": f"\u94fe\u63a5\uff1a{LINK}\u3002\u4f1a\u8bae\u5ba4",
    "E1-chinese-comma": f"{LINK}\uff0c\u4f1a\u8bae\u5ba4",
    "E1-chinese-enumeration-comma": f"{LINK}\u3001\u4f1a\u8bae\u5ba4",
    "E1-chinese-semicolon": f"{LINK}\uff1b\u4f1a\u8bae\u5ba4",
    "E1-chinese-brackets": f"\u4f1a\u8bae\uff08{LINK}\uff09",
    "E1-chinese-square-brackets": f"\uff3b{LINK}\uff3d",
    "E1-chinese-exclamation-mark": f"{LINK}\uff01",
    "E1-japanese-corner-brackets": f"\u300c{LINK}\u300d",
    "E1-japanese-lenticular-brackets": f"\u3010{LINK}\u3011",
    "E1-ideographic-blank": f"{LINK}\u3000\u4f1a\u8bae\u5ba4",
    "E1-zero-width-blank": f"{LINK}\u200bRoom 7",
    "E1-byte-order-mark": f"\ufeff{LINK}\ufeff",
    "E1-isolate-marks": f"\u2068{LINK}\u2069",
    "E1-left-to-right-mark": f"{LINK}\u200e Room 7",
    "E1-word-joiner": f"{LINK}\u2060",
    "E1-html-link": f'<a href="{LINK}">join</a>',
    "E1-html-link-shown-as-itself": f'<a href="{LINK}" target="_blank">{LINK}</a>',
    "E1-html-link-without-quotes": f"<a href={LINK}>join</a>",
    "E1-html-line-break": f"Room 7<br>{LINK}<br>Floor 2",
    "E1-html-ampersand": f"{LINK}?pwd=x&amp;from=calendar",
    "E1-html-no-break-space": f"{LINK}&nbsp;Room 7",
    "E1-html-escaped": f"&lt;a href=&quot;{LINK}&quot;&gt;join&lt;/a&gt;",
    "E1-html-escaped-line-break": f"{LINK}&lt;br&gt;Room 7",
    "E1-html-escaped-angle-brackets": f"&lt;{LINK}&gt;",
    "E1-html-escaped-twice": f"{LINK}&amp;nbsp;Room 7",
    "E1-html-apostrophe": f"&#39;{LINK}&#39;",
    "E1-twice-the-same": f"{LINK} {LINK}?pwd=x",
    "E1-twice-by-other-spellings": f"{LINK} https://MEET.example.com/abc/",
    "E1-beside-a-link-of-nobody": f"https://docs.example.org/notes {LINK}",
    "E1-beside-a-link-of-meet": f"https://meet.google.com/abc-defg-hij {LINK}",
    "E1-in-google-s-wrapping": f"https://www.google.com/url?q={LINK}&sa=D&source=calendar",
    "E1-in-google-s-encoded-wrapping": (
        f"https://www.google.com/url?q={quote(LINK, safe='')}&sa=D&source=calendar"
    ),
    "E1-in-google-s-wrapping-as-html": (
        f'<a href="https://www.google.com/url?q={LINK}%3Fpwd%3Dx&amp;sa=D">join</a>'
    ),
    "E1-in-outlook-s-wrapping": (
        "https://eur01.safelinks.protection.outlook.com/"
        f"?url={quote(LINK + '?pwd=x', safe='')}&data=05%7C01&reserved=0"
    ),
    "E1-in-two-wrappings": "https://eur01.safelinks.protection.outlook.com/?url="
    + quote(f"https://www.google.com/url?q={LINK}&sa=D", safe="")
    + "&data=05",
    "E1-in-proofpoint-s-wrapping": f"https://urldefense.com/v3/__{LINK}?pwd=x__;!!AbC!xyz$",
    "E1-in-proofpoint-s-wrapping-with-one-slash": (
        "https://urldefense.com/v3/__https:/meet.example.com/abc__;!!AbC!xyz$"
    ),
    "E1-in-proofpoint-s-older-wrapping": (
        "https://urldefense.proofpoint.com/v2/url?u=https-3A__meet.example.com_abc-3Fpwd-3Dx&d=Dw"
    ),
    "E1-encoded-in-the-path-of-a-wrapping": (
        f"https://secure-web.example.com/1aB/{quote(LINK, safe='')}"
    ),
    "E1-in-a-wrapping-that-names-another-link-first": (
        f"https://w.example/?continue=https://docs.example.org/a&q={quote(LINK, safe='')}"
    ),
    "E1-with-the-port-of-https": "https://meet.example.com:443/abc",
    "E1-html-decimal-quotes": f"&#34;{LINK}&#34;",
    "E1-html-hexadecimal-blank": f"{LINK}&#xA0;Room 7",
    "E1-html-named-quotes": f"&lsquo;{LINK}&rsquo; &apos;{LINK}&apos;",
    "E1-html-zero-width": f"{LINK}&zwnj;Room 7",
    "E1-html-slashes": "https:&#x2F;&#x2F;meet.example.com&#x2F;abc",
    "E1-dash": f"{LINK}\u2014Room 7 {LINK}\u2013",
    "E1-bullet": f"{LINK}\u2022Room 7\xb7{LINK}\xb7",
    "E1-emoji": f"\U0001f4bb{LINK}\U0001f389",
    "E1-arabic-comma-semicolon-question-mark": f"{LINK}\u060c {LINK}\u061b {LINK}\u061f",
    "E1-hindi-full-stop": f"{LINK}\u0964",
    "E1-full-width-bar-and-brackets": f"{LINK}\uff5cRoom 7 \uff1c{LINK}\uff1e \uff5b{LINK}\uff5d",
    "E1-half-width-brackets-and-marks": f"\uff62{LINK}\uff63 {LINK}\uff61 {LINK}\uff64",
    "E1-mathematical-angle-brackets": f"\u27e8{LINK}\u27e9 \u2329{LINK}\u232a",
    "E1-other-quotes": f"\u301d{LINK}\u301e \u275d{LINK}\u275e \uff02{LINK}\uff02",
    "E1-a-character-that-is-none": f"{LINK}\x00Room 7",
    "E1-that-leads-on-to-another": f"{LINK}?next=https%3A%2F%2Fmeet.example.com%2Fother",
    "E1-behind-a-thousand-words": f"{'word ' * 1000}{LINK}",
    "E1-behind-sixty-other-links": f"{'https://docs.example.org/notes ' * 60}{LINK}",
    "E1-beside-half-a-character": f"\ud83d {LINK} \udf82",
}


@pytest.mark.parametrize("text", list(WRAPPED.values()), ids=list(WRAPPED))
def test_e1_a_link_ends_where_it_ends(text: str) -> None:
    """Whatever stands around a link is no part of its id, and does not hide the link."""
    assert shown_by(parsed(item(location=text)), RULES) == by_location(web("abc"))
    assert link_in(text, RULES) == web("abc")


@pytest.mark.parametrize("text", list(WRAPPED.values()), ids=list(WRAPPED))
@pytest.mark.parametrize("place", ["location", "description"])
def test_e3_a_conference_whose_link_stands_anywhere_is_not_removed(place: str, text: str) -> None:
    """A room behind the link, or a link in the description alone, never deletes a conference."""
    names = frozenset({ConferenceId("abc")})
    fields: Json = {"description": None, place: text}
    body = item(**fields)
    assert still_stands(parsed(body), "web", names, RULES)
    link = linked(body, web("abc"), strong=False)
    assert decide(body, link) == []
    gone = item(**fields | {place: text.replace("abc", "other")})
    assert not still_stands(parsed(gone), "web", names, RULES)


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(item(data("abc")), id="E3-followed-by-conference-data"),
        pytest.param(item(location=LINK), id="E3-followed-by-its-location"),
    ],
)
def test_e3_words_around_the_link_send_nothing_and_delete_nothing(before: Json) -> None:
    """A person writes a room behind, or before, the link: the event is followed as it was."""
    link = linked(before, web("abc"), strong="conferenceData" in before)
    for location in (f"{LINK}, Room 7 (12)", f"{LINK}\nSecond floor", f"Room 7 (12), {LINK}"):
        assert decide(item(location=location), link) == []


@pytest.mark.parametrize("behind", ["_", "~", "-", "_.", "\u4f1a\u8bae\u5ba4", "\u4f1a_"])
def test_e3_a_carried_link_is_known_with_whatever_may_be_a_part_of_an_id(behind: str) -> None:
    """Such an id may exist, so at first sight it is that one; a followed link is never lost."""
    text = f"{LINK}{behind}"
    body = item(location=text)
    assert shown_by(parsed(body), RULES) == by_location(web(f"abc{behind}".rstrip(".")))
    link = linked(item(location=LINK), web("abc"), strong=False)
    assert shown_by(parsed(body), RULES, link) == by_location(web("abc"))
    assert decide(body, link) == []
    names = frozenset({ConferenceId("abc")})
    assert still_stands(parsed(item(description=text)), "web", names, RULES)


NO_LINK: dict[str, str] = {
    "E1-no-scheme": "meet.example.com/abc",
    "E1-another-scheme": "ftp://meet.example.com/abc",
    "E1-another-host": "https://meet.example.com.evil.example/abc",
    "E1-another-host-before-ours": "https://evil.example/meet.example.com/abc",
    "E1-ours-as-a-user-of-another-host": "https://meet.example.com@evil.example/abc",
    "E1-ours-behind-a-backslash": "https://evil.example\\.zoom.us/j/1",
    "E1-ours-in-a-query": "https://evil.example/?meet.example.com/abc",
    "E1-no-id": "https://meet.example.com/",
    "E1-an-id-of-blanks": "https://meet.example.com/%20%20",
    "E1-a-longer-path": "https://meet.example.com/abc/dial-in",
    "E1-a-number-that-is-none": "https://x.zoom.us/j/my-room",
    "E1-half-a-bracket-in-the-host": "https://[x.webex.com/j.php?MTID=1",
    "E1-a-link-without-an-end": f"https://meet.example.com/{'a' * 5000}",
    "E1-blanks": " " * 8192,
    "E1-scheme-again-and-again": "https://" * 1000,
}


@pytest.mark.parametrize("text", list(NO_LINK.values()), ids=list(NO_LINK))
def test_e1_what_is_no_join_link_concerns_nobody(text: str) -> None:
    """A stranger's text is no error, whatever it holds (S6)."""
    assert shown_by(parsed(item(location=text)), RULES) is None
    assert links_in(text, RULES) == []


TWO: dict[str, str] = {
    "E1-two-of-one-provider": f"{LINK} https://meet.example.com/def",
    "E1-two-of-two-providers": f"{LINK}, https://x.zoom.us/j/123",
    "E1-one-of-them-wrapped": (
        f"{LINK} https://www.google.com/url?q=https://meet.example.com/def&sa=D"
    ),
}


@pytest.mark.parametrize("text", list(TWO.values()), ids=list(TWO))
def test_e1_two_different_links_mean_none(text: str) -> None:
    """Nobody can tell which one is meant, unless the event carries one of them already."""
    event = parsed(item(location=text))
    assert shown_by(event, RULES) is None
    assert link_in(text, RULES) is None
    assert len(set(links_in(text, RULES))) == 2
    kept = linked(item(location=LINK), web("abc"), strong=False)
    assert shown_by(event, RULES, kept) == by_location(web("abc"))
    assert decide(item(location=text), kept) == []
    other = linked(item(location=LINK), web("ghi"), strong=False)
    assert shown_by(event, RULES, other) is None


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        pytest.param({"replaces": ConferenceId("abc")}, "abc", id="C4-the-one-that-was-replaced"),
        pytest.param({"shown_as": ConferenceId("abc")}, "abc", id="E1-known-by-another-name"),
    ],
)
def test_e1_of_two_links_the_carried_one_is_meant_by_any_of_its_names(
    changes: dict[str, ConferenceId], shown: str
) -> None:
    """The event may show its conference by the id that was replaced, or by another name."""
    event = parsed(item(location=f"https://meet.example.com/def {LINK}"))
    link = linked(item(), web("ghi"), strong=False, **changes)
    assert shown_by(event, RULES, link) == by_location(web(shown))


EVIDENCE: dict[str, tuple[Json, Link | None, Shown]] = {
    "E1-conference-data-is-strong": (item(data()), None, by_data(web())),
    "E1-an-entry-point-is-strong": (
        item(data(None, None, "https://meet.example.com/c-2")),
        None,
        by_data(web("c-2")),
    ),
    "E1-location-is-weak": (item(location=LINK), None, by_location(web("abc"))),
    "E1-property-of-anybody-is-weak": (
        item(extendedProperties=marked()),
        None,
        Shown(conference=web("c-9"), evidence=Evidence.PROPERTY, strong=False),
    ),
    "E1-property-in-an-event-we-know-but-did-not-write-is-weak": (
        item(extendedProperties=marked()),
        linked(item(), web("c-9")),
        Shown(conference=web("c-9"), evidence=Evidence.PROPERTY, strong=False),
    ),
    "E1-property-that-we-wrote-is-strong": (
        item(extendedProperties=marked()),
        replace(linked(item(), web("c-9")), written=ConferenceId("c-9")),
        Shown(conference=web("c-9"), evidence=Evidence.PROPERTY, strong=True),
    ),
    "E1-property-that-we-wrote-and-let-go-is-strong": (
        item(extendedProperties=marked()),
        Link(event=at(), written=ConferenceId("c-9")),
        Shown(conference=web("c-9"), evidence=Evidence.PROPERTY, strong=True),
    ),
    "E1-property-other-than-we-wrote-is-weak": (
        item(extendedProperties=marked("web", "c-8")),
        replace(linked(item(), web("c-9")), written=ConferenceId("c-9"), etag=Etag('"1"')),
        Shown(conference=web("c-8"), evidence=Evidence.PROPERTY, strong=False),
    ),
    "E1-property-that-an-earlier-version-wrote-is-strong": (
        item(extendedProperties=marked()),
        replace(linked(item(), web("c-9")), etag=Etag('"1"')),
        Shown(conference=web("c-9"), evidence=Evidence.PROPERTY, strong=True),
    ),
    "E1-property-of-another-conference-than-an-earlier-version-wrote-is-weak": (
        item(extendedProperties=marked("web", "c-8")),
        replace(linked(item(), web("c-9")), etag=Etag('"1"')),
        Shown(conference=web("c-8"), evidence=Evidence.PROPERTY, strong=False),
    ),
    "E1-property-of-an-earlier-version-that-carries-nothing-any-more-is-weak": (
        item(extendedProperties=marked()),
        Link(event=at(), etag=Etag('"1"')),
        Shown(conference=web("c-9"), evidence=Evidence.PROPERTY, strong=False),
    ),
}


@pytest.mark.parametrize(("body", "link", "expected"), list(EVIDENCE.values()), ids=list(EVIDENCE))
def test_e1_evidence_is_strong_or_weak(body: Json, link: Link | None, expected: Shown) -> None:
    """Anybody can write a link or a property; a record of ours, or conference data, is strong."""
    assert shown_by(parsed(body), RULES, link) == expected


def with_parameters(conference_id: str, **parameters: str) -> Json:
    return data(conference_id, "Zoom Meeting") | {
        "parameters": {"addOnParameters": {"parameters": parameters}}
    }


@pytest.mark.parametrize(
    ("conference", "expected"),
    [
        pytest.param(with_parameters("1", realMeetingId="2"), zoom("2"), id="E1-real-meeting-id"),
        pytest.param(
            with_parameters("1", realMeetingId="2 3"), zoom("23"), id="E1-in-the-provider-s-form"
        ),
        pytest.param(with_parameters("1", realMeetingId=""), zoom("1"), id="E1-empty-parameter"),
        pytest.param(
            with_parameters("1", realMeetingId="none"), zoom("1"), id="E1-parameter-that-is-no-id"
        ),
        pytest.param(with_parameters("1", meetingId="2"), zoom("1"), id="E1-another-parameter"),
        pytest.param(
            with_parameters("1") | {"parameters": {"addOnParameters": [7]}},
            zoom("1"),
            id="E1-parameters-of-odd-things",
        ),
    ],
)
def test_e1_a_zoom_block_may_name_the_meeting_in_its_parameters(
    conference: Json, expected: ConferenceRef
) -> None:
    """The block of a personal number names the real meeting beside that number."""
    shown = shown_by(parsed(item(conference)), RULES)
    assert shown == by_data(expected)


def test_e1_a_provider_s_own_form_of_an_id_may_refuse_or_raise() -> None:
    """What an adapter cannot read names no conference, and harms no other (S6)."""

    def raising(text: str) -> str:
        raise ValueError(text)

    for normalise in (raising, lambda _text: ""):
        broken = replace(ZOOM, normalise=normalise)
        rules = Rules(providers=(broken, WEB), delete_grace=GRACE)
        both = f"https://x.zoom.us/j/123 {LINK}"
        assert shown_by(parsed(item(location=both)), rules) == by_location(web("abc"))
        assert shown_by(parsed(item(extendedProperties=marked("zoom", "1"))), rules) is None
        with pytest.raises(Malformed):
            shown_by(parsed(item(data("123", "Zoom Meeting"))), rules)


def test_e1_the_first_provider_of_the_configuration_whose_pattern_matches_is_meant() -> None:
    """One link names one conference, although two entries know its form."""
    twin = replace(WEB, name="twin")
    rules = Rules(providers=(twin, WEB), delete_grace=GRACE)
    assert links_in(LINK, rules) == [
        ConferenceRef(provider="twin", conference_id=web("abc").conference_id)
    ]


@pytest.mark.parametrize("length", [1_024, 1_025, 4_096, 4_097, 30_000])
def test_s6_an_id_may_be_long_but_not_endless(length: int) -> None:
    """An id longer than any system's names no conference, wherever the id stands."""
    long = "x" * length
    expected = web(long) if length <= 1_024 else None
    assert in_property(parsed(item(extendedProperties=marked("web", long))), RULES) == expected
    assert link_in(f"https://meet.example.com/{long}", RULES) == expected
    shown = shown_by(parsed(item(data(None, None, f"https://meet.example.com/{long}"))), RULES)
    assert shown == (by_data(web(long)) if expected else None)
    named = item(data(long, "My Web Conference", LINK))
    assert shown_by(parsed(named), RULES) == by_data(expected or web("abc"))


def test_s6_an_id_is_brought_to_its_form_unless_it_is_longer_than_a_link() -> None:
    """Blanks around an id count until they are taken off."""
    for text, expected in (("abc".rjust(4_096), web("abc")), ("abc".rjust(4_097), None)):
        assert in_property(parsed(item(extendedProperties=marked("web", text))), RULES) == expected


def test_s6_a_link_may_be_long_but_not_endless() -> None:
    """A link of 4,096 characters is read, a longer one is passed over, and the next one is read."""
    long = f"{LINK}?pwd=".ljust(4_096, "x")
    for text, expected in ((long, web("abc")), (f"{long}x", None)):
        assert link_in(text, RULES) == expected
        shown = shown_by(parsed(item(data(None, None, text))), RULES)
        assert shown == (by_data(expected) if expected else None)
    assert link_in(f"{long}x https://meet.example.com/def", RULES) == web("def")


def test_s6_of_a_text_a_thousand_links_are_read() -> None:
    """More than Calendar's longest description can hold."""
    others = "https://a.b/ "
    assert link_in(others * 999 + LINK, RULES) == web("abc")
    assert link_in(others * 1000 + LINK, RULES) is None


def test_e1_a_link_is_unwrapped_three_times() -> None:
    """More wrappings than any service makes, and an end to it."""
    text = LINK
    for _ in range(3):
        text = f"https://w.example/?q={quote(text, safe='')}"
    assert link_in(text, RULES) == web("abc")
    assert link_in(f"https://w.example/?q={quote(text, safe='')}", RULES) is None


def test_e1_what_services_write_around_a_wrapped_link_is_taken_off_there_alone() -> None:
    """Two underscores end a link that two underscores begin. Elsewhere they may be the id's."""
    assert link_in(f"https://w.example/v3/__{LINK}__;!!x", RULES) == web("abc")
    assert link_in(f"https://w.example/?q={LINK}__", RULES) == web("abc__")


def test_e1_html_is_read_where_it_was_pasted_as_text() -> None:
    """Entities are resolved twice, and no third time."""
    text = "https:&amp;#47;&amp;#47;meet.example.com/abc"
    assert link_in(text, RULES) == web("abc")
    assert link_in(text.replace("&", "&amp;"), RULES) is None


def test_w4_the_names_of_our_properties_may_never_change() -> None:
    """They stand in events that we wrote long ago."""
    assert (PROVIDER_PROPERTY, ID_PROPERTY) == ("conferenceSyncProvider", "conferenceSyncId")


def test_e1_another_type_of_event_shows_nothing_by_any_evidence() -> None:
    """Neither conference data nor a property nor a link makes such an event ours."""
    body = item(data(), location=LINK, extendedProperties=marked(), eventType="outOfOffice")
    assert shown_by(parsed(body), RULES) is None


def test_e3_a_link_of_another_conference_does_not_keep_this_one() -> None:
    """Neither does a link of the same id at another provider, nor one not configured any more."""
    event = parsed(item(location="https://x.zoom.us/j/123", description=LINK))
    assert still_stands(event, "zoom", frozenset({ConferenceId("123")}), RULES)
    assert not still_stands(event, "zoom", frozenset({ConferenceId("abc")}), RULES)
    assert not still_stands(event, "web", frozenset({ConferenceId("123")}), RULES)
    assert not still_stands(event, "teams", frozenset({ConferenceId("abc")}), RULES)
    assert not still_stands(event, "web", frozenset(), RULES)


def way_in(*points: tuple[str, str | None]) -> WayIn:
    """The way into the conference `c-1`, by links and their meeting codes."""
    return WayIn(
        conference_id=ConferenceId("c-1"),
        entry_points=tuple(
            EntryPoint(kind="video", uri=uri, meeting_code=code) for uri, code in points
        ),
    )


NAMES: dict[str, tuple[WayIn, bool, tuple[str, ...]]] = {
    "E3-no-way-in": (way_in(), True, ()),
    "E3-its-own-id-is-none-more": (way_in(("https://meet.example.com/c-1", "c-1")), True, ()),
    "E3-another-id-in-its-link": (way_in((LINK, None)), False, ("abc",)),
    "E3-in-any-of-its-links-in-order": (
        way_in((LINK, None), ("tel:+1-555-0100", None), ("https://meet.example.com/a", None)),
        False,
        ("a", "abc"),
    ),
    "E3-the-link-s-code": (way_in((LINK, "90 1"), ("tel:+1", "902")), True, ("90 1", "902", "abc")),
    "E3-a-code-that-no-link-has": (way_in((LINK, "901")), False, ("abc",)),
    "E3-five-at-most": (
        way_in(*((f"https://meet.example.com/{number}", None) for number in range(6))),
        False,
        ("0", "1", "2", "3", "4"),
    ),
}


@pytest.mark.parametrize(("shown", "by_code", "names"), list(NAMES.values()), ids=list(NAMES))
def test_e3_the_links_of_a_conference_may_name_it_otherwise(
    shown: WayIn, by_code: bool, names: tuple[str, ...]
) -> None:
    """Its event shows these links, so the ids in them are remembered as its names."""
    assert linked_as(shown, replace(WEB, links_by_code=by_code)) == names


def test_w4_a_wrapped_link_that_is_replaced_may_be_long_but_not_endless() -> None:
    """The same bound as for a link that is read."""
    wrapped = f"https://www.google.com/url?q={LINK}&x=".ljust(4_096, "x")
    assert with_link_replaced(f"{wrapped} 7", web("abc"), "NEW", RULES) == "NEW 7"
    assert with_link_replaced(f"{wrapped}x", web("abc"), "NEW", RULES) == f"{wrapped}x"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(LINK, "NEW", id="W4-alone"),
        pytest.param(f"{LINK}, Room 7", "NEW, Room 7", id="W4-a-room-behind"),
        pytest.param(f"Room 7 ({LINK}?pwd=x).", "Room 7 (NEW).", id="W4-in-brackets"),
        pytest.param(f"We meet at {LINK}.", "We meet at NEW.", id="W4-a-full-stop-behind"),
        pytest.param(f"{LINK} and {LINK}", "NEW and NEW", id="W4-twice"),
        pytest.param(
            f"https://meet.example.com/def {LINK}",
            "https://meet.example.com/def NEW",
            id="W4-beside-another",
        ),
        pytest.param(
            f"https://www.google.com/url?q={LINK}&sa=D, Room 7", "NEW, Room 7", id="W4-wrapped"
        ),
        pytest.param(f"{LINK}\u2014Room 7", "NEW\u2014Room 7", id="W4-a-dash-behind"),
        pytest.param("Room 7", "Room 7", id="W4-no-link"),
        pytest.param(
            "https://x.zoom.us/j/1 https://docs.example.org",
            "https://x.zoom.us/j/1 https://docs.example.org",
            id="W4-other-links",
        ),
    ],
)
def test_w4_a_link_is_replaced_where_it_stands(text: str, expected: str) -> None:
    """The new link stands where the old one stood, and no other word moves."""
    assert with_link_replaced(text, web("abc"), "NEW", RULES) == expected
    missing = ConferenceRef(provider="teams", conference_id=ConferenceId("abc"))
    assert with_link_replaced(text, missing, "NEW", RULES) == text


WEBEX_LINK = "https://acme.webex.com/acme/j.php?MTID=m1"


def test_e1_an_id_may_be_the_link_itself() -> None:
    """A system that shows no id in its link is asked by the link."""
    expected = ConferenceRef(provider="webex", conference_id=ConferenceId(WEBEX_LINK))
    assert link_in(f"{WEBEX_LINK}, Room 7", RULES) == expected
    assert link_in(f"{WEBEX_LINK}&amp;from=calendar", RULES) == expected


_AROUND = st.text(
    st.sampled_from(" \n\t,;()[]{}<>\"'\u3002\uff0c\u300c\u300d\u201c\u201dRoom7."), max_size=20
)


@given(
    before=_AROUND,
    after=_AROUND,
    conference_id=st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True),
)
def test_e1_any_words_around_a_link_leave_its_id_as_it_is(
    before: str, after: str, conference_id: str
) -> None:
    """Words behind a link are set apart by anything that ends a link."""
    text = f"{before} https://meet.example.com/{conference_id}"
    for end in (" ", ",", ")", "\n", "\u3002", '"'):
        assert link_in(f"{text}{end}{after}", RULES) == web(conference_id)


# Whole links and pieces of them, so that a random text often holds something like a link.
_PIECES = st.sampled_from(
    [
        LINK,
        "https://",
        "HTTP://",
        "meet.example.com/",
        "https://x.zoom.us/j/123",
        WEBEX_LINK,
        "https://[x.webex.com/j.php?MTID=1",
        "https://www.google.com/url?q=",
        "https%3A%2F%2F",
        "%",
        "%ff%00",
        "=",
        "?",
        "&amp;",
        "&nbsp;",
        "\ud83d",
        "\x00",
        " ",
    ]
)
_TEXTS = st.lists(_PIECES | st.text(max_size=10), max_size=12).map("".join)


@given(location=_TEXTS, description=_TEXTS, uris=st.lists(_TEXTS, max_size=3), named=_TEXTS)
def test_s6_whatever_the_texts_recognising_raises_at_most_malformed(
    location: str, description: str, uris: list[str], named: str
) -> None:
    """A stranger's invitation cannot stop a run, and what is recognised can be stored."""
    plain = item(
        location=location, description=description, extendedProperties=marked("web", named)
    )
    foreign = plain | {"conferenceData": data(named, None, *uris)}
    for body in (plain, foreign):
        shown = shown_by(parsed(body), RULES)
        still_stands(parsed(body), "web", frozenset({ConferenceId("abc")}), RULES)
        if shown is not None:
            assert shown.conference.conference_id.encode()
            assert len(shown.conference.conference_id) <= 1_024
    with suppress(Malformed):
        shown_by(parsed(plain | {"conferenceData": data(named, "Zoom Meeting", *uris)}), RULES)
    assert with_link_replaced(location, web("never"), "NEW", RULES) == location


def test_s6_a_pattern_with_several_stars_is_looked_through_at_once() -> None:
    """Links without end, against forms that may begin at every dot of their host."""
    pattern = uri_pattern("https://*.a*.b*.c*.example.com/{id}")
    with processor_time_below(0.5):
        for host in ("a.b." * 1_000, "a." * 2_000, "a.b.c." * 40, "abc" * 1_300):
            assert pattern.fullmatch(f"https://{host}") is None
    assert pattern.fullmatch("https://x.ay.bz.cz.example.com/abc")
