"""The model of all settings, as the tables of a TOML file.

The tables of an `OTP` and its gateways come from `otpkit.environment`, which parses their values; this module checks
their names. The other tables are declared here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Annotated, Any, Final, NamedTuple, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, SecretStr, StrictBool, create_model
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from otpkit.core.secret_files import SUFFIX, takes_file
from otpkit.environment import tables as otp_tables
from otpkit.environment import variable_of
from otpkit.errors import ConfigurationError
from otpkit.settings.keys import require_receipts_secret

T = TypeVar("T")

_URL: Final = re.compile(r"https?://[^\s/?#]+[^\s?#]*")  # A path is appended to it, so it must not have a query.
MAX_WORKERS: Final = 64
SENTENCE: Final = "otpkit_sentence"  # the type of an error whose text is a whole sentence
MUST: Final = "otpkit_must"  # the type of an error whose text follows the name of the setting


def _whole(low: int, high: int) -> BeforeValidator:
    """Return the validator of a whole number from `low` to `high`."""

    def check(value: object) -> int:
        text = str(value)
        if isinstance(value, bool) or not (text.isascii() and text.isdigit()) or not low <= int(text[:9]) <= high:
            raise PydanticCustomError(MUST, "must be a whole number from {low} to {high}", {"low": low, "high": high})
        return int(text)

    return BeforeValidator(check)


def _flag(value: object) -> bool:
    """Return a truth value, which is true or false in a file, and 1 or 0 in a variable."""
    text = str(value).lower()
    if text not in {"0", "1", "false", "true"}:
        raise PydanticCustomError(MUST, "must be true or false, or 1 or 0 in a variable")
    return text in {"1", "true"}


def _log(value: object) -> str | None:
    """Return how events are logged: "text", "json", or None for not at all."""
    text = str(value).lower()
    if text not in {"0", "1", "false", "true", "text", "json"}:
        raise PydanticCustomError(MUST, 'must be true, false, or "json"')
    return {"0": None, "false": None, "json": "json"}.get(text, "text")


def _several(value: object) -> object:
    """Return a list of one text, if it is one."""
    if not isinstance(value, str | list):
        raise PydanticCustomError(MUST, "must be a text, or a list of texts")
    return [value] if isinstance(value, str) else value


def _checked(check: Callable[[Any], object]) -> Callable[[T], T]:
    """Return a pydantic validator for a check that raises `ConfigurationError`."""

    def validate(value: T) -> T:
        try:
            check(value)
        except ConfigurationError as error:
            said = {"problem": error.problem, "remedy": error.remedy}
        else:
            return value
        raise PydanticCustomError(SENTENCE, "{problem} {remedy}", said)

    return validate


def _check_url(value: str) -> str:
    if not _URL.fullmatch(value):
        raise PydanticCustomError(MUST, 'must be a URL, such as "https://otp.example.com"')
    return value


class Table(BaseModel):
    """A table of settings. It refuses unknown fields, and its repr shows no value."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return ()


