"""Refuse pages and the JSON interface to other sites, and limit bodies. The gateways check credentials instead."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive

from otpkit.errors import ConfigurationError

MAX_BODY: Final = 65_536  # bytes
# Headers for responses that are no page: a browser that opens one runs nothing in it.
INERT: Final = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}
_UNSAFE: Final = frozenset({"POST", "DELETE"})


def foreign(request: Request, allowed_hosts: Collection[str], *, form: bool = False) -> str:
    """Return the reason to refuse a request from another site's page, or "" to accept the request.

    With `form`, the request must prove that it comes from our page; all browsers send the needed headers (Fetch §3.2).
    Clients of the JSON interface need not be browsers, so they may omit these headers. Another site's page may link to
    the inbox, but may not fetch from it: the time of a response and its existence would leak what was sent
    (https://web.dev/articles/fetch-metadata).
    """
    host = request.headers.get("host", "")
    name = _name_of(host)
    if name not in allowed_hosts and not _is_local_name(name):
        return f"{name!r:.80} is not a name of this server; allow it with allowed_hosts"
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    is_own = site == "same-origin" if origin is None else origin in {f"http://{host}", f"https://{host}"}
    is_of_a_browser = form or origin is not None or site is not None
    if request.method in _UNSAFE and is_of_a_browser and not is_own:
        return "a page of another site may not do this"
    if site == "cross-site" and request.headers.get("sec-fetch-mode") != "navigate":
        return "a page of another site may not request this"
    return ""


def error(problem: str, status: int) -> Response:
    """Return the JSON interface's response to a refused request. `status` is the HTTP status."""
    return JSONResponse({"error": problem}, status)


async def body_of(request: Request) -> bytes:
    """Return the request's body.

    Raises:
        ConfigurationError: it is longer than `MAX_BODY`.
    """
    body = await read_body(request.receive)
    if body is None:
        raise ConfigurationError(f"The body is longer than {MAX_BODY} bytes.", "Send a shorter one.")
    return body


async def read_body(receive: Receive) -> bytes | None:
    """Return a request's whole body. Return None if it exceeds `MAX_BODY` or the client disconnects first."""
    body, has_more = bytearray(), True
    while has_more:
        event = await receive()
        body += event.get("body", b"")
        has_more = event.get("more_body", False)
        if len(body) > MAX_BODY or event["type"] == "http.disconnect":
            return None
    return bytes(body)


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_local_name(name: str) -> bool:
    """Return True if no public web site can have this name: an IP address, `*.localhost` or a name without a dot."""
    if name and "." not in name and ":" not in name:
        return True
    if name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
