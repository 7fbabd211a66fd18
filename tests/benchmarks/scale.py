"""100,000 calendars through the real intake, counted on a clock that is turned: `make scale`.

Every notification is verified and becomes tasks as in production: `sync.intake`, the real names,
the real client of Cloud Tasks. Behind the wire stands a service that only remembers names and
times. `tests.benchmarks.queueing` then delivers the tasks as the queue of `terraform/` would.
Nothing is timed, and the numbers that are drawn are the same in each run.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from google.cloud import tasks_v2

from sandbox.grpc_service import GrpcService, Refusal
from sandbox.secret_manager import SecretManager
from sandbox.world import CHANNEL_KEY, QUEUE
from sync import config
from sync.google import secret_manager
from sync.google.task_queue import TaskQueue
from sync.intake import receive as intake
from sync.intake.keys import ChannelKeys
from sync.intake.notifications import sign
from sync.model.event import CalendarId
from tests.benchmarks import month, wire
from tests.benchmarks.pages import DOCS, filled, markdown
from tests.benchmarks.parts import KEY
from tests.benchmarks.queueing import Course, Queue, Task, busiest, deliver
from tests.support.bench import NOWHERE

PAGE = DOCS / "scale.md"

START = datetime(2026, 11, 26, 10, 0, tzinfo=UTC)
HOUR = 3600
CHANGES_AN_HOUR = month.TIMES[wire.NOBODY] / month.WORKING_HOURS
"""Of one calendar, in an average working hour: 3.4."""


class Creations(GrpcService):
    """CreateTask of Cloud Tasks, and no more: remembers each task's name and when it is to run."""

    def __init__(self) -> None:
        self.calls = self.known = 0
        self.names: set[str] = set()
        self.new: list[tuple[str, float | None]] = []
        """Tasks since the last look: the name, and seconds since `START`. None: at once."""
        super().__init__(
            "google.cloud.tasks.v2.CloudTasks",
            {"CreateTask": (tasks_v2.CreateTaskRequest, self._create)},
            0,
        )

    def _create(self, request: Any) -> Any:
        task = request.task
        name = task.name.rpartition("/")[2]
        self.calls += 1
        if name in self.names:
            self.known += 1
            raise Refusal(grpc.StatusCode.ALREADY_EXISTS, "There is a task of this name.")
        self.names.add(name)
        wanted = task.schedule_time
        self.new.append((name, (wanted - START).total_seconds() if wanted else None))
        return task


@dataclass(slots=True, kw_only=True)
class Intake:
    """The real intake before a queue that counts."""

    service: Creations
    intake: intake.Intake
    notifications: int = 0
    tasks: int = 0
    due: Counter[int] = field(default_factory=Counter)
    """How many tasks are to run in each second."""
    created: Counter[int] = field(default_factory=Counter)
    prefixes: Counter[str] = field(default_factory=Counter)
    """How many names begin with the same two characters: Cloud Tasks is slower where many do."""

    def ring(self, calendar: int, second: float) -> list[Task]:
        """One notification, so many seconds after the start. Returns the tasks it made."""
        calendar_id = CalendarId(f"person-{calendar}@example.com")
        channel_id = f"channel-{calendar}"
        headers = {
            "X-Goog-Channel-ID": channel_id,
            "X-Goog-Channel-Token": sign([KEY], channel_id, calendar_id),
            "X-Goog-Resource-State": "exists",
        }
        intake.receive(self.intake, headers, START + timedelta(seconds=second))
        self.notifications += 1
        made = []
        for name, wanted in self.service.new:
            at = second if wanted is None else wanted
            made.append(Task(at, calendar))
            self.due[int(at)] += 1
            self.created[int(second)] += 1
            self.prefixes[name[:2]] += 1
        self.tasks += len(made)
        self.service.new.clear()
        return made


@contextmanager
def real_intake() -> Iterator[Intake]:
    """The public function's parts, connected to services that run in this process."""
    secrets, service = SecretManager(), Creations()
    for server in (secrets, service):
        server.start()
    secrets.put(CHANNEL_KEY, KEY)
    client = secret_manager.SecretManager(emulator=secrets.host)
    queue = TaskQueue(
        queue=QUEUE,
        worker_url=NOWHERE,
        service_account="",
        dispatch_deadline=config.DISPATCH_DEADLINE,
        emulator=service.host,
    )
    try:
        yield Intake(
            service=service,
            intake=intake.Intake(
                keys=ChannelKeys(client, CHANNEL_KEY), queue=queue, coalesce=timedelta(seconds=10)
            ),
        )
    finally:
        queue.close()
        client.close()
        for server in (secrets, service):
            server.stop()


def changes(calendars: int, draw: random.Random) -> Iterator[list[tuple[float, int]]]:
    """Yield, second by second, when which calendar rings: everybody on their own, at any time."""
    rate = calendars * CHANGES_AN_HOUR / HOUR
    second, at = 0, draw.expovariate(rate)
    while True:
        ringing = []
        while at < second + 1:
            ringing.append((at, draw.randrange(calendars)))
            at += draw.expovariate(rate)
        yield ringing
        second += 1


def arriving(
    inside: Intake, ringing: Iterator[list[tuple[float, int]]]
) -> Iterator[Sequence[Task]]:
    """Yield the tasks that each second's notifications make."""
    for notifications in ringing:
        yield [task for second, calendar in notifications for task in inside.ring(calendar, second)]


def recorded(
    seen: list[Sequence[Task]], more: Iterator[Sequence[Task]]
) -> Iterator[Sequence[Task]]:
    """Yield what was seen, then more, and keep that for the next size of the queue."""
    place = 0
    while True:
        if place == len(seen):
            seen.append(next(more))
        yield seen[place]
        place += 1


