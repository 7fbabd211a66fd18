"""H1-H3, W3, S3 and C5 as the clock and the operators meet them."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

import pytest

from sync.errors import Gone, SyncError, WatchFailed
from sync.intake.notifications import sign
from sync.model.calendar import (
    EXPIRATIONS_TOLERATED,
    Access,
    CalendarState,
    CalendarStatus,
    Channel,
    ChannelRequest,
    SyncKind,
)
from sync.model.conference import FailureState
from sync.model.event import CalendarId
from sync.operate import calendars, channels, maintenance, stopping
from sync.operate.channels import RENEW_BEFORE
from sync.run import engine
from sync.run.failing import BROKEN_PAUSE
from tests.support.bench import Bench, BenchMaker


def state_of(bench: Bench, calendar_id: CalendarId) -> CalendarState:
    document = bench.store.get_calendar(calendar_id)
    assert document is not None
    return document.value


def open_channels(bench: Bench, calendar_id: CalendarId) -> list[str]:
    return [channel["id"] for channel in bench.calendar.channels(calendar_id)]


def test_h1_starting_twice_opens_one_channel(any_bench: Bench) -> None:
    """The second start changes nothing, and enqueues a sync."""
    bench = any_bench
    calendar_id = bench.watch()
    before = open_channels(bench, calendar_id)
    state, created = calendars.start(bench.services, calendar_id, Access())
    assert not created
    assert open_channels(bench, calendar_id) == before
    assert state.channel is not None
    assert [state.channel.id] == before
    assert [task.body for task in bench.due()] == [{"calendar_id": calendar_id}]


def test_h1_the_record_is_there_before_the_channel_rings(bench: Bench) -> None:
    """The greeting may come before Calendar's answer: the channel's id is written before it is
    opened."""
    calendar_id = CalendarId("early@example.com")
    bench.calendar.add_calendar(calendar_id)
    bench.store.create_calendar(CalendarState(calendar_id=calendar_id))
    real = bench.services.calendars
    written = []

    class Watching:
        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def watch(self, *arguments: Any) -> Channel:
            opening = state_of(bench, calendar_id).opening
            written.append((opening.id if opening else None, arguments[2].id))
            return real.watch(*arguments)

    channels.open_channel(bench.with_services(calendars=Watching()), calendar_id, Access())
    [(opening, asked)] = written
    assert opening == asked
    stopping.stop(bench.services, calendar_id)


def test_h4_a_channel_that_could_not_be_opened_leaves_no_trace(bench: Bench) -> None:
    """A start that fails takes back what it wrote, and nothing else."""
    calendar_id = bench.watch()
    before = state_of(bench, calendar_id)
    bench.calendar.fail_next(reason="backendError", path="/watch$")
    with pytest.raises(WatchFailed):
        channels.open_channel(bench.services, calendar_id, Access())
    assert state_of(bench, calendar_id) == before


def test_h2_a_channel_is_renewed_with_overlap(any_bench: Bench) -> None:
    """The new one is open and stored before the old one is stopped; twice in a row, the second
    does nothing."""
    bench = any_bench
    calendar_id = bench.watch()
    [old] = open_channels(bench, calendar_id)
    before = state_of(bench, calendar_id)
    assert before.channel is not None
    assert before.channel.expires is not None
    assert maintenance.maintain(bench.services).renewed == 0
    bench.clock.now = before.channel.expires - RENEW_BEFORE + timedelta(seconds=1)
    bench.calendar.requests.clear()
    bench.calendar.settings.max_channel_seconds = 30 * 86400
    report = maintenance.maintain(bench.services)
    assert (report.renewed, report.not_renewed) == (1, 0)
    order = [call.path.rpartition("/")[2] for call in bench.calendar.requests]
    assert order.index("watch") < order.index("stop")
    [new] = open_channels(bench, calendar_id)
    assert new != old
    after = state_of(bench, calendar_id)
    assert after.channel is not None
    assert (after.channel.id, after.opening, after.retiring) == (new, None, ())


def test_h2_a_channel_that_could_not_be_stopped_is_stopped_later(bench: Bench) -> None:
    """Calendar was out of order at that moment; the next call makes it good."""
    calendar_id = bench.watch()
    bench.calendar.fail_next(reason="backendError", path="/stop$", times=1)
    channels.open_channel(bench.services, calendar_id, Access())
    assert len(open_channels(bench, calendar_id)) == 2
    assert len(state_of(bench, calendar_id).retiring) == 1
    assert maintenance.maintain(bench.services).retired == 1
    assert len(open_channels(bench, calendar_id)) == 1


def test_h2_after_an_outage_longer_than_the_channel_everything_is_caught_up(
    any_bench: Bench,
) -> None:
    """Nothing rang for two weeks: one call opens a new channel and enqueues a sync."""
    bench = any_bench
    calendar_id = bench.watch()
    for channel in open_channels(bench, calendar_id):
        bench.calendar.close_channel_silently(channel)
    conference, conference_id = bench.conference()
    bench.event(calendar_id, conference)
    bench.clock.advance(14 * 86400)
    report = maintenance.maintain(bench.services)
    assert (report.renewed, report.enqueued) == (1, 1)
    bench.clock.advance(600)
    bench.run_tasks()
    assert bench.conferencing.conferences[conference_id]["title"] == "Planning"
    assert len(open_channels(bench, calendar_id)) == 1


def test_h2_maintain_twice_at_once_leaves_one_channel_and_one_task(bench: Bench) -> None:
    """The second call's task has the same name; its channel replaces the first's, which is
    stopped."""
    calendar_id = bench.watch()
    bench.clock.advance(30 * 86400)
    maintenance.maintain(bench.services)
    maintenance.maintain(bench.services)
    tasks = [task.body for task in bench.waiting()]
    assert tasks == [{"calendar_id": calendar_id}]


def test_maintain_spreads_what_it_enqueues(bench: Bench) -> None:
    """A thousand calendars do not start at once; a dozen show it."""
    made = [bench.watch(f"calendar{number}") for number in range(12)]
    bench.clock.advance(7 * 3600)
    report = maintenance.maintain(bench.services)
    assert report.enqueued == len(made)
    moments = {task.schedule_time for task in bench.waiting()}
    assert len(moments) == len(made)
    assert max(moments) - min(moments) > timedelta(seconds=30)
    assert max(moments) <= bench.clock() + timedelta(minutes=5)


def test_h2_a_calendar_that_cannot_be_watched_is_polled_and_says_so(any_bench: Bench) -> None:
    """Every call of maintain is its poll."""
    bench = any_bench
    calendar_id = CalendarId(f"holidays{id(bench)}@example.com")
    bench.calendar.add_calendar(calendar_id, watchable=False)
    calendars.start(bench.services, calendar_id, Access())
    bench.run_tasks()
    state = state_of(bench, calendar_id)
    assert (state.status, state.channel) == (CalendarStatus.POLLED, None)
    assert state.reason
    conference, conference_id = bench.conference()
    bench.event(calendar_id, conference)
    bench.clock.advance(3600)
    report = maintenance.maintain(bench.services)
    assert (report.polled, report.enqueued, report.renewed) == (1, 1, 0)
    bench.clock.advance(600)
    bench.run_tasks()
    assert bench.conferencing.conferences[conference_id]["title"] == "Planning"


def test_h3_an_orphan_channel_is_stopped_when_it_rings(bench: Bench) -> None:
    """Left over from a crash: the calendar is known, the channel is none of its own."""
    calendar_id = bench.watch()
    [ours] = open_channels(bench, calendar_id)
    request = ChannelRequest(
        id="orphan-0001",
        address=bench.settings.notification_url,
        token=sign([b"key-of-the-bench"], "orphan-0001", calendar_id),
        ttl=timedelta(hours=1),
    )
    orphan = bench.services.calendars.watch(calendar_id, Access(), request)
    engine.sync_calendar(bench.services, calendar_id, orphan)
    assert open_channels(bench, calendar_id) == [ours]
    engine.sync_calendar(bench.services, calendar_id, Channel(id=ours, resource_id="whatever"))
    assert open_channels(bench, calendar_id) == [ours]


def test_h3_stopping_forgets_everything_but_the_conferences(any_bench: Bench) -> None:
    """The channel is stopped, links and failures are gone; twice is harmless."""
    bench = any_bench
    calendar_id = bench.watch()
    conference, conference_id = bench.conference()
    bad, bad_id = bench.conference()
    bench.event(calendar_id, conference)
    bench.event(calendar_id, bad)
    bench.conferencing.faults.add(path=bad_id, status=422)
    bench.sync(calendar_id)
    assert bench.failures(calendar_id)
    stopping.stop(bench.services, calendar_id)
    stopping.stop(bench.services, calendar_id)
    assert open_channels(bench, calendar_id) == []
    assert bench.store.get_calendar(calendar_id) is None
    assert list(bench.store.links_of_calendar(calendar_id)) == []
    assert bench.failures(calendar_id) == []
    assert conference_id in bench.conferencing.conferences


def test_w3_a_broken_calendar_is_tried_again_at_a_sensible_pace_and_heals(any_bench: Bench) -> None:
    """Refused a second time, it is broken; tried not at each call of maintain; once access is
    back, it heals without anybody's help."""
    bench = any_bench
    calendar_id = bench.watch()
    bench.calendar.withdraw_access(calendar_id)
    assert bench.sync(calendar_id).reason
    assert state_of(bench, calendar_id).status is CalendarStatus.OK
    bench.clock.advance(bench.settings.retry.total_seconds() + 1)
    bench.run_tasks()
    assert state_of(bench, calendar_id).status is CalendarStatus.BROKEN
    assert maintenance.maintain(bench.services).enqueued == 0
    bench.calendar.grant_access(calendar_id)
    bench.clock.advance(BROKEN_PAUSE.total_seconds() + 1)
    report = maintenance.maintain(bench.services)
    assert (report.broken, report.enqueued) == (1, 1)
    bench.clock.advance(600)
    bench.run_tasks()
    state = state_of(bench, calendar_id)
    assert (state.status, state.reason) == (CalendarStatus.OK, None)


