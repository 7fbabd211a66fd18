"""What workers, operators and the clock do in a walk, and what goes wrong with their calls."""

from __future__ import annotations

import json
import threading
import time
from datetime import timedelta
from functools import partial
from typing import Any

from sync.errors import SyncError
from sync.model.calendar import Access
from sync.model.conference import EventRef, FailureState, WayIn
from sync.model.event import CalendarId, Event, EventId
from sync.operate import calendars, create, maintenance, stopping
from tests.support.bench import Bench
from tests.support.fates import Death, Freeze, Killed, Trouble, touched
from tests.support.walk import Frozen, Json, Step, Walk, named_in

# A run makes about so many calls.
_CALLS = 30


def sync(walk: Walk) -> None:
    person = walk.person()
    walk.tell(person)
    walk.attempt(lambda: walk.bench.sync(person))


def ring(walk: Walk) -> None:
    """A notification came in: its task waits."""
    person = walk.person()
    walk.bench.services.queue.enqueue_calendar(person)
    walk.tell(person)


def run_tasks(walk: Walk) -> None:
    """What is due, in any order."""
    work(walk, walk.bench)


def work(walk: Walk, worker: Bench) -> None:
    for _ in range(walk.random.randint(1, 6)):
        due = worker.due()
        if not due:
            return
        task = walk.random.choice(sorted(due, key=lambda one: str((one.schedule_time, one.body))))
        walk.tell(_body(task))
        _release_what_is_carried(walk, task.body)
        walk.attempt(partial(worker.deliver, task))


def _release_what_is_carried(walk: Walk, body: Json) -> None:
    """A5, H3: what an event of a calendar that is not started carries is not deleted.

    Its task finds it there, and is the last that is heard of it.
    """
    if "event_id" not in body or walk.bench.store.get_calendar(body["calendar_id"]) is not None:
        return
    event = walk.raw((body["calendar_id"], EventId(body["event_id"])))
    if event.get("status") == "confirmed":
        walk.release(json.dumps(event))


def run_task_early(walk: Walk) -> None:
    """Before its time, and again at its time."""
    waiting = walk.bench.waiting()
    if waiting:
        task = walk.random.choice(sorted(waiting, key=lambda one: str(one.body)))
        body = task.body
        walk.tell(_body(task))
        if "event_id" in body:
            walk.attempt(lambda: walk.bench.look(body["calendar_id"], EventId(body["event_id"])))
        else:
            walk.attempt(lambda: walk.bench.sync(body["calendar_id"]))


def lose_task(walk: Walk) -> None:
    waiting = walk.bench.waiting()
    if waiting:
        task = walk.random.choice(sorted(waiting, key=lambda one: str(one.body)))
        walk.bench.lose(task)
        walk.tell(_body(task))


def _body(task: Any) -> str:
    return "/".join(str(value) for value in task.body.values())


def die(walk: Walk) -> None:
    """A worker that dies at some call."""
    fate = Death(walk.random.randrange(_CALLS), late=walk.random.random() < 0.5)
    worker, person = walk.worker(touched(walk.bench.services, fate)), walk.person()
    walk.tell(person, "at call", fate.at)
    try:
        walk.attempt(lambda: worker.sync(person))
        work(walk, worker)
    except Killed:
        walk.tell(f"({fate.touched[-1] if fate.touched else 'at once'})")


def meet_trouble(walk: Walk) -> None:
    """A call to the store, the queue, the provider or Calendar fails, or its answer is lost."""
    asked = timedelta(days=9999) if walk.random.random() < 0.1 else None
    late = walk.random.random() < 0.5
    fate = Trouble(walk.random.randrange(_CALLS), late=late, asked=asked)
    worker, person = walk.worker(touched(walk.bench.services, fate)), walk.person()
    walk.tell(person, "at call", fate.at, "late" if late else "")
    walk.attempt(lambda: worker.sync(person))
    work(walk, worker)
    walk.tell(f"({fate.touched[fate.at]})" if fate.struck else "(nowhere)")


