"""Everything that the engine talks to, for benches outside the suite's fixtures."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sandbox.cloud_tasks import CloudTasks
from sandbox.google_calendar import GoogleCalendar
from sandbox.processes import FirestoreEmulator
from sandbox.secret_manager import SecretManager
from sandbox.systems import SYSTEMS, ConferencingSystem
from sandbox.world import CHANNEL_KEY
from sync import config
from tests.support.bench import NOWHERE, Bench, numbers, real_time

_SECRET = "projects/sandbox/secrets/connected"


@dataclass
class StandIns:
    """Running stand-ins, and a Firestore emulator where one was asked for."""

    calendar: GoogleCalendar
    tasks: CloudTasks
    secrets: SecretManager
    systems: Mapping[str, ConferencingSystem[Any]]
    directory: Path
    doorbell: str = NOWHERE
    """Where Calendar rings."""

    @contextmanager
    def bench(
        self,
        system: ConferencingSystem[Any],
        domain: str,
        people: Sequence[str] = (),
        *,
        store: str = "sqlite",
        **settings: str,
    ) -> Iterator[Bench]:
        """Make a bench whose only provider is `system`, reset.

        Whoever is of `domain` may host. Some systems show a meeting to its host alone, so `people`
        are named as well.
        """
        number = next(numbers)
        system.server.reset()
        entry = {**system.entry(_SECRET), "hosts": [f"*@{domain}", *people]}
        sqlite = f"sqlite:///{self.directory / f'{number}.sqlite'}"
        environment = {
            "GOOGLE_CLOUD_PROJECT": f"stand-ins-{os.getpid()}-{number}",
            "SYNC_STORE": sqlite if store == "sqlite" else store,
            "SYNC_QUEUE": f"projects/sandbox/locations/here/queues/stand-ins-{number}",
            "SYNC_WORKER_URL": NOWHERE,
            "SYNC_NOTIFICATION_URL": self.doorbell,
            "SYNC_CHANNEL_KEY": CHANNEL_KEY,
            "SYNC_PROVIDERS": json.dumps([entry]),
            "CALENDAR_EMULATOR_HOST": self.calendar.host,
            "CLOUD_TASKS_EMULATOR_HOST": self.tasks.host,
            "SECRET_MANAGER_EMULATOR_HOST": self.secrets.host,
            **settings,
        }
        self.calendar.faults.clear()
        self.secrets.put(CHANNEL_KEY, "key-of-the-bench\n")
        self.secrets.put(_SECRET, system.secret)
        rest: Any = self.systems["rest"].server
        bench = Bench(
            config.Settings.from_environ(environment),
            self.calendar,
            self.tasks,
            self.secrets,
            rest,
            domain,
        )
        system.server.clock = bench.clock
        try:
            yield bench
        finally:
            bench.services.close()


@contextmanager
def stand_ins(
    *, firestore: bool = False, now: Callable[[], datetime] = real_time
) -> Iterator[StandIns]:
    """Start one of each. The Firestore client finds its emulator by an environment variable.

    `now` is Calendar's clock. The other services go by that of the latest bench.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        calendar = stack.enter_context(GoogleCalendar(now=now))
        calendar.settings.update({"push_loss": 1.0})  # nobody listens
        tasks = CloudTasks(deliver=False)
        secrets = SecretManager()
        systems = {name: make() for name, make in SYSTEMS.items()}
        started: list[Any] = [tasks, secrets, *systems.values()]
        for each in started:
            each.start()
            stack.callback(each.stop)
        if firestore:
            emulator = stack.enter_context(FirestoreEmulator())
            emulator.wait_ready()
            os.environ["FIRESTORE_EMULATOR_HOST"] = emulator.host
            stack.callback(os.environ.pop, "FIRESTORE_EMULATOR_HOST", None)
        yield StandIns(
            calendar=calendar,
            tasks=tasks,
            secrets=secrets,
            systems=systems,
            directory=directory,
        )
