"""How one provider's conferences are recognised, whose it may follow, and what it takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRules:
    """What the rules about events need to know of one entry of `SYNC_PROVIDERS`.

    `uris` match a whole join link, with the conference id as group 1. `fields` are names of
    `ConferenceContent`. A change of any other makes no call (E4). `normalise` brings an id, as
    people and Calendar write it, to the provider's own form. `hosts` are addresses, or
    `*@example.com`, whose conferences may be followed besides the organizer's own (O2).
    `trusts_conference_data`: conference data of the event proves enough where the system names no
    host. `creates_unseen`: a conference that was never reached may be created (O4).
    `parameters` name the add-on parameters that hold the id, if the block has them (E1).
    `links_by_code`: a form of the links names a conference by its meeting code. `system`: which
    system it is. Two entries of one system know the same conferences by the same ids.
    """

    name: str
    solutions: frozenset[str]
    uris: tuple[re.Pattern[str], ...]
    fields: frozenset[str]
    hosts: frozenset[str] = frozenset()
    parameters: tuple[str, ...] = ()
    occurrences: bool = False
    drops_occurrences: bool = False
    trusts_conference_data: bool = False
    creates_unseen: bool = False
    links_by_code: bool = False
    normalise: Callable[[str], str] = str.strip
    system: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules of all configured providers, in the order of the configuration."""

    providers: tuple[ProviderRules, ...]
    delete_grace: timedelta

    def of(self, provider: str) -> ProviderRules | None:
        return next((rules for rules in self.providers if rules.name == provider), None)

    def twins(self, provider: str) -> list[str]:
        """The names of the other entries of the same system."""
        known = self.of(provider)
        if known is None or not known.system:
            return []
        return [
            rules.name
            for rules in self.providers
            if rules.system == known.system and rules.name != provider
        ]


def uri_pattern(uri: str) -> re.Pattern[str]:
    """Return what matches a join link of the form `uri`, its conference id as group 1.

    `*` stands for any part of a host name (a leading `*.` also for none), `{id}` for one part of
    the path or one parameter of the query. A query, more of its parameters, a fragment or a slash
    may follow. Case does not count in scheme and host, and neither does the port that https has
    anyway. `https://meet.example.com/{id}` matches `https://meet.example.com/abc?x=1` and gives
    `abc`.
    """
    scheme, _, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    any_subdomain = host.startswith("*.")
    hosts = re.escape(host.removeprefix("*.")).replace(re.escape("*"), "[^/?#@]*")
    hosts = r"(?:[^/?#@]+\.)?" + hosts if any_subdomain else hosts
    part = "([^/?#&]+)" if "?" in path.partition("{id}")[0] else "([^/?#]+)"
    paths = re.escape(slash + path).replace(re.escape("{id}"), part)
    hosts = hosts.replace(re.escape("{id}"), "([^/?#@]+)")
    more = "&" if "?" in path else "?"
    # With several `*`, looking through a longer text than a name of a host can be takes seconds.
    short = "(?=[^/?#]{1,300}(?:[/?#]|$))"
    port = "(?::443)?" if scheme.lower() == "https" else ""
    return re.compile(rf"(?i:{re.escape(scheme)}://{short}{hosts}){port}{paths}/?(?:[{more}#].*)?")
