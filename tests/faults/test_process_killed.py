"""A process is killed before or after it sends a message: the send is uncertain after 30 s, and nothing is stuck."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.callers import Caller, calling, result
from support.rig import PHONE, wrong

from otpkit import ExpiredCodeError, Figures, Policy, RateLimitError, WrongCodeError
from otpkit.testing import MovableClock, Outbox

DOOMED = Path(__file__).parent / "doomed.py"


class Survivor:
    """A second process: its caller, its messages, and the clock that both processes use."""

    def __init__(self, caller: Caller, outbox: Outbox, clock: MovableClock) -> None:
        self.caller, self.outbox, self.clock = caller, outbox, clock
        self.code = ""
        """The code that the killed process sent, or an empty text."""


@pytest.fixture(params=["valkey", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture(params=["before", "after"])
async def survivor(request: pytest.FixtureRequest, url: str, namespace: str, kind: str) -> AsyncIterator[Survivor]:
    """Yield the second process after the first has died before, or after, sending its message."""
    clock, outbox = MovableClock(), Outbox()
    command = [sys.executable, str(DOOMED), url, namespace, str(clock.now), kind.partition("-")[0], request.param]
    killed = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, check=False)
    assert killed.returncode == -9, killed.stderr.decode()
    async with calling(kind, url, outbox, namespace=namespace, clock=clock, policy=Policy()) as caller:
        survivor = Survivor(caller, outbox, clock)
        survivor.code = killed.stdout.decode()
        assert bool(survivor.code) is (request.param == "after")
        yield survivor


async def test_it_is_pending_and_then_uncertain(survivor: Survivor) -> None:
    """It is unknown if the message was sent. The send is counted in both cases."""
    for seconds, delivery in ((0, "pending"), (29.9, "pending"), (0.1, "uncertain"), (200, "uncertain")):
        survivor.clock.advance(seconds)
        challenge = await survivor.caller.status(PHONE)
        assert (challenge.delivery, challenge.attempts_left) == (delivery, 5)
    replayed = await survivor.caller.issue(PHONE, idempotency_key="form")
    assert (replayed.replayed, replayed.delivery, len(survivor.outbox)) == (True, "uncertain", 0)


async def test_the_next_issue_waits_its_minute_and_sends_the_same_code(survivor: Survivor) -> None:
    """The first message may have been sent, so the next one waits a minute. It has the same code."""
    refused = await result(survivor.caller.issue(PHONE))
    assert isinstance(refused, RateLimitError)
    assert refused.retry_after is not None
    assert refused.retry_after <= 60
    survivor.clock.advance(refused.retry_after)
    challenge = await survivor.caller.issue(PHONE)
    assert (challenge.delivery, challenge.sends_left) == ("accepted", 5)
    if survivor.code:
        assert survivor.outbox[-1].code == survivor.code
    assert await survivor.caller.verify(PHONE, survivor.outbox[-1].code)


async def test_what_was_sent_can_be_verified(survivor: Survivor) -> None:
    """The sent code verifies, and a wrong one is counted."""
    if survivor.code:
        with pytest.raises(WrongCodeError):
            await survivor.caller.verify(PHONE, wrong(survivor.code))
        assert await survivor.caller.verify(PHONE, survivor.code)
        # The message was not settled, so the figures do not have it. They have what was typed.
        assert (await survivor.caller.stats()).total == Figures(wrong_codes=1, verified=1)
    else:
        await survivor.caller.revoke(PHONE)
        assert (await survivor.caller.stats()).total == Figures()
    with pytest.raises(ExpiredCodeError):
        await survivor.caller.verify(PHONE, survivor.code or "123456")


async def test_nothing_is_stuck_longer_than_its_window(survivor: Survivor) -> None:
    """The challenge ends with its life, and after a day the send is no longer counted."""
    survivor.clock.advance(600)
    assert await survivor.caller.status(PHONE) is None
    assert (await survivor.caller.issue(PHONE)).sends_left == 5
    survivor.clock.advance(86_400)
    assert (await survivor.caller.issue(PHONE)).sends_left == 6
