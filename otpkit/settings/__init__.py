"""The settings: a TOML file and the environment, which overrides it, checked together. Extra: `settings`.

`read_settings` returns all settings, for the commands and the service. `Reading` reads each part separately, for the
doctor.
"""

from otpkit.errors import ConfigurationError

try:
    from otpkit.settings.keys import ApiKey
    from otpkit.settings.operators import Operator
    from otpkit.settings.reading import Reading, Settings, read_settings
    from otpkit.settings.tables import Service, Telemetry
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        f"Checked settings need {missing.name!r}, which is not installed.", "Run: pip install 'otpkit[settings]'."
    ) from missing

__all__ = ["ApiKey", "Operator", "Reading", "Service", "Settings", "Telemetry", "read_settings"]
