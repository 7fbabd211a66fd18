"""SQLite alone: one file that several processes share, and that outlives them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sync.errors import TryLater
from sync.model.calendar import CalendarState
from sync.store import Versioned
from sync.store.sqlite import SqliteStore
from tests.support.stores import ANNA, BEN, FULL_STATE

ROOT = Path(__file__).resolve().parent.parent.parent


_COUNT = """
import sys
from dataclasses import replace
from sync.store.compare_and_set import change_calendar
from sync.store.sqlite import SqliteStore

store = SqliteStore(sys.argv[1])
for _ in range(100):
    change_calendar(
        store, "anna@example.com", lambda state: replace(state, expirations=state.expirations + 1)
    )
store.close()
"""


@pytest.mark.programs
def test_two_processes_share_one_sqlite_file(tmp_path: Path) -> None:
    """Two processes that count at once, beside this one that reads, lose nothing and wait for
    each other."""
    path = str(tmp_path / "state.sqlite")
    store = SqliteStore(path)
    store.create_calendar(CalendarState(calendar_id=ANNA))
    command = [sys.executable, "-c", _COUNT, path]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    seen = []
    while any(process.poll() is None for process in processes):
        found = store.get_calendar(ANNA)
        seen.append(found.value.expirations if found else -1)
    for process in processes:
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0, errors
    found = store.get_calendar(ANNA)
    store.close()
    assert found is not None
    assert found.value.expirations == 200
    assert seen == sorted(seen)


def test_what_is_written_to_sqlite_is_there_after_a_restart(tmp_path: Path) -> None:
    """A file that exists is opened as it is."""
    path = str(tmp_path / "state.sqlite")
    first = SqliteStore(path)
    version = first.create_calendar(FULL_STATE)
    first.close()
    second = SqliteStore(path)
    assert second.get_calendar(BEN) == Versioned(FULL_STATE, version)
    second.close()


def test_a_sqlite_file_that_another_keeps_busy_is_tried_later(tmp_path: Path) -> None:
    """A lock that does not end is no crash."""
    path = str(tmp_path / "state.sqlite")
    store, other = SqliteStore(path), SqliteStore(path)
    store._connection.execute("pragma busy_timeout = 50")
    other._connection.execute("begin immediate")
    with pytest.raises(TryLater, match="SQLite"):
        store.create_calendar(CalendarState(calendar_id=ANNA))
    other._connection.execute("rollback")
    store.create_calendar(CalendarState(calendar_id=ANNA))
    store.close()
    other.close()
