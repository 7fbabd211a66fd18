"""The buttons that make trouble: what each says, and what it does.

Some act at once, some wait for a moment, such as the functions' next write. Those wait in a thread
of their own and end when the moment came, or when nothing came of it in time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.page.actions import Desk, events_path
from sandbox.page.calls import CallFailed
from sandbox.page.changes import EventKey
from sandbox.teams import ELSEWHERE

Json = dict[str, Any]

_PATIENCE_SECONDS = 120.0
"""How long a trouble waits for its moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One button."""

    says: str
    make: Callable[[Desk, Json], Any]


def _push_lost(desk: Desk, _wanted: Json) -> None:
    desk.calendar("PATCH", "/settings", {"push_loss": 1.0})
    observer, calendar = desk.observer, desk.world.calendar

    def found_again(_key: EventKey) -> None:
        observer.on_edit.remove(found_again)
        calendar.settings.update({"push_loss": 0.0})

    observer.on_edit.append(found_again)


def _token_expires(desk: Desk, wanted: Json) -> None:
    desk.calendar("POST", "/expire", {"calendar_id": wanted["calendar_id"], "tokens": "sync"})


def _provider(name: str, **fault: Any) -> Callable[[Desk, Json], None]:
    """Strike the next change of a conference. A read may be somebody's who only wants to know."""

    def make(desk: Desk, _wanted: Json) -> None:
        method = desk.world.system.update_method
        desk.provider("POST", "/troubles", {"name": name, "method": method, **fault})

    return make


def _conference_lost(desk: Desk, wanted: Json) -> None:
    conference_id = wanted.get("conference_id")
    if not conference_id:
        known = list(desk.world.system.conferences)
        if not known:
            raise CallFailed("there is no conference that could be lost")
        conference_id = known[0]
    desk.provider("POST", "/forget", {"id": conference_id})


def _addon_write(how: str) -> Callable[[Desk, Json], None]:
    def make(desk: Desk, _wanted: Json) -> None:
        desk.calendar("PATCH", "/settings", {"addon_writes": how})

    return make


def _edit_during_write(desk: Desk, _wanted: Json) -> None:
    """Hold the functions' next PATCH, edit its event meanwhile, and let the PATCH go on."""
    calendar = desk.world.calendar
    fault = {"method": "PATCH", "path": "/calendar/v3/calendars/", "freeze": True}
    desk.calendar("POST", "/faults", fault)

    def meddle() -> None:
        try:
            [held, *_] = calendar.faults.wait_held(seconds=_PATIENCE_SECONDS)
        except TimeoutError:
            return
        try:
            path = held.path.removeprefix("/calendar/v3/calendars/")
            calendar_id, _, event_id = path.partition("/events/")
            calendar.edit(calendar_id, event_id, {"description": "Edited during the write."})
        finally:
            calendar.faults.release()

    _in_background(meddle)


def _worker_killed(desk: Desk, _wanted: Json) -> None:
    """Hold the next change at the provider, kill the worker that sent it, and start another."""
    world = desk.world
    freeze = {"name": "freeze", "method": world.system.update_method}
    desk.provider("POST", "/troubles", freeze)

    def kill() -> None:
        server = world.system.server
        try:
            server.faults.wait_held(seconds=_PATIENCE_SECONDS)
        except TimeoutError:
            return
        try:
            worker = world.functions["sync_calendar"]
            worker.kill()
            worker.start()
            worker.wait_ready()
        finally:
            server.faults.release()

    _in_background(kill)


def _rotated(desk: Desk, _wanted: Json) -> None:
    desk.world.rotate()


def _sharing(role: str) -> Callable[[Desk, Json], None]:
    def make(desk: Desk, wanted: Json) -> None:
        path = events_path(wanted["calendar_id"]).removesuffix("/events")
        desk.calendar("POST", f"{path}/grant", {"role": role})
        # A person sees the change of sharing at once; the functions with their next run.
        desk.calendar("POST", f"{path}/ring")

    return make


def _strangers_link(desk: Desk, wanted: Json) -> Any:
    """An event whose location is the link of a conference that is not its organizer's."""
    system = desk.world.system
    stranger = "stranger@elsewhere.example"
    body: Json = {
        "rest": {"title": "A stranger's", "organizer": stranger},
        "zoom": {"topic": "A stranger's", "host": stranger, "account": "bigclient"},
        "webex": {"title": "A stranger's", "host": stranger, "site": "bigclient.webex.com"},
        "teams": {"subject": "A stranger's", "host": stranger, "tenant": ELSEWHERE},
    }[type(system.server).__name__.lower()]
    before = set(system.conferences)
    desk.provider("POST", "/add", body)
    [made] = set(system.conferences) - before
    event = {**wanted["event"], "summary": "With a stranger's link"}
    event["location"] = system.join_link(made)
    return desk.calendar("POST", events_path(wanted["calendar_id"]), event)


def _calm(desk: Desk, _wanted: Json) -> None:
    """Disarm every fault and let go of what is held."""
    desk.provider("DELETE", "/faults")
    desk.calendar("DELETE", "/faults")
    desk.calendar("PATCH", "/settings", {"push_loss": 0.0, "addon_writes": "refuse"})


TROUBLES: dict[str, Trouble] = {
    "push-lost": Trouble(says="The next notification is lost", make=_push_lost),
    "token-expires": Trouble(says="The sync token expires", make=_token_expires),
    "provider-503": Trouble(
        says="The provider answers the next change with 503, three times",
        make=_provider("unavailable", times=3),
    ),
    "provider-429": Trouble(
        says="The provider answers the next change with 429", make=_provider("rate-limit")
    ),
    "provider-400": Trouble(
        says="The provider refuses the next change (400)", make=_provider("refused")
    ),
    "conference-lost": Trouble(says="A conference is lost", make=_conference_lost),
    "addon-refused": Trouble(
        says="Calendar refuses the functions' conference data", make=_addon_write("refuse")
    ),
    "addon-accepted": Trouble(
        says="Calendar takes the functions' conference data", make=_addon_write("accept")
    ),
    "edit-during-write": Trouble(
        says="Somebody edits during the functions' next write", make=_edit_during_write
    ),
    "worker-killed": Trouble(
        says="The worker is killed while it sends the next change", make=_worker_killed
    ),
    "rotated": Trouble(says="The credentials are rotated", make=_rotated),
    "sharing-reduced": Trouble(
        says="The calendar is shared as free/busy only", make=_sharing("freeBusyReader")
    ),
    "sharing-restored": Trouble(says="The calendar is shared in full", make=_sharing("owner")),
    "strangers-link": Trouble(says="An event with a stranger's link", make=_strangers_link),
    "calm": Trouble(says="No more trouble", make=_calm),
}


def _in_background(wait: Callable[[], None]) -> None:
    threading.Thread(target=wait, name="trouble", daemon=True).start()
