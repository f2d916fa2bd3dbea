"""The spans of one call: one for the call, and below it one for each effect that takes time.

Attributes follow OpenTelemetry's semantic conventions for database and HTTP clients, and `otpkit.*` for the rest. They
come from fixed words, such as a script's name, and from events: never from arguments, errors' texts or a URL's query.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, wraps
from inspect import iscoroutinefunction
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar
from urllib.parse import urlsplit

from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otpkit.core.tracing import Server
from otpkit.effects import Call, Effect, Emit, HttpRequest, HttpResponse, Outbound, RunScript, Together
from otpkit.errors import OTPError
from otpkit.models import Event
from otpkit.telemetry.metrics import purpose_of

_log = logging.getLogger("otpkit")
P = ParamSpec("P")
R = TypeVar("R")
Attributes: TypeAlias = dict[str, str | int]

_W3C: Final = TraceContextTextMapPropagator()  # No baggage: it may hold anything, and gateways are other companies.
_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}
# A part of a path that is a word of an API, or its version. Any other part may be an id, a key or a number.
_WORD: Final = re.compile(r"[A-Za-z]{1,16}(?:[._-][A-Za-z]{1,16})*|v[0-9]{1,2}")
_CANCELLED: Final = "cancelled"


def _guarded(method: Callable[P, R]) -> Callable[P, R | None]:
    """Return a method that never raises: a tracer must not break a call. Only the class of its error is logged."""

    @wraps(method)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return method(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - It comes from a span processor or a sampler.
            _log.debug("OpenTelemetry raised %s", type(error).__name__)
            return None

    return guarded


@_guarded
def start(tracer: Tracer, name: str) -> Span:
    """Start the span of a call below the current span. None if that fails."""
    return tracer.start_span(name, record_exception=False, set_status_on_exception=False)


class Spans:
    """The spans of one call, from the call's own on. Its methods never raise.

    Args:
        tracer: the tracer that makes the spans.
        span: the call's own span.
        server: the Redis server, or None.
    """

    __slots__ = ("_context", "_is_recording", "_server", "_span", "_tracer", "child")

    def __init__(self, tracer: Tracer, span: Span, server: Server | None) -> None:
        self._tracer = tracer
        self._span = span
        self._server = server
        # Children name their parent. Attaching a context here would leave it behind if the call is cancelled.
        self._context = set_span_in_context(span)
        self._is_recording = span.is_recording()
        self.child: Span | None = None
        """The span of the effect that is being performed."""

    def begin(self, effect: Effect) -> Effect:
        """Start the span of an effect, if it takes time. Return the effect to perform."""
        if self._is_recording or type(effect) is Outbound:
            return self._begin(effect) or effect
        return effect

    @_guarded
    def _begin(self, effect: Effect) -> Effect:
        if isinstance(effect, RunScript):
            self._open(*_script(effect.script.name, self._server), SpanKind.CLIENT)
        elif isinstance(effect, Emit):
            self._note(effect.event)
        elif isinstance(effect, Together):
            self._open(*_batch([each.script.name for each in effect.scripts], self._server), SpanKind.CLIENT)
        elif isinstance(effect, Outbound):
            return Outbound(effect.lane, self._outbound(effect.lane, effect.effect), effect.within)
        else:
            return self._outbound("", effect)
        return effect

    def _outbound(self, lane: str, effect: HttpRequest | Call) -> HttpRequest | Call:
        if isinstance(effect, Call):
            if self._is_recording:
                self._open(f"call {lane or 'function'}", _lane(lane), SpanKind.INTERNAL)
            return Call(_within(self._inner(), effect.function), effect.argument)
        if self._is_recording:
            self._open(*_request(lane, effect), SpanKind.CLIENT)
        if not effect.takes_trace:
            return effect
        headers = dict(effect.headers)
        _W3C.inject(headers, self._inner())
        return replace(effect, headers=headers)

    def _inner(self) -> Context:
        """Return the context of what the running effect does."""
        return self._context if self.child is None else set_span_in_context(self.child, self._context)

    def _open(self, name: str, attributes: Attributes, kind: SpanKind) -> None:
        self.child = self._tracer.start_span(
            name, self._context, kind, attributes, record_exception=False, set_status_on_exception=False
        )

    @_guarded
    def end(self, reply: object, failure: BaseException | None) -> None:
        """End the span of the effect that was performed.

        Args:
            reply: the reply of the effect.
            failure: the error that it raised, or None.
        """
        child, self.child = self.child, None
        if child is None:
            return
        if failure is not None:
            _fail(child, _kind(failure))
        elif isinstance(reply, HttpResponse):
            child.set_attribute("http.response.status_code", reply.status)
            if reply.status >= 400:
                _fail(child, str(reply.status))
        child.end()

    def finish(self, error: BaseException | None) -> None:
        """End the call's span, and that of an effect that was not completed.

        Args:
            error: the error that ended the call, or None.
        """
        if self.child is not None:
            self.end(None, error)
        if self._is_recording:
            self._finish(error)

    @_guarded
    def _finish(self, error: BaseException | None) -> None:
        if error is not None:
            _fail(self._span, _kind(error))
        self._span.end()

    def _note(self, event: Event) -> None:
        """Add an event to the call's span: as attributes if it is about the whole call, or else as an event."""
        found = {
            "otpkit.outcome": event.outcome,
            "otpkit.gateway": event.gateway,
            "otpkit.scope": event.scope,
            "otpkit.channel": event.channel,
            "otpkit.region": event.region,
        }
        if event.name in _RESULTS:
            found |= {
                "otpkit.event": event.name,
                "otpkit.purpose": purpose_of(event),
                "otpkit.operation_id": event.operation_id,
                "otpkit.challenge_id": event.challenge_id,
            }
            self._span.set_attributes({name: value for name, value in found.items() if value})
        else:
            self._span.add_event(event.name, {name: value for name, value in found.items() if value})


