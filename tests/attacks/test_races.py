"""Concurrent calls on real servers: threads for `OTP`, tasks for `AsyncOTP`, and two processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.callers import Caller, calling, together
from support.rig import PHONE, SECRET, Rig, names, whole, wrong

from otpkit import Policy
from otpkit.testing import MovableClock, Outbox

PHONES = [f"+861380013{number:04d}" for number in range(50)]


@pytest.fixture(params=["sync-url", "async-url"])
def library(request: pytest.FixtureRequest) -> str:
    """Return the kind of caller. Its client is otpkit's own, with a limited pool."""
    kind: str = request.param
    return kind


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def caller(
    library: str, server_url: str, namespace: str, outbox: Outbox, clock: MovableClock
) -> AsyncIterator[Caller]:
    async with calling(library, server_url, outbox, namespace=namespace, clock=clock) as caller:
        yield caller


async def test_fifty_right_answers_give_one_proof(caller: Caller, outbox: Outbox) -> None:
    await caller.issue(PHONE)
    answers = await together(50, lambda _: caller.verify(PHONE, outbox[-1].code))
    assert names(answers) == {"Proof": 1, "ExpiredCodeError": 49}


async def test_two_hundred_wrong_answers_are_five_comparisons(caller: Caller, outbox: Outbox) -> None:
    """There are more callers than connections. The others wait, and none gets StoreUnavailableError."""
    await caller.issue(PHONE)
    answers = await together(200, lambda _: caller.verify(PHONE, wrong(outbox[-1].code)))
    assert names(answers) == {"WrongCodeError": 5, "ExpiredCodeError": 195}
    assert sorted(answer.attempts_left for answer in answers if hasattr(answer, "attempts_left")) == [0, 1, 2, 3, 4]


async def test_two_hundred_wrong_answers_stop_at_the_days_failures(
    library: str, server_url: str, namespace: str, outbox: Outbox
) -> None:
    """The phone's own limit is exact too, over many concurrent challenges."""
    policy = whole(sends="32/day", failures="7/day")
    async with calling(library, server_url, outbox, namespace=namespace, policy=policy) as caller:
        for number in range(8):
            await caller.issue(PHONE, bind=str(number))
        guess = next(code for code in ("000000", "111111") if code not in {message.code for message in outbox})
        answers = await together(80, lambda number: caller.verify(PHONE, guess, bind=str(number % 8)))
    assert names(answers)["WrongCodeError"] == 7
    assert {answer.scope for answer in answers if hasattr(answer, "scope")} == {"failures"}


async def test_fifty_issues_at_once_stop_at_the_days_sends(caller: Caller, outbox: Outbox, clock: MovableClock) -> None:
    """The 32 sends a day are shared by all purposes and binds, and no more messages are sent."""
    answers = await together(50, lambda number: caller.issue(PHONE, f"purpose {number % 3}", bind=str(number % 2)))
    assert len(outbox) == names(answers)["Challenge"] == 32  # BROAD allows 32 a day.
    clock.advance(60)
    assert names(await together(50, lambda _: caller.issue(PHONE))) == {"RateLimitError": 50}


async def test_fifty_issues_within_a_minute_send_one_message(
    library: str, server_url: str, namespace: str, outbox: Outbox
) -> None:
    """This is the default policy."""
    async with calling(library, server_url, outbox, namespace=namespace, policy=Policy()) as caller:
        answers = await together(50, lambda _: caller.issue(PHONE))
    assert names(answers) == {"Challenge": 1, "RateLimitError": 49}
    assert len(outbox) == 1


async def test_a_right_answer_beside_three_wrong_ones_always_passes(caller: Caller, outbox: Outbox) -> None:
    """This holds in each of many rounds, for any order of the calls."""
    for phone in PHONES[:25]:
        await caller.issue(phone)
        code = outbox[-1].code
        answers = await together(4, lambda number: caller.verify(phone, wrong(code, number)))  # noqa: B023
        assert names(answers)["Proof"] == 1


async def test_fifty_redemptions_are_one(caller: Caller, outbox: Outbox) -> None:
    await caller.issue(PHONE)
    token = (await caller.verify(PHONE, outbox[-1].code)).token
    assert names(await together(50, lambda _: caller.redeem(token))) == {"Proof": 1, "UsedTokenError": 49}


async def test_fifty_issues_under_one_key_are_one_send(caller: Caller, outbox: Outbox) -> None:
    """The other calls return that send and its state."""
    answers = await together(50, lambda _: caller.issue(PHONE, idempotency_key="form"))
    assert names(answers) == {"Challenge": 50}
    assert Counter(answer.replayed for answer in answers) == {True: 49, False: 1}
    assert {answer.delivery for answer in answers} <= {"pending", "accepted"}
    assert len({answer.id for answer in answers}) == len(outbox) == 1


