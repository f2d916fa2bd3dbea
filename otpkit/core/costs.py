"""What one message costs by one gateway: its segments, and their price."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from otpkit.core.budgets import segments_of
from otpkit.core.routing import Member
from otpkit.gateways.base import Channel
from otpkit.guard.money import Amount
from otpkit.guard.prices import Prices
from otpkit.policy import Policy

_MOST: Final = 1024  # Purposes are callers' texts.


class Cost(NamedTuple):
    """The cost of one message.

    `segments` is the number of SMS that it takes; None for a call, or if the text of the template is not known.
    `micros` is its price in millionths of the currency of `Prices`, and `price` the same as text with the currency.
    Without a price, these are None and "". The price of an unknown text is that of one segment.
    """

    segments: int | None
    micros: int | None
    price: str


class Costs:
    """The costs of an `OTP`'s messages. Those of one kind are computed once.

    Args:
        prices: the prices.
        policy: the policy, with the digits and the life of a code.
    """

    def __init__(self, prices: Prices, policy: Policy) -> None:
        self._prices = prices
        self.currency = prices.currency
        self._digits = policy.code_length
        self._minutes = max(1, policy.ttl // 60)
        self._known: dict[tuple[str, str, str, Channel], Cost] = {}

    def of(self, member: Member, region: str, purpose: str, channel: Channel, params: Mapping[str, str] | None) -> Cost:
        """Return the cost of a message.

        Args:
            member: the gateway.
            region: the phone's region.
            purpose: the purpose.
            channel: the channel by which this gateway carries the message.
            params: the further variables of the message, or None.
        """
        if params is not None:
            return self._cost(member, region, purpose, channel, params)
        kind = member.name, region, purpose, channel
        found = self._known.get(kind)
        if found is None:
            if len(self._known) >= _MOST:
                self._known = {}
            found = self._known[kind] = self._cost(member, region, purpose, channel, None)
        return found

    def segments(self, member: Member, purpose: str, channel: Channel, params: Mapping[str, str] | None) -> int | None:
        """Return `Cost.segments` of a message. The arguments are those of `of`."""
        template = member.template_for(purpose)
        if channel == "voice" or template.body is None:
            return None
        signed = member.gateway.adds_signature
        return segments_of(template, self._digits, self._minutes, params, signed=signed)

    def _cost(
        self, member: Member, region: str, purpose: str, channel: Channel, params: Mapping[str, str] | None
    ) -> Cost:
        segments = self.segments(member, purpose, channel, params)
        unit = self._prices.find(member.name, region, channel)
        if unit is None:
            return Cost(segments, None, "")
        micros = unit * (segments or 1)
        return Cost(segments, micros, str(Amount(micros, self._prices.currency)))
