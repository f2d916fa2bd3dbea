"""The scenarios: sets of calls that run at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from callings import (
    IP,
    code_of,
    issued,
    issuing,
    receiving,
    redeeming,
    revoking,
    sending,
    token_of,
    verified,
    verifying,
)
from explorer import FAULTS, Scenario, Step
from invariants import (
    at_most_wrong,
    audit,
    confirmed,
    delivered_stays,
    delivery_is_known,
    nothing_after,
    same_tokens,
    verified_once,
    within_budget,
)
from providers import Provided, Puzzle, Wire
from support.rig import PHONE, whole

from otpkit import Budget, Guard, Policy
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
        kinds=FAULTS - {"late"},
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
        "a form with another system's code that is sent twice, beside an issue",
        (sending("form 1", key="form"), sending("form 2", key="form"), issuing("issue")),
        audit(messages=2, extra=delivery_is_known),
        _of(Wire(outcomes=("accepted", "account")), whole(sends="3/day", ip_sends="3/day")),
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
        (
            issuing("resend"),
            verifying("right"),
            verifying("wrong", right=False),
            verifying("again", right=False, step=2),
        ),
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
        audit(messages=0, extra=same_tokens),
        _of(policy=whole(attempts=2)),
        before=(issued(),),
    ),
    Scenario(
        "a form that is sent twice, two faults",
        (
            verifying("right", key="right", ip=IP),
            verifying("right again", key="right", ip=IP),
            verifying("wrong", right=False),
        ),
        audit(messages=0, extra=same_tokens),
        _of(policy=whole(attempts=2, ip_failures="9/day")),
        before=(issued(),),
        faults=2,
    ),
    Scenario(
        "wrong codes up to the limit of failures",
        tuple(verifying(f"wrong {step}", right=False, step=step, ip=IP) for step in (1, 2, 3)),
        audit(messages=0, extra=lambda end: at_most_wrong(end, 2)),
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
        audit(messages=1, extra=lambda end: at_most_wrong(end, 2)),
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
            redeeming(f"form {place}", token=lambda view: view.results_before[1].token, key="form")
            for place in (1, 2, 3)
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
        audit(messages=0, extra=nothing_after),
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
        audit(messages=1, extra=lambda end: confirmed(end, proof=1, redeemed=3)),
        _of(Wire(), whole(sends="4/day", attempts=3, replicas=1, ip_sends="4/day")),
        faults=2,
        kinds=FAULTS - {"late"},
    ),
]

PRICES = {"CN": "0.05 CNY", "first:CN": "0.04 CNY", "second:CN": "0.07 CNY"}

FAILOVERS = [
    Scenario(
        "failover of two issues",
        (issuing("first"), issuing("second")),
        audit(messages=2, extra=delivery_is_known),
        _of(
            _two(Wire("first", ANY), Wire("second", ("accepted", "account")), rest_after=2),
            budgets=[Budget("0.20 CNY/day", keep=0, hourly=1), Budget("1 CNY/day", gateway="first", keep=0, hourly=1)],
            prices=PRICES,
        ),
    ),
    Scenario(
        "failover after an uncertain send",
        (issuing("issue"), verifying("verify", message=code_of(0))),
        audit(messages=2, repeats=2),
        _of(
            _two(Wire("first", ANY), Wire("second", ANY), on_uncertain="next", rest_after=1),
            budgets=[Budget("0.30 CNY/day", keep=0, hourly=1)],
            prices=PRICES,
        ),
        faults=2,
    ),
    Scenario(
        "failover of two issues after uncertain sends",
        (issuing("first"), issuing("second")),
        audit(messages=4, repeats=2),
        _of(
            _two(
                Wire("first", ("accepted", "uncertain")), Wire("second", ("accepted", "account")), on_uncertain="next"
            ),
            budgets=[Budget("0.30 CNY/day", keep=0, hourly=1)],
            prices=PRICES,
        ),
        kinds=frozenset({"lost", "unanswered", "dies"}),
    ),
    Scenario(
        "receipts beside failover and a resend",
        (
            issuing("issue"),
            receiving("failed", "failed", call=0, gateway="first"),
            receiving("delivered", "delivered", call=0, gateway="second"),
            issuing("resend"),
        ),
        audit(messages=2, extra=delivered_stays),
        _of(_two(Wire("first", ("accepted", "account")), Wire("second"), undelivered_after=60), whole(sends="3/day")),
    ),
    Scenario(
        "receipts beside a verification",
        (
            issuing("issue"),
            receiving("delivered", "delivered", call=0, gateway="wire"),
            receiving("failed", "failed", call=0, gateway="wire"),
            verifying("verify", message=code_of(0)),
        ),
        audit(messages=1, extra=delivered_stays),
        _of(Wire(), whole(sends="3/day", ip_sends="3/day")),
        faults=2,
        kinds=FAULTS - {"late"},
    ),
]

BUDGETS = [
    Scenario(
        "two issues within a budget for one",
        (issuing("first"), issuing("second")),
        audit(messages=2, extra=lambda end: within_budget(end, 1)),
        _of(budgets=[Budget("0.05 CNY/day", keep=0, hourly=1)], prices={"CN": "0.05 CNY"}),
        faults=2,
    ),
    Scenario(
        "three issues, and what a budget keeps",
        (issuing("first"), issuing("second"), issuing("known", known=True)),
        audit(messages=3, extra=lambda end: within_budget(end, 2)),
        _of(
            Wire(outcomes=("accepted", "account")),
            budgets=[Budget("0.10 CNY/day", keep=0.5, hourly=1)],
            prices={"CN": "0.05 CNY"},
        ),
    ),
    Scenario(
        "one form that costs, sent twice",
        (issuing("form 1", key="form"), issuing("form 2", key="form")),
        audit(messages=2),
        _of(budgets=[Budget("1 CNY/day"), Budget("1 CNY/month", region="CN")], prices={"CN": "0.05 CNY"}),
    ),
]


def _guard(captcha: Any = None, mode: Any = "enforce", **numbers: float) -> Guard:
    return Guard(mode, captcha or Puzzle(), fallback="refuse", rule=_rule(**numbers))


GUARDS = [
    Scenario(
        "three sends to a range that may have two",
        tuple(issuing(f"issue {place}", phone=phone) for place, phone in enumerate(NEIGHBOURS[:3], 1)),
        audit(messages=2),
        _of(Wire(outcomes=("accepted", "account")), guard=_guard(range_floor=2)),
    ),
    Scenario(
        "three sends to a range, observed",
        tuple(issuing(f"issue {place}", phone=phone) for place, phone in enumerate(NEIGHBOURS[:3], 1)),
        audit(messages=3),
        _of(Wire(outcomes=("accepted", "account")), guard=_guard(mode="observe", range_floor=2)),
    ),
    Scenario(
        "one captcha's answer for two sends",
        (
            issuing("first", phone=NEIGHBOURS[1], captcha="solved"),
            issuing("second", phone=NEIGHBOURS[2], captcha="solved"),
        ),
        audit(messages=1),
        _of(Wire(outcomes=("accepted", "account")), guard=_guard(range_floor=1)),
        before=(issued(),),
        faults=2,
    ),
    Scenario(
        "one answer for two sends, and its provider accepts it once",
        (
            issuing("first", phone=NEIGHBOURS[1], captcha="solved"),
            issuing("second", phone=NEIGHBOURS[2], captcha="solved"),
        ),
        audit(messages=1),
        _of(Wire(outcomes=("accepted", "account")), guard=_guard(Provided(), range_floor=1)),
        before=(issued(),),
    ),
    Scenario(
        "one form with a captcha, sent twice",
        (issuing("form 1", captcha="solved", key="form"), issuing("form 2", captcha="solved", key="form")),
        audit(messages=1),
        _of(Wire(outcomes=("accepted",)), guard=_guard(range_floor=1)),
        before=(issued(phone=NEIGHBOURS[1]),),
        faults=2,
    ),
    Scenario(
        "a guarded send, its verification and its resend",
        (
            verifying("right", ip=IP),
            verifying("wrong", ip=IP, right=False),
            issuing("resend"),
            issuing("neighbour", phone=NEIGHBOURS[1]),
        ),
        audit(messages=2),
        _of(Wire(outcomes=("accepted", "account")), guard=_guard()),
        before=(issued(ip=IP),),
    ),
    Scenario(
        "two verifications of a guarded send, two faults",
        (
            verifying("right", ip=IP),
            verifying("right again", ip=IP, key="form"),
            verifying("wrong", ip=IP, right=False),
        ),
        audit(messages=0),
        _of(guard=_guard()),
        before=(issued(ip=IP), issued(ip=IP)),
        faults=2,
    ),
    Scenario(
        "guarded sends within a budget, rejected",
        (issuing("first"), issuing("second", phone=NEIGHBOURS[1])),
        audit(messages=2),
        _of(
            guard=_guard(),
            budgets=[Budget("1 CNY/day")],
            prices={"CN": "0.05 CNY"},
            policy=whole(sends="4/day", **WIDE),
        ),
    ),
]

DEVICES = [
    Scenario(
        "a device beside strangers",
        (
            issuing("device", needs=lambda view: view.results_before[1].device, device=""),
            issuing("stranger"),
            issuing("stranger again"),
            Step("forget devices", lambda flows, _: flows.forget_devices(PHONE)),
        ),
        audit(messages=2),
        _of(
            Wire(outcomes=("accepted", "account")),
            Policy(sends="3/day", device_sends="1/day", device_failures=0, device_consecutive=0, ip_sends="9/day"),
        ),
        before=(issued(ip=IP), verified()),
    ),
    Scenario(
        "failures that are kept for a device",
        (
            verifying("stranger", right=False),
            verifying("stranger again", right=False, step=2),
            verifying("device", right=False, step=3),
            verifying("right"),
        ),
        audit(messages=0),
        _of(policy=Policy(failures="3/day", device_failures=1, device_consecutive=0, device_sends=())),
        before=(issued(ip=IP),),
        faults=2,
    ),
]

ONE_SERVER = (*SENDS, *VERIFIES, *FAILOVERS, *BUDGETS, *GUARDS, *DEVICES)


CLUSTER = [
    Scenario(
        "cluster: two issues of one address",
        (issuing("first"), issuing("second", phone=NEIGHBOURS[1])),
        audit(messages=2),
        _of(policy=whole(sends="2/day", ip_sends="3/day", total_sends="3/day")),
        clustered=True,
    ),
    Scenario(
        "cluster: two issues within limits of one, scripts in order",
        (issuing("first"), issuing("second")),
        audit(messages=1),
        _of(Wire(outcomes=("accepted", "account")), whole(ip_sends="1/day", region_sends={"CN": "2/day"})),
        clustered=True,
        in_order=True,
    ),
    Scenario(
        "cluster: rejections because of the number",
        (issuing("first"), issuing("second")),
        audit(messages=2),
        _of(Wire(outcomes=("number", "rate_limit")), whole(ip_sends="3/day", total_sends="3/day")),
        clustered=True,
    ),
    Scenario(
        "cluster: one form that is sent twice",
        (issuing("form 1", key="form"), issuing("form 2", key="form")),
        audit(messages=2),
        _of(Wire(outcomes=("accepted", "account")), whole(sends="3/day", ip_sends="3/day")),
        clustered=True,
        faults=2,
    ),
    Scenario(
        "cluster: two issues within a budget for one",
        (issuing("first", ip=None), issuing("second", ip=None)),
        audit(messages=2, extra=lambda end: within_budget(end, 1)),
        _of(budgets=[Budget("0.05 CNY/day", keep=0, hourly=1)], prices={"CN": "0.05 CNY"}),
        clustered=True,
        faults=2,
    ),
    Scenario(
        "cluster: failover within a budget",
        (issuing("first", ip=None), issuing("second", ip=None)),
        audit(messages=2),
        _of(
            _two(Wire("first", ("accepted", "account")), Wire("second", ("accepted", "account"))),
            budgets=[Budget("0.12 CNY/day", keep=0, hourly=1)],
            prices=PRICES,
        ),
        clustered=True,
    ),
    Scenario(
        "cluster: two sends to a range that may have one",
        (issuing("first", ip=None), issuing("second", ip=None, phone=NEIGHBOURS[1])),
        audit(messages=1),
        _of(Wire(outcomes=("accepted", "account")), guard=_guard(range_floor=1)),
        clustered=True,
    ),
    Scenario(
        "cluster: two sends to a range, observed",
        (issuing("first", ip=None), issuing("second", ip=None, phone=NEIGHBOURS[1])),
        audit(messages=2),
        _of(Wire(outcomes=("accepted", "account")), guard=_guard(mode="observe", range_floor=1)),
        clustered=True,
        in_order=True,
    ),
    Scenario(
        "cluster: one captcha's answer for two sends",
        (
            issuing("first", ip=None, phone=NEIGHBOURS[1], captcha="solved"),
            issuing("second", ip=None, phone=NEIGHBOURS[2], captcha="solved"),
        ),
        audit(messages=1),
        _of(Wire(), guard=_guard(range_floor=1)),
        before=(issued(),),
        clustered=True,
    ),
    Scenario(
        "cluster: a guarded send with address and network",
        (issuing("issue"), verifying("verify", ip=IP, message=code_of(0))),
        audit(messages=1),
        _of(Wire(outcomes=("accepted", "account")), whole(ip_sends=None, ip_failures=None), guard=_guard()),
        clustered=True,
    ),
    Scenario(
        "cluster: verifications of a guarded send",
        (verifying("right", key="form"), verifying("right again", key="form"), verifying("wrong", right=False)),
        audit(messages=0, extra=verified_once),
        _of(guard=_guard()),
        before=(issued(ip=IP),),
        clustered=True,
    ),
    Scenario(
        "cluster: a form that verifies, sent twice, two faults",
        (verifying("form 1", key="form"), verifying("form 2", key="form")),
        audit(messages=0, extra=verified_once),
        _of(guard=_guard()),
        before=(issued(ip=IP),),
        clustered=True,
        faults=2,
    ),
    Scenario(
        "cluster: two right and two wrong codes of one address",
        (
            verifying("right", ip=IP),
            verifying("right again", ip=IP),
            verifying("wrong", ip=IP, right=False),
            verifying("wrong again", ip=IP, right=False, step=2),
        ),
        audit(messages=0),
        _of(policy=whole(attempts=2, ip_failures="9/day")),
        before=(issued(),),
        clustered=True,
    ),
    Scenario(
        "cluster: a device within a budget",
        (
            issuing("device", ip=None, needs=lambda view: view.results_before[1].device, device=""),
            issuing("stranger", ip=None),
            Step("forget devices", lambda flows, _: flows.forget_devices(PHONE)),
        ),
        audit(messages=2),
        _of(
            Wire(outcomes=("accepted", "account")),
            Policy(sends="3/day", device_sends="1/day", device_failures=0, device_consecutive=0),
            budgets=[Budget("0.20 CNY/day", keep=0.5, hourly=1)],
            prices={"CN": "0.05 CNY"},
        ),
        before=(issued(ip=None), verified()),
        clustered=True,
    ),
    Scenario(
        "cluster: replicas that do not confirm",
        (issuing("issue"), verifying("right", message=code_of(0)), redeeming("redeem", token=token_of(1))),
        audit(messages=1, extra=lambda end: confirmed(end, proof=1, redeemed=2)),
        _of(Wire(), whole(sends="4/day", replicas=1, ip_sends="4/day"), guard=_guard()),
        clustered=True,
        faults=2,
        kinds=FAULTS - {"late"},
    ),
]


SCENARIOS = (*ONE_SERVER, *CLUSTER)
