"""Texts where a code, a secret or a phone could leak: those of values, errors and the frames of a traceback."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterable, Iterator
from typing import Any


def errors_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all errors chained to it."""
    waiting, seen = [error], set()
    while waiting:
        each = waiting.pop()
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [other for other in (each.__cause__, each.__context__) if other is not None]


def texts_of(value: Any) -> Iterator[str]:
    """Yield all texts that a log could show for a value or an error."""
    yield f"{value!r} {value}"
    if isinstance(value, BaseException):
        yield "".join(traceback.format_exception(value))
        for error in errors_of(value):
            yield f"{error!r} {error} {error.args!r} {vars(error)!r}"


def locals_of(value: Any) -> Iterator[str]:
    """Yield the local variables that error reporters show for otpkit's frames."""
    for error in errors_of(value) if isinstance(value, BaseException) else ():
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_globals.get("__name__", "").startswith("otpkit"):
                yield " ".join(f"{name}={value!r}" for name, value in frame.f_locals.items())


def ours_within(root: Any) -> Iterable[Any]:
    """Yield every object of otpkit's classes that is reachable from an object."""
    seen: dict[int, Any] = {}
    waiting = [root]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, (type, str, bytes, int, type(gc))):
            continue
        seen[id(each)] = each
        if type(each).__module__.startswith("otpkit"):
            yield each
        elif not isinstance(each, (dict, list, tuple, set, frozenset)):
            continue
        waiting += gc.get_referents(each)
        if not hasattr(type(each), "__dict__") or hasattr(each, "__dict__"):
            waiting += list(getattr(each, "__dict__", {}).values())
