"""The last response on a connection: the bytes that a client gets whose request never became one.

No application sees such a request. The connection is closed after the response.
"""

from __future__ import annotations

from typing import Final

from otpkit.web import MEDIA_TYPE, plain_problem

MAX_HEAD: Final = 32_768  # bytes
MAX_HEADERS: Final = 100


def malformed_response() -> bytes:
    """Return the whole response to bytes that are not HTTP."""
    return _last_response(400, "Bad Request", "invalid_http", "Not HTTP", "The request is not HTTP/1.1; see RFC 9112.")


def no_host_response() -> bytes:
    """Return the whole response to a request that does not name one host (RFC 9112 §3.2)."""
    return _last_response(400, "Bad Request", "no_host", "No host", "Send the header Host, once.")


def head_too_long_response() -> bytes:
    """Return the whole response to a request whose head does not end (RFC 6585 §5)."""
    detail = f"The request's line and headers have at most {MAX_HEAD} bytes, in at most {MAX_HEADERS} headers."
    return _last_response(431, "Request Header Fields Too Large", "head_too_long", "The head is too long", detail)


def too_slow_response() -> bytes:
    """Return the whole response to a request that does not end in time (RFC 9110 §15.5.9)."""
    return _last_response(408, "Request Timeout", "too_slow", "Too slow", "The request did not arrive in time.")


def _last_response(status: int, reason: str, code: str, title: str, detail: str) -> bytes:
    found = plain_problem(status, code, title, detail).json()
    head = f"HTTP/1.1 {status} {reason}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(found)}\r\n"
    return f"{head}cache-control: no-store\r\nconnection: close\r\n\r\n".encode() + found
