"""The demo: everything on loopback, a story played through it, each step shown and checked.

python -m sandbox           plays the story and stops everything
python -m sandbox --keep    leaves it running afterwards, with its addresses, until Ctrl-C
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sandbox.world import Json, World, calendar_path

ANNA = "anna@example.com"
TEAM = "team@example.com"


class Wrong(Exception):
    """The conference is not where it should be."""


class Story:
    """Tells what each step made Calendar say, the queue do and the provider receive, and checks the outcome."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._number = 0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self._number += 1
        print(f"\n{self._number:2}  {title}", flush=True)
        world = self.world
        rung, asked, made = len(world.calendar.pushes), len(world.calendar.requests), len(world.tasks.creations)
        delivered, received = len(world.tasks.deliveries), len(world.conferencing.requests)
        yield
        world.quiet()
        pushes = [push for push in list(world.calendar.pushes)[rung:] if push.state != "sync"]
        listings = [
            "listed in full" if "syncToken" not in call.query else "listed its changes"
            for call in list(world.calendar.requests)[asked:]
            if call.method == "GET" and call.path.endswith("/events")
        ]
        others = [
            call.method
            for call in list(world.calendar.requests)[asked:]
            if call.method in ("PATCH", "PUT") and call.status == 200
        ]
        print(f"    calendar  rang {_times(len(pushes))}; {_counted(listings) or 'was not asked'}", end="")
        print(f"; was written ({_counted(others)})" if others else "")
        creations = [creation.outcome for creation in list(world.tasks.creations)[made:]]
        statuses = [str(delivery.status or delivery.error) for delivery in list(world.tasks.deliveries)[delivered:]]
        merged = creations.count("exists")
        print(
            f"    queue     created {creations.count('created')} and merged {merged}; "
            f"the worker answered {_counted(statuses) or 'nothing'}"
        )
        calls = [
            f"{call.method} {call.path.removeprefix('/api')}" for call in list(world.conferencing.requests)[received:]
        ]
        print(f"    provider  {(', '.join(calls) if len(calls) < 6 else _counted(calls)) or 'received nothing'}")

    def check(self, claim: str, condition: Callable[[], Any], seconds: float = 15) -> None:
        """Wait until the condition holds, and say so; fail the demo if it does not."""
        give_up = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > give_up:
                print(f"    ✗ {claim}")
                raise Wrong(claim)
            time.sleep(0.02)
        print(f"    ✓ {claim}", flush=True)

    def conference(self, conference_id: str) -> Json:
        return self.world.conferencing.conferences.get(conference_id, {})


