"""The demo: everything on loopback, a story played through it, each step shown and checked.

python -m sandbox                    plays the story and stops everything
python -m sandbox --provider zoom    … with Zoom's stand-in. Webex, teams and rest are there too
python -m sandbox --keep             leaves it running afterwards, with its addresses, until Ctrl-C
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from sandbox.story import ANNA, Story, Wrong, play
from sandbox.systems import SYSTEMS
from sandbox.world import World, calendar_path


def addresses(world: World) -> str:
    worker, manage = world.functions["sync_calendar"].url, world.functions["manage_calendars"].url
    back_door = f"http://{world.calendar.host}/_sandbox/calendars/{ANNA}"
    return f"""
Everything is still running. Stop it with Ctrl-C.

  Calendar              http://{world.calendar.host}/calendar/v3/
  Cloud Tasks (gRPC)    {world.tasks.host}
  Secret Manager (gRPC) {world.secrets.host}
  conferencing system   {world.providers()[0]["base_url"]}
  receive_notification  {world.functions["receive_notification"].url}
  sync_calendar         {worker}
  manage_calendars      {manage}
  maintain              {world.functions["maintain"].url}
  logs and state        {world.directory}

Look around:
  curl -s {manage}{calendar_path(ANNA)}
  curl -s {manage}/failures?state=all
  curl -s {world.system.url}/_sandbox/conferences

Rename an event as its owner would, and look at its conference:
  curl -s {back_door}/events
  curl -s -X PATCH -H 'Content-Type: application/json' -d '{{"summary": "Renamed"}}' \\
    {back_door}/events/EVENT

Bring a calendar up to date by hand, as the queue does:
  curl -s -X POST -H 'Content-Type: application/json' -d '{{"calendar_id": "{ANNA}"}}' {worker}

Break the conferencing system, and watch the retries:
  curl -s -X POST -d '{{"status": 503, "times": 3}}' {world.system.url}/_sandbox/faults
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox", description="The demo of calendar-conference-sync."
    )
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    parser.add_argument(
        "--provider",
        choices=sorted(SYSTEMS),
        default="rest",
        help="the conferencing system to connect, default rest",
    )
    arguments = parser.parse_args()
    # An order to stop must run the clean-up below.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="conference-sync-") as directory:
        world = World(Path(directory), provider=arguments.provider)
        print(
            f"Starting Calendar, Cloud Tasks, Secret Manager, {world.system.called} and the four "
            "functions …",
            flush=True,
        )
        try:
            with world:
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
