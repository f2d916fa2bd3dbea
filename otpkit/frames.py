"""Keep local variables out of error reports, because any of them may contain a code or a number.

Error reporters record the local variables of each frame that an error passed. This module clears otpkit's frames. The
caller's own frames stay as they are. When otpkit reads a web form or makes a call itself, no other frame has the code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction, isfunction, isgeneratorfunction
from typing import Any, Final, TypeVar, cast

C = TypeVar("C", bound=Callable[..., Any])
# The packages whose frames are cleared: otpkit, and the libraries that can stand between two of its frames.
_CLEARED: Final = frozenset(
    {
        *("aiohttp", "asgiref", "contextlib", "django", "fastapi", "flask", "otpkit", "redis", "requests", "starlette"),
        *("rest_framework", "urllib3"),
    }
)


def without_locals(call: C) -> C:
    """Return `call` wrapped so that the errors it raises pass on no local variables of otpkit's frames.

    For a class, the constructor and each public method are wrapped. Tracebacks keep their lines. Frames of functions
    that the user passed in keep their variables, and so do the frames of an exception that was already being handled.
    """
    if isinstance(call, type):
        for name, value in list(vars(call).items()):
            if name == "__init__" or not name.startswith("_"):
                _replace(call, name, value)
        return call
    if iscoroutinefunction(call):

        @wraps(call)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            handled = sys.exception()
            try:
                return await call(*args, **kwargs)
            except BaseException as error:
                _clear(error, handled)
                del args, kwargs, handled
                raise

        return cast("C", awaited)
    if isgeneratorfunction(call):

        @wraps(call)
        def given(*args: Any, **kwargs: Any) -> Any:
            handled = sys.exception()
            try:
                return (yield from call(*args, **kwargs))
            except BaseException as error:
                _clear(error, handled)
                del args, kwargs, handled
                raise

        return cast("C", given)

    @wraps(call)
    def called(*args: Any, **kwargs: Any) -> Any:
        handled = sys.exception()
        try:
            return call(*args, **kwargs)
        except BaseException as error:
            _clear(error, handled)
            del args, kwargs, handled
            raise

    return cast("C", called)


def _replace(owner: type, name: str, value: object) -> None:
    if isinstance(value, classmethod):
        setattr(owner, name, classmethod(without_locals(value.__func__)))
    elif isfunction(value) and not isgeneratorfunction(value):  # A flow raises where it is driven.
        setattr(owner, name, without_locals(value))


def _clear(error: BaseException, handled: BaseException | None) -> None:
    """Clear the frames of an error and of its causes, except those of an exception handled before."""
    waiting: list[BaseException | None] = [error]
    seen = {id(handled)}
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        entry = each.__traceback__
        while entry is not None:
            if entry.tb_frame.f_globals.get("__name__", "").partition(".")[0] in _CLEARED:
                try:  # noqa: SIM105 - Every refusal of a code comes here, and suppress() takes four times as long.
                    entry.tb_frame.clear()
                except RuntimeError:
                    pass  # The frame is still running, like the wrapper's.
            entry = entry.tb_next
        waiting += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
