"""Everything at once: the stand-ins, and the project's functions as processes.

    with World(directory) as world:                       # or World(directory, provider="zoom")
        world.start_calendar("anna@example.com")

The functions know nothing but the stand-ins' addresses.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx
from google.cloud import tasks_v2

from sandbox.addon_bridge import AddonBridge
from sandbox.cloud_tasks import CloudTasks
from sandbox.google_calendar import GoogleCalendar
from sandbox.google_identity import GoogleIdentity
from sandbox.processes import FunctionProcess
from sandbox.rest import Rest
from sandbox.secret_manager import SecretManager
from sandbox.servers import UNKEPT
from sandbox.systems import JOIN_LINK, SOLUTION, SYSTEMS, ConferencingSystem

__all__ = [
    "CHANNEL_KEY",
    "JOIN_LINK",
    "PROJECT",
    "PROVIDER_SECRET",
    "QUEUE",
    "SOLUTION",
    "SOURCE",
    "Json",
    "World",
    "calendar_path",
]

PROJECT = "sandbox"
QUEUE = f"projects/{PROJECT}/locations/here/queues/sync"
CHANNEL_KEY = f"projects/{PROJECT}/secrets/channel-key"
PROVIDER_SECRET = f"projects/{PROJECT}/secrets/my-web"
SOURCE = Path(__file__).resolve().parent.parent / "main.py"

FUNCTIONS = ("receive_notification", "sync_calendar", "manage_calendars", "maintain")
ADDON = "create_conference"

Json = dict[str, Any]


class World:
    """Stand-ins and functions on free loopback ports.

    `directory` takes the SQLite file and the functions' logs. `settings` are environment variables
    that override the short waits used here. `firestore` is the address of a Firestore emulator to
    use instead of SQLite, with a project of its own for each world. `provider` is the type of the
    one conferencing system that is connected, and `hosts` says whose conferences every event may
    carry. `addon`: the function of the add-on runs as well, and Calendar's event form offers the
    system's solution.
    """

    def __init__(
        self,
        directory: Path,
        *,
        provider: str = "rest",
        hosts: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
        firestore: str | None = None,
        project: str = PROJECT,
        retry_seconds: float = 0.2,
        addon: bool = False,
    ) -> None:
        self.directory = directory
        self.calendar = GoogleCalendar()
        # A queue that comes back within a second, so that nobody waits for the story to go on.
        retries = tasks_v2.RetryConfig(
            min_backoff={"nanos": int(retry_seconds * 1e9)},
            max_backoff={"seconds": 2},
            max_attempts=-1,
        )
        self.tasks = CloudTasks(retry_config=retries)
        self.secrets = SecretManager()
        self.identity = GoogleIdentity()
        self.addon = addon
        self.system: ConferencingSystem[Any] = SYSTEMS[provider]()
        self._hosts = list(hosts)
        self._settings = dict(settings or {})
        self._firestore = firestore
        self._project = project
        self.functions: dict[str, FunctionProcess] = {}
        self._client = httpx.Client(timeout=120, limits=UNKEPT)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything. Returns when all functions answer."""
        for stand_in in self._stand_ins:
            stand_in.start()
        self.secrets.put(CHANNEL_KEY, "sandbox-key-that-signs-channel-tokens\n")
        self.secrets.put(self.provider_secret, self.system.secret)
        self.functions = {
            name: FunctionProcess(
                name, environment={}, source=SOURCE, log_file=self.directory / f"{name}.log"
            )
            for name in (*FUNCTIONS, *([ADDON] if self.addon else []))
        }
        for function in self.functions.values():
            function.environment.update(self.environment())
            function.start()
        for function in self.functions.values():
            function.wait_ready()
        if self.addon:
            bridge = AddonBridge(url=self.functions[ADDON].url, identity_token=self.identity.token)
            self.calendar.offer_solution(
                self.system.solution, bridge.callback(self.system.solution)
            )

    def stop(self) -> None:
        """End every process and server. Safe to repeat."""
        for function in self.functions.values():
            function.stop()
        for stand_in in self._stand_ins:
            stand_in.stop()
        self._client.close()

    @property
    def _stand_ins(self) -> tuple[Any, ...]:
        return (self.calendar, self.tasks, self.secrets, self.system, self.identity)

    def environment(self) -> dict[str, str]:
        """The variables that every function is given."""
        store = {"SYNC_STORE": f"sqlite:///{self.directory / 'state.sqlite'}"}
        if self._firestore is not None:
            store = {"SYNC_STORE": "firestore", "FIRESTORE_EMULATOR_HOST": self._firestore}
        return {
            "GOOGLE_CLOUD_PROJECT": self._project,
            "SYNC_QUEUE": QUEUE,
            "SYNC_WORKER_URL": self.functions["sync_calendar"].url,
            "SYNC_NOTIFICATION_URL": self.functions["receive_notification"].url,
            "SYNC_CHANNEL_KEY": CHANNEL_KEY,
            "SYNC_PROVIDERS": json.dumps(self.providers()),
            "SYNC_COALESCE_SECONDS": "1",
            "SYNC_DELETE_GRACE_SECONDS": "3",
            "SYNC_RETRY_SECONDS": "1",
            "SYNC_ADDON_AUDIENCES": self.identity.audience,
            "SYNC_ADDON_DOMAINS": "example.com",
            "SYNC_ADDON_CERTS_URL": self.identity.certs_url,
            "CALENDAR_EMULATOR_HOST": self.calendar.host,
            "CLOUD_TASKS_EMULATOR_HOST": self.tasks.host,
            "SECRET_MANAGER_EMULATOR_HOST": self.secrets.host,
            **store,
            **self._settings,
        }

    @property
    def solution(self) -> str:
        """The conference solution that people pick in Calendar."""
        return str(self.providers()[0]["solutions"][0])

    @property
    def conferencing(self) -> Rest:
        """The stand-in itself of provider `rest`."""
        server = self.system.server
        assert isinstance(server, Rest), "another provider is connected; see `system`"
        return server

    @property
    def provider_secret(self) -> str:
        return f"projects/{PROJECT}/secrets/{self.system.name}"

    def providers(self) -> list[Json]:
        return [{**self.system.entry(self.provider_secret), "hosts": self._hosts}]

    def rotate(self) -> None:
        """Let the system refuse the credentials it took so far, and put its new ones in the
        secret."""
        self.secrets.put(self.provider_secret, self.system.rotate())

    def manage(self, method: str, path: str, body: Json | None = None) -> httpx.Response:
        """Call `manage_calendars`."""
        return self._client.request(
            method, self.functions["manage_calendars"].url + path, json=body
        )

    def maintain(self) -> Json:
        """Call `maintain`, as Cloud Scheduler does."""
        answer = self._client.post(self.functions["maintain"].url).raise_for_status()
        report: Json = answer.json()
        return report

    def deliver(self, body: Any) -> httpx.Response:
        """Give the worker a task by hand."""
        return self._client.post(self.functions["sync_calendar"].url, json=body)

    def start_calendar(self, calendar_id: str, *, time_zone: str = "Europe/Berlin") -> Json:
        """Add a calendar, have it watched, and wait for its first sync."""
        self.calendar.add_calendar(calendar_id, time_zone=time_zone)
        answer = self.manage("PUT", calendar_path(calendar_id), {}).raise_for_status()
        self.wait(lambda: self.status(calendar_id)["last_sync"] is not None, "the first sync")
        started: Json = answer.json()
        return started

    def pick(self, calendar_id: str, draft: Json) -> Json:
        """Open the form of a new event, as the calendar's owner, and pick a conference in it.

        The owner has an account at the conferencing system. Returns the form, with the conference
        in `draft`. Needs `addon`.
        """
        self.system.welcome(calendar_id)
        form = self.calendar.open_form(calendar_id, draft)
        picked = self.calendar.pick_solution(
            form["form_id"], self.system.solution, user=calendar_id
        )
        if picked["error"]:
            raise RuntimeError(f"the add-on answered {picked['error']}\n{self._standing()}")
        return picked

    def status(self, calendar_id: str) -> Json:
        answer: Json = self.manage("GET", calendar_path(calendar_id)).raise_for_status().json()
        return answer

    def conference(self, title: str = "A conference", host: str | None = None) -> Json:
        """Make a conference as an add-on would, and return what a Calendar event shows of it."""
        return self.system.add(title, host)

    def wait(self, condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
        """Return the condition's value once it is true. Say what did not happen in time, and how
        things stand."""
        give_up = time.monotonic() + seconds
        while not (value := condition()):
            if time.monotonic() > give_up:
                raise TimeoutError(f"waited {seconds:g} s in vain for {what}\n{self._standing()}")
            time.sleep(0.02)
        return value

    def quiet(self, seconds: float = 60, horizon: float = 0.0) -> None:
        """Wait until no notification is on its way, and no task is due or running, nor any within
        `horizon` seconds."""
        end = time.monotonic() + seconds
        before, sent = -1, self.calendar.pushes_tried(seconds)
        # A task may write an event, and Calendar tells of that with another notification.
        while sent != before:
            if sent is None or not self.tasks.idle(end - time.monotonic(), horizon=horizon):
                raise TimeoutError(f"the system does not come to rest\n{self._standing()}")
            before, sent = sent, self.calendar.pushes_tried(end - time.monotonic())

    def _standing(self) -> str:
        """What waits and what failed, for whoever reads why a test gave up."""
        waiting = [
            f"waiting task, {task.attempts} attempts: {task.body}" for task in self.tasks.pending()
        ]
        answers = [
            f"delivery: {done.status} {done.error or ''} {done.body}"
            for done in self.tasks.deliveries[-10:]
        ]
        failed = [
            f"failure: {failure}"
            for failure in self.manage("GET", "/failures?state=all").json()["failures"]
        ]
        return "\n".join([*waiting, *answers, *failed])


def calendar_path(calendar_id: str) -> str:
    return f"/calendars/{quote(calendar_id, safe='')}"
