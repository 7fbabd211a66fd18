"""Runs the stand-in alone: `python -m sandbox.google_calendar --port 8085 --calendar
anna@example.com`."""

from __future__ import annotations

import argparse
import threading
from urllib.parse import quote

from sandbox.google_calendar import GoogleCalendar


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.google_calendar", description="A Google Calendar stand-in."
    )
    parser.add_argument("--port", type=int, default=8085, help="0: any free one")
    parser.add_argument(
        "--calendar", action="append", help="id of a calendar to add; may be repeated"
    )
    parser.add_argument(
        "--time-zone", default="UTC", help="of these calendars, such as Europe/Berlin"
    )
    arguments = parser.parse_args()
    calendars = arguments.calendar or ["anna@example.com"]
    with GoogleCalendar(port=arguments.port) as calendar:
        for calendar_id in calendars:
            calendar.add_calendar(calendar_id, time_zone=arguments.time_zone)
        base, name = f"http://{calendar.host}", quote(calendars[0])
        print(
            f"Google Calendar stand-in: {base}/calendar/v3/ (CALENDAR_EMULATOR_HOST={calendar.host}), Ctrl-C ends it"
        )
        print("Add an event, as a person would:")
        event = (
            '{"summary": "Hello", "start": {"date": "2030-01-01"}, "end": {"date": "2030-01-02"}}'
        )
        print(f"  curl -X POST {base}/_sandbox/calendars/{name}/events -d '{event}'")
        print("List the calendar, as a client would:")
        print(f"  curl '{base}/calendar/v3/calendars/{name}/events?prettyPrint=true'", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    main()