def play(story: Story) -> None:
    """The story. Every check waits for the state it names, so nothing here depends on how fast the machine is."""
    world = story.world
    calendar = world.calendar

    with story.step("A calendar is started"):
        world.start_calendar(ANNA)
        story.check("it is watched and synced", lambda: world.status(ANNA)["status"] == "ok")

    with story.step("An event with a conference is created"):
        data = world.conference()
        first = data["conferenceId"]
        event = calendar.seed_event(ANNA, {"summary": "Planning", **_at("10:00"), "conferenceData": data})["id"]
        story.check("the conference is called “Planning”", lambda: story.conference(first).get("title") == "Planning")

    with story.step("The event is moved"):
        calendar.edit(ANNA, event, _at("14:30"))
        story.check("the conference begins at 14:30", lambda: "T14:30" in story.conference(first).get("start", ""))

    with story.step("The event is renamed"):
        calendar.edit(ANNA, event, {"summary": "Planning, part two"})
        story.check("so is the conference", lambda: story.conference(first).get("title") == "Planning, part two")

    with story.step("The event is coloured"):
        calls = len(world.conferencing.requests)
        calendar.edit(ANNA, event, {"colorId": "7"})
        _wait_for_sync(story, ANNA)
        story.check("the provider is left alone", lambda: len(world.conferencing.requests) == calls)

    with story.step("Thirty edits in a burst"):
        _begin_of_window(world)
        before = sum(creation.outcome == "created" for creation in world.tasks.creations)
        rung = len(world.calendar.pushes)
        for minute in range(30):
            calendar.edit(ANNA, event, {"summary": f"Planning, draft {minute + 1}"})
        story.check("Calendar rings thirty times", lambda: len(world.calendar.pushes) >= rung + 30)
        _wait_for_sync(story, ANNA)
        story.check("the last one wins", lambda: story.conference(first).get("title") == "Planning, draft 30")
        made = sum(creation.outcome == "created" for creation in world.tasks.creations) - before
        story.check(f"{made} tasks were enough", lambda: made <= 4)

    with story.step("The sync token expires, and the event is moved meanwhile"):
        calendar.expire_sync_tokens(ANNA)
        calendar.edit(ANNA, event, _at("09:15"))
        story.check("the conference begins at 09:15", lambda: "T09:15" in story.conference(first).get("start", ""))
        story.check("by a full sync", lambda: world.status(ANNA)["last_sync"]["kind"] == "full")

    with story.step("The event is deleted, and restored within the grace"):
        calls = len(world.conferencing.requests)
        calendar.cancel(ANNA, event)
        _wait_for_sync(story, ANNA)
        calendar.restore(ANNA, event)
        _wait_for_sync(story, ANNA)
        _wait_for_grace(world)
        story.check("the conference is still there, untouched", lambda: len(world.conferencing.requests) == calls)

    with story.step("It is deleted for good"):
        calendar.cancel(ANNA, event)
        story.check("and the conference with it, after the grace", lambda: first not in world.conferencing.conferences)

    with story.step("A weekly series: one occurrence moved, one cancelled"):
        data = world.conference()
        weekly = data["conferenceId"]
        body = {"summary": "Weekly", **_at("11:00"), "recurrence": ["RRULE:FREQ=WEEKLY;COUNT=6"]}
        series = calendar.seed_event(ANNA, {**body, "conferenceData": data})["id"]
        story.check(
            "the provider has the rule", lambda: story.conference(weekly).get("recurrence") == body["recurrence"]
        )
        second, third = (_occurrence(calendar.get(ANNA, series), weeks) for weeks in (1, 2))
        calendar.edit(ANNA, f"{series}_{second}", _at("12:00", days=8))
        calendar.cancel(ANNA, f"{series}_{third}")
        story.check("and both occurrences", lambda: len(story.conference(weekly).get("occurrences", {})) == 2)

    with story.step("An event is copied, and the original deleted"):
        data = world.conference()
        shared = data["conferenceId"]
        original = calendar.seed_event(ANNA, {"summary": "Original", **_at("15:00"), "conferenceData": data})["id"]
        story.check("the conference follows the original", lambda: story.conference(shared).get("title") == "Original")
        calendar.seed_event(ANNA, {"summary": "Copy", **_at("16:00"), "conferenceData": data})
        _wait_for_sync(story, ANNA)
        story.check("the copy does not disturb it", lambda: story.conference(shared).get("title") == "Original")
        calendar.cancel(ANNA, original)
        story.check("then it follows the copy", lambda: story.conference(shared).get("title") == "Copy")

    with story.step("An event moves to another watched calendar"):
        world.start_calendar(TEAM)
        data = world.conference()
        wandering = data["conferenceId"]
        event = calendar.seed_event(ANNA, {"summary": "Anna's", **_at("17:00"), "conferenceData": data})["id"]
        story.check("the conference follows it", lambda: story.conference(wandering).get("title") == "Anna's")
        calendar.move(ANNA, event, TEAM)
        calendar.edit(TEAM, event, {"summary": "The team's"})
        story.check("and goes on following", lambda: story.conference(wandering).get("title") == "The team's")
        _wait_for_grace(world)  # that of the event which left
        story.check("with the same join link", lambda: wandering in world.conferencing.conferences)

    with story.step("The conference is lost at the provider, and the event edited"):
        world.conferencing.forget(wandering)
        calendar.edit(TEAM, event, {"summary": "The team's, again"})
        story.check(
            "it is created anew",
            lambda: any(one.get("title") == "The team's, again" for one in world.conferencing.conferences.values()),
        )
        story.check("once", lambda: sum(call.method == "POST" for call in world.conferencing.requests) == 1)
        created = next(
            key for key, one in world.conferencing.conferences.items() if one.get("title") == "The team's, again"
        )
        story.check(
            "and the event shows the new join link",
            lambda: created in str((calendar.get(TEAM, event) or {}).get("location")),
        )

    story.check(
        "nothing has failed on the way", lambda: not world.manage("GET", "/failures?state=all").json()["failures"]
    )


