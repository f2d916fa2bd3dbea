"""A server's refusal on a shared connection affects one caller. The others get their replies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.echoes import Text, echo, echo_all, endpoint_of, storing, texts
from support.wire import Wire

from otpkit import ConfigurationError, OTPError, StoreUnavailableError
from otpkit.effects import RunScript
from otpkit.store.aio import AsyncStore
from otpkit.store.retry import RetryBudget

TASKS = 64
GIVEN_UP = [
    "READONLY You can't write against a read only replica.",
    "CLUSTERDOWN Hash slot not served",
    "LOADING Redis",
]
KEPT = ["TRYAGAIN Multiple keys request during rehashing of slot", "OOM command not allowed", "ERR something"]


@pytest.fixture(params=["valkey", "redis"])
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    async with Wire(request.getfixturevalue(f"{request.param}_url")) as wire:
        yield wire


@pytest.fixture
async def store(wire: Wire) -> AsyncIterator[AsyncStore]:
    async with storing(wire.url) as store:
        yield store


async def refused(store: AsyncStore, refusal: str) -> OTPError:
    """Return the error of a call whose script is refused."""
    script = Text("refused", f'return redis.error_reply("{refusal}")')
    with pytest.raises(OTPError) as told:
        await store.run(RunScript(script, ("key",), ()), RetryBudget())
    return told.value


@pytest.mark.parametrize("refusal", GIVEN_UP)
async def test_connection_is_given_up_after_the_others_replies(wire: Wire, store: AsyncStore, refusal: str) -> None:
    """A new connection may lead to another server. The refused caller causes one for each of its attempts."""
    names = texts(TASKS)
    early = asyncio.ensure_future(echo_all(store, names[: TASKS // 2]))
    told = asyncio.ensure_future(refused(store, refusal))
    late = asyncio.ensure_future(echo_all(store, names[TASKS // 2 :]))
    assert await early + await late == names
    assert isinstance(await told, StoreUnavailableError)
    assert await echo(store, "next") == "next"
    assert wire.opened <= 4
    assert (wire.open, len(endpoint_of(store)._open)) <= (1, 1)


@pytest.mark.parametrize("refusal", KEPT)
async def test_connection_is_kept(wire: Wire, store: AsyncStore, refusal: str) -> None:
    """The refused callers retry on the same connection."""
    told = [asyncio.ensure_future(refused(store, refusal)) for _ in range(8)]
    assert await echo_all(store, texts(TASKS)) == texts(TASKS)
    assert {type(error) for error in await asyncio.gather(*told)} == {StoreUnavailableError}
    assert wire.opened == 1


@pytest.mark.parametrize("refusal", GIVEN_UP)
async def test_all_are_refused_at_once(wire: Wire, store: AsyncStore, refusal: str) -> None:
    """The callers share each new connection, so there are few of them."""
    told = await asyncio.gather(*[refused(store, refusal) for _ in range(TASKS)])
    assert {type(error) for error in told} == {StoreUnavailableError}
    assert wire.opened < TASKS  # There are 192 attempts.
    assert len({id(error) for error in told}) == TASKS


@pytest.mark.parametrize("refusal", ["MOVED 1 127.0.0.1:1", "ASK 1 127.0.0.1:1", "NOPERM this user has no permissions"])
async def test_misconfiguration_is_told(wire: Wire, store: AsyncStore, refusal: str) -> None:
    """The server is a cluster's node, or the user lacks a permission. A retry can't help."""
    assert isinstance(await refused(store, refusal), ConfigurationError)
    assert await echo_all(store, texts(TASKS)) == texts(TASKS)
    assert wire.opened == 1
