"""A small sample of what docs/scale.md shows of 100,000 calendars: the real intake, on a clock that
is turned."""

from __future__ import annotations

import pytest

from tests.benchmarks import scale
from tests.benchmarks.pages import tables
from tests.benchmarks.queueing import Queue


@pytest.fixture(scope="module")
def outage() -> tuple[scale.Intake, scale.Outage]:
    """Two thousand calendars ring for ten minutes while no run succeeds, and then go on."""
    inside, [found] = scale.outages(2_000, [Queue()], 600)
    return inside, found


@pytest.mark.slow
def test_n3_an_isolated_change_is_one_task_due_at_once(
    outage: tuple[scale.Intake, scale.Outage],
) -> None:
    """Of two thousand calendars that ring seldom, few ring twice in a window."""
    inside, _ = outage
    assert inside.notifications > 500
    assert inside.tasks == inside.notifications
    later = inside.due - inside.created
    assert later.total() < 0.02 * inside.tasks


@pytest.mark.slow
def test_names_are_spread(outage: tuple[scale.Intake, scale.Outage]) -> None:
    """No two characters begin many names: Cloud Tasks is slower with names that share a prefix."""
    inside, _ = outage
    assert max(inside.prefixes.values()) < 6 * inside.prefixes.total() / 256


@pytest.mark.slow
def test_what_piled_up_is_delivered(outage: tuple[scale.Intake, scale.Outage]) -> None:
    """A task waits for its longest pause at most, and once more if it meets a run of its calendar
    then."""
    _, found = outage
    assert found.backlog > 500
    assert found.course.failed > found.backlog
    assert found.minutes_until_gone <= 2 * found.queue.max_backoff / 60
    assert found.course.done[-60:] != [0] * 60


@pytest.mark.slow
def test_n3_a_burst_of_many_calendars_has_two_tasks_for_each() -> None:
    """An event of three hundred guests: the second tasks are all due in the same second."""
    with scale.real_intake() as inside:
        scale.together(inside, 300)
    assert inside.notifications == 900
    assert inside.tasks == 600
    # The window ends after ten seconds, and two more allow for clocks that differ.
    assert inside.due == {0: 300, 12: 300}


def test_the_page_has_every_table() -> None:
    """`make scale` fills the tables of docs/scale.md, so the page has a place for each."""
    shown = tables(scale.PAGE.read_text())
    assert all("|" in shown[name] for name in ("intake", "hot spots", "an outage"))
