"""One HTTP exchange, for any library: the bytes to write, whether they were written, and what callers may see.

A transport returns an `HttpResponse`, or raises a `TransportFailure`, which shows whether the request may have been
sent. The errors of HTTP libraries contain the URL, and so the code in it. Only their class names are passed on.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote, unquote, urlencode, urlsplit

from otpkit.effects import MAX_RESPONSE, HttpRequest, HttpResponse, NoAnswer, NotConnected, TransportFailure

Decoding: TypeAlias = Literal["strict", "replace"]

CHUNK: Final = 64 * 1024  # In bytes.
HEADERS: Final = {"User-Agent": "otpkit", "Accept-Encoding": "identity"}


class Exchange:
    """A running exchange: whether any of its request was written, and the deadline of its response.

    A gateway may want the code and the number in the query. The query is added only when the request is written,
    because error reporters and tracers record every URL that an HTTP library receives.

    Args:
        answer_timeout: seconds for the whole response, from the request's first byte.
        latest: the time until which the request may start, by the monotonic clock; None is no bound.
        max_response: the largest response in bytes.
    """

    __slots__ = ("answer_timeout", "deadline", "headers", "latest", "max_response", "query", "written")

    def __init__(self, answer_timeout: float, latest: float | None = None, max_response: int = MAX_RESPONSE) -> None:
        self.query = b""
        self.headers = b""  # The lines to add, each with its line end.
        self.answer_timeout = answer_timeout
        self.latest = latest
        self.max_response = max_response
        self.deadline = 0.0  # By the monotonic clock.
        self.written = False

    def write(self, data: Any) -> Any:
        """Return the bytes to write in place of `data`. The request's first write begins with its first line.

        Raises TimeoutError if it is too late to start. Nothing may then be written.
        """
        if self.written:
            return data
        now = time.monotonic()
        if self.latest is not None and now > self.latest:
            raise TimeoutError
        self.written = True
        self.deadline = now + self.answer_timeout
        target, end, rest = data.partition(b" HTTP/1.1\r\n")
        query = b"?" + self.query if self.query else b""
        return target + query + end + self.headers + rest

    def failure(self, request: HttpRequest, kind: str) -> TransportFailure:
        """Return the error of this exchange: `NotConnected` if not a byte of the request was written."""
        if self.written:
            return NoAnswer(f"the request may have been sent, and no whole answer came: {kind}")
        place = urlsplit(request.proxy or request.url).netloc.rpartition("@")[2]
        return NotConnected(f"no connection to {place} was made, nothing was sent: {kind}")


class TooLarge(OSError):
    """The response is larger than the request allows."""


def query_of(request: HttpRequest) -> bytes:
    """Return the query of the URL in wire format."""
    # Encode a blank as %20, never as +: every server decodes it in the same way.
    query = urlencode(request.params, quote_via=quote, safe="")
    return "&".join(filter(None, (request.url.partition("?")[2], query))).encode()


def response_of(
    exchange: Exchange, status: int, headers: Iterable[tuple[str, str]], chunks: Iterable[bytes], decoding: Decoding
) -> HttpResponse:
    """Return a response from its decoded body, `chunks`. Raise if it is too large, too late or not UTF-8."""
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > exchange.max_response:
            raise TooLarge
        if time.monotonic() > exchange.deadline:
            raise TimeoutError
    # The body of an error may be in any encoding: its status is enough.
    text = body.decode("utf-8", decoding if status == 200 else "replace")
    return HttpResponse(status, _Headers((name.lower(), value) for name, value in headers), text)


class _Headers(dict[str, str]):
    """The headers of a response. Their repr shows no values, because a gateway's refusal may contain the number."""

    def __repr__(self) -> str:
        return f"<headers: {', '.join(self)}>"


def proxy_headers(proxy: str) -> dict[str, str]:
    """Return the headers that authenticate the user of a proxy's URL to the proxy."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}


def without_user(url: str) -> str:
    """Return a URL without its user and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def kind_of(error: BaseException) -> str:
    """Return the class names of `error` and of its first cause. Class names contain no URL."""
    first = error
    for _ in range(16):
        before = first.__cause__ or first.__context__
        if not isinstance(before, Exception):  # Stop also at the cancellation with which asyncio times out.
            break
        first = before
    names = (type(error).__name__, type(first).__name__)
    return names[0] if names[0] == names[1] else f"{names[0]} ({names[1]})"
