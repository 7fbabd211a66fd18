"""What a user would take instead: Google's documented procedure, and polling.

The procedure is that of Google's guide for add-ons, written anew: a trigger tells that something
changed, never what. The script then lists every page since its sync token, with whole events, and
calls the conferencing system for each event that carries one of its conferences, one after the
other. A dead token means a listing from the start.
https://developers.google.com/workspace/add-ons/calendar/conferencing/sync-calendar-changes

Polling is the same procedure every five minutes, without a trigger.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from sandbox.world import SOLUTION
from tests.benchmarks.parts import ANNA, Parts

PERIOD_SECONDS = 300.0

Json = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Procedure:
    """The script of the guide for one calendar."""

    parts: Parts
    http: httpx.Client
    sync_token: str | None = None

    def begin(self) -> None:
        """Make the sync token, as when the trigger is installed. Tells the provider nothing."""
        for _ in self._changes():
            pass

    def run(self) -> None:
        """What the trigger's function does. Safe to repeat, but for the calls it repeats."""
        for event in self._changes():
            conference = event.get("conferenceData", {})
            if conference.get("conferenceSolution", {}).get("name") != SOLUTION:
                continue
            if event["status"] == "cancelled":
                self._call("DELETE", conference["conferenceId"], None)
            else:
                self._call("PUT", conference["conferenceId"], _conference(event))

    def _changes(self) -> Iterator[Json]:
        query: dict[str, str] = {}
        if self.sync_token is not None:
            query["syncToken"] = self.sync_token
        while True:
            url = f"http://{self.parts.calendar.host}/calendar/v3/calendars/{quote(ANNA)}/events"
            answer = self.http.get(url, params=query)
            if answer.status_code == 410:
                query = {}
                continue
            page = answer.raise_for_status().json()
            yield from page["items"]
            if "nextPageToken" not in page:
                self.sync_token = page["nextSyncToken"]
                return
            query["pageToken"] = page["nextPageToken"]

    def _call(self, method: str, conference_id: str, body: Json | None) -> None:
        url = f"{self.parts.system.url}/api/conferences/{conference_id}"
        headers = {"Authorization": "Bearer token"}
        self.http.request(method, url, json=body, headers=headers).raise_for_status()


def _conference(event: Json) -> Json:
    return {
        "id": event["conferenceData"]["conferenceId"],
        "title": event.get("summary", ""),
        "start": event["start"]["dateTime"],
        "end": event["end"]["dateTime"],
        "time_zone": event["start"].get("timeZone", "UTC"),
        "all_day": False,
        "recurrence": event.get("recurrence", []),
        "event": {"calendar_id": ANNA, "event_id": event["id"]},
    }
