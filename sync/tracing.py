"""The trace of a request: what joins a notification, its task, its run and their calls.

W3C's trace context comes in with a request, goes on with each task, and is in each log line. Spans
are made along the way: `push`, `queue wait`, `task`, `run`, `listing`, `provider call`, `write
back`. Until `record` is called there are none, and opentelemetry is not even loaded.

A fact of a span is a digest, a number, or a word of ours. No title, guest, join link or id is one,
and neither is the text of an exception.

https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import ParamSpec, Protocol, TypeVar

_Parameters = ParamSpec("_Parameters")
_Answer = TypeVar("_Answer")

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_CLOUD_TRACE = re.compile(r"([0-9a-f]{32})/(\d{1,20})(?:;o=([01]))?")
# When a task was to be carried out, in seconds since 1970.
# https://docs.cloud.google.com/tasks/docs/creating-http-target-tasks#handler
_DUE = "X-CloudTasks-TaskETA"
_SECONDS = re.compile(r"\d{1,10}(\.\d{1,9})?")


class _Headers(Protocol):
    def get(self, key: str, default: str, /) -> str: ...


@dataclass(frozen=True, slots=True)
class Trace:
    """The span under way, as others are told of it."""

    trace_id: str
    span_id: str
    sampled: bool

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


class Recorder(Protocol):
    """Makes spans, and sends them where they are kept. Safe for threads."""

    def span(self, name: str, parent: Trace | None) -> AbstractContextManager[Trace]:
        """Let the block be a span, as whose trace it is handed on."""
        ...

    def waited(self, name: str, parent: Trace | None, since: float) -> None:
        """Make a span that began at `since`, in seconds since 1970, and ends now."""
        ...

    def tell(self, facts: Mapping[str, str | float | bool]) -> None:
        """Add what became known to the span that this thread is in."""
        ...

    def flush(self) -> None:
        """Send what was made so far, unless that takes long."""
        ...


_trace: ContextVar[Trace | None] = ContextVar("trace", default=None)
# One for the process. None, until `record`: no spans are made.
_recorder: Recorder | None = None


def record(recorder: Recorder | None) -> None:
    """Let this recorder make all spans from now on. None: no more are made."""
    global _recorder
    _recorder = recorder


@contextmanager
def request(name: str, headers: _Headers) -> Iterator[None]:
    """Let the block be one request of the trace that its headers name.

    Of a task, how long it was ready before it was delivered is a span of its own. Spans are sent
    before the request is answered: an instance may be frozen afterwards.
    """
    follow_trace(headers)
    if recorder := _recorder:
        due = headers.get(_DUE, "")
        if _SECONDS.fullmatch(due) and float(due) <= time.time():
            recorder.waited("queue wait", current_trace(), float(due))
    try:
        with span(name):
            yield
    finally:
        if recorder := _recorder:
            recorder.flush()


@contextmanager
def span(name: str) -> Iterator[None]:
    """Let the block, or the function, be a span: `with span("run"):` or `@span("run")`."""
    if _recorder is None:
        yield
        return
    with _recorder.span(name, current_trace()) as own:
        before = _trace.set(own)
        try:
            yield
        finally:
            _trace.reset(before)


def tell(**facts: str | float | bool) -> None:
    """Add what became known to the span under way."""
    if recorder := _recorder:
        recorder.tell(facts)


def follow_trace(headers: _Headers) -> None:
    """Let everything from now on, in this request, belong to the request's trace, if any."""
    if found := _TRACEPARENT.fullmatch(headers.get("traceparent", "").strip()):
        _trace.set(Trace(found[1], found[2], int(found[3], 16) % 2 == 1))
    elif found := _CLOUD_TRACE.fullmatch(headers.get("X-Cloud-Trace-Context", "").strip()):
        _trace.set(Trace(found[1], f"{int(found[2]) % 2**64:016x}", found[3] == "1"))
    else:
        _trace.set(None)


def current_trace() -> Trace | None:
    """Return the trace of the request under way. A thread that it starts has one by `carried`."""
    return _trace.get()


def carried(function: Callable[_Parameters, _Answer]) -> Callable[_Parameters, _Answer]:
    """Return `function` for another thread: what it logs, its spans and tasks keep the trace.

    `pool.submit(carried(apply), event)`. The trace is that of the moment of wrapping. The result
    may be called many times and by several threads at once.
    """
    trace = _trace.get()

    @functools.wraps(function)
    def call(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Answer:
        before = _trace.set(trace)
        try:
            return function(*args, **kwargs)
        finally:
            _trace.reset(before)

    return call
