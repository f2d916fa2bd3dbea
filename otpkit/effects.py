"""What a flow may ask for. A flow is a generator that yields effects; a shell performs each and sends the reply back.

The flow decides and does no I/O; the shell does I/O and decides nothing. So the sync and the async library are one
code.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from otpkit.errors import StoreUnavailableError
from otpkit.models import Event

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script: its name, its text, the SHA-1 that Redis knows it by, and what it can have replied.

    `fits` takes a reply and the arguments, and returns whether this script can have said so.
    """

    name: str
    text: str = field(repr=False)
    sha: str
    fits: Callable[[Any, Sequence[Any]], bool] = field(repr=False, default=lambda reply, arguments: True)


class RunScript:
    """Run `script` on Redis, and wait until so many `replicas` have what it wrote; the reply is the script's own."""

    __slots__ = ("args", "keys", "replicas", "script")

    def __init__(
        self, script: Script, keys: tuple[str, ...], args: tuple[bytes | str | int, ...], replicas: int = 0
    ) -> None:
        self.script = script
        self.keys = keys
        self.args = args
        self.replicas = replicas


class Unconfirmed(StoreUnavailableError):
    """A script ran, but too few replicas confirmed what it wrote."""


@dataclass(frozen=True, slots=True)
class Together:
    """Run scripts that do not depend on each other, side by side where the shell can; the reply is a list of theirs."""

    scripts: tuple[RunScript, ...]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """Make one HTTP request, once: no retry, no redirect. The reply is an `HttpResponse`.

    `params` are the URL's query, in UTF-8 with `%20` for a blank. `timeout` is seconds to connect and seconds to
    answer. `proxy` is the URL of the proxy that https:// goes through, or None. The shell throws `NotConnected` or
    `NoAnswer` into the flow.
    """

    method: str
    url: str
    params: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    timeout: tuple[float, float]
    body: bytes | None = field(default=None, repr=False)
    proxy: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer that arrived whole."""

    status: int
    headers: Mapping[str, str]
    text: str = field(repr=False)


class TransportFailure(Exception):
    """An HTTP exchange that gave no whole answer. It carries its kind alone: the original's text holds the URL."""


class NotConnected(TransportFailure):
    """The connection was never made (refused, DNS, TLS, timed out connecting): the request was certainly not sent."""


class NotStarted(NotConnected):
    """Nothing was begun: no thread was free in time, or the code would have died on the way."""


class NoAnswer(TransportFailure):
    """The request was, or may have been, written, and no whole answer came."""


@dataclass(frozen=True, slots=True)
class Call:
    """Call a function of the user's with one argument; the reply is what it returns. An async one is awaited."""

    function: Callable[[Any], Any]
    argument: Any = field(repr=False)


class Outbound:
    """Perform an effect of a gateway's flow, on threads of its `lane` where the shell has threads.

    `within` is seconds in which it must begin, an HTTP request be written; None is no bound. Otherwise the shell throws
    `NotStarted` into the flow.
    """

    __slots__ = ("effect", "lane", "within")

    def __init__(self, lane: str, effect: HttpRequest | Call, within: float | None) -> None:
        self.lane = lane
        self.effect = effect
        self.within = within


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell `on_event`, and log `warning` where there is one. It never fails: what the listener raises is dropped."""

    event: Event
    warning: str = ""


Effect: TypeAlias = RunScript | Together | HttpRequest | Call | Outbound | Emit
Flow: TypeAlias = Generator[Effect, Any, T]
# A call of the OTP that drives the flow: a function that takes the OTP. Pages alone yield these.
OTPCall: TypeAlias = Callable[[Any], Any]
PageFlow: TypeAlias = Generator[OTPCall, Any, T]


def http(request: HttpRequest) -> Flow[HttpResponse]:
    """Make an HTTP request and return its response."""
    response: HttpResponse = yield request
    return response


def outbound(lane: str, flow: Flow[T], left: Callable[[], float] | None = None) -> Flow[T]:
    """Return what a gateway's flow returns, its effects performed on a lane of their own.

    `left` gives the seconds in which each must begin. Raises `NotStarted` where the first one did not: then the gateway
    did nothing at all. Of a later one the flow is told.
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
                failure = NotStarted("the code would have died on the way")
            elif isinstance(effect, HttpRequest | Call):
                effect = Outbound(lane, effect, within)
            if failure is None:
                try:
                    reply = yield effect
                except Exception as error:  # noqa: BLE001 - the gateway's flow decides what it means
                    failure = error
            if isinstance(failure, NotStarted) and not has_begun:
                raise failure
            has_begun = True
    except StopIteration as stop:
        value: T = stop.value
        return value
    finally:
        flow.close()
