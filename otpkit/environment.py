"""The arguments of an `OTP` from environment variables, for `from_env` and the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from otpkit import gateways
from otpkit.errors import ConfigurationError
from otpkit.gateways.base import Gateway
from otpkit.policy import Policy
from otpkit.template import Template

T = TypeVar("T")


class Choice(NamedTuple):
    """A gateway that `OTPKIT_GATEWAY` may name: its class, and the variables that become its arguments.

    `OTPKIT_{the gateway's name}_BASE_URL` is the argument `base_url`, and so on. `one_of` are variables of which at
    least one is needed, `replaced` those required ones that another variable makes unnecessary.
    """

    class_name: str
    required: Mapping[str, str]
    optional: tuple[str, ...] = ()
    one_of: Mapping[str, str] = MappingProxyType({})
    replaced: Mapping[str, str] = MappingProxyType({})

    def needed(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the required variables, and what belongs into each, without those that `given` replaces."""
        return {name: why for name, why in self.required.items() if self.replaced.get(name) not in given}


def _aliyun(name: str, class_name: str, *more: str) -> Choice:
    prefix = f"OTPKIT_{name.upper()}_"
    required = {f"{prefix}ACCESS_KEY_ID": "the AccessKey's id", f"{prefix}ACCESS_KEY_SECRET": "its secret"}
    return Choice(class_name, required, tuple(prefix + each for each in ("SECURITY_TOKEN", "BASE_URL", "PROXY", *more)))


GATEWAYS = {
    "alidayu": Choice(
        "Alidayu",
        {
            "OTPKIT_ALIDAYU_APP_KEY": "the application's AppKey",
            "OTPKIT_ALIDAYU_APP_SECRET": "the application's AppSecret",
        },
        ("OTPKIT_ALIDAYU_BASE_URL", "OTPKIT_ALIDAYU_PROXY"),
    ),
    "aliyun": _aliyun("aliyun", "Aliyun"),
    "aliyun-voice": _aliyun("aliyun_voice", "AliyunVoice", "CALLED_SHOW_NUMBER"),
    "tencent": Choice(
        "Tencent",
        {
            "OTPKIT_TENCENT_SECRET_ID": "the key's SecretId",
            "OTPKIT_TENCENT_SECRET_KEY": "its SecretKey",
            "OTPKIT_TENCENT_SDK_APP_ID": "the SMS application's SdkAppId",
        },
        ("OTPKIT_TENCENT_REGION", "OTPKIT_TENCENT_TOKEN", "OTPKIT_TENCENT_BASE_URL", "OTPKIT_TENCENT_PROXY"),
    ),
    "twilio": Choice(
        "Twilio",
        {
            "OTPKIT_TWILIO_ACCOUNT_SID": "the account's SID",
            "OTPKIT_TWILIO_AUTH_TOKEN": "its auth token, or the SID and secret of an API key",
        },
        (
            "OTPKIT_TWILIO_API_KEY_SID",
            "OTPKIT_TWILIO_API_KEY_SECRET",
            "OTPKIT_TWILIO_STATUS_CALLBACK",
            "OTPKIT_TWILIO_LANGUAGE",
            "OTPKIT_TWILIO_BASE_URL",
            "OTPKIT_TWILIO_PROXY",
        ),
        {
            "OTPKIT_TWILIO_SENDER": "the number that messages come from",
            "OTPKIT_TWILIO_MESSAGING_SERVICE_SID": "or the Messaging Service that picks one",
            "OTPKIT_TWILIO_VOICE_SENDER": "or the number that calls come from",
        },
        {"OTPKIT_TWILIO_AUTH_TOKEN": "OTPKIT_TWILIO_API_KEY_SID"},
    ),
    "webhook": Choice(
        "Webhook",
        {
            "OTPKIT_WEBHOOK_URL": "where messages are posted to",
            "OTPKIT_WEBHOOK_SECRET": "at least 32 random bytes, which sign them",
        },
        ("OTPKIT_WEBHOOK_PROXY",),
    ),
    "console": Choice("Console", {"OTPKIT_DEVELOPMENT": "1, for codes are printed: for development alone"}),
}
DEFAULT_GATEWAY = "alidayu"  # whose variables are named where none is chosen

