"""The table of outages in docs/promises.md: it has every row, and a sample is still true."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.outages import cell, said
from tests.support.outage import DEPENDENCIES, DURATIONS, WAYS, Outage, Site, site, suffer


@pytest.fixture(scope="module")
def stand() -> Iterator[Site]:
    with site() as stand:
        yield stand


def test_the_table_has_every_outage_and_loses_nothing() -> None:
    """Each dependency, answering in each way, for each while."""
    assert list(said()) == [
        Outage(dependency=dependency, way=way, lasts=lasts)
        for dependency in DEPENDENCIES
        for way in WAYS
        for lasts in DURATIONS
    ]
    assert [each for each, text in said().items() if "lost" in text] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "outage",
    [
        pytest.param(Outage(dependency="calendar", way="404", lasts="a minute"), id="W3-broken"),
        pytest.param(Outage(dependency="calendar", way="a page", lasts="an hour"), id="S7-retried"),
        pytest.param(Outage(dependency="provider", way="5xx", lasts="an hour"), id="C5-retried"),
        pytest.param(Outage(dependency="provider", way="403", lasts="an hour"), id="C5-parked"),
        pytest.param(Outage(dependency="queue", way="refused", lasts="a minute"), id="N4-refused"),
        pytest.param(Outage(dependency="secrets", way="403", lasts="an hour"), id="C5-refused"),
    ],
)
def test_an_outage_ends_as_the_table_says(stand: Site, outage: Outage) -> None:
    """What is met at its end, and how long until all is in step."""
    outcome = suffer(stand, outage)
    assert (outcome.lost, outcome.crashes) == ((), ())
    assert cell(outcome) == said()[outage]


@pytest.mark.firestore
def test_s5_an_outage_of_the_store_ends_as_the_table_says(firestore_emulator: str) -> None:
    """Tasks are brought again until the store answers."""
    outage = Outage(dependency="store", way="403", lasts="a minute")
    with site(firestore_emulator) as stand:
        outcome = suffer(stand, outage)
    assert (outcome.lost, outcome.crashes) == ((), ())
    assert cell(outcome) == said()[outage]
