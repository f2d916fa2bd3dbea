"""A server refuses one write of a script: the earlier writes stay, and this state must be safe.

A fault is a write by its number, a command, or a command on one kind of key. An ACL, a renamed command or a value of
another type has this effect. The scripts run in plain Lua, as on one server and as on a cluster.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.lua_shell import WRITES, Fault, Shell

from otpkit import Budget, Guard, Policy
from otpkit.core.issue import IssueRequest
from otpkit.errors import (
    ExpiredCodeError,
    GatewayRejectedError,
    OTPError,
    StoreUnavailableError,
    UsedTokenError,
    WrongCodeError,
)
from otpkit.models import Proof, Standing

PHONE, IP = "13800138000", "203.0.113.9"
POLICY = Policy(
    sends="30/day",
    total_sends="20/hour, 90/day",
    region_sends={"CN": "20/day"},
    ip_sends="20/hour, 90/day",
    ip_failures="20/hour, 90/day",
    attempts=3,
    device_sends="10/day",
)
DEVICE_TTL_MS = 180 * 86_400_000
BUDGET = Budget("0.1 CNY/day", keep=0, hourly=1)  # Two messages.
PRICE = 50_000  # In millionths: see `support.lua_shell.PRICES`.
KEYS = (":p", ":c", ":d", ":w", ":u", ":CN", ":m", "")
SCRIPTS_OF_SENDS = (
    *("reserve", "settle", "undo", "consume", "refund", "record_failure", "spend", "unspend"),
    *("count_narrow", "move_narrow", "count_wide", "move_wide"),
)


class Shells:
    """New shells of one kind, each with a fault that the test sets."""

    def __init__(self, *, clustered: bool, guarded: bool) -> None:
        self.clustered, self.guarded = clustered, guarded

    def new(self, **options: Any) -> Shell:
        return Shell(clustered=self.clustered, policy=POLICY, guard=Guard() if self.guarded else None, **options)

    def each_fault(self, *scripts: str, **options: Any) -> Iterator[tuple[Shell, Fault]]:
        """Yield a new shell for each fault. The output of a failed test ends with its fault.

        First each write of a run by its number, of any script or of each of `scripts`, until no run has so many. Then
        every command on every kind of key.
        """
        for script in scripts or ("",):
            for nth in itertools.count(1):
                shell = self.new(**options)
                yield shell, shown(Fault(nth, script=script))
                if not shell.lua.refused:
                    break
        for command, key in itertools.product(WRITES, KEYS):
            yield self.new(**options), shown(Fault(command=command, key_end=key))


def shown(fault: Fault) -> Fault:
    print(fault)  # pytest shows it for a failed test.
    return fault


@pytest.fixture(params=["server", "cluster", "guarded", "guarded cluster"])
def shells(request: pytest.FixtureRequest) -> Shells:
    """Return shells for one server, then for a cluster."""
    return Shells(clustered="cluster" in request.param, guarded="guarded" in request.param)


@pytest.fixture
def shell(shells: Shells) -> Shell:
    return shells.new()


class Bench:
    """The calls of one shell, and its counters."""

    proof: Any = None

    def __init__(self, shell: Shell) -> None:
        self.shell, self.lua = shell, shell.lua

    def call(self, name: str, *args: Any) -> Any:
        """Return the result of a call, or the OTPError that it raises."""
        try:
            return self.shell.drive(getattr(self.shell.flows, name)(*args))
        except OTPError as error:
            return error

    device: str | None = None
    """The token that this bench shows."""

    def issue(self, bind: str = "", key: str | None = None) -> Any:
        return self.call("issue", IssueRequest(PHONE, "signup", bind, IP, None, key, "sms", None, self.device))

    def send(self) -> Any:
        request = IssueRequest(PHONE, "signup", "", IP, None, None, "sms", None, self.device)
        return self.call("send", request, "4711", None)

    def verify(self, code: str, key: str | None = None, ip: str | None = IP) -> Any:
        return self.call("verify", PHONE, code, "signup", "", ip, key, None, self.device)

    def enrol(self) -> None:
        """Verify the phone, and show the device's token from now on."""
        self.issue("enrolled")
        self.device = self.call("verify", PHONE, self.right(), "signup", "enrolled", None, None).device

    def right(self) -> str:
        return self.shell.sent[-1].code

    def wrong(self) -> str:
        return f"{(int(self.right()) + 1) % 10**6:06d}"

    def standing(self) -> Standing:
        standing = self.call("standing", PHONE)
        assert isinstance(standing, Standing)
        return standing

    def windows(self) -> list[int]:
        """Return the count in each window of the wide limits."""
        hashes = [fields for key, fields in self.lua.data.items() if key.endswith(b":w")]
        return [int(value.split()[1]) for fields in hashes for _, value in sorted(fields.items())]

    def unverified(self) -> list[int]:
        """Return what the guard has counted as unverified: in the range, the address, its network and the region."""
        rings = [value[8:32] for key, value in self.lua.data.items() if key.endswith(b":u")]
        rings += [value[3:27] for key, value in self.lua.data.items() if key.endswith(b":CN")]
        return [sum(int.from_bytes(ring[i : i + 3]) for i in range(0, 24, 6)) for ring in rings]

    def spent(self) -> int:
        """Return what the budget has spent, in millionths."""
        (spending,) = self.call("spending")
        return int(spending.spent * 10**6)

    def guesses(self) -> tuple[int, ...]:
        """Return the counted guesses: of the challenge, the phone, its counter, the IP address."""
        challenge = self.call("status", PHONE, "signup", "")
        standing = self.standing()
        attempts = 0 if challenge is None else challenge.attempts_left
        return (
            POLICY.attempts - attempts,
            20 - standing.device_failures_left,
            standing.consecutive_failures,
            sum(self.windows()),
        )

    def saved(self) -> Callable[[], None]:
        """Return a function that restores the current state."""
        data, lives = copy.deepcopy(self.lua.data), dict(self.lua.lives)

        def restore() -> None:
            self.lua.data, self.lua.lives, self.lua.fault = copy.deepcopy(data), dict(lives), None

        return restore


