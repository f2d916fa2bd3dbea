"""The scenarios: sets of calls that run at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from callings import (
    IP,
    code_before,
    code_of,
    issued,
    issuing,
    receiving,
    redeeming,
    revoking,
    token_of,
    verified,
    verifying,
)
from explorer import FAULTS, Ending, Scenario, Step
from invariants import audit, delivery_is_known
from providers import Provided, Puzzle, Wire
from support.rig import PHONE, whole

from otpkit import Budget, Guard, Policy, Proof
from otpkit.core.flows import Flows
from otpkit.gateways import Failover
from otpkit.guard.rule import Rule

NEIGHBOURS = (PHONE, "+8613800138001", "+8613800138002", "+8613800138003")
"""Phones of one range."""
ANY = ("accepted", "account", "uncertain")
WIDE = {"ip_sends": "3/day", "region_sends": {"CN": "3/day"}, "total_sends": "4/day"}
QUIET = Rule(range_floor=10**6, address_floor=10**6, network_floor=10**6, short_floor=10**6, day_floor=10**6)
"""A rule that asks nobody, from which each scenario takes a scope."""


def _rule(**numbers: float) -> Rule:
    return replace(QUIET, **numbers)


def _two(first: Wire, second: Wire, **options: Any) -> Failover:
    return Failover([first, second], **options)


def _of(gateway: Any = None, policy: Policy | None = None, **more: Any) -> Mapping[str, Any]:
    return {"gateway": gateway or Wire(outcomes=ANY), "policy": policy or whole(sends="4/day"), **more}


SENDS = [
    Scenario(
        "two issues, two faults",
        (issuing("first"), issuing("second")),
        audit(messages=2, extra=delivery_is_known),
        _of(Wire(outcomes=("accepted", "account")), whole(sends="2/day", ip_sends="2/day", total_sends="2/day")),
        faults=2,
    ),
    Scenario(
        "two issues within a limit of one",
        (issuing("first"), issuing("second")),
        audit(messages=1),
        _of(policy=whole(sends="1/day", ip_sends="3/day", region_sends={"CN": "3/day"})),
        faults=2,
        kinds=frozenset({"lost", "late"}),
    ),
    Scenario(
        "three issues within a limit of two",
        (issuing("first"), issuing("second"), issuing("third")),
        audit(messages=2),
        _of(Wire(outcomes=("accepted", "account")), whole(sends="2/day", ip_sends="3/day")),
    ),
    Scenario(
        "four issues of one address",
        tuple(issuing(f"issue {place}", phone=phone) for place, phone in enumerate(NEIGHBOURS, 1)),
        audit(messages=2),
        _of(Wire(outcomes=("accepted", "account")), whole(sends="2/day", ip_sends="2/day")),
        faults=0,
    ),
    Scenario(
        "two issues that are rejected because of the number",
        (issuing("first"), issuing("second")),
        audit(messages=2),
        _of(Wire(outcomes=("accepted", "number", "rate_limit")), whole(sends="3/day", **WIDE)),
    ),
    Scenario(
        "one form that is sent three times",
        tuple(issuing(f"form {place}", key="form") for place in (1, 2, 3)),
        audit(messages=3),
        _of(Wire(outcomes=("accepted", "account")), whole(sends="3/day", ip_sends="3/day")),
    ),
    Scenario(
        "one form that is sent twice, two faults",
        (issuing("form 1", key="form"), issuing("form 2", key="form")),
        audit(messages=1),
        _of(Wire(), whole(sends="3/day", ip_sends="3/day")),
        faults=2,
    ),
    Scenario(
        "a resend beside the code and its revocation",
        (issuing("resend"), verifying("verify"), revoking()),
        audit(messages=1),
        _of(Wire(outcomes=("accepted", "account")), whole(sends="3/day", **WIDE)),
        before=(issued(ip=IP),),
        faults=2,
    ),
    Scenario(
        "a resend beside right and wrong codes",
        (issuing("resend"), verifying("right"), verifying("wrong", right=False), verifying("again", right=False, step=2)),
        audit(messages=1),
        _of(Wire(outcomes=("accepted", "account")), whole(sends="3/day", attempts=2)),
        before=(issued(ip=IP),),
    ),
    Scenario(
        "issue, verify and redeem, beside another issue",
        (
            issuing("issue"),
            verifying("verify", message=code_of(0)),
            redeeming("redeem", token=token_of(1)),
            issuing("other"),
        ),
        audit(messages=2),
        _of(Wire(), whole(sends="3/day", ip_sends="3/day")),
    ),
    Scenario(
        "late requests after half a minute",
        (issuing("issue"), issuing("resend")),
        audit(messages=2),
        _of(Wire(outcomes=("accepted", "account")), whole(sends="3/day", ip_sends="3/day")),
        kinds=frozenset({"lost", "late", "dies"}),
        ticks=(31,),
    ),
]

VERIFIES = [
    Scenario(
        "two right and two wrong codes, two attempts",
        (
            verifying("right", ip=IP),
            verifying("right again", ip=IP),
            verifying("wrong", ip=IP, right=False),
            verifying("wrong again", ip=IP, right=False, step=2),
        ),
        audit(messages=0),
        _of(policy=whole(attempts=2, ip_failures="9/day")),
        before=(issued(),),
    ),
    Scenario(
        "one right and one wrong form, each sent twice",
        (
            verifying("right", key="right"),
            verifying("right again", key="right"),
            verifying("wrong", key="wrong", right=False),
            verifying("wrong again", key="wrong", right=False),
        ),
        audit(messages=0, extra=lambda end: _same_tokens(end)),
        _of(policy=whole(attempts=2)),
        before=(issued(),),
    ),
    Scenario(
        "a form that is sent twice, two faults",
        (verifying("right", key="right", ip=IP), verifying("right again", key="right", ip=IP), verifying("wrong", right=False)),
        audit(messages=0, extra=lambda end: _same_tokens(end)),
        _of(policy=whole(attempts=2, ip_failures="9/day")),
        before=(issued(),),
        faults=2,
    ),
    Scenario(
        "wrong codes up to the limit of failures",
        tuple(verifying(f"wrong {step}", right=False, step=step, ip=IP) for step in (1, 2, 3)),
        audit(messages=0, extra=lambda end: _at_most_wrong(end, 2)),
        _of(policy=whole(failures="2/day", ip_failures="3/day")),
        before=(issued(),),
        faults=2,
    ),
    Scenario(
        "wrong codes up to a block, and the right one",
        (
            *(verifying(f"wrong {step}", right=False, step=step) for step in (1, 2)),
            verifying("right"),
            issuing("issue"),
        ),
        audit(messages=1, extra=lambda end: _at_most_wrong(end, 2)),
        _of(Wire(), whole(sends="4/day", max_consecutive_failures=2)),
        before=(issued(),),
        kinds=FAULTS - {"late"},
    ),
    Scenario(
        "wrong codes beside unblock and erase",
        (
            verifying("wrong", right=False),
            verifying("wrong again", right=False, step=2),
            Step("unblock", lambda flows, _: flows.unblock(PHONE)),
            Step("erase", lambda flows, _: flows.erase(PHONE)),
        ),
        audit(messages=0),
        _of(policy=whole(max_consecutive_failures=2)),
        before=(issued(),),
    ),
    Scenario(
        "a proof that is redeemed three times",
        (
            redeeming("redeem", token=lambda view: view.results_before[1].token),
            redeeming("redeem again", token=lambda view: view.results_before[1].token),
            redeeming("form", token=lambda view: view.results_before[1].token, key="form"),
        ),
        audit(messages=0),
        before=(issued(), verified()),
        faults=2,
    ),
    Scenario(
        "a form that redeems, sent three times",
        tuple(
            redeeming(f"form {place}", token=lambda view: view.results_before[1].token, key="form") for place in (1, 2, 3)
        ),
        audit(messages=0),
        before=(issued(), verified()),
        faults=2,
    ),
    Scenario(
        "verify beside a revocation, and redeem",
        (
            revoking(),
            verifying("right"),
            redeeming("redeem", token=token_of(1)),
            redeeming("redeem again", token=token_of(1)),
        ),
        audit(messages=0, extra=lambda end: _nothing_after(end)),
        before=(issued(),),
        faults=2,
    ),
    Scenario(
        "replicas that do not confirm",
        (
            issuing("issue"),
            verifying("right", message=code_of(0)),
            verifying("wrong", right=False, message=code_of(0)),
            redeeming("redeem", token=token_of(1)),
        ),
        audit(messages=1, extra=lambda end: _confirmed(end)),
        _of(Wire(), whole(sends="4/day", attempts=3, replicas=1, ip_sends="4/day")),
        faults=2,
    ),
]


def _same_tokens(end: Ending) -> None:
    """Check that a form that is sent twice gets the same proof."""
    tokens = {each.token for each in end.results if isinstance(each, Proof)}
    assert len(tokens) <= 1, "one form got two proofs"


def _at_most_wrong(end: Ending, most: int) -> None:
    wrong = {reply[0] for _, reply in end.replies("verify") if reply[1] == b"wrong"}
    assert len(wrong) <= most, f"{len(wrong)} wrong codes, and the limit is {most}"


def _nothing_after(end: Ending) -> None:
    """Check that nothing is granted after a revocation that has ended, and that a used code proves nothing."""
    if end.result(0) is None and not end.is_hurt(0):
        again = end.call(lambda flows: flows.verify(PHONE, end.messages_before[-1].code, "signup", "", None, None))
        assert not isinstance(again, Proof), "a revoked code was proved"


def _confirmed(end: Ending) -> None:
    """Check that an unconfirmed verification or redemption grants nothing, and takes nothing for good."""
    proof, redeemed = end.result(1), end.result(3)
    assert isinstance(proof, Proof) or not isinstance(redeemed, Proof), "a proof was redeemed that nobody got"
    if isinstance(proof, Proof) and isinstance(redeemed, Proof):
        again = end.call(lambda flows: flows.redeem(proof.token, "signup", "", PHONE, None))
        assert not isinstance(again, Proof), "a proof was redeemed twice"
