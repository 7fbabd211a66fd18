"""Progress on stderr, for what lasts longer than a second."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

SILENT_SECONDS = 1.0
"""What ends sooner shows nothing."""
_LINE_SECONDS = 5.0
"""Where stderr is no terminal, a line is written so often."""


class Progress:
    """Shows how far something is, from its second second on. Safe for threads.

    A terminal shows a bar, anything else gets a line from time to time. Without `total` only the
    text is shown.
    """

    def __init__(self, console: Console, text: str, total: int | None = None) -> None:
        self._console = console
        self._text = text
        self._total = total
        self._done = 0
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._show, name="progress", daemon=True)

    def advance(self, steps: int = 1) -> None:
        """Count what has been done."""
        with self._lock:
            self._done += steps

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _show(self) -> None:
        if self._over.wait(SILENT_SECONDS):
            return
        if self._console.is_terminal:
            self._show_bar()
        else:
            self._write_lines()

    def _show_bar(self) -> None:
        counted = [] if self._total is None else [BarColumn(), MofNCompleteColumn()]
        columns = [TextColumn("{task.description}"), *counted, TimeElapsedColumn()]
        with Bar(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(self._text, total=self._total)
            while not self._over.wait(0.1):
                bar.update(task, completed=self._done)

    def _write_lines(self) -> None:
        while True:
            count = "" if self._total is None else f": {self._done} of {self._total}"
            self._console.print(f"{self._text}{count} …", markup=False, highlight=False)
            if self._over.wait(_LINE_SECONDS):
                return
