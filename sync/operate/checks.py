"""What `GET /status` and `GET /doctor` answer: numbers by state, and what is set up wrong.

Both change nothing. Their cost does not grow with the number of calendars: `status` asks the
database to count, `doctor` makes one call to each part and opens three calendars at most.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sync import __version__
from sync.context import WRITERS, Services
from sync.errors import RoleTooLow, SyncError
from sync.model.calendar import Access, CalendarState, CalendarStatus
from sync.model.conference import LISTED
from sync.model.event import CalendarId
from sync.tracing import carried

_logger = logging.getLogger(__name__)

Check = Callable[[Services], str]
"""Returns what is well, in a few words. Raises SyncError, whose text says what is not."""

# A company has a handful of providers; each check waits for one answer.
_SIDE_BY_SIDE = 8
# Asked for to see whether the database answers. No calendar is called so.
_NOBODYS_CALENDAR = CalendarId("doctor")


def status(services: Services) -> dict[str, Any]:
    """Return how many calendars and failures are in each state.

    `failing` counts calendars of any status whose last run failed (S7), so broken ones are among
    them.
    """
    store = services.store
    calendars = {each.value: store.count_calendars(each) for each in CalendarStatus}
    failures = {each.value: store.count_failures(each) for each in LISTED}
    return {
        "calendars": {**calendars, "failing": store.count_failing_calendars()},
        "failures": failures,
    }


def doctor(services: Services) -> dict[str, Any]:
    """Return our version, and one check for each part that has to work, with its mend where it
    does not.

    Repeating is safe. `{"version": "0.1.0", "checks": [{"name": "queue", "ok": true, "detail": "it
    takes tasks"}]}`.
    """
    checks: dict[str, Check] = {
        "settings": _settings,
        "store": _store,
        "queue": _queue,
        "channel keys": _channel_keys,
        "calendars": _calendars,
    }
    for name in services.providers:
        checks[f"provider {name}"] = _probing(name)
    with ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="doctor") as pool:
        running = {
            name: pool.submit(carried(_outcome), services, name, check)
            for name, check in checks.items()
        }
        found = [check.result() for check in running.values()]
    return {"version": __version__, "checks": found}


def _outcome(services: Services, name: str, check: Check) -> dict[str, Any]:
    try:
        return {"name": name, "ok": True, "detail": check(services)}
    except SyncError as error:
        return {"name": name, "ok": False, "detail": str(error) or type(error).__name__}
    except Exception as error:
        # An adapter of somebody's own may raise anything, and the other checks still count.
        _logger.exception("a check crashed", extra={"check": name})
        said = f"it crashed ({type(error).__name__}); the log of this moment tells where"
        return {"name": name, "ok": False, "detail": said}


def _settings(services: Services) -> str:
    # A mistake in a setting stops the function at its start, so what answers is well set.
    settings = services.settings
    providers = ", ".join(f"{each.name} ({each.type})" for each in settings.providers)
    store = "firestore" if settings.store == "firestore" else "sqlite"
    return f"store {store}; providers {providers}"


def _store(services: Services) -> str:
    services.store.get_calendar(_NOBODYS_CALENDAR)
    return "it answers"


def _queue(services: Services) -> str:
    if problem := services.queue.problem():
        raise SyncError(problem)
    return "it takes tasks"


def _channel_keys(services: Services) -> str:
    number = services.count_keys()
    return "1 line" if number == 1 else f"{number} lines; the first signs, all verify"


def _calendars(services: Services) -> str:
    """Open one calendar for each kind of access that is in use, one that works where there is one.

    Of the first hundred calendars. The identity is that of manage-calendars: each function needs
    the same access for its own.
    """
    listed = services.store.list_calendars().items
    tried: dict[str, CalendarState] = {}
    for state in sorted(listed, key=lambda each: each.status is CalendarStatus.BROKEN):
        tried.setdefault(_way(state.access), state)
    for way, state in tried.items():
        try:
            role = services.calendars.bind(state.calendar_id, state.access).access_role()
            if role is not None and role not in WRITERS:
                raise RoleTooLow(f"the role is {role}; share it with Make changes to events")
        except SyncError as error:
            raise SyncError(f"{state.calendar_id}, {way}: {error}") from error
    if not tried:
        return "none is started, so no access was tried"
    return f"one was opened {' and one '.join(tried)}"


def _way(access: Access) -> str:
    if access.subject:
        return "by delegation"
    return "with a user's own token" if access.credentials_secret else "by sharing"


def _probing(name: str) -> Check:
    def check(services: Services) -> str:
        entry = next(each for each in services.settings.providers if each.name == name)
        services.read_anew(entry.secret)
        services.providers[name].probe()
        return "its secret is read, and the system takes the credentials"

    return check
