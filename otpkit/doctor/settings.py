"""What settings and the gateway's answer mean: pure functions to a `Finding`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from otpkit.doctor.findings import Finding, refused
from otpkit.effects import NotConnected, TransportFailure
from otpkit.errors import GatewayRejectedError
from otpkit.policy import Policy, rates_of
from otpkit.template import Template

SAMPLE_CODE: Final = "000000"

Recorded = Literal["now", "same", "other"]
"""What Redis held of an index secret: nothing until now, the same one, another one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a gateway said to a harmless question: how it refused, why no answer came, or an HTTP status.

    `understood` says whether the answer was one to the question.
    """

    refusal: GatewayRejectedError | None = None
    failure: TransportFailure | None = None
    status: int = 0
    understood: bool = False


def secret(raw: Sequence[str]) -> Finding:
    """How long secrets are that otpkit accepts, and how many."""
    shortest = min(len(each.encode("utf-8", "surrogatepass")) for each in raw)
    found = f"One, of {shortest} bytes."
    if len(raw) > 1:
        found = f"{len(raw)}, the shortest of {shortest} bytes; the last one signs, all are accepted."
    return Finding("secret", "ok", found)


def index_secret(recorded: Recorded, key: str) -> Finding:
    """Whether it is the one that this Redis was used with; `key` is where its fingerprint is kept."""
    if recorded == "now":
        found = "Its fingerprint is recorded now; from the next time on it is compared."
        return Finding("index_secret", "ok", found)
    if recorded == "same":
        return Finding("index_secret", "ok", "It is the one that this Redis was used with.")
    return Finding(
        "index_secret",
        "problem",
        "It is not the one that this Redis was used with: every limit and block starts anew, no live code is found.",
        "Set OTPKIT_INDEX_SECRET to the first secret that was used with this Redis. If it was changed on purpose, "
        f"delete the key {key} and run this again.",
    )


def policy(chosen: Policy) -> Finding:
    """Return the policy in short: what of it is most often mistaken."""
    sends = ", ".join(map(str, rates_of(chosen.sends)))
    total = ", ".join(map(str, rates_of(chosen.total_sends))) or "any number"
    found = f"Codes of {chosen.code_length} digits, for {chosen.ttl} s; {sends} to a phone, {total} to all."
    return Finding("policy", "ok", found)


def template(chosen: Template, purpose: str | None = None, *, signed: bool = True) -> Finding:
    """Whether the variables are those of the approved text, and how many SMS it takes; `signed` as in `segments`.

    `purpose` is the template's, where there is one for each.
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
            f"Variables: {names}. Without the approved text they can't be compared with it.",
            "Set OTPKIT_TEMPLATE_BODY to the text that the gateway approved.",
        )
    parts = chosen.segments(SAMPLE_CODE, signed=signed)
    if parts == 1:
        return Finding("template", "ok", f"Variables: {names}, as in the approved text; one SMS.")
    return Finding(
        "template",
        "warning",
        f"Variables: {names}, as in the approved text; every message is billed as {parts} SMS.",
        "Have a shorter text approved: 70 characters with Chinese in them, 160 of plain Latin.",
    )


def gateway(name: str, answer: Answer) -> Finding:
    """Whether the gateway can be reached and knows the credentials."""
    if answer.refusal is not None:
        return _refusal(name, answer.refusal, answer.status)
    if isinstance(answer.failure, NotConnected):
        remedy = "Check the gateway's address, DNS, and what the firewall lets out."
        return Finding("gateway", "problem", f"{name} can't be reached: {answer.failure}.", remedy)
    if answer.understood:
        return Finding("gateway", "ok", f"{name} answers, and accepts the credentials.")
    said = answer.failure or f"HTTP {answer.status}, and nothing that can be read"
    return Finding(
        "gateway",
        "warning",
        f"It is uncertain whether {name} accepts the credentials: {said}.",
        "Run this again; if it stays so, check the gateway's address.",
    )


def unasked(name: str) -> Finding:
    """Return what can be said of a gateway that has no harmless question."""
    remedy = "Send a code to a phone of your own: `otpkit issue`."
    return Finding("gateway", "warning", f"{name} can't be asked without sending something.", remedy)


def _refusal(name: str, refusal: GatewayRejectedError, status: int) -> Finding:
    finding = refused("gateway", refusal, "Look the code up, and check the credentials.")
    if refusal.category in {"account", "configuration", "connection"}:
        return finding
    if refusal.category == "number":
        return Finding("gateway", "ok", f"{name} answers, and accepts the credentials.")
    if refusal.category == "request" and 400 <= status < 500:
        return finding  # API gateways refuse a bad key by 403 and 400 too
    return Finding("gateway", "warning", finding.found, finding.remedy)
