"""Where the functions are: the sandbox, an address, or what Terraform applied."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from ccsync.errors import Misused, Refused, Unreachable

GOOGLE_CALENDAR = "https://www.googleapis.com/calendar/v3/"
PAGE_PORTS = range(8800, 8900)
"""Where the sandbox's page is looked for: it takes the first free one."""
_TERRAFORM_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One installation.

    `manage` is the URL of manage_calendars. `signed` says whether it wants an identity token.
    `calendar` is the URL of the Calendar API, `calendar_signed` whether that wants an access token.
    `queue` is the queue's full name, where known, and `logs` a directory with the functions' logs
    (the sandbox's).
    """

    manage: str
    name: str
    signed: bool = True
    calendar: str = GOOGLE_CALENDAR
    calendar_signed: bool = True
    queue: str | None = None
    logs: Path | None = None


def of_url(url: str) -> Target:
    """Return the installation whose manage_calendars has this address.

    A loopback address wants no token. CALENDAR_EMULATOR_HOST names a stand-in for Calendar, as it
    does for the functions.
    """
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole:
        raise Misused(
            f"'{url}' is no address; give --url the one of manage-calendars, as terraform output "
            "urls prints it"
        )
    if parts.username is not None:
        # Not repeated: errors and logs would hold the password.
        raise Misused("--url holds a user's name; leave it out, a token says who you are")
    loopback = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if parts.scheme == "http" and not loopback:
        raise Misused(f"{url} would show your token to the network; give --url an https address")
    emulator = os.environ.get("CALENDAR_EMULATOR_HOST")
    return Target(
        manage=url.rstrip("/"),
        name=url,
        signed=not loopback,
        calendar=f"http://{emulator}/calendar/v3/" if emulator else GOOGLE_CALENDAR,
        calendar_signed=not emulator,
    )


def of_sandbox() -> Target:
    """Return the sandbox that runs on this machine. CCSYNC_SANDBOX may name its page's address."""
    named = os.environ.get("CCSYNC_SANDBOX")
    pages = [named] if named else [f"http://127.0.0.1:{port}" for port in PAGE_PORTS]
    with httpx.Client(timeout=2, trust_env=False) as client:
        for page in pages:
            if found := _sandbox_at(client, page.rstrip("/")):
                return found
    raise Unreachable(
        "no sandbox runs here; start it with make play, wait until it says that all is up, and "
        "repeat"
    )


def _sandbox_at(client: httpx.Client, page: str) -> Target | None:
    try:
        answer = client.get(f"{page}/api/addresses")
        told = answer.json() if answer.status_code == 200 else {}
        return Target(
            manage=str(told["manage_calendars"]).rstrip("/"),
            name=f"the sandbox at {page}",
            signed=False,
            calendar=told["calendar"],
            calendar_signed=False,
            logs=Path(told["directory"]),
        )
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
        return None


def of_terraform(directory: Path) -> Target:
    """Return the installation that was applied in a directory."""
    outputs = _outputs(directory)
    manage = outputs.get("urls", {}).get("value", {}).get("manage-calendars")
    if not manage:
        raise Refused(
            f"nothing is applied in {directory}; name the directory where you applied with "
            "--terraform, or give --url"
        )
    return Target(
        manage=str(manage).rstrip("/"),
        name=str(manage),
        queue=outputs.get("queue", {}).get("value"),
    )


def _outputs(directory: Path) -> dict[str, Any]:
    if not directory.is_dir():
        raise Misused(
            f"there is no directory {directory}; give --sandbox, --url, or --terraform with the "
            "directory where you applied"
        )
    program = shutil.which("terraform")
    if program is None:
        raise Misused("terraform is not installed; install it, or give --url")
    try:
        done = subprocess.run(
            [program, f"-chdir={directory}", "output", "-json"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TERRAFORM_SECONDS,
            check=False,
        )
        found = json.loads(done.stdout) if done.returncode == 0 else None
    except (subprocess.TimeoutExpired, ValueError):
        found = None
    if not isinstance(found, dict):
        raise Refused(
            f"terraform output does not work in {directory}; try terraform -chdir={directory} "
            "output there, or give --url"
        )
    return found
