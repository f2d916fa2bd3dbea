"""The setting `OTPKIT` (a mapping), and the one `OTP` of each process that is built from it.

- `OTP`: the dotted path of an `OTP`, or of a function without arguments that returns one. Or use the next item instead:
- the arguments of `OTP` in capitals (`REDIS`, `GATEWAY`, `TEMPLATE`, `SECRET`, `POLICY`…). `GATEWAY` and `ON_EVENT` may
  be dotted paths. Missing arguments are read from the environment, as `OTP.from_env()` does, so the setting is
  optional.
- `FORWARDED_HOPS`: the number of your own proxies in front of the application. Default 0. See `otpkit.web.client_ip`.
- `BRAND`: an `otpkit.web.Brand`, the look of your site on the pages.
- `USER_PHONE_FIELD`: the field of the user model that holds the number in E.164. Default `phone`. It must be unique. It
  may be a field of a related model: `profile__phone`.
- `LOGIN_PURPOSES`: the purposes whose proofs log in. Default `["login", "signup"]`.
- `LOGIN_STAFF`: True to let an SMS alone log in users with `is_staff` or `is_superuser`. Default False. Keep it False,
  and use a stronger method for them, such as a password and a second factor (OWASP ASVS 6.1.3, 6.3.4).
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
from otpkit.web import Brand, preferred_language
from otpkit.web.brand import NO_BRAND

_ARGUMENTS: Final = {name.upper(): name for name in inspect.signature(OTP).parameters}
_NAMES: Final = {"OTP", "BRAND", "FORWARDED_HOPS", "USER_PHONE_FIELD", "LOGIN_PURPOSES", "LOGIN_STAFF", *_ARGUMENTS}
_PATHS: Final = {"OTP", "GATEWAY", "ON_EVENT"}  # options that may be dotted paths

_built: dict[str, OTP] = {}


def get_otp() -> OTP:
    """Return the `OTP` of this process.

    Raises:
        ConfigurationError: the setting is wrong. The error names the option and the remedy.
    """
    # No lock: a fork could copy it while it is held. If two threads build an OTP at once, one OTP is never used.
    return _built.get("otp") or _built.setdefault("otp", _build(options()))


def options() -> Mapping[str, Any]:
    """Return the setting `OTPKIT`.

    Raises:
        ConfigurationError: it is not a mapping, or it holds an unknown option.
    """
    given = getattr(settings, "OTPKIT", {})
    if not isinstance(given, Mapping):
        raise ConfigurationError("The setting OTPKIT is not a dict.", 'Write it like {"OTP": "myproject.phones.otp"}.')
    if unknown := [name for name in given if name not in _NAMES]:
        raise ConfigurationError(
            f"OTPKIT has no option {unknown[0]!r:.40}.", f"Use one of its options: {', '.join(sorted(_NAMES))}."
        )
    return given


def forwarded_hops() -> int:
    """Return the number of your own proxies in front of the application.

    Raises:
        ConfigurationError: it is not a whole number.
    """
    hops = options().get("FORWARDED_HOPS", 0)
    if type(hops) is not int or hops < 0:
        raise ConfigurationError(
            "OTPKIT['FORWARDED_HOPS'] is not a whole number.",
            "Set it to the number of proxies in front of the application.",
        )
    return hops


def brand() -> Brand:
    """Return the look of the site on the pages.

    Raises:
        ConfigurationError: it is not a `Brand`.
    """
    given = options().get("BRAND", NO_BRAND)
    if not isinstance(given, Brand):
        raise ConfigurationError(
            "OTPKIT['BRAND'] is not a Brand.", 'Set it to otpkit.web.Brand(name="…", accent="#…").'
        )
    return given


def user_phone_field() -> str:
    """Return the name of the user model's field for the number.

    Raises:
        ConfigurationError: it is not a text.
    """
    name = options().get("USER_PHONE_FIELD", "phone")
    if not isinstance(name, str) or not name:
        raise ConfigurationError(
            "OTPKIT['USER_PHONE_FIELD'] is not a field name.", "Set it to the name of a field of the user model."
        )
    return name


def find_field(model: type[Model], path: str) -> tuple[type[Model], Any]:
    """Return the model and the field at a path such as `profile__phone`.

    Raises:
        FieldDoesNotExist: there is no such field.
    """
    first, _, rest = path.partition("__")
    field = model._meta.get_field(first)
    if not rest:
        return model, field
    if field.related_model is None:
        raise FieldDoesNotExist(f"{model.__name__}.{first} is not a relation to another model.")
    return find_field(field.related_model, rest)


def login_purposes() -> frozenset[str]:
    """Return the purposes whose proofs log in.

    Raises:
        ConfigurationError: it is not a list of texts, or it is empty.
    """
    given = options().get("LOGIN_PURPOSES", ("login", "signup"))
    is_list = isinstance(given, (list, tuple, set, frozenset)) and bool(given)
    if not is_list or not all(isinstance(each, str) and each for each in given):
        raise ConfigurationError(
            "OTPKIT['LOGIN_PURPOSES'] is not a list of purposes.", "Write it like ['login', 'signup']."
        )
    return frozenset(given)


def allows_staff() -> bool:
    """Return True if an SMS alone may log in users with `is_staff` or `is_superuser`.

    Raises:
        ConfigurationError: it is neither True nor False.
    """
    given = options().get("LOGIN_STAFF", False)
    if not isinstance(given, bool):
        raise ConfigurationError("OTPKIT['LOGIN_STAFF'] is neither True nor False.", "Set it to one of them.")
    return given


def language() -> Language:
    """Return otpkit's language for Django's active language (`zh-hans` is `zh`). The default is English."""
    return preferred_language(get_language() or "")


def _build(given: Mapping[str, Any]) -> OTP:
    arguments = {argument: _load(name, given[name]) for name, argument in _ARGUMENTS.items() if name in given}
    if "OTP" not in given:
        return OTP.from_env(**arguments)
    if arguments:
        raise ConfigurationError(
            f"OTPKIT has both OTP and arguments of OTP ({', '.join(arguments).upper()}).", "Remove one or the other."
        )
    found = _load("OTP", given["OTP"])
    otp = found() if callable(found) else found
    if not isinstance(otp, OTP):
        raise ConfigurationError(
            f"OTPKIT['OTP'] refers to an object of type {type(otp).__name__}.",
            "Set it to the dotted path of an otpkit.OTP, or of a function that returns one.",
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
