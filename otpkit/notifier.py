"""The one module that calls Apprise: one notification by one URL, and nothing of it in a log.

Apprise logs URLs and payloads, and so keys, numbers and codes: while it sends, its records and those of the HTTP
library under it are dropped, in whatever thread they are made, and nobody else's.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from contextvars import ContextVar
from importlib import import_module
from typing import Any

from otpkit.errors import ConfigurationError

_LOGGERS = ("apprise", *(f"urllib3.{name}" for name in ("connection", "connectionpool", "poolmanager", "util.retry")))
_busy: ContextVar[bool] = ContextVar("otpkit_notifying", default=False)


def check(url: str) -> None:
    """Raise ConfigurationError where Apprise is not installed, or where `url` does not make exactly one message."""
    if (count := _quietly(url, None)) != 1:
        problem = "Apprise can't read the URL" if count == 0 else f"the URL makes up to {count} messages of one"
        raise ConfigurationError(f"{problem}; name one service, one {{phone}} and no retry in it.")


def notify(order: tuple[str, str]) -> bool:
    """Send a text by a URL, the two of `order`, and say whether the service took it. Never raises.

    False says nothing: the service may have taken it nevertheless.
    """
    try:
        return bool(_quietly(*order))
    except Exception:  # noqa: BLE001 - whatever it is, its text may hold the code
        return False


def _quietly(url: str, text: str | None) -> Any:
    """Send `text`, or without one count the messages that it would make."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_silence)
    before = _busy.set(True)
    try:
        apprise = _library()
        service = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False))
        if not service.add(url):
            return 0
        if text is None:
            return sum(map(len, service))
        return service.notify(body=text, body_format=apprise.NotifyFormat.TEXT)
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
