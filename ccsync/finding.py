"""An event by its link, or by its title and day: read in Calendar with the operator's own access.

An event's id, or Calendar's own link to it, needs no access: both are read here as text.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx

from ccsync.errors import NoAccess, Refused, Unreachable
from ccsync.tokens import how_to_read_calendar

Json = dict[str, Any]

LINK_DAYS_BACK, LINK_DAYS_AHEAD = 30, 180
"""Where a join link is looked for when no day is given."""
_FIELDS = (
    "nextPageToken,items(id,status,summary,location,description,start,end,recurringEventId,"
    "conferenceData(conferenceId,entryPoints(uri)),extendedProperties)"
)
_MOST_NAMED = 5
# Calendar shortens the domains of its own addresses in links.
_DOMAINS = {"@m": "@gmail.com", "@g": "@group.calendar.google.com"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An event and what its owner would call it. `title` is None where Calendar was not read."""

    calendar_id: str
    event_id: str
    title: str | None = None
    start: str | None = None


def of_calendar_link(link: str) -> Found | None:
    """Return the event that Calendar's own link (`htmlLink`) names, None for another link.

    https://www.google.com/calendar/event?eid=… holds the event's id and the calendar's, in base64.
    """
    parts = urlsplit(link)
    code = parse_qs(parts.query).get("eid", [""])[0]
    if not code and "/eventedit/" in parts.path:
        code = parts.path.rpartition("/")[2]
    if not code or not (parts.hostname or "").endswith("google.com"):
        return None
    try:
        padded = code + "=" * (-len(code) % 4)
        text = base64.urlsafe_b64decode(padded).decode()
    except ValueError:
        return None
    event_id, _, calendar_id = text.partition(" ")
    for short, domain in _DOMAINS.items():
        if calendar_id.endswith(short):
            calendar_id = calendar_id.removesuffix(short) + domain
    return Found(calendar_id=calendar_id, event_id=event_id) if event_id and calendar_id else None


class CalendarReader:
    """Reads events with the operator's own access. `headers` is None for the sandbox."""

    def __init__(self, url: str, headers: Callable[[], dict[str, str]] | None) -> None:
        self._url = url
        self._headers = headers

    def by_link(self, calendar_id: str, link: str, day: date | None) -> Found:
        """Return the one event that shows a join link. Raises Refused for none or several."""
        wanted = _bare(link)
        span = _around(day) if day else _from_now()
        shown = [event for event in self._events(calendar_id, *span) if wanted in _links_of(event)]
        if day:
            shown = [event for event in shown if _is_on(event, day)]
        where = f"on {day}" if day else f"from {LINK_DAYS_BACK} days ago to {LINK_DAYS_AHEAD} ahead"
        return _one(calendar_id, _first_of_series(shown), f"shows this link {where}")

    def by_title(self, calendar_id: str, title: str, day: date) -> Found:
        """Return the one event of a day with a title, or with a part of it. Raises Refused."""
        listed = [event for event in self._events(calendar_id, *_around(day)) if _is_on(event, day)]
        wanted = title.casefold().strip()
        titles = [(event, str(event.get("summary", "")).casefold().strip()) for event in listed]
        same = [event for event, found in titles if found == wanted]
        part = [event for event, found in titles if wanted in found]
        return _one(calendar_id, same or part, f'has the title "{title}" on {day}')

    def _events(self, calendar_id: str, begin: datetime, end: datetime) -> Iterator[Json]:
        headers = self._headers() if self._headers else {}
        query = {
            "singleEvents": "true",
            "showDeleted": "true",
            "maxResults": "2500",
            "timeMin": begin.isoformat(),
            "timeMax": end.isoformat(),
            "fields": _FIELDS,
        }
        url = f"{self._url}calendars/{quote(calendar_id, safe='')}/events"
        with httpx.Client(
            timeout=30, headers=headers, trust_env=self._headers is not None
        ) as client:
            while True:
                page = _read(client, url, query)
                yield from page.get("items", [])
                if not page.get("nextPageToken"):
                    return
                query["pageToken"] = page["nextPageToken"]


def _read(client: httpx.Client, url: str, query: dict[str, str]) -> Json:
    try:
        response = client.get(url, params=query)
    except httpx.TransportError as error:
        raise Unreachable(
            f"Calendar does not answer ({error}); repeat this, or name the event by its id"
        ) from None
    if response.status_code in (401, 403, 404):
        raise NoAccess(
            f"Calendar does not show you this calendar ({response.status_code}); have it shared "
            f"with you, run {how_to_read_calendar()}, or name the event by its id"
        )
    if not response.is_success:
        raise Unreachable(
            f"Calendar cannot answer now ({response.status_code}); repeat this, or name the event "
            "by its id"
        )
    page: Json = response.json()
    return page


def _around(day: date) -> tuple[datetime, datetime]:
    """Return a span that holds the day in every time zone."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    return noon - timedelta(hours=36), noon + timedelta(hours=36)


def _from_now() -> tuple[datetime, datetime]:
    now = datetime.now(UTC).replace(microsecond=0)
    return now - timedelta(days=LINK_DAYS_BACK), now + timedelta(days=LINK_DAYS_AHEAD)


def _is_on(event: Json, day: date) -> bool:
    """Whether an event is on a day of its calendar's zone, in which Calendar writes its times."""
    start, end = event.get("start", {}), event.get("end", {})
    if "date" in start:
        return bool(start["date"] <= day.isoformat() < end.get("date", start["date"] + "~"))
    begins, ends = start.get("dateTime", "")[:10], end.get("dateTime", "")[:10]
    return bool(begins <= day.isoformat() <= ends)


def _bare(link: str) -> str:
    """Return a link without what varies: its scheme, `www.`, query, and the slash at its end."""
    parts = urlsplit(link.strip())
    host = (parts.hostname or "").removeprefix("www.")
    return f"{host}{parts.path}".rstrip("/")


def _links_of(event: Json) -> set[str]:
    entry_points = event.get("conferenceData", {}).get("entryPoints", [])
    texts = [event.get("location", ""), event.get("description", "")]
    found = [point.get("uri", "") for point in entry_points]
    for text in texts:
        found += re.findall(r"https?://[^\s<>\"']+", text)
    return {_bare(link) for link in found if link}


def _first_of_series(events: list[Json]) -> list[Json]:
    """Return the events with one for each series: its occurrences share their conference."""
    first: dict[str, Json] = {}
    for event in events:
        first.setdefault(event.get("recurringEventId") or event["id"], event)
    return [{**event, "id": series} for series, event in first.items()]


def _one(calendar_id: str, events: list[Json], what: str) -> Found:
    live = [event for event in events if event.get("status") != "cancelled"] or events
    if not live:
        raise Refused(
            f"no event of {calendar_id} {what}; look at the day in the calendar, or name the event "
            "by its id"
        )
    if len(live) > 1:
        named = ", ".join(_named(event) for event in live[:_MOST_NAMED])
        raise Refused(
            f"{len(live)} events of {calendar_id} match: which {what}; name one by its id: {named}"
        )
    event = live[0]
    start = event.get("start", {})
    return Found(
        calendar_id=calendar_id,
        event_id=event["id"],
        title=event.get("summary"),
        start=start.get("dateTime") or start.get("date"),
    )


def _named(event: Json) -> str:
    start = event.get("start", {})
    return f"{event['id']} ({start.get('dateTime') or start.get('date')})"
