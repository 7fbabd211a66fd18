"""Random walks that must end in step, whatever people do and whatever goes wrong.

Events are edited, copied, split, given away and deleted; occurrences differ; strangers put their
conferences into our events; every call to the store, the queue, the provider and Calendar fails,
before or after its effect; workers die, stand still and come back; tasks come twice, early, late or
never; operators start, stop, replay, retry and dismiss. `tests.support.walk_people` and `walk_work`
have the steps, `walk_end` what holds at the end. `make soak` takes as many as one likes: CI 300.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.soak import courses, packed
from tests.support.stand_ins import StandIns, stand_ins
from tests.support.walking import Course, shortened, take

pytestmark = pytest.mark.slow

# So many walks share their stand-ins, which take a second to start.
_TOGETHER = 8
_ON_SQLITE = courses(16, "sqlite", first=1000)
_ON_FIRESTORE = courses(4, "firestore", first=1100)


def _named(chosen: list[Course]) -> str:
    return f"{chosen[0].seed}-{chosen[-1].seed}"


@pytest.fixture(scope="module")
def running() -> Iterator[StandIns]:
    with stand_ins() as started:
        yield started


@pytest.mark.timeout(600)
@pytest.mark.parametrize("chosen", packed(_ON_SQLITE, _TOGETHER), ids=_named)
def test_once_quiet_conferences_equal_the_calendar(running: StandIns, chosen: list[Course]) -> None:
    """Every event leads to a conference that is there and says what its leading event says; no
    stranger's was written; none that we made or followed is left without an event."""
    _take_all(running, chosen)


@pytest.mark.firestore
@pytest.mark.usefixtures("firestore_emulator")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("chosen", packed(_ON_FIRESTORE, _TOGETHER), ids=_named)
def test_once_quiet_conferences_equal_the_calendar_on_firestore(
    running: StandIns,
    firestore_emulator: str,
    monkeypatch: pytest.MonkeyPatch,
    chosen: list[Course],
) -> None:
    """The same, where documents live in Google's own emulator."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore_emulator)
    _take_all(running, chosen)


def _take_all(running: StandIns, chosen: list[Course]) -> None:
    for course in chosen:
        failed = take(running, course)
        if failed is not None:
            pytest.fail(f"{course}\n{shortened(running, failed)}")
