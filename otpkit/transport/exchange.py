"""One HTTP exchange, whatever library carries it: what is written, whether it was, and what may leave of it.

What leaves a transport is an `HttpResponse` or a `TransportFailure`, which says whether the request may have been sent.
The errors of HTTP libraries hold the URL, and so the code that is on its way: of these, the class alone gets out.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote, unquote, urlencode, urlsplit

from otpkit.effects import HttpRequest, HttpResponse, NoAnswer, NotConnected, TransportFailure

Decoding: TypeAlias = Literal["strict", "replace"]

MAX_ANSWER: Final = 1024 * 1024  # bytes, on the wire with its header, and again as decoded
CHUNK: Final = 64 * 1024  # bytes
HEADERS: Final = {"User-Agent": "otpkit", "Accept-Encoding": "identity"}


class Exchange:
    """An exchange under way: whether any of its request was written, and until when its answer may take.

    The query, in which a gateway may want the code and the number, is added as the request is written: error reporters
    and tracers record each URL that HTTP libraries are given.

    Args:
        answer_timeout: seconds that the whole answer may take, from the request's first byte.
        latest: when the request may still begin, by the monotonic clock.
    """

    __slots__ = ("answer_timeout", "deadline", "headers", "latest", "query", "written")

    def __init__(self, answer_timeout: float, latest: float | None = None) -> None:
        self.query = b""
        self.headers = b""  # lines to add, each with its end
        self.answer_timeout = answer_timeout
        self.latest = latest
        self.deadline = 0.0  # by the monotonic clock
        self.written = False

    def write(self, data: Any) -> Any:
        """Return what is written in place of `data`; of a request, its first line is the first of it.

        Raises TimeoutError where it is too late to begin: then nothing may be written.
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
        """Return the error of this exchange: `NotConnected` where not a byte of the request was written."""
        if self.written:
            return NoAnswer(f"the request may have been sent, and no whole answer came: {kind}")
        place = urlsplit(request.proxy or request.url).netloc.rpartition("@")[2]
        return NotConnected(f"no connection to {place} was made, nothing was sent: {kind}")


class TooLarge(OSError):
    """The answer is larger than any that a gateway gives."""


def query_of(request: HttpRequest) -> bytes:
    """Return the query of the URL as it is written."""
    # %20 and never + for a blank: every server reads it alike.
    query = urlencode(request.params, quote_via=quote, safe="")
    return "&".join(filter(None, (request.url.partition("?")[2], query))).encode()


def response_of(
    exchange: Exchange, status: int, headers: Iterable[tuple[str, str]], chunks: Iterable[bytes], decoding: Decoding
) -> HttpResponse:
    """Return an answer; `chunks` are its body, decoded. Raises what makes it none."""
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > MAX_ANSWER:
            raise TooLarge
        if time.monotonic() > exchange.deadline:
            raise TimeoutError
    # An error's page may be in any encoding: its status says enough.
    text = body.decode("utf-8", decoding if status == 200 else "replace")
    return HttpResponse(status, _Headers((name.lower(), value) for name, value in headers), text)


class _Headers(dict[str, str]):
    """An answer's headers. Their repr shows no values: a gateway's words on a refusal may hold the number."""

    def __repr__(self) -> str:
        return f"<headers: {', '.join(self)}>"


def proxy_headers(proxy: str) -> dict[str, str]:
    """Return the headers that name the user of a proxy's URL to the proxy."""
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
    """Return the class of `error`, and that of what it began with: names of classes hold no URL."""
    first = error
    for _ in range(16):
        before = first.__cause__ or first.__context__
        if not isinstance(before, Exception):  # nor the cancellation by which asyncio times out
            break
        first = before
    names = (type(error).__name__, type(first).__name__)
    return names[0] if names[0] == names[1] else f"{names[0]} ({names[1]})"
