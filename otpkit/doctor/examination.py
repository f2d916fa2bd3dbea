"""The examination: each part of the environment on its own, so that one that is wrong hides no other."""

from __future__ import annotations

from collections.abc import Mapping
from secrets import token_bytes
from typing import Any, Final

from otpkit.core.config import build
from otpkit.core.crypto import Keys, encode_id
from otpkit.doctor import settings
from otpkit.doctor.findings import Finding, Report, refused
from otpkit.doctor.probe import ask_gateway, connect, facts, remember
from otpkit.doctor.rehearsal import examine_replicas, examine_scripts
from otpkit.doctor.server import examine_server, unreached
from otpkit.environment import arguments_from
from otpkit.errors import ConfigurationError, OTPError
from otpkit.policy import DEFAULT_POLICY, Policy
from otpkit.store.errors import REDIS_ERRORS, store_error
from otpkit.store.url import MEMORY_URL
from otpkit.template import Template

_PARTS: Final = ("redis", "secret", "gateway", "template", "policy")
_ANY_SECRET: Final = token_bytes(32)
_ANY_TEMPLATE: Final = Template("any", "any")


def examine(environ: Mapping[str, str]) -> Report:
    """Check what `OTP.from_env` would build from these variables, and what it would connect to.

    It sends no message. In Redis it runs every script on keys of its own, which it removes, and keeps a keyed
    fingerprint of the index secret, which reveals nothing, for 400 days.
    """
    keys, found = _examine_secrets(environ)
    policy, judged = _examine_policy(environ)
    there = _examine_redis(environ, keys, policy.replicas)
    return Report((*there, *found, *judged, *_examine_template(environ), *_examine_gateway(environ)))


def _examine_redis(environ: Mapping[str, str], fingerprint: tuple[str, str] | None, replicas: int) -> list[Finding]:
    url = _part(environ, "redis")
    if isinstance(url, Finding):
        return [url]
    namespace = fingerprint[0].partition(":")[0] if fingerprint is not None else "otpkit"
    if url == MEMORY_URL:
        found = f"{MEMORY_URL} is a store for tests: every process has its own, and forgets it when it ends."
        return [Finding("redis", "problem", found, "Name a Redis server, such as redis://localhost:6379/0.")]
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
        told = refused("index_secret", store_error(error), "Look at the server: it must take writes.")
        return Finding(told.name, told.status, f"Its fingerprint can't be kept. {told.found}", told.remedy)


def _examine_secrets(environ: Mapping[str, str]) -> tuple[tuple[str, str] | None, list[Finding]]:
    """Return the key and the value of the index secret's fingerprint, where there is one, and what was found."""
    given = _part(environ, "secret")
    if isinstance(given, Finding):
        return None, [given]
    raw: list[str] = [given] if isinstance(given, str) else given
    everything = _arguments(environ, "secret")
    index, namespace = everything.get("index_secret"), everything.get("namespace", "otpkit")
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
        _check_namespace(namespace)
    except ConfigurationError as error:
        return None, [*found, refused("namespace", error, "Correct OTPKIT_NAMESPACE.")]
    return (f"{namespace}:{{index}}:i", encode_id(keys.name(b"index check"))), found


def _check_namespace(namespace: str) -> None:
    build(
        lambda message: None,
        _ANY_TEMPLATE,
        _ANY_SECRET,
        policy=DEFAULT_POLICY,
        index_secret=None,
        fixed_codes=(),
        namespace=namespace,
        on_event=None,
        clock=None,
        clustered=False,
    )


def _examine_policy(environ: Mapping[str, str]) -> tuple[Policy, list[Finding]]:
    """Return the policy, the default one where it can't be read, and what was found of one that is given."""
    if not environ.get("OTPKIT_POLICY", "").strip():
        return DEFAULT_POLICY, []
    chosen = _part(environ, "policy")
    if isinstance(chosen, Finding):
        return DEFAULT_POLICY, [chosen]
    return chosen, [settings.policy(chosen)]


def _examine_template(environ: Mapping[str, str]) -> list[Finding]:
    chosen = _part(environ, "template")
    if isinstance(chosen, Finding):
        return [chosen]
    signed = getattr(_part(environ, "gateway"), "adds_signature", True)
    if isinstance(chosen, Template):
        return [settings.template(chosen, signed=signed)]
    found = [settings.template(each, purpose, signed=signed) for purpose, each in chosen.items()]
    return found or [Finding("template", "problem", "OTPKIT_TEMPLATES has no template.", "Add one for each purpose.")]


def _examine_gateway(environ: Mapping[str, str]) -> list[Finding]:
    chosen = _part(environ, "gateway")
    if isinstance(chosen, Finding):
        return [chosen]
    if not chosen.can_trace:
        return [settings.unasked(chosen.name)]
    answer = ask_gateway(chosen)
    if answer == settings.Answer():  # it knows messages by its own ids alone
        return [settings.unasked(chosen.name)]
    return [settings.gateway(chosen.name, answer)]


def _part(environ: Mapping[str, str], name: str) -> Any:
    """Return one argument of an `OTP`, or what is wrong with it."""
    try:
        return _arguments(environ, name)[name]
    except ConfigurationError as error:
        remedy, _, found = str(error).partition(": ")
        if remedy.startswith("Correct OTPKIT_"):  # a variable of JSON, with all that is wrong in it
            return Finding(name, "problem", found, f"{remedy}.")
        return refused(name, error, f"Correct the variables OTPKIT_{name.upper()}….")


def _arguments(environ: Mapping[str, str], name: str) -> dict[str, Any]:
    return arguments_from(environ, dict.fromkeys(set(_PARTS) - {name}))
