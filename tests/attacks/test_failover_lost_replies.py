"""The gateways' shared state in Redis under lost replies: each failure counts once, and no message depends on it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis
from support.callers import calling, result
from support.proxy import Fault, Proxy
from support.rig import PHONE

from otpkit import Policy
from otpkit.gateways import Delivery, Failover, Push, Receipts
from otpkit.testing import Outbox

OFTEN = Policy(sends="32/day")


class Pushing(Outbox):
    """A gateway whose provider pushes deliveries."""

    name = "pushing"

    def receipts(self, push: Push) -> Receipts:
        """Return the deliveries of a push without any check."""
        return Receipts(tuple(Delivery(state="delivered", phone=PHONE, send_id=each) for each in json.loads(push.body)))


class Two:
    """Two gateways of one caller. The test decides the rejections of the first."""

    def __init__(self) -> None:
        self.first, self.second = Pushing(), Outbox()
        self.gateway = Failover([self.first, self.second])

    def messages(self) -> tuple[int, int]:
        return len(self.first), len(self.second)


def rested(url: str, namespace: str) -> dict[bytes, bytes]:
    """Return the stored number of failures of each gateway."""
    with redis.Redis.from_url(url) as server:
        found: dict[bytes, bytes] = server.hgetall(f"{namespace}:{{gateways}}:g")
    return {name: value.split()[0] for name, value in found.items()}


@pytest.mark.parametrize("action", ["drop", "cut", "refuse"])
@pytest.mark.parametrize("script", ["circuit_state", "record_failure"])
async def test_a_failure_counts_once(
    proxy: Proxy, seat_url: str, namespace: str, kind: str, script: str, action: Any
) -> None:
    """The next gateway sends one message."""
    two = Two()
    async with calling(kind, proxy.url, two.gateway, namespace=namespace, policy=OFTEN) as caller:
        two.first.reject_next()
        proxy.expect(script, Fault(action))
        challenge = await result(caller.issue(PHONE))
        assert proxy.planned() == 0
    assert (challenge.gateway, challenge.delivery, two.messages()) == ("outbox", "accepted", (0, 1))
    assert rested(seat_url, namespace) == {b"pushing": b"1"}


async def test_a_message_is_sent_although_the_gateways_state_is_unknown(
    proxy: Proxy, seat_url: str, namespace: str, kind: str
) -> None:
    """All replies about gateways are lost. Those about the phone arrive."""
    two = Two()
    async with calling(kind, proxy.url, two.gateway, namespace=namespace, policy=OFTEN) as caller:
        two.first.reject_next()
        for script in ("circuit_state", "record_failure"):
            proxy.expect(script, *[Fault("drop")] * (4 if kind.endswith("client") else 3))
        challenge = await result(caller.issue(PHONE))
        assert proxy.planned() == 0
        assert (challenge.gateway, challenge.delivery, two.messages()) == ("outbox", "accepted", (0, 1))
        assert await caller.verify(PHONE, two.second[-1].code)


@pytest.mark.parametrize("action", ["drop", "cut", "refuse"])
async def test_a_receipt_is_kept_although_the_reply_is_lost(
    proxy: Proxy, seat_url: str, namespace: str, kind: str, action: Any
) -> None:
    """The provider gets its answer."""
    gateway = Pushing()
    async with calling(kind, proxy.url, gateway, namespace=namespace, policy=OFTEN) as caller:
        await caller.issue(PHONE)
        proxy.expect("receive", Fault(action))
        told = Push("https://site.example/", {}, json.dumps([gateway[-1].send_id]).encode())
        assert (await result(caller.receive(told))).status == 200
        assert proxy.planned() == 0
        assert (await caller.status(PHONE)).delivery == "delivered"
