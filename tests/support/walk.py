"""A random walk: two people's calendars, and everything that may happen to them and to us.

    walk = Walk(bench, system, seed=7)
    walk.go(60)             # sixty steps, drawn by chance
    walk_end.settle(walk)   # no more trouble; the queue, the clock and the operators go on
    walk_end.check(walk)    # conferences equal the calendar

Each step draws from a source of its own, made of the seed and the step's number. So a walk can be
played again without some of its steps: what fails is shortened, and told as a story.
"""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from sandbox.systems import ConferencingSystem
from sandbox.teams import Teams
from sandbox.webex import Webex
from sandbox.zoom import Zoom
from sync.context import Services
from sync.errors import Conflict, LeaseHeld, SyncError
from sync.model.calendar import Access
from sync.model.event import CalendarId, EventId
from sync.operate import calendars
from tests.support.bench import Bench
from tests.support.fates import Freeze

Json = dict[str, Any]
One: TypeAlias = tuple[CalendarId, EventId]

NAMES = ("anna", "team")
# Events are so far ahead that the turned clock never reaches them.
FIRST_DAY, LAST_DAY = 40, 55
LONGEST_WALK = timedelta(days=25)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that may happen. `weight`: how often, among the others.

    `systems` names where it can happen; empty: everywhere. `losing`: conferences are lost by it, or
    words and times must be told apart.
    """

    weight: int
    act: Callable[[Walk], None]
    systems: tuple[str, ...] = ()
    losing: bool = False

    @property
    def name(self) -> str:
        return self.act.__name__


@dataclass
class Frozen:
    """A worker that stands still, and the thread that it would go on in."""

    fate: Freeze
    go_on: Callable[[], None]


class Walk:
    """The world of one walk, and what the steps need of it.

    `losing`: the provider loses conferences, and words and times are many. Without it they are few,
    so that what an event says now is often what it said once before.
    """

    def __init__(
        self,
        bench: Bench,
        system: ConferencingSystem[Any],
        seed: int,
        *,
        losing: bool,
        domain: str,
    ) -> None:
        self.bench = bench
        self.system = system
        self.seed = seed
        self.losing = losing
        self.random = random.Random(f"{seed}")
        self.story: list[str] = []
        self.people = [CalendarId(f"{name}@{domain}") for name in NAMES]
        self.stranger = "mallory@strangers.example"
        self.events: list[One] = []
        self.strangers: dict[str, Json] = {}
        self.added: set[str] = set()
        self.released: set[str] = set()
        self.forgotten: set[str] = set()
        """Conferences that nobody followed any more, so that what they were told is not known."""
        self.links: dict[str, str] = {}
        self.frozen: list[Frozen] = []
        self.drafts: list[One] = []
        self.began = bench.clock()
        self._titles = 0
        self._numbers = 0
        for person in self.people:
            _make_user(system, person)
            bench.calendar.remove_calendar(person)
            bench.calendar.add_calendar(person, time_zone="Europe/Berlin")
            calendars.start(bench.services, person, Access())
            bench.run_tasks()

    def go(self, steps: Sequence[Step], length: int, only: Collection[int] | None = None) -> None:
        """Take so many steps, or those of them whose numbers `only` names."""
        possible = [
            step
            for step in steps
            if (not step.systems or self.system.name in step.systems)
            and (self.losing or not step.losing)
        ]
        weights = [step.weight for step in possible]
        for number in range(length):
            self.random = random.Random(f"{self.seed}/{number}")
            # Our own code draws its delays from here.
            random.seed(f"{self.seed}/{number}")
            [step] = self.random.choices(possible, weights)
            if only is None or number in only:
                self.story.append(f"{number:3} {step.name}")
                step.act(self)

    def tell(self, *words: object) -> None:
        """Add to the story of the step that is taken."""
        self.story[-1] += " " + " ".join(self.short(str(word)) for word in words)

    def short(self, text: str) -> str:
        for person in self.people:
            text = text.replace(person, person.partition("@")[0])
        return text

    # What the world is made of.

    def title(self) -> str:
        self._titles += 1
        return f"Title {self._titles if self.losing else self.random.randint(1, 2)}"

    def times(self) -> Json:
        """Start and end, an hour and a half apart."""
        day, hour = FIRST_DAY, 10
        if self.losing:
            day, hour = self.random.randint(FIRST_DAY, LAST_DAY), self.random.randint(8, 18)
        else:
            day += self.random.randint(0, 1)
        date = (self.began + timedelta(days=day)).date().isoformat()
        zone = "Europe/Berlin"
        return {
            "start": {"dateTime": f"{date}T{hour:02}:00:00", "timeZone": zone},
            "end": {"dateTime": f"{date}T{hour + 1:02}:30:00", "timeZone": zone},
        }

    def conference(self, host: str, start: datetime | None = None) -> tuple[Json, str]:
        """Make a conference of somebody; return what an event shows of it, and its id."""
        body = self.system.add_body("Made by an add-on", host)
        if start is not None:
            body |= _begins(self.system, start)
        shown = self.system.event_data(self.system.server.add(**body))
        conference_id = list(self.system.conferences)[-1]
        self.added.add(conference_id)
        link = self.system.join_link(conference_id)
        assert link is not None
        self.links[conference_id] = link
        return shown, conference_id

    def strange(self, start: datetime | None = None) -> tuple[Json, str]:
        """The same of a stranger: nothing of ours may ever change it (O1)."""
        shown, conference_id = self.conference(self.stranger, start)
        self.strangers[conference_id] = copy.deepcopy(self.system.conferences[conference_id])
        return shown, conference_id

    def add(self, calendar_id: CalendarId, shown: Json | None = None, **fields: Any) -> One:
        """Add an event, under an id that is the same whenever the walk is played."""
        self._numbers += 1
        body = {"id": f"event{self._numbers:04}", "summary": self.title(), **self.times(), **fields}
        if shown is not None:
            body["conferenceData"] = shown
        made = self.bench.calendar.seed_event(calendar_id, body)
        one = (calendar_id, EventId(made["id"]))
        self.events.append(one)
        return one

    # What there is to choose from.

    def raw(self, one: One) -> Json:
        return self.bench.calendar.get(*one) or {}

    def person(self) -> CalendarId:
        return self.random.choice(self.people)

    def living(self, wanted: Callable[[Json], bool] = bool) -> One | None:
        """Any event that is not deleted, and is as wanted."""
        found = [
            one
            for one in self.events
            if self.raw(one).get("status") == "confirmed" and wanted(self.raw(one))
        ]
        return self.random.choice(found) if found else None

    def occurrence(self) -> tuple[One, Json] | None:
        """Any occurrence of any living series, but the first."""
        series = self.living(lambda event: "recurrence" in event)
        if series is None:
            return None
        calendar_id, event_id = series
        first = datetime.fromisoformat(self.raw(series)["start"]["dateTime"])
        week = timedelta(weeks=self.random.randint(1, 3))
        begins = (first + week).astimezone(UTC)
        found = (calendar_id, EventId(f"{event_id}_{begins:%Y%m%dT%H%M%SZ}"))
        event = self.raw(found)
        return (found, event) if event.get("status") == "confirmed" else None

    # Who works.

    def worker(self, services: Services | None = None) -> Bench:
        """The same bench as another process sees it."""
        other = copy.copy(self.bench)
        other.services = services or self.bench.services
        return other

    def attempt(self, work: Callable[[], object]) -> None:
        """Do what may fail: the queue brings it again, or the person asks again."""
        try:
            work()
        except (Conflict, LeaseHeld) as error:
            self.tell(f"({type(error).__name__})")
        except SyncError as error:
            self.tell(f"({type(error).__name__}: {str(error)[:60]})")

    def pass_time(self, seconds: float) -> None:
        if self.bench.clock() + timedelta(seconds=seconds) - self.began < LONGEST_WALK:
            self.bench.clock.advance(seconds)

    def release(self, text: str) -> None:
        """What a text names, by id or link, is not ours to delete from now on (E6, H3)."""
        self.released |= {
            one
            for one in self.system.conferences
            if named_in(one, text) or named_in(self.links.get(one, one), text)
        }

    def release_event(self, one: One) -> None:
        """E6: whose event stops deciding, keeps its conference. So do a series' occurrences."""
        calendar_id, event_id = one
        for event in self.bench.calendar.events(calendar_id):
            if event_id in (event["id"], event.get("recurringEventId")):
                self.release(json.dumps(event))
                link = self.bench.link(calendar_id, EventId(event["id"]))
                if link is not None:
                    self.release(str(link))


