"""Whatever messages do, money adds up: a model keeps every message, and budgets say what it says.

What was reserved is spent or given back, never more than the amount, on one server and on a cluster, with every script
run twice as after a lost reply. The default run is the same each time. `OTPKIT_MODEL_EXAMPLES=20000` looks further, at
random.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from support.lua_shell import Shell

from otpkit import Budget, Challenge, Event, GatewayRejectedError, Policy, RateLimitError
from otpkit.core.issue import IssueRequest
from otpkit.effects import RunScript
from otpkit.errors import OTPError
from otpkit.gateways import Message
from otpkit.guard.budgets import HOUR_MS, Calendar

EXAMPLES = int(os.environ.get("OTPKIT_MODEL_EXAMPLES", "0"))
SETTINGS = settings(
    max_examples=EXAMPLES or 40,
    stateful_step_count=30,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
START = datetime(2026, 3, 28, 12, tzinfo=UTC).timestamp()  # The day before Berlin's clocks go forward.
FIRST, SECOND = 100_000, 300_000  # The prices of the two gateways, in millionths.
PRICES = {"CN": "0.1 CNY", "outbox:CN": "0.3 CNY"}
BUDGETS = (
    Budget("2.5 CNY/day", timezone="Europe/Berlin", alerts=(0.25, 0.5, 1), hourly=0.5),
    Budget("9.7 CNY/month", keep=0, alerts=(0.9,)),
    Budget("1.3 CNY/day", gateway="outbox", timezone="Asia/Shanghai"),
    Budget("1.1 CNY/day", key="shop", keep=0.5, hourly=0.1),
)
OUTCOMES = {
    "accepted": FIRST,
    "failed over": SECOND,
    "uncertain": FIRST,
    "rejected": 0,
    "died": SECOND,
}
"""What a message costs by what becomes of it. After a crash, the dearest stays charged."""


class Died(BaseException):
    """The end of a process within a call."""


@dataclass
class Entry:
    """A message that a budget was charged for: when it was reserved, and what it costs, in millionths."""

    at_ms: int
    cost: int


class Money(RuleBasedStateMachine):
    """The shell under test, and the list of every message."""

    clustered = False

    @initialize()
    def begin(self) -> None:
        self.events: list[Event] = []
        self.shell = Shell(
            clustered=self.clustered, policy=Policy(), budgets=BUDGETS, prices=PRICES, on_event=self.events.append
        )
        self.shell.now = START
        self.entries: list[list[Entry]] = [[] for _ in BUDGETS]
        self.alerted: list[dict[int, float]] = [{} for _ in BUDGETS]
        self.calendars = [Calendar(each.unit, each.timezone) for each in BUDGETS]
        self.phones = 0
        self.outcome = "accepted"
        self.twice: set[str] = set()
        run = self.shell.lua.run

        def run_again(effect: RunScript[object]) -> Any:
            if effect.script.name in self.twice:
                run(effect)  # Its reply is lost.
            return run(effect)

        self.shell.lua.run = run_again  # type: ignore[method-assign]
        self.shell._gateway = self.gateway  # type: ignore[method-assign]
        first = self.shell.flows._config.routing.members["function"]
        object.__setattr__(first.gateway, "function", self.gateway)

    def gateway(self, message: Message) -> str:
        if self.outcome == "died":
            raise Died
        if self.outcome == "uncertain":
            raise TimeoutError
        if self.outcome in {"failed over", "rejected"}:
            category = "number" if self.outcome == "rejected" else "account"
            raise GatewayRejectedError("no", category=category)  # type: ignore[arg-type]
        return "id"

    def now_ms(self) -> int:
        return int(self.shell.now * 1000)

    def window(self, place: int) -> tuple[int, int]:
        bounds = self.calendars[place].bounds(self.now_ms())
        return bounds[1], bounds[2]

    def in_window(self, place: int) -> int:
        start, ends = self.window(place)
        return sum(each.cost for each in self.entries[place] if start <= each.at_ms < ends)

    def in_hour(self, place: int) -> int:
        start, _ = self.window(place)
        began = self.now_ms() - (self.now_ms() - start) % HOUR_MS
        return sum(each.cost for each in self.entries[place] if each.at_ms >= began)

    def refusals(self, places: list[int], *, privileged: bool) -> dict[int, str]:
        """Return the budgets that can't afford a message, with the reason."""
        found = {}
        for place in places:
            budget, spent = BUDGETS[place], self.in_window(place) + SECOND
            if spent > (budget.limit.micros if privileged else budget.open_micros):
                found[place] = "amount" if spent > budget.limit.micros else "keep"
            elif self.in_hour(place) and self.in_hour(place) + SECOND > budget.hourly_micros:
                found[place] = "hour"
        return found

    @rule(
        outcome=st.sampled_from(["accepted"] * 3 + list(OUTCOMES)),
        key=st.sampled_from([None, "shop", "till"]),
        privileged=st.sampled_from([False, False, True]),
        twice=st.sampled_from([set(), set(), {"reserve", "spend"}, {"settle", "undo", "unspend"}]),
    )
    def issue(self, outcome: str, key: str | None, privileged: bool, twice: set[str]) -> None:
        """Send a message to a fresh phone, and compare what happens with the model."""
        self.phones += 1
        self.outcome, self.twice = outcome, twice
        places = [place for place, each in enumerate(BUDGETS) if each.key in (None, key)]
        expected = self.refusals(places, privileged=privileged)
        phone = f"+86138{self.phones:08d}"
        request = IssueRequest(phone, "signup", "", None, None, None, "sms", None, known=privileged, budget_key=key)
        before = len(self.events)
        try:
            result: Any = self.shell.drive(self.shell.flows.issue(request))
        except OTPError as error:
            result = error
        except Died:
            result = None
        finally:
            self.twice = set()
        told = [each for each in self.events[before:] if each.name == "budget"]
        if expected:
            assert isinstance(result, RateLimitError)
            assert result.scope == "budget"
            (event,) = told
            refusing = [place for place in expected if str(BUDGETS[place]) == event.detail]
            assert [expected[place] for place in refusing] == [event.reasons[0]]
            return
        kind = {"rejected": GatewayRejectedError, "died": type(None)}.get(outcome, Challenge)
        assert isinstance(result, kind)
        self.check_alerts(places, told)
        for place in places:
            cost = OUTCOMES[outcome]
            if BUDGETS[place].gateway == "outbox":
                cost = SECOND if outcome in {"failed over", "died"} else 0
            self.entries[place].append(Entry(self.now_ms(), cost))

    def check_alerts(self, places: list[int], told: list[Event]) -> None:
        """An alert comes when what is reserved reaches it for the first time in its window."""
        due = []
        for place in places:
            start, _ = self.window(place)
            highest = self.alerted[place].get(start, 0.0)
            reserved = self.in_window(place) + SECOND
            reached = [a for a in BUDGETS[place].alerts if a > highest and reserved >= a * BUDGETS[place].limit.micros]
            due += [(str(BUDGETS[place]), f"{share:g}") for share in reached]
            self.alerted[place][start] = max([highest, *reached])
        assert [(each.detail, each.reasons[0]) for each in told] == due
        assert {each.outcome for each in told} <= {"alert"}

    @rule(seconds=st.sampled_from([0.001, 1.0, 600.0, 1800.0, 3600.0, 7200.0, 40_000.0, 86_400.0, 2_000_000.0]))
    def wait(self, seconds: float) -> None:
        self.shell.now += seconds

    @invariant()
    def money_adds_up(self) -> None:
        """What budgets have spent is what messages cost, and never more than the amount."""
        if not hasattr(self, "entries"):
            return
        for place, found in enumerate(self.shell.drive(self.shell.flows.spending())):
            start, ends = self.window(place)
            assert (found.starts_at.timestamp() * 1000, found.ends_at.timestamp() * 1000) == (start, ends)
            assert found.spent * 10**6 == self.in_window(place)
            assert (found.spent + found.left) * 10**6 == BUDGETS[place].limit.micros
            assert found.spent_this_hour * 10**6 == self.in_hour(place)
        for key, value in self.shell.lua.data.items():
            assert not key.endswith(b":m") or max(map(len, [*value, *value.values()])) <= 64


@pytest.mark.parametrize("clustered", [False, True], ids=["one server", "cluster"])
def test_money_adds_up(clustered: bool) -> None:
    machine = type("Machine", (Money,), {"clustered": clustered})
    run_state_machine_as_test(machine, settings=SETTINGS)
