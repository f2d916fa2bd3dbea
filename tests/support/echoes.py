"""Test scripts that return their arguments, so that a reply to the wrong caller is visible."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from otpkit import StoreUnavailableError
from otpkit.effects import RunScript, Script
from otpkit.store.aio import AsyncStore
from otpkit.store.endpoint import Endpoint
from otpkit.store.retry import RetryBudget


class Text(Script[str]):
    """A script that returns a text."""

    __slots__ = ()

    def read(self, reply: object, args: tuple[bytes | str | int, ...]) -> str:
        """Return the text."""
        if not isinstance(reply, bytes):
            raise TypeError
        return reply.decode()


ECHO = Text("echo", "return ARGV[1]")
SEEN = Text("seen", "redis.call('RPUSH', KEYS[1], ARGV[1]) return ARGV[1]")
"""A list that records its arguments."""


async def echo(store: AsyncStore, text: str, script: Script[str] = ECHO, key: str = "echo") -> str:
    """Return the server's reply for a text."""
    return await store.run(RunScript(script, (key,), (text,)), RetryBudget())


async def echo_or_error(store: AsyncStore, text: str) -> str | StoreUnavailableError:
    """Return the server's reply for a text, or the error that the store is unavailable."""
    try:
        return await echo(store, text)
    except StoreUnavailableError as error:
        return error


async def echo_all(store: AsyncStore, texts: list[str]) -> list[str | StoreUnavailableError]:
    """Return the server's replies for concurrent texts. Raise if a caller received another caller's text."""
    outcomes = await asyncio.gather(*[echo_or_error(store, text) for text in texts])
    for text, outcome in zip(texts, outcomes, strict=True):
        assert outcome == text or isinstance(outcome, StoreUnavailableError), (text, outcome)
    return list(outcomes)


def texts(count: int, prefix: str = "") -> list[str]:
    """Return `count` texts of the same length."""
    return [f"{prefix}{number:05d}" for number in range(count)]


def endpoint_of(store: AsyncStore) -> Endpoint:
    """Return a store's state of its one server in the running loop."""
    binding: Any = store._bindings[asyncio.get_running_loop()]
    found: Endpoint = binding.endpoint(None)
    return found


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Run the loop until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come to hold"
        await asyncio.sleep(0)


def awaits_replies(store: AsyncStore) -> bool:
    """Return whether a sent command has no reply yet."""
    return any(connection._due for connection in endpoint_of(store)._open)


@contextlib.asynccontextmanager
async def storing(url: str) -> AsyncIterator[AsyncStore]:
    """Yield a connected store by URL whose server has the scripts. Close it at the end."""
    store = AsyncStore(url)
    try:
        for script in (ECHO, SEEN):
            await echo(store, "warm", script, "warm")
        yield store
    finally:
        await store.close()
