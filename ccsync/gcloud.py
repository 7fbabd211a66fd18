"""Everything that Google's own tool does for us, run as a program.

https://docs.cloud.google.com/sdk/gcloud/reference
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

from ccsync.errors import NoAccess, Refused, Unreachable

_SECONDS = 120.0
_SIGNED_OUT = ("gcloud auth login", "reauthentication", "invalid_grant", "active account")
_FORBIDDEN = ("permission_denied", "permission denied", "does not have permission", "httperror 403")


def run(arguments: Sequence[str], *, given: str | None = None, seconds: float = _SECONDS) -> str:
    """Return what `gcloud ARGUMENTS` prints. `given` goes to its standard input.

    Raises NoAccess, Refused or Unreachable, with gcloud's own last words.
    """
    program = shutil.which("gcloud")
    if program is None:
        raise NoAccess("gcloud is not installed; install the Google Cloud CLI, then repeat this")
    try:
        done = subprocess.run(
            [program, *arguments, "--quiet"],
            input=given,
            # Without input a question would wait for ever.
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        command = " ".join(arguments[:3])
        raise Unreachable(
            f"gcloud {command} took longer than {seconds:g} seconds; look at the network and repeat"
        ) from None
    if done.returncode == 0:
        return done.stdout
    raise _problem(arguments, done.stderr)


def run_json(arguments: Sequence[str], *, seconds: float = _SECONDS) -> Any:
    """Return the JSON value that `gcloud ARGUMENTS --format=json` prints."""
    text = run([*arguments, "--format=json"], seconds=seconds)
    try:
        return json.loads(text or "null")
    except ValueError:
        command = " ".join(arguments[:3])
        raise Refused(
            f"gcloud {command} printed something else than JSON; update gcloud and repeat"
        ) from None


def _problem(arguments: Sequence[str], stderr: str) -> NoAccess | Refused:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "")
    said = said.removeprefix("ERROR:").strip().rstrip(".") or "no reason given"
    command = f"gcloud {' '.join(each for each in arguments[:3] if not each.startswith('-'))}"
    lower = stderr.lower()
    if any(words in lower for words in _SIGNED_OUT):
        return NoAccess(f"{command} failed ({said}); sign in with gcloud auth login and repeat")
    if any(words in lower for words in _FORBIDDEN):
        return NoAccess(
            f"{command} failed ({said}); ask to be named in operators, or see gcloud auth list"
        )
    return Refused(f"{command} failed ({said}); correct that and repeat")
