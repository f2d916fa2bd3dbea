"""What the environment configures: the `OTP` of the commands, and what the doctor examines of a service."""

from __future__ import annotations

import os

from otpkit import OTP
from otpkit.doctor import Finding, Report, examine
from otpkit.environment import REQUIRED
from otpkit.errors import ConfigurationError
from otpkit.store.url import MEMORY_URL

_ONWARD = "`otpkit doctor` says what belongs into each and what is missing; `otpkit demo` needs none of them."


def configured() -> OTP:
    """Return the `OTP` of the environment; raises `ConfigurationError`."""
    require_settings()
    if os.environ.get("OTPKIT_REDIS_URL", "").strip() == MEMORY_URL:
        raise ConfigurationError(
            f"OTPKIT_REDIS_URL is {MEMORY_URL}, which forgets the code as soon as the command ends.",
            "Name a Redis server, such as redis://localhost:6379/0.",
        )
    return OTP.from_env()


def require_settings(onward: str = _ONWARD) -> None:
    """Raise `ConfigurationError` where not one variable is set: three short lines, the last one is `onward`."""
    if not any(name.startswith("OTPKIT_") and value.strip() for name, value in os.environ.items()):
        raise ConfigurationError(
            "Nothing is configured: no OTPKIT_… variable is set.",
            f"Set {', '.join(REQUIRED)} and the gateway's own.\n{onward}",
        )


def examine_service(config: str) -> Report:
    """Examine what `otpkit serve --config` runs with; raises `ConfigurationError` for a file that can't be read."""
    from otpkit.service.settings import read_settings, read_variables

    try:
        read_settings(os.environ, config)
    except ConfigurationError as error:
        said = " ".join(line.removeprefix("- ") for line in str(error).splitlines())
        finding = Finding("service", "problem", said, f"Correct {config}, or the environment, which overrides it.")
    else:
        finding = Finding("service", "ok", f"`otpkit serve` starts with {config}.")
    return Report((*examine(read_variables(os.environ, config, [])).findings, finding))
