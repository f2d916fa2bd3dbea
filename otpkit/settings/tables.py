"""The model of all settings, as the tables of a TOML file.

The tables of an `OTP` and its gateways are made from `otpkit.environment`, which reads their values; here their names
are checked. The other tables are declared here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Annotated, Any, Final, NamedTuple, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, SecretStr, create_model
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from otpkit.environment import tables as otp_tables
from otpkit.environment import variable_of
from otpkit.errors import ConfigurationError
from otpkit.settings.keys import require_receipts_secret

T = TypeVar("T")

_URL: Final = re.compile(r"https?://[^\s/?#]+[^\s?#]*")  # A path is added to it, so it ends before a query.
SENTENCE: Final = "otpkit_sentence"  # The type of an error whose text is a whole sentence.
MUST: Final = "otpkit_must"  # The type of an error whose text goes on after the name of the setting.


def _whole(low: int, high: int) -> BeforeValidator:
    """Return the validator of a whole number within bounds."""

    def check(value: object) -> int:
        text = str(value)
        if isinstance(value, bool) or not (text.isascii() and text.isdigit()) or not low <= int(text[:9]) <= high:
            raise PydanticCustomError(MUST, "must be a whole number from {low} to {high}", {"low": low, "high": high})
        return int(text)

    return BeforeValidator(check)


def _checked(check: Callable[[Any], object]) -> Callable[[T], T]:
    """Return a validator of pydantic's for a check that raises our own error."""

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
    """A table of settings. It refuses what it does not know, and shows no value."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return ()


class Service(Table):
    """The settings of `otpkit serve` itself: `[service]`."""

    host: str = "127.0.0.1"
    port: Annotated[int, _whole(0, 65_535)] = 8000
    gateway_wait: Annotated[int, _whole(0, 30)] = 5  # seconds; after 30 a send counts as abandoned
    gateway_concurrency: Annotated[int, _whole(1, 10_000)] | None = None  # of each gateway
    forwarded_hops: Annotated[int, _whole(0, 16)] = 0
    receipts_secret: Annotated[str, AfterValidator(_checked(require_receipts_secret))] | None = None
    public_url: Annotated[str, AfterValidator(_check_url)] | None = None


class Key(Table):
    """An API key by its text or by its digest, with its purposes: `[keys.NAME]`."""

    key: SecretStr | None = None
    key_sha256: str | None = None
    purposes: list[Any]  # `ApiKey` checks what a purpose is.


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    service: Service = Service()
    keys: str | None = None  # JSON, as all tables whose names are free

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return ()


class Setting(NamedTuple):
    """A setting that there is: its path in a file, its variable, and whether it is a JSON object."""

    path: tuple[str, ...]
    variable: str
    is_json: bool

    @property
    def dotted(self) -> str:
        """The name in a file."""
        return ".".join(self.path)


@cache
def known_settings() -> dict[str, Setting]:
    """Return all settings by their path, joined by `_`: as a variable is named, without `OTPKIT_`."""
    found = [
        Setting(
            (name,) if not table or variable_of(table, name) == variable_of("", name) else (_name(table), name),
            variable_of(table, name),
            each.kind == "json",
        )
        for table, settings in otp_tables().items()
        for name, each in settings.items()
    ]
    found += [Setting(("service", name), variable_of("service", name), False) for name in Service.model_fields]
    found.append(Setting(("keys",), "OTPKIT_API_KEYS", True))
    return {"_".join(setting.path).upper(): setting for setting in found}


@cache
def _model() -> type[_Settings]:
    roots: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {}
    for path, _, _ in known_settings().values():
        if path[0] not in _Settings.model_fields:
            (roots if len(path) == 1 else nested.setdefault(path[0], {}))[path[-1]] = (str | None, None)
    for table, fields in nested.items():
        model = create_model(table, __base__=Table, **fields)
        roots[table] = (model, model())
    return create_model("Settings", __base__=_Settings, **roots)


def check(*sources: dict[str, Any]) -> _Settings:
    """Return the settings of several sources, of which the first that has a value wins.

    Raises pydantic's `ValidationError`, which the caller must not let out.
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
