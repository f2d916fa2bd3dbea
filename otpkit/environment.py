"""Build the arguments of an `OTP` from variables, for `OTP.from_env`. `otpkit.settings` adds files and more checks.

A variable is `OTPKIT_`, the name of a table if there is one, and the name of a setting: `OTPKIT_REDIS_URL`,
`OTPKIT_TEMPLATE_CODE`, `OTPKIT_ALIDAYU_APP_KEY`. The settings of a gateway or a captcha are the arguments of its
constructor.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, Final, TypeVar

from otpkit import captcha, gateways
from otpkit.captcha.base import Captcha
from otpkit.core.checks import nearest, problems_of
from otpkit.core.files import read_bytes
from otpkit.core.secret_files import explained, read_secrets, takes_file
from otpkit.errors import ConfigurationError, FieldProblem
from otpkit.gateways.base import Gateway
from otpkit.gateways.failover import Failover, Route
from otpkit.gateways.parameters import Parameter, parameters_of
from otpkit.guard.budgets import Budget
from otpkit.guard.options import Guard
from otpkit.guard.prices import Prices
from otpkit.policy import Policy
from otpkit.template import Template

T = TypeVar("T")

GATEWAYS: Final = gateways.CLASSES
CAPTCHAS: Final = captcha.CLASSES
DEFAULT_GATEWAY: Final = "alidayu"  # Errors name its variables if no gateway is chosen.

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
    Parameter("namespace", "text", "the prefix of all keys; otpkit by default"),
    Parameter("policy", "json", "a policy"),
    Parameter("templates", "json", "a template for each purpose"),
    Parameter("budgets", "list", 'what messages may cost, such as ["400 CNY/day"], or the fields of a Budget'),
    Parameter("prices", "json", 'the price of a message for each region, such as {"CN": "0.045 CNY"}'),
)
TEMPLATE: Final = (
    Parameter("code", "text", "the approved template, such as SMS_585014", required=True),
    Parameter(
        "sign_name", "text", "the approved signature, for a gateway that puts it in front of the text", required=True
    ),
    Parameter("params", "json", 'the variables of the template; {"code": "{code}"} by default'),
    Parameter("body", "text", "the approved text, to check the variables against"),
)
GUARD: Final = (
    Parameter(
        "mode", "text", "off, observe or enforce; observe by default. Without any setting of it there is no guard"
    ),
    Parameter("captcha", "text", f"the captcha: {', '.join(CAPTCHAS)}; proof-of-work by default"),
    Parameter("captchas", "json", 'a captcha for each purpose, such as {"signup": "turnstile", "*": "hcaptcha"}'),
    Parameter("ask", "text", "over_allowance, or always; over_allowance by default"),
    Parameter(
        "fallback", "text", "if the captcha's provider is silent: refuse, allow, or a captcha that is asked for instead"
    ),
    Parameter("safe_phones", "text", "numbers that are exempt, as E.164"),
    Parameter("safe_phones_file", "text", "the path of a file with more of them, one a line"),
    Parameter("safe_networks", "text", "addresses and networks that are exempt, such as 203.0.113.0/24"),
    Parameter("safe_networks_file", "text", "the path of a file with more of them, one a line"),
)
ARGUMENTS: Final = (
    "redis",
    "secret",
    "index_secret",
    "namespace",
    "gateway",
    "template",
    "policy",
    "guard",
    "budgets",
    "prices",
)
"""The arguments of an `OTP` that variables can set."""

# The console is the only gateway with an argument that is in no table.
_WITHOUT_TABLE: Final = {("console", "development")}
_BUDGET_FIELDS: Final = tuple(each.name for each in fields(Budget))
_POLICY_FIELDS: Final = tuple(each.name for each in fields(Policy))
_TEMPLATE_FIELDS: Final = tuple(each.name for each in TEMPLATE)
_CAPTCHA_REMEDY: Final = 'Write it like {"signup": "turnstile"}, or with its settings beside "provider".'
_LINE_BREAK: Final = re.compile(r"\r\n?|\n")
_NAMES: Final = re.compile(r"[\s,]+")


def variable_of(table: str, name: str) -> str:
    """Return the variable of a setting. `table` is "" for a setting in no table. Without a name, return the prefix."""
    parts = (name,) if not table or (table, name) in _WITHOUT_TABLE else (table, name)
    return "_".join(("OTPKIT", *parts)).replace("-", "_").upper()


@cache
def tables() -> dict[str, dict[str, Parameter]]:
    """Return all settings of an `OTP` by table and name. "" is the root; the others are the tables of a TOML file."""
    own = (Parameter(f"template_{name}", kind, about) for name, kind, about, _ in TEMPLATE)
    of_each = {each.name: each for each in (*own, Parameter("templates", "json", "a template for each purpose"))}
    return {
        "": {each.name: each for each in ROOT},
        "template": {each.name: each for each in TEMPLATE},
        "failover": parameters_of(Failover),
        "guard": {each.name: each for each in GUARD},
        **{name: parameters_of(gateway_class(name)) | of_each for name in GATEWAYS},
        **{name: parameters_of(captcha_class(name)) for name in CAPTCHAS},
    }


REQUIRED: Final = {
    variable_of(table, each.name): each.about
    for table, settings in (("", ROOT), ("template", TEMPLATE))
    for each in settings
    if each.required
}
"""The variables that every deployment needs in addition to those of its gateway, with their descriptions."""


def gateway_class(name: str) -> type[Gateway]:
    """Return the class of a gateway by its name in settings."""
    found: type[Gateway] = getattr(gateways, GATEWAYS[name])
    return found


def captcha_class(name: str) -> type[Captcha]:
    """Return the class of a captcha by its name in settings."""
    found: type[Captcha] = getattr(captcha, CAPTCHAS[name])
    return found


def arguments_from(environ: Mapping[str, str], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of an `OTP`.

    Args:
        environ: the environment, by variable.
        overrides: arguments that replace those of the environment. Their variables need not be set.

    Raises:
        ConfigurationError: variables are missing or wrong. The error names each of them, and its expected value.
    """
    given, unread = read_variables(environ)
    for name in overrides:
        unread.pop(variable_of("", name), None)  # The argument counts, whatever the file has.
    reader = Reader(given, overrides.get("gateway"))
    arguments = reader.arguments(name for name in ARGUMENTS if name not in overrides)
    problems = dict.fromkeys((*explained(reader.problems, unread), *unread.values()))
    if problems:
        raise ConfigurationError(problems=[placed(each, each.field) for each in problems])
    return arguments | dict(overrides)


