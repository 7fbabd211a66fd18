"""A provider, and the way into its new conference, as the tests of write-back need them."""

from __future__ import annotations

from datetime import timedelta

from sync.event.write_back import Entrance
from sync.model.conference import ConferenceRef, WayIn
from sync.model.event import ConferenceId, EntryPoint
from sync.model.provider import ProviderRules, Rules, uri_pattern

RULES = Rules(
    providers=(
        ProviderRules(
            name="web",
            solutions=frozenset({"My Web Conference"}),
            uris=(uri_pattern("https://meet.example.com/{id}"),),
            fields=frozenset({"title", "description"}),
        ),
    ),
    delete_grace=timedelta(),
)
NEW = ConferenceRef(provider="web", conference_id=ConferenceId("c-2"))
VIDEO = EntryPoint(
    kind="video", uri="https://meet.example.com/c-2", label="meet.example.com/c-2", passcode="4711"
)
PHONE = EntryPoint(
    kind="phone", uri="tel:+1-555-0100", label="+1 555 0100", pin="4711", region_code="US"
)
WAY_IN = WayIn(
    conference_id=NEW.conference_id, entry_points=(VIDEO, PHONE), notes="Bring <b>cake</b>"
)
ENTRANCE = Entrance(
    conference=NEW,
    way_in=WAY_IN,
    old=frozenset({ConferenceRef(provider="web", conference_id=ConferenceId("c-1"))}),
)
OLD = {
    "conferenceId": "c-1",
    "conferenceSolution": {
        "key": {"type": "addOn"},
        "name": "My Web Conference",
        "iconUri": "https://x/i.png",
    },
    "entryPoints": [{"entryPointType": "video", "uri": "https://meet.example.com/c-1"}],
}
