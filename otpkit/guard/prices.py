"""What messages cost, by gateway, region and channel: `OTP(prices=…)`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from otpkit.core.checks import Checks, nearest
from otpkit.errors import ConfigurationError
from otpkit.guard.money import read_amount

_NAME: Final = re.compile(r"(?:(?P<gateway>[a-z0-9_-]{1,24}):)?(?P<region>[A-Z]{2}|\*)(?P<voice>/voice)?")


class PriceName(NamedTuple):
    """The name of a price: `twilio:US/voice`. `gateway` may be "", `region` may be `*`."""

    gateway: str
    region: str
    is_voice: bool

    def __str__(self) -> str:
        return f"{f'{self.gateway}:' if self.gateway else ''}{self.region}{'/voice' if self.is_voice else ''}"


class Prices:
    """The checked prices of an `OTP`, in millionths of one currency; "" is the currency of no price.

    Args:
        prices: a price for each name, such as `{"CN": "0.045 CNY", "twilio:US/voice": "0.06 CNY", "*": "0.4 CNY"}`.

    Raises:
        ConfigurationError: names or prices are wrong, or the currencies differ. The error names each of them.
    """

    def __init__(self, prices: Mapping[str, str]) -> None:
        self._micros: dict[PriceName, int] = {}
        self.currency = ""
        with Checks() as checks:
            if not isinstance(prices, Mapping):
                raise ConfigurationError("prices must map names to prices.", 'Write {"CN": "0.045 CNY"}.')
            for text, price in prices.items():
                checks.of(f"prices.{text!s:.40}", self._add, text, price)

    def _add(self, text: Any, price: Any) -> None:
        match = _NAME.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ConfigurationError(
                f"prices: {text!r:.40} names no price.", 'Write "CN", "CN/voice", "twilio:US" or "*".'
            )
        try:
            amount = read_amount(price)
        except ConfigurationError as error:
            raise ConfigurationError(f"prices[{text!r}]: {error.problem}", error.remedy) from None
        if self.currency and amount.currency != self.currency:
            raise ConfigurationError(
                f"prices[{text!r}] is in {amount.currency}, and another price in {self.currency}.",
                "Use one currency for all prices and budgets.",
            )
        self.currency = amount.currency
        self._micros[PriceName(match["gateway"] or "", match["region"], bool(match["voice"]))] = amount.micros

    def find(self, gateway: str, region: str, channel: str) -> int | None:
        """Return the price of one segment or call in millionths, or None if there is none.

        The closest name counts: first one of the channel, then of the region, then of the gateway. A price without
        `/voice` is also the price of a call, if no price with it fits.

        Args:
            gateway: the gateway's name.
            region: the phone's region.
            channel: `sms` or `voice`.
        """
        for is_voice in (True, False) if channel == "voice" else (False,):
            for place in (region, "*"):
                for name in (gateway, ""):
                    if (found := self._micros.get(PriceName(name, place, is_voice))) is not None:
                        return found
        return None

    def check_names(self, gateways: Iterable[str], regions: Iterable[str]) -> None:
        """Check that each name is about a gateway and a region that the `OTP` has.

        Raises:
            ConfigurationError: names are not. The error names each of them.
        """
        known, allowed = tuple(gateways), {*regions, "*"}
        with Checks() as checks:
            for name in self._micros:
                if name.region not in allowed:
                    checks.add(
                        f"prices.{name}",
                        f"prices[{str(name)!r}] is about {name.region}, which Policy.regions does not allow.",
                        "Remove the price, or add the region to Policy.regions.",
                    )
                if name.gateway and name.gateway not in known:
                    problem = f"prices[{str(name)!r}] is about no gateway of this OTP{nearest(name.gateway, known)}"
                    checks.add(f"prices.{name}", problem, f"Name one of {', '.join(known)}.")
