"""The effects that a flow may yield. A flow is a generator; a shell performs each effect and sends the reply back.

The flow decides and does no I/O. The shell does I/O and decides nothing. So the sync and the async library share the
same code.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar, final

from otpkit.errors import ConfigurationError, StoreUnavailableError
from otpkit.models import Event

MAX_RESPONSE: Final = 1024 * 1024  # In bytes.

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Script(Generic[T_co]):
    """A Lua script: its name, its text, and the SHA-1 by which Redis knows it.

    Each script is an instance of its own subclass, its face. Call the face with the script's keys and arguments.
    `replicas` is the number of replicas that must confirm its writes; 0 does not wait.
    """

    __slots__ = ("name", "replicas", "sha", "text")

    def __init__(self, name: str, text: str, replicas: int = 0) -> None:
        self.name = name
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()
        self.replicas = replicas

    def read(self, reply: object, args: tuple[bytes | str | int, ...]) -> T_co:
        """Return a reply to `args` as a typed value.

        Raises AttributeError, LookupError, TypeError or ValueError for a reply that this script can't have returned.
        """
        raise NotImplementedError


@final
class RunScript(Generic[T_co]):
    """An effect: run `script` and wait until `replicas` replicas have its writes. The reply is the result of `read`."""

    __slots__ = ("args", "keys", "replicas", "script")

    def __init__(
        self, script: Script[T_co], keys: tuple[str, ...], args: tuple[bytes | str | int, ...], replicas: int = 0
    ) -> None:
        self.script = script
        self.keys = keys
        self.args = args
        self.replicas = replicas


class SeveralSlots(ConfigurationError):
    """A proxy in front of a cluster refused a script before it ran: its keys lie in several slots."""


class Unconfirmed(StoreUnavailableError):
    """A script ran, but too few replicas confirmed its writes."""


class Together(Generic[T_co]):
    """An effect: run independent scripts, concurrently if the shell can. The reply is the list of their results."""

    __slots__ = ("scripts",)

    def __init__(self, scripts: tuple[RunScript[T_co], ...]) -> None:
        self.scripts = scripts


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """An effect: make one HTTP request, once: no retry, no redirect. The reply is an `HttpResponse`.

    The shell throws `NotConnected` or `NoAnswer` into the flow.

    Args:
        method: `GET`, `POST` or another method.
        url: the whole URL; it may have a query.
        params: the parameters to add to the URL's query, in UTF-8 with `%20` for a blank.
        headers: the headers by name. The Content-Length is added.
        timeout: seconds to connect, and seconds for the response.
        body: the body's bytes; None sends none.
        proxy: the URL of the proxy for https:// requests, such as `http://proxy.example:3128`; None connects directly.
        max_response: the largest response to accept, in bytes: on the wire with its header, and again after decoding. A
            larger one is `NoAnswer`.
        takes_trace: True if a tracer may add the headers `traceparent` and `tracestate`: the server accepts them, and
            no signature covers all headers.
    """

    method: str
    url: str
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: tuple[float, float]
    body: bytes | None = field(default=None, repr=False)
    proxy: str | None = field(default=None, repr=False)
    max_response: int = MAX_RESPONSE
    takes_trace: bool = False


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response that arrived completely.

    Args:
        status: the HTTP status, such as 200.
        headers: the headers by name in lower case.
        text: the body, decoded as UTF-8.
    """

    status: int
    headers: Mapping[str, str]
    text: str = field(repr=False)


class TransportFailure(Exception):
    """An HTTP exchange without a complete response. It carries its kind only: the original error contains the URL."""


class NotConnected(TransportFailure):
    """The connection was never made (refused, DNS, TLS, connect timeout), so the request was certainly not sent."""


class NotStarted(NotConnected):
    """Nothing was started: its turn did not come in time, or the code would have expired on the way."""


class NoAnswer(TransportFailure):
    """The request was written, at least in part, and no complete response came."""


@dataclass(frozen=True, slots=True)
class Call:
    """An effect: call a user's function with one argument, and await it if it is async. The reply is its result."""

    function: Callable[[Any], Any]
    argument: Any = field(repr=False)


class Outbound:
    """An effect: perform the effect of a gateway's flow, in its `lane` if the shell has lanes.

    `within` is the seconds in which it must start; for an HTTP request, in which it must be written. None is no bound.
    If it is too late, the shell throws `NotStarted` into the flow.
    """

    __slots__ = ("effect", "lane", "within")

    def __init__(self, lane: str, effect: HttpRequest | Call, within: float | None) -> None:
        self.lane = lane
        self.effect = effect
        self.within = within


class Emit(NamedTuple):
    """An effect: call the listeners, and log `warning` unless it is "". Exceptions of listeners are dropped."""

    event: Event
    warning: str = ""


_PERFORMED: Final = (HttpRequest, Call)  # The effects that a shell performs for a gateway.
Effect: TypeAlias = RunScript[object] | Together[object] | HttpRequest | Call | Outbound | Emit
Flow: TypeAlias = Generator[Effect, Any, T]
# A call of the OTP that drives the flow: a function with the OTP as its argument. Only pages yield these.
OTPCall: TypeAlias = Callable[[Any], Any]
PageFlow: TypeAlias = Generator[OTPCall, Any, T]


def run(call: RunScript[T]) -> Flow[T]:
    """Run a script and return its reply as a typed value."""
    result: T = yield call
    return result


def run_together(calls: Iterable[RunScript[T]]) -> Flow[list[T]]:
    """Run scripts that do not depend on each other, and return their replies in the same order."""
    results: list[T] = yield Together(tuple(calls))
    return results


def http(request: HttpRequest) -> Flow[HttpResponse]:
    """Make an HTTP request and return its response."""
    response: HttpResponse = yield request
    return response


def outbound(lane: str, flow: Flow[T], left: Callable[[], float] | None = None) -> Flow[T]:
    """Run a gateway's flow in a lane of its own, and return its result.

    Args:
        lane: the name of the lane.
        flow: the gateway's flow.
        left: a function that returns the seconds within which the next effect must start; None is no bound.

    Raises:
        NotStarted: the first effect was not started in time, so the gateway did nothing. For later effects,
            `NotStarted` is thrown into the flow.
    """
    reply: Any = None
    failure: Exception | None = None
    has_begun = False
    try:
        while True:
            effect = flow.send(reply) if failure is None else flow.throw(failure)
            reply = failure = None
            within = None if left is None else left()
            if within is not None and within <= 0:
                failure = NotStarted("the code would have expired on the way")
            elif isinstance(effect, _PERFORMED):
                effect = Outbound(lane, effect, within)
            if failure is None:
                try:
                    reply = yield effect
                except Exception as error:  # noqa: BLE001 - The gateway's flow decides what it means.
                    failure = error
            if isinstance(failure, NotStarted) and not has_begun:
                raise failure
            has_begun = True
    except StopIteration as stop:
        value: T = stop.value
        return value
    finally:
        flow.close()
