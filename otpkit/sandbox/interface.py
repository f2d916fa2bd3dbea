"""The JSON interface under `/api` for tests and tools: messages, faults, counts, and a stream of events."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from otpkit.errors import ConfigurationError
from otpkit.sandbox.access import body_of
from otpkit.sandbox.captchas import captcha_from_json
from otpkit.sandbox.faults import fault_from_json
from otpkit.sandbox.state import Sandbox

MEDIA_TYPE: Final = "text/event-stream"
# Interval of polling the log. Receipts follow the sandbox's clock, which a test may move, so no exact wait is possible.
TICK: Final = 0.1  # s
HEARTBEAT: Final = 15.0  # s; after this long without an event, a comment checks that the client is still connected
RETRY: Final = 1_000  # ms after which a browser reconnects

_ID: Final = re.compile(r"[0-9]{1,15}")
_LIMIT: Final = re.compile(r"[0-9]{1,9}")
_NO_STORE: Final = {"cache-control": "no-store"}


class Interface:
    """The endpoints of one sandbox's JSON interface."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def events(self, request: Request) -> Response:
        """Stream events as they happen, as server-sent events (HTML §9.2)."""
        return watch(self._sandbox, request)

    async def messages(self, request: Request) -> Response:
        """Return the messages, newest first, filtered by `phone`, `q` and `limit`."""
        asked = request.query_params
        phone, limit = asked.get("phone"), asked.get("limit")
        if limit is not None and not _LIMIT.fullmatch(limit):
            raise ConfigurationError(f"'limit' is {limit!r:.40}.", "Send a whole number.")
        most = None if limit is None else int(limit)
        found = self._sandbox.messages(phone or None, most, q=asked.get("q", ""))
        now = self._sandbox.now()
        return JSONResponse([message.as_json(now) for message in found], headers=_NO_STORE)

    async def clear_messages(self, _: Request) -> Response:
        """Delete all messages."""
        return JSONResponse({"deleted": self._sandbox.clear_messages()})

    async def faults(self, _: Request) -> Response:
        """Return the queued faults."""
        return JSONResponse([asdict(fault) for fault in self._sandbox.faults()], headers=_NO_STORE)

    async def add_fault(self, request: Request) -> Response:
        """Queue the fault in the body."""
        fault = fault_from_json(await _json_body(request))
        self._sandbox.add_fault(fault)
        return JSONResponse(asdict(fault), 201)

    async def clear_faults(self, _: Request) -> Response:
        """Delete the queued faults."""
        return JSONResponse({"deleted": self._sandbox.clear_faults()})

    async def solve_captcha(self, request: Request) -> Response:
        """Return an answer of the captcha in the body."""
        captcha = captcha_from_json(await _json_body(request))
        return JSONResponse({"answer": self._sandbox.solve_captcha(captcha)}, 201, headers=_NO_STORE)

    async def stats(self, _: Request) -> Response:
        """Return the request counts."""
        return JSONResponse(self._sandbox.stats(), headers=_NO_STORE)

    async def clear_stats(self, _: Request) -> Response:
        """Reset the counts to 0."""
        self._sandbox.clear_stats()
        return JSONResponse({})


async def _json_body(request: Request) -> object:
    try:
        return json.loads(await body_of(request))
    except (ValueError, RecursionError):
        raise ConfigurationError("The body is not JSON.", "Send a JSON object.") from None


def watch(sandbox: Sandbox, request: Request) -> Response:
    """Stream the events from now on, or from the one after `Last-Event-ID`."""
    last = request.headers.get("last-event-id", "")
    since = int(last) if _ID.fullmatch(last) else sandbox.last_event()
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}  # Without the latter, nginx buffers the stream.
    if request.method == "HEAD":
        return Response(media_type=MEDIA_TYPE, headers=headers)
    return StreamingResponse(_frames(sandbox, since), media_type=MEDIA_TYPE, headers=headers)


async def _frames(sandbox: Sandbox, last: int) -> AsyncIterator[bytes]:
    """Yield frames at the client's own pace. A client that falls far behind gets `missed`; nothing is queued for it."""
    yield f"retry: {RETRY}\n\n".encode()
    loop = asyncio.get_running_loop()
    spoke = loop.time()
    while True:
        if events := sandbox.events(last):
            last = events[-1].id
            for event in events:  # one by one: a slow client holds one frame, not a copy of all
                yield event.frame
            spoke = loop.time()
        elif loop.time() - spoke > HEARTBEAT:
            yield b":\n\n"
            spoke = loop.time()
        await asyncio.sleep(TICK)
