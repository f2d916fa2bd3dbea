"""A guard on a cluster, where its scopes lie on other nodes than phones, and behind Sentinels."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any, ClassVar

from counters import CALLERS, VISITOR, Counter, opened, result, wrong

from otpkit import CaptchaRequiredError, GatewayRejectedError, Guard, Policy
from otpkit.captcha.base import Captcha, CaptchaCheck, Verdict
from otpkit.effects import Flow
from otpkit.guard.rule import Rule

FREE = Policy(ip_sends=None, ip_failures=None, sends="32/day")
WIDE: dict[str, float] = dict.fromkeys(
    ["range_floor", "address_floor", "network_floor", "short_floor", "day_floor"], 10**6
)
_blocks = count()


class AnyAnswer(Captcha):
    """A captcha that passes every answer."""

    name: ClassVar[str] = "any"

    def parameters(self, purpose: str, now_ms: int | None = None) -> dict[str, object]:
        return {"provider": self.name}

    def verify(self, answer: str, check: CaptchaCheck) -> Flow[Verdict]:
        return Verdict(passed=True)
        yield


def guard(**numbers: float) -> Guard:
    return Guard("enforce", AnyAnswer(), fallback="refuse", rule=Rule(**(WIDE | numbers)))


def phones(number: int = CALLERS) -> list[str]:
    """Return phones of a range that no other test uses."""
    block = next(_blocks)
    return [f"+86136{block:04d}{i:04d}" for i in range(number)]


async def counts(counter: Counter, phone: str, ip: str | None = None) -> dict[str, tuple[int, int]]:
    """Return the unverified and the verified sends of a phone's scopes."""
    report = await counter.guard_report(1, phone=phone, ip=ip)
    found = [each for scope in report.scopes for each in scope.subjects if each.scope != "guesses"]
    return {each.scope: (each.unverified, each.verified) for each in found}


async def test_parallel_sends_count_once_in_each_scope(library: str, store: Any, namespace: str) -> None:
    async with opened(library, store, namespace=namespace, policy=FREE, guard=guard()) as counter:
        numbers = phones()
        await asyncio.gather(*[counter.issue(phone, ip=VISITOR) for phone in numbers])
        assert set((await counts(counter, numbers[0], VISITOR)).values()) == {(CALLERS, 0)}
        await asyncio.gather(*[counter.verify(phone, counter.code(phone), ip=VISITOR) for phone in numbers[:9]])
        assert set((await counts(counter, numbers[0], VISITOR)).values()) == {(CALLERS - 9, 9)}


async def test_rejected_and_replayed_sends_are_given_back(library: str, store: Any, namespace: str) -> None:
    async with opened(library, store, namespace=namespace, policy=FREE, guard=guard()) as counter:
        one, other = phones(2)
        counter.outbox.reject_next()
        assert isinstance(await result(counter.issue(one, ip=VISITOR)), GatewayRejectedError)
        assert set((await counts(counter, one, VISITOR)).values()) <= {(0, 0)}
        await counter.issue(other, ip=VISITOR, idempotency_key="form")
        assert (await counter.issue(other, ip=VISITOR, idempotency_key="form")).replayed
        assert set((await counts(counter, one, VISITOR)).values()) == {(1, 0)}


async def test_captcha_is_asked_by_one_scope_alone(library: str, store: Any, namespace: str) -> None:
    """What it asks is counted nowhere, and an answer is used once."""
    async with opened(library, store, namespace=namespace, policy=FREE, guard=guard(range_floor=3)) as counter:
        numbers = phones()
        for phone in numbers[:3]:
            await counter.issue(phone, ip=VISITOR)
        before = await counts(counter, numbers[0], VISITOR)
        for phone in numbers[3:6]:
            refused = await result(counter.issue(phone, ip=VISITOR))
            assert isinstance(refused, CaptchaRequiredError)
            assert refused.reasons == ("range",)
        assert await counts(counter, numbers[0], VISITOR) == before
        answers = [result(counter.issue(phone, ip=VISITOR, captcha="ok")) for phone in numbers[6:]]
        sent = [each for each in await asyncio.gather(*answers) if not isinstance(each, Exception)]
        assert len(sent) == 1
        after = await counts(counter, numbers[0], VISITOR)
        assert (after["range"], after["ip"], after["region"]) == ((4, 0), (4, 0), (3, 0))


async def test_no_more_pass_than_a_range_allows(library: str, store: Any, namespace: str) -> None:
    """In a race: each scope judges and counts in one step."""
    async with opened(library, store, namespace=namespace, policy=FREE, guard=guard(range_floor=5)) as counter:
        numbers = phones()
        answers = await asyncio.gather(*[result(counter.issue(phone, ip=VISITOR)) for phone in numbers])
        assert sum(isinstance(each, CaptchaRequiredError) for each in answers) == CALLERS - 5
        assert len(counter.outbox) == 5


async def test_guesses_count_once_and_leave_with_the_code(library: str, store: Any, namespace: str) -> None:
    async with opened(library, store, namespace=namespace, policy=FREE, guard=guard()) as counter:
        (phone,) = phones(1)
        await counter.issue(phone)
        for _ in range(2):
            await result(counter.verify(phone, wrong(counter.code(phone))))
        assert await guesses(counter, phone) == 1
        await counter.verify(phone, counter.code(phone))
        assert await guesses(counter, phone) == 0


async def guesses(counter: Counter, phone: str) -> int:
    report = await counter.guard_report(1, phone=phone)
    (found,) = [each for scope in report.scopes for each in scope.subjects if each.scope == "guesses"]
    return int(found.unverified)
