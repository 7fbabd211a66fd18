"""The root command, and how errors end the program."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from ccsync import __version__, errors
from ccsync.commands import (
    calendars,
    completion,
    data,
    doctor,
    explain,
    failures,
    keys,
    log,
    providers,
    queue,
    status,
    sync,
)
from ccsync.options import common
from ccsync.session import Session

PROGRAM = "ccsync"
HELP = ["-h", "--help"]


@click.group(
    context_settings={"help_option_names": HELP, "max_content_width": 100},
    epilog=(
        "Exit codes: 0 well, 1 refused, 2 usage, 3 not in step, 4 no access, 5 unreachable. "
        "CCSYNC_URL and CCSYNC_TERRAFORM stand for --url and --terraform."
    ),
)
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
@common
def cli() -> None:
    """Operate calendar-conference-sync: see it, ask it, start calendars.

    The target is --sandbox, --url, or what Terraform applied in ./terraform.
    """


for command in (
    doctor.doctor,
    status.status,
    calendars.calendars,
    sync.sync,
    explain.explain,
    failures.failures,
    failures.left,
    log.log,
    keys.keys,
    queue.pause,
    queue.resume,
    providers.providers,
    data.backup,
    data.restore,
    completion.completion,
):
    cli.add_command(command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Nothing is raised."""
    session = Session()
    try:
        code = cli.main(
            arguments,
            prog_name=PROGRAM,
            obj=session,
            standalone_mode=False,
        )
    except click.UsageError as error:
        _say_usage(session, error)
        return errors.USAGE
    except click.ClickException as error:
        session.out.error(error.exit_code, error.format_message())
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        session.out.remark("Stopped.")
        return 130
    except BrokenPipeError:
        # Whoever read us, such as `head`, has seen enough. Python must not write to it at its end.
        sys.stdout = None
        return errors.WELL
    except OSError as error:
        # Of files that are named, the commands tell themselves.
        sys.stdout = None
        session.out.error(errors.REFUSED, f"the output cannot be written ({error.strerror})")
        return errors.REFUSED
    return code if isinstance(code, int) else errors.WELL


def _say_usage(session: Session, error: click.UsageError) -> None:
    context = error.ctx
    help_of = context.command_path if context else PROGRAM
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return
    said = error.format_message().rstrip(".")
    session.out.error(errors.USAGE, f"{said}; see {help_of} --help")


def main() -> None:
    """The program `ccsync`."""
    sys.exit(run())
