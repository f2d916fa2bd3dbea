"""The only module that calls Apprise: it sends one notification by one URL, and logs nothing of it.

Apprise logs URLs and payloads, and so keys, numbers and codes. While otpkit sends, its log records and those of the
HTTP library below are dropped, in whatever thread they are made. All other records pass.

Apprise calls `requests`, has no proxy option, and would use the proxy in HTTPS_PROXY. So `HTTPAdapter.send`, through
which every request of `requests` goes, is wrapped once. The wrapper sets the proxy of otpkit's notifications by a
context variable, bounds the look-up of the host's name, and passes all other requests on unchanged.
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
from otpkit.transport.connecting import look_up
from otpkit.transport.hosts import is_loopback

_LOGGERS = ("apprise", *(f"urllib3.{name}" for name in ("connection", "connectionpool", "poolmanager", "util.retry")))
_NATIONAL = 8  # The digits at the end of a number that every plug-in keeps.
_MARK = "_otpkit_sets_proxy"
# The positions of arguments of `HTTPAdapter.send`, after the request.
_TIMEOUT = 1
_PROXIES = 4
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SOCKETS = "apprise.utils.socket"  # Plug-ins that use it do not use `requests`, or not only.
_busy: ContextVar[bool] = ContextVar("otpkit_notifying", default=False)
_proxy: ContextVar[str | None] = ContextVar("otpkit_notifying_by_proxy", default=None)


class Order(NamedTuple):
    """One notification: a text, sent by a URL to the number in it, through a proxy or directly."""

    url: str
    text: str
    number: str
    proxy: str | None


def check(url: str, proxy: str | None) -> None:
    """Check a URL without sending.

    Args:
        url: the URL for Apprise.
        proxy: the URL of the proxy; None connects directly.

    Raises:
        ConfigurationError: the URL does not make exactly one message, the proxy can't carry it, or Apprise is missing.
    """
    if (count := _quietly(Order(url, "", "", proxy), is_check=True) or 0) != 1:
        problem = "Apprise can't read the URL" if count == 0 else f"The URL makes up to {count} messages of one"
        raise ConfigurationError(f"{problem}.", "Name one service, one {phone} and no retry in it.")


def notify(order: Order) -> bool | None:
    """Send a notification. It never raises.

    Args:
        order: the notification.

    Returns:
        True if the service accepted it. False if the outcome is unknown: it may have been accepted. None if nothing was
        sent, because the service does not accept the number.
    """
    try:
        sent: bool | None = Context().run(_untraced, order)
        return sent
    except Exception:  # noqa: BLE001 - Its text may contain the code, whatever it is.
        return False


def _untraced(order: Order) -> Any:
    """Send without traces: the URLs of many services contain the text and the number.

    Error reporters and tracers find their current trace by context variables, and this call has its own context.
    OpenTelemetry needs an explicit call as well.
    """
    tracer = sys.modules.get("opentelemetry.instrumentation.utils")
    with tracer.suppress_http_instrumentation() if tracer else nullcontext():
        return _quietly(order)


def _quietly(order: Order, *, is_check: bool = False) -> Any:
    """Send a notification, or count its messages if `is_check`. Return None if Apprise can't do it."""
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
        # A plug-in drops a number that it does not accept, and many then send to the account's own. Some leave out
        # the country code.
        if order.number[-_NATIONAL:] not in service[0].url():
            return None
        _set_proxies()
        return bool(service.notify(body=order.text, body_format=apprise.NotifyFormat.TEXT))
    finally:
        _busy.reset(before[0])
        _proxy.reset(before[1])


def _speaks_http_alone(plugin: Any) -> bool:
    """Check whether a plug-in sends only by `requests`: the modules of its classes import it, and no sockets."""
    names = [vars(sys.modules[each.__module__]) for each in type(plugin).__mro__]
    uses_sockets = any(getattr(value, "__module__", "") == _SOCKETS for each in names for value in list(each.values()))
    return not uses_sockets and any(each.get("requests") is sys.modules["requests"] for each in names)


def _set_proxies() -> None:
    """Make `requests` set the proxy of our notifications, once; again if a mock of `requests` has removed it."""
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
        # A redirect may add the password of a proxy that the environment names.
        request.headers.pop("Proxy-Authorization", None)
        options["proxies"] = {} if is_direct else {url.scheme: proxy}
        _look_up(request.url if is_direct else proxy or "", options.get("timeout", (*args, None, None)[_TIMEOUT]))
        return send(self, request, *args[:_PROXIES], **options)

    setattr(send_by_our_proxy, _MARK, True)
    HTTPAdapter.send = send_by_our_proxy  # type: ignore[method-assign]


def _look_up(place: str, timeout: Any) -> None:
    """Look up a URL's host within the connect timeout, because `requests` does it without a bound.

    The look-up by `requests` follows, and is then fast. It reports any other failure.
    """
    from requests.exceptions import ConnectTimeout

    parts, seconds = urlsplit(place), timeout[0] if isinstance(timeout, tuple) else timeout
    try:
        look_up(parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme], seconds)
    except TimeoutError:
        raise ConnectTimeout from None
    except OSError:
        pass


def _latin(proxy: str) -> str:
    """Return the URL with its user quoted so that `requests`, which encodes it in Latin-1, sends it in UTF-8."""
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
