"""Interrupted calls on a shared connection. The tests of every line are in interrupted_tasks.py."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from support.echoes import echo, texts

from otpkit.store.aio import AsyncStore
from otpkit.store.multiplexed import MultiplexedConnection

FILE = Path(__file__).with_name("interrupted_tasks.py")


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SoftTimeLimit", "TimeLimit"])
def test_interrupt_at_every_line(error: str) -> None:
    """The connection is open, or is being opened."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-o", "addopts=", "-k", f"[{error}-", str(FILE)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=110, cwd=FILE.parents[2])
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "2 passed" in done.stdout


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_loop_interrupted_before_a_reply_was_read(
    valkey_url: str, new_loop: Callable[[], asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C raises out of the loop, which then runs again to clean up.

    The bytes read are lost, and no caller gets them.
    """
    received = MultiplexedConnection.data_received
    loop = new_loop()
    store = AsyncStore(valkey_url)

    def interrupted(connection: MultiplexedConnection, data: bytes) -> None:
        monkeypatch.setattr(MultiplexedConnection, "data_received", received)
        raise KeyboardInterrupt

    async def cleaned_up(task: asyncio.Task[Any]) -> list[str]:
        task.cancel()
        await asyncio.wait({task})
        told = []

        async def ask(text: str) -> None:
            told.append((text, await echo(store, text)))

        async with asyncio.timeout(3), asyncio.TaskGroup() as group:
            for text in texts(3):
                group.create_task(ask(text))
                await asyncio.sleep(0.02)
        return [reply for text, reply in told if text != reply]

    try:
        loop.run_until_complete(echo(store, "warm"))
        monkeypatch.setattr(MultiplexedConnection, "data_received", interrupted)
        task = loop.create_task(echo(store, "lost"))
        with contextlib.suppress(KeyboardInterrupt):
            loop.run_until_complete(task)
        assert loop.run_until_complete(cleaned_up(task)) == []
    finally:
        loop.run_until_complete(store.close())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
