"""Runs the calls of one version of otpkit: a JSON object a line in, one a line out.

A process of its own, so that two versions can share one Redis. It uses public names alone, for any version must run it.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

from otpkit import OTP, Challenge, FixedCode, OTPError, Policy, Proof, Standing, Template
from otpkit.errors import GatewayRejectedError
from otpkit.gateways import Delivery, Failover, Message, Route


def budgets(amount: str) -> dict[str, Any]:
    """Return the arguments for one budget, where this version has budgets; a message costs 1 CNY."""
    try:
        from otpkit import Budget
    except ImportError:
        return {}
    return {"budgets": [Budget(amount, keep=0, hourly=1)], "prices": {"CN": "1 CNY"}}


class Process:
    """One OTP of this version, with a clock and gateways that the test rules."""

    def __init__(self, redis: str, namespace: str, secret: str, now: float, options: dict[str, Any]) -> None:
        self.now = now
        self.sent: list[dict[str, str]] = []
        self.outcome = "accepted"
        policy = Policy(**options.pop("policy", {}))
        gateways = [Route(self._carrier(name), name=name) for name in options.pop("gateways", ["one"])]
        until = datetime(2027, 1, 31, tzinfo=UTC)
        fixed = [FixedCode(phone, code, until, ["signup"]) for phone, code in options.pop("fixed_codes", {}).items()]
        if amount := options.pop("budget", ""):
            options |= budgets(amount)
        self.otp = OTP(
            redis,
            Failover(gateways) if len(gateways) > 1 else gateways[0],
            Template("SMS_585014", sign_name="otpkit", params={"code": "{code}"}),
            secret,
            policy=policy,
            namespace=namespace,
            fixed_codes=fixed,
            clock=lambda: self.now,
            **options,
        )

    def _carrier(self, name: str) -> Any:
        def carry(message: Message) -> None:
            if self.outcome == "uncertain":
                raise TimeoutError
            if self.outcome != "accepted" and name != "two":
                raise GatewayRejectedError("no", gateway=name, category=self.outcome)  # type: ignore[arg-type]
            self.sent.append({"phone": message.phone, "code": message.code, "gateway": name})

        return carry

    def call(self, name: str, arguments: dict[str, Any], now: float, outcome: str) -> dict[str, Any]:
        """Make a call at `now`, where gateways answer by `outcome`; return what it gave, and what was sent."""
        self.now, self.outcome, self.sent = now, outcome, []
        try:
            answer = {"result": describe(getattr(self.otp, name)(**arguments))}
        except OTPError as error:
            answer = {"error": type(error).__name__, "evidence": evidence(error)}
        return answer | {"sent": self.sent}


def describe(value: object) -> Any:
    """Return a result as JSON can hold it."""
    if isinstance(value, Challenge):
        return {name: getattr(value, name) for name in ("id", "phone", "delivery", "expires_in", "attempts_left")}
    if isinstance(value, Proof):
        return {"id": value.id, "phone": value.phone, "token": value.token, "replayed": value.replayed}
    if isinstance(value, Standing):
        return {
            name: getattr(value, name) for name in ("blocked", "consecutive_failures", "sends_left", "failures_left")
        }
    if isinstance(value, Delivery):
        return {"state": value.state, "gateway": value.gateway}
    return None


def evidence(error: OTPError) -> dict[str, Any]:
    """Return what an error carries beside its text."""
    found = {name: getattr(error, name, None) for name in ("retry_after", "attempts_left", "scope", "category")}
    return {name: value for name, value in found.items() if value is not None}


def main() -> None:
    """Build the OTP by the first line, and make a call for each other one."""
    process = Process(**json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        print(json.dumps(process.call(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