def _at(clock: str, *, days: int = 1) -> Json:
    """Start and end of an event of an hour, so many days from now."""
    begin = datetime.fromisoformat(f"{(datetime.now(UTC) + timedelta(days=days)).date()}T{clock}:00")
    return {
        name: {"dateTime": moment.isoformat(), "timeZone": "Europe/Berlin"}
        for name, moment in (("start", begin), ("end", begin + timedelta(hours=1)))
    }


def _occurrence(series: Json | None, weeks: int) -> str:
    """The second half of an occurrence's id: its original start in UTC."""
    assert series is not None, "the series was seeded a moment ago"
    begin = datetime.fromisoformat(series["start"]["dateTime"]) + timedelta(weeks=weeks)
    return begin.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _wait_for_sync(story: Story, calendar_id: str) -> None:
    """Wait until a sync that began after this moment has ended, and no other is to come."""
    world, moment = story.world, datetime.now(UTC)

    def synced() -> bool:
        last = world.status(calendar_id)["last_sync"]
        waiting = any("event_id" not in task.body for task in world.tasks.pending())
        return last is not None and datetime.fromisoformat(last["at"]) > moment and not waiting

    world.wait(synced, f"the sync of {calendar_id}")


def _wait_for_grace(world: World) -> None:
    """Wait until no deletion is to come either."""
    time.sleep(float(world.environment()["SYNC_DELETE_GRACE_SECONDS"]))
    world.quiet(horizon=2)


def _begin_of_window(world: World) -> None:
    """Wait for a coalescing window to begin, so that the burst does not straddle two."""
    seconds = float(world.environment()["SYNC_COALESCE_SECONDS"])
    time.sleep(seconds - time.time() % seconds + 0.05)


def _times(number: int) -> str:
    return {0: "not at all", 1: "once"}.get(number, f"{number} times")


def _counted(words: list[str]) -> str:
    return ", ".join(word if number == 1 else f"{number} x {word}" for word, number in Counter(words).items())


def addresses(world: World) -> str:
    worker, manage = world.functions["sync_calendar"].url, world.functions["manage_calendars"].url
    back_door = f"http://{world.calendar.host}/_sandbox/calendars/{ANNA}"
    return f"""
Everything is still running. Stop it with Ctrl-C.

  Calendar              http://{world.calendar.host}/calendar/v3/
  Cloud Tasks (gRPC)    {world.tasks.host}
  Secret Manager (gRPC) {world.secrets.host}
  conferencing system   {world.conferencing.url}/api
  receive_notification  {world.functions["receive_notification"].url}
  sync_calendar         {worker}
  manage_calendars      {manage}
  maintain              {world.functions["maintain"].url}
  logs and state        {world.directory}

Look around:
  curl -s {manage}{calendar_path(ANNA)}
  curl -s {manage}/failures?state=all
  curl -s {world.conferencing.url}/_sandbox/conferences

Rename an event as its owner would, and look at its conference:
  curl -s {back_door}/events
  curl -s -X PATCH -H 'Content-Type: application/json' -d '{{"summary": "Renamed"}}' {back_door}/events/EVENT

Bring a calendar up to date by hand, as the queue does:
  curl -s -X POST -H 'Content-Type: application/json' -d '{{"calendar_id": "{ANNA}"}}' {worker}

Break the conferencing system, and watch the retries:
  curl -s -X POST -d '{{"status": 503, "times": 3}}' {world.conferencing.url}/_sandbox/faults
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="The demo of calendar-conference-sync.")
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    arguments = parser.parse_args()
    # An order to stop must run the clean-up below.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="conference-sync-") as directory:
        print("Starting Calendar, Cloud Tasks, Secret Manager, a conferencing system and the four functions …")
        try:
            with World(Path(directory)) as world:
                print(f"… all up after {time.monotonic() - began:.1f} s.")
                try:
                    play(Story(world))
                except (Wrong, TimeoutError) as error:
                    print(f"\nThe story went wrong: {error}")
                    print(world.functions["sync_calendar"].log()[-4000:])
                    return 1
                print(f"\nEverything is in step, after {time.monotonic() - began:.0f} s.")
                if arguments.keep:
                    print(addresses(world), flush=True)
                    signal.pause()
        except KeyboardInterrupt:
            print("\nStopped.")
            return 0 if arguments.keep else 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
