"""The setting `OTPKIT`, a mapping, and the one `OTP` of a process that is built from it.

- `OTP`: the dotted path of an `OTP`, or of a function without arguments that makes one; or
- the arguments of `OTP` in capitals (`REDIS`, `GATEWAY`, `TEMPLATE`, `SECRET`, `POLICY`…). `GATEWAY` and `ON_EVENT` may
  be dotted paths too. What is not given is read from the environment, as `OTP.from_env()` does; so the setting may be
  left out.
- `FORWARDED_HOPS`: how many proxies of yours stand before the application, 0 unless said; see `otpkit.web.client_ip`.
- `USER_PHONE_FIELD`: the field of the user model that holds the number as E.164, `phone` unless said. It must be unique
  and may be a related model's: `profile__phone`.
- `LOGIN_PURPOSES`: the purposes whose proofs log in, `["login", "signup"]` unless said.
- `LOGIN_STAFF`: whether an SMS alone logs in users with `is_staff` or `is_superuser`, False unless said. Leave it so:
  give them a stronger way, such as a password and a second factor (OWASP ASVS 6.1.3, 6.3.4).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import FieldDoesNotExist
from django.core.signals import setting_changed
from django.db.models import Model
from django.utils.module_loading import import_string
from django.utils.translation import get_language

from otpkit import OTP, ConfigurationError
from otpkit.errors import Language
from otpkit.web import preferred_language

_ARGUMENTS: Final = {name.upper(): name for name in inspect.signature(OTP).parameters}
_NAMES: Final = {"OTP", "FORWARDED_HOPS", "USER_PHONE_FIELD", "LOGIN_PURPOSES", "LOGIN_STAFF", *_ARGUMENTS}
_PATHS: Final = {"OTP", "GATEWAY", "ON_EVENT"}  # what may be a dotted path

_built: dict[str, OTP] = {}


def get_otp() -> OTP:
    """Return the `OTP` of this process. Raises `ConfigurationError`, naming the setting and the remedy."""
    # No lock, which a fork could copy while it is held: of two that are built at once one is never used.
    return _built.get("otp") or _built.setdefault("otp", _build(options()))


def options() -> Mapping[str, Any]:
    """Return the setting `OTPKIT`. Raises `ConfigurationError` where it holds a name that is not known."""
    given = getattr(settings, "OTPKIT", {})
    if not isinstance(given, Mapping):
        raise ConfigurationError("The setting OTPKIT is no dict.", 'Write it like {"OTP": "myproject.phones.otp"}.')
    if unknown := [name for name in given if name not in _NAMES]:
        raise ConfigurationError(
            f"OTPKIT has no option {unknown[0]!r:.40}.", f"Use its options: {', '.join(sorted(_NAMES))}."
        )
    return given


def forwarded_hops() -> int:
    """Return how many proxies stand before the application."""
    hops = options().get("FORWARDED_HOPS", 0)
    if type(hops) is not int or hops < 0:
        raise ConfigurationError(
            "OTPKIT['FORWARDED_HOPS'] is no whole number.", "Set it to the number of proxies before the application."
        )
    return hops


def user_phone_field() -> str:
    """Return the name of the user model's field for the number."""
    name = options().get("USER_PHONE_FIELD", "phone")
    if not isinstance(name, str) or not name:
        raise ConfigurationError(
            "OTPKIT['USER_PHONE_FIELD'] is no name of a field.", "Set it to the name of a field of the user model."
        )
    return name


def find_field(model: type[Model], path: str) -> tuple[type[Model], Any]:
    """Return the model and the field that a path such as `profile__phone` leads to; raises `FieldDoesNotExist`."""
    first, _, rest = path.partition("__")
    field = model._meta.get_field(first)
    if not rest:
        return model, field
    if field.related_model is None:
        raise FieldDoesNotExist(f"{model.__name__}.{first} leads to no other model.")
    return find_field(field.related_model, rest)


def login_purposes() -> frozenset[str]:
    """Return the purposes whose proofs log in."""
    given = options().get("LOGIN_PURPOSES", ("login", "signup"))
    is_list = isinstance(given, (list, tuple, set, frozenset)) and bool(given)
    if not is_list or not all(isinstance(each, str) and each for each in given):
        raise ConfigurationError(
            "OTPKIT['LOGIN_PURPOSES'] is no list of purposes.", "Write it like ['login', 'signup']."
        )
    return frozenset(given)


def allows_staff() -> bool:
    """Return whether an SMS alone logs in users with `is_staff` or `is_superuser`."""
    given = options().get("LOGIN_STAFF", False)
    if not isinstance(given, bool):
        raise ConfigurationError("OTPKIT['LOGIN_STAFF'] is neither True nor False.", "Set it to one of them.")
    return given


def language() -> Language:
    """Return which of otpkit's languages Django's active one is (`zh-hans` is `zh`); English where it is neither."""
    return preferred_language(get_language() or "")


def _build(given: Mapping[str, Any]) -> OTP:
    arguments = {argument: _load(name, given[name]) for name, argument in _ARGUMENTS.items() if name in given}
    if "OTP" not in given:
        return OTP.from_env(**arguments)
    if arguments:
        raise ConfigurationError(f"OTPKIT has OTP and its arguments ({', '.join(arguments).upper()}).", "Keep either.")
    found = _load("OTP", given["OTP"])
    otp = found() if callable(found) else found
    if not isinstance(otp, OTP):
        raise ConfigurationError(
            f"OTPKIT['OTP'] leads to {type(otp).__name__}.",
            "Set it to the dotted path of an otpkit.OTP, or of a function that makes one.",
        )
    return otp


def _load(name: str, value: Any) -> Any:
    if name not in _PATHS or not isinstance(value, str):
        return value
    try:
        return import_string(value)
    except ImportError as error:
        raise ConfigurationError(f"OTPKIT[{name!r}] can't be imported: {error}.", "Correct the dotted path.") from error


def _forget(*, setting: str, **_: object) -> None:
    if setting == "OTPKIT":
        _built.clear()


setting_changed.connect(_forget, dispatch_uid="otpkit")
