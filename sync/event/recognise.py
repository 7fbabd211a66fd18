"""Which conference an event carries, and how sure that is (E1, E3). Pure.

In this order: conference data, our own private property, a join link anywhere in the location.
Conference data is strong evidence, and so is our property in an event into which a record says that
we wrote it. Everything else is weak: anybody can write a link. Whether the conference is the
event's own, `ownership` tells.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from sync.errors import Malformed
from sync.model.conference import Carried, ConferenceRef, Evidence, Link, WayIn
from sync.model.event import ConferenceData, ConferenceId, Event
from sync.model.provider import ProviderRules, Rules

# Where a conference is recorded on an event that cannot carry its conference data (W4). Calendar
# drops keys of more than 44 characters without a word.
# https://developers.google.com/workspace/calendar/api/guides/extended-properties
PROVIDER_PROPERTY = "conferenceSyncProvider"
ID_PROPERTY = "conferenceSyncId"

# A link ends at white space, quotes, brackets, a comma or a semicolon.
_LINK = re.compile(r"https?://[^\s\x00-\x1f\x7f\"'<>()\[\]{},;|\\^`]+", re.IGNORECASE)
# Beyond ASCII a link ends at whatever is no letter, mark or digit: typographic quotes, the brackets
# and full stops of other scripts, dashes, emoji, and the characters that nobody sees.
_BEYOND_ASCII = "CPSZ"
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
# A link inside a link, as services that check links before they lead on write it:
# `https://www.google.com/url?q=https://meet.example.com/abc&sa=D`, in the path as well:
# `https://urldefense.com/v3/__https://meet.example.com/abc__;!!…$`.
_INNER = re.compile(r"(=|/|__)(https?)(?::|%3a)(?:/|%2f){1,2}([^&#]+)", re.IGNORECASE)
# `https://urldefense.proofpoint.com/v2/url?u=https-3A__meet.example.com_abc&d=…`: `-` for a percent
# sign, `_` for a slash.
_INNER_DASHED = re.compile(r"[?&]u=(https?-3A__[^&#]+)", re.IGNORECASE)
_WRAPPINGS = 3
# Calendar's editor keeps descriptions as HTML.
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});", re.IGNORECASE)
# A description of the 8,192 characters that Calendar keeps holds fewer.
_LINKS_READ = 1_000
# What may end a sentence, or makes a link bold in a chat, is no part of the link.
_TRAILING = ".!?:*"
# An id may end in these. They make a link slanted, or set it apart, where it is none with them.
_PERHAPS_TRAILING = "_~-"
_LONGEST_LINK = 4_096
# Calendar takes a conference id of at most 512 characters.
_LONGEST_ID = 1_024
# A conference has one or two links. What is remembered of an event has to stay small.
_MOST_NAMES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The conference that an event shows, and by which evidence."""

    conference: ConferenceRef
    evidence: Evidence
    strong: bool


def shown_by(event: Event, rules: Rules, link: Link | None = None) -> Shown | None:
    """Return the conference of a configured provider that an event carries, or None (E1).

    `link` is what is remembered of the event. An event with the location
    `https://meet.example.com/abc, Room 7` shows the conference `abc`, by weak evidence. Raises
    Malformed for conference data of ours that names no conference.
    """
    if event.event_type != "default":
        return None
    if found := _in_conference_data(event.conference_data, rules):
        return Shown(conference=found, evidence=Evidence.CONFERENCE_DATA, strong=True)
    if found := in_property(event, rules):
        written = _written_by_us(found, link)
        return Shown(conference=found, evidence=Evidence.PROPERTY, strong=written)
    if found := _in_location(event.location, rules, link.carried if link else None):
        return Shown(conference=found, evidence=Evidence.LOCATION, strong=False)
    return None


def readable(event: Event, rules: Rules) -> Shown | None:
    """Return the same, without what is remembered. None also where the event's data name none."""
    try:
        return shown_by(event, rules)
    except Malformed:
        return None


def still_stands(event: Event, provider: str, names: frozenset[ConferenceId], rules: Rules) -> bool:
    """Tell whether a conference's link stands anywhere in the location or description (E3).

    `names` are the ids by which the event may show the conference.
    """
    known = rules.of(provider)
    if known is None:
        return False
    text = f"{event.location}\n{event.description}"
    return any(
        found.conference_id in names for readings in _readings(text, (known,)) for found in readings
    )