REQUIRED = {
    "OTPKIT_REDIS_URL": "where codes are kept, such as redis://localhost:6379/0",
    "OTPKIT_SECRET": "at least 32 random bytes, from `otpkit keygen`; several, newest last, are separated by blanks",
    "OTPKIT_GATEWAY": f"the gateway: {', '.join(GATEWAYS)}",
    "OTPKIT_TEMPLATE_CODE": "the approved template, such as SMS_585014",
    "OTPKIT_TEMPLATE_SIGN_NAME": "the approved signature, for a gateway that puts it in front of the text",
}
OPTIONAL = {
    "OTPKIT_INDEX_SECRET": "the first secret, once there are several",
    "OTPKIT_NAMESPACE": "the prefix of all keys, otpkit unless said",
    "OTPKIT_TEMPLATE_PARAMS": 'the template\'s variables as JSON, {"code": "{code}"} unless said',
    "OTPKIT_TEMPLATE_BODY": "the approved text, to check the variables against",
}
JSON = {
    "OTPKIT_POLICY": "a policy",  # its fields, such as {"code_length": 8}
    "OTPKIT_TEMPLATES": "a template for each purpose",
}
"""The variables that hold a JSON object, and what is in it."""

_POLICY_FIELDS: Final = tuple(each.name for each in fields(Policy))
_TEMPLATE_FIELDS: Final = ("code", "sign_name", "params", "body")
# Fields that are checked together, for what one may be depends on the others.
_JOINT: Final = (("ttl", "max_age"), ("regions", "default_region", "region_sends"))


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
        templates = _whole("OTPKIT_TEMPLATES", read_templates, given)
        arguments["template"] = _template(given) if templates is None else templates
    if "policy" not in overrides and (policy := _whole("OTPKIT_POLICY", read_policy, given)) is not None:
        arguments["policy"] = policy
    for name in ("index_secret", "namespace"):
        if value := given.get(f"OTPKIT_{name.upper()}"):
            arguments[name] = value
    return arguments | dict(overrides)


def gateway_from(given: Mapping[str, str]) -> Gateway:
    """Return the gateway that the environment names."""
    name = given["OTPKIT_GATEWAY"].lower()
    choice = GATEWAYS.get(name)
    if choice is None:
        raise ConfigurationError(f"OTPKIT_GATEWAY names no gateway; set it to one of: {', '.join(GATEWAYS)}.")
    options: dict[str, Any] = {
        _option(name, variable): given[variable]
        for variable in (*choice.required, *choice.one_of, *choice.optional)
        if variable in given
    }
    if "development" in options:
        options["development"] = options["development"] == "1"
    gateway: Gateway = getattr(gateways, choice.class_name)(**options)
    return gateway


def read_policy(given: Mapping[str, str], problems: list[str]) -> Policy | None:
    """Return the policy of `OTPKIT_POLICY`; None where there is none. What is wrong with it is added to `problems`."""
    if "OTPKIT_POLICY" not in given:
        return None
    table = read_object(given, "OTPKIT_POLICY", JSON["OTPKIT_POLICY"], problems)
    refuse_unknown("policy", table, _POLICY_FIELDS, problems)
    known = {name: table[name] for name in _POLICY_FIELDS if name in table}
    if isinstance(known.get("regions"), list):
        known["regions"] = frozenset(map(str, known["regions"]))
    joint = {name for names in _JOINT for name in names}
    for names in (*_JOINT, *((name,) for name in known if name not in joint)):
        tried(problems, Policy, **{name: known[name] for name in names if name in known})
    return tried([], Policy, **known)  # what is wrong was added above, field by field


