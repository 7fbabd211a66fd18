"""Where one installation stops scaling: what its busiest hour asks for, beside each limit. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.benchmarks import month, wire
from tests.benchmarks.wire import Operations

MAINTAIN_SECONDS = 420
"""How long maintain looks at calendars before it leaves the rest to the next hour: three quarters
of its time (sync/operate/maintenance.py, terraform/functions.tf)."""
REQUESTS_OF_A_PROJECT = 10_000
"""Calendar's quota of a minute, of projects made since May 2026."""

_CALENDAR = "https://developers.google.com/workspace/calendar/api/guides/quota"
_TASKS = "https://cloud.google.com/tasks/docs/quotas"
_FIRESTORE = "https://cloud.google.com/firestore/docs/best-practices"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit, `most`, and what a calendar takes of it. `then` says what to do beyond it."""

    what: str
    most: float
    of_one: float
    unit: str
    source: str
    then: str

    @property
    def calendars(self) -> float:
        """So many calendars take all of it."""
        return self.most / self.of_one


def limits(counts: Mapping[str, Operations]) -> Iterator[Limit]:
    """Yield every limit that more calendars come nearer to, the nearest first."""
    yield from sorted(_limits(counts), key=lambda limit: limit.calendars)


def _limits(counts: Mapping[str, Operations]) -> Iterator[Limit]:
    one = month.load(counts, 1)
    yield Limit(
        what="Calendar, requests of a user",
        most=600,
        of_one=one.calls * 60 * month.BUSIEST,
        unit="a minute",
        source=_CALENDAR,
        then="only where calendars are shared with the service account, which then is the one user "
        "of all: take delegation, where each calendar's user is charged",
    )
    yield Limit(
        what="Calendar, requests of a project",
        most=REQUESTS_OF_A_PROJECT,
        of_one=one.calls * 60 * month.BUSIEST,
        unit="a minute",
        source=_CALENDAR,
        then="ask Google for more, or split (below)",
    )
    yield Limit(
        what="Calendar, requests of a project that are free",
        most=1_000_000,
        of_one=month.of_a_calendar(counts).calendar / 22,
        unit="a working day",
        source=_CALENDAR,
        then="beyond it Google means to charge; longer windows and `SYNC_RECONCILE_SECONDS`, or "
        "split",
    )
    yield Limit(
        what="maintain, calendars looked at",
        most=MAINTAIN_SECONDS,
        of_one=month.MAINTAIN_SECONDS,
        unit="s an hour",
        source="../sync/operate/maintenance.py",
        then="each call begins elsewhere, so each calendar is looked at less often; split",
    )
    yield Limit(
        what="one queue, attempts started",
        most=500,
        of_one=one.runs * month.BUSIEST,
        unit="a second",
        source=_TASKS,
        then="split",
    )
    yield Limit(
        what="one queue, attempts under way",
        most=5_000,
        of_one=one.runs * month.BUSIEST * (month.RUN_SECONDS + month.PROVIDER_SECONDS),
        unit="at once",
        source=_TASKS,
        then="split",
    )
    yield Limit(
        what="Firestore, writes to a collection whose indexed field only grows (`due_at`)",
        most=500,
        of_one=_link_writes(counts) * month.BUSIEST,
        unit="a second",
        source=_FIRESTORE,
        then="`due_at` is the end of an event, so it does not only grow, but for deletions; split",
    )
    yield Limit(
        what="Firestore, a new database's traffic, which may grow by half every five minutes",
        most=500,
        of_one=one.writes * month.BUSIEST,
        unit="writes a second",
        source=_FIRESTORE,
        then="start calendars over an hour, not at once",
    )
    yield Limit(
        what="Zoom, medium calls of a Business account",
        most=60,
        of_one=one.provider * month.BUSIEST,
        unit="a second",
        source="https://developers.zoom.us/docs/api/rate-limits/",
        then="`calls_per_second` of the entry, for each instance: the limit divided by `max_sync`; "
        "what does not fit waits",
    )
    yield Limit(
        what="Microsoft Graph, requests of an app",
        most=2_000,
        of_one=one.provider * month.BUSIEST,
        unit="a second",
        source="https://learn.microsoft.com/graph/throttling-limits",
        then="an app registration of its own for each installation",
    )


def _link_writes(counts: Mapping[str, Operations]) -> float:
    """Writes of links in a second of an average working hour: all but the calendars' own."""
    ways = (wire.CHANGE, wire.FIRST, wire.DELETION)
    total = sum((counts[way].writes - 1) * month.TIMES[way] for way in ways)
    return total / (month.WORKING_HOURS * 3600)
