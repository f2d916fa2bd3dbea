"""The settings that runs are made with: the defaults, or those of a deployment's own file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from otpkit import Guard
from otpkit.errors import ConfigurationError
from otpkit.phone import MAINLAND
from otpkit.policy import DEFAULT_POLICY, Policy

CURRENCY: Final = "CNY"
PRICE: Final = Decimal("0.045")  # Of one message to the mainland.
PROOF_OF_WORK: Final = Decimal("0.00006")  # CNY, of a second of a rented processor at 0.2 CNY an hour.
_AS_THEY_ARE: Final = ("budgets", "prices")  # Arguments of the `OTP` that need no change.


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The settings that runs are made with.

    Args:
        policy: the policy.
        guard: the guard. Runs set its mode and its captcha.
        options: more arguments of the `OTP`, such as `budgets`.
        price: the price of a message.
    """

    policy: Policy = DEFAULT_POLICY
    guard: Guard = field(default_factory=Guard)
    options: dict[str, Any] = field(default_factory=dict)
    price: Decimal = PRICE


def read_deployment(environ: Mapping[str, str], path: str) -> Deployment:
    """Return the settings of a deployment's TOML file and the environment.

    The simulated people have mainland numbers, so the policy's limits of the default region hold for them. Settings
    that are missing, such as the secret and the gateway's keys, are not needed.

    Args:
        environ: the environment variables.
        path: the path of the file.

    Raises:
        ConfigurationError: the file can't be read, or settings are wrong. The error names each of them.
    """
    from otpkit.settings import Reading  # It needs the extra `settings`.

    reading = Reading(environ, path)
    wrong = [each for each in reading.problems if not each.is_missing]
    if wrong:
        raise ConfigurationError(problems=wrong)
    policy = reading.otp.get("policy", DEFAULT_POLICY)
    limits = policy.region_sends.get(policy.default_region)
    mainland = replace(
        policy,
        regions=frozenset({MAINLAND}),
        default_region=MAINLAND,
        region_sends={} if limits is None else {MAINLAND: limits},
        replicas=0,
    )
    return Deployment(
        policy=mainland,
        guard=reading.otp.get("guard") or Guard(),
        options={name: reading.otp[name] for name in _AS_THEY_ARE if name in reading.otp},
    )
