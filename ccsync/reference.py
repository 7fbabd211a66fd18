"""The reference page docs/ccsync.md, made from the help of every command.

python -m ccsync.reference > docs/ccsync.md
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import click

from ccsync.cli import HELP, PROGRAM, cli
from ccsync.tokens import how_to_read_calendar

_COLUMNS = 96

_HEAD = """\
# ccsync, the operator's command line

<!-- Made by `make reference` from the commands' own help. Edit that. -->

```sh
pipx install .            # in the clone; or without installing: python -m ccsync
ccsync doctor             # does every part work?
ccsync calendars start --users users.csv --as-subject
ccsync sync --all --wait  # until each of them has run
ccsync status             # is everything in step?
ccsync explain ann@example.com "Weekly planning" --on 2026-11-26
```

`--sandbox`, `--url` or Terraform say where the functions are: with neither of the first two,
`terraform output` of `./terraform` is read. `CCSYNC_URL` and `CCSYNC_TERRAFORM` say the same in the
environment. `--sandbox` finds `make play` or `make demo KEEP=1` of this machine. These options and
`--json` are taken by every command, before or after its name, and are listed here once.

One token is asked for in a run: by google-auth where `GOOGLE_APPLICATION_CREDENTIALS` is set, else
by `gcloud auth print-identity-token`. Only `explain` with a title or a link to join reads Calendar,
with your own access, which google-auth gets once by

```sh
LOGIN
```

`CLIENT.json` is a desktop client of your organisation (Google Cloud console, Credentials): Google
blocks gcloud's own client where it asks for Calendar. The event's id, and Calendar's own link to
the event, need none of that.

| exit code | means |
|---|---|
| 0 | well |
| 1 | refused: repeating does not help, the sentence says what does |
| 2 | the command is used wrongly |
| 3 | the command worked, and something is not in step |
| 4 | no access: you are not signed in, or no operator |
| 5 | unreachable, after several tries |

Lists read all pages by themselves. `--filter status=broken` compares a member,
`--filter reason~quota` looks for a text in it, `!=` and `!~` are the opposites, and a bare text may
stand in any member. With several, all must hold. Progress goes to stderr, for what lasts longer
than a second. Completion, in `~/.bashrc` (`zsh` in `~/.zshrc`; `ccsync completion fish | source`):

```sh
eval "$(ccsync completion bash)"
```
"""


def page() -> str:
    """Return the whole page."""
    head = _HEAD.replace("LOGIN", how_to_read_calendar())
    parts = [head, "## The commands\n", _help(cli, PROGRAM)]
    parts += [f"## {path}\n\n{_help(command, path)}" for path, command in _commands(cli, PROGRAM)]
    return "\n".join(parts)


def _commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command below a group with its whole name, in the order of the alphabet."""
    for name, command in sorted(group.commands.items()):
        below = f"{path} {name}"
        yield below, command
        if isinstance(command, click.Group):
            yield from _commands(command, below)


def _help(command: click.Command, path: str) -> str:
    if command is not cli:
        # What every command takes is listed once, under the program's name.
        shared = {each.name for each in cli.params}
        command = copy.copy(command)
        command.params = [each for each in command.params if each.name not in shared]
    context = click.Context(
        command, info_name=path, terminal_width=_COLUMNS, help_option_names=HELP
    )
    lines = command.get_help(context).splitlines()
    return "\n".join(f"    {line}".rstrip() for line in lines) + "\n"


if __name__ == "__main__":
    click.echo(page(), nl=False)
