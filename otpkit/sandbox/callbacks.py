"""Push receipts over HTTP, as long as the server runs."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from otpkit.sandbox._web import h11
from otpkit.sandbox.reports import is_taken, push_request
from otpkit.sandbox.state import Sandbox

TICK: Final = 0.05  # s between two looks at what is due; the sandbox's clock may be moved, so no sleep can be exact
TIMEOUT: Final = 2.0  # s that one push may take; Aliyun gives up after 0.7, which a loaded machine may need longer for
_CHUNK: Final = 65_536  # bytes


async def push_receipts(sandbox: Sandbox) -> None:
    """Push what is due, one after the other, until cancelled; what is not taken is pushed again later."""
    while True:
        now = sandbox.now()
        for url, push in sandbox.take_pushes():
            headers, body = push_request(url, push, sandbox)
            if not is_taken(push, await _status_of(url, headers, body)):
                sandbox.push_again(push, now)
        await asyncio.sleep(TICK)


async def _status_of(url: str, headers: Mapping[str, str], body: bytes) -> int:
    """POST once, and return the status of a whole answer; 0 where none came."""
    try:
        async with asyncio.timeout(TIMEOUT):
            return await _post(url, headers, body)
    except (OSError, TimeoutError, h11.ProtocolError, UnicodeError):
        return 0


async def _post(url: str, headers: Mapping[str, str], body: bytes) -> int:
    parts = urlsplit(url)
    context = ssl.create_default_context() if parts.scheme == "https" else None
    port = parts.port or (80 if context is None else 443)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
    try:
        target = f"{parts.path or '/'}{parts.query and '?'}{parts.query}"
        writer.write(_request(target, {"Host": parts.netloc, **headers}, body))
        await writer.drain()
        return await _status(reader)
    finally:
        writer.transport.abort()


def _request(target: str, headers: Mapping[str, str], body: bytes) -> bytes:
    sent = {**headers, "Content-Length": str(len(body)), "Connection": "close"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    return f"POST {target} HTTP/1.1\r\n{lines}\r\n".encode() + body


async def _status(reader: asyncio.StreamReader) -> int:
    """Read one whole answer and return its status."""
    connection = h11.Connection(our_role=h11.CLIENT)
    connection.send(h11.Request(method="POST", target="/", headers=[("Host", "-")]))
    connection.send(h11.EndOfMessage())
    status = 0
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_CHUNK))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
            return status
