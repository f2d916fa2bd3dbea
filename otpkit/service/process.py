"""The service in one process, from its settings: alone, or as one of several workers."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterable
from dataclasses import replace

from starlette.types import ASGIApp

from otpkit import AsyncOTP, Event
from otpkit.core import hangups
from otpkit.core.config import Listener
from otpkit.service.app import create_app
from otpkit.service.doors import doors_of
from otpkit.service.logs import write_log
from otpkit.service.metrics import Metrics
from otpkit.service.reloading import Generation, Reloader, warn_of_kept
from otpkit.service.request_log import ACCESS
from otpkit.service.server import serve
from otpkit.service.workers import Link
from otpkit.settings import Settings
from otpkit.telemetry import PrometheusListener
from otpkit.telemetry.listeners import join

_log = logging.getLogger("otpkit.service")


class Process:
    """The service in one process.

    Args:
        settings: the settings to begin with.
        read: returns the settings again.
        shared: the directory of the counters of several workers, or None.
        link: the worker's link to its parent, or None.
    """

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Settings],
        *,
        shared: str | None = None,
        link: Link | None = None,
    ) -> None:
        self._link = link
        self._exporting = None
        if settings.telemetry.otel:
            from otpkit.service.tracing import Exporting  # It needs the extra `otlp`.

            self._exporting = Exporting(is_one_of_many=link is not None)
        self._metrics = Metrics([self._exporting.listener] if self._exporting is not None else (), shared=shared)
        self._current = self._build(settings)
        self._reloader = Reloader(self._current, read, self._build, on_change=self._change, on_close=self._forget)
        self._use(self._current.settings)

    def serve(self, listener: socket.socket, on_ready: Callable[[], object]) -> None:
        """Serve on a socket until SIGTERM."""
        app: ASGIApp = self._reloader
        if self._exporting is not None:
            app = self._exporting.traced(app)
        try:
            serve(
                app,
                listener,
                on_ready=on_ready,
                on_stop=self._stop,
                on_hangup=self._reloader.reload,
                on_second=None if self._link is None else self._look,
            )
        finally:
            hangups.ignore()

    def _build(self, settings: Settings) -> Generation:
        if self._link is not None:
            # The counters of workers are shared by name, so a second registry would count an event twice.
            own = tuple(each for each in settings.listeners if not isinstance(each, PrometheusListener))
            settings = replace(settings, listeners=own)
        more = () if self._exporting is None else (self._exporting.listener,)
        return build(settings, self._metrics, more)

    def _use(self, settings: Settings) -> None:
        """Begin to use the settings that are not a part of the application."""
        self._metrics.watch(settings.listeners)
        show_events(settings.telemetry.log)
        write_log(ACCESS, "%(message)s" if settings.service.access_log else None)

    def _change(self, new: Generation, kept: Iterable[str]) -> None:
        self._current = new
        self._use(new.settings)
        if self._link is None:  # The parent of several workers reports it once for all.
            warn_of_kept(kept)
            _log.info("The settings were reloaded.")

    async def _forget(self, old: Generation) -> None:
        """Let the listeners of old settings pass on what waits, unless the present ones have them too."""
        kept = () if old is self._current else self._current.settings.listeners
        gone = [each for each in old.settings.listeners if all(each is not other for other in kept)]
        if (closing := join(None, gone)) is not None:
            await asyncio.to_thread(closing.close)
        self._metrics.forget(gone)

    def _look(self) -> None:
        """Keep the shared counters up to date, and end after the parent."""
        self._metrics.refresh()
        if self._link is not None and self._link.is_lost():
            _log.error("The parent of this worker has died, so it ends too.")
            self._link = None
            os.kill(os.getpid(), signal.SIGTERM)

    async def _stop(self) -> None:
        await self._reloader.close()
        await asyncio.to_thread(self._metrics.close)
        if self._exporting is not None:
            await asyncio.to_thread(self._exporting.close)


def build(settings: Settings, metrics: Metrics, more: Iterable[Listener] = ()) -> Generation:
    """Return the service that settings describe. Nothing is connected yet.

    Args:
        settings: the settings.
        metrics: the metrics of the process.
        more: listeners beside those of the settings.

    Raises:
        ConfigurationError: the settings can't work.
    """
    otp = AsyncOTP(
        **settings.otp,
        gateway_wait=settings.service.gateway_wait,
        gateway_concurrency=settings.service.gateway_concurrency,
        on_event=metrics.on_event,
        listeners=[*map(_without_close, settings.listeners), *more],
    )
    app = create_app(
        otp,
        settings.keys,
        metrics=metrics,
        forwarded_hops=settings.service.forwarded_hops,
        receipts_secret=settings.service.receipts_secret,
        public_url=settings.service.public_url,
        operators=settings.operators,
        doors=doors_of(settings),
        access_log=settings.service.access_log,
    )
    return Generation(settings=settings, otp=otp, app=app)


def _without_close(listener: Listener) -> Listener:
    """Return a listener that is not closed with its `AsyncOTP`: the next generation may use it too."""

    def call(event: Event) -> None:
        listener(event)

    call.__qualname__ = type(listener).__qualname__  # The name in the log.
    return call


def show_events(how: str | None) -> None:
    """Write the events of `LogListener` to standard error, one a line: as `text`, as `json`, or not at all."""
    write_log("otpkit.events", {"json": "%(message)s", "text": "otpkit: %(message)s"}.get(how or ""))