def ready(shell: Shell, failures: int, *, device: bool = False) -> Bench:
    bench = Bench(shell)
    if device:
        bench.enrol()
    assert bench.issue().delivery == "accepted"
    for _ in range(failures):
        assert isinstance(bench.verify(bench.wrong()), WrongCodeError)
    return bench


@pytest.mark.parametrize("device", [False, True], ids=["stranger", "device"])
@pytest.mark.parametrize("ip", [None, IP], ids=["no ip", "ip"])
@pytest.mark.parametrize("failures", [0, POLICY.attempts - 1])
def test_no_guess_is_free(shells: Shells, failures: int, ip: str | None, device: bool) -> None:
    """If a wrong code is not fully counted, the right code is refused with the same error."""
    for shell, fault in shells.each_fault():
        bench = ready(shell, failures, device=device)
        restore, before = bench.saved(), bench.guesses()
        bench.lua.fault = fault
        outcome = bench.verify(bench.wrong(), ip=ip)
        bench.lua.fault = None
        after = bench.guesses()
        assert all(new >= old for new, old in zip(after, before, strict=True))
        rates = len(POLICY.ip_failures)
        due = [1, 1, 1, rates if ip else 0]
        is_counted = all(new >= old + more for new, old, more in zip(after, before, due, strict=True))
        restore()
        bench.lua.fault = fault
        passed = bench.verify(bench.right(), ip=ip)
        assert isinstance(outcome, (WrongCodeError, StoreUnavailableError))
        assert isinstance(passed, (Proof, StoreUnavailableError))
        if isinstance(outcome, WrongCodeError) or isinstance(passed, Proof):
            assert is_counted


