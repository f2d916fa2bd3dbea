"""The money of messages: reserve it with a send, give back what was not spent, and report what budgets have spent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final

from otpkit.core.budgets import Bill
from otpkit.core.config import Config
from otpkit.core.crypto import encode_id, new_id
from otpkit.core.report import Report
from otpkit.core.scripts.money import Counted, MoneyCharge, Shortage, Spent, Undated
from otpkit.core.scripts.parse import Describable
from otpkit.core.scripts.sends import Misdated, Unaffordable
from otpkit.core.tokens import from_ms
from otpkit.effects import Emit, Flow, run
from otpkit.errors import OTPError, RateLimitError, StoreUnavailableError
from otpkit.guard.budgets import HOUR_MS, Budget, BudgetReason, Spending
from otpkit.guard.money import decimal_of
from otpkit.models import Event

_TRIES: Final = 3  # The bounds that follow from the server's own time fit, unless its clock jumps.
_REASONS: Final[Mapping[BudgetReason, str]] = {
    "amount": "is used up",
    "keep": "is used up, except for what it keeps for known numbers",
    "hour": "has spent what one hour may cost",
}
FOREIGN_REPLY: Final = "Redis returned a reply to another request.", "Check the proxy in front of Redis."
_UNDATED: Final = (
    "The server's clock jumps by days, so the window of a budget is not known. Nothing was sent.",
    "The operator should set the clock of the Redis server by NTP.",
)


class Payment:
    """The money of one message. Without a bill, nothing is charged.

    On one server, the phone's own scripts charge it and give it back. On a cluster, the budgets lie on another node:
    they are charged first, and get it back if the call is refused. After a crash the money stays charged.
    """

    # Class attributes: few calls change one of them.
    _tries = 0
    _memory_key = ""
    _charged_ms = 0

    def __init__(self, config: Config, report: Report, bill: Bill | None) -> None:
        self._config = config
        self._report = report
        self._bill = bill
        purse = config.purse
        self.money_key = "" if bill is None or purse is None or config.clustered else purse.key
        """The key that the phone's own scripts charge; "" if they charge none."""

    def due(self, *, privileged: bool) -> MoneyCharge | None:
        """Return what the reservation charges on one server.

        `privileged` is True for a message that may spend what budgets keep.
        """
        return None if self._bill is None else self._dated(self._bill, privileged=privileged)

    def charge(self, *, privileged: bool) -> Flow[Shortage | None]:
        """Charge the message now, on a cluster; return a refusal, or None.

        `privileged` is as for `due`.
        """
        return None if self._bill is None else (yield from self._spend(self._bill, privileged=privileged))

    def misdated(self, reply: Misdated | Undated) -> None:
        """Adopt the server's time for the windows of budgets.

        Raises:
            StoreUnavailableError: it was adopted several times in this call.
        """
        self._tries += 1
        if self._tries >= _TRIES:
            raise StoreUnavailableError(*_UNDATED)
        if self._config.purse is not None:
            self._config.purse.skew_ms = reply.now_ms - self._config.host_ms()

    def tell(self, alerts: bytes) -> Flow[None]:
        """Report the alerts that a charge has reached: see charge.lua."""
        for item, bits in zip(() if self._bill is None else self._bill.items, alerts, strict=False):
            budget = item.account.budget
            for share in [each for bit, each in enumerate(budget.alerts) if bits >> bit & 1]:
                event = self._event("alert", budget, f"{share:g}")
                yield Emit(event, warning=f"The budget {budget} has reached {100 * share:g} % of its amount.")

    def refuse(self, hit: Unaffordable, subject: Describable) -> Flow[RateLimitError]:
        """Report that a budget can't afford the message, and return the error to raise."""
        budget, seconds = self._budget(hit.budget), max(1, math.ceil(hit.wait_ms / 1000))
        yield Emit(self._event("refused", budget, hit.reason))
        return RateLimitError(
            f"The budget {budget} {_REASONS[hit.reason]}. Nothing was sent.",
            f"The same call may succeed in {seconds} s. The operator can raise the budget.",
            scope="budget",
            retry_after=seconds,
            challenge=None if hit.described is None else subject.live_challenge(hit.now_ms, hit.described),
        )

    def unspent(self, served: tuple[str, ...] = ()) -> str:
        """Return what budgets get back, if these gateways have the message or may have it; "" if nothing."""
        return "" if self._bill is None else self._bill.refunds(served)

    def give_back(self, refunds: str, *, was_sent: bool) -> Flow[None]:
        """On a cluster, give money back, once. If Redis refuses, it stays charged."""
        config, purse = self._config, self._config.purse
        if not self._memory_key or not refunds or purse is None:
            return
        unspend = config.scripts.unspend(
            money_key=purse.key,
            memory_key=self._memory_key,
            now=config.now_arg(),
            refunds=refunds,
            charged_ms=self._charged_ms,
            was_sent=int(was_sent),
        )
        self._memory_key = ""
        with suppress(OTPError):
            yield from run(unspend)

    def _dated(self, bill: Bill, *, privileged: bool) -> MoneyCharge:
        skew_ms = 0 if self._config.purse is None else self._config.purse.skew_ms
        return bill.charge(self._config.host_ms() + skew_ms, privileged=privileged)

    def _spend(self, bill: Bill, *, privileged: bool) -> Flow[Shortage | None]:
        config = self._config
        key = "" if config.purse is None else config.purse.key
        memory_key = f"{key}:{encode_id(new_id())}"  # It lies in the slot of the budgets.
        while True:
            spend = config.scripts.spend(
                money_key=key,
                memory_key=memory_key,
                now=config.now_arg(),
                money=self._dated(bill, privileged=privileged),
            )
            match (yield from run(spend)):
                case Spent() as spent:
                    self._memory_key, self._charged_ms = memory_key, spent.charged_ms
                    yield from self.tell(spent.alerts)
                    return None
                case Undated() as reply:
                    self.misdated(reply)
                case short:
                    return Shortage(short.budget, short.reason, short.wait_ms)

    def _budget(self, place: int) -> Budget:
        if self._bill is None or place > len(self._bill.items):
            raise StoreUnavailableError(*FOREIGN_REPLY)
        return self._bill.budget(place)

    def _event(self, outcome: str, budget: Budget, reason: str) -> Event:
        event = self._report.event("budget", outcome, str(budget), scope="budget")
        return replace(event, reasons=(reason,))


