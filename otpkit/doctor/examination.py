"""Examine each part of the settings separately, so that one mistake hides no other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from secrets import token_bytes
from typing import TYPE_CHECKING, Any, Final

from otpkit.core.config import check_namespace
from otpkit.core.crypto import Keys, encode_id
from otpkit.doctor import settings
from otpkit.doctor.findings import Finding, Report, refused
from otpkit.doctor.probe import ask_gateway, connect, facts, remember
from otpkit.doctor.protection import examine_guard
from otpkit.doctor.rehearsal import examine_replicas, examine_scripts
from otpkit.doctor.server import examine_server, unreached
from otpkit.doctor.telemetry import examine_telemetry
from otpkit.doctor.trail import examine_audit
from otpkit.errors import ConfigurationError, FieldProblem, OTPError
from otpkit.gateways.failover import Failover, Route, TemplateChoice
from otpkit.policy import DEFAULT_POLICY, Policy
from otpkit.store.errors import REDIS_ERRORS, store_error
from otpkit.store.url import MEMORY_URL
from otpkit.template import Template

if TYPE_CHECKING:
    from otpkit.settings import Reading

_ANY_SECRET: Final = token_bytes(32)


def examine(environ: Mapping[str, str], config: str | None = None) -> Report:
    """Check the settings, and the services that they connect to.

    It sends no message. In Redis it runs every script on keys of its own and removes the keys. It stores a keyed
    fingerprint of the index secret, which reveals nothing, for 400 days. It asks a captcha's provider about an answer
    that is never right, and posts one event of the type `otpkit.check` to a webhook for events.

    Args:
        environ: the environment variables.
        config: the path of a TOML file for `otpkit serve`, or None. The environment overrides the file. With a file,
            all settings of `otpkit serve` are checked.

    Returns:
        The report.

    Raises:
        ConfigurationError: the file can't be read.
    """
    from otpkit.settings import Reading  # It needs the extra `settings`.

    reading = Reading(environ, config, serves=config is not None)
    keys, found = _examine_secrets(reading)
    policy, judged = _examine_policy(reading)
    there = _examine_redis(reading, keys, policy.replicas)
    rest = (
        *_examine_budgets(reading),
        *_examine_template(reading),
        *_examine_gateway(reading),
        *_examine_guard(reading),
        *examine_telemetry(reading),
        *examine_audit(reading),
        *_examine_others(reading, config),
    )
    return Report((*there, *found, *judged, *rest))


def _examine_others(reading: Reading, config: str | None) -> list[Finding]:
    """Return the findings about other settings. With a file, check all settings together, as `otpkit serve` does."""
    if config is None:
        remedy = "Correct the variables, or remove them."
        return _findings("settings", reading.others, remedy)
    if not reading.problems:
        return [Finding("service", "ok", f"`otpkit serve` starts with {config}.")]
    remedy = f"Correct {config}, or the environment, which overrides it."
    found = " ".join(("`otpkit serve` can't start.", *map(str, reading.problems)))
    return [Finding("service", "problem", found, remedy)]


def _examine_redis(reading: Reading, fingerprint: tuple[str, str] | None, replicas: int) -> list[Finding]:
    url = reading.otp.get("redis")
    if url is None:
        return _problems(reading, "redis")
    namespace = fingerprint[0].partition(":")[0] if fingerprint is not None else "otpkit"
    if url == MEMORY_URL:
        found = f"{MEMORY_URL} is a store for tests: each process has its own, which is lost when the process ends."
        return [Finding("redis", "problem", found, "Set it to a Redis server, such as redis://localhost:6379/0.")]
    try:
        client = connect(url)
    except OTPError as error:
        return [unreached(error)]
    except REDIS_ERRORS as error:
        return [unreached(store_error(error))]
    try:
        nodes = facts(client, replicas)
        found_there = examine_server(nodes)
        if any(node.error is None for node in nodes):
            found_there.append(examine_scripts(client, namespace))
            if replicas:
                found_there.append(examine_replicas(client, namespace, replicas))
            if fingerprint is not None:
                found_there.append(_examine_index(client, *fingerprint))
        return found_there
    finally:
        client.close()


def _examine_index(client: Any, key: str, fingerprint: str) -> Finding:
    try:
        return settings.index_secret(remember(client, key, fingerprint), key)
    except REDIS_ERRORS as error:
        finding = refused("index_secret", store_error(error), "Check that the server accepts writes.")
        return replace(finding, found=f"Its fingerprint can't be stored. {finding.found}")


def _examine_secrets(reading: Reading) -> tuple[tuple[str, str] | None, list[Finding]]:
    """Return the key and the value of the index secret's fingerprint (or None), and the findings."""
    given = reading.otp.get("secret")
    if given is None:
        return None, _problems(reading, "secret")
    raw: list[str] = [given] if isinstance(given, str) else given
    index, namespace = reading.otp.get("index_secret"), reading.otp.get("namespace", "otpkit")
    try:
        Keys(raw, _ANY_SECRET)
    except ConfigurationError as error:
        return None, [refused("secret", error, "Correct OTPKIT_SECRET.")]
    found = [settings.secret(raw)]
    try:
        keys = Keys(raw, index)
    except ConfigurationError as error:
        remedy = "Set OTPKIT_INDEX_SECRET to the first secret that was used."
        return None, [*found, refused("index_secret", error, remedy)]
    try:
        check_namespace(namespace)
    except ConfigurationError as error:
        return None, [*found, refused("namespace", error, "Correct OTPKIT_NAMESPACE.")]
    return (f"{namespace}:{{index}}:i", encode_id(keys.name(b"index check"))), found


