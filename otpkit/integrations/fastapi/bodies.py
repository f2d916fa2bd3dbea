"""Bodies that are read within bounds."""

from __future__ import annotations

from fastapi import Request

from otpkit.web import MAX_BODY


async def read_body(request: Request) -> bytes:
    """Return a body, or one byte more than `MAX_BODY` where it is longer."""
    body = b""
    async for chunk in request.stream():  # read to its end, or the answer might not be
        body = (body + chunk)[: MAX_BODY + 1]
    return body
