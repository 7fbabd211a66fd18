"""Answering a request without waiting for its body (N4).

Calendar's notifications have no body. Whoever announces one and sends it slowly must not keep one
of the few threads that answer notifications.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

# A sender that is silent for so long is not waited for, and nobody is read for longer in all.
_PAUSE_SECONDS = 0.03
_MOST_SECONDS = 0.3
_PIECE = 65_536


def has_body(environ: Mapping[str, Any]) -> bool:
    """Tell whether a request announces a body, by its WSGI environment."""
    return environ.get("CONTENT_LENGTH", "") not in ("", "0") or bool(
        environ.get("HTTP_TRANSFER_ENCODING")
    )


def pass_over(environ: Mapping[str, Any]) -> None:
    """Throw away what has arrived of a body, and take no more of the request's connection.

    Gunicorn reads an unfinished body for seconds before it lets a connection go. With the receiving
    side shut, reading ends at once, and the answer still goes out. What has arrived is taken first:
    closing a socket with unread data may cost the sender our answer. Does nothing under another
    server.
    """
    connection = environ.get("gunicorn.socket")
    if not isinstance(connection, socket.socket):
        return
    deadline = time.monotonic() + _MOST_SECONDS
    with suppress(OSError):
        connection.settimeout(_PAUSE_SECONDS)
        while time.monotonic() < deadline and connection.recv(_PIECE):
            pass
    with suppress(OSError):
        connection.settimeout(None)
        connection.shutdown(socket.SHUT_RD)
