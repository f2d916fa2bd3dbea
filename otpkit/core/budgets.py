"""The budgets and prices of an `OTP`, checked once, and what one message may cost them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from otpkit.core.checks import Checks, nearest
from otpkit.core.crypto import Keys, encode_id
from otpkit.core.routing import Member, Plan, Routing
from otpkit.core.scripts.money import MoneyCharge, charge_of
from otpkit.gateways.base import Channel
from otpkit.guard.budgets import Budget, Calendar, distinct
from otpkit.guard.prices import Prices
from otpkit.template import Template

_NAME_BYTES: Final = 8
_MOST_BILLS: Final = 1024  # Purposes and keys are callers' texts.


class _Account(NamedTuple):
    """A budget with all that a charge of it needs: see charge.lua."""

    budget: Budget
    name: str
    limits: tuple[int, int, int]
    calendar: Calendar
    alerts: str

    def counts(self, region: str, purpose: str, key: str | None) -> bool:
        """Return whether messages of a region, purpose and API key count."""
        budget = self.budget
        return (
            (budget.region is None or budget.region == region)
            and (budget.purpose is None or budget.purpose == purpose)
            and (budget.key is None or budget.key == key)
        )


class Item(NamedTuple):
    """What one message may cost one budget, in millionths: in all, and by each gateway that may send it."""

    account: _Account
    reserved: int
    costs: Mapping[str, int]


class Bill:
    """What one message may cost its budgets. `most` is what it may cost at most, in millionths.

    Messages of the same kind share a bill. It keeps the texts that are the same for all of them in one window.
    """

    __slots__ = ("_dated", "_refunds", "items", "most")

    def __init__(self, items: tuple[Item, ...], most: int) -> None:
        self.items = items
        self.most = most
        self._dated = (0, 0, MoneyCharge("", privileged=False), MoneyCharge("", privileged=True))
        """The time for which the two charges hold, of no and of a privileged message. Threads replace all at once."""
        self._refunds: dict[tuple[str, ...], str] = {}

    def charge(self, at_ms: int, *, privileged: bool) -> MoneyCharge:
        """Return what to reserve, for windows around `at_ms`, in server milliseconds."""
        starts_ms, ends_ms, plain, for_privileged = self._dated
        if not starts_ms <= at_ms < ends_ms:
            bounds = [item.account.calendar.bounds(at_ms) for item in self.items]
            text = ""
            for (account, reserved, _), starts in zip(self.items, bounds, strict=True):
                text += charge_of(account.name, (reserved, *account.limits), starts, account.alerts)
            plain, for_privileged = (MoneyCharge(text, privileged=each) for each in (False, True))
            starts_ms, ends_ms = max(starts[1] for starts in bounds), min(starts[2] for starts in bounds)
            self._dated = starts_ms, ends_ms, plain, for_privileged
        return for_privileged if privileged else plain

    def refunds(self, served: tuple[str, ...]) -> str:
        """Return what was reserved and not spent, if these gateways sent the message; "" if that is nothing."""
        text = self._refunds.get(served)
        if text is None:
            text = ""
            for account, reserved, costs in self.items:
                if rest := reserved - sum(costs[name] for name in served):
                    text += f"{account.name} {rest};"
            self._refunds[served] = text
        return text

    def budget(self, place: int) -> Budget:
        """Return a budget by its place, from 1."""
        return self.items[place - 1].account.budget


class Purse:
    """The budgets and prices of an `OTP`.

    Args:
        budgets: the budgets, none of them twice.
        prices: the prices.
        namespace: the prefix of keys in Redis.
        keys: the keys for names at rest.
    """

    def __init__(self, budgets: Sequence[Budget], prices: Prices, namespace: str, keys: Keys) -> None:
        self.prices = prices
        self.key = f"{namespace}:{{money}}:m"
        self.skew_ms = 0
        """The difference between the server's clock and this host's, as far as it was found to matter."""
        self.accounts = tuple(_account(budget, keys) for budget in budgets)
        self._bills: dict[tuple[str, str, Channel, str | None], Bill | None] = {}

    def remembered(self, kind: tuple[str, str, Channel, str | None], make: Callable[[], Bill | None]) -> Bill | None:
        """Return the bill of a kind of messages, made once: computing it would cost an issue a fifth.

        Args:
            kind: the region, purpose and channel, and the name of the API key, or None.
            make: a function that returns the bill of these messages.
        """
        bills = self._bills
        try:
            return bills[kind]
        except KeyError:
            pass
        if len(bills) >= _MOST_BILLS:
            bills = self._bills = {}
        bill = bills[kind] = make()
        return bill

    def bill(
        self,
        *,
        plan: Plan,
        candidates: Sequence[Member],
        region: str,
        purpose: str,
        channel: Channel,
        key: str | None,
        segments: Mapping[str, int],
    ) -> Bill | None:
        """Return what a message may cost, or None if no budget counts it.

        The dearest gateway is reserved. If several may send the same message (`Failover(on_uncertain="next")`), the
        sum of them is.

        Args:
            plan: the gateways of the region.
            candidates: those of them that may send the message.
            region: the phone's region.
            purpose: the purpose.
            channel: the channel that was requested.
            key: the name of the API key, or None.
            segments: the number of segments by gateway.
        """
        combine = sum if plan.tries_after_uncertain else max
        costs: dict[str, int] = {}
        for member in candidates:
            price = self.prices.find(member.name, region, member.channel_for(channel)) or 0
            costs[member.name] = price * segments[member.name]
        items = []
        for account in self.accounts:
            if account.counts(region, purpose, key):
                its = costs
                if (only := account.budget.gateway) is not None:
                    its = {name: cost if name == only else 0 for name, cost in costs.items()}
                if reserved := combine(its.values()):
                    items.append(Item(account, reserved, its))
        return Bill(tuple(items), combine(costs.values())) if items else None


def open_purse(
    budgets: Iterable[Budget],
    prices: Mapping[str, str] | None,
    routing: Routing,
    regions: Iterable[str],
    namespace: str,
    keys: Keys,
) -> Purse | None:
    """Check `OTP(budgets=…, prices=…)`; return None without budgets.

    Args:
        budgets: the budgets.
        prices: the prices.
        routing: the gateways.
        regions: the allowed regions.
        namespace: the prefix of keys in Redis.
        keys: the keys for names at rest.

    Raises:
        ConfigurationError: they are wrong, or a price is missing. The error names each of them.
    """
    allowed = frozenset(regions)
    with Checks() as checks:
        chosen = checks.of("budgets", distinct, budgets)
        known = checks.of("prices", Prices, {} if prices is None else prices)
        if checks.passed("prices") and known is not None:
            checks.of("prices", known.check_names, routing.members, allowed)
        for budget in chosen or ():
            _check_budget(checks, budget, routing, allowed)
        if chosen and known is not None:
            if known.currency and known.currency != chosen[0].limit.currency:
                problem = f"prices are in {known.currency}, and {chosen[0]} is not."
                checks.add("prices", problem, "Use one currency for all prices and budgets.")
            for name in _missing(chosen, known, routing, allowed):
                checks.add(
                    f"prices.{name}",
                    f"prices has no price for {name}, which a budget needs.",
                    f'Add one, such as {{"{name}": "0.05 {chosen[0].limit.currency}"}}, or one for "*".',
                )
    return Purse(chosen, known, namespace, keys) if chosen else None


def segments_of(
    template: Template, digits: int, minutes: int, params: Mapping[str, str] | None, *, signed: bool
) -> int:
    """Return the number of SMS that a message takes; 1 if the template's text is not known.

    Args:
        template: the template.
        digits: the digits of the code.
        minutes: the longest life of the code.
        params: the further variables of the message.
        signed: True if the gateway adds the signature.
    """
    if template.body is None:
        return 1
    return template.segments("0" * digits, minutes=minutes, params=params, signed=signed)


def _account(budget: Budget, keys: Keys) -> _Account:
    alerts = ",".join(f"{share}:{least}" for share, least in budget.thresholds()) or "-"
    return _Account(
        budget,
        encode_id(keys.name(b"budget", *budget.identity(), size=_NAME_BYTES)),
        (budget.limit.micros, budget.open_micros, budget.hourly_micros),
        Calendar(budget.unit, budget.timezone),
        alerts,
    )


def _check_budget(checks: Checks, budget: Budget, routing: Routing, allowed: frozenset[str]) -> None:
    if budget.region is not None and budget.region not in allowed:
        problem = f"budgets: {budget} is for {budget.region}, which Policy.regions does not allow."
        checks.add("budgets", problem, "Remove the budget, or add the region to Policy.regions.")
    if budget.gateway is not None and budget.gateway not in routing.members:
        problem = f"budgets: {budget} is for no gateway of this OTP{nearest(budget.gateway, routing.members)}"
        checks.add("budgets", problem, f"Name one of {', '.join(routing.members)}.")
    if budget.purpose is not None:
        checks.of("budgets", routing.require_template, budget.purpose, f"budgets: {budget}")


def _missing(budgets: Iterable[Budget], prices: Prices, routing: Routing, allowed: frozenset[str]) -> list[str]:
    """Return the names of the prices that budgets need and that are missing."""
    missing: dict[str, None] = {}
    for budget in budgets:
        for region in sorted(allowed if budget.region is None else allowed & {budget.region}):
            for member in routing.plan_for(region).members:
                if budget.gateway in (None, member.name):
                    for channel in member.gateway.channels:
                        if prices.find(member.name, region, channel) is None:
                            missing[region if channel == "sms" else f"{region}/voice"] = None
    return list(missing)
