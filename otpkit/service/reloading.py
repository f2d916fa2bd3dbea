"""Replace the settings of a running service, without losing a request.

Each request ends with the settings that it began with. Old settings are closed after their last request. If the new
ones are wrong, the service keeps those that it has, and the log says what is wrong.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from otpkit import AsyncOTP, ConfigurationError, OTPError
from otpkit.aio import share_memory
from otpkit.service.capabilities import Capabilities
from otpkit.service.middleware import ServiceMiddleware, log_fault
from otpkit.settings import Settings
from otpkit.store.url import MEMORY_URL

_log = logging.getLogger("otpkit.service")
# Settings that are read only at the start, by table.
_AT_START: Final = {"service": ("host", "port", "workers"), "telemetry": ("otel",)}


@dataclass(eq=False, kw_only=True)
class Generation:
    """A service as one reading of the settings made it. Nothing is connected yet.

    Attributes:
        settings: the settings.
        otp: the `AsyncOTP`.
        app: the application.
        running: the number of requests that it is answering.
        is_retired: True once other settings have replaced these.
    """

    settings: Settings
    otp: AsyncOTP
    app: ASGIApp
    running: int = 0
    is_retired: bool = False


Read = Callable[[], Settings]
Build = Callable[[Settings], Generation]


async def prepare(current: Generation, read: Read, build: Build) -> tuple[Generation, list[str]]:
    """Read the settings. Return what is to replace a generation, and the settings that have changed and need a restart.

    Args:
        current: the generation to replace.
        read: returns the settings. It runs on a thread.
        build: returns their generation. It runs on a thread.

    Raises:
        ConfigurationError: the settings are wrong, or name another Redis server that does not answer.
    """
    settings, kept = _keep(current.settings, await asyncio.to_thread(read))
    found = await asyncio.to_thread(build, settings)
    share_memory(found.otp, current.otp)
    if settings.otp["redis"] != current.settings.otp["redis"]:
        await _check_store(found.otp)
    return found, kept


def warn_of_kept(names: Iterable[str]) -> None:
    """Log which settings have changed and need a restart."""
    for name in names:
        _log.warning("%s has changed. It is read only at the start: restart the service.", name)


def report(error: Exception) -> None:
    """Log why the settings were not reloaded."""
    if isinstance(error, OTPError):
        _log.error("The settings were not reloaded, and the old ones stay. %s", error)
    else:
        log_fault(error, "A reload of the settings")


class Reloader:
    """The application of a service whose settings can be replaced.

    Args:
        first: the first generation.
        read: returns the settings.
        build: returns their generation.
        on_change: called in the event loop with the new generation, and the settings that have changed and need a
            restart.
        on_close: awaited with a generation that is closed.
    """

    def __init__(
        self,
        first: Generation,
        read: Read,
        build: Build,
        on_change: Callable[[Generation, list[str]], object],
        on_close: Callable[[Generation], Awaitable[object]],
    ) -> None:
        self._current = first
        self._read = read
        self._build = build
        self._on_change = on_change
        self._on_close = on_close
        self._is_wanted = False
        self._task: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        current = self._current
        current.running += 1
        try:
            await current.app(scope, receive, send)
        finally:
            current.running -= 1
            if current.is_retired and not current.running:
                self._close_later(current)

    def reload(self) -> None:
        """Begin to replace the settings. Calls during a reload make one further reload."""
        self._is_wanted = True
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Close all generations, after the last request."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._close_later(self._current)
        while self._closing:
            await asyncio.wait(self._closing)

    async def _run(self) -> None:
        try:
            while self._is_wanted:
                self._is_wanted = False
                await self._replace()
        finally:
            self._task = None

    async def _replace(self) -> None:
        try:
            found, kept = await prepare(self._current, self._read, self._build)
        except Exception as error:  # noqa: BLE001 - any internal error
            report(error)
            return
        old, self._current = self._current, found
        old.is_retired = True
        self._on_change(found, kept)
        if not old.running:
            self._close_later(old)

    def _close_later(self, generation: Generation) -> None:
        task = asyncio.get_running_loop().create_task(self._close(generation))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close(self, generation: Generation) -> None:
        if generation.is_retired and isinstance(generation.app, ServiceMiddleware):
            await generation.app.finish()
        await generation.otp.close()
        await self._on_close(generation)


async def _check_store(otp: AsyncOTP) -> None:
    """Check that a new store answers. At the start, Redis need not be there yet; now a working one would be lost."""
    try:
        await Capabilities(otp).ping()
        return
    except OTPError as error:
        problem, remedy = error.problem, error.remedy
    await otp.close()
    raise ConfigurationError(f"redis_url has changed, and the new store can't be used: {problem}", remedy)


def _keep(old: Settings, new: Settings) -> tuple[Settings, list[str]]:
    """Return the new settings with the old values of those that need a restart, and the names of these.

    Listeners whose settings are the same stay: what waits in their queues stays in order.
    """
    found, kept = new, []
    if old.telemetry == new.telemetry:
        found = replace(found, listeners=old.listeners)
    for table, names in _AT_START.items():
        before, after = getattr(old, table), getattr(new, table)
        changed = {name: getattr(before, name) for name in names if getattr(before, name) != getattr(after, name)}
        kept += [f"{table}.{name}" for name in changed]
        found = replace(found, **{table: after.model_copy(update=changed)})
    stores = old.otp["redis"], new.otp["redis"]
    if stores[0] != stores[1] and MEMORY_URL in stores:
        kept.append("redis_url")
        found = replace(found, otp={**found.otp, "redis": stores[0]})
    return found, kept