def linked_as(way_in: WayIn, provider: ProviderRules) -> tuple[ConferenceId, ...]:
    """Return the ids that a conference's own links name where these differ from its id (E3).

    Of a Webex meeting `0123abcd`, its link `https://acme.webex.com/acme/j.php?MTID=m1`.
    """
    found = [_id_in(point.uri, provider) for point in way_in.entry_points]
    if provider.links_by_code:
        found += [point.meeting_code for point in way_in.entry_points]
    named = {ref.conference_id for each in found if each and (ref := _ref(provider, each))}
    return tuple(sorted(named - {way_in.conference_id})[:_MOST_NAMES])


def with_link_replaced(text: str, old: ConferenceRef, new: str, rules: Rules) -> str:
    """Return a text in which another link stands where one of `old` stood, and nothing else moved.

    `https://meet.example.com/abc, Room 7` becomes `https://meet.example.com/xyz, Room 7`.
    """
    provider = rules.of(old.provider)
    if provider is None:
        return text

    def is_old(uri: str) -> bool:
        found = _id_in(uri, provider)
        return found is not None and _ref(provider, found) == old

    def replaced(match: re.Match[str]) -> str:
        whole = _without_end(match[0])
        for uri in _forms(whole):
            if is_old(uri):
                return new + match[0][len(uri) :]
        wrapped = len(whole) <= _LONGEST_LINK and any(
            is_old(uri) for inner in _unwrapped(whole) for uri in _forms(inner)
        )
        return new + match[0][len(whole) :] if wrapped else match[0]

    return _LINK.sub(replaced, text)


def links_in(text: str, rules: Rules) -> list[ConferenceRef]:
    """Return every conference whose join link stands in a text, in order."""
    return list(_links_of(text, rules.providers))


def link_of(text: str, conference: ConferenceRef, rules: Rules) -> str | None:
    """Return the first link in a text that names a conference, as it is written there."""
    return next(
        (link for link, readings in _read(text, rules.providers) if conference in readings), None
    )


def link_in(text: str, rules: Rules) -> ConferenceRef | None:
    """Return the one conference whose join link stands in a text. Two different ones mean none."""
    found = set(_links_of(text, rules.providers))
    return found.pop() if len(found) == 1 else None


def in_property(event: Event, rules: Rules) -> ConferenceRef | None:
    """Return the conference that our private property names, whoever wrote it there."""
    provider = rules.of(event.private.get(PROVIDER_PROPERTY, ""))
    conference_id = event.private.get(ID_PROPERTY)
    return _ref(provider, conference_id) if provider and conference_id else None


def _in_conference_data(data: ConferenceData | None, rules: Rules) -> ConferenceRef | None:
    if data is None or data.pending:
        return None
    named = [each for each in rules.providers if data.solution in each.solutions]
    # Two accounts of one system have one solution: then the links tell which is meant.
    linked = [each for each in named if any(_id_in(uri, each) for uri in data.uris)]
    if named:
        return _named(data, (linked or named)[0])
    for provider in rules.providers:
        # Recognised by its link alone: then the link tells the id, whatever the block says.
        if found := _first((_id_in(uri, provider) for uri in data.uris), provider):
            return found
    return None


def _named(data: ConferenceData, provider: ProviderRules) -> ConferenceRef:
    """The conference of a block that carries the name of one of the provider's solutions."""
    in_parameters = (data.parameters.get(name) for name in provider.parameters)
    in_links = (_id_in(uri, provider) for uri in data.uris)
    found = _first((*in_parameters, data.conference_id, *in_links), provider)
    if found is None:
        raise Malformed(
            f"its conference of {provider.name} has neither a conference id nor a link that tells "
            "the id"
        )
    return found


def _first(ids: Iterable[str | None], provider: ProviderRules) -> ConferenceRef | None:
    """Return the first conference that one of these names, whatever the others hold."""
    return next(filter(None, (_ref(provider, each) for each in ids if each)), None)


def _written_by_us(found: ConferenceRef, link: Link | None) -> bool:
    if link is None:
        return False
    if link.written is not None:
        return link.written == found.conference_id
    # An earlier version noted only that it wrote.
    return link.etag is not None and link.carried is not None and link.carried.is_shown_by(found)


