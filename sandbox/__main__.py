"""The demo: everything on loopback, a story played through it, each step shown and checked.

    python -m sandbox                    plays the story and stops everything
    python -m sandbox --provider zoom    … with Zoom's stand-in; webex, teams and rest are there too
    python -m sandbox --keep             … and leaves everything running, with a page, until Ctrl-C
    python -m sandbox --play             the page at once, with a week of events, without the story

The first line that `--keep` and `--play` print is the address of the page. The environment variable
OPEN=1 opens it in the browser.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
import webbrowser
from pathlib import Path

from sandbox.page import Page
from sandbox.page.week import fill
from sandbox.story import ANNA, Story, Wrong, play
from sandbox.systems import SYSTEMS
from sandbox.world import World, calendar_path

PLAY_GRACE_SECONDS = "10"
"""A deleted event can be restored on the page for so long before its conference is deleted."""


def addresses(world: World, page: Page) -> str:
    worker, manage = world.functions["sync_calendar"].url, world.functions["manage_calendars"].url
    back_door = f"http://{world.calendar.host}/_sandbox/calendars/{ANNA}"
    event = next(
        (each["id"] for each in world.calendar.events(ANNA) if each["status"] == "confirmed"),
        "EVENT",
    )
    json_type = "-H 'Content-Type: application/json'"
    return f"""
Everything is still running. Stop it with Ctrl-C.

  The page              {page.url}
  Calendar              http://{world.calendar.host}/calendar/v3/
  Cloud Tasks (gRPC)    {world.tasks.host}
  Secret Manager (gRPC) {world.secrets.host}
  conferencing system   {world.providers()[0]["base_url"]}
  receive_notification  {world.functions["receive_notification"].url}
  sync_calendar         {worker}
  manage_calendars      {manage}
  create_conference     {world.functions["create_conference"].url}
  maintain              {world.functions["maintain"].url}
  logs and state        {world.directory}

Look around:
  curl -s {manage}{calendar_path(ANNA)}
  curl -s '{manage}/failures?state=all'
  curl -s {world.system.url}/_sandbox/conferences

Rename an event as its owner would, and look at its conference:
  curl -s {back_door}/events
  curl -s -X PATCH {json_type} -d '{{"summary": "Renamed"}}' \\
    {back_door}/events/{event}

Bring a calendar up to date by hand, as the queue does:
  curl -s -X POST {json_type} -d '{{"calendar_id": "{ANNA}"}}' {worker}

Break the conferencing system, and watch the retries:
  curl -s -X POST -d '{{"status": 503, "times": 3}}' {world.system.url}/_sandbox/faults
"""


def main() -> int:
    arguments = _arguments()
    # An order to stop must run the clean-up below.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with (
        contextlib.ExitStack() as stack,
        contextlib.suppress(KeyboardInterrupt),
    ):
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="conference-sync-"))
        grace = {"SYNC_DELETE_GRACE_SECONDS": PLAY_GRACE_SECONDS} if arguments.play else {}
        world = World(Path(directory), provider=arguments.provider, settings=grace, addon=True)
        page = None
        if arguments.keep or arguments.play:
            page = stack.enter_context(Page(world))
            print(page.url, flush=True)
            if os.environ.get("OPEN") == "1":
                webbrowser.open(page.url)
        _start(world, stack)
        if page is not None:
            # The story counts the provider's calls, and an explanation makes some.
            page.watch(explain=arguments.play)
        went_well = _fill(world) if arguments.play else _tell(world)
        if page is not None:
            page.explain()
        if page is None or not went_well:
            return 0 if went_well else 1
        print(addresses(world, page), flush=True)
        signal.pause()
    print("\nStopped.")
    return 0 if arguments.keep or arguments.play else 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox", description="The demo of calendar-conference-sync."
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave everything running, with a page, until Ctrl-C"
    )
    parser.add_argument(
        "--play", action="store_true", help="the page with a week of events, without the story"
    )
    parser.add_argument(
        "--provider",
        choices=sorted(SYSTEMS),
        default="rest",
        help="the conferencing system to connect, default rest",
    )
    return parser.parse_args()


def _start(world: World, stack: contextlib.ExitStack) -> None:
    began = time.monotonic()
    print(
        f"Starting Calendar, Cloud Tasks, Secret Manager, {world.system.called} and the "
        "functions …",
        flush=True,
    )
    stack.enter_context(world)
    print(f"… all up after {time.monotonic() - began:.1f} s.", flush=True)


def _fill(world: World) -> bool:
    fill(world)
    print("A week of events is there.", flush=True)
    return True


def _tell(world: World) -> bool:
    """Play the story; return whether all of it was right."""
    began = time.monotonic()
    try:
        play(Story(world))
    except (Wrong, TimeoutError) as error:
        print(f"\nThe story went wrong: {error}")
        print(world.functions["sync_calendar"].log()[-4000:])
        return False
    print(f"\nEverything is in step, after {time.monotonic() - began:.0f} s.")
    return True


if __name__ == "__main__":
    sys.exit(main())
