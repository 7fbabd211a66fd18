"""The options that commands share. They may stand before or after the command's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ccsync.session import Session

Command = TypeVar("Command", bound=Callable[..., Any])

pass_session = click.make_pass_decorator(Session)


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """Return a callback that keeps a given option in the session."""

    def keep(context: click.Context, _: click.Parameter, value: Any) -> None:
        session = context.find_object(Session)
        if session is None or value in (None, False):
            return
        setattr(session.out if name == "as_json" else session, name, value)

    return keep


def common(command: Command) -> Command:
    """Add `--json` and the options that choose the target."""
    for add in reversed(_COMMON):
        command = add(command)
    return command


def cloud(command: Command) -> Command:
    """Add the options that tell gcloud where things are, where Terraform does not."""
    for add in reversed(_CLOUD):
        command = add(command)
    return command


def listed(command: Command) -> Command:
    """Add `--filter` and `--limit`."""
    command = click.option(
        "--limit", type=click.IntRange(min=1), metavar="N", help="Show N at most."
    )(command)
    return click.option(
        "--filter",
        "filters",
        multiple=True,
        metavar="EXPR",
        help="name=value, name~text, != and !~, or a text in any member. Repeat it to narrow.",
    )(command)


def _option(*names: str, keep: str, **settings: Any) -> Callable[[Command], Command]:
    return click.option(*names, expose_value=False, callback=_keep(keep), **settings)


_COMMON = (
    _option(
        "--json",
        keep="as_json",
        is_flag=True,
        is_eager=True,
        help="Print JSON; errors too, on stderr.",
    ),
    _option("--sandbox", keep="sandbox", is_flag=True, help="Use the sandbox of this machine."),
    _option("--url", keep="url", metavar="URL", help="Use the manage-calendars at this address."),
    _option(
        "--terraform",
        keep="terraform",
        metavar="DIR",
        type=click.Path(path_type=Path),
        help="Use what was applied in this directory (./terraform if nothing is said).",
    ),
)

_CLOUD = (
    _option(
        "--project", keep="project", metavar="P", help="The project, if Terraform is not at hand."
    ),
    _option("--region", keep="region", metavar="R", help="The region, likewise."),
    _option(
        "--name", keep="name", metavar="N", help="Terraform's name, conference-sync by default."
    ),
)
