"""One thread that watches the records of the stand-ins and tells the timeline what happened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from sandbox.google_calendar import ApiError
from sandbox.google_calendar.records import PushRecord, RequestRecord
from sandbox.page.changes import Change, EventKey, Timeline, Verdict, what_changed
from sandbox.page.view import Directory
from sandbox.servers import UNKEPT
from sandbox.service import Exchange
from sandbox.world import World, calendar_path

Json = dict[str, Any]
T = TypeVar("T")

_PAUSE_SECONDS = 0.025
"""Between two looks: what has no time of its own in a record is known so exactly."""
_ASK_SECONDS = 2.0
"""The functions are asked for failures and calendars so often when nothing happens."""
_RECENT = timedelta(seconds=2)
_EVENTS = "/calendar/v3/calendars/"


class Feed(Generic[T]):
    """The new entries of a list that only grows, or is emptied by a test."""

    def __init__(self, entries: Callable[[], Sequence[T]], done: Callable[[T], bool]) -> None:
        """An entry that is not `done` is looked at again before those that follow it."""
        self._entries, self._done = entries, done
        self._seen = 0
        self._open: list[tuple[T, datetime]] = []

    def new(self, now: datetime) -> Iterator[tuple[T, datetime, datetime]]:
        """Yield each entry once, when it is done, with the moments of its begin and its end."""
        entries = self._entries()
        if len(entries) < self._seen:
            self._seen = 0
        self._open += [(entry, now) for entry in entries[self._seen :]]
        self._seen = len(entries)
        waiting = self._open
        self._open = [each for each in waiting if not self._done(each[0])]
        for entry, begin in waiting:
            if self._done(entry):
                yield entry, begin, now

    def under_way(self) -> list[T]:
        """The entries that were seen and are not done."""
        return [entry for entry, _ in self._open]


class Observer:
    """Watches a world that runs. Whoever reads `timeline` holds `lock`."""

    def __init__(self, world: World, notify: Callable[[], None]) -> None:
        """`notify` is called from the observer's threads after something was seen."""
        self.lock = threading.RLock()
        self.timeline = Timeline()
        self.directory = Directory(world.system)
        self.failures: list[Json] = []
        self.left: list[Json] = []
        self.statuses: list[Json] = []
        self.events: dict[str, list[Json]] = {}
        """Calendar id → everything stored there."""
        self.on_edit: list[Callable[[EventKey], None]] = []
        """Called after each edit by a person, for troubles that wait for one."""
        self._world, self._notify = world, notify
        self._explains = True
        self._asked: list[Future[None]] = []
        self._stopping, self._ask = threading.Event(), threading.Event()
        self._asker = ThreadPoolExecutor(2, thread_name_prefix="explain")
        self._client = httpx.Client(timeout=10, limits=UNKEPT, trust_env=False)
        self._calendar_of: dict[str, str] = {}
        self._versions: dict[str, tuple[int, int]] = {}
        calendar, tasks, server = world.calendar, world.tasks, world.system.server
        self._pushes: Feed[PushRecord] = Feed(
            lambda: list(calendar.pushes), lambda push: bool(push.status or push.error)
        )
        self._requests: Feed[RequestRecord] = Feed(
            lambda: list(calendar.requests), lambda request: request.status is not None
        )
        self._creations = Feed(lambda: list(tasks.creations), lambda _: True)
        self._deliveries = Feed(lambda: list(tasks.deliveries), lambda _: True)
        self._calls: Feed[Exchange] = Feed(
            lambda: list(server.requests), lambda call: call.status is not None
        )
        self._writing: dict[EventKey, int] = {}
        self._threads = [
            threading.Thread(target=self._watch, name="observer", daemon=True),
            threading.Thread(target=self._keep_asking, name="asker", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads. Safe to repeat, also when nothing was started."""
        self._stopping.set()
        self._ask.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=15)
        self._asker.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def explain(self, wanted: bool) -> None:
        """Ask for verdicts from now on, also of the changes that have none, or end to ask.

        An explanation reads the conference at the provider. While a story counts the provider's
        calls, nobody else may make one: those under way are waited for.
        """
        with self.lock:
            self._explains = wanted
            waiting = [
                change
                for change in self.timeline.changes
                if wanted and change.settled and change.verdict is None
            ]
        for change in waiting:
            self._ask_why(change)
        if not wanted:
            wait(self._asked)
            self._asked.clear()

    def ask_soon(self) -> None:
        """Ask the functions for failures and calendars at once."""
        self._ask.set()

    # What happened.

    def _watch(self) -> None:
        while not self._stopping.wait(_PAUSE_SECONDS):
            with self.lock:
                seen = self._look(datetime.now(UTC))
            if seen:
                self._notify()

    def _look(self, now: datetime) -> bool:
        """Tell the timeline everything new; return whether there was anything."""
        requests = list(self._requests.new(now))
        for request, _, _ in requests:
            self._expect_write(request)
        edited = self._look_at_events(now)
        return any(
            [
                edited,
                *map(self._took_request, requests),
                *map(self._took_push, self._pushes.new(now)),
                *map(self._took_creation, self._creations.new(now)),
                *map(self._took_call, self._calls.new(now)),
                *map(self._took_delivery, self._deliveries.new(now)),
            ]
        )

    def _expect_write(self, request: RequestRecord) -> None:
        """Remember a write of the functions, whose change of the event is no person's."""
        key = _written(request)
        if key is not None:
            count = self._writing.get(key, 0) + (request.status == 200)
            # Below zero: the change was seen before the answer. Then the answer was no success.
            self._writing[key] = max(0, count)

    def _look_at_events(self, now: datetime) -> bool:
        calendar, anything = self._world.calendar, False
        self.directory.refresh()
        for entry in calendar.calendars():
            calendar_id = str(entry["id"])
            try:
                channels, version = calendar.channels(calendar_id), calendar.version(calendar_id)
                for channel in channels:
                    self._calendar_of[str(channel["id"])] = calendar_id
                if self._versions.get(calendar_id) == version:
                    continue
                stored = calendar.events(calendar_id)
            except ApiError:
                continue  # removed since the calendars were listed
            self._versions[calendar_id] = version
            before = {str(each.get("id")): each for each in self.events.get(calendar_id, [])}
            known = calendar_id in self.events
            self.events[calendar_id] = stored
            for event in stored:
                old = before.get(str(event.get("id")))
                if old == event:
                    continue
                anything = True
                if known:
                    self._took_edit(now, calendar_id, old, event)
        return anything

    def _took_edit(self, now: datetime, calendar_id: str, old: Json | None, event: Json) -> None:
        key = EventKey(calendar_id=calendar_id, event_id=str(event.get("id")))
        if self._writing.get(key, 0) > 0 or self._is_written_now(key):
            self._writing[key] = self._writing.get(key, 0) - 1
            return
        shown = event if event.get("summary") else (old or event)
        title = str(shown.get("summary") or "(no title)")
        conference_id = self.directory.find(event) or (self.directory.find(old) if old else None)
        if not shown.get("organizer", {}).get("self", True):
            # A guest's copy leads no conference (E6).
            title, conference_id = f"{title} (copy of {calendar_id})", None
        self.timeline.edited(
            _edited_at(event, now), key, title, what_changed(old, event), conference_id
        )
        for listener in list(self.on_edit):
            listener(key)

    def _is_written_now(self, key: EventKey) -> bool:
        return any(_written(request) == key for request in self._requests.under_way())

    def _took_request(self, taken: tuple[RequestRecord, datetime, datetime]) -> bool:
        request, begin, end = taken
        if request.method == "GET" and request.path.endswith("/events"):
            calendar_id = request.path.removeprefix(_EVENTS).removesuffix("/events")
            self.timeline.listed(begin, end, calendar_id, full="syncToken" not in request.query)
            return True
        key = _written(request)
        if key is not None:
            self.timeline.wrote(begin, end, key, request.status)
        return key is not None

    def _took_push(self, taken: tuple[PushRecord, datetime, datetime]) -> bool:
        push, _, end = taken
        if push.state != "sync":
            calendar_id = self._calendar_of.get(push.channel_id, "")
            self.timeline.pushed(end, calendar_id, push.status, push.error)
        return True

    def _took_creation(self, taken: tuple[Any, datetime, datetime]) -> bool:
        creation = taken[0]
        self.timeline.queued(creation.at, creation.body, creation.outcome, creation.schedule_time)
        return True

    def _took_call(self, taken: tuple[Exchange, datetime, datetime]) -> bool:
        call, _, now = taken
        text = f"{call.method} {_short(call.path)}, answered {call.status}"
        good = call.status is not None and call.status < 300
        self.timeline.called(call.at, call.ended or now, call.conference, text, good=good)
        return True

    def _took_delivery(self, taken: tuple[Any, datetime, datetime]) -> bool:
        delivery, _, now = taken
        answer = str(delivery.status or delivery.error)
        for change in self.timeline.ran(delivery.at, now, delivery.body, answer):
            if self._explains:
                self._ask_why(change)
        self._ask.set()
        return True

    # What the functions say.

    def _ask_why(self, change: Change) -> None:
        self._asked.append(self._asker.submit(self._explain, change))
        self._asked = [each for each in self._asked if not each.done()]

    def _explain(self, change: Change) -> None:
        """Ask `manage_calendars` why the event was followed or left alone, and keep the answer."""
        event = change.event
        path = f"{calendar_path(event.calendar_id)}/events/{quote(event.event_id, safe='')}"
        answer = self._get(path)
        if answer and answer.get("reason"):
            rule, reason = str(answer.get("rule") or ""), str(answer["reason"])
            with self.lock:
                change.verdict = Verdict(rule=rule, reason=reason)
            self._notify()

    def _keep_asking(self) -> None:
        while not self._stopping.is_set():
            self._ask.wait(_ASK_SECONDS)
            self._ask.clear()
            failures = self._list("/failures", "failures", state="all")
            left = self._list("/failures", "failures", state="left")
            statuses = self._list("/calendars", "calendars")
            with self.lock:
                told = [each for each in failures if each.get("state") != "left"]
                changed = (told, left, statuses) != (self.failures, self.left, self.statuses)
                self.failures, self.left, self.statuses = told, left, statuses
            if changed:
                self._notify()

    def _list(self, path: str, name: str, **query: str) -> list[Json]:
        """Every page of a list of `manage_calendars`, as far as it answers."""
        items: list[Json] = []
        page_token: str | None = ""
        while page_token is not None:
            answer = self._get(path, query | ({"page_token": page_token} if page_token else {}))
            items += (answer or {}).get(name, [])
            page_token = (answer or {}).get("next_page_token")
        return items

    def _get(self, path: str, query: Mapping[str, str] | None = None) -> Json | None:
        """Ask `manage_calendars`; None where there is no such answer."""
        url = self._world.functions["manage_calendars"].url + path
        try:
            answer = self._client.get(url, params=query)
            value = answer.json() if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError):
            return None
        return value if isinstance(value, dict) else None


def _edited_at(event: Json, now: datetime) -> datetime:
    """When an event was edited: what the event says, where that is a moment ago.

    The look that sees the edit may come after the run that already serves it has begun.
    """
    try:
        updated = datetime.fromisoformat(str(event.get("updated")))
        is_recent = timedelta(0) <= now - updated <= _RECENT
    except (TypeError, ValueError):
        return now
    return updated if is_recent else now


def _written(request: RequestRecord) -> EventKey | None:
    """The event that a write of the functions is for: they alone send If-Match."""
    if request.method not in ("PATCH", "PUT") or "If-Match" not in request.headers:
        return None
    calendar_id, _, event_id = request.path.removeprefix(_EVENTS).partition("/events/")
    return EventKey(calendar_id=calendar_id, event_id=event_id)


def _short(path: str) -> str:
    """A path without the API's version, long ids shortened."""
    parts = path.strip("/").split("/")[1:]
    return "/" + "/".join(part if len(part) <= 24 else f"{part[:10]}…" for part in parts)
