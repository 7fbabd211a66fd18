"""The story of the demo on the page: each step waits until somebody asks for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sandbox.story import Story, Wrong, play
from sandbox.world import World

Json = dict[str, Any]


class _Stopped(Exception):
    """The page is closed while the story waits."""


class StepByStep(Story):
    """Plays the story in a thread of its own, a step for each call of `go`."""

    def __init__(
        self, world: World, notify: Callable[[], None], explain: Callable[[bool], None]
    ) -> None:
        """`explain(False)` ends reads at the provider that are not the story's own."""
        super().__init__(world, self._told)
        self._notify, self._explain = notify, explain
        self._go = threading.Semaphore(0)
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.lines: list[str] = []
        self.state = "not begun"
        """Or `waiting` for the next step, `playing` one, `over`, `wrong`."""
        self.next_title: str | None = None

    def go(self) -> None:
        """Play the next step, the first one included. Ignored while a step is played."""
        if self.state in ("playing", "over", "wrong"):
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._play, name="story", daemon=True)
            self._thread.start()
        self.state = "playing"
        self._go.release()
        self._notify()

    def stop(self) -> None:
        """Let a story that waits end. Safe to repeat."""
        self._stopping = True
        self._go.release()

    def shown(self) -> Json:
        return {"state": self.state, "next": self.next_title, "lines": self.lines[-200:]}

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self.next_title = title
        if self.lines:
            self.state = "waiting"
        self._notify()
        self._go.acquire()
        if self._stopping:
            raise _Stopped
        self.state = "playing"
        self._explain(False)
        try:
            with super().step(title):
                yield
        finally:
            self._explain(True)

    def _play(self) -> None:
        try:
            play(self)
        except _Stopped:
            return
        except (Wrong, TimeoutError) as error:
            self.lines.append(f"The story went wrong: {error}")
            self.state = "wrong"
        else:
            self.lines.append("Everything is in step.")
            self.state = "over"
        self.next_title = None
        self._notify()

    def _told(self, line: str) -> None:
        self.lines += line.split("\n")
        self._notify()
