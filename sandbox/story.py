"""The story of the demo: some events and their conferences, each step shown and checked."""

from __future__ import annotations

import re
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from sandbox.world import Json, World

ANNA = "anna@example.com"
TEAM = "team@example.com"


def _printed(line: str) -> None:
    print(line, flush=True)


class Wrong(Exception):
    """The conference is not where it should be."""


class Story:
    """Tells what each step made Calendar say, the queue do and the provider receive.

    `check` says whether the outcome is right, and ends the story where it is not.
    """

    def __init__(self, world: World, tell: Callable[[str], None] = _printed) -> None:
        """`tell` is given each line of the story; the lines are printed without it."""
        self.world = world
        self.tell = tell
        self._number = 0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self._number += 1
        self.tell(f"\n{self._number:2}  {title}")
        world = self.world
        rung, asked, made = (
            len(world.calendar.pushes),
            len(world.calendar.requests),
            len(world.tasks.creations),
        )
        delivered, received = len(world.tasks.deliveries), world.system.received
        yield
        world.quiet()
        pushes = [push for push in list(world.calendar.pushes)[rung:] if push.state != "sync"]
        listings = [
            "listed in full" if "syncToken" not in call.query else "listed its changes"
            for call in list(world.calendar.requests)[asked:]
            if call.method == "GET"
            and call.path.endswith("/events")
            # Not those that just look what the user may do.
            and "items" in call.query.get("fields", "items")
        ]
        others = [
            call.method
            for call in list(world.calendar.requests)[asked:]
            if call.method in ("PATCH", "PUT") and call.status == 200
        ]
        written = f"; was written ({_counted(others)})" if others else ""
        listed = _counted(listings) or "was not asked"
        self.tell(f"    calendar  rang {_times(len(pushes))}; {listed}{written}")
        creations = [creation.outcome for creation in list(world.tasks.creations)[made:]]
        statuses = [
            str(delivery.status or delivery.error)
            for delivery in list(world.tasks.deliveries)[delivered:]
        ]
        merged = creations.count("exists")
        self.tell(
            f"    queue     created {creations.count('created')} and merged {merged}; "
            f"the worker answered {_counted(statuses) or 'nothing'}"
        )
        calls = world.system.calls(received)
        told = (", ".join(calls) if len(calls) < 6 else _counted(calls)) or "received nothing"
        self.tell(_wrapped(f"    provider  {told}"))

    def check(self, claim: str, condition: Callable[[], Any], seconds: float = 60) -> None:
        """Wait until the condition holds, and say so. Fail the demo if it does not."""
        give_up = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > give_up:
                self.tell(f"    ✗ {claim}")
                raise Wrong(claim)
            time.sleep(0.02)
        self.tell(f"    ✓ {claim}")


