"""One gRPC service on loopback, for the stand-ins that speak gRPC: its methods by name, and
failures on request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import grpc
import proto

from sandbox.servers import LOOPBACK

T = TypeVar("T")


class Refusal(Exception):
    """What a method raises to answer with a gRPC status."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True, kw_only=True)
class _Failure:
    code: grpc.StatusCode
    times: int
    after: bool
    method: str | None


class GrpcServer:
    """Whatever answers gRPC on loopback: `handler` finds the method that a call names."""

    def __init__(self, handler: grpc.GenericRpcHandler, *, name: str, port: int = 0) -> None:
        """`port` 0 takes a free one. Threads get this name."""
        # Room for many callers that wait out a delay; threads are only made when they are needed.
        self._threads = futures.ThreadPoolExecutor(max_workers=64, thread_name_prefix=name)
        # Without so_reuseport=0 a second server on the same port would silently take half of the
        # calls.
        self._server = grpc.server(self._threads, options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((handler,))
        self.port: int = self._server.add_insecure_port(f"{LOOPBACK}:{port}")

    @property
    def host(self) -> str:
        """`host:port`, the form of the `…_EMULATOR_HOST` variables."""
        return f"{LOOPBACK}:{self.port}"

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        """Cut every call short and end the server's threads. Safe to repeat."""
        self._server.stop(grace=None).wait(timeout=5)
        self._threads.shutdown(wait=True)


class GrpcService(GrpcServer):
    """One gRPC service on loopback: its methods by name, and the failures that tests ask for.

    A method takes the request's message and returns the answer's, or raises `Refusal`. Calls run
    side by side.
    """

    def __init__(
        self, service: str, methods: Mapping[str, tuple[Any, Callable[[Any], Any]]], port: int
    ) -> None:
        """`methods`: name → (type of the request, the method). `port` 0 takes a free one."""
        self._failures: list[_Failure] = []
        self._failures_lock = threading.Lock()
        self._refuse_all = False
        self._delay_seconds = 0.0
        self._stopped = threading.Event()
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                self._guarded(name, method),
                request_deserializer=request.deserialize,
                response_serializer=_serialize,
            )
            for name, (request, method) in methods.items()
        }
        super().__init__(
            grpc.method_handlers_generic_handler(service, handlers),
            name=service.rpartition(".")[2],
            port=port,
        )

    def stop(self) -> None:
        self._stopped.set()
        super().stop()

    def fail_next(
        self, code: grpc.StatusCode, times: int = 1, after: bool = False, method: str | None = None
    ) -> None:
        """Answer the next `times` calls (of one method, or of any) with `code`.

        With `after` the call is carried out first: its outcome is unknown to the caller. Failures
        asked for earlier strike first.
        """
        with self._failures_lock:
            self._failures.append(_Failure(code=code, times=times, after=after, method=method))

    def delay(self, seconds: float) -> None:
        """Let every call wait so long first, until told otherwise. 0 ends it."""
        self._delay_seconds = seconds

    def refuse_all(self, refuse: bool = True) -> None:
        """Answer UNAVAILABLE to everything, as a service that is down, until called with False."""
        self._refuse_all = refuse

    def refused(self, method: str, request: Any, code: grpc.StatusCode) -> None:
        """Called for each call that failed without effect. For those who keep a record."""

    def _take_failure(self, method: str) -> _Failure | None:
        with self._failures_lock:
            for failure in self._failures:
                if failure.method in (None, method):
                    failure.times -= 1
                    if failure.times <= 0:
                        self._failures.remove(failure)
                    return failure
        return None

    def _guarded(
        self, name: str, method: Callable[[Any], Any]
    ) -> Callable[[Any, grpc.ServicerContext], Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Any:
            def refuse(code: grpc.StatusCode, message: str) -> NoReturn:
                self.refused(name, request, code)
                context.abort(code, message)

            if self._delay_seconds:
                self._stopped.wait(self._delay_seconds)
            if self._refuse_all:
                refuse(grpc.StatusCode.UNAVAILABLE, "The stand-in refuses everything for now.")
            failure = self._take_failure(name)
            if failure is not None and not failure.after:
                refuse(failure.code, "The stand-in was asked to fail this call.")
            try:
                answer = method(request)
            except Refusal as refusal:
                refuse(refusal.code, str(refusal))
            if failure is not None:
                context.abort(
                    failure.code, "The stand-in carried the call out and was asked to fail it then."
                )
            return answer

        return call


def page(items: Sequence[T], size: int, token: str, maximum: int) -> tuple[Sequence[T], str]:
    """Return one page of `items` and the token of the next page, empty after the last."""
    if token and not token.isdecimal():
        raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "The page token is not one of ours.")
    start = int(token or 0)
    end = start + (min(size, maximum) if size > 0 else maximum)
    return items[start:end], str(end) if end < len(items) else ""


def _serialize(message: Any) -> bytes:
    data: bytes = (
        type(message).serialize(message)
        if isinstance(message, proto.Message)
        else message.SerializeToString()
    )
    return data
