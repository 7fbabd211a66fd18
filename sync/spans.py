"""Makes spans by opentelemetry, and sends them to an OTLP endpoint.

Loaded where SYNC_TRACE_URL names an endpoint, and nowhere else.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

import google.auth
import google.auth.exceptions
from google.auth.transport.requests import AuthorizedSession
from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.trace.status import StatusCode

from sync.tracing import Trace

_logger = logging.getLogger(__name__)

_GOOGLE = "https://telemetry.googleapis.com/"
_SCOPE = "https://www.googleapis.com/auth/trace.append"
# A request waits no longer for its spans to be sent.
_PATIENCE_SECONDS = 2.0


class Spans:
    """A `sync.tracing.Recorder`. Whether a trace is recorded is decided where it begins, by Cloud
    Run: spans of a trace that is not sampled are made and sent nowhere."""

    def __init__(
        self, provider: TracerProvider, *, patience_seconds: float = _PATIENCE_SECONDS
    ) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("sync")
        self._patience_seconds = patience_seconds
        # The SDK's own flush waits for as long as the endpoint lets it.
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="spans")
        self._sending: Future[bool] | None = None

    @contextmanager
    def span(self, name: str, parent: Trace | None) -> Iterator[Trace]:
        """Let the block be a span. An exception marks the span by its class, and goes on."""
        with self._tracer.start_as_current_span(
            name,
            _context_of(parent),
            # Both would keep the exception's text.
            record_exception=False,
            set_status_on_exception=False,
        ) as current:
            try:
                yield _trace_of(current.get_span_context())
            except Exception as error:
                current.set_attribute("error.type", type(error).__name__)
                current.set_status(StatusCode.ERROR)
                raise

    def waited(self, name: str, parent: Trace | None, since: float) -> None:
        self._tracer.start_span(name, _context_of(parent), start_time=int(since * 1e9)).end()

    def tell(self, facts: Mapping[str, str | float | bool]) -> None:
        trace.get_current_span().set_attributes(facts)

    def flush(self) -> None:
        """Send what was made, and wait a little. While an endpoint does not answer, nobody waits:
        the next request, or the SDK's own thread, sends the rest."""
        if self._sending is not None and not self._sending.done():
            return
        self._sending = self._sender.submit(self._provider.force_flush)
        wait([self._sending], timeout=self._patience_seconds)


def sent_to(
    url: str,
    *,
    project: str,
    service: str,
    version: str,
    patience_seconds: float = _PATIENCE_SECONDS,
) -> Spans:
    """Return what sends spans to `url`, in batches, from a thread of its own.

    With the function's own identity where the endpoint is Google's. Make one at the first request:
    a thread survives no fork, and credentials are asked for.
    https://docs.cloud.google.com/stackdriver/docs/reference/telemetry/v1.traces.post
    """
    session = _signed() if url.startswith(_GOOGLE) else None
    named = {"service.name": service or "sync", "service.version": version}
    # Google's endpoint asks for the project by this name.
    resource = Resource.create({**named, "gcp.project_id": project})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url, session=session)))
    return Spans(provider, patience_seconds=patience_seconds)


def _signed() -> AuthorizedSession | None:
    """Return a session with the function's identity. None where there is none: no request may fail
    because its spans cannot be sent."""
    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
    except google.auth.exceptions.GoogleAuthError as error:
        reason = type(error).__name__
        _logger.warning("spans are sent without credentials", extra={"reason": reason})
        return None
    return AuthorizedSession(credentials)


def _context_of(parent: Trace | None) -> context.Context:
    """The empty context, or one in which a span goes on from `parent`."""
    if parent is None or not int(parent.trace_id, 16) or not int(parent.span_id, 16):
        return context.Context()
    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    ids = int(parent.trace_id, 16), int(parent.span_id, 16)
    named = SpanContext(*ids, is_remote=True, trace_flags=flags)
    return trace.set_span_in_context(NonRecordingSpan(named), context.Context())


def _trace_of(named: SpanContext) -> Trace:
    return Trace(
        trace_id=trace.format_trace_id(named.trace_id),
        span_id=trace.format_span_id(named.span_id),
        sampled=named.trace_flags.sampled,
    )
