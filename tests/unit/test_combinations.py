"""A run leaves no story out, nor a system that only SQLite would tell of."""

from __future__ import annotations

import pytest

from tests.support.combinations import left_out

pytest_plugins = ["pytester"]

_STORIES = """
import pytest

STORES = ["sqlite", pytest.param("firestore", marks=pytest.mark.firestore)]
SYSTEMS = ["rest", "zoom", "webex", "teams"]

@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("change", ["moved", "renamed"])
def test_a_change_is_told(change, system, store): ...

@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("change", ["moved", "renamed"])
def test_a_change_is_seen(change, store): ...

@pytest.mark.firestore
def test_a_document_is_written(): ...

@pytest.mark.firestore
@pytest.mark.parametrize("system", ["teams"])
def test_a_long_id_is_stored(system): ...
"""


@pytest.fixture
def items(pytester: pytest.Pytester) -> list[pytest.Item]:
    pytester.makeini("[pytest]\nmarkers = firestore")
    return pytester.getitems(_STORIES)


def test_on_firestore_each_story_is_told_of_one_system(items: list[pytest.Item]) -> None:
    left = left_out(items)
    stay = [item.name for item in items if item not in left]
    for change in ("moved", "renamed"):
        told = [name for name in stay if name.startswith(f"test_a_change_is_told[{change}-")]
        assert len([name for name in told if name.endswith("-sqlite]")]) == 4
        assert len([name for name in told if name.endswith("-firestore]")]) == 1


def test_what_differs_in_more_than_the_system_stays(items: list[pytest.Item]) -> None:
    left = {item.name.partition("[")[0] for item in left_out(items)}
    assert left == {"test_a_change_is_told"}


def test_what_stays_does_not_depend_on_the_order(items: list[pytest.Item]) -> None:
    """Side by side, each process must leave out the same."""
    left = {item.name for item in left_out(items)}
    assert {item.name for item in left_out(reversed(items))} == left


def test_a_test_that_was_asked_for_runs(items: list[pytest.Item]) -> None:
    for item in items:
        assert left_out([item]) == []
