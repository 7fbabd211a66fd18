"""Who asks: an identity token for the functions, an access token for Calendar. One of each a run.

https://docs.cloud.google.com/run/docs/authenticating/developers
"""

from __future__ import annotations

import os
import shutil

from ccsync import gcloud
from ccsync.errors import NoAccess

CALENDAR_SCOPE = "https://www.googleapis.com/auth/calendar.events.readonly"


def identity_token(audience: str) -> str:
    """Return an identity token that the function at `audience` takes. Raises NoAccess.

    GOOGLE_APPLICATION_CREDENTIALS decides where it is set (google-auth), else the account that
    gcloud is signed in with, else the machine's own service account. In this order, for asking a
    machine that has none for its service account takes many seconds.
    """
    if not os.environ.get("GOOGLE_APPLICATION_CREDENTIALS") and shutil.which("gcloud"):
        return gcloud.run(["auth", "print-identity-token"]).strip()
    # Imported here: the sandbox needs no token, and this takes a third of a second.
    import google.auth.exceptions
    from google.auth.transport.requests import Request
    from google.oauth2 import id_token

    try:
        return str(id_token.fetch_id_token(Request(), audience))
    except google.auth.exceptions.GoogleAuthError as error:
        raise NoAccess(
            f"you are not signed in ({_first_line(error)}); install gcloud and run gcloud auth "
            "login, or set GOOGLE_APPLICATION_CREDENTIALS to a service account's file"
        ) from None


def calendar_headers() -> dict[str, str]:
    """Return the headers that read Calendar as the operator sees it. Raises NoAccess.

    They name the project that pays, which Calendar asks of people's own credentials.
    """
    import google.auth
    import google.auth.exceptions
    from google.auth.transport.requests import Request

    try:
        credentials, _ = google.auth.default(scopes=[CALENDAR_SCOPE])
        credentials.refresh(Request())
    except google.auth.exceptions.GoogleAuthError as error:
        raise NoAccess(
            f"Calendar cannot be read as you ({_first_line(error)}); run {how_to_read_calendar()}, "
            "or name the event by its id"
        ) from None
    headers: dict[str, str] = {}
    credentials.apply(headers)
    return headers


def how_to_read_calendar() -> str:
    """Return the command that lets google-auth read Calendar as the operator."""
    return (
        "gcloud auth application-default login --client-id-file=CLIENT.json --scopes="
        f"{CALENDAR_SCOPE},https://www.googleapis.com/auth/cloud-platform"
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")[:200] or type(error).__name__
