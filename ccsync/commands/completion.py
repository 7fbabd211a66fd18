"""`ccsync completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ccsync.options import common, pass_session
from ccsync.session import Session


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@common
@pass_session
def completion(session: Session, shell: str) -> None:
    """Print the script that completes ccsync in a SHELL.

    For bash: eval "$(ccsync completion bash)" in ~/.bashrc. For zsh the same in ~/.zshrc, for fish
    ccsync completion fish | source.
    """
    context = click.get_current_context().find_root()
    kind = get_completion_class(shell)
    if kind is None:  # pragma: no cover  # the choices above are click's own
        raise click.UsageError(f"{shell} is not known")
    script = kind(context.command, {}, "ccsync", "_CCSYNC_COMPLETE").source()
    if session.out.as_json:
        session.out.json({"shell": shell, "script": script})
    else:
        session.out.say(script)
