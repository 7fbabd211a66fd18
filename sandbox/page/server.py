"""The page's addresses, and the stream that keeps every open page live.

GET  /                  the page
GET  /files/…           its script, styles and the calendar component
GET  /api/state         what there is now
GET  /api/addresses     where manage_calendars, Calendar and the logs are, for ccsync --sandbox
GET  /api/stream        the same at once and after each change (server-sent events)
POST /api/do            {"action": "edit", …}, see `actions` → {"curl": […], "answer": …}
POST /api/trouble       {"trouble": "push-lost", …}, see `troubles`
POST /api/story         plays the next step of the story
"""

from __future__ import annotations

import json
import shlex
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import flask
import httpx

from sandbox.page.actions import ACTIONS, GUEST, Desk
from sandbox.page.calls import Caller, CallFailed
from sandbox.page.observe import Observer
from sandbox.page.steps import StepByStep
from sandbox.page.troubles import TROUBLES
from sandbox.page.view import conferences_of, events_of
from sandbox.servers import UNKEPT, HttpServer, in_order
from sandbox.world import World

Json = dict[str, Any]

PORTS = range(8800, 8900)
FILES = Path(__file__).resolve().parent / "files"

_HEARTBEAT_SECONDS = 5.0
"""A stream that has nothing to say says so, for a browser that went away is noticed only then."""
_GATHER_SECONDS = 0.08
_MOST_LINES = 50
"""Of what was done on the page."""


