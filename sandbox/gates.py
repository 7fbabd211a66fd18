"""Doors in front of a service: both let everything through until they are told to fail.

    gate = Gate(firestore.host)           # any service on loopback that speaks TCP
    gate.start()
    gate.behave("refuse")                 # nobody listens there any more
    gate.behave("pass")

`Gate` passes bytes and fails as a network or a machine does. `GrpcGate` passes the calls of any
gRPC service and answers with a status of its own, whose service need not know how to fail: Google's
Firestore emulator cannot be asked to.

Not imitated: TLS, lost packets, connections that stay open in silence.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any, Literal

import grpc

from sandbox.grpc_service import GrpcServer
from sandbox.servers import LOOPBACK

Behaviour = Literal["pass", "refuse", "page", "half", "late"]

_PAGE = b"<!DOCTYPE html><html><body><h1>We will be back soon</h1></body></html>"
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(_PAGE), _PAGE)
)
_PIECE = 65_536
# What gRPC adds by itself.
_OWN_METADATA = ("user-agent", "grpc-")


class Gate:
    """A loopback port that leads to a service.

    `refuse`: nobody listens, and what was open is cut. `page`: whatever is sent is answered with a
    page of HTML over HTTP/1.1. `half`: what is asked is done, half of the next piece of the answer
    is passed on, and the connection is cut. `late`: the same without any of the answer, as for a
    caller who has hung up meanwhile.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._behaviour: Behaviour = "pass"
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = self._listen(0)
        self.port: int = self._listener.getsockname()[1]

    @property
    def host(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def start(self) -> None:
        assert self._listener is not None
        self._accept_from(self._listener)

    def stop(self) -> None:
        """Close everything. Safe to repeat."""
        self.behave("refuse")

    def behave(self, behaviour: Behaviour) -> None:
        """Behave so from now on. Connections that are open go on, but for `refuse` and `page`."""
        with self._lock:
            self._behaviour = behaviour
            listener, cut = self._listener, set(self._open)
            if behaviour == "refuse":
                self._listener = None
            elif listener is None:
                self._listener = self._listen(self.port)
                self._accept_from(self._listener)
        if behaviour == "refuse" and listener is not None:
            _close(listener)
        if behaviour in ("refuse", "page"):
            for each in cut:
                _close(each)

    def _listen(self, port: int) -> socket.socket:
        return socket.create_server((LOOPBACK, port))

    def _accept_from(self, listener: socket.socket) -> None:
        threading.Thread(
            target=self._accept, args=(listener,), name=f"gate-{listener}", daemon=True
        ).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                caller, _ = listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        if self._behaviour == "page":
            self._answer_page(caller)
            return
        try:
            service = socket.create_connection(self._target)
        except OSError:
            _close(caller)
            return
        with self._lock:
            self._open |= {caller, service}
        asking = threading.Thread(target=self._pump, args=(caller, service), daemon=True)
        asking.start()
        self._pump(service, caller, answers=True)
        asking.join()
        with self._lock:
            self._open -= {caller, service}

    def _answer_page(self, caller: socket.socket) -> None:
        with contextlib.suppress(OSError):
            caller.recv(_PIECE)
            caller.sendall(_ANSWER)
        _close(caller)

    def _pump(self, source: socket.socket, sink: socket.socket, *, answers: bool = False) -> None:
        """Pass bytes on until either side ends, then end both."""
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE):
                if answers and self._behaviour in ("half", "late"):
                    if self._behaviour == "half":
                        sink.sendall(piece[: len(piece) // 2])
                    break
                sink.sendall(piece)
        _close(source)
        _close(sink)


class GrpcGate(GrpcServer):
    """Passes every call of any gRPC service on, as bytes, or ends it with a status of its own.

    Not for methods that take a stream of requests.
    """

    def __init__(self, target: str) -> None:
        self._channel = grpc.insecure_channel(target)
        self._status: grpc.StatusCode | None = None
        self._after = False
        super().__init__(_Everything(self), name="grpc-gate")

    def stop(self) -> None:
        """End the server and its connection. Safe to repeat."""
        super().stop()
        self._channel.close()

    def answer(self, status: grpc.StatusCode | None, *, after: bool = False) -> None:
        """End every call with this status from now on. None: pass them on again.

        `after`: each is carried out first, and its outcome is unknown to the caller.
        """
        self._status, self._after = status, after

    def call(self, method: str, request: bytes, context: grpc.ServicerContext) -> list[bytes]:
        """Return the answers to one call, in order; that of a unary call is the only one."""
        status, after = self._status, self._after
        if status is not None and not after:
            context.abort(status, "The gate was asked to fail every call.")
        metadata = tuple(
            (key, value)
            for key, value in context.invocation_metadata()
            if not key.startswith(_OWN_METADATA)
        )
        passed: Any = self._channel.unary_stream(method)
        try:
            answers = list(passed(request, metadata=metadata, timeout=context.time_remaining()))
        except grpc.RpcError as error:
            context.abort(error.code(), error.details() or "")
        if status is not None:
            context.abort(status, "The gate carried the call out and was asked to fail it then.")
        return answers


class _Everything(grpc.GenericRpcHandler):
    """Whatever the method: one request of bytes, and a stream of answers."""

    def __init__(self, gate: GrpcGate) -> None:
        self._gate = gate

    def service(self, handler_call_details: Any) -> Any:
        method: str = handler_call_details.method

        def passed(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            yield from self._gate.call(method, request, context)

        return grpc.unary_stream_rpc_method_handler(passed)


def _close(each: socket.socket) -> None:
    # Shut down first: a thread that waits in `recv` or `accept` would not notice a mere close.
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