def play(story: Story) -> None:
    """The story. Every check waits for the state it names, so nothing here depends on how fast
    the machine is."""
    world = story.world
    calendar, system = world.calendar, world.system

    with story.step("Anna adds a conference to a new event, in Calendar's form"):
        calendar.add_calendar(ANNA, time_zone="Europe/Berlin")
        form = world.pick(ANNA, {"summary": "Planning", **_at("10:00")})
        first = form["draft"]["conferenceData"]["conferenceId"]
        story.check(
            "the conference exists, the event does not yet",
            lambda: system.exists(first) and calendar.get(ANNA, form["event_id"]) is None,
        )
        story.check(
            "her calendar is watched from now on", lambda: world.status(ANNA)["status"] == "ok"
        )

    with story.step("She saves the event"):
        event = calendar.save_form(form["form_id"])["id"]
        story.check(
            "the conference is called “Planning”", lambda: system.title(first) == "Planning"
        )
        story.check(
            "and begins when the event does", lambda: system.begins(first) == _moment("10:00")
        )

    with story.step("The event is moved"):
        calendar.edit(ANNA, event, _at("14:30"))
        story.check(
            "the conference begins at 14:30", lambda: system.begins(first) == _moment("14:30")
        )

    with story.step("The event is renamed"):
        calendar.edit(ANNA, event, {"summary": "Planning, part two"})
        story.check("so is the conference", lambda: system.title(first) == "Planning, part two")

    with story.step("The event is coloured"):
        calls = system.received
        calendar.edit(ANNA, event, {"colorId": "7"})
        _wait_for_sync(story, ANNA)
        story.check("the provider is left alone", lambda: system.received == calls)

    with story.step("Thirty edits in a burst"):
        first_window = _begin_of_window(world)
        before = sum(creation.outcome == "created" for creation in world.tasks.creations)
        rung = len(world.calendar.pushes)
        for minute in range(30):
            calendar.edit(ANNA, event, {"summary": f"Planning, draft {minute + 1}"})
        story.check("Calendar rings thirty times", lambda: len(world.calendar.pushes) >= rung + 30)
        # A slow machine takes more than one window for thirty edits.
        windows = _window(world) - first_window + 1
        _wait_for_sync(story, ANNA)
        story.check("the last one wins", lambda: system.title(first) == "Planning, draft 30")
        made = sum(creation.outcome == "created" for creation in world.tasks.creations) - before
        story.check(f"{made} tasks were enough", lambda: made <= 2 * windows)

    with story.step("The sync token expires, and the event is moved meanwhile"):
        calendar.expire_sync_tokens(ANNA)
        calendar.edit(ANNA, event, _at("09:15"))
        story.check(
            "the conference begins at 09:15", lambda: system.begins(first) == _moment("09:15")
        )
        story.check("by a full sync", lambda: world.status(ANNA)["last_sync"]["kind"] == "full")

    with story.step("The event is deleted, and restored within the grace"):
        calls = system.received
        with _deletions_waiting(world):
            calendar.cancel(ANNA, event)
            _sync_while_paused(story, ANNA)
            restored = datetime.now(UTC)
            calendar.restore(ANNA, event)
        _wait_for_sync(story, ANNA, since=restored)
        _wait_for_grace(world)
        story.check("the conference is still there, untouched", lambda: system.received == calls)

    with story.step("It is deleted for good"):
        calendar.cancel(ANNA, event)
        story.check("and the conference with it, after the grace", lambda: not system.exists(first))

    with story.step("A weekly series: one occurrence moved, one cancelled"):
        _play_series(story)

    with story.step("An event is copied, and the original deleted"):
        data = world.conference()
        shared = data["conferenceId"]
        original = calendar.seed_event(
            ANNA, {"summary": "Original", **_at("15:00"), "conferenceData": data}
        )["id"]
        story.check(
            "the conference follows the original", lambda: system.title(shared) == "Original"
        )
        calendar.seed_event(ANNA, {"summary": "Copy", **_at("16:00"), "conferenceData": data})
        _wait_for_sync(story, ANNA)
        story.check("the copy does not disturb it", lambda: system.title(shared) == "Original")
        calendar.cancel(ANNA, original)
        story.check("then it follows the copy", lambda: system.title(shared) == "Copy")

    with story.step("An event moves to another watched calendar"):
        world.start_calendar(TEAM)
        data = world.conference()
        wandering = data["conferenceId"]
        event = calendar.seed_event(
            ANNA, {"summary": "Anna's", **_at("17:00"), "conferenceData": data}
        )["id"]
        story.check("the conference follows it", lambda: system.title(wandering) == "Anna's")
        link = system.join_link(wandering)
        calendar.move(ANNA, event, TEAM)
        calendar.edit(TEAM, event, {"summary": "The team's"})
        story.check("and goes on following", lambda: system.title(wandering) == "The team's")
        _wait_for_grace(world)  # that of the event which left
        story.check(
            "with the same join link",
            lambda: link is not None and system.join_link(wandering) == link,
        )

    with story.step("The conference is lost at the provider, and the event edited"):
        created = system.created
        system.forget(wandering)
        calendar.edit(TEAM, event, {"summary": "The team's, again"})
        story.check("it is created anew", lambda: system.titled("The team's, again"))
        story.check("once", lambda: system.created == created + 1)
        anew = system.join_link(system.titled("The team's, again")[0])
        story.check(
            "and the event shows the new join link",
            lambda: anew != link and anew in ((calendar.get(TEAM, event) or {}).get("location"),),
        )

    story.check(
        "nothing has failed on the way",
        lambda: not world.manage("GET", "/failures?state=all").json()["failures"],
    )


def _play_series(story: Story) -> None:
    """A series with two exceptions, as far as the system can hold them."""
    world, calendar, system = story.world, story.world.calendar, story.world.system
    data = world.conference()
    weekly = data["conferenceId"]
    body = {"summary": "Weekly", **_at("11:00"), "recurrence": ["RRULE:FREQ=WEEKLY;COUNT=6"]}
    series = calendar.seed_event(ANNA, {**body, "conferenceData": data})["id"]
    second, third = (_occurrence(calendar.get(ANNA, series), weeks) for weeks in (1, 2))
    if system.occurrences(weekly) is None:
        last_end = _moment("12:00", days=1 + 5 * 7)
        story.check(
            "one meeting reaches to the end of the last", lambda: system.ends(weekly) == last_end
        )
        calls = system.received
    else:
        story.check("the provider has the rule", lambda: system.recurring(weekly))
    calendar.edit(ANNA, f"{series}_{second}", _at("12:00", days=8))
    calendar.cancel(ANNA, f"{series}_{third}")
    if system.occurrences(weekly) is None:
        _wait_for_sync(story, ANNA)
        story.check(
            f"{system.called} has no occurrences: nothing is sent", lambda: system.received == calls
        )
    else:
        story.check("and both occurrences", lambda: system.occurrences(weekly) == 2)


