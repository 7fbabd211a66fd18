"""The stand-ins that all measurements run against, and what they are filled with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.cloud_tasks import CloudTasks
from sandbox.google_calendar import GoogleCalendar
from sandbox.rest import Rest
from sandbox.secret_manager import SecretManager
from sandbox.world import CHANNEL_KEY, JOIN_LINK, PROVIDER_SECRET, QUEUE, SOLUTION
from sync import config, services
from sync.context import Services
from sync.model.calendar import Access
from sync.model.event import CalendarId
from sync.operate import calendars
from tests.support.bench import NOWHERE

Json = dict[str, Any]

ANNA = CalendarId("anna@example.com")
KEY = b"benchmark-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """One stand-in of each kind."""

    calendar: GoogleCalendar = field(default_factory=GoogleCalendar)
    tasks: CloudTasks = field(default_factory=lambda: CloudTasks(deliver=False))
    secrets: SecretManager = field(default_factory=SecretManager)
    system: Rest = field(default_factory=lambda: Rest(token="token"))

    def environment(self, directory: Path) -> dict[str, str]:
        """The variables of a function that knows these stand-ins, with a store in `directory`."""
        provider = {
            "name": "my-web",
            "type": "rest",
            "solutions": [SOLUTION],
            "uris": [JOIN_LINK],
            "base_url": f"{self.system.url}/api",
            "secret": PROVIDER_SECRET,
        }
        return {
            "GOOGLE_CLOUD_PROJECT": "benchmark",
            "SYNC_STORE": f"sqlite:///{directory / 'state.sqlite'}",
            "SYNC_QUEUE": QUEUE,
            "SYNC_WORKER_URL": NOWHERE,
            "SYNC_NOTIFICATION_URL": NOWHERE,
            "SYNC_CHANNEL_KEY": CHANNEL_KEY,
            "SYNC_PROVIDERS": json.dumps([provider]),
            "SYNC_COALESCE_SECONDS": "0",
            "CALENDAR_EMULATOR_HOST": self.calendar.host,
            "CLOUD_TASKS_EMULATOR_HOST": self.tasks.host,
            "SECRET_MANAGER_EMULATOR_HOST": self.secrets.host,
        }

    def services(self, directory: Path) -> Services:
        """Build the services of a worker, and start Anna's calendar."""
        built = services.build(config.Settings.from_environ(self.environment(directory)))
        self.calendar.add_calendar(ANNA)
        calendars.start(built, ANNA, Access())
        return built

    def seed(self, number: int) -> str:
        """Add an event that carries a conference; return the event's id."""
        conference = self.system.add()
        return str(self.calendar.seed_event(ANNA, carrying(number, conference["id"]))["id"])

    def calls(self) -> float:
        """How many calls Calendar and the conferencing system have had since the last look."""
        return float(len(self.calendar.requests) + len(self.system.requests))

    def forget_calls(self) -> None:
        self.calendar.requests.clear()
        self.system.requests.clear()


@contextmanager
def stand_ins() -> Iterator[Parts]:
    parts = Parts()
    servers = (parts.calendar, parts.tasks, parts.secrets, parts.system)
    for server in servers:
        server.start()
    parts.secrets.put(CHANNEL_KEY, KEY)
    parts.secrets.put(PROVIDER_SECRET, {"token": "token"})
    try:
        yield parts
    finally:
        for server in servers:
            server.stop()


def timed(day: int = 1) -> Json:
    return {
        "start": {"dateTime": f"2099-01-{day:02}T10:00:00Z"},
        "end": {"dateTime": f"2099-01-{day:02}T11:00:00Z"},
    }


def carrying(number: int, conference_id: str) -> Json:
    """An event with a conference of the configured provider."""
    return {
        **timed(),
        "summary": f"Event {number}",
        "conferenceData": {
            "conferenceId": conference_id,
            "conferenceSolution": {"key": {"type": "addOn"}, "name": SOLUTION},
            "entryPoints": [
                {"entryPointType": "video", "uri": JOIN_LINK.replace("{id}", conference_id)}
            ],
        },
    }


def plain(number: int) -> Json:
    """An event as most are: a room, four guests, a few words, and no conference."""
    guests = [f"guest{place}@example.com" for place in range(4)]
    return {
        **timed(2),
        "summary": f"Event {number}",
        "location": "Room 3",
        "description": "What we talk about, and who brings what. " * 2,
        "attendees": [{"email": guest, "responseStatus": "accepted"} for guest in guests],
    }
