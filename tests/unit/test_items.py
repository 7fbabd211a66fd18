"""What of a listing is parsed, and what is left as it came."""

from __future__ import annotations

from typing import Any

import pytest

from sync.event.recognise import shown_by
from sync.model.event import Entry, EventId
from sync.model.items import Items
from tests.support.events import MEET, RULES, item

LINK = "https://meet.example.com/c-1"
MEET_WITH_ANOTHER_LINK = {**MEET, "entryPoints": [{"entryPointType": "more", "uri": LINK}]}

PLAIN: dict[str, Any] = {
    "E1-no-conference": item(),
    "E1-a-room": item(location="Room 7"),
    "E1-a-link-in-the-description": item(description=LINK),
    "E1-empty-location": item(location=None),
    "E5-a-series": item(recurrence=["RRULE:FREQ=DAILY"]),
    "E8-no-start": {"id": "e1"},
    "E8-odd-members": {"id": "e1", "start": 42, "attendees": "all", "location": ["https://"]},
}
PARSED: dict[str, Any] = {
    "E1-a-link": item(location=f"Room 7, {LINK}"),
    "E1-a-property": item(extendedProperties={"private": {"a": "b"}}),
    "E1-a-meet-block-with-a-link-of-ours": item(MEET_WITH_ANOTHER_LINK),
    "E1-a-meet-block-without-entry-points": item({**MEET, "entryPoints": None}),
    "E1-conference-data-that-is-none": {"id": "e1", "conferenceData": None},
    "E2-a-bare-id": {"id": "e1", "status": "cancelled"},
    "E2-a-deleted-event": item(status="cancelled"),
    "E5-an-occurrence": item(recurringEventId="s1"),
    "S6-a-number": 42,
    "S6-nothing": None,
    "S6-no-id": {"summary": "Planning"},
    "S6-empty-id": item(id=""),
    "S6-an-id-that-is-a-number": item(id=7),
    "S6-an-endless-id": item(id="e" * 2_000),
    "S6-an-id-with-half-a-character": item(id="e\ud83d"),
}


@pytest.mark.parametrize("listed", list(PLAIN.values()), ids=list(PLAIN))
def test_a_plain_event_is_not_parsed_until_it_is_asked_for(listed: Any) -> None:
    """It shows no conference, and what `opened` returns is what parsing it at once gives."""
    page = Items.from_api([listed], calendar_zone="Asia/Tokyo")
    assert (len(page), page.entries) == (1, [])
    entry = Entry.from_api(listed, calendar_zone="Asia/Tokyo")
    assert page.opened([EventId("e0"), entry.id]) == [entry]
    assert entry.event is not None
    assert shown_by(entry.event, RULES) is None


@pytest.mark.parametrize("listed", list(PARSED.values()), ids=list(PARSED))
def test_what_may_concern_us_is_parsed(listed: Any) -> None:
    """In doubt an item is parsed, and nothing that a listing holds raises (S6)."""
    page = Items.from_api([listed])
    assert page.plain == {}
    assert page.entries == [Entry.from_api(listed)]


def test_a_meet_conference_of_calendar_s_own_is_plain() -> None:
    """Calendar writes that block itself, so no provider's link can be in it (E1)."""
    points = [{"uri": "https://meet.google.com/abc-defg-hij"}, {"uri": "tel:+49-30-1234"}]
    data = {"conferenceSolution": {"key": {"type": "hangoutsMeet"}}, "entryPoints": points}
    assert list(Items.from_api([item(data)]).plain) == ["e1"]
