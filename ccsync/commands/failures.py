"""`ccsync failures` and `ccsync left`: what could not be applied, and what is not ours."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import click

from ccsync.commands.calendars import report_orders
from ccsync.errors import Misused, Refused
from ccsync.following import side_by_side
from ccsync.options import common, listed, pass_session
from ccsync.output import ago
from ccsync.rows import chosen
from ccsync.session import Session

Json = dict[str, Any]

_STATES = ("parked", "retrying", "approximate", "left", "all")
# What can be retried or dismissed together: nobody has to act on the other states.
_WAITING = ("parked", "retrying")


@click.group()
@common
def failures() -> None:
    """List, show, retry and dismiss events that could not be applied."""


@failures.command(name="list")
@click.option(
    "--state", type=click.Choice(_STATES), default="parked", show_default=True, help="Which."
)
@click.option("--calendar", metavar="ID", help="Only those of one calendar.")
@listed
@common
@pass_session
def list_(
    session: Session,
    state: str,
    calendar: str | None,
    filters: tuple[str, ...],
    limit: int | None,
) -> None:
    """List failures, parked ones if nothing else is said."""
    with session.out.progress("Reading the failures"):
        found = list(chosen(_read(session, state, calendar), filters, limit))
    _print(session, found, "No failures.")


@failures.command()
@click.argument("failure_id", metavar="FAILURE")
@common
@pass_session
def show(session: Session, failure_id: str) -> None:
    """Show one failure with its whole reason, and what to do."""
    with session.out.progress("Reading the failures"):
        listing = _read(session, "all", None)
        found = next((each for each in listing if each["id"] == failure_id), None)
    if found is None:
        raise Refused(
            f"there is no failure {failure_id}; it may have succeeded meanwhile, see ccsync "
            "failures list --state all"
        )
    if session.out.as_json:
        session.out.json(found)
        return
    for name, value in found.items():
        if value is not None:
            session.out.say(f"{name.replace('_', ' ') + ':':<15}{value}")
    session.out.say(f"{'next:':<15}{_NEXT[found['state']]}")


_NEXT = {
    "parked": "mend what the reason says, then ccsync failures retry; or change the event",
    "retrying": "nothing: it is tried again by itself",
    "approximate": "nothing: the provider cannot hold more",
    "left": "nothing, or name the conference's host in hosts of SYNC_PROVIDERS",
}


@failures.command()
@click.argument("ids", nargs=-1, metavar="[FAILURE]...")
@click.option("--all", "every", is_flag=True, help="All that are parked or retried.")
@click.option("--reason", metavar="TEXT", help="Only those whose reason has this text.")
@common
@pass_session
def retry(session: Session, ids: tuple[str, ...], every: bool, reason: str | None) -> int:
    """Try failures again at once. Safe to repeat."""
    chosen_ids = _chosen(session, ids, every, reason)
    return _order(session, chosen_ids, "POST", "retried")


@failures.command()
@click.argument("ids", nargs=-1, metavar="[FAILURE]...")
@click.option("--all", "every", is_flag=True, help="All that are parked or retried.")
@click.option("--reason", metavar="TEXT", help="Only those whose reason has this text.")
@click.option("--yes", is_flag=True, help="Do not ask whether many may be dismissed.")
@common
@pass_session
def dismiss(
    session: Session, ids: tuple[str, ...], every: bool, reason: str | None, yes: bool
) -> int:
    """Forget failures until their events change."""
    chosen_ids = _chosen(session, ids, every, reason)
    if not ids and chosen_ids and not yes:
        _confirm(len(chosen_ids))
    return _order(session, chosen_ids, "DELETE", "dismissed")


def _confirm(count: int) -> None:
    if not sys.stdin.isatty():
        raise Misused(f"{count} failures would be dismissed; add --yes if that is meant")
    click.confirm(f"Dismiss {count} failures?", abort=True, err=True)


@click.command()
@click.option("--calendar", metavar="ID", help="Only those of one calendar.")
@listed
@common
@pass_session
def left(
    session: Session, calendar: str | None, filters: tuple[str, ...], limit: int | None
) -> None:
    """List the events that are recognised but left alone, and why."""
    with session.out.progress("Reading what is left alone"):
        found = list(chosen(_read(session, "left", calendar), filters, limit))
    _print(session, found, "Nothing is left alone.")


def _read(session: Session, state: str, calendar: str | None) -> Iterator[Json]:
    return session.server.pages("/failures", "failures", state=state, calendar_id=calendar)


def _chosen(session: Session, ids: tuple[str, ...], every: bool, reason: str | None) -> list[str]:
    if bool(ids) == (every or reason is not None):
        raise Misused("name failures by their ids, or give --all or --reason; one of both")
    if ids:
        return list(dict.fromkeys(ids))
    with session.out.progress("Reading the failures"):
        return [
            each["id"]
            for state in _WAITING
            for each in _read(session, state, None)
            if reason is None or reason.lower() in each["reason"].lower()
        ]


def _order(session: Session, ids: list[str], method: str, done: str) -> int:
    server = session.server
    ending = "/retry" if method == "POST" else ""

    def order(failure_id: str) -> object:
        return server.call(method, f"/failures/{quote(failure_id, safe='')}{ending}")

    ended = {}
    with session.out.progress(f"{len(ids)} failures", len(ids)) as progress:
        for each in side_by_side(server, ids, order):
            ended[each.id] = each
            progress.advance()
    if not ids and not session.out.as_json:
        session.out.say("No failures.")
    return report_orders(session, [ended[each] for each in ids], done, "failure")


def _print(session: Session, found: list[Json], none: str) -> None:
    if session.out.as_json:
        session.out.json({"failures": found})
    elif not found:
        session.out.say(none)
    else:
        session.out.table(
            ("failure", "calendar", "event", "provider", "state", "since", "tries", "why"),
            [
                (
                    each["id"],
                    each["calendar_id"],
                    each["event_id"],
                    each["provider"],
                    each["state"],
                    ago(each["first"]),
                    each["attempts"],
                    each["reason"],
                )
                for each in found
            ],
        )
