"""A search for secrets in an error: in its texts, in the errors that it refers to, and in their frames."""

from __future__ import annotations

import traceback
from collections.abc import Iterator


def errors_of(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, and every error that it refers to as cause or context."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def reachable_text(error: BaseException) -> str:
    """Return all that logs and error reporters show of an error: texts, arguments, tracebacks, frames of otpkit."""
    texts = ["".join(traceback.format_exception(error))]
    for each in errors_of(error):
        texts += [str(each), repr(each), repr(each.args), repr(vars(each))]
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if "otpkit" in frame.f_globals.get("__name__", ""):
                texts += [f"{name}={value!r}" for name, value in frame.f_locals.items()]
    return "\n".join(texts)
