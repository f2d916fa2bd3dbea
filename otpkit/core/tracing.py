"""Traced calls: each public call runs inside a generator of the tracer, which sees all of its effects.

A flow without a tracer is not wrapped, so tracing costs nothing where it is off.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

from otpkit.core.flows import Flows
from otpkit.effects import Flow

T = TypeVar("T")


Server: TypeAlias = tuple[str, int, int]
"""The Redis server that a store's URL names: its host, port and database."""


@runtime_checkable
class Tracing(Protocol):
    """A listener that also traces calls. `OTP` and `AsyncOTP` look for the method `trace_call` when they are built."""

    def trace_call(self, operation: str, begin: Callable[[], Flow[T]], server: Server | None) -> Flow[T]:
        """Return a flow that runs the call's own flow and passes its effects on, or the call's own flow as it is.

        This method and the flow run in the thread or task of the call, and the flow must close the call's own one. It
        may replace an `HttpRequest` by one with more headers, if the request `takes_trace`.

        Args:
            operation: the name of the call, such as `issue`.
            begin: a function that checks the call's arguments and returns its flow.
            server: the server that the store's URL names; None for several servers, or a client that was passed in.
        """
        ...


def traced(flows: Flows, tracers: Iterable[Tracing], server: Server | None) -> Flows:
    """Return flows whose public calls are traced.

    Args:
        flows: the flows of one OTP. They are changed.
        tracers: the tracers; the last one is the innermost.
        server: the server that the store's URL names, or None.
    """
    for tracer in reversed(list(tracers)):
        for name, call in inspect.getmembers(flows, callable):
            if not name.startswith("_"):
                # An attribute of the instance stands before the method of its class.
                setattr(flows, name, _traced(tracer, name, call, server))
    return flows


def _traced(tracer: Tracing, name: str, call: Callable[..., Any], server: Server | None) -> Callable[..., Any]:
    trace_call = tracer.trace_call

    def begin(*args: Any, **kwargs: Any) -> Any:
        return trace_call(name, partial(call, *args, **kwargs), server)

    def override(action: str, *args: Any, **kwargs: Any) -> Any:
        return trace_call(f"guard_{action}", partial(call, action, *args, **kwargs), server)

    def at_once(*args: Any, **kwargs: Any) -> Any:
        return _result_of(trace_call(name, partial(_flow_of, partial(call, *args, **kwargs)), server))

    if name in _WITHOUT_EFFECTS:
        return at_once
    return override if name == "override" else begin


_WITHOUT_EFFECTS = frozenset({"check"})
"""The calls that return their result at once, in place of a flow."""


def _flow_of(call: Callable[[], T]) -> Flow[T]:
    return call()
    yield  # This makes the function a generator. The flow has no effects.


def _result_of(flow: Generator[Any, Any, T]) -> T:
    """Run a flow without effects and return its result."""
    try:
        next(flow)
    except StopIteration as stop:
        value: T = stop.value
        return value
    finally:
        flow.close()
    raise AssertionError("a call without effects had one")
