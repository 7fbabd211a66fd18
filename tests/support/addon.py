"""A person at Calendar's event form, with the add-on's function behind it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sandbox.addon_bridge import conference_data
from sandbox.systems import ConferencingSystem
from sync.context import Services
from sync.model.conference import Creation
from sync.model.event import CalendarId, EventId
from sync.operate import addon
from tests.support.bench import Bench, timed

Json = dict[str, Any]


@dataclass
class Person:
    """Owns a calendar that nobody started, and picks conferences in its event form."""

    bench: Bench
    system: ConferencingSystem[Any]
    address: CalendarId
    answers: list[addon.Answer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bench.calendar.add_calendar(self.address, time_zone="Europe/Berlin")
        self.bench.calendar.offer_solution(self.solution, self._asked)
        self.system.welcome(self.address)

    @property
    def solution(self) -> str:
        return self.system.solution

    def ask(
        self,
        event_id: str,
        services: Services | None = None,
        *,
        patience: timedelta = addon.PATIENCE,
        **members: str,
    ) -> addon.Answer:
        """Ask for a conference as the add-on does. `members` replace those of the request."""
        wish = {"calendar_id": self.address, "event_id": event_id, "solution": self.solution}
        known = services or self.bench.services
        body = json.dumps(wish | members).encode()
        answer = addon.answer(lambda: known, self.address, body, patience)
        self.answers.append(answer)
        return answer

    def ask_status(self, calendar_id: str | None = None) -> addon.Answer:
        """Ask how a calendar is, the person's own unless another one is named (A8)."""
        body = json.dumps({"calendar_id": calendar_id or self.address}).encode()
        return addon.answer(lambda: self.bench.services, self.address, body)

    def _asked(self, argument: Json, user: str) -> Json:
        assert user == self.address
        event = argument["eventData"]
        answer = self.ask(event["eventId"], calendar_id=event["calendarId"])
        if answer.status == 200:
            return conference_data(answer.value)
        return {"error": {"conferenceErrorType": answer.value["error"]["type"]}}

    def pick(self, **draft: Any) -> Json:
        """Open the form of a new event and pick the solution. The form has `event_id`."""
        body = {"summary": "Planning", **timed("10:00", "11:00", days=5), **draft}
        form = self.bench.calendar.open_form(self.address, body)
        picked = self.bench.calendar.pick_solution(
            form["form_id"], self.solution, user=self.address
        )
        assert picked["error"] is None, self.answers[-1]
        return picked

    def save(self, form: Json) -> EventId:
        """Save the form, and let the notification's sync run."""
        event_id = EventId(self.bench.calendar.save_form(form["form_id"])["id"])
        self.settle()
        return event_id

    def settle(self) -> None:
        """Carry out what is due, and one sync as a notification would ask for."""
        self.bench.run_tasks()
        self.bench.sync(self.address)
        self.bench.run_tasks()

    def pass_adoption(self) -> None:
        """Let `SYNC_ADOPT_SECONDS` pass, and carry out what is due then."""
        self.bench.clock.advance(self.bench.settings.adopt.total_seconds() + 1)
        self.bench.run_tasks()

    def creations(self, event_id: str) -> tuple[Creation, ...]:
        link = self.bench.link(self.address, EventId(event_id))
        return link.creations if link else ()

    @property
    def conferences(self) -> list[str]:
        """The ids of the system's conferences."""
        return list(self.system.conferences)