async def test_fifty_verifies_under_one_key_are_one_proof(caller: Caller, outbox: Outbox) -> None:
    """A form that is sent fifty times gets the same answer each time. A wrong one is counted once."""
    await caller.issue(PHONE)
    guesses = await together(50, lambda _: caller.verify(PHONE, wrong(outbox[-1].code), idempotency_key="form"))
    assert {answer.attempts_left for answer in guesses} == {4}
    answers = await together(50, lambda _: caller.verify(PHONE, outbox[-1].code, idempotency_key="form"))
    assert len({answer.token for answer in answers}) == 1


@pytest.mark.parametrize(
    ("policy", "scope"),
    [
        ({"total_sends": "10/day"}, "total"),
        ({"region_sends": {"CN": "10/day"}}, "region"),
        ({"ip_sends": "10/day"}, "ip"),
        ({"total_sends": "10/hour, 11/day"}, "total"),
    ],
)
async def test_wide_limits_are_exact_under_load(
    library: str, server_url: str, namespace: str, outbox: Outbox, clock: MovableClock, policy: Any, scope: str
) -> None:
    """Fifty phones share ten sends, and exactly ten messages are sent."""
    options = {"namespace": namespace, "clock": clock, "policy": Policy(**policy)}
    async with calling(library, server_url, outbox, **options) as caller:
        answers = await together(50, lambda number: caller.issue(PHONES[number], ip="203.0.113.7"))
    assert names(answers) == {"Challenge": 10, "RateLimitError": 40}
    assert {answer.scope for answer in answers if hasattr(answer, "scope")} == {scope}
    assert len(outbox) == 10


async def test_guesses_of_an_address_are_exact_under_load(library: str, server_url: str, namespace: str) -> None:
    options = {"namespace": namespace, "policy": Policy(ip_failures="10/day")}
    async with calling(library, server_url, Outbox(), **options) as caller:
        answers = await together(50, lambda number: caller.verify(PHONES[number], "123456", ip="203.0.113.7"))
    assert names(answers) == {"ExpiredCodeError": 10, "RateLimitError": 40}


async def test_rejections_beside_sends_give_back_their_own_alone(caller: Caller, outbox: Outbox) -> None:
    """Ten of forty parallel sends are rejected, and exactly these are refunded."""
    for _ in range(10):
        outbox.reject_next()
    answers = await together(40, lambda number: caller.issue(PHONE, bind=str(number)))
    refused = names(answers)
    assert refused["GatewayRejectedError"] == 10
    again = await together(20, lambda number: caller.issue(PHONE, bind=f"again {number}"))
    assert refused["Challenge"] + names(again)["Challenge"] == len(outbox) == 32


async def test_sync_and_async_instances_share_limits(server_url: str, namespace: str, outbox: Outbox) -> None:
    """One phone gets one message from both."""
    async with (
        calling("sync-url", server_url, outbox, namespace=namespace, policy=Policy()) as one,
        calling("async-url", server_url, outbox, namespace=namespace, policy=Policy()) as other,
    ):
        await together(20, lambda number: (one, other)[number % 2].issue(PHONE))
        assert len(outbox) == 1
        answers = await together(40, lambda number: (one, other)[number % 2].verify(PHONE, wrong(outbox[-1].code)))
    assert names(answers)["WrongCodeError"] == 5


_PROCESS = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from otpkit import OTP, OTPError, Template
url, namespace, secret, phone, guess = sys.argv[1:]
sent = []
with OTP(url, sent.append, Template("SMS_1", sign_name="x"), secret, namespace=namespace) as otp:
    def call(number):
        try:
            return type(otp.verify(phone, guess) if number % 2 else otp.issue("+8613700137000")).__name__
        except OTPError as error:
            return type(error).__name__
    sys.stdin.readline()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(call, range(40)))
print(json.dumps([answers, len(sent)]))
"""


def test_two_processes_share_limits(server_url: str, namespace: str) -> None:
    """Together they send one message, and compare five wrong codes for one challenge."""
    with Rig(server_url, namespace) as rig:
        rig.heard(clock=None).issue(PHONE)
        command = [sys.executable, "-c", _PROCESS, server_url, namespace, SECRET, PHONE, wrong(rig.outbox[-1].code)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        processes = [subprocess.Popen(command, **pipes) for _ in range(2)]
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        ends = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    answers = Counter(answer for end in ends for answer in end[0])
    assert (answers["WrongCodeError"], answers["Challenge"], sum(end[1] for end in ends)) == (5, 1, 1)
