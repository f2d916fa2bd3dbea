"""Where a code, a secret or a phone could get out: the texts of values and errors, and what hangs on a traceback."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterable, Iterator
from typing import Any


def errors_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and everything that hangs on it as a cause or a context."""
    waiting, seen = [error], set()
    while waiting:
        each = waiting.pop()
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [other for other in (each.__cause__, each.__context__) if other is not None]


def texts_of(value: Any) -> Iterator[str]:
    """Yield all that logs show of a value or an error."""
    yield f"{value!r} {value}"
    if isinstance(value, BaseException):
        yield "".join(traceback.format_exception(value))
        for error in errors_of(value):
            yield f"{error!r} {error} {error.args!r} {vars(error)!r}"


def locals_of(value: Any) -> Iterator[str]:
    """Yield what error reporters show of our frames."""
    for error in errors_of(value) if isinstance(value, BaseException) else ():
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_globals.get("__name__", "").startswith("otpkit"):
                yield " ".join(f"{name}={value!r}" for name, value in frame.f_locals.items())


def ours_within(root: Any) -> Iterable[Any]:
    """Yield every object of otpkit's own classes that can be reached from one."""
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
