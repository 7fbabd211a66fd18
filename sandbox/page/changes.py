"""Which record belongs to which change of an event: the waterfall of each change (pure).

A change begins when a person edits an event. What follows is told to the `Timeline` as it is seen:
the notification, the task, the run, its listing, the calls to the provider, the write-back. Each
becomes a step of every change that it serves.

    timeline = Timeline()
    timeline.edited(at, event, "moved")
    timeline.pushed(at, "anna@example.com", 204)
    timeline.ran(…)
    timeline.changes[-1].steps        # the push and the run, in seconds since the edit
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

Json = dict[str, Any]
Kind = Literal["push", "queue", "run", "listing", "provider", "write"]

MOST_CHANGES = 60
"""Older changes are forgotten, so that a page that stays open for days stays light."""
MOST_STEPS = 40
"""Of one change. A burst needs no more to be understood."""
_BURST_SECONDS = 2.0
_SOON = timedelta(seconds=0.2)
_PROMPT = timedelta(seconds=0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventKey:
    """One event of one calendar."""

    calendar_id: str
    event_id: str

    def __str__(self) -> str:
        return f"{self.calendar_id}/{self.event_id}"


@dataclass(slots=True, kw_only=True)
class Step:
    """One thing that happened for a change; times in seconds since the edit."""

    kind: Kind
    begin: float
    end: float
    text: str
    good: bool = True
    count: int = 1
    """How many of the kind came together and read the same."""


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What `explain` says of the event after the change was applied."""

    rule: str
    reason: str


@dataclass(slots=True, kw_only=True)
class Change:
    """One edit of one event, or several that one run took together."""

    number: int
    at: datetime
    event: EventKey
    title: str
    what: str
    conference_id: str | None
    count: int = 1
    steps: list[Step] = field(default_factory=list)
    settled: bool = False
    lag: float | None = None
    """Seconds from the edit to the provider's last answer; None: the provider was not told."""
    verdict: Verdict | None = None

    def shown(self) -> Json:
        return {
            "number": self.number,
            "at": self.at.isoformat(),
            "event": str(self.event),
            "title": self.title,
            "what": self.what,
            "count": self.count,
            "steps": [asdict(step) for step in self.steps],
            "settled": self.settled,
            "lag": self.lag,
            "verdict": asdict(self.verdict) if self.verdict else None,
        }


