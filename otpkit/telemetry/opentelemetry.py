"""The listener for OpenTelemetry: a trace of each call, and metrics of events. Extra: `otel`.

It needs the API of OpenTelemetry alone. Without an SDK, nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

from otpkit.core.tracing import Server
from otpkit.effects import Flow
from otpkit.errors import ConfigurationError
from otpkit.models import Event

try:
    from opentelemetry.trace import TracerProvider, get_tracer

    from otpkit.telemetry.spans import Spans
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        f"OpenTelemetryListener needs {missing.name!r}, which is not installed.", "Run: pip install 'otpkit[otel]'."
    ) from missing

__all__ = ["OpenTelemetryListener"]

T = TypeVar("T")
_SCOPE = "otpkit"
_SCHEMA = "https://opentelemetry.io/schemas/1.34.0"


class OpenTelemetryListener:
    """A listener that traces calls, and counts and times events, by OpenTelemetry.

        otp = OTP(…, listeners=[OpenTelemetryListener()])

    Each call is a span, such as `otpkit.issue`, below the current span of its caller. Its children are the scripts in
    Redis, the HTTP requests of gateways, and the functions that were passed in. No span or metric holds a code, a
    phone, a pseudonym of one, a secret, an address or a bind. If a span can't be made, the call runs on without it.

    Args:
        tracer_provider: the provider of tracers; None is the one that your program set for the process.
        meter_provider: the provider of meters; None is the one that your program set for the process.
    """

    def __init__(self, *, tracer_provider: TracerProvider | None = None, meter_provider: Any = None) -> None:
        try:
            release = version("otpkit")
        except PackageNotFoundError:
            release = ""
        self._tracer = get_tracer(_SCOPE, release, tracer_provider, _SCHEMA)

    def __call__(self, event: Event) -> None:
        """Count an event."""

    def trace_call(self, operation: str, begin: Callable[[], Flow[T]], server: Server | None) -> Flow[T]:
        """Run a call's flow in a span, with a child for each of its effects; see `Tracing.trace_call`."""
        spans = Spans(self._tracer, operation, server)
        reply: Any = None
        failure: Exception | None = None
        flow: Flow[T] | None = None
        try:
            flow = begin()
            while True:
                effect = flow.send(reply) if failure is None else flow.throw(failure)
                reply = failure = None
                effect = spans.begin(effect)
                try:
                    reply = yield effect
                except Exception as error:  # noqa: BLE001 - The flow decides what it means.
                    failure = error
                spans.end(reply, failure)
        except StopIteration as stop:
            spans.finish(None)
            value: T = stop.value
            return value
        except BaseException as error:
            spans.finish(error)
            raise
        finally:
            if flow is not None:
                flow.close()
