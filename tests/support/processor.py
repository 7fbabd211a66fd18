"""Bounds on processor time, for what strangers may write to be slow."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def processor_time_below(seconds: float, *, of_all_threads: bool = False) -> Iterator[None]:
    """Fail if the block takes more processor time than this, in this thread or in all threads.

    It tells work that grows with the square of a length, which takes minutes, from work that
    grows with the length. What a busy machine does meanwhile does not count, nor does a collection
    of garbage, which is put off until after the block: in a process that has run many tests one
    takes a second.
    """
    spent = time.process_time if of_all_threads else time.thread_time
    gc.disable()
    try:
        begun = spent()
        yield
        took = spent() - begun
    finally:
        gc.enable()
    assert took < seconds, f"{took:.2f} s of the processor, {seconds:g} s are allowed"
