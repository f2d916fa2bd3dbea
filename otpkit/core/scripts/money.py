"""The typed faces of spend.lua, unspend.lua and spending.lua: budgets, in one hash of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from otpkit.core.scripts.parse import EMPTY, LATEST_MS, ListScript, Raw, by_word, count_of, numbers_of, text_of, unfit
from otpkit.effects import RunScript, Script
from otpkit.guard.budgets import BudgetReason

_REASONS: Mapping[str | bytes, BudgetReason] = by_word({"amount": "amount", "keep": "keep", "hour": "hour"})
_LATEST_START_MS = 250_000_000_000_000  # In the year 9892: a calendar can compute the windows around it.
_COUNTS = 8


def charge_of(name: str, amounts: Iterable[int], starts: Iterable[int], alerts: str) -> str:
    """Return what a message costs one budget, in the columns of charge.lua.

    Args:
        name: the budget's name, 11 characters.
        amounts: in millionths, what the message costs, the whole amount, its open part, and what an hour may cost.
        starts: four starts of windows, in milliseconds.
        alerts: the alerts as share:amount, or a hyphen.
    """
    return f"{name}{''.join([f'{number:015d}' for number in (*amounts, *starts)])}{alerts};"


class MoneyCharge:
    """What a message costs its budgets: their lines by `charge_of`, joined. Many messages share one.

    `privileged` is True for a message that may spend the share that a budget keeps.
    """

    __slots__ = ("_text",)

    def __init__(self, budgets: str, *, privileged: bool) -> None:
        self._text = f"{privileged:d}{budgets}"

    def __str__(self) -> str:
        return self._text


class Shortage(NamedTuple):
    """A budget that can't afford a message: its place among the budgets of the message, the reason, and the wait."""

    budget: int
    reason: BudgetReason
    wait_ms: int

    def __str__(self) -> str:
        return f"{self.budget} {self.reason} {self.wait_ms}"


def reason_of(value: Raw) -> BudgetReason:
    """Return the reason of a refusal."""
    return _REASONS[value]


def alerts_of(value: Raw) -> bytes:
    """Return the bits of the alerts that a charge has reached, a byte for each budget; b"" if there are none."""
    return b"" if value in EMPTY else bytes.fromhex(text_of(value))


def start_of(now_ms: Raw) -> int:
    """Return the time of a reply if windows around it can be computed."""
    if type(now_ms) is not int or not 0 <= now_ms <= _LATEST_START_MS:
        raise unfit()
    return now_ms


class Spent(NamedTuple):
    """The reply if the message was charged, with the alerts that are reached now."""

    charged_ms: int
    alerts: bytes


class Short(NamedTuple):
    """The reply if a budget can't afford the message."""

    now_ms: int
    budget: int
    reason: BudgetReason
    wait_ms: int


class Undated(NamedTuple):
    """The reply if the bounds of the windows don't contain the server's time."""

    now_ms: int


SpendReply: TypeAlias = Spent | Short | Undated


class Spend(ListScript[SpendReply]):
    """The face of spend.lua."""

    __slots__ = ()

    lists = (Spent, Short, Undated)

    def __call__(self, *, money_key: str, memory_key: str, now: int | str, money: MoneyCharge) -> RunScript[SpendReply]:
        """MoneyCharge a message to its budgets."""
        return RunScript(self, (money_key, memory_key), (now, str(money)))

    def read(self, reply: Raw, args: Raw) -> SpendReply:
        """Return `Spent`, `Short` or `Undated`."""
        if type(reply) is not list:
            raise unfit()
        now_ms = start_of(reply[0])
        if len(reply) == 1:
            return Undated(now_ms)
        if len(reply) == 2:
            return Spent(now_ms, alerts_of(reply[1]))
        _, place, reason, wait_ms = reply
        return Short(now_ms, *shortage_of(place, reason, wait_ms))


def shortage_of(place: Raw, reason: Raw, wait_ms: Raw) -> Shortage:
    """Return the budget that refused, from a reply."""
    if type(place + wait_ms) is not int or not 1 <= place <= LATEST_MS or not 1 <= wait_ms <= LATEST_MS:
        raise unfit()
    return Shortage(place, reason_of(reason), wait_ms)


class Unspend(Script[bool]):
    """The face of unspend.lua. Its reply is True."""

    __slots__ = ()

    def __call__(
        self, *, money_key: str, memory_key: str, now: int | str, refunds: str, charged_ms: int, was_sent: int
    ) -> RunScript[bool]:
        """Give back `refunds` of what was charged at `charged_ms`. `was_sent` is 1 if the message was sent, else 0."""
        return RunScript(self, (money_key, memory_key), (now, refunds, charged_ms, was_sent))

    def read(self, reply: Raw, args: Raw) -> bool:
        """Return True."""
        return count_of(reply, 1) == 1


class Counted(NamedTuple):
    """What one budget has counted: its window's start, spent, its latest hour and what that has spent, and refusals."""

    start_ms: int
    spent: int
    hour: int
    in_hour: int
    refused_since_ms: int
    amount: int
    keep: int
    refused_hour: int


class Ledger(NamedTuple):
    """The time, and `Counted` for each budget."""

    now_ms: int
    counts: tuple[Counted, ...]


class SpendingOf(ListScript[Ledger]):
    """The face of spending.lua."""

    __slots__ = ()

    lists = (Ledger,)

    def __call__(self, *, money_key: str, now: int | str, names: Sequence[str]) -> RunScript[Ledger]:
        """Read what budgets have spent."""
        return RunScript(self, (money_key,), (now, *names))

    def read(self, reply: Raw, args: Raw) -> Ledger:
        """Return the ledger."""
        now_ms, *counts = numbers_of(reply, 1 + _COUNTS * (len(args) - 1))
        found = [Counted(*counts[i : i + _COUNTS]) for i in range(0, len(counts), _COUNTS)]
        return Ledger(start_of(now_ms), tuple(found))
