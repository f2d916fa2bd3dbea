"""Read and check all settings. Report all problems at once, with their places."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from otpkit.core.budgets import open_purse
from otpkit.core.checks import nearest, problems_of
from otpkit.core.config import Listener, check_namespace
from otpkit.core.crypto import Keys
from otpkit.core.routing import route
from otpkit.core.secret_files import explained
from otpkit.environment import ARGUMENTS, Reader, placed, price_variable, safe_variable
from otpkit.errors import ConfigurationError, FieldProblem
from otpkit.guard.protection import check_captchas, safe_phones
from otpkit.policy import DEFAULT_POLICY
from otpkit.settings.doors import VerifyService, require_distinct_services
from otpkit.settings.hooks import Hook, require_distinct_hooks
from otpkit.settings.keys import ApiKey, require_distinct
from otpkit.settings.operators import Operator, require_distinct_operators
from otpkit.settings.sources import Given, read_environment, read_file
from otpkit.settings.tables import (
    MUST,
    SENTENCE,
    HookTable,
    Key,
    OperatorTable,
    Service,
    Table,
    Telemetry,
    VerifyTable,
    check,
    known_settings,
)
from otpkit.settings.telemetry import listeners_of
from otpkit.store.url import read_url

# Only one of each pair may be set: the setting for many, and the setting (or prefix) for one.
_INSTEAD_OF: Final = {
    "OTPKIT_GATEWAYS": "OTPKIT_GATEWAY",
    "OTPKIT_TEMPLATES": "OTPKIT_TEMPLATE_",
    "OTPKIT_GUARD_CAPTCHAS": "OTPKIT_GUARD_CAPTCHA",
}
_ALONE: Final = {"OTPKIT_GATEWAY", "OTPKIT_TEMPLATE_CODE", "OTPKIT_GUARD_CAPTCHA"}
_EXPECTED: Final = {
    "missing": "is missing",
    "string_type": "must be a text",
    "list_type": 'must be a list, such as ["signup"]',
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "bool_type": "must be true or false",
}
_BY_NAME: Final[Mapping[str, type[Table]]] = {
    "keys": Key,
    "operators": OperatorTable,
    "twilio_verify": VerifyTable,
    "hooks": HookTable,
}  # tables with free names


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """The checked settings: the arguments of the `OTP`, the API keys, the operators, and the tables of the service.

    `listeners` are those of `[telemetry]`. `verify_services` are the services of Twilio Verify to stand in for, and
    `hooks` the systems that make their own codes.
    """

    otp: Mapping[str, Any]
    keys: tuple[ApiKey, ...]
    operators: tuple[Operator, ...]
    service: Service
    telemetry: Telemetry
    listeners: tuple[Listener, ...]
    verify_services: tuple[VerifyService, ...] = ()
    hooks: tuple[Hook, ...] = ()


def read_settings(environ: Mapping[str, str], path: str | None = None, *, serves: bool = False) -> Settings:
    """Return the settings from a TOML file and the environment, which overrides the file.

    Args:
        environ: the environment variables.
        path: the path of the TOML file, or None.
        serves: True for a service, which needs an API key.

    Raises:
        ConfigurationError: it lists every variable and field that is wrong, missing or unknown.
    """
    reading = Reading(environ, path, serves=serves)
    if reading.problems:
        raise ConfigurationError(problems=reading.problems)
    return Settings(
        otp=reading.otp,
        keys=reading.keys,
        operators=reading.operators,
        service=reading.service,
        telemetry=reading.telemetry,
        listeners=reading.listeners,
        verify_services=reading.verify_services,
        hooks=reading.hooks,
    )


def read_service(environ: Mapping[str, str], path: str | None = None) -> Service:
    """Return the table `[service]` alone, such as the address to listen on. Mistakes in other tables are ignored.

    Args:
        environ: the environment variables.
        path: the path of the TOML file, or None.

    Raises:
        ConfigurationError: the file can't be read, or the table is wrong.
    """
    sources = [read_environment(environ)] + ([] if path is None else [read_file(path)])
    try:
        return check(*({"service": source.nested().get("service", {})} for source in sources)).service
    except ValidationError as error:
        names = [".".join(map(str, each["loc"])) for each in _errors(error)]
    raise ConfigurationError(f"{' and '.join(names)} can't be used.", "Run `otpkit doctor`, which says what is wrong.")


class Reading:
    """The settings, with each part read separately, so that one mistake hides no other.

    `problems` has all problems. `of_part` returns those of one argument of `OTP`. `others` has the rest. Each names the
    place of its field: a variable, or a file and the name in it.

    Args:
        environ: the environment variables.
        path: the path of the TOML file, or None.
        serves: True for a service, which needs an API key.

    Raises:
        ConfigurationError: the file can't be read.
    """

    def __init__(self, environ: Mapping[str, str], path: str | None = None, *, serves: bool = False) -> None:
        self._path = path
        self._sources = [read_environment(environ)]
        if path is not None:
            self._sources.append(read_file(path))
        self._given: dict[str, Given] = {}
        for source in reversed(self._sources):
            self._given |= source.known
        environment, *files = self._sources
        # A variable in the environment replaces a file that the settings' file names.
        self._unread = {
            variable: each
            for file in files
            for variable, each in file.unread.items()
            if variable not in environment.known
        } | environment.unread
        self._texts = {variable: given.text for variable, given in self._given.items()}
        self._of_part: dict[str, list[FieldProblem]] = {name: [] for name in ARGUMENTS}
        self.otp = self._read_otp()
        self.service, self.telemetry, tables = self._read_tables()
        self.listeners, telemetry = self._read_listeners()
        self.keys, keys = self._read_keys(serves=serves)
        self.operators, operators = self._read_operators()
        self.verify_services, doors = self._read_verify_services()
        self.hooks, hooks = self._read_hooks()
        self._check_owners()
        names = (problem for source in self._sources for problem in source.problems)
        parts = [each for name in ARGUMENTS for each in self.of_part(name)]
        unread = [each for each in self._unread.values() if each not in parts]
        people = (*keys, *operators, *doors, *hooks)
        self.others = tuple(dict.fromkeys((*names, *unread, *self._beside(), *tables, *telemetry, *people)))
        self.problems = tuple(dict.fromkeys((*parts, *self.others)))

    def of_part(self, name: str) -> list[FieldProblem]:
        """Return the problems of one argument of `OTP`."""
        return list(dict.fromkeys(map(self._placed, self._of_part[name])))

    def _read_otp(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in ARGUMENTS:
            reader = Reader(self._texts)
            arguments = reader.arguments([name])
            self._of_part[name] = explained(reader.problems, self._unread)
            if not reader.problems:
                found |= arguments
        if "redis" in found:
            self._try("redis", "OTPKIT_REDIS_URL", read_url, found["redis"])
        if "secret" in found:
            self._try("secret", "OTPKIT_SECRET", Keys, found["secret"], found.get("index_secret"))
        if "namespace" in found:
            self._try("namespace", "OTPKIT_NAMESPACE", check_namespace, found["namespace"])
        if "guard" in found and not self._of_part["policy"]:
            policy = found.get("policy", DEFAULT_POLICY)
            self._try("guard", safe_variable("safe_phones", self._texts), safe_phones, found["guard"], policy)
        if found.keys() >= {"gateway", "template"} and not self._of_part["policy"]:
            variable = "OTPKIT_GATEWAYS" if "OTPKIT_GATEWAYS" in self._given else "OTPKIT_GATEWAY"
            regions = found.get("policy", DEFAULT_POLICY).regions
            self._try("gateway", variable, route, found["gateway"], found["template"], regions)
            if "guard" in found and not self._of_part["gateway"] and not self._of_part["template"]:
                routing = route(found["gateway"], found["template"], regions)
                self._try("guard", "OTPKIT_GUARD_CAPTCHAS", check_captchas, found["guard"], routing)
        if "budgets" in found or "prices" in found:
            self._check_money(found)
        return found

    def _check_money(self, found: Mapping[str, Any]) -> None:
        """Check budgets and prices against the gateways and the policy, if these can be used."""
        if any(self._of_part[name] for name in ARGUMENTS) or not found.keys() >= {"gateway", "template", "secret"}:
            return
        regions = found.get("policy", DEFAULT_POLICY).regions
        routing = route(found["gateway"], found["template"], regions)
        keys = Keys(found["secret"], found.get("index_secret"))
        try:
            open_purse(found.get("budgets", ()), found.get("prices"), routing, regions, "otpkit", keys)
        except ConfigurationError as error:
            for each in error.problems:
                is_price = each.field.partition(".")[0] == "prices"
                field = price_variable(each.field) if is_price else "OTPKIT_BUDGETS"
                self._of_part["prices" if is_price else "budgets"].append(each._replace(field=field))

    def _check_owners(self) -> None:
        """Check that each budget of an API key is for one that there is."""
        names = {*self._names_of_clients(), *(each.name for each in self.hooks)}
        for budget in self.otp.get("budgets", ()):
            if names and budget.key is not None and budget.key not in names:
                problem = f"budgets: {budget} is for no API key{nearest(budget.key, names)}"
                remedy = f"Name one of {', '.join(sorted(names))}."
                self._of_part["budgets"].append(FieldProblem("OTPKIT_BUDGETS", problem, remedy))

    def _try(self, name: str, variable: str, build: Any, *args: Any) -> None:
        try:
            build(*args)
        except ConfigurationError as error:
            for each in problems_of(error, name):
                # Some are checked together with another argument.
                others = {"index_secret": "OTPKIT_INDEX_SECRET", "template": self._template_variable()}
                part = each.field if each.field in others else name
                self._of_part[part].append(each._replace(field=others.get(each.field, variable)))

    def _template_variable(self) -> str:
        return "OTPKIT_TEMPLATES" if "OTPKIT_TEMPLATES" in self._given else "OTPKIT_TEMPLATE_…"

    def _read_tables(self) -> tuple[Service, Telemetry, list[FieldProblem]]:
        try:
            found = check(*(source.nested() for source in self._sources))
        except ValidationError as error:
            return Service(), Telemetry(), [self._describe(each) for each in _errors(error)]
        return found.service, found.telemetry, []

    def _read_listeners(self) -> tuple[tuple[Listener, ...], list[FieldProblem]]:
        try:
            return listeners_of(self.telemetry), []
        except ConfigurationError as error:
            return (), [self._placed(each) for each in problems_of(error, "OTPKIT_TELEMETRY_…")]

    def _describe(self, error: ErrorDetails, before: tuple[str, ...] = ()) -> FieldProblem:
        """Return the problem for one of pydantic's errors, with its place."""
        path = (*before, *map(str, error["loc"]))
        setting = next((each for each in known_settings().values() if each.path == path[: len(each.path)]), None)
        given = None if setting is None else self._given.get(setting.variable)
        where, name = "" if given is None else f"{given.source}: ", ".".join(path)
        remedy = ""
        if error["type"] == SENTENCE:
            text, remedy = error["ctx"]["problem"], error["ctx"]["remedy"]
        elif error["type"] == "extra_forbidden":
            fields = _BY_NAME.get(before[0] if before else "keys", Key).model_fields
            text = f"{'.'.join(path[:-1])} has no field {path[-1]!r:.40}{nearest(path[-1], fields)}"
        else:
            said = error["msg"] if error["type"] == MUST else _EXPECTED.get(error["type"], "has a wrong value")
            text = f"{name} {said}."
        return FieldProblem(name, f"{where}{text}", remedy, is_missing=error["type"] == "missing")

    def _read_keys(self, *, serves: bool) -> tuple[tuple[ApiKey, ...], list[FieldProblem]]:
        problems: list[FieldProblem] = []
        tables = self._tables_of("OTPKIT_API_KEYS", "keys", "an API key", problems)
        keys = [key for name, table in tables if (key := self._key(name, table, problems))]
        problems += self._unserved((f"keys.{key.name}", "purposes", key.purposes) for key in keys)
        if keys or (serves and not problems):
            try:
                require_distinct(keys)
            except ConfigurationError as error:
                problems += problems_of(error, "keys")
        return tuple(keys), problems

    def _tables_of(
        self, variable: str, table: str, value: str, problems: list[FieldProblem]
    ) -> Iterable[tuple[str, Any]]:
        """Return the tables with free names that a variable holds as a JSON object."""
        try:
            found = json.loads(self._texts.get(variable, "{}"))
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            return found.items()
        problems.append(FieldProblem(table, f"{variable} must be a JSON object with {value} for each name."))
        return ()

    def _key(self, name: str, table: Any, problems: list[FieldProblem]) -> ApiKey | None:
        where = f"{self._given['OTPKIT_API_KEYS'].source}: "
        try:
            found = Key.model_validate(table)
        except ValidationError as error:
            problems += [self._describe(each, ("keys", name)) for each in _errors(error)]
            return None
        if (found.key is None) == (found.key_sha256 is None):
            text = f"{where}keys.{name} must have one of key and key_sha256."
            problems.append(FieldProblem(f"keys.{name}", text))
            return None
        try:
            allowed = {"known": found.known, "operator": found.operator}
            if found.key is not None:
                return ApiKey.of(name, found.key.get_secret_value(), found.purposes, **allowed)
            return ApiKey.of_digest(name, found.key_sha256, found.purposes, **allowed)
        except ConfigurationError as error:
            problems += (each._replace(problem=f"{where}{each.problem}") for each in problems_of(error, f"keys.{name}"))
            return None

    def _read_operators(self) -> tuple[tuple[Operator, ...], list[FieldProblem]]:
        problems: list[FieldProblem] = []
        tables = self._tables_of("OTPKIT_OPERATORS", "operators", "an operator", problems)
        found = [each for name, table in tables if (each := self._operator(name, table, problems))]
        try:
            require_distinct_operators(found, self.keys)
        except ConfigurationError as error:
            problems += problems_of(error, "operators")
        return tuple(found), problems

    def _operator(self, name: str, table: Any, problems: list[FieldProblem]) -> Operator | None:
        where = f"{self._given['OTPKIT_OPERATORS'].source}: "
        try:
            found = OperatorTable.model_validate(table)
        except ValidationError as error:
            problems += [self._describe(each, ("operators", name)) for each in _errors(error)]
            return None
        try:
            return Operator.of_digest(name, found.key_sha256, found.role)
        except ConfigurationError as error:
            place = f"operators.{name:.80}"
            problems += (each._replace(problem=f"{where}{each.problem}") for each in problems_of(error, place))
            return None

    def _read_verify_services(self) -> tuple[tuple[VerifyService, ...], list[FieldProblem]]:
        problems: list[FieldProblem] = []
        tables = self._tables_of("OTPKIT_TWILIO_VERIFY", "twilio_verify", "a service of Twilio Verify", problems)
        found = [each for name, table in tables if (each := self._verify_service(name, table, problems))]
        problems += self._unserved((f"twilio_verify.{each.name}", "purpose", {each.purpose}) for each in found)
        try:
            require_distinct_services(found, self.keys)
        except ConfigurationError as error:
            problems += problems_of(error, "twilio_verify")
        return tuple(found), problems

    def _verify_service(self, name: str, table: Any, problems: list[FieldProblem]) -> VerifyService | None:
        where, place = f"{self._given['OTPKIT_TWILIO_VERIFY'].source}: ", f"twilio_verify.{name:.80}"
        try:
            found = VerifyTable.model_validate(table)
        except ValidationError as error:
            problems += [self._describe(each, ("twilio_verify", name)) for each in _errors(error)]
            return None
        fields = found.model_dump(exclude={"auth_token", "auth_token_sha256"})
        if (found.auth_token is None) == (found.auth_token_sha256 is None):
            problems.append(FieldProblem(place, f"{where}{place} must have one of auth_token and auth_token_sha256."))
            return None
        try:
            if found.auth_token is not None:
                return VerifyService.of(name=name, auth_token=found.auth_token.get_secret_value(), **fields)
            return VerifyService.of_digest(name=name, auth_token_sha256=found.auth_token_sha256 or "", **fields)
        except ConfigurationError as error:
            problems += (each._replace(problem=f"{where}{each.problem}") for each in problems_of(error, place))
            return None

    def _read_hooks(self) -> tuple[tuple[Hook, ...], list[FieldProblem]]:
        problems: list[FieldProblem] = []
        tables = self._tables_of("OTPKIT_HOOKS", "hooks", "a hook", problems)
        found = [each for name, table in tables if (each := self._hook(name, table, problems))]
        problems += self._unserved((f"hooks.{each.name}", "template", each.purposes) for each in found)
        try:
            require_distinct_hooks(found, self._names_of_clients(), self.keys)
        except ConfigurationError as error:
            problems += problems_of(error, "hooks")
        return tuple(found), problems

    def _names_of_clients(self) -> set[str]:
        """Return the names of the API keys and of the services of Twilio Verify."""
        return {key.name for key in self.keys} | {each.name for each in self.verify_services}

    def _hook(self, name: str, table: Any, problems: list[FieldProblem]) -> Hook | None:
        where, place = f"{self._given['OTPKIT_HOOKS'].source}: ", f"hooks.{name:.80}"
        try:
            found = HookTable.model_validate(table)
        except ValidationError as error:
            problems += [self._describe(each, ("hooks", name)) for each in _errors(error)]
            return None
        fields = found.model_dump(exclude={"secret", "key"})
        secret, key = ([each.get_secret_value() for each in texts] for texts in (found.secret, found.key))
        try:
            return Hook.of(name=name, secret=secret, key=key, **fields)
        except ConfigurationError as error:
            problems += (
                each._replace(field=place, problem=f"{where}{place}: {each.problem}")
                for each in problems_of(error, place)
            )
            return None

    def _unserved(self, named: Iterable[tuple[str, str, Collection[str]]]) -> Iterator[FieldProblem]:
        """Yield a problem for each purpose that no template serves, of a table, its field and the purposes in it."""
        declared = self._purposes()
        for table, field, purposes in named:
            for purpose in sorted(set(purposes) - declared) if declared else ():
                problem = f"{table} names the purpose {purpose!r}, which no template serves{nearest(purpose, declared)}"
                yield FieldProblem(f"{table}.{field}", problem, "Correct the purpose, or add a template for it.")

    def _purposes(self) -> set[str]:
        """Return the purposes that have a template, or an empty set if one template serves all purposes."""
        try:
            found = json.loads(self._texts.get("OTPKIT_TEMPLATES", "{}"))
        except (ValueError, RecursionError):
            return set()
        return set(found) if isinstance(found, dict) else set()

    def _beside(self) -> Iterator[FieldProblem]:
        """Yield a problem for each setting that conflicts with another one for the same purpose."""
        for whole, single in _INSTEAD_OF.items():
            if whole not in self._given:
                continue
            for variable, given in self._given.items():
                # A signature alone in the environment may be for other programs, so it is no second template.
                is_second = given.is_in_file or variable in _ALONE
                if is_second and (variable == single or (single.endswith("_") and variable.startswith(single))):
                    text = f"{given.where} stands beside {self._given[whole].where}."
                    yield FieldProblem(given.where, text, "Keep one of them.")

    def _placed(self, problem: FieldProblem) -> FieldProblem:
        where = self._where(problem.field)
        if problem.is_missing and self._path is not None:
            where = f"{where} ({_dotted(problem.field)} in {self._path})"
        return placed(problem, where)

    def _where(self, field: str) -> str:
        """Return the place of a field. A variable that ends in "…" means all variables that begin with it."""
        variable, point, inner = field.partition(".")
        prefix = variable.removesuffix("…")
        found = [given for name, given in self._given.items() if name == variable]
        if prefix != variable:
            found = [given for name, given in self._given.items() if name.startswith(prefix)]
        in_file = [given for given in found if given.is_in_file]
        if not in_file:
            return field
        return f"{in_file[0].where}{point}{inner}" if len(found) == 1 else f"{self._path}: {in_file[0].path[0]}"


def _errors(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_input=False)


def _dotted(variable: str) -> str:
    return next(each.dotted for each in known_settings().values() if each.variable == variable)
