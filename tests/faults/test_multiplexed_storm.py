"""Random faults on a shared connection: no caller gets another's reply, and no caller hangs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from support.echoes import echo, echo_all, endpoint_of, storing, texts, until
from support.wire import FOREVER, Wire

from otpkit import StoreUnavailableError
from otpkit.store import endpoint
from otpkit.store.aio import AsyncStore

CALLERS, CALLS = 24, 25
FEW = 3  # Commands at once.
ENDS_S = 8.0


@pytest.fixture
async def wire(valkey_url: str) -> AsyncIterator[Wire]:
    async with Wire(valkey_url) as wire:
        yield wire


@pytest.fixture
async def store(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncStore]:
    monkeypatch.setattr(endpoint, "MAX_UNANSWERED", FEW)
    async with storing(f"{wire.url}?socket_timeout=0.1") as store:
        yield store


async def rage(wire: Wire, store: AsyncStore, chance: random.Random) -> None:
    """Break the connection in every way, repeatedly."""
    try:
        while True:
            await asyncio.sleep(chance.choice([0, 0.001, 0.003, 0.01]))
            match chance.randrange(8):
                case 0:
                    wire.reset_all()
                case 1:
                    wire.close_all()
                case 2:
                    wire.requests = chance.randrange(2000)
                case 3:
                    wire.replies = chance.randrange(300)
                case 4:
                    wire.flows.clear()
                    await asyncio.sleep(chance.choice([0.001, 0.02, 0.15]))
                    wire.flows.set()
                case 5:
                    wire.drip_s = chance.choice([0.0, 0.0005])
                case 6:
                    current = endpoint_of(store).current
                    if current is not None:
                        current.retire()
                case 7:
                    wire.is_refusing = True
                    await asyncio.sleep(0.002)
                    wire.is_refusing = False
    finally:
        wire.flows.set()
        wire.requests = wire.replies = FOREVER
        wire.drip_s, wire.is_refusing = 0.0, False


async def live(store: AsyncStore, name: str, chance: random.Random) -> int:
    """Call repeatedly, cancel some calls, and return the number of answered ones."""
    answered = 0
    for number in range(CALLS):
        call = asyncio.ensure_future(echo(store, f"{name}.{number}"))
        if chance.random() < 0.2:
            await asyncio.wait({call}, timeout=chance.choice([0, 0.001, 0.01, 0.05]))
            call.cancel()
        _, pending = await asyncio.wait({call}, timeout=ENDS_S)
        assert not pending, "a caller hangs"
        if call.cancelled():
            continue
        if isinstance(call.exception(), StoreUnavailableError):
            continue
        assert call.result() == f"{name}.{number}"
        answered += 1
    return answered


@pytest.mark.parametrize("seed", range(8))
async def test_storm(wire: Wire, store: AsyncStore, seed: int) -> None:
    """Twenty-four callers share three commands at once, and the connection breaks every few milliseconds."""
    chance = random.Random(seed)
    raging = asyncio.ensure_future(rage(wire, store, chance))
    answered = await asyncio.gather(*[live(store, name, chance) for name in texts(CALLERS)])
    raging.cancel()
    await asyncio.wait({raging})
    assert sum(answered) > 0
    assert await echo_all(store, texts(CALLERS)) == texts(CALLERS)
    endpoint = endpoint_of(store)
    await until(lambda: endpoint.is_idle)
    assert len([each for each in endpoint._open if not each.has_ended]) == 1
