"""Run `otpkit serve` and `otpkit console` with their settings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from starlette.types import ASGIApp

from otpkit import AsyncOTP
from otpkit.listening import listen
from otpkit.service.app import create_app, create_console
from otpkit.service.doors import doors_of
from otpkit.service.metrics import Metrics
from otpkit.service.server import serve
from otpkit.settings import Operator, Settings


def run(settings: Settings, host: str, port: int, on_ready: Callable[[str], object]) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Redis need not be available at the start.

    Args:
        settings: the settings of the `AsyncOTP` and the service.
        host: the name or IP address to listen on.
        port: the TCP port; 0 picks a free one.
        on_ready: called with the URL when the server accepts requests.

    Raises:
        ConfigurationError: the settings can't work. It is raised before anything is served.
    """
    listeners = list(settings.listeners)
    if settings.telemetry.log is not None:
        _show_events(as_json=settings.telemetry.log == "json")
    exporting = None
    if settings.telemetry.otel:
        from otpkit.service.tracing import Exporting  # It needs the extra `otlp`.

        exporting = Exporting()
        listeners.append(exporting.listener)
    metrics = Metrics(listeners)
    otp = AsyncOTP(
        **settings.otp,
        gateway_wait=settings.service.gateway_wait,
        gateway_concurrency=settings.service.gateway_concurrency,
        on_event=metrics.on_event,
        listeners=listeners,
    )
    app: ASGIApp = create_app(
        otp,
        settings.keys,
        metrics=metrics,
        forwarded_hops=settings.service.forwarded_hops,
        receipts_secret=settings.service.receipts_secret,
        public_url=settings.service.public_url,
        operators=settings.operators,
        doors=doors_of(settings),
    )

    async def stop() -> None:
        await otp.close()
        if exporting is not None:
            await asyncio.to_thread(exporting.close)

    if exporting is not None:
        app = exporting.traced(app)
    _serve(app, host, port, on_ready, stop)


def run_console(
    settings: Settings, operators: Iterable[Operator], host: str, port: int, on_ready: Callable[[str], object]
) -> None:
    """Serve the console alone until SIGTERM or Ctrl-C.

    Redis need not be available at the start.

    Args:
        settings: the settings of the `AsyncOTP` and the service.
        operators: the people who may use it.
        host: the name or IP address to listen on.
        port: the TCP port; 0 picks a free one.
        on_ready: called with the URL when the server accepts requests.

    Raises:
        ConfigurationError: the settings can't work. It is raised before anything is served.
    """
    if settings.telemetry.log is not None:
        _show_events(as_json=settings.telemetry.log == "json")
    otp = AsyncOTP(**settings.otp, listeners=settings.listeners)
    app = create_console(
        otp,
        operators,
        purposes={each.purpose for each in settings.verify_services}.union(
            *(key.purposes for key in settings.keys), *(hook.purposes for hook in settings.hooks)
        ),
        forwarded_hops=settings.service.forwarded_hops,
        public_url=settings.service.public_url,
    )
    _serve(app, host, port, lambda url: on_ready(f"{url}/console"), otp.close)


def _serve(
    app: ASGIApp,
    host: str,
    port: int,
    on_ready: Callable[[str], object],
    on_stop: Callable[[], Awaitable[None]],
) -> None:
    with listen(host, port) as listener:
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{listener.getsockname()[1]}"
        serve(app, listener, on_ready=lambda: on_ready(url), on_stop=on_stop)


def _show_events(*, as_json: bool) -> None:
    """Write the events of `LogListener` to standard error, one a line."""
    logger, handler = logging.getLogger("otpkit.events"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s" if as_json else "otpkit: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
