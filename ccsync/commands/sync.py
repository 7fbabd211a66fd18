"""`ccsync sync`: bring calendars up to date, and wait for it."""

from __future__ import annotations

import contextlib
from typing import Any

import click

from ccsync.commands.calendars import STATUSES
from ccsync.errors import NOT_IN_STEP, WELL, Missing, Misused
from ccsync.following import Ordered, last_runs, side_by_side, wait_for_runs
from ccsync.options import common, pass_session
from ccsync.server import calendar_path
from ccsync.session import Session

Json = dict[str, Any]


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "every", is_flag=True, help="Every calendar.")
@click.option("--status", type=STATUSES, help="Every calendar of one status.")
@click.option("--full", is_flag=True, help="Forget the sync token first, and list all events.")
@click.option("--wait", is_flag=True, help="Wait until each has run, and say how it went.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="How long --wait waits.",
)
@common
@pass_session
def sync(
    session: Session,
    ids: tuple[str, ...],
    every: bool,
    status: str | None,
    full: bool,
    wait: bool,
    timeout: float,
) -> int:
    """Sync calendars. Safe to repeat: what is in step stays as it is.

    With --wait, ends with 3 if a run failed or has not ended in time.
    """
    known = _known(session, ids, every, status, wait)
    server = session.server
    ending = "/sync?full=true" if full else "/sync"

    def order(calendar_id: str) -> object:
        return server.call("POST", f"{calendar_path(calendar_id)}{ending}")

    wanted = list(dict.fromkeys(ids)) if ids else [each["calendar_id"] for each in known]
    ended: dict[str, Ordered] = {}
    with session.out.progress("Ordering syncs", len(wanted)) as progress:
        for each in side_by_side(server, wanted, order):
            ended[each.id] = each
            progress.advance()
    taken = [each for each in wanted if ended[each].problem is None]
    after = _wait(session, known, set(taken), timeout) if wait else {}
    return _report(session, [ended[each] for each in wanted], after if wait else None)


def _known(
    session: Session, ids: tuple[str, ...], every: bool, status: str | None, wait: bool
) -> list[Json]:
    """Return the chosen calendars as they are before the order. Of named ones only if waited."""
    if bool(ids) + every + (status is not None) != 1:
        raise Misused("name calendars by their ids, or give --all, or --status; one of them")
    with session.out.progress("Reading the calendars"):
        if ids:
            return _named(session, ids) if wait else []
        return list(session.server.pages("/calendars", "calendars", status=status))


def _named(session: Session, ids: tuple[str, ...]) -> list[Json]:
    """Return the named ones that are started. The order says of the others what is wrong."""
    found = []
    for each in dict.fromkeys(ids):
        with contextlib.suppress(Missing):
            found.append(session.server.call("GET", calendar_path(each)))
    return found


def _wait(session: Session, known: list[Json], taken: set[str], timeout: float) -> dict[str, Json]:
    """Return each calendar whose run has ended in time, as it is then."""
    before = {name: run for name, run in last_runs(known).items() if name in taken}
    server = session.server
    few = len(before) <= 3

    def read() -> list[Json]:
        if few:
            return _named(session, tuple(before))
        return list(server.pages("/calendars", "calendars"))

    after: dict[str, Json] = {}
    with session.out.progress("Waiting for the runs", len(before)) as progress:
        for ended in wait_for_runs(read, before, timeout):
            after.update({each["calendar_id"]: each for each in ended})
            progress.advance(len(ended))
    return after


def _report(session: Session, ended: list[Ordered], after: dict[str, Json] | None) -> int:
    rows = [_row(each, after) for each in ended]
    if session.out.as_json:
        session.out.json({"calendars": rows})
    elif len(rows) > 20:
        counts = {row["outcome"]: 0 for row in rows}
        for row in rows:
            counts[row["outcome"]] += 1
        said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
        session.out.say(f"{len(rows)} calendars: {said or 'none'}")
    if not session.out.as_json:
        for row in rows:
            if len(rows) <= 20 or row["outcome"] not in ("ordered", "in step"):
                why = f": {row['reason']}" if row["reason"] else ""
                session.out.say(f"{row['outcome']}: {row['calendar_id']}{why}")
    problems = [each.problem for each in ended if each.problem is not None]
    if problems:
        return problems[0].exit_code
    behind = any(row["outcome"] not in ("ordered", "in step") for row in rows)
    return NOT_IN_STEP if behind else WELL


def _row(each: Ordered, after: dict[str, Json] | None) -> Json:
    def row(outcome: str, reason: str | None = None, **more: Any) -> Json:
        return {"calendar_id": each.id, "outcome": outcome, "reason": reason, **more}

    if each.problem is not None:
        return row("refused", each.problem.message)
    if after is None:
        return row("ordered")
    found = after.get(each.id)
    if found is None:
        return row("not ended", "no run has ended in time; see ccsync calendars show")
    if found["status"] == "broken":
        return row("broken", found["reason"])
    if found["failing"]:
        return row("failing", found["failing"]["reason"])
    if (found["last_sync"] or {}).get("failed"):
        return row("failed events", "see ccsync failures list --state all")
    return row("in step", None, last_sync=found["last_sync"])