class Timeline:
    """The latest changes, the oldest first. The caller sees to it that calls do not overlap."""

    def __init__(self) -> None:
        self.changes: deque[Change] = deque(maxlen=MOST_CHANGES)
        self._number = 0

    def edited(
        self, at: datetime, event: EventKey, title: str, what: str, conference_id: str | None
    ) -> Change:
        """A person edited an event. Edits that no run has taken up yet are one change."""
        for change in reversed(self.changes):
            if change.event != event:
                continue
            if not change.settled and not any(step.kind == "run" for step in change.steps):
                change.count += 1
                change.title, change.conference_id = title, conference_id or change.conference_id
                if what not in change.what.split(", "):
                    change.what = f"{change.what}, {what}"
                return change
            break
        self._number += 1
        made = Change(
            number=self._number,
            at=at,
            event=event,
            title=title,
            what=what,
            conference_id=conference_id,
        )
        self.changes.append(made)
        return made

    def pushed(
        self, at: datetime, calendar_id: str, status: int | None, error: str | None = None
    ) -> None:
        """Calendar sent a notification; without a status it was not delivered."""
        answered = f"answered {status}" if status else f"not delivered: {error}"
        text, good = f"notification, {answered}", status is not None and status < 300
        for change in self._rung_for(calendar_id, at):
            # Only the answer has a moment. What is answered soon was sent with the edit.
            begin = change.at if at - change.at < _PROMPT else at
            self._add([change], "push", begin, at, text, good=good)

    def queued(self, at: datetime, body: Any, outcome: str, due: datetime | None) -> None:
        """A task was asked for; `outcome` is `created`, `exists` or an error."""
        # The due time stands in the bar. In words it would tell the tasks of a burst apart.
        words = {"created": "task created", "exists": "merged with a waiting task"}
        text = words.get(outcome, f"task refused: {outcome}")
        if due is not None and due - at > _SOON:
            text += ", to run later"
        good = outcome in words
        self._add(self._served_by(body), "queue", at, max(at, due or at), text, good=good)

    def ran(self, begin: datetime, end: datetime, body: Any, answer: str) -> list[Change]:
        """The worker answered a task; returns the changes that are settled by that."""
        good = answer == "200"
        text = "run" if good else f"run, answered {answer}"
        served = self._served_by(body)
        self._add(served, "run", begin, end, text, good=good)
        settled = [each for each in served if good and not each.settled and begin >= each.at]
        for change in settled:
            change.settled = True
        return settled

    def listed(self, begin: datetime, end: datetime, calendar_id: str, *, full: bool) -> None:
        text = "listed in full" if full else "listed its changes"
        self._add(self._open(calendar_id), "listing", begin, end, text)

    def called(
        self, begin: datetime, end: datetime, conference_id: str | None, text: str, *, good: bool
    ) -> None:
        """The provider answered a call, which concerned this conference, or a new one (None).

        A read of a conference whose changes are all settled is `explain`'s, and not shown.
        """
        served = self._carrying(conference_id)
        if text.startswith("GET"):
            served = [change for change in served if not change.settled]
        self._add(served, "provider", begin, end, text, good=good)
        for change in served:
            if good and not text.startswith("GET"):
                change.lag = (end - change.at).total_seconds()

    def wrote(self, begin: datetime, end: datetime, event: EventKey, status: int | None) -> None:
        """The functions wrote to the event; 412 is a person's edit that came first."""
        good = status is not None and status < 300
        text = "wrote to the event" if good else f"wrote to the event, answered {status}"
        latest = self._latest(event)
        self._add([latest] if latest else [], "write", begin, end, text, good=good)

    def lag(self) -> float | None:
        """Of the last change that reached a conference."""
        return next((each.lag for each in reversed(self.changes) if each.lag is not None), None)

    def open(self) -> int:
        """How many changes no run has taken up."""
        return sum(not change.settled for change in self.changes)

    def _open(self, calendar_id: str) -> list[Change]:
        return [
            change
            for change in self.changes
            if not change.settled and change.event.calendar_id == calendar_id
        ]

    def _rung_for(self, calendar_id: str, at: datetime) -> list[Change]:
        """The open changes, and those whose run was over before its notification was answered."""
        return [
            change
            for change in self.changes
            if change.event.calendar_id == calendar_id
            and (
                not change.settled
                or (
                    (at - change.at).total_seconds() < _BURST_SECONDS
                    and all(step.kind != "push" for step in change.steps)
                )
            )
        ]

    def _latest(self, event: EventKey) -> Change | None:
        return next((each for each in reversed(self.changes) if each.event == event), None)

    def _served_by(self, body: Any) -> list[Change]:
        """The changes that a task serves: those open in its calendar, or one event's latest."""
        if not isinstance(body, dict) or "calendar_id" not in body:
            return []
        calendar_id = str(body["calendar_id"])
        if "event_id" not in body:
            return self._open(calendar_id)
        latest = self._latest(EventKey(calendar_id=calendar_id, event_id=str(body["event_id"])))
        return [latest] if latest else []

    def _carrying(self, conference_id: str | None) -> list[Change]:
        if conference_id is None:
            waiting = [each for each in self.changes if not each.settled]
            return waiting[-1:]
        found = [each for each in self.changes if each.conference_id == conference_id]
        return [each for each in found if not each.settled] or found[-1:]

    @staticmethod
    def _add(
        served: Iterable[Change],
        kind: Kind,
        begin: datetime,
        end: datetime,
        text: str,
        *,
        good: bool = True,
    ) -> None:
        for change in served:
            since = max(0.0, (begin - change.at).total_seconds())
            until = max(since, (end - change.at).total_seconds())
            step = Step(kind=kind, begin=since, end=until, text=text, good=good)
            like = next((each for each in change.steps if _reads_like(each, step)), None)
            if like is not None:
                like.count += 1
                like.end = max(like.end, until)
            elif len(change.steps) < MOST_STEPS:
                change.steps.append(step)


def _reads_like(one: Step, another: Step) -> bool:
    """Whether two steps of a burst can be shown as one."""
    same = (one.kind, one.text, one.good) == (another.kind, another.text, another.good)
    return same and one.kind in ("push", "queue") and another.begin - one.begin < _BURST_SECONDS


def what_changed(before: Json | None, after: Json) -> str:
    """Return in a word or two what a person did to an event.

    `what_changed({…, "summary": "A"}, {…, "summary": "B"})` is "renamed".
    """
    if before is None:
        return "created"
    if after.get("status") == "cancelled":
        return "deleted"
    if before.get("status") == "cancelled":
        return "restored"
    words = [
        word for word, names in _WORDS.items() if any(_differ(before, after, n) for n in names)
    ]
    return ", ".join(words) or "edited"


_WORDS: dict[str, tuple[str, ...]] = {
    "moved": ("start", "end"),
    "renamed": ("summary",),
    "repeated in another way": ("recurrence",),
    "given another conference": ("conferenceData",),
    "located elsewhere": ("location",),
    "described": ("description",),
    "given other guests": ("attendees",),
    "coloured": ("colorId",),
    "hidden or shown": ("visibility",),
}


def _differ(before: Json, after: Json, name: str) -> bool:
    return bool(before.get(name) != after.get(name))
