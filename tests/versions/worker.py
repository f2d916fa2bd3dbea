"""Run the calls of one version of otpkit: read a JSON object from each line, and print one.

This is a process of its own, so that two versions can share one Redis. It uses only public names, because any version
must run it.
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


def guard(mode: str, rule: dict[str, float]) -> dict[str, Any]:
    """Return the arguments for a guard."""
    from otpkit import Guard
    from otpkit.guard.rule import Rule

    return {"guard": Guard(mode, rule=Rule(**rule))}  # type: ignore[arg-type]


class Process:
    """One OTP of this version, with a clock and gateways that the test controls."""

    def __init__(self, redis: str, namespace: str, secret: str, now: float, options: dict[str, Any]) -> None:
        self.now = now
        self.sent: list[dict[str, str]] = []
        self.outcome = "accepted"
        fields = options.pop("policy", {})
        if not options.pop("parts", False) and "device_sends" in Policy.__dataclass_fields__:
            fields = {"device_failures": 0, "device_consecutive": 0, "device_sends": []} | fields
        policy = Policy(**fields)
        gateways = [Route(self._carrier(name), name=name) for name in options.pop("gateways", ["one"])]
        until = datetime(2027, 1, 31, tzinfo=UTC)
        fixed = [FixedCode(phone, code, until, ["signup"]) for phone, code in options.pop("fixed_codes", {}).items()]
        if amount := options.pop("budget", ""):
            options |= budgets(amount)
        if its_guard := options.pop("guard", {}):
            options |= guard(**its_guard)
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
        """Make a call at `now`, with `outcome` for the gateways. Return its result and the sent messages."""
        self.now, self.outcome, self.sent = now, outcome, []
        try:
            answer = {"result": describe(getattr(self.otp, name)(**arguments))}
        except OTPError as error:
            answer = {"error": type(error).__name__, "evidence": evidence(error)}
        return answer | {"sent": self.sent}


def describe(value: object) -> Any:
    """Return a result in a form that JSON can represent."""
    if isinstance(value, Challenge):
        return {name: getattr(value, name) for name in ("id", "phone", "delivery", "expires_in", "attempts_left")}
    if isinstance(value, Proof):
        device = getattr(value, "device", None)
        shown = {"id": value.id, "phone": value.phone, "token": value.token, "replayed": value.replayed}
        return shown if device is None else shown | {"device": device}
    if isinstance(value, Standing):
        return {
            name: getattr(value, name) for name in ("blocked", "consecutive_failures", "sends_left", "failures_left")
        }
    if isinstance(value, Delivery):
        return {"state": value.state, "gateway": value.gateway}
    return value.isoformat() if isinstance(value, datetime) else None


def evidence(error: OTPError) -> dict[str, Any]:
    """Return an error's attributes besides its text."""
    found = {name: getattr(error, name, None) for name in ("retry_after", "attempts_left", "scope", "category")}
    return {name: value for name, value in found.items() if value is not None}


def main() -> None:
    """Build the OTP from the first line, and make a call for each later line."""
    process = Process(**json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        print(json.dumps(process.call(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
