"""Figures under faults and races: they never fail a call, never exceed the truth, and stay small for ever."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from support.lua_shell import FIGURES, Fault, Shell
from support.rig import HOUR, PHONE, Rig, outcome, together, whole, wrong

from otpkit import ConfigurationError, Figures, Policy, RegionError, StoreUnavailableError
from otpkit.core.issue import IssueRequest
from otpkit.errors import OTPError
from otpkit.gateways import Delivery, Push, Receipts
from otpkit.store.sync import SyncStore
from otpkit.testing import MovableClock, Outbox

THREADS, ROUNDS = 8, 12
POLICY = Policy(sends="2/day", attempts=2)


class Calls:
    """The calls of two hours and a bit: sends, a failover, a rejection, right and wrong codes, refusals."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell

    def result(self, flow: Any) -> str:
        try:
            return type(self.shell.drive(flow)).__name__
        except OTPError as error:
            return type(error).__name__

    def issue(self, number: int) -> str:
        request = IssueRequest(f"+86138{number:08d}", "signup", "", None, None, None, "sms", None)
        return self.result(self.shell.flows.issue(request))

    def run(self) -> list[str]:
        """Return what each call results in."""
        shell, found = self.shell, []
        for hour in range(3):
            found += [self.issue(hour) for _ in range(3)]
            code = shell.sent[-1].code
            for typed in (wrong(code), code, code):
                found.append(self.result(shell.flows.verify(f"+86138{hour:08d}", typed, "signup", "", None, None)))
            shell.suspends = True
            found.append(self.issue(10 + hour))
            shell.suspends, shell.rejects = False, True
            found.append(self.issue(20 + hour))
            shell.rejects = False
            shell.now += HOUR
        return found

    def total(self, hours: int = 24) -> Figures:
        figures: Figures = self.shell.drive(self.shell.flows.stats(hours)).total
        return figures


def counts(figures: Figures) -> list[int]:
    """Return all counts of figures, and their cost in millionths."""
    refused = figures.limited.get("phone", 0), int(figures.cost * 10**6)
    return [figures.sent, figures.rejected, figures.verified, figures.wrong_codes, *refused]


@pytest.mark.parametrize("clustered", [False, True], ids=["one server", "cluster"])
@pytest.mark.parametrize("command", ["HINCRBY", "HSET", "HDEL", "PEXPIRE"])
def test_calls_go_on_where_the_server_refuses_to_count(command: str, clustered: bool) -> None:
    """A figure is less than the truth then, never more. When the server counts again, nothing new is lost."""
    well, ill = (Calls(Shell(clustered=clustered, policy=POLICY)) for _ in range(2))
    ill.shell.lua.fault = Fault(command=command, key_end=FIGURES.decode())
    expected = well.run()
    assert ill.run() == expected
    truth = counts(well.total())
    assert 0 not in truth
    assert all(found <= true for found, true in zip(counts(ill.total()), truth, strict=True))
    ill.shell.lua.fault = None
    ill.shell.now += HOUR
    before = counts(ill.total())
    ill.issue(30)
    after = counts(ill.total())
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 0, 0, 0, 0, 50_000]


@pytest.mark.parametrize("clustered", [False, True], ids=["one server", "cluster"])
def test_calls_go_on_beside_a_key_of_another_type(
    clustered: bool, valkey_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SyncStore, "clustered", clustered)
    with Rig(valkey_url, namespace) as rig:
        rig.server.set(f"{namespace}:{{stats}}:s", "not ours")
        otp = rig.otp()
        otp.issue(PHONE)
        outcome(otp.verify, PHONE, wrong(rig.outbox[-1].code))
        assert otp.verify(PHONE, rig.outbox[-1].code)
        rig.outbox.reject_next()
        assert isinstance(outcome(otp.issue, PHONE, "login"), OTPError)
        assert isinstance(outcome(otp.stats), StoreUnavailableError)


class Pushed(Outbox):
    """A gateway that believes every push."""

    def receipts(self, push: Push) -> Receipts:
        phone, send_id = push.body.decode().split(" ")
        return Receipts((Delivery(state="delivered", phone=phone, send_id=send_id),))


@pytest.fixture(params=["one server", "cluster"])
def raced(
    request: pytest.FixtureRequest, valkey_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Rig]:
    monkeypatch.setattr(SyncStore, "clustered", request.param == "cluster")
    with Rig(valkey_url, namespace) as rig:
        yield rig


