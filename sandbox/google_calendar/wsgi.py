"""Around the application: method overrides undone before it, requests recorded at its door."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import flask

from sandbox.google_calendar.records import Log, RequestRecord

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_RECORDED_HEADERS = ("If-Match", "If-None-Match", "User-Agent", "X-Goog-Quota-User")


class MethodOverride:
    """Turns a POST that means another method into that method, and its form body into the query.

    Google's own client does so to URLs above 2,048 characters; paging on, it leaves the query in
    the body and adds the page token to the URL, so the two are joined.
    """

    def __init__(self, app: Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        meant = environ.get("HTTP_X_HTTP_METHOD_OVERRIDE", "").upper()
        if meant and environ["REQUEST_METHOD"] == "POST":
            environ["REQUEST_METHOD"] = meant
            if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
                length = int(environ.get("CONTENT_LENGTH") or 0)
                form = environ["wsgi.input"].read(length).decode("ascii", "replace")
                environ["QUERY_STRING"] = "&".join(
                    part for part in (environ.get("QUERY_STRING", ""), form) if part
                )
                environ["wsgi.input"] = io.BytesIO()
                environ["CONTENT_LENGTH"] = "0"
        return self._app(environ, start_response)


def record_requests(app: flask.Flask, log: Log[RequestRecord]) -> None:
    """Write down each call of the API when it comes in, and its status once it is answered."""

    def arrived() -> None:
        request = flask.request
        if request.path.startswith("/_sandbox"):
            return
        body: Any = request.get_json(force=True, silent=True) if request.get_data() else None
        record = RequestRecord(
            method=request.method,
            path=request.path,
            query={name: ",".join(values) for name, values in request.args.lists()},
            body=body,
            headers={
                name: request.headers[name] for name in _RECORDED_HEADERS if name in request.headers
            },
        )
        flask.g.record = record
        log.append(record)

    def answered(response: flask.Response) -> flask.Response:
        record: RequestRecord | None = flask.g.get("record")
        if record is not None:
            record.status = response.status_code
        return response

    app.before_request(arrived)
    app.after_request(answered)
