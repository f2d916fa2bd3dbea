"""Sends and guesses of strangers and of devices, compared with a list of all that happened.

The rule is written down plainly: a caller is refused where the events in a window have reached the share that the
caller may use. Devices may use the whole, strangers the whole without the part for devices.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.rig import PHONE, Rig, wrong

from otpkit import BlockedError, Challenge, OTPError, Policy, Proof, RateLimitError, WrongCodeError

POLICIES = {
    "default": Policy(),
    "small": Policy(
        sends="3/minute, 5/10 minutes, 12/day",
        device_sends="1/10 minutes, 4/day",
        failures="4/hour, 9/day",
        device_failures=2,
        max_consecutive_failures=8,
        device_consecutive=3,
        device_ttl=7200,
    ),
    "whole": Policy(sends="5/hour", failures="6/day", device_failures=0, device_consecutive=0, device_sends=()),
}
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["issue", "wrong", "wrong", "wrong", "right", "forget", "wait"]),
        st.booleans(),
        st.sampled_from([1, 61, 601, 3601, 30_000]),
    ),
    max_size=60,
)


class DeviceModel:
    """All events of one phone, in milliseconds, and the thresholds of both kinds of callers."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.sends: list[float] = []
        self.failures: list[float] = []
        self.row = 0
        self.since: float | None = None

    def knows(self, now: float, shows_device: bool) -> bool:
        return shows_device and self.since is not None and self.since + self.policy.device_ttl > now

    def refusal(self, now: float, known: bool, *, is_issue: bool) -> str:
        """Return what refuses a call: `blocked`, `limited` or ""."""
        policy: Any = self.policy
        if self.row >= policy.max_consecutive_failures - (0 if known else policy.device_consecutive):
            return "blocked"
        for rate in policy.failures:
            limit = rate.limit - (0 if known else policy.device_failures)
            if sum(at > now - rate.seconds for at in self.failures) >= limit:
                return "limited"
        kept = {} if known else {rate.seconds: rate.limit for rate in policy.device_sends}
        for rate in policy.sends if is_issue else ():
            if sum(at > now - rate.seconds for at in self.sends) >= rate.limit - kept.get(rate.seconds, 0):
                return "limited"
        return ""


def word(call: Any) -> str:
    """Return the outcome of a call in the model's words."""
    try:
        result = call()
    except BlockedError:
        return "blocked"
    except RateLimitError:
        return "limited"
    except WrongCodeError:
        return "wrong"
    except OTPError as error:
        return error.code
    assert isinstance(result, (Challenge, Proof))
    return ""


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@settings(max_examples=40, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_both_kinds_keep_to_their_thresholds(store_url: str, policy: Policy, steps: list[Any]) -> None:
    """On every store, in any order, with a device that is enrolled, expires and is forgotten."""
    with Rig(store_url, f"t{uuid4().hex[:12]}") as rig:
        otp, model, token = rig.otp(policy=policy), DeviceModel(policy), None
        for name, shows_device, seconds in steps:
            device, now = token if shows_device else None, rig.clock.now
            known = model.knows(now, shows_device)
            if name == "wait":
                rig.advance(seconds)
            elif name == "forget":
                otp.forget_devices(PHONE)
                model.since = None
                rig.advance(0.125)  # A verification in the same millisecond would be forgotten too.
            elif name == "issue":
                expected = model.refusal(now, known, is_issue=True)
                assert word(lambda device=device: otp.issue(PHONE, device=device)) == expected
                if not expected:
                    model.sends.append(now)
            elif otp.status(PHONE) is not None:
                expected = model.refusal(now, known, is_issue=False)
                code = rig.outbox[-1].code
                if name == "right" and not expected:
                    token = otp.verify(PHONE, code, device=device).device
                    model.since, model.row = now, 0
                else:
                    typed = code if name == "right" else wrong(code)
                    assert word(lambda typed=typed, device=device: otp.verify(PHONE, typed, device=device)) == (
                        expected or "wrong"
                    )
                    if not expected:
                        model.failures.append(now)
                        model.row += 1
            assert (otp.check_device(token, PHONE) is not None) == model.knows(rig.clock.now, True)
        standing = otp.standing(PHONE)
        assert standing.blocked == (model.refusal(rig.clock.now, False, is_issue=False) == "blocked")
        assert standing.device_blocked == (model.refusal(rig.clock.now, True, is_issue=False) == "blocked")
        assert standing.consecutive_failures == model.row
