"""What in an event shows its conference, remembered word for word (E3). Pure.

`SYNC_PROVIDERS` may change: an entry is renamed or taken out, gets other patterns, or stands behind
another one. Then an event that nobody touched is read differently. As long as the very words stand
in the event by which its conference was recognised, nobody has removed or replaced the conference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sync.event.recognise import (
    ID_PROPERTY,
    PROVIDER_PROPERTY,
    Shown,
    link_of,
    shown_by,
    web_links,
)
from sync.model.conference import Carried, Evidence
from sync.model.event import Event, digest
from sync.model.provider import Rules


def mark_of(event: Event, shown: Shown, rules: Rules) -> str | None:
    """Return a digest of the words in an event that show a conference. None: nothing shows it.

    The link `https://meet.example.com/abc` in the location gives the same digest whatever stands
    around it.
    """
    match shown.evidence:
        case Evidence.CONFERENCE_DATA:
            return _of_data(event)
        case Evidence.PROPERTY:
            return _of_property(event)
        case Evidence.LOCATION:
            found = link_of(event.location, shown.conference, rules)
            return digest("link", found) if found else None


def marked(carried: Carried, event: Event, rules: Rules) -> Carried:
    """Return what is carried with the mark of what shows it now. As before where nothing does."""
    shown = shown_by(event, rules)
    if shown is None or not carried.is_shown_by(shown.conference):
        return carried
    return replace(carried, mark=mark_of(event, shown, rules))


def still_marked(event: Event, mark: str | None, beside: Shown | None = None) -> bool:
    """Tell whether the words of a mark still stand in a living event.

    `beside`: another conference, which the event shows now. It has taken the place of the marked
    one if its evidence comes before the mark's, say conference data before a link (E1).
    """
    if mark is None or event.cancelled:
        return False
    if mark == _of_data(event):
        return True
    if beside is not None and beside.evidence is Evidence.CONFERENCE_DATA:
        return False
    if mark == _of_property(event):
        return True
    return not (beside is not None and beside.strong) and mark in _of_links(event)


def _of_data(event: Event) -> str | None:
    data = event.conference_data
    if data is None or data.pending:
        return None
    return digest("data", data.solution or "", data.conference_id or "", *sorted(data.uris))


def _of_property(event: Event) -> str | None:
    known = event.private.get(ID_PROPERTY)
    return digest("property", event.private.get(PROVIDER_PROPERTY, ""), known) if known else None


def _of_links(event: Event) -> Iterator[str]:
    for link in web_links(f"{event.location}\n{event.description}"):
        yield digest("link", link)
