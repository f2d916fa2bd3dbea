"""One run: one scenario under one rule, from an empty store to its row; and many runs in several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import wait
from random import Random
from typing import Literal
from uuid import uuid4

from otpkit import Budget
from otpkit.errors import OTPError
from otpkit.simulator.attackers import VICTIM, Attacker, Haul, victim
from otpkit.simulator.attacks import ATTACKS, DOWN_S, FALLEN, RUSH
from otpkit.simulator.captcha import SimulatedCaptcha
from otpkit.simulator.deployment import CURRENCY, Deployment
from otpkit.simulator.people import OWNER_HOURS, Crowd, Habits, Tally
from otpkit.simulator.rows import Row
from otpkit.simulator.rules import BUDGET, RULES
from otpkit.simulator.scenarios import Scenario
from otpkit.simulator.site import Site
from otpkit.simulator.stores import measure_and_clear
from otpkit.simulator.timeline import DAY_S, Timeline
from otpkit.simulator.traces import Trace


def run(scenario: Scenario, url: str, deployment: Deployment, log: Trace | None = None) -> Row:
    """Run a scenario and return its row.

    Args:
        scenario: the scenario.
        url: the URL of the store.
        deployment: the settings.
        log: a log in place of the simulated people, or None. The attack is on its last day.

    Raises:
        ConservationError: the books of the run do not balance.
    """
    namespace = f"otpkit-simulator-{uuid4().hex[:12]}"
    rule = RULES[scenario.rule]
    options = {"policy": deployment.policy, **deployment.options}
    if rule.decider is None:
        options["guard"] = replace(
            deployment.guard, mode=scenario.mode, captcha=SimulatedCaptcha(), fallback="refuse", risk=None
        )
    amount = None
    if rule.name == BUDGET and not deployment.options.get("budgets"):
        amount = 2 * scenario.honest_per_day * deployment.price
        options |= {
            "budgets": [Budget(f"{amount} {CURRENCY}/day")],
            "prices": {"*": f"{deployment.price} {CURRENCY}"},
        }
    decider = None if rule.decider is None else rule.decider(scenario.honest_per_day * scenario.conversion)
    site = Site(
        url,
        namespace,
        Timeline(),
        decider=decider,
        price=deployment.price,
        options=options,
    )
    try:
        days = _Days(scenario, site, log)
        site.timeline.run()
        site.ledger.check(amount)
    except BaseException:
        with suppress(OTPError):  # The run's own error is reported.
            measure_and_clear(url, namespace)
        raise
    finally:
        site.close()
    used = measure_and_clear(url, namespace)
    return Row.of(scenario, days.tally, days.haul, deployment, used)


class _Days:
    """The people and the attackers of a run. `tally` and `haul` are those of its last day."""

    def __init__(self, scenario: Scenario, site: Site, log: Trace | None) -> None:
        self.tally, self.haul = Tally(), Haul()
        self._scenario = scenario
        self._site = site
        self._attack = attack = ATTACKS[scenario.attack]
        self._seed = f"{scenario.seed}/{scenario.honest_per_day}/{scenario.conversion}"
        last = attack.days - 1 if log is None else log.days - 1
        for day in range(last):
            if log is None:
                crowd = self._crowd(day, Tally())
                crowd.gather(site.timeline, scenario.honest_per_day)
                self._return(crowd)
            if attack.every_day:
                self._begin(day, Haul())
        crowd = self._crowd(last, self.tally)
        if log is None:
            crowd.gather(site.timeline, scenario.honest_per_day)
        else:
            crowd.replay(site.timeline, log)
        self._trouble(crowd, last)
        self._begin(last, self.haul)

    def _crowd(self, day: int, tally: Tally) -> Crowd:
        scenario = self._scenario
        falls = self._attack.trouble == "conversion-falls"
        habits = Habits(
            conversion=scenario.conversion,
            fallen=min(FALLEN, scenario.conversion) if falls else None,
            falls_at=day * DAY_S + scenario.start_s,
        )
        return Crowd(self._site, tally, habits, self._seed, day)

    def _trouble(self, crowd: Crowd, day: int) -> None:
        scenario, attack, timeline = self._scenario, self._attack, self._site.timeline
        self._return(crowd)
        if attack.trouble == "flash-crowd":
            crowd.rush(timeline, round(RUSH * scenario.honest_per_day), scenario.start_s)
        if attack.trouble == "gateway-down" or attack.trouble == "gateway-rejects":
            state: Literal["silent", "refusing"] = "silent" if attack.trouble == "gateway-down" else "refusing"
            timeline.start(_outage(self._site, state), day * DAY_S + scenario.start_s)

    def _return(self, crowd: Crowd) -> None:
        """Let the owner of the attacked phone come, if one phone is attacked."""
        attack = self._attack
        if attack.campaign is not None and attack.campaign.target is victim:
            crowd.return_to(self._site.timeline, VICTIM, OWNER_HOURS, keeps_device=attack.device)

    def _begin(self, day: int, haul: Haul) -> None:
        scenario, attack = self._scenario, self._attack
        if attack.campaign is None:
            return
        random = Random(f"{self._seed}/{scenario.attack}/{scenario.start}/{scenario.bot_pass}/{day}")
        attacker = Attacker(self._site, haul, random, source=attack.source, bot_pass=scenario.bot_pass)
        self._site.timeline.start(attack.campaign.run(attacker), day * DAY_S + scenario.start_s)


def _outage(site: Site, state: Literal["silent", "refusing"]) -> Iterator[float]:
    site.gateway.state = state
    yield float(DOWN_S)
    site.gateway.state = "up"


def run_all(
    scenarios: Sequence[Scenario],
    url: str,
    deployment: Deployment,
    *,
    log: Trace | None = None,
    processes: int | None = None,
    on_row: Callable[[Row], object] = lambda _: None,
) -> list[Row]:
    """Run scenarios in several processes. Return their rows in the order of the scenarios.

    Args:
        scenarios: what to run.
        url: the URL of the store.
        deployment: the settings.
        log: a log in place of the simulated people, or None.
        processes: how many processes; None is one for each processor.
        on_row: is called with each row as soon as it is there.

    Raises:
        ConservationError: the books of a run do not balance.
    """
    count = min(len(scenarios), processes or _processors())
    if count < 2:
        rows = []
        for scenario in scenarios:
            rows.append(run(scenario, url, deployment, log))
            on_row(rows[-1])
        return rows
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context, initializer=_end_with_parent) as pool:
        try:
            found = []
            jobs = [pool.submit(run, scenario, url, deployment, log) for scenario in scenarios]
            for job in jobs:
                found.append(job.result())
                on_row(found[-1])
            return found
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _end_with_parent() -> None:
    """End this process when the one that started it ends, however that happens."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_wait_for, args=(parent.sentinel,), daemon=True).start()


def _wait_for(sentinel: int) -> None:
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
