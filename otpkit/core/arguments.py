"""Check the purposes, binds and request fingerprints that callers pass."""

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
"""Marks an argument that was left out, if None is a value: a form without the field passes None."""

_HALF_PAIR = re.compile("[\ud800-\udfff]")  # Half a surrogate pair. UTF-8 can't encode it, so no token can hold it.


def check_purpose(purpose: object) -> str:
    """Return the purpose if it is valid text; raise `ConfigurationError` otherwise."""
    if (
        isinstance(purpose, str)
        and 0 < len(purpose) <= _MAX_PURPOSE_CHARS
        and (purpose.isascii() or not _HALF_PAIR.search(purpose))
    ):
        return purpose
    raise ConfigurationError(
        f"purpose must be a text of 1 to {_MAX_PURPOSE_CHARS} characters.",
        'Name the use of the code, such as "signup".',
    )


def check_bind(bind: object) -> str:
    """Return the bind if it is text; raise `ConfigurationError` otherwise."""
    if isinstance(bind, str):
        return bind
    raise ConfigurationError("bind must be text.", "Pass one, such as a session id. The empty text binds to nothing.")


def check_request(request: object) -> str:
    """Return the fingerprint of a request if it is text; raise `ConfigurationError` otherwise."""
    if isinstance(request, str):
        return request
    raise ConfigurationError(
        "request must be text.", "Pass one that is the same for the same request, such as a digest of its fields."
    )
