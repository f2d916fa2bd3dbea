"""The arguments of an `OTP` from environment variables, for `from_env` and the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from otpkit.errors import ConfigurationError
from otpkit.gateways.alidayu import Alidayu
from otpkit.gateways.base import Gateway
from otpkit.template import Template

REQUIRED = {
    "OTPKIT_REDIS_URL": "where codes are kept, such as redis://localhost:6379/0",
    "OTPKIT_SECRET": "at least 32 random bytes, from `otpkit keygen`; several, newest last, are separated by blanks",
    "OTPKIT_GATEWAY": "the gateway, `alidayu`",
    "OTPKIT_TEMPLATE_CODE": "the approved template, such as SMS_585014",
    "OTPKIT_TEMPLATE_SIGN_NAME": "the approved signature",
}
ALIDAYU = {
    "OTPKIT_ALIDAYU_APP_KEY": "the application's AppKey",
    "OTPKIT_ALIDAYU_APP_SECRET": "the application's AppSecret",
}
OPTIONAL = {
    "OTPKIT_INDEX_SECRET": "the first secret, once there are several",
    "OTPKIT_NAMESPACE": "the prefix of all keys, otpkit unless said",
    "OTPKIT_TEMPLATE_PARAMS": 'the template\'s variables as JSON, {"code": "{code}"} unless said',
    "OTPKIT_TEMPLATE_BODY": "the approved text, to check the variables against",
    "OTPKIT_ALIDAYU_BASE_URL": "another address of the gateway, such as the local one of `otpkit sandbox`",
}


def arguments_from(environ: Mapping[str, str], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of an `OTP`; `overrides` win, and what they give need not be in the environment.

    Raises `ConfigurationError` that names every variable that is missing at once, and what belongs into it.
    """
    given = {name: value.strip() for name, value in environ.items() if name.startswith("OTPKIT_") and value.strip()}
    _require(given, overrides)
    arguments: dict[str, Any] = {}
    if "redis" not in overrides:
        arguments["redis"] = given["OTPKIT_REDIS_URL"]
    if "secret" not in overrides:
        secrets = given["OTPKIT_SECRET"].split()
        arguments["secret"] = secrets if len(secrets) > 1 else secrets[0]
    if "gateway" not in overrides:
        arguments["gateway"] = gateway_from(given)
    if "template" not in overrides:
        arguments["template"] = _template(given)
    for name in ("index_secret", "namespace"):
        if value := given.get(f"OTPKIT_{name.upper()}"):
            arguments[name] = value
    return arguments | dict(overrides)


def gateway_from(given: Mapping[str, str]) -> Gateway:
    """Return the gateway that the environment names."""
    if given["OTPKIT_GATEWAY"].lower() != "alidayu":
        raise ConfigurationError("OTPKIT_GATEWAY names no gateway that otpkit has; set it to `alidayu`.")
    options: dict[str, Any] = {"base_url": given[url]} if (url := "OTPKIT_ALIDAYU_BASE_URL") in given else {}
    return Alidayu(given["OTPKIT_ALIDAYU_APP_KEY"], given["OTPKIT_ALIDAYU_APP_SECRET"], **options)


def _require(given: Mapping[str, str], overrides: Mapping[str, Any]) -> None:
    needed = {name: why for name, why in REQUIRED.items() if _argument(name) not in overrides}
    if "gateway" not in overrides and given.get("OTPKIT_GATEWAY", "alidayu").lower() == "alidayu":
        needed |= ALIDAYU
    missing = [f"{name} ({why})" for name, why in needed.items() if name not in given]
    if missing:
        raise ConfigurationError(f"The environment lacks {'; '.join(missing)}. Set what is missing and start again.")


def _argument(variable: str) -> str:
    name = variable.removeprefix("OTPKIT_").lower()
    return "template" if name.startswith("template_") else name.removesuffix("_url")


def _template(given: Mapping[str, str]) -> Template:
    params: Any = {"code": "{code}"}
    if text := given.get("OTPKIT_TEMPLATE_PARAMS"):
        try:
            params = json.loads(text)
        except ValueError:
            params = None
    if not isinstance(params, dict):
        raise ConfigurationError('OTPKIT_TEMPLATE_PARAMS must be a JSON object, such as {"code": "{code}"}.')
    body = given.get("OTPKIT_TEMPLATE_BODY")
    return Template(given["OTPKIT_TEMPLATE_CODE"], given["OTPKIT_TEMPLATE_SIGN_NAME"], params, body=body)
