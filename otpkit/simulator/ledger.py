"""The books of one run: each request has one outcome, and each message is counted in several places."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from otpkit.errors import OTPError

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
    events: Counter[str] = field(default_factory=Counter)

    def check(self) -> None:
        """Check that everything adds up.

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
        if wrong:
            raise ConservationError(
                f"The books of the run do not balance. {'; '.join(wrong)}.", "This is a bug. Report it with the seed."
            )