_RESULTS: Final = frozenset(
    {
        *("devices_forgotten", "erased", "issued", "redeemed", "refused", "replayed", "resent", "revoked", "unblocked"),
        "verified",
    }
)
"""The events that report the result of a call. Any other event is a part of it."""


@cache
def _script(name: str, server: Server | None) -> tuple[str, Attributes]:
    """Return the name and the attributes of a script's span. The scripts and the servers of a process are few."""
    return f"EVALSHA {name}", {"db.operation.name": "EVALSHA", "db.stored_procedure.name": name} | _redis(server)


def _batch(names: list[str], server: Server | None) -> tuple[str, Attributes]:
    """Return the name and the attributes of the span of scripts that run side by side."""
    name = ", ".join(dict.fromkeys(names))
    if len(names) < 2:
        return _script(name, server)
    attributes = {"db.operation.name": "BATCH EVALSHA", "db.stored_procedure.name": name} | _redis(server)
    return f"BATCH EVALSHA {name}", attributes | {"db.operation.batch.size": len(names)}


def _redis(server: Server | None) -> Attributes:
    known: Attributes = {"db.system.name": "redis"}
    if server is not None:
        host, port, database = server
        known |= {"server.address": host, "server.port": port, "db.namespace": str(database)}
    return known


def _request(lane: str, request: HttpRequest) -> tuple[str, Attributes]:
    """Return the name and the attributes of an HTTP request's span. They hold no query, and no id in the path."""
    parts = urlsplit(request.url)
    method = request.method if request.method in _METHODS else "_OTHER"
    host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    template = "/".join(part if not part or _WORD.fullmatch(part) else "{}" for part in parts.path.split("/"))
    origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    attributes: Attributes = {
        "http.request.method": method,
        "server.address": host,
        "server.port": port,
        "url.full": origin + template,
        "url.template": template or "/",
    }
    return f"{method} {lane or host}", attributes | _lane(lane)


def _lane(lane: str) -> Attributes:
    """Return the attribute that names who serves a lane: a gateway, or a captcha's provider."""
    name, _, captcha = lane.partition("captcha-")
    if not name and captcha:
        return {"otpkit.captcha": captcha}
    return {} if lane in ("", "risk") else {"otpkit.gateway": lane.removesuffix("-trace")}


def _within(context: Context, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function that runs within a context, so that the spans which it makes are children."""
    if iscoroutinefunction(function):

        async def awaited(argument: Any) -> Any:
            token = contexts.attach(context)
            try:
                return await function(argument)
            finally:
                contexts.detach(token)

        return awaited

    def called(argument: Any) -> Any:
        token = contexts.attach(context)
        try:
            return function(argument)
        finally:
            contexts.detach(token)

    return called


def _kind(error: BaseException) -> str:
    """Return the word for an error: its code if it is ours, or its class. Never its text."""
    if isinstance(error, OTPError):
        return error.code
    return type(error).__name__ if isinstance(error, Exception) else _CANCELLED


def _fail(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, kind))
