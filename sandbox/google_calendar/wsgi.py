"""Around the application: batches taken apart and method overrides undone before it, requests
recorded at its door."""

from __future__ import annotations

import io
import json
import re
import secrets
from collections.abc import Callable, Iterable
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import flask
from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

from sandbox.google_calendar.errors import ApiError
from sandbox.google_calendar.records import Log, RequestRecord

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# https://developers.google.com/workspace/calendar/api/guides/batch
_MOST_BATCHED = 50
_RECORDED_HEADERS = ("If-Match", "If-None-Match", "User-Agent", "X-Goog-Quota-User")


class MethodOverride:
    """Turns a POST that means another method into that method, and its form body into the query.

    Google's own client does so to URLs above 2,048 characters. For the next pages that client
    leaves the query in the body and adds the page token to the URL, so the two are joined.
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


class Batches:
    """Carries out the requests of a batch one after the other, each as if it had come alone.

    A batch is `POST /batch/calendar/v3`, multipart/mixed, each part an HTTP request as text.
    https://developers.google.com/workspace/calendar/api/guides/batch
    """

    def __init__(self, app: Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]) -> None:
        self._app = app
        self._client = Client(app)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not re.fullmatch(r"/batch(/calendar/v3)?/?", environ.get("PATH_INFO", "")):
            return self._app(environ, start_response)
        request = Request(environ)
        head = f"Content-Type: {request.headers.get('Content-Type', '')}\r\n\r\n".encode()
        batch = BytesParser(policy=HTTP).parsebytes(head + request.get_data())
        parts = list(batch.iter_parts()) if batch.is_multipart() else []
        if request.method != "POST" or not 1 <= len(parts) <= _MOST_BATCHED:
            wrong = ApiError("badRequest", f"A batch is a POST of 1 to {_MOST_BATCHED} requests.")
            refusal = Response(json.dumps(wrong.body), wrong.status, mimetype="application/json")
            return refusal(environ, start_response)
        boundary = f"batch_{secrets.token_hex(8)}"
        answers = [self._answered(part, boundary) for part in parts]
        body = b"".join(answers) + f"--{boundary}--\r\n".encode()
        kind = f"multipart/mixed; boundary={boundary}"
        return Response(body, content_type=kind)(environ, start_response)

    def _answered(self, part: Message, boundary: str) -> bytes:
        """Return one part of the answer, with the id of the part it answers."""
        # A part that holds parts itself has no payload, and counts as an empty request.
        payload = part.get_payload(decode=True)
        text = payload if isinstance(payload, bytes) else b""
        head, _, body = text.lstrip().replace(b"\r\n", b"\n").partition(b"\n\n")
        first, _, lines = head.decode("utf-8", "replace").partition("\n")
        method, _, target = first.partition(" ")
        named = [line.partition(":") for line in lines.splitlines()]
        headers = [(name.strip(), value.strip()) for name, sign, value in named if sign]
        url = urlsplit(target.rpartition(" HTTP/")[0] or target)
        sent = [(name, value) for name, value in headers if name.lower() != "content-length"]
        answer = self._client.open(
            url.path or "/", method=method, query_string=url.query, headers=sent, data=body
        )
        told = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        content_id = part.get("Content-ID", "").strip().removeprefix("<")
        whole = f"HTTP/1.1 {answer.status}\r\n{told}\r\n".encode() + answer.get_data()
        naming = f"Content-ID: <response-{content_id}\r\n" if content_id else ""
        opening = f"--{boundary}\r\nContent-Type: application/http\r\n{naming}\r\n"
        return opening.encode() + whole + b"\r\n"


def record_requests(app: flask.Flask, log: Log[RequestRecord]) -> None:
    """Write down each call of the API when it comes in, and its status once it is answered."""

    def arrived() -> None:
        request = flask.request
        if request.path == "/" or request.path.startswith("/_sandbox"):
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
