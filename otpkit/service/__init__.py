"""The HTTP service for programs in other languages: `otpkit serve`, or `create_app` to mount it. Extra: `service`."""

from otpkit.errors import ConfigurationError

try:
    # Only `otpkit serve` needs these two. Import them here to report any missing library in one place.
    import httptools  # noqa: F401
    import uvicorn  # noqa: F401

    from otpkit.service.app import create_app, create_console
    from otpkit.service.keys import ApiKey
    from otpkit.service.metrics import Metrics
    from otpkit.settings.operators import Operator
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        f"The service needs {missing.name!r}, which is not installed.", "Run: pip install 'otpkit[service]'."
    ) from missing

__all__ = ["ApiKey", "Metrics", "Operator", "create_app", "create_console"]
