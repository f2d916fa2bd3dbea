"""Build the `OTP` of the commands from their settings."""

from __future__ import annotations

import os

from otpkit import OTP
from otpkit.environment import REQUIRED
from otpkit.errors import ConfigurationError
from otpkit.store.url import MEMORY_URL

_NEXT_STEP = "`otpkit doctor` shows which variables are missing and what each must contain. `otpkit demo` needs none."


def configured(config: str | None = None) -> OTP:
    """Return the `OTP` for the environment and a TOML file.

    Args:
        config: the path of the TOML file, or None.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """
    from otpkit.settings import read_settings

    if config is None:
        require_settings()
    settings = read_settings(os.environ, config)
    arguments = settings.otp
    if arguments["redis"] == MEMORY_URL:
        raise ConfigurationError(
            f"OTPKIT_REDIS_URL is {MEMORY_URL}, which loses the code when the command ends.",
            "Set it to a Redis server, such as redis://localhost:6379/0.",
        )
    return OTP(**arguments, listeners=settings.listeners)


def require_settings(next_step: str = _NEXT_STEP) -> None:
    """Check that at least one OTPKIT_ variable is set.

    Args:
        next_step: the last line of the error.

    Raises:
        ConfigurationError: none is set.
    """
    if not any(name.startswith("OTPKIT_") and value.strip() for name, value in os.environ.items()):
        raise ConfigurationError(
            "Nothing is configured: no OTPKIT_… variable is set.",
            f"Set {', '.join(REQUIRED)} and the gateway's variables.\n{next_step}",
        )
