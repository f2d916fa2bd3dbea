"""What error reporters show of frames: the local variables of each that an error went through, or one that it keeps."""

from __future__ import annotations

import traceback
from typing import Any


def held(error: BaseException, *needles: str, modules: tuple[str, ...] = ("otpkit",)) -> list[str]:
    """Return the functions of these packages whose local variables hold a needle, however deep in their repr."""
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
    """Return what a closure of otpkit's holds: a reporter that follows it would show it too."""
    ours = str(getattr(value, "__module__", "")).startswith("otpkit")
    cells = (getattr(value, "__closure__", None) or ()) if ours else ()
    return " ".join(repr(cell.cell_contents) for cell in cells if not callable(cell.cell_contents))
