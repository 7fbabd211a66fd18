"""Whose conference is it (O1-O4): a link is no proof. Pure.

Before anything is changed at a provider, the provider's own answer (`Sight`, one read) has to show
that the conference is this event's. `judge` compares that answer with the event. What fails is left
alone, with the reason (`LeftAlone`).
"""

from __future__ import annotations

import re

from sync.errors import Gone, Invalid, LeftAlone, NotAllowed, SyncError
from sync.event.recognise import Shown
from sync.model.conference import ConferenceContent, Sight
from sync.model.event import Event
from sync.model.provider import ProviderRules
from sync.model.series import begins_on

_ADDRESS = re.compile(r"[^\s@,;<>]+@([^\s@,;<>]+)")


def owners_of(event: Event) -> tuple[str, ...]:
    """Return the addresses of the event's organizer and creator, each once."""
    return tuple(dict.fromkeys(person for person in (event.organizer, event.creator) if person))


def judge(
    event: Event, content: ConferenceContent, shown: Shown, sight: Sight, rules: ProviderRules
) -> str | None:
    """Return why a conference is left alone, None if the answer proves that it is the event's (O2).

    `content` is what the event would tell the provider.

    Example: the event is Anna's, her location has a link of Bob's series, and Zoom answers
    `host_email: bob@example.com`: "the host is neither the event's organizer nor its creator …".
    """
    strong = shown.strong
    if sight.unfit is not None:
        return f"it is {sight.unfit}, which is not scheduled by an event"
    if not sight.hosts and not (rules.trusts_conference_data and strong):
        proof = " and a link alone proves nothing" if rules.trusts_conference_data else ""
        return f"{rules.name} does not say who hosts it{proof}"
    if not is_hosted(event, sight, rules):
        return (
            "its host is neither the event's organizer nor its creator, and matches none of hosts "
            f"in the entry {rules.name} of SYNC_PROVIDERS"
        )
    if sight.recurring and not event.recurrence:
        return "it is a recurring meeting and the event is a single one: it would lose its dates"
    if event.recurrence and not sight.recurring and not strong:
        return "it is a single meeting and the event a series that shows no more than its link"
    if not strong and not _begins_with(content, sight):
        return "the event shows no more than its link, and it does not begin when the event does"
    return None


def proof_for(event: Event) -> str:
    """Return for whom a proof is made: another organizer needs another one (O2)."""
    return event.organizer or ""


def is_hosted(event: Event, sight: Sight, rules: ProviderRules) -> bool:
    """Tell whether the event's organizer or creator hosts it, or somebody whom `hosts` names."""
    if not sight.hosts:
        return rules.trusts_conference_data
    return any(_is_theirs(host, event, rules) for host in sight.hosts)


def refusal(error: SyncError, rules: ProviderRules, *, strong: bool) -> LeftAlone | None:
    """Return why a conference that could not be read at first sight is left alone (O3, O4).

    None: it may be created, for a system that vouches for its own conference data. `error` is what
    the provider answered: Gone, or that it does not show the conference to us.
    """
    match error:
        case Gone() if rules.creates_unseen and strong:
            return None
        case Gone():
            return LeftAlone(
                f"{rules.name} knows no such conference, and nothing is created in place of one "
                "that was never reached",
                rule="O4",
            )
        case NotAllowed() | Invalid():
            return LeftAlone(
                f"it cannot be read, so nothing proves whose it is: {error}", rule="O3"
            )
    raise error


def _is_theirs(host: str, event: Event, rules: ProviderRules) -> bool:
    if host in owners_of(event) or host in rules.hosts:
        return True
    # Of several addresses in one text the last domain says nothing about the others.
    found = _ADDRESS.fullmatch(host)
    return found is not None and f"*@{found[1]}" in rules.hosts


def _begins_with(content: ConferenceContent, sight: Sight) -> bool:
    """A single conference begins when the event does, a series on one of the event's dates."""
    if sight.starts is None:
        return False
    # A single event whose zone is unknown here begins at a moment that is known all the same.
    same = not content.recurrence and content.start.utc() == sight.starts.utc()
    return same or begins_on(content, sight.starts)
