"""Whatever calls do, figures add up: a model keeps a list of every event, and `stats` equals its sum.

Hours are folded into days, days are removed after 400, the clock goes forward and back, and every script is run twice
as after a lost reply. The default run is the same each time. `OTPKIT_MODEL_EXAMPLES=20000` looks further, at random.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.lua_shell import Shell

from otpkit import Challenge, Figures, GatewayRejectedError, Policy, Proof, RateLimitError, WrongCodeError
from otpkit.core.issue import IssueRequest
from otpkit.effects import RunScript
from otpkit.errors import BlockedError, OTPError
from otpkit.gateways import Delivery, Message, Push, Receipts
from otpkit.models import Stats

EXAMPLES = int(os.environ.get("OTPKIT_MODEL_EXAMPLES", "0"))
SETTINGS = settings(
    max_examples=EXAMPLES or 30,
    stateful_step_count=40,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
HOUR, DAY = 3600, 86_400  # seconds
PRICES = {"CN": "0.1 CNY", "outbox:CN": "0.3 CNY", "HK": "0.07 CNY"}
COSTS = {("function", "CN"): 100_000, ("outbox", "CN"): 300_000, ("function", "HK"): 70_000, ("outbox", "HK"): 70_000}
POLICY = Policy(
    regions=["CN", "HK"],
    sends="9/day",
    attempts=3,
    failures="6/day",
    max_consecutive_failures=5,
    device_sends=(),
    device_failures=0,
    device_consecutive=0,
    ip_sends=None,
    ip_failures=None,
)
FIRST, SECOND = "function", "outbox"
REJECTED = {"failed over", "number", "rate_limit"}
"""What becomes of a message that the first gateway does not take. The second one takes only "failed over"."""
CALLS = [set(), set(), {"reserve", "verify", "receive", "add_figures"}, {"settle", "undo"}]
"""The scripts whose first reply is lost."""


class Died(BaseException):
    """The end of a process within a call."""


@dataclass(frozen=True)
class Fact:
    """What happened in an hour since 1970. `gateway` is "" for what concerns none."""

    hour: int
    region: str
    gateway: str
    what: str
    micros: int = 0


@dataclass
class Sent:
    """A message that may have left, and its latest receipt."""

    message: Message
    region: str
    gateway: str
    at: float
    receipt: str = ""


class Counting(RuleBasedStateMachine):
    """The shell under test, and the list of every event."""

    clustered = False

    @initialize(hour=st.integers(0, 23), second=st.sampled_from([0, 1800, 3599]))
    def begin(self, hour: int, second: int) -> None:
        self.shell = Shell(clustered=self.clustered, policy=POLICY, prices=PRICES)
        self.shell.now += hour * HOUR + second
        self.latest = self.shell.now
        self.facts: list[Fact] = []
        self.served: dict[str, str] = {}
        """The gateway of the latest message of each phone's challenge."""
        self.sent: list[Sent] = []
        self.era = 0
        self.outcome = "accepted"
        self.message: Message | None = None
        self.twice: set[str] = set()
        run = self.shell.lua.run

        def run_again(effect: RunScript[object]) -> Any:
            if effect.script.name in self.twice:
                run(effect)  # Its reply is lost.
            return run(effect)

        self.shell.lua.run = run_again  # type: ignore[method-assign]
        for member in self.shell.flows._config.routing.members.values():
            if member.name == SECOND:
                object.__setattr__(member.gateway, "receipts", receipts)
            else:
                object.__setattr__(member.gateway, "function", self.gateway)

    def gateway(self, message: Message) -> str:
        self.message = message
        if self.outcome == "died":
            raise Died
        if self.outcome == "uncertain":
            raise TimeoutError
        if self.outcome in REJECTED:
            category: Any = "account" if self.outcome == "failed over" else self.outcome
            raise GatewayRejectedError("no", category=category)
        return "id"

    def phone(self, number: int, region: str) -> str:
        """Return a number that was not used before the clock was last set back."""
        last = 10 * self.era + number
        return f"+86138{last:08d}" if region == "CN" else f"+8529123{last:04d}"

    def note(self, region: str, gateway: str, what: str, micros: int = 0) -> None:
        self.facts.append(Fact(int(self.shell.now // HOUR), region, gateway, what, micros))

    def result(self, flow: Any) -> Any:
        try:
            return self.shell.drive(flow)
        except OTPError as error:
            return error
        except Died:
            return None
        finally:
            self.twice = set()

    def refused(self, region: str, result: Any) -> bool:
        """Note a refusal by a limit or a block; return False for any other result."""
        if isinstance(result, RateLimitError) and result.scope != "gateway":
            self.note(region, "", f"limited {result.scope}")
        elif isinstance(result, BlockedError):
            self.note(region, "", "limited blocked")
        else:
            return False
        return True

    @rule(
        number=st.integers(0, 1),
        region=st.sampled_from(["CN", "CN", "HK"]),
        outcome=st.sampled_from(["accepted"] * 4 + ["failed over", "uncertain", "number", "rate_limit", "died"]),
        twice=st.sampled_from(CALLS),
    )
    def issue(self, number: int, region: str, outcome: str, twice: set[str]) -> None:
        self.wait(0.01)  # Of two messages of one millisecond, none is the latest.
        phone = self.phone(number, region)
        self.outcome, self.twice = outcome, twice
        self.message = None
        result = self.result(self.shell.flows.issue(IssueRequest(phone, "signup", "", None, None, None, "sms", None)))
        if self.refused(region, result):
            return
        message = self.message
        if message is not None and outcome in REJECTED:
            self.note(region, FIRST, "rejected")
        if message is not None and outcome == "died":
            self.served[phone] = ""
            self.sent.append(Sent(message, region, "", self.shell.now))
        elif isinstance(result, Challenge):  # The second gateway serves if the first one failed, now or often before.
            is_first = result.gateway == FIRST
            self.note(region, result.gateway, outcome if is_first else "accepted", COSTS[result.gateway, region])
            self.served[phone] = result.gateway
            its_own = message if is_first and message is not None else self.second[-1]
            self.sent.append(Sent(its_own, region, result.gateway, self.shell.now))
        else:
            assert isinstance(result, GatewayRejectedError | RateLimitError), result
            if outcome == "rate_limit":
                self.note(region, "", "limited gateway")

    @property
    def second(self) -> Any:
        return self.shell.flows._config.routing.members[SECOND].gateway

    @rule(
        number=st.integers(0, 1),
        region=st.sampled_from(["CN", "CN", "HK"]),
        is_right=st.booleans(),
        before=st.sampled_from(["", "", "number", "died"]),
        twice=st.sampled_from(CALLS),
    )
    def verify(self, number: int, region: str, is_right: bool, before: str, twice: set[str]) -> None:
        """Type a code, perhaps after another message that failed."""
        if before:
            self.issue(number, region, before, set())
        phone = self.phone(number, region)
        code = next((each.message.code for each in reversed(self.sent) if each.message.phone == phone), "000000")
        if not is_right:
            code = f"{(int(code) + 1) % 10**6:06d}"
        self.twice = twice
        result = self.result(self.shell.flows.verify(phone, code, "signup", "", None, None))
        if self.refused(region, result):
            return
        if isinstance(result, Proof | WrongCodeError):
            what = "verified" if isinstance(result, Proof) else "wrong_codes"
            self.note(region, self.served[phone], what)

    @rule(
        place=st.integers(0, 1),
        state=st.sampled_from(["delivered", "delivered", "failed"]),
        twice=st.sampled_from(CALLS),
    )
    def receive(self, place: int, state: str, twice: set[str]) -> None:
        """A receipt of one of the latest messages, perhaps repeated, or after one that says something else."""
        if place >= len(self.sent):
            return
        sent = self.sent[-1 - place]
        self.twice = twice
        is_lost = self.clustered and "receive" in twice  # There, its caller counts, and does not know that it is news.
        push = Push("https://site.example/", {}, f"{state} {sent.message.send_id} {sent.message.phone}".encode())
        before = self.figures(1).total
        self.result(self.shell.flows.receive(push, SECOND))
        after = self.figures(1).total
        # Another gateway's failure says nothing about the one that served, and a delivered message stays delivered.
        may_be = sent.receipt not in {"delivered", state} and (sent.gateway in {"", SECOND} or state == "delivered")
        if (after.delivered, after.failed) != (before.delivered, before.failed):
            assert may_be
            sent.receipt = state
            self.note(sent.region, SECOND, state)
        elif is_lost:
            sent.receipt = state if may_be else sent.receipt
        else:  # The record of a message is kept for a day.
            assert not (may_be and 0 <= self.shell.now - sent.at < DAY)

    @rule(seconds=st.sampled_from([1.0, 61.0, 600.0, 1800.0, HOUR, HOUR, 5 * HOUR, DAY, 200 * DAY]))
    def wait(self, seconds: float) -> None:
        self.shell.now += seconds
        self.latest = max(self.latest, self.shell.now)

    @precondition(lambda self: self.facts)
    @rule(place=st.integers(0, 5), days=st.sampled_from([35, 35, 400]), hours=st.integers(-1, 1))
    def outlast(self, place: int, days: int, hours: int) -> None:
        """Wait until an event is as old as hours or days are kept, then count another one."""
        then = (self.facts[place % len(self.facts)].hour + hours) * HOUR + days * DAY
        if then >= self.latest:
            self.wait(then - self.shell.now)
            self.issue(0, "CN", "accepted", set())
            for span in (840, 9600):
                self.read(span)

    @precondition(lambda self: self.facts)
    @rule(seconds=st.sampled_from([1.0, HOUR / 2, HOUR, 3 * HOUR]))
    def set_back(self, seconds: float) -> None:
        """Set the clock back, as after a failover to a server whose clock is slower, and count another event."""
        self.shell.now -= seconds
        self.era += 1
        self.issue(0, "CN", "accepted", set())

    def figures(self, hours: int) -> Stats:
        found: Stats = self.shell.drive(self.shell.flows.stats(hours))
        return found

    def read(self, hours: int) -> None:
        """Figures are the sum of the events: in total, by region, by gateway and by span."""
        if hours > 24 and self.shell.now < self.latest:
            return  # The oldest hours and days went while the clock was ahead.
        found = self.figures(hours)
        step = 24 if hours > 840 else 1
        now = int(self.shell.now // HOUR)
        facts = [each for each in self.facts if (now - hours + 1) // step * step <= each.hour <= now]
        assert summed(found.total) == sums(facts)
        regions, gateways, spans = group(facts, "region"), group(facts, "gateway"), group(facts, "hour", step)
        gateways.pop("", None)
        assert {name: summed(each) for name, each in found.regions.items()} == regions
        assert {name: summed(each) for name, each in found.gateways.items()} == gateways
        own = {int(at.timestamp()) // HOUR: summed(each) for at, each in found.spans if each != Figures()}
        assert own == spans

    @invariant()
    def nothing_is_lost(self) -> None:
        if hasattr(self, "facts"):
            self.read(24)

    def teardown(self) -> None:
        if hasattr(self, "facts"):
            for hours in (1, 840, 9600):
                self.read(hours)

    @invariant()
    def memory_is_bounded(self) -> None:
        """Nothing is left of what is folded or removed."""
        if not hasattr(self, "facts"):
            return
        fields = self.shell.lua.data.get(b"t:{stats}:s", {})
        kept = [name for name in fields if name[:1] in b"hd" and name[1:].isdigit()]
        assert len(kept) <= len({each.hour for each in self.facts})
        assert len(fields) - len(kept) <= 3 + len(self.facts)


def receipts(push: Push) -> Receipts:
    state, send_id, phone = push.body.decode().split(" ")
    return Receipts((Delivery(state=state, phone=phone, send_id=send_id),))  # type: ignore[arg-type]


def group(facts: Iterable[Fact], by: str, step: int = 0) -> dict[Any, tuple[Counter[str], int]]:
    """Return the sums of facts by one of their fields, or by the start of their span of `step` hours."""
    groups: dict[Any, list[Fact]] = defaultdict(list)
    for each in facts:
        value = getattr(each, by)
        groups[value // step * step if step else value].append(each)
    return {value: sums(each) for value, each in groups.items()}


def sums(facts: Iterable[Fact]) -> tuple[Counter[str], int]:
    """Return how often each thing happened, and what it cost."""
    counts: Counter[str] = Counter()
    micros = 0
    for each in facts:
        micros += each.micros
        if each.what in {"accepted", "uncertain"}:
            counts["sent"] += 1
        if each.what != "accepted":
            counts[each.what] += 1
    return counts, micros


def summed(figures: Figures) -> tuple[Counter[str], int]:
    """Return the same of figures."""
    names = ("sent", "uncertain", "rejected", "delivered", "failed", "verified", "wrong_codes")
    counts = Counter({name: getattr(figures, name) for name in names if getattr(figures, name)})
    counts += Counter({f"limited {scope}": count for scope, count in figures.limited.items()})
    assert not figures.guard
    return counts, int(figures.cost * Decimal(10**6))


@pytest.mark.parametrize("clustered", [False, True], ids=["one server", "cluster"])
def test_figures_add_up(clustered: bool) -> None:
    machine = type("Machine", (Counting,), {"clustered": clustered})
    run_state_machine_as_test(machine, settings=SETTINGS)
