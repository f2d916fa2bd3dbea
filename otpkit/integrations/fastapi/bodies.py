"""Bodies that are read within bounds, and shown to nobody."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from otpkit.frames import without_locals
from otpkit.web import MAX_BODY


class PrivateRoute(APIRoute):
    """A route whose errors show nothing of the body, not in FastAPI's own frames either."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler."""
        return without_locals(super().get_route_handler())


async def read_body(request: Request) -> bytes:
    """Return a body, or one byte more than `MAX_BODY` where it is longer."""
    body = b""
    async for chunk in request.stream():  # read to its end, or the answer might not be
        body = (body + chunk)[: MAX_BODY + 1]
    return body
