"""What goes wrong, by the exit code that it ends with. Each text is one sentence with the mend."""

from __future__ import annotations

from pathlib import Path

import click

WELL, REFUSED, USAGE, NOT_IN_STEP, NO_ACCESS, UNREACHABLE = range(6)


class Problem(click.ClickException):
    """A command cannot be carried out. `exit_code` tells scripts why.

    `tries` says how often the server was asked.
    """

    exit_code = REFUSED
    tries = 1


class Refused(Problem):
    """The server, Google or we ourselves will not do this, and repeating does not help."""


class Misused(Problem):
    """An argument is missing or wrong."""

    exit_code = USAGE


class NoAccess(Problem):
    """The caller is not signed in, or may not do this."""

    exit_code = NO_ACCESS


class Unreachable(Problem):
    """The server does not answer, or says that it cannot now."""

    exit_code = UNREACHABLE


class Missing(Refused):
    """The server has no such thing, or no such call."""


def unreadable(path: Path, error: Exception, mend: str) -> Misused:
    """Return the problem of a file that cannot be read. The system's own text repeats the name."""
    why = error.strerror if isinstance(error, OSError) else error
    return Misused(f"{path} cannot be read ({why}); {mend}")
