"""The core of the contract, sync and async, on a cluster and behind Sentinels. tests/contract covers single servers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from counters import CALLERS, VISITOR, Counter, new_phone, opened, result, wrong
from support.rig import whole

from otpkit import (
    BlockedError,
    ExpiredCodeError,
    GatewayRejectedError,
    InvalidTokenError,
    Policy,
    Proof,
    Rate,
    RateLimitError,
    UsedTokenError,
    WrongCodeError,
)

LIMITED: dict[str, Policy] = {
    "phone": whole(sends="2/day"),
    "ip": whole(sends="10/day", ip_sends="2/hour"),
    "region": whole(sends="10/day", region_sends={"CN": "2/day"}),
    "total": whole(sends="10/day", total_sends="2/day"),
}
RATES = {"phone": Rate(2, 86400), "ip": Rate(2, 3600), "region": Rate(2, 86400), "total": Rate(2, 86400)}


async def test_a_code_is_worth_one_proof_and_a_proof_one_redemption(counter: Counter) -> None:
    phone = new_phone()
    challenge = await counter.issue(phone)
    assert (challenge.delivery, challenge.sends_left) == ("accepted", 9)
    proof = await counter.verify(phone, counter.code(phone))
    assert proof.phone == phone
    with pytest.raises(ExpiredCodeError):
        await counter.verify(phone, counter.code(phone))
    assert await counter.redeem(proof.token, phone=phone) == proof
    with pytest.raises(UsedTokenError):
        await counter.redeem(proof.token)


async def test_a_resend_brings_the_same_code(counter: Counter) -> None:
    phone = new_phone()
    first, second = await counter.issue(phone), await counter.issue(phone)
    assert first.id == second.id
    assert len({message.code for message in counter.outbox}) == 1


async def test_wrong_codes_are_counted_until_the_challenge_is_burnt(counter: Counter) -> None:
    phone = new_phone()
    await counter.issue(phone)
    guesses = [await result(counter.verify(phone, wrong(counter.code(phone)), ip=VISITOR)) for _ in range(5)]
    assert [guess.attempts_left for guess in guesses] == [4, 3, 2, 1, 0]
    with pytest.raises(ExpiredCodeError):
        await counter.verify(phone, counter.code(phone))


async def test_many_right_codes_at_once_give_one_proof(counter: Counter) -> None:
    phone = new_phone()
    await counter.issue(phone)
    calls = [result(counter.verify(phone, counter.code(phone), ip=VISITOR)) for _ in range(CALLERS)]
    assert sum(isinstance(answer, Proof) for answer in await asyncio.gather(*calls)) == 1


@pytest.mark.parametrize("scope", LIMITED)
async def test_many_issues_at_once_send_as_many_as_a_limit_allows(
    library: str, store: Any, namespace: str, scope: str
) -> None:
    async with opened(library, store, namespace=namespace, policy=LIMITED[scope]) as counter:
        phones = [new_phone()] * CALLERS if scope == "phone" else [new_phone() for _ in range(CALLERS)]
        answers = await asyncio.gather(*[result(counter.issue(phone, ip=VISITOR)) for phone in phones])
        refused = [answer for answer in answers if isinstance(answer, RateLimitError)]
        assert (len(counter.outbox), len(refused)) == (2, CALLERS - 2)
        assert {(error.scope, error.rate) for error in refused} == {(scope, RATES[scope])}


async def test_guesses_from_one_address_are_limited_and_a_right_code_is_not_counted(
    library: str, store: Any, namespace: str
) -> None:
    policy = whole(sends="10/day", ip_failures="2/hour")
    async with opened(library, store, namespace=namespace, policy=policy) as counter:
        phone = new_phone()
        for _ in range(4):
            await counter.issue(phone)
            await counter.verify(phone, counter.code(phone), ip=VISITOR)
        guesses = [await result(counter.verify(new_phone(), "123456", ip=VISITOR)) for _ in range(3)]
        assert [type(guess) for guess in guesses] == [ExpiredCodeError, ExpiredCodeError, RateLimitError]
        assert guesses[-1].rate == Rate(2, 3600)


async def test_a_rejected_send_is_given_back_to_every_limit(library: str, store: Any, namespace: str) -> None:
    policy = Policy(sends="1/day", ip_sends="1/hour", total_sends="1/day", region_sends={"CN": "1/day"})
    async with opened(library, store, namespace=namespace, policy=policy) as counter:
        counter.outbox.reject_next()
        phone = new_phone()
        with pytest.raises(GatewayRejectedError):
            await counter.issue(phone, ip=VISITOR)
        assert await counter.status(phone) is None
        assert (await counter.issue(phone, ip=VISITOR)).delivery == "accepted"


async def test_a_key_repeats_the_answer(counter: Counter) -> None:
    phone = new_phone()
    challenges = [await counter.issue(phone, idempotency_key="form") for _ in range(2)]
    assert [challenge.replayed for challenge in challenges] == [False, True]
    assert len(counter.outbox) == 1
    proofs = [await counter.verify(phone, counter.code(phone), idempotency_key="form") for _ in range(2)]
    assert proofs[0] == proofs[1]
    redeemed = [await counter.redeem(proofs[0].token, idempotency_key="form", request="fields") for _ in range(2)]
    assert redeemed[0] == redeemed[1]
    assert [proof.replayed for proof in redeemed] == [False, True]
    for other in ("other fields", None):
        with pytest.raises(UsedTokenError):
            await counter.redeem(proofs[0].token, idempotency_key="form", request=other)
    with pytest.raises(InvalidTokenError):
        await counter.redeem(proofs[0].token, phone=None, idempotency_key="form", request="fields")


async def test_operators_can_revoke_erase_and_unblock(library: str, store: Any, namespace: str) -> None:
    policy = whole(sends="1/day", max_consecutive_failures=1)
    async with opened(library, store, namespace=namespace, policy=policy) as counter:
        phone = new_phone()
        await counter.issue(phone)
        assert (await counter.delivery(phone)).state == "delivered"
        with pytest.raises(WrongCodeError):
            await counter.verify(phone, wrong(counter.code(phone)))
        with pytest.raises(BlockedError):
            await counter.verify(phone, counter.code(phone))
        standing = await counter.standing(phone)
        assert (standing.blocked, standing.consecutive_failures, standing.sends_left) == (True, 1, 0)
        assert (standing.failures_left, standing.verify_in) == (19, 0)
        await counter.unblock(phone)
        assert not (await counter.standing(phone)).blocked
        assert (await counter.status(phone)).attempts_left == 4
        await counter.revoke(phone)
        assert await counter.status(phone) is None
        with pytest.raises(RateLimitError):
            await counter.issue(phone)
        await counter.erase(phone)
        assert (await counter.issue(phone)).delivery == "accepted"