def test_eight_callers_at_the_turn_of_hours_count_exactly(raced: Rig) -> None:
    """Their clocks differ: one closes an hour and folds it while others still count in it, and read."""
    clocks, outboxes = [MovableClock() for _ in range(THREADS)], [Pushed() for _ in range(THREADS)]
    policy = whole(sends="2/day", attempts=2)
    otps = [
        raced.otp(gateway=outbox, policy=policy, clock=clock) for outbox, clock in zip(outboxes, clocks, strict=True)
    ]
    seen: list[list[int]] = [[] for _ in otps]

    def call(number: int) -> None:
        otp, outbox = otps[number], outboxes[number]
        for turn in range(ROUNDS):
            phone = f"+86138{number:04d}{turn:04d}"
            otp.issue(phone)
            message = outbox[-1]
            otp.issue(phone, "again")
            outcome(otp.issue, phone, "and again")
            outcome(otp.verify, phone, wrong(outbox[-1].code), "again")
            assert otp.verify(phone, outbox[-1].code, "again")
            otp.receive(Push("https://site.example/", {}, f"{phone} {message.send_id}".encode()))
            seen[number].append(otp.stats(840).total.sent)
            clocks[number].advance(HOUR / 3)

    assert together(THREADS, call) == [None] * THREADS
    calls = THREADS * ROUNDS
    found = otps[0].stats(840)
    total = Figures(
        sent=2 * calls,
        verified=calls,
        wrong_codes=calls,
        delivered=calls,
        limited={"phone": calls},
        receipt_p50=found.total.receipt_p50,
        receipt_p95=found.total.receipt_p95,
    )
    assert found.total == found.regions["CN"] == total
    assert sum(each.sent for _, each in found.spans) == 2 * calls
    assert all(each == sorted(each) for each in seen), "nothing vanishes while hours are folded"
    assert otps[0].stats(9600).total == total


def test_fields_stay_bounded_over_400_days() -> None:
    """One a closed hour for 35 days, one a day for 400, and the counters of the current hour. Old ones go."""
    figures = Filling()
    hours = [*range(0, 400 * 24, 24), *range(400 * 24, 440 * 24)]
    for hour in hours:
        figures.add(hour, [" CN one v", " CN two a45000"])
    assert len(figures.fields) == 839 + 366 + len(["open", "first"]) + 2
    assert max(map(len, figures.fields.values())) < 64
    kept = [hour for hour in hours if hour // 24 >= (440 * 24 - 9600) // 24]
    assert figures.total(9600).verified == figures.total(9600).sent == len(kept)


def test_a_stranger_can_make_no_more_fields() -> None:
    """All regions by all gateways: 100 pairs an hour are told apart, the others are counted together."""
    figures = Filling()
    regions = [a + b for a, b in product("ABCDEFGHIJKLMNOPQRST", repeat=2)]
    for hour in range(2):
        for start in range(0, 400, 40):
            figures.add(hour, [f" {region} {name} v" for region in regions[start : start + 40] for name in "ab"])
        open_ = [name for name in figures.fields if name[0] == 7]
        assert len(open_) <= 101
    figures.add(2, [" CN one v"])
    assert max(map(len, figures.fields.values())) <= 101 * 12
    found = figures.stats(24)
    assert found.total.verified == 2 * 800 + 1
    assert found.regions["other"].verified == found.gateways["other"].verified == 2 * 700
    assert len(found.regions) <= 102


def test_a_number_of_no_served_region_is_counted_nowhere() -> None:
    shell = Shell(clustered=False, policy=POLICY)
    with pytest.raises(RegionError):
        shell.flows.issue(IssueRequest("+12025550123", "signup", "", None, None, None, "sms", None))
    with pytest.raises(ConfigurationError):
        shell.drive(shell.flows.receive(Push("https://site.example/", {}, b""), "a stranger's"))
    assert not shell.lua.data


class Filling:
    """Figures that are counted by the script alone, at given hours."""

    def __init__(self) -> None:
        self.shell = Shell(clustered=True)
        self._memory = 0

    @property
    def fields(self) -> dict[bytes, bytes]:
        fields: dict[bytes, bytes] = self.shell.lua.data[b"t:{stats}:s"]
        return fields

    def add(self, hour: int, figures: list[str]) -> None:
        self.shell.now = 1_767_225_600.0 + hour * HOUR
        self._memory += 1
        memory_key = f"t:{{stats}}:s:{self._memory}"
        script = self.shell.flows._config.scripts.add_figures
        self.shell.lua.run(
            script(stats_key="t:{stats}:s", memory_key=memory_key, now=int(self.shell.now * 1000), figures=figures)
        )
        del self.shell.lua.data[memory_key.encode()]

    def stats(self, hours: int) -> Any:
        return self.shell.drive(self.shell.flows.stats(hours))

    def total(self, hours: int) -> Figures:
        figures: Figures = self.stats(hours).total
        return figures
