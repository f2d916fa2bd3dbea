"""Scripts of tests: they return what they were given, so that a reply that reached another caller shows."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from otpkit import StoreUnavailableError
from otpkit.effects import RunScript, Script
from otpkit.store.aio import AsyncStore
from otpkit.store.multiplexed import Endpoint
from otpkit.store.retry import RetryBudget


class Text(Script[str]):
    """A script that returns a text, whichever."""

    __slots__ = ()

    def read(self, reply: object, args: tuple[bytes | str | int, ...]) -> str:
        """Return the text."""
        if not isinstance(reply, bytes):
            raise TypeError
        return reply.decode()


ECHO = Text("echo", "return ARGV[1]")
SEEN = Text("seen", "redis.call('RPUSH', KEYS[1], ARGV[1]) return ARGV[1]")
"""Notes in a list what it was given."""


async def echo(store: AsyncStore, text: str, script: Script[str] = ECHO, key: str = "echo") -> str:
    """Return what the server gives for a text."""
    return await store.run(RunScript(script, (key,), (text,)), RetryBudget())


async def echo_or_error(store: AsyncStore, text: str) -> str | StoreUnavailableError:
    """Return what the server gives for a text, or that the store is unavailable."""
    try:
        return await echo(store, text)
    except StoreUnavailableError as error:
        return error


async def echo_all(store: AsyncStore, texts: list[str]) -> list[str | StoreUnavailableError]:
    """Return what the server gives for each text, all asked at once; raises where a text reached another caller."""
    outcomes = await asyncio.gather(*[echo_or_error(store, text) for text in texts])
    for text, outcome in zip(texts, outcomes, strict=True):
        assert outcome == text or isinstance(outcome, StoreUnavailableError), (text, outcome)
    return list(outcomes)


def texts(count: int, prefix: str = "") -> list[str]:
    """Return as many texts, of one length."""
    return [f"{prefix}{number:05d}" for number in range(count)]


def endpoint_of(store: AsyncStore) -> Endpoint:
    """Return what a store has of the one server in the running loop."""
    binding: Any = store._bindings[asyncio.get_running_loop()]
    found: Endpoint = binding.endpoint(None)
    return found


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Let the loop run until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come to hold"
        await asyncio.sleep(0)


def awaits_replies(store: AsyncStore) -> bool:
    """Tell whether commands were sent that are not answered."""
    return any(connection._due for connection in endpoint_of(store)._open)


@contextlib.asynccontextmanager
async def storing(url: str) -> AsyncIterator[AsyncStore]:
    """Give a store by URL that has connected, and whose server knows the scripts; close it afterwards."""
    store = AsyncStore(url)
    try:
        for script in (ECHO, SEEN):
            await echo(store, "warm", script, "warm")
        yield store
    finally:
        await store.close()
