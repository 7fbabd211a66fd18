"""What a run may cost, counted: calls to the services, imports, and steps for each listed event.

`make benchmark` measures times. These are counts, the same on every machine. A test here fails when
a change adds a round trip, an import, or a call for each event that concerns nobody (section 8).
"""

from __future__ import annotations

import functools
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import sync
from sync.context import Services
from sync.run import engine
from tests.benchmarks import cold_start
from tests.benchmarks.counting import counted
from tests.benchmarks.parts import ANNA, Json, Parts, plain, stand_ins

HOUSE = str(Path(sync.__file__).parent) + os.sep

# Each call is one round trip to Firestore.
NOTHING_CHANGED = {"get_calendar": 1, "update_calendar": 1}
NOBODY = {**NOTHING_CHANGED, "get_known": 1}
# Beside these: the lease, the link before the call, and the link after it.
ONE_CHANGE = {"get_calendar": 1, "get_known": 1, "update_calendar": 2, "commit": 2}
# The lease and its end; once for the whole listing, of what anything is remembered; the sweep.
FULL = {"get_calendar": 1, "update_calendar": 2, "links_of_calendar": 2, "list_failures": 1}

# Libraries that we chose, beside the clients that a function must have.
CHOSEN = frozenset({"attr", "attrs", "cattrs", "dateutil", "tenacity"})
WITHOUT_STORE = ("google.cloud.firestore", "sync.store", "googleapiclient", "httpx", "cattrs")
OTHER_ADAPTERS = ("sync.conferencing.zoom", "sync.conferencing.webex", "sync.conferencing.teams")
NEVER_LOADED = {
    "receive_notification": (*WITHOUT_STORE, "sync.context", "sync.run", "sync.conferencing"),
    "sync_calendar": (*OTHER_ADAPTERS, "sqlite3", "httpcore", "sync.operate.explain"),
    "manage_calendars": (*OTHER_ADAPTERS, "sqlite3", "httpcore", "sync.run.engine"),
    "maintain": (*OTHER_ADAPTERS, "sqlite3", "httpcore", "sync.run.engine"),
    "create_conference": (*OTHER_ADAPTERS, "sqlite3", "httpcore", "sync.run.engine"),
}


@pytest.fixture
def parts() -> Iterator[Parts]:
    with stand_ins() as started:
        yield started


@pytest.fixture
def built(parts: Parts, tmp_path: Path) -> Iterator[Services]:
    """A worker with a started calendar that was synced."""
    services = parts.services(tmp_path)
    engine.sync_calendar(services, ANNA)
    yield services
    services.close()


def calls_of_a_run(services: Services) -> tuple[dict[str, int], dict[str, int]]:
    """Run a sync, and count its calls to the store and to Calendar."""
    counting, store, calendar = counted(services)
    engine.sync_calendar(counting, ANNA)
    return dict(store), dict(calendar)


def in_full(services: Services) -> None:
    """Forget the sync token, so that the next run lists everything."""
    document = services.store.get_calendar(ANNA)
    assert document is not None
    services.store.update_calendar(replace(document.value, sync_token=None), document.version)


def test_a_run_without_changes_costs_two_store_operations(built: Services) -> None:
    """The calendar is read, and its new token written."""
    assert calls_of_a_run(built) == (NOTHING_CHANGED, {"list_changes": 1})


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 100])
def test_events_that_concern_nobody_cost_three_store_operations(
    parts: Parts, built: Services, number: int
) -> None:
    """However many there are on a page: the calendar, one look at what is remembered, the token."""
    for place in range(number):
        parts.calendar.seed_event(ANNA, plain(place))
    assert calls_of_a_run(built) == (NOBODY, {"list_changes": 1})


def test_a_changed_conference_costs_six_store_operations_and_one_call(
    parts: Parts, built: Services
) -> None:
    """The proof was read at first sight, and is not read again (O2)."""
    event = parts.seed(1)
    engine.sync_calendar(built, ANNA)
    parts.system.requests.clear()
    parts.calendar.edit(ANNA, event, {"summary": "Changed"})
    assert calls_of_a_run(built) == (ONE_CHANGE, {"list_changes": 1})
    assert [request.method for request in parts.system.requests] == ["PUT"]


def test_a_full_listing_reads_no_document_of_an_event_that_concerns_nobody(
    parts: Parts, built: Services
) -> None:
    """What is remembered is asked for once, not for each of four pages."""
    parts.calendar.seed_many(ANNA, (plain(number) for number in range(1_000)))
    in_full(built)
    store, calendar = calls_of_a_run(built)
    assert store == FULL
    assert calendar == {"list_changes": 4}


@pytest.mark.parametrize(
    "conference",
    [
        pytest.param({}, id="no-conference"),
        pytest.param(
            {
                "conferenceData": {
                    "conferenceId": "abc-defg-hij",
                    "conferenceSolution": {
                        "key": {"type": "hangoutsMeet"},
                        "name": "Google Meet",
                    },
                    "entryPoints": [
                        {"entryPointType": "video", "uri": "https://meet.google.com/abc-defg-hij"},
                        {"entryPointType": "phone", "uri": "tel:+49-30-1234"},
                    ],
                }
            },
            id="Meet",
        ),
    ],
)
def test_an_event_that_concerns_nobody_costs_few_calls(
    parts: Parts, built: Services, conference: Json
) -> None:
    """Each further event of a listing adds at most two calls of ours, and is not parsed."""
    counts = []
    for _ in range(2):
        parts.calendar.seed_many(ANNA, ({**plain(each), **conference} for each in range(500)))
        in_full(built)
        counts.append(counted_calls(lambda: engine.sync_calendar(built, ANNA)))
    fewer, more = counts
    assert more["Event.from_api"] == 0
    # Two more pages are listed as well, with some hundred calls each.
    assert more.total() - fewer.total() <= 2 * 500 + 2 * 200


def counted_calls(run: Callable[[], Any]) -> Counter[str]:
    """Count the calls of functions of `sync` while something runs, by their names."""
    found: Counter[str] = Counter()

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(HOUSE):
            found[frame.f_code.co_qualname] += 1

    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(None)
    return found


@functools.cache
def loaded(target: str) -> frozenset[str]:
    """The modules that a function's start loads."""
    return frozenset(cold_start.modules("import main", target))


@pytest.mark.e2e
@pytest.mark.parametrize("target", NEVER_LOADED)
def test_a_function_loads_no_client_that_it_does_not_use(target: str) -> None:
    """What another function needs is not loaded, nor an adapter that is not configured."""
    names = loaded(target)
    assert "main" in names
    assert {name for name in NEVER_LOADED[target] if name in names} == set()


@pytest.mark.e2e
@pytest.mark.parametrize("target", NEVER_LOADED)
def test_a_start_loads_its_necessary_clients_and_few_libraries_more(target: str) -> None:
    """A further library in the path of a cold start has to be named here."""
    necessary = cold_start.modules(cold_start.NECESSARY[target], target)
    more = {name.partition(".")[0] for name in loaded(target) - necessary}
    ours = {"main", "sync", "google"}
    chosen = set() if target == "receive_notification" else CHOSEN
    assert {name for name in more - sys.stdlib_module_names if name[0] != "_"} <= {*ours, *chosen}


@pytest.mark.e2e
def test_a_start_looks_through_its_objects_for_garbage_not_once() -> None:
    """The clients' objects stay, and looking through them was a sixth of a start. Afterwards the
    collector works as always."""
    assert cold_start.collections("sync_calendar") == 0
