"""Which conference an event carries, and how sure that is (E1, E3). Pure.

In this order: conference data, our own private property, a join link anywhere in the location.
Conference data is strong evidence, and so is our property in an event into which a record says that
we wrote it. Everything else is weak: anybody can write a link. Whether the conference is the
event's own, `ownership` tells.
"""

from __future__ import annotations

import re
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

# A link ends at white space, quotes, brackets, a comma or a semicolon. Beside ASCII's: typographic
# quotes, the brackets, commas and full stops of Chinese and Japanese, and the characters that
# nobody sees: zero-width blanks, soft hyphens, marks of the direction of writing.
_ENDS = (
    r"\s\"'<>()\[\]{},;|\\^`\u201c\u201d\u201e\u2018\u2019\xab\xbb\u2039\u203a"
    r"\u3008-\u3011\uff08\uff09\uff3b\uff3d\uff0c\uff1b\u3001\u3002"
    r"\xad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"
)
_LINK = re.compile(rf"https?://[^{_ENDS}]+", re.IGNORECASE)
# A link inside a link, as services that check links before they lead on write it:
# `https://www.google.com/url?q=https://meet.example.com/abc&sa=D`.
_INNER = re.compile(r"=(https?(?::|%3a)(?:/|%2f){2}[^&#]+)", re.IGNORECASE)
_WRAPPINGS = 3
# Calendar's editor keeps descriptions as HTML.
_ENTITIES = {"&amp;": "&", "&nbsp;": " ", "&quot;": '"', "&#39;": "'", "&lt;": "<", "&gt;": ">"}
# A description of the 8,192 characters that Calendar keeps holds fewer.
_LINKS_READ = 1_000
# What may end a sentence, or makes a link bold in a chat, is no part of the link.
_TRAILING = ".!?:*\u2026\uff01\uff0e\uff1a\uff1f"
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


def still_stands(event: Event, provider: str, names: frozenset[ConferenceId], rules: Rules) -> bool:
    """Tell whether a conference's link stands anywhere in the location or description (E3).

    `names` are the ids by which the event may show the conference.
    """
    known = rules.of(provider)
    if known is None:
        return False
    text = f"{event.location}\n{event.description}"
    return any(found.conference_id in names for found in _links_of(text, (known,)))


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

    def replaced(match: re.Match[str]) -> str:
        uri = match[0].rstrip(_TRAILING)
        found = _id_in(uri, provider)
        if found is None or _ref(provider, found) != old:
            return match[0]
        return new + match[0][len(uri) :]

    return _LINK.sub(replaced, text)


def links_in(text: str, rules: Rules) -> list[ConferenceRef]:
    """Return every conference whose join link stands in a text, in order."""
    return list(_links_of(text, rules.providers))


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
    for provider in rules.providers:
        if data.solution in provider.solutions:
            return _named(data, provider)
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
    found = set(_links_of(location, rules.providers))
    if carried is not None and (kept := [each for each in found if carried.is_shown_by(each)]):
        return kept[0]
    return found.pop() if len(found) == 1 else None


def _links_of(text: str, providers: tuple[ProviderRules, ...]) -> Iterator[ConferenceRef]:
    """Yield the conferences of these providers whose join links stand in a text, in order."""
    for link in _links(text):
        # A conference's own link may lead on to another one, which is not looked at then.
        found = (
            _first((_id_in(uri, provider),), provider)
            for uri in _unwrapped(link)
            for provider in providers
        )
        if ref := next(filter(None, found), None):
            yield ref


def _unwrapped(uri: str) -> Iterator[str]:
    """Yield a link, the link inside that link, and so on."""
    yield uri
    for _ in range(_WRAPPINGS):
        inner = _INNER.search(uri)
        if inner is None:
            return
        uri = unquote(inner[1])
        yield uri


def _links(text: str) -> Iterator[str]:
    """Yield the web links in a text, at most a thousand.

    `see (https://a.example/x).` yields `https://a.example/x`.
    """
    if "://" not in text:
        return
    for entity, character in _ENTITIES.items():
        text = text.replace(entity, character)
    for place, match in enumerate(_LINK.finditer(text)):
        if place == _LINKS_READ:
            return
        uri = match[0].rstrip(_TRAILING)
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
