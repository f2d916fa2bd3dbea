"""The arguments of an `OTP` from variables, for `OTP.from_env`. `otpkit.settings` adds files and more checks.

A variable is `OTPKIT_`, the name of a table where there is one, and the name of a setting: `OTPKIT_REDIS_URL`,
`OTPKIT_TEMPLATE_CODE`, `OTPKIT_ALIDAYU_APP_KEY`. The settings of a gateway are the arguments of its constructor.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import fields
from difflib import get_close_matches
from functools import cache
from typing import Any, Final, NamedTuple, TypeVar

from otpkit import gateways
from otpkit.errors import ConfigurationError
from otpkit.gateways.base import Gateway
from otpkit.gateways.failover import Failover, Route
from otpkit.gateways.parameters import Parameter, parameters_of
from otpkit.policy import Policy
from otpkit.template import Template

T = TypeVar("T")

GATEWAYS: Final = {
    "alidayu": "Alidayu",
    "aliyun": "Aliyun",
    "aliyun-voice": "AliyunVoice",
    "tencent": "Tencent",
    "twilio": "Twilio",
    "webhook": "Webhook",
    "console": "Console",
}
"""The gateways that settings can name, and their classes."""
DEFAULT_GATEWAY: Final = "alidayu"  # Its variables are named where no gateway is chosen.

ROOT: Final = (
    Parameter("redis_url", "text", "where codes are kept, such as redis://localhost:6379/0", required=True),
    Parameter(
        "secret",
        "text",
        "at least 32 random bytes, from `otpkit keygen`; several, newest last, are separated by blanks",
        required=True,
    ),
    Parameter("gateway", "text", f"the gateway: {', '.join(GATEWAYS)}; several are tried in turn", required=True),
    Parameter("gateways", "json", "a gateway, or a list of them, for each region"),
    Parameter("index_secret", "text", "the first secret, once there are several"),
    Parameter("namespace", "text", "the prefix of all keys, otpkit unless said"),
    Parameter("policy", "json", "a policy"),
    Parameter("templates", "json", "a template for each purpose"),
)
TEMPLATE: Final = (
    Parameter("code", "text", "the approved template, such as SMS_585014", required=True),
    Parameter(
        "sign_name", "text", "the approved signature, for a gateway that puts it in front of the text", required=True
    ),
    Parameter("params", "json", 'the variables of the template, {"code": "{code}"} unless said'),
    Parameter("body", "text", "the approved text, to check the variables against"),
)
ARGUMENTS: Final = ("redis", "secret", "index_secret", "namespace", "gateway", "template", "policy")
"""The arguments of an `OTP` that variables can give."""

# The console is the one gateway whose argument stands in no table.
_WITHOUT_TABLE: Final = {("console", "development")}
_POLICY_FIELDS: Final = tuple(each.name for each in fields(Policy))
_TEMPLATE_FIELDS: Final = tuple(each.name for each in TEMPLATE)
# Fields that are checked together, for what one may be depends on the others.
_JOINT: Final = (("ttl", "max_age"), ("regions", "default_region", "region_sends"))
_NAMES: Final = re.compile(r"[\s,]+")


class Problem(NamedTuple):
    """A variable that is wrong, and why; or one that is missing, and what belongs into it."""

    variable: str
    text: str
    is_missing: bool = False


def variable_of(table: str, name: str) -> str:
    """Return the variable of a setting; `table` is "" for one that stands in none. Without a name it is a prefix."""
    parts = (name,) if not table or (table, name) in _WITHOUT_TABLE else (table, name)
    return "_".join(("OTPKIT", *parts)).replace("-", "_").upper()


@cache
def tables() -> dict[str, dict[str, Parameter]]:
    """Return all settings of an `OTP` by table and name: "" is the root, the others are those of a TOML file."""
    own = (Parameter(f"template_{name}", kind, about) for name, kind, about, _ in TEMPLATE)
    of_each = {each.name: each for each in (*own, Parameter("templates", "json", "a template for each purpose"))}
    return {
        "": {each.name: each for each in ROOT},
        "template": {each.name: each for each in TEMPLATE},
        "failover": parameters_of(Failover),
        **{name: parameters_of(gateway_class(name)) | of_each for name in GATEWAYS},
    }


REQUIRED: Final = {
    variable_of(table, each.name): each.about
    for table, settings in (("", ROOT), ("template", TEMPLATE))
    for each in settings
    if each.required
}
"""The variables that every deployment needs beside those of its gateway, and what belongs into each."""


def gateway_class(name: str) -> type[Gateway]:
    """Return the class of a gateway that settings can name."""
    found: type[Gateway] = getattr(gateways, GATEWAYS[name])
    return found


def arguments_from(environ: Mapping[str, str], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of an `OTP`; `overrides` win, and what they give need not be in the environment.

    Raises `ConfigurationError` that names every variable that is missing or wrong, and what belongs into it.
    """
    given = {name: value.strip() for name, value in environ.items() if name.startswith("OTPKIT_") and value.strip()}
    reader = Reader(given, overrides.get("gateway"))
    arguments = reader.arguments(name for name in ARGUMENTS if name not in overrides)
    if reader.problems:
        raise ConfigurationError(" ".join(_sentences(reader.problems)))
    return arguments | dict(overrides)


