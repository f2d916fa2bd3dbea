"""The settings of a deployment: a TOML file and the environment over it, checked as one. Extra `settings`.

`read_settings` is for those that need all of them, such as the commands and the service; `Reading` for those that look
at each part by itself, such as the doctor.
"""

from otpkit.errors import ConfigurationError

try:
    from otpkit.settings.keys import ApiKey
    from otpkit.settings.reading import Reading, Settings, read_settings
    from otpkit.settings.tables import Service
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        f"Checked settings need {missing.name!r}, which is not installed.", "Run: pip install 'otpkit[settings]'."
    ) from missing

__all__ = ["ApiKey", "Reading", "Service", "Settings", "read_settings"]