def _examine_policy(reading: Reading) -> tuple[Policy, list[Finding]]:
    """Return the policy (the default one if it can't be read), and the findings if one is set."""
    if reading.of_part("policy"):
        return DEFAULT_POLICY, _problems(reading, "policy")
    chosen = reading.otp.get("policy")
    return (DEFAULT_POLICY, []) if chosen is None else (chosen, [settings.policy(chosen)])


def _examine_template(reading: Reading) -> list[Finding]:
    if reading.of_part("template"):
        return _problems(reading, "template")
    members = _members(reading.otp.get("gateway"))
    shared = [member.gateway for member in members if member.template is None]
    signed = any(getattr(gateway, "adds_signature", True) for gateway in shared) or not members
    found = _judge_templates(reading.otp["template"], signed=signed)
    if not found:
        found = [Finding("template", "problem", "OTPKIT_TEMPLATES has no template.", "Add one for each purpose.")]
    for member in members:
        if member.template is not None:
            name = getattr(member.gateway, "name", "")
            own = f"OTPKIT_{name.replace('-', '_').upper()}_TEMPLATE"
            for each in _judge_templates(member.template, signed=getattr(member.gateway, "adds_signature", True)):
                remedy = each.remedy.replace("OTPKIT_TEMPLATE", own)
                found.append(replace(each, found=f"{name}: {each.found}", remedy=remedy))
    return found


def _judge_templates(chosen: TemplateChoice, *, signed: bool) -> list[Finding]:
    if isinstance(chosen, Template):
        return [settings.template(chosen, signed=signed)]
    return [settings.template(each, purpose, signed=signed) for purpose, each in chosen.items()]


def _examine_gateway(reading: Reading) -> list[Finding]:
    members = _members(reading.otp.get("gateway"))
    if not members or reading.of_part("gateway"):
        return _problems(reading, "gateway")
    return [_ask(member.gateway) for member in members]


def _examine_budgets(reading: Reading) -> list[Finding]:
    problems = [*_problems(reading, "budgets"), *_problems(reading, "prices")]
    if problems or reading.otp.get("gateway") is None:
        return problems
    return [settings.budgets(reading.otp.get("budgets", ()))]


def _examine_guard(reading: Reading) -> list[Finding]:
    return _problems(reading, "guard") if reading.of_part("guard") else examine_guard(reading)


def _ask(gateway: Any) -> Finding:
    if not gateway.can_trace:
        return settings.unasked(gateway.name)
    answer = ask_gateway(gateway)
    if answer == settings.ProbeReply():  # The gateway finds messages only by its own ids.
        return settings.unasked(gateway.name)
    return settings.gateway(gateway.name, answer)


def _members(choice: Any) -> list[Route]:
    """Return each configured gateway once, in the order of use."""
    by_region = choice.values() if isinstance(choice, Mapping) else [choice]
    found: dict[int, Route] = {}
    for plan in by_region:
        for member in plan.gateways if isinstance(plan, Failover) else [plan]:
            if member is not None:
                found[id(member)] = member if isinstance(member, Route) else Route(member)
    return list(found.values())


def _problems(reading: Reading, name: str) -> list[Finding]:
    """Return the findings for one argument of `OTP` that is missing or wrong, one for each field."""
    return _findings(name, reading.of_part(name))


def _findings(name: str, problems: Iterable[FieldProblem], remedy: str = "") -> list[Finding]:
    return [
        Finding(name, "problem", each.problem, each.remedy or remedy or f"Correct {each.field}.") for each in problems
    ]
