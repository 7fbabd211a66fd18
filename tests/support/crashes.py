"""Workers that die at the n-th call, and scenes to kill them in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sync.errors import SyncError
from sync.model.event import CalendarId
from sync.run.lease import LEASE
from tests.support.bench import Bench, timed


class Killed(BaseException):
    """The process is gone: nothing that comes after it does anything."""


class Life:
    """Ends at the n-th touch of the world; from then on every touch fails, as in a process that
    is no more."""

    def __init__(self, touches: int | None = None) -> None:
        self.left = touches
        self.touched: list[str] = []

    def touch(self, name: str) -> None:
        if self.left is not None and len(self.touched) >= self.left:
            raise Killed
        self.touched.append(name)


class Mortal:
    """Passes every call on to the real thing, until its life ends."""

    def __init__(self, real: Any, life: Life, name: str) -> None:
        self._real, self._life, self._name = real, life, name

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._real, name)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            self._life.touch(f"{self._name}.{name}")
            result = value(*args, **kwargs)
            # A calendar with the access that opens it is the same world.
            return Mortal(result, self._life, self._name) if name == "bind" else result

        return call


def living(bench: Bench, life: Life) -> Any:
    services = bench.services
    return bench.with_services(
        store=Mortal(services.store, life, "store"),
        queue=Mortal(services.queue, life, "queue"),
        calendars=Mortal(services.calendars, life, "calendar"),
        providers={name: Mortal(one, life, name) for name, one in services.providers.items()},
    )


def ignored(error: SyncError) -> None:
    """The queue brings the task again."""


class Scene:
    """A calendar in which everything happens at once that can happen to a conference."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.anna: CalendarId = bench.watch("anna")
        self.titles: dict[str, str] = {}
        made = {
            name: bench.conference()
            for name in ("moved", "deleted", "old", "new", "lost", "series", "copied")
        }
        self.ids = {name: conference_id for name, (_, conference_id) in made.items()}
        events = {
            name: bench.event(self.anna, made[name][0], summary=name)
            for name in ("moved", "deleted", "old", "lost", "copied")
        }
        rule = {"recurrence": ["RRULE:FREQ=WEEKLY;COUNT=4"]}
        events["series"] = bench.event(self.anna, made["series"][0], summary="series", **rule)
        bench.event(self.anna, made["copied"][0], summary="copy")
        bench.sync(self.anna)
        bench.run_tasks()
        calendar = bench.calendar
        calendar.edit(self.anna, events["moved"], timed("16:00", "17:00"))
        calendar.cancel(self.anna, events["deleted"])
        calendar.edit(
            self.anna, events["old"], {"conferenceData": made["new"][0], "summary": "new"}
        )
        bench.conferencing.forget(self.ids["lost"])
        calendar.edit(self.anna, events["lost"], {"summary": "found again"})
        calendar.cancel(self.anna, events["copied"])
        first, second = self._occurrences(events["series"])
        calendar.edit(self.anna, first, {"summary": "another name"})
        calendar.cancel(self.anna, second)
        made_new, _ = bench.conference()
        events["first sight"] = bench.event(self.anna, made_new, summary="first sight")
        self.events = events

    def _occurrences(self, series: str) -> tuple[str, str]:
        event = self.bench.calendar.get(self.anna, series)
        assert event is not None
        start = datetime.fromisoformat(event["start"]["dateTime"])
        one, two = (
            (start + timedelta(weeks=weeks)).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
            for weeks in (1, 2)
        )
        return f"{series}_{one}", f"{series}_{two}"

    def run(self, services: Any) -> None:
        """The worker's life: the calendar's task, then every task that is due, grace and retries
        included."""
        bench = self.bench
        bench.services, alive = services, bench.services
        try:
            bench.sync(self.anna)
            bench.run_tasks(errors=ignored)
            bench.clock.advance(bench.settings.delete_grace.total_seconds() + 1)
            bench.run_tasks(errors=ignored)
        finally:
            bench.services = alive

    def edit_more(self) -> None:
        """What people do while the worker is dead."""
        calendar, (first, _) = self.bench.calendar, self._occurrences(self.events["series"])
        calendar.edit(
            self.anna,
            self.events["lost"],
            {"summary": "found again, later", **timed("18:00", "18:30")},
        )
        calendar.edit(self.anna, self.events["first sight"], {"summary": "second sight"})
        calendar.edit(self.anna, self.events["moved"], timed("17:00", "18:00"))
        calendar.edit(self.anna, first, {"summary": "a third name"})

    def recover(self) -> None:
        """The queue brings again what was not answered, until there is nothing left to do."""
        bench = self.bench
        for _ in range(4):
            bench.clock.advance(LEASE.total_seconds() + 61)
            try:
                bench.sync(self.anna)
            except SyncError:
                continue
            bench.run_tasks(errors=ignored)

    def outcome(self) -> dict[str, Any]:
        """What matters at the end: conferences by their title, what the events show, what is
        remembered."""
        bench = self.bench
        stored = {
            one["title"]: {key: one[key] for key in ("start", "end", "recurrence")}
            | {
                "occurrences": {
                    start: told and told.get("title") for start, told in one["occurrences"].items()
                }
            }
            for one in bench.conferencing.conferences.values()
        }
        lost = bench.calendar.get(self.anna, self.events["lost"])
        assert lost is not None
        document = bench.store.get_calendar(self.anna)
        assert document is not None
        return {
            "conferences": stored,
            "created": bench.conferencing.created,
            "location": any(
                one in str(lost.get("location")) for one in bench.conferencing.conferences
            ),
            "failures": bench.failures(self.anna),
            "status": (document.value.status, document.value.lease),
            "waiting": [task.body for task in bench.due()],
        }
