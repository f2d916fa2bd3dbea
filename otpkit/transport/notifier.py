"""The one module that calls Apprise: one notification by one URL, and nothing of it in a log.

Apprise logs URLs and payloads, and so keys, numbers and codes: while it sends, its records and those of the HTTP
library under it are dropped, in whatever thread they are made, and nobody else's.

Apprise calls `requests`, takes no proxy, and would go where HTTPS_PROXY says. So `HTTPAdapter.send`, which each request
of `requests` passes, is wrapped once: it sets the proxy of our notifications by a context variable, and passes on as it
is what anybody else sends.
"""

from __future__ import annotations

import functools
import logging
import sys
from contextlib import nullcontext, suppress
from contextvars import Context, ContextVar
from importlib import import_module
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from otpkit.errors import ConfigurationError
from otpkit.transport.hosts import is_loopback

_LOGGERS = ("apprise", *(f"urllib3.{name}" for name in ("connection", "connectionpool", "poolmanager", "util.retry")))
_NATIONAL = 8  # digits at the end of a number that no plug-in leaves out
_MARK = "_otpkit_sets_proxy"
_PROXIES = 4  # where they stand among the arguments of `HTTPAdapter.send`, after the request
_SOCKETS = "apprise.utils.socket"  # Plug-ins that use it don't go by `requests`, or not alone.
_busy: ContextVar[bool] = ContextVar("otpkit_notifying", default=False)
_proxy: ContextVar[str | None] = ContextVar("otpkit_notifying_by_proxy", default=None)


class Order(NamedTuple):
    """One notification: a text by a URL to the number that stands in it, through a proxy or directly."""

    url: str
    text: str
    number: str
    proxy: str | None


def check(url: str, proxy: str | None) -> None:
    """Raise ConfigurationError without Apprise, for a URL of other than one message, or for a proxy of no use to it."""
    if (count := _quietly(Order(url, "", "", proxy), is_check=True) or 0) != 1:
        problem = "Apprise can't read the URL" if count == 0 else f"The URL makes up to {count} messages of one"
        raise ConfigurationError(f"{problem}.", "Name one service, one {phone} and no retry in it.")


def notify(order: Order) -> bool | None:
    """Send a notification. Never raises.

    True says that the service took it; False says nothing: it may have been taken nevertheless. None says that nothing
    was sent, for the service does not take the number.
    """
    try:
        sent: bool | None = Context().run(_untraced, order)
        return sent
    except Exception:  # noqa: BLE001 - whatever it is, its text may hold the code
        return False


def _untraced(order: Order) -> Any:
    """Send where error reporters and tracers don't look: the URL of many a service holds the text and the number.

    What they add to is found by context variables, of which this has its own; OpenTelemetry must be told besides.
    """
    tracer = sys.modules.get("opentelemetry.instrumentation.utils")
    with tracer.suppress_http_instrumentation() if tracer else nullcontext():
        return _quietly(order)


def _quietly(order: Order, *, is_check: bool = False) -> Any:
    """Send a notification, or to check it count the messages that it would make; None where it can't be done."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_silence)
    proxy = None if order.proxy is None else _latin(order.proxy)
    before = _busy.set(True), _proxy.set(proxy)
    try:
        apprise = _library()
        service = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False))
        if not service.add(order.url):
            return None
        if is_check:
            if any(each.overflow_mode != apprise.OverflowMode.UPSTREAM for each in service):
                raise ConfigurationError("overflow cuts a long text, or makes several messages of it.", "Leave it out.")
            if order.proxy is not None and not all(map(_speaks_http_alone, service)):
                raise ConfigurationError(
                    "proxy carries HTTP, and the service of this URL needs more than HTTP.",
                    "Leave proxy out, or name a service with an HTTP API.",
                )
            return sum(map(len, service))
        # A number that a plug-in does not take is dropped, and many then send to the account's own. Some leave the
        # country code out.
        if order.number[-_NATIONAL:] not in service[0].url():
            return None
        _set_proxies()
        return bool(service.notify(body=order.text, body_format=apprise.NotifyFormat.TEXT))
    finally:
        _busy.reset(before[0])
        _proxy.reset(before[1])


def _speaks_http_alone(plugin: Any) -> bool:
    """Return whether all that a plug-in sends goes by `requests`: whether the modules of its classes import that."""
    names = [vars(sys.modules[each.__module__]) for each in type(plugin).__mro__]
    uses_sockets = any(getattr(value, "__module__", "") == _SOCKETS for each in names for value in list(each.values()))
    return not uses_sockets and any(each.get("requests") is sys.modules["requests"] for each in names)


def _set_proxies() -> None:
    """Have `requests` set the proxy of our notifications, once; again where a mock of `requests` took it away."""
    from requests.adapters import HTTPAdapter

    send: Any = HTTPAdapter.send
    if hasattr(send, _MARK):
        return

    @functools.wraps(send)
    def send_by_our_proxy(self: Any, request: Any, *args: Any, **options: Any) -> Any:
        if not _busy.get():
            return send(self, request, *args, **options)
        proxy, url = _proxy.get(), urlsplit(request.url)
        is_direct = proxy is None or (url.scheme == "http" and is_loopback(url.hostname or ""))
        # A redirect may bring the password of a proxy that the environment names.
        request.headers.pop("Proxy-Authorization", None)
        options["proxies"] = {} if is_direct else {url.scheme: proxy}
        return send(self, request, *args[:_PROXIES], **options)

    setattr(send_by_our_proxy, _MARK, True)
    HTTPAdapter.send = send_by_our_proxy  # type: ignore[method-assign]


def _latin(proxy: str) -> str:
    """Return the URL with its user so quoted that `requests`, which encodes it in Latin-1, sends it in UTF-8."""
    scheme, _, rest = proxy.partition("://")
    user, at, host = rest.rpartition("@")
    quoted = ":".join(quote(unquote(part).encode().decode("latin-1"), safe="") for part in user.split(":"))
    return f"{scheme}://{quoted}{at}{host}"


def _library() -> Any:
    with suppress(ImportError):
        return import_module("apprise")
    raise ConfigurationError("Apprise is not installed.", "Run: pip install 'otpkit[apprise]'.")


class _Silence(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not _busy.get()


_silence = _Silence()