@cache
def _today() -> date:
    """The day on which the story began: its events stay on their days when midnight passes."""
    return datetime.now(UTC).date()


def _moment(clock: str, *, days: int = 1) -> datetime:
    """This wall time so many days from today."""
    day = _today() + timedelta(days=days)
    return datetime.fromisoformat(f"{day}T{clock}:00").replace(tzinfo=ZoneInfo("Europe/Berlin"))


def _at(clock: str, *, days: int = 1) -> Json:
    """Start and end of an event of an hour, so many days from today."""
    begin = _moment(clock, days=days).replace(tzinfo=None)
    return {
        name: {"dateTime": moment.isoformat(), "timeZone": "Europe/Berlin"}
        for name, moment in (("start", begin), ("end", begin + timedelta(hours=1)))
    }


def _occurrence(series: Json | None, weeks: int) -> str:
    """The second half of an occurrence's id: its original start in UTC."""
    assert series is not None, "the series was seeded a moment ago"
    begin = datetime.fromisoformat(series["start"]["dateTime"]) + timedelta(weeks=weeks)
    return begin.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _wait_for_sync(story: Story, calendar_id: str, since: datetime | None = None) -> None:
    """Wait until a sync has ended after `since`, now by default, and no other is to come."""
    world, moment = story.world, since or datetime.now(UTC)

    def synced() -> bool:
        last = world.status(calendar_id)["last_sync"]
        waiting = any("event_id" not in task.body for task in world.tasks.pending())
        return last is not None and datetime.fromisoformat(last["at"]) > moment and not waiting

    world.wait(synced, f"the sync of {calendar_id}")


def _wait_for_grace(world: World) -> None:
    """Wait until no deletion is to come either."""
    world.quiet(horizon=float(world.environment()["SYNC_DELETE_GRACE_SECONDS"]) + 2)


@contextmanager
def _deletions_waiting(world: World) -> Iterator[None]:
    """Pause the queue, so that no grace ends meanwhile, however slow the machine is."""
    world.tasks.pause()
    try:
        yield
    finally:
        world.tasks.resume()


def _sync_while_paused(story: Story, calendar_id: str) -> None:
    """As `_wait_for_sync`, while the queue is paused: deliver what asks for a whole calendar."""
    world, moment = story.world, datetime.now(UTC)

    def synced() -> bool:
        due = [task.schedule_time for task in world.tasks.pending() if "event_id" not in task.body]
        # Not before its time: the task at a window's end stands for what rings until then. A
        # deletion that comes of it is due later, so it goes on waiting.
        if due and max(due) <= datetime.now(UTC):
            world.tasks.run_all(max(due))
        last = world.status(calendar_id)["last_sync"]
        return last is not None and datetime.fromisoformat(last["at"]) > moment

    world.wait(synced, f"the sync of {calendar_id}")
    # The window's second task may have run before its time. What rings in the same window would be
    # merged into that one, and lost.
    _begin_of_window(world)


def _begin_of_window(world: World) -> int:
    """Wait for a coalescing window to begin, so that the burst need not straddle two."""
    seconds = float(world.environment()["SYNC_COALESCE_SECONDS"])
    time.sleep(seconds - time.time() % seconds + 0.05)
    return _window(world)


def _window(world: World) -> int:
    """The number of the coalescing window under way."""
    return int(time.time() // float(world.environment()["SYNC_COALESCE_SECONDS"]))


def _wrapped(line: str) -> str:
    """Break a long line between calls, never within one."""
    whole = re.sub(r"([A-Z]) /", "\\1\N{NO-BREAK SPACE}/", line)
    lines = textwrap.wrap(
        whole,
        100,
        subsequent_indent=" " * 14,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")


def _times(number: int) -> str:
    return {0: "not at all", 1: "once"}.get(number, f"{number} times")


def _counted(words: list[str]) -> str:
    return ", ".join(
        word if number == 1 else f"{number} x {word}" for word, number in Counter(words).items()
    )