class Service(Table):
    """The table `[service]`: the settings of `otpkit serve` itself.

    Attributes:
        host: the name or IP address to listen on.
        port: the TCP port; 0 picks a free one.
        gateway_wait: seconds to wait for a gateway's response, 0 to 30.
        forwarded_hops: the number of your own proxies that append to `X-Forwarded-For`.
        receipts_secret: the secret in the URL that gateways push receipts to, or None.
        public_url: the start of that URL as the gateway knows it, or None.
        workers: the number of processes that serve, 1 to 64.
        access_log: True to log each request as a line of JSON.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, _whole(0, 65_535)] = 8000
    gateway_wait: Annotated[int, _whole(0, 30)] = 5  # seconds; after 30 s, a send counts as abandoned
    gateway_concurrency: Annotated[int, _whole(1, 10_000)] | None = None  # of each gateway
    forwarded_hops: Annotated[int, _whole(0, 16)] = 0
    receipts_secret: Annotated[str, AfterValidator(_checked(require_receipts_secret))] | None = None
    public_url: Annotated[str, AfterValidator(_check_url)] | None = None
    workers: Annotated[int, _whole(1, MAX_WORKERS)] = 1
    access_log: Annotated[bool, BeforeValidator(_flag)] = False


class Telemetry(Table):
    """The table `[telemetry]`: what is reported to other systems.

    Attributes:
        log: how events are logged: `text`, `json` or None.
        webhook_url: the URL to post events to, or None.
        webhook_secret: the secret that signs them, or several, separated by blanks.
        webhook_names: the names of the events to post, separated by blanks or commas; None posts all.
        webhook_source: the name of this program in the events.
        prometheus: True to count events in the default registry of `prometheus_client`. `otpkit serve` always counts
            them, in its own.
        otel: True to export traces and metrics by OTLP from `otpkit serve`, as the variables `OTEL_…` configure it.
    """

    log: Annotated[str | None, BeforeValidator(_log)] = None
    webhook_url: str | None = None
    webhook_secret: SecretStr | None = None
    webhook_names: str | None = None
    webhook_source: str | None = None
    prometheus: Annotated[bool, BeforeValidator(_flag)] = False
    otel: Annotated[bool, BeforeValidator(_flag)] = False


class Key(Table):
    """The table `[keys.NAME]`: an API key, as text or as its SHA-256, with its purposes.

    `known = true` trusts the key's owner to say that a number is verified for an account. `operator = true` lets them
    read the audit, and forget the devices of a phone for all purposes.
    """

    key: SecretStr | None = None
    key_sha256: str | None = None
    purposes: list[Any]  # `ApiKey` checks the purposes.
    known: StrictBool = False
    operator: StrictBool = False


class OperatorTable(Table):
    """The table `[operators.NAME]`: a person who may use the console, by the SHA-256 of their key."""

    key_sha256: str
    role: str = "viewer"  # `Operator` checks it.


class VerifyTable(Table):
    """The table `[twilio_verify.NAME]`: a service of Twilio Verify whose clients call `otpkit serve` instead.

    `VerifyService` explains and checks the fields.
    """

    service_sid: str
    account_sid: str
    auth_token: SecretStr | None = None
    auth_token_sha256: str | None = None
    purpose: str
    api_key_sid: str | None = None
    ip_rate_limit: str | None = None


class HookTable(Table):
    """The table `[hooks.NAME]`: a system that makes its own codes, and calls `otpkit serve` to send them.

    `Hook` explains and checks the fields. Each of `secret`, `key` and `key_sha256` is one text or a list.
    """

    format: str
    template: str
    templates: dict[str, str] = {}
    secret: Annotated[list[SecretStr], BeforeValidator(_several)] = []
    key: Annotated[list[SecretStr], BeforeValidator(_several)] = []
    key_sha256: Annotated[list[str], BeforeValidator(_several)] = []
    minutes: Annotated[int, _whole(1, 1440)] | None = None
    visitor_ip: StrictBool = False


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    service: Service = Service()
    telemetry: Telemetry = Telemetry()
    keys: str | None = None  # JSON, like all tables with free names
    operators: str | None = None
    twilio_verify: str | None = None
    hooks: str | None = None

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return ()


class Setting(NamedTuple):
    """A known setting: its path in a file, its variable, and True if its value is JSON, and a list in it.

    `holds` is the variable whose value is in the file that this setting names, or "" if it names none.
    """

    path: tuple[str, ...]
    variable: str
    is_json: bool
    is_list: bool = False
    holds: str = ""

    @property
    def dotted(self) -> str:
        """The setting's name in a file."""
        return ".".join(self.path)


@cache
def known_settings() -> dict[str, Setting]:
    """Return all settings by their path joined with `_`, which is the variable's name without `OTPKIT_`."""
    found = [
        Setting(
            (name,) if not table or variable_of(table, name) == variable_of("", name) else (_name(table), name),
            variable_of(table, name),
            each.kind in {"json", "list"},
            each.kind == "list",
        )
        for table, settings in otp_tables().items()
        for name, each in settings.items()
    ]
    for table, fields in (("service", Service.model_fields), ("telemetry", Telemetry.model_fields)):
        found += [Setting((table, name), variable_of(table, name), False) for name in fields]
    found.append(Setting(("keys",), "OTPKIT_API_KEYS", True))
    found.append(Setting(("operators",), "OTPKIT_OPERATORS", True))
    found.append(Setting(("twilio_verify",), "OTPKIT_TWILIO_VERIFY", True))
    found.append(Setting(("hooks",), "OTPKIT_HOOKS", True))
    found += [_file_of(each) for each in found if takes_file(each.variable)]
    return {"_".join(setting.path).upper(): setting for setting in found}


def _file_of(setting: Setting) -> Setting:
    """Return the setting for the path of a file with a secret."""
    *tables, name = setting.path
    path = (*tables, f"{name}{SUFFIX.lower()}")
    return Setting(path, f"{setting.variable}{SUFFIX}", False, holds=setting.variable)


@cache
def _model() -> type[_Settings]:
    roots: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {}
    for setting in known_settings().values():
        path = setting.path
        if path[0] not in _Settings.model_fields:
            (roots if len(path) == 1 else nested.setdefault(path[0], {}))[path[-1]] = (str | None, None)
    for table, fields in nested.items():
        model = create_model(table, __base__=Table, **fields)
        roots[table] = (model, model())
    return create_model("Settings", __base__=_Settings, **roots)


def check(*sources: dict[str, Any]) -> _Settings:
    """Return the settings from several sources. The first source with a value wins.

    Raises:
        pydantic.ValidationError: a value is wrong. The caller must not let this error escape.
    """

    class Sourced(_model()):  # type: ignore[misc]
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: object, **__: object
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return tuple(InitSettingsSource(settings_cls, init_kwargs=each) for each in sources)

    found: _Settings = Sourced()
    return found


def _name(table: str) -> str:
    return table.replace("-", "_")
