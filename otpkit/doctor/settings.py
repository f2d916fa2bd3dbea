"""Interpret settings and the gateway's reply. These are pure functions that return a `Finding`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from otpkit.doctor.findings import Finding, refused
from otpkit.effects import NotConnected, TransportFailure
from otpkit.errors import GatewayRejectedError
from otpkit.guard.budgets import Budget
from otpkit.policy import Policy, rates_of
from otpkit.template import Template

SAMPLE_CODE: Final = "000000"

Recorded = Literal["now", "same", "other"]
"""The fingerprint of an index secret in Redis: recorded just now, the same one, or another one."""


@dataclass(frozen=True, slots=True)
class ProbeReply:
    """The reply of a gateway to a harmless query.

    It is a refusal, or a transport failure (no reply), or an HTTP status. `understood` is True if the reply could be
    parsed as an answer to the query.
    """

    refusal: GatewayRejectedError | None = None
    failure: TransportFailure | None = None
    status: int = 0
    understood: bool = False


def secret(raw: Sequence[str]) -> Finding:
    """Report the number and the length of valid secrets."""
    shortest = min(len(each.encode("utf-8", "surrogatepass")) for each in raw)
    found = f"One, of {shortest} bytes."
    if len(raw) > 1:
        found = f"{len(raw)}, the shortest of {shortest} bytes. The last one signs; all are accepted."
    return Finding("secret", "ok", found)


def index_secret(recorded: Recorded, key: str) -> Finding:
    """Report if the index secret is the one that this Redis was used with. `key` is the key of its fingerprint."""
    if recorded == "now":
        found = "Its fingerprint is now recorded. Later runs compare it."
        return Finding("index_secret", "ok", found)
    if recorded == "same":
        return Finding("index_secret", "ok", "It is the one that this Redis was used with.")
    return Finding(
        "index_secret",
        "problem",
        "It is not the one that this Redis was used with. All limits and blocks start again; no live code is found.",
        "Set OTPKIT_INDEX_SECRET to the first secret that was used with this Redis. If you changed it on purpose, "
        f"delete the key {key} and run this again.",
    )


def policy(chosen: Policy) -> Finding:
    """Report the main values of the policy, which are easy to set wrong."""
    sends = ", ".join(map(str, rates_of(chosen.sends)))
    total = ", ".join(map(str, rates_of(chosen.total_sends))) or "any number"
    found = f"Codes of {chosen.code_length} digits, valid for {chosen.ttl} s; {sends} to a phone, {total} in total."
    return Finding("policy", "ok", found)


def budgets(chosen: Sequence[Budget]) -> Finding:
    """Report the budgets. Without one, nothing bounds the bill."""
    if chosen:
        return Finding("budgets", "ok", f"{', '.join(map(str, chosen))}.")
    return Finding(
        "budgets",
        "warning",
        "There is none, so nothing bounds what messages cost.",
        'Set OTPKIT_BUDGETS, such as ["400 CNY/day"], and OTPKIT_PRICES, such as {"CN": "0.045 CNY"}.',
    )


def template(chosen: Template, purpose: str | None = None, *, signed: bool = True) -> Finding:
    """Report if a template's variables match the approved text, and how many SMS a message takes.

    Args:
        chosen: the template.
        purpose: its purpose, if each purpose has its own template.
        signed: True if the gateway adds the signature to the text; see `Template.segments`.
    """
    finding = _template(chosen, signed=signed)
    if purpose is None:
        return finding
    remedy = finding.remedy.replace("OTPKIT_TEMPLATE_BODY", f"body of {purpose!r:.40} in OTPKIT_TEMPLATES")
    return replace(finding, found=f"For {purpose!r:.40}: {finding.found}", remedy=remedy)


def _template(chosen: Template, *, signed: bool) -> Finding:
    names = ", ".join(chosen.params)
    if chosen.body is None:
        return Finding(
            "template",
            "warning",
            f"Variables: {names}. Without the approved text, they can't be compared with it.",
            "Set OTPKIT_TEMPLATE_BODY to the text that the gateway approved.",
        )
    parts = chosen.segments(SAMPLE_CODE, signed=signed)
    if parts == 1:
        return Finding("template", "ok", f"Variables: {names}, as in the approved text; one SMS.")
    return Finding(
        "template",
        "warning",
        f"Variables: {names}, as in the approved text; each message is billed as {parts} SMS.",
        "Get a shorter text approved: 70 characters with Chinese, 160 with only basic Latin.",
    )


def gateway(name: str, answer: ProbeReply) -> Finding:
    """Report if the gateway can be reached and accepts the credentials."""
    if answer.refusal is not None:
        return _refusal(name, answer.refusal, answer.status)
    if isinstance(answer.failure, NotConnected):
        remedy = "Check the gateway's address, DNS, and the firewall's outgoing rules."
        return Finding("gateway", "problem", f"{name} can't be reached: {answer.failure}.", remedy)
    if answer.understood:
        return Finding("gateway", "ok", f"{name} responds and accepts the credentials.")
    reason = answer.failure or f"HTTP {answer.status}, and the body can't be read"
    return Finding(
        "gateway",
        "warning",
        f"It is uncertain if {name} accepts the credentials: {reason}.",
        "Run this again. If it fails again, check the gateway's address.",
    )


def unasked(name: str) -> Finding:
    """Report a gateway that has no harmless query."""
    remedy = "Send a code to your own phone: `otpkit issue`."
    return Finding("gateway", "warning", f"{name} can't be checked without sending a message.", remedy)


def _refusal(name: str, refusal: GatewayRejectedError, status: int) -> Finding:
    finding = refused("gateway", refusal, "Look up the gateway's code, and check the credentials.")
    if refusal.category in {"account", "configuration", "connection"}:
        return finding
    if refusal.category == "number":
        return Finding("gateway", "ok", f"{name} responds and accepts the credentials.")
    if refusal.category == "request" and 400 <= status < 500:
        return finding  # API gateways also refuse a bad key with 400 or 403.
    return Finding("gateway", "warning", finding.found, finding.remedy)
