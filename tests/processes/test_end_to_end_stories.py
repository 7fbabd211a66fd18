"""The hard half through real processes, on both stores: series, shared conferences, write-back,
long runs, channels."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.world import World, calendar_path
from tests import load
from tests.support.bench import timed
from tests.support.under_load import Load, put_on

# Waits end by an observed state, and are long enough for a machine ten times slower.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("firestore", marks=pytest.mark.firestore)]
)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """One world for each store; every test has calendars of its own."""
    firestore = (
        request.getfixturevalue("firestore_emulator") if request.param == "firestore" else None
    )
    settings = {"SYNC_COALESCE_SECONDS": "0", "SYNC_RECONCILE_SECONDS": "2"}
    with World(
        tmp_path_factory.mktemp("stories"),
        firestore=firestore,
        project="stories",
        # The events of two calendars carry one conference (O2).
        hosts=["*@example.com"],
        settings=settings,
    ) as world:
        yield world


@pytest.fixture
def anna(world: World) -> str:
    return started(world, "anna")


@pytest.fixture
def team(world: World) -> str:
    return started(world, "team")


def started(world: World, name: str) -> str:
    calendar_id = f"{name}-{time.time_ns()}@example.com"
    world.start_calendar(calendar_id)
    return calendar_id


def stored(world: World, conference_id: str) -> dict[str, Any]:
    return world.conferencing.conferences.get(conference_id, {})


def seed(
    world: World, calendar_id: str, title: str, data: Any = None, **fields: Any
) -> tuple[str, str]:
    data = data or world.conference()
    event = world.calendar.seed_event(
        calendar_id, {"summary": title, **timed("10:00", "11:00"), "conferenceData": data, **fields}
    )
    return event["id"], data["conferenceId"]


def titled(world: World, conference_id: str, title: str) -> None:
    world.wait(lambda: stored(world, conference_id).get("title") == title, f"the title {title}")


def grace_passed(world: World) -> None:
    """Wait until no deletion waits for its grace any more, nor anything else."""
    grace = float(world.environment()["SYNC_DELETE_GRACE_SECONDS"])
    world.quiet(horizon=grace + 1)


def deletions(world: World, conference_id: str) -> int:
    return sum(
        call.method == "DELETE" and call.path.endswith(conference_id)
        for call in list(world.conferencing.requests)
    )


def test_e5_a_series_with_a_moved_and_a_cancelled_occurrence_is_split_and_deleted(
    world: World, anna: str
) -> None:
    """The occurrences follow, both halves share the conference, and it goes with the second."""
    series, conference_id = seed(world, anna, "Weekly", recurrence=["RRULE:FREQ=WEEKLY;COUNT=6"])
    titled(world, conference_id, "Weekly")
    whole = world.calendar.get(anna, series)
    assert whole is not None
    start = datetime.fromisoformat(whole["start"]["dateTime"])
    second, third, fourth = (
        (start + timedelta(weeks=weeks)).astimezone(UTC) for weeks in (1, 2, 3)
    )
    world.calendar.edit(anna, f"{series}_{second:%Y%m%dT%H%M%SZ}", timed("12:00", "13:00", days=9))
    world.calendar.cancel(anna, f"{series}_{third:%Y%m%dT%H%M%SZ}")
    world.wait(lambda: len(stored(world, conference_id)["occurrences"]) == 2, "both occurrences")
    half = world.calendar.split(
        anna, series, f"{fourth:%Y-%m-%dT%H:%M:%SZ}", {"summary": "Second half"}
    )["id"]
    world.wait(
        lambda: "UNTIL" in str(stored(world, conference_id).get("recurrence")),
        "the first half's end",
    )
    world.calendar.cancel(anna, series)
    titled(world, conference_id, "Second half")
    world.calendar.cancel(anna, half)
    world.wait(lambda: conference_id not in world.conferencing.conferences, "the deletion")
    assert deletions(world, conference_id) == 1


def test_e7_e2_copies_and_a_move_between_calendars_keep_the_conference(
    world: World, anna: str, team: str
) -> None:
    """It follows the original, then its copy in another calendar, then that one's move back;
    deleted once, at last."""
    data = world.conference()
    original, conference_id = seed(world, anna, "Original", data)
    titled(world, conference_id, "Original")
    copy, _ = seed(world, team, "Copy", data)
    world.quiet(horizon=1)
    world.calendar.cancel(anna, original)
    titled(world, conference_id, "Copy")
    world.calendar.move(team, copy, anna)
    world.calendar.edit(anna, copy, {"summary": "Home again"})
    titled(world, conference_id, "Home again")
    grace_passed(world)
    assert deletions(world, conference_id) == 0
    world.calendar.cancel(anna, copy)
    world.wait(lambda: conference_id not in world.conferencing.conferences, "the deletion")
    assert deletions(world, conference_id) == 1


def test_e2_deleted_restored_and_deleted_again_is_right_at_each_moment(
    world: World, anna: str
) -> None:
    """Restored within the grace, nothing reaches the provider; deleted for good, it goes."""
    event_id, conference_id = seed(world, anna, "Wavering")
    titled(world, conference_id, "Wavering")
    world.quiet(horizon=1)
    calls = len(world.conferencing.requests)
    # The queue keeps the deletion until the event is restored, however slow the machine is.
    world.tasks.pause()
    try:
        world.calendar.cancel(anna, event_id)
        assert world.deliver({"calendar_id": anna}).json()["changes"] == 1
        assert any("event_id" in task.body for task in world.tasks.pending())
        world.calendar.restore(anna, event_id)
    finally:
        world.tasks.resume()
    grace_passed(world)
    assert len(world.conferencing.requests) == calls
    world.calendar.cancel(anna, event_id)
    world.wait(lambda: conference_id not in world.conferencing.conferences, "the deletion")


def test_c4_w4_a_lost_conference_is_created_once_and_every_event_shows_the_new_way_in(
    world: World, anna: str, team: str
) -> None:
    """The answer of the creation is lost as well; the event and its copy get the link, and a
    later edit is followed."""
    data = world.conference()
    event_id, conference_id = seed(world, anna, "Lost", data)
    titled(world, conference_id, "Lost")
    copy, _ = seed(world, team, "Copy", data)
    world.quiet(horizon=1)
    created = world.conferencing.created
    world.conferencing.forget(conference_id)
    world.conferencing.faults.add(method="POST", after=True, truncate=True)
    world.calendar.edit(anna, event_id, {"summary": "Found"})
    both = ((anna, event_id), (team, copy))
    world.wait(
        lambda: all(
            "meet.example.com" in str((world.calendar.get(*one) or {}).get("location"))
            for one in both
        ),
        "the new way in",
    )
    assert world.conferencing.created == created + 1
    new = (world.calendar.get(anna, event_id) or {})["location"].rpartition("/")[2]
    assert new != conference_id
    world.calendar.edit(anna, event_id, {"summary": "Found, and renamed"})
    titled(world, new, "Found, and renamed")


def test_h2_h3_a_channel_is_renewed_and_an_orphan_stopped(world: World, anna: str) -> None:
    """`maintain` replaces a channel that ends soon; the one of a calendar that was stopped is
    stopped when it rings."""
    [old] = [channel["id"] for channel in world.calendar.channels(anna)]
    world.calendar.settings.max_channel_seconds = 3600
    try:
        other = started(world, "short")
        [short] = [channel["id"] for channel in world.calendar.channels(other)]
        assert world.maintain()["renewed"] >= 1
        assert [channel["id"] for channel in world.calendar.channels(other)] != [short]
    finally:
        world.calendar.settings.max_channel_seconds = 2_592_000
    assert [channel["id"] for channel in world.calendar.channels(anna)] == [old]
    world.calendar.fail_next(reason="backendError", path="/stop$", times=1)
    assert world.manage("DELETE", calendar_path(anna)).status_code == 204
    assert len(world.calendar.channels(anna)) == 1
    world.calendar.ring(anna)
    world.wait(lambda: not world.calendar.channels(anna), "the orphan to be stopped")


def test_w3_a_broken_calendar_says_why_and_heals(world: World, anna: str) -> None:
    """Refused once, it is tried again; refused again, it is broken and tells what to do. Once
    access is back, the next sync puts everything right."""
    event_id, conference_id = seed(world, anna, "Hidden")
    titled(world, conference_id, "Hidden")
    world.quiet(horizon=1)
    world.tasks.pause()
    try:
        world.calendar.withdraw_access(anna)
        # S7: 200, for the calendar's one retry waits in the queue.
        answer = world.deliver({"calendar_id": anna})
        assert (answer.status_code, answer.json()["kind"]) == (200, "none")
        assert "share" in answer.json()["reason"]
        state = world.status(anna)
        assert (state["status"], state["failing"]["runs"]) == ("ok", 1)
        assert state["failing"]["reason"] == answer.json()["reason"] == state["reason"]
        # A late bell may wait beside it.
        assert {"calendar_id": anna} in [task.body for task in world.tasks.pending()]
    finally:
        world.tasks.resume()
    world.wait(lambda: world.status(anna)["status"] == "broken", "the second refusal")
    assert "share" in world.status(anna)["reason"]
    world.calendar.grant_access(anna)
    world.calendar.edit(anna, event_id, {"summary": "Shown again"})
    assert world.manage("PUT", calendar_path(anna), {}).status_code == 200
    titled(world, conference_id, "Shown again")
    world.wait(lambda: world.status(anna)["status"] == "ok", "the calendar to heal")
    assert world.status(anna)["failing"] is None


def test_h2_a_calendar_that_cannot_be_watched_is_brought_up_to_date_by_the_clock(
    world: World,
) -> None:
    """Nothing rings for it; `maintain` is its poll."""
    calendar_id = f"holidays-{time.time_ns()}@example.com"
    world.calendar.add_calendar(calendar_id, watchable=False)
    assert world.manage("PUT", calendar_path(calendar_id), {}).json()["status"] == "polled"
    world.wait(lambda: world.status(calendar_id)["last_sync"], "the first sync")
    _, conference_id = seed(world, calendar_id, "Polled")
    assert world.maintain()["enqueued"] >= 1
    titled(world, conference_id, "Polled")


def test_c6_many_changes_go_side_by_side(world: World, anna: str) -> None:
    """Of sixteen changes eight are at the provider at once, and never more."""
    made = [seed(world, anna, "Many") for _ in range(16)]
    for _, conference_id in made:
        titled(world, conference_id, "Many")
    world.quiet(horizon=1)
    world.tasks.pause()
    try:
        for event_id, _ in made:
            world.calendar.edit(anna, event_id, {"summary": "Many, again"})
        world.wait(lambda: len(world.tasks.pending()) >= 16, "the notifications")
        world.conferencing.faults.add(freeze=True, times=None, path="/api/")
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(world.deliver, {"calendar_id": anna})
            assert len(world.conferencing.faults.wait_held(8)) == 8
            world.conferencing.faults.clear()
            assert running.result().json()["updated"] == 16
    finally:
        world.conferencing.faults.clear()
        world.tasks.resume()
    assert world.conferencing.max_concurrency == 8


def test_s4_a_run_out_of_time_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """The function may run for six seconds only: the queue brings the rest, everything is sent
    once."""
    limits = {"CLOUD_RUN_TIMEOUT_SECONDS": "12", "SYNC_CONCURRENCY": "1"}
    with World(tmp_path, settings=limits) as world:
        world.start_calendar("anna@example.com")
        world.calendar.settings.page_sizes = [4]
        world.tasks.pause()
        made = [seed(world, "anna@example.com", "Long") for _ in range(12)]
        # Each takes two calls: one look, one update.
        world.conferencing.faults.add(delay_seconds=0.6, times=24, path="/api/")
        first = world.deliver({"calendar_id": "anna@example.com"})
        assert first.json()["finished"] is False
        world.tasks.resume()
        for _, conference_id in made:
            titled(world, conference_id, "Long")
        world.quiet(horizon=4)
        puts = [call.path for call in world.conferencing.requests if call.method == "PUT"]
        assert len(puts) == len(set(puts)) == 12
        with sqlite3.connect(tmp_path / "state.sqlite") as connection:
            left = connection.execute(
                "select json_extract(body, '$.checkpoint') from calendars"
            ).fetchone()
        connection.close()
        assert left == (None,)


def test_a_push_its_task_and_its_run_share_one_trace(world: World, anna: str) -> None:
    """The trace of the notification is in the task's headers and in the worker's log."""
    [channel] = world.calendar.channels(anna)
    trace = f"{time.time_ns():032x}"
    headers = {
        "X-Goog-Channel-ID": channel["id"],
        "X-Goog-Channel-Token": channel["token"],
        "X-Goog-Resource-State": "exists",
        "traceparent": f"00-{trace}-00f067aa0ba902b7-01",
    }
    url = world.functions["receive_notification"].url
    assert httpx.post(url, headers=headers).status_code == 204

    def logged() -> bool:
        records = world.functions["sync_calendar"].records()
        return any(
            record.get("logging.googleapis.com/trace", "").endswith(trace) for record in records
        )

    world.wait(logged, "the trace in the worker's log")


def test_c5_a_small_load_loses_nothing(world: World) -> None:
    """As `make load`: every change reaches the provider, errors in between, and nothing is left
    failed. What is lost would be told."""
    small = Load(
        calendars=2, notifications=12, bursts=2, burst_seconds=0.5, events=2, one_error_in=5
    )
    measured = put_on(world, small)
    assert (measured.not_in_step, measured.failures) == ([], [])
    assert len(measured.times) == small.notifications
    assert 0 < measured.time(0.5) <= measured.time(0.99) < float("inf")
    assert measured.errors > 0
    assert measured.opened["provider"] > 0
    assert measured.worker_megabytes > measured.receiver_megabytes > 0
    lost = replace(measured, not_in_step=["anna/e1"], failures=[{"id": "f1"}])
    assert "2 of 12" in load.row("sqlite", lost)
    assert list(load.told(lost))[1:] == ["not in step: anna/e1", "failure: {'id': 'f1'}"]
