"""Tencent Cloud's signature of a request, TC3-HMAC-SHA256: pure functions, the time an argument, for who signs a
request and for who checks one.

Source: 腾讯云 API 签名方法 v3 (https://cloud.tencent.com/document/api/362/4208).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

ALGORITHM: Final = "TC3-HMAC-SHA256"
CONTENT_TYPE: Final = "application/json"
_SIGNED_HEADERS: Final = ("content-type", "host")


def authorization(secret_id: str, secret_key: str, *, service: str, host: str, body: bytes, timestamp: int) -> str:
    """Return the header `Authorization` of a POST of JSON to `/` of `host`, made at `timestamp` (epoch seconds).

    `host` is the header `Host` as it is sent, with its port where it has one. Tencent Cloud takes a signature for
    five minutes.
    """
    headers = {"content-type": CONTENT_TYPE, "host": host}
    request = canonical_request("POST", "", headers, _SIGNED_HEADERS, body)
    signed = signature(secret_key, service=service, request=request, timestamp=timestamp)
    names = ";".join(_SIGNED_HEADERS)
    scope = _scope(service, timestamp)
    return f"{ALGORITHM} Credential={secret_id}/{scope}, SignedHeaders={names}, Signature={signed}"


def canonical_request(method: str, query: str, headers: Mapping[str, str], signed: Sequence[str], body: bytes) -> str:
    """Return a request to `/` in the one form that both sides sign.

    `query` is as on the wire, the names of `headers` are in lower case, and `signed` are the names of those that are
    signed, in their order.
    """
    lines = "".join(f"{name}:{headers.get(name, '')}\n" for name in signed)
    return "\n".join((method, "/", query, lines, ";".join(signed), hashlib.sha256(body).hexdigest()))


def signature(secret_key: str, *, service: str, request: str, timestamp: int) -> str:
    """Return the signature of a canonical request, in hex. A server compares it with the one that came."""
    scope = _scope(service, timestamp)
    to_sign = "\n".join((ALGORITHM, str(timestamp), scope, hashlib.sha256(request.encode()).hexdigest()))
    key = f"TC3{secret_key}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    return _hmac(key, to_sign).hex()


def _scope(service: str, timestamp: int) -> str:
    return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%d}/{service}/tc3_request"


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