def _make_user(system: ConferencingSystem[Any], person: str) -> None:
    """Give a person an account, where meetings have hosts."""
    match system.server:
        case Zoom() | Webex() as server:
            server.hosts.add(person)
        case Teams() as teams:
            teams.add_user(person)


def named_in(conference_id: str, text: str) -> bool:
    """Tell whether a text names this very conference, and not one whose id only begins alike."""
    return re.search(rf"(?<![\w-]){re.escape(conference_id)}(?![\w-])", text) is not None


def _begins(system: ConferencingSystem[Any], start: datetime) -> Json:
    """Members of a conference that begins then and lasts an hour and a half."""
    begin, end = start.astimezone(UTC), start.astimezone(UTC) + timedelta(minutes=90)
    match system.name:
        case "my-web":
            return {"start": begin.isoformat(), "end": end.isoformat()}
        case "zoom":
            return {"start_time": f"{begin:%Y-%m-%dT%H:%M:%SZ}"}
        case "webex":
            return {"start": f"{begin:%Y-%m-%dT%H:%M:%SZ}", "end": f"{end:%Y-%m-%dT%H:%M:%SZ}"}
        case _:
            return {
                "startDateTime": f"{begin:%Y-%m-%dT%H:%M:%SZ}",
                "endDateTime": f"{end:%Y-%m-%dT%H:%M:%SZ}",
            }