class Page:
    """Serves the page of one world. The page can be opened before the world has started."""

    def __init__(self, world: World) -> None:
        """Take port 8800, or the next one that is free."""
        self._world = world
        self._client = httpx.Client(timeout=30, limits=UNKEPT, trust_env=False)
        self._changed = threading.Condition()
        self._version = 0
        self._stopping = False
        self._ready = False
        self._done: list[Json] = []
        self._observer = Observer(world, self._notify)
        self._story = StepByStep(world, self._notify, self._observer.explain)
        self._server = HttpServer(self._application(), port=(*PORTS, 0))
        self.port = self._server.port

    @property
    def url(self) -> str:
        return f"{self._server.url}/"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Serve the page, which says that the world is starting."""
        self._server.start()

    def watch(self, *, explain: bool = True) -> None:
        """Show the world, which has started; without `explain` until `explain` is called."""
        self._observer.explain(explain)
        self._observer.start()
        self._ready = True
        self._notify()

    def explain(self) -> None:
        """Show from now on why a change was followed or not, and of the changes so far."""
        self._observer.explain(True)

    def stop(self) -> None:
        """End the streams, the threads and the server. Safe to repeat."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._story.stop()
        self._observer.stop()
        self._server.stop()
        self._client.close()

    # What there is.

    def state(self) -> Json:
        """Return everything that the page shows."""
        if not self._ready:
            return {"ready": False, "version": self._version}
        world, observer = self._world, self._observer
        with observer.lock:
            now = datetime.now(UTC)
            events = [
                drawn
                for calendar_id, stored in observer.events.items()
                for drawn in events_of(calendar_id, stored, observer.directory, now)
            ]
            waiting = self._deletions()
            for event in events:
                event["deleted_at"] = waiting.get((event["calendar_id"], event["event_id"]))
            return {
                "ready": True,
                "version": self._version,
                "now": now.isoformat(),
                "provider": world.system.called,
                "guest": GUEST,
                "summary": self._summary(),
                "calendars": self._calendars(),
                "events": events,
                "conferences": conferences_of(observer.directory, events),
                "changes": [change.shown() for change in observer.timeline.changes],
                "failures": observer.failures,
                "left": observer.left,
                "troubles": {name: each.says for name, each in TROUBLES.items()},
                "story": self._story.shown(),
                "done": self._done,
            }

    def _summary(self) -> Json:
        observer = self._observer
        waiting = observer.timeline.open()
        failures = len(observer.failures)
        broken = sum(each["status"] == "broken" for each in observer.statuses)
        return {
            "in_step": not waiting and not failures and not broken,
            "waiting": waiting,
            "failures": failures,
            "broken": broken,
            "lag": observer.timeline.lag(),
        }

    def _calendars(self) -> list[Json]:
        started = {each["calendar_id"]: each for each in self._observer.statuses}
        return [
            {
                "id": calendar_id,
                "status": started.get(calendar_id, {}).get("status", "not started"),
                "reason": started.get(calendar_id, {}).get("reason"),
            }
            for calendar_id in self._observer.events
        ]

    def _deletions(self) -> dict[tuple[str, str], str]:
        """When the conference of a deleted event will be looked at again, by calendar and event."""
        return {
            (str(task.body["calendar_id"]), str(task.body["event_id"])): (
                task.schedule_time.isoformat()
            )
            for task in self._world.tasks.pending()
            if isinstance(task.body, dict) and "event_id" in task.body
        }

    def addresses(self) -> tuple[Json, int]:
        """Return where `ccsync --sandbox` finds its parts; 503 while the world is starting."""
        world = self._world
        if "manage_calendars" not in world.functions:
            return {"error": "the sandbox is starting"}, 503
        return {
            "manage_calendars": world.functions["manage_calendars"].url,
            "calendar": f"http://{world.calendar.host}/calendar/v3/",
            "directory": str(world.directory),
        }, 200

    def _notify(self) -> None:
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    # The application.

    def _application(self) -> flask.Flask:
        app = flask.Flask("sandbox.page", static_folder=str(FILES), static_url_path="/files")
        in_order(app)
        app.add_url_rule("/", view_func=self._page)
        app.add_url_rule("/api/state", view_func=lambda: flask.jsonify(self.state()))
        app.add_url_rule("/api/addresses", view_func=self.addresses)
        app.add_url_rule("/api/stream", view_func=self._stream)
        app.add_url_rule("/api/do", view_func=self._do, methods=["POST"])
        app.add_url_rule("/api/trouble", view_func=self._trouble, methods=["POST"])
        app.add_url_rule("/api/story", view_func=self._next_step, methods=["POST"])
        app.before_request(_refuse_strangers)
        app.after_request(_keep_fresh)
        return app

    @staticmethod
    def _page() -> flask.Response:
        return flask.send_from_directory(FILES, "index.html")

    def _stream(self) -> flask.Response:
        return flask.Response(
            self._states(), mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"}
        )

    def _states(self) -> Iterator[str]:
        """Yield the state at once and after each change, at most some ten times a second."""
        seen = -1
        while (version := self._version_after(seen)) is not None:
            news, seen = version != seen, version
            yield f"data: {json.dumps(self.state())}\n\n" if news else ": still here\n\n"
            # Changes that come close together are one news.
            time.sleep(_GATHER_SECONDS)

    def _version_after(self, seen: int) -> int | None:
        """Wait a little for a newer version; None: the page is being stopped."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopping or self._version != seen, _HEARTBEAT_SECONDS
            )
            return None if self._stopping else self._version

    def _do(self) -> Any:
        wanted = flask.request.get_json(force=True)
        name = str(wanted.get("action"))
        if name not in ACTIONS:
            return {"error": f"there is no action {name}; there are {', '.join(ACTIONS)}"}, 400
        return self._carry_out(name, lambda desk: ACTIONS[name](desk, wanted))

    def _trouble(self) -> Any:
        wanted = flask.request.get_json(force=True)
        name = str(wanted.get("trouble"))
        if name not in TROUBLES:
            return {"error": f"there is no trouble {name}; there are {', '.join(TROUBLES)}"}, 400
        return self._carry_out(TROUBLES[name].says, lambda desk: TROUBLES[name].make(desk, wanted))

    def _carry_out(self, name: str, action: Any) -> Any:
        """Do it, and answer with the curl lines that do the same."""
        caller = Caller(self._client)
        desk = Desk(world=self._world, observer=self._observer, caller=caller)
        error, answer = None, None
        try:
            answer = action(desk)
        except CallFailed as failed:
            error = str(failed)
        except (KeyError, TypeError, ValueError) as failed:
            error = f"the page sent something incomplete: {failed!r}"
        curl = caller.lines or [self._own_line()]
        self._done = [*self._done, {"name": name, "curl": curl, "error": error}][-_MOST_LINES:]
        self._notify()
        told = {"curl": curl, "answer": answer, "error": error}
        return told, 200 if error is None else 409

    def _own_line(self) -> str:
        """The curl line of a request to this server itself."""
        body = json.dumps(flask.request.get_json(force=True))
        return shlex.join(["curl", "-s", "-X", "POST", "-d", body, flask.request.url])

    def _next_step(self) -> Any:
        self._story.go()
        return self._story.shown()


def _refuse_strangers() -> Any:
    """Let only the page itself change something: other sites could send a form here."""
    request = flask.request
    host = request.host.partition(":")[0]
    if host not in ("127.0.0.1", "localhost"):
        return {"error": "this page is for this machine alone"}, 403
    origin = request.headers.get("Origin")
    if request.method == "POST" and origin not in (None, f"http://{request.host}"):
        return {"error": "another site asked for that"}, 403
    return None


def _keep_fresh(response: flask.Response) -> flask.Response:
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Security-Policy"] = (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "font-src 'self' data:"
    )
    return response