def freeze(walk: Walk) -> None:
    """A worker stands still at some call, and the world goes on without it."""
    if walk.frozen:
        return
    fate = Freeze(walk.random.randrange(_CALLS), late=walk.random.random() < 0.5)
    worker, person = walk.worker(touched(walk.bench.services, fate)), walk.person()
    walk.tell(person, "at call", fate.at, "late" if fate.late else "")
    ended = threading.Event()
    broken: list[BaseException] = []

    def live() -> None:
        try:
            worker.sync(person)
        except SyncError:
            return
        except BaseException as error:  # a mistake of ours: told where it is looked at
            broken.append(error)
        finally:
            ended.set()
            fate.reached.set()

    threading.Thread(target=live, daemon=True).start()
    assert fate.reached.wait(60), "the worker neither ended nor froze"

    def go_on() -> None:
        fate.thaw()
        assert ended.wait(60), "the thawed worker does not end"
        if broken:
            raise broken[0]

    if ended.is_set():
        go_on()
    else:
        walk.tell(f"({fate.touched[-1]})")
        walk.frozen.append(Frozen(fate, go_on))


def thaw(walk: Walk) -> None:
    if walk.frozen:
        walk.frozen.pop().go_on()


def lapse(walk: Walk) -> None:
    """So much time that a dead or frozen worker's lease is over."""
    walk.pass_time(65)


def pass_time(walk: Walk) -> None:
    seconds = walk.random.choice([1, 30, 65, 600])
    walk.pass_time(seconds)
    walk.tell(seconds)


def pass_days(walk: Walk) -> None:
    days = walk.random.choice([0.3, 1, 2])
    walk.pass_time(days * 86400)
    walk.tell(days)


def maintain(walk: Walk) -> None:
    walk.attempt(lambda: maintenance.maintain(walk.bench.services))


def start(walk: Walk) -> None:
    person = walk.person()
    walk.tell(person)
    walk.attempt(lambda: calendars.start(walk.bench.services, person, Access()))


def stop(walk: Walk) -> None:
    """H3: the calendar is forgotten, its conferences stay."""
    person = walk.person()
    walk.tell(person)
    forgotten(walk, person)
    walk.attempt(lambda: stopping.stop(walk.bench.services, person))


def forgotten(walk: Walk, person: CalendarId) -> None:
    """Note what the stop of a calendar releases: all that its events carry, or let go."""
    links = {each: str(list(walk.bench.store.links_of_calendar(each))) for each in walk.people}
    mine = links.pop(person)
    walk.release(mine)
    walk.release(str(walk.bench.calendar.events(person)))
    walk.forgotten |= {
        one
        for one in walk.system.conferences
        if named_in(one, mine) and not named_in(one, str(links))
    }


def replay(walk: Walk) -> None:
    person, full = walk.person(), walk.random.random() < 0.5
    walk.tell(person, "in full" if full else "")
    walk.attempt(lambda: calendars.replay(walk.bench.services, person, full=full))


def retry(walk: Walk) -> None:
    if found := walk.bench.failures():
        failure = walk.random.choice(found)
        walk.tell(failure.event.event_id)
        walk.attempt(lambda: calendars.retry_failure(walk.bench.services, failure.id))


def dismiss(walk: Walk) -> None:
    if found := walk.bench.failures(None, FailureState.PARKED, FailureState.RETRYING):
        failure = walk.random.choice(found)
        walk.tell(failure.event.event_id)
        walk.attempt(lambda: calendars.dismiss_failure(walk.bench.services, failure.id))


def pick_a_conference(walk: Walk) -> None:
    """In the form of a new event, which is saved at once, later, or never (A2, A3, A5)."""
    person = walk.person()
    walk.drafts.append((person, EventId(f"draft{len(walk.drafts):04}")))
    _ask(walk, walk.drafts[-1], saved=walk.random.random() < 0.5)


def pick_again(walk: Walk) -> None:
    if walk.drafts:
        _ask(walk, walk.random.choice(walk.drafts), saved=walk.random.random() < 0.5)


def _ask(walk: Walk, one: tuple[CalendarId, EventId], *, saved: bool) -> None:
    calendar_id, event_id = one
    event = walk.raw(one)
    [solution] = walk.system.entry("")["solutions"]
    order = create.Order(
        event=EventRef(calendar_id=calendar_id, event_id=event_id),
        solution=solution,
        provider=walk.system.name,
        user=calendar_id,
    )
    parsed = Event.from_api(event) if event.get("status") == "confirmed" else None

    def ask() -> None:
        # A4: the calendar is started. If that fails, the conference is created all the same.
        walk.attempt(partial(calendars.start, walk.bench.services, calendar_id, Access()))
        given = create.conference_for(
            walk.bench.services, order, parsed, give_up=time.monotonic() + 30
        )
        walk.tell(*one, "gets", given.way_in.conference_id)
        if saved and not event:
            made = _shown(solution, given.way_in)
            body = {"id": event_id, "summary": walk.title(), **walk.times(), "conferenceData": made}
            walk.bench.calendar.seed_event(calendar_id, body)
            walk.events.append(one)

    walk.attempt(ask)