@pytest.mark.parametrize("failures", [0, 1])
def test_a_code_is_one_proof_whatever_is_refused(shells: Shells, failures: int) -> None:
    """One form, another form, and the first again get at most one proof together. It can be redeemed once."""
    for shell, fault in shells.each_fault():
        bench = ready(shell, failures)
        bench.lua.fault = fault
        tries = [bench.verify(bench.right(), "one")]
        tries.append(bench.verify(bench.right(), "two"))
        bench.lua.fault = None
        tries += [bench.verify(bench.right(), key) for key in ("two", "one", "three", "one", "two")]
        proofs = {proof.id: proof for proof in tries if isinstance(proof, Proof)}
        assert len(proofs) <= 1
        assert all(isinstance(each, (Proof, ExpiredCodeError, StoreUnavailableError)) for each in tries)
        for proof in proofs.values():
            bench.lua.fault = fault
            first = bench.call("redeem", proof.token, "signup", "", PHONE, "one")
            bench.lua.fault = None
            second = bench.call("redeem", proof.token, "signup", "", PHONE, "two")
            again = bench.call("redeem", proof.token, "signup", "", PHONE, "one")
            assert [isinstance(each, Proof) for each in (first, second, again)] in (
                [True, False, True],
                [False, True, False],
                [False, False, True],
            )
            assert isinstance(second, (Proof, UsedTokenError))


@pytest.mark.parametrize("device", [False, True], ids=["stranger", "device"])
def test_every_message_is_counted(shells: Shells, device: bool) -> None:
    """A sent message is charged to all its limits, for any refused write. An unsent one may be charged too."""
    for shell, fault in shells.each_fault(*SCRIPTS_OF_SENDS):
        bench = ready(shell, 0, device=device)
        bench.lua.fault = fault
        outcomes = [*(bench.issue(bind) for bind in ("", "a", "a")), bench.send()]
        shell.rejects = True
        outcomes += [bench.issue("b"), bench.issue("")]
        shell.rejects, shell.suspends = False, True
        outcomes.append(bench.issue("c"))
        bench.lua.fault = None
        # The outbox accepted the message that the first gateway's account could not send.
        went_out = len(shell.sent) + (not isinstance(outcomes[-1], OTPError))
        assert 30 - bench.standing().device_sends_left >= went_out
        assert len(bench.windows()) == 5
        assert min(bench.windows()) >= went_out
        if shell.flows._config.protection:
            *narrow, region = bench.unverified()
            assert len(narrow) == 3
            assert min(narrow) >= went_out - device  # The device has verified one.
            assert region >= went_out or device  # A known device is not counted in the region.
        assert bench.spent() >= PRICE * went_out
        for outcome in outcomes:
            if isinstance(outcome, OTPError):
                assert isinstance(outcome, (StoreUnavailableError, GatewayRejectedError))


def test_no_message_is_sent_beyond_the_budget(shells: Shells) -> None:
    """A budget for two messages sends two, whatever is refused, and gives back only what was not sent."""
    for shell, fault in shells.each_fault(*SCRIPTS_OF_SENDS, budgets=(BUDGET,)):
        bench = Bench(shell)
        bench.lua.fault = fault
        for rejects in (False, True, False):
            bench.shell.rejects = rejects
            bench.issue(f"{rejects}")
        bench.lua.fault = None
        bench.shell.rejects = False
        for bind in "abc":
            bench.issue(bind)
        assert len(bench.shell.sent) <= 2
        assert 2 * PRICE >= bench.spent() >= PRICE * len(bench.shell.sent)


CALLS: dict[str, Callable[[Bench], Any]] = {
    "issue": lambda bench: bench.issue("another"),
    "issue, replayed": lambda bench: bench.issue("", "key"),
    "verify": lambda bench: bench.verify("000000"),
    "verify, none": lambda bench: bench.call("verify", PHONE, "000000", "payment", "", IP, None),
    "status": lambda bench: bench.call("status", PHONE, "signup", ""),
    "standing": lambda bench: bench.call("standing", PHONE),
    "delivery": lambda bench: bench.call("delivery", PHONE, "signup", ""),
    "unblock": lambda bench: bench.call("unblock", PHONE),
}


