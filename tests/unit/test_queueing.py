"""The model of a queue that docs/scale.md is made with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.benchmarks.queueing import Queue, Task, busiest, deliver


def steadily(tasks: int, seconds: int) -> Iterator[Sequence[Task]]:
    """So many tasks in each second, each of another calendar, and then none."""
    for second in range(seconds):
        yield [Task(float(second), second * tasks + number) for number in range(tasks)]
    while True:
        yield []


def test_a_backlog_goes_at_the_rate_that_is_left() -> None:
    """Ten minutes of 10 tasks a second are 6,000; at 30 a second, 20 of them go in each."""
    queue = Queue(rate=30, concurrent=100, max_backoff=2)
    course = deliver(steadily(10, 3_600), queue, down=range(600), until=600)
    assert course.waiting[599] == 6_000
    assert abs(len(course.waiting) - 900) < 10


def test_no_more_run_at_once_than_the_worker_has_places() -> None:
    """Sixteen places and runs of 0.8 s are twenty runs a second, whatever the rate."""
    queue = Queue(rate=500, concurrent=16, run_seconds=0.8)
    course = deliver(steadily(100, 1), queue, until=1)
    assert course.done[:5] == [20] * 5


def test_two_tasks_of_a_calendar_do_not_run_at_once() -> None:
    """S1: the second finds the lease held, and comes again after the first pause."""
    arriving = iter([[Task(0.0, 7), Task(0.0, 7)], [], [], []])
    course = deliver(arriving, Queue(), until=1)
    assert course.done == [1, 0, 1]
    assert course.refused == 1


def test_pauses_grow_as_cloud_tasks_lets_them() -> None:
    """The pauses that terraform/queue.tf names."""
    pauses = [Queue().backoff(retries) for retries in range(11)]
    assert pauses == [2, 4, 8, 16, 32, 64, 128, 192, 256, 300, 300]


def test_the_busiest_stretch_is_found_wherever_it_lies() -> None:
    assert busiest([1, 5, 5, 1, 9], 2) == 10
