"""Lost replies, replicas that do not confirm, and processes without a guard beside those with one."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from guard_rig import ADDRESS, FREE, WIDE, FakeCaptcha, Guarded
from support.lua_shell import Shell
from support.proxy import Fault, Proxy
from support.rig import DAY, SECRET, TEMPLATE, outcome, wrong

from otpkit import OTP, Guard, Policy
from otpkit.core.issue import IssueRequest
from otpkit.store.sync import SyncStore
from otpkit.testing import Outbox

PHONE = "13800138000"


def total(value: bytes, start: int) -> tuple[int, int]:
    """Return the unverified and the verified sends of a ring."""
    ring = value[start : start + 24]
    return (
        sum(int.from_bytes(ring[i : i + 3]) for i in range(0, 24, 6)),
        sum(int.from_bytes(ring[i : i + 3]) for i in range(3, 24, 6)),
    )


def counts(shell: Shell) -> dict[str, Any]:
    """Return what each record of a shell counts."""
    found: dict[str, Any] = {}
    for key, value in shell.lua.data.items():
        if key.endswith(b":u"):
            found.setdefault("narrow", []).append(total(value, 8))
        elif key.endswith(b":CN"):
            found["region"] = total(value, 3)
            found["guesses"] = sum(int.from_bytes(value[i : i + 3]) for i in range(59, 71, 3))
    return found


def test_unverify_restores_every_count() -> None:
    """Of a verification that too few replicas confirm: sends, guesses, and once."""
    shell = Shell(clustered=False, policy=Policy(sends="30/day", replicas=1), guard=Guard(captcha=FakeCaptcha()))
    flows, drive = shell.flows, shell.drive
    config = flows._config
    drive(flows.issue(IssueRequest(PHONE, "signup", "", None, None, None, "sms", None)))
    drive(flows.issue(IssueRequest(PHONE, "signup", "", None, None, None, "sms", None)))
    with pytest.raises(Exception, match="wrong"):
        drive(flows.verify(PHONE, wrong(shell.sent[-1].code), "signup", "", None, None))
    before = counts(shell)
    assert (before["narrow"], before["region"], before["guesses"]) == ([(2, 0)], (2, 0), 1)
    proof = drive(flows.verify(PHONE, shell.sent[-1].code, "signup", "", None, None))
    after = counts(shell)
    assert (after["narrow"], after["region"], after["guesses"]) == ([(0, 2)], (0, 2), 0)
    subject = flows._subject(PHONE, "signup", "")
    from otpkit.core.crypto import decode_id

    undo = config.scripts.unverify(
        phone_key=subject.phone_key,
        counter_key=subject.counter_key,
        now=config.now_arg(),
        operation=decode_id(proof.id),
        challenge_field=subject.challenge_field,
        guard_keys=config.protection.keys(subject.phone, subject.region, None),
    )
    for _ in range(2):
        assert shell._run(undo)
        assert counts(shell) == before
    drive(flows.verify(PHONE, shell.sent[-1].code, "signup", "", None, None))
    assert counts(shell) == after


@pytest.mark.parametrize("clustered", [False, True], ids=["one server", "cluster"])
def test_repeated_script_counts_once(clustered: bool) -> None:
    """redis-py runs a script again whose reply was lost."""
    shell = Shell(clustered=clustered, policy=FREE, guard=Guard(captcha=FakeCaptcha(), rule=WIDE))
    run = shell._run
    shell._run = lambda effect: (run(effect), run(effect))[1]  # type: ignore[method-assign]
    flows, drive = shell.flows, shell.drive
    for phone in (PHONE, "13800138001"):
        drive(flows.issue(IssueRequest(phone, "signup", "", ADDRESS, None, None, "sms", None)))
    assert counts(shell) == {"narrow": [(2, 0)] * 3, "region": (2, 0), "guesses": 0}
    with pytest.raises(Exception, match="wrong"):
        drive(flows.verify(PHONE, wrong(shell.sent[0].code), "signup", "", ADDRESS, None))
    drive(flows.verify(PHONE, shell.sent[0].code, "signup", "", ADDRESS, None))
    assert counts(shell) == {"narrow": [(1, 1)] * 3, "region": (1, 1), "guesses": 0}
    shell.rejects = True
    with pytest.raises(Exception, match="no"):
        drive(flows.issue(IssueRequest("13800138002", "signup", "", ADDRESS, None, None, "sms", None)))
    assert counts(shell) == {"narrow": [(1, 1)] * 3, "region": (1, 1), "guesses": 0}


_DOOMED = """
import os, signal, sys
from otpkit import OTP, Guard, Template
url, namespace, secret, now, phone, ip = sys.argv[1:]
def gateway(message):
    os.kill(os.getpid(), signal.SIGKILL)
