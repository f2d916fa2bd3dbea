"""What callers name: purposes and binds, checked."""

from __future__ import annotations

import re

from otpkit.errors import ConfigurationError

_MAX_PURPOSE_CHARS = 128
_HALF_PAIR = re.compile("[\ud800-\udfff]")  # of surrogates: it can't be written as UTF-8, and so not into a token


def check_purpose(purpose: object) -> str:
    """Return a purpose that is text; raises `ConfigurationError` for anything else."""
    if isinstance(purpose, str) and 0 < len(purpose) <= _MAX_PURPOSE_CHARS and not _HALF_PAIR.search(purpose):
        return purpose
    raise ConfigurationError(
        f'A purpose is a text of 1 to {_MAX_PURPOSE_CHARS} characters, such as "signup"; the caller names it.'
    )


def check_bind(bind: object) -> str:
    """Return a bind that is text; raises `ConfigurationError` for anything else."""
    if isinstance(bind, str):
        return bind
    raise ConfigurationError("bind must be text, such as a session id; the empty text binds to nothing.")
