"""`ccsync calendars`: start, list, show, stop."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click

from ccsync import starting
from ccsync.errors import REFUSED, UNREACHABLE, WELL, Misused
from ccsync.following import PARALLEL, side_by_side
from ccsync.options import common, listed, pass_session
from ccsync.output import ago
from ccsync.rows import chosen
from ccsync.server import calendar_path
from ccsync.session import Session
from ccsync.starting import Outcome, Wanted

Json = dict[str, Any]

STATUSES = click.Choice(["starting", "ok", "polled", "broken"])
_REPORT = Path("ccsync-start.csv")


@click.group()
@common
def calendars() -> None:
    """Start, list, show and stop calendars."""


@calendars.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option(
    "--users",
    metavar="FILE.csv",
    type=click.Path(path_type=Path),
    help="Start all that a CSV file names in a column calendar_id or email. Google's export of "
    "users will do.",
)
@click.option(
    "--as-subject", is_flag=True, help="Reach each calendar as its own user (delegation)."
)
@click.option("--resume", is_flag=True, help="Leave out what the report says is done.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option(
    "--report",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help=f"Where the report is written; {_REPORT} with --users, else nowhere.",
)
@click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    default=PARALLEL,
    show_default=True,
    metavar="N",
    help="How many at a time.",
)
@common
@pass_session
def start(
    session: Session,
    ids: tuple[str, ...],
    users: Path | None,
    as_subject: bool,
    resume: bool,
    dry_run: bool,
    report: Path | None,
    parallel: int,
) -> int:
    """Start calendars, side by side. Safe to repeat: what is started stays as it is.

    Without --as-subject, the calendars must be shared with the functions' service accounts. Rows of
    the CSV file may choose by columns subject and credentials_secret.
    """
    wanted = _wanted(ids, users, as_subject)
    path = report or (_REPORT if users else None)
    if resume and path is None:
        raise Misused("--resume needs the report of the former run; give --report or --users")
    former = starting.read_report(path) if resume and path else []
    done = {each.calendar_id: each for each in former if each.outcome in starting.DONE}
    left = [each for each in wanted if each.calendar_id not in done]
    settled = _settled(session, left)
    if dry_run:
        return _dry(session, wanted, settled | done)
    written = starting.Report(path, done.values()) if path else None
    outcomes = {**done, **settled}
    if written:
        for outcome in settled.values():
            written.add(outcome)
    todo = [each for each in left if each.calendar_id not in settled]
    try:
        with session.out.progress("Starting", len(wanted)) as progress:
            progress.advance(len(outcomes))
            for outcome in starting.start_all(session.server, todo, parallel):
                outcomes[outcome.calendar_id] = outcome
                if written:
                    written.add(outcome)
                progress.advance()
    finally:
        if written:
            written.close([each.calendar_id for each in wanted])
    ordered = [outcomes[each.calendar_id] for each in wanted]
    _tell(session, ordered, path)
    return _code(ordered)


def _wanted(ids: tuple[str, ...], users: Path | None, as_subject: bool) -> list[Wanted]:
    def subject(calendar_id: str) -> str | None:
        return calendar_id if as_subject else None

    if bool(ids) == bool(users):
        raise Misused("name calendars by their ids, or give --users FILE.csv; one of both")
    if users:
        return starting.read_users(users, subject)
    return [
        Wanted(calendar_id=each, access={"subject": each} if as_subject else {})
        for each in dict.fromkeys(ids)
    ]


def _settled(session: Session, wanted: list[Wanted]) -> dict[str, Outcome]:
    """Return those of which nothing has to be sent: they are started."""
    with session.out.progress("Reading which calendars are started"):
        known = session.server.pages("/calendars", "calendars")
        found = starting.unchanged(wanted, known)
    return {each: Outcome(calendar_id=each, outcome=starting.UNCHANGED) for each in found}


def _dry(session: Session, wanted: list[Wanted], settled: dict[str, Outcome]) -> int:
    _show_outcomes(
        session,
        [
            settled.get(each.calendar_id)
            or Outcome(calendar_id=each.calendar_id, outcome=starting.WOULD_START)
            for each in wanted
        ],
    )
    return WELL


def _tell(session: Session, outcomes: list[Outcome], report: Path | None) -> None:
    if report:
        session.out.remark(f"The report is in {report}.")
    _show_outcomes(session, outcomes)


def _show_outcomes(session: Session, outcomes: list[Outcome]) -> None:
    counts = Counter(each.outcome for each in outcomes)
    repeated = sum(each.tries > 1 for each in outcomes)
    if session.out.as_json:
        session.out.json(
            {
                "counts": dict(counts),
                "repeated": repeated,
                "calendars": [each.json() for each in outcomes],
            }
        )
        return
    if len(outcomes) == 1:
        only = outcomes[0]
        session.out.say(": ".join(filter(None, (only.outcome, only.calendar_id, only.reason))))
        return
    said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    again = f"; {repeated} needed more than one try" if repeated else ""
    session.out.say(f"{len(outcomes)} calendars: {said}{again}")
    unwell = [each for each in outcomes if each.outcome in (starting.REFUSED, starting.UNREACHABLE)]
    if unwell:
        session.out.table(
            ("calendar", "outcome", "why"),
            [(each.calendar_id, each.outcome, each.reason) for each in unwell],
        )


def _code(outcomes: list[Outcome]) -> int:
    found = {each.outcome for each in outcomes}
    if starting.REFUSED in found:
        return REFUSED
    return UNREACHABLE if starting.UNREACHABLE in found else WELL


@calendars.command(name="list")
@click.option("--status", type=STATUSES, help="Only those of one status.")
@listed
@common
@pass_session
def list_(
    session: Session, status: str | None, filters: tuple[str, ...], limit: int | None
) -> None:
    """List the calendars."""
    with session.out.progress("Reading the calendars"):
        listing = session.server.pages("/calendars", "calendars", status=status)
        found = list(chosen(listing, filters, limit))
    if session.out.as_json:
        session.out.json({"calendars": found})
    elif not found:
        session.out.say("No calendars.")
    else:
        session.out.table(
            ("calendar", "status", "access", "last sync", "why"),
            [
                (
                    each["calendar_id"],
                    "failing" if each["failing"] and each["status"] != "broken" else each["status"],
                    access_in_words(each["access"]),
                    ago((each["last_sync"] or {}).get("at")),
                    each["reason"] or (each["failing"] or {}).get("reason"),
                )
                for each in found
            ],
        )


@calendars.command()
@click.argument("calendar_id", metavar="ID")
@common
@pass_session
def show(session: Session, calendar_id: str) -> None:
    """Show one calendar."""
    with session.out.progress("Reading the calendar"):
        found = session.server.call("GET", calendar_path(calendar_id))
    if session.out.as_json:
        session.out.json(found)
        return
    channel, last, failing = found["channel"], found["last_sync"], found["failing"]
    counts = ("changes", "created", "updated", "deleted", "failed")
    lines = {
        "calendar": found["calendar_id"],
        "status": found["status"],
        "why": found["reason"],
        "access": access_in_words(found["access"]),
        "channel": f"expires {channel['expires']}" if channel else "none",
        "last sync": f"{last['kind']}, {ago(last['at'])} ({last['at']})" if last else "none yet",
        "it did": ", ".join(f"{last[name]} {name}" for name in counts) if last else None,
        "failing": f"{failing['runs']} runs since {failing['since']}: {failing['reason']}"
        if failing
        else None,
    }
    for name, value in lines.items():
        if value:
            session.out.say(f"{name + ':':<12}{value}")


def access_in_words(access: Json) -> str:
    """Return `as ann@example.com`, `by secret …`, or `shared`."""
    if "subject" in access:
        return f"as {access['subject']}"
    if "credentials_secret" in access:
        return f"by secret {access['credentials_secret'].rpartition('/')[2]}"
    return "shared"


@calendars.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@common
@pass_session
def stop(session: Session, ids: tuple[str, ...]) -> int:
    """Stop calendars. Their conferences stay."""
    server = session.server

    def order(calendar_id: str) -> object:
        return server.call("DELETE", calendar_path(calendar_id))

    wanted = list(dict.fromkeys(ids))
    with session.out.progress("Stopping", len(wanted)) as progress:
        ended = {}
        for each in side_by_side(server, wanted, order):
            ended[each.id] = each
            progress.advance()
    return report_orders(session, [ended[each] for each in wanted], "stopped", "calendar")


def report_orders(session: Session, ended: list[Any], done: str, what: str) -> int:
    """Print what became of orders, and return the exit code."""
    if session.out.as_json:
        session.out.json({f"{what}s": [each.json(done) for each in ended]})
    else:
        for each in ended:
            if each.problem is None:
                session.out.say(f"{done}: {each.id}")
            else:
                session.out.remark(f"not {done}: {each.id}: {each.problem.message}")
    problems = [each.problem for each in ended if each.problem is not None]
    return problems[0].exit_code if problems else WELL
