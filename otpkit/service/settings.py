"""What `otpkit serve` is told: by environment variables, and by a file whose settings the environment overrides."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, TypeVar

from otpkit.codes import Keys
from otpkit.environment import GATEWAYS, arguments_from, gateway_from
from otpkit.errors import ConfigurationError
from otpkit.policy import Policy
from otpkit.service.config_file import nearest, read_file
from otpkit.service.keys import ApiKey, Keyring, require_receipts_secret
from otpkit.store_url import read_url
from otpkit.template import Template

T = TypeVar("T")

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8000
_MAX_GATEWAY_WAIT: Final = 30  # seconds; after as many a send counts as abandoned
_URL: Final = re.compile(r"https?://[^\s/?#]+[^\s?#]*")  # of which a path is asked: it ends before a query
# Kubernetes sets these two for a Service that is called otpkit, to that Service's address. So they are for the file and
# the command line alone.
_OF_KUBERNETES: Final = frozenset({"OTPKIT_SERVICE_HOST", "OTPKIT_SERVICE_PORT"})
_TEMPLATE_FIELDS: Final = ("code", "sign_name", "params", "body")
_KEY_FIELDS: Final = ("key", "key_sha256", "purposes")
# Fields that are checked together, for what one may be depends on the others.
_JOINT: Final = (("ttl", "max_age"), ("regions", "default_region", "region_sends"))


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


class _Reader:
    def __init__(self, environ: Mapping[str, str], path: str | None) -> None:
        self.problems: list[str] = []
        from_file = {} if path is None else read_file(path, self.problems)
        said = {
            name: value.strip()
            for name, value in environ.items()
            if name.startswith("OTPKIT_") and name not in _OF_KUBERNETES and value.strip()
        }
        self.given = {**from_file, **said}

    def settings(self) -> Settings:
        templates = self._templates()
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

    def _try(self, build: Callable[..., T], *args: Any, **named: Any) -> T | None:
        try:
            return build(*args, **named)
        except ConfigurationError as error:
            self.problems.append(str(error))
            return None

    def _arguments(self, templates: Mapping[str, Template] | None) -> dict[str, Any]:
        wait = self._number("OTPKIT_SERVICE_GATEWAY_WAIT", 5, 0, _MAX_GATEWAY_WAIT)
        overrides: dict[str, Any] = {"policy": self._policy(), "gateway_wait": wait}
        if templates is not None:
            overrides["template"] = templates
        choice = GATEWAYS.get(self.given.get("OTPKIT_GATEWAY", "").lower())
        if choice is not None and not choice.needed(self.given).keys() - self.given.keys():
            overrides["gateway"] = self._try(gateway_from, self.given)
        arguments = self._try(arguments_from, self.given, overrides) or {}
        # What follows is looked at whether or not something else is missing, so that all is told at once.
        secrets = self.given.get("OTPKIT_SECRET", "").split()
        if secrets:
            self._try(Keys, secrets, self.given.get("OTPKIT_INDEX_SECRET"))
        if url := self.given.get("OTPKIT_REDIS_URL"):
            self._try(read_url, url)
        return arguments

    def _policy(self) -> Policy | None:
        table = self._object("OTPKIT_POLICY", "a policy")
        self._refuse_unknown("policy", table, tuple(each.name for each in fields(Policy)))
        known = {each.name: table[each.name] for each in fields(Policy) if each.name in table}
        if isinstance(known.get("regions"), list):
            known["regions"] = frozenset(map(str, known["regions"]))
        joint = {name for names in _JOINT for name in names}
        for names in (*_JOINT, *((name,) for name in known if name not in joint)):
            self._try(Policy, **{name: known[name] for name in names if name in known})
        try:
            return Policy(**known)
        except ConfigurationError:
            return None  # it was told above

    def _templates(self) -> dict[str, Template] | None:
        if "OTPKIT_TEMPLATES" not in self.given:
            return None
        found = {}
        for purpose, table in self._object("OTPKIT_TEMPLATES", "a template for each purpose").items():
            where = f"templates.{purpose}"
            if not isinstance(table, dict) or not isinstance(table.get("code"), str):
                self.problems.append(f"{where} must have the field code.")
                continue
            self._refuse_unknown(where, table, _TEMPLATE_FIELDS)
            named = {name: table[name] for name in ("sign_name", "params", "body") if name in table}
            template = self._try(Template, table["code"], **named)
            if template is not None:
                found[purpose] = template
        return found

    def _keys(self, templates: Mapping[str, Template] | None) -> tuple[ApiKey, ...]:
        tables = self._object("OTPKIT_API_KEYS", "an API key for each name")
        keys = tuple(key for name, table in tables.items() if (key := self._try(self._key, name, table)) is not None)
        if templates is not None:
            declared = self._object("OTPKIT_TEMPLATES", "a template for each purpose").keys()
            for key in keys:
                for purpose in sorted(key.purposes - declared):
                    self.problems.append(f"keys.{key.name} names the purpose {purpose!r}, which no template serves.")
        if keys or not tables:
            self._try(Keyring, keys)
        return keys

    def _key(self, name: str, table: Any) -> ApiKey:
        where = f"keys.{name}"
        if not isinstance(table, dict) or not isinstance(table.get("purposes"), list):
            raise ConfigurationError(f'{where} must have a key, and purposes such as ["signup"].')
        self._refuse_unknown(where, table, _KEY_FIELDS)
        if ("key" in table) == ("key_sha256" in table):
            raise ConfigurationError(f"{where} must have one of key and key_sha256.")
        build = ApiKey.of if "key" in table else ApiKey.of_digest
        return build(name, table.get("key", table.get("key_sha256")), table["purposes"])

    def _receipts_secret(self) -> str | None:
        secret = self.given.get("OTPKIT_SERVICE_RECEIPTS_SECRET")
        if secret is not None:
            self._try(require_receipts_secret, secret)
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

    def _object(self, variable: str, what: str) -> dict[str, Any]:
        try:
            found = json.loads(self.given.get(variable, "{}"))
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            return found
        problem = f"{variable} must be a JSON object with {what}."
        self.problems.append(problem)
        return {}

    def _refuse_unknown(self, where: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for name in table:
            if name not in known:
                self.problems.append(f"{where} has no field {name!r:.40}{nearest(name, known)}")
