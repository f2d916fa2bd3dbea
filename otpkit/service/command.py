"""Run `otpkit serve` and `otpkit console` with their settings."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import uvicorn

from otpkit import AsyncOTP
from otpkit.core import hangups
from otpkit.errors import ConfigurationError
from otpkit.listening import listen
from otpkit.service.app import create_console
from otpkit.service.logs import configure_log
from otpkit.service.metrics import Metrics, share_counters
from otpkit.service.process import Process, build, show_events
from otpkit.service.reloading import prepare, report, warn_of_kept
from otpkit.service.server import check_uvicorn, serve
from otpkit.service.workers import Link, Supervisor
from otpkit.settings import Operator, Settings
from otpkit.store.url import MEMORY_URL

_log = logging.getLogger("otpkit.service")


def run(
    read: Callable[[], Settings],
    on_ready: Callable[[str], object],
    *,
    host: str | None = None,
    port: int | None = None,
    workers: int | None = None,
) -> int:
    """Serve until SIGTERM or Ctrl-C, and return the exit status. SIGHUP reads the settings again.

    Redis need not be available at the start.

    Args:
        read: returns the settings.
        on_ready: called with the URL when the server accepts requests.
        host: the name or IP address to listen on; None is that of the settings.
        port: the TCP port; 0 picks a free one, and None is that of the settings.
        workers: the number of processes; None is that of the settings.

    Raises:
        ConfigurationError: the settings can't work. It is raised before anything is served.
    """
    settings = read()
    host = settings.service.host if host is None else host
    port = settings.service.port if port is None else port
    workers = settings.service.workers if workers is None else workers
    if workers == 1:
        process = Process(settings, read)
        with _listening(host, port, on_ready) as (listener, ready):
            process.serve(listener, ready)
        return 0
    return _run_workers(workers, settings, read, host, port, on_ready)


def _run_workers(
    count: int,
    settings: Settings,
    read: Callable[[], Settings],
    host: str,
    port: int,
    on_ready: Callable[[str], object],
) -> int:
    if not hasattr(os, "fork"):
        raise ConfigurationError("Several workers need an operating system with fork.", "Set service.workers to 1.")
    if settings.otp["redis"] == MEMORY_URL:
        raise ConfigurationError(
            f"With {MEMORY_URL}, each of {count} workers would have codes of its own.",
            "Set service.workers to 1, or redis_url to a Redis server.",
        )
    check_uvicorn(uvicorn.__version__)
    configure_log()
    current = build(settings, Metrics())  # This finds errors that reading the settings does not.
    directory = _make_directory()

    def work(number: int, link: Link) -> None:
        os.makedirs(directory, 0o700, exist_ok=True)  # A cleaner of /tmp may have removed it.
        share_counters(directory, number)
        Process(current.settings, read, shared=directory, link=link).serve(listener, link.report_ready)

    def reload() -> bool:
        nonlocal current
        try:
            current, kept = asyncio.run(prepare(current, read, lambda settings: build(settings, Metrics())))
        except Exception as error:  # noqa: BLE001 - any internal error
            report(error)
            return False
        warn_of_kept(kept)
        _log.info("The settings were checked. %d workers reload them.", count)
        return True

    try:
        with _listening(host, port, on_ready) as (listener, ready):
            return Supervisor(count, listener, work, reload, ready).run()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _make_directory() -> str:
    """Return a new directory for the counters of several workers."""
    try:
        return tempfile.mkdtemp(prefix="otpkit-metrics-")
    except OSError as error:
        reason = error.strerror or type(error).__name__
    raise ConfigurationError(
        f"Several workers keep their metrics in a temporary directory, which can't be made: {reason}.",
        "Mount a tmpfs at /tmp, set TMPDIR, or set service.workers to 1.",
    )


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
    show_events(settings.telemetry.log)
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
    with _listening(host, port, lambda url: on_ready(f"{url}/console")) as (listener, ready):
        serve(app, listener, on_ready=ready, on_stop=otp.close)


@contextmanager
def _listening(
    host: str, port: int, on_ready: Callable[[str], object]
) -> Iterator[tuple[socket.socket, Callable[[], object]]]:
    """Yield a socket, and a function that calls `on_ready` with its URL."""
    with listen(host, port) as listener:
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{listener.getsockname()[1]}"
        try:
            yield listener, lambda: on_ready(url)
        finally:
            hangups.ignore()  # All that serves ends here: one process, the parent of several, and the console.
