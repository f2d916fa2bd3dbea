"""The last response on a connection: bytes for a client whose request could not be parsed.

The application never sees such a request. The connection is closed after the response.
"""

from __future__ import annotations

from typing import Final

from otpkit.web import MEDIA_TYPE, plain_problem

MAX_HEAD: Final = 32_768  # bytes
MAX_HEADERS: Final = 100


def malformed_response() -> bytes:
    """Return the complete response to bytes that are not HTTP."""
    return _last_response(400, "Bad Request", "invalid_http", "Not HTTP", "The request is not HTTP/1.1; see RFC 9112.")


def no_host_response() -> bytes:
    """Return the complete response to a request without exactly one Host header (RFC 9112 §3.2)."""
    return _last_response(400, "Bad Request", "no_host", "No Host header", "Send the header Host exactly once.")


def head_too_long_response() -> bytes:
    """Return the complete response to a request whose head is too long (RFC 6585 §5)."""
    detail = f"The request line and headers may have at most {MAX_HEAD} bytes and {MAX_HEADERS} headers."
    return _last_response(431, "Request Header Fields Too Large", "head_too_long", "The head is too long", detail)


def too_slow_response() -> bytes:
    """Return the complete response to a request that is not complete in time (RFC 9110 §15.5.9)."""
    return _last_response(408, "Request Timeout", "too_slow", "Too slow", "The request did not arrive in time.")


def _last_response(status: int, reason: str, code: str, title: str, detail: str) -> bytes:
    found = plain_problem(status, code, title, detail).json()
    head = f"HTTP/1.1 {status} {reason}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(found)}\r\n"
    return f"{head}cache-control: no-store\r\nconnection: close\r\n\r\n".encode() + found
