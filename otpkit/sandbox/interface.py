"""`GET /api/events`: what happens, as it happens, as server-sent events (HTML §9.2)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Final

from otpkit.sandbox._web import Request, Response, StreamingResponse
from otpkit.sandbox.state import Sandbox

MEDIA_TYPE: Final = "text/event-stream"
TICK: Final = 0.1  # s between two looks; receipts come by the sandbox's clock, which may be moved: no wait can be exact
HEARTBEAT: Final = 15.0  # s of silence after which a comment finds out whether the other side is still there
RETRY: Final = 1_000  # ms after which a browser connects anew

_ID: Final = re.compile(r"[0-9]{1,15}")


def watch(sandbox: Sandbox, request: Request) -> Response:
    """Answer with the events from now on, or with those after the one that `Last-Event-ID` names."""
    last = request.headers.get("last-event-id", "")
    since = int(last) if _ID.fullmatch(last) else sandbox.last_event()
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}  # the latter for nginx, which would hold it back
    if request.method == "HEAD":
        return Response(media_type=MEDIA_TYPE, headers=headers)
    return StreamingResponse(_frames(sandbox, since), media_type=MEDIA_TYPE, headers=headers)


async def _frames(sandbox: Sandbox, last: int) -> AsyncIterator[bytes]:
    """Read the one log at this watcher's own pace: who falls too far behind is told so, and nothing piles up."""
    yield f"retry: {RETRY}\n\n".encode()
    loop = asyncio.get_running_loop()
    spoke = loop.time()
    while True:
        if events := sandbox.events(last):
            last = events[-1].id
            for event in events:  # one by one: a slow reader holds one of them, not a copy of all
                yield event.frame
            spoke = loop.time()
        elif loop.time() - spoke > HEARTBEAT:
            yield b":\n\n"
            spoke = loop.time()
        await asyncio.sleep(TICK)
