"""Read request bodies more than once, compute their fingerprints, and keep them out of error reports."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from math import inf
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.types import Message

from otpkit.frames import without_locals
from otpkit.web import fingerprint
from otpkit.web.fingerprints import Fields, is_form


class PrivateRoute(APIRoute):
    """A route whose errors show nothing of the body, not even in FastAPI's own frames."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler without local variables in its tracebacks."""
        return without_locals(super().get_route_handler())


def with_body(request: Request, body: bytes) -> Request:
    """Return the same request with a body that was read before."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    return Request(request.scope, receive)


async def fingerprint_of(request: Request) -> str:
    """Return the request's fingerprint for `AsyncOTP.redeem`. The endpoint can still read the body.

    If a middleware has consumed the body as a stream, the body is not part of the fingerprint.
    """
    url = f"{request.scope['path']}?{request.scope['query_string'].decode('latin-1')}"
    try:
        body = await request.body()
    except RuntimeError:
        # FastAPI has read the body as a form, because the endpoint declares form fields. It keeps the form.
        try:
            return fingerprint(request.method, url, _fields((await request.form()).multi_items()))
        except RuntimeError:
            return fingerprint(request.method, url)
    if not is_form(request.headers.get("content-type", "")):
        return fingerprint(request.method, url, body)
    try:
        # Parse a copy without limits. The endpoint's own parse keeps its limits.
        async with with_body(request, body).form(max_files=inf, max_fields=inf, max_part_size=len(body)) as form:
            return fingerprint(request.method, url, _fields(form.multi_items()))
    except (AssertionError, HTTPException):  # python-multipart is missing, or the body is not a form despite its type
        return fingerprint(request.method, url, body)


def _fields(items: Iterable[tuple[str, UploadFile | str]]) -> Fields:
    return [(name, value if isinstance(value, str) else value.file) for name, value in items]
