"""The order of several gateways, and the templates of each. This module holds the values; the flows apply them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from otpkit.core.checks import Checks, nearest
from otpkit.errors import ConfigurationError
from otpkit.gateways.base import Gateway, Message
from otpkit.template import Template

__all__ = ["Failover", "Route"]

NAME = re.compile(r"[a-z0-9_-]{1,24}")
MAX_MEMBERS = 8
MAX_REST_S = 3600

OneGateway: TypeAlias = "Gateway | Callable[[Message], Any] | Route"
TemplateChoice: TypeAlias = Template | Mapping[str, Template]


@dataclass(frozen=True, slots=True)
class Route:
    """A gateway with its own templates or its own name.

    Args:
        gateway: a `Gateway`, or a function that takes a `Message`.
        template: a `Template`, or a mapping of purpose to `Template`; it replaces that of `OTP(template=…)`. None uses
            that of `OTP`.
        name: the gateway's name in challenges, events and Redis, at most 24 of `a-z`, `0-9`, `_`, `-`. "" uses
            `Gateway.name`; if two names are equal, the second becomes `name-2`.

    Raises:
        ConfigurationError: `name` is not valid.
    """

    gateway: Gateway | Callable[[Message], Any]
    template: TemplateChoice | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or (self.name and not NAME.fullmatch(self.name)):
            raise ConfigurationError(
                "Route.name must be at most 24 of a-z, 0-9, '_' and '-'.", 'Choose one such as "aliyun-eu".'
            )


class Failover:
    """Several gateways, in the order in which they are tried.

    After a rejection the next gateway is tried, unless the category is `number` or `rate_limit`: a second gateway would
    then bypass the carriers' protection of the number. A gateway that failed `rest_after` times in a row rests: the
    others are tried before it. All processes share this state through Redis. Uncertain sends count as failures, and so
    do rejections that concern the gateway (`GatewayRejectedError.concerns`). Rejections of one number, region, template
    or text do not count. The sum of the gateways' timeouts should stay below 30 s: after 30 s a send is treated as
    abandoned.

    Args:
        gateways: two to eight gateways, functions or `Route`s. A gateway whose only channel is voice calls the user.
        on_uncertain: `"stop"` or `"next"`. With `"next"` the next gateway is tried after an uncertain send too, with
            the same code, so the user may receive the code twice.
        undelivered_after: seconds to wait for a delivery, 0–3600. If the last message is still undelivered after this
            time, or if it failed, a resend begins with the gateway after the one that sent it. None keeps the order.
        rest_after: consecutive failures, 1–100, after which a gateway rests.
        rest: length of a rest in seconds, 1–3600.

    Raises:
        ConfigurationError: an argument is not valid. The error names the field.
    """

    def __init__(
        self,
        gateways: Sequence[OneGateway],
        *,
        on_uncertain: Literal["stop", "next"] = "stop",
        undelivered_after: float | None = None,
        rest_after: int = 3,
        rest: float = 60,
    ) -> None:
        with Checks() as checks:
            checks.of("gateways", _check_members, gateways)
            if on_uncertain not in ("stop", "next"):
                hint = nearest(str(on_uncertain)[:20], ("stop", "next"))
                checks.add("on_uncertain", f"Failover.on_uncertain is unknown{hint}", 'Pass "stop" or "next".')
            for name, value, low, high in (
                ("undelivered_after", 0 if undelivered_after is None else undelivered_after, 0, MAX_REST_S),
                ("rest_after", rest_after, 1, 100),
                ("rest", rest, 1, MAX_REST_S),
            ):
                checks.of(name, _check_number, name, value, low, high)
        self.gateways = tuple(gateways)
        self.on_uncertain = on_uncertain
        self.undelivered_after = undelivered_after
        self.rest_after = int(rest_after)
        self.rest = rest

    def __repr__(self) -> str:
        # Do not show the reprs of functions: the repr of a partial shows its arguments.
        names = [getattr(each, "name", "") or type(each).__name__ for each in self.gateways]
        return f"Failover({', '.join(names)}; on_uncertain={self.on_uncertain!r})"


def _check_members(gateways: object) -> None:
    if not isinstance(gateways, Sequence) or not 2 <= len(gateways) <= MAX_MEMBERS:
        raise ConfigurationError(
            f"Failover needs a list of 2 to {MAX_MEMBERS} gateways.",
            "Pass such a list. For a single gateway, pass it to OTP directly.",
        )
    if len(set(map(id, gateways))) != len(gateways):
        raise ConfigurationError("Failover names a gateway twice.", "Name each once.")


def _check_number(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ConfigurationError(f"Failover.{name} is {value!r:.20}.", f"Pass a number from {low} to {high}.")
