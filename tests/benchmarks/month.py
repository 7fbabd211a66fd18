"""A calendar's month: how often each thing happens, and its price by Google's lists. Pure.

Every number that is assumed rather than counted stands here once, with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from tests.benchmarks import wire
from tests.benchmarks.wire import Operations

SIZES = (10, 1_000, 100_000, 1_000_000)

WORKING_HOURS = 176
"""Of a month: 22 days of 8 hours. Nearly all changes are made in them."""

BUSIEST = 2.0
"""How much more than an average working hour the busiest hour has. Assumed."""

HOURS = 730

TIMES: dict[str, float] = {
    wire.NOBODY: 600,  # 20 changed events a day, each notified once, none in one window
    wire.CHANGE: 110,
    wire.FIRST: 20,
    wire.DELETION: 20,
    wire.QUIET: 100,  # nights and weekends
    wire.HOUR_OF_ONE: HOURS,
    wire.RENEWAL: HOURS / 168,
}
"""How often each happens to a calendar in a month. 150 of the 600 events concern a conference."""

RECEIVE_SECONDS = 0.1
"""How long an instance is billed for a notification: the least that is billed."""
RUN_SECONDS = 0.4
"""The same for a run that only lists. Assumed: Calendar's answer is most of it."""
PROVIDER_SECONDS = 0.4
"""On top for a run that calls a provider. Assumed."""
MAINTAIN_SECONDS = 0.0056
"""For each calendar and hour: 60 ms to read a page of a hundred, and 30 ms to create a task for one
in six, one after the other. Assumed."""
TOGETHER = 4.0
"""Of the runs that are under way at once, so many share an instance, which is billed once for all.
Eight is the most. Assumed, and only where enough are under way."""
RUNS_FOR_SHARING = 8
"""So many runs must be under way, on average, before they share instances."""

WORKER_GIB, INTAKE_GIB = 1.0, 0.5
"""Memory of the instances: terraform/functions.tf."""

CONCURRENCY = 8
"""Runs that one instance of the worker has under way: terraform/functions.tf."""

RATES = (50, 150, 450)
"""Rates of the queue, in tasks a second: the default, as much as Calendar's default quota takes,
and nearly as much as one queue (500)."""

ROOM = 2.0
"""So many times the places that the queue's rate needs: a provider may take twice as long."""

STORED_BYTES = 300 * 1_500
"""300 links, 1.5 KB each with the entries of the indexes. Assumed."""

LOGGED = {"sync": 1_500, "receive": 1_000, "maintained": 280}
"""Bytes of each run (1 KB is Cloud Run's record of the request), of each notification, and of each
calendar and hour (the queue logs a tenth of its operations). Assumed."""

SECRETS = 2
SECRETS_READ_EVERY = 300
"""Seconds for which an instance remembers a secret: sync/google/secret_manager.py."""

