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
