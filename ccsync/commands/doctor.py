"""`ccsync doctor`: one line for each part that has to work, with its mend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import click
import httpx

from ccsync import __version__
from ccsync.commands.keys import age_of, read_keys
from ccsync.commands.queue import state_of
from ccsync.errors import NOT_IN_STEP, WELL, Problem
from ccsync.logs import logs_of
from ccsync.options import cloud, common, pass_session
from ccsync.output import ago, parse_time
from ccsync.session import Cloud, Session

Json = dict[str, Any]

_CLOCK = timedelta(seconds=60)
_MAINTAIN = timedelta(hours=13)
"""A calendar that has not synced for so long: twice the default SYNC_RECONCILE_SECONDS, and one
period of `maintain`."""
_TWO_PERIODS = timedelta(hours=2)
"""Cloud Scheduler calls `maintain` every hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One part. `ok` is None where it could not be looked at, which is no fault."""

    name: str
    ok: bool | None
    detail: str

    def json(self) -> Json:
        return {"name": self.name, "ok": self.ok, "detail": self.detail}


@click.command()
@common
@cloud
@pass_session
def doctor(session: Session) -> int:
    """Look at each part that has to work, and say what to do where one does not.

    Changes nothing. Ends with 3 if a part does not work, with 4 or 5 if the server cannot be asked.
    """
    checks = []
    mark = {True: "ok", False: "WRONG", None: "-"}
    for each in _checks(session):
        checks.append(each)
        if not session.out.as_json:
            session.out.say(f"{mark[each.ok]:<6}{each.name}: {each.detail}")
    wrong = [each for each in checks if each.ok is False]
    if session.out.as_json:
        session.out.json({"ok": not wrong, "checks": [each.json() for each in checks]})
    elif wrong:
        session.out.say(f"{len(wrong)} of {len(checks)} need somebody.")
    return NOT_IN_STEP if wrong else WELL


def _checks(session: Session) -> Iterator[Checked]:
    """Yield what is looked at, in the order in which one thing needs the other."""
    server = session.server
    server.sign_in()
    how = "a token was given" if session.target.signed else "no token is needed here"
    yield Checked(name="signed in", ok=True, detail=how)
    with session.out.progress("Asking the server"):
        answer = server.response()
    yield Checked(name="server", ok=True, detail=f"{session.target.name} lets you in")
    yield _clock(answer)
    with session.out.progress("The server looks at its parts"):
        told = server.optional("/doctor")
    if told is None:
        missing = "this server has no GET /doctor; upgrade it to have its own parts looked at"
        yield Checked(name="its own parts", ok=None, detail=missing)
    else:
        yield _version(told.get("version"))
    for each in (told or {}).get("checks", []):
        yield Checked(name=each["name"], ok=bool(each["ok"]), detail=each["detail"])
    with session.out.progress("Reading the calendars"):
        listed = list(server.pages("/calendars", "calendars"))
    yield _access(listed)
    yield _maintained(listed)
    known = session.cloud_if_known()
    if known is None:
        said = "not looked at: the project is not known; give --project and --region"
        yield Checked(name="Google Cloud", ok=None, detail=said)
        return
    yield _by_gcloud("queue state", lambda: _queue(known))
    yield _by_gcloud("channel key", lambda: _channel_key(known))
    yield _by_gcloud("maintain ran", lambda: _ran(session))


def _version(servers: str | None) -> Checked:
    if servers is None:
        said = f"ccsync is {__version__}, and this server does not say its version; upgrade it"
        return Checked(name="versions agree", ok=None, detail=said)
    if servers == __version__:
        return Checked(name="versions agree", ok=True, detail=f"both are {servers}")
    said = (
        f"the server is {servers}, ccsync {__version__}; in the clone: git checkout v{servers}, "
        "then pipx install --force ."
    )
    return Checked(name="versions agree", ok=False, detail=said)


def _clock(answer: httpx.Response) -> Checked:
    text = answer.headers.get("Date")
    if not text:
        return Checked(name="clock", ok=None, detail="the server does not say its time")
    apart = abs(datetime.now(UTC) - parsedate_to_datetime(text))
    said = f"{apart.total_seconds():.0f} s apart from the server's"
    if apart <= _CLOCK:
        return Checked(name="clock", ok=True, detail=said)
    return Checked(
        name="clock", ok=False, detail=f"{said}; set this machine's clock, tokens depend on it"
    )


def _access(calendars: list[Json]) -> Checked:
    """Whether delegation, sharing and users' tokens give access, by what the last runs met."""
    broken = [each for each in calendars if each["status"] == "broken"]
    as_user = [each for each in calendars if "subject" in each["access"]]
    if broken:
        first = broken[0]
        said = (
            f"{len(broken)} of {len(calendars)} calendars are broken, {first['calendar_id']}: "
            f"{first['reason']}"
        )
        return Checked(name="access to Calendar", ok=False, detail=said)
    if not calendars:
        said = "no calendar is started; ccsync calendars start"
        return Checked(name="access to Calendar", ok=None, detail=said)
    said = f"no calendar is broken; {len(as_user)} of {len(calendars)} by delegation"
    return Checked(name="access to Calendar", ok=True, detail=said)


def _maintained(calendars: list[Json]) -> Checked:
    """Whether `maintain` runs: it syncs every calendar again within hours, and renews channels."""
    now = datetime.now(UTC)
    lapsed = [
        each
        for each in calendars
        if each["channel"] and parse_time(each["channel"]["expires"]) < now
    ]
    synced = [each["last_sync"]["at"] for each in calendars if each["last_sync"]]
    mend = "look at Cloud Scheduler's job and at the log of maintain"
    if lapsed:
        said = f"{len(lapsed)} channels have expired and were not renewed; {mend}"
        return Checked(name="maintain", ok=False, detail=said)
    if not synced:
        return Checked(name="maintain", ok=None, detail="no calendar has synced yet")
    oldest = min(synced)
    if now - parse_time(oldest) > _MAINTAIN:
        said = f"a calendar last synced {ago(oldest, now)}; {mend}"
        return Checked(name="maintain", ok=False, detail=said)
    said = f"no channel has expired, the longest without a sync is {ago(oldest, now)}"
    return Checked(name="maintain", ok=True, detail=said)


def _by_gcloud(name: str, look: Callable[[], Checked]) -> Checked:
    """Return a check that needs gcloud. A person may lack gcloud, or the right to look."""
    try:
        return look()
    except Problem as problem:
        return Checked(name=name, ok=None, detail=f"not looked at: {problem.message}")


def _queue(known: Cloud) -> Checked:
    state = state_of(known)
    if state == "RUNNING":
        return Checked(name="queue state", ok=True, detail="running")
    return Checked(name="queue state", ok=False, detail=f"{state.lower()}; ccsync resume")


def _channel_key(known: Cloud) -> Checked:
    lines, age = len(read_keys(known)), age_of(known)
    said = f"{lines} lines, the newest version {age.days} days old"
    return Checked(name="channel key", ok=True, detail=said)


def _ran(session: Session) -> Checked:
    """Whether the clock calls `maintain`: each of its runs logs one line."""
    now = datetime.now(UTC)
    found = logs_of(session).read({"message": "maintained"}, now - _TWO_PERIODS, 1)
    if found:
        said = f"the last run ended {ago(found[-1]['time'], now)}"
        return Checked(name="maintain ran", ok=True, detail=said)
    said = "no run is in the log of the last two hours; look at Cloud Scheduler's job"
    return Checked(name="maintain ran", ok=False, detail=said)
