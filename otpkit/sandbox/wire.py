"""The gateway as ASGI: from a request to an answer, and the answer onto the wire, faults included."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from otpkit.errors import ConfigurationError
from otpkit.sandbox import alidayu
from otpkit.sandbox._web import Receive, Scope, Send
from otpkit.sandbox.answers import Answer, Headers, system_error
from otpkit.sandbox.faults import APIS, Api
from otpkit.sandbox.state import Sandbox

TRANSPORT: Final = "otpkit.sandbox.transport"  # the key in the request's state under which `server` puts it


class AlidayuEndpoint:
    """One call of the gateway as a bare ASGI application: no request object, no thread, next to no cost."""

    def __init__(self, sandbox: Sandbox, api: Api) -> None:
        self._sandbox = sandbox
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await hand_over(self._answer(scope), scope, receive, send)

    def _answer(self, scope: Scope) -> Answer:
        if scope["method"] != "GET":
            return system_error(405, "MethodNotAllowed", "Use GET")
        headers = dict(scope["headers"])
        key, secret = headers.get(b"x-ca-key", b""), headers.get(b"x-ca-secret", b"")
        return alidayu.call(self._sandbox, self._api, scope["query_string"], key, secret)


class UnknownApi:
    """A path under the gateway's that is none of its calls."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answer = system_error(404, "ApiNotFound", f"Known: {', '.join(APIS)}")
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
