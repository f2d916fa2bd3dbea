"""What runs are made with: one scenario, the default list, and the grid."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from otpkit.simulator.attacks import ATTACKS, Attack
from otpkit.simulator.rules import BUDGET, GUARD, RULES, Mode, Rule

DEFAULT_SEED: Final = 1
BOT_PASS: Final = (0.01, 0.03, 1.0)
HONEST_PER_DAY: Final = (1_000, 20_000)
CONVERSION: Final = (0.70, 0.85, 0.95)
USUAL_CONVERSION: Final = 0.85
BUDGETED: Final = ("none", "burst-scattered-proxies", "buyer-proxies")  # Where a budget is shown, in all runs.
OBSERVED: Final = ("none", "burst-scattered-proxies")  # The attacks of the default run that `observe` is shown in.


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What one run is made with. Equal scenarios have equal figures.

    Args:
        attack: the name of the attack.
        rule: the name of the rule.
        mode: the mode of the rule.
        start: the time at which the attack begins, `HH:MM`.
        honest_per_day: the honest people of a day.
        conversion: the share of messages to honest people that is verified.
        bot_pass: the share of captchas that bots pass.
        seed: the seed.
    """

    attack: str
    rule: str
    mode: Mode
    start: str
    honest_per_day: int = 1_000
    conversion: float = 0.85
    bot_pass: float = 0.01
    seed: int = DEFAULT_SEED

    @property
    def start_s(self) -> int:
        """The start in seconds of the day."""
        hours, _, minutes = self.start.partition(":")
        return int(hours) * 3600 + int(minutes) * 60


def default_scenarios(
    seed: int = DEFAULT_SEED,
    *,
    only: Collection[str] = (),
    honest_per_day: int = HONEST_PER_DAY[0],
    conversion: float = USUAL_CONVERSION,
) -> Iterator[Scenario]:
    """Give the scenarios of the default run: each usual attack on one site, under each rule that enforces.

    Ours is shown in observe too, on a day without an attack and in a burst.

    Args:
        seed: the seed.
        only: the names of attacks to give alone, usual or not; empty gives all usual ones.
        honest_per_day: the honest people of a day.
        conversion: the share of their messages that is verified.
    """
    for attack in ATTACKS.values():
        if attack.name not in only if only else not attack.usual:
            continue
        for start in attack.starts:
            for rule in _rules_for(attack):
                for mode in rule.modes:
                    if mode != "observe" or attack.name in OBSERVED:
                        yield Scenario(
                            attack=attack.name,
                            rule=rule.name,
                            mode=mode,
                            start=start,
                            honest_per_day=honest_per_day,
                            conversion=conversion,
                            seed=seed,
                        )


def grid_scenarios(seed: int = DEFAULT_SEED, *, only: Collection[str] = ()) -> Iterator[Scenario]:
    """Give all scenarios: every attack, under every rule, by size and conversion.

    Bots that pass more captchas are tried with our rule alone, as the others ask for none, and at 85 %.

    Args:
        seed: the seed.
        only: the names of attacks to give alone; empty gives all.
    """
    for honest_per_day in HONEST_PER_DAY:
        for conversion in CONVERSION:
            for attack in ATTACKS.values():
                if honest_per_day > attack.largest or (only and attack.name not in only):
                    continue
                for start in attack.starts:
                    for rule in _rules_for(attack):
                        for mode in rule.modes:
                            varies = mode != "observe" and rule.name == GUARD and attack.campaign is not None
                            for bot_pass in BOT_PASS if varies and conversion == USUAL_CONVERSION else BOT_PASS[:1]:
                                yield Scenario(
                                    attack=attack.name,
                                    rule=rule.name,
                                    mode=mode,
                                    start=start,
                                    honest_per_day=honest_per_day,
                                    conversion=conversion,
                                    bot_pass=bot_pass,
                                    seed=seed,
                                )


def _rules_for(attack: Attack) -> list[Rule]:
    return [rule for rule in RULES.values() if rule.name != BUDGET or attack.name in BUDGETED]
