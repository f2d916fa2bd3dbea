"""Types and imports for redis-py and fakeredis, which leave the parts that otpkit uses private or unannotated."""

from __future__ import annotations

import importlib
from typing import Any, TypeAlias

from otpkit.errors import ConfigurationError

RedisObject: TypeAlias = Any
"""A client, pool, connection or node of redis-py."""

Options: TypeAlias = dict[str, Any]
"""Keyword arguments for a `RedisObject`."""


def embedded_library() -> RedisObject:
    """Return the module fakeredis.

    Raises:
        ConfigurationError: it or lupa is not installed; the remedy names the extra.
    """
    try:
        importlib.import_module("lupa")  # fakeredis runs Lua scripts with it.
        return importlib.import_module("fakeredis")
    except ImportError:
        pass
    raise ConfigurationError("memory:// needs the embedded store.", "Run: pip install 'otpkit[embedded]'.")
