"""Budgets on a cluster, where they lie on another node than phones, and behind Sentinels."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from counters import CALLERS, new_phone, opened, result

from otpkit import Budget, Event, GatewayRejectedError, Policy, RateLimitError

PRICES = {"CN": "0.3 CNY"}


async def test_parallel_calls_spend_the_exact_amount(library: str, store: Any, namespace: str) -> None:
    events: list[Event] = []
    budgets = [Budget("1.5 CNY/day", keep=0, hourly=1, alerts=(0.5,)), Budget("90 CNY/month")]
    more: dict[str, Any] = {"budgets": budgets, "prices": PRICES, "on_event": events.append}
    async with opened(library, store, namespace=namespace, policy=Policy(total_sends="99/day"), **more) as counter:
        phones = [new_phone() for _ in range(CALLERS)]
        answers = await asyncio.gather(*[result(counter.issue(phone)) for phone in phones])
        refused = [answer for answer in answers if isinstance(answer, RateLimitError)]
        assert (len(counter.outbox), len(refused)) == (5, CALLERS - 5)
        assert {error.scope for error in refused} == {"budget"}
        found = await counter.spending()
        assert [each.spent for each in found] == [Decimal("1.5")] * 2
        assert found[0].refused["amount"] == CALLERS - 5
        assert [each.outcome for each in events if each.name == "budget"].count("alert") == 1


async def test_a_rejected_send_is_given_back(library: str, store: Any, namespace: str) -> None:
    budgets = [Budget("0.3 CNY/day", keep=0)]
    async with opened(library, store, namespace=namespace, budgets=budgets, prices=PRICES) as counter:
        counter.outbox.reject_next()
        with pytest.raises(GatewayRejectedError):
            await counter.issue(new_phone())
        assert (await counter.spending())[0].spent == 0
        phone = new_phone()
        assert (await counter.issue(phone, idempotency_key="form")).delivery == "accepted"
        assert (await counter.issue(phone, idempotency_key="form")).replayed
        refused = await result(counter.issue(new_phone()))
        assert refused.scope == "budget"
        assert (await counter.spending())[0].spent == Decimal("0.3")


async def test_a_limit_that_refuses_takes_no_money(library: str, store: Any, namespace: str) -> None:
    policy = Policy(sends="1/day", total_sends="2/day")
    budgets = [Budget("9 CNY/day")]
    async with opened(library, store, namespace=namespace, policy=policy, budgets=budgets, prices=PRICES) as counter:
        phone = new_phone()
        await counter.issue(phone)
        assert (await result(counter.issue(phone))).scope == "phone"
        await counter.issue(new_phone())
        assert (await result(counter.issue(new_phone()))).scope == "total"
        assert (await counter.spending())[0].spent == Decimal("0.6")


async def test_device_and_known_spend_what_is_kept(library: str, store: Any, namespace: str) -> None:
    """A token is worth that for its own phone alone, until its phone's devices are forgotten."""
    budgets = [Budget("3 CNY/day", keep=0.5, hourly=1)]
    policy = Policy(sends="9/day", device_sends="4/day")
    async with opened(library, store, namespace=namespace, policy=policy, budgets=budgets, prices=PRICES) as counter:
        phone, other = new_phone(), new_phone()
        await counter.issue(phone)
        device = (await counter.verify(phone, counter.code(phone))).device
        for _ in range(4):
            await counter.issue(new_phone())
        for options in ({}, {"device": "junk"}, {"device": f"{device}x"}):
            assert (await result(counter.issue(phone, **options))).scope == "budget"
        assert (await result(counter.issue(other, device=device))).scope == "budget"
        assert (await counter.issue(phone, device=f"junk~{device}")).delivery == "accepted"
        assert (await counter.issue(other, known=True)).delivery == "accepted"
        assert (await counter.spending())[0].spent == Decimal("2.1")
        await counter.forget_devices(phone)
        assert (await result(counter.issue(phone, device=device))).scope == "budget"
        assert (await counter.spending())[0].refused == {"amount": 0, "keep": 5, "hour": 0}


async def test_devices_spend_the_exact_amount(library: str, store: Any, namespace: str) -> None:
    """Side by side with strangers, who get no more than what is open."""
    budgets = [Budget("6 CNY/day", keep=0.25, hourly=1)]  # 20 messages, of which 15 are open.
    policy = Policy(sends="9/day", device_sends="8/day")
    async with opened(library, store, namespace=namespace, policy=policy, budgets=budgets, prices=PRICES) as counter:
        phones = [new_phone() for _ in range(2)]
        devices = []
        for phone in phones:
            await counter.issue(phone)
            devices.append((await counter.verify(phone, counter.code(phone))).device)
        strangers = [result(counter.issue(new_phone())) for _ in range(CALLERS)]
        own = [result(counter.issue(phone, device=device)) for phone, device in zip(phones, devices, strict=True)]
        answers = await asyncio.gather(*strangers, *own)
        assert [type(each).__name__ for each in answers[CALLERS:]] == ["Challenge"] * 2
        assert 11 <= sum(not isinstance(each, RateLimitError) for each in answers[:CALLERS]) <= 13
        assert (await counter.spending())[0].spent <= Decimal(6)
        for phone, device in zip(phones, devices, strict=True):
            for _ in range(2):
                await result(counter.issue(phone, device=device))
        assert (await counter.spending())[0].spent == Decimal("0.3") * len(counter.outbox)
        await asyncio.gather(*[result(counter.issue(phones[0], device=devices[0])) for _ in range(CALLERS)])
        assert (await counter.spending())[0].spent == Decimal(6)
        assert len(counter.outbox) == 20
