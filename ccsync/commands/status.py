"""`ccsync status`: is everything in step, and what is not."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from ccsync.errors import NOT_IN_STEP, WELL
from ccsync.logs import logs_of
from ccsync.options import cloud, common, pass_session
from ccsync.output import ago
from ccsync.session import Session

Json = dict[str, Any]

_SHOWN = 20
"""Longer tables end with the command that shows the rest."""
_MOST_LINES = 2000
_IN_STEP = ("ok", "polled")
_STATUSES = ("ok", "polled", "starting", "broken")
_STATES = ("parked", "retrying", "left", "approximate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How things stand. `calendars` and `failures` are numbers by status and state."""

    calendars: dict[str, int]
    failures: dict[str, int]
    not_in_step: list[Json] = field(default_factory=list)
    waiting: list[Json] = field(default_factory=list)
    counted_from_lists: bool = False
    lag_seconds: float | None = None
    """The 95th percentile of the last hour, from a change in Calendar to the end of its run."""

    @property
    def total(self) -> int:
        return sum(self.calendars[name] for name in _STATUSES)

    @property
    def in_step(self) -> int:
        return self.total - len(self.not_in_step)

    @property
    def well(self) -> bool:
        return not (self.not_in_step or self.failures["parked"] or self.failures["retrying"])

    def sentence(self) -> str:
        """Return `498 of 500 in step; 1 broken; 1 starting; 3 parked`."""
        failing = sum(each["status"] in _IN_STEP for each in self.not_in_step)
        counts = {
            "broken": self.calendars["broken"],
            "starting": self.calendars["starting"],
            "failing": failing,
            "polled": self.calendars["polled"],
            **self.failures,
        }
        said = [f"{count} {name}" for name, count in counts.items() if count]
        if self.lag_seconds is not None:
            said.append(f"lag p95 {self.lag_seconds:.0f} s")
        return "; ".join([f"{self.in_step} of {self.total} in step", *said])

    def json(self) -> Json:
        return {
            "in_step": self.in_step,
            "calendars": {**self.calendars, "total": self.total},
            "failures": self.failures,
            "not_in_step": self.not_in_step,
            "waiting": self.waiting,
            "lag_p95_seconds": self.lag_seconds,
        }


@click.command()
@click.option("--watch", is_flag=True, help="Say it again whenever it changes, until Ctrl-C.")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How often --watch looks.",
)
@click.option("--lag", is_flag=True, help="Read the last hour's lag in the log as well (gcloud).")
@common
@cloud
@pass_session
def status(session: Session, watch: bool, every: float, lag: bool) -> int:
    """Say in one sentence whether all is in step, and what is not.

    Ends with 3 if a calendar is broken, starting or failing, or an event is parked or retried.
    """
    if watch:
        _watch(session, every)
    with session.out.progress("Asking how things stand"):
        standing = standing_of(session)
        if lag:
            standing = replace(standing, lag_seconds=_lag(session))
    if standing.counted_from_lists:
        session.out.remark("This server has no GET /status; counted from its lists instead.")
    if session.out.as_json:
        session.out.json(standing.json())
    else:
        _show(session, standing)
    return WELL if standing.well else NOT_IN_STEP


def _watch(session: Session, every: float) -> None:
    """Print the sentence whenever it differs. Ends by Ctrl-C alone."""
    before = None
    while True:
        standing = standing_of(session)
        now = standing.json()
        if now != before and session.out.as_json:
            session.out.json_line(now)
        elif now != before:
            session.out.say(f"{time.strftime('%H:%M:%S')}  {standing.sentence()}")
        before = now
        time.sleep(every)


def standing_of(session: Session) -> Standing:
    """Ask the server how things stand. An older one is counted from its lists."""
    server = session.server
    told = server.optional("/status")
    if told is None:
        return _from_lists(session)
    calendars = {name: int(told["calendars"].get(name, 0)) for name in _STATUSES}
    states = {name: int(told["failures"].get(name, 0)) for name in _STATES}
    failing = int(told["calendars"].get("failing", 0))
    behind = [
        each
        for name in ("broken", "starting")
        if calendars[name]
        for each in server.pages("/calendars", "calendars", status=name)
    ]
    if failing > sum(each["failing"] is not None for each in behind):
        listed = server.pages("/calendars", "calendars")
        behind = [each for each in listed if not _is_in_step(each)]
    return Standing(
        calendars=calendars,
        failures=states,
        not_in_step=behind,
        waiting=_waiting(session) if states["parked"] or states["retrying"] else [],
    )


def _lag(session: Session) -> float | None:
    """Return the 95th percentile of the last hour's lags in seconds, None if nothing changed."""
    begin = datetime.now(UTC) - timedelta(hours=1)
    lines = logs_of(session).read({"message": "calendar synced"}, begin, _MOST_LINES)
    lags = sorted(float(line["lag_seconds"]) for line in lines if "lag_seconds" in line)
    return lags[math.ceil(len(lags) * 0.95) - 1] if lags else None


def _from_lists(session: Session) -> Standing:
    listed = list(session.server.pages("/calendars", "calendars"))
    failed = list(session.server.pages("/failures", "failures", state="all"))
    return Standing(
        calendars={name: sum(each["status"] == name for each in listed) for name in _STATUSES},
        failures={name: sum(each["state"] == name for each in failed) for name in _STATES},
        not_in_step=[each for each in listed if not _is_in_step(each)],
        waiting=[each for each in failed if each["state"] in ("parked", "retrying")],
        counted_from_lists=True,
    )


def _waiting(session: Session) -> list[Json]:
    return [
        each
        for state in ("parked", "retrying")
        for each in session.server.pages("/failures", "failures", state=state)
    ]


def _is_in_step(calendar: Json) -> bool:
    return calendar["status"] in _IN_STEP and not calendar.get("failing")


def _show(session: Session, standing: Standing) -> None:
    session.out.say(standing.sentence())
    if standing.not_in_step:
        session.out.say("")
        rows = [(each["calendar_id"], *_trouble(each)) for each in standing.not_in_step]
        session.out.table(("calendar", "status", "why"), rows[:_SHOWN])
        _say_more(session, len(rows), "ccsync calendars list")
    if standing.waiting:
        session.out.say("")
        shown = standing.waiting[:_SHOWN]
        session.out.table(
            ("failure", "calendar", "state", "why"),
            [(each["id"], each["calendar_id"], each["state"], each["reason"]) for each in shown],
        )
        _say_more(session, len(standing.waiting), "ccsync failures list --state all")


def _say_more(session: Session, count: int, command: str) -> None:
    if count > _SHOWN:
        session.out.say(f"and {count - _SHOWN} more: {command}")


def _trouble(calendar: Json) -> tuple[str, str]:
    failing = calendar.get("failing")
    if calendar["status"] in _IN_STEP and failing:
        since = ago(failing["since"])
        return "failing", f"{failing['reason']} ({failing['runs']} runs, since {since})"
    said = calendar.get("reason") or (failing or {}).get("reason")
    return calendar["status"], said or "the first sync has not ended yet"
