"""A server is killed and restarted under load: nothing is granted twice, and no grant is lost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from mortal import Mortal
from support.callers import calling, result
from support.rig import wrong

from otpkit import ExpiredCodeError, OTPError, Policy, Proof, RateLimitError, StoreUnavailableError, UsedTokenError
from otpkit.testing import Outbox

CALLERS, KILLS, FEW = 16, 3, 5
SENDS = 3
POLICY = Policy(sends=f"{SENDS}/day")
BACK_S = 10.0  # Service must be back within this time.


@dataclass
class Ledger:
    """The outcomes of all calls, for a comparison with the limits."""

    sent: Counter[str] = field(default_factory=Counter)
    proofs: list[Proof] = field(default_factory=list)
    uncertain: set[str] = field(default_factory=set)
    """The proofs whose redemption may have succeeded although its reply was lost."""
    redeemed: Counter[str] = field(default_factory=Counter)
    down: int = 0


async def live(caller: Any, outbox: Outbox, ledger: Ledger, phone: str) -> None:
    """Issue, make a mistake, verify and redeem repeatedly. The store may fail at any call."""

    async def tell(call: Any) -> Any:
        answer = await result(call)
        ledger.down += isinstance(answer, StoreUnavailableError)
        return answer

    for _ in range(SENDS + 2):
        answer = await tell(caller.issue(phone))
        assert not isinstance(answer, OTPError) or isinstance(answer, (StoreUnavailableError, RateLimitError)), answer
    codes = [message.code for message in outbox if message.phone == phone]
    if not codes:
        return
    await tell(caller.verify(phone, wrong(codes[-1])))
    outcomes = [await tell(caller.verify(phone, codes[-1])) for _ in range(3)]
    proofs = [outcome for outcome in outcomes if isinstance(outcome, Proof)]
    others = {type(outcome) for outcome in outcomes} - {Proof, ExpiredCodeError, StoreUnavailableError}
    assert not others
    assert len(proofs) <= 1
    ledger.proofs += proofs
    for proof in proofs:
        for _ in range(3):
            answer = await tell(caller.redeem(proof.token))
            assert isinstance(answer, (Proof, UsedTokenError, StoreUnavailableError))
            ledger.redeemed[proof.id] += isinstance(answer, Proof)
            ledger.uncertain |= {proof.id} if isinstance(answer, StoreUnavailableError) else set()


async def under_load(server: Mortal, kind: str) -> Ledger:
    """Kill the server repeatedly while callers work. Return their outcomes."""
    ledger, outbox = Ledger(), Outbox()
    phones = iter(f"+86138{number:08d}" for number in range(10_000))
    killing = True

    async with calling(kind, server.url, outbox, policy=POLICY) as caller:

        async def work() -> None:
            while killing:
                await live(caller, outbox, ledger, next(phones))

        workers = [asyncio.ensure_future(work()) for _ in range(CALLERS)]
        for _ in range(KILLS):
            await asyncio.sleep(0.4)
            server.kill()
            await asyncio.sleep(0.3)
            server.restart()
        await asyncio.sleep(0.2)
        killing = False
        await asyncio.gather(*workers)
        began = time.monotonic()
        assert (await caller.issue("+8613900139000")).delivery == "accepted"
        assert time.monotonic() - began < BACK_S
        # A granted proof is in the store after any number of kills.
        for proof in ledger.proofs:
            answer = await result(caller.redeem(proof.token))
            ledger.redeemed[proof.id] += isinstance(answer, Proof)
    ledger.sent = Counter(message.phone for message in outbox)
    return ledger


async def test_what_was_answered_outlives_a_kill(durable: Mortal, kind: str) -> None:
    """With `appendfsync always`, limits hold, codes and proofs work once, and no proof is lost."""
    ledger = await under_load(durable, kind)
    assert ledger.down > 0
    assert len(ledger.proofs) > FEW
    assert max(ledger.sent.values()) <= SENDS
    assert Counter(proof.phone for proof in ledger.proofs).most_common(1)[0][1] == 1
    assert max(ledger.redeemed.values()) == 1
    lost = {proof.id for proof in ledger.proofs if not ledger.redeemed[proof.id]}
    assert lost <= ledger.uncertain  # They were redeemed by a call whose reply was lost.


async def test_what_the_system_has_outlives_a_killed_process(binary: str, kind: str) -> None:
    """No flush is needed: each reply follows its write, and the system keeps written data when the process is killed.

    With `appendfsync everysec` this does not hold during a flush, because the server then replies before it writes.
    """
    with Mortal(binary, "--appendonly", "yes", "--appendfsync", "no") as server:
        ledger = await under_load(server, kind)
    assert ledger.down > 0
    assert max(ledger.sent.values()) <= SENDS
    assert max(ledger.redeemed.values()) == 1


def wait_until_written(server: Mortal) -> None:
    """Wait until the system has all replied data. During a flush, `everysec` writes later."""
    deadline = time.monotonic() + BACK_S
    with server.client() as client:
        while client.info("persistence")["aof_buffer_length"]:
            assert time.monotonic() < deadline, "the server does not write"
            time.sleep(0.005)


@pytest.mark.parametrize("fsync", ["always", "everysec"])
async def test_limits_outlive_a_kill(binary: str, fsync: str, kind: str) -> None:
    """An ended challenge stays ended, a used-up limit stays used up, and a proof can be redeemed once."""
    policy = Policy(sends="3/day", attempts=2)
    with Mortal(binary, "--appendonly", "yes", "--appendfsync", fsync) as server:
        async with calling(kind, server.url, outbox := Outbox(), policy=policy) as caller:
            phone, other = "+8613800138000", "+8613900139000"
            for _ in range(3):
                await caller.issue(phone)
            for _ in range(2):
                await result(caller.verify(phone, wrong(outbox[-1].code)))
            await caller.issue(other)
            proof = await caller.verify(other, outbox[-1].code)
            wait_until_written(server)
            server.kill()
            with pytest.raises(StoreUnavailableError):
                await caller.status(phone)
            server.restart()
            with pytest.raises(ExpiredCodeError):
                await caller.verify(phone, outbox[0].code)
            with pytest.raises(RateLimitError):
                await caller.issue(phone)
            assert await caller.redeem(proof.token) == proof
            wait_until_written(server)
            server.kill()
            server.restart()
            with pytest.raises(UsedTokenError):
                await caller.redeem(proof.token)