def _sentences(problems: Iterable[Problem]) -> Iterator[str]:
    missing = {each.variable: each.text for each in problems if each.is_missing}
    wrong: dict[str, dict[str, None]] = {}
    for problem in problems:
        if not problem.is_missing:
            wrong.setdefault(problem.variable, {})[problem.text] = None
    if missing:
        listed = "; ".join(f"{variable} ({about})" for variable, about in missing.items())
        yield f"The environment lacks {listed}. Set what is missing and start again."
    for variable, texts in wrong.items():
        yield f"Correct {variable}: {' '.join(texts)}"


class Reader:
    """A reader of the arguments of an `OTP`, one by one, so that one that is wrong hides no other.

    Args:
        given: the variables, without those that are empty.
        gateway: what `OTP(gateway=…)` is given in place of the variables; None where they name it.

    All that is missing or wrong is added to `problems`.
    """

    def __init__(self, given: Mapping[str, str], gateway: Any = None) -> None:
        self.problems: list[Problem] = []
        self._given = given
        self._gateway = gateway

    def arguments(self, names: Iterable[str]) -> dict[str, Any]:
        """Return these arguments, without those that are not given or wrong."""
        found = {name: getattr(self, f"_read_{name}")() for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def _read_redis(self) -> str | None:
        return self._required("OTPKIT_REDIS_URL")

    def _read_secret(self) -> str | list[str] | None:
        secrets = (self._required("OTPKIT_SECRET") or "").split()
        return secrets if len(secrets) > 1 else next(iter(secrets), None)

    def _read_index_secret(self) -> str | None:
        return self._given.get("OTPKIT_INDEX_SECRET")

    def _read_namespace(self) -> str | None:
        return self._given.get("OTPKIT_NAMESPACE")

    def _read_gateway(self) -> Any:
        if "OTPKIT_GATEWAYS" not in self._given:
            self._required("OTPKIT_GATEWAY")
        by_region = self._names_by_region()
        built = {name: self._build(name) for name in self._chosen(by_region)}
        if None in built.values():
            return None
        chosen = {region: self._in_turn([built[name] for name in names]) for region, names in by_region.items()}
        if None in chosen.values():
            return None
        return chosen if "OTPKIT_GATEWAYS" in self._given else chosen.get("*")

    def _read_template(self) -> Template | dict[str, Template] | None:
        if "OTPKIT_TEMPLATES" not in self._given:
            self._required("OTPKIT_TEMPLATE_CODE")
            if self._needs_signature():
                self._required("OTPKIT_TEMPLATE_SIGN_NAME")
        return self._templates("OTPKIT_")

    def _read_policy(self) -> Policy | None:
        if "OTPKIT_POLICY" not in self._given:
            return None
        table = self._object("OTPKIT_POLICY", "a policy")
        self._refuse_unknown("OTPKIT_POLICY", "policy", table, _POLICY_FIELDS)
        known = {name: table[name] for name in _POLICY_FIELDS if name in table}
        if isinstance(known.get("regions"), list):
            known["regions"] = frozenset(map(str, known["regions"]))
        joint = {name for names in _JOINT for name in names}
        for names in (*_JOINT, *((name,) for name in known if name not in joint)):
            self._tried("OTPKIT_POLICY", Policy, **{name: known[name] for name in names if name in known})
        # Each wrong field has its problem by now.
        return None if self._is_wrong("OTPKIT_POLICY") else Policy(**known)

    def _required(self, variable: str) -> str | None:
        if variable not in self._given:
            self.problems.append(Problem(variable, REQUIRED[variable], is_missing=True))
        return self._given.get(variable)

    def _names_by_region(self) -> dict[str, list[str]]:
        """Return the names of the gateways in their order, for each region; "*" stands for all others."""
        variable, wanted = "OTPKIT_GATEWAY", {"*": self._given.get("OTPKIT_GATEWAY", "")}
        if "OTPKIT_GATEWAYS" in self._given:
            variable, wanted = "OTPKIT_GATEWAYS", self._object("OTPKIT_GATEWAYS", "a gateway for each region")
        found = {region: self._names(variable, region, value) for region, value in wanted.items()}
        return {region: names for region, names in found.items() if names}

    def _names(self, variable: str, region: str, value: Any) -> list[str]:
        listed = _NAMES.split(value.strip(", ")) if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
            self._wrong(variable, f'gateways.{region:.8} must be a name, or a list such as ["alidayu", "twilio"].')
            return []
        names = [each.lower() for each in listed if each]
        for name in names:
            if name not in GATEWAYS:
                hint = nearest(name, GATEWAYS)
                text = f"{name!r:.40} is no gateway{hint} Those that there are: {', '.join(GATEWAYS)}."
                self._wrong(variable, text)
        return [name for name in names if name in GATEWAYS]

    def _chosen(self, by_region: Mapping[str, list[str]]) -> list[str]:
        """Return the names of all gateways; where none is chosen yet, the one whose variables are to be named."""
        if not self._given.keys() & {"OTPKIT_GATEWAY", "OTPKIT_GATEWAYS"}:
            return [DEFAULT_GATEWAY]
        return list(dict.fromkeys(name for names in by_region.values() for name in names))

    def _in_turn(self, members: list[Any]) -> Any:
        """Return what carries the messages of a region: one gateway, or a `Failover` of several."""
        if len(members) < 2:
            return members[0]
        options = self._options("failover", Failover)
        return None if options is None else self._made("failover", Failover, (), options, members)

    def _build(self, name: str) -> Gateway | Route | None:
        """Return a gateway; with templates of its own where it has some."""
        missing = list(self._missing(name))
        self.problems += missing
        options = self._options(name, gateway_class(name))
        if missing or options is None:
            return None
        prefix = variable_of(name, "")
        needed = {each for group in gateway_class(name).needs for each in group}
        needed |= {each.name for each in tables()[name].values() if each.required}
        gateway = self._made(name, gateway_class(name), needed, options)
        if gateway is None or not self._has_templates(prefix):
            return gateway
        templates = self._templates(prefix)
        return None if templates is None else Route(gateway, templates)

    def _missing(self, name: str) -> Iterator[Problem]:
        """Give what a gateway needs and has not: of several that could each do, all are named."""
        settings = tables()[name]
        groups: list[tuple[str, ...]] = [(each.name,) for each in settings.values() if each.required]
        groups += [tuple(each for each in group if each in settings) for group in gateway_class(name).needs]
        for group in groups:
            variables = {variable_of(name, each): settings[each].about for each in group}
            if self._given.keys().isdisjoint(variables):
                (first, text), *others = variables.items()
                yield Problem(first, "; ".join([text, *(f"or {each}, {about}" for each, about in others)]), True)

    def _options(self, table: str, build: Callable[..., Any]) -> dict[str, Any] | None:
        """Return the arguments that a table gives, or None where one of them is wrong."""
        given = {name: each for name, each in parameters_of(build).items() if variable_of(table, name) in self._given}
        options = {}
        for name, each in given.items():
            variable = variable_of(table, name)
            options[name] = self._tried(variable, each.read, self._given[variable])
        return None if None in options.values() else options

    def _made(
        self, table: str, build: Callable[..., T], needed: Collection[str], options: Mapping[str, Any], *args: Any
    ) -> T | None:
        """Return what `build` makes; None, with a problem for each argument that is wrong by itself.

        A constructor tells of one argument at a time, so each is tried beside those that are needed.
        """
        try:
            return build(*args, **options)
        except ConfigurationError as error:
            first = str(error)
        before = len(self.problems)
        base = {name: value for name, value in options.items() if name in needed}
        if _works(build, *args, **base):
            for name in (each for each in options if each not in needed):
                self._tried(variable_of(table, name), build, *args, **base, **{name: options[name]})
        if len(self.problems) == before:
            self._wrong(f"{variable_of(table, '')}…", first)
        return None

    def _needs_signature(self) -> bool:
        """Return whether a template needs a signature; True where no gateway is named yet."""
        if self._gateway is not None:
            return bool(getattr(self._gateway, "adds_signature", True))
        quiet = Reader(self._given)  # Wrong names are reported where the gateway is read.
        names = quiet._chosen(quiet._names_by_region()) or [DEFAULT_GATEWAY]
        shared = [name for name in names if not self._has_templates(variable_of(name, ""))]
        return any(gateway_class(name).adds_signature for name in shared)

    def _has_templates(self, prefix: str) -> bool:
        return f"{prefix}TEMPLATES" in self._given or f"{prefix}TEMPLATE_CODE" in self._given

    def _templates(self, prefix: str) -> Template | dict[str, Template] | None:
        """Return the templates whose variables begin so; None where there are none or one is wrong."""
        if f"{prefix}TEMPLATES" in self._given:
            return self._by_purpose(f"{prefix}TEMPLATES")
        if f"{prefix}TEMPLATE_CODE" not in self._given:
            return None
        variables = {name: f"{prefix}TEMPLATE_{name.upper()}" for name in _TEMPLATE_FIELDS}
        named: dict[str, Any] = {name: self._given[each] for name, each in variables.items() if each in self._given}
        if "params" in named:
            named["params"] = self._object(variables["params"], 'the variables, such as {"code": "{code}"}')
        if self._is_wrong(variables["params"]):
            return None
        return self._tried(f"{prefix}TEMPLATE_…", Template, **named)

    def _by_purpose(self, variable: str) -> dict[str, Template]:
        found = {}
        for purpose, table in self._object(variable, "a template for each purpose").items():
            where = f"templates.{purpose}"
            if not isinstance(table, dict) or not isinstance(table.get("code"), str):
                self._wrong(variable, f"{where} must have the field code.")
                continue
            self._refuse_unknown(variable, where, table, _TEMPLATE_FIELDS)
            named = {name: table[name] for name in _TEMPLATE_FIELDS if name in table}
            if (template := self._tried(variable, Template, **named)) is not None:
                found[purpose] = template
        return found

    def _object(self, variable: str, what: str) -> dict[str, Any]:
        """Return the JSON object of a variable; {} where it is none."""
        try:
            found = json.loads(self._given[variable])
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            return found
        self._wrong(variable, f"{variable} must be a JSON object with {what}.")
        return {}

    def _refuse_unknown(self, variable: str, where: str, table: Iterable[str], known: tuple[str, ...]) -> None:
        for name in table:
            if name not in known:
                self._wrong(variable, f"{where} has no field {name!r:.40}{nearest(name, known)}")

    def _tried(self, variable: str, build: Callable[..., T], *args: Any, **named: Any) -> T | None:
        """Return what `build` makes; None, and the problem added, where that is a `ConfigurationError`."""
        try:
            return build(*args, **named)
        except ConfigurationError as error:
            self._wrong(variable, str(error))
            return None

    def _wrong(self, variable: str, text: str) -> None:
        self.problems.append(Problem(variable, text))

    def _is_wrong(self, variable: str) -> bool:
        return any(each.variable == variable for each in self.problems)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that is most like another one, and the end of the sentence."""
    found = get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else "."


def _works(build: Callable[..., Any], *args: Any, **named: Any) -> bool:
    try:
        build(*args, **named)
    except ConfigurationError:
        return False
    return True
