"""Sixteen callers work while Redis fails, and all their outcomes are recorded."""

from __future__ import annotations

import asyncio
import time
from collections import Counter as Tally
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from counters import CALLERS, Counter, new_phone
from support.rig import whole

from otpkit import (
    Challenge,
    ExpiredCodeError,
    Policy,
    Proof,
    RateLimitError,
    StoreUnavailableError,
    UsedTokenError,
    WrongCodeError,
)

SENDS = 2  # Sends a day to one phone.
LONGEST_CALL = 7.0  # Seconds. Both scripts of an issue may fail after otpkit's three, and the machine may be busy.
QUIET = 1.5  # Seconds without an error, after which Redis counts as available again.
_PAUSE = 0.05  # Seconds before a caller tries again.
_REFUSALS: dict[str, tuple[type[Exception], ...]] = {
    "issue": (StoreUnavailableError, RateLimitError),
    "verify": (StoreUnavailableError, ExpiredCodeError, WrongCodeError),
    "redeem": (StoreUnavailableError, UsedTokenError),
}


def storm_policy(replicas: int) -> Policy:
    """Return a policy whose limits the callers reach at once."""
    return whole(sends=f"{SENDS}/day", replicas=replicas)


@dataclass
class Case:
    """One phone and its calls. A code is sent once, and a second time after the first was used."""

    phone: str
    code: str = ""
    proofs: dict[str, Proof] = field(default_factory=dict)
    redemptions: Tally[str] = field(default_factory=Tally)


class Storm:
    """The work of the callers, and the record of their outcomes."""

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self.cases: list[Case] = []
        self.calls: Tally[str] = Tally()
        self.foreign: list[str] = []
        self.longest = 0.0
        self.broken_at = self.last_error_at = self.first_error_at = 0.0
        self._over = False

    async def _call(self, name: str, *args: Any, **options: Any) -> Any:
        """Return a call's result, or None if it was refused."""
        began = time.monotonic()
        try:
            answer = await getattr(self.counter, name)(*args, **options)
            self.calls[name] += 1
            return answer
        except Exception as error:
            unavailable = isinstance(error, StoreUnavailableError)
            self.calls[f"{name} {'StoreUnavailableError' if unavailable else type(error).__name__}"] += 1
            if not isinstance(error, _REFUSALS[name]):
                self.foreign.append(f"{name}: {error!r} from {error.__cause__!r}")
            if unavailable:
                self.last_error_at = time.monotonic()
                self.first_error_at = self.first_error_at or self.last_error_at
            return None
        finally:
            self.longest = max(self.longest, time.monotonic() - began)

    async def _until(self, name: str, *args: Any, **options: Any) -> Any:
        """Call until there is a result or a refusal that is not the store's, for ten seconds at most."""
        for _ in range(200):
            refused = self.calls[f"{name} StoreUnavailableError"]
            answer = await self._call(name, *args, **options)
            if answer is not None or self.calls[f"{name} StoreUnavailableError"] == refused or self._over:
                return answer
            await asyncio.sleep(_PAUSE)
        return None

    async def _serve(self) -> None:
        while not self._over:
            case = Case(new_phone())
            self.cases.append(case)
            if not isinstance(await self._until("issue", case.phone), Challenge):
                continue
            case.code = self.counter.code(case.phone)
            await asyncio.gather(self._verify(case, "one form"), self._verify(case, "another form"))
            for proof in list(case.proofs.values()):
                await asyncio.gather(self._redeem(case, proof), self._redeem(case, proof))
            for _ in range(SENDS):
                await self._until("issue", case.phone)
            await asyncio.sleep(0.01)

    async def _verify(self, case: Case, form: str) -> None:
        proof = await self._until("verify", case.phone, case.code, idempotency_key=form)
        if proof is not None:
            case.proofs[proof.id] = proof

    async def _redeem(self, case: Case, proof: Proof) -> None:
        if await self._call("redeem", proof.token) is not None:
            case.redemptions[proof.id] += 1

    async def quiet(self, seconds: float) -> None:
        """Wait until no call has failed for a while. Raise AssertionError if that takes too long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() - max(self.last_error_at, self.broken_at) < QUIET:
            assert time.monotonic() < deadline, f"calls still fail after {seconds} s: {self}"
            await asyncio.sleep(0.05)

    def breaks(self) -> None:
        """Mark the moment at which the test breaks Redis."""
        self.broken_at = time.monotonic()
        self.first_error_at = self.last_error_at = 0.0

    async def audit(self) -> None:
        """Try every code and every proof once more, and issue to every phone: used ones must be refused."""
        places = asyncio.Semaphore(CALLERS)

        async def again(case: Case) -> None:
            async with places:
                await self._call("issue", case.phone)
                if case.proofs:
                    await self._verify(case, "the audit's form")
                for proof in list(case.proofs.values()):
                    await self._redeem(case, proof)

        await asyncio.gather(*[again(case) for case in self.cases])

    @property
    def accepted_twice(self) -> int:
        """The number of second proofs of a code, and of second redemptions of a proof."""
        proofs = sum(max(0, len(case.proofs) - 1) for case in self.cases)
        return proofs + sum(times - 1 for case in self.cases for times in case.redemptions.values())

    @property
    def limits_exceeded(self) -> int:
        """The number of messages that were sent beyond a phone's limit."""
        sent = Tally(message.phone for message in self.counter.outbox)
        return sum(max(0, number - SENDS) for number in sent.values())

    @property
    def outage(self) -> float:
        """Seconds from the break to the last call that failed because of it."""
        return max(0.0, self.last_error_at - self.broken_at)

    def __str__(self) -> str:
        return (
            f"accepted twice {self.accepted_twice}, limits exceeded {self.limits_exceeded}, "
            f"outage {self.outage:.1f} s, longest call {self.longest:.1f} s, phones {len(self.cases)}, "
            f"{dict(self.calls)}, foreign {self.foreign[:3]}"
        )

    def require_sound(self) -> None:
        """Assert the rules that hold even if Redis lost data."""
        print(self)
        assert not self.foreign, self
        assert self.longest < LONGEST_CALL, self


@asynccontextmanager
async def raging(counter: Counter) -> AsyncIterator[Storm]:
    """Run sixteen callers during a with block."""
    storm = Storm(counter)
    workers = [asyncio.create_task(storm._serve()) for _ in range(CALLERS)]
    try:
        yield storm
    finally:
        storm._over = True
        await asyncio.gather(*workers)
