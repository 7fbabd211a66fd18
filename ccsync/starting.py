"""Starting many calendars side by side: who, by which access, with a report that can be resumed."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from ccsync.errors import Misused, NoAccess, Problem, Unreachable, unreadable
from ccsync.server import Server, calendar_path

Json = dict[str, Any]

_ID_COLUMNS = ("calendarid", "calendar", "email", "mail", "user", "emailaddress", "primaryemail")
"""Names of the column with calendar ids, without case, blanks and punctuation. Google's own export
of users says `Email Address [Required]`."""
_REPORT_COLUMNS = ("calendar_id", "outcome", "tries", "reason")

STARTED, UNCHANGED, REFUSED, UNREACHABLE = "started", "unchanged", "refused", "unreachable"
WOULD_START = "would start"
DONE = frozenset({STARTED, UNCHANGED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One calendar to start, and the body of its PUT."""

    calendar_id: str
    access: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one calendar. `tries` is 0 where nothing was sent."""

    calendar_id: str
    outcome: str
    tries: int = 0
    reason: str = ""

    def json(self) -> Json:
        return {name: getattr(self, name) for name in _REPORT_COLUMNS}


def read_users(path: Path, subject: Callable[[str], str | None]) -> list[Wanted]:
    """Return the calendars that a CSV file names, each once, in the file's order.

    The column with the ids is named calendar_id, email, or as in Google's export of users. Columns
    `subject` and `credentials_secret` choose the access of a row. `subject` says what it is else.
    A file without a heading has the ids in its first column. Raises Misused with the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [(number, row) for number, row in enumerate(csv.reader(file), 1) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise unreadable(path, error, "give --users a CSV file in UTF-8") from None
    if not rows:
        raise Misused(f"{path} is empty; write one calendar id a line")
    heading = [re.sub(r"\[.*?\]|[^a-z]", "", name.lower()) for name in rows[0][1]]
    column = next((heading.index(name) for name in _ID_COLUMNS if name in heading), None)
    if column is None and not any("@" in cell for cell in rows[0][1]):
        raise Misused(f"{path} has no column of calendar ids; name one of them calendar_id")
    if column is None:
        heading, column = [], next(i for i, cell in enumerate(rows[0][1]) if "@" in cell)
    else:
        rows = rows[1:]
    wanted: dict[str, Wanted] = {}
    for number, row in rows:
        calendar_id = row[column].strip() if column < len(row) else ""
        if not calendar_id:
            raise Misused(f"line {number} of {path} has no calendar id; correct it")
        access = _access(dict(zip(heading, row, strict=False)), subject(calendar_id))
        wanted.setdefault(calendar_id, Wanted(calendar_id=calendar_id, access=access))
    return list(wanted.values())


def _access(row: dict[str, str], subject: str | None) -> dict[str, str]:
    if secret := row.get("credentialssecret", "").strip():
        return {"credentials_secret": secret}
    named = row.get("subject", "").strip() or subject
    return {"subject": named} if named else {}


def unchanged(wanted: Iterable[Wanted], known: Iterable[Json]) -> set[str]:
    """Return the ids of those that are started already, by the same access, and well."""
    access = {each.calendar_id: each.access for each in wanted}
    return {
        each["calendar_id"]
        for each in known
        if access.get(each["calendar_id"]) == each["access"]
        and each["status"] != "broken"
        # Without its channel a start has not ended.
        and (each["status"] != "starting" or each["channel"])
    }


def start_all(server: Server, wanted: Sequence[Wanted], parallel: int) -> Iterator[Outcome]:
    """Start calendars side by side and yield each as it ends. Raises NoAccess, and sends no more.

    Each call is repeated a few times where repeating can help.
    """
    server.sign_in()
    pool = ThreadPoolExecutor(parallel, thread_name_prefix="start")
    try:
        running = [pool.submit(_start, server, each) for each in wanted]
        for each in as_completed(running):
            yield each.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start(server: Server, wanted: Wanted) -> Outcome:
    def ended(outcome: str, tries: int, reason: str = "") -> Outcome:
        return Outcome(calendar_id=wanted.calendar_id, outcome=outcome, tries=tries, reason=reason)

    path = calendar_path(wanted.calendar_id)
    try:
        answer, _, tries = server.counted("PUT", path, wanted.access)
    except NoAccess:
        raise
    except Problem as problem:
        outcome = UNREACHABLE if isinstance(problem, Unreachable) else REFUSED
        return ended(outcome, problem.tries, problem.message)
    return ended(STARTED, tries, answer.get("reason") or "")


class Report:
    """A CSV file with one line for each calendar, written as they end, so that a run that was
    stopped can be resumed."""

    def __init__(self, path: Path, done: Iterable[Outcome] = ()) -> None:
        """Begin the file with what an earlier run has done. Raises Misused."""
        self.path = path
        self.outcomes = {each.calendar_id: each for each in done}
        try:
            self._file: TextIO = path.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise Misused(f"{path} cannot be written ({error.strerror}); give --report") from None
        self._write(self.outcomes.values())

    def add(self, outcome: Outcome) -> None:
        """Write one line. It is in the file when this returns."""
        self.outcomes[outcome.calendar_id] = outcome
        csv.writer(self._file).writerow(_line(outcome))
        self._file.flush()

    def close(self, order: Sequence[str]) -> list[Outcome]:
        """Write the lines anew in the order of the calendars, and return them. Repeatable."""
        self._file.close()
        ordered = [self.outcomes[each] for each in order if each in self.outcomes]
        draft = self.path.with_name(f"{self.path.name}.new")
        with draft.open("w", encoding="utf-8", newline="") as self._file:
            self._write(ordered)
        os.replace(draft, self.path)
        return ordered

    def _write(self, outcomes: Iterable[Outcome]) -> None:
        writer = csv.writer(self._file)
        writer.writerow(_REPORT_COLUMNS)
        writer.writerows(_line(each) for each in outcomes)
        self._file.flush()


def _line(outcome: Outcome) -> list[object]:
    return [getattr(outcome, name) for name in _REPORT_COLUMNS]


def read_report(path: Path) -> list[Outcome]:
    """Return the outcomes of a former run. None if there is no report. Raises Misused."""
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [
                Outcome(
                    calendar_id=row["calendar_id"],
                    outcome=row["outcome"],
                    tries=int(row["tries"]),
                    reason=row["reason"],
                )
                for row in csv.DictReader(file)
            ]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError, TypeError):
        raise Misused(f"{path} is no report of ours; give --report another file") from None