@pytest.mark.parametrize("call", ["forget_devices", "erase"])
def test_a_device_is_forgotten_or_the_operator_is_told(shells: Shells, call: str) -> None:
    """Whatever is refused: after a call that returned, no token is valid, and the key that says so has its life."""
    for shell, fault in shells.each_fault():
        bench = ready(shell, 1, device=True)
        bench.lua.fault = fault
        outcome = bench.call(call, PHONE)
        bench.lua.fault = None
        if not isinstance(outcome, OTPError):
            assert bench.call("check_device", bench.device, PHONE) is None
            assert [life for key, life in bench.lua.lives.items() if key.endswith(b":d")] == [DEVICE_TTL_MS]
        else:
            assert isinstance(outcome, StoreUnavailableError)


@pytest.mark.parametrize("nth", range(1, 8))
@pytest.mark.parametrize("call", ["unblock", "forget_devices", "erase"])
def test_an_action_has_its_entry_or_is_not_carried_out(shell: Shell, nth: int, call: str) -> None:
    """Whatever write of the entry is refused. The next entry gives the audit its life."""
    bench = ready(shell, 1, device=True)
    before = copy.deepcopy(bench.lua.data)
    bench.lua.fault = Fault(nth, script="audit_action")
    outcome = bench.call(call, PHONE)
    bench.lua.fault = None
    if isinstance(outcome, StoreUnavailableError):
        assert {key: value for key, value in bench.lua.data.items() if b"{audit}" not in key} == before
    else:
        assert [key for key in bench.lua.data if key.endswith(b"{audit}:o")]
    bench.call("unblock", PHONE)
    assert [life for key, life in bench.lua.lives.items() if b"{audit}" in key] == [180 * 86_400_000]


@pytest.mark.parametrize("name", CALLS)
def test_the_next_call_gives_a_key_its_life(shell: Shell, name: str) -> None:
    """The server refused PEXPIRE before.

    The next call sets the expiry of the phone's key, and of the limits it charges.
    """
    bench = Bench(shell)
    bench.lua.fault = Fault(command="PEXPIRE", script="reserve")
    assert isinstance(bench.issue("", "key"), StoreUnavailableError)
    bench.lua.fault = None
    (phone,) = [key for key in bench.lua.data if key.endswith(b":p")]
    assert phone not in bench.lua.lives
    CALLS[name](bench)
    assert phone in bench.lua.lives
    if name == "issue":
        assert bench.lua.lives.keys() >= bench.lua.data.keys()


@pytest.mark.parametrize("command", WRITES)
def test_no_key_stays_without_a_life(shell: Shell, command: str) -> None:
    """A user without one command leaves keys without an expiry. Once the command is allowed, later calls set it."""
    bench = ready(shell, 0)
    for fault in (Fault(command=command), None):
        bench.lua.fault = fault
        bench.issue("a", "key")
        bench.verify(bench.wrong())
        bench.verify(bench.right())
        bench.issue("a", "key")
        bench.verify(bench.wrong())
    assert bench.lua.data.keys() == bench.lua.lives.keys()


@pytest.mark.parametrize("name", CALLS)
def test_no_call_shortens_a_life(shell: Shell, name: str) -> None:
    """A later version may set a longer one."""
    bench = ready(shell, 1)
    bench.issue("proved")
    bench.proof = bench.call("verify", PHONE, bench.right(), "signup", "proved", None, None)
    bench.issue()
    bench.verify(bench.wrong())
    year = 2 * 366 * 86_400_000
    before = set(bench.lua.data)
    bench.lua.lives = dict.fromkeys(bench.lua.data, year)
    CALLS[name](bench)
    assert all(bench.lua.lives[key] == year for key in before & bench.lua.data.keys())
