"""A call waits 3 s at most for Redis, over all its scripts. The gateway's time is not included."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from mortal import Mortal
from support.callers import Caller, calling, loaded, result
from support.proxy import Fault, Proxy
from support.rig import PHONE

from otpkit import Challenge, GatewayRejectedError, StoreUnavailableError
from otpkit.gateways import Failover, Message
from otpkit.store.aio import AsyncStore
from otpkit.store.sync import SyncStore
from otpkit.testing import Outbox

TOTAL_S, SLACK_S = 3.0, 0.8
pytestmark = pytest.mark.parametrize("binary", ["valkey"], indirect=True)  # Any server that hangs is alike.
IP = "203.0.113.7"


def rejecting(before: Callable[[], object]) -> Any:
    def gateway(message: Message) -> None:
        before()
        raise GatewayRejectedError("no", gateway="broken", category="connection")

    return gateway


async def timed(call: Any) -> tuple[Any, float]:
    began = time.monotonic()
    outcome = await result(call)
    return outcome, time.monotonic() - began


GATEWAYS: dict[str, Callable[[Callable[[], object]], Any]] = {
    "accepted": lambda hang: lambda message: hang(),
    "rejected": rejecting,
    "a failover of two": lambda hang: Failover([rejecting(hang), rejecting(hang)]),
    "a failover of four": lambda hang: Failover([rejecting(hang) for _ in range(4)]),
}


@pytest.mark.parametrize("clustered", [False, True], ids=["one server", "limits on other nodes"])
@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_a_server_that_hangs_at_the_hand_over(
    own: Mortal, kind: str, gateway: str, clustered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remaining scripts share the remaining time: settle, undo, the gateway's state, refunds."""
    for store in (SyncStore, AsyncStore):
        monkeypatch.setattr(store, "clustered", clustered)
    with loaded(own.url):
        async with calling(kind, own.url, GATEWAYS[gateway](own.hang)) as caller:
            try:
                outcome, took = await timed(caller.issue(PHONE, ip=IP))
            finally:
                own.go_on()
    assert isinstance(outcome, Challenge if gateway == "accepted" else GatewayRejectedError), outcome
    assert took < TOTAL_S + SLACK_S


async def test_what_a_gateway_takes_is_not_counted(own: Mortal, kind: str) -> None:
    """A message that took longer than the whole limit for Redis is settled anyway."""
    with loaded(own.url):
        async with calling(kind, own.url, lambda message: time.sleep(TOTAL_S + 0.5)) as caller:
            assert (await caller.issue(PHONE)).delivery == "accepted"
            assert (await caller.status(PHONE)).delivery == "accepted"


@contextlib.asynccontextmanager
async def proxied(kind: str, url: str, gateway: Any, **options: Any) -> AsyncIterator[tuple[Caller, Proxy]]:
    with loaded(url) as by_sha, Proxy(url, by_sha) as proxy:
        async with calling(kind, proxy.url, gateway, **options) as caller:
            yield caller, proxy


@pytest.mark.parametrize("seconds", [0.3, 0.9])
@pytest.mark.parametrize("call", ["status", "standing", "issue", "verify"])
async def test_a_reply_that_drips_in(own: Mortal, kind: str, call: str, seconds: float) -> None:
    """Each byte arrives in time, but the whole reply never does."""
    async with proxied(kind, own.url, Outbox()) as (caller, proxy):
        await caller.issue("+8613900139000")
        script = {"issue": "reserve"}.get(call, call)
        proxy.expect(script, *[Fault("drip", seconds)] * 5)
        arguments = ("123456",) if call == "verify" else ()
        outcome, took = await timed(getattr(caller, call)(PHONE, *arguments))
        assert isinstance(outcome, StoreUnavailableError)
        assert took < TOTAL_S + SLACK_S
        proxy.forget()
        assert isinstance(await caller.issue("+8613900139001"), Challenge)


async def test_slow_answers_add_up(own: Mortal, kind: str) -> None:
    """Each script takes 0.8 s, so the call's time is over before its last script."""
    async with proxied(kind, own.url, Failover([rejecting(lambda: None)] * 1 + [rejecting(lambda: None)])) as (
        caller,
        proxy,
    ):
        await caller.status(PHONE)
        for script in ("reserve", "circuit_state", "record_failure", "undo", "status"):
            proxy.expect(script, *[Fault("delay", 0.8)] * 5)
        outcome, took = await timed(caller.issue(PHONE))
        assert isinstance(outcome, GatewayRejectedError)
        assert took < TOTAL_S + SLACK_S


async def test_many_quick_scripts_are_no_slow_call(own: Mortal, kind: str) -> None:
    """Hundreds of receipts that are each answered at once have no common time limit."""
    async with proxied(kind, own.url, Outbox()) as (caller, _):
        from otpkit.effects import Together

        scripts = caller.otp._config.scripts

        def flow() -> Any:
            for _ in range(150):
                yield Together((scripts.status(phone_key="t:{p}:p", now="", challenge_field=b"12345678"),) * 8)
            return "done"

        began = time.monotonic()
        done = caller._drive(flow())
        assert await done == "done"
        assert time.monotonic() - began < 60


async def test_the_next_call_has_its_own_time(own: Mortal, kind: str) -> None:
    async with proxied(kind, own.url, Outbox()) as (caller, proxy):
        await caller.status(PHONE)
        proxy.expect("status", *[Fault("swallow")] * 5)
        assert isinstance(await result(caller.status(PHONE)), StoreUnavailableError)
        proxy.forget()
        assert isinstance(await caller.issue(PHONE), Challenge)
