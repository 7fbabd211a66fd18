"""What may befall a worker at a call: it dies, it is frozen, the call fails, or others come first.

A worker's calls to the store, the queue, the providers and Calendar are its touches of the world,
counted from 0. A fate names one of them, and whether it strikes before the call has its effect or
after the effect, when only the answer is missing.

    services = touched(bench.services, Death(at=7, after=True))
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Protocol

from sync.context import Services
from sync.errors import SyncError, TryLater

# What asks nobody: no touch of the world.
_PURE = {"rules", "approximation", "listing_version"}
# Nobody waits for so long but for a mistake in a test.
_LONGEST_SECONDS = 60.0


class Killed(BaseException):
    """The process is gone. Nothing that comes after does anything."""


class Fate(Protocol):
    """What happens around a touch. `name` is its system and call, such as `store.commit`."""

    def before(self, name: str) -> None: ...

    def after(self, name: str) -> None: ...


@dataclass(slots=True)
class Witness:
    """Strikes nowhere, and notes every touch."""

    touched: list[str] = field(default_factory=list)

    def before(self, name: str) -> None:
        self.touched.append(name)

    def after(self, name: str) -> None:
        """Nothing to note."""


@dataclass(slots=True)
class Death:
    """The worker dies at one touch. From then on every touch fails, as in a process that is gone.

    `struck` tells whether the worker ever came so far.
    """

    at: int
    late: bool = False
    touched: list[str] = field(default_factory=list)
    struck: bool = False

    def before(self, name: str) -> None:
        self.struck = self.struck or (not self.late and len(self.touched) == self.at)
        if self.struck:
            raise Killed
        self.touched.append(name)

    def after(self, name: str) -> None:  # noqa: ARG002 - the signature of a fate
        self.struck = self.struck or len(self.touched) == self.at + 1
        if self.struck:
            raise Killed


@dataclass(slots=True)
class Trouble:
    """One call fails. `late`: it has its effect all the same, and its caller cannot know."""

    at: int
    late: bool = False
    asked: timedelta | None = None
    touched: list[str] = field(default_factory=list)
    struck: bool = False

    def before(self, name: str) -> None:
        self.touched.append(name)
        if not self.late:
            self._strike(name)

    def after(self, name: str) -> None:
        if self.late:
            self._strike(name)

    def _strike(self, name: str) -> None:
        if not self.struck and len(self.touched) == self.at + 1:
            self.struck = True
            raise TryLater(f"{name} is in trouble", outcome_unknown=self.late, after=self.asked)


@dataclass(slots=True)
class Freeze:
    """The whole process stands still at one touch until it is thawed. Every thread of it does."""

    at: int
    late: bool = False
    touched: list[str] = field(default_factory=list)
    reached: threading.Event = field(default_factory=threading.Event)
    _thawed: threading.Event = field(default_factory=threading.Event)

    def before(self, name: str) -> None:
        if self.reached.is_set():
            self._wait()
        self.touched.append(name)
        if not self.late:
            self._strike()

    def after(self, name: str) -> None:  # noqa: ARG002 - the signature of a fate
        if self.late:
            self._strike()

    def _strike(self) -> None:
        if not self.reached.is_set() and len(self.touched) == self.at + 1:
            self.reached.set()
            self._wait()

    def _wait(self) -> None:
        assert self._thawed.wait(_LONGEST_SECONDS), "nobody thawed the frozen worker"

    def thaw(self) -> None:
        self._thawed.set()


class Touched:
    """Passes every call on to the real thing, through a fate."""

    def __init__(self, real: Any, fate: Fate, name: str) -> None:
        self._real, self._fate, self._name = real, fate, name

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._real, name)
        if not callable(value) or name in _PURE:
            return value
        if name == "bind":
            # A calendar with the access that opens it: nobody is asked yet.
            return lambda *args: Touched(value(*args), self._fate, self._name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._fate.before(f"{self._name}.{name}")
            result = value(*args, **kwargs)
            if name in ("links_of_calendar", "list_exceptions"):
                result = iter(list(result))
            self._fate.after(f"{self._name}.{name}")
            return result

        return call


def touched(services: Services, fate: Fate) -> Services:
    """Return the services of a worker that has this fate."""
    providers: Any = {name: Touched(one, fate, name) for name, one in services.providers.items()}
    return replace(
        services,
        store=_as_any(Touched(services.store, fate, "store")),
        queue=_as_any(Touched(services.queue, fate, "queue")),
        calendars=_as_any(Touched(services.calendars, fate, "calendar")),
        providers=providers,
    )


def _as_any(value: Any) -> Any:
    return value


def ignored(error: SyncError) -> None:
    """The queue brings the task again."""
