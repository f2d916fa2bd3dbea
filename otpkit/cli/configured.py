"""The `OTP` of the commands, from their settings."""

from __future__ import annotations

import os

from otpkit import OTP
from otpkit.environment import REQUIRED
from otpkit.errors import ConfigurationError
from otpkit.store.url import MEMORY_URL

_ONWARD = "`otpkit doctor` says what belongs into each and what is missing; `otpkit demo` needs none of them."


def configured(config: str | None = None) -> OTP:
    """Return the `OTP` of the environment and of a TOML file; raises `ConfigurationError`."""
    from otpkit.settings import read_settings

    if config is None:
        require_settings()
    arguments = read_settings(os.environ, config).otp
    if arguments["redis"] == MEMORY_URL:
        raise ConfigurationError(
            f"OTPKIT_REDIS_URL is {MEMORY_URL}, which forgets the code as soon as the command ends.",
            "Name a Redis server, such as redis://localhost:6379/0.",
        )
    return OTP(**arguments)


def require_settings(onward: str = _ONWARD) -> None:
    """Raise `ConfigurationError` where not one variable is set: three short lines, the last one is `onward`."""
    if not any(name.startswith("OTPKIT_") and value.strip() for name, value in os.environ.items()):
        raise ConfigurationError(
            "Nothing is configured: no OTPKIT_… variable is set.",
            f"Set {', '.join(REQUIRED)} and the gateway's own.\n{onward}",
        )
