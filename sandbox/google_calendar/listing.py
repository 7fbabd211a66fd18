"""events.list and events.instances: which events an answer holds, page by page.

A full listing follows the order in which events first appeared, an incremental one the log of
changes, so that a page costs what it holds and not what the calendar holds. Expanded or ordered
listings are worked out once and remembered while they are being paged through.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sandbox.google_calendar import recurrence, times
from sandbox.google_calendar.errors import ApiError
from sandbox.google_calendar.presentation import View
from sandbox.google_calendar.queries import (
    NEVER,
    SUPPRESS_SYNC_TOKEN,
    ListQuery,
    event_type,
    in_window,
    matches,
)
from sandbox.google_calendar.state import Calendar, Event, Store, instance_body
from sandbox.google_calendar.tokens import PageToken, SyncToken, Tokens

Json = dict[str, Any]

_MOST_RESULTS = 2500
_REMEMBERED_LISTINGS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What one listing request answers."""

    items: list[Json]
    next_page_token: str | None = None
    next_sync_token: str | None = None


class Listings:
    """Lists events. All calls are made under the store's lock."""

    def __init__(self, store: Store, tokens: Tokens) -> None:
        self._store = store
        self._tokens = tokens
        self._remembered: OrderedDict[tuple[Any, ...], list[Json]] = OrderedDict()

    def events(self, calendar: Calendar, query: ListQuery) -> Page:
        if calendar.role == "freeBusyReader":
            # Such a reader is answered as if singleEvents were true.
            query = replace(query, single_events=True)
        query.check()
        since = None
        if query.sync_token is not None:
            since = self._tokens.read_sync_token(calendar, query.sync_token)
            if self._store.settings.strict:
                _check_shape(since, query)
        place = self._place(calendar, query)
        view = View(self._store.settings, calendar, query, incremental=since is not None)
        if query.single_events or query.order_by is not None:
            key = (
                calendar.id,
                query.identity,
                place.until,
                calendar.number,
                calendar.role,
                str(self._store.settings),
            )
            listed = self._whole(
                key, lambda: self._expanded(calendar, query, since, place.until, view)
            )
            entries: Iterator[tuple[int, Json]] = enumerate(
                listed[place.position :], start=place.position
            )
        elif since is None:
            entries = self._all(calendar, query, place, view)
        else:
            entries = self._changed(calendar, query, since, place, view)
        items, position = self._take(entries, place, query.max_results)
        if position is not None:
            return Page(items=items, next_page_token=self._next(calendar, query, place, position))
        if self._withholds_token(query):
            return Page(items=items)
        window = (
            since.window if since is not None else (_text(query.time_min), _text(query.time_max))
        )
        return Page(
            items=items,
            next_sync_token=self._tokens.sync_token(calendar, place.until, query.shape, window),
        )

    def instances(
        self, calendar: Calendar, series: Event, query: ListQuery, original_start: str | None
    ) -> Page:
        place = self._place(calendar, query)
        view = View(self._store.settings, calendar, query)
        key = (
            calendar.id,
            series.body["id"],
            query.identity,
            original_start,
            place.until,
            calendar.number,
            calendar.role,
            str(self._store.settings),
        )

        def work_out() -> list[Json]:
            listed = []
            for body in self._instances(calendar, series, query, inclusive=True):
                if body.get("status") == "cancelled" and not query.show_deleted:
                    continue
                if original_start is None or _same_start(calendar, body, original_start):
                    listed.append(view.listed(body))
            return listed

        listed = self._whole(key, work_out)
        entries = enumerate(listed[place.position :], start=place.position)
        items, position = self._take(entries, place, query.max_results)
        if position is not None:
            return Page(items=items, next_page_token=self._next(calendar, query, place, position))
        return Page(
            items=items,
            next_sync_token=self._tokens.sync_token(
                calendar, place.until, query.shape, (None, None)
            ),
        )

    def within(self, calendar: Calendar, begin: datetime, end: datetime) -> Iterator[Json]:
        """Yield the events and occurrences that take place between two moments, none cancelled."""
        return self._all_expanded(
            calendar, ListQuery(single_events=True, time_min=begin, time_max=end)
        )

    def count(self, calendar: Calendar, series_id: str) -> int:
        """Return how many occurrences of the series are not cancelled, as far ahead as listings
        look."""
        series = calendar.events[series_id]
        return sum(
            body.get("status") != "cancelled"
            for body in self._instances(calendar, series, ListQuery())
        )

    def _withholds_token(self, query: ListQuery) -> bool:
        settings = self._store.settings
        filtered = query.sync_token is None and bool(query.given & SUPPRESS_SYNC_TOKEN)
        return settings.withhold_sync_tokens or (settings.filters_suppress_sync_token and filtered)

    def _place(self, calendar: Calendar, query: ListQuery) -> PageToken:
        if query.page_token is not None:
            return self._tokens.read_page_token(calendar, query.page_token, query.identity)
        return PageToken(
            calendar_id=calendar.id,
            generation=calendar.page_generation,
            query=query.identity,
            page=0,
            position=0,
            until=calendar.number,
        )

    def _next(self, calendar: Calendar, query: ListQuery, place: PageToken, position: int) -> str:
        return self._tokens.page_token(
            PageToken(
                calendar_id=calendar.id,
                generation=calendar.page_generation,
                query=query.identity,
                page=place.page + 1,
                position=position,
                until=place.until,
            )
        )

    def _take(
        self, entries: Iterator[tuple[int, Json]], place: PageToken, max_results: int
    ) -> tuple[list[Json], int | None]:
        """Return one page, and where the next begins, None on the last page."""
        settings = self._store.settings
        size = settings.page_size(place.page, min(max_results, _MOST_RESULTS))
        items: list[Json] = []
        last = place.position
        for position, item in entries:
            if len(items) >= size:
                return items, position
            items.append(item)
            last = position + 1
        if items and settings.empty_last_page:
            return items, last
        return items, None

    def _all(
        self, calendar: Calendar, query: ListQuery, place: PageToken, view: View
    ) -> Iterator[tuple[int, Json]]:
        order = calendar.order
        for position in range(place.position, len(order)):
            event = calendar.events[order[position]]
            if self._listed(calendar, event, query) and matches(calendar, event.body, query):
                yield position, view.listed_event(event)

    def _changed(
        self, calendar: Calendar, query: ListQuery, since: SyncToken, place: PageToken, view: View
    ) -> Iterator[tuple[int, Json]]:
        """Yield what changed since the token, up to when the listing began.

        Positions are change numbers.
        """
        window = self._window(since)
        for number, event in calendar.changed_after(max(since.number, place.position - 1)):
            if number > place.until:
                return
            if self._sync_lists(calendar, event, query) and in_window(
                calendar, event.body, *window
            ):
                yield number, view.listed_event(event)

    def _sync_lists(self, calendar: Calendar, event: Event, query: ListQuery) -> bool:
        return (
            not event.hidden
            and not self._store.forgotten(calendar, event)
            and (
                not query.event_types
                or event.moved_away
                or event_type(event.body) in query.event_types
            )
        )

    def _window(self, since: SyncToken) -> tuple[datetime | None, datetime | None]:
        if not self._store.settings.window_bounds_changes:
            return None, None
        begin, end = (
            None if text is None else datetime.fromisoformat(text) for text in since.window
        )
        return begin, end

    def _listed(self, calendar: Calendar, event: Event, query: ListQuery) -> bool:
        """Tell whether a full listing holds the event, by its status."""
        if event.hidden or self._store.forgotten(calendar, event):
            return False
        if not event.cancelled or query.show_deleted or event.raw:
            return True
        if query.updated_min is not None:
            return True
        # Cancelled occurrences are listed while their series lives: whoever expands it must know of
        # them.
        series = calendar.events.get(event.series_id) if event.series_id is not None else None
        return series is not None and not series.cancelled and not query.single_events

    def _whole(self, key: tuple[Any, ...], work_out: Any) -> list[Json]:
        listed: list[Json] | None = self._remembered.get(key)
        if listed is None:
            listed = self._remembered[key] = work_out()
            if len(self._remembered) > _REMEMBERED_LISTINGS:
                self._remembered.popitem(last=False)
        return listed

    def _expanded(
        self, calendar: Calendar, query: ListQuery, since: SyncToken | None, until: int, view: View
    ) -> list[Json]:
        """Return an expanded or ordered listing, whole."""
        bodies: list[Json]
        if since is not None:
            bodies = list(self._changed_expanded(calendar, query, since, until))
        elif query.single_events:
            bodies = list(self._all_expanded(calendar, query))
        else:
            bodies = [
                event.body
                for event in calendar.events.values()
                if self._listed(calendar, event, query) and matches(calendar, event.body, query)
            ]
        if query.order_by == "startTime":
            bodies.sort(
                key=lambda body: times.instant(body.get("start"), calendar.time_zone) or NEVER
            )
        elif query.order_by == "updated":
            bodies.sort(key=lambda body: str(body.get("updated", "")))
        return [view.listed(body) for body in bodies]

    def _all_expanded(self, calendar: Calendar, query: ListQuery) -> Iterator[Json]:
        for event_id in calendar.order:
            event = calendar.events[event_id]
            if event.is_series:
                if event.cancelled:
                    continue
                for body in self._instances(calendar, event, query):
                    if (body.get("status") != "cancelled" or query.show_deleted) and matches(
                        calendar, body, query
                    ):
                        yield body
            elif (event.series_id is None or event.series_id not in calendar.events) and (
                self._listed(calendar, event, query) and matches(calendar, event.body, query)
            ):
                yield event.body

    def _changed_expanded(
        self, calendar: Calendar, query: ListQuery, since: SyncToken, until: int
    ) -> Iterator[Json]:
        listed: set[str] = set()
        for number, event in calendar.changed_after(since.number):
            if number > until:
                return
            if not self._sync_lists(calendar, event, query):
                continue
            bodies = iter([event.body])
            if event.is_series and event.cancelled:
                horizon = self._store.now() + timedelta(
                    days=self._store.settings.deleted_series_expansion_days
                )
                bodies = (
                    instance_body(calendar, event.body, start)
                    for start in recurrence.occurrences(
                        event.body, begin=self._store.now(), end=horizon
                    )
                )
            elif event.is_series:
                bodies = self._instances(calendar, event, query)
            for body in bodies:
                if body.get("id") not in listed:
                    listed.add(str(body.get("id")))
                    yield body

    def _instances(
        self, calendar: Calendar, series: Event, query: ListQuery, *, inclusive: bool = False
    ) -> Iterator[Json]:
        """Yield the series' occurrences in the query's window, exceptions in their place."""
        length = recurrence.duration(series.body)
        horizon = self._store.now() + timedelta(days=self._store.settings.expansion_days)
        end = query.time_max or max(
            horizon, times.instant(series.body["start"], calendar.time_zone) or horizon
        )
        begin = query.time_min - length if query.time_min is not None else None
        by_stamp = {
            stamp: child.body
            for stamp, child in self._store.exceptions_at(calendar, series.body["id"]).items()
            if not child.hidden
        }
        for start in recurrence.occurrences(series.body, begin=begin, end=end):
            body = by_stamp.pop(recurrence.stamp(start), None)
            if body is None:
                body = instance_body(calendar, series.body, start)
            if in_window(calendar, body, query.time_min, query.time_max, inclusive=inclusive):
                yield body
        # Exceptions moved into the window from outside it.
        for body in by_stamp.values():
            if in_window(calendar, body, query.time_min, query.time_max, inclusive=inclusive):
                yield body


def _check_shape(since: SyncToken, query: ListQuery) -> None:
    for (name, before), (_, now) in zip(since.shape, query.shape, strict=True):
        if before != now:
            raise ApiError(
                "invalidParameter",
                f"{name} was {before!r} in the listing that gave this sync token and is {now!r} "
                "now; Google leaves undefined what happens then, and this sandbox refuses it "
                "(setting `strict`).",
                location=name,
            )


def _same_start(calendar: Calendar, body: Json, wanted: str) -> bool:
    asked = {"dateTime": wanted} if "T" in wanted else {"date": wanted}
    moment = times.instant(asked, calendar.time_zone)
    return moment is not None and moment == times.instant(
        body.get("originalStartTime"), calendar.time_zone
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
