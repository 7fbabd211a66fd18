"""The back door: what people do in Calendar's own pages, and what add-ons write, without the
API's refusals."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from datetime import datetime
from typing import Any

from sandbox.google_calendar import bodies, changes, client, conferences, recurrence, times
from sandbox.google_calendar.errors import ApiError
from sandbox.google_calendar.state import Calendar, Event, Store

Json = dict[str, Any]


def seed(store: Store, calendar: Calendar, body: Json, *, raw: bool = False) -> Event:
    """Add an event with any members, an add-on's conference among them. Raises ApiError when its id
    is taken.

    `raw` keeps the JSON exactly as given, however malformed. Such an event has no copies and is
    never expanded.
    """
    given = body.get("id")
    event_id = given if isinstance(given, str) and given else store.new_id()
    if raw:
        if event_id in calendar.events:
            raise ApiError("duplicate")
        return store.save(calendar, deepcopy(body), event_id=event_id, raw=True)
    if given is None and body.get("recurringEventId") and body.get("originalStartTime"):
        event_id = recurrence.instance_id(body["recurringEventId"], body["originalStartTime"])
    if event_id in calendar.events:
        raise ApiError("duplicate")
    whole = client.new_body(store, calendar, event_id) | {
        k: deepcopy(v) for k, v in body.items() if v is not None
    }
    return changes.write(store, calendar, _tidy(calendar, whole))


def seed_many(store: Store, calendar: Calendar, events: Iterable[Json]) -> int:
    """Add many events fast: nothing is announced, copied or checked beyond their times. Returns
    how many."""
    count = 0
    for body in events:
        event_id = str(body.get("id") or store.new_id())
        whole = (
            client.new_body(store, calendar, event_id) | {"reminders": {"useDefault": True}} | body
        )
        for which in ("start", "end"):
            if which in whole:
                whole[which] = times.normalize(whole[which], calendar.time_zone, which)
        store.save(calendar, whole)
        count += 1
    store.hush(calendar)
    return count


def edit(
    store: Store, calendar: Calendar, event_id: str, patch: Json, *, raw: bool = False
) -> Event:
    """Change an event, a series or an occurrence as its owner would: any member, None removes, no
    conditions.

    A conference replaces the old one whole. `raw` stores the outcome without checks or copies.
    """
    event = client.existing(store, calendar, event_id)
    stored = event.body if raw else client.whole_body(store, calendar, event_id, event)
    merged = bodies.merge(
        stored, {name: value for name, value in patch.items() if name != "conferenceData"}
    )
    if "conferenceData" in patch:
        merged.pop("conferenceData", None)
        if patch["conferenceData"] is not None:
            merged["conferenceData"] = deepcopy(patch["conferenceData"])
    if raw:
        return store.save(calendar, merged, event_id=event_id, raw=True)
    if merged.get("status") == "cancelled" and not event.cancelled:
        changes.cancel(store, calendar, event_id, event)
        return client.existing(store, calendar, event_id)
    return changes.write(store, calendar, _tidy(calendar, merged))


def cancel(store: Store, calendar: Calendar, event_id: str) -> None:
    event = client.existing(store, calendar, event_id)
    if event.cancelled:
        raise ApiError("deleted")
    changes.cancel(store, calendar, event_id, event)


def restore(store: Store, calendar: Calendar, event_id: str) -> Event:
    event = client.existing(store, calendar, event_id)
    if event.moved_away:
        raise ApiError("forbidden", "The event lives in another calendar now.")
    return changes.restore(store, calendar, event) if event.cancelled else event


def split(
    store: Store,
    calendar: Calendar,
    series_id: str,
    original_start: str | datetime | Json,
    patch: Json | None = None,
) -> Event:
    """Edit "this and following": end the series before one occurrence, begin a second one there,
    with `patch` on it.

    The new series has everything of the old, conference and private extended properties too, under
    an id that ends in `_R` and the occurrence's wall time. Exceptions from there on go over to it
    and keep their ids, so that their ids' beginning and their recurringEventId disagree, as seen
    with Google.
    """
    old, start = _occurrence(store, calendar, series_id, original_start)
    if start == next(recurrence.occurrences(old.body), None):
        raise ApiError("invalid", f"{series_id} begins at {original_start}: nothing to split off.")
    new_id = f"{series_id.rpartition('_R')[0] or series_id}_R{_local_stamp(start)}"
    begins = times.instant(start, calendar.time_zone)
    following = [
        child
        for child in (
            calendar.events[child_id] for child_id in sorted(calendar.exceptions.get(series_id, ()))
        )
        if not child.raw and _begins(calendar, child) >= begins
    ]
    body = client.new_body(store, calendar, new_id) | {
        name: value
        for name, value in old.body.items()
        if name not in ("id", "etag", "htmlLink", "created", "updated", "iCalUID", "hangoutLink")
    }
    moments = recurrence.times_of(old.body, start)
    body |= {"start": moments["start"], "end": moments["end"], "sequence": 0}
    body["recurrence"] = recurrence.from_occurrence(old.body, start)
    new = changes.write(store, calendar, _tidy(calendar, bodies.merge(body, patch or {})))
    for child in following:
        taken_over = child.body | {"recurringEventId": new_id, "iCalUID": new.body["iCalUID"]}
        changes.write(store, calendar, taken_over)
    _shorten(store, calendar, old, start)
    return new


def delete_following(
    store: Store, calendar: Calendar, series_id: str, original_start: str | datetime | Json
) -> Event:
    """Delete "this and following": end the series before one occurrence.

    Exceptions from there on are cancelled, wherever they were moved. At the first occurrence the
    whole series is deleted.
    """
    old, start = _occurrence(store, calendar, series_id, original_start)
    if start == next(recurrence.occurrences(old.body), None):
        changes.cancel(store, calendar, series_id, old)
        return client.existing(store, calendar, series_id)
    return _shorten(store, calendar, old, start)


def _occurrence(
    store: Store, calendar: Calendar, series_id: str, original_start: str | datetime | Json
) -> tuple[Event, Json]:
    """Return the series and the original start of one of its occurrences."""
    series = client.existing(store, calendar, series_id)
    if not series.is_series or series.cancelled:
        raise ApiError("invalid", f"{series_id} is no series.")
    start = _original_start(calendar, series.body, original_start)
    if not recurrence.includes(series.body, start, calendar.time_zone):
        raise ApiError("invalid", f"{series_id} has no occurrence at {original_start}.")
    return series, start


def _shorten(store: Store, calendar: Calendar, series: Event, start: Json) -> Event:
    rules = recurrence.until_before(series.body["recurrence"], start)
    return changes.write(store, calendar, series.body | {"recurrence": rules})


def _original_start(calendar: Calendar, series: Json, given: str | datetime | Json) -> Json:
    if isinstance(given, dict):
        return given
    if isinstance(given, datetime):
        given = times.rfc3339(given)
    if recurrence.is_all_day(series):
        return {"date": given[:10]}
    return times.normalize(
        {"dateTime": given, "timeZone": series["start"].get("timeZone")},
        calendar.time_zone,
        "start",
    )


def _local_stamp(start: Json) -> str:
    if "date" in start:
        return str(start["date"]).replace("-", "")
    here = times.in_zone(start, start.get("timeZone", "UTC"))
    return str(here["dateTime"])[:19].replace("-", "").replace(":", "")


def _begins(calendar: Calendar, child: Event) -> Any:
    return times.instant(child.body.get("originalStartTime"), calendar.time_zone)


def _tidy(calendar: Calendar, body: Json) -> Json:
    block = body.get("conferenceData")
    if (
        isinstance(block, dict)
        and conferences.solution_type(block) is not None
        and not block.get("signature")
    ):
        body = body | {"conferenceData": conferences.signed(block)}
    original = body.get("originalStartTime")
    if isinstance(original, dict) and "dateTime" in original:
        body = body | {"originalStartTime": times.normalize(original, calendar.time_zone, "start")}
    return bodies.tidy(
        body,
        calendar.time_zone,
        times_required=body.get("status") != "cancelled",
        dateless_rules=True,
    )