def _shown(solution: str, way_in: WayIn) -> dict[str, Any]:
    points = [{"entryPointType": point.kind, "uri": point.uri} for point in way_in.entry_points]
    return {
        "conferenceId": way_in.conference_id,
        "conferenceSolution": {"key": {"type": "addOn"}, "name": solution},
        "entryPoints": points,
    }


def expire_tokens(walk: Walk) -> None:
    person = walk.person()
    walk.bench.calendar.expire_sync_tokens(person)
    walk.tell(person)


def refuse_calendar(walk: Walk) -> None:
    """Calendar's own refusals, once: a blip breaks nothing (W1, W3)."""
    reason = walk.random.choice(["forbidden", "notFound", "quotaExceeded", "fullSyncRequired"])
    walk.bench.calendar.fail_next(reason=reason, path=r"/events", times=1)
    walk.tell(reason)


def meet_a_writer(walk: Walk) -> None:
    """Somebody else writes an event first (412)."""
    walk.bench.calendar.fail_next(reason="conditionNotMet", method="PATCH", times=1)


def withdraw_access(walk: Walk) -> None:
    person, hidden = walk.person(), walk.random.random() < 0.5
    walk.bench.calendar.withdraw_access(person, status=404 if hidden else 403)
    walk.tell(person, 404 if hidden else 403)


def share_less(walk: Walk) -> None:
    person = walk.person()
    role = walk.random.choice(["reader", "writerWithoutPrivateAccess", "freeBusyReader"])
    walk.bench.calendar.grant_access(person, role=role)
    walk.tell(person, role)


def grant_access(walk: Walk) -> None:
    for person in walk.people:
        walk.bench.calendar.grant_access(person)


def lose_conference(walk: Walk) -> None:
    """The provider loses one of ours."""
    found = [one for one in walk.system.conferences if one not in walk.strangers]
    if found:
        lost = walk.random.choice(found)
        walk.system.forget(lost)
        walk.tell(lost)


def trouble_provider(walk: Walk) -> None:
    """The provider answers in a bad way, or its answer is lost."""
    name = walk.random.choice(
        ["unavailable", "refused", "forbidden", "proxy", "page", "lost-answer", "half-answer"]
    )
    method = walk.random.choice([None, "PUT", "PATCH", "POST", "DELETE", "GET"])
    walk.system.server.trouble(name, method=method, times=walk.random.randint(1, 2))
    walk.tell(name, method)


def lie_once(walk: Walk) -> None:
    """The provider says once that a conference does not exist, although it does (C4)."""
    walk.system.faults.clear()
    walk.system.server.trouble("false-not-found", times=1)


def refuse_credentials(walk: Walk) -> None:
    walk.system.server.trouble("unauthorised", times=2)


STEPS = (
    Step(weight=8, act=sync),
    Step(weight=4, act=ring),
    Step(weight=6, act=run_tasks),
    Step(weight=1, act=run_task_early),
    Step(weight=1, act=lose_task),
    Step(weight=4, act=die),
    Step(weight=4, act=meet_trouble),
    Step(weight=3, act=freeze),
    Step(weight=3, act=thaw),
    Step(weight=3, act=lapse),
    Step(weight=3, act=pass_time),
    Step(weight=1, act=pass_days),
    Step(weight=2, act=maintain),
    Step(weight=2, act=start),
    Step(weight=1, act=stop),
    Step(weight=1, act=replay),
    Step(weight=1, act=retry),
    Step(weight=1, act=dismiss),
    Step(weight=2, act=pick_a_conference),
    Step(weight=1, act=pick_again),
    Step(weight=1, act=expire_tokens),
    Step(weight=1, act=refuse_calendar),
    Step(weight=1, act=meet_a_writer),
    Step(weight=1, act=withdraw_access),
    Step(weight=1, act=share_less),
    Step(weight=3, act=grant_access),
    Step(weight=1, act=lose_conference, losing=True),
    Step(weight=2, act=trouble_provider),
    Step(weight=1, act=lie_once),
    Step(weight=1, act=refuse_credentials),
)