GIB = 2.0**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What Google asks for: US dollars for each `per` units above the `free` ones of a month.

    `source` is where the price stands.
    """

    what: str
    dollars: float
    per: float
    free: float
    unit: str = ""
    source: str

    def of(self, units: float) -> float:
        return max(0.0, units - self.free) * self.dollars / self.per


_RUN = "https://cloud.google.com/run/pricing"
_FIRESTORE = "https://cloud.google.com/firestore/pricing"
_SECRETS = "https://cloud.google.com/secret-manager/pricing"

MILLION = 1e6
PRICES = {
    "cpu": Price(what="CPU-seconds", dollars=24, per=MILLION, free=180_000, source=_RUN),
    "memory": Price(what="GiB-seconds", dollars=2.5, per=MILLION, free=360_000, source=_RUN),
    "requests": Price(what="requests", dollars=0.4, per=MILLION, free=2e6, source=_RUN),
    "tasks": Price(
        what="task operations",
        dollars=0.4,
        per=MILLION,
        free=1e6,
        source="https://cloud.google.com/tasks/docs/pricing",
    ),
    "reads": Price(what="documents read", dollars=0.3, per=MILLION, free=1.5e6, source=_FIRESTORE),
    "writes": Price(
        what="documents written", dollars=0.9, per=MILLION, free=0.6e6, source=_FIRESTORE
    ),
    "deletes": Price(
        what="documents deleted", dollars=0.1, per=MILLION, free=0.6e6, source=_FIRESTORE
    ),
    "stored": Price(what="stored", dollars=0.15, per=1, free=1, unit="GiB", source=_FIRESTORE),
    "log": Price(
        what="log",
        dollars=0.5,
        per=1,
        free=50,
        unit="GiB",
        source="https://cloud.google.com/stackdriver/pricing",
    ),
    "secrets": Price(what="secret versions", dollars=0.06, per=1, free=6, source=_SECRETS),
    "accesses": Price(what="secrets read", dollars=3, per=MILLION, free=10_000, source=_SECRETS),
    "schedule": Price(
        what="schedules",
        dollars=0.1,
        per=1,
        free=3,
        source="https://cloud.google.com/scheduler/pricing",
    ),
}
"""List prices of a US region. Firestore's free amounts are those of a day, thirty times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What so many calendars ask of a second, in an average working hour and in the busiest."""

    calendars: int
    notifications: float
    runs: float
    calls: float
    writes: float
    provider: float

    @property
    def busiest_runs(self) -> float:
        return self.runs * BUSIEST

    @property
    def under_way(self) -> float:
        """Runs at once in an average working hour: arrivals a second times seconds (Little)."""
        return self.runs * RUN_SECONDS

    @property
    def busiest_calls(self) -> float:
        """Calls to Calendar in a minute of the busiest hour."""
        return self.calls * 60 * BUSIEST

    @property
    def busiest_under_way(self) -> float:
        """Runs at once in the busiest hour, if each calls a provider as well."""
        return self.busiest_runs * (RUN_SECONDS + PROVIDER_SECONDS)

    @property
    def instances(self) -> int:
        """Instances of the worker that the busiest hour needs."""
        return ceil(self.busiest_under_way / CONCURRENCY)


def instances(rate: float) -> int:
    """Return the instances of the worker that a queue's rate needs, and some room."""
    return ceil(rate * (RUN_SECONDS + PROVIDER_SECONDS) / CONCURRENCY * ROOM)


def of_a_calendar(counts: Mapping[str, Operations]) -> Operations:
    """What one calendar takes in a month."""
    total = Operations()
    for way, times in TIMES.items():
        total += counts[way] * times
    return total


def load(counts: Mapping[str, Operations], calendars: int) -> Load:
    """Spread a month's operations over its working hours. What nights take is counted as well."""
    month = of_a_calendar(counts) * calendars
    seconds = WORKING_HOURS * 3600
    return Load(
        calendars=calendars,
        notifications=month.receive / seconds,
        runs=month.sync / seconds,
        calls=month.calendar / seconds,
        writes=month.writes / seconds,
        provider=month.provider / seconds,
    )


def units(counts: Mapping[str, Operations], calendars: int) -> dict[str, float]:
    """Return the billed units of a month, by the keys of `PRICES`."""
    one = of_a_calendar(counts)
    month = one * calendars + counts[wire.HOUR] * HOURS
    busy = load(counts, calendars)
    together = TOGETHER if busy.under_way >= RUNS_FOR_SHARING else 1.0
    worker = (month.sync * RUN_SECONDS + month.provider * PROVIDER_SECONDS) / together
    intake = month.receive * RECEIVE_SECONDS / together
    maintain = HOURS * max(1.0, calendars * MAINTAIN_SECONDS)
    logged = (
        month.sync * LOGGED["sync"]
        + month.receive * LOGGED["receive"]
        + HOURS * calendars * LOGGED["maintained"]
    )
    instances = max(1, busy.instances)
    return {
        "cpu": worker + intake + maintain,
        "memory": worker * WORKER_GIB + (intake + maintain) * INTAKE_GIB,
        "requests": month.receive + month.sync + HOURS,
        "tasks": month.creates + month.deliveries,
        "reads": month.reads,
        "writes": month.writes,
        "deletes": month.deletes,
        "stored": calendars * STORED_BYTES / GIB,
        "log": logged / GIB,
        "secrets": SECRETS,
        "accesses": instances * SECRETS * WORKING_HOURS * 3600 / SECRETS_READ_EVERY,
        "schedule": 1,
    }


def dollars(counts: Mapping[str, Operations], calendars: int) -> dict[str, float]:
    """Return what each of `PRICES` comes to in a month."""
    return {key: PRICES[key].of(number) for key, number in units(counts, calendars).items()}
