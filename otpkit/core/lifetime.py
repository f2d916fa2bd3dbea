"""The life of an OTP: the calls under way, its end, and a fork of its process."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from otpkit.errors import ConfigurationError

T = TypeVar("T")
CLOSED = "This OTP is closed.", "Build another one, or close it after the last call."


class Calls(set[object]):
    """The calls of an OTP that are under way. A closed one takes no more, and its connections close with the last.

    There is no lock, which a fork could leave locked for ever. Each step is one operation on a set, in such an order
    that the call sees that the OTP is closed, or `close` sees the call: a call adds itself, then looks at `is_closed`,
    and discards itself at the end.
    """

    is_closed = False

    def require_open(self) -> None:
        """Raise `ConfigurationError` where the OTP is closed."""
        if self.is_closed:
            raise ConfigurationError(*CLOSED)

    def begin(self, call: object) -> None:
        """Note a call, which must `end` whatever this raises: `ConfigurationError` where the OTP is closed."""
        self.add(call)
        if self.is_closed:
            raise ConfigurationError(*CLOSED)

    def end(self, call: object) -> bool:
        """Forget a call; return whether it was the last one of a closed OTP, whose connections it then closes."""
        self.discard(call)
        return self.is_closed and not self

    def close(self) -> bool:
        """Refuse further calls; return whether none is under way."""
        self.is_closed = True
        return not self

    def forget(self) -> None:
        """Forget the calls of a parent process, which never end in its child."""
        self.clear()


_inherited: WeakKeyDictionary[Any, Callable[[Any], None]] = WeakKeyDictionary()


def renew_in_children(owner: T, renew: Callable[[T], None]) -> None:
    """Have `renew(owner)` called in every process that is forked from this one, as long as there is the owner.

    It makes the threads, locks and connections again that are the parent's.
    """
    _inherited[owner] = renew


def _renew() -> None:
    for owner, renew in list(_inherited.items()):
        renew(owner)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_renew)
