"""`GET /status` and `GET /doctor`: the numbers of an installation, and what is set up wrong."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from sandbox.world import CHANNEL_KEY, PROVIDER_SECRET
from sync import __version__
from sync.model.calendar import Access
from sync.model.event import CalendarId
from sync.operate import calendars, routes
from tests.support.bench import Bench, BenchMaker
from tests.support.worlds import NAMES, SECRET, Connected, connect, running

Json = dict[str, Any]


def ask(bench: Bench, path: str) -> Any:
    call = routes.Call(method="GET", path=path, query={})
    return routes.answer(bench.services, call).value


def check_of(bench: Bench, name: str) -> tuple[bool, str]:
    """Whether the one check of this name is well, and its detail."""
    [found] = [each for each in ask(bench, "/doctor")["checks"] if each["name"] == name]
    assert set(found) == {"name", "ok", "detail"}
    return found["ok"], found["detail"]


def test_status_counts_calendars_and_failures(any_bench: Bench) -> None:
    """Of four calendars one works, one cannot be watched, one is new, one fails; one event is
    parked."""
    bench = any_bench
    healthy, failing = bench.watch("healthy"), bench.watch("failing")
    for name, watchable in (("holidays", False), ("new", True)):
        calendar_id = CalendarId(f"{name}@{healthy.partition('@')[2]}")
        bench.calendar.add_calendar(calendar_id, watchable=watchable)
        calendars.start(bench.services, calendar_id, Access())
    data, conference_id = bench.conference()
    bench.event(healthy, data)
    bench.conferencing.faults.add(path=conference_id, method="PUT", status=422, times=None)
    bench.sync(healthy)
    bench.calendar.withdraw_access(failing)
    bench.sync(failing)
    assert ask(bench, "/status") == {
        "calendars": {"starting": 1, "ok": 2, "polled": 1, "broken": 0, "failing": 1},
        "failures": {"parked": 1, "retrying": 0, "approximate": 0, "left": 0},
    }


def test_the_cost_of_status_does_not_grow(bench: Bench) -> None:
    """It counts in the database, and reads no calendar and no failure."""
    for number in range(3):
        bench.watch(f"calendar{number}")
    asked: list[str] = []

    class Counted:
        def __getattr__(self, name: str) -> Any:
            asked.append(name)
            return getattr(bench.store, name)

    services = bench.with_services(store=Counted())
    routes.answer(services, routes.Call(method="GET", path="/status", query={}))
    assert set(asked) == {"count_calendars", "count_failing_calendars", "count_failures"}
    assert len(asked) == 9


@pytest.fixture(params=NAMES)
def connected(make_bench: BenchMaker, request: pytest.FixtureRequest) -> Any:
    """One provider of each type; Teams and Webex are told a user to ask as."""
    with running(request.param) as system:
        yield connect(make_bench, system)


def test_all_is_well_where_all_is_well(connected: Connected) -> None:
    """Every part has one check, and the providers were asked without a change."""
    checks = ask(connected.bench, "/doctor")["checks"]
    assert [each["name"] for each in checks] == [
        "settings",
        "store",
        "queue",
        "channel keys",
        "calendars",
        f"provider {connected.system.name}",
    ]
    assert [each for each in checks if not each["ok"]] == []
    assert connected.writes() == []


def test_refused_credentials_are_named(connected: Connected) -> None:
    """The system changed its credentials, and the secret was not renewed."""
    name = f"provider {connected.system.name}"
    connected.system.rotate()
    ok, detail = check_of(connected.bench, name)
    assert not ok
    assert "secret" in detail


@pytest.mark.parametrize("payload", ["", "no JSON", "[]", '{"tokn": "Quokka"}'])
def test_a_secret_of_another_form_is_named_without_its_content(
    connected: Connected, payload: str
) -> None:
    """The form that it must have is told, and nothing of what it has."""
    connected.bench.secrets.put(SECRET, payload or " ")
    ok, detail = check_of(connected.bench, f"provider {connected.system.name}")
    assert not ok
    assert "must hold JSON of the form" in detail
    assert "Quokka" not in detail


def test_a_provider_out_of_reach_is_named(connected: Connected) -> None:
    """503 to everything: the check says that the system cannot be read, and the others pass."""
    connected.system.faults.add(status=503, times=None)
    try:
        checks = ask(connected.bench, "/doctor")["checks"]
    finally:
        connected.system.faults.clear()
    assert [each["name"] for each in checks if not each["ok"]] == [
        f"provider {connected.system.name}"
    ]


def test_a_page_at_the_providers_address_is_not_the_provider(bench: Bench) -> None:
    """A 404 with HTML shows that base_url leads elsewhere."""
    bench.conferencing.faults.add(status=404, body="<html>not here</html>", times=None)
    ok, detail = check_of(bench, "provider my-web")
    assert not ok
    assert "base_url" in detail


def test_the_lines_of_the_channel_keys_are_counted_anew(bench: Bench) -> None:
    """A key that was added a moment ago counts: who rotates keys asks before the old one goes."""
    assert check_of(bench, "channel keys") == (True, "1 line")
    bench.secrets.put(CHANNEL_KEY, "a-newer-key\nkey-of-the-bench\n")
    assert check_of(bench, "channel keys") == (True, "2 lines; the first signs, all verify")
    bench.secrets.put(CHANNEL_KEY, "\n")
    ok, detail = check_of(bench, "channel keys")
    assert (ok, "SYNC_CHANNEL_KEY" in detail) == (False, True)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (grpc.StatusCode.NOT_FOUND, "no queue"),
        (grpc.StatusCode.UNAVAILABLE, "did not answer"),
    ],
)
def test_a_queue_that_takes_no_tasks_is_named(
    bench: Bench, code: grpc.StatusCode, said: str
) -> None:
    """It is not there, or out of reach; and no task was made to find that out."""
    waiting = len(bench.waiting())
    bench.tasks.fail_next(code, method="GetQueue")
    ok, detail = check_of(bench, "queue")
    assert not ok
    assert said in detail
    assert len(bench.waiting()) == waiting


@pytest.mark.parametrize("there", [True, False])
def test_a_function_that_may_only_enqueue_asks_what_it_may_do(
    make_bench: BenchMaker, there: bool
) -> None:
    """The right to enqueue does not include seeing the queue, and "not allowed" is also the answer
    for a queue that does not exist."""
    bench = make_bench()
    if there:
        bench.watch()
    bench.tasks.fail_next(grpc.StatusCode.PERMISSION_DENIED, method="GetQueue")
    ok, detail = check_of(bench, "queue")
    assert (ok, "roles/cloudtasks.enqueuer" in detail) == (there, not there)


def test_a_paused_queue_is_named(bench: Bench) -> None:
    """Tasks wait in it: the kill switch was pulled and forgotten."""
    assert check_of(bench, "queue")[0]
    bench.tasks.pause()
    try:
        ok, detail = check_of(bench, "queue")
    finally:
        bench.tasks.resume()
    assert not ok
    assert "resume" in detail


@pytest.mark.parametrize("trouble", ["emptied", "closed"])
def test_a_secret_that_changed_a_moment_ago_is_read_anew(bench: Bench, trouble: str) -> None:
    """What is remembered of it still works, and the operator asks about what is there now."""
    assert check_of(bench, "provider my-web")[0]
    if trouble == "emptied":
        bench.secrets.put(PROVIDER_SECRET, "{}")
    else:
        bench.secrets.deny(PROVIDER_SECRET)
    try:
        ok, detail = check_of(bench, "provider my-web")
    finally:
        bench.secrets.allow(PROVIDER_SECRET)
        bench.secrets.put(PROVIDER_SECRET, bench.conferencing.secret)
    assert not ok
    assert PROVIDER_SECRET in detail


def test_the_version_that_is_deployed_is_told(bench: Bench) -> None:
    """Who asks compares it with their own."""
    assert ask(bench, "/doctor")["version"] == __version__


def test_one_calendar_of_each_kind_of_access_is_opened(bench: Bench) -> None:
    """However many are started. A broken one only where no other shows that the kind works."""
    assert check_of(bench, "calendars") == (True, "none is started, so no access was tried")
    broken, *_ = [bench.watch(f"shared{number}") for number in range(3)]
    bench.calendar.withdraw_access(broken)
    bench.look_twice(broken)
    user = CalendarId(f"user@{broken.partition('@')[2]}")
    bench.calendar.add_calendar(user)
    calendars.start(bench.services, user, Access(subject=user))
    before = len(bench.calendar.requests)
    ok, detail = check_of(bench, "calendars")
    assert ok
    assert {"by delegation", "by sharing"} <= set(
        detail.removeprefix("one was opened ").split(" and one ")
    )
    assert len(bench.calendar.requests) == before + 2


def test_access_that_was_lost_is_named_with_its_calendar(bench: Bench) -> None:
    """Before any run has met it: the check asks Calendar itself."""
    calendar_id = bench.watch()
    bench.calendar.withdraw_access(calendar_id)
    ok, detail = check_of(bench, "calendars")
    assert not ok
    assert detail.startswith(f"{calendar_id}, by sharing: ")


def test_a_role_that_shows_too_little_is_named(bench: Bench) -> None:
    """E6: a reader of free and busy times decides nothing."""
    calendar_id = bench.watch()
    bench.calendar.grant_access(calendar_id, role="freeBusyReader")
    ok, detail = check_of(bench, "calendars")
    assert (ok, "Make changes to events" in detail) == (False, True)


def test_a_closed_secret_is_named(bench: Bench) -> None:
    """The function may not read the provider's secret: the mend names the role."""
    bench.secrets.fail_next(grpc.StatusCode.PERMISSION_DENIED, times=2)
    failing = {each["name"]: each["detail"] for each in ask(bench, "/doctor")["checks"]}
    assert "secretAccessor" in failing["channel keys"]
    assert PROVIDER_SECRET in failing["provider my-web"]
