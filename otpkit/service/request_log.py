"""The id of a request, and its line in the access log.

The id is in the header `X-Request-Id` of the response, in a problem document, in the access log and on the trace's
span. A caller may choose it, so that its own log has the same id.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

from otpkit.service.keys import KNOWN

HEADER: Final = b"x-request-id"
REQUEST_ID: Final = ContextVar("otpkit_request_id", default="")
"""The id of the current request, or ""."""
TRACE_ID: Final = ContextVar("otpkit_trace_id", default="")
"""The id of the trace of the current request, or "". Problem documents have it, so that the trace can be looked up."""

# Letters, digits and the signs of UUIDs, Base64 and traces. No other may break a line of any log, or a query of one.
_ID: Final = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")
_NUMBER: Final = re.compile(rb"\+?[0-9]{1,15}")  # It may be a phone or a code, which no log may show.
# Asked for every few seconds. They are logged only if they fail.
_FREQUENT: Final = frozenset({"/healthz", "/readyz", "/metrics"})
_FAILED: Final = 400

ACCESS: Final = "otpkit.access"
"""The name of the logger of the access log."""
_log = logging.getLogger(ACCESS)


def choose_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the id of a request: the caller's own if it is safe to log, or else a new one.

    Args:
        headers: the request's headers, with names in lower case.
    """
    given = [value for name, value in headers if name == HEADER]
    if len(given) == 1 and _ID.fullmatch(given[0]) and not _NUMBER.fullmatch(given[0]):
        return given[0].decode("ascii")
    return secrets.token_hex(16)


def log_request(scope: Mapping[str, Any], route: str, status: int, seconds: float, size: int) -> None:
    """Write a request to the access log. Its path, query, headers and body are not logged.

    Args:
        scope: the request's scope.
        route: the path of its route, with the names of parameters, or "other".
        status: the HTTP status, or 0 if the client was gone before there was a response.
        seconds: the time from the request's head to the end of the response.
        size: the bytes of the response's body.
    """
    if route in _FREQUENT and 0 < status < _FAILED:
        return
    known = scope.get("state", {}).get(KNOWN)
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "method": scope["method"],
        "route": route,
        "status": status or None,
        "ms": round(seconds * 1000, 1),
        "bytes": size,
        "key": known if isinstance(known, str) else None,
        "request_id": REQUEST_ID.get(),
    }
    if trace_id := TRACE_ID.get():
        line["trace_id"] = trace_id
    _log.info("%s", json.dumps(line))
