"""What callers name: purposes and binds, checked."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from otpkit.errors import ConfigurationError

DEFAULT_NAMESPACE: Final = "otpkit"
_MAX_PURPOSE_CHARS = 128


class NotGiven(Enum):
    """The type of `NOT_GIVEN`."""

    NOT_GIVEN = "not given"


NOT_GIVEN: Final = NotGiven.NOT_GIVEN
"""Stands for an argument that is left out, where None is a value: what a form without the field gives."""

_HALF_PAIR = re.compile("[\ud800-\udfff]")  # of surrogates: it can't be written as UTF-8, and so not into a token


def check_purpose(purpose: object) -> str:
    """Return a purpose that is text; raises `ConfigurationError` for anything else."""
    if (
        isinstance(purpose, str)
        and 0 < len(purpose) <= _MAX_PURPOSE_CHARS
        and (purpose.isascii() or not _HALF_PAIR.search(purpose))
    ):
        return purpose
    raise ConfigurationError(
        f"The purpose is no text of 1 to {_MAX_PURPOSE_CHARS} characters.",
        'Name what the code is for, such as "signup".',
    )


def check_bind(bind: object) -> str:
    """Return a bind that is text; raises `ConfigurationError` for anything else."""
    if isinstance(bind, str):
        return bind
    raise ConfigurationError("bind is no text.", "Pass one, such as a session id. The empty text binds to nothing.")


def check_request(request: object) -> str:
    """Return the fingerprint of a request that is text; raises `ConfigurationError` for anything else."""
    if isinstance(request, str):
        return request
    raise ConfigurationError(
        "request is no text.", "Pass one that is the same for the same request, such as a digest of its fields."
    )
