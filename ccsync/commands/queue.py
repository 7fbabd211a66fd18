"""`ccsync pause` and `ccsync resume`: the kill switch, which is the queue."""

from __future__ import annotations

import click

from ccsync import gcloud
from ccsync.errors import Refused
from ccsync.options import cloud, common, pass_session
from ccsync.session import Cloud, Session


@click.command()
@common
@cloud
@pass_session
def pause(session: Session) -> None:
    """Pause the queue: nothing is written to conferences or calendars until it is resumed.

    Notifications are kept meanwhile, up to 31 days. Safe to repeat.
    """
    _turn(session, "pause", "PAUSED")


@click.command()
@common
@cloud
@pass_session
def resume(session: Session) -> None:
    """Resume the queue: what has waited is applied now. Safe to repeat."""
    _turn(session, "resume", "RUNNING")


def _turn(session: Session, order: str, wanted: str) -> None:
    where = session.cloud
    with session.out.progress("Asking gcloud"):
        gcloud.run(["tasks", "queues", order, *_queue(where)])
        state = state_of(where)
    if state != wanted:
        raise Refused(f"the queue is {state} after {order}; repeat it, or look at the console")
    if session.out.as_json:
        session.out.json({"queue": where.queue, "state": state})
    else:
        session.out.say(f"The queue {where.queue} is {state.lower()}.")


def state_of(where: Cloud) -> str:
    """Return the queue's state: RUNNING, PAUSED or DISABLED. Raises Problem."""
    found = gcloud.run_json(["tasks", "queues", "describe", *_queue(where)])
    return str(found.get("state")) if isinstance(found, dict) else "unknown"


def _queue(where: Cloud) -> list[str]:
    return [where.queue, f"--location={where.region}", f"--project={where.project}"]