def together(inside: Intake, guests: int) -> list[Sequence[Task]]:
    """An event with so many guests is moved three times in four seconds: all calendars ring."""
    seconds: list[Sequence[Task]] = []
    for second in (0, 2, 4):
        made = [task for guest in range(guests) for task in inside.ring(guest, second)]
        seconds += [made, []]
    return seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """How an hour without the worker ends."""

    calendars: int
    queue: Queue
    course: Course
    down: range

    @property
    def backlog(self) -> int:
        return self.course.waiting[self.down.stop - 1]

    @property
    def minutes_until_gone(self) -> float:
        return (len(self.course.waiting) - self.down.stop) / 60

    def row(self) -> list[str]:
        course = self.course
        after = course.done[self.down.stop :]
        return [
            f"{self.calendars:,}",
            f"{self.queue.rate:g} a second, {self.queue.concurrent} at once",
            f"{course.failed:,}",
            f"{self.backlog:,}",
            f"{self.minutes_until_gone:.0f} min",
            f"{max(course.waits) / 60:.0f} min",
            f"{course.refused:,}",
            f"{busiest(after, 60):,}",
        ]


_OUTAGE = (
    "calendars",
    "queue",
    "attempts meanwhile",
    "tasks waiting at its end",
    "gone after",
    "longest wait",
    "met a run of the same calendar",
    "most runs in a minute",
)


def outages(
    calendars: int, queues: Sequence[Queue], seconds: int, seed: int = 1
) -> tuple[Intake, list[Outage]]:
    """The worker is down for so many seconds, and each queue brings what piled up.

    All queues have the same notifications. Those go on all the while.
    """
    with real_intake() as inside:
        ringing = changes(calendars, random.Random(seed))
        seen: list[Sequence[Task]] = []
        more = arriving(inside, ringing)
        down = range(seconds)
        found = [
            Outage(
                calendars=calendars,
                queue=queue,
                course=deliver(recorded(seen, more), queue, down=down, until=seconds),
                down=down,
            )
            for queue in queues
        ]
    return inside, found


def intake_rows(inside: Intake, seconds: int) -> Iterator[list[str]]:
    """What the public function made of so many seconds of notifications."""
    names = inside.prefixes
    average = names.total() / 256
    yield ["notifications", f"{inside.notifications:,}"]
    yield ["calls of CreateTask", f"{inside.service.calls:,}"]
    yield ["of these refused, for a task of that name is there", f"{inside.service.known:,}"]
    yield ["tasks made", f"{inside.tasks:,}"]
    yield ["tasks a second, on average", f"{inside.tasks / seconds:.1f}"]
    yield ["tasks in the busiest second", f"{max(inside.created.values()):,}"]
    yield ["tasks due in one second, at most", f"{max(inside.due.values()):,}"]
    yield [
        "names that begin with the same two characters, at most, beside the average of 256 pairs",
        f"{max(names.values()):,} beside {average:,.0f}",
    ]


def together_rows(guests: int, queues: Sequence[Queue]) -> Iterator[list[str]]:
    with real_intake() as inside:
        made = together(inside, guests)
        yield ["notifications", f"{inside.notifications:,}"]
        yield ["tasks made", f"{inside.tasks:,}"]
        yield ["tasks due in one second, at most", f"{max(inside.due.values()):,}"]
    for queue in queues:
        quiet: list[Sequence[Task]] = [[]] * (2 * inside.tasks)
        course = deliver(iter([*made, *quiet]), queue, until=20)
        yield [
            f"all delivered, at {queue.rate:g} a second, after",
            f"{max(course.waits):.0f} s",
        ]


def import_rows(events: int) -> Iterator[list[str]]:
    """So many changes of one calendar within one window."""
    with real_intake() as inside:
        for place in range(events):
            inside.ring(0, 9.0 * place / events)
        name = f"{events:,} events imported into one calendar within a window: tasks made"
        yield [name, f"{inside.tasks:,}"]


DEFAULT = Queue()
LARGE, LARGEST = (
    Queue(rate=rate, concurrent=month.instances(rate) * month.CONCURRENCY)
    for rate in month.RATES[1:]
)
"""As much as Calendar's quota of a project takes, less a tenth; and with three times that quota."""


def made(calendars: int, seconds: int, guests: int) -> dict[str, str]:
    """Simulate, and return the tables by name."""
    small = calendars // 5
    inside, large = outages(calendars, [LARGE, LARGEST], seconds)
    course_seconds = max(len(each.course.waiting) for each in large)
    _, default = outages(small, [DEFAULT], seconds)
    return {
        "intake": markdown(
            [f"{calendars:,} calendars, {course_seconds / 60:.0f} minutes", ""],
            intake_rows(inside, course_seconds),
        ),
        "hot spots": markdown(
            [f"an event with {guests:,} guests, moved three times in four seconds", ""],
            [*together_rows(guests, [DEFAULT, LARGE]), *import_rows(1_000)],
        ),
        "an outage": markdown(_OUTAGE, (each.row() for each in [*default, *large])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calendars", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=HOUR, help="how long the worker is down")
    parser.add_argument("--guests", type=int, default=10_000)
    parser.add_argument("--print", action="store_true", help="leave the page as it is")
    arguments = parser.parse_args()
    tables = made(arguments.calendars, arguments.seconds, arguments.guests)
    print("".join(tables.values()), end="")
    if not arguments.print:
        PAGE.write_text(filled(PAGE.read_text(), tables))


if __name__ == "__main__":
    main()
