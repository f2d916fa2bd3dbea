"""Build the listeners of the table `[telemetry]`."""

from __future__ import annotations

import re
from typing import Any, Final

from otpkit.core.checks import Checks, problems_of
from otpkit.core.config import Listener
from otpkit.environment import variable_of
from otpkit.errors import ConfigurationError
from otpkit.settings.tables import Telemetry
from otpkit.telemetry import LogListener, WebhookListener

_NAMES: Final = re.compile(r"[\s,]+")


def listeners_of(telemetry: Telemetry) -> tuple[Listener, ...]:
    """Return the listeners of a table. Nothing is connected yet.

    Args:
        telemetry: the table.

    Raises:
        ConfigurationError: settings are wrong, or an extra is missing. The error names the variables.
    """
    found: list[Listener] = []
    with Checks() as checks:
        if telemetry.log is not None:
            found.append(LogListener(json=telemetry.log == "json"))
        if telemetry.prometheus:
            found.append(checks.of(variable_of("telemetry", "prometheus"), _prometheus))
        if telemetry.webhook_url is not None and telemetry.webhook_secret is not None:
            found.append(checks.of(variable_of("telemetry", "webhook_url"), _webhook, telemetry))
        elif telemetry.webhook_url is not None or telemetry.webhook_secret is not None:
            missing = "webhook_secret" if telemetry.webhook_secret is None else "webhook_url"
            remedy = "Make one with `otpkit keygen --webhook`." if missing == "webhook_secret" else "Set it."
            checks.add(variable_of("telemetry", missing), f"telemetry.{missing} is missing.", remedy)
    return tuple(found)


def webhook_of(listeners: tuple[Listener, ...]) -> WebhookListener | None:
    """Return the webhook among listeners, or None."""
    return next((each for each in listeners if isinstance(each, WebhookListener)), None)


def _prometheus() -> Listener:
    from otpkit.telemetry import PrometheusListener  # It needs the extra `prometheus`.

    return PrometheusListener()


def _webhook(telemetry: Telemetry) -> WebhookListener:
    secrets = telemetry.webhook_secret.get_secret_value().split() if telemetry.webhook_secret is not None else []
    options: dict[str, Any] = {"url": telemetry.webhook_url, "secret": secrets}
    if telemetry.webhook_names is not None:
        options["names"] = {each for each in _NAMES.split(telemetry.webhook_names) if each}
    if telemetry.webhook_source is not None:
        options["source"] = telemetry.webhook_source
    try:
        return WebhookListener(**options)
    except ConfigurationError as error:
        problems = [
            each._replace(field=variable_of("telemetry", f"webhook_{each.field}")) for each in problems_of(error, "url")
        ]
    raise ConfigurationError(problems=problems)