def _in_location(location: str, rules: Rules, carried: Carried | None) -> ConferenceRef | None:
    found: set[ConferenceRef] = set()
    for readings in _readings(location, rules.providers):
        # Whatever a link may mean, the conference that is carried is meant (E3).
        if carried and (kept := next(filter(carried.is_shown_by, readings), None)):
            return kept
        found.add(readings[0])
    return found.pop() if len(found) == 1 else None


def _links_of(text: str, providers: tuple[ProviderRules, ...]) -> Iterator[ConferenceRef]:
    """Yield the conferences of these providers whose join links stand in a text, in order."""
    # A conference's own link may lead on to another one, which is not meant then.
    return (readings[0] for readings in _readings(text, providers))


def _readings(text: str, providers: tuple[ProviderRules, ...]) -> Iterator[list[ConferenceRef]]:
    """Yield for each join link in a text what the link may mean, the likeliest first."""
    return (readings for _, readings in _read(text, providers))


def _read(
    text: str, providers: tuple[ProviderRules, ...]
) -> Iterator[tuple[str, list[ConferenceRef]]]:
    """Yield each join link in a text, with what the link may mean, the likeliest first."""
    for link in web_links(text):
        found = (
            _first((_id_in(uri, provider),), provider)
            for wrapped in _unwrapped(link)
            for uri in _forms(wrapped)
            for provider in providers
        )
        if readings := list(filter(None, found)):
            yield link, readings


def _unwrapped(uri: str) -> Iterator[str]:
    """Yield a link, the links inside that link, and so on."""
    found = [uri]
    for _ in range(_WRAPPINGS):
        yield from found
        found = [inner for each in found for inner in _inside(each)]
    yield from found


def _inside(uri: str) -> Iterator[str]:
    for dashed in _INNER_DASHED.finditer(uri):
        yield unquote(dashed[1].replace("-", "%").replace("_", "/"))
    for inner in _INNER.finditer(uri):
        link = f"{inner[2]}://{inner[3]}"
        yield unquote(link.removesuffix("__") if inner[1] == "__" else link)


def _forms(uri: str) -> Iterator[str]:
    """Yield a link as it may be meant, the whole of it first.

    Words of other scripts may follow without a blank, as in `https://zoom.us/j/85212345678会議室`.
    """
    whole = _without_end(uri)
    plain = _ascii(whole)
    yield from dict.fromkeys((whole, plain, plain.rstrip(_PERHAPS_TRAILING + _TRAILING)))


def _without_end(uri: str) -> str:
    """Return a link without what ends a sentence, and what is no letter beyond ASCII."""
    if not uri.isascii():
        ends = (
            place
            for place, character in enumerate(uri)
            if not character.isascii() and unicodedata.category(character)[0] in _BEYOND_ASCII
        )
        uri = uri[: next(ends, None)]
    return uri.rstrip(_TRAILING)


def _ascii(uri: str) -> str:
    """Return the beginning of a text, up to the first character beyond ASCII."""
    found = _NOT_ASCII.search(uri)
    return uri[: found.start()] if found else uri


def web_links(text: str) -> Iterator[str]:
    """Yield the web links in a text, at most a thousand.

    `see (https://a.example/x).` yields `https://a.example/x`.
    """
    if "&" in text:
        # Escaped twice, say, where HTML was pasted as text.
        for _ in range(2):
            text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    if "://" not in text:
        return
    for place, match in enumerate(_LINK.finditer(text)):
        if place == _LINKS_READ:
            return
        uri = _without_end(match[0])
        if len(uri) <= _LONGEST_LINK:
            yield uri


def _id_in(uri: str, provider: ProviderRules) -> str | None:
    """Return the conference id in a join link of a provider, None for any other link.

    An adapter's patterns meet whatever strangers write, so nothing that they do may raise (S6).
    """
    if len(uri) > _LONGEST_LINK:
        return None
    for pattern in provider.uris:
        if found := pattern.fullmatch(uri):
            return unquote(found[1])
    return None


def _ref(provider: ProviderRules, conference_id: str) -> ConferenceRef | None:
    """Name a conference by the provider's own form of its id. None for what can be no id (S6)."""
    if len(conference_id) > _LONGEST_LINK:
        return None
    try:
        known = provider.normalise(conference_id)
    except Exception:
        return None
    if not known or len(known) > _LONGEST_ID:
        return None
    return ConferenceRef(provider=provider.name, conference_id=ConferenceId(known))
