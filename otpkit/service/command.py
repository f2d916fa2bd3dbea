"""Run `otpkit serve` with its settings."""

from __future__ import annotations

import logging
from collections.abc import Callable

from otpkit import AsyncOTP
from otpkit.listening import listen
from otpkit.service.app import create_app
from otpkit.service.metrics import Metrics
from otpkit.service.server import serve
from otpkit.settings import Settings


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
    metrics = Metrics(settings.listeners)
    if settings.telemetry.log is not None:
        _show_events(as_json=settings.telemetry.log == "json")
    otp = AsyncOTP(
        **settings.otp,
        gateway_wait=settings.service.gateway_wait,
        gateway_concurrency=settings.service.gateway_concurrency,
        on_event=metrics.on_event,
        listeners=settings.listeners,
    )
    app = create_app(
        otp,
        settings.keys,
        metrics=metrics,
        forwarded_hops=settings.service.forwarded_hops,
        receipts_secret=settings.service.receipts_secret,
        public_url=settings.service.public_url,
    )
    with listen(host, port) as listener:
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{listener.getsockname()[1]}"
        serve(app, listener, on_ready=lambda: on_ready(url), on_stop=otp.close)


def _show_events(*, as_json: bool) -> None:
    """Write the events of `LogListener` to standard error, one a line."""
    logger, handler = logging.getLogger("otpkit.events"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s" if as_json else "otpkit: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