def read_templates(given: Mapping[str, str], problems: list[str]) -> dict[str, Template] | None:
    """Return the templates of `OTPKIT_TEMPLATES` by purpose; None where it is not given."""
    if "OTPKIT_TEMPLATES" not in given:
        return None
    found = {}
    for purpose, table in read_object(given, "OTPKIT_TEMPLATES", JSON["OTPKIT_TEMPLATES"], problems).items():
        where = f"templates.{purpose}"
        if not isinstance(table, dict) or not isinstance(table.get("code"), str):
            problems.append(f"{where} must have the field code.")
            continue
        refuse_unknown(where, table, _TEMPLATE_FIELDS, problems)
        named = {name: table[name] for name in _TEMPLATE_FIELDS if name in table}
        if (template := tried(problems, Template, **named)) is not None:
            found[purpose] = template
    return found


def read_object(given: Mapping[str, str], variable: str, what: str, problems: list[str]) -> dict[str, Any]:
    """Return the JSON object of a variable, {} where it is not given or, with a problem, no object."""
    try:
        found = json.loads(given.get(variable, "{}"))
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    problems.append(f"{variable} must be a JSON object with {what}.")
    return {}


def refuse_unknown(where: str, table: Iterable[str], known: tuple[str, ...], problems: list[str]) -> None:
    """Add a problem for every field that is not known, with the one that may be meant."""
    problems += [f"{where} has no field {name!r:.40}{nearest(name, known)}" for name in table if name not in known]


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that is most like another one, and the end of the sentence."""
    found = get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else "."


def tried(problems: list[str], build: Callable[..., T], *args: Any, **named: Any) -> T | None:
    """Return what `build` makes; None, and the problem added, where that is a `ConfigurationError`."""
    try:
        return build(*args, **named)
    except ConfigurationError as error:
        problems.append(str(error))
        return None


def _whole(variable: str, read: Callable[[Mapping[str, str], list[str]], T], given: Mapping[str, str]) -> T:
    """Return what is read of a variable; raises `ConfigurationError` that names it, and all that is wrong with it."""
    problems: list[str] = []
    found = read(given, problems)
    if problems:
        raise ConfigurationError(f"Correct {variable}: {' '.join(dict.fromkeys(problems))}")
    return found


def _option(gateway: str, variable: str) -> str:
    prefix = f"OTPKIT_{gateway.upper().replace('-', '_')}_"
    return variable.removeprefix(prefix).removeprefix("OTPKIT_").lower()


def _require(given: Mapping[str, str], overrides: Mapping[str, Any]) -> None:
    needed = {name: why for name, why in REQUIRED.items() if _argument(name) not in overrides}
    if "OTPKIT_TEMPLATES" in given:
        needed = {name: why for name, why in needed.items() if _argument(name) != "template"}
    choice = GATEWAYS.get(given.get("OTPKIT_GATEWAY", DEFAULT_GATEWAY).lower())
    if not _adds_signature(overrides.get("gateway"), choice):
        needed.pop("OTPKIT_TEMPLATE_SIGN_NAME", None)
    if "gateway" not in overrides and choice is not None:
        needed |= choice.needed(given)
        needed |= {} if given.keys() & choice.one_of.keys() else choice.one_of
    missing = [f"{name} ({why})" for name, why in needed.items() if name not in given]
    if missing:
        raise ConfigurationError(f"The environment lacks {'; '.join(missing)}. Set what is missing and start again.")


def _adds_signature(gateway: Any, choice: Choice | None) -> bool:
    """Return whether a template needs a signature; True where that can't be told yet."""
    if gateway is None and choice is not None:
        gateway = getattr(gateways, choice.class_name)
    return bool(getattr(gateway, "adds_signature", True))


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
    named = {"sign_name": sign} if (sign := given.get("OTPKIT_TEMPLATE_SIGN_NAME")) else {}
    return Template(given["OTPKIT_TEMPLATE_CODE"], params=params, body=given.get("OTPKIT_TEMPLATE_BODY"), **named)
