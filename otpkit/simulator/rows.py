"""The result of a run, as one row."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from otpkit.simulator.attackers import Haul
from otpkit.simulator.deployment import PROOF_OF_WORK, Deployment
from otpkit.simulator.people import Tally
from otpkit.simulator.scenarios import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The figures of one run. Shares are fractions of the honest people.

    Attributes:
        attack: the name of the attack.
        rule: the name of the rule.
        mode: the mode of the rule.
        start: when the attack began, `HH:MM` UTC.
        honest_per_day: the honest people of an ordinary day.
        conversion: the share of messages to honest people that is verified.
        bot_pass: the share of captchas that bots pass.
        attempted: the messages that the attacker wanted.
        sent: the messages that the attacker got.
        honest: the honest people who came.
        honest_refused: the share of them who got no code in three tries, because of a rule or a limit.
        honest_captcha: the share of them who were asked for a captcha.
        refused_by_money: the share of them who got no code because of a budget.
        cost: the price of the attacker's messages.
        expected_guesses: the expected number of accounts that the attacker opens by guessing at its own challenges.
        captchas_solved: the captchas that the bots passed.
        solving_cost: what passing them cost the attacker, if every captcha is passed, as a proof of work is: a second
            of a rented processor for each. None for captchas that bots rarely pass, as their price is not known.
        honest_sent: the messages that honest people got.
        minutes_until_answered: from the attack's beginning to its first request without a message; None if there is
            none.
        bytes: what the run's keys used in the store at its end; None for the embedded store.
        seed: the seed.
    """

    attack: str
    rule: str
    mode: str
    start: str
    honest_per_day: int
    conversion: float
    bot_pass: float
    attempted: int
    sent: int
    honest: int
    honest_refused: float
    honest_captcha: float
    refused_by_money: float
    cost: float
    expected_guesses: float
    captchas_solved: int
    solving_cost: float | None
    honest_sent: int
    minutes_until_answered: float | None
    bytes: int | None
    seed: int

    @classmethod
    def of(cls, scenario: Scenario, tally: Tally, haul: Haul, deployment: Deployment, used: int | None) -> Row:
        """Return the row of a run.

        Args:
            scenario: what was run.
            tally: what happened to the people.
            haul: what the attacker got.
            deployment: the settings.
            used: the bytes in the store.
        """
        people = max(1, tally.people)
        stop = haul.first_stop
        return cls(
            **asdict(scenario),
            attempted=haul.attempted,
            sent=haul.sent,
            honest=tally.people,
            honest_refused=round(tally.refused / people, 6),
            honest_captcha=round(tally.captcha / people, 6),
            refused_by_money=round(tally.by_money / people, 6),
            cost=float(haul.sent * deployment.price),
            expected_guesses=haul.guesses / 10**deployment.policy.code_length,
            captchas_solved=haul.solved,
            solving_cost=float(haul.solved * PROOF_OF_WORK) if scenario.bot_pass == 1.0 else None,
            honest_sent=tally.sent,
            minutes_until_answered=None if stop is None else round(stop / 60, 1),
            bytes=used,
        )

    def as_json(self) -> dict[str, object]:
        """Return the row as an object of `--json`."""
        return asdict(self)