def test_w3_a_conference_is_not_deleted_because_its_calendar_was_hidden(any_bench: Bench) -> None:
    """404 for an event may be about the calendar: the deletion that was due waits until access
    is back, and the calendar is broken once it was refused twice."""
    bench = any_bench
    calendar_id = bench.watch()
    event_id, conference_id = bench.followed(calendar_id)
    bench.calendar.withdraw_access(calendar_id, status=404)
    assert bench.look(calendar_id, event_id).reason
    assert bench.sync(calendar_id).reason
    bench.pass_grace()
    assert bench.look(calendar_id, event_id).reason
    assert bench.calls("DELETE") == []
    assert state_of(bench, calendar_id).status is CalendarStatus.BROKEN
    bench.calendar.grant_access(calendar_id)
    bench.sync(calendar_id)
    bench.pass_grace()
    assert conference_id in bench.conferencing.conferences


def test_w3_a_deleted_calendar_is_broken_and_says_so(bench: Bench) -> None:
    """404 on the listing, twice: 200 to the queue, the reason in the status, an error in the
    log."""
    calendar_id = bench.watch()
    bench.calendar.remove_calendar(calendar_id)
    report = bench.sync(calendar_id)
    assert "deleted" in str(report.reason)
    bench.clock.advance(bench.settings.retry.total_seconds() + 1)
    bench.run_tasks()
    with pytest.raises(Gone):
        calendars.start(bench.services, calendar_id, Access())
    assert state_of(bench, calendar_id).status is CalendarStatus.BROKEN


