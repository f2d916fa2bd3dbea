"""No retry gets a reply: the call fails in time, and nothing is sent or granted. Late replies are not used."""

from __future__ import annotations

import time
from typing import Any

import pytest
from support.callers import result
from support.proxied import staged, told
from support.proxy import Fault, Proxy
from support.rig import OTHER_PHONE, PHONE, wrong

from otpkit import StoreUnavailableError


@pytest.mark.parametrize("action", ["drop", "refuse"])
async def test_a_reservation_lost_for_good_sends_nothing(
    proxy: Proxy, seat_url: str, namespace: str, kind: str, action: Any
) -> None:
    """All retries are cut. The call fails within seconds and sends no message. Other phones work."""
    async with staged(kind, proxy, seat_url, namespace) as stage:
        proxy.expect("reserve", *[Fault(action)] * 3, *[Fault(action)] * (kind.endswith("client")))
        began = time.monotonic()
        assert isinstance(await result(stage.caller.issue(PHONE)), StoreUnavailableError)
        assert time.monotonic() - began < 10
        assert (len(stage.outbox), proxy.planned()) == (0, 0)
        assert (await stage.caller.issue(OTHER_PHONE)).delivery == "accepted"


@pytest.mark.parametrize("script", ["verify", "redeem"])
async def test_an_answer_lost_for_good_grants_nothing(
    proxy: Proxy, seat_url: str, namespace: str, kind: str, script: str
) -> None:
    """Without a reply there is no proof and no redemption. With a key, the repeated form gets it."""
    async with staged(kind, proxy, seat_url, namespace) as stage:
        await stage.caller.issue(PHONE)
        faults = [Fault("drop")] * (4 if kind.endswith("client") else 3)
        proxy.expect("verify", *faults * (script == "verify"))
        first = await result(stage.caller.verify(PHONE, stage.code, idempotency_key="form"))
        assert isinstance(first, StoreUnavailableError) is (script == "verify")
        proof = await stage.caller.verify(PHONE, stage.code, idempotency_key="form")
        proxy.expect("redeem", *faults * (script == "redeem"))
        second = await result(stage.caller.redeem(proof.token, idempotency_key="form"))
        assert isinstance(second, StoreUnavailableError) is (script == "redeem")
        assert await stage.caller.redeem(proof.token, idempotency_key="form") == proof
        assert stage.kept()[0] == {"p": 1, "r": 1, "s": 1}


@pytest.mark.parametrize("action", ["drop", "refuse"])
@pytest.mark.parametrize(("fail", "script"), [(None, "settle"), ("lose_next", "settle"), ("reject_next", "undo")])
async def test_after_the_hand_over_the_gateways_outcome_is_reported(
    proxy: Proxy, seat_url: str, namespace: str, kind: str, action: Any, fail: str | None, script: str
) -> None:
    """When settle or undo fails, `issue` still reports the gateway's outcome. An unsettled send becomes uncertain."""
    async with staged(kind, proxy, seat_url, namespace) as stage:
        if fail:
            getattr(stage.outbox, fail)()
        proxy.expect(script, *[Fault(action)] * (4 if kind.endswith("client") else 3))
        answer = await result(stage.caller.issue(PHONE))
        wanted = {None: "accepted", "lose_next": "uncertain"}.get(fail)
        assert getattr(answer, "delivery", type(answer).__name__) == (wanted or "GatewayRejectedError")
        assert proxy.planned() == 0
        stage.clock.advance(30)
        later = await stage.caller.status(PHONE)
        if action == "refuse":
            assert later.delivery == "uncertain"
        else:
            assert later is None if fail == "reject_next" else later.delivery == wanted


async def test_a_late_reply_is_a_lost_one(proxy: Proxy, seat_url: str, namespace: str, kind: str) -> None:
    """The client timed out and retried. It returns the first attempt's result."""
    async with staged(kind, proxy, seat_url, namespace) as stage:
        pool = stage.caller.otp._store.client.connection_pool
        pool.connection_kwargs["socket_timeout"] = 0.1
        await stage.caller.issue(PHONE)
        proxy.expect("verify", Fault("delay", seconds=0.3))
        assert (await result(stage.caller.verify(PHONE, wrong(stage.code)))).attempts_left == 4
        proxy.expect("verify", Fault("delay", seconds=0.3))
        assert told(await result(stage.caller.verify(PHONE, stage.code)))[0] == "proof"
        assert stage.kept()[0] == {"f": 1, "p": 1, "s": 1}
