"""The gateways as ASGI: from a request to an answer, and the answer onto the wire, faults included."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from otpkit.errors import ConfigurationError
from otpkit.sandbox._web import Receive, Scope, Send
from otpkit.sandbox.answers import Answer, Headers
from otpkit.sandbox.calls import WireRequest

TRANSPORT: Final = "otpkit.sandbox.transport"  # the key in the request's state under which `server` puts it
MAX_BODY: Final = 65_536  # bytes
_OWN_SITES: Final = frozenset({b"none", b"same-origin"})  # what browsers say of a person's own request (Fetch Metadata)


class WireEndpoint:
    """What answers a request, as a bare ASGI application: no request object, no thread, next to no cost."""

    def __init__(self, answer: Callable[[WireRequest], Answer]) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Another site's page could sign with the default secret, so it is turned away."""
        headers = dict(scope["headers"])
        body = await _body(receive) if scope["method"] == "POST" else b""
        if body is None:
            answer = Answer(413, b"")
        elif headers.get(b"sec-fetch-site", b"none") not in _OWN_SITES:
            answer = Answer(403, b"")
        else:
            path = scope.get("raw_path") or scope["path"].encode()
            answer = self._answer(WireRequest(scope["method"], path, scope["query_string"], headers, body))
        await hand_over(answer, scope, receive, send)


async def hand_over(answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
    """Put an answer on the wire in the way it asks for."""
    if answer.delay and await _gone_within(answer.delay, receive):
        return
    if answer.ending == "drop":
        _transport(scope).abort()
        await _gone(receive)
        return
    length = (b"content-length", str(len(answer.body)).encode())
    await _start(answer.status, (*answer.headers, length), send)
    if answer.ending == "whole":
        await send({"type": "http.response.body", "body": answer.body})
        return
    half = answer.body[: len(answer.body) // 2]
    await send({"type": "http.response.body", "body": half, "more_body": True})
    _transport(scope).close()
    await _gone(receive)


async def _start(status: int, headers: Headers, send: Send) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


def _transport(scope: Scope) -> asyncio.Transport:
    transport = scope.get("state", {}).get(TRANSPORT)
    if transport is None:
        raise ConfigurationError("This server can't close a connection at will: use otpkit.sandbox.serve or running.")
    return transport  # type: ignore[no-any-return]


async def _gone(receive: Receive) -> None:
    """Wait until the connection has ended; the server complains of an answer left unfinished before that."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _gone_within(seconds: float, receive: Receive) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await _gone(receive)
            return True
    return False


async def _body(receive: Receive) -> bytes | None:
    """Return the whole body, or None where it is longer than any that means well."""
    body, more = bytearray(), True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
        if len(body) > MAX_BODY:
            return None
    return bytes(body)