def test_s3_a_calendar_whose_tokens_always_expire_is_polled_instead_of_looped(bench: Bench) -> None:
    """Counted and reported; a notification does no full sync any more, the clock does, and a
    good token heals it."""
    calendar_id = bench.watch()
    channel = state_of(bench, calendar_id).channel
    assert channel is not None
    for _ in range(EXPIRATIONS_TOLERATED):
        bench.calendar.expire_sync_tokens(calendar_id)
        assert engine.sync_calendar(bench.services, calendar_id, channel).kind is SyncKind.FULL
    state = state_of(bench, calendar_id)
    assert state.status is CalendarStatus.POLLED
    assert state.reason == engine.FORGETFUL
    bench.calendar.requests.clear()
    assert engine.sync_calendar(bench.services, calendar_id, channel).reason == engine.FORGETFUL
    assert len(bench.calendar.requests) == 0
    bench.clock.advance(bench.settings.reconcile.total_seconds() + 1)
    assert maintenance.maintain(bench.services).enqueued == 1
    bench.clock.advance(600)
    bench.run_tasks()
    assert state_of(bench, calendar_id).status is CalendarStatus.OK


def test_s3_a_calendar_that_answers_410_for_ever_is_polled_in_the_end(bench: Bench) -> None:
    """Even a listing without a token: tried again a few times, then left to the clock."""
    calendar_id = bench.watch()
    bench.calendar.fail_next(reason="fullSyncRequired", times=50, path=r"/events$", method="GET")
    try:
        outcomes = []
        for _ in range(6):
            try:
                outcomes.append(bench.sync(calendar_id).reason)
            except SyncError as error:
                outcomes.append(type(error).__name__)
        assert outcomes[-1] == engine.FORGETFUL
        assert state_of(bench, calendar_id).status is CalendarStatus.POLLED
    finally:
        bench.calendar.faults.clear()
    assert bench.sync(calendar_id).finished


def test_c5_maintain_gives_parked_failures_their_next_try(any_bench: Bench) -> None:
    """A day later, once; what succeeds then is no failure any more."""
    bench = any_bench
    calendar_id = bench.watch()
    conference, conference_id = bench.conference()
    bench.event(calendar_id, conference)
    bench.conferencing.faults.add(path=conference_id, status=422)
    bench.sync(calendar_id)
    assert maintenance.maintain(bench.services).failures_retried == 0
    bench.clock.advance(86400 + 1)
    assert maintenance.maintain(bench.services).failures_retried == 1
    assert maintenance.maintain(bench.services).failures_retried == 0
    bench.run_tasks()
    assert bench.conferencing.conferences[conference_id]["title"] == "Planning"
    assert bench.failures(calendar_id) == []