def read_variables(environ: Mapping[str, str]) -> tuple[dict[str, str], dict[str, FieldProblem]]:
    """Return the variables that are set, with secrets from files, and by variable the problem with its file."""
    given = {name: value.strip() for name, value in environ.items() if name.startswith("OTPKIT_") and value.strip()}
    return read_secrets(given, _secret_variables())


@cache
def _secret_variables() -> tuple[str, ...]:
    """Return the variables whose value may be in a file."""
    names = (variable_of(table, name) for table, settings in tables().items() for name in settings)
    return tuple(name for name in dict.fromkeys(names) if takes_file(name))


def placed(problem: FieldProblem, where: str) -> FieldProblem:
    """Return a problem with its location `where`, with which its text begins."""
    text = f"{where}: {problem.problem}"
    if problem.is_missing:
        text = f"{where} is missing: {problem.problem}."
    elif problem.problem.startswith(where):
        text = problem.problem
    return problem._replace(field=where, problem=text)


def safe_variable(name: str, given: Mapping[str, str]) -> str:
    """Return the variable for a wrong entry of `safe_phones` or `safe_networks`: that of the file if it is alone."""
    listed, file = variable_of("guard", name), variable_of("guard", f"{name}_file")
    return file if file in given and listed not in given else listed


def price_variable(field: str) -> str:
    """Return the variable for a field of `prices`, such as `OTPKIT_PRICES.CN` for `prices.CN`."""
    return f"OTPKIT_PRICES{field.removeprefix('prices')}"


