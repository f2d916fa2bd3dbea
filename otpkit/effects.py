"""What a flow may ask for. A flow is a generator that yields effects; a shell performs each and sends the reply back.

The flow decides and does no I/O; the shell does I/O and decides nothing. So the sync and the async library are one
code.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar, final

from otpkit.errors import StoreUnavailableError
from otpkit.models import Event

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Script(Generic[T_co]):
    """A Lua script: its name, its text, and the SHA-1 that Redis knows it by.

    Each script is an instance of a subclass of its own, its face, which is called with the script's keys and arguments.
    `replicas` is how many are to have what a call wrote, where that is waited for.
    """

    __slots__ = ("name", "replicas", "sha", "text")

    def __init__(self, name: str, text: str, replicas: int = 0) -> None:
        self.name = name
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()
        self.replicas = replicas

    def read(self, reply: object, args: tuple[bytes | str | int, ...]) -> T_co:
        """Return a reply to `args` as a typed value.

        Raises AttributeError, LookupError, TypeError or ValueError for a reply that this script can't have given.
        """
        raise NotImplementedError


@final
class RunScript(Generic[T_co]):
    """Run `script` on Redis and wait until so many `replicas` have its writes; the result is what `read` returns."""

    __slots__ = ("args", "keys", "replicas", "script")

    def __init__(
        self, script: Script[T_co], keys: tuple[str, ...], args: tuple[bytes | str | int, ...], replicas: int = 0
    ) -> None:
        self.script = script
        self.keys = keys
        self.args = args
        self.replicas = replicas


class Unconfirmed(StoreUnavailableError):
    """A script ran, but too few replicas confirmed what it wrote."""


class Together(Generic[T_co]):
    """Run scripts that do not depend on each other, side by side where the shell can; the result is a list."""

    __slots__ = ("scripts",)

    def __init__(self, scripts: tuple[RunScript[T_co], ...]) -> None:
        self.scripts = scripts


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """Make one HTTP request, once: no retry, no redirect. The reply is an `HttpResponse`.

    The shell throws `NotConnected` or `NoAnswer` into the flow.

    Args:
        method: `GET`, `POST` or another method.
        url: the whole URL; it may have a query.
        params: what is added to the URL's query, in UTF-8 with `%20` for a blank.
        headers: the headers by name; the content's length is added.
        timeout: seconds to connect and seconds to answer.
        body: the body's bytes; None sends none.
        proxy: the URL of the proxy that https:// goes through, such as `http://proxy.example:3128`; None goes directly.
    """

    method: str
    url: str
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: tuple[float, float]
    body: bytes | None = field(default=None, repr=False)
    proxy: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer that arrived whole.

    Args:
        status: the HTTP status, such as 200.
        headers: the headers by name in lower case.
        text: the body, read as UTF-8.
    """

    status: int
    headers: Mapping[str, str]
    text: str = field(repr=False)


class TransportFailure(Exception):
    """An HTTP exchange that gave no whole answer. It carries its kind alone: the original's text holds the URL."""


class NotConnected(TransportFailure):
    """The connection was never made (refused, DNS, TLS, timed out connecting): the request was certainly not sent."""


class NotStarted(NotConnected):
    """Nothing was begun: its turn did not come in time, or the code would have died on the way."""


class NoAnswer(TransportFailure):
    """The request was, or may have been, written, and no whole answer came."""


@dataclass(frozen=True, slots=True)
class Call:
    """Call a function of the user's with one argument; the reply is what it returns. An async one is awaited."""

    function: Callable[[Any], Any]
    argument: Any = field(repr=False)


class Outbound:
    """Perform an effect of a gateway's flow, in a place of its `lane` where the shell has lanes.

    `within` is seconds in which it must begin, an HTTP request be written; None is no bound. Otherwise the shell throws
    `NotStarted` into the flow.
    """

    __slots__ = ("effect", "lane", "within")

    def __init__(self, lane: str, effect: HttpRequest | Call, within: float | None) -> None:
        self.lane = lane
        self.effect = effect
        self.within = within


class Emit(NamedTuple):
    """Tell `on_event`, and log `warning` where there is one. It never fails: what the listener raises is dropped."""

    event: Event
    warning: str = ""


_PERFORMED: Final = (HttpRequest, Call)  # by a shell, for a gateway
Effect: TypeAlias = RunScript[object] | Together[object] | HttpRequest | Call | Outbound | Emit
Flow: TypeAlias = Generator[Effect, Any, T]
# A call of the OTP that drives the flow: a function that takes the OTP. Pages alone yield these.
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
            elif isinstance(effect, _PERFORMED):
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
