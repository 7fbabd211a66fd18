"""The items of one page of a listing, parsed no further than they may concern us.

Most events of a calendar carry no conference that is ours, and nothing is remembered of them. To
parse one costs several times what the client takes to receive it. Such an item stays as it came,
and only its id is read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync.model.event import LONGEST_ID, Entry, EventId

# What Calendar itself writes for its own conferences.
# https://developers.google.com/workspace/calendar/api/v3/reference/events
# (conferenceData.conferenceSolution.key.type)
_MEET = "hangoutsMeet"
_MEET_LINKS = ("https://meet.google.com/", "https://tel.meet/", "tel:", "sip:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """One page: what may concern us as entries, and the plain events beside them.

    `entries` are in the order of the listing: events with conference data, a property or a link,
    occurrences, deleted events, and what is no event at all. `plain` are all others by their ids,
    as they came: events that carry no conference, whatever the providers' rules are. A plain event
    concerns us only if something is remembered of it, and `opened` parses it then.

    `[{"id": "e1", "summary": "Lunch"}, {"id": "e2", "status": "cancelled"}]` gives one plain event,
    `e1`, and the entry of `e2`.
    """

    entries: Sequence[Entry] = ()
    plain: Mapping[EventId, Mapping[str, Any]] = field(default_factory=dict)
    calendar_zone: str | None = None

    @classmethod
    def from_api(cls, items: Sequence[object], *, calendar_zone: str | None = None) -> Items:
        """Sort the items of a page. Never raises (S6)."""
        entries: list[Entry] = []
        plain: dict[EventId, Mapping[str, Any]] = {}
        for item in items:
            if isinstance(item, dict) and _is_plain(item):
                plain[item["id"]] = item
            else:
                entries.append(Entry.from_api(item, calendar_zone=calendar_zone))
        return cls(entries=entries, plain=plain, calendar_zone=calendar_zone)

    def __len__(self) -> int:
        return len(self.entries) + len(self.plain)

    def opened(self, ids: Collection[EventId]) -> list[Entry]:
        """Parse the plain events among these ids."""
        return [
            Entry.from_api(self.plain[event_id], calendar_zone=self.calendar_zone)
            for event_id in ids
            if event_id in self.plain
        ]


def _is_plain(item: Mapping[str, Any]) -> bool:
    """Tell whether an item is an event as it stands that carries no conference of a provider (E1).

    Called for each item of a listing, so it looks at few members. In doubt the answer is no: the
    item is parsed, and that tells.
    """
    if (
        "extendedProperties" in item
        or "recurringEventId" in item
        or item.get("status") == "cancelled"
    ):
        return False
    location = item.get("location")
    if isinstance(location, str) and "://" in location:
        return False
    event_id = item.get("id")
    if not isinstance(event_id, str) or not event_id.isascii() or len(event_id) > LONGEST_ID:
        return False
    return event_id != "" and ("conferenceData" not in item or _is_meet(item["conferenceData"]))


def _is_meet(data: Any) -> bool:
    """Tell whether conference data is Calendar's own, with no link to anywhere else."""
    try:
        if data["conferenceSolution"]["key"]["type"] != _MEET:
            return False
        for point in data["entryPoints"]:
            if not point["uri"].startswith(_MEET_LINKS):
                return False
    except (TypeError, KeyError, AttributeError):
        return False
    return True