options = {"namespace": namespace, "clock": lambda: float(now), "guard": Guard("enforce")}
OTP(url, gateway, Template("SMS_1", "otpkit"), secret, **options).issue(phone, ip=ip)
"""


def test_killed_process_leaves_its_send_counted(redis_url: str, namespace: str) -> None:
    """The message may be on its way. It leaves with its window."""
    with Guarded(redis_url, namespace) as rig:
        command = [sys.executable, "-c", _DOOMED, redis_url, namespace, SECRET, str(rig.clock.now), PHONE, ADDRESS]
        assert subprocess.run(command, check=False, timeout=60).returncode == -9
        otp = rig.guarded(rule=WIDE)
        for scope, subject in (("range", PHONE), ("region", "CN"), ("ip", ADDRESS)):
            assert rig.count(otp, scope, subject) == (1, 0)
        rig.advance(60)
        otp.issue(PHONE, ip=ADDRESS)
        otp.verify(PHONE, rig.outbox[-1].code, ip=ADDRESS)
        for scope, subject in (("range", PHONE), ("region", "CN"), ("ip", ADDRESS)):
            assert rig.count(otp, scope, subject) == (0, 2)
        rig.advance(DAY)
        assert rig.count(otp, "range", PHONE) == (0, 0)


def test_process_without_a_guard_counts_and_takes_back_nothing(fast: Guarded) -> None:
    """As a process of the version before: so observe until all processes have the guard."""
    guarded, plain = fast.guarded(rule=WIDE), fast.otp(policy=FREE)
    phone = fast.phone(1)
    fast.send(guarded, phone)
    fast.verify(plain, phone)
    assert fast.count(guarded, "range", phone) == (1, 0)
    other = fast.phone(1)
    fast.send(plain, other)
    fast.verify(guarded, other)
    assert fast.count(guarded, "range", phone) == (1, 0)
    again = fast.phone(1)
    fast.send(guarded, again)
    assert fast.send(plain, again) == "sent"
    fast.verify(guarded, again)
    assert fast.count(guarded, "range", phone) == (1, 1)


ONE_SERVER, CLUSTER = "reserve verify settle", "reserve verify settle count_narrow count_wide move_narrow move_wide"


@pytest.mark.parametrize(
    ("script", "clustered"),
    [(each, False) for each in ONE_SERVER.split()] + [(each, True) for each in CLUSTER.split()],
)
@pytest.mark.parametrize("action", ["drop", "cut", "refuse"])
def test_lost_reply_counts_once(
    proxy: Proxy,
    seat_url: str,
    namespace: str,
    script: str,
    clustered: bool,
    action: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over a real connection, whichever script's reply is lost."""
    monkeypatch.setattr(SyncStore, "clustered", clustered)
    guard = Guard("enforce", FakeCaptcha(), fallback="refuse", rule=WIDE)
    outbox = Outbox()
    with (
        Guarded(seat_url, namespace) as rig,
        OTP(proxy.url, outbox, TEMPLATE, SECRET, policy=FREE, namespace=namespace, guard=guard, clock=rig.clock) as otp,
    ):
        looker = rig.guarded(rule=WIDE)
        proxy.expect(script, Fault(action))
        assert outcome(otp.issue, PHONE, ip=ADDRESS).delivery == "accepted"
        if script not in {"verify", "move_narrow", "move_wide"}:
            assert proxy.planned() == 0
        assert rig.count(looker, "range", PHONE) == (1, 0)
        otp.verify(PHONE, outbox[-1].code, ip=ADDRESS)
        assert proxy.planned() == 0
        assert rig.count(looker, "range", PHONE) == (0, 1)
        assert rig.count(looker, "region", "CN") == (0, 1)
        assert rig.count(looker, "ip", ADDRESS) == (0, 1)
