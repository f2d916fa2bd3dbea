"""The books of one run: each request has one outcome, and each message is counted in several places."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from otpkit.errors import OTPError
from otpkit.simulator.timeline import DAY_S

Party = Literal["honest", "attacker"]
Kind = Literal["sent", "captcha", "refused", "money", "rejected"]
"""What became of a request: a message was sent, a captcha was asked for, a limit or rule refused, a budget refused, or
the gateway rejected the message."""


class ConservationError(OTPError):
    """The books of a run do not balance: a message was lost, counted twice, or paid for wrongly."""

    code = "conservation"


@dataclass(slots=True)
class Ledger:
    """The counts of one run. The site writes requests, the gateway messages, and the `OTP` its events."""

    requests: Counter[Party] = field(default_factory=Counter)
    outcomes: Counter[tuple[Party, Kind]] = field(default_factory=Counter)
    accepted: int = 0
    uncertain: int = 0
    rejected: int = 0
    paid: Decimal = Decimal(0)
    cost: dict[Party, Decimal] = field(default_factory=lambda: {"honest": Decimal(0), "attacker": Decimal(0)})
    paid_on: dict[int, Decimal] = field(default_factory=dict)  # By the day of the run, from 0.
    events: Counter[str] = field(default_factory=Counter)

    def pay(self, price: Decimal, second: float) -> None:
        """Write down that the gateway was given a message.

        Args:
            price: its price.
            second: when, in seconds since the run began.
        """
        day = int(second // DAY_S)
        self.paid += price
        self.paid_on[day] = self.paid_on.get(day, Decimal(0)) + price

    def check(self, budget: Decimal | None = None) -> None:
        """Check that everything adds up.

        Args:
            budget: what a day may cost, or None.

        Raises:
            ConservationError: it does not. The error names each sum that differs.
        """
        kinds: Counter[str] = Counter()
        for (_, kind), count in self.outcomes.items():
            kinds[kind] += count
        sums = {
            "requests and their outcomes": (sum(self.requests.values()), sum(kinds.values())),
            "messages sent and messages at the gateway": (kinds["sent"], self.accepted + self.uncertain),
            "messages rejected and rejections of the gateway": (kinds["rejected"], self.rejected),
            "messages sent and events of sends": (kinds["sent"], self.events["issued"] + self.events["resent"]),
            "money of the parties and money of the gateway": (sum(self.cost.values()), self.paid),
        }
        wrong = [f"{name}: {first} and {second}" for name, (first, second) in sums.items() if first != second]
        if budget is not None and (most := max(self.paid_on.values(), default=Decimal(0))) > budget:
            wrong.append(f"the budget of a day and what it cost: {budget} and {most}")
        if wrong:
            raise ConservationError(
                f"The books of the run do not balance. {'; '.join(wrong)}.", "This is a bug. Report it with the seed."
            )