class Reader:
    """A reader of the arguments of an `OTP`. It reads each one separately, so that it reports all that are wrong.

    It adds everything that is missing or wrong to `problems`, by variable. A field of a JSON variable follows a point:
    `OTPKIT_POLICY.ttl`. For a missing variable, `problem` describes its value.

    Args:
        given: the variables, without empty ones.
        gateway: the value of `OTP(gateway=…)` in place of the variables; None if the variables name it.
    """

    def __init__(self, given: Mapping[str, str], gateway: Any = None) -> None:
        self.problems: list[FieldProblem] = []
        self._given = given
        self._gateway = gateway

    def arguments(self, names: Iterable[str]) -> dict[str, Any]:
        """Return these arguments, without those that are not set or wrong."""
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
        found = self._tried("OTPKIT_POLICY", Policy, **known)
        return None if self._is_wrong("OTPKIT_POLICY") else found

    def _read_budgets(self) -> list[Budget] | None:
        if "OTPKIT_BUDGETS" not in self._given:
            return None
        listed = self._parsed("OTPKIT_BUDGETS")
        if not isinstance(listed, list):
            self._wrong("OTPKIT_BUDGETS", 'OTPKIT_BUDGETS must be a JSON list of budgets, such as ["400 CNY/day"].')
            return None
        found = [self._budget(f"OTPKIT_BUDGETS.{place}", each) for place, each in enumerate(listed, 1)]
        return None if self._is_wrong("OTPKIT_BUDGETS") else [each for each in found if each is not None]

    def _budget(self, place: str, given: Any) -> Budget | None:
        table = given if isinstance(given, dict) else {"amount": given}
        self._refuse_unknown(place, "budgets", table, _BUDGET_FIELDS)
        known = {name: table[name] for name in _BUDGET_FIELDS if name in table}
        return self._tried(place, Budget, **{"amount": None, **known})

    def _read_prices(self) -> dict[str, str] | None:
        if "OTPKIT_PRICES" not in self._given:
            return None
        table = self._object("OTPKIT_PRICES", 'a price for each region, such as {"CN": "0.045 CNY"}')
        try:
            Prices(table)
        except ConfigurationError as error:
            self.problems += (each._replace(field=price_variable(each.field)) for each in error.problems)
        return None if self._is_wrong("OTPKIT_PRICES") else table

    def _required(self, variable: str) -> str | None:
        if variable not in self._given:
            self.problems.append(_missing(variable, REQUIRED[variable]))
        return self._given.get(variable)

    def _names_by_region(self) -> dict[str, list[str]]:
        """Return the names of the gateways in order, by region; "*" is all other regions."""
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
                text = f"{name!r:.40} is no gateway{nearest(name, GATEWAYS)}"
                self._wrong(variable, text, f"Choose from {', '.join(GATEWAYS)}.")
        return [name for name in names if name in GATEWAYS]

    def _chosen(self, by_region: Mapping[str, list[str]]) -> list[str]:
        """Return the names of all gateways. If none is chosen, return the one whose variables errors should name."""
        if not self._given.keys() & {"OTPKIT_GATEWAY", "OTPKIT_GATEWAYS"}:
            return [DEFAULT_GATEWAY]
        return list(dict.fromkeys(name for names in by_region.values() for name in names))

    def _in_turn(self, members: list[Any]) -> Any:
        """Return the gateway for a region: a single one, or a `Failover` of several."""
        return members[0] if len(members) < 2 else self._made("failover", Failover, members)

    def _read_guard(self) -> Guard | None:
        """Return the guard, or None if no variable of it is set, or one is wrong."""
        variables = {each.name: variable_of("guard", each.name) for each in GUARD}
        if self._given.keys().isdisjoint(variables.values()):
            return None
        before = len(self.problems)
        options: dict[str, Any] = {
            name: self._given[variables[name]] for name in ("mode", "ask") if variables[name] in self._given
        }
        chosen = "captchas" if variables["captchas"] in self._given else "captcha"
        options["captcha"] = self._captchas() if chosen == "captchas" else self.captcha()
        fallback = self._given.get(variables["fallback"], "")
        is_word = fallback in {"", "refuse", "allow"}
        options["fallback"] = (fallback or None) if is_word else self.captcha("fallback")
        for name in ("safe_phones", "safe_networks"):
            listed = _NAMES.split(self._given.get(variables[name], ""))
            options[name] = {each for each in (*listed, *self._lines(variables[f"{name}_file"])) if each}
        if len(self.problems) > before and not options["captcha"]:
            options["captcha"] = None  # Its problem is named already.
        try:
            found = Guard(**options)
        except ConfigurationError as error:
            variables["captcha"] = variables[chosen]
            variables |= {name: safe_variable(name, self._given) for name in ("safe_phones", "safe_networks")}
            self.problems += (each._replace(field=variables[each.field]) for each in problems_of(error, "mode"))
        return None if len(self.problems) > before else found

    def _lines(self, variable: str) -> list[str]:
        """Return the lines of the file that a variable names, without comments."""
        path = self._given.get(variable)
        if path is None:
            return []
        try:
            lines = _LINE_BREAK.split(read_bytes(path)[0].decode())
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else "") or "it is not a text in UTF-8"
            self._wrong(variable, f"{path!r:.200} can't be read: {reason}.", "Check the path and its permissions.")
            return []
        return [line.partition("#")[0].strip() for line in lines]

    def captcha(self, setting: str = "captcha") -> Captcha | None:
        """Return the captcha that a setting of the guard names, or None if it names none or its settings are wrong."""
        variable = variable_of("guard", setting)
        name = self._given.get(variable, "")
        return self._named_captcha(variable, name) if name else None

    def _captchas(self) -> dict[str, Captcha]:
        """Return the captchas of `[guard.captchas]` by purpose, without those whose settings are wrong."""
        variable, found = variable_of("guard", "captchas"), {}
        for purpose, table in self._object(variable, "a captcha for each purpose").items():
            place, where, captcha = f"{variable}.{purpose:.40}", f"guard.captchas.{purpose:.40}", None
            if isinstance(table, dict) and isinstance(table.get("provider"), str):
                captcha = self._captcha_of_table(place, where, table)
            elif isinstance(table, str) and table.strip():
                captcha = self._named_captcha(place, table.strip())
            else:
                self._wrong(place, f"{where} must name a captcha.", _CAPTCHA_REMEDY)
            if captcha is not None:
                found[purpose] = captcha
        if not found and not self._is_wrong(variable):
            self._wrong(variable, f"{variable} names no captcha.", _CAPTCHA_REMEDY)
        return found

    def _captcha_of_table(self, place: str, where: str, table: Mapping[str, Any]) -> Captcha | None:
        """Return a captcha with settings of its own, which outrank those of the provider's table."""
        name = _captcha_name(table["provider"])
        own = {field: value for field, value in table.items() if field != "provider"}
        given, variables = dict(self._given), {}
        for field, value in own.items():
            text = text_of(value)
            if text is None:
                self._wrong(f"{place}.{field:.40}", f"{where}.{field:.40} must be a text, a number or a list of them.")
            else:
                given[variable_of(name, field)] = text
        if name in CAPTCHAS:
            self._refuse_unknown(place, where, own, tuple(tables()[name]))
            variables = {variable_of(name, field): field for field in tables()[name]}
        reader = Reader(given)
        captcha = reader._named_captcha(place, name)
        for each in reader.problems:
            name_here = variables.get(each.field, "")
            found = each
            if name_here and each.is_missing:
                problem = f"{where} must have {name_here}: {each.problem}."
                found = FieldProblem(f"{place}.{name_here}", problem, "Set it.")
            elif name_here in own:
                found = each._replace(field=f"{place}.{name_here}")
            self.problems.append(found)
        return captcha

    def _named_captcha(self, variable: str, text: str) -> Captcha | None:
        """Return the captcha with a name, or None after adding a problem of `variable` or of the captcha's settings."""
        name = _captcha_name(text)
        if name not in CAPTCHAS:
            text = f"{name!r:.40} is no captcha{nearest(name, CAPTCHAS)}"
            self._wrong(variable, text, f"Choose from {', '.join(CAPTCHAS)}.")
            return None
        missing = list(self._missing_of(name, captcha_class(name).needs))
        self.problems += missing
        built = self._made(name, captcha_class(name))
        return None if missing else built

    def _build(self, name: str) -> Gateway | Route | None:
        """Return a gateway, as a `Route` if it has its own templates."""
        missing = list(self._missing_of(name, gateway_class(name).needs))
        self.problems += missing
        gateway = self._made(name, gateway_class(name))
        prefix = variable_of(name, "")
        if gateway is None or missing or not self._has_templates(prefix):
            return None if missing else gateway
        templates = self._templates(prefix)
        return None if templates is None else Route(gateway, templates)

    def _missing_of(self, name: str, needs: tuple[tuple[str, ...], ...]) -> Iterator[FieldProblem]:
        """Yield a problem for each missing setting of a table. If one of several would do, the problem names all."""
        settings = tables()[name]
        groups: list[tuple[str, ...]] = [(each.name,) for each in settings.values() if each.required]
        groups += [tuple(each for each in group if each in settings) for group in needs]
        for group in groups:
            variables = {variable_of(name, each): settings[each].about for each in group}
            if self._given.keys().isdisjoint(variables):
                (first, text), *others = variables.items()
                yield _missing(first, "; ".join([text, *(f"or {each}, {about}" for each, about in others)]))

    def _made(self, table: str, build: Callable[..., T], *args: Any) -> T | None:
        """Return the result of `build` with a table's settings, or None after adding a problem for each wrong one."""
        before = len(self.problems)
        options: dict[str, Any] = {}
        for name, parameter in parameters_of(build).items():
            variable = variable_of(table, name)
            if variable in self._given:
                options[name] = self._tried(variable, parameter.read, self._given[variable])
            elif parameter.required:
                options[name] = None
        # `build` refuses a missing or unreadable setting again. Keep only its first problem.
        reported = {each.field for each in self.problems}
        try:
            found = build(*args, **options)
        except ConfigurationError as error:
            for each in problems_of(error, ""):
                is_setting = each.field in tables()[table]
                variable = variable_of(table, each.field) if is_setting else f"{variable_of(table, '')}…"
                if variable not in reported:
                    self.problems.append(each._replace(field=variable))
            return None
        return None if len(self.problems) > before else found

    def _needs_signature(self) -> bool:
        """Return whether a template needs a signature; True if no gateway is named yet."""
        if self._gateway is not None:
            return bool(getattr(self._gateway, "adds_signature", True))
        quiet = Reader(self._given)  # Wrong names are reported when the gateway is read.
        names = quiet._chosen(quiet._names_by_region()) or [DEFAULT_GATEWAY]
        shared = [name for name in names if not self._has_templates(variable_of(name, ""))]
        return any(gateway_class(name).adds_signature for name in shared)

    def _has_templates(self, prefix: str) -> bool:
        return f"{prefix}TEMPLATES" in self._given or f"{prefix}TEMPLATE_CODE" in self._given

    def _templates(self, prefix: str) -> Template | dict[str, Template] | None:
        """Return the templates in variables with this prefix, or None if there are none or one is wrong."""
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
        try:
            return Template(**named)
        except ConfigurationError as error:
            self.problems += (each._replace(field=variables[each.field]) for each in problems_of(error, "code"))
        return None

    def _by_purpose(self, variable: str) -> dict[str, Template]:
        found = {}
        for purpose, table in self._object(variable, "a template for each purpose").items():
            where = f"templates.{purpose}"
            if not isinstance(table, dict) or not isinstance(table.get("code"), str):
                self._wrong(f"{variable}.{purpose:.40}", f"{where} must have the field code.")
                continue
            place = f"{variable}.{purpose:.40}"
            self._refuse_unknown(place, where, table, _TEMPLATE_FIELDS)
            named = {name: table[name] for name in _TEMPLATE_FIELDS if name in table}
            if (template := self._tried(place, Template, **named)) is not None:
                found[purpose] = template
        return found

    def _object(self, variable: str, what: str) -> dict[str, Any]:
        """Return the JSON object of a variable, or {} with a problem added."""
        found = self._parsed(variable)
        if isinstance(found, dict):
            return found
        self._wrong(variable, f"{variable} must be a JSON object with {what}.")
        return {}

    def _parsed(self, variable: str) -> Any:
        """Return the JSON value of a variable, or None if it is not JSON."""
        try:
            return json.loads(self._given[variable])
        except (ValueError, RecursionError):
            return None

    def _refuse_unknown(self, variable: str, where: str, table: Iterable[str], known: tuple[str, ...]) -> None:
        for name in table:
            if name not in known:
                problem = f"{where} has no field {name!r:.40}{nearest(name, known)}"
                self._wrong(f"{variable}.{name:.40}", problem, "Correct its name, or remove it.")

    def _tried(self, variable: str, build: Callable[..., T], *args: Any, **named: Any) -> T | None:
        """Return the result of `build`, or None with its problems added if it raises `ConfigurationError`."""
        try:
            return build(*args, **named)
        except ConfigurationError as error:
            for each in problems_of(error, ""):
                self.problems.append(each._replace(field=f"{variable}.{each.field}" if each.field else variable))
            return None

    def _wrong(self, variable: str, problem: str, remedy: str = "") -> None:
        self.problems.append(FieldProblem(variable, problem, remedy))

    def _is_wrong(self, variable: str) -> bool:
        return any(each.field.partition(".")[0] == variable for each in self.problems)


def text_of(value: Any) -> str | None:
    """Return a value of a TOML file or of JSON as the text of a variable; None if no variable can hold it."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, list) and all(type(each) in {str, int, float} for each in value):
        return " ".join(map(str, value))  # several secrets, gateways or numbers
    return str(value) if isinstance(value, (str, int, float)) else None


def _captcha_name(text: str) -> str:
    return text.lower().replace("_", "-")


def _missing(variable: str, about: str) -> FieldProblem:
    return FieldProblem(variable, about, "Set it.", is_missing=True)
