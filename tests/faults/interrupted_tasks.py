"""One task is interrupted at every line of the async store: no reply reaches another caller, and no caller hangs.

test_multiplexed_interrupted.py runs these tests in a process of their own: an interrupt leaves traces in libraries.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Coroutine
from types import FrameType
from typing import Any

import pytest
from support.echoes import echo, endpoint_of, texts

from otpkit import StoreUnavailableError
from otpkit.store import endpoint
from otpkit.store.aio import AsyncStore

LINES = 3000  # The upper bound: every scene runs fewer lines.
FILES = (
    "store/multiplexed.py",
    "store/endpoint.py",
    "store/aio.py",
    "store/binding.py",
    "store/loops.py",
    "store/protocol.py",
)
CALLERS = 4
FEW = 2  # Commands at once. With so few, callers have to queue.
ENDS_S = 8.0


class TimeLimit(BaseException):
    """A signal handler's error that may be raised at any line."""


class SoftTimeLimit(Exception):
    """A signal handler's error that application code may catch."""


class Interruption:
    """Raises an error when the `number`th line of these files runs, in a task or in a callback of the loop."""

    def __init__(self, number: int, error: type[BaseException]) -> None:
        self.left, self.error, self.place = number, error, ""

    def __enter__(self) -> None:
        self.before = sys.gettrace()
        sys.settrace(self.trace)

    def __exit__(self, *exc_info: object) -> None:
        sys.settrace(self.before)

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.endswith(FILES):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                self.place = f"{frame.f_code.co_name}:{frame.f_lineno}"
                raise self.error
        return self.trace


class Scene:
    """A loop that continues after an interrupt, and a store whose callers check their replies."""

    def __init__(self, loop: asyncio.AbstractEventLoop, store: AsyncStore) -> None:
        self.loop, self.store = loop, store

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end. After an interrupt, run the loop again."""
        task = self.loop.create_task(work)
        while not task.done():
            with contextlib.suppress(KeyboardInterrupt):
                self.loop.run_until_complete(asyncio.wait({task}))
        return task.result()

    async def told(self, names: list[str], interruption: Interruption | None = None) -> None:
        """Send each name concurrently. Each caller gets its own name or an error, before the deadline."""
        with interruption or contextlib.nullcontext():
            tasks = [asyncio.ensure_future(echo(self.store, name)) for name in names]
            _, pending = await asyncio.wait(tasks, timeout=ENDS_S)
        assert not pending, "a caller hangs"
        for task, name in zip(tasks, names, strict=True):
            failure = task.exception()
            if failure is None:
                assert task.result() == name, "a reply reached another caller"
            elif interruption is None or not isinstance(failure, (interruption.error, StoreUnavailableError)):
                raise failure


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("is_cold", [False, True], ids=["open", "connecting"])
@pytest.mark.parametrize("error", [TimeLimit, SoftTimeLimit, KeyboardInterrupt])
def test_interrupt_spoils_no_other_call(
    valkey_url: str, is_cold: bool, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interrupt comes at every line in turn, in tasks and in callbacks."""
    monkeypatch.setattr(endpoint, "MAX_UNANSWERED", FEW)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _, context: None)  # asyncio would log the interrupt.
    store = AsyncStore(f"{valkey_url}&socket_timeout=0.2")
    scene = Scene(loop, store)
    try:
        scene.run(echo(store, "warm"))
        slow = []
        for number in range(1, LINES):
            if is_cold:
                scene.run(_lose(store))
            interruption, began = Interruption(number, error), time.monotonic()
            try:
                scene.run(scene.told(texts(CALLERS, f"{number}."), interruption))
                scene.run(scene.told(texts(CALLERS, f"{number}:")))
            except BaseException as failure:
                failure.add_note(f"after an interrupt at {interruption.place}")
                raise
            if (took := time.monotonic() - began) > 0.5:
                slow.append((interruption.place, round(took, 2)))
            if interruption.left > 0:
                break
        print(number, "lines; slow:", slow)
        assert 50 < number < LINES - 1
        scene.run(_is_whole(store))
    finally:
        scene.run(store.close())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _lose(store: AsyncStore) -> None:
    endpoint_of(store).abandon()
    await asyncio.sleep(0)


async def _is_whole(store: AsyncStore) -> None:
    endpoint = endpoint_of(store)
    assert endpoint.is_idle
    assert len([each for each in endpoint._open if not each.has_ended]) == 1