def spending(config: Config) -> Flow[tuple[Spending, ...]]:
    """Return what each budget has spent in its window."""
    purse = config.purse
    if purse is None or not purse.accounts:
        return ()
    names = [account.name for account in purse.accounts]
    ledger = yield from run(config.scripts.spending(money_key=purse.key, now=config.now_arg(), names=names))
    accounts = zip(purse.accounts, ledger.counts, strict=True)
    return tuple(
        _spending(account.budget, counted, account.calendar.bounds(ledger.now_ms), ledger.now_ms)
        for account, counted in accounts
    )


def _spending(budget: Budget, counted: Counted, bounds: tuple[int, ...], now_ms: int) -> Spending:
    _, starts_ms, ends_ms, _ = bounds
    is_current, is_refused = counted.start_ms >= starts_ms, counted.refused_since_ms >= starts_ms
    spent = counted.spent if is_current else 0
    in_hour = counted.in_hour if is_current and counted.hour >= (now_ms - starts_ms) // HOUR_MS else 0
    amount, currency = budget.limit
    left = max(0, amount - spent)
    refused = (counted.amount, counted.keep, counted.refused_hour) if is_refused else (0, 0, 0)
    return Spending(
        budget=budget,
        currency=currency,
        spent=decimal_of(spent),
        left=decimal_of(left),
        open=decimal_of(max(0, budget.open_micros - spent)),
        spent_this_hour=decimal_of(in_hour),
        hour_left=decimal_of(min(left, max(0, budget.hourly_micros - in_hour))),
        starts_at=from_ms(starts_ms),
        ends_at=from_ms(ends_ms),
        refused=dict(zip(("amount", "keep", "hour"), refused, strict=True)),
    )
