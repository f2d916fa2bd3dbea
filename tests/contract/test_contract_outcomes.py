"""Accepted, uncertain and unsettled sends: their reported outcome, and the start of their minute."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.rig import PHONE, Killed, Rig

from otpkit import RateLimitError
from otpkit.gateways import Message


def test_an_uncertain_send_stays(rig: Rig, otp: Any) -> None:
    """It stays counted, the challenge lives, and the library sends nothing again."""
    rig.outbox.lose_next()
    challenge = otp.issue(PHONE)
    assert (challenge.delivery, challenge.sends_left, challenge.expires_in) == ("uncertain", 9, 300)
    assert otp.status(PHONE).delivery == "uncertain"
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert refused.value.challenge.delivery == "uncertain"
    assert len(rig.outbox) == 0
    rig.advance(60)
    resent = otp.issue(PHONE)
    assert (resent.id, resent.delivery) == (challenge.id, "accepted")


@pytest.mark.parametrize(
    "odd", [TimeoutError("read timed out"), KeyError("code"), ValueError(), RuntimeError("123456")]
)
def test_whatever_else_a_gateway_function_raises_is_uncertain(rig: Rig, odd: Exception) -> None:
    """The message may have arrived, so its code verifies."""
    codes: list[str] = []

    def gateway(message: Message) -> None:
        codes.append(message.code)
        raise odd

    otp = rig.otp(gateway=gateway)
    assert otp.issue(PHONE).delivery == "uncertain"
    assert otp.verify(PHONE, codes[0]).phone == PHONE


def test_a_send_under_way_is_pending_and_after_30_seconds_uncertain(rig: Rig) -> None:
    """While it is pending the code already verifies, because the message may have arrived."""
    arrived, release = threading.Event(), threading.Event()
    codes: list[str] = []

    def slow(message: Message) -> None:
        codes.append(message.code)
        arrived.set()
        assert release.wait(30)

    watcher = rig.otp()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(rig.otp(gateway=slow).issue, PHONE)
        assert arrived.wait(30)
        assert watcher.status(PHONE).delivery == "pending"
        rig.advance(29.999)
        assert watcher.status(PHONE).delivery == "pending"
        rig.advance(0.001)
        assert watcher.status(PHONE).delivery == "uncertain"
        assert watcher.verify(PHONE, codes[0])
        release.set()
        assert call.result(30).delivery == "accepted"


def test_a_process_that_died_at_the_gateway_left_the_send_uncertain(rig: Rig) -> None:
    """The send is not undone, because the message may have been sent."""
    codes: list[str] = []

    def die(message: Message) -> None:
        codes.append(message.code)
        raise Killed

    otp = rig.otp(gateway=die)
    with pytest.raises(Killed):
        otp.issue(PHONE)
    assert otp.status(PHONE).delivery == "pending"
    rig.advance(30)
    assert (otp.status(PHONE).delivery, otp.status(PHONE).sends_left) == ("uncertain", 9)
    with pytest.raises(RateLimitError) as refused:
        rig.otp().issue(PHONE)
    assert refused.value.challenge.delivery == "uncertain"
    assert otp.verify(PHONE, codes[0])


def test_the_minute_starts_with_the_gateways_answer(rig: Rig) -> None:
    """The carrier's own minute starts then. The life of the code starts before the request to the gateway."""

    def slow(message: Message) -> None:
        rig.advance(10)

    otp = rig.otp(gateway=slow)
    start = rig.at()
    challenge = otp.issue(PHONE)
    assert challenge.resend_at == rig.at(60)
    assert challenge.resend_in == 60
    assert (challenge.expires_in, challenge.expires_at) == (290, rig.at(290))
    assert challenge.expires_at.timestamp() - start.timestamp() == 300
    rig.advance(59.999)
    with pytest.raises(RateLimitError):
        otp.issue(PHONE)
    rig.advance(0.001)
    assert otp.issue(PHONE)


def test_an_uncertain_answer_starts_the_minute_too(rig: Rig) -> None:
    """The carrier may have sent the message a moment ago."""

    def slow(message: Message) -> None:
        rig.advance(10)
        raise TimeoutError

    challenge = rig.otp(gateway=slow).issue(PHONE)
    assert (challenge.delivery, challenge.resend_in) == ("uncertain", 60)


def test_a_late_answer_still_settles(rig: Rig) -> None:
    """The gateway's answer also counts after the 30 seconds."""

    def very_slow(message: Message) -> None:
        rig.advance(45)

    otp = rig.otp(gateway=very_slow)
    assert otp.issue(PHONE).delivery == "accepted"
    assert otp.status(PHONE).delivery == "accepted"


@pytest.mark.parametrize("outcome", ["accepted", "uncertain"])
def test_a_settlement_that_fails_changes_no_answer(rig: Rig, outcome: str) -> None:
    """The store fails when the gateway answers. The caller gets the gateway's outcome, and the code verifies later."""
    client = rig.client(wrap=rig.breakable)
    codes: list[str] = []

    def gateway(message: Message) -> None:
        codes.append(message.code)
        client.broken = True
        if outcome == "uncertain":
            raise TimeoutError

    otp = rig.otp(redis=client, gateway=gateway)
    challenge = otp.issue(PHONE)
    assert (challenge.delivery, challenge.resend_in, challenge.sends_left) == (outcome, 60, 9)
    client.broken = False
    rig.advance(30)
    assert otp.status(PHONE).delivery == "uncertain"
    assert otp.verify(PHONE, codes[0])


def test_a_cancelled_call_does_nothing_further(rig: Rig) -> None:
    """A cancellation is never a rejection: the send is pending, then uncertain, and its code verifies."""
    if not rig.is_async:
        return
    codes: list[str] = []

    async def cancelled_at_the_gateway() -> None:
        arrived = asyncio.Event()

        async def gateway(message: Message) -> None:
            codes.append(message.code)
            arrived.set()
            await asyncio.sleep(60)

        async with rig.build(gateway=gateway) as otp:
            call = asyncio.create_task(otp.issue(PHONE))
            await arrived.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    rig.loop.run(cancelled_at_the_gateway())
    otp = rig.otp()
    assert otp.status(PHONE).delivery == "pending"
    rig.advance(30)
    assert (otp.status(PHONE).delivery, otp.status(PHONE).sends_left) == ("uncertain", 9)
    assert otp.verify(PHONE, codes[0])