def test_c5_a_retry_whose_task_was_lost_is_enqueued_again(bench: Bench) -> None:
    """The queue was purged: `maintain` notices."""
    calendar_id = bench.watch()
    conference, conference_id = bench.conference()
    bench.event(calendar_id, conference)
    bench.conferencing.faults.add(path=conference_id, status=503)
    bench.sync(calendar_id)
    [failure] = bench.failures(calendar_id, FailureState.RETRYING)
    lost = {task.name for task in bench.waiting()}
    bench.clock.advance(3600)
    maintenance.maintain(bench.services)
    again = [task for task in bench.waiting() if task.name not in lost]
    assert {"calendar_id": calendar_id, "event_id": failure.event.event_id} in [
        task.body for task in again
    ]


def test_e2_a_deletion_whose_task_was_lost_is_finished_by_maintain(bench: Bench) -> None:
    """Nobody looks at the event again, but its link remembers what it let go."""
    calendar_id = bench.watch()
    event_id, conference_id = bench.followed(calendar_id)
    bench.calendar.cancel(calendar_id, event_id)
    bench.sync(calendar_id)
    lost = {task.name for task in bench.waiting()}
    bench.clock.advance(3600)
    assert maintenance.maintain(bench.services).deletions_resumed == 1
    for task in bench.waiting():
        if task.name not in lost and "event_id" in task.body:
            bench.look(task.body["calendar_id"], task.body["event_id"])
    assert conference_id not in bench.conferencing.conferences


def test_a_start_that_crashed_halfway_is_finished_by_maintain(bench: Bench) -> None:
    """The record was written and nothing else: a channel is opened and a sync enqueued."""
    calendar_id = CalendarId(f"half{id(bench)}@example.com")
    bench.calendar.add_calendar(calendar_id)
    bench.store.create_calendar(CalendarState(calendar_id=calendar_id, started_at=bench.clock()))
    bench.clock.advance(3600)
    report = maintenance.maintain(bench.services)
    assert (report.renewed, report.enqueued) == (1, 1)
    bench.clock.advance(600)
    bench.run_tasks()
    assert state_of(bench, calendar_id).status is CalendarStatus.OK


def test_maintain_reports_what_it_did(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """As its answer and as one line in the log."""
    bench.watch()
    with caplog.at_level(logging.INFO):
        report = maintenance.maintain(bench.services)
    assert report.calendars == 1
    assert report.finished
    [record] = [record for record in caplog.records if record.message == "maintained"]
    assert vars(record)["calendars"] == 1


def test_many_calendars_leave_time_for_what_is_due(bench: Bench) -> None:
    """Time runs out among the calendars, and a deletion whose task was lost is found all the
    same."""
    calendar_id = bench.watch()
    event_id, _ = bench.followed(calendar_id)
    bench.calendar.cancel(calendar_id, event_id)
    bench.sync(calendar_id)
    bench.lose_tasks()
    for number in range(15):
        bench.watch(f"another{number}")
    bench.clock.advance(3600)

    def slow() -> datetime:
        """Each look takes a thirtieth of the time that there is."""
        bench.clock.advance(bench.settings.run_limit.total_seconds() / 30)
        return bench.clock()

    report = maintenance.maintain(bench.with_services(clock=slow))
    assert not report.finished
    assert 0 < report.calendars < 16
    assert report.deletions_resumed == 1


def test_s1_maintain_and_a_run_do_not_lose_each_others_writes(make_bench: BenchMaker) -> None:
    """A channel renewed while a run is under way: the run's token and the new channel are both
    there in the end."""
    bench = make_bench(SYNC_CONCURRENCY="1")
    calendar_id = bench.watch()
    conference, _ = bench.conference()
    bench.event(calendar_id, conference)
    real = bench.services.providers["my-web"]
    before = state_of(bench, calendar_id)

    class Meanwhile:
        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def update(self, *arguments: Any) -> None:
            channels.open_channel(bench.services, calendar_id, Access())
            real.update(*arguments)

    services, bench.services = (
        bench.services,
        bench.with_services(providers={"my-web": Meanwhile()}),
    )
    bench.sync(calendar_id)
    bench.services = services
    after = state_of(bench, calendar_id)
    assert after.channel is not None
    assert before.channel is not None
    assert after.channel.id != before.channel.id
    assert after.sync_token != before.sync_token
    assert after.lease is None
