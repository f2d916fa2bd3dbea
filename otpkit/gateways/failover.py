"""Several gateways: which is tried after which, and what each sends. Values alone; the flows act on them."""

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
    """A gateway with templates of its own, or with a name of its own.

    Args:
        gateway: a `Gateway`, or a function that takes a `Message`.
        template: a `Template`, or a mapping of purpose to `Template`, in place of those of `OTP(template=…)`.
        name: what the gateway is called in challenges, events and Redis: at most 24 of `a-z`, `0-9`, `_`, `-`. Its own
            name unless said; of two alike the second is called `name-2`.

    Raises ConfigurationError for what is no name.
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
    """Gateways in the order in which they are tried.

    The next one is tried after a rejection of any category but `number` and `rate_limit`: to go on after these would
    defeat the carriers' own protection of a number. One that failed `rest_after` times in a row rests: the others are
    tried first; all processes share that through Redis. Uncertain sends count, and rejections that concern the gateway
    (`GatewayRejectedError.concerns`), not those of one number, region, template or text. Together the gateways'
    timeouts should stay below 30 s, after which a send counts as abandoned.

    Args:
        gateways: two to eight gateways, functions or `Route`s. One that carries voice alone calls the person.
        on_uncertain: `"stop"`, or `"next"`: after an uncertain send too the next one is tried, with the same code, so
            that a person may get it twice.
        undelivered_after: seconds. When the person asks again, and the last message was not delivered so long after it
            was sent, or failed, the gateway after that one's is tried first. 0–3600; None leaves the order as it is.
        rest_after: failures in a row, 1–100.
        rest: seconds of a rest, 1–3600.

    Raises ConfigurationError for anything that can't work, naming the field.
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
        # No reprs of functions: a partial's shows its arguments.
        names = [getattr(each, "name", "") or type(each).__name__ for each in self.gateways]
        return f"Failover({', '.join(names)}; on_uncertain={self.on_uncertain!r})"


def _check_members(gateways: object) -> None:
    if not isinstance(gateways, Sequence) or not 2 <= len(gateways) <= MAX_MEMBERS:
        raise ConfigurationError(
            f"Failover got no list of 2 to {MAX_MEMBERS} gateways.", "Pass one; a single gateway needs no Failover."
        )
    if len(set(map(id, gateways))) != len(gateways):
        raise ConfigurationError("Failover names a gateway twice.", "Name each once.")


def _check_number(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ConfigurationError(f"Failover.{name} is {value!r:.20}.", f"Pass a number from {low} to {high}.")
