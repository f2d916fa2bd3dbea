"""The one module that calls Apprise: one notification by one URL, and nothing of it in a log.

Apprise logs URLs and payloads, and so keys, numbers and codes: while it sends, its records and those of the HTTP
library under it are dropped, in whatever thread they are made, and nobody else's.
"""

from __future__ import annotations

import logging
import sys
from contextlib import nullcontext, suppress
from contextvars import Context, ContextVar
from importlib import import_module
from typing import Any

from otpkit.errors import ConfigurationError

_LOGGERS = ("apprise", *(f"urllib3.{name}" for name in ("connection", "connectionpool", "poolmanager", "util.retry")))
_NATIONAL = 8  # digits at the end of a number that no plug-in leaves out
_busy: ContextVar[bool] = ContextVar("otpkit_notifying", default=False)


def check(url: str) -> None:
    """Raise ConfigurationError where Apprise is not installed, or where `url` does not make exactly one message."""
    if (count := _quietly(url) or 0) != 1:
        problem = "Apprise can't read the URL" if count == 0 else f"the URL makes up to {count} messages of one"
        raise ConfigurationError(f"{problem}; name one service, one {{phone}} and no retry in it.")


def notify(order: tuple[str, str, str]) -> bool | None:
    """Send a text by a URL to the number that stands in it, the three of `order`. Never raises.

    True says that the service took it; False says nothing: it may have been taken nevertheless. None says that nothing
    was sent, for the service does not take the number.
    """
    try:
        sent: bool | None = Context().run(_untraced, order)
        return sent
    except Exception:  # noqa: BLE001 - whatever it is, its text may hold the code
        return False


def _untraced(order: tuple[str, str, str]) -> Any:
    """Send where error reporters and tracers don't look: the URL of many a service holds the text and the number.

    What they add to is found by context variables, of which this has its own; OpenTelemetry must be told besides.
    """
    tracer = sys.modules.get("opentelemetry.instrumentation.utils")
    with tracer.suppress_http_instrumentation() if tracer else nullcontext():
        return _quietly(*order)


def _quietly(url: str, text: str | None = None, number: str = "") -> Any:
    """Send `text` to `number`, or without one count the messages that it would make; None where it can't be done."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_silence)
    before = _busy.set(True)
    try:
        apprise = _library()
        service = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False))
        if not service.add(url):
            return None
        if text is None:
            if any(each.overflow_mode != apprise.OverflowMode.UPSTREAM for each in service):
                raise ConfigurationError("overflow cuts a long text, or makes several messages of it; leave it out.")
            return sum(map(len, service))
        # A number that a plug-in does not take is dropped, and many then send to the account's own. Some leave the
        # country code out.
        if number[-_NATIONAL:] not in service[0].url():
            return None
        return bool(service.notify(body=text, body_format=apprise.NotifyFormat.TEXT))
    finally:
        _busy.reset(before)


def _library() -> Any:
    with suppress(ImportError):
        return import_module("apprise")
    raise ConfigurationError("Apprise is not installed; run: pip install 'otpkit[apprise]'.")


class _Silence(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not _busy.get()


_silence = _Silence()
