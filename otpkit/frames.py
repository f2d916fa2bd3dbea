"""Keep local variables out of what error reporters record: a code or a number may stand in any of them.

They show the local variables of each frame that an error went through. A frame of the caller's is the caller's; but
where a web form is read here, or a call is made by one of ours, no other frame holds the code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction, isfunction, isgeneratorfunction
from typing import Any, Final, TypeVar, cast

C = TypeVar("C", bound=Callable[..., Any])
# Whose frames these are: our own, and those of the libraries that stand between two of ours.
_CLEARED: Final = frozenset(
    {
        *("aiohttp", "asgiref", "contextlib", "django", "fastapi", "flask", "otpkit", "redis", "requests", "starlette"),
        "urllib3",
    }
)


def without_locals(call: C) -> C:
    """Return `call`, but the frames of what it raises, its own and those below, have no local variables left.

    Of a class, that holds for its constructor and for each public method. The places in the code stay, so a traceback
    reads as ever. The frames of functions that the user gave are the user's, and so is what was handled meanwhile.
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
    elif isfunction(value) and not isgeneratorfunction(value):  # a flow raises where it is driven
        setattr(owner, name, without_locals(value))


def _clear(error: BaseException, handled: BaseException | None) -> None:
    """Clear the frames of an error and of its causes, but for those of what was handled before."""
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
                try:  # noqa: SIM105 - each refusal of a code comes here, and suppress() takes four times as long
                    entry.tb_frame.clear()
                except RuntimeError:
                    pass  # it still runs, as the wrapper does
            entry = entry.tb_next
        waiting += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
