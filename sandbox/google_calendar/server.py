"""`GoogleCalendar`: the stand-in as a whole, its back door and its real HTTP server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import flask

from sandbox.google_calendar import control, wsgi
from sandbox.google_calendar.api import Api
from sandbox.google_calendar.backdoor import BackDoor
from sandbox.servers import LOOPBACK, HttpServer, build_no_addresses

# Every operation holds one lock, so more threads only serve requests that hang on purpose.
_THREADS = 16


class GoogleCalendar(BackDoor):
    """The Calendar API v3, on loopback unless `bind` names another address.

    `now` is the clock that tokens, channels and tombstones age by.
    """

    def __init__(
        self,
        port: int = 0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        bind: str = LOOPBACK,
    ) -> None:
        super().__init__(now)
        self.app = self._flask()
        self._server = HttpServer(self.app, port=port, threads=_THREADS, bind=bind)
        self._stopped = False

    @property
    def host(self) -> str:
        """`host:port`. The API is under `/calendar/v3/` there."""
        return self._server.host

    def start(self) -> None:
        self._pushes.start()
        self._server.start()

    def stop(self) -> None:
        """End the server, its notifications and its threads. Safe to repeat."""
        self.faults.clear()
        if not self._stopped:
            self._stopped = True
            self._server.stop()
            self._pushes.stop()

    def __enter__(self) -> GoogleCalendar:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _flask(self) -> flask.Flask:
        app = flask.Flask("sandbox.google_calendar", static_folder=None)
        build_no_addresses(app)
        # Before the faults, so that what they answer is recorded too.
        wsgi.record_requests(app, self.requests)
        self.faults.install(app)
        Api(self._store, self._listings, self._channels).install(app)
        control.install(app, self)
        around = wsgi.Batches(wsgi.MethodOverride(app.wsgi_app))
        app.wsgi_app = around  # type: ignore[method-assign]  # Flask's own way to wrap it
        return app
