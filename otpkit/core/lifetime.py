"""The lifetime of an OTP: its running calls, its end, and a fork of its process."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from otpkit.errors import ConfigurationError

T = TypeVar("T")
CLOSED = "This OTP is closed.", "Build another one, or close it after the last call."


class Calls(set[object]):
    """The running calls of an OTP. A closed OTP accepts no more calls, and its connections close after the last one.

    There is no lock: a fork could leave it locked for ever. Each step is one operation on a set. A call adds itself,
    then reads `is_closed`, and discards itself at the end. So either the call sees that the OTP is closed, or `close`
    sees the call.
    """

    is_closed = False

    def require_open(self) -> None:
        """Raise `ConfigurationError` if the OTP is closed."""
        if self.is_closed:
            raise ConfigurationError(*CLOSED)

    def begin(self, call: object) -> None:
        """Add a call. Raise `ConfigurationError` if the OTP is closed. The caller must `end` the call in any case."""
        self.add(call)
        if self.is_closed:
            raise ConfigurationError(*CLOSED)

    def end(self, call: object) -> bool:
        """Remove a call; return True if it was the last of a closed OTP. The caller then closes the connections."""
        self.discard(call)
        return self.is_closed and not self

    def close(self) -> bool:
        """Refuse further calls; return True if no call is running."""
        self.is_closed = True
        return not self

    def forget(self) -> None:
        """Remove the calls of a parent process: in its child they never end."""
        self.clear()


_inherited: WeakKeyDictionary[Any, Callable[[Any], None]] = WeakKeyDictionary()


def renew_in_children(owner: T, renew: Callable[[T], None]) -> None:
    """Call `renew(owner)` in every process that is forked from this one, as long as `owner` exists.

    `renew` replaces the threads, locks and connections that belong to the parent.
    """
    _inherited[owner] = renew


def _renew() -> None:
    for owner, renew in list(_inherited.items()):
        renew(owner)


if hasattr(os, "register_at_fork"):  # Windows has no fork.
    os.register_at_fork(after_in_child=_renew)
