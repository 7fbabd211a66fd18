"""Runs the stand-in alone.

python -m sandbox.google_calendar --host 0.0.0.0 --port 8085 --seed calendars.json
"""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path
from urllib.parse import quote

from sandbox.google_calendar import ApiError, GoogleCalendar
from sandbox.google_calendar.seeds import SeedError, plant, read
from sandbox.servers import LOOPBACK

_HELLO = '{"summary": "Hello", "start": {"date": "2030-01-01"}, "end": {"date": "2030-01-02"}}'

_LARGEST_PORT = 65_535


def main() -> None:
    arguments = _arguments()
    try:
        seed = read(arguments.seed) if arguments.seed else {}
        calendar = GoogleCalendar(port=arguments.port, bind=arguments.host)
        plant(calendar, seed)
        for calendar_id in arguments.calendar or ([] if seed else ["anna@example.com"]):
            calendar.add_calendar(calendar_id, time_zone=arguments.time_zone)
    except (ApiError, OSError, SeedError, ValueError) as error:
        # ValueError: waitress cannot listen at such a host.
        sys.exit(f"The stand-in does not start: {error}")
    with calendar:
        try:
            _tell(calendar)
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopped")


def _arguments() -> argparse.Namespace:
    called = Path(sys.argv[0]).name
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.google_calendar" if called == "__main__.py" else called,
        description="A Google Calendar stand-in.",
    )
    parser.add_argument(
        "--host", default=LOOPBACK, help="address to listen at; 0.0.0.0 lets other machines in"
    )
    parser.add_argument("--port", type=_port, default=8085, help="0: any free one")
    parser.add_argument(
        "--seed", metavar="FILE", help="JSON file with calendars, events and settings to begin with"
    )
    parser.add_argument(
        "--calendar", action="append", help="id of a calendar to add; may be repeated"
    )
    parser.add_argument(
        "--time-zone", default="UTC", help="of these calendars, such as Europe/Berlin"
    )
    return parser.parse_args()


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= _LARGEST_PORT:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to {_LARGEST_PORT}")
    return number


def _tell(calendar: GoogleCalendar) -> None:
    host = calendar.host.replace("0.0.0.0", LOOPBACK)
    base = f"http://{host}"
    print(f"Google Calendar stand-in: {base}/calendar/v3/", end=" ")
    print(f"(CALENDAR_EMULATOR_HOST={host}), Ctrl-C ends it")
    known = calendar.calendars()
    name = quote(str(known[0]["id"]) if known else "anna@example.com")
    if not known:
        print("Add a calendar:")
        print(f"""  curl {base}/_sandbox/calendars -d '{{"id": "anna@example.com"}}'""")
    print("Add an event, as a person would:")
    print(f"  curl -X POST {base}/_sandbox/calendars/{name}/events -d '{_HELLO}'")
    print("List the calendar, as a client would:")
    print(f"  curl '{base}/calendar/v3/calendars/{name}/events?prettyPrint=true'", flush=True)


if __name__ == "__main__":
    main()
