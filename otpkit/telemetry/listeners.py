"""The listeners of one `OTP`: called one after the other, and isolated from each other and from the call."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from inspect import iscoroutinefunction
from typing import Any, Final

from otpkit.core.checks import Checks
from otpkit.core.config import Listener
from otpkit.core.tracing import Tracing
from otpkit.models import Event

_log = logging.getLogger("otpkit")
CLOSE_S: Final = 3.0
"""Seconds in which the listeners of a closing `OTP` may pass on what waits in their queues."""


class Listeners:
    """The listeners of an `OTP`. Call it with an event; it never raises.

    What a listener raises is logged once for each listener and class of exception, because a broken listener would
    otherwise fill the log. Only the class is logged: the text of an exception may contain anything.

    Args:
        listeners: the name of each listener for the log, and the listener.
    """

    __slots__ = ("_calls", "_reported")

    def __init__(self, listeners: Iterable[tuple[str, Listener]]) -> None:
        self._calls = tuple(listeners)
        self._reported: set[tuple[str, str]] = set()

    def __call__(self, event: Event) -> None:
        """Pass an event to every listener."""
        for name, listener in self._calls:
            try:
                listener(event)
            except Exception as error:  # noqa: BLE001 - A listener must not undo what has happened.
                self._report(name, type(error).__name__, event)

    def _report(self, name: str, kind: str, event: Event) -> None:
        if (name, kind) not in self._reported:
            self._reported.add((name, kind))
            _log.error(
                "%s raised %s for the event %s. Further ones of this listener are not logged.", name, kind, event.name
            )

    @property
    def tracers(self) -> tuple[Tracing, ...]:
        """The listeners that also trace calls."""
        listeners: Iterable[object] = (listener for _, listener in self._calls)
        return tuple(listener for listener in listeners if isinstance(listener, Tracing))

    @property
    def has_queues(self) -> bool:
        """True if a listener may hold events that are not passed on yet."""
        return any(hasattr(listener, "close") for _, listener in self._calls)

    def close(self, within: float = CLOSE_S) -> None:
        """Let each listener that has a `close` pass on what it holds. A listener may be used again afterwards.

        Args:
            within: the seconds for all of them together.
        """
        closers = [(name, close) for name, each in self._calls if callable(close := getattr(each, "close", None))]
        ends_s = time.monotonic() + within
        for left, (name, close) in zip(range(len(closers), 0, -1), closers, strict=True):
            try:
                # One that hangs leaves the others their share.
                close(max(0.0, ends_s - time.monotonic()) / left)
            except Exception as error:  # noqa: BLE001 - The other listeners and the OTP must still close.
                _log.error("%s raised %s while it was closed.", name, type(error).__name__)


def join(on_event: Listener | None, listeners: Iterable[Listener]) -> Listeners | None:
    """Check `OTP(on_event=…, listeners=…)` and return them as one; None if there are none.

    Args:
        on_event: a listener, or None.
        listeners: further ones.

    Raises:
        ConfigurationError: one of them is not a plain function.
    """
    found: list[tuple[str, Listener]] = []
    with Checks() as checks:
        if on_event is not None:
            if _is_plain(on_event):
                found.append(("on_event", on_event))
            else:
                checks.add("on_event", "on_event must be a plain function or None.", "Pass one that is not async.")
        if isinstance(listeners, (str, bytes)) or not isinstance(listeners, Iterable):
            checks.add("listeners", "listeners must be a list of functions.", "Write listeners=[LogListener()].")
            listeners = ()
        for place, listener in enumerate(listeners, 1):
            if not _is_plain(listener):
                problem = f"listeners: number {place} is not a plain function."
                checks.add("listeners", problem, "Pass functions that are not async, or listeners of otpkit.telemetry.")
            elif all(listener != other for _, other in found):  # A listener that is passed twice gets events once.
                found.append((_name(listener), listener))
    return Listeners(found) if found else None


def _is_plain(listener: Any) -> bool:
    if not callable(listener) or iscoroutinefunction(listener):
        return False
    return isinstance(listener, type) or not iscoroutinefunction(type(listener).__call__)


def _name(listener: Listener) -> str:
    return getattr(listener, "__qualname__", None) or type(listener).__qualname__
