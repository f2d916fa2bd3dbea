"""What `otpkit serve` is told: by environment variables, and by a file whose settings the environment overrides."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from otpkit.core.crypto import Keys
from otpkit.environment import (
    GATEWAYS,
    JSON,
    arguments_from,
    gateway_from,
    read_object,
    read_policy,
    read_templates,
    refuse_unknown,
    tried,
)
from otpkit.errors import ConfigurationError
from otpkit.policy import Policy
from otpkit.service.config_file import read_file
from otpkit.service.keys import ApiKey, Keyring, require_receipts_secret
from otpkit.store.url import read_url
from otpkit.template import Template

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8000
_MAX_GATEWAY_WAIT: Final = 30  # seconds; after as many a send counts as abandoned
_URL: Final = re.compile(r"https?://[^\s/?#]+[^\s?#]*")  # of which a path is asked: it ends before a query
# Kubernetes sets these two for a Service that is called otpkit, to that Service's address. So they are for the file and
# the command line alone.
_OF_KUBERNETES: Final = frozenset({"OTPKIT_SERVICE_HOST", "OTPKIT_SERVICE_PORT"})
_KEY_FIELDS: Final = ("key", "key_sha256", "purposes")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """A deployment, checked: the arguments of its `AsyncOTP`, its API keys, and what the server needs."""

    otp: Mapping[str, Any]
    keys: tuple[ApiKey, ...]
    host: str
    port: int
    forwarded_hops: int
    receipts_secret: str | None
    public_url: str | None


def read_settings(environ: Mapping[str, str], path: str | None = None) -> Settings:
    """Return the settings of the environment and of a TOML file, whose every value the environment overrides.

    Raises `ConfigurationError` that names every variable and field that is wrong, missing or unknown.
    """
    return _Reader(environ, path).settings()


def read_variables(environ: Mapping[str, str], path: str | None, problems: list[str]) -> dict[str, str]:
    """Return the variables of a TOML file and of the environment, which overrides it; `problems` as in `read_file`."""
    from_file = {} if path is None else read_file(path, problems)
    said = {
        name: value.strip()
        for name, value in environ.items()
        if name.startswith("OTPKIT_") and name not in _OF_KUBERNETES and value.strip()
    }
    return {**from_file, **said}


class _Reader:
    def __init__(self, environ: Mapping[str, str], path: str | None) -> None:
        self.problems: list[str] = []
        self.given = read_variables(environ, path, self.problems)

    def settings(self) -> Settings:
        templates = read_templates(self.given, self.problems)
        arguments = self._arguments(templates)
        keys = self._keys(templates)
        hops = self._number("OTPKIT_SERVICE_FORWARDED_HOPS", 0, 0, 16)
        port = self._number("OTPKIT_SERVICE_PORT", DEFAULT_PORT, 0, 65_535)
        secret, url = self._receipts_secret(), self._public_url()
        if self.problems:
            lines = "".join(f"\n- {problem}" for problem in dict.fromkeys(self.problems))
            raise ConfigurationError(f"The service can't start:{lines}")
        return Settings(
            otp=arguments,
            keys=keys,
            host=self.given.get("OTPKIT_SERVICE_HOST", DEFAULT_HOST),
            port=port,
            forwarded_hops=hops,
            receipts_secret=secret,
            public_url=url,
        )

    def _arguments(self, templates: Mapping[str, Template] | None) -> dict[str, Any]:
        wait = self._number("OTPKIT_SERVICE_GATEWAY_WAIT", 5, 0, _MAX_GATEWAY_WAIT)
        overrides: dict[str, Any] = {"policy": read_policy(self.given, self.problems) or Policy(), "gateway_wait": wait}
        if templates is not None:
            overrides["template"] = templates
        choice = GATEWAYS.get(self.given.get("OTPKIT_GATEWAY", "").lower())
        if choice is not None and not choice.needed(self.given).keys() - self.given.keys():
            overrides["gateway"] = tried(self.problems, gateway_from, self.given)
        arguments = tried(self.problems, arguments_from, self.given, overrides) or {}
        # What follows is looked at whether or not something else is missing, so that all is told at once.
        secrets = self.given.get("OTPKIT_SECRET", "").split()
        if secrets:
            tried(self.problems, Keys, secrets, self.given.get("OTPKIT_INDEX_SECRET"))
        if url := self.given.get("OTPKIT_REDIS_URL"):
            tried(self.problems, read_url, url)
        return arguments

    def _keys(self, templates: Mapping[str, Template] | None) -> tuple[ApiKey, ...]:
        tables = read_object(self.given, "OTPKIT_API_KEYS", "an API key for each name", self.problems)
        keys = tuple(
            key for name, table in tables.items() if (key := tried(self.problems, self._key, name, table)) is not None
        )
        if templates is not None:
            declared = read_object(self.given, "OTPKIT_TEMPLATES", JSON["OTPKIT_TEMPLATES"], []).keys()
            for key in keys:
                for purpose in sorted(key.purposes - declared):
                    self.problems.append(f"keys.{key.name} names the purpose {purpose!r}, which no template serves.")
        if keys or not tables:
            tried(self.problems, Keyring, keys)
        return keys

    def _key(self, name: str, table: Any) -> ApiKey:
        where = f"keys.{name}"
        if not isinstance(table, dict) or not isinstance(table.get("purposes"), list):
            raise ConfigurationError(f'{where} must have a key, and purposes such as ["signup"].')
        refuse_unknown(where, table, _KEY_FIELDS, self.problems)
        if ("key" in table) == ("key_sha256" in table):
            raise ConfigurationError(f"{where} must have one of key and key_sha256.")
        build = ApiKey.of if "key" in table else ApiKey.of_digest
        return build(name, table.get("key", table.get("key_sha256")), table["purposes"])

    def _receipts_secret(self) -> str | None:
        secret = self.given.get("OTPKIT_SERVICE_RECEIPTS_SECRET")
        if secret is not None:
            tried(self.problems, require_receipts_secret, secret)
        return secret

    def _public_url(self) -> str | None:
        url = self.given.get("OTPKIT_SERVICE_PUBLIC_URL")
        if url is not None and not _URL.fullmatch(url):
            self.problems.append('service.public_url must be a URL, such as "https://otp.example.com".')
        return url

    def _number(self, variable: str, default: int, low: int, high: int) -> int:
        text = self.given.get(variable, str(default))
        if text.isascii() and text.isdigit() and low <= int(text[:9]) <= high:
            return int(text)
        field = variable.removeprefix("OTPKIT_SERVICE_").lower()
        self.problems.append(f"service.{field} must be a whole number from {low} to {high}.")
        return default
