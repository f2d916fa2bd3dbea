"""A search of the local variables that error reporters show, in the frames of an error and of its chained errors."""

from __future__ import annotations

import traceback
from typing import Any


def held(error: BaseException, *needles: str, modules: tuple[str, ...] = ("otpkit",)) -> list[str]:
    """Return the functions of these packages whose local variables contain a needle, at any depth of their repr."""
    waiting, seen, found = [error], set(), []
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        for frame, line in traceback.walk_tb(each.__traceback__):
            module = frame.f_globals.get("__name__", "")
            if module.partition(".")[0] in modules:
                shown = " ".join(f"{name}={value!r} {_inside(value)}" for name, value in frame.f_locals.items())
                found += [f"{module}:{line} {frame.f_code.co_name}" for needle in needles if needle in shown]
        waiting += [other for other in (each.__cause__, each.__context__) if other is not None]
    return found


def _inside(value: Any) -> str:
    """Return the values in a closure of otpkit. An error reporter that follows closures would show them."""
    ours = str(getattr(value, "__module__", "")).startswith("otpkit")
    cells = (getattr(value, "__closure__", None) or ()) if ours else ()
    return " ".join(repr(cell.cell_contents) for cell in cells if not callable(cell.cell_contents))
