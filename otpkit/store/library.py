"""redis-py and fakeredis as they are used here: by parts that are private, or that they do not annotate."""

from __future__ import annotations

import importlib
from typing import Any, TypeAlias

from otpkit.errors import ConfigurationError

RedisObject: TypeAlias = Any
"""A client, a pool, a connection or a node of redis-py."""

Options: TypeAlias = dict[str, Any]
"""Arguments for one, by name."""


def embedded_library() -> RedisObject:
    """Return the embedded store's library; raises `ConfigurationError` that names the extra where it is missing."""
    try:
        importlib.import_module("lupa")  # the Lua that the scripts need
        return importlib.import_module("fakeredis")
    except ImportError:
        pass
    raise ConfigurationError("memory:// needs the embedded store.", "Run: pip install 'otpkit[embedded]'.")
